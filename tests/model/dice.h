/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers that a seed gives, the same on every machine: for what is tried, and for its bytes. */
#ifndef MODEL_DICE_H
#define MODEL_DICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t dice_mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline uint64_t dice_next(uint64_t *state)
{
	return dice_mix(*state += 0x9e3779b97f4a7c15ull);
}

/* 0 .. n - 1 */
static inline uint64_t dice_below(uint64_t *state, uint64_t n)
{
	return n ? dice_next(state) % n : 0;
}

static inline bool dice_hit(uint64_t *state, unsigned permille)
{
	return dice_below(state, 1000) < permille;
}

/* Bytes that differ from one seed and place to the next. */
static inline void dice_fill(uint8_t *buf, size_t len, uint64_t seed)
{
	uint64_t state = dice_mix(seed + 1);

	for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
		uint64_t v = dice_next(&state);

		memcpy(buf + i, &v, len - i < sizeof v ? len - i : sizeof v);
	}
}

#endif
