/* SPDX-License-Identifier: BSD-2-Clause */
/* Just enough of a FUSE client to see that a server at the other end of a socket serves. */
#ifndef MINICLIENT_H
#define MINICLIENT_H

#include "proto/wire.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MINI_REPLY   (1 << 20)
#define MINI_WAIT_MS 60000

/* One request and its reply's body (*n bytes into out, size at most MINI_REPLY). 0 or errno. */
static inline int mini_call(int fd, uint32_t opcode, uint64_t nodeid, const void *in, size_t in_len,
			    void *out, size_t *n)
{
	static uint64_t unique;
	static char buf[MINI_REPLY + 16];
	struct fuse_in_header h = {.len = (uint32_t)(sizeof h + in_len),
				   .opcode = opcode,
				   .unique = unique += 2,
				   .nodeid = nodeid,
				   .uid = getuid(),
				   .gid = getgid(),
				   .pid = (uint32_t)getpid()};
	struct iovec iov[2] = {{&h, sizeof h}, {(void *)(uintptr_t)in, in_len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	struct fuse_out_header o;

	if (sendmsg(fd, &msg, MSG_NOSIGNAL) < 0)
		return -errno;
	for (;;) {
		struct pollfd p = {fd, POLLIN, 0};
		ssize_t got;

		if (poll(&p, 1, MINI_WAIT_MS) != 1)
			return -ETIMEDOUT;
		got = recv(fd, buf, sizeof buf, 0);
		if (got < (ssize_t)sizeof o)
			return got < 0 ? -errno : -ENOTCONN;
		memcpy(&o, buf, sizeof o);
		if (o.unique != h.unique)
			continue;
		if (out) {
			*n = (size_t)got - sizeof o;
			memcpy(out, buf + sizeof o, *n);
		}
		return o.error;
	}
}

static inline int mini_init(int fd)
{
	struct fuse_init_in in = {.major = 7, .minor = 31, .max_readahead = 131072};
	char out[4096];
	size_t n;

	in.flags =
	    (uint32_t)(FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC | FUSE_MAX_PAGES);
	return mini_call(fd, FUSE_INIT, 0, &in, sizeof in, out, &n);
}

static inline int mini_getattr(int fd)
{
	char in[16] = {0}, out[4096];
	size_t n;

	return mini_call(fd, FUSE_GETATTR, 1, in, sizeof in, out, &n);
}

/* Print the root directory's names, separated by blanks. */
static inline int mini_list(int fd, FILE *to)
{
	char in[8] = {0}, out[4096], *buf = out;
	static char names[MINI_REPLY];
	struct fuse_read_in r = {.size = 4096};
	struct fuse_dirent d;
	size_t n;
	int err = mini_call(fd, FUSE_OPENDIR, 1, in, sizeof in, out, &n);

	(void)buf;
	if (err)
		return err;
	memcpy(&r.fh, out, sizeof r.fh);
	for (;;) {
		err = mini_call(fd, FUSE_READDIR, 1, &r, sizeof r, names, &n);
		if (err || !n)
			break;
		for (size_t at = 0; at + sizeof d <= n; at += (sizeof d + d.namelen + 7) & ~7ul) {
			memcpy(&d, names + at, sizeof d);
			fprintf(to, "%.*s ", (int)d.namelen, names + at + sizeof d);
			r.offset = d.off;
		}
	}
	fprintf(to, "\n");
	return err;
}

static inline int mini_destroy(int fd)
{
	size_t n;
	char out[4096];

	return mini_call(fd, FUSE_DESTROY, 0, NULL, 0, out, &n);
}

#endif
