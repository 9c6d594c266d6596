/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths that cannot be followed: each call that takes one, each way that it can be wrong. */
#include "posix.h"

#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

typedef long call_fn(int dir, const char *path);

/* ---- calls with a directory to start from ------------------------------------------------------
 */

static long c_open(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY);

	return fd < 0 ? fd : close(fd);
}
static long c_create(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDWR | O_CREAT | O_EXCL, 0644);

	return fd < 0 ? fd : close(fd);
}
static long c_path(int dir, const char *path)
{
	int fd = openat(dir, path, O_PATH);

	return fd < 0 ? fd : close(fd);
}
static long c_directory(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_DIRECTORY);

	return fd < 0 ? fd : close(fd);
}
static long c_stat(int dir, const char *path)
{
	struct stat st;

	return fstatat(dir, path, &st, 0);
}
static long c_lstat(int dir, const char *path)
{
	struct stat st;

	return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW);
}
static long c_statx(int dir, const char *path)
{
	struct statx stx;

	return statx(dir, path, 0, STATX_BASIC_STATS, &stx);
}
static long c_access(int dir, const char *path)
{
	return faccessat(dir, path, F_OK, 0);
}
static long c_access2(int dir, const char *path)
{
	return syscall(SYS_faccessat2, dir, path, R_OK, AT_EACCESS);
}
static long c_mkdir(int dir, const char *path)
{
	return mkdirat(dir, path, 0755);
}
static long c_rmdir(int dir, const char *path)
{
	return unlinkat(dir, path, AT_REMOVEDIR);
}
static long c_unlink(int dir, const char *path)
{
	return unlinkat(dir, path, 0);
}
static long c_symlink(int dir, const char *path)
{
	return symlinkat("target", dir, path);
}
static long c_readlink(int dir, const char *path)
{
	char buf[100];

	return readlinkat(dir, path, buf, sizeof(buf));
}
static long c_link_from(int dir, const char *path)
{
	return linkat(dir, path, AT_FDCWD, at("linked"), 0);
}
static long c_link_to(int dir, const char *path)
{
	return linkat(AT_FDCWD, at("file"), dir, path, 0);
}
static long c_rename_from(int dir, const char *path)
{
	return renameat(dir, path, AT_FDCWD, at("renamed"));
}
static long c_rename_to(int dir, const char *path)
{
	return renameat(AT_FDCWD, at("file"), dir, path);
}
static long c_rename2_to(int dir, const char *path)
{
	return renameat2(AT_FDCWD, at("file"), dir, path, RENAME_NOREPLACE);
}
static long c_chmod(int dir, const char *path)
{
	return fchmodat(dir, path, 0644, 0);
}
static long c_chown(int dir, const char *path)
{
	return fchownat(dir, path, -1, -1, 0);
}
static long c_lchown(int dir, const char *path)
{
	return fchownat(dir, path, -1, -1, AT_SYMLINK_NOFOLLOW);
}
static long c_utimes(int dir, const char *path)
{
	return utimensat(dir, path, NULL, 0);
}
static long c_lutimes(int dir, const char *path)
{
	return utimensat(dir, path, NULL, AT_SYMLINK_NOFOLLOW);
}
static long c_mkfifo(int dir, const char *path)
{
	return mkfifoat(dir, path, 0644);
}
static long c_mknod(int dir, const char *path)
{
	return mknodat(dir, path, S_IFREG | 0644, 0);
}
static long c_exec(int dir, const char *path)
{
	char *const args[] = {(char *)"x", NULL};

	return syscall(SYS_execveat, dir, path, args, args + 1, 0);
}

/* ---- calls that know the current directory only -------------------------------------------------
 */

static long c_truncate(int dir, const char *path)
{
	return truncate(path, 3);
}
static long c_chdir(int dir, const char *path)
{
	return chdir(path);
}
static long c_statfs(int dir, const char *path)
{
	struct statfs sfs;

	return statfs(path, &sfs);
}
static long c_getxattr(int dir, const char *path)
{
	return getxattr(path, "user.x", NULL, 0);
}
static long c_lgetxattr(int dir, const char *path)
{
	return lgetxattr(path, "user.x", NULL, 0);
}
static long c_setxattr(int dir, const char *path)
{
	return setxattr(path, "user.x", "v", 1, 0);
}
static long c_listxattr(int dir, const char *path)
{
	return listxattr(path, NULL, 0);
}
static long c_llistxattr(int dir, const char *path)
{
	return llistxattr(path, NULL, 0);
}
static long c_removexattr(int dir, const char *path)
{
	return removexattr(path, "user.x");
}

/* What the last component may be. */
enum { MAKES = 1, NO_AT = 2, NO_FOLLOW = 4, DIRS = 8 };

static const struct call {
	const char *name;
	call_fn *fn;
	int kind;
} calls[] = {
    {"open", c_open},
    {"create", c_create, MAKES},
    {"open(O_PATH)", c_path},
    {"open(O_DIRECTORY)", c_directory, DIRS},
    {"stat", c_stat},
    {"lstat", c_lstat, NO_FOLLOW},
    {"statx", c_statx},
    {"faccessat", c_access},
    {"faccessat2", c_access2},
    {"mkdir", c_mkdir, MAKES},
    {"rmdir", c_rmdir, NO_FOLLOW | DIRS},
    {"unlink", c_unlink, NO_FOLLOW},
    {"symlink", c_symlink, MAKES},
    {"readlink", c_readlink, NO_FOLLOW},
    {"link from", c_link_from, NO_FOLLOW},
    {"link to", c_link_to, MAKES},
    {"rename from", c_rename_from, NO_FOLLOW},
    {"rename to", c_rename_to, MAKES | NO_FOLLOW},
    {"renameat2 to", c_rename2_to, MAKES},
    {"chmod", c_chmod},
    {"chown", c_chown},
    {"lchown", c_lchown, NO_FOLLOW},
    {"utimensat", c_utimes},
    {"lutimens", c_lutimes, NO_FOLLOW},
    {"mkfifo", c_mkfifo, MAKES},
    {"mknod", c_mknod, MAKES},
    {"execveat", c_exec},
    {"truncate", c_truncate, NO_AT},
    {"chdir", c_chdir, NO_AT | DIRS},
    {"statfs", c_statfs, NO_AT},
    {"getxattr", c_getxattr, NO_AT},
    {"lgetxattr", c_lgetxattr, NO_AT | NO_FOLLOW},
    {"setxattr", c_setxattr, NO_AT},
    {"listxattr", c_listxattr, NO_AT},
    {"llistxattr", c_llistxattr, NO_AT | NO_FOLLOW},
    {"removexattr", c_removexattr, NO_AT},
};

static void prepare(void)
{
	put("file", "text");
	OK(mkdir("dir", 0755));
	put("dir/file", "text");
	OK(symlink("loop", "loop"));
	OK(symlink("ring2", "ring1"));
	OK(symlink("ring1", "ring2"));
	OK(symlink("nowhere", "dangling"));
	OK(symlink("file", "tofile"));
}

/* The path is wrong before its last component, or as a whole: all calls say so alike. */
static void on_all(int error, const char *path, const char *what)
{
	for (const struct call *c = calls; c < calls + sizeof(calls) / sizeof(*calls); c++) {
		row("%s", c->name);
		check_fails(error, what, (errno = 0, c->fn(AT_FDCWD, path)));
	}
	row("%s", "");
}

static void relative(void)
{
	prepare();
	on_all(ENOTDIR, "file/x", "file/x");
	on_all(ENOTDIR, "dir/file/x/y", "dir/file/x/y");
	on_all(ENOTDIR, "tofile/x", "tofile/x");
	on_all(ENOENT, "none/x", "none/x");
	on_all(ENOENT, "dangling/x", "dangling/x");
	on_all(ENOENT, "dir/none/x", "dir/none/x");
	on_all(ENOENT, "dir/../none/x", "dir/../none/x");
	on_all(ELOOP, "loop/x", "loop/x");
	on_all(ELOOP, "ring1/x", "ring1/x");
	on_all(ENOENT, "", "an empty path");
}

static void absolute(void)
{
	prepare();
	on_all(ENOTDIR, at("file/x"), "HERE/file/x");
	on_all(ENOTDIR, at("tofile/x"), "HERE/tofile/x");
	on_all(ENOENT, at("none/x"), "HERE/none/x");
	on_all(ELOOP, at("loop/x"), "HERE/loop/x");
	on_all(ENOTDIR, at("file/../x"), "HERE/file/../x");
}

static void too_long(void)
{
	char path[400];

	prepare();
	on_all(ENAMETOOLONG, long_name(256), "a name of 256 bytes");
	snprintf(path, sizeof(path), "dir/%s", long_name(256));
	on_all(ENAMETOOLONG, path, "dir/ and a name of 256 bytes");
	snprintf(path, sizeof(path), "%s/x", long_name(256));
	on_all(ENAMETOOLONG, path, "a name of 256 bytes and /x");
	on_all(ENAMETOOLONG, long_path(PATH_MAX), "a path of PATH_MAX bytes");
	on_all(ENAMETOOLONG, long_path(PATH_MAX + 100), "a path of more than PATH_MAX bytes");
}

static void just_fits(void)
{
	char path[PATH_MAX], name[256];

	put("f", "text");
	strcpy(name, long_name(255));
	put(name, "long");
	SAYS("long", text_of(name));
	OK(rename(name, "g"));
	OK(rename("g", name));
	OK(unlink(name));
	OK(mkdir(name, 0755));
	OK(rmdir(name));
	OK(symlink(name, "s"));
	strcpy(path, long_path(PATH_MAX - 1));
	SAYS("text", text_of(path));
	OK(symlink(path, "longest"));
	IS(PATH_MAX - 1, lstat_of("longest").st_size);
	SAYS("text", text_of("longest"));
	FAILS(ENAMETOOLONG, symlink(long_path(PATH_MAX), "longer"));
	FAILS(ENOENT, symlink("", "empty"));
}

static void bad_address(void)
{
	struct stat st;

	prepare();
	on_all(EFAULT, BAD, "a bad address");
	FAILS(EFAULT, stat("file", BAD));
	FAILS(EFAULT, syscall(SYS_statx, AT_FDCWD, "file", 0, STATX_BASIC_STATS, BAD));
	FAILS(EFAULT, statfs("file", BAD));
	FAILS(EFAULT, readlink("tofile", BAD, 10));
	FAILS(EFAULT, syscall(SYS_utimensat, AT_FDCWD, "file", BAD, 0));
	FAILS(EFAULT, setxattr("file", BAD, "v", 1, 0));
	FAILS(EFAULT, symlink(BAD, "new"));
	FAILS(EFAULT, syscall(SYS_getcwd, BAD, 100));
	FAILS(ENOENT, stat("new", &st));
	int fd = OK(open("file", O_RDWR));
	FAILS(EFAULT, read(fd, BAD, 4));
	FAILS(EFAULT, write(fd, BAD, 4));
	FAILS(EFAULT, pread(fd, BAD, 4, 0));
	FAILS(EFAULT, pwrite(fd, BAD, 4, 0));
	FAILS(EFAULT, syscall(SYS_fstat, fd, BAD));
	SAYS("text", text_of("file"));
	int dir = OK(open("dir", O_RDONLY | O_DIRECTORY));
	FAILS(EFAULT, syscall(SYS_getdents64, dir, BAD, 1000));
}

/* The last component is what is wrong. */
static void last(void)
{
	prepare();
	for (const struct call *c = calls; c < calls + sizeof(calls) / sizeof(*calls); c++) {
		row("%s", c->name);
		if (c->kind & MAKES) {
			if (c->kind & NO_FOLLOW) /* rename replaces */
				continue;
			FAILS(EEXIST, c->fn(AT_FDCWD, "file"));
			FAILS(EEXIST, c->fn(AT_FDCWD, "dir"));
			FAILS(EEXIST, c->fn(AT_FDCWD, "dangling"));
			FAILS(EEXIST, c->fn(AT_FDCWD, "loop"));
			FAILS(EEXIST, c->fn(AT_FDCWD, "."));
			FAILS(EEXIST, c->fn(AT_FDCWD, "dir/.."));
			continue;
		}
		FAILS(ENOENT, c->fn(AT_FDCWD, "none"));
		FAILS(ENOENT, c->fn(AT_FDCWD, "dir/none"));
		FAILS(ENOTDIR, c->fn(AT_FDCWD, "dir/file/."));
		if (!(c->kind & NO_FOLLOW)) {
			FAILS(ENOENT, c->fn(AT_FDCWD, "dangling"));
			FAILS(ELOOP, c->fn(AT_FDCWD, "loop"));
			FAILS(ENOTDIR, c->fn(AT_FDCWD, "file/"));
		}
		if (c->kind & DIRS)
			FAILS(ENOTDIR, c->fn(AT_FDCWD, "file"));
	}
	row("%s", "");
	SAYS("text", text_of("file"));
}

static void by_directory(void)
{
	prepare();
	int dir = OK(open("dir", O_RDONLY | O_DIRECTORY));
	int path = OK(open("dir", O_PATH));
	int file = OK(open("file", O_RDONLY));
	OK(chdir("/"));
	for (const struct call *c = calls; c < calls + sizeof(calls) / sizeof(*calls); c++) {
		if (c->kind & NO_AT)
			continue;
		row("%s", c->name);
		FAILS(ENOTDIR, c->fn(dir, "file/x"));
		FAILS(ENOENT, c->fn(dir, "none/x"));
		FAILS(ENOENT, c->fn(path, "none/x"));
		FAILS(ENOTDIR, c->fn(dir, "../file/x"));
		FAILS(ELOOP, c->fn(dir, "../loop/x"));
		FAILS(ENAMETOOLONG, c->fn(dir, long_name(256)));
		FAILS(ENOTDIR, c->fn(file, "x"));
		FAILS(EBADF, c->fn(-1, "x"));
		FAILS(EBADF, c->fn(9999, "x"));
		if (c->kind & MAKES) /* the descriptor is not looked at when the path is absolute */
			FAILS(ENOENT, c->fn(-1, at("none/x")));
		else
			FAILS(ENOENT, c->fn(9999, at("none")));
	}
}

/* Each call does its work relative to a directory's descriptor, wherever the process stands. */
static void work_by_directory(void)
{
	char buf[20] = "";
	struct stat st;
	struct statx stx;

	OK(mkdir("d", 0755));
	OK(mkdir("e", 0755));
	int d = OK(open("d", O_RDONLY | O_DIRECTORY)), e = OK(open("e", O_PATH | O_DIRECTORY));
	OK(chdir("/"));
	OK(close(OK(openat(d, "f", O_WRONLY | O_CREAT, 0640))));
	OK(fstatat(d, "f", &st, 0));
	IS(0640, st.st_mode & 07777);
	OK(renameat(d, "f", e, "g"));
	FAILS(ENOENT, fstatat(d, "f", &st, 0));
	OK(symlinkat("g", e, "s"));
	IS(1, readlinkat(e, "s", buf, sizeof(buf)));
	SAYS("g", buf);
	OK(linkat(e, "s", d, "hs", 0));
	OK(fstatat(d, "hs", &st, AT_SYMLINK_NOFOLLOW));
	TRUE(S_ISLNK(st.st_mode));
	OK(linkat(e, "s", d, "hg", AT_SYMLINK_FOLLOW));
	OK(fstatat(d, "hg", &st, AT_SYMLINK_NOFOLLOW));
	TRUE(S_ISREG(st.st_mode));
	IS(2, st.st_nlink);
	OK(mkdirat(e, "m", 0700));
	OK(mkfifoat(e, "m/p", 0600));
	FAILS(ENOTEMPTY, unlinkat(e, "m", AT_REMOVEDIR));
	FAILS(EISDIR, unlinkat(e, "m", 0));
	OK(fchmodat(e, "m/p", 0622, 0));
	OK(statx(e, "m/p", 0, STATX_MODE | STATX_TYPE, &stx));
	IS(S_IFIFO | 0622, stx.stx_mode);
	OK(faccessat(e, "m/p", R_OK, 0));
	OK(utimensat(e, "g", (struct timespec[]){{1, 0}, {2, 0}}, 0));
	OK(fstatat(e, "g", &st, 0));
	IS(2, st.st_mtime);
	OK(unlinkat(e, "m/p", 0));
	OK(unlinkat(e, "m", AT_REMOVEDIR));
	OK(unlinkat(e, "../d/hs", 0));
	OK(unlinkat(d, "../d/../d/hg", 0));
	OK(unlinkat(e, "g", 0));
	OK(unlinkat(e, "s", 0));
	FAILS(EINVAL, unlinkat(e, "s", 0x40000000));
	OK(rmdir(at("d")));
	FAILS(ENOENT, openat(d, "new", O_CREAT | O_WRONLY, 0644));
	FAILS(ENOENT, mkdirat(d, "new", 0755));
	OK(fstat(d, &st));
	IS(0, st.st_nlink);
}

/* Dots, slashes and chains of symbolic links. */
static void ways(void)
{
	char name[20], target[20];
	struct stat st;

	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	put("a/b/f", "deep");
	OK(symlink("a/b", "rel"));
	OK(symlink(at("a/b"), "abs"));
	OK(symlink("../b/../../a/b/f", "a/b/back"));
	OK(symlink("rel/", "slash"));
	static const char *const good[] = {
	    "a/b/f", "./a/./b/./f", "a//b///f", "a/../a/b/f",      "a/b/../b/f", "rel/f",
	    "abs/f", "rel/../b/f",  "rel/back", "abs/../../rel/f", "slash/f",    "a/b/back"};
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		row("%s", good[i]);
		SAYS("deep", text_of(good[i]));
		SAYS("deep", text_of(at(good[i])));
	}
	row("%s", "");
	OK(stat("rel/", &st));
	OK(lstat("rel", &st));
	TRUE(S_ISLNK(st.st_mode));
	OK(lstat("rel/", &st));
	TRUE(S_ISDIR(st.st_mode));
	OK(lstat("rel/.", &st));
	TRUE(S_ISDIR(st.st_mode));
	FAILS(ENOTDIR, lstat("a/b/f/", &st));
	FAILS(ENOTDIR, rmdir("rel"));
	FAILS(ENOTDIR, rmdir("rel/"));
	FAILS(EINVAL, rmdir("a/b/."));
	FAILS(ENOTEMPTY, rmdir("a/b/.."));
	/* Forty links may be followed, not more. */
	put("l0", "end");
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		snprintf(target, sizeof(target), "l%d", i - 1);
		OK(symlink(target, name));
	}
	SAYS("end", text_of("l40"));
	SAYS("errno ELOOP", text_of("l41"));
	OK(lstat("l41", &st));
}

static void file_to_directory(void)
{
	struct stat st;

	prepare();
	FAILS(ENOTDIR, rename("file/", "new"));
	FAILS(ENOTDIR, rename("file", "new/"));
	FAILS(ENOTDIR, link("file/", "new"));
	FAILS(ENOTDIR, unlink("file/"));
	FAILS(EISDIR, open("new/", O_CREAT | O_WRONLY, 0644));
	FAILS(EISDIR, open("dir/", O_CREAT | O_WRONLY, 0644));
	FAILS(ENOENT, mknod("new/", S_IFREG | 0644, 0));
	FAILS(ENOENT, symlink("x", "new/"));
	FAILS(ENOENT, link("file", "new/"));
	OK(mkdir("new/", 0755));
	OK(rename("new/", "newer/"));
	OK(rmdir("newer/"));
	FAILS(EEXIST, mkdir("dangling/", 0755));
	FAILS(ENOENT, stat("newer", &st));
}

const struct test path_tests[] = {
    {"path_relative", relative},
    {"path_absolute", absolute},
    {"path_too_long", too_long},
    {"path_just_fits", just_fits, "symlinks"},
    {"path_bad_address", bad_address},
    {"path_last", last},
    {"path_by_directory", by_directory},
    {"path_work_by_directory", work_by_directory, "hardlinks,fifo"},
    {"path_ways", ways, "symlinks"},
    {"path_slash", file_to_directory},
    {NULL},
};
