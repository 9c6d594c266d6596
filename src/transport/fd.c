/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages over a SOCK_SEQPACKET socket: one system call a message, each way. */
#include "base/alloc.h"
#include "base/arith.h"
#include "base/list.h"
#include "base/sys.h"
#include "transport/transport.h"
#include "transport/vec.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>

/* The kernel refuses a message larger than the send buffer less this. */
#define SNDBUF_OVERHEAD 32
/* Every server must be able to take and give this much. */
#define SNDBUF_MIN (8192 + SNDBUF_OVERHEAD)
/* 1 MiB of data with its headers. A larger message needs more contiguous memory of the kernel than
 * can be counted on. */
#define MESSAGE_MAX ((1u << 20) + (64u << 10))
/* Room asked for, so that several large messages can be under way. The kernel doubles it. */
#define SNDBUF_WANTED (4 << 20)

#define SMALL 512 /* bytes of a message that is sent in one piece */

struct fd_transport {
	struct pf__transport t;
	int fd;
	_Atomic bool down; /* shutdown() was called */
};

static struct fd_transport *of(struct pf__transport *t)
{
	return pf__container_of(t, struct fd_transport, t);
}

static int fd_send(struct pf__transport *t, const struct iovec *iov, int n)
{
	struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n};
	char small[SMALL];
	struct iovec whole = {small, pf__vec_size(iov, n)};
	ssize_t got;

	/* To copy a few words here is cheaper than to have the kernel follow the vectors. */
	if (whole.iov_len <= sizeof small) {
		pf__vec_gather(small, sizeof small, iov, n);
		m.msg_iov = &whole;
		m.msg_iovlen = 1;
	}
	do
		got = pf__sys.sendmsg(of(t)->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (got == -EINTR);
	switch (got) {
	case -EPIPE:
	case -ECONNRESET:
	case -ENOTCONN:
		return -ENOTCONN;
	case -ENOBUFS:
		return -ENOMEM;
	default:
		return got < 0 ? (int)got : 0;
	}
}

/* An empty message reads as 0 bytes, just as the end does; only the end also hangs up. */
static ssize_t end_or_empty(struct fd_transport *f)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};

	if (pf__sys.poll(&p, 1, 0) < 0 || (p.revents & (POLLHUP | POLLERR | POLLNVAL)))
		return 0;
	return -EAGAIN;
}

static ssize_t recv_error(struct fd_transport *f, ssize_t err)
{
	switch (err) {
	case 0:
		return end_or_empty(f);
	case -EAGAIN:
	case -EINTR:
		return err;
	case -ENOMEM:
	case -ENOBUFS:
		/* The message is still there. Give the machine a moment before the next try. */
		pf__sys.poll(NULL, 0, 1);
		return -EAGAIN;
	default:
		return 0;
	}
}

static ssize_t fd_recv(struct pf__transport *t, const struct iovec *iov, int n, unsigned flags)
{
	struct fd_transport *f = of(t);
	struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n};
	int f_recv = MSG_TRUNC;
	ssize_t got;

	if (flags & PF_RECV_PEEK)
		f_recv |= MSG_PEEK;
	if (!(flags & PF_RECV_WAIT))
		f_recv |= MSG_DONTWAIT;
	if (atomic_load_explicit(&f->down, memory_order_relaxed))
		return 0;
	got = pf__sys.recvmsg(f->fd, &m, f_recv);
	/* The peer left without reading all of ours. Reported once, before what it sent until then.
	 */
	if (got == -ECONNRESET)
		got = pf__sys.recvmsg(f->fd, &m, f_recv);
	return got > 0 ? got : recv_error(f, got);
}

static int fd_wait_writable(struct pf__transport *t, int timeout_ms)
{
	struct pollfd p = {.fd = of(t)->fd, .events = POLLOUT};
	int n = pf__sys.poll(&p, 1, timeout_ms);

	if (n < 0)
		return n == -EINTR ? -EINTR : -ENOTCONN;
	if (n == 0)
		return -EAGAIN;
	return p.revents & (POLLHUP | POLLERR | POLLNVAL) ? -ENOTCONN : 0;
}

static int fd_fd(struct pf__transport *t)
{
	return of(t)->fd;
}

static bool fd_arm(struct pf__transport *t)
{
	return false;
}

static void fd_shutdown(struct pf__transport *t)
{
	atomic_store(&of(t)->down, true);
	shutdown(of(t)->fd, SHUT_RDWR);
}

static void fd_free(struct pf__transport *t)
{
	pf__sys.close(of(t)->fd);
	pf__free(of(t));
}

static const struct pf__transport_ops fd_ops = {
    .name = "fd",
    .send = fd_send,
    .recv = fd_recv,
    .wait_writable = fd_wait_writable,
    .fd = fd_fd,
    .arm = fd_arm,
    .shutdown = fd_shutdown,
    .free = fd_free,
};

static int int_option(int fd, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -errno : value;
}

static size_t largest_message(size_t sndbuf)
{
	if (sndbuf < SNDBUF_MIN)
		sndbuf = SNDBUF_MIN;
	return pf__min_u64(sndbuf - SNDBUF_OVERHEAD, MESSAGE_MAX);
}

/* A Unix socket charges what is under way to its sender: only the send buffers count. */
static int size_buffers(struct fd_transport *f, size_t peer_sndbuf)
{
	int wanted = SNDBUF_WANTED, mine = int_option(f->fd, SO_SNDBUF);

	if (mine < 0)
		return mine;
	/* Unless told otherwise, the peer's buffer is as ours was made. */
	f->t.max_recv = largest_message(peer_sndbuf ? peer_sndbuf : (size_t)mine);
	if (pf__sys.setsockopt(f->fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof(wanted)) < 0)
		(void)pf__sys.setsockopt(f->fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
	mine = int_option(f->fd, SO_SNDBUF);
	if (mine < 0)
		return mine;
	f->t.max_send = largest_message(mine);
	return 0;
}

/* A receive timeout makes any signal end the wait with EINTR, SA_RESTART or not. */
static int set_tick(int fd, unsigned tick_ms)
{
	struct timeval tv = {.tv_sec = tick_ms / 1000, .tv_usec = tick_ms % 1000 * 1000};

	return pf__sys.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

static int check_socket(int fd)
{
	int type = int_option(fd, SO_TYPE), flags;

	if (type < 0)
		return type;
	if (type != SOCK_SEQPACKET)
		return -EPROTOTYPE;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

int pf__transport_fd(struct pf__transport **t, int fd, unsigned tick_ms, size_t peer_sndbuf)
{
	struct fd_transport *f = NULL;
	int err = check_socket(fd);

	if (!err)
		err = set_tick(fd, tick_ms ? tick_ms : 1);
	if (err)
		goto fail;
	f = pf__calloc(1, sizeof(*f));
	err = -ENOMEM;
	if (!f)
		goto fail;
	f->fd = fd;
	f->t.ops = &fd_ops;
	err = size_buffers(f, peer_sndbuf);
	if (err)
		goto fail;
	*t = &f->t;
	return 0;
fail:
	pf__free(f);
	pf__sys.close(fd);
	return err;
}
