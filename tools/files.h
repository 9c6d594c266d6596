/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One face for files here and files at a server, so that the commands are written once. Every call
 * is its libc namesake for a local file and the pf_ twin for one at a server; results are counts
 * or 0, else negative errno. Names are relative to an open directory, as in the *at calls.
 */
#ifndef TOOLS_FILES_H
#define TOOLS_FILES_H

#include <dirent.h>
#include <portfire/portfire.h>
#include <stdbool.h>
#include <sys/stat.h>

/* An open file or directory. Zero-initialise with FILE_NONE. */
struct file {
	struct pf_file *pf; /* at a server; else NULL */
	int fd;             /* here; else -1 */
	DIR *dir;           /* here, once it has been read as a directory: owns fd then */
};
#define FILE_NONE ((struct file){.fd = -1})

/* The local file system or one server's. */
struct tree {
	struct pf_fs *fs; /* NULL: local */
	struct file root; /* what paths start at: the server's root, or the working directory */
};

struct file_entry {
	const char *name;
	unsigned char type;    /* DT_* */
	const struct stat *st; /* NULL: the directory did not tell */
};

int tree_open(struct tree *tree);
void tree_close(struct tree *tree);

static inline bool file_remote(const struct file *f)
{
	return f->pf != NULL;
}

int file_openat(const struct file *dir, const char *name, int flags, mode_t mode, struct file *f);
int file_close(struct file *f); /* also for FILE_NONE */

ssize_t file_read(struct file *f, void *buf, size_t count);
ssize_t file_write(struct file *f, const void *buf, size_t count);
/*
 * Bytes at an offset, without a copy where the file is a server's and cached. Until loan_return(),
 * which is always called; buf, of count bytes, is where others are read to. Fewer than count may
 * come though the file goes on, 0 at its end. A file that does not seek is read where it stands.
 */
struct loan {
	const char *data;
	struct pf_borrow borrow;
};
ssize_t file_lend(struct file *f, char *buf, size_t count, off_t offset, struct loan *loan);
void loan_return(struct loan *loan);
ssize_t file_pread(struct file *f, void *buf, size_t count, off_t offset);
ssize_t file_pwrite(struct file *f, const void *buf, size_t count, off_t offset);
/* Both at the same side, else -EXDEV. */
ssize_t file_copy_range(struct file *in, off_t in_off, struct file *out, off_t out_off, size_t n);
off_t file_lseek(struct file *f, off_t offset, int whence);
int file_ftruncate(struct file *f, off_t length);
int file_fsync(struct file *f);
/* Have a server told what was written, and hear what it says to that. Nothing to do elsewhere. */
int file_flush(struct file *f);
/* Drop what is cached of its data, as posix_fadvise(POSIX_FADV_DONTNEED). */
int file_dontneed(struct file *f);
/* Have the server asked for the attributes, whatever is cached. */
int file_refresh(struct file *f);

int file_fstat(struct file *f, struct stat *st);
int file_fchmod(struct file *f, mode_t mode);
int file_fchown(struct file *f, uid_t uid, gid_t gid);
int file_futimens(struct file *f, const struct timespec times[2]);
ssize_t file_flistxattr(struct file *f, char *list, size_t size);
ssize_t file_fgetxattr(struct file *f, const char *name, void *value, size_t size);
int file_fsetxattr(struct file *f, const char *name, const void *value, size_t size);

/* 1 an entry, valid until the next call on dir; 0 the end. */
int file_readdir(struct file *dir, struct file_entry *entry);

int file_fstatat(const struct file *dir, const char *name, struct stat *st, int flags);
ssize_t file_readlinkat(const struct file *dir, const char *name, char *buf, size_t size);
int file_mkdirat(const struct file *dir, const char *name, mode_t mode);
int file_mknodat(const struct file *dir, const char *name, mode_t mode, dev_t dev);
int file_symlinkat(const char *target, const struct file *dir, const char *name);
/* Both at the same side, else -EXDEV. Symbolic links are not followed. */
int file_linkat(const struct file *fromdir, const char *from, const struct file *todir,
		const char *to);
int file_unlinkat(const struct file *dir, const char *name, int flags);
int file_fchownat(const struct file *dir, const char *name, uid_t uid, gid_t gid, int flags);
int file_fchmodat(const struct file *dir, const char *name, mode_t mode);
int file_utimensat(const struct file *dir, const char *name, const struct timespec times[2],
		   int flags);

/* By whole path in the tree; a last symbolic link is not followed. */
ssize_t tree_lgetxattr(struct tree *tree, const char *path, const char *name, void *value,
		       size_t size);

#endif
