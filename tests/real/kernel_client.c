/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls of portfire.h that the exercise makes, answered by the kernel's own FUSE client: the
 * same exercise against a mount shows what the reference does. Needs /dev/fuse and a mount; for
 * people, not for the test suite.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <portfire/portfire.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

struct pf_fs {
	int root;
	char mountpoint[256];
};
struct pf_file {
	int fd;
	DIR *dir;
};
static char sentence[300];

static long result(long r)
{
	if (r >= 0)
		return r;
	snprintf(sentence, sizeof(sentence), "%s", strerror(errno));
	return -errno;
}

/* "/a/b" starts at the mount, not at the root of this process. */
static const char *relative(const char *path)
{
	path += strspn(path, "/");
	return *path ? path : ".";
}

const char *pf_error(void)
{
	return sentence;
}

int pf_start(struct pf_fs **fs, char *const argv[], const struct pf_options *options)
{
	struct pf_fs *f = calloc(1, sizeof(*f));
	struct stat before, now;
	char *args[64] = {NULL};

	const char *tmp = getenv("TMPDIR");
	snprintf(f->mountpoint, sizeof(f->mountpoint), "%s/kernel-client-XXXXXX",
		 tmp ? tmp : "/tmp");
	if (!mkdtemp(f->mountpoint) || stat(f->mountpoint, &before) < 0)
		return -errno;
	for (int i = 0; argv[i] && i < 63; i++)
		args[i] = strcmp(argv[i], "{}") ? argv[i] : f->mountpoint;
	if (fork() == 0) {
		execvp(args[0], args);
		_exit(127);
	}
	for (int i = 0; i < 300; i++) {
		usleep(20000);
		if (stat(f->mountpoint, &now) == 0 && now.st_dev != before.st_dev)
			break;
	}
	f->root = open(f->mountpoint, O_RDONLY | O_DIRECTORY);
	*fs = f;
	return now.st_dev != before.st_dev ? 0 : -ETIMEDOUT;
}

int pf_stop(struct pf_fs *fs)
{
	char command[2000];

	close(fs->root);
	snprintf(
	    command, sizeof(command),
	    "umount %1$s && while pgrep -f '^[^ ]* .*%1$s' | grep -qvx $$; do sleep 0.1; done; "
	    "rmdir %1$s",
	    fs->mountpoint);
	int e = system(command) ? -EBUSY : 0;
	free(fs);
	return e;
}

static int open_at(int at, const char *path, int flags, mode_t mode, struct pf_file **file)
{
	int fd = openat(at, path, flags, mode);

	if (fd < 0)
		return result(fd);
	*file = calloc(1, sizeof(**file));
	(*file)->fd = fd;
	return 0;
}

int pf_open(struct pf_fs *fs, const char *path, int flags, mode_t mode, struct pf_file **file)
{
	return open_at(fs->root, relative(path), flags, mode, file);
}

int pf_openat(struct pf_file *dir, const char *path, int flags, mode_t mode, struct pf_file **file)
{
	return open_at(dir->fd, path, flags, mode, file);
}

int pf_close(struct pf_file *file)
{
	int e = result(file->dir ? closedir(file->dir) : close(file->fd));

	free(file);
	return e;
}

int pf_dup(struct pf_file *file, struct pf_file **copy)
{
	*copy = calloc(1, sizeof(**copy));
	(*copy)->fd = dup(file->fd);
	return result((*copy)->fd < 0 ? -1 : 0);
}

static DIR *dir_of(struct pf_file *file)
{
	if (!file->dir)
		file->dir = fdopendir(file->fd);
	return file->dir;
}

int pf_readdir(struct pf_file *file, struct pf_dirent *entry)
{
	DIR *dir = dir_of(file);

	errno = dir ? 0 : ENOTDIR;
	struct dirent *d = dir ? readdir(dir) : NULL;
	if (!d)
		return errno ? result(-1) : 0;
	*entry = (struct pf_dirent){.ino = d->d_ino, .off = d->d_off, .type = d->d_type};
	entry->name = d->d_name;
	return 1;
}

int pf_seekdir(struct pf_file *file, uint64_t off)
{
	seekdir(dir_of(file), (long)off);
	return 0;
}

uint64_t pf_telldir(struct pf_file *file)
{
	return telldir(dir_of(file));
}

ssize_t pf_readlink(struct pf_fs *fs, const char *path, char *buf, size_t size)
{
	return result(readlinkat(fs->root, relative(path), buf, size));
}

/* ---- the others are libc's calls with another first argument -------------------------------- */

#define FILE_CALL(type, name, parameters, call)                                                    \
	type name parameters                                                                       \
	{                                                                                          \
		return result(call);                                                               \
	}

FILE_CALL(ssize_t, pf_pread, (struct pf_file * f, void *b, size_t n, off_t o),
	  pread(f->fd, b, n, o))
FILE_CALL(ssize_t, pf_pwrite, (struct pf_file * f, const void *b, size_t n, off_t o),
	  pwrite(f->fd, b, n, o))
FILE_CALL(ssize_t, pf_preadv, (struct pf_file * f, const struct iovec *v, int n, off_t o),
	  preadv(f->fd, v, n, o))
FILE_CALL(ssize_t, pf_pwritev, (struct pf_file * f, const struct iovec *v, int n, off_t o),
	  pwritev(f->fd, v, n, o))
FILE_CALL(ssize_t, pf_read, (struct pf_file * f, void *b, size_t n), read(f->fd, b, n))
FILE_CALL(ssize_t, pf_write, (struct pf_file * f, const void *b, size_t n), write(f->fd, b, n))
FILE_CALL(off_t, pf_lseek, (struct pf_file * f, off_t o, int w), lseek(f->fd, o, w))
FILE_CALL(int, pf_ftruncate, (struct pf_file * f, off_t n), ftruncate(f->fd, n))
FILE_CALL(int, pf_fallocate, (struct pf_file * f, int m, off_t o, off_t n),
	  fallocate(f->fd, m, o, n))
FILE_CALL(int, pf_fsync, (struct pf_file * f, int d), d ? fdatasync(f->fd) : fsync(f->fd))
FILE_CALL(ssize_t, pf_copy_file_range,
	  (struct pf_file * in, off_t *oi, struct pf_file *out, off_t *oo, size_t n,
	   unsigned flags),
	  copy_file_range(in->fd, oi, out->fd, oo, n, flags))
FILE_CALL(int, pf_fstat, (struct pf_file * f, struct stat *st), fstat(f->fd, st))
FILE_CALL(int, pf_futimens, (struct pf_file * f, const struct timespec t[2]), futimens(f->fd, t))
FILE_CALL(int, pf_lock, (struct pf_file * f, int cmd, struct flock *l), fcntl(f->fd, cmd, l))
FILE_CALL(int, pf_flock, (struct pf_file * f, int op), flock(f->fd, op))
FILE_CALL(int, pf_fstatat, (struct pf_file * d, const char *p, struct stat *st, int flags),
	  fstatat(d->fd, p, st, flags))
FILE_CALL(int, pf_mkdirat, (struct pf_file * d, const char *p, mode_t m), mkdirat(d->fd, p, m))
FILE_CALL(int, pf_unlinkat, (struct pf_file * d, const char *p, int flags),
	  unlinkat(d->fd, p, flags))
FILE_CALL(int, pf_renameat2,
	  (struct pf_file * a, const char *p, struct pf_file *b, const char *q, unsigned flags),
	  renameat2(a->fd, p, b->fd, q, flags))

#define NAME_CALL(name, parameters, call)                                                          \
	int name parameters                                                                        \
	{                                                                                          \
		path = relative(path);                                                             \
		return result(call);                                                               \
	}

NAME_CALL(pf_stat, (struct pf_fs * fs, const char *path, struct stat *st),
	  fstatat(fs->root, path, st, 0))
NAME_CALL(pf_lstat, (struct pf_fs * fs, const char *path, struct stat *st),
	  fstatat(fs->root, path, st, AT_SYMLINK_NOFOLLOW))
NAME_CALL(pf_access, (struct pf_fs * fs, const char *path, int mode),
	  faccessat(fs->root, path, mode, 0))
NAME_CALL(pf_chmod, (struct pf_fs * fs, const char *path, mode_t mode),
	  fchmodat(fs->root, path, mode, 0))
NAME_CALL(pf_utimens, (struct pf_fs * fs, const char *path, const struct timespec t[2], int flags),
	  utimensat(fs->root, path, t, flags))
NAME_CALL(pf_mkdir, (struct pf_fs * fs, const char *path, mode_t mode),
	  mkdirat(fs->root, path, mode))
NAME_CALL(pf_rmdir, (struct pf_fs * fs, const char *path), unlinkat(fs->root, path, AT_REMOVEDIR))
NAME_CALL(pf_unlink, (struct pf_fs * fs, const char *path), unlinkat(fs->root, path, 0))
NAME_CALL(pf_rename, (struct pf_fs * fs, const char *path, const char *to),
	  renameat(fs->root, path, fs->root, relative(to)))
NAME_CALL(pf_rename2, (struct pf_fs * fs, const char *path, const char *to, unsigned flags),
	  renameat2(fs->root, path, fs->root, relative(to), flags))
NAME_CALL(pf_link, (struct pf_fs * fs, const char *path, const char *to),
	  linkat(fs->root, path, fs->root, relative(to), 0))
NAME_CALL(pf_symlink, (struct pf_fs * fs, const char *target, const char *path),
	  symlinkat(target, fs->root, path))
NAME_CALL(pf_mknod, (struct pf_fs * fs, const char *path, mode_t mode, dev_t dev),
	  mknodat(fs->root, path, mode, dev))

/* Calls that libc has only by path. */
#define PATH_CALL(type, name, parameters, call)                                                    \
	type name parameters                                                                       \
	{                                                                                          \
		char full[3 * PATH_MAX];                                                           \
		snprintf(full, sizeof(full), "%s/%s", fs->mountpoint, relative(path));             \
		return result(call);                                                               \
	}

PATH_CALL(int, pf_truncate, (struct pf_fs * fs, const char *path, off_t n), truncate(full, n))
PATH_CALL(int, pf_statvfs, (struct pf_fs * fs, const char *path, struct statvfs *st),
	  statvfs(full, st))
PATH_CALL(ssize_t, pf_getxattr,
	  (struct pf_fs * fs, const char *path, const char *name, void *value, size_t size),
	  getxattr(full, name, value, size))
PATH_CALL(int, pf_setxattr,
	  (struct pf_fs * fs, const char *path, const char *name, const void *value, size_t size,
	   int flags),
	  setxattr(full, name, value, size, flags))
PATH_CALL(ssize_t, pf_listxattr, (struct pf_fs * fs, const char *path, char *list, size_t size),
	  listxattr(full, list, size))
PATH_CALL(int, pf_removexattr, (struct pf_fs * fs, const char *path, const char *name),
	  removexattr(full, name))
