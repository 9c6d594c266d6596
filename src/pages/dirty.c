/* SPDX-License-Identifier: BSD-2-Clause */
/* Dirty bytes, and their way back to the server. */
#include "base/alloc.h"
#include "base/arith.h"
#include "pages/internal.h"
#include <errno.h>

static unsigned count(uint64_t bits)
{
	return (unsigned)__builtin_popcountll(bits);
}

/* ---- the dirty range of a page; under the lock */

void pf__block_range(const struct pf__block *b, unsigned page, unsigned *lo, unsigned *hi)
{
	bool part = b->partial >> page & 1;

	*lo = part ? b->ranges->lo[page] : 0;
	*hi = part ? b->ranges->hi[page] : PF_PAGE;
}

static int set_range(struct pf__block *b, unsigned page, unsigned lo, unsigned hi)
{
	/* Also for a whole page: what is cut off it later must not want memory. */
	if (!b->ranges)
		b->ranges = pf__malloc(sizeof *b->ranges);
	if (!b->ranges)
		return -ENOMEM;
	if (lo == 0 && hi == PF_PAGE) {
		b->partial &= ~(1ull << page);
		return 0;
	}
	b->ranges->lo[page] = (uint16_t)lo;
	b->ranges->hi[page] = (uint16_t)hi;
	b->partial |= 1ull << page;
	return 0;
}

int pf__block_set_dirty(struct pf__block *b, unsigned page, unsigned lo, unsigned hi)
{
	uint64_t bit = 1ull << page;
	struct pf__pages *p = b->pages;

	if (b->dirty & bit) {
		unsigned l, h;

		pf__block_range(b, page, &l, &h);
		if (l < lo)
			lo = l;
		if (h > hi)
			hi = h;
	}
	if (set_range(b, page, lo, hi))
		return -ENOMEM;
	if (b->dirty & bit)
		return 0;
	if (!b->dirty)
		pf__index_tag(&p->index, b->number, true);
	b->dirty |= bit;
	p->ndirty++;
	atomic_fetch_add_explicit(&b->arena->ndirty, 1, memory_order_relaxed);
	return 0;
}

void pf__block_clear_dirty(struct pf__block *b, uint64_t pages)
{
	uint64_t gone = b->dirty & pages;

	if (!gone)
		return;
	b->dirty &= ~gone;
	b->partial &= ~gone;
	b->pages->ndirty -= count(gone);
	atomic_fetch_sub_explicit(&b->arena->ndirty, count(gone), memory_order_relaxed);
	if (!b->dirty)
		pf__index_tag(&b->pages->index, b->number, false);
}

bool pf__pages_mark_dirty(struct pf__pages *p, uint64_t page, unsigned len)
{
	uint64_t bit = 1ull << pf__page_in_block(page);
	bool done = false;
	struct pf__block *b;

	pf__mutex_lock(&p->lock);
	b = pf__index_find(&p->index, pf__block_of(page));
	if (b && !((b->writeback | b->reading) & bit)) {
		/* A mapping shows it: it has memory. */
		pf__block_set_uptodate(b, bit);
		done = !pf__block_set_dirty(b, pf__page_in_block(page), 0, len);
	}
	pf__mutex_unlock(&p->lock);
	return done;
}

/* ---- runs */

static void count_writeback(struct pf__pages *p, unsigned add, unsigned sub)
{
	p->nwriteback += add;
	p->nwriteback -= sub;
	atomic_fetch_add_explicit(&p->arena->nwriteback, add, memory_order_relaxed);
	atomic_fetch_sub_explicit(&p->arena->nwriteback, sub, memory_order_relaxed);
}

/* One more page at the end of the run: its dirty bytes, at most up to end. */
static void run_add(struct pf__wb *wb, struct pf__block *b, unsigned page, unsigned lo, unsigned hi)
{
	uint64_t bit = 1ull << page;
	char *data = b->data + page * (size_t)PF_PAGE + lo;
	struct iovec *last = wb->niov ? &wb->iov[wb->niov - 1] : NULL;

	if (last && wb->blocks[wb->niov - 1] == b) {
		last->iov_len += hi - lo;
	} else {
		wb->blocks[wb->niov] = b;
		wb->iov[wb->niov++] = (struct iovec){data, hi - lo};
	}
	wb->length += hi - lo;
	wb->n++;
	pf__block_clear_dirty(b, bit);
	b->writeback |= bit;
	count_writeback(wb->pages, 1, 0);
}

/* May the page that follows be part of the run? Its block in *next. */
static bool run_goes_on(const struct pf__wb *wb, size_t max, uint64_t to, struct pf__block **next,
			unsigned *hi)
{
	uint64_t at = wb->first + wb->n;
	unsigned page = pf__page_in_block(at), lo;
	struct pf__block *b = *next;

	if ((wb->offset + wb->length) % PF_PAGE || at * PF_PAGE >= to)
		return false;
	if (page == 0)
		b = *next = pf__index_find(&wb->pages->index, pf__block_of(at));
	if (!b || !(b->dirty & ~b->reading & 1ull << page))
		return false;
	if (page == 0 && wb->niov == PF_FILL_BLOCKS)
		return false;
	pf__block_range(b, page, &lo, hi);
	return lo == 0 && wb->length + *hi <= max;
}

/* The first dirty page from page on, of those that may be written. */
static struct pf__block *first_dirty(struct pf__pages *p, uint64_t *page)
{
	uint64_t number = pf__block_of(*page);
	struct pf__block *b;

	for (; (b = pf__index_next(&p->index, &number, true)); number++) {
		unsigned from = number == pf__block_of(*page) ? pf__page_in_block(*page) : 0;
		uint64_t bits = (b->dirty & ~b->reading) >> from << from;

		if (bits) {
			*page = number * PF_BLOCK_PAGES + (unsigned)__builtin_ctzll(bits);
			return b;
		}
	}
	return NULL;
}

static bool begin(struct pf__wb *wb, uint64_t from, uint64_t to, size_t max)
{
	struct pf__pages *p = wb->pages;
	uint64_t at = from / PF_PAGE;
	struct pf__block *b;
	unsigned lo, hi;

	b = first_dirty(p, &at);
	if (!b || at * PF_PAGE >= to)
		return false;
	pf__block_range(b, pf__page_in_block(at), &lo, &hi);
	wb->first = at;
	wb->offset = at * PF_PAGE + lo;
	do
		run_add(wb, b, pf__page_in_block(wb->first + wb->n), wb->n ? 0 : lo, hi);
	while (run_goes_on(wb, max, to, &b, &hi));
	return true;
}

bool pf__wb_begin(struct pf__pages *p, uint64_t from, uint64_t to, size_t max, struct pf__wb *wb)
{
	bool found = false;

	*wb = (struct pf__wb){.pages = p};
	pf__mutex_lock(&p->lock);
	if (!p->nowrite && p->ndirty)
		found = begin(wb, from, to, max);
	pf__mutex_unlock(&p->lock);
	return found;
}

static void end_page(struct pf__wb *wb, struct pf__block *b, uint64_t at, enum pf__wb_end how,
		     uint64_t written_to)
{
	unsigned page = pf__page_in_block(at);
	uint64_t bit = 1ull << page, start = at * PF_PAGE;
	uint64_t lo = pf__max_u64(start, wb->offset);
	uint64_t hi = pf__min_u64(start + PF_PAGE, wb->offset + wb->length);

	b->writeback &= ~bit;
	if (how == PF_WB_LOST) {
		pf__block_clear_uptodate(b, bit);
		return;
	}
	lo = pf__max_u64(lo, written_to);
	if (lo < hi) /* the memory for it is there: the page was dirty before */
		(void)pf__block_set_dirty(b, page, (unsigned)(lo - start), (unsigned)(hi - start));
}

void pf__wb_end(struct pf__wb *wb, enum pf__wb_end how, size_t n)
{
	struct pf__pages *p = wb->pages;
	uint64_t written_to = how == PF_WB_WRITTEN ? wb->offset + n : wb->offset;
	int block = 0;

	pf__mutex_lock(&p->lock);
	for (unsigned i = 0; i < wb->n; i++) {
		uint64_t at = wb->first + i;

		if (i && pf__page_in_block(at) == 0) {
			pf__block_drop_if_empty(wb->blocks[block]);
			block++;
		}
		end_page(wb, wb->blocks[block], at, how, written_to);
	}
	count_writeback(p, 0, wb->n);
	pf__block_drop_if_empty(wb->blocks[block]);
	pf__mutex_unlock(&p->lock);
	pf__pages_wake(p);
}

bool pf__pages_busy_writing(struct pf__pages *p, uint64_t from, uint64_t to, bool dirty_too)
{
	uint64_t number = from >> PF_BLOCK_SHIFT, last = to ? (to - 1) / PF_PAGE : 0;
	bool busy = false;
	struct pf__block *b;

	pf__mutex_lock(&p->lock);
	if (!p->nwriteback && !(dirty_too && p->ndirty))
		goto out;
	for (; !busy && to > from && (b = pf__index_next(&p->index, &number, false)); number++) {
		uint64_t bits = b->writeback | (dirty_too ? b->dirty : 0);

		if (number > pf__block_of(last))
			break;
		if (number == from >> PF_BLOCK_SHIFT)
			bits &= ~0ull << pf__page_in_block(from / PF_PAGE);
		if (number == pf__block_of(last))
			bits &= pf__bits(0, pf__page_in_block(last) + 1);
		busy = bits;
	}
out:
	pf__mutex_unlock(&p->lock);
	return busy;
}

void pf__pages_hold(struct pf__pages *p)
{
	pf__mutex_lock(&p->lock);
	p->nowrite++;
	pf__mutex_unlock(&p->lock);
}

void pf__pages_release(struct pf__pages *p)
{
	pf__mutex_lock(&p->lock);
	p->nowrite--;
	pf__mutex_unlock(&p->lock);
	pf__pages_wake(p);
}

uint64_t pf__pages_forget_dirty(struct pf__pages *p)
{
	uint64_t number = 0, lost = 0;
	struct pf__block *b;

	pf__mutex_lock(&p->lock);
	for (; (b = pf__index_next(&p->index, &number, true)); number++) {
		uint64_t dirty = b->dirty;

		lost += count(dirty);
		pf__block_clear_dirty(b, dirty);
		pf__block_clear_uptodate(b, dirty);
		pf__block_drop_if_empty(b);
	}
	pf__mutex_unlock(&p->lock);
	if (lost)
		pf__pages_wake(p);
	return lost;
}
