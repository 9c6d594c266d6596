/* SPDX-License-Identifier: BSD-2-Clause */
/* Open files and views: who ends before whom, and transfers larger than one request. */
#include "../behave/behave.h"
#include "base/alloc.h"

#define REG (S_IFREG | 0644)

static void count_info(void *ctx, const char *key, const char *value)
{
	int *n = ctx;

	assert_non_null(value);
	if (!strcmp(key, "protocol")) {
		assert_string_equal(value, "7.45");
		++*n;
	} else if (!strcmp(key, "flags")) {
		assert_string_equal(value, "ASYNC_READ");
		++*n;
	} else if (!strcmp(key, "transport") || !strcmp(key, "requests.INIT")) {
		++*n;
	}
}

static void info_tells_what_was_negotiated(void **state)
{
	struct mock_options o = {.flags = FUSE_ASYNC_READ};
	struct mock *m = mock_start(&o);
	int n = 0;

	ok(pf_info(m->fs, count_info, &n));
	assert_int_equal(n, 4);
	mock_end(m);
}

/* What is still open when the file system stops is released, and its descriptors only go. */
static void files_outlive_the_file_system(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_file *f, *copy, *d, *none;
	struct pf_dirent e;
	char c;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_opendir(m, 1, 0);
	mock_release(m, 42);
	mock_releasedir(m, 1);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	ok(pf_open(m->fs, "/", O_RDONLY, 0, &d));
	ok(pf_dup(f, &copy));
	ok(pf_stop(m->fs));
	m->fs = NULL;
	fails(pf_pread(f, &c, 1, 0), ENOTCONN);
	fails(pf_readdir(d, &e), ENOTCONN);
	fails(pf_openat(d, "foo", O_RDONLY, 0, &none), ENOTCONN);
	ok(pf_close(f));
	ok(pf_close(copy));
	ok(pf_close(d));
	mock_end(m);
}

static void views_outlive_the_file_system(void **state)
{
	struct mock_options o = {.pf = PF_OPTIONS_INIT, .pf_set = true};
	gid_t groups[] = {7, 8};
	struct pf_caller who = {
	    .size = sizeof who, .uid = 5, .gid = 6, .ngroups = 2, .groups = groups};
	struct pf_fs *view;
	struct pf_file *f;
	struct mock *m;

	o.pf.mount_options = "allow_other";
	m = mock_start(&o);
	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_release(m, 42);
	ok(pf_as(m->fs, &who, &view));
	ok(pf_open(view, "foo", O_RDONLY, 0, &f));
	pf_view_free(view);
	ok(pf_as(m->fs, &who, &view));
	ok(pf_stop(m->fs));
	m->fs = NULL;
	ok(pf_close(f));
	fails(pf_open(view, "foo", O_RDONLY, 0, &f), ENOTCONN);
	assert_int_equal(pf_interrupt(view), 0);
	pf_view_free(view);
	mock_end(m);
}

static void callers_must_be_described(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_caller who = {.size = 8};
	struct pf_fs *view;

	fails(pf_as(m->fs, &who, &view), EINVAL);
	who = (struct pf_caller){.size = sizeof who, .ngroups = 3};
	fails(pf_as(m->fs, &who, &view), EINVAL);
	mock_end(m);
}

/* Without allow_other the file system is its owner's alone. */
static void strangers_are_refused(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_caller who = {.size = sizeof who, .uid = geteuid() + 1, .gid = getegid()};
	struct pf_fs *view;
	struct pf_file *f;

	ok(pf_as(m->fs, &who, &view));
	fails(pf_open(view, "foo", O_RDONLY, 0, &f), EACCES);
	pf_view_free(view);
	mock_end(m);
}

/* ---- transfers of many requests */

#define BIG   (1u << 20)
#define PIECE 4096u

static unsigned char pattern(uint64_t offset)
{
	return (unsigned char)(offset * 7 + (offset >> 12));
}

/* A file of ctx bytes. */
static void read_pattern(struct mock_req *req, void *ctx)
{
	const struct fuse_read_in *in = req->arg;
	uint64_t size = *(uint64_t *)ctx, n = 0;
	unsigned char *data = malloc(in->size);

	for (; n < in->size && in->offset + n < size; n++)
		data[n] = pattern(in->offset + n);
	mock_answer(req, data, n);
	free(data);
}

static struct mock *start_big(uint64_t flags, uint64_t size, int how, struct pf_file **f)
{
	struct mock_options o = {.flags = flags, .pf = PF_OPTIONS_INIT, .pf_set = true};
	struct mock *m;

	o.pf.mount_options = "max_read=4096";
	o.pf.max_write = PIECE;
	m = mock_start(&o);
	mock_lookup(m, 1, "big", 42, REG, size, MOCK_FOREVER);
	mock_open(m, 42, FOPEN_DIRECT_IO);
	mock_any_times(mock_flush(m, 42));
	mock_release(m, 42);
	ok(pf_open(m->fs, "big", how, 0, f));
	return m;
}

static void read_all(uint64_t flags, uint64_t known, uint64_t size)
{
	unsigned char *buf = malloc(BIG);
	struct pf_file *f;
	struct mock *m = start_big(flags, known, O_RDONLY, &f);

	mock_any_times(mock_fn_set(mock_expect(m, FUSE_READ, 42, NULL), read_pattern, &size));
	assert_int_equal(pf_pread(f, buf, BIG - 1, 1), (size < BIG ? size : BIG) - 1);
	for (uint64_t i = 1; i < size && i < BIG; i++)
		if (buf[i - 1] != pattern(i))
			fail_msg("byte %" PRIu64 " is wrong", i);
	ok(pf_close(f));
	mock_end(m);
	free(buf);
}

static void reads_of_many_pieces(void **state)
{
	read_all(FUSE_ASYNC_READ, BIG, BIG);
	read_all(0, BIG, BIG);
}

/* The server's file is shorter than was known: what is contiguous counts. */
static void reads_end_at_the_first_short_piece(void **state)
{
	read_all(FUSE_ASYNC_READ, BIG, 10 * PIECE + 17);
	read_all(0, BIG, 10 * PIECE + 17);
}

static void many_small_vectors_are_one_request(void **state)
{
	struct iovec iov[100];
	unsigned char bytes[300];
	uint64_t size = 300;
	struct pf_file *f;
	struct mock *m = start_big(0, size, O_RDWR, &f);

	for (int i = 0; i < 100; i++)
		iov[i] = (struct iovec){bytes + 3 * i, 3};
	mock_fn_set(mock_expect(m, FUSE_READ, 42, NULL), read_pattern, &size);
	assert_int_equal(pf_preadv(f, iov, 100, 0), 300);
	for (int i = 0; i < 300; i++)
		assert_int_equal(bytes[i], pattern(i));
	mock_write(m, 42, 0, 300, 300);
	assert_int_equal(pf_pwritev(f, iov, 100, 0), 300);
	ok(pf_close(f));
	mock_end(m);
}

/* Takes what is written, but only up to the offset in ctx. */
static void write_limited(struct mock_req *req, void *ctx)
{
	const struct fuse_write_in *in = req->arg;
	uint64_t limit = *(uint64_t *)ctx;
	struct fuse_write_out out = {.size = in->size};

	for (size_t i = 0; i < req->data_len; i++)
		if (((const unsigned char *)req->data)[i] != pattern(in->offset + i))
			mock_fail(req->m, "byte %zu of the write at %" PRIu64 " is wrong", i,
				  in->offset);
	if (in->offset >= limit) {
		mock_answer_error(req, ENOSPC);
		return;
	}
	if (in->offset + in->size > limit)
		out.size = (uint32_t)(limit - in->offset);
	mock_answer(req, &out, sizeof out);
}

static void write_all(uint64_t flags, uint64_t known, uint64_t limit)
{
	unsigned char *buf = malloc(BIG);
	struct pf_file *f;
	struct mock *m = start_big(flags, known, O_WRONLY, &f);

	for (uint64_t i = 0; i < BIG; i++)
		buf[i] = pattern(i);
	mock_any_times(mock_fn_set(mock_expect(m, FUSE_WRITE, 42, NULL), write_limited, &limit));
	assert_int_equal(pf_pwrite(f, buf, BIG, 0), limit < BIG ? limit : BIG);
	ok(pf_close(f));
	mock_end(m);
	free(buf);
}

static void writes_of_many_pieces(void **state)
{
	write_all(FUSE_ASYNC_DIO, BIG, BIG);
	write_all(FUSE_ASYNC_DIO, 0, BIG);
	write_all(0, BIG, BIG);
}

static void writes_end_where_the_disk_is_full(void **state)
{
	write_all(FUSE_ASYNC_DIO, BIG, 10 * PIECE + 17);
	write_all(FUSE_ASYNC_DIO, BIG, 16 * PIECE);
	write_all(0, BIG, 16 * PIECE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(info_tells_what_was_negotiated),
	    cmocka_unit_test(files_outlive_the_file_system),
	    cmocka_unit_test(views_outlive_the_file_system),
	    cmocka_unit_test(callers_must_be_described),
	    cmocka_unit_test(strangers_are_refused),
	    cmocka_unit_test(reads_of_many_pieces),
	    cmocka_unit_test(reads_end_at_the_first_short_piece),
	    cmocka_unit_test(many_small_vectors_are_one_request),
	    cmocka_unit_test(writes_of_many_pieces),
	    cmocka_unit_test(writes_end_where_the_disk_is_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
