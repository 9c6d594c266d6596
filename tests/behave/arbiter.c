// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who may use one file at once: opens and mappings that cache it, and writes that go round the
 * cache beside each other.
 */
#include "tests/behave/cached.h"

#define PARALLEL (FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES)

static bool writes_at(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_write_in *)req->arg)->offset == *(const uint64_t *)ctx;
}

static const uint64_t places[] = {0, PAGE, 2 * PAGE, 3 * PAGE};

struct writers {
	struct mock *m;
	struct mock_data *d;
	struct pf_file *f; /* parallel direct writes are allowed */
	struct mock_expect *write[4];
	struct mock_req *req[4];
	struct task task[4];
};

static void setup(struct writers *w, const struct mock_options *o, uint32_t open_flags)
{
	memset(w, 0, sizeof(*w));
	w->m = serve_foo(o, 16 * PAGE, &w->d);
	for (int i = 0; i < 4; i++)
		w->write[i] =
		    mock_hold(mock_match(mock_any_times(mock_expect(w->m, FUSE_WRITE, 42, NULL)),
					 writes_at, (void *)&places[i]));
	w->d->open_flags = open_flags;
	ok(pf_open(w->m->fs, "foo", O_RDWR, 0, &w->f));
	w->d->open_flags = 0;
}

static void start_write(struct writers *w, int i)
{
	struct task *t = &w->task[i];

	t->f = w->f;
	t->len = 8;
	t->offset = places[i];
	t->buf = strdup("abcdefgh");
	task_start(t, task_write);
}

static void came(struct writers *w, int i)
{
	w->req[i] = mock_wait(w->write[i]);
}

static bool has_come(struct writers *w, int i)
{
	bool yes;

	nap();
	pthread_mutex_lock(&w->m->lock);
	yes = w->write[i]->seen > 0;
	pthread_mutex_unlock(&w->m->lock);
	return yes;
}

static void let(struct writers *w, int i)
{
	struct fuse_write_out out = {.size = 8};

	mock_answer(w->req[i], &out, sizeof(out));
	assert_int_equal(task_join(&w->task[i]), 8);
	task_free(&w->task[i]);
	pthread_mutex_lock(&w->m->lock);
	w->write[i]->seen = 0;
	pthread_mutex_unlock(&w->m->lock);
}

static void finish(struct writers *w)
{
	ok(pf_close(w->f));
	mock_end(w->m);
}

/* ---- without caching users */

static void parallel(void **state)
{
	struct writers w;

	setup(&w, NULL, PARALLEL);
	start_write(&w, 0);
	came(&w, 0);
	start_write(&w, 1);
	came(&w, 1);
	let(&w, 1);
	let(&w, 0);
	assert_int_equal(stats_of(w.m).writes_direct, 2);
	assert_int_equal(stats_of(w.m).writes_parallel, 2);
	finish(&w);
}

static void one_by_one(struct writers *w)
{
	start_write(w, 0);
	came(w, 0);
	start_write(w, 1);
	assert_false(has_come(w, 1));
	let(w, 0);
	came(w, 1);
	let(w, 1);
	assert_int_equal(stats_of(w->m).writes_parallel, 0);
}

static void direct_io_alone_is_not_parallel(void **state)
{
	struct writers w;

	setup(&w, NULL, FOPEN_DIRECT_IO);
	one_by_one(&w);
	finish(&w);
}

/* PARALLEL_DIRECT_WRITES without DIRECT_IO means nothing: the file is cached. */
static void parallel_alone_means_nothing(void **state)
{
	struct writers w;

	setup(&w, NULL, FOPEN_PARALLEL_DIRECT_WRITES);
	one_by_one(&w);
	assert_int_equal(stats_of(w.m).writes_through, 2);
	finish(&w);
}

/* ---- a caching open beside parallel writes */

/* It waits until they are done, then goes on. */
static void caching_open_waits(void **state)
{
	struct writers w;
	struct task open = {0};

	setup(&w, NULL, PARALLEL);
	start_write(&w, 0);
	came(&w, 0);
	start_write(&w, 1);
	came(&w, 1);
	open.fs = w.m->fs;
	task_start(&open, task_open);
	nap();
	assert_false(open.over);
	let(&w, 0);
	nap();
	assert_false(open.over);
	let(&w, 1);
	assert_int_equal(task_join(&open), 0);
	reads_right(w.d, open.f, PAGE, 0);
	assert_true(stats_of(w.m).reads_cached == 1);
	ok(pf_close(open.f));
	finish(&w);
}

/* New writes do not keep it waiting for ever: they go one by one from now on. */
static void caching_open_is_not_starved(void **state)
{
	struct writers w;
	struct task open = {0};

	setup(&w, NULL, PARALLEL);
	start_write(&w, 0);
	came(&w, 0);
	open.fs = w.m->fs;
	task_start(&open, task_open);
	nap();
	start_write(&w, 1);
	nap();
	let(&w, 0);
	assert_int_equal(task_join(&open), 0);
	came(&w, 1); /* still at the server, or only now */
	let(&w, 1);
	ok(pf_close(open.f));
	finish(&w);
}

/* A file that goes round the cache does not wait. */
static void direct_open_does_not_wait(void **state)
{
	struct writers w;
	struct pf_file *g;

	setup(&w, NULL, PARALLEL);
	start_write(&w, 0);
	came(&w, 0);
	w.d->open_flags = FOPEN_DIRECT_IO;
	ok(pf_open(w.m->fs, "foo", O_RDONLY, 0, &g));
	ok(pf_close(g));
	let(&w, 0);
	finish(&w);
}

/* While somebody caches the file writes take turns; when the last one has gone they need not. */
static void caching_users_end_parallel_writes(void **state)
{
	struct pf_file *g, *h;
	struct writers w;

	setup(&w, NULL, PARALLEL);
	ok(pf_open(w.m->fs, "foo", O_RDONLY, 0, &g));
	ok(pf_open(w.m->fs, "foo", O_RDONLY, 0, &h));
	one_by_one(&w);
	ok(pf_close(g));
	one_by_one(&w);
	ok(pf_close(h));
	mock_settle(w.m);
	start_write(&w, 0);
	came(&w, 0);
	start_write(&w, 1);
	came(&w, 1);
	let(&w, 1);
	let(&w, 0);
	assert_int_equal(stats_of(w.m).writes_parallel, 2);
	finish(&w);
}

/* PF_CACHE_NONE makes every open direct: nothing waits, but PARALLEL is the server's to say. */
static void cache_none_never_waits(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct writers w;
	struct pf_file *g;

	o.pf.cache = PF_CACHE_NONE;
	setup(&w, &o, PARALLEL);
	start_write(&w, 0);
	came(&w, 0);
	ok(pf_open(w.m->fs, "foo", O_RDONLY, 0, &g));
	start_write(&w, 1);
	came(&w, 1);
	let(&w, 1);
	let(&w, 0);
	ok(pf_close(g));
	finish(&w);
}

/* An open that fails or is given up takes no reference with it. */
static void failed_open_leaves_nothing(void **state)
{
	struct writers w;
	struct pf_file *g;

	setup(&w, NULL, PARALLEL);
	w.d->open_flags = FOPEN_PASSTHROUGH;
	fails(pf_open(w.m->fs, "foo", O_RDONLY, 0, &g), EIO);
	start_write(&w, 0);
	came(&w, 0);
	start_write(&w, 1);
	came(&w, 1);
	let(&w, 1);
	let(&w, 0);
	finish(&w);
}

/* ---- writes that may not be parallel in any case */

static void extending_writes_take_turns(void **state)
{
	struct writers w;

	setup(&w, NULL, PARALLEL);
	mock_data_resize(w.d, 0);
	mock_notify_inval_inode(w.m, 42, -1, 0);
	mock_settle(w.m);
	ok(pf_lseek(w.f, 0, SEEK_END));
	one_by_one(&w);
	finish(&w);
}

/* ---- mappings */

/* The first shared mapping of a file with direct I/O is a caching user until the file is released.
 */
static void mapping_ends_parallel_writes(void **state)
{
	struct mock_options o = {.flags = FUSE_DIRECT_IO_ALLOW_MMAP};
	struct pf_mapping *map;
	struct writers w;

	setup(&w, &o, PARALLEL);
	ok(pf_mmap(w.f, PAGE, PROT_READ, MAP_SHARED, 0, &map));
	one_by_one(&w);
	ok(pf_munmap(map));
	one_by_one(&w);
	finish(&w);
}

static ssize_t task_map(struct task *t)
{
	return pf_mmap(t->f, PAGE, PROT_READ, MAP_SHARED, 0, (struct pf_mapping **)&t->buf);
}

static void mapping_waits_for_parallel_writes(void **state)
{
	struct mock_options o = {.flags = FUSE_DIRECT_IO_ALLOW_MMAP};
	struct task map = {0};
	struct writers w;

	setup(&w, &o, PARALLEL);
	start_write(&w, 0);
	came(&w, 0);
	map.f = w.f;
	task_start(&map, task_map);
	nap();
	assert_false(map.over);
	let(&w, 0);
	assert_int_equal(task_join(&map), 0);
	ok(pf_munmap((struct pf_mapping *)map.buf));
	finish(&w);
}

/* ---- reads are never kept waiting by writers */

static void reads_beside_a_write(void **state)
{
	struct writers w;
	struct pf_file *g;

	setup(&w, NULL, 0);
	ok(pf_open(w.m->fs, "foo", O_RDONLY, 0, &g));
	reads_right(w.d, g, PAGE, 8 * PAGE);
	start_write(&w, 0);
	came(&w, 0);
	reads_right(w.d, g, PAGE, 8 * PAGE);
	reads_right(w.d, g, PAGE, 12 * PAGE);
	let(&w, 0);
	ok(pf_close(g));
	finish(&w);
}

/* O_DIRECT is the caller's wish, not the server's: such an open caches like any other. */
static void o_direct_is_a_caching_user(void **state)
{
	struct writers w;
	struct pf_file *g;

	setup(&w, NULL, PARALLEL);
	ok(pf_open(w.m->fs, "foo", O_RDONLY | O_DIRECT, 0, &g));
	one_by_one(&w);
	ok(pf_close(g));
	finish(&w);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    timed(parallel),
	    timed(direct_io_alone_is_not_parallel),
	    timed(parallel_alone_means_nothing),
	    timed(caching_open_waits),
	    timed(caching_open_is_not_starved),
	    timed(direct_open_does_not_wait),
	    timed(caching_users_end_parallel_writes),
	    timed(cache_none_never_waits),
	    timed(failed_open_leaves_nothing),
	    timed(extending_writes_take_turns),
	    timed(mapping_ends_parallel_writes),
	    timed(mapping_waits_for_parallel_writes),
	    timed(reads_beside_a_write),
	    timed(o_direct_is_a_caching_user),
	};

	return run_cached_tests(argc, argv, tests);
}
