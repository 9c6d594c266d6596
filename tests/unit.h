/* SPDX-License-Identifier: BSD-2-Clause */
/* What every cmocka program needs before cmocka.h itself. */
#ifndef PF_TESTS_UNIT_H
#define PF_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* assert_int_equal shows both numbers in hex and unsigned; errnos read better so. */
#define assert_err(expression, err)                                                                \
	do {                                                                                       \
		long long unit_got = (expression);                                                 \
		if (unit_got != (err))                                                             \
			fail_msg("%s: %lld, not %lld", #expression, unit_got, (long long)(err));   \
	} while (0)

#endif
