// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the server says about cached data without being asked: INVAL_INODE, STORE, RETRIEVE. None of
 * them waits for a request; mock_settle() would not return if one did.
 */
#include "tests/behave/cached.h"

static struct mock *cached_pages(uint64_t size, struct mock_data **d, struct pf_file **f)
{
	struct mock *m = open_calm(NULL, size, d, f);

	reads_right(*d, *f, size, 0);
	mock_data_reads(*d);
	return m;
}

/* ---- INVAL_INODE */

static void inval_range(int64_t off, int64_t len, const char *again)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = cached_pages(4 * PAGE, &d, &f);

	mock_notify_inval_inode(m, 42, off, len);
	mock_settle(m);
	for (int i = 0; i < 4; i++)
		reads_right(d, f, PAGE, i * (uint64_t)PAGE);
	assert_reads(d, again);
	done(m, f);
}

static void inval_ranges(void **state)
{
	inval_range(PAGE, PAGE, "4096+4096");
	inval_range(PAGE + 1, 1, "4096+4096"); /* whole pages */
	inval_range(PAGE - 1, 2, "0+4096 4096+4096");
	inval_range(2 * PAGE, 0, "8192+4096 12288+4096"); /* to the end */
	inval_range(2 * PAGE + 1, -5, "8192+4096 12288+4096");
	inval_range(0, 0, "0+4096 4096+4096 8192+4096 12288+4096");
	inval_range(0, INT64_MAX, "0+4096 4096+4096 8192+4096 12288+4096");
	inval_range(3 * PAGE, INT64_MAX, "12288+4096");
	inval_range(100 * PAGE, 0, "");
	inval_range(INT64_MAX, INT64_MAX, "");
	inval_range(-1, 0, ""); /* attributes alone */
	inval_range(INT64_MIN, INT64_MAX, "");
}

/* Attributes go in any case. */
static void inval_takes_attributes(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = cached_pages(100, &d, &f);
	struct stat st;
	char buf[200];

	mock_notify_inval_inode(m, 42, 0, 0);
	mock_settle(m);
	assert_int_equal(stats_of(m).pages, 0);
	assert_int_equal(stats_of(m).pages_dropped, 1);
	mock_data_resize(d, 150);
	assert_int_equal(pf_pread(f, buf, 200, 0), 150);
	mock_data_check(d, buf, 0, 150);
	assert_int_equal(d->getattrs, 1);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 150);
	done(m, f);
}

/* A READ that is under way there is not taken in: what comes next is asked for again. */
static void inval_during_a_read(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, PAGE, &d, &f);
	struct task t = {0};
	struct mock_req *req;
	char old[PAGE];

	mock_data_hold(d);
	start_read(&t, f, PAGE, 0);
	req = mock_data_take(d);
	mock_notify_inval_inode(m, 42, 0, 0);
	mock_settle(m); /* while it is out */
	memset(old, 'o', sizeof(old));
	mock_data_fill(d, 0, PAGE, 1);
	mock_answer(req, old, sizeof(old));
	mock_data_release(d);
	assert_int_equal(task_join(&t), PAGE);
	reads_right(d, f, PAGE, 0);
	assert_in_range(d->nreads, 2, 3);
	task_free(&t);
	done(m, f);
}

/* The same with the answer and a range beside: the read is taken in. */
static void inval_beside_a_read(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 4 * PAGE, &d, &f);
	struct task t = {0};

	mock_data_hold(d);
	start_read(&t, f, PAGE, 0);
	mock_data_wait_held(d, 1);
	mock_notify_inval_inode(m, 42, PAGE, 2 * PAGE);
	mock_settle(m);
	mock_data_release(d);
	assert_int_equal(task_join(&t), PAGE);
	reads_right(d, f, PAGE, 0);
	assert_reads(d, "0+4096");
	task_free(&t);
	done(m, f);
}

/* A page that is lost as often as it is read: the read ends with what was answered last. */
static void inval_before_answer(struct mock_data *d, struct mock_req *req)
{
	mock_notify_inval_inode(d->m, d->nodeid, 0, 0);
}

static void inval_with_each_read(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 16 * PAGE, &d, &f);

	d->before_read = inval_before_answer;
	reads_right(d, f, PAGE, 0);
	assert_in_range(d->nreads, 1, 100);
	reads_right(d, f, 16 * PAGE, 0);
	done(m, f);
}

static ssize_t read_often(struct task *t)
{
	for (int i = 0; i < 2000; i++)
		if (pf_pread(t->f, t->buf, t->len, t->offset) != (ssize_t)t->len)
			return -EIO;
	return 0;
}

static void inval_storm(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 64 * PAGE, O_RDONLY, &d, &f);
	struct task t[2] = {{0}, {0}};

	for (int i = 0; i < 2; i++) {
		t[i].f = f;
		t[i].len = 10000;
		t[i].offset = 3000 + i * 5000;
		t[i].buf = malloc(t[i].len);
		task_start(&t[i], read_often);
	}
	for (int i = 0; i < 500; i++)
		mock_notify_inval_inode(m, 42, i % 8 * PAGE, i % 3 * PAGE);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(task_join(&t[i]), 0);
		mock_data_check(d, t[i].buf, t[i].offset, t[i].len);
		task_free(&t[i]);
	}
	done(m, f);
}

/* ---- STORE */

static void store_into_blank(uint64_t size)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, size, O_RDONLY, &d, &f);

	mock_data_resize(d, 19);
	mock_data_fill(d, 0, 19, 1);
	mock_data_store(d, 0, 19);
	mock_settle(m);
	reads_right(d, f, 19, 0);
	assert_reads(d, "");
	assert_int_equal(stats_of(m).pages, 1);
	assert_int_equal(stats_of(m).pages_dirty, 0);
	done(m, f);
}

static void store_blank(void **state)
{
	store_into_blank(19);
	store_into_blank(0); /* and the size follows */
}

/* The name's time is over, the inode lives. */
static void store_expired(void **state)
{
	struct mock_data *d;
	struct mock *m = serve_foo(NULL, 0, &d);
	struct pf_file *f;

	d->entry_valid = 0;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	pf__clock_advance(1000 * MS);
	mock_data_resize(d, 19);
	mock_data_fill(d, 0, 19, 1);
	mock_data_store(d, 0, 19);
	mock_settle(m);
	reads_right(d, f, 19, 0);
	assert_reads(d, "");
	done(m, f);
}

static void store_extends_and_maps(void **state)
{
	size_t len = 2 * PAGE + 37;
	static const char zero[PAGE];
	struct pf_mapping *map;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 0, O_RDONLY, &d, &f);
	struct stat st;

	mock_data_resize(d, len);
	mock_data_fill(d, 0, len, 1);
	mock_data_store(d, 0, len);
	mock_settle(m);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, len);
	reads_right(d, f, len, 0);
	ok(pf_mmap(f, 3 * PAGE, PROT_READ, MAP_SHARED, 0, &map));
	mock_data_check(d, pf_mapping_address(map), 0, len);
	assert_memory_equal((char *)pf_mapping_address(map) + len, zero, 3 * PAGE - len);
	ok(pf_munmap(map));
	assert_reads(d, "");
	done(m, f);
}

/* A page of which only a part was stored is not known. */
static void store_part(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 2 * PAGE, &d, &f);

	mock_data_fill(d, 0, 2 * PAGE, 1);
	mock_data_store(d, 0, 19);                /* begins well, ends too soon */
	mock_data_store(d, PAGE + 10, PAGE - 10); /* ends well, begins too late */
	mock_settle(m);
	reads_right(d, f, PAGE, 0);
	reads_right(d, f, PAGE, PAGE);
	assert_reads(d, "0+4096 4096+4096");
	done(m, f);
}

/* From the middle of one page over a whole one to the end of the file. */
static void store_several_pages(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 3 * PAGE + 100, &d, &f);

	mock_data_fill(d, 0, 4 * PAGE, 1);
	mock_data_store(d, PAGE + 10, 2 * PAGE + 90);
	mock_settle(m);
	reads_right(d, f, PAGE + 100, 2 * PAGE);
	assert_reads(d, "");
	reads_right(d, f, 2 * PAGE, 0);
	assert_reads(d, "0+8192");
	done(m, f);
}

static void store_over_known_page(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = cached_pages(2 * PAGE, &d, &f);

	mock_data_fill(d, 100, PAGE, 1);
	mock_data_store(d, 100, PAGE); /* the end of one and the beginning of the next */
	mock_settle(m);
	reads_right(d, f, 2 * PAGE, 0);
	assert_reads(d, "");
	done(m, f);
}

/* A known page grows with the file; behind the old end were zeros. */
static void store_extends_known_page(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = cached_pages(10, &d, &f);

	mock_data_resize(d, 25);
	mock_data_fill(d, 15, 10, 1);
	mock_data_store(d, 15, 10);
	mock_settle(m);
	reads_right(d, f, 25, 0);
	assert_reads(d, "");
	done(m, f);
}

static void store_behind_a_gap(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = cached_pages(10, &d, &f);

	mock_data_resize(d, 3 * PAGE);
	mock_data_fill(d, 2 * PAGE, PAGE, 1);
	mock_data_store(d, 2 * PAGE, PAGE);
	mock_settle(m);
	reads_right(d, f, PAGE, 2 * PAGE);
	assert_reads(d, "");
	reads_right(d, f, 3 * PAGE, 0);
	assert_true(mock_data_read_bytes(d) >= PAGE);
	done(m, f);
}

static void store_large(void **state)
{
	struct mock_options o = {.flags = FUSE_MAX_PAGES, .init = {.max_pages = 256}};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY, &d, &f);

	mock_data_fill(d, 0, MIB, 3);
	for (int i = 0; i < 16; i++)
		mock_data_store(d, i * 64ull * KIB, 64 * KIB);
	mock_settle(m);
	reads_right(d, f, MIB, 0);
	assert_reads(d, "");
	done(m, f);
}

/* Over a page that is being read: nothing waits, and old data does not win. */
static void store_during_a_read(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, PAGE, &d, &f);
	struct task t = {0};
	struct mock_req *req;
	char old[PAGE];

	mock_data_hold(d);
	start_read(&t, f, PAGE, 0);
	req = mock_data_take(d);
	mock_data_fill(d, 0, PAGE, 1);
	mock_data_store(d, 0, PAGE);
	mock_settle(m);
	memset(old, 'o', sizeof(old));
	mock_answer(req, old, sizeof(old));
	mock_data_release(d);
	assert_int_equal(task_join(&t), PAGE);
	reads_right(d, f, PAGE, 0);
	task_free(&t);
	done(m, f);
}

static void store_then_inval(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, PAGE, &d, &f);

	mock_data_fill(d, 0, PAGE, 1);
	mock_data_store(d, 0, PAGE);
	mock_notify_inval_inode(m, 42, 0, 0);
	mock_data_fill(d, 0, PAGE, 2);
	mock_settle(m);
	reads_right(d, f, PAGE, 0);
	assert_reads(d, "0+4096");
	done(m, f);
}

/* Of no bytes, for no node, for a directory, beyond all offsets. */
static void store_nothing(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = cached_pages(100, &d, &f);
	struct stat st;

	mock_store(m, 42, 0, "", 0);
	mock_store(m, 42, 200, "", 0);
	mock_store(m, 4711, 0, "abc", 3);
	mock_store(m, FUSE_ROOT_ID, 0, "abc", 3);
	mock_store(m, 42, INT64_MAX, "abc", 3);
	mock_store(m, 42, UINT64_MAX, "abc", 3);
	mock_settle(m);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 100);
	reads_right(d, f, 100, 0);
	assert_reads(d, "");
	done(m, f);
}

/* What goes round the cache does not see it; what is stored is there for who looks. */
static void store_beside_direct_io(void **state)
{
	struct mock_data *d;
	struct mock *m = serve_foo(NULL, 100, &d);
	struct pf_file *f;

	d->open_flags = FOPEN_DIRECT_IO;
	d->loose = true;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	mock_store(m, 42, 0, "something else", 14);
	mock_settle(m);
	reads_right(d, f, 14, 0);
	assert_reads(d, "0+14");
	done(m, f);
}

/* Many STOREs while others read: each byte read is one that was there once. */
struct storm {
	struct task task;
	struct mock *m;
};

static ssize_t read_stored(struct task *t)
{
	unsigned char buf[4 * PAGE];

	for (int i = 0; i < 1000; i++) {
		if (pf_pread(t->f, buf, sizeof(buf), 0) != sizeof(buf))
			return -EIO;
		for (size_t k = 0; k < sizeof(buf); k += 512)
			if (buf[k] < 'a' || buf[k] > 'z')
				return -EBADMSG;
	}
	return 0;
}

static void store_storm(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 4 * PAGE, &d, &f);
	struct task t[2] = {{0}, {0}};
	unsigned char page[PAGE];

	memset(d->bytes, 'a', 4 * PAGE);
	for (int i = 0; i < 2; i++) {
		t[i].f = f;
		task_start(&t[i], read_stored);
	}
	for (int i = 0; i < 2000; i++) {
		memset(page, 'a' + i % 26, PAGE);
		mock_store(m, 42, i % 4 * PAGE, page, i & 8 ? 100 : PAGE);
		if (i % 64 == 0)
			mock_notify_inval_inode(m, 42, i % 3 * PAGE, PAGE);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(task_join(&t[i]), 0);
	memset(d->bytes, 'z', 4 * PAGE);
	mock_data_store(d, 0, 4 * PAGE);
	mock_settle(m);
	reads_right(d, f, 4 * PAGE, 0);
	done(m, f);
}

/* ---- RETRIEVE */

static void retrieves(struct mock *m, struct mock_data *d, uint64_t offset, uint32_t size, size_t n)
{
	char *buf = malloc(size);

	assert_int_equal(mock_retrieve(m, 42, offset, size, buf), n);
	mock_data_check(d, buf, offset, n);
	free(buf);
}

static void retrieve(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = cached_pages(2 * PAGE + 100, &d, &f);

	retrieves(m, d, 0, 2 * PAGE + 100, 2 * PAGE + 100);
	retrieves(m, d, 100, 50, 50);
	retrieves(m, d, PAGE - 10, 20, 20);
	retrieves(m, d, 8000, 10000, 292); /* not beyond the end */
	retrieves(m, d, 2 * PAGE + 100, 100, 0);
	retrieves(m, d, 100 * PAGE, 100, 0);
	retrieves(m, d, INT64_MAX - 10, 100, 0);
	retrieves(m, d, 0, 0, 0);
	assert_reads(d, "");
	done(m, f);
}

static void retrieve_over_gaps(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 4 * PAGE, &d, &f);

	retrieves(m, d, 0, 4 * PAGE, 0);
	reads_right(d, f, PAGE, 0);
	reads_right(d, f, 2 * PAGE, 2 * PAGE);
	mock_data_reads(d);
	retrieves(m, d, 0, 4 * PAGE, PAGE);
	retrieves(m, d, 10, 4 * PAGE, PAGE - 10);
	retrieves(m, d, PAGE, PAGE, 0);
	retrieves(m, d, PAGE + 10, 3 * PAGE, 0);
	retrieves(m, d, 2 * PAGE, 2 * PAGE, 2 * PAGE);
	assert_reads(d, "");
	done(m, f);
}

static void retrieve_max_write(void **state)
{
	struct mock_options o = {.init = {.max_write = 16 * KIB}};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(&o, 64 * KIB, &d, &f);

	reads_right(d, f, 64 * KIB, 0);
	retrieves(m, d, 0, 64 * KIB, 16 * KIB);
	retrieves(m, d, 100, 64 * KIB, 16 * KIB);
	done(m, f);
}

static void retrieve_what_was_stored(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, PAGE, &d, &f);

	mock_data_fill(d, 0, PAGE, 1);
	mock_data_store(d, 0, PAGE);
	retrieves(m, d, 0, PAGE, PAGE);
	mock_notify_inval_inode(m, 42, 0, 0);
	retrieves(m, d, 0, PAGE, 0);
	done(m, f);
}

/* A page that is being read is not there yet; nothing waits for it. */
static void retrieve_during_a_read(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 2 * PAGE, &d, &f);
	struct task t = {0};

	reads_right(d, f, PAGE, 0);
	mock_data_hold(d);
	start_read(&t, f, PAGE, PAGE);
	mock_data_wait_held(d, 1);
	retrieves(m, d, 0, 2 * PAGE, PAGE);
	mock_data_release(d);
	assert_int_equal(task_join(&t), PAGE);
	task_free(&t);
	done(m, f);
}

/* ---- a program with its own event loop */

static void without_service_thread(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m;

	o.pf.no_service_thread = 1;
	m = open_calm(&o, 2 * PAGE, &d, &f);
	reads_right(d, f, 2 * PAGE, 0);
	mock_data_reads(d);
	mock_notify_inval_inode(m, 42, PAGE, PAGE);
	wait_until(pf_service(m->fs) == 0 && stats_of(m).pages == 1);
	reads_right(d, f, 2 * PAGE, 0);
	assert_reads(d, "4096+4096");
	done(m, f);
}

static void readahead_without_service_thread(void **state)
{
	struct mock_options o = {.pf_set = true,
				 .pf = PF_OPTIONS_INIT,
				 .flags = FUSE_ASYNC_READ | FUSE_MAX_PAGES,
				 .init = {.max_pages = 16}};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m;

	o.pf.no_service_thread = 1;
	m = open_foo(&o, MIB, O_RDONLY, &d, &f);
	for (uint64_t at = 0; at < MIB; at += PAGE)
		reads_right(d, f, PAGE, at);
	assert_int_equal(mock_data_read_bytes(d), MIB);
	assert_true(stats_of(m).readahead_hits > 100);
	done(m, f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    timed(inval_ranges),
	    timed(inval_takes_attributes),
	    timed(inval_during_a_read),
	    timed(inval_beside_a_read),
	    timed(inval_with_each_read),
	    timed(inval_storm),
	    timed(store_blank),
	    timed(store_expired),
	    timed(store_extends_and_maps),
	    timed(store_part),
	    timed(store_several_pages),
	    timed(store_over_known_page),
	    timed(store_extends_known_page),
	    timed(store_behind_a_gap),
	    timed(store_large),
	    timed(store_during_a_read),
	    timed(store_then_inval),
	    timed(store_nothing),
	    timed(store_beside_direct_io),
	    timed(store_storm),
	    timed(retrieve),
	    timed(retrieve_over_gaps),
	    timed(retrieve_max_write),
	    timed(retrieve_what_was_stored),
	    timed(retrieve_during_a_read),
	    timed(without_service_thread),
	    timed(readahead_without_service_thread),
	};

	return run_cached_tests(argc, argv, tests);
}
