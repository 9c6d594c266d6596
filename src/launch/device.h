/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The role "FUSE device" on a supervisor: for every process below it, opening /dev/fuse gives one
 * end of a new SOCK_SEQPACKET pair, and mount(2), umount(2) and the FUSE ioctls are answered so
 * that it believes it has mounted. What becomes of a mount decides the owner.
 *
 * A device is unattached until a mount names it by its descriptor number ("fd=N"). CLONE needs no
 * channel of its own here: the new descriptor becomes another one for the same socket, from which
 * any of the server's threads takes the next request. That is what the kernel's clones do, too:
 * they share one queue of requests.
 */
#ifndef PF_LAUNCH_DEVICE_H
#define PF_LAUNCH_DEVICE_H

#include "io/backing.h"
#include "supervise/supervise.h"

/* One mount(2) of a server. */
struct pf__mount {
	int fd;                        /* our end of the pair */
	size_t max_message;            /* bytes that fit into one message, both ways */
	size_t peer_sndbuf;            /* SO_SNDBUF of the server's end */
	ino_t peer_ino;                /* inode number of the server's end: tells who has it open */
	struct pf__backings *backings; /* where its server registers files; a reference; NULL */
	bool sync_init;                /* the mount waits for INIT: pf__device_answer_mount() */
	pid_t tid;                     /* of the mounting thread, which may be gone by now */
	char *mountpoint;              /* absolute, without symbolic links */
	char *source, *fstype;         /* as given */
	/* Comma-separated: the data as given without fd=, then ro, fsname=, subtype=, blkdev. */
	char *options;
};
void pf__mount_clear(
    struct pf__mount *m); /* frees the strings and the reference, closes fd if >= 0 */

struct pf__device_ops {
	/* A server mounts. 0: it is the owner's now, m is moved; or the negative errno that the
	 * server gets. With m->sync_init the answer waits for pf__device_answer_mount(). */
	int (*mount)(void *ctx, struct pf__mount *m);
	/* Is this path (as in pf__mount.mountpoint) mounted? Then it is no longer when unmount. */
	bool (*mounted)(void *ctx, const char *path, bool unmount);
	/* Where a caller's path leads: absolute, without symbolic links, PATH_MAX bytes. 0, or
	 * negative errno when nothing is there. NULL: where it leads for us. */
	int (*resolve)(void *ctx, const struct pf__call *call, const char *path, char *real);
};

struct pf__devices;
/* Adds the role to s. ops and ctx live as long as s. 0 or -ENOMEM. */
int pf__devices_new(struct pf__devices **d, struct pf__supervisor *s,
		    const struct pf__device_ops *ops, void *ctx);
/* After the supervisor has ended. NULL is fine. */
void pf__devices_free(struct pf__devices *d);
/* From any thread: a mount with sync_init returns 0 or err to the server. Nothing if none waits. */
void pf__device_answer_mount(struct pf__devices *d, int err);

/* A filter above ours forbids mount(2): what executes fusermount is then of the role, too. A mount
 * could not be made, since its process cannot be traced: *untraceable. */
bool pf__devices_no_mount(const struct pf__devices *d, bool *untraceable);
/* We were not allowed to read a caller's memory, and so could not help it. */
bool pf__devices_blind(struct pf__devices *d);

/* A pair with buffers as large as allowed: ours in *fd, the server's in *peer. Sets m's sizes. */
int pf__device_pair(struct pf__mount *m, int *fd, int *peer);

/* ---- pure parts, for tests ------------------------------------------------------------------ */

/* The descriptor in mount data ("fd=4,rootmode=40000"), or -EINVAL. */
int pf__mount_data_fd(const char *data);
/* The options of struct pf__mount, malloc'ed; NULL: no memory. */
char *pf__mount_options_text(const char *data, const char *source, const char *fstype,
			     unsigned long flags);
/* "fuse", "fuseblk", or one of them with a subtype. */
bool pf__is_fuse_type(const char *fstype);
/* Is it /dev/fuse, but for repeated slashes and "."? */
bool pf__is_fuse_device(const char *path);

#endif
