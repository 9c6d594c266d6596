/* SPDX-License-Identifier: BSD-2-Clause */
/* The requests in flight, by unique. A synchronous request lives on its caller's stack: no
 * allocation here. */
#include "base/arith.h"
#include "conn/internal.h"

static struct pf__req **bucket(struct pf__conn *conn, uint64_t unique)
{
	return &conn->table[(unique >> 1) % PF__BUCKETS];
}

struct pf__channel *pf__channel_pick(struct pf__conn *conn)
{
	struct pf__channel *best = NULL;

	for (unsigned i = 0; i < conn->nchannels; i++) {
		struct pf__channel *ch = conn->channels[i];

		if (!ch->dead && (!best || ch->inflight < best->inflight))
			best = ch;
	}
	return best;
}

static void table_add(struct pf__conn *conn, struct pf__req *req)
{
	struct pf__req **b = bucket(conn, req->header.unique);
	struct pf__channel *ch = req->channel;

	req->hash_next = *b;
	*b = req;
	req->flags |= REQ_FLYING;
	atomic_store_explicit(&ch->inflight, ch->inflight + 1, memory_order_relaxed);
	if (req->nout)
		atomic_store_explicit(&ch->landing, ch->landing + 1, memory_order_relaxed);
	if (req->flags & REQ_BACKGROUND)
		ch->background++;
	if (req->marks & PF_REQ_LAZY)
		ch->lazy++;
}

void pf__req_insert(struct pf__conn *conn, struct pf__channel *ch, struct pf__req *req)
{
	pf__assert_held(&conn->lock);
	req->channel = ch;
	req->flags |= REQ_SENT;
	table_add(conn, req);
}

bool pf__req_take(struct pf__conn *conn, struct pf__req *req)
{
	struct pf__req **p = bucket(conn, req->header.unique);
	struct pf__channel *ch = req->channel;

	pf__assert_held(&conn->lock);
	if (!(req->flags & REQ_FLYING))
		return false;
	while (*p != req)
		p = &(*p)->hash_next;
	*p = req->hash_next;
	req->flags &= ~REQ_FLYING;
	atomic_store_explicit(&ch->inflight, ch->inflight - 1, memory_order_relaxed);
	if (req->nout)
		atomic_store_explicit(&ch->landing, ch->landing - 1, memory_order_relaxed);
	if (req->flags & REQ_BACKGROUND)
		ch->background--;
	if (req->marks & PF_REQ_LAZY)
		ch->lazy--;
	if (req->flags & REQ_WAITER)
		pf__list_del(&req->link);
	return true;
}

void pf__req_untake(struct pf__conn *conn, struct pf__req *req)
{
	pf__assert_held(&conn->lock);
	table_add(conn, req);
	if (req->flags & REQ_MISSED) /* who reads now may be the last: it must be in line */
		req->flags = (req->flags & ~REQ_MISSED) | REQ_WAITER;
	if (req->flags & REQ_WAITER)
		pf__list_add_head(&req->channel->waiters, &req->link);
}

uint64_t pf__req_unique(const struct pf__req *req)
{
	return req->header.unique | (req->flags & REQ_RESENT ? FUSE_UNIQUE_RESEND : 0);
}

struct pf__req *pf__req_find(struct pf__conn *conn, struct pf__channel *ch, uint64_t unique)
{
	struct pf__req *req = *bucket(conn, unique & ~FUSE_UNIQUE_RESEND);

	pf__assert_held(&conn->lock);
	while (req && pf__req_unique(req) != unique)
		req = req->hash_next;
	/* The answer must come the way the request went, and not before it went. */
	if (!req || req->channel != ch || !(req->flags & REQ_SENT))
		return NULL;
	return req;
}

void pf__req_each(struct pf__conn *conn, void (*fn)(struct pf__req *req, void *ctx), void *ctx)
{
	struct pf__req *req, *next;

	pf__assert_held(&conn->lock);
	for (unsigned i = 0; i < PF__BUCKETS; i++)
		for (req = conn->table[i]; req; req = next) {
			next = req->hash_next;
			fn(req, ctx);
		}
}
