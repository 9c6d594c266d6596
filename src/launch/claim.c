/* SPDX-License-Identifier: BSD-2-Clause */
#include "launch/claim.h"
#include "base/alloc.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEXT_MAX 16384

struct message {
	uint64_t max_message, peer_sndbuf, peer_ino;
	int32_t tid;
	uint32_t length[4]; /* of the strings, with their NUL */
	char text[TEXT_MAX];
};

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int pf__claim_open(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, PF_DEV_CLAIM, 0) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

bool pf__claims_here(void)
{
	int fd = pf__claim_open();

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void char_pointers(struct pf__mount *m, char **string[4])
{
	string[0] = &m->mountpoint;
	string[1] = &m->source;
	string[2] = &m->fstype;
	string[3] = &m->options;
}

int pf__claim_send(int claim, const struct pf__mount *m)
{
	struct message *msg = pf__calloc(1, sizeof *msg);
	struct pf__mount copy = *m;
	union control control = {.bytes = {0}};
	struct iovec iov = {msg, offsetof(struct message, text)};
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof control.bytes};
	struct cmsghdr *c = &control.align;
	char **string[4];
	size_t at = 0;
	int err;

	if (!msg)
		return -ENOMEM;
	msg->max_message = m->max_message;
	msg->peer_sndbuf = m->peer_sndbuf;
	msg->peer_ino = m->peer_ino;
	msg->tid = m->tid;
	char_pointers(&copy, string);
	for (int i = 0; i < 4; i++) {
		size_t n = strlen(*string[i]) + 1;

		if (at + n > TEXT_MAX) {
			pf__free(msg);
			return -E2BIG;
		}
		memcpy(msg->text + at, *string[i], n);
		msg->length[i] = (uint32_t)n;
		at += n;
	}
	iov.iov_len += at;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &m->fd, sizeof(int));
	err = sendmsg(claim, &h, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
	pf__free(msg);
	return err;
}

static int unpack(const struct message *msg, size_t size, struct pf__mount *m)
{
	size_t at = 0, have = size - offsetof(struct message, text);
	char **string[4];

	m->max_message = (size_t)msg->max_message;
	m->peer_sndbuf = (size_t)msg->peer_sndbuf;
	m->peer_ino = (ino_t)msg->peer_ino;
	m->tid = msg->tid;
	char_pointers(m, string);
	for (int i = 0; i < 4; i++) {
		size_t n = msg->length[i];

		if (!n || n > have - at || msg->text[at + n - 1] != '\0')
			return -EPROTO;
		*string[i] = pf__strdup(msg->text + at);
		if (!*string[i])
			return -ENOMEM;
		at += n;
	}
	return 1;
}

int pf__claim_receive(int claim, struct pf__mount *m)
{
	struct message *msg = pf__calloc(1, sizeof *msg);
	union control control;
	struct iovec iov = {msg, sizeof *msg};
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof control.bytes};
	struct cmsghdr *c;
	ssize_t n;
	int err;

	*m = (struct pf__mount){.fd = -1};
	if (!msg)
		return -ENOMEM;
	n = recvmsg(claim, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	c = n > 0 ? CMSG_FIRSTHDR(&h) : NULL;
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&m->fd, CMSG_DATA(c), sizeof(int));
	if (n <= 0)
		err = n == 0 || errno == EAGAIN ? 0 : -errno;
	else if (m->fd < 0 || (size_t)n < offsetof(struct message, text))
		err = -EPROTO;
	else
		err = unpack(msg, (size_t)n, m);
	pf__free(msg);
	if (err < 0)
		pf__mount_clear(m);
	return err;
}
