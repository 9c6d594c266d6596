/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The structures behind cache.h and inode.h, for the files of this folder.
 *
 * Locks: cache->lock (PF_RANK_NAMES) guards both tables, all links between names and inodes,
 * nlookup, and the step of a reference count to zero. One of cache->stripes (PF_RANK_INODE), chosen
 * by the inode's address, guards the inode's attributes and the content of its ext. dirs.lock
 * (PF_RANK_DIRS) guards the listings of dircache.c. Fields that readers see without a lock are
 * written with release and read with acquire.
 *
 * What holds an inode (refs): each name that leads to it, each name in it and each directory whose
 * parent it is, and whoever got a reference from a function of cache.h.
 *
 * Invariants, checked by pf__cache_check(): a live inode other than the root has nlookup > 0; refs
 * >= nnames; a directory has at most one name; parent pointers form no loop.
 */
#ifndef PF_CACHE_INTERNAL_H
#define PF_CACHE_INTERNAL_H

#include "base/lock.h"
#include "cache/inode.h"
#include "cache/shown.h"
#include "cache/table.h"

#define PF_CACHE_STRIPES  64
#define PF_CACHE_COUNTERS 16
#define PF_ATTR_WORDS     14

/* flags of an inode: besides PF_INODE_*, in the upper half how many calls change the size. */
#define PF_INODE_UNHASHED  (1u << 8) /* not in the table any more */
#define PF_INODE_SIZE_WAIT (1u << 9) /* somebody waits for PF_INODE_SIZE_ONE to go */
#define PF_INODE_SIZE_ONE  (1u << 16)
#define PF_INODE_SIZE_MASK 0xffff0000u

struct pf__name {
	struct pf__table_link link;                 /* spare: the epoch in which it was entered */
	struct pf__inode *dir;                      /* constant; referenced */
	struct pf__inode *inode;                    /* referenced; NULL: negative */
	uint64_t valid_until;                       /* pf__now_coarse() */
	struct pf__name *alias_next, **alias_pprev; /* the names of inode */
	union {
		struct pf__list sibling; /* the names in dir */
		struct pf__rcu_head rcu; /* once it is removed */
	};
	uint16_t len;
	uint8_t used; /* second chance: set by a hit if it is clear, cleared by the hand */
	char bytes[];
};

/* A block that readers may see without a lock. */
struct pf__blob {
	struct pf__rcu_head rcu;
	size_t len;
	char bytes[];
};

/* What few inodes have. Made when first needed, lives as long as its inode. */
struct pf__ext {
	struct pf__list children;   /* names in this directory; cache->lock */
	uint64_t changed;           /* version of the last local change to its names; cache->lock */
	struct pf__blob *symlink;   /* stripe to write */
	struct pf__blob *acl[2];    /* stripe to write; NULL: unknown, length 0: there is none */
	struct fuse_sx_time *btime; /* set once */
	void *io;
	void (*io_free)(void *io);
	_Atomic uint32_t gate;
	uint64_t changes;            /* to what stands in this directory; atomic */
	struct pf__listing *listing; /* dircache.c; dirs.lock to write */
};

struct pf__inode {
	struct pf__table_link link;  /* spare: S_IFMT bits, constant */
	uint64_t nodeid, generation; /* constant */
	uint64_t nlookup;            /* cache->lock */
	uint32_t refs;               /* atomic; the last one goes under cache->lock */
	uint32_t flags;              /* atomic */
	uint32_t nnames;             /* cache->lock */
	uint32_t seq;                /* odd while attr is written */
	union {
		struct pf__name *names;  /* cache->lock */
		struct pf__rcu_head rcu; /* once it is dead */
	};
	struct pf__ext *ext;
	struct pf__inode *parent; /* directories: as last known; referenced; cache->lock to write */
	uint64_t attr[PF_ATTR_WORDS]; /* struct pf__attr; written under the stripe's lock */
	uint32_t shown[2], ticket[2]; /* PF_SHOWN_*: its slots in cache->shown, from 1; the
				       * stripe's lock */
};

struct pf__cache {
	struct pf__cache_config config;
	uint64_t seed;
	struct pf__inode *root;
	uint32_t epoch; /* atomic */
	struct pf__table names, inodes;
	char pad[64];            /* what lookups read stands above, what replies write below */
	uint64_t attr_version;   /* atomic; the last one given out */
	uint64_t evict_version;  /* atomic */
	struct pf__shown *shown; /* atomic; NULL: nobody looks */
	uint64_t name_changes;   /* atomic; counted while somebody looks */

	struct {
		uint64_t hits, misses;
		char pad[48];
	} counters[PF_CACHE_COUNTERS];

	struct pf__mutex lock;
	struct pf__mutex stripes[PF_CACHE_STRIPES];
	uint32_t hand; /* the bucket of names that the sweep comes to next */
	uint64_t negative, expired, evicted, bytes;
	bool closing; /* no forgets any more */

	struct {
		struct pf__mutex lock; /* PF_RANK_DIRS */
		struct pf__list used;  /* listings, the last started first */
		uint64_t last_id, count, bytes;
	} dirs; /* dircache.c */
};

static inline bool pf__name_is_used(const struct pf__name *n)
{
	return n->inode && __atomic_load_n(&n->inode->refs, __ATOMIC_ACQUIRE) != n->inode->nnames;
}

static inline uint32_t pf__inode_flags(const struct pf__inode *i)
{
	return __atomic_load_n(&i->flags, __ATOMIC_ACQUIRE);
}

static inline uint64_t pf__next_version(struct pf__cache *c)
{
	return __atomic_add_fetch(&c->attr_version, 1, __ATOMIC_ACQ_REL);
}

/* inode.c; under cache->lock where the name says so */
struct pf__inode *pf__inode_find_locked(struct pf__cache *c, uint64_t nodeid);
void pf__inode_put_locked(struct pf__cache *c, struct pf__inode *inode);
/* The inode of an entry reply, one more lookup counted, referenced; NULL: no memory, given back. */
struct pf__inode *pf__inode_take_lookup(struct pf__cache *c, const struct fuse_entry_out *e,
					const struct pf__sample *sample);
void pf__inode_give_back(struct pf__cache *c, uint64_t nodeid);
struct pf__ext *pf__inode_ext(struct pf__cache *c, struct pf__inode *inode); /* makes it; NULL */
void pf__inode_free(struct pf__inode *inode);
struct pf__mutex *pf__inode_stripe(struct pf__cache *c, const struct pf__inode *inode);

/* shown.c; while pf__is_shown(). Its attributes change, passage: with who
 * may pass the directory (under the stripe, and nobody sees the old ones any more); it has gone bad
 * or dies; the name goes, leads elsewhere or is no longer sure (under cache->lock); all names are.
 */
void pf__shown_attr(struct pf__cache *c, struct pf__inode *inode, bool passage);
void pf__shown_inode(struct pf__cache *c, struct pf__inode *inode);
void pf__shown_name(struct pf__cache *c, const struct pf__name *n, uint64_t was_valid_until);
void pf__shown_epoch(struct pf__cache *c);
static inline bool pf__is_shown(const struct pf__cache *c)
{
	return __builtin_expect(__atomic_load_n(&c->shown, __ATOMIC_ACQUIRE) != NULL, 0);
}

/* attr.c */
void pf__attr_init(struct pf__cache *c, struct pf__inode *inode, const struct fuse_attr *attr,
		   uint64_t valid_until, uint32_t invalid, const struct pf__sample *sample);
/* The inode lost a name: version, nlink, ctime. */
void pf__attr_unlinked(struct pf__cache *c, struct pf__inode *inode, bool all);

/* name.c; under cache->lock */
struct pf__name *pf__name_find_locked(struct pf__cache *c, struct pf__inode *dir, const char *name,
				      size_t len);
void pf__name_remove(struct pf__cache *c, struct pf__name *n);
/* And what is unused below it. */
void pf__name_remove_tree(struct pf__cache *c, struct pf__name *n);
void pf__name_set_expired(struct pf__cache *c, struct pf__name *n);
/* Till when the name is known to lead to *inode, which is not referenced. In an RCU section. 0: it
 * is not. */
uint64_t pf__name_until_rcu(struct pf__cache *c, struct pf__inode *dir, const char *name,
			    size_t len, struct pf__inode **inode);
bool pf__inode_is_below_locked(const struct pf__inode *dir, const struct pf__inode *ancestor);
void pf__dir_changed(struct pf__cache *c, struct pf__inode *dir);

/* As pf__name_find_rcu(), but leaves no trace and wants all attributes valid. In an RCU section. */
bool pf__name_attr_rcu(struct pf__cache *c, struct pf__inode *dir, const char *name, size_t len,
		       uint64_t now, struct pf__attr *out);

/* sweep.c; under cache->lock */
void pf__cache_sweep(struct pf__cache *c, uint64_t now, unsigned budget);
void pf__cache_prune_below(struct pf__cache *c, struct pf__inode *dir);

#endif
