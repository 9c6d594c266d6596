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
#include "io/io.h"
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

static int piece_prepare_read(struct piece *p, struct pf__io_file *f, const struct pf__io_call *c,
			      struct pf__slice *s, size_t len, uint64_t offset)
{
	piece_start(p, f, c, FUSE_READ);
	p->len = len;
	p->in.read = (struct fuse_read_in){.fh = f->fh,
					   .offset = offset,
					   .size = (uint32_t)len,
					   .read_flags = FUSE_READ_LOCKOWNER,
					   .lock_owner = c->lock_owner,
					   .flags = c->flags};
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

static int piece_prepare_write(struct piece *p, struct pf__io_file *f, const struct pf__io_call *c,
			       struct pf__slice *s, size_t len, uint64_t offset)
{
	int n;

	piece_start(p, f, c, FUSE_WRITE);
	p->len = len;
	p->in.write = (struct fuse_write_in){.fh = f->fh,
					     .offset = offset,
					     .size = (uint32_t)len,
					     .write_flags = FUSE_WRITE_LOCKOWNER,
					     .lock_owner = c->lock_owner,
					     .flags = c->flags};
	if (c->kill_suidgid)
		p->in.write.write_flags |= FUSE_WRITE_KILL_SUIDGID;
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

/* How a transfer goes on: what is the same for reads and writes. */
struct transfer {
	struct pf__io_file *f;
	const struct pf__io_call *c;
	struct pf__slice slice;
	uint64_t offset;  /* of the next piece */
	size_t left;      /* not yet asked for */
	size_t moved;     /* contiguous prefix that was moved */
	size_t piece_max; /* bytes of one request */
	bool write;
	bool ended; /* by a short piece or an error */
	int error;
};

static int next_piece(struct transfer *t, struct piece *p)
{
	size_t len = pf__min_u64(t->left, t->piece_max);
	int r = t->write ? piece_prepare_write(p, t->f, t->c, &t->slice, len, t->offset)
			 : piece_prepare_read(p, t->f, t->c, &t->slice, len, t->offset);

	if (r)
		return r;
	t->left -= len;
	t->offset += len;
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

	while (t->left && !t->ended) {
		int r = next_piece(t, &p);

		if (r) {
			t->error = r;
			return;
		}
		pf__request(t->f->conn, &p.req);
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
		pf__request_background(t->f->conn, &p[i].req);
	}
	pf__request(t->f->conn, &p[n - 1].req);
	for (unsigned i = 0; i < n; i++) {
		if (i + 1 < n)
			piece_wait(t->f->conn, &p[i]);
		account(t, &p[i]);
	}
}

static void run_parallel(struct transfer *t)
{
	struct piece *p = pf__malloc(WINDOW * sizeof *p);

	while (p && t->left && !t->ended) {
		unsigned n = 0;

		while (n < WINDOW && t->left) {
			t->error = next_piece(t, &p[n]);
			if (t->error)
				break;
			n++;
		}
		if (!n)
			break;
		if (t->error)
			t->left = 0;
		run_window(t, p, n);
	}
	pf__free(p);
	if (!p)
		run_sequential(t);
}

/* Does the file, as far as is known, reach to the end of this transfer? */
static bool within_known_size(const struct transfer *t)
{
	struct pf__attr attr;

	pf__inode_attr(t->f->inode, 0, 0, &attr);
	return t->offset + t->left <= attr.attr.size;
}

static ssize_t run(struct transfer *t, bool parallel)
{
	if (parallel && t->left > t->piece_max && within_known_size(t))
		run_parallel(t);
	else
		run_sequential(t);
	return t->moved ? (ssize_t)t->moved : t->error;
}

static size_t total_of(const struct iovec *iov, int iovcnt)
{
	size_t n = 0;

	for (int i = 0; i < iovcnt; i++)
		n += iov[i].iov_len;
	return n;
}

static ssize_t direct_read(struct pf__io_file *f, const struct pf__io_call *c,
			   const struct iovec *iov, int iovcnt, uint64_t offset)
{
	struct transfer t = {.f = f,
			     .c = c,
			     .slice = {iov, iovcnt, 0},
			     .offset = offset,
			     .left = total_of(iov, iovcnt),
			     .piece_max = f->max_read};
	bool parallel = pf__conn_has(f->conn, FUSE_ASYNC_READ);
	ssize_t n = run(&t, parallel);

	atomic_fetch_add_explicit(&f->stats->direct_reads, 1, memory_order_relaxed);
	if (n > 0)
		atomic_fetch_add_explicit(&f->stats->bytes_read, (uint64_t)n, memory_order_relaxed);
	return n;
}

static ssize_t direct_write(struct pf__io_file *f, const struct pf__io_call *c,
			    const struct iovec *iov, int iovcnt, uint64_t offset)
{
	struct transfer t = {.f = f,
			     .c = c,
			     .slice = {iov, iovcnt, 0},
			     .offset = offset,
			     .left = total_of(iov, iovcnt),
			     .piece_max = f->max_write,
			     .write = true};
	bool parallel = !c->append && pf__conn_has(f->conn, FUSE_ASYNC_DIO);
	ssize_t n = run(&t, parallel);

	atomic_fetch_add_explicit(&f->stats->direct_writes, 1, memory_order_relaxed);
	if (n > 0) {
		atomic_fetch_add_explicit(&f->stats->bytes_written, (uint64_t)n,
					  memory_order_relaxed);
		pf__inode_local_write(f->cache, f->inode, offset + (uint64_t)n, false,
				      PF_ATTR_MODIFIED);
	} else { /* how much of it was written nobody knows */
		pf__inode_bump(f->cache, f->inode, PF_ATTR_ALL);
	}
	return n;
}

const struct pf__io_ops pf__io_direct = {
    .name = "direct", .read = direct_read, .write = direct_write};
