/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordinary program for the run-* rows. It knows nothing of this project and is the same whether
 * its files come through `portfire run`, the kernel's mount, proot or from a plain directory. It
 * gets lines and answers each with one, "ok NANOSECONDS" or "no REASON":
 *
 *   call WHAT DIR PATH N   a system call N times, with that working directory ("-": as it is)
 *   exec PROGRAM WORD...   a program, until it has ended; its output is thrown away
 *   counters               the server's counters, see nullserver.c: "ok BYTES", then the bytes
 *
 * @ stands for the file system's root, % for a directory outside of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE      4096
#define MAX_WORDS 32

extern char **environ;

static const char *root, *scratch;
static char page[PAGE];

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void answer(long long ns)
{
	if (ns < 0)
		printf("no %s\n", strerror((int)-ns));
	else
		printf("ok %lld\n", ns);
	fflush(stdout);
}

/* ---- system calls --------------------------------------------------------------------------- */

/* What a call works on; what has to be open is opened before the clock starts. */
struct work {
	const char *path;
	int fd;
	size_t size; /* of the file */
	long i;
};

static int do_stat(struct work *w)
{
	struct stat st;

	return stat(w->path, &st);
}

static int do_missing(struct work *w)
{
	struct stat st;

	return stat(w->path, &st) < 0 && errno == ENOENT ? 0 : -1;
}

static int do_open(struct work *w)
{
	int fd = open(w->path, O_RDONLY);

	return fd < 0 ? -1 : close(fd);
}

static int do_create(struct work *w)
{
	int fd = open(w->path, O_CREAT | O_EXCL | O_WRONLY, 0644);

	if (fd < 0 || write(fd, page, PAGE) != PAGE || close(fd))
		return -1;
	return unlink(w->path);
}

static int do_fstat(struct work *w)
{
	struct stat st;

	return fstat(w->fd, &st);
}

static int do_pread(struct work *w)
{
	off_t pages = (off_t)(w->size / PAGE);

	return pread(w->fd, page, PAGE, w->i % pages * PAGE) == PAGE ? 0 : -1;
}

/* All of it: mapped, touched, unmapped. */
static int do_mmap(struct work *w)
{
	char *map = mmap(NULL, w->size, PROT_READ, MAP_SHARED, w->fd, 0);
	volatile char sum = 0;

	if (map == MAP_FAILED)
		return -1;
	for (size_t at = 0; at < w->size; at += PAGE)
		sum = (char)(sum + map[at]);
	return munmap(map, w->size);
}

static int do_getppid(struct work *w)
{
	(void)w;
	return getppid() < 0;
}

static int do_pwrite(struct work *w)
{
	off_t pages = (off_t)(w->size / PAGE);

	return pwrite(w->fd, page, PAGE, w->i % pages * PAGE) == PAGE ? 0 : -1;
}

#define NOT_OPENED (-1)

static const struct call {
	const char *name;
	int (*once)(struct work *w);
	int flags; /* with which its file is opened before */
} calls[] = {{"stat", do_stat, NOT_OPENED},      {"missing", do_missing, NOT_OPENED},
	     {"open", do_open, NOT_OPENED},      {"create", do_create, NOT_OPENED},
	     {"fstat", do_fstat, O_RDONLY},      {"pread", do_pread, O_RDONLY},
	     {"pwrite", do_pwrite, O_RDWR},      {"mmap", do_mmap, O_RDONLY},
	     {"getppid", do_getppid, NOT_OPENED}};

static long long many(const struct call *call, struct work *w, long n)
{
	long long start;

	if (call->flags != NOT_OPENED) {
		struct stat st;

		w->fd = open(w->path, call->flags);
		if (w->fd < 0 || fstat(w->fd, &st))
			return -errno;
		w->size = (size_t)st.st_size;
		if (w->size < PAGE)
			return -EINVAL;
	}
	start = now();
	for (w->i = 0; w->i < n; w->i++)
		if (call->once(w))
			return errno ? -errno : -EIO;
	return now() - start;
}

/* Once: who follows working directories looks closer for a while after a change. */
static int go_to(const char *dir)
{
	static char here[PATH_MAX];

	if (!strcmp(dir, "-") || !strcmp(dir, here))
		return 0;
	if (chdir(dir))
		return -1;
	snprintf(here, sizeof(here), "%s", dir);
	return usleep(100000);
}

static long long time_call(const char *what, const char *dir, const char *path, const char *n)
{
	struct work w = {.path = path, .fd = -1};
	long long ns = -ENOSYS;

	if (go_to(dir))
		return -errno;
	errno = 0;
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (!strcmp(what, calls[i].name))
			ns = many(&calls[i], &w, strtol(n, NULL, 10));
	if (w.fd >= 0)
		close(w.fd);
	return ns;
}

/* ---- programs ------------------------------------------------------------------------------- */

static long long time_program(char **words)
{
	posix_spawn_file_actions_t files;
	long long start = now();
	int status = 0, err;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	err = posix_spawnp(&pid, words[0], &files, NULL, words, environ);
	if (!err && waitpid(pid, &status, 0) < 0)
		err = errno;
	start = now() - start;
	posix_spawn_file_actions_destroy(&files);
	if (err)
		return -err;
	return status ? -ECHILD : start;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void tell_counters(void)
{
	char path[PATH_MAX], text[4096];
	ssize_t n;
	int fd;

	/* `portfire run` has what was read in memory for a moment longer than it is open. */
	usleep(100000);
	snprintf(path, sizeof(path), "%s/counters", root);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	answer(n < 0 ? -errno : n);
	if (n > 0)
		fwrite(text, 1, (size_t)n, stdout);
	fflush(stdout);
	if (fd >= 0)
		close(fd);
}

/* The word with @ and % replaced; kept until the next line. */
static char *expand(const char *word)
{
	static char space[16 * PATH_MAX], *at = space;
	const char *from = *word == '@' ? root : *word == '%' ? scratch : NULL;
	char *result;

	if (!word[0] || at + PATH_MAX > space + sizeof(space))
		at = space;
	result = at;
	at += snprintf(at, PATH_MAX, "%s%s", from ? from : word, from ? word + 1 : "") + 1;
	return result;
}

static void obey(char *line)
{
	char *words[MAX_WORDS + 1] = {NULL}, *save, *word;
	int n = 0;

	expand("");
	for (word = strtok_r(line, " \n", &save); word && n < MAX_WORDS;
	     word = strtok_r(NULL, " \n", &save))
		words[n++] = expand(word);
	if (n == 5 && !strcmp(words[0], "call"))
		answer(time_call(words[1], words[2], words[3], words[4]));
	else if (n > 1 && !strcmp(words[0], "exec"))
		answer(time_program(words + 1));
	else if (n == 1 && !strcmp(words[0], "counters"))
		tell_counters();
	else
		answer(-EINVAL);
}

int main(int argc, char *argv[])
{
	char line[4096];

	if (argc != 3) {
		fprintf(stderr, "usage: run_client ROOT SCRATCH\n");
		return 2;
	}
	root = argv[1];
	scratch = argv[2];
	memset(page, 'x', sizeof(page));
	if (chdir("/"))
		return 1;
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	return 0;
}
