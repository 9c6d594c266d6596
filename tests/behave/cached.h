/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the behaviour tests of the data cache: one served file "foo" (node 42), calls on
 * threads, counters, and a watchdog that ends a test which hangs. A program's argument names the
 * test to run.
 */
#ifndef TESTS_CACHED_H
#define TESTS_CACHED_H

#include "mock/data.h"
#include "tests/behave/behave.h"

#include <signal.h>
#include <sys/mman.h>

#define REG   (S_IFREG | 0644)
#define PAGE  4096u
#define KIB   1024u
#define MIB   1048576u
#define BLOCK (256 * KIB) /* what memory comes in */

/* ---- a test that hangs */

#define WATCHDOG_S 120

static inline void bark(int sig)
{
	static const char text[] = "the test hangs\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(3);
	_exit(2);
}

static inline int watch(void **state)
{
	signal(SIGALRM, bark);
	alarm(WATCHDOG_S);
	return 0;
}

static inline int unwatch(void **state)
{
	alarm(0);
	return 0;
}

#define timed(test) cmocka_unit_test_setup_teardown(test, watch, unwatch)

#define run_cached_tests(argc, argv, tests)                                                        \
	((argc) > 1 ? cmocka_set_test_filter((argv)[1]) : (void)0,                                 \
	 cmocka_run_group_tests(tests, NULL, NULL))

/* Long enough for what must not come to have come. */
static inline void nap(void)
{
	struct timespec t = {.tv_nsec = 30 * MS};

	nanosleep(&t, NULL);
}

/* ---- one served file */

static inline struct mock *serve_foo(const struct mock_options *o, uint64_t size,
				     struct mock_data **d)
{
	struct mock *m = mock_start(o);

	*d = mock_data_new(m, "foo", 42, size, size < 8 * MIB ? size + MIB : 0);
	return m;
}

static inline struct mock *open_foo(const struct mock_options *o, uint64_t size, int flags,
				    struct mock_data **d, struct pf_file **f)
{
	struct mock *m = serve_foo(o, size, d);

	ok(pf_open(m->fs, "foo", flags, 0, f));
	return m;
}

/* The same without readahead: a read asks for its own pages only. */
static inline struct mock *open_calm(const struct mock_options *o, uint64_t size,
				     struct mock_data **d, struct pf_file **f)
{
	struct mock *m = open_foo(o, size, O_RDONLY, d, f);

	ok(pf_fadvise(*f, 0, 0, POSIX_FADV_RANDOM));
	return m;
}

static inline void done(struct mock *m, struct pf_file *f)
{
	ok(pf_close(f));
	mock_end(m);
}

/* Read and compare with what the server has now. */
static inline void reads_right(struct mock_data *d, struct pf_file *f, size_t len, uint64_t offset)
{
	char *buf = malloc(len);
	ssize_t n;

	memset(buf, 0xee, len);
	n = pf_pread(f, buf, len, offset);
	if (n != (ssize_t)len)
		fail_msg("reading %zu bytes at %" PRIu64 " gave %zd", len, offset, n);
	mock_data_check(d, buf, offset, len);
	free(buf);
}

#define assert_reads(d, text) assert_string_equal(mock_data_reads(d), text)

/* ---- calls that wait */

struct task {
	pthread_t thread;
	struct pf_fs *fs;
	struct pf_file *f;
	char *buf;
	size_t len;
	uint64_t offset;
	ssize_t (*fn)(struct task *t);
	ssize_t result;
	_Atomic bool over;
};

static inline ssize_t task_read(struct task *t)
{
	return pf_pread(t->f, t->buf, t->len, t->offset);
}

static inline ssize_t task_write(struct task *t)
{
	return pf_pwrite(t->f, t->buf, t->len, t->offset);
}

static inline ssize_t task_open(struct task *t)
{
	return pf_open(t->fs, "foo", O_RDONLY, 0, &t->f);
}

static inline void *task_run(void *arg)
{
	struct task *t = arg;

	t->result = t->fn(t);
	t->over = true;
	return NULL;
}

static inline void task_start(struct task *t, ssize_t (*fn)(struct task *))
{
	t->fn = fn;
	t->over = false;
	assert_int_equal(pthread_create(&t->thread, NULL, task_run, t), 0);
}

static inline void start_read(struct task *t, struct pf_file *f, size_t len, uint64_t offset)
{
	t->f = f;
	t->len = len;
	t->offset = offset;
	t->buf = calloc(1, len);
	task_start(t, task_read);
}

static inline ssize_t task_join(struct task *t)
{
	pthread_join(t->thread, NULL);
	return t->result;
}

static inline void task_free(struct task *t)
{
	free(t->buf);
	t->buf = NULL;
}

/* ---- counters */

static inline struct pf_stats stats_of(struct mock *m)
{
	struct pf_stats s = {.size = sizeof(s)};

	ok(pf_stats(m->fs, &s));
	return s;
}

#endif
