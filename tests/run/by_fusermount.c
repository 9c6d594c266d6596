/* SPDX-License-Identifier: BSD-2-Clause */
/* A mount by fusermount3, as libfuse does it where mount() is refused: in containers, say. */
#include "by_fusermount.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int receive_descriptor(int from)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof control};
	struct cmsghdr *c = recvmsg(from, &m, MSG_CMSG_CLOEXEC) < 0 ? NULL : CMSG_FIRSTHDR(&m);

	if (c && c->cmsg_type == SCM_RIGHTS)
		return *(int *)(void *)CMSG_DATA(c);
	errno = EPERM; /* it has said why */
	return -1;
}

static _Noreturn void run_fusermount(int socket, const char *mountpoint, const char *options)
{
	char number[16];

	snprintf(number, sizeof number, "%d", socket);
	setenv("_FUSE_COMMFD", number, 1);
	execlp("fusermount3", "fusermount3", "-o", options, "--", mountpoint, (char *)NULL);
	_exit(127);
}

int mount_by_fusermount(const char *dir, const char *mountpoint, const char *more_options)
{
	char options[8192];
	int ends[2], device;
	pid_t pid;

	snprintf(options, sizeof options, "default_permissions,subtype=passthrough,fsname=%s%s",
		 dir, more_options);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return -1;
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		run_fusermount(ends[1], mountpoint, options);
	}
	close(ends[1]);
	device = pid < 0 ? -1 : receive_descriptor(ends[0]);
	close(ends[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return device;
}

void unmount_anyhow(const char *mountpoint)
{
	if (umount2(mountpoint, MNT_DETACH) == 0 || errno != EPERM)
		return;
	if (fork() == 0) {
		execlp("fusermount3", "fusermount3", "-uz", mountpoint, (char *)NULL);
		_exit(127);
	}
}
