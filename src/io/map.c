/* SPDX-License-Identifier: BSD-2-Clause */
/* Cached data as memory: read in, marked as changed. */
#include "base/arith.h"
#include "io/inode.h"
#include <errno.h>

#define MAX_ROUNDS 16

struct pf__pages *pf__io_pages(struct pf__io_file *f)
{
	return &f->ii->pages;
}

/* Pages of the range are up to date when it returns, as far as the file goes. */
static int populate(struct pf__io_file *f, const struct pf__io_call *c, uint64_t offset,
		    uint64_t len)
{
	uint64_t end = pf__min_u64(pf__add_sat_u64(offset, len), c->size), eof = c->size;
	uint64_t page = offset / PF_PAGE, last = (end + PF_PAGE - 1) / PF_PAGE;
	unsigned rounds = 0;
	int r = 0;

	while (page < last && !r) {
		enum pf__page_state state = pf__pages_state(&f->ii->pages, page);

		if (state == PF_PAGE_UPTODATE) {
			page++;
			rounds = 0;
		} else if (state == PF_PAGE_BUSY) {
			r = pf__page_wait(f->ii, c->group, page, false);
		} else if (rounds++ < MAX_ROUNDS) {
			r = (rounds > 1 ? pf__fetch_one : pf__fetch_wait)(f, c, page, last, c->size,
									  &eof);
			last = pf__min_u64(last, (eof + PF_PAGE - 1) / PF_PAGE);
		} else {
			r = -EIO;
		}
	}
	return r == PF_NO_ROOM ? -ENOMEM : r;
}

/* The block of offset, kept in the file while it is filled: to make room for its last page the
 * first ones could go. */
static int keep_block(struct pf__io_file *f, uint64_t offset, struct pf__block **block)
{
	struct pf__pages *p = &f->ii->pages;
	struct pf__spare spare = {0};
	int r = pf__pages_pin_block(p, offset / PF_PAGE, &spare, block);

	if (r != -ENOBUFS)
		return r;
	if (pf__spare_take(&spare, f->io->arena, 1, 0))
		return -ENOMEM;
	r = pf__pages_pin_block(p, offset / PF_PAGE, &spare, block);
	pf__spare_put(&spare);
	return r;
}

static int pin_range(struct pf__io_file *f, uint64_t offset, size_t len, uint64_t size,
		     bool writable, struct pf__block **block)
{
	struct pf__spare spare = {0};
	struct pf__pages *p = &f->ii->pages;
	int r = pf__pages_pin_range(p, offset, len, size, writable, &spare, block);

	for (unsigned tries = 0; r == -ENOBUFS && tries < PF_SPARE_TRIES; tries++) {
		if (pf__spare_take_for(&spare, p, offset / PF_PAGE, pf__pages_spanned(offset, len)))
			return -ENOMEM;
		r = pf__pages_pin_range(p, offset, len, size, writable, &spare, block);
		pf__spare_put(&spare);
	}
	return r == -ENOBUFS ? -ENOMEM : r;
}

int pf__io_pin_range(struct pf__io_file *f, struct pf__io_call *c, uint64_t offset, size_t len,
		     bool writable, struct pf__block **block)
{
	int r = -EAGAIN;

	for (unsigned round = 0; round < MAX_ROUNDS && r == -EAGAIN; round++) {
		struct pf__block *kept;

		r = keep_block(f, offset, &kept);
		if (r)
			break;
		r = populate(f, c, offset, len);
		if (!r)
			r = pin_range(f, offset, len, c->size, writable, block);
		pf__pages_unpin_block(&f->ii->pages, kept);
		/* What came may have shown that the file is shorter. */
		c->size = pf__min_u64(c->size, pf__inode_size(f->inode));
	}
	return r;
}

void pf__io_clean_tail(struct pf__io_file *f)
{
	struct pf__attr a;

	pf__inode_attr(f->inode, 0, 0, &a);
	pf__pages_extend(&f->ii->pages, a.attr.size);
}

int pf__io_mark_dirty(struct pf__io_file *f, uint64_t page, unsigned len)
{
	int r;

	while ((r = pf__pages_mark_dirty(&f->ii->pages, page, len)) == -EBUSY) {
		r = pf__page_wait(f->ii, NULL, page, true);
		if (r)
			break;
	}
	if (r)
		return r;
	pf__io_now_dirty(f->ii);
	pf__io_note_write(f->io, f->inode, 0, 0, NULL);
	return 0;
}
