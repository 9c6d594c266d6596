/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who waits reads. Per channel one thread at a time is the reader; if it waits for a request of its
 * own it is the leader, and the threads of other requests follow: they sleep on their request's
 * word. A leader whose answer has come hands the readership to a follower. docs/locking.md draws
 * it.
 *
 * While no other request with a reply's body is in flight the leader receives straight into its
 * own request's vectors: one system call. With more, it peeks at the header and then receives into
 * the vectors of the request that the message answers. Either way a message that turns out to be
 * something else is taken from where it landed, through the channel's scratch buffer.
 */
#include "base/futex.h"
#include "conn/internal.h"
#include <errno.h>
#include <sched.h>
#include <string.h>

#define HEADER          sizeof(struct fuse_out_header)
#define SHORT_REPLY     512             /* bytes of a body that is copied */
#define FOLLOW_SLICE_NS PF_NSEC_PER_SEC /* a finite wait: signals end it, SA_RESTART or not */
#define FLOOD_LOOK      64              /* messages of others read before a look at the clock */
#define DRAIN_MAX       64              /* messages read in one go when nobody waits for them */
#define SPIN_REST_MAX   256 /* waits without spinning, after spinning in vain again and again */

static void set_answer(struct pf__req *req, const struct fuse_out_header *h, size_t len)
{
	req->error = h->error;
	req->out_len = len - HEADER;
	req->answered = true;
}

/* ---- the readership */

/* Under the lock: the next waiter leads; false: there is none, and nobody reads. */
static bool hand_over(struct pf__channel *ch)
{
	struct pf__list *l = pf__list_pop(&ch->waiters);
	struct pf__req *next;

	ch->reading = l != NULL;
	if (!l)
		return false;
	next = pf__list_entry(l, struct pf__req, link);
	next->flags &= ~REQ_WAITER;
	if (atomic_exchange(&next->state, REQ_LEAD) == REQ_SLEEPING)
		pf__futex_wake(&next->state, 1);
	return true;
}

void pf__channel_release(struct pf__channel *ch)
{
	struct pf__conn *conn = ch->conn;

	pf__assert_held(&conn->lock);
	if (hand_over(ch))
		return;
	ch->called = NULL; /* that was before this reader came */
	if (pf__channel_unattended(ch))
		pf__channel_attend(ch);
	else if (conn->svc.far)
		pf__service_kick(conn);
}

/* Under the lock: lead, or stand in line to. */
static bool join(struct pf__channel *ch, struct pf__req *req)
{
	if (!(req->flags & REQ_FLYING)) {
		req->flags |= REQ_MISSED;
		return false;
	}
	if (!ch->reading) {
		ch->reading = true;
		return true;
	}
	req->flags |= REQ_WAITER;
	pf__list_add_tail(&ch->waiters, &req->link);
	return false;
}

/* ---- where a message belongs */

static struct pf__req *take_by_unique(struct pf__channel *ch, uint64_t unique)
{
	struct pf__conn *conn = ch->conn;
	struct pf__req *req;

	pf__mutex_lock(&conn->lock);
	req = pf__req_find(conn, ch, unique);
	if (req)
		pf__req_take(conn, req);
	pf__mutex_unlock(&conn->lock);
	return req;
}

static void complete_taken(struct pf__channel *ch, struct pf__req *req, struct pf__req *own,
			   bool *own_done)
{
	struct pf__conn *conn = ch->conn;
	struct pf__list done;

	pf__list_init(&done);
	pf__mutex_lock(&conn->lock);
	conn->stats.replies++;
	if (req == own) {
		*own_done = true;
		pf__channel_release(ch);
	}
	pf__req_complete(conn, req, &done);
	pf__mutex_unlock(&conn->lock);
	pf__run_done(conn, &done);
}

/* A whole message whose body lies in one piece: stored bytes of it. */
static void deliver(struct pf__channel *ch, const struct fuse_out_header *h, size_t len,
		    const void *body, size_t stored, struct pf__req *own, bool *own_done)
{
	struct pf__conn *conn = ch->conn;
	struct pf__req *req;

	if (pf__check_out_header(h, len)) {
		pf__count(&conn->bad_replies);
		return;
	}
	if (!h->unique) {
		pf__notified(ch, h->error, body, stored);
		return;
	}
	if (h->unique & FUSE_UNIQUE_INTERRUPT) {
		pf__interrupt_answer(ch, h, len);
		return;
	}
	req = take_by_unique(ch, h->unique);
	if (!req) {
		pf__count(&conn->unknown_replies);
		return;
	}
	pf__vec_scatter(req->out, req->nout, body, stored);
	set_answer(req, h, len);
	if (stored < len - HEADER) { /* larger than anything that could be asked for */
		pf__count(&conn->bad_replies);
		pf__req_fail(req, -EIO);
	}
	complete_taken(ch, req, own, own_done);
}

/* ---- receiving */

/* Header, the request's vectors, and the scratch buffer for what is too much. */
struct landing {
	struct fuse_out_header h;
	struct iovec iov[PF_REQ_OUT_MAX + 2];
	int n;
	size_t room; /* bytes that the request's vectors take */
};

static void landing_set(struct landing *l, struct pf__channel *ch, const struct pf__req *req)
{
	size_t scratch = ch->t->max_recv;

	l->iov[0] = (struct iovec){&l->h, HEADER};
	memcpy(&l->iov[1], req->out, req->nout * sizeof(l->iov[0]));
	l->n = 1 + req->nout;
	l->room = pf__vec_size(req->out, req->nout);
	/* Behind the place where the part that lies in the vectors may be copied to. */
	if (l->room < scratch)
		l->iov[l->n++] = (struct iovec){ch->scratch + l->room, scratch - l->room};
}

/* A short reply comes in one piece and is copied: cheaper than to have the kernel follow vectors.
 */
static ssize_t recv_short(struct landing *l, struct pf__channel *ch, const struct pf__req *own,
			  unsigned flags)
{
	struct iovec whole = {ch->whole, HEADER + ch->t->max_recv};
	ssize_t len = ch->t->ops->recv(ch->t, &whole, 1, flags);

	if (len >= (ssize_t)HEADER) {
		memcpy(&l->h, ch->whole, HEADER);
		pf__vec_scatter(own->out, own->nout, ch->scratch, len - HEADER);
	}
	return len;
}

/* It landed in the vectors of a request that it does not belong to. */
static void redeliver(struct landing *l, struct pf__channel *ch, struct pf__req *owner, size_t len,
		      struct pf__req *own, bool *own_done)
{
	size_t stored = len - HEADER, max = ch->t->max_recv;

	if (stored > max)
		stored = max;
	pf__vec_gather(ch->scratch, stored, owner->out, owner->nout);
	deliver(ch, &l->h, len, ch->scratch, stored, own, own_done);
}

/* Under the assumption that the next message answers own. */
static ssize_t read_direct(struct pf__channel *ch, struct pf__req *own, unsigned flags,
			   bool *own_done)
{
	struct pf__conn *conn = ch->conn;
	struct landing l;
	bool taken = false;
	ssize_t len;

	l.room = pf__vec_size(own->out, own->nout);
	if (l.room <= SHORT_REPLY) {
		len = recv_short(&l, ch, own, flags);
	} else {
		landing_set(&l, ch, own);
		len = ch->t->ops->recv(ch->t, l.iov, l.n, flags);
	}
	if (len <= 0)
		return len;
	if (len < (ssize_t)HEADER) {
		pf__count(&conn->bad_replies);
		pf__count(&conn->by_leader);
		return len;
	}
	if (pf__check_out_header(&l.h, len) || !l.h.unique ||
	    (l.h.unique & ~FUSE_UNIQUE_RESEND) != own->header.unique) {
		pf__count(&conn->by_leader);
		redeliver(&l, ch, own, len, own, own_done);
		return len;
	}
	pf__mutex_lock(&conn->lock);
	conn->stats.read_by_leader++;
	if (pf__req_find(conn, ch, l.h.unique) == own && pf__req_take(conn, own)) {
		taken = true;
		set_answer(own, &l.h, len);
		conn->stats.replies++;
		*own_done = true;
		pf__channel_release(ch);
		pf__req_complete(conn, own, NULL);
	}
	pf__mutex_unlock(&conn->lock);
	if (!taken)
		pf__count(&conn->unknown_replies);
	return len;
}

/* Into scratch: no request that we know takes it. */
static ssize_t read_scratch(struct pf__channel *ch, struct pf__req *own, bool *own_done)
{
	struct fuse_out_header h;
	struct iovec iov[2] = {{&h, HEADER}, {ch->scratch, ch->t->max_recv}};
	ssize_t len = ch->t->ops->recv(ch->t, iov, 2, 0);
	size_t stored;

	if (len <= 0)
		return len;
	if (len < (ssize_t)HEADER) {
		pf__count(&ch->conn->bad_replies);
		return len;
	}
	stored = len - HEADER < ch->t->max_recv ? len - HEADER : ch->t->max_recv;
	deliver(ch, &h, len, ch->scratch, stored, own, own_done);
	return len;
}

static void untake(struct pf__channel *ch, struct pf__req *req)
{
	struct pf__conn *conn = ch->conn;
	struct pf__list done;

	pf__list_init(&done);
	pf__mutex_lock(&conn->lock);
	if (conn->dead || ch->dead) { /* it was not in the table when the others were ended */
		pf__req_fail(req, -ENOTCONN);
		pf__req_complete(conn, req, &done);
	} else {
		pf__req_untake(conn, req);
	}
	pf__mutex_unlock(&conn->lock);
	pf__run_done(conn, &done);
}

/* Into the vectors of req, which was taken for it. */
static ssize_t read_into(struct pf__channel *ch, struct pf__req *req, uint64_t unique,
			 struct pf__req *own, bool *own_done)
{
	struct landing l;
	ssize_t len;

	landing_set(&l, ch, req);
	len = ch->t->ops->recv(ch->t, l.iov, l.n, 0);
	if (len >= (ssize_t)HEADER && l.h.unique == unique && !pf__check_out_header(&l.h, len)) {
		set_answer(req, &l.h, len);
		complete_taken(ch, req, own, own_done);
		return len;
	}
	untake(ch, req);
	if (len > 0)
		pf__count(&ch->conn->bad_replies);
	return len;
}

static ssize_t read_peeking(struct pf__channel *ch, struct pf__req *own, unsigned flags,
			    bool *own_done)
{
	struct fuse_out_header h;
	struct iovec iov = {&h, HEADER};
	struct pf__req *req = NULL;
	ssize_t len = ch->t->ops->recv(ch->t, &iov, 1, flags | PF_RECV_PEEK);

	if (len <= 0)
		return len;
	if (len >= (ssize_t)HEADER && h.unique && !pf__check_out_header(&h, h.len) &&
	    !(h.unique & FUSE_UNIQUE_INTERRUPT))
		req = take_by_unique(ch, h.unique);
	return req ? read_into(ch, req, h.unique, own, own_done) : read_scratch(ch, own, own_done);
}

/* Read one message. own: the reader's request, whose vectors the reply may land in directly;
 * *own_done is set, and the readership gone, when its answer came. > 0 a message, 0 the end,
 * -EAGAIN, -EINTR. */
static ssize_t read_for(struct pf__channel *ch, struct pf__req *own, unsigned flags, bool *own_done)
{
	uint32_t others = atomic_load_explicit(&ch->landing, memory_order_relaxed);
	ssize_t len;

	/* Replies without a body (RELEASE's) cost nothing where they land. */
	if (others == (own->nout ? 1 : 0))
		return read_direct(ch, own, flags, own_done);
	len = read_peeking(ch, own, flags, own_done);
	if (len > 0)
		pf__count(&ch->conn->by_leader);
	return len;
}

ssize_t pf__channel_read_any(struct pf__channel *ch, bool by_leader)
{
	bool unused = false;
	ssize_t len = read_peeking(ch, NULL, 0, &unused);

	if (len > 0)
		pf__count(by_leader ? &ch->conn->by_leader : &ch->conn->by_service);
	return len;
}

void pf__channel_drain(struct pf__channel *ch, bool by_service)
{
	struct pf__conn *conn = ch->conn;
	ssize_t len = 1;

	pf__mutex_lock(&conn->lock);
	if (ch->reading || ch->dead) {
		pf__mutex_unlock(&conn->lock);
		return;
	}
	ch->reading = true;
	pf__mutex_unlock(&conn->lock);
	for (int i = 0; i < DRAIN_MAX && len > 0; i++)
		len = pf__channel_read_any(ch, false);
	if (len == 0)
		pf__channel_ended(ch);
	pf__mutex_lock(&conn->lock);
	/* The service looks anew before it sleeps; kicked by itself it would never sleep. */
	if (!by_service) {
		pf__channel_release(ch);
	} else if (!hand_over(ch)) {
		ch->called = NULL;
		(void)pf__channel_call(ch);
	}
	pf__mutex_unlock(&conn->lock);
}

/* ---- waiting */

void pf__spin_judged(struct pf__conn *conn, struct pf__spin *spin, bool hit)
{
	uint32_t rest = atomic_load_explicit(&spin->rest, memory_order_relaxed);

	pf__count(hit ? &conn->spin_hits : &conn->spin_misses);
	if (hit && !rest)
		return;
	if (hit)
		rest = 0;
	else
		rest = rest ? (rest < SPIN_REST_MAX ? rest * 2 : rest) : 1;
	atomic_store_explicit(&spin->rest, rest, memory_order_relaxed);
	atomic_store_explicit(&spin->skip, rest, memory_order_relaxed);
}

/*
 * Read without sleeping for a while: to wake a thread on a sleeping core takes longer than a quick
 * server needs to answer. Between two looks the core is offered to others, the server among them,
 * so that nothing is lost when it runs on this one. -EAGAIN: it has not paid, or has not of late.
 */
static ssize_t read_spinning(struct pf__channel *ch, struct pf__req *req, bool *own_done)
{
	uint64_t until = 0;
	ssize_t len;

	if (!pf__spin_worthwhile(&ch->spin))
		return -EAGAIN;
	for (;;) {
		len = read_for(ch, req, 0, own_done);
		if (len != -EAGAIN)
			break;
		if (!until)
			until = pf__now() + PF_SPIN_NS;
		else if (pf__now() >= until)
			break;
		sched_yield();
	}
	/* An answer that was there when we got the core back, but late, was no use of spinning; one
	 * that was there at once tells nothing. */
	if (until)
		pf__spin_judged(ch->conn, &ch->spin, len != -EAGAIN && pf__now() < until);
	return len;
}

static int lead(struct pf__channel *ch, struct pf__req *req, bool *leading)
{
	bool own_done = false;
	ssize_t len = read_spinning(ch, req, &own_done);

	if (len == -EAGAIN)
		len = read_for(ch, req, PF_RECV_WAIT, &own_done);

	if (own_done)
		*leading = false;
	if (len == 0)
		pf__channel_ended(ch);
	return len < 0 ? len : 0;
}

static int follow(struct pf__req *req, bool *leading)
{
	uint64_t until = pf__now() + FOLLOW_SLICE_NS;
	uint32_t state = REQ_WAITING;
	int err;

	if (!atomic_compare_exchange_strong(&req->state, &state, REQ_SLEEPING)) {
		/* From LEAD only an abort takes it on, to DONE. */
		if (state == REQ_LEAD &&
		    atomic_compare_exchange_strong(&req->state, &state, REQ_WAITING))
			*leading = true;
		return 0;
	}
	if (req->deadline < until)
		until = req->deadline;
	err = pf__futex_wait(&req->state, REQ_SLEEPING, until);
	state = REQ_SLEEPING;
	atomic_compare_exchange_strong(&req->state, &state, REQ_WAITING);
	return err == -ETIMEDOUT ? -EAGAIN : err == -EINTR ? -EINTR : 0;
}

/* Nothing came for a tick, or nothing but what is for others. */
static void idle_tick(struct pf__conn *conn, const struct pf__req *req)
{
	uint64_t now;

	if (conn->svc.started && req->deadline == PF_TIME_FOREVER)
		return;
	now = pf__now();
	if (!conn->svc.started)
		pf__maintain(conn, now);
	if (now >= req->deadline)
		pf__check_deadlines(conn, now);
}

void pf__req_wait(struct pf__conn *conn, struct pf__req *req)
{
	struct pf__channel *ch = req->channel;
	unsigned others = 0;
	bool leading;
	int err;

	pf__mutex_lock(&conn->lock);
	leading = join(ch, req);
	pf__mutex_unlock(&conn->lock);
	/* Acquire: pairs with the release in pf__req_complete(). */
	while (atomic_load_explicit(&req->state, memory_order_acquire) != REQ_DONE) {
		err = leading ? lead(ch, req, &leading) : follow(req, &leading);
		if (err == -EINTR)
			pf__interrupt(conn, req);
		/* A server that never stops talking does not keep us past the deadline. */
		else if (err == -EAGAIN || ++others % FLOOD_LOOK == 0)
			idle_tick(conn, req);
	}
	if (leading) {
		pf__mutex_lock(&conn->lock);
		pf__channel_release(ch);
		pf__mutex_unlock(&conn->lock);
	}
}
