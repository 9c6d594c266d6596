/* SPDX-License-Identifier: BSD-2-Clause */
/* In the manner of wyhash: each step multiplies two 64-bit words to 128 bits and folds the halves.
 * Also compiled into src/preload/, so in a file of its own. */
#include "base/hash.h"
#include <string.h>

#define K0 0xa0761d6478bd642full
#define K1 0xe7037ed1a0b428dbull
#define K2 0x8ebc6af09c88c6e3ull

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t load64(const unsigned char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

static inline uint64_t load32(const unsigned char *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

uint64_t pf__hash_bytes(uint64_t seed, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t a = 0, b = 0, h = seed ^ K0;
	size_t n = len;

	for (; n > 16; n -= 16, p += 16)
		h = mix(load64(p) ^ K1, load64(p + 8) ^ h);
	/* What is left is read as two words that may overlap, so that nothing past the end is
	 * touched. */
	if (n >= 8) {
		a = load64(p);
		b = load64(p + n - 8);
	} else if (n >= 4) {
		a = load32(p);
		b = load32(p + n - 4);
	} else if (n) {
		a = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
	}
	return mix(K2 ^ len, mix(a ^ K1, b ^ h));
}
