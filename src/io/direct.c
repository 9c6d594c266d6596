/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The direct path: every read and write is a request, and the server's bytes land in the caller's
 * own buffers. What is larger than one request is cut in pieces. They go one after the other, since
 * only the answer tells whether the file goes on; but where the file is known to reach, and the
 * server said that it takes several at once (ASYNC_READ, ASYNC_DIO), a window of them is under way.
 */
#include "base/alloc.h"
#include "base/arith.h"
#include "base/clock.h"
#include "base/futex.h"
#include "io/inode.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

#define WINDOW 4u

/* One request of a transfer. */
struct piece {
	struct pf__req req;
	union {
		struct fuse_read_in read;
		struct fuse_write_in write;
	} in;
	struct fuse_write_out written;
	struct pf__slice slice; /* where its data belongs, when a bounce buffer stands between */
	char *bounce;
	size_t len;
	_Atomic uint32_t done; /* 1 when a background request has completed */
};

static void piece_start(struct piece *p, struct pf__io_file *f, const struct pf__io_call *c,
			uint32_t opcode)
{
	memset(&p->req, 0, sizeof p->req);
	p->req.opcode = opcode;
	p->req.nodeid = pf__inode_nodeid(f->inode);
	p->req.cred = c->cred;
	p->req.group = c->group;
	p->bounce = NULL;
	p->done = 0;
}

/* Many small vectors do not fit a request: gather them in one buffer. */
static int piece_bounce(struct piece *p, struct pf__slice *s, size_t len)
{
	p->bounce = pf__malloc(len);
	p->slice = *s;
	return p->bounce ? 0 : -ENOMEM;
}

static int piece_prepare_read(struct piece *p, struct pf__direct *t, size_t len)
{
	struct pf__slice *s = &t->slice;

	piece_start(p, t->f, t->c, FUSE_READ);
	p->len = len;
	p->in.read = (struct fuse_read_in){.fh = t->f->fh,
					   .offset = t->offset,
					   .size = (uint32_t)len,
					   .read_flags = t->flags,
					   .flags = t->c->flags};
	if (t->flags & FUSE_READ_LOCKOWNER)
		p->in.read.lock_owner = t->c->lock_owner;
	pf__req_in(&p->req, &p->in.read, sizeof p->in.read);
	p->req.expect_size = len;
	p->req.nout = pf__slice_take(s, len, p->req.out, PF_REQ_OUT_MAX);
	if (p->req.nout)
		return 0;
	if (piece_bounce(p, s, len))
		return -ENOMEM;
	pf__req_out(&p->req, p->bounce, len);
	pf__slice_skip(s, len);
	return 0;
}

static int piece_prepare_write(struct piece *p, struct pf__direct *t, size_t len)
{
	struct pf__slice *s = &t->slice;
	int n;

	piece_start(p, t->f, t->c, FUSE_WRITE);
	p->len = len;
	p->in.write = (struct fuse_write_in){.fh = t->f->fh,
					     .offset = t->offset,
					     .size = (uint32_t)len,
					     .write_flags = t->flags,
					     .flags = t->c->flags};
	if (t->flags & FUSE_WRITE_LOCKOWNER)
		p->in.write.lock_owner = t->c->lock_owner;
	pf__req_in(&p->req, &p->in.write, sizeof p->in.write);
	p->req.expect_size = len;
	pf__req_out(&p->req, &p->written, sizeof p->written);
	n = pf__slice_take(s, len, p->req.in + p->req.nin, PF_REQ_IN_MAX - p->req.nin);
	if (n) {
		p->req.nin += n;
		return 0;
	}
	if (piece_bounce(p, s, len))
		return -ENOMEM;
	pf__slice_copy_out(s, p->bounce, len);
	pf__req_in(&p->req, p->bounce, len);
	return 0;
}

/* Bytes that a completed piece moved, or its error; its buffer goes. */
static ssize_t piece_finish(struct piece *p)
{
	ssize_t n = p->req.error;

	if (!n && p->req.opcode == FUSE_WRITE) {
		n = p->written.size;
	} else if (!n) {
		n = (ssize_t)p->req.out_len;
		if (p->bounce)
			pf__slice_copy_in(&p->slice, p->bounce, (size_t)n);
	}
	pf__free(p->bounce);
	p->bounce = NULL;
	return n;
}

/* How a transfer goes on. */
struct transfer {
	struct pf__direct *d;
	size_t moved; /* contiguous prefix that was moved */
	bool ended;   /* by a short piece or an error */
	int error;
};

static int next_piece(struct transfer *t, struct piece *p)
{
	struct pf__direct *d = t->d;
	size_t len = pf__min_u64(d->left, d->piece_max);
	int r = d->write ? piece_prepare_write(p, d, len) : piece_prepare_read(p, d, len);

	if (r)
		return r;
	d->left -= len;
	d->offset += len;
	return 0;
}

/* Take in a finished piece; pieces come here in the order of the file. */
static void account(struct transfer *t, struct piece *p)
{
	ssize_t n = piece_finish(p);

	if (t->ended)
		return;
	if (n < 0)
		t->error = (int)n;
	else
		t->moved += (size_t)n;
	t->ended = n < 0 || (size_t)n < p->len;
}

static void run_sequential(struct transfer *t)
{
	struct piece p;

	while (t->d->left && !t->ended) {
		int r = next_piece(t, &p);

		if (r) {
			t->error = r;
			return;
		}
		pf__request(t->d->f->conn, &p.req);
		account(t, &p);
	}
}

static void piece_done(struct pf__req *req)
{
	struct piece *p = req->done_ctx;

	/* Once done is seen the piece may be gone: a futex wake needs its address only. */
	atomic_store(&p->done, 1);
	pf__futex_wake(&p->done, 1);
}

static void piece_wait(struct pf__conn *conn, struct piece *p)
{
	while (!atomic_load(&p->done))
		(void)pf__conn_sleep(conn, &p->done, 0, PF_TIME_FOREVER);
}

/*
 * A window of pieces: all but the last go in the background, the last one is waited for by this
 * thread, which so reads the answers to the others too.
 */
static void run_window(struct transfer *t, struct piece *p, unsigned n)
{
	for (unsigned i = 0; i + 1 < n; i++) {
		p[i].req.done = piece_done;
		p[i].req.done_ctx = &p[i];
		pf__request_background(t->d->f->conn, &p[i].req);
	}
	pf__request(t->d->f->conn, &p[n - 1].req);
	for (unsigned i = 0; i < n; i++) {
		if (i + 1 < n)
			piece_wait(t->d->f->conn, &p[i]);
		account(t, &p[i]);
	}
}

static void run_parallel(struct transfer *t)
{
	struct piece *p = pf__malloc(WINDOW * sizeof *p);

	while (p && t->d->left && !t->ended) {
		unsigned n = 0;

		while (n < WINDOW && t->d->left) {
			t->error = next_piece(t, &p[n]);
			if (t->error)
				break;
			n++;
		}
		if (!n)
			break;
		if (t->error)
			t->d->left = 0;
		run_window(t, p, n);
	}
	pf__free(p);
	if (!p)
		run_sequential(t);
}

/* Does the file, as far as is known, reach to the end of this transfer? */
static bool within_known_size(const struct pf__direct *d)
{
	struct pf__attr attr;

	pf__inode_attr(d->f->inode, 0, 0, &attr);
	return d->offset + d->left <= attr.attr.size;
}

ssize_t pf__direct_run(struct pf__direct *d)
{
	struct transfer t = {.d = d};

	if (d->parallel && d->left > d->piece_max && within_known_size(d))
		run_parallel(&t);
	else
		run_sequential(&t);
	return t.moved ? (ssize_t)t.moved : t.error;
}

static size_t total_of(const struct iovec *iov, int iovcnt)
{
	size_t n = 0;

	for (int i = 0; i < iovcnt; i++)
		n += iov[i].iov_len;
	return n;
}

/* What others have written through the cache, and the server not seen yet. */
static int flush_range(struct pf__io_file *f, uint64_t offset, uint64_t end)
{
	if (!f->ii || !atomic_load(&f->ii->listed))
		return 0;
	return pf__io_flush_ii(f->ii, offset, end);
}

/* A short answer although the file, as we know, goes on: data behind it waits here, and only when
 * it is there does the server know how far the file reaches. */
static ssize_t read_on(struct pf__direct *d, uint64_t offset, size_t total, ssize_t n)
{
	struct pf__attr a;
	ssize_t more;

	pf__inode_attr(d->f->inode, 0, 0, &a);
	if (n < 0 || (size_t)n == total || offset + (uint64_t)n >= a.attr.size ||
	    !pf__inode_owned(d->f->inode))
		return n;
	if (flush_range(d->f, offset, UINT64_MAX))
		return n;
	pf__slice_skip(&d->whole, (size_t)n);
	d->slice = d->whole;
	d->offset = offset + (uint64_t)n;
	d->left = total - (size_t)n;
	more = pf__direct_run(d);
	return more > 0 ? n + more : n;
}

static ssize_t direct_read(struct pf__io_file *f, const struct pf__io_call *c,
			   const struct iovec *iov, int iovcnt, uint64_t offset)
{
	struct pf__direct d = {.f = f,
			       .c = c,
			       .slice = {iov, iovcnt, 0},
			       .offset = offset,
			       .left = total_of(iov, iovcnt),
			       .piece_max = f->max_read,
			       .flags = FUSE_READ_LOCKOWNER,
			       .parallel = f->io->async_read};
	size_t total = d.left;
	ssize_t n;

	if (c->nowait)
		return -EAGAIN;
	n = flush_range(f, offset, pf__add_sat_u64(offset, total));
	if (n)
		return n;
	d.whole = d.slice;
	n = read_on(&d, offset, total, pf__direct_run(&d));
	pf__io_count(&f->io->stats.reads_direct, 1);
	if (n > 0)
		pf__io_count(&f->io->stats.often[pf__io_stripe()].bytes_read, (uint64_t)n);
	return n;
}

/* ---- writes: the cached pages below them, and what is known afterwards */

static bool page_in_part(uint64_t offset)
{
	return offset % PF_PAGE;
}

/*
 * Dirty pages that the write covers in part only are written first; those that it covers wholly are
 * overtaken by it, if the server takes it. Until then nothing of the range is written back.
 */
static int prepare_range(struct pf__io_file *f, uint64_t offset, uint64_t end)
{
	int r = 0;

	if (!f->ii || !atomic_load(&f->ii->listed))
		return 0;
	if (page_in_part(offset))
		r = pf__io_flush_ii(f->ii, PF_ALIGN_DOWN(offset, (uint64_t)PF_PAGE),
				    PF_ALIGN_UP(offset, (uint64_t)PF_PAGE));
	if (!r && page_in_part(end))
		r = pf__io_flush_ii(f->ii, PF_ALIGN_DOWN(end, (uint64_t)PF_PAGE),
				    PF_ALIGN_UP(end, (uint64_t)PF_PAGE));
	return r;
}

static void written(struct pf__io_file *f, const struct pf__direct *d, uint64_t offset, size_t n)
{
	struct pf__io *io = f->io;

	pf__io_count(&io->stats.bytes_written, n);
	if (f->ii && atomic_load(&f->ii->pages.maps)) { /* who looks at it sees it */
		struct pf__slice s = d->whole;

		pf__pages_put_clean(&f->ii->pages, offset, n, UINT64_MAX, &s,
				    &(struct pf__spare){0});
	}
	if (f->ii)
		pf__pages_drop_overtaken(&f->ii->pages, offset, n);
	pf__io_note_write(io, f->inode, offset, offset + n, NULL);
	if (f->ii)
		pf__io_maybe_clean(f->ii);
}

static ssize_t write_held(struct pf__io_file *f, const struct pf__io_call *c, struct pf__direct *d)
{
	uint64_t offset = d->offset;
	ssize_t n;

	d->whole = d->slice;
	n = pf__direct_run(d);

	pf__io_count(&f->io->stats.writes_direct, 1);
	if (n > 0)
		written(f, d, offset, (size_t)n);
	else /* how much of it was written nobody knows */
		pf__inode_bump(f->cache, f->inode, PF_ATTR_ALL);
	return n;
}

static ssize_t direct_write(struct pf__io_file *f, const struct pf__io_call *c,
			    const struct iovec *iov, int iovcnt, uint64_t offset)
{
	struct pf__direct d = {.f = f,
			       .c = c,
			       .slice = {iov, iovcnt, 0},
			       .offset = offset,
			       .left = total_of(iov, iovcnt),
			       .piece_max = f->max_write,
			       .flags = FUSE_WRITE_LOCKOWNER,
			       .write = true,
			       .parallel = !c->append && pf__conn_has(f->conn, FUSE_ASYNC_DIO)};
	bool cached = f->ii && atomic_load(&f->ii->pages.nblocks);
	ssize_t n;

	if (c->nowait)
		return -EAGAIN;
	if (c->kill_suidgid)
		d.flags |= FUSE_WRITE_KILL_SUIDGID;
	if (!cached)
		return write_held(f, c, &d);
	n = prepare_range(f, offset, pf__add_sat_u64(offset, d.left));
	if (!n)
		n = pf__io_hold(f->io, f->inode);
	if (n)
		return n;
	n = write_held(f, c, &d);
	pf__io_release(f->io, f->inode);
	return n;
}

const struct pf__io_ops pf__io_direct = {
    .name = "direct", .read = direct_read, .write = direct_write};
