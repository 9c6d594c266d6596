/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/proto.h"
#include "unit.h"
#include <string.h>

static unsigned char buf[256];

static uint32_t word(size_t at)
{
	uint32_t w;

	memcpy(&w, buf + at, sizeof w);
	return w;
}

static void nothing(void **state)
{
	assert_int_equal(pf__ext_encode(buf, false, NULL, NULL, 0, false, 0), 0);
}

static void empty_context(void **state)
{
	assert_int_equal(pf__ext_encode(buf, true, NULL, NULL, 0, false, 0), 8);
	assert_int_equal(word(0), 8);
	assert_int_equal(word(4), 0);
}

static void groups(void **state)
{
	assert_int_equal(pf__ext_encode(buf, false, NULL, NULL, 0, true, 77), 16);
	assert_int_equal(word(0), 16);
	assert_int_equal(word(4), FUSE_EXT_GROUPS);
	assert_int_equal(word(8), 1);
	assert_int_equal(word(12), 77);
}

static void both(void **state)
{
	size_t size = pf__ext_size("security.x", 5, true);

	/* header 8; context 8 + 11 + 5 = 24; groups 16 */
	assert_int_equal(size, 48);
	memset(buf, 0xff, sizeof buf);
	assert_int_equal(pf__ext_encode(buf, true, "security.x", "label", 5, true, 3), size);
	assert_int_equal(word(0), 32);
	assert_int_equal(word(4), 1);
	assert_int_equal(word(8), 5);
	assert_int_equal(word(12), 0);
	assert_memory_equal(buf + 16, "security.x\0label", 16);
	assert_int_equal(word(32), 16);
	assert_int_equal(word(44), 3);
	assert_int_equal(buf[48], 0xff);
}

static void padded_to_eight(void **state)
{
	for (size_t ctx = 0; ctx < 20; ctx++) {
		size_t size = pf__ext_size("n", ctx, false);

		memset(buf, 0xff, sizeof buf);
		assert_int_equal(size % 8, 0);
		assert_int_equal(
		    pf__ext_encode(buf, true, "n", "0123456789abcdefghij", ctx, false, 0), size);
		for (size_t i = 8 + 8 + 2 + ctx; i < size; i++)
			assert_int_equal(buf[i], 0);
		assert_int_equal(buf[size], 0xff);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing), cmocka_unit_test(empty_context),   cmocka_unit_test(groups),
	    cmocka_unit_test(both),    cmocka_unit_test(padded_to_eight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
