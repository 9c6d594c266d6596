/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a block's number to the block: a radix tree of 64-way nodes, with one tag (dirty) that leads
 * to what carries it. Readers take no lock: they run in an RCU section. Writers are serialised by
 * the owner's lock. Blocks are opaque here. A tree of one block numbered 0 has no node at all.
 */
#ifndef PF_PAGES_INDEX_H
#define PF_PAGES_INDEX_H

#include "base/rcu.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PF_INDEX_BITS 6
#define PF_INDEX_WAYS (1u << PF_INDEX_BITS)

struct pf__index_node {
	unsigned shift;          /* bits of the number below this level */
	uint64_t present, dirty; /* a bit per slot; owner's lock */
	void *slot[PF_INDEX_WAYS];
	struct pf__rcu_head rcu;
};

struct pf__index {
	void *root; /* a block (number 0), or a node with its lowest bit set */
	bool root_dirty;
};

static inline struct pf__index_node *pf__index_node_of(void *p)
{
	return (uintptr_t)p & 1 ? (struct pf__index_node *)((uintptr_t)p - 1) : NULL;
}

/* In an RCU section, or under the owner's lock. NULL: none. */
static inline void *pf__index_find(const struct pf__index *x, uint64_t n)
{
	void *p = pf__rcu_load(x->root);
	struct pf__index_node *node = pf__index_node_of(p);

	if (!node)
		return n == 0 ? p : NULL;
	if (n >> node->shift >= PF_INDEX_WAYS)
		return NULL;
	while (node->shift) {
		node = pf__rcu_load(node->slot[n >> node->shift & (PF_INDEX_WAYS - 1)]);
		if (!node)
			return NULL;
	}
	return pf__rcu_load(node->slot[n & (PF_INDEX_WAYS - 1)]);
}

/* What follows: under the owner's lock. */
int pf__index_insert(struct pf__index *x, uint64_t n, void *block); /* 0 or -ENOMEM */
void pf__index_remove(struct pf__index *x, uint64_t n);             /* it is there */
void pf__index_tag(struct pf__index *x, uint64_t n, bool dirty);    /* it is there */
/* The first block numbered *n or higher (only dirty ones if so asked), and its number in *n. */
void *pf__index_next(const struct pf__index *x, uint64_t *n, bool dirty);
/* Free the nodes at once: nobody reads any more. */
void pf__index_destroy(struct pf__index *x);

#endif
