/* SPDX-License-Identifier: BSD-2-Clause */
#include "run_procs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* More than these need not be waited for at once: there is a look at all of them now and then. */
enum { MAX_WATCHED = 256, LOOK_MS = 1000 };

struct proc {
	pid_t pid, parent;
	bool below;
};

struct table {
	struct proc *at;
	size_t n, room;
};

/* The parent, by /proc/PID/stat. 0: it does not live (any more). */
static pid_t parent_of(const char *pid)
{
	char name[300], text[512], state, *p;
	int parent, threads, fd;
	ssize_t n;

	snprintf(name, sizeof(name), "/proc/%s/stat", pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	p = strrchr(text, ')');
	if (!p ||
	    sscanf(p + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d",
		   &state, &parent, &threads) != 3)
		return 0;
	/* A first thread that has ended looks like a dead process while others go on. */
	return (state == 'Z' || state == 'X') && threads <= 1 ? 0 : parent;
}

static int table_add(struct table *t, pid_t pid, pid_t parent)
{
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 256;
		struct proc *at = reallocarray(t->at, room, sizeof(*at));

		if (!at)
			return -ENOMEM;
		t->at = at;
		t->room = room;
	}
	t->at[t->n++] = (struct proc){.pid = pid, .parent = parent};
	return 0;
}

static int read_table(struct table *t)
{
	DIR *dir = opendir("/proc");
	struct dirent *d;
	int err = 0;

	if (!dir)
		return -errno;
	while (!err && (d = readdir(dir))) {
		pid_t parent, pid = (pid_t)strtol(d->d_name, NULL, 10);

		parent = pid > 0 ? parent_of(d->d_name) : 0;
		if (parent > 0)
			err = table_add(t, pid, parent);
	}
	closedir(dir);
	return err;
}

static bool is_below(const struct table *t, pid_t pid, pid_t top)
{
	if (pid == top)
		return true;
	for (size_t i = 0; i < t->n; i++)
		if (t->at[i].pid == pid)
			return t->at[i].below;
	return false;
}

static void mark_below(struct table *t, pid_t top)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < t->n; i++) {
			struct proc *p = &t->at[i];

			if (p->below || !is_below(t, p->parent, top))
				continue;
			p->below = more = true;
		}
	}
}

int procs_below(struct procs *procs, pid_t top, bool (*counts)(void *ctx, pid_t pid), void *ctx)
{
	struct table t = {0};
	int err = read_table(&t);

	*procs = (struct procs){0};
	if (!err) {
		mark_below(&t, top);
		procs->pids = calloc(t.n + 1, sizeof(*procs->pids));
		err = procs->pids ? 0 : -ENOMEM;
	}
	for (size_t i = 0; !err && i < t.n; i++)
		if (t.at[i].below && counts(ctx, t.at[i].pid))
			procs->pids[procs->n++] = t.at[i].pid;
	free(t.at);
	return err;
}

void procs_free(struct procs *procs)
{
	free(procs->pids);
	*procs = (struct procs){0};
}

void procs_wait(const struct procs *procs, int fd, int other_fd, int timeout_ms)
{
	struct pollfd p[MAX_WATCHED + 2] = {{fd, POLLIN, 0}, {other_fd, POLLIN, 0}};
	size_t n = 2;
	bool all = procs->n <= MAX_WATCHED;

	for (size_t i = 0; i < procs->n && i < MAX_WATCHED; i++, n++) {
		p[n] = (struct pollfd){(int)syscall(SYS_pidfd_open, procs->pids[i], 0), POLLIN, 0};
		if (p[n].fd < 0) /* it has ended already */
			timeout_ms = 0;
	}
	if (!all && (timeout_ms < 0 || timeout_ms > LOOK_MS))
		timeout_ms = LOOK_MS;
	poll(p, n, timeout_ms);
	while (n-- > 2)
		if (p[n].fd >= 0)
			close(p[n].fd);
}

static bool has(const struct procs *procs, pid_t pid)
{
	for (size_t i = 0; i < procs->n; i++)
		if (procs->pids[i] == pid)
			return true;
	return false;
}

void procs_signal(const struct procs *procs, const struct procs *told, int sig)
{
	for (size_t i = 0; i < procs->n; i++)
		if (!told || !has(told, procs->pids[i]))
			kill(procs->pids[i], sig);
}

/* ---- children -------------------------------------------------------------------------------- */

static bool is_child(void *ctx, pid_t pid)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", (int)pid);
	return parent_of(name) == getpid();
}

int procs_children(struct procs *procs)
{
	return procs_below(procs, getpid(), is_child, NULL);
}

void procs_end_children(const struct procs *keep)
{
	enum { ROUNDS = 500, ROUND_MS = 10 };
	struct procs now;
	bool more = true;

	for (int i = 0; more && i < ROUNDS && !procs_children(&now); i++) {
		more = false;
		for (size_t k = 0; k < now.n; k++) {
			if (has(keep, now.pids[k]))
				continue;
			more = true;
			kill(now.pids[k], SIGKILL);
			waitpid(now.pids[k], NULL, WNOHANG | __WALL);
		}
		procs_free(&now);
		if (more)
			poll(NULL, 0, ROUND_MS);
	}
}
