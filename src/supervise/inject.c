/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another call in the caller's place, by ptrace.
 *
 * stop               | reached by                        | what we do there
 * -------------------|-----------------------------------|-----------------------------------------
 * the first          | INTERRUPT, then an answer that    | save registers and mask, block signals,
 *                    | the kernel would begin again upon | write data, set registers
 * entry of the call  | SYSCALL                           | the mask as it was, if it is
 *                    |                                   | interruptible
 * exit of the call   | SYSCALL                           | the result; once more for close();
 *                    |                                   | restore all, DETACH
 * EXEC               | SYSCALL, execve() succeeded       | restore the mask, DETACH
 *
 * The answer is the kernel's own -ERESTARTSYS. So the first stop looks the same whether our answer
 * came through, or INTERRUPT itself has ended the wait (kernels without WAIT_KILLABLE_RECV), and
 * whoever leaves the thread alone there leaves it in an interrupted call, which the kernel begins
 * again if there is no signal. While signals are blocked, SIGSTOP alone comes between; it is given
 * on, and the thread stops when it is detached.
 *
 * Waiting is for all that this thread traces or has as a child (__WNOTHREAD), with a look first
 * (WNOWAIT) at who it is. To wait for a thread by its number would be to hang when another thread
 * of its process executes a program: the number goes over to that one, and nobody tells.
 */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "supervise/inject_regs.h"
#include "supervise/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif
#define SIGSET_SIZE 8 /* the kernel's */

/* As in launch/device.c. */
#if defined(__aarch64__)
#define GO_HEAP 0x4000000000ull
#else
#define GO_HEAP 0xc000000000ull
#endif
#define GO_HEAP_BITS 38
#define LARGE        2048 /* data for execve() */

enum stop {
	STOP_GONE,  /* no stop: it has ended */
	STOP_ASKED, /* INTERRUPT, or its process is being stopped or continued */
	STOP_SYSCALL,
	STOP_EXEC,
	STOP_SIGNAL, /* before a signal is delivered */
};

struct trace {
	const struct pf__call *call;
	const struct pf__inject *what;
	pid_t tid;
	pid_t leader; /* whose number it gets when it executes; 0: it will not */
	pf__regs saved;
	uint64_t mask; /* of its signals */
	int fd;        /* what->fd's number there, or -1 */
	uint64_t base; /* where data is */
	bool mapped;   /* and is a mapping for that */
	char *before;  /* what was there; NULL: nothing is to be put back */
};

/* ---- waiting -------------------------------------------------------------------------------- */

static pid_t wait_now(pid_t pid, int *status)
{
	pid_t got;

	do
		got = waitpid(pid, status, __WALL | __WNOTHREAD | WNOHANG);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

/* 1 there is news, 0 there will be, or negative errno. */
static int news_of(struct trace *t, int *status)
{
	pid_t got = wait_now(t->tid, status);

	if (got == -ECHILD && t->leader && t->leader != t->tid) {
		got = wait_now(t->leader, status);
		if (got > 0)
			t->tid = t->leader;
	}
	return got > 0 ? 1 : got;
}

/* A look at who has news. Children of an ended thread of ours can have become this one's. */
static int await_news(struct trace *t, int *status)
{
	const struct timespec nap = {0, 1000000};

	for (;;) {
		siginfo_t info = {0};
		int got;

		if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOWAIT | __WALL | __WNOTHREAD) <
			0 &&
		    errno != EINTR)
			return -errno;
		got = news_of(t, status);
		if (got)
			return got;
		if (info.si_pid)
			nanosleep(&nap, NULL);
	}
}

static enum stop next_stop(struct trace *t, int *sig)
{
	int status;

	if (await_news(t, &status) < 0 || !WIFSTOPPED(status))
		return STOP_GONE;
	*sig = WSTOPSIG(status);
	switch (status >> 16) {
	case PTRACE_EVENT_STOP:
		return STOP_ASKED;
	case PTRACE_EVENT_EXEC:
		return STOP_EXEC;
	}
	return *sig == (SIGTRAP | 0x80) ? STOP_SYSCALL : STOP_SIGNAL;
}

/* ---- signals -------------------------------------------------------------------------------- */

static void set_mask(struct trace *t, uint64_t mask)
{
	ptrace(PTRACE_SETSIGMASK, t->tid, SIGSET_SIZE, &mask);
}

/* If it cannot be, it was killed. Then its end is ours to take note of: its process waits for that.
 */
static void detach(struct trace *t, int sig)
{
	while (ptrace(PTRACE_DETACH, t->tid, NULL, (void *)(long)sig) < 0)
		if (next_stop(t, &sig) == STOP_GONE)
			return;
}

/* ---- a call --------------------------------------------------------------------------------- */

/* STOP_SYSCALL: it was made, with *result. STOP_EXEC: it has executed. STOP_GONE. */
static enum stop make_call(struct trace *t, int nr, const uint64_t args[6], int64_t *result,
			   bool interruptible)
{
	bool entered = false;
	int sig = 0;
	pf__regs r;

	pf__regs_call(&r, &t->saved, nr, args);
	pf__regs_set(t->tid, &r); /* whatever fails here does so because it was killed: */
	for (;;) {                /* the wait will tell */
		enum stop stop;

		ptrace(PTRACE_SYSCALL, t->tid, NULL, (void *)(long)sig);
		stop = next_stop(t, &sig);
		if (stop == STOP_GONE || stop == STOP_EXEC)
			return stop;
		if (stop != STOP_SIGNAL)
			sig = 0;
		if (stop != STOP_SYSCALL)
			continue;
		if (entered)
			break;
		entered = true;
		pf__regs_entered(t->tid, &r, args);
		if (interruptible)
			set_mask(t, t->mask);
	}
	if (pf__regs_get(t->tid, &r)) { /* killed */
		detach(t, 0);
		return STOP_GONE;
	}
	*result = pf__regs_result(&r);
	if (interruptible)
		set_mask(t, ~0ull);
	return STOP_SYSCALL;
}

/* ---- memory --------------------------------------------------------------------------------- */

static int copy_data(struct trace *t, bool write, void *buf)
{
	const struct iovec here = {buf, t->what->size},
			   there = {(void *)(uintptr_t)t->base, t->what->size};
	ssize_t n = pf__call_copy(t->call, write, &here, 1, &there, 1);

	/* Below all that it ever used of its stack: the file makes the stack grow. */
	if (n == -EFAULT || (n >= 0 && (size_t)n < t->what->size))
		n = pf__call_copy_by_file(t->call, write, &here, 1, &there, 1);
	return n < 0 ? (int)n : (size_t)n < t->what->size ? -EFAULT : 0;
}

static int write_data(struct trace *t)
{
	const struct pf__inject *what = t->what;
	char *data = pf__memdup(what->data, what->size);
	int err;

	if (!data)
		return -ENOMEM;
	for (size_t i = 0; i < what->nwords; i++) {
		uint64_t word;

		memcpy(&word, data + what->words[i], sizeof word);
		word += t->base;
		memcpy(data + what->words[i], &word, sizeof word);
	}
	if (what->fd_is_in_data)
		memcpy(data + what->fd_at, &t->fd, sizeof t->fd);
	err = copy_data(t, true, data);
	pf__free(data);
	return err;
}

/*
 * Goroutines call from stacks of a few KiB, with whatever the heap has below; they lie where Go has
 * its heap. There data gets a mapping of its own. (A child of vfork() that executes leaves it to
 * its parent.)
 */
static enum stop map_data(struct trace *t, int64_t *result)
{
	const uint64_t args[6] = {0, t->what->size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1};
	enum stop stop = make_call(t, SYS_mmap, args, result, false);

	if (stop != STOP_SYSCALL || *result < 0)
		return stop;
	t->base = (uint64_t)*result;
	t->mapped = true;
	*result = 0;
	return stop;
}

static int save_stack(struct trace *t)
{
	t->base = (pf__regs_stack(&t->saved) - t->what->size) & ~(uint64_t)15;
	t->before = pf__malloc(t->what->size);
	return t->before ? copy_data(t, false, t->before) : -ENOMEM;
}

/* *result: 0 or negative errno. */
/* What executes is not here any more to have its stack put back; and that may be a part of its
 * parent's, which vforked it: musl's posix_spawn() has 5 KiB for it. */
static bool is_large(const struct trace *t)
{
	return t->leader && t->what->size > LARGE;
}

static enum stop put_data(struct trace *t, int64_t *result)
{
	enum stop stop = STOP_SYSCALL;

	if (pf__regs_stack(&t->saved) >> GO_HEAP_BITS == GO_HEAP >> GO_HEAP_BITS || is_large(t))
		stop = map_data(t, result);
	else
		*result = save_stack(t);
	if (stop == STOP_SYSCALL && !*result)
		*result = write_data(t);
	else
		pf__free(pf__take(t->before, NULL));
	return stop;
}

static enum stop take_data_away(struct trace *t)
{
	const uint64_t args[6] = {t->base, t->what->size, 0, 0, 0, t->call->token};
	int64_t result;

	if (t->before)
		copy_data(t, true, t->before);
	return t->mapped ? make_call(t, SYS_munmap, args, &result, false) : STOP_SYSCALL;
}

/* ---- what it is about -------------------------------------------------------------------------
 */

static enum stop make_their_call(struct trace *t, int64_t *result)
{
	const struct pf__inject *what = t->what;
	uint64_t args[6];

	for (unsigned i = 0; i < 6; i++) {
		args[i] = what->args[i];
		if (what->arg_in_data & 1u << i)
			args[i] += t->base;
		if (what->arg_is_fd & 1u << i)
			args[i] = (uint64_t)(int64_t)t->fd;
	}
	if (!what->keep_arg5)
		args[5] = t->call->token;
	return make_call(t, what->nr, args, result, what->interruptible);
}

static enum stop close_theirs(struct trace *t)
{
	const uint64_t args[6] = {(uint64_t)t->fd, 0, 0, 0, 0, t->call->token};
	int64_t result;

	return make_call(t, SYS_close, args, &result, false);
}

static void end_it(struct trace *t)
{
	const uint64_t args[6] = {
	    (uint64_t)(unsigned)t->what->exit_status, 0, 0, 0, 0, t->call->token};
	int64_t result;

	if (make_call(t, SYS_exit_group, args, &result, false) == STOP_SYSCALL)
		detach(t, 0);
}

/* ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND; 516 would be for calls that go on with a rest. */
static bool is_interrupted(int64_t result)
{
	return result <= -PF_ERESTARTSYS && result >= -PF_ERESTARTSYS - 2;
}

/* At the exit of a call. What its caller gets. */
static int64_t let_go(struct trace *t, int64_t result)
{
	pf__regs r;

	if (result == -PF_ERESTARTSYS - 4)
		result = -EINTR;
	if (is_interrupted(result))
		pf__regs_interrupt(&r, &t->saved, result);
	else
		pf__regs_return(&r, &t->saved, result);
	pf__regs_set(t->tid, &r);
	set_mask(t, t->mask);
	detach(t, 0);
	return is_interrupted(result) ? -EINTR : result;
}

/* At the first stop, with its registers saved. */
static int64_t act(struct trace *t, int64_t result)
{
	enum stop stop = STOP_SYSCALL;

	if (ptrace(PTRACE_GETSIGMASK, t->tid, SIGSET_SIZE, &t->mask) < 0)
		result = -EPERM;
	set_mask(t, ~0ull);
	if (!result && t->what->size)
		stop = put_data(t, &result);
	if (!result && stop == STOP_SYSCALL)
		stop = make_their_call(t, &result);
	if (stop == STOP_SYSCALL)
		stop = take_data_away(t);
	if (stop == STOP_SYSCALL && t->fd >= 0 && t->what->close_fd)
		stop = close_theirs(t);
	pf__free(t->before);
	if (stop == STOP_GONE)
		return -ESRCH;
	if (stop == STOP_SYSCALL && result >= 0 && t->what->then_exit) {
		end_it(t);
		return 0;
	}
	if (stop == STOP_SYSCALL)
		return let_go(t, result >= 0 && t->what->has_value ? t->what->value : result);
	set_mask(t, t->mask);
	detach(t, 0);
	return 0;
}

/* ---- getting hold of it -----------------------------------------------------------------------
 */

static int give_fd(const struct pf__call *call, int fd)
{
	struct seccomp_notif_addfd a = {
	    .id = call->id, .srcfd = (uint32_t)fd, .newfd_flags = O_CLOEXEC};
	int n = ioctl(call->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a);

	return n < 0 ? -errno : n;
}

/* Seized. Its tid is the caller's for sure only if the call still waits now. */
static int64_t take_over(struct trace *t)
{
	const bool alive = pf__call_alive(t->call);
	int64_t result = 0;
	bool answered = false;
	enum stop stop;
	int sig;

	if (alive && t->what->fd >= 0) {
		t->fd = give_fd(t->call, t->what->fd);
		result = t->fd < 0 ? t->fd : 0;
	}
	ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
	if (alive)
		answered = pf__call_return(t->call, -PF_ERESTARTSYS) == 0;
	stop = next_stop(t, &sig);
	if (stop == STOP_GONE)
		return -ESRCH;
	if (stop != STOP_ASKED || !alive || pf__regs_get(t->tid, &t->saved) ||
	    !(answered || pf__regs_in_call(&t->saved, t->call))) {
		detach(t, stop == STOP_SIGNAL ? sig : 0);
		return -ENOENT;
	}
	return act(t, result);
}

static bool seize(const struct pf__call *call)
{
	return ptrace(PTRACE_SEIZE, call->tid, NULL,
		      (void *)(long)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC)) == 0;
}

static bool is_our_thread(pid_t tid)
{
	char name[64];

	snprintf(name, sizeof name, "/proc/self/task/%d", (int)tid);
	return access(name, F_OK) == 0;
}

/*
 * A thread of ours may still have it in its hands: it answered an earlier call, which a signal had
 * interrupted (without WAIT_KILLABLE_RECV), and lets go as soon as it finds out.
 */
static bool seize_after_us(const struct pf__call *call)
{
	const struct timespec nap = {0, 200000};
	bool again = true; /* it may have let go just before we looked who it is */

	for (;;) {
		pid_t tracer;
		int err;

		if (seize(call))
			return true;
		err = errno;
		tracer = err == EPERM ? pf__call_tracer(call) : -1;
		if (tracer > 0 && is_our_thread(tracer)) {
			nanosleep(&nap, NULL);
			again = true;
		} else if (tracer == 0 && again) {
			again = false;
		} else {
			errno = err;
			return false;
		}
	}
}

int64_t pf__call_instead(const struct pf__call *call, const struct pf__inject *what)
{
	const bool executes = what->nr == SYS_execve || what->nr == SYS_execveat;
	struct trace t = {.call = call, .what = what, .tid = call->tid, .fd = -1};
	bool gone;

	pf__call_blocks();
	if (executes)
		t.leader = pf__call_process(call);
	if (seize_after_us(call))
		return take_over(&t);
	gone = errno == ESRCH;
	if (!what->unanswered)
		pf__call_return(call, -EPERM);
	return gone ? -ESRCH : PF_CALL_UNTRACEABLE;
}

/* ---- would it work? -------------------------------------------------------------------------- */

/* No signal is sent at its end, for others do not know of it. */
bool pf__supervisor_may_inject(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
	bool may;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	if (pid < 0)
		return false;
	may = !ptrace(PTRACE_SEIZE, pid, NULL, NULL);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return may;
}
