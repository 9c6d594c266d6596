// SPDX-License-Identifier: BSD-2-Clause
/* Reads that copy nothing or wait for nothing: borrowed pages, mappings, RWF_NOWAIT. */
#include "tests/behave/cached.h"

#include <sys/uio.h>

/* ---- pf_read_borrow() */

static void borrows(struct mock_data *d, struct pf_file *f, size_t count, uint64_t offset,
		    struct pf_borrow *b)
{
	ssize_t n = pf_read_borrow(f, count, offset, b);

	ok(n);
	assert_in_range(n, 1, count);
	assert_int_equal(b->length, n);
	mock_data_check(d, b->data, offset, n);
}

static void borrow(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 10000, &d, &f);
	struct pf_borrow b, c;
	const void *where;

	borrows(d, f, 100, 50, &b);
	assert_int_equal(b.length, 100);
	where = b.data;
	pf_read_return(&b);
	assert_reads(d, "0+4096");
	borrows(d, f, 100, 50, &b); /* the same memory: it is the cache */
	assert_ptr_equal(b.data, where);
	borrows(d, f, 10, 60, &c);
	assert_ptr_equal(c.data, (const char *)where + 10);
	pf_read_return(&c);
	mock_data_check(d, b.data, 50, 100);
	pf_read_return(&b);
	assert_reads(d, "");
	done(m, f);
}

/* A range is had by borrowing again and again. */
static void borrow_all(void **state)
{
	struct mock_options o = {.flags = FUSE_ASYNC_READ | FUSE_MAX_PAGES,
				 .init = {.max_pages = 256}};
	uint64_t size = MIB + 1000, at = 0;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, size, O_RDONLY, &d, &f);
	struct pf_borrow b;
	ssize_t n;

	while ((n = pf_read_borrow(f, 2 * MIB, at, &b)) > 0) {
		mock_data_check(d, b.data, at, n);
		at += n;
		pf_read_return(&b);
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, size);
	done(m, f);
}

/* It is a read like others: counted, and more is read ahead. */
static void borrow_in_sequence(void **state)
{
	struct mock_options o = {.flags = FUSE_ASYNC_READ | FUSE_MAX_PAGES,
				 .init = {.max_pages = 32, .max_readahead = 256 * KIB}};
	uint64_t size = 2 * MIB, n = 0;
	struct pf_stats before, after;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, size, O_RDONLY, &d, &f);
	struct pf_borrow b;

	before = stats_of(m);
	for (uint64_t at = 0; at < size; n++) {
		borrows(d, f, 8 * PAGE, at, &b);
		at += b.length;
		pf_read_return(&b);
	}
	after = stats_of(m);
	assert_int_equal(after.reads_cached - before.reads_cached, n);
	assert_int_equal(after.bytes_read - before.bytes_read, size);
	assert_int_equal(after.page_hits + after.page_misses, size / PAGE);
	/* Nearly all were there, or on their way, when they were asked for. */
	assert_true(after.readahead_hits >= (size - 512 * KIB) / PAGE);
	assert_int_equal(after.readahead_waste, 0);
	done(m, f);
}

static void borrow_at_the_end(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 100, &d, &f);
	struct pf_borrow b;

	assert_int_equal(pf_read_borrow(f, 10, 100, &b), 0);
	assert_int_equal(pf_read_borrow(f, 10, 1000, &b), 0);
	assert_int_equal(pf_read_borrow(f, 0, 0, &b), 0);
	assert_reads(d, "");
	borrows(d, f, 1000, 90, &b);
	assert_int_equal(b.length, 10);
	pf_read_return(&b);
	done(m, f);
}

static void borrow_errors(void **state)
{
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_calm(NULL, 100, &d, &f);
	struct pf_borrow b;

	d->fail_errno = EIO;
	d->fail_at = 0;
	fails(pf_read_borrow(f, 10, 0, &b), EIO);
	fails(pf_read_borrow(f, 10, -1, &b), EINVAL);
	ok(pf_open(m->fs, "foo", O_WRONLY, 0, &g));
	fails(pf_read_borrow(g, 10, 0, &b), EBADF);
	ok(pf_close(g));
	done(m, f);
}

/* Where nothing is cached a buffer is made for it. */
static void borrow_direct(void **state)
{
	struct mock_data *d;
	struct mock *m = serve_foo(NULL, 100, &d);
	struct pf_borrow b;
	struct pf_file *f;

	d->open_flags = FOPEN_DIRECT_IO;
	d->loose = true;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	for (int i = 0; i < 2; i++) {
		borrows(d, f, 10, 20, &b);
		assert_int_equal(b.length, 10);
		pf_read_return(&b);
	}
	assert_reads(d, "20+10 20+10");
	assert_int_equal(stats_of(m).reads_direct, 2);
	assert_int_equal(pf_read_borrow(f, 10, 100, &b), 0);
	done(m, f);
}

/* Each byte is as it was, or as it is now. */
static void old_or_new(struct mock_data *d, const struct pf_borrow *b, const char *before)
{
	const char *now = b->data;

	for (size_t i = 0; i < b->length; i++)
		if (now[i] != before[i])
			mock_data_check(d, now + i, i, 1);
}

/* What is borrowed stays where it is, whatever becomes of the cache. */
static void borrowed_stays(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, PAGE, &d, &f);
	struct pf_borrow b;
	char before[PAGE];

	borrows(d, f, PAGE, 0, &b);
	memcpy(before, b.data, PAGE);
	mock_notify_inval_inode(m, 42, 0, 0);
	mock_settle(m);
	ok(pf_fadvise(f, 0, 0, POSIX_FADV_DONTNEED));
	ok(pf_drop_caches(m->fs));
	mock_data_fill(d, 0, PAGE, 1);
	reads_right(d, f, PAGE, 0);
	old_or_new(d, &b, before);
	ok(pf_close(f));
	old_or_new(d, &b, before);
	pf_read_return(&b);
	mock_end(m);
}

/* ---- pf_mmap() */

static void maps(struct pf_file *f, size_t length, int flags, off_t offset, struct pf_mapping **map)
{
	ok(pf_mmap(f, length, PROT_READ, flags, offset, map));
	assert_non_null(pf_mapping_address(*map));
}

/* The READ is cut to the end of the file, the rest of the page is zero. */
static void map_read(void **state)
{
	static const char zero[2 * PAGE];
	struct pf_mapping *map;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, PAGE + 8, O_RDONLY, &d, &f);

	maps(f, 3 * PAGE, MAP_SHARED, 0, &map);
	mock_data_check(d, pf_mapping_address(map), 0, PAGE + 8);
	assert_memory_equal((char *)pf_mapping_address(map) + PAGE + 8, zero, 2 * PAGE - 8);
	assert_int_equal(mock_data_read_bytes(d), PAGE + 8);
	assert_int_equal(d->seen[0].fh, 1);
	assert_int_equal(d->seen[0].read_flags & FUSE_READ_LOCKOWNER, 0);
	mock_data_reads(d);
	reads_right(d, f, PAGE + 8, 0); /* and it is the cache */
	assert_reads(d, "");
	ok(pf_munmap(map));
	done(m, f);
}

static void map_small(void **state)
{
	struct pf_mapping *map;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 8, O_RDONLY, &d, &f);

	maps(f, PAGE, MAP_PRIVATE, 0, &map);
	mock_data_check(d, pf_mapping_address(map), 0, PAGE);
	assert_reads(d, "0+8");
	ok(pf_munmap(map));
	done(m, f);
}

static void map_part(void **state)
{
	struct pf_mapping *map;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 16 * PAGE, &d, &f);

	reads_right(d, f, PAGE, 3 * PAGE);
	mock_data_reads(d);
	maps(f, 3 * PAGE - 100, MAP_SHARED, 2 * PAGE, &map);
	mock_data_check(d, pf_mapping_address(map), 2 * PAGE, 3 * PAGE - 100);
	assert_reads(d, "8192+4096 16384+4096");
	ok(pf_munmap(map));
	done(m, f);
}

/* The file ends before it was thought to. */
static void map_eof(void **state)
{
	struct pf_mapping *map;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, PAGE, O_RDONLY, &d, &f);
	struct stat st;

	d->loose = true;
	mock_data_resize(d, 8);
	maps(f, PAGE, MAP_SHARED, 0, &map);
	mock_data_check(d, pf_mapping_address(map), 0, PAGE);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 8);
	assert_true(d->getattrs >= 1);
	ok(pf_munmap(map));
	done(m, f);
}

static void map_outlives_close(void **state)
{
	struct pf_mapping *map;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 2 * PAGE, O_RDONLY, &d, &f);

	maps(f, 2 * PAGE, MAP_SHARED, 0, &map);
	ok(pf_close(f));
	mock_settle(m);
	mock_data_check(d, pf_mapping_address(map), 0, 2 * PAGE);
	assert_int_equal(mock_count(m, FUSE_RELEASE), 0); /* the mapping uses the handle */
	ok(pf_munmap(map));
	mock_settle(m);
	mock_end(m);
}

static void map_arguments(void **state)
{
	struct pf_mapping *map = NULL;
	struct mock_data *d;
	struct pf_file *f, *w;
	struct mock *m = open_foo(NULL, 2 * PAGE, O_RDONLY, &d, &f);

	fails(pf_mmap(f, 0, PROT_READ, MAP_SHARED, 0, &map), EINVAL);
	fails(pf_mmap(f, PAGE, PROT_READ, MAP_SHARED, 100, &map), EINVAL);
	fails(pf_mmap(f, PAGE, PROT_READ, 0, 0, &map), EINVAL);
	fails(pf_mmap(f, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &map), EACCES);
	ok(pf_mmap(f, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, &map));
	ok(pf_munmap(map));
	ok(pf_open(m->fs, "foo", O_WRONLY, 0, &w));
	fails(pf_mmap(w, PAGE, PROT_READ, MAP_SHARED, 0, &map), EACCES);
	ok(pf_close(w));
	done(m, f);
}

/* What is changed in a private mapping is seen by nobody. */
static void map_private(void **state)
{
	struct pf_mapping *map;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, PAGE, O_RDWR, &d, &f);

	ok(pf_mmap(f, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, &map));
	memset(pf_mapping_address(map), 0, PAGE);
	reads_right(d, f, PAGE, 0);
	ok(pf_msync(map, 0, PAGE));
	ok(pf_munmap(map));
	reads_right(d, f, PAGE, 0);
	assert_reads(d, "0+4096");
	done(m, f); /* a WRITE would be unexpected */
}

static void map_read_error(void **state)
{
	struct pf_mapping *map = NULL;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 4 * PAGE, O_RDONLY, &d, &f);

	d->fail_errno = EIO;
	d->fail_at = PAGE;
	fails(pf_mmap(f, 4 * PAGE, PROT_READ, MAP_SHARED, 0, &map), EIO);
	maps(f, 4 * PAGE, MAP_SHARED, 0, &map);
	mock_data_check(d, pf_mapping_address(map), 0, 4 * PAGE);
	ok(pf_munmap(map));
	done(m, f);
}

static void map_direct(uint64_t init_flags, int err)
{
	struct mock_options o = {.flags = init_flags};
	struct pf_mapping *map = NULL;
	struct mock_data *d;
	struct mock *m = serve_foo(&o, PAGE, &d);
	struct pf_file *f;

	d->open_flags = FOPEN_DIRECT_IO;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	assert_int_equal(pf_mmap(f, PAGE, PROT_READ, MAP_SHARED, 0, &map), -err);
	if (!err) {
		mock_data_check(d, pf_mapping_address(map), 0, PAGE);
		ok(pf_munmap(map));
	}
	maps(f, PAGE, MAP_PRIVATE, 0, &map); /* in any case */
	mock_data_check(d, pf_mapping_address(map), 0, PAGE);
	ok(pf_munmap(map));
	done(m, f);
}

static void map_direct_io(void **state)
{
	map_direct(0, ENODEV);
	map_direct(FUSE_DIRECT_IO_ALLOW_MMAP, 0);
}

/* What is stored or read again is seen through a shared mapping. */
static void map_sees_stores(void **state)
{
	struct pf_mapping *map;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, PAGE, O_RDONLY, &d, &f);

	maps(f, PAGE, MAP_SHARED, 0, &map);
	mock_data_fill(d, 0, PAGE, 1);
	mock_data_store(d, 0, PAGE);
	mock_settle(m);
	mock_data_check(d, pf_mapping_address(map), 0, PAGE);
	ok(pf_munmap(map));
	done(m, f);
}

static void map_too_large(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct pf_mapping *map = NULL;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m;

	o.pf.cache_bytes = MIB;
	m = open_foo(&o, 4 * MIB, O_RDONLY, &d, &f);
	fails(pf_mmap(f, 4 * MIB, PROT_READ, MAP_SHARED, 0, &map), ENOMEM);
	reads_right(d, f, 100000, 3 * MIB); /* and nothing is used up */
	maps(f, 100000, MAP_SHARED, MIB, &map);
	mock_data_check(d, pf_mapping_address(map), MIB, 100000);
	ok(pf_munmap(map));
	done(m, f);
}

/* ---- RWF_NOWAIT */

static ssize_t read_nowait(struct pf_file *f, void *buf, size_t len, off_t offset)
{
	struct iovec iov = {buf, len};

	return pf_preadv2(f, &iov, 1, offset, RWF_NOWAIT);
}

static void nowait(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 2 * PAGE, &d, &f);
	char buf[2 * PAGE];

	fails(read_nowait(f, buf, 100, 0), EAGAIN);
	mock_settle(m);
	assert_reads(d, "");
	reads_right(d, f, PAGE, 0);
	mock_data_reads(d);
	assert_int_equal(read_nowait(f, buf, 100, 50), 100);
	mock_data_check(d, buf, 50, 100);
	/* As far as it goes, then not at all. */
	assert_int_equal(read_nowait(f, buf, 2 * PAGE, 0), PAGE);
	mock_data_check(d, buf, 0, PAGE);
	fails(read_nowait(f, buf, PAGE, PAGE), EAGAIN);
	assert_int_equal(read_nowait(f, buf, PAGE, 2 * PAGE), 0);
	assert_reads(d, "");
	done(m, f);
}

static void nowait_position(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 2 * PAGE, &d, &f);
	char buf[2 * PAGE];

	reads_right(d, f, PAGE, 0);
	assert_int_equal(read_nowait(f, buf, 4000, -1), 4000);
	assert_int_equal(read_nowait(f, buf, 4000, -1), 96);
	fails(read_nowait(f, buf, 4000, -1), EAGAIN);
	assert_int_equal(pf_lseek(f, 0, SEEK_CUR), PAGE);
	done(m, f);
}

/* Attributes that would have to be asked for are something to wait for, too. */
static void nowait_attributes(void **state)
{
	struct mock_options o = {.flags = FUSE_AUTO_INVAL_DATA};
	struct mock_data *d;
	struct mock *m = serve_foo(&o, 100, &d);
	struct pf_file *f;
	char buf[100];

	d->attr_valid = 0;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	reads_right(d, f, 100, 0);
	mock_log(m);
	fails(read_nowait(f, buf, 10, 0), EAGAIN);
	assert_log(m, "");
	done(m, f);
}

/* A page that another is reading is not waited for. */
static void nowait_beside_a_read(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, PAGE, &d, &f);
	struct task t = {0};
	char buf[100];

	mock_data_hold(d);
	start_read(&t, f, PAGE, 0);
	mock_data_wait_held(d, 1);
	fails(read_nowait(f, buf, 10, 0), EAGAIN);
	mock_data_release(d);
	assert_int_equal(task_join(&t), PAGE);
	assert_int_equal(read_nowait(f, buf, 10, 0), 10);
	task_free(&t);
	done(m, f);
}

static void nowait_direct(void **state)
{
	struct mock_data *d;
	struct mock *m = serve_foo(NULL, 100, &d);
	struct pf_file *f;
	char buf[10];

	d->open_flags = FOPEN_DIRECT_IO;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	fails(read_nowait(f, buf, 10, 0), EAGAIN);
	assert_reads(d, "");
	done(m, f);
}

static void other_flags(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);
	char buf[10];
	struct iovec iov = {buf, 10};

	assert_int_equal(pf_preadv2(f, &iov, 1, 0, RWF_HIPRI), 10);
	assert_int_equal(pf_preadv2(f, &iov, 1, 5, 0), 10);
	mock_data_check(d, buf, 5, 10);
	fails(pf_preadv2(f, &iov, 1, 0, 1 << 20), EOPNOTSUPP);
	done(m, f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    timed(borrow),
	    timed(borrow_all),
	    timed(borrow_in_sequence),
	    timed(borrow_at_the_end),
	    timed(borrow_errors),
	    timed(borrow_direct),
	    timed(borrowed_stays),
	    timed(map_read),
	    timed(map_small),
	    timed(map_part),
	    timed(map_eof),
	    timed(map_outlives_close),
	    timed(map_arguments),
	    timed(map_private),
	    timed(map_read_error),
	    timed(map_direct_io),
	    timed(map_sees_stores),
	    timed(map_too_large),
	    timed(nowait),
	    timed(nowait_position),
	    timed(nowait_attributes),
	    timed(nowait_beside_a_read),
	    timed(nowait_direct),
	    timed(other_flags),
	};

	return run_cached_tests(argc, argv, tests);
}
