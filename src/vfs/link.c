/* SPDX-License-Identifier: BSD-2-Clause */
/* Hard links, and where symbolic ones lead. */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/errmsg.h"
#include "vfs/names.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define TARGET_MAX 4095

/* ---- link */

/*
 * LINK may answer with another nodeid: some servers have one for each name. Its lookup goes back
 * and the name is asked for when it is used.
 */
static int linked(const struct pf__from *f, struct pf__inode *inode, const struct pf__last *to,
		  const struct fuse_entry_out *e, const struct pf__sample *sample)
{
	struct pf__cache *cache = f->super->cache;
	int err = 0;

	if (e->nodeid == pf__inode_nodeid(inode)) {
		err = pf__name_enter(cache, to->dir, to->name, to->len, e, sample, NULL, NULL);
		pf__io_touch_ctime(f->super->io, inode); /* where the times are ours */
	} else {
		pf__conn_forget(f->super->conn, e->nodeid, 1);
		pf__name_drop(cache, to->dir, to->name, to->len);
		pf__inode_bump(cache, inode, PF_ATTR_NLINK | PF_ATTR_CTIME);
	}
	pf__dir_touched(f, to->dir);
	return err;
}

static int send_link(const struct pf__from *f, struct pf__inode *inode, const struct pf__last *to)
{
	struct pf__cache *cache = f->super->cache;
	struct pf__sample sample = pf__cache_sample_create(cache);
	struct fuse_link_in in = {.oldnodeid = pf__inode_nodeid(inode)};
	struct pf__conn *conn = f->super->conn;
	struct fuse_entry_out e = {0};
	struct pf__req r;

	pf__req_init(&r, &f->caller, FUSE_LINK, pf__inode_nodeid(to->dir));
	pf__req_in(&r, &in, sizeof in);
	pf__req_in(&r, to->name, to->len + 1);
	pf__req_out(&r, &e, sizeof e);
	r.expect_mode = pf__inode_type(inode);
	pf__request(conn, &r);
	if (r.forget)
		pf__conn_forget(conn, e.nodeid, 1);
	if (!r.error)
		return linked(f, inode, to, &e, &sample);
	if (r.error == -EINTR)
		pf__inode_invalidate(cache, inode, PF_ATTR_ALL);
	if (r.error == -EEXIST || r.error == -EINTR)
		pf__name_doubted(f, to->dir, to->name, to->len);
	return r.error;
}

static int link_in_turn(const struct pf__from *f, struct pf__inode *inode,
			const struct pf__last *to)
{
	struct pf__turn turn = {
	    .kind = PF_TURN_MAKE, .dir = to->dir, .name = to->name, .len = to->len};
	struct pf__conn *conn = f->super->conn;
	int err = pf__conn_nosys(conn, FUSE_LINK) ? -EPERM : pf__turn_enter(f, &turn);

	if (err < 0)
		return err;
	err = send_link(f, inode, to);
	pf__turn_leave(f, &turn);
	if (err != -ENOSYS)
		return err;
	pf__conn_set_nosys(conn, FUSE_LINK);
	return -EPERM;
}

static int link_inode(const struct pf__from *f, struct pf__inode *inode, const struct pf__from *g,
		      const char *to, unsigned walk)
{
	PF_AUTO_FREE struct pf__last *last = pf__malloc(sizeof *last);
	int err = last ? pf__place_new(g, to, walk, false, last) : -ENOMEM;

	if (err)
		return err;
	if (f->super != g->super)
		err = -EXDEV;
	else if (pf__inode_type(inode) == S_IFDIR)
		err = -EPERM;
	else if (pf__inode_is_bad(inode))
		err = -EIO;
	else
		err = link_in_turn(f, inode, last);
	pf__last_put(g, last);
	return err;
}

static int link_at(const struct pf__from *f, const char *from, const struct pf__from *g,
		   const char *to, int flags, unsigned reval)
{
	unsigned walk = (flags & AT_SYMLINK_FOLLOW ? PF_WALK_FOLLOW : 0) |
			(flags & AT_EMPTY_PATH ? PF_WALK_EMPTY : 0) | reval;
	struct pf__inode *inode;
	int err;

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	err = pf__walk(f, from, walk, &inode);
	if (err)
		return err;
	err = link_inode(f, inode, g, to, reval);
	pf__inode_put(f->super->cache, inode);
	return err;
}

static int link_retry(const struct pf__from *f, const char *from, const struct pf__from *g,
		      const char *to, int flags)
{
	int err = link_at(f, from, g, to, flags, 0);

	return err == -ESTALE ? link_at(f, from, g, to, flags, PF_WALK_REVAL) : err;
}

int pf_link(struct pf_fs *fs, const char *from, const char *to)
{
	struct pf__from f;
	int err = pf__from_fs(&f, fs);

	if (!err)
		err = link_retry(&f, from, &f, to, 0);
	return err ? pf__fail_op(err, "link", to) : 0;
}

int pf_linkat(struct pf_file *fromdir, const char *from, struct pf_file *todir, const char *to,
	      int flags)
{
	struct pf__from f, g;
	int err = pf__from_file(&f, fromdir);

	if (!err)
		err = pf__from_file(&g, todir);
	if (!err)
		err = link_retry(&f, from, &g, to, flags);
	return err ? pf__fail_op(err, "link", to) : 0;
}

/* ---- readlink */

static ssize_t ask_target(const struct pf__from *f, struct pf__inode *link, char *buf)
{
	struct pf__cache *cache = f->super->cache;
	struct pf__req r;

	pf__req_init(&r, &f->caller, FUSE_READLINK, pf__inode_nodeid(link));
	pf__req_out(&r, buf, TARGET_MAX);
	r.expect_size = TARGET_MAX;
	pf__request(f->super->conn, &r);
	if (r.error)
		return r.error;
	buf[r.out_len] = '\0';
	if (memchr(buf, '\0', r.out_len)) /* the rest would be lost in silence */
		return -EIO;
	if (!pf__read_only(f))
		pf__inode_invalidate(cache, link, PF_ATTR_ATIME);
	if (pf__conn_has(f->super->conn, FUSE_CACHE_SYMLINKS) && r.out_len)
		pf__inode_set_symlink(cache, link, buf, r.out_len); /* else asked for again */
	return (ssize_t)r.out_len;
}

ssize_t pf__readlink(const struct pf__from *f, struct pf__inode *link, char *buf)
{
	const char *target;
	ssize_t n = -1;

	if (pf__inode_is_bad(link))
		return -EIO;
	pf__rcu_read_lock();
	target = pf__inode_symlink_rcu(link);
	if (target) {
		n = (ssize_t)strlen(target);
		memcpy(buf, target, n + 1);
	}
	pf__rcu_read_unlock();
	return n >= 0 ? n : ask_target(f, link, buf);
}

static ssize_t readlink_at(const struct pf__from *f, const char *path, unsigned walk, char *buf,
			   size_t size)
{
	PF_AUTO_FREE char *target = NULL;
	struct pf__inode *inode;
	ssize_t n;

	if (!size || size > SSIZE_MAX)
		return -EINVAL;
	n = pf__walk_retry(f, path, walk, &inode);
	if (n)
		return n;
	target = pf__malloc(TARGET_MAX + 1);
	if (pf__inode_type(inode) != S_IFLNK)
		n = *path ? -EINVAL : -ENOENT;
	else
		n = target ? pf__readlink(f, inode, target) : -ENOMEM;
	pf__inode_put(f->super->cache, inode);
	if (n < 0)
		return n;
	if ((size_t)n > size)
		n = (ssize_t)size;
	memcpy(buf, target, n);
	return n;
}

ssize_t pf_readlink(struct pf_fs *fs, const char *path, char *buf, size_t size)
{
	struct pf__from f;
	ssize_t n = pf__from_fs(&f, fs);

	if (!n)
		n = readlink_at(&f, path, 0, buf, size);
	return n < 0 ? pf__fail_op((int)n, "readlink", path) : n;
}

ssize_t pf_readlinkat(struct pf_file *dir, const char *path, char *buf, size_t size)
{
	struct pf__from f;
	ssize_t n = pf__from_file(&f, dir);

	if (!n) /* "" names the symlink that was opened itself */
		n = readlink_at(&f, path, PF_WALK_EMPTY, buf, size);
	return n < 0 ? pf__fail_op((int)n, "readlink", path) : n;
}
