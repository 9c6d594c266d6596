/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/sys.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* One piece of memory and nothing else: the kernel has less to copy with send(2) and recv(2). */
static bool is_plain(const struct msghdr *msg)
{
	return msg->msg_iovlen == 1 && !msg->msg_name && !msg->msg_control;
}

static ssize_t sys_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	ssize_t n = is_plain(msg) ? send(fd, msg->msg_iov->iov_base, msg->msg_iov->iov_len, flags)
				  : sendmsg(fd, msg, flags);

	return n < 0 ? -errno : n;
}

static ssize_t sys_recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = is_plain(msg) ? recv(fd, msg->msg_iov->iov_base, msg->msg_iov->iov_len, flags)
				  : recvmsg(fd, msg, flags);

	return n < 0 ? -errno : n;
}

static int sys_poll(struct pollfd *fds, nfds_t nfds, int timeout_ms)
{
	int n = poll(fds, nfds, timeout_ms);

	return n < 0 ? -errno : n;
}

static int sys_socketpair(int domain, int type, int protocol, int sv[2])
{
	return socketpair(domain, type, protocol, sv) < 0 ? -errno : 0;
}

static int sys_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return setsockopt(fd, level, name, value, len) < 0 ? -errno : 0;
}

static int sys_eventfd(unsigned initial, int flags)
{
	int fd = eventfd(initial, flags);

	return fd < 0 ? -errno : fd;
}

/* The program's signals are not for our threads: they start with all of them blocked. */
static int sys_thread_create(unsigned long *thread, void *(*fn)(void *), void *arg)
{
	sigset_t all, before;
	pthread_t t;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&t, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err)
		*thread = t;
	return -err;
}

static int sys_close(int fd)
{
	return close(fd) < 0 ? -errno : 0;
}

struct pf__sys pf__sys = {
    .sendmsg = sys_sendmsg,
    .recvmsg = sys_recvmsg,
    .poll = sys_poll,
    .socketpair = sys_socketpair,
    .setsockopt = sys_setsockopt,
    .eventfd = sys_eventfd,
    .thread_create = sys_thread_create,
    .close = sys_close,
};
