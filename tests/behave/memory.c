// SPDX-License-Identifier: BSD-2-Clause
/* The limit on memory: what is kept below it, what goes, and what happens when nothing can. */
#include "tests/behave/cached.h"

static struct mock *open_limited(uint64_t limit, uint64_t size, struct mock_data **d,
				 struct pf_file **f)
{
	struct mock_options o = {.pf_set = true,
				 .pf = PF_OPTIONS_INIT,
				 .flags = FUSE_ASYNC_READ | FUSE_MAX_PAGES,
				 .init = {.max_pages = 64}};

	o.pf.cache_bytes = limit;
	return open_foo(&o, size, O_RDONLY, d, f);
}

static void walk(struct mock_data *d, struct pf_file *f, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at += 64 * KIB)
		reads_right(d, f, 64 * KIB, at);
}

static void stays_below(struct mock *m, uint64_t limit)
{
	struct pf_stats s = stats_of(m);

	assert_int_equal(s.cache_limit, limit);
	assert_true(s.cache_bytes <= limit);
	assert_true(s.cache_peak <= limit);
	assert_true(s.cache_peak >= s.cache_bytes);
	assert_true(s.pages * PAGE <= s.cache_bytes);
}

/* A file larger than the limit is read right, and must be read again. */
static void limit(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_limited(MIB, 4 * MIB, &d, &f);

	for (int i = 0; i < 2; i++) {
		mock_data_reads(d);
		walk(d, f, 0, 4 * MIB);
		stays_below(m, MIB);
		assert_true(mock_data_read_bytes(d) >= 3 * MIB);
	}
	assert_true(stats_of(m).pages_evicted >= 3 * MIB / PAGE);
	assert_true(stats_of(m).cache_peak >= MIB / 2); /* it is made use of */
	done(m, f);
}

static void least_limit(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_limited(1, 4 * MIB, &d, &f);

	walk(d, f, 0, 4 * MIB);
	stays_below(m, MIB);
	done(m, f);
}

static void default_limit(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);
	uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	struct pf_stats s = stats_of(m);

	assert_true(s.cache_limit > ram / 8 && s.cache_limit <= ram / 2);
	assert_int_equal(s.cache_bytes, 0);
	reads_right(d, f, 100, 0);
	s = stats_of(m);
	assert_true(s.cache_bytes >= PAGE && s.cache_bytes <= BLOCK);
	done(m, f);
}

/* What was used again (not only at once, but while others came) stays when something large is read
 * once. */
static void stays_through_scan(uint64_t limit)
{
	uint64_t size = 4 * limit;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_limited(limit, size, &d, &f);

	ok(pf_fadvise(f, 0, 0, POSIX_FADV_RANDOM));
	for (uint64_t at = BLOCK; at < 2 * limit; at += BLOCK) {
		walk(d, f, 0, BLOCK);
		walk(d, f, at, at + BLOCK);
	}
	walk(d, f, 2 * limit, size);
	mock_data_reads(d);
	walk(d, f, 0, BLOCK);
	assert_reads(d, "");
	stays_below(m, limit);
	done(m, f);
}

static void used_again_stays(void **state)
{
	stays_through_scan(16 * MIB);
}

static void used_again_stays_small(void **state)
{
	stays_through_scan(2 * MIB);
}

/* The limit is for all files of a client. */
static void several_files(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct mock_data *d[4];
	struct pf_file *f[4];
	struct mock *m;
	char name[8];

	o.pf.cache_bytes = MIB;
	m = mock_start(&o);
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		d[i] = mock_data_new(m, name, 50 + i, MIB, MIB);
		ok(pf_open(m->fs, name, O_RDONLY, 0, &f[i]));
	}
	for (int k = 0; k < 2; k++)
		for (int i = 0; i < 4; i++)
			walk(d[i], f[i], 0, MIB);
	stays_below(m, MIB);
	for (int i = 0; i < 4; i++)
		ok(pf_close(f[i]));
	mock_end(m);
}

/* Scattered pages take a block each; they go all the same. */
static void scattered(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_limited(MIB, 1ull << 36, &d, &f);

	for (uint64_t i = 0; i < 400; i++)
		reads_right(d, f, 10, i * 163 % 400 * (100 * MIB) + 5);
	stays_below(m, MIB);
	done(m, f);
}

/* Blocks that began with a page each fill up one page at a time. */
static void filled_up(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_limited(MIB, 4 * MIB, &d, &f);

	ok(pf_fadvise(f, 0, 0, POSIX_FADV_RANDOM));
	for (int page = 0; page < 64; page++)
		for (int block = 0; block < 16; block++)
			reads_right(d, f, 10, block * (uint64_t)BLOCK + page * PAGE);
	stays_below(m, MIB);
	done(m, f);
}

/* With nothing to evict a read goes into the caller's buffer. */
static void nothing_to_evict(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_limited(MIB, 4 * MIB, &d, &f);
	struct pf_borrow b[4];

	ok(pf_fadvise(f, 0, 0, POSIX_FADV_RANDOM));
	for (int i = 0; i < 4; i++)
		assert_int_equal(pf_read_borrow(f, PAGE, i * (uint64_t)BLOCK, &b[i]), PAGE);
	d->loose = true; /* as the caller's buffer is */
	walk(d, f, 2 * MIB, 3 * MIB);
	reads_right(d, f, 1234, 3 * MIB + 77);
	stays_below(m, MIB);
	for (int i = 0; i < 4; i++) {
		mock_data_check(d, b[i].data, i * (uint64_t)BLOCK, PAGE);
		pf_read_return(&b[i]);
	}
	d->loose = false;
	walk(d, f, 0, 4 * MIB);
	stays_below(m, MIB);
	done(m, f);
}

/* What is gone with the file's last user takes no memory. */
static void forgotten_file(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_limited(4 * MIB, MIB, &d, &f);

	walk(d, f, 0, MIB);
	ok(pf_close(f));
	assert_true(stats_of(m).cache_bytes >= MIB);
	mock_notify_inval_entry(m, 1, "foo", 0);
	mock_settle(m);
	mock_wait_forgotten(m, 42, 1);
	wait_until(!stats_of(m).cache_bytes);
	assert_int_equal(stats_of(m).pages, 0);
	mock_end(m);
}

static void dropped_is_given_back(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_limited(4 * MIB, MIB, &d, &f);

	walk(d, f, 0, MIB);
	assert_true(stats_of(m).cache_bytes >= MIB);
	ok(pf_drop_caches(m->fs));
	wait_until(!stats_of(m).cache_bytes);
	walk(d, f, 0, MIB);
	done(m, f);
}

/* ---- everything at once: many readers, a small cache, pages that go under them */

struct wild {
	struct task task;
	struct mock_data *d;
	unsigned seed;
};

static ssize_t read_wildly(struct task *t)
{
	struct wild *w = (struct wild *)t;
	unsigned char buf[20000];

	for (int i = 0; i < 300; i++) {
		uint64_t at = (uint64_t)rand_r(&w->seed) % (4 * MIB - sizeof(buf));
		size_t len = rand_r(&w->seed) % sizeof(buf) + 1;

		if (pf_pread(t->f, buf, len, at) != (ssize_t)len)
			return -EIO;
		for (size_t k = 0; k < len; k++)
			if (buf[k] != mock_data_byte(0, at + k))
				return -EBADMSG;
	}
	return 0;
}

static void wild_readers(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_limited(MIB, 4 * MIB, &d, &f);
	struct wild w[4];

	memset(w, 0, sizeof(w));
	d->loose = true; /* where nothing can be evicted it is read past the cache */
	for (int i = 0; i < 4; i++) {
		w[i].seed = 4711 + i;
		w[i].task.f = f;
		task_start(&w[i].task, read_wildly);
	}
	for (int i = 0; i < 200; i++) {
		mock_notify_inval_inode(m, 42, i * 17 % 64 * BLOCK / 4, 3 * PAGE);
		if (i % 10 == 0)
			mock_settle(m);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(task_join(&w[i].task), 0);
	stays_below(m, MIB);
	done(m, f);
}

/* ---- many files of one page each */

#define FILES 600

static void answer_small_lookup(struct mock_req *req, void *ctx)
{
	struct fuse_entry_out e =
	    mock_entry(100 + atoi(req->name), REG, 100, MOCK_FOREVER, MOCK_FOREVER);

	mock_answer(req, &e, sizeof(e));
}

static void answer_small_read(struct mock_req *req, void *ctx)
{
	char data[100];

	memset(data, req->h.nodeid % 100, sizeof(data));
	mock_answer(req, data, sizeof(data));
}

static struct mock *serve_small_files(uint64_t limit)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct fuse_open_out out = {.open_flags = FOPEN_KEEP_CACHE};
	struct mock *m;

	o.pf.cache_bytes = limit;
	m = mock_start(&o);
	mock_fn_set(mock_any_times(mock_expect(m, FUSE_LOOKUP, 1, NULL)), answer_small_lookup,
		    NULL);
	mock_fn_set(mock_any_times(mock_expect(m, FUSE_READ, MOCK_ANY, NULL)), answer_small_read,
		    NULL);
	mock_any_times(mock_body(mock_expect(m, FUSE_OPEN, MOCK_ANY, NULL), &out, sizeof(out)));
	mock_any_times(mock_flush(m, MOCK_ANY));
	mock_any_times(mock_release(m, MOCK_ANY));
	return m;
}

static void read_small_files(struct mock *m)
{
	for (int i = 0; i < FILES; i++) {
		char name[8], buf[200];
		struct pf_file *f;

		snprintf(name, sizeof(name), "%d", i);
		ok(pf_open(m->fs, name, O_RDONLY, 0, &f));
		assert_int_equal(pf_pread(f, buf, sizeof(buf), 0), 100);
		assert_int_equal(buf[0], (100 + i) % 100);
		assert_int_equal(buf[99], (100 + i) % 100);
		ok(pf_close(f));
	}
}

static void small_files(void **state)
{
	struct mock *m = serve_small_files(MIB);

	read_small_files(m);
	read_small_files(m);
	stays_below(m, MIB);
	mock_end(m);
	/* With room for all a page each is enough. */
	m = serve_small_files(8 * MIB);
	read_small_files(m);
	assert_int_equal(mock_count(m, FUSE_READ), FILES);
	read_small_files(m);
	assert_int_equal(mock_count(m, FUSE_READ), FILES);
	assert_int_equal(stats_of(m).pages, FILES);
	stays_below(m, 8 * MIB);
	mock_end(m);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    timed(limit),
	    timed(least_limit),
	    timed(default_limit),
	    timed(used_again_stays),
	    timed(used_again_stays_small),
	    timed(several_files),
	    timed(scattered),
	    timed(nothing_to_evict),
	    timed(filled_up),
	    timed(forgotten_file),
	    timed(dropped_is_given_back),
	    timed(wild_readers),
	    timed(small_files),
	};

	return run_cached_tests(argc, argv, tests);
}
