/* SPDX-License-Identifier: BSD-2-Clause */
/* Parallel roles, the token, and calls in the caller's place: caller.c tries, role.c answers. */
#include "../unit.h"
#include "base/alloc.h"
#include "role.h"
#include "supervise/guard.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HANG_S 100 /* a trial that takes longer hangs, also on a busy machine */

static char scratch[64] = "/tmp/portfire-supervise.XXXXXX";
static const char *caller;

static sem_t gone;
static int exit_status;

static void on_event(void *ctx, enum pf__guard_event event, int status)
{
	if (event == PF_GUARD_EXITED)
		exit_status = status;
	else
		sem_post(&gone);
}

static void set_token(const struct pf__supervisor *s)
{
	char text[32];

	snprintf(text, sizeof text, "%llx", (unsigned long long)pf__supervisor_token(s));
	setenv("TOKEN", text, 1);
}

/* What caller's trial ended with, as from waitpid(). */
static int run(struct role *r, const char *trial)
{
	char *argv[] = {(char *)(uintptr_t)caller, (char *)(uintptr_t)trial, scratch, NULL};
	struct pf__guard_start how = {.file = caller,
				      .argv = argv,
				      .filtered = true,
				      .out_fd = -1,
				      .err_fd = -1,
				      .pass_fd = -1,
				      .event = on_event};
	struct pf__supervisor *s;
	struct timespec until;
	struct pf__guard *g;

	r->caller = caller;
	r->scratch = scratch;
	r->dir = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(r->dir >= 0);
	assert_err(pf__supervisor_new(&s), 0);
	assert_err(role_add(r, s), 0);
	set_token(s);
	sem_init(&gone, 0, 0);
	exit_status = -1;
	assert_err(pf__guard_start(&g, s, &how), 0);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += HANG_S;
	if (sem_timedwait(&gone, &until) < 0)
		fail_msg("%s hangs", trial);
	assert_err(pf__guard_stop(g, 0, 0), 0);
	pf__guard_free(g);
	pf__supervisor_free(s);
	close(r->dir);
	sem_destroy(&gone);
	return exit_status;
}

static void expect(const char *trial, int status)
{
	struct role r = {0};

	assert_int_equal(run(&r, trial), status << 8);
}

#define TRIAL(name, trial, status)                                                                 \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		expect(trial, status);                                                             \
	}

TRIAL(stuck_handlers_stop_nobody, "stuck", 0)
TRIAL(many_callers, "parallel", 0)
TRIAL(token_passes, "token", 0)
TRIAL(changes_directory, "changes-directory", 0)
TRIAL(other_results, "other-results", 0)
TRIAL(number_in_data, "number-in-data", 0)
TRIAL(ends, "ends", 0)
TRIAL(nothing_changes, "unchanged", 0)
TRIAL(opens, "opens", 0)
TRIAL(opens_on_small_stack, "small-stack", 0)
TRIAL(opens_at_once, "opens-at-once", 0)
TRIAL(signal_arrives, "signal-arrives", 0)
TRIAL(interrupted, "interrupted", 0)
TRIAL(restarted, "restarted", 0)
TRIAL(stopped_and_continued, "stopped-and-continued", 0)
TRIAL(executes, "executes", 42)
TRIAL(execution_fails, "execution-fails", 0)
TRIAL(children_execute, "spawns", 0)
TRIAL(thread_executes, "thread-executes", 42)
TRIAL(threads_race_to_execute, "threads-race-to-execute", 0)
TRIAL(traced_already, "traced-already", 0)
TRIAL(killed_at_any_moment, "killed-at-any-moment", 0)

static void serial_roles_stay_so(void **state)
{
	struct role r = {0};

	(void)state;
	assert_int_equal(run(&r, "serial"), 0);
	assert_int_equal(r.most_inside, 1);
}

static void thread_executes_amid_others(void **state)
{
	struct role r = {.may_interrupt_twice = true};

	(void)state;
	assert_int_equal(run(&r, "thread-executes-amid-others"), 42 << 8);
}

/* ---- as on older kernels -------------------------------------------------------------------- */

/*
 * A child under the filter, whose waits signals interrupt (no WAIT_KILLABLE_RECV, as before Linux
 * 5.19), and its listener. It executes the caller's trial, or sleeps (NULL). Between it and us
 * stands another process, as the guardian does: whoever waits for a child that is traced by a
 * thread of his process is told of its stops.
 */
static pid_t start_interruptible(const struct pf__supervisor *s, const char *trial, int *listener)
{
	struct pf__guard_message m = {.word = PF_WORD_LISTENER};
	struct sock_fprog prog = {0};
	int sv[2];
	pid_t pid;

	assert_err(pf__filter_build(s, &prog), 0);
	assert_err(pf__message_pair(sv), 0);
	pid = fork();
	if (pid == 0) {
		int fd, status;

		pid = fork();
		if (pid > 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			waitpid(pid, &status, 0);
			_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				  SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
		pf__guard_send(sv[1], &m, fd);
		close(fd);
		while (!trial)
			pause();
		execl(caller, caller, trial, scratch, NULL);
		_exit(127);
	}
	pf__free(prog.filter);
	assert_err(pf__guard_recv(sv[0], &m, listener), 1);
	assert_true(*listener >= 0);
	close(sv[0]);
	close(sv[1]);
	return pid;
}

static void run_interruptible(const char *trial, int expected)
{
	struct role r = {.caller = caller,
			 .scratch = scratch,
			 .dir = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	struct pf__supervisor *s;
	int listener, status;
	pid_t pid;

	assert_err(pf__supervisor_new(&s), 0);
	assert_err(role_add(&r, s), 0);
	pid = start_interruptible(s, trial, &listener);
	assert_err(pf__supervisor_listen(s, listener), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, expected << 8);
	pf__supervisor_free(s);
	close(r.dir);
}

static void interruptible_waits(void **state)
{
	(void)state;
	run_interruptible("stuck", 0);
	run_interruptible("changes-directory", 0);
	run_interruptible("other-results", 0);
	run_interruptible("number-in-data", 0);
	run_interruptible("ends", 0);
	run_interruptible("unchanged", 0);
	run_interruptible("opens", 0);
	run_interruptible("small-stack", 0);
	run_interruptible("opens-at-once", 0);
	run_interruptible("interrupted", 0);
	run_interruptible("restarted", 0);
	run_interruptible("stopped-and-continued", 0);
	run_interruptible("executes", 42);
	run_interruptible("spawns", 0);
	run_interruptible("threads-race-to-execute", 0);
	run_interruptible("killed-at-any-moment", 0);
}

/* Then RECV does not return by itself, as it never does before Linux 6.11. */
static void ends_before_its_callers(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		struct role r = {0};
		struct pf__supervisor *s;
		int listener;
		pid_t pid;

		assert_err(pf__supervisor_new(&s), 0);
		assert_err(role_add(&r, s), 0);
		pid = start_interruptible(s, NULL, &listener);
		assert_err(pf__supervisor_listen(s, listener), 0);
		usleep((useconds_t)(i % 10 * 200));
		pf__supervisor_free(s);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
}

static int count(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void nothing_is_left(void **state)
{
	int fds, threads;

	(void)state;
	expect("stuck", 0);
	fds = count("/proc/self/fd");
	threads = count("/proc/self/task");
	for (int i = 0; i < 20; i++) {
		expect("parallel", 0);
		expect("executes", 42);
	}
	assert_int_equal(count("/proc/self/fd"), fds);
	/* One that was joined may be seen for a moment yet. */
	for (int i = 0; i < HANG_S * 100 && count("/proc/self/task") != threads; i++)
		usleep(10000);
	assert_int_equal(count("/proc/self/task"), threads);
}

static int setup(void **state)
{
	char path[128];
	int fd;

	(void)state;
	if (!mkdtemp(scratch))
		return -1;
	snprintf(path, sizeof path, "%s/fifo", scratch);
	mkfifo(path, 0600);
	snprintf(path, sizeof path, "%s/file", scratch);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return write(fd, "hello", 5) == 5 && close(fd) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof path, "%s/fifo", scratch);
	unlink(path);
	snprintf(path, sizeof path, "%s/file", scratch);
	unlink(path);
	return rmdir(scratch);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(stuck_handlers_stop_nobody),
	    cmocka_unit_test(serial_roles_stay_so),
	    cmocka_unit_test(many_callers),
	    cmocka_unit_test(token_passes),
	    cmocka_unit_test(changes_directory),
	    cmocka_unit_test(other_results),
	    cmocka_unit_test(number_in_data),
	    cmocka_unit_test(ends),
	    cmocka_unit_test(nothing_changes),
	    cmocka_unit_test(opens),
	    cmocka_unit_test(opens_on_small_stack),
	    cmocka_unit_test(opens_at_once),
	    cmocka_unit_test(signal_arrives),
	    cmocka_unit_test(interrupted),
	    cmocka_unit_test(restarted),
	    cmocka_unit_test(stopped_and_continued),
	    cmocka_unit_test(executes),
	    cmocka_unit_test(execution_fails),
	    cmocka_unit_test(children_execute),
	    cmocka_unit_test(thread_executes),
	    cmocka_unit_test(thread_executes_amid_others),
	    cmocka_unit_test(threads_race_to_execute),
	    cmocka_unit_test(traced_already),
	    cmocka_unit_test(killed_at_any_moment),
	    cmocka_unit_test(interruptible_waits),
	    cmocka_unit_test(ends_before_its_callers),
	    cmocka_unit_test(nothing_is_left),
	};

	caller = getenv("FAKESERVER");
	if (!caller)
		return 77;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, setup, teardown);
}
