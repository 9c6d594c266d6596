/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the exercise share: the file system under test, checks that end a case with a
 * sentence, and files with known bytes. A case is a function that returns true when all held; what
 * a server cannot do it names with a word, and the table of servers leaves such cases out.
 */
#ifndef EXERCISE_H
#define EXERCISE_H

#include <errno.h>
#include <fcntl.h>
#include <portfire/portfire.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct exercise_case {
	const char *name;
	bool (*run)(void);
	const char *word; /* what it needs of the server; NULL: every writable server has it */
};
extern const struct exercise_case data_cases[], name_cases[]; /* end with a NULL name */

extern struct pf_fs *fs;
extern const char *backing; /* the directory behind the server, NULL when it is no directory */
extern long granularity;    /* of the server's times, in ns */

/* Does the server lack this? */
bool lacks(const char *word);
/* The reason why a case failed; the first one counts. Always false. */
bool fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The case cannot be tried here; the rest of it is skipped. Always true. */
bool skip(const char *reason);

/* The condition must hold, else the case ends with the sentence. */
#define CHECK(condition, ...)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return fail(__VA_ARGS__);                                                  \
	} while (0)
/* The call must give this result. */
#define EXPECT(call, wanted)                                                                       \
	do {                                                                                       \
		long got_ = (long)(call), wanted_ = (long)(wanted);                                \
		if (got_ != wanted_)                                                               \
			return fail("%s gave %ld%s%s%s, not %ld", #call, got_,                     \
				    got_ < 0 ? " (" : "", got_ < 0 ? strerror((int)-got_) : "",    \
				    got_ < 0 ? ")" : "", wanted_);                                 \
	} while (0)
#define OK(call) EXPECT(call, 0)
/* Another function's checks must hold; it has said what did not. */
#define HOLDS(call)                                                                                \
	do {                                                                                       \
		if (!(call))                                                                       \
			return false;                                                              \
	} while (0)

/* Bytes that every seed gives another row of. */
void pattern(char *buf, size_t length, unsigned seed);
/* Create path with these bytes. */
bool put_file(const char *path, const char *data, size_t length);
/* path has exactly these bytes: by its size, read in odd pieces, and in the backing directory. */
bool has_bytes(const char *path, const char *data, size_t length);
/* The same, asked only of the backing directory; true where there is none. */
bool backing_has(const char *path, const char *data, size_t length);
/* path exists in the backing directory, or does not; true where there is none. */
bool backing_exists(const char *path, bool wanted);
/* The number of entries of a directory without "." and "..", or a negative errno. */
int count_entries(const char *path);

#endif
