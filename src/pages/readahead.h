/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What to read before it is asked for: one state per open file, told of each read that missed and
 * of each that came to the mark, answers with ranges of pages. Knows nothing of what is cached and
 * sends nothing. No locking: one caller at a time.
 *
 * Sequential reads open a window that grows up to the limit; the mark stands at its beginning, so
 * that the next window is asked for while this one is read. Reads that come in equal strides,
 * forward or backward, get the next pieces of that stride. All others are random: nothing ahead.
 */
#ifndef PF_PAGES_READAHEAD_H
#define PF_PAGES_READAHEAD_H

#include <stdbool.h>
#include <stdint.h>

#define PF_RA_RANGES 4

enum pf__ra_advice { PF_RA_NORMAL, PF_RA_SEQUENTIAL, PF_RA_RANDOM };

struct pf__ra {
	enum pf__ra_advice advice;
	uint64_t next;     /* page behind what was read or asked for last */
	uint64_t mark;     /* a read of this page calls for more; UINT64_MAX: none */
	unsigned size;     /* pages of the last window; 0: not sequential */
	uint64_t last;     /* first page of the last miss */
	int64_t stride;    /* pages between the last two misses */
	unsigned strides;  /* how often in a row */
	uint64_t ahead_to; /* the piece asked for last, when reading in strides */
	unsigned piece;    /* its pages */
};

struct pf__ra_plan {
	struct {
		uint64_t first;
		uint64_t n; /* pages */
	} range[PF_RA_RANGES];
	unsigned n;
};

void pf__ra_init(struct pf__ra *ra);
/* A read of n pages from first on found some missing. max: pages of a window, 0 turns it off.
 * plan: what to read beside them; may overlap them, and reach behind the file. */
void pf__ra_miss(struct pf__ra *ra, uint64_t first, uint64_t n, unsigned max,
		 struct pf__ra_plan *plan);
/* A read of n pages from first on, all there. True when it came to the mark. */
bool pf__ra_hit(struct pf__ra *ra, uint64_t first, uint64_t n, unsigned max,
		struct pf__ra_plan *plan);

#endif
