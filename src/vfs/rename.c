/* SPDX-License-Identifier: BSD-2-Clause */
/* rename(2) and its flags. The order of checks is Linux's. */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/errmsg.h"
#include "vfs/names.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ALL_FLAGS (RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)

struct renaming {
	const struct pf__from *f;
	struct pf__last from, to;
	struct pf__inode *moved, *target; /* target: NULL when there is none */
	unsigned flags;
};

static int send_rename(const struct pf__from *f, const struct renaming *x)
{
	uint64_t newdir = pf__inode_nodeid(x->to.dir);
	struct fuse_rename_in in = {.newdir = newdir};
	struct fuse_rename2_in in2 = {.newdir = newdir, .flags = x->flags};
	struct pf__conn *conn = f->super->conn;
	struct pf__req r;

	if (x->flags && (f->super->got->dialect.minor < 23 || pf__conn_nosys(conn, FUSE_RENAME2)))
		return -EINVAL;
	pf__req_init(&r, &f->caller, x->flags ? FUSE_RENAME2 : FUSE_RENAME,
		     pf__inode_nodeid(x->from.dir));
	if (x->flags)
		pf__req_in(&r, &in2, sizeof in2);
	else
		pf__req_in(&r, &in, sizeof in);
	pf__req_in(&r, x->from.name, x->from.len + 1);
	pf__req_in(&r, x->to.name, x->to.len + 1);
	pf__request(conn, &r);
	if (x->flags && r.error == -ENOSYS) {
		pf__conn_set_nosys(conn, FUSE_RENAME2);
		return -EINVAL;
	}
	return r.error;
}

static void renamed(const struct pf__from *f, const struct renaming *x)
{
	struct pf__cache *cache = f->super->cache;

	pf__name_moved(cache, x->from.dir, x->from.name, x->from.len, x->to.dir, x->to.name,
		       x->to.len, x->flags & RENAME_EXCHANGE);
	pf__dir_touched(f, x->from.dir);
	if (x->to.dir != x->from.dir)
		pf__dir_touched(f, x->to.dir);
}

static int rename_now(const struct pf__from *f, const struct renaming *x)
{
	int err = pf__gates_enter(f, x->from.dir, x->to.dir);

	if (err)
		return err;
	err = send_rename(f, x);
	if (!err) {
		renamed(f, x);
	} else if (err == -EINTR || err == -ENOENT) {
		/* Done or not: nobody knows. */
		pf__name_doubted(f, x->from.dir, x->from.name, x->from.len);
		pf__name_doubted(f, x->to.dir, x->to.name, x->to.len);
	}
	pf__gates_leave(f, x->from.dir, x->to.dir);
	return err;
}

static bool is_dir(const struct pf__inode *inode)
{
	return inode && pf__inode_type(inode) == S_IFDIR;
}

static int check_kinds(const struct renaming *x)
{
	if (x->from.kind != PF_LAST_NAME)
		return -EBUSY;
	if (x->to.kind != PF_LAST_NAME)
		return x->flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	return pf__read_only(x->f) ? -EROFS : 0;
}

static int find_both(struct renaming *x, unsigned walk)
{
	int err = pf__lookup_ask(x->f, x->from.dir, x->from.name, x->from.len, pf__walk_ask(walk),
				 &x->moved);

	if (err)
		return err;
	err = pf__lookup_ask(x->f, x->to.dir, x->to.name, x->to.len, PF_ASK_POSITIVE, &x->target);
	if (err == -ENOENT)
		return x->flags & RENAME_EXCHANGE ? err : 0;
	if (!err && (x->flags & RENAME_NOREPLACE))
		return -EEXIST;
	return err;
}

/* Slashes stand behind directories only; nothing moves below itself or over what it is below. */
static int check_shape(const struct renaming *x)
{
	struct pf__cache *cache = x->f->super->cache;
	bool exchange = x->flags & RENAME_EXCHANGE;

	if (exchange && x->to.slash && !is_dir(x->target))
		return -ENOTDIR;
	if (!is_dir(x->moved) && (x->from.slash || (!exchange && x->to.slash)))
		return -ENOTDIR;
	if (is_dir(x->moved) && pf__inode_is_below(cache, x->to.dir, x->moved))
		return -EINVAL;
	if (is_dir(x->target) && pf__inode_is_below(cache, x->from.dir, x->target))
		return exchange ? -EINVAL : -ENOTEMPTY;
	return 0;
}

static int check_target(const struct renaming *x)
{
	int err = pf__may_delete(x->f, x->to.dir, x->target);

	if (err || (x->flags & RENAME_EXCHANGE))
		return err;
	if (is_dir(x->moved) != is_dir(x->target))
		return is_dir(x->moved) ? -ENOTDIR : -EISDIR;
	return 0;
}

static int check_permission(const struct renaming *x)
{
	int err = pf__may_delete(x->f, x->from.dir, x->moved);

	if (!err)
		err = x->target ? check_target(x) : pf__may_create(x->f, x->to.dir);
	/* ".." is written in whatever changes its parent. */
	if (!err && x->from.dir != x->to.dir && is_dir(x->moved))
		err = pf__may(x->f, x->moved, PF_MAY_WRITE);
	if (!err && x->from.dir != x->to.dir && (x->flags & RENAME_EXCHANGE) && is_dir(x->target))
		err = pf__may(x->f, x->target, PF_MAY_WRITE);
	return err;
}

static int rename_found(struct renaming *x, unsigned walk)
{
	int err = check_kinds(x);

	if (!err)
		err = find_both(x, walk);
	if (!err)
		err = check_shape(x);
	if (err)
		return err;
	if (x->moved == x->target) /* two names of one file: nothing happens */
		return 0;
	err = check_permission(x);
	return err ? err : rename_now(x->f, x);
}

static int rename_at(const struct pf__from *f, const char *from, const struct pf__from *g,
		     const char *to, unsigned flags, unsigned walk)
{
	PF_AUTO_FREE struct renaming *x = pf__malloc(sizeof *x);
	struct pf__cache *cache = f->super->cache;
	int err;

	if (!x)
		return -ENOMEM;
	x->f = f;
	x->moved = x->target = NULL;
	x->to.dir = NULL;
	x->flags = flags;
	err = pf__walk_parent_flags(f, from, walk, &x->from);
	if (!err)
		err = pf__walk_parent_flags(g, to, walk, &x->to);
	if (!err)
		err = f->super == g->super ? rename_found(x, walk) : -EXDEV;
	pf__inode_put(cache, x->moved);
	pf__inode_put(cache, x->target);
	pf__inode_put(g->super->cache, x->to.dir);
	pf__inode_put(cache, x->from.dir);
	return err;
}

static int rename_both(const struct pf__from *f, const char *from, const struct pf__from *g,
		       const char *to, unsigned flags)
{
	int err;

	if ((flags & ~ALL_FLAGS) ||
	    ((flags & RENAME_EXCHANGE) && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT))))
		return -EINVAL;
	err = rename_at(f, from, g, to, flags, 0);
	return err == -ESTALE ? rename_at(f, from, g, to, flags, PF_WALK_REVAL) : err;
}

int pf_rename2(struct pf_fs *fs, const char *from, const char *to, unsigned flags)
{
	struct pf__from f;
	int err = pf__from_fs(&f, fs);

	if (!err)
		err = rename_both(&f, from, &f, to, flags);
	return err ? pf__fail_op(err, "rename", from) : 0;
}

int pf_rename(struct pf_fs *fs, const char *from, const char *to)
{
	return pf_rename2(fs, from, to, 0);
}

int pf_renameat2(struct pf_file *fromdir, const char *from, struct pf_file *todir, const char *to,
		 unsigned flags)
{
	struct pf__from f, g;
	int err = pf__from_file(&f, fromdir);

	if (!err)
		err = pf__from_file(&g, todir);
	if (!err)
		err = rename_both(&f, from, &g, to, flags);
	return err ? pf__fail_op(err, "rename", from) : 0;
}
