/* SPDX-License-Identifier: BSD-2-Clause */
/* What every transport owes: whole messages, peeking, ticks, the end; over a socket and in process.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "proto/wire.h"
#include "tests/unit.h"
#include "transport/transport.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A transport and the server's end of it. */
struct ends {
	struct pf__transport *t;
	int fd; /* socket; -1 in process */
	struct pf_inproc *channel;
	char last[4096]; /* in process: the last request */
	size_t last_len;
	_Atomic unsigned requests, disconnected;
};

static void on_request(void *ctx, struct pf_inproc *c, const void *msg, size_t len)
{
	struct ends *e = ctx;

	e->last_len = len;
	memcpy(e->last, msg, len < sizeof(e->last) ? len : sizeof(e->last));
	atomic_fetch_add(&e->requests, 1);
}

static void on_disconnected(void *ctx)
{
	atomic_fetch_add(&((struct ends *)ctx)->disconnected, 1);
}

static const struct pf_inproc_ops inproc_ops = {on_request, on_disconnected};

static void ends_open(struct ends *e, bool inproc, unsigned tick_ms)
{
	int sv[2];

	memset(e, 0, sizeof(*e));
	e->fd = -1;
	if (inproc) {
		assert_err(pf__transport_inproc(&e->t, &inproc_ops, e, tick_ms, &e->channel), 0);
		return;
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sv), 0);
	e->fd = sv[1];
	assert_err(pf__transport_fd(&e->t, sv[0], tick_ms, 0), 0);
}

static void hang_up(struct ends *e)
{
	if (e->fd >= 0)
		close(e->fd);
	if (e->channel)
		pf_inproc_close(e->channel);
	e->fd = -1;
	e->channel = NULL;
}

static void ends_close(struct ends *e)
{
	e->t->ops->shutdown(e->t);
	e->t->ops->shutdown(e->t);
	e->t->ops->free(e->t);
	hang_up(e);
}

/* A message of len bytes with a right header and a known body, from the server. */
static void give(struct ends *e, uint64_t unique, size_t len)
{
	char *msg = malloc(len);
	struct fuse_out_header h = {len, 0, unique};
	struct iovec iov = {msg, len};

	for (size_t i = 0; i < len; i++)
		msg[i] = (char)i;
	memcpy(msg, &h, sizeof(h));
	if (e->channel)
		assert_err(pf_inproc_reply(e->channel, &iov, 1), 0);
	else
		assert_int_equal(send(e->fd, msg, len, 0), len);
	free(msg);
}

static ssize_t receive(struct ends *e, void *buf, size_t len, unsigned flags)
{
	return e->t->ops->recv(e->t, &(struct iovec){buf, len}, 1, flags);
}

/* ---- for both */

static void messages(bool inproc)
{
	char buf[9000];
	struct fuse_out_header h;
	struct ends e;

	ends_open(&e, inproc, 10);
	assert_err(receive(&e, buf, sizeof(buf), 0), -EAGAIN);
	assert_err(receive(&e, buf, sizeof(buf), PF_RECV_WAIT), -EAGAIN);
	give(&e, 2, 100);
	give(&e, 4, 8000);
	assert_err(receive(&e, &h, sizeof(h), PF_RECV_PEEK), 100);
	assert_int_equal(h.unique, 2);
	assert_err(receive(&e, &h, sizeof(h), PF_RECV_PEEK | PF_RECV_WAIT), 100);
	assert_err(receive(&e, buf, sizeof(buf), PF_RECV_WAIT), 100);
	for (int i = 16; i < 100; i++)
		assert_int_equal(buf[i], (char)i);
	/* In parts; and what does not fit is lost. */
	struct iovec iov[3] = {{&h, sizeof(h)}, {buf, 84}, {buf + 1000, 1000}};
	assert_err(e.t->ops->recv(e.t, iov, 3, 0), 8000);
	assert_int_equal(h.unique, 4);
	assert_int_equal(buf[1000], (char)100);
	assert_err(receive(&e, buf, sizeof(buf), 0), -EAGAIN);
	ends_close(&e);
}

static void ending(bool inproc)
{
	char buf[100];
	struct ends e;

	ends_open(&e, inproc, 10);
	give(&e, 2, 50);
	hang_up(&e);
	assert_err(receive(&e, buf, sizeof(buf), PF_RECV_WAIT), 50); /* what it said last is read */
	assert_err(receive(&e, buf, sizeof(buf), PF_RECV_WAIT), 0);
	assert_err(receive(&e, buf, sizeof(buf), PF_RECV_PEEK), 0);
	assert_err(e.t->ops->send(e.t, &(struct iovec){buf, 50}, 1), -ENOTCONN);
	ends_close(&e);

	ends_open(&e, inproc, 10);
	e.t->ops->shutdown(e.t);
	assert_err(receive(&e, buf, sizeof(buf), PF_RECV_WAIT), 0);
	assert_err(e.t->ops->send(e.t, &(struct iovec){buf, 50}, 1), -ENOTCONN);
	ends_close(&e);
}

static void polling(bool inproc)
{
	char buf[100];
	struct ends e;
	struct pollfd p = {.events = POLLIN};

	ends_open(&e, inproc, 10);
	p.fd = e.t->ops->fd(e.t);
	for (int i = 0; i < 3; i++) {
		assert_false(e.t->ops->arm(e.t));
		assert_int_equal(poll(&p, 1, 0), 0);
		give(&e, 2, 50);
		assert_int_equal(poll(&p, 1, 60000), 1);
		assert_err(receive(&e, buf, sizeof(buf), 0), 50);
	}
	if (inproc) {
		give(&e, 2, 50);
		assert_true(e.t->ops->arm(e.t));
		assert_err(receive(&e, buf, sizeof(buf), 0), 50);
	}
	ends_close(&e);
}

static void *shut_later(void *arg)
{
	struct ends *e = arg;

	poll(NULL, 0, 20);
	e->t->ops->shutdown(e->t);
	return NULL;
}

static void shutdown_wakes(bool inproc)
{
	char buf[100];
	struct ends e;
	pthread_t t;
	uint64_t start = pf__now();

	ends_open(&e, inproc, 60000);
	pthread_create(&t, NULL, shut_later, &e);
	assert_err(receive(&e, buf, sizeof(buf), PF_RECV_WAIT), 0);
	pthread_join(t, NULL);
	assert_true(pf__now() - start < 10 * PF_NSEC_PER_SEC);
	ends_close(&e);
}

struct receiver {
	struct ends *e;
	_Atomic int result;
};

static void *receive_once(void *arg)
{
	struct receiver *r = arg;
	char buf[100];

	atomic_store(&r->result, receive(r->e, buf, sizeof(buf), PF_RECV_WAIT));
	return NULL;
}

static void on_signal(int sig)
{
}

/* A signal ends the wait although its handler was installed with SA_RESTART. */
static void signals_end_waits(bool inproc)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct ends e;
	struct receiver r = {&e, 1};
	pthread_t t;

	sigaction(SIGUSR1, &sa, NULL);
	ends_open(&e, inproc, 60000);
	pthread_create(&t, NULL, receive_once, &r);
	while (r.result == 1) {
		pthread_kill(t, SIGUSR1);
		poll(NULL, 0, 5);
	}
	pthread_join(t, NULL);
	assert_err(r.result, -EINTR);
	ends_close(&e);
}

static void test_messages(void **state)
{
	messages(false);
	messages(true);
}

static void test_ending(void **state)
{
	ending(false);
	ending(true);
}

static void test_polling(void **state)
{
	polling(false);
	polling(true);
}

static void test_shutdown_wakes(void **state)
{
	shutdown_wakes(false);
	shutdown_wakes(true);
}

static void test_signals(void **state)
{
	signals_end_waits(false);
	signals_end_waits(true);
}

/* ---- the socket */

static void test_full_socket(void **state)
{
	char *buf = calloc(1, 100000);
	struct ends e;
	int sent = 0;

	ends_open(&e, false, 10);
	assert_true(e.t->max_send >= 128 * 1024 + 80);
	assert_true(e.t->max_recv >= 8192);
	while (e.t->ops->send(e.t, &(struct iovec){buf, 100000}, 1) == 0)
		sent++;
	assert_true(sent > 0);
	assert_err(e.t->ops->send(e.t, &(struct iovec){buf, 100000}, 1), -EAGAIN);
	assert_err(e.t->ops->wait_writable(e.t, 10), -EAGAIN);
	while (recv(e.fd, buf, 100000, MSG_DONTWAIT) > 0)
		;
	assert_err(e.t->ops->wait_writable(e.t, 1000), 0);
	assert_err(e.t->ops->send(e.t, &(struct iovec){buf, 100000}, 1), 0);
	free(buf);
	ends_close(&e);
}

static void test_wrong_descriptors(void **state)
{
	struct pf__transport *t;
	int sv[2];

	assert_err(pf__transport_fd(&t, -1, 10, 0), -EBADF);
	assert_int_equal(pipe(sv), 0);
	assert_err(pf__transport_fd(&t, sv[0], 10, 0), -ENOTSOCK);
	close(sv[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_err(pf__transport_fd(&t, sv[0], 10, 0), -EPROTOTYPE);
	close(sv[1]);
}

/* The server leaves without having read what was sent: what it said before is still to be had. */
static void test_reset(void **state)
{
	char buf[100] = "";
	struct ends e;

	ends_open(&e, false, 10);
	assert_err(e.t->ops->send(e.t, &(struct iovec){buf, 50}, 1), 0);
	give(&e, 2, 50);
	hang_up(&e);
	assert_err(receive(&e, buf, sizeof(buf), PF_RECV_WAIT), 50);
	assert_err(receive(&e, buf, sizeof(buf), PF_RECV_WAIT), 0);
	ends_close(&e);
}

/* ---- in process */

static void test_inproc_requests(void **state)
{
	struct iovec iov[2] = {{(char *)"hello ", 6}, {(char *)"world", 6}};
	char *big = calloc(1, 200000);
	struct fuse_out_header h = {16, 0, 2};
	struct ends e;

	ends_open(&e, true, 10);
	assert_err(e.t->ops->send(e.t, iov, 2), 0);
	assert_string_equal(e.last, "hello world");
	assert_err(e.t->ops->send(e.t, &(struct iovec){big, 200000}, 1), 0);
	assert_int_equal(e.last_len, 200000);
	assert_err(e.t->ops->send(e.t, &(struct iovec){big, 3 << 20}, 1), -EMSGSIZE);
	h.len = 17;
	assert_err(pf_inproc_reply(e.channel, &(struct iovec){&h, 16}, 1), -EINVAL);
	assert_err(pf_inproc_reply(e.channel, &(struct iovec){&h, 10}, 1), -EINVAL);
	e.t->ops->shutdown(e.t);
	assert_int_equal(e.disconnected, 1);
	h.len = 16;
	assert_err(pf_inproc_reply(e.channel, &(struct iovec){&h, 16}, 1), -ENODEV);
	e.t->ops->free(e.t);
	assert_err(pf_inproc_reply(e.channel, &(struct iovec){&h, 16}, 1), -ENODEV);
	hang_up(&e);
	free(big);
}

/* A server that hangs up by itself is not told that the client is gone. */
static void test_inproc_close_first(void **state)
{
	int64_t live = pf__alloc_live();
	struct ends e;

	ends_open(&e, true, 10);
	give(&e, 2, 5000);
	give(&e, 4, 50);
	hang_up(&e);
	ends_close(&e);
	assert_int_equal(e.disconnected, 0);
	assert_int_equal(pf__alloc_live(), live);
}

/* A reply that finds no memory: who waits for it is told so; one that cannot be told ends all. */
static void test_inproc_no_memory(void **state)
{
	struct fuse_out_header h = {16, 0, 0}, got;
	struct iovec iov = {&h, 16};
	struct ends e;

	ends_open(&e, true, 10);
	for (int round = 0; round < 2; round++) {
		pf__alloc_fail_at(1, 1);
		assert_err(pf_inproc_reply(e.channel, &iov, 1), -ENOMEM); /* a notification */
		for (h.unique = 2; h.unique <= 2 * 16; h.unique += 2)
			assert_err(pf_inproc_reply(e.channel, &iov, 1), -ENOMEM);
		pf__alloc_fail_at(0, 0);
		for (uint64_t unique = 2; unique <= 2 * 16; unique += 2) {
			assert_err(receive(&e, &got, 16, PF_RECV_WAIT), 16);
			assert_int_equal(got.len, 16);
			assert_int_equal(got.error, -ENOMEM);
			assert_int_equal(got.unique, unique);
		}
		assert_err(receive(&e, &got, 16, 0), -EAGAIN);
		h.unique = 0;
	}
	pf__alloc_fail_at(1, 1);
	for (h.unique = 2; h.unique <= 2 * 17; h.unique += 2)
		assert_err(pf_inproc_reply(e.channel, &iov, 1), -ENOMEM);
	pf__alloc_fail_at(0, 0);
	assert_err(pf_inproc_reply(e.channel, &iov, 1), -ENODEV);
	for (int i = 0; i < 16; i++)
		assert_err(receive(&e, &got, 16, PF_RECV_WAIT), 16);
	assert_err(receive(&e, &got, 16, PF_RECV_WAIT), 0);
	assert_int_equal(e.disconnected, 0);
	e.t->ops->shutdown(e.t);
	assert_int_equal(e.disconnected, 1);
	ends_close(&e);
}

/* ---- trace */

struct lines {
	char text[4096];
};

static void add_line(void *ctx, const char *line)
{
	struct lines *l = ctx;

	snprintf(l->text + strlen(l->text), sizeof(l->text) - strlen(l->text), "%s\n", line);
}

static void test_trace(void **state)
{
	struct {
		struct fuse_in_header h;
		char name[4];
	} lookup = {{44, FUSE_LOOKUP, 2, 1}, "foo"};
	struct fuse_out_header enoent = {16, -ENOENT, 2};
	char buf[1000];
	struct lines l = {""};
	struct ends e;

	ends_open(&e, false, 10);
	assert_err(pf__transport_trace(&e.t, e.t, add_line, &l), 0);
	assert_err(e.t->ops->send(e.t, &(struct iovec){&lookup, 44}, 1), 0);
	assert_int_equal(send(e.fd, &enoent, 16, 0), 16);
	assert_err(receive(&e, buf, sizeof(buf), PF_RECV_PEEK), 16);
	assert_err(receive(&e, buf, sizeof(buf), PF_RECV_WAIT), 16);
	assert_string_equal(l.text, "LOOKUP(#2, node 1, \"foo\")\n = #2 -ENOENT\n");
	ends_close(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_messages),          cmocka_unit_test(test_ending),
	    cmocka_unit_test(test_polling),           cmocka_unit_test(test_shutdown_wakes),
	    cmocka_unit_test(test_signals),           cmocka_unit_test(test_full_socket),
	    cmocka_unit_test(test_wrong_descriptors), cmocka_unit_test(test_reset),
	    cmocka_unit_test(test_inproc_requests),   cmocka_unit_test(test_inproc_close_first),
	    cmocka_unit_test(test_inproc_no_memory),  cmocka_unit_test(test_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
