/* SPDX-License-Identifier: BSD-2-Clause */
#include "pages/index.h"
#include "base/alloc.h"
#include "base/list.h"
#include <errno.h>

#define MAX_LEVELS 11 /* 6 bits each: 64 and more */

static unsigned slot_of(const struct pf__index_node *node, uint64_t n)
{
	return n >> node->shift & (PF_INDEX_WAYS - 1);
}

static void *tagged(struct pf__index_node *node)
{
	return (void *)((uintptr_t)node | 1);
}

static struct pf__index_node *node_new(unsigned shift)
{
	struct pf__index_node *node = pf__calloc(1, sizeof *node);

	if (node)
		node->shift = shift;
	return node;
}

static void node_free(struct pf__rcu_head *head)
{
	pf__free(pf__container_of(head, struct pf__index_node, rcu));
}

/* One level more on top; of an empty tree the one that n needs. */
static int grow(struct pf__index *x, uint64_t n)
{
	struct pf__index_node *old = pf__index_node_of(x->root), *node;
	unsigned shift = old ? old->shift + PF_INDEX_BITS : 0;

	while (!x->root && n >> shift >= PF_INDEX_WAYS)
		shift += PF_INDEX_BITS;
	node = node_new(shift);
	if (!node)
		return -ENOMEM;
	if (x->root) {
		node->slot[0] = old ? (void *)old : x->root;
		node->present = 1;
		node->dirty = x->root_dirty;
	}
	pf__rcu_store(x->root, tagged(node));
	return 0;
}

static int make_room(struct pf__index *x, uint64_t n)
{
	for (;;) {
		struct pf__index_node *node = pf__index_node_of(x->root);

		if (node ? n >> node->shift < PF_INDEX_WAYS : n == 0)
			return 0;
		if (grow(x, n))
			return -ENOMEM;
	}
}

int pf__index_insert(struct pf__index *x, uint64_t n, void *block)
{
	struct pf__index_node *node, *next;

	if (make_room(x, n))
		return -ENOMEM;
	node = pf__index_node_of(x->root);
	if (!node) {
		pf__rcu_store(x->root, block);
		return 0;
	}
	while (node->shift) {
		unsigned i = slot_of(node, n);

		next = node->slot[i];
		if (!next) {
			next = node_new(node->shift - PF_INDEX_BITS);
			if (!next) /* nodes above may be empty now: they serve the next one */
				return -ENOMEM;
			node->present |= 1ull << i;
			pf__rcu_store(node->slot[i], next);
		}
		node = next;
	}
	node->present |= 1ull << slot_of(node, n);
	pf__rcu_store(node->slot[slot_of(node, n)], block);
	return 0;
}

/* The nodes from the root to the one that holds n; their number. */
static int path_to(const struct pf__index *x, uint64_t n, struct pf__index_node *path[MAX_LEVELS])
{
	struct pf__index_node *node = pf__index_node_of(x->root);
	int depth = 0;

	while (node) {
		path[depth++] = node;
		node = node->shift ? node->slot[slot_of(node, n)] : NULL;
	}
	return depth;
}

static void untag(struct pf__index *x, uint64_t n, struct pf__index_node **path, int depth)
{
	while (depth--) {
		path[depth]->dirty &= ~(1ull << slot_of(path[depth], n));
		if (path[depth]->dirty)
			return;
	}
	x->root_dirty = false;
}

void pf__index_tag(struct pf__index *x, uint64_t n, bool dirty)
{
	struct pf__index_node *path[MAX_LEVELS];
	int depth = path_to(x, n, path);

	if (!dirty) {
		untag(x, n, path, depth);
		return;
	}
	for (int i = 0; i < depth; i++)
		path[i]->dirty |= 1ull << slot_of(path[i], n);
	x->root_dirty = true;
}

void pf__index_remove(struct pf__index *x, uint64_t n)
{
	struct pf__index_node *path[MAX_LEVELS];
	int depth = path_to(x, n, path), top = depth;

	untag(x, n, path, depth);
	/* Nodes that hold nothing else go too, out of sight before they are deferred: readers who
	 * come later must not find them, and who makes the deferred calls may be at it already. */
	while (top && path[top - 1]->present == 1ull << slot_of(path[top - 1], n))
		top--;
	if (top) {
		path[top - 1]->present &= ~(1ull << slot_of(path[top - 1], n));
		pf__rcu_store(path[top - 1]->slot[slot_of(path[top - 1], n)], NULL);
	} else {
		pf__rcu_store(x->root, NULL);
	}
	while (depth-- > top)
		pf__rcu_defer(&path[depth]->rcu, node_free);
}

static void *next_below(const struct pf__index_node *node, uint64_t *n, bool dirty)
{
	uint64_t base = node->shift + PF_INDEX_BITS < 64
			    ? *n >> (node->shift + PF_INDEX_BITS) << (node->shift + PF_INDEX_BITS)
			    : 0;
	unsigned first = slot_of(node, *n);
	uint64_t bits = (dirty ? node->dirty : node->present) >> first << first;

	for (; bits; bits &= bits - 1) {
		unsigned i = (unsigned)__builtin_ctzll(bits);
		void *found;

		if (i != first) /* from the beginning of what lies below */
			*n = base + ((uint64_t)i << node->shift);
		if (!node->shift)
			return node->slot[i];
		found = next_below(node->slot[i], n, dirty);
		if (found)
			return found;
	}
	return NULL;
}

void *pf__index_next(const struct pf__index *x, uint64_t *n, bool dirty)
{
	const struct pf__index_node *node = pf__index_node_of(x->root);

	if (dirty && !x->root_dirty)
		return NULL;
	if (!node)
		return *n == 0 ? x->root : NULL;
	if (*n >> node->shift >= PF_INDEX_WAYS)
		return NULL;
	return next_below(node, n, dirty);
}

static void destroy(struct pf__index_node *node)
{
	for (unsigned i = 0; node->shift && i < PF_INDEX_WAYS; i++)
		if (node->slot[i])
			destroy(node->slot[i]);
	pf__free(node);
}

void pf__index_destroy(struct pf__index *x)
{
	if (pf__index_node_of(x->root))
		destroy(pf__index_node_of(x->root));
	*x = (struct pf__index){0};
}
