/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients for the run-* rows: an ordinary program (run_client.c) does the work, each time another
 * way: below `portfire run`, on the kernel's mount of the same server, under proot with a plain
 * directory bound where the mountpoint is, and in the plain directory itself.
 *
 * The program lives as long as the row and is told what to do by a socket, so what is timed, by
 * the program, is the work alone.
 */
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORDS 24
#define STOP_MS   15000

struct agent {
	pid_t pid;
	int socket;
	FILE *answers;
};

/* ---- the program ---------------------------------------------------------------------------- */

static pid_t spawn(char *const argv[], int fd)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid < 0 ? -errno : pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(fd, 0);
	dup2(fd, 1);
	if (getppid() == parent)
		execvp(argv[0], argv);
	_exit(127);
}

/* It ends at the end of its input. */
static void agent_stop(struct fs *fs)
{
	struct agent *a = fs->agent;
	struct pollfd p = {.events = POLLIN};

	if (!a)
		return;
	fs->agent = NULL;
	if (a->answers)
		fclose(a->answers);
	close(a->socket);
	if (a->pid > 0) {
		p.fd = (int)syscall(SYS_pidfd_open, a->pid, 0);
		if (p.fd >= 0 && poll(&p, 1, STOP_MS) <= 0)
			kill(a->pid, SIGKILL);
		waitpid(a->pid, NULL, 0);
		close(p.fd);
	}
	free(a);
}

static int agent_start(struct fs *fs, char *const argv[])
{
	struct agent *a = calloc(1, sizeof(*a));
	int pair[2], copy;

	if (!a)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		free(a);
		return -errno;
	}
	fs->agent = a;
	a->socket = pair[0];
	copy = fcntl(pair[0], F_DUPFD_CLOEXEC, 0);
	a->answers = fdopen(copy, "r");
	a->pid = spawn(argv, pair[1]);
	close(pair[1]);
	if (a->answers && a->pid > 0)
		return 0;
	agent_stop(fs);
	return -ENOMEM;
}

/* The number that it answers with; < 0: errno, with a sentence for fail(). */
static double ask(struct fs *fs, const char *line)
{
	struct agent *a = fs->agent;
	size_t n = strlen(line);
	char text[256] = "";
	double value;

	if (send(a->socket, line, n, MSG_NOSIGNAL) != (ssize_t)n ||
	    !fgets(text, sizeof(text), a->answers)) {
		fail("%s: the program has ended", fs->client->name);
		return -EPIPE;
	}
	if (sscanf(text, "ok %lf", &value) == 1)
		return value;
	text[strcspn(text, "\n")] = 0;
	fail("%s: %.*s: %.60s", fs->client->name, (int)strcspn(line, "\n"), line, text);
	return -EIO;
}

double agent_call(struct fs *fs, const char *call, uint64_t times)
{
	char line[512];

	snprintf(line, sizeof(line), "call %s %llu\n", call, (unsigned long long)times);
	return ask(fs, line);
}

double agent_exec(struct fs *fs, const char *words)
{
	char line[512];

	snprintf(line, sizeof(line), "exec %s\n", words);
	return ask(fs, line);
}

static ssize_t agent_counters(struct fs *fs, char *text, size_t size)
{
	double n = ask(fs, "counters\n");

	if (n < 0 || n >= (double)size)
		return n < 0 ? (ssize_t)n : -ERANGE;
	return fread(text, 1, (size_t)n, fs->agent->answers);
}

/* ---- starting it ---------------------------------------------------------------------------- */

struct words {
	const char *word[MAX_WORDS + 1];
	unsigned n;
	char client[600], scratch[300], bind[800];
};

static void add(struct words *w, const char *word)
{
	if (w->n < MAX_WORDS)
		w->word[w->n++] = word;
}

/* The program's own words, for a file system at root. The directory of the mountpoint is scratch.
 */
static void add_client(struct words *w, const char *root, const char *mountpoint)
{
	snprintf(w->client, sizeof(w->client), "%s/run_client", own_directory());
	snprintf(w->scratch, sizeof(w->scratch), "%s", mountpoint);
	*strrchr(w->scratch, '/') = 0;
	add(w, w->client);
	add(w, root);
	add(w, w->scratch);
}

static const char *last(char *const argv[])
{
	while (argv[1])
		argv++;
	return argv[0];
}

/* What a server shows that shows a directory, or the empty mountpoint itself. */
static const char *plain_directory(char *const argv[])
{
	for (char *const *p = argv; *p; p++) {
		const char *source = strstr(*p, "source=");

		if (source)
			return source + strlen("source=");
	}
	return last(argv);
}

static int make_mountpoint(struct fs *fs, char *const argv[])
{
	snprintf(fs->mountpoint, sizeof(fs->mountpoint), "%s", last(argv));
	return mkdir(fs->mountpoint, 0700) && errno != EEXIST ? -errno : 0;
}

/* Has it come so far that it answers? */
static int started(struct fs *fs, struct words *w)
{
	double value;
	int ret = agent_start(fs, (char *const *)w->word);

	if (ret)
		return ret;
	value = agent_call(fs, "getppid - -", 1);
	if (value < 0)
		agent_stop(fs);
	return value < 0 ? (int)value : 0;
}

static int start_run(struct fs *fs, char *const argv[], bool trapped)
{
	struct words w = {.n = 0};
	char portfire[600];
	int ret = make_mountpoint(fs, argv);

	snprintf(portfire, sizeof(portfire), "%s/../portfire", own_directory());
	add(&w, portfire);
	add(&w, "run");
	if (trapped)
		add(&w, "--no-preload");
	add(&w, "[");
	for (char *const *p = argv; *p; p++)
		add(&w, *p);
	add(&w, "]");
	add(&w, "--");
	add_client(&w, fs->mountpoint, fs->mountpoint);
	return ret ? ret : started(fs, &w);
}

static int run_start(struct fs *fs, char *const argv[])
{
	return start_run(fs, argv, false);
}

static int trapped_start(struct fs *fs, char *const argv[])
{
	return start_run(fs, argv, true);
}

static int mounted_start(struct fs *fs, char *const argv[])
{
	struct words w = {.n = 0};
	int ret = client_kernel.start(fs, argv);

	if (ret)
		return ret;
	add_client(&w, fs->mountpoint, fs->mountpoint);
	ret = started(fs, &w);
	if (ret)
		client_kernel.stop(fs);
	return ret;
}

static void mounted_stop(struct fs *fs)
{
	agent_stop(fs);
	client_kernel.stop(fs);
}

static int plain_start(struct fs *fs, char *const argv[])
{
	struct words w = {.n = 0};
	int ret = make_mountpoint(fs, argv);

	add_client(&w, plain_directory(argv), fs->mountpoint);
	return ret ? ret : started(fs, &w);
}

static int proot_start(struct fs *fs, char *const argv[])
{
	struct words w = {.n = 0};
	int ret = make_mountpoint(fs, argv);

	snprintf(w.bind, sizeof(w.bind), "%s:%s", plain_directory(argv), fs->mountpoint);
	add(&w, "proot");
	add(&w, "-b");
	add(&w, w.bind);
	add_client(&w, fs->mountpoint, fs->mountpoint);
	return ret ? ret : started(fs, &w);
}

static int idle_start(struct fs *fs, char *const argv[])
{
	return make_mountpoint(fs, argv);
}

static void idle_stop(struct fs *fs)
{
}

const struct client client_run = {
    .name = "portfire", .start = run_start, .stop = agent_stop, .counters = agent_counters};
const struct client client_trapped = {
    .name = "trapped", .start = trapped_start, .stop = agent_stop, .counters = agent_counters};
const struct client client_mounted = {
    .name = "kernel", .start = mounted_start, .stop = mounted_stop, .counters = agent_counters};
const struct client client_plain = {
    .name = "plain", .serverless = true, .start = plain_start, .stop = agent_stop};
const struct client client_proot = {.name = "proot",
				    .serverless = true,
				    .program = "proot",
				    .start = proot_start,
				    .stop = agent_stop};
const struct client client_idle = {
    .name = "portfire", .serverless = true, .start = idle_start, .stop = idle_stop};
const struct client client_idle_kernel = {
    .name = "kernel", .serverless = true, .start = idle_start, .stop = idle_stop};
