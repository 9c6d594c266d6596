/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receivers: threads that block in RECV, handle the call that they got, and come again. Two system
 * calls a trapped call, where the loop needs four.
 *
 * Before Linux 6.11 RECV does not return when nobody is left under the filter, and no kernel lets
 * another thread interrupt it but by a signal, whose handler would be the program's business. So
 * receivers are cancelled, asynchronously, in this one system call: elsewhere cancellation is
 * disabled. A call that RECV has taken cannot get lost by that, since there are no callers then.
 */
#include "base/alloc.h"
#include "base/sys.h"
#include "supervise/internal.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 1024
#define MAX_WAITING 2 /* in RECV: each call wakes them all */
#define PARKED_S    2 /* until a thread that nobody needs ends */

struct pf__receiver {
	struct pf__listener *l;
	unsigned long thread;
	struct pf__list link;
	struct seccomp_notif notif; /* the last: the kernel's may be longer */
};

/* ---- the pool ------------------------------------------------------------------------------- */

static void *receiver_main(void *arg);

/* Under the lock. */
static int make_thread(struct pf__listener *l)
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

	p->waiting++;
	pthread_mutex_lock(&p->lock);
	if (p->parked > p->tickets) {
		p->tickets++;
		pthread_cond_signal(&p->unpark);
	} else {
		err = p->ending ? -ESHUTDOWN : make_thread(l);
	}
	pthread_mutex_unlock(&p->lock);
	if (err)
		p->waiting--;
	return err;
}

/* Until somebody needs us: true; or nobody does. */
static bool park(struct pf__pool *p)
{
	struct timespec until;
	bool called;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PARKED_S;
	pthread_mutex_lock(&p->lock);
	p->parked++;
	while (!p->tickets && !p->ending && !err)
		err = pthread_cond_timedwait(&p->unpark, &p->lock, &until);
	p->parked--;
	called = p->tickets > 0;
	p->tickets -= called;
	pthread_mutex_unlock(&p->lock);
	return called;
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

static bool is_ending(struct pf__pool *p)
{
	bool ending;

	pthread_mutex_lock(&p->lock);
	ending = p->ending;
	pthread_mutex_unlock(&p->lock);
	return ending;
}

/* ---- a receiver ----------------------------------------------------------------------------- */

/* Not through ioctl(), which sanitizers intercept: cancellation would leave by their frames. */
static int receive(struct pf__receiver *r)
{
	long n;

	memset(&r->notif, 0, r->l->s->notif_size); /* the kernel asks for that */
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	n = syscall(SYS_ioctl, r->l->watch.fd, SECCOMP_IOCTL_NOTIF_RECV, &r->notif);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return n < 0 ? -errno : 0;
}

/* RECV has failed, because the caller was killed meanwhile, or because all were. */
static bool hung_up(struct pf__receiver *r)
{
	struct pollfd p = {r->l->watch.fd, 0, 0};

	return (poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLNVAL)) || is_ending(&r->l->pool);
}

static void handle(struct pf__receiver *r)
{
	struct pf__call call;

	if (--r->l->pool.waiting == 0)
		call_receiver(r->l);
	pf__call_from(&call, r->l->s, r->l->watch.fd, &r->notif);
	pf__supervisor_dispatch(r->l->s, &call);
}

static void *receiver_main(void *arg)
{
	struct pf__receiver *r = arg;
	struct pf__pool *p = &r->l->pool;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	pthread_setname_np(pthread_self(), "pf-receiver");
	for (;;) {
		int err = receive(r);

		if (err) {
			if (hung_up(r))
				break;
			continue;
		}
		handle(r);
		if (++p->waiting <= MAX_WAITING)
			continue;
		p->waiting--;
		if (!park(p))
			break;
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
	pthread_condattr_destroy(&attr);
	l->pooled = true;
	err = call_receiver(l);
	if (err)
		pf__pool_free(l);
	return err;
}

void pf__pool_cancel(struct pf__listener *l)
{
	struct pf__pool *p = &l->pool;
	struct pf__list *pos;

	pthread_mutex_lock(&p->lock);
	if (!p->ending) {
		p->ending = true;
		pf__list_for_each (pos, &p->receivers)
			pthread_cancel(pf__list_entry(pos, struct pf__receiver, link)->thread);
		pthread_cond_broadcast(&p->unpark);
	}
	pthread_mutex_unlock(&p->lock);
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
	pthread_cond_destroy(&p->unpark);
	pthread_mutex_destroy(&p->lock);
	l->pooled = false;
}
