/* SPDX-License-Identifier: BSD-2-Clause */
#include "vfs/localock.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/futex.h"
#include "base/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>

struct pf__locks {
	struct pf__mutex lock;
	struct pf__list held;    /* struct pf__lock.link */
	struct pf__list waiters; /* struct waiter.link */
	_Atomic uint32_t turn;   /* goes on whenever a lock is given back: waiters sleep on it */
	_Atomic uint32_t count;  /* of held: nothing to do is seen without the mutex */
};

/* A call that waits, on its own stack. */
struct waiter {
	struct pf__list link;
	const struct pf__lock *want;
	uint64_t blocked_on; /* owner */
	const void *group;
	bool interrupted;
};

int pf__locks_open(struct pf__locks **out)
{
	struct pf__locks *l = pf__calloc(1, sizeof *l);

	if (!l)
		return -ENOMEM;
	pf__mutex_init(&l->lock, PF_RANK_LOCKS);
	pf__list_init(&l->held);
	pf__list_init(&l->waiters);
	*out = l;
	return 0;
}

static struct pf__lock *lock_of(struct pf__list *link)
{
	return pf__list_entry(link, struct pf__lock, link);
}

void pf__locks_close(struct pf__locks *l)
{
	struct pf__list *link;

	while ((link = pf__list_pop(&l->held)))
		pf__free(lock_of(link));
	pf__mutex_destroy(&l->lock);
	pf__free(l);
}

static void wake(struct pf__locks *l)
{
	atomic_fetch_add(&l->turn, 1);
	pf__futex_wake(&l->turn, INT_MAX);
}

static bool overlaps(const struct pf__lock *a, const struct pf__lock *b)
{
	return a->inode == b->inode && a->kind == b->kind && a->start <= b->end &&
	       b->start <= a->end;
}

static struct pf__lock *conflict(struct pf__locks *l, const struct pf__lock *want)
{
	struct pf__list *link;

	pf__list_for_each (link, &l->held) {
		struct pf__lock *h = lock_of(link);

		if (overlaps(h, want) && h->owner != want->owner &&
		    (h->type == F_WRLCK || want->type == F_WRLCK))
			return h;
	}
	return NULL;
}

static void drop(struct pf__locks *l, struct pf__lock *h)
{
	pf__list_del(&h->link);
	atomic_fetch_sub(&l->count, 1);
	pf__free(h);
}

static void add(struct pf__locks *l, struct pf__lock *h, const struct pf__lock *like)
{
	*h = *like;
	pf__list_add_tail(&l->held, &h->link);
	atomic_fetch_add(&l->count, 1);
}

/* Take want's range out of what its owner holds. *spare is used when a lock falls in two. */
static void cut(struct pf__locks *l, const struct pf__lock *want, struct pf__lock **spare)
{
	struct pf__list *link, *tmp;

	pf__list_for_each_safe (link, tmp, &l->held) {
		struct pf__lock *h = lock_of(link);

		if (!overlaps(h, want) || h->owner != want->owner)
			continue;
		if (h->start < want->start && h->end > want->end) {
			struct pf__lock tail = *h;

			tail.start = want->end + 1;
			add(l, *spare, &tail);
			*spare = NULL;
			h->end = want->start - 1;
		} else if (h->start < want->start) {
			h->end = want->start - 1;
		} else if (h->end > want->end) {
			h->start = want->end + 1;
		} else {
			drop(l, h);
		}
	}
}

/* Neighbours of the same owner and type are one lock: F_GETLK must report them so. */
static void merge(struct pf__locks *l, struct pf__lock *fresh)
{
	struct pf__list *link, *tmp;

	pf__list_for_each_safe (link, tmp, &l->held) {
		struct pf__lock *h = lock_of(link);

		if (h == fresh || h->inode != fresh->inode || h->kind != fresh->kind ||
		    h->owner != fresh->owner || h->type != fresh->type)
			continue;
		if (fresh->start && h->end == fresh->start - 1)
			fresh->start = h->start;
		else if (h->start && fresh->end == h->start - 1)
			fresh->end = h->end;
		else
			continue;
		drop(l, h);
	}
}

/* Would waiting for owner close a circle of owners that wait for each other? */
static bool deadlock(struct pf__locks *l, uint64_t self, uint64_t owner)
{
	struct pf__list *link;

	for (unsigned steps = 0; steps < 1000; steps++) {
		struct waiter *next = NULL;

		if (owner == self)
			return true;
		pf__list_for_each (link, &l->waiters) {
			struct waiter *w = pf__list_entry(link, struct waiter, link);

			if (w->want->owner == owner && w->want->kind == PF_LOCK_POSIX)
				next = w;
		}
		if (!next)
			return false;
		owner = next->blocked_on;
	}
	return false;
}

/* One sleep; the mutex is held on entry and exit. */
static int sleep_once(struct pf__locks *l, struct waiter *w, bool (*gone)(const void *ctx),
		      const void *ctx)
{
	uint32_t turn = atomic_load(&l->turn);
	int r;

	if (gone(ctx))
		return -ENOTCONN;
	pf__mutex_unlock(&l->lock);
	r = pf__futex_wait(&l->turn, turn, PF_TIME_FOREVER);
	pf__mutex_lock(&l->lock);
	return w->interrupted || r == -EINTR ? -EINTR : 0;
}

/* Until nothing stands in want's way. The mutex is held on entry and exit. */
static int wait_for(struct pf__locks *l, const struct pf__lock *want, const void *group,
		    bool (*gone)(const void *ctx), const void *ctx)
{
	struct waiter w = {.want = want, .group = group};
	struct pf__lock *h;
	int r = 0;

	pf__list_init(&w.link);
	while (!r && (h = conflict(l, want))) {
		w.blocked_on = h->owner;
		pf__list_del(&w.link);
		if (want->kind == PF_LOCK_POSIX && !want->ofd &&
		    deadlock(l, want->owner, h->owner)) {
			r = -EDEADLK;
			break;
		}
		pf__list_add_tail(&l->waiters, &w.link);
		r = sleep_once(l, &w, gone, ctx);
	}
	pf__list_del(&w.link);
	return r;
}

/* The mutex is held. */
static int set(struct pf__locks *l, const struct pf__lock *want, bool wait, const void *group,
	       bool (*gone)(const void *ctx), const void *ctx, struct pf__lock **spare)
{
	struct pf__lock *fresh;
	int r = 0;

	/* flock converts by giving up the old lock first: two that convert at once do not deadlock.
	 */
	if (want->kind == PF_LOCK_FLOCK && want->type != F_UNLCK) {
		cut(l, want, &spare[0]);
		wake(l);
	}
	if (want->type != F_UNLCK && conflict(l, want))
		r = wait ? wait_for(l, want, group, gone, ctx) : -EAGAIN;
	if (r)
		return r;
	cut(l, want, &spare[0]);
	if (want->type != F_UNLCK) {
		fresh = spare[1];
		spare[1] = NULL;
		add(l, fresh, want);
		merge(l, fresh);
	}
	wake(l); /* a lock may have become weaker */
	return 0;
}

int pf__locks_set(struct pf__locks *l, const struct pf__lock *want, bool wait, const void *group,
		  bool (*gone)(const void *ctx), const void *ctx)
{
	struct pf__lock *spare[2] = {pf__malloc(sizeof **spare), pf__malloc(sizeof **spare)};
	int r = -ENOMEM;

	if (spare[0] && spare[1]) {
		pf__mutex_lock(&l->lock);
		r = set(l, want, wait, group, gone, ctx, spare);
		pf__mutex_unlock(&l->lock);
	}
	pf__free(spare[0]);
	pf__free(spare[1]);
	return r;
}

void pf__locks_test(struct pf__locks *l, const struct pf__lock *want, struct pf__lock *found)
{
	struct pf__lock *h;

	pf__mutex_lock(&l->lock);
	h = conflict(l, want);
	*found = h ? *h : *want;
	if (!h)
		found->type = F_UNLCK;
	pf__mutex_unlock(&l->lock);
}

void pf__locks_remove(struct pf__locks *l, const void *inode, uint64_t owner, bool any_kind)
{
	struct pf__list *link, *tmp;
	bool any = false;

	if (!atomic_load(&l->count))
		return;
	pf__mutex_lock(&l->lock);
	pf__list_for_each_safe (link, tmp, &l->held) {
		struct pf__lock *h = lock_of(link);

		if (h->inode == inode && h->owner == owner &&
		    (any_kind || h->kind == PF_LOCK_POSIX)) {
			drop(l, h);
			any = true;
		}
	}
	if (any)
		wake(l);
	pf__mutex_unlock(&l->lock);
}

int pf__locks_interrupt(struct pf__locks *l, const void *group)
{
	struct pf__list *link;
	int n = 0;

	pf__mutex_lock(&l->lock);
	pf__list_for_each (link, &l->waiters) {
		struct waiter *w = pf__list_entry(link, struct waiter, link);

		if (w->group == group) {
			w->interrupted = true;
			n++;
		}
	}
	if (n)
		wake(l);
	pf__mutex_unlock(&l->lock);
	return n;
}

void pf__locks_wake_all(struct pf__locks *l)
{
	wake(l);
}
