/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hash table whose readers take no lock. Writers are serialised by the owner's lock. It grows by
 * one bucket at a time (linear hashing), so that no insertion pays for a whole rebuild and nobody
 * waits for one; it never shrinks.
 *
 * A reader runs in an RCU section and may meet an element that moves to another chain: it then may
 * leave its chain and miss what it looked for. The sequence count tells: a miss counts only if no
 * bucket was split meanwhile.
 */
#ifndef PF_CACHE_TABLE_H
#define PF_CACHE_TABLE_H

#include "base/rcu.h"
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PF_TABLE_BASE_BITS 6
#define PF_TABLE_SEGMENTS  (33 - PF_TABLE_BASE_BITS)

struct pf__table_link {
	struct pf__table_link *next;
	uint32_t hash;
	uint32_t spare; /* for the element's owner: the gap would be lost otherwise */
};

struct pf__table {
	uint32_t seq; /* odd while a bucket is split */
	uint32_t nbuckets;
	size_t count;                                        /* owner's lock */
	struct pf__table_link **segments[PF_TABLE_SEGMENTS]; /* 64, 64, 128, 256 ... buckets */
};

int pf__table_init(struct pf__table *t); /* 0 or -ENOMEM */
void pf__table_destroy(struct pf__table *t);
/* Never fails: where no bucket can be added the chains grow longer. */
void pf__table_insert(struct pf__table *t, struct pf__table_link *link, uint32_t hash);
/* The element's memory must stay for a grace period. */
void pf__table_remove(struct pf__table *t, struct pf__table_link *link);

static inline struct pf__table_link **pf__table_bucket(const struct pf__table *t, uint32_t i)
{
	unsigned bits;

	if (i < 1u << PF_TABLE_BASE_BITS)
		return &t->segments[0][i];
	bits = 32 - __builtin_clz(i);
	return &t->segments[bits - PF_TABLE_BASE_BITS][i - (1u << (bits - 1))];
}

/* The bucket of hash among n: those that were not yet split in this round have one bit less. */
static inline uint32_t pf__table_index(uint32_t n, uint32_t hash)
{
	uint32_t high = 1u << (31 - __builtin_clz(n)); /* n is never 0 */
	uint32_t i = hash & (2 * high - 1);

	return i < n ? i : hash & (high - 1);
}

/* In an RCU section, or under the owner's lock. match and key are inlined. */
static inline __attribute__((always_inline)) struct pf__table_link *pf__table_find(
    const struct pf__table *t, uint32_t hash,
    bool (*match)(const struct pf__table_link *link, const void *key), const void *key)
{
	for (unsigned tries = 0;; tries++) {
		uint32_t seq = pf__rcu_load(t->seq);
		uint32_t n = pf__rcu_load(t->nbuckets);
		struct pf__table_link *l =
		    pf__rcu_load(*pf__table_bucket(t, pf__table_index(n, hash)));

		for (; l; l = pf__rcu_load(l->next))
			if (l->hash == hash && match(l, key))
				return l;
		/* The loads above acquire, so this one cannot come before them. */
		if (!(seq & 1) && __atomic_load_n(&t->seq, __ATOMIC_RELAXED) == seq)
			return NULL;
		if (tries > 32)
			sched_yield();
	}
}

#endif
