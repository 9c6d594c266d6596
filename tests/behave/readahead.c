// SPDX-License-Identifier: BSD-2-Clause
/*
 * What is read before it is asked for: how much, when, and that it never goes too far. How large
 * the windows are is ours to choose; that they grow, where they end and who pays for errors is not.
 */
#include "tests/behave/cached.h"

static struct mock_options async(uint32_t max_readahead)
{
	return (struct mock_options){.flags = FUSE_ASYNC_READ | FUSE_MAX_PAGES,
				     .init = {.max_pages = 256, .max_readahead = max_readahead}};
}

/* Read [from, to) in pieces, noting before each where the reader is. */
static void walk(struct mock_data *d, struct pf_file *f, uint64_t from, uint64_t to, size_t piece)
{
	for (uint64_t at = from; at < to; at += piece) {
		size_t n = to - at < piece ? to - at : piece;

		d->mark = at + n;
		reads_right(d, f, n, at);
	}
}

static uint32_t largest(struct mock_data *d)
{
	uint32_t most = 0;

	pthread_mutex_lock(&d->m->lock);
	for (size_t i = 0; i < d->nreads; i++)
		if (d->seen[i].size > most)
			most = d->seen[i].size;
	pthread_mutex_unlock(&d->m->lock);
	return most;
}

/* How far a READ went beyond where the reader was when it came. */
static uint64_t farthest(struct mock_data *d)
{
	uint64_t most = 0;

	pthread_mutex_lock(&d->m->lock);
	for (size_t i = 0; i < d->nreads; i++) {
		uint64_t end = d->seen[i].offset + d->seen[i].size;

		if (end > d->seen[i].mark && end - d->seen[i].mark > most)
			most = end - d->seen[i].mark;
	}
	pthread_mutex_unlock(&d->m->lock);
	return most;
}

static size_t nreads(struct mock_data *d)
{
	size_t n;

	pthread_mutex_lock(&d->m->lock);
	n = d->nreads;
	pthread_mutex_unlock(&d->m->lock);
	return n;
}

/* ---- sequential reads */

static void window_grows(void **state)
{
	struct mock_options o = async(256 * KIB);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, 2 * MIB, O_RDONLY, &d, &f);
	struct pf_stats s;

	walk(d, f, 0, MIB, PAGE);
	s = stats_of(m);
	assert_true(largest(d) > 2 * d->seen[0].size);
	assert_true(nreads(d) <= 64); /* of 256 pages */
	assert_true(farthest(d) > 64 * KIB);
	assert_true(farthest(d) <= 2 * 256 * KIB);
	assert_true(s.readahead_pages > 128);
	assert_true(s.readahead_hits > 128);
	assert_true(s.readahead_hits <= s.readahead_pages);
	assert_int_equal(s.page_hits + s.page_misses, 256);
	assert_int_equal(s.reads_cached, 256);
	done(m, f);
}

static void never_twice_never_beyond(void **state)
{
	struct mock_options o = async(0);
	uint64_t size = 777777;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, size, O_RDONLY, &d, &f);
	char c;

	walk(d, f, 0, size, 4096);
	assert_int_equal(pf_pread(f, &c, 1, size), 0);
	nap();
	assert_int_equal(mock_data_read_bytes(d), size);
	assert_int_equal(stats_of(m).readahead_waste, 0);
	done(m, f);
}

/* The position of read() and pieces that are not pages. */
static void odd_pieces(void **state)
{
	struct mock_options o = async(0);
	uint64_t size = 500001, at = 0;
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, size, O_RDONLY, &d, &f);
	char buf[1000];
	ssize_t n;

	while ((n = pf_read(f, buf, sizeof(buf))) > 0) {
		mock_data_check(d, buf, at, n);
		at += n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, size);
	nap();
	assert_int_equal(mock_data_read_bytes(d), size);
	assert_true(nreads(d) < 40);
	done(m, f);
}

static void small_gaps(void **state)
{
	struct mock_options o = async(256 * KIB);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, 4 * MIB, O_RDONLY, &d, &f);

	for (int i = 0; i < 128; i++) { /* two pages read, one left out, now and then one again */
		reads_right(d, f, 2 * PAGE, i * 3ull * PAGE);
		if (i % 5 == 0)
			reads_right(d, f, PAGE, i * 3ull * PAGE + PAGE);
	}
	assert_true(nreads(d) < 64);
	assert_true(stats_of(m).readahead_hits > 64);
	done(m, f);
}

/* What INIT said: the smaller of both sides. */
static void max_readahead(void **state)
{
	struct mock_options o = async(32 * KIB);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY, &d, &f);

	walk(d, f, 0, 512 * KIB, PAGE);
	assert_true(largest(d) <= 32 * KIB);
	assert_true(farthest(d) > 0);
	assert_true(farthest(d) <= 64 * KIB);
	done(m, f);
}

static void own_max_readahead(void **state)
{
	struct mock_options o = async(MIB);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m;

	o.pf_set = true;
	o.pf = (struct pf_options)PF_OPTIONS_INIT;
	o.pf.max_readahead = 16 * KIB;
	m = open_foo(&o, MIB, O_RDONLY, &d, &f);
	walk(d, f, 0, 256 * KIB, PAGE);
	assert_true(largest(d) <= 16 * KIB);
	assert_true(farthest(d) <= 32 * KIB);
	done(m, f);
}

/* A server that wants none gets none. */
static void none_wanted(void **state)
{
	struct mock_options o = async(1);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY, &d, &f);

	walk(d, f, 0, 16 * PAGE, PAGE);
	nap();
	assert_int_equal(mock_data_read_bytes(d), 16 * PAGE);
	assert_int_equal(stats_of(m).readahead_pages, 0);
	done(m, f);
}

/* READs ahead carry the handle and flags of the file that reads, and no lock owner. */
static void on_the_wire(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY | O_NOATIME, &d, &f);

	walk(d, f, 0, 512 * KIB, PAGE);
	assert_true(nreads(d) > 1);
	for (size_t i = 0; i < nreads(d); i++) {
		assert_int_equal(d->seen[i].fh, 1);
		assert_int_equal(d->seen[i].flags & O_ACCMODE, O_RDONLY);
		assert_true(d->seen[i].flags & O_NOATIME);
		assert_int_equal(d->seen[i].read_flags & FUSE_READ_LOCKOWNER, 0);
	}
	done(m, f);
}

/* Each open file has a window of its own. */
static void two_readers(void **state)
{
	struct mock_options o = async(128 * KIB);
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_foo(&o, 4 * MIB, O_RDONLY, &d, &f);

	d->open_flags = FOPEN_KEEP_CACHE;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &g));
	for (int i = 0; i < 128; i++) {
		reads_right(d, f, PAGE, i * (uint64_t)PAGE);
		reads_right(d, g, PAGE, 2 * MIB + i * (uint64_t)PAGE);
	}
	assert_true(nreads(d) < 64);
	ok(pf_close(g));
	done(m, f);
}

/* ---- READs under way at once */

struct sequential {
	struct task task;
	struct mock_data *d;
	uint64_t to;
};

static ssize_t walk_all(struct task *t)
{
	struct sequential *s = (struct sequential *)t;
	char buf[PAGE];

	for (uint64_t at = 0; at < s->to; at += PAGE)
		if (pf_pread(t->f, buf, PAGE, at) != PAGE)
			return -EIO;
	return 0;
}

/* Read sequentially at a server that answers late; the most READs that were out at once. */
static size_t most_at_once(const struct mock_options *o, uint64_t size)
{
	struct sequential s = {.to = size};
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(o, size, O_RDONLY, &d, &f);
	size_t most;

	s.task.f = f;
	s.d = d;
	mock_data_hold(d);
	task_start(&s.task, walk_all);
	while (!s.task.over) {
		struct timespec t = {.tv_nsec = 2 * MS};

		nanosleep(&t, NULL);
		if (mock_data_held(d))
			mock_data_serve(d, mock_data_take(d));
	}
	assert_int_equal(task_join(&s.task), 0);
	mock_data_release(d);
	most = d->most_held;
	done(m, f);
	return most;
}

static void one_at_a_time(void **state)
{
	struct mock_options o = {0}; /* no ASYNC_READ */

	assert_int_equal(most_at_once(&o, MIB), 1);
}

static void several_at_a_time(void **state)
{
	struct mock_options o = async(0);

	o.init.max_pages = 8; /* so that a window takes several */
	assert_true(most_at_once(&o, MIB) > 1);
}

/* At most max_background of ours, and the one that the reader waits for. */
static void max_background(void **state)
{
	struct mock_options o = async(0);

	o.init.max_pages = 4;
	o.init.max_background = 3;
	o.init.congestion_threshold = 3;
	assert_in_range(most_at_once(&o, MIB), 1, 4);
}

static void congestion(void **state)
{
	struct mock_options o = async(0);

	o.init.max_pages = 4;
	o.init.max_background = 12;
	o.init.congestion_threshold = 2;
	assert_in_range(most_at_once(&o, MIB), 1, 3);
}

/* Without ASYNC_READ two readers of different pages each have one out. */
static void readers_do_not_wait_for_each_other(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, MIB, &d, &f);
	struct task a = {0}, b = {0};

	mock_data_hold(d);
	start_read(&a, f, PAGE, 0);
	mock_data_wait_held(d, 1);
	start_read(&b, f, PAGE, 512 * KIB);
	mock_data_wait_held(d, 2);
	mock_data_release(d);
	assert_int_equal(task_join(&a), PAGE);
	assert_int_equal(task_join(&b), PAGE);
	task_free(&a);
	task_free(&b);
	done(m, f);
}

/* A reader whose own pages are there does not wait for those ahead. */
static void ahead_is_not_waited_for(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY, &d, &f);
	struct task a = {0};
	struct mock_req *req;

	mock_data_hold(d);
	start_read(&a, f, PAGE, 0);
	while (!a.over) { /* what holds page 0 is answered, nothing else */
		req = mock_data_take(d);
		if (((const struct fuse_read_in *)req->arg)->offset == 0) {
			mock_data_serve(d, req);
			break;
		}
	}
	assert_int_equal(task_join(&a), PAGE);
	task_free(&a);
	mock_hang_up(m); /* and what is still out is nobody's loss */
	pf_close(f);
	mock_end(m);
}

/* The handle is released when nothing reads through it any more. */
static void release_comes_after(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY, &d, &f);

	mock_data_hold(d);
	ok(pf_fadvise(f, 0, 64 * KIB, POSIX_FADV_WILLNEED));
	mock_data_wait_held(d, 1);
	ok(pf_close(f));
	mock_settle(m);
	nap();
	assert_int_equal(mock_count(m, FUSE_RELEASE), 0);
	mock_data_release(d);
	wait_until(mock_count(m, FUSE_RELEASE));
	assert_int_equal(mock_count(m, FUSE_RELEASE), 1);
	mock_end(m);
}

/* ---- errors and short answers ahead */

static void errors_ahead_reach_nobody(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY, &d, &f);

	d->fail_errno = EIO;
	d->fail_at = 200 * KIB + 100;
	walk(d, f, 0, MIB, PAGE);
	assert_int_equal(d->fail_at, MOCK_ANY); /* it did fail */
	done(m, f);
}

/* The file turns out to be shorter than was said, by what was read ahead. */
static void end_seen_ahead(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY, &d, &f);
	uint64_t at = 0;
	struct stat st;
	char buf[PAGE];
	ssize_t n;

	d->loose = true;
	mock_data_resize(d, 100000);
	while ((n = pf_pread(f, buf, PAGE, at)) > 0) {
		mock_data_check(d, buf, at, n);
		at += n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, 100000);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 100000);
	done(m, f);
}

/* ---- reads that are not sequential */

static void random_reads(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, 4 * MIB, O_RDONLY, &d, &f);
	/* No two steps are the same: those would be strides. */
	static const unsigned char places[] = {82, 35,  97, 48,  104, 91, 110, 117, 86, 70,  6,
					       62, 102, 34, 111, 9,   23, 17,  50,  63, 106, 51,
					       72, 16,  76, 99,  4,   30, 55,  38,  26, 52};
	char want[32], list[1024] = "";

	for (int i = 0; i < 32; i++) {
		uint64_t page = places[i] * 8;

		reads_right(d, f, 100, page * PAGE + 1000);
		snprintf(want, sizeof(want), "%s%" PRIu64 "+4096", i ? " " : "", page * PAGE);
		strcat(list, want);
	}
	nap();
	assert_reads(d, list);
	assert_int_equal(stats_of(m).readahead_pages, 0);
	done(m, f);
}

static void across_a_page(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, 4 * MIB, O_RDONLY, &d, &f);

	reads_right(d, f, 100, 2 * MIB - 50);
	nap();
	assert_reads(d, "2093056+8192");
	done(m, f);
}

static void backwards(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, 4 * MIB, O_RDONLY, &d, &f);

	for (int i = 1; i <= 128; i++)
		reads_right(d, f, PAGE, MIB - i * (uint64_t)PAGE);
	assert_true(nreads(d) < 64);
	for (size_t i = 0; i < nreads(d); i++)
		assert_true(d->seen[i].offset + d->seen[i].size <= MIB);
	done(m, f);
}

/* To the very beginning of the file and no further. */
static void backwards_to_the_start(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY, &d, &f);

	for (int i = 49; i >= 0; i--)
		reads_right(d, f, PAGE, i * (uint64_t)PAGE);
	nap();
	assert_int_equal(mock_data_read_bytes(d), 50 * PAGE);
	done(m, f);
}

/* ---- advice */

static void advice_random(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY, &d, &f);

	ok(pf_fadvise(f, 0, 0, POSIX_FADV_RANDOM));
	walk(d, f, 0, 16 * PAGE, PAGE);
	nap();
	assert_int_equal(nreads(d), 16);
	assert_int_equal(largest(d), PAGE);
	assert_int_equal(stats_of(m).readahead_pages, 0);
	/* And back. */
	ok(pf_fadvise(f, 0, 0, POSIX_FADV_NORMAL));
	walk(d, f, 16 * PAGE, 128 * PAGE, PAGE);
	assert_true(stats_of(m).readahead_pages > 0);
	done(m, f);
}

static uint64_t farthest_with(int advice)
{
	struct mock_options o = async(64 * KIB);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m;
	uint64_t most;

	/* Never congested: on a busy machine readahead would pause. */
	o.init.max_background = o.init.congestion_threshold = 1000;
	m = open_foo(&o, 2 * MIB, O_RDONLY, &d, &f);
	ok(pf_fadvise(f, 0, 0, advice));
	walk(d, f, 0, MIB, PAGE);
	/* Those who answer in the background may be late: with what has been asked for by now. */
	ok(pf_close(f));
	mock_settle(m);
	most = farthest(d);
	mock_end(m);
	return most;
}

static void advice_sequential(void **state)
{
	uint64_t normal = farthest_with(POSIX_FADV_NORMAL);

	assert_true(farthest_with(POSIX_FADV_SEQUENTIAL) > normal);
}

static void advice_willneed(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY, &d, &f);

	ok(pf_fadvise(f, 300 * KIB, 64 * KIB, POSIX_FADV_WILLNEED));
	wait_until(mock_data_read_bytes(d) >= 64 * KIB);
	assert_int_equal(mock_data_read_bytes(d), 64 * KIB);
	mock_data_reads(d);
	ok(pf_fadvise(f, 0, 0, POSIX_FADV_RANDOM));
	reads_right(d, f, 64 * KIB, 300 * KIB);
	assert_reads(d, "");
	/* Not beyond the end. */
	ok(pf_fadvise(f, MIB - 2 * PAGE, MIB, POSIX_FADV_WILLNEED));
	ok(pf_fadvise(f, 2 * MIB, MIB, POSIX_FADV_WILLNEED));
	reads_right(d, f, 2 * PAGE, MIB - 2 * PAGE);
	assert_int_equal(mock_data_read_bytes(d), 2 * PAGE);
	done(m, f);
}

static void advice_dontneed(void **state)
{
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_calm(NULL, 4 * PAGE, &d, &f);

	reads_right(d, f, 4 * PAGE, 0);
	ok(pf_fadvise(f, PAGE, PAGE, POSIX_FADV_DONTNEED));
	assert_reads(d, "0+16384");
	reads_right(d, f, 4 * PAGE, 0);
	assert_reads(d, "4096+4096");
	ok(pf_fadvise(f, 0, 0, POSIX_FADV_DONTNEED));
	reads_right(d, f, 4 * PAGE, 0);
	assert_reads(d, "0+16384");
	done(m, f);
}

static void advice_wrong(void **state)
{
	struct mock_data *d;
	struct pf_file *f, *g;
	struct mock *m = open_foo(NULL, 100, O_RDONLY, &d, &f);

	fails(pf_fadvise(f, 0, 0, 4711), EINVAL);
	fails(pf_fadvise(f, 0, -1, POSIX_FADV_WILLNEED), EINVAL);
	ok(pf_fadvise(f, 0, 0, POSIX_FADV_NOREUSE));
	ok(pf_close(f));
	/* No READ through a handle that cannot read; with direct I/O nothing is read ahead. */
	ok(pf_open(m->fs, "foo", O_WRONLY, 0, &g));
	ok(pf_fadvise(g, 0, 0, POSIX_FADV_WILLNEED));
	ok(pf_close(g));
	d->open_flags = FOPEN_DIRECT_IO;
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &g));
	ok(pf_fadvise(g, 0, 0, POSIX_FADV_WILLNEED));
	nap();
	assert_reads(d, "");
	done(m, g);
}

/* All of the range, though the server calls itself congested long before; in its order, in the end.
 */
static void advice_willneed_all(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m;

	o.init.max_background = 2;
	o.init.congestion_threshold = 1;
	m = open_foo(&o, 4 * MIB, O_RDONLY, &d, &f);
	ok(pf_fadvise(f, 0, 3 * MIB, POSIX_FADV_WILLNEED));
	wait_until(stats_of(m).pages >= 3 * MIB / PAGE);
	assert_int_equal(stats_of(m).pages, 3 * MIB / PAGE);
	assert_int_equal(mock_data_read_bytes(d), 3 * MIB);
	done(m, f);
}

/* What a mapping shows is used. */
static void mapped_ahead(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, 2 * MIB, O_RDONLY, &d, &f);
	struct pf_mapping *map;
	struct pf_stats s;

	ok(pf_mmap(f, 2 * MIB, PROT_READ, MAP_SHARED, 0, &map));
	ok(pf_munmap(map));
	ok(pf_drop_caches(m->fs));
	s = stats_of(m);
	assert_true(s.readahead_pages > 0);
	assert_int_equal(s.readahead_hits, s.readahead_pages);
	assert_int_equal(s.readahead_waste, 0);
	done(m, f);
}

/* What was read ahead is used or wasted. */
static void hits_and_waste(void **state)
{
	struct mock_options o = async(0);
	struct mock_data *d;
	struct pf_file *f;
	struct mock *m = open_foo(&o, MIB, O_RDONLY, &d, &f);
	struct pf_stats s;

	ok(pf_fadvise(f, 0, 0, POSIX_FADV_RANDOM));
	ok(pf_fadvise(f, 0, 16 * PAGE, POSIX_FADV_WILLNEED));
	wait_until(stats_of(m).pages >= 16);
	for (int i = 0; i < 2; i++)
		reads_right(d, f, 10 * PAGE, 0);
	s = stats_of(m);
	assert_int_equal(s.readahead_pages, 16);
	assert_int_equal(s.readahead_hits, 10);
	assert_int_equal(s.readahead_waste, 0);
	ok(pf_drop_caches(m->fs));
	s = stats_of(m);
	assert_int_equal(s.readahead_hits, 10);
	assert_int_equal(s.readahead_waste, 6);
	done(m, f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    timed(window_grows),
	    timed(never_twice_never_beyond),
	    timed(odd_pieces),
	    timed(small_gaps),
	    timed(max_readahead),
	    timed(own_max_readahead),
	    timed(none_wanted),
	    timed(on_the_wire),
	    timed(two_readers),
	    timed(one_at_a_time),
	    timed(several_at_a_time),
	    timed(max_background),
	    timed(congestion),
	    timed(readers_do_not_wait_for_each_other),
	    timed(ahead_is_not_waited_for),
	    timed(release_comes_after),
	    timed(errors_ahead_reach_nobody),
	    timed(end_seen_ahead),
	    timed(random_reads),
	    timed(across_a_page),
	    timed(backwards),
	    timed(backwards_to_the_start),
	    timed(advice_random),
	    timed(advice_sequential),
	    timed(advice_willneed),
	    timed(advice_dontneed),
	    timed(advice_wrong),
	    timed(advice_willneed_all),
	    timed(mapped_ahead),
	    timed(hits_and_waste),
	};

	return run_cached_tests(argc, argv, tests);
}
