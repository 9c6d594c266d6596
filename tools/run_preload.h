/* SPDX-License-Identifier: BSD-2-Clause */
/* What `run --preload` adds to the environment. */
#ifndef TOOLS_RUN_PRELOAD_H
#define TOOLS_RUN_PRELOAD_H

/* Put the library into LD_PRELOAD, behind what the user has there. private: a directory of the
 * run's own. 0, or -1 and a word to the user. */
int preload_export(const char *private);

#endif
