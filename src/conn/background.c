/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests that nobody waits for: at most max_background at the server, the rest in order here. */
#include "base/arith.h"
#include "conn/internal.h"
#include <errno.h>

/* Under the lock: the next one that may go, out of the queue. */
static struct pf__req *next_allowed(struct pf__conn *conn)
{
	bool full = conn->bg_active >= conn->max_background;
	struct pf__list *l;

	pf__list_for_each (l, &conn->queue) {
		struct pf__req *req = pf__list_entry(l, struct pf__req, link);

		if (!full || req->marks & PF_REQ_FORCE) {
			pf__list_del(l);
			return req;
		}
	}
	return NULL;
}

/* Under the lock. Pinned: an answer may come before sending has returned. */
static void make_active(struct pf__conn *conn, struct pf__channel *ch, struct pf__req *req)
{
	conn->bg_active++;
	req->flags |= REQ_ACTIVE | REQ_PINNED;
	if (req->flags & REQ_ONEWAY)
		req->channel = ch;
	else
		pf__req_insert(conn, ch, req);
}

/* Under the lock: the transport had no room for it. */
static void put_back(struct pf__conn *conn, struct pf__req *req)
{
	conn->bg_active--;
	req->flags &= ~(REQ_ACTIVE | REQ_PINNED | REQ_SENT);
	pf__list_add_head(&conn->queue, &req->link);
	conn->bg_blocked = true;
	pf__service_by(conn, pf__now() + PF_SEND_RETRY_NS);
}

/* Under the lock: what became of sending it. False when there is no room for more. */
static bool sent(struct pf__conn *conn, struct pf__req *req, int err, struct pf__list *done)
{
	struct pf__channel *ch = req->channel;
	bool oneway = req->flags & REQ_ONEWAY;

	if (!err && !oneway) {
		pf__req_unpin(conn, req, done);
		/* Its answer must be read by somebody. */
		pf__channel_attend(ch);
		return true;
	}
	if (!oneway && !pf__req_take(conn, req)) { /* completed meanwhile */
		pf__req_unpin(conn, req, done);
		return true;
	}
	if (err == -EAGAIN && !conn->dead) {
		put_back(conn, req);
		return false;
	}
	pf__req_fail(req, err == -EAGAIN ? -ENOTCONN : err);
	pf__req_complete(conn, req, done);
	pf__req_unpin(conn, req, done);
	return true;
}

static void attend_all(struct pf__conn *conn)
{
	for (unsigned i = 0; i < conn->nchannels; i++)
		pf__channel_attend(conn->channels[i]);
}

void pf__bg_pump(struct pf__conn *conn)
{
	struct pf__channel *ch;
	struct pf__list done;
	struct pf__req *req;
	bool more = true;
	int err;

	pf__list_init(&done);
	pf__mutex_lock(&conn->lock);
	conn->bg_blocked = false;
	while (more && (ch = pf__channel_pick(conn)) && (req = next_allowed(conn))) {
		make_active(conn, ch, req);
		pf__mutex_unlock(&conn->lock);
		err = pf__req_send(req->channel, req);
		pf__mutex_lock(&conn->lock);
		more = sent(conn, req, err, &done);
	}
	/* What is left waits for the end of others, the lazy ones too. */
	if (!pf__list_empty(&conn->queue))
		attend_all(conn);
	pf__mutex_unlock(&conn->lock);
	pf__run_done(conn, &done);
}

void pf__bg_submit(struct pf__conn *conn, struct pf__req *req)
{
	struct pf__list done;

	pf__list_init(&done);
	pf__mutex_lock(&conn->lock);
	pf__bg_total_add(conn, 1);
	conn->stats.requests++;
	conn->stats.background++;
	if (req->opcode < PF_ARRAY_SIZE(conn->stats.by_opcode))
		conn->stats.by_opcode[req->opcode]++;
	if (conn->dead) {
		pf__req_fail(req, -ENOTCONN);
		pf__req_complete(conn, req, &done);
	} else {
		pf__list_add_tail(&conn->queue, &req->link);
		if (conn->timeout && conn->svc.idle)
			pf__service_kick(conn);
	}
	pf__mutex_unlock(&conn->lock);
	pf__run_done(conn, &done);
	pf__bg_pump(conn);
}

void pf__request_background(struct pf__conn *conn, struct pf__req *req)
{
	int err = pf__req_prepare(conn, req);

	req->flags |= REQ_BACKGROUND;
	if (!err) {
		pf__bg_submit(conn, req);
		return;
	}
	pf__req_fail(req, err);
	req->done(req);
	pf__sleepers_poke(conn);
}

/* Asked before each readahead: no lock, and nothing that is not constant but one word. */
bool pf__conn_congested(struct pf__conn *conn)
{
	return atomic_load_explicit(&conn->bg_total, memory_order_relaxed) >=
	       conn->got.congestion_threshold;
}
