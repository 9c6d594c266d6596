// SPDX-License-Identifier: BSD-2-Clause
/* Reads that keep what they read: which READs are sent, with what in them, and when none is. */
#include "tests/behave/cached.h"

/* ---- what a READ looks like */

/* Page-aligned, cut to the end of the file; flags and handle of the file used; no lock owner. */
static void read_on_the_wire(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 100, O_RDWR | O_NONBLOCK, &d, &f);

	reads_right(d, f, 8, 50);
	assert_int_equal(d->nreads, 1);
	assert_int_equal(d->seen[0].offset, 0);
	assert_int_equal(d->seen[0].size, 100);
	assert_int_equal(d->seen[0].fh, 1);
	assert_int_equal(d->seen[0].flags & (O_ACCMODE | O_NONBLOCK), O_RDWR | O_NONBLOCK);
	assert_int_equal(d->seen[0].read_flags & FUSE_READ_LOCKOWNER, 0);
	assert_int_equal(d->seen[0].lock_owner, 0);
	done(m, f);
}

static void handle_of_the_file_used(void **state)
{
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_calm(NULL, 2 * PAGE, &d, &f);

	d->open_flags = FOPEN_KEEP_CACHE;
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &g));
	ok(pf_fadvise(g, 0, 0, POSIX_FADV_RANDOM));
	reads_right(d, g, PAGE, PAGE);
	reads_right(d, f, PAGE, 0);
	assert_reads(d, "4096+4096 0+4096");
	assert_int_equal(d->seen[0].fh, 2);
	assert_int_equal(d->seen[0].flags & O_ACCMODE, O_RDWR);
	assert_int_equal(d->seen[1].fh, 1);
	assert_int_equal(d->seen[1].flags & O_ACCMODE, O_RDONLY);
	ok(pf_close(g));
	done(m, f);
}

static bool of_the_caller(const struct mock_req *req, void *ctx)
{
	return req->h.pid == (uint32_t)getpid();
}

static void credentials(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = mock_start(NULL);
	char data[100] = "", buf[100];

	mock_match(mock_read(m, 42, 0, 100, data, 100), of_the_caller, NULL);
	d = mock_data_new(m, "foo", 42, 100, 100);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	assert_int_equal(pf_pread(f, buf, 100, 0), 100);
	assert_int_equal(d->nreads, 0);
	done(m, f);
}

static void own_range(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 10000, &d, &f);

	reads_right(d, f, 10, 5000);
	assert_reads(d, "4096+4096");
	reads_right(d, f, 10, 9000);
	assert_reads(d, "8192+1808");
	reads_right(d, f, 4096, 0);
	assert_reads(d, "0+4096");
	reads_right(d, f, 10000, 0);
	assert_reads(d, "");
	done(m, f);
}

/* A range is one READ, as large as it may be. */
static void one_read_for_a_range(void **state)
{
	struct mock_options o = {.flags = FUSE_MAX_PAGES, .init = {.max_pages = 32}};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(&o, MIB, &d, &f);

	reads_right(d, f, 2000, 4000);
	assert_reads(d, "0+8192");
	reads_right(d, f, 100000, 20000);
	assert_reads(d, "16384+106496");
	done(m, f);
}

static void max_read(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m;

	o.pf.mount_options = "max_read=65536";
	m = open_calm(&o, 256 * KIB, &d, &f);
	reads_right(d, f, 256 * KIB, 0);
	assert_reads(d, "0+65536 65536+65536 131072+65536 196608+65536");
	done(m, f);
}

/* Only what is missing is asked for. */
static void holes_in_the_cache(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 6 * PAGE, &d, &f);

	reads_right(d, f, PAGE, PAGE);
	reads_right(d, f, PAGE, 4 * PAGE);
	assert_reads(d, "4096+4096 16384+4096");
	reads_right(d, f, 6 * PAGE, 0);
	assert_int_equal(mock_data_read_bytes(d), 4 * PAGE);
	assert_reads(d, "0+4096 8192+8192 20480+4096");
	done(m, f);
}

/* ---- what needs no READ */

static void second_read(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);
	struct pf_stats s;

	reads_right(d, f, 8, 0);
	s = stats_of(m);
	assert_int_equal(s.reads_cached, 1);
	assert_int_equal(s.reads_direct, 0);
	assert_int_equal(s.page_misses, 1);
	assert_int_equal(s.page_hits, 0);
	assert_int_equal(s.pages, 1);
	assert_reads(d, "0+100");
	reads_right(d, f, 100, 0);
	reads_right(d, f, 1, 99);
	assert_reads(d, "");
	s = stats_of(m);
	assert_int_equal(s.reads_cached, 3);
	assert_int_equal(s.page_hits, 2);
	assert_int_equal(s.page_misses, 1);
	assert_int_equal(s.bytes_read, 109);
	assert_int_equal(s.pages_dirty, 0);
	done(m, f);
}

/* A read of 8 bytes brings more, the next 8 come from what it brought. */
static void cache_block(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 128 * KIB, O_RDONLY, &d, &f);
	char buf[8];
	size_t n;

	assert_int_equal(pf_read(f, buf, 8), 8);
	mock_data_check(d, buf, 0, 8);
	mock_settle(m);
	n = d->nreads;
	assert_int_equal(d->seen[0].offset, 0);
	for (int i = 1; i < 8; i++) {
		assert_int_equal(pf_read(f, buf, 8), 8);
		mock_data_check(d, buf, 8 * i, 8);
	}
	assert_int_equal(pf_lseek(f, 0, SEEK_CUR), 64);
	for (size_t i = n; i < d->nreads; i++)
		assert_true(d->seen[i].offset >= PAGE); /* at most what lies ahead */
	done(m, f);
}

static void at_the_end(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);
	char buf[200];

	assert_int_equal(pf_pread(f, buf, 10, 100), 0);
	assert_int_equal(pf_pread(f, buf, 10, 5000), 0);
	assert_int_equal(pf_pread(f, buf, 0, 0), 0);
	assert_reads(d, "");
	assert_int_equal(pf_pread(f, buf, 200, 0), 100);
	mock_data_check(d, buf, 0, 100);
	assert_int_equal(pf_pread(f, buf, 200, 90), 10);
	mock_data_check(d, buf, 90, 10);
	assert_reads(d, "0+100");
	assert_int_equal(d->getattrs, 0); /* they are valid */
	done(m, f);
}

static void empty_file(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 0, O_RDONLY, &d, &f);
	char c;

	assert_int_equal(pf_pread(f, &c, 1, 0), 0);
	assert_int_equal(pf_read(f, &c, 1), 0);
	assert_reads(d, "");
	done(m, f);
}

static void vectors_and_position(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 3 * PAGE, &d, &f);
	char a[3000], b[3000];
	struct iovec iov[] = {{a, sizeof(a)}, {NULL, 0}, {b, sizeof(b)}};

	assert_int_equal(pf_lseek(f, 5000, SEEK_SET), 5000);
	assert_int_equal(pf_readv(f, iov, 3), 6000);
	mock_data_check(d, a, 5000, 3000);
	mock_data_check(d, b, 8000, 3000);
	assert_reads(d, "4096+8192");
	assert_int_equal(pf_lseek(f, 0, SEEK_CUR), 11000);
	assert_int_equal(pf_readv(f, iov, 3), 3 * PAGE - 11000);
	assert_int_equal(pf_preadv(f, iov, 3, 1), 6000);
	mock_data_check(d, b, 3001, 3000);
	assert_reads(d, "0+4096");
	done(m, f);
}

static void bad_arguments(void **state)
{
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);
	char buf[16];

	fails(pf_pread(f, buf, 16, -1), EINVAL);
	ok(pf_open(m->fs, "foo", O_WRONLY, 0, &g));
	fails(pf_pread(g, buf, 16, 0), EBADF);
	assert_reads(d, "");
	ok(pf_close(g));
	done(m, f);
}

/* Nothing that reading does is told to the server as a time; a read from memory leaves atime as it
 * is. */
static void atime_stays(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);
	struct stat before, after;
	size_t asked;

	reads_right(d, f, 100, 0);
	ok(pf_fstat(f, &before));
	asked = d->getattrs;
	reads_right(d, f, 100, 0);
	ok(pf_fstat(f, &after));
	assert_int_equal(d->getattrs, asked);
	assert_int_equal(after.st_atim.tv_sec, before.st_atim.tv_sec);
	assert_int_equal(after.st_mtim.tv_sec, 1000);
	done(m, f); /* a SETATTR would be unexpected */
}

/* ---- a READ that brings less, or nothing */

/* A short READ is the end of the file: the size follows, attributes are asked for, what was known
 * behind it goes. */
static void short_read(void **state)
{
	struct mock_options o = {.flags = FUSE_EXPLICIT_INVAL_DATA};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(&o, 4 * PAGE, &d, &f);
	struct stat st;
	char buf[PAGE];

	reads_right(d, f, PAGE, 3 * PAGE);
	mock_data_resize(d, 10000);
	d->loose = true;
	assert_int_equal(pf_pread(f, buf, PAGE, 2 * PAGE), 10000 - 2 * PAGE);
	mock_data_check(d, buf, 2 * PAGE, 10000 - 2 * PAGE);
	assert_reads(d, "12288+4096 8192+4096");
	assert_int_equal(pf_pread(f, buf, 10, 10000), 0);
	assert_reads(d, "");
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 10000);
	assert_true(d->getattrs >= 1);
	/* The last page is gone, although it was read once. */
	mock_data_resize(d, 4 * PAGE);
	mock_notify_inval_inode(m, 42, -1, 0);
	mock_settle(m);
	reads_right(d, f, PAGE, 3 * PAGE);
	assert_reads(d, "12288+4096");
	done(m, f);
}

static void short_read_of_nothing(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);
	struct stat st;
	char buf[100];

	d->loose = true;
	mock_data_resize(d, 0);
	assert_int_equal(pf_pread(f, buf, 100, 0), 0);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 0);
	done(m, f);
}

/* What is known better than the READ knew stays. */
static void short_read_is_old_news(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 4 * PAGE, &d, &f);
	struct task t = {0};
	struct mock_req *req;
	struct stat st;
	char part[100];

	mock_data_hold(d);
	start_read(&t, f, PAGE, 2 * PAGE);
	req = mock_data_take(d);
	mock_notify_inval_inode(m, 42, -1, 0);
	mock_settle(m);
	ok(pf_fstat(f, &st));
	assert_int_equal(d->getattrs, 1);
	memset(part, 'x', sizeof(part));
	mock_answer(req, part, sizeof(part));
	mock_data_release(d);
	assert_true(task_join(&t) >= 100);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 4 * PAGE);
	assert_int_equal(pf_lseek(f, 0, SEEK_END), 4 * PAGE);
	task_free(&t);
	done(m, f);
}

/* A file whose size is ours has a hole there. */
static void short_read_of_our_file(void **state)
{
	struct mock_options o = {.flags = FUSE_WRITEBACK_CACHE | FUSE_BIG_WRITES};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, 2 * PAGE, O_RDWR, &d, &f);
	char buf[PAGE], zero[PAGE] = {0};
	struct stat st;

	ok(pf_fadvise(f, 0, 0, POSIX_FADV_RANDOM));
	d->ends = 100;
	assert_int_equal(pf_pread(f, buf, PAGE, 0), PAGE);
	mock_data_check(d, buf, 0, 100);
	assert_memory_equal(buf + 100, zero, PAGE - 100);
	assert_int_equal(pf_pread(f, buf, PAGE, PAGE), PAGE);
	assert_memory_equal(buf, zero, PAGE);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 2 * PAGE);
	done(m, f);
}

static void read_too_much(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = mock_start(NULL);
	char data[200] = "", buf[100];

	mock_body(mock_expect(m, FUSE_READ, 42, NULL), data, 200);
	d = mock_data_new(m, "foo", 42, 100, 100);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	fails(pf_pread(f, buf, 100, 0), EIO);
	reads_right(d, f, 100, 0); /* nothing was kept of it */
	assert_reads(d, "0+100");
	done(m, f);
}

static void error_is_not_kept(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 2 * PAGE, &d, &f);
	char buf[PAGE];

	d->fail_errno = EIO;
	d->fail_at = 0;
	fails(pf_pread(f, buf, PAGE, 0), EIO);
	reads_right(d, f, PAGE, PAGE);
	reads_right(d, f, PAGE, 0);
	assert_reads(d, "0+4096 4096+4096 0+4096");
	done(m, f);
}

/* The server's errno is never taken for something of our own. */
static void any_error(void **state)
{
	static const int errors[] = {ENOMEM, EAGAIN, ENOBUFS, EINTR, ENOSYS, EBUSY, ENOSPC, EBADF};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 2 * PAGE, &d, &f);
	char buf[PAGE];

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		d->fail_errno = errors[i];
		d->fail_at = 0;
		assert_int_equal(pf_pread(f, buf, PAGE, 0), -errors[i]);
		assert_reads(d, "0+4096");
	}
	reads_right(d, f, PAGE, 0);
	done(m, f);
}

/* What came before the error is a count; the error comes with the next call. */
static void error_after_some(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 2 * PAGE, &d, &f);
	char buf[2 * PAGE];

	reads_right(d, f, PAGE, 0);
	d->fail_errno = ENOSPC;
	d->fail_at = PAGE;
	assert_int_equal(pf_pread(f, buf, 2 * PAGE, 0), PAGE);
	mock_data_check(d, buf, 0, PAGE);
	d->fail_at = PAGE;
	fails(pf_pread(f, buf, PAGE, PAGE), ENOSPC);
	done(m, f);
}

/* ---- far offsets */

static void far_pages(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, (1ull << 40) + 10, &d, &f);

	reads_right(d, f, 10, 1ull << 40);
	reads_right(d, f, PAGE, 1ull << 39);
	reads_right(d, f, 1, 0);
	assert_reads(d, "1099511627776+10 549755813888+4096 0+4096");
	reads_right(d, f, 10, 1ull << 40);
	assert_reads(d, "");
	done(m, f);
}

/* No request crosses the largest offset there is. */
static void largest_offset(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, INT64_MAX, &d, &f);
	char buf[PAGE];

	assert_int_equal(pf_pread(f, buf, 100, INT64_MAX - 100), 100);
	mock_data_check(d, buf, INT64_MAX - 100, 100);
	assert_reads(d, "9223372036854771712+4095");
	done(m, f);
}

/* ---- one cache for a node, and no longer than it lives */

static void two_names(void **state)
{
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);

	mock_lookup(m, 1, "bar", 42, REG, 100, MOCK_FOREVER);
	reads_right(d, f, 100, 0);
	d->open_flags = FOPEN_KEEP_CACHE;
	ok(pf_open(m->fs, "bar", O_RDONLY, 0, &g));
	/* The attributes of the second name have another mtime, which says nothing here. */
	reads_right(d, g, 100, 0);
	assert_reads(d, "0+100");
	ok(pf_close(g));
	done(m, f);
}

static void unlinked(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 2 * PAGE, &d, &f);

	mock_empty(m, FUSE_UNLINK, 1);
	reads_right(d, f, PAGE, 0);
	ok(pf_unlink(m->fs, "foo"));
	reads_right(d, f, 2 * PAGE, 0);
	assert_reads(d, "0+4096 4096+4096");
	done(m, f);
}

/* A node that comes back under the same number is another file. */
static void forgotten_node_is_new(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);

	reads_right(d, f, 100, 0);
	ok(pf_close(f));
	mock_notify_inval_entry(m, 1, "foo", 0);
	mock_settle(m);
	mock_wait_forgotten(m, 42, 1);
	mock_data_fill(d, 0, 100, 1);
	d->open_flags = FOPEN_KEEP_CACHE;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	reads_right(d, f, 100, 0);
	assert_reads(d, "0+100 0+100");
	done(m, f);
}

static void old_minor(void **state)
{
	struct mock_options o = {.minor = 8, .flags = FUSE_ASYNC_READ};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, 100000, O_RDONLY, &d, &f);

	for (uint64_t at = 0; at < 100000; at += 1000)
		reads_right(d, f, 1000, at);
	nap();
	assert_int_equal(mock_data_read_bytes(d), 100000);
	done(m, f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    timed(read_on_the_wire),
	    timed(handle_of_the_file_used),
	    timed(credentials),
	    timed(own_range),
	    timed(one_read_for_a_range),
	    timed(max_read),
	    timed(holes_in_the_cache),
	    timed(second_read),
	    timed(cache_block),
	    timed(at_the_end),
	    timed(empty_file),
	    timed(vectors_and_position),
	    timed(bad_arguments),
	    timed(atime_stays),
	    timed(short_read),
	    timed(short_read_of_nothing),
	    timed(short_read_is_old_news),
	    timed(short_read_of_our_file),
	    timed(read_too_much),
	    timed(error_is_not_kept),
	    timed(any_error),
	    timed(error_after_some),
	    timed(far_pages),
	    timed(largest_offset),
	    timed(two_names),
	    timed(unlinked),
	    timed(forgotten_node_is_new),
	    timed(old_minor),
	};

	return run_cached_tests(argc, argv, tests);
}
