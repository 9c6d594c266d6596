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

/* Call fn(head) once no reader that runs now can see it. May be called under any lock. Never fails.
 * fn must not block. Frees are done in batches by whoever calls this. */
void pf__rcu_defer(struct pf__rcu_head *head, void (*fn)(struct pf__rcu_head *));
/* Wait until all that was deferred before has been called. Not inside a read section, no locks. */
void pf__rcu_barrier(void);

#define pf__rcu_load(p)	    __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define pf__rcu_store(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

#endif
