/* SPDX-License-Identifier: BSD-2-Clause */
#include "interrupt.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

enum { POLITE_MS = 2000, GRACE_MS = 5000, KICK_MS = 50 };

static atomic_int signal_seen;
static atomic_int diverted = -1;
static int wake_pipe[2] = {-1, -1};
static pthread_t main_thread;

int interrupted(void)
{
	return atomic_load(&signal_seen);
}

void interrupt_divert(int fd)
{
	atomic_store(&diverted, fd);
}

static void on_signal(int sig)
{
	int saved = errno, none = 0, fd = atomic_load(&diverted);
	char byte = (char)sig;

	if (fd >= 0) {
		(void)!write(fd, &byte, 1);
		errno = saved;
		return;
	}
	atomic_compare_exchange_strong(&signal_seen, &none, sig);
	/* Full means that the watcher has enough to read. */
	(void)!write(wake_pipe[1], "", 1);
	errno = saved;
}

/*
 * Nothing to do. SIGPIPE: the write that raised it returns EPIPE, and its caller ends the command.
 * SIGURG: our own kick, which makes a blocked system call return EINTR.
 */
static void on_other_signal(int sig)
{
}

/* Wait for a further signal: true, it came; false, the time passed. */
static bool another_signal(int timeout_ms)
{
	struct pollfd p = {.fd = wake_pipe[0], .events = POLLIN};
	char byte;

	for (; timeout_ms > 0; timeout_ms -= KICK_MS) {
		/* The main thread may hang in a write to a slow pipe, or be just about to. */
		pthread_kill(main_thread, SIGURG);
		if (poll(&p, 1, KICK_MS) == 1 && read(wake_pipe[0], &byte, 1) == 1)
			return true;
	}
	return false;
}

static void *watch(void *arg)
{
	struct session *session = arg;
	char byte;

	while (read(wake_pipe[0], &byte, 1) != 1)
		;
	if (!session_interrupt(session)) {
		/* Still starting a server: there is no handle to stop, and what was started ends
		 * with us. */
		_exit(128 + interrupted());
	}
	another_signal(POLITE_MS);
	session_abort(session);
	another_signal(GRACE_MS);
	_exit(128 + interrupted());
}

int interrupt_watch(struct session *session)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal}, old;
	pthread_t thread;
	int err;

	main_thread = pthread_self();
	if (pipe2(wake_pipe, O_CLOEXEC) || fcntl(wake_pipe[1], F_SETFL, O_NONBLOCK))
		return -errno;
	err = pthread_create(&thread, NULL, watch, session);
	if (err)
		return -err;
	pthread_detach(thread);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		/* As nohup(1) and shells with background jobs want it, ignored stays ignored. */
		if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
	action.sa_handler = on_other_signal;
	if (sigaction(SIGPIPE, &action, NULL) || sigaction(SIGURG, &action, NULL))
		return -errno;
	return 0;
}
