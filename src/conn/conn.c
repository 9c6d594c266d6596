/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening and closing a connection, and its channels. */
#include "conn/conn.h"
#include "base/alloc.h"
#include "base/sys.h"
#include "conn/internal.h"
#include <errno.h>

static void channel_free(struct pf__channel *ch)
{
	ch->t->ops->free(ch->t);
	if (ch->efd >= 0)
		pf__sys.close(ch->efd);
	pf__free(ch->whole);
	pf__free(ch);
}

/* Takes over t, also on failure. */
static int channel_new(struct pf__channel **out, struct pf__conn *conn, struct pf__transport *t)
{
	struct pf__channel *ch = pf__calloc(1, sizeof(*ch));

	if (ch)
		ch->whole = pf__malloc(sizeof(struct fuse_out_header) + t->max_recv);
	if (!ch || !ch->whole) {
		pf__free(ch);
		t->ops->shutdown(t);
		t->ops->free(t);
		return -ENOMEM;
	}
	ch->scratch = ch->whole + sizeof(struct fuse_out_header);
	ch->conn = conn;
	ch->t = t;
	ch->efd = -1;
	pf__list_init(&ch->waiters);
	*out = ch;
	return 0;
}

int pf__conn_add_channel(struct pf__conn *conn, struct pf__transport *t)
{
	struct pf__channel *ch;
	int err = channel_new(&ch, conn, t);

	if (err)
		return err;
	pf__mutex_lock(&conn->lock);
	if (conn->dead)
		err = -ENOTCONN;
	else if (conn->nchannels == PF__CHANNELS_MAX)
		err = -ENOSPC;
	else
		conn->channels[conn->nchannels++] = ch;
	if (!err)
		pf__service_kick(conn); /* it has one more to poll */
	pf__mutex_unlock(&conn->lock);
	if (err) {
		t->ops->shutdown(t);
		channel_free(ch);
	}
	return err;
}

static struct pf__conn *conn_new(const struct pf__conn_config *config)
{
	struct pf__conn *conn = pf__calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->config = *config;
	pf__list_init(&conn->queue);
	pf__list_init(&conn->sleepers);
	pf__list_init(&conn->asleep);
	conn->intr_at = PF_TIME_FOREVER;
	conn->svc.efd = conn->svc.epfd = -1;
	if (pf__mutex_init(&conn->lock, PF_RANK_CONN)) {
		pf__free(conn);
		return NULL;
	}
	if (pf__forgets_init(conn)) {
		pf__mutex_destroy(&conn->lock);
		pf__free(conn);
		return NULL;
	}
	return conn;
}

static void conn_free(struct pf__conn *conn)
{
	pf__abort(conn, -ECONNABORTED, NULL, 0);
	pf__service_stop(conn);
	for (unsigned i = 0; i < conn->nchannels; i++)
		channel_free(conn->channels[i]);
	pf__forgets_free(conn);
	pf__mutex_destroy(&conn->lock);
	pf__free(conn);
}

int pf__conn_open(struct pf__conn **out, struct pf__transport *t,
		  const struct pf__conn_config *config)
{
	struct pf__conn *conn = conn_new(config);
	int err;

	if (!conn) {
		t->ops->shutdown(t);
		t->ops->free(t);
		return -ENOMEM;
	}
	err = pf__conn_add_channel(conn, t);
	if (!err)
		err = pf__service_start(conn);
	if (!err)
		err = pf__init(conn);
	if (err) {
		conn_free(conn);
		return err;
	}
	*out = conn;
	return 0;
}

/* ---- closing */

/* Those too whose done() is still running: it may give back lookups. */
static bool background_left(struct pf__conn *conn)
{
	uint32_t begun;

	pf__mutex_lock(&conn->lock);
	begun = (uint32_t)conn->stats.background;
	pf__mutex_unlock(&conn->lock);
	return begun != atomic_load(&conn->bg_ended);
}

static void wait_each_background(struct pf__conn *conn, uint64_t deadline)
{
	uint32_t ended;

	for (;;) {
		ended = atomic_load(&conn->bg_ended);
		if (!background_left(conn) || pf__now() >= deadline)
			return;
		(void)pf__conn_sleep(conn, &conn->bg_ended, ended, deadline);
	}
}

/* Until the background requests have ended, the lazy ones too, or the deadline. */
static void wait_background(struct pf__conn *conn, uint64_t deadline)
{
	atomic_fetch_add(&conn->bg_waiters, 1);
	wait_each_background(conn, deadline);
	atomic_fetch_sub(&conn->bg_waiters, 1);
}

bool pf__conn_drain(struct pf__conn *conn, unsigned timeout_ms)
{
	wait_background(conn, pf__now() + timeout_ms * PF_NSEC_PER_MSEC);
	return !background_left(conn);
}

/* All of them, also those that another thread is sending: DESTROY comes after. */
static void flush_all_forgets(struct pf__conn *conn, uint64_t deadline)
{
	while (pf__forgets_left(conn) && !conn->dead && pf__now() < deadline) {
		pf__conn_flush_forgets(conn);
		if (!pf__forgets_left(conn))
			return;
		/* No room: the server may be waiting for us to read. */
		pf__channel_drain(conn->channels[0], false);
		poll(NULL, 0, 1);
	}
}

void pf__conn_close(struct pf__conn *conn, unsigned timeout_ms)
{
	uint64_t deadline = pf__now() + timeout_ms * PF_NSEC_PER_MSEC;

	atomic_store(&conn->closing, true);
	wait_background(conn, deadline);
	flush_all_forgets(conn, deadline);
	pf__destroy(conn, deadline);
	if (conn->config.ops && conn->config.ops->hanging_up)
		conn->config.ops->hanging_up(conn->config.ctx);
	conn_free(conn);
}

/* ---- small things */

const struct pf__init_got *pf__conn_got(const struct pf__conn *conn)
{
	return &conn->got;
}

bool pf__conn_nosys(const struct pf__conn *conn, uint32_t opcode)
{
	return opcode < 64 &&
	       atomic_load_explicit(&conn->nosys, memory_order_relaxed) >> opcode & 1;
}

void pf__conn_set_nosys(struct pf__conn *conn, uint32_t opcode)
{
	if (opcode < 64)
		atomic_fetch_or_explicit(&conn->nosys, 1ull << opcode, memory_order_relaxed);
}

static void count_waiting(struct pf__req *req, void *ctx)
{
	*(uint64_t *)ctx += !(req->flags & REQ_BACKGROUND);
}

void pf__conn_stats(struct pf__conn *conn, struct pf__conn_stats *out)
{
	pf__mutex_lock(&conn->lock);
	*out = conn->stats;
	out->waiting = 0;
	pf__req_each(conn, count_waiting, &out->waiting);
	out->num_background = conn->bg_total;
	pf__mutex_unlock(&conn->lock);
	out->forgets = conn->forget_count;
	out->forget_messages = conn->forget_messages;
	out->notifications = conn->notifications;
	out->bad_replies = conn->bad_replies;
	out->unknown_replies = conn->unknown_replies;
	out->read_by_leader += conn->by_leader;
	out->read_by_service = conn->by_service;
	out->spin_hits = conn->spin_hits;
	out->spin_misses = conn->spin_misses;
	out->max_background = conn->max_background;
	out->congestion_threshold = conn->got.congestion_threshold;
}
