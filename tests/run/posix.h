/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the cases of "posix" share: an ordinary program that asks a file system for what POSIX and
 * Linux promise. It knows of nothing but libc, so the same binary runs on a local directory, on a
 * kernel's mount and wherever else a program can be made to see files.
 *
 * A case is a function that finds itself in an empty directory of its own, in a process of its own.
 * Each thing that it looks at is a check: its text, what was seen, what should have been.
 */
#ifndef TESTS_RUN_POSIX_H
#define TESTS_RUN_POSIX_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct test {
	const char *name;
	void (*run)(void);
	const char *needs; /* words: "root", "others", or those of --without; NULL: nothing */
};

/* Each file's cases end with a row without a name. */
extern const struct test path_tests[], open_tests[], name_tests[], rename_tests[], node_tests[],
    attr_tests[], time_tests[], owner_tests[], xattr_tests[], dir_tests[], cwd_tests[],
    data_tests[], map_tests[], copy_tests[], lock_tests[], exec_tests[];

/* What the next checks are about, for tables; "" for nothing. */
__attribute__((format(printf, 1, 2))) void row(const char *format, ...);

/* A call that should return 0 or more; its result. */
#define OK(call) check_ok(#call, (errno = 0, (long)(call)))
/* A call that should return -1 with this errno. */
#define FAILS(error, call) check_fails(error, #call, (errno = 0, (long)(call)))
/* A number that should be this one. */
#define IS(value, expression) check_is((long)(value), #expression, (long)(expression))
#define TRUE(expression)      check_true(#expression, (expression))
/* A string that should be this one. */
#define SAYS(text, expression) check_says(text, #expression, expression)

long check_ok(const char *text, long result);
long check_fails(int error, const char *text, long result);
long check_is(long wanted, const char *text, long seen);
bool check_true(const char *text, bool seen);
void check_says(const char *wanted, const char *text, const char *seen);
/* The rest of the case cannot be tried. */
__attribute__((noreturn)) void give_up(const char *why);
/* Is the word one of those that --without names? */
bool lacks(const char *word);

#define OTHER_UID 12345u
#define OTHER_GID 23456u
#define BAD       ((void *)1) /* no address of ours */

/* ---- helpers -----------------------------------------------------------------------------------
 */

extern char here[PATH_MAX]; /* the directory of the case, absolute */

/* The name in the case's directory as an absolute path; valid until called eight times more. */
const char *at(const char *name);
/* A new file with this text. */
void put(const char *name, const char *text);
/* Its text, or "errno ENOENT" and the like; valid until the next call. */
const char *text_of(const char *name);
/* Bytes that depend on the seed. */
void pattern(void *buf, size_t length, unsigned seed);
struct stat stat_of(const char *name); /* all zero when it cannot be had */
struct stat lstat_of(const char *name);
mode_t mode_of(const char *name); /* permission bits, not following */
/* A name of this many bytes; a path of this many bytes that names here many times over. */
const char *long_name(size_t length);
const char *long_path(size_t length);
/* Run a function in a child, as another user where uid is not 0; its exit status. */
int in_child(uid_t uid, gid_t gid, void (*run)(void));
bool is_root(void);
bool may(int capability);

#endif
