// SPDX-License-Identifier: BSD-2-Clause
/* INTERRUPT: a call is cancelled or signalled while the server works on it. */
#include "tests/behave/behave.h"

#include <signal.h>

#define DIR_ (S_IFDIR | 0755)

struct call {
	struct pf_fs *fs;
	const char *path;
	pthread_t thread;
	int result;
};

static void *do_mkdir(void *arg)
{
	struct call *c = arg;

	c->result = pf_mkdir(c->fs, c->path, 0755);
	return NULL;
}

struct scene {
	struct mock *m;
	struct mock_expect *mkdir;
	struct mock_req *req;
	struct call call;
};

static struct scene begin(struct mock *m, struct pf_fs *fs, const char *path)
{
	struct scene s = {.m = m, .call = {.fs = fs, .path = path}};

	mock_lookup_error(m, 1, path, ENOENT);
	s.mkdir = mock_hold(mock_expect(m, FUSE_MKDIR, 1, path));
	return s;
}

static void run(struct scene *s)
{
	assert_int_equal(pthread_create(&s->call.thread, NULL, do_mkdir, &s->call), 0);
	s->req = mock_wait(s->mkdir);
}

static void answer_made(struct mock_req *req, uint64_t nodeid)
{
	struct fuse_entry_out e = mock_entry(nodeid, DIR_, 0, MOCK_FOREVER, MOCK_FOREVER);

	mock_answer(req, &e, sizeof(e));
}

static int join(struct scene *s)
{
	pthread_join(s->call.thread, NULL);
	return s->call.result;
}

/* The server answers the call with EINTR. */
static void eintr(void **state)
{
	struct mock *m = mock_start(NULL);
	struct mock_expect *intr = mock_silent(mock_expect(m, FUSE_INTERRUPT, 0, NULL));
	struct scene s = begin(m, m->fs, "dir");

	run(&s);
	assert_int_equal(pf_interrupt(m->fs), 1);
	mock_wait_seen(intr, 1);
	mock_answer_error(s.req, EINTR);
	assert_int_equal(join(&s), -EINTR);
	mock_end(m);
}

/* The server does not care. */
static void ignored(void **state)
{
	struct mock *m = mock_start(NULL);
	struct mock_expect *intr = mock_silent(mock_expect(m, FUSE_INTERRUPT, 0, NULL));
	struct scene s = begin(m, m->fs, "dir");

	run(&s);
	pf_interrupt(m->fs);
	mock_wait_seen(intr, 1);
	answer_made(s.req, 42);
	ok(join(&s));
	mock_end(m);
}

/* The call completes first; the late EAGAIN means nothing. */
static void already_complete(void **state)
{
	struct mock *m = mock_start(NULL);
	struct mock_expect *intr = mock_hold(mock_expect(m, FUSE_INTERRUPT, 0, NULL));
	struct scene s = begin(m, m->fs, "dir");
	struct mock_req *i;

	run(&s);
	pf_interrupt(m->fs);
	i = mock_wait(intr);
	answer_made(s.req, 42);
	ok(join(&s));
	mock_answer_error(i, EAGAIN);
	mock_settle(m);
	mock_end(m);
}

/* The server has not seen the target yet: again. */
static void too_soon(void **state)
{
	struct mock *m = mock_start(NULL);
	struct mock_expect *first = mock_error(mock_expect(m, FUSE_INTERRUPT, 0, NULL), EAGAIN);
	struct mock_expect *second = mock_silent(mock_expect(m, FUSE_INTERRUPT, 0, NULL));
	struct scene s = begin(m, m->fs, "dir");

	run(&s);
	pf_interrupt(m->fs);
	mock_wait_seen(first, 1);
	mock_wait_seen(second, 1);
	mock_answer_error(s.req, EINTR);
	assert_int_equal(join(&s), -EINTR);
	mock_end(m);
}

/* ENOSYS: this call is waited for, and no INTERRUPT is sent ever again. */
static void enosys(void **state)
{
	struct mock *m = mock_start(NULL);
	struct scene s = begin(m, m->fs, "dir"), t;

	mock_error(mock_expect(m, FUSE_INTERRUPT, 0, NULL), ENOSYS);
	run(&s);
	pf_interrupt(m->fs);
	mock_settle(m);
	answer_made(s.req, 42);
	ok(join(&s));
	t = begin(m, m->fs, "other");
	run(&t);
	pf_interrupt(m->fs);
	mock_settle(m);
	answer_made(t.req, 43);
	ok(join(&t));
	assert_int_equal(mock_count(m, FUSE_INTERRUPT), 1);
	mock_end(m);
}

static void on_signal(int sig)
{
}

/* A signal to the waiting thread does the same, whether its handler restarts calls or not. */
static void by_signal(int flags)
{
	struct mock *m = mock_start(NULL);
	struct mock_expect *intr = mock_silent(mock_expect(m, FUSE_INTERRUPT, 0, NULL));
	struct scene s = begin(m, m->fs, "dir");
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = flags}, old;

	sigaction(SIGUSR1, &sa, &old);
	run(&s);
	/* A signal counts when it finds the call asleep; before that it only runs its handler. */
	while (!mock_count(m, FUSE_INTERRUPT)) {
		pthread_kill(s.call.thread, SIGUSR1);
		nanosleep(&(struct timespec){0, 5 * MS}, NULL);
	}
	mock_wait_seen(intr, 1);
	mock_answer_error(s.req, EINTR);
	assert_int_equal(join(&s), -EINTR);
	sigaction(SIGUSR1, &old, NULL);
	mock_end(m);
}

static void signalled(void **state)
{
	by_signal(0);
}

static void signalled_with_restart(void **state)
{
	by_signal(SA_RESTART);
}

static void *do_mkdir_and_end(void *arg)
{
	do_mkdir(arg);
	pthread_testcancel();
	return NULL;
}

/* A thread that is cancelled in a call ends after it. */
static void cancelled(void **state)
{
	struct mock *m = mock_start(NULL);
	struct scene s = begin(m, m->fs, "dir");
	void *end;

	s.call.result = 1;
	assert_int_equal(pthread_create(&s.call.thread, NULL, do_mkdir_and_end, &s.call), 0);
	s.call.result = 1;
	s.req = mock_wait(s.mkdir);
	pthread_cancel(s.call.thread);
	mock_settle(m);
	answer_made(s.req, 42);
	pthread_join(s.call.thread, &end);
	assert_ptr_equal(end, PTHREAD_CANCELED);
	ok(s.call.result);
	mock_end(m);
}

/* Only the calls of the view are interrupted. */
static void other_view(void **state)
{
	struct pf_caller c = {.size = sizeof(c), .pid = 77};
	struct mock *m = mock_start(NULL);
	struct pf_fs *view;
	struct scene s;

	ok(pf_as(m->fs, &c, &view));
	s = begin(m, m->fs, "dir");
	run(&s);
	assert_int_equal(pf_interrupt(view), 0);
	mock_settle(m);
	answer_made(s.req, 42);
	ok(join(&s));
	assert_int_equal(mock_count(m, FUSE_INTERRUPT), 0);
	pf_view_free(view);
	mock_end(m);
}

/* Two threads, two calls; the server dies with both out. */
static void death(void **state)
{
	struct mock *m = mock_start(NULL);
	struct scene s = begin(m, m->fs, "a"), t = begin(m, m->fs, "b");

	run(&s);
	run(&t);
	mock_hang_up(m);
	assert_int_equal(join(&s), -ENOTCONN);
	assert_int_equal(join(&t), -ENOTCONN);
	fails(pf_mkdir(m->fs, "c", 0755), ENOTCONN);
	mock_end(m);
}

static void abort_(void **state)
{
	struct mock *m = mock_start(NULL);
	struct scene s = begin(m, m->fs, "a");

	run(&s);
	pf_abort(m->fs);
	pf_abort(m->fs);
	assert_int_equal(join(&s), -ECONNABORTED);
	fails(pf_mkdir(m->fs, "c", 0755), ENOTCONN);
	mock_end(m);
}

/* Past its deadline a request ends the connection. */
static void deadline(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct mock *m;
	struct scene s;

	o.pf.request_timeout_ms = DEADLINE_MS;
	m = mock_start(&o);
	s = begin(m, m->fs, "a");
	run(&s);
	PASS_DEADLINE;
	assert_int_equal(join(&s), -ETIMEDOUT);
	fails(pf_mkdir(m->fs, "c", 0755), ENOTCONN);
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(eintr),
	    cmocka_unit_test(ignored),
	    cmocka_unit_test(already_complete),
	    cmocka_unit_test(too_soon),
	    cmocka_unit_test(enosys),
	    cmocka_unit_test(signalled),
	    cmocka_unit_test(signalled_with_restart),
	    cmocka_unit_test(cancelled),
	    cmocka_unit_test(other_view),
	    cmocka_unit_test(death),
	    cmocka_unit_test(abort_),
	    cmocka_unit_test(deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
