/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * READs that land in pages. A run of missing pages becomes one request, as large as the server and
 * the vectors allow. One that is waited for and stands alone is sent by the thread that waits; all
 * others go in the background, and whoever needs their pages waits for the pages.
 */
#include "base/alloc.h"
#include "base/arith.h"
#include "base/clock.h"
#include "io/inode.h"
#include <errno.h>
#include <string.h>

#define GROWING_TRIES 16

struct fetch {
	struct pf__req req;
	struct fuse_read_in in;
	struct pf__fill fill;
	struct pf__io_file *f;
	struct pf__sample sample;
};

static unsigned pages_per_read(const struct pf__io_file *f)
{
	/* A small cache is not emptied for one request. */
	uint64_t most = f->io->config.cache_bytes / PF_PAGE / 8;

	return (unsigned)pf__min_u64(f->max_read / PF_PAGE, most);
}

/* ---- one request */

static void fetch_prepare(struct fetch *x, struct pf__io_file *f, uint32_t flags)
{
	memset(&x->req, 0, sizeof x->req);
	x->f = f;
	x->sample = pf__cache_sample(f->cache);
	x->req.opcode = FUSE_READ;
	x->req.nodeid = pf__inode_nodeid(f->inode);
	x->in = (struct fuse_read_in){.fh = f->fh,
				      .offset = x->fill.offset,
				      .size = (uint32_t)x->fill.length,
				      .flags = flags};
	pf__req_in(&x->req, &x->in, sizeof x->in);
	memcpy(x->req.out, x->fill.iov, sizeof x->fill.iov);
	x->req.nout = x->fill.niov;
	x->req.expect_size = x->fill.length;
}

/* What arrived goes into the pages. *eof (may be NULL) is lowered when the file ends before it was
 * thought to. */
static void fetch_finish(struct fetch *x, uint64_t *eof)
{
	struct pf__io_file *f = x->f;
	size_t got = x->req.error ? 0 : x->req.out_len;
	uint64_t end = x->fill.offset + got;
	bool is_short = !x->req.error && got < x->fill.length, lowered = false;
	/* Where the size is ours, or data waits that the server has not seen, it is a hole. But not
	 * while the server is just told another size. */
	bool hole = is_short && !pf__inode_size_changes(f->inode) &&
		    (pf__inode_owned(f->inode) || atomic_load(&f->ii->listed));

	if (is_short && !hole)
		lowered = pf__inode_short_read(f->cache, f->inode, end, &x->sample);
	/* The file goes on, for all that is known: what is behind the end that the server saw is to
	 * be asked for again, with the bytes of its page. */
	if (is_short && !hole && !lowered && end < pf__inode_size(f->inode))
		got -= got % PF_PAGE;
	else if (is_short && !hole && eof && end < *eof)
		*eof = end;
	pf__fill_end(&x->fill, got, x->req.error, hole);
	if (!f->io->config.read_only && !x->req.error)
		pf__inode_invalidate(f->cache, f->inode, PF_ATTR_ATIME);
	if (lowered) /* of its own page nothing is to be cut: it may have come anew since */
		pf__pages_drop(&f->ii->pages, PF_ALIGN_UP(end, (uint64_t)PF_PAGE), UINT64_MAX);
}

static void fetch_done(struct pf__req *req)
{
	struct fetch *x = req->done_ctx;
	struct pf__io_file *f = x->f;

	fetch_finish(x, NULL);
	pf__free(x);
	pf__io_file_put(f);
}

/* ---- runs of pages */

/* Begin to read a run, with blocks taken as needed: the pages begun, 0: the first one needs no
 * reading now, or negative errno. */
static int begin_once(struct pf__io_file *f, uint64_t first, uint64_t n, uint64_t eof, bool ahead,
		      struct pf__fill *fill)
{
	struct pf__spare spare = {0};
	unsigned max = (unsigned)pf__min_u64(n, pages_per_read(f));
	struct pf__pages *p = &f->ii->pages;
	int r = pf__fill_begin(p, first, max, eof, ahead, &spare, fill);

	for (unsigned tries = 0; r == -ENOBUFS && tries < PF_SPARE_TRIES; tries++) {
		if (pf__spare_take_for(&spare, p, first, max))
			return PF_NO_ROOM;
		r = pf__fill_begin(p, first, max, eof, ahead, &spare, fill);
		pf__spare_put(&spare);
	}
	return r == -ENOBUFS ? PF_NO_ROOM : r;
}

/*
 * A run that ends with the file is cut at eof, and zeros come behind it. Where the file has grown
 * since the caller looked, whoever made it longer saw to the pages that were there or under way,
 * but not to these: the end is looked at again, now that they are under way. A file that grows all
 * the time is read past the cache.
 */
static int begin_run(struct pf__io_file *f, uint64_t first, uint64_t n, uint64_t eof, bool ahead,
		     struct pf__fill *fill)
{
	for (unsigned tries = 0; tries < GROWING_TRIES; tries++) {
		int r = begin_once(f, first, n, eof, ahead, fill);
		uint64_t size = pf__inode_size(f->inode);

		if (r <= 0 || size <= eof || fill->length == (size_t)r * PF_PAGE)
			return r;
		pf__fill_end(fill, 0, -EAGAIN, false);
		eof = size;
	}
	return PF_NO_ROOM;
}

static int fetch_sync(struct pf__io_file *f, const struct pf__io_call *c, uint64_t first,
		      uint64_t n, uint64_t eof, uint64_t *eof_seen)
{
	struct fetch x;
	int r = begin_run(f, first, n, eof, false, &x.fill);

	if (r <= 0)
		return r;
	fetch_prepare(&x, f, c->flags);
	x.req.cred = c->cred;
	x.req.group = c->group;
	pf__request(f->conn, &x.req);
	fetch_finish(&x, eof_seen);
	return x.req.error;
}

/* The pages that are taken care of: more than 0, or negative errno. */
static int fetch_background(struct pf__io_file *f, uint32_t flags, const struct pf__cred *cred,
			    uint64_t first, uint64_t n, uint64_t eof, bool ahead)
{
	struct fetch *x = pf__malloc(sizeof *x);
	int r = x ? begin_run(f, first, n, eof, ahead, &x->fill) : -ENOMEM;

	if (r <= 0) {
		pf__free(x);
		return r ? r : 1;
	}
	fetch_prepare(x, f, flags);
	if (cred)
		x->req.cred = *cred;
	x->req.done = fetch_done;
	x->req.done_ctx = x;
	pf__io_file_get(f);
	pf__request_background(f->conn, &x->req);
	return r;
}

int pf__fetch_ahead(struct pf__io_file *f, uint32_t flags, uint64_t first, uint64_t n, uint64_t eof,
		    bool anyway)
{
	uint64_t end = pf__min_u64(pf__add_sat_u64(first, n), (eof + PF_PAGE - 1) / PF_PAGE);
	int r = 0;

	while (first < end) {
		first = pf__pages_first_missing(&f->ii->pages, first, end);
		if (first >= end)
			return 0;
		if (!anyway && pf__conn_congested(f->conn))
			return -EAGAIN;
		r = fetch_background(f, flags, NULL, first, end - first, eof, true);
		if (r < 0)
			return r;
		first += (unsigned)r;
	}
	return 0;
}

static bool is_busy(struct pf__pages *p, uint64_t page, bool change)
{
	return change ? pf__pages_in_use(p, page) : pf__pages_state(p, page) == PF_PAGE_BUSY;
}

int pf__page_wait(struct pf__io_inode *ii, const void *group, uint64_t page, bool change)
{
	struct pf__pages *p = &ii->pages;
	uint32_t turn = pf__pages_turn(p);
	int r = 0;

	while (is_busy(p, page, change) && r != -EINTR) {
		r = pf__conn_sleep_as(ii->io->conn, group, &p->turn, turn, PF_TIME_FOREVER);
		turn = atomic_load(&p->turn);
	}
	pf__pages_waited(p);
	return r == -EINTR ? r : 0;
}

/* ---- a reader's miss */

static bool ra_take(struct pf__io_file *f)
{
	return !atomic_exchange_explicit(&f->ra_busy, true, memory_order_acquire);
}

static void ra_give(struct pf__io_file *f)
{
	atomic_store_explicit(&f->ra_mark, f->ra.mark, memory_order_relaxed);
	atomic_store_explicit(&f->ra_busy, false, memory_order_release);
}

static void plan_miss(struct pf__io_file *f, uint64_t first, uint64_t n, struct pf__ra_plan *plan)
{
	plan->n = 0;
	if (!ra_take(f))
		return;
	pf__ra_miss(&f->ra, first, n, f->io->readahead, plan);
	ra_give(f);
}

static void fetch_plan(struct pf__io_file *f, uint32_t flags, const struct pf__ra_plan *plan,
		       uint64_t eof)
{
	for (unsigned i = 0; i < plan->n; i++)
		if (pf__fetch_ahead(f, flags, plan->range[i].first, plan->range[i].n, eof, false))
			return;
}

void pf__fetch_hit(struct pf__io_file *f, uint32_t flags, uint64_t first, uint64_t n, uint64_t eof)
{
	uint64_t mark = atomic_load_explicit(&f->ra_mark, memory_order_relaxed);
	struct pf__ra_plan plan;
	bool more;

	if (mark < first || mark - first >= n || !f->io->async_read || !ra_take(f))
		return;
	more = pf__ra_hit(&f->ra, first, n, f->io->readahead, &plan);
	ra_give(f);
	if (more)
		fetch_plan(f, flags, &plan, eof);
}

/* The end of a window that begins with the read itself: one request serves both. */
static uint64_t joined_end(const struct pf__ra_plan *plan, uint64_t first, uint64_t end)
{
	if (plan->n == 1 && plan->range[0].first <= end && plan->range[0].first >= first)
		return pf__max_u64(end, plan->range[0].first + plan->range[0].n);
	return end;
}

/* Several requests: all are under way before the first one is waited for. */
static int fetch_many(struct pf__io_file *f, const struct pf__io_call *c, uint64_t first,
		      uint64_t end, uint64_t eof)
{
	int r = 0;

	for (uint64_t at = first; at < end && r >= 0; at += (unsigned)r)
		r = fetch_background(f, c->flags, &c->cred, at, end - at, eof, false);
	return r < 0 && pf__pages_state(&f->ii->pages, first) == PF_PAGE_ABSENT ? r : 0;
}

int pf__fetch_wait(struct pf__io_file *f, const struct pf__io_call *c, uint64_t first, uint64_t end,
		   uint64_t eof, uint64_t *eof_seen)
{
	uint64_t all, most = pages_per_read(f);
	struct pf__ra_plan plan;
	int r;

	plan_miss(f, first, end - first, &plan);
	all = joined_end(&plan, first, end);
	if (all - first <= most || !f->io->async_read)
		r = fetch_sync(f, c, first, pf__min_u64(all - first, most), eof, eof_seen);
	else
		r = fetch_many(f, c, first, end, eof);
	if (!r && f->io->async_read)
		fetch_plan(f, c->flags, &plan, eof);
	return r;
}

int pf__fetch_one(struct pf__io_file *f, const struct pf__io_call *c, uint64_t first, uint64_t end,
		  uint64_t eof, uint64_t *eof_seen)
{
	/* What the server tells of the end while the size changes is not believed. It may take
	 * long. */
	int r = pf__inode_size_wait(f->inode, pf__now_coarse() + PF_NSEC_PER_SEC);

	if (r)
		return r == -ETIMEDOUT ? PF_NO_ROOM : r;
	return fetch_sync(f, c, first, pf__min_u64(end - first, pages_per_read(f)), eof, eof_seen);
}
