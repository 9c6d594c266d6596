/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the tests of pf__conn_sleep(): background requests with a word, threads that sleep on
 * one, a server that holds its answers back, further channels.
 */
#ifndef TESTS_CONN_SLEEPING_H
#define TESTS_CONN_SLEEPING_H

#include "base/futex.h"
#include "tests/conn/peer.h"
#include "tests/unit.h"
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a background GETATTR, and a thread that waits for it */

struct bg {
	struct pf__req req;
	struct fuse_getattr_in in;
	struct fuse_attr_out out;
	_Atomic uint32_t *word; /* counts; NULL: own */
	_Atomic uint32_t own;
	pthread_t thread; /* which called done() */
};

static inline void bg_done(struct pf__req *req)
{
	struct bg *b = req->done_ctx;
	_Atomic uint32_t *word = b->word;

	b->thread = pthread_self();
	atomic_fetch_add(word, 1);
	pf__futex_wake(word, INT_MAX);
}

static inline void submit(struct pf__conn *conn, struct bg *b, uint64_t nodeid, unsigned marks,
			  _Atomic uint32_t *word)
{
	b->req = getattr_req(nodeid, &b->in, &b->out);
	b->req.marks = marks;
	b->req.done = bg_done;
	b->req.done_ctx = b;
	b->own = 0;
	b->word = word ? word : &b->own;
	pf__request_background(conn, &b->req);
}

static inline int wait_one(struct pf__conn *conn, struct bg *b)
{
	while (!atomic_load(&b->own))
		(void)pf__conn_sleep(conn, &b->own, 0, PF_TIME_FOREVER);
	if (!b->req.error && b->out.attr.ino != b->req.nodeid)
		abort();
	return b->req.error;
}

struct sleeper {
	pthread_t thread;
	struct pf__conn *conn;
	_Atomic uint32_t *word;
	uint32_t expected;
	uint64_t timeout; /* 0 none */
	int result;
	uint64_t took;
	_Atomic bool ended;
	_Atomic int tid;
};

static inline void *sleep_on(void *arg)
{
	struct sleeper *s = arg;
	uint64_t start = pf__now();

	s->tid = gettid();
	s->result = pf__conn_sleep(s->conn, s->word, s->expected,
				   s->timeout ? start + s->timeout : PF_TIME_FOREVER);
	s->took = pf__now() - start;
	s->ended = true;
	return NULL;
}

static inline char state_of(int tid)
{
	char path[64], line[256] = "";
	char *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (!f)
		return 0; /* it has ended */
	if (!fgets(line, sizeof(line), f))
		line[0] = 0;
	fclose(f);
	end = strrchr(line, ')');
	return end && end[1] ? end[2] : 0;
}

/* Until it is where it will wait: seen asleep several times in a row, however busy the machine. */
static inline void settle(struct sleeper *s)
{
	for (int asleep = 0, i = 0; asleep < 4 && i < 5000; i++) {
		char state = s->tid ? state_of(s->tid) : 'R';

		if (!state)
			return;
		asleep = state == 'S' ? asleep + 1 : 0;
		poll(NULL, 0, 4);
	}
}

static inline void start_sleeping(struct sleeper *s, struct peer *p, _Atomic uint32_t *word,
				  uint64_t timeout)
{
	*s = (struct sleeper){.conn = p->conn, .word = word, .expected = *word, .timeout = timeout};
	assert_int_equal(pthread_create(&s->thread, NULL, sleep_on, s), 0);
	settle(s);
}

static inline void join(struct sleeper *s)
{
	pthread_join(s->thread, NULL);
}

static inline void open_holding(struct peer *p, struct holder *h, bool service)
{
	memset(h, 0, sizeof(*h));
	peer_init(p, hold, h);
	p->config.service_thread = service;
	peer_open(p);
}

static inline void add_channel(struct peer *p, struct peer *q)
{
	struct pf__transport *t;

	peer_init(q, p->handler, p->ctx);
	peer_start(q);
	assert_err(pf__transport_fd(&t, q->client_fd, 100, 0), 0);
	assert_err(pf__conn_add_channel(p->conn, t), 0);
}

#endif
