/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutexes with a rank. A thread may take a lock only if its rank is higher than that of every lock
 * it holds; builds with PF_DEBUG assert it, and assert that no lock is held across a request.
 * docs/locking.md lists the ranks.
 */
#ifndef PF_BASE_LOCK_H
#define PF_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

enum pf__rank {
	PF_RANK_NONE = 0,
	PF_RANK_SUPER = 10,     /* struct pf__super: list of open files, views */
	PF_RANK_AIO = 15,       /* asynchronous calls: queues, threads, lanes of open files */
	PF_RANK_FILE = 20,      /* an open file's position, directory stream */
	PF_RANK_LOCKS = 30,     /* local POSIX and flock tables */
	PF_RANK_NAMES = 40,     /* name cache: insertion, removal, LRU */
	PF_RANK_IO = 45,        /* what the I/O paths know of an inode; the list of dirty ones */
	PF_RANK_BACKING = 46,   /* ids of backing files */
	PF_RANK_INODE = 50,     /* an inode's attributes and links */
	PF_RANK_PAGES = 55,     /* the cached pages of a file */
	PF_RANK_ARENA = 57,     /* the memory of all cached pages */
	PF_RANK_DIRS = 58,      /* listings of directories */
	PF_RANK_FORGET = 60,    /* forget queue */
	PF_RANK_CONN = 70,      /* requests in flight, queues, leadership */
	PF_RANK_TRANSPORT = 80, /* inproc queues, fault and trace state */
};

struct pf__mutex {
	pthread_mutex_t m;
	unsigned rank;
};

/*
 * How many of these mutexes the thread holds. pf__rcu_defer() must not wait for readers under a
 * lock (a reader may be waiting for that lock), so the release of the last one does it instead.
 */
extern __thread unsigned pf__locks_held __attribute__((tls_model("initial-exec")));
extern _Atomic int pf__rcu_wants_flush;
void pf__rcu_flush(void);

int pf__mutex_init(struct pf__mutex *m, enum pf__rank rank);
void pf__mutex_destroy(struct pf__mutex *m);
/* Without waiting, so whatever the ranks: false when it is taken. */
bool pf__mutex_trylock(struct pf__mutex *m);
#ifdef PF_DEBUG
void pf__mutex_lock(struct pf__mutex *m);
void pf__mutex_unlock(struct pf__mutex *m);
void pf__assert_no_locks(const char *where);
void pf__assert_held(const struct pf__mutex *m);
#else
static inline void pf__mutex_lock(struct pf__mutex *m)
{
	pthread_mutex_lock(&m->m);
	pf__locks_held++;
}
static inline void pf__mutex_unlock(struct pf__mutex *m)
{
	pthread_mutex_unlock(&m->m);
	if (--pf__locks_held == 0 && __builtin_expect(pf__rcu_wants_flush, 0))
		pf__rcu_flush();
}
static inline void pf__assert_no_locks(const char *where)
{
	(void)where;
}
static inline void pf__assert_held(const struct pf__mutex *m)
{
	(void)m;
}
#endif

#endif
