/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the tests on writing: one file "foo" whose data the server has in a buffer
 * (mock/wdata.h), opened in one of the modes; calls in threads of their own; a watchdog, so that a
 * deadlock fails a test instead of hanging it.
 */
#ifndef TESTS_BEHAVE_WRITES_H
#define TESTS_BEHAVE_WRITES_H

#include "mock/wdata.h"
#include "tests/behave/behave.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#define REG  (S_IFREG | 0644)
#define PAGE 4096ull
#define FOO  42 /* nodeid */

/* What is different from the usual; all may be left out. */
struct how {
	bool writeback;
	uint64_t flags; /* INIT flags beside BIG_WRITES and WRITEBACK_CACHE */
	bool small_writes;
	uint32_t minor, max_write, time_gran;
	uint64_t size;  /* of the file at first */
	int oflags;     /* of pf_open(); O_RDONLY, which is 0, stands for O_RDWR */
	uint32_t fopen; /* FOPEN_* of the server */
	bool stale;     /* attributes and names are valid for no time */
	uint32_t mode, uid;
	uint64_t cache_bytes, dirty_bytes;
	uint32_t expire_ms; /* 0: so long that no test sees it */
	int cache;
	bool no_writeback, closed; /* closed: the test opens */
};

struct t {
	struct mock *m;
	struct wdata *w;
	struct pf_file *f;
};

static inline int watchdog(void **state)
{
	alarm(120); /* also under a sanitizer, on a busy machine */
	return 0;
}

#define write_test(fn) cmocka_unit_test_setup(fn, watchdog)

/* All of them, or the one that the program's argument names. */
#define run_write_tests(argc, argv, tests)                                                         \
	((argc) > 1 ? cmocka_set_test_filter((argv)[1]) : (void)0,                                 \
	 cmocka_run_group_tests(tests, NULL, NULL))

static inline struct mock_options options_of(const struct how *h)
{
	struct mock_options o = {.pf_set = true,
				 .pf = PF_OPTIONS_INIT,
				 .minor = h->minor,
				 .flags = h->flags,
				 .root_attr_valid = MOCK_FOREVER,
				 .init = {.max_write = h->max_write, .time_gran = h->time_gran}};

	if (!h->small_writes)
		o.flags |= FUSE_BIG_WRITES;
	if (h->writeback)
		o.flags |= FUSE_WRITEBACK_CACHE;
	o.pf.mount_options = "allow_other";
	o.pf.cache = h->cache;
	o.pf.no_writeback = h->no_writeback;
	o.pf.cache_bytes = h->cache_bytes;
	o.pf.dirty_bytes = h->dirty_bytes;
	o.pf.dirty_expire_ms = h->expire_ms ? h->expire_ms : 600000;
	return o;
}

static inline struct t begin_how(struct how h)
{
	struct mock_options o = options_of(&h);
	struct t t = {.m = mock_start(&o)};

	t.w = wdata_new(t.m, "foo", FOO, h.size);
	t.w->open_flags = h.fopen;
	if (h.stale)
		t.w->attr_valid = t.w->entry_valid = 0;
	if (h.mode)
		t.w->attr.mode = S_IFREG | h.mode;
	t.w->attr.uid = h.uid;
	if (!h.closed)
		ok(pf_open(t.m->fs, "foo", h.oflags ? h.oflags : O_RDWR, 0, &t.f));
	wdata_text(t.w);
	return t;
}

/* begin(.writeback = true, .size = 10) */
#define begin(...) begin_how((struct how){__VA_ARGS__})

/* Stop the client; the server's data can still be asked for. */
static inline void stop(struct t *t)
{
	if (t->f && !t->m->fs) /* pf_stop() was called: what is left of the file is memory */
		pf_close(t->f);
	mock_end(t->m);
	t->m = NULL;
}

static inline void finish(struct t *t)
{
	if (t->f)
		ok(pf_close(t->f));
	t->f = NULL;
	stop(t);
	wdata_free(t->w);
}

static inline struct pf_stats stats(const struct t *t)
{
	struct pf_stats s = {.size = sizeof(s)};

	ok(pf_stats(t->m->fs, &s));
	return s;
}

/* Pages that the server has not got yet; one look, for a page whose WRITE failed softly is dirty
 * again. */
static inline uint64_t unwritten(const struct t *t)
{
	struct pf_stats s = stats(t);

	return s.pages_dirty + s.pages_writeback;
}

/* len bytes that tell where they were written and in which turn; never 0. */
static inline unsigned char *bytes_of(int turn, uint64_t offset, size_t len)
{
	unsigned char *p = malloc(len + 1);

	for (size_t i = 0; i < len; i++)
		p[i] = 1 + ((offset + i) * 7 + (offset + i) / 4096 + turn * 101) % 255;
	return p;
}

/* Write bytes_of(turn, offset, len) there, all of them. */
static inline void put_at(struct pf_file *f, int turn, uint64_t offset, size_t len)
{
	unsigned char *p = bytes_of(turn, offset, len);

	assert_int_equal(pf_pwrite(f, p, len, offset), len);
	free(p);
}

static inline void assert_reads(struct pf_file *f, uint64_t offset, const void *want, size_t len)
{
	unsigned char *got = malloc(len + 1);
	size_t n = 0;

	while (n < len) {
		ssize_t r = pf_pread(f, got + n, len - n, offset + n);

		if (r <= 0)
			fail_msg("reading %zu at %" PRIu64 " gave %zd after %zu", len, offset, r,
				 n);
		n += r;
	}
	for (size_t i = 0; i < len; i++)
		if (got[i] != ((const unsigned char *)want)[i])
			fail_msg("byte %" PRIu64 " is %d, not %d", offset + i, got[i],
				 ((const unsigned char *)want)[i]);
	free(got);
}

static inline void assert_reads_turn(struct pf_file *f, int turn, uint64_t offset, size_t len)
{
	unsigned char *p = bytes_of(turn, offset, len);

	assert_reads(f, offset, p, len);
	free(p);
}

static inline void assert_reads_zeros(struct pf_file *f, uint64_t offset, size_t len)
{
	unsigned char *p = calloc(1, len + 1);

	assert_reads(f, offset, p, len);
	free(p);
}

/* The bytes that the server had at first. */
static inline void assert_reads_old(struct pf_file *f, uint64_t offset, size_t len)
{
	unsigned char *p = malloc(len + 1);

	for (size_t i = 0; i < len; i++)
		p[i] = wdata_byte(offset + i);
	assert_reads(f, offset, p, len);
	free(p);
}

static inline void assert_server_turn(struct t *t, int turn, uint64_t offset, size_t len)
{
	unsigned char *p = bytes_of(turn, offset, len);

	wdata_assert_at(t->w, offset, p, len);
	free(p);
}

static inline void assert_server_old(struct t *t, uint64_t offset, size_t len)
{
	unsigned char *p = malloc(len + 1);

	for (size_t i = 0; i < len; i++)
		p[i] = wdata_byte(offset + i);
	wdata_assert_at(t->w, offset, p, len);
	free(p);
}

static inline off_t size_of(struct pf_file *f)
{
	struct stat st;

	ok(pf_fstat(f, &st));
	return st.st_size;
}

#define assert_text(t, text) assert_string_equal(wdata_text((t)->w), text)

/* That many came since the start. */
#define assert_came(t, opcode, n) assert_int_equal(wdata_count((t)->w, opcode), n)

/* The first of one kind came before the first of the other. */
#define assert_before(t, one, other)                                                               \
	do {                                                                                       \
		assert_true(wdata_place((t)->w, one, 0) >= 0);                                     \
		assert_true(wdata_place((t)->w, other, 0) >= 0);                                   \
		assert_true(wdata_place((t)->w, one, 0) < wdata_place((t)->w, other, 0));          \
	} while (0)

/* ---- a call in a thread of its own */

struct job {
	struct t t;
	struct pf_file *f;
	long (*fn)(struct job *j);
	int turn;
	uint64_t offset;
	size_t len;
	pthread_t thread;
	_Atomic bool done;
	long result;
};

static inline void *job_run(void *arg)
{
	struct job *j = arg;

	j->result = j->fn(j);
	j->done = true;
	return NULL;
}

/* Allocated, so that a test that fails leaves nothing dangling. */
static inline struct job *job(const struct t *t, long (*fn)(struct job *), int turn,
			      uint64_t offset, size_t len)
{
	struct job *j = calloc(1, sizeof(*j));

	*j = (struct job){.t = *t, .f = t->f, .fn = fn, .turn = turn, .offset = offset, .len = len};
	assert_int_equal(pthread_create(&j->thread, NULL, job_run, j), 0);
	return j;
}

/* The same through another open file. */
static inline struct job *job_on(const struct t *t, struct pf_file *f, long (*fn)(struct job *),
				 int turn, uint64_t offset, size_t len)
{
	struct t other = *t;

	other.f = f;
	return job(&other, fn, turn, offset, len);
}

/* Its result; the test fails when there is none. */
static inline long job_join(struct job *j)
{
	struct timespec until;
	long r;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += MOCK_PATIENCE_S;
	if (pthread_timedjoin_np(j->thread, NULL, &until))
		fail_msg("a call does not return");
	r = j->result;
	free(j);
	return r;
}

static inline long job_write(struct job *j)
{
	unsigned char *p = bytes_of(j->turn, j->offset, j->len);
	long r = pf_pwrite(j->f, p, j->len, j->offset);

	free(p);
	return r;
}

static inline long job_read(struct job *j)
{
	char *p = malloc(j->len + 1);
	long r = pf_pread(j->f, p, j->len, j->offset);

	free(p);
	return r;
}

static inline long job_fsync(struct job *j)
{
	return pf_fsync(j->f, 0);
}

static inline long job_close(struct job *j)
{
	return pf_close(j->f);
}

static inline long job_truncate(struct job *j)
{
	return pf_ftruncate(j->f, j->offset);
}

#endif
