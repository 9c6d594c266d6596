/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the program preload share. */
#ifndef TESTS_RUN_PRELOAD_H
#define TESTS_RUN_PRELOAD_H

#include "posix.h"

extern const char *inside, *outside; /* directories of the run, and elsewhere */

/* The case has failed. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define MUST(what)                                                                                 \
	do {                                                                                       \
		if (!(what))                                                                       \
			say("%s:%d: %s (%s)", __func__, __LINE__, #what, strerror(errno));         \
	} while (0)

/* The path of a name in a directory; the last 64 of them are good. */
const char *in(const char *dir, const char *name);

void bad_addresses(void);

#endif
