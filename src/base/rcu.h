/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Read-copy-update, by liburcu's "bp" flavour: no thread has to register itself, as befits a
 * library. Under ThreadSanitizer, which cannot see liburcu's barriers, a lock stands in for it.
 *
 * Between read_lock and read_unlock nothing may block or wait for the server.
 */
#ifndef PF_BASE_RCU_H
#define PF_BASE_RCU_H

struct pf__rcu_head {
	struct pf__rcu_head *next;
	void (*fn)(struct pf__rcu_head *);
};

#if defined(__SANITIZE_THREAD__)
#define PF_RCU_BY_LOCK
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PF_RCU_BY_LOCK
#endif
#endif

#ifdef PF_RCU_BY_LOCK
void pf__rcu_read_lock(void);
void pf__rcu_read_unlock(void);
#else
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/urcu-bp.h>
static inline void pf__rcu_read_lock(void)
{
	urcu_bp_read_lock();
}
static inline void pf__rcu_read_unlock(void)
{
	urcu_bp_read_unlock();
}
#endif

/*
 * Call fn(head) once no reader that runs now can see it. May be called under any lock, and in a
 * read section. Never fails. fn must not block; it may defer further ones.
 *
 * No thread of its own does this work: what was deferred collects into a batch, and the thread that
 * fills it waits for the readers and makes the calls, as soon as it holds no lock of base/lock.h
 * and is in no read section.
 */
void pf__rcu_defer(struct pf__rcu_head *head, void (*fn)(struct pf__rcu_head *));
/* Wait until all that was deferred before, and what those calls deferred in turn, has been called.
 * Not in a read section, not under a lock, not from such a call. */
void pf__rcu_barrier(void);
/* Wait for the readers that run now, no more. Not in a read section, not under a lock. */
void pf__rcu_synchronize(void);
/* Make the calls if the batch is full, and if that may be done here. For base/lock.h. */
void pf__rcu_flush(void);

#define pf__rcu_load(p)     __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define pf__rcu_store(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

#endif
