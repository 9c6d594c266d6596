/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads that wait for background requests read the answers themselves, hand the reading on, and
 * are woken whatever ends their wait. */
#include "base/sys.h"
#include "tests/conn/sleeping.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS PF_NSEC_PER_MSEC

/* ---- who reads */

static void reads_itself(unsigned marks)
{
	struct pf__conn_stats before, after;
	struct sleeper s;
	struct holder h;
	struct peer p;
	struct bg b;

	open_holding(&p, &h, true);
	pf__conn_stats(p.conn, &before);
	for (int i = 1; i <= 20; i++) {
		submit(p.conn, &b, i, marks, NULL);
		wait_for(&h.n, i);
		start_sleeping(&s, &p, &b.own, 0);
		peer_default(&p, &h.held[i - 1], NULL);
		join(&s);
		assert_err(s.result, 0);
		assert_err(b.req.error, 0);
	}
	pf__conn_stats(p.conn, &after);
	assert_int_equal(after.replies - before.replies, 20);
	assert_int_equal(after.read_by_leader - before.read_by_leader, 20);
	peer_end(&p);
}

static void test_reads_itself(void **state)
{
	reads_itself(0);
	reads_itself(PF_REQ_LAZY);
}

static void test_done_runs_on_the_sleeper(void **state)
{
	struct sleeper s;
	struct holder h;
	struct peer p;
	struct bg b;

	open_holding(&p, &h, true);
	submit(p.conn, &b, 1, 0, NULL);
	wait_for(&h.n, 1);
	start_sleeping(&s, &p, &b.own, 0);
	peer_default(&p, &h.held[0], NULL);
	join(&s);
	assert_err(s.result, 0);
	assert_true(pthread_equal(b.thread, s.thread));
	peer_end(&p);
}

static void *ask_one(void *arg)
{
	struct sleeper *s = arg;

	s->tid = gettid();
	s->result = ask_getattr(s->conn, 500);
	return NULL;
}

/* The service thread may come in between when a call finds nobody asleep yet: seldom, and allowed.
 */
static void likely(bool (*test)(void))
{
	for (int i = 0; i < 10; i++)
		if (test())
			return;
	fail_msg("another thread read each time");
}

/* A leader leaves: the sleeper must read on, not the service thread. */
static bool is_called(void)
{
	struct sleeper lead, s;
	struct holder h;
	struct peer p;
	struct bg b;

	open_holding(&p, &h, true);
	lead = (struct sleeper){.conn = p.conn};
	assert_int_equal(pthread_create(&lead.thread, NULL, ask_one, &lead), 0);
	wait_for(&h.n, 1);
	settle(&lead);
	submit(p.conn, &b, 1, PF_REQ_LAZY, NULL);
	wait_for(&h.n, 2);
	start_sleeping(&s, &p, &b.own, 0);
	peer_default(&p, &h.held[0], NULL);
	join(&lead);
	assert_err(lead.result, 0);
	settle(&s);
	peer_default(&p, &h.held[1], NULL);
	join(&s);
	assert_err(s.result, 0);
	peer_end(&p);
	return pthread_equal(b.thread, s.thread);
}

static void test_is_called(void **state)
{
	likely(is_called);
}

/* A sleeper leaves: a follower leads; then a second sleeper. */
static bool hands_on(void)
{
	struct sleeper ask, s[2];
	struct holder h;
	struct bg b[2];
	struct peer p;

	open_holding(&p, &h, true);
	for (int i = 0; i < 2; i++) {
		submit(p.conn, &b[i], i + 1, 0, NULL);
		wait_for(&h.n, i + 1);
		start_sleeping(&s[i], &p, &b[i].own, 0);
	}
	ask = (struct sleeper){.conn = p.conn};
	assert_int_equal(pthread_create(&ask.thread, NULL, ask_one, &ask), 0);
	wait_for(&h.n, 3);
	settle(&ask);
	peer_default(&p, &h.held[0], NULL);
	join(&s[0]);
	settle(&ask);
	peer_default(&p, &h.held[2], NULL);
	join(&ask);
	assert_err(ask.result, 0);
	settle(&s[1]);
	assert_false(s[1].ended);
	peer_default(&p, &h.held[1], NULL);
	join(&s[1]);
	peer_end(&p);
	return pthread_equal(b[0].thread, s[0].thread) && pthread_equal(b[1].thread, s[1].thread);
}

static void test_hands_on(void **state)
{
	likely(hands_on);
}

static struct pf__sys real;

/* So that nobody ends a wait by looking now and then. */
static int patient_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	return real.poll(fds, n, timeout_ms > 20 ? 20000 : timeout_ms);
}

/* Its word changes elsewhere while it waits for a message: for a call to it, or for done() of a
 * request that never went out. */
static void test_is_poked(void **state)
{
	static char zeros[256 << 10];
	_Atomic uint32_t word = 0;
	struct sleeper s;
	struct holder h;
	struct bg b, big;
	struct peer p;

	real = pf__sys;
	pf__sys.poll = patient_poll;
	open_holding(&p, &h, true);
	submit(p.conn, &b, 1, 0, NULL);
	wait_for(&h.n, 1);
	start_sleeping(&s, &p, &word, 0);
	atomic_store(&word, 1);
	pf__conn_wake(p.conn, &word);
	join(&s);
	assert_err(s.result, 0);
	assert_true(s.took < 10000 * MS);
	start_sleeping(&s, &p, &word, 0);
	big.req = (struct pf__req){.opcode = FUSE_WRITE, .done = bg_done, .done_ctx = &big};
	big.word = &word;
	pf__req_in(&big.req, zeros, sizeof(zeros));
	pf__request_background(p.conn, &big.req);
	join(&s);
	assert_err(big.req.error, -EIO);
	assert_err(s.result, 0);
	assert_true(s.took < 10000 * MS);
	peer_default(&p, &h.held[0], NULL);
	peer_end(&p);
	pf__sys = real;
}

/* Lets go when nothing is under way in the background: who calls then reads for himself. */
static void test_lets_go(void **state)
{
	_Atomic uint32_t word = 0;
	struct pf__conn_stats st;
	struct sleeper s;
	struct holder h;
	struct peer p;
	struct bg b;

	open_holding(&p, &h, true);
	submit(p.conn, &b, 1, 0, NULL);
	wait_for(&h.n, 1);
	start_sleeping(&s, &p, &word, 0);
	peer_default(&p, &h.held[0], NULL);
	for (int i = 0; i < 10000 && !b.own; i++)
		poll(NULL, 0, 1);
	settle(&s);
	for (int i = 0; i < 100; i++)
		assert_err(ask_getattr(p.conn, 1000 + i), 0);
	assert_false(s.ended);
	pf__conn_stats(p.conn, &st);
	assert_int_equal(st.waiting, 0);
	atomic_store(&word, 1);
	pf__conn_wake(p.conn, &word);
	join(&s);
	assert_err(s.result, 0);
	peer_end(&p);
}

/* ---- what ends a wait */

static _Atomic int signals;

static void count_signal(int sig)
{
	atomic_fetch_add(&signals, 1);
}

static void handle_usr1(void)
{
	struct sigaction sa = {.sa_handler = count_signal, .sa_flags = SA_RESTART};

	assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
}

/* The first reads, the second follows; each is interrupted. */
static void interrupted(bool service)
{
	struct sleeper s[2];
	struct holder h;
	struct bg b[2];
	struct peer p;

	handle_usr1();
	open_holding(&p, &h, service);
	for (int i = 0; i < 2; i++) {
		submit(p.conn, &b[i], i + 1, 0, NULL);
		wait_for(&h.n, i + 1);
		start_sleeping(&s[i], &p, &b[i].own, 0);
	}
	for (int i = 0; i < 2; i++) {
		settle(&s[i]);
		/* One that comes just before the sleep is not seen: as with any system call. */
		for (int k = 0; k < 1000 && !s[i].ended; k++) {
			pthread_kill(s[i].thread, SIGUSR1);
			poll(NULL, 0, 10);
		}
		join(&s[i]);
		assert_err(s[i].result, -EINTR);
	}
	for (int i = 0; i < 2; i++)
		peer_default(&p, &h.held[i], NULL);
	for (int i = 0; i < 2; i++)
		assert_err(wait_one(p.conn, &b[i]), 0);
	peer_end(&p);
}

static void test_signal(void **state)
{
	interrupted(true);
	interrupted(false);
}

static void timed_out(bool service)
{
	_Atomic uint32_t word = 0;
	struct sleeper s[3];
	struct holder h;
	struct peer p;
	struct bg b;

	open_holding(&p, &h, service);
	start_sleeping(&s[2], &p, &word, 150 * MS); /* nothing to read */
	join(&s[2]);
	submit(p.conn, &b, 1, 0, NULL);
	wait_for(&h.n, 1);
	start_sleeping(&s[0], &p, &word, 150 * MS);
	start_sleeping(&s[1], &p, &word, 150 * MS);
	for (int i = 0; i < 2; i++)
		join(&s[i]);
	for (int i = 0; i < 3; i++) {
		assert_err(s[i].result, -ETIMEDOUT);
		assert_true(s[i].took >= 150 * MS && s[i].took < 10000 * MS);
	}
	assert_err(pf__conn_sleep(p.conn, &word, 1, 0), -EAGAIN);
	assert_err(pf__conn_sleep(p.conn, &word, 0, 1), -ETIMEDOUT);
	peer_default(&p, &h.held[0], NULL);
	assert_err(wait_one(p.conn, &b), 0);
	peer_end(&p);
}

static void test_deadline(void **state)
{
	timed_out(true);
	timed_out(false);
}

/* Words that are never changed do not keep anybody on a dead connection. */
static void dies(bool service, bool hang_up)
{
	_Atomic uint32_t word = 0;
	struct sleeper s[3];
	struct holder h;
	struct bg b[2];
	struct peer p;

	open_holding(&p, &h, service);
	for (int i = 0; i < 2; i++) {
		submit(p.conn, &b[i], i + 1, 0, NULL);
		wait_for(&h.n, i + 1);
		start_sleeping(&s[i], &p, &b[i].own, 0);
	}
	start_sleeping(&s[2], &p, &word, 0);
	if (hang_up)
		peer_hang_up(&p);
	else
		pf__conn_abort(p.conn, -ECONNABORTED);
	for (int i = 0; i < 3; i++) {
		join(&s[i]);
		assert_err(s[i].result, 0);
	}
	for (int i = 0; i < 2; i++)
		assert_err(wait_one(p.conn, &b[i]), hang_up ? -ENOTCONN : -ECONNABORTED);
	assert_err(pf__conn_sleep(p.conn, &word, 0, PF_TIME_FOREVER), 0);
	peer_end(&p);
}

static void test_death(void **state)
{
	for (int i = 0; i < 4; i++)
		dies(i & 1, i & 2);
}

/* The deadline of the request, not of the sleep. */
static void test_request_deadline(void **state)
{
	for (int service = 0; service < 2; service++) {
		struct holder h = {0};
		struct peer p;
		struct bg b;

		peer_init(&p, hold, &h);
		p.config.service_thread = service;
		p.config.request_timeout_ms = 200;
		peer_open(&p);
		submit(p.conn, &b, 1, 0, NULL);
		assert_err(wait_one(p.conn, &b), -ETIMEDOUT);
		peer_end(&p);
	}
}

/* ---- without what it would like to have */

static int no_eventfd(unsigned n, int flags)
{
	return -EMFILE;
}

static void test_no_descriptor(void **state)
{
	_Atomic uint32_t word = 0;
	struct sleeper s;
	struct holder h;
	struct peer p;
	struct bg b;

	open_holding(&p, &h, true);
	real = pf__sys; /* the service thread has its own already */
	pf__sys.eventfd = no_eventfd;
	submit(p.conn, &b, 1, 0, NULL);
	wait_for(&h.n, 1);
	start_sleeping(&s, &p, &word, 0);
	atomic_store(&word, 1);
	pf__conn_wake(p.conn, &word);
	join(&s);
	assert_err(s.result, 0);
	peer_default(&p, &h.held[0], NULL);
	assert_err(wait_one(p.conn, &b), 0);
	peer_end(&p);
	pf__sys = real;
}

/* ---- several channels */

static void several_channels(bool service)
{
	struct peer p, q[2];
	struct sleeper s;
	struct holder h;
	_Atomic uint32_t word = 0;
	struct bg b[6];
	int own = 0;

	open_holding(&p, &h, service);
	for (int i = 0; i < 2; i++)
		add_channel(&p, &q[i]);
	for (unsigned i = 0; i < 6; i++) {
		submit(p.conn, &b[i], i + 1, 0, &word);
		wait_for(&h.n, i + 1);
	}
	for (unsigned i = 0; i < 6; i++) { /* one after the other, over each channel */
		start_sleeping(&s, &p, &word, 0);
		peer_default(i % 3 ? &q[i % 3 - 1] : &p, &h.held[i], NULL);
		join(&s);
		assert_err(s.result, 0);
		assert_int_equal(word, i + 1);
		assert_err(b[i].req.error, 0);
		own += pthread_equal(b[i].thread, s.thread) != 0;
	}
	assert_in_range(own, 3, 6);
	/* One ends: what went through it ends, the rest goes on. */
	word = 0;
	for (unsigned i = 0; i < 3; i++) {
		submit(p.conn, &b[i], i + 1, 0, &word);
		wait_for(&h.n, 6 + i + 1);
	}
	start_sleeping(&s, &p, &word, 0);
	peer_hang_up(&q[1]);
	join(&s);
	assert_int_equal(word, 1);
	start_sleeping(&s, &p, &word, 0);
	peer_default(&p, &h.held[6], NULL);
	join(&s);
	assert_int_equal(word, 2);
	assert_err(b[0].req.error, 0);
	assert_err(b[2].req.error, -ECONNABORTED);
	pf__conn_abort(p.conn, -ECONNABORTED);
	for (int i = 0; i < 2; i++)
		peer_end(&q[i]);
	peer_end(&p);
}

static void test_several_channels(void **state)
{
	several_channels(true);
	several_channels(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reads_itself),  cmocka_unit_test(test_done_runs_on_the_sleeper),
	    cmocka_unit_test(test_is_called),     cmocka_unit_test(test_hands_on),
	    cmocka_unit_test(test_is_poked),      cmocka_unit_test(test_lets_go),
	    cmocka_unit_test(test_signal),        cmocka_unit_test(test_deadline),
	    cmocka_unit_test(test_death),         cmocka_unit_test(test_request_deadline),
	    cmocka_unit_test(test_no_descriptor), cmocka_unit_test(test_several_channels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
