/* SPDX-License-Identifier: BSD-2-Clause */
#include "vfs/create.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "vfs/names.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* ---- what all create types share */

static mode_t masked(const struct pf__from *f, mode_t mode, mode_t umask)
{
	return pf__conn_has(f->super->conn, FUSE_DONT_MASK) ? mode : mode & ~umask;
}

/* The group of a directory whose files inherit it, if the server could not tell from uid and gid
 * that the caller is in it. */
static bool supp_group(const struct pf__from *f, struct pf__inode *dir, uint32_t *gid)
{
	struct pf__attr a;

	if (!pf__conn_has(f->super->conn, FUSE_CREATE_SUPP_GROUP))
		return false;
	pf__inode_attr(dir, 0, 0, &a);
	*gid = a.attr.gid;
	return *gid != f->caller.cred.gid && pf__caller_in_group(&f->caller, *gid);
}

/* Append the extensions; *buf is to be freed after the request. */
static int add_extensions(const struct pf__from *f, struct pf__inode *dir, struct pf__req *r,
			  void **buf)
{
	const struct pf_caller *who = f->caller.who;
	bool secctx = pf__conn_has(f->super->conn, FUSE_SECURITY_CTX);
	const char *name = who->security_context ? who->security_context_name : NULL;
	uint32_t gid = 0;
	bool groups = supp_group(f, dir, &gid);
	size_t size;

	if (!secctx && !groups)
		return 0;
	size = pf__ext_size(name, who->security_context_size, groups);
	*buf = pf__malloc(size);
	if (!*buf)
		return -ENOMEM;
	size = pf__ext_encode(*buf, secctx, name, who->security_context, who->security_context_size,
			      groups, gid);
	if (size > UINT16_MAX)
		return -E2BIG;
	pf__req_in(r, *buf, size);
	r->extlen = (uint16_t)size;
	return 0;
}

/* Send it; what its failure says of the name. */
static int send_create(const struct pf__from *f, struct pf__inode *dir, const char *name,
		       size_t len, struct pf__req *r, const struct fuse_entry_out *e)
{
	PF_AUTO_FREE void *ext = NULL;
	int err = add_extensions(f, dir, r, &ext);

	if (err)
		return err;
	pf__request(f->super->conn, r);
	if (r->forget)
		pf__conn_forget(f->super->conn, e->nodeid, 1);
	if (r->error == -EEXIST || r->error == -EINTR) /* what was known is wrong, or may be */
		pf__name_doubted(f, dir, name, len);
	return r->error;
}

static int enter(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len,
		 const struct fuse_entry_out *e, const struct pf__sample *sample,
		 struct pf__inode **inode)
{
	int err = pf__name_enter(f->super->cache, dir, name, len, e, sample, NULL, inode);

	pf__dir_touched(f, dir);
	return err;
}

int pf__create_node(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len,
		    const struct pf__node *node, struct pf__inode **inode)
{
	struct pf__sample sample = pf__cache_sample_create(f->super->cache);
	mode_t umask = pf__caller_umask(&f->caller), mode = masked(f, node->mode, umask);
	struct fuse_mknod_in mknod = {
	    .mode = mode, .rdev = pf__encode_dev(node->rdev), .umask = umask};
	struct pf__turn turn = {.kind = PF_TURN_MAKE, .dir = dir, .name = name, .len = len};
	struct fuse_mkdir_in mkdir = {.mode = mode & ~(mode_t)S_IFMT, .umask = umask};
	struct fuse_entry_out e = {0};
	struct pf__req r;
	int err;

	pf__req_init(&r, &f->caller, node->opcode, pf__inode_nodeid(dir));
	if (node->opcode == FUSE_MKNOD)
		pf__req_in(&r, &mknod, sizeof mknod);
	else if (node->opcode == FUSE_MKDIR)
		pf__req_in(&r, &mkdir, sizeof mkdir);
	pf__req_in(&r, name, len + 1);
	if (node->opcode == FUSE_SYMLINK)
		pf__req_in(&r, node->target, strlen(node->target) + 1);
	pf__req_out(&r, &e, sizeof e);
	r.expect_mode = node->mode & S_IFMT;
	err = pf__turn_enter(f, &turn);
	if (err < 0)
		return err;
	err = send_create(f, dir, name, len, &r, &e);
	if (!err)
		err = enter(f, dir, name, len, &e, &sample, inode);
	pf__turn_leave(f, &turn);
	return err;
}

/* ---- those that open */

static bool kills_suidgid(const struct pf__from *f, int flags)
{
	return (flags & O_TRUNC) && !f->caller.cap_override &&
	       pf__conn_has(f->super->conn, FUSE_HANDLE_KILLPRIV_V2);
}

/* The file is of no use to us: close it at the server. */
static void release(const struct pf__from *f, uint64_t nodeid, uint64_t fh, uint32_t flags)
{
	struct fuse_release_in in = {.fh = fh, .flags = flags};
	struct pf__req r;

	pf__req_init(&r, &f->caller, FUSE_RELEASE, nodeid);
	r.marks = PF_REQ_FORCE | PF_REQ_NOCREDS;
	pf__req_in(&r, &in, sizeof in);
	pf__request(f->super->conn, &r);
}

/* CREATE or TMPFILE of name in dir. */
static int create_open(const struct pf__from *f, uint32_t opcode, struct pf__inode *dir,
		       const char *name, size_t len, int flags, mode_t mode,
		       struct fuse_open_out *open, struct pf__inode **inode)
{
	struct pf__sample sample = pf__cache_sample_create(f->super->cache);
	mode_t umask = pf__caller_umask(&f->caller);
	struct fuse_create_in in = {
	    .flags = pf__wire_flags(flags) | (flags & (O_CREAT | O_EXCL)),
	    .mode = S_IFREG | masked(f, mode & 07777, umask),
	    .umask = umask,
	    .open_flags = kills_suidgid(f, flags) ? FUSE_OPEN_KILL_SUIDGID : 0,
	};
	uint32_t wire = in.flags; /* in may be re-shaped for an old server */
	struct fuse_create_out out = {0};
	struct pf__req r;
	int err;

	pf__req_init(&r, &f->caller, opcode, pf__inode_nodeid(dir));
	pf__req_in(&r, &in, sizeof in);
	pf__req_in(&r, name, len + 1);
	pf__req_out(&r, &out, sizeof out);
	r.expect_mode = S_IFREG;
	err = send_create(f, dir, name, len, &r, &out.entry);
	if (!err && opcode == FUSE_CREATE)
		err = enter(f, dir, name, len, &out.entry, &sample, inode);
	else if (!err)
		err = pf__inode_enter(f->super->cache, &out.entry, &sample, inode);
	else if (!r.forget)
		return err;
	if (err)
		release(f, out.entry.nodeid, out.open.fh, wire);
	*open = out.open;
	return err;
}

/* Whoever had the turn before may have made it. */
static bool is_made(const struct pf__from *f, const struct pf__last *last)
{
	struct pf__inode *inode = NULL;
	bool made = pf__name_find(f->super->cache, last->dir, last->name, last->len, &inode) ==
		    PF_NAME_POSITIVE;

	pf__inode_put(f->super->cache, inode);
	return made;
}

static int create_in_turn(const struct pf__from *f, const struct pf__last *last, int flags,
			  mode_t mode, struct fuse_open_out *open, struct pf__inode **inode)
{
	struct pf__turn turn = {
	    .kind = PF_TURN_MAKE, .dir = last->dir, .name = last->name, .len = last->len};
	int err = pf__turn_enter(f, &turn);

	if (err < 0)
		return err;
	if (err && is_made(f, last))
		err = flags & O_EXCL ? -EEXIST : 1;
	else
		err = create_open(f, FUSE_CREATE, last->dir, last->name, last->len, flags, mode,
				  open, inode);
	pf__turn_leave(f, &turn);
	return err;
}

/* For servers without CREATE. */
static int create_by_mknod(const struct pf__from *f, struct pf__last *last, mode_t mode,
			   struct pf__inode **inode)
{
	struct pf__node node = {.opcode = FUSE_MKNOD, .mode = S_IFREG | (mode & 07777)};

	return pf__create_node(f, last->dir, last->name, last->len, &node, inode);
}

int pf__create(const struct pf__from *f, struct pf__last *last, int flags, mode_t mode,
	       struct fuse_open_out *open, bool *opened, struct pf__inode **inode)
{
	struct pf__conn *conn = f->super->conn;
	int err = pf__may_create(f, last->dir);

	*opened = false;
	*inode = NULL;
	if (err)
		return err;
	if (pf__conn_nosys(conn, FUSE_CREATE))
		return create_by_mknod(f, last, mode, inode);
	err = create_in_turn(f, last, flags, mode, open, inode);
	if (err == -ENOSYS) {
		pf__conn_set_nosys(conn, FUSE_CREATE);
		return create_by_mknod(f, last, mode, inode);
	}
	*opened = !err;
	return err;
}

int pf__tmpfile(const struct pf__from *f, struct pf__inode *dir, int flags, mode_t mode,
		struct fuse_open_out *open, struct pf__inode **inode)
{
	static const char name[] = "tmpfile"; /* means nothing */
	struct pf__conn *conn = f->super->conn;
	int err = pf__may_create(f, dir);

	*inode = NULL;
	if (err)
		return err;
	if (pf__conn_nosys(conn, FUSE_TMPFILE))
		return -EOPNOTSUPP;
	err = create_open(f, FUSE_TMPFILE, dir, name, sizeof name - 1, flags, mode, open, inode);
	if (err != -ENOSYS)
		return err;
	pf__conn_set_nosys(conn, FUSE_TMPFILE);
	return -EOPNOTSUPP;
}
