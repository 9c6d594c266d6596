/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers to trapped calls, and what a handler may ask about the caller. */
#include "base/cleanup.h"
#include "supervise/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int answer(const struct pf__call *call, int64_t value, int error, uint32_t flags)
{
	struct seccomp_notif_resp r = {
	    .id = call->id, .val = value, .error = error, .flags = flags};

	return ioctl(call->listener, SECCOMP_IOCTL_NOTIF_SEND, &r) < 0 ? -errno : 0;
}

int pf__call_return(const struct pf__call *call, int64_t value)
{
	return value < 0 ? answer(call, 0, (int)value, 0) : answer(call, value, 0, 0);
}

int pf__call_continue(const struct pf__call *call)
{
	return answer(call, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

int pf__call_return_fd(const struct pf__call *call, int fd, bool cloexec)
{
	struct seccomp_notif_addfd a = {.id = call->id,
					.flags = SECCOMP_ADDFD_FLAG_SEND,
					.srcfd = (uint32_t)fd,
					.newfd_flags = cloexec ? O_CLOEXEC : 0};
	int n;

	if (ioctl(call->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a) >= 0)
		return 0;
	if (errno != EINVAL) {
		int err = -errno; /* EMFILE of the caller, say: it must hear of it */

		pf__call_return(call, err);
		return err;
	}
	a.flags = 0; /* before Linux 5.14 in two steps */
	n = ioctl(call->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a);
	return pf__call_return(call, n < 0 ? -errno : n);
}

int pf__call_add_fd(const struct pf__call *call, int fd, bool cloexec)
{
	struct seccomp_notif_addfd a = {
	    .id = call->id, .srcfd = (uint32_t)fd, .newfd_flags = cloexec ? O_CLOEXEC : 0};
	int n = ioctl(call->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a);

	return n < 0 ? -errno : n;
}

int pf__call_replace_fd(const struct pf__call *call, int fd, int number, bool cloexec)
{
	struct seccomp_notif_addfd a = {.id = call->id,
					.flags = SECCOMP_ADDFD_FLAG_SETFD,
					.srcfd = (uint32_t)fd,
					.newfd = (uint32_t)number,
					.newfd_flags = cloexec ? O_CLOEXEC : 0};

	return ioctl(call->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a) < 0 ? -errno : 0;
}

bool pf__call_alive(const struct pf__call *call)
{
	uint64_t id = call->id;

	return ioctl(call->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* The thread id may be another's by now: only a call that still waits vouches for what was read. */
static int vouch(const struct pf__call *call, int err)
{
	return pf__call_alive(call) ? err : -ENOENT;
}

/* Bytes read, at least one, or negative errno. */
static ssize_t peek(const struct pf__call *call, uint64_t address, void *buf, size_t size)
{
	struct iovec here = {buf, size}, there = {(void *)(uintptr_t)address, size};
	ssize_t n = pf__call_copy(call, false, &here, 1, &there, 1);

	return n ? n : -EFAULT;
}

ssize_t pf__call_readv(const struct pf__call *call, const struct iovec *here, unsigned nhere,
		       const struct iovec *there, unsigned nthere)
{
	return pf__call_copy(call, false, here, nhere, there, nthere);
}

ssize_t pf__call_writev(const struct pf__call *call, const struct iovec *here, unsigned nhere,
			const struct iovec *there, unsigned nthere)
{
	return pf__call_alive(call) ? pf__call_copy(call, true, here, nhere, there, nthere)
				    : -ENOENT;
}

int pf__call_peek(const struct pf__call *call, uint64_t address, void *buf, size_t size)
{
	ssize_t n = size ? peek(call, address, buf, size) : 0;

	return n < 0 ? (int)n : (size_t)n < size ? -EFAULT : 0;
}

int pf__call_read(const struct pf__call *call, uint64_t address, void *buf, size_t size)
{
	return vouch(call, pf__call_peek(call, address, buf, size));
}

int pf__call_write(const struct pf__call *call, uint64_t address, const void *buf, size_t size)
{
	struct iovec here = {(void *)(uintptr_t)buf, size},
		     there = {(void *)(uintptr_t)address, size};
	ssize_t n = pf__call_writev(call, &here, 1, &there, 1);

	return n < 0 ? (int)n : (size_t)n < size ? -EFAULT : 0;
}

/* Page by page: what follows a string's page need not be mapped. */
#define FIRST_GUESS 256

ssize_t pf__call_peek_string(const struct pf__call *call, uint64_t address, char *buf, size_t size)
{
	size_t have = 0;

	while (have < size) {
		size_t page = 4096 - ((address + have) & 4095), n = size - have;
		ssize_t got;
		char *end;

		if (page > n)
			page = n;
		if (!have && page > FIRST_GUESS) /* most are short */
			page = FIRST_GUESS;
		got = peek(call, address + have, buf + have, page);

		if (got < 0)
			return got;
		end = memchr(buf + have, '\0', (size_t)got);
		if (end)
			return end - buf;
		have += (size_t)got;
	}
	return -ENAMETOOLONG;
}

ssize_t pf__call_read_string(const struct pf__call *call, uint64_t address, char *buf, size_t size)
{
	ssize_t n = pf__call_peek_string(call, address, buf, size);

	return pf__call_alive(call) ? n : -ENOENT;
}

static ssize_t proc_link(const struct pf__call *call, const char *what, char *buf, size_t size)
{
	char name[64];
	ssize_t n;
	int err;

	snprintf(name, sizeof name, "/proc/%d/%s", (int)call->tid, what);
	n = readlink(name, buf, size);
	if (n < 0)
		return vouch(call, -errno);
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	err = vouch(call, 0);
	return err ? err : n;
}

ssize_t pf__call_fd_link(const struct pf__call *call, int fd, char *buf, size_t size)
{
	char what[32];
	ssize_t n;

	snprintf(what, sizeof what, "fd/%d", fd);
	n = proc_link(call, what, buf, size);
	return n == -ENOENT && pf__call_alive(call) ? -EBADF : n;
}

int pf__call_absolute_path(const struct pf__call *call, int dirfd, const char *path, char *buf,
			   size_t size)
{
	ssize_t n = 0;
	int rest;

	if (path[0] != '/')
		n = dirfd == AT_FDCWD ? proc_link(call, "cwd", buf, size)
				      : pf__call_fd_link(call, dirfd, buf, size);
	if (n < 0)
		return (int)n;
	if (path[0] != '/' && buf[0] != '/')
		return -ENOTDIR; /* a socket, a pipe */
	if (n == 1)
		n = 0; /* the root directory brings its slash itself */
	rest = snprintf(buf + n, size - (size_t)n, "%s%s", path[0] == '/' ? "" : "/", path);
	return (size_t)rest >= size - (size_t)n ? -ENAMETOOLONG : 0;
}

/* A number in /proc/TID/status; -1: gone, or no /proc. */
static pid_t status_number(const struct pf__call *call, const char *name)
{
	PF_AUTO_CLOSE int fd = -1;
	char path[64], text[2048], *at;
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/status", (int)call->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	at = strstr(text, name);
	return at ? (pid_t)strtol(at + strlen(name), NULL, 10) : -1;
}

/* pidfds are for whole processes (until Linux 6.9), callers may be threads. */
pid_t pf__call_process(const struct pf__call *call)
{
	return status_number(call, "\nTgid:");
}

pid_t pf__call_tracer(const struct pf__call *call)
{
	pid_t tracer = status_number(call, "\nTracerPid:");

	return tracer > 0 ? tracer : 0;
}

/* Newer than Debian 12's headers: of a thread, whose table may not be its process's. Linux 6.9. */
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

static int get_fd_of(pid_t process, unsigned flags, int fd)
{
	PF_AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, process, flags);
	int copy = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return copy < 0 ? -errno : copy;
}

/* Forbidden even of ourselves: by a filter, which stays. */
static bool cannot_get_fds(int fd)
{
	int own = get_fd_of(getpid(), 0, fd);

	if (own >= 0)
		close(own);
	return own == -EPERM || own == -ENOSYS;
}

int pf__call_get_fd_of(const struct pf__call *call, pid_t process, int fd)
{
	static _Atomic bool never;
	int copy, err;

	if (atomic_load_explicit(&never, memory_order_relaxed))
		return -ENOSYS;
	copy = get_fd_of(call->tid, PIDFD_THREAD, fd);
	if (copy == -EINVAL)
		copy = get_fd_of(process, 0, fd);
	if (copy == -ENOSYS || (copy == -EPERM && cannot_get_fds(call->listener))) {
		atomic_store(&never, true);
		return -ENOSYS;
	}
	if (copy < 0)
		return copy;
	err = vouch(call, 0);
	if (err) {
		close(copy);
		return err;
	}
	return copy;
}

int pf__call_get_fd(const struct pf__call *call, int fd)
{
	pid_t process = pf__call_process(call);

	return process < 0 ? -ENOENT : pf__call_get_fd_of(call, process, fd);
}
