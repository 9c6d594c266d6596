/* SPDX-License-Identifier: BSD-2-Clause */
/* Names: found without locks; entered, dropped and moved under the cache's lock. */
#include "base/alloc.h"
#include "base/arith.h"
#include "base/clock.h"
#include "base/hash.h"
#include "cache/internal.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* How many names an insertion over the limit looks at for one to let go. */
#define EVICT_BUDGET 128

/* ---- finding */

struct key {
	const struct pf__inode *dir;
	const char *name;
	size_t len;
};

static bool name_matches(const struct pf__table_link *l, const void *arg)
{
	const struct pf__name *n = pf__container_of(l, const struct pf__name, link);
	const struct key *k = arg;

	return n->dir == k->dir && n->len == k->len && !memcmp(n->bytes, k->name, k->len);
}

static uint32_t hash_name(const struct pf__cache *c, const struct key *k)
{
	return pf__hash_bytes(c->seed ^ (uintptr_t)k->dir, k->name, k->len);
}

static inline struct pf__name *find(const struct pf__cache *c, struct pf__inode *dir,
				    const char *name, size_t len)
{
	struct key k = {dir, name, len};
	struct pf__table_link *l = pf__table_find(&c->names, hash_name(c, &k), name_matches, &k);

	return l ? pf__container_of(l, struct pf__name, link) : NULL;
}

struct pf__name *pf__name_find_locked(struct pf__cache *c, struct pf__inode *dir, const char *name,
				      size_t len)
{
	return find(c, dir, name, len);
}

/* Counters of a thread's own, or nearly: a lost count is better than a shared cache line. */
static void count(struct pf__cache *c, bool hit)
{
	static unsigned next;
	static __thread unsigned mine;
	uint64_t *n;

	if (!mine)
		mine = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % PF_CACHE_COUNTERS + 1;
	n = hit ? &c->counters[mine - 1].hits : &c->counters[mine - 1].misses;
	__atomic_store_n(n, __atomic_load_n(n, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

static enum pf__name_state miss(struct pf__cache *c)
{
	count(c, false);
	return PF_NAME_UNKNOWN;
}

enum pf__name_state pf__name_find_rcu(struct pf__cache *cache, struct pf__inode *dir,
				      const char *name, size_t len, uint64_t now,
				      struct pf__inode **inode)
{
	struct pf__name *n = find(cache, dir, name, len);
	struct pf__inode *i;
	uint32_t flags;
	bool valid;

	if (!n)
		return miss(cache);
	if (!__atomic_load_n(&n->used, __ATOMIC_RELAXED))
		__atomic_store_n(&n->used, 1, __ATOMIC_RELAXED);
	i = pf__rcu_load(n->inode);
	valid = __atomic_load_n(&n->valid_until, __ATOMIC_ACQUIRE) >= now &&
		__atomic_load_n(&n->link.spare, __ATOMIC_RELAXED) ==
		    __atomic_load_n(&cache->epoch, __ATOMIC_RELAXED);
	if (!i) {
		if (!valid)
			return miss(cache);
		count(cache, true);
		return PF_NAME_NEGATIVE;
	}
	flags = pf__inode_flags(i);
	if (flags & PF_INODE_BAD)
		return miss(cache);
	count(cache, valid);
	*inode = i;
	if (!valid)
		return PF_NAME_EXPIRED;
	if (flags & PF_INODE_PLUS_ENTRY) {
		/* READDIRPLUS brought it, and it was of use. */
		__atomic_fetch_and(&i->flags, ~PF_INODE_PLUS_ENTRY, __ATOMIC_ACQ_REL);
		pf__dir_advise(dir);
	}
	return PF_NAME_POSITIVE;
}

enum pf__name_state pf__name_find(struct pf__cache *cache, struct pf__inode *dir, const char *name,
				  size_t len, struct pf__inode **inode)
{
	enum pf__name_state state;

	*inode = NULL;
	pf__rcu_read_lock();
	state = pf__name_find_rcu(cache, dir, name, len, pf__now_coarse(), inode);
	if (*inode && !pf__inode_tryget(*inode)) {
		*inode = NULL;
		state = PF_NAME_UNKNOWN;
	}
	pf__rcu_read_unlock();
	return state;
}

uint64_t pf__name_until_rcu(struct pf__cache *c, struct pf__inode *dir, const char *name,
			    size_t len, struct pf__inode **inode)
{
	struct pf__name *n = find(c, dir, name, len);
	/* In this order: a time that was not cut yet may be the new inode's, not the old one's. */
	uint64_t until = n ? __atomic_load_n(&n->valid_until, __ATOMIC_ACQUIRE) : 0;
	struct pf__inode *i = n ? pf__rcu_load(n->inode) : NULL;

	if (!i || until < pf__now_coarse() ||
	    __atomic_load_n(&n->link.spare, __ATOMIC_RELAXED) !=
		__atomic_load_n(&c->epoch, __ATOMIC_RELAXED))
		return 0;
	*inode = i;
	return until;
}

bool pf__name_attr_rcu(struct pf__cache *c, struct pf__inode *dir, const char *name, size_t len,
		       uint64_t now, struct pf__attr *out)
{
	struct pf__name *n = find(c, dir, name, len);
	struct pf__inode *i = n ? pf__rcu_load(n->inode) : NULL;

	return i && __atomic_load_n(&n->valid_until, __ATOMIC_ACQUIRE) >= now &&
	       __atomic_load_n(&n->link.spare, __ATOMIC_RELAXED) ==
		   __atomic_load_n(&c->epoch, __ATOMIC_RELAXED) &&
	       !(pf__inode_flags(i) & PF_INODE_BAD) && pf__inode_attr(i, PF_ATTR_ALL, now, out);
}

/* ---- linking, all under the lock */

static void attach(struct pf__cache *c, struct pf__name *n, struct pf__inode *inode)
{
	if (!inode) {
		c->negative++;
	} else {
		pf__inode_get(inode);
		inode->nnames++;
		n->alias_next = inode->names;
		n->alias_pprev = &inode->names;
		if (inode->names)
			inode->names->alias_pprev = &n->alias_next;
		inode->names = n;
	}
	pf__rcu_store(n->inode, inode);
}

/* Not for as long as it was. Readers know before those who show it look again. */
static void trust_until(struct pf__cache *c, struct pf__name *n, uint64_t until)
{
	uint64_t was = n->valid_until;

	__atomic_store_n(&n->valid_until, until, __ATOMIC_RELEASE);
	if (pf__is_shown(c))
		pf__shown_name(c, n, was);
}

/* The reference of n to its inode is the caller's now. */
static struct pf__inode *detach(struct pf__cache *c, struct pf__name *n)
{
	struct pf__inode *inode = n->inode;

	trust_until(c, n, 0);
	if (!inode) {
		c->negative--;
		return NULL;
	}
	*n->alias_pprev = n->alias_next;
	if (n->alias_next)
		n->alias_next->alias_pprev = n->alias_pprev;
	inode->nnames--;
	return inode;
}

static void free_name(struct pf__rcu_head *head)
{
	pf__free(pf__container_of(head, struct pf__name, rcu));
}

/* Readers may still see n->inode after this, but are not to trust it. */
void pf__name_remove(struct pf__cache *c, struct pf__name *n)
{
	struct pf__inode *inode = detach(c, n), *dir = n->dir;

	pf__table_remove(&c->names, &n->link);
	pf__list_del(&n->sibling);
	c->bytes -= sizeof *n + n->len;
	pf__rcu_defer(&n->rcu, free_name);
	pf__inode_put_locked(c, inode);
	pf__inode_put_locked(c, dir);
}

void pf__name_remove_tree(struct pf__cache *c, struct pf__name *n)
{
	struct pf__inode *inode = n->inode;

	if (!inode || pf__inode_type(inode) != S_IFDIR) {
		pf__name_remove(c, n);
		return;
	}
	pf__inode_get(inode);
	pf__name_remove(c, n);
	pf__cache_prune_below(c, inode);
	pf__inode_put_locked(c, inode);
}

static struct pf__name *make(struct pf__cache *c, struct pf__inode *dir, const char *name,
			     size_t len)
{
	struct pf__ext *ext = pf__inode_ext(c, dir);
	struct pf__name *n = ext && len <= UINT16_MAX ? pf__malloc(sizeof *n + len) : NULL;
	struct key k = {dir, name, len};

	if (!n)
		return NULL;
	memset(n, 0, sizeof *n);
	memcpy(n->bytes, name, len);
	n->len = len;
	n->dir = pf__inode_get(dir);
	pf__list_add_tail(&ext->children, &n->sibling);
	c->negative++; /* as long as nothing is attached */
	c->bytes += sizeof *n + len;
	pf__table_insert(&c->names, &n->link, hash_name(c, &k));
	return n;
}

static void set_valid(struct pf__cache *c, struct pf__name *n, uint64_t until, uint32_t epoch)
{
	if (until < n->valid_until)
		trust_until(c, n, until);
	__atomic_store_n(&n->link.spare, epoch, __ATOMIC_RELAXED);
	__atomic_store_n(&n->valid_until, until, __ATOMIC_RELEASE);
}

void pf__name_set_expired(struct pf__cache *c, struct pf__name *n)
{
	uint64_t now = pf__now_coarse();

	/* Not zero: the sweep wants to know since when. */
	if (n->valid_until >= now)
		trust_until(c, n, now - 1);
}

/* n leads to inode (may be NULL) from now on. */
static void point(struct pf__cache *c, struct pf__name *n, struct pf__inode *inode, uint64_t until,
		  uint32_t epoch)
{
	struct pf__inode *old = n->inode;

	if (old != inode || !inode) {
		/* Nobody shall trust the new inode for the old one's time. */
		old = detach(c, n);
		attach(c, n, inode);
		if (old && pf__inode_type(old) == S_IFDIR)
			pf__cache_prune_below(c, old);
		pf__inode_put_locked(c, old);
	}
	set_valid(c, n, until, epoch);
}

/* ---- directories and their parents */

bool pf__inode_is_below_locked(const struct pf__inode *dir, const struct pf__inode *ancestor)
{
	for (; dir; dir = dir->parent)
		if (dir == ancestor)
			return true;
	return false;
}

bool pf__inode_is_below(struct pf__cache *cache, struct pf__inode *dir, struct pf__inode *ancestor)
{
	bool below;

	pf__mutex_lock(&cache->lock);
	below = pf__inode_is_below_locked(dir, ancestor);
	pf__mutex_unlock(&cache->lock);
	return below;
}

struct pf__inode *pf__inode_parent_rcu(const struct pf__inode *dir)
{
	return pf__rcu_load(dir->parent);
}

struct pf__inode *pf__inode_parent(struct pf__cache *cache, struct pf__inode *dir)
{
	struct pf__inode *parent;

	pf__mutex_lock(&cache->lock);
	parent = dir->parent;
	if (parent)
		pf__inode_get(parent);
	pf__mutex_unlock(&cache->lock);
	return parent;
}

static void set_parent(struct pf__cache *c, struct pf__inode *dir, struct pf__inode *parent)
{
	struct pf__inode *old = dir->parent;

	if (old == parent)
		return;
	pf__rcu_store(dir->parent, pf__inode_get(parent));
	pf__inode_put_locked(c, old);
}

void pf__inode_set_parent(struct pf__cache *cache, struct pf__inode *dir, struct pf__inode *parent)
{
	pf__mutex_lock(&cache->lock);
	if (dir != cache->root && !pf__inode_is_below_locked(parent, dir))
		set_parent(cache, dir, parent);
	pf__mutex_unlock(&cache->lock);
}

/* Replies of requests that were sent before now say nothing certain about names in dir. */
void pf__dir_changed(struct pf__cache *c, struct pf__inode *dir)
{
	struct pf__ext *ext = pf__inode_ext(c, dir);

	if (ext)
		ext->changed = pf__next_version(c);
}

static bool changed_since(const struct pf__inode *dir, const struct pf__sample *sample)
{
	const struct pf__ext *ext = pf__rcu_load(dir->ext);

	return sample && !sample->created && sample->attr_version && ext &&
	       ext->changed > sample->attr_version;
}

/* ---- entering */

static uint64_t entry_until(const struct pf__inode *dir, const struct fuse_entry_out *e,
			    const struct pf__sample *sample)
{
	uint64_t now = pf__now_coarse();

	if ((!e->entry_valid && !e->entry_valid_nsec) || changed_since(dir, sample))
		return now - 1;
	return pf__time_after(now, e->entry_valid, e->entry_valid_nsec);
}

static uint32_t sample_epoch(const struct pf__cache *c, const struct pf__sample *sample)
{
	return sample ? sample->epoch : __atomic_load_n(&c->epoch, __ATOMIC_RELAXED);
}

static void enter_negative(struct pf__cache *c, struct pf__inode *dir, const char *name, size_t len,
			   const struct fuse_entry_out *e, const struct pf__sample *sample)
{
	struct pf__name *n = find(c, dir, name, len);
	bool cached = (e->entry_valid || e->entry_valid_nsec) && !changed_since(dir, sample);

	if (!cached) {
		if (n)
			pf__name_remove_tree(c, n);
		return;
	}
	if (!n)
		n = make(c, dir, name, len);
	if (n) /* else it is asked for again: no harm */
		point(c, n, NULL, entry_until(dir, e, sample), sample_epoch(c, sample));
}

/* A directory has one place: when it turns up at another, it has moved there. */
static void leave_old_place(struct pf__cache *c, struct pf__inode *inode,
			    const struct pf__name *keep)
{
	if (pf__inode_type(inode) == S_IFDIR && inode->names && inode->names != keep)
		pf__name_remove(c, inode->names);
}

/* Would inode, entered in dir, stand below itself? What nobody else refers to stands above nothing.
 */
static bool makes_loop(const struct pf__inode *inode, const struct pf__inode *dir)
{
	return __atomic_load_n(&inode->refs, __ATOMIC_RELAXED) > 1 &&
	       pf__inode_is_below_locked(dir, inode);
}

/* The caller holds references to dir and inode. */
static int enter_positive(struct pf__cache *c, struct pf__inode *dir, const char *name, size_t len,
			  struct pf__inode *inode, uint64_t until, uint32_t epoch)
{
	bool is_dir = pf__inode_type(inode) == S_IFDIR;
	struct pf__name *n;

	n = find(c, dir, name, len);
	if (is_dir && (!n || n->inode != inode) && makes_loop(inode, dir))
		return -EIO;
	leave_old_place(c, inode, n);
	if (!n)
		n = make(c, dir, name, len);
	if (!n)
		return -ENOMEM;
	point(c, n, inode, until, epoch);
	if (is_dir)
		set_parent(c, inode, dir);
	return 0;
}

/*
 * The answer to a revalidation, before anything else is made of it. -ESTALE: it is another inode,
 * or none, or has changed its nature: the name is void, the caller asks again. 0: go on.
 */
static int check_expected(struct pf__cache *c, struct pf__inode *dir, const char *name, size_t len,
			  const struct fuse_entry_out *e, struct pf__inode *expected)
{
	struct pf__name *n;

	if (e->nodeid == expected->nodeid && !pf__inode_is_bad(expected) &&
	    (uint32_t)e->generation == (uint32_t)expected->generation &&
	    (e->attr.mode & S_IFMT) == pf__inode_type(expected))
		return 0;
	if (e->nodeid == expected->nodeid)
		__atomic_store_n(&expected->nlookup, expected->nlookup + 1, __ATOMIC_RELAXED);
	else
		pf__inode_give_back(c, e->nodeid);
	n = find(c, dir, name, len);
	if (n)
		pf__name_remove_tree(c, n);
	return -ESTALE;
}

static int enter_locked(struct pf__cache *c, struct pf__inode *dir, const char *name, size_t len,
			const struct fuse_entry_out *e, const struct pf__sample *sample,
			struct pf__inode **inode)
{
	struct pf__inode *i;
	int err;

	if (!e->nodeid) {
		enter_negative(c, dir, name, len, e, sample);
		return 0;
	}
	if (e->nodeid == FUSE_ROOT_ID || e->nodeid == dir->nodeid) {
		pf__inode_give_back(c, e->nodeid);
		return -EIO;
	}
	if (sample && sample->created)
		pf__dir_changed(c, dir);
	i = pf__inode_take_lookup(c, e, sample);
	if (!i)
		return -ENOMEM;
	err = enter_positive(c, dir, name, len, i, entry_until(dir, e, sample),
			     sample_epoch(c, sample));
	if (!err && inode)
		*inode = i;
	else
		pf__inode_put_locked(c, i);
	return err;
}

int pf__name_enter(struct pf__cache *cache, struct pf__inode *dir, const char *name, size_t len,
		   const struct fuse_entry_out *e, const struct pf__sample *sample,
		   struct pf__inode *expected, struct pf__inode **inode)
{
	uint64_t now = pf__now_coarse();
	int err = 0;

	if (inode)
		*inode = NULL;
	pf__mutex_lock(&cache->lock);
	if (expected)
		err = check_expected(cache, dir, name, len, e, expected);
	if (!err)
		err = enter_locked(cache, dir, name, len, e, sample, inode);
	if (cache->names.count > cache->config.max_names)
		pf__cache_sweep(cache, now, EVICT_BUDGET);
	pf__mutex_unlock(&cache->lock);
	return err;
}

/* ---- taking away */

void pf__name_drop(struct pf__cache *cache, struct pf__inode *dir, const char *name, size_t len)
{
	struct pf__name *n;

	pf__mutex_lock(&cache->lock);
	pf__dir_changed(cache, dir);
	n = find(cache, dir, name, len);
	if (n)
		pf__name_remove_tree(cache, n);
	pf__mutex_unlock(&cache->lock);
}

void pf__name_expire(struct pf__cache *cache, struct pf__inode *dir, const char *name, size_t len)
{
	struct pf__name *n;

	pf__mutex_lock(&cache->lock);
	n = find(cache, dir, name, len);
	if (n)
		pf__name_set_expired(cache, n);
	pf__mutex_unlock(&cache->lock);
}

void pf__inode_expire_names(struct pf__cache *cache, struct pf__inode *inode)
{
	pf__mutex_lock(&cache->lock);
	for (struct pf__name *n = inode->names; n; n = n->alias_next)
		pf__name_set_expired(cache, n);
	pf__mutex_unlock(&cache->lock);
}

void pf__inode_drop_names(struct pf__cache *cache, struct pf__inode *inode)
{
	pf__mutex_lock(&cache->lock);
	while (inode->names) {
		pf__dir_changed(cache, inode->names->dir);
		pf__name_remove_tree(cache, inode->names);
	}
	pf__mutex_unlock(&cache->lock);
}

void pf__name_removed(struct pf__cache *cache, struct pf__inode *dir, const char *name, size_t len,
		      bool is_dir)
{
	struct pf__name *n;

	pf__mutex_lock(&cache->lock);
	pf__dir_changed(cache, dir);
	n = find(cache, dir, name, len);
	if (n) {
		if (n->inode)
			pf__attr_unlinked(cache, n->inode, is_dir);
		pf__name_remove_tree(cache, n);
	}
	pf__mutex_unlock(&cache->lock);
}

static void exchange_names(struct pf__cache *c, struct pf__name *a, struct pf__name *b)
{
	uint64_t until_a = a->valid_until, until_b = b->valid_until;
	uint32_t epoch_a = a->link.spare, epoch_b = b->link.spare;
	struct pf__inode *ia = detach(c, a), *ib = detach(c, b);

	attach(c, a, ib);
	attach(c, b, ia);
	set_valid(c, a, until_b, epoch_b);
	set_valid(c, b, until_a, epoch_a);
	if (ia && pf__inode_type(ia) == S_IFDIR)
		set_parent(c, ia, b->dir);
	if (ib && pf__inode_type(ib) == S_IFDIR)
		set_parent(c, ib, a->dir);
	pf__inode_put_locked(c, ia);
	pf__inode_put_locked(c, ib);
}

/* A directory cannot stand below itself, whatever the server did. */
static bool moves_into_itself(const struct pf__name *n, const struct pf__inode *todir)
{
	return n && n->inode && pf__inode_type(n->inode) == S_IFDIR &&
	       pf__inode_is_below_locked(todir, n->inode);
}

static void ctime_changed(struct pf__cache *c, const struct pf__name *n)
{
	if (n && n->inode)
		pf__inode_invalidate(c, n->inode, PF_ATTR_CTIME);
}

static void move_name(struct pf__cache *c, struct pf__name *from, struct pf__inode *todir,
		      const char *to, size_t tolen)
{
	struct pf__inode *inode = pf__inode_get(from->inode);
	uint64_t until = from->valid_until;
	uint32_t epoch = from->link.spare;

	pf__name_remove(c, from);
	enter_positive(c, todir, to, tolen, inode, until, epoch); /* else it is asked for again */
	pf__inode_put_locked(c, inode);
}

void pf__name_moved(struct pf__cache *cache, struct pf__inode *fromdir, const char *from,
		    size_t fromlen, struct pf__inode *todir, const char *to, size_t tolen,
		    bool exchange)
{
	struct pf__name *a, *b;

	pf__mutex_lock(&cache->lock);
	pf__dir_changed(cache, fromdir);
	pf__dir_changed(cache, todir);
	a = find(cache, fromdir, from, fromlen);
	b = find(cache, todir, to, tolen);
	ctime_changed(cache, a);
	if (exchange)
		ctime_changed(cache, b);
	else if (b && b != a && b->inode)
		pf__attr_unlinked(cache, b->inode, pf__inode_type(b->inode) == S_IFDIR);
	if (a && a == b) {
		/* Nothing has moved. */
	} else if (exchange && a && b && a->inode && b->inode && !moves_into_itself(a, todir) &&
		   !moves_into_itself(b, fromdir)) {
		exchange_names(cache, a, b);
	} else {
		bool movable = !exchange && a && a->inode && !moves_into_itself(a, todir);

		if (b)
			pf__name_remove_tree(cache, b);
		/* a may have stood below b's directory; the server would have refused */
		a = find(cache, fromdir, from, fromlen);
		if (movable && a && a->inode)
			move_name(cache, a, todir, to, tolen);
		else if (a)
			pf__name_remove_tree(cache, a);
	}
	pf__mutex_unlock(&cache->lock);
}

/* ---- READDIRPLUS's heuristic */

void pf__dir_advise(struct pf__inode *dir)
{
	if (!(pf__inode_flags(dir) & PF_INODE_ADVISE_PLUS))
		__atomic_fetch_or(&dir->flags, PF_INODE_ADVISE_PLUS, __ATOMIC_ACQ_REL);
}

bool pf__dir_take_advice(struct pf__inode *dir)
{
	if (!(pf__inode_flags(dir) & PF_INODE_ADVISE_PLUS))
		return false;
	return __atomic_fetch_and(&dir->flags, ~PF_INODE_ADVISE_PLUS, __ATOMIC_ACQ_REL) &
	       PF_INODE_ADVISE_PLUS;
}

void pf__inode_from_readdirplus(struct pf__inode *inode)
{
	__atomic_fetch_or(&inode->flags, PF_INODE_PLUS_ENTRY, __ATOMIC_ACQ_REL);
}
