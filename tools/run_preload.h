/* SPDX-License-Identifier: BSD-2-Clause */
/* The library that `run` preloads into its programs. */
#ifndef TOOLS_RUN_PRELOAD_H
#define TOOLS_RUN_PRELOAD_H

#include "run/run.h"
#include <limits.h>
#include <stdbool.h>

enum preload { PRELOAD_IF_POSSIBLE, PRELOAD_YES, PRELOAD_NO };

/* Shall it be? Then its path. 1 or 0; -1: it must, but is not to be found, with a word to the user.
 */
int preload_find(enum preload how, char path[PATH_MAX]);
/* Put the library into LD_PRELOAD, behind what the user has there. 0, or -1 and a word to the user.
 */
int preload_export(struct pf__run *run, const char *path);

#endif
