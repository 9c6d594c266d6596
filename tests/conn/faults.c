/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same little session again and again, each time with something else failing: the N-th
 * allocation, the N-th system call, the N-th message. Whatever fails, every call ends, what is
 * wrong has a clean errno, and no memory and no descriptor is left.
 */
#include "base/alloc.h"
#include "base/sys.h"
#include "tests/conn/peer.h"
#include "tests/unit.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

struct bg {
	struct pf__req req;
	struct fuse_getattr_in in;
	struct fuse_attr_out out;
	_Atomic int times;
};

static void bg_done(struct pf__req *req)
{
	atomic_fetch_add(&((struct bg *)req->done_ctx)->times, 1);
}

/* A corrupt answer may carry any errno. */
static bool any_errno;

static void check_result(int err, const char *what)
{
	if (any_errno && err < 0 && err > -512)
		return;
	switch (err) {
	case 0:
	case -ENOTCONN:
	case -ECONNABORTED:
	case -ETIMEDOUT:
	case -ENOMEM:
	case -EIO:
		return;
	}
	fail_msg("%s: %d", what, err);
}

static int on_notify(void *ctx, const struct pf__notify *n)
{
	if (n->code == FUSE_NOTIFY_RETRIEVE)
		pf__conn_notify_reply(((struct peer *)ctx)->conn, n,
				      &(struct iovec){(char *)"data", 4}, 1);
	return 0;
}

static bool chatty(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	struct fuse_notify_retrieve_out o = {.notify_unique = 77, .nodeid = 5, .size = 100};

	if (h->opcode == FUSE_GETATTR && h->nodeid == 2)
		peer_notify(p, FUSE_NOTIFY_RETRIEVE, &o, sizeof(o));
	return false;
}

/* What the answer says may be spoilt: only that there is one counts. */
static int ask(struct peer *p, uint64_t nodeid)
{
	struct fuse_getattr_in in;
	struct fuse_attr_out out;
	struct pf__req req = getattr_req(nodeid, &in, &out);

	return pf__request(p->conn, &req);
}

/* Requests of each kind over conn, then the end. */
static void session(struct peer *p)
{
	struct bg b[20];

	for (uint64_t i = 1; i <= 5; i++)
		check_result(ask(p, i), "request");
	for (int i = 0; i < 20; i++) {
		b[i].req = getattr_req(i + 10, &b[i].in, &b[i].out);
		b[i].req.done = bg_done;
		b[i].req.done_ctx = &b[i];
		b[i].times = 0;
		pf__request_background(p->conn, &b[i].req);
	}
	for (int i = 0; i < 1500; i++)
		pf__conn_forget(p->conn, i, 1);
	check_result(ask(p, 6), "request");
	pf__conn_close(p->conn, 300);
	p->conn = NULL;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(b[i].times, 1);
		check_result(b[i].req.error, "background");
	}
}

static int open_over(struct peer *p, const char *plan, pf_trace_fn trace)
{
	struct pf__transport *t = NULL;
	int err;

	peer_start(p);
	err = pf__transport_fd(&t, p->client_fd, 20, 0);
	if (!err && trace)
		err = pf__transport_trace(&t, t, trace, NULL);
	if (!err && plan)
		err = pf__transport_fault(&t, t, plan);
	if (!err)
		err = pf__conn_open(&p->conn, t, &p->config);
	if (err)
		p->conn = NULL;
	return err;
}

static void no_trace(void *ctx, const char *line)
{
}

static void prepare(struct peer *p, bool service)
{
	peer_init(p, chatty, NULL);
	p->ops.notify = on_notify;
	p->config.service_thread = service;
	p->config.init_timeout_ms = 100;
	p->config.request_timeout_ms = 100;
}

/* ---- allocations */

static bool fail_allocation(uint64_t nth, bool service)
{
	int64_t live = pf__alloc_live();
	int fds = open_descriptors(), err;
	struct peer p;
	bool reached;

	prepare(&p, service);
	p.config.init_timeout_ms = 60000; /* memory is all that is short */
	pf__alloc_fail_at(nth, 0);
	err = open_over(&p, "seed=3,dup=4,tx-delay=3:1", no_trace);
	if (err)
		assert_err(err, -ENOMEM);
	else
		session(&p);
	reached = pf__alloc_count() >= nth;
	pf__alloc_fail_at(0, 0);
	peer_end(&p);
	assert_int_equal(pf__alloc_live(), live);
	assert_int_equal(open_descriptors(), fds);
	return reached;
}

static void test_allocations(void **state)
{
	uint64_t n = 1;

	while (fail_allocation(n, true))
		n++;
	assert_true(n > 5);
	n = 1;
	while (fail_allocation(n, false))
		n++;
	assert_true(n > 5);
}

/* ---- allocations, the server in this process */

static bool fail_inproc_allocation(uint64_t nth)
{
	static const struct pf_inproc_ops ops = {peer_inproc_request, NULL};
	int64_t live = pf__alloc_live();
	int fds = open_descriptors(), err;
	struct pf_inproc *channel = NULL;
	struct pf__transport *t;
	struct peer p;
	bool reached;

	prepare(&p, true);
	pf__alloc_fail_at(nth, 0);
	err = pf__transport_inproc(&t, &ops, NULL, 20, &channel);
	if (!err)
		err = pf__conn_open(&p.conn, t, &p.config);
	check_result(err, "open");
	if (!err)
		session(&p);
	reached = pf__alloc_count() >= nth;
	pf__alloc_fail_at(0, 0);
	if (channel)
		pf_inproc_close(channel);
	assert_int_equal(pf__alloc_live(), live);
	assert_int_equal(open_descriptors(), fds);
	return reached;
}

static void test_inproc_allocations(void **state)
{
	uint64_t n = 1;

	while (fail_inproc_allocation(n))
		n++;
	assert_true(n > 5);
}

/* ---- system calls */

static struct pf__sys real;
static _Atomic int calls, fail_at, fail_with;

static bool must_fail(void)
{
	int at = fail_at;

	return atomic_fetch_add(&calls, 1) + 1 == at;
}

static ssize_t failing_sendmsg(int fd, const struct msghdr *m, int flags)
{
	return must_fail() ? fail_with : real.sendmsg(fd, m, flags);
}

static ssize_t failing_recvmsg(int fd, struct msghdr *m, int flags)
{
	return must_fail() ? fail_with : real.recvmsg(fd, m, flags);
}

static int failing_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return must_fail() ? fail_with : real.poll(fds, n, timeout);
}

static int failing_setsockopt(int fd, int level, int name, const void *v, socklen_t len)
{
	return must_fail() ? fail_with : real.setsockopt(fd, level, name, v, len);
}

static int failing_eventfd(unsigned n, int flags)
{
	return must_fail() ? fail_with : real.eventfd(n, flags);
}

static int failing_thread(unsigned long *t, void *(*fn)(void *), void *arg)
{
	return must_fail() ? -EAGAIN : real.thread_create(t, fn, arg);
}

static void fail_call(int nth, int with)
{
	int64_t live = pf__alloc_live();
	int fds = open_descriptors(), err;
	struct peer p;

	prepare(&p, true);
	calls = 0;
	fail_at = nth;
	fail_with = with;
	real = pf__sys;
	pf__sys.sendmsg = failing_sendmsg;
	pf__sys.recvmsg = failing_recvmsg;
	pf__sys.poll = failing_poll;
	pf__sys.setsockopt = failing_setsockopt;
	pf__sys.eventfd = failing_eventfd;
	pf__sys.thread_create = failing_thread;
	err = open_over(&p, NULL, NULL);
	if (!err)
		session(&p);
	pf__sys = real;
	peer_end(&p);
	assert_int_equal(pf__alloc_live(), live);
	assert_int_equal(open_descriptors(), fds);
}

static void test_system_calls(void **state)
{
	static const int errors[] = {-ENOMEM, -EAGAIN, -EINTR, -ECONNRESET};

	for (int n = 1; n < 60; n += 1 + n / 20)
		for (int e = 0; e < 4; e++)
			fail_call(n, errors[e]);
}

/* ---- messages */

static void fail_message(const char *plan)
{
	int64_t live = pf__alloc_live();
	int fds = open_descriptors(), err;
	struct peer p;

	any_errno = strstr(plan, "corrupt");
	prepare(&p, true);
	err = open_over(&p, plan, NULL);
	if (err == -ECONNREFUSED) /* a corrupt INIT */
		err = 0;
	check_result(err, plan);
	if (p.conn)
		session(&p);
	peer_end(&p);
	assert_int_equal(pf__alloc_live(), live);
	assert_int_equal(open_descriptors(), fds);
}

/* Both ways: to the server the same words with "tx-" before them. */
static void test_messages(void **state)
{
	static const char *const kinds[] = {"drop=%d",    "delay=%d:30", "short=%d",     "dup=%d",
					    "reorder=%d", "corrupt=%d",  "disconnect=%d"};
	char word[32], plan[64];

	for (int k = 0; k < 7; k++)
		for (int n = 1; n <= 6; n++) {
			/* A spoilt request would be the server's matter: ours aborts. */
			bool tx = n % 2 == 0 && k != 2 && k != 5;

			snprintf(word, sizeof(word), kinds[k], n);
			snprintf(plan, sizeof(plan), "%s%s", tx ? "tx-" : "", word);
			fail_message(plan);
		}
}

static void test_random_corruption(void **state)
{
	char plan[128];

	for (int seed = 1; seed < 16; seed++) {
		snprintf(plan, sizeof(plan), "seed=%d,corrupt=2,dup=3,corrupt=4,reorder=5,short=9",
			 seed);
		fail_message(plan);
	}
}

static void test_bad_plans(void **state)
{
	static const char *const plans[] = {
	    "x",     "drop",      "drop=",   "drop=0",  "drop=1,,", "delay=1",
	    "tx-=1", "tx-seed=1", "drop=1x", "seed=-1", "delay=1:", "drop=99999999999999999999"};
	int fds = open_descriptors();

	for (size_t i = 0; i < sizeof(plans) / sizeof(*plans); i++) {
		struct pf__transport *t;
		int sv[2];

		socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv);
		assert_err(pf__transport_fd(&t, sv[0], 20, 0), 0);
		assert_err(pf__transport_fault(&t, t, plans[i]), -EINVAL);
		close(sv[1]);
	}
	assert_int_equal(open_descriptors(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_allocations),       cmocka_unit_test(test_inproc_allocations),
	    cmocka_unit_test(test_system_calls),      cmocka_unit_test(test_messages),
	    cmocka_unit_test(test_random_corruption), cmocka_unit_test(test_bad_plans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
