/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/alloc.h"
#include "base/arith.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Live blocks are counted in stripes, so that threads do not fight for one cache line. A block
 * freed by another thread than its allocator makes a stripe negative; only the sum means something.
 */
#define STRIPES 16
static struct {
	_Atomic int64_t live;
	char pad[56];
} stripes[STRIPES];

static _Atomic bool watched; /* a test counts allocations or makes them fail */
static _Atomic uint64_t asked;
static _Atomic uint64_t fail_at;
static _Atomic bool fail_later;

static void count_live(int64_t n)
{
	static _Atomic unsigned next;
	static __thread unsigned mine; /* index + 1 */

	if (!mine)
		mine = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % STRIPES + 1;
	atomic_fetch_add_explicit(&stripes[mine - 1].live, n, memory_order_relaxed);
}

static bool must_fail(void)
{
	uint64_t n, at;

	if (__builtin_expect(!atomic_load_explicit(&watched, memory_order_relaxed), 1))
		return false;
	n = atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed) + 1;
	at = atomic_load_explicit(&fail_at, memory_order_relaxed);
	return at && (n == at || (n > at && atomic_load(&fail_later)));
}

static void *counted(void *p)
{
	if (p)
		count_live(1);
	return p;
}

static void *fail(void)
{
	errno = ENOMEM;
	return NULL;
}

void *pf__malloc(size_t size)
{
	return must_fail() ? fail() : counted(malloc(size ? size : 1));
}

void *pf__calloc(size_t n, size_t size)
{
	size_t total;

	if (pf__mul_overflow(n, size, &total) || must_fail())
		return fail();
	return counted(calloc(1, total ? total : 1));
}

void *pf__realloc(void *p, size_t size)
{
	void *q;

	if (must_fail())
		return fail();
	q = realloc(p, size ? size : 1);
	return p ? q : counted(q);
}

void *pf__memdup(const void *p, size_t size)
{
	void *q = pf__malloc(size);

	if (q && size)
		memcpy(q, p, size);
	return q;
}

char *pf__strdup(const char *s)
{
	return pf__memdup(s, strlen(s) + 1);
}

void pf__free(void *p)
{
	if (!p)
		return;
	count_live(-1);
	free(p);
}

void pf__alloc_fail_at(uint64_t nth, int and_all_later)
{
	atomic_store(&watched, false);
	atomic_store(&asked, 0);
	atomic_store(&fail_at, nth);
	atomic_store(&fail_later, and_all_later);
	atomic_store(&watched, true);
}

uint64_t pf__alloc_count(void)
{
	return atomic_load(&asked);
}

int64_t pf__alloc_live(void)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < STRIPES; i++)
		sum += atomic_load(&stripes[i].live);
	return sum;
}
