// SPDX-License-Identifier: BSD-2-Clause
/* The server that answers by the dice: receiving, spoiling, sending, counting. answers.c says what
 * would have been right. */
#include "tests/hostile/server.h"
#include "base/arith.h"
#include "tests/hostile/answers.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

uint64_t dice_next(struct dice *d)
{
	uint64_t z = d->s += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t dice_odd(struct dice *d)
{
	static const uint64_t odd[] = {
	    0,          1,          2,         3,          7,          512,
	    4095,       4096,       65536,     1u << 20,   INT32_MAX,  1ull << 31,
	    UINT32_MAX, 1ull << 32, INT64_MAX, 1ull << 63, UINT64_MAX, UINT64_MAX - 1,
	    999999999,  1000000000};

	if (dice_hit(d, 300))
		return dice_next(d);
	if (dice_hit(d, 300))
		return dice_below(d, 64);
	return odd[dice_below(d, PF_ARRAY_SIZE(odd))];
}

/* ---- what was given and came back */

static struct node_count *node_of(struct hostile *h, uint64_t nodeid)
{
	size_t at = nodeid * 0x9e3779b97f4a7c15ull >> 52;

	for (int i = 0; i < HOSTILE_NODES; i++, at = (at + 1) % HOSTILE_NODES) {
		if (h->nodes[at].nodeid == nodeid)
			return &h->nodes[at];
		if (!h->nodes[at].nodeid) {
			h->nodes[at].nodeid = nodeid;
			return &h->nodes[at];
		}
	}
	return NULL; /* full: no longer counted */
}

static void given(struct hostile *h, uint64_t nodeid)
{
	struct node_count *n = nodeid ? node_of(h, nodeid) : NULL;

	if (n)
		n->given++;
}

static void taken(struct hostile *h, uint64_t nodeid, uint64_t nlookup)
{
	struct node_count *n = nodeid ? node_of(h, nodeid) : NULL;

	if (!n)
		return;
	n->taken += nlookup;
	if (n->taken <= n->given && nlookup)
		return;
	fprintf(stderr, "FORGET of node %" PRIu64 ": given %" PRIu64 ", taken back %" PRIu64 "\n",
		nodeid, n->given, n->taken);
	abort();
}

static void count_records(struct hostile *h, const unsigned char *body, size_t len)
{
	struct fuse_direntplus d;

	for (size_t pos = 0; pos + sizeof(d) <= len;) {
		memcpy(&d, body + pos, sizeof(d));
		given(h, d.entry_out.nodeid);
		pos += PF_ALIGN_UP(sizeof(d) + (size_t)d.dirent.namelen, (size_t)8);
	}
}

/* The most lookups that the client may believe in after this message. */
static void count_given(struct hostile *h, const unsigned char *msg, size_t len)
{
	struct fuse_out_header o;
	const struct asked *a;
	uint64_t nodeid;

	if (len < sizeof(o) + sizeof(nodeid))
		return;
	memcpy(&o, msg, sizeof(o));
	a = &h->asked[(o.unique >> 1) % HOSTILE_UNIQUES];
	memcpy(&nodeid, msg + sizeof(o), sizeof(nodeid));
	if (a->unique != (o.unique & ~FUSE_UNIQUE_RESEND)) {
		/* Perhaps of a request that is on its way to us: then it may be of any kind. */
		given(h, nodeid);
		count_records(h, msg + sizeof(o), len - sizeof(o));
		return;
	}
	switch (a->opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		given(h, nodeid);
		break;
	case FUSE_READDIRPLUS:
		count_records(h, msg + sizeof(o), len - sizeof(o));
	}
}

static void take_forgets(struct hostile *h, const struct fuse_in_header *in, const void *arg)
{
	const struct fuse_batch_forget_in *batch = arg;
	const struct fuse_forget_one *one = (const void *)(batch + 1);

	if (in->opcode == FUSE_FORGET) {
		taken(h, in->nodeid, ((const struct fuse_forget_in *)arg)->nlookup);
		return;
	}
	for (uint32_t i = 0; i < batch->count; i++)
		taken(h, one[i].nodeid, one[i].nlookup);
}

/* ---- sending; all under the lock */

static void put(struct hostile *h, const void *msg, size_t len)
{
	struct iovec iov = {(void *)msg, len};

	if (h->dead)
		return;
	h->messages++;
	count_given(h, msg, len);
	if (h->inproc && h->channel)
		(void)pf_inproc_reply(h->channel, &iov, 1);
	else if (h->fd >= 0)
		(void)send(h->fd, msg, len, MSG_NOSIGNAL);
}

static void put_late(struct hostile *h, const void *msg, size_t len)
{
	struct late *l = malloc(sizeof(*l) + len);

	l->after = h->messages + 1 + dice_below(&h->dice, 6);
	l->len = len;
	memcpy(l->bytes, msg, len);
	l->next = h->late;
	h->late = l;
}

static void flush_late(struct hostile *h, bool all)
{
	struct late **p = &h->late, *l;

	while ((l = *p)) {
		if (!all && (int)(l->after - h->messages) > 0) {
			p = &l->next;
			continue;
		}
		*p = l->next;
		put(h, l->bytes, l->len);
		free(l);
	}
}

static void die(struct hostile *h)
{
	if (h->dead)
		return;
	h->dead = true;
	if (h->channel)
		pf_inproc_close(h->channel);
	h->channel = NULL;
	if (h->fd >= 0)
		shutdown(h->fd, SHUT_RDWR);
}

void hostile_die(struct hostile *h)
{
	pthread_mutex_lock(&h->lock);
	die(h);
	pthread_mutex_unlock(&h->lock);
}

/* ---- spoiling a message that stands in h->out */

static uint64_t other_unique(struct hostile *h, uint64_t unique)
{
	switch (dice_below(&h->dice, 6)) {
	case 0:
		return unique ^ FUSE_UNIQUE_RESEND;
	case 1:
		return unique | FUSE_UNIQUE_INTERRUPT;
	case 2:
		return unique + 2;
	case 3:
		return dice_odd(&h->dice);
	case 4:
		return 0;
	default: /* one that was asked before */
		return h->last_asked - 2 * dice_below(&h->dice, 8);
	}
}

static size_t mutate(struct hostile *h, size_t len)
{
	struct fuse_out_header *o = (struct fuse_out_header *)h->out;
	struct dice *d = &h->dice;
	size_t to = len;

	switch (dice_below(d, 7)) {
	case 0:
	case 1:
		for (unsigned n = 1 + dice_below(d, 4); n--;)
			h->out[dice_next(d) % len] ^= 1u << dice_below(d, 8);
		return len;
	case 2:
		to = dice_next(d) % (len + 1);
		break;
	case 3:
		to = len + 1 + dice_below(d, dice_hit(d, 100) ? 300000 : 64);
		memset(h->out + len, dice_below(d, 256), to - len);
		break;
	case 4:
		o->unique = other_unique(h, o->unique);
		return len;
	case 5:
		o->error = dice_hit(d, 500) ? -(int)dice_below(d, 600) : (int)dice_odd(d);
		return len;
	case 6:
		o->len = dice_odd(d);
		return len;
	}
	if (!dice_hit(d, 200) && to >= sizeof(*o))
		o->len = to;
	return to;
}

/* Words of the body become odd; fields are words. */
static void make_absurd(struct hostile *h, uint32_t opcode, size_t len)
{
	unsigned char *body = h->out + sizeof(struct fuse_out_header);
	size_t size = len - sizeof(struct fuse_out_header);
	struct dice *d = &h->dice;

	for (unsigned n = 1 + dice_below(d, 4); n-- && size >= 8;) {
		uint64_t v = dice_odd(d);

		if (dice_hit(d, 500))
			memcpy(body + dice_next(d) % (size / 8) * 8, &v, 8);
		else
			memcpy(body + dice_next(d) % (size / 4) * 4, &v, 4);
	}
	answers_absurd(h, opcode, body, size);
}

static void send_spoilt(struct hostile *h, uint32_t opcode, size_t len)
{
	const struct hostile_style *s = &h->style;
	struct dice *d = &h->dice;

	if (opcode != FUSE_INIT || s->init_absurd) {
		if (dice_hit(d, s->absurd))
			make_absurd(h, opcode, len);
		if (dice_hit(d, s->mutate))
			len = mutate(h, len);
	}
	if (opcode != FUSE_INIT && dice_hit(d, s->lost))
		return;
	if (opcode != FUSE_INIT && dice_hit(d, s->late)) {
		put_late(h, h->out, len);
		return;
	}
	put(h, h->out, len);
	if (dice_hit(d, s->twice))
		put(h, h->out, len);
}

static void notify(struct hostile *h)
{
	for (unsigned n = dice_hit(&h->dice, 20) ? 300 : 1 + dice_below(&h->dice, 2); n--;) {
		size_t len = answers_notify(h, h->out);

		if (dice_hit(&h->dice, h->style.mutate))
			len = mutate(h, len);
		put(h, h->out, len);
	}
}

static void remember(struct hostile *h, const struct fuse_in_header *in)
{
	uint64_t unique = in->unique & ~FUSE_UNIQUE_RESEND;

	h->asked[(unique >> 1) % HOSTILE_UNIQUES] = (struct asked){unique, in->nodeid, in->opcode};
	h->last_asked = unique;
}

static void answer(struct hostile *h, const struct fuse_in_header *in)
{
	struct fuse_out_header *o = (struct fuse_out_header *)h->out;
	struct dice *d = &h->dice;
	size_t body;

	*o = (struct fuse_out_header){.unique = in->unique};
	body = answers_right(h, in, h->out + sizeof(*o), &o->error);
	if (in->opcode != FUSE_INIT && dice_hit(d, h->style.error))
		o->error = -answers_errno(d);
	if (o->error)
		body = 0;
	o->len = sizeof(*o) + body;
	send_spoilt(h, in->opcode, o->len);
}

static void receive(struct hostile *h, const void *msg, size_t len)
{
	const struct fuse_in_header *in = msg;

	if (len < sizeof(*in) || in->len != len) {
		fprintf(stderr, "a request of %zu bytes says %u\n", len, len >= 4 ? in->len : 0);
		abort();
	}
	h->requests++;
	if (in->opcode != FUSE_INIT && dice_hit(&h->dice, h->style.notify))
		notify(h);
	if (dice_below(&h->dice, 100000) < h->style.die) {
		die(h);
		return;
	}
	switch (in->opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		take_forgets(h, in, in + 1);
		break;
	case FUSE_NOTIFY_REPLY:
		break;
	case FUSE_INTERRUPT:
		if (dice_hit(&h->dice, 500))
			break;
		__attribute__((fallthrough));
	default:
		if (in->opcode != FUSE_INTERRUPT)
			remember(h, in);
		answer(h, in);
	}
	flush_late(h, false);
}

/* ---- being asked */

static void on_request(void *ctx, struct pf_inproc *channel, const void *msg, size_t len)
{
	struct hostile *h = ctx;

	pthread_mutex_lock(&h->lock);
	if (!h->dead) {
		h->channel = channel;
		receive(h, msg, len);
	}
	pthread_mutex_unlock(&h->lock);
}

static void on_disconnected(void *ctx)
{
	hostile_die(ctx);
}

const struct pf_inproc_ops hostile_ops = {on_request, on_disconnected};

/* In process it only sends what is late; over a socket it does everything. */
static void *serve(void *arg)
{
	struct hostile *h = arg;

	while (!h->stop) {
		struct pollfd p = {h->fd, POLLIN, 0};
		int ready = poll(&p, 1, 2);
		ssize_t len = 0;

		if (ready > 0)
			len = recv(h->fd, h->in, HOSTILE_MESSAGE, MSG_DONTWAIT);
		if (ready > 0 && !len)
			poll(NULL, 0, 2);
		pthread_mutex_lock(&h->lock);
		if (len > 0 && !h->dead)
			receive(h, h->in, len);
		else
			flush_late(h, true);
		pthread_mutex_unlock(&h->lock);
	}
	return NULL;
}

struct hostile *hostile_new(uint64_t seed, bool inproc, const struct hostile_style *style)
{
	struct hostile *h = calloc(1, sizeof(*h));
	struct timeval patience = {0, 200000};
	int fd[2] = {-1, -1};

	if (!h || (!inproc && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd)))
		abort();
	h->style = *style;
	h->inproc = inproc;
	h->dice.s = seed;
	h->client_fd = fd[0];
	h->fd = fd[1];
	h->minor = dice_hit(&h->dice, 600) ? FUSE_MINOR : 8 + dice_below(&h->dice, 38);
	h->in = malloc(HOSTILE_MESSAGE);
	h->out = malloc(2 * HOSTILE_MESSAGE);
	if (h->fd >= 0)
		setsockopt(h->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!h->in || !h->out || pthread_mutex_init(&h->lock, NULL) ||
	    pthread_create(&h->thread, NULL, serve, h))
		abort();
	return h;
}

void hostile_free(struct hostile *h)
{
	struct late *l;

	hostile_die(h);
	h->stop = true;
	pthread_join(h->thread, NULL);
	if (h->fd >= 0)
		close(h->fd);
	while ((l = h->late)) {
		h->late = l->next;
		free(l);
	}
	pthread_mutex_destroy(&h->lock);
	free(h->in);
	free(h->out);
	free(h);
}
