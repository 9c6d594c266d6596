/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls of libc that are stood in for, by all the names that they have had. */
#include "preload/preload.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
/* Headers give the other name another type, which is the same in 64 bits. */
#define ALIAS(of, name) __asm__(".globl " #name "\n\t.set " #name ", " #of)

/* No header has these any more: programs built before glibc 2.33, and with _FORTIFY_SOURCE. */
int __xstat(int version, const char *path, struct stat *st);
int __lxstat(int version, const char *path, struct stat *st);
int __fxstat(int version, int fd, struct stat *st);
int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags);
int __open_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);

/* A thread may be cancelled before it opens, but not while a fifo lets it wait. */
extern void pthread_testcancel(void) __attribute__((weak));
/* In libc itself since glibc 2.34. */
extern void *dlsym(void *handle, const char *name) __attribute__((weak));

/* Need nobody be asked about path? */
static bool may_pass(int dirfd, const char *path, bool follow)
{
	const struct pf__shared *s = pf__see();
	struct text t;

	return s && pf__leads_elsewhere(s, dirfd, path, follow, &t);
}

/* ---- stat ------------------------------------------------------------------------------------ */

/* Is path shown? Else *pass: need nobody be asked about it? */
static bool look(int dirfd, const char *path, int flags, bool *pass, uint64_t *dev,
		 struct fuse_attr *a)
{
	const struct pf__shared *s = pf__see();
	bool follow = !(flags & AT_SYMLINK_NOFOLLOW);
	struct text t;

	if (!s)
		return false;
	*pass = pf__leads_elsewhere(s, dirfd, path, follow, &t);
	return !*pass && pf__is_shown(s, &t, follow, dev, a);
}

static int do_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	const struct pf__shared *s = pf__see();
	bool pass = false;
	struct fuse_attr a;
	uint64_t dev;

	if (s && path && flags == AT_EMPTY_PATH && dirfd >= 0 && st && pf__is_empty(path) &&
	    pf__see_fd(s, dirfd, st))
		return 0;
	if (st && !(flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)) &&
	    look(dirfd, path, flags, &pass, &dev, &a) && pf__may_write(st, sizeof *st)) {
		pf__stat_of_attr(dev, &a, st);
		return 0;
	}
	return (int)pf__call(pass, SYS_newfstatat, dirfd, (long)path, (long)st, flags, 0);
}

EXPORT int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return do_fstatat(dirfd, path, st, flags);
}

EXPORT int stat(const char *path, struct stat *st)
{
	return do_fstatat(AT_FDCWD, path, st, 0);
}

EXPORT int lstat(const char *path, struct stat *st)
{
	return do_fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int fstat(int fd, struct stat *st)
{
	const struct pf__shared *s = pf__see();

	if (s && st && fd >= 0 && pf__see_fd(s, fd, st))
		return 0;
	return (int)pf__call(false, SYS_fstat, fd, (long)st, 0, 0, 0);
}

EXPORT int __xstat(int version, const char *path, struct stat *st)
{
	return stat(path, st);
}

EXPORT int __lxstat(int version, const char *path, struct stat *st)
{
	return lstat(path, st);
}

EXPORT int __fxstat(int version, int fd, struct stat *st)
{
	return fstat(fd, st);
}

EXPORT int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags)
{
	return do_fstatat(dirfd, path, st, flags);
}

EXPORT int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *x)
{
	const int known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
	bool pass = false;
	struct fuse_attr a;
	uint64_t dev;

	if (x && !(flags & ~known) && look(dirfd, path, flags, &pass, &dev, &a) &&
	    !(mask & ~STATX_BASIC_STATS) && pf__may_write(x, sizeof *x)) {
		pf__statx_of_attr(dev, &a, x);
		x->stx_attributes_mask = STATX_ATTR_MOUNT_ROOT;
		return 0;
	}
	return (int)pf__call(pass, SYS_statx, dirfd, (long)path, flags, mask, (long)x);
}

ALIAS(fstatat, fstatat64);
ALIAS(stat, stat64);
ALIAS(lstat, lstat64);
ALIAS(fstat, fstat64);
ALIAS(__xstat, __xstat64);
ALIAS(__lxstat, __lxstat64);
ALIAS(__fxstat, __fxstat64);
ALIAS(__fxstatat, __fxstatat64);

/* ---- access, readlink ------------------------------------------------------------------------ */

EXPORT int access(const char *path, int mode)
{
	bool pass = may_pass(AT_FDCWD, path, true);

#ifdef SYS_access /* libc's own, which a filter of the program's may know alone */
	if (!pass)
		return (int)syscall(SYS_access, path, mode);
#endif
	return (int)pf__call(pass, SYS_faccessat, AT_FDCWD, (long)path, mode, 0, 0);
}

EXPORT ssize_t readlinkat(int dirfd, const char *path, char *buf, size_t size)
{
	return pf__call(may_pass(dirfd, path, false), SYS_readlinkat, dirfd, (long)path, (long)buf,
			(long)size, 0);
}

EXPORT ssize_t readlink(const char *path, char *buf, size_t size)
{
	bool pass = may_pass(AT_FDCWD, path, false);

#ifdef SYS_readlink
	if (!pass)
		return syscall(SYS_readlink, path, buf, size);
#endif
	return pf__call(pass, SYS_readlinkat, AT_FDCWD, (long)path, (long)buf, (long)size, 0);
}

/* ---- open ------------------------------------------------------------------------------------ */

static int do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	bool follow = !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);

	if (pthread_testcancel)
		pthread_testcancel();
	return (int)pf__call(may_pass(dirfd, path, follow), SYS_openat, dirfd, (long)path, flags,
			     mode, 0);
}

static bool has_mode(int flags)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

#define MODE(mode, flags)                                                                          \
	do {                                                                                       \
		if (has_mode(flags)) {                                                             \
			va_list args_;                                                             \
                                                                                                   \
			va_start(args_, flags);                                                    \
			(mode) = va_arg(args_, mode_t);                                            \
			va_end(args_);                                                             \
		}                                                                                  \
	} while (0)

EXPORT int open(const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE(mode, flags);
	return do_open(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE(mode, flags);
	return do_open(dirfd, path, flags, mode);
}

EXPORT int __open_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

EXPORT int __openat_2(int dirfd, const char *path, int flags)
{
	return do_open(dirfd, path, flags, 0);
}

EXPORT int creat(const char *path, mode_t mode)
{
	return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

ALIAS(open, open64);
ALIAS(openat, openat64);
ALIAS(__open_2, __open64_2);
ALIAS(__openat_2, __openat64_2);
ALIAS(creat, creat64);

/* A mode of fopen(3) as open(2) has it; -1: it is none. */
static int flags_of_mode(const char *mode)
{
	int flags = *mode == 'r'   ? O_RDONLY
		    : *mode == 'w' ? O_WRONLY | O_CREAT | O_TRUNC
		    : *mode == 'a' ? O_WRONLY | O_CREAT | O_APPEND
				   : -1;

	for (const char *p = mode; flags >= 0 && *p && *p != ','; p++) {
		if (*p == '+')
			flags = (flags & ~O_ACCMODE) | O_RDWR;
		else if (*p == 'e')
			flags |= O_CLOEXEC;
		else if (*p == 'x')
			flags |= O_EXCL;
	}
	return flags;
}

/* With a conversion of characters, which libc has from its own opening alone. */
static FILE *open_converting(const char *path, const char *mode)
{
	FILE *(*fn)(const char *, const char *) = NULL;
	void *libc = dlsym ? dlsym(RTLD_NEXT, "fopen") : NULL;

	if (!libc) {
		errno = EINVAL;
		return NULL;
	}
	memcpy(&fn, &libc, sizeof fn);
	return fn(path, mode);
}

/* libc would open the file by a call of its own, which is trapped wherever it leads. */
EXPORT FILE *fopen(const char *path, const char *mode)
{
	int flags = flags_of_mode(mode), fd, error;
	FILE *f;

	if (flags < 0) {
		errno = EINVAL;
		return NULL;
	}
	if (strstr(mode, ",ccs="))
		return open_converting(path, mode);
	fd = do_open(AT_FDCWD, path, flags, 0666);
	if (fd < 0)
		return NULL;
	/* Who only appends begins at the end, when libc opens. */
	if (*mode == 'a' && (flags & O_ACCMODE) == O_WRONLY)
		syscall(SYS_lseek, fd, 0L, (long)SEEK_END);
	f = fdopen(fd, mode);
	if (!f) {
		error = errno;
		syscall(SYS_close, fd);
		errno = error;
	}
	return f;
}

ALIAS(fopen, fopen64);
