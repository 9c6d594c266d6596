/* SPDX-License-Identifier: BSD-2-Clause */
/* Random order without a list of it. */
#ifndef TOOLS_SCATTER_H
#define TOOLS_SCATTER_H

#include <stdint.h>

/*
 * The i-th of n things in an order without order that comes to each once before it comes to one
 * again: a bijection on the next power of two, applied again while it leads outside.
 */
static inline uint64_t scattered(uint64_t i, uint64_t n)
{
	unsigned bits = n > 1 ? 64 - (unsigned)__builtin_clzll(n - 1) : 0, half = bits / 2;
	uint64_t mask = (1ull << bits) - 1;

	i %= n;
	do {
		i = (i * 0x9e3779b97f4a7c15ull + 0x5851f42d4c957f2dull) & mask;
		i ^= i >> half;
		i = i * 0xd1342543de82ef95ull & mask;
		i ^= i >> half;
	} while (i >= n);
	return i;
}

#endif
