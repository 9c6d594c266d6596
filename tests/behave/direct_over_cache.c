// SPDX-License-Identifier: BSD-2-Clause
/*
 * Direct reads and writes beside cached pages, clean and dirty: what is written first, what goes,
 * what stays, and that neither path ever shows old data of the other.
 */
#include "tests/behave/writes.h"

/* The same file, opened once more with other flags of the server. */
static struct pf_file *open_again(struct t *t, int oflags, uint32_t fopen_flags)
{
	struct pf_file *g;

	t->w->open_flags = fopen_flags;
	ok(pf_open(t->m->fs, "foo", oflags, 0, &g));
	wdata_text(t->w);
	return g;
}

static struct pf_file *open_direct(struct t *t)
{
	return open_again(t, O_RDWR, FOPEN_DIRECT_IO);
}

static void set_direct(struct pf_file *f, bool on)
{
	ok(pf_setfl(f, on ? O_DIRECT : 0));
}

/* ---- clean pages */

static void write_evicts_clean_pages(void **state)
{
	for (int wb = 0; wb < 2; wb++) {
		struct t t = begin(.writeback = wb, .size = 4 * PAGE);

		assert_reads_old(t.f, 0, 4 * PAGE);
		set_direct(t.f, true);
		put_at(t.f, 1, PAGE, PAGE);
		assert_int_equal(stats(&t).writes_direct, 1);
		set_direct(t.f, false);
		wdata_text(t.w);
		assert_reads_turn(t.f, 1, PAGE, PAGE);
		assert_true(strstr(wdata_text(t.w), "READ(4096,"));
		assert_reads_old(t.f, 0, PAGE); /* what it did not touch has stayed */
		assert_text(&t, "");
		finish(&t);
	}
}

static void through_another_handle(void **state)
{
	for (int wb = 0; wb < 2; wb++) {
		struct t t = begin(.writeback = wb, .size = 4 * PAGE);
		struct pf_file *g = open_direct(&t);

		assert_reads_old(t.f, 0, 4 * PAGE);
		put_at(g, 1, 1000, 5000);
		assert_reads_old(t.f, 0, 1000);
		assert_reads_turn(t.f, 1, 1000, 5000);
		assert_reads_old(t.f, 6000, 4 * PAGE - 6000);
		put_at(t.f, 2, 2000, 5000);
		assert_reads_turn(g, 2, 2000, 5000);
		assert_reads_turn(g, 1, 1000, 1000);
		ok(pf_close(g));
		finish(&t);
	}
}

static void write_makes_the_file_larger(void **state)
{
	for (int wb = 0; wb < 2; wb++) {
		struct t t = begin(.writeback = wb, .size = 100);
		struct pf_file *g = open_direct(&t);

		assert_reads_old(t.f, 0, 100);
		put_at(g, 1, 5000, 100);
		assert_int_equal(size_of(t.f), 5100);
		assert_reads_old(t.f, 0, 100);
		assert_reads_zeros(t.f, 100, 4900);
		assert_reads_turn(t.f, 1, 5000, 100);
		ok(pf_close(g));
		finish(&t);
	}
}

/* ---- dirty pages and reads */

static void read_has_dirty_pages_written_first(void **state)
{
	struct t t = begin(.writeback = true, .size = 8 * PAGE);
	struct pf_file *g = open_direct(&t);

	put_at(t.f, 1, PAGE, PAGE);
	put_at(t.f, 1, 5 * PAGE, PAGE);
	wdata_text(t.w);
	assert_reads_turn(g, 1, 5 * PAGE, PAGE);
	assert_text(&t, "WRITE(20480,4096) READ(20480,4096)");
	assert_true(wdata_nth(t.w, FUSE_WRITE, 0).op_flags & FUSE_WRITE_CACHE);
	assert_int_equal(stats(&t).pages_dirty, 1); /* the other one lies before it */
	assert_reads_turn(t.f, 1, 5 * PAGE, PAGE);  /* and this one is still here */
	assert_text(&t, "");
	ok(pf_close(g));
	finish(&t);
}

static void read_beyond_the_servers_end(void **state)
{
	struct t t = begin(.writeback = true, .size = 10);
	struct pf_file *g = open_direct(&t);

	put_at(t.f, 1, 10000, 100);
	assert_reads_turn(g, 1, 10000, 100);
	assert_reads_zeros(g, 10, 9990);
	ok(pf_close(g));
	finish(&t);
}

/* Nothing is dirty there, but behind it: the server's end is not the file's. */
static void read_of_a_hole_beyond_the_servers_end(void **state)
{
	struct t t = begin(.writeback = true, .size = 10);
	struct pf_file *g = open_direct(&t);

	put_at(t.f, 1, 50000, 100);
	assert_reads_old(g, 0, 10);
	assert_reads_zeros(g, 5000, 5000);
	assert_reads_zeros(g, 10, 49990);
	assert_reads_turn(g, 1, 50000, 100);
	ok(pf_close(g));
	finish(&t);
}

static void read_is_told_of_the_error(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	struct pf_file *g = open_direct(&t);
	char buf[100];
	ssize_t r;

	put_at(t.f, 1, 0, 100);
	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 100, WDATA_FAIL, ENOSPC});
	r = pf_pread(g, buf, 100, 0);
	assert_true(r == -ENOSPC || r == -EIO || r == 100);
	fails(pf_fsync(t.f, 0), ENOSPC); /* the writer is told in any case */
	pf_close(g);
	finish(&t);
}

/* ---- dirty pages and writes */

static void unrelated_dirty_pages_stay(void **state)
{
	struct t t = begin(.writeback = true, .size = 8 * PAGE);

	put_at(t.f, 1, 0, PAGE);
	set_direct(t.f, true);
	put_at(t.f, 2, 4 * PAGE, PAGE);
	assert_text(&t, "WRITE(16384,4096)");
	set_direct(t.f, false);
	assert_int_equal(stats(&t).pages_dirty, 1);
	assert_reads_turn(t.f, 1, 0, PAGE);
	assert_text(&t, "");
	finish(&t);
}

/* Three dirty pages, a direct write from the middle of the first to the middle of the third. */
static void partly_overlapped_pages_are_written_first(void **state)
{
	struct t t = begin(.writeback = true, .size = 3 * PAGE);
	int direct = -1, first = -1, third = -1;

	put_at(t.f, 1, 0, 3 * PAGE);
	set_direct(t.f, true);
	put_at(t.f, 2, PAGE / 2, 2 * PAGE);
	for (int i = 0; i < wdata_count(t.w, FUSE_WRITE); i++) {
		struct wdata_event e = wdata_nth(t.w, FUSE_WRITE, i);

		if (!(e.op_flags & FUSE_WRITE_CACHE))
			direct = i;
		else if (e.offset == 0)
			first = i, assert_int_equal(e.size, PAGE);
		else if (e.offset == 2 * PAGE)
			third = i, assert_int_equal(e.size, PAGE);
		else
			fail_msg("a WRITE at %" PRIu64 " of what is overwritten", e.offset);
	}
	assert_int_equal(direct, 2);
	assert_true(first >= 0 && third >= 0);
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, direct).offset, PAGE / 2);
	assert_int_equal(wdata_nth(t.w, FUSE_WRITE, direct).size, 2 * PAGE);
	assert_int_equal(stats(&t).pages_dirty, 0);
	set_direct(t.f, false);
	wdata_text(t.w);
	assert_reads_turn(t.f, 1, 0, PAGE / 2);
	assert_reads_turn(t.f, 2, PAGE / 2, 2 * PAGE);
	assert_reads_turn(t.f, 1, 5 * PAGE / 2, PAGE / 2);
	assert_true(strstr(wdata_text(t.w), "READ("));
	assert_int_equal(stats(&t).pages_lost, 0);
	finish(&t);
}

/* Only some bytes of the edges are dirty. */
static void partly_dirty_edges(void **state)
{
	struct t t = begin(.writeback = true, .size = 3 * PAGE);

	put_at(t.f, 1, 10, 20);
	put_at(t.f, 1, PAGE - 50, 100);
	put_at(t.f, 1, 3 * PAGE - 20, 20);
	set_direct(t.f, true);
	put_at(t.f, 2, PAGE / 2, 2 * PAGE);
	set_direct(t.f, false);
	ok(pf_fsync(t.f, 0));
	assert_server_old(&t, 0, 10);
	assert_server_turn(&t, 1, 10, 20);
	assert_server_old(&t, 30, PAGE / 2 - 30);
	assert_server_turn(&t, 2, PAGE / 2, 2 * PAGE);
	assert_server_turn(&t, 1, 3 * PAGE - 20, 20);
	assert_reads_turn(t.f, 1, 10, 20);
	assert_reads_turn(t.f, 2, PAGE / 2, 2 * PAGE);
	assert_reads_turn(t.f, 1, 3 * PAGE - 20, 20);
	finish(&t);
}

static void covered_pages_go_unwritten(void **state)
{
	struct t t = begin(.writeback = true);
	struct pf_file *g = open_direct(&t);

	put_at(t.f, 1, 0, 4 * PAGE);
	put_at(g, 2, 0, 4 * PAGE);
	assert_text(&t, "WRITE(0,16384)");
	assert_int_equal(stats(&t).pages_dirty, 0);
	assert_int_equal(stats(&t).pages_lost, 0);
	assert_reads_turn(t.f, 2, 0, 4 * PAGE);
	ok(pf_fsync(t.f, 0));
	assert_came(&t, FUSE_WRITE, 1);
	ok(pf_close(g));
	finish(&t);
}

static void failed_write_drops_nothing(void **state)
{
	struct t t = begin(.writeback = true);
	struct pf_file *g = open_direct(&t);
	unsigned char *p = bytes_of(2, 0, 4 * PAGE);

	put_at(t.f, 1, 0, 4 * PAGE);
	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 1, WDATA_FAIL, ENOSPC});
	fails(pf_pwrite(g, p, 4 * PAGE, 0), ENOSPC);
	assert_int_equal(stats(&t).pages_dirty, 4);
	assert_reads_turn(t.f, 1, 0, 4 * PAGE);
	assert_came(&t, FUSE_READ, 0);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0, 4 * PAGE);
	assert_int_equal(stats(&t).pages_lost, 0);
	free(p);
	ok(pf_close(g));
	finish(&t);
}

/* What the server did not take stays ours. */
static void short_write_drops_what_was_taken(void **state)
{
	struct t t = begin(.writeback = true);
	struct pf_file *g = open_direct(&t);
	unsigned char *p = bytes_of(2, 0, 4 * PAGE);

	put_at(t.f, 1, 0, 4 * PAGE);
	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 1, WDATA_SHORT, 5000});
	assert_int_equal(pf_pwrite(g, p, 4 * PAGE, 0), 5000);
	assert_reads_turn(t.f, 2, 0, 5000);
	assert_reads_turn(t.f, 1, 5000, 4 * PAGE - 5000);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 2, 0, 5000);
	assert_server_turn(&t, 1, 5000, 4 * PAGE - 5000);
	free(p);
	ok(pf_close(g));
	finish(&t);
}

/* An edge that cannot be written: the direct write is refused, or the loss is told. */
static void edge_that_cannot_be_written(void **state)
{
	struct t t = begin(.writeback = true);
	struct pf_file *g = open_direct(&t);
	unsigned char *p = bytes_of(2, PAGE / 2, PAGE);
	ssize_t r;

	put_at(t.f, 1, 0, 2 * PAGE);
	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 1, WDATA_FAIL, EIO});
	r = pf_pwrite(g, p, PAGE, PAGE / 2);
	assert_true(r == -EIO || r == (ssize_t)PAGE);
	wdata_no_tricks(t.w);
	fails(pf_fsync(t.f, 0), EIO);
	assert_true(stats(&t).pages_lost >= 1);
	if (r > 0)
		assert_server_turn(&t, 2, PAGE / 2, PAGE);
	free(p);
	pf_close(g);
	finish(&t);
}

static void append_at_the_local_end(void **state)
{
	struct t t = begin(.writeback = true, .size = 10);
	struct pf_file *g = open_again(&t, O_WRONLY | O_APPEND, FOPEN_DIRECT_IO);

	put_at(t.f, 1, 10, 5000);
	assert_int_equal(pf_write(g, "abc", 3), 3);
	assert_int_equal(size_of(t.f), 5013);
	assert_reads(t.f, 5010, "abc", 3);
	assert_reads_turn(t.f, 1, 10, 5000);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 10, 5000);
	wdata_assert_at(t.w, 5010, "abc", 3);
	ok(pf_close(g));
	finish(&t);
}

/* ---- at the same time */

/* Write-back of the range waits until the direct write is through: what is older never lands on
 * top of what is newer. */
static void write_back_is_held_while_a_direct_write_runs(void **state)
{
	struct t t = begin(.writeback = true);
	struct pf_file *g = open_direct(&t);
	struct mock_req *req;
	struct job *w, *sync;

	put_at(t.f, 1, 0, 4 * PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	w = job_on(&t, g, job_write, 2, 0, 4 * PAGE);
	req = wdata_held(t.w);
	sync = job(&t, job_fsync, 0, 0, 0);
	nap_ms(20);
	assert_came(&t, FUSE_WRITE, 1);
	mock_settle(t.m);
	wdata_go(t.w, req);
	wdata_unhold(t.w);
	assert_int_equal(job_join(w), 4 * PAGE);
	ok(job_join(sync));
	assert_server_turn(&t, 2, 0, 4 * PAGE);
	assert_reads_turn(t.f, 2, 0, 4 * PAGE);
	ok(pf_close(g));
	finish(&t);
}

/* And the other way round: a WRITE of old data is out when the direct write comes. */
static void direct_write_waits_for_write_back(void **state)
{
	struct t t = begin(.writeback = true);
	struct pf_file *g = open_direct(&t);
	struct mock_req *req;
	struct job *w, *sync;

	put_at(t.f, 1, 0, 4 * PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	sync = job(&t, job_fsync, 0, 0, 0);
	req = wdata_held(t.w);
	w = job_on(&t, g, job_write, 2, 0, 4 * PAGE);
	nap_ms(20);
	assert_came(&t, FUSE_WRITE, 1);
	wdata_go(t.w, req);
	wdata_unhold(t.w);
	ok(job_join(sync));
	assert_int_equal(job_join(w), 4 * PAGE);
	assert_server_turn(&t, 2, 0, 4 * PAGE);
	assert_reads_turn(t.f, 2, 0, 4 * PAGE);
	ok(pf_close(g));
	finish(&t);
}

/* A page that was read while the direct write was out is not kept. */
static void read_under_way_is_not_kept(void **state)
{
	for (int wb = 0; wb < 2; wb++) {
		struct t t = begin(.writeback = wb, .size = PAGE);
		struct pf_file *g = open_direct(&t);
		struct mock_req *req;
		struct job *w, *r;

		wdata_hold(t.w, FUSE_WRITE);
		w = job_on(&t, g, job_write, 2, 0, PAGE);
		req = wdata_held(t.w);
		r = job(&t, job_read, 0, 0, PAGE); /* may wait, or be answered with the old */
		nap_ms(20);
		wdata_go(t.w, req);
		wdata_unhold(t.w);
		assert_int_equal(job_join(w), PAGE);
		assert_int_equal(job_join(r), PAGE);
		assert_reads_turn(t.f, 2, 0, PAGE);
		ok(pf_close(g));
		finish(&t);
	}
}

/* The READ was answered before the write, and its answer comes after. */
static void late_answer_of_a_read(void **state)
{
	struct t t = begin(.size = PAGE);
	struct pf_file *g = open_direct(&t);
	unsigned char *old = malloc(PAGE);
	struct mock_req *req;
	struct job *r, *w;

	wdata_hold(t.w, FUSE_READ);
	r = job(&t, job_read, 0, 0, PAGE);
	req = wdata_held(t.w);
	w = job_on(&t, g, job_write, 2, 0, PAGE);
	nap_ms(20); /* it goes by, or waits for the READ */
	for (uint64_t i = 0; i < PAGE; i++)
		old[i] = wdata_byte(i);
	mock_answer(req, old, PAGE);
	wdata_unhold(t.w);
	assert_int_equal(job_join(r), PAGE);
	assert_int_equal(job_join(w), PAGE);
	assert_reads_turn(t.f, 2, 0, PAGE);
	free(old);
	ok(pf_close(g));
	finish(&t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(write_evicts_clean_pages),
	    write_test(through_another_handle),
	    write_test(write_makes_the_file_larger),
	    write_test(read_has_dirty_pages_written_first),
	    write_test(read_beyond_the_servers_end),
	    write_test(read_of_a_hole_beyond_the_servers_end),
	    write_test(read_is_told_of_the_error),
	    write_test(unrelated_dirty_pages_stay),
	    write_test(partly_overlapped_pages_are_written_first),
	    write_test(partly_dirty_edges),
	    write_test(covered_pages_go_unwritten),
	    write_test(failed_write_drops_nothing),
	    write_test(short_write_drops_what_was_taken),
	    write_test(edge_that_cannot_be_written),
	    write_test(append_at_the_local_end),
	    write_test(write_back_is_held_while_a_direct_write_runs),
	    write_test(direct_write_waits_for_write_back),
	    write_test(read_under_way_is_not_kept),
	    write_test(late_answer_of_a_read),
	};

	return run_write_tests(argc, argv, tests);
}
