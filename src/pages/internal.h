/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks and the arena, for the files of this folder.
 *
 * A block belongs to one file for a while, then to another: struct and memory are one, made once
 * and kept until the arena closes. Between two owners lies a grace period, so a reader never sees
 * the memory change hands.
 */
#ifndef PF_PAGES_INTERNAL_H
#define PF_PAGES_INTERNAL_H

#include "pages/pages.h"
#include <stdatomic.h>

/* Which bytes of its dirty pages are dirty: made with the first dirty page, kept until the block
 * leaves the file, so that less of a page can be made dirty without fail. */
struct pf__ranges {
	uint16_t lo[PF_BLOCK_PAGES], hi[PF_BLOCK_PAGES];
};

struct pf__block {
	/* What readers look at. */
	char *data;                /* constant */
	_Atomic uint64_t uptodate; /* written under pages->lock */
	_Atomic uint32_t drops;    /* counts bits that went from uptodate */
	_Atomic uint64_t ahead;    /* read ahead and not used yet */
	_Atomic uint64_t touched; /* pages whose first byte was read, since it came into its list */
	_Atomic uint32_t seen;    /* arena->epoch at the last use */
	_Atomic bool again;       /* a page was read a second time */

	uint32_t born; /* arena->epoch when it came into its list; arena->lock */
	struct pf__pages *pages;
	uint64_t number; /* in the file */
	/* pages->lock: */
	uint64_t dirty, writeback, reading;
	uint64_t voided;   /* of reading: not to be taken in */
	uint64_t stale;    /* would have gone, but for a mapping that may change them */
	uint64_t partial;  /* of dirty: only the bytes that ranges tells */
	uint64_t resident; /* pages that have memory */
	uint32_t pins;     /* who uses the memory without the lock: it stays in the block */
	uint32_t kept;     /* of pins: those to whom the memory is not shown */
	uint64_t shown;    /* pages that others look at: READs land beside them */
	uint32_t maps,
	    writers; /* of pins: mappings, which show the file's data; those that may change it */
	struct pf__ranges *ranges;

	struct pf__arena *arena;
	struct pf__list lru; /* arena->lock; unlinked while spare or free */
	bool active;
	bool detached; /* left its file while pinned; pages->lock */
	union {
		struct pf__block *next_free; /* arena->lock */
		struct pf__rcu_head rcu;
	};
};

struct pf__arena {
	_Atomic uint32_t epoch;
	char pad[60];
	uint64_t limit; /* pages */
	int memfd;      /* -1 until first used */
	_Atomic uint64_t resident, peak;
	_Atomic uint64_t promised; /* pages that spares may fill */
	_Atomic uint64_t ndirty, nwriteback;
	_Atomic uint64_t uptodate, evicted, punched, dropped, ahead, ahead_hits, ahead_waste;
	_Atomic uint64_t last_take; /* pf__now_coarse() */
	_Atomic uint32_t deferred;  /* blocks that wait for readers to leave */

	struct pf__mutex lock; /* guards what follows */
	struct pf__list inactive, active;
	uint64_t ninactive, nactive;
	uint64_t births; /* since the epoch began */
	struct pf__block *free;
	struct pf__chunk *chunks;
	uint64_t memfd_size;
};

static inline uint64_t pf__bits(unsigned first, unsigned n)
{
	return n >= 64 ? ~0ull : ((1ull << n) - 1) << first;
}

static inline unsigned pf__page_in_block(uint64_t page)
{
	return page & (PF_BLOCK_PAGES - 1);
}

static inline uint64_t pf__block_of(uint64_t page)
{
	return page / PF_BLOCK_PAGES;
}

/* The pages of block number that a range of pages, which touches it, covers. */
static inline uint64_t pf__block_part(uint64_t number, uint64_t first, uint64_t end)
{
	uint64_t start = number * PF_BLOCK_PAGES;
	unsigned from = first > start ? pf__page_in_block(first) : 0;
	uint64_t to = end - start < PF_BLOCK_PAGES ? end - start : PF_BLOCK_PAGES;

	return pf__bits(from, (unsigned)to - from);
}

static inline bool pf__block_is_busy(const struct pf__block *b)
{
	return b->dirty | b->writeback | b->reading | b->pins;
}

/* ---- arena.c; under pages->lock unless told otherwise */
/* These pages are about to be written to: they take memory, promised to spare (may be NULL) or
 * free. False: there is none; spare has to be taken (again). */
bool pf__block_touch(struct pf__block *b, uint64_t pages, struct pf__spare *spare);
/* Find a block of the file, or take a spare one for it. NULL: *why is -ENOBUFS or -ENOMEM. */
struct pf__block *pf__block_get(struct pf__pages *p, uint64_t number, struct pf__spare *spare,
				int *why);
/* It left its file's index: free after a grace period. */
void pf__block_release(struct pf__block *b);
void pf__block_set_uptodate(struct pf__block *b, uint64_t pages);
/* Which of pages were up to date. */
uint64_t pf__block_clear_uptodate(struct pf__block *b, uint64_t pages);

/* ---- dirty.c; under pages->lock */
void pf__block_range(const struct pf__block *b, unsigned page, unsigned *lo, unsigned *hi);
/* Make bytes lo..hi of a page dirty, and what lies between them and those that are dirty already.
 * 0 or -ENOMEM: not if the block had dirty pages before. */
int pf__block_set_dirty(struct pf__block *b, unsigned page, unsigned lo, unsigned hi);
void pf__block_clear_dirty(struct pf__block *b, uint64_t pages);

/* ---- pages.c */
void pf__pages_wake(struct pf__pages *p); /* no lock needed */
/* Take the block out of the file if nothing is left of it. */
void pf__block_drop_if_empty(struct pf__block *b);

#endif
