/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A table of attributes in memory that other processes map, read-only: so that they can look at
 * what is cached without asking. Keys are whatever the one who enters makes of a name.
 *
 * An inode stands in it twice at most: by a name, and by itself. What is entered is void as soon as
 * the cache says anything else of the inode or of a name that leads to it, and after its time. What
 * changes where a directory stands, or who may pass it, makes the whole table void.
 *
 * Readers may be other processes: nothing in here points anywhere.
 */
#ifndef PF_CACHE_SHOWN_H
#define PF_CACHE_SHOWN_H

#include "proto/wire.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PF_SHOWN_SLOTS (1u << 18)
#define PF_SHOWN_WORDS (sizeof(struct fuse_attr) / 8)

/* Odd seq: it is being written. */
struct pf__shown_slot {
	uint32_t seq, ticket; /* ticket: of the inode's that stands in it */
	uint64_t key;         /* 0: void */
	uint64_t until;       /* pf__now_coarse() */
	uint32_t gen, place;  /* the table's then, and the caller's */
	uint64_t dev;
	uint64_t attr[PF_SHOWN_WORDS];
};

struct pf__shown {
	uint32_t gen;     /* entries of another one are void */
	uint32_t tickets; /* the last one given out */
	uint32_t pad[30];
	struct pf__shown_slot slots[PF_SHOWN_SLOTS];
};

/* A key stands in one of two slots side by side. */
static inline unsigned pf__shown_index(uint64_t key, unsigned way)
{
	return (unsigned)(key % PF_SHOWN_SLOTS) ^ way;
}

static inline bool pf__shown_read(const struct pf__shown *t, const struct pf__shown_slot *s,
				  uint64_t key, uint32_t place, uint64_t now, uint64_t *dev,
				  struct fuse_attr *attr)
{
	uint64_t *words = (uint64_t *)attr;
	uint32_t seq = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE);

	if (seq & 1 || __atomic_load_n(&s->key, __ATOMIC_ACQUIRE) != key ||
	    __atomic_load_n(&s->gen, __ATOMIC_ACQUIRE) !=
		__atomic_load_n(&t->gen, __ATOMIC_ACQUIRE) ||
	    __atomic_load_n(&s->place, __ATOMIC_ACQUIRE) != place ||
	    __atomic_load_n(&s->until, __ATOMIC_ACQUIRE) < now)
		return false;
	*dev = __atomic_load_n(&s->dev, __ATOMIC_ACQUIRE);
	for (unsigned i = 0; i < PF_SHOWN_WORDS; i++)
		words[i] = __atomic_load_n(&s->attr[i], __ATOMIC_ACQUIRE);
	return __atomic_load_n(&s->seq, __ATOMIC_RELAXED) == seq;
}

/* What stands there for key; false: nothing valid. place: what pf__show_begin() was given. */
static inline bool pf__shown_find(const struct pf__shown *t, uint64_t key, uint32_t place,
				  uint64_t now, uint64_t *dev, struct fuse_attr *attr)
{
	return pf__shown_read(t, &t->slots[pf__shown_index(key, 0)], key, place, now, dev, attr) ||
	       pf__shown_read(t, &t->slots[pf__shown_index(key, 1)], key, place, now, dev, attr);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

struct pf__cache;
struct pf__inode;

/* From now on names of the cache may be shown in t, which was zeroed at first. NULL: no longer;
 * when it returns the table is not looked at any more, if nobody shows names meanwhile. */
void pf__cache_show(struct pf__cache *cache, struct pf__shown *t);

/* A directory whose names are shown. */
struct pf__showing {
	struct pf__cache *cache;
	struct pf__inode *dir; /* referenced */
	uint64_t until;        /* no longer than the way to it is known */
	uint64_t dev;
	uint32_t gen, place;
};
/* path: absolute within the file system, without links, "." and "..". gen: the table's, before it
 * was found that programs may pass there. place: until it is another one. False: not all of the way
 * is known, and nothing was begun. */
bool pf__show_begin(struct pf__showing *s, struct pf__cache *cache, const char *path, size_t len,
		    uint32_t gen, uint32_t place, uint64_t dev);
/* Show what is known of name, if that is valid. */
bool pf__show_name(const struct pf__showing *s, const char *name, size_t len, uint64_t key);
void pf__show_end(struct pf__showing *s);
/* Show an inode (referenced), whatever its names are; need: PF_ATTR_*, which have to be valid. */
bool pf__show_inode(struct pf__cache *cache, struct pf__inode *inode, uint32_t need, uint64_t key,
		    uint32_t gen, uint32_t place, uint64_t dev);

#endif
