/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads through the cache: copy what is there without a lock, fetch what is not, go on. */
#include "base/arith.h"
#include "base/clock.h"
#include "io/inode.h"
#include <errno.h>

#define MAX_ROUNDS                                                                                 \
	16 /* a page that is lost so often before it is copied is read past the cache              \
	    */

#define MAX_CHANGES 64

struct reader {
	struct pf__io_file *f;
	const struct pf__io_call *c;
	struct pf__slice slice;
	uint64_t offset, end; /* of the file, as far as this call sees */
	size_t left, done;
	uint64_t hits, misses; /* pages */
	unsigned changed;      /* how often it was read past the cache in vain */
};

/* The file ends before it was thought to. */
static void cut(struct reader *r, uint64_t end)
{
	if (end < r->end) {
		r->end = end;
		r->left = (size_t)pf__min_u64(r->left, end > r->offset ? end - r->offset : 0);
	}
}

/* Copy as far as pages are up to date. Bytes. */
static size_t copy_there(struct reader *r)
{
	struct pf__pages *p = &r->f->ii->pages;
	size_t before = r->done, n;
	struct pf__slice slice;
	struct pf__stamp stamp;
	const char *from;

	pf__rcu_read_lock();
	while (r->left && (from = pf__pages_peek(p, r->offset, r->left, &n, &stamp))) {
		/* The size is looked at after the page and before the bytes: a short READ lowers it
		 * before its pages count, and bytes are there before they count. */
		cut(r, pf__inode_size(r->f->inode));
		if (n > r->left)
			n = r->left;
		if (!pf__inode_reaches(r->f->inode, r->offset + n))
			break;
		slice = r->slice;
		pf__slice_copy_in(&r->slice, from, n);
		if (!pf__pages_unchanged(&stamp)) { /* it went meanwhile, or was cut */
			r->slice = slice;
			break;
		}
		r->offset += n;
		r->left -= n;
		r->done += n;
	}
	pf__rcu_read_unlock();
	return r->done - before;
}

/* A hole, in a file whose size is ours. */
static void give_zeros(struct reader *r, size_t n)
{
	static const char zeros[PF_PAGE];

	for (n = pf__min_u64(n, r->left); n;) {
		size_t some = pf__min_u64(n, sizeof zeros);

		pf__slice_copy_in(&r->slice, zeros, some);
		r->offset += some;
		r->done += some;
		r->left -= some;
		n -= some;
	}
}

/* From the offset up to where pages are there: a mapping may have changed those. */
static size_t absent_bytes(const struct reader *r)
{
	uint64_t first = r->offset / PF_PAGE;
	size_t max = (size_t)pf__min_u64(r->left, r->f->max_read);
	uint64_t end = (r->offset + max + PF_PAGE - 1) / PF_PAGE;
	uint64_t there = pf__pages_first_there(&r->f->ii->pages, first + 1, end);

	return (size_t)pf__min_u64(max, there * PF_PAGE - r->offset);
}

static uint64_t version(const struct reader *r)
{
	struct pf__attr a;

	pf__inode_attr(r->f->inode, 0, 0, &a);
	return a.version;
}

/* The server's file ends here, ours goes on, by n bytes at most: a hole, unless somebody is just
 * changing the size: then it is to be looked at again. */
static int hole_or_again(struct reader *r, size_t n)
{
	struct pf__inode *inode = r->f->inode;

	if (pf__inode_size_changes(inode)) {
		int err = pf__inode_size_wait(inode, pf__now_coarse() + PF_NSEC_PER_SEC);

		if (err != -ETIMEDOUT)
			return err;
	}
	cut(r, pf__inode_size(inode));
	give_zeros(r, n);
	return 0;
}

/*
 * Without the cache: there is no room, or others drop the page faster than we can copy it. Of a
 * file that is ours the server's bytes count only if nobody has changed it since what was dirty was
 * sent: it may have been cut off and written again, and the server have seen half of that.
 */
static int read_past(struct reader *r)
{
	struct pf__direct d = {.f = r->f,
			       .c = r->c,
			       .slice = r->slice,
			       .offset = r->offset,
			       .left = absent_bytes(r),
			       .piece_max = r->f->max_read};
	bool owned = pf__inode_owned(r->f->inode);
	uint64_t before = version(r);
	size_t want = d.left;
	ssize_t n = pf__io_flush_ii(r->f->ii, r->offset, r->offset + d.left);

	if (!n)
		n = pf__direct_run(&d);
	if (n < 0)
		return (int)n;
	if (owned && version(r) != before && r->changed++ < MAX_CHANGES)
		return 0;
	pf__slice_skip(&r->slice, (size_t)n); /* d.slice has moved by what was asked for */
	r->offset += (size_t)n;
	r->done += (size_t)n;
	r->left -= (size_t)n;
	if ((size_t)n == want)
		return 0;
	if (owned)
		return hole_or_again(r, want - (size_t)n);
	cut(r, r->offset);
	return 0;
}

/* again: it was fetched before, and is not there. */
static int fetch(struct reader *r, bool again)
{
	uint64_t first = r->offset / PF_PAGE;
	uint64_t end = (r->offset + r->left + PF_PAGE - 1) / PF_PAGE, eof = r->end;
	int err;

	if (r->c->nowait)
		return -EAGAIN;
	if (pf__pages_state(&r->f->ii->pages, first) == PF_PAGE_BUSY) {
		r->misses++;
		err = pf__page_wait(r->f->ii, r->c->group, first, false);
	} else {
		r->misses += again ? 0 : end - first;
		err =
		    (again ? pf__fetch_one : pf__fetch_wait)(r->f, r->c, first, end, r->end, &eof);
	}
	cut(r, eof);
	cut(r, pf__inode_size(r->f->inode));
	return err;
}

static void add(_Atomic uint64_t *n, uint64_t by)
{
	/* A thread's own, or nearly: a lost count is better than a locked instruction. */
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

static void count_read(struct pf__io *io, uint64_t hits, uint64_t misses, size_t bytes)
{
	unsigned stripe = pf__io_stripe();

	add(&io->stats.often[stripe].reads_cached, 1);
	add(&io->stats.often[stripe].page_hits, hits);
	if (misses)
		add(&io->stats.often[stripe].page_misses, misses);
	add(&io->stats.often[stripe].bytes_read, bytes);
}

ssize_t pf__cached_read_there(struct pf__io_file *f, void *buf, size_t len, uint64_t offset)
{
	uint64_t mark = atomic_load_explicit(&f->ra_mark, memory_order_relaxed);
	uint64_t pages = pf__pages_spanned(offset, len);
	struct pf__stamp stamp;
	bool got = false;
	const char *from;
	size_t n;

	if (mark - offset / PF_PAGE < pages) /* more is to be read ahead: the long way */
		return -EAGAIN;
	pf__rcu_read_lock();
	from = pf__pages_peek(&f->ii->pages, offset, len, &n, &stamp);
	/* The usual case: all in one piece. As in copy_there(). */
	if (from && n == len && pf__inode_reaches(f->inode, offset + len)) {
		pf__slice_copy(buf, from, n);
		got = pf__pages_unchanged(&stamp);
	}
	pf__rcu_read_unlock();
	if (!got)
		return -EAGAIN;
	count_read(f->io, pages, 0, len);
	return (ssize_t)len;
}

int pf__io_lend_wait(struct pf__io_file *f, const struct pf__io_call *c, uint64_t offset,
		     size_t count, bool again)
{
	uint64_t first = offset / PF_PAGE, end = first + pf__pages_spanned(offset, count);
	uint64_t eof = c->size;

	if (pf__pages_state(&f->ii->pages, first) == PF_PAGE_BUSY)
		return pf__page_wait(f->ii, c->group, first, false);
	return (again ? pf__fetch_one : pf__fetch_wait)(f, c, first, end, c->size, &eof);
}

void pf__io_lent(struct pf__io_file *f, const struct pf__io_call *c, uint64_t offset, size_t n,
		 uint64_t misses)
{
	uint64_t pages = pf__pages_spanned(offset, n);

	misses = pf__min_u64(misses, pages);
	pf__fetch_hit(f, c->flags, offset / PF_PAGE, pages, c->size);
	count_read(f->io, pages - misses, misses, n);
}

static ssize_t cached_read(struct pf__io_file *f, const struct pf__io_call *c,
			   const struct iovec *iov, int iovcnt, uint64_t offset)
{
	struct reader r = {
	    .f = f, .c = c, .slice = {iov, iovcnt, 0}, .offset = offset, .end = c->size};
	unsigned rounds = 0;
	int err = 0;

	for (int i = 0; i < iovcnt; i++)
		r.left += iov[i].iov_len;
	r.left = (size_t)pf__min_u64(r.left, r.end > offset ? r.end - offset : 0);
	for (;;) {
		if (copy_there(&r))
			rounds = 0;
		if (!r.left || err)
			break;
		err = fetch(&r, rounds);
		if (err == PF_NO_ROOM || ++rounds > MAX_ROUNDS)
			err = read_past(&r);
	}
	r.hits = pf__pages_spanned(offset, r.done);
	r.hits -= pf__min_u64(r.hits, r.misses);
	if (r.done)
		pf__fetch_hit(f, c->flags, offset / PF_PAGE, pf__pages_spanned(offset, r.done),
			      r.end);
	count_read(f->io, r.hits, r.misses, r.done);
	return r.done ? (ssize_t)r.done : err;
}

const struct pf__io_ops pf__io_cached = {
    .name = "cached", .read = cached_read, .write = pf__cached_write};
