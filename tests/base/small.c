/* SPDX-License-Identifier: BSD-2-Clause */
/* The header-only helpers: arithmetic and lists. */
#include "base/arith.h"
#include "base/list.h"
#include "unit.h"

static void arithmetic(void **state)
{
	uint64_t r;

	assert_int_equal(PF_ALIGN_UP(0, 8), 0);
	assert_int_equal(PF_ALIGN_UP(1, 8), 8);
	assert_int_equal(PF_ALIGN_UP(8, 8), 8);
	assert_int_equal(PF_ALIGN_DOWN(15, 8), 8);
	assert_int_equal(pf__min_u64(1, 2), 1);
	assert_int_equal(pf__max_u64(1, 2), 2);
	assert_int_equal(pf__clamp_u64(5, 1, 3), 3);
	assert_int_equal(pf__clamp_u64(0, 1, 3), 1);
	assert_true(pf__add_sat_u64(UINT64_MAX, 1) == UINT64_MAX);
	assert_true(pf__add_overflow(UINT64_MAX, 1ull, &r));
	assert_true(pf__mul_overflow(UINT64_MAX, 2ull, &r));
}

struct element {
	int value;
	struct pf__list link;
};

static int pop(struct pf__list *l)
{
	struct pf__list *n = pf__list_pop(l);

	return n ? pf__list_entry(n, struct element, link)->value : -1;
}

static void lists(void **state)
{
	struct element e[4] = {{0}, {1}, {2}, {3}};
	struct pf__list l, *pos, *tmp;
	int sum = 0;

	pf__list_init(&l);
	assert_true(pf__list_empty(&l));
	assert_int_equal(pop(&l), -1);
	pf__list_add_tail(&l, &e[1].link);
	pf__list_add_tail(&l, &e[2].link);
	pf__list_add_head(&l, &e[0].link);
	pf__list_add_tail(&l, &e[3].link);
	pf__list_for_each (pos, &l)
		sum = sum * 10 + pf__list_entry(pos, struct element, link)->value;
	assert_int_equal(sum, 123);
	pf__list_for_each_safe (pos, tmp, &l)
		if (pf__list_entry(pos, struct element, link)->value % 2)
			pf__list_del(pos);
	pf__list_del(&e[1].link); /* twice does nothing */
	assert_int_equal(pop(&l), 0);
	assert_int_equal(pop(&l), 2);
	assert_true(pf__list_empty(&l));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(arithmetic),
	    cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
