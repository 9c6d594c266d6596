/* SPDX-License-Identifier: BSD-2-Clause */
/* INIT, a round trip, hostile replies, and what ends a connection. */
#include "base/errmsg.h"
#include "tests/conn/peer.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_round_trips(void **state)
{
	struct pf__conn_stats st;
	struct peer p;

	peer_init(&p, NULL, NULL);
	peer_open(&p);
	assert_int_equal(pf__conn_got(p.conn)->max_write, 128 << 10);
	for (uint64_t i = 1; i <= 1000; i++)
		assert_int_equal(ask_getattr(p.conn, i), 0);
	pf__conn_stats(p.conn, &st);
	assert_int_equal(st.requests, 1001);
	assert_int_equal(st.replies, 1001);
	assert_int_equal(st.by_opcode[FUSE_GETATTR], 1000);
	assert_true(st.read_by_leader >=
		    500); /* the service thread may come before it on a busy machine */
	peer_end(&p);
	assert_int_equal(p.seen[FUSE_DESTROY], 1);
}

static void test_large_read(void **state)
{
	struct fuse_read_in in = {.size = 128 << 10};
	struct pf__req req = {.opcode = FUSE_READ, .nodeid = 7, .expect_size = in.size};
	char *a = malloc(100000), *b = malloc(100000);
	struct peer p;

	peer_init(&p, NULL, NULL);
	peer_open(&p);
	pf__req_in(&req, &in, sizeof(in));
	pf__req_out(&req, a, 100000);
	pf__req_out(&req, b, in.size - 100000);
	assert_int_equal(pf__request(p.conn, &req), 0);
	assert_int_equal(req.out_len, in.size);
	for (uint32_t i = 0; i < in.size; i++)
		assert_int_equal(i < 100000 ? a[i] : b[i - 100000], (char)(7 + i));
	free(a);
	free(b);
	peer_end(&p);
}

/* ---- INIT */

static bool init_refuse(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	if (h->opcode != FUSE_INIT)
		return false;
	peer_reply(p, h->unique, -EPROTO, NULL, 0);
	return true;
}

static void test_init_refused(void **state)
{
	struct peer p;

	peer_init(&p, init_refuse, NULL);
	assert_int_equal(peer_try_open(&p), -ECONNREFUSED);
	assert_non_null(strstr(pf__errmsg(), "EPROTO"));
	peer_end(&p);
	peer_init(&p, NULL, NULL);
	p.init.major = 8;
	assert_int_equal(peer_try_open(&p), -ECONNREFUSED);
	peer_end(&p);
}

static bool init_short(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	if (h->opcode != FUSE_INIT)
		return false;
	p->init.minor = 22;
	peer_reply(p, h->unique, 0, &p->init, 24);
	return true;
}

static void test_init_short(void **state)
{
	struct peer p;

	peer_init(&p, init_short, NULL);
	peer_open(&p);
	assert_int_equal(pf__conn_got(p.conn)->dialect.minor, 22);
	assert_int_equal(ask_getattr(p.conn, 3), 0);
	peer_end(&p);
}

static bool silent(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	return true;
}

static void test_init_timeout(void **state)
{
	struct peer p;

	peer_init(&p, silent, NULL);
	p.config.init_timeout_ms = 200;
	assert_int_equal(peer_try_open(&p), -ETIMEDOUT);
	peer_end(&p);
}

static bool hang_up(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	peer_hang_up(p);
	return true;
}

static void test_init_death(void **state)
{
	struct peer p;

	peer_init(&p, hang_up, NULL);
	assert_int_equal(peer_try_open(&p), -ENOTCONN);
	peer_end(&p);
}

/* ---- bad servers */

static bool bad(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	struct fuse_attr_out attr;
	struct fuse_out_header o = {sizeof(o), 0, h->unique};

	if (h->opcode != FUSE_GETATTR)
		return false;
	peer_attr(&attr, h->nodeid);
	switch (h->nodeid) {
	case 100: /* a unique that nobody has, a positive error, a lying length; then the right one
		   */
		peer_reply(p, 99998, 0, NULL, 0);
		peer_reply(p, h->unique, 5, NULL, 0);
		peer_reply(p, h->unique, -512, NULL, 0);
		o.len = 17;
		send(p->fd, &o, sizeof(o), MSG_NOSIGNAL);
		send(p->fd, &o, 7, MSG_NOSIGNAL);
		send(p->fd, &o, 0, MSG_NOSIGNAL);
		return false;
	case 101: /* too short */
		peer_reply(p, h->unique, 0, &attr, 50);
		return true;
	case 102: /* too long */
		peer_reply(p, h->unique, 0, (char[200]){0}, 200);
		return true;
	case 103: /* an error with a body */
		peer_reply(p, h->unique, -ENOENT, &attr, sizeof(attr));
		return true;
	case 104: /* twice */
		peer_reply(p, h->unique, 0, &attr, sizeof(attr));
		peer_reply(p, h->unique, 0, &attr, sizeof(attr));
		return true;
	case 105: /* no type */
		attr.attr.mode = 0644;
		peer_reply(p, h->unique, 0, &attr, sizeof(attr));
		return true;
	case 106:
		peer_reply(p, h->unique, -ENOENT, NULL, 0);
		return true;
	}
	return false;
}

static void test_bad_replies(void **state)
{
	struct pf__conn_stats st;
	struct peer p;

	peer_init(&p, bad, NULL);
	peer_open(&p);
	assert_int_equal(ask_getattr(p.conn, 100), 0);
	assert_int_equal(ask_getattr(p.conn, 101), -EIO);
	assert_int_equal(ask_getattr(p.conn, 102), -EIO);
	assert_int_equal(ask_getattr(p.conn, 103), -EIO);
	assert_int_equal(ask_getattr(p.conn, 104), 0);
	assert_int_equal(ask_getattr(p.conn, 105), -EIO);
	assert_int_equal(ask_getattr(p.conn, 106), -ENOENT);
	assert_int_equal(ask_getattr(p.conn, 5), 0);
	pf__conn_stats(p.conn, &st);
	assert_int_equal(st.bad_replies, 8);
	assert_int_equal(st.unknown_replies, 2);
	peer_end(&p);
}

/* ---- death and deadlines */

static void test_death(void **state)
{
	struct peer p;

	peer_init(&p, NULL, NULL);
	peer_open(&p);
	p.handler = hang_up;
	assert_int_equal(ask_getattr(p.conn, 5), -ENOTCONN);
	assert_int_equal(ask_getattr(p.conn, 5), -ENOTCONN);
	assert_true(pf__conn_dead(p.conn));
	peer_end(&p);
}

/* It never answers, and time passes. */
static bool too_late(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	pf__clock_advance(601 * PF_NSEC_PER_SEC);
	return true;
}

static void test_deadline(void **state)
{
	struct peer p;

	peer_init(&p, NULL, NULL);
	p.config.request_timeout_ms = 600000;
	peer_open(&p);
	assert_int_equal(ask_getattr(p.conn, 5), 0);
	p.handler = too_late;
	assert_int_equal(ask_getattr(p.conn, 5), -ETIMEDOUT);
	assert_int_equal(ask_getattr(p.conn, 5), -ENOTCONN);
	peer_end(&p);
}

/* The server's own wish; a deadline of the client that is earlier wins. */
static void test_negotiated_timeout(void **state)
{
	struct peer p;
	uint64_t start;

	peer_init(&p, NULL, NULL);
	p.init.flags |= FUSE_INIT_EXT;
	p.init.flags2 = FUSE_REQUEST_TIMEOUT >> 32;
	p.init.request_timeout = 1;
	peer_open(&p);
	p.handler = silent;
	start = pf__now();
	assert_int_equal(ask_getattr(p.conn, 5), -ETIMEDOUT);
	assert_true(pf__now() - start >= PF_NSEC_PER_SEC);
	peer_end(&p);
}

static void test_no_deadline(void **state)
{
	struct fuse_getattr_in in;
	struct fuse_attr_out out;
	struct pf__req req = getattr_req(5, &in, &out);
	struct peer p;

	peer_init(&p, NULL, NULL);
	p.config.request_timeout_ms = 1;
	peer_open(&p);
	for (int i = 0; i < 20; i++) {
		req = getattr_req(5, &in, &out);
		req.marks = PF_REQ_NODEADLINE;
		assert_int_equal(pf__request(p.conn, &req), 0);
	}
	peer_end(&p);
}

static void test_too_large(void **state)
{
	char big[300];
	struct fuse_setxattr_in in = {.size = 200000};
	struct pf__req req = {.opcode = FUSE_SETXATTR, .nodeid = 1};
	char *value = calloc(1, 200000);
	struct peer p;

	memset(big, 'a', sizeof(big));
	peer_init(&p, NULL, NULL);
	peer_open(&p);
	pf__req_in(&req, &in, sizeof(in));
	pf__req_in(&req, "user.a", 7);
	pf__req_in(&req, value, 200000);
	assert_int_equal(pf__request(p.conn, &req), -E2BIG);
	assert_int_equal(p.seen[FUSE_SETXATTR], 0);
	free(value);
	peer_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trips),        cmocka_unit_test(test_large_read),
	    cmocka_unit_test(test_init_refused),       cmocka_unit_test(test_init_short),
	    cmocka_unit_test(test_init_timeout),       cmocka_unit_test(test_init_death),
	    cmocka_unit_test(test_bad_replies),        cmocka_unit_test(test_death),
	    cmocka_unit_test(test_deadline),           cmocka_unit_test(test_too_large),
	    cmocka_unit_test(test_negotiated_timeout), cmocka_unit_test(test_no_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
