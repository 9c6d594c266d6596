/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/conn/peer.h"
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BUFFER ((1u << 20) + 4096)

void peer_attr(struct fuse_attr_out *o, uint64_t nodeid)
{
	*o = (struct fuse_attr_out){.attr_valid = 1};
	o->attr.ino = nodeid;
	o->attr.mode = S_IFREG | 0644;
	o->attr.nlink = 1;
	o->attr.size = nodeid * 10;
}

bool hold(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	struct holder *s = p->ctx;

	if (h->opcode != FUSE_GETATTR || h->nodeid >= 1000)
		return false;
	s->held[s->n] = *h;
	atomic_fetch_add(&s->n, 1);
	return true;
}

void peer_inproc_request(void *ctx, struct pf_inproc *ch, const void *msg, size_t len)
{
	const struct fuse_in_header *h = msg;
	struct fuse_init_out init = {.major = 7, .minor = 45, .max_write = 128 << 10};
	struct fuse_attr_out attr;
	struct fuse_out_header o = {.unique = h->unique};
	struct iovec iov[2] = {{&o, sizeof(o)}, {NULL, 0}};

	if (h->opcode == FUSE_FORGET || h->opcode == FUSE_BATCH_FORGET)
		return;
	peer_attr(&attr, h->nodeid);
	if (h->opcode == FUSE_INIT)
		iov[1] = (struct iovec){&init, sizeof(init)};
	else if (h->opcode == FUSE_GETATTR)
		iov[1] = (struct iovec){&attr, sizeof(attr)};
	o.len = sizeof(o) + iov[1].iov_len;
	(void)pf_inproc_reply(ch, iov, 2);
}

static void send_all(struct peer *p, const struct fuse_out_header *h, const void *body, size_t len)
{
	struct iovec iov[2] = {{(void *)h, sizeof(*h)}, {(void *)body, len}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = len ? 2 : 1};

	(void)!sendmsg(p->fd, &m, MSG_NOSIGNAL);
}

void peer_reply(struct peer *p, uint64_t unique, int error, const void *body, size_t len)
{
	struct fuse_out_header h = {sizeof(h) + len, error, unique};

	send_all(p, &h, body, len);
}

void peer_notify(struct peer *p, int code, const void *body, size_t len)
{
	peer_reply(p, 0, code, body, len);
}

static void reply_read(struct peer *p, const struct fuse_in_header *h,
		       const struct fuse_read_in *in)
{
	char *buf = malloc(in->size);

	for (uint32_t i = 0; i < in->size; i++)
		buf[i] = (char)(h->nodeid + in->offset + i);
	peer_reply(p, h->unique, 0, buf, in->size);
	free(buf);
}

void peer_default(struct peer *p, const struct fuse_in_header *h, const void *arg)
{
	struct fuse_attr_out attr;

	switch (h->opcode) {
	case FUSE_INIT:
		peer_reply(p, h->unique, 0, &p->init, sizeof(p->init));
		return;
	case FUSE_GETATTR:
		peer_attr(&attr, h->nodeid);
		peer_reply(p, h->unique, 0, &attr, sizeof(attr));
		return;
	case FUSE_READ:
		reply_read(p, h, arg);
		return;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
	case FUSE_NOTIFY_REPLY:
		return;
	default:
		peer_reply(p, h->unique, 0, NULL, 0);
	}
}

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	char *buf = malloc(BUFFER + p->extra_read);
	ssize_t n;

	while ((n = recv(p->fd, buf, BUFFER + p->extra_read, 0)) > 0) {
		struct fuse_in_header *h = (struct fuse_in_header *)buf;

		if (n < (ssize_t)sizeof(*h) || h->len != n)
			abort();
		if (!p->handler || !p->handler(p, h, h + 1))
			peer_default(p, h, h + 1);
		atomic_fetch_add(&p->seen[h->opcode % 64], 1);
		atomic_fetch_add(&p->served, 1);
	}
	shutdown(p->fd, SHUT_RDWR);
	free(buf);
	return NULL;
}

void peer_init(struct peer *p, peer_fn handler, void *ctx)
{
	memset(p, 0, sizeof(*p));
	p->fd = p->client_fd = -1;
	p->handler = handler;
	p->ctx = ctx;
	p->init = (struct fuse_init_out){
	    .major = FUSE_MAJOR,
	    .minor = FUSE_MINOR,
	    .max_write = 128 << 10,
	    .flags = FUSE_BIG_WRITES | FUSE_ASYNC_READ,
	};
	p->config = (struct pf__conn_config){
	    .want = {.minor = FUSE_MINOR,
		     .flags = FUSE_BIG_WRITES | FUSE_ASYNC_READ | FUSE_INIT_EXT |
			      FUSE_REQUEST_TIMEOUT | FUSE_HAS_RESEND,
		     .max_readahead = 128 << 10,
		     .max_write = 128 << 10,
		     .max_pages = 32},
	    .init_timeout_ms = 60000,
	    .service_thread = true,
	    .ops = &p->ops,
	    .ctx = p,
	};
}

void peer_start(struct peer *p)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	p->client_fd = sv[0];
	p->fd = sv[1];
	assert_int_equal(pthread_create(&p->thread, NULL, peer_main, p), 0);
	p->started = true;
}

int peer_try_open(struct peer *p)
{
	struct pf__transport *t;
	int err;

	peer_start(p);
	err = pf__transport_fd(&t, p->client_fd, 100, 0);
	if (!err)
		err = pf__conn_open(&p->conn, t, &p->config);
	if (err)
		p->conn = NULL;
	return err;
}

void peer_open(struct peer *p)
{
	assert_int_equal(peer_try_open(p), 0);
}

void peer_hang_up(struct peer *p)
{
	shutdown(p->fd, SHUT_RDWR);
}

void peer_end(struct peer *p)
{
	if (p->conn)
		pf__conn_close(p->conn, 2000);
	p->conn = NULL;
	if (!p->started)
		return;
	shutdown(p->fd, SHUT_RDWR);
	pthread_join(p->thread, NULL);
	close(p->fd);
	p->started = false;
}

struct pf__req getattr_req(uint64_t nodeid, struct fuse_getattr_in *in, struct fuse_attr_out *out)
{
	struct pf__req req = {.opcode = FUSE_GETATTR, .nodeid = nodeid, .cred = {1, 2, 3}};

	memset(in, 0, sizeof(*in));
	memset(out, 0, sizeof(*out));
	pf__req_in(&req, in, sizeof(*in));
	pf__req_out(&req, out, sizeof(*out));
	return req;
}

int ask_getattr(struct pf__conn *conn, uint64_t nodeid)
{
	struct fuse_getattr_in in;
	struct fuse_attr_out out;
	struct pf__req req = getattr_req(nodeid, &in, &out);
	int err = pf__request(conn, &req);

	if (!err && (out.attr.ino != nodeid || out.attr.size != nodeid * 10 ||
		     req.out_len != sizeof(out) || !req.answered))
		abort();
	return err;
}

void wait_for(_Atomic unsigned *n, unsigned least)
{
	for (int i = 0; atomic_load(n) < least; i++) {
		if (i > 50000) {
			fprintf(stderr, "waited for %u, have %u\n", least, atomic_load(n));
			abort();
		}
		poll(NULL, 0, 1);
	}
}
