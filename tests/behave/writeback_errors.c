// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writing with WRITEBACK_CACHE: the server refuses what was acknowledged long ago. Nothing is lost
 * unless somebody is told: once each open file, and pages_lost.
 */
#include "tests/behave/writes.h"

static void fail_writes(struct t *t, int times, int err)
{
	wdata_trick(t->w, (struct wdata_rule){FUSE_WRITE, 0, times, WDATA_FAIL, err});
}

/* ---- told once */

static void once_to_each_open_file(void **state)
{
	struct t t = begin(.writeback = true);
	struct pf_file *g, *h;

	ok(pf_open(t.m->fs, "foo", O_RDONLY, 0, &g));
	ok(pf_open(t.m->fs, "foo", O_WRONLY, 0, &h));
	put_at(t.f, 1, 0, 100);
	fail_writes(&t, 1, EIO);
	fails(pf_fsync(t.f, 0), EIO);
	ok(pf_fsync(t.f, 0));
	fails(pf_fsync(g, 0), EIO);
	ok(pf_fsync(g, 1));
	ok(pf_close(g));
	fails(pf_close(h), EIO); /* close tells as fsync does */
	ok(pf_close(t.f));
	t.f = NULL;
	assert_came(&t, FUSE_WRITE, 1);
	assert_int_equal(stats(&t).pages_lost, 1);
	finish(&t);
}

static void close_tells(void **state)
{
	struct t t = begin(.writeback = true, .max_write = PAGE);

	put_at(t.f, 1, 0, 3 * PAGE);
	fail_writes(&t, 100, EIO);
	fails(pf_close(t.f), EIO);
	t.f = NULL;
	assert_int_equal(stats(&t).pages_dirty, 0);
	assert_int_equal(stats(&t).pages_lost, 3);
	mock_settle(t.m);
	assert_came(&t, FUSE_FLUSH, 1); /* all the same, as RELEASE */
	assert_came(&t, FUSE_RELEASE, 1);
	assert_came(&t, FUSE_WRITE, 3);
	finish(&t);
}

/* A direct handle has no late errors: the write itself fails, close has nothing to tell. */
static void direct_handles_are_told_at_once(void **state)
{
	struct t t = begin(.writeback = true, .fopen = FOPEN_DIRECT_IO);

	fail_writes(&t, 100, EIO);
	fails(pf_pwrite(t.f, "abc", 3, 0), EIO);
	ok(pf_fsync(t.f, 0));
	ok(pf_close(t.f));
	t.f = NULL;
	assert_int_equal(stats(&t).pages_lost, 0);
	finish(&t);
}

static void descriptors_of_one_open_share_it(void **state)
{
	struct t t = begin(.writeback = true);
	struct pf_file *g;

	ok(pf_dup(t.f, &g));
	put_at(t.f, 1, 0, 100);
	fail_writes(&t, 1, ENOSPC);
	fails(pf_fsync(g, 0), ENOSPC);
	ok(pf_fsync(t.f, 0));
	ok(pf_close(g));
	finish(&t);
}

static void not_to_who_opens_later(void **state)
{
	struct t t = begin(.writeback = true);
	struct pf_file *g;

	put_at(t.f, 1, 0, 100);
	fail_writes(&t, 1, EIO);
	fails(pf_fsync(t.f, 0), EIO);
	ok(pf_open(t.m->fs, "foo", O_RDWR, 0, &g));
	ok(pf_fsync(g, 0));
	ok(pf_close(g));
	finish(&t);
}

/* Nobody waited when it happened: the next fsync tells. */
static void of_an_earlier_attempt(void **state)
{
	struct t t = begin(.writeback = true, .expire_ms = 20);

	fail_writes(&t, 1, EDQUOT);
	put_at(t.f, 1, 0, 100);
	wait_until(stats(&t).pages_lost == 1);
	fails(pf_fsync(t.f, 0), EDQUOT);
	ok(pf_fsync(t.f, 0));
	finish(&t);
}

static void sync_file_range_tells(void **state)
{
	unsigned all =
	    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	fail_writes(&t, 1, EIO);
	fails(pf_sync_file_range(t.f, 0, 0, all), EIO);
	ok(pf_fsync(t.f, 0));
	finish(&t);
}

static void stop_tells(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	fail_writes(&t, 100, ENOSPC);
	assert_int_equal(pf_stop(t.m->fs), -ENOSPC);
	t.m->fs = NULL;
	stop(&t);
	wdata_free(t.w);
}

static void drop_caches_tells(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	fail_writes(&t, 1, EIO);
	fails(pf_drop_caches(t.m->fs), EIO);
	fails(pf_fsync(t.f, 0), EIO); /* the open file has not been told */
	finish(&t);
}

/* ---- what is lost, and what is not */

static void lost_data_is_not_sent_again(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);

	put_at(t.f, 1, 0, PAGE);
	fail_writes(&t, 1, ENOSPC);
	fails(pf_fsync(t.f, 0), ENOSPC);
	assert_int_equal(stats(&t).pages_lost, 1);
	assert_int_equal(stats(&t).pages_dirty, 0);
	ok(pf_fsync(t.f, 0));
	assert_came(&t, FUSE_WRITE, 1);
	assert_reads_old(t.f, 0, PAGE); /* the server's */
	assert_came(&t, FUSE_READ, 1);
	put_at(t.f, 2, 0, PAGE); /* and life goes on */
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 2, 0, PAGE);
	finish(&t);
}

static void other_data_arrives(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, PAGE);
	put_at(t.f, 1, 10 * PAGE, PAGE);
	put_at(t.f, 1, 20 * PAGE, PAGE);
	fail_writes(&t, 1, EIO);
	fails(pf_fsync(t.f, 0), EIO);
	assert_came(&t, FUSE_WRITE, 3);
	assert_int_equal(stats(&t).pages_lost, 1);
	for (int i = 1; i < 3; i++) {
		uint64_t at = wdata_nth(t.w, FUSE_WRITE, i).offset;

		assert_server_turn(&t, 1, at, PAGE);
		assert_reads_turn(t.f, 1, at, PAGE);
	}
	finish(&t);
}

static void short_answer_goes_on(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, PAGE);
	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 1, WDATA_SHORT, 1000});
	ok(pf_fsync(t.f, 0));
	assert_text(&t, "WRITE(0,4096) WRITE(1000,3096) SETATTR(times) FSYNC");
	assert_server_turn(&t, 1, 0, PAGE);
	finish(&t);
}

/* Over several pages, at a place within one. */
static void short_answer_in_a_long_write(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 500, 10 * PAGE);
	for (int i = 0; i < 3; i++)
		wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 1, WDATA_SHORT, 5000});
	ok(pf_fsync(t.f, 0));
	assert_in_range(wdata_count(t.w, FUSE_WRITE), 4, 12);
	assert_server_turn(&t, 1, 500, 10 * PAGE);
	assert_int_equal(stats(&t).pages_lost, 0);
	finish(&t);
}

static void wrong_counts(enum wdata_trick trick, uint64_t value)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, PAGE);
	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 100, trick, value});
	fails(pf_fsync(t.f, 0), EIO);
	assert_int_equal(stats(&t).pages_lost, 1);
	assert_int_equal(stats(&t).pages_dirty, 0);
	ok(pf_fsync(t.f, 0));
	finish(&t);
}

static void nothing_taken_or_too_much(void **state)
{
	wrong_counts(WDATA_CLAIM, 0);
	wrong_counts(WDATA_CLAIM, PAGE + 1);
	wrong_counts(WDATA_CLAIM, UINT32_MAX);
	wrong_counts(WDATA_BODY, 0);
	wrong_counts(WDATA_BODY, 7);
	wrong_counts(WDATA_BODY, 16);
}

/* ---- come again later */

static void tried_again_at_once(int err)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	fail_writes(&t, 1, err);
	ok(pf_fsync(t.f, 0));
	assert_came(&t, FUSE_WRITE, 2);
	assert_server_turn(&t, 1, 0, 100);
	assert_int_equal(stats(&t).pages_lost, 0);
	finish(&t);
}

/* For ever: who waits is told after a few tries, the data stays and goes when it can. */
static void tried_in_vain(int err)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	fail_writes(&t, 1000000, err);
	assert_int_equal(pf_fsync(t.f, 0), -err);
	assert_in_range(wdata_count(t.w, FUSE_WRITE), 2, 100);
	assert_int_equal(stats(&t).pages_lost, 0);
	assert_int_equal(unwritten(&t), 1);
	assert_reads_turn(t.f, 1, 0, 100);
	wdata_no_tricks(t.w);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0, 100);
	finish(&t);
}

static void what_may_pass(void **state)
{
	static const int errs[] = {EINTR, EAGAIN, ETIMEDOUT};

	for (int i = 0; i < 3; i++) {
		tried_again_at_once(errs[i]);
		tried_in_vain(errs[i]);
	}
}

/* Nobody waits: it is tried again by itself. */
static void tried_again_by_itself(void **state)
{
	struct t t = begin(.writeback = true, .expire_ms = 20);

	fail_writes(&t, 2, EAGAIN);
	put_at(t.f, 1, 0, 100);
	wdata_wait(t.w, FUSE_WRITE, 3);
	wait_until(unwritten(&t) == 0);
	assert_server_turn(&t, 1, 0, 100);
	ok(pf_fsync(t.f, 0));
	finish(&t);
}

/* A file is closed while its data cannot go: told, and not stuck. */
static void close_in_vain(void **state)
{
	struct t t = begin(.writeback = true);
	int r;

	put_at(t.f, 1, 0, 100);
	fail_writes(&t, 1000000, EAGAIN);
	fails(pf_close(t.f), EAGAIN);
	t.f = NULL;
	r = pf_stop(t.m->fs);
	t.m->fs = NULL;
	assert_true(r <= 0);
	stop(&t);
	wdata_free(t.w);
}

/* ---- FSYNC's own answer */

static void fsync_error_is_not_remembered(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	wdata_trick(t.w, (struct wdata_rule){FUSE_FSYNC, 0, 1, WDATA_FAIL, EIO});
	fails(pf_fsync(t.f, 0), EIO);
	ok(pf_fsync(t.f, 0));
	assert_came(&t, FUSE_FSYNC, 2);
	assert_came(&t, FUSE_WRITE, 1);
	finish(&t);
}

static void flush_error_is_closes(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	wdata_trick(t.w, (struct wdata_rule){FUSE_FLUSH, 0, 1, WDATA_FAIL, EDQUOT});
	fails(pf_close(t.f), EDQUOT);
	t.f = NULL;
	assert_server_turn(&t, 1, 0, 100);
	finish(&t);
}

/* ---- the server goes */

static void server_dies(bool by_abort)
{
	struct t t = begin(.writeback = true);
	int r;

	put_at(t.f, 1, 0, 3 * PAGE);
	if (by_abort)
		pf_abort(t.m->fs);
	else
		mock_hang_up(t.m);
	r = pf_fsync(t.f, 0);
	assert_true(r == -ENOTCONN || r == -ECONNABORTED);
	wait_until(stats(&t).pages_lost == 3);
	assert_int_equal(stats(&t).pages_dirty, 0);
	wait_until(pf_pwrite(t.f, "x", 1, 0) < 0); /* soon nothing is taken any more */
	assert_true(pf_close(t.f) < 0);
	t.f = NULL;
	assert_true(pf_stop(t.m->fs) < 0);
	t.m->fs = NULL;
	stop(&t);
	wdata_free(t.w);
}

static void death_tells(void **state)
{
	server_dies(false);
	server_dies(true);
}

/* In the middle of a WRITE that somebody waits for. */
static void death_wakes_who_waits(void **state)
{
	struct t t = begin(.writeback = true);
	struct job *j;
	long r;

	put_at(t.f, 1, 0, PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	j = job(&t, job_close, 0, 0, 0);
	wdata_held(t.w);
	mock_hang_up(t.m);
	r = job_join(j);
	t.f = NULL;
	assert_true(r == -ENOTCONN || r == -ECONNABORTED || r == -EIO);
	assert_int_equal(stats(&t).pages_lost, 1);
	assert_int_equal(stats(&t).pages_writeback, 0);
	finish(&t);
}

/* Never closed, never synced: the end itself tells. */
static void death_is_told_at_the_end(void **state)
{
	struct t t = begin(.writeback = true);
	int r;

	put_at(t.f, 1, 0, PAGE);
	mock_hang_up(t.m);
	r = pf_stop(t.m->fs);
	t.m->fs = NULL;
	assert_int_equal(r, -ENOTCONN);
	stop(&t);
	wdata_free(t.w);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(once_to_each_open_file),
	    write_test(close_tells),
	    write_test(direct_handles_are_told_at_once),
	    write_test(descriptors_of_one_open_share_it),
	    write_test(not_to_who_opens_later),
	    write_test(of_an_earlier_attempt),
	    write_test(sync_file_range_tells),
	    write_test(stop_tells),
	    write_test(drop_caches_tells),
	    write_test(lost_data_is_not_sent_again),
	    write_test(other_data_arrives),
	    write_test(short_answer_goes_on),
	    write_test(short_answer_in_a_long_write),
	    write_test(nothing_taken_or_too_much),
	    write_test(what_may_pass),
	    write_test(tried_again_by_itself),
	    write_test(close_in_vain),
	    write_test(fsync_error_is_not_remembered),
	    write_test(flush_error_is_closes),
	    write_test(death_tells),
	    write_test(death_wakes_who_waits),
	    write_test(death_is_told_at_the_end),
	};

	return run_write_tests(argc, argv, tests);
}
