/* SPDX-License-Identifier: BSD-2-Clause */
/* Our side of the guardian. */
#include "supervise/guard.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/errmsg.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct pf__guard {
	struct pf__supervisor *s;
	void (*event)(void *ctx, enum pf__guard_event event, int status);
	void *ctx;
	pid_t guardian, program;
	struct pf__watch control;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC */
	bool gone;              /* lock */
	bool settled;           /* lock */
};

/* ---- messages ------------------------------------------------------------------------------ */

int pf__guard_send(int fd, const struct pf__guard_message *m, int passed)
{
	struct iovec iov = {(void *)(uintptr_t)m, sizeof *m};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (passed >= 0) {
		struct cmsghdr *c = &control.align;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof control.bytes;
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &passed, sizeof passed);
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int pf__guard_recv(int fd, struct pf__guard_message *m, int *passed)
{
	struct iovec iov = {m, sizeof *m};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof control.bytes};
	struct cmsghdr *c;
	ssize_t n;

	*passed = -1;
	/* ECONNRESET comes once, and before what the peer sent, when it left a message of ours
	 * unread. */
	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(passed, CMSG_DATA(c), sizeof *passed);
	return n == sizeof *m;
}

static void has_settled(struct pf__guard *g)
{
	pthread_mutex_lock(&g->lock);
	g->settled = true;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

static void control_ready(void *ctx, short revents)
{
	struct pf__guard *g = ctx;
	struct pf__guard_message m;
	int passed, got;

	got = pf__guard_recv(g->control.fd, &m, &passed);
	if (passed >= 0)
		close(passed);
	if (got == 1 && m.word != PF_WORD_GONE) {
		if (m.word == PF_WORD_EXITED)
			g->event(g->ctx, PF_GUARD_EXITED, m.value);
		if (m.word == PF_WORD_STOPPED)
			g->event(g->ctx, PF_GUARD_STOPPED, m.value);
		if (m.word == PF_WORD_CONTINUED)
			g->event(g->ctx, PF_GUARD_CONTINUED, 0);
		if (m.word == PF_WORD_SETTLED)
			has_settled(g);
		return;
	}
	/* GONE, or the guardian has died itself: it took the program with it. */
	pf__supervisor_unwatch(g->s, &g->control);
	g->event(g->ctx, PF_GUARD_GONE, 0);
	pthread_mutex_lock(&g->lock);
	g->gone = true;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

/* ---- start --------------------------------------------------------------------------------- */

/* ThreadSanitizer has locks of its own in every call, which it sets free in fork() only. */
#ifdef __has_feature
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
#define FORK() fork()
#else
#define FORK() ((pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0))
#endif

/*
 * A fork that sends no SIGCHLD when the child ends, runs no atfork handlers and takes no lock of
 * libc. All signals are blocked across it: a handler of the program must not run in the guardian.
 */
static pid_t clone_guardian(const struct pf__guardian *a)
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = FORK();
	if (pid == 0)
		pf__guardian_main(a);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? -errno : pid;
}

static void starting(struct pf__guard *g, int setup, pid_t program, const struct pf__guard_job *job)
{
	struct pf__guard_message go = {.word = PF_WORD_GO};

	g->program = program;
	if (!job)
		return;
	job->ready(job->ctx, program);
	pf__guard_send(setup, &go, -1);
}

/* The child's reports until it has executed (its end of the socket closes) or failed. */
static int await_exec(struct pf__guard *g, int setup, const struct pf__guard_job *job)
{
	struct pf__guard_message m;
	int passed, got, err;

	while ((got = pf__guard_recv(setup, &m, &passed)) == 1) {
		if (m.word == PF_WORD_NO_EXEC)
			return m.value;
		if (m.word == PF_WORD_NO_FILTER)
			return pf__filter_refused(m.value);
		if (m.word == PF_WORD_STARTING)
			starting(g, setup, m.value, job);
		if (m.word != PF_WORD_LISTENER || passed < 0)
			continue;
		pf__guard_send(g->control.fd, &m, passed);
		err = pf__supervisor_listen(g->s, passed);
		if (err)
			return err;
	}
	return got;
}

/* Descriptors 0 to 2 are the child's standard ones, whatever of ours is closed. */
static int above_stdio(int fd)
{
	int high;

	if (fd < 0 || fd > 2)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return high < 0 ? -errno : high;
}

int pf__message_pair(int sv[2])
{
	int err = pf__sys.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv);

	if (err)
		return err;
	sv[0] = above_stdio(sv[0]);
	sv[1] = above_stdio(sv[1]);
	err = sv[0] < 0 ? sv[0] : sv[1] < 0 ? sv[1] : 0;
	for (int i = 0; err && i < 2; i++)
		if (sv[i] >= 0)
			close(pf__take(sv[i], -1));
	return err;
}

/* What execve() needs for a script without an interpreter line. */
static char **shell_argv(const char *file, char *const *argv)
{
	size_t n = 0;
	char **sh;

	while (argv[n])
		n++;
	sh = pf__calloc(n + 3, sizeof *sh);
	if (!sh)
		return NULL;
	sh[0] = (char *)(uintptr_t) "/bin/sh";
	sh[1] = (char *)(uintptr_t)file;
	for (size_t i = 1; i < n; i++)
		sh[i + 1] = argv[i];
	return sh;
}

static int launch_guardian(struct pf__guard *g, const struct pf__guard_start *how)
{
	PF_AUTO_CLOSE int setup = -1;
	PF_AUTO_CLOSE int child_setup = -1;
	PF_AUTO_CLOSE int child_control = -1;
	PF_AUTO_CLOSE int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	PF_AUTO_FREE char **sh = shell_argv(how->file, how->argv);
	struct sock_fprog prog = {0};
	struct pf__guardian a = {.how = how, .sh_argv = sh};
	int control[2] = {-1, -1}, setups[2] = {-1, -1}, err;

	if (!sh)
		return pf__fail(-ENOMEM, "%s:", how->file);
	err = pf__message_pair(control);
	g->control.fd = control[0];
	child_control = control[1];
	if (!err)
		err = pf__message_pair(setups);
	setup = setups[0];
	child_setup = setups[1];
	self = above_stdio(self);
	if (err) /* without the pidfd, the socket alone tells of our end */
		return pf__fail(err, "cannot start %s:", how->file);
	if (how->filtered) {
		err = pf__filter_build(g->s, &prog);
		if (err)
			return err;
		a.filter = &prog;
	}
	a.control = child_control;
	a.setup = child_setup;
	a.parent = self;
	g->guardian = clone_guardian(&a);
	pf__free(prog.filter);
	if (g->guardian < 0)
		return pf__fail(g->guardian, "cannot start %s: no new process:", how->file);
	close(pf__take(child_setup, -1));
	close(pf__take(child_control, -1));
	err = pf__supervisor_watch(g->s, &g->control);
	return err ? err : await_exec(g, setup, how->job);
}

static struct pf__guard *guard_new(struct pf__supervisor *s, const struct pf__guard_start *how)
{
	struct pf__guard *g = pf__calloc(1, sizeof *g);
	pthread_condattr_t attr;

	if (!g)
		return NULL;
	g->s = s;
	g->event = how->event;
	g->ctx = how->ctx;
	g->guardian = -1;
	g->control = (struct pf__watch){-1, EPOLLIN, control_ready, g};
	pf__list_init(&g->control.link);
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&g->changed, &attr);
	pthread_condattr_destroy(&attr);
	return g;
}

int pf__guard_start(struct pf__guard **out, struct pf__supervisor *s,
		    const struct pf__guard_start *how)
{
	struct pf__guard *g = guard_new(s, how);
	int err;

	if (!g)
		return pf__fail(-ENOMEM, "cannot start %s:", how->file);
	err = launch_guardian(g, how);
	if (err) {
		if (g->guardian > 0)
			pf__guard_stop(g, 0, 0);
		pf__guard_free(g);
		return err;
	}
	*out = g;
	return 0;
}

pid_t pf__guard_pid(const struct pf__guard *g)
{
	return g->program;
}

pid_t pf__guard_guardian(const struct pf__guard *g)
{
	return g->guardian;
}

void pf__guard_continue(struct pf__guard *g, int nth)
{
	struct pf__guard_message m = {.word = PF_WORD_CONTINUE, .value = nth};

	pf__guard_send(g->control.fd, &m, -1);
}

/* ---- end ----------------------------------------------------------------------------------- */

#define KILL_TAKES_MS 5000 /* for killed processes to leave the kernel */

#define SETTLE_MS 5000 /* for the guardian to be scheduled */

#define WAKE_MS 200

/* For news, WAKE_MS or until. ETIMEDOUT: until has come. Under the lock. */
static int wait_a_while(struct pf__guard *g, const struct timespec *until)
{
	struct timespec soon;

	clock_gettime(CLOCK_MONOTONIC, &soon);
	if (soon.tv_sec > until->tv_sec ||
	    (soon.tv_sec == until->tv_sec && soon.tv_nsec >= until->tv_nsec))
		return ETIMEDOUT;
	soon.tv_nsec += WAKE_MS * 1000000L;
	if (soon.tv_nsec >= 1000000000L) {
		soon.tv_nsec -= 1000000000L;
		soon.tv_sec++;
	}
	pthread_cond_timedwait(&g->changed, &g->lock, &soon);
	return 0;
}

int pf__guard_stop(struct pf__guard *g, unsigned patience_ms, unsigned grace_ms)
{
	struct pf__guard_message m = {
	    .word = PF_WORD_STOP, .patience_ms = patience_ms, .grace_ms = grace_ms};
	uint64_t ms = (uint64_t)patience_ms + grace_ms + KILL_TAKES_MS;
	struct timespec until;
	int err = 0;

	pf__guard_send(g->control.fd, &m, -1);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	pthread_mutex_lock(&g->lock);
	while (!g->gone && !err) {
		/* What it watches over may have stopped it. */
		kill(g->guardian, SIGCONT);
		err = wait_a_while(g, &until);
	}
	err = g->gone ? 0 : -ETIMEDOUT;
	pthread_mutex_unlock(&g->lock);
	return err;
}

void pf__guard_settled(struct pf__guard *g)
{
	struct pf__guard_message m = {.word = PF_WORD_SETTLED};
	struct timespec until;
	int err = 0;

	pf__guard_send(g->control.fd, &m, -1);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += SETTLE_MS / 1000;
	pthread_mutex_lock(&g->lock);
	while (!g->settled && !g->gone && !err) {
		kill(g->guardian, SIGCONT);
		err = wait_a_while(g, &until);
	}
	pthread_mutex_unlock(&g->lock);
}

void pf__guard_free(struct pf__guard *g)
{
	if (!g)
		return;
	pf__supervisor_unwatch(g->s, &g->control);
	if (g->control.fd >= 0)
		close(g->control.fd);
	if (g->guardian > 0)
		waitpid(g->guardian, NULL, __WALL | (g->gone ? 0 : WNOHANG));
	pthread_cond_destroy(&g->changed);
	pthread_mutex_destroy(&g->lock);
	pf__free(g);
}
