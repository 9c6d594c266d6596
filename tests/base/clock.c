/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/clock.h"
#include "unit.h"

static void advances_as_told(void **state)
{
	uint64_t a = pf__now(), b = pf__now_coarse();

	pf__clock_advance(3600 * PF_NSEC_PER_SEC);
	assert_true(pf__now() - a >= 3600 * PF_NSEC_PER_SEC);
	assert_true(pf__now_coarse() - b >= 3600 * PF_NSEC_PER_SEC);
	assert_true(pf__now() - a < 3610 * PF_NSEC_PER_SEC);
}

static void time_after_saturates(void **state)
{
	assert_int_equal(pf__time_after(5, 1, 2), PF_NSEC_PER_SEC + 7);
	assert_int_equal(pf__time_after(0, 0, UINT32_MAX), PF_NSEC_PER_SEC - 1);
	assert_int_equal(pf__time_after(5, UINT64_MAX, 0), PF_TIME_FOREVER);
	assert_int_equal(pf__time_after(5, UINT64_MAX / PF_NSEC_PER_SEC, 999999999),
			 PF_TIME_FOREVER);
	assert_int_equal(pf__time_after(UINT64_MAX - 1, 1, 0), PF_TIME_FOREVER);
}

static void wall_clock_has_granularity(void **state)
{
	assert_int_equal(pf__wall_clock(1000000000).tv_nsec, 0);
	assert_int_equal(pf__wall_clock(1000000).tv_nsec % 1000000, 0);
	assert_true(pf__wall_clock(1).tv_sec >= time(NULL) - 1);
	assert_true(pf__wall_clock(0).tv_nsec < 1000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(advances_as_told),
	    cmocka_unit_test(time_after_saturates),
	    cmocka_unit_test(wall_clock_has_granularity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
