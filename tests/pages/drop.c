/* SPDX-License-Identifier: BSD-2-Clause */
/* What goes when the file changes elsewhere, is overtaken, or ends. */
#include "pagetest.h"

#define FAR (1ull << 40)

static bool is_there(struct file *f, uint64_t page)
{
	return pf__pages_state(&f->p, page) == PF_PAGE_UPTODATE;
}

static uint64_t dropped(struct file *f)
{
	struct pf__arena_stats s;

	pf__arena_stats(f->arena, &s);
	return s.dropped;
}

static void pages_that_are_touched(void **state)
{
	static const struct {
		uint64_t offset, len, first, n; /* pages that go */
	} cases[] = {
	    {0, 0, 0, 0},
	    {0, 1, 0, 1},
	    {PF_PAGE - 1, 1, 0, 1},
	    {PF_PAGE - 1, 2, 0, 2},
	    {PF_PAGE, PF_PAGE, 1, 1},
	    {63 * PF_PAGE + 5, PF_PAGE, 63, 2},
	    {PF_BLOCK, PF_BLOCK, 64, 64},
	    {PF_BLOCK - 1, PF_BLOCK + 2, 63, 66},
	    {100 * PF_PAGE, UINT64_MAX, 100, 92},
	    {0, UINT64_MAX, 0, 192},
	    {192 * PF_PAGE, UINT64_MAX, 192, 0},
	    {1ull << 62, 1ull << 62, 192, 0},
	    {UINT64_MAX - 1, UINT64_MAX, 192, 0},
	};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct file f;

		file_open(&f, 2 * MIB);
		file_read(&f, 0, 192, FAR, 1);
		pf__pages_drop(&f.p, cases[i].offset, cases[i].len);
		assert_sound(&f.p);
		assert_int_equal(dropped(&f), cases[i].n);
		for (uint64_t page = 0; page < 192; page++)
			assert_int_equal(is_there(&f, page),
					 page < cases[i].first ||
					     page >= cases[i].first + cases[i].n);
		file_close(&f);
	}
}

static void dirty_bytes_survive_a_drop(void **state)
{
	struct pf__wb wb;
	struct file f;

	file_open(&f, MIB);
	file_read(&f, 0, 3, FAR, 1);
	file_write(&f, PF_PAGE + 10, 5, FAR, 2);
	file_write(&f, 2 * PF_PAGE, PF_PAGE, FAR, 2);
	assert_true(pf__wb_begin(&f.p, 2 * PF_PAGE, UINT64_MAX, MIB, &wb));
	pf__pages_drop(&f.p, 0, UINT64_MAX);
	assert_sound(&f.p);
	for (unsigned i = 0; i < 3; i++)
		assert_false(is_there(&f, i));
	assert_dirty(&f, 1, 10, 15);
	assert_pattern(page_memory(&f, 1) + 10, PF_PAGE + 10, 5, 2);
	assert_pattern(wb.iov[0].iov_base, wb.offset, wb.length, 2);
	pf__wb_end(&wb, PF_WB_WRITTEN, wb.length);
	assert_clean(&f, 2);
	assert_int_equal(f.p.nblocks, 1);
	file_close(&f);
}

/* ---- overtaken */

static void overtaken_at_the_edges(void **state)
{
	static const struct {
		unsigned lo, hi;        /* dirty */
		unsigned from, to;      /* overtaken */
		unsigned left, left_hi; /* dirty afterwards */
	} cases[] = {
	    {100, 200, 0, 100, 100, 200},
	    {100, 200, 0, 101, 101, 200},
	    {100, 200, 0, 200, 0, 0},
	    {100, 200, 100, 200, 0, 0},
	    {100, 200, 150, 200, 100, 150},
	    {100, 200, 150, 4096, 100, 150},
	    {100, 200, 199, 300, 100, 199},
	    {100, 200, 200, 300, 100, 200},
	    {100, 200, 120, 180, 100, 200}, /* from the middle: it stays */
	    {100, 200, 100, 150, 150, 200},
	    {100, 200, 50, 300, 0, 0},
	    {0, 4096, 0, 4096, 0, 0},
	    {0, 4096, 0, 1, 1, 4096},
	    {0, 4096, 4095, 4096, 0, 4095},
	    {0, 4096, 1, 4096, 0, 1},
	    {0, 4096, 1, 4095, 0, 4096},
	    {100, 4096, 50, 5000, 0, 0},
	    {100, 4096, 200, 3 * 4096, 100, 200},
	};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct file f;

		file_open(&f, MIB);
		file_write(&f, 63 * PF_PAGE + cases[i].lo, cases[i].hi - cases[i].lo, FAR, 1);
		pf__pages_drop_overtaken(&f.p, 63 * PF_PAGE + cases[i].from,
					 cases[i].to - cases[i].from);
		assert_sound(&f.p);
		if (cases[i].left_hi)
			assert_dirty(&f, 63, cases[i].left, cases[i].left_hi);
		else
			assert_int_equal(f.p.nblocks, 0);
		file_close(&f);
	}
}

static void overtaken_over_blocks(void **state)
{
	struct file f;

	file_open(&f, 4 * MIB);
	for (unsigned i = 0; i < 2; i++)
		file_write(&f, i * 128 * PF_PAGE, 128 * PF_PAGE, FAR, 1);
	pf__pages_drop_overtaken(&f.p, 10 * PF_PAGE + 5, 200 * PF_PAGE);
	assert_sound(&f.p);
	assert_dirty(&f, 9, 0, PF_PAGE);
	assert_dirty(&f, 10, 0, 5);
	for (unsigned i = 11; i < 210; i++)
		assert_clean(&f, i);
	assert_dirty(&f, 210, 5, PF_PAGE);
	assert_dirty(&f, 211, 0, PF_PAGE);
	assert_true(is_there(&f, 9));
	assert_false(is_there(&f, 10));
	assert_false(is_there(&f, 210));
	assert_int_equal(f.p.nblocks, 2);
	pf__pages_drop_overtaken(&f.p, 0, UINT64_MAX);
	assert_int_equal(f.p.nblocks, 0);
	file_close(&f);
}

/* ---- the end of the file */

static void truncated(void **state)
{
	static const uint64_t sizes[] = {0,
					 1,
					 PF_PAGE - 1,
					 PF_PAGE,
					 PF_PAGE + 1,
					 63 * PF_PAGE,
					 PF_BLOCK - 1,
					 PF_BLOCK,
					 PF_BLOCK + 1,
					 100 * PF_PAGE + 77,
					 2 * PF_BLOCK,
					 1ull << 45};

	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		uint64_t size = sizes[i], pages = (size + PF_PAGE - 1) / PF_PAGE;
		struct file f;

		file_open(&f, MIB);
		file_read(&f, 0, 128, FAR, 1);
		pf__pages_truncate(&f.p, size);
		assert_sound(&f.p);
		for (uint64_t page = 0; page < 128; page++)
			assert_int_equal(is_there(&f, page), page < pages);
		assert_int_equal(f.p.nblocks, pages < 128 ? (pages + 63) / 64 : 2);
		if (size % PF_PAGE && pages <= 128) {
			assert_pattern(page_memory(&f, pages - 1), (pages - 1) * PF_PAGE,
				       size % PF_PAGE, 1);
			assert_zeros(page_memory(&f, pages - 1) + size % PF_PAGE,
				     PF_PAGE - size % PF_PAGE);
		}
		file_close(&f);
	}
}

static void dirty_bytes_are_cut(void **state)
{
	struct pf__wb wb;
	struct file f;

	file_open(&f, MIB);
	file_write(&f, 100, 3 * PF_PAGE, FAR, 1);
	pf__pages_truncate(&f.p, 3 * PF_PAGE + 100); /* all of it stays */
	assert_dirty(&f, 3, 0, 100);
	pf__pages_truncate(&f.p, 2 * PF_PAGE + 50);
	assert_clean(&f, 3);
	assert_dirty(&f, 2, 0, 50);
	assert_zeros(page_memory(&f, 2) + 50, PF_PAGE - 50);
	pf__pages_truncate(&f.p, 2 * PF_PAGE);
	assert_clean(&f, 2);
	assert_dirty(&f, 1, 0, PF_PAGE);
	pf__pages_truncate(&f.p, 100);
	assert_int_equal(f.p.ndirty, 0);
	assert_sound(&f.p);
	file_write(&f, 0, PF_PAGE, FAR, 1); /* what is being written is not known any more */
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	pf__pages_truncate(&f.p, 100);
	assert_pattern(wb.iov[0].iov_base, 0, PF_PAGE, 1);
	pf__wb_end(&wb, PF_WB_WRITTEN, PF_PAGE);
	assert_int_equal(f.p.nblocks, 0);
	file_close(&f);
}

/* ---- what others hold */

static void borrowed_blocks_are_left_to_them(void **state)
{
	struct pf__block *b;
	struct file f;
	const char *at;

	file_open(&f, MIB);
	assert_null(lend_page(&f.p, 0, &b));
	assert_null(b);
	file_read(&f, 0, 2, FAR, 1);
	at = lend_page(&f.p, 1, &b);
	pf__pages_drop(&f.p, 0, 1);
	assert_int_equal(f.p.nblocks, 0);
	assert_false(is_there(&f, 1));
	assert_int_equal(dropped(&f), 2);
	file_read(&f, 0, 2, FAR, 2); /* another block */
	assert_ptr_not_equal(page_memory(&f, 1), at);
	assert_pattern(at, PF_PAGE, PF_PAGE, 1);
	assert_file(&f, PF_PAGE, PF_PAGE, 2);
	pf__pages_drop(&f.p, 0, UINT64_MAX);
	assert_pattern(at, PF_PAGE, PF_PAGE, 1);
	pf__pages_unpin(&f.p, b);
	pf__arena_trim(f.arena, true);
	assert_int_equal(atomic_load(&f.arena->resident), 0);
	file_close(&f);
}

static void borrowed_twice(void **state)
{
	struct pf__block *b, *c;
	struct file f;
	const char *at;

	file_open(&f, MIB);
	file_read(&f, 0, 1, FAR, 1);
	at = lend_page(&f.p, 0, &b);
	assert_ptr_equal(lend_page(&f.p, 0, &c), at);
	pf__pages_unpin(&f.p, c);
	assert_true(is_there(&f, 0));
	assert_non_null(lend_page(&f.p, 0, &c));
	pf__pages_drop(&f.p, 0, 1);
	pf__pages_unpin(&f.p, b);
	pf__arena_trim(f.arena, true);
	assert_pattern(at, 0, PF_PAGE, 1);
	pf__pages_unpin(&f.p, c);
	file_close(&f);
}

static void mapped_blocks_stay(void **state)
{
	struct pf__block *b;
	struct file f;
	char *at;

	file_open(&f, MIB);
	respare(&f, 1, 3);
	assert_err(pf__pages_pin_range(&f.p, 0, PF_PAGE, 1, false, &f.spare, &b), -EAGAIN);
	assert_int_equal(f.p.nblocks, 0);
	file_read(&f, 0, 1, FAR, 1);
	assert_err(pf__pages_pin_range(&f.p, 0, 2 * PF_PAGE, PF_PAGE, false, &f.spare, &b), 0);
	at = page_memory(&f, 0);
	assert_zeros(at + PF_PAGE, PF_PAGE); /* behind the end */
	pf__pages_drop(&f.p, 0, UINT64_MAX);
	assert_false(is_there(&f, 0));
	assert_ptr_equal(page_memory(&f, 0), at);
	respare(&f, 1, 1);
	file_clean(&f, 10, 10, FAR, 3); /* not up to date, but it shows */
	assert_pattern(at + 10, 10, 10, 3);
	file_read(&f, 0, 1, FAR, 2);
	assert_ptr_equal(page_memory(&f, 0), at);
	assert_pattern(at, 0, PF_PAGE, 2);
	pf__pages_unpin_range(&f.p, b, false);
	assert_true(is_there(&f, 0));
	file_close(&f);
}

/* What was written is seen by a mapping also while its page is being asked for again. */
static void mapped_while_read(void **state)
{
	struct pf__fill fill;
	struct pf__block *b;
	struct file f;
	char *at;

	file_open(&f, MIB);
	file_read(&f, 0, 1, FAR, 1);
	respare(&f, 1, 1);
	assert_err(pf__pages_pin_range(&f.p, 0, PF_PAGE, PF_PAGE, false, &f.spare, &b), 0);
	at = page_memory(&f, 0);
	pf__pages_drop(&f.p, 0, UINT64_MAX);
	assert_int_equal(pf__fill_begin(&f.p, 0, 1, FAR, false, &f.spare, &fill), 1);
	file_clean(&f, 10, 10, FAR, 3);
	assert_pattern(at, 0, 10, 1);
	assert_pattern(at + 10, 10, 10, 3);
	fill_answer(&fill, 2); /* of before the write, perhaps */
	pf__fill_end(&fill, fill.length, 0, false);
	assert_false(is_there(&f, 0));
	assert_pattern(at + 10, 10, 10, 3);
	pf__pages_unpin_range(&f.p, b, false);
	file_close(&f);
}

static void what_a_mapping_may_have_changed(void **state)
{
	struct pf__block *b;
	struct file f;
	char *at;

	file_open(&f, MIB);
	file_read(&f, 0, 2, PF_PAGE + 10, 1);
	assert_err(pf__pages_pin_range(&f.p, 0, 2 * PF_PAGE, PF_PAGE + 10, true, &f.spare, &b), 0);
	at = page_memory(&f, 0);
	pf__pages_drop(&f.p, 0, UINT64_MAX);
	assert_true(is_there(&f, 0));
	memset(at + PF_PAGE + 10, 'x', 20);
	pf__pages_extend(&f.p, PF_PAGE); /* nothing to do at the end of a page */
	assert_int_equal(at[PF_PAGE + 10], 'x');
	pf__pages_extend(&f.p, PF_PAGE + 10);
	assert_zeros(at + PF_PAGE + 10, PF_PAGE - 10);
	assert_pattern(at, 0, PF_PAGE + 10, 1);
	pf__pages_truncate(&f.p, 7);
	assert_pattern(at, 0, 7, 1);
	assert_zeros(at + 7, 2 * PF_PAGE - 7);
	assert_ptr_equal(page_memory(&f, 0), at);
	pf__pages_unpin_range(&f.p, b, true);
	file_close(&f);
}

static void pinned_for_want_of_a_block(void **state)
{
	struct pf__block *b;
	struct file f;

	file_open(&f, MIB);
	assert_err(pf__pages_pin_range(&f.p, 0, 1, 0, true, &f.spare, &b), -ENOBUFS);
	assert_null(b);
	respare(&f, 1, 1);
	pf__alloc_fail_at(1, 1);
	assert_err(pf__pages_pin_range(&f.p, PF_BLOCK, 1, 0, true, &f.spare, &b), -ENOMEM);
	pf__alloc_fail_at(0, 0);
	assert_int_equal(f.p.nblocks, 0);
	assert_err(pf__pages_pin_range(&f.p, 0, 1, 0, true, &f.spare, &b), 0);
	assert_zeros(page_memory(&f, 0), PF_PAGE);
	pf__pages_unpin_range(&f.p, b, true);
	assert_sound(&f.p);
	file_close(&f);
}

/* ---- what the server sends */

static void clean_bytes(void **state)
{
	struct pf__wb wb;
	struct file f;

	file_open(&f, MIB);
	file_clean(&f, 0, 3 * PF_PAGE, FAR, 1); /* without spares: nothing */
	assert_int_equal(f.p.nblocks, 0);
	respare(&f, 1, 8);
	file_clean(&f, 10, 2 * PF_PAGE, FAR, 1); /* only what is whole */
	assert_false(is_there(&f, 0));
	assert_file(&f, PF_PAGE, PF_PAGE, 1);
	assert_false(is_there(&f, 2));
	file_clean(&f, 3 * PF_PAGE, 10, 3 * PF_PAGE + 10, 1); /* up to the end */
	assert_file(&f, 3 * PF_PAGE, 10, 1);
	assert_zeros(page_memory(&f, 3) + 10, PF_PAGE - 10);
	file_clean(&f, PF_PAGE + 5, 10, FAR, 2); /* into what is there */
	assert_file(&f, PF_PAGE, 5, 1);
	assert_file(&f, PF_PAGE + 5, 10, 2);
	file_write(&f, 4 * PF_PAGE + 100, 100, FAR, 3); /* dirty ones are replaced */
	file_clean(&f, 4 * PF_PAGE + 150, 100, FAR, 4);
	assert_dirty(&f, 4, 100, 200);
	assert_pattern(page_memory(&f, 4) + 100, 4 * PF_PAGE + 100, 50, 3);
	assert_pattern(page_memory(&f, 4) + 150, 4 * PF_PAGE + 150, 50, 4);
	assert_false(is_there(&f, 4));
	file_write(&f, 5 * PF_PAGE, PF_PAGE, FAR, 5); /* being written: not touched, not known */
	assert_true(pf__wb_begin(&f.p, 5 * PF_PAGE, UINT64_MAX, MIB, &wb));
	file_clean(&f, 5 * PF_PAGE, PF_PAGE, FAR, 6);
	assert_pattern(wb.iov[0].iov_base, wb.offset, wb.length, 5);
	pf__wb_end(&wb, PF_WB_WRITTEN, PF_PAGE);
	assert_false(is_there(&f, 5));
	assert_sound(&f.p);
	file_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pages_that_are_touched),
	    cmocka_unit_test(dirty_bytes_survive_a_drop),
	    cmocka_unit_test(overtaken_at_the_edges),
	    cmocka_unit_test(overtaken_over_blocks),
	    cmocka_unit_test(truncated),
	    cmocka_unit_test(dirty_bytes_are_cut),
	    cmocka_unit_test(borrowed_blocks_are_left_to_them),
	    cmocka_unit_test(borrowed_twice),
	    cmocka_unit_test(mapped_blocks_stay),
	    cmocka_unit_test(mapped_while_read),
	    cmocka_unit_test(what_a_mapping_may_have_changed),
	    cmocka_unit_test(pinned_for_want_of_a_block),
	    cmocka_unit_test(clean_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
