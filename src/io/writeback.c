/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty data on its way to the server: WRITEs in the background, whose ends tell what became of it.
 * No thread of its own does this work: writers, those who wait (fsync, close), and the connection's
 * tick send; answers are taken in by whoever reads them.
 */
#include "base/alloc.h"
#include "base/arith.h"
#include "base/clock.h"
#include "base/futex.h"
#include "io/inode.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

#define PATIENCE 4  /* errors that leave data dirty, before who waits is told */
#define WINDOW   16 /* WRITEs of one flush under way at once */
#define RETRY_NS (100 * PF_NSEC_PER_MSEC)
#define STOP_NS  (10 * PF_NSEC_PER_SEC) /* pf_stop(): the server's time for one file's last data */

struct wb_write {
	struct pf__req req;
	struct fuse_write_in in;
	struct fuse_write_out out;
	struct pf__wb wb;
	struct pf__io_file *f;
	struct pf__io_inode *ii;
};

/* ---- errors */

void pf__io_record_error(struct pf__io_inode *ii, int error)
{
	pf__mutex_lock(&ii->io->lock);
	ii->io->lost_error = error;
	ii->error = error;
	ii->error_seq++;
	ii->error_seen = false;
	pf__mutex_unlock(&ii->io->lock);
}

int pf__io_error(struct pf__io_file *f)
{
	struct pf__io_inode *ii = f->ii;
	int r = 0;

	if (!ii)
		return 0;
	pf__mutex_lock(&f->io->lock);
	if (f->seen_error != ii->error_seq) {
		f->seen_error = ii->error_seq;
		ii->error_seen = true;
		r = ii->error;
	}
	pf__mutex_unlock(&f->io->lock);
	return r;
}

/* ---- the list of inodes with dirty data */

void pf__io_now_dirty(struct pf__io_inode *ii)
{
	struct pf__io *io = ii->io;

	if (atomic_load(&ii->listed))
		return;
	pf__mutex_lock(&io->lock);
	if (!atomic_load(&ii->listed)) {
		pf__inode_get(ii->inode);
		atomic_store(&ii->listed, true);
		ii->dirty_since = pf__now_coarse();
		pf__list_add_tail(&io->dirty, &ii->dirty);
	}
	pf__mutex_unlock(&io->lock);
	pf__io_update_owned(ii);
}

void pf__io_maybe_clean(struct pf__io_inode *ii)
{
	struct pf__io *io = ii->io;
	bool gone = false;

	if (!atomic_load(&ii->listed))
		return;
	pf__mutex_lock(&io->lock);
	pf__mutex_lock(&ii->pages.lock);
	if (atomic_load(&ii->listed) && !ii->pages.ndirty && !ii->pages.nwriteback) {
		pf__list_del(&ii->dirty);
		atomic_store(&ii->listed, false);
		gone = true;
	}
	pf__mutex_unlock(&ii->pages.lock);
	pf__mutex_unlock(&io->lock);
	if (!gone)
		return;
	pf__io_update_owned(ii);
	pf__inode_put(io->cache, ii->inode); /* perhaps the end of ii */
}

/* ---- one WRITE */

static void go_on(struct pf__io_inode *ii);

static bool leaves_dirty(const struct pf__req *req)
{
	switch (req->error) {
	case -EINTR:
	case -EAGAIN:
	case -ETIMEDOUT:
		return req->answered;
	case -ENOMEM: /* our own */
		return !req->answered;
	default:
		return false;
	}
}

static void note_soft(struct pf__io_inode *ii, int error)
{
	atomic_store(&ii->soft_error, error);
	atomic_fetch_add(&ii->soft, 1);
	pf__mutex_lock(&ii->io->lock);
	ii->retry_at = pf__now_coarse() + RETRY_NS;
	pf__mutex_unlock(&ii->io->lock);
}

static void take_result(struct wb_write *w)
{
	struct pf__io *io = w->ii->io;
	int error = w->req.error;

	if (!error && !w->out.size)
		error = -EIO;
	if (!error) {
		pf__io_count(&io->stats.flushed, w->wb.n);
		pf__wb_end(&w->wb, PF_WB_WRITTEN, w->out.size);
	} else if (leaves_dirty(&w->req)) {
		note_soft(w->ii, error);
		pf__wb_end(&w->wb, PF_WB_AGAIN, 0);
	} else {
		pf__io_count(&io->stats.lost, w->wb.n);
		pf__io_record_error(w->ii, error);
		pf__wb_end(&w->wb, PF_WB_LOST, 0);
	}
}

void pf__io_orphaned(struct pf__io_inode *ii)
{
	struct pf__io *io = ii->io;
	uint64_t lost;
	bool none;

	if (!atomic_load(&ii->listed))
		return;
	pf__mutex_lock(&io->lock);
	none = pf__list_empty(&ii->writers);
	pf__mutex_unlock(&io->lock);
	if (!none || atomic_load(&ii->inflight))
		return;
	lost = pf__pages_forget_dirty(&ii->pages);
	if (lost) {
		pf__io_count(&io->stats.lost, lost);
		pf__io_record_error(ii, atomic_load(&ii->soft_error) ? atomic_load(&ii->soft_error)
								     : -EIO);
	}
	pf__io_maybe_clean(ii);
}

static void wb_done(struct pf__req *req)
{
	struct wb_write *w = req->done_ctx;
	struct pf__io_inode *ii = w->ii;
	struct pf__io *io = ii->io;
	struct pf__inode *inode = ii->inode;

	take_result(w);
	if (!w->req.error && atomic_load(&ii->goal))
		go_on(ii);
	pf__inode_invalidate(io->cache, inode,
			     io->writeback ? PF_ATTR_BLOCKS
					   : PF_ATTR_MTIME | PF_ATTR_CTIME | PF_ATTR_BLOCKS);
	if (atomic_fetch_sub(&ii->inflight, 1) == 1)
		pf__io_orphaned(ii);
	pf__io_maybe_clean(ii);
	atomic_fetch_add(&io->turn, 1);
	if (atomic_load(&io->waiters))
		pf__futex_wake(&io->turn, INT_MAX);
	pf__io_file_put(w->f);
	pf__inode_put(io->cache, inode);
	pf__free(w);
}

static void wb_send(struct wb_write *w)
{
	struct pf__io_file *f = w->f;

	w->req.opcode = FUSE_WRITE;
	w->req.nodeid = pf__inode_nodeid(f->inode);
	w->req.marks = PF_REQ_NOCREDS | PF_REQ_NOINTR | PF_REQ_LAZY;
	w->in = (struct fuse_write_in){.fh = f->fh,
				       .offset = w->wb.offset,
				       .size = (uint32_t)w->wb.length,
				       .write_flags = FUSE_WRITE_CACHE,
				       .flags = f->wire_flags};
	pf__req_in(&w->req, &w->in, sizeof w->in);
	for (int i = 0; i < w->wb.niov; i++)
		pf__req_in(&w->req, w->wb.iov[i].iov_base, w->wb.iov[i].iov_len);
	w->req.expect_size = w->wb.length;
	pf__req_out(&w->req, &w->out, sizeof w->out);
	w->req.done = wb_done;
	w->req.done_ctx = w;
	pf__request_background(f->conn, &w->req);
}

/* The first run of dirty bytes in the range goes. *at moves behind it. False: there was none, or no
 * memory or file to send it with. */
static bool write_one(struct pf__io_inode *ii, uint64_t *at, uint64_t to)
{
	struct wb_write *w;

	if (!atomic_load_explicit(&ii->pages.ndirty, memory_order_relaxed))
		return false;
	w = pf__calloc(1, sizeof *w);
	if (!w) {
		note_soft(ii, -ENOMEM);
		return false;
	}
	w->f = pf__io_writer_get(ii->io, ii->inode);
	if (!w->f || !pf__wb_begin(&ii->pages, *at, to, w->f->max_write, &w->wb)) {
		if (w->f)
			pf__io_file_put(w->f);
		pf__free(w);
		return false;
	}
	w->ii = ii;
	pf__inode_get(ii->inode);
	atomic_fetch_add(&ii->inflight, 1);
	*at = w->wb.offset + w->wb.length;
	wb_send(w);
	return true;
}

void pf__io_pump(struct pf__io_inode *ii, uint64_t from, uint64_t to)
{
	while (from < to && write_one(ii, &from, to))
		;
	pf__io_maybe_clean(ii);
}

static void go_on_alone(struct pf__io_inode *ii)
{
	uint64_t at = 0, goal = atomic_load(&ii->goal);

	while (at < goal && !pf__conn_congested(ii->io->conn)) {
		if (!write_one(ii, &at, goal)) {
			/* All of it is under way, unless the goal was moved meanwhile. */
			atomic_compare_exchange_strong(&ii->goal, &goal, 0);
			return;
		}
		goal = atomic_load(&ii->goal);
	}
	if (at >= goal) /* what became dirty behind us is for who made it so */
		atomic_compare_exchange_strong(&ii->goal, &goal, 0);
}

/*
 * In the background: as much as the congestion threshold allows now, the rest as answers come in
 * (wb_done()). One thread at a time; a server in this process answers inside of it.
 */
static void go_on(struct pf__io_inode *ii)
{
	/* Again when an answer came just before we let go: its thread left it to us. */
	while (atomic_load(&ii->goal) && !pf__conn_congested(ii->io->conn) &&
	       !atomic_exchange(&ii->pumping, true)) {
		go_on_alone(ii);
		atomic_store(&ii->pumping, false);
	}
}

void pf__io_write_behind(struct pf__io_inode *ii, uint64_t to)
{
	uint64_t goal = atomic_load(&ii->goal);

	while (goal < to && !atomic_compare_exchange_weak(&ii->goal, &goal, to))
		;
	go_on(ii);
	pf__io_maybe_clean(ii);
}

/* ---- waiting for it */

static bool has_writer(struct pf__io_inode *ii)
{
	bool has;

	pf__mutex_lock(&ii->io->lock);
	has = !pf__list_empty(&ii->writers);
	pf__mutex_unlock(&ii->io->lock);
	return has;
}

/* Send what the window allows, of what is dirty. */
static void flush_send(struct pf__io_inode *ii, uint64_t from, uint64_t to)
{
	while (atomic_load(&ii->inflight) < WINDOW && write_one(ii, &from, to))
		;
}

/* The error that came since seq, if one did. */
static int error_since(struct pf__io_inode *ii, uint32_t seq)
{
	int r;

	pf__mutex_lock(&ii->io->lock);
	r = ii->error_seq != seq ? ii->error : 0;
	pf__mutex_unlock(&ii->io->lock);
	return r;
}

static uint32_t error_seq(struct pf__io_inode *ii)
{
	uint32_t seq;

	pf__mutex_lock(&ii->io->lock);
	seq = ii->error_seq;
	pf__mutex_unlock(&ii->io->lock);
	return seq;
}

static int flush_until(struct pf__io_inode *ii, uint64_t from, uint64_t to, uint64_t deadline)
{
	struct pf__pages *p = &ii->pages;
	uint32_t soft = atomic_load(&ii->soft), turn, seq;
	int r = 0;

	if (!atomic_load(&ii->listed))
		return 0;
	seq = error_seq(ii);
	pf__inode_get(ii->inode);
	for (;;) {
		turn = pf__pages_turn(p);
		flush_send(ii, from, to);
		if (!pf__pages_busy_writing(p, from, to, true))
			break;
		if (!atomic_load(&ii->inflight) && !has_writer(ii)) {
			r = -EIO;
			break;
		}
		if (atomic_load(&ii->soft) - soft >= PATIENCE) {
			r = atomic_load(&ii->soft_error);
			break;
		}
		r = pf__conn_sleep(ii->io->conn, &p->turn, turn,
				   pf__min_u64(deadline, pf__now() + PF_NSEC_PER_SEC));
		if (r == -ETIMEDOUT && pf__now() < deadline)
			r = 0;
		if (r == -EINTR || r == -ETIMEDOUT)
			break;
		r = 0;
		pf__pages_waited(p);
	}
	pf__pages_waited(p);
	if (!r)
		r = error_since(ii, seq);
	pf__io_maybe_clean(ii);
	pf__inode_put(ii->io->cache, ii->inode);
	return r;
}

int pf__io_flush_ii(struct pf__io_inode *ii, uint64_t from, uint64_t to)
{
	uint64_t deadline = pf__io_deadline(ii->io);
	int r = flush_until(ii, from, to, deadline);

	if (pf__now() >= deadline)
		pf__conn_abort(ii->io->conn, -ETIMEDOUT);
	return r;
}

int pf__io_flush(struct pf__io *io, struct pf__inode *inode, uint64_t from, uint64_t to)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);

	return ii ? pf__io_flush_ii(ii, from, to) : 0;
}

void pf__io_flush_begin(struct pf__io *io, struct pf__inode *inode, uint64_t from, uint64_t to)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);

	if (ii && atomic_load(&ii->listed))
		pf__io_pump(ii, from, to);
}

int pf__io_wait(struct pf__io *io, struct pf__inode *inode, uint64_t from, uint64_t to)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);
	int r = 0;

	while (ii && r != -EINTR) {
		uint32_t turn = pf__pages_turn(&ii->pages);
		bool busy = pf__pages_busy_writing(&ii->pages, from, to, false);

		if (busy)
			r = pf__conn_sleep(io->conn, &ii->pages.turn, turn,
					   pf__now() + PF_NSEC_PER_SEC);
		pf__pages_waited(&ii->pages);
		if (!busy)
			return 0;
	}
	return r;
}

int pf__io_hold(struct pf__io *io, struct pf__inode *inode)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);
	int r;

	if (!ii)
		return 0;
	pf__pages_hold(&ii->pages);
	r = pf__io_wait(io, inode, 0, UINT64_MAX);
	if (r)
		pf__pages_release(&ii->pages);
	return r;
}

void pf__io_release(struct pf__io *io, struct pf__inode *inode)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);

	if (ii)
		pf__pages_release(&ii->pages);
}

/* ---- all inodes */

/* A dirty inode, dirty since before or longer, that may be tried now and was not visited in this
 * round yet; referenced. *old (may be NULL): it is; else it was begun and held up. */
static struct pf__io_inode *next_dirty(struct pf__io *io, uint64_t before, uint64_t now,
				       uint64_t round, bool *old)
{
	struct pf__io_inode *found = NULL;
	struct pf__list *l;

	pf__mutex_lock(&io->lock);
	pf__list_for_each (l, &io->dirty) {
		struct pf__io_inode *ii = pf__list_entry(l, struct pf__io_inode, dirty);

		bool is_old = ii->dirty_since <= before;

		if ((!is_old && !atomic_load(&ii->goal)) || ii->retry_at > now ||
		    ii->visited == round)
			continue;
		found = ii;
		if (old)
			*old = is_old;
		pf__inode_get(ii->inode);
		ii->visited = round;
		break;
	}
	pf__mutex_unlock(&io->lock);
	return found;
}

static uint64_t next_round(struct pf__io *io)
{
	return atomic_fetch_add(&io->rounds, 1) + 1;
}

static void pump_all(struct pf__io *io, uint64_t before)
{
	uint64_t now = pf__now_coarse(), round = next_round(io);
	struct pf__io_inode *ii;
	bool old;

	while (!pf__conn_congested(io->conn) && (ii = next_dirty(io, before, now, round, &old))) {
		pf__io_write_behind(ii, old ? UINT64_MAX : 0);
		pf__mutex_lock(&io->lock);
		if (!atomic_load(&ii->pages.ndirty))
			ii->dirty_since = now; /* what comes from now on is younger */
		pf__mutex_unlock(&io->lock);
		pf__inode_put(io->cache, ii->inode);
	}
}

void pf__io_tick(struct pf__io *io)
{
	uint64_t age = io->config.dirty_expire_ms * PF_NSEC_PER_MSEC, now = pf__now_coarse();

	if (now > age)
		pump_all(io, now - age);
	pf__arena_trim(io->arena, false);
}

/* A server that leaves other requests lying seems congested for ever: all inodes, in spite of it.
 */
static void push_all(struct pf__io *io)
{
	uint64_t now = pf__now_coarse(), round = next_round(io);
	struct pf__io_inode *ii;

	while ((ii = next_dirty(io, UINT64_MAX, now, round, NULL))) {
		flush_send(ii, 0, UINT64_MAX);
		pf__io_maybe_clean(ii);
		pf__inode_put(io->cache, ii->inode);
	}
}

int pf__io_balance(struct pf__io_inode *ii, const void *group)
{
	struct pf__io *io = ii->io;
	int r = 0;

	if (pf__arena_dirty(io->arena) <= io->dirty_background)
		return 0;
	pf__io_write_behind(ii, UINT64_MAX);
	if (pf__arena_dirty(io->arena) <= io->dirty_limit)
		return 0;
	pf__io_count(&io->stats.dirty_waits, 1);
	atomic_fetch_add(&io->waiters, 1);
	while (r != -EINTR && !pf__conn_dead(io->conn)) {
		uint32_t turn = atomic_load(&io->turn);

		pump_all(io, UINT64_MAX);
		if (pf__arena_dirty(io->arena) <= io->dirty_limit)
			break;
		r = pf__conn_sleep_as(io->conn, group, &io->turn, turn,
				      pf__now() + 100 * PF_NSEC_PER_MSEC);
		if (r == -ETIMEDOUT)
			push_all(io);
	}
	atomic_fetch_sub(&io->waiters, 1);
	return r == -EINTR ? r : 0;
}

uint64_t pf__io_deadline(const struct pf__io *io)
{
	return atomic_load(&io->stopping) ? pf__now() + STOP_NS : PF_TIME_FOREVER;
}

int pf__io_sync_all(struct pf__io *io, uint64_t deadline)
{
	uint64_t round = next_round(io);
	struct pf__io_inode *ii;
	int r = 0, one;

	while (pf__now() < deadline && (ii = next_dirty(io, UINT64_MAX, UINT64_MAX, round, NULL))) {
		one = flush_until(ii, 0, UINT64_MAX, deadline);
		pf__inode_put(io->cache, ii->inode);
		r = r ? r : one;
	}
	return r;
}

uint64_t pf__io_finish(struct pf__io *io)
{
	uint64_t round = next_round(io);
	struct pf__io_inode *ii;

	/* Those that are being written stay in the list: their answers end it. */
	while ((ii = next_dirty(io, UINT64_MAX, UINT64_MAX, round, NULL))) {
		pf__io_count(&io->stats.lost, pf__pages_forget_dirty(&ii->pages));
		pf__io_maybe_clean(ii);
		pf__inode_put(io->cache, ii->inode);
	}
	return atomic_load(&io->stats.lost);
}

void pf__io_dead(struct pf__io *io)
{
	atomic_fetch_add(&io->turn, 1);
	pf__futex_wake(&io->turn, INT_MAX);
}

int pf__io_lost_error(struct pf__io *io)
{
	int r;

	pf__mutex_lock(&io->lock);
	r = io->lost_error;
	pf__mutex_unlock(&io->lock);
	return r;
}
