/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls that the library depends on, through a table that tests replace to make them
 * fail. Only calls whose failure must be survived stand here. Negative errno instead of errno.
 */
#ifndef PF_BASE_SYS_H
#define PF_BASE_SYS_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct pf__sys {
	ssize_t (*sendmsg)(int fd, const struct msghdr *msg, int flags);
	ssize_t (*recvmsg)(int fd, struct msghdr *msg, int flags);
	int (*poll)(struct pollfd *fds, nfds_t n, int timeout_ms);
	int (*socketpair)(int domain, int type, int protocol, int sv[2]);
	int (*setsockopt)(int fd, int level, int name, const void *value, socklen_t len);
	int (*eventfd)(unsigned initial, int flags);
	int (*thread_create)(unsigned long *thread, void *(*fn)(void *), void *arg); /* pthread_t */
	int (*close)(int fd);
};
extern struct pf__sys pf__sys; /* tests may change it while no other thread runs */

#endif
