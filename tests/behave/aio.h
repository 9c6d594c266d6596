/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the tests of asynchronous calls: one call and its callback, a file that they work on.
 */
#ifndef TESTS_BEHAVE_AIO_H
#define TESTS_BEHAVE_AIO_H

#include "tests/behave/behave.h"

#include <pthread.h>

#define REG  (S_IFREG | 0644)
#define MANY 1000

/* One call, and what its callback saw. */
struct aio {
	_Atomic int calls;
	_Atomic int order; /* the how-manieth callback of the test, from 1 */
	ssize_t result;
	pthread_t thread;
	char error[100], name[20];
	char buf[16];
};
static _Atomic int callbacks;

static inline void done(void *ctx, ssize_t result)
{
	struct aio *a = ctx;

	a->result = result;
	a->thread = pthread_self();
	pthread_getname_np(a->thread, a->name, sizeof(a->name));
	snprintf(a->error, sizeof(a->error), "%s", pf_error());
	a->order = ++callbacks;
	a->calls++;
}

/* Until its callback has come; then its result. */
static inline ssize_t result_of(struct aio *a)
{
	wait_until(a->calls);
	assert_int_equal(a->calls, 1);
	return a->result;
}

static inline int setup(void **state)
{
	callbacks = 0;
	return 0;
}

static inline struct mock *start(uint64_t init_flags)
{
	struct mock_options o = {.flags = init_flags};
	struct mock *m = mock_start(&o);

	mock_lookup(m, 1, "foo", 42, REG, 1 << 20, MOCK_FOREVER);
	return m;
}

static inline struct mock *start_open(uint64_t init_flags, int flags, uint32_t open_flags,
				      struct pf_file **f)
{
	struct mock *m = start(init_flags);

	mock_open(m, 42, open_flags);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", flags, 0, f));
	return m;
}

static inline void finish(struct mock *m, struct pf_file *f)
{
	mock_flush(m, 42);
	ok(pf_close(f));
	mock_end(m);
}

static inline uint64_t offset_of(const struct mock_req *req)
{
	return ((const struct fuse_read_in *)req->arg)->offset;
}

/* Held READs, any number of them. */
static inline struct mock_expect *hold_reads(struct mock *m)
{
	return mock_any_times(mock_hold(mock_expect(m, FUSE_READ, 42, NULL)));
}

static inline struct mock_expect *hold_writes(struct mock *m)
{
	return mock_any_times(mock_hold(mock_expect(m, FUSE_WRITE, 42, NULL)));
}

static inline void answer_write(struct mock_req *req)
{
	struct fuse_write_out out = {.size = ((const struct fuse_write_in *)req->arg)->size};

	mock_answer(req, &out, sizeof(out));
}

/* A while in which a request that must not come would have come. */
static inline void settle(struct mock *m)
{
	nap_ms(50);
	mock_settle(m);
}

static inline void serve_bytes(struct mock_req *req, void *ctx)
{
	char c = (char)offset_of(req);

	mock_answer(req, &c, 1);
}

/* Each callback asks for the next piece, some of them twice; and uses the file otherwise. */
struct chain {
	struct pf_file *f;
	_Atomic int left, done, failed;
	char buf[8];
};

static inline void chain_done(void *ctx, ssize_t result)
{
	struct chain *c = ctx;
	char buf;

	if (result != 1 || pf_pread(c->f, &buf, 1, 7) != 1)
		c->failed++;
	for (int i = 0; i < 2; i++)
		if (c->left-- > 0)
			c->failed += pf_aio_read(c->f, c->buf, 1, 0, chain_done, c) != 0;
	c->done++;
}

#define aio_test(f) cmocka_unit_test_setup(f, setup)

#endif
