/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a request: encode, send, complete, judge. Asynchronous is the only way that there is;
 * pf__request() submits and waits. */
#include "base/arith.h"
#include "base/futex.h"
#include "conn/internal.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#define WRITABLE_SLICE_MS 5
#define GONE_NS           (100 * PF_NSEC_PER_MSEC) /* in which its reader sees that a peer has gone */
#define CHECK_MAX         8192 /* largest body that is looked into, but for lists of names */

/* ---- encode */

static int too_large(uint32_t opcode)
{
	return opcode == FUSE_SETXATTR ? -E2BIG : -EIO;
}

int pf__req_prepare(struct pf__conn *conn, struct pf__req *req)
{
	const struct pf__dialect *d = &conn->got.dialect;
	uint64_t timeout = atomic_load_explicit(&conn->timeout, memory_order_relaxed);
	size_t len = sizeof(req->header);

	if (req->nin && pf__in_size(d, req->opcode))
		req->in[0].iov_len = pf__in_compat(d, req->opcode, req->in[0].iov_base);
	len += pf__vec_size(req->in, req->nin);
	req->header = (struct fuse_in_header){
	    .len = len,
	    .opcode = req->opcode,
	    .unique = pf__next_unique(conn),
	    .nodeid = req->nodeid,
	    .total_extlen = req->extlen / 8,
	};
	if (!(req->marks & PF_REQ_NOCREDS)) {
		req->header.uid = req->cred.uid;
		req->header.gid = req->cred.gid;
		req->header.pid = req->cred.pid;
	}
	pf__list_init(&req->link);
	req->flags = 0;
	req->channel = NULL;
	req->forget = false;
	pf__req_fail(req, 0);
	atomic_store_explicit(&req->state, REQ_WAITING, memory_order_relaxed);
	req->start = pf__now_coarse();
	req->deadline = PF_TIME_FOREVER;
	if (timeout && !(req->marks & PF_REQ_NODEADLINE))
		req->deadline = pf__now() + timeout;
	return len > conn->max_message ? too_large(req->opcode) : 0;
}

int pf__req_send(struct pf__channel *ch, const struct pf__req *req)
{
	struct iovec iov[1 + PF_REQ_IN_MAX];
	int err;

	if (req->header.len > ch->t->max_send)
		return too_large(req->opcode);
	iov[0] = (struct iovec){(void *)&req->header, sizeof(req->header)};
	memcpy(&iov[1], req->in, req->nin * sizeof(iov[0]));
	err = ch->t->ops->send(ch->t, iov, 1 + req->nin);
	return err == -EMSGSIZE ? too_large(req->opcode) : err;
}

/* ---- complete */

void pf__req_complete(struct pf__conn *conn, struct pf__req *req, struct pf__list *done)
{
	pf__assert_held(&conn->lock);
	if (req->flags & REQ_PINNED) {
		req->flags |= REQ_COMPLETED;
		return;
	}
	if (req->flags & REQ_BACKGROUND) {
		if (req->flags & REQ_ACTIVE)
			conn->bg_active--;
		pf__bg_total_add(conn, -1);
		pf__list_add_tail(done, &req->link);
		return;
	}
	/*
	 * Release: what was written into the request and its vectors is seen by the thread that
	 * reads DONE with acquire. From here on the request may be gone; waking its address wakes,
	 * at worst, somebody else for nothing.
	 */
	if (atomic_exchange_explicit(&req->state, REQ_DONE, memory_order_acq_rel) == REQ_SLEEPING)
		pf__futex_wake(&req->state, 1);
}

void pf__req_unpin(struct pf__conn *conn, struct pf__req *req, struct pf__list *done)
{
	pf__assert_held(&conn->lock);
	req->flags &= ~REQ_PINNED;
	if (req->flags & REQ_COMPLETED)
		pf__req_complete(conn, req, done);
}

void pf__run_done(struct pf__conn *conn, struct pf__list *done)
{
	struct pf__list *l;

	if (pf__list_empty(done))
		return;
	while ((l = pf__list_pop(done))) {
		struct pf__req *req = pf__list_entry(l, struct pf__req, link);

		pf__req_finish(conn, req);
		req->done(req);
		atomic_fetch_add(&conn->bg_ended, 1);
	}
	if (atomic_load(&conn->bg_waiters))
		pf__futex_wake(&conn->bg_ended, INT_MAX);
	pf__sleepers_poke(conn);
	pf__bg_pump(conn);
}

/* ---- judge */

/* The flags of an IOCTL request, 0 for others. */
static uint32_t ioctl_flags(const struct pf__req *req)
{
	const struct fuse_ioctl_in *in = req->nin ? req->in[0].iov_base : NULL;

	return req->opcode == FUSE_IOCTL && in ? in->flags : 0;
}

static bool is_dot(const struct pf__req *req)
{
	const char *name = req->nin ? req->in[0].iov_base : NULL;

	if (req->opcode != FUSE_LOOKUP || !name || name[0] != '.')
		return false;
	return !name[1] || (name[1] == '.' && !name[2]);
}

static void expectation(struct pf__conn *conn, const struct pf__req *req, struct pf__expect *e)
{
	*e = (struct pf__expect){
	    .dialect = conn->got.dialect,
	    .opcode = req->opcode,
	    .nodeid = req->nodeid,
	    .mode = req->expect_mode,
	    .size = req->expect_size,
	    .dot = is_dot(req),
	    .ioctl_unrestricted = ioctl_flags(req) & FUSE_IOCTL_UNRESTRICTED,
	};
}

static int judge(const struct pf__expect *e, struct pf__req *req, void *body)
{
	const struct pf__op *op = pf__op_get(req->opcode);

	if (op->reply == PF_REPLY_FIXED) {
		pf__reply_expand(&e->dialect, req->opcode, body);
		req->out_len = op->reply_size;
	}
	return pf__check_reply(e, body, req->out_len, &req->forget);
}

/* The caller split the part that must be looked at: judge a copy and put it back. */
static int judge_split(const struct pf__expect *e, struct pf__req *req)
{
	char body[CHECK_MAX] __attribute__((aligned(8)));
	size_t n = pf__vec_gather(body, sizeof(body), req->out, req->nout);
	int err;

	if (n < req->out_len && (req->opcode == FUSE_LISTXATTR || req->opcode == FUSE_READLINK))
		return -EIO;
	err = judge(e, req, body);
	pf__vec_scatter(req->out, req->nout, body, pf__min_u64(n, req->out_len));
	return err;
}

static int judge_body(const struct pf__expect *e, struct pf__req *req)
{
	const struct pf__op *op = pf__op_get(req->opcode);
	size_t need = pf__max_u64(req->out_len, op->reply_size);

	if (req->opcode == FUSE_READ || req->opcode == FUSE_READDIR ||
	    req->opcode == FUSE_READDIRPLUS || !req->out_len)
		return 0;
	if (pf__vec_size(req->out, req->nout) < need)
		return -EIO;
	if (req->out[0].iov_len < need)
		return judge_split(e, req);
	return judge(e, req, req->out[0].iov_base);
}

void pf__req_finish(struct pf__conn *conn, struct pf__req *req)
{
	struct pf__expect e;
	int err;

	if (!req->answered)
		return;
	expectation(conn, req, &e);
	err = pf__check_reply_size(&e, req->error, req->out_len);
	if (!err && req->out_len > pf__vec_size(req->out, req->nout))
		err = -EIO;
	if (err) {
		pf__count(&conn->bad_replies);
		pf__req_fail(req, err);
		return;
	}
	if (req->error) {
		req->out_len = 0;
		return;
	}
	err = judge_body(&e, req);
	if (err) {
		/* The body stays: the caller may need its nodeid or fh to give them back. */
		pf__count(&conn->bad_replies);
		req->error = err;
		req->answered = false;
	}
}

/* ---- submit and wait */

static int admit(struct pf__conn *conn, struct pf__req *req)
{
	struct pf__channel *ch;
	int err = -ENOTCONN;

	pf__mutex_lock(&conn->lock);
	ch = conn->dead ? NULL : pf__channel_pick(conn);
	if (ch) {
		pf__req_insert(conn, ch, req);
		conn->sync_seq++;
		conn->stats.requests++;
		if (req->opcode < PF_ARRAY_SIZE(conn->stats.by_opcode))
			conn->stats.by_opcode[req->opcode]++;
		/* Somebody must watch over its deadline. */
		if (conn->timeout && conn->svc.idle)
			pf__service_kick(conn);
		err = 0;
	}
	pf__mutex_unlock(&conn->lock);
	return err;
}

static bool uninterruptible(const struct pf__req *req)
{
	return req->marks & (PF_REQ_FORCE | PF_REQ_NOINTR);
}

/* Mark whether the transport has it; false when it is complete already (abort). */
static bool mark_sent(struct pf__conn *conn, struct pf__req *req, bool sent, bool *interrupted)
{
	bool flying;

	pf__mutex_lock(&conn->lock);
	flying = req->flags & REQ_FLYING;
	req->flags = sent ? req->flags | REQ_SENT : req->flags & ~REQ_SENT;
	*interrupted = req->flags & REQ_INTR;
	pf__mutex_unlock(&conn->lock);
	return flying;
}

/* The transport has no room. The server may itself be waiting for us to read: do that too. */
static int send_when_writable(struct pf__conn *conn, struct pf__req *req)
{
	struct pf__channel *ch = req->channel;
	bool intr;
	int err;

	for (;;) {
		if (!mark_sent(conn, req, false, &intr))
			return 0;
		if (intr && !uninterruptible(req))
			return -EINTR;
		pf__channel_drain(ch, false);
		err = ch->t->ops->wait_writable(ch->t, WRITABLE_SLICE_MS);
		if (err == -EINTR && !uninterruptible(req))
			return -EINTR;
		if (req->deadline != PF_TIME_FOREVER)
			pf__check_deadlines(conn, pf__now());
		if (!mark_sent(conn, req, true, &intr))
			return 0;
		err = pf__req_send(ch, req);
		if (err != -EAGAIN)
			return err;
	}
}

/* It was not sent. False when somebody has completed it meanwhile, or is about to. */
static bool withdraw(struct pf__conn *conn, struct pf__req *req, int err)
{
	bool ours;

	pf__mutex_lock(&conn->lock);
	ours = pf__req_take(conn, req);
	if (ours && req->flags & REQ_PINNED) { /* RESEND is sending it: its end waits for that */
		pf__req_fail(req, err);
		pf__req_complete(conn, req, NULL);
		ours = false;
	}
	pf__mutex_unlock(&conn->lock);
	return ours;
}

/* Under the lock: are there channels left beside this one? */
static bool others_live(struct pf__conn *conn, const struct pf__channel *gone)
{
	for (unsigned i = 0; i < conn->nchannels; i++)
		if (conn->channels[i] != gone && !conn->channels[i]->dead)
			return true;
	return false;
}

/*
 * The peer does not take messages any more. Read what it said last, unless somebody does so, until
 * its end is found, and known as the connection's if it was the last channel: requests that nobody
 * waits for depend on it, and who stops next should be told. True when other channels are left.
 */
static bool channel_gone(struct pf__conn *conn, struct pf__channel *gone)
{
	static const struct timespec some = {.tv_nsec = 50 * PF_NSEC_PER_USEC};
	uint64_t until = pf__now() + GONE_NS;
	bool others;

	for (;;) {
		pf__channel_drain(gone, false);
		pf__mutex_lock(&conn->lock);
		others = others_live(conn, gone);
		pf__mutex_unlock(&conn->lock);
		if ((gone->dead && (others || conn->dead)) || pf__now() >= until)
			return others;
		nanosleep(&some, NULL); /* another thread is at it */
	}
}

static int submit(struct pf__conn *conn, struct pf__req *req, uint64_t deadline)
{
	int err = pf__req_prepare(conn, req);

	if (deadline < req->deadline)
		req->deadline = deadline;
	if (err)
		return err;
	for (int tries = 0; tries < PF__CHANNELS_MAX; tries++) {
		err = admit(conn, req);
		if (err)
			return err;
		err = pf__req_send(req->channel, req);
		if (err == -EAGAIN)
			err = send_when_writable(conn, req);
		if (!err || !withdraw(conn, req, err))
			return 0;
		if (err != -ENOTCONN || !channel_gone(conn, req->channel))
			return err;
	}
	return err;
}

/* Without a service thread the callers see to what is due. */
static void maintain_instead(struct pf__conn *conn)
{
	if (!conn->svc.started && atomic_load_explicit(&conn->ready, memory_order_relaxed))
		pf__maintain(conn, pf__now_coarse());
}

int pf__request_until(struct pf__conn *conn, struct pf__req *req, uint64_t deadline)
{
	int err, cancel;

	pf__assert_no_locks("pf__request");
	maintain_instead(conn);
	/* A thread that were cancelled in here would leave its request on a stack that is gone. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	err = submit(conn, req, deadline);
	if (err) {
		pf__req_fail(req, err);
	} else {
		pf__req_wait(conn, req);
		pf__req_finish(conn, req);
	}
	pthread_setcancelstate(cancel, NULL);
	return req->error;
}

int pf__request(struct pf__conn *conn, struct pf__req *req)
{
	return pf__request_until(conn, req, PF_TIME_FOREVER);
}
