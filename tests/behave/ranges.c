// SPDX-License-Identifier: BSD-2-Clause
/*
 * What changes a range of a file at once (truncate, fallocate, copy_file_range) beside cached and
 * dirty pages: they are written first and dropped afterwards, holes read as zeros, and nothing is
 * sent beyond the end.
 */
#include "tests/behave/writes.h"

#include <linux/falloc.h>

/* ---- truncate */

/* Down and up again: what was cut off is gone, in the last page as well. */
static void truncate_down_and_up(void **state)
{
	for (int wb = 0; wb < 2; wb++) {
		struct t t = begin(.writeback = wb);

		put_at(t.f, 1, 0, 0x30000);
		assert_reads_turn(t.f, 1, 0, 0x30000);
		ok(pf_ftruncate(t.f, 0x400));
		assert_int_equal(size_of(t.f), 0x400);
		ok(pf_ftruncate(t.f, 0x30000));
		assert_int_equal(size_of(t.f), 0x30000);
		assert_reads_turn(t.f, 1, 0, 0x400);
		assert_reads_zeros(t.f, 0x400, 0x30000 - 0x400);
		ok(pf_fsync(t.f, 0));
		assert_int_equal(wdata_size(t.w), 0x30000);
		assert_server_turn(&t, 1, 0, 0x400);
		finish(&t);
	}
}

/* By name, with another handle's pages. */
static void truncate_by_name(void **state)
{
	struct t t = begin(.writeback = true, .size = 3 * PAGE);

	assert_reads_old(t.f, 0, 3 * PAGE);
	put_at(t.f, 1, PAGE, PAGE);
	ok(pf_truncate(t.m->fs, "foo", PAGE + 100));
	assert_int_equal(size_of(t.f), PAGE + 100);
	assert_reads_old(t.f, 0, PAGE);
	assert_reads_turn(t.f, 1, PAGE, 100);
	ok(pf_truncate(t.m->fs, "foo", 2 * PAGE));
	assert_reads_zeros(t.f, PAGE + 100, PAGE - 100);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_int_equal(wdata_size(t.w), 2 * PAGE);
	assert_server_turn(&t, 1, PAGE, 100);
	finish(&t);
}

/* No WRITE that comes after the cut goes beyond it. */
static void assert_none_beyond(struct t *t, uint64_t end)
{
	int cut = wdata_place(t->w, FUSE_SETATTR, 0);

	assert_true(cut >= 0);
	for (int i = 0; i < wdata_count(t->w, FUSE_WRITE); i++) {
		struct wdata_event e = wdata_nth(t->w, FUSE_WRITE, i);

		if (wdata_place(t->w, FUSE_WRITE, i) > cut)
			assert_true(e.offset + e.size <= end);
	}
	assert_int_equal(wdata_size(t->w), end);
}

static void truncate_into_dirty_data(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 3 * PAGE);
	ok(pf_ftruncate(t.f, PAGE + 1000));
	assert_int_equal(size_of(t.f), PAGE + 1000);
	assert_reads_turn(t.f, 1, 0, PAGE + 1000);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_none_beyond(&t, PAGE + 1000);
	assert_server_turn(&t, 1, 0, PAGE + 1000);
	assert_int_equal(stats(&t).pages_lost, 0);
	finish(&t);
}

static void truncate_to_nothing(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 3 * PAGE);
	ok(pf_ftruncate(t.f, 0));
	assert_int_equal(stats(&t).pages_dirty, 0);
	put_at(t.f, 2, 0, 10);
	assert_int_equal(size_of(t.f), 10);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_int_equal(wdata_size(t.w), 10);
	assert_server_turn(&t, 2, 0, 10);
	finish(&t);
}

/* While a WRITE of what is cut is out: the cut waits for it. */
static void truncate_waits_for_write_back(void **state)
{
	struct t t = begin(.writeback = true);
	struct job *sync, *cut;
	struct mock_req *req;

	put_at(t.f, 1, 0, 3 * PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	sync = job(&t, job_fsync, 0, 0, 0);
	req = wdata_held(t.w);
	cut = job(&t, job_truncate, 0, 100, 0);
	nap_ms(20);
	assert_came(&t, FUSE_SETATTR, 0);
	mock_settle(t.m);
	wdata_go(t.w, req);
	wdata_unhold(t.w);
	ok(job_join(cut));
	ok(job_join(sync));
	assert_int_equal(size_of(t.f), 100);
	assert_int_equal(wdata_size(t.w), 100);
	assert_reads_turn(t.f, 1, 0, 100);
	finish(&t);
}

static void truncate_that_fails(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 3 * PAGE);
	wdata_trick(t.w, (struct wdata_rule){FUSE_SETATTR, 0, 1, WDATA_FAIL, EPERM});
	fails(pf_ftruncate(t.f, 100), EPERM);
	assert_int_equal(size_of(t.f), 3 * PAGE);
	assert_reads_turn(t.f, 1, 0, 3 * PAGE);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_int_equal(wdata_size(t.w), 3 * PAGE);
	assert_server_turn(&t, 1, 0, 3 * PAGE);
	finish(&t);
}

static void open_trunc(uint64_t flags)
{
	struct t t = begin(.writeback = true, .flags = flags);
	struct pf_file *g;

	put_at(t.f, 1, 0, 3 * PAGE);
	ok(pf_open(t.m->fs, "foo", O_RDWR | O_TRUNC, 0, &g));
	assert_int_equal(size_of(t.f), 0);
	assert_int_equal(stats(&t).pages_dirty, 0);
	put_at(g, 2, 5, 10);
	ok(pf_fsync(t.f, 0));
	assert_int_equal(wdata_size(t.w), 15);
	assert_server_turn(&t, 2, 5, 10);
	assert_reads_zeros(t.f, 0, 5);
	ok(pf_close(g));
	finish(&t);
}

static void open_trunc_drops_dirty_data(void **state)
{
	open_trunc(0);
	open_trunc(FUSE_ATOMIC_O_TRUNC);
}

static void seek_end_is_local(void **state)
{
	struct t t = begin(.writeback = true, .size = 10, .stale = true);

	put_at(t.f, 1, 5000, 1000);
	assert_int_equal(pf_lseek(t.f, 0, SEEK_END), 6000);
	assert_came(&t, FUSE_WRITE, 0);
	finish(&t);
}

/* ---- fallocate */

static void punch(int mode)
{
	struct t t = begin(.writeback = true, .size = 8 * PAGE);

	assert_reads_old(t.f, 0, 8 * PAGE);
	put_at(t.f, 1, PAGE, 4 * PAGE);
	ok(pf_fallocate(t.f, mode, PAGE + 100, 2 * PAGE));
	assert_before(&t, FUSE_WRITE, FUSE_FALLOCATE);
	assert_reads_old(t.f, 0, PAGE);
	assert_reads_turn(t.f, 1, PAGE, 100);
	assert_reads_zeros(t.f, PAGE + 100, 2 * PAGE);
	assert_reads_turn(t.f, 1, 3 * PAGE + 100, 2 * PAGE - 100);
	assert_reads_old(t.f, 5 * PAGE, 3 * PAGE);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, PAGE, 100);
	assert_server_turn(&t, 1, 3 * PAGE + 100, 2 * PAGE - 100);
	assert_int_equal(size_of(t.f), 8 * PAGE);
	finish(&t);
}

static void punch_hole_and_zero_range(void **state)
{
	punch(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE);
	punch(FALLOC_FL_ZERO_RANGE);
}

static void punch_that_fails(void **state)
{
	struct t t = begin(.writeback = true, .size = 8 * PAGE);

	put_at(t.f, 1, PAGE, 4 * PAGE);
	wdata_trick(t.w, (struct wdata_rule){FUSE_FALLOCATE, 0, 1, WDATA_FAIL, EIO});
	fails(pf_fallocate(t.f, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, PAGE, PAGE), EIO);
	assert_reads_turn(t.f, 1, PAGE, 4 * PAGE);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, PAGE, 4 * PAGE);
	finish(&t);
}

static void fallocate_makes_the_file_larger(void **state)
{
	for (int wb = 0; wb < 2; wb++) {
		struct t t = begin(.writeback = wb, .size = 100);

		put_at(t.f, 1, 0, 200);
		ok(pf_fallocate(t.f, 0, 0, 10000));
		assert_int_equal(size_of(t.f), 10000);
		assert_reads_turn(t.f, 1, 0, 200);
		assert_reads_zeros(t.f, 200, 9800);
		ok(pf_close(t.f));
		t.f = NULL;
		assert_int_equal(wdata_size(t.w), 10000);
		assert_server_turn(&t, 1, 0, 200);
		finish(&t);
	}
}

/* ---- copy_file_range */

static int copy_op(struct t *t)
{
	return wdata_count(t->w, FUSE_COPY_FILE_RANGE_64) ? FUSE_COPY_FILE_RANGE_64
							  : FUSE_COPY_FILE_RANGE;
}

static void copy_takes_dirty_data_along(void **state)
{
	struct t t = begin(.writeback = true, .size = 0x6000);
	off_t in = 0, out = 0x3000;

	put_at(t.f, 1, 0, 0x3000);
	assert_int_equal(pf_copy_file_range(t.f, &in, t.f, &out, 0x3000, 0), 0x3000);
	assert_before(&t, FUSE_WRITE, copy_op(&t));
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, 0).offset, 0);
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, 0).size, 0x3000);
	for (int half = 0; half < 2; half++) {
		unsigned char *p = bytes_of(1, 0, 0x3000);

		assert_reads(t.f, half * 0x3000, p, 0x3000);
		wdata_assert_at(t.w, half * 0x3000, p, 0x3000);
		free(p);
	}
	finish(&t);
}

static void copy_evicts_the_destination(void **state)
{
	for (int wb = 0; wb < 2; wb++) {
		struct t t = begin(.writeback = wb, .size = 0x40000);
		off_t in = 0x10000, out = 0x20000;
		unsigned char *p = malloc(0x10000);

		for (uint64_t i = 0; i < 0x10000; i++)
			p[i] = wdata_byte(0x10000 + i);
		assert_reads_old(t.f, 0x20000, 0x10000);
		assert_int_equal(pf_copy_file_range(t.f, &in, t.f, &out, 0x10000, 0), 0x10000);
		wdata_text(t.w);
		assert_reads(t.f, 0x20000, p, 0x10000);
		assert_true(strstr(wdata_text(t.w), "READ("));
		free(p);
		finish(&t);
	}
}

/* Dirty data at the destination is older than the copy, around it it is not touched. */
static void copy_over_dirty_data(void **state)
{
	struct t t = begin(.writeback = true, .size = 0x6000);
	unsigned char *p = malloc(PAGE);
	off_t in = 0, out = 0x3800;

	for (uint64_t i = 0; i < PAGE; i++)
		p[i] = wdata_byte(i);
	put_at(t.f, 1, 0x3000, 0x3000);
	assert_int_equal(pf_copy_file_range(t.f, &in, t.f, &out, PAGE, 0), PAGE);
	assert_reads_turn(t.f, 1, 0x3000, 0x800);
	assert_reads(t.f, 0x3800, p, PAGE);
	assert_reads_turn(t.f, 1, 0x4800, 0x1800);
	ok(pf_fsync(t.f, 0));
	wdata_assert_at(t.w, 0x3800, p, PAGE);
	assert_server_turn(&t, 1, 0x3000, 0x800);
	assert_server_turn(&t, 1, 0x4800, 0x1800);
	free(p);
	finish(&t);
}

static void copy_beyond_the_end(void **state)
{
	struct t t = begin(.writeback = true, .size = 0);
	off_t in = 0, out = 10000;

	put_at(t.f, 1, 0, 5000);
	assert_int_equal(pf_copy_file_range(t.f, &in, t.f, &out, 5000, 0), 5000);
	assert_int_equal(size_of(t.f), 15000);
	assert_reads_turn(t.f, 1, 0, 5000);
	assert_reads_zeros(t.f, 5000, 5000);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_int_equal(wdata_size(t.w), 15000);
	finish(&t);
}

static void copy_that_fails(void **state)
{
	struct t t = begin(.writeback = true, .size = 0x6000);
	off_t in = 0, out = 0x3000;

	put_at(t.f, 1, 0x3000, 0x1000);
	wdata_trick(t.w, (struct wdata_rule){FUSE_COPY_FILE_RANGE_64, 0, 9, WDATA_FAIL, EIO});
	wdata_trick(t.w, (struct wdata_rule){FUSE_COPY_FILE_RANGE, 0, 9, WDATA_FAIL, EIO});
	fails(pf_copy_file_range(t.f, &in, t.f, &out, 0x3000, 0), EIO);
	assert_int_equal(in, 0);
	assert_int_equal(out, 0x3000);
	assert_reads_turn(t.f, 1, 0x3000, 0x1000);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0x3000, 0x1000);
	assert_server_old(&t, 0x4000, 0x2000);
	finish(&t);
}

/* Without the opcode it is reading and writing, with the same result. */
static void copy_without_the_opcode(void **state)
{
	struct t t = begin(.writeback = true, .minor = 27);
	off_t in = 0, out = 0x1000;

	put_at(t.f, 1, 0, 0x1000);
	assert_int_equal(pf_copy_file_range(t.f, &in, t.f, &out, 0x1000, 0), 0x1000);
	assert_came(&t, FUSE_COPY_FILE_RANGE, 0);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_int_equal(wdata_size(t.w), 0x2000);
	assert_server_turn(&t, 1, 0, 0x1000);
	finish(&t);
}

/* A source that cannot be written is not copied as if it had been. */
static void copy_of_what_cannot_be_written(void **state)
{
	struct t t = begin(.writeback = true, .size = 0x6000);
	off_t in = 0, out = 0x3000;

	put_at(t.f, 1, 0, 0x1000);
	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 9, WDATA_FAIL, ENOSPC});
	fails(pf_copy_file_range(t.f, &in, t.f, &out, 0x1000, 0), ENOSPC);
	assert_came(&t, copy_op(&t), 0);
	assert_int_equal(stats(&t).pages_lost, 1);
	pf_close(t.f);
	t.f = NULL;
	finish(&t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(truncate_down_and_up),
	    write_test(truncate_by_name),
	    write_test(truncate_into_dirty_data),
	    write_test(truncate_to_nothing),
	    write_test(truncate_waits_for_write_back),
	    write_test(truncate_that_fails),
	    write_test(open_trunc_drops_dirty_data),
	    write_test(seek_end_is_local),
	    write_test(punch_hole_and_zero_range),
	    write_test(punch_that_fails),
	    write_test(fallocate_makes_the_file_larger),
	    write_test(copy_takes_dirty_data_along),
	    write_test(copy_evicts_the_destination),
	    write_test(copy_over_dirty_data),
	    write_test(copy_beyond_the_end),
	    write_test(copy_that_fails),
	    write_test(copy_without_the_opcode),
	    write_test(copy_of_what_cannot_be_written),
	};

	return run_write_tests(argc, argv, tests);
}
