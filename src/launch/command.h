/* SPDX-License-Identifier: BSD-2-Clause */
/* A server's command line: where its program is, and {} in its words. Knows nothing of processes.
 */
#ifndef PF_LAUNCH_COMMAND_H
#define PF_LAUNCH_COMMAND_H

#include <stdbool.h>

struct pf__command {
	char *file;  /* the program to execute, with a slash */
	char **argv; /* with {} replaced; ends with NULL */
};

/* Does {} stand in any word? */
bool pf__command_has_braces(char *const argv[]);
/* Look argv[0] up through PATH and put `place` for each {} (NULL: leave them). 0, or with a
 * sentence -ENOENT no such program, -EACCES not executable, -EINVAL no words, -ENOMEM. */
int pf__command_make(struct pf__command *c, char *const argv[], const char *place);
void pf__command_clear(struct pf__command *c);

/* A new directory for us alone, in $XDG_RUNTIME_DIR, $TMPDIR or /tmp, malloc'ed. Or a sentence. */
int pf__private_directory(char **path);

#endif
