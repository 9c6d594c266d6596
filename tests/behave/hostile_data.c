// SPDX-License-Identifier: BSD-2-Clause
/*
 * A server that lies about a file with dirty data: counts, sizes, times and types that cannot be,
 * answers twice or never. The result is a defined errno; what was acknowledged arrives, or somebody
 * is told that it did not.
 */
#include "tests/behave/writes.h"

/* Close, and hold whoever is to blame to it: told, or arrived. */
static void told_or_arrived(struct t *t, int turn, uint64_t offset, size_t len, bool told)
{
	int r = t->f ? pf_close(t->f) : 0;

	t->f = NULL;
	assert_int_equal(unwritten(t), 0);
	if (r == 0 && !told && !stats(t).pages_lost)
		assert_server_turn(t, turn, offset, len);
}

/* ---- counts */

static void read_gives_more_than_asked(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	char c;

	put_at(t.f, 1, 100, 50);
	wdata_trick(t.w, (struct wdata_rule){FUSE_READ, 0, 100, WDATA_EXTRA, 100});
	fails(pf_pread(t.f, &c, 1, 0), EIO);
	wdata_no_tricks(t.w);
	assert_reads_old(t.f, 0, 100);
	assert_reads_turn(t.f, 1, 100, 50);
	told_or_arrived(&t, 1, 100, 50, false);
	finish(&t);
}

/* The rest of a page that is dirty in part cannot be had. */
static void rest_of_a_page_cannot_be_read(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	unsigned char *p = bytes_of(2, 1000, 50);
	ssize_t r;

	put_at(t.f, 1, 100, 50);
	wdata_trick(t.w, (struct wdata_rule){FUSE_READ, 0, 100, WDATA_FAIL, EIO});
	r = pf_pwrite(t.f, p, 50, 1000);
	assert_true(r == 50 || r == -EIO);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 100, 50);
	if (r == 50)
		assert_server_turn(&t, 2, 1000, 50);
	free(p);
	finish(&t);
}

static void write_takes_more_than_was_sent(void **state)
{
	struct t t = begin(.writeback = true, .max_write = PAGE);

	put_at(t.f, 1, 0, 2 * PAGE);
	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 100, WDATA_CLAIM, UINT32_MAX});
	fails(pf_close(t.f), EIO);
	t.f = NULL;
	assert_int_equal(stats(&t).pages_lost, 2);
	told_or_arrived(&t, 1, 0, 2 * PAGE, true);
	finish(&t);
}

/* ---- attributes */

static void sizes_jump(void **state)
{
	static const uint64_t sizes[] = {0, 1, 1 << 20, INT64_MAX, 5, 1ull << 40, 0};
	struct t t = begin(.writeback = true, .size = 100, .stale = true);

	put_at(t.f, 1, 50, 5000);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct fuse_attr lie = mock_attr(FOO, REG, sizes[i]);
		struct stat st;

		wdata_lie(t.w, &lie);
		ok(pf_stat(t.m->fs, "foo", &st));
		assert_int_equal(st.st_size, 5050);
		assert_int_equal(size_of(t.f), 5050);
	}
	wdata_lie(t.w, NULL);
	told_or_arrived(&t, 1, 50, 5000, false);
	finish(&t);
}

static struct t with_bad_attributes(uint64_t size, uint32_t mode)
{
	struct t t = begin(.writeback = true, .size = 100, .stale = true);
	struct fuse_attr lie = mock_attr(FOO, mode, size);
	struct stat st;
	int r;

	put_at(t.f, 1, 0, 200);
	wdata_lie(t.w, &lie);
	r = pf_fstat(t.f, &st);
	assert_true(r == -EIO || (r == 0 && st.st_size == 200 && S_ISREG(st.st_mode)));
	wdata_lie(t.w, NULL);
	return t;
}

static void size_that_cannot_be(void **state)
{
	struct t t = with_bad_attributes(1ull << 63, REG);

	told_or_arrived(&t, 1, 0, 200, false);
	finish(&t);
	t = with_bad_attributes(UINT64_MAX, REG);
	told_or_arrived(&t, 1, 0, 200, false);
	finish(&t);
}

static void type_changes_under_dirty_data(void **state)
{
	static const uint32_t modes[] = {S_IFDIR | 0755, S_IFLNK | 0777, S_IFIFO | 0644, 0};

	for (int i = 0; i < 4; i++) {
		struct t t = with_bad_attributes(100, modes[i]);

		told_or_arrived(&t, 1, 0, 200, false);
		finish(&t);
	}
}

/* Another file has the name: the open one is not touched by it. */
static void name_leads_elsewhere(void **state)
{
	struct t t = begin(.writeback = true, .stale = true);
	struct stat st;

	put_at(t.f, 1, 0, 200);
	wdata_before(mock_any_times(mock_lookup(t.m, 1, "foo", 77, S_IFDIR | 0755, 0, 0)));
	mock_any_times(mock_getattr(t.m, 77, S_IFDIR | 0755, 0, 0));
	ok(pf_stat(t.m->fs, "foo", &st));
	assert_true(S_ISDIR(st.st_mode));
	assert_reads_turn(t.f, 1, 0, 200);
	told_or_arrived(&t, 1, 0, 200, false);
	finish(&t);
}

/* With AUTO_INVAL_DATA a new mtime drops pages: never dirty ones. */
static void mtime_goes_to_and_fro(void **state)
{
	static const uint64_t mtimes[] = {5, 4, 1ull << 62, UINT64_MAX, 0, 1};
	struct t t = begin(.writeback = true, .flags = FUSE_AUTO_INVAL_DATA, .size = 2 * PAGE,
			   .stale = true);

	assert_reads_old(t.f, 0, 2 * PAGE);
	put_at(t.f, 1, 100, 50);
	for (int i = 0; i < 6; i++) {
		struct fuse_attr lie = mock_attr(FOO, REG, 2 * PAGE);

		lie.mtime = mtimes[i];
		lie.mtimensec = UINT32_MAX;
		wdata_lie(t.w, &lie);
		assert_reads_turn(t.f, 1, 100, 50);
		assert_int_equal(size_of(t.f), 2 * PAGE);
	}
	wdata_lie(t.w, NULL);
	assert_reads_old(t.f, 0, 100);
	told_or_arrived(&t, 1, 100, 50, false);
	finish(&t);
}

/* The same without write-back: what was written is at the server, whatever it says of times. */
static void mtime_goes_to_and_fro_write_through(void **state)
{
	struct t t = begin(.flags = FUSE_AUTO_INVAL_DATA, .size = 2 * PAGE, .stale = true);

	for (int i = 0; i < 6; i++) {
		t.w->attr.mtime = i * 7 % 4;
		put_at(t.f, i, 100, 50);
		assert_reads_turn(t.f, i, 100, 50);
		assert_reads_old(t.f, 0, 100);
	}
	finish(&t);
}

/* The server cuts to another size than it was asked for. */
static void truncation_to_another_size(void **state)
{
	struct t t = begin(.writeback = true, .size = 3 * PAGE);
	struct fuse_attr_out out = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(FOO, REG, 9000)};
	struct mock_req *req;
	struct job *j;
	long r;

	put_at(t.f, 1, 0, 3 * PAGE);
	wdata_hold(t.w, FUSE_SETATTR);
	j = job(&t, job_truncate, 0, 100, 0);
	req = wdata_held(t.w);
	mock_answer(req, &out, sizeof(out));
	wdata_unhold(t.w);
	r = job_join(j);
	assert_true(r == 0 || r == -EIO);
	assert_true(size_of(t.f) == 100 || size_of(t.f) == 9000 || size_of(t.f) == 3 * PAGE);
	assert_reads_turn(t.f, 1, 0, 100);
	pf_close(t.f);
	t.f = NULL;
	assert_int_equal(stats(&t).pages_dirty, 0);
	finish(&t);
}

/* ---- answers that come twice, late or never */

static void answered_twice(void **state)
{
	struct t t = begin(.writeback = true);
	struct fuse_write_out out = {.size = PAGE};
	struct mock_req *req;
	struct job *sync;

	put_at(t.f, 1, 0, PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	sync = job(&t, job_fsync, 0, 0, 0);
	req = wdata_held(t.w);
	wdata_go(t.w, req);
	mock_send(t.m, req->h.unique, 0, &out, sizeof(out));
	mock_send(t.m, req->h.unique, -EIO, NULL, 0);
	wdata_unhold(t.w);
	ok(job_join(sync));
	assert_int_equal(stats(&t).pages_lost, 0);
	put_at(t.f, 2, 0, PAGE);
	told_or_arrived(&t, 2, 0, PAGE, false);
	finish(&t);
}

static void error_with_a_body(void **state)
{
	struct t t = begin(.writeback = true);
	struct fuse_write_out out = {.size = PAGE};
	struct mock_req *req;
	struct job *sync;

	put_at(t.f, 1, 0, PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	sync = job(&t, job_fsync, 0, 0, 0);
	req = wdata_held(t.w);
	req->answered = true;
	mock_send(t.m, req->h.unique, -ENOSPC, &out, sizeof(out));
	wdata_unhold(t.w);
	assert_true(job_join(sync) < 0);
	assert_int_equal(stats(&t).pages_lost, 1);
	finish(&t);
}

/* Errors that are no errno of this call. (Those beyond 511 are no answer at all.) */
static void strange_errors(void **state)
{
	static const int errs[] = {511, 500, ENOSYS, ENOTCONN, ESTALE, 1};

	for (size_t i = 0; i < sizeof(errs) / sizeof(*errs); i++) {
		struct t t = begin(.writeback = true);
		int r;

		put_at(t.f, 1, 0, PAGE);
		wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 1000, WDATA_FAIL, errs[i]});
		r = pf_fsync(t.f, 0);
		assert_true(r < 0 && r >= -4095);
		pf_close(t.f);
		t.f = NULL;
		finish(&t);
	}
}

/* Never: the deadline ends it for all. */
static void never_answered(void **state)
{
	struct how h = {.writeback = true};
	struct mock_options o = options_of(&h);
	struct job *sync;
	struct t t;
	long r;

	o.pf.request_timeout_ms = DEADLINE_MS;
	t = (struct t){.m = mock_start(&o)};
	t.w = wdata_new(t.m, "foo", FOO, 0);
	ok(pf_open(t.m->fs, "foo", O_RDWR, 0, &t.f));
	put_at(t.f, 1, 0, 3 * PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	sync = job(&t, job_fsync, 0, 0, 0);
	wdata_held(t.w);
	PASS_DEADLINE;
	r = job_join(sync);
	assert_true(r == -ETIMEDOUT || r == -ENOTCONN || r == -ECONNABORTED);
	assert_true(pf_close(t.f) < 0);
	t.f = NULL;
	wait_until(stats(&t).pages_lost == 3);
	assert_int_equal(pf_stop(t.m->fs), -ETIMEDOUT);
	t.m->fs = NULL;
	stop(&t);
	wdata_free(t.w);
}

/* ---- limits of INIT */

static void tiny_max_write(void **state)
{
	static const uint32_t sizes[] = {1, 4095, 4096, 4097, 5000};

	for (int i = 0; i < 5; i++)
		for (int wb = 0; wb < 2; wb++) {
			struct t t = begin(.writeback = wb, .max_write = sizes[i]);

			put_at(t.f, 1, 100, 20000);
			ok(pf_fsync(t.f, 0));
			assert_server_turn(&t, 1, 100, 20000);
			for (int n = 0; n < wdata_count(t.w, FUSE_WRITE); n++)
				assert_in_range(wdata_nth(t.w, FUSE_WRITE, n).size, 1,
						sizes[i] < 4096 ? 4096 : sizes[i]);
			finish(&t);
		}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(read_gives_more_than_asked),
	    write_test(rest_of_a_page_cannot_be_read),
	    write_test(write_takes_more_than_was_sent),
	    write_test(sizes_jump),
	    write_test(size_that_cannot_be),
	    write_test(type_changes_under_dirty_data),
	    write_test(name_leads_elsewhere),
	    write_test(mtime_goes_to_and_fro),
	    write_test(mtime_goes_to_and_fro_write_through),
	    write_test(truncation_to_another_size),
	    write_test(answered_twice),
	    write_test(error_with_a_body),
	    write_test(strange_errors),
	    write_test(never_answered),
	    write_test(tiny_max_write),
	};

	return run_write_tests(argc, argv, tests);
}
