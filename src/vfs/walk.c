/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths. A walk begins in one RCU section, without locks or references, and stays there as long as
 * the cache knows everything; at the first component that needs the server (or is a symlink) it
 * takes a reference to the directory where it stands and goes on step by step.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "vfs/names.h"
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define PATH_SIZE 4096
#define MAX_LINKS 40u

int pf__from_fs(struct pf__from *f, struct pf_fs *fs)
{
	f->super = fs->super;
	f->dir = NULL;
	pf__caller_of(fs, &f->caller);
	return pf__caller_allowed(f->super, &f->caller);
}

int pf__from_file(struct pf__from *f, struct pf_file *dir)
{
	if (!dir)
		return -EBADF;
	pf__from_open(f, dir->of);
	return pf__caller_allowed(f->super, &f->caller);
}

/* ---- components */

/* What stands next in a path. */
struct comp {
	const char *name;
	size_t len;
	bool last, slash; /* nothing but slashes follows; at least one does */
};

static const char *skip_slashes(const char *p)
{
	while (*p == '/')
		p++;
	return p;
}

/* p stands on the first byte of a component; returns where the next one begins. */
static const char *next_comp(const char *p, struct comp *c)
{
	const char *end = strchrnul(p, '/');
	const char *next = skip_slashes(end);

	*c = (struct comp){p, end - p, !*next, *end == '/' && !*next};
	return next;
}

static bool is_dot(const struct comp *c)
{
	return c->len == 1 && c->name[0] == '.';
}

static bool is_dotdot(const struct comp *c)
{
	return c->len == 2 && c->name[0] == '.' && c->name[1] == '.';
}

/* ---- without references */

/* Search permission, as far as it can be told without knowing the caller: who asks the system for
 * its own ids pays for it. 0, or -EAGAIN. */
static int may_search_anybody(const struct pf__super *s, const struct pf__inode *dir, uint64_t now)
{
	uint32_t mode;

	if (!s->default_permissions)
		return 0;
	if (!pf__inode_mode(dir, now, &mode) || (mode & 0111) != 0111)
		return -EAGAIN;
	return !pf__conn_has(s->conn, FUSE_POSIX_ACL) || pf__acl_known_none(dir) ? 0 : -EAGAIN;
}

struct fast {
	struct pf__super *s;
	struct pf_fs *fs;            /* whose caller is asked for when it is needed, or */
	const struct pf__from *from; /* who walks */
	struct pf__inode *cur;
	const char *p; /* what is left */
	unsigned flags;
	uint64_t now;
};

static int fast_may_search(const struct fast *w)
{
	struct pf__from f;

	if (!may_search_anybody(w->s, w->cur, w->now))
		return 0;
	if (w->from)
		return pf__may_rcu(w->from, w->cur, PF_MAY_EXEC, w->now);
	f = (struct pf__from){.super = w->s};
	pf__caller_of(w->fs, &f.caller);
	return pf__may_rcu(&f, w->cur, PF_MAY_EXEC, w->now);
}

/* One component. 0 done, -EAGAIN the slow way must do it. */
static int fast_step(struct fast *w, const struct comp *c)
{
	struct pf__inode *next = NULL;

	if (pf__inode_type(w->cur) != S_IFDIR || fast_may_search(w))
		return -EAGAIN;
	if (c->name[0] == '.' && (is_dot(c) || is_dotdot(c))) {
		if (c->len == 2 && w->cur != pf__cache_root(w->s->cache))
			next = pf__inode_parent_rcu(w->cur);
		else
			next = w->cur;
		w->cur = next ? next : w->cur;
		return next ? 0 : -EAGAIN;
	}
	switch (pf__name_find_rcu(w->s->cache, w->cur, c->name, c->len, w->now, &next)) {
	case PF_NAME_NEGATIVE:
		return -ENOENT;
	case PF_NAME_POSITIVE:
		break;
	default:
		return -EAGAIN;
	}
	if (pf__inode_type(next) == S_IFLNK &&
	    (!c->last || c->slash || (w->flags & PF_WALK_FOLLOW)))
		return -EAGAIN;
	if ((!c->last || c->slash || (w->flags & PF_WALK_DIRECTORY)) &&
	    pf__inode_type(next) != S_IFDIR)
		return -ENOTDIR;
	w->cur = next;
	return 0;
}

/* In an RCU section. 0: all the way; -EAGAIN: w stands before a component that takes the slow way.
 */
static int fast_walk(struct fast *w)
{
	struct comp c;

	if (w->flags & PF_WALK_REVAL)
		return -EAGAIN;
	while (*w->p) {
		const char *next = next_comp(w->p, &c);
		int err = fast_step(w, &c);

		if (err)
			return err;
		w->p = next;
	}
	return 0;
}

/* ---- checks of the whole path */

/* Where it begins; *p is moved to the first component. */
static int begin(struct pf__super *s, struct pf__inode *dir, const char **p, unsigned flags,
		 struct pf__inode **start)
{
	const char *path = *p;

	if (!path)
		return -EFAULT;
	if (strnlen(path, PATH_SIZE) == PATH_SIZE)
		return -ENAMETOOLONG;
	if (!*path && !(flags & PF_WALK_EMPTY))
		return -ENOENT;
	*start = *path == '/' || !dir ? pf__cache_root(s->cache) : dir;
	*p = skip_slashes(path);
	return 0;
}

/* Without asking the system who we are: the process that holds the file system may use it. */
static bool may_use(const struct pf_fs *fs)
{
	struct pf__caller c;

	if (fs->self)
		return !atomic_load_explicit(&fs->super->stopped, memory_order_relaxed);
	pf__caller_of(fs, &c);
	return !pf__caller_allowed(fs->super, &c);
}

int pf__walk_attr(struct pf_fs *fs, const char *path, unsigned flags, uint32_t need,
		  struct pf__attr *out)
{
	struct fast w = {.s = fs->super, .fs = fs, .p = path, .flags = flags};
	int err;

	if (!may_use(fs))
		return 0;
	err = begin(w.s, NULL, &w.p, flags, &w.cur);
	if (err)
		return err;
	w.now = pf__now_coarse();
	pf__rcu_read_lock();
	err = fast_walk(&w);
	if (!err) {
		if (pf__inode_is_bad(w.cur))
			err = -EIO;
		else
			err = pf__inode_attr(w.cur, need, w.now, out);
	}
	pf__rcu_read_unlock();
	return err == -EAGAIN ? 0 : err;
}

/* ---- with references */

struct slow {
	const struct pf__from *f;
	struct pf__inode *cur; /* referenced */
	const char *p;
	unsigned flags, links;
	bool parent_only; /* stop before the last component */
	bool slash;       /* a slash ended the path, or that of a link at its end */
	struct comp last; /* where parent_only stopped; len 0: there was none */
	unsigned depth;
	struct {
		char *target;
		const char *rest; /* of the path above; NULL: the link stood at its end */
	} stack[MAX_LINKS];
};

static void move_to(struct slow *w, struct pf__inode *inode)
{
	pf__inode_put(w->f->super->cache, w->cur);
	w->cur = inode;
}

/* Go on along the link's target; takes over the reference to link. */
static int follow(struct slow *w, struct pf__inode *link, const char *rest)
{
	struct pf__cache *cache = w->f->super->cache;
	char *target;
	ssize_t n = -ELOOP;

	if (w->f->caller.no_links || w->links++ >= MAX_LINKS) {
		pf__inode_put(cache, link);
		return w->f->caller.no_links ? -PF_ELINK : -ELOOP;
	}
	target = pf__malloc(PATH_SIZE);
	n = target ? pf__readlink(w->f, link, target) : -ENOMEM;
	pf__inode_put(cache, link);
	if (n <= 0) {
		pf__free(target);
		return n ? (int)n : -ENOENT;
	}
	w->stack[w->depth].target = target;
	w->stack[w->depth].rest = rest;
	w->depth++;
	if (target[0] == '/')
		move_to(w, pf__inode_get(pf__cache_root(cache)));
	w->p = skip_slashes(target);
	return 0;
}

/* Nothing is left of the innermost target: back to the path around it. False: all is done. */
static bool pop(struct slow *w)
{
	if (!w->depth)
		return false;
	w->depth--;
	/* The target's memory stays until the end of the walk when last points into it. */
	pf__free(w->stack[w->depth].target);
	w->p = w->stack[w->depth].rest;
	return true;
}

/* Does anything follow this component, here or around? */
static bool is_last(const struct slow *w, const struct comp *c)
{
	if (!c->last)
		return false;
	for (unsigned i = 0; i < w->depth; i++)
		if (*w->stack[i].rest)
			return false;
	return true;
}

static int step(struct slow *w, const struct comp *c, bool last, const char *rest)
{
	struct pf__inode *next = NULL;
	bool must_be_dir = !last || w->slash;
	int err;

	if (is_dot(c))
		return 0;
	if (is_dotdot(c))
		err = pf__lookup_parent(w->f, w->cur, &next);
	else
		err = pf__lookup_ask(w->f, w->cur, c->name, c->len, pf__walk_ask(w->flags), &next);
	if (err)
		return err;
	if (pf__inode_type(next) == S_IFLNK && (must_be_dir || (w->flags & PF_WALK_FOLLOW)))
		return follow(w, next, rest);
	if (must_be_dir && pf__inode_type(next) != S_IFDIR) {
		pf__inode_put(w->f->super->cache, next);
		return -ENOTDIR;
	}
	move_to(w, next);
	w->p = rest;
	return 0;
}

/* One component of what is left. 1: stopped before the last one. */
static int slow_comp(struct slow *w)
{
	struct comp c;
	const char *rest = next_comp(w->p, &c);
	bool last = is_last(w, &c);
	int err;

	if (pf__inode_type(w->cur) != S_IFDIR)
		return -ENOTDIR;
	err = pf__may(w->f, w->cur, PF_MAY_EXEC);
	if (err)
		return err;
	w->slash |= last && c.slash;
	if (last && w->parent_only) {
		w->last = c;
		return 1;
	}
	err = step(w, &c, last, rest);
	if (!err && is_dot(&c))
		w->p = rest;
	return err;
}

static int slow_walk(struct slow *w)
{
	int err = 0;

	while (!err) {
		if (*w->p)
			err = slow_comp(w);
		else if (!pop(w))
			break;
	}
	return err < 0 ? err : 0;
}

static void slow_free(struct slow *w)
{
	while (w->depth)
		pf__free(w->stack[--w->depth].target);
	pf__inode_put(w->f->super->cache, w->cur);
}

/* As far as it goes without references. For parents nothing is tried: their calls cost a request.
 */
static int fast_begin(struct slow *w, struct pf__inode *start)
{
	struct fast fast = {.s = w->f->super,
			    .from = w->f,
			    .cur = start,
			    .p = w->p,
			    .flags = w->flags,
			    .now = pf__now_coarse()};
	int err;

	pf__rcu_read_lock();
	err = fast_walk(&fast);
	if (err == -EAGAIN)
		err = 0;
	if (!err && pf__inode_tryget(fast.cur)) {
		w->cur = fast.cur;
		w->p = fast.p;
	} else if (!err) { /* it went that moment: from the start */
		w->cur = pf__inode_get(start);
	}
	pf__rcu_read_unlock();
	return err;
}

int pf__walk(const struct pf__from *f, const char *path, unsigned flags, struct pf__inode **inode)
{
	struct slow w = {.f = f, .p = path, .flags = flags};
	struct pf__inode *start;
	int err = begin(f->super, f->dir, &w.p, flags, &start);

	*inode = NULL;
	if (!err)
		err = fast_begin(&w, start);
	if (err)
		return err;
	err = slow_walk(&w);
	if (!err && (flags & PF_WALK_DIRECTORY) && pf__inode_type(w.cur) != S_IFDIR)
		err = -ENOTDIR;
	if (!err) {
		*inode = w.cur;
		w.cur = NULL;
	}
	slow_free(&w);
	return err;
}

int pf__walk_retry(const struct pf__from *f, const char *path, unsigned flags,
		   struct pf__inode **inode)
{
	int err = pf__walk(f, path, flags, inode);

	return err == -ESTALE ? pf__walk(f, path, flags | PF_WALK_REVAL, inode) : err;
}

/* ---- parents */

static void take_last(const struct slow *w, struct pf__last *last)
{
	const struct comp *c = &w->last;

	last->kind = !c->len        ? PF_LAST_ROOT
		     : is_dot(c)    ? PF_LAST_DOT
		     : is_dotdot(c) ? PF_LAST_DOTDOT
				    : PF_LAST_NAME;
	last->slash = w->slash;
	last->len = c->len;
	if (c->len) /* the root's name is NULL */
		memcpy(last->name, c->name, c->len);
	last->name[c->len] = '\0';
}

static int walk_parent(const struct pf__from *f, struct pf__inode *dir, const char *path,
		       unsigned flags, unsigned *links, struct pf__last *last)
{
	struct slow w = {.f = f, .p = path, .flags = flags, .links = *links, .parent_only = true};
	struct pf__inode *start;
	int err = begin(f->super, dir, &w.p, 0, &start);

	last->dir = NULL;
	if (err)
		return err;
	w.cur = pf__inode_get(start);
	err = slow_walk(&w);
	*links = w.links;
	if (!err && w.last.len > f->super->got->dialect.name_max)
		err = -ENAMETOOLONG;
	if (!err && pf__inode_is_bad(w.cur))
		err = -EIO;
	if (!err) {
		take_last(&w, last);
		last->dir = w.cur;
		w.cur = NULL;
	}
	slow_free(&w);
	return err;
}

int pf__walk_parent_flags(const struct pf__from *f, const char *path, unsigned flags,
			  struct pf__last *last)
{
	unsigned links = 0;

	return walk_parent(f, f->dir, path, flags, &links, last);
}

int pf__walk_parent(const struct pf__from *f, const char *path, struct pf__last *last)
{
	return pf__walk_parent_flags(f, path, 0, last);
}

int pf__walk_parent_from(const struct pf__from *f, struct pf__inode *dir, const char *path,
			 unsigned *depth, struct pf__last *last)
{
	return walk_parent(f, dir, path, 0, depth, last);
}

void pf__last_put(const struct pf__from *f, struct pf__last *last)
{
	pf__inode_put(f->super->cache, last->dir);
	last->dir = NULL;
}
