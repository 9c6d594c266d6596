/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * preload INSIDE OUTSIDE SERVER: an ordinary program that looks at files by libc's calls and by
 * system calls of its own, which no library stands in for. Both must say the same, at once and
 * always: of files of a run (INSIDE) and of others (OUTSIDE). Prints TAP.
 */
#include "preload.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

const char *inside, *outside;
static const char *server; /* which mounts -o source=DIR */
static unsigned cases, failures;
static bool failed; /* this case */

void say(const char *format, ...)
{
	va_list args;

	failed = true;
	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

/* ---- both ways ------------------------------------------------------------------------------- */

static bool same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
	       a->st_nlink == b->st_nlink && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
	       a->st_rdev == b->st_rdev && a->st_size == b->st_size &&
	       a->st_blocks == b->st_blocks && a->st_blksize == b->st_blksize &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void both_at(int dirfd, const char *path, int flags)
{
	struct stat raw = {0}, libc = {0};
	struct statx x = {0};
	long a = syscall(SYS_newfstatat, dirfd, path, &raw, flags);
	int error = errno;
	int b = fstatat(dirfd, path, &libc, flags);

	if (a != b || (a < 0 && error != errno))
		say("fstatat %s: %ld %s, libc %d %s", path, a, strerror(error), b, strerror(errno));
	else if (a == 0 && !same_stat(&raw, &libc))
		say("fstatat %s: they differ: ino %lu %lu size %ld %ld mode %o %o", path,
		    (unsigned long)raw.st_ino, (unsigned long)libc.st_ino, (long)raw.st_size,
		    (long)libc.st_size, raw.st_mode, libc.st_mode);
	b = statx(dirfd, path, flags, STATX_BASIC_STATS, &x);
	if (a != b || (a == 0 && (x.stx_ino != raw.st_ino || x.stx_size != (uint64_t)raw.st_size ||
				  x.stx_mode != raw.st_mode || x.stx_nlink != raw.st_nlink ||
				  x.stx_mtime.tv_nsec != raw.st_mtim.tv_nsec)))
		say("statx %s: %ld, libc %d", path, a, b);
}

/* Often enough that whatever may be remembered is. */
static void both(const char *path)
{
	for (int i = 0; i < 4; i++) {
		both_at(AT_FDCWD, path, 0);
		both_at(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
	}
}

const char *in(const char *dir, const char *name)
{
	static char path[64][PATH_MAX];
	static unsigned next;
	char *p = path[next++ % 64];

	snprintf(p, PATH_MAX, "%s/%s", dir, name);
	return p;
}

static void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	MUST(fd >= 0);
	MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static long size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -1 : (long)st.st_size;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void is_loaded(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	bool found = false;

	while (f && fgets(line, sizeof line, f))
		found |= !strncmp(line, "3070000000-", 11);
	MUST(found);
	if (f)
		fclose(f);
}

static void paths(void)
{
	static const char *const names[] = {
	    "file",    "dir",       "dir/deep",    "dir/..",        ".",
	    "./file",  "dir//deep", "dir/../file", "link",          "dangling",
	    "missing", "file/x",    "dir/",        "file/",         "loop",
	    "out",     "out/file",  "dir/./deep",  "link-dir/deep", ""};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		both(in(inside, names[i]));
		both(in(outside, names[i]));
	}
	both("");
	both("/");
	both("/proc/self");
	both("/proc/self/exe");
	both("/proc/self/mountinfo");
	MUST(stat(NULL, &(struct stat){0}) < 0 && errno == EFAULT);
}

static void relative(void)
{
	static const char *const dirs[] = {"", "dir"};
	const char *const tops[] = {inside, outside};

	for (int t = 0; t < 2; t++)
		for (int d = 0; d < 2; d++) {
			int fd = open(in(tops[t], dirs[d]), O_RDONLY | O_DIRECTORY);

			MUST(fd >= 0 && !chdir(in(tops[t], dirs[d])));
			for (int i = 0; i < 5; i++) {
				both("file");
				both("deep");
				both("../file");
				both(".");
				both_at(fd, "file", 0);
				both_at(fd, "deep", AT_SYMLINK_NOFOLLOW);
				both_at(fd, "../file", 0);
				both_at(fd, "", AT_EMPTY_PATH);
				both_at(fd, "missing", 0);
			}
			close(fd);
		}
	both_at(-1, "file", 0);
	both_at(12345, "file", 0);
	MUST(!chdir("/"));
	both("file");
}

/* A descriptor's number is another file's now; the working directory is another. */
static void directories_change(void)
{
	const char *const tops[] = {inside, outside};
	int fd = -1;

	for (int i = 0; i < 40; i++) {
		int next = open(in(tops[i % 2], i % 3 ? "dir" : ""), O_RDONLY | O_DIRECTORY);

		MUST(next >= 0);
		if (fd >= 0) {
			MUST(dup2(next, fd) == fd);
			close(next);
		} else {
			fd = next;
		}
		MUST(!fchdir(fd));
		both_at(fd, "file", 0);
		both_at(fd, "deep", 0);
		both("file");
		both("deep");
	}
	close(fd);
	MUST(!chdir("/"));
}

static void look_often(const char *path)
{
	struct stat st;

	usleep(15000); /* changes are told of before they are made */
	for (int i = 0; i < 5; i++)
		(void)!stat(path, &st);
}

/* With another working directory, and other descriptors. */
static void *goes_apart(void *arg)
{
	int fd = *(int *)arg, dir;

	if (unshare(CLONE_FS | CLONE_FILES)) {
		MUST(errno == EPERM); /* Docker's filter has it so */
		return NULL;
	}
	MUST(!chdir(in(inside, "dir")));
	dir = open(outside, O_RDONLY | O_DIRECTORY);
	MUST(dup2(dir, fd) == fd);
	look_often("file");
	both("file");
	for (int i = 0; i < 4; i++)
		both_at(fd, "file", 0);
	return NULL;
}

/* Whose working directory is not that of the process whose memory they have. */
static void directories_of_others(void)
{
	const char *const tops[] = {inside, outside};
	int fd = open(in(inside, "dir"), O_RDONLY | O_DIRECTORY);
	pthread_t t;

	for (int i = 0; i < 12; i++) {
		const char *there = in(tops[i / 2 % 2], "dir");
		pid_t pid;

		MUST(!chdir(tops[i % 2]));
		look_often("file");
		pid = vfork();
		if (pid == 0) {
			MUST(!chdir(there));
			look_often("file");
			_exit(0);
		}
		both("file");
		both("deep");
		waitpid(pid, NULL, 0);
	}
	MUST(!chdir(inside) && !pthread_create(&t, NULL, goes_apart, &fd));
	pthread_join(t, NULL);
	both("file");
	both("deep");
	for (int i = 0; i < 4; i++)
		both_at(fd, "file", 0);
	close(fd);
	MUST(!chdir("/"));
}

static void list(const char *path)
{
	DIR *d = opendir(path);

	MUST(d);
	while (d && readdir(d))
		;
	if (d)
		closedir(d);
}

/* Another file system over a directory of the first, which its own still lists. */
static void mounted_over(void)
{
	const char *over = strdup(in(inside, "over")), *file = strdup(in(over, "file"));
	char command[3 * PATH_MAX];
	int fd;

	MUST(!mkdir(over, 0755));
	write_to(file, "below");
	fd = open(over, O_RDONLY | O_DIRECTORY);
	both(over);
	both(file);
	snprintf(command, sizeof command, "LD_PRELOAD= %s -o source=%s %s", server,
		 in(outside, "dir"), over);
	MUST(!system(command));
	for (int i = 0; i < 3; i++) {
		usleep(15000);
		list(inside);
		both(over);
		both(file);
		MUST(size_of(file) == 7);
		both_at(fd, "file", 0);
	}
	close(fd);
	usleep(100000);
	snprintf(command, sizeof command, "umount %s 2>/dev/null || fusermount3 -u %s", over, over);
	MUST(!system(command));
	both(over);
	both(file);
	MUST(size_of(file) == 5 && !unlink(file) && !rmdir(over));
}

static void both_fd(int fd, const char *what)
{
	struct stat raw = {0}, libc = {0};

	for (int i = 0; i < 2; i++) {
		long a = syscall(SYS_fstat, fd, &raw);
		int b = fstat(fd, &libc);

		if (a != b || (a == 0 && !same_stat(&raw, &libc)))
			say("fstat %s: ino %lu %lu size %ld %ld mode %o %o mtime %ld %ld", what,
			    (unsigned long)raw.st_ino, (unsigned long)libc.st_ino,
			    (long)raw.st_size, (long)libc.st_size, raw.st_mode, libc.st_mode,
			    raw.st_mtim.tv_nsec, libc.st_mtim.tv_nsec);
	}
}

static void descriptors(void)
{
	const char *const tops[] = {inside, outside};
	struct stat st;
	char text[16];

	for (int t = 0; t < 2; t++)
		for (int i = 0; i < 6; i++) {
			const char *f = strdup(in(tops[t], "opened")),
				   *g = strdup(in(tops[t], "opened-2"));
			int fd, other;

			write_to(f, "eleven bytes" + i);
			fd = open(f, O_RDONLY);
			both_fd(fd, "just opened");
			MUST(!fstat(fd, &st) && st.st_size == 12 - i);
			MUST(read(fd, text, sizeof text) == 12 - i);
			both_fd(fd, "read");
			MUST(!chmod(f, 0600 + (mode_t)i));
			MUST(!fstat(fd, &st) && (st.st_mode & 0777) == (mode_t)(0600 + i));
			both_fd(fd, "with another mode");
			MUST(!truncate(f, 3) && !fstat(fd, &st) && st.st_size == 3);
			both_fd(fd, "truncated");
			other = open(f, O_WRONLY | O_APPEND);
			MUST(write(other, "1234", 4) == 4 && !fstat(fd, &st) && st.st_size == 7);
			both_fd(fd, "while it is written");
			MUST(!close(other) && !fstat(fd, &st) && st.st_size == 7);
			both_fd(fd, "written");
			MUST(!link(f, g) && !fstat(fd, &st) && st.st_nlink == 2);
			MUST(!unlink(f) && !fstat(fd, &st) && st.st_nlink == 1);
			MUST(!unlink(g) && !fstat(fd, &st) && st.st_nlink == 0);
			both_fd(fd, "removed");
			other = open(in(tops[t], "file"), O_RDONLY);
			MUST(dup2(other, fd) == fd && !fstat(fd, &st) && st.st_size == 6);
			both_fd(fd, "another file");
			close(fd);
			close(other);
			MUST(fstat(fd, &st) < 0 && errno == EBADF);
		}
}

static void changes_at(const char *top)
{
	const char *f = in(top, "changing"), *g = in(top, "changed");
	struct stat st;

	for (int i = 0; i < 20; i++) {
		char text[32];

		snprintf(text, sizeof text, "%*d", i + 1, i);
		write_to(f, text);
		MUST(size_of(f) == i + 1);
		MUST(size_of(f) == i + 1);
		MUST(!truncate(f, 100 + i) && size_of(f) == 100 + i);
		MUST(!chmod(f, 0600 | (mode_t)(i & 7)));
		MUST(!stat(f, &st) && (st.st_mode & 0777) == (0600 | (mode_t)(i & 7)));
		MUST(!rename(f, g) && size_of(f) == -1 && errno == ENOENT && size_of(g) == 100 + i);
		MUST(!link(g, f) && !stat(g, &st) && st.st_nlink == 2);
		MUST(!unlink(g) && size_of(g) == -1 && !stat(f, &st) && st.st_nlink == 1);
		MUST(
		    !utimensat(AT_FDCWD, f, (struct timespec[2]){{.tv_sec = i}, {.tv_sec = i}}, 0));
		MUST(!stat(f, &st) && st.st_mtime == i);
		both(f);
	}
	unlink(f);
}

static void changes(void)
{
	changes_at(inside);
	changes_at(outside);
}

/* A directory with files that were looked at is renamed, and another takes its place. */
static void renamed_directories(void)
{
	const char *const tops[] = {inside, outside};

	for (int t = 0; t < 2; t++)
		for (int i = 0; i < 5; i++) {
			const char *a = in(tops[t], "a"), *b = in(tops[t], "b");
			int fd;

			MUST(!mkdir(a, 0755) && !mkdir(b, 0755));
			write_to(in(a, "f"), "one");
			write_to(in(b, "f"), "three");
			fd = open(a, O_RDONLY | O_DIRECTORY);
			both(in(a, "f"));
			both_at(fd, "f", 0);
			MUST(!renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) ||
			     (errno == EINVAL && !rename(a, in(tops[t], "c")) && !rename(b, a) &&
			      !rename(in(tops[t], "c"), b)));
			MUST(size_of(in(a, "f")) == 5 && size_of(in(b, "f")) == 3);
			both_at(fd, "f", 0);
			both(in(a, "f"));
			close(fd);
			MUST(!unlink(in(a, "f")) && !unlink(in(b, "f")) && !rmdir(a) && !rmdir(b));
			both(in(a, "f"));
		}
}

/* The path is the same, and where it leads depends on who asks, and when. */
static void working_directory(void)
{
	const char *const tops[] = {inside, outside};
	const char *file = strdup(in(outside, "here/file"));

	MUST(!symlink("/proc/self/cwd", in(outside, "here")));
	for (int i = 0; i < 4; i++) {
		MUST(!chdir(in(tops[i % 2], "")));
		look_often(file);
		MUST(size_of(file) == 6);
		both(file);
		MUST(!chdir(in(tops[i % 2], "dir")));
		look_often(file);
		MUST(size_of(file) == 7);
		both(file);
	}
	MUST(!chdir("/") && !unlink(in(outside, "here")));
}

/* What led elsewhere leads inside now, and back. */
static void links_made(void)
{
	const char *way = strdup(in(outside, "way"));

	for (int i = 0; i < 10; i++) {
		MUST(!mkdir(way, 0755));
		write_to(in(way, "file"), "outside, longer");
		both(in(way, "file"));
		MUST(!unlink(in(way, "file")) && !rmdir(way));
		MUST(!symlink(inside, way));
		MUST(size_of(in(way, "file")) == size_of(in(inside, "file")));
		both(in(way, "file"));
		both(way);
		MUST(!unlink(way));
		both(in(way, "file"));
	}
}

static void open_and_read(void)
{
	const char *const tops[] = {inside, outside};
	char text[64];

	for (int t = 0; t < 2; t++)
		for (int i = 0; i < 5; i++) {
			FILE *f = fopen(in(tops[t], "file"), "r");
			DIR *d;

			MUST(f && fgets(text, sizeof text, f) && !strcmp(text, "hello\n"));
			if (f)
				fclose(f);
			MUST(!fopen(in(tops[t], "missing"), "r") && errno == ENOENT);
			f = fopen(in(tops[t], "new"), "wx");
			MUST(f && fputs("new", f) >= 0 && !fclose(f));
			MUST(!fopen(in(tops[t], "new"), "wx") && errno == EEXIST);
			f = fopen(in(tops[t], "new"), "a+");
			MUST(f && ftell(f) == 0 && fputs("er", f) >= 0 && !fclose(f));
			f = fopen(in(tops[t], "new"), "a");
			MUST(f && ftell(f) == 5 && !fclose(f));
			MUST(size_of(in(tops[t], "new")) == 5 && !unlink(in(tops[t], "new")));
			/* By calls of libc's own, right behind one that passed. */
			both(in(outside, "file"));
			d = opendir(in(tops[t], "dir"));
			MUST(d);
			if (d)
				closedir(d);
			MUST(!access(in(tops[t], "file"), R_OK));
			MUST(access(in(tops[t], "missing"), F_OK) && errno == ENOENT);
			MUST(readlink(in(tops[t], "link"), text, sizeof text) == 4);
		}
	MUST(!fopen(in(outside, "file"), "q") && errno == EINVAL);
}

static void says_real(const char *path, const char *want)
{
	char got[PATH_MAX], *p = realpath(path, got);

	if (want ? !p || strcmp(p, want) != 0 : p != NULL)
		say("realpath %s: %s, not %s", path, p ? p : strerror(errno), want ? want : "none");
}

static void real_paths(void)
{
	const char *const tops[] = {inside, outside};
	char *p;

	for (int t = 0; t < 2; t++) {
		const char *file = in(tops[t], "file"), *deep = in(tops[t], "dir/deep");

		says_real(file, file);
		says_real(in(tops[t], "link"), file);
		says_real(in(tops[t], "dir/../link-dir/./deep"), deep);
		says_real(in(tops[t], "dir//deep"), deep);
		says_real(in(tops[t], "dir/"), in(tops[t], "dir"));
		says_real(in(tops[t], "missing"), NULL);
		MUST(errno == ENOENT);
		says_real(in(tops[t], "file/"), NULL);
		MUST(errno == ENOTDIR);
		says_real(in(tops[t], "file/x"), NULL);
		MUST(errno == ENOTDIR);
		says_real(in(tops[t], "loop"), NULL);
		MUST(errno == ELOOP);
		says_real(in(tops[t], "file/.."), NULL);
		MUST(errno == ENOTDIR);
		says_real(in(tops[t], "link/../dir"), NULL);
		MUST(errno == ENOTDIR);
		says_real(in(tops[t], "dir/./.."), tops[t]);
		says_real(in(tops[t], "dir/../.hidden"), in(tops[t], ".hidden"));
		MUST(!chdir(in(tops[t], "dir")));
		says_real("deep", deep);
		says_real("../link", file);
		says_real(".", in(tops[t], "dir"));
		MUST(!chdir("/"));
	}
	says_real(in(inside, "out/file"), in(outside, "file"));
	says_real("/", "/");
	says_real("//", "/");
	says_real("/..", "/");
	says_real("", NULL);
	MUST(!realpath(NULL, NULL) && errno == EINVAL);
	p = realpath("/proc/self/exe", NULL);
	MUST(p && strstr(p, "preload"));
	free(p);
}

/* In another process, which looked before. */
static void others_changes(void)
{
	const char *f = in(inside, "shared");
	int go[2], done[2];
	pid_t pid;
	char c;

	write_to(f, "1");
	MUST(!pipe(go) && !pipe(done));
	pid = fork();
	if (pid == 0) {
		for (long i = 1; i <= 100; i++) {
			bool same = size_of(f) == i && size_of(f) == i;

			MUST(write(done[1], same ? "y" : "n", 1) == 1 && read(go[0], &c, 1) == 1);
		}
		_exit(0);
	}
	for (int i = 1; i <= 100; i++) {
		char text[128];

		MUST(read(done[0], &c, 1) == 1 && c == 'y');
		memset(text, 'x', sizeof text);
		text[i + 1] = '\0';
		write_to(f, text);
		MUST(write(go[1], "g", 1) == 1);
	}
	waitpid(pid, NULL, 0);
	unlink(f);
}

/* Who gives up his rights does not see by what he had. */
static void rights_given_up(void)
{
	const char *d = in(inside, "secret");
	struct stat st;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		return;
	MUST(!mkdir(d, 0700));
	write_to(in(d, "f"), "x");
	for (int i = 0; i < 4; i++)
		MUST(!stat(in(d, "f"), &st));
	pid = fork();
	if (pid == 0)
		_exit(setgid(65534) || setuid(65534) || !stat(in(d, "f"), &st) ||
		      (errno != EACCES && errno != ENOENT)); /* not looked into: ENOENT */
	waitpid(pid, &status, 0);
	MUST(status == 0);
	MUST(!unlink(in(d, "f")) && !rmdir(d));
}

/* ---- at any moment --------------------------------------------------------------------------- */

static volatile sig_atomic_t wrong, interrupts;

static void on_alarm(int sig)
{
	int error = errno;
	struct stat a, b;
	DIR *d;

	(void)sig;
	wrong |= stat(in(inside, "file"), &a) || stat(in(outside, "file"), &b) || a.st_size != 6 ||
		 b.st_size != 6;
	d = opendir(in(inside, "dir"));
	wrong |= !d;
	if (d)
		closedir(d);
	interrupts++;
	errno = error;
}

static void signals(void)
{
	struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
	struct sigaction act = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	const char *f = strdup(in(outside, "file")), *g = strdup(in(inside, "file"));
	struct stat st;

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	MUST(!chdir(outside));
	for (int i = 0; i < 20000 || (interrupts < 100 && i < 2000000); i++) {
		if (stat(f, &st) || st.st_size != 6 || stat(g, &st) || st.st_size != 6 ||
		    stat("file", &st) || st.st_size != 6)
			wrong = 1;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	MUST(!chdir("/"));
	MUST(!wrong && interrupts >= 100);
}

static _Atomic bool stop;
static _Atomic unsigned strange;

static void *looks(void *arg)
{
	const char *top = arg;
	char f[PATH_MAX], g[PATH_MAX];
	struct stat st;

	snprintf(f, sizeof f, "%s/threads-a", top);
	snprintf(g, sizeof g, "%s/threads-b", top);
	while (!stop) {
		if (!stat(f, &st) && st.st_size != 3)
			strange++;
		if (!stat(g, &st) && st.st_size != 7)
			strange++;
	}
	return NULL;
}

/* One changes names, others look: nobody sees one file under the other's name. */
static void threads(void)
{
	pthread_t t[4];
	void *tops[2] = {(void *)(uintptr_t)inside, (void *)(uintptr_t)outside};

	stop = false;
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, looks, tops[i % 2]);
	for (int i = 0; i < 300; i++)
		for (int k = 0; k < 2; k++) {
			const char *top = tops[k], *a = in(top, "threads-a"), *tmp = in(top, "t");

			write_to(tmp, "abc");
			MUST(!rename(tmp, a) && size_of(a) == 3);
			write_to(tmp, "abcdefg");
			MUST(!rename(tmp, in(top, "threads-b")) &&
			     size_of(in(top, "threads-b")) == 7);
			MUST(!unlink(a) && size_of(a) == -1);
		}
	stop = true;
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	MUST(strange == 0);
	unlink(in(inside, "threads-b"));
	unlink(in(outside, "threads-b"));
}

static void local_time(void)
{
	time_t now = time(NULL);
	struct tm tm, *p;

	unsetenv("TZ");
	for (int i = 0; i < 3; i++) {
		localtime_r(&now, &tm);
		p = localtime(&now);
		MUST(p && p->tm_hour == tm.tm_hour && p->tm_min == tm.tm_min);
	}
	setenv("TZ", "XXX-5", 1);
	p = localtime(&(time_t){0});
	MUST(p && p->tm_hour == 5);
	setenv("TZ", "XXX-6", 1);
	p = localtime(&(time_t){0});
	MUST(p && p->tm_hour == 6);
	unsetenv("TZ");
	p = localtime(&now);
	MUST(p && p->tm_hour == tm.tm_hour);
	p = localtime(&now);
	setenv("TZ", "XXX-7", 1);
	(void)mktime(&(struct tm){.tm_year = 100}); /* has another zone read */
	unsetenv("TZ");
	p = localtime(&now);
	MUST(p && p->tm_hour == tm.tm_hour);
}

/* ---- all ------------------------------------------------------------------------------------- */

static void make(const char *top, const char *other)
{
	write_to(in(top, "file"), "hello\n");
	MUST(!mkdir(in(top, "dir"), 0755));
	write_to(in(top, "dir/deep"), "deep");
	write_to(in(top, ".hidden"), "");
	write_to(in(top, "dir/file"), "another");
	MUST(!symlink("file", in(top, "link")) && !symlink("nowhere", in(top, "dangling")));
	MUST(!symlink("loop", in(top, "loop")) && !symlink("dir", in(top, "link-dir")));
	MUST(!symlink(other, in(top, "out")));
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {{"it is loaded", is_loaded},
	     {"paths of all kinds", paths},
	     {"relative to directories", relative},
	     {"directories change", directories_change},
	     {"descriptors", descriptors},
	     {"changes are seen at once", changes},
	     {"directories are renamed", renamed_directories},
	     {"a link to the working directory", working_directory},
	     {"links are made", links_made},
	     {"mounted over a directory", mounted_over},
	     {"open, fopen, opendir, access, readlink", open_and_read},
	     {"realpath", real_paths},
	     {"bad addresses", bad_addresses},
	     {"changes of other processes", others_changes},
	     {"signal handlers", signals},
	     {"threads", threads},
	     {"localtime", local_time},
	     {"rights are given up", rights_given_up},
	     {"directories of others", directories_of_others},
	     {"and then: paths", paths},
	     {"and then: changes", changes}};

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	inside = argv[1];
	outside = argv[2];
	server = argv[3];
	make(inside, outside);
	make(outside, inside);
	for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
		failed = false;
		tests[i].run();
		cases++;
		failures += failed;
		printf("%s %u - %s\n", failed ? "not ok" : "ok", cases, tests[i].name);
		fflush(stdout);
	}
	printf("1..%u\n", cases);
	return failures != 0;
}
