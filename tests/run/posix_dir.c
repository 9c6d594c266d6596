/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading directories, standing in them, and extended attributes. */
#include "posix.h"

#include <sys/syscall.h>
#include <sys/xattr.h>

/* ---- readdir ------------------------------------------------------------------------------------
 */

static void make_many(int count)
{
	char name[300];

	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s/%d-%.*s", "many", i, i % 200, long_name(200));
		int fd = open(name, O_CREAT | O_WRONLY, 0644);
		if (fd < 0)
			OK(fd);
		close(fd);
	}
}

/* How many of the entries 0...count-1 are there once; others but . and .. count as -1000. */
static int count_many(DIR *dir, int count)
{
	char *seen = calloc(1, count);
	struct dirent *e;
	int n = 0, dots = 0;

	while ((e = readdir(dir))) {
		int i = atoi(e->d_name);
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			dots++;
		else if (i >= 0 && i < count && !seen[i]++)
			n++;
		else
			n -= 1000;
	}
	free(seen);
	return dots == 2 ? n : -1;
}

static void many_entries(void)
{
	OK(mkdir("many", 0755));
	make_many(700);
	DIR *dir = opendir("many");
	IS(700, count_many(dir, 700));
	TRUE(!readdir(dir));
	rewinddir(dir);
	IS(700, count_many(dir, 700));
	make_many(750);
	rewinddir(dir);
	IS(750, count_many(dir, 750));
	closedir(dir);
	if (system("rm -rf many"))
		FAILS(0, -1);
	FAILS(ENOENT, access("many", F_OK));
}

static void positions(void)
{
	long places[500];
	char names[500][256];
	int n = 0, wrong = 0;
	struct dirent *e;

	OK(mkdir("many", 0755));
	make_many(400);
	DIR *dir = opendir("many");
	for (; n < 500; n++) {
		places[n] = telldir(dir);
		if (!(e = readdir(dir)))
			break;
		strcpy(names[n], e->d_name);
	}
	IS(402, n);
	for (int i = 0; i < n; i++) {
		int k = i * 37 % n;
		seekdir(dir, places[k]);
		e = readdir(dir);
		wrong += !e || strcmp(e->d_name, names[k]);
	}
	IS(0, wrong);
	seekdir(dir, places[n]);
	TRUE(!readdir(dir));
	closedir(dir);
}

/* All entries are removed while they are read, as rm -r does; and every second one. */
static void removing(int every)
{
	char name[300];
	int n = 0, left = 0;
	struct dirent *e;

	OK(mkdir("many", 0755));
	make_many(300);
	DIR *dir = opendir("many");
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && atoi(e->d_name) % every == 0) {
			snprintf(name, sizeof(name), "many/%s", e->d_name);
			n += !unlink(name);
		}
	IS((300 + every - 1) / every, n);
	rewinddir(dir);
	while ((e = readdir(dir)))
		left += e->d_name[0] != '.';
	IS(300 - n, left);
	closedir(dir);
	if (system("rm -rf many"))
		FAILS(0, -1);
}

static void removing_entries(void)
{
	removing(1);
	removing(2);
	removing(3);
}

static void kinds(void)
{
	struct dirent *e;
	int seen = 0, inodes = 0;

	OK(mkdir("d", 0755));
	put("d/f", "");
	OK(mkdir("d/d", 0755));
	OK(symlink("f", "d/s"));
	OK(mkfifo("d/p", 0600));
	DIR *dir = opendir("d");
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		unsigned char wanted = e->d_name[0] == 'f'   ? DT_REG
				       : e->d_name[0] == 'd' ? DT_DIR
				       : e->d_name[0] == 's' ? DT_LNK
							     : DT_FIFO;
		seen += e->d_type == wanted || e->d_type == DT_UNKNOWN;
		struct stat st;
		inodes += !fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
			  st.st_ino == e->d_ino;
	}
	IS(4, seen);
	if (!lacks("d_ino"))
		IS(4, inodes);
	IS(0, fcntl(dirfd(dir), F_GETFL) & O_ACCMODE);
	closedir(dir);
	/* A copy shares the position. */
	char buf[4096];
	int fd = OK(open("d", O_RDONLY | O_DIRECTORY)), copy = OK(dup(fd));
	TRUE(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
	while (syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0)
		;
	IS(0, syscall(SYS_getdents64, copy, buf, sizeof(buf)));
	IS(0, lseek(copy, 0, SEEK_SET));
	TRUE(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
	IS(0, lseek(fd, 0, SEEK_SET));
	FAILS(EINVAL, syscall(SYS_getdents64, fd, buf, 10));
	FAILS(EBADF, syscall(SYS_getdents64, -1, buf, 10));
	/* A directory that is gone has no entries. */
	OK(mkdir("gone", 0755));
	int gone = OK(open("gone", O_RDONLY));
	OK(rmdir("gone"));
	FAILS(ENOENT, syscall(SYS_getdents64, gone, buf, sizeof(buf)));
}

static void changes_seen(void)
{
	struct dirent *e;
	int n = 0;

	OK(mkdir("d", 0755));
	for (int i = 0; i < 50; i++) {
		char name[20];
		snprintf(name, sizeof(name), "d/%d", i);
		put(name, "");
		DIR *dir = opendir("d");
		n = 0;
		while ((e = readdir(dir)))
			n += e->d_name[0] != '.';
		closedir(dir);
		if (n != i + 1)
			break;
	}
	IS(50, n);
	OK(rename("d/7", "d/seven"));
	DIR *dir = opendir("d");
	int old = 0, new = 0;
	while ((e = readdir(dir))) {
		old += !strcmp(e->d_name, "7");
		new += !strcmp(e->d_name, "seven");
	}
	IS(0, old);
	IS(1, new);
	closedir(dir);
}

/* ---- current directory
 * --------------------------------------------------------------------------- */

static void current(void)
{
	char buf[PATH_MAX], *real;
	struct stat a, b;

	TRUE(getcwd(buf, sizeof(buf)) && !strcmp(buf, here));
	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	OK(symlink("d/e", "s"));
	OK(chdir("s"));
	TRUE(getcwd(buf, sizeof(buf)) && !strcmp(buf, at("d/e")));
	OK(chdir(".."));
	TRUE(getcwd(buf, sizeof(buf)) && !strcmp(buf, at("d")));
	TRUE((real = realpath("../s/../e", NULL)) && !strcmp(real, at("d/e")));
	int fd = OK(open(".", O_RDONLY)), path = OK(open("e", O_PATH));
	OK(chdir("/"));
	OK(fchdir(fd));
	TRUE(getcwd(buf, sizeof(buf)) && !strcmp(buf, at("d")));
	OK(fchdir(path));
	TRUE(getcwd(buf, sizeof(buf)) && !strcmp(buf, at("d/e")));
	put("f", "here");
	SAYS("here", text_of(at("d/e/f")));
	FAILS(ENOTDIR, fchdir(OK(open("f", O_RDONLY))));
	FAILS(EBADF, fchdir(-1));
	FAILS(ERANGE, syscall(SYS_getcwd, buf, 3));
	TRUE(readlink("/proc/self/cwd", buf, sizeof(buf)) == (ssize_t)strlen(at("d/e")));
	OK(stat("/proc/self/cwd", &a));
	OK(stat(".", &b));
	TRUE(b.st_ino == a.st_ino);
	/* A directory that moves takes those in it along. */
	OK(rename(at("d"), at("moved")));
	TRUE(getcwd(buf, sizeof(buf)) && !strcmp(buf, at("moved/e")));
	SAYS("here", text_of("f"));
	SAYS("here", text_of("../e/f"));
	OK(unlink("f"));
	OK(rmdir(at("moved/e")));
	FAILS(ENOENT, syscall(SYS_getcwd, buf, sizeof(buf)));
	FAILS(ENOENT, open("new", O_CREAT | O_WRONLY, 0644));
	OK(stat(".", &a));
	OK(chdir(".."));
	TRUE(getcwd(buf, sizeof(buf)) && !strcmp(buf, at("moved")));
}

static void deep(void)
{
	char buf[PATH_MAX];
	int depth = 0;

	for (; depth < 60; depth++)
		if (mkdir(long_name(50), 0755) < 0 || chdir(long_name(50)) < 0)
			break;
	IS(60, depth);
	TRUE(getcwd(buf, sizeof(buf)) && strlen(buf) == strlen(here) + 60 * 51);
	put("f", "deep");
	SAYS("deep", text_of("f"));
	/* Deeper than a path can say. */
	for (; depth < 120; depth++)
		if (mkdir(long_name(50), 0755) < 0 || chdir(long_name(50)) < 0)
			break;
	IS(120, depth);
	put("f", "deeper");
	SAYS("deeper", text_of("f"));
	FAILS(ENAMETOOLONG, syscall(SYS_getcwd, buf, sizeof(buf)));
	OK(unlink("f"));
	for (; depth > 0; depth--) {
		unlink("f");
		if (chdir("..") < 0 || rmdir(long_name(50)) < 0)
			break;
	}
	IS(0, depth);
	TRUE(stat_of(".").st_ino == stat_of(here).st_ino);
}

static void look_from_inside(void)
{
	char buf[PATH_MAX];

	if (!getcwd(buf, sizeof(buf)) || strcmp(buf, at("d")) || chdir("..") < 0)
		_exit(1);
	put("child", "was here");
}

static void inherited(void)
{
	OK(mkdir("d", 0755));
	OK(chdir("d"));
	IS(0, in_child(0, 0, look_from_inside));
	SAYS("was here", text_of("../child"));
	IS(0, system("test \"$(pwd -P)\" = \"$(readlink /proc/self/cwd)\" && cd .. && test -d d"));
}

/* ---- extended attributes
 * -------------------------------------------------------------------------- */

static void xattrs(void)
{
	char buf[100] = "";

	put("f", "text");
	int fd = OK(open("f", O_RDWR)), path = OK(open("f", O_PATH));
	IS(0, listxattr("f", NULL, 0));
	FAILS(ENODATA, getxattr("f", "user.a", buf, 10));
	FAILS(ENODATA, removexattr("f", "user.a"));
	FAILS(ENODATA, setxattr("f", "user.a", "v", 1, XATTR_REPLACE));
	OK(setxattr("f", "user.a", "value", 5, XATTR_CREATE));
	FAILS(EEXIST, setxattr("f", "user.a", "v", 1, XATTR_CREATE));
	IS(5, getxattr("f", "user.a", NULL, 0));
	IS(5, getxattr("f", "user.a", buf, sizeof(buf)));
	SAYS("value", buf);
	FAILS(ERANGE, getxattr("f", "user.a", buf, 4));
	OK(setxattr("f", "user.a", "other", 5, XATTR_REPLACE));
	OK(fsetxattr(fd, "user.b", "", 0, 0));
	IS(0, fgetxattr(fd, "user.b", buf, sizeof(buf)));
	IS(14, listxattr("f", NULL, 0));
	FAILS(ERANGE, listxattr("f", buf, 13));
	IS(14, flistxattr(fd, buf, sizeof(buf)));
	TRUE(!memcmp(buf, "user.a\0user.b\0", 14) || !memcmp(buf, "user.b\0user.a\0", 14));
	OK(fremovexattr(fd, "user.b"));
	IS(7, listxattr("f", buf, sizeof(buf)));
	FAILS(EBADF, fgetxattr(path, "user.a", buf, 10));
	FAILS(EBADF, fgetxattr(-1, "user.a", buf, 10));
	FAILS(EINVAL, setxattr("f", "user.a", "v", 1, 77));
	FAILS(EOPNOTSUPP, setxattr("f", "nonsense.a", "v", 1, 0));
	FAILS(EOPNOTSUPP, setxattr("f", "nodot", "v", 1, 0));
	FAILS(ERANGE, setxattr("f", "", "v", 1, 0));
	snprintf(buf, sizeof(buf), "user.%.60s", long_name(60));
	OK(setxattr("f", buf, "v", 1, 0));
	FAILS(ERANGE, setxattr("f", long_name(256), "v", 1, 0));
	FAILS(E2BIG, setxattr("f", "user.c", BAD, 65537, 0));
	/* They move with the file, and go with its name. */
	OK(rename("f", "g"));
	IS(5, getxattr("g", "user.a", NULL, 0));
	OK(unlink("g"));
	IS(5, fgetxattr(fd, "user.a", NULL, 0));
}

static void xattrs_elsewhere(void)
{
	char buf[2000];

	OK(mkdir("d", 0755));
	put("f", "");
	OK(symlink("f", "s"));
	OK(setxattr("d", "user.dir", "1", 1, 0));
	IS(1, getxattr("d", "user.dir", buf, sizeof(buf)));
	OK(setxattr("s", "user.x", "12", 2, 0));
	IS(2, getxattr("f", "user.x", buf, sizeof(buf)));
	FAILS(EPERM, lsetxattr("s", "user.x", "1", 1, 0));
	FAILS(ENODATA, lgetxattr("s", "user.x", buf, sizeof(buf)));
	IS(0, llistxattr("s", buf, sizeof(buf)));
	IS(2, lgetxattr("f", "user.x", buf, sizeof(buf)));
	OK(lremovexattr("f", "user.x"));
	IS(0, listxattr("f", NULL, 0));
	memset(buf, 'v', sizeof(buf));
	OK(setxattr("f", "user.large", buf, sizeof(buf), 0));
	IS(2000, getxattr("f", "user.large", NULL, 0));
	if (may(CAP_SYS_ADMIN)) {
		OK(setxattr("f", "trusted.t", "t", 1, 0));
		IS(1, getxattr("f", "trusted.t", buf, sizeof(buf)));
		OK(lsetxattr("s", "trusted.t", "ts", 2, 0));
		IS(2, lgetxattr("s", "trusted.t", buf, sizeof(buf)));
	}
}

const struct test dir_tests[] = {
    {"dir_many_entries", many_entries, "lists"},
    {"dir_positions", positions},
    {"dir_removing", removing_entries, "lists"},
    {"dir_kinds", kinds, "symlinks,fifo"},
    {"dir_changes", changes_seen},
    {NULL},
};

const struct test cwd_tests[] = {
    {"cwd_current", current, "symlinks"},
    {"cwd_deep", deep, "longnames"},
    {"cwd_inherited", inherited},
    {NULL},
};

const struct test xattr_tests[] = {
    {"xattr_all", xattrs, "xattr"},
    {"xattr_elsewhere", xattrs_elsewhere, "xattr,symlinks"},
    {NULL},
};
