/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A portfire inside another one's supervision: a process can stand under one listening filter only,
 * so the outer supervisor answers the server's calls, and hands the mount on to the inner launcher.
 *
 * The inner one opens /dev/fuse, which gives it one end of a socket pair as it would a server, and
 * claims by an ioctl of our own what is mounted by the processes below it. For each mount the outer
 * one then sends a message over that socket: what the mount is, and its descriptor.
 */
#ifndef PF_LAUNCH_CLAIM_H
#define PF_LAUNCH_CLAIM_H

#include "launch/device.h"

#define PF_DEV_CLAIM 0x0000e57fu /* _IO(229, 0x7f): no device of the kernel's knows it */

/* The inner side. A descriptor over which mounts come, or negative errno: -ENOTTY the supervisor
 * that we are under is none of ours. */
int pf__claim_open(void);
/* Are we under a supervisor that takes claims? */
bool pf__claims_here(void);
/* The next mount: 1, m is the caller's; 0 nothing there, or the outer one has gone; or errno. */
int pf__claim_receive(int claim, struct pf__mount *m);
/* The outer side: m and its descriptor over our end of the claimant's pair. 0 or errno. */
int pf__claim_send(int claim, const struct pf__mount *m);

#endif
