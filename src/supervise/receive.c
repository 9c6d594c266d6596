/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receivers: threads that block in RECV, handle the call that they got, and come again: two system
 * calls a trapped call, where the loop needs four.
 *
 * The kernel wakes all that wait in RECV for each call, and to wake somebody else costs as much as
 * all the rest. So in the good case one thread waits and handles, nobody else runs, and another
 * takes its place when
 * - a handler says that it is going to block (pf__call_blocks()),
 * - nothing has gone on for a millisecond or two: the thread that stands by sees that. Then more of
 *   the kind is expected, and the next calls call another at once;
 * - RECV does not sleep any more: there are more callers than one thread can serve.
 *
 * Before Linux 6.11 RECV does not return when nobody is left under the filter, and no kernel lets
 * another thread interrupt it but by a signal, whose handler would be the program's business. So
 * receivers are cancelled, asynchronously, in this one system call: elsewhere cancellation is
 * disabled. A call that RECV has taken cannot get lost by that, since there are no callers then.
 *
 * That is not enough: glibc's signal on its way to a thread that has disabled cancellation
 * meanwhile acts in the next cancellation point all the same (2.36: its handler looks at the type,
 * which these points change). So those alone are cancelled that stay in RECV after the pool has
 * begun to end; and who comes out of RECV then passes no such point any more.
 */
#include "base/alloc.h"
#include "base/sys.h"
#include "supervise/internal.h"
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS    1024
#define PARKED_MS      2000 /* until a thread that nobody needs ends */
#define TICK_MS        1    /* who stands by looks, */
#define QUIET_TICKS    20   /* until so long nothing came */
#define EAGER_CALLS    32
#define BUSY_NS        500 /* RECV took less: it did not sleep */
#define BUSY_STREAK    4   /* so often in a row */
#define COME_OUT_MS    10  /* of RECV, when callers are gone: */
#define COME_OUT_LOOKS 100 /* looked at so often */

struct pf__receiver {
	struct pf__listener *l;
	unsigned long thread;
	struct pf__list link;
	_Atomic bool in_recv;
	uint32_t last;              /* caller */
	unsigned streak;            /* of RECVs that did not sleep, for another caller */
	bool called;                /* made in order to wait, and counted as waiting already */
	bool replaced;              /* for the call that it handles, another was called */
	struct seccomp_notif notif; /* the last: the kernel's may be longer */
};

/* ---- the pool ------------------------------------------------------------------------------- */

static void *receiver_main(void *arg);

/* Functions that cancellation leaves: marks of their variables would stay on the stack. */
#define LEFT_BY_CANCEL __attribute__((no_sanitize_address, noinline))

static __thread struct pf__receiver *self __attribute__((tls_model("initial-exec")));

/* Under the lock. */
static int make_thread(struct pf__listener *l, bool called)
{
	struct pf__pool *p = &l->pool;
	struct pf__receiver *r;
	int err;

	if (p->threads >= MAX_THREADS)
		return -EAGAIN;
	r = pf__calloc(1, sizeof *r + l->s->notif_size);
	if (!r)
		return -ENOMEM;
	r->l = l;
	r->called = called;
	err = pf__sys.thread_create(&r->thread, receiver_main, r);
	if (err) {
		pf__free(r);
		return err;
	}
	p->threads++;
	pf__list_add_tail(&p->receivers, &r->link);
	return 0;
}

/* One more shall wait. If none can be made, calls wait until a handler has returned. */
static int call_receiver(struct pf__listener *l)
{
	struct pf__pool *p = &l->pool;
	int err = 0;

	pthread_mutex_lock(&p->lock);
	p->waiting++;
	if (p->parked > p->tickets) {
		p->tickets++;
		pthread_cond_signal(p->parked > p->tickets ? &p->unpark : &p->rouse);
	} else {
		err = p->ending ? -ESHUTDOWN : make_thread(l, true);
	}
	if (err)
		p->waiting--;
	pthread_mutex_unlock(&p->lock);
	return err;
}

static int nap(struct pf__pool *p, pthread_cond_t *cond, unsigned ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return pthread_cond_timedwait(cond, &p->lock, &until);
}

/* Under the lock, until we are called, or find that we are needed: then we count as waiting. */
static bool stand_by(struct pf__pool *p)
{
	uint32_t seen = p->taken;
	unsigned quiet = 0;

	while (!p->tickets && !p->ending) {
		if (!p->watched) {
			pthread_cond_wait(&p->rouse, &p->lock);
			quiet = 0;
		} else if (nap(p, &p->rouse, TICK_MS) != ETIMEDOUT) {
			continue;
		} else if (seen != p->taken) {
			seen = p->taken;
			quiet = 0;
		} else if (p->waiting == 0) {
			p->waiting++;
			p->eager = EAGER_CALLS;
			return true;
		} else if (++quiet >= QUIET_TICKS) {
			p->watched = false;
			if (seen != p->taken) /* who took it may have seen that we watch */
				p->watched = true;
		}
	}
	if (!p->tickets)
		return false;
	p->tickets--;
	return true;
}

/*
 * Under the lock: somebody shall stand by. A thread that is parked will, when it wakes; so will a
 * new one, when it is there. watched is true as long as one of them looks, or will.
 */
static void find_standby(struct pf__listener *l)
{
	struct pf__pool *p = &l->pool;

	if (p->standby)
		pthread_cond_signal(&p->rouse);
	else if (p->parked > p->tickets)
		pthread_cond_signal(&p->unpark);
	else if (p->ending || make_thread(l, false))
		p->watched = false; /* to be tried again at the next call */
}

/* Until somebody needs us: true, and we count as waiting; or nobody does. */
static bool park(struct pf__listener *l)
{
	struct pf__pool *p = &l->pool;
	bool needed = false;
	int err = 0;

	pthread_mutex_lock(&p->lock);
	p->parked++;
	while (!needed && !p->ending) {
		if (p->tickets) {
			p->tickets--;
			needed = true;
		} else if (!p->standby) {
			p->standby = true;
			needed = stand_by(p);
			p->standby = false;
		} else if (err) {
			break;
		} else {
			err = nap(p, &p->unpark, PARKED_MS);
		}
	}
	p->parked--;
	if (needed && !p->standby) /* we did, or were about to */
		find_standby(l);
	pthread_mutex_unlock(&p->lock);
	return needed;
}

/* Somebody shall look whether we come back from this call. */
static void rouse_standby(struct pf__listener *l)
{
	struct pf__pool *p = &l->pool;

	pthread_mutex_lock(&p->lock);
	p->watched = true;
	find_standby(l);
	pthread_mutex_unlock(&p->lock);
}

/* Each that ends joins the one before it; those that end with the pool are joined by its owner. */
static void leave(struct pf__receiver *r)
{
	struct pf__pool *p = &r->l->pool;
	struct pf__receiver *before = NULL;

	pthread_mutex_lock(&p->lock);
	if (!p->ending) {
		pf__list_del(&r->link);
		p->threads--;
		before = p->left;
		p->left = r;
	}
	pthread_mutex_unlock(&p->lock);
	if (before) {
		pthread_join(before->thread, NULL);
		pf__free(before);
	}
}

/* ---- a receiver ----------------------------------------------------------------------------- */

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Not through ioctl(), which sanitizers intercept: cancellation would leave by their frames. */
LEFT_BY_CANCEL static int receive(struct pf__receiver *r)
{
	int64_t before = now_ns();
	long n = -1;

	memset(&r->notif, 0, r->l->s->notif_size); /* the kernel asks for that */
	r->in_recv = true;
	if (!r->l->pool.ending) {
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
		pthread_testcancel(); /* some of glibc's do not look when it is enabled */
		n = syscall(SYS_ioctl, r->l->watch.fd, SECCOMP_IOCTL_NOTIF_RECV, &r->notif);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
	}
	r->in_recv = false;
	if (n < 0)
		return -1;
	/* One caller alone may come again before its receiver is back. */
	if (now_ns() - before < BUSY_NS && r->last != r->notif.pid)
		r->streak++;
	else
		r->streak = 0;
	r->last = r->notif.pid;
	return 0;
}

/* RECV has failed, because the caller was killed meanwhile, or because all were. */
static bool hung_up(struct pf__receiver *r)
{
	struct pollfd p = {r->l->watch.fd, 0, 0};

	return poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLNVAL);
}

void pf__call_blocks(void)
{
	struct pf__receiver *r = self;

	if (!r || r->replaced)
		return;
	r->replaced = true;
	if (r->l->pool.waiting == 0)
		call_receiver(r->l);
}

static void handle(struct pf__receiver *r)
{
	struct pf__pool *p = &r->l->pool;
	struct pf__call call;

	p->waiting--;
	p->taken++;
	r->replaced = false;
	if (!p->watched)
		rouse_standby(r->l);
	if (p->eager > 0) {
		p->eager--;
		pf__call_blocks();
	}
	if (r->streak >= BUSY_STREAK) {
		r->streak = 0;
		pf__call_blocks();
	}
	pf__call_from(&call, r->l->s, r->l->watch.fd, &r->notif);
	pf__supervisor_dispatch(r->l->s, &call);
}

/* Count as waiting, unless somebody else does. */
static bool enlist(struct pf__pool *p)
{
	int none = 0;

	return atomic_compare_exchange_strong(&p->waiting, &none, 1);
}

LEFT_BY_CANCEL static void *receiver_main(void *arg)
{
	struct pf__receiver *r = arg;
	struct pf__pool *p = &r->l->pool;
	bool called = r->called, fresh = !called;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_setname_np(pthread_self(), "pf-receiver");
	self = r;
	while (called || (!fresh && enlist(p)) || park(r->l)) {
		bool got;

		called = fresh = false;
		do
			got = receive(r) == 0;
		while (!got && !p->ending && !hung_up(r));
		if (!got || p->ending)
			break;
		handle(r);
	}
	leave(r);
	return NULL;
}

/* ---- life ----------------------------------------------------------------------------------- */

int pf__pool_start(struct pf__listener *l)
{
	struct pf__pool *p = &l->pool;
	pthread_condattr_t attr;
	int err;

	pf__list_init(&p->receivers);
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->unpark, &attr);
	pthread_cond_init(&p->rouse, &attr);
	pthread_condattr_destroy(&attr);
	l->pooled = true;
	err = call_receiver(l);
	if (err)
		pf__pool_free(l);
	return err;
}

static unsigned count_in_recv(const struct pf__pool *p)
{
	struct pf__list *pos;
	unsigned n = 0;

	pf__list_for_each (pos, &p->receivers)
		n += pf__list_entry(pos, struct pf__receiver, link)->in_recv;
	return n;
}

void pf__pool_cancel(struct pf__listener *l)
{
	const struct timespec nap = {0, COME_OUT_MS * 1000000 / COME_OUT_LOOKS};
	struct pf__pool *p = &l->pool;
	struct pf__list *pos;
	bool ending;

	pthread_mutex_lock(&p->lock);
	ending = p->ending;
	p->ending = true;
	pthread_cond_broadcast(&p->unpark);
	pthread_cond_broadcast(&p->rouse);
	pthread_mutex_unlock(&p->lock);
	if (ending)
		return;
	/* From now on the list does not change. */
	for (int i = 0; i < COME_OUT_LOOKS && count_in_recv(p); i++)
		nanosleep(&nap, NULL);
	pf__list_for_each (pos, &p->receivers) {
		struct pf__receiver *r = pf__list_entry(pos, struct pf__receiver, link);

		if (r->in_recv)
			pthread_cancel(r->thread);
	}
}

static void join(struct pf__receiver *r)
{
	if (r) {
		pthread_join(r->thread, NULL);
		pf__free(r);
	}
}

void pf__pool_free(struct pf__listener *l)
{
	struct pf__pool *p = &l->pool;
	struct pf__list *pos;

	if (!l->pooled)
		return;
	pf__pool_cancel(l);
	while ((pos = pf__list_pop(&p->receivers)))
		join(pf__list_entry(pos, struct pf__receiver, link));
	join(p->left);
	pthread_cond_destroy(&p->rouse);
	pthread_cond_destroy(&p->unpark);
	pthread_mutex_destroy(&p->lock);
	l->pooled = false;
}
