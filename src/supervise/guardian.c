/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guardian process and, before its execve(), the program's.
 *
 * Everything here is async-signal-safe: the process is a copy of one thread of a program that may
 * have had others. No malloc, no stdio.
 *
 * stage      | left by                                   | what is sent on entry and to newcomers
 * -----------|-------------------------------------------|---------------------------------------
 * RUNNING    | STOP, or our maker is gone                | nothing
 * PATIENT    | patience_ms                               | nothing (a server ends when its device
 * hangs up) TERMINATING| grace_ms                                  | SIGTERM, SIGCONT KILLING    |
 * no child is left                          | SIGKILL, again and again
 */
#include "base/cleanup.h"
#include "supervise/guard.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum stage { RUNNING, PATIENT, TERMINATING, KILLING };

#define MAX_TOLD 256

struct state {
	const struct pf__guardian *g;
	pid_t program;
	pid_t makers_group;
	int tty;       /* -1: none */
	pid_t lent_to; /* the group that has our place in its foreground; 0: none */
	int sigchld;   /* signalfd */
	int listener;  /* -1: not told yet, or closed */
	bool maker_gone;
	bool settled;
	int stops; /* how many of the program's were told */
	bool stopped;
	enum stage stage;
	int64_t next_stage; /* ms; when to go on to it; 0: never */
	unsigned grace_ms;
	pid_t told[MAX_TOLD]; /* who has got SIGTERM */
	unsigned ntold;
};

/* ---- the program before it is executed --------------------------------------------------------
 */

/* As the user's shell would have started it. */
static void job_signals(const struct pf__guard_job *job)
{
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction a = {.sa_handler = SIG_DFL};

		if (sigismember(&job->ignored, sig) == 1)
			a.sa_handler = SIG_IGN;
		sigaction(sig, &a, NULL);
	}
	sigprocmask(SIG_SETMASK, &job->mask, NULL);
}

/* What the program using us ignores or handles is its own matter. nohup's SIGHUP is the user's. */
static void default_signals(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGHUP)
			sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void report(const struct pf__guardian *g, enum pf__guard_word word, int value, int fd)
{
	struct pf__guard_message m = {.word = word, .value = value};

	pf__guard_send(g->setup, &m, fd);
}

static void enter_filter(const struct pf__guardian *g)
{
	int fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fd = -errno;
	else
		fd = pf__filter_load(g->filter);
	if (fd < 0) {
		report(g, PF_WORD_NO_FILTER, fd, -1);
		_exit(127);
	}
	report(g, PF_WORD_LISTENER, 0, fd);
	close(fd);
}

/*
 * Closed standard descriptors would go to files that the program opens, and daemons overwrite them.
 * Where ours are closed, private descriptors of ours may have their numbers.
 */
static void fill_stdio(void)
{
	int null = open("/dev/null", O_RDWR | O_NOCTTY | O_CLOEXEC);

	for (int fd = 0; fd <= 2; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (fd == null)
			fcntl(fd, F_SETFD, 0);
		else if (flags < 0 || flags & FD_CLOEXEC)
			dup2(null, fd);
	}
}

/* Until the guardian has closed what it shall not hold, and its ends of this pipe with it. */
static void await_guardian(const int gate[2])
{
	char c;

	close(gate[1]);
	while (read(gate[0], &c, 1) < 0 && errno == EINTR)
		;
	close(gate[0]);
}

/* A negative errno, if at all. */
static int execute(const struct pf__guardian *g, const char *file)
{
	execve(file, g->how->argv, environ);
	if (errno == ENOEXEC) {
		g->sh_argv[1] = (char *)(uintptr_t)file;
		execve(g->sh_argv[0], g->sh_argv, environ);
	}
	return -errno;
}

/* Along PATH, as execvp() does: one that is there but not executable is the better error. */
static int execute_first(const struct pf__guardian *g)
{
	int worst = -ENOENT, err;

	for (char *const *file = g->how->job->programs; *file; file++) {
		err = execute(g, *file);
		if (err == -EACCES)
			worst = err;
		else if (err != -ENOENT && err != -ENOTDIR && err != -ENOTCONN && err != -ESTALE)
			return err;
	}
	return worst;
}

static void await_go(const struct pf__guardian *g)
{
	struct pf__guard_message m;
	int passed;

	if (pf__guard_recv(g->setup, &m, &passed) != 1)
		_exit(127);
}

/* The program's world, but for what stands or falls with the exec itself. */
static void settle_in(const struct pf__guard_start *how)
{
	if (how->job) {
		job_signals(how->job);
		return;
	}
	default_signals();
	fill_stdio();
	if (how->out_fd >= 0)
		dup2(how->out_fd, 1);
	if (how->err_fd >= 0)
		dup2(how->err_fd, 2);
	if (how->pass_fd >= 0)
		fcntl(how->pass_fd, F_SETFD, 0);
}

static _Noreturn void become_program(const struct pf__guardian *g, const int gate[2])
{
	const struct pf__guard_start *how = g->how;

	setpgid(0, how->job ? how->job->group : 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* somebody killed the guardian */
	if (gate[0] >= 0)
		await_guardian(gate);
	report(g, PF_WORD_STARTING, getpid(), -1);
	if (how->job)
		await_go(g);
	settle_in(how);
	if (g->filter)
		enter_filter(g);
	report(g, PF_WORD_NO_EXEC, how->job ? execute_first(g) : execute(g, how->file), -1);
	_exit(127);
}

/* ---- our children ------------------------------------------------------------------------------
 */

static size_t append(char *to, size_t n, const char *s)
{
	size_t k = strlen(s);

	memcpy(to + n, s, k + 1);
	return n + k;
}

/* The parent in /proc/PID/stat: the second field after the last ')' of the name. -1: no process. */
static pid_t parent_of(const char *pid)
{
	char name[64], text[512], *p;
	pid_t parent = 0;
	ssize_t n;
	int fd;

	if (strlen(pid) > 20)
		return -1;
	append(name, append(name, append(name, 0, "/proc/"), pid), "/stat");
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	p = strrchr(text, ')');
	if (!p || strlen(p) < 5)
		return -1;
	for (p += 4; *p >= '0' && *p <= '9'; p++)
		parent = parent * 10 + (*p - '0');
	return parent;
}

static pid_t to_pid(const char *s)
{
	pid_t pid = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		pid = pid * 10 + (*s - '0');
	return *s ? 0 : pid;
}

struct dirent64_head {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

/* A child of ours cannot go away and its number come back before we have waited for it. */
static void for_each_child(struct state *s, void (*fn)(struct state *s, pid_t child))
{
	_Alignas(struct dirent64_head) char buf[8192];
	int dir = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t self = getpid();
	long n;

	if (dir < 0) { /* no /proc: at least the one that we know */
		if (s->program > 0)
			fn(s, s->program);
		return;
	}
	while ((n = syscall(SYS_getdents64, dir, buf, sizeof buf)) > 0) {
		const struct dirent64_head *d;

		for (long at = 0; at < n; at += d->reclen) {
			pid_t pid;

			d = (const struct dirent64_head *)(buf + at);
			pid = to_pid(d->name);
			if (pid > 0 && parent_of(d->name) == self)
				fn(s, pid);
		}
	}
	close(dir);
}

static void terminate(struct state *s, pid_t child)
{
	for (unsigned i = 0; i < s->ntold; i++)
		if (s->told[i] == child)
			return;
	if (s->ntold < MAX_TOLD)
		s->told[s->ntold++] = child;
	kill(child, SIGTERM);
	kill(child, SIGCONT);
}

static void murder(struct state *s, pid_t child)
{
	(void)s;
	kill(child, SIGKILL);
}

/* Children's children become ours as their parents end: asked again after every death. */
static void signal_children(struct state *s)
{
	if (s->stage == TERMINATING)
		for_each_child(s, terminate);
	if (s->stage == KILLING)
		for_each_child(s, murder);
}

/* ---- the terminal ------------------------------------------------------------------------------
 */

/* It stopped because it wants to read or set the terminal: bring it to the foreground, if we are.
 */
static void lend_terminal(struct state *s, pid_t child)
{
	pid_t group = getpgid(child);

	if (s->settled || s->tty < 0 || group <= 0 || tcgetpgrp(s->tty) != s->makers_group)
		return;
	if (tcsetpgrp(s->tty, group) == 0) {
		s->lent_to = group;
		kill(-group, SIGCONT);
	}
}

static void take_terminal_back(struct state *s)
{
	if (s->tty < 0)
		return;
	if (s->lent_to && tcgetpgrp(s->tty) == s->lent_to)
		tcsetpgrp(s->tty, s->makers_group);
	close(s->tty);
	s->tty = -1;
}

/* ---- calls of those who outlive our maker
 * -------------------------------------------------------- */

/*
 * With the last listener closed, trapped calls would fail with ENOSYS just when a server saves its
 * data. So the kernel does them; but nothing may be mounted for real.
 */
static void answer_orphans_call(struct state *s)
{
	char buf[512] __attribute__((aligned(8))); /* room for a kernel's longer struct */
	struct seccomp_notif *n = (struct seccomp_notif *)buf;
	struct seccomp_notif_resp r = {0};

	memset(buf, 0, sizeof buf);
	if (ioctl(s->listener, SECCOMP_IOCTL_NOTIF_RECV, n) < 0)
		return;
	r.id = n->id;
	if (n->data.nr == SYS_mount)
		r.error = -EPERM;
	else
		r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	ioctl(s->listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

/* ---- the loop
 * ------------------------------------------------------------------------------------ */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void tell(struct state *s, enum pf__guard_word word, int value)
{
	struct pf__guard_message m = {.word = word, .value = value};

	if (!s->maker_gone)
		pf__guard_send(s->g->control, &m, -1);
}

static void enter(struct state *s, enum stage stage, unsigned ms)
{
	if (stage <= s->stage)
		return;
	s->stage = stage;
	s->next_stage = stage == KILLING ? 0 : now_ms() + ms;
	signal_children(s);
}

/* Where the time for a stage is over, or none was given. */
static void advance(struct state *s)
{
	if (s->stage == PATIENT && now_ms() >= s->next_stage)
		enter(s, TERMINATING, s->grace_ms);
	if (s->stage == TERMINATING && now_ms() >= s->next_stage)
		enter(s, KILLING, 0);
}

static void begin_stop(struct state *s, unsigned patience_ms, unsigned grace_ms)
{
	take_terminal_back(s);
	s->grace_ms = grace_ms;
	enter(s, PATIENT, patience_ms);
	advance(s);
}

static void child_stopped(struct state *s, pid_t pid, int sig)
{
	if (s->g->how->job && pid == s->program) {
		s->stops++;
		s->stopped = true;
		tell(s, PF_WORD_STOPPED, sig);
	}
	if (sig == SIGTTIN || sig == SIGTTOU)
		lend_terminal(s, pid);
}

static void child_continued(struct state *s, pid_t pid)
{
	if (!s->g->how->job || pid != s->program)
		return;
	s->stopped = false;
	tell(s, PF_WORD_CONTINUED, 0);
}

static void child_ended(struct state *s, pid_t pid, int status)
{
	if (pid == s->program) {
		s->program = 0;
		tell(s, PF_WORD_EXITED, status);
	}
	for (unsigned i = 0; i < s->ntold; i++)
		if (s->told[i] == pid)
			s->told[i] = 0;
}

/* False when no child is left. */
static bool reap(struct state *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED | __WALL)) > 0) {
		if (WIFSTOPPED(status))
			child_stopped(s, pid, WSTOPSIG(status));
		else if (WIFCONTINUED(status))
			child_continued(s, pid);
		else
			child_ended(s, pid, status);
	}
	return pid == 0;
}

/* The program may have been stopped anew since the maker asked, and we not have heard of it. */
static void let_go_on(struct state *s, int nth)
{
	reap(s);
	if (s->program > 0 && s->stopped && s->stops == nth)
		kill(s->program, SIGCONT);
}

static void maker_died(struct state *s)
{
	s->maker_gone = true;
	begin_stop(s, s->g->how->patience_ms, s->g->how->grace_ms);
}

static void hear(struct state *s)
{
	struct pf__guard_message m;
	int passed;

	if (pf__guard_recv(s->g->control, &m, &passed) != 1) {
		maker_died(s);
		return;
	}
	if (m.word == PF_WORD_STOP)
		begin_stop(s, m.patience_ms, m.grace_ms);
	if (m.word == PF_WORD_SETTLED) {
		s->settled = true;
		take_terminal_back(s);
		tell(s, PF_WORD_SETTLED, 0);
	}
	if (m.word == PF_WORD_CONTINUE)
		let_go_on(s, m.value);
	if (m.word == PF_WORD_LISTENER)
		s->listener = pf__take(passed, -1);
	if (passed >= 0)
		close(passed);
}

static int poll_timeout(const struct state *s)
{
	int64_t left;

	if (s->stage == KILLING)
		return 50;
	if (s->stage == RUNNING)
		return -1;
	left = s->next_stage - now_ms();
	return left < 0 ? 0 : (int)left;
}

static void wait_for_news(struct state *s)
{
	struct pollfd p[4] = {{s->sigchld, POLLIN, 0},
			      {s->maker_gone ? -1 : s->g->control, POLLIN, 0},
			      {s->maker_gone ? -1 : s->g->parent, POLLIN, 0},
			      {s->maker_gone ? s->listener : -1, POLLIN, 0}};
	struct signalfd_siginfo info;

	if (poll(p, 4, poll_timeout(s)) <= 0)
		return;
	if (p[0].revents && read(s->sigchld, &info, sizeof info) < 0)
		return;
	if (p[1].revents)
		hear(s);
	else if (p[2].revents)
		maker_died(s);
	if (p[3].revents & POLLIN)
		answer_orphans_call(s);
	else if (p[3].revents)
		s->listener = -1;
}

static void watch_over(struct state *s)
{
	while (reap(s)) {
		signal_children(s);
		wait_for_news(s);
		advance(s);
	}
}

/* ---- setting up
 * ------------------------------------------------------------------------------------ */

static void close_between(unsigned from, unsigned to)
{
	struct rlimit limit = {.rlim_cur = 1024};

	if (syscall(SYS_close_range, from, to, 0) == 0)
		return;
	getrlimit(RLIMIT_NOFILE, &limit); /* forbidden by an older container's filter */
	for (unsigned fd = from; fd <= to && fd < limit.rlim_cur && fd < 1 << 20; fd++)
		close((int)fd);
}

/* Whatever of our maker's we hold would stay open in its name: pipes that never end. */
static void close_all_but(const int *keep, int n)
{
	unsigned from = 0;

	for (;;) {
		int next = -1;

		for (int i = 0; i < n; i++)
			if (keep[i] >= (int)from && (next < 0 || keep[i] < next))
				next = keep[i];
		if (next < 0)
			break;
		if ((unsigned)next > from)
			close_between(from, (unsigned)next - 1);
		from = (unsigned)next + 1;
	}
	close_between(from, ~0u);
}

static void prepare(struct state *s)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t chld;

	sigaction(SIGCHLD, &dfl, NULL); /* ignored, it would take exit statuses away */
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	s->sigchld = signalfd(-1, &chld, SFD_CLOEXEC);
	if (!s->g->how->job)
		s->tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	s->makers_group = getpgrp();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_NAME, "pf-guardian");
}

/* What is in a directory, and one level below it. */
static void sweep(const char *path, int levels)
{
	_Alignas(struct dirent64_head) char buf[4096];
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	long n;

	if (dir < 0)
		return;
	while ((n = syscall(SYS_getdents64, dir, buf, sizeof buf)) > 0) {
		const struct dirent64_head *d;

		for (long at = 0; at < n; at += d->reclen) {
			char below[512];

			d = (const struct dirent64_head *)(buf + at);
			if (d->name[0] == '.' || unlinkat(dir, d->name, 0) == 0 || levels == 0 ||
			    strlen(path) + strlen(d->name) + 2 > sizeof below)
				continue;
			append(below, append(below, append(below, 0, path), "/"), d->name);
			sweep(below, levels - 1);
			unlinkat(dir, d->name, AT_REMOVEDIR);
		}
	}
	close(dir);
}

_Noreturn void pf__guardian_main(const struct pf__guardian *g)
{
	const struct pf__guard_job *job = g->how->job;
	struct state s = {.g = g, .listener = -1, .tty = -1};
	int keep[4], gate[2];

	prepare(&s);
	/* A program could stop us as its first deed. With the setup socket still open here, our
	 * maker would wait for its end for ever. */
	if (pipe2(gate, O_CLOEXEC) < 0)
		gate[0] = gate[1] = -1;
	s.program = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (s.program == 0)
		become_program(g, gate);
	if (s.program < 0)
		report(g, PF_WORD_NO_EXEC, -errno, -1);
	else
		setpgid(s.program, job ? job->group : s.program);
	if (job)
		setsid();
	else
		setpgid(0, 0);
	keep[0] = s.sigchld;
	keep[1] = g->control;
	keep[2] = g->parent;
	keep[3] = s.tty;
	close_all_but(keep, 4);
	if (chdir("/") < 0)
		_exit(1);
	watch_over(&s);
	take_terminal_back(&s);
	if (g->how->sweep) {
		sweep(g->how->sweep, 1);
		rmdir(g->how->sweep);
	}
	if (g->how->remove)
		rmdir(g->how->remove);
	tell(&s, PF_WORD_GONE, 0);
	_exit(0);
}
