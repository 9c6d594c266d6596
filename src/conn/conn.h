/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One server: INIT, the life of a request, the background queue, interrupts, forgets, deadlines,
 * abort and notifications. Knows nothing of files, names or caches.
 *
 * A request completes exactly once, on every path (C1): reply, abort, server death, deadline. The
 * thread that waits for a reply reads the transport itself and completes the requests of others on
 * its way (C2): leader and followers. A service thread serves what nobody waits for.
 *
 * No lock may be held while calling pf__request() (C5). Lock inside: PF_RANK_CONN.
 */
#ifndef PF_CONN_CONN_H
#define PF_CONN_CONN_H

#include "base/list.h"
#include "proto/proto.h"
#include "transport/transport.h"

struct pf__conn;
struct pf__req;

struct pf__cred {
	uint32_t uid, gid, pid;
};

/* Marks of a request. */
#define PF_REQ_FORCE      (1u << 0) /* waits for no limit; not given up for a signal */
#define PF_REQ_NOCREDS    (1u << 1) /* uid, gid, pid are sent as 0 */
#define PF_REQ_NODEADLINE (1u << 2) /* SETLKW, POLL */
#define PF_REQ_NOINTR     (1u << 3) /* never send INTERRUPT for it */
/* Background: its answer may be taken up some ms late, so it wakes nobody. Who waits for it in
 * pf__conn_sleep() reads it at once: the right mark where the submitter will wait himself. */
#define PF_REQ_LAZY (1u << 4)

/* Data of 1 MiB out of blocks of 256 KiB is five vectors when it begins inside of one; before it
 * goes the fixed structure of a WRITE. */
#define PF_REQ_IN_MAX  6
#define PF_REQ_OUT_MAX 5

/*
 * A request with its arguments in and out. Zero it, fill the first part, call pf__request(). For a
 * synchronous request it and all it points to may live on the caller's stack: nothing touches them
 * after the call returns.
 */
struct pf__req {
	/* The caller's part. */
	uint32_t opcode;
	unsigned marks;
	uint64_t nodeid;
	struct pf__cred cred;
	/* Arguments after the header. in[0] is the fixed structure in the newest layout, if the
	 * opcode has one; it is re-shaped in place for an older minor. Then names (with their NUL),
	 * data. */
	struct iovec in[PF_REQ_IN_MAX];
	int nin;
	uint16_t extlen; /* bytes of extensions at the end of in; a multiple of 8 */
	/* Where the reply's body goes, in the newest layout: the fixed structure first, then data.
	 * For variable replies their sum is the most that is accepted. */
	struct iovec out[PF_REQ_OUT_MAX];
	int nout;
	uint32_t expect_mode; /* struct pf__expect.mode */
	uint64_t expect_size; /* struct pf__expect.size */
	const void *group;    /* whose call it is, for pf__conn_interrupt() */
	void (*done)(
	    struct pf__req *req); /* background: called once, on any thread, no lock held */
	void *done_ctx;

	/* The result, valid after completion. */
	int error;      /* 0 or negative errno */
	size_t out_len; /* bytes of body received (in the newest layout for fixed replies) */
	bool answered;  /* error (also 0) came from the server, not from the connection */
	bool forget;    /* the entry in the reply was counted by the server but must not be used */

	/* Private to conn/. */
	struct pf__list link;
	struct pf__req *hash_next;
	struct pf__channel *channel;
	struct fuse_in_header header;
	uint64_t start, deadline; /* pf__now() */
	_Atomic uint32_t state;
	unsigned flags;
};

static inline void pf__req_in(struct pf__req *r, const void *p, size_t len)
{
	r->in[r->nin++] = (struct iovec){.iov_base = (void *)p, .iov_len = len};
}

static inline void pf__req_out(struct pf__req *r, void *p, size_t len)
{
	r->out[r->nout++] = (struct iovec){.iov_base = p, .iov_len = len};
}

/* What the connection tells the layers above; called without locks, on any thread, perhaps already
 * before pf__conn_open() has returned, and must not wait for requests. */
struct pf__conn_ops {
	/* 0, or the negative errno that the kernel would give the server's write (it is only
	 * counted and traced here: a socket cannot carry it back). */
	int (*notify)(void *ctx, const struct pf__notify *n);
	/* The server is gone or the connection was aborted. Once. */
	void (*dead)(void *ctx);
	/* DESTROY was answered, and we are about to hang up in order. May be NULL. */
	void (*hanging_up)(void *ctx);
	/* About every 100 ms while the service thread lives or pf_service() is called. */
	void (*tick)(void *ctx, uint64_t now);
};

struct pf__conn_config {
	struct pf__init_want want;
	uint32_t request_timeout_ms; /* 0 none */
	uint32_t init_timeout_ms;
	uint32_t max_background; /* override, 0 as negotiated */
	bool service_thread;
	const struct pf__conn_ops *ops;
	void *ctx;
};

/* Take over t, send INIT and wait for the answer. 0; -ECONNREFUSED (pf_error says why), -ETIMEDOUT,
 * -ENOTCONN the server died, -ENOMEM. On failure everything is freed, t too. */
int pf__conn_open(struct pf__conn **conn, struct pf__transport *t,
		  const struct pf__conn_config *config);
/* A further channel to the same server (a cloned device). Takes over t. */
int pf__conn_add_channel(struct pf__conn *conn, struct pf__transport *t);
/* What INIT agreed on; constant. */
const struct pf__init_got *pf__conn_got(const struct pf__conn *conn);
static inline bool pf__conn_has(const struct pf__conn *conn, uint64_t init_flag)
{
	return pf__conn_got(conn)->dialect.flags & init_flag;
}

/* Send and wait. 0 or negative errno, as req->error. From the connection itself:
 *   -ENOTCONN      the server is gone: before we asked, or while we waited
 *   -ECONNABORTED  the connection was aborted while we waited: pf__conn_abort(), another request's
 *                  deadline, or the end of only the one channel (of several) that carried ours
 *   -ETIMEDOUT     this request passed its own deadline
 *   -EINTR         interrupted before it was sent
 *   -EIO           larger than the server's buffer (SETXATTR: -E2BIG), or a reply that is not valid
 *   -ENOMEM
 * The buffers of LISTXATTR and READLINK must be one vector. */
int pf__request(struct pf__conn *conn, struct pf__req *req);
/* The same, but to be complete by deadline (pf__now()). */
int pf__request_until(struct pf__conn *conn, struct pf__req *req, uint64_t deadline);
/* Send when the background limits allow (marks FORCE: at once); req->done is called exactly once,
 * perhaps before this returns. req and its arguments must live until then. Never blocks: what the
 * limits hold back is queued. done() must not wait for a request: it may run on the thread that
 * reads the answers of all. */
void pf__request_background(struct pf__conn *conn, struct pf__req *req);
/* As many background requests as the server's congestion threshold: readahead should pause. */
bool pf__conn_congested(struct pf__conn *conn);

/* The server answered ENOSYS to this opcode before: do not ask again. */
bool pf__conn_nosys(const struct pf__conn *conn, uint32_t opcode);
void pf__conn_set_nosys(struct pf__conn *conn, uint32_t opcode);

/* Give back lookups; queued, batched, never blocks, never fails (a queue that cannot grow sends at
 * once or aborts). */
void pf__conn_forget(struct pf__conn *conn, uint64_t nodeid, uint64_t nlookup);
/* Send the forgets that are queued now, as far as the transport takes them. */
void pf__conn_flush_forgets(struct pf__conn *conn);
/* Answer NOTIFY_RETRIEVE: data from offset, at most max_write bytes. */
int pf__conn_notify_reply(struct pf__conn *conn, const struct pf__notify *n,
			  const struct iovec *data, int ndata);

/* Interrupt all requests of group, and its calls that sleep. The number found. */
int pf__conn_interrupt(struct pf__conn *conn, const void *group);

/* End all waits; idempotent. error: what requests in flight get (-ECONNABORTED). */
void pf__conn_abort(struct pf__conn *conn, int error);
bool pf__conn_dead(const struct pf__conn *conn);
/* What it died of: 0 it lives, -ENOTCONN the server went, -ETIMEDOUT a deadline, -ECONNABORTED it
 * was aborted. */
int pf__conn_death(struct pf__conn *conn);

/* No tick() begins any more, and none is running when it returns. Not from a tick. */
void pf__conn_stop_ticks(struct pf__conn *conn);

/* For a caller without service thread. */
int pf__conn_fd(struct pf__conn *conn);
int pf__conn_service(struct pf__conn *conn);
/* Sleep on a word that done() changes, as pf__futex_wait(). This thread meanwhile reads
 * the channels that nobody reads (background requests marked PF_REQ_LAZY too), and without a
 * service thread does its work. So done() of any request, and notify(), may run on it: no lock may
 * be held. 0 also when the connection is dead and the word has not changed, after a moment. Whoever
 * else sleeps on the same word does so by this function. */
int pf__conn_sleep(struct pf__conn *conn, _Atomic uint32_t *word, uint32_t expected,
		   uint64_t deadline);
/* The same for a call of group (for pf__conn_interrupt(); NULL: none). */
int pf__conn_sleep_as(struct pf__conn *conn, const void *group, _Atomic uint32_t *word,
		      uint32_t expected, uint64_t deadline);
/* The same for a word that notify() changes: there may be nothing to read for hours, so the service
 * thread does it, if there is one. */
int pf__conn_watch(struct pf__conn *conn, _Atomic uint32_t *word, uint32_t expected,
		   uint64_t deadline);
/* For who changes such a word elsewhere than in done() and notify() (these may use
 * pf__futex_wake()): wake all who sleep on it. Takes the lock CONN. */
void pf__conn_wake(struct pf__conn *conn, _Atomic uint32_t *word);

/* Wait until all background requests have ended and their done() has returned, timeout_ms at most.
 * True when it is so. */
bool pf__conn_drain(struct pf__conn *conn, unsigned timeout_ms);
/* Wait for background requests, send queued forgets and DESTROY (waited for, bounded by
 * timeout_ms), shut down, join the service thread, free. No request may be in flight in another
 * thread. */
void pf__conn_close(struct pf__conn *conn, unsigned timeout_ms);

struct pf__conn_stats {
	uint64_t requests, replies, background, forgets, forget_messages, interrupts;
	uint64_t notifications, bad_replies, unknown_replies, aborted;
	uint64_t read_by_leader, read_by_service, spin_hits, spin_misses;
	uint64_t waiting, num_background, max_background, congestion_threshold;
	uint64_t by_opcode[64];
};
void pf__conn_stats(struct pf__conn *conn, struct pf__conn_stats *out);

#endif
