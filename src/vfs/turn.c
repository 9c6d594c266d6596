/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may ask a server about names at the same time: what a kernel has by the lock of a directory's
 * inode, and servers rely on.
 *
 * The gate: without PARALLEL_DIROPS the requests on one directory go one after the other.
 *
 * Turns, always: of requests that give the server a name to look up or to make, no two go at once.
 * libfuse's servers look a file up in their table and enter it if it is not there; two that do so
 * at once for the same new file make two nodes of it, and we two inodes: what is written to the one
 * is not seen by the other, and lost when that is written back.
 */
#include "base/clock.h"
#include "base/futex.h"
#include "vfs/walk.h"
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

/* ---- the gate: 0 open, 1 closed, 2 closed and somebody waits */

#define GATE_SLICE (50 * PF_NSEC_PER_MSEC) /* how often a waiter looks whether the server lives */

static bool has_gate(const struct pf__from *f)
{
	return !pf__conn_has(f->super->conn, FUSE_PARALLEL_DIROPS);
}

/* One who waits, for pf__gates_interrupt(). On its stack. */
struct waiter {
	struct pf__list link;
	const void *group;
	_Atomic uint32_t *gate;
	_Atomic bool interrupted;
};

/* Sleep while the word has this value. */
static int wait_some(const struct pf__from *f, struct waiter *w, uint32_t value)
{
	int err = pf__futex_wait(w->gate, value, pf__now() + GATE_SLICE);

	if (err == -EINTR || atomic_load(&w->interrupted))
		return -EINTR;
	return pf__conn_dead(f->super->conn) ? -ENOTCONN : 0;
}

static int wait_for_gate(const struct pf__from *f, struct waiter *w)
{
	int err = 0;

	while (!err && atomic_exchange(w->gate, 2))
		err = wait_some(f, w, 2);
	return err;
}

int pf__gate_enter(const struct pf__from *f, struct pf__inode *dir)
{
	struct pf__super *s = f->super;
	struct waiter w = {.group = f->caller.group};
	uint32_t open = 0;
	int err;

	if (!has_gate(f))
		return 0;
	w.gate = pf__inode_gate(dir);
	if (!w.gate)
		return -ENOMEM;
	if (atomic_compare_exchange_strong(w.gate, &open, 1))
		return 0;
	pf__mutex_lock(&s->lock);
	pf__list_add_tail(&s->gate_waiters, &w.link);
	pf__mutex_unlock(&s->lock);
	err = wait_for_gate(f, &w);
	pf__mutex_lock(&s->lock);
	pf__list_del(&w.link);
	pf__mutex_unlock(&s->lock);
	return err;
}

int pf__gates_interrupt(struct pf__super *s, const void *group)
{
	struct pf__list *pos;
	int n = 0;

	pf__mutex_lock(&s->lock);
	pf__list_for_each (pos, &s->gate_waiters) {
		struct waiter *w = pf__list_entry(pos, struct waiter, link);

		if (w->group != group)
			continue;
		atomic_store(&w->interrupted, true);
		pf__futex_wake(w->gate, INT_MAX);
		n++;
	}
	pf__mutex_unlock(&s->lock);
	return n;
}

void pf__gate_leave(const struct pf__from *f, struct pf__inode *dir)
{
	_Atomic uint32_t *gate;

	if (!has_gate(f))
		return;
	gate = pf__inode_gate(dir); /* made when it was entered */
	if (atomic_exchange(gate, 0) == 2)
		pf__futex_wake(gate, 1);
}

/* In the order of their addresses: two renames shall not wait for each other. */
int pf__gates_enter(const struct pf__from *f, struct pf__inode *a, struct pf__inode *b)
{
	struct pf__inode *first = (uintptr_t)a < (uintptr_t)b ? a : b, *second = first == a ? b : a;
	int err = pf__gate_enter(f, first);

	if (err || first == second)
		return err;
	err = pf__gate_enter(f, second);
	if (err)
		pf__gate_leave(f, first);
	return err;
}

void pf__gates_leave(const struct pf__from *f, struct pf__inode *a, struct pf__inode *b)
{
	pf__gate_leave(f, a);
	if (b != a)
		pf__gate_leave(f, b);
}

/* ---- turns */

static bool is_same_name(const struct pf__turn *a, const struct pf__turn *b)
{
	return a->len == b->len && !memcmp(a->name, b->name, a->len);
}

/* Listing with READDIRPLUS looks up all names; lookups of others go beside it, as in a kernel. */
static bool collide(const struct pf__turn *a, const struct pf__turn *b)
{
	if (a->dir != b->dir)
		return false;
	if (a->kind == PF_TURN_LIST || b->kind == PF_TURN_LIST)
		return a->kind == PF_TURN_MAKE || b->kind == PF_TURN_MAKE;
	return is_same_name(a, b);
}

/* Under s->lock. */
static bool must_wait(const struct pf__super *s, const struct pf__turn *t)
{
	const struct pf__list *pos;

	pf__list_for_each (pos, &s->turns)
		if (collide(pf__list_entry(pos, const struct pf__turn, link), t))
			return true;
	return false;
}

int pf__turn_enter(const struct pf__from *f, struct pf__turn *t)
{
	struct pf__super *s = f->super;
	struct waiter w = {.group = f->caller.group, .gate = &s->turns_ended};
	int waited = 0, err = 0;

	pf__mutex_lock(&s->lock);
	while (!err && must_wait(s, t)) {
		uint32_t ended = atomic_load(&s->turns_ended);

		waited = 1;
		s->turn_waiters++;
		pf__list_add_tail(&s->gate_waiters, &w.link);
		pf__mutex_unlock(&s->lock);
		err = wait_some(f, &w, ended);
		pf__mutex_lock(&s->lock);
		pf__list_del(&w.link);
		s->turn_waiters--;
	}
	if (!err)
		pf__list_add_tail(&s->turns, &t->link);
	pf__mutex_unlock(&s->lock);
	return err ? err : waited;
}

void pf__turn_leave(const struct pf__from *f, struct pf__turn *t)
{
	struct pf__super *s = f->super;
	bool wake;

	pf__mutex_lock(&s->lock);
	pf__list_del(&t->link);
	wake = s->turn_waiters;
	if (wake)
		atomic_fetch_add(&s->turns_ended, 1);
	pf__mutex_unlock(&s->lock);
	if (wake)
		pf__futex_wake(&s->turns_ended, INT_MAX);
}
