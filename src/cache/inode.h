/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One file, directory or link of the server: identity, attributes with their validity, and what
 * else hangs on it. See cache.h for its life.
 */
#ifndef PF_CACHE_INODE_H
#define PF_CACHE_INODE_H

#include "cache/cache.h"
#include <time.h>

/* Which attributes are not to be trusted (struct pf__attr.invalid). */
#define PF_ATTR_MODE   (1u << 0)
#define PF_ATTR_OWNER  (1u << 1)
#define PF_ATTR_SIZE   (1u << 2)
#define PF_ATTR_ATIME  (1u << 3)
#define PF_ATTR_MTIME  (1u << 4)
#define PF_ATTR_CTIME  (1u << 5)
#define PF_ATTR_BLOCKS (1u << 6)
#define PF_ATTR_NLINK  (1u << 7)
#define PF_ATTR_ALL    0xffu
/* What a write, a truncation, an allocation or a copy leaves behind. */
#define PF_ATTR_MODIFIED (PF_ATTR_SIZE | PF_ATTR_MTIME | PF_ATTR_CTIME | PF_ATTR_BLOCKS)

/* Flags of an inode; set and read with atomics. */
#define PF_INODE_BAD         (1u << 0) /* every operation fails with EIO */
#define PF_INODE_ADVISE_PLUS (1u << 2)
#define PF_INODE_PLUS_ENTRY  (1u << 3) /* made by READDIRPLUS, name not yet used */
#define PF_INODE_OWNED       (1u << 4) /* size, mtime and ctime are ours (write-back) */

/* The identity is constant and may be read by whoever holds a reference or is in an RCU section. */
uint64_t pf__inode_nodeid(const struct pf__inode *inode);
uint64_t pf__inode_generation(const struct pf__inode *inode);
uint32_t pf__inode_type(const struct pf__inode *inode); /* S_IFMT bits */
bool pf__inode_is_bad(const struct pf__inode *inode);
void pf__inode_mark_bad(struct pf__cache *cache, struct pf__inode *inode);
uint64_t pf__inode_nlookup(const struct pf__inode *inode);

/* When attributes or names expire that are valid for so long from now; 0 at once. */
uint64_t pf__attr_until(uint64_t sec, uint32_t nsec);

/* Called under the inode's lock when a change makes the file longer: what it does to the pages is
 * done when others may rely on the new size (pf__inode_reaches()), and who fetches pages afterwards
 * sees that size. It must not wait. */
typedef void (*pf__grown_fn)(void *ctx, uint64_t old_size);

struct pf__attr {
	struct fuse_attr attr;
	uint64_t valid_until; /* pf__now(); 0 expired */
	uint64_t version;
	uint32_t invalid; /* PF_ATTR_* */
};
/* A consistent copy, without locks; true when none of the fields in need is expired or invalid at
 * now. need 0: any field will do, the copy is for what is there. */
bool pf__inode_attr(const struct pf__inode *inode, uint32_t need, uint64_t now,
		    struct pf__attr *out);
/* The size alone, for cached reads: are size and mtime valid at now? False too when they are just
 * being written. */
bool pf__inode_size_valid(const struct pf__inode *inode, uint64_t now);
/* The size alone, valid or not. */
uint64_t pf__inode_size(const struct pf__inode *inode);
/* Does the file go up to end? For who reads cached data: no, while what made it longer has not
 * dropped the zeros behind its old end yet. Looked at after the bytes, and before it is looked
 * whether they are still the page's, it tells that they are the file's. */
bool pf__inode_reaches(const struct pf__inode *inode, uint64_t end);
/* The mode alone, for the checks on a path; false: invalid, expired, or just being written. */
bool pf__inode_mode(const struct pf__inode *inode, uint64_t now, uint32_t *mode);

/* Take in attributes from a reply; valid_until 0: not cached. They are ignored when a newer local
 * change stands against the sample, or the size is unstable. -EIO and bad inode when the type
 * changed. */
int pf__inode_set_attr(struct pf__cache *cache, struct pf__inode *inode,
		       const struct fuse_attr *attr, uint64_t valid_until,
		       const struct pf__sample *sample);
/* The same for the reply of a SETATTR that changed something (fields, PF_ATTR_*): the values count
 * in any case, but are not cached where a newer change stands against the sample; those that are
 * ours (see pf__inode_set_owned()) only where they were changed. */
int pf__inode_set_attr_changed(struct pf__cache *cache, struct pf__inode *inode,
			       const struct fuse_attr *attr, uint64_t valid_until,
			       const struct pf__sample *sample, uint32_t fields);
/*
 * While the client is the authority for size, mtime and ctime (write-back: a file open for writing,
 * or with dirty data) replies do not change them, and they are always valid. fields: what the
 * caller has just had changed by the server, which counts all the same (SETATTR).
 */
void pf__inode_set_owned(struct pf__cache *cache, struct pf__inode *inode, bool owned);
bool pf__inode_owned(const struct pf__inode *inode);
/* A local write of an owned inode: size becomes max(size, end), mtime and ctime become now. */
void pf__inode_owned_write(struct pf__cache *cache, struct pf__inode *inode, uint64_t end,
			   const struct timespec *now, pf__grown_fn grown, void *ctx);
/* ctime, and with mtime also mtime, of an owned inode. */
void pf__inode_owned_times(struct pf__cache *cache, struct pf__inode *inode,
			   const struct timespec *now, bool mtime);
/* A READ came back short: the file ends at end, unless something newer than sample is known, or the
 * size is being changed. True when the size is end now. */
bool pf__inode_short_read(struct pf__cache *cache, struct pf__inode *inode, uint64_t end,
			  const struct pf__sample *sample);
/* Mark fields as not to be trusted. */
void pf__inode_invalidate(struct pf__cache *cache, struct pf__inode *inode, uint32_t fields);
/* A local change, newer than any reply that is under way: version goes up, size becomes
 * max(size, end) or, with exact, end; the fields given turn invalid. */
void pf__inode_local_write(struct pf__cache *cache, struct pf__inode *inode, uint64_t end,
			   bool exact, uint32_t invalid);
/* The same for data that was changed up to end. If that makes the file longer grown() is called,
 * under the inode's lock: what it does to the pages is done when others may rely on the new size
 * (pf__inode_reaches()), and who fetches pages afterwards sees that size. It must not wait. */
void pf__inode_grow(struct pf__cache *cache, struct pf__inode *inode, uint64_t end,
		    uint32_t invalid, pf__grown_fn grown, void *ctx);
/* A local change that leaves the size: version goes up, the fields given turn invalid. */
void pf__inode_bump(struct pf__cache *cache, struct pf__inode *inode, uint32_t invalid);
/* Around a call that changes the size; counts nest. The end bumps the version. In between replies'
 * attributes are ignored. */
void pf__inode_size_begin(struct pf__cache *cache, struct pf__inode *inode);
void pf__inode_size_end(struct pf__cache *cache, struct pf__inode *inode);
/* Wait until no such call is under way. 0, -EINTR, -ETIMEDOUT at deadline. */
bool pf__inode_size_changes(const struct pf__inode *inode); /* now */
int pf__inode_size_wait(struct pf__inode *inode, uint64_t deadline);

/* A cached symlink target (CACHE_SYMLINKS). In an RCU section: the target, NUL-terminated, or NULL.
 */
const char *pf__inode_symlink_rcu(const struct pf__inode *inode);
int pf__inode_set_symlink(struct pf__cache *cache, struct pf__inode *inode, const char *target,
			  size_t len);

void pf__inode_drop_symlink(struct pf__cache *cache, struct pf__inode *inode);

/* The time of birth, known only from STATX; reserved is 1 when the server has one. False: unknown.
 */
bool pf__inode_btime(struct pf__inode *inode, struct fuse_sx_time *btime);
void pf__inode_set_btime(struct pf__inode *inode,
			 const struct fuse_sx_time *btime); /* NULL: none */

/* A cached ACL (which: 0 access, 1 default): its xattr value copied to buf. >= 0 the length (0:
 * there is none), -ENODATA unknown: ask the server. */
ssize_t pf__inode_acl(struct pf__inode *inode, int which, void *buf, size_t size);
int pf__inode_set_acl(struct pf__cache *cache, struct pf__inode *inode, int which,
		      const void *value, size_t size);
void pf__inode_drop_acls(struct pf__cache *cache, struct pf__inode *inode);

/* The I/O layer's own state of an inode: made once, freed with the inode by the function given. */
void *pf__inode_io(const struct pf__inode *inode);
void *pf__inode_set_io(struct pf__inode *inode, void *io,
		       void (*io_free)(void *)); /* the winner's */
/* A word for the vfs' gate of a directory, 0 at first. NULL: no memory. */
_Atomic uint32_t *pf__inode_gate(struct pf__inode *inode);

#endif
