/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages being read. */
#include "base/alloc.h"
#include "base/arith.h"
#include "pages/internal.h"
#include <errno.h>
#include <string.h>

/* Pages of b that are not there and not under way. */
static uint64_t absent(const struct pf__block *b)
{
	return ~(atomic_load_explicit(&b->uptodate, memory_order_relaxed) | b->reading |
		 b->writeback);
}

/* How many of them follow each other from first on. */
static unsigned run_length(uint64_t bits, unsigned first, unsigned max)
{
	uint64_t left = bits >> first;
	unsigned n = ~left ? (unsigned)__builtin_ctzll(~left) : PF_BLOCK_PAGES;

	if (n > PF_BLOCK_PAGES - first)
		n = PF_BLOCK_PAGES - first;
	return n < max ? n : max;
}

static bool add_block(struct pf__fill *f, struct pf__block *b, unsigned page, unsigned n,
		      bool ahead, struct pf__spare *spare)
{
	uint64_t bits = pf__bits(page, n);

	if (!pf__block_touch(b, bits, spare))
		return false;
	b->reading |= bits;
	if (ahead) {
		atomic_fetch_or_explicit(&b->ahead, bits, memory_order_relaxed);
		atomic_fetch_add_explicit(&b->arena->ahead, n, memory_order_relaxed);
	}
	f->blocks[f->niov] = b;
	f->iov[f->niov++] = (struct iovec){b->data + page * (size_t)PF_PAGE, n * (size_t)PF_PAGE};
	f->n += n;
	return true;
}

/* The answer must not run over the page: it has dirty bytes, or somebody looks at it, who would see
 * what else lands there (another answer that came first). So it lands beside it. */
static int add_page_beside(struct pf__fill *f, struct pf__block *b, unsigned page,
			   struct pf__spare *spare)
{
	if (!add_block(f, b, page, 1, false, spare))
		return -ENOBUFS;
	f->bounce = pf__malloc(PF_PAGE);
	if (!f->bounce) {
		b->reading &= ~(1ull << page);
		return -ENOMEM;
	}
	f->iov[0].iov_base = f->bounce;
	return 0;
}

/* Under the lock: the run's blocks. 0, or why not even the first page could be taken. */
static int gather(struct pf__fill *f, unsigned max, bool ahead, struct pf__spare *spare)
{
	struct pf__pages *p = f->pages;
	int why = 0;

	while (f->n < max && f->niov < PF_FILL_BLOCKS) {
		uint64_t at = f->first + f->n;
		unsigned page = pf__page_in_block(at), n;
		struct pf__block *b = pf__block_get(p, pf__block_of(at), spare, &why);

		if (!b)
			return f->n ? 0 : why;
		if (!f->n && (absent(b) & (b->dirty | b->shown) & 1ull << page))
			return add_page_beside(f, b, page, spare);
		n = run_length(absent(b) & ~(b->dirty | b->shown), page, max - f->n);
		if (n && !add_block(f, b, page, n, ahead, spare)) {
			pf__block_drop_if_empty(b);
			return f->n ? 0 : -ENOBUFS;
		}
		if (page + n < PF_BLOCK_PAGES)
			break;
	}
	return 0;
}

/* The vectors end where the request does. */
static void cut_to(struct pf__fill *f, uint64_t eof)
{
	uint64_t end = (f->first + f->n) * PF_PAGE;
	size_t over = end > eof ? (size_t)(end - eof) : 0;

	f->length = f->n * (size_t)PF_PAGE - over;
	f->iov[f->niov - 1].iov_len -= over;
}

int pf__fill_begin(struct pf__pages *p, uint64_t first, unsigned max, uint64_t eof, bool ahead,
		   struct pf__spare *spare, struct pf__fill *f)
{
	uint64_t end = (eof + PF_PAGE - 1) / PF_PAGE;
	int r;

	*f = (struct pf__fill){.pages = p, .first = first, .offset = first * PF_PAGE};
	if (first >= end)
		return 0;
	max = (unsigned)pf__min_u64(max, end - first);
	pf__mutex_lock(&p->lock);
	r = gather(f, max, ahead, spare);
	if (!r && f->n)
		cut_to(f, eof);
	pf__mutex_unlock(&p->lock);
	return r ? r : (int)f->n;
}

/* ---- the end */

/* Bytes outside of the dirty range come from the answer, also while somebody looks at them. What is
 * up to date now? */
static uint64_t merge(struct pf__fill *f, size_t got, bool hole)
{
	struct pf__block *b = f->blocks[0];
	unsigned page = pf__page_in_block(f->first), lo, hi;
	char *to = b->data + page * (size_t)PF_PAGE;
	uint64_t bit = 1ull << page;

	if ((!got && !hole) || (b->voided & bit))
		return 0;
	if (got > PF_PAGE)
		got = PF_PAGE;
	memset(f->bounce + got, 0, PF_PAGE - got);
	if (!(b->dirty & bit)) {
		pf__slice_copy(to, f->bounce, PF_PAGE);
		return bit;
	}
	pf__block_range(b, page, &lo, &hi);
	pf__slice_copy(to, f->bounce, lo);
	pf__slice_copy(to + hi, (char *)f->bounce + hi, PF_PAGE - hi);
	return bit;
}

/* Pages first.. of b got so many bytes: which are up to date now? */
static uint64_t arrived(struct pf__block *b, unsigned first, unsigned n, size_t got, bool hole)
{
	size_t all = n * (size_t)PF_PAGE;
	unsigned whole;

	if (got >= all)
		return pf__bits(first, n);
	whole = (unsigned)((got + PF_PAGE - 1) / PF_PAGE);
	if (hole)
		whole = n;
	if (!whole)
		return 0;
	if (got < whole * (size_t)PF_PAGE)
		memset(b->data + first * (size_t)PF_PAGE + got, 0, whole * (size_t)PF_PAGE - got);
	return pf__bits(first, whole);
}

static void end_block(struct pf__block *b, unsigned first, unsigned n, uint64_t good)
{
	uint64_t bits = pf__bits(first, n);

	good &= ~b->voided;
	b->reading &= ~bits;
	b->voided &= ~bits;
	pf__block_set_uptodate(b, good);
	if (good != bits)
		atomic_fetch_and_explicit(&b->ahead, ~(bits & ~good), memory_order_relaxed);
	pf__block_drop_if_empty(b);
}

void pf__fill_end(struct pf__fill *f, size_t got, int error, bool hole)
{
	unsigned page = pf__page_in_block(f->first), left = f->n;

	pf__mutex_lock(&f->pages->lock);
	for (int i = 0; i < f->niov; i++) {
		unsigned n = left < PF_BLOCK_PAGES - page ? left : PF_BLOCK_PAGES - page;
		size_t mine = pf__min_u64(got, n * (size_t)PF_PAGE);
		uint64_t good = 0;

		if (!error)
			good = f->bounce ? merge(f, mine, hole)
					 : arrived(f->blocks[i], page, n, mine, hole);
		end_block(f->blocks[i], page, n, good);
		got -= mine;
		left -= n;
		page = 0;
	}
	pf__mutex_unlock(&f->pages->lock);
	pf__free(f->bounce);
	pf__pages_wake(f->pages);
}
