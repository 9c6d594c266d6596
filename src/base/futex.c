/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/futex.h"
#include "base/clock.h"
#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

int pf__futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline)
{
	struct timespec ts, *timeout = NULL;

	if (deadline != PF_TIME_FOREVER) {
		uint64_t now = pf__now();
		uint64_t left = deadline > now ? deadline - now : 0;

		if (!left)
			return atomic_load(word) == expected ? -ETIMEDOUT : -EAGAIN;
		ts = (struct timespec){left / PF_NSEC_PER_SEC, left % PF_NSEC_PER_SEC};
		timeout = &ts;
	}
	if (syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout, NULL, 0) < 0)
		return -errno;
	return 0;
}

int pf__futex_wake(_Atomic uint32_t *word, int how_many)
{
	return (int)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, how_many, NULL, NULL, 0);
}
