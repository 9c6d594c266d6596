/* SPDX-License-Identifier: BSD-2-Clause */
/* The cache as a whole: made, measured, checked, freed. */
#include "base/alloc.h"
#include "base/hash.h"
#include "cache/dircache.h"
#include "cache/internal.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct pf__inode *make_root(struct pf__cache *c)
{
	struct pf__inode *root = pf__calloc(1, sizeof *root);
	struct fuse_attr attr = {.ino = FUSE_ROOT_ID};

	if (!root)
		return NULL;
	attr.mode = c->config.root_mode & S_IFMT;
	if (!attr.mode)
		attr.mode = S_IFDIR;
	root->nodeid = FUSE_ROOT_ID;
	root->link.spare = attr.mode;
	root->refs = 1;
	pf__attr_init(c, root, &attr, 0, PF_ATTR_ALL, NULL);
	pf__table_insert(&c->inodes, &root->link, pf__hash_u64(c->seed, FUSE_ROOT_ID));
	c->bytes += sizeof *root;
	return root;
}

static int init_locks(struct pf__cache *c)
{
	int err = pf__mutex_init(&c->lock, PF_RANK_NAMES);

	if (!err)
		err = pf__mutex_init(&c->dirs.lock, PF_RANK_DIRS);
	for (unsigned i = 0; !err && i < PF_CACHE_STRIPES; i++)
		err = pf__mutex_init(&c->stripes[i], PF_RANK_INODE);
	return err;
}

static void free_cache(struct pf__cache *c)
{
	pf__table_destroy(&c->names);
	pf__table_destroy(&c->inodes);
	pf__mutex_destroy(&c->lock);
	pf__mutex_destroy(&c->dirs.lock);
	for (unsigned i = 0; i < PF_CACHE_STRIPES; i++)
		pf__mutex_destroy(&c->stripes[i]);
	pf__free(c);
}

int pf__cache_open(struct pf__cache **cache, const struct pf__cache_config *config)
{
	struct pf__cache *c = pf__calloc(1, sizeof *c);
	int err;

	*cache = NULL;
	if (!c)
		return -ENOMEM;
	c->config = *config;
	pf__list_init(&c->dirs.used);
	c->seed = pf__hash_seed();
	c->attr_version = c->evict_version = c->epoch = 1; /* 0 in a sample: no version */
	err = init_locks(c);
	if (!err)
		err = pf__table_init(&c->names);
	if (!err)
		err = pf__table_init(&c->inodes);
	if (!err && !(c->root = make_root(c)))
		err = -ENOMEM;
	if (err) {
		free_cache(c);
		return err;
	}
	*cache = c;
	return 0;
}

static struct pf__table_link *any(struct pf__table *t, uint32_t *bucket)
{
	for (; *bucket < t->nbuckets; (*bucket)++)
		if (*pf__table_bucket(t, *bucket))
			return *pf__table_bucket(t, *bucket);
	return NULL;
}

void pf__cache_close(struct pf__cache *cache)
{
	struct pf__table_link *l;
	uint32_t i = 0;

	if (!cache)
		return;
#ifdef PF_DEBUG
	assert(!pf__cache_check(cache));
#endif
	pf__mutex_lock(&cache->lock);
	cache->closing = true;
	while ((l = any(&cache->names, &i)))
		pf__name_remove(cache, pf__container_of(l, struct pf__name, link));
	pf__mutex_unlock(&cache->lock);
	pf__dircache_drop_all(cache);
	/* The root, and what somebody forgot to put: he must not touch it any more. */
	for (i = 0; (l = any(&cache->inodes, &i));) {
		pf__table_remove(&cache->inodes, l);
		pf__inode_free(pf__container_of(l, struct pf__inode, link));
	}
	pf__rcu_barrier();
	free_cache(cache);
}

struct pf__inode *pf__cache_root(struct pf__cache *cache)
{
	return cache->root;
}

struct pf__sample pf__cache_sample(struct pf__cache *cache)
{
	return (struct pf__sample){
	    .attr_version = pf__next_version(cache),
	    .evict_version = __atomic_load_n(&cache->evict_version, __ATOMIC_ACQUIRE),
	    .epoch = __atomic_load_n(&cache->epoch, __ATOMIC_ACQUIRE),
	};
}

struct pf__sample pf__cache_sample_create(struct pf__cache *cache)
{
	return (struct pf__sample){.attr_version = pf__next_version(cache),
				   .created = true,
				   .epoch = __atomic_load_n(&cache->epoch, __ATOMIC_ACQUIRE)};
}

static size_t table_bytes(const struct pf__table *t)
{
	return (size_t)t->nbuckets * sizeof(void *);
}

void pf__cache_stats(struct pf__cache *cache, struct pf__cache_stats *out)
{
	memset(out, 0, sizeof *out);
	pf__mutex_lock(&cache->lock);
	out->names = cache->names.count;
	out->negative_names = cache->negative;
	out->inodes = cache->inodes.count;
	out->expired = cache->expired;
	out->evicted = cache->evicted;
	out->bytes = cache->bytes + table_bytes(&cache->names) + table_bytes(&cache->inodes);
	pf__mutex_lock(&cache->dirs.lock);
	out->listings = cache->dirs.count;
	out->listing_bytes = cache->dirs.bytes;
	pf__mutex_unlock(&cache->dirs.lock);
	pf__mutex_unlock(&cache->lock);
	for (unsigned i = 0; i < PF_CACHE_COUNTERS; i++) {
		out->hits += __atomic_load_n(&cache->counters[i].hits, __ATOMIC_RELAXED);
		out->misses += __atomic_load_n(&cache->counters[i].misses, __ATOMIC_RELAXED);
	}
}

/* ---- the invariants */

static const char *check_inode(const struct pf__cache *c, const struct pf__inode *inode)
{
	const struct pf__name *n;
	uint32_t names = 0, depth = 0;

	for (n = inode->names; n; n = n->alias_next, names++)
		if (n->inode != inode)
			return "a name in the list of another inode";
	if (names != inode->nnames)
		return "the names of an inode are miscounted";
	if (inode->refs < names || !inode->refs)
		return "an inode has fewer references than names";
	if (inode != c->root && !inode->nlookup)
		return "a live inode without a lookup";
	if (pf__inode_type(inode) == S_IFDIR && names > 1)
		return "a directory with two names";
	for (; inode; inode = inode->parent)
		if (depth++ > 1u << 20)
			return "a loop of parents";
	return NULL;
}

static const char *check_name(const struct pf__name *n)
{
	if (!n->dir->ext || !n->dir->refs)
		return "a name in a dead directory";
	if (n->inode && n->dir == n->inode)
		return "a directory that contains itself";
	if (n->inode && pf__inode_type(n->inode) == S_IFDIR && n->inode->parent != n->dir)
		return "a name and the parent disagree";
	return NULL;
}

const char *pf__cache_check(struct pf__cache *cache)
{
	const char *wrong = NULL;
	struct pf__table_link *l;
	size_t names = 0, negative = 0;

	pf__mutex_lock(&cache->lock);
	for (uint32_t i = 0; i < cache->inodes.nbuckets; i++)
		for (l = *pf__table_bucket(&cache->inodes, i); l && !wrong; l = l->next)
			wrong = check_inode(cache, pf__container_of(l, struct pf__inode, link));
	for (uint32_t i = 0; i < cache->names.nbuckets; i++) {
		for (l = *pf__table_bucket(&cache->names, i); l && !wrong; l = l->next) {
			const struct pf__name *n = pf__container_of(l, struct pf__name, link);

			wrong = check_name(n);
			names++;
			negative += !n->inode;
		}
	}
	if (!wrong && (names != cache->names.count || negative != cache->negative))
		wrong = "names are miscounted";
	pf__mutex_unlock(&cache->lock);
	return wrong;
}
