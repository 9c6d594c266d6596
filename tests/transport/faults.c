/* SPDX-License-Identifier: BSD-2-Clause */
/* What each word of a fault plan does to the messages, both ways. */
#include "base/alloc.h"
#include "base/clock.h"
#include "tests/unit.h"
#include "transport/transport.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct link {
	struct pf__transport *t;
	int fd;
};

static struct link *link_open(const char *plan)
{
	static struct link l;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	l.fd = sv[1];
	assert_err(pf__transport_fd(&l.t, sv[0], 100, 0), 0);
	assert_err(pf__transport_fault(&l.t, l.t, plan), 0);
	return &l;
}

static void link_close(struct link *l)
{
	l->t->ops->shutdown(l->t);
	l->t->ops->free(l->t);
	close(l->fd);
}

/* Words of four letters, sent one by one. */
static void say(struct link *l, bool tx, const char *words)
{
	for (; *words; words += 4) {
		if (tx)
			(void)l->t->ops->send(l->t, &(struct iovec){(char *)words, 4}, 1);
		else
			assert_int_equal(send(l->fd, words, 4, MSG_NOSIGNAL), 4);
	}
}

/* What comes out at the other end next. -EAGAIN: nothing for a while. */
static ssize_t hear_one(struct link *l, bool tx, char *buf, size_t len)
{
	struct pollfd p = {l->fd, POLLIN, 0};
	ssize_t n = -EAGAIN;
	char peeked[16];

	if (!tx) {
		for (int i = 0; i < 3 && n == -EAGAIN; i++)
			n = l->t->ops->recv(l->t, &(struct iovec){peeked, 16}, 1,
					    PF_RECV_WAIT | PF_RECV_PEEK);
		return n <= 0 ? n : l->t->ops->recv(l->t, &(struct iovec){buf, len}, 1, 0);
	}
	for (int i = 0; i < 60; i++) {
		/* Somebody polls the transport, as the service thread does. */
		(void)l->t->ops->arm(l->t);
		if (poll(&p, 1, 5) > 0) {
			n = recv(l->fd, buf, len, 0);
			return n;
		}
	}
	return -EAGAIN;
}

static uint64_t patience(void)
{
	return pf__now() + 20 * PF_NSEC_PER_SEC;
}

/* All that comes: silence is its end where it is what we expect, else the machine may be busy. */
static void hear(struct link *l, bool tx, const char *expected, char *text)
{
	uint64_t until = patience();
	char buf[64];
	ssize_t n;

	*text = 0;
	do {
		n = hear_one(l, tx, buf, sizeof(buf));
		if (n > 0)
			strncat(text, buf, n);
	} while (n > 0 || (n == -EAGAIN && strcmp(text, expected) && pf__now() < until));
	if (n == 0)
		strcat(text, "|");
}

static void expect(const char *plan, const char *words, const char *heard)
{
	char both[64], text[256];

	for (int tx = 0; tx < 2; tx++) {
		struct link *l;

		snprintf(both, sizeof(both), "%s%s", tx ? "tx-" : "", plan);
		l = link_open(both);
		say(l, tx, words);
		hear(l, tx, heard, text);
		assert_string_equal(text, heard);
		link_close(l);
	}
}

static void test_nothing(void **state)
{
	expect("drop=9", "aaa bbb ccc ", "aaa bbb ccc ");
}

static void test_drop(void **state)
{
	expect("drop=2", "aaa bbb ccc ", "aaa ccc ");
}

static void test_dup(void **state)
{
	expect("dup=2", "aaa bbb ccc ", "aaa bbb bbb ccc ");
}

static void test_reorder(void **state)
{
	expect("reorder=1", "aaa bbb ccc ", "bbb aaa ccc ");
	expect("reorder=3", "aaa bbb ccc ", "aaa bbb ccc "); /* nothing comes that could pass it */
}

static void test_delay(void **state)
{
	uint64_t start = pf__now();

	expect("delay=2:60", "aaa bbb ccc ", "aaa bbb ccc ");
	assert_true(pf__now() - start >= 120 * PF_NSEC_PER_MSEC);
}

static void test_disconnect(void **state)
{
	struct link *l = link_open("disconnect=2");
	char text[64];

	say(l, false, "aaa bbb ccc ");
	hear(l, false, "aaa |", text);
	assert_string_equal(text, "aaa |");
	assert_err(l->t->ops->send(l->t, &(struct iovec){text, 4}, 1), -ENOTCONN);
	link_close(l);
	l = link_open("tx-disconnect=2");
	say(l, true, "aaa bbb ccc ");
	hear(l, true, "aaa |", text);
	assert_string_equal(text, "aaa |");
	link_close(l);
}

/* The same seed spoils in the same way, another one in another. */
static void spoilt(const char *plan, bool tx, char out[64], ssize_t *len)
{
	struct link *l = link_open(plan);
	uint64_t until = patience();

	say(l, tx, "abcd");
	do
		*len = hear_one(l, tx, out, 64);
	while (*len == -EAGAIN && pf__now() < until);
	link_close(l);
}

static void test_short_and_corrupt(void **state)
{
	char a[64] = "", b[64] = "";
	ssize_t n, m;

	for (int tx = 0; tx < 2; tx++) {
		spoilt(tx ? "seed=5,tx-short=1" : "seed=5,short=1", tx, a, &n);
		assert_true(n >= 1 && n < 4);
		spoilt(tx ? "seed=5,tx-short=1" : "seed=5,short=1", tx, b, &m);
		assert_int_equal(n, m);
		spoilt(tx ? "seed=5,tx-corrupt=1" : "seed=5,corrupt=1", tx, a, &n);
		spoilt(tx ? "seed=5,tx-corrupt=1" : "seed=5,corrupt=1", tx, b, &m);
		assert_int_equal(n, 4);
		assert_memory_equal(a, b, 4);
		assert_memory_not_equal(a, "abcd", 4);
	}
}

/* Nobody reads for long: the descriptor tells when a held message is due. */
static void test_poll(void **state)
{
	struct link *l = link_open("delay=1:50");
	struct pollfd p = {l->t->ops->fd(l->t), POLLIN, 0};
	uint64_t start;
	char buf[16];

	say(l, false, "aaa ");
	assert_false(l->t->ops->arm(l->t));
	assert_int_equal(poll(&p, 1, 60000), 1); /* the message itself */
	start = pf__now();
	assert_err(l->t->ops->recv(l->t, &(struct iovec){buf, 16}, 1, 0), -EAGAIN);
	/* It is due when we have slept until then, or were kept from the processor as long. */
	if (!l->t->ops->arm(l->t))
		assert_int_equal(poll(&p, 1, 60000), 1);
	assert_true(pf__now() - start >= 50 * PF_NSEC_PER_MSEC);
	assert_err(l->t->ops->recv(l->t, &(struct iovec){buf, 16}, 1, 0), 4);
	link_close(l);
}

static void test_no_leak(void **state)
{
	int64_t live = pf__alloc_live();
	struct link *l = link_open("delay=1:5000,tx-delay=1:5000");
	char buf[16];

	say(l, false, "aaa bbb ");
	say(l, true, "aaa bbb ");
	assert_err(l->t->ops->recv(l->t, &(struct iovec){buf, 16}, 1, 0), -EAGAIN);
	link_close(l);
	assert_int_equal(pf__alloc_live(), live);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nothing),
	    cmocka_unit_test(test_drop),
	    cmocka_unit_test(test_dup),
	    cmocka_unit_test(test_reorder),
	    cmocka_unit_test(test_delay),
	    cmocka_unit_test(test_disconnect),
	    cmocka_unit_test(test_short_and_corrupt),
	    cmocka_unit_test(test_poll),
	    cmocka_unit_test(test_no_leak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
