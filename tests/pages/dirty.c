/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes that are written into pages, and their way back to the server. */
#include "pagetest.h"

#define FAR (1ull << 40)

static bool is_there(struct file *f, uint64_t page)
{
	return pf__pages_state(&f->p, page) == PF_PAGE_UPTODATE;
}

static uint64_t all_dirty(struct file *f)
{
	struct pf__arena_stats s;

	pf__arena_stats(f->arena, &s);
	assert_int_equal(s.dirty, f->p.ndirty);
	assert_int_equal(s.writeback, f->p.nwriteback);
	assert_int_equal(pf__arena_dirty(f->arena), s.dirty + s.writeback);
	return s.dirty;
}

/* ---- putting dirty bytes */

static void whole_pages(void **state)
{
	struct file f;

	file_open(&f, 4 * MIB);
	file_write(&f, 60 * PF_PAGE, 80 * PF_PAGE, FAR, 1);
	assert_int_equal(all_dirty(&f), 80);
	assert_int_equal(f.p.nblocks, 3);
	assert_file(&f, PF_BLOCK, PF_BLOCK, 1);
	assert_dirty(&f, 60, 0, PF_PAGE);
	assert_dirty(&f, 139, 0, PF_PAGE);
	assert_clean(&f, 140);
	file_close(&f);
}

static void parts_join(void **state)
{
	struct file f;

	file_open(&f, MIB);
	file_write(&f, 100, 50, FAR, 1);
	assert_dirty(&f, 0, 100, 150);
	assert_false(is_there(&f, 0));
	file_write(&f, 150, 10, FAR, 1); /* touches */
	file_write(&f, 90, 10, FAR, 1);
	assert_dirty(&f, 0, 90, 160);
	file_write(&f, 120, 100, FAR, 1); /* overlaps */
	assert_dirty(&f, 0, 90, 220);
	file_write(&f, 100, 5, FAR, 1); /* inside */
	assert_dirty(&f, 0, 90, 220);
	assert_pattern(page_memory(&f, 0) + 90, 90, 130, 1);
	assert_false(is_there(&f, 0));
	file_write(&f, 0, PF_PAGE, FAR, 2);
	assert_true(is_there(&f, 0));
	assert_dirty(&f, 0, 0, PF_PAGE);
	assert_int_equal(all_dirty(&f), 1);
	file_close(&f);
}

static void parts_apart_have_to_be_read(void **state)
{
	struct file f;
	size_t done;

	file_open(&f, MIB);
	file_write(&f, 100, 50, FAR, 1);
	respare(&f, 1, 1);
	assert_int_equal(file_put(&f, 151, 5, FAR, 1, &done), PF_PUT_READ);
	assert_int_equal(file_put(&f, 0, 99, FAR, 1, &done), PF_PUT_READ);
	assert_int_equal(done, 0);
	assert_dirty(&f, 0, 100, 150);
	/* As far as it goes. */
	assert_int_equal(file_put(&f, 2 * PF_PAGE + 7, 1, FAR, 1, &done), PF_PUT_DONE);
	respare(&f, 1, 8);
	assert_int_equal(file_put(&f, PF_PAGE, PF_PAGE + 3, FAR, 1, &done), PF_PUT_READ);
	assert_int_equal(done, PF_PAGE);
	/* Read, they may lie anywhere: what lies between becomes dirty. */
	file_read(&f, 0, 1, FAR, 3);
	file_write(&f, 200, 5, FAR, 1);
	assert_dirty(&f, 0, 100, 205);
	assert_file(&f, 100, 50, 1);
	assert_file(&f, 150, 50, 3);
	assert_file(&f, 200, 5, 1);
	file_close(&f);
}

static void the_end_of_the_file_makes_whole(void **state)
{
	struct file f;
	size_t n;

	file_open(&f, MIB);
	file_write(&f, 0, 10, 0, 1); /* of an empty file */
	assert_true(is_there(&f, 0));
	assert_dirty(&f, 0, 0, 10);
	assert_zeros(page_memory(&f, 0) + 10, PF_PAGE - 10);
	file_write(&f, PF_PAGE, 10, PF_PAGE + 10, 1); /* all there is of it */
	assert_true(is_there(&f, 1));
	file_write(&f, 2 * PF_PAGE, 10, 2 * PF_PAGE + 11, 1); /* a byte is missing */
	assert_false(is_there(&f, 2));
	file_write(&f, 3 * PF_PAGE + 20, 10, 3 * PF_PAGE, 1); /* behind the end */
	assert_true(is_there(&f, 3));
	assert_dirty(&f, 3, 20, 30);
	assert_zeros(page_memory(&f, 3), 20);
	assert_zeros(page_memory(&f, 3) + 30, PF_PAGE - 30);
	file_write(&f, 4 * PF_PAGE + 20, 10, 4 * PF_PAGE + 1, 1); /* the end is in the page */
	assert_false(is_there(&f, 4));
	file_write(&f, 5 * PF_PAGE + 20, 3 * PF_PAGE, 0, 1);
	assert_file(&f, 5 * PF_PAGE + 20, 3 * PF_PAGE, 1);
	assert_non_null(file_peek(&f, 5 * PF_PAGE, FAR, &n));
	assert_int_equal(n, 4 * PF_PAGE);
	assert_sound(&f.p);
	file_close(&f);
}

static void busy_pages_are_waited_for(void **state)
{
	struct pf__fill fill;
	struct pf__wb wb;
	struct file f;
	size_t done;

	file_open(&f, MIB);
	assert_int_equal(fill_begin(&f, 1, 1, FAR, &fill), 1);
	assert_int_equal(file_put(&f, 0, 3 * PF_PAGE, FAR, 1, &done), PF_PUT_BUSY);
	assert_int_equal(done, PF_PAGE);
	assert_true(pf__wb_begin(&f.p, 0, 1, MIB, &wb));
	assert_int_equal(file_put(&f, 5, 1, FAR, 1, &done), PF_PUT_BUSY);
	pf__wb_end(&wb, PF_WB_WRITTEN, PF_PAGE);
	pf__fill_end(&fill, 0, -EIO, false);
	file_write(&f, 0, 3 * PF_PAGE, FAR, 1);
	file_close(&f);
}

static void what_is_missing(void **state)
{
	struct pf__spare other = {0};
	struct file f;
	size_t done;

	file_open(&f, MIB);
	assert_int_equal(file_put(&f, 0, 1, 0, 1, &done), PF_PUT_SPARE);
	respare(&f, 1, 3);
	assert_int_equal(file_put(&f, 63 * PF_PAGE, 9 * PF_PAGE, 0, 1, &done), PF_PUT_SPARE);
	assert_int_equal(done, PF_PAGE);
	respare(&f, 1, 3);
	assert_err(pf__spare_take(&other, f.arena, 1, 252), 0);
	assert_int_equal(file_put(&f, 64 * PF_PAGE, 9 * PF_PAGE, 0, 1, &done), PF_PUT_SPARE);
	assert_int_equal(done, 3 * PF_PAGE);
	assert_int_equal(file_put(&f, 64 * PF_PAGE, 3 * PF_PAGE, 0, 1, &done), PF_PUT_DONE);
	pf__spare_put(&other);
	assert_sound(&f.p);
	file_close(&f);
}

static void allocations_fail(void **state)
{
	struct file f;
	size_t done;

	file_open(&f, MIB);
	for (uint64_t nth = 1;; nth++) {
		enum pf__put r;

		respare(&f, 1, 3);
		pf__alloc_fail_at(nth, 1);
		r = file_put(&f, (1000 * 64 + 5) * PF_PAGE + 5, 5, FAR, 1, &done);
		pf__alloc_fail_at(0, 0);
		assert_sound(&f.p);
		if (r == PF_PUT_DONE)
			break;
		assert_int_equal(r, PF_PUT_NOMEM);
		assert_int_equal(f.p.nblocks, 0);
		assert_true(nth < 20);
	}
	file_close(&f);
}

/* ---- runs */

static void assert_run(const struct pf__wb *wb, uint64_t offset, size_t length, unsigned n,
		       unsigned seed)
{
	uint64_t at = offset;

	assert_int_equal(wb->offset, offset);
	assert_int_equal(wb->length, length);
	assert_int_equal(wb->n, n);
	for (int i = 0; i < wb->niov; i++) {
		assert_pattern(wb->iov[i].iov_base, at, wb->iov[i].iov_len, seed);
		at += wb->iov[i].iov_len;
	}
	assert_int_equal(at, offset + length);
}

static void adjacent_bytes_make_a_run(void **state)
{
	struct pf__wb wb, more;
	struct file f;

	file_open(&f, 4 * MIB);
	file_write(&f, 60 * PF_PAGE + 5, 70 * PF_PAGE, FAR, 1);
	file_write(&f, 131 * PF_PAGE, 10, FAR, 1); /* behind a gap */
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, 8 * MIB, &wb));
	assert_run(&wb, 60 * PF_PAGE + 5, 70 * PF_PAGE, 71, 1);
	assert_int_equal(wb.niov, 3);
	assert_int_equal(f.p.nwriteback, 71);
	assert_int_equal(all_dirty(&f), 1);
	assert_sound(&f.p);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, 8 * MIB, &more));
	assert_run(&more, 131 * PF_PAGE, 10, 1, 1);
	assert_false(pf__wb_begin(&f.p, 0, UINT64_MAX, 8 * MIB, &(struct pf__wb){0}));
	pf__wb_end(&more, PF_WB_WRITTEN, 10);
	pf__wb_end(&wb, PF_WB_WRITTEN, 70 * PF_PAGE);
	assert_int_equal(pf__arena_dirty(f.arena), 0);
	assert_true(is_there(&f, 61));
	assert_false(is_there(&f, 60)); /* only a part of it was known */
	assert_int_equal(f.p.nblocks, 3);
	file_close(&f);
}

static void a_run_ends_where_bytes_are_missing(void **state)
{
	struct pf__wb wb;
	struct file f;

	file_open(&f, MIB);
	file_write(&f, 0, PF_PAGE + 10, FAR, 1); /* ends in page 1 */
	file_write(&f, 2 * PF_PAGE + 1, PF_PAGE - 1, FAR, 1);
	file_write(&f, 3 * PF_PAGE, PF_PAGE, FAR, 1);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	assert_run(&wb, 0, PF_PAGE + 10, 2, 1);
	pf__wb_end(&wb, PF_WB_WRITTEN, wb.length);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	assert_run(&wb, 2 * PF_PAGE + 1, 2 * PF_PAGE - 1, 2, 1);
	pf__wb_end(&wb, PF_WB_WRITTEN, wb.length);
	assert_false(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	file_close(&f);
}

static void no_more_than_max(void **state)
{
	struct pf__wb wb;
	struct file f;

	file_open(&f, 4 * MIB);
	file_write(&f, 10, 10 * PF_PAGE, 0, 1);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, PF_PAGE, &wb));
	assert_run(&wb, 10, PF_PAGE - 10, 1, 1);
	pf__wb_end(&wb, PF_WB_WRITTEN, wb.length);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, 3 * PF_PAGE - 1, &wb));
	assert_run(&wb, PF_PAGE, 2 * PF_PAGE, 2, 1);
	pf__wb_end(&wb, PF_WB_WRITTEN, wb.length);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, 7 * PF_PAGE + 10, &wb));
	assert_run(&wb, 3 * PF_PAGE, 7 * PF_PAGE + 10, 8, 1);
	pf__wb_end(&wb, PF_WB_WRITTEN, wb.length);
	/* More blocks than there are vectors. */
	for (unsigned i = 0; i < 3; i++)
		file_write(&f, 63 * PF_PAGE + i * 2 * PF_BLOCK, 2 * PF_BLOCK, 0, 1);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, 8 * MIB, &wb));
	assert_run(&wb, 63 * PF_PAGE, 4 * PF_BLOCK + PF_PAGE, 257, 1);
	assert_int_equal(wb.niov, PF_FILL_BLOCKS);
	pf__wb_end(&wb, PF_WB_WRITTEN, wb.length);
	file_close(&f);
}

static void from_and_to(void **state)
{
	struct pf__wb wb;
	struct file f;

	file_open(&f, MIB);
	file_write(&f, 10 * PF_PAGE, 10 * PF_PAGE, 0, 1);
	assert_false(pf__wb_begin(&f.p, 0, 10 * PF_PAGE, MIB, &wb));
	assert_false(pf__wb_begin(&f.p, 20 * PF_PAGE, UINT64_MAX, MIB, &wb));
	assert_false(pf__wb_begin(&f.p, 0, 0, MIB, &wb));
	assert_true(pf__wb_begin(&f.p, 13 * PF_PAGE + 5, 15 * PF_PAGE + 1, MIB, &wb));
	assert_run(&wb, 13 * PF_PAGE, 3 * PF_PAGE, 3, 1);
	assert_true(pf__pages_busy_writing(&f.p, 15 * PF_PAGE, 16 * PF_PAGE, false));
	assert_false(pf__pages_busy_writing(&f.p, 16 * PF_PAGE, 20 * PF_PAGE, false));
	assert_true(pf__pages_busy_writing(&f.p, 19 * PF_PAGE, 20 * PF_PAGE, true));
	assert_true(pf__pages_busy_writing(&f.p, 20 * PF_PAGE - 1, UINT64_MAX, true));
	assert_false(pf__pages_busy_writing(&f.p, 20 * PF_PAGE, UINT64_MAX, true));
	assert_false(pf__pages_busy_writing(&f.p, 0, 10 * PF_PAGE, true));
	assert_true(pf__pages_busy_writing(&f.p, 0, 10 * PF_PAGE + 1, true));
	assert_false(pf__pages_busy_writing(&f.p, 0, 13 * PF_PAGE, false));
	assert_true(pf__pages_busy_writing(&f.p, 0, UINT64_MAX, false));
	assert_false(pf__pages_busy_writing(&f.p, 14 * PF_PAGE, 14 * PF_PAGE, true));
	pf__wb_end(&wb, PF_WB_WRITTEN, wb.length);
	assert_false(pf__pages_busy_writing(&f.p, 0, UINT64_MAX, false));
	assert_true(pf__pages_busy_writing(&f.p, 0, UINT64_MAX, true));
	file_close(&f);
}

static void being_read_it_is_not_written(void **state)
{
	struct pf__fill fill;
	struct pf__wb wb;
	struct file f;

	file_open(&f, MIB);
	file_write(&f, 0, PF_PAGE, FAR, 1);
	file_write(&f, PF_PAGE, 10, FAR, 1);
	file_write(&f, 3 * PF_PAGE, PF_PAGE, FAR, 1);
	assert_int_equal(fill_begin(&f, 1, 1, FAR, &fill), 1);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	assert_run(&wb, 0, PF_PAGE, 1, 1);
	pf__wb_end(&wb, PF_WB_WRITTEN, PF_PAGE);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	assert_run(&wb, 3 * PF_PAGE, PF_PAGE, 1, 1);
	pf__wb_end(&wb, PF_WB_AGAIN, 0);
	pf__fill_end(&fill, 0, -EIO, false);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	assert_run(&wb, PF_PAGE, 10, 1, 1);
	pf__wb_end(&wb, PF_WB_WRITTEN, 10);
	file_close(&f);
}

/* ---- how it went */

static void begin_three(struct file *f, struct pf__wb *wb)
{
	file_open(f, MIB);
	file_write(f, 100, 3 * PF_PAGE, FAR, 1);
	assert_true(pf__wb_begin(&f->p, 0, UINT64_MAX, MIB, wb));
	assert_int_equal(wb->n, 4);
}

static void written_in_part(void **state)
{
	static const struct {
		size_t n;
		unsigned first, lo; /* what is dirty afterwards begins there */
	} cases[] = {
	    {0, 0, 100},
	    {1, 0, 101},
	    {PF_PAGE - 101, 0, PF_PAGE - 1},
	    {PF_PAGE - 100, 1, 0},
	    {PF_PAGE + 5, 1, 105},
	    {3 * PF_PAGE - 100, 3, 0},
	    {3 * PF_PAGE - 1, 3, 99},
	};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct pf__wb wb;
		struct file f;

		begin_three(&f, &wb);
		pf__wb_end(&wb, PF_WB_WRITTEN, cases[i].n);
		assert_sound(&f.p);
		for (unsigned page = 0; page < cases[i].first; page++)
			assert_clean(&f, page);
		for (unsigned page = cases[i].first; page < 4; page++)
			assert_dirty(&f, page, page == cases[i].first ? cases[i].lo : 0,
				     page == 3 ? 100 : PF_PAGE);
		assert_int_equal(f.p.nwriteback, 0);
		assert_pattern(page_memory(&f, 0) + 100, 100, 3 * PF_PAGE, 1);
		file_close(&f);
	}
}

static void not_written(void **state)
{
	struct pf__wb wb;
	struct file f;
	uint32_t turn;

	begin_three(&f, &wb);
	turn = f.p.turn;
	pf__wb_end(&wb, PF_WB_AGAIN, 0);
	assert_int_not_equal(f.p.turn, turn);
	assert_dirty(&f, 0, 100, PF_PAGE);
	assert_dirty(&f, 1, 0, PF_PAGE);
	assert_dirty(&f, 3, 0, 100);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	assert_run(&wb, 100, 3 * PF_PAGE, 4, 1);
	pf__wb_end(&wb, PF_WB_LOST, 0);
	assert_int_equal(f.p.nblocks, 0);
	file_close(&f);
}

/* Nothing that was dirty is lost, or becomes more, for want of memory. */
static void cut_without_memory(void **state)
{
	struct pf__wb wb;
	struct file f;

	file_open(&f, MIB);
	file_write(&f, 0, 4 * PF_PAGE, FAR, 1); /* all of them as a whole */
	pf__alloc_fail_at(1, 1);
	pf__pages_drop(&f.p, 0, UINT64_MAX); /* only what is dirty counts */
	assert_true(pf__wb_begin(&f.p, 0, 1, PF_PAGE, &wb));
	pf__wb_end(&wb, PF_WB_WRITTEN, 100);
	assert_dirty(&f, 0, 100, PF_PAGE);
	pf__pages_drop_overtaken(&f.p, PF_PAGE + 50, PF_PAGE);
	assert_dirty(&f, 1, 0, 50);
	assert_dirty(&f, 2, 50, PF_PAGE);
	pf__pages_truncate(&f.p, 3 * PF_PAGE + 7);
	assert_dirty(&f, 3, 0, 7);
	pf__alloc_fail_at(0, 0);
	assert_sound(&f.p);
	file_close(&f);
}

static void held(void **state)
{
	struct pf__wb wb;
	struct file f;

	file_open(&f, MIB);
	file_write(&f, 0, 10, FAR, 1);
	pf__pages_hold(&f.p);
	pf__pages_hold(&f.p);
	assert_false(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	pf__pages_release(&f.p);
	assert_false(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	pf__pages_release(&f.p);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	pf__pages_hold(&f.p); /* what is under way goes on */
	pf__wb_end(&wb, PF_WB_WRITTEN, 10);
	pf__pages_release(&f.p);
	file_close(&f);
}

static void marked_dirty(void **state)
{
	struct pf__block *b;
	struct pf__wb wb;
	struct file f;

	file_open(&f, MIB);
	assert_false(pf__pages_mark_dirty(&f.p, 0, 5));
	file_read(&f, 0, 2, PF_PAGE + 10, 1);
	assert_err(pf__pages_pin_range(&f.p, 0, PF_PAGE + 10, PF_PAGE + 10, true, &f.spare, &b), 0);
	assert_true(pf__pages_mark_dirty(&f.p, 1, 10));
	assert_dirty(&f, 1, 0, 10);
	assert_true(pf__pages_mark_dirty(&f.p, 1, 5));
	assert_dirty(&f, 1, 0, 10);
	assert_true(pf__wb_begin(&f.p, 0, UINT64_MAX, MIB, &wb));
	assert_false(pf__pages_mark_dirty(&f.p, 1, 10));
	assert_true(pf__pages_mark_dirty(&f.p, 0, PF_PAGE));
	pf__wb_end(&wb, PF_WB_AGAIN, 0);
	assert_dirty(&f, 0, 0, PF_PAGE);
	assert_dirty(&f, 1, 0, 10);
	pf__pages_unpin_range(&f.p, b, true);
	file_close(&f);
}

static void given_up(void **state)
{
	struct file f;

	file_open(&f, 4 * MIB);
	file_write(&f, 10, 10, FAR, 1);
	file_write(&f, PF_BLOCK, 5 * PF_PAGE, FAR, 1);
	file_read(&f, 70, 1, FAR, 2);
	assert_int_equal(pf__pages_forget_dirty(&f.p), 6);
	assert_int_equal(f.p.nblocks, 1);
	assert_true(is_there(&f, 70));
	assert_false(is_there(&f, 64));
	assert_int_equal(pf__pages_forget_dirty(&f.p), 0);
	assert_int_equal(all_dirty(&f), 0);
	file_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole_pages),
	    cmocka_unit_test(parts_join),
	    cmocka_unit_test(parts_apart_have_to_be_read),
	    cmocka_unit_test(the_end_of_the_file_makes_whole),
	    cmocka_unit_test(busy_pages_are_waited_for),
	    cmocka_unit_test(what_is_missing),
	    cmocka_unit_test(allocations_fail),
	    cmocka_unit_test(adjacent_bytes_make_a_run),
	    cmocka_unit_test(a_run_ends_where_bytes_are_missing),
	    cmocka_unit_test(no_more_than_max),
	    cmocka_unit_test(from_and_to),
	    cmocka_unit_test(being_read_it_is_not_written),
	    cmocka_unit_test(written_in_part),
	    cmocka_unit_test(not_written),
	    cmocka_unit_test(cut_without_memory),
	    cmocka_unit_test(held),
	    cmocka_unit_test(marked_dirty),
	    cmocka_unit_test(given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
