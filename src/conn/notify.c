/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages that the server sends by itself, and what answers them. */
#include "base/alloc.h"
#include "conn/internal.h"
#include <errno.h>
#include <string.h>

/* ---- RESEND */

struct resend_search {
	struct pf__req *found;
	bool left; /* some want it that cannot be sent now */
};

static void want_resend(struct pf__req *req, void *ctx)
{
	struct resend_search *s = ctx;

	if (!(req->flags & REQ_SENT))
		return;
	/* INTERRUPTs for the old id are void: a further signal sends a new one. */
	req->flags &= ~(REQ_INTR | REQ_INTR_SENT);
	req->flags |= REQ_RESENT | REQ_RESEND;
	s->left = true;
}

static void find_resend(struct pf__req *req, void *ctx)
{
	struct resend_search *s = ctx;

	if (!(req->flags & REQ_RESEND))
		return;
	if (req->flags & REQ_PINNED)
		s->left = true;
	else if (!s->found)
		s->found = req;
}

static int send_again(struct pf__req *req)
{
	/* A copy: the thread that sent it first may still be reading the header. */
	struct pf__req copy = {.header = req->header, .nin = req->nin, .opcode = req->opcode};

	memcpy(copy.in, req->in, sizeof(copy.in));
	copy.header.unique |= FUSE_UNIQUE_RESEND;
	return pf__req_send(req->channel, &copy);
}

void pf__resend(struct pf__conn *conn)
{
	struct resend_search s = {NULL, false};
	struct pf__list done;
	int err = 0;

	pf__list_init(&done);
	pf__mutex_lock(&conn->lock);
	while (err != -EAGAIN && !conn->dead) {
		s = (struct resend_search){NULL, false};
		pf__req_each(conn, find_resend, &s);
		if (!s.found)
			break;
		s.found->flags = (s.found->flags | REQ_PINNED) & ~REQ_RESEND;
		pf__mutex_unlock(&conn->lock);
		err = send_again(s.found);
		pf__mutex_lock(&conn->lock);
		if (err == -EAGAIN)
			s.found->flags |= REQ_RESEND;
		pf__req_unpin(conn, s.found, &done);
	}
	conn->resend = err == -EAGAIN || s.left;
	if (conn->resend)
		pf__service_by(conn, pf__now() + PF_SEND_RETRY_NS);
	pf__mutex_unlock(&conn->lock);
	pf__run_done(conn, &done);
}

static void mark_all(struct pf__conn *conn)
{
	struct resend_search s = {NULL, false};

	pf__mutex_lock(&conn->lock);
	pf__req_each(conn, want_resend, &s);
	conn->resend = s.left;
	pf__mutex_unlock(&conn->lock);
}

/* ---- arrival */

void pf__notified(struct pf__channel *ch, int32_t code, const void *body, size_t len)
{
	struct pf__conn *conn = ch->conn;
	const struct pf__conn_ops *ops = conn->config.ops;
	struct pf__notify n = {0};

	if (!atomic_load_explicit(&conn->ready, memory_order_acquire) ||
	    pf__parse_notify(&conn->got.dialect, code, body, len, &n)) {
		pf__count(&conn->bad_replies);
		return;
	}
	pf__count(&conn->notifications);
	if (code == FUSE_NOTIFY_RESEND) {
		mark_all(conn);
		pf__resend(conn);
	} else if (ops && ops->notify) {
		ops->notify(conn->config.ctx, &n);
		pf__sleepers_poke(conn);
	}
}

/* ---- the answer to RETRIEVE */

/* Answers wait for a server that asks and does not read. */
#define UNSENT_MAX       1024
#define UNSENT_BYTES_MAX (16u << 20)

struct retrieved {
	struct pf__req req;
	struct pf__conn *conn;
	size_t size;
	struct fuse_notify_retrieve_in in;
	char data[];
};

static bool too_many(struct pf__conn *conn)
{
	bool many;

	if (atomic_load(&conn->retrieved) > UNSENT_BYTES_MAX)
		return true;
	pf__mutex_lock(&conn->lock);
	many = conn->bg_total >= UNSENT_MAX;
	pf__mutex_unlock(&conn->lock);
	return many;
}

static void retrieved_done(struct pf__req *req)
{
	struct retrieved *r = pf__list_entry(req, struct retrieved, req);

	atomic_fetch_sub(&r->conn->retrieved, r->size);
	pf__free(r);
}

int pf__conn_notify_reply(struct pf__conn *conn, const struct pf__notify *n,
			  const struct iovec *data, int ndata)
{
	size_t size = pf__vec_size(data, ndata);
	struct retrieved *r;
	int err;

	if (size > conn->got.max_write)
		return -EINVAL;
	if (too_many(conn))
		return -ENOMEM;
	/* A copy: this is called by the thread that reads, which cannot wait for room to send. */
	r = pf__malloc(sizeof(*r) + size);
	if (!r)
		return -ENOMEM;
	memset(&r->req, 0, sizeof(r->req));
	r->conn = conn;
	r->size = size;
	r->in = (struct fuse_notify_retrieve_in){.offset = n->off, .size = size};
	r->req.opcode = FUSE_NOTIFY_REPLY;
	r->req.nodeid = n->nodeid;
	r->req.marks = PF_REQ_FORCE | PF_REQ_NOCREDS | PF_REQ_NODEADLINE;
	r->req.done = retrieved_done;
	pf__req_in(&r->req, &r->in, sizeof(r->in));
	pf__req_in(&r->req, r->data, pf__vec_gather(r->data, size, data, ndata));
	err = pf__req_prepare(conn, &r->req);
	if (err) {
		pf__free(r);
		return err;
	}
	atomic_fetch_add(&conn->retrieved, size);
	r->req.header.unique = n->unique;
	r->req.flags |= REQ_BACKGROUND | REQ_ONEWAY;
	pf__bg_submit(conn, &r->req);
	return 0;
}
