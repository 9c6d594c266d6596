/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has a socket open, by /proc. */
#ifndef PF_LAUNCH_SERVERPID_H
#define PF_LAUNCH_SERVERPID_H

#include <stdbool.h>
#include <sys/types.h>

/* A process that has the socket with this inode number open, as far as we may look; 0: none. */
pid_t pf__socket_holder(ino_t ino);

#endif
