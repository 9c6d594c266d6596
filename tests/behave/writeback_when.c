// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writing with WRITEBACK_CACHE: when dirty data goes. On demand (fsync, sync_file_range, syncfs,
 * stop), by itself (age, amount, a long sequence), and what a writer waits for meanwhile.
 */
#include "tests/behave/writes.h"

#define MIB (1ull << 20)

/* ---- on demand */

static void fsync_writes_times_and_syncs(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	ok(pf_fsync(t.f, 0));
	assert_text(&t, "WRITE(0,100) SETATTR(times) FSYNC");
	assert_int_equal(wdata_nth(t.w, FUSE_FSYNC, 0).op_flags, 0);
	assert_server_turn(&t, 1, 0, 100);
	ok(pf_fsync(t.f, 1)); /* nothing is dirty any more */
	assert_text(&t, "FSYNC");
	assert_int_equal(wdata_nth(t.w, FUSE_FSYNC, 1).op_flags, FUSE_FSYNC_FDATASYNC);
	finish(&t);
}

static void fsync_enosys_still_writes(void **state)
{
	struct t t = begin(.writeback = true);

	wdata_trick(t.w, (struct wdata_rule){FUSE_FSYNC, 0, 100, WDATA_FAIL, ENOSYS});
	put_at(t.f, 1, 0, 100);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0, 100);
	put_at(t.f, 2, 0, 100);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 2, 0, 100);
	assert_came(&t, FUSE_FSYNC, 1);
	finish(&t);
}

/* It waits for the answers, not for the sending. */
static void fsync_waits(void **state)
{
	struct t t = begin(.writeback = true);
	struct mock_req *req;
	struct job *j;

	put_at(t.f, 1, 0, 100);
	wdata_hold(t.w, FUSE_WRITE);
	j = job(&t, job_fsync, 0, 0, 0);
	req = wdata_held(t.w);
	nap_ms(20);
	assert_false(j->done);
	assert_came(&t, FUSE_FSYNC, 0);
	assert_int_equal(stats(&t).pages_writeback, 1);
	wdata_go(t.w, req);
	ok(job_join(j));
	assert_int_equal(stats(&t).pages_writeback, 0);
	wdata_unhold(t.w);
	finish(&t);
}

static void sync_file_range_writes_the_range(void **state)
{
	unsigned all =
	    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
	struct t t = begin(.writeback = true);

	for (int i = 0; i < 10; i += 2)
		put_at(t.f, 1, i * PAGE, PAGE);
	ok(pf_sync_file_range(t.f, 2 * PAGE, 3 * PAGE, all));
	assert_came(&t, FUSE_WRITE, 2);
	assert_server_turn(&t, 1, 2 * PAGE, PAGE);
	assert_server_turn(&t, 1, 4 * PAGE, PAGE);
	assert_came(&t, FUSE_FSYNC, 0);
	assert_came(&t, FUSE_SETATTR, 0);
	assert_int_equal(stats(&t).pages_dirty, 3);
	ok(pf_sync_file_range(t.f, 6 * PAGE, 0, all)); /* up to the end */
	assert_came(&t, FUSE_WRITE, 4);
	assert_int_equal(stats(&t).pages_dirty, 1);
	fails(pf_sync_file_range(t.f, 0, 0, 8), EINVAL);
	fails(pf_sync_file_range(t.f, -1, 0, all), EINVAL);
	finish(&t);
}

static void sync_file_range_need_not_wait(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	ok(pf_sync_file_range(t.f, 0, 0, SYNC_FILE_RANGE_WRITE));
	wdata_held(t.w); /* under way, and we are here */
	ok(pf_sync_file_range(t.f, 0, 0, 0));
	wdata_unhold(t.w);
	ok(pf_sync_file_range(t.f, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE));
	assert_int_equal(stats(&t).pages_dirty, 0);
	assert_int_equal(stats(&t).pages_writeback, 0);
	assert_came(&t, FUSE_WRITE, 1);
	finish(&t);
}

static void syncfs_writes_all(void **state)
{
	struct t t = begin(.writeback = true);
	struct wdata *bar = wdata_new(t.m, "bar", 43, 0);
	struct pf_file *g;

	ok(pf_open(t.m->fs, "bar", O_WRONLY, 0, &g));
	put_at(t.f, 1, 0, 100);
	put_at(g, 1, 50, 100);
	mock_any_times(mock_empty(t.m, FUSE_SYNCFS, MOCK_ANY));
	ok(pf_syncfs(t.m->fs));
	assert_server_turn(&t, 1, 0, 100);
	assert_int_equal(wdata_count(bar, FUSE_WRITE), 1);
	assert_int_equal(wdata_nth(bar, FUSE_WRITE, 0).offset, 50);
	assert_int_equal(stats(&t).pages_dirty, 0);
	ok(pf_close(g));
	finish(&t);
	wdata_free(bar);
}

/* Files that are still open when the client ends. */
static void stop_writes_all(void **state)
{
	struct t t = begin(.writeback = true);
	struct wdata *bar = wdata_new(t.m, "bar", 43, 0);
	struct pf_file *g;

	ok(pf_open(t.m->fs, "bar", O_WRONLY, 0, &g));
	put_at(t.f, 1, 0, 10000);
	put_at(g, 2, 50, 100);
	ok(pf_stop(t.m->fs));
	t.m->fs = NULL;
	pf_close(g);
	stop(&t);
	assert_server_turn(&t, 1, 0, 10000);
	assert_int_equal(wdata_size(bar), 150);
	assert_before(&t, FUSE_WRITE, FUSE_RELEASE);
	wdata_free(bar);
	wdata_free(t.w);
}

static void drop_caches_writes_first(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, PAGE);
	ok(pf_drop_caches(t.m->fs));
	assert_server_turn(&t, 1, 0, PAGE);
	assert_int_equal(stats(&t).pages, 0);
	wdata_text(t.w);
	assert_reads_turn(t.f, 1, 0, PAGE);
	assert_true(strstr(wdata_text(t.w), "READ("));
	finish(&t);
}

static void dontneed_loses_nothing(void **state)
{
	struct t t = begin(.writeback = true, .size = 4 * PAGE);

	assert_reads_old(t.f, 0, 4 * PAGE);
	put_at(t.f, 1, PAGE, PAGE);
	ok(pf_fadvise(t.f, 0, 0, POSIX_FADV_DONTNEED));
	wdata_text(t.w);
	assert_reads_old(t.f, 0, PAGE);
	assert_true(strstr(wdata_text(t.w), "READ(")); /* clean pages are gone */
	assert_reads_turn(t.f, 1, PAGE, PAGE);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, PAGE, PAGE);
	finish(&t);
}

/* ---- by itself */

static void age_makes_it_go(void **state)
{
	struct t t = begin(.writeback = true, .expire_ms = 50);

	put_at(t.f, 1, 0, 100);
	wdata_wait(t.w, FUSE_WRITE, 1);
	wait_until(unwritten(&t) == 0);
	assert_server_turn(&t, 1, 0, 100);
	assert_came(&t, FUSE_FSYNC, 0);
	put_at(t.f, 2, 0, 100); /* and again */
	wdata_wait(t.w, FUSE_WRITE, 2);
	finish(&t);
}

static void half_of_the_limit_makes_it_go(void **state)
{
	struct t t = begin(.writeback = true, .cache_bytes = 16 * MIB, .dirty_bytes = MIB);

	for (uint64_t i = 0; i < 200; i++) /* every other page: no sequence */
		put_at(t.f, 1, 2 * i * PAGE, PAGE);
	wdata_wait(t.w, FUSE_WRITE, 1);
	ok(pf_fsync(t.f, 0));
	for (uint64_t i = 0; i < 200; i++)
		assert_server_turn(&t, 1, 2 * i * PAGE, PAGE);
	finish(&t);
}

static void a_long_sequence_makes_it_go(void **state)
{
	struct t t = begin(.writeback = true, .max_write = 16384);

	for (uint64_t i = 0; i < 1024; i++)
		put_at(t.f, 1, i * PAGE, PAGE);
	wdata_wait(t.w, FUSE_WRITE, 1);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0, 1024 * PAGE);
	finish(&t);
}

/* ---- beside the server's own limits */

static long scatter(struct job *j)
{
	for (int i = 0; i < 20; i++)
		put_at(j->f, j->turn, 2 * i * PAGE, PAGE);
	return 0;
}

/* What need not go yet waits while the server is busy; what somebody waits for does not. */
static void congestion_makes_it_pause(void **state)
{
	struct how h = {.writeback = true, .expire_ms = 20};
	struct mock_options o = options_of(&h);
	struct job *j;
	struct t t;

	o.init.max_background = 4;
	o.init.congestion_threshold = 1;
	t = (struct t){.m = mock_start(&o)};
	t.w = wdata_new(t.m, "foo", FOO, 0);
	ok(pf_open(t.m->fs, "foo", O_RDWR, 0, &t.f));
	wdata_hold(t.w, FUSE_WRITE);
	j = job(&t, scatter, 1, 0, 0);
	wdata_held(t.w);
	wait_until(j->done);
	nap_ms(100);
	assert_in_range(wdata_count(t.w, FUSE_WRITE), 1, 4);
	wdata_unhold(t.w);
	wait_until(unwritten(&t) == 0);
	assert_came(&t, FUSE_WRITE, 20);
	ok(job_join(j));
	finish(&t);
}

static void no_more_than_max_background(void **state)
{
	struct how h = {.writeback = true};
	struct mock_options o = options_of(&h);
	struct job *sync;
	struct t t;

	o.init.max_background = 3;
	o.init.congestion_threshold = 3;
	t = (struct t){.m = mock_start(&o)};
	t.w = wdata_new(t.m, "foo", FOO, 0);
	ok(pf_open(t.m->fs, "foo", O_RDWR, 0, &t.f));
	ok(job_join(job(&t, scatter, 1, 0, 0)));
	wdata_hold(t.w, FUSE_WRITE);
	sync = job(&t, job_fsync, 0, 0, 0);
	for (int i = 0; i < 3; i++)
		wdata_held(t.w);
	nap_ms(30);
	assert_came(&t, FUSE_WRITE, 3);
	mock_settle(t.m); /* others are not behind them */
	wdata_unhold(t.w);
	ok(job_join(sync));
	assert_came(&t, FUSE_WRITE, 20);
	finish(&t);
}

/* ---- more than may be dirty */

static long write_much(struct job *j)
{
	for (uint64_t at = 0; at < j->len; at += 16 * PAGE) {
		unsigned char *p = bytes_of(j->turn, at, 16 * PAGE);
		long r = pf_pwrite(j->f, p, 16 * PAGE, at);

		free(p);
		if (r != 16 * PAGE)
			return r;
	}
	return 0;
}

static void writers_wait_for_room(void **state)
{
	struct t t = begin(.writeback = true, .cache_bytes = 16 * MIB, .dirty_bytes = MIB);
	struct pf_stats s;
	struct job *j;

	wdata_hold(t.w, FUSE_WRITE);
	j = job(&t, write_much, 1, 0, 8 * MIB);
	wait_until(stats(&t).dirty_waits > 0);
	s = stats(&t);
	assert_false(j->done);
	assert_true((s.pages_dirty + s.pages_writeback) * PAGE <= MIB + 64 * PAGE);
	assert_true(s.cache_bytes <= 16 * MIB);
	mock_settle(t.m); /* nothing else is blocked */
	wdata_unhold(t.w);
	ok(job_join(j));
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0, 8 * MIB);
	assert_true(stats(&t).cache_peak <= 16 * MIB);
	finish(&t);
}

/* One call with more than that: the limit holds within it, too. */
static void one_large_write_waits_for_room(void **state)
{
	struct t t = begin(.writeback = true, .cache_bytes = 32 * MIB, .dirty_bytes = MIB);
	struct pf_stats s;
	struct job *j;

	wdata_hold(t.w, FUSE_WRITE);
	j = job(&t, job_write, 1, 0, 8 * MIB);
	wait_until(stats(&t).dirty_waits > 0);
	nap_ms(20);
	s = stats(&t);
	assert_false(j->done);
	wdata_unhold(t.w);
	assert_int_equal(job_join(j), 8 * MIB);
	if ((s.pages_dirty + s.pages_writeback) * PAGE > MIB + 256 * PAGE)
		fail_msg("%" PRIu64 " pages were dirty", s.pages_dirty + s.pages_writeback);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0, 8 * MIB);
	finish(&t);
}

/* And one with more than the cache. */
static void one_write_larger_than_the_cache(void **state)
{
	struct t t = begin(.writeback = true, .cache_bytes = MIB, .dirty_bytes = MIB / 2);

	put_at(t.f, 1, 100, 5 * MIB);
	assert_reads_turn(t.f, 1, 100, 5 * MIB);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 100, 5 * MIB);
	assert_true(stats(&t).cache_peak <= MIB);
	finish(&t);
}

/* A small cache and a large file: the rest of memory is not touched, all arrives. */
static void more_than_the_cache_holds(void **state)
{
	struct t t = begin(.writeback = true, .cache_bytes = 2 * MIB, .dirty_bytes = MIB);
	struct job *j = job(&t, write_much, 1, 0, 12 * MIB);

	ok(job_join(j));
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0, 12 * MIB);
	assert_reads_turn(t.f, 1, 0, 12 * MIB);
	assert_true(stats(&t).cache_peak <= 2 * MIB);
	finish(&t);
}

/* One that waits for room is woken when the server is gone. */
static void death_wakes_who_waits_for_room(void **state)
{
	struct t t = begin(.writeback = true, .cache_bytes = 16 * MIB, .dirty_bytes = MIB);
	struct job *j;
	long r;

	wdata_hold(t.w, FUSE_WRITE);
	j = job(&t, write_much, 1, 0, 8 * MIB);
	wait_until(stats(&t).dirty_waits > 0);
	mock_hang_up(t.m);
	r = job_join(j);
	assert_true(r == -ENOTCONN || r == -ECONNABORTED || r == -EIO);
	assert_true(pf_close(t.f) < 0);
	t.f = NULL;
	finish(&t);
}

/* A program with an event loop of its own has one thread only: it must not wait for another. */
static void without_a_thread_of_ours(void **state)
{
	struct how h = {.writeback = true, .cache_bytes = 16 * MIB, .dirty_bytes = MIB};
	struct mock_options o = options_of(&h);
	struct t t;

	o.pf.no_service_thread = 1;
	t = (struct t){.m = mock_start(&o)};
	t.w = wdata_new(t.m, "foo", FOO, 0);
	ok(pf_open(t.m->fs, "foo", O_RDWR, 0, &t.f));
	for (uint64_t at = 0; at < 4 * MIB; at += 16 * PAGE)
		put_at(t.f, 1, at, 16 * PAGE);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0, 4 * MIB);
	put_at(t.f, 2, 0, 100);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_server_turn(&t, 2, 0, 100);
	finish(&t);
}

/* ---- pages that are being written back */

static void rewritten_while_being_written(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	unsigned char *one = bytes_of(1, 0, 16);
	struct mock_req *req;
	struct job *sync, *j;

	put_at(t.f, 1, 0, PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	sync = job(&t, job_fsync, 0, 0, 0);
	req = wdata_held(t.w);
	j = job(&t, job_write, 2, 0, PAGE);
	nap_ms(20);
	assert_false(j->done); /* what is in flight is not changed */
	wdata_go(t.w, req);
	wdata_unhold(t.w);
	assert_int_equal(job_join(j), PAGE);
	ok(job_join(sync));
	assert_memory_equal(wdata_nth(t.w, FUSE_WRITE, 0).head, one, 16);
	assert_reads_turn(t.f, 2, 0, PAGE);
	ok(pf_fsync(t.f, 0));
	assert_came(&t, FUSE_WRITE, 2);
	assert_server_turn(&t, 2, 0, PAGE);
	free(one);
	finish(&t);
}

/* Close does not overtake what went by itself. */
static void close_waits_for_what_is_out(void **state)
{
	struct t t = begin(.writeback = true, .expire_ms = 10);
	struct mock_req *req;
	struct job *j, *w;

	wdata_hold(t.w, FUSE_WRITE);
	w = job(&t, job_write, 1, 0, PAGE);
	req = wdata_held(t.w);
	assert_int_equal(job_join(w), PAGE);
	j = job(&t, job_close, 0, 0, 0);
	nap_ms(20);
	assert_came(&t, FUSE_FLUSH, 0);
	wdata_go(t.w, req);
	wdata_unhold(t.w);
	ok(job_join(j));
	t.f = NULL;
	mock_settle(t.m);
	assert_came(&t, FUSE_WRITE, 1);
	assert_before(&t, FUSE_FLUSH, FUSE_RELEASE);
	assert_server_turn(&t, 1, 0, PAGE);
	finish(&t);
}

/* Who is interrupted while waiting loses nothing. */
static void interrupted_fsync(void **state)
{
	struct t t = begin(.writeback = true);
	struct job *sync;
	long r;

	mock_any_times(mock_silent(mock_expect(t.m, FUSE_INTERRUPT, MOCK_ANY, NULL)));
	put_at(t.f, 1, 0, PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	sync = job(&t, job_fsync, 0, 0, 0);
	wdata_held(t.w);
	pf_interrupt(t.m->fs);
	nap_ms(10);
	wdata_unhold(t.w);
	r = job_join(sync);
	assert_true(r == 0 || r == -EINTR);
	assert_reads_turn(t.f, 1, 0, PAGE);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0, PAGE);
	assert_int_equal(stats(&t).pages_lost, 0);
	finish(&t);
}

static void other_pages_are_free(void **state)
{
	struct t t = begin(.writeback = true);
	struct job *sync;

	put_at(t.f, 1, 0, PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	sync = job(&t, job_fsync, 0, 0, 0);
	wdata_held(t.w);
	put_at(t.f, 2, 5 * PAGE, PAGE);     /* at once */
	assert_reads_turn(t.f, 1, 0, PAGE); /* and what is in flight can be read */
	assert_reads_turn(t.f, 2, 5 * PAGE, PAGE);
	assert_int_equal(size_of(t.f), 6 * PAGE);
	wdata_unhold(t.w);
	ok(job_join(sync));
	finish(&t);
}

/* Many at once, each in a part of its own, while others sync: nothing is lost. */
static long write_and_sync(struct job *j)
{
	for (int i = 0; i < 40; i++) {
		unsigned char *p = bytes_of(j->turn, j->offset + i * 1000, 1000);
		long r = pf_pwrite(j->f, p, 1000, j->offset + i * 1000);

		free(p);
		if (r != 1000)
			return r < 0 ? r : -EIO;
		if (i % 8 == j->turn % 8 && (r = pf_fsync(j->f, 0)) < 0)
			return r;
	}
	return 0;
}

static void many_writers(void **state)
{
	struct t t = begin(.writeback = true, .max_write = 8192, .expire_ms = 5);
	struct job *jobs[6];

	for (int i = 0; i < 6; i++)
		jobs[i] = job(&t, write_and_sync, i, i * 40000, 0);
	for (int i = 0; i < 6; i++)
		ok(job_join(jobs[i]));
	for (int i = 0; i < 6; i++)
		assert_reads_turn(t.f, i, i * 40000, 40000);
	ok(pf_close(t.f));
	t.f = NULL;
	for (int i = 0; i < 6; i++)
		assert_server_turn(&t, i, i * 40000, 40000);
	assert_int_equal(stats(&t).pages_lost, 0);
	finish(&t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(fsync_writes_times_and_syncs),
	    write_test(fsync_enosys_still_writes),
	    write_test(fsync_waits),
	    write_test(sync_file_range_writes_the_range),
	    write_test(sync_file_range_need_not_wait),
	    write_test(syncfs_writes_all),
	    write_test(stop_writes_all),
	    write_test(drop_caches_writes_first),
	    write_test(dontneed_loses_nothing),
	    write_test(age_makes_it_go),
	    write_test(half_of_the_limit_makes_it_go),
	    write_test(a_long_sequence_makes_it_go),
	    write_test(congestion_makes_it_pause),
	    write_test(no_more_than_max_background),
	    write_test(writers_wait_for_room),
	    write_test(one_large_write_waits_for_room),
	    write_test(one_write_larger_than_the_cache),
	    write_test(more_than_the_cache_holds),
	    write_test(death_wakes_who_waits_for_room),
	    write_test(without_a_thread_of_ours),
	    write_test(rewritten_while_being_written),
	    write_test(close_waits_for_what_is_out),
	    write_test(interrupted_fsync),
	    write_test(other_pages_are_free),
	    write_test(many_writers),
	};

	return run_write_tests(argc, argv, tests);
}
