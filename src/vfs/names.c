/* SPDX-License-Identifier: BSD-2-Clause */
/* Names that come and go: mkdir, mknod, symlink, unlink, rmdir. The order of checks is Linux's. */
#include "vfs/names.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/errmsg.h"
#include "cache/dircache.h"
#include "vfs/create.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

void pf__dir_touched(const struct pf__from *f, struct pf__inode *dir)
{
	pf__dir_count_change(dir);
	pf__inode_bump(f->super->cache, dir, PF_ATTR_ALL);
}

void pf__name_doubted(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len)
{
	pf__name_drop(f->super->cache, dir, name, len);
	pf__dir_count_change(dir);
}

/* ---- making */

/* Is the name free? Asked afresh: what is cached may be what another client left. */
static int check_free(const struct pf__from *f, const struct pf__last *last, bool dir)
{
	struct pf__inode *there;
	int err;

	if (pf__read_only(
		f)) { /* then nothing is asked: what is not known to be there may not be */
		enum pf__name_state s =
		    pf__name_find(f->super->cache, last->dir, last->name, last->len, &there);

		pf__inode_put(f->super->cache, there);
		return s == PF_NAME_POSITIVE ? -EEXIST : -EROFS;
	}
	err = pf__lookup_ask(f, last->dir, last->name, last->len, PF_ASK_POSITIVE, &there);

	pf__inode_put(f->super->cache, there);
	if (!err)
		return -EEXIST;
	if (err != -ENOENT)
		return err;
	return last->slash && !dir ? -ENOENT : 0;
}

int pf__place_new(const struct pf__from *f, const char *path, unsigned walk, bool dir,
		  struct pf__last *last)
{
	int err = pf__walk_parent_flags(f, path, walk, last);

	if (err)
		return err;
	err = last->kind == PF_LAST_NAME ? check_free(f, last, dir) : -EEXIST;
	if (!err)
		err = pf__may_create(f, last->dir);
	if (err)
		pf__last_put(f, last);
	return err;
}

static int make_node(const struct pf__from *f, const char *path, unsigned walk,
		     const struct pf__node *node)
{
	PF_AUTO_FREE struct pf__last *last = pf__malloc(sizeof *last);
	int err;

	if (!last)
		return -ENOMEM;
	err = pf__place_new(f, path, walk, S_ISDIR(node->mode), last);
	if (err)
		return err;
	err = pf__create_node(f, last->dir, last->name, last->len, node, NULL);
	pf__last_put(f, last);
	return err;
}

/* fs or dir. */
static int make(struct pf_fs *fs, struct pf_file *dir, const char *path, const char *op,
		const struct pf__node *node)
{
	struct pf__from f;
	int err = fs ? pf__from_fs(&f, fs) : pf__from_file(&f, dir);

	if (!err)
		err = make_node(&f, path, 0, node);
	if (err == -ESTALE)
		err = make_node(&f, path, PF_WALK_REVAL, node);
	return err ? pf__fail_op(err, op, path) : 0;
}

static struct pf__node directory(mode_t mode)
{
	return (struct pf__node){.opcode = FUSE_MKDIR, .mode = S_IFDIR | (mode & 01777)};
}

int pf_mkdir(struct pf_fs *fs, const char *path, mode_t mode)
{
	struct pf__node node = directory(mode);

	return make(fs, NULL, path, "mkdir", &node);
}

int pf_mkdirat(struct pf_file *dir, const char *path, mode_t mode)
{
	struct pf__node node = directory(mode);

	return make(NULL, dir, path, "mkdir", &node);
}

static int special(mode_t mode, dev_t dev, struct pf__node *node)
{
	mode_t type = mode & S_IFMT ? mode & S_IFMT : S_IFREG;

	*node = (struct pf__node){.opcode = FUSE_MKNOD, .mode = type | (mode & 07777)};
	switch (type) {
	case S_IFCHR:
	case S_IFBLK:
		node->rdev = dev;
		return 0;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
}

int pf_mknod(struct pf_fs *fs, const char *path, mode_t mode, dev_t dev)
{
	struct pf__node node;
	int err = special(mode, dev, &node);

	return err ? pf__fail_op(err, "mknod", path) : make(fs, NULL, path, "mknod", &node);
}

int pf_mknodat(struct pf_file *dir, const char *path, mode_t mode, dev_t dev)
{
	struct pf__node node;
	int err = special(mode, dev, &node);

	return err ? pf__fail_op(err, "mknod", path) : make(NULL, dir, path, "mknod", &node);
}

static int symlink_node(const char *target, struct pf__node *node)
{
	size_t len = strnlen(target, 4096);

	*node = (struct pf__node){.opcode = FUSE_SYMLINK, .mode = S_IFLNK | 0777, .target = target};
	return !len ? -ENOENT : len == 4096 ? -ENAMETOOLONG : 0;
}

int pf_symlink(struct pf_fs *fs, const char *target, const char *path)
{
	struct pf__node node;
	int err = symlink_node(target, &node);

	return err ? pf__fail_op(err, "symlink", path) : make(fs, NULL, path, "symlink", &node);
}

int pf_symlinkat(const char *target, struct pf_file *dir, const char *path)
{
	struct pf__node node;
	int err = symlink_node(target, &node);

	return err ? pf__fail_op(err, "symlink", path) : make(NULL, dir, path, "symlink", &node);
}

/* ---- removing */

static int send_remove(const struct pf__from *f, const struct pf__last *last, bool is_dir)
{
	struct pf__cache *cache = f->super->cache;
	struct pf__req r;
	int err = pf__gate_enter(f, last->dir);

	if (err)
		return err;
	pf__req_init(&r, &f->caller, is_dir ? FUSE_RMDIR : FUSE_UNLINK,
		     pf__inode_nodeid(last->dir));
	pf__req_in(&r, last->name, last->len + 1);
	pf__request(f->super->conn, &r);
	if (!r.error) {
		pf__name_removed(cache, last->dir, last->name, last->len, is_dir);
		pf__dir_touched(f, last->dir);
	} else if (r.error == -EINTR || r.error == -ENOENT) {
		/* Gone or not: nobody knows. */
		pf__name_doubted(f, last->dir, last->name, last->len);
	}
	pf__gate_leave(f, last->dir);
	return r.error;
}

static int check_victim(const struct pf__from *f, const struct pf__last *last,
			struct pf__inode *victim, bool is_dir)
{
	bool victim_is_dir = pf__inode_type(victim) == S_IFDIR;
	int err;

	if (last->slash && !is_dir)
		return victim_is_dir ? -EISDIR : -ENOTDIR;
	err = pf__may_delete(f, last->dir, victim);
	if (err)
		return err;
	if (is_dir && victim == pf__cache_root(f->super->cache))
		return -EBUSY;
	if (is_dir != victim_is_dir)
		return is_dir ? -ENOTDIR : -EISDIR;
	return 0;
}

static int remove_last(const struct pf__from *f, const struct pf__last *last, unsigned walk,
		       bool is_dir)
{
	struct pf__inode *victim;
	int err;

	if (pf__read_only(f))
		return -EROFS;
	err = pf__lookup_ask(f, last->dir, last->name, last->len, pf__walk_ask(walk), &victim);
	if (err)
		return err;
	err = check_victim(f, last, victim, is_dir);
	if (!err)
		err = send_remove(f, last, is_dir);
	pf__inode_put(f->super->cache, victim);
	return err;
}

/* What cannot be removed, by its name alone. */
static int check_kind(const struct pf__last *last, bool is_dir)
{
	switch (last->kind) {
	case PF_LAST_NAME:
		return 0;
	case PF_LAST_DOT:
		return is_dir ? -EINVAL : -EISDIR;
	case PF_LAST_DOTDOT:
		return is_dir ? -ENOTEMPTY : -EISDIR;
	default:
		return is_dir ? -EBUSY : -EISDIR;
	}
}

static int remove_at(const struct pf__from *f, const char *path, unsigned walk, bool is_dir)
{
	PF_AUTO_FREE struct pf__last *last = pf__malloc(sizeof *last);
	int err = last ? pf__walk_parent_flags(f, path, walk, last) : -ENOMEM;

	if (err)
		return err;
	err = check_kind(last, is_dir);
	if (!err)
		err = remove_last(f, last, walk, is_dir);
	pf__last_put(f, last);
	return err;
}

static int remove_name(struct pf_fs *fs, struct pf_file *dir, const char *path, bool is_dir)
{
	struct pf__from f;
	int err = fs ? pf__from_fs(&f, fs) : pf__from_file(&f, dir);

	if (!err)
		err = remove_at(&f, path, 0, is_dir);
	if (err == -ESTALE)
		err = remove_at(&f, path, PF_WALK_REVAL, is_dir);
	return err ? pf__fail_op(err, is_dir ? "rmdir" : "unlink", path) : 0;
}

int pf_unlink(struct pf_fs *fs, const char *path)
{
	return remove_name(fs, NULL, path, false);
}

int pf_rmdir(struct pf_fs *fs, const char *path)
{
	return remove_name(fs, NULL, path, true);
}

int pf_unlinkat(struct pf_file *dir, const char *path, int flags)
{
	if (flags & ~AT_REMOVEDIR)
		return pf__fail_op(-EINVAL, "unlink", path);
	return remove_name(NULL, dir, path, flags & AT_REMOVEDIR);
}
