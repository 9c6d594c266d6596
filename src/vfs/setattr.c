/* SPDX-License-Identifier: BSD-2-Clause */
/* SETATTR: chmod, chown, utimens, truncate, and the suid and sgid bits that go with some of them.
 */
#include "base/clock.h"
#include "base/errmsg.h"
#include "vfs/names.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

/* Which attributes a SETATTR changes at the server, of those that may be ours. */
static uint32_t changed_fields(const struct fuse_setattr_in *in)
{
	return (in->valid & FATTR_SIZE ? PF_ATTR_SIZE : 0) |
	       (in->valid & FATTR_MTIME ? PF_ATTR_MTIME : 0) |
	       (in->valid & FATTR_CTIME ? PF_ATTR_CTIME : 0);
}

static int send_setattr(const struct pf__from *f, struct pf__inode *inode,
			struct fuse_setattr_in *in, uint32_t fields)
{
	struct pf__cache *cache = f->super->cache;
	struct pf__sample sample = pf__cache_sample(cache);
	struct fuse_attr_out reply = {0};
	struct pf__req r;
	int err;

	pf__req_init(&r, &f->caller, FUSE_SETATTR, pf__inode_nodeid(inode));
	pf__req_in(&r, in, sizeof *in);
	pf__req_out(&r, &reply, sizeof reply);
	r.expect_mode = pf__inode_type(inode);
	pf__request_until(f->super->conn, &r, pf__io_deadline(f->super->io));
	if (r.error == -EINTR) /* done or not */
		pf__inode_invalidate(cache, inode, PF_ATTR_ALL);
	if (r.error)
		return pf__attr_error(f, inode, &r, sizeof reply);
	pf__inode_drop_acls(cache, inode);
	err = pf__inode_set_attr_changed(cache, inode, &reply.attr,
					 pf__attr_until(reply.attr_valid, reply.attr_valid_nsec),
					 &sample, fields);
	/* Who may pass through a directory has changed: its name is asked for again. */
	if (!err && (in->valid & FATTR_MODE) && pf__inode_type(inode) == S_IFDIR)
		pf__inode_expire_names(cache, inode);
	return err;
}

/*
 * Where the times are ours, a change goes behind the data that was written before it, and takes the
 * times along.
 */
static int setattr_owned(const struct pf__from *f, struct pf__inode *inode,
			 struct fuse_setattr_in *in)
{
	struct pf__io *io = f->super->io;
	uint32_t fields = changed_fields(in), seq;
	int err = 0;

	if (!(in->valid & FATTR_SIZE))
		err = pf__io_flush(io, inode, 0, UINT64_MAX);
	if (err)
		return err;
	if (!(in->valid & FATTR_SIZE))
		pf__io_touch_ctime(io, inode);
	seq = pf__io_times_add(io, inode, in);
	err = send_setattr(f, inode, in, fields);
	if (!err)
		pf__io_times_sent(io, inode, seq);
	return err;
}

int pf__setattr(const struct pf__from *f, struct pf__inode *inode, struct fuse_setattr_in *in)
{
	if (pf__inode_is_bad(inode))
		return -EIO;
	if (pf__inode_owned(inode))
		return setattr_owned(f, inode, in);
	return send_setattr(f, inode, in, changed_fields(in));
}

static bool not_allowed(int err)
{
	return err == -EPERM || err == -EACCES || err == -EROFS || err == -ENOSYS ||
	       err == -ENOENT || err == -ESTALE;
}

int pf__flush_times(const struct pf__from *f, struct pf__inode *inode)
{
	struct pf__io *io = f->super->io;
	struct fuse_setattr_in in = {0};
	uint32_t seq = pf__io_times_add(io, inode, &in);
	struct pf__io_file *writer;
	int err;

	if (!seq || pf__inode_is_bad(inode))
		return 0;
	writer = pf__io_writer_get(io, inode);
	if (writer) {
		in.valid |= FATTR_FH;
		in.fh = writer->fh;
	}
	err = send_setattr(f, inode, &in, 0);
	if (writer)
		pf__io_file_put(writer);
	if (!err || not_allowed(err))
		pf__io_times_sent(io, inode, seq);
	return not_allowed(err) ? 0 : err;
}

/* ---- suid and sgid */

/* The mode without what a change by somebody else takes away. */
static uint32_t stripped(uint32_t mode)
{
	mode &= ~S_ISUID;
	/* Without group execution the bit means mandatory locks, not privilege. */
	if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		mode &= ~S_ISGID;
	return mode;
}

static bool server_kills(const struct pf__from *f)
{
	return pf__conn_has(f->super->conn, FUSE_HANDLE_KILLPRIV | FUSE_HANDLE_KILLPRIV_V2);
}

/* Add the mode without suid and sgid to a change, where the server does not see to it itself. */
static int add_kill(const struct pf__from *f, struct pf__inode *inode, struct fuse_setattr_in *in)
{
	struct pf__attr a;
	int err;

	if (server_kills(f) || pf__inode_type(inode) != S_IFREG)
		return 0;
	pf__inode_attr(inode, 0, 0, &a);
	if (stripped(a.attr.mode) == a.attr.mode)
		return 0;
	/* What is known may be stale. */
	err = pf__getattr(f, inode, PF_ATTR_MODE, NULL, &a);
	if (!err && stripped(a.attr.mode) != a.attr.mode) {
		in->valid |= FATTR_MODE;
		in->mode = stripped(a.attr.mode);
	}
	return err;
}

int pf__kill_priv(const struct pf__from *f, struct pf__inode *inode)
{
	struct fuse_setattr_in in = {0};
	int err;

	if (f->caller.cap_override)
		return 0;
	err = add_kill(f, inode, &in);
	return err || !in.valid ? err : pf__setattr(f, inode, &in);
}

/* ---- truncation */

/* The writers' gate is passed. WRITEs under way must not make the file longer again. */
static int truncate_alone(const struct pf__from *f, struct pf__inode *inode,
			  struct fuse_setattr_in *in)
{
	struct pf__super *s = f->super;
	struct pf__attr before, after;
	int err = pf__io_hold(s->io, inode);

	if (err)
		return err;
	pf__inode_attr(inode, 0, 0, &before);
	pf__inode_size_begin(s->cache, inode);
	if (before.attr.size != in->size)
		pf__io_touch_mtime(s->io, inode);
	err = pf__setattr(f, inode, in);
	if (!err) {
		pf__inode_attr(inode, 0, 0, &after);
		pf__io_truncated(s->io, inode, before.attr.size, after.attr.size);
	}
	pf__inode_size_end(s->cache, inode);
	pf__io_release(s->io, inode);
	return err;
}

int pf__truncate(const struct pf__from *f, struct pf__inode *inode, struct pf__open_file *file,
		 off_t length)
{
	struct fuse_setattr_in in = {.valid = FATTR_SIZE | FATTR_LOCKOWNER,
				     .size = (uint64_t)length,
				     .lock_owner = pf__caller_lock_owner(&f->caller)};
	int err;

	if (pf__inode_is_bad(inode))
		return -EIO;
	if (file && !file->no_release) {
		in.valid |= FATTR_FH;
		in.fh = file->io.fh;
	}
	if (!f->caller.cap_override) {
		if (pf__conn_has(f->super->conn, FUSE_HANDLE_KILLPRIV_V2))
			in.valid |= FATTR_KILL_SUIDGID;
		err = add_kill(f, inode, &in);
		if (err)
			return err;
	}
	err = pf__io_gate_enter(f->super->io, inode);
	if (err)
		return err;
	err = truncate_alone(f, inode, &in);
	pf__io_gate_leave(f->super->io, inode);
	return err;
}

static int truncate_inode(const struct pf__from *f, struct pf__inode *inode, off_t length)
{
	int err;

	if (pf__inode_type(inode) == S_IFDIR)
		return -EISDIR;
	if (pf__inode_type(inode) != S_IFREG)
		return -EINVAL;
	err = pf__may(f, inode, PF_MAY_WRITE);
	return err ? err : pf__truncate(f, inode, NULL, length);
}

int pf_ftruncate(struct pf_file *file, off_t length)
{
	struct pf__open_file *of;
	struct pf__from f;
	int err = length < 0 ? -EINVAL : pf__file_check(file, PF_NEED_HANDLE, &of);

	/* Not open for writing, or no regular file: both are EINVAL here. */
	if (!err && (pf__inode_type(of->inode) != S_IFREG ||
		     (atomic_load(&of->flags) & O_ACCMODE) == O_RDONLY))
		err = -EINVAL;
	if (!err) {
		pf__from_open(&f, of);
		err = pf__truncate(&f, of->inode, of, length);
	}
	return err ? pf__fail_op(err, "ftruncate", NULL) : 0;
}

/* ---- chmod, chown, utimens */

static int change_mode(const struct pf__from *f, struct pf__inode *inode, mode_t mode)
{
	struct fuse_setattr_in in = {.valid = FATTR_MODE,
				     .mode = pf__inode_type(inode) | (mode & 07777)};
	int err;

	if (pf__read_only(f))
		return -EROFS;
	if (pf__inode_type(inode) == S_IFLNK)
		return -EOPNOTSUPP;
	err = pf__may_setattr(f, inode, &in);
	return err ? err : pf__setattr(f, inode, &in);
}

static int change_owner(const struct pf__from *f, struct pf__inode *inode, uid_t uid, gid_t gid)
{
	struct fuse_setattr_in in = {0};
	int err;

	if (uid != (uid_t)-1) {
		in.valid |= FATTR_UID;
		in.uid = uid;
	}
	if (gid != (gid_t)-1) {
		in.valid |= FATTR_GID;
		in.gid = gid;
	}
	err = pf__may_setattr(f, inode, &in);
	if (err || !in.valid)
		return err;
	if (pf__inode_type(inode) != S_IFDIR &&
	    pf__conn_has(f->super->conn, FUSE_HANDLE_KILLPRIV_V2))
		in.valid |= FATTR_KILL_SUIDGID;
	err = add_kill(f, inode, &in);
	return err ? err : pf__setattr(f, inode, &in);
}

static struct timespec rounded(struct timespec t, uint32_t gran)
{
	if (gran >= PF_NSEC_PER_SEC)
		t.tv_nsec = 0;
	else if (gran > 1)
		t.tv_nsec -= t.tv_nsec % gran;
	return t;
}

static bool both_omitted(const struct timespec t[2])
{
	return t && t[0].tv_nsec == UTIME_OMIT && t[1].tv_nsec == UTIME_OMIT;
}

static bool is_time(const struct timespec *t)
{
	return t->tv_nsec == UTIME_NOW || t->tv_nsec == UTIME_OMIT ||
	       (t->tv_nsec >= 0 && t->tv_nsec < (long)PF_NSEC_PER_SEC);
}

/* The bits for one of the two times; *out is what the server gets. */
static uint32_t time_bits(const struct timespec *t, uint32_t gran, uint32_t set, uint32_t now,
			  struct timespec *out)
{
	*out = (struct timespec){0};
	if (t && t->tv_nsec == UTIME_OMIT)
		return 0;
	if (t && t->tv_nsec != UTIME_NOW) {
		*out = rounded(*t, gran);
		return set;
	}
	*out = pf__wall_clock(gran);
	return set | now;
}

static int change_times(const struct pf__from *f, struct pf__inode *inode,
			const struct timespec times[2])
{
	uint32_t gran = f->super->got->time_gran;
	struct fuse_setattr_in in = {0};
	struct timespec a, m;
	int err;

	in.valid = time_bits(times ? &times[0] : NULL, gran, FATTR_ATIME, FATTR_ATIME_NOW, &a) |
		   time_bits(times ? &times[1] : NULL, gran, FATTR_MTIME, FATTR_MTIME_NOW, &m);
	in.atime = (uint64_t)a.tv_sec;
	in.atimensec = (uint32_t)a.tv_nsec;
	in.mtime = (uint64_t)m.tv_sec;
	in.mtimensec = (uint32_t)m.tv_nsec;
	err = pf__may_setattr(f, inode, &in);
	return err ? err : pf__setattr(f, inode, &in);
}

/* ---- the public forms: one change, named by path or by file */

struct change {
	const char *op;
	int (*apply)(const struct pf__from *f, struct pf__inode *inode, const struct change *c);
	mode_t mode;
	uid_t uid;
	gid_t gid;
	off_t length;
	const struct timespec *times;
};

static int apply_mode(const struct pf__from *f, struct pf__inode *inode, const struct change *c)
{
	return change_mode(f, inode, c->mode);
}

static int apply_owner(const struct pf__from *f, struct pf__inode *inode, const struct change *c)
{
	return change_owner(f, inode, c->uid, c->gid);
}

static int apply_times(const struct pf__from *f, struct pf__inode *inode, const struct change *c)
{
	return change_times(f, inode, c->times);
}

static int apply_length(const struct pf__from *f, struct pf__inode *inode, const struct change *c)
{
	return truncate_inode(f, inode, c->length);
}

static int at_path(const struct pf__from *f, const char *path, int flags, const struct change *c)
{
	unsigned walk = (flags & AT_SYMLINK_NOFOLLOW ? 0 : PF_WALK_FOLLOW) |
			(flags & AT_EMPTY_PATH ? PF_WALK_EMPTY : 0);
	struct pf__inode *inode;
	int err;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	for (int again = 0;; again++) {
		err = pf__walk(f, path, walk, &inode);
		if (!err) {
			err = c->apply(f, inode, c);
			pf__inode_put(f->super->cache, inode);
		}
		if (err != -ESTALE || again)
			return err;
		walk |= PF_WALK_REVAL;
	}
}

static int by_fs(struct pf_fs *fs, const char *path, int flags, const struct change *c)
{
	struct pf__from f;
	int err = pf__from_fs(&f, fs);

	if (!err)
		err = at_path(&f, path, flags, c);
	return err ? pf__fail_op(err, c->op, path) : 0;
}

static int by_dir(struct pf_file *dir, const char *path, int flags, const struct change *c)
{
	struct pf__from f;
	int err = pf__from_file(&f, dir);

	if (!err)
		err = at_path(&f, path, flags, c);
	return err ? pf__fail_op(err, c->op, path) : 0;
}

static int by_file(struct pf_file *file, const struct change *c)
{
	struct pf__open_file *of;
	struct pf__from f;
	int err = pf__file_check(file, PF_NEED_HANDLE, &of);

	if (!err) {
		pf__from_open(&f, of);
		err = pf__caller_allowed(f.super, &f.caller);
	}
	if (!err)
		err = c->apply(&f, of->inode, c);
	return err ? pf__fail_op(err, c->op, NULL) : 0;
}

int pf_truncate(struct pf_fs *fs, const char *path, off_t length)
{
	struct change c = {.op = "truncate", .apply = apply_length, .length = length};

	return length < 0 ? pf__fail_op(-EINVAL, c.op, path) : by_fs(fs, path, 0, &c);
}

int pf_chmod(struct pf_fs *fs, const char *path, mode_t mode)
{
	struct change c = {.op = "chmod", .apply = apply_mode, .mode = mode};

	return by_fs(fs, path, 0, &c);
}

int pf_fchmodat(struct pf_file *dir, const char *path, mode_t mode, int flags)
{
	struct change c = {.op = "chmod", .apply = apply_mode, .mode = mode};

	return by_dir(dir, path, flags, &c);
}

int pf_fchmod(struct pf_file *file, mode_t mode)
{
	struct change c = {.op = "fchmod", .apply = apply_mode, .mode = mode};

	return by_file(file, &c);
}

int pf_chown(struct pf_fs *fs, const char *path, uid_t uid, gid_t gid)
{
	struct change c = {.op = "chown", .apply = apply_owner, .uid = uid, .gid = gid};

	return by_fs(fs, path, 0, &c);
}

int pf_lchown(struct pf_fs *fs, const char *path, uid_t uid, gid_t gid)
{
	struct change c = {.op = "lchown", .apply = apply_owner, .uid = uid, .gid = gid};

	return by_fs(fs, path, AT_SYMLINK_NOFOLLOW, &c);
}

int pf_fchownat(struct pf_file *dir, const char *path, uid_t uid, gid_t gid, int flags)
{
	struct change c = {.op = "chown", .apply = apply_owner, .uid = uid, .gid = gid};

	return by_dir(dir, path, flags, &c);
}

int pf_fchown(struct pf_file *file, uid_t uid, gid_t gid)
{
	struct change c = {.op = "fchown", .apply = apply_owner, .uid = uid, .gid = gid};

	return by_file(file, &c);
}

/* 1: nothing to do, the path is not even looked at. */
static int check_times(const struct timespec times[2])
{
	if (both_omitted(times))
		return 1;
	return times && !(is_time(&times[0]) && is_time(&times[1])) ? -EINVAL : 0;
}

int pf_utimens(struct pf_fs *fs, const char *path, const struct timespec times[2], int flags)
{
	struct change c = {.op = "utimens", .apply = apply_times, .times = times};
	int r = check_times(times);

	if (r)
		return r < 0 ? pf__fail_op(r, c.op, path) : 0;
	return by_fs(fs, path, flags, &c);
}

int pf_utimensat(struct pf_file *dir, const char *path, const struct timespec times[2], int flags)
{
	struct change c = {.op = "utimens", .apply = apply_times, .times = times};
	int r = check_times(times);

	if (r)
		return r < 0 ? pf__fail_op(r, c.op, path) : 0;
	return by_dir(dir, path, flags, &c);
}

int pf_futimens(struct pf_file *file, const struct timespec times[2])
{
	struct change c = {.op = "futimens", .apply = apply_times, .times = times};
	int r = check_times(times);

	if (r)
		return r < 0 ? pf__fail_op(r, c.op, NULL) : 0;
	return by_file(file, &c);
}
