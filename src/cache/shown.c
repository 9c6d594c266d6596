/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The writer's side of shown.h.
 *
 * A slot is taken by making its seq odd; nobody waits for one. An inode's own (inode->shown,
 * inode->ticket) change under its stripe, as its attributes do: so what is entered is what they
 * say, until they are voided. Names change under another lock: who enters looks at their count of
 * changes before he looks at the name, and when all is done.
 */
#include "cache/shown.h"
#include "base/arith.h"
#include "base/clock.h"
#include "cache/internal.h"
#include <string.h>
#include <sys/stat.h>

static struct pf__shown *table(const struct pf__cache *c)
{
	return __atomic_load_n(&c->shown, __ATOMIC_ACQUIRE);
}

/* Who looks at it holds one of the locks. */
void pf__cache_show(struct pf__cache *c, struct pf__shown *t)
{
	__atomic_store_n(&c->shown, t, __ATOMIC_SEQ_CST);
	if (t)
		return;
	pf__mutex_lock(&c->lock);
	pf__mutex_unlock(&c->lock);
	for (unsigned i = 0; i < PF_CACHE_STRIPES; i++) {
		pf__mutex_lock(&c->stripes[i]);
		pf__mutex_unlock(&c->stripes[i]);
	}
}

/* Under either lock. */
static void void_all(struct pf__cache *c)
{
	struct pf__shown *t = table(c);

	if (t)
		__atomic_add_fetch(&t->gen, 1, __ATOMIC_SEQ_CST);
}

static bool take(struct pf__shown_slot *s)
{
	uint32_t seq = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE);

	return !(seq & 1) && __atomic_compare_exchange_n(&s->seq, &seq, seq + 1, false,
							 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void let_go(struct pf__shown_slot *s)
{
	__atomic_store_n(&s->seq, s->seq + 1, __ATOMIC_RELEASE);
}

enum { BY_NAME, BY_ITSELF };

/* Under the stripe. Who has taken the slot meanwhile may only void what he had there before. */
static void void_one(struct pf__cache *c, struct pf__inode *inode, int by)
{
	struct pf__shown *t = table(c);
	struct pf__shown_slot *s;

	if (!inode->shown[by] || !t)
		return;
	s = &t->slots[inode->shown[by] - 1];
	inode->shown[by] = 0;
	while (__atomic_load_n(&s->ticket, __ATOMIC_ACQUIRE) == inode->ticket[by]) {
		uint32_t seq = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE);

		if (seq & 1) {
			void_all(c);
			return;
		}
		if (!take(s))
			continue;
		if (s->ticket == inode->ticket[by])
			__atomic_store_n(&s->key, 0, __ATOMIC_RELEASE);
		let_go(s);
		return;
	}
}

static void void_both(struct pf__cache *c, struct pf__inode *inode)
{
	void_one(c, inode, BY_NAME);
	void_one(c, inode, BY_ITSELF);
}

/* ---- what the rest of the cache tells -------------------------------------------------------- */

void pf__shown_attr(struct pf__cache *c, struct pf__inode *inode, bool passage)
{
	void_both(c, inode);
	if (passage)
		void_all(c);
}

void pf__shown_inode(struct pf__cache *c, struct pf__inode *inode)
{
	struct pf__mutex *m = pf__inode_stripe(c, inode);

	pf__mutex_lock(m);
	void_both(c, inode);
	pf__mutex_unlock(m);
}

void pf__shown_name(struct pf__cache *c, const struct pf__name *n, uint64_t was_valid_until)
{
	__atomic_add_fetch(&c->name_changes, 1, __ATOMIC_SEQ_CST);
	if (!n->inode)
		return;
	if (pf__inode_type(n->inode) != S_IFDIR)
		pf__shown_inode(c, n->inode);
	else if (was_valid_until >= pf__now_coarse()) /* else all below it has expired as well */
		void_all(c);
}

void pf__shown_epoch(struct pf__cache *c)
{
	pf__mutex_lock(&c->lock);
	__atomic_add_fetch(&c->name_changes, 1, __ATOMIC_SEQ_CST);
	void_all(c);
	pf__mutex_unlock(&c->lock);
}

/* ---- entering ---------------------------------------------------------------------------------
 */

static bool is_free(const struct pf__shown *t, const struct pf__shown_slot *s, uint64_t key,
		    uint64_t now)
{
	uint64_t has = __atomic_load_n(&s->key, __ATOMIC_RELAXED);

	return !has || has == key || __atomic_load_n(&s->gen, __ATOMIC_RELAXED) != t->gen ||
	       __atomic_load_n(&s->until, __ATOMIC_RELAXED) < now;
}

/* A slot for key, taken: its index; or -1. */
static int take_slot(struct pf__shown *t, uint64_t key, uint64_t now)
{
	unsigned first = pf__shown_index(key, 0), second = pf__shown_index(key, 1);

	if (!is_free(t, &t->slots[first], key, now) &&
	    (is_free(t, &t->slots[second], key, now) || key >> 63))
		first = second;
	return take(&t->slots[first]) ? (int)first : -1;
}

/* What shall stand there. */
struct entry {
	uint64_t key, until, dev;
	uint32_t gen, place;
	int by;
	uint32_t need;
	uint64_t changes; /* of names, before this one was looked at */
};

static void fill(struct pf__shown_slot *s, const struct entry *e, const struct pf__attr *a)
{
	uint64_t words[PF_SHOWN_WORDS];

	memcpy(words, &a->attr, sizeof words);
	__atomic_store_n(&s->key, e->key, __ATOMIC_RELEASE);
	__atomic_store_n(&s->until, pf__min_u64(e->until, a->valid_until), __ATOMIC_RELEASE);
	__atomic_store_n(&s->gen, e->gen, __ATOMIC_RELEASE);
	__atomic_store_n(&s->place, e->place, __ATOMIC_RELEASE);
	__atomic_store_n(&s->dev, e->dev, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < PF_SHOWN_WORDS; i++)
		__atomic_store_n(&s->attr[i], words[i], __ATOMIC_RELEASE);
}

/* Under the stripe. */
static bool enter_locked(struct pf__cache *c, struct pf__inode *inode, const struct entry *e)
{
	struct pf__shown *t = table(c);
	uint64_t now = pf__now_coarse();
	struct pf__shown_slot *s;
	struct pf__attr a;
	bool entered;
	int index;

	if (!t || pf__inode_flags(inode) & (PF_INODE_BAD | PF_INODE_OWNED | PF_INODE_SIZE_MASK) ||
	    !pf__inode_attr(inode, e->need, now, &a))
		return false;
	void_one(c, inode, e->by);
	index = take_slot(t, e->key, now);
	if (index < 0)
		return false;
	s = &t->slots[index];
	fill(s, e, &a);
	inode->ticket[e->by] = __atomic_add_fetch(&t->tickets, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&s->ticket, inode->ticket[e->by], __ATOMIC_RELEASE);
	inode->shown[e->by] = (uint32_t)index + 1;
	/* Who changes a name from now on waits for the stripe to void this. */
	entered =
	    e->by != BY_NAME || __atomic_load_n(&c->name_changes, __ATOMIC_SEQ_CST) == e->changes;
	if (!entered)
		__atomic_store_n(&s->key, 0, __ATOMIC_RELEASE);
	let_go(s);
	return entered;
}

static bool enter(struct pf__cache *c, struct pf__inode *inode, const struct entry *e)
{
	struct pf__mutex *m = pf__inode_stripe(c, inode);
	bool entered;

	pf__mutex_lock(m);
	entered = enter_locked(c, inode, e);
	pf__mutex_unlock(m);
	return entered;
}

bool pf__show_inode(struct pf__cache *cache, struct pf__inode *inode, uint32_t need, uint64_t key,
		    uint32_t gen, uint32_t place, uint64_t dev)
{
	const struct entry e = {.key = key,
				.until = PF_TIME_FOREVER,
				.dev = dev,
				.gen = gen,
				.place = place,
				.by = BY_ITSELF,
				.need = need};

	return enter(cache, inode, &e);
}

/* The way to a directory: till when it is known, 0 if not. *dir is not referenced. */
static uint64_t walk_rcu(struct pf__cache *c, const char *path, size_t len, struct pf__inode **dir)
{
	uint64_t until = PF_TIME_FOREVER;
	const char *end = path + len;

	*dir = c->root;
	while (path < end && until) {
		const char *name = path + (*path == '/');
		const char *slash = memchr(name, '/', (size_t)(end - name));

		path = slash ? slash : end;
		if (path == name)
			continue;
		until = pf__min_u64(until,
				    pf__name_until_rcu(c, *dir, name, (size_t)(path - name), dir));
		if (until && pf__inode_type(*dir) != S_IFDIR)
			until = 0;
	}
	return until;
}

bool pf__show_begin(struct pf__showing *s, struct pf__cache *cache, const char *path, size_t len,
		    uint32_t gen, uint32_t place, uint64_t dev)
{
	if (!pf__is_shown(cache))
		return false;
	*s = (struct pf__showing){.cache = cache, .gen = gen, .place = place, .dev = dev};
	pf__rcu_read_lock();
	s->until = walk_rcu(cache, path, len, &s->dir);
	if (s->until && !pf__inode_tryget(s->dir))
		s->until = 0;
	pf__rcu_read_unlock();
	return s->until;
}

bool pf__show_name(const struct pf__showing *s, const char *name, size_t len, uint64_t key)
{
	struct entry e = {.key = key,
			  .dev = s->dev,
			  .gen = s->gen,
			  .place = s->place,
			  .by = BY_NAME,
			  .need = PF_ATTR_ALL};
	struct pf__inode *inode;
	uint64_t until;
	bool entered;

	e.changes = __atomic_load_n(&s->cache->name_changes, __ATOMIC_SEQ_CST);
	pf__rcu_read_lock();
	until = pf__name_until_rcu(s->cache, s->dir, name, len, &inode);
	if (until && !pf__inode_tryget(inode))
		until = 0;
	pf__rcu_read_unlock();
	if (!until)
		return false;
	e.until = pf__min_u64(until, s->until);
	entered = enter(s->cache, inode, &e);
	pf__inode_put(s->cache, inode);
	return entered;
}

void pf__show_end(struct pf__showing *s)
{
	pf__inode_put(s->cache, s->dir);
}
