/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a filter above ours forbids mount(2), as that of most containers does, the call never comes
 * to us: the sterner of two filters decides. But who may not mount asks fusermount for it: libfuse,
 * and what is written in Go and Rust. We stand in for that program when it is executed, which need
 * not even be installed: its process sends the device over the socket that its caller waits at, and
 * ends.
 */
#ifndef PF_LAUNCH_FUSERMOUNT_H
#define PF_LAUNCH_FUSERMOUNT_H

#include "launch/device.h"

/* What it is asked for. */
struct pf__fusermount {
	bool unmount, lazy, quiet;
	char *options, *mountpoint;
	int socket; /* in its process; -1: not said */
};

/* Does a filter forbid mount(2) here? */
bool pf__mount_is_forbidden(void);
/* By its last component. */
bool pf__is_fusermount(const char *path);
/* The words of an execve(). 0; -ENOTSUP for what we do not do: let it be executed; -ENOMEM. */
int pf__fusermount_parse(struct pf__fusermount *f, unsigned argc, char *const *argv);
int pf__fusermount_read(struct pf__fusermount *f, const struct pf__call *call);
void pf__fusermount_clear(struct pf__fusermount *f);
/* Source, type and options of a mount at m->mountpoint, as fusermount would make it. */
int pf__fusermount_describe(const struct pf__fusermount *f, struct pf__mount *m);
/*
 * Answers: the process ends with status 0, having sent fd (if that is not -1) over its socket. As
 * pf__call_instead(), but untraceable processes are left waiting.
 */
int64_t pf__fusermount_done(const struct pf__fusermount *f, const struct pf__call *call, int fd);
/* It could not unmount: the process says so, and ends with status 1. */
int64_t pf__fusermount_failed(const struct pf__fusermount *f, const struct pf__call *call, int err);

#endif
