/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "unit.h"
#include <pthread.h>
#include <string.h>

static void live_counts_blocks(void **state)
{
	int64_t before = pf__alloc_live();
	void *a = pf__malloc(10), *b = pf__calloc(2, 8), *c = pf__strdup("x");

	assert_err(pf__alloc_live() - before, 3);
	a = pf__realloc(a, 1000);
	assert_err(pf__alloc_live() - before, 3);
	pf__free(a);
	pf__free(b);
	pf__free(c);
	pf__free(NULL);
	assert_err(pf__alloc_live() - before, 0);
}

static void *free_it(void *p)
{
	pf__free(p);
	return NULL;
}

static void another_thread_may_free(void **state)
{
	int64_t before = pf__alloc_live();
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, free_it, pf__malloc(1)), 0);
	pthread_join(t, NULL);
	assert_err(pf__alloc_live() - before, 0);
}

static void size_zero_is_a_block(void **state)
{
	void *p = pf__malloc(0), *q = pf__memdup(NULL, 0);

	assert_non_null(p);
	assert_non_null(q);
	pf__free(p);
	pf__free(q);
}

static void calloc_overflow_is_null(void **state)
{
	volatile size_t huge = SIZE_MAX / 2;

	assert_null(pf__calloc(huge, 16));
}

static void nth_fails_once(void **state)
{
	void *a, *c;

	pf__alloc_fail_at(2, 0);
	a = pf__malloc(1);
	assert_non_null(a);
	assert_null(pf__strdup("second"));
	c = pf__calloc(1, 1);
	assert_non_null(c);
	assert_int_equal(pf__alloc_count(), 3);
	pf__alloc_fail_at(0, 0);
	assert_int_equal(pf__alloc_count(), 0);
	pf__free(a);
	pf__free(c);
}

static void all_later_fail(void **state)
{
	void *a = pf__malloc(1);

	pf__alloc_fail_at(1, 1);
	assert_null(pf__malloc(1));
	assert_null(pf__realloc(a, 100)); /* a stays */
	assert_null(pf__memdup("x", 1));
	pf__alloc_fail_at(0, 0);
	pf__free(a);
}

static void locals_are_released(void **state)
{
	int64_t before = pf__alloc_live();
	char *kept;

	{
		PF_AUTO_FREE char *a = pf__strdup("gone");
		PF_AUTO_FREE char *b = pf__strdup("kept");

		kept = pf__take(b, NULL);
		assert_null(b);
		assert_string_equal(a, "gone");
	}
	assert_err(pf__alloc_live() - before, 1);
	assert_string_equal(kept, "kept");
	pf__free(kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(live_counts_blocks),   cmocka_unit_test(another_thread_may_free),
	    cmocka_unit_test(size_zero_is_a_block), cmocka_unit_test(calloc_overflow_is_null),
	    cmocka_unit_test(nth_fails_once),       cmocka_unit_test(all_later_fail),
	    cmocka_unit_test(locals_are_released),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
