/* SPDX-License-Identifier: BSD-2-Clause */
#include "pages/readahead.h"
#include "base/arith.h"
#include <string.h>

#define NO_MARK      UINT64_MAX
#define GAP          4 /* pages left out that do not end a sequence */
#define SURE         3 /* equal strides before it is believed */
#define SURE_BACK    2 /* the same where the reads touch each other */
#define MAX_PIECE    32
#define FIRST_WINDOW 4 /* times what was asked for */

void pf__ra_init(struct pf__ra *ra)
{
	*ra = (struct pf__ra){.mark = NO_MARK, .next = 0};
}

static unsigned limit(const struct pf__ra *ra, unsigned max)
{
	if (ra->advice == PF_RA_RANDOM)
		return 0;
	return ra->advice == PF_RA_SEQUENTIAL ? 2 * max : max;
}

static unsigned grown(unsigned size, unsigned max)
{
	unsigned n = size < max / 16 ? 4 * size : 2 * size;

	return n < max ? n : max;
}

static void plan_add(struct pf__ra_plan *plan, uint64_t first, uint64_t n)
{
	plan->range[plan->n].first = first;
	plan->range[plan->n++].n = n;
}

/* ---- sequences */

static void sequence_begin(struct pf__ra *ra, uint64_t first, uint64_t n, unsigned max,
			   struct pf__ra_plan *plan)
{
	uint64_t size = pf__min_u64(n * FIRST_WINDOW, max);

	ra->size = (unsigned)pf__max_u64(size, pf__min_u64(n, max));
	ra->next = first + pf__max_u64(ra->size, n);
	ra->mark = ra->next > first + n ? first + n : NO_MARK;
	if (ra->mark ==
	    NO_MARK) { /* it asks for more than a window itself: go on right behind it */
		ra->mark = ra->next;
		plan_add(plan, ra->next, max);
		ra->next += max;
		ra->size = max;
		return;
	}
	plan_add(plan, first, ra->next - first);
}

static void sequence_go_on(struct pf__ra *ra, uint64_t from, unsigned max, struct pf__ra_plan *plan)
{
	ra->size = grown(ra->size, max);
	ra->mark = from;
	plan_add(plan, from, ra->size);
	ra->next = from + ra->size;
}

/* ---- strides */

/* The pieces behind the one that was asked for last. */
static void stride_go_on(struct pf__ra *ra, struct pf__ra_plan *plan)
{
	uint64_t at = ra->ahead_to;

	ra->mark = at;
	for (unsigned i = 0; i < PF_RA_RANGES; i++) {
		if (ra->stride < 0 && at < (uint64_t)-ra->stride)
			break;
		at += (uint64_t)ra->stride;
		plan_add(plan, at, ra->piece);
	}
	if (at == ra->ahead_to)
		ra->mark = NO_MARK;
	ra->ahead_to = at;
}

/* Backward without gaps: one window below, as large as it goes. */
static void window_below(struct pf__ra *ra, uint64_t first, uint64_t n, unsigned max,
			 struct pf__ra_plan *plan)
{
	uint64_t below;

	ra->size = ra->size ? grown(ra->size, max) : (unsigned)pf__min_u64(n * FIRST_WINDOW, max);
	below = pf__min_u64(first, ra->size);
	if (below)
		plan_add(plan, first - below, below);
	/* The next miss comes below this window; it continues the sequence. */
	ra->last = first - below;
	ra->stride = -(int64_t)n;
	ra->mark = NO_MARK;
	ra->next = first + n;
}

static bool backward_goes_on(const struct pf__ra *ra, uint64_t first, uint64_t n)
{
	return ra->strides >= SURE_BACK && ra->stride < 0 && first < ra->last &&
	       first + n >= ra->last && first + n <= ra->last + n;
}

static void note_stride(struct pf__ra *ra, uint64_t first)
{
	int64_t stride = (int64_t)(first - ra->last);

	if (stride && stride == ra->stride) {
		ra->strides++;
	} else {
		ra->stride = stride;
		ra->strides = 1;
	}
	ra->last = first;
}

static bool strided(struct pf__ra *ra, uint64_t first, uint64_t n, unsigned max,
		    struct pf__ra_plan *plan)
{
	if (backward_goes_on(ra, first, n)) {
		window_below(ra, first, n, max, plan);
		return true;
	}
	note_stride(ra, first);
	if (ra->strides >= SURE_BACK && ra->stride < 0 && (uint64_t)-ra->stride <= n) {
		ra->size = 0;
		window_below(ra, first, n, max, plan);
		return true;
	}
	if (ra->strides < SURE)
		return false;
	ra->piece = (unsigned)pf__min_u64(n, MAX_PIECE);
	ra->ahead_to = first;
	stride_go_on(ra, plan);
	ra->mark = ra->ahead_to == first ? NO_MARK : first + (uint64_t)ra->stride;
	ra->next = first + n;
	return true;
}

/* ---- */

static bool sequential(const struct pf__ra *ra, uint64_t first)
{
	return first >= ra->next && first - ra->next <= GAP;
}

void pf__ra_miss(struct pf__ra *ra, uint64_t first, uint64_t n, unsigned max,
		 struct pf__ra_plan *plan)
{
	plan->n = 0;
	max = limit(ra, max);
	if (!max)
		return;
	if (first == 0 || sequential(ra, first)) {
		note_stride(ra, first);
		ra->strides = 0;
		if (ra->size && first) {
			sequence_go_on(ra, first, max, plan);
			if (ra->next < first + n)
				ra->next = first + n;
			ra->mark = ra->next > first + n ? first + n : ra->next;
		} else {
			sequence_begin(ra, first, n, max, plan);
		}
		return;
	}
	if (strided(ra, first, n, max, plan))
		return;
	ra->size = 0;
	ra->mark = NO_MARK;
	ra->next = first + n;
}

bool pf__ra_hit(struct pf__ra *ra, uint64_t first, uint64_t n, unsigned max,
		struct pf__ra_plan *plan)
{
	plan->n = 0;
	if (ra->mark < first || ra->mark - first >= n)
		return false;
	max = limit(ra, max);
	if (!max) {
		ra->mark = NO_MARK;
		return false;
	}
	if (ra->strides >= SURE)
		stride_go_on(ra, plan);
	else
		sequence_go_on(ra, ra->next, max, plan);
	return plan->n;
}
