/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server for the tests of conn/: a thread at the other end of a socket pair. It answers INIT and,
 * unless the test's handler takes a request, GETATTR, READ, and everything else with success.
 */
#ifndef TESTS_CONN_PEER_H
#define TESTS_CONN_PEER_H

#include "base/clock.h"
#include "conn/conn.h"
#include <pthread.h>
#include <stdatomic.h>

struct peer;

/* True when it has dealt with the message. */
typedef bool (*peer_fn)(struct peer *p, const struct fuse_in_header *h, const void *arg);

struct peer {
	int fd; /* the server's end; -1 hung up */
	int client_fd;
	peer_fn handler;
	void *ctx;
	struct fuse_init_out init; /* answered to INIT */
	pthread_t thread;
	bool started;
	size_t extra_read;         /* buffer beyond 1 MiB + 1 page */
	_Atomic unsigned seen[64]; /* by opcode */
	_Atomic unsigned served;
	struct pf__conn *conn;
	struct pf__conn_config config;
	struct pf__conn_ops ops;
};

/* Fill in defaults; then the test may change them. */
void peer_init(struct peer *p, peer_fn handler, void *ctx);
/* Make the pair, start the thread. */
void peer_start(struct peer *p);
/* peer_start() and a connection over the fd transport. */
void peer_open(struct peer *p);
int peer_try_open(struct peer *p);
/* Close the connection if there is one, end the thread. */
void peer_end(struct peer *p);
void peer_hang_up(struct peer *p); /* from its own thread or another: shutdown */

void peer_reply(struct peer *p, uint64_t unique, int error, const void *body, size_t len);
void peer_notify(struct peer *p, int code, const void *body, size_t len);
/* Answers as by default. */
void peer_default(struct peer *p, const struct fuse_in_header *h, const void *arg);
void peer_attr(struct fuse_attr_out *o, uint64_t nodeid);

/* A server that answers when it is told to: a handler (ctx is a struct holder) that keeps the
 * GETATTRs of nodes below 1000. */
struct holder {
	struct fuse_in_header held[256];
	_Atomic unsigned n;
	_Atomic unsigned dead; /* for the test's own use */
};
bool hold(struct peer *p, const struct fuse_in_header *h, const void *arg);

/* The same answers as by default from a server in this process: of struct pf_inproc_ops. */
void peer_inproc_request(void *ctx, struct pf_inproc *ch, const void *msg, size_t len);

/* GETATTR of nodeid; the result, and that the right answer came. */
int ask_getattr(struct pf__conn *conn, uint64_t nodeid);
struct pf__req getattr_req(uint64_t nodeid, struct fuse_getattr_in *in, struct fuse_attr_out *out);
void wait_for(_Atomic unsigned *n, unsigned least);

#endif
