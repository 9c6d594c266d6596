/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/rcu.h"
#include "base/lock.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define BATCH 256

static _Atomic(struct pf__rcu_head *) batch; /* newest first */
static _Atomic unsigned batch_len;
_Atomic int pf__rcu_wants_flush; /* the batch is full; under a lock nobody could empty it */

/* Held by the thread that makes the calls. What those calls defer goes to chained, which it guards.
 */
static pthread_mutex_t running = PTHREAD_MUTEX_INITIALIZER;
static struct pf__rcu_head *chained;
static __thread bool running_here;

#ifdef PF_RCU_BY_LOCK
static pthread_rwlock_t readers = PTHREAD_RWLOCK_INITIALIZER;
static __thread unsigned depth;

void pf__rcu_read_lock(void)
{
	pthread_rwlock_rdlock(&readers);
	depth++;
}

void pf__rcu_read_unlock(void)
{
	depth--;
	pthread_rwlock_unlock(&readers);
}

static bool in_read_section(void)
{
	return depth;
}

static void wait_for_readers(void)
{
	pthread_rwlock_wrlock(&readers);
	pthread_rwlock_unlock(&readers);
}
#else
static bool in_read_section(void)
{
	return urcu_bp_read_ongoing();
}

static void wait_for_readers(void)
{
	urcu_bp_synchronize_rcu();
}
#endif

/* Pushed newest first; called oldest first. */
static struct pf__rcu_head *reverse(struct pf__rcu_head *list)
{
	struct pf__rcu_head *out = NULL, *next;

	for (; list; list = next) {
		next = list->next;
		list->next = out;
		out = list;
	}
	return out;
}

/* Under running: one grace period, then everything that was deferred before it. */
static void run_batch(void)
{
	struct pf__rcu_head *list, *more, *next;

	pf__rcu_wants_flush = 0;
	atomic_store(&batch_len, 0);
	list = reverse(atomic_exchange(&batch, NULL));
	more = reverse(chained);
	chained = NULL;
	if (!list && !more)
		return;
	wait_for_readers();
	running_here = true;
	for (; list; list = next) {
		next = list->next;
		list->fn(list);
	}
	for (; more; more = next) {
		next = more->next;
		more->fn(more);
	}
	running_here = false;
}

void pf__rcu_flush(void)
{
	if (running_here || pf__locks_held || in_read_section())
		return;
	if (pthread_mutex_trylock(&running))
		return; /* somebody is at it */
	do
		run_batch();
	while (pf__rcu_wants_flush);
	pthread_mutex_unlock(&running);
}

void pf__rcu_defer(struct pf__rcu_head *head, void (*fn)(struct pf__rcu_head *))
{
	head->fn = fn;
	if (running_here) {
		head->next = chained;
		chained = head;
		return;
	}
	head->next = atomic_load_explicit(&batch, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&batch, &head->next, head))
		;
	if (atomic_fetch_add(&batch_len, 1) + 1 < BATCH)
		return;
	pf__rcu_wants_flush = 1;
	pf__rcu_flush();
}

void pf__rcu_barrier(void)
{
	pthread_mutex_lock(&running);
	do
		run_batch();
	while (chained);
	pthread_mutex_unlock(&running);
}

void pf__rcu_synchronize(void)
{
	wait_for_readers();
}
