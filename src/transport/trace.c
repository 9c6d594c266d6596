/* SPDX-License-Identifier: BSD-2-Clause */
/* One line a message, for any transport. A reply does not say what it answers: the opcodes of the
 * last requests are remembered by their unique. */
#include "base/alloc.h"
#include "base/list.h"
#include "base/lock.h"
#include "proto/proto.h"
#include "transport/transport.h"
#include "transport/vec.h"
#include <errno.h>

#define REMEMBERED 4096 /* requests in flight; of more, some replies are printed without a name */
#define LINE_SIZE  1024
#define SMALL      4096

struct seen {
	uint64_t unique;
	uint32_t opcode;
};

struct trace {
	struct pf__transport t;
	struct pf__transport *below;
	pf_trace_fn fn;
	void *ctx;
	struct pf__mutex
	    lock; /* rank TRANSPORT; guards what follows, and makes lines come one by one */
	struct seen seen[REMEMBERED];
};

static struct trace *of(struct pf__transport *t)
{
	return pf__container_of(t, struct trace, t);
}

static struct seen *slot(struct trace *tr, uint64_t unique)
{
	return &tr->seen[(unique >> 1) % REMEMBERED];
}

/* A message in one piece: in small if it fits, else allocated; without memory what fits small. */
static char *flatten(char *small, const struct iovec *iov, int n, size_t *len)
{
	char *buf = *len <= SMALL ? small : pf__malloc(*len);

	if (!buf) {
		buf = small;
		*len = SMALL;
	}
	small[0] = 0; /* gcc does not see that the next line fills it */
	*len = pf__vec_gather(buf, *len, iov, n);
	return buf;
}

/* False when it stands there already: the transport had no room, and now it is sent again. */
static bool remember(struct trace *tr, const struct fuse_in_header *h)
{
	struct seen *s = slot(tr, h->unique);

	if (h->opcode == FUSE_NOTIFY_REPLY || h->opcode == FUSE_INTERRUPT)
		return true;
	if (s->unique == h->unique && s->opcode == h->opcode)
		return false;
	*s = (struct seen){h->unique, h->opcode};
	return true;
}

static uint32_t recall(struct trace *tr, uint64_t unique)
{
	const struct seen *s = slot(tr, unique);

	if (!unique)
		return 0;
	if (unique & FUSE_UNIQUE_INTERRUPT)
		return FUSE_INTERRUPT;
	return s->unique == unique ? s->opcode : 0;
}

static void trace_request(struct trace *tr, const char *msg, size_t len)
{
	char line[LINE_SIZE];

	pf__print_request(line, sizeof(line), msg, len);
	pf__mutex_lock(&tr->lock);
	if (len < sizeof(struct fuse_in_header) || remember(tr, (const void *)msg))
		tr->fn(tr->ctx, line);
	pf__mutex_unlock(&tr->lock);
}

static void trace_reply(struct trace *tr, const char *msg, size_t len)
{
	const struct fuse_out_header *h = (const void *)msg;
	char line[LINE_SIZE];
	uint32_t opcode;

	pf__mutex_lock(&tr->lock);
	opcode = len < sizeof(*h) ? 0 : recall(tr, h->unique);
	pf__print_reply(line, sizeof(line), opcode, msg, len);
	tr->fn(tr->ctx, line);
	pf__mutex_unlock(&tr->lock);
}

/* Before it is sent: else its reply's line might come first. */
static int trace_send(struct pf__transport *t, const struct iovec *iov, int n)
{
	char small[SMALL] __attribute__((aligned(8)));
	struct trace *tr = of(t);
	size_t len = pf__vec_size(iov, n);
	char *msg = flatten(small, iov, n, &len);

	trace_request(tr, msg, len);
	if (msg != small)
		pf__free(msg);
	return tr->below->ops->send(tr->below, iov, n);
}

static ssize_t trace_recv(struct pf__transport *t, const struct iovec *iov, int n, unsigned flags)
{
	char small[SMALL] __attribute__((aligned(8)));
	struct trace *tr = of(t);
	ssize_t got = tr->below->ops->recv(tr->below, iov, n, flags);
	size_t len = got;
	char *msg;

	if (got <= 0 || flags & PF_RECV_PEEK)
		return got;
	msg = flatten(small, iov, n, &len);
	trace_reply(tr, msg, len);
	if (msg != small)
		pf__free(msg);
	return got;
}

static int trace_wait_writable(struct pf__transport *t, int timeout_ms)
{
	return of(t)->below->ops->wait_writable(of(t)->below, timeout_ms);
}

static int trace_fd(struct pf__transport *t)
{
	return of(t)->below->ops->fd(of(t)->below);
}

static bool trace_arm(struct pf__transport *t)
{
	return of(t)->below->ops->arm(of(t)->below);
}

static void trace_shutdown(struct pf__transport *t)
{
	of(t)->below->ops->shutdown(of(t)->below);
}

static void trace_free(struct pf__transport *t)
{
	struct trace *tr = of(t);

	tr->below->ops->free(tr->below);
	pf__mutex_destroy(&tr->lock);
	pf__free(tr);
}

static const struct pf__transport_ops trace_ops = {
    .name = "trace",
    .send = trace_send,
    .recv = trace_recv,
    .wait_writable = trace_wait_writable,
    .fd = trace_fd,
    .arm = trace_arm,
    .shutdown = trace_shutdown,
    .free = trace_free,
};

int pf__transport_trace(struct pf__transport **t, struct pf__transport *below, pf_trace_fn fn,
			void *ctx)
{
	struct trace *tr = pf__calloc(1, sizeof(*tr));
	int err = -ENOMEM;

	if (tr)
		err = pf__mutex_init(&tr->lock, PF_RANK_TRANSPORT);
	if (err) {
		pf__free(tr);
		below->ops->shutdown(below);
		below->ops->free(below);
		return err;
	}
	tr->t = (struct pf__transport){&trace_ops, below->max_send, below->max_recv};
	tr->below = below;
	tr->fn = fn;
	tr->ctx = ctx;
	*t = &tr->t;
	return 0;
}
