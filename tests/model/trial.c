// SPDX-License-Identifier: BSD-2-Clause
/* A child process a run: see trial.h. */
#include "tests/model/trial.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct report *trial_report(void)
{
	void *p = mmap(NULL, sizeof(struct report), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return p;
}

static void be_quiet(void)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		dup2(fd, STDERR_FILENO);
}

/* What the child's end tells, when it could not tell itself. */
static void explain(struct report *report, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(report->what, REPORT_SIZE, "it hangs");
	else if (WIFSIGNALED(status))
		snprintf(report->what, REPORT_SIZE, "killed by signal %d", WTERMSIG(status));
	else
		snprintf(report->what, REPORT_SIZE, "exit status %d", WEXITSTATUS(status));
}

bool trial_call(struct trial *t, void (*call)(void *ctx), void *ctx)
{
	int status = 0;
	pid_t pid;

	atomic_store(&t->report->failed, 0);
	atomic_store(&t->report->at, 0);
	t->report->what[0] = 0;
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(2);
	}
	if (pid == 0) {
		alarm(t->timeout_s);
		if (t->quiet)
			be_quiet();
		call(ctx);
		exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status && !atomic_load(&t->report->failed))
		explain(t->report, status);
	return status == 0;
}

struct run_args {
	struct trial *t;
	const struct op *ops;
	size_t n;
};

static void child(void *ctx)
{
	struct run_args *a = ctx;

	run_ops(a->t->config, a->ops, a->n, a->t->report);
}

bool trial_run(struct trial *t, const struct op *ops, size_t n)
{
	struct run_args a = {t, ops, n};

	return trial_call(t, child, &a);
}

/* ---- making it small */

static bool without(struct trial *t, const struct op *ops, size_t n, size_t from, size_t count,
		    struct op *rest)
{
	memcpy(rest, ops, from * sizeof *ops);
	memcpy(rest + from, ops + from + count, (n - from - count) * sizeof *ops);
	return !trial_run(t, rest, n - count);
}

/* One pass: try to drop each chunk. The new number. */
static size_t drop_chunks(struct trial *t, struct op *ops, size_t n, size_t chunk, struct op *rest,
			  time_t until)
{
	size_t end = n;

	/* From behind: what comes late depends on what came before, seldom the other way. */
	while (end > 0 && time(NULL) < until) {
		size_t count = chunk < end ? chunk : end;

		if (without(t, ops, n, end - count, count, rest)) {
			n -= count;
			memcpy(ops, rest, n * sizeof *ops);
		}
		end -= count;
	}
	return n;
}

size_t trial_shrink(struct trial *t, struct op *ops, size_t n, unsigned seconds)
{
	struct op *rest = malloc((n + 1) * sizeof *ops);
	time_t until = time(NULL) + seconds;
	size_t at = atomic_load(&t->report->at) + 1, before;
	bool quiet = t->quiet;

	t->quiet = true;
	if (at < n && without(t, ops, n, at, n - at, rest))
		n = at;
	for (size_t chunk = n / 2 + 1; chunk > 1 && time(NULL) < until; chunk = chunk / 2)
		n = drop_chunks(t, ops, n, chunk, rest, until);
	do {
		before = n;
		n = drop_chunks(t, ops, n, 1, rest, until);
	} while (n < before && time(NULL) < until);
	t->quiet = quiet;
	free(rest);
	return n;
}
