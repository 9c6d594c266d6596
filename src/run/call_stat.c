/* SPDX-License-Identifier: BSD-2-Clause */
/* Handlers that look: stat, statx, access, readlink, statfs. */
#include "run/internal.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FUSE_MAGIC 0x65735546

/* ---- stat ------------------------------------------------------------------------------------ */

/* What a program has written to a file and the server does not know yet. */
static void overlay(struct job *j, const struct place *p, bool follow, struct stat *st)
{
	struct pf__inode *inode;
	struct pf__from f;
	struct object *o;

	if (!S_ISREG(st->st_mode) || !hold_any_written(j->r) || pf__from_fs(&f, &j->view) ||
	    pf__walk(&f, place_inside(p), follow ? PF_WALK_FOLLOW : 0, &inode))
		return;
	o = object_by_inode(j->r, inode);
	pf__inode_put(f.super->cache, inode);
	if (o)
		hold_overlay(o, st);
	object_put(o);
}

static void overlay_object(struct job *j, struct object *o, struct stat *st)
{
	struct object *held;

	if (!o->through) {
		hold_overlay(o, st);
		return;
	}
	held = object_by_inode(j->r, o->inode);
	if (held)
		hold_overlay(held, st);
	object_put(held);
}

/* All of it, of which what mask names has to be fresh. */
static int stat_partly(struct object *o, struct pf_file *file, int flags, unsigned mask,
		       struct stat *st)
{
	struct statx x;
	int err = pf_statxat(file, "", AT_EMPTY_PATH | flags, mask, &x);

	if (err)
		return err;
	memset(st, 0, sizeof *st);
	st->st_dev = o->m->fs->super->dev;
	st->st_ino = x.stx_ino;
	st->st_mode = x.stx_mode;
	st->st_nlink = x.stx_nlink;
	st->st_uid = x.stx_uid;
	st->st_gid = x.stx_gid;
	st->st_size = (off_t)x.stx_size;
	st->st_blocks = (blkcnt_t)x.stx_blocks;
	st->st_blksize = (blksize_t)x.stx_blksize;
	st->st_rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor);
	st->st_atim = (struct timespec){x.stx_atime.tv_sec, x.stx_atime.tv_nsec};
	st->st_mtim = (struct timespec){x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec};
	st->st_ctim = (struct timespec){x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec};
	return 0;
}

int object_stat(struct job *j, struct object *o, struct stat *st)
{
	struct pf_file *file;
	bool unread = hold_unread(o);
	int err = pf__file_as(&j->view, o->handle, &file);

	if (err)
		return err;
	/* That we read it makes the atime doubtful, but no program has: it needs no request. */
	if (unread)
		err = stat_partly(o, file, 0, STATX_BASIC_STATS & ~STATX_ATIME, st);
	else
		err = pf_fstat(file, st);
	/* Removed, and the server knows nothing of it any more: what was known last. */
	if ((err == -ENOENT || err == -ESTALE) && o->gone) {
		err = stat_partly(o, file, AT_STATX_DONT_SYNC, STATX_BASIC_STATS, st);
		st->st_nlink = 0;
	}
	pf_close(file);
	if (!err)
		overlay_object(j, o, st);
	if (!err && unread)
		shared_show_held(j, o);
	return err;
}

static int stat_place(struct job *j, struct place *p, bool follow, struct stat *st)
{
	int err;

	if (p->o)
		return object_stat(j, p->o, st);
	err = follow ? pf_stat(&j->view, place_inside(p), st)
		     : pf_lstat(&j->view, place_inside(p), st);
	if (!err)
		overlay(j, p, follow, st);
	return err;
}

static struct statx_timestamp stamp(struct timespec t)
{
	return (struct statx_timestamp){.tv_sec = t.tv_sec, .tv_nsec = (uint32_t)t.tv_nsec};
}

static void apply_stat(const struct stat *st, struct statx *x)
{
	x->stx_mask |= STATX_BASIC_STATS;
	x->stx_blksize = (uint32_t)st->st_blksize;
	x->stx_nlink = (uint32_t)st->st_nlink;
	x->stx_uid = st->st_uid;
	x->stx_gid = st->st_gid;
	x->stx_mode = (uint16_t)st->st_mode;
	x->stx_ino = st->st_ino;
	x->stx_size = (uint64_t)st->st_size;
	x->stx_blocks = (uint64_t)st->st_blocks;
	x->stx_atime = stamp(st->st_atim);
	x->stx_mtime = stamp(st->st_mtim);
	x->stx_ctime = stamp(st->st_ctim);
	x->stx_rdev_major = major(st->st_rdev);
	x->stx_rdev_minor = minor(st->st_rdev);
	x->stx_dev_major = major(st->st_dev);
	x->stx_dev_minor = minor(st->st_dev);
}

static int statx_place(struct job *j, struct place *p, int flags, unsigned mask, struct statx *x)
{
	bool follow = !(flags & AT_SYMLINK_NOFOLLOW);
	struct pf_file *file;
	struct stat st;
	int err;

	if (p->o) {
		err = pf__file_as(&j->view, p->o->handle, &file);
		if (err)
			return err;
		if (mask & STATX_ATIME && hold_unread(p->o)) /* the type expires as all do */
			mask = (mask & ~(unsigned)STATX_ATIME) | STATX_TYPE;
		err = pf_statxat(file, "", flags | AT_EMPTY_PATH, mask, x);
		pf_close(file);
		if (err || !(p->o->through ? hold_any_written(j->r) : p->o->written))
			return err;
	} else {
		err = pf_statx(&j->view, place_inside(p), flags & ~AT_EMPTY_PATH, mask, x);
		if (err || !hold_any_written(j->r))
			return err;
	}
	err = stat_place(j, p, follow, &st);
	if (!err)
		apply_stat(&st, x);
	return err;
}

int64_t on_stat(struct job *j, struct place *p, const struct spec *s)
{
	const uint64_t *a = j->call->args;
	struct statx x;
	struct stat st;
	int err;

	if (s->nr == __NR_statx) {
		memset(&x, 0, sizeof x);
		err = statx_place(j, p, (int)a[2], (unsigned)a[3], &x);
		if (!err && p->m && !strcmp(place_inside(p), "/"))
			x.stx_attributes |= STATX_ATTR_MOUNT_ROOT;
		x.stx_attributes_mask |= STATX_ATTR_MOUNT_ROOT;
		if (!err && !p->o)
			shared_show(j, p->m, p->path);
		return err ? err : pf__call_write(j->call, a[4], &x, sizeof x);
	}
	if (s->flags >= 0 &&
	    a[3] & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT))
		return -EINVAL;
	err = stat_place(j, p, s->flags < 0 ? s->how & HOW_FOLLOW : !(a[3] & AT_SYMLINK_NOFOLLOW),
			 &st);
	if (!err && !p->o)
		shared_show(j, p->m, p->path);
	return err ? err : pf__call_write(j->call, a[s->path + 1], &st, sizeof st);
}

int64_t on_fstat(struct job *j, struct object *o)
{
	struct stat st;
	int err = object_stat(j, o, &st);

	return err ? err : pf__call_write(j->call, j->call->args[1], &st, sizeof st);
}

/* ---- access ---------------------------------------------------------------------------------- */

int64_t on_access(struct job *j, struct place *p, const struct spec *s)
{
	const uint64_t *a = j->call->args;
	int mode = (int)a[s->path + 1], flags = s->flags >= 0 ? (int)a[3] : 0;
	struct pf_caller caller = j->who->caller;
	struct pf_file *file;
	struct pf_fs view;
	int err;

	if (mode & ~(R_OK | W_OK | X_OK))
		return -EINVAL;
	if (!(flags & AT_EACCESS)) { /* the real ids, as access(2) has it */
		caller.uid = j->who->uid;
		caller.gid = j->who->gid;
	}
	pf__view_of(&view, j->view_of->fs, &caller);
	if (p->o) {
		err = pf__file_as(&view, p->o->handle, &file);
		if (!err) {
			err = pf_faccessat(file, "", mode, AT_EMPTY_PATH | AT_EACCESS);
			pf_close(file);
		}
		return err;
	}
	if (flags & AT_SYMLINK_NOFOLLOW) { /* the mode of a link is of no use */
		struct stat st;

		err = pf_lstat(&view, place_inside(p), &st);
		if (err || S_ISLNK(st.st_mode))
			return err;
	}
	return pf_access(&view, place_inside(p), mode);
}

/* ---- readlink -------------------------------------------------------------------------------- */

static int64_t put_text(struct job *j, const char *text, uint64_t address, uint64_t size)
{
	size_t n = strlen(text);
	int err;

	if (n > size)
		n = size;
	err = pf__call_write(j->call, address, text, n);
	return err ? err : (int64_t)n;
}

/* What the kernel would say of a descriptor. */
int64_t readlink_magic(struct job *j, struct object *o, uint64_t address, uint64_t size)
{
	char text[PATH_MAX + 16];

	if (object_path(o, text, PATH_MAX))
		strcat(text, " (deleted)");
	return put_text(j, text, address, size);
}

int64_t on_readlink(struct job *j, struct place *p, const struct spec *s)
{
	const uint64_t *a = j->call->args;
	uint64_t address = a[s->path + 1];
	char target[PATH_MAX];
	int64_t size = (int)a[s->path + 2];
	ssize_t n;

	if (size <= 0)
		return -EINVAL;
	if (p->magic)
		return readlink_magic(j, p->o, address, (uint64_t)size);
	if (p->o)
		n = pf_readlinkat(p->o->handle, "", target, sizeof target);
	else
		n = pf_readlink(&j->view, place_inside(p), target, sizeof target);
	if (n < 0)
		return n;
	if (n > size)
		n = (ssize_t)size;
	return pf__call_write(j->call, address, target, (size_t)n) ? -EFAULT : n;
}

/* ---- statfs ---------------------------------------------------------------------------------- */

static int64_t put_statfs(struct job *j, struct mount *m, const struct statvfs *v)
{
	struct statfs f = {.f_type = FUSE_MAGIC,
			   .f_bsize = (long)v->f_bsize,
			   .f_blocks = v->f_blocks,
			   .f_bfree = v->f_bfree,
			   .f_bavail = v->f_bavail,
			   .f_files = v->f_files,
			   .f_ffree = v->f_ffree,
			   .f_namelen = (long)v->f_namemax,
			   .f_frsize = (long)v->f_frsize};

	/* ST_VALID, so that statvfs(3) believes the flags; nosuid and nodev as fusermount has it.
	 */
	f.f_flags = 0x20 | ST_NOSUID | ST_NODEV | (m->read_only ? ST_RDONLY : 0);
	return pf__call_write(j->call, j->call->args[1], &f, sizeof f);
}

int64_t on_statfs(struct job *j, struct place *p, const struct spec *s)
{
	struct statvfs v;
	int err;

	(void)s;
	err = p->o ? pf_fstatvfs(p->o->handle, &v) : pf_statvfs(&j->view, place_inside(p), &v);
	return err ? err : put_statfs(j, p->m, &v);
}

int64_t on_fstatfs(struct job *j, struct object *o)
{
	struct statvfs v;
	int err = pf_fstatvfs(o->handle, &v);

	return err ? err : put_statfs(j, o->m, &v);
}

/* /proc/PID/fd/N, cwd, exe of what is ours. */
int64_t readlink_special(struct job *j, const struct place *p, const struct spec *s)
{
	const uint64_t *a = j->call->args;
	const char *name;
	pid_t pid = place_magic(p->path, &name);
	struct object *o = pid ? object_of_proc(j->r, pid, name) : NULL;
	int64_t result;

	if (!o)
		return CONTINUE;
	result = (int)a[s->path + 2] <= 0
		     ? -EINVAL
		     : readlink_magic(j, o, a[s->path + 1], (uint64_t)(int)a[s->path + 2]);
	object_put(o);
	return result;
}
