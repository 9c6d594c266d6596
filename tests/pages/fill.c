/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading into pages: which, how far, and what counts of the answer. */
#include "pagetest.h"

#define FAR (1ull << 40) /* an end of the file that is not near */

static enum pf__page_state state_of(struct file *f, uint64_t page)
{
	return pf__pages_state(&f->p, page);
}

static void assert_states(struct file *f, uint64_t first, uint64_t n, enum pf__page_state s)
{
	for (uint64_t i = first; i < first + n; i++)
		if (state_of(f, i) != s)
			fail_msg("page %llu: state %d, not %d", (unsigned long long)i,
				 state_of(f, i), s);
}

static void a_run_over_blocks(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, 4 * MIB);
	assert_int_equal(fill_begin(&f, 60, 100, FAR, &fill), 100);
	assert_int_equal(fill.niov, 3);
	assert_int_equal(fill.offset, 60 * PF_PAGE);
	assert_int_equal(fill.length, 100 * PF_PAGE);
	assert_int_equal(fill.iov[0].iov_len, 4 * PF_PAGE);
	assert_int_equal(fill.iov[1].iov_len, 64 * PF_PAGE);
	assert_int_equal(fill.iov[2].iov_len, 32 * PF_PAGE);
	assert_states(&f, 60, 100, PF_PAGE_BUSY);
	assert_int_equal(state_of(&f, 59), PF_PAGE_ABSENT);
	assert_int_equal(state_of(&f, 160), PF_PAGE_ABSENT);
	assert_sound(&f.p);
	fill_answer(&fill, 1);
	pf__fill_end(&fill, fill.length, 0, false);
	assert_states(&f, 60, 100, PF_PAGE_UPTODATE);
	assert_file(&f, 60 * PF_PAGE, 4 * PF_PAGE, 1);
	assert_file(&f, PF_BLOCK, PF_BLOCK, 1);
	assert_file(&f, 2 * PF_BLOCK, 32 * PF_PAGE, 1);
	file_close(&f);
}

static void no_more_than_five_blocks(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, 4 * MIB);
	respare(&f, PF_SPARES, 400);
	assert_int_equal(pf__fill_begin(&f.p, 63, 1000, FAR, true, &f.spare, &fill), 1 + 4 * 64);
	assert_int_equal(fill.niov, PF_FILL_BLOCKS);
	pf__fill_end(&fill, 0, -EIO, false);
	assert_states(&f, 60, 300, PF_PAGE_ABSENT);
	assert_int_equal(f.p.nblocks, 0);
	file_close(&f);
}

static void what_is_there_is_left_out(void **state)
{
	struct pf__fill fill, other;
	struct file f;

	file_open(&f, 4 * MIB);
	file_read(&f, 10, 1, FAR, 1);
	assert_int_equal(fill_begin(&f, 20, 5, FAR, &other), 5);
	assert_int_equal(fill_begin(&f, 10, 9, FAR, &fill), 0); /* there */
	assert_int_equal(fill_begin(&f, 22, 9, FAR, &fill), 0); /* under way */
	assert_int_equal(fill_begin(&f, 11, 50, FAR, &fill), 9);
	pf__fill_end(&fill, 0, -EIO, false);
	assert_int_equal(fill_begin(&f, 5, 50, FAR, &fill), 5);
	pf__fill_end(&fill, 0, -EIO, false);
	assert_int_equal(fill_begin(&f, 25, 3, FAR, &fill), 3);
	pf__fill_end(&fill, 0, -EIO, false);
	file_write(&f, 30 * PF_PAGE + 5, 10, FAR, 2);
	assert_int_equal(fill_begin(&f, 25, 10, FAR, &fill), 5);
	pf__fill_end(&fill, 0, -EIO, false);
	assert_sound(&f.p);
	pf__fill_end(&other, 0, -EIO, false);
	assert_int_equal(pf__pages_first_missing(&f.p, 10, 20), 11);
	assert_int_equal(pf__pages_first_missing(&f.p, 10, 11), 11);
	assert_int_equal(pf__pages_first_missing(&f.p, 0, 11), 0);
	file_close(&f);
}

static void first_missing_over_blocks(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, 4 * MIB);
	file_read(&f, 0, 190, FAR, 1);
	assert_int_equal(pf__pages_first_missing(&f.p, 0, 300), 190);
	assert_int_equal(pf__pages_first_missing(&f.p, 64, 128), 128);
	assert_int_equal(pf__pages_first_missing(&f.p, 63, 130), 130);
	assert_int_equal(fill_begin(&f, 190, 2, FAR, &fill), 2); /* it will come */
	assert_int_equal(pf__pages_first_missing(&f.p, 0, 300), 192);
	pf__fill_end(&fill, 0, -EIO, false);
	file_close(&f);
}

static void it_ends_with_the_file(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, 4 * MIB);
	assert_int_equal(fill_begin(&f, 62, 100, 65 * PF_PAGE + 7, &fill), 4);
	assert_int_equal(fill.length, 3 * PF_PAGE + 7);
	assert_int_equal(fill.iov[1].iov_len, PF_PAGE + 7);
	memset(page_memory(&f, 65), 'x', PF_PAGE);
	fill_answer(&fill, 1);
	pf__fill_end(&fill, fill.length, 0, false);
	assert_file(&f, PF_BLOCK, PF_PAGE + 7, 1);
	assert_zeros(page_memory(&f, 65) + 7, PF_PAGE - 7);
	assert_int_equal(fill_begin(&f, 0, 100, 1, &fill), 1);
	assert_int_equal(fill.length, 1);
	pf__fill_end(&fill, 0, -EIO, false);
	file_close(&f);
}

static void a_short_answer_ends_the_file(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, 4 * MIB);
	assert_int_equal(fill_begin(&f, 60, 10, FAR, &fill), 10);
	memset(page_memory(&f, 61), 'x', PF_PAGE);
	fill_answer(&fill, 1);
	pf__fill_end(&fill, PF_PAGE + 100, 0, false);
	assert_file(&f, 60 * PF_PAGE, PF_PAGE + 100, 1);
	assert_zeros(page_memory(&f, 61) + 100, PF_PAGE - 100);
	assert_states(&f, 60, 2, PF_PAGE_UPTODATE);
	assert_states(&f, 62, 8, PF_PAGE_ABSENT);
	assert_int_equal(f.p.nblocks, 1); /* the second is not kept for nothing */
	assert_int_equal(fill_begin(&f, 100, 2, FAR, &fill), 2);
	pf__fill_end(&fill, PF_PAGE, 0, false); /* to the end of a page */
	assert_int_equal(state_of(&f, 100), PF_PAGE_UPTODATE);
	assert_int_equal(state_of(&f, 101), PF_PAGE_ABSENT);
	assert_int_equal(fill_begin(&f, 101, 2, FAR, &fill), 2);
	pf__fill_end(&fill, 0, 0, false);
	assert_int_equal(state_of(&f, 101), PF_PAGE_ABSENT);
	file_close(&f);
}

static void a_short_answer_leaves_a_hole(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, 4 * MIB);
	assert_int_equal(fill_begin(&f, 60, 10, FAR, &fill), 10);
	for (unsigned i = 60; i < 70; i++)
		memset(page_memory(&f, i), 'x', PF_PAGE);
	fill_answer(&fill, 1);
	pf__fill_end(&fill, 100, 0, true);
	assert_states(&f, 60, 10, PF_PAGE_UPTODATE);
	assert_file(&f, 60 * PF_PAGE, 100, 1);
	assert_zeros(page_memory(&f, 60) + 100, 4 * PF_PAGE - 100);
	assert_zeros(page_memory(&f, 64), 6 * PF_PAGE);
	file_close(&f);
}

static void an_error_leaves_nothing(void **state)
{
	struct pf__fill fill;
	uint32_t turn;
	struct file f;

	file_open(&f, MIB);
	turn = pf__pages_turn(&f.p);
	assert_int_equal(fill_begin(&f, 1, 2, FAR, &fill), 2);
	pf__fill_end(&fill, 0, -EIO, true);
	assert_int_not_equal(f.p.turn, turn);
	pf__pages_waited(&f.p);
	assert_int_equal(f.p.waiters, 0);
	assert_int_equal(f.p.nblocks, 0);
	file_close(&f);
}

/* ---- what comes between */

static void voided_meanwhile(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, 4 * MIB);
	assert_int_equal(fill_begin(&f, 60, 10, FAR, &fill), 10);
	pf__pages_drop(&f.p, 62 * PF_PAGE + 5, PF_PAGE); /* touches 62 and 63 */
	respare(&f, 1, 1);
	file_clean(&f, 66 * PF_PAGE, 10, FAR, 2);
	assert_states(&f, 60, 10, PF_PAGE_BUSY);
	assert_sound(&f.p);
	fill_answer(&fill, 1);
	pf__fill_end(&fill, fill.length, 0, false);
	assert_states(&f, 60, 2, PF_PAGE_UPTODATE);
	assert_states(&f, 62, 2, PF_PAGE_ABSENT);
	assert_states(&f, 64, 2, PF_PAGE_UPTODATE);
	assert_states(&f, 66, 1, PF_PAGE_ABSENT);
	assert_states(&f, 67, 3, PF_PAGE_UPTODATE);
	/* The next one is not voided any more. */
	file_read(&f, 62, 2, FAR, 3);
	assert_file(&f, 62 * PF_PAGE, 2 * PF_PAGE, 3);
	file_close(&f);
}

static void truncated_meanwhile(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, 4 * MIB);
	assert_int_equal(fill_begin(&f, 0, 4, FAR, &fill), 4);
	pf__pages_truncate(&f.p, PF_PAGE + 1);
	fill_answer(&fill, 1);
	pf__fill_end(&fill, fill.length, 0, false);
	assert_states(&f, 0, 1, PF_PAGE_UPTODATE);
	assert_states(&f, 1, 3, PF_PAGE_ABSENT);
	file_close(&f);
}

/* ---- pages with dirty bytes */

static void dirty_bytes_stay(void **state)
{
	struct pf__fill fill;
	struct file f;
	size_t done;

	file_open(&f, MIB);
	file_write(&f, PF_PAGE + 100, 50, FAR, 2);
	assert_int_equal(state_of(&f, 1), PF_PAGE_ABSENT);
	assert_int_equal(fill_begin(&f, 1, 9, FAR, &fill), 1); /* alone */
	assert_ptr_not_equal(fill.iov[0].iov_base, page_memory(&f, 1));
	respare(&f, 1, 1);
	assert_int_equal(file_put(&f, PF_PAGE + 150, 1, FAR, 2, &done), PF_PUT_BUSY);
	fill_answer(&fill, 1);
	pf__fill_end(&fill, fill.length, 0, false);
	assert_dirty(&f, 1, 100, 150);
	assert_file(&f, PF_PAGE, 100, 1);
	assert_file(&f, PF_PAGE + 100, 50, 2);
	assert_file(&f, PF_PAGE + 150, PF_PAGE - 150, 1);
	file_close(&f);
}

static void dirty_bytes_and_a_short_answer(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, MIB);
	file_write(&f, 100, 50, FAR, 2);
	assert_int_equal(fill_begin(&f, 0, 1, 160, &fill), 1);
	assert_int_equal(fill.length, 160);
	fill_answer(&fill, 1);
	pf__fill_end(&fill, 20, 0, false);
	assert_file(&f, 0, 20, 1);
	assert_zeros(page_memory(&f, 0) + 20, 80);
	assert_file(&f, 100, 50, 2);
	assert_zeros(page_memory(&f, 0) + 150, PF_PAGE - 150);
	file_close(&f);
}

static void dirty_bytes_given_up_meanwhile(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, MIB);
	file_write(&f, 100, 50, FAR, 2);
	assert_int_equal(fill_begin(&f, 0, 1, FAR, &fill), 1);
	assert_int_equal(pf__pages_forget_dirty(&f.p), 1);
	fill_answer(&fill, 1);
	pf__fill_end(&fill, fill.length, 0, false);
	assert_clean(&f, 0);
	assert_file(&f, 0, PF_PAGE, 1);
	file_close(&f);
}

static void dirty_bytes_and_an_error(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, MIB);
	file_write(&f, 100, 50, FAR, 2);
	assert_int_equal(fill_begin(&f, 0, 1, FAR, &fill), 1);
	pf__fill_end(&fill, 0, -EIO, false);
	assert_int_equal(state_of(&f, 0), PF_PAGE_ABSENT);
	assert_dirty(&f, 0, 100, 150);
	assert_pattern(page_memory(&f, 0) + 100, 100, 50, 2);
	/* Dropped while it is read: only what is dirty counts. */
	assert_int_equal(fill_begin(&f, 0, 1, FAR, &fill), 1);
	pf__pages_drop(&f.p, 0, UINT64_MAX);
	fill_answer(&fill, 1);
	pf__fill_end(&fill, fill.length, 0, false);
	assert_int_equal(state_of(&f, 0), PF_PAGE_ABSENT);
	assert_dirty(&f, 0, 100, 150);
	assert_pattern(page_memory(&f, 0) + 100, 100, 50, 2);
	pf__alloc_fail_at(1, 1);
	assert_err(pf__fill_begin(&f.p, 0, 1, FAR, false, &f.spare, &fill), -ENOMEM);
	pf__alloc_fail_at(0, 0);
	assert_sound(&f.p);
	file_close(&f);
}

/* The end of the file moves below what was dirty, or a newer write covers it: while the page is
 * read as at any other time. */
static void dirty_bytes_cut_off_meanwhile(void **state)
{
	for (unsigned how = 0; how < 4; how++) {
		struct pf__fill fill;
		struct file f;

		file_open(&f, MIB);
		file_write(&f, PF_PAGE + 100, 50, FAR, 2);
		assert_int_equal(fill_begin(&f, 1, 1, FAR, &fill), 1);
		if (how == 0)
			pf__pages_truncate(&f.p, 5);
		else if (how == 1)
			pf__pages_truncate(&f.p, PF_PAGE + 120);
		else if (how == 2)
			pf__pages_drop_overtaken(&f.p, 0, 2 * PF_PAGE);
		else
			pf__pages_drop_overtaken(&f.p, PF_PAGE + 120, PF_PAGE);
		assert_sound(&f.p);
		fill_answer(&fill, 1);
		pf__fill_end(&fill, fill.length, 0, false);
		assert_int_equal(state_of(&f, 1), PF_PAGE_ABSENT);
		if (how % 2)
			assert_dirty(&f, 1, 100, 120);
		else
			assert_clean(&f, 1);
		if (how % 2)
			assert_pattern(page_memory(&f, 1) + 100, PF_PAGE + 100, 20, 2);
		file_close(&f);
	}
}

static void dirty_bytes_replaced_meanwhile(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, MIB);
	file_write(&f, 100, 50, FAR, 2);
	assert_int_equal(fill_begin(&f, 0, 1, FAR, &fill), 1);
	file_clean(&f, 120, 1000, FAR, 3);
	fill_answer(&fill, 1);
	pf__fill_end(&fill, fill.length, 0, false);
	assert_int_equal(state_of(&f, 0), PF_PAGE_ABSENT);
	assert_dirty(&f, 0, 100, 150);
	assert_pattern(page_memory(&f, 0) + 100, 100, 20, 2);
	assert_pattern(page_memory(&f, 0) + 120, 120, 30, 3);
	file_close(&f);
}

/* ---- what is missing */

static void without_spares(void **state)
{
	struct pf__fill fill;
	struct file f;

	file_open(&f, MIB);
	assert_err(pf__fill_begin(&f.p, 0, 4, FAR, false, &f.spare, &fill), -ENOBUFS);
	assert_int_equal(f.p.nblocks, 0);
	respare(&f, 1, 10);
	assert_int_equal(pf__fill_begin(&f.p, 60, 9, FAR, false, &f.spare, &fill), 4);
	pf__fill_end(&fill, fill.length, 0, false);
	file_close(&f);
}

static void without_room(void **state)
{
	struct pf__spare other = {0};
	struct pf__fill fill;
	struct file f;

	file_open(&f, MIB);
	respare(&f, 2, 6);
	assert_err(pf__spare_take(&other, f.arena, 1, 250), 0);
	assert_err(pf__fill_begin(&f.p, 0, 9, FAR, false, &f.spare, &fill), -ENOBUFS);
	assert_int_equal(f.p.nblocks, 0);
	assert_int_equal(pf__fill_begin(&f.p, 60, 9, FAR, false, &f.spare, &fill), 4);
	assert_int_equal(f.p.nblocks, 1);
	assert_sound(&f.p);
	pf__fill_end(&fill, fill.length, 0, false);
	pf__spare_put(&other);
	file_close(&f);
}

static void allocations_fail(void **state)
{
	struct file f;

	file_open(&f, MIB);
	for (uint64_t nth = 1;; nth++) {
		struct pf__fill fill;
		int r;

		respare(&f, 3, 70);
		pf__alloc_fail_at(nth, 1);
		r = pf__fill_begin(&f.p, 1000 * 64 + 63, 10, FAR, false, &f.spare, &fill);
		pf__alloc_fail_at(0, 0);
		assert_sound(&f.p);
		if (r > 0)
			pf__fill_end(&fill, 0, -EIO, false);
		assert_int_equal(f.p.nblocks, 0);
		if (r == 10)
			break;
		if (r < 0)
			assert_err(r, -ENOMEM);
		assert_true(nth < 20);
	}
	file_close(&f);
}

/* ---- readahead's books */

static void ahead_is_counted(void **state)
{
	struct pf__arena_stats s;
	struct pf__fill fill;
	struct file f;
	size_t n;

	file_open(&f, MIB);
	respare(&f, 1, 10);
	assert_int_equal(pf__fill_begin(&f.p, 0, 10, FAR, true, &f.spare, &fill), 10);
	pf__fill_end(&fill, fill.length, 0, false);
	assert_non_null(file_peek(&f, 0, 3 * PF_PAGE + 1, &n));
	assert_non_null(file_peek(&f, 0, 3 * PF_PAGE + 1, &n));
	pf__arena_stats(f.arena, &s);
	assert_int_equal(s.ahead, 10);
	assert_int_equal(s.ahead_hits, 4);
	assert_int_equal(s.pages, 10);
	pf__pages_drop(&f.p, 0, UINT64_MAX);
	pf__arena_stats(f.arena, &s);
	assert_int_equal(s.ahead_waste, 6);
	assert_int_equal(s.dropped, 10);
	file_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_run_over_blocks),
	    cmocka_unit_test(no_more_than_five_blocks),
	    cmocka_unit_test(what_is_there_is_left_out),
	    cmocka_unit_test(first_missing_over_blocks),
	    cmocka_unit_test(it_ends_with_the_file),
	    cmocka_unit_test(a_short_answer_ends_the_file),
	    cmocka_unit_test(a_short_answer_leaves_a_hole),
	    cmocka_unit_test(an_error_leaves_nothing),
	    cmocka_unit_test(voided_meanwhile),
	    cmocka_unit_test(truncated_meanwhile),
	    cmocka_unit_test(dirty_bytes_stay),
	    cmocka_unit_test(dirty_bytes_and_a_short_answer),
	    cmocka_unit_test(dirty_bytes_given_up_meanwhile),
	    cmocka_unit_test(dirty_bytes_and_an_error),
	    cmocka_unit_test(dirty_bytes_cut_off_meanwhile),
	    cmocka_unit_test(dirty_bytes_replaced_meanwhile),
	    cmocka_unit_test(without_spares),
	    cmocka_unit_test(without_room),
	    cmocka_unit_test(allocations_fail),
	    cmocka_unit_test(ahead_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
