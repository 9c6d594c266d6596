/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the client remembers of a server: inodes with their lookup counts, names (positive and
 * negative), attributes, symlink targets, each with its validity. Knows nothing of data or
 * requests; it reaches up through struct pf__cache_ops alone.
 *
 * Readers of names and attributes take no lock: they run in an RCU read section, or hold a
 * reference to the inode. Writers take the cache's locks (PF_RANK_NAMES, then PF_RANK_INODE).
 *
 * Life of an inode: made by the first reply that names it, found by nodeid, held by references (the
 * names that lead to it, its children's names, open files, calls in progress). When the last
 * reference goes it leaves the table and its lookup count is given back by ops->forget (never for
 * the root).
 */
#ifndef PF_CACHE_CACHE_H
#define PF_CACHE_CACHE_H

#include "base/list.h"
#include "base/rcu.h"
#include "proto/wire.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pf__cache;
struct pf__inode; /* cache/inode.h */

struct pf__cache_ops {
	void (*forget)(void *ctx, uint64_t nodeid, uint64_t nlookup); /* any lock may be held */
	/* Attributes that the server gave changed the size or the mtime of an inode that has an io
	 * state. Locks of the cache may be held: must not wait, nor call back. May be NULL. */
	void (*data_changed)(void *ctx, struct pf__inode *inode, uint64_t old_size,
			     uint64_t new_size, bool new_mtime);
};

struct pf__cache_config {
	const struct pf__cache_ops *ops;
	void *ctx;
	size_t max_names;   /* names kept; beyond, the least recently used unused ones go */
	uint32_t root_mode; /* S_IFMT bits of the root, S_IFDIR when unknown */
	bool auto_inval;    /* for later layers: AUTO_INVAL_DATA */
};

int pf__cache_open(struct pf__cache **cache, const struct pf__cache_config *config);
/* Free everything without forgets: the server is gone (or has had DESTROY). */
void pf__cache_close(struct pf__cache *cache);
/* Drop all names that nobody uses, so that their inodes are forgotten (before DESTROY). */
void pf__cache_shrink(struct pf__cache *cache);
/* From the connection's tick: let expired unused names and what is over the limit go. */
void pf__cache_tick(struct pf__cache *cache, uint64_t now);

/* Call fn for the io state of every inode that has one, under the cache's lock. */
void pf__cache_each_io(struct pf__cache *cache, void (*fn)(void *io));

struct pf__inode *pf__cache_root(
    struct pf__cache *cache); /* no reference taken; lives with cache */

/* ---- references */
struct pf__inode *pf__inode_get(struct pf__inode *inode); /* caller holds one already */
bool pf__inode_tryget(struct pf__inode *inode);           /* in an RCU section; false: it dies */
void pf__inode_put(struct pf__cache *cache, struct pf__inode *inode); /* NULL is fine */
/* By nodeid, for notifications and handles. Referenced, or NULL. */
struct pf__inode *pf__inode_find(struct pf__cache *cache, uint64_t nodeid);

/* ---- versions: a reply that began before a local change never overwrites it; of two replies that
 * of the request sent later counts, so that who asks never sees what was before he asked */
/* Before sending, once for each request: the versions that its reply will be judged by. */
struct pf__sample {
	uint64_t attr_version; /* 0: always apply */
	bool created;          /* by a request that makes names */
	uint64_t
	    evict_version; /* new inodes: attributes stay invalid if a live inode went meanwhile */
	uint32_t epoch;
};
struct pf__sample pf__cache_sample(struct pf__cache *cache);
/*
 * The same for create types. Linux takes their attributes in whatever has changed since, for it has
 * the directory locked meanwhile; we have not: CREATE may answer with a file that another one has
 * made, and has written to, before the answer is here.
 */
struct pf__sample pf__cache_sample_create(struct pf__cache *cache);

/* ---- names */
enum pf__name_state {
	PF_NAME_UNKNOWN,  /* ask the server */
	PF_NAME_POSITIVE, /* valid; inode given */
	PF_NAME_NEGATIVE, /* valid: does not exist */
	PF_NAME_EXPIRED,  /* positive, but must be asked for again; inode given */
};
/* Inside an RCU section; *inode is not referenced. dir needs no reference beyond the section. */
enum pf__name_state pf__name_find_rcu(struct pf__cache *cache, struct pf__inode *dir,
				      const char *name, size_t len, uint64_t now,
				      struct pf__inode **inode);
/* The same with a reference to *inode, outside of RCU sections. */
enum pf__name_state pf__name_find(struct pf__cache *cache, struct pf__inode *dir, const char *name,
				  size_t len, struct pf__inode **inode);

/*
 * Take in an entry reply (LOOKUP, create types, LINK, READDIRPLUS): count the lookup, find or make
 * the inode (other generation or type under the same nodeid: the old one turns bad), apply
 * attributes by sample, put the name in place of what stood there. e->nodeid 0 makes a negative
 * name with e's validity. expected: the inode that the name led to when a LOOKUP was a
 * revalidation, else NULL; the answer naming another one is handled as the protocol says (the old
 * name goes). *inode (may be NULL): referenced. 0; -EIO the name cannot lead there (a name for the
 * root or for its own directory; a directory below itself); -ENOMEM. On error the lookup has been
 * given back where the protocol says so. -ESTALE with expected: the answer was another inode,
 * another kind of inode or none; the name is dropped, the caller sends a fresh LOOKUP.
 */
int pf__name_enter(struct pf__cache *cache, struct pf__inode *dir, const char *name, size_t len,
		   const struct fuse_entry_out *e, const struct pf__sample *sample,
		   struct pf__inode *expected, struct pf__inode **inode);
/* An inode without a name (TMPFILE, by handle): the same, but no name. */
int pf__inode_enter(struct pf__cache *cache, const struct fuse_entry_out *e,
		    const struct pf__sample *sample, struct pf__inode **inode);
/* ENOENT without validity, EEXIST, EINTR ...: what was known of the name is void. */
void pf__name_drop(struct pf__cache *cache, struct pf__inode *dir, const char *name, size_t len);
/* Keep, but ask again at next use (EXPIRE_ONLY, chmod of a directory). */
void pf__name_expire(struct pf__cache *cache, struct pf__inode *dir, const char *name, size_t len);
void pf__inode_expire_names(struct pf__cache *cache, struct pf__inode *inode);
/* The server does not know the inode any more: all its names are void. */
void pf__inode_drop_names(struct pf__cache *cache, struct pf__inode *inode);
/* After a successful UNLINK or RMDIR of the name: attributes of victim (nlink, ctime) follow. */
void pf__name_removed(struct pf__cache *cache, struct pf__inode *dir, const char *name, size_t len,
		      bool is_dir);
/* After a successful RENAME; exchange: both names changed places. Moves the name, adjusts "..". */
void pf__name_moved(struct pf__cache *cache, struct pf__inode *fromdir, const char *from,
		    size_t fromlen, struct pf__inode *todir, const char *to, size_t tolen,
		    bool exchange);
/* The inode's directory, for ".." : a directory's parent as last known, referenced; NULL unknown.
 */
struct pf__inode *pf__inode_parent(struct pf__cache *cache, struct pf__inode *dir);
void pf__inode_set_parent(struct pf__cache *cache, struct pf__inode *dir, struct pf__inode *parent);
/* In an RCU section: the parent, not referenced. */
struct pf__inode *pf__inode_parent_rcu(const struct pf__inode *dir);
/* True when dir is below (or is) ancestor, by known parents. For rename into itself. */
bool pf__inode_is_below(struct pf__cache *cache, struct pf__inode *dir, struct pf__inode *ancestor);

/* ---- notifications; the errno that the server's write would get */
int pf__cache_inval_entry(struct pf__cache *cache, uint64_t parent, const char *name, size_t len,
			  bool expire_only);
int pf__cache_delete(struct pf__cache *cache, uint64_t parent, uint64_t child, const char *name,
		     size_t len);
int pf__cache_inval_inode(struct pf__cache *cache, uint64_t nodeid);
void pf__cache_inc_epoch(struct pf__cache *cache);
void pf__cache_prune(struct pf__cache *cache, uint64_t nodeid);

/* ---- READDIRPLUS's heuristic */
void pf__dir_advise(struct pf__inode *dir);      /* a name in it was looked up */
bool pf__dir_take_advice(struct pf__inode *dir); /* and consume it */
/* The inode was entered by READDIRPLUS: the first use of its name advises its directory. */
void pf__inode_from_readdirplus(struct pf__inode *inode);

struct pf__cache_stats {
	uint64_t names, negative_names, inodes, hits, misses, expired, evicted, bytes;
	uint64_t listings, listing_bytes; /* of directories; not in bytes */
};
void pf__cache_stats(struct pf__cache *cache, struct pf__cache_stats *out);
/* For tests: NULL, or what is wrong with the invariants. Walks over everything. */
const char *pf__cache_check(struct pf__cache *cache);

#endif
