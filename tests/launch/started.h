/* SPDX-License-Identifier: BSD-2-Clause */
/* What the launcher's tests share: starting the fake server, and waiting for processes to end. */
#ifndef STARTED_H
#define STARTED_H

#include "launch/launch.h"
#include <stdarg.h>

#define ALIVE_MS 60000 /* for what will happen, on a busy machine too */

extern const char *fakeserver; /* its path, from $FAKESERVER */
extern char scratch[64];       /* a directory of the test's own */

int scratch_make(void);
void scratch_remove(void);

/* Tell and return false when this machine (a container, perhaps) does not let us supervise. */
int can_supervise(void);

/* Start fakeserver with {} and the words, NULL last; timeout_ms 0: the default. */
int start(struct pf__launch **l, unsigned timeout_ms, ...);
/* INIT, GETATTR. 0 or errno. */
int serves(struct pf__launch *l, int *fd);
/* Close fd and stop with a short grace. The server's wait status; fails the test on error. */
int stop(struct pf__launch *l, int fd);

/* The same for a server that ends by itself when its device hangs up: it has all the time for that.
 */
int hang_up(struct pf__launch *l, int fd);

/* A path in the scratch directory (a few static buffers, in turn), and "word" + that path. */
const char *in_scratch(const char *name);
const char *word_in_scratch(const char *word, const char *name);
/* The pids that the file lists, how many. */
size_t read_pids(const char *path, int *pids, size_t max);
/* Wait until the process has ended (being a zombie counts). False: it lives after ms. */
int ends_within(int pid, int ms);
/* Wait until the file is there. */
int appears_within(const char *path, int ms);
/* Open descriptors and threads of this process. */
int count_fds(void);
int count_threads(void);
/* One that was joined may be counted for a moment yet. */
int threads_become(int n);

#endif
