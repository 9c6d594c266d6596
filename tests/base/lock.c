/* SPDX-License-Identifier: BSD-2-Clause */
/* Compiled with the checks (PF_DEBUG), wrong uses abort; without, only the right uses are run. */
#include "base/lock.h"
#include "unit.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct pf__mutex inode, conn;

static int setup(void **state)
{
	return pf__mutex_init(&inode, PF_RANK_INODE) || pf__mutex_init(&conn, PF_RANK_CONN);
}

static int teardown(void **state)
{
	pf__mutex_destroy(&inode);
	pf__mutex_destroy(&conn);
	return 0;
}

static void rising_ranks(void **state)
{
	pf__assert_no_locks("test");
	pf__mutex_lock(&inode);
	pf__mutex_lock(&conn);
	pf__assert_held(&inode);
	assert_int_equal(pf__locks_held, 2);
	pf__mutex_unlock(&inode); /* any order of release */
	pf__mutex_unlock(&conn);
	assert_int_equal(pf__locks_held, 0);
	pf__assert_no_locks("test");
}

#ifdef PF_DEBUG
static void assert_aborts(void (*wrong)(void))
{
	const struct rlimit no_core = {0, 0};
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		setrlimit(RLIMIT_CORE, &no_core);
		dup2(open("/dev/null", O_WRONLY), 2);
		signal(SIGABRT, SIG_DFL);
		wrong();
		_exit(0);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void falling(void)
{
	pf__mutex_lock(&conn);
	pf__mutex_lock(&inode);
}

static void twice(void)
{
	pf__mutex_lock(&conn);
	pf__mutex_lock(&conn);
}

static void not_held(void)
{
	pf__mutex_unlock(&conn);
}

static void across_request(void)
{
	pf__mutex_lock(&inode);
	pf__assert_no_locks("request");
}

static void unheld_assert(void)
{
	pf__assert_held(&inode);
}

static void wrong_uses_abort(void **state)
{
	assert_aborts(falling);
	assert_aborts(twice);
	assert_aborts(not_held);
	assert_aborts(across_request);
	assert_aborts(unheld_assert);
}
#else
static void wrong_uses_abort(void **state)
{
	skip();
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rising_ranks),
	    cmocka_unit_test(wrong_uses_abort),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
