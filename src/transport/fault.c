/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A transport that spoils messages by plan. Each way has a line of messages that are held back,
 * each with the time at which it is due; a message stands in it only if it or one before it was
 * held. While nothing is planned and nothing is held, messages pass as they are.
 *
 * Held messages become due while nobody looks, so that waiting is done on an epoll descriptor of
 * the transport below and a timer.
 */
#include "transport/fault.h"
#include "base/alloc.h"
#include "base/arith.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/sys.h"
#include "transport/transport.h"
#include "transport/vec.h"
#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define REORDER_NS (50 * PF_NSEC_PER_MSEC) /* at most so long a message waits to be overtaken */
#define RETRY_NS   PF_NSEC_PER_MSEC /* before a held one is offered again to a full transport */
#define WAIT_MS    100

struct held {
	struct pf__list link;
	uint64_t due;
	bool overtaken; /* waits for one message to pass it */
	size_t len;
	char data[] __attribute__((aligned(8)));
};

struct fault {
	struct pf__transport t;
	struct pf__transport *below;
	struct pf__fault_plan plan;
	int epfd, timer;
	_Atomic bool down;
	struct pf__mutex
	    lock; /* rank TRANSPORT, not held while calling below; guards what follows */
	struct pf__list rx, tx; /* struct held */
	uint64_t nrx, ntx;      /* messages so far */
};

static struct fault *of(struct pf__transport *t)
{
	return pf__container_of(t, struct fault, t);
}

static void held_drop(struct pf__list *line)
{
	struct pf__list *l;

	while ((l = pf__list_pop(line)))
		pf__free(pf__list_entry(l, struct held, link));
}

static struct held *held_new(const struct iovec *iov, int n, size_t len)
{
	struct held *h = pf__malloc(sizeof(*h) + len);

	if (!h)
		return NULL;
	*h = (struct held){.len = len};
	pf__vec_gather(h->data, len, iov, n);
	return h;
}

static struct held *first(struct pf__list *line)
{
	return pf__list_empty(line) ? NULL : pf__list_entry(line->next, struct held, link);
}

/* ---- doing what the plan says */

static uint64_t draw(const struct fault *f, const struct pf__fault *what, uint64_t below)
{
	return below ? pf__hash_u64(f->plan.seed, what->nth * 2 + what->tx) % below : 0;
}

static void damage(const struct fault *f, const struct pf__fault *what, struct held *h)
{
	uint64_t r;

	if (what->kind == PF_FAULT_SHORT && h->len > 1) {
		h->len = 1 + draw(f, what, h->len - 1);
	} else if (what->kind == PF_FAULT_CORRUPT && h->len) {
		r = draw(f, what, h->len * 8);
		h->data[r / 8] ^= 1 << r % 8;
	}
}

/* Under the lock: put h, the message that what is planned for, into its line. */
static int stand_in_line(struct fault *f, struct pf__list *line, const struct pf__fault *what,
			 struct held *h)
{
	struct held *last =
	    pf__list_empty(line) ? NULL : pf__list_entry(line->prev, struct held, link);
	struct held *copy;
	struct iovec iov = {h->data, h->len};

	h->due = pf__now();
	if (what && what->kind == PF_FAULT_DELAY)
		h->due += what->ms * PF_NSEC_PER_MSEC;
	if (what && what->kind == PF_FAULT_REORDER) {
		h->due += REORDER_NS;
		h->overtaken = true;
	}
	if (last && last->overtaken) { /* this is the one that passes it */
		last->overtaken = false;
		last->due = h->due;
		pf__list_insert(&h->link, last->link.prev);
	} else {
		if (last && last->due > h->due)
			h->due = last->due;
		pf__list_add_tail(line, &h->link);
	}
	if (!what || what->kind != PF_FAULT_DUP)
		return 0;
	copy = held_new(&iov, 1, h->len);
	if (!copy)
		return -ENOMEM;
	copy->due = h->due;
	pf__list_insert(&copy->link, &h->link);
	return 0;
}

static void disconnect(struct fault *f)
{
	atomic_store(&f->down, true);
	f->below->ops->shutdown(f->below);
}

/* ---- the timer: when the first held message, either way, is due. Under the lock. */
static void set_timer(struct fault *f)
{
	struct held *rx = first(&f->rx), *tx = first(&f->tx);
	uint64_t due = PF_TIME_FOREVER, now = pf__now(), left;
	struct itimerspec when = {0};

	if (rx)
		due = rx->due;
	if (tx)
		due = pf__min_u64(due, tx->due);
	if (due != PF_TIME_FOREVER) {
		left = due > now ? due - now : 1;
		when.it_value = (struct timespec){left / PF_NSEC_PER_SEC, left % PF_NSEC_PER_SEC};
	}
	timerfd_settime(f->timer, 0, &when, NULL);
}

/* ---- to the server */

/* Under the lock: the first of line if it is due, out of it. */
static struct held *pop_due(struct fault *f, struct pf__list *line)
{
	struct held *h = first(line);

	if (!h || h->due > pf__now())
		return NULL;
	pf__list_del(&h->link);
	set_timer(f);
	return h;
}

static void put_first(struct fault *f, struct held *h)
{
	pf__mutex_lock(&f->lock);
	h->due = pf__now() + RETRY_NS;
	pf__list_add_head(&f->tx, &h->link);
	set_timer(f);
	pf__mutex_unlock(&f->lock);
}

/* Send what was held back and is due. */
static void flush_tx(struct fault *f)
{
	struct held *h;
	int err;

	for (;;) {
		pf__mutex_lock(&f->lock);
		h = pop_due(f, &f->tx);
		pf__mutex_unlock(&f->lock);
		if (!h)
			return;
		err = f->below->ops->send(f->below, &(struct iovec){h->data, h->len}, 1);
		if (err == -EAGAIN) {
			put_first(f, h);
			return;
		}
		pf__free(h);
	}
}

/* Take the message over; it goes when it is due. */
static int hold_tx(struct fault *f, const struct pf__fault *what, const struct iovec *iov, int n)
{
	struct held *h = held_new(iov, n, pf__vec_size(iov, n));
	int err;

	if (!h)
		return -ENOMEM;
	if (what)
		damage(f, what, h);
	pf__mutex_lock(&f->lock);
	err = stand_in_line(f, &f->tx, what, h);
	set_timer(f);
	pf__mutex_unlock(&f->lock);
	flush_tx(f);
	return err;
}

static int fault_send(struct pf__transport *t, const struct iovec *iov, int n)
{
	struct fault *f = of(t);
	const struct pf__fault *what;
	bool pass;
	int err;

	flush_tx(f);
	pf__mutex_lock(&f->lock);
	what = pf__fault_at(&f->plan, true, ++f->ntx);
	pass = !what && pf__list_empty(&f->tx);
	pf__mutex_unlock(&f->lock);
	if (pass) {
		err = f->below->ops->send(f->below, iov, n);
		if (err == -EAGAIN) { /* it will come again */
			pf__mutex_lock(&f->lock);
			f->ntx--;
			pf__mutex_unlock(&f->lock);
		}
		return err;
	}
	if (what && what->kind == PF_FAULT_DROP)
		return 0;
	if (what && what->kind == PF_FAULT_DISCONNECT) {
		disconnect(f);
		return -ENOTCONN;
	}
	return hold_tx(f, what, iov, n);
}

/* ---- from the server. One thread at a time receives, so only the line needs the lock. */

/* A message for which something is planned, or behind a held one: read it whole. */
static ssize_t hold_rx(struct fault *f, const struct pf__fault *what)
{
	struct held *h = pf__malloc(sizeof(*h) + f->below->max_recv);
	struct iovec iov;
	ssize_t len;
	int err;

	if (!h)
		return -EAGAIN;
	*h = (struct held){0};
	iov = (struct iovec){h->data, f->below->max_recv};
	len = f->below->ops->recv(f->below, &iov, 1, 0);
	if (len <= 0) {
		pf__free(h);
		return len;
	}
	f->nrx++;
	h->len = pf__min_u64(len, f->below->max_recv);
	if (what && what->kind == PF_FAULT_DROP) {
		pf__free(h);
		return len;
	}
	if (what && what->kind == PF_FAULT_DISCONNECT) {
		pf__free(h);
		disconnect(f);
		return 0;
	}
	if (what)
		damage(f, what, h);
	pf__mutex_lock(&f->lock);
	err = stand_in_line(f, &f->rx, what, h);
	set_timer(f);
	pf__mutex_unlock(&f->lock);
	(void)err; /* without memory the copy does not come */
	return len;
}

/* The first held message if it is due. */
static ssize_t give_held(struct fault *f, const struct iovec *iov, int n, bool peek)
{
	struct held *h;
	ssize_t len;

	pf__mutex_lock(&f->lock);
	h = first(&f->rx);
	if (!h || h->due > pf__now()) {
		pf__mutex_unlock(&f->lock);
		return -EAGAIN;
	}
	if (!peek)
		pop_due(f, &f->rx);
	pf__mutex_unlock(&f->lock);
	pf__vec_scatter(iov, n, h->data, h->len);
	len = h->len;
	if (!peek)
		pf__free(h);
	return len;
}

static ssize_t try_recv(struct fault *f, const struct iovec *iov, int n, bool peek)
{
	const struct pf__fault *what;
	ssize_t got;
	bool pass;

	for (;;) {
		if (atomic_load(&f->down))
			return 0;
		got = give_held(f, iov, n, peek);
		if (got != -EAGAIN)
			return got;
		pf__mutex_lock(&f->lock);
		what = pf__fault_at(&f->plan, false, f->nrx + 1);
		pass = !what && pf__list_empty(&f->rx);
		pf__mutex_unlock(&f->lock);
		if (!pass) {
			got = hold_rx(f, what);
			if (got <= 0)
				return got;
			continue;
		}
		got = f->below->ops->recv(f->below, iov, n, peek ? PF_RECV_PEEK : 0);
		if (got > 0 && !peek)
			f->nrx++;
		return got;
	}
}

static int wait_any(struct fault *f, int timeout_ms)
{
	struct pollfd p = {f->epfd, POLLIN, 0};
	int n;

	if (f->below->ops->arm(f->below))
		return 0;
	n = pf__sys.poll(&p, 1, timeout_ms);
	(void)!read(f->timer, &(uint64_t){0}, sizeof(uint64_t));
	return n == -EINTR ? -EINTR : 0;
}

static ssize_t fault_recv(struct pf__transport *t, const struct iovec *iov, int n, unsigned flags)
{
	struct fault *f = of(t);
	ssize_t got;
	int err;

	flush_tx(f);
	got = try_recv(f, iov, n, flags & PF_RECV_PEEK);
	if (got != -EAGAIN || !(flags & PF_RECV_WAIT))
		return got;
	err = wait_any(f, WAIT_MS);
	flush_tx(f);
	got = try_recv(f, iov, n, flags & PF_RECV_PEEK);
	return got == -EAGAIN && err ? err : got;
}

/* ---- the rest */

static int fault_wait_writable(struct pf__transport *t, int timeout_ms)
{
	return of(t)->below->ops->wait_writable(of(t)->below, timeout_ms);
}

static int fault_fd(struct pf__transport *t)
{
	return of(t)->epfd;
}

static bool fault_arm(struct pf__transport *t)
{
	struct fault *f = of(t);
	struct held *rx;
	bool ready;

	flush_tx(f);
	(void)!read(f->timer, &(uint64_t){0}, sizeof(uint64_t));
	pf__mutex_lock(&f->lock);
	rx = first(&f->rx);
	ready = rx && rx->due <= pf__now();
	set_timer(f);
	pf__mutex_unlock(&f->lock);
	return f->below->ops->arm(f->below) || ready || atomic_load(&f->down);
}

static void fault_shutdown(struct pf__transport *t)
{
	disconnect(of(t));
}

static void fault_release(struct fault *f)
{
	held_drop(&f->rx);
	held_drop(&f->tx);
	if (f->timer >= 0)
		pf__sys.close(f->timer);
	if (f->epfd >= 0)
		pf__sys.close(f->epfd);
	f->below->ops->free(f->below);
	pf__free(f);
}

static void fault_free(struct pf__transport *t)
{
	struct fault *f = of(t);

	pf__mutex_destroy(&f->lock);
	fault_release(f);
}

static const struct pf__transport_ops fault_ops = {
    .name = "fault",
    .send = fault_send,
    .recv = fault_recv,
    .wait_writable = fault_wait_writable,
    .fd = fault_fd,
    .arm = fault_arm,
    .shutdown = fault_shutdown,
    .free = fault_free,
};

static int watch(struct fault *f, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};

	return epoll_ctl(f->epfd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int open_descriptors(struct fault *f)
{
	int err;

	f->epfd = epoll_create1(EPOLL_CLOEXEC);
	f->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (f->epfd < 0 || f->timer < 0)
		return -errno;
	err = watch(f, f->timer);
	return err ? err : watch(f, f->below->ops->fd(f->below));
}

static int fault_init(struct fault *f, struct pf__transport *below, const char *plan)
{
	int err = pf__fault_plan_parse(&f->plan, plan);

	if (!err)
		err = open_descriptors(f);
	return err ? err : pf__mutex_init(&f->lock, PF_RANK_TRANSPORT);
}

int pf__transport_fault(struct pf__transport **t, struct pf__transport *below, const char *plan)
{
	struct fault *f = pf__calloc(1, sizeof(*f));
	int err;

	if (!f) {
		below->ops->shutdown(below);
		below->ops->free(below);
		return -ENOMEM;
	}
	f->t = (struct pf__transport){&fault_ops, below->max_send, below->max_recv};
	f->below = below;
	f->epfd = f->timer = -1;
	pf__list_init(&f->rx);
	pf__list_init(&f->tx);
	err = fault_init(f, below, plan);
	if (err) {
		below->ops->shutdown(below);
		fault_release(f);
		return err;
	}
	*t = &f->t;
	return 0;
}
