/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory: chunks of one memfd, cut into blocks; and who has to leave when it is full.
 *
 * Blocks in use stand in two lists, as in 2Q. A block comes into "inactive"; if one of its pages is
 * read from its start a second time, or any in a later epoch than that of its birth, it moves to
 * "active" when the hand comes by, so that one pass over a large file does not push out what is
 * used again and again. It goes back when "active" grows too large, or when it was not used while
 * the cache was renewed eight times. An epoch is an eighth of the cache renewed. Readers note this
 * in the block without a lock, and write nothing where it is noted already.
 */
#include "base/alloc.h"
#include "base/arith.h"
#include "base/clock.h"
#include "base/memfd.h"
#include "pages/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define CHUNK_BLOCKS 64u
#define MIN_PAGES    256u /* 1 MiB */
#define MAX_VICTIMS  512u /* blocks of one grace period */
#define FREE_TRIES   64u
#define OLD          64u /* epochs */
#define IDLE         PF_NSEC_PER_SEC

#define AHEAD_FROM    4u /* pages with memory in a block that fills up */
#define POPULATE_FROM 4u /* pages that are given memory by one call */

struct pf__chunk {
	struct pf__chunk *next;
	char *base;
	unsigned used;
	struct pf__block blocks[CHUNK_BLOCKS];
};

static unsigned count(uint64_t bits)
{
	return (unsigned)__builtin_popcountll(bits);
}

int pf__arena_open(struct pf__arena **out, uint64_t limit)
{
	struct pf__arena *a = pf__calloc(1, sizeof *a);

	*out = a;
	if (!a)
		return -ENOMEM;
	a->memfd = -1;
	a->limit = pf__max_u64(limit / PF_PAGE, MIN_PAGES);
	a->epoch = 1;
	pf__list_init(&a->inactive);
	pf__list_init(&a->active);
	pf__mutex_init(&a->lock, PF_RANK_ARENA);
	return 0;
}

void pf__arena_close(struct pf__arena *a)
{
	struct pf__chunk *next;

	if (!a)
		return;
	pf__rcu_barrier(); /* blocks on their way to the free list */
	for (; a->chunks; a->chunks = next) {
		next = a->chunks->next;
		munmap(a->chunks->base, CHUNK_BLOCKS * PF_BLOCK);
		pf__free(a->chunks);
	}
	if (a->memfd >= 0)
		close(a->memfd);
	pf__mutex_destroy(&a->lock);
	pf__free(a);
}

uint64_t pf__arena_limit(const struct pf__arena *a)
{
	return a->limit * PF_PAGE;
}

uint64_t pf__arena_dirty(const struct pf__arena *a)
{
	return atomic_load_explicit(&a->ndirty, memory_order_relaxed) +
	       atomic_load_explicit(&a->nwriteback, memory_order_relaxed);
}

int pf__arena_fd(const struct pf__arena *a)
{
	return a->memfd;
}

void pf__arena_stats(struct pf__arena *a, struct pf__arena_stats *out)
{
	uint64_t dirty, writeback;

	do { /* A page that moves between the two is counted once. */
		dirty = atomic_load(&a->ndirty);
		writeback = atomic_load(&a->nwriteback);
	} while (dirty != atomic_load(&a->ndirty));
	*out = (struct pf__arena_stats){
	    .bytes = atomic_load(&a->resident) * PF_PAGE,
	    .limit = a->limit * PF_PAGE,
	    .peak = atomic_load(&a->peak) * PF_PAGE,
	    .pages = atomic_load(&a->uptodate),
	    .dirty = dirty,
	    .writeback = writeback,
	    .evicted = atomic_load(&a->evicted),
	    .punched = atomic_load(&a->punched),
	    .dropped = atomic_load(&a->dropped),
	    .ahead = atomic_load(&a->ahead),
	    .ahead_hits = atomic_load(&a->ahead_hits),
	    .ahead_waste = atomic_load(&a->ahead_waste),
	};
}

/* ---- chunks; under the lock */

static int memfd_grow(struct pf__arena *a, uint64_t size)
{
	struct rlimit limit;

	/* ulimit -f counts for a memfd too: beyond it comes a signal that kills. */
	if (!getrlimit(RLIMIT_FSIZE, &limit) && size > limit.rlim_cur)
		return -EFBIG;
	if (a->memfd < 0)
		a->memfd = pf__memfd("portfire");
	if (a->memfd < 0)
		return -errno;
	return ftruncate(a->memfd, (off_t)size) ? -errno : 0;
}

static struct pf__chunk *chunk_new(struct pf__arena *a)
{
	uint64_t size = CHUNK_BLOCKS * PF_BLOCK;
	struct pf__chunk *c;

	if (memfd_grow(a, a->memfd_size + size))
		return NULL;
	c = pf__calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, a->memfd,
		       (off_t)a->memfd_size);
	if (c->base == MAP_FAILED) {
		pf__free(c);
		return NULL;
	}
	/* A child of fork() cannot use it, and should not pay for it. */
	madvise(c->base, size, MADV_DONTFORK);
	a->memfd_size += size;
	c->next = a->chunks;
	a->chunks = c;
	return c;
}

static struct pf__block *block_new(struct pf__arena *a)
{
	struct pf__chunk *c = a->chunks;
	struct pf__block *b;

	if (!c || c->used == CHUNK_BLOCKS)
		c = chunk_new(a);
	if (!c)
		return NULL;
	b = &c->blocks[c->used];
	b->data = c->base + c->used++ * PF_BLOCK;
	b->arena = a;
	pf__list_init(&b->lru);
	return b;
}

/* Chunks stand newest first in the list and one behind the other in the memfd. */
uint64_t pf__block_position(const struct pf__block *b)
{
	const struct pf__arena *a = b->arena;
	uint64_t end = a->memfd_size, size = CHUNK_BLOCKS * PF_BLOCK;

	for (const struct pf__chunk *c = a->chunks; c; c = c->next, end -= size)
		if (b->data >= c->base && b->data < c->base + size)
			return end - size + (uint64_t)(b->data - c->base);
	return 0;
}

/* ---- free blocks; under the lock */

static void push_free(struct pf__arena *a, struct pf__block *b)
{
	b->next_free = a->free;
	a->free = b;
}

/* Preferably one that has memory already. */
static struct pf__block *pop_free(struct pf__arena *a)
{
	struct pf__block **best = &a->free, **p = &a->free, *b;

	for (unsigned i = 0; *p && i < FREE_TRIES; i++, p = &(*p)->next_free)
		if (count((*p)->resident) > count((*best)->resident))
			best = p;
	b = *best;
	if (b)
		*best = b->next_free;
	return b;
}

static void punch(struct pf__arena *a, struct pf__block *b)
{
	if (fallocate(a->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)pf__block_position(b), PF_BLOCK))
		return;
	atomic_fetch_sub(&a->resident, count(b->resident));
	atomic_fetch_add_explicit(&a->punched, count(b->resident), memory_order_relaxed);
	b->resident = 0;
}

/* Give back the memory of free blocks. Pages. */
static uint64_t punch_free(struct pf__arena *a, uint64_t want)
{
	uint64_t got = 0;

	for (struct pf__block *b = a->free; b && got < want; b = b->next_free) {
		uint64_t n = count(b->resident);

		if (!n)
			continue;
		punch(a, b);
		got += b->resident ? 0 : n;
	}
	return got;
}

void pf__arena_trim(struct pf__arena *a, bool now)
{
	/* Not while blocks go from hand to hand: they would only be asked for again. */
	uint64_t used = atomic_load_explicit(&a->last_take, memory_order_relaxed);

	if (!atomic_load(&a->resident) || (!now && pf__now_coarse() < used + IDLE))
		return;
	pf__rcu_barrier(); /* what was let go, and files that were forgotten */
	pf__mutex_lock(&a->lock);
	punch_free(a, UINT64_MAX);
	pf__mutex_unlock(&a->lock);
}

/* ---- in use; under the lock */

static void list_in(struct pf__arena *a, struct pf__block *b, bool active)
{
	pf__list_add_head(active ? &a->active : &a->inactive, &b->lru);
	b->active = active;
	*(active ? &a->nactive : &a->ninactive) += 1;
}

static void list_out(struct pf__arena *a, struct pf__block *b)
{
	pf__list_del(&b->lru);
	*(b->active ? &a->nactive : &a->ninactive) -= 1;
}

static void block_born(struct pf__arena *a, struct pf__block *b)
{
	uint32_t epoch = atomic_load_explicit(&a->epoch, memory_order_relaxed);

	if (++a->births > pf__max_u64((a->nactive + a->ninactive) / 8, 8)) {
		a->births = 0;
		atomic_store_explicit(&a->epoch, ++epoch, memory_order_relaxed);
	}
	b->born = epoch;
	atomic_store_explicit(&b->seen, epoch, memory_order_relaxed);
	atomic_store_explicit(&b->touched, 0, memory_order_relaxed);
	atomic_store_explicit(&b->again, false, memory_order_relaxed);
	list_in(a, b, false);
}

static bool used_again(const struct pf__block *b)
{
	return atomic_load_explicit(&b->again, memory_order_relaxed) ||
	       atomic_load_explicit(&b->seen, memory_order_relaxed) != b->born;
}

static void move(struct pf__arena *a, struct pf__block *b, bool active)
{
	list_out(a, b);
	b->born = atomic_load_explicit(&b->seen, memory_order_relaxed);
	atomic_store_explicit(&b->touched, 0, memory_order_relaxed);
	atomic_store_explicit(&b->again, false, memory_order_relaxed);
	list_in(a, b, active);
}

/* Out of its file, whose lock is held too. */
static void take_out(struct pf__arena *a, struct pf__block *b)
{
	uint64_t gone = pf__block_clear_uptodate(b, ~0ull);

	pf__free(b->ranges);
	b->ranges = NULL;
	pf__index_remove(&b->pages->index, b->number);
	atomic_fetch_sub(&b->pages->nblocks, 1);
	atomic_fetch_add_explicit(&a->evicted, count(gone), memory_order_relaxed);
	list_out(a, b);
}

/* The oldest inactive block: true when it could be taken out of its file. */
static bool try_victim(struct pf__arena *a, struct pf__block *b, bool force)
{
	struct pf__pages *p = b->pages;
	bool gone = false;

	if (!force && used_again(b)) {
		move(a, b, true);
		return false;
	}
	/* Its file is alive: to go it would have to take this block out of the list first. */
	if (!pf__mutex_trylock(&p->lock)) {
		move(a, b, false);
		return false;
	}
	if (pf__block_is_busy(b)) {
		move(a, b, false);
	} else {
		take_out(a, b);
		gone = true;
	}
	pf__mutex_unlock(&p->lock);
	return gone;
}

/* Keep a third of the blocks inactive: those that were not used for long come back. */
static void rebalance(struct pf__arena *a)
{
	for (unsigned i = 0; i < 64 && a->ninactive < a->nactive / 2; i++) {
		struct pf__block *b = pf__list_entry(a->active.prev, struct pf__block, lru);

		move(a, b, used_again(b));
	}
}

/* The hand of the active list: those that nobody uses any more would keep out for ever what is now
 * used in turn, if that is more than a third of the cache. */
static void age(struct pf__arena *a)
{
	uint32_t epoch = atomic_load_explicit(&a->epoch, memory_order_relaxed);
	struct pf__block *b;

	if (pf__list_empty(&a->active))
		return;
	b = pf__list_entry(a->active.prev, struct pf__block, lru);
	if (epoch - atomic_load_explicit(&b->seen, memory_order_relaxed) > OLD)
		move(a, b, false);
	else if (used_again(b))
		move(a, b, true);
}

/* Take blocks with at least want pages of memory out of their files, into a list. Pages. */
static uint64_t evict(struct pf__arena *a, uint64_t want, struct pf__block **victims)
{
	uint64_t steps = 4 * (a->nactive + a->ninactive) + 16, force_below = steps / 2, got = 0;
	unsigned n = 0;

	*victims = NULL;
	while (got < want && n < MAX_VICTIMS && steps--) {
		bool force = steps < force_below;
		struct pf__list *l;
		struct pf__block *b;

		rebalance(a);
		age(a);
		l = pf__list_empty(&a->inactive) ? a->active.prev : a->inactive.prev;
		if (pf__list_empty(&a->inactive) && pf__list_empty(&a->active))
			break;
		b = pf__list_entry(l, struct pf__block, lru);
		if (!try_victim(a, b, force))
			continue;
		b->next_free = *victims;
		*victims = b;
		got += count(b->resident);
		n++;
	}
	return got;
}

/* ---- spares */

/* Give back the memory of the spares themselves. Pages. */
static uint64_t punch_spares(struct pf__spare *s)
{
	uint64_t got = 0;

	for (unsigned i = 0; i < s->n; i++) {
		uint64_t n = count(s->blocks[i]->resident);

		if (n)
			punch(s->arena, s->blocks[i]);
		got += n - count(s->blocks[i]->resident);
	}
	return got;
}

/* What is to be filled: pages that need memory, wherever the file has them; and pages of blocks
 * that the file lacks, which need only what the spares do not have. */
struct need {
	unsigned blocks, own, lacking;
};

static unsigned memory_for(const struct pf__spare *s, const struct need *need)
{
	unsigned bare = 0;

	for (unsigned i = 0; i < s->n; i++)
		bare += PF_BLOCK_PAGES - count(s->blocks[i]->resident);
	return need->own + (need->lacking < bare ? need->lacking : bare);
}

/* Under the lock: 0 if the limit allows it, with memory given back that nobody uses. */
static int promise(struct pf__spare *s, const struct need *need)
{
	struct pf__arena *a = s->arena;
	unsigned pages = memory_for(s, need);
	uint64_t total = atomic_load(&a->resident) + atomic_load(&a->promised) + pages;

	if (total > a->limit)
		total -= punch_free(a, total - a->limit);
	if (total > a->limit)
		return (int)pf__min_u64(total - a->limit, a->limit);
	s->pages = pages;
	atomic_fetch_add(&a->promised, pages);
	return 0;
}

/* Under the lock. 0; -EAGAIN: victims are to be freed after a grace period; -ENOMEM. */
static int try_take(struct pf__spare *s, const struct need *need, struct pf__block **victims)
{
	struct pf__arena *a = s->arena;
	int over;

	while (s->n < need->blocks) {
		struct pf__block *b = pop_free(a);

		if (!b)
			b = block_new(a);
		if (!b)
			return -ENOMEM;
		s->blocks[s->n++] = b;
	}
	over = promise(s, need);
	if (!over)
		return 0;
	if (evict(a, pf__max_u64((unsigned)over, a->limit / 64), victims))
		return -EAGAIN;
	/* The spares may have memory, but not where it is wanted. */
	return punch_spares(s) && !promise(s, need) ? 0 : -ENOMEM;
}

static void put_back(struct pf__spare *s)
{
	while (s->n)
		push_free(s->arena, s->blocks[--s->n]);
	atomic_fetch_sub(&s->arena->promised, s->pages);
	s->pages = 0;
}

/* Readers may still be in the victims' memory. */
static void free_victims(struct pf__arena *a, struct pf__block *b)
{
	struct pf__block *next;

	pf__rcu_synchronize();
	pf__mutex_lock(&a->lock);
	for (; b; b = next) {
		next = b->next_free;
		push_free(a, b);
	}
	pf__mutex_unlock(&a->lock);
}

static int take(struct pf__spare *s, struct pf__arena *a, const struct need *need)
{
	struct pf__block *victims = NULL;
	int r;

	s->arena = a;
	if (need->blocks > PF_SPARES || need->own + (uint64_t)need->lacking > a->limit)
		return -ENOMEM;
	atomic_store_explicit(&a->last_take, pf__now_coarse(), memory_order_relaxed);
	for (unsigned tries = 0; tries < 16; tries++) {
		pf__mutex_lock(&a->lock);
		r = try_take(s, need, &victims);
		if (r)
			put_back(s);
		pf__mutex_unlock(&a->lock);
		if (r == -EAGAIN)
			free_victims(a, victims);
		else if (r == -ENOMEM && atomic_load(&a->deferred))
			pf__rcu_barrier();
		else
			return r;
	}
	return -ENOMEM;
}

int pf__spare_take(struct pf__spare *s, struct pf__arena *a, unsigned n, unsigned pages)
{
	return take(s, a, &(struct need){.blocks = n, .own = pages});
}

int pf__spare_take_for(struct pf__spare *s, struct pf__pages *p, uint64_t first, uint64_t n)
{
	uint64_t end = first + n, number = pf__block_of(first);
	struct need need = {0};

	pf__mutex_lock(&p->lock);
	for (; number * PF_BLOCK_PAGES < end; number++) {
		struct pf__block *b = pf__index_find(&p->index, number);
		uint64_t bits = pf__block_part(number, first, end);

		if (b) {
			need.own += count(bits & ~b->resident);
		} else if (need.blocks < PF_SPARES) {
			need.lacking += count(bits);
			need.blocks++;
		}
	}
	pf__mutex_unlock(&p->lock);
	return need.blocks || need.own ? take(s, p->arena, &need) : 0;
}

void pf__spare_put(struct pf__spare *s)
{
	if (!s->arena)
		return;
	pf__mutex_lock(&s->arena->lock);
	put_back(s);
	pf__mutex_unlock(&s->arena->lock);
}

/* ---- blocks of a file; under its lock */

/* Pages for which memory was promised, or is free. */
static bool claim(struct pf__arena *a, unsigned n, struct pf__spare *spare)
{
	unsigned mine = spare && spare->pages < n ? spare->pages : spare ? n : 0;
	uint64_t now = atomic_load(&a->resident);

	do
		if (now + n + atomic_load(&a->promised) - mine > a->limit)
			return false;
	while (!atomic_compare_exchange_weak(&a->resident, &now, now + n));
	if (mine) {
		spare->pages -= mine;
		atomic_fetch_sub(&a->promised, mine);
	}
	return true;
}

/* A block that fills up page by page gets memory for the next ones at once, as many as it has, from
 * AHEAD_FROM on, while there is plenty. Cheaper than a fault for each. */
static uint64_t ahead_of(const struct pf__block *b, uint64_t fresh)
{
	unsigned page = (unsigned)__builtin_ctzll(fresh), has = count(b->resident), n = 1;

	if ((fresh & (fresh - 1)) || has < AHEAD_FROM || !page || !(b->resident >> (page - 1) & 1))
		return 0;
	if (atomic_load(&b->arena->resident) > b->arena->limit / 2)
		return 0;
	while (n <= has && page + n < PF_BLOCK_PAGES && !(b->resident >> (page + n) & 1))
		n++;
	return pf__bits(page, n) & ~fresh;
}

static void note_peak(struct pf__arena *a)
{
	uint64_t now = atomic_load(&a->resident);
	uint64_t peak = atomic_load_explicit(&a->peak, memory_order_relaxed);

	while (now > peak && !atomic_compare_exchange_weak(&a->peak, &peak, now))
		;
}

/* Where it is not known (before Linux 5.14) each page faults. */
static void populate(struct pf__block *b, uint64_t pages)
{
#ifdef MADV_POPULATE_WRITE
	unsigned first = (unsigned)__builtin_ctzll(pages);
	unsigned last = 63 - (unsigned)__builtin_clzll(pages);

	if (count(pages) >= POPULATE_FROM)
		madvise(b->data + first * PF_PAGE, (last - first + 1) * (size_t)PF_PAGE,
			MADV_POPULATE_WRITE);
#endif
}

bool pf__block_touch(struct pf__block *b, uint64_t pages, struct pf__spare *spare)
{
	struct pf__arena *a = b->arena;
	uint64_t fresh = pages & ~b->resident, more;

	if (!fresh)
		return true;
	if (!claim(a, count(fresh), spare))
		return false;
	more = ahead_of(b, fresh);
	if (more && claim(a, count(more), NULL))
		fresh |= more;
	b->resident |= fresh;
	note_peak(a);
	populate(b, fresh);
	return true;
}

struct pf__block *pf__block_get(struct pf__pages *p, uint64_t number, struct pf__spare *spare,
				int *why)
{
	struct pf__block *b = pf__index_find(&p->index, number);

	if (b)
		return b;
	if (!spare->n) {
		*why = -ENOBUFS;
		return NULL;
	}
	b = spare->blocks[spare->n - 1];
	b->pages = p;
	b->number = number;
	if (pf__index_insert(&p->index, number, b)) {
		*why = -ENOMEM;
		return NULL;
	}
	spare->n--;
	atomic_fetch_add(&p->nblocks, 1);
	pf__mutex_lock(&b->arena->lock);
	block_born(b->arena, b);
	pf__mutex_unlock(&b->arena->lock);
	return b;
}

static void freed(struct pf__rcu_head *head)
{
	struct pf__block *b = pf__container_of(head, struct pf__block, rcu);
	struct pf__arena *a = b->arena;

	pf__mutex_lock(&a->lock);
	push_free(a, b);
	atomic_fetch_sub(&a->deferred, 1);
	pf__mutex_unlock(&a->lock);
}

void pf__block_release(struct pf__block *b)
{
	struct pf__arena *a = b->arena;

	pf__free(b->ranges);
	b->ranges = NULL;
	b->detached = false;
	pf__mutex_lock(&a->lock);
	list_out(a, b);
	pf__mutex_unlock(&a->lock);
	atomic_fetch_add(&a->deferred, 1);
	pf__rcu_defer(&b->rcu, freed);
}

void pf__block_set_uptodate(struct pf__block *b, uint64_t pages)
{
	uint64_t old = atomic_load_explicit(&b->uptodate, memory_order_relaxed);

	if (!(pages & ~old))
		return;
	/* Release: the bytes were written before. Nobody else writes the word: the lock is held. */
	atomic_store_explicit(&b->uptodate, old | pages, memory_order_release);
	atomic_fetch_add_explicit(&b->arena->uptodate, count(pages & ~old), memory_order_relaxed);
}

uint64_t pf__block_clear_uptodate(struct pf__block *b, uint64_t pages)
{
	uint64_t had = atomic_load_explicit(&b->uptodate, memory_order_relaxed) & pages, ahead;

	if (!had)
		return 0;
	atomic_fetch_add(&b->drops, 1); /* before any other bytes can come */
	atomic_fetch_and(&b->uptodate, ~had);
	atomic_fetch_sub_explicit(&b->arena->uptodate, count(had), memory_order_relaxed);
	ahead = atomic_fetch_and(&b->ahead, ~had) & had;
	atomic_fetch_add_explicit(&b->arena->ahead_waste, count(ahead), memory_order_relaxed);
	return had;
}
