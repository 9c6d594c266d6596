/* SPDX-License-Identifier: BSD-2-Clause */
/* Many threads, answers in random order: each request completes once, with its own answer. */
#include "tests/conn/peer.h"
#include "tests/unit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define THREADS  8
#define REQUESTS 1500
#define HELD     THREADS

/* The server keeps requests back and answers them in an order of its own. Every request is kept at
 * most until the number of threads that still run is there. */
struct shuffler {
	unsigned seed;
	struct fuse_in_header held[HELD];
	struct fuse_read_in read[HELD];
	int n;
	_Atomic int running;
};

static void answer_one(struct peer *p, struct shuffler *s)
{
	int i = rand_r(&s->seed) % s->n;

	peer_default(p, &s->held[i], &s->read[i]);
	s->held[i] = s->held[s->n - 1];
	s->read[i] = s->read[s->n - 1];
	s->n--;
}

static bool shuffle(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	struct shuffler *s = p->ctx;

	if (h->opcode != FUSE_GETATTR && h->opcode != FUSE_READ)
		return false;
	s->held[s->n] = *h;
	if (h->opcode == FUSE_READ)
		memcpy(&s->read[s->n], arg, sizeof(s->read[0]));
	s->n++;
	/* Some wait only while others surely come: those whose threads do not wait yet. */
	while (s->n && (s->n >= atomic_load(&s->running) || rand_r(&s->seed) % 3 == 0))
		answer_one(p, s);
	return true;
}

struct worker {
	pthread_t thread;
	struct peer *p;
	int id, failures;
};

static int ask_read(struct pf__conn *conn, uint64_t nodeid, uint32_t size)
{
	struct fuse_read_in in = {.size = size};
	struct pf__req req = {.opcode = FUSE_READ, .nodeid = nodeid, .expect_size = size};
	char *buf = malloc(size);
	int err;

	pf__req_in(&req, &in, sizeof(in));
	pf__req_out(&req, buf, size / 3);
	pf__req_out(&req, buf + size / 3, size - size / 3);
	err = pf__request(conn, &req);
	if (!err && req.out_len != size)
		err = -EBADMSG;
	for (uint32_t i = 0; !err && i < size; i++)
		if (buf[i] != (char)(nodeid + i))
			err = -EBADMSG;
	free(buf);
	return err;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct shuffler *s = w->p->ctx;

	atomic_fetch_add(&s->running, 1);
	for (int i = 0; i < REQUESTS; i++) {
		uint64_t nodeid = (uint64_t)w->id * REQUESTS + i + 1;

		if (i % 4 ? ask_getattr(w->p->conn, nodeid)
			  : ask_read(w->p->conn, nodeid, 100 + i * 7))
			w->failures++;
		/* The last ones to run must not be kept waiting for those that have ended. */
		if (i == REQUESTS - 30)
			atomic_fetch_sub(&s->running, 1);
	}
	return NULL;
}

static void test_random_order(void **state)
{
	struct shuffler s = {.seed = 42};
	struct worker w[THREADS] = {0};
	struct pf__conn_stats st;
	struct peer p;

	peer_init(&p, shuffle, &s);
	peer_open(&p);
	for (int i = 0; i < THREADS; i++) {
		w[i].p = &p;
		w[i].id = i;
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		assert_int_equal(w[i].failures, 0);
	}
	pf__conn_stats(p.conn, &st);
	assert_int_equal(st.requests, 1 + THREADS * REQUESTS);
	assert_int_equal(st.replies, 1 + THREADS * REQUESTS);
	assert_int_equal(st.waiting, 0);
	assert_int_equal(st.unknown_replies + st.bad_replies, 0);
	peer_end(&p);
}

/* ---- the leader's own answer comes first: another must take over */

static void *ask_one(void *arg)
{
	struct worker *w = arg;

	w->failures = ask_getattr(w->p->conn, w->id);
	return NULL;
}

static void start_asking(struct worker *w, struct peer *p, struct holder *h, int n)
{
	for (int i = 0; i < n; i++) {
		w[i] = (struct worker){.p = p, .id = i + 1};
		assert_int_equal(pthread_create(&w[i].thread, NULL, ask_one, &w[i]), 0);
		wait_for(&h->n, i + 1);
	}
}

static void test_leadership_passes_on(void **state)
{
	struct holder h = {0};
	struct worker w[4];
	struct peer p;

	peer_init(&p, hold, &h);
	peer_open(&p);
	start_asking(w, &p, &h, 4);
	for (int i = 0; i < 4; i++) { /* one by one, in the order in which they came */
		peer_default(&p, &h.held[i], NULL);
		pthread_join(w[i].thread, NULL);
		assert_int_equal(w[i].failures, 0);
	}
	peer_end(&p);
}

static void test_abort_ends_all(void **state)
{
	struct holder h = {0};
	struct worker w[4];
	struct pf__conn_stats st;
	struct peer p;

	peer_init(&p, hold, &h);
	peer_open(&p);
	start_asking(w, &p, &h, 4);
	pf__conn_abort(p.conn, -ECONNABORTED);
	pf__conn_abort(p.conn, -ECONNABORTED);
	for (int i = 0; i < 4; i++) {
		pthread_join(w[i].thread, NULL);
		assert_err(w[i].failures, -ECONNABORTED);
	}
	assert_err(ask_getattr(p.conn, 1), -ENOTCONN);
	pf__conn_stats(p.conn, &st);
	assert_int_equal(st.aborted, 4);
	peer_end(&p);
}

static void count_dead(void *ctx)
{
	struct holder *h = ((struct peer *)ctx)->ctx;

	atomic_fetch_add(&h->dead, 1);
}

static void test_death_ends_all(void **state)
{
	struct holder h = {0};
	struct worker w[4];
	struct peer p;

	peer_init(&p, hold, &h);
	p.ops.dead = count_dead;
	peer_open(&p);
	start_asking(w, &p, &h, 4);
	peer_hang_up(&p);
	for (int i = 0; i < 4; i++) {
		pthread_join(w[i].thread, NULL);
		assert_err(w[i].failures, -ENOTCONN);
	}
	wait_for(&h.dead, 1);
	peer_end(&p);
	assert_int_equal(h.dead, 1);
}

static void test_deadline_ends_all(void **state)
{
	struct holder h = {0};
	struct worker w[4];
	struct peer p;
	int timeouts = 0;

	peer_init(&p, hold, &h);
	p.config.request_timeout_ms = 600000;
	peer_open(&p);
	start_asking(w, &p, &h, 4);
	pf__clock_advance(601 * PF_NSEC_PER_SEC);
	for (int i = 0; i < 4; i++) {
		pthread_join(w[i].thread, NULL);
		assert_true(w[i].failures == -ETIMEDOUT || w[i].failures == -ECONNABORTED);
		timeouts += w[i].failures == -ETIMEDOUT;
	}
	assert_int_equal(timeouts, 1);
	peer_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random_order),      cmocka_unit_test(test_leadership_passes_on),
	    cmocka_unit_test(test_abort_ends_all),    cmocka_unit_test(test_death_ends_all),
	    cmocka_unit_test(test_deadline_ends_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
