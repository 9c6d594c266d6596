// SPDX-License-Identifier: BSD-2-Clause
/* Readers that wait for the server or for each other: errors, signals, deadlines, death. */
#include "tests/behave/cached.h"

/* ---- several at once */

static void one_read_for_two(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, PAGE, O_RDONLY, &d, &f);
	struct task a = {0}, b = {0};

	mock_data_hold(d);
	start_read(&a, f, PAGE, 0);
	mock_data_wait_held(d, 1);
	start_read(&b, f, 100, 50);
	nap();
	assert_int_equal(d->nreads, 1);
	assert_false(b.over);
	mock_data_release(d);
	assert_int_equal(task_join(&a), PAGE);
	assert_int_equal(task_join(&b), 100);
	mock_data_check(d, a.buf, 0, PAGE);
	mock_data_check(d, b.buf, 50, 100);
	assert_int_equal(d->nreads, 1);
	task_free(&a);
	task_free(&b);
	done(m, f);
}

/* An error is for who asked; who waited beside asks for itself. */
static void error_for_one_of_two(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, PAGE, O_RDONLY, &d, &f);
	struct task a = {0}, b = {0};
	struct mock_req *req;

	mock_data_hold(d);
	start_read(&a, f, PAGE, 0);
	req = mock_data_take(d);
	start_read(&b, f, 100, 50);
	nap();
	mock_answer_error(req, EIO);
	assert_int_equal(task_join(&a), -EIO);
	mock_data_wait_held(d, 1);
	mock_data_release(d);
	assert_int_equal(task_join(&b), 100);
	mock_data_check(d, b.buf, 50, 100);
	assert_int_equal(d->nreads, 2);
	task_free(&a);
	task_free(&b);
	done(m, f);
}

static void interrupted(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, PAGE, O_RDONLY, &d, &f);
	struct mock_expect *intr = mock_silent(mock_expect(m, FUSE_INTERRUPT, 0, NULL));
	struct task a = {0};
	struct mock_req *req;

	mock_data_hold(d);
	start_read(&a, f, PAGE, 0);
	req = mock_data_take(d);
	assert_int_equal(pf_interrupt(m->fs), 1);
	mock_wait_seen(intr, 1);
	mock_answer_error(req, EINTR);
	assert_int_equal(task_join(&a), -EINTR);
	mock_data_release(d);
	reads_right(d, f, PAGE, 0);
	assert_int_equal(d->nreads, 2);
	task_free(&a);
	done(m, f);
}

/* Who waits for a page that another one reads has no request of his own; he is let go all the same.
 */
static void interrupted_beside(void **state)
{
	struct pf_caller root = {.size = sizeof root};
	struct mock_data *d;
	struct pf_fs *view;
	struct pf_file *f, *g;
	struct mock *m = open_foo(NULL, PAGE, O_RDONLY, &d, &f);
	struct task a = {0}, b = {0};

	ok(pf_as(m->fs, &root, &view));
	ok(pf_open(view, "foo", O_RDONLY, 0, &g));
	mock_data_hold(d);
	start_read(&a, f, PAGE, 0);
	mock_data_wait_held(d, 1);
	start_read(&b, g, 100, 50);
	nap();
	assert_false(b.over);
	wait_until(pf_interrupt(view) == 1);
	assert_int_equal(task_join(&b), -EINTR);
	assert_false(a.over);
	assert_int_equal(pf_interrupt(view), 0);
	mock_data_release(d);
	assert_int_equal(task_join(&a), PAGE);
	mock_data_check(d, a.buf, 0, PAGE);
	task_free(&a);
	task_free(&b);
	ok(pf_close(g));
	pf_view_free(view);
	done(m, f);
}

static void death_wakes_who_waits(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, PAGE, O_RDONLY, &d, &f);
	struct task a = {0}, b = {0};

	mock_data_hold(d);
	start_read(&a, f, PAGE, 0);
	mock_data_wait_held(d, 1);
	start_read(&b, f, PAGE, 0);
	nap();
	mock_hang_up(m);
	assert_int_equal(task_join(&a), -ENOTCONN);
	assert_int_equal(task_join(&b), -ENOTCONN);
	task_free(&a);
	task_free(&b);
	pf_close(f);
	mock_end(m);
}

static void abort_wakes_who_waits(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, PAGE, O_RDONLY, &d, &f);
	struct task a = {0}, b = {0};

	mock_data_hold(d);
	start_read(&a, f, PAGE, 0);
	mock_data_wait_held(d, 1);
	start_read(&b, f, PAGE, 0);
	nap();
	pf_abort(m->fs);
	assert_int_equal(task_join(&a), -ECONNABORTED);
	assert_true(task_join(&b) == -ECONNABORTED || b.result == -ENOTCONN);
	task_free(&a);
	task_free(&b);
	pf_close(f);
	mock_end(m);
}

/* Who waits for a page that another reads is no part of that other's interruption: it gets its
 * page, or is interrupted itself. */
static void interrupted_beside_another(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, PAGE, O_RDONLY, &d, &f);
	struct mock_expect *intr = mock_silent(mock_expect(m, FUSE_INTERRUPT, 0, NULL));
	struct task a = {0}, b = {0};
	struct mock_req *req;

	mock_data_hold(d);
	start_read(&a, f, PAGE, 0);
	req = mock_data_take(d);
	start_read(&b, f, PAGE, 0);
	nap();
	pf_interrupt(m->fs);
	mock_wait_seen(intr, 1);
	mock_answer_error(req, EINTR);
	assert_int_equal(task_join(&a), -EINTR);
	mock_data_release(d);
	if (task_join(&b) == PAGE)
		mock_data_check(d, b.buf, 0, PAGE);
	else
		assert_int_equal(b.result, -EINTR);
	task_free(&a);
	task_free(&b);
	reads_right(d, f, PAGE, 0);
	done(m, f);
}

static void deadline(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct mock_data *d;
	struct pf_file *f;
	struct task a = {0}, b = {0};
	struct mock *m;

	o.pf.request_timeout_ms = DEADLINE_MS;
	m = open_foo(&o, PAGE, O_RDONLY, &d, &f);
	mock_data_hold(d);
	start_read(&a, f, PAGE, 0);
	mock_data_wait_held(d, 1);
	start_read(&b, f, PAGE, 0);
	nap();
	PASS_DEADLINE;
	assert_int_equal(task_join(&a), -ETIMEDOUT);
	assert_true(task_join(&b) == -ETIMEDOUT || b.result == -ENOTCONN);
	task_free(&a);
	task_free(&b);
	pf_close(f);
	mock_end(m);
}

/* Readahead that is never answered keeps nobody from ending. */
static void death_with_readahead_out(void **state)
{
	struct mock_options o = {.flags = FUSE_ASYNC_READ};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY, &d, &f);
	struct task a = {0};

	mock_data_hold(d);
	ok(pf_fadvise(f, 0, MIB, POSIX_FADV_WILLNEED));
	mock_data_wait_held(d, 1);
	start_read(&a, f, PAGE, 0);
	nap();
	mock_hang_up(m);
	assert_int_equal(task_join(&a), -ENOTCONN);
	task_free(&a);
	pf_close(f);
	mock_end(m);
}

/* One of several requests for a range fails: what lies before it is had, then comes the error. */
static void one_piece_fails(uint64_t init_flags)
{
	struct mock_options o = {.flags = init_flags, .pf_set = true, .pf = PF_OPTIONS_INIT};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m;
	char *buf = malloc(256 * KIB);

	o.pf.mount_options = "max_read=65536";
	m = open_calm(&o, 256 * KIB, &d, &f);
	d->fail_errno = ENOSPC;
	d->fail_at = 150000;
	d->fail_always = true; /* it may be tried again */
	assert_int_equal(pf_pread(f, buf, 256 * KIB, 0), 128 * KIB);
	mock_data_check(d, buf, 0, 128 * KIB);
	fails(pf_pread(f, buf, PAGE, 150000 / PAGE * PAGE), ENOSPC);
	d->fail_at = MOCK_ANY;
	reads_right(d, f, 256 * KIB, 0);
	free(buf);
	done(m, f);
}

static void some_pieces_fail(void **state)
{
	one_piece_fails(0);
	one_piece_fails(FUSE_ASYNC_READ);
}

/* And one that is short: the file ends there. */
static void one_piece_short(uint64_t init_flags)
{
	struct mock_options o = {.flags = init_flags, .pf_set = true, .pf = PF_OPTIONS_INIT};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m;
	char *buf = malloc(256 * KIB);

	o.pf.mount_options = "max_read=65536";
	m = open_calm(&o, 256 * KIB, &d, &f);
	d->loose = true;
	mock_data_resize(d, 150000);
	assert_int_equal(pf_pread(f, buf, 256 * KIB, 0), 150000);
	mock_data_check(d, buf, 0, 150000);
	assert_int_equal(pf_pread(f, buf, PAGE, 150000), 0);
	free(buf);
	done(m, f);
}

static void some_pieces_are_short(void **state)
{
	one_piece_short(0);
	one_piece_short(FUSE_ASYNC_READ);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    timed(one_read_for_two),
	    timed(error_for_one_of_two),
	    timed(interrupted),
	    timed(interrupted_beside),
	    timed(death_wakes_who_waits),
	    timed(abort_wakes_who_waits),
	    timed(interrupted_beside_another),
	    timed(deadline),
	    timed(death_with_readahead_out),
	    timed(some_pieces_fail),
	    timed(some_pieces_are_short),
	};

	return run_cached_tests(argc, argv, tests);
}
