/* SPDX-License-Identifier: BSD-2-Clause */
/* Open files: many of them, and what can be done to a descriptor behind everybody's back. */
#include "hostile.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- many ------------------------------------------------------------------------------------ */

/* As many files as can be open, kept until the pipe closes. */
static void open_many(int nth, int ready, int go)
{
	struct rlimit limit;
	char name[64], c = 0;
	int n = 0, fd, dirs = 0;

	MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	for (;;) {
		snprintf(name, sizeof name, "f%d-%d", nth, n);
		fd = open(name, n % 2 ? O_CREAT | O_RDWR : O_CREAT | O_RDONLY, 0644);
		if (fd < 0)
			break;
		if (n % 2)
			MUST(write(fd, "x", 1) == 1);
		n++;
	}
	MUST(errno == EMFILE || errno == ENFILE);
	/* Directories too, and nothing goes wrong with what is open already. */
	while (dirs < 100 && open(".", O_RDONLY | O_DIRECTORY) >= 0)
		dirs++;
	MUST(write(ready, &c, 1) == 1);
	MUST(read(go, &c, 1) == 0);
	printf("%d files\n", n);
}

static void many_files(void)
{
	enum { PROCESSES = 4 };
	int ready[2], go[2];
	pid_t pid[PROCESSES];
	struct stat st;
	char c;

	MUST(pipe(ready) == 0);
	MUST(pipe(go) == 0);
	for (int i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			close(go[1]);
			open_many(i, ready[1], go[0]);
			_exit(0);
		}
	}
	close(ready[1]);
	for (int i = 0; i < PROCESSES; i++)
		MUST(read(ready[0], &c, 1) == 1);
	/* What needs no further file goes on. */
	MUST(stat("f0-0", &st) == 0);
	MUST(mkdir("dir", 0755) == 0);
	MUST(chdir("dir") == 0 || errno == EMFILE || errno == ENFILE);
	MUST(chdir("..") == 0);
	close(go[1]);
	for (int i = 0; i < PROCESSES; i++)
		expect_child(pid[i]);
	/* And everything, once they are closed. */
	for (int i = 0; i < 200; i++) {
		int fd = open("again", O_CREAT | O_RDWR | O_TRUNC, 0644);

		if (fd >= 0) {
			MUST(write(fd, "again", 5) == 5);
			MUST(close(fd) == 0);
			expect_file("again", "again");
			if (access("f0-1", F_OK) == 0)
				expect_file("f0-1", "x");
			return;
		}
		usleep(50000);
	}
	MUST(!"files can be opened again");
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static void huge_sizes(void)
{
	int fd = open("huge", O_CREAT | O_RDWR, 0644);
	struct stat st;

	MUST(fd >= 0);
	MUST(write(fd, "begin", 5) == 5);
	MUST(ftruncate(fd, 1ll << 40) == 0);
	MUST(pwrite(fd, "end", 3, (1ll << 40) - 3) == 3);
	MUST(fstat(fd, &st) == 0);
	MUST(st.st_size == 1ll << 40);
	MUST(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
	MUST(fallocate(fd, FALLOC_FL_KEEP_SIZE, 1ll << 41, 4096) == 0 || errno == EOPNOTSUPP);
	MUST(ftruncate(fd, 3) == 0);
	MUST(pwrite(fd, "abc", 3, 0) == 3);
	MUST(close(fd) == 0);
	expect_file("huge", "abc");
	fd = open("negative", O_CREAT | O_RDWR, 0644);
	MUST(ftruncate(fd, -1) < 0);
	MUST(errno == EINVAL);
	MUST(close(fd) == 0);
}

/* More than any server will take: what can be done with it is said by run_hostile.sh. */
static void endless_size(void)
{
	int fd = open("endless", O_CREAT | O_RDWR, 0644);

	MUST(fd >= 0);
	MUST(write(fd, "begin", 5) == 5);
	MUST(ftruncate(fd, INT64_MAX - 4096) == 0);
	MUST(close(fd) == 0);
}

/* ---- what descriptors can do ----------------------------------------------------------------- */

static void descriptor_tricks(void)
{
	char link[64], buf[64];
	int fd = open("file", O_CREAT | O_RDWR, 0644), other;
	char *map;

	MUST(fd >= 0);
	MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0);
	MUST(write(fd, "hello", 5) == 5);
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	other = open(link, O_RDWR | O_APPEND);
	MUST(other >= 0);
	MUST(write(other, " world", 6) == 6);
	MUST(close(other) == 0);
	snprintf(link, sizeof link, "/dev/fd/%d", fd);
	other = open(link, O_WRONLY | O_TRUNC);
	MUST(other >= 0);
	MUST(write(other, "anew", 4) == 4);
	MUST(close(other) == 0);
	MUST(flock(fd, LOCK_EX) == 0);
	MUST(fcntl(fd, F_SETOWN, getpid()) == 0);
	fcntl(fd, F_NOTIFY, DN_MODIFY | DN_MULTISHOT);
	/* sendfile to itself. */
	MUST(lseek(fd, 4, SEEK_SET) == 4);
	for (int i = 0; i < 4; i++) {
		off_t at = 0;

		MUST(sendfile(fd, fd, &at, 4) == 4);
	}
	/* A mapping that outlives the descriptor and the name. */
	map = mmap(NULL, 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(map != MAP_FAILED);
	MUST(close(fd) == 0);
	memcpy(map, "ANEW", 4);
	usleep(50000);
	memcpy(map + 4, "BNEW", 4);
	MUST(munmap(map, 20) == 0);
	expect_file("file", "ANEWBNEWanewanewanew");
	/* Unlinked while open, and another of that name. */
	fd = open("file", O_RDWR);
	MUST(unlink("file") == 0);
	MUST(pwrite(fd, "gone", 4, 0) == 4);
	make_file("file", "second");
	MUST(pread(fd, buf, 20, 0) == 20);
	MUST(!memcmp(buf, "goneBNEW", 8));
	MUST(close(fd) == 0);
	expect_file("file", "second");
}

/* Who has a lease is not asked to give it back by anybody: there are none here, or they cost
 * nobody anything. */
static void leases(void)
{
	time_t began;
	pid_t pid;
	int fd, other;

	make_file("leased", "text");
	fd = open("leased", O_RDONLY);
	MUST(fd >= 0);
	signal(SIGIO, SIG_IGN);
	if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
		printf("leased\n");
	pid = fork();
	if (pid == 0) {
		began = time(NULL);
		other = open("leased", O_WRONLY | O_TRUNC);
		MUST(other >= 0);
		MUST(write(other, "TEXT", 4) == 4);
		MUST(close(other) == 0);
		MUST(time(NULL) - began < 10);
		_exit(0);
	}
	/* Nor does anybody else wait. */
	began = time(NULL);
	for (int i = 0; i < 20; i++) {
		make_file("other", "text");
		expect_file("other", "text");
	}
	MUST(time(NULL) - began < 10);
	expect_child(pid);
	close(fd);
	expect_file("leased", "TEXT");
}

/* Two processes append: no line is lost or torn. */
static void append(void)
{
	enum { LINES = 2000 };
	pid_t pid[2];
	char line[9];
	FILE *f;
	int counts[2] = {0, 0};

	make_file("log", "");
	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			for (int k = 0; k < LINES; k++) {
				int fd = open("log", O_WRONLY | O_APPEND);

				MUST(fd >= 0);
				MUST(write(fd, i ? "1234567\n" : "abcdefg\n", 8) == 8);
				MUST(close(fd) == 0);
			}
			_exit(0);
		}
	}
	expect_child(pid[0]);
	expect_child(pid[1]);
	f = fopen("log", "r");
	MUST(f);
	while (fgets(line, sizeof line, f)) {
		MUST(!strcmp(line, "1234567\n") || !strcmp(line, "abcdefg\n"));
		counts[line[0] == '1']++;
	}
	fclose(f);
	MUST(counts[0] == LINES);
	MUST(counts[1] == LINES);
}

/* ---- directories ----------------------------------------------------------------------------- */

static void walk_relative(void *arg)
{
	struct stat st;
	char buf[4096];

	(void)arg;
	while (!stopping()) {
		int fd;

		stat("file", &st);
		stat("../a/file", &st);
		(void)!getcwd(buf, sizeof buf);
		fd = open("file", O_RDONLY);
		if (fd >= 0) {
			ssize_t n = read(fd, buf, 10);

			MUST(n == 1);
			MUST(buf[0] == 'a' || buf[0] == 'b');
			close(fd);
		}
	}
}

static void race_chdir(void)
{
	MUST(mkdir("a", 0755) == 0);
	MUST(mkdir("b", 0755) == 0);
	make_file("a/file", "a");
	make_file("b/file", "b");
	MUST(chdir("a") == 0);
	start_thread(walk_relative, NULL);
	start_thread(walk_relative, NULL);
	while (!time_is_up(3000)) {
		MUST(chdir("../b") == 0);
		MUST(chdir("/proc") == 0);
		MUST(chdir(getenv("HOSTILE_DIR")) == 0);
		MUST(chdir("a") == 0);
	}
	stop_threads();
	expect_file("file", "a");
}

static void walk_renamed(void *arg)
{
	struct stat st;
	char buf[4096];

	(void)arg;
	while (!stopping()) {
		int dir = open("top/x", O_RDONLY | O_DIRECTORY), fd;

		stat("top/x/y/file", &st);
		stat("top/z/y/../y/file", &st);
		if (dir < 0)
			continue;
		fd = openat(dir, "y/file", O_RDWR);
		if (fd >= 0)
			close(fd);
		while (getdents64(dir, buf, sizeof buf) > 0)
			;
		close(dir);
	}
}

static void race_renames(void)
{
	MUST(mkdir("top", 0755) == 0);
	MUST(mkdir("top/x", 0755) == 0);
	MUST(mkdir("top/x/y", 0755) == 0);
	MUST(mkdir("other", 0755) == 0);
	make_file("top/x/y/file", "text");
	make_file("other/file", "other");
	for (int i = 0; i < 3; i++)
		start_thread(walk_renamed, NULL);
	while (!time_is_up(3000)) {
		MUST(rename("top/x", "top/z") == 0);
		MUST(renameat2(AT_FDCWD, "top/z", AT_FDCWD, "other", RENAME_EXCHANGE) == 0 ||
		     errno == EINVAL);
		renameat2(AT_FDCWD, "top/z", AT_FDCWD, "other", RENAME_EXCHANGE);
		MUST(rename("top/z", "top/x") == 0);
		MUST(rename("top", "top/x/y/into itself") < 0);
	}
	stop_threads();
	expect_file("top/x/y/file", "text");
	expect_file("other/file", "other");
}

/* More directories than Portfire can have open at once, one after the other. */
static void many_directories(void)
{
	char name[32];

	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "d%d", i);
		MUST(mkdir(name, 0755) == 0);
		MUST(chdir(name) == 0);
		MUST(chdir("..") == 0);
	}
}

static void removed_cwd(void)
{
	char buf[4096];
	struct stat st;
	int dir;

	MUST(mkdir("gone", 0755) == 0);
	MUST(chdir("gone") == 0);
	dir = open(".", O_RDONLY | O_DIRECTORY);
	MUST(rmdir("../gone") == 0);
	MUST(!getcwd(buf, sizeof buf));
	MUST(stat("file", &st) < 0);
	MUST(errno == ENOENT);
	MUST(open("file", O_CREAT | O_RDWR, 0644) < 0);
	MUST(errno == ENOENT);
	MUST(stat(".", &st) == 0);
	MUST(mkdir("x", 0755) < 0);
	MUST(getdents64(dir, buf, sizeof buf) <= 0);
	MUST(openat(dir, "file", O_CREAT | O_RDWR, 0644) < 0);
	MUST(access("..", R_OK) == 0);
	/* One of that name again is another one. */
	MUST(mkdir("../gone", 0755) < 0 || stat("file", &st) < 0);
	MUST(chdir(getenv("HOSTILE_DIR")) == 0);
	close(dir);
	make_file("file", "text");
}

static void deep(void)
{
	char buf[8192];
	struct stat st;
	int n = 0;

	/* Deeper than any path can say. */
	while (n < 1500) {
		if (mkdir("deeper", 0755) < 0 || chdir("deeper") < 0) {
			MUST(errno == ENAMETOOLONG || errno == EIO);
			break;
		}
		n++;
	}
	MUST(n > 500);
	getcwd(buf, sizeof buf);
	stat(".", &st);
	stat("..", &st);
	close(open("file", O_CREAT | O_RDWR, 0644));
	MUST(chdir(getenv("HOSTILE_DIR")) == 0);
	MUST(system("rm -rf deeper") == 0);
	MUST(access("deeper", F_OK) < 0);
}

static void links(void)
{
	char target[4096];
	struct stat st;
	char out[] = "/tmp/hostile-link-XXXXXX";

	MUST(symlink("loop", "loop") == 0);
	MUST(stat("loop", &st) < 0);
	MUST(errno == ELOOP);
	MUST(open("loop/x", O_CREAT | O_RDWR, 0644) < 0);
	MUST(errno == ELOOP);
	MUST(symlink("two", "one") == 0);
	MUST(symlink("one/../one", "two") == 0);
	MUST(stat("one", &st) < 0);
	MUST(errno == ELOOP);
	/* In and out. */
	MUST(mkdtemp(out));
	snprintf(target, sizeof target, "%s/back", out);
	MUST(symlink(target, "out") == 0);
	snprintf(target, sizeof target, "%s/out", getenv("HOSTILE_DIR"));
	MUST(chdir(out) == 0);
	MUST(symlink(target, "back") == 0);
	MUST(stat("back", &st) < 0);
	MUST(errno == ELOOP);
	MUST(stat("back/../x", &st) < 0);
	MUST(unlink("back") == 0);
	MUST(chdir(getenv("HOSTILE_DIR")) == 0);
	MUST(rmdir(out) == 0);
	/* One that says as much as it can. */
	memset(target, 'a', sizeof target);
	for (int i = 200; i < 4095; i += 200)
		target[i] = '/';
	target[4095] = '\0';
	if (symlink(target, "long") == 0) {
		MUST(stat("long", &st) < 0);
		MUST(errno == ENOENT || errno == ENAMETOOLONG);
		MUST(stat("long/x", &st) < 0);
	}
	/* As many links in a row as may be, and one more. */
	make_file("l0", "end");
	for (int i = 0; i < 41; i++) {
		char from[16], to[16];

		snprintf(from, sizeof from, "l%d", i);
		snprintf(to, sizeof to, "l%d", i + 1);
		MUST(symlink(from, to) == 0);
	}
	MUST(stat("l40", &st) == 0);
	MUST(stat("l41", &st) < 0);
	MUST(errno == ELOOP);
}

/* ---- placeholders: O_SYNC gets one ----------------------------------------------------------- */

/* A lock ends with the last close of what it was taken by, not later. */
static void locks_end(void)
{
	char name[16];

	for (int i = 0; i < 100; i++) {
		int fd, other;

		snprintf(name, sizeof name, "l%d", i);
		fd = open(name, O_CREAT | O_RDWR | O_SYNC, 0644);
		other = open(name, O_RDWR | O_SYNC);
		MUST(fd >= 0 && other >= 0);
		MUST(flock(fd, LOCK_EX) == 0);
		MUST(flock(other, LOCK_EX | LOCK_NB) < 0);
		MUST(close(fd) == 0);
		MUST(flock(other, LOCK_EX | LOCK_NB) == 0);
		MUST(close(other) == 0);
	}
}

static void read_on(void *arg)
{
	static char buf[4][1 << 20];
	int fd = open("read", O_RDONLY | O_SYNC), nth = (int)(intptr_t)arg;

	MUST(fd >= 0);
	while (!stopping())
		MUST(pread(fd, buf[nth], sizeof buf[nth], 0) == sizeof buf[nth]);
	close(fd);
}

/* Who needs a real one gets it while others read. */
static void readers_make_way(void)
{
	int fd = open("read", O_CREAT | O_RDWR | O_SYNC, 0644);
	struct timespec began, now;

	MUST(fd >= 0);
	MUST(ftruncate(fd, 1 << 20) == 0);
	for (int i = 0; i < 4; i++)
		start_thread(read_on, (void *)(intptr_t)i);
	usleep(100000);
	clock_gettime(CLOCK_MONOTONIC, &began);
	MUST(flock(fd, LOCK_EX) == 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	stop_threads();
	MUST(now.tv_sec - began.tv_sec < 3);
	MUST(close(fd) == 0);
}

/* What was open before is named by calls that nobody sees. */
static void aio_after_open(void)
{
	int fd = open("aio", O_CREAT | O_RDWR | O_SYNC, 0644);
	char text[] = "hello";
	struct iocb write = {.aio_fildes = (uint32_t)fd,
			     .aio_lio_opcode = IOCB_CMD_PWRITE,
			     .aio_buf = (uintptr_t)text,
			     .aio_nbytes = 5},
		    *all = &write;
	aio_context_t context = 0;
	struct io_event done;

	MUST(fd >= 0);
	MUST(syscall(SYS_io_setup, 1, &context) == 0);
	MUST(syscall(SYS_io_submit, context, 1, &all) == 1);
	MUST(syscall(SYS_io_getevents, context, 1, 1, &done, NULL) == 1);
	MUST(done.res == 5);
	MUST(syscall(SYS_io_destroy, context) == 0);
	MUST(close(fd) == 0);
	expect_file("aio", "hello");
}

/* More than there are numbers for: what the others get is the same file. */
static void many_placeholders(void)
{
	int fds[400];
	char c;

	for (int i = 0; i < 400; i++) {
		fds[i] = open("many", O_CREAT | O_RDWR | O_APPEND | O_SYNC, 0644);
		MUST(fds[i] >= 0);
		MUST(write(fds[i], "x", 1) == 1);
	}
	for (int i = 0; i < 400; i++)
		MUST(pread(fds[i], &c, 1, 399) == 1);
	for (int i = 0; i < 400; i++)
		MUST(close(fds[i]) == 0);
}

static void placeholders(void)
{
	many_placeholders();
	locks_end();
	readers_make_way();
	aio_after_open(); /* the last: none is made from then on */
}

const struct hostile_case file_cases[] = {
    {"many-files", many_files, 0},
    {"many-directories", many_directories, 0},
    {"huge-sizes", huge_sizes, 0},
    {"endless-size", endless_size, 0},
    {"descriptor-tricks", descriptor_tricks, 0},
    {"leases", leases, 0},
    {"append", append, 0},
    {"race-chdir", race_chdir, 0},
    {"race-renames", race_renames, 0},
    {"removed-cwd", removed_cwd, 0},
    {"deep", deep, 0},
    {"links", links, 0},
    {"placeholders", placeholders, 0},
    {NULL, NULL, 0},
};
