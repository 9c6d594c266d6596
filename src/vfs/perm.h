/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Permission: who may use the mount at all (allow_other), default_permissions with owner, groups,
 * sticky bit and ACLs, read-only mounts; or nothing but what the server says.
 */
#ifndef PF_VFS_PERM_H
#define PF_VFS_PERM_H

#include "vfs/walk.h"

#define PF_MAY_EXEC  1u
#define PF_MAY_WRITE 2u
#define PF_MAY_READ  4u

/* Under default_permissions: does the mode (or ACL) grant mask? Attributes are asked for when
 * expired, and once more on refusal. Without default_permissions: 0. -EROFS for writing on a
 * read-only mount (devices and fifos apart). */
int pf__may(const struct pf__from *f, struct pf__inode *inode, unsigned mask);
/* Without requests, in an RCU section: 0, -EACCES, or -EAGAIN: cannot tell, take the slow way. */
int pf__may_rcu(const struct pf__from *f, const struct pf__inode *inode, unsigned mask,
		uint64_t now);
/* Create in dir / remove victim from dir (sticky bit). */
int pf__may_create(const struct pf__from *f, struct pf__inode *dir);
int pf__may_delete(const struct pf__from *f, struct pf__inode *dir, struct pf__inode *victim);
/* chmod, chown, utimens ...: may the caller make this change? Adjusts in (drops S_ISGID, adds MODE
 * for suid/sgid that must go with a chown) as the kernel does. */
int pf__may_setattr(const struct pf__from *f, struct pf__inode *inode, struct fuse_setattr_in *in);
/* access(2) and chdir: asks the server with ACCESS where default_permissions is not on. */
int pf__access(const struct pf__from *f, struct pf__inode *inode, unsigned mask);
/* xattr rules: user.* and trusted.* and system.* namespaces under default_permissions. */
int pf__may_xattr(const struct pf__from *f, struct pf__inode *inode, const char *name, bool write);

#endif
