/* SPDX-License-Identifier: BSD-2-Clause */
/* Inodes: their table, their references, their end; and what few of them have. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "cache/dircache.h"
#include "cache/internal.h"
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

uint64_t pf__inode_nodeid(const struct pf__inode *inode)
{
	return inode->nodeid;
}

uint64_t pf__inode_generation(const struct pf__inode *inode)
{
	return inode->generation;
}

uint32_t pf__inode_type(const struct pf__inode *inode)
{
	return inode->link.spare;
}

bool pf__inode_is_bad(const struct pf__inode *inode)
{
	return pf__inode_flags(inode) & PF_INODE_BAD;
}

void pf__inode_mark_bad(struct pf__cache *cache, struct pf__inode *inode)
{
	__atomic_fetch_or(&inode->flags, PF_INODE_BAD, __ATOMIC_ACQ_REL);
	if (pf__is_shown(cache))
		pf__shown_inode(cache, inode);
}

uint64_t pf__inode_nlookup(const struct pf__inode *inode)
{
	return __atomic_load_n(&inode->nlookup, __ATOMIC_RELAXED);
}

struct pf__mutex *pf__inode_stripe(struct pf__cache *c, const struct pf__inode *inode)
{
	return &c->stripes[((uintptr_t)inode >> 4) * 0x9e3779b97f4a7c15ull >> 58];
}

/* ---- the table */

static bool nodeid_matches(const struct pf__table_link *l, const void *key)
{
	return pf__container_of(l, const struct pf__inode, link)->nodeid == *(const uint64_t *)key;
}

static struct pf__inode *find(const struct pf__cache *c, uint64_t nodeid)
{
	uint32_t hash = pf__hash_u64(c->seed, nodeid);
	struct pf__table_link *l = pf__table_find(&c->inodes, hash, nodeid_matches, &nodeid);

	return l ? pf__container_of(l, struct pf__inode, link) : NULL;
}

struct pf__inode *pf__inode_find_locked(struct pf__cache *c, uint64_t nodeid)
{
	return find(c, nodeid); /* refs > 0: it goes to zero under the same lock */
}

struct pf__inode *pf__inode_find(struct pf__cache *cache, uint64_t nodeid)
{
	struct pf__inode *inode;

	pf__rcu_read_lock();
	inode = find(cache, nodeid);
	if (inode && !pf__inode_tryget(inode))
		inode = NULL;
	pf__rcu_read_unlock();
	return inode;
}

static void insert(struct pf__cache *c, struct pf__inode *inode)
{
	pf__table_insert(&c->inodes, &inode->link, pf__hash_u64(c->seed, inode->nodeid));
	c->bytes += sizeof *inode;
}

static void unhash(struct pf__cache *c, struct pf__inode *inode)
{
	if (pf__inode_flags(inode) & PF_INODE_UNHASHED)
		return;
	__atomic_fetch_or(&inode->flags, PF_INODE_UNHASHED, __ATOMIC_ACQ_REL);
	pf__table_remove(&c->inodes, &inode->link);
	c->bytes -= sizeof *inode;
}

/* ---- references */

struct pf__inode *pf__inode_get(struct pf__inode *inode)
{
	__atomic_fetch_add(&inode->refs, 1, __ATOMIC_RELAXED);
	return inode;
}

bool pf__inode_tryget(struct pf__inode *inode)
{
	uint32_t refs = __atomic_load_n(&inode->refs, __ATOMIC_RELAXED);

	while (refs)
		if (__atomic_compare_exchange_n(&inode->refs, &refs, refs + 1, true,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

static void free_blob(struct pf__rcu_head *head)
{
	pf__free(pf__container_of(head, struct pf__blob, rcu));
}

void pf__inode_free(struct pf__inode *inode)
{
	struct pf__ext *ext = inode->ext;

	if (ext) {
		if (ext->io)
			ext->io_free(ext->io);
		pf__free(ext->btime);
		pf__free(ext->symlink);
		pf__free(ext->acl[0]);
		pf__free(ext->acl[1]);
		pf__free(ext);
	}
	pf__free(inode);
}

static void free_inode(struct pf__rcu_head *head)
{
	pf__inode_free(pf__container_of(head, struct pf__inode, rcu));
}

/* The last reference is gone: out of the table, lookups given back. Returns the parent, whose
 * reference is the caller's now. */
static struct pf__inode *kill(struct pf__cache *c, struct pf__inode *inode)
{
	struct pf__inode *parent = inode->parent;

#ifdef PF_DEBUG
	pf__assert_held(&c->lock);
	assert(inode != c->root && inode->nlookup && !inode->nnames);
#endif
	__atomic_add_fetch(&c->evict_version, 1, __ATOMIC_ACQ_REL);
	unhash(c, inode);
	if (pf__is_shown(c))
		pf__shown_inode(c, inode);
	pf__dircache_drop(c, inode);
	if (!c->closing && inode->nodeid != FUSE_ROOT_ID && inode->nlookup)
		c->config.ops->forget(c->config.ctx, inode->nodeid, inode->nlookup);
	pf__rcu_defer(&inode->rcu, free_inode);
	return parent;
}

void pf__inode_put_locked(struct pf__cache *c, struct pf__inode *inode)
{
	while (inode && !__atomic_sub_fetch(&inode->refs, 1, __ATOMIC_ACQ_REL))
		inode = kill(c, inode);
}

void pf__inode_put(struct pf__cache *cache, struct pf__inode *inode)
{
	uint32_t refs;

	if (!inode)
		return;
	refs = __atomic_load_n(&inode->refs, __ATOMIC_RELAXED);
	while (refs > 1)
		if (__atomic_compare_exchange_n(&inode->refs, &refs, refs - 1, true,
						__ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return;
	/* Perhaps the last: who holds the lock never meets an inode without references. */
	pf__mutex_lock(&cache->lock);
	pf__inode_put_locked(cache, inode);
	pf__mutex_unlock(&cache->lock);
}

void pf__inode_give_back(struct pf__cache *c, uint64_t nodeid)
{
	if (nodeid && nodeid != FUSE_ROOT_ID && !c->closing)
		c->config.ops->forget(c->config.ctx, nodeid, 1);
}

/* ---- from replies */

static struct pf__inode *make(struct pf__cache *c, const struct fuse_entry_out *e,
			      const struct pf__sample *sample)
{
	struct pf__inode *inode = pf__calloc(1, sizeof *inode);
	uint32_t invalid = 0;

	if (!inode)
		return NULL;
	inode->nodeid = e->nodeid;
	inode->generation = e->generation;
	inode->link.spare = e->attr.mode & S_IFMT;
	inode->refs = 1;
	/* An inode that went meanwhile may have been this one, with a newer local change. */
	if (sample && sample->evict_version &&
	    sample->evict_version != __atomic_load_n(&c->evict_version, __ATOMIC_ACQUIRE))
		invalid = PF_ATTR_ALL;
	pf__attr_init(c, inode, &e->attr, pf__attr_until(e->attr_valid, e->attr_valid_nsec),
		      invalid, sample);
	insert(c, inode);
	return inode;
}

static bool is_stale(const struct pf__inode *inode, const struct fuse_entry_out *e)
{
	return (uint32_t)inode->generation != (uint32_t)e->generation ||
	       pf__inode_type(inode) != (e->attr.mode & S_IFMT);
}

struct pf__inode *pf__inode_take_lookup(struct pf__cache *c, const struct fuse_entry_out *e,
					const struct pf__sample *sample)
{
	struct pf__inode *inode = find(c, e->nodeid);

	/* Another file under a known number: the old one is bad from now on, and on its own. A bad
	 * one gives way too: the server told anew what stands there. */
	if (inode && (is_stale(inode, e) || pf__inode_is_bad(inode))) {
		pf__inode_mark_bad(c, inode);
		unhash(c, inode);
		inode = NULL;
	}
	if (inode) {
		uint64_t until = pf__attr_until(e->attr_valid, e->attr_valid_nsec);

		pf__inode_get(inode);
		pf__inode_drop_acls(c, inode);
		pf__inode_set_attr(c, inode, &e->attr, until, sample);
	} else {
		inode = make(c, e, sample);
		if (!inode) {
			pf__inode_give_back(c, e->nodeid);
			return NULL;
		}
	}
	__atomic_store_n(&inode->nlookup, inode->nlookup + 1, __ATOMIC_RELAXED);
	return inode;
}

int pf__inode_enter(struct pf__cache *cache, const struct fuse_entry_out *e,
		    const struct pf__sample *sample, struct pf__inode **inode)
{
	struct pf__inode *i;

	*inode = NULL;
	if (!e->nodeid || e->nodeid == FUSE_ROOT_ID)
		return -EIO;
	pf__mutex_lock(&cache->lock);
	i = pf__inode_take_lookup(cache, e, sample);
	pf__mutex_unlock(&cache->lock);
	*inode = i;
	return i ? 0 : -ENOMEM;
}

/* ---- ext */

struct pf__ext *pf__inode_ext(struct pf__cache *c, struct pf__inode *inode)
{
	struct pf__ext *ext = pf__rcu_load(inode->ext), *other = NULL;

	if (ext)
		return ext;
	ext = pf__calloc(1, sizeof *ext);
	if (!ext)
		return NULL;
	pf__list_init(&ext->children);
	if (__atomic_compare_exchange_n(&inode->ext, &other, ext, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return ext;
	pf__free(ext);
	return other;
}

void *pf__inode_io(const struct pf__inode *inode)
{
	struct pf__ext *ext = pf__rcu_load(inode->ext);

	return ext ? pf__rcu_load(ext->io) : NULL;
}

void *pf__inode_set_io(struct pf__inode *inode, void *io, void (*io_free)(void *))
{
	struct pf__ext *ext = pf__inode_ext(NULL, inode);
	void *other = NULL;

	if (!ext) {
		io_free(io);
		return NULL;
	}
	__atomic_store_n(&ext->io_free, io_free, __ATOMIC_RELEASE); /* all callers give the same */
	if (__atomic_compare_exchange_n(&ext->io, &other, io, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return io;
	io_free(io);
	return other;
}

void pf__cache_each_io(struct pf__cache *cache, void (*fn)(void *io))
{
	const struct pf__table *t = &cache->inodes;

	pf__mutex_lock(&cache->lock);
	for (uint32_t i = 0; i < t->nbuckets; i++) {
		struct pf__table_link *l = *pf__table_bucket(t, i);

		for (; l; l = l->next) {
			void *io = pf__inode_io(pf__container_of(l, struct pf__inode, link));

			if (io)
				fn(io);
		}
	}
	pf__mutex_unlock(&cache->lock);
}

_Atomic uint32_t *pf__inode_gate(struct pf__inode *inode)
{
	struct pf__ext *ext = pf__inode_ext(NULL, inode);

	return ext ? &ext->gate : NULL;
}

bool pf__inode_btime(struct pf__inode *inode, struct fuse_sx_time *btime)
{
	struct pf__ext *ext = pf__rcu_load(inode->ext);
	struct fuse_sx_time *b = ext ? pf__rcu_load(ext->btime) : NULL;

	if (b)
		*btime = *b;
	return b;
}

void pf__inode_set_btime(struct pf__inode *inode, const struct fuse_sx_time *btime)
{
	struct pf__ext *ext = pf__inode_ext(NULL, inode);
	struct fuse_sx_time *b, *none = NULL;

	/* A birth does not change: the first answer stays. */
	if (!ext || pf__rcu_load(ext->btime) || !(b = pf__calloc(1, sizeof *b)))
		return;
	if (btime)
		*b = *btime;
	b->reserved = !!btime;
	if (!__atomic_compare_exchange_n(&ext->btime, &none, b, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		pf__free(b);
}

static struct pf__blob *make_blob(const void *bytes, size_t len)
{
	struct pf__blob *b = pf__malloc(sizeof *b + len + 1);

	if (!b)
		return NULL;
	b->len = len;
	if (len)
		memcpy(b->bytes, bytes, len);
	b->bytes[len] = '\0';
	return b;
}

/* Put blob (may be NULL) in place of what stands in slot. */
static void swap_blob(struct pf__cache *c, struct pf__inode *inode, struct pf__blob **slot,
		      struct pf__blob *blob)
{
	struct pf__mutex *m = pf__inode_stripe(c, inode);
	struct pf__blob *old;

	pf__mutex_lock(m);
	old = *slot;
	pf__rcu_store(*slot, blob);
	pf__mutex_unlock(m);
	if (old)
		pf__rcu_defer(&old->rcu, free_blob);
}

const char *pf__inode_symlink_rcu(const struct pf__inode *inode)
{
	struct pf__ext *ext = pf__rcu_load(inode->ext);
	struct pf__blob *b = ext ? pf__rcu_load(ext->symlink) : NULL;

	return b ? b->bytes : NULL;
}

int pf__inode_set_symlink(struct pf__cache *cache, struct pf__inode *inode, const char *target,
			  size_t len)
{
	struct pf__ext *ext = pf__inode_ext(cache, inode);
	struct pf__blob *b = ext ? make_blob(target, len) : NULL;

	if (!b)
		return -ENOMEM;
	swap_blob(cache, inode, &ext->symlink, b);
	return 0;
}

void pf__inode_drop_symlink(struct pf__cache *cache, struct pf__inode *inode)
{
	struct pf__ext *ext = pf__rcu_load(inode->ext);

	if (ext && pf__rcu_load(ext->symlink))
		swap_blob(cache, inode, &ext->symlink, NULL);
}

ssize_t pf__inode_acl(struct pf__inode *inode, int which, void *buf, size_t size)
{
	struct pf__ext *ext = pf__rcu_load(inode->ext);
	ssize_t ret = -ENODATA;
	struct pf__blob *b;

	if (!ext)
		return -ENODATA;
	pf__rcu_read_lock();
	b = pf__rcu_load(ext->acl[which]);
	if (b && b->len > size) {
		ret = -ERANGE;
	} else if (b) {
		memcpy(buf, b->bytes, b->len);
		ret = b->len;
	}
	pf__rcu_read_unlock();
	return ret;
}

int pf__inode_set_acl(struct pf__cache *cache, struct pf__inode *inode, int which,
		      const void *value, size_t size)
{
	struct pf__ext *ext = pf__inode_ext(cache, inode);
	struct pf__blob *b = ext ? make_blob(value, size) : NULL;

	if (!b)
		return -ENOMEM;
	swap_blob(cache, inode, &ext->acl[which], b);
	return 0;
}

void pf__inode_drop_acls(struct pf__cache *cache, struct pf__inode *inode)
{
	struct pf__ext *ext = pf__rcu_load(inode->ext);

	for (int i = 0; ext && i < 2; i++)
		if (pf__rcu_load(ext->acl[i]))
			swap_blob(cache, inode, &ext->acl[i], NULL);
}
