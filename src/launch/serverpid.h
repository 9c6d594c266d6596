/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has a socket open, by /proc. */
#ifndef PF_LAUNCH_SERVERPID_H
#define PF_LAUNCH_SERVERPID_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * The process that serves the socket with this inode number, as far as we may look; 0: none.
 * first: the process that was started, if it still lives, else 0. While a server becomes a daemon
 * both it and its child have the socket: then the child (the same program) is meant, but not a
 * helper such as fusermount.
 */
pid_t pf__socket_holder(ino_t ino, pid_t first);

/* The parent of a process, or of a thread's; 0: there is none. */
pid_t pf__parent_of(pid_t pid);

#endif
