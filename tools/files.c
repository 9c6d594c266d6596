/* SPDX-License-Identifier: BSD-2-Clause */
#include "files.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

/* libc's -1 and errno as a negative errno. */
#define here(call)                                                                                 \
	({                                                                                         \
		__typeof__(call) result = (call);                                                  \
		result < 0 ? -errno : result;                                                      \
	})

int tree_open(struct tree *tree)
{
	tree->root = FILE_NONE;
	if (tree->fs)
		return pf_open(tree->fs, "/", O_PATH, 0, &tree->root.pf);
	tree->root.fd = AT_FDCWD;
	return 0;
}

void tree_close(struct tree *tree)
{
	if (tree->root.pf)
		pf_close(tree->root.pf);
	tree->root = FILE_NONE;
}

int file_openat(const struct file *dir, const char *name, int flags, mode_t mode, struct file *f)
{
	*f = FILE_NONE;
	if (dir->pf)
		return pf_openat(dir->pf, name, flags, mode, &f->pf);
	f->fd = openat(dir->fd, name, flags | O_CLOEXEC | O_NOCTTY, mode);
	return f->fd < 0 ? -errno : 0;
}

int file_close(struct file *f)
{
	int err = 0;

	if (f->pf)
		err = pf_close(f->pf);
	else if (f->dir)
		err = here(closedir(f->dir));
	else if (f->fd >= 0)
		err = here(close(f->fd));
	*f = FILE_NONE;
	return err;
}

static int readdir_here(struct file *dir, struct file_entry *entry)
{
	struct dirent *d;

	if (!dir->dir) {
		dir->dir = fdopendir(dir->fd);
		if (!dir->dir)
			return -errno;
	}
	errno = 0;
	d = readdir(dir->dir);
	if (!d)
		return -errno;
	*entry = (struct file_entry){.name = d->d_name, .type = d->d_type};
	return 1;
}

int file_readdir(struct file *dir, struct file_entry *entry)
{
	/* Per thread: the entry's stat must outlive this call. */
	static _Thread_local struct pf_dirent d;
	int got;

	if (!dir->pf)
		return readdir_here(dir, entry);
	got = pf_readdir(dir->pf, &d);
	if (got > 0)
		*entry = (struct file_entry){
		    .name = d.name, .type = d.type, .st = d.has_stat ? &d.st : NULL};
	return got;
}

ssize_t file_copy_range(struct file *in, off_t in_off, struct file *out, off_t out_off, size_t n)
{
	if (!in->pf != !out->pf)
		return -EXDEV;
	if (in->pf)
		return pf_copy_file_range(in->pf, &in_off, out->pf, &out_off, n, 0);
	return here(copy_file_range(in->fd, &in_off, out->fd, &out_off, n, 0));
}

int file_linkat(const struct file *fromdir, const char *from, const struct file *todir,
		const char *to)
{
	if (!fromdir->pf != !todir->pf)
		return -EXDEV;
	if (fromdir->pf)
		return pf_linkat(fromdir->pf, from, todir->pf, to, 0);
	return here(linkat(fromdir->fd, from, todir->fd, to, 0));
}

int file_symlinkat(const char *target, const struct file *dir, const char *name)
{
	return dir->pf ? pf_symlinkat(target, dir->pf, name)
		       : here(symlinkat(target, dir->fd, name));
}

ssize_t tree_lgetxattr(struct tree *tree, const char *path, const char *name, void *value,
		       size_t size)
{
	return tree->fs ? pf_lgetxattr(tree->fs, path, name, value, size)
			: here(lgetxattr(path, name, value, size));
}

ssize_t file_read(struct file *f, void *buf, size_t count)
{
	return f->pf ? pf_read(f->pf, buf, count) : here(read(f->fd, buf, count));
}

ssize_t file_write(struct file *f, const void *buf, size_t count)
{
	return f->pf ? pf_write(f->pf, buf, count) : here(write(f->fd, buf, count));
}

ssize_t file_pread(struct file *f, void *buf, size_t count, off_t offset)
{
	return f->pf ? pf_pread(f->pf, buf, count, offset) : here(pread(f->fd, buf, count, offset));
}

ssize_t file_lend(struct file *f, char *buf, size_t count, off_t offset, struct loan *loan)
{
	ssize_t n = -ESPIPE;

	*loan = (struct loan){.data = buf};
	if (f->pf) {
		n = pf_read_borrow(f->pf, count, offset, &loan->borrow);
		if (n > 0)
			loan->data = loan->borrow.data;
	} else {
		n = file_pread(f, buf, count, offset);
	}
	return n == -ESPIPE ? file_read(f, buf, count) : n;
}

void loan_return(struct loan *loan)
{
	if (loan->borrow.owner)
		pf_read_return(&loan->borrow);
	*loan = (struct loan){0};
}

ssize_t file_pwrite(struct file *f, const void *buf, size_t count, off_t offset)
{
	return f->pf ? pf_pwrite(f->pf, buf, count, offset)
		     : here(pwrite(f->fd, buf, count, offset));
}

off_t file_lseek(struct file *f, off_t offset, int whence)
{
	return f->pf ? pf_lseek(f->pf, offset, whence) : here(lseek(f->fd, offset, whence));
}

int file_ftruncate(struct file *f, off_t length)
{
	return f->pf ? pf_ftruncate(f->pf, length) : here(ftruncate(f->fd, length));
}

int file_fsync(struct file *f)
{
	return f->pf ? pf_fsync(f->pf, 0) : here(fsync(f->fd));
}

int file_flush(struct file *f)
{
	enum {
		FLAGS =
		    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER
	};
	int err = f->pf ? pf_sync_file_range(f->pf, 0, 0, FLAGS) : 0;

	return err == -ESPIPE ? 0 : err;
}

int file_dontneed(struct file *f)
{
	return f->pf ? pf_fadvise(f->pf, 0, 0, POSIX_FADV_DONTNEED)
		     : -posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
}

int file_refresh(struct file *f)
{
	enum { FLAGS = AT_EMPTY_PATH | AT_STATX_FORCE_SYNC };
	struct statx stx;

	return f->pf ? pf_statxat(f->pf, "", FLAGS, STATX_BASIC_STATS, &stx)
		     : here(statx(f->fd, "", FLAGS, STATX_BASIC_STATS, &stx));
}

int file_fstat(struct file *f, struct stat *st)
{
	return f->pf ? pf_fstat(f->pf, st) : here(fstat(f->fd, st));
}

int file_fchmod(struct file *f, mode_t mode)
{
	return f->pf ? pf_fchmod(f->pf, mode) : here(fchmod(f->fd, mode));
}

int file_fchown(struct file *f, uid_t uid, gid_t gid)
{
	return f->pf ? pf_fchown(f->pf, uid, gid) : here(fchown(f->fd, uid, gid));
}

int file_futimens(struct file *f, const struct timespec times[2])
{
	return f->pf ? pf_futimens(f->pf, times) : here(futimens(f->fd, times));
}

ssize_t file_flistxattr(struct file *f, char *list, size_t size)
{
	return f->pf ? pf_flistxattr(f->pf, list, size) : here(flistxattr(f->fd, list, size));
}

ssize_t file_fgetxattr(struct file *f, const char *name, void *value, size_t size)
{
	return f->pf ? pf_fgetxattr(f->pf, name, value, size)
		     : here(fgetxattr(f->fd, name, value, size));
}

int file_fsetxattr(struct file *f, const char *name, const void *value, size_t size)
{
	return f->pf ? pf_fsetxattr(f->pf, name, value, size, 0)
		     : here(fsetxattr(f->fd, name, value, size, 0));
}

int file_fstatat(const struct file *dir, const char *name, struct stat *st, int flags)
{
	return dir->pf ? pf_fstatat(dir->pf, name, st, flags)
		       : here(fstatat(dir->fd, name, st, flags));
}

ssize_t file_readlinkat(const struct file *dir, const char *name, char *buf, size_t size)
{
	return dir->pf ? pf_readlinkat(dir->pf, name, buf, size)
		       : here(readlinkat(dir->fd, name, buf, size));
}

int file_mkdirat(const struct file *dir, const char *name, mode_t mode)
{
	return dir->pf ? pf_mkdirat(dir->pf, name, mode) : here(mkdirat(dir->fd, name, mode));
}

int file_mknodat(const struct file *dir, const char *name, mode_t mode, dev_t dev)
{
	return dir->pf ? pf_mknodat(dir->pf, name, mode, dev)
		       : here(mknodat(dir->fd, name, mode, dev));
}

int file_unlinkat(const struct file *dir, const char *name, int flags)
{
	return dir->pf ? pf_unlinkat(dir->pf, name, flags) : here(unlinkat(dir->fd, name, flags));
}

int file_fchownat(const struct file *dir, const char *name, uid_t uid, gid_t gid, int flags)
{
	return dir->pf ? pf_fchownat(dir->pf, name, uid, gid, flags)
		       : here(fchownat(dir->fd, name, uid, gid, flags));
}

int file_fchmodat(const struct file *dir, const char *name, mode_t mode)
{
	return dir->pf ? pf_fchmodat(dir->pf, name, mode, 0)
		       : here(fchmodat(dir->fd, name, mode, 0));
}

int file_utimensat(const struct file *dir, const char *name, const struct timespec times[2],
		   int flags)
{
	return dir->pf ? pf_utimensat(dir->pf, name, times, flags)
		       : here(utimensat(dir->fd, name, times, flags));
}
