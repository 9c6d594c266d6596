/* SPDX-License-Identifier: BSD-2-Clause */
#include "run_nested.h"
#include "command.h"
#include "report.h"
#include "run_front.h"
#include "run_procs.h"
#include "run_words.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOUNT_MS = 30000, LOOK_MS = 10, LAST_WORK_MS = 60000, GRACE_MS = 5000 };

/* A directory that may be the server's mountpoint, as it was before. */
struct spot {
	char *path;
	dev_t dev;
	ino_t ino;
};

struct guest {
	const char *name;
	char **argv;
	pid_t pid;     /* what was started, until it has ended; then 0 */
	char *private; /* directory for {}; NULL: none */
	struct spot *spots;
	size_t n_spots;
	char *mountpoint; /* one of the spots'; NULL: not mounted */
};

struct nest {
	struct session *session;
	struct run_origin origin;
	int signals;
	int signal; /* that asked us to end; 0: none */
	struct guest *guests;
	struct procs servers; /* all processes of theirs */
};

/* ---- are we? --------------------------------------------------------------------------------- */

/* The kernel knows; in a child, for filters stay. The last ioctl fails, but not with EINVAL. */
static int try_to_supervise(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {1, &allow};
	struct seccomp_notif_addfd none = {.srcfd = (uint32_t)-1};
	struct seccomp_notif_sizes sizes;
	int listener;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return errno;
	listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
	if (listener < 0)
		return errno;
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &none) < 0 && errno == EINVAL ? EINVAL
											: 0;
}

int supervision_here(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(try_to_supervise());
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EPERM;
}

/* ---- starting a process ---------------------------------------------------------------------- */

static void be_born(const struct run_origin *origin, bool server)
{
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction a = {.sa_handler = SIG_DFL};

		if (sigismember(&origin->ignored, sig) == 1 && !(server && sig != SIGHUP))
			a.sa_handler = SIG_IGN;
		sigaction(sig, &a, NULL);
	}
	sigprocmask(SIG_SETMASK, &origin->mask, NULL);
	if (server) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(STDERR_FILENO, STDOUT_FILENO);
	}
}

/* Its pid, or the negative errno of what could not be done, execute included. */
static pid_t spawn(const struct nest *nest, char **argv, bool server)
{
	int report[2], err = 0;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid == 0) {
		be_born(&nest->origin, server);
		execvp(argv[0], argv);
		err = errno;
		(void)!write(report[1], &err, sizeof(err));
		_exit(127);
	}
	if (pid < 0)
		err = errno;
	close(report[1]);
	if (pid > 0 && read(report[0], &err, sizeof(err)) == sizeof(err))
		waitpid(pid, NULL, 0);
	close(report[0]);
	return err ? -err : pid;
}

/* ---- signals ----------------------------------------------------------------------------------
 */

static bool ends_us(int sig)
{
	return sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT;
}

/* While there is no program to send them to. */
static void look_for_signals(struct nest *nest, int ms)
{
	struct pollfd p = {nest->signals, POLLIN, 0};
	struct signalfd_siginfo info;

	poll(&p, 1, ms);
	while (read(nest->signals, &info, sizeof(info)) == sizeof(info)) {
		int sig = info.ssi_signo;

		if (ends_us(sig) && sigismember(&nest->origin.ignored, sig) != 1)
			nest->signal = sig;
		if (sig == SIGTSTP)
			front_stop_self(sig);
	}
}

static void pass_signals_on(struct nest *nest, pid_t program)
{
	struct signalfd_siginfo info;

	while (read(nest->signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGCHLD && !front_from_terminal(&info) &&
		    !((pid_t)info.ssi_pid == program && info.ssi_code <= 0))
			kill(program, info.ssi_signo);
}

/* ---- a server's mountpoint ------------------------------------------------------------------- */

static int add_spot(struct guest *guest, const char *path)
{
	struct spot *spots;
	struct stat st;
	char *real = realpath(path, NULL);

	if (!real || stat(real, &st) || !S_ISDIR(st.st_mode)) {
		free(real);
		return 0;
	}
	spots = reallocarray(guest->spots, guest->n_spots + 1, sizeof(*spots));
	if (!spots) {
		free(real);
		return -ENOMEM;
	}
	guest->spots = spots;
	spots[guest->n_spots++] = (struct spot){real, st.st_dev, st.st_ino};
	return 0;
}

static int make_private(struct guest *guest)
{
	const char *parent = getenv("XDG_RUNTIME_DIR");

	if (!parent || parent[0] != '/' || access(parent, W_OK))
		parent = getenv("TMPDIR");
	if (!parent || parent[0] != '/')
		parent = "/tmp";
	if (asprintf(&guest->private, "%s/portfire-XXXXXX", parent) < 0)
		guest->private = NULL;
	if (!guest->private)
		return -ENOMEM;
	if (mkdtemp(guest->private))
		return add_spot(guest, guest->private);
	free(guest->private);
	guest->private = NULL;
	return -errno;
}

/* The words with the private directory for each {}. */
static int make_words(struct guest *guest, char *const *argv)
{
	size_t n = 0;

	while (argv[n])
		n++;
	guest->argv = calloc(n + 1, sizeof(*guest->argv));
	if (!guest->argv)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		size_t size;
		FILE *out = open_memstream(&guest->argv[i], &size);
		const char *word = argv[i], *at;

		if (!out)
			return -ENOMEM;
		for (; (at = strstr(word, "{}")); word = at + 2)
			fprintf(out, "%.*s%s", (int)(at - word), word, guest->private);
		fputs(word, out);
		if (fclose(out))
			return -ENOMEM;
	}
	return 0;
}

static int prepare(struct guest *guest, const struct server *server)
{
	int err = 0;

	guest->name = server->argv[0];
	if (server->placeholder)
		err = make_private(guest);
	if (!err)
		err = make_words(guest, server->argv);
	for (size_t i = 1; !err && !guest->private && guest->argv[i]; i++)
		err = add_spot(guest, guest->argv[i]);
	return err;
}

/* What is mounted is another directory than the one that was there. */
static bool has_mounted(struct guest *guest)
{
	for (size_t i = 0; i < guest->n_spots && !guest->mountpoint; i++) {
		const struct spot *spot = &guest->spots[i];
		struct stat st;

		if (!stat(spot->path, &st) && (st.st_dev != spot->dev || st.st_ino != spot->ino))
			guest->mountpoint = spot->path;
	}
	return guest->mountpoint;
}

/* ---- servers --------------------------------------------------------------------------------- */

/* It asks for a password: as with a shell's fg. */
static void lend_terminal(pid_t group)
{
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (tty < 0)
		return;
	if (tcgetpgrp(tty) == getpgrp() && !tcsetpgrp(tty, group))
		kill(-group, SIGCONT);
	close(tty);
}

static void take_terminal_back(pid_t group)
{
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (tty < 0)
		return;
	if (tcgetpgrp(tty) == group)
		tcsetpgrp(tty, getpgrp());
	close(tty);
}

/* False: it has ended with a failure, and that was said. Daemons end well. */
static bool still_well(struct guest *guest)
{
	int status;

	if (!guest->pid || waitpid(guest->pid, &status, WNOHANG | WUNTRACED) != guest->pid)
		return true;
	if (WIFSTOPPED(status)) {
		if (WSTOPSIG(status) == SIGTTIN || WSTOPSIG(status) == SIGTTOU)
			lend_terminal(guest->pid);
		return true;
	}
	guest->pid = 0;
	if (!status)
		return true;
	if (WIFSIGNALED(status))
		complain_plain("%s was killed by signal %d (%s) before it mounted", guest->name,
			       WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		complain_plain("%s exited with status %d before it mounted", guest->name,
			       WEXITSTATUS(status));
	return false;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int await_mount(struct nest *nest, struct guest *guest)
{
	unsigned ms = nest->session->options.start_timeout_ms;
	int64_t until = now_ms() + (ms ? ms : MOUNT_MS);
	pid_t group = guest->pid;
	int status = 0;

	while (!status && !has_mounted(guest)) {
		look_for_signals(nest, LOOK_MS);
		if (nest->signal) {
			status = 128 + nest->signal;
		} else if (!still_well(guest)) {
			status = STATUS_FAILED;
		} else if (now_ms() > until) {
			complain_plain("%s did not mount in time", guest->name);
			status = STATUS_FAILED;
		}
	}
	take_terminal_back(group);
	return status;
}

static int start_guest(struct nest *nest, struct guest *guest, const struct server *server)
{
	int err = prepare(guest, server);

	if (!err && !guest->n_spots) {
		complain_plain("%s: none of its words is a directory to mount at", guest->name);
		return STATUS_FAILED;
	}
	if (!err) {
		guest->pid = spawn(nest, guest->argv, true);
		err = guest->pid < 0 ? guest->pid : 0;
	}
	if (err) {
		guest->pid = 0;
		complain(false, err, "cannot run %s", guest->name);
		return STATUS_FAILED;
	}
	return await_mount(nest, guest);
}

static int start_guests(struct nest *nest)
{
	struct session *session = nest->session;
	int status = 0;

	nest->guests = calloc(session->n_servers + 1, sizeof(*nest->guests));
	if (!nest->guests) {
		complain(false, -ENOMEM, "servers");
		return STATUS_FAILED;
	}
	/* Those that become daemons stay ours to wait for. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (size_t i = 0; i < session->n_servers && !status; i++)
		status = start_guest(nest, &nest->guests[i], &session->servers[i]);
	procs_children(&nest->servers);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	return status;
}

/* True: all have ended. */
static bool await_servers(struct nest *nest, int ms)
{
	int64_t until = now_ms() + ms;
	struct procs *servers = &nest->servers;

	for (;;) {
		size_t n = 0;

		for (size_t i = 0; i < servers->n; i++)
			if (!waitpid(servers->pids[i], NULL, WNOHANG | __WALL))
				servers->pids[n++] = servers->pids[i];
		servers->n = n;
		if (!n || now_ms() > until)
			return !n;
		procs_wait(servers, -1, -1, (int)(until - now_ms()));
	}
}

static void end_guests(struct nest *nest, bool failed)
{
	for (size_t i = nest->guests ? nest->session->n_servers : 0; i-- > 0;)
		if (nest->guests[i].mountpoint)
			umount2(nest->guests[i].mountpoint, MNT_DETACH);
	if (!await_servers(nest, failed ? 0 : LAST_WORK_MS)) {
		procs_signal(&nest->servers, NULL, SIGTERM);
		procs_signal(&nest->servers, NULL, SIGCONT);
	}
	if (!await_servers(nest, GRACE_MS))
		procs_signal(&nest->servers, NULL, SIGKILL);
	await_servers(nest, GRACE_MS);
}

static void free_guests(struct nest *nest)
{
	for (size_t i = 0; nest->guests && i < nest->session->n_servers; i++) {
		struct guest *guest = &nest->guests[i];

		for (size_t k = 0; guest->argv && guest->argv[k]; k++)
			free(guest->argv[k]);
		for (size_t k = 0; k < guest->n_spots; k++)
			free(guest->spots[k].path);
		if (guest->private)
			rmdir(guest->private);
		free(guest->argv);
		free(guest->spots);
		free(guest->private);
	}
	free(nest->guests);
	procs_free(&nest->servers);
}

/* ---- the program ----------------------------------------------------------------------------- */

static int await_program(struct nest *nest, pid_t program)
{
	struct pollfd p = {nest->signals, POLLIN, 0};
	int status;

	for (;;) {
		while (waitpid(program, &status, WNOHANG | WUNTRACED) == program) {
			if (!WIFSTOPPED(status))
				return front_exit_status(status);
			front_stop_self(WSTOPSIG(status));
		}
		poll(&p, 1, -1);
		pass_signals_on(nest, program);
	}
}

static int run_program(struct nest *nest, char **words, size_t n)
{
	char **mountpoints = calloc(nest->session->n_servers + 1, sizeof(*mountpoints));
	struct run_words w = {0};
	int err = mountpoints ? 0 : -ENOMEM, status = STATUS_FAILED;

	for (size_t i = 0; !err && i < nest->session->n_servers; i++)
		mountpoints[i] = nest->guests[i].mountpoint;
	if (!err)
		err = run_words_make(&w, nest->session, mountpoints, words, n);
	if (!err)
		err = run_words_export(nest->session, mountpoints);
	if (err) {
		complain(false, err, "cannot run the program");
	} else {
		pid_t pid = spawn(nest, w.argv, false);

		status = pid < 0 ? run_words_complain(w.argv[0], pid) : await_program(nest, pid);
	}
	run_words_free(&w);
	free(mountpoints);
	return status;
}

int run_nested(struct session *session, char **words, size_t n)
{
	struct nest nest = {.session = session};
	int status;

	run_origin_get(&nest.origin);
	nest.signals = front_catch_signals();
	if (nest.signals < 0) {
		complain(false, nest.signals, "signals");
		return STATUS_FAILED;
	}
	status = start_guests(&nest);
	if (status) {
		end_guests(&nest, true);
	} else {
		status = run_program(&nest, words, n);
		end_guests(&nest, false);
	}
	free_guests(&nest);
	front_take_terminal();
	return status;
}
