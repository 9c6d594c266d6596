/* SPDX-License-Identifier: BSD-2-Clause */
/* What is read ahead of whom. */
#include "pages/readahead.h"
#include "pagetest.h"

#define MAX 32
#define END (UINT64_MAX / PF_PAGE) /* a page number that no file has */

static void assert_plan(const struct pf__ra_plan *plan, unsigned i, uint64_t first, uint64_t n)
{
	assert_true(i < plan->n);
	assert_int_equal(plan->range[i].first, first);
	assert_int_equal(plan->range[i].n, n);
}

/* A miss that calls for one range; n 0: for none. */
static void miss(struct pf__ra *ra, uint64_t first, uint64_t n, uint64_t plan_first,
		 uint64_t plan_n)
{
	struct pf__ra_plan plan;

	pf__ra_miss(ra, first, n, MAX, &plan);
	assert_int_equal(plan.n, plan_n != 0);
	if (plan_n)
		assert_plan(&plan, 0, plan_first, plan_n);
}

static void hit(struct pf__ra *ra, uint64_t first, uint64_t n, uint64_t plan_first, uint64_t plan_n)
{
	struct pf__ra_plan plan;

	assert_int_equal(pf__ra_hit(ra, first, n, MAX, &plan), plan_n != 0);
	assert_int_equal(plan.n, plan_n != 0);
	if (plan_n)
		assert_plan(&plan, 0, plan_first, plan_n);
}

/* ---- sequences */

static void from_the_beginning(void **state)
{
	struct pf__ra ra;

	pf__ra_init(&ra);
	miss(&ra, 0, 1, 0, 4); /* 0..3; the mark stands on 1 */
	hit(&ra, 0, 1, 0, 0);
	hit(&ra, 1, 1, 4, 8); /* 4..11; the mark on 4 */
	hit(&ra, 1, 1, 0, 0); /* only once */
	hit(&ra, 2, 2, 0, 0);
	hit(&ra, 3, 2, 12, 16);
	hit(&ra, 12, 1, 28, 32); /* no more than MAX from here on */
	hit(&ra, 28, 1, 60, 32);
	hit(&ra, 60, 4, 92, 32);
	hit(&ra, 61, 4, 0, 0);
}

static void more_than_a_window_at_once(void **state)
{
	struct pf__ra ra;

	pf__ra_init(&ra);
	miss(&ra, 0, 100, 100, MAX); /* the reader asks for the 100 himself */
	hit(&ra, 100, 1, 132, MAX);
	hit(&ra, 100, 32, 0, 0);
	hit(&ra, 132, 100, 164, MAX);
}

static void from_the_middle(void **state)
{
	struct pf__ra ra;

	pf__ra_init(&ra);
	miss(&ra, 1000, 2, 0, 0);
	miss(&ra, 1002, 2, 1002, 8);
	hit(&ra, 1004, 2, 1010, 16);
	/* Small steps over it go on too. */
	pf__ra_init(&ra);
	miss(&ra, 1000, 2, 0, 0);
	miss(&ra, 1006, 2, 1006, 8);
	pf__ra_init(&ra);
	miss(&ra, 1000, 2, 0, 0);
	miss(&ra, 1007, 2, 0, 0); /* too far */
}

static void a_miss_in_a_sequence_goes_on(void **state)
{
	struct pf__ra ra;
	struct pf__ra_plan plan;

	pf__ra_init(&ra);
	miss(&ra, 0, 1, 0, 4);
	miss(&ra, 4, 1, 4, 8); /* what was read ahead ended there */
	hit(&ra, 5, 1, 12, 16);
	pf__ra_miss(&ra, 28, 100, MAX, &plan); /* more than the window */
	assert_plan(&plan, 0, 28, 32);
	hit(&ra, 128, 1, 128, 32);
}

static void over_at_once(void **state)
{
	struct pf__ra ra;

	pf__ra_init(&ra);
	miss(&ra, 0, 1, 0, 4);
	miss(&ra, 5000, 1, 0, 0);
	hit(&ra, 1, 1, 0, 0); /* the mark has gone */
	miss(&ra, 5001, 1, 5001, 4);
}

static void the_same_again(void **state)
{
	struct pf__ra ra;

	pf__ra_init(&ra);
	for (unsigned i = 0; i < 10; i++)
		miss(&ra, 700, 1, 0, 0);
	miss(&ra, 701, 1, 701, 4);
}

/* ---- backward, and in strides */

static void backward_without_gaps(void **state)
{
	struct pf__ra ra;

	pf__ra_init(&ra);
	miss(&ra, 1000, 2, 0, 0);
	miss(&ra, 998, 2, 0, 0);
	miss(&ra, 996, 2, 988, 8);
	miss(&ra, 986, 2, 970, 16);
	miss(&ra, 968, 2, 936, 32);
	miss(&ra, 934, 2, 902, 32);
	miss(&ra, 500, 2, 0, 0); /* elsewhere */
}

static void backward_to_the_beginning(void **state)
{
	struct pf__ra ra;

	pf__ra_init(&ra);
	miss(&ra, 12, 1, 0, 0);
	miss(&ra, 11, 1, 0, 0);
	miss(&ra, 10, 1, 6, 4);
	miss(&ra, 5, 1, 0, 5);
}

static void strides_forward(void **state)
{
	struct pf__ra_plan plan;
	struct pf__ra ra;

	pf__ra_init(&ra);
	miss(&ra, 1000, 2, 0, 0);
	miss(&ra, 1050, 2, 0, 0);
	miss(&ra, 1100, 2, 0, 0);
	pf__ra_miss(&ra, 1150, 2, MAX, &plan);
	assert_int_equal(plan.n, PF_RA_RANGES);
	for (unsigned i = 0; i < PF_RA_RANGES; i++)
		assert_plan(&plan, i, 1200 + 50 * i, 2);
	assert_true(pf__ra_hit(&ra, 1200, 2, MAX, &plan));
	assert_int_equal(plan.n, PF_RA_RANGES);
	for (unsigned i = 0; i < PF_RA_RANGES; i++)
		assert_plan(&plan, i, 1400 + 50 * i, 2);
	assert_false(pf__ra_hit(&ra, 1250, 2, MAX, &plan));
	assert_false(pf__ra_hit(&ra, 1300, 2, MAX, &plan));
	assert_true(pf__ra_hit(&ra, 1350, 2, MAX, &plan));
	assert_plan(&plan, 3, 1750, 2);
	/* A piece of it is not larger than it may be. */
	pf__ra_init(&ra);
	for (unsigned i = 1; i <= 4; i++)
		pf__ra_miss(&ra, i * 1000, 500, MAX, &plan);
	assert_plan(&plan, 0, 5000, 32);
}

static void strides_backward(void **state)
{
	struct pf__ra_plan plan;
	struct pf__ra ra;

	pf__ra_init(&ra);
	for (unsigned i = 0; i < 4; i++)
		pf__ra_miss(&ra, 400 - i * 50, 2, MAX, &plan);
	assert_int_equal(plan.n, PF_RA_RANGES);
	for (unsigned i = 0; i < PF_RA_RANGES; i++)
		assert_plan(&plan, i, 200 - 50 * i, 2);
	/* To the beginning, and no further. */
	assert_true(pf__ra_hit(&ra, 200, 2, MAX, &plan));
	assert_int_equal(plan.n, 1);
	assert_plan(&plan, 0, 0, 2);
	assert_false(pf__ra_hit(&ra, 0, 2, MAX, &plan));
	assert_int_equal(plan.n, 0);
	pf__ra_init(&ra);
	for (unsigned i = 0; i < 4; i++)
		pf__ra_miss(&ra, 170 - i * 50, 2, MAX, &plan);
	assert_int_equal(plan.n, 0); /* at 20 there is no room below */
}

static void strides_broken(void **state)
{
	struct pf__ra_plan plan;
	struct pf__ra ra;

	pf__ra_init(&ra);
	for (unsigned i = 1; i <= 4; i++)
		pf__ra_miss(&ra, i * 1000, 2, MAX, &plan);
	assert_int_equal(plan.n, PF_RA_RANGES);
	miss(&ra, 90000, 2, 0, 0);
	assert_false(pf__ra_hit(&ra, 5000, 2, MAX, &plan));
	miss(&ra, 91000, 2, 0, 0);
	miss(&ra, 92000, 2, 0, 0);
	pf__ra_miss(&ra, 93000, 2, MAX, &plan);
	assert_int_equal(plan.n, PF_RA_RANGES);
}

static void random_reads(void **state)
{
	uint64_t dicer = random_seed();
	unsigned planned = 0;
	struct pf__ra ra;

	pf__ra_init(&ra);
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t first = 100 + dice(&dicer, 1ull << 30);
		struct pf__ra_plan plan;

		pf__ra_miss(&ra, first, 1 + dice(&dicer, 4), MAX, &plan);
		planned += plan.n;
		assert_false(pf__ra_hit(&ra, dice(&dicer, 1ull << 30), 1, MAX, &plan));
	}
	assert_true(planned <= 2); /* by chance */
}

/* ---- how much */

static void advice(void **state)
{
	struct pf__ra_plan plan;
	struct pf__ra ra;

	pf__ra_init(&ra);
	ra.advice = PF_RA_RANDOM;
	miss(&ra, 0, 1, 0, 0);
	miss(&ra, 1, 1, 0, 0);
	pf__ra_init(&ra);
	miss(&ra, 0, 1, 0, 4);
	ra.advice = PF_RA_RANDOM; /* later */
	hit(&ra, 1, 1, 0, 0);
	ra.advice = PF_RA_NORMAL;
	hit(&ra, 1, 1, 0, 0); /* it went over the mark */
	pf__ra_init(&ra);
	ra.advice = PF_RA_SEQUENTIAL;
	miss(&ra, 0, 16, 0, 2 * MAX);
	hit(&ra, 16, 16, 64, 2 * MAX);
	pf__ra_init(&ra);
	pf__ra_miss(&ra, 0, 4, 0, &plan); /* off */
	assert_int_equal(plan.n, 0);
	pf__ra_miss(&ra, 0, 1, 1, &plan); /* a page */
	assert_int_equal(plan.n, 1);
	assert_plan(&plan, 0, 1, 1);
	assert_true(pf__ra_hit(&ra, 1, 1, 1, &plan));
	assert_plan(&plan, 0, 2, 1);
}

static void windows_double(void **state)
{
	struct pf__ra_plan plan;
	struct pf__ra ra;
	uint64_t size = 4;

	pf__ra_init(&ra);
	pf__ra_miss(&ra, 0, 1, 1024, &plan);
	for (unsigned i = 0; i < 12; i++) {
		uint64_t mark = ra.mark, next = ra.next;

		assert_true(pf__ra_hit(&ra, mark, 1, 1024, &plan));
		assert_int_equal(plan.n, 1);
		assert_int_equal(plan.range[0].first, next);
		assert_true(plan.range[0].n >= 2 * size || plan.range[0].n == 1024);
		assert_true(plan.range[0].n <= 4 * size || plan.range[0].n == 1024);
		size = plan.range[0].n;
	}
	assert_int_equal(size, 1024);
}

/* ---- a reader with a cache: how often has he to wait? */

#define PAGES 20000
static bool there[PAGES];

static void take_plan(const struct pf__ra_plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++)
		for (uint64_t k = 0; k < plan->range[i].n; k++)
			if (plan->range[i].first + k < PAGES)
				there[plan->range[i].first + k] = true;
}

/* As io/ does it: told of the first page that is missing, and of the read at its end. 1: he misses.
 */
static unsigned read_pages(struct pf__ra *ra, uint64_t first, uint64_t n)
{
	uint64_t end = first + n, at = first;
	struct pf__ra_plan plan;

	while (at < end && there[at])
		at++;
	if (at < end) {
		pf__ra_miss(ra, at, end - at, MAX, &plan);
		take_plan(&plan);
		for (uint64_t i = at; i < end; i++)
			there[i] = true;
	}
	if (pf__ra_hit(ra, first, n, MAX, &plan))
		take_plan(&plan);
	return at < end;
}

static unsigned count_missed(int64_t from, int64_t step, unsigned n, unsigned reads)
{
	unsigned missed = 0;
	struct pf__ra ra;

	memset(there, 0, sizeof there);
	pf__ra_init(&ra);
	for (unsigned i = 0; i < reads; i++)
		missed += read_pages(&ra, (uint64_t)(from + (int64_t)i * step), n);
	return missed;
}

static void how_often_a_reader_waits(void **state)
{
	for (unsigned n = 1; n <= MAX / 2; n++) {
		assert_int_equal(count_missed(0, n, n, 100), 1);
		assert_int_equal(count_missed(5000, n, n, 100), 2);
	}
	/* What is left out is read with it; where it is the mark he waits once a window. */
	assert_true(count_missed(0, 3, 1, 1000) <= 3 + 3000 / MAX);
	assert_true(count_missed(1000, 100, 2, 100) <= 4);
	assert_true(count_missed(15000, -100, 2, 100) <= 4);
	/* Windows below: one wait for each. */
	assert_true(count_missed(15000, -1, 1, 1000) <= 3 + 3 + 1000 / MAX);
	assert_true(count_missed(15000, -4, 4, 1000) <= 3 + 3 + 4000 / MAX);
	for (unsigned i = 0; i < PAGES; i++)
		assert_true(i < 5000 || i > 15004 || !there[i] || i >= 15000 - 4000 - 3 * MAX);
}

/* Whatever is asked for: no plan is longer than it may be, nothing wraps around at the ends. */
static void whatever_comes(void **state)
{
	uint64_t dicer = random_seed();
	struct pf__ra ra;

	pf__ra_init(&ra);
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t base = dice(&dicer, 3) == 0   ? END - dice(&dicer, 200)
				: dice(&dicer, 2) == 0 ? dice(&dicer, 200)
						       : ra.next;
		uint64_t n = 1 + dice(&dicer, dice(&dicer, 50) ? 9 : 3000);
		unsigned max = dice(&dicer, 20) ? MAX : (unsigned)dice(&dicer, 300);
		uint64_t sum = 0;
		struct pf__ra_plan plan;

		if (base > END)
			base = END;
		if (dice(&dicer, 100) == 0)
			pf__ra_init(&ra);
		ra.advice = dice(&dicer, 10) ? PF_RA_NORMAL : (enum pf__ra_advice)dice(&dicer, 3);
		if (dice(&dicer, 2))
			pf__ra_hit(&ra, base, n, max, &plan);
		else
			pf__ra_miss(&ra, base, n, max, &plan);
		assert_true(plan.n <= PF_RA_RANGES);
		for (unsigned k = 0; k < plan.n; k++) {
			assert_true(plan.range[k].n > 0);
			/* Strides and windows may reach behind the file, not around. */
			assert_true(plan.range[k].first <= 8 * END);
			sum += plan.range[k].n;
		}
		assert_true(sum <= PF_RA_RANGES * 32 + 2 * 300 + n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(from_the_beginning),
	    cmocka_unit_test(more_than_a_window_at_once),
	    cmocka_unit_test(from_the_middle),
	    cmocka_unit_test(a_miss_in_a_sequence_goes_on),
	    cmocka_unit_test(over_at_once),
	    cmocka_unit_test(the_same_again),
	    cmocka_unit_test(backward_without_gaps),
	    cmocka_unit_test(backward_to_the_beginning),
	    cmocka_unit_test(strides_forward),
	    cmocka_unit_test(strides_backward),
	    cmocka_unit_test(strides_broken),
	    cmocka_unit_test(random_reads),
	    cmocka_unit_test(advice),
	    cmocka_unit_test(windows_double),
	    cmocka_unit_test(how_often_a_reader_waits),
	    cmocka_unit_test(whatever_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
