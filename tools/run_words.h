/* SPDX-License-Identifier: BSD-2-Clause */
/* What a run executes: the program's words, where it may be, and what its environment tells it. */
#ifndef TOOLS_RUN_WORDS_H
#define TOOLS_RUN_WORDS_H

#include "session.h"

struct run_words {
	char **argv;     /* with mountpoints for {} and {N}; ends with NULL */
	char **programs; /* the files to try, as PATH has them; ends with NULL */
};

/*
 * words: of PROGRAM; none: the user's shell. mountpoints[i]: of session->servers[i]. A {} or {N}
 * that no server has stays as it is: it is the program's own. 0 or -ENOMEM.
 */
int run_words_make(struct run_words *w, const struct session *session, char *const *mountpoints,
		   char **words, size_t n);
void run_words_free(struct run_words *w);

/* PORTFIRE_MOUNT, PORTFIRE_MOUNT_1 ... for who is executed from now on. 0 or -ENOMEM. */
int run_words_export(const struct session *session, char *const *mountpoints);

/* Says why the program could not be executed; the exit status for that, as shells have it. */
int run_words_complain(const char *program, int err);

#endif
