/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordinary program that does what no program should: hostile CASE, in an empty directory of its
 * own; hostile --list prints the cases, each with what it needs. It knows nothing of Portfire: all
 * that is asked of a case is that it ends, in time, and finds afterwards what it should.
 */
#include "hostile.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

_Noreturn void wrong(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s (errno: %s)\n", file, line, what, strerror(errno));
	_exit(1);
}

void result(const char *what, long value)
{
	if (value < 0)
		printf("%s: %s\n", what, strerror(errno));
	else
		printf("%s: %ld\n", what, value);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { MAX_THREADS = 64 };

struct thread {
	pthread_t id;
	void (*fn)(void *arg);
	void *arg;
};

static struct thread threads[MAX_THREADS];
static unsigned n_threads;
static _Atomic bool stop;

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	t->fn(t->arg);
	return NULL;
}

void start_thread(void (*fn)(void *arg), void *arg)
{
	struct thread *t = &threads[n_threads++];

	t->fn = fn;
	t->arg = arg;
	MUST(pthread_create(&t->id, NULL, thread_main, t) == 0);
}

bool stopping(void)
{
	return atomic_load(&stop);
}

void stop_threads(void)
{
	atomic_store(&stop, true);
	while (n_threads)
		pthread_join(threads[--n_threads].id, NULL);
	atomic_store(&stop, false);
}

bool time_is_up(unsigned ms)
{
	static struct timespec began;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!began.tv_sec)
		began = now;
	if ((now.tv_sec - began.tv_sec) * 1000 + (now.tv_nsec - began.tv_nsec) / 1000000 < (long)ms)
		return false;
	began.tv_sec = 0;
	return true;
}

/* ---- files, children ------------------------------------------------------------------------- */

void expect_child(int pid)
{
	int status;

	MUST(pid > 0);
	MUST(waitpid(pid, &status, 0) == pid);
	MUST(WIFEXITED(status));
	MUST(WEXITSTATUS(status) == 0);
}

void make_file(const char *name, const char *text)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);

	MUST(fd >= 0);
	MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	MUST(close(fd) == 0);
}

void expect_file(const char *name, const char *text)
{
	char buf[4096];
	int fd = open(name, O_RDONLY);
	ssize_t n;

	MUST(fd >= 0);
	n = read(fd, buf, sizeof buf);
	MUST(n == (ssize_t)strlen(text));
	MUST(!memcmp(buf, text, (size_t)n));
	close(fd);
}

/* ---- which ----------------------------------------------------------------------------------- */

static const struct hostile_case *const tables[] = {args_cases, file_cases, proc_cases};

int main(int argc, char **argv)
{
	bool list = argc == 2 && !strcmp(argv[1], "--list");

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; argc == 2 && i < sizeof tables / sizeof tables[0]; i++)
		for (const struct hostile_case *c = tables[i]; c->name; c++) {
			if (list) {
				printf("%s%s%s%s\n", c->name, c->need & NEED_ROOT ? " root" : "",
				       c->need & NEED_OTHERS ? " others" : "",
				       c->need & NEED_PLAIN ? " plain" : "");
			} else if (!strcmp(argv[1], c->name)) {
				c->fn();
				return 0;
			}
		}
	if (!list)
		fprintf(stderr, "hostile: no such case\n");
	return list ? 0 : 2;
}
