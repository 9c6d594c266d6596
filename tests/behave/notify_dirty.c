// SPDX-License-Identifier: BSD-2-Clause
/* Notifications about data that we changed and have not written back. */
#include "tests/behave/cached.h"

/* Nothing is written back because of its age. */
static struct mock *open_dirty(uint64_t size, struct mock_data **d, struct pf_file **f)
{
	struct mock_options o = {
	    .pf_set = true, .pf = PF_OPTIONS_INIT, .flags = FUSE_WRITEBACK_CACHE | FUSE_BIG_WRITES};
	struct mock *m;

	o.pf.dirty_expire_ms = 600000;
	m = open_foo(&o, size, O_RDWR, d, f);
	ok(pf_fadvise(*f, 0, 0, POSIX_FADV_RANDOM));
	mock_data_writable(*d);
	(*d)->loose = true; /* its size is behind ours */
	return m;
}

static bool merged(const struct mock_req *req, void *ctx)
{
	const struct fuse_write_in *in = req->arg;

	return in->offset == 0 && in->size == 9 && in->write_flags & FUSE_WRITE_CACHE &&
	       !memcmp(req->data, "ABCxyzGHI", 9);
}

/* The stored bytes are the server's, those around them stay ours; the page stays dirty. */
static void store_over_dirty(void **state)
{
	struct mock_options o = {.flags = FUSE_WRITEBACK_CACHE};
	struct mock *m = mock_start(&o);
	struct fuse_write_out out = {.size = 9};
	struct mock_expect *write;
	struct mock_data *d;
	struct pf_file *f;
	char buf[9];

	write = mock_match(mock_body(mock_expect(m, FUSE_WRITE, 42, NULL), &out, sizeof(out)),
			   merged, NULL);
	d = mock_data_new(m, "foo", 42, 0, PAGE);
	mock_data_writable(d);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	assert_int_equal(pf_pwrite(f, "ABCDEFGHI", 9, 0), 9);
	mock_store(m, 42, 3, "xyz", 3);
	mock_settle(m);
	assert_int_equal(stats_of(m).pages_dirty, 1);
	assert_int_equal(pf_pread(f, buf, 9, 0), 9);
	assert_memory_equal(buf, "ABCxyzGHI", 9);
	assert_int_equal(write->seen, 0);
	ok(pf_fsync(f, 0));
	assert_int_equal(write->seen, 1);
	assert_int_equal(d->writes, 0);
	done(m, f);
}

/* A page is stored behind one that is dirty in part: STORE sends nothing, all can be read. */
static void store_behind_dirty(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_dirty(0, &d, &f);
	char buf[2 * PAGE];

	assert_int_equal(pf_pwrite(f, "ABCDEF", 6, 0), 6);
	mock_data_resize(d, 2 * PAGE);
	mock_data_fill(d, PAGE, PAGE, 1);
	mock_log(m);
	mock_data_store(d, PAGE, PAGE);
	mock_settle(m);
	assert_log(m, "");
	assert_int_equal(pf_pread(f, buf, 2 * PAGE, 0), 2 * PAGE);
	assert_memory_equal(buf, "ABCDEF", 6);
	mock_data_check(d, buf + 6, 6, 2 * PAGE - 6);
	ok(pf_fsync(f, 0));
	mock_data_check(d, buf, 0, 2 * PAGE);
	done(m, f);
}

/* Write a page of one letter at 0. It must not wait for the server, who holds WRITEs. */
static void dirties(struct pf_file *f, char letter)
{
	struct task *t = calloc(1, sizeof(*t));

	t->f = f;
	t->len = PAGE;
	t->buf = malloc(PAGE);
	memset(t->buf, letter, PAGE);
	task_start(t, task_write);
	wait_until(t->over);
	assert_int_equal(task_join(t), PAGE);
	task_free(t);
	free(t);
}

static ssize_t task_fsync(struct task *t)
{
	return pf_fsync(t->f, 0);
}

/* Over a page that is being written back: nothing waits, and the page is read again. */
static void store_during_write_back(void **state)
{
	struct mock_options o = {.flags = FUSE_WRITEBACK_CACHE | FUSE_BIG_WRITES};
	struct mock *m = mock_start(&o);
	struct mock_expect *write = mock_hold(mock_expect(m, FUSE_WRITE, 42, NULL));
	struct fuse_write_out out = {.size = PAGE};
	struct mock_data *d = mock_data_new(m, "foo", 42, PAGE, PAGE);
	struct task sync = {0};
	struct mock_req *req;
	struct pf_file *f;

	mock_data_writable(d);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	dirties(f, 'A');
	sync.f = f;
	task_start(&sync, task_fsync);
	req = mock_wait(write);
	mock_data_fill(d, 0, PAGE, 1);
	mock_data_store(d, 0, PAGE);
	mock_settle(m);
	mock_answer(req, &out, sizeof(out));
	assert_int_equal(task_join(&sync), 0);
	reads_right(d, f, PAGE, 0);
	done(m, f);
}

/* Dirty pages of the range stay, and are written soon; clean ones go. */
static void inval_of_dirty(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_dirty(3 * PAGE, &d, &f);
	char buf[PAGE];

	reads_right(d, f, 3 * PAGE, 0);
	memset(buf, 'A', PAGE);
	assert_int_equal(pf_pwrite(f, buf, PAGE, PAGE), PAGE);
	mock_data_reads(d);
	assert_int_equal(d->writes, 0);
	mock_notify_inval_inode(m, 42, 0, 0);
	mock_settle(m);
	assert_int_equal(pf_pread(f, buf, PAGE, PAGE), PAGE);
	assert_int_equal(buf[0], 'A');
	wait_until(mock_count(m, FUSE_WRITE));
	assert_int_equal(mock_count(m, FUSE_WRITE), 1);
	ok(pf_fsync(f, 0));
	reads_right(d, f, 3 * PAGE, 0);
	assert_true(mock_data_read_bytes(d) >= 2 * PAGE);
	done(m, f);
}

/* Not even while the server holds the WRITE does the notification wait. */
static void inval_during_write_back(void **state)
{
	struct mock_options o = {.flags = FUSE_WRITEBACK_CACHE | FUSE_BIG_WRITES};
	struct mock *m = mock_start(&o);
	struct mock_expect *write = mock_hold(mock_expect(m, FUSE_WRITE, 42, NULL));
	struct fuse_write_out out = {.size = PAGE};
	struct mock_data *d = mock_data_new(m, "foo", 42, PAGE, PAGE);
	struct task sync = {0};
	struct mock_req *req;
	struct pf_file *f;

	mock_data_writable(d);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	memset(d->bytes, 'A', PAGE); /* as if it had been taken */
	dirties(f, 'A');
	sync.f = f;
	task_start(&sync, task_fsync);
	req = mock_wait(write);
	mock_notify_inval_inode(m, 42, 0, 0);
	mock_settle(m);
	mock_answer(req, &out, sizeof(out));
	assert_int_equal(task_join(&sync), 0);
	reads_right(d, f, PAGE, 0);
	done(m, f);
}

/* What was asked for back has our changes in it. */
static void retrieve_dirty(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_dirty(PAGE, &d, &f);
	char buf[PAGE];

	reads_right(d, f, PAGE, 0);
	assert_int_equal(pf_pwrite(f, "ABCDEF", 6, 100), 6);
	assert_int_equal(mock_retrieve(m, 42, 0, PAGE, buf), PAGE);
	mock_data_check(d, buf, 0, 100);
	assert_memory_equal(buf + 100, "ABCDEF", 6);
	mock_data_check(d, buf + 106, 106, PAGE - 106);
	done(m, f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    timed(store_over_dirty), timed(store_behind_dirty),      timed(store_during_write_back),
	    timed(inval_of_dirty),   timed(inval_during_write_back), timed(retrieve_dirty),
	};

	return run_cached_tests(argc, argv, tests);
}
