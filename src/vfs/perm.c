/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may do what. With default_permissions mode, owner, groups and ACLs are judged here, as the
 * kernel does; without it the server judges each request, and access(2) is a request of its own.
 */
#include "vfs/perm.h"
#include "base/clock.h"
#include "vfs/names.h"
#include <errno.h>
#include <string.h>

#define NEED (PF_ATTR_MODE | PF_ATTR_OWNER)

bool pf__read_only(const struct pf__from *f)
{
	return f->super->mount.read_only;
}

static bool is_owner(const struct pf__from *f, const struct fuse_attr *a)
{
	return f->caller.cred.uid == a->uid;
}

/* Owner, or somebody who need not be. */
static bool owns(const struct pf__from *f, const struct fuse_attr *a)
{
	return f->caller.cap_override || is_owner(f, a);
}

static bool grants(uint32_t mode, unsigned shift, unsigned mask)
{
	return !(mask & ~(mode >> shift));
}

/* What uid 0 may: everything, but execute only what somebody may execute. */
static bool overrides(const struct pf__from *f, const struct fuse_attr *a, unsigned mask)
{
	if (!f->caller.cap_override)
		return false;
	return !(mask & PF_MAY_EXEC) || S_ISDIR(a->mode) || (a->mode & 0111);
}

/* 0, -EACCES; -EAGAIN: the ACL must be asked for, which inode says by NULL that nobody may. */
static int judge(const struct pf__from *f, const struct fuse_attr *a, unsigned mask,
		 struct pf__inode *inode, bool acl)
{
	bool ok;

	if (overrides(f, a, mask))
		return 0;
	if (is_owner(f, a)) {
		ok = grants(a->mode, 6, mask);
	} else {
		if (acl && (a->mode & 070)) {
			int err = inode ? pf__acl_check(f, inode, a, mask) : -EAGAIN;

			if (err != -ENODATA)
				return err;
		}
		ok = grants(a->mode, pf__caller_in_group(&f->caller, a->gid) ? 3 : 0, mask);
	}
	return ok ? 0 : -EACCES;
}

static bool has_acls(const struct pf__from *f)
{
	return pf__conn_has(f->super->conn, FUSE_POSIX_ACL);
}

static bool is_read_only(const struct pf__from *f, const struct pf__inode *inode, unsigned mask)
{
	uint32_t type = pf__inode_type(inode);

	return (mask & PF_MAY_WRITE) && pf__read_only(f) &&
	       (type == S_IFREG || type == S_IFDIR || type == S_IFLNK);
}

int pf__may(const struct pf__from *f, struct pf__inode *inode, unsigned mask)
{
	struct pf__attr a;
	bool asked = false;
	int err;

	if (is_read_only(f, inode, mask))
		return -EROFS;
	if (!f->super->default_permissions || !mask)
		return 0;
	if (!pf__inode_attr(inode, NEED, pf__now_coarse(), &a)) {
		asked = true;
		err = pf__getattr(f, inode, NEED, NULL, &a);
		if (err)
			return err;
	}
	err = judge(f, &a.attr, mask, inode, has_acls(f));
	if (err != -EACCES || asked)
		return err;
	/* What has been granted meanwhile is noticed at once; what was revoked, after its time. */
	err = pf__getattr_ask(f, inode, NULL, &a);
	return err ? err : judge(f, &a.attr, mask, inode, has_acls(f));
}

int pf__may_rcu(const struct pf__from *f, const struct pf__inode *inode, unsigned mask,
		uint64_t now)
{
	struct pf__attr a;

	if (!f->super->default_permissions)
		return 0;
	if (!pf__inode_attr(inode, NEED, now, &a))
		return -EAGAIN;
	return judge(f, &a.attr, mask, NULL, has_acls(f) && !pf__acl_known_none(inode)) ? -EAGAIN
											: 0;
}

int pf__may_create(const struct pf__from *f, struct pf__inode *dir)
{
	return pf__may(f, dir, PF_MAY_WRITE | PF_MAY_EXEC);
}

int pf__may_delete(const struct pf__from *f, struct pf__inode *dir, struct pf__inode *victim)
{
	int err = pf__may(f, dir, PF_MAY_WRITE | PF_MAY_EXEC);
	struct pf__attr d, v;

	if (err || !f->super->default_permissions)
		return err;
	pf__inode_attr(dir, 0, 0, &d);
	if (!(d.attr.mode & S_ISVTX) || owns(f, &d.attr))
		return 0;
	pf__inode_attr(victim, 0, 0, &v);
	return owns(f, &v.attr) ? 0 : -EPERM;
}

static int may_chown(const struct pf__from *f, const struct fuse_attr *a,
		     const struct fuse_setattr_in *in)
{
	if (f->caller.cap_override)
		return 0;
	if ((in->valid & FATTR_UID) && !(is_owner(f, a) && in->uid == a->uid))
		return -EPERM;
	if ((in->valid & FATTR_GID) &&
	    !(is_owner(f, a) && (in->gid == a->gid || pf__caller_in_group(&f->caller, in->gid))))
		return -EPERM;
	return 0;
}

static bool is_explicit_time(const struct fuse_setattr_in *in)
{
	const uint32_t now = FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME | FATTR_MTIME_NOW;

	return (in->valid & (FATTR_ATIME | FATTR_MTIME)) && (in->valid & now) != now;
}

int pf__may_setattr(const struct pf__from *f, struct pf__inode *inode, struct fuse_setattr_in *in)
{
	struct pf__attr a;
	gid_t gid;
	int err;

	if (pf__read_only(f))
		return -EROFS;
	if (!f->super->default_permissions)
		return 0;
	err = pf__getattr(f, inode, NEED, NULL, &a);
	if (!err)
		err = may_chown(f, &a.attr, in);
	if (err)
		return err;
	if (((in->valid & FATTR_MODE) || is_explicit_time(in)) && !owns(f, &a.attr) &&
	    !(in->valid & (FATTR_UID | FATTR_GID)))
		return -EPERM;
	gid = in->valid & FATTR_GID ? in->gid : a.attr.gid;
	if ((in->valid & FATTR_MODE) && !f->caller.cap_override &&
	    !pf__caller_in_group(&f->caller, gid))
		in->mode &= ~S_ISGID;
	/* utimes(NULL): who may write may say "now". */
	if ((in->valid & FATTR_ATIME_NOW) && !is_explicit_time(in) && !owns(f, &a.attr))
		return pf__may(f, inode, PF_MAY_WRITE);
	return 0;
}

int pf__access(const struct pf__from *f, struct pf__inode *inode, unsigned mask)
{
	struct fuse_access_in in = {.mask = mask};
	struct pf__req r;

	if (pf__inode_is_bad(inode))
		return -EIO;
	if (is_read_only(f, inode, mask))
		return -EROFS;
	if (f->super->default_permissions)
		return pf__may(f, inode, mask);
	if (pf__conn_nosys(f->super->conn, FUSE_ACCESS))
		return 0;
	pf__req_init(&r, &f->caller, FUSE_ACCESS, pf__inode_nodeid(inode));
	pf__req_in(&r, &in, sizeof in);
	pf__request(f->super->conn, &r);
	if (r.error != -ENOSYS)
		return r.error;
	pf__conn_set_nosys(f->super->conn, FUSE_ACCESS);
	return 0;
}

static bool starts(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

/* user.*: on files and directories only, and a sticky directory's for its owner. */
static int may_user_xattr(const struct pf__from *f, struct pf__inode *inode, bool write)
{
	uint32_t type = pf__inode_type(inode);
	struct pf__attr a;

	if (type != S_IFREG && type != S_IFDIR)
		return write ? -EPERM : -ENODATA;
	if (type == S_IFDIR && write && f->super->default_permissions) {
		int err = pf__getattr(f, inode, NEED, NULL, &a);

		if (err)
			return err;
		if ((a.attr.mode & S_ISVTX) && !owns(f, &a.attr))
			return -EPERM;
	}
	return 0;
}

static int may_change_acl(const struct pf__from *f, struct pf__inode *inode)
{
	struct pf__attr a;
	int err;

	if (!f->super->default_permissions || !has_acls(f))
		return 0;
	err = pf__getattr(f, inode, NEED, NULL, &a);
	if (err)
		return err;
	return owns(f, &a.attr) ? 0 : -EPERM;
}

int pf__may_xattr(const struct pf__from *f, struct pf__inode *inode, const char *name, bool write)
{
	int err = 0;

	if (write && pf__read_only(f))
		return -EROFS;
	if (starts(name, "system.posix_acl_"))
		return write ? may_change_acl(f, inode) : 0;
	if (starts(name, "security.") || starts(name, "system."))
		return 0;
	if (starts(name, "trusted.") && f->super->default_permissions && !f->caller.cap_override)
		return write ? -EPERM : -ENODATA;
	if (starts(name, "user."))
		err = may_user_xattr(f, inode, write);
	return err ? err : pf__may(f, inode, write ? PF_MAY_WRITE : PF_MAY_READ);
}
