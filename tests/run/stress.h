/* SPDX-License-Identifier: BSD-2-Clause */
/* Chance that can be had again, and contents that depend on it. */
#ifndef TESTS_RUN_STRESS_H
#define TESTS_RUN_STRESS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static uint64_t chance_state;

static inline void seed_chance(uint64_t seed)
{
	chance_state = seed * 0x9e3779b97f4a7c15u + 0x1234567;
}

/* xorshift: fast, the same everywhere. */
static inline uint32_t chance(void)
{
	chance_state ^= chance_state << 13;
	chance_state ^= chance_state >> 7;
	chance_state ^= chance_state << 17;
	return chance_state >> 32;
}

static inline void fill(char *buf, size_t length)
{
	uint32_t x = chance() | 1;

	for (size_t i = 0; i < length; i++) {
		x = x * 1664525 + 1013904223;
		buf[i] = (char)(x >> 24);
	}
}

#endif
