/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server mounted in the kernel, as its user would do it. One at a time. Whatever becomes of this
 * process, the mount goes and a private mountpoint with it: a guard of its own sees to that.
 */
#ifndef TOOLS_BENCH_MOUNT_H
#define TOOLS_BENCH_MOUNT_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct kernel_mount {
	char dir[PATH_MAX];
	bool private_dir; /* made for "{}", removed afterwards */
	bool mounted;
	int root;     /* open directory */
	pid_t server; /* 0: it is a daemon, or gone */
	pid_t guard;
	int guard_pipe;
	bool masked;
	sigset_t mask; /* of the thread before */
	int lifeline;  /* readable at its end when the last process of the server has ended */
};

/* Why the kernel cannot mount anything here, NULL: nothing speaks against trying. */
const char *kernel_mount_missing(void);

/*
 * Start argv and wait until it has mounted: at mountpoint, or at a private directory that each "{}"
 * in its words is replaced by, where mountpoint is NULL. 0, or -1 and a sentence in why. Nothing
 * is left after a failure. While it is mounted the calling thread leaves signals to others: a
 * thread that waits in the kernel for a server that hangs would take them and never come to handle
 * them.
 */
int kernel_mount_start(struct kernel_mount *m, char *const argv[], const char *mountpoint,
		       unsigned timeout_ms, char *why, size_t why_size);
/* Unmount, and wait for the server's end. Close what was opened below it before. 0, or -1: it did
 * not end. */
int kernel_mount_stop(struct kernel_mount *m);
/* Let go of everything that waits for the server. From any thread. */
void kernel_mount_abort(void);

#endif
