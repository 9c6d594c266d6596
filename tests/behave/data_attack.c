// SPDX-License-Identifier: BSD-2-Clause
/*
 * Attacks on the data cache: a server, or a caller, that does the least likely thing at the worst
 * moment. What was acknowledged arrives or is told lost, nothing comes back from the dead, and
 * every call returns.
 */
#include "base/alloc.h"
#include "tests/behave/writes.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* ---- a page that is dirty in part and being read for the rest of it */

/* Bytes 100..150 are dirty, a read of the page is under way and held. */
static struct job *read_below_dirty(struct t *t, struct mock_req **req)
{
	struct job *j;

	put_at(t->f, 1, 100, 50);
	wdata_hold(t->w, FUSE_READ);
	j = job(t, job_read, 0, 0, PAGE);
	*req = wdata_held(t->w);
	return j;
}

static void truncated_while_it_is_read(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	struct mock_req *req;
	struct job *j = read_below_dirty(&t, &req);

	ok(pf_ftruncate(t.f, 0));
	wdata_go(t.w, req);
	wdata_unhold(t.w);
	assert_true(job_join(j) >= 0);
	ok(pf_fsync(t.f, 0));
	assert_int_equal(size_of(t.f), 0);
	assert_int_equal(wdata_size(t.w), 0);
	assert_int_equal(stats(&t).pages_dirty, 0);
	finish(&t);
}

static void cut_while_it_is_read(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	struct mock_req *req;
	struct job *j = read_below_dirty(&t, &req);

	ok(pf_ftruncate(t.f, 120));
	wdata_go(t.w, req);
	wdata_unhold(t.w);
	assert_true(job_join(j) >= 0);
	ok(pf_ftruncate(t.f, PAGE));
	assert_reads_turn(t.f, 1, 100, 20);
	assert_reads_zeros(t.f, 120, PAGE - 120);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 100, 20);
	assert_int_equal(wdata_size(t.w), PAGE);
	finish(&t);
}

static void overwritten_directly_while_it_is_read(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	struct mock_req *req;
	struct pf_file *g;
	struct job *j;

	ok(pf_open(t.m->fs, "foo", O_RDWR | O_DIRECT, 0, &g));
	j = read_below_dirty(&t, &req);
	put_at(g, 2, 0, PAGE);
	wdata_go(t.w, req);
	wdata_unhold(t.w);
	assert_int_equal(job_join(j), PAGE);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 2, 0, PAGE);
	assert_reads_turn(t.f, 2, 0, PAGE);
	ok(pf_close(g));
	finish(&t);
}

/* ---- who changes a page that is being written back waits for that */

static long job_unhold(struct job *j)
{
	nap_ms(100);
	wdata_unhold(j->t.w);
	return 0;
}

/* Without a service thread he has to read the answer himself. */
static void writer_of_a_page_under_way_reads(void **state)
{
	struct mock_options o = options_of(&(struct how){.writeback = true});
	struct pf_file *f;
	struct job *j;
	struct t t;

	o.pf.no_service_thread = true;
	t = (struct t){.m = mock_start(&o)};
	t.w = wdata_new(t.m, "foo", FOO, PAGE);
	ok(pf_open(t.m->fs, "foo", O_RDWR, 0, &f));
	put_at(f, 1, 0, PAGE); /* up to date as well */
	wdata_hold(t.w, FUSE_WRITE);
	ok(pf_sync_file_range(f, 0, 0, SYNC_FILE_RANGE_WRITE));
	j = job(&t, job_unhold, 0, 0, 0);
	put_at(f, 2, 0, 100);
	ok(job_join(j));
	ok(pf_close(f));
	assert_server_turn(&t, 2, 0, 100);
	finish(&t);
}

/* ---- dirty data without anybody who could send it */

static int waiting_requests(struct wdata *w)
{
	int n;

	pthread_mutex_lock(&w->lock);
	n = (int)(w->nheld - w->taken);
	pthread_mutex_unlock(&w->lock);
	return n;
}

/* The last writer's patience ends while other WRITEs are under way; these fail softly later. */
static void last_writer_goes_before_his_writes(void **state)
{
	struct t t = begin(.writeback = true, .max_write = PAGE);
	struct job *j;

	wdata_trick(t.w, (struct wdata_rule){FUSE_WRITE, 0, 100000, WDATA_FAIL, EAGAIN});
	wdata_hold(t.w, FUSE_WRITE);
	put_at(t.f, 1, 0, 32 * PAGE);
	j = job(&t, job_close, 0, 0, 0);
	while (!j->done) {
		if (waiting_requests(t.w) > 2)
			wdata_go(t.w, wdata_held(t.w));
		nap_ms(5);
	}
	assert_int_equal(job_join(j), -EAGAIN);
	t.f = NULL;
	wdata_unhold(t.w);
	wait_until(unwritten(&t) == 0);
	assert_int_equal(stats(&t).pages_lost, 32);
	wdata_no_tricks(t.w);
	(void)pf_stop(t.m->fs);
	t.m->fs = NULL;
	finish(&t);
}

/* ---- a server that falls silent */

static void stop_with_times_that_it_does_not_take(void **state)
{
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	wdata_hold(t.w, FUSE_SETATTR);
	(void)pf_stop(t.m->fs);
	t.m->fs = NULL;
	wdata_unhold(t.w);
	(void)pf_close(t.f);
	t.f = NULL;
	finish(&t);
}

/* It answers no RELEASE, and its threshold is one request: too much dirty data goes all the same.
 */
static void congested_for_ever(void **state)
{
	struct mock_options o =
	    options_of(&(struct how){.writeback = true, .dirty_bytes = 64 * PAGE});
	struct pf_file *f, *g;
	struct t t;

	o.init.congestion_threshold = 1;
	t = (struct t){.m = mock_start(&o)};
	t.w = wdata_new(t.m, "foo", FOO, 0);
	ok(pf_open(t.m->fs, "foo", O_RDWR, 0, &f));
	ok(pf_open(t.m->fs, "foo", O_RDONLY, 0, &g));
	wdata_hold(t.w, FUSE_RELEASE);
	ok(pf_close(g));
	for (int i = 0; i < 16; i++)
		put_at(f, i, i * 32 * PAGE, 32 * PAGE);
	wdata_unhold(t.w);
	ok(pf_close(f));
	for (int i = 0; i < 16; i++)
		assert_server_turn(&t, i, i * 32 * PAGE, 32 * PAGE);
	finish(&t);
}

/* ---- an answer from before */

static long job_stat(struct job *j)
{
	struct stat st;

	return pf_fstat(j->f, &st);
}

/* GETATTR was answered before the data came, and the answer arrives after the file is closed. */
static void old_size_after_the_close(void **state)
{
	struct fuse_attr_out old = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(FOO, REG, 0)};
	struct t t = begin(.writeback = true, .stale = true);
	struct mock_req *req;
	struct pf_file *g;
	struct job *j;

	ok(pf_open(t.m->fs, "foo", O_RDONLY, 0, &g));
	wdata_trick(t.w, (struct wdata_rule){FUSE_SETATTR, 0, 100, WDATA_FAIL, EPERM});
	put_at(t.f, 1, 0, 100);
	wdata_hold(t.w, FUSE_GETATTR);
	j = job_on(&t, g, job_stat, 0, 0, 0);
	req = wdata_held(t.w);
	ok(pf_close(t.f));
	t.f = NULL;
	mock_answer(req, &old, sizeof old);
	ok(job_join(j));
	wdata_unhold(t.w);
	assert_int_equal(size_of(g), 100);
	assert_reads_turn(g, 1, 0, 100);
	ok(pf_close(g));
	finish(&t);
}

/* ---- the clumsy caller */

static long job_access(struct job *j)
{
	return pf_access(j->t.m->fs, "foo", R_OK);
}

static void borrowed_memory_given_back_after_the_end(void **state)
{
	struct t t = begin(.size = 10 * PAGE);
	struct pf_borrow b;

	assert_true(pf_read_borrow(t.f, PAGE, 0, &b) > 0);
	ok(pf_close(t.f));
	t.f = NULL;
	(void)pf_stop(t.m->fs);
	t.m->fs = NULL;
	pf_read_return(&b);
	finish(&t);
}

static void unmapped_after_the_end(void **state)
{
	struct t t = begin(.writeback = true, .size = 10 * PAGE);
	struct pf_mapping *m[2];

	ok(pf_mmap(t.f, 10 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &m[0]));
	ok(pf_mmap(t.f, 5 * PAGE, PROT_READ, MAP_PRIVATE, 0, &m[1]));
	(void)pf_stop(t.m->fs);
	t.m->fs = NULL;
	assert_true(pf_msync(m[0], 0, PAGE) < 0);
	assert_int_equal(pf_munmap(m[0]), -ENOTCONN);
	ok(pf_munmap(m[1]));
	(void)pf_close(t.f);
	t.f = NULL;
	finish(&t);
}

/* ulimit -f is about files, not about memory. */
static void limit_on_the_size_of_files(void **state)
{
	struct t t = begin(.writeback = true, .size = 4 * PAGE);
	struct rlimit old, small = {PAGE, 0};

	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	assert_reads_old(t.f, 0, 4 * PAGE);
	put_at(t.f, 1, 0, 100);
	assert_reads_turn(t.f, 1, 0, 100);
	setrlimit(RLIMIT_FSIZE, &old);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0, 100);
	finish(&t);
}

/* The last who uses a handle is an answer; the thread that reads it must not wait for another. */
static void no_memory_when_readahead_ends(void **state)
{
	struct t t = begin(.size = 8 * PAGE);
	struct mock_req *req;
	struct job *j;

	wdata_hold(t.w, FUSE_READ);
	ok(pf_fadvise(t.f, 0, 0, POSIX_FADV_WILLNEED));
	req = wdata_held(t.w);
	ok(pf_close(t.f));
	t.f = NULL;
	pf__alloc_fail_at(1, 1);
	wdata_go(t.w, req);
	nap_ms(200);
	pf__alloc_fail_at(0, 0);
	wdata_unhold(t.w);
	wdata_wait(t.w, FUSE_RELEASE, 1);
	j = job(&t, job_access, 0, 0, 0);
	(void)job_join(j);
	finish(&t);
}

/* ---- storms */

static size_t resident(void)
{
	size_t size = 0, rss = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_int_equal(fscanf(f, "%zu %zu", &size, &rss), 2);
	fclose(f);
	return rss * PAGE;
}

static _Atomic bool deaf;

static void stay_deaf(struct mock_req *req, void *ctx)
{
	while (deaf)
		nap_ms(1);
	mock_answer_error(req, EACCES);
}

/* It asks for cached data again and again, and does not read the answers. */
static void retrieve_and_do_not_listen(void **state)
{
	struct t t = begin(.size = 2 << 20);
	struct fuse_notify_retrieve_out ask = {.nodeid = FOO, .size = 1 << 20};
	size_t before;
	struct job *j;

	if (t.m->o.inproc || getenv("MOCK_INPROC")) {
		finish(&t);
		return;
	}
	assert_reads_old(t.f, 0, 1 << 20);
	mock_any_times(mock_expect(t.m, FUSE_NOTIFY_REPLY, MOCK_ANY, NULL));
	wdata_before(mock_fn_set(mock_expect(t.m, FUSE_ACCESS, MOCK_ANY, NULL), stay_deaf, NULL));
	deaf = true;
	j = job(&t, job_access, 0, 0, 0);
	nap_ms(50);
	before = resident();
	for (int i = 0; i < 400; i++) {
		ask.notify_unique = (uint64_t)i + 1;
		mock_notify(t.m, FUSE_NOTIFY_RETRIEVE, &ask, sizeof ask);
	}
	nap_ms(300);
	assert_true(resident() < before + (100u << 20));
	deaf = false;
	(void)job_join(j);
	finish(&t);
}

/* Data at the most distant places of a file that nobody has open: bounded by the limit. */
static void store_everywhere(void **state)
{
	struct t t = begin(.size = 1, .cache_bytes = 1 << 20);
	struct {
		struct fuse_notify_store_out h;
		char data[PAGE];
	} s = {.h = {.nodeid = FOO, .size = PAGE}};
	int64_t live;

	ok(pf_close(t.f));
	t.f = NULL;
	mock_settle(t.m);
	live = pf__alloc_live();
	for (uint64_t i = 0; i < 5000; i++) {
		s.h.offset = (i * 0x9e3779b97f4a7c15ull & INT64_MAX) / PAGE * PAGE;
		if (i % 100 == 0)
			s.h.offset = INT64_MAX - i;
		mock_notify(t.m, FUSE_NOTIFY_STORE, &s, sizeof s);
	}
	mock_settle(t.m);
	assert_true(stats(&t).cache_bytes <= 1 << 20);
	assert_true(pf__alloc_live() < live + 256 * 9 + 2000);
	wdata_set_size(t.w, 100);
	mock_notify_inval_inode(t.m, FOO, 0, 0);
	mock_settle(t.m);
	assert_int_equal(stats(&t).pages, 0);
	finish(&t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(truncated_while_it_is_read),
	    write_test(cut_while_it_is_read),
	    write_test(overwritten_directly_while_it_is_read),
	    write_test(writer_of_a_page_under_way_reads),
	    write_test(last_writer_goes_before_his_writes),
	    write_test(stop_with_times_that_it_does_not_take),
	    write_test(congested_for_ever),
	    write_test(old_size_after_the_close),
	    write_test(borrowed_memory_given_back_after_the_end),
	    write_test(unmapped_after_the_end),
	    write_test(limit_on_the_size_of_files),
	    write_test(no_memory_when_readahead_ends),
	    write_test(retrieve_and_do_not_listen),
	    write_test(store_everywhere),
	};

	return run_write_tests(argc, argv, tests);
}
