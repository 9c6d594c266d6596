/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes that come from a caller or from the server unasked, put into pages. */
#include "base/arith.h"
#include "pages/internal.h"
#include <errno.h>
#include <string.h>

/* A piece of a write within one page. */
struct piece {
	struct pf__block *b;
	unsigned page;   /* in b */
	unsigned lo, hi; /* bytes of it */
	uint64_t bit;
	char *data; /* the page */
};

static struct piece piece_at(struct pf__block *b, uint64_t offset, size_t len)
{
	unsigned page = pf__page_in_block(offset / PF_PAGE), lo = offset % PF_PAGE;
	struct piece x = {.b = b, .page = page, .lo = lo, .bit = 1ull << page};

	x.hi = (unsigned)pf__min_u64(PF_PAGE, lo + (uint64_t)len);
	x.data = b ? b->data + page * (size_t)PF_PAGE : NULL;
	return x;
}

static bool is_uptodate(const struct piece *x)
{
	return atomic_load_explicit(&x->b->uptodate, memory_order_relaxed) & x->bit;
}

/* Zero what the piece leaves of its page. */
static void zero_around(const struct piece *x)
{
	memset(x->data, 0, x->lo);
	memset(x->data + x->hi, 0, PF_PAGE - x->hi);
}

/* What a range needs of b gets memory in one go, if it can be had: piece by piece each page faults.
 */
static void touch_all(struct pf__block *b, uint64_t offset, size_t len, struct pf__spare *spare)
{
	uint64_t end = pf__add_sat_u64(offset, len - 1) / PF_PAGE + 1;

	(void)pf__block_touch(b, pf__block_part(b->number, offset / PF_PAGE, end), spare);
}

/* ---- dirty */

/* Does the piece, together with the end of the file before it (eof), make up the whole page? What
 * lies behind the end is zeros. */
static bool completes(const struct piece *x, uint64_t start, uint64_t eof)
{
	if (start >= eof)
		return true;
	return x->lo == 0 && start + x->hi >= eof;
}

/* Can the page be dirty in one range with what it has? */
static bool joins(const struct piece *x)
{
	unsigned lo, hi;

	pf__block_range(x->b, x->page, &lo, &hi);
	return x->lo <= hi && lo <= x->hi;
}

static enum pf__put dirty_piece(struct piece *x, uint64_t start, uint64_t eof, struct pf__slice *s,
				struct pf__spare *spare)
{
	struct pf__block *b = x->b;
	bool fresh = false;

	if ((b->reading | b->writeback) & x->bit)
		return PF_PUT_BUSY;
	if (!is_uptodate(x)) {
		bool dirty = b->dirty & x->bit;

		fresh = !dirty && completes(x, start, eof);
		if (dirty && !joins(x) && (x->lo || x->hi < PF_PAGE))
			return PF_PUT_READ;
	}
	if (!pf__block_touch(b, x->bit, spare))
		return PF_PUT_SPARE;
	if (pf__block_set_dirty(b, x->page, x->lo, x->hi))
		return PF_PUT_NOMEM;
	pf__slice_copy_out(s, x->data + x->lo, x->hi - x->lo);
	if (fresh)
		zero_around(x);
	if (fresh || (x->lo == 0 && x->hi == PF_PAGE))
		pf__block_set_uptodate(b, x->bit);
	return PF_PUT_DONE;
}

enum pf__put pf__pages_put_dirty(struct pf__pages *p, uint64_t offset, size_t len, uint64_t eof,
				 struct pf__slice *s, struct pf__spare *spare, size_t *done)
{
	enum pf__put r = PF_PUT_DONE;
	struct pf__block *b = NULL;
	int why;

	*done = 0;
	pf__mutex_lock(&p->lock);
	while (*done < len && r == PF_PUT_DONE) {
		uint64_t at = offset + *done;
		struct piece x;

		if (!b || b->number != at >> PF_BLOCK_SHIFT) {
			b = pf__block_get(p, at >> PF_BLOCK_SHIFT, spare, &why);
			if (b && len - *done > PF_PAGE)
				touch_all(b, at, len - *done, spare);
		}
		if (!b) {
			r = why == -ENOBUFS ? PF_PUT_SPARE : PF_PUT_NOMEM;
			break;
		}
		x = piece_at(b, at, len - *done);
		r = dirty_piece(&x, at - x.lo, eof, s, spare);
		if (r == PF_PUT_DONE)
			*done += x.hi - x.lo;
		else
			pf__block_drop_if_empty(b);
	}
	pf__mutex_unlock(&p->lock);
	return r;
}

/* ---- clean */

static void copy_piece(const struct piece *x, unsigned lo, unsigned hi, struct pf__slice *s)
{
	pf__slice_skip(s, lo - x->lo);
	pf__slice_copy_out(s, x->data + lo, hi - lo);
	pf__slice_skip(s, x->hi - hi);
}

/* Only the bytes that are dirty anyway: the others of the page mean nothing. */
static void replace_dirty(const struct piece *x, struct pf__slice *s)
{
	unsigned lo, hi;

	pf__block_range(x->b, x->page, &lo, &hi);
	lo = lo < x->lo ? x->lo : lo;
	hi = hi > x->hi ? x->hi : hi;
	if (lo < hi)
		copy_piece(x, lo, hi, s);
	else
		pf__slice_skip(s, x->hi - x->lo);
}

/* A mapping shows the page, whatever its state: a READ of it lands beside. */
static bool is_mapped(const struct piece *x)
{
	const struct pf__block *b = x->b;

	return b->maps && (b->shown & b->resident & ~b->writeback & x->bit);
}

static void clean_piece(struct piece *x, uint64_t start, uint64_t eof, struct pf__slice *s,
			struct pf__spare *spare)
{
	struct pf__block *b = x->b;
	bool whole = x->lo == 0 && (x->hi == PF_PAGE || start + x->hi >= eof);
	bool busy = (b->reading | b->writeback) & x->bit;

	if (busy) { /* It will be asked for again. */
		b->voided |= b->reading & x->bit;
		pf__block_clear_uptodate(b, b->writeback & x->bit);
	}
	if (!busy && is_uptodate(x)) {
		copy_piece(x, x->lo, x->hi, s);
	} else if (!busy && whole && !(b->dirty & x->bit) && pf__block_touch(b, x->bit, spare)) {
		copy_piece(x, x->lo, x->hi, s);
		zero_around(x);
		pf__block_set_uptodate(b, x->bit);
	} else if (is_mapped(x)) {
		copy_piece(x, x->lo, x->hi, s);
	} else if (b->dirty & x->bit) { /* an answer that is under way comes beside them */
		replace_dirty(x, s);
	} else {
		pf__slice_skip(s, x->hi - x->lo);
	}
}

/* Is the piece worth a block of its own? */
static bool deserves_block(const struct piece *x, uint64_t start, uint64_t eof)
{
	return x->lo == 0 && (x->hi == PF_PAGE || start + x->hi >= eof);
}

void pf__pages_put_clean(struct pf__pages *p, uint64_t offset, size_t len, uint64_t eof,
			 struct pf__slice *s, struct pf__spare *spare)
{
	size_t done = 0;
	int why;

	pf__mutex_lock(&p->lock);
	while (done < len) {
		uint64_t at = offset + done, number = at >> PF_BLOCK_SHIFT;
		struct pf__block *b = pf__index_find(&p->index, number);
		struct piece x = piece_at(b, at, len - done);

		if (!b && spare->n && deserves_block(&x, at - x.lo, eof)) {
			b = pf__block_get(p, number, spare, &why);
			x = piece_at(b, at, len - done);
		}
		if (b)
			clean_piece(&x, at - x.lo, eof, s, spare);
		else
			pf__slice_skip(s, x.hi - x.lo);
		if (b)
			pf__block_drop_if_empty(b);
		done += x.hi - x.lo;
	}
	pf__mutex_unlock(&p->lock);
}
