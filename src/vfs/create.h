/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making what did not exist: the request that all create types share (umask, extensions, the rules
 * for the reply), and the two that open in one go: CREATE with its way out through MKNOD, TMPFILE.
 */
#ifndef PF_VFS_CREATE_H
#define PF_VFS_CREATE_H

#include "vfs/walk.h"

/*
 * open(O_CREAT) of a name that a LOOKUP said does not exist. last: kind is PF_LAST_NAME. flags: O_*
 * as the caller gave them; mode: permission bits, the umask not yet applied. Checks that the caller
 * may create there (EROFS, EACCES). Gives a referenced regular inode, and, with *opened, what the
 * server said of the handle: the caller owes it a RELEASE then. Without *opened the server knows no
 * CREATE: the file was made by MKNOD, and the caller opens it. -EEXIST: somebody else was faster;
 * without O_EXCL look the name up again. 1: this was seen in time; nothing was sent.
 */
int pf__create(const struct pf__from *f, struct pf__last *last, int flags, mode_t mode,
	       struct fuse_open_out *open, bool *opened, struct pf__inode **inode);
/* open(O_TMPFILE) in the directory dir: always opened. -EOPNOTSUPP: the server cannot. */
int pf__tmpfile(const struct pf__from *f, struct pf__inode *dir, int flags, mode_t mode,
		struct fuse_open_out *open, struct pf__inode **inode);

/* What a create-type request makes, for pf__create_node(). */
struct pf__node {
	uint32_t opcode;    /* MKNOD, MKDIR, SYMLINK */
	mode_t mode;        /* with type bits; the umask not yet applied */
	dev_t rdev;         /* MKNOD */
	const char *target; /* SYMLINK */
};
/* MKNOD, MKDIR, SYMLINK of name in dir, permission checked by the caller. *inode may be NULL. */
int pf__create_node(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len,
		    const struct pf__node *node, struct pf__inode **inode);

#endif
