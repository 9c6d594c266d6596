/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/clock.h"
#include "base/arith.h"
#include <stdatomic.h>

static _Atomic uint64_t advanced;

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * PF_NSEC_PER_SEC + ts.tv_nsec +
	       atomic_load_explicit(&advanced, memory_order_relaxed);
}

uint64_t pf__now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t pf__now_coarse(void)
{
	return read_clock(CLOCK_MONOTONIC_COARSE);
}

struct timespec pf__wall_clock(uint32_t gran)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (gran > 1)
		ts.tv_nsec -= ts.tv_nsec % gran;
	if (gran >= PF_NSEC_PER_SEC)
		ts.tv_nsec = 0;
	return ts;
}

void pf__clock_advance(uint64_t ns)
{
	atomic_fetch_add(&advanced, ns);
}

uint64_t pf__time_after(uint64_t now, uint64_t sec, uint32_t nsec)
{
	uint64_t ns;

	if (nsec >= PF_NSEC_PER_SEC)
		nsec = PF_NSEC_PER_SEC - 1;
	if (pf__mul_overflow(sec, PF_NSEC_PER_SEC, &ns))
		return PF_TIME_FOREVER;
	return pf__add_sat_u64(now, pf__add_sat_u64(ns, nsec));
}
