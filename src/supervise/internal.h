/* SPDX-License-Identifier: BSD-2-Clause */
/* What supervise.c, receive.c and filter.c know of each other. */
#ifndef PF_SUPERVISE_INTERNAL_H
#define PF_SUPERVISE_INTERNAL_H

#include "supervise/supervise.h"
#include <linux/seccomp.h>
#include <pthread.h>

/* Linux's numbers of calls end below that, for a long time yet; higher ones are searched for. */
#define PF_ROLE_NRS 512

struct pf__role {
	const struct pf__trap *traps;
	size_t ntraps;
	void *ctx;
	bool parallel;
	pthread_mutex_t turn; /* of a role that is not: its handlers run under it */
	struct pf__list link;
	const struct pf__trap *by_nr[PF_ROLE_NRS];
};

/*
 * Threads that receive the calls of one listener. One waits in RECV (the kernel would wake all that
 * do), handles the call that it got and comes again. Others are parked; the first of these stands
 * by: when handlers do not return it waits in the place of those that have them.
 */
struct pf__pool {
	_Atomic int waiting;          /* in RECV, or on their way to it */
	_Atomic uint32_t taken;       /* calls, to see that things go on */
	_Atomic bool watched;         /* somebody stands by, and looks at `taken` */
	_Atomic int eager;            /* so many next calls are taken for ones that block */
	pthread_mutex_t lock;         /* a leaf; held while a thread is made */
	pthread_cond_t unpark, rouse; /* for who is parked, for who stands by; CLOCK_MONOTONIC */
	unsigned parked, tickets;     /* lock: how many; how many of those were called */
	bool standby;                 /* lock: one of those stands by */
	unsigned threads;             /* lock */
	_Atomic bool ending;          /* written under the lock */
	struct pf__list receivers;    /* lock, while not ending: those that run */
	struct pf__receiver *left;    /* lock: ended, and not yet joined */
};

struct pf__listener {
	struct pf__supervisor *s;
	struct pf__watch watch;
	struct pf__list link;
	bool pooled;
	struct pf__pool pool;
};

struct pf__supervisor {
	struct pf__list roles; /* complete before the first listener */
	bool parallel;         /* so is this: there is a parallel role */
	uint64_t token;
	uint64_t pass_page; /* pf__supervisor_pass() */
	const int *passed;
	size_t n_passed;
	pthread_mutex_t lock;
	pthread_cond_t ran;        /* running has changed */
	struct pf__list watches;   /* lock */
	struct pf__watch *running; /* lock: whose ready() runs */
	struct pf__list listeners; /* lock: struct pf__listener.link, also those that have ended */
	struct pf__watch end;      /* an eventfd: the loop shall end */
	int epoll;
	unsigned long thread;
	int no_filter;               /* why there can be none: negative errno */
	size_t notif_size;           /* as the kernel wants it */
	struct seccomp_notif *notif; /* the loop's */
};

void pf__call_from(struct pf__call *call, const struct pf__supervisor *s, int listener,
		   const struct seccomp_notif *n);
void pf__supervisor_dispatch(struct pf__supervisor *s, struct pf__call *call);

/* The first receiver. 0 or negative errno. */
int pf__pool_start(struct pf__listener *l);
/* Nobody is left under the filter: receivers end, as soon as their handlers return. */
void pf__pool_cancel(struct pf__listener *l);
/* After that, waits for their end. */
void pf__pool_free(struct pf__listener *l);

/* ---- memory.c: without asking whether the call waits ------------------------------------------
 */
/*
 * Bytes copied or negative errno: as pf__call_readv(). By the file, stacks grow as needed, and what
 * cannot be written is.
 */
ssize_t pf__call_copy(const struct pf__call *call, bool write, const struct iovec *here,
		      unsigned nhere, const struct iovec *there, unsigned nthere);
ssize_t pf__call_copy_by_file(const struct pf__call *call, bool write, const struct iovec *here,
			      unsigned nhere, const struct iovec *there, unsigned nthere);

#endif
