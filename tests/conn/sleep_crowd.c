// SPDX-License-Identifier: BSD-2-Clause
/* Sleepers and callers by the dozen, over several channels, and in process. */
#include "tests/conn/sleeping.h"
#include <errno.h>

#define SLEEPERS 5
#define CALLERS  3
#define ROUNDS   400
#define AT_ONCE  4

struct crowd {
	struct pf__conn *conn;
	_Atomic bool stop;
	_Atomic unsigned ended, wrong, asked;
	bool mortal;
};

static bool fine(const struct crowd *c, int err)
{
	return !err || (c->mortal && (err == -ENOTCONN || err == -ECONNABORTED));
}

static void *sleep_often(void *arg)
{
	struct crowd *c = arg;
	struct bg b[AT_ONCE];

	for (int i = 0; i < ROUNDS && !c->stop; i++) {
		for (int k = 0; k < AT_ONCE; k++)
			submit(c->conn, &b[k], 1000 + i + k, k & 1 ? PF_REQ_LAZY : 0, NULL);
		for (int k = 0; k < AT_ONCE; k++)
			if (!fine(c, wait_one(c->conn, &b[k])))
				atomic_fetch_add(&c->wrong, 1);
		atomic_fetch_add(&c->ended, AT_ONCE);
	}
	return NULL;
}

static void *ask_often(void *arg)
{
	struct crowd *c = arg;

	for (int i = 0; !c->stop; i++) {
		if (!fine(c, ask_getattr(c->conn, 1000 + i)))
			atomic_fetch_add(&c->wrong, 1);
		atomic_fetch_add(&c->asked, 1);
		if (c->mortal && pf__conn_dead(c->conn))
			break;
	}
	return NULL;
}

static void *ask_once(void *conn)
{
	return (void *)(intptr_t)ask_getattr(conn, 1);
}

/* A sleeper that reads for others all the time takes a channel as well that is left to nobody. */
static void channel_left(bool service)
{
	struct crowd c = {0};
	struct peer p, q;
	struct sleeper s;
	struct holder h;
	struct bg b[2];
	struct {
		pthread_t x, y;
	} t;

	open_holding(&p, &h, service);
	add_channel(&p, &q);
	c.conn = p.conn;
	assert_int_equal(pthread_create(&t.x, NULL, ask_once, p.conn), 0);
	wait_for(&h.n, 1); /* through p, and its thread reads there */
	submit(p.conn, &b[0], 2, 0, NULL);
	wait_for(&h.n, 2); /* q */
	submit(p.conn, &b[1], 3, 0, NULL);
	wait_for(&h.n, 3); /* p */
	peer_default(&q, &h.held[1], NULL);
	assert_err(wait_one(p.conn, &b[0]), 0);
	start_sleeping(&s, &p, &b[1].own, 0);
	assert_int_equal(pthread_create(&t.y, NULL, ask_often, &c), 0);
	wait_for(&c.asked, 100); /* through q, read by the sleeper */
	peer_default(&p, &h.held[0], NULL);
	pthread_join(t.x, NULL);
	peer_default(&p, &h.held[2], NULL);
	for (int i = 0; i < 30000 && !s.ended; i++)
		poll(NULL, 0, 1);
	assert_true(s.ended);
	assert_err(s.result, 0);
	join(&s);
	c.stop = true;
	pthread_join(t.y, NULL);
	pf__conn_abort(p.conn, -ECONNABORTED);
	peer_end(&q);
	peer_end(&p);
}

static void test_channel_left(void **state)
{
	channel_left(true);
	channel_left(false);
}

/* kill_ms: the connection is aborted then. */
static void run_crowd(struct crowd *c, struct pf__conn *conn, int kill_ms)
{
	pthread_t t[SLEEPERS + CALLERS];

	*c = (struct crowd){.conn = conn, .mortal = kill_ms};
	for (int i = 0; i < SLEEPERS + CALLERS; i++)
		assert_int_equal(
		    pthread_create(&t[i], NULL, i < SLEEPERS ? sleep_often : ask_often, c), 0);
	if (kill_ms) {
		poll(NULL, 0, kill_ms);
		pf__conn_abort(conn, -ECONNABORTED);
	}
	for (int i = 0; i < SLEEPERS; i++)
		pthread_join(t[i], NULL);
	c->stop = true;
	for (int i = 0; i < CALLERS; i++)
		pthread_join(t[SLEEPERS + i], NULL);
	assert_int_equal(c->wrong, 0);
	if (!kill_ms)
		assert_int_equal(c->ended, SLEEPERS * ROUNDS * AT_ONCE);
}

static void crowd(bool service, int channels, int kill_ms)
{
	struct pf__conn_stats st;
	struct peer p, q[2];
	int patience = 30000;
	struct crowd c;

	peer_init(&p, NULL, NULL);
	p.config.service_thread = service;
	peer_open(&p);
	for (int i = 0; i < channels - 1; i++)
		add_channel(&p, &q[i]);
	run_crowd(&c, p.conn, kill_ms);
	do /* who reads for others counts it when they know already */
		pf__conn_stats(p.conn, &st);
	while (!kill_ms && st.read_by_leader + st.read_by_service < st.replies && patience-- &&
	       poll(NULL, 0, 1) == 0);
	assert_int_equal(st.waiting + st.num_background, 0);
	if (!kill_ms) { /* else an answer may have come too late */
		assert_int_equal(st.bad_replies + st.unknown_replies, 0);
		assert_int_equal(st.replies, 1 + c.asked + SLEEPERS * ROUNDS * AT_ONCE);
		assert_int_equal(st.read_by_leader + st.read_by_service, st.replies);
	}
	pf__conn_abort(p.conn, -ECONNABORTED);
	for (int i = 0; i < channels - 1; i++)
		peer_end(&q[i]);
	peer_end(&p);
}

static void test_crowd(void **state)
{
	crowd(true, 1, 0);
	crowd(false, 1, 0);
	crowd(true, 3, 0);
	crowd(false, 3, 0);
}

static void test_crowd_aborted(void **state)
{
	for (int i = 0; i < 12; i++)
		crowd(i & 1, 1 + i % 3, 1 + i * 3);
}

/* ---- in process: the answer is there before the request has been sent */

static void in_process(bool service)
{
	static const struct pf_inproc_ops ops = {peer_inproc_request, NULL};
	struct pf_inproc *channel;
	struct pf__transport *t;
	struct pf__conn *conn;
	struct crowd c;
	struct peer p;
	struct bg b;

	peer_init(&p, NULL, NULL);
	p.config.service_thread = service;
	assert_err(pf__transport_inproc(&t, &ops, NULL, 100, &channel), 0);
	assert_err(pf__conn_open(&conn, t, &p.config), 0);
	for (int i = 1; i <= 1000; i++) {
		submit(conn, &b, i, i & 1 ? PF_REQ_LAZY : 0, NULL);
		assert_err(wait_one(conn, &b), 0);
	}
	run_crowd(&c, conn, 0);
	run_crowd(&c, conn, 3);
	pf__conn_close(conn, 2000);
	pf_inproc_close(channel);
}

static void test_in_process(void **state)
{
	in_process(true);
	in_process(false);
}
int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_channel_left),
	    cmocka_unit_test(test_crowd),
	    cmocka_unit_test(test_crowd_aborted),
	    cmocka_unit_test(test_in_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
