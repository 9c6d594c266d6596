// SPDX-License-Identifier: BSD-2-Clause
/* Asynchronous reads, writes and fsync: what the server sees of them, when their callbacks come,
 * and that each comes once. */
#include "tests/behave/aio.h"

#include <dirent.h>

/* ---- what the server sees */

struct seen {
	struct fuse_in_header h;
	struct fuse_read_in in;
};

static void serve_seen(struct mock_req *req, void *ctx)
{
	struct seen *s = ctx;

	s->h = req->h;
	s->in = *(const struct fuse_read_in *)req->arg;
	mock_answer(req, "abcd", 4);
}

static void read_twice(struct mock *m, struct pf_fs *fs, struct seen *sync, struct seen *async)
{
	struct aio a = {0};
	struct pf_file *f;
	char buf[4];

	mock_open(m, 42, FOPEN_DIRECT_IO);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(fs, "foo", O_RDONLY | O_NOATIME, 0, &f));
	mock_fn_set(mock_expect(m, FUSE_READ, 42, NULL), serve_seen, sync);
	mock_fn_set(mock_expect(m, FUSE_READ, 42, NULL), serve_seen, async);
	assert_int_equal(pf_pread(f, buf, 4, 100), 4);
	ok(pf_aio_read(f, a.buf, 4, 100, done, &a));
	assert_int_equal(result_of(&a), 4);
	assert_memory_equal(a.buf, "abcd", 4);
	ok(pf_close(f));
}

/* The pid of who submits, and all else as the synchronous call has it. */
static void aio_read(void **state)
{
	struct pf_caller who = {.size = sizeof(who), .pid = 77, .lock_owner = 5};
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct seen sync, async;
	struct pf_fs *view;
	struct mock *m;

	o.pf.mount_options = "allow_other";
	m = mock_start(&o);
	mock_lookup(m, 1, "foo", 42, REG, 1 << 20, MOCK_FOREVER);
	read_twice(m, m->fs, &sync, &async);
	assert_int_equal(async.h.pid, getpid());
	assert_int_equal(async.h.uid, sync.h.uid);
	assert_memory_equal(&async.in, &sync.in, sizeof(sync.in));
	ok(pf_as(m->fs, &who, &view));
	read_twice(m, view, &sync, &async);
	assert_int_equal(async.h.pid, 77);
	assert_memory_equal(&async.in, &sync.in, sizeof(sync.in));
	pf_view_free(view);
	mock_end(m);
}

/* Without ASYNC_READ one READ at a time of a handle, and no thread that sleeps for the others. */
static void async_read_disabled(void **state)
{
	struct aio a = {0}, b = {0};
	struct pf_file *f;
	struct mock *m = start_open(0, O_RDONLY, FOPEN_DIRECT_IO, &f);
	struct mock_expect *read = hold_reads(m);
	struct mock_req *req;

	ok(pf_aio_read(f, a.buf, 4, 4096, done, &a));
	ok(pf_aio_read(f, b.buf, 4, 0, done, &b));
	req = mock_wait(read);
	settle(m);
	assert_int_equal(mock_count(m, FUSE_READ), 1);
	assert_int_equal(offset_of(req), 4096);
	mock_answer(req, "aaaa", 4);
	assert_int_equal(result_of(&a), 4);
	req = mock_wait(read);
	assert_int_equal(offset_of(req), 0);
	assert_int_equal(b.calls, 0);
	mock_answer(req, "bb", 2);
	assert_int_equal(result_of(&b), 2);
	finish(m, f);
}

static void async_read(void **state)
{
	struct aio a = {0}, b = {0};
	struct pf_file *f;
	struct mock *m = start_open(FUSE_ASYNC_READ, O_RDONLY, FOPEN_DIRECT_IO, &f);
	struct mock_expect *read = hold_reads(m);
	struct mock_req *first, *second;

	ok(pf_aio_read(f, a.buf, 4, 0, done, &a));
	first = mock_wait(read);
	ok(pf_aio_read(f, b.buf, 4, 4096, done, &b));
	second = mock_wait(read);
	mock_answer(second, "bbbb", 4);
	assert_int_equal(result_of(&b), 4);
	assert_int_equal(a.calls, 0);
	mock_answer(first, "aaaa", 4);
	assert_int_equal(result_of(&a), 4);
	assert_memory_equal(a.buf, "aaaa", 4);
	finish(m, f);
}

static bool is_write(const struct mock_req *req, void *ctx)
{
	const struct fuse_write_in *in = req->arg;

	return req->h.pid == (uint32_t)getpid() && in->fh == MOCK_FH && in->offset == 100 &&
	       in->size == 4 && !memcmp(req->data, "abcd", 4);
}

static void aio_write(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(0, O_WRONLY, FOPEN_DIRECT_IO, &f);
	struct mock_expect *write = mock_match(hold_writes(m), is_write, NULL);
	struct aio a = {0};
	struct mock_req *req;

	ok(pf_aio_write(f, "abcd", 4, 100, done, &a));
	req = mock_wait(write);
	assert_int_equal(a.calls, 0);
	answer_write(req);
	assert_int_equal(result_of(&a), 4);
	assert_false(pthread_equal(a.thread, pthread_self()));
	assert_string_equal(a.name, "portfire-aio");
	finish(m, f);
}

/* Writes that shut each other out take turns, in order; those that need not do not. */
static void writes_take_turns(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(0, O_WRONLY, FOPEN_DIRECT_IO, &f);
	struct mock_expect *write = hold_writes(m);
	struct aio a[8];

	memset(a, 0, sizeof(a));
	for (int i = 0; i < 8; i++)
		ok(pf_aio_write(f, "x", 1, i, done, &a[i]));
	for (int i = 0; i < 8; i++) {
		struct mock_req *req = mock_wait(write);

		assert_int_equal(offset_of(req), i);
		assert_int_equal(mock_count(m, FUSE_WRITE), i + 1);
		answer_write(req);
	}
	for (int i = 0; i < 8; i++)
		assert_int_equal(result_of(&a[i]), 1);
	finish(m, f);
	m = start_open(0, O_WRONLY, FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES, &f);
	write = hold_writes(m);
	memset(a, 0, sizeof(a));
	ok(pf_aio_write(f, "x", 1, 0, done, &a[0]));
	ok(pf_aio_write(f, "x", 1, 1, done, &a[1]));
	mock_wait_seen(write, 2);
	answer_write(mock_wait(write));
	answer_write(mock_wait(write));
	assert_int_equal(result_of(&a[0]), 1);
	assert_int_equal(result_of(&a[1]), 1);
	finish(m, f);
}

static bool through(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_write_in *)req->arg)->fh == *(uint64_t *)ctx;
}

/* Of two open files the one that the call was made on is used. */
static void submitter_handle(void **state)
{
	struct mock *m = start(0);
	uint64_t fh[2] = {100, 200};
	struct aio a[2] = {{0}, {0}};
	struct pf_file *f[2];

	for (int i = 0; i < 2; i++) {
		struct fuse_open_out o = {.fh = fh[i], .open_flags = FOPEN_DIRECT_IO};

		mock_body(mock_expect(m, FUSE_OPEN, 42, NULL), &o, sizeof(o));
		ok(pf_open(m->fs, "foo", O_RDWR, 0, &f[i]));
	}
	for (int i = 1; i >= 0; i--) {
		mock_match(mock_write(m, 42, 0, 1, 1), through, &fh[i]);
		mock_match(mock_body(mock_expect(m, FUSE_READ, 42, NULL), "x", 1), through, &fh[i]);
		a[0] = a[1] = (struct aio){0};
		ok(pf_aio_write(f[i], "a", 1, 0, done, &a[0]));
		assert_int_equal(result_of(&a[0]), 1);
		ok(pf_aio_read(f[i], a[1].buf, 1, 0, done, &a[1]));
		assert_int_equal(result_of(&a[1]), 1);
	}
	for (int i = 0; i < 2; i++) {
		mock_flush(m, 42);
		mock_release(m, 42);
		ok(pf_close(f[i]));
	}
	mock_end(m);
}

static bool is_fsync(const struct mock_req *req, void *ctx)
{
	const struct fuse_fsync_in *in = req->arg;

	return in->fh == MOCK_FH && in->fsync_flags == *(uint32_t *)ctx;
}

static void aio_fsync(void **state)
{
	uint32_t all = 0, data = FUSE_FSYNC_FDATASYNC;
	struct aio a = {0}, b = {0}, c = {0};
	struct pf_file *f, *d;
	struct mock *m = start_open(0, O_RDWR, 0, &f);

	mock_match(mock_empty(m, FUSE_FSYNC, 42), is_fsync, &all);
	ok(pf_aio_fsync(f, 0, done, &a));
	assert_int_equal(result_of(&a), 0);
	mock_error(mock_match(mock_expect(m, FUSE_FSYNC, 42, NULL), is_fsync, &data), EIO);
	ok(pf_aio_fsync(f, 1, done, &b));
	assert_int_equal(result_of(&b), -EIO);
	assert_string_equal(b.error, "aio_fsync: Input/output error");
	mock_opendir(m, 1, 0);
	mock_releasedir(m, 1);
	ok(pf_open(m->fs, "/", O_RDONLY | O_DIRECTORY, 0, &d));
	mock_match(mock_empty(m, FUSE_FSYNCDIR, 1), is_fsync, &data);
	ok(pf_aio_fsync(d, 1, done, &c));
	assert_int_equal(result_of(&c), 0);
	ok(pf_close(d));
	finish(m, f);
}

/* ---- the calls themselves */

static void refused(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT, .inproc = true};
	struct pf_file *f, *d;
	struct mock *m = start_open(0, O_RDONLY, FOPEN_STREAM | FOPEN_DIRECT_IO, &f);
	struct aio a = {0};

	fails(pf_aio_read(NULL, a.buf, 1, 0, done, &a), EBADF);
	fails(pf_aio_write(f, a.buf, 1, 0, done, &a), EBADF);
	fails(pf_aio_read(f, a.buf, 1, -1, done, &a), EINVAL);
	fails(pf_aio_read(f, a.buf, 1, 0, NULL, &a), EINVAL);
	fails(pf_aio_read(f, a.buf, 1, 0, done, &a), ESPIPE);
	assert_string_equal(pf_error(), "aio_read: Illegal seek");
	mock_opendir(m, 1, 0);
	mock_releasedir(m, 1);
	ok(pf_open(m->fs, "/", O_RDONLY | O_DIRECTORY, 0, &d));
	fails(pf_aio_read(d, a.buf, 1, 0, done, &a), EISDIR);
	ok(pf_close(d));
	finish(m, f);
	o.pf.no_service_thread = 1;
	m = mock_start(&o);
	mock_opendir(m, 1, 0);
	mock_releasedir(m, 1);
	ok(pf_open(m->fs, "/", O_RDONLY | O_DIRECTORY, 0, &d));
	fails(pf_aio_fsync(d, 0, done, &a), EOPNOTSUPP);
	ok(pf_close(d));
	mock_end(m);
	assert_int_equal(a.calls, 0);
}

/* The file is closed first: RELEASE comes after the last of its calls. */
static void close_first(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(0, O_RDWR, FOPEN_DIRECT_IO, &f);
	struct mock_expect *read = hold_reads(m);
	struct aio a = {0}, b = {0};
	struct mock_req *req;

	mock_log(m);
	mock_flush(m, 42);
	ok(pf_aio_read(f, a.buf, 4, 0, done, &a));
	ok(pf_aio_read(f, b.buf, 4, 4, done, &b));
	req = mock_wait(read);
	ok(pf_close(f));
	settle(m);
	assert_log(m, "READ(42) FLUSH(42)");
	mock_answer(req, "abcd", 4);
	req = mock_wait(read);
	settle(m);
	assert_log(m, "READ(42)");
	mock_answer(req, "abcd", 4);
	assert_int_equal(result_of(&a), 4);
	assert_int_equal(result_of(&b), 4);
	mock_end(m);
	assert_int_equal(b.order, 2);
}

/* More than there are threads, all before the first answer. */
static void thousand(uint64_t init_flags)
{
	struct pf_file *f;
	struct mock *m = start_open(init_flags, O_RDONLY, FOPEN_DIRECT_IO, &f);
	struct mock_expect *read = hold_reads(m);
	struct aio *a = calloc(MANY, sizeof(*a));

	for (int i = 0; i < MANY; i++)
		ok(pf_aio_read(f, a[i].buf, 1, i, done, &a[i]));
	assert_int_equal(callbacks, 0);
	mock_wait_seen(read, init_flags ? 64 : 1);
	for (int i = 0; i < MANY; i++)
		serve_bytes(mock_wait(read), NULL);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(result_of(&a[i]), 1);
		assert_int_equal(a[i].buf[0], (char)i);
	}
	assert_int_equal(callbacks, MANY);
	finish(m, f);
	free(a);
}

static void thousand_together(void **state)
{
	thousand(FUSE_ASYNC_READ);
}

static void thousand_in_turn(void **state)
{
	thousand(0);
}

static void callbacks_submit(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(0, O_RDONLY, FOPEN_DIRECT_IO, &f);
	struct chain c = {.f = f, .left = MANY};

	mock_any_times(mock_fn_set(mock_expect(m, FUSE_READ, 42, NULL), serve_bytes, NULL));
	ok(pf_aio_read(f, c.buf, 1, 0, chain_done, &c));
	wait_until(c.done >= MANY + 1);
	assert_int_equal(c.done, MANY + 1);
	assert_int_equal(c.failed, 0);
	finish(m, f);
}

/* Of this process, those of the pool. One that was joined may still be seen for a moment. */
static int pool_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	int n = 0;

	while ((e = readdir(d))) {
		char path[300], name[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		n += fgets(name, sizeof(name), f) && !strcmp(name, "portfire-aio\n");
		fclose(f);
	}
	closedir(d);
	return n;
}

/* Threads come as they are needed and go when they are not. */
static void threads_end(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(FUSE_ASYNC_READ, O_RDONLY, FOPEN_DIRECT_IO, &f);
	struct mock_expect *read = hold_reads(m);
	struct aio a[8];
	int i;

	for (int round = 0; round < 2; round++) {
		memset(a, 0, sizeof(a));
		for (i = 0; i < 8; i++)
			ok(pf_aio_read(f, a[i].buf, 1, i, done, &a[i]));
		mock_wait_seen(read, 8 * (round + 1));
		wait_until(pool_threads() == 8);
		for (i = 0; i < 8; i++)
			mock_answer(mock_wait(read), "x", 1);
		for (i = 0; i < 8; i++)
			assert_int_equal(result_of(&a[i]), 1);
		wait_until(pool_threads() == 0);
	}
	finish(m, f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    aio_test(aio_read),          aio_test(async_read_disabled),
	    aio_test(async_read),        aio_test(aio_write),
	    aio_test(writes_take_turns), aio_test(submitter_handle),
	    aio_test(aio_fsync),         aio_test(refused),
	    aio_test(close_first),       aio_test(thousand_together),
	    aio_test(thousand_in_turn),  aio_test(callbacks_submit),
	    aio_test(threads_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
