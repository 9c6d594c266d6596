/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who has the terminal: a server that asks for a password gets it while it starts, we have it
 * afterwards, and Ctrl-C then is for us alone. argv[1] "session" is what runs on the terminal.
 */
#include "miniclient.h"
#include "started.h"
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

#define WAIT_MS 60000

/* Start a server that asks, tell whether the terminal is ours again, survive a Ctrl-C. */
static int session(void)
{
	struct pf__launch *l;
	char line[16];
	int fd;

	signal(SIGINT, SIG_IGN);
	if (start(&l, 0, "ask", "mount", "serve", NULL))
		return 10;
	if (serves(l, &fd))
		return 11;
	printf("ready\n");
	fflush(stdout);
	/* A background group would be stopped here, or get EIO. */
	if (!fgets(line, sizeof line, stdin))
		return 12;
	if (tcgetpgrp(0) != getpgrp())
		return 13;
	if (mini_getattr(fd))
		return 14;
	return hang_up(l, fd) ? 15 : 0;
}

/* Read from the terminal until text comes. */
static void expect(int tty, const char *text)
{
	char seen[4096];
	size_t n = 0;

	seen[0] = '\0';
	while (!strstr(seen, text)) {
		struct pollfd p = {tty, POLLIN, 0};
		ssize_t got;

		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		got = read(tty, seen + n, sizeof seen - 1 - n);
		if (got <= 0)
			fail_msg("the terminal said only: %s", seen);
		n += (size_t)got;
		seen[n] = '\0';
	}
}

static void type(int tty, const char *text)
{
	assert_int_equal(write(tty, text, strlen(text)), strlen(text));
}

static int on_a_terminal(int *tty)
{
	int pid = forkpty(tty, NULL, NULL, NULL);

	if (pid == 0) {
		execl("/proc/self/exe", "test-terminal", "session", NULL);
		_exit(127);
	}
	return pid;
}

static void asks_and_gives_back(void **state)
{
	int tty, status, pid = on_a_terminal(&tty);

	(void)state;
	expect(tty, "Secret? ");
	type(tty, "sesame\n");
	expect(tty, "ready");
	type(tty, "\003");
	type(tty, "go\n");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(tty);
}

static void interrupted_while_it_asks(void **state)
{
	int tty, status, pid = on_a_terminal(&tty);

	(void)state;
	expect(tty, "Secret? ");
	type(tty, "\003"); /* the server's, which has the terminal */
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 10);
	close(tty);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(asks_and_gives_back),
	    cmocka_unit_test(interrupted_while_it_asks),
	};

	(void)argv;
	fakeserver = getenv("FAKESERVER");
	if (argc > 1)
		return session();
	return can_supervise() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
