/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a trapped call costs with receivers: nanoseconds a call, the best of ROUNDS, printed by the
 * program itself that stands under the filter.
 */
#include "supervise/guard.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <seccomp.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 7

/* ---- the supervisor's side ------------------------------------------------------------------ */

static enum pf__call_end on_stat(void *ctx, struct pf__call *call)
{
	char path[64];

	if (pf__call_peek_string(call, call->args[1], path, sizeof path) < 0 ||
	    strcmp(path, "/answered") != 0)
		return PF_CALL_PASS;
	call->value = 0;
	return PF_CALL_RETURN;
}

static enum pf__call_end on_chdir(void *ctx, struct pf__call *call)
{
	struct pf__inject in = {
	    .nr = SYS_fchdir, .fd = *(int *)ctx, .arg_is_fd = 1, .close_fd = true};

	pf__call_instead(call, &in);
	return PF_CALL_TAKEN;
}

static const struct pf__trap traps[] = {
    {SCMP_SYS(newfstatat), on_stat},
    {SCMP_SYS(chdir), on_chdir},
};

static sem_t gone;

static void on_event(void *ctx, enum pf__guard_event event, int status)
{
	if (event == PF_GUARD_GONE)
		sem_post(&gone);
}

static int supervise(const char *self)
{
	char *argv[] = {(char *)(uintptr_t)self, (char *)(uintptr_t) "measure", NULL};
	struct pf__guard_start how = {.file = self,
				      .argv = argv,
				      .filtered = true,
				      .out_fd = -1,
				      .err_fd = -1,
				      .pass_fd = -1,
				      .event = on_event};
	int dir = open("/", O_DIRECTORY | O_CLOEXEC);
	struct pf__supervisor *s;
	struct pf__guard *g;

	sem_init(&gone, 0, 0);
	if (dir < 0 || pf__supervisor_new(&s) ||
	    pf__supervisor_add_parallel_role(s, traps, sizeof traps / sizeof traps[0], &dir) ||
	    pf__guard_start(&g, s, &how))
		return 1;
	while (sem_wait(&gone) < 0)
		;
	pf__guard_stop(g, 0, 0);
	pf__guard_free(g);
	pf__supervisor_free(s);
	return 0;
}

/* ---- the program's side --------------------------------------------------------------------- */

static void parent_once(void)
{
	syscall(SYS_getppid);
}

static void continued_once(void)
{
	struct stat st;

	if (stat("/", &st) < 0)
		abort();
}

static void answered_once(void)
{
	struct stat st;

	if (stat("/answered", &st) < 0)
		abort();
}

static void chdir_once(void)
{
	if (chdir("/usr") < 0) {
		perror("chdir");
		abort();
	}
}

static void measure(const char *name, void (*once)(void), int turns)
{
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		struct timespec a, b;
		double ns;

		clock_gettime(CLOCK_MONOTONIC, &a);
		for (int i = 0; i < turns; i++)
			once();
		clock_gettime(CLOCK_MONOTONIC, &b);
		ns =
		    ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / turns;
		best = ns < best ? ns : best;
	}
	printf("%-28s %8.0f\n", name, best);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char self[PATH_MAX] = "";

	if (argc < 2)
		return readlink("/proc/self/exe", self, sizeof self - 1) < 0 ? 1 : supervise(self);
	measure("getppid, untrapped", parent_once, 100000);
	measure("stat, trapped and continued", continued_once, 20000);
	measure("stat, trapped and answered", answered_once, 20000);
	measure("fchdir by injection", chdir_once, 2000);
	return 0;
}
