/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/hash.h"
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reads_nothing_past_the_end(void **state)
{
	for (size_t len = 0; len < 100; len++) {
		char *p = malloc(len ? len : 1); /* AddressSanitizer watches its end */

		memset(p, 'a', len);
		pf__hash_bytes(1, p, len);
		free(p);
	}
}

static void every_byte_counts(void **state)
{
	unsigned char buf[80] = {0};

	for (size_t len = 1; len <= sizeof buf; len++) {
		uint64_t h = pf__hash_bytes(7, buf, len);

		assert_true(h != pf__hash_bytes(7, buf, len - 1));
		assert_true(h != pf__hash_bytes(8, buf, len));
		for (size_t i = 0; i < len; i++) {
			buf[i] = 1;
			assert_true(h != pf__hash_bytes(7, buf, len));
			buf[i] = 0;
		}
	}
}

static void where_it_lies_does_not_matter(void **state)
{
	char buf[64];
	uint64_t h = pf__hash_bytes(3, "a name of some length", 21);

	for (size_t at = 0; at < 16; at++) {
		memcpy(buf + at, "a name of some length", 21);
		assert_true(h == pf__hash_bytes(3, buf + at, 21));
	}
}

/* Names that count up must spread: no bucket of 4096 gets more than a few of 4096 names. */
static void spreads(void **state)
{
	static unsigned low[4096], high[4096];
	char name[32];

	for (unsigned i = 0; i < 4096; i++) {
		uint64_t h = pf__hash_bytes(1, name, sprintf(name, "file%u", i));

		low[h & 4095]++;
		high[h >> 52]++;
	}
	for (unsigned i = 0; i < 4096; i++) {
		assert_true(low[i] < 12);
		assert_true(high[i] < 12);
	}
}

static void numbers_spread(void **state)
{
	static unsigned low[4096];

	for (uint64_t i = 0; i < 4096; i++)
		low[pf__hash_u64(1, i * 4096) & 4095]++;
	for (unsigned i = 0; i < 4096; i++)
		assert_true(low[i] < 12);
}

static void seeds_differ(void **state)
{
	assert_true(pf__hash_seed() != pf__hash_seed());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_nothing_past_the_end),
	    cmocka_unit_test(every_byte_counts),
	    cmocka_unit_test(where_it_lies_does_not_matter),
	    cmocka_unit_test(spreads),
	    cmocka_unit_test(numbers_spread),
	    cmocka_unit_test(seeds_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
