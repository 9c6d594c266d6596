/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything at once: threads that ask, background requests, forgets, interrupts, notifications,
 * RESEND; over a socket, over a full one, in process with answers from several threads. Then the
 * server dies, or the connection is aborted, at a random moment. Each request ends exactly once.
 * SEED=n in the environment repeats a run.
 */
#include "base/alloc.h"
#include "tests/conn/peer.h"
#include "tests/unit.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define THREADS    4
#define BACKGROUND 200

static unsigned seed;

struct chaos {
	struct pf__conn *conn;
	_Atomic bool stop;
	_Atomic unsigned started, ended, wrong;
	int group;
};

static bool result_ok(int err)
{
	return !err || err == -ENOTCONN || err == -ECONNABORTED || err == -EINTR;
}

static void *ask_on(void *arg)
{
	struct chaos *c = arg;

	for (uint64_t i = 1; !c->stop; i++) {
		struct fuse_getattr_in in;
		struct fuse_attr_out out;
		struct pf__req req = getattr_req(i, &in, &out);
		int err;

		req.group = &c->group;
		err = pf__request(c->conn, &req);
		if (!result_ok(err) || (!err && out.attr.ino != i))
			atomic_fetch_add(&c->wrong, 1);
		if (err == -ENOTCONN)
			break;
	}
	return NULL;
}

struct bg {
	struct pf__req req;
	struct fuse_write_in in;
	struct fuse_write_out out;
	struct chaos *c;
	_Atomic int times;
};

static void bg_done(struct pf__req *req)
{
	struct bg *b = req->done_ctx;

	if (!result_ok(req->error))
		atomic_fetch_add(&b->c->wrong, 1);
	atomic_fetch_add(&b->times, 1);
	atomic_fetch_add(&b->c->ended, 1);
}

static char zeros[64 << 10];

static void submit(struct bg *b, struct chaos *c, uint32_t size)
{
	memset(b, 0, sizeof(*b));
	b->c = c;
	b->in.size = size;
	b->req.opcode = FUSE_WRITE;
	b->req.nodeid = 1;
	b->req.expect_size = size;
	b->req.done = bg_done;
	b->req.done_ctx = b;
	pf__req_in(&b->req, &b->in, sizeof(b->in));
	pf__req_in(&b->req, zeros, size);
	pf__req_out(&b->req, &b->out, sizeof(b->out));
	atomic_fetch_add(&c->started, 1);
	pf__request_background(c->conn, &b->req);
}

static void *disturb(void *arg)
{
	struct chaos *c = arg;
	struct bg *b = calloc(BACKGROUND, sizeof(*b));
	unsigned s = seed + 1;

	for (int i = 0; i < BACKGROUND; i++) {
		submit(&b[i], c, rand_r(&s) % sizeof(zeros));
		pf__conn_forget(c->conn, i, 1);
		if (rand_r(&s) % 8 == 0)
			pf__conn_interrupt(c->conn, &c->group);
		if (rand_r(&s) % 16 == 0)
			pf__conn_flush_forgets(c->conn);
		if (rand_r(&s) % 4 == 0)
			poll(NULL, 0, 1);
	}
	wait_for(&c->ended, c->started);
	for (int i = 0; i < BACKGROUND; i++)
		if (b[i].times != 1)
			atomic_fetch_add(&c->wrong, 1);
	free(b);
	return NULL;
}

static bool play(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	struct fuse_write_out out = {0};
	unsigned *s = p->ctx;

	if (rand_r(s) % 50 == 0)
		peer_notify(p, FUSE_NOTIFY_RESEND, NULL, 0);
	if (rand_r(s) % 20 == 0)
		peer_notify(p, FUSE_NOTIFY_INC_EPOCH, NULL, 0);
	if (h->opcode == FUSE_INTERRUPT && rand_r(s) % 4 == 0)
		peer_reply(p, h->unique, -EAGAIN, NULL, 0);
	if (h->opcode != FUSE_WRITE)
		return false;
	out.size = ((const struct fuse_write_in *)arg)->size;
	peer_reply(p, h->unique, 0, &out, sizeof(out));
	return true;
}

static void run(struct chaos *c, int round, void (*kill)(void *), void *ctx)
{
	pthread_t t[THREADS + 1];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, ask_on, c), 0);
	assert_int_equal(pthread_create(&t[THREADS], NULL, disturb, c), 0);
	if (round % 3) {
		poll(NULL, 0, 1 + rand_r(&seed) % 30);
		if (round % 3 == 1)
			kill(ctx);
		else
			pf__conn_abort(c->conn, -ECONNABORTED);
	}
	pthread_join(t[THREADS], NULL);
	c->stop = true;
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(c->wrong, 0);
}

static void hang_up(void *ctx)
{
	peer_hang_up(ctx);
}

static void over_socket(int round, bool service)
{
	int64_t live = pf__alloc_live();
	unsigned server_seed = seed;
	struct chaos c = {0};
	struct peer p;

	peer_init(&p, play, &server_seed);
	p.config.service_thread = service;
	peer_open(&p);
	c.conn = p.conn;
	run(&c, round, hang_up, &p);
	peer_end(&p);
	assert_int_equal(pf__alloc_live(), live);
}

static void test_socket(void **state)
{
	for (int i = 0; i < 12; i++)
		over_socket(i, true);
}

static void test_socket_without_service(void **state)
{
	for (int i = 0; i < 3; i++)
		over_socket(i, false);
}

/* ---- in process: some answers at once, others by two threads of the server */

struct job {
	struct job *next;
	size_t len;
	char msg[];
};

struct server {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct job *jobs;
	bool stop;
	struct pf_inproc *channel;
	pthread_t threads[2];
	_Atomic unsigned n, gone;
};

static void answer(struct pf_inproc *ch, const void *msg)
{
	const struct fuse_in_header *h = msg;
	struct fuse_init_out init = {.major = 7, .minor = 45, .max_write = 128 << 10};
	struct fuse_write_out w = {0};
	struct fuse_attr_out attr;
	struct fuse_out_header o = {.unique = h->unique};
	struct iovec iov[2] = {{&o, sizeof(o)}, {NULL, 0}};

	switch (h->opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	case FUSE_INIT:
		iov[1] = (struct iovec){&init, sizeof(init)};
		break;
	case FUSE_GETATTR:
		peer_attr(&attr, h->nodeid);
		iov[1] = (struct iovec){&attr, sizeof(attr)};
		break;
	case FUSE_WRITE:
		w.size = ((const struct fuse_write_in *)(h + 1))->size;
		iov[1] = (struct iovec){&w, sizeof(w)};
		break;
	}
	o.len = sizeof(o) + iov[1].iov_len;
	(void)pf_inproc_reply(ch, iov, 2);
}

static void on_request(void *ctx, struct pf_inproc *ch, const void *msg, size_t len)
{
	struct server *s = ctx;
	struct job *j;

	if (atomic_fetch_add(&s->n, 1) % 3 == 0) {
		answer(ch, msg);
		return;
	}
	j = malloc(sizeof(*j) + len);
	j->len = len;
	memcpy(j->msg, msg, len);
	pthread_mutex_lock(&s->lock);
	j->next = s->jobs; /* newest first: any order will do */
	s->jobs = j;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

static void on_disconnected(void *ctx)
{
	atomic_fetch_add(&((struct server *)ctx)->gone, 1);
}

static void *serve(void *arg)
{
	struct server *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stop || s->jobs) {
		struct job *j = s->jobs;

		if (!j) {
			pthread_cond_wait(&s->cond, &s->lock);
			continue;
		}
		s->jobs = j->next;
		pthread_mutex_unlock(&s->lock);
		answer(s->channel, j->msg);
		free(j);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void server_stop(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
	for (int i = 0; i < 2; i++)
		pthread_join(s->threads[i], NULL);
}

static void no_kill(void *ctx)
{
}

static void in_process(int round, bool service)
{
	static const struct pf_inproc_ops ops = {on_request, on_disconnected};
	struct server s = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};
	int64_t live = pf__alloc_live();
	struct pf__transport *t;
	struct chaos c = {0};
	struct peer p;

	peer_init(&p, NULL, NULL);
	p.config.service_thread = service;
	assert_err(pf__transport_inproc(&t, &ops, &s, 100, &s.channel), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&s.threads[i], NULL, serve, &s), 0);
	assert_err(pf__conn_open(&c.conn, t, &p.config), 0);
	run(&c, round == 1 ? 0 : round, no_kill, NULL);
	pf__conn_close(c.conn, 2000);
	assert_int_equal(s.gone, 1);
	server_stop(&s); /* late answers find nobody */
	pf_inproc_close(s.channel);
	assert_int_equal(pf__alloc_live(), live);
}

static void test_in_process(void **state)
{
	for (int i = 0; i < 6; i++)
		in_process(i % 3, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_socket),
	    cmocka_unit_test(test_socket_without_service),
	    cmocka_unit_test(test_in_process),
	};
	const char *s = getenv("SEED");

	seed = s ? strtoul(s, NULL, 0) : pf__now();
	fprintf(stderr, "SEED=%u\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
