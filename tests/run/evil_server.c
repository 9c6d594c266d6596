/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server that shows a directory and fails in ways of its own: evil_server DIR MOUNTPOINT WORD...
 *   die-at=N       SIGKILLs itself at the N-th request after the mount
 *   full=WHERE     ENOSPC at write, flush or fsync; quota=WHERE: EDQUOT
 *   hang=OP        never answers open, read, write, getattr or readdir of names with "hang" in them
 *   own            opens files below its own mountpoint while it answers
 *   stop           unmounts itself when "unmount" is looked at
 *   single         one request after the other
 * Files that lie, wherever they are looked for in the top directory: size0, endless, larger,
 * shorter, huge, growing, flipping, nolinks, loop, long; directories: many, cookies, endless-dir,
 * names, same.
 */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *top, *mountpoint, *full = "", *hang = "";
static int full_errno, die_at;
static bool own, stops;
static _Atomic int requests;

static const char *under(char *buf, const char *path)
{
	snprintf(buf, PATH_MAX, "%s%s", top, path);
	return buf;
}

static bool is(const char *path, const char *name)
{
	return !strcmp(path + 1, name);
}

static void ask(const char *op, const char *path)
{
	char name[PATH_MAX];

	if (die_at && atomic_fetch_add(&requests, 1) + 1 == die_at)
		kill(getpid(), SIGKILL);
	while (!strcmp(hang, op) && path && strstr(path, "hang"))
		pause();
	if (own && path && strstr(path, "own")) {
		struct stat st;

		snprintf(name, sizeof name, "%s/file", mountpoint);
		stat(name, &st);
		close(open(name, O_RDONLY));
	}
	if (stops && path && is(path, "unmount"))
		fuse_exit(fuse_get_context()->fuse);
}

/* ---- what lies ------------------------------------------------------------------------------- */

static const char *const liars[] = {"size0",   "endless", "larger", "shorter",
				    "growing", "nolinks", "huge"};
static const char *const directories[] = {"many", "cookies", "endless-dir", "names", "same"};

static bool among(const char *path, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is(path, names[i]))
			return true;
	return false;
}

static bool is_liar(const char *path)
{
	return among(path, liars, sizeof liars / sizeof liars[0]);
}

static bool is_directory(const char *path)
{
	return among(path, directories, sizeof directories / sizeof directories[0]);
}

static bool lie(const char *path, struct stat *st)
{
	static _Atomic unsigned n;

	memset(st, 0, sizeof *st);
	st->st_nlink = 1;
	st->st_mode = S_IFREG | 0644;
	if (is_directory(path))
		st->st_mode = S_IFDIR | 0755;
	else if (is(path, "flipping"))
		st->st_mode = (atomic_fetch_add(&n, 1) % 2 ? S_IFDIR : S_IFREG) | 0755;
	else if (is(path, "loop") || is(path, "long"))
		st->st_mode = S_IFLNK | 0777;
	else if (is(path, "larger"))
		st->st_size = 1 << 20;
	else if (is(path, "shorter"))
		st->st_size = 5;
	else if (is(path, "huge"))
		st->st_size = 1ll << 50, st->st_blocks = 1ll << 41;
	else if (is(path, "growing"))
		st->st_size = 10 * (atomic_fetch_add(&n, 1) % 100);
	else if (is(path, "nolinks"))
		st->st_nlink = 0, st->st_size = 5;
	else if (!strncmp(path, "/many/", 6) || !strncmp(path, "/cookies/", 9) ||
		 !strncmp(path, "/endless-dir/", 13) || !strncmp(path, "/same/", 6) ||
		 !strncmp(path, "/names/", 7))
		st->st_ino = 7; /* the same for all */
	else
		return is_liar(path);
	return true;
}

static int read_lie(const char *path, char *buf, size_t size, off_t at)
{
	static const char text[] = "a text of forty letters, and no more now";

	if (is(path, "endless")) {
		memset(buf, 'x', size);
		return (int)size;
	}
	if (is(path, "huge")) {
		for (size_t i = 0; i < size; i++)
			buf[i] = (char)('a' + (at + (off_t)i) % 26);
		return (int)size;
	}
	if (at >= 40)
		return 0;
	if (size > 7) /* a few at a time */
		size = 7;
	if (size > 40 - (size_t)at)
		size = 40 - (size_t)at;
	memcpy(buf, text + at, size);
	return (int)size;
}

static int list_lies(const char *path, void *buf, fuse_fill_dir_t fill, off_t at)
{
	static const char *const names[] = {"good", "a/b", "..", ".", "", "../../etc/passwd",
					    "end"};
	char name[256];

	if (is(path, "names")) {
		for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
			fill(buf, names[i], NULL, 0, 0);
		memset(name, 'n', 255);
		name[255] = '\0';
		fill(buf, name, NULL, 0, 0);
		return 0;
	}
	if (is(path, "cookies")) {
		unsigned i = at ? (unsigned)(at & 0xffff) : 0;

		for (; i < 1000; i++) {
			snprintf(name, sizeof name, "entry%u", i);
			if (fill(buf, name, NULL, (off_t)(0xfedcba9800000000 | (i + 1)), 0))
				return 0;
		}
		return 0;
	}
	for (; at < (is(path, "many") ? 100000 : is(path, "same") ? 10 : LONG_MAX); at++) {
		snprintf(name, sizeof name, "entry%ld",
			 is(path, "endless-dir") ? (long)at % 3 : (long)at);
		if (fill(buf, name, NULL, at + 1, 0))
			return 0;
	}
	return 0;
}

/* ---- operations ------------------------------------------------------------------------------ */

static int result(int n)
{
	return n < 0 ? -errno : 0;
}

static int evil_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	char name[PATH_MAX];

	ask("getattr", path);
	return lie(path, st) ? 0 : result(lstat(under(name, path), st));
}

static int evil_readlink(const char *path, char *buf, size_t size)
{
	char name[PATH_MAX];
	ssize_t n;

	ask("readlink", path);
	if (is(path, "loop")) {
		strcpy(buf, "loop");
		return 0;
	}
	if (is(path, "long")) {
		memset(buf, 'l', size - 1);
		buf[size - 1] = '\0';
		return 0;
	}
	n = readlink(under(name, path), buf, size - 1);
	if (n >= 0)
		buf[n] = '\0';
	return result((int)n);
}

static int evil_mkdir(const char *path, mode_t mode)
{
	char name[PATH_MAX];

	ask("mkdir", path);
	return result(mkdir(under(name, path), mode));
}

static int evil_unlink(const char *path)
{
	char name[PATH_MAX];

	ask("unlink", path);
	return result(unlink(under(name, path)));
}

static int evil_rmdir(const char *path)
{
	char name[PATH_MAX];

	ask("rmdir", path);
	return result(rmdir(under(name, path)));
}

static int evil_symlink(const char *target, const char *path)
{
	char name[PATH_MAX];

	ask("symlink", path);
	return result(symlink(target, under(name, path)));
}

static int evil_rename(const char *from, const char *to, unsigned flags)
{
	char a[PATH_MAX], b[PATH_MAX];

	ask("rename", from);
	return result(renameat2(AT_FDCWD, under(a, from), AT_FDCWD, under(b, to), flags));
}

static int evil_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	char name[PATH_MAX];

	ask("chmod", path);
	return result(chmod(under(name, path), mode));
}

static int evil_utimens(const char *path, const struct timespec t[2], struct fuse_file_info *fi)
{
	char name[PATH_MAX];

	ask("utimens", path);
	return result(utimensat(AT_FDCWD, under(name, path), t, AT_SYMLINK_NOFOLLOW));
}

static int evil_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	char name[PATH_MAX];

	ask("truncate", path);
	return result(truncate(under(name, path), size));
}

static int evil_open(const char *path, struct fuse_file_info *fi)
{
	char name[PATH_MAX];
	int fd;

	ask("open", path);
	if (is_liar(path)) {
		fi->direct_io = !is(path, "huge");
		return 0;
	}
	fd = open(under(name, path), fi->flags & ~O_APPEND);
	fi->fh = (uint64_t)fd;
	return result(fd);
}

static int evil_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	char name[PATH_MAX];
	int fd;

	ask("create", path);
	fd = open(under(name, path), fi->flags & ~O_APPEND, mode);
	fi->fh = (uint64_t)fd;
	return result(fd);
}

static int evil_read(const char *path, char *buf, size_t size, off_t at, struct fuse_file_info *fi)
{
	ssize_t n;

	ask("read", path);
	if (is_liar(path))
		return read_lie(path, buf, size, at);
	n = pread((int)fi->fh, buf, size, at);
	return n < 0 ? -errno : (int)n;
}

static int evil_write(const char *path, const char *buf, size_t size, off_t at,
		      struct fuse_file_info *fi)
{
	ssize_t n;

	ask("write", path);
	if (!strcmp(full, "write"))
		return -full_errno;
	n = pwrite((int)fi->fh, buf, size, at);
	return n < 0 ? -errno : (int)n;
}

static int evil_flush(const char *path, struct fuse_file_info *fi)
{
	ask("flush", path);
	return !strcmp(full, "flush") ? -full_errno : 0;
}

static int evil_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	ask("fsync", path);
	return !strcmp(full, "fsync") ? -full_errno : 0;
}

static int evil_release(const char *path, struct fuse_file_info *fi)
{
	ask("release", NULL);
	if (!path || !is_liar(path))
		close((int)fi->fh);
	return 0;
}

static int evil_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t at,
			struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	char name[PATH_MAX];
	struct dirent *e;
	DIR *d;

	ask("readdir", path);
	if (is_directory(path))
		return list_lies(path, buf, fill, at);
	d = opendir(under(name, path));
	if (!d)
		return -errno;
	while ((e = readdir(d)))
		fill(buf, e->d_name, NULL, 0, 0);
	closedir(d);
	return 0;
}

static const struct fuse_operations operations = {
    .getattr = evil_getattr,
    .readlink = evil_readlink,
    .mkdir = evil_mkdir,
    .unlink = evil_unlink,
    .rmdir = evil_rmdir,
    .symlink = evil_symlink,
    .rename = evil_rename,
    .chmod = evil_chmod,
    .truncate = evil_truncate,
    .open = evil_open,
    .create = evil_create,
    .read = evil_read,
    .write = evil_write,
    .flush = evil_flush,
    .release = evil_release,
    .fsync = evil_fsync,
    .readdir = evil_readdir,
    .utimens = evil_utimens,
};

int main(int argc, char **argv)
{
	char *args[8] = {argv[0], NULL, (char *)(size_t) "-f"};
	int n = 3;

	if (argc < 3 || !realpath(argv[1], NULL))
		return 2;
	top = realpath(argv[1], NULL); /* libfuse goes to / */
	mountpoint = args[1] = argv[2];
	for (int i = 3; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (value)
			*value++ = '\0';
		if (!strcmp(argv[i], "die-at"))
			die_at = atoi(value);
		else if (!strcmp(argv[i], "full"))
			full = value, full_errno = ENOSPC;
		else if (!strcmp(argv[i], "quota"))
			full = value, full_errno = EDQUOT;
		else if (!strcmp(argv[i], "hang"))
			hang = value;
		else if (!strcmp(argv[i], "own"))
			own = true;
		else if (!strcmp(argv[i], "stop"))
			stops = true;
		else if (!strcmp(argv[i], "single"))
			args[n++] = (char *)(size_t) "-s";
		else
			return 2;
	}
	umask(0);
	return fuse_main(n, args, &operations, NULL);
}
