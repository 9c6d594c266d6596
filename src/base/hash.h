/* SPDX-License-Identifier: BSD-2-Clause */
/* Seeded, fast, non-cryptographic hashes for tables; the seed keeps a hostile server from choosing
 * collisions. */
#ifndef PF_BASE_HASH_H
#define PF_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t pf__hash_bytes(uint64_t seed, const void *p, size_t len);
/* A random seed, different in each process run. */
uint64_t pf__hash_seed(void);

static inline uint64_t pf__hash_u64(uint64_t seed, uint64_t x)
{
	__uint128_t m = (__uint128_t)(x ^ seed ^ 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

#endif
