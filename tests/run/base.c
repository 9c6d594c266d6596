// SPDX-License-Identifier: BSD-2-Clause
/* The sums of what the server has (run/base.h), beside an array that is what it has: what they call
 * the same is the same, whatever was written, cut off, made longer, punched or left unknown. */
#include "run/base.h"
#include "tests/unit.h"
#include <stdlib.h>
#include <string.h>

#define BLOCKS 8
#define ROOM   (BLOCKS * BASE_BLOCK)

static struct pf__run run = {.seed = 7};

struct both {
	struct object o;
	char server[ROOM], file[ROOM]; /* zeros behind the end */
	size_t size;                   /* of file */
	unsigned dice;
};

static unsigned roll(struct both *b, unsigned n)
{
	b->dice = b->dice * 1103515245u + 12345u;
	return (b->dice >> 8) % n;
}

static size_t place(struct both *b, size_t end)
{
	size_t at = roll(b, 3) ? roll(b, (unsigned)end + 1) : roll(b, BLOCKS + 1) * BASE_BLOCK;

	return at < end ? at : end;
}

static size_t length_at(const struct both *b, size_t at)
{
	return b->size - at < BASE_BLOCK ? b->size - at : BASE_BLOCK;
}

static bool is_same(const struct both *b, size_t at)
{
	size_t n = length_at(b, at);
	struct pf__sum sum;

	if (at + n > b->o.base_size)
		return false;
	base_read(&b->o, at, &sum, 1);
	return base_same(sum, base_sum(&b->o, b->file + at, n));
}

static void cut(struct both *b, size_t size)
{
	base_resize(&b->o, size);
	memset(b->server + size, 0, ROOM - size);
}

static void punch(struct both *b, size_t at, size_t size)
{
	base_punch(&b->o, at, size);
	memset(b->server + at, 0, size);
}

/* What flush.c does of it. all: note it, too. Blocks that were not sent. */
static unsigned look(struct both *b, bool all)
{
	unsigned same = 0;

	if (all && b->size < b->o.base_size) /* first of all */
		cut(b, b->size);
	for (size_t at = 0; at < b->size; at += BASE_BLOCK) {
		size_t n = length_at(b, at);
		struct pf__sum sum = base_sum(&b->o, b->file + at, n);

		if (is_same(b, at)) {
			assert_memory_equal(b->server + at, b->file + at, n);
			same++;
		} else if (all) {
			memcpy(b->server + at, b->file + at, n);
			if (at + n > b->o.base_size)
				b->o.base_size = at + n;
			base_note(&b->o, at, &sum, 1);
		}
	}
	return same;
}

/* Bytes of few kinds, so that contents come back. */
static void change(struct both *b)
{
	size_t at = place(b, ROOM), n = roll(b, ROOM - (unsigned)at + 1);

	memset(b->file + at, (int)roll(b, 3), n);
	if (at + n > b->size)
		b->size = at + n;
}

static void shrink_or_grow(struct both *b)
{
	size_t size = place(b, ROOM);

	if (size < b->size)
		memset(b->file + size, 0, ROOM - size);
	b->size = size;
}

static void random_changes(void **state)
{
	struct both *b = calloc(1, sizeof *b);
	unsigned same = 0;

	b->o.run = &run;
	b->o.base = -1;
	b->dice = 1;
	for (unsigned i = 0; i < 200000; i++) {
		size_t at = place(b, ROOM);

		switch (roll(b, 8)) {
		case 0:
			shrink_or_grow(b);
			break;
		case 1:
			cut(b, at);
			break;
		case 2:
			punch(b, at, roll(b, ROOM - (unsigned)at + 1));
			break;
		case 3:
			base_forget(&b->o, at, roll(b, 5000));
			break;
		case 4:
		case 5:
			same += look(b, true);
			assert_true(b->o.base_size >= b->size);
			assert_memory_equal(b->server, b->file, b->size);
			break;
		default:
			change(b);
			same += look(b, false);
		}
	}
	assert_true(same > 100000);
	base_close(&b->o);
	free(b);
}

/* A file of holes needs no memory for its sums. */
static void sparse(void **state)
{
	struct object o = {.run = &run, .base = -1};
	const size_t far = 1ull << 40;
	struct pf__sum sum = base_sum(&o, "x", 1);

	base_resize(&o, far + 1);
	base_note(&o, far, &sum, 1);
	assert_true(base_next_data(&o, 0, (off_t)far + 1) > 1 << 30);
	assert_true(base_next_data(&o, 0, (off_t)far + 1) <= (off_t)far);
	base_punch(&o, 0, far);
	base_punch(&o, far + 10 * BASE_BLOCK, far);
	base_read(&o, far, &sum, 1);
	assert_true(base_same(sum, base_sum(&o, "x", 1)));
	/* What cannot be kept is not believed. */
	base_resize(&o, 10 * BASE_BLOCK);
	sum = base_sum(&o, "", 1);
	base_note(&o, 0, &sum, 1);
	o.base_lost = true;
	base_read(&o, 0, &sum, 1);
	assert_false(base_same(sum, base_sum(&o, "", 1)));
	assert_int_equal(base_next_data(&o, 5 * BASE_BLOCK, 10 * BASE_BLOCK), 5 * BASE_BLOCK);
	base_close(&o);
	assert_false(o.base_lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_changes),
	    cmocka_unit_test(sparse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
