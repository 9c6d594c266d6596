/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes of files whose data is cached. Through: the server gets them before the call returns, from
 * the caller's own buffer, and what it took goes into pages. Back: they go into pages, dirty.
 * The caller has passed the inode's writers' gate.
 */
#include "base/arith.h"
#include "base/clock.h"
#include "io/inode.h"
#include <errno.h>

static size_t total_of(const struct iovec *iov, int iovcnt)
{
	size_t n = 0;

	for (int i = 0; i < iovcnt; i++)
		n += iov[i].iov_len;
	return n;
}

/* ---- through */

static size_t chunk_at(const struct pf__io_file *f, uint64_t offset, size_t left)
{
	uint64_t max = f->max_write;

	if (!pf__conn_has(f->conn, FUSE_BIG_WRITES))
		max = PF_PAGE - offset % PF_PAGE;
	return (size_t)pf__min_u64(left, max);
}

/* What the server took is what a read should see. */
static void keep(struct pf__io_file *f, struct pf__slice s, uint64_t offset, size_t n)
{
	struct pf__spare spare = {0};
	bool sure = pf__inode_owned(f->inode);
	struct pf__attr a;

	/* Where others may have made the file longer its end is not known: whole pages only. */
	sure |= pf__inode_attr(f->inode, PF_ATTR_NLINK, pf__now_coarse(), &a);
	/* Without room only what is there is brought up to date. */
	(void)pf__spare_take_for(&spare, &f->ii->pages, offset / PF_PAGE,
				 pf__pages_spanned(offset, n));
	pf__pages_put_clean(&f->ii->pages, offset, n,
			    sure ? pf__max_u64(offset + n, pf__inode_size(f->inode)) : UINT64_MAX,
			    &s, &spare);
	pf__spare_put(&spare);
}

static ssize_t send_chunk(struct pf__io_file *f, const struct pf__io_call *c, struct pf__slice *s,
			  uint64_t offset, size_t len)
{
	struct pf__direct d = {.f = f,
			       .c = c,
			       .slice = *s,
			       .offset = offset,
			       .left = len,
			       .piece_max = len,
			       .write = true};
	ssize_t n;

	if (c->kill_suidgid && pf__conn_has(f->conn, FUSE_HANDLE_KILLPRIV_V2))
		d.flags |= FUSE_WRITE_KILL_SUIDGID;
	n = pf__direct_run(&d);
	if (n <= 0) {
		pf__pages_drop(&f->ii->pages, offset, len);
		return n ? n : -EIO;
	}
	keep(f, *s, offset, (size_t)n);
	pf__io_note_write(f->io, f->inode, offset, offset + (size_t)n, s);
	pf__slice_skip(s, (size_t)n);
	return n;
}

static ssize_t write_through(struct pf__io_file *f, const struct pf__io_call *c, struct pf__slice s,
			     uint64_t offset, size_t left)
{
	size_t done = 0;
	ssize_t n = 0;

	pf__inode_size_begin(f->cache, f->inode);
	while (left && n >= 0) {
		n = send_chunk(f, c, &s, offset + done, chunk_at(f, offset + done, left));
		if (n > 0) {
			done += (size_t)n;
			left -= (size_t)n;
		}
	}
	pf__inode_size_end(f->cache, f->inode);
	if (n < 0 && !done) /* how much of it was written nobody knows */
		pf__inode_bump(f->cache, f->inode, PF_ATTR_ALL);
	pf__io_count(&f->io->stats.writes_through, 1);
	pf__io_count(&f->io->stats.bytes_written, done);
	return done ? (ssize_t)done : n;
}

/* ---- back */

struct writer {
	struct pf__io_file *f;
	const struct pf__io_call *c;
	struct pf__slice slice;
	uint64_t offset;
	size_t left, done;
	struct pf__spare spare;
};

static uint64_t local_size(struct pf__io_file *f)
{
	struct pf__attr a;

	pf__inode_attr(f->inode, 0, 0, &a);
	return a.attr.size;
}

/* n bytes more are in pages. */
static void made_dirty(struct writer *w, size_t n)
{
	struct pf__io_file *f = w->f;

	w->offset += n;
	w->left -= n;
	w->done += n;
	pf__io_grow_owned(f->ii, w->offset - n, w->offset);
	atomic_fetch_add(&f->ii->times, 1);
	pf__io_now_dirty(f->ii);
}

/* The rest of a page that is dirty in part has to be known first. */
static int read_page(struct writer *w)
{
	uint64_t page = w->offset / PF_PAGE, eof = local_size(w->f), seen = eof;

	if (w->c->nowait)
		return -EAGAIN;
	if (page * PF_PAGE >= eof) /* cannot be: no page is dirty behind the end */
		return -EIO;
	return pf__fetch_one(w->f, w->c, page, page + 1, eof, &seen);
}

/* Spares for what comes next, within its block. */
static int take_spare(struct writer *w)
{
	size_t n = pf__min_u64(w->left, PF_BLOCK - w->offset % PF_BLOCK);

	return pf__spare_take_for(&w->spare, &w->f->ii->pages, w->offset / PF_PAGE,
				  pf__pages_spanned(w->offset, n));
}

/* Room for more: what is dirty has to go first, if nothing else can. */
static int more_blocks(struct writer *w)
{
	struct pf__io_file *f = w->f;
	int r;

	if (!take_spare(w))
		return 0;
	if (w->c->nowait)
		return -EAGAIN;
	r = pf__io_flush_ii(f->ii, 0, UINT64_MAX);
	if (!r && take_spare(w))
		r = PF_NO_ROOM;
	return r;
}

static int back_step(struct writer *w)
{
	struct pf__pages *p = &w->f->ii->pages;
	uint64_t eof = local_size(w->f);
	enum pf__put r;
	size_t n;

	if (w->offset > eof)
		pf__pages_extend(p, eof);
	r = pf__pages_put_dirty(p, w->offset, w->left, eof, &w->slice, &w->spare, &n);
	if (n)
		made_dirty(w, n);
	switch (r) {
	case PF_PUT_DONE:
		return 0;
	case PF_PUT_BUSY:
		return w->c->nowait
			   ? -EAGAIN
			   : pf__page_wait(w->f->ii, w->c->group, w->offset / PF_PAGE, true);
	case PF_PUT_READ:
		return read_page(w);
	case PF_PUT_SPARE:
		pf__spare_put(&w->spare);
		w->spare = (struct pf__spare){0};
		return more_blocks(w);
	default:
		return PF_NO_ROOM;
	}
}

/* Who writes in sequence has what he filled sent while he goes on, but for the last request's
 * worth: it would only make him wait for his own page. */
static void write_behind(struct pf__io_file *f, uint64_t start, uint64_t end)
{
	struct pf__io_inode *ii = f->ii;
	uint64_t to;

	if (start != ii->run_end)
		ii->run_start = start;
	ii->run_end = end;
	if (end - ii->run_start < 4ull * f->max_write)
		return;
	to = end - end % f->max_write;
	pf__io_write_behind(ii, to);
	ii->run_start = to;
}

/* A block's worth at most, then a look whether there is too much of it. */
static int back_some(struct writer *w)
{
	uint64_t start = w->offset;
	size_t left = w->left, some = pf__min_u64(left, PF_BLOCK);
	int r = 0;

	w->left = some;
	while (w->left && !r)
		r = back_step(w);
	some -= w->left;
	w->left = left - some;
	if (!some)
		return r;
	write_behind(w->f, start, w->offset);
	if (!w->c->nowait && pf__io_balance(w->f->ii, w->c->group))
		return r ? r : -EINTR; /* what is in the cache counts all the same */
	return r;
}

static ssize_t write_rest_through(struct writer *w)
{
	ssize_t n = pf__io_flush_ii(w->f->ii, w->offset, pf__add_sat_u64(w->offset, w->left));

	if (!n)
		n = write_through(w->f, w->c, w->slice, w->offset, w->left);
	if (n < 0)
		return w->done ? (ssize_t)w->done : n;
	return (ssize_t)w->done + n;
}

static ssize_t write_back(struct pf__io_file *f, const struct pf__io_call *c, struct pf__slice s,
			  uint64_t offset, size_t left)
{
	struct writer w = {.f = f, .c = c, .slice = s, .offset = offset, .left = left};
	int r = 0;

	while (w.left && !r) {
		if (pf__conn_dead(f->conn))
			r = -ENOTCONN;
		else
			r = back_some(&w);
	}
	pf__spare_put(&w.spare);
	if (r == PF_NO_ROOM) /* no room for more dirty data, whoever's */
		return write_rest_through(&w);
	pf__io_count(&f->io->stats.writes_back, 1);
	pf__io_count(&f->io->stats.bytes_written, w.done);
	return w.done ? (ssize_t)w.done : r;
}

ssize_t pf__cached_write(struct pf__io_file *f, const struct pf__io_call *c,
			 const struct iovec *iov, int iovcnt, uint64_t offset)
{
	struct pf__slice s = {iov, iovcnt, 0};
	size_t left = total_of(iov, iovcnt);
	int r;

	if (f->io->writeback && !c->through)
		return write_back(f, c, s, offset, left);
	if (c->nowait)
		return -EAGAIN;
	/* Dirty data below it (of a mapping, or written back until now) must not come after it. */
	if (atomic_load(&f->ii->listed)) {
		r = pf__io_flush_ii(f->ii, offset, pf__add_sat_u64(offset, left));
		if (r)
			return r;
	}
	return write_through(f, c, s, offset, left);
}
