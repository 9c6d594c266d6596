/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front's part. A front that stands hears nothing, and SIGCONT that comes before it has stopped
 * is lost. So what ends a stop is told with a SIGCONT again and again, until the front says AWAKE.
 */
#include "run_front.h"
#include "command.h"
#include "orphans.h"
#include "report.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum word {
	STARTED = 1, /* up: the program's pid */
	STOPPED,     /* up: the signal */
	CONTINUED,   /* up */
	ENDED,       /* up */
	LEAVE,       /* up: the exit status */
	CONTINUE,    /* down: how many stops are known */
	AWAKE,       /* down: answers STARTED, CONTINUED and ENDED */
};

struct message {
	int word, value;
};

/* How long the guardians may take to end everything when the supervisor has died. */
enum { SOON_MS = 10, AWAKE_MS = 100, ORPHANS_MS = 8000, MAX_INHERITED = 1024 };

enum phase { STARTING, RUNNING, ENDING };

struct front {
	pid_t supervisor;
	int socket, signals;
	enum phase phase;
	pid_t program;
	int program_fd; /* pidfd, -1: none */
	int stops;
	sigset_t early;   /* that came before the program ran */
	bool interrupted; /* SIGINT came */
	int status;       /* of the run, -1: not known yet */
};

static struct run_origin origin;
static pid_t front_pid; /* the supervisor's front */
static int link_fd = -1;
static int inherited[MAX_INHERITED];
static size_t n_inherited;

/* ---- what both know -------------------------------------------------------------------------- */

void run_origin_get(struct run_origin *o)
{
	struct sigaction action;

	o->group = getpgrp();
	sigprocmask(SIG_SETMASK, NULL, &o->mask);
	sigemptyset(&o->ignored);
	for (int sig = 1; sig < NSIG; sig++)
		if (!sigaction(sig, NULL, &action) && action.sa_handler == SIG_IGN)
			sigaddset(&o->ignored, sig);
}

/* Stderr is for what we have to say. */
static void leave_stdio(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (null >= 0)
		close(null);
}

/* What is inherited is not closed by an execve(); what is ours is. */
static void list_inherited(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *d;

	while (dir && (d = readdir(dir)) && n_inherited < MAX_INHERITED) {
		int fd = (int)strtol(d->d_name, NULL, 10), flags = fcntl(fd, F_GETFD);

		if (fd > 2 && flags >= 0 && !(flags & FD_CLOEXEC))
			inherited[n_inherited++] = fd;
	}
	if (dir)
		closedir(dir);
}

static bool send_word(int fd, enum word word, int value)
{
	struct message m = {word, value};

	return send(fd, &m, sizeof(m), MSG_NOSIGNAL) == sizeof(m);
}

/* 1: there was one, 0: there is none now, -1: there will be none. */
static int receive(int fd, struct message *m)
{
	ssize_t n;

	do
		n = recv(fd, m, sizeof(*m), MSG_DONTWAIT);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n == sizeof(*m))
		return 1;
	return n < 0 && errno == EAGAIN ? 0 : -1;
}

int front_exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- the supervisor's part ------------------------------------------------------------------- */

const struct run_origin *front_origin(void)
{
	return &origin;
}

int front_socket(void)
{
	return link_fd;
}

static void lose_front(void)
{
	if (link_fd >= 0)
		close(link_fd);
	link_fd = -1;
}

static void tell(enum word word, int value)
{
	if (link_fd >= 0 && !send_word(link_fd, word, value))
		lose_front();
}

/*
 * As a rule it has been continued with the program. What it says meanwhile is older than what it is
 * told, and means nothing any more.
 */
static void rouse(enum word word, int value)
{
	struct message m = {0};
	struct pollfd p = {.events = POLLIN};

	tell(word, value);
	for (int ms = SOON_MS; link_fd >= 0 && m.word != AWAKE; ms = AWAKE_MS) {
		p.fd = link_fd;
		if (poll(&p, 1, ms) != 1) {
			if (getppid() == front_pid)
				kill(front_pid, SIGCONT);
		} else if (receive(link_fd, &m) < 0) {
			lose_front();
		}
	}
}

void front_let_go_of_files(void)
{
	leave_stdio();
	for (size_t i = 0; i < n_inherited; i++)
		close(inherited[i]);
	n_inherited = 0;
}

void front_started(pid_t program)
{
	rouse(STARTED, program);
}

void front_stopped(int sig)
{
	tell(STOPPED, sig);
}

void front_continued(void)
{
	rouse(CONTINUED, 0);
}

void front_ended(void)
{
	rouse(ENDED, 0);
}

void front_leave(int status)
{
	tell(LEAVE, status);
	lose_front();
}

int front_hear(void)
{
	struct message m;
	int got = link_fd < 0 ? -1 : receive(link_fd, &m);

	if (got < 0)
		lose_front();
	return got <= 0 ? got : m.word == CONTINUE ? m.value : 0;
}

/* ---- signals --------------------------------------------------------------------------------- */

int front_catch_signals(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	const int needed[] = {SIGCHLD, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT};
	sigset_t all;
	int fd;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		sigaction(needed[i], &dfl, NULL);
	fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static bool stops(int sig)
{
	return sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU || sig == SIGSTOP;
}

void front_stop_self(int sig)
{
	sigset_t one;

	raise(sig);
	if (sig == SIGSTOP)
		return;
	sigemptyset(&one);
	sigaddset(&one, sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	sigprocmask(SIG_BLOCK, &one, NULL);
}

/*
 * Timers that we were started with are ours alone, though the kernel sends their signals. So is the
 * hangup of the terminal of a session that we lead.
 */
bool front_from_terminal(const struct signalfd_siginfo *info)
{
	static const int from_terminal[] = {SIGINT,  SIGQUIT, SIGTSTP, SIGTTIN,
					    SIGTTOU, SIGHUP,  SIGWINCH};

	if (info->ssi_code <= 0 || (info->ssi_signo == SIGHUP && getsid(0) == getpid()))
		return false;
	for (size_t i = 0; i < sizeof(from_terminal) / sizeof(*from_terminal); i++)
		if ((int)info->ssi_signo == from_terminal[i])
			return true;
	return false;
}

void front_take_terminal(void)
{
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	pid_t group = tty < 0 ? 0 : tcgetpgrp(tty);

	/* SIGTTOU is blocked. */
	if (group > 1 && group != getpgrp() && kill(-group, 0) && errno == ESRCH)
		tcsetpgrp(tty, getpgrp());
	if (tty >= 0)
		close(tty);
}

/* ---- the front's part ------------------------------------------------------------------------ */

static void to_program(struct front *f, int sig)
{
	if (f->program_fd >= 0)
		syscall(SYS_pidfd_send_signal, f->program_fd, sig, NULL, 0);
}

/* News of a stop may be late: that which continues the front has continued the program, too. */
static bool program_stands(const struct front *f)
{
	char name[32], text[512], *p;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%d/stat", (int)f->program);
	file = fopen(name, "re");
	if (!file)
		return false;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	p = strrchr(text, ')');
	/* Z: its first thread has ended, and the kernel does not say. */
	return p && p[1] && (p[2] == 'T' || p[2] == 'Z');
}

static void on_message(struct front *f, const struct message *m)
{
	switch (m->word) {
	case STARTED:
		f->phase = RUNNING;
		f->program = m->value;
		f->program_fd = (int)syscall(SYS_pidfd_open, m->value, 0);
		for (int sig = 1; sig < NSIG; sig++)
			if (sigismember(&f->early, sig) == 1)
				to_program(f, sig);
		send_word(f->socket, AWAKE, 0);
		break;
	case STOPPED:
		f->stops++;
		if (program_stands(f))
			front_stop_self(m->value);
		break;
	case ENDED:
		f->phase = ENDING;
		send_word(f->socket, AWAKE, 0);
		break;
	case CONTINUED:
		send_word(f->socket, AWAKE, 0);
		break;
	case LEAVE:
		f->status = m->value;
		break;
	}
}

static void hear(struct front *f)
{
	struct message m;
	int got;

	while (f->status < 0 && (got = receive(f->socket, &m)) > 0)
		on_message(f, &m);
}

/*
 * The program goes on as well, unless it has been stopped anew meanwhile: the terminal's Ctrl-Z is
 * quicker than we are. Hence the number of stops that are known here.
 */
static void on_continued(struct front *f, const struct signalfd_siginfo *info)
{
	if ((pid_t)info->ssi_pid == f->supervisor && info->ssi_code <= 0)
		return;
	if (f->phase == RUNNING)
		send_word(f->socket, CONTINUE, f->stops);
	else
		kill(f->supervisor, SIGCONT);
}

/* What the program sends to its own group it has got itself. */
static void while_running(struct front *f, const struct signalfd_siginfo *info)
{
	if (!front_from_terminal(info) &&
	    !((pid_t)info->ssi_pid == f->program && info->ssi_code <= 0))
		to_program(f, info->ssi_signo);
}

static void before_and_after(struct front *f, const struct signalfd_siginfo *info)
{
	int sig = info->ssi_signo;

	if (sig == SIGWINCH)
		return;
	/* What the supervisor has got too ends it. If it starts the program nonetheless, it was too
	 * late: then it is the program's. */
	if (f->phase == STARTING && !stops(sig))
		sigaddset(&f->early, sig);
	if (f->phase == ENDING ? !stops(sig) : !front_from_terminal(info))
		kill(f->supervisor, sig);
	if (stops(sig))
		front_stop_self(sig);
}

static void on_signals(struct front *f)
{
	struct signalfd_siginfo info;

	while (read(f->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue; /* see supervisor_ended() */
		f->interrupted |= info.ssi_signo == SIGINT;
		if (info.ssi_signo == SIGCONT)
			on_continued(f, &info);
		else if (f->phase == RUNNING)
			while_running(f, &info);
		else
			before_and_after(f, &info);
	}
}

/* A shell that runs a script or a loop ends it when what it waited for was ended by Ctrl-C. */
static void end_as_interrupted(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t set;

	sigaction(SIGINT, &dfl, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	raise(SIGINT);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* The guardians have become our children. They end what they watch over, then themselves. */
static void await_orphans(void)
{
	for (int ms = 0; ms < ORPHANS_MS; ms += 10) {
		pid_t pid;

		while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
			;
		if (pid < 0)
			return;
		poll(NULL, 0, 10);
	}
}

/* Did it? Then the exit status is known. */
static void supervisor_ended(struct front *f)
{
	int status;

	if (f->status >= 0 || waitpid(f->supervisor, &status, WNOHANG) != f->supervisor)
		return;
	hear(f); /* its last words */
	if (f->status >= 0)
		return;
	if (WIFSIGNALED(status)) {
		complain_plain(
		    "the supervisor was killed by signal %d (%s): the program ends with "
		    "it, and all that it has started; what was written in the last second "
		    "may be lost",
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
		if (orphans_adopted()) {
			await_orphans();
			orphans_end();
		}
		f->status = STATUS_FAILED;
	} else {
		f->status = WEXITSTATUS(status);
	}
}

/* Pipes and files of our caller, held by us, would stay open in the program's name. */
static void let_go_of_all_files(int socket)
{
	leave_stdio();
	syscall(SYS_close_range, 3, socket - 1, 0);
	syscall(SYS_close_range, socket + 1, ~0u, 0);
}

static int be_front(pid_t supervisor, int socket)
{
	struct front f = {.supervisor = supervisor,
			  .socket = socket,
			  .signals = front_catch_signals(),
			  .program_fd = -1,
			  .status = -1};

	sigemptyset(&f.early);
	if (f.signals < 0) {
		complain(false, f.signals, "signals");
		return STATUS_FAILED; /* the supervisor sees the socket's end */
	}
	for (supervisor_ended(&f); f.status < 0; supervisor_ended(&f)) {
		struct pollfd p[2] = {{f.signals, POLLIN, 0}, {f.socket, POLLIN, 0}};

		poll(p, 2, -1);
		on_signals(&f);
		hear(&f);
		if (p[1].revents & POLLHUP && f.socket >= 0 && f.status < 0) {
			close(f.socket); /* SIGCHLD will tell the rest */
			f.socket = -1;
		}
	}
	front_take_terminal();
	if (f.interrupted && f.status == 128 + SIGINT)
		end_as_interrupted();
	return f.status;
}

int front_divide(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	int pair[2], err;
	sigset_t all;
	pid_t pid;

	run_origin_get(&origin);
	list_inherited();
	front_pid = getpid();
	orphans_adopt();
	/* Ignored, it would take the supervisor's status away. */
	sigaction(SIGCHLD, &dfl, NULL);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		complain(false, -errno, "socket");
		return STATUS_FAILED;
	}
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	pid = fork();
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, &origin.mask, NULL);
		close(pair[0]);
		link_fd = pair[1];
		return -1;
	}
	err = errno;
	close(pair[1]);
	if (pid < 0) {
		complain(false, -err, "no new process");
		return STATUS_FAILED;
	}
	let_go_of_all_files(pair[0]);
	return be_front(pid, pair[0]);
}
