/* SPDX-License-Identifier: BSD-2-Clause */
/* The processes of a run, as /proc has them. */
#ifndef TOOLS_RUN_PROCS_H
#define TOOLS_RUN_PROCS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct procs {
	pid_t *pids; /* owned */
	size_t n;
};

/* All below this one that live; those without which the run is over, as `counts` says. -errno. */
int procs_below(struct procs *procs, pid_t top, bool (*counts)(void *ctx, pid_t pid), void *ctx);
void procs_free(struct procs *procs);
/*
 * Until one of them ends, something can be read from one of the descriptors (-1: none), or the time
 * has passed (-1: never).
 */
void procs_wait(const struct procs *procs, int fd, int other_fd, int timeout_ms);
/* To all that are not in told (NULL: nobody is). */
void procs_signal(const struct procs *procs, const struct procs *told, int sig);

/* End all children but those in keep, and what becomes a child when they end. */
void procs_end_children(const struct procs *keep);
/* The children of this process. -errno. */
int procs_children(struct procs *procs);

#endif
