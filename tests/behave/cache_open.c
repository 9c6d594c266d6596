// SPDX-License-Identifier: BSD-2-Clause
/* What an open says about cached data: kept or dropped, used or gone round. */
#include "tests/behave/cached.h"

static struct pf_file *another(struct mock *m, int flags)
{
	struct pf_file *g;

	ok(pf_open(m->fs, "foo", flags, 0, &g));
	return g;
}

/* ---- KEEP_CACHE */

static void keep_cache(void **state)
{
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = serve_foo(NULL, 100, &d);

	d->open_flags = FOPEN_KEEP_CACHE;
	f = another(m, O_RDONLY);
	reads_right(d, f, 100, 0);
	g = another(m, O_RDONLY);
	reads_right(d, g, 100, 0);
	assert_reads(d, "0+100");
	ok(pf_close(g));
	done(m, f);
}

/* An open without it drops what all have read, also for those who have it open. */
static void no_keep_cache(void **state)
{
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);
	uint64_t dropped;

	reads_right(d, f, 100, 0);
	assert_reads(d, "0+100");
	dropped = stats_of(m).pages_dropped;
	g = another(m, O_RDONLY);
	assert_int_equal(stats_of(m).pages_dropped, dropped + 1);
	assert_int_equal(stats_of(m).pages, 0);
	mock_data_fill(d, 0, 100, 1);
	reads_right(d, f, 100, 0);
	assert_reads(d, "0+100");
	reads_right(d, g, 100, 0);
	assert_reads(d, "");
	ok(pf_close(g));
	done(m, f);
}

/* Data outlives the last close. */
static void kept_while_closed(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);

	reads_right(d, f, 100, 0);
	ok(pf_close(f));
	d->open_flags = FOPEN_KEEP_CACHE;
	f = another(m, O_RDONLY);
	reads_right(d, f, 100, 0);
	assert_reads(d, "0+100");
	ok(pf_close(f));
	d->open_flags = 0;
	f = another(m, O_RDONLY);
	reads_right(d, f, 100, 0);
	assert_reads(d, "0+100");
	done(m, f);
}

/* A server without OPEN keeps what is cached. */
static void open_enosys(void **state)
{
	struct mock *m = mock_start(NULL);
	struct mock_data *d;
	struct pf_file *f, *g;

	mock_error(mock_expect(m, FUSE_OPEN, 42, NULL), ENOSYS);
	d = mock_data_new(m, "foo", 42, 100, 100);
	f = another(m, O_RDONLY);
	reads_right(d, f, 100, 0);
	assert_int_equal(d->seen[0].fh, 0);
	g = another(m, O_RDONLY);
	reads_right(d, g, 100, 0);
	assert_reads(d, "0+100");
	assert_int_equal(d->opens, 0);
	ok(pf_close(g));
	done(m, f);
}

/* ---- options */

static struct mock_options with_cache(int cache)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};

	o.pf.cache = cache;
	return o;
}

static void cache_always(void **state)
{
	struct mock_options o = with_cache(PF_CACHE_ALWAYS);
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_foo(&o, 100, O_RDONLY, &d, &f);

	reads_right(d, f, 100, 0);
	g = another(m, O_RDONLY);
	reads_right(d, g, 100, 0);
	assert_reads(d, "0+100");
	/* The server may still want direct I/O. */
	ok(pf_close(g));
	d->open_flags = FOPEN_DIRECT_IO;
	d->loose = true;
	g = another(m, O_RDONLY);
	reads_right(d, g, 10, 20);
	assert_reads(d, "20+10");
	ok(pf_close(g));
	done(m, f);
}

static void cache_none(void **state)
{
	struct mock_options o = with_cache(PF_CACHE_NONE);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = serve_foo(&o, 100, &d);
	struct pf_stats s;

	d->loose = true;
	d->open_flags = FOPEN_KEEP_CACHE;
	f = another(m, O_RDONLY);
	reads_right(d, f, 8, 50);
	reads_right(d, f, 8, 50);
	assert_reads(d, "50+8 50+8");
	s = stats_of(m);
	assert_int_equal(s.reads_direct, 2);
	assert_int_equal(s.reads_cached, 0);
	assert_int_equal(s.pages, 0);
	assert_true(d->seen[0].read_flags & FUSE_READ_LOCKOWNER);
	done(m, f);
}

static void drop_caches(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);

	reads_right(d, f, 100, 0);
	ok(pf_drop_caches(m->fs));
	assert_int_equal(stats_of(m).pages, 0);
	reads_right(d, f, 100, 0);
	assert_reads(d, "0+100 0+100");
	ok(pf_close(f));
	mock_settle(m); /* RELEASE has been answered */
	ok(pf_drop_caches(m->fs));
	mock_wait_forgotten(m, 42, 1);
	mock_end(m);
}

/* ---- direct I/O beside the cache */

static void direct_io_goes_round(void **state)
{
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);
	struct pf_stats s;

	reads_right(d, f, 100, 0);
	d->open_flags = FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE;
	d->loose = true;
	g = another(m, O_RDONLY);
	mock_data_fill(d, 0, 100, 1);
	reads_right(d, g, 10, 20);
	reads_right(d, g, 10, 20);
	assert_reads(d, "0+100 20+10 20+10");
	s = stats_of(m);
	assert_int_equal(s.reads_cached, 1);
	assert_int_equal(s.reads_direct, 2);
	assert_int_equal(s.pages, 1); /* as it was, from the first open */
	ok(pf_close(g));
	done(m, f);
}

/* Direct reads are not cut at the known size, and say nothing about it. */
static void direct_io_knows_no_end(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = serve_foo(NULL, 100, &d);
	struct stat st;
	char buf[200];

	d->open_flags = FOPEN_DIRECT_IO;
	d->loose = true;
	f = another(m, O_RDONLY);
	assert_int_equal(pf_pread(f, buf, 200, 0), 100);
	assert_int_equal(pf_pread(f, buf, 200, 300), 0);
	assert_reads(d, "0+200 300+200");
	d->ends = 50;
	assert_int_equal(pf_pread(f, buf, 100, 0), 50);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 100);
	done(m, f);
}

static void o_direct(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = serve_foo(NULL, 4 * PAGE, &d);
	char *buf = aligned_alloc(PAGE, PAGE);

	f = another(m, O_RDONLY | O_DIRECT);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pf_pread(f, buf, PAGE, PAGE), PAGE);
		mock_data_check(d, buf, PAGE, PAGE);
	}
	assert_reads(d, "4096+4096 4096+4096");
	assert_true(d->seen[0].read_flags & FUSE_READ_LOCKOWNER);
	assert_true(d->seen[0].lock_owner);
	assert_true(d->seen[0].flags & O_DIRECT);
	assert_int_equal(stats_of(m).reads_direct, 2);
	assert_int_equal(stats_of(m).pages, 0);
	/* The flag may come and go. */
	ok(pf_setfl(f, 0));
	ok(pf_fadvise(f, 0, 0, POSIX_FADV_RANDOM));
	reads_right(d, f, 100, PAGE);
	reads_right(d, f, 100, PAGE);
	assert_reads(d, "4096+4096");
	assert_int_equal(stats_of(m).reads_cached, 2);
	free(buf);
	done(m, f);
}

/* ---- streams */

static void stream_is_direct(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = serve_foo(NULL, 100, &d);
	char c;

	d->open_flags = FOPEN_STREAM;
	d->loose = true;
	f = another(m, O_RDONLY);
	assert_int_equal(pf_read(f, &c, 1), 1);
	assert_int_equal(pf_read(f, &c, 1), 1);
	assert_reads(d, "0+1 0+1");
	fails(pf_pread(f, &c, 1, 0), ESPIPE);
	fails(pf_lseek(f, 0, SEEK_SET), ESPIPE);
	assert_int_equal(stats_of(m).reads_direct, 2);
	done(m, f);
}

static void nonseekable_is_cached(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = serve_foo(NULL, 100, &d);
	char buf[100];

	d->open_flags = FOPEN_NONSEEKABLE;
	f = another(m, O_RDONLY);
	assert_int_equal(pf_read(f, buf, 60), 60);
	assert_int_equal(pf_read(f, buf, 60), 40);
	mock_data_check(d, buf, 60, 40);
	assert_int_equal(pf_read(f, buf, 60), 0);
	assert_reads(d, "0+100");
	fails(pf_lseek(f, 0, SEEK_SET), ESPIPE);
	assert_int_equal(stats_of(m).reads_direct, 0);
	done(m, f);
}

static void passthrough_is_refused(void **state)
{
	struct mock *m = mock_start(NULL);
	struct mock_data *d = mock_data_new(m, "foo", 42, 100, 100);
	struct pf_file *f;

	d->open_flags = FOPEN_PASSTHROUGH;
	fails(pf_open(m->fs, "foo", O_RDONLY, 0, &f), EIO);
	d->open_flags = 0;
	f = another(m, O_RDONLY);
	assert_int_equal(mock_count(m, FUSE_RELEASE), 1); /* for the one that was refused */
	done(m, f);
}

/* ---- who changes the file drops what is cached of it */

static void truncating_open(void **state)
{
	struct mock_options o = {.flags = FUSE_ATOMIC_O_TRUNC};
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_foo(&o, 100, O_RDONLY, &d, &f);
	char buf[100];

	reads_right(d, f, 100, 0);
	d->open_flags = FOPEN_KEEP_CACHE;
	g = another(m, O_RDWR | O_TRUNC);
	assert_int_equal(stats_of(m).pages, 0);
	assert_int_equal(pf_pread(f, buf, 100, 0), 0);
	mock_data_resize(d, 100);
	mock_notify_inval_inode(m, 42, -1, 0);
	mock_settle(m);
	reads_right(d, f, 100, 0);
	assert_reads(d, "0+100 0+100");
	ok(pf_close(g));
	done(m, f);
}

/* Shrinking and growing again leaves zeros, also in the page that was kept. */
static void truncate_discards(void **state)
{
	size_t size = 0x30000;
	struct mock_options o = {.flags = FUSE_BIG_WRITES};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, 0, O_RDWR, &d, &f);
	char *buf = malloc(size);

	mock_data_writable(d);
	memset(buf, 'X', size);
	assert_int_equal(pf_pwrite(f, buf, size, 0), size);
	reads_right(d, f, size, 0);
	ok(pf_ftruncate(f, 0x400));
	ok(pf_ftruncate(f, size));
	memset(buf, 'X', size);
	assert_int_equal(pf_pread(f, buf, size - 0x400, 0x400), size - 0x400);
	for (size_t i = 0; i < size - 0x400; i++)
		assert_int_equal(buf[i], 0);
	reads_right(d, f, size, 0);
	free(buf);
	done(m, f);
}

/* A copy by the server drops the pages that it wrote to, and no others. */
static void copy_evicts(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	off_t in = 0, out = 2 * PAGE + 10;
	struct mock *m = open_foo(NULL, 6 * PAGE, O_RDWR, &d, &f);

	ok(pf_fadvise(f, 0, 0, POSIX_FADV_RANDOM));
	mock_data_writable(d);
	reads_right(d, f, 6 * PAGE, 0);
	assert_reads(d, "0+24576");
	assert_int_equal(pf_copy_file_range(f, &in, f, &out, PAGE, 0), PAGE);
	reads_right(d, f, 2 * PAGE, 0);
	reads_right(d, f, 2 * PAGE, 4 * PAGE);
	assert_reads(d, "");
	reads_right(d, f, 2 * PAGE, 2 * PAGE);
	assert_reads(d, "8192+8192");
	done(m, f);
}

/* Dirty data of the source is written before the server copies it. */
static void copy_writes_the_source_first(void **state)
{
	struct mock_options o = {.flags = FUSE_WRITEBACK_CACHE | FUSE_BIG_WRITES};
	struct mock_data *d;
	struct pf_file *f;
	off_t in = 0, out = 3 * PAGE;
	struct mock *m = open_foo(&o, 6 * PAGE, O_RDWR, &d, &f);
	char data[3 * PAGE];
	const char *log, *copy;

	mock_data_writable(d);
	memset(data, 'x', sizeof(data));
	assert_int_equal(pf_pwrite(f, data, sizeof(data), 0), sizeof(data));
	mock_log(m);
	assert_int_equal(pf_copy_file_range(f, &in, f, &out, sizeof(data), 0), sizeof(data));
	log = mock_log(m);
	copy = strstr(log, "COPY_FILE_RANGE");
	assert_non_null(copy);
	assert_non_null(strstr(log, "WRITE(42)"));
	assert_true(strstr(log, "WRITE(42)") < copy);
	assert_null(strstr(copy, "WRITE(42)"));
	reads_right(d, f, 6 * PAGE, 0);
	assert_memory_equal(d->bytes + 3 * PAGE, data, sizeof(data));
	done(m, f);
}

static void punched_pages_go(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 6 * PAGE, O_RDWR, &d, &f);

	ok(pf_fadvise(f, 0, 0, POSIX_FADV_RANDOM));
	mock_data_writable(d);
	reads_right(d, f, 6 * PAGE, 0);
	/* FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE */
	ok(pf_fallocate(f, 0x02 | 0x01, PAGE, PAGE));
	ok(pf_fallocate(f, 0x10, 3 * PAGE + 5, 10));
	assert_reads(d, "0+24576");
	reads_right(d, f, PAGE, 0);
	reads_right(d, f, PAGE, 2 * PAGE);
	reads_right(d, f, 2 * PAGE, 4 * PAGE);
	assert_reads(d, "");
	reads_right(d, f, PAGE, PAGE);
	reads_right(d, f, PAGE, 3 * PAGE);
	assert_reads(d, "4096+4096 12288+4096");
	done(m, f);
}

/* ---- while something is under way */

/* What was read before an open is not what is seen after it, also when the answer is late. */
static void open_during_a_read(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, PAGE, &d, &f);
	struct task read = {0}, open = {.fs = m->fs};
	struct mock_req *req;
	char old[PAGE];

	mock_data_hold(d);
	start_read(&read, f, PAGE, 0);
	req = mock_data_take(d);
	task_start(&open, task_open);
	nap();
	memset(old, 'o', sizeof(old));
	mock_data_fill(d, 0, PAGE, 1);
	mock_answer(req, old, sizeof(old));
	mock_data_release(d);
	assert_int_equal(task_join(&open), 0);
	assert_int_equal(task_join(&read), PAGE);
	reads_right(d, open.f, PAGE, 0);
	task_free(&read);
	ok(pf_close(open.f));
	done(m, f);
}

static ssize_t task_shrink(struct task *t)
{
	return pf_ftruncate(t->f, PAGE);
}

/* An answer that is late brings nothing back that was cut off. */
static void truncate_during_a_read(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 3 * PAGE, O_RDWR, &d, &f);
	struct task read = {0}, cut = {.f = f};
	struct mock_req *req;
	char old[PAGE];

	ok(pf_fadvise(f, 0, 0, POSIX_FADV_RANDOM));
	mock_data_writable(d);
	d->loose = true; /* who began to read before may ask again for what is gone */
	mock_data_hold(d);
	start_read(&read, f, PAGE, 2 * PAGE);
	req = mock_data_take(d);
	task_start(&cut, task_shrink);
	nap();
	memset(old, 'o', sizeof(old));
	mock_answer(req, old, sizeof(old));
	mock_data_release(d);
	assert_int_equal(task_join(&cut), 0);
	assert_in_range(task_join(&read), 0, PAGE);
	ok(pf_ftruncate(f, 3 * PAGE));
	reads_right(d, f, 3 * PAGE, 0);
	task_free(&read);
	done(m, f);
}

/* ---- dirty data */

static struct mock *open_dirty(struct mock_data **d, struct pf_file **f)
{
	struct mock_options o = {.flags = FUSE_WRITEBACK_CACHE | FUSE_BIG_WRITES};
	struct mock *m = open_foo(&o, 2 * PAGE, O_RDWR, d, f);
	char page[PAGE];

	memset(page, 'A', sizeof(page));
	mock_data_writable(*d);
	(*d)->loose = true;
	assert_int_equal(pf_pwrite(*f, page, PAGE, PAGE), PAGE);
	assert_int_equal((*d)->writes, 0);
	assert_int_equal(stats_of(m).pages_dirty, 1);
	return m;
}

/* An open that drops what is cached has it written first. */
static void open_writes_first(void **state)
{
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_dirty(&d, &f);

	g = another(m, O_RDONLY);
	assert_int_equal(d->writes, 1);
	assert_int_equal(d->bytes[PAGE], 'A');
	assert_int_equal(stats_of(m).pages, 0);
	reads_right(d, g, 2 * PAGE, 0);
	ok(pf_close(g));
	done(m, f);
}

/* A direct read has it written first where it reads, and only there. */
static void direct_read_writes_first(void **state)
{
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_dirty(&d, &f);

	d->open_flags = FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE;
	g = another(m, O_RDONLY);
	reads_right(d, g, 100, 0);
	assert_int_equal(d->writes, 0);
	mock_log(m);
	reads_right(d, g, 100, PAGE + 1000);
	assert_int_equal(d->writes, 1);
	assert_non_null(strstr(mock_log(m), "WRITE(42) READ(42)"));
	assert_int_equal(d->bytes[PAGE + 1000], 'A');
	ok(pf_close(g));
	done(m, f);
}

/* An open drops what is cached also when it does not cache itself. */
static void direct_open_drops_too(void **state)
{
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);

	reads_right(d, f, 100, 0);
	d->open_flags = FOPEN_DIRECT_IO;
	g = another(m, O_RDONLY);
	reads_right(d, f, 100, 0);
	assert_reads(d, "0+100 0+100");
	ok(pf_close(g));
	done(m, f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    timed(keep_cache),
	    timed(no_keep_cache),
	    timed(kept_while_closed),
	    timed(open_enosys),
	    timed(cache_always),
	    timed(cache_none),
	    timed(drop_caches),
	    timed(direct_io_goes_round),
	    timed(direct_io_knows_no_end),
	    timed(o_direct),
	    timed(stream_is_direct),
	    timed(nonseekable_is_cached),
	    timed(passthrough_is_refused),
	    timed(truncating_open),
	    timed(truncate_discards),
	    timed(copy_evicts),
	    timed(copy_writes_the_source_first),
	    timed(punched_pages_go),
	    timed(open_during_a_read),
	    timed(truncate_during_a_read),
	    timed(open_writes_first),
	    timed(direct_read_writes_first),
	    timed(direct_open_drops_too),
	};

	return run_cached_tests(argc, argv, tests);
}
