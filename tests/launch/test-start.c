/* SPDX-License-Identifier: BSD-2-Clause */
/* pf_start(): the launcher below a file system, by the public face only. */
#include "base/alloc.h"
#include "started.h"
#include <errno.h>
#include <portfire/portfire.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Start fakeserver with {} and the words, NULL last. */
static int start_fs(struct pf_fs **fs, unsigned timeout_ms, ...)
{
	struct pf_options options = PF_OPTIONS_INIT;
	char *argv[16] = {(char *)(uintptr_t)fakeserver, (char[]){"{}"}};
	va_list ap;

	va_start(ap, timeout_ms);
	for (int i = 2; (argv[i] = va_arg(ap, char *)); i++)
		;
	va_end(ap);
	options.start_timeout_ms = timeout_ms;
	return pf_start(fs, argv, &options);
}

static void serves_until_stopped(void **state)
{
	struct pf_fs *fs;
	struct stat st;
	pid_t pid;

	(void)state;
	assert_int_equal(start_fs(&fs, 0, "mount", "serve", NULL), 0);
	assert_int_equal(access(pf_mountpoint(fs), F_OK), 0);
	pid = pf_server_pid(fs);
	assert_false(ends_within(pid, 0));
	assert_int_equal(pf_stat(fs, "/", &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(pf_stop(fs), 0);
	assert_true(ends_within(pid, 0));
}

static void expect_start_fails(int got, struct pf_fs *const *fs, int err, const char *sentence)
{
	assert_int_equal(got, err);
	assert_string_equal(pf_error(), sentence);
	assert_null(*fs);
}

static void failures(void **state)
{
	struct pf_fs *fs;

	(void)state;
	expect_start_fails(start_fs(&fs, 0, "mount", "second-mount", "serve", NULL), &fs, -EBUSY,
			   "fakeserver mounts twice");
	expect_start_fails(start_fs(&fs, 0, "mount", "say=oops", "exit=4", NULL), &fs, -ENOTCONN,
			   "fakeserver exited with status 4: oops");
	expect_start_fails(start_fs(&fs, 0, "mount", "die", NULL), &fs, -ENOTCONN,
			   "fakeserver was killed by signal 9 (Killed)");
	expect_start_fails(start_fs(&fs, 0, "say=no", "exit=4", NULL), &fs, -ENOTCONN,
			   "fakeserver exited with status 4 before it mounted: no");
	expect_start_fails(start_fs(&fs, 100, "sleep", NULL), &fs, -ETIMEDOUT,
			   "fakeserver did not mount within 0.1 s");
	assert_int_equal(start_fs(&fs, 100, "mount", "sleep", NULL), -ETIMEDOUT);
	assert_null(fs);
}

/* A mount that waits for INIT goes on when it was answered. */
static void synchronous_init(void **state)
{
	struct pf_fs *fs;

	(void)state;
	assert_int_equal(start_fs(&fs, 0, "open", "sync-init", "serve-beside", "mount",
				  word_in_scratch("note=", "mounted"), NULL),
			 0);
	assert_true(appears_within(in_scratch("mounted"), ALIVE_MS));
	assert_int_equal(pf_stop(fs), 0);
}

static void killed_server(void **state)
{
	struct pf_fs *fs;
	struct stat st;

	(void)state;
	assert_int_equal(start_fs(&fs, 0, "mount", "serve", NULL), 0);
	kill(pf_server_pid(fs), SIGKILL);
	assert_true(ends_within(pf_server_pid(fs), ALIVE_MS) || pf_server_pid(fs) == 0);
	assert_int_not_equal(pf_stat(fs, "/gone", &st), 0);
	assert_int_equal(pf_stop(fs), -ENOTCONN);
	assert_non_null(strstr(pf_error(), "was killed by signal 9"));
}

static void nothing_leaks(void **state)
{
	int fds = count_fds(), threads = count_threads();
	int64_t live = pf__alloc_live();

	for (int i = 0; i < 2; i++) {
		serves_until_stopped(state);
		failures(state);
		killed_server(state);
	}
	assert_int_equal(count_fds(), fds);
	assert_true(threads_become(threads));
	assert_int_equal(pf__alloc_live(), live);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
}

static int setup(void **state)
{
	(void)state;
	return scratch_make();
}

static int teardown(void **state)
{
	(void)state;
	scratch_remove();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(serves_until_stopped), cmocka_unit_test(failures),
	    cmocka_unit_test(synchronous_init),     cmocka_unit_test(killed_server),
	    cmocka_unit_test(nothing_leaks),
	};

	fakeserver = getenv("FAKESERVER");
	return can_supervise() ? cmocka_run_group_tests(tests, setup, teardown) : 77;
}
