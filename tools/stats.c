/* SPDX-License-Identifier: BSD-2-Clause */
#include "stats.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Between the two nearest of n sorted values. */
static double quantile(const double *sorted, unsigned n, double q)
{
	double place = q * (n - 1);
	unsigned below = place;
	unsigned above = below + 1 < n ? below + 1 : below;

	return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

struct summary summarize(const double *values, unsigned n)
{
	double sorted[MAX_SAMPLES];

	if (!n)
		return (struct summary){.n = 0};
	memcpy(sorted, values, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare);
	return (struct summary){
	    .n = n,
	    .median = quantile(sorted, n, 0.5),
	    .low = quantile(sorted, n, 0.25),
	    .high = quantile(sorted, n, 0.75),
	    .min = sorted[0],
	    .max = sorted[n - 1],
	};
}

const char *stats_number(double value, char text[16])
{
	snprintf(text, 16, "%.*f", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value);
	return text;
}
