/* SPDX-License-Identifier: BSD-2-Clause */
/* Time that tests can move. Thread-safe. */
#ifndef PF_BASE_CLOCK_H
#define PF_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define PF_NSEC_PER_SEC  1000000000ull
#define PF_NSEC_PER_MSEC 1000000ull
#define PF_NSEC_PER_USEC 1000ull
#define PF_TIME_FOREVER  UINT64_MAX

/* CLOCK_MONOTONIC in ns, plus what tests added. */
uint64_t pf__now(void);
/* The same to the resolution of CLOCK_MONOTONIC_COARSE (a few ms): for validity of caches. */
uint64_t pf__now_coarse(void);
/* CLOCK_REALTIME rounded down to a multiple of gran ns (1 .. 1e9). */
struct timespec pf__wall_clock(uint32_t gran);
/* For tests: move pf__now() and pf__now_coarse() forward. */
void pf__clock_advance(uint64_t ns);

/* now + sec + nsec (nsec clamped below one second), saturating at PF_TIME_FOREVER. */
uint64_t pf__time_after(uint64_t now, uint64_t sec, uint32_t nsec);

#endif
