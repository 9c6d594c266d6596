// SPDX-License-Identifier: BSD-2-Clause
/* Reading and writing, in all the ways that there are. */
#include "tests/model/dice.h"
#include "tests/model/run.h"
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>

#define PARTS      5
#define PIECES     4
#define AIO_WAIT_S 20

/* Cut len bytes into vectors, as the seed says; some may be empty. */
static int cut(uint8_t *buf, uint64_t len, uint64_t seed, struct iovec iov[PARTS])
{
	uint64_t dice = dice_mix(seed), at = 0;
	int n = 0;

	while (n < PARTS - 1 && at < len) {
		uint64_t part = dice_below(&dice, (len - at) * 2 / 3 + 2);

		part = part > len - at ? len - at : part;
		iov[n++] = (struct iovec){buf + at, part};
		at += part;
	}
	if (at < len)
		iov[n++] = (struct iovec){buf + at, len - at};
	return n;
}

static bool refused(struct run *r, bool allowed, int64_t result, const char *call)
{
	if (allowed)
		return false;
	if (result != -EBADF)
		run_fail(r, "%s on a handle that is not open for it gives %lld", call,
			 (long long)result);
	return true;
}

/* ---- reading */

void do_pread(struct run *r, const struct op *op, struct mhandle *h)
{
	uint8_t *buf = malloc(op->len);
	ssize_t n = pf_pread(h->file, buf, op->len, (off_t)op->off);

	if (!refused(r, can_read(h), n, "pread"))
		run_compare(r, h->m, buf, n, op->len, op->off, "pread");
	free(buf);
}

void do_preadv(struct run *r, const struct op *op, struct mhandle *h)
{
	uint8_t *buf = malloc(op->len);
	struct iovec iov[PARTS];
	int parts = cut(buf, op->len, op->seed, iov);
	ssize_t n = pf_preadv(h->file, iov, parts, (off_t)op->off);

	if (!refused(r, can_read(h), n, "preadv"))
		run_compare(r, h->m, buf, n, op->len, op->off, "preadv");
	free(buf);
}

/* It may give less, or EAGAIN; what it gives is right. */
void do_preadv_nowait(struct run *r, const struct op *op, struct mhandle *h)
{
	uint8_t *buf = malloc(op->len);
	struct iovec iov[PARTS];
	int parts = cut(buf, op->len, op->seed, iov);
	ssize_t n = pf_preadv2(h->file, iov, parts, (off_t)op->off, RWF_NOWAIT);

	if (n == -EOPNOTSUPP)
		run_missing(r);
	else if (!refused(r, can_read(h), n, "preadv2") && n != -EAGAIN)
		run_compare(r, h->m, buf, n, n > 0 ? (uint64_t)n : op->len, op->off,
			    "preadv2 with RWF_NOWAIT");
	free(buf);
}

void do_read(struct run *r, const struct op *op, struct mhandle *h)
{
	uint8_t *buf = malloc(op->len);
	struct iovec iov[PARTS];
	int parts = cut(buf, op->len, op->seed, iov);
	ssize_t n = op->arg ? pf_readv(h->file, iov, parts) : pf_read(h->file, buf, op->len);

	if (!refused(r, can_read(h), n, "read")) {
		run_compare(r, h->m, buf, n, op->len, h->pos, "read");
		h->pos += (uint64_t)n;
	}
	free(buf);
}

/* ---- writing */

/* Direct writes beside a mapping are not foreseen: which of both holds nobody says. */
static bool mapped_direct(const struct mhandle *h)
{
	return h->m->maps && (h->direct || (h->flags & O_DIRECT));
}

/* What was written is in the model. Gives where it ends. */
static uint64_t wrote(struct run *r, const struct op *op, struct mhandle *h, const uint8_t *buf,
		      int64_t n, uint64_t off, bool synced)
{
	bool may_be_short = r->config->server.eintr; /* while it waited for room */

	if (n < 0)
		run_ok(r, (int)n, op_name(op->kind));
	if ((uint64_t)n > op->len || ((uint64_t)n < op->len && (!may_be_short || !n)))
		run_fail(r, "%s takes %lld bytes of %llu", op_name(op->kind), (long long)n,
			 (unsigned long long)op->len);
	run_put(r, h->m, buf, (uint64_t)n, off);
	if (synced)
		run_server_has_range(r, h->m, off, (uint64_t)n, "a write with O_DSYNC");
	return off + (uint64_t)n;
}

typedef int64_t (*write_fn)(struct mhandle *h, const struct op *op, uint8_t *buf);

static void write_at(struct run *r, const struct op *op, struct mhandle *h, uint64_t *pos,
		     write_fn call)
{
	bool append = (h->flags & O_APPEND) || (op->kind == OP_PWRITEV2 && op->arg == RWF_APPEND);
	bool synced = (h->flags & O_DSYNC) ||
		      (op->kind == OP_PWRITEV2 && (op->arg == RWF_DSYNC || op->arg == RWF_SYNC));
	uint64_t off = append ? h->m->size : *pos;
	uint8_t *buf;
	int64_t n;

	if (mapped_direct(h) || off + op->len > MAX_SIZE)
		return;
	buf = malloc(op->len);
	dice_fill(buf, op->len, op->seed);
	if (can_write(h))
		run_may_grow(r, h->m, off + op->len);
	n = call(h, op, buf);
	if (n == -EOPNOTSUPP && op->kind == OP_PWRITEV2)
		run_missing(r);
	else if (!refused(r, can_write(h), n, "a write"))
		*pos = wrote(r, op, h, buf, n, off, synced);
	if (can_write(h))
		server_limit(r->server, h->m->node, h->m->size);
	free(buf);
}

static int64_t call_pwrite(struct mhandle *h, const struct op *op, uint8_t *buf)
{
	return pf_pwrite(h->file, buf, op->len, (off_t)op->off);
}

static int64_t call_pwritev(struct mhandle *h, const struct op *op, uint8_t *buf)
{
	struct iovec iov[PARTS];

	return pf_pwritev(h->file, iov, cut(buf, op->len, op->seed, iov), (off_t)op->off);
}

static int64_t call_pwritev2(struct mhandle *h, const struct op *op, uint8_t *buf)
{
	struct iovec iov[PARTS];
	int parts = cut(buf, op->len, op->seed, iov);

	return pf_pwritev2(h->file, iov, parts, (off_t)op->off, (int)op->arg);
}

static int64_t call_write(struct mhandle *h, const struct op *op, uint8_t *buf)
{
	struct iovec iov[PARTS];

	return op->arg ? pf_writev(h->file, iov, cut(buf, op->len, op->seed, iov))
		       : pf_write(h->file, buf, op->len);
}

void do_pwrite(struct run *r, const struct op *op, struct mhandle *h)
{
	uint64_t pos = op->off;

	write_at(r, op, h, &pos, call_pwrite);
}

void do_pwritev(struct run *r, const struct op *op, struct mhandle *h)
{
	uint64_t pos = op->off;

	write_at(r, op, h, &pos, call_pwritev);
}

void do_pwritev2(struct run *r, const struct op *op, struct mhandle *h)
{
	uint64_t pos = op->off;

	write_at(r, op, h, &pos, call_pwritev2);
}

void do_write(struct run *r, const struct op *op, struct mhandle *h)
{
	write_at(r, op, h, &h->pos, call_write);
}

/* ---- several at once */

struct piece {
	sem_t *sem;
	uint8_t *buf;
	uint64_t len, off;
	_Atomic int64_t result;
};

static void aio_done(void *ctx, ssize_t result)
{
	struct piece *p = ctx;

	atomic_store(&p->result, result);
	sem_post(p->sem);
}

static void aio_wait(struct run *r, sem_t *sem, int n)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += AIO_WAIT_S;
	while (n--)
		while (sem_timedwait(sem, &until))
			if (errno == ETIMEDOUT)
				run_fail(r, "aio: done is not called");
}

/* The pieces lie one after the other. False: it is not to be had. */
static bool aio_submit(struct run *r, const struct op *op, struct mhandle *h, struct piece *p,
		       bool write)
{
	int e = 0, i;

	for (i = 0; i < PIECES && !e; i++) {
		e = write ? pf_aio_write(h->file, p[i].buf, p[i].len, (off_t)p[i].off, aio_done,
					 &p[i])
			  : pf_aio_read(h->file, p[i].buf, p[i].len, (off_t)p[i].off, aio_done,
					&p[i]);
	}
	aio_wait(r, p[0].sem, e ? i - 1 : i);
	if (e && (e != -EOPNOTSUPP || i != 1))
		run_ok(r, e, "aio");
	if (e)
		run_missing(r);
	return !e;
}

static void aio_results(struct run *r, struct mhandle *h, struct piece *p, bool write)
{
	for (int i = 0; i < PIECES; i++) {
		if (!write) {
			run_compare(r, h->m, p[i].buf, p[i].result, p[i].len, p[i].off, "aio_read");
			continue;
		}
		run_ok(r, (int)p[i].result, "aio_write");
		if (p[i].result != (int64_t)p[i].len)
			run_fail(r, "aio_write takes %lld bytes of %llu", (long long)p[i].result,
				 (unsigned long long)p[i].len);
		run_put(r, h->m, p[i].buf, p[i].len, p[i].off);
		run_may_grow(r, h->m, p[PIECES - 1].off + p[PIECES - 1].len);
	}
	server_limit(r->server, h->m->node, h->m->size);
}

void do_aio(struct run *r, const struct op *op, struct mhandle *h)
{
	bool write = op->arg & 1;
	uint64_t each = op->len / PIECES + 1;
	struct piece p[PIECES] = {0};
	uint8_t *buf;
	sem_t sem;

	if (write ? !can_write(h) || (h->flags & O_APPEND) || mapped_direct(h) : !can_read(h))
		return;
	if (op->off + PIECES * each > MAX_SIZE)
		return;
	buf = malloc(PIECES * each);
	dice_fill(buf, PIECES * each, op->seed);
	sem_init(&sem, 0, 0);
	for (unsigned i = 0; i < PIECES; i++)
		p[i] = (struct piece){&sem, buf + i * each, each, op->off + i * each, 0};
	if (write)
		run_may_grow(r, h->m, op->off + PIECES * each);
	if (aio_submit(r, op, h, p, write))
		aio_results(r, h, p, write);
	sem_destroy(&sem);
	free(buf);
}

/* ---- without a copy */

void do_borrow(struct run *r, const struct op *op, struct mhandle *h)
{
	struct mborrow *b = &r->borrows[op->h2 % BORROWS];
	ssize_t n;

	run_return(r, b);
	n = pf_read_borrow(h->file, op->len, (off_t)op->off, &b->b);
	if (n <= 0)
		b->b.length = 0;
	if (n == -EOPNOTSUPP) {
		run_missing(r);
		return;
	}
	if (refused(r, can_read(h), n, "read_borrow"))
		return;
	if (n > (ssize_t)op->len || (n == 0 && op->off < h->m->size))
		run_fail(r, "read_borrow gives %zd bytes", n);
	run_compare(r, h->m, b->b.data, n, n > 0 ? (uint64_t)n : op->len, op->off, "read_borrow");
	if (n > 0 && b->b.length != (size_t)n)
		run_fail(r, "read_borrow gives %zd, and a length of %zu", n, b->b.length);
	b->m = h->m;
	b->off = op->off;
	b->version = h->m->version;
}

void run_return(struct run *r, struct mborrow *b)
{
	volatile uint8_t sum = 0;

	if (!b->b.length)
		return;
	if (b->version == b->m->version)
		run_compare(r, b->m, b->b.data, (int64_t)b->b.length, b->b.length, b->off,
			    "what was borrowed");
	else /* old or new: but it can be read */
		for (size_t i = 0; i < b->b.length; i += 512)
			sum += ((const uint8_t *)b->b.data)[i];
	pf_read_return(&b->b);
	b->b.length = 0;
}
