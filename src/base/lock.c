/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/lock.h"
#include <stdio.h>
#include <stdlib.h>

__thread unsigned pf__locks_held __attribute__((tls_model("initial-exec")));

int pf__mutex_init(struct pf__mutex *m, enum pf__rank rank)
{
	m->rank = rank;
	return -pthread_mutex_init(&m->m, NULL);
}

void pf__mutex_destroy(struct pf__mutex *m)
{
	pthread_mutex_destroy(&m->m);
}

#ifdef PF_DEBUG
/* Checking builds only: the locks that this thread holds, in the order in which it took them. */
#define MAX_HELD 16
static __thread const struct pf__mutex *held[MAX_HELD];

static void die(const char *what, const char *where, unsigned rank)
{
	fprintf(stderr, "portfire: lock check: %s (%s, rank %u); held:", what, where, rank);
	for (unsigned i = 0; i < pf__locks_held; i++)
		fprintf(stderr, " %u", held[i]->rank);
	fputc('\n', stderr);
	abort();
}

static void note_lock(const struct pf__mutex *m)
{
	unsigned n = pf__locks_held;

	if (n == MAX_HELD)
		die("too many locks", "lock", m->rank);
	/* Ranks only rise, so the last one is the highest. */
	if (n && held[n - 1]->rank >= m->rank)
		die("out of order", "lock", m->rank);
	held[n] = m;
	pf__locks_held = n + 1;
}

static void note_unlock(const struct pf__mutex *m)
{
	unsigned i = 0;

	while (i < pf__locks_held && held[i] != m)
		i++;
	if (i == pf__locks_held)
		die("not held", "unlock", m->rank);
	for (pf__locks_held--; i < pf__locks_held; i++)
		held[i] = held[i + 1];
}

static void note_trylock(const struct pf__mutex *m)
{
	if (pf__locks_held == MAX_HELD)
		die("too many locks", "trylock", m->rank);
	held[pf__locks_held++] = m;
}

void pf__mutex_lock(struct pf__mutex *m)
{
	note_lock(m);
	pthread_mutex_lock(&m->m);
}

void pf__mutex_unlock(struct pf__mutex *m)
{
	note_unlock(m);
	pthread_mutex_unlock(&m->m);
	if (!pf__locks_held && pf__rcu_wants_flush)
		pf__rcu_flush();
}

void pf__assert_no_locks(const char *where)
{
	if (pf__locks_held)
		die("a lock is held", where, 0);
}

void pf__assert_held(const struct pf__mutex *m)
{
	for (unsigned i = 0; i < pf__locks_held; i++)
		if (held[i] == m)
			return;
	die("not held", "assert", m->rank);
}
#endif

bool pf__mutex_trylock(struct pf__mutex *m)
{
	if (pthread_mutex_trylock(&m->m))
		return false;
#ifdef PF_DEBUG
	note_trylock(m);
#else
	pf__locks_held++;
#endif
	return true;
}
