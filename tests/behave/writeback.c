// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writing with WRITEBACK_CACHE: a write dirties pages and returns; what goes to the server, in what
 * pieces, with what marks on it, and through which handle.
 */
#include "tests/behave/writes.h"

/* ---- not at once */

static void nothing_is_sent_while_open(void **state)
{
	struct t t = begin(.writeback = true);
	struct pf_stats s;

	put_at(t.f, 1, 0, 100);
	put_at(t.f, 1, 5000, 3000);
	mock_settle(t.m);
	assert_text(&t, "");
	s = stats(&t);
	assert_int_equal(s.writes_back, 2);
	assert_int_equal(s.writes_through + s.writes_direct, 0);
	assert_int_equal(s.bytes_written, 3100);
	assert_int_equal(s.pages_dirty, 2);
	assert_int_equal(size_of(t.f), 8000);
	assert_reads_turn(t.f, 1, 0, 100);
	assert_reads_zeros(t.f, 100, 4900);
	assert_reads_turn(t.f, 1, 5000, 3000);
	finish(&t);
}

static void close_writes_before_flush_and_release(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_server_turn(&t, 1, 0, 100);
	assert_int_equal(stats(&t).pages_dirty, 0);
	assert_int_equal(stats(&t).pages_flushed, 1);
	mock_settle(t.m);
	assert_before(&t, FUSE_WRITE, FUSE_FLUSH);
	assert_before(&t, FUSE_FLUSH, FUSE_RELEASE);
	assert_before(&t, FUSE_SETATTR, FUSE_RELEASE);
	assert_came(&t, FUSE_WRITE, 1);
	assert_came(&t, FUSE_FSYNC, 0);
	finish(&t);
}

/* Every close of a descriptor writes, not only the last. */
static void close_of_a_duplicate_writes(void **state)
{
	struct t t = begin(.writeback = true);
	struct pf_file *g;

	ok(pf_dup(t.f, &g));
	put_at(t.f, 1, 0, 100);
	ok(pf_close(g));
	assert_server_turn(&t, 1, 0, 100);
	assert_before(&t, FUSE_WRITE, FUSE_FLUSH);
	assert_came(&t, FUSE_RELEASE, 0);
	put_at(t.f, 2, 0, 100);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_server_turn(&t, 2, 0, 100);
	finish(&t);
}

/* NOFLUSH is for servers that need no FLUSH; data that waits here does not care: as without it. */
static void noflush_writes_all_the_same(void **state)
{
	struct t t = begin(.writeback = true, .fopen = FOPEN_NOFLUSH);

	put_at(t.f, 1, 0, 100);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_server_turn(&t, 1, 0, 100);
	mock_settle(t.m);
	assert_came(&t, FUSE_FLUSH, 1);
	assert_came(&t, FUSE_RELEASE, 1);
	assert_before(&t, FUSE_WRITE, FUSE_FLUSH);
	finish(&t);
}

/* ---- marks */

static void marks_of_a_late_write(void **state)
{
	struct pf_caller who = {.size = sizeof(who), .uid = 1234, .gid = 567, .pid = 89};
	struct t t = begin(.writeback = true, .closed = true);
	struct wdata_event e;
	struct pf_fs *view;

	ok(pf_as(t.m->fs, &who, &view));
	ok(pf_open(view, "foo", O_RDWR, 0, &t.f));
	put_at(t.f, 1, 0, 100);
	ok(pf_fsync(t.f, 0));
	e = wdata_nth(t.w, FUSE_WRITE, 0);
	assert_true(e.op_flags & FUSE_WRITE_CACHE);
	assert_false(e.op_flags & FUSE_WRITE_LOCKOWNER);
	assert_int_equal(e.uid, 0);
	assert_int_equal(e.gid, 0);
	assert_int_equal(e.pid, 0);
	assert_int_equal(e.fh, t.w->last_fh);
	assert_int_equal(wdata_nth(t.w, FUSE_FSYNC, 0).uid, 1234); /* that is the caller's */
	ok(pf_close(t.f));
	t.f = NULL;
	pf_view_free(view);
	finish(&t);
}

/* WRITE takes a writable handle, whoever asks for it to be written. */
static void a_writable_handle_is_used(void **state)
{
	struct t t = begin(.writeback = true, .oflags = O_WRONLY);
	struct pf_file *g;

	ok(pf_open(t.m->fs, "foo", O_RDONLY, 0, &g));
	put_at(t.f, 1, 0, 100);
	ok(pf_fsync(g, 0));
	assert_came(&t, FUSE_WRITE, 1);
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, 0).fh, t.w->last_fh - 1);
	assert_int_equal(wdata_nth(t.w, FUSE_FSYNC, 0).fh, t.w->last_fh);
	assert_server_turn(&t, 1, 0, 100);
	put_at(t.f, 2, 0, 100);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_server_turn(&t, 2, 0, 100);
	assert_reads_turn(g, 2, 0, 100); /* though the writer has gone */
	ok(pf_close(g));
	finish(&t);
}

/* ---- pieces */

static void adjacent_pages_are_one_write(void **state)
{
	static const int order[] = {3, 0, 7, 1, 6, 2, 5, 4};
	struct t t = begin(.writeback = true);

	for (int i = 0; i < 8; i++)
		put_at(t.f, 1, order[i] * PAGE, PAGE);
	ok(pf_fsync(t.f, 0));
	assert_came(&t, FUSE_WRITE, 1);
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, 0).size, 8 * PAGE);
	assert_server_turn(&t, 1, 0, 8 * PAGE);
	finish(&t);
}

static void adjacent_bytes_are_one_write(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	put_at(t.f, 1, 100, 100);
	put_at(t.f, 1, 9000, 10000); /* the end of one page, a whole one, the start of another */
	ok(pf_fsync(t.f, 0));
	assert_came(&t, FUSE_WRITE, 2);
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, 0).size + wdata_nth(t.w, FUSE_WRITE, 1).size,
			 10200);
	assert_server_turn(&t, 1, 0, 200);
	assert_server_turn(&t, 1, 9000, 10000);
	finish(&t);
}

static void pieces_are_max_write_at_most(void **state)
{
	struct t t = begin(.writeback = true, .max_write = 32768);
	uint64_t sum = 0;

	put_at(t.f, 1, 1000, 100000);
	ok(pf_fsync(t.f, 0));
	for (int i = 0; i < wdata_count(t.w, FUSE_WRITE); i++) {
		assert_in_range(wdata_nth(t.w, FUSE_WRITE, i).size, 1, 32768);
		sum += wdata_nth(t.w, FUSE_WRITE, i).size;
	}
	assert_int_equal(sum, 100000);
	assert_in_range(wdata_count(t.w, FUSE_WRITE), 4, 6);
	assert_server_turn(&t, 1, 1000, 100000);
	finish(&t);
}

/* ---- parts of pages */

static void part_of_a_page_is_not_read(void **state)
{
	struct t t = begin(.writeback = true, .size = 2 * PAGE);

	put_at(t.f, 1, 100, 50);
	ok(pf_fsync(t.f, 0));
	assert_came(&t, FUSE_READ, 0);
	assert_came(&t, FUSE_WRITE, 1);
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, 0).offset, 100);
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, 0).size, 50);
	assert_server_old(&t, 0, 100);
	assert_server_turn(&t, 1, 100, 50);
	assert_server_old(&t, 150, 2 * PAGE - 150);
	finish(&t);
}

static void reading_the_rest_keeps_what_is_dirty(void **state)
{
	struct t t = begin(.writeback = true, .size = 2 * PAGE);

	put_at(t.f, 1, 100, 50);
	put_at(t.f, 1, PAGE - 20, 40);
	assert_came(&t, FUSE_WRITE, 0);
	assert_reads_old(t.f, 0, 100);
	assert_reads_turn(t.f, 1, 100, 50);
	assert_reads_old(t.f, 150, PAGE - 170);
	assert_reads_turn(t.f, 1, PAGE - 20, 40);
	assert_reads_old(t.f, PAGE + 20, PAGE - 20);
	assert_true(wdata_count(t.w, FUSE_READ) >= 1);
	finish(&t);
}

/* What needs no more than the dirty bytes asks for nothing. */
static void dirty_bytes_are_read_without_a_request(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);

	put_at(t.f, 1, 0, PAGE);
	assert_reads_turn(t.f, 1, 0, PAGE);
	assert_text(&t, "");
	assert_true(stats(&t).page_hits >= 1);
	finish(&t);
}

/* Two separate writes in a page need the rest of it: also a write-only handle may READ then. */
static void separate_writes_in_one_page(void **state)
{
	struct t t = begin(.writeback = true, .size = 2 * PAGE, .oflags = O_WRONLY);

	put_at(t.f, 1, 100, 50);
	put_at(t.f, 2, 1000, 50);
	put_at(t.f, 3, 3000, 50);
	ok(pf_fsync(t.f, 0));
	assert_true(wdata_count(t.w, FUSE_READ) <= 1);
	assert_server_old(&t, 0, 100);
	assert_server_turn(&t, 1, 100, 50);
	assert_server_old(&t, 150, 850);
	assert_server_turn(&t, 2, 1000, 50);
	assert_server_turn(&t, 3, 3000, 50);
	assert_server_old(&t, 3050, 2 * PAGE - 3050);
	finish(&t);
}

static void overlapping_writes_in_one_page(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);

	put_at(t.f, 1, 100, 100);
	put_at(t.f, 2, 150, 100);
	put_at(t.f, 3, 50, 60);
	ok(pf_fsync(t.f, 0));
	assert_came(&t, FUSE_READ, 0);
	assert_came(&t, FUSE_WRITE, 1);
	assert_server_turn(&t, 3, 50, 60);
	assert_server_turn(&t, 1, 110, 40);
	assert_server_turn(&t, 2, 150, 100);
	assert_server_old(&t, 250, PAGE - 250);
	finish(&t);
}

/* The server cut its file meanwhile: what is read to fill a page ends early, the write stands. */
static void end_comes_early_while_filling(void **state)
{
	struct t t = begin(.writeback = true, .size = 100);

	wdata_set_size(t.w, 50);
	put_at(t.f, 1, 1, 9);
	put_at(t.f, 2, 20, 9);
	assert_reads_old(t.f, 0, 1);
	assert_reads_turn(t.f, 1, 1, 9);
	ok(pf_fsync(t.f, 0));
	assert_server_old(&t, 0, 1);
	assert_server_turn(&t, 1, 1, 9);
	assert_server_old(&t, 10, 10);
	assert_server_turn(&t, 2, 20, 9);
	finish(&t);
}

/* ---- beyond the server's end */

static void end_of_the_servers_file_is_not_ours(void **state)
{
	struct t t = begin(.writeback = true, .size = 8);

	put_at(t.f, 1, 65536, 8);
	assert_int_equal(size_of(t.f), 65544);
	assert_reads_old(t.f, 0, 8);
	assert_reads_zeros(t.f, 8, 65528);
	assert_reads_turn(t.f, 1, 65536, 8);
	assert_int_equal(size_of(t.f), 65544);
	assert_came(&t, FUSE_WRITE, 0);
	ok(pf_fsync(t.f, 0));
	assert_came(&t, FUSE_WRITE, 1);
	assert_int_equal(wdata_size(t.w), 65544);
	finish(&t);
}

static void far_beyond_four_gigabytes(void **state)
{
	uint64_t at = (5ull << 30) + 123;
	struct t t = begin(.writeback = true);

	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 100, WDATA_FAIL, ENOSPC});
	put_at(t.f, 1, at, 5000);
	assert_int_equal(size_of(t.f), at + 5000);
	assert_reads_turn(t.f, 1, at, 5000);
	fails(pf_fsync(t.f, 0), ENOSPC); /* the server's buffer would be too large */
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, 0).offset, at);
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, 0).size, 5000);
	ok(pf_ftruncate(t.f, 0));
	finish(&t);
}

static void limits(void **state)
{
	struct t t = begin(.writeback = true, .size = 10);
	ssize_t r;

	fails(pf_pwrite(t.f, "x", 1, -1), EINVAL);
	fails(pf_pwrite(t.f, "x", 1, INT64_MAX), EFBIG);
	r = pf_pwrite(t.f, "xyz", 3, INT64_MAX);
	assert_true(r == -EFBIG || r == -EINVAL);
	assert_int_equal(size_of(t.f), 10);
	assert_int_equal(pf_pwrite(t.f, "", 0, 100), 0);
	assert_int_equal(size_of(t.f), 10);
	assert_int_equal(stats(&t).pages_dirty, 0);
	finish(&t);
}

/* ---- appending */

static void append_at_the_local_end(void **state)
{
	struct t t = begin(.writeback = true, .size = 10, .oflags = O_RDWR | O_APPEND);
	unsigned char *p = bytes_of(1, 10, 30);

	assert_int_equal(pf_write(t.f, p, 10), 10);
	assert_int_equal(pf_write(t.f, p + 10, 10), 10);
	assert_int_equal(pf_pwrite(t.f, p + 20, 10, 0), 10); /* appends, whatever is said */
	assert_int_equal(size_of(t.f), 40);
	assert_came(&t, FUSE_WRITE, 0);
	ok(pf_fsync(t.f, 0));
	assert_came(&t, FUSE_WRITE, 1);
	wdata_assert_at(t.w, 10, p, 30);
	assert_server_old(&t, 0, 10);
	free(p);
	finish(&t);
}

/* The file grew at the server before it was opened for appending. */
static void append_asks_when_stale(void **state)
{
	struct t t = begin(.writeback = true, .size = 10, .stale = true, .closed = true);
	struct stat st;

	ok(pf_stat(t.m->fs, "foo", &st));
	wdata_set_size(t.w, 20);
	ok(pf_open(t.m->fs, "foo", O_WRONLY | O_APPEND, 0, &t.f));
	assert_int_equal(pf_write(t.f, "abc", 3), 3);
	ok(pf_fsync(t.f, 0));
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, 0).offset, 20);
	assert_int_equal(wdata_size(t.w), 23);
	finish(&t);
}

/* The position moves with what was written, and is shared by descriptors. */
static void position_moves(void **state)
{
	struct t t = begin(.writeback = true, .size = 3);
	char ab[] = "ab", cde[] = "cde";
	struct iovec iov[] = {{ab, 2}, {cde, 3}};
	struct pf_file *g;

	ok(pf_dup(t.f, &g));
	assert_int_equal(pf_writev(t.f, iov, 2), 5);
	assert_int_equal(pf_write(g, "fg", 2), 2);
	assert_int_equal(pf_lseek(t.f, 0, SEEK_CUR), 7);
	assert_int_equal(pf_lseek(t.f, -2, SEEK_END), 5);
	assert_int_equal(pf_write(t.f, "FG", 2), 2);
	assert_came(&t, FUSE_WRITE, 0);
	ok(pf_close(g));
	wdata_assert(t.w, "abcdeFG", 7);
	finish(&t);
}

/* ---- flags of a call and of an open */

static ssize_t write2(struct t *t, off_t offset, int flags)
{
	char abc[] = "abc";
	struct iovec iov = {abc, 3};

	return pf_pwritev2(t->f, &iov, 1, offset, flags);
}

static void flags_of_one_call(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);

	assert_int_equal(write2(&t, 0, RWF_NOWAIT), 3);
	assert_text(&t, "");
	assert_int_equal(write2(&t, 100, RWF_APPEND), 3);
	assert_int_equal(size_of(t.f), PAGE + 3);
	assert_text(&t, "");
	assert_int_equal(write2(&t, 3, RWF_DSYNC), 3);
	assert_before(&t, FUSE_WRITE, FUSE_FSYNC);
	assert_int_equal(wdata_nth(t.w, FUSE_FSYNC, 0).op_flags, FUSE_FSYNC_FDATASYNC);
	wdata_assert_at(t.w, 3, "abc", 3);
	assert_int_equal(write2(&t, 6, RWF_SYNC), 3);
	assert_int_equal(wdata_nth(t.w, FUSE_FSYNC, 1).op_flags, 0);
	wdata_assert_at(t.w, 6, "abc", 3);
	fails(write2(&t, 0, 0x4000000), EOPNOTSUPP);
	finish(&t);
}

/* What would have to ask the server does not, and nothing is half done. */
static void nowait_does_not_wait(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	struct job *j;
	ssize_t r;

	put_at(t.f, 1, 0, PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	j = job(&t, job_fsync, 0, 0, 0);
	wdata_held(t.w);
	r = write2(&t, 0, RWF_NOWAIT); /* the page is being written back */
	assert_true(r == -EAGAIN || r == 3);
	wdata_unhold(t.w);
	ok(job_join(j));
	if (r == 3)
		assert_reads(t.f, 0, "abc", 3);
	else
		assert_reads_turn(t.f, 1, 0, PAGE);
	finish(&t);
}

static void sync_flags_write_at_once(void **state)
{
	struct t t = begin(.writeback = true, .oflags = O_RDWR | O_DSYNC);

	put_at(t.f, 1, 0, 100);
	assert_server_turn(&t, 1, 0, 100);
	assert_before(&t, FUSE_WRITE, FUSE_FSYNC);
	assert_int_equal(wdata_nth(t.w, FUSE_FSYNC, 0).op_flags, FUSE_FSYNC_FDATASYNC);
	finish(&t);
}

/* Bits that the server must drop go with a WRITE of the caller's own. */
static void suid_is_written_through(void **state)
{
	struct pf_caller who = {.size = sizeof(who), .uid = 1234, .gid = 567, .pid = 89};
	struct t t = begin(.writeback = true, .flags = FUSE_HANDLE_KILLPRIV_V2, .mode = 04777,
			   .closed = true);
	struct wdata_event e;
	struct pf_fs *view;

	ok(pf_as(t.m->fs, &who, &view));
	ok(pf_open(view, "foo", O_RDWR, 0, &t.f));
	put_at(t.f, 1, 0, 100);
	assert_came(&t, FUSE_WRITE, 1);
	e = wdata_nth(t.w, FUSE_WRITE, 0);
	assert_true(e.op_flags & FUSE_WRITE_KILL_SUIDGID);
	assert_false(e.op_flags & FUSE_WRITE_CACHE);
	assert_int_equal(e.pid, 89);
	assert_int_equal(stats(&t).writes_through, 1);
	ok(pf_close(t.f));
	t.f = NULL;
	pf_view_free(view);
	finish(&t);
}

/* ---- names that go */

static void unlinked_while_dirty(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	mock_empty(t.m, FUSE_UNLINK, 1);
	ok(pf_unlink(t.m->fs, "foo"));
	assert_reads_turn(t.f, 1, 0, 100);
	put_at(t.f, 2, 100, 100);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_int_equal(stats(&t).pages_lost, 0);
	assert_int_equal(stats(&t).pages_dirty, 0);
	assert_server_turn(&t, 1, 0, 100);
	assert_server_turn(&t, 2, 100, 100);
	finish(&t);
}

static void renamed_while_dirty(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	mock_lookup_error(t.m, 1, "bar", ENOENT);
	mock_any_times(mock_empty(t.m, FUSE_RENAME, 1));
	mock_any_times(mock_empty(t.m, FUSE_RENAME2, 1));
	ok(pf_rename(t.m->fs, "foo", "bar"));
	put_at(t.f, 2, 100, 100);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_server_turn(&t, 1, 0, 100);
	assert_server_turn(&t, 2, 100, 100);
	finish(&t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(nothing_is_sent_while_open),
	    write_test(close_writes_before_flush_and_release),
	    write_test(close_of_a_duplicate_writes),
	    write_test(noflush_writes_all_the_same),
	    write_test(marks_of_a_late_write),
	    write_test(a_writable_handle_is_used),
	    write_test(adjacent_pages_are_one_write),
	    write_test(adjacent_bytes_are_one_write),
	    write_test(pieces_are_max_write_at_most),
	    write_test(part_of_a_page_is_not_read),
	    write_test(reading_the_rest_keeps_what_is_dirty),
	    write_test(dirty_bytes_are_read_without_a_request),
	    write_test(separate_writes_in_one_page),
	    write_test(overlapping_writes_in_one_page),
	    write_test(end_comes_early_while_filling),
	    write_test(end_of_the_servers_file_is_not_ours),
	    write_test(far_beyond_four_gigabytes),
	    write_test(limits),
	    write_test(append_at_the_local_end),
	    write_test(append_asks_when_stale),
	    write_test(position_moves),
	    write_test(flags_of_one_call),
	    write_test(nowait_does_not_wait),
	    write_test(sync_flags_write_at_once),
	    write_test(suid_is_written_through),
	    write_test(unlinked_while_dirty),
	    write_test(renamed_while_dirty),
	};

	return run_write_tests(argc, argv, tests);
}
