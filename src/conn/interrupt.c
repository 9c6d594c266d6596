/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INTERRUPT: at most one per request at the server. It may answer EAGAIN (it has not seen the
 * request yet: send it again), ENOSYS (never send one again), or nothing. The request itself is
 * waited for in any case.
 */
#include "conn/internal.h"
#include <errno.h>

#define RETRY_NS (2 * PF_NSEC_PER_MSEC) /* before an INTERRUPT that came too soon is sent again */

/* Under the lock. */
static bool interruptible(struct pf__conn *conn, const struct pf__req *req)
{
	return req->flags & REQ_FLYING &&
	       !(req->flags & (REQ_BACKGROUND | REQ_INTR_SENT | REQ_ONEWAY)) &&
	       !(req->marks & (PF_REQ_FORCE | PF_REQ_NOINTR)) && !conn->no_interrupt;
}

static int send_interrupt(struct pf__channel *ch, uint64_t unique)
{
	struct fuse_interrupt_in in = {.unique = unique};
	struct fuse_in_header h = {
	    .len = sizeof(h) + sizeof(in),
	    .opcode = FUSE_INTERRUPT,
	    .unique = unique | FUSE_UNIQUE_INTERRUPT,
	};
	struct iovec iov[2] = {{&h, sizeof(h)}, {&in, sizeof(in)}};

	return ch->t->ops->send(ch->t, iov, 2);
}

/* Under the lock: again, a little later. */
static void want_again(struct pf__conn *conn, struct pf__req *req)
{
	req->flags = (req->flags & ~REQ_INTR_SENT) | REQ_INTR;
	conn->intr_at = pf__now() + RETRY_NS;
	pf__service_by(conn, conn->intr_at);
}

/* Under the lock, which is given up meanwhile: req may be gone afterwards. */
static void interrupt_one(struct pf__conn *conn, struct pf__req *req)
{
	struct pf__channel *ch = req->channel;
	uint64_t unique = pf__req_unique(req);
	int err;

	req->flags |= REQ_INTR;
	if (!(req->flags & REQ_SENT))
		return; /* its thread will see the wish before it sends */
	req->flags |= REQ_INTR_SENT;
	conn->stats.interrupts++;
	pf__mutex_unlock(&conn->lock);
	err = send_interrupt(ch, unique);
	pf__mutex_lock(&conn->lock);
	if (err != -EAGAIN)
		return;
	req = pf__req_find(conn, ch, unique);
	if (req)
		want_again(conn, req);
}

void pf__interrupt(struct pf__conn *conn, struct pf__req *req)
{
	pf__mutex_lock(&conn->lock);
	if (interruptible(conn, req))
		interrupt_one(conn, req);
	pf__mutex_unlock(&conn->lock);
}

struct search {
	struct pf__conn *conn;
	const void *group;
	bool wanted_only; /* those that already want it; else those of group */
	struct pf__req *found;
};

static void match(struct pf__req *req, void *ctx)
{
	struct search *s = ctx;

	if (s->found || !interruptible(s->conn, req))
		return;
	if (s->wanted_only ? !!(req->flags & REQ_INTR)
			   : req->group == s->group && !(req->flags & REQ_INTR))
		s->found = req;
}

/* The lock is given up for each one, so each time the search begins anew; flags make it end. */
static int interrupt_all(struct pf__conn *conn, const void *group, bool wanted_only, int most)
{
	struct search s = {conn, group, wanted_only, NULL};
	int n = 0;

	pf__mutex_lock(&conn->lock);
	for (; n < most; n++) {
		s.found = NULL;
		pf__req_each(conn, match, &s);
		if (!s.found)
			break;
		interrupt_one(conn, s.found);
	}
	pf__mutex_unlock(&conn->lock);
	return n;
}

int pf__conn_interrupt(struct pf__conn *conn, const void *group)
{
	return interrupt_all(conn, group, false, INT32_MAX) + pf__sleepers_interrupt(conn, group);
}

void pf__interrupt_retry(struct pf__conn *conn, uint64_t now)
{
	bool due;

	pf__mutex_lock(&conn->lock);
	due = now >= conn->intr_at;
	if (due)
		conn->intr_at = PF_TIME_FOREVER;
	pf__mutex_unlock(&conn->lock);
	if (due)
		interrupt_all(conn, NULL, true, 64);
}

void pf__interrupt_answer(struct pf__channel *ch, const struct fuse_out_header *h, size_t len)
{
	struct pf__conn *conn = ch->conn;
	struct pf__req *req;

	if (len != sizeof(*h)) {
		pf__count(&conn->bad_replies);
		return;
	}
	if (h->error == -ENOSYS)
		atomic_store(&conn->no_interrupt, true);
	if (h->error != -EAGAIN)
		return;
	pf__mutex_lock(&conn->lock);
	req = pf__req_find(conn, ch, h->unique & ~FUSE_UNIQUE_INTERRUPT);
	if (req && req->flags & REQ_INTR_SENT)
		want_again(conn, req);
	pf__mutex_unlock(&conn->lock);
}
