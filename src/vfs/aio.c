/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads, writes and fsync that do not wait: threads of the file system's own make the ordinary call
 * and tell its result.
 *
 * A call is *ready* when a thread may take it up. Calls that would only wait for each other inside
 * the library (reads of one open file without ASYNC_READ, writes that hold the inode's gate alone)
 * stand in a *lane* of their open file, of which one call at a time is ready or under way: so they
 * keep no thread asleep, and they go in the order in which they came.
 *
 * Threads are made when a call is ready and nobody is free for it, and end after a second in which
 * nothing was to do. The one idle for the shortest time is woken first, so that the others can end.
 */
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/futex.h"
#include "base/sys.h"
#include "vfs/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#define MAX_THREADS 64u
#define IDLE_NS     PF_NSEC_PER_SEC
#define TICK_NS     (100 * PF_NSEC_PER_MSEC)
#define STOP_NS     (10 * PF_NSEC_PER_SEC) /* pf_stop(): the server's time for a call under way */

enum kind { AIO_READ, AIO_WRITE, AIO_FSYNC };
static const char *const kind_names[] = {"aio_read", "aio_write", "aio_fsync"};

/* What is to be done. */
struct op {
	enum kind kind;
	bool datasync;
	struct iovec iov;
	off_t offset;
};

struct call {
	struct op op;
	struct pf__open_file *of; /* referenced */
	struct pf__aio_lane *lane;
	pf_aio_fn done;
	void *ctx;
	bool waits;             /* in its lane, for its turn */
	bool interrupted;       /* before it began: ends with EINTR */
	struct pf__list link;   /* pf__aio.ready, or its lane */
	struct pf__list queued; /* pf__aio.queued */
};

/* A thread that has nothing to do, on its own stack. */
struct idler {
	struct pf__list link; /* pf__aio.idle; whoever takes it out wakes it */
	struct call *call;    /* its work, begun already; NULL: look at the queue */
	_Atomic uint32_t woken;
};

struct pf__aio {
	struct pf__mutex lock; /* PF_RANK_AIO: all below, lanes, and calls that have not begun */
	struct pf__list ready;
	struct pf__list queued; /* all that have not begun, ready or not, as they came */
	struct pf__list idle;   /* not empty only while ready is empty */
	unsigned nready;
	unsigned starting;        /* threads being made: each will take up one ready call */
	unsigned active;          /* calls begun, without those whose callback runs */
	uint64_t moves;           /* calls that began, calls that ended */
	_Atomic uint32_t threads; /* with those being made; changed under lock, pf_stop() sleeps
				   * here */
	bool stopping;
	bool has_ended;  /* ended is valid */
	pthread_t ended; /* the thread that ended last; it has joined the one before it */
};

/* Whose callbacks the present thread runs: pf_stop() would wait for itself. */
static __thread const struct pf__aio *working_for;

/* ---- the call itself */

/* What can be done without waiting for the server: true, and the result. */
static bool pf__aio_try(struct pf__open_file *of, const struct op *op, ssize_t *result)
{
	if (op->kind != AIO_READ || !op->iov.iov_len)
		return false;
	*result = pf__read_cached(of, op->iov.iov_base, op->iov.iov_len, op->offset);
	return *result == (ssize_t)op->iov.iov_len;
}

static ssize_t op_run(struct pf__open_file *of, const struct op *op)
{
	off_t end;

	if (pf__inode_is_bad(of->inode)) /* perhaps only since the call was made */
		return -EIO;
	switch (op->kind) {
	case AIO_READ:
		return pf__read_at(of, &op->iov, 1, op->offset);
	case AIO_WRITE:
		return pf__write_at(of, &op->iov, 1, op->offset, &end);
	default:
		return pf__fsync(of, op->datasync);
	}
}

/* Nothing of ours is touched after it: the callback may free what it likes. */
static void tell(enum kind kind, ssize_t result, pf_aio_fn done, void *ctx)
{
	if (result < 0)
		pf__fail_op((int)result, kind_names[kind], NULL);
	pf__assert_no_locks("aio callback");
	done(ctx, result);
}

/* ---- the queue; all under the pool's lock */

/* From here on pf_interrupt() finds it at the connection. */
static void call_begins(struct pf__aio *p, struct call *c)
{
	pf__list_del(&c->queued);
	p->active++;
	p->moves++;
}

static void idler_wake(struct idler *i, struct call *c)
{
	i->call = c;
	atomic_store(&i->woken, 1);
	pf__futex_wake(&i->woken, 1); /* needs the address only, should it have gone on */
}

static void call_ready(struct pf__aio *p, struct call *c)
{
	struct pf__list *l = pf__list_pop(&p->idle);

	c->waits = false;
	if (l) {
		call_begins(p, c);
		idler_wake(pf__list_entry(l, struct idler, link), c);
		return;
	}
	if (c->interrupted) /* these wait for nobody */
		pf__list_add_head(&p->ready, &c->link);
	else
		pf__list_add_tail(&p->ready, &c->link);
	p->nready++;
}

static struct call *take_ready(struct pf__aio *p)
{
	struct pf__list *l = pf__list_pop(&p->ready);
	struct call *c = l ? pf__list_entry(l, struct call, link) : NULL;

	if (c) {
		p->nready--;
		call_begins(p, c);
	}
	return c;
}

/* The lane's next one is ready. */
static void lane_pass(struct pf__aio *p, struct pf__aio_lane *lane)
{
	struct pf__list *l = pf__list_pop(&lane->waiting);

	if (l)
		call_ready(p, pf__list_entry(l, struct call, link));
	else
		lane->busy = false;
}

static void call_enters(struct pf__aio *p, struct call *c)
{
	struct pf__aio_lane *lane = c->lane;

	pf__list_add_tail(&p->queued, &c->queued);
	if (lane && lane->busy) {
		c->waits = true;
		pf__list_add_tail(&lane->waiting, &c->link);
		return;
	}
	if (lane) {
		lane->busy = true;
		pf__list_init(&lane->waiting);
	}
	call_ready(p, c);
}

/* ---- threads */

static void pool_grow(struct pf__aio *p, unsigned most);

static void call_run(struct pf__aio *p, struct call *c)
{
	ssize_t result = c->interrupted ? -EINTR : op_run(c->of, &c->op);
	struct call call = *c;

	pf__mutex_lock(&p->lock);
	p->active--;
	p->moves++;
	if (call.lane)
		lane_pass(p, call.lane);
	pf__mutex_unlock(&p->lock);
	if (call.lane) /* the callback may take its time */
		pool_grow(p, MAX_THREADS);
	pf__free(c);
	pf__open_file_put(call.of); /* first, so that pf_stop() may follow the last callback */
	tell(call.op.kind, result, call.done, call.ctx);
}

/* True when woken, false when the time was over; i is not in the list any more. */
static bool idler_sleep(struct pf__aio *p, struct idler *i)
{
	uint64_t deadline = pf__now() + IDLE_NS;
	bool woken;

	while (!atomic_load(&i->woken) && pf__futex_wait(&i->woken, 0, deadline) != -ETIMEDOUT)
		;
	if (atomic_load(&i->woken))
		return true;
	pf__mutex_lock(&p->lock);
	woken = atomic_load(&i->woken);
	pf__list_del(&i->link);
	pf__mutex_unlock(&p->lock);
	return woken;
}

/* The next call for this thread, begun; NULL: there is none, and the lock is held. */
static struct call *next_call(struct pf__aio *p)
{
	bool over = false;
	struct call *c;

	for (;;) {
		struct idler i = {.woken = 0};

		pf__mutex_lock(&p->lock);
		c = take_ready(p);
		if (c)
			break;
		if (p->stopping || over)
			return NULL;
		pf__list_add_head(&p->idle, &i.link);
		pf__mutex_unlock(&p->lock);
		over = !idler_sleep(p, &i);
		if (i.call)
			return i.call;
	}
	pf__mutex_unlock(&p->lock);
	return c;
}

/* Each thread joins the one that ended before it, pf_stop() the last: then none is left running. */
static void *worker(void *arg)
{
	struct pf__aio *p = arg;
	pthread_t before;
	bool join;
	struct call *c;

	pthread_setname_np(pthread_self(), "portfire-aio");
	working_for = p;
	pf__mutex_lock(&p->lock);
	p->starting--;
	pf__mutex_unlock(&p->lock);
	while ((c = next_call(p)))
		call_run(p, c);
	join = p->has_ended;
	before = p->ended;
	p->has_ended = true;
	p->ended = pthread_self();
	atomic_fetch_sub(&p->threads, 1);
	pf__mutex_unlock(&p->lock);
	pf__futex_wake(&p->threads, 1); /* p stays until this thread is joined */
	if (join)
		pthread_join(before, NULL);
	return NULL;
}

/* No thread could be made and there is none: this one stands in until nothing is ready. */
static void stand_in(struct pf__aio *p)
{
	const struct pf__aio *outer = working_for;
	struct call *c;

	working_for = p;
	pf__mutex_lock(&p->lock);
	while ((c = take_ready(p))) {
		pf__mutex_unlock(&p->lock);
		call_run(p, c);
		pf__mutex_lock(&p->lock);
	}
	atomic_fetch_sub(&p->threads, 1);
	pf__mutex_unlock(&p->lock);
	working_for = outer;
}

/* Is more ready than threads are on their way for? One more, if there are less than most. */
static void pool_grow(struct pf__aio *p, unsigned most)
{
	unsigned long thread; /* joined by the next that ends: it names itself */
	bool grow, alone;

	pf__mutex_lock(&p->lock);
	grow = p->nready > p->starting && atomic_load(&p->threads) < most;
	if (grow) {
		p->starting++;
		atomic_fetch_add(&p->threads, 1);
	}
	pf__mutex_unlock(&p->lock);
	if (!grow || !pf__sys.thread_create(&thread, worker, p))
		return;
	pf__mutex_lock(&p->lock);
	p->starting--;
	alone = atomic_load(&p->threads) == 1;
	if (!alone)
		atomic_fetch_sub(&p->threads, 1);
	pf__mutex_unlock(&p->lock);
	if (alone)
		stand_in(p);
}

/* ---- the pool */

static void pool_free(struct pf__aio *p)
{
	pf__mutex_destroy(&p->lock);
	pf__free(p);
}

/* The file system's pool, made by the first who needs it. NULL: no memory. */
static struct pf__aio *pool_of(struct pf__super *s)
{
	struct pf__aio *p = atomic_load(&s->aio), *other = NULL;

	if (p)
		return p;
	p = pf__calloc(1, sizeof *p);
	if (!p)
		return NULL;
	pf__mutex_init(&p->lock, PF_RANK_AIO);
	pf__list_init(&p->ready);
	pf__list_init(&p->queued);
	pf__list_init(&p->idle);
	if (atomic_compare_exchange_strong(&s->aio, &other, p))
		return p;
	pool_free(p);
	return other;
}

/* All calls end by themselves, unless the server leaves one lying: then it has had its time. */
static void wait_for_end(struct pf__super *s, struct pf__aio *p)
{
	uint64_t since = pf__now(), moves = UINT64_MAX;
	uint32_t n;

	while ((n = atomic_load(&p->threads))) {
		bool over = pf__now() >= since + STOP_NS, stuck;

		pf__mutex_lock(&p->lock);
		stuck = over && p->active && p->moves == moves;
		if (over || p->moves != moves)
			since = pf__now();
		moves = p->moves;
		pf__mutex_unlock(&p->lock);
		if (stuck)
			pf__conn_abort(s->conn, -ETIMEDOUT);
		(void)pf__futex_wait(&p->threads, n, pf__now() + TICK_NS);
	}
}

int pf__aio_stop(struct pf__super *s)
{
	struct pf__aio *p = atomic_load(&s->aio);
	struct pf__list *l;
	pthread_t last;
	bool join;

	if (!p)
		return 0;
	if (working_for == p)
		return -EDEADLK;
	pf__mutex_lock(&p->lock);
	p->stopping = true;
	while ((l = pf__list_pop(&p->idle)))
		idler_wake(pf__list_entry(l, struct idler, link), NULL);
	pf__mutex_unlock(&p->lock);
	wait_for_end(s, p);
	pf__mutex_lock(&p->lock);
	join = p->has_ended;
	last = p->ended;
	pf__mutex_unlock(&p->lock);
	if (join)
		pthread_join(last, NULL);
	atomic_store(&s->aio, NULL);
	pool_free(p);
	return 0;
}

/* Out of its lane, if it is not yet its turn there. */
static void call_interrupt(struct pf__aio *p, struct call *c)
{
	c->interrupted = true;
	if (c->waits)
		c->lane = NULL; /* whoever has the turn passes it on to those behind */
	else
		p->nready--;
	pf__list_del(&c->link);
	call_ready(p, c);
}

int pf__aio_interrupt(struct pf__super *s, const void *group)
{
	struct pf__aio *p = atomic_load(&s->aio);
	struct pf__list *l, *next;
	int n = 0;

	if (!p)
		return 0;
	pf__mutex_lock(&p->lock);
	pf__list_for_each_safe (l, next, &p->queued) {
		struct call *c = pf__list_entry(l, struct call, queued);

		if (c->of->view.group != group || c->interrupted)
			continue;
		call_interrupt(p, c);
		n++;
	}
	pf__mutex_unlock(&p->lock);
	if (n) /* though all may wait for a server: these need not */
		pool_grow(p, MAX_THREADS + 1);
	return n;
}

/* ---- the public calls */

static struct pf__aio_lane *lane_for(struct pf__open_file *of, enum kind kind)
{
	bool append = atomic_load(&of->flags) & O_APPEND;

	if (kind == AIO_READ)
		return pf__conn_has(of->super->conn, FUSE_ASYNC_READ) ? NULL : &of->aio_reads;
	if (kind == AIO_FSYNC)
		return NULL;
	return (of->io.open_flags & FOPEN_PARALLEL_DIRECT_WRITES) && !append ? NULL
									     : &of->aio_writes;
}

static int enqueue(struct pf__open_file *of, const struct op *op, pf_aio_fn done, void *ctx)
{
	struct pf__aio *p = pool_of(of->super);
	struct call *c = p ? pf__malloc(sizeof *c) : NULL;
	bool stopping;

	if (!c)
		return -ENOMEM;
	*c = (struct call){
	    .op = *op, .of = of, .lane = lane_for(of, op->kind), .done = done, .ctx = ctx};
	atomic_fetch_add(&of->refs, 1);
	pf__mutex_lock(&p->lock);
	stopping = p->stopping;
	if (!stopping)
		call_enters(p, c);
	pf__mutex_unlock(&p->lock);
	if (stopping) { /* from a callback: else it would never end */
		pf__free(c);
		pf__open_file_put(of);
		return -ENOTCONN;
	}
	pool_grow(p, MAX_THREADS);
	return 0;
}

static int submit(struct pf_file *file, unsigned need, const struct op *op, pf_aio_fn done,
		  void *ctx)
{
	struct pf__open_file *of;
	int r = pf__file_check(file, PF_NEED_HANDLE | need, &of);
	ssize_t result;

	if (!r && of->super->no_threads)
		r = -EOPNOTSUPP;
	else if (!r && (op->offset < 0 || !done))
		r = -EINVAL;
	else if (!r && (need & PF_NEED_REGULAR) && !pf__file_seekable(of))
		r = -ESPIPE;
	if (!r && pf__aio_try(of, op, &result)) {
		tell(op->kind, result, done, ctx);
		return 0;
	}
	if (!r)
		r = enqueue(of, op, done, ctx);
	return r ? pf__fail_op(r, kind_names[op->kind], NULL) : 0;
}

int pf_aio_read(struct pf_file *file, void *buf, size_t count, off_t offset, pf_aio_fn done,
		void *ctx)
{
	struct op op = {.kind = AIO_READ, .iov = {buf, count}, .offset = offset};

	return submit(file, PF_NEED_READ | PF_NEED_REGULAR, &op, done, ctx);
}

int pf_aio_write(struct pf_file *file, const void *buf, size_t count, off_t offset, pf_aio_fn done,
		 void *ctx)
{
	struct op op = {.kind = AIO_WRITE, .iov = {(void *)buf, count}, .offset = offset};

	return submit(file, PF_NEED_WRITE | PF_NEED_REGULAR, &op, done, ctx);
}

int pf_aio_fsync(struct pf_file *file, int datasync, pf_aio_fn done, void *ctx)
{
	struct op op = {.kind = AIO_FSYNC, .datasync = datasync};

	return submit(file, 0, &op, done, ctx);
}
