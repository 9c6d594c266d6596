/* SPDX-License-Identifier: BSD-2-Clause */
/* What the server has of a file that programs write to, so that what differs is found. All under
 * o->lock. */
#ifndef PF_RUN_BASE_H
#define PF_RUN_BASE_H

#include "run/internal.h"

#define BASE_BLOCK 4096u

struct pf__sum {
	uint64_t low, high;
};

static inline bool base_same(struct pf__sum a, struct pf__sum b)
{
	return a.low == b.low && a.high == b.high;
}

/* Of a block, or what the file has of its last one. */
struct pf__sum base_sum(const struct object *o, const char *data, size_t size);
/* The sums of n blocks from at on, as the server has them. */
void base_note(struct object *o, size_t at, const struct pf__sum *sums, size_t n);
/* Nobody knows what the server has of these bytes: they differ from whatever is compared. */
void base_forget(struct object *o, size_t at, size_t size);
void base_read(const struct object *o, size_t at, struct pf__sum *sums, size_t n);
/* The server has so many bytes; what is new is zeros. */
void base_resize(struct object *o, size_t size);
/* The server has zeros there. */
void base_punch(struct object *o, size_t at, size_t size);
/* The first byte from at on of which there are sums, at most end. */
off_t base_next_data(const struct object *o, off_t at, off_t end);

#endif
