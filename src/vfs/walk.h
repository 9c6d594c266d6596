/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a path to an inode: the walk, component by component, through cached names without locks and
 * through LOOKUP where they are missing. Follows symlinks, "..", trailing slashes; limits NAME_MAX
 * (as negotiated), PATH_MAX, 40 symlinks. Checks search permission on the way (vfs/perm.h).
 */
#ifndef PF_VFS_WALK_H
#define PF_VFS_WALK_H

#include "vfs/super.h"

/* Where a walk starts and who walks. */
struct pf__from {
	struct pf__super *super;
	struct pf__caller caller;
	struct pf__inode
	    *dir; /* of the *at forms; NULL: the root. Not referenced: the file holds it */
};
int pf__from_fs(struct pf__from *f, struct pf_fs *fs);
int pf__from_file(struct pf__from *f,
		  struct pf_file *dir); /* -EBADF NULL; -ENOTDIR only when walked */

#define PF_WALK_FOLLOW    (1u << 0) /* follow a symlink as the last component */
#define PF_WALK_EMPTY     (1u << 1) /* AT_EMPTY_PATH */
#define PF_WALK_DIRECTORY (1u << 2) /* the end must be a directory: -ENOTDIR */

/* The inode at path, referenced. */
int pf__walk(const struct pf__from *f, const char *path, unsigned flags, struct pf__inode **inode);

/* The directory that holds path's last component, and that component, for calls that change names.
 */
struct pf__last {
	struct pf__inode *dir; /* referenced */
	char name[4096]; /* the component, NUL-terminated; "." and ".." and "/" are told by kind */
	size_t len;
	enum { PF_LAST_NAME, PF_LAST_DOT, PF_LAST_DOTDOT, PF_LAST_ROOT } kind;
	bool slash; /* the path ended in a slash */
};
/* A symlink as last component is not followed. */
int pf__walk_parent(const struct pf__from *f, const char *path, struct pf__last *last);
void pf__last_put(const struct pf__from *f, struct pf__last *last);
/*
 * What the last component names: 0 and *inode referenced, -ENOENT (then *inode is NULL).
 * Cached names serve while they are valid; expired positive ones are asked for again
 * (revalidation).
 */
int pf__lookup(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len,
	       struct pf__inode **inode);
/* The target of a symlink: cached (CACHE_SYMLINKS) or by READLINK. buf of 4096 bytes gets it with
 * its NUL; the length without it, or negative errno. */
ssize_t pf__readlink(const struct pf__from *f, struct pf__inode *link, char *buf);
/* Continue a walk from the directory of a symlink along its target (for open with O_CREAT through a
 * dangling link). Like pf__walk_parent(), depth counts links followed so far. */
int pf__walk_parent_from(const struct pf__from *f, struct pf__inode *dir, const char *path,
			 unsigned *depth, struct pf__last *last);

/*
 * Without PARALLEL_DIROPS requests that read names of one directory go one after the other: around
 * LOOKUP, READDIR and READDIRPLUS. What takes names away (UNLINK, RMDIR, RENAME) goes in turn with
 * them, as it does under a kernel's inode lock: sshfs remembers what a listing said, also of names
 * that went while it was read, and then finds for a while what is not there. Not a lock (it is held
 * across the request); waiting for it ends with a signal, pf_interrupt() or the connection. 0,
 * -EINTR, -ENOTCONN, -ENOMEM.
 */
int pf__gate_enter(const struct pf__from *f, struct pf__inode *dir);
void pf__gate_leave(const struct pf__from *f, struct pf__inode *dir);
/* Those of two directories, which may be the same. */
int pf__gates_enter(const struct pf__from *f, struct pf__inode *a, struct pf__inode *b);
void pf__gates_leave(const struct pf__from *f, struct pf__inode *a, struct pf__inode *b);
/*
 * A request that has the server look names up, from before it is sent until its reply is entered:
 * no two of the same name go at once, and none that makes a name beside a READDIRPLUS of its
 * directory. May be held across the request; waiting ends as at the gate, which is passed before.
 * 0; 1: it had to wait, so what was known of the name may have changed; -EINTR, -ENOTCONN.
 */
struct pf__turn {
	enum { PF_TURN_LOOKUP, PF_TURN_MAKE, PF_TURN_LIST } kind;
	const struct pf__inode *dir;
	const char *name; /* not for PF_TURN_LIST */
	size_t len;
	struct pf__list link;
};
int pf__turn_enter(const struct pf__from *f, struct pf__turn *t);
void pf__turn_leave(const struct pf__from *f, struct pf__turn *t);
int pf__gates_interrupt(struct pf__super *s, const void *group); /* the number of waiters found */

/* ---- attributes for the calls */
/* Valid attributes (fields in need, PF_ATTR_*), asking the server when they are not; file may be
 * NULL. Never returns stale ones without having asked. */
struct pf__open_file;
int pf__getattr(const struct pf__from *f, struct pf__inode *inode, uint32_t need,
		struct pf__open_file *file, struct pf__attr *out);
void pf__attr_to_stat(const struct pf__super *s, const struct fuse_attr *a, struct stat *st);

/* SETATTR: in->valid and values are filled by the caller; takes in the reply. */
int pf__setattr(const struct pf__from *f, struct pf__inode *inode, struct fuse_setattr_in *in);
/* Truncation with all that belongs to it (permission of the path form is the caller's; size rules,
 * KILL_SUIDGID, FH and lock owner when file is given, SIZE_UNSTABLE). */
int pf__truncate(const struct pf__from *f, struct pf__inode *inode, struct pf__open_file *file,
		 off_t length);
/* Local times of an inode whose times are ours go to the server, if they are newer than what it
 * has. 0 or negative errno; that the server does not allow it is no error. */
int pf__flush_times(const struct pf__from *f, struct pf__inode *inode);
/* suid and sgid go when someone writes who may not keep them: before a write, truncation, fallocate
 * or copy by f's caller. With KILLPRIV (V1, V2) the server does it: 0 at once. Rule P5, Q1..Q4. */
int pf__kill_priv(const struct pf__from *f, struct pf__inode *inode);

#endif
