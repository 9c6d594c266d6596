/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attributes: read without locks under a sequence count, word by word; written under the inode's
 * stripe. A reply is judged by the version that was current when its request was sent.
 */
#include "base/arith.h"
#include "base/clock.h"
#include "base/futex.h"
#include "cache/internal.h"
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

/* What a client that caches writes is the authority for. */
#define OURS (PF_ATTR_SIZE | PF_ATTR_MTIME | PF_ATTR_CTIME)

/* In struct pf__attr.invalid: the size is what a short READ showed last. */
#define SIZE_BY_READ (1u << 8)

_Static_assert(sizeof(struct pf__attr) == PF_ATTR_WORDS * 8, "attributes fill their words");

/* ---- the sequence count: odd while the words change */

/* All loads acquire, all stores release: their order, which the count relies on, needs no fence. */
static inline bool try_load(const struct pf__inode *inode, struct pf__attr *out)
{
	uint64_t *words = (uint64_t *)out;
	uint32_t seq = __atomic_load_n(&inode->seq, __ATOMIC_ACQUIRE);

	if (seq & 1)
		return false;
	for (unsigned i = 0; i < PF_ATTR_WORDS; i++)
		words[i] = __atomic_load_n(&inode->attr[i], __ATOMIC_ACQUIRE);
	return __atomic_load_n(&inode->seq, __ATOMIC_RELAXED) == seq;
}

/* A pause that lets whoever changes the words go on: also one of lower priority, and one that drops
 * cached data meanwhile. */
static void pause_load(unsigned tries)
{
	static const struct timespec some = {.tv_nsec = 20000};

	if (tries > 256)
		nanosleep(&some, NULL);
	else if (tries > 32)
		sched_yield();
}

static inline void load(const struct pf__inode *inode, struct pf__attr *out)
{
	for (unsigned tries = 0; !try_load(inode, out); tries++)
		pause_load(tries);
}

/* Under the stripe. */
static uint64_t version(const struct pf__inode *inode)
{
	return inode->attr[offsetof(struct pf__attr, version) / 8];
}

/* What is shown of it remains right. (So it is with each listing of a directory.) */
static bool says_the_same(const struct pf__attr *old, const struct pf__attr *a)
{
	return !memcmp(&old->attr, &a->attr, sizeof a->attr) && old->invalid == a->invalid &&
	       old->valid_until <= a->valid_until;
}

/* Does it change who may pass a directory? Nobody has passed a new one. */
static bool is_passage(const struct fuse_attr *old, const struct fuse_attr *a)
{
	return S_ISDIR(a->mode) && old->mode &&
	       (old->mode != a->mode || old->uid != a->uid || old->gid != a->gid);
}

/* Under the stripe. Nobody sees the words before store_end(). */
static void store_begin(struct pf__cache *c, struct pf__inode *inode, const struct pf__attr *a)
{
	bool shown = pf__is_shown(c), passage = false;
	uint64_t words[PF_ATTR_WORDS];
	struct pf__attr old;

	if (shown) {
		memcpy(&old, inode->attr, sizeof old);
		shown = !says_the_same(&old, a);
		passage = shown && is_passage(&old.attr, &a->attr);
	}
	memcpy(words, a, sizeof words);
	__atomic_store_n(&inode->seq, inode->seq + 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < PF_ATTR_WORDS; i++)
		__atomic_store_n(&inode->attr[i], words[i], __ATOMIC_RELEASE);
	if (shown)
		pf__shown_attr(c, inode, passage);
}

static void store_end(struct pf__inode *inode)
{
	__atomic_store_n(&inode->seq, inode->seq + 1, __ATOMIC_RELEASE);
}

static void store(struct pf__cache *c, struct pf__inode *inode, const struct pf__attr *a)
{
	store_begin(c, inode, a);
	store_end(inode);
}

uint64_t pf__attr_until(uint64_t sec, uint32_t nsec)
{
	return sec || nsec ? pf__time_after(pf__now_coarse(), sec, nsec) : 0;
}

bool pf__inode_attr(const struct pf__inode *inode, uint32_t need, uint64_t now,
		    struct pf__attr *out)
{
	load(inode, out);
	if (!need)
		return true;
	if (__builtin_expect(pf__inode_flags(inode) & PF_INODE_OWNED, 0)) {
		need &= ~OURS;
		if (!need)
			return true;
	}
	return out->valid_until >= now && !(out->invalid & need);
}

/* The word of attr that holds a field, the field taken out of it. */
#define WORD(field) (offsetof(struct pf__attr, field) / 8)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define SHIFT(field) (offsetof(struct pf__attr, field) % 8 * 8)
#else
#define SHIFT(field) (32 - offsetof(struct pf__attr, field) % 8 * 8)
#endif
#define LOAD(i, field) __atomic_load_n(&(i)->attr[WORD(field)], __ATOMIC_ACQUIRE)

bool pf__inode_size_valid(const struct pf__inode *inode, uint64_t now)
{
	uint32_t seq = __atomic_load_n(&inode->seq, __ATOMIC_ACQUIRE);
	uint64_t until = LOAD(inode, valid_until), invalid = LOAD(inode, invalid);

	if (pf__inode_flags(inode) & PF_INODE_OWNED)
		return true;
	invalid = (uint32_t)(invalid >> SHIFT(invalid));
	return !(seq & 1) && __atomic_load_n(&inode->seq, __ATOMIC_RELAXED) == seq &&
	       until >= now && !(invalid & (PF_ATTR_SIZE | PF_ATTR_MTIME));
}

uint64_t pf__inode_size(const struct pf__inode *inode)
{
	return LOAD(inode, attr.size);
}

bool pf__inode_reaches(const struct pf__inode *inode, uint64_t end)
{
	uint32_t seq = __atomic_load_n(&inode->seq, __ATOMIC_ACQUIRE);
	uint64_t size = LOAD(inode, attr.size);

	return size >= end && !(seq & 1) && __atomic_load_n(&inode->seq, __ATOMIC_RELAXED) == seq;
}

bool pf__inode_mode(const struct pf__inode *inode, uint64_t now, uint32_t *mode)
{
	uint32_t seq = __atomic_load_n(&inode->seq, __ATOMIC_ACQUIRE);
	uint64_t until = LOAD(inode, valid_until), invalid = LOAD(inode, invalid);

	*mode = (uint32_t)(LOAD(inode, attr.mode) >> SHIFT(attr.mode));
	invalid = (uint32_t)(invalid >> SHIFT(invalid));
	return !(seq & 1) && __atomic_load_n(&inode->seq, __ATOMIC_RELAXED) == seq &&
	       until >= now && !(invalid & PF_ATTR_MODE);
}

/* What a reply to this request tells was true when it was sent, or later. */
static uint64_t version_of(struct pf__cache *c, const struct pf__sample *sample)
{
	return sample && sample->attr_version ? sample->attr_version : pf__next_version(c);
}

void pf__attr_init(struct pf__cache *c, struct pf__inode *inode, const struct fuse_attr *attr,
		   uint64_t valid_until, uint32_t invalid, const struct pf__sample *sample)
{
	struct pf__attr a;

	memset(&a, 0, sizeof a);
	a.attr = *attr;
	a.valid_until = valid_until;
	a.version = version_of(c, sample);
	a.invalid = invalid;
	store(c, inode, &a); /* nobody else knows the inode yet */
}

static bool same_mtime(const struct fuse_attr *a, const struct fuse_attr *b)
{
	return a->mtime == b->mtime && a->mtimensec == b->mtimensec;
}

/* What is ours and not in changed stays as it is. */
static void keep_ours(struct fuse_attr *a, const struct fuse_attr *old, uint32_t changed)
{
	if (!(changed & PF_ATTR_SIZE))
		a->size = old->size;
	if (!(changed & PF_ATTR_MTIME)) {
		a->mtime = old->mtime;
		a->mtimensec = old->mtimensec;
	}
	if (!(changed & PF_ATTR_CTIME)) {
		a->ctime = old->ctime;
		a->ctimensec = old->ctimensec;
	}
}

/* Cached data may have been overtaken: whoever has it is told, before anybody sees the attributes
 * that say so. Under the stripe. */
static void tell_data(struct pf__cache *c, struct pf__inode *inode, const struct fuse_attr *old,
		      const struct fuse_attr *new)
{
	struct pf__ext *ext = pf__rcu_load(inode->ext);

	if (ext && pf__rcu_load(ext->io) && c->config.ops->data_changed &&
	    (old->size != new->size || !same_mtime(old, new)))
		c->config.ops->data_changed(c->config.ctx, inode, old->size, new->size,
					    !same_mtime(old, new));
}

/*
 * What we asked for ourselves is no news, but a time or a size that we set hides what somebody else
 * may have done since we were last sure of the attributes: as if the mtime had been another.
 */
static struct pf__attr what_it_hides(const struct pf__attr *old, const struct pf__attr *new)
{
	struct pf__attr a = *new;

	if (old->valid_until < pf__now_coarse())
		a.attr.mtime = ~new->attr.mtime;
	return a;
}

/* force: values count though a newer change stands against them, but are not to be trusted long. */
static int take_attr(struct pf__cache *c, struct pf__inode *inode, const struct fuse_attr *attr,
		     uint64_t valid_until, const struct pf__sample *sample, bool force,
		     uint32_t changed)
{
	struct pf__mutex *m = pf__inode_stripe(c, inode);
	struct pf__attr a = {.attr = *attr}, old;
	bool newer, owned;

	if ((attr->mode & S_IFMT) != pf__inode_type(inode)) {
		pf__inode_mark_bad(c, inode);
		return -EIO;
	}
	pf__mutex_lock(m);
	newer = sample && sample->attr_version && version(inode) > sample->attr_version;
	owned = pf__inode_flags(inode) & PF_INODE_OWNED;
	if (force || (!newer && !(pf__inode_flags(inode) & PF_INODE_SIZE_MASK))) {
		load(inode, &old);
		if (owned)
			keep_ours(&a.attr, &old.attr, changed);
		a.valid_until = newer ? 0 : valid_until;
		a.version = force ? pf__next_version(c) : version_of(c, sample);
		store_begin(c, inode, &a);
		if (!owned && (changed & (PF_ATTR_SIZE | PF_ATTR_MTIME)))
			old = what_it_hides(&old, &a);
		if (!owned)
			tell_data(c, inode, &old.attr, &a.attr);
		store_end(inode);
	}
	pf__mutex_unlock(m);
	return 0;
}

int pf__inode_set_attr(struct pf__cache *cache, struct pf__inode *inode,
		       const struct fuse_attr *attr, uint64_t valid_until,
		       const struct pf__sample *sample)
{
	return take_attr(cache, inode, attr, valid_until, sample, false, 0);
}

int pf__inode_set_attr_changed(struct pf__cache *cache, struct pf__inode *inode,
			       const struct fuse_attr *attr, uint64_t valid_until,
			       const struct pf__sample *sample, uint32_t fields)
{
	return take_attr(cache, inode, attr, valid_until, sample, true, fields);
}

/* ---- what is ours */

void pf__inode_set_owned(struct pf__cache *cache, struct pf__inode *inode, bool owned)
{
	if (owned) {
		__atomic_fetch_or(&inode->flags, PF_INODE_OWNED, __ATOMIC_ACQ_REL);
		return;
	}
	/* From now on the server's word counts again: it is asked. What it said until now does not.
	 */
	pf__inode_bump(cache, inode, OURS | PF_ATTR_BLOCKS);
	__atomic_fetch_and(&inode->flags, ~PF_INODE_OWNED, __ATOMIC_ACQ_REL);
}

bool pf__inode_owned(const struct pf__inode *inode)
{
	return pf__inode_flags(inode) & PF_INODE_OWNED;
}

static void set_times(struct fuse_attr *a, const struct timespec *now, bool mtime)
{
	a->ctime = (uint64_t)now->tv_sec;
	a->ctimensec = (uint32_t)now->tv_nsec;
	if (mtime) {
		a->mtime = a->ctime;
		a->mtimensec = a->ctimensec;
	}
}

/* What a local change makes of the attributes. Under the stripe. */
static void local_change(struct pf__cache *cache, struct pf__attr *a, uint64_t size,
			 uint32_t invalid)
{
	a->version = pf__next_version(cache);
	a->attr.size = size;
	a->invalid = (a->invalid & ~SIZE_BY_READ) | invalid;
}

/* Data was changed up to end. now: the times are ours too; NULL: they are not. */
static void changed_to(struct pf__cache *cache, struct pf__inode *inode, uint64_t end,
		       uint32_t invalid, const struct timespec *now, pf__grown_fn grown, void *ctx)
{
	struct pf__mutex *m = pf__inode_stripe(cache, inode);
	struct pf__attr a;
	uint64_t old;

	pf__mutex_lock(m);
	load(inode, &a);
	old = a.attr.size;
	local_change(cache, &a, pf__max_u64(old, end), invalid);
	if (now)
		set_times(&a.attr, now, true);
	store_begin(cache, inode, &a);
	if (end > old)
		grown(ctx, old);
	store_end(inode);
	pf__mutex_unlock(m);
}

void pf__inode_grow(struct pf__cache *cache, struct pf__inode *inode, uint64_t end,
		    uint32_t invalid, pf__grown_fn grown, void *ctx)
{
	changed_to(cache, inode, end, invalid, NULL, grown, ctx);
}

void pf__inode_owned_write(struct pf__cache *cache, struct pf__inode *inode, uint64_t end,
			   const struct timespec *now, pf__grown_fn grown, void *ctx)
{
	changed_to(cache, inode, end, 0, now, grown, ctx);
}

void pf__inode_owned_times(struct pf__cache *cache, struct pf__inode *inode,
			   const struct timespec *now, bool mtime)
{
	struct pf__mutex *m = pf__inode_stripe(cache, inode);
	struct pf__attr a;

	pf__mutex_lock(m);
	load(inode, &a);
	set_times(&a.attr, now, mtime);
	store(cache, inode, &a);
	pf__mutex_unlock(m);
}

bool pf__inode_short_read(struct pf__cache *cache, struct pf__inode *inode, uint64_t end,
			  const struct pf__sample *sample)
{
	struct pf__mutex *m = pf__inode_stripe(cache, inode);
	bool lowered = false;
	struct pf__attr a;

	pf__mutex_lock(m);
	load(inode, &a);
	/* Of several READs under way the first to come back short may not have shown the end yet.
	 */
	if ((version(inode) <= sample->attr_version || (a.invalid & SIZE_BY_READ)) &&
	    end < a.attr.size &&
	    !(pf__inode_flags(inode) & (PF_INODE_SIZE_MASK | PF_INODE_OWNED))) {
		a.version = pf__next_version(cache);
		a.attr.size = end;
		/* It may well have grown again since. */
		a.invalid |= PF_ATTR_MODIFIED | PF_ATTR_NLINK | SIZE_BY_READ;
		store(cache, inode, &a);
		lowered = true;
	}
	pf__mutex_unlock(m);
	return lowered;
}

void pf__inode_invalidate(struct pf__cache *cache, struct pf__inode *inode, uint32_t fields)
{
	struct pf__mutex *m = pf__inode_stripe(cache, inode);
	struct pf__attr a;

	/* Usually nothing is left to do: a file is written again and again. */
	load(inode, &a);
	if ((a.invalid & fields) == fields)
		return;
	pf__mutex_lock(m);
	load(inode, &a);
	a.invalid |= fields;
	store(cache, inode, &a);
	pf__mutex_unlock(m);
}

void pf__inode_local_write(struct pf__cache *cache, struct pf__inode *inode, uint64_t end,
			   bool exact, uint32_t invalid)
{
	struct pf__mutex *m = pf__inode_stripe(cache, inode);
	struct pf__attr a;

	pf__mutex_lock(m);
	load(inode, &a);
	local_change(cache, &a, exact ? end : pf__max_u64(a.attr.size, end), invalid);
	store(cache, inode, &a);
	pf__mutex_unlock(m);
}

void pf__inode_bump(struct pf__cache *cache, struct pf__inode *inode, uint32_t invalid)
{
	pf__inode_local_write(cache, inode, 0, false, invalid);
}

void pf__attr_unlinked(struct pf__cache *c, struct pf__inode *inode, bool all)
{
	struct pf__mutex *m = pf__inode_stripe(c, inode);
	struct pf__attr a;

	pf__mutex_lock(m);
	load(inode, &a);
	a.version = pf__next_version(c);
	if (all)
		a.attr.nlink = 0;
	else if (a.attr.nlink)
		a.attr.nlink--;
	if (pf__inode_owned(inode)) { /* nobody else tells its ctime */
		struct timespec now = pf__wall_clock(1);

		set_times(&a.attr, &now, false);
	}
	a.invalid |= PF_ATTR_CTIME;
	store(c, inode, &a);
	pf__mutex_unlock(m);
}

void pf__inode_size_begin(struct pf__cache *cache, struct pf__inode *inode)
{
	__atomic_fetch_add(&inode->flags, PF_INODE_SIZE_ONE, __ATOMIC_ACQ_REL);
}

void pf__inode_size_end(struct pf__cache *cache, struct pf__inode *inode)
{
	uint32_t flags;

	pf__inode_bump(cache, inode, 0);
	flags = __atomic_sub_fetch(&inode->flags, PF_INODE_SIZE_ONE, __ATOMIC_ACQ_REL);
	if ((flags & PF_INODE_SIZE_MASK) || !(flags & PF_INODE_SIZE_WAIT))
		return;
	__atomic_fetch_and(&inode->flags, ~PF_INODE_SIZE_WAIT, __ATOMIC_ACQ_REL);
	pf__futex_wake((_Atomic uint32_t *)&inode->flags, INT_MAX);
}

bool pf__inode_size_changes(const struct pf__inode *inode)
{
	return pf__inode_flags(inode) & PF_INODE_SIZE_MASK;
}

int pf__inode_size_wait(struct pf__inode *inode, uint64_t deadline)
{
	for (;;) {
		uint32_t flags = pf__inode_flags(inode);
		int err;

		if (!(flags & PF_INODE_SIZE_MASK))
			return 0;
		if (!(flags & PF_INODE_SIZE_WAIT)) {
			__atomic_fetch_or(&inode->flags, PF_INODE_SIZE_WAIT, __ATOMIC_ACQ_REL);
			continue;
		}
		err = pf__futex_wait((_Atomic uint32_t *)&inode->flags, flags, deadline);
		if (err && err != -EAGAIN)
			return err;
	}
}
