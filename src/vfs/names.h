/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the "names" side of the vfs share among themselves. Nobody else needs it. */
#ifndef PF_VFS_NAMES_H
#define PF_VFS_NAMES_H

#include "vfs/file.h"
#include "vfs/perm.h"

/* ---- vfs/lookup.c */
/* pf__lookup(), but what is cached and valid may be asked for again: positive names for the last
 * component of exclusive creation and the target of a rename; all of them after -ESTALE. */
enum pf__ask { PF_ASK_EXPIRED, PF_ASK_POSITIVE, PF_ASK_ALL };
int pf__lookup_ask(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len,
		   enum pf__ask ask, struct pf__inode **inode);
/* ".." of dir: as last known, else by LOOKUP where the server allows it, else -ESTALE. Referenced.
 */
int pf__lookup_parent(const struct pf__from *f, struct pf__inode *dir, struct pf__inode **parent);

/* ---- vfs/walk.c; besides PF_WALK_* of walk.h */
#define PF_WALK_REVAL (1u << 8) /* ask for every component again */
static inline enum pf__ask pf__walk_ask(unsigned walk)
{
	return walk & PF_WALK_REVAL ? PF_ASK_ALL : PF_ASK_EXPIRED;
}

/* The attributes at path, if they can be had without a request, a lock or a reference. 1 and *out
 * (fields in need are valid); 0: take the slow way; negative errno: that is the answer. */
int pf__walk_attr(struct pf_fs *fs, const char *path, unsigned flags, uint32_t need,
		  struct pf__attr *out);
/* pf__walk(), once more with PF_WALK_REVAL when the server says ESTALE. */
int pf__walk_retry(const struct pf__from *f, const char *path, unsigned flags,
		   struct pf__inode **inode);
int pf__walk_parent_flags(const struct pf__from *f, const char *path, unsigned flags,
			  struct pf__last *last);

/* ---- vfs/names.c */
/*
 * A place for a new name: last of path, not taken. -EEXIST, and -ENOENT for "name/" unless a
 * directory is to be made; -EROFS; -EACCES. On success last must be put.
 */
int pf__place_new(const struct pf__from *f, const char *path, unsigned walk, bool dir,
		  struct pf__last *last);
/* The directory's names changed: its attributes with them. */
void pf__dir_touched(const struct pf__from *f, struct pf__inode *dir);
/* An attempt to change what the name is failed, or nobody knows whether it did: what was known of
 * the name, or listed in its directory, is void. */
void pf__name_doubted(const struct pf__from *f, struct pf__inode *dir, const char *name,
		      size_t len);
bool pf__read_only(const struct pf__from *f);

/* ---- vfs/acl.c */
/* What the access ACL of inode says: 0, -EACCES; -ENODATA: there is none, the mode decides. May
 * send GETXATTR. */
int pf__acl_check(const struct pf__from *f, struct pf__inode *inode, const struct fuse_attr *attr,
		  unsigned mask);
/* Known to have none, without asking? */
bool pf__acl_known_none(const struct pf__inode *inode);

/* ---- vfs/getattr.c */
/* Ask the server. */
int pf__getattr_ask(const struct pf__from *f, struct pf__inode *inode, struct pf__open_file *file,
		    struct pf__attr *out);
int pf__attr_error(const struct pf__from *f, struct pf__inode *inode, const struct pf__req *r,
		   size_t size);

#endif
