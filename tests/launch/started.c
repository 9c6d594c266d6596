/* SPDX-License-Identifier: BSD-2-Clause */
#include "started.h"
#include "base/errmsg.h"
#include "miniclient.h"
#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

const char *fakeserver;
char scratch[64];

int scratch_make(void)
{
	fakeserver = getenv("FAKESERVER");
	strcpy(scratch, "/tmp/portfire-test-XXXXXX");
	return fakeserver && mkdtemp(scratch) ? 0 : -1;
}

void scratch_remove(void)
{
	DIR *d = opendir(scratch);
	struct dirent *e;

	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(scratch);
}

int start(struct pf__launch **l, unsigned timeout_ms, ...)
{
	struct pf__launch_config config = PF_LAUNCH_CONFIG_INIT;
	char *argv[32] = {(char *)(uintptr_t)fakeserver, (char[]){"{}"}};
	int n = 2;
	va_list ap;

	va_start(ap, timeout_ms);
	while ((argv[n] = va_arg(ap, char *)))
		n++;
	va_end(ap);
	config.timeout_ms = timeout_ms;
	config.grace_ms = getenv("GRACE_MS") ? (uint32_t)atoi(getenv("GRACE_MS")) : 200;
	return pf__launch(l, argv, &config);
}

int can_supervise(void)
{
	struct pf__launch *l;
	int err = start(&l, 0, "mount", "serve", NULL);

	if (err == -EBUSY || err == -ENOSYS || err == -EPERM || err == -EINVAL) {
		fprintf(stderr, "skipped: %s\n", pf__errmsg());
		return 0;
	}
	if (!err)
		pf__launch_stop(l, 100, NULL);
	return 1;
}

int serves(struct pf__launch *l, int *fd)
{
	int err;

	*fd = pf__launch_take_fd(l);
	err = mini_init(*fd);
	pf__launch_init_done(l, err);
	return err ? err : mini_getattr(*fd);
}

int stop(struct pf__launch *l, int fd)
{
	int status = 0;

	if (fd >= 0)
		close(fd);
	return pf__launch_stop(l, 100, &status) ? -1 : status;
}

int hang_up(struct pf__launch *l, int fd)
{
	pid_t pid = pf__launch_server_pid(l);

	if (fd < 0)
		fd = pf__launch_take_fd(l);
	shutdown(fd, SHUT_RDWR);
	if (pid > 0)
		ends_within(pid, ALIVE_MS);
	return stop(l, fd);
}

const char *word_in_scratch(const char *word, const char *name)
{
	static char bufs[4][160];
	static int turn;
	char *buf = bufs[turn++ % 4];

	snprintf(buf, sizeof bufs[0], "%s%s/%s", word, scratch, name);
	return buf;
}

const char *in_scratch(const char *name)
{
	return word_in_scratch("", name);
}

size_t read_pids(const char *path, int *pids, size_t max)
{
	FILE *f = fopen(path, "re");
	size_t n = 0;

	while (f && n < max && fscanf(f, "%d", &pids[n]) == 1)
		n++;
	if (f)
		fclose(f);
	return n;
}

int ends_within(int pid, int ms)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = {fd, POLLIN, 0};
	int ended;

	if (fd < 0)
		return errno == ESRCH;
	ended = poll(&p, 1, ms) == 1;
	close(fd);
	return ended;
}

int appears_within(const char *path, int ms)
{
	int fd = inotify_init1(IN_CLOEXEC);
	struct pollfd p = {fd, POLLIN, 0};
	char buf[4096];

	inotify_add_watch(fd, scratch, IN_CREATE);
	while (access(path, F_OK) < 0 && poll(&p, 1, ms) == 1)
		if (read(fd, buf, sizeof buf) < 0)
			break;
	close(fd);
	return access(path, F_OK) == 0;
}

static int count_entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

int count_fds(void)
{
	return count_entries("/proc/self/fd");
}

int count_threads(void)
{
	return count_entries("/proc/self/task");
}

int threads_become(int n)
{
	for (int i = 0; i < ALIVE_MS / 10 && count_threads() != n; i++)
		poll(NULL, 0, 10);
	return count_threads() == n;
}
