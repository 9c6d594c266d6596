/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/hash.h"
#include "base/clock.h"
#include <sys/random.h>
#include <unistd.h>

uint64_t pf__hash_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed)
		return seed;
	/* Without the kernel's generator: what differs between two runs. */
	return pf__hash_u64(pf__now() ^ (uint64_t)(uintptr_t)&seed, getpid());
}
