/* SPDX-License-Identifier: BSD-2-Clause */
/* Handlers that change names and attributes. */
#include "run/internal.h"
#include "vfs/file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>

static bool is_nr(const struct job *j, int nr)
{
	return j->call->nr == nr;
}

#ifdef __NR_rmdir
#define IS_NR(j, name) is_nr(j, __NR_##name)
#else
#define IS_NR(j, name) false
#endif

int64_t on_mkdir(struct job *j, struct place *p, const struct spec *s)
{
	return p->o ? -EEXIST
		    : pf_mkdir(&j->view, place_inside(p), (mode_t)j->call->args[s->path + 1]);
}

int64_t on_mknod(struct job *j, struct place *p, const struct spec *s)
{
	mode_t mode = (mode_t)j->call->args[s->path + 1];

	if (p->o)
		return -EEXIST;
	if (!(mode & S_IFMT))
		mode |= S_IFREG;
	return pf_mknod(&j->view, place_inside(p), mode, (dev_t)j->call->args[s->path + 2]);
}

/*
 * How the path that the program gave ends: rmdir("a/.") is not rmdir("a"). 0, the number of dots,
 * or what is wrong with the directory before them.
 */
int last_dots(struct job *j, uint64_t address, const struct place *p)
{
	char path[PATH_MAX];
	ssize_t n = job_read_path(j, address, path);
	struct stat st;
	int dots = 0, err;

	while (n > 1 && path[n - 1] == '/')
		n--;
	while (dots < 2 && n > dots && path[n - dots - 1] == '.')
		dots++;
	if (!dots || (n > dots && path[n - dots - 1] != '/'))
		return 0;
	if (!p->m || p->o)
		return dots;
	err = pf_lstat(&j->view, place_inside(p), &st);
	return err ? err : dots;
}

/* The object of what is there, if it is one. */
static struct object *live_at(struct job *j, const struct place *p, bool follow)
{
	struct pf__inode *inode;
	struct pf__from f;
	struct object *o;

	if (pf__from_fs(&f, &j->view) ||
	    pf__walk(&f, place_inside(p), follow ? PF_WALK_FOLLOW : 0, &inode))
		return NULL;
	o = object_by_inode(j->r, inode);
	pf__inode_put(f.super->cache, inode);
	return o;
}

static struct object *written_at(struct job *j, const struct place *p, bool follow)
{
	return hold_any_written(j->r) || atomic_load(&j->r->lost) ? live_at(j, p, follow) : NULL;
}

/*
 * A file that was closed, perhaps while others still send what was written: the server shall see it
 * closed before it loses its name, however long that takes. libfuse's path servers hide what is
 * open, and its directory is not empty then.
 */
static void settle_at(struct job *j, const struct place *p)
{
	struct object *o = written_at(j, p, false);

	if (o)
		flush_if_closed(o);
	object_put(o);
}

int64_t on_unlink(struct job *j, struct place *p, const struct spec *s)
{
	bool dir =
	    s->flags < 0 && s->dirfd < 0 ? IS_NR(j, rmdir) : (j->call->args[2] & AT_REMOVEDIR) != 0;
	int dots;
	char path[PATH_MAX];
	size_t n;
	bool exact;
	int err;

	if (s->dirfd >= 0 && j->call->args[2] & ~(uint64_t)AT_REMOVEDIR)
		return -EINVAL;
	if (p->o)
		return -EPERM;
	dots = last_dots(j, j->call->args[(int)s->path], p);
	if (dots)
		return dots < 0 ? dots : !dir ? -EISDIR : dots == 1 ? -EINVAL : -ENOTEMPTY;
	strcpy(path, p->path);
	n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
	mount_put(mount_of(j->r, path, n, &exact));
	if (exact)
		return dir ? -EBUSY : -EISDIR;
	flush_closed_for_names(j->r);
	if (!dir)
		settle_at(j, p);
	err = dir ? pf_rmdir(&j->view, place_inside(p)) : pf_unlink(&j->view, place_inside(p));
	if (!err)
		objects_removed(j->r, path);
	return err;
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* The object as the caller, for as long as one call takes. */
static int as_caller(struct job *j, struct object *o, struct pf_file **file)
{
	return pf__file_as(&j->view, o->handle, file);
}

static int chmod_object(struct job *j, struct object *o, mode_t mode)
{
	struct pf_file *file;
	int err = as_caller(j, o, &file);

	if (err)
		return err;
	err = pf_fchmodat(file, "", mode, AT_EMPTY_PATH);
	pf_close(file);
	return err;
}

int64_t on_chmod(struct job *j, struct place *p, const struct spec *s)
{
	mode_t mode = (mode_t)j->call->args[s->path + 1];

	if (p->o)
		return chmod_object(j, p->o, mode);
	if (s->flags >= 0 && j->call->args[(int)s->flags] & AT_SYMLINK_NOFOLLOW) {
		struct stat st;
		int err = pf_lstat(&j->view, place_inside(p), &st);

		if (err || S_ISLNK(st.st_mode))
			return err ? err : -EOPNOTSUPP;
	}
	return pf_chmod(&j->view, place_inside(p), mode);
}

int64_t on_fchmod(struct job *j, struct object *o)
{
	return chmod_object(j, o, (mode_t)j->call->args[1]);
}

static int chown_object(struct job *j, struct object *o, uid_t uid, gid_t gid)
{
	struct pf_file *file;
	int err = as_caller(j, o, &file);

	if (err)
		return err;
	err = pf_fchownat(file, "", uid, gid, AT_EMPTY_PATH);
	pf_close(file);
	return err;
}

int64_t on_chown(struct job *j, struct place *p, const struct spec *s)
{
	const uint64_t *a = j->call->args;
	uid_t uid = (uid_t)a[s->path + 1];
	gid_t gid = (gid_t)a[s->path + 2];
	bool follow =
	    s->flags >= 0 ? !(a[(int)s->flags] & AT_SYMLINK_NOFOLLOW) : s->how & HOW_FOLLOW;

	if (s->flags >= 0 && a[(int)s->flags] & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (p->o)
		return chown_object(j, p->o, uid, gid);
	return follow ? pf_chown(&j->view, place_inside(p), uid, gid)
		      : pf_lchown(&j->view, place_inside(p), uid, gid);
}

int64_t on_fchown(struct job *j, struct object *o)
{
	return chown_object(j, o, (uid_t)j->call->args[1], (gid_t)j->call->args[2]);
}

/* A held file has its times in the memfd, too, which count while it may be written to. Under
 * o->lock. */
static void times_to_memfd(struct object *o, const struct timespec times[2])
{
	int fd = o->held ? hold_reopen(o, O_RDONLY) : -1;
	struct timespec mtime[2] = {{.tv_nsec = UTIME_OMIT},
				    times ? times[1] : (struct timespec){.tv_nsec = UTIME_NOW}};
	struct stat st;

	if (fd < 0)
		return;
	futimens(fd, mtime);
	if (!fstat(fd, &st))
		atomic_store(&o->sent_mtime, hold_time(st.st_mtim));
	atomic_store(&o->seen, true);
	close(fd);
}

/*
 * At the server and in the memfd, with no data of its own on the way in between: that would give it
 * another time at the server again. So what was written before goes first, as it does in a kernel;
 * sent afterwards, it would take a SETATTR of the mtime alone to mend, which not all servers know
 * (bindfs drops it).
 */
static int utimens_object(struct job *j, struct object *o, const struct timespec *times)
{
	struct pf_file *file;
	int err = as_caller(j, o, &file);

	if (err)
		return err;
	pthread_mutex_lock(&o->lock);
	err = flush_object(o);
	if (err && !o->error) /* for fsync to tell */
		o->error = err;
	err = pf_utimensat(file, "", times, AT_EMPTY_PATH);
	if (!err)
		times_to_memfd(o, times);
	pthread_mutex_unlock(&o->lock);
	pf_close(file);
	return err;
}

/* The times of utimensat, utimes (and futimesat), utime. 0 or negative errno. */
static int read_times(struct job *j, const struct spec *s, struct timespec times[2], bool *now)
{
	uint64_t address = j->call->args[s->path + 1];
	struct timeval tv[2];
	struct utimbuf ut;
	int err;

	*now = !address;
	if (*now)
		return 0;
	if (s->nr == __NR_utimensat)
		return pf__call_read(j->call, address, times, 2 * sizeof *times);
#ifdef __NR_utime
	if (s->nr == __NR_utime) {
		err = pf__call_read(j->call, address, &ut, sizeof ut);
		times[0] = (struct timespec){.tv_sec = ut.actime};
		times[1] = (struct timespec){.tv_sec = ut.modtime};
		return err;
	}
#endif
	(void)ut;
	err = pf__call_read(j->call, address, tv, sizeof tv);
	for (int i = 0; i < 2 && !err; i++) {
		if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
			return -EINVAL;
		times[i] = (struct timespec){tv[i].tv_sec, tv[i].tv_usec * 1000};
	}
	return err;
}

int64_t on_utimens(struct job *j, struct place *p, const struct spec *s)
{
	bool follow = s->flags < 0 || !(j->call->args[(int)s->flags] & AT_SYMLINK_NOFOLLOW), now;
	struct timespec times[2];
	struct object *o;
	int err = read_times(j, s, times, &now);

	if (!err && s->flags >= 0 &&
	    j->call->args[(int)s->flags] & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		err = -EINVAL;
	if (err)
		return err;
	if (p->o)
		return utimens_object(j, p->o, now ? NULL : times);
	o = written_at(j, p, follow);
	if (!o)
		return pf_utimens(&j->view, place_inside(p), now ? NULL : times,
				  follow ? 0 : AT_SYMLINK_NOFOLLOW);
	err = utimens_object(j, o, now ? NULL : times);
	object_put(o);
	return err;
}

/* ---- truncation ------------------------------------------------------------------------------ */

bool object_is_executed(const struct object *o)
{
	int fd = o->exec ? hold_reopen(o, O_WRONLY) : -1;

	if (fd >= 0)
		close(fd);
	return fd == -ETXTBSY;
}

/* At the server first, which may refuse; then for those who have it open. */
static int truncate_held(struct object *o, int err_of_server, off_t length)
{
	int fd, err = err_of_server;

	pthread_mutex_lock(&o->lock);
	if (!err && o->held) {
		fd = hold_reopen(o, O_RDWR);
		if (fd < 0 || ftruncate(fd, length) < 0)
			err = fd < 0 ? fd : -errno;
		if (fd >= 0)
			close(fd);
		if (!err && o->written)
			flush_truncated(o, (size_t)length);
	}
	pthread_mutex_unlock(&o->lock);
	return err;
}

int64_t on_truncate(struct job *j, struct place *p, const struct spec *s)
{
	off_t length = (off_t)j->call->args[1];
	struct object *o;
	int err;

	(void)s;
	if (p->o) /* through /proc: by the name it has */
		return object_path(p->o, p->path, PATH_MAX)
			   ? -ENOENT
			   : truncate_held(p->o, pf_truncate(&j->view, place_inside(p), length),
					   length);
	o = live_at(j, p, true);
	if (o) {
		pthread_mutex_lock(&o->lock);
		err = object_is_executed(o) ? -ETXTBSY : flush_object(o);
		pthread_mutex_unlock(&o->lock);
		if (err == -ETXTBSY) {
			object_put(o);
			return err;
		}
	}
	err = pf_truncate(&j->view, place_inside(p), length);
	if (o)
		err = truncate_held(o, err, length);
	object_put(o);
	return err;
}

/* What is passed through is the server's to cut, and to allocate. The descriptor may write. */
static bool is_native_writer(struct job *j, const struct object *o)
{
	int flags = o->native ? fd_flags(j->call, (int)j->call->args[0]) : 0;

	return o->native && (flags & O_ACCMODE) != O_RDONLY && o->writer;
}

static int64_t change_native(struct object *o, const uint64_t *a, bool allocate)
{
	int err = -EBADF;

	pthread_mutex_lock(&o->lock);
	if (o->writer && allocate)
		err = pf_fallocate(o->writer, (int)a[1], (off_t)a[2], (off_t)a[3]);
	else if (o->writer)
		err = pf_ftruncate(o->writer, (off_t)a[1]);
	pthread_mutex_unlock(&o->lock);
	return err;
}

/* The kernel truncates the memfd, and what differs is sent later. */
int64_t on_ftruncate(struct job *j, struct object *o)
{
	off_t length = (off_t)j->call->args[1];
	int err;

	if (o->through) {
		err = placeholder_begin(j, o);
		if (err)
			return err;
		err = o->real < 0                      ? pf_ftruncate(o->through, length)
		      : ftruncate(o->real, length) < 0 ? -errno
						       : 0;
		placeholder_end(j, o);
		return err;
	}
	if (is_native_writer(j, o))
		return change_native(o, j->call->args, false);
	return o->kind == OBJECT_FILE ? CONTINUE : -EINVAL;
}

/*
 * Room is the server's to promise. What it has done the kernel does to the memfd then, which
 * differs from what the server has no more than before.
 */
static int64_t allocate_held(struct job *j, struct object *o, int flags)
{
	const uint64_t *a = j->call->args;
	int mode = (int)a[1], err;
	off_t offset = (off_t)a[2], length = (off_t)a[3];

	if (o->kind != OBJECT_FILE || mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE) ||
	    offset < 0 || length <= 0 || (flags & O_ACCMODE) == O_RDONLY)
		return CONTINUE; /* the kernel says what is wrong, or EOPNOTSUPP */
	pthread_mutex_lock(&o->lock);
	err = !o->written || !o->writer ? 0 : flush_object(o);
	if (!err && o->written && o->writer)
		err = pf_fallocate(o->writer, mode, offset, length);
	if (!err && o->written)
		flush_allocated(o, mode, offset, length);
	pthread_mutex_unlock(&o->lock);
	/* A hole that it cannot make is zeros to it, later. */
	return err && !(err == -EOPNOTSUPP && mode & FALLOC_FL_PUNCH_HOLE) ? err : CONTINUE;
}

static int64_t allocate_in_turn(struct job *j, struct object *o)
{
	const uint64_t *a = j->call->args;
	struct object *held;
	int64_t result;

	if (o->real < 0)
		return pf_fallocate(o->through, (int)a[1], (off_t)a[2], (off_t)a[3]);
	held = object_by_inode(j->r, o->inode);
	result = held ? allocate_held(j, held, fcntl(o->real, F_GETFL)) : CONTINUE;
	object_put(held);
	if (result != CONTINUE)
		return result;
	return fallocate(o->real, (int)a[1], (off_t)a[2], (off_t)a[3]) < 0 ? -errno : 0;
}

static int64_t allocate_placeholder(struct job *j, struct object *o)
{
	int64_t result = placeholder_begin(j, o);

	if (result)
		return result;
	result = allocate_in_turn(j, o);
	placeholder_end(j, o);
	return result;
}

int64_t on_fallocate(struct job *j, struct object *o)
{
	if (is_native_writer(j, o))
		return change_native(o, j->call->args, true);
	return o->through ? allocate_placeholder(j, o)
			  : allocate_held(j, o, fd_flags(j->call, (int)j->call->args[0]));
}

/* ---- links ----------------------------------------------------------------------------------- */

int64_t on_symlink(struct job *j, struct place *p, const struct spec *s)
{
	char target[PATH_MAX];
	ssize_t n = job_read_path(j, j->call->args[0], target);

	(void)s;
	if (n < 0)
		return n;
	return p->o ? -EEXIST : pf_symlink(&j->view, target, place_inside(p));
}

/* Two places of one call. */
struct two {
	struct place a, b;
	char from[PATH_MAX], to[PATH_MAX];
	int dirfrom, dirto;
	unsigned ia, ib; /* the paths' arguments */
};

static int find_two(struct job *j, struct two *t, unsigned flags_a, unsigned flags_b)
{
	int err = place_find(j, t->dirfrom, t->from, flags_a, &t->a);

	if (!err)
		err = place_find(j, t->dirto, t->to, flags_b, &t->b);
	return err;
}

static void clear_two(struct two *t)
{
	place_clear(&t->a);
	place_clear(&t->b);
}

/* Both outside: the kernel does it, led there where it would not find the way. */
static int64_t both_outside(struct job *j, struct two *t)
{
	const unsigned index[2] = {t->ia, t->ib};
	const char *const text[2] = {t->a.path, t->b.path};

	places_change(j->r);
	if (!t->a.detour && !t->b.detour)
		return CONTINUE;
	redirect_paths(j, index, text, 2);
	return ANSWERED;
}

static bool is_mountpoint(const struct place *p)
{
	return p->m && !p->o && !strcmp(place_inside(p), "/");
}

/* Between two file systems. */
static int64_t across(struct job *j, const struct two *t)
{
	struct stat st;

	/* EXDEV would have mv empty what is mounted. */
	if (is_mountpoint(&t->a) || is_mountpoint(&t->b))
		return -EBUSY;

	if (t->a.error || t->b.error)
		return t->a.error ? t->a.error : t->b.error;
	/* link(2) looks first whether the name is taken. */
	if (j->call->nr != __NR_renameat2 && !IS_NR(j, rename) && !t->b.m && !lstat(t->b.path, &st))
		return -EEXIST;
	return -EXDEV;
}

typedef int64_t (*two_fn)(struct job *j, struct two *t, int flags);

static int64_t do_two(struct job *j, struct two *t, two_fn fn, unsigned flags_a, int flags)
{
	unsigned careful = 0;
	int64_t result = -PF_ELINK;
	int err;

	for (int i = 0; i < 2; i++) {
		ssize_t n = job_read_path(j, j->call->args[i ? t->ib : t->ia], i ? t->to : t->from);

		if (n < 0)
			return n;
	}
	if (flags_a & PLACE_FOLLOW) /* what takes the path would not follow it */
		careful = PLACE_CAREFUL;
	for (int i = 0; i < 4 && result == -PF_ELINK; i++) {
		clear_two(t);
		err = find_two(j, t, flags_a | careful, careful);
		if (err)
			return err;
		if (!t->a.m && !t->b.m)
			return both_outside(j, t);
		if (t->a.m != t->b.m)
			return across(j, t);
		err = job_view(j, t->a.m);
		result = err ? err : fn(j, t, flags);
		careful = PLACE_CAREFUL;
	}
	return result;
}

/*
 * A new name shall lead to what was written, though it is still open: the server may take it for
 * another file (libfuse's path servers do), and others wait for the name. What could not be written
 * back when it was closed shall not take the place of a good file: who renames it is told.
 */
static int flush_before(struct job *j, const struct place *p)
{
	struct object *o = written_at(j, p, false);
	int err = 0;

	if (o) {
		pthread_mutex_lock(&o->lock);
		err = flush_object(o);
		if (!err)
			err = o->error; /* mv(1) tries twice: it stays */
		pthread_mutex_unlock(&o->lock);
	}
	object_put(o);
	return err;
}

/* ---- rename ---------------------------------------------------------------------------------- */

static void strip(char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
}

static int64_t rename_inside(struct job *j, struct two *t, int flags)
{
	int err, dots;

	if (t->a.o || t->b.o)
		return -EBUSY;
	dots = last_dots(j, j->call->args[t->ia], &t->a);
	if (dots)
		return dots < 0 ? dots : -EBUSY;
	dots = last_dots(j, j->call->args[t->ib], &t->b);
	if (dots)
		return dots < 0 ? dots : flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	flush_closed_for_names(j->r);
	err = flush_before(j, &t->a);
	if (!err && flags & RENAME_EXCHANGE)
		err = flush_before(j, &t->b);
	if (err)
		return err;
	if (!(flags & RENAME_EXCHANGE))
		settle_at(j, &t->b);
	err = pf_rename2(&j->view, place_inside(&t->a), place_inside(&t->b), (unsigned)flags);
	if (err)
		return err;
	strip(t->a.path);
	strip(t->b.path);
	if (flags & RENAME_EXCHANGE)
		objects_exchanged(j->r, t->a.path, t->b.path);
	else
		objects_renamed(j->r, t->a.path, t->b.path);
	return 0;
}

/* What rename and link have in common; at: their forms with descriptors. */
static enum pf__call_end two_paths(struct job *j, bool at, two_fn fn, unsigned flags_a, int flags)
{
	struct two *t;
	int64_t result;

	if (nothing_is_ours(j->r))
		return call_end(j, CONTINUE);
	t = pf__calloc(1, sizeof *t);
	if (!t)
		return call_end(j, -ENOMEM);
	flush_closed_quick(j->r);
	t->dirfrom = at ? (int)j->call->args[0] : AT_FDCWD;
	t->dirto = at ? (int)j->call->args[2] : AT_FDCWD;
	t->ia = at ? 1 : 0;
	t->ib = at ? 3 : 1;
	result = do_two(j, t, fn, flags_a, flags);
	clear_two(t);
	pf__free(t);
	return call_end(j, result);
}

enum pf__call_end on_rename(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};

	return two_paths(&j, !IS_NR(&j, rename), rename_inside, 0,
			 call->nr == __NR_renameat2 ? (int)call->args[4] : 0);
}

/* ---- link ------------------------------------------------------------------------------------ */

static int link_object(struct job *j, struct object *o, const char *to)
{
	struct pf_file *file, *root;
	int err = as_caller(j, o, &file);

	if (err)
		return err;
	err = pf_open(&j->view, "/", O_PATH | O_DIRECTORY, 0, &root);
	if (!err) {
		err = pf_linkat(file, "", root, to, AT_EMPTY_PATH);
		pf_close(root);
	}
	pf_close(file);
	return err;
}

static int64_t link_inside(struct job *j, struct two *t, int flags)
{
	int err;

	(void)flags;
	if (t->b.o)
		return -EEXIST;
	if (!t->a.o) {
		err = flush_before(j, &t->a);
		return err ? err : pf_link(&j->view, place_inside(&t->a), place_inside(&t->b));
	}
	pthread_mutex_lock(&t->a.o->lock);
	err = flush_object(t->a.o);
	pthread_mutex_unlock(&t->a.o->lock);
	if (err)
		return err;
	err = link_object(j, t->a.o, place_inside(&t->b));
	if (!err)
		objects_linked(t->a.o, t->b.path);
	return err;
}

enum pf__call_end on_link(void *ctx, struct pf__call *call)
{
	struct job j = {.r = ctx, .call = call};
	bool at = call->nr == __NR_linkat;
	int flags = at ? (int)call->args[4] : 0;

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return call_end(&j, CONTINUE);
	return two_paths(&j, at, link_inside,
			 (flags & AT_SYMLINK_FOLLOW ? PLACE_FOLLOW : 0) |
			     (flags & AT_EMPTY_PATH ? PLACE_EMPTY : 0),
			 flags);
}
