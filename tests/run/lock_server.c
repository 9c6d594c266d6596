/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server that shows a directory and keeps locks, for us and for the kernel:
 *     lock_server [fuse options] [-o deaf] DIR MOUNTPOINT
 * Its locks are real ones of the files in DIR, so two servers of one directory exclude each other:
 * an owner's records are OFD locks of a descriptor that he has for himself, flock's are those of
 * the descriptor that was opened.
 *   deaf      never answers who would have to wait
 *   nolocks   does not negotiate any
 */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *top;
static int deaf, nolocks, direct;

/* ---- locks ----------------------------------------------------------------------------------- */

/* What an owner has of a file. */
struct owner {
	struct owner *next;
	ino_t ino;
	uint64_t id;
	int fd, users;
};
static struct owner *owners;
static pthread_mutex_t owners_lock = PTHREAD_MUTEX_INITIALIZER;

static struct owner *owner_of(int fd, uint64_t id)
{
	struct stat st;
	struct owner *o;
	char name[64];

	if (fstat(fd, &st) < 0)
		return NULL;
	pthread_mutex_lock(&owners_lock);
	for (o = owners; o && (o->ino != st.st_ino || o->id != id); o = o->next)
		;
	if (!o && (o = calloc(1, sizeof *o))) {
		snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
		o->fd = open(name, O_RDWR | O_CLOEXEC);
		o->ino = st.st_ino;
		o->id = id;
		o->next = owners;
		owners = o;
	}
	if (o)
		o->users++;
	pthread_mutex_unlock(&owners_lock);
	return o;
}

/* gone: it has no lock any more. */
static void owner_put(struct owner *o, bool gone)
{
	pthread_mutex_lock(&owners_lock);
	if (!--o->users && gone) {
		struct owner **at = &owners;

		while (*at != o)
			at = &(*at)->next;
		*at = o->next;
		close(o->fd);
		free(o);
	}
	pthread_mutex_unlock(&owners_lock);
}

/* libfuse itself knows the pids of those who have locks here; of others there are none to be had.
 */
static int do_lock(const char *path, struct fuse_file_info *fi, int cmd, struct flock *lock)
{
	struct owner *o = owner_of((int)fi->fh, fi->lock_owner);
	bool all = lock->l_type == F_UNLCK && !lock->l_start && !lock->l_len;
	struct flock l = *lock;
	int r, err;

	if (!o)
		return -ENOLCK;
	l.l_pid = 0;
	if (cmd == F_SETLKW && deaf && fcntl(o->fd, F_OFD_SETLK, &l) < 0)
		for (;;)
			pause();
	r = fcntl(o->fd,
		  cmd == F_GETLK    ? F_OFD_GETLK
		  : cmd == F_SETLKW ? F_OFD_SETLKW
				    : F_OFD_SETLK,
		  &l);
	err = errno;
	owner_put(o, all && cmd == F_SETLK);
	if (!r && cmd == F_GETLK) {
		*lock = l;
		lock->l_pid = 0;
	}
	return r < 0 ? -err : 0;
}

static int do_flock(const char *path, struct fuse_file_info *fi, int op)
{
	if (deaf && !(op & (LOCK_NB | LOCK_UN)) && flock((int)fi->fh, op | LOCK_NB) < 0)
		for (;;)
			pause();
	return flock((int)fi->fh, op) < 0 ? -errno : 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

static const char *under(char *buf, const char *path)
{
	snprintf(buf, PATH_MAX, "%s%s", top, path);
	return buf;
}

static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	char buf[PATH_MAX];

	return (fi ? fstat((int)fi->fh, st) : lstat(under(buf, path), st)) < 0 ? -errno : 0;
}

static int do_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t at,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	char name[PATH_MAX];
	DIR *d = opendir(under(name, path));
	struct dirent *e;

	if (!d)
		return -errno;
	while ((e = readdir(d)))
		fill(buf, e->d_name, NULL, 0, 0);
	closedir(d);
	return 0;
}

static int opened(struct fuse_file_info *fi, int fd)
{
	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	fi->direct_io = direct;
	return 0;
}

static int do_open(const char *path, struct fuse_file_info *fi)
{
	char buf[PATH_MAX];

	return opened(fi, open(under(buf, path), fi->flags & ~O_NOFOLLOW));
}

static int do_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	char buf[PATH_MAX];

	return opened(fi, open(under(buf, path), fi->flags, mode));
}

static int do_read(const char *path, char *buf, size_t size, off_t at, struct fuse_file_info *fi)
{
	ssize_t n = pread((int)fi->fh, buf, size, at);

	return n < 0 ? -errno : (int)n;
}

static int do_write(const char *path, const char *buf, size_t size, off_t at,
		    struct fuse_file_info *fi)
{
	ssize_t n = pwrite((int)fi->fh, buf, size, at);

	return n < 0 ? -errno : (int)n;
}

static int do_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	char buf[PATH_MAX];

	return (fi ? ftruncate((int)fi->fh, size) : truncate(under(buf, path), size)) < 0 ? -errno
											  : 0;
}

static int do_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *fi)
{
	char buf[PATH_MAX];

	return (fi ? futimens((int)fi->fh, times) : utimensat(-1, under(buf, path), times, 0)) < 0
		   ? -errno
		   : 0;
}

static int do_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	char buf[PATH_MAX];

	return chmod(under(buf, path), mode) < 0 ? -errno : 0;
}

static int do_unlink(const char *path)
{
	char buf[PATH_MAX];

	return unlink(under(buf, path)) < 0 ? -errno : 0;
}

static int do_mkdir(const char *path, mode_t mode)
{
	char buf[PATH_MAX];

	return mkdir(under(buf, path), mode) < 0 ? -errno : 0;
}

static int do_rmdir(const char *path)
{
	char buf[PATH_MAX];

	return rmdir(under(buf, path)) < 0 ? -errno : 0;
}

static int do_rename(const char *from, const char *to, unsigned flags)
{
	char a[PATH_MAX], b[PATH_MAX];

	return flags ? -EINVAL : rename(under(a, from), under(b, to)) < 0 ? -errno : 0;
}

static int do_fsync(const char *path, int data, struct fuse_file_info *fi)
{
	return 0;
}

static int do_flush(const char *path, struct fuse_file_info *fi)
{
	return 0;
}

static int do_release(const char *path, struct fuse_file_info *fi)
{
	close((int)fi->fh);
	return 0;
}

/* Nothing is known for longer than it is looked at: others change it. */
static void *do_init(struct fuse_conn_info *conn, struct fuse_config *c)
{
	c->entry_timeout = c->attr_timeout = c->negative_timeout = 0;
	c->nullpath_ok = 1;
	c->intr = !deaf; /* SIGUSR1 ends the wait of the thread whose request is given up */
	c->intr_signal = SIGUSR1;
	return NULL;
}

static const struct fuse_opt options[] = {
    {"deaf", 0, 1}, {"nolocks", sizeof(int), 1}, {"direct", 2 * sizeof(int), 1}, FUSE_OPT_END};

/* DIR comes before the mountpoint. */
static int argument(void *data, const char *arg, int key, struct fuse_args *out)
{
	if (key != FUSE_OPT_KEY_NONOPT || top)
		return 1;
	top = realpath(arg, NULL);
	return top ? 0 : -1;
}

static void interrupted(int sig)
{
}

int main(int argc, char **argv)
{
	const struct sigaction act = {.sa_handler = interrupted};
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	int words[3] = {0, 0, 0};
	struct fuse_operations ops = {
	    .init = do_init,
	    .getattr = do_getattr,
	    .readdir = do_readdir,
	    .open = do_open,
	    .create = do_create,
	    .read = do_read,
	    .write = do_write,
	    .truncate = do_truncate,
	    .utimens = do_utimens,
	    .chmod = do_chmod,
	    .unlink = do_unlink,
	    .mkdir = do_mkdir,
	    .rmdir = do_rmdir,
	    .rename = do_rename,
	    .fsync = do_fsync,
	    .flush = do_flush,
	    .release = do_release,
	};

	if (fuse_opt_parse(&args, words, options, argument))
		return 1;
	deaf = words[0];
	nolocks = words[1];
	direct = words[2];
	if (!nolocks) {
		ops.lock = do_lock;
		ops.flock = do_flock;
	}
	umask(0);
	sigaction(SIGUSR1, &act, NULL);
	return fuse_main(args.argc, args.argv, &ops, NULL);
}
