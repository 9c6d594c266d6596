/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of conn/ share. docs/locking.md tells who waits where and how leadership passes.
 *
 * The life of a request (flags under the connection's lock):
 *
 *	(new) -> FLYING, SENT        put into the table, being sent or sent
 *	      -> FLYING              the transport had no room: waits to be sent
 *	FLYING -> taken              out of the table: one thread alone completes it
 *	taken -> state DONE          synchronous: its thread returns
 *	      -> done()              background
 *	taken -> COMPLETED           while PINNED: whoever unpins makes the last step
 */
#ifndef PF_CONN_INTERNAL_H
#define PF_CONN_INTERNAL_H

#include "base/clock.h"
#include "base/lock.h"
#include "conn/conn.h"
#include "transport/vec.h"
#include <pthread.h>
#include <stdatomic.h>

#define PF__BUCKETS      256
#define PF__CHANNELS_MAX 64
#define PF_SEND_RETRY_NS (2 * PF_NSEC_PER_MSEC) /* before trying again to send */
#define PF__FORGETS_KEPT 256 /* entries of the forget queue that need no allocation */

/* pf__req.state, the word on which the thread of a synchronous request sleeps. */
enum {
	REQ_WAITING,
	REQ_SLEEPING, /* in the futex: who changes the word must wake */
	REQ_LEAD,     /* it was given the leadership of its channel */
	REQ_DONE,
};

/* pf__req.flags */
#define REQ_BACKGROUND (1u << 0)
#define REQ_FLYING     (1u << 1)  /* in the table */
#define REQ_SENT       (1u << 2)  /* handed to the transport, or just being so */
#define REQ_PINNED     (1u << 3)  /* its vectors are in use outside the lock: do not let go of it */
#define REQ_COMPLETED  (1u << 4)  /* the result is there, a pin holds it */
#define REQ_WAITER     (1u << 5)  /* follows: in channel->waiters while it flies */
#define REQ_RESENT     (1u << 6)  /* the reply must carry FUSE_UNIQUE_RESEND */
#define REQ_RESEND     (1u << 7)  /* to be sent again */
#define REQ_INTR       (1u << 8)  /* INTERRUPT is wanted */
#define REQ_INTR_SENT  (1u << 9)  /* INTERRUPT is at the server */
#define REQ_ONEWAY     (1u << 10) /* no reply: complete once sent */
#define REQ_ACTIVE     (1u << 11) /* background: counts against max_background */
#define REQ_MISSED     (1u << 12) /* its thread came to wait while it was taken */

struct pf__sleeper; /* a thread in pf__conn_sleep() */

/* How many waits to go on without spinning, and how many after the next vain one. */
struct pf__spin {
	_Atomic uint32_t skip, rest;
};
#define PF_SPIN_NS (50 * PF_NSEC_PER_USEC) /* an answer that comes later is slept for */

struct pf__channel {
	struct pf__conn *conn;
	struct pf__transport *t;
	char *whole;   /* a header and t->max_recv bytes, for the reader */
	char *scratch; /* in whole, behind the header */
	/* Written under conn->lock; the reader looks at it without. */
	_Atomic uint32_t inflight;
	_Atomic uint32_t landing; /* of inflight: whose replies have a body */
	/* conn->lock: */
	struct pf__list waiters; /* synchronous requests whose threads follow */
	uint32_t background;     /* of inflight: nobody waits for these */
	uint32_t lazy;           /* of background: PF_REQ_LAZY */
	bool reading;            /* a thread is the reader: leader, sleeper or service */
	bool polled;             /* the service thread sleeps in poll on it */
	_Atomic bool dead;
	struct pf__spin spin, sleeper_spin; /* the reader's: a leader, a sleeper */
	/* lock: */
	struct pf__sleeper *sleeper; /* the reader, if it is one */
	const void *called;          /* nobody reads, but who sleeps on this word was woken to */
	int efd;                     /* wakes a sleeper that polls; -1 until there is one */
};

enum pf__svc_state { SVC_NONE, SVC_RUN, SVC_FUTEX, SVC_POLL };

struct pf__service {
	pthread_t thread;
	bool started;
	int efd;                /* wakes SVC_POLL; -1 without service thread */
	int epfd;               /* for pf__conn_fd(); -1 until asked for */
	_Atomic uint32_t kicks; /* wakes SVC_FUTEX */
	/* conn->lock: */
	enum pf__svc_state state;
	bool kicked;
	_Atomic bool stop;
	bool far;          /* sleeps long and does not watch every channel */
	bool idle;         /* sleeps and believes that nothing is outstanding */
	uint64_t wake_at;  /* when it wakes by itself */
	uint64_t seen_seq; /* conn->sync_seq at its last look */
	_Atomic uint64_t next_tick, next_check; /* its own, or of whoever stands in for it */
	_Atomic bool no_ticks;
	_Atomic unsigned ticking; /* threads in config.ops->tick() */
};

struct pf__forgets {
	struct pf__mutex lock;     /* rank FORGET; guards what follows */
	struct fuse_forget_one *q; /* those queued are q[head] and the n - 1 after it */
	size_t head, n, cap;
	uint64_t due; /* when the oldest must go out */
	bool flushing;
	bool blocked; /* the transport had no room at the last try */
	struct fuse_forget_one kept[PF__FORGETS_KEPT];
};

struct pf__conn {
	struct pf__conn_config config;
	struct pf__init_got got; /* constant once ready */
	_Atomic bool ready;      /* INIT was answered */
	_Atomic bool dead;
	int death;                 /* lock: see pf__conn_death() */
	_Atomic bool no_interrupt; /* the server answered ENOSYS to INTERRUPT */
	_Atomic uint64_t nosys;    /* bit per opcode */
	_Atomic uint64_t unique;
	size_t max_message;         /* what the server's buffer takes */
	_Atomic uint64_t timeout;   /* ns a request may take; 0 any */
	_Atomic uint64_t retrieved; /* bytes of answers to RETRIEVE that are not sent yet */
	_Atomic bool closing;       /* pf__conn_close(): its end is no news */

	struct pf__mutex lock; /* rank CONN; guards what follows */
	struct pf__req *table[PF__BUCKETS];
	struct pf__channel *channels[PF__CHANNELS_MAX];
	unsigned nchannels;
	uint64_t sync_seq;     /* counts synchronous requests */
	struct pf__list queue; /* background requests not yet sent */
	unsigned bg_active;
	_Atomic unsigned bg_total; /* written under the lock, read without */
	_Atomic unsigned max_background;
	bool bg_blocked;             /* the head of queue found no room in the transport */
	_Atomic uint32_t bg_ended;   /* futex word: counts completions */
	_Atomic unsigned bg_waiters; /* threads that wait for bg_ended */
	struct pf__list sleepers;    /* those that read nothing; it may be that they are called */
	struct pf__list asleep;      /* all of them */
	unsigned nsleepers;          /* their number */
	_Atomic unsigned polling;    /* sleepers to poke when words have changed */
	bool resend;                 /* some request has REQ_RESEND */
	uint64_t intr_at;            /* when to look for REQ_INTR; PF_TIME_FOREVER never */
	struct pf__conn_stats stats;
	struct pf__service svc;

	struct pf__forgets forgets;
	_Atomic uint64_t bad_replies, unknown_replies, notifications, forget_count, forget_messages;
	_Atomic uint64_t by_leader, by_service, spin_hits, spin_misses;
};

/* ---- table.c: requests in flight. All under conn->lock. */
struct pf__channel *pf__channel_pick(struct pf__conn *conn);
void pf__req_insert(struct pf__conn *conn, struct pf__channel *ch, struct pf__req *req);
/* Out of the table, if it is in. */
bool pf__req_take(struct pf__conn *conn, struct pf__req *req);
/* The request that a reply on ch with this unique answers, or NULL. */
struct pf__req *pf__req_find(struct pf__conn *conn, struct pf__channel *ch, uint64_t unique);
/* Back into the table: what seemed its reply was not. */
void pf__req_untake(struct pf__conn *conn, struct pf__req *req);
/* What stands in the wire's header now. */
uint64_t pf__req_unique(const struct pf__req *req);
/* Call fn for every request in flight; fn may take it. */
void pf__req_each(struct pf__conn *conn, void (*fn)(struct pf__req *req, void *ctx), void *ctx);

/* Must somebody be woken to read ch? Not for lazy requests, unless others wait for their end:
 * those in the queue, or a thread in pf__conn_sleep(). */
static inline bool pf__channel_unattended(const struct pf__channel *ch)
{
	const struct pf__conn *conn = ch->conn;

	if (ch->reading || ch->polled || !ch->background || ch->called)
		return false;
	return ch->background > ch->lazy || conn->nsleepers || !pf__list_empty(&conn->queue);
}

/* ---- request.c */
/* Fill in the private part. 0, or the errno for a request that cannot be sent. */
int pf__req_prepare(struct pf__conn *conn, struct pf__req *req);
int pf__req_send(struct pf__channel *ch, const struct pf__req *req);
/* Judge and widen the reply that landed; on the thread that owns the request. */
void pf__req_finish(struct pf__conn *conn, struct pf__req *req);
/* Under the lock, the request taken and its result set. Background requests go to done, for
 * pf__run_done() after the lock. */
void pf__req_complete(struct pf__conn *conn, struct pf__req *req, struct pf__list *done);
/* Under the lock: the pin goes; completes if that waited for it. */
void pf__req_unpin(struct pf__conn *conn, struct pf__req *req, struct pf__list *done);
void pf__run_done(struct pf__conn *conn, struct pf__list *done);
static inline void pf__req_fail(struct pf__req *req, int error)
{
	req->error = error;
	req->out_len = 0;
	req->answered = false;
}

/* ---- leader.c: reading */
/* Read one message, if there is one, for whoever it is. The caller is the reader of ch, and has no
 * request of its own. > 0 a message, 0 the end, -EAGAIN. by_leader: for the statistics. */
ssize_t pf__channel_read_any(struct pf__channel *ch, bool by_leader);
/* Become the reader if there is none, read what is there, stop being it. by_service: the caller
 * does the service's work, and needs not be told that nobody reads. */
void pf__channel_drain(struct pf__channel *ch, bool by_service);
/* Under the lock: hand the readership on. */
void pf__channel_release(struct pf__channel *ch);
/* recv said that the peer is gone. */
void pf__channel_ended(struct pf__channel *ch);
/* Wait until req, which is sent, is complete. */
void pf__req_wait(struct pf__conn *conn, struct pf__req *req);
/* May a wait begin with spinning? Then say what it was good for. */
static inline bool pf__spin_worthwhile(struct pf__spin *spin)
{
	uint32_t skip = atomic_load_explicit(&spin->skip, memory_order_relaxed);

	if (!skip)
		return true;
	atomic_store_explicit(&spin->skip, skip - 1, memory_order_relaxed);
	return false;
}
void pf__spin_judged(struct pf__conn *conn, struct pf__spin *spin, bool hit);

/* ---- sleep.c */
/* Under the lock: if somebody must be woken to read ch, wake a sleeper, or else (attend) the
 * service thread. */
bool pf__channel_call(struct pf__channel *ch);
void pf__channel_attend(struct pf__channel *ch);
/* Words have changed, by done() or notify(): wake the sleepers that are in poll and care. No cost
 * while there are none. Not under the lock. */
void pf__sleepers_poke(struct pf__conn *conn);
/* Let those of the group go, with EINTR. Their number. */
int pf__sleepers_interrupt(struct pf__conn *conn, const void *group);

/* ---- background.c */
void pf__bg_pump(struct pf__conn *conn);
void pf__bg_submit(struct pf__conn *conn, struct pf__req *req);

/* ---- interrupt.c */
/* A signal came while its thread waited. */
void pf__interrupt(struct pf__conn *conn, struct pf__req *req);
void pf__interrupt_answer(struct pf__channel *ch, const struct fuse_out_header *h, size_t len);
void pf__interrupt_retry(struct pf__conn *conn, uint64_t now);

/* ---- notify.c */
void pf__notified(struct pf__channel *ch, int32_t code, const void *body, size_t len);
void pf__resend(struct pf__conn *conn);

/* ---- forget.c */
int pf__forgets_init(struct pf__conn *conn);
void pf__forgets_drop(struct pf__conn *conn);
void pf__forgets_free(struct pf__conn *conn);
/* Some are queued, or just being sent. */
bool pf__forgets_left(struct pf__conn *conn);
/* When they must go out; PF_TIME_FOREVER none. */
uint64_t pf__forgets_due(struct pf__conn *conn);

/* ---- service.c */
int pf__service_start(struct pf__conn *conn);
void pf__service_stop(struct pf__conn *conn);
/* Under the lock: there is work for the service thread. */
void pf__service_kick(struct pf__conn *conn);
/* The same, unless it looks by itself before when. For work that is found under this lock. */
static inline void pf__service_by(struct pf__conn *conn, uint64_t when)
{
	if (conn->svc.wake_at > when)
		pf__service_kick(conn);
}
/* Whole milliseconds for poll, rounded up: too early would be a loop. */
static inline int pf__poll_ms(uint64_t until, uint64_t now)
{
	return until <= now ? 0 : (int)((until - now + PF_NSEC_PER_MSEC - 1) / PF_NSEC_PER_MSEC);
}
/* All of the service's work but the reading. */
void pf__service_work(struct pf__conn *conn, uint64_t now);
/* The caller has read without a service thread: who polls pf__conn_fd() must not miss the rest. */
void pf__service_rearm(struct pf__conn *conn);
/* The work that time brings. For the service thread and whoever stands in for it. */
void pf__maintain(struct pf__conn *conn, uint64_t now);

/* ---- abort.c */
/* As pf__conn_abort(); victim, if still in flight, gets victim_error. */
void pf__abort(struct pf__conn *conn, int error, struct pf__req *victim, int victim_error);
/* Abort if a request is past its deadline. */
void pf__check_deadlines(struct pf__conn *conn, uint64_t now);

/* ---- init.c */
int pf__init(struct pf__conn *conn);
void pf__destroy(struct pf__conn *conn, uint64_t deadline);

/* ---- */
static inline uint64_t pf__next_unique(struct pf__conn *conn)
{
	return atomic_fetch_add_explicit(&conn->unique, 2, memory_order_relaxed) + 2;
}
/* Under the lock, which makes the plain steps one. */
static inline void pf__bg_total_add(struct pf__conn *conn, int n)
{
	atomic_store_explicit(&conn->bg_total,
			      atomic_load_explicit(&conn->bg_total, memory_order_relaxed) + n,
			      memory_order_relaxed);
}
static inline void pf__count(_Atomic uint64_t *n)
{
	atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

#endif
