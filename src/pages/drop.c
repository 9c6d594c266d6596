/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages that go: invalidated, overtaken, cut off. */
#include "base/alloc.h"
#include "base/arith.h"
#include "pages/internal.h"
#include <string.h>

/* Nothing is under way in the block, and it has pages to lose. */
static bool gone_for_good(const struct pf__block *b, uint64_t bits)
{
	return !(b->dirty | b->writeback | b->reading) &&
	       (atomic_load_explicit(&b->uptodate, memory_order_relaxed) & bits);
}

/* Somebody has borrowed of it: he keeps the memory as it is, the file gets a new block. */
static void detach(struct pf__block *b)
{
	uint64_t gone = pf__block_clear_uptodate(b, ~0ull);

	atomic_fetch_add_explicit(&b->arena->dropped, (uint64_t)__builtin_popcountll(gone),
				  memory_order_relaxed);
	pf__index_remove(&b->pages->index, b->number);
	atomic_fetch_sub(&b->pages->nblocks, 1);
	pf__free(b->ranges); /* nothing is dirty; after pf_stop() nobody unpins it */
	b->ranges = NULL;
	b->detached = true;
}

/* bits: pages that the range touches; overtaken: those that it covers, dirty or not. */
static void drop_block(struct pf__block *b, uint64_t bits, uint64_t overtaken)
{
	uint64_t gone;

	if (b->writers) { /* a mapping may have changed them: they go when it does */
		b->stale |= bits;
		return;
	}
	pf__block_clear_dirty(b, overtaken); /* also of pages being read: they are voided */
	if (b->pins && !b->maps && gone_for_good(b, bits)) {
		detach(b);
		return;
	}
	b->voided |= bits & b->reading;
	gone = pf__block_clear_uptodate(b, bits);
	atomic_fetch_add_explicit(&b->arena->dropped, (uint64_t)__builtin_popcountll(gone),
				  memory_order_relaxed);
	pf__block_drop_if_empty(b);
}

/* Of a page that the range covers in part the dirty bytes inside of it are overtaken, if they lie
 * at one end of what is dirty. */
static void overtake_edge(struct pf__block *b, uint64_t page, uint64_t from, uint64_t to)
{
	unsigned i = pf__page_in_block(page), lo, hi;
	uint64_t start = page * PF_PAGE, bit = 1ull << i;

	if (b->number != pf__block_of(page) || !(b->dirty & bit))
		return;
	pf__block_range(b, i, &lo, &hi);
	if (from <= start + lo && to > start + lo)
		lo = (unsigned)pf__min_u64(to - start, hi);
	else if (to >= start + hi && from < start + hi)
		hi = (unsigned)pf__max_u64(from - start, lo);
	else
		return;
	pf__block_clear_dirty(b, bit);
	if (lo < hi)
		pf__block_set_dirty(b, i, lo, hi);
}

static void overtake_edges(struct pf__block *b, uint64_t from, uint64_t to)
{
	if (from % PF_PAGE)
		overtake_edge(b, from / PF_PAGE, from, to);
	if (to % PF_PAGE)
		overtake_edge(b, to / PF_PAGE, from, to);
}

enum drop { DROP, DROP_CLEAN, DROP_OVERTAKEN };

static void drop(struct pf__pages *p, uint64_t offset, uint64_t len, enum drop how)
{
	uint64_t last = pf__add_sat_u64(offset, len);
	uint64_t first = offset / PF_PAGE, end = last / PF_PAGE + (last % PF_PAGE != 0);
	uint64_t inner = (offset + PF_PAGE - 1) / PF_PAGE, inner_end = last / PF_PAGE;
	uint64_t number = pf__block_of(first);
	struct pf__block *b;

	if (!len || !pf__pages_any(p))
		return;
	pf__mutex_lock(&p->lock);
	for (; (b = pf__index_next(&p->index, &number, false)); number++) {
		uint64_t over = 0, start = number * PF_BLOCK_PAGES, bits;

		if (start >= end)
			break;
		bits = pf__block_part(number, first, end);
		if (how == DROP_CLEAN)
			bits &= ~(b->dirty | b->writeback);
		if (how == DROP_OVERTAKEN && inner < inner_end && inner < start + PF_BLOCK_PAGES &&
		    inner_end > start)
			over = pf__block_part(number, inner, inner_end);
		if (how == DROP_OVERTAKEN)
			overtake_edges(b, offset, last);
		drop_block(b, bits, over);
	}
	pf__mutex_unlock(&p->lock);
}

void pf__pages_drop(struct pf__pages *p, uint64_t offset, uint64_t len)
{
	drop(p, offset, len, DROP);
}

void pf__pages_drop_clean(struct pf__pages *p, uint64_t offset, uint64_t len)
{
	drop(p, offset, len, DROP_CLEAN);
}

void pf__pages_drop_overtaken(struct pf__pages *p, uint64_t offset, uint64_t len)
{
	drop(p, offset, len, DROP_OVERTAKEN);
}

/* ---- truncation */

static void cut_dirty(struct pf__block *b, unsigned page, unsigned tail)
{
	unsigned lo, hi;

	if (!(b->dirty & 1ull << page))
		return;
	pf__block_range(b, page, &lo, &hi);
	if (hi <= tail)
		return;
	pf__block_clear_dirty(b, 1ull << page);
	if (lo < tail)
		pf__block_set_dirty(b, page, lo, tail);
}

/* The page that holds the new end: only its first tail bytes are left. */
static void cut_page(struct pf__block *b, unsigned page, unsigned tail)
{
	uint64_t bit = 1ull << page;

	b->voided |= b->reading & bit;
	cut_dirty(b, page, tail);
	if ((b->writeback & bit) || ((b->shown & bit) && !b->maps)) { /* its bytes are in use */
		pf__block_clear_uptodate(b, bit);
		return;
	}
	if (!(b->resident & bit) || (b->reading & bit))
		return;
	/* Who copies of it just now does so again. */
	atomic_fetch_add(&b->drops, 1);
	memset(b->data + page * (size_t)PF_PAGE + tail, 0, PF_PAGE - tail);
}

static void cut_block(struct pf__block *b, uint64_t size)
{
	uint64_t start = b->number * PF_BLOCK, bits = ~0ull, all;
	unsigned page = size > start ? (unsigned)((size - start) / PF_PAGE) : 0;

	if (page >= PF_BLOCK_PAGES)
		return;
	all = bits = ~0ull << page;
	if (size > start && size % PF_PAGE)
		bits &= ~(1ull << page);
	if (b->pins && !b->maps && gone_for_good(b, all)) {
		detach(b);
		return;
	}
	if (bits != all)
		cut_page(b, page, size % PF_PAGE);
	pf__block_clear_dirty(b, bits);
	b->voided |= bits & b->reading;
	/* What a mapping shows of a file that is not there any more is zeros. */
	for (uint64_t left = b->writers ? bits & b->resident & ~b->writeback & ~b->reading : 0;
	     left; left &= left - 1)
		memset(b->data + (unsigned)__builtin_ctzll(left) * (size_t)PF_PAGE, 0, PF_PAGE);
	pf__block_clear_uptodate(b, bits);
	pf__block_drop_if_empty(b);
}

void pf__pages_truncate(struct pf__pages *p, uint64_t size)
{
	uint64_t number = size >> PF_BLOCK_SHIFT;
	struct pf__block *b;

	if (!pf__pages_any(p))
		return;
	pf__mutex_lock(&p->lock);
	for (; (b = pf__index_next(&p->index, &number, false)); number++)
		cut_block(b, size);
	pf__mutex_unlock(&p->lock);
}

void pf__pages_extend(struct pf__pages *p, uint64_t size)
{
	uint64_t bit = 1ull << pf__page_in_block(size / PF_PAGE);
	struct pf__block *b;

	if (!(size % PF_PAGE) || !pf__pages_any(p))
		return;
	pf__mutex_lock(&p->lock);
	b = pf__index_find(&p->index, size >> PF_BLOCK_SHIFT);
	if (b && b->writers && (b->resident & ~b->reading & ~b->writeback & bit))
		memset(b->data + (size & (PF_BLOCK - 1)), 0, PF_PAGE - size % PF_PAGE);
	pf__mutex_unlock(&p->lock);
}
