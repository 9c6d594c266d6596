/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/futex.h"
#include "base/clock.h"
#include "unit.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

static void value_differs(void **state)
{
	_Atomic uint32_t word = 1;

	assert_err(pf__futex_wait(&word, 0, PF_TIME_FOREVER), -EAGAIN);
	assert_err(pf__futex_wait(&word, 0, 0), -EAGAIN);
}

static void deadline_passes(void **state)
{
	_Atomic uint32_t word = 1;
	uint64_t start = pf__now();

	assert_err(pf__futex_wait(&word, 1, start), -ETIMEDOUT);
	assert_err(pf__futex_wait(&word, 1, 0), -ETIMEDOUT);
	assert_err(pf__futex_wait(&word, 1, start + 5 * PF_NSEC_PER_MSEC), -ETIMEDOUT);
	assert_true(pf__now() >= start + 5 * PF_NSEC_PER_MSEC);
}

static void moved_clock_counts(void **state)
{
	_Atomic uint32_t word = 1;
	uint64_t deadline = pf__now() + 3600 * PF_NSEC_PER_SEC;

	pf__clock_advance(3600 * PF_NSEC_PER_SEC);
	assert_err(pf__futex_wait(&word, 1, deadline), -ETIMEDOUT);
}

static _Atomic uint32_t shared;

static void *set_and_wake(void *arg)
{
	atomic_store(&shared, 1);
	pf__futex_wake(&shared, 1);
	return NULL;
}

static void woken(void **state)
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, set_and_wake, NULL), 0);
	while (!atomic_load(&shared)) {
		int err = pf__futex_wait(&shared, 0, PF_TIME_FOREVER);

		assert_true(err == 0 || err == -EAGAIN || err == -EINTR);
	}
	pthread_join(t, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(value_differs),
	    cmocka_unit_test(deadline_passes),
	    cmocka_unit_test(moved_clock_counts),
	    cmocka_unit_test(woken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
