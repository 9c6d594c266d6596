/* SPDX-License-Identifier: BSD-2-Clause */
/* Handlers: extended attributes, syncing, mounting, sockets, who the caller is, what is refused. */
#include "launch/fusermount.h"
#include "run/internal.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- extended attributes --------------------------------------------------------------------- */

/* What they are asked of: a path, or an open file. */
struct subject {
	struct pf_fs *view;
	const char *path;
	bool follow;
	struct pf_file *file; /* not NULL: this */
};

static struct pf_file *handle_of(struct object *o)
{
	return o->through   ? o->through
	       : o->writer  ? o->writer
	       : o->reader  ? o->reader
	       : o->listing ? o->listing
			    : o->handle;
}

static ssize_t get(const struct subject *s, const char *name, void *value, size_t size)
{
	return s->file     ? pf_fgetxattr(s->file, name, value, size)
	       : s->follow ? pf_getxattr(s->view, s->path, name, value, size)
			   : pf_lgetxattr(s->view, s->path, name, value, size);
}

static ssize_t list(const struct subject *s, char *value, size_t size)
{
	return s->file     ? pf_flistxattr(s->file, value, size)
	       : s->follow ? pf_listxattr(s->view, s->path, value, size)
			   : pf_llistxattr(s->view, s->path, value, size);
}

static int set(const struct subject *s, const char *name, const void *value, size_t size, int flags)
{
	return s->file     ? pf_fsetxattr(s->file, name, value, size, flags)
	       : s->follow ? pf_setxattr(s->view, s->path, name, value, size, flags)
			   : pf_lsetxattr(s->view, s->path, name, value, size, flags);
}

static int drop(const struct subject *s, const char *name)
{
	return s->file     ? pf_fremovexattr(s->file, name)
	       : s->follow ? pf_removexattr(s->view, s->path, name)
			   : pf_lremovexattr(s->view, s->path, name);
}

static int read_name(struct job *j, char name[XATTR_NAME_MAX + 1])
{
	ssize_t n = pf__call_read_string(j->call, j->call->args[1], name, XATTR_NAME_MAX + 1);

	return n == -ENAMETOOLONG || n == 0 ? -ERANGE : n < 0 ? (int)n : 0;
}

static int64_t put_value(struct job *j, uint64_t address, const void *value, ssize_t n, size_t size)
{
	int err = n > 0 && size ? pf__call_write(j->call, address, value, (size_t)n) : 0;

	return err ? err : n;
}

static int64_t do_get(struct job *j, const struct subject *s, bool names)
{
	const uint64_t *a = j->call->args;
	uint64_t address = names ? a[1] : a[2];
	size_t size = (size_t)(names ? a[2] : a[3]);
	PF_AUTO_FREE void *value = NULL;
	char name[XATTR_NAME_MAX + 1];
	ssize_t n;
	int err = names ? 0 : read_name(j, name);

	if (err)
		return err;
	if (size > XATTR_SIZE_MAX)
		size = XATTR_SIZE_MAX;
	value = pf__malloc(size ? size : 1);
	if (!value)
		return -ENOMEM;
	n = names ? list(s, value, size) : get(s, name, value, size);
	return put_value(j, address, value, n, size);
}

static int64_t do_set(struct job *j, const struct subject *s)
{
	const uint64_t *a = j->call->args;
	PF_AUTO_FREE void *value = NULL;
	char name[XATTR_NAME_MAX + 1];
	int err = read_name(j, name);

	if (err)
		return err;
	if (a[3] > XATTR_SIZE_MAX)
		return -E2BIG;
	value = pf__malloc(a[3] ? (size_t)a[3] : 1);
	if (!value)
		return -ENOMEM;
	err = pf__call_read(j->call, a[2], value, (size_t)a[3]);
	return err ? err : set(s, name, value, (size_t)a[3], (int)a[4]);
}

static int64_t do_drop(struct job *j, const struct subject *s)
{
	char name[XATTR_NAME_MAX + 1];
	int err = read_name(j, name);

	return err ? err : drop(s, name);
}

static int64_t do_xattr(struct job *j, const struct subject *s)
{
	switch (j->call->nr) {
	case __NR_getxattr:
	case __NR_lgetxattr:
	case __NR_fgetxattr:
		return do_get(j, s, false);
	case __NR_listxattr:
	case __NR_llistxattr:
	case __NR_flistxattr:
		return do_get(j, s, true);
	case __NR_setxattr:
	case __NR_lsetxattr:
	case __NR_fsetxattr:
		return do_set(j, s);
	default:
		return do_drop(j, s);
	}
}

int64_t on_xattr(struct job *j, struct place *p, const struct spec *s)
{
	struct subject subject = {.view = &j->view,
				  .path = place_inside(p),
				  .follow = s->how & HOW_FOLLOW,
				  .file = p->o ? handle_of(p->o) : NULL};

	return do_xattr(j, &subject);
}

int64_t on_fxattr(struct job *j, struct object *o)
{
	struct subject subject = {.view = &j->view, .file = handle_of(o)};

	return do_xattr(j, &subject);
}

/* ---- syncing --------------------------------------------------------------------------------- */

static int sync_file(struct object *o, bool datasync)
{
	int err;

	pthread_mutex_lock(&o->lock);
	err = flush_object(o);
	if (!err)
		err = o->error;
	o->error = 0;
	if (!err && (o->writer || o->reader))
		err = pf_fsync(o->writer ? o->writer : o->reader, datasync);
	pthread_mutex_unlock(&o->lock);
	return err;
}

static int sync_placeholder(struct job *j, struct object *o, bool datasync)
{
	struct object *held;
	int err = placeholder_follow(j, o);

	if (err)
		return err;
	held = o->real >= 0 ? object_by_inode(j->r, o->inode) : NULL;
	err = held ? sync_file(held, datasync) : pf_fsync(o->through, datasync);
	object_put(held);
	return err;
}

static int sync_directory(struct job *j, struct object *o, bool datasync)
{
	struct pf_file *dir;
	char path[PATH_MAX];
	int err = object_path(o, path, sizeof path);

	if (err)
		return 0; /* removed */
	err = pf_open(&j->view, path[o->m->len] ? path + o->m->len : "/", O_RDONLY | O_DIRECTORY, 0,
		      &dir);
	if (err)
		return err;
	err = pf_fsync(dir, datasync);
	pf_close(dir);
	return err;
}

int64_t on_fsync(struct job *j, struct object *o)
{
	bool datasync = j->call->nr == __NR_fdatasync;

	if (j->call->nr == __NR_syncfs) {
		int err = flush_all(j->r, o->m);

		return err ? err : pf_syncfs(&j->view);
	}
	return o->kind == OBJECT_DIR ? sync_directory(j, o, datasync)
	       : o->through          ? sync_placeholder(j, o, datasync)
				     : sync_file(o, datasync);
}

enum pf__call_end on_sync(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};

	flush_all(j.r, NULL);
	mounts_sync(j.r);
	return call_end(&j, CONTINUE);
}

/* Which files the pages are of the kernel does not tell cheaply; there are never many. */
enum pf__call_end on_msync(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};
	int err = 0;

	if (call->args[2] & MS_SYNC && hold_any_written(j.r))
		err = flush_all(j.r, NULL);
	return call_end(&j, err ? err : CONTINUE);
}

/* ---- mounting -------------------------------------------------------------------------------- */

enum pf__call_end on_mount(void *ctx, struct pf__call *call)
{
	(void)ctx;
	(void)call;
	return PF_CALL_PASS;
}

/* umount2() of a path of the caller's. PASS: it is none of ours; the device knows of some others.
 */
static int64_t unmount(struct job *j, const char *path, int flags)
{
	struct place p;
	int64_t result;
	bool inside;
	size_t n;

	result = place_find(j, AT_FDCWD, path,
			    PLACE_CAREFUL | (flags & UMOUNT_NOFOLLOW ? 0 : PLACE_FOLLOW), &p);
	if (result)
		return result;
	if (p.o)
		object_path(p.o, p.path, sizeof p.path);
	n = strlen(p.path);
	while (n > 1 && p.path[n - 1] == '/')
		p.path[--n] = '\0';
	inside = p.m;
	place_clear(&p); /* it would keep the mount busy */
	result = mount_end(j->r, p.path, flags, j->call->tid);
	return result > 0 ? 0 : result == -EINVAL && !inside ? PASS : result;
}

enum pf__call_end on_umount(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};
	char path[PATH_MAX];

	if (job_read_path(&j, call->args[0], path) < 0)
		return call_end(&j, PASS);
	return call_end(&j, unmount(&j, path, (int)call->args[1]));
}

/*
 * fusermount -u, where umount2() does not come to us (launch/fusermount.h): we are the program.
 * What else it can be asked for is the device's.
 */
int64_t exec_fusermount(struct job *j)
{
	struct pf__fusermount f;
	int64_t result = PASS, done;

	if (pf__fusermount_read(&f, j->call))
		return CONTINUE;
	if (f.unmount)
		result = unmount(j, f.mountpoint, f.lazy ? MNT_DETACH : 0);
	if (result == PASS) {
		pf__fusermount_clear(&f);
		return PASS;
	}
	done = result ? pf__fusermount_failed(&f, j->call, (int)result)
		      : pf__fusermount_done(&f, j->call, -1);
	pf__fusermount_clear(&f);
	return done == PF_CALL_UNTRACEABLE ? CONTINUE : ANSWERED;
}

/* ---- sockets --------------------------------------------------------------------------------- */

/*
 * A socket with a name inside: the server gets a node of that type, the kernel a socket in the
 * private directory.
 */
static int64_t redirect_socket(struct job *j, const struct place *p, const struct stat *st)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct pf__inject in = {
	    .nr = j->call->nr, .fd = -1, .data = &to, .arg_in_data = 1 << 1, .interruptible = true};
	int n = snprintf(to.sun_path, sizeof to.sun_path, "%s/s%jx-%jx", j->r->private,
			 (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);

	if (n >= (int)sizeof to.sun_path)
		return -ENAMETOOLONG;
	if (j->call->nr == __NR_bind)
		unlink(to.sun_path); /* of an inode that was there before */
	in.size = offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1;
	in.args[0] = j->call->args[0];
	in.args[2] = in.size;
	call_instead(j, &in, j->call->nr == __NR_bind ? "bound" : "connected to", p->path);
	return ANSWERED;
}

static int64_t bind_inside(struct job *j, struct place *p)
{
	struct stat st;
	int err = job_view(j, p->m);

	if (!err && j->call->nr == __NR_bind) {
		err = p->o ? -EADDRINUSE : pf_mknod(&j->view, place_inside(p), S_IFSOCK | 0777, 0);
		if (err == -EEXIST)
			err = -EADDRINUSE;
	}
	if (!err)
		err = pf_lstat(&j->view, place_inside(p), &st);
	if (!err && !S_ISSOCK(st.st_mode))
		err = -ECONNREFUSED;
	return err ? err : redirect_socket(j, p, &st);
}

enum pf__call_end on_bind(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};
	struct sockaddr_un un;
	char path[sizeof un.sun_path + 1]; /* which may fill all of it, without a NUL */
	int size = (int)call->args[2];
	struct place p;
	int64_t result;

	memset(&un, 0, sizeof un);
	if (nothing_is_ours(j.r) || size <= (int)offsetof(struct sockaddr_un, sun_path) ||
	    size > (int)sizeof un || pf__call_peek(call, call->args[1], &un, (size_t)size) ||
	    un.sun_family != AF_UNIX || !un.sun_path[0])
		return call_end(&j, CONTINUE);
	memcpy(path, un.sun_path, sizeof un.sun_path);
	path[sizeof un.sun_path] = '\0';
	result = place_find(&j, AT_FDCWD, path,
			    PLACE_CAREFUL | (call->nr == __NR_bind ? 0 : PLACE_FOLLOW), &p);
	if (!result)
		result = p.m ? bind_inside(&j, &p) : CONTINUE;
	place_clear(&p);
	return call_end(&j, result);
}

/* ---- who, and what is refused ---------------------------------------------------------------- */

enum pf__call_end on_creds(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};

	who_creds_change(j.r);
	if (call->nr != __NR_umask)
		atomic_store(&j.r->shared->mixed, 1);
	if (call->nr == __NR_unshare && call->args[0] & CLONE_FS)
		atomic_store(&j.r->shared->apart, 1);
	if (call->nr == __NR_unshare || call->nr == __NR_setns)
		who_cwd_changes(j.r);
	return call_end(&j, CONTINUE);
}

/* With another root the names that programs use would no longer be those that we know. */
enum pf__call_end on_chroot(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};

	return call_end(&j, -EPERM);
}

/*
 * No leases: by them we see who has a file open (hold.c), and when somebody else has one, who opens
 * the file for writing waits up to 45 seconds for it: we, with all who want the file behind us.
 */
enum pf__call_end on_lease(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};
	struct object *o =
	    (int)call->args[2] == F_UNLCK ? NULL : object_of_fd(j.r, call, (int)call->args[0]);
	int64_t result = o && o->kind == OBJECT_FILE ? -EINVAL : CONTINUE;

	object_put(o);
	return call_end(&j, result);
}

/* What the server's files have not: watches, handles, the kernel's own uses. */
int64_t on_refuse(struct job *j, struct place *p, const struct spec *s)
{
	(void)p;
	(void)s;
	switch (j->call->nr) {
	case __NR_inotify_add_watch:
		return -ENOSPC; /* programs poll then */
	case __NR_name_to_handle_at:
	case __NR_fanotify_mark:
		return -EOPNOTSUPP;
	default:
		return -EPERM;
	}
}
