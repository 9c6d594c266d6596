/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache/table.h"
#include "base/alloc.h"
#include <errno.h>
#include <string.h>

int pf__table_init(struct pf__table *t)
{
	memset(t, 0, sizeof *t);
	t->segments[0] = pf__calloc(1u << PF_TABLE_BASE_BITS, sizeof *t->segments[0]);
	if (!t->segments[0])
		return -ENOMEM;
	t->nbuckets = 1u << PF_TABLE_BASE_BITS;
	return 0;
}

void pf__table_destroy(struct pf__table *t)
{
	for (unsigned i = 0; i < PF_TABLE_SEGMENTS; i++)
		pf__free(t->segments[i]);
}

/* Is there memory for bucket i? */
static bool has_segment(struct pf__table *t, uint32_t i)
{
	unsigned bits = 32 - __builtin_clz(i);
	struct pf__table_link ***segment = &t->segments[bits - PF_TABLE_BASE_BITS];

	if (!*segment)
		*segment = pf__calloc((size_t)1 << (bits - 1), sizeof **segment);
	return *segment;
}

/* Add one bucket: what belongs there of the one that it splits moves over. */
static void split(struct pf__table *t)
{
	uint32_t n = t->nbuckets;
	struct pf__table_link **from, **to, *l;

	if (n == UINT32_MAX / 2 || !has_segment(t, n))
		return;
	from = pf__table_bucket(t, pf__table_index(n, n));
	to = pf__table_bucket(t, n);
	/* The release stores below cannot come before this one. */
	__atomic_store_n(&t->seq, t->seq + 1, __ATOMIC_RELAXED);
	while ((l = *from)) {
		if (pf__table_index(n + 1, l->hash) != n) {
			from = &l->next;
			continue;
		}
		pf__rcu_store(*from, l->next);
		pf__rcu_store(l->next, *to);
		pf__rcu_store(*to, l);
	}
	pf__rcu_store(t->nbuckets, n + 1);
	pf__rcu_store(t->seq, t->seq + 1);
}

void pf__table_insert(struct pf__table *t, struct pf__table_link *link, uint32_t hash)
{
	struct pf__table_link **bucket;

	if (t->count >= t->nbuckets)
		split(t);
	bucket = pf__table_bucket(t, pf__table_index(t->nbuckets, hash));
	link->hash = hash;
	pf__rcu_store(link->next, *bucket);
	pf__rcu_store(*bucket, link);
	t->count++;
}

void pf__table_remove(struct pf__table *t, struct pf__table_link *link)
{
	struct pf__table_link **p = pf__table_bucket(t, pf__table_index(t->nbuckets, link->hash));

	while (*p != link)
		p = &(*p)->next;
	/* link->next stays: readers that stand on link go on from it. */
	pf__rcu_store(*p, link->next);
	t->count--;
}
