/* SPDX-License-Identifier: BSD-2-Clause */
/* Medians and spreads, for "portfire bench" and for the project's own benchmark in bench/. */
#ifndef TOOLS_STATS_H
#define TOOLS_STATS_H

#define MAX_SAMPLES 1024

struct summary {
	unsigned n; /* 0: nothing measured */
	double median, low, high, min, max;
};

struct summary summarize(const double *values, unsigned n); /* n: MAX_SAMPLES at most */
/* Three digits that matter, as people read them: 0.14, 12.6, 108. */
const char *stats_number(double value, char text[16]);

#endif
