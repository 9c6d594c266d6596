/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cached file data: pages of 4 KiB in blocks of 64, all in one memfd arena per client. Keeps bytes
 * and what is known of them (up to date, dirty, being read, being written back), bounds their
 * memory, finds victims. Knows nothing of paths, handles or requests: who calls asks the server and
 * tells how it went.
 *
 * A page is in one of these states; the bits stand in its block:
 *
 *	absent      nothing is known
 *	reading     a READ for it is under way; nobody else touches its bytes
 *	uptodate    its bytes are the file's; those behind the end of the file are zero
 *	dirty       some of its bytes, one range, wait to be written back; the others
 *	            mean nothing unless it is uptodate as well
 *	writeback   these are being written; no write changes them meanwhile
 *
 *	absent -> reading -> uptodate (or absent: error, or voided by an invalidation meanwhile)
 *	absent, uptodate -> dirty -> writeback -> as before it was dirty (or dirty again, or absent)
 *
 * Readers copy from uptodate pages inside an RCU section and take no lock. Everything else is done
 * under the lock of struct pf__pages (PF_RANK_PAGES), below it the arena's (PF_RANK_ARENA). No
 * function here waits for anything but memory, except where it says so.
 */
#ifndef PF_PAGES_PAGES_H
#define PF_PAGES_PAGES_H

#include "base/list.h"
#include "base/lock.h"
#include "base/slice.h"
#include "pages/index.h"
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define PF_PAGE_SHIFT  12
#define PF_PAGE        (1u << PF_PAGE_SHIFT)
#define PF_BLOCK_PAGES 64u
#define PF_BLOCK_SHIFT (PF_PAGE_SHIFT + 6)
#define PF_BLOCK       (1ull << PF_BLOCK_SHIFT)

/* How many pages a range touches. */
static inline uint64_t pf__pages_spanned(uint64_t offset, uint64_t len)
{
	return len ? (offset + len - 1) / PF_PAGE - offset / PF_PAGE + 1 : 0;
}

struct pf__block; /* pages/internal.h */
struct pf__arena;
struct pf__pages;

/* ---- memory (pages/arena.c) */

struct pf__arena_stats {
	uint64_t bytes, limit, peak; /* of memory */
	uint64_t pages;              /* uptodate */
	uint64_t dirty, writeback;   /* pages, now */
	uint64_t evicted, dropped;   /* uptodate pages, since the start */
	uint64_t punched;            /* pages whose memory went back to the system */
	uint64_t ahead, ahead_hits, ahead_waste;
};

/* limit: bytes, at least 1 MiB are given. Takes memory when first used. 0 or -ENOMEM. */
int pf__arena_open(struct pf__arena **arena, uint64_t limit);
/* All its files are gone. Waits for RCU. NULL is fine. */
void pf__arena_close(struct pf__arena *arena);
void pf__arena_stats(struct pf__arena *arena, struct pf__arena_stats *out);
/* Now and then: memory that nobody needs goes back to the system; if nobody took any for a second,
 * or now. Waits for RCU. */
void pf__arena_trim(struct pf__arena *arena, bool now);
uint64_t pf__arena_limit(const struct pf__arena *arena); /* bytes */
uint64_t pf__arena_dirty(const struct pf__arena *arena); /* pages, dirty or in write-back */

/* Blocks taken out of the arena for a step below that may need them; what it leaves is put back. */
#define PF_SPARES 6
struct pf__spare {
	struct pf__arena *arena;
	struct pf__block *blocks[PF_SPARES];
	unsigned n;
	unsigned pages; /* promised: may be filled */
};
/* Take n blocks, of which pages pages in all will be filled, evicting others if need be. Waits for
 * RCU; no lock may be held. 0 or -ENOMEM: nothing can go. */
int pf__spare_take(struct pf__spare *s, struct pf__arena *arena, unsigned n, unsigned pages);
/* The same for pages first.. of a file, as far as it lacks blocks and memory for them: what a spare
 * block has already needs not be found again. Of more than PF_SPARES blocks the first ones. */
int pf__spare_take_for(struct pf__spare *s, struct pf__pages *p, uint64_t first, uint64_t n);
/* To make room it may evict a block of the very file, which is lacking then: who still finds no
 * spare asks again, so often at most. */
#define PF_SPARE_TRIES 4
void pf__spare_put(struct pf__spare *s);

/* ---- the pages of one file */

struct pf__pages {
	struct pf__arena *arena;
	struct pf__mutex lock; /* guards what follows */
	struct pf__index index;
	unsigned nowrite;                    /* who holds write-back */
	_Atomic unsigned maps;               /* ranges pinned for mappings */
	_Atomic uint64_t ndirty, nwriteback; /* pages; also read without the lock, as a hint */
	_Atomic uint64_t nblocks;
	/* Changes whenever a page stops to be read or written back: a futex word. */
	_Atomic uint32_t turn;
	_Atomic uint32_t waiters;
};

void pf__pages_init(struct pf__pages *p, struct pf__arena *arena);
/* All blocks go. Nobody reads, nothing is under way. */
void pf__pages_destroy(struct pf__pages *p);
/* Is there anything of the file? For who has just changed something that those who fetch look at
 * afterwards (the size): either they see it, or what they fetch is seen here. */
static inline bool pf__pages_any(const struct pf__pages *p)
{
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load(&p->nblocks);
}

struct pf__stamp {
	const _Atomic uint32_t *drops;
	uint32_t seen;
};
/* In an RCU section: up to max bytes at offset that are up to date and lie in one piece; *n says
 * how many. NULL: not there. They may go, and the memory be filled anew, while they are copied:
 * afterwards *stamp tells. */
const char *pf__pages_peek(struct pf__pages *p, uint64_t offset, size_t max, size_t *n,
			   struct pf__stamp *stamp);
/* In the same RCU section: no page of the block has gone since the stamp. */
static inline bool pf__pages_unchanged(const struct pf__stamp *stamp)
{
	/* What was copied was read before this. */
#ifdef __SANITIZE_THREAD__ /* it knows no fences; the copy is none of its business */
	return atomic_load(stamp->drops) == stamp->seen;
#else
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(stamp->drops, memory_order_relaxed) == stamp->seen;
#endif
}

/* What a caller who found a page missing should do. */
enum pf__page_state {
	PF_PAGE_UPTODATE,
	PF_PAGE_BUSY,   /* being read, or being written while not uptodate: wait for p->turn */
	PF_PAGE_ABSENT, /* read it; perhaps it has dirty bytes */
};
enum pf__page_state pf__pages_state(struct pf__pages *p, uint64_t page);
/* Is the page being read or written back, so that its bytes must not be changed? */
bool pf__pages_in_use(struct pf__pages *p, uint64_t page);
/* The first page from first on, before end, that is not up to date; end: none. */
uint64_t pf__pages_first_missing(struct pf__pages *p, uint64_t first, uint64_t end);
/* The first page from first on, before end, that is up to date; end: none. */
uint64_t pf__pages_first_there(struct pf__pages *p, uint64_t first, uint64_t end);
/* Wait until p->turn moves away from turn: around the caller's own way of sleeping. */
uint32_t pf__pages_turn(struct pf__pages *p); /* announces a waiter */
void pf__pages_waited(struct pf__pages *p);   /* takes it back */

/* ---- reading (pages/fill.c) */

#define PF_FILL_BLOCKS 5

struct pf__fill {
	struct pf__pages *pages;
	struct pf__block *blocks[PF_FILL_BLOCKS];
	uint64_t first; /* page */
	unsigned n;     /* pages */
	uint64_t offset;
	size_t length; /* bytes to ask for: to the end of the last page, or of the file */
	struct iovec iov[PF_FILL_BLOCKS];
	int niov;
	char *bounce; /* where the bytes go first when the page has dirty ones */
};
/*
 * Begin to read a run of pages from first on, at most max, before eof (bytes; first lies below it):
 * as many as are absent and fit PF_FILL_BLOCKS. ahead: as readahead. The pages are "reading"
 * then, until pf__fill_end(). Their number; 0: first needs no reading now (see pf__pages_state());
 * -ENOBUFS: spare blocks are missing; -ENOMEM.
 */
int pf__fill_begin(struct pf__pages *p, uint64_t first, unsigned max, uint64_t eof, bool ahead,
		   struct pf__spare *spare, struct pf__fill *fill);
/* How it went: got bytes arrived, or error < 0. What is missing is a hole (zeros) or the end of the
 * file (pages wholly behind it stay absent). */
void pf__fill_end(struct pf__fill *fill, size_t got, int error, bool hole);

/* ---- changing bytes (pages/write.c) */

enum pf__put {
	PF_PUT_DONE,
	PF_PUT_BUSY,  /* a page is being read or written back: wait for p->turn and go on */
	PF_PUT_READ,  /* the page at the offset reached must be read first */
	PF_PUT_SPARE, /* spare blocks are missing */
	PF_PUT_NOMEM,
};
/*
 * Copy len bytes at offset from s into pages and make them dirty. eof: the end of the file before
 * this. *done: bytes copied, also when it could not go on.
 */
enum pf__put pf__pages_put_dirty(struct pf__pages *p, uint64_t offset, size_t len, uint64_t eof,
				 struct pf__slice *s, struct pf__spare *spare, size_t *done);
/*
 * The server has (or sent) these bytes: put them into pages that are up to date, or become so:
 * fully covered ones, and the last one if it ends at or behind eof, the end of the file after this.
 * Pages being read or written back are voided. Dirty bytes are replaced and stay dirty. spare may
 * be empty: then only what is there.
 */
void pf__pages_put_clean(struct pf__pages *p, uint64_t offset, size_t len, uint64_t eof,
			 struct pf__slice *s, struct pf__spare *spare);
/* The first len bytes of a page of a pinned block were changed in place (a mapping): they are dirty
 * now. 0; -EBUSY: being read or written back, try again after p->turn; -ENOMEM. */
int pf__pages_mark_dirty(struct pf__pages *p, uint64_t page, unsigned len);

/* ---- letting go (pages/drop.c); all cut to what is there */

/* Clean pages that the range touches; what is being read there is voided; of dirty pages the bytes
 * that are not dirty. len from offset, UINT64_MAX: to the end. */
void pf__pages_drop(struct pf__pages *p, uint64_t offset, uint64_t len);
/* The same, but what has dirty bytes, or is being written back, is left. */
void pf__pages_drop_clean(struct pf__pages *p, uint64_t offset, uint64_t len);
/* The same, and dirty bytes inside the range too: they were overtaken. */
void pf__pages_drop_overtaken(struct pf__pages *p, uint64_t offset, uint64_t len);
/* The file ends at size: what lies behind goes, dirty or not; the rest of the last page is zero. */
void pf__pages_truncate(struct pf__pages *p, uint64_t size);
/* The file will end further away than size: bytes behind it in its last page that a mapping may
 * have touched are made zero. */
void pf__pages_extend(struct pf__pages *p, uint64_t size);
/* All dirty data is given up. Pages. */
uint64_t pf__pages_forget_dirty(struct pf__pages *p);

/* ---- writing back (pages/dirty.c) */

struct pf__wb {
	struct pf__pages *pages;
	struct pf__block *blocks[PF_FILL_BLOCKS];
	uint64_t first; /* page */
	unsigned n;
	uint64_t offset;
	size_t length;
	struct iovec iov[PF_FILL_BLOCKS];
	int niov;
};
/* Take the first run of adjacent dirty bytes that touches from..to, at most max bytes (at least a
 * page). False: none (or write-back is held). */
bool pf__wb_begin(struct pf__pages *p, uint64_t from, uint64_t to, size_t max, struct pf__wb *wb);
enum pf__wb_end {
	PF_WB_WRITTEN, /* the first n bytes; the rest is dirty again */
	PF_WB_AGAIN,   /* nothing: all is dirty again */
	PF_WB_LOST,    /* nothing: given up */
};
void pf__wb_end(struct pf__wb *wb, enum pf__wb_end how, size_t n);
/* Dirty pages, and pages in write-back, that the range touches: any? */
bool pf__pages_busy_writing(struct pf__pages *p, uint64_t from, uint64_t to, bool dirty_too);
/* Hold write-back: none begins until released; counts. */
void pf__pages_hold(struct pf__pages *p);
void pf__pages_release(struct pf__pages *p);

/* ---- memory that stays where it is */

/*
 * Lend bytes at offset, as many as are up to date in one piece, at most max (*n); stamp as for
 * pf__pages_peek(). Their memory stays this block's until pf__pages_unpin(). If its pages are
 * dropped while nothing is under way in it, it leaves the file as it is; else the bytes may change
 * in place, to others of the file. NULL: they are not there.
 */
const char *pf__pages_lend(struct pf__pages *p, uint64_t offset, size_t max, size_t *n,
			   struct pf__stamp *stamp, struct pf__block **block);
void pf__pages_unpin(struct pf__pages *p, struct pf__block *block);
/* Keep the block of page in the file; it is made if need be, with nothing in it. 0; -ENOBUFS;
 * -ENOMEM. */
int pf__pages_pin_block(struct pf__pages *p, uint64_t page, struct pf__spare *spare,
			struct pf__block **block);
void pf__pages_unpin_block(struct pf__pages *p, struct pf__block *block);
/*
 * Pin a range within one block for a mapping: it stays the file's, and shows what is written and
 * read. The block is made if need be; the range must be up to date as far as a file of size bytes
 * goes; what lies behind is made zero. writable: its bytes may change at any time.
 * 0; -EAGAIN: a page is missing; -ENOBUFS: a spare block is; -ENOMEM.
 */
int pf__pages_pin_range(struct pf__pages *p, uint64_t offset, size_t len, uint64_t size,
			bool writable, struct pf__spare *spare, struct pf__block **block);
void pf__pages_unpin_range(struct pf__pages *p, struct pf__block *block, bool writable);
/* For mmap(2): the memfd, and the offset of a block in it. */
int pf__arena_fd(const struct pf__arena *arena);
uint64_t pf__block_position(const struct pf__block *block);

/* For tests: NULL, or which invariant is broken. */
const char *pf__pages_check(struct pf__pages *p);

#endif
