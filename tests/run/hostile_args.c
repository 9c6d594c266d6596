/* SPDX-License-Identifier: BSD-2-Clause */
/* Arguments: bad ones, huge ones, and such that change while the call is under way. */
#include "hostile.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

/* ---- bad pointers ---------------------------------------------------------------------------- */

static char *pages; /* a page for all, one that can only be read, one that is not there */
static int a_file, a_dir;

static void make_pages(void)
{
	pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(pages != MAP_FAILED);
	memset(pages, 'x', 2 * 4096);
	MUST(mprotect(pages + 4096, 4096, PROT_READ) == 0);
	MUST(munmap(pages + 8192, 4096) == 0);
}

/* What an argument is. */
enum kind { NONE, PATH, OUT, IN, FD, NUM, SIZE };

struct call {
	const char *name;
	long nr;
	enum kind kind[6];
	long num[6]; /* of those that are NUM or SIZE; of FD: AT_FDCWD, or 0: the file */
};

#define CALL(name, ...)                                                                            \
	{                                                                                          \
#name, __NR_##name, __VA_ARGS__                                                    \
	}

/* Every call that may be trapped, with arguments that are good but for the one that is tried. */
static const struct call calls[] = {
#ifdef __NR_open
    CALL(open, {PATH, NUM, NUM}, {0, O_RDONLY, 0}),
    CALL(stat, {PATH, OUT}, {0}),
    CALL(lstat, {PATH, OUT}, {0}),
    CALL(access, {PATH, NUM}, {0, R_OK}),
    CALL(readlink, {PATH, OUT, SIZE}, {0, 0, 100}),
    CALL(mkdir, {PATH, NUM}, {0, 0700}),
    CALL(rmdir, {PATH}, {0}),
    CALL(mknod, {PATH, NUM, NUM}, {0, S_IFIFO | 0600, 0}),
    CALL(chmod, {PATH, NUM}, {0, 0644}),
    CALL(chown, {PATH, NUM, NUM}, {0, -1, -1}),
    CALL(lchown, {PATH, NUM, NUM}, {0, -1, -1}),
    CALL(utime, {PATH, IN}, {0}),
    CALL(utimes, {PATH, IN}, {0}),
    CALL(futimesat, {FD, PATH, IN}, {AT_FDCWD}),
    CALL(symlink, {PATH, PATH}, {0}),
    CALL(rename, {PATH, PATH}, {0}),
    CALL(link, {PATH, PATH}, {0}),
    CALL(getdents, {FD, OUT, SIZE}, {1, 0, 4096}),
#endif
    CALL(openat, {FD, PATH, NUM, NUM}, {AT_FDCWD, 0, O_RDONLY, 0}),
    CALL(openat2, {FD, PATH, IN, SIZE}, {AT_FDCWD, 0, 0, 24}),
    CALL(newfstatat, {FD, PATH, OUT, NUM}, {AT_FDCWD, 0, 0, 0}),
    CALL(statx, {FD, PATH, NUM, NUM, OUT}, {AT_FDCWD, 0, 0, 0x7ff}),
    CALL(fstat, {FD, OUT}, {0}),
    CALL(faccessat, {FD, PATH, NUM}, {AT_FDCWD, 0, R_OK}),
    CALL(faccessat2, {FD, PATH, NUM, NUM}, {AT_FDCWD, 0, R_OK, 0}),
    CALL(readlinkat, {FD, PATH, OUT, SIZE}, {AT_FDCWD, 0, 0, 100}),
    CALL(mkdirat, {FD, PATH, NUM}, {AT_FDCWD, 0, 0700}),
    CALL(unlinkat, {FD, PATH, NUM}, {AT_FDCWD, 0, AT_REMOVEDIR}),
    CALL(mknodat, {FD, PATH, NUM, NUM}, {AT_FDCWD, 0, S_IFIFO | 0600, 0}),
    CALL(fchmodat, {FD, PATH, NUM}, {AT_FDCWD, 0, 0644}),
    CALL(fchmodat2, {FD, PATH, NUM, NUM}, {AT_FDCWD, 0, 0644, 0}),
    CALL(fchmod, {FD, NUM}, {0, 0644}),
    CALL(fchownat, {FD, PATH, NUM, NUM, NUM}, {AT_FDCWD, 0, -1, -1, 0}),
    CALL(fchown, {FD, NUM, NUM}, {0, -1, -1}),
    CALL(utimensat, {FD, PATH, IN, NUM}, {AT_FDCWD, 0, 0, 0}),
    CALL(truncate, {PATH, SIZE}, {0, 2}),
    CALL(ftruncate, {FD, SIZE}, {0, 2}),
    CALL(symlinkat, {PATH, FD, PATH}, {0, AT_FDCWD}),
    CALL(renameat2, {FD, PATH, FD, PATH, NUM}, {AT_FDCWD, 0, AT_FDCWD, 0, 0}),
    CALL(linkat, {FD, PATH, FD, PATH, NUM}, {AT_FDCWD, 0, AT_FDCWD, 0, 0}),
    CALL(getxattr, {PATH, IN, OUT, SIZE}, {0, 0, 0, 100}),
    CALL(lgetxattr, {PATH, IN, OUT, SIZE}, {0, 0, 0, 100}),
    CALL(fgetxattr, {FD, IN, OUT, SIZE}, {0, 0, 0, 100}),
    CALL(setxattr, {PATH, IN, IN, SIZE, NUM}, {0, 0, 0, 4, 0}),
    CALL(lsetxattr, {PATH, IN, IN, SIZE, NUM}, {0, 0, 0, 4, 0}),
    CALL(fsetxattr, {FD, IN, IN, SIZE, NUM}, {0, 0, 0, 4, 0}),
    CALL(listxattr, {PATH, OUT, SIZE}, {0, 0, 100}),
    CALL(llistxattr, {PATH, OUT, SIZE}, {0, 0, 100}),
    CALL(flistxattr, {FD, OUT, SIZE}, {0, 0, 100}),
    CALL(removexattr, {PATH, IN}, {0}),
    CALL(lremovexattr, {PATH, IN}, {0}),
    CALL(fremovexattr, {FD, IN}, {0}),
    CALL(statfs, {PATH, OUT}, {0}),
    CALL(fstatfs, {FD, OUT}, {0}),
    CALL(chdir, {PATH}, {0}),
    CALL(fchdir, {FD}, {0}),
    CALL(getcwd, {OUT, SIZE}, {0, 4096}),
    CALL(getdents64, {FD, OUT, SIZE}, {1, 0, 4096}),
    CALL(fsync, {FD}, {0}),
    CALL(fdatasync, {FD}, {0}),
    CALL(syncfs, {FD}, {0}),
    CALL(execve, {PATH, IN, IN}, {0}),
    CALL(execveat, {FD, PATH, IN, IN, NUM}, {AT_FDCWD, 0, 0, 0, 0}),
};

/* The good values; names like "xattr" are good, too, wherever they stand. */
static long good(const struct call *c, int i)
{
	static char out[8192];
	static long in[64]; /* zeros: an empty name, no flags, 1970 */

	switch (c->kind[i]) {
	case PATH:
		return (long)"file";
	case OUT:
		return (long)out;
	case IN:
		return (long)in;
	case FD:
		return c->num[i] == AT_FDCWD ? AT_FDCWD : c->num[i] ? a_dir : a_file;
	default:
		return c->num[i];
	}
}

static long make(const struct call *c, const long a[6])
{
	long n;

	MUST(lseek(a_dir, 0, SEEK_SET) == 0);
	n = syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	/* What it opened. Its number is not the kernel's everywhere. */
	if (n > 2 && (!strncmp(c->name, "open", 4)))
		close((int)n), n = 3;
	/* Numbers of a file system's own. */
	if (n > 0 && (strstr(c->name, "listxattr") || strstr(c->name, "getcwd") ||
		      strstr(c->name, "getdents")))
		n = 1;
	return n;
}

static void try_pointer(const struct call *c, int i)
{
	const struct {
		const char *name;
		char *p;
	} bad[] = {
	    {"null", NULL},
	    {"one", (char *)1},
	    {"minus one", (char *)-1},
	    {"kernel's", (char *)0xffff800000000000},
	    {"not canonical", (char *)0x7000000000000000},
	    {"not there", pages + 8192},
	    {"to the end", pages + 8192 - 5},
	    {"read-only", pages + 4096},
	    {"half read-only", pages + 4096 - 5},
	};
	char what[128];
	long a[6];

	for (unsigned k = 0; k < sizeof bad / sizeof bad[0]; k++) {
		/* What a buffer that is half there gets is not said anywhere. */
		if (c->kind[i] == OUT && strstr(bad[k].name, "half"))
			continue;
		for (int n = 0; n < 6; n++)
			a[n] = good(c, n);
		a[i] = (long)bad[k].p;
		snprintf(what, sizeof what, "%s, argument %d %s", c->name, i, bad[k].name);
		result(what, make(c, a));
	}
}

static void try_number(const struct call *c, int i)
{
	static const long bad[] = {-1,        0,          1,        INT32_MAX, INT32_MIN,
				   INT64_MIN, UINT32_MAX, 1l << 32, 99999};
	char what[128];
	long a[6];

	for (unsigned k = 0; k < sizeof bad / sizeof bad[0]; k++) {
		if (c->kind[i] == FD && bad[k] == 1) /* our output, whatever that is */
			continue;
		for (int n = 0; n < 6; n++)
			a[n] = good(c, n);
		a[i] = bad[k];
		if (c->kind[i] != FD || (int)bad[k] > 2 || (int)bad[k] < 0) {
			snprintf(what, sizeof what, "%s, argument %d = %ld", c->name, i, bad[k]);
			result(what, make(c, a));
		}
	}
}

/* Each call with each of its arguments wrong. Run with and without Portfire: the same answers. */
static void bad_arguments(void)
{
	make_pages();
	make_file("file", "text");
	MUST(mkdir("dir", 0755) == 0);
	a_file = open("file", O_RDWR);
	a_dir = open("dir", O_RDONLY | O_DIRECTORY);
	MUST(a_file >= 0);
	MUST(a_dir >= 0);
	dup2(a_file, 0); /* else root's fchmod(0) would be that of /dev/null */
	for (unsigned n = 0; n < sizeof calls / sizeof calls[0]; n++)
		for (int i = 0; i < 6; i++) {
			enum kind k = calls[n].kind[i];

			if (k == PATH || k == OUT || k == IN)
				try_pointer(&calls[n], i);
			else if (k == FD || k == SIZE)
				try_number(&calls[n], i);
		}
	make_file("file", "text");
	expect_file("file", "text");
}

/* ---- names ----------------------------------------------------------------------------------- */

static int base;

static void try_path(const char *what, const char *path)
{
	char line[128];
	struct stat st;
	int n;

	snprintf(line, sizeof line, "stat %s", what);
	result(line, stat(path, &st));
	snprintf(line, sizeof line, "open %s", what);
	result(line, open(path, O_RDONLY) >= 0 ? 1 : -1);
	snprintf(line, sizeof line, "mkdir %s", what);
	result(line, mkdir(path, 0755));
	snprintf(line, sizeof line, "rename %s", what);
	n = rename("file", path);
	if (n && errno == EBUSY) /* of "/", which is another file system */
		errno = EXDEV;
	result(line, n);
	rename(path, "file");
	snprintf(line, sizeof line, "symlink %s", what);
	result(line, symlink(path, "lnk"));
	result("chdir", chdir("lnk") ? -1 : fchdir(base));
	unlink("lnk");
	snprintf(line, sizeof line, "exec %s", what);
	execl(path, path, (char *)NULL);
	result(line, -1);
	rmdir(path);
}

static void long_paths(void)
{
	static const struct {
		const char *what, *unit;
		size_t n;
	} paths[] = {
	    {"4093 slashes", "/", 4093},   {"4095 slashes", "/", 4095}, {"4096 slashes", "/", 4096},
	    {"5000 slashes", "/", 5000},   {"4094 of ./", "./", 2047},  {"4096 of ./", "./", 2048},
	    {"255 letters", "a", 255},     {"256 letters", "a", 256},   {"4095 letters", "a", 4095},
	    {"4096 letters", "a", 4096},   {"deep", "dir/../", 500},    {"deeper", "dir/../", 600},
	    {"too deep", "dir/../", 2000}, {"up", "../", 1000},         {"no such", "no/../", 100},
	    {"of a file", "file/../", 10},
	};
	static char path[16384];

	base = open(".", O_RDONLY | O_DIRECTORY);
	make_file("file", "text");
	MUST(mkdir("dir", 0755) == 0);
	try_path("nothing", "");
	try_path("file/", "file/");
	try_path("dir/.", "dir/.");
	try_path("dir/..", "dir/..");
	try_path("escape", "\1\2\xff\xfe");
	for (unsigned i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		path[0] = '\0';
		for (size_t n = 0; n < paths[i].n; n++)
			strcat(path, paths[i].unit);
		try_path(paths[i].what, path);
	}
}

/* A socket's name may fill all of its field, without an end. */
static void socket_names(void)
{
	struct {
		struct sockaddr_un un;
		char behind[64];
	} a;
	char what[64];

	for (unsigned size = 0; size <= sizeof a.un + 2; size++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		memset(&a, 'z', sizeof a);
		a.un.sun_family = AF_UNIX;
		snprintf(what, sizeof what, "connect, size %u", size);
		result(what, connect(fd, (struct sockaddr *)&a.un, size));
		snprintf(what, sizeof what, "bind, size %u", size);
		result(what, bind(fd, (struct sockaddr *)&a.un, size));
		close(fd);
	}
}

/* ---- huge counts ------------------------------------------------------------------------------
 */

static void huge_counts(void)
{
	static const size_t sizes[] = {0,          1,          23,        24,
				       4096,       65536,      1u << 20,  0x7fffffff,
				       0x80000000, 0xffffffff, 1ul << 32, SIZE_MAX};
	char *buf =
	    mmap(NULL, 1u << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int dir = open(".", O_RDONLY | O_DIRECTORY);
	char what[64];

	make_file("file", "text");
	MUST(symlink("target", "lnk") == 0);
	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		size_t n = sizes[i];
		long got;

		MUST(lseek(dir, 0, SEEK_SET) == 0);
		got = syscall(__NR_getdents64, dir, buf, n);
		snprintf(what, sizeof what, "getdents64 %zx", n);
		result(what, got > 0 ? 1 : got);
		snprintf(what, sizeof what, "readlink %zx", n);
		result(what, syscall(__NR_readlinkat, AT_FDCWD, "lnk", buf, n));
		snprintf(what, sizeof what, "listxattr %zx", n);
		result(what, syscall(__NR_listxattr, "file", buf, n) < 0 ? -1 : 0);
		snprintf(what, sizeof what, "getxattr %zx", n);
		result(what, syscall(__NR_getxattr, "file", "user.none", buf, n));
		snprintf(what, sizeof what, "setxattr %zx", n);
		result(what, n == 1 || n == 0 ? 0
					      : syscall(__NR_setxattr, "file", "user.a", buf,
							n > 4096 ? n : 70000, 0));
		snprintf(what, sizeof what, "getcwd %zx", n);
		got = syscall(__NR_getcwd, buf, n);
		result(what, got > 0 ? 1 : got);
	}
}

/* ---- arguments that change ------------------------------------------------------------------- */

static char racing[64];

static void change_path(void *arg)
{
	static const char *const paths[] = {"one", "two", "dir/one", "../other", "/proc/self/comm",
					    "",    "dir", "lnk/one"};
	unsigned i = 0;

	(void)arg;
	while (!stopping()) {
		const char *p = paths[i++ % (sizeof paths / sizeof paths[0])];

		memcpy(racing, p, strlen(p) + 1);
	}
}

static void race_paths(void)
{
	struct statfs fs;
	struct stat st;
	char buf[64];
	int fd;

	make_file("one", "one");
	make_file("two", "two");
	MUST(mkdir("dir", 0755) == 0);
	MUST(symlink("dir", "lnk") == 0);
	make_file("dir/one", "dir");
	start_thread(change_path, NULL);
	start_thread(change_path, NULL);
	while (!time_is_up(3000)) {
		stat(racing, &st);
		lstat(racing, &st);
		access(racing, W_OK);
		fd = open(racing, O_RDONLY);
		if (fd >= 0)
			close(fd);
		fd = open(racing, O_RDWR | O_APPEND);
		if (fd >= 0)
			close(fd);
		readlink(racing, buf, sizeof buf);
		chmod(racing, 0755);
		syscall(__NR_statfs, racing, &fs);
		linkat(AT_FDCWD, racing, AT_FDCWD, "dir/new", 0);
		unlink("dir/new");
		symlink(racing, "new");
		unlink("new");
		fd = open("dir", O_PATH);
		if (fd >= 0) {
			fstatat(fd, racing, &st, AT_EMPTY_PATH);
			close(fd);
		}
		execl(racing, racing, (char *)NULL);
	}
	stop_threads();
	expect_file("one", "one");
	expect_file("two", "two");
	expect_file("dir/one", "dir");
}

static struct open_how how;

static void change_how(void *arg)
{
	static const uint64_t flags[] = {O_RDONLY,
					 O_RDWR,
					 O_PATH,
					 O_DIRECTORY,
					 O_NOFOLLOW,
					 UINT64_MAX,
					 O_CREAT | O_EXCL | O_WRONLY};
	unsigned i = 0;

	(void)arg;
	while (!stopping()) {
		how.flags = flags[i++ % (sizeof flags / sizeof flags[0])];
		how.mode = i % 3 ? 0 : 0644;
		how.resolve = i % 5 ? 0 : i % 64;
	}
}

static void race_how(void)
{
	make_file("one", "one");
	start_thread(change_how, NULL);
	while (!time_is_up(2000)) {
		int fd = (int)syscall(__NR_openat2, AT_FDCWD, "one", &how, sizeof how);

		if (fd >= 0)
			close(fd);
		fd = (int)syscall(__NR_openat2, AT_FDCWD, "one", &how, (size_t)4096);
		if (fd >= 0)
			close(fd);
	}
	stop_threads();
	expect_file("one", "one");
}

static char *racing_argv[2000];

static void change_argv(void *arg)
{
	(void)arg;
	for (unsigned i = 0; !stopping(); i++) {
		unsigned at = i % 1999;

		racing_argv[at] = i % 7 ? racing : i % 14 ? NULL : (char *)(uintptr_t)i;
	}
}

/* Scripts have their words put together anew. */
static void race_argv(void)
{
	make_file("script", "#!/bin/sh\nexit 0\n");
	MUST(chmod("script", 0755) == 0);
	strcpy(racing, "word");
	while (!time_is_up(3000)) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			for (int i = 0; i < 1999; i++)
				racing_argv[i] = racing;
			start_thread(change_argv, NULL);
			for (int i = 0; i < 20; i++)
				execv("./script", racing_argv);
			_exit(0);
		}
		MUST(waitpid(pid, &status, 0) == pid);
	}
}

/* ---- descriptors that change ----------------------------------------------------------------- */

static int racing_fd;

static void change_fd(void *arg)
{
	int a = open("one", O_RDWR), b = open("dir", O_RDONLY), c = open("two", O_RDONLY);

	(void)arg;
	while (!stopping()) {
		dup2(a, racing_fd);
		dup2(b, racing_fd);
		close(racing_fd);
		dup2(c, racing_fd);
	}
}

static void race_descriptors(void)
{
	char buf[4096];
	struct stat st;

	make_file("one", "one");
	make_file("two", "two");
	MUST(mkdir("dir", 0755) == 0);
	make_file("dir/entry", "");
	racing_fd = 100;
	for (int i = 0; i < 3; i++)
		start_thread(change_fd, NULL);
	while (!time_is_up(3000)) {
		fstat(racing_fd, &st);
		syscall(__NR_getdents64, racing_fd, buf, sizeof buf);
		openat(racing_fd, "no such", O_RDONLY);
		fchmod(racing_fd, 0755);
		fsync(racing_fd);
		syscall(__NR_fgetxattr, racing_fd, "user.x", buf, sizeof buf);
		if (fchdir(racing_fd) == 0)
			MUST(chdir("..") == 0);
		close(open("one", O_RDONLY));
	}
	stop_threads();
	expect_file("one", "one");
}

const struct hostile_case args_cases[] = {
    {"bad-arguments", bad_arguments, NEED_PLAIN},
    {"long-paths", long_paths, NEED_PLAIN},
    {"socket-names", socket_names, NEED_PLAIN},
    {"huge-counts", huge_counts, NEED_PLAIN},
    {"race-paths", race_paths, 0},
    {"race-how", race_how, 0},
    {"race-argv", race_argv, 0},
    {"race-descriptors", race_descriptors, 0},
    {NULL, NULL, 0},
};
