// SPDX-License-Identifier: BSD-2-Clause
#include "tests/hostile/calls.h"
#include "base/arith.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>

#define BUF      (600 << 10)
#define RENAMES  8
#define ENTRIES  30 /* of a directory, at a time */
#define PATH_LEN 2600

/* An ioctl both ways sends and receives one buffer; ThreadSanitizer believes that sendmsg() reads
 * it until it returns, when the answer may have come already. */
#ifdef __SANITIZE_THREAD__
#define IOC_WAYS 3
#else
#define IOC_WAYS 4
#endif

/* ---- what all share */

void shared_init(struct shared *s, struct pf_fs *fs)
{
	static const gid_t groups[] = {5, 6, 7};

	for (int i = 0; i < VIEWS; i++) {
		struct pf_caller c = {.size = sizeof(c),
				      .uid = i * 1000,
				      .gid = i * 1000,
				      .pid = 100 + i,
				      .umask = 022,
				      .ngroups = i,
				      .groups = groups,
				      .lock_owner = i,
				      .security_context = i == 2 ? "ctx" : NULL,
				      .security_context_size = i == 2 ? 4 : 0,
				      .security_context_name = i == 2 ? "security.selinux" : NULL};

		if (pf_as(fs, &c, &s->views[i]))
			abort();
	}
	for (int i = 0; i < SHARED; i++) {
		s->files[i] = NULL;
		pthread_rwlock_init(&s->locks[i], NULL);
	}
}

void shared_interrupt(struct shared *s, struct dice *d)
{
	pf_interrupt(s->views[dice_below(d, VIEWS)]);
}

void shared_close(struct shared *s)
{
	for (int i = 0; i < VIEWS; i++)
		pf_view_free(s->views[i]);
	for (int i = 0; i < SHARED; i++) {
		if (s->files[i])
			pf_close(s->files[i]);
		pthread_rwlock_destroy(&s->locks[i]);
	}
}

/* ---- a thread's own */

void worker_init(struct worker *w, struct pf_fs *fs, struct shared *s, _Atomic bool *stop,
		 uint64_t seed)
{
	w->dice.s = seed;
	w->fs = fs;
	w->shared = s;
	w->stop = stop;
	w->buf = calloc(1, BUF);
	if (!w->buf)
		abort();
	atomic_store(&w->since, pf__now() / PF_NSEC_PER_MSEC);
	atomic_store(&w->call, "start");
}

void worker_close_all(struct worker *w)
{
	for (int i = 0; i < FILES; i++)
		if (w->files[i])
			pf_close(w->files[i]);
	memset(w->files, 0, sizeof(w->files));
	free(w->buf);
	w->buf = NULL;
}

/* No errno is larger; no count is larger than what was asked for. */
static long called(struct worker *w, long r, long most)
{
	if (r < 0 ? r < -4095 : r > most) {
		fprintf(stderr, "%s gave %ld\n", atomic_load(&w->call), r);
		abort();
	}
	return r;
}

static void begin(struct worker *w, const char *call, bool unlimited)
{
	atomic_store(&w->unlimited, unlimited);
	atomic_store(&w->since, pf__now() / PF_NSEC_PER_MSEC);
	atomic_store(&w->call, call);
}

#define CALL(w, most, expr)      (begin(w, #expr, false), called(w, expr, most))
#define UNLIMITED(w, most, expr) (begin(w, #expr, true), called(w, expr, most))

static struct pf_fs *some_view(struct worker *w)
{
	unsigned n = dice_below(&w->dice, VIEWS + 2);

	return n < VIEWS ? w->shared->views[n] : w->fs;
}

static const char *some_name(struct worker *w, char *to)
{
	static const char *const odd[] = {".", "..", "", "h", "a/", "//"};

	if (dice_hit(&w->dice, 10)) {
		size_t n = dice_hit(&w->dice, 500) ? 255 : 1100;

		memset(to, 'b', n);
		to[n] = 0;
		return to;
	}
	if (dice_hit(&w->dice, 100))
		return odd[dice_below(&w->dice, PF_ARRAY_SIZE(odd))];
	to[0] = 'a' + dice_below(&w->dice, 8);
	to[1] = 0;
	return to;
}

/* path: PATH_LEN bytes. */
static const char *some_path(struct worker *w, char *path)
{
	char name[1200];
	size_t len = 0;
	unsigned n = 1 + dice_below(&w->dice, 4);

	if (dice_hit(&w->dice, 30)) /* the root */
		return "/";
	while (n-- && len < PATH_LEN - sizeof(name) - 2)
		len += sprintf(path + len, "%s%s", len ? "/" : "", some_name(w, name));
	return path;
}

static struct pf_file *some_file(struct worker *w)
{
	return w->files[dice_below(&w->dice, FILES)];
}

static int some_flags(struct worker *w)
{
	static const int extra[] = {O_CREAT,     O_EXCL,  O_TRUNC,    O_APPEND,  O_DIRECT,
				    O_DIRECTORY, O_PATH,  O_NOFOLLOW, O_TMPFILE, O_NOATIME,
				    O_SYNC,      O_DSYNC, O_NONBLOCK, O_CLOEXEC, 0x80000000};
	int flags = dice_below(&w->dice, 3);

	for (unsigned n = dice_below(&w->dice, 3); n--;)
		flags |= extra[dice_below(&w->dice, PF_ARRAY_SIZE(extra))];
	return dice_hit(&w->dice, 300) ? O_RDONLY | O_DIRECTORY : flags;
}

/* ---- calls by kind */

/* Into a free place, or in place of another. */
static void keep(struct worker *w, struct pf_file *f)
{
	unsigned at = dice_below(&w->dice, FILES);
	struct pf_file *old = w->files[at];

	w->files[at] = f;
	if (old)
		CALL(w, 0, pf_close(old));
}

static void open_some(struct worker *w)
{
	struct pf_file *f = NULL, *dir = some_file(w);
	char path[PATH_LEN];
	struct pf_fs *view = some_view(w), *own = NULL;
	int flags = some_flags(w);
	long r;

	if (dice_hit(&w->dice, 200)) { /* a view that ends before its file */
		struct pf_caller c = {.size = sizeof(c), .uid = dice_below(&w->dice, 2) * 1000};

		if (!pf_as(w->fs, &c, &own))
			view = own;
	}
	if (dir && dice_hit(&w->dice, 300))
		r = CALL(w, 0, pf_openat(dir, some_path(w, path), flags, 0640, &f));
	else
		r = CALL(w, 0, pf_open(view, some_path(w, path), flags, 0640, &f));
	pf_view_free(own);
	if (!r)
		keep(w, f);
}

static void dup_some(struct worker *w)
{
	struct pf_file *f = some_file(w), *copy;

	if (f && !CALL(w, 0, pf_dup(f, &copy)))
		keep(w, copy);
}

static void close_some(struct worker *w)
{
	unsigned at = dice_below(&w->dice, FILES);

	if (w->files[at])
		CALL(w, 0, pf_close(w->files[at]));
	w->files[at] = NULL;
}

static void share_some(struct worker *w)
{
	unsigned at = dice_below(&w->dice, FILES), to = dice_below(&w->dice, SHARED);
	struct shared *s = w->shared;
	struct pf_file *old;

	if (!w->files[at] || pthread_rwlock_trywrlock(&s->locks[to]))
		return;
	old = s->files[to];
	s->files[to] = w->files[at];
	pthread_rwlock_unlock(&s->locks[to]);
	w->files[at] = NULL;
	if (old)
		CALL(w, 0, pf_close(old));
}

static off_t some_offset(struct worker *w)
{
	return dice_hit(&w->dice, 100) ? (off_t)dice_odd(&w->dice) : dice_below(&w->dice, 5000);
}

static size_t some_size(struct worker *w)
{
	return dice_hit(&w->dice, 100) ? dice_below(&w->dice, BUF) : dice_below(&w->dice, 9000);
}

static void io(struct worker *w, struct pf_file *f)
{
	struct iovec iov[5];
	size_t n = some_size(w);
	off_t at = some_offset(w);

	for (int i = 0; i < 5; i++)
		iov[i] = (struct iovec){w->buf + i * 10000, dice_below(&w->dice, 9000)};
	switch (dice_below(&w->dice, 12)) {
	case 0:
	case 1:
	case 2:
		CALL(w, n, pf_pread(f, w->buf, n, at));
		break;
	case 3:
	case 4:
		CALL(w, n, pf_pwrite(f, w->buf, n, at));
		break;
	case 5:
		CALL(w, 45000, pf_preadv(f, iov, 5, at));
		break;
	case 6:
		CALL(w, 45000, pf_pwritev(f, iov, 5, at));
		break;
	case 7:
		CALL(w, n, pf_read(f, w->buf, n));
		break;
	case 8:
		CALL(w, n, pf_write(f, w->buf, n));
		break;
	case 9:
		CALL(w, INT64_MAX, pf_lseek(f, at, dice_below(&w->dice, 6)));
		break;
	case 10:
		CALL(w, 0, pf_ftruncate(f, at));
		break;
	case 11:
		CALL(w, 0, pf_fallocate(f, dice_below(&w->dice, 4), at, some_offset(w)));
		break;
	}
}

static void copy_range(struct worker *w, struct pf_file *f)
{
	struct pf_file *to = some_file(w);
	off_t in = some_offset(w), out = some_offset(w);

	if (to)
		CALL(w, 100000,
		     pf_copy_file_range(f, dice_hit(&w->dice, 500) ? &in : NULL, to,
					dice_hit(&w->dice, 500) ? &out : NULL,
					dice_below(&w->dice, 100000), 0));
}

static void lock_some(struct worker *w, struct pf_file *f)
{
	static const int cmds[] = {F_GETLK,     F_SETLK,     F_SETLKW,
				   F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW};
	struct flock lk = {.l_type = dice_below(&w->dice, 3),
			   .l_whence = dice_below(&w->dice, 3),
			   .l_start = some_offset(w),
			   .l_len = some_offset(w)};

	if (dice_hit(&w->dice, 300))
		UNLIMITED(w, 0, pf_flock(f, 1 << dice_below(&w->dice, 4)));
	else
		UNLIMITED(w, 0, pf_lock(f, cmds[dice_below(&w->dice, 6)], &lk));
}

static void meta_of_file(struct worker *w, struct pf_file *f)
{
	struct statvfs vfs;
	struct stat st;

	switch (dice_below(&w->dice, 12)) {
	case 0:
	case 1:
		CALL(w, 0, pf_fstat(f, &st));
		break;
	case 2:
		CALL(w, 0, pf_fsync(f, dice_below(&w->dice, 2)));
		break;
	case 3:
		CALL(w, 0, pf_fchmod(f, dice_below(&w->dice, 010000)));
		break;
	case 4:
		CALL(w, 0, pf_fchown(f, dice_below(&w->dice, 3), -1));
		break;
	case 5:
		CALL(w, 0, pf_futimens(f, NULL));
		break;
	case 6:
		CALL(w, 65536, pf_fgetxattr(f, "user.a", w->buf, dice_below(&w->dice, 4096)));
		break;
	case 7:
		CALL(w, 65536, pf_flistxattr(f, w->buf, dice_below(&w->dice, 4096)));
		break;
	case 8:
		CALL(w, INT32_MAX,
		     pf_ioctl(
			 f,
			 _IOC(dice_below(&w->dice, IOC_WAYS), 'x', 1, dice_below(&w->dice, 5000)),
			 w->buf));
		break;
	case 9:
		CALL(w, 0, pf_setfl(f, dice_next(&w->dice)));
		break;
	case 10:
		CALL(w, 0, pf_fstatvfs(f, &vfs));
		break;
	case 11:
		UNLIMITED(w, 0xffff, pf_poll(f, POLLIN, (int)dice_below(&w->dice, 30) - 1));
		break;
	}
}

static void list(struct worker *w, struct pf_file *f)
{
	struct pf_dirent e;

	for (int i = 0; i < ENTRIES; i++) {
		if (CALL(w, 1, pf_readdir(f, &e)) <= 0)
			break;
		/* A NUL inside is not judged. */
		if (e.namelen < strlen(e.name)) {
			fprintf(stderr, "a name of %u bytes has %zu\n", e.namelen, strlen(e.name));
			abort();
		}
	}
	if (dice_hit(&w->dice, 200))
		CALL(w, 0, pf_seekdir(f, dice_odd(&w->dice)));
}

static void with_file(struct worker *w, struct pf_file *f)
{
	switch (dice_below(&w->dice, 8)) {
	case 0:
	case 1:
		io(w, f);
		break;
	case 2:
		meta_of_file(w, f);
		break;
	case 3:
	case 4:
	case 5:
		list(w, f);
		break;
	case 6:
		lock_some(w, f);
		break;
	case 7:
		copy_range(w, f);
		break;
	}
}

static void on_shared(struct worker *w)
{
	unsigned at = dice_below(&w->dice, SHARED);
	struct shared *s = w->shared;

	if (pthread_rwlock_tryrdlock(&s->locks[at]))
		return;
	/* Two threads may not use a directory's entry at once: its name lives in the stream. */
	if (s->files[at] && dice_hit(&w->dice, 500))
		io(w, s->files[at]);
	else if (s->files[at])
		meta_of_file(w, s->files[at]);
	pthread_rwlock_unlock(&s->locks[at]);
}

static void look(struct worker *w)
{
	struct pf_fs *fs = some_view(w);
	struct statvfs vfs;
	struct stat st;
	struct statx stx;
	char path[PATH_LEN];

	some_path(w, path);
	switch (dice_below(&w->dice, 10)) {
	case 0:
	case 1:
	case 2:
		CALL(w, 0, pf_stat(fs, path, &st));
		break;
	case 3:
	case 4:
		CALL(w, 0, pf_lstat(fs, path, &st));
		break;
	case 5:
		CALL(w, 0,
		     pf_statx(fs, path, dice_hit(&w->dice, 300) ? AT_STATX_FORCE_SYNC : 0,
			      dice_hit(&w->dice, 500) ? STATX_ALL : dice_next(&w->dice), &stx));
		break;
	case 6:
		CALL(w, 0, pf_access(fs, path, dice_below(&w->dice, 8)));
		break;
	case 7:
		CALL(w, 4096, pf_readlink(fs, path, w->buf, 4096));
		break;
	case 8:
		CALL(w, 65536,
		     pf_getxattr(fs, path,
				 dice_hit(&w->dice, 500) ? "system.posix_acl_access" : "user.a",
				 w->buf, dice_below(&w->dice, 2) * 65536));
		break;
	case 9:
		CALL(w, 0, pf_statvfs(fs, path, &vfs));
		break;
	}
}

static void change(struct worker *w)
{
	struct pf_fs *fs = some_view(w);
	char path[PATH_LEN], to[PATH_LEN];

	some_path(w, path);
	some_path(w, to);
	switch (dice_below(&w->dice, 16)) {
	case 0:
		CALL(w, 0, pf_mkdir(fs, path, 0755));
		break;
	case 1:
		CALL(w, 0, pf_rmdir(fs, path));
		break;
	case 2:
	case 3:
		CALL(w, 0, pf_unlink(fs, path));
		break;
	case 4:
		CALL(w, 0, pf_rename(fs, path, to));
		break;
	case 5:
		CALL(w, 0, pf_rename2(fs, path, to, dice_below(&w->dice, RENAMES)));
		break;
	case 6:
		CALL(w, 0, pf_link(fs, path, to));
		break;
	case 7:
		CALL(w, 0, pf_symlink(fs, to, path));
		break;
	case 8:
		CALL(w, 0, pf_mknod(fs, path, S_IFIFO | 0600, 0));
		break;
	case 9:
		CALL(w, 0, pf_chmod(fs, path, dice_below(&w->dice, 010000)));
		break;
	case 10:
		CALL(w, 0, pf_lchown(fs, path, dice_below(&w->dice, 3), dice_below(&w->dice, 3)));
		break;
	case 11:
		CALL(w, 0, pf_utimens(fs, path, NULL, 0));
		break;
	case 12:
		CALL(w, 0, pf_truncate(fs, path, some_offset(w)));
		break;
	case 13:
		CALL(w, 0, pf_setxattr(fs, path, "user.a", w->buf, dice_below(&w->dice, 70000), 0));
		break;
	case 14:
		CALL(w, 0, pf_removexattr(fs, path, "user.a"));
		break;
	case 15:
		CALL(w, 0, pf_syncfs(fs));
		break;
	}
}

static void no_info(void *ctx, const char *key, const char *value)
{
}

void worker_call(struct worker *w)
{
	unsigned n = dice_below(&w->dice, 100);
	struct pf_file *f = some_file(w);

	if (n < 20)
		open_some(w);
	else if (n < 24)
		close_some(w);
	else if (n < 26)
		dup_some(w);
	else if (n < 28)
		share_some(w);
	else if (n < 38)
		on_shared(w);
	else if (n < 60 && f)
		with_file(w, f);
	else if (n < 84)
		look(w);
	else if (n < 99)
		change(w);
	else
		CALL(w, 0, pf_info(w->fs, no_info, NULL));
}
