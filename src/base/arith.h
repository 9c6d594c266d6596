/* SPDX-License-Identifier: BSD-2-Clause */
/* Arithmetic that cannot overflow silently. */
#ifndef PF_BASE_ARITH_H
#define PF_BASE_ARITH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PF_ARRAY_SIZE(a)    (sizeof(a) / sizeof((a)[0]))
#define PF_ALIGN_UP(x, a)   (((x) + (a)-1) & ~((__typeof__(x))(a)-1))
#define PF_ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))

#define pf__add_overflow(a, b, r) __builtin_add_overflow(a, b, r)
#define pf__mul_overflow(a, b, r) __builtin_mul_overflow(a, b, r)

static inline uint64_t pf__min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t pf__max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t pf__clamp_u64(uint64_t x, uint64_t lo, uint64_t hi)
{
	return x < lo ? lo : x > hi ? hi : x;
}

static inline uint64_t pf__add_sat_u64(uint64_t a, uint64_t b)
{
	uint64_t r;

	return pf__add_overflow(a, b, &r) ? UINT64_MAX : r;
}

#endif
