/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a connection: abort, the server's death, a deadline. Every request in flight, and
 * every one that waits in a queue, is completed here if nobody has done so. */
#include "base/errmsg.h"
#include "conn/internal.h"
#include <errno.h>

struct ending {
	struct pf__conn *conn;
	struct pf__channel *only; /* requests of this channel; NULL all */
	struct pf__req *victim;
	int error, victim_error;
	struct pf__list done;
};

static void end_one(struct pf__req *req, void *ctx)
{
	struct ending *e = ctx;

	if ((e->only && req->channel != e->only) || !pf__req_take(e->conn, req))
		return;
	pf__req_fail(req, req == e->victim ? e->victim_error : e->error);
	e->conn->stats.aborted++;
	pf__req_complete(e->conn, req, &e->done);
}

/* Under the lock. */
static void end_queue(struct ending *e)
{
	struct pf__list *l;

	while ((l = pf__list_pop(&e->conn->queue))) {
		struct pf__req *req = pf__list_entry(l, struct pf__req, link);

		pf__req_fail(req, req == e->victim ? e->victim_error : e->error);
		e->conn->stats.aborted++;
		pf__req_complete(e->conn, req, &e->done);
	}
}

/* Under the lock; false when that was done before. */
static bool end_all(struct ending *e)
{
	struct pf__conn *conn = e->conn;

	if (atomic_exchange(&conn->dead, true))
		return false;
	conn->death = e->victim ? e->victim_error : e->error;
	for (unsigned i = 0; i < conn->nchannels; i++)
		conn->channels[i]->dead = true;
	pf__req_each(conn, end_one, e);
	end_queue(e);
	pf__service_kick(conn);
	return true;
}

void pf__abort(struct pf__conn *conn, int error, struct pf__req *victim, int victim_error)
{
	struct ending e = {conn, NULL, victim, error, victim_error, {0}};
	const struct pf__conn_ops *ops = conn->config.ops;
	unsigned n;
	bool first;

	pf__list_init(&e.done);
	pf__mutex_lock(&conn->lock);
	first = end_all(&e);
	n = conn->nchannels;
	pf__mutex_unlock(&conn->lock);
	if (!first)
		return;
	/* Channels only ever come, and only close() frees them. */
	for (unsigned i = 0; i < n; i++)
		conn->channels[i]->t->ops->shutdown(conn->channels[i]->t);
	pf__forgets_drop(conn);
	pf__run_done(conn, &e.done);
	if (ops && ops->dead && atomic_load(&conn->ready) && !atomic_load(&conn->closing))
		ops->dead(conn->config.ctx);
	pf__sleepers_poke(conn);
}

void pf__conn_abort(struct pf__conn *conn, int error)
{
	pf__abort(conn, error, NULL, 0);
}

int pf__conn_death(struct pf__conn *conn)
{
	int death;

	pf__mutex_lock(&conn->lock);
	death = conn->death;
	pf__mutex_unlock(&conn->lock);
	return death;
}

bool pf__conn_dead(const struct pf__conn *conn)
{
	return atomic_load(&conn->dead);
}

/* One of several channels ends only what went through it. */
static bool end_channel(struct pf__channel *ch, struct ending *e)
{
	struct pf__conn *conn = ch->conn;
	bool last;

	pf__mutex_lock(&conn->lock);
	ch->dead = true;
	last = !pf__channel_pick(conn);
	if (!last)
		pf__req_each(conn, end_one, e);
	pf__mutex_unlock(&conn->lock);
	return last;
}

void pf__channel_ended(struct pf__channel *ch)
{
	struct ending e = {ch->conn, ch, NULL, -ECONNABORTED, 0, {0}};

	pf__list_init(&e.done);
	if (end_channel(ch, &e)) {
		pf__abort(ch->conn, -ENOTCONN, NULL, 0);
		return;
	}
	ch->t->ops->shutdown(ch->t);
	pf__run_done(ch->conn, &e.done);
}

/* ---- deadlines */

struct overdue {
	uint64_t now;
	struct pf__req *found;
};

static void find_overdue(struct pf__req *req, void *ctx)
{
	struct overdue *o = ctx;

	if (!o->found && o->now >= req->deadline)
		o->found = req;
}

void pf__check_deadlines(struct pf__conn *conn, uint64_t now)
{
	struct overdue o = {now, NULL};
	struct pf__list *l;

	pf__mutex_lock(&conn->lock);
	pf__req_each(conn, find_overdue, &o);
	pf__list_for_each (l, &conn->queue) {
		find_overdue(pf__list_entry(l, struct pf__req, link), &o);
	}
	pf__mutex_unlock(&conn->lock);
	/* Only compared, not followed: it may have ended meanwhile. */
	if (o.found)
		pf__abort(conn, -ECONNABORTED, o.found, -ETIMEDOUT);
}
