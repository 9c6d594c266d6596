/* SPDX-License-Identifier: BSD-2-Clause */
/* The pages of one file: looking at them, waiting for them, their beginning and end. */
#include "base/alloc.h"
#include "base/arith.h"
#include "base/futex.h"
#include "pages/internal.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

void pf__pages_init(struct pf__pages *p, struct pf__arena *arena)
{
	*p = (struct pf__pages){.arena = arena};
	pf__mutex_init(&p->lock, PF_RANK_PAGES);
}

void pf__pages_destroy(struct pf__pages *p)
{
	uint64_t n = 0;
	struct pf__block *b;

	pf__mutex_lock(&p->lock);
	while ((b = pf__index_next(&p->index, &n, false))) {
		pf__block_clear_dirty(b, b->dirty);
		pf__block_clear_uptodate(b, ~0ull);
		pf__index_remove(&p->index, n);
		pf__block_release(b);
	}
	pf__mutex_unlock(&p->lock);
	pf__index_destroy(&p->index);
	pf__mutex_destroy(&p->lock);
}

/* starts: pages that the read begins with their first byte. */
static void used(struct pf__block *b, uint64_t pages, uint64_t starts)
{
	struct pf__arena *a = b->arena;
	uint32_t epoch = atomic_load_explicit(&a->epoch, memory_order_relaxed);
	uint64_t ahead, touched;

	touched = atomic_load_explicit(&b->touched, memory_order_relaxed);
	if (starts & ~touched)
		atomic_store_explicit(&b->touched, touched | starts, memory_order_relaxed);
	if ((starts & touched) && !atomic_load_explicit(&b->again, memory_order_relaxed))
		atomic_store_explicit(&b->again, true, memory_order_relaxed);
	if (atomic_load_explicit(&b->seen, memory_order_relaxed) != epoch)
		atomic_store_explicit(&b->seen, epoch, memory_order_relaxed);
	if (!(atomic_load_explicit(&b->ahead, memory_order_relaxed) & pages))
		return;
	ahead = atomic_fetch_and(&b->ahead, ~pages) & pages;
	atomic_fetch_add_explicit(&a->ahead_hits, (uint64_t)__builtin_popcountll(ahead),
				  memory_order_relaxed);
}

const char *pf__pages_peek(struct pf__pages *p, uint64_t offset, size_t max, size_t *n,
			   struct pf__stamp *stamp)
{
	struct pf__block *b = pf__index_find(&p->index, offset >> PF_BLOCK_SHIFT);
	unsigned page = pf__page_in_block(offset >> PF_PAGE_SHIFT), run, want;
	uint64_t bits;
	size_t in_page = offset & (PF_PAGE - 1), room;

	if (!b)
		return NULL;
	stamp->drops = &b->drops;
	stamp->seen = atomic_load_explicit(&b->drops, memory_order_acquire);
	bits = atomic_load_explicit(&b->uptodate, memory_order_acquire) >> page;
	if (!(bits & 1))
		return NULL;
	run = ~bits ? (unsigned)__builtin_ctzll(~bits) : PF_BLOCK_PAGES;
	room = run * (size_t)PF_PAGE - in_page;
	*n = max < room ? max : room;
	want = (unsigned)((in_page + *n + PF_PAGE - 1) >> PF_PAGE_SHIFT);
	used(b, pf__bits(page, want), in_page ? 0 : 1ull << page);
	return b->data + (offset & (PF_BLOCK - 1));
}

enum pf__page_state pf__pages_state(struct pf__pages *p, uint64_t page)
{
	uint64_t bit = 1ull << pf__page_in_block(page);
	enum pf__page_state state = PF_PAGE_ABSENT;
	struct pf__block *b;

	pf__mutex_lock(&p->lock);
	b = pf__index_find(&p->index, pf__block_of(page));
	if (b && (b->reading & bit))
		state = PF_PAGE_BUSY;
	else if (b && (atomic_load(&b->uptodate) & bit))
		state = PF_PAGE_UPTODATE;
	else if (b && (b->writeback & bit))
		state = PF_PAGE_BUSY;
	pf__mutex_unlock(&p->lock);
	return state;
}

bool pf__pages_in_use(struct pf__pages *p, uint64_t page)
{
	uint64_t bit = 1ull << pf__page_in_block(page);
	struct pf__block *b;
	bool used;

	pf__mutex_lock(&p->lock);
	b = pf__index_find(&p->index, pf__block_of(page));
	used = b && ((b->reading | b->writeback) & bit);
	pf__mutex_unlock(&p->lock);
	return used;
}

uint64_t pf__pages_first_missing(struct pf__pages *p, uint64_t first, uint64_t end)
{
	pf__mutex_lock(&p->lock);
	while (first < end) {
		struct pf__block *b = pf__index_find(&p->index, pf__block_of(first));
		unsigned page = pf__page_in_block(first);
		uint64_t there = b ? (atomic_load(&b->uptodate) | b->reading) >> page : 0;
		unsigned run = ~there ? (unsigned)__builtin_ctzll(~there) : PF_BLOCK_PAGES;

		first += run < PF_BLOCK_PAGES - page ? run : PF_BLOCK_PAGES - page;
		if (run < PF_BLOCK_PAGES - page)
			break;
	}
	pf__mutex_unlock(&p->lock);
	return first < end ? first : end;
}

uint64_t pf__pages_first_there(struct pf__pages *p, uint64_t first, uint64_t end)
{
	uint64_t number = pf__block_of(first), found = end;
	struct pf__block *b;

	pf__mutex_lock(&p->lock);
	for (; found == end && (b = pf__index_next(&p->index, &number, false)); number++) {
		uint64_t bits = atomic_load_explicit(&b->uptodate, memory_order_relaxed);

		if (number * PF_BLOCK_PAGES >= end)
			break;
		if (number == pf__block_of(first))
			bits &= ~0ull << pf__page_in_block(first);
		if (bits)
			found = number * PF_BLOCK_PAGES + (unsigned)__builtin_ctzll(bits);
	}
	pf__mutex_unlock(&p->lock);
	return pf__min_u64(found, end);
}

uint32_t pf__pages_turn(struct pf__pages *p)
{
	atomic_fetch_add(&p->waiters, 1);
	return atomic_load(&p->turn);
}

void pf__pages_waited(struct pf__pages *p)
{
	atomic_fetch_sub(&p->waiters, 1);
}

void pf__pages_wake(struct pf__pages *p)
{
	atomic_fetch_add(&p->turn, 1);
	if (atomic_load(&p->waiters))
		pf__futex_wake(&p->turn, INT_MAX);
}

void pf__block_drop_if_empty(struct pf__block *b)
{
	struct pf__pages *p = b->pages;

	if (pf__block_is_busy(b) || atomic_load_explicit(&b->uptodate, memory_order_relaxed))
		return;
	pf__index_remove(&p->index, b->number);
	atomic_fetch_sub(&p->nblocks, 1);
	pf__block_release(b);
}

/* ---- pins */

const char *pf__pages_lend(struct pf__pages *p, uint64_t offset, size_t max, size_t *n,
			   struct pf__stamp *stamp, struct pf__block **block)
{
	const char *at;
	struct pf__block *b;

	pf__mutex_lock(&p->lock);
	at = pf__pages_peek(p, offset, max, n, stamp);
	*block = b = at ? pf__index_find(&p->index, offset >> PF_BLOCK_SHIFT) : NULL;
	if (b) {
		b->pins++;
		b->shown |=
		    pf__block_part(b->number, offset / PF_PAGE, (offset + *n - 1) / PF_PAGE + 1);
	}
	pf__mutex_unlock(&p->lock);
	return at;
}

int pf__pages_pin_block(struct pf__pages *p, uint64_t page, struct pf__spare *spare,
			struct pf__block **block)
{
	int why = 0;
	struct pf__block *b;

	pf__mutex_lock(&p->lock);
	*block = b = pf__block_get(p, pf__block_of(page), spare, &why);
	if (b) {
		b->pins++;
		b->kept++;
	}
	pf__mutex_unlock(&p->lock);
	return b ? 0 : why;
}

static void unpin(struct pf__pages *p, struct pf__block *b, bool kept, bool map, bool writable)
{
	pf__mutex_lock(&p->lock);
	b->pins--;
	b->kept -= kept;
	b->maps -= map;
	b->writers -= writable;
	p->maps -= map;
	if (b->pins == b->kept)
		b->shown = 0;
	if (!b->writers && b->stale) {
		b->voided |= b->stale & b->reading;
		pf__block_clear_uptodate(b, b->stale & ~b->reading);
		b->stale = 0;
	}
	if (!b->detached)
		pf__block_drop_if_empty(b);
	else if (!b->pins)
		pf__block_release(b);
	pf__mutex_unlock(&p->lock);
}

void pf__pages_unpin(struct pf__pages *p, struct pf__block *b)
{
	unpin(p, b, false, false, false);
}

void pf__pages_unpin_block(struct pf__pages *p, struct pf__block *b)
{
	unpin(p, b, true, false, false);
}

void pf__pages_unpin_range(struct pf__pages *p, struct pf__block *b, bool writable)
{
	unpin(p, b, false, true, writable);
}

/* The pages of a range within a block; those that begin before the end of the file in *inside. */
static uint64_t range_bits(uint64_t offset, size_t len, uint64_t size, uint64_t *inside)
{
	unsigned first = pf__page_in_block(offset / PF_PAGE);
	unsigned n = (unsigned)((offset % PF_PAGE + len + PF_PAGE - 1) / PF_PAGE), in = 0;
	uint64_t start = offset / PF_PAGE * PF_PAGE;

	if (size > start)
		in = (unsigned)pf__min_u64(n, (size - start + PF_PAGE - 1) / PF_PAGE);
	*inside = in ? pf__bits(first, in) : 0;
	return pf__bits(first, n);
}

static int pin_range(struct pf__pages *p, uint64_t offset, uint64_t bits, uint64_t inside,
		     struct pf__spare *spare, struct pf__block **block)
{
	int why = 0;
	struct pf__block *b = pf__block_get(p, offset >> PF_BLOCK_SHIFT, spare, &why);
	uint64_t up, behind;

	if (!b)
		return why;
	up = atomic_load_explicit(&b->uptodate, memory_order_relaxed);
	if (inside & ~up) {
		pf__block_drop_if_empty(b);
		return -EAGAIN;
	}
	behind = bits & ~inside & ~up & ~b->reading & ~b->writeback & ~b->dirty;
	if (!pf__block_touch(b, behind, spare)) {
		pf__block_drop_if_empty(b);
		return -ENOBUFS;
	}
	for (uint64_t left = behind; left; left &= left - 1)
		memset(b->data + (unsigned)__builtin_ctzll(left) * (size_t)PF_PAGE, 0, PF_PAGE);
	/* Zeros are what is there: a write that makes the file longer finds them. */
	pf__block_set_uptodate(b, behind);
	used(b, inside, 0);
	*block = b;
	return 0;
}

int pf__pages_pin_range(struct pf__pages *p, uint64_t offset, size_t len, uint64_t size,
			bool writable, struct pf__spare *spare, struct pf__block **block)
{
	uint64_t inside, bits = range_bits(offset, len, size, &inside);
	int r;

	*block = NULL;
	pf__mutex_lock(&p->lock);
	r = pin_range(p, offset, bits, inside, spare, block);
	if (!r) {
		(*block)->pins++;
		(*block)->maps++;
		(*block)->shown |= bits;
		p->maps++;
		(*block)->writers += writable;
	}
	pf__mutex_unlock(&p->lock);
	return r;
}

/* ---- invariants, for tests */

static const char *check_block(const struct pf__block *b, uint64_t n)
{
	uint64_t up = atomic_load(&b->uptodate);

	if (b->number != n)
		return "a block stands under another number";
	if (b->reading & up)
		return "a page is read though it is up to date";
	if (b->voided & ~b->reading)
		return "a page is voided that is not being read";
	if (b->dirty & b->writeback)
		return "a page is dirty while it is written back";
	if (b->partial & ~(b->dirty))
		return "a clean page has a dirty range";
	if ((up | b->dirty | b->writeback | b->reading) & ~b->resident)
		return "a page in use has no memory";
	for (uint64_t bits = b->partial; bits; bits &= bits - 1) {
		unsigned lo, hi;

		pf__block_range(b, (unsigned)__builtin_ctzll(bits), &lo, &hi);
		if (lo >= hi || hi > PF_PAGE)
			return "a dirty range is empty";
	}
	return NULL;
}

const char *pf__pages_check(struct pf__pages *p)
{
	uint64_t n = 0, blocks = 0, dirty = 0, writeback = 0;
	const char *wrong = NULL;
	struct pf__block *b;

	pf__mutex_lock(&p->lock);
	for (; !wrong && (b = pf__index_next(&p->index, &n, false)); n++) {
		uint64_t m = n;

		wrong = check_block(b, n);
		blocks++;
		dirty += (unsigned)__builtin_popcountll(b->dirty);
		writeback += (unsigned)__builtin_popcountll(b->writeback);
		if (!wrong && b->dirty && pf__index_next(&p->index, &m, true) != b)
			wrong = "a dirty block has no tag";
	}
	if (!wrong && blocks != atomic_load(&p->nblocks))
		wrong = "the blocks are counted wrongly";
	if (!wrong && (dirty != p->ndirty || writeback != p->nwriteback))
		wrong = "the dirty pages are counted wrongly";
	pf__mutex_unlock(&p->lock);
	return wrong;
}
