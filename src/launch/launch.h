/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting a FUSE server, unmodified, without /dev/fuse, mount or root, and getting our end of the
 * SOCK_SEQPACKET pair that it takes for its device. Knows nothing of files and of the FUSE
 * protocol.
 *
 * state     | the server has                | the transport is
 * ----------|-------------------------------|------------------------------------------
 * STARTING  | been executed                 | one of the devices it opened, if any
 * MOUNTED   | called mount(2)               | the device that the call named
 * UNMOUNTED | called umount(2) on it        | hung up, as the kernel's device would be: go-fuse
 * waits for that besides, in any state: it has exited (its status is known), it is gone with all it
 * started.
 */
#ifndef PF_LAUNCH_H
#define PF_LAUNCH_H

#include "launch/device.h"
#include "supervise/supervise.h"

struct pf__launch;

enum pf__launch_way {
	PF_LAUNCH_ANY,        /* supervised; where that cannot be and argv has {}, by /dev/fd */
	PF_LAUNCH_SUPERVISED, /* its open of /dev/fuse and its mount are answered by us */
	PF_LAUNCH_DEV_FD, /* {} becomes /dev/fd/N, which is the socket: libfuse >= 3.3, go-fuse */
};

#define PF_LAUNCH_GRACE_MS 5000 /* what a server may take to end after SIGTERM */

struct pf__launch_config {
	enum pf__launch_way way;
	uint32_t timeout_ms; /* to mount; 0: 30,000 */
	int stderr_fd;       /* where the server's output and messages go; -1: our stderr */
	uint32_t grace_ms;   /* between SIGTERM and SIGKILL should we die; 0: PF_LAUNCH_GRACE_MS */
};
#define PF_LAUNCH_CONFIG_INIT                                                                      \
	{                                                                                          \
		.stderr_fd = -1                                                                    \
	}

/*
 * Start argv as a shell would: found through PATH, our environment, directory, descriptors and
 * standard input; its standard output goes where its messages go, since ours is for the files.
 * "{}" within a word stands for a private directory. Waits until the server has mounted (by
 * /dev/fd: has been executed). On failure nothing is left of it and there is a sentence. Errors: as
 * pf_start() in portfire.h.
 */
int pf__launch(struct pf__launch **l, char *const argv[], const struct pf__launch_config *config);

/* What it mounted. Valid until pf__launch_stop(), options and the like too. By /dev/fd all strings
 * but mountpoint are "". */
const struct pf__mount *pf__launch_mount(const struct pf__launch *l);
/* Our end. It is the caller's from now on; -1 the second time. It hangs up by shutdown(2) or by
 * pf__launch_stop(); closing alone does not. */
int pf__launch_take_fd(struct pf__launch *l);
/* The process that serves: the one started, or, once that has ended, one that holds the device; 0.
 */
pid_t pf__launch_server_pid(struct pf__launch *l);
/*
 * INIT was answered (0) or refused: lets a mount that waits for it (SYNC_INIT) go on or fail, and
 * gives the terminal back.
 */
void pf__launch_init_done(struct pf__launch *l, int err);
/*
 * Why the server is gone or useless: a negative errno (-EBUSY it mounted twice, else -ENOTCONN),
 * and the sentence in buf; 0 and "" when nothing is known to be wrong. Waits a moment for the news
 * of a server that has just hung up.
 */
int pf__launch_obituary(struct pf__launch *l, char *buf, size_t size);

/* We are about to hang up: pass nothing on any more of what the server says (libfuse complains). */
void pf__launch_hanging_up(struct pf__launch *l);
/*
 * After DESTROY was answered and our end closed: wait for the server, end it if it does not, remove
 * the private directory, free l. 0; or -ETIMEDOUT when a process hangs in the kernel. *status (may
 * be NULL) is the server's, as from waitpid().
 */
int pf__launch_stop(struct pf__launch *l, unsigned grace_ms, int *status);

#endif
