// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writing with WRITEBACK_CACHE: size, mtime and ctime are the client's while it writes. When they
 * are sent, with what, and when the server's count again.
 */
#include "tests/behave/writes.h"

static struct stat stat_of(struct pf_file *f)
{
	struct stat st;

	ok(pf_fstat(f, &st));
	return st;
}

static bool is_now(struct timespec t)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return t.tv_sec >= now.tv_sec - 30 && t.tv_sec <= now.tv_sec + 1;
}

static uint32_t times_of(struct t *t, int n)
{
	return wdata_nth(t->w, FUSE_SETATTR, n).setattr.valid & (FATTR_MTIME | FATTR_CTIME);
}

/* ---- what stat says */

static void write_sets_them_without_a_request(void **state)
{
	struct t t = begin(.writeback = true, .size = 10);
	struct stat st;

	put_at(t.f, 1, 0, 100);
	st = stat_of(t.f);
	assert_int_equal(st.st_size, 100);
	assert_true(is_now(st.st_mtim));
	assert_true(is_now(st.st_ctim));
	assert_int_equal(st.st_atim.tv_sec, 0);
	assert_came(&t, FUSE_GETATTR, 0);
	assert_came(&t, FUSE_SETATTR, 0);
	finish(&t);
}

/* Nobody else tells its ctime: as with the kernel's client. */
static void link_is_a_change(void **state)
{
	struct t t = begin(.writeback = true, .size = 10);
	struct fuse_entry_out e = {.nodeid = FOO,
				   .attr = t.w->attr,
				   .entry_valid = MOCK_FOREVER,
				   .attr_valid = MOCK_FOREVER};
	struct stat before, st;

	put_at(t.f, 1, 0, 100);
	before = stat_of(t.f);
	usleep(20000);
	mock_lookup_error(t.m, 1, "hard", ENOENT);
	e.attr.nlink = 2;
	mock_body(mock_expect(t.m, FUSE_LINK, 1, "hard"), &e, sizeof(e));
	ok(pf_link(t.m->fs, "foo", "hard"));
	st = stat_of(t.f);
	assert_int_equal(st.st_nlink, 2);
	assert_true(st.st_ctim.tv_sec > before.st_ctim.tv_sec ||
		    st.st_ctim.tv_nsec > before.st_ctim.tv_nsec);
	assert_int_equal(st.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	finish(&t);
}

/* A reply's atime and mode are taken, its size, mtime and ctime are not. */
static void replies_do_not_change_what_is_ours(void **state)
{
	struct t t = begin(.writeback = true, .size = 10, .stale = true);
	struct stat st, before;

	put_at(t.f, 1, 0, 100);
	t.w->attr.atime = 1234;
	t.w->attr.mode = S_IFREG | 0600;
	t.w->attr.mtime = t.w->attr.ctime = 77;
	before = st = stat_of(t.f);
	assert_int_equal(st.st_size, 100);
	assert_int_equal(st.st_atim.tv_sec, 1234);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_true(is_now(st.st_mtim));
	assert_true(is_now(st.st_ctim));
	t.w->attr.mtime = 5; /* backwards, and far into the future */
	t.w->attr.ctime = 1ull << 40;
	ok(pf_stat(t.m->fs, "foo", &st));
	assert_int_equal(st.st_size, 100);
	assert_memory_equal(&st.st_mtim, &before.st_mtim, sizeof(st.st_mtim));
	assert_memory_equal(&st.st_ctim, &before.st_ctim, sizeof(st.st_ctim));
	finish(&t);
}

/* Also after the data has gone: the file is still open for writing. */
static void ours_while_open_for_writing(void **state)
{
	struct t t = begin(.writeback = true, .size = 10, .stale = true);

	put_at(t.f, 1, 0, 100);
	ok(pf_fsync(t.f, 0));
	wdata_set_size(t.w, 50);
	t.w->attr.mtime = 77;
	assert_int_equal(size_of(t.f), 100);
	assert_true(is_now(stat_of(t.f).st_mtim));
	finish(&t);
}

static void the_servers_after_close(void **state)
{
	struct t t = begin(.writeback = true, .size = 10, .stale = true);
	struct stat st;

	put_at(t.f, 1, 0, 100);
	ok(pf_close(t.f));
	t.f = NULL;
	wdata_set_size(t.w, 50);
	t.w->attr.mtime = 77;
	t.w->attr.ctime = 78;
	ok(pf_stat(t.m->fs, "foo", &st));
	assert_int_equal(st.st_size, 50);
	assert_int_equal(st.st_mtim.tv_sec, 77);
	assert_int_equal(st.st_ctim.tv_sec, 78);
	finish(&t);
}

/* A LOOKUP that was answered before the write came. */
static long do_stat(struct job *j)
{
	struct stat st;
	int r = pf_stat(j->t.m->fs, "foo", &st);

	return r < 0 ? r : st.st_size;
}

static void late_lookup(void **state)
{
	struct t t = begin(.writeback = true, .size = 10, .stale = true);
	struct fuse_entry_out old = mock_entry(FOO, REG, 10, MOCK_FOREVER, MOCK_FOREVER);
	struct mock_req *req;
	struct job *j;

	wdata_hold(t.w, FUSE_LOOKUP);
	j = job(&t, do_stat, 0, 0, 0);
	req = wdata_held(t.w);
	put_at(t.f, 1, 10, 5);
	mock_answer(req, &old, sizeof(old));
	assert_int_equal(job_join(j), 15);
	assert_int_equal(size_of(t.f), 15);
	wdata_unhold(t.w);
	ok(pf_fsync(t.f, 0));
	assert_int_equal(wdata_size(t.w), 15);
	finish(&t);
}

/* ---- how they are sent */

static void fsync_sends_them(void **state)
{
	struct t t = begin(.writeback = true);
	struct fuse_setattr_in in;
	struct stat st;

	put_at(t.f, 1, 0, 100);
	st = stat_of(t.f);
	ok(pf_fsync(t.f, 0));
	in = wdata_nth(t.w, FUSE_SETATTR, 0).setattr;
	assert_int_equal(in.valid & ~FATTR_LOCKOWNER, FATTR_MTIME | FATTR_CTIME | FATTR_FH);
	assert_int_equal(in.fh, t.w->last_fh);
	assert_int_equal(in.mtime, st.st_mtim.tv_sec);
	assert_int_equal(in.mtimensec, st.st_mtim.tv_nsec);
	assert_int_equal(in.ctime, st.st_ctim.tv_sec);
	assert_int_equal(in.ctimensec, st.st_ctim.tv_nsec);
	finish(&t);
}

static void close_sends_them_once(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	ok(pf_close(t.f));
	mock_settle(t.m);
	assert_came(&t, FUSE_SETATTR, 1);
	assert_int_equal(times_of(&t, 0), FATTR_MTIME | FATTR_CTIME);
	assert_before(&t, FUSE_WRITE, FUSE_SETATTR);
	assert_before(&t, FUSE_SETATTR, FUSE_RELEASE);
	ok(pf_open(t.m->fs, "foo", O_RDWR, 0, &t.f)); /* nothing is changed this time */
	assert_reads_turn(t.f, 1, 0, 100);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_came(&t, FUSE_SETATTR, 1);
	finish(&t);
}

/* The last writable handle goes, a reader stays: times go while there is a handle for them. */
static void sent_before_the_last_writable_handle_goes(void **state)
{
	struct t t = begin(.writeback = true, .oflags = O_WRONLY);
	struct fuse_setattr_in in;
	struct pf_file *g;

	ok(pf_open(t.m->fs, "foo", O_RDONLY, 0, &g));
	put_at(t.f, 1, 0, 100);
	ok(pf_close(t.f));
	t.f = NULL;
	mock_settle(t.m);
	in = wdata_nth(t.w, FUSE_SETATTR, 0).setattr;
	assert_true(in.valid & FATTR_FH);
	assert_int_equal(in.fh, t.w->last_fh - 1);
	assert_before(&t, FUSE_SETATTR, FUSE_RELEASE);
	ok(pf_close(g));
	assert_came(&t, FUSE_SETATTR, 1);
	finish(&t);
}

static void no_ctime_before_minor_23(void **state)
{
	struct t t = begin(.writeback = true, .minor = 22);

	put_at(t.f, 1, 0, 100);
	ok(pf_fsync(t.f, 0));
	assert_int_equal(times_of(&t, 0), FATTR_MTIME);
	finish(&t);
	t = begin(.writeback = true, .minor = 23);
	put_at(t.f, 1, 0, 100);
	ok(pf_fsync(t.f, 0));
	assert_int_equal(times_of(&t, 0), FATTR_MTIME | FATTR_CTIME);
	finish(&t);
}

static void multiples_of_time_gran(void **state)
{
	uint32_t grans[12], n = 0;

	for (int i = 0; i < 10; i++)
		grans[n++] = 1u << i;
	grans[n++] = 1000000;
	grans[n++] = 1000000000;
	for (uint32_t i = 0; i < n; i++) {
		struct t t = begin(.writeback = true, .time_gran = grans[i]);
		struct fuse_setattr_in in;

		put_at(t.f, 1, 0, 100);
		assert_int_equal(stat_of(t.f).st_mtim.tv_nsec % grans[i], 0);
		ok(pf_fchmod(t.f, 0600));
		in = wdata_nth(t.w, FUSE_SETATTR, 0).setattr;
		assert_int_equal(in.mtimensec % grans[i], 0);
		assert_int_equal(in.ctimensec % grans[i], 0);
		assert_true(is_now((struct timespec){.tv_sec = in.mtime}));
		finish(&t);
	}
}

/* Nothing written, nothing to tell. */
static void reading_and_nothing_written_send_none(void **state)
{
	struct t t = begin(.writeback = true, .size = 100);

	assert_reads_old(t.f, 0, 100);
	assert_int_equal(pf_pwrite(t.f, "", 0, 0), 0);
	fails(pf_pwrite(t.f, "x", 1, -1), EINVAL);
	ok(pf_fsync(t.f, 0));
	ok(pf_close(t.f));
	t.f = NULL;
	assert_came(&t, FUSE_SETATTR, 0);
	finish(&t);
}

/* ---- riding along */

static void chmod_takes_them_along(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	ok(pf_fchmod(t.f, 0600));
	assert_text(&t, "WRITE(0,100) SETATTR(mode,times)");
	assert_int_equal(wdata_nth(t.w, FUSE_SETATTR, 0).setattr.valid &
			     ~(FATTR_FH | FATTR_LOCKOWNER),
			 FATTR_MODE | FATTR_MTIME | FATTR_CTIME);
	ok(pf_fsync(t.f, 0));
	assert_text(&t, "FSYNC"); /* they are known now */
	assert_int_equal(stat_of(t.f).st_mode, S_IFREG | 0600);
	finish(&t);
}

static void chown_takes_them_along(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	ok(pf_fchown(t.f, 5, 6));
	assert_text(&t, "WRITE(0,100) SETATTR(uid,gid,times)");
	finish(&t);
}

/* By name, too. */
static void chmod_by_name(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	ok(pf_chmod(t.m->fs, "foo", 0600));
	assert_before(&t, FUSE_WRITE, FUSE_SETATTR);
	assert_true(wdata_nth(t.w, FUSE_SETATTR, 0).setattr.valid & FATTR_MODE);
	assert_int_equal(times_of(&t, 0), FATTR_MTIME | FATTR_CTIME);
	finish(&t);
}

static void truncate_takes_them_along(void **state)
{
	struct t t = begin(.writeback = true, .size = 1000);
	struct fuse_setattr_in in;

	put_at(t.f, 1, 0, 100);
	ok(pf_ftruncate(t.f, 500));
	in = wdata_nth(t.w, FUSE_SETATTR, 0).setattr;
	assert_came(&t, FUSE_SETATTR, 1);
	assert_true(in.valid & FATTR_SIZE);
	assert_true(in.valid & FATTR_FH);
	assert_int_equal(in.size, 500);
	assert_int_equal(times_of(&t, 0), FATTR_MTIME | FATTR_CTIME);
	assert_true(is_now((struct timespec){.tv_sec = in.mtime}));
	assert_false(in.valid & FATTR_MTIME_NOW);
	finish(&t);
}

/* Explicit times win over ours, and stay. */
static void utimens_comes_after_the_data(void **state)
{
	struct timespec ts[2] = {{.tv_sec = 11, .tv_nsec = 12}, {.tv_sec = 21, .tv_nsec = 22}};
	struct t t = begin(.writeback = true);
	struct fuse_setattr_in in;

	put_at(t.f, 1, 0, 100);
	ok(pf_futimens(t.f, ts));
	assert_before(&t, FUSE_WRITE, FUSE_SETATTR);
	in = wdata_nth(t.w, FUSE_SETATTR, wdata_count(t.w, FUSE_SETATTR) - 1).setattr;
	assert_int_equal(in.valid & (FATTR_ATIME | FATTR_MTIME), FATTR_ATIME | FATTR_MTIME);
	assert_int_equal(in.mtime, 21);
	assert_int_equal(in.mtimensec, 22);
	assert_int_equal(stat_of(t.f).st_mtim.tv_sec, 21);
	ok(pf_close(t.f));
	t.f = NULL;
	assert_int_equal(t.w->attr.atime, 11);
	assert_int_equal(t.w->attr.mtime, 21);
	assert_int_equal(t.w->attr.mtimensec, 22);
	finish(&t);
}

static void utimens_of_atime_keeps_our_mtime(void **state)
{
	struct timespec ts[2] = {{.tv_sec = 11}, {.tv_nsec = UTIME_OMIT}};
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	ok(pf_futimens(t.f, ts));
	assert_true(is_now(stat_of(t.f).st_mtim));
	ok(pf_close(t.f));
	t.f = NULL;
	assert_int_equal(t.w->attr.atime, 11);
	assert_true(is_now((struct timespec){.tv_sec = t.w->attr.mtime}));
	finish(&t);
}

/* A write after that makes it ours again. */
static void write_after_utimens(void **state)
{
	struct timespec ts[2] = {{.tv_sec = 11}, {.tv_sec = 21}};
	struct t t = begin(.writeback = true);

	ok(pf_futimens(t.f, ts));
	put_at(t.f, 1, 0, 100);
	assert_true(is_now(stat_of(t.f).st_mtim));
	ok(pf_close(t.f));
	t.f = NULL;
	assert_true(is_now((struct timespec){.tv_sec = t.w->attr.mtime}));
	assert_int_equal(t.w->attr.atime, 11);
	finish(&t);
}

/* ---- what the server makes of it */

/* Its answer to SETATTR has times of its own: not ours, while we write. */
static void setattr_answer_changes_nothing_of_ours(void **state)
{
	struct t t = begin(.writeback = true, .size = 10);
	struct fuse_attr_out out = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(FOO, REG, 10)};
	struct mock_req *req;
	struct job *j;

	put_at(t.f, 1, 0, 100);
	wdata_hold(t.w, FUSE_SETATTR);
	j = job(&t, job_fsync, 0, 0, 0);
	req = wdata_held(t.w);
	out.attr.mtime = out.attr.ctime = 99;
	mock_answer(req, &out, sizeof(out));
	wdata_unhold(t.w);
	ok(job_join(j));
	assert_int_equal(size_of(t.f), 100);
	assert_true(is_now(stat_of(t.f).st_mtim));
	finish(&t);
}

/* It refuses times: the data has arrived all the same, and whoever asked may be told. */
static void times_that_are_refused(void **state)
{
	struct t t = begin(.writeback = true);
	int r;

	wdata_trick(t.w, (struct wdata_rule){FUSE_SETATTR, 0, 100, WDATA_FAIL, EPERM});
	put_at(t.f, 1, 0, 100);
	r = pf_fsync(t.f, 0);
	assert_true(r == 0 || r == -EPERM);
	assert_server_turn(&t, 1, 0, 100);
	assert_int_equal(stats(&t).pages_lost, 0);
	r = pf_close(t.f);
	t.f = NULL;
	assert_true(r == 0 || r == -EPERM);
	assert_true(wdata_count(t.w, FUSE_SETATTR) < 20); /* not for ever */
	finish(&t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(write_sets_them_without_a_request),
	    write_test(link_is_a_change),
	    write_test(replies_do_not_change_what_is_ours),
	    write_test(ours_while_open_for_writing),
	    write_test(the_servers_after_close),
	    write_test(late_lookup),
	    write_test(fsync_sends_them),
	    write_test(close_sends_them_once),
	    write_test(sent_before_the_last_writable_handle_goes),
	    write_test(no_ctime_before_minor_23),
	    write_test(multiples_of_time_gran),
	    write_test(reading_and_nothing_written_send_none),
	    write_test(chmod_takes_them_along),
	    write_test(chown_takes_them_along),
	    write_test(chmod_by_name),
	    write_test(truncate_takes_them_along),
	    write_test(utimens_comes_after_the_data),
	    write_test(utimens_of_atime_keeps_our_mtime),
	    write_test(write_after_utimens),
	    write_test(setattr_answer_changes_nothing_of_ours),
	    write_test(times_that_are_refused),
	};

	return run_write_tests(argc, argv, tests);
}
