/* SPDX-License-Identifier: BSD-2-Clause */
/* Extended attributes. Nothing is cached; values go straight between the caller and the server. */
#include "base/arith.h"
#include "base/errmsg.h"
#include "vfs/internal.h"
#include "vfs/perm.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/xattr.h>

#define NAME_MAX_XATTR 255
#define VALUE_MAX      65536u /* of a value and of a list of names */
#define ACL_ACCESS     "system.posix_acl_access"
#define ACL_DEFAULT    "system.posix_acl_default"

/* The file a call is about, however it was named. */
struct subject {
	struct pf__from f;
	struct pf__inode *inode;
	bool referenced;
};

static int by_path(struct subject *s, struct pf_fs *fs, const char *path, bool follow)
{
	int r = pf__from_fs(&s->f, fs);

	s->referenced = true;
	return r ? r : pf__walk(&s->f, path, follow ? PF_WALK_FOLLOW : 0, &s->inode);
}

static int by_file(struct subject *s, struct pf_file *file)
{
	struct pf__open_file *of;
	int r = pf__file_check(file, PF_NEED_HANDLE, &of);

	if (r)
		return r;
	pf__from_open(&s->f, of);
	s->inode = of->inode;
	s->referenced = false;
	return 0;
}

static ssize_t done(struct subject *s, ssize_t r)
{
	if (s->referenced)
		pf__inode_put(s->f.super->cache, s->inode);
	return r;
}

static int check_name(const char *name)
{
	size_t n = strnlen(name, NAME_MAX_XATTR + 1);

	return n == 0 || n > NAME_MAX_XATTR ? -ERANGE : 0;
}

/* Bad inodes fail; ENOSYS of before is remembered. */
static int check_op(const struct subject *s, uint32_t op)
{
	if (pf__inode_is_bad(s->inode))
		return -EIO;
	return pf__conn_nosys(s->f.super->conn, op) ? -EOPNOTSUPP : 0;
}

static int send(const struct subject *s, struct pf__req *r)
{
	pf__request(s->f.super->conn, r);
	if (r->error != -ENOSYS)
		return r->error;
	pf__conn_set_nosys(s->f.super->conn, r->opcode);
	return -EOPNOTSUPP;
}

/* GETXATTR and LISTXATTR: size 0 asks for the size only. name: NULL for the list. */
static ssize_t fetch(const struct subject *s, uint32_t op, const char *name, void *value,
		     size_t size)
{
	struct fuse_getxattr_in in = {.size = (uint32_t)pf__min_u64(size, VALUE_MAX)};
	struct fuse_getxattr_out out;
	struct pf__req r;
	int err;

	pf__req_init(&r, &s->f.caller, op, pf__inode_nodeid(s->inode));
	pf__req_in(&r, &in, sizeof in);
	if (name)
		pf__req_in(&r, name, strlen(name) + 1);
	r.expect_size = in.size;
	if (in.size)
		pf__req_out(&r, value, in.size);
	else
		pf__req_out(&r, &out, sizeof out);
	err = send(s, &r);
	if (err == -ERANGE && in.size == VALUE_MAX)
		return -E2BIG; /* no buffer would do */
	if (err)
		return err;
	return in.size ? (ssize_t)r.out_len : (ssize_t)pf__min_u64(out.size, VALUE_MAX);
}

static ssize_t get(const struct subject *s, const char *name, void *value, size_t size)
{
	ssize_t r = check_name(name);

	if (!r)
		r = check_op(s, FUSE_GETXATTR);
	if (!r)
		r = pf__may_xattr(&s->f, s->inode, name, false);
	return r ? r : fetch(s, FUSE_GETXATTR, name, value, size);
}

static ssize_t list(const struct subject *s, char *value, size_t size)
{
	int r = check_op(s, FUSE_LISTXATTR);

	return r ? r : fetch(s, FUSE_LISTXATTR, NULL, value, size);
}

static bool is_acl(const char *name)
{
	return !strcmp(name, ACL_ACCESS) || !strcmp(name, ACL_DEFAULT);
}

/* An ACL stands for mode bits too; any other attribute changes the ctime alone. */
static void changed(const struct subject *s, const char *name)
{
	bool acl = is_acl(name);

	if (acl)
		pf__inode_drop_acls(s->f.super->cache, s->inode);
	pf__inode_invalidate(s->f.super->cache, s->inode, acl ? PF_ATTR_ALL : PF_ATTR_CTIME);
}

/* Setting an ACL takes the sgid bit from who is not in the file's group. */
static int acl_kills_sgid(const struct subject *s, const char *name, bool *kills)
{
	const struct pf__super *super = s->f.super;
	struct pf__attr attr;
	int r;

	*kills = false;
	if (strcmp(name, ACL_ACCESS) != 0 || !pf__conn_has(super->conn, FUSE_POSIX_ACL) ||
	    !pf__conn_has(super->conn, FUSE_SETXATTR_EXT) || s->f.caller.cap_override)
		return 0;
	r = pf__getattr(&s->f, s->inode, PF_ATTR_OWNER, NULL, &attr);
	if (!r)
		*kills = !pf__caller_in_group(&s->f.caller, attr.attr.gid);
	return r;
}

static int set(const struct subject *s, const char *name, const void *value, size_t size, int flags)
{
	struct fuse_setxattr_in in = {.size = (uint32_t)size, .flags = (uint32_t)flags};
	bool kills = false;
	struct pf__req r;
	int err = check_op(s, FUSE_SETXATTR);

	if (!err)
		err = pf__may_xattr(&s->f, s->inode, name, true);
	if (!err)
		err = acl_kills_sgid(s, name, &kills);
	if (err)
		return err;
	in.setxattr_flags = kills ? FUSE_SETXATTR_ACL_KILL_SGID : 0;
	pf__req_init(&r, &s->f.caller, FUSE_SETXATTR, pf__inode_nodeid(s->inode));
	pf__req_in(&r, &in, sizeof in);
	pf__req_in(&r, name, strlen(name) + 1);
	if (size)
		pf__req_in(&r, value, size);
	err = send(s, &r);
	if (!err)
		changed(s, name);
	return err;
}

static int check_set(const char *name, size_t size, int flags)
{
	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (size > VALUE_MAX)
		return -E2BIG;
	return check_name(name);
}

static int remove_name(const struct subject *s, const char *name)
{
	struct pf__req r;
	int err = check_name(name);

	if (!err)
		err = check_op(s, FUSE_REMOVEXATTR);
	if (!err)
		err = pf__may_xattr(&s->f, s->inode, name, true);
	if (err)
		return err;
	pf__req_init(&r, &s->f.caller, FUSE_REMOVEXATTR, pf__inode_nodeid(s->inode));
	pf__req_in(&r, name, strlen(name) + 1);
	err = send(s, &r);
	if (!err)
		changed(s, name);
	return err;
}

/* ---- the public calls: each by path, by path without following a last link, and by descriptor */

static ssize_t get_by_path(struct pf_fs *fs, const char *path, bool follow, const char *name,
			   void *value, size_t size)
{
	struct subject s;
	ssize_t r = by_path(&s, fs, path, follow);

	if (!r)
		r = done(&s, get(&s, name, value, size));
	return r < 0 ? pf__fail_op((int)r, "getxattr", path) : r;
}

ssize_t pf_getxattr(struct pf_fs *fs, const char *path, const char *name, void *value, size_t size)
{
	return get_by_path(fs, path, true, name, value, size);
}

ssize_t pf_lgetxattr(struct pf_fs *fs, const char *path, const char *name, void *value, size_t size)
{
	return get_by_path(fs, path, false, name, value, size);
}

ssize_t pf_fgetxattr(struct pf_file *file, const char *name, void *value, size_t size)
{
	struct subject s;
	ssize_t r = by_file(&s, file);

	if (!r)
		r = get(&s, name, value, size);
	return r < 0 ? pf__fail_op((int)r, "getxattr", name) : r;
}

static int set_by_path(struct pf_fs *fs, const char *path, bool follow, const char *name,
		       const void *value, size_t size, int flags)
{
	struct subject s;
	int r = check_set(name, size, flags);

	if (!r)
		r = by_path(&s, fs, path, follow);
	if (!r)
		r = (int)done(&s, set(&s, name, value, size, flags));
	return r ? pf__fail_op(r, "setxattr", path) : 0;
}

int pf_setxattr(struct pf_fs *fs, const char *path, const char *name, const void *value,
		size_t size, int flags)
{
	return set_by_path(fs, path, true, name, value, size, flags);
}

int pf_lsetxattr(struct pf_fs *fs, const char *path, const char *name, const void *value,
		 size_t size, int flags)
{
	return set_by_path(fs, path, false, name, value, size, flags);
}

int pf_fsetxattr(struct pf_file *file, const char *name, const void *value, size_t size, int flags)
{
	struct subject s;
	int r = check_set(name, size, flags);

	if (!r)
		r = by_file(&s, file);
	if (!r)
		r = set(&s, name, value, size, flags);
	return r ? pf__fail_op(r, "setxattr", name) : 0;
}

static ssize_t list_by_path(struct pf_fs *fs, const char *path, bool follow, char *value,
			    size_t size)
{
	struct subject s;
	ssize_t r = by_path(&s, fs, path, follow);

	if (!r)
		r = done(&s, list(&s, value, size));
	return r < 0 ? pf__fail_op((int)r, "listxattr", path) : r;
}

ssize_t pf_listxattr(struct pf_fs *fs, const char *path, char *value, size_t size)
{
	return list_by_path(fs, path, true, value, size);
}

ssize_t pf_llistxattr(struct pf_fs *fs, const char *path, char *value, size_t size)
{
	return list_by_path(fs, path, false, value, size);
}

ssize_t pf_flistxattr(struct pf_file *file, char *value, size_t size)
{
	struct subject s;
	ssize_t r = by_file(&s, file);

	if (!r)
		r = list(&s, value, size);
	return r < 0 ? pf__fail_op((int)r, "listxattr", NULL) : r;
}

static int remove_by_path(struct pf_fs *fs, const char *path, bool follow, const char *name)
{
	struct subject s;
	int r = by_path(&s, fs, path, follow);

	if (!r)
		r = (int)done(&s, remove_name(&s, name));
	return r ? pf__fail_op(r, "removexattr", path) : 0;
}

int pf_removexattr(struct pf_fs *fs, const char *path, const char *name)
{
	return remove_by_path(fs, path, true, name);
}

int pf_lremovexattr(struct pf_fs *fs, const char *path, const char *name)
{
	return remove_by_path(fs, path, false, name);
}

int pf_fremovexattr(struct pf_file *file, const char *name)
{
	struct subject s;
	int r = by_file(&s, file);

	if (!r)
		r = remove_name(&s, name);
	return r ? pf__fail_op(r, "removexattr", name) : 0;
}
