/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server in this process. Sending calls it on the sender's thread; what it answers goes into a
 * queue that the receiver empties. The quick case, an answer given before request() returns, makes
 * no system call and no allocation.
 *
 * The channel outlives its client: both ends hold it, and the last one frees it, so that a late
 * answer finds ENODEV and not freed memory.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/futex.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/sys.h"
#include "proto/wire.h"
#include "transport/transport.h"
#include "transport/vec.h"
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MESSAGE_MAX  ((1u << 20) + (64u << 10))
#define SMALL        512  /* answers up to this live in pooled nodes */
#define POOL_MAX     64   /* nodes kept for later */
#define STACK_BUFFER 4096 /* requests up to this are made contiguous on the stack */
#define SPARES       16   /* replies at once that find no memory */

enum kind { LARGE, POOLED, SPARE };

struct node {
	struct node *next;
	size_t len;
	enum kind kind;
	char data[] __attribute__((aligned(8)));
};

#define SPARE_SIZE (sizeof(struct node) + sizeof(struct fuse_out_header))

#define CALL_GONE 1u /* the client is gone: no further call */
#define CALL_ONE  2u /* one call of request() in progress */

struct pf_inproc {
	struct pf__transport t;
	const struct pf_inproc_ops *ops;
	void *ctx;
	unsigned tick_ms;
	_Atomic unsigned refs;     /* the client, the server */
	_Atomic unsigned calls;    /* CALL_GONE | n * CALL_ONE */
	_Atomic bool told;         /* disconnected() was called, or must not be */
	_Atomic bool known;        /* the server knows its end, and so holds it */
	_Atomic uint32_t arrivals; /* futex word: counts messages, and the ends */

	struct pf__mutex lock; /* rank TRANSPORT; guards what follows */
	struct node *first, **last;
	struct node *pool, *spare;
	unsigned npool;
	char spares[SPARES][SPARE_SIZE] __attribute__((aligned(8))); /* struct node, for headers */
	bool client_gone, server_gone;
	bool sleeping; /* the receiver sleeps on arrivals */
	bool armed;    /* somebody polls efd */
	int efd;
};

static struct pf_inproc *of(struct pf__transport *t)
{
	return pf__container_of(t, struct pf_inproc, t);
}

static void free_nodes(struct node *n)
{
	struct node *next;

	for (; n; n = next) {
		next = n->next;
		if (n->kind != SPARE)
			pf__free(n);
	}
}

static void channel_put(struct pf_inproc *c)
{
	if (atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	free_nodes(c->first);
	free_nodes(c->pool);
	if (c->efd >= 0)
		pf__sys.close(c->efd);
	pf__mutex_destroy(&c->lock);
	pf__free(c);
}

/* ---- towards the client */

static struct node *node_new(size_t size, enum kind kind)
{
	struct node *n = pf__malloc(sizeof(*n) + size);

	if (n)
		n->kind = kind;
	return n;
}

static struct node *node_get(struct pf_inproc *c, size_t len)
{
	struct node *n = c->pool;

	if (len > SMALL)
		return node_new(len, LARGE);
	if (!n)
		return node_new(SMALL, POOLED);
	c->pool = n->next;
	c->npool--;
	return n;
}

static void node_put(struct pf_inproc *c, struct node *n)
{
	if (n->kind == SPARE) {
		n->next = c->spare;
		c->spare = n;
		return;
	}
	if (n->kind == LARGE || c->npool == POOL_MAX) {
		pf__free(n);
		return;
	}
	n->next = c->pool;
	c->pool = n;
	c->npool++;
}

/* Something changed that the receiver waits for. Under the lock. */
static void notify_receiver(struct pf_inproc *c)
{
	if (c->sleeping) { /* it looked at arrivals under the lock */
		atomic_fetch_add_explicit(&c->arrivals, 1, memory_order_release);
		pf__futex_wake(&c->arrivals, 1);
	}
	if (c->armed) {
		c->armed = false;
		(void)!write(c->efd, &(uint64_t){1}, sizeof(uint64_t));
	}
}

static void enqueue(struct pf_inproc *c, struct node *n)
{
	n->next = NULL;
	*c->last = n;
	c->last = &n->next;
}

/* There is no memory for a reply: the request ends with ENOMEM, or if even that cannot be told, the
 * connection does. Nobody waits for what will never come. A notification (unique 0) is lost, as its
 * sender hears. */
static void reply_is_lost(struct pf_inproc *c, uint64_t unique)
{
	const struct fuse_out_header h = {sizeof(h), -ENOMEM, unique};
	struct node *n = c->spare;

	if (!unique)
		return;
	if (n) {
		c->spare = n->next;
		n->len = sizeof(h);
		memcpy(n->data, &h, sizeof(h));
		enqueue(c, n);
	} else {
		c->server_gone = true;
	}
	notify_receiver(c);
}

static int append(struct pf_inproc *c, const struct iovec *iov, int iovcnt, uint64_t unique)
{
	size_t len = pf__vec_size(iov, iovcnt);
	int err = -ENODEV;
	struct node *n;

	pf__mutex_lock(&c->lock);
	if (!c->client_gone && !c->server_gone) {
		n = node_get(c, len);
		err = n ? 0 : -ENOMEM;
		if (n) {
			n->len = pf__vec_gather(n->data, len, iov, iovcnt);
			enqueue(c, n);
			notify_receiver(c);
		} else {
			reply_is_lost(c, unique);
		}
	}
	pf__mutex_unlock(&c->lock);
	return err;
}

int pf_inproc_reply(struct pf_inproc *channel, const struct iovec *iov, int iovcnt)
{
	struct fuse_out_header h;
	size_t len = pf__vec_size(iov, iovcnt);

	if (pf__vec_gather(&h, sizeof(h), iov, iovcnt) < sizeof(h) || h.len != len ||
	    len > MESSAGE_MAX)
		return -EINVAL;
	return append(channel, iov, iovcnt, h.unique);
}

void pf_inproc_close(struct pf_inproc *channel)
{
	atomic_store(&channel->told, true);
	pf__mutex_lock(&channel->lock);
	channel->server_gone = true;
	notify_receiver(channel);
	pf__mutex_unlock(&channel->lock);
	channel_put(channel);
}

/* ---- towards the server */

static void tell_disconnected(struct pf_inproc *c)
{
	if (!atomic_exchange(&c->told, true) && c->ops->disconnected)
		c->ops->disconnected(c->ctx);
}

/* A call to the server begins; false when the client is gone. The last call that ends after that
 * tells the server, so that no request follows disconnected(). */
static bool call_begin(struct pf_inproc *c)
{
	unsigned before = atomic_fetch_add(&c->calls, CALL_ONE);

	return !(before & CALL_GONE);
}

static void call_end(struct pf_inproc *c)
{
	if (atomic_fetch_sub(&c->calls, CALL_ONE) == (CALL_GONE | CALL_ONE))
		tell_disconnected(c);
}

static int send_copy(struct pf_inproc *c, const struct iovec *iov, int n, size_t len)
{
	char small[STACK_BUFFER] __attribute__((aligned(8)));
	char *buf = len <= sizeof(small) ? small : pf__malloc(len);

	if (!buf)
		return -ENOMEM;
	buf[0] = 0; /* gcc does not see that all of it is filled */
	pf__vec_gather(buf, len, iov, n);
	c->ops->request(c->ctx, c, buf, len);
	if (buf != small)
		pf__free(buf);
	return 0;
}

/* With its first request the server learns of its end: from now on it is the server's to close. */
static void introduce(struct pf_inproc *c)
{
	if (!atomic_load_explicit(&c->known, memory_order_relaxed) &&
	    !atomic_exchange(&c->known, true))
		atomic_fetch_add(&c->refs, 1);
}

static int inproc_send(struct pf__transport *t, const struct iovec *iov, int n)
{
	struct pf_inproc *c = of(t);
	size_t len = pf__vec_size(iov, n);
	int err = -ENOTCONN;

	if (len > t->max_send)
		return -EMSGSIZE;
	/* told stands for "the server hung up" here: it is set before server_gone. */
	if (call_begin(c) && !atomic_load_explicit(&c->told, memory_order_relaxed)) {
		err = 0;
		introduce(c);
		if (n == 1)
			c->ops->request(c->ctx, c, iov[0].iov_base, len);
		else
			err = send_copy(c, iov, n, len);
	}
	call_end(c);
	return err;
}

static ssize_t take_first(struct pf_inproc *c, const struct iovec *iov, int n, bool peek)
{
	struct node *first = c->first;
	size_t len = first->len;

	if (peek) {
		pf__vec_scatter(iov, n, first->data, len);
		return len;
	}
	c->first = first->next;
	if (!c->first)
		c->last = &c->first;
	if (first->kind != LARGE) {
		pf__vec_scatter(iov, n, first->data, len);
		node_put(c, first);
		return len;
	}
	/* A large copy does not hold up the server's threads. */
	pf__mutex_unlock(&c->lock);
	pf__vec_scatter(iov, n, first->data, len);
	pf__mutex_lock(&c->lock);
	node_put(c, first);
	return len;
}

/* Under the lock: a message, the end, or -EAGAIN. */
static ssize_t try_recv(struct pf_inproc *c, const struct iovec *iov, int n, unsigned flags)
{
	if (c->client_gone)
		return 0;
	if (c->first)
		return take_first(c, iov, n, flags & PF_RECV_PEEK);
	return c->server_gone ? 0 : -EAGAIN;
}

static ssize_t inproc_recv(struct pf__transport *t, const struct iovec *iov, int n, unsigned flags)
{
	struct pf_inproc *c = of(t);
	uint32_t seen;
	ssize_t got;
	int err;

	pf__mutex_lock(&c->lock);
	got = try_recv(c, iov, n, flags);
	if (got != -EAGAIN || !(flags & PF_RECV_WAIT)) {
		pf__mutex_unlock(&c->lock);
		return got;
	}
	c->sleeping = true;
	seen = atomic_load_explicit(&c->arrivals, memory_order_relaxed);
	pf__mutex_unlock(&c->lock);
	/* With a finite deadline the wait ends for every signal, SA_RESTART or not. */
	err = pf__futex_wait(&c->arrivals, seen, pf__now() + c->tick_ms * PF_NSEC_PER_MSEC);
	pf__mutex_lock(&c->lock);
	c->sleeping = false;
	got = try_recv(c, iov, n, flags);
	pf__mutex_unlock(&c->lock);
	return got == -EAGAIN && err == -EINTR ? -EINTR : got;
}

static int inproc_wait_writable(struct pf__transport *t, int timeout_ms)
{
	return 0;
}

static int inproc_fd(struct pf__transport *t)
{
	return of(t)->efd;
}

static bool inproc_arm(struct pf__transport *t)
{
	struct pf_inproc *c = of(t);
	bool ready;

	pf__mutex_lock(&c->lock);
	ready = c->first || c->server_gone || c->client_gone;
	/* What another thread armed it for may have come: then it must still find efd readable. */
	if (!ready)
		(void)!read(c->efd, &(uint64_t){0}, sizeof(uint64_t));
	c->armed = !ready;
	pf__mutex_unlock(&c->lock);
	return ready;
}

static void inproc_shutdown(struct pf__transport *t)
{
	struct pf_inproc *c = of(t);
	bool first;

	pf__mutex_lock(&c->lock);
	first = !c->client_gone;
	c->client_gone = true;
	notify_receiver(c);
	pf__mutex_unlock(&c->lock);
	if (first && atomic_fetch_or(&c->calls, CALL_GONE) == 0)
		tell_disconnected(c);
}

static void inproc_free(struct pf__transport *t)
{
	channel_put(of(t));
}

static const struct pf__transport_ops inproc_ops = {
    .name = "inproc",
    .send = inproc_send,
    .recv = inproc_recv,
    .wait_writable = inproc_wait_writable,
    .fd = inproc_fd,
    .arm = inproc_arm,
    .shutdown = inproc_shutdown,
    .free = inproc_free,
};

int pf__transport_inproc(struct pf__transport **t, const struct pf_inproc_ops *ops, void *ctx,
			 unsigned tick_ms, struct pf_inproc **channel)
{
	struct pf_inproc *c = pf__calloc(1, sizeof(*c));
	int err = -ENOMEM;

	if (!c)
		return err;
	c->t = (struct pf__transport){&inproc_ops, MESSAGE_MAX, MESSAGE_MAX};
	c->ops = ops;
	c->ctx = ctx;
	c->tick_ms = tick_ms ? tick_ms : 1;
	atomic_init(&c->refs, channel ? 2 : 1);
	atomic_init(&c->known, channel != NULL);
	c->last = &c->first;
	for (int i = 0; i < SPARES; i++) {
		struct node *n = (struct node *)c->spares[i];

		n->kind = SPARE;
		node_put(c, n);
	}
	c->efd = pf__sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = c->efd < 0 ? c->efd : pf__mutex_init(&c->lock, PF_RANK_TRANSPORT);
	if (err) {
		if (c->efd >= 0)
			pf__sys.close(c->efd);
		pf__free(c);
		return err;
	}
	*t = &c->t;
	if (channel)
		*channel = c;
	return 0;
}
