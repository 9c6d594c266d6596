/* SPDX-License-Identifier: BSD-2-Clause */
/* Listings of directories: filled, read, dropped; see dircache.h. */
#include "cache/dircache.h"
#include "base/alloc.h"
#include "base/arith.h"
#include "base/clock.h"
#include "cache/internal.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The number of an inode that a server does not tell in its records (libfuse). */
#define UNKNOWN_INO 0xffffffffu

/* The records that one reply brought. Constant once it hangs in its listing. */
struct block {
	struct block *next; /* atomic: release, acquire */
	size_t used;
	uint64_t end;                             /* cookie of its last record */
	char bytes[] __attribute__((aligned(8))); /* struct fuse_dirent, names padded to 8 */
};

/* What a directory was like, as far as one can see without reading it. */
struct state {
	uint64_t mtime, changes;
	uint32_t mtimensec, epoch;
};

struct pf__listing {
	union {
		struct pf__list link; /* dirs.used; the last started first */
		struct pf__rcu_head rcu;
	};
	struct pf__ext *ext; /* whose listing this is; the inode takes it along when it goes */
	uint64_t id;         /* constant, never used again */
	struct state state;  /* constant */
	bool complete;       /* atomic */
	uint64_t off;        /* cookie behind the last record */
	size_t bytes;        /* of it and its blocks */
	struct block *first, **last;
};

static struct state state_of(const struct pf__cache *c, const struct pf__inode *dir,
			     const struct pf__ext *ext)
{
	struct pf__attr a;

	pf__inode_attr(dir, 0, 0, &a); /* what is there, be it expired */
	return (struct state){.mtime = a.attr.mtime,
			      .mtimensec = a.attr.mtimensec,
			      .changes = __atomic_load_n(&ext->changes, __ATOMIC_ACQUIRE),
			      .epoch = __atomic_load_n(&c->epoch, __ATOMIC_ACQUIRE)};
}

static bool same_state(const struct state *a, const struct state *b)
{
	return a->mtime == b->mtime && a->mtimensec == b->mtimensec && a->changes == b->changes &&
	       a->epoch == b->epoch;
}

void pf__dir_count_change(struct pf__inode *dir)
{
	struct pf__ext *ext = pf__rcu_load(dir->ext);

	/* Without one there is no listing, and one that starts now will see the change. */
	if (ext)
		__atomic_add_fetch(&ext->changes, 1, __ATOMIC_ACQ_REL);
}

/* ---- their life, under dirs.lock */

static void free_listing(struct pf__rcu_head *head)
{
	struct pf__listing *l = pf__container_of(head, struct pf__listing, rcu);
	struct block *b, *next;

	for (b = l->first; b; b = next) {
		next = b->next;
		pf__free(b);
	}
	pf__free(l);
}

static void remove_listing(struct pf__cache *c, struct pf__listing *l)
{
	pf__rcu_store(l->ext->listing, NULL);
	pf__list_del(&l->link);
	c->dirs.bytes -= l->bytes;
	c->dirs.count--;
	pf__rcu_defer(&l->rcu, free_listing);
}

static struct pf__listing *add_listing(struct pf__cache *c, struct pf__ext *ext,
				       const struct state *state)
{
	struct pf__listing *l = pf__calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->ext = ext;
	l->id = ++c->dirs.last_id;
	l->state = *state;
	l->bytes = sizeof *l;
	l->last = &l->first;
	c->dirs.bytes += l->bytes;
	c->dirs.count++;
	pf__list_add_head(&c->dirs.used, &l->link);
	pf__rcu_store(ext->listing, l);
	return l;
}

/* Room for l, which has just grown: others go first, it goes itself if it alone is too large. */
static void make_room(struct pf__cache *c, struct pf__listing *l)
{
	struct pf__list *pos, *tmp;

	if (l->bytes > PF_DIRCACHE_MAX / 2) {
		remove_listing(c, l);
		return;
	}
	for (pos = c->dirs.used.prev; pos != &c->dirs.used && c->dirs.bytes > PF_DIRCACHE_MAX;
	     pos = tmp) {
		struct pf__listing *old = pf__list_entry(pos, struct pf__listing, link);

		tmp = pos->prev;
		if (old != l)
			remove_listing(c, old);
	}
}

/* The listing that grows by the reading at; NULL: it has gone, or is complete. */
static struct pf__listing *growing(const struct pf__ext *ext, const struct pf__dircursor *at)
{
	struct pf__listing *l = ext->listing;

	return l && l->id == at->fills && !l->complete ? l : NULL;
}

/* ---- reading */

bool pf__dircache_start(struct pf__cache *cache, struct pf__inode *dir, struct pf__dircursor *at)
{
	struct pf__ext *ext = pf__inode_ext(cache, dir);
	bool complete = false;
	struct pf__listing *l;
	struct state now;

	*at = (struct pf__dircursor){0};
	if (!ext)
		return false;
	pf__mutex_lock(&cache->dirs.lock);
	now = state_of(cache, dir, ext);
	l = ext->listing;
	if (l && !same_state(&l->state, &now)) {
		remove_listing(cache, l);
		l = NULL;
	}
	if (!l) {
		l = add_listing(cache, ext, &now);
	} else {
		pf__list_del(&l->link);
		pf__list_add_head(&cache->dirs.used, &l->link);
	}
	if (l) {
		complete = l->complete;
		at->id = complete ? l->id : 0;
		at->block = complete ? l->first : NULL;
		at->fills = complete ? 0 : l->id;
	}
	pf__mutex_unlock(&cache->dirs.lock);
	return complete;
}

static const struct fuse_dirent *record_at(const struct block *b, size_t pos)
{
	return (const struct fuse_dirent *)(b->bytes + pos);
}

static const char *name_of(const struct fuse_dirent *de)
{
	return (const char *)(de + 1);
}

static size_t record_size(const struct fuse_dirent *de)
{
	return PF_ALIGN_UP(sizeof *de + de->namelen, (size_t)8);
}

/* Go to the record behind the first one whose cookie is off; false: there is none. */
static bool find_place(const struct pf__listing *l, struct pf__dircursor *at, uint64_t off)
{
	const struct block *b = l->first;
	uint64_t before = 0;
	size_t pos = 0;

	while (before != off && b) {
		const struct fuse_dirent *de = record_at(b, pos);

		before = de->off;
		pos += record_size(de);
		if (pos == b->used) {
			b = pf__rcu_load(b->next);
			pos = 0;
		}
	}
	if (before != off)
		return false;
	at->id = l->id;
	at->off = off;
	at->block = b;
	at->pos = pos;
	return true;
}

/* The name has attributes that may be told, if it leads to what the record says. */
static bool attr_of(struct pf__cache *c, struct pf__inode *dir, const struct fuse_dirent *de,
		    struct fuse_attr *out)
{
	struct pf__attr a;

	if (!pf__name_attr_rcu(c, dir, name_of(de), de->namelen, pf__now_coarse(), &a))
		return false;
	if (de->type && de->type != (a.attr.mode & S_IFMT) >> 12)
		return false;
	if (de->ino != a.attr.ino && de->ino != UNKNOWN_INO)
		return false;
	*out = a.attr;
	return true;
}

static int next_rcu(struct pf__cache *c, struct pf__inode *dir, struct pf__dircursor *at,
		    uint64_t off, struct pf__dirlisted *out, char *name)
{
	const struct pf__ext *ext = pf__rcu_load(dir->ext);
	const struct pf__listing *l = ext ? pf__rcu_load(ext->listing) : NULL;
	const struct fuse_dirent *de;
	const struct block *b;

	if (!l || !__atomic_load_n(&l->complete, __ATOMIC_ACQUIRE))
		return -EAGAIN;
	if ((at->id != l->id || at->off != off) && !find_place(l, at, off))
		return -EAGAIN;
	b = at->block;
	if (!b)
		return 0;
	de = record_at(b, at->pos);
	*out = (struct pf__dirlisted){
	    .ino = de->ino, .off = de->off, .type = de->type, .namelen = (uint16_t)de->namelen};
	memcpy(name, name_of(de), de->namelen);
	name[de->namelen] = '\0';
	out->has_attr = attr_of(c, dir, de, &out->attr);
	at->off = de->off;
	at->pos += record_size(de);
	if (at->pos == b->used) {
		at->block = pf__rcu_load(b->next);
		at->pos = 0;
	}
	return 1;
}

int pf__dircache_next(struct pf__cache *cache, struct pf__inode *dir, struct pf__dircursor *at,
		      uint64_t off, struct pf__dirlisted *out, char *name)
{
	int n;

	pf__rcu_read_lock();
	n = next_rcu(cache, dir, at, off, out, name);
	pf__rcu_read_unlock();
	return n;
}

/* ---- filling */

static size_t copy_record(char *to, const struct pf__dir_record *r)
{
	struct fuse_dirent de = {
	    .ino = r->ino, .off = r->off, .namelen = r->namelen, .type = r->type};
	size_t used = sizeof de + r->namelen, size = PF_ALIGN_UP(used, (size_t)8);

	memcpy(to, &de, sizeof de);
	memcpy(to + sizeof de, r->name, r->namelen);
	memset(to + used, 0, size - used);
	return size;
}

/* What a listing cannot hold: a large record, or cookie 0, which would be its start again. */
static bool can_keep(const struct pf__dir_record *r)
{
	return sizeof(struct fuse_dirent) + r->namelen <= PF_DIRCACHE_MAX_RECORD && r->off;
}

/* The records of a reply at off that stand behind the cookie from; NULL: none, or no memory. cut:
 * one could not be kept, and none behind it was. */
static struct block *make_block(uint64_t from, uint64_t off, const struct pf__dialect *d, bool plus,
				void *reply, size_t len, bool *cut)
{
	struct block *b = pf__malloc(sizeof *b + len), *fit;
	struct pf__dir_record r;
	size_t pos = 0;
	int n;

	*cut = !b;
	if (!b)
		return NULL;
	*b = (struct block){.end = from};
	while ((n = pf__dir_next(d, plus, reply, len, &pos, &r)) > 0 && can_keep(&r)) {
		if (b->used || off == from) {
			b->used += copy_record(b->bytes + b->used, &r);
			b->end = r.off;
		}
		off = r.off;
	}
	*cut = n;
	if (!b->used) {
		pf__free(b);
		return NULL;
	}
	fit = pf__realloc(b, sizeof *b + b->used);
	return fit ? fit : b;
}

/* Where the listing goes on, or that it does not. */
static bool where_to_add(struct pf__cache *c, struct pf__ext *ext, const struct pf__dircursor *at,
			 uint64_t *off)
{
	struct pf__listing *l;

	pf__mutex_lock(&c->dirs.lock);
	l = growing(ext, at);
	if (l)
		*off = l->off;
	pf__mutex_unlock(&c->dirs.lock);
	return l;
}

static void append(struct pf__cache *c, struct pf__ext *ext, const struct pf__dircursor *at,
		   uint64_t from, struct block *b)
{
	struct pf__listing *l;

	pf__mutex_lock(&c->dirs.lock);
	l = growing(ext, at);
	if (l && l->off == from) { /* nobody was faster */
		size_t bytes = sizeof *b + b->used;

		l->off = b->end;
		l->bytes += bytes;
		c->dirs.bytes += bytes;
		pf__rcu_store(*l->last, b);
		l->last = &b->next;
		make_room(c, l);
		b = NULL;
	}
	pf__mutex_unlock(&c->dirs.lock);
	pf__free(b);
}

static void end(struct pf__cache *c, struct pf__ext *ext, const struct pf__dircursor *at,
		uint64_t off)
{
	struct pf__listing *l;

	pf__mutex_lock(&c->dirs.lock);
	l = growing(ext, at);
	if (l && l->off == off)
		__atomic_store_n(&l->complete, true, __ATOMIC_RELEASE);
	pf__mutex_unlock(&c->dirs.lock);
}

void pf__dircache_add(struct pf__cache *cache, struct pf__inode *dir, struct pf__dircursor *at,
		      uint64_t off, const struct pf__dialect *d, bool plus, void *reply, size_t len)
{
	struct pf__ext *ext = pf__rcu_load(dir->ext);
	struct block *b;
	uint64_t from;
	bool cut;

	if (!at->fills || !ext)
		return;
	if (!len) {
		end(cache, ext, at, off);
		return;
	}
	if (!where_to_add(cache, ext, at, &from))
		return;
	b = make_block(from, off, d, plus, reply, len, &cut);
	if (b)
		append(cache, ext, at, from, b);
	if (cut)
		at->fills = 0;
}

/* ---- dropping */

void pf__dircache_drop(struct pf__cache *cache, struct pf__inode *dir)
{
	struct pf__ext *ext = pf__rcu_load(dir->ext);

	if (!ext || !pf__rcu_load(ext->listing))
		return;
	pf__mutex_lock(&cache->dirs.lock);
	if (ext->listing)
		remove_listing(cache, ext->listing);
	pf__mutex_unlock(&cache->dirs.lock);
}

void pf__dircache_drop_all(struct pf__cache *cache)
{
	pf__mutex_lock(&cache->dirs.lock);
	while (!pf__list_empty(&cache->dirs.used))
		remove_listing(cache,
			       pf__list_entry(cache->dirs.used.next, struct pf__listing, link));
	pf__mutex_unlock(&cache->dirs.lock);
}
