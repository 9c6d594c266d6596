// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writing through the cache without WRITEBACK_CACHE: each write is at the server before the call
 * returns, and the pages that it filled can be read without asking again.
 */
#include "tests/behave/writes.h"

/* ---- how it is sent */

static void sent_before_it_returns(void **state)
{
	struct t t = begin(.size = 100);
	struct wdata_event e;
	struct pf_stats s;

	put_at(t.f, 1, 10, 20);
	assert_text(&t, "WRITE(10,20)");
	assert_server_turn(&t, 1, 10, 20);
	e = wdata_nth(t.w, FUSE_WRITE, 0);
	assert_int_equal(e.pid, getpid());
	assert_int_equal(e.uid, geteuid());
	assert_int_equal(e.gid, getegid());
	assert_int_equal(e.fh, t.w->last_fh);
	assert_int_equal(e.flags & O_ACCMODE, O_RDWR);
	assert_int_equal(e.op_flags & (FUSE_WRITE_CACHE | FUSE_WRITE_LOCKOWNER), 0);
	assert_int_equal(e.lock_owner, 0);
	s = stats(&t);
	assert_int_equal(s.writes_through, 1);
	assert_int_equal(s.writes_back + s.writes_direct, 0);
	assert_int_equal(s.bytes_written, 20);
	assert_int_equal(s.pages_dirty, 0);
	finish(&t);
}

/* Nothing is left for close, and times are the server's business. */
static void close_sends_no_data_and_no_times(void **state)
{
	struct t t = begin(.size = 100);

	put_at(t.f, 1, 0, 50);
	ok(pf_close(t.f));
	t.f = NULL;
	mock_settle(t.m);
	assert_text(&t, "WRITE(0,50) FLUSH RELEASE");
	finish(&t);
}

/* Every WRITE is within max_write, they follow each other without gap, and all arrives. */
static void assert_chunks(struct t *t, uint64_t offset, uint64_t len, uint64_t max, bool one_page)
{
	uint64_t at = offset;

	for (int i = 0; i < wdata_count(t->w, FUSE_WRITE); i++) {
		struct wdata_event e = wdata_nth(t->w, FUSE_WRITE, i);

		assert_int_equal(e.offset, at);
		assert_in_range(e.size, 1, max);
		if (one_page)
			assert_int_equal(e.offset / PAGE, (e.offset + e.size - 1) / PAGE);
		at += e.size;
	}
	assert_int_equal(at, offset + len);
}

static void chunks_of_max_write(void **state)
{
	struct t t = begin(.max_write = 32768);

	put_at(t.f, 1, 0, 65536);
	assert_text(&t, "WRITE(0,32768) WRITE(32768,32768)");
	finish(&t);
	t = begin(.max_write = 32768);
	put_at(t.f, 2, 100, 100000);
	assert_chunks(&t, 100, 100000, 32768, false);
	assert_server_turn(&t, 2, 100, 100000);
	assert_true(wdata_count(t.w, FUSE_WRITE) <= 5);
	finish(&t);
}

static void one_page_each_without_big_writes(void **state)
{
	struct t t = begin(.small_writes = true);

	put_at(t.f, 1, 0, 3 * PAGE);
	assert_text(&t, "WRITE(0,4096) WRITE(4096,4096) WRITE(8192,4096)");
	finish(&t);
	t = begin(.small_writes = true);
	put_at(t.f, 1, 100, 2 * PAGE);
	assert_chunks(&t, 100, 2 * PAGE, PAGE, true);
	assert_server_turn(&t, 1, 100, 2 * PAGE);
	finish(&t);
}

static void many_vectors(void **state)
{
	struct t t = begin(.max_write = 8192);
	unsigned char *p = bytes_of(1, 0, 30000);
	struct iovec iov[300];

	for (int i = 0; i < 300; i++)
		iov[i] = (struct iovec){p + 100 * i, 100};
	assert_int_equal(pf_pwritev(t.f, iov, 300, 0), 30000);
	assert_chunks(&t, 0, 30000, 8192, false);
	assert_server_turn(&t, 1, 0, 30000);
	assert_reads_turn(t.f, 1, 0, 30000);
	free(p);
	finish(&t);
}

static void nothing_sends_nothing(void **state)
{
	struct t t = begin(.size = 10);

	assert_int_equal(pf_pwrite(t.f, "", 0, 0), 0);
	assert_int_equal(pf_pwrite(t.f, "", 0, 1 << 20), 0);
	assert_text(&t, "");
	assert_int_equal(size_of(t.f), 10);
	finish(&t);
}

static void by_another_caller(void **state)
{
	struct pf_caller who = {.size = sizeof(who), .uid = 1234, .gid = 567, .pid = 89};
	struct t t = begin(.closed = true, .mode = 0666);
	struct wdata_event e;
	struct pf_fs *view;

	ok(pf_as(t.m->fs, &who, &view));
	ok(pf_open(view, "foo", O_RDWR, 0, &t.f));
	put_at(t.f, 1, 0, 10);
	e = wdata_nth(t.w, FUSE_WRITE, 0);
	assert_int_equal(e.uid, 1234);
	assert_int_equal(e.gid, 567);
	assert_int_equal(e.pid, 89);
	ok(pf_close(t.f));
	t.f = NULL;
	pf_view_free(view);
	finish(&t);
}

/* ---- answers */

static void short_answer_goes_on(void **state)
{
	struct t t = begin(.size = 100);

	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 1, WDATA_SHORT, 11});
	put_at(t.f, 1, 0, 16);
	assert_text(&t, "WRITE(0,16) WRITE(11,5)");
	assert_server_turn(&t, 1, 0, 16);
	assert_reads_turn(t.f, 1, 0, 16);
	finish(&t);
}

static void nothing_taken_is_eio(void **state)
{
	struct t t = begin(.size = 100, .max_write = 8192);
	unsigned char *p = bytes_of(1, 0, 16384);

	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 1, WDATA_SHORT, 0});
	fails(pf_pwrite(t.f, "1234567890123456", 16, 0), EIO);
	assert_came(&t, FUSE_WRITE, 1);
	/* Something was written: that is the count. */
	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 1, 1, WDATA_SHORT, 0});
	assert_int_equal(pf_pwrite(t.f, p, 16384, 0), 8192);
	assert_server_turn(&t, 1, 0, 8192);
	free(p);
	finish(&t);
}

static void claims(uint64_t n)
{
	struct t t = begin(.size = 16);

	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 1, WDATA_CLAIM, n});
	fails(pf_pwrite(t.f, "1234567890123456", 16, 8), EIO);
	assert_came(&t, FUSE_WRITE, 1);
	wdata_no_tricks(t.w);
	assert_int_equal(size_of(t.f), 24); /* what the server says now */
	finish(&t);
}

static void too_much_taken_is_eio(void **state)
{
	claims(100);
	claims(17);
	claims(3ull << 30);
	claims(UINT32_MAX);
}

static void error_after_a_chunk_is_a_short_count(void **state)
{
	struct t t = begin(.max_write = 8192);
	unsigned char *p = bytes_of(1, 0, 24576);

	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 1, 1, WDATA_FAIL, ENOSPC});
	assert_int_equal(pf_pwrite(t.f, p, 24576, 0), 8192);
	assert_came(&t, FUSE_WRITE, 2);
	assert_server_turn(&t, 1, 0, 8192);
	assert_int_equal(size_of(t.f), 8192);
	free(p);
	finish(&t);
}

static void error_drops_the_pages(void **state)
{
	struct t t = begin(.size = 2 * PAGE);

	assert_reads_old(t.f, 0, 2 * PAGE);
	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 1, WDATA_FAIL, EIO});
	fails(pf_pwrite(t.f, "1234567890123456", 16, 0), EIO);
	wdata_text(t.w);
	assert_reads_old(t.f, 0, PAGE); /* the server's, asked for again */
	assert_true(strstr(wdata_text(t.w), "READ("));
	ok(pf_fsync(t.f, 0)); /* the writer has been told */
	finish(&t);
}

static void each_error_is_the_callers(void **state)
{
	static const int errs[] = {EIO, ENOSPC, EDQUOT, EFBIG, EROFS, EACCES, EAGAIN, EINTR};
	struct t t = begin(.size = 10);

	for (size_t i = 0; i < sizeof(errs) / sizeof(*errs); i++) {
		wdata_no_tricks(t.w);
		wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 1, WDATA_FAIL, errs[i]});
		fails(pf_pwrite(t.f, "x", 1, 0), errs[i]);
	}
	put_at(t.f, 1, 0, 5);
	finish(&t);
}

/* ---- pages */

static void cached_page_is_changed(void **state)
{
	struct t t = begin(.size = 2 * PAGE);

	assert_reads_old(t.f, 0, 2 * PAGE);
	wdata_text(t.w);
	put_at(t.f, 1, 4000, 200);
	assert_reads_old(t.f, 0, 4000);
	assert_reads_turn(t.f, 1, 4000, 200);
	assert_reads_old(t.f, 4200, 2 * PAGE - 4200);
	assert_text(&t, "WRITE(4000,200)");
	finish(&t);
}

static void covered_page_is_cached(void **state)
{
	struct t t = begin(.size = 4 * PAGE);

	put_at(t.f, 1, PAGE, PAGE);
	assert_reads_turn(t.f, 1, PAGE, PAGE);
	assert_text(&t, "WRITE(4096,4096)");
	assert_true(stats(&t).page_hits >= 1);
	finish(&t);
}

static void part_of_a_page_is_not_read_first(void **state)
{
	struct t t = begin(.size = PAGE);

	put_at(t.f, 1, 100, 50);
	assert_text(&t, "WRITE(100,50)");
	assert_reads_old(t.f, 0, 100);
	assert_reads_turn(t.f, 1, 100, 50);
	assert_reads_old(t.f, 150, PAGE - 150);
	assert_came(&t, FUSE_READ, 1);
	finish(&t);
}

static void append_to_cached(void **state)
{
	struct t t = begin(.size = 2 * PAGE + 10, .oflags = O_RDWR | O_APPEND);
	unsigned char *p = bytes_of(1, 2 * PAGE + 10, 9);

	assert_reads_old(t.f, 0, 2 * PAGE + 10);
	wdata_text(t.w);
	assert_int_equal(pf_write(t.f, p, 9), 9);
	assert_text(&t, "WRITE(8202,9)");
	assert_reads_old(t.f, 0, 2 * PAGE + 10);
	assert_reads(t.f, 2 * PAGE + 10, p, 9);
	assert_text(&t, "");
	free(p);
	finish(&t);
}

static void append_asks_for_the_size(void **state)
{
	struct t t = begin(.size = 10, .oflags = O_WRONLY | O_APPEND, .stale = true);

	wdata_set_size(t.w, 20);
	assert_int_equal(pf_write(t.f, "abc", 3), 3);
	assert_text(&t, "WRITE(20,3)");
	assert_int_equal(wdata_size(t.w), 23);
	finish(&t);
}

static void hole_reads_as_zeros(void **state)
{
	struct t t = begin(.size = 0);

	put_at(t.f, 1, 10000, 5);
	assert_int_equal(size_of(t.f), 10005);
	assert_reads_zeros(t.f, 0, 10000);
	assert_reads_turn(t.f, 1, 10000, 5);
	finish(&t);
}

/* The bytes behind the end in its page are zeros, when the file grows over them. */
static void tail_of_the_last_page(void **state)
{
	struct t t = begin(.size = 100);

	assert_reads_old(t.f, 0, 100);
	put_at(t.f, 1, 3000, 2000);
	assert_reads_old(t.f, 0, 100);
	assert_reads_zeros(t.f, 100, 2900);
	assert_reads_turn(t.f, 1, 3000, 2000);
	finish(&t);
}

static void two_handles(void **state)
{
	struct t t = begin(.size = PAGE);
	struct pf_file *g;

	ok(pf_open(t.m->fs, "foo", O_RDONLY, 0, &g));
	assert_reads_old(g, 0, PAGE);
	wdata_text(t.w);
	put_at(t.f, 1, 1000, 100);
	assert_reads_turn(g, 1, 1000, 100);
	assert_text(&t, "WRITE(1000,100)");
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, 0).fh, t.w->last_fh - 1);
	ok(pf_close(g));
	finish(&t);
}

/* A page that is being read while it is written ends with what was written. */
static void write_while_the_page_is_read(void **state)
{
	struct t t = begin(.size = PAGE);
	struct mock_req *req;
	struct job *r, *w;

	wdata_hold(t.w, FUSE_READ);
	r = job(&t, job_read, 0, 0, PAGE);
	req = wdata_held(t.w);
	w = job(&t, job_write, 1, 100, 50);
	nap_ms(20); /* it may wait for the READ, or not */
	wdata_go(t.w, req);
	wdata_unhold(t.w);
	assert_int_equal(job_join(r), PAGE);
	assert_int_equal(job_join(w), 50);
	assert_reads_old(t.f, 0, 100);
	assert_reads_turn(t.f, 1, 100, 50);
	assert_reads_old(t.f, 150, PAGE - 150);
	finish(&t);
}

/* ---- beside the data */

static void sync_flags_send_fsync(void **state)
{
	struct t t = begin(.oflags = O_RDWR | O_SYNC);

	put_at(t.f, 1, 0, 8);
	assert_text(&t, "WRITE(0,8) FSYNC");
	assert_int_equal(wdata_nth(t.w, FUSE_FSYNC, 0).op_flags, 0);
	assert_int_equal(wdata_nth(t.w, FUSE_FSYNC, 0).fh, t.w->last_fh);
	finish(&t);
	t = begin(.oflags = O_RDWR | O_DSYNC);
	put_at(t.f, 1, 0, 8);
	assert_text(&t, "WRITE(0,8) FSYNC");
	assert_int_equal(wdata_nth(t.w, FUSE_FSYNC, 0).op_flags, FUSE_FSYNC_FDATASYNC);
	wdata_trick(t.w, (struct wdata_rule){FUSE_FSYNC, 0, 1, WDATA_FAIL, ENOSPC});
	fails(pf_pwrite(t.f, "x", 1, 0), ENOSPC);
	finish(&t);
}

static ssize_t write2(struct t *t, off_t offset, int flags)
{
	char abc[] = "abc";
	struct iovec iov = {abc, 3};

	return pf_pwritev2(t->f, &iov, 1, offset, flags);
}

static void flags_of_one_call(void **state)
{
	struct t t = begin(.size = 10);

	assert_int_equal(write2(&t, 0, RWF_DSYNC), 3);
	assert_text(&t, "WRITE(0,3) FSYNC");
	assert_int_equal(write2(&t, 0, RWF_SYNC), 3);
	assert_text(&t, "WRITE(0,3) FSYNC");
	assert_int_equal(write2(&t, 0, RWF_APPEND), 3);
	assert_text(&t, "WRITE(10,3)");
	assert_int_equal(write2(&t, -1, RWF_HIPRI), 3);
	assert_int_equal(pf_lseek(t.f, 0, SEEK_CUR), 3);
	assert_text(&t, "WRITE(0,3)");
	fails(write2(&t, 0, RWF_NOWAIT), EAGAIN); /* it would wait for the server */
	fails(write2(&t, 0, 0x4000000), EOPNOTSUPP);
	assert_text(&t, "");
	finish(&t);
}

static void kills_suid_and_sgid(void **state)
{
	struct pf_caller who = {.size = sizeof(who), .uid = 1234, .gid = 567, .pid = 89};
	struct t t = begin(.flags = FUSE_HANDLE_KILLPRIV_V2, .mode = 04777);
	struct pf_file *g;
	struct pf_fs *view;

	ok(pf_as(t.m->fs, &who, &view));
	ok(pf_open(view, "foo", O_RDWR, 0, &g));
	put_at(t.f, 1, 0, 1);
	put_at(g, 1, 0, 1);
	assert_false(wdata_nth(t.w, FUSE_WRITE, 0).op_flags & FUSE_WRITE_KILL_SUIDGID);
	assert_true(wdata_nth(t.w, FUSE_WRITE, 1).op_flags & FUSE_WRITE_KILL_SUIDGID);
	ok(pf_close(g));
	pf_view_free(view);
	finish(&t);
}

static void limits(void **state)
{
	struct t t = begin(.size = 10);
	ssize_t r;

	fails(pf_pwrite(t.f, "x", 1, -1), EINVAL);
	fails(pf_pwrite(t.f, "x", 1, INT64_MAX), EFBIG);
	assert_text(&t, "");
	r = pf_pwrite(t.f, "xyz", 3, INT64_MAX);
	assert_true(r == -EFBIG || r == -EINVAL);
	assert_int_equal(size_of(t.f), 10);
	fails(pf_pwrite(t.f, "x", 1, INT64_MIN), EINVAL);
	finish(&t);
}

/* The size shrinks behind us while we look at it: one WRITE, and no harm. */
static void end_moves_during_a_write(void **state)
{
	for (int wb = 0; wb < 2; wb++)
		for (int n = 1; n <= 3; n++) {
			struct t t = begin(.size = 131072, .stale = true, .writeback = wb);

			t.w->shrink_at = n;
			t.w->shrink_to = 65536;
			put_at(t.f, 1, 0, 65536);
			ok(pf_fsync(t.f, 0));
			assert_came(&t, FUSE_WRITE, 1);
			assert_int_equal(wdata_nth(t.w, FUSE_WRITE, 0).size, 65536);
			assert_server_turn(&t, 1, 0, 65536);
			assert_came(&t, FUSE_READ, 0);
			finish(&t);
		}
}

static void writers_take_turns(void **state)
{
	struct t t = begin(.size = PAGE);
	struct mock_req *one, *two;
	struct job *a, *b;

	wdata_hold(t.w, FUSE_WRITE);
	a = job(&t, job_write, 1, 0, 100);
	one = wdata_held(t.w);
	b = job(&t, job_write, 2, 50, 100);
	nap_ms(20);
	assert_came(&t, FUSE_WRITE, 1); /* per inode one at a time */
	wdata_go(t.w, one);
	assert_int_equal(job_join(a), 100);
	two = wdata_held(t.w);
	wdata_go(t.w, two);
	assert_int_equal(job_join(b), 100);
	wdata_unhold(t.w);
	assert_reads_turn(t.f, 1, 0, 50);
	assert_reads_turn(t.f, 2, 50, 100);
	finish(&t);
}

/* ---- which mode */

static int keep_flags(struct mock *m, struct mock_req *req, void *ctx)
{
	const struct fuse_init_in *in = req->arg;

	*(uint64_t *)ctx = in->flags | (uint64_t)in->flags2 << 32;
	return 0;
}

static uint64_t offered(bool no_writeback)
{
	struct how h = {.no_writeback = no_writeback};
	struct mock_options o = options_of(&h);
	uint64_t flags = 0;

	o.init_fn = keep_flags;
	o.init_ctx = &flags;
	mock_end(mock_start(&o));
	return flags;
}

static void writeback_is_offered(void **state)
{
	assert_true(offered(false) & FUSE_WRITEBACK_CACHE);
	assert_true(offered(false) & FUSE_BIG_WRITES);
	assert_false(offered(true) & FUSE_WRITEBACK_CACHE);
}

/* The server says yes to what was not offered: it is not so. */
static void not_offered_is_not_taken(void **state)
{
	struct t t = begin(.writeback = true, .no_writeback = true);

	put_at(t.f, 1, 0, 100);
	assert_text(&t, "WRITE(0,100)");
	assert_int_equal(stats(&t).writes_through, 1);
	finish(&t);
}

static void no_cache_no_pages(void **state)
{
	struct t t = begin(.writeback = true, .cache = PF_CACHE_NONE, .size = PAGE);

	put_at(t.f, 1, 0, 100);
	assert_text(&t, "WRITE(0,100)");
	assert_false(wdata_nth(t.w, FUSE_WRITE, 0).op_flags & FUSE_WRITE_CACHE);
	assert_int_equal(stats(&t).writes_direct, 1);
	assert_int_equal(stats(&t).pages, 0);
	finish(&t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(sent_before_it_returns),
	    write_test(close_sends_no_data_and_no_times),
	    write_test(chunks_of_max_write),
	    write_test(one_page_each_without_big_writes),
	    write_test(many_vectors),
	    write_test(nothing_sends_nothing),
	    write_test(by_another_caller),
	    write_test(short_answer_goes_on),
	    write_test(nothing_taken_is_eio),
	    write_test(too_much_taken_is_eio),
	    write_test(error_after_a_chunk_is_a_short_count),
	    write_test(error_drops_the_pages),
	    write_test(each_error_is_the_callers),
	    write_test(cached_page_is_changed),
	    write_test(covered_page_is_cached),
	    write_test(part_of_a_page_is_not_read_first),
	    write_test(append_to_cached),
	    write_test(append_asks_for_the_size),
	    write_test(hole_reads_as_zeros),
	    write_test(tail_of_the_last_page),
	    write_test(two_handles),
	    write_test(write_while_the_page_is_read),
	    write_test(sync_flags_send_fsync),
	    write_test(flags_of_one_call),
	    write_test(kills_suid_and_sgid),
	    write_test(limits),
	    write_test(end_moves_during_a_write),
	    write_test(writers_take_turns),
	    write_test(writeback_is_offered),
	    write_test(not_offered_is_not_taken),
	    write_test(no_cache_no_pages),
	};

	return run_write_tests(argc, argv, tests);
}
