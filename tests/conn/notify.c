/* SPDX-License-Identifier: BSD-2-Clause */
/* Notifications, RESEND, the answer to RETRIEVE; several channels; the caller as service thread. */
#include "tests/conn/peer.h"
#include "tests/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct log {
	_Atomic unsigned n, ticks;
	struct pf__notify last;
	char name[32], data[64];
	struct peer *p;
	struct fuse_in_header held;
	_Atomic unsigned asked, resent, retrieved;
	char reply[64];
};

static int on_notify(void *ctx, const struct pf__notify *n)
{
	struct log *l = ((struct peer *)ctx)->ctx;

	l->last = *n;
	if (n->name)
		memcpy(l->name, n->name, n->namelen + 1);
	if (n->data && n->len <= (int64_t)sizeof(l->data))
		memcpy(l->data, n->data, n->len);
	if (n->code == FUSE_NOTIFY_RETRIEVE)
		pf__conn_notify_reply(l->p->conn, n, &(struct iovec){(char *)"hello", 5}, 1);
	atomic_fetch_add(&l->n, 1);
	return 0;
}

static void notify_entry(struct peer *p, uint64_t parent, const char *name)
{
	struct {
		struct fuse_notify_inval_entry_out o;
		char name[32];
	} m = {{.parent = parent, .namelen = strlen(name)}, ""};

	strcpy(m.name, name);
	peer_notify(p, FUSE_NOTIFY_INVAL_ENTRY, &m, sizeof(m.o) + strlen(name) + 1);
}

/* Two notifications come before each answer, and land where the answer would have. */
static bool noisy(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	if (h->opcode != FUSE_GETATTR)
		return false;
	notify_entry(p, h->nodeid, "foo");
	peer_notify(p, FUSE_NOTIFY_INC_EPOCH, NULL, 0);
	return false;
}

static void test_between_answers(void **state)
{
	struct log l = {0};
	struct peer p;

	peer_init(&p, noisy, &l);
	p.ops.notify = on_notify;
	peer_open(&p);
	for (unsigned i = 1; i <= 50; i++)
		assert_err(ask_getattr(p.conn, i), 0);
	wait_for(&l.n, 100);
	assert_string_equal(l.name, "foo");
	peer_end(&p);
}

static void test_while_idle(void **state)
{
	struct fuse_notify_inval_inode_out o = {.ino = 7, .off = -1};
	struct pf__conn_stats st;
	struct log l = {0};
	struct peer p;

	peer_init(&p, NULL, &l);
	p.ops.notify = on_notify;
	peer_open(&p);
	peer_notify(&p, FUSE_NOTIFY_INVAL_INODE, &o, sizeof(o));
	wait_for(&l.n, 1);
	assert_int_equal(l.last.nodeid, 7);
	peer_notify(&p, FUSE_NOTIFY_INVAL_INODE, &o, sizeof(o) - 1);
	peer_notify(&p, 99, &o, sizeof(o));
	peer_notify(&p, 0, &o, sizeof(o));
	peer_notify(&p, FUSE_NOTIFY_INVAL_INODE, &o, sizeof(o));
	wait_for(&l.n, 2);
	pf__conn_stats(p.conn, &st);
	assert_int_equal(st.notifications, 2);
	assert_int_equal(st.bad_replies, 3);
	peer_end(&p);
}

static bool early(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	if (h->opcode == FUSE_INIT)
		notify_entry(p, 1, "x");
	return false;
}

static void test_before_init(void **state)
{
	struct log l = {0};
	struct peer p;

	peer_init(&p, early, &l);
	p.ops.notify = on_notify;
	peer_open(&p);
	assert_err(ask_getattr(p.conn, 1), 0);
	assert_int_equal(l.n, 0);
	peer_end(&p);
}

static bool take_reply(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	struct log *l = p->ctx;
	const struct fuse_notify_retrieve_in *in = arg;

	if (h->opcode != FUSE_NOTIFY_REPLY)
		return false;
	if (h->unique == 77 && h->nodeid == 5 && in->offset == 10 && in->size == 5)
		memcpy(l->reply, in + 1, in->size);
	atomic_fetch_add(&l->retrieved, 1);
	return true;
}

static void test_retrieve(void **state)
{
	struct fuse_notify_retrieve_out o = {
	    .notify_unique = 77, .nodeid = 5, .offset = 10, .size = 100};
	struct log l = {0};
	struct peer p;

	peer_init(&p, take_reply, &l);
	p.ops.notify = on_notify;
	l.p = &p;
	peer_open(&p);
	peer_notify(&p, FUSE_NOTIFY_RETRIEVE, &o, sizeof(o));
	wait_for(&l.retrieved, 1);
	assert_string_equal(l.reply, "hello");
	peer_end(&p);
}

/* ---- RESEND: the first time the request is lost; the old id is no answer any more */
static bool forgetful(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	struct log *l = p->ctx;
	struct fuse_in_header old;

	if (h->opcode != FUSE_GETATTR || h->nodeid != 3)
		return false;
	if (!(h->unique & FUSE_UNIQUE_RESEND)) {
		atomic_fetch_add(&l->asked, 1);
		return true;
	}
	atomic_fetch_add(&l->resent, 1);
	old = *h;
	old.unique &= ~FUSE_UNIQUE_RESEND;
	peer_reply(p, old.unique, -ENOENT, NULL, 0);
	return false;
}

static void *ask_3(void *arg)
{
	struct peer *p = arg;

	return (void *)(intptr_t)ask_getattr(p->conn, 3);
}

static void test_resend(void **state)
{
	struct log l = {0};
	struct pf__conn_stats st;
	struct peer p;
	pthread_t t;
	void *result;

	peer_init(&p, forgetful, &l);
	peer_open(&p);
	pthread_create(&t, NULL, ask_3, &p);
	wait_for(&l.asked, 1);
	peer_notify(&p, FUSE_NOTIFY_RESEND, NULL, 0);
	pthread_join(t, &result);
	assert_null(result);
	assert_int_equal(l.resent, 1);
	pf__conn_stats(p.conn, &st);
	assert_int_equal(st.unknown_replies, 1);
	wait_for(&p.seen[FUSE_GETATTR], 2);
	peer_end(&p);
}

/* ---- several channels */

static void add_channel(struct peer *first, struct peer *other, peer_fn fn, void *ctx)
{
	struct pf__transport *t;

	peer_init(other, fn, ctx);
	peer_start(other);
	assert_err(pf__transport_fd(&t, other->client_fd, 100, 0), 0);
	assert_err(pf__conn_add_channel(first->conn, t), 0);
}

static bool keep(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	struct log *l = p->ctx;

	if (h->opcode != FUSE_GETATTR || h->nodeid != 3)
		return false;
	l->held = *h;
	atomic_fetch_add(&l->asked, 1);
	return true;
}

static void test_one_channel_closes(void **state)
{
	struct log l = {0}, l2 = {0};
	struct peer p, q;
	pthread_t t, u;
	void *a, *b;

	peer_init(&p, keep, &l);
	peer_open(&p);
	add_channel(&p, &q, keep, &l2);
	pthread_create(&t, NULL, ask_3, &p);
	wait_for(&l.asked, 1);
	pthread_create(&u, NULL, ask_3, &p); /* the other channel has fewer in flight */
	wait_for(&l2.asked, 1);
	/* The answer must come the way the request went. */
	peer_default(&q, &l.held, NULL);
	peer_hang_up(&q);
	pthread_join(u, &b);
	assert_int_equal((intptr_t)b, -ECONNABORTED);
	assert_false(pf__conn_dead(p.conn));
	peer_default(&p, &l.held, NULL);
	pthread_join(t, &a);
	assert_int_equal((intptr_t)a, 0);
	for (int i = 10; i < 20; i++)
		assert_err(ask_getattr(p.conn, i), 0);
	peer_hang_up(&p);
	while (!pf__conn_dead(p.conn))
		assert_true(ask_getattr(p.conn, 10) <= 0);
	peer_end(&p);
	peer_end(&q);
}

/* A channel has closed, and nobody has noticed yet: the request goes another way. */
static void test_closed_channel_is_avoided(void **state)
{
	struct log l = {0};
	struct peer p, q;

	peer_init(&p, NULL, &l);
	p.config.service_thread = false;
	peer_open(&p);
	add_channel(&p, &q, NULL, NULL);
	peer_hang_up(&p);
	for (int i = 1; i < 20; i++)
		assert_err(ask_getattr(p.conn, i), 0);
	assert_false(pf__conn_dead(p.conn));
	peer_end(&p);
	peer_end(&q);
}

/* Nobody reads: the first call that finds the server gone ends the background requests too. */
static void ended(struct pf__req *req)
{
	atomic_fetch_add((_Atomic unsigned *)req->done_ctx, 1);
}

static void test_send_finds_the_end(void **state)
{
	struct log l = {0};
	_Atomic unsigned n = 0;
	struct fuse_getattr_in in;
	struct fuse_attr_out out;
	struct pf__req req = getattr_req(3, &in, &out);
	struct peer p;

	peer_init(&p, keep, &l);
	p.config.service_thread = false;
	peer_open(&p);
	req.done = ended;
	req.done_ctx = &n;
	pf__request_background(p.conn, &req);
	wait_for(&l.asked, 1);
	peer_hang_up(&p);
	assert_err(ask_getattr(p.conn, 1), -ENOTCONN);
	assert_int_equal(n, 1);
	assert_err(req.error, -ENOTCONN);
	assert_true(pf__conn_dead(p.conn));
	peer_end(&p);
}

/* ---- without service thread */

static void bg_done(struct pf__req *req)
{
	atomic_fetch_add((_Atomic unsigned *)req->done_ctx, 1);
}

static void on_tick(void *ctx, uint64_t now)
{
	atomic_fetch_add(&((struct log *)((struct peer *)ctx)->ctx)->ticks, 1);
}

static void test_own_event_loop(void **state)
{
	struct log l = {0};
	_Atomic unsigned ended = 0;
	struct fuse_getattr_in in;
	struct fuse_attr_out out;
	struct pf__req req = getattr_req(8, &in, &out);
	struct pollfd fd = {.events = POLLIN};
	struct peer p;

	peer_init(&p, NULL, &l);
	p.config.service_thread = false;
	p.ops.notify = on_notify;
	p.ops.tick = on_tick;
	peer_open(&p);
	assert_err(ask_getattr(p.conn, 1), 0);
	fd.fd = pf__conn_fd(p.conn);
	assert_true(fd.fd >= 0);
	assert_int_equal(poll(&fd, 1, 0), 0);
	req.done = bg_done;
	req.done_ctx = &ended;
	pf__request_background(p.conn, &req);
	pf__conn_forget(p.conn, 5, 1);
	while (!ended) {
		assert_int_equal(poll(&fd, 1, 60000), 1);
		assert_err(pf__conn_service(p.conn), 0);
	}
	notify_entry(&p, 1, "bar");
	assert_int_equal(poll(&fd, 1, 60000), 1);
	assert_err(pf__conn_service(p.conn), 0);
	assert_string_equal(l.name, "bar");
	while (!p.seen[FUSE_FORGET]) {
		poll(&fd, 1, 5);
		assert_err(pf__conn_service(p.conn), 0);
	}
	assert_true(l.ticks > 0);
	peer_hang_up(&p);
	assert_int_equal(poll(&fd, 1, 60000), 1);
	assert_err(pf__conn_service(p.conn), -ENOTCONN);
	peer_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_between_answers),
	    cmocka_unit_test(test_while_idle),
	    cmocka_unit_test(test_before_init),
	    cmocka_unit_test(test_retrieve),
	    cmocka_unit_test(test_resend),
	    cmocka_unit_test(test_one_channel_closes),
	    cmocka_unit_test(test_closed_channel_is_avoided),
	    cmocka_unit_test(test_send_finds_the_end),
	    cmocka_unit_test(test_own_event_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
