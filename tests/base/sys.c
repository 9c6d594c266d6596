/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/sys.h"
#include "unit.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

static void errors_are_negative(void **state)
{
	struct msghdr m = {0};
	int one = 1;

	errno = 0;
	assert_err(pf__sys.sendmsg(-1, &m, 0), -EBADF);
	assert_err(pf__sys.recvmsg(-1, &m, 0), -EBADF);
	assert_err(pf__sys.setsockopt(-1, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), -EBADF);
	assert_err(pf__sys.socketpair(-1, SOCK_STREAM, 0, (int[2]){0}), -EAFNOSUPPORT);
	assert_err(pf__sys.eventfd(0, -1), -EINVAL);
	assert_err(pf__sys.close(-1), -EBADF);
}

static void messages_go_through(void **state)
{
	char in[4];
	struct iovec out_iov = {(char[]){"abc"}, 3}, in_iov = {in, sizeof in};
	struct msghdr out = {.msg_iov = &out_iov, .msg_iovlen = 1};
	struct msghdr msg = {.msg_iov = &in_iov, .msg_iovlen = 1};
	struct pollfd pfd = {.events = POLLIN};
	int sv[2];

	assert_err(pf__sys.socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	pfd.fd = sv[1];
	assert_err(pf__sys.poll(&pfd, 1, 0), 0);
	assert_err(pf__sys.sendmsg(sv[0], &out, 0), 3);
	assert_err(pf__sys.poll(&pfd, 1, -1), 1);
	assert_err(pf__sys.recvmsg(sv[1], &msg, 0), 3);
	assert_memory_equal(in, "abc", 3);
	assert_err(pf__sys.close(sv[0]), 0);
	assert_err(pf__sys.close(sv[1]), 0);
}

static void *mask_of(void *arg)
{
	pthread_sigmask(SIG_SETMASK, NULL, arg);
	return NULL;
}

static void threads_take_no_signals(void **state)
{
	sigset_t before, after, in_thread;
	unsigned long t;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	sigemptyset(&in_thread);
	assert_err(pf__sys.thread_create(&t, mask_of, &in_thread), 0);
	pthread_join(t, NULL);
	assert_true(sigismember(&in_thread, SIGINT) && sigismember(&in_thread, SIGALRM));
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(errors_are_negative),
	    cmocka_unit_test(messages_go_through),
	    cmocka_unit_test(threads_take_no_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
