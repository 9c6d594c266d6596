/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * open: a descriptor that the kernel knows, for a file that it does not.
 *
 * - a regular file: its memfd, opened anew with the flags asked for; or a placeholder; or the file
 *   that its server passes it through to (native.c)
 * - a directory: its private directory, which is empty
 * - a fifo: one of ours that stands for it; the caller itself opens that
 * - anything, O_PATH: the stand-in, O_PATH
 * - a device: EACCES, as under nodev, which mounts of users have
 */
#include "base/memfd.h"
#include "run/internal.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define POLL_HACK "/.go-fuse-epoll-hack"

/* ---- giving ---------------------------------------------------------------------------------- */

static int64_t give_fd(struct job *j, struct object *o, int fd, int flags)
{
	int number;

	if (fd < 0)
		return fd;
	flush_given(j->r);
	if (o->kind == OBJECT_DIR)
		atomic_store_explicit(&j->r->given_dirs, 1, memory_order_relaxed);
	o->used = run_now_ms();
	/* We must not be the last to close what the program has closed already. */
	number = pf__call_add_fd(j->call, fd, flags & O_CLOEXEC);
	close(fd);
	return number;
}

int reopen_directory(const struct object *o, int flags)
{
	const int kept = O_PATH | O_NONBLOCK | O_NOATIME;
	int fd = openat(o->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | (flags & kept));

	return fd < 0 ? -errno : fd;
}

/* ---- regular files --------------------------------------------------------------------------- */

/* A handle to fill it by, when the one opened cannot read: of the caller, or as who may. */
int open_to_read(struct job *j, const struct place *p, struct pf_file **file)
{
	struct pf_caller root = {.size = sizeof root, .pid = j->who->tgid};
	struct pf_fs view;
	int err = pf_open(&j->view, place_inside(p), O_RDONLY | O_NOFOLLOW, 0, file);

	if (err != -EACCES)
		return err;
	pf__view_of(&view, j->view_of->fs, &root);
	return pf_open(&view, place_inside(p), O_RDONLY | O_NOFOLLOW, 0, file);
}

/* What is open already: its path may be another's by now. */
int open_once_more(struct job *j, struct pf_file *file, int flags, struct pf_file **out)
{
	struct pf_caller root = {.size = sizeof root, .pid = j->who->tgid};
	struct pf_fs view;
	int err = pf__open_again(&j->view, file, flags, out);

	if (err != -EACCES)
		return err;
	pf__view_of(&view, j->view_of->fs, &root);
	return pf__open_again(&view, file, flags, out);
}

static bool is_empty(struct pf_file *file)
{
	struct stat st;

	return pf_fstat(file, &st) == 0 && st.st_size == 0;
}

/* Under o->lock. */
static int fill(struct job *j, struct object *o, struct pf_file *file, int flags)
{
	struct pf_file *reader = file;
	bool nothing = flags & O_TRUNC;
	int err = 0;

	if (!nothing && (flags & O_ACCMODE) == O_WRONLY) {
		if (o->held && o->written)
			return 0;
		nothing = is_empty(file) && !o->held;
		if (!nothing)
			err = open_once_more(j, file, O_RDONLY, &reader);
	}
	if (!err)
		err = hold_fill(o, j->call, reader, nothing);
	if (reader && reader != file)
		pf__close_unflushed(reader);
	return err;
}

/* The server shall see it open for as long as a program has it open. Takes file over. */
static int keep_handle(struct object *o, struct pf_file *file, int flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;
	int err = 0;

	if (writes && !o->native)
		err = flush_begin(o);
	o->unwritten = false;
	if (!err && writes && !o->writer)
		o->writer = pf__take(file, NULL);
	else if (!err && !writes && !o->reader)
		o->reader = pf__take(file, NULL);
	if (file && !writes)
		pf__close_unflushed(file);
	else if (file)
		pf_close(file);
	return err;
}

int held_fd(struct job *j, struct object *o, struct pf_file *file, int flags)
{
	int err, fd = -1;

	pthread_mutex_lock(&o->lock);
	if ((flags & O_ACCMODE) != O_WRONLY)
		o->mappable = true;
	err = fill(j, o, file, flags);
	if (err) {
		pf_close(file);
	} else {
		err = keep_handle(o, file, flags);
		if (flags & O_TRUNC) /* of what was there before */
			o->error = 0;
		object_watch(o, (flags & O_ACCMODE) != O_RDONLY);
	}
	if (!err)
		fd = hold_reopen(o, flags);
	pthread_mutex_unlock(&o->lock);
	if (!err && fd < 0) /* ETXTBSY, say: nobody will close it */
		flush_if_closed(o);
	return err ? err : fd;
}

/* Takes file over. */
static int64_t give_file(struct job *j, struct object *o, struct pf_file *file, int flags)
{
	pthread_rwlock_t *turn = NULL;
	int fd;

	/* Who makes a placeholder now sees that, or we see the placeholder. */
	atomic_fetch_add(&o->holders, 1);
	if (placeholder_exists(j->r, o->inode)) {
		turn = placeholder_turn(j->r, o->inode);
		pthread_rwlock_wrlock(turn);
	}
	fd = held_fd(j, o, file, flags);
	if (turn)
		pthread_rwlock_unlock(turn);
	atomic_fetch_sub(&o->holders, 1);
	if (fd >= 0 && (flags & O_ACCMODE) == O_RDONLY && !o->on_disk)
		shared_show_held(j, o);
	return give_fd(j, o, fd, flags);
}

static bool runs(struct pf__run *r, const void *inode)
{
	struct object *o = object_by_inode(r, inode);
	bool yes = o && object_is_executed(o);

	object_put(o);
	return yes;
}

/* Takes file over, but for NOT_NATIVE. */
#define NOT_NATIVE (INT64_MIN + 3)
static int64_t give_native(struct job *j, const struct place *p, struct pf_file *file, int flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;
	int fd = native_open(file, flags), err;
	struct object *o;
	int64_t result;

	if (fd < 0)
		return NOT_NATIVE;
	err = writes && runs(j->r, file->of->inode) ? -ETXTBSY : 0;
	if (!err)
		err = object_of_native(j->r, p->m, file, p->path, &o);
	if (err) {
		close(fd);
		pf_close(file);
		return err;
	}
	o->used = run_now_ms();
	pthread_mutex_lock(&o->lock);
	err = keep_handle(o, file, flags);
	object_watch(o, writes);
	pthread_mutex_unlock(&o->lock);
	if (err)
		close(fd);
	result = err ? err : give_fd(j, o, fd, flags);
	o->used = run_now_ms(); /* who looks for it now finds it */
	object_put(o);
	return result;
}

/* Takes file over, if it returns anything but -EMFILE: there is no room for one. */
static int64_t give_placeholder(struct job *j, const struct place *p, struct pf_file *file,
				int flags)
{
	struct object *o;
	int fd, number, err = object_of_placeholder(j->r, p->m, file, p->path, &o);

	if (err)
		return -EMFILE;
	flush_given(j->r);
	pf_setfl(file, flags & (O_APPEND | O_DIRECT | O_NONBLOCK));
	fd = placeholder_open(o);
	object_watch(o, false); /* of other opens, too */
	number = fd < 0 ? -EMFILE : placeholder_number(j, fd, 0, flags & O_CLOEXEC);
	if (number < 0) { /* the caller keeps it; nobody has seen the object */
		object_undo(o);
		pf_setfl(file, 0);
	}
	if (fd >= 0)
		close(fd);
	if (number >= 0)
		object_put(o);
	return number < 0 ? -EMFILE : number;
}

/* The kernel hands no O_PATH descriptors on, so the caller makes its own of ours. */
static int64_t give_path(struct job *j, struct object *o, int flags)
{
	char link[64];
	struct pf__inject in = {.nr = __NR_openat,
				.fd = -1,
				.args = {(uint64_t)AT_FDCWD, 0, O_PATH | (flags & O_CLOEXEC)},
				.arg_in_data = 1 << 1,
				.data = link};

	in.size = (size_t)snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)getpid(), o->fd) + 1;
	o->as_path = true;
	o->used = run_now_ms();
	flush_given(j->r);
	atomic_store(&j->r->given_dirs, 1);
	call_instead(j, &in, "opened with O_PATH", o->path);
	return ANSWERED;
}

/* Takes file over: it lists the directory first. */
static int64_t give_directory(struct job *j, struct object *o, struct pf_file *file, int flags)
{
	pthread_mutex_lock(&o->lock);
	o->listing = file;
	o->listing_at = 0;
	object_watch(o, false);
	pthread_mutex_unlock(&o->lock);
	return give_fd(j, o, reopen_directory(o, flags), flags);
}

/* ---- fifos, devices -------------------------------------------------------------------------- */

static int64_t open_fifo(struct job *j, const struct place *p, const struct stat *st, int flags)
{
	static const unsigned index_of_path[2] = {0, 1};
	unsigned index = index_of_path[j->call->nr == __NR_openat];
	int accmode = flags & O_ACCMODE;
	char path[PATH_MAX];
	const char *text = path;
	int err;

	err = pf_access(&j->view, place_inside(p),
			(accmode != O_WRONLY ? R_OK : 0) | (accmode != O_RDONLY ? W_OK : 0));
	if (err)
		return err;
	snprintf(path, sizeof path, "%s/f%jx-%jx", j->r->private, (uintmax_t)st->st_dev,
		 (uintmax_t)st->st_ino);
	if (mkfifo(path, 0666) < 0 && errno != EEXIST)
		return -errno;
	chmod(path, 0666);
	redirect_paths(j, &index, &text, 1);
	return ANSWERED;
}

static int64_t open_special_file(struct job *j, const struct place *p, int flags, int err)
{
	struct stat st;

	if (err != -EOPNOTSUPP || pf_lstat(&j->view, place_inside(p), &st))
		return err;
	return S_ISFIFO(st.st_mode)                         ? open_fifo(j, p, &st, flags)
	       : S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? -EACCES
							    : err;
}

/* ---- by path --------------------------------------------------------------------------------- */

bool is_poll_hack(const struct place *p)
{
	size_t n = strlen(p->path), k = sizeof POLL_HACK - 1;

	return n > k && !strcmp(p->path + n - k, POLL_HACK) && n - k == p->m->len;
}

/* See launch/device.c: Go's poller shall learn that it cannot poll here, before anybody serves. */
static int64_t open_poll_hack(struct job *j, int flags)
{
	int fd = pf__memfd(POLL_HACK + 1);

	if (fd < 0)
		return -errno;
	pf__call_return_fd(j->call, fd, flags & O_CLOEXEC);
	close(fd);
	return ANSWERED;
}

static int64_t give_opened(struct job *j, const struct place *p, struct pf_file *file, int flags)
{
	struct object *o;
	int64_t result;
	int err;

	if (native_wanted(file, flags)) {
		result = give_native(j, p, file, flags);
		if (result != NOT_NATIVE)
			return result;
	}
	if (placeholder_wanted(j->r, file, flags)) {
		result = give_placeholder(j, p, file, flags);
		if (result != -EMFILE)
			return result;
	}
	err = object_of_file(j->r, p->m, file, p->path, false, &o);
	if (err) {
		pf_close(file);
		return err;
	}
	if (flags & O_PATH) {
		pf_close(file);
		result = give_path(j, o, flags);
	} else if (o->kind == OBJECT_DIR) {
		result = give_directory(j, o, file, flags);
	} else {
		result = give_file(j, o, file, flags);
	}
	object_put(o);
	return result;
}

/* Flags that are the kernel's matter, or that a memfd has anyway. */
static int library_flags(int flags)
{
	if (flags & O_PATH)
		return flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW);
	/* Not O_APPEND: what is written goes to where the memfd has it. */
	return flags & (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW | O_DIRECTORY |
			O_TMPFILE | O_NOATIME | O_NOCTTY | O_SYNC);
}

static void strip_slashes(char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
}

static int64_t open_at(struct job *j, struct place *p, int flags, mode_t mode)
{
	struct pf_file *file;
	int err;

	err = pf_open(&j->view, place_inside(p), library_flags(flags), mode, &file);
	if (err)
		return err == -PF_ELINK ? err : open_special_file(j, p, flags, err);
	strip_slashes(p->path);
	if ((flags & O_TMPFILE) == O_TMPFILE) {
		size_t n = strlen(p->path);

		snprintf(p->path + n, sizeof p->path - n, "/#%llu",
			 (unsigned long long)pf__inode_nodeid(file->of->inode));
	}
	return give_opened(j, p, file, flags);
}

/* What a placeholder has become, opened anew, if its own flags allow as much. */
static int reopen_real(const struct object *o, int flags)
{
	int has = fcntl(o->real, F_GETFL) & O_ACCMODE, wants = flags & O_ACCMODE;

	if (has != O_RDWR && has != wants)
		return -EACCES;
	return fd_reopen(o->real, flags & (O_ACCMODE | O_APPEND | O_NONBLOCK));
}

/* Through /proc: the same file once more. What has no name any more is opened as it is held. */
static int64_t open_again(struct job *j, struct place *p, int flags, mode_t mode)
{
	struct object *o = p->o;
	int fd;

	if (object_path(o, p->path, PATH_MAX) == 0) {
		int64_t result = open_at(j, p, flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW), mode);

		if (result != -ENOENT)
			return result;
	}
	if (o->kind != OBJECT_FILE)
		return -ENOENT;
	if (o->through) {
		fd = placeholder_become_real(j, o);
		return fd ? fd : give_fd(j, o, reopen_real(o, flags), flags);
	}
	if (o->native)
		return give_fd(j, o, native_reopen(o, flags), flags);
	pthread_mutex_lock(&o->lock);
	o->mappable = true;
	fd = !o->held ? -ENOENT
	     : (flags & O_ACCMODE) == O_RDONLY || o->written
		 ? hold_reopen(o, flags & ~(O_CREAT | O_EXCL))
		 : -EACCES;
	pthread_mutex_unlock(&o->lock);
	return give_fd(j, o, fd, flags);
}

static int64_t open_place(struct job *j, struct place *p, int flags, mode_t mode)
{
	if (is_poll_hack(p) && !p->o)
		return open_poll_hack(j, flags);
	if ((flags & O_TMPFILE) == O_TMPFILE && p->o)
		return -ENOTDIR;
	return p->o ? open_again(j, p, flags, mode) : open_at(j, p, flags, mode);
}

int open_flags(const struct pf__call *call)
{
#ifdef __NR_open
	if (call->nr == __NR_creat)
		return O_CREAT | O_WRONLY | O_TRUNC;
	if (call->nr == __NR_open)
		return (int)call->args[1];
#endif
	return (int)call->args[2];
}

int64_t on_open(struct job *j, struct place *p, const struct spec *s)
{
	int flags = open_flags(j->call), dots = 0;

	if (flags & O_CREAT && !p->o && p->path[strlen(p->path) - 1] == '/')
		dots = last_dots(j, j->call->args[(int)s->path], p);
	if (dots)
		return dots < 0 ? dots : flags & O_EXCL ? -EEXIST : -EISDIR;
	return open_place(j, p, open_flags(j->call),
			  (mode_t)j->call->args[j->call->nr == __NR_openat ? 3
#ifdef __NR_creat
						: j->call->nr == __NR_creat ? 1
#endif
									    : 2]);
}

/* ---- openat2 --------------------------------------------------------------------------------- */

/* How far RESOLVE_* lets it go. 0 or errno; -ENOSYS: callers know how to do without. */
static int64_t check_resolve(const struct place *p, uint64_t resolve)
{
	if (!(resolve & ~(uint64_t)(RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS)))
		return p->magic ? -ELOOP : 0;
	return resolve & RESOLVE_CACHED ? -EAGAIN : -ENOSYS;
}

static int64_t open_how_at(struct job *j, const struct open_how *how, const char *path,
			   struct place *p)
{
	unsigned flags =
	    how->flags & O_NOFOLLOW || (how->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)
		? 0
		: PLACE_FOLLOW;
	int64_t result = -PF_ELINK;

	for (int i = 0; i < 4 && result == -PF_ELINK; i++) {
		place_clear(p);
		result = place_find(j, (int)j->call->args[0], path, flags, p);
		if (result)
			return result;
		if (!p->m) {
			const unsigned index = 1;
			const char *text = p->path;

			if (!p->detour)
				return CONTINUE;
			redirect_paths(j, &index, &text, 1);
			return ANSWERED;
		}
		result = job_view(j, p->m);
		if (!result)
			result = how->resolve ? check_resolve(p, how->resolve) : 0;
		if (!result)
			result = open_place(j, p, (int)how->flags, (mode_t)how->mode);
		if (result == -PF_ELINK && how->resolve & RESOLVE_NO_SYMLINKS)
			return -ELOOP;
		flags |= PLACE_CAREFUL;
	}
	return result;
}

/* As the kernel does, before it looks at the path. 0 or negative errno. */
static int check_how(const struct open_how *how, const char *rest, size_t size)
{
	const uint64_t flags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND |
			       O_NONBLOCK | O_DSYNC | O_SYNC | O_ASYNC | O_DIRECT | O_LARGEFILE |
			       0100000 | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH |
			       O_TMPFILE;
	const uint64_t resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS |
				 RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED;
	bool makes = how->flags & O_CREAT || (how->flags & O_TMPFILE) == O_TMPFILE;

	for (size_t i = 0; i < size; i++)
		if (rest[i]) /* of a newer kernel */
			return -E2BIG;
	if (how->flags & ~flags || how->resolve & ~resolve || how->mode & ~(uint64_t)07777 ||
	    (how->mode && !makes))
		return -EINVAL;
	return 0;
}

enum pf__call_end on_openat2(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};
	char bytes[4096], path[PATH_MAX]; /* a page is the most that the kernel takes */
	size_t size = (size_t)call->args[3];
	struct open_how how;
	struct place p;
	int64_t result;

	if (size < sizeof how || size > sizeof bytes ||
	    pf__call_peek(call, call->args[2], bytes, size))
		return call_end(&j, CONTINUE);
	memcpy(&how, bytes, sizeof how);
	result = check_how(&how, bytes + sizeof how, size - sizeof how);
	if (result)
		return call_end(&j, result);
	if (job_read_path(&j, call->args[1], path) < 0)
		return call_end(&j, CONTINUE);
	p.m = NULL;
	p.o = NULL;
	flush_closed_quick(j.r);
	result = open_how_at(&j, &how, path, &p);
	if (result == CONTINUE && !strcmp(p.path, "/dev/fuse"))
		result = PASS;
	place_clear(&p);
	return call_end(&j, result);
}

/* ---- what the kernel has, with a part of ours ------------------------------------------------ */

/* Does path say /proc/PID/KIND (or of a task)? */
static pid_t is_table(const char *path, const char **kind)
{
	static const char *const kinds[] = {"mountinfo", "mounts"};
	int pid = 0, n = 0;

	if (sscanf(path, "/proc/%d/%n", &pid, &n) != 1 || !n)
		return 0;
	if (!strncmp(path + n, "task/", 5)) {
		const char *slash = strchr(path + n + 5, '/');

		n = slash ? (int)(slash + 1 - path) : n;
	}
	for (unsigned i = 0; i < 2; i++)
		if (!strcmp(path + n, kinds[i])) {
			*kind = kinds[i];
			return pid;
		}
	return 0;
}

/* PF_SHARED_NAME, where "self" is a number by now. */
static bool is_shared(const char *path)
{
	const char *name = strrchr(PF_SHARED_NAME, '/');
	size_t n = strlen(path), k = strlen(name);

	return n > k && !strncmp(path, "/proc/", 6) && !strcmp(path + n - k, name);
}

/* Not the server's, but made for it. */
static int64_t give_own(struct job *j, int fd)
{
	pf__call_return_fd(j->call, fd, open_flags(j->call) & O_CLOEXEC);
	close(fd);
	return ANSWERED;
}

int64_t open_special(struct job *j, const struct place *p, const struct spec *s)
{
	const char *kind;
	pid_t pid;
	int fd;

	if (s->path_fn == on_readlink)
		return p->path[1] == 'p' ? readlink_special(j, p, s) : CONTINUE;
	if (!strcmp(p->path, "/dev/fuse"))
		return PASS;
	if (is_shared(p->path)) {
		fd = shared_give(j->r);
		return fd < 0 ? CONTINUE : give_own(j, fd);
	}
	pid = is_table(p->path, &kind);
	if (!strcmp(p->path, "/etc/mtab") && job_who(j)) { /* a file, in some containers */
		pid = j->who->tgid;
		kind = "mounts";
	}
	if (!pid || (open_flags(j->call) & O_ACCMODE) != O_RDONLY || open_flags(j->call) & O_PATH ||
	    !mounts_any(j->r))
		return CONTINUE;
	fd = mount_table(j->r, pid, kind);
	return fd < 0 ? CONTINUE : give_own(j, fd);
}
