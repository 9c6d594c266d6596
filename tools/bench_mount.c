/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench_mount.h"
#include "interrupt.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STEP_MS = 20, STOP_MS = 10000, NOT_EXECUTABLE = 127 };

/* For kernel_mount_abort(): what is mounted. Written before mounted_minor says that it is there. */
static atomic_uint mounted_minor; /* of its device, 0: nothing is mounted */
static char mounted_at[PATH_MAX];
static atomic_int guard_process;

const char *kernel_mount_missing(void)
{
	static char why[64];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		snprintf(why, sizeof(why), "/dev/fuse: %s", strerror(errno));
		return why;
	}
	close(fd);
	return NULL;
}

/* ---- the table of mounts ---------------------------------------------------------------- */

/* In place: spaces and the like stand as \040 there. */
static void unescape(char *text)
{
	char *out = text;

	while (*text) {
		if (text[0] == '\\' && text[1] && text[2] && text[3]) {
			*out++ =
			    (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

/* Is something mounted there? *minor: of its device; *is_fuse. */
static bool find_mount(const char *dir, unsigned *minor, bool *is_fuse)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	bool found = false;
	char *line = NULL;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0) {
		char at[PATH_MAX], *tail = strstr(line, " - ");
		unsigned number;

		if (!tail || sscanf(line, "%*d %*d %*u:%u %*s %4095s", &number, at) != 2)
			continue;
		unescape(at);
		if (strcmp(at, dir))
			continue;
		found = true; /* the last one lies on top */
		*minor = number;
		*is_fuse = !strncmp(tail, " - fuse", 7);
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* Calls nothing that is forbidden after fork() in a process with threads. */
static void unmount(const char *dir)
{
	static const char *const helpers[] = {"fusermount3", "fusermount"};

	if (!umount2(dir, MNT_DETACH) || errno != EPERM)
		return;
	for (size_t i = 0; i < sizeof(helpers) / sizeof(*helpers); i++) {
		pid_t pid = fork();
		int status = -1;

		if (!pid) {
			execlp(helpers[i], helpers[i], "-u", "-z", "-q", "--", dir, (char *)NULL);
			_exit(NOT_EXECUTABLE);
		}
		while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (!status)
			return;
	}
}

/* ---- the guard -------------------------------------------------------------------------- */

/* Waits until the pipe is closed, which happens when the command ends in whatever way. */
static _Noreturn void guard(int pipe_end, const char *dir, bool private_dir)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
	int null = open("/dev/null", O_RDWR);
	char byte;
	ssize_t n;

	setpgid(0, 0);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	pipe_end = dup2(pipe_end, 3);
	syscall(SYS_close_range, 4, ~0u, 0);
	do
		n = read(pipe_end, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0) { /* nobody said that all is in order */
		unmount(dir);
		if (private_dir)
			rmdir(dir);
	}
	_exit(0);
}

static int start_guard(struct kernel_mount *m)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -1;
	m->guard = fork();
	if (!m->guard)
		guard(ends[0], m->dir, m->private_dir);
	close(ends[0]);
	m->guard_pipe = ends[1];
	return m->guard < 0 ? -1 : 0;
}

static void stop_guard(struct kernel_mount *m)
{
	if (m->guard_pipe >= 0) {
		(void)!write(m->guard_pipe, "", 1);
		close(m->guard_pipe);
	}
	while (m->guard > 0 && waitpid(m->guard, NULL, 0) < 0 && errno == EINTR)
		;
	m->guard_pipe = -1;
	m->guard = 0;
}

/* ---- start ------------------------------------------------------------------------------ */

static int choose_directory(struct kernel_mount *m, const char *mountpoint, char *why, size_t size)
{
	const char *top = getenv("TMPDIR");
	bool is_fuse;
	unsigned minor;

	if (!mountpoint) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/portfire-bench-XXXXXX",
			 top && *top ? top : "/tmp");
		m->private_dir = mkdtemp(path) != NULL;
		if (!m->private_dir || !realpath(path, m->dir)) {
			snprintf(why, size, "cannot make a mountpoint: %s", strerror(errno));
			return -1;
		}
		return 0;
	}
	if (!*mountpoint || !realpath(mountpoint, m->dir)) {
		snprintf(why, size, "no mountpoint to mount it at");
		return -1;
	}
	if (find_mount(m->dir, &minor, &is_fuse)) {
		snprintf(why, size, "something is mounted there already, {} would do");
		return -1;
	}
	return 0;
}

/* The word with each "{}" replaced. */
static char *replaced(const char *word, const char *by)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (const char *at; (at = strstr(word, "{}")); word = at + 2)
		fprintf(f, "%.*s%s", (int)(at - word), word, by);
	fputs(word, f);
	return fclose(f) ? NULL : text;
}

static void free_words(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}

static char **server_words(const struct kernel_mount *m, char *const argv[])
{
	size_t n = 0;
	char **words;

	while (argv[n])
		n++;
	words = calloc(n + 1, sizeof(*words));
	for (size_t i = 0; words && i < n; i++) {
		words[i] = m->private_dir ? replaced(argv[i], m->dir) : strdup(argv[i]);
		if (!words[i]) {
			free_words(words);
			return NULL;
		}
	}
	return words;
}

/* The server inherits the far end of the lifeline, and all that it starts does. */
static int start_server(struct kernel_mount *m, char *const argv[])
{
	pid_t parent = getpid();
	int ends[2];
	char **words = server_words(m, argv);

	if (!words || pipe2(ends, O_CLOEXEC)) {
		free_words(words);
		return -1;
	}
	m->server = fork();
	if (!m->server) {
		setpgid(0, 0); /* Ctrl-C is ours: we end it in order */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		fcntl(ends[1], F_SETFD, 0);
		if (getppid() == parent)
			execvp(words[0], words);
		_exit(NOT_EXECUTABLE);
	}
	close(ends[1]);
	m->lifeline = ends[0];
	free_words(words);
	return m->server < 0 ? -1 : 0;
}

static bool lifeline_cut(const struct kernel_mount *m, int timeout_ms)
{
	struct pollfd p = {.fd = m->lifeline, .events = POLLIN};

	return poll(&p, 1, timeout_ms) > 0;
}

/* True when the process that we started has ended; *status as of waitpid(2). */
static bool server_ended(struct kernel_mount *m, int *status)
{
	if (m->server > 0 && waitpid(m->server, status, WNOHANG) != m->server)
		return false;
	m->server = 0;
	return true;
}

static int wait_mounted(struct kernel_mount *m, unsigned timeout_ms, char *why, size_t size)
{
	unsigned minor;
	int status = 0;
	bool is_fuse;

	for (unsigned waited = 0; waited < timeout_ms && !interrupted(); waited += STEP_MS) {
		bool ended = server_ended(m, &status);

		if (find_mount(m->dir, &minor, &is_fuse) && is_fuse) {
			m->mounted = true;
			memcpy(mounted_at, m->dir, sizeof(mounted_at));
			atomic_store(&guard_process, m->guard);
			atomic_store(&mounted_minor, minor);
			return 0;
		}
		if (ended && status) {
			snprintf(why, size, "the server could not mount, it ended with %s %d",
				 WIFSIGNALED(status) ? "signal" : "status",
				 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
			return -1;
		}
		if (lifeline_cut(m, STEP_MS)) {
			if (ended) {
				snprintf(why, size, "the server ended without a mount");
				return -1;
			}
			poll(NULL, 0, STEP_MS); /* it closed what it inherited, and goes on */
		}
	}
	snprintf(why, size, "the server did not mount in time");
	return -1;
}

static void leave_signals(struct kernel_mount *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	m->masked = !pthread_sigmask(SIG_BLOCK, &set, &m->mask);
}

int kernel_mount_start(struct kernel_mount *m, char *const argv[], const char *mountpoint,
		       unsigned timeout_ms, char *why, size_t why_size)
{
	*m = (struct kernel_mount){.root = -1, .guard_pipe = -1, .lifeline = -1};
	if (choose_directory(m, mountpoint, why, why_size)) {
		if (m->private_dir)
			rmdir(m->dir);
		return -1;
	}
	if (start_guard(m) || start_server(m, argv)) {
		snprintf(why, why_size, "%s", strerror(errno));
		kernel_mount_stop(m);
		return -1;
	}
	if (wait_mounted(m, timeout_ms, why, why_size)) {
		kernel_mount_stop(m);
		return -1;
	}
	leave_signals(m);
	m->root = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->root < 0) {
		snprintf(why, why_size, "its root cannot be opened: %s", strerror(errno));
		kernel_mount_stop(m);
		return -1;
	}
	return 0;
}

/* ---- end -------------------------------------------------------------------------------- */

static void signal_server(const struct kernel_mount *m, int sig)
{
	if (m->server > 0)
		kill(m->server, sig);
}

int kernel_mount_stop(struct kernel_mount *m)
{
	bool ended = m->lifeline < 0;
	int status;

	if (m->root >= 0)
		close(m->root);
	if (m->mounted)
		unmount(m->dir);
	else
		signal_server(m, SIGTERM);
	for (int waited = 0; !ended && waited < STOP_MS; waited += STEP_MS) {
		bool cut = lifeline_cut(m, STEP_MS);

		ended = cut && server_ended(m, &status);
		if (cut && !ended)
			poll(NULL, 0, STEP_MS);
		if (waited == STOP_MS / 2)
			signal_server(m, SIGTERM);
	}
	if (!ended) {
		kernel_mount_abort();
		signal_server(m, SIGKILL);
		ended = lifeline_cut(m, STEP_MS * 10);
	}
	if (m->server > 0)
		waitpid(m->server, NULL, 0);
	atomic_store(&mounted_minor, 0);
	if (m->private_dir)
		rmdir(m->dir);
	stop_guard(m);
	if (m->lifeline >= 0)
		close(m->lifeline);
	if (m->masked)
		pthread_sigmask(SIG_SETMASK, &m->mask, NULL);
	*m = (struct kernel_mount){.root = -1, .guard_pipe = -1, .lifeline = -1};
	return ended ? 0 : -1;
}

/* The server, a daemon too: what loses its parents becomes ours (orphans.h). */
static void kill_children(void)
{
	char name[64];
	FILE *list;
	int pid;

	snprintf(name, sizeof(name), "/proc/self/task/%d/children", (int)getpid());
	list = fopen(name, "re");
	while (list && fscanf(list, "%d", &pid) == 1)
		if (pid != atomic_load(&guard_process))
			kill(pid, SIGKILL);
	if (list)
		fclose(list);
}

void kernel_mount_abort(void)
{
	unsigned number = atomic_load(&mounted_minor);
	char path[64];
	int fd;

	if (!number)
		return;
	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", number);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!write(fd, "1", 1);
		close(fd);
	}
	umount2(mounted_at, MNT_FORCE | MNT_DETACH); /* ends what waits, where we may */
	kill_children();
}
