/* SPDX-License-Identifier: BSD-2-Clause */
/* Background requests: limits, order, completion exactly once. Forgets: exact counts, batches. */
#include "base/sys.h"
#include "tests/conn/peer.h"
#include "tests/unit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct bg {
	struct pf__req req;
	struct fuse_getattr_in in;
	struct fuse_attr_out out;
	_Atomic unsigned *ended;
	_Atomic int times;
};

static void bg_done(struct pf__req *req)
{
	struct bg *b = req->done_ctx;

	atomic_fetch_add(&b->times, 1);
	atomic_fetch_add(b->ended, 1);
}

static void submit(struct peer *p, struct bg *b, uint64_t nodeid, unsigned marks,
		   _Atomic unsigned *ended)
{
	b->req = getattr_req(nodeid, &b->in, &b->out);
	b->req.marks = marks;
	b->req.done = bg_done;
	b->req.done_ctx = b;
	b->ended = ended;
	b->times = 0;
	pf__request_background(p->conn, &b->req);
}

static void test_limit(void **state)
{
	struct bg b[20];
	struct holder h = {0};
	_Atomic unsigned ended = 0;
	struct pf__conn_stats st;
	struct peer p;

	peer_init(&p, hold, &h);
	p.init.max_background = 5;
	p.init.congestion_threshold = 3;
	peer_open(&p);
	for (int i = 0; i < 20; i++)
		submit(&p, &b[i], i + 1, 0, &ended);
	wait_for(&h.n, 5);
	assert_int_equal(ask_getattr(p.conn, 1000), 0); /* foreground is not limited */
	assert_int_equal(h.n, 5);
	pf__conn_stats(p.conn, &st);
	assert_int_equal(st.num_background, 20);
	assert_int_equal(st.max_background, 5);
	assert_true(pf__conn_congested(p.conn));
	for (unsigned i = 0; i < 20; i++) {
		wait_for(&h.n, i + 1);
		assert_int_equal(h.held[i].nodeid, i + 1); /* in order */
		peer_default(&p, &h.held[i], NULL);
		wait_for(&ended, i + 1);
	}
	assert_false(pf__conn_congested(p.conn));
	for (int i = 0; i < 20; i++) {
		assert_int_equal(b[i].times, 1);
		assert_int_equal(b[i].req.error, 0);
		assert_int_equal(b[i].out.attr.ino, i + 1);
	}
	peer_end(&p);
}

static void test_force_is_not_limited(void **state)
{
	struct bg b[6];
	struct holder h = {0};
	_Atomic unsigned ended = 0;
	struct peer p;

	peer_init(&p, hold, &h);
	p.init.max_background = 2;
	peer_open(&p);
	for (int i = 0; i < 5; i++)
		submit(&p, &b[i], i + 1, 0, &ended);
	submit(&p, &b[5], 6, PF_REQ_FORCE, &ended);
	wait_for(&h.n, 3);
	assert_int_equal(h.held[2].nodeid, 6);
	for (unsigned i = 0; i < 6; i++) {
		wait_for(&h.n, i + 1);
		peer_default(&p, &h.held[i], NULL);
	}
	wait_for(&ended, 6);
	peer_end(&p);
}

static void test_abort_ends_queued(void **state)
{
	struct bg b[20], late;
	struct holder h = {0};
	_Atomic unsigned ended = 0;
	struct peer p;

	peer_init(&p, hold, &h);
	p.init.max_background = 5;
	peer_open(&p);
	for (int i = 0; i < 20; i++)
		submit(&p, &b[i], i + 1, 0, &ended);
	wait_for(&h.n, 5);
	pf__conn_abort(p.conn, -ECONNABORTED);
	wait_for(&ended, 20);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(b[i].times, 1);
		assert_err(b[i].req.error, -ECONNABORTED);
	}
	submit(&p, &late, 1, 0, &ended);
	assert_err(late.req.error, -ENOTCONN);
	assert_int_equal(late.times, 1);
	peer_end(&p);
}

/* Nobody waits, nobody reads but the service thread; and at close all must have been answered. */
static void test_close_waits(void **state)
{
	static struct bg b[100];
	_Atomic unsigned ended = 0;
	struct peer p;

	peer_init(&p, NULL, NULL);
	peer_open(&p);
	for (int i = 0; i < 100; i++)
		submit(&p, &b[i], i + 1, 0, &ended);
	pf__conn_close(p.conn, 60000);
	p.conn = NULL;
	assert_int_equal(ended, 100);
	for (int i = 0; i < 100; i++)
		assert_err(b[i].req.error, 0);
	peer_end(&p);
}

static void test_background_deadline(void **state)
{
	struct bg b;
	struct holder h = {0};
	_Atomic unsigned ended = 0;
	struct peer p;

	peer_init(&p, hold, &h);
	p.config.request_timeout_ms = 200;
	peer_open(&p);
	submit(&p, &b, 1, 0, &ended);
	wait_for(&ended, 1);
	assert_err(b.req.error, -ETIMEDOUT);
	peer_end(&p);
}

/* Large writes fill the socket; the server reads them late. */
struct writes {
	struct pf__req req;
	struct fuse_write_in in;
	struct fuse_write_out out;
	_Atomic unsigned *ended;
};

static void write_done(struct pf__req *req)
{
	atomic_fetch_add(((struct writes *)req->done_ctx)->ended, 1);
}

static bool late_writes(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	const struct fuse_write_in *in = arg;
	struct fuse_write_out out = {.size = in->size};

	if (h->opcode != FUSE_WRITE)
		return false;
	peer_reply(p, h->unique, 0, &out, sizeof(out));
	return true;
}

static void test_full_socket(void **state)
{
	static struct writes w[200];
	char *data = calloc(1, 128 << 10);
	_Atomic unsigned ended = 0;
	struct peer p;

	peer_init(&p, late_writes, NULL);
	p.config.max_background = 200;
	peer_open(&p);
	for (int i = 0; i < 200; i++) {
		struct pf__req *r = &w[i].req;

		*r = (struct pf__req){.opcode = FUSE_WRITE, .nodeid = 9, .expect_size = 128 << 10};
		w[i].in = (struct fuse_write_in){.size = 128 << 10};
		w[i].ended = &ended;
		pf__req_in(r, &w[i].in, sizeof(w[i].in));
		pf__req_in(r, data, 128 << 10);
		pf__req_out(r, &w[i].out, sizeof(w[i].out));
		r->done = write_done;
		r->done_ctx = &w[i];
		pf__request_background(p.conn, r);
	}
	wait_for(&ended, 200);
	for (int i = 0; i < 200; i++) {
		assert_err(w[i].req.error, 0);
		assert_int_equal(w[i].out.size, 128 << 10);
	}
	free(data);
	peer_end(&p);
}

/* Many in a row wake the service thread once, and not at all while somebody reads. */
static struct pf__sys real;
static _Atomic unsigned polls;

static int counting_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	atomic_fetch_add(&polls, 1);
	return real.poll(fds, n, timeout_ms);
}

static void *ask_held(void *arg)
{
	return (void *)(intptr_t)ask_getattr(((struct peer *)arg)->conn, 999);
}

static void burst(bool reader)
{
	uint64_t start;
	unsigned before, ticks;
	struct bg b[100];
	struct holder h = {0};
	_Atomic unsigned ended = 0;
	pthread_t thread;
	struct peer p;

	real = pf__sys;
	pf__sys.poll = counting_poll;
	peer_init(&p, hold, &h);
	p.config.max_background = 100;
	peer_open(&p);
	if (reader) {
		assert_int_equal(pthread_create(&thread, NULL, ask_held, &p), 0);
		wait_for(&h.n, 1);
	}
	poll(NULL, 0, 50); /* the service thread sleeps again */
	start = pf__now();
	before = polls;
	for (int i = 0; i < 100; i++)
		submit(&p, &b[i], i + 1, 0, &ended);
	wait_for(&h.n, 100 + reader);
	/* It looks by itself too, and on a busy machine some of that is left over from before. */
	ticks = (pf__now() - start) / (100 * PF_NSEC_PER_MSEC) + 2;
	assert_true(polls - before <= ticks + 5);
	for (unsigned i = 0; i < h.n; i++)
		peer_default(&p, &h.held[i], NULL);
	wait_for(&ended, 100);
	if (reader)
		pthread_join(thread, NULL);
	peer_end(&p);
	pf__sys = real;
}

static void test_burst(void **state)
{
	burst(true);
	burst(false);
}

/* ---- forgets */

struct counts {
	_Atomic uint64_t of[600];
	_Atomic unsigned single, batches, largest, entries;
};

static bool count(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	struct counts *c = p->ctx;
	const struct fuse_batch_forget_in *batch = arg;
	const struct fuse_forget_one *one = (const void *)(batch + 1);

	if (h->opcode == FUSE_FORGET) {
		c->of[h->nodeid] += ((const struct fuse_forget_in *)arg)->nlookup;
		c->single++;
		c->entries++;
	} else if (h->opcode == FUSE_BATCH_FORGET) {
		if (h->nodeid ||
		    h->len != sizeof(*h) + sizeof(*batch) + batch->count * sizeof(*one))
			abort();
		for (uint32_t i = 0; i < batch->count; i++)
			c->of[one[i].nodeid] += one[i].nlookup;
		c->batches++;
		c->entries += batch->count;
		if (batch->count > c->largest)
			c->largest = batch->count;
	}
	return false;
}

static void test_single_forget(void **state)
{
	struct counts c = {0};
	struct peer p;

	peer_init(&p, count, &c);
	peer_open(&p);
	pf__conn_forget(p.conn, 42, 3);
	wait_for(&c.entries, 1); /* by itself, with nothing else going on */
	assert_int_equal(c.single, 1);
	assert_int_equal(c.of[42], 3);
	peer_end(&p);
}

static void test_batches(void **state)
{
	struct counts c = {0};
	struct pf__conn_stats st;
	int patience = 30000;
	struct peer p;

	peer_init(&p, count, &c);
	peer_open(&p);
	for (int i = 0; i < 6000; i++)
		pf__conn_forget(p.conn, i % 600, 2);
	wait_for(&c.entries, 6000);
	for (int i = 0; i < 600; i++)
		assert_int_equal(c.of[i], 20);
	assert_true(c.batches + c.single < 600);
	do /* what has come may not be counted as sent yet */
		pf__conn_stats(p.conn, &st);
	while (st.forgets < 6000 && patience-- && poll(NULL, 0, 1) == 0);
	assert_int_equal(st.forgets, 6000);
	assert_int_equal(st.forget_messages, c.batches + c.single);
	peer_end(&p);
}

static void test_old_minor_has_no_batches(void **state)
{
	struct counts c = {0};
	struct peer p;

	peer_init(&p, count, &c);
	p.init.minor = 15;
	peer_open(&p);
	for (int i = 0; i < 300; i++)
		pf__conn_forget(p.conn, i, 1);
	wait_for(&c.entries, 300);
	assert_int_equal(c.batches, 0);
	peer_end(&p);
}

/* Whichever thread is sending them: DESTROY comes after the last forget. */
static bool destroy_is_last(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	struct counts *c = p->ctx;

	count(p, h, arg);
	if (h->opcode == FUSE_DESTROY && c->entries != 3000)
		c->single = 12345;
	return false;
}

static void test_forgets_before_destroy(void **state)
{
	for (int round = 0; round < 30; round++) {
		struct counts c = {0};
		struct peer p;

		peer_init(&p, destroy_is_last, &c);
		peer_open(&p);
		for (int i = 0; i < 3000; i++)
			pf__conn_forget(p.conn, i % 600, 1);
		peer_end(&p);
		assert_int_equal(c.entries, 3000);
		assert_int_not_equal(c.single, 12345);
	}
}

static void test_close_flushes(void **state)
{
	struct counts c = {0};
	struct peer p;

	peer_init(&p, count, &c);
	peer_open(&p);
	for (int i = 0; i < 50; i++)
		pf__conn_forget(p.conn, i, 1);
	peer_end(&p);
	assert_int_equal(c.entries, 50);
	assert_int_equal(p.seen[FUSE_DESTROY], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_force_is_not_limited),
	    cmocka_unit_test(test_abort_ends_queued),
	    cmocka_unit_test(test_close_waits),
	    cmocka_unit_test(test_background_deadline),
	    cmocka_unit_test(test_full_socket),
	    cmocka_unit_test(test_burst),
	    cmocka_unit_test(test_single_forget),
	    cmocka_unit_test(test_batches),
	    cmocka_unit_test(test_old_minor_has_no_batches),
	    cmocka_unit_test(test_close_flushes),
	    cmocka_unit_test(test_forgets_before_destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
