/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the pages share: an arena with one file in it, and bytes that tell their place.
 */
#ifndef TESTS_PAGES_PAGETEST_H
#define TESTS_PAGES_PAGETEST_H

#include "base/alloc.h"
#include "base/rcu.h"
#include "pages/internal.h"
#include "unit.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ull << 20)

struct file {
	struct pf__arena *arena;
	struct pf__pages p;
	struct pf__spare spare;
	bool spares_missing; /* nothing is taken for it */
};

static inline void file_in(struct file *f, struct pf__arena *arena)
{
	memset(f, 0, sizeof *f);
	f->arena = arena;
	pf__pages_init(&f->p, arena);
}

static inline void file_open(struct file *f, uint64_t limit)
{
	struct pf__arena *arena;

	assert_err(pf__arena_open(&arena, limit), 0);
	file_in(f, arena);
}

static inline void assert_sound(struct pf__pages *p)
{
	const char *wrong = pf__pages_check(p);

	if (wrong)
		fail_msg("%s", wrong);
}

static inline void file_out(struct file *f)
{
	assert_sound(&f->p);
	pf__spare_put(&f->spare);
	pf__pages_destroy(&f->p);
}

static inline void file_close(struct file *f)
{
	struct pf__arena_stats s;

	file_out(f);
	pf__arena_stats(f->arena, &s);
	assert_int_equal(s.pages, 0);
	assert_int_equal(s.dirty, 0);
	assert_int_equal(s.writeback, 0);
	assert_true(s.peak <= s.limit && s.bytes <= s.limit);
	assert_int_equal(atomic_load(&f->arena->promised), 0);
	pf__arena_close(f->arena);
	assert_err(pf__alloc_live(), 0);
}

/* Lend a page, or as much of it as is up to date. */
static inline const char *lend_page(struct pf__pages *p, uint64_t page, struct pf__block **b)
{
	struct pf__stamp stamp;
	size_t n;

	return pf__pages_lend(p, page * PF_PAGE, PF_PAGE, &n, &stamp, b);
}

/* Fresh blocks and a promise for as many pages, whatever was there before. */
static inline void respare(struct file *f, unsigned blocks, unsigned pages)
{
	pf__spare_put(&f->spare);
	if (!f->spares_missing)
		assert_err(pf__spare_take(&f->spare, f->arena, blocks, pages), 0);
}

/* The byte of a file at offset. */
static inline char pattern(uint64_t offset, unsigned seed)
{
	uint64_t x = (offset + 1) * 0x9e3779b97f4a7c15ull ^ seed * 0xff51afd7ed558ccdull;

	x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull;
	return (char)(1 + (x >> 40) % 255); /* never 0 */
}

static inline void pattern_fill(char *to, uint64_t offset, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		to[i] = pattern(offset + i, seed);
}

static inline void assert_pattern(const char *at, uint64_t offset, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] != pattern(offset + i, seed))
			fail_msg("byte %llu is wrong", (unsigned long long)(offset + i));
}

static inline void assert_zeros(const char *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at[i])
			fail_msg("byte %zu of %zu is not zero", i, n);
}

/* The answer to what a fill asked for. */
static inline void fill_answer(struct pf__fill *fill, unsigned seed)
{
	uint64_t at = fill->offset;
	size_t sum = 0;

	for (int i = 0; i < fill->niov; i++) {
		pattern_fill(fill->iov[i].iov_base, at, fill->iov[i].iov_len, seed);
		at += fill->iov[i].iov_len;
		sum += fill->iov[i].iov_len;
	}
	assert_int_equal(sum, fill->length);
}

static inline int fill_begin(struct file *f, uint64_t first, unsigned max, uint64_t eof,
			     struct pf__fill *fill)
{
	respare(f, PF_SPARES, max < 256 ? max : 256);
	return pf__fill_begin(&f->p, first, max, eof, false, &f->spare, fill);
}

/* Read n pages from first on: they were absent. */
static inline void file_read(struct file *f, uint64_t first, unsigned n, uint64_t eof,
			     unsigned seed)
{
	struct pf__fill fill;

	while (n) {
		int r = fill_begin(f, first, n, eof, &fill);

		assert_true(r > 0);
		fill_answer(&fill, seed);
		pf__fill_end(&fill, fill.length, 0, false);
		first += (unsigned)r;
		n -= (unsigned)r;
	}
}

static inline enum pf__put file_put(struct file *f, uint64_t offset, size_t len, uint64_t eof,
				    unsigned seed, size_t *done)
{
	char *buf = malloc(len);
	struct iovec iov = {buf, len};
	struct pf__slice s = {&iov, 1, 0};
	enum pf__put r;

	assert_non_null(buf);
	pattern_fill(buf, offset, len, seed);
	r = pf__pages_put_dirty(&f->p, offset, len, eof, &s, &f->spare, done);
	free(buf);
	return r;
}

/* Dirty bytes that must find their place. */
static inline void file_write(struct file *f, uint64_t offset, size_t len, uint64_t eof,
			      unsigned seed)
{
	size_t done;

	respare(f, PF_SPARES, 128);
	assert_int_equal(file_put(f, offset, len, eof, seed, &done), PF_PUT_DONE);
	assert_int_equal(done, len);
}

static inline void file_clean(struct file *f, uint64_t offset, size_t len, uint64_t eof,
			      unsigned seed)
{
	char *buf = malloc(len);
	struct iovec iov = {buf, len};
	struct pf__slice s = {&iov, 1, 0};

	assert_non_null(buf);
	pattern_fill(buf, offset, len, seed);
	pf__pages_put_clean(&f->p, offset, len, eof, &s, &f->spare);
	free(buf);
}

/* The memory of a page, whatever is in it; NULL: no block. */
static inline char *page_memory(struct file *f, uint64_t page)
{
	struct pf__block *b = pf__index_find(&f->p.index, pf__block_of(page));

	return b ? b->data + pf__page_in_block(page) * (size_t)PF_PAGE : NULL;
}

/* Up to date bytes at offset; NULL: none. */
static inline const char *file_peek(struct file *f, uint64_t offset, size_t max, size_t *n)
{
	struct pf__stamp stamp;
	const char *at;

	pf__rcu_read_lock();
	at = pf__pages_peek(&f->p, offset, max, n, &stamp);
	pf__rcu_read_unlock();
	return at;
}

/* n bytes at offset, within a block, are up to date with the pattern of seed. */
static inline void assert_file(struct file *f, uint64_t offset, size_t n, unsigned seed)
{
	size_t got = 0;
	const char *at = file_peek(f, offset, n, &got);

	assert_non_null(at);
	assert_int_equal(got, n);
	assert_pattern(at, offset, n, seed);
}

static inline bool dirty_range(struct file *f, uint64_t page, unsigned *lo, unsigned *hi)
{
	struct pf__block *b = pf__index_find(&f->p.index, pf__block_of(page));

	if (!b || !(b->dirty >> pf__page_in_block(page) & 1))
		return false;
	pf__block_range(b, pf__page_in_block(page), lo, hi);
	return true;
}

static inline void assert_dirty(struct file *f, uint64_t page, unsigned from, unsigned to)
{
	unsigned lo = 0, hi = 0;

	assert_true(dirty_range(f, page, &lo, &hi));
	assert_int_equal(lo, from);
	assert_int_equal(hi, to);
}

static inline void assert_clean(struct file *f, uint64_t page)
{
	unsigned lo, hi;

	assert_false(dirty_range(f, page, &lo, &hi));
}

/* A seed for what happens at random: the same each time unless PF_SEED tells another. */
static inline unsigned random_seed(void)
{
	const char *s = getenv("PF_SEED");

	return s ? (unsigned)strtoul(s, NULL, 0) : 1;
}

static inline uint64_t dice(uint64_t *state, uint64_t n)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (*state >> 33) % n;
}

#endif
