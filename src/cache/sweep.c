/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which names go: a hand walks over the table's buckets (second chance), a bounded number of steps
 * each time. Names in use stay, so that leaves go before their directories.
 */
#include "base/arith.h"
#include "base/clock.h"
#include "cache/internal.h"
#include <sys/stat.h>

/* An expired name is still worth a cheap revalidation for a while. */
#define LINGER      (5 * PF_NSEC_PER_SEC)
#define TICK_BUDGET 2000

static bool is_expired(const struct pf__cache *c, const struct pf__name *n, uint64_t now)
{
	uint64_t end = n->inode ? pf__add_sat_u64(n->valid_until, LINGER) : n->valid_until;

	return end < now || n->link.spare != __atomic_load_n(&c->epoch, __ATOMIC_RELAXED);
}

/* True: n is gone. */
static bool visit(struct pf__cache *c, struct pf__name *n, uint64_t now)
{
	if (pf__name_is_used(n))
		return false;
	if (is_expired(c, n, now)) {
		c->expired++;
	} else if (c->names.count <= c->config.max_names) {
		return false;
	} else if (__atomic_load_n(&n->used, __ATOMIC_RELAXED)) {
		__atomic_store_n(&n->used, 0, __ATOMIC_RELAXED);
		return false;
	} else {
		c->evicted++;
	}
	pf__name_remove(c, n);
	return true;
}

/* Look at one bucket; the steps that it took. */
static unsigned sweep_bucket(struct pf__cache *c, uint64_t now)
{
	struct pf__table_link *l, *next;
	unsigned steps = 0;

	if (c->hand >= c->names.nbuckets)
		c->hand = 0;
	for (l = *pf__table_bucket(&c->names, c->hand); l; l = next) {
		next = l->next; /* the removal of l removes no other name */
		visit(c, pf__container_of(l, struct pf__name, link), now);
		steps++;
	}
	c->hand++;
	return steps ? steps : 1;
}

/* Ends early when there is nothing over the limit, unless it is the tick that looks for expired. */
static void sweep(struct pf__cache *c, uint64_t now, unsigned budget, bool all)
{
	for (unsigned steps = 0; steps < budget; steps += sweep_bucket(c, now))
		if (!all && c->names.count <= c->config.max_names)
			return;
}

void pf__cache_sweep(struct pf__cache *c, uint64_t now, unsigned budget)
{
	sweep(c, now, budget, false);
}

void pf__cache_tick(struct pf__cache *cache, uint64_t now)
{
	unsigned budget = TICK_BUDGET;

	pf__mutex_lock(&cache->lock);
	/* Once around is enough. */
	if (budget > cache->names.nbuckets + cache->names.count)
		budget = cache->names.nbuckets + cache->names.count;
	sweep(cache, now, budget, true);
	pf__mutex_unlock(&cache->lock);
}

static struct pf__list *children(const struct pf__inode *dir)
{
	struct pf__ext *ext = pf__rcu_load(dir->ext); /* others make it without the lock */

	return ext && !pf__list_empty(&ext->children) ? &ext->children : NULL;
}

/*
 * Drop the unused names below dir, leaves first, so that their directories follow. The caller holds
 * a reference to dir. Without a stack: the way back up is the one name that each directory has.
 */
void pf__cache_prune_below(struct pf__cache *c, struct pf__inode *dir)
{
	struct pf__inode *cur = dir;
	struct pf__list *pos = children(dir) ? children(dir)->next : NULL;
	struct pf__name *n;

	while (pos) {
		if (pos != &cur->ext->children) {
			n = pf__list_entry(pos, struct pf__name, sibling);
			pos = pos->next;
			if (n->inode && pf__inode_type(n->inode) == S_IFDIR && children(n->inode)) {
				cur = n->inode;
				pos = children(cur)->next;
			} else if (!pf__name_is_used(n)) {
				/* cur stays: somebody above holds it by a name, dir by the caller
				 */
				pf__inode_get(cur);
				pf__name_remove(c, n);
				__atomic_sub_fetch(&cur->refs, 1, __ATOMIC_ACQ_REL);
			}
			continue;
		}
		if (cur == dir)
			return;
		n = cur->names;
		pos = n->sibling.next;
		cur = n->dir;
		if (!pf__name_is_used(n)) {
			pf__inode_get(cur);
			pf__name_remove(c, n);
			__atomic_sub_fetch(&cur->refs, 1, __ATOMIC_ACQ_REL);
		}
	}
}

/* The name of the nearest directory, from dir upwards, that has one. Takes the reference to dir. */
static struct pf__name *name_above(struct pf__cache *c, struct pf__inode *dir)
{
	struct pf__inode *parent;
	struct pf__name *n = NULL;

	for (; dir && !n; dir = parent) {
		n = dir->names; /* it holds dir, if there is one */
		parent = !n && dir->parent ? pf__inode_get(dir->parent) : NULL;
		pf__inode_put_locked(c, dir);
	}
	return n;
}

/* Remove n, and its directory's name if n was all that it was used for, and so on. */
static void remove_upwards(struct pf__cache *c, struct pf__name *n)
{
	while (n && !pf__name_is_used(n)) {
		struct pf__inode *dir = pf__inode_get(n->dir);

		pf__name_remove(c, n);
		n = name_above(c, dir);
	}
}

void pf__cache_shrink(struct pf__cache *cache)
{
	pf__mutex_lock(&cache->lock);
	for (uint32_t i = 0; i < cache->names.nbuckets; i++) {
		struct pf__table_link **bucket = pf__table_bucket(&cache->names, i), *l = *bucket;

		while (l) {
			size_t before = cache->names.count;

			remove_upwards(cache, pf__container_of(l, struct pf__name, link));
			/* The chain may have lost any of its names. */
			l = cache->names.count == before ? l->next : *bucket;
		}
	}
	pf__mutex_unlock(&cache->lock);
}
