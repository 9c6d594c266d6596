/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How whole messages travel between client and server. One table of functions per transport; trace
 * and fault are transports that stand on another one. Knows nothing of what a message means (the
 * trace asks proto/ for a line).
 *
 * Threads: send may be called by any number of threads at once; recv by one at a time (the leader,
 * see conn/); shutdown by anyone. Lock rank of what a transport needs inside: PF_RANK_TRANSPORT.
 */
#ifndef PF_TRANSPORT_TRANSPORT_H
#define PF_TRANSPORT_TRANSPORT_H

#include <portfire/portfire.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct pf__transport;

#define PF_RECV_PEEK 1u /* leave the message; only the first bytes are wanted */
#define PF_RECV_WAIT 2u /* wait for a message up to the transport's tick */

struct pf__transport_ops {
	const char *name;
	/* Send one whole message; never blocks. 0; -EAGAIN no room now; -EMSGSIZE; -ENOTCONN the
	 * peer is gone; -ENOMEM. */
	int (*send)(struct pf__transport *t, const struct iovec *iov, int n);
	/* Receive one whole message into iov; what does not fit is lost. The whole message's length
	 * (with PF_RECV_PEEK perhaps only the length that fits iov); 0 the peer is gone; -EAGAIN
	 * none (within the tick); -EINTR a signal. */
	ssize_t (*recv)(struct pf__transport *t, const struct iovec *iov, int n, unsigned flags);
	/* Wait until send may succeed, timeout_ms at most. 0 perhaps; -EAGAIN timeout; -EINTR;
	 * -ENOTCONN. */
	int (*wait_writable)(struct pf__transport *t, int timeout_ms);
	/* A descriptor that polls POLLIN when there is a message, once arm() has been called. */
	int (*fd)(struct pf__transport *t);
	/* The caller will poll fd(). True when a message is there already, so that it must not. */
	bool (*arm)(struct pf__transport *t);
	/* Both directions end: recv gives 0, send -ENOTCONN, sleepers wake. Idempotent. */
	void (*shutdown)(struct pf__transport *t);
	/* After shutdown and when nobody uses it. */
	void (*free)(struct pf__transport *t);
};

struct pf__transport {
	const struct pf__transport_ops *ops;
	size_t max_send, max_recv; /* largest whole message each way, in bytes */
};

/* A connected SOCK_SEQPACKET socket, ours from now on, also on failure. tick_ms: how long recv
 * waits at most (it also makes signals end the wait, SA_RESTART or not). peer_sndbuf: what the peer
 * may send in one message, 0 unknown: the system's default is assumed. */
int pf__transport_fd(struct pf__transport **t, int fd, unsigned tick_ms, size_t peer_sndbuf);

/* A server in this process; *channel is the server's end. channel NULL: the server is given its end
 * with the first request; until then there is nothing that it could close. */
int pf__transport_inproc(struct pf__transport **t, const struct pf_inproc_ops *ops, void *ctx,
			 unsigned tick_ms, struct pf_inproc **channel);

/* Give one line a message to fn. Takes over below. */
int pf__transport_trace(struct pf__transport **t, struct pf__transport *below, pf_trace_fn fn,
			void *ctx);

/* Spoil messages by plan (struct pf_options.faults). -EINVAL for a plan that cannot be read; below
 * is then freed. */
int pf__transport_fault(struct pf__transport **t, struct pf__transport *below, const char *plan);

#endif
