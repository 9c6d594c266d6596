// SPDX-License-Identifier: BSD-2-Clause
/* Asynchronous calls that end otherwise than by an answer: interrupted, at pf_stop(), with the
 * server, for want of memory or threads. Each callback comes once. */
#include "tests/behave/aio.h"

#include "base/alloc.h"
#include "base/sys.h"

/* ---- interrupted */

/* What has begun is at the server's mercy, the rest ends at once, though the server keeps all. */
static void interrupted(void **state)
{
	struct pf_caller who = {.size = sizeof(who), .uid = getuid(), .gid = getgid(), .pid = 77};
	struct pf_file *f, *other;
	struct mock *m = start_open(FUSE_ASYNC_READ, O_RDONLY, FOPEN_DIRECT_IO, &f);
	struct mock_expect *intr = mock_silent(mock_expect(m, FUSE_INTERRUPT, 0, NULL));
	struct mock_expect *read = hold_reads(m);
	struct aio *a = calloc(80, sizeof(*a)), b[3];
	struct pf_fs *view;

	memset(b, 0, sizeof(b));
	ok(pf_as(m->fs, &who, &view));
	mock_open(m, 42, FOPEN_DIRECT_IO);
	ok(pf_open(view, "foo", O_RDONLY, 0, &other));
	ok(pf_aio_read(other, b[0].buf, 1, 0, done, &b[0]));
	mock_wait_seen(read, 1);
	for (int i = 0; i < 80; i++)
		ok(pf_aio_read(f, a[i].buf, 1, i, done, &a[i]));
	mock_wait_seen(read, 64);
	ok(pf_aio_read(other, b[1].buf, 1, 0, done, &b[1]));
	ok(pf_aio_read(other, b[2].buf, 1, 0, done, &b[2]));
	assert_int_equal(pf_interrupt(view), 3);
	mock_wait_seen(intr, 1);
	assert_int_equal(result_of(&b[1]), -EINTR);
	assert_int_equal(result_of(&b[2]), -EINTR);
	assert_string_equal(b[2].error, "aio_read: Interrupted system call");
	mock_answer_error(mock_wait(read), EINTR);
	assert_int_equal(result_of(&b[0]), -EINTR);
	for (int i = 0; i < 80; i++)
		mock_answer(mock_wait(read), "x", 1);
	for (int i = 0; i < 80; i++)
		assert_int_equal(result_of(&a[i]), 1);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_close(other));
	pf_view_free(view);
	finish(m, f);
	free(a);
}

/* Among those that wait for their turn: the turn goes past them. */
static void interrupted_in_turn(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(0, O_RDONLY, FOPEN_DIRECT_IO, &f);
	struct mock_expect *read = hold_reads(m);
	struct aio a[4];
	struct mock_req *req;

	memset(a, 0, sizeof(a));
	mock_silent(mock_expect(m, FUSE_INTERRUPT, 0, NULL));
	for (int i = 0; i < 3; i++)
		ok(pf_aio_read(f, a[i].buf, 1, i, done, &a[i]));
	req = mock_wait(read);
	assert_int_equal(pf_interrupt(m->fs), 3);
	assert_int_equal(result_of(&a[1]), -EINTR);
	assert_int_equal(result_of(&a[2]), -EINTR);
	ok(pf_aio_read(f, a[3].buf, 1, 3, done, &a[3]));
	settle(m);
	assert_int_equal(mock_count(m, FUSE_READ), 1);
	mock_answer(req, "x", 1);
	assert_int_equal(result_of(&a[0]), 1);
	mock_answer(mock_wait(read), "x", 1);
	assert_int_equal(result_of(&a[3]), 1);
	finish(m, f);
}

/* ---- the end */

struct stopper {
	struct pf_fs *fs;
	pthread_t thread;
	_Atomic int begun;
	int result;
};

static void *do_stop(void *arg)
{
	struct stopper *s = arg;

	s->begun = 1;
	s->result = pf_stop(s->fs);
	return NULL;
}

static void stop_begin(struct mock *m, struct stopper *s)
{
	s->fs = m->fs;
	m->fs = NULL;
	assert_int_equal(pthread_create(&s->thread, NULL, do_stop, s), 0);
	while (!s->begun)
		nap_ms(1);
	nap_ms(100); /* nothing tells that it waits for the calls */
}

struct resubmit {
	struct aio aio;
	struct pf_file *f;
	int again;
};

static void done_and_again(void *ctx, ssize_t result)
{
	struct resubmit *r = ctx;

	r->again = pf_aio_read(r->f, r->aio.buf, 1, 0, done, NULL);
	done(&r->aio, result);
}

/* What is queued is done, in order; what callbacks add is not taken. */
static void stop_with_work(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(0, O_RDWR, FOPEN_DIRECT_IO, &f);
	struct mock_expect *read = hold_reads(m);
	struct resubmit r = {.f = f};
	struct stopper s = {0};
	struct aio a[3];

	memset(a, 0, sizeof(a));
	for (int i = 0; i < 3; i++)
		ok(pf_aio_read(f, a[i].buf, 1, i, done, &a[i]));
	ok(pf_aio_read(f, r.aio.buf, 1, 3, done_and_again, &r));
	stop_begin(m, &s);
	for (int i = 0; i < 4; i++) {
		struct mock_req *req = mock_wait(read);

		assert_int_equal(offset_of(req), i);
		mock_answer(req, "x", 1);
		if (i < 3)
			assert_int_equal(result_of(&a[i]), 1);
	}
	pthread_join(s.thread, NULL);
	ok(s.result);
	assert_int_equal(result_of(&r.aio), 1);
	fails(r.again, ENOTCONN);
	fails(pf_aio_read(f, a[0].buf, 1, 0, done, &a[0]), ENOTCONN);
	pf_close(f);
	mock_end(m);
}

/* A server that leaves a call lying does not keep pf_stop(). */
static void stop_unanswered(void **state)
{
	struct pf_file *f;
	struct mock *m = start(0);
	struct aio a = {0}, b = {0};
	struct stopper s = {0};

	mock_open(m, 42, FOPEN_DIRECT_IO);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	mock_silent(mock_expect(m, FUSE_READ, 42, NULL));
	ok(pf_aio_read(f, a.buf, 1, 0, done, &a));
	ok(pf_aio_read(f, b.buf, 1, 0, done, &b));
	stop_begin(m, &s);
	pf__clock_advance(11000 * MS);
	pthread_join(s.thread, NULL);
	fails(s.result, ETIMEDOUT);
	fails(result_of(&a), ETIMEDOUT);
	fails(result_of(&b), ENOTCONN);
	pf_close(f);
	mock_end(m);
}

struct stop_call {
	struct aio aio;
	struct pf_fs *fs;
	int stopped;
};

static void done_and_stop(void *ctx, ssize_t result)
{
	struct stop_call *s = ctx;

	s->stopped = pf_stop(s->fs);
	done(&s->aio, result);
}

static void stop_in_a_callback(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(0, O_RDWR, FOPEN_DIRECT_IO, &f);
	struct stop_call s = {.fs = m->fs};

	mock_read(m, 42, 0, 1, "x", 1);
	ok(pf_aio_read(f, s.aio.buf, 1, 0, done_and_stop, &s));
	assert_int_equal(result_of(&s.aio), 1);
	fails(s.stopped, EDEADLK);
	finish(m, f);
}

/* The server dies with calls begun, waiting for a thread, and waiting for their turn. */
static void death(uint64_t init_flags, bool aborted)
{
	struct mock *m = start(init_flags);
	struct mock_expect *read = hold_reads(m);
	struct aio *a = calloc(MANY, sizeof(*a));
	struct pf_file *f;
	int lost = 0;

	mock_open(m, 42, FOPEN_DIRECT_IO);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	callbacks = 0;
	for (int i = 0; i < MANY; i++)
		ok(pf_aio_read(f, a[i].buf, 1, i, done, &a[i]));
	mock_wait_seen(read, init_flags ? 64 : 1);
	if (aborted)
		pf_abort(m->fs);
	else
		mock_hang_up(m);
	for (int i = 0; i < MANY; i++) {
		ssize_t r = result_of(&a[i]);

		lost += r == -ENOTCONN;
		assert_true(r == -ENOTCONN || (aborted && r == -ECONNABORTED));
	}
	assert_int_equal(callbacks, MANY);
	assert_true(lost >= (aborted ? MANY - 64 : MANY));
	pf_close(f);
	mock_end(m);
	free(a);
}

static void server_death(void **state)
{
	death(FUSE_ASYNC_READ, false);
	death(0, false);
}

static void abort_(void **state)
{
	death(FUSE_ASYNC_READ, true);
	death(0, true);
}

/* ---- what fails inside */

static _Atomic int threads_left;
static int (*real_thread_create)(unsigned long *, void *(*)(void *), void *);

static int few_threads(unsigned long *thread, void *(*fn)(void *), void *arg)
{
	return threads_left-- > 0 ? real_thread_create(thread, fn, arg) : -EAGAIN;
}

/* No thread can be made: the call is made here and now. With one thread it does all. */
static void no_threads(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(0, O_RDWR, FOPEN_DIRECT_IO, &f);
	struct chain c = {.f = f, .left = 10};
	struct aio a = {0}, b[20];

	memset(b, 0, sizeof(b));
	mock_any_times(mock_fn_set(mock_expect(m, FUSE_READ, 42, NULL), serve_bytes, NULL));
	real_thread_create = pf__sys.thread_create;
	pf__sys.thread_create = few_threads;
	threads_left = 0;
	ok(pf_aio_read(f, a.buf, 1, 0, done, &a));
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.result, 1);
	assert_true(pthread_equal(a.thread, pthread_self()));
	ok(pf_aio_read(f, c.buf, 1, 0, chain_done, &c));
	assert_int_equal(c.done, 11);
	assert_int_equal(c.failed, 0);
	threads_left = 1;
	for (int i = 0; i < 20; i++)
		ok(pf_aio_read(f, b[i].buf, 1, 0, done, &b[i]));
	for (int i = 0; i < 20; i++) {
		assert_int_equal(result_of(&b[i]), 1);
		assert_true(pthread_equal(b[i].thread, b[0].thread));
	}
	pf__sys.thread_create = real_thread_create;
	finish(m, f);
}

/* Each allocation fails once: the call is refused, or its callback tells. */
static void no_memory(void **state)
{
	int refused = 0;

	for (int n = 1; n < 8; n++) {
		struct pf_file *f;
		struct mock *m = start_open(0, O_RDWR, FOPEN_DIRECT_IO, &f);
		struct aio a = {0};
		int r;

		mock_any_times(mock_fn_set(mock_expect(m, FUSE_READ, 42, NULL), serve_bytes, NULL));
		pf__alloc_fail_at(n, 0);
		r = pf_aio_read(f, a.buf, 1, 0, done, &a);
		if (r) {
			fails(r, ENOMEM);
			refused++;
		} else {
			ssize_t result = result_of(&a);

			assert_true(result == 1 || result == -ENOMEM);
		}
		pf__alloc_fail_at(0, 0);
		assert_int_equal(a.calls, r ? 0 : 1);
		finish(m, f);
	}
	assert_int_equal(refused, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    aio_test(interrupted),     aio_test(interrupted_in_turn), aio_test(stop_with_work),
	    aio_test(stop_unanswered), aio_test(stop_in_a_callback),  aio_test(server_death),
	    aio_test(abort_),          aio_test(no_threads),          aio_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
