/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lookups given back. They are queued, because whoever gives them back holds locks, and go out in
 * batches a few milliseconds later, or when enough have come together. A count is never lost: a
 * queue that cannot grow sends at once, and when that cannot be either, the connection is aborted
 * (which gives back everything).
 */
#include "base/alloc.h"
#include "base/arith.h"
#include "conn/internal.h"
#include <errno.h>
#include <string.h>

#define DELAY_NS     (5 * PF_NSEC_PER_MSEC)
#define ENOUGH       64 /* queued ones that need not wait any longer */
#define BATCH_HEADER (sizeof(struct fuse_in_header) + sizeof(struct fuse_batch_forget_in))
#define BATCH_MAX    ((FUSE_MIN_READ_BUFFER - BATCH_HEADER) / sizeof(struct fuse_forget_one))
#define MINOR_BATCH  16

int pf__forgets_init(struct pf__conn *conn)
{
	struct pf__forgets *f = &conn->forgets;

	f->q = f->kept;
	f->cap = PF__FORGETS_KEPT;
	f->due = PF_TIME_FOREVER;
	return pf__mutex_init(&f->lock, PF_RANK_FORGET);
}

void pf__forgets_free(struct pf__conn *conn)
{
	struct pf__forgets *f = &conn->forgets;

	if (f->q != f->kept)
		pf__free(f->q);
	pf__mutex_destroy(&f->lock);
}

void pf__forgets_drop(struct pf__conn *conn)
{
	struct pf__forgets *f = &conn->forgets;

	pf__mutex_lock(&f->lock);
	f->head = f->n = 0;
	f->due = PF_TIME_FOREVER;
	pf__mutex_unlock(&f->lock);
}

uint64_t pf__forgets_due(struct pf__conn *conn)
{
	struct pf__forgets *f = &conn->forgets;
	uint64_t due;

	pf__mutex_lock(&f->lock);
	due = f->n >= ENOUGH && !f->blocked ? 0 : f->due;
	pf__mutex_unlock(&f->lock);
	return due;
}

bool pf__forgets_left(struct pf__conn *conn)
{
	struct pf__forgets *f = &conn->forgets;
	bool left;

	pf__mutex_lock(&f->lock);
	left = f->n || f->flushing;
	pf__mutex_unlock(&f->lock);
	return left;
}

/* ---- sending */

static int send_forgets(struct pf__conn *conn, const struct fuse_forget_one *one, uint32_t n)
{
	struct fuse_forget_in single = {.nlookup = one->nlookup};
	struct fuse_batch_forget_in batch = {.count = n};
	struct fuse_in_header h = {.opcode = FUSE_FORGET, .unique = pf__next_unique(conn)};
	struct iovec iov[3] = {{&h, sizeof(h)}, {&single, sizeof(single)}};
	struct pf__channel *ch;
	int niov = 2, err;

	if (n == 1) {
		h.nodeid = one->nodeid;
	} else {
		h.opcode = FUSE_BATCH_FORGET;
		iov[1] = (struct iovec){&batch, sizeof(batch)};
		iov[2] = (struct iovec){(void *)one, n * sizeof(*one)};
		niov = 3;
	}
	h.len = pf__vec_size(iov, niov);
	pf__mutex_lock(&conn->lock);
	ch = conn->dead ? NULL : pf__channel_pick(conn);
	pf__mutex_unlock(&conn->lock);
	if (!ch)
		return -ENOTCONN;
	err = ch->t->ops->send(ch->t, iov, niov);
	if (!err) {
		atomic_fetch_add_explicit(&conn->forget_count, n, memory_order_relaxed);
		pf__count(&conn->forget_messages);
	}
	return err;
}

/* Under the lock: the first k have gone. */
static void forgets_remove(struct pf__forgets *f, size_t k)
{
	if (k > f->n) /* dropped meanwhile */
		k = f->n;
	f->head += k;
	f->n -= k;
	if (!f->n) {
		f->head = 0;
		f->due = PF_TIME_FOREVER;
	}
}

/* One message of the oldest ones; false when there is no more to do now. */
static bool flush_some(struct pf__conn *conn)
{
	struct fuse_forget_one batch[BATCH_MAX];
	struct pf__forgets *f = &conn->forgets;
	size_t most = conn->got.dialect.minor >= MINOR_BATCH ? BATCH_MAX : 1, n;
	int err;

	pf__mutex_lock(&f->lock);
	n = pf__min_u64(f->n, most);
	memcpy(batch, f->q + f->head, n * sizeof(*batch));
	pf__mutex_unlock(&f->lock);
	if (!n)
		return false;
	err = send_forgets(conn, batch, n);
	pf__mutex_lock(&f->lock);
	f->blocked = err;
	/* A dead connection has given back everything. */
	if (!err || err == -ENOTCONN)
		forgets_remove(f, n);
	else
		f->due = pf__now() + DELAY_NS;
	pf__mutex_unlock(&f->lock);
	return !err;
}

void pf__conn_flush_forgets(struct pf__conn *conn)
{
	struct pf__forgets *f = &conn->forgets;
	bool mine;

	pf__mutex_lock(&f->lock);
	mine = !f->flushing && f->n;
	if (mine)
		f->flushing = true;
	pf__mutex_unlock(&f->lock);
	if (!mine)
		return;
	while (flush_some(conn))
		;
	pf__mutex_lock(&f->lock);
	f->flushing = false;
	pf__mutex_unlock(&f->lock);
}

/* ---- queueing */

/* Under the lock. */
static bool make_room(struct pf__forgets *f)
{
	bool first = f->q == f->kept;
	struct fuse_forget_one *q;

	if (f->head + f->n < f->cap)
		return true;
	if (f->head > f->cap / 2) { /* more gone than left: moving them is cheap */
		memmove(f->q, f->q + f->head, f->n * sizeof(*f->q));
		f->head = 0;
		return true;
	}
	q = pf__realloc(first ? NULL : f->q, 2 * f->cap * sizeof(*q));
	if (!q)
		return false;
	if (first)
		memcpy(q, f->kept, sizeof(f->kept));
	f->q = q;
	f->cap *= 2;
	return true;
}

/* Under the queue's lock: have the service thread look at due, if it would sleep longer. */
static void wake_service(struct pf__conn *conn, uint64_t due)
{
	pf__mutex_lock(&conn->lock);
	/* While it runs it may have looked at the queue already: have it look again. */
	if (conn->svc.state == SVC_RUN || conn->svc.wake_at > due)
		pf__service_kick(conn);
	pf__mutex_unlock(&conn->lock);
}

void pf__conn_forget(struct pf__conn *conn, uint64_t nodeid, uint64_t nlookup)
{
	struct fuse_forget_one one = {nodeid, nlookup};
	struct pf__forgets *f = &conn->forgets;
	bool queued;

	if (atomic_load(&conn->dead))
		return;
	pf__mutex_lock(&f->lock);
	queued = make_room(f);
	if (queued) {
		f->q[f->head + f->n++] = one;
		if (f->n == 1) {
			f->due = pf__now() + DELAY_NS;
			wake_service(conn, f->due);
		} else if (f->n == ENOUGH) {
			wake_service(conn, 0);
		}
	}
	pf__mutex_unlock(&f->lock);
	if (!queued && send_forgets(conn, &one, 1))
		pf__conn_abort(conn, -ECONNABORTED);
}
