// SPDX-License-Identifier: BSD-2-Clause
/* The file changes at the server while we have data of it: when we ask, and what we drop. */
#include "tests/behave/cached.h"

static struct mock_options flags(uint64_t f)
{
	return (struct mock_options){.flags = f};
}

/* ---- a size that changes: {open again, names valid, attributes valid} x {write-through,
 * write-back} x {smaller, larger} */

struct surprise {
	bool reopen, names, attrs, writeback;
	uint64_t size;
};

static void change_of_size(const struct surprise *s)
{
	struct mock_options o = flags(s->writeback ? FUSE_WRITEBACK_CACHE : 0);
	struct mock_data *d;
	struct mock *m = serve_foo(&o, 20, &d);
	struct pf_file *f;
	char buf[64];

	d->entry_valid = s->names ? MOCK_FOREVER : 0;
	d->attr_valid = s->attrs ? MOCK_FOREVER : 0;
	d->open_flags = FOPEN_KEEP_CACHE;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	assert_int_equal(pf_pread(f, buf, sizeof(buf), 0), 20);
	mock_data_check(d, buf, 0, 20);
	assert_reads(d, "0+20");
	mock_data_resize(d, s->size);
	mock_data_fill(d, 0, s->size, 1);
	if (s->reopen) {
		ok(pf_close(f));
		ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	}
	assert_int_equal(pf_pread(f, buf, sizeof(buf), 0), s->size);
	mock_data_check(d, buf, 0, s->size);
	assert_reads(d, s->size == 10 ? "0+10" : "0+25");
	/* Where a read asks at all, it asks once. */
	assert_int_equal(d->getattrs, s->attrs ? 0 : 2);
	done(m, f);
}

static void truncated_by_surprise(void **state)
{
	static const struct surprise kinds[] = {
	    {0, 0, 0}, {0, 1, 0}, {1, 0, 0}, {1, 0, 1}, {1, 1, 0}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (int k = 0; k < 4; k++) {
			struct surprise s = kinds[i];

			s.writeback = k & 1;
			s.size = k & 2 ? 10 : 25;
			change_of_size(&s);
		}
}

/* ---- one view of the size in one call */

#define B (64 * KIB)

static int shrink_at;

static void shrink(struct mock_data *d)
{
	if ((int)d->getattrs + 1 == shrink_at)
		mock_data_resize(d, B);
}

static void size_within_a_read(int at)
{
	struct mock_options o = flags(FUSE_AUTO_INVAL_DATA);
	struct mock_data *d;
	struct mock *m = serve_foo(&o, 2 * B, &d);
	struct pf_file *f;
	char *buf = malloc(2 * B);
	size_t n = at == 1 ? B : 2 * B;

	d->attr_valid = 0;
	d->before_getattr = shrink;
	shrink_at = at;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	assert_int_equal(pf_pread(f, buf, 2 * B, 0), n);
	mock_data_check(d, buf, 0, n);
	assert_int_equal(d->getattrs, 1);
	assert_reads(d, at == 1 ? "0+65536" : "0+131072");
	free(buf);
	done(m, f);
}

static void one_snapshot(void **state)
{
	for (int at = 1; at <= 3; at++)
		size_within_a_read(at);
}

/* ---- when attributes are asked for */

static void stale_inside_the_file(void **state)
{
	struct mock_data *d;
	struct mock *m = serve_foo(NULL, 100, &d);
	struct pf_file *f;

	d->attr_valid = 0;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	reads_right(d, f, 100, 0);
	reads_right(d, f, 100, 0);
	assert_int_equal(d->getattrs, 0);
	assert_reads(d, "0+100");
	done(m, f);
}

static void stale_beyond_the_end(void **state)
{
	struct mock_data *d;
	struct mock *m = serve_foo(NULL, 100, &d);
	struct pf_file *f;
	char buf[200];

	d->attr_valid = 0;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	assert_int_equal(pf_pread(f, buf, 200, 0), 100);
	assert_int_equal(d->getattrs, 1);
	assert_int_equal(pf_pread(f, buf, 1, 100), 0);
	assert_int_equal(d->getattrs, 2);
	assert_reads(d, "0+100");
	mock_data_resize(d, 150);
	assert_int_equal(pf_pread(f, buf, 200, 0), 150);
	mock_data_check(d, buf, 0, 150);
	assert_int_equal(d->getattrs, 3);
	done(m, f);
}

static void getattr_fails(void **state)
{
	struct mock_options o = flags(FUSE_AUTO_INVAL_DATA);
	struct mock *m = mock_start(&o);
	struct mock_data *d;
	struct pf_file *f;
	char buf[100];

	mock_error(mock_expect(m, FUSE_GETATTR, 42, NULL), EACCES);
	d = mock_data_new(m, "foo", 42, 100, 100);
	d->attr_valid = 0;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	fails(pf_pread(f, buf, 100, 0), EACCES);
	assert_reads(d, "");
	reads_right(d, f, 100, 0);
	done(m, f);
}

/* ---- AUTO_INVAL_DATA */

static void auto_inval_asks_first(void **state)
{
	struct mock_options o = flags(FUSE_AUTO_INVAL_DATA);
	struct mock_data *d;
	struct mock *m = serve_foo(&o, 100, &d);
	struct pf_file *f;

	d->attr_valid = 0;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	mock_log(m);
	reads_right(d, f, 10, 0);
	assert_log(m, "GETATTR(42) READ(42)");
	reads_right(d, f, 10, 0);
	assert_log(m, "GETATTR(42)");
	mock_data_touch(d);
	mock_data_fill(d, 0, 100, 1);
	reads_right(d, f, 10, 0);
	assert_log(m, "GETATTR(42) READ(42)");
	mock_data_resize(d, 200);
	mock_data_fill(d, 0, 200, 2);
	reads_right(d, f, 10, 0);
	assert_log(m, "GETATTR(42) READ(42)");
	done(m, f);
}

static void auto_inval_while_valid(void **state)
{
	struct mock_options o = flags(FUSE_AUTO_INVAL_DATA);
	struct mock_data *d;
	struct mock *m = serve_foo(&o, 100, &d);
	struct pf_file *f;
	struct stat st;

	d->attr_valid = 10;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	reads_right(d, f, 10, 0);
	mock_data_touch(d);
	reads_right(d, f, 10, 0);
	assert_int_equal(d->getattrs, 0);
	assert_reads(d, "0+100");
	pf__clock_advance(11000 * MS);
	mock_data_fill(d, 0, 100, 1);
	ok(pf_fstat(f, &st)); /* whoever asks, the pages go */
	assert_int_equal(d->getattrs, 1);
	reads_right(d, f, 10, 0);
	assert_int_equal(d->getattrs, 1);
	assert_reads(d, "0+100");
	done(m, f);
}

/* Without it a new mtime says nothing about the data. */
static void mtime_alone(void **state)
{
	struct mock_data *d;
	struct mock *m = serve_foo(NULL, 100, &d);
	struct pf_file *f;
	struct stat st;

	d->attr_valid = 0;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	reads_right(d, f, 100, 0);
	mock_data_touch(d);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_mtim.tv_sec, 1001);
	reads_right(d, f, 100, 0);
	assert_reads(d, "0+100");
	done(m, f);
}

/* ---- a size seen by GETATTR */

static void size_seen(uint64_t init_flags, uint64_t size, const char *again)
{
	struct mock_options o = flags(init_flags);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(&o, 4 * PAGE, &d, &f);
	struct stat st;

	d->attr_valid = 0;
	reads_right(d, f, 4 * PAGE, 0);
	assert_reads(d, "0+16384");
	mock_data_resize(d, size);
	mock_notify_inval_inode(m, 42, -1, 0);
	mock_settle(m);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, size);
	reads_right(d, f, size, 0);
	assert_reads(d, again);
	done(m, f);
}

static void size_drops_all(void **state)
{
	size_seen(0, 3 * PAGE, "0+12288");
	size_seen(0, 5 * PAGE, "0+20480");
	size_seen(FUSE_AUTO_INVAL_DATA, 3 * PAGE, "0+12288");
	/* The one that drops wins over the one that keeps. */
	size_seen(FUSE_AUTO_INVAL_DATA | FUSE_EXPLICIT_INVAL_DATA, 3 * PAGE, "0+12288");
}

/* With EXPLICIT_INVAL_DATA only what lies behind the end goes. */
static void explicit_keeps(void **state)
{
	size_seen(FUSE_EXPLICIT_INVAL_DATA, 3 * PAGE, "");
	size_seen(FUSE_EXPLICIT_INVAL_DATA, 5 * PAGE, "16384+4096");
}

/* Shrunk and grown again: what was behind the end is not what was read there once. */
static void explicit_forgets_the_tail(void **state)
{
	struct mock_options o = flags(FUSE_EXPLICIT_INVAL_DATA);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(&o, 4 * PAGE, &d, &f);
	struct stat st;

	d->attr_valid = 0;
	reads_right(d, f, 4 * PAGE, 0);
	for (int i = 0; i < 2; i++) {
		mock_data_resize(d, i ? 4 * PAGE : 2 * PAGE + 10);
		mock_notify_inval_inode(m, 42, -1, 0);
		mock_settle(m);
		ok(pf_fstat(f, &st));
	}
	mock_data_reads(d);
	reads_right(d, f, PAGE, 3 * PAGE);
	assert_reads(d, "12288+4096");
	reads_right(d, f, PAGE, 2 * PAGE); /* 10 bytes, then zeros: kept or read, they are right */
	done(m, f);
}

/* ---- what no file can be */

static void type_changes(void **state)
{
	struct mock_options o = flags(FUSE_AUTO_INVAL_DATA);
	struct mock_data *d;
	struct mock *m = serve_foo(&o, 100, &d);
	struct pf_file *f;
	char buf[100];

	d->attr_valid = 0;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	reads_right(d, f, 100, 0);
	d->mode = S_IFDIR | 0755;
	fails(pf_pread(f, buf, 100, 0), EIO);
	d->mode = REG;
	fails(pf_pread(f, buf, 100, 0), EIO); /* for good */
	pf_close(f);
	mock_end(m);
}

static void size_beyond_limits(void **state)
{
	struct mock_options o = flags(FUSE_AUTO_INVAL_DATA);
	struct mock_data *d;
	struct mock *m = serve_foo(&o, 100, &d);
	struct pf_file *f;
	char buf[100];

	d->attr_valid = 0;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	reads_right(d, f, 100, 0);
	d->size = (uint64_t)INT64_MAX + 1;
	fails(pf_pread(f, buf, 100, 0), EIO);
	pf_close(f);
	mock_end(m);
}

/* A size that jumps up and down with each answer does no harm. */
static void jump(struct mock_data *d)
{
	static const uint64_t sizes[] = {0, 1, 4095, 4096, 4097, 100000, 1ull << 40, INT64_MAX, 7};

	pthread_mutex_lock(&d->m->lock);
	d->size = sizes[d->getattrs % (sizeof(sizes) / sizeof(sizes[0]))];
	pthread_mutex_unlock(&d->m->lock);
}

static void size_jumps(void **state)
{
	struct mock_options o = flags(FUSE_AUTO_INVAL_DATA | FUSE_ASYNC_READ);
	struct mock_data *d;
	struct mock *m = serve_foo(&o, 100, &d);
	struct pf_file *f;
	char buf[10000];

	d->loose = true;
	d->attr_valid = 0;
	d->before_getattr = jump;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	for (int i = 0; i < 200; i++) {
		ssize_t n = pf_pread(f, buf, sizeof(buf), (i * 37) % 9000);

		assert_true(n >= 0 && n <= (ssize_t)sizeof(buf));
	}
	done(m, f);
}

/* What was under way when the change was seen is as old as what was cached. */
static void mtime_during_a_read(void **state)
{
	struct mock_options o = flags(FUSE_AUTO_INVAL_DATA);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, PAGE, O_RDONLY, &d, &f);
	struct task t = {0};
	struct mock_req *req;
	struct stat st;
	char old[PAGE];

	mock_data_hold(d);
	start_read(&t, f, PAGE, 0);
	req = mock_data_take(d);
	mock_data_fill(d, 0, PAGE, 1);
	mock_data_touch(d);
	mock_notify_inval_inode(m, 42, -1, 0);
	mock_settle(m);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_mtim.tv_sec, 1001);
	memset(old, 'o', sizeof(old));
	mock_answer(req, old, sizeof(old));
	mock_data_release(d);
	assert_int_equal(task_join(&t), PAGE);
	reads_right(d, f, PAGE, 0);
	task_free(&t);
	done(m, f);
}

/* ---- files that live */

/* Somebody writes to the end of the file, we read to where it ends, again and again. */
static void growing_file(void **state)
{
	struct mock_options o = flags(FUSE_ASYNC_READ);
	struct mock_data *d;
	struct mock *m = serve_foo(&o, 0, &d);
	struct pf_file *f;
	uint64_t at = 0;
	char buf[3000];

	d->attr_valid = 0;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	for (int i = 1; i < 100; i++) {
		ssize_t n;

		mock_data_resize(d, at + 1234);
		mock_data_fill(d, at, 1234, i);
		while ((n = pf_read(f, buf, sizeof(buf))) > 0) {
			mock_data_check(d, buf, at, n);
			at += n;
		}
		assert_int_equal(n, 0);
		assert_int_equal(at, d->size);
	}
	done(m, f);
}

/* KEEP_CACHE keeps what is still true. */
static void kept_but_changed(void **state)
{
	struct mock_options o = flags(FUSE_AUTO_INVAL_DATA);
	struct mock_data *d;
	struct mock *m = serve_foo(&o, 100, &d);
	struct pf_file *f;

	d->open_flags = FOPEN_KEEP_CACHE;
	d->entry_valid = 0;
	for (int i = 0; i < 3; i++) {
		ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
		reads_right(d, f, 100, 0);
		assert_reads(d, i == 1 ? "" : "0+100");
		ok(pf_close(f));
		if (i == 1) {
			mock_data_touch(d);
			mock_data_fill(d, 0, 100, 1);
		}
	}
	mock_end(m);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    timed(truncated_by_surprise),
	    timed(one_snapshot),
	    timed(stale_inside_the_file),
	    timed(stale_beyond_the_end),
	    timed(getattr_fails),
	    timed(auto_inval_asks_first),
	    timed(auto_inval_while_valid),
	    timed(mtime_alone),
	    timed(size_drops_all),
	    timed(explicit_keeps),
	    timed(explicit_forgets_the_tail),
	    timed(type_changes),
	    timed(size_beyond_limits),
	    timed(size_jumps),
	    timed(mtime_during_a_read),
	    timed(growing_file),
	    timed(kept_but_changed),
	};

	return run_cached_tests(argc, argv, tests);
}
