/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every allocation of the library goes through here, so that a test can make the N-th one fail and
 * see what is still allocated. Thread-safe.
 */
#ifndef PF_BASE_ALLOC_H
#define PF_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

void *pf__malloc(size_t size);
void *pf__calloc(size_t n, size_t size); /* zeroed; NULL also on overflow of n * size */
void *pf__realloc(void *p, size_t size);
char *pf__strdup(const char *s);
void *pf__memdup(const void *p, size_t size);
void pf__free(void *p); /* NULL is fine */

/* For tests. Fail the nth allocation from now (1 is the next); 0 turns faults off. */
void pf__alloc_fail_at(uint64_t nth, int and_all_later);
/* How many allocations were asked for since the last pf__alloc_fail_at(). */
uint64_t pf__alloc_count(void);
/* Blocks allocated and not yet freed, in the whole process. */
int64_t pf__alloc_live(void);

#endif
