/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backing files (FUSE_PASSTHROUGH): what a server has registered, by id. The launcher's device puts
 * them in (launch/device.c), the arbiter takes them out at open. Knows nothing of inodes. Nothing
 * in here waits for a server.
 */
#ifndef PF_IO_BACKING_H
#define PF_IO_BACKING_H

#include <stdbool.h>
#include <stdint.h>

/* One registered file. Referenced: by its id, and by each open file that uses it. */
struct pf__backing {
	_Atomic int refs;
	int fd;     /* the server's own, once more; perhaps O_PATH */
	bool as_we; /* its server may do all that we may: so may who opens it */
};
void pf__backing_put(struct pf__backing *b); /* NULL is fine */
/* Opened anew with these flags (O_ACCMODE, O_APPEND, O_DIRECT, O_SYNC, O_DSYNC, O_NOATIME count),
 * close-on-exec: a descriptor, or negative errno. -EACCES: the server itself might not. */
int pf__backing_reopen(const struct pf__backing *b, int flags);
/* May b's own descriptor be read and written as an open with these flags asks for? */
bool pf__backing_suffices(const struct pf__backing *b, int flags);

/* The ids of one connection. Referenced. */
struct pf__backings;
struct pf__backings *pf__backings_new(void); /* NULL: no memory */
struct pf__backings *pf__backings_get(struct pf__backings *t);
void pf__backings_put(struct pf__backings *t); /* NULL is fine */
/* INIT was answered: was passthrough negotiated? Until then ids are given, since a server may be
 * faster than we. no: all ids go, and no more are given. */
void pf__backings_decide(struct pf__backings *t, bool yes);
/*
 * FUSE_DEV_IOC_BACKING_OPEN of fd, which stays the caller's: an id >= 1. as_we: the server could
 * open whatever we can; else its descriptor says what may be done. Or as Linux has it -EPERM (not
 * negotiated), -EISDIR, -EINVAL (no regular file). -ELOOP: it lies in a FUSE file system,
 * where reading it could take for ever; -EMFILE, -ENOSPC: there are too many; -ENOMEM.
 */
int pf__backings_add(struct pf__backings *t, int fd, bool as_we);
/* FUSE_DEV_IOC_BACKING_CLOSE: 0, -EPERM, -EINVAL, -ENOENT. Who has it open keeps it. */
int pf__backings_remove(struct pf__backings *t, int id);
/* May ids be had at all? 0 or -EPERM. */
int pf__backings_allowed(struct pf__backings *t);
/* Referenced; NULL: no such id. */
struct pf__backing *pf__backings_find(struct pf__backings *t, int id);

#endif
