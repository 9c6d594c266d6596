/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks that the client keeps by itself, for servers that keep none: POSIX record locks, OFD locks,
 * and flock's, which do not see each other's. Knows nothing of files; owners are numbers.
 *
 * One table per file system, one mutex (PF_RANK_LOCKS), never held while anybody waits.
 */
#ifndef PF_VFS_LOCALOCK_H
#define PF_VFS_LOCALOCK_H

#include "base/list.h"
#include <stdbool.h>
#include <stdint.h>

enum pf__lock_kind {
	PF_LOCK_POSIX, /* and OFD: they are the same locks with other owners */
	PF_LOCK_FLOCK,
};

struct pf__lock {
	struct pf__list link; /* private */
	const void *inode;    /* identity only */
	enum pf__lock_kind kind;
	bool ofd;   /* owned by an open file: no part in deadlocks of processes */
	short type; /* F_RDLCK, F_WRLCK, F_UNLCK */
	uint64_t owner;
	uint64_t start, end; /* end inclusive */
	uint32_t pid;        /* for F_GETLK */
};

struct pf__locks;
int pf__locks_open(struct pf__locks **locks);
void pf__locks_close(struct pf__locks *locks);

/* Set or remove. wait: until it can be had; gone(ctx) true ends the wait with -ENOTCONN.
 * 0, -EAGAIN, -EDEADLK, -EINTR (a signal, or interrupted through group), -ENOMEM. */
int pf__locks_set(struct pf__locks *l, const struct pf__lock *want, bool wait, const void *group,
		  bool (*gone)(const void *ctx), const void *ctx);
/* Who stands in the way? *found has type F_UNLCK when nobody does. */
void pf__locks_test(struct pf__locks *l, const struct pf__lock *want, struct pf__lock *found);
/* Remove all of an owner on an inode; of both kinds if any_kind, else POSIX only. */
void pf__locks_remove(struct pf__locks *l, const void *inode, uint64_t owner, bool any_kind);
/* Interrupt the waits of a group; wake all waiters so that they look whether the server is gone. */
int pf__locks_interrupt(struct pf__locks *l, const void *group);
void pf__locks_wake_all(struct pf__locks *l);

#endif
