// SPDX-License-Identifier: BSD-2-Clause
/* Reading and writing, every one a request: offsets, sizes, flags, short answers; open files and
 * their handles; FLUSH and RELEASE. */
#include "tests/behave/behave.h"

#define REG (S_IFREG | 0644)

static struct mock *start_open(const struct mock_options *o, uint64_t size, int flags,
			       uint32_t open_flags, struct pf_file **f)
{
	struct mock *m = mock_start(o);

	mock_lookup(m, 1, "foo", 42, REG, size, MOCK_FOREVER);
	mock_open(m, 42, open_flags);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", flags, 0, f));
	return m;
}

static void finish(struct mock *m, struct pf_file *f)
{
	ok(pf_close(f));
	mock_end(m);
}

/* ---- reads */

static void read_nothing(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 10, O_RDONLY, FOPEN_DIRECT_IO, &f);
	char c;

	assert_int_equal(pf_pread(f, &c, 0, 0), 0);
	assert_int_equal(mock_count(m, FUSE_READ), 0);
	finish(m, f);
}

static bool is_pread(const struct mock_req *req, void *ctx)
{
	const struct fuse_read_in *in = req->arg;

	return in->fh == MOCK_FH && in->offset == 100 && in->size == 8 &&
	       (in->flags & O_ACCMODE) == O_RDONLY && in->read_flags & FUSE_READ_LOCKOWNER &&
	       in->lock_owner;
}

static void direct_pread(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 200, O_RDONLY, FOPEN_DIRECT_IO, &f);
	char buf[9] = "";

	mock_times(mock_match(mock_body(mock_expect(m, FUSE_READ, 42, NULL), "abcdefgh", 8),
			      is_pread, NULL),
		   2);
	assert_int_equal(pf_pread(f, buf, 8, 100), 8);
	assert_int_equal(pf_pread(f, buf, 8, 100), 8);
	assert_string_equal(buf, "abcdefgh");
	finish(m, f);
}

static void direct_short_read(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 16, O_RDONLY, FOPEN_DIRECT_IO, &f);
	char buf[16];

	mock_read(m, 42, 0, 16, "abcdefgh", 8);
	assert_int_equal(pf_pread(f, buf, 16, 0), 8);
	finish(m, f);
}

static void direct_read_beyond_known_size(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, O_RDONLY, FOPEN_DIRECT_IO, &f);
	char buf[16];

	mock_read(m, 42, 0, 16, "abcdefgh", 8);
	assert_int_equal(pf_pread(f, buf, 16, 0), 8);
	finish(m, f);
}

/* Without DIRECT_IO a short read means that the file ends there, whatever was known of its size. */
static void short_read_is_the_end(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 116, O_RDONLY, 0, &f);
	struct stat st;
	char buf[16], data[112] = {0};

	mock_read(m, 42, 0, 116, data, sizeof(data));
	assert_int_equal(pf_pread(f, buf, 16, 100), 12);
	mock_getattr(m, 42, REG, 112, MOCK_FOREVER);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 112);
	assert_int_equal(pf_pread(f, buf, 16, 112), 0); /* known: nothing is asked */
	finish(m, f);
}

static void read_position(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 16, O_RDONLY, FOPEN_DIRECT_IO, &f);
	char buf[16];

	mock_read(m, 42, 0, 4, "abcd", 4);
	mock_read(m, 42, 4, 4, "efgh", 4);
	mock_read(m, 42, 10, 4, "kl", 2);
	mock_read(m, 42, 12, 4, "", 0);
	assert_int_equal(pf_read(f, buf, 4), 4);
	assert_int_equal(pf_read(f, buf, 4), 4);
	assert_int_equal(pf_lseek(f, 2, SEEK_CUR), 10);
	assert_int_equal(pf_read(f, buf, 4), 2);
	assert_int_equal(pf_read(f, buf, 4), 0);
	finish(m, f);
}

static void read_errors(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 16, O_RDONLY, 0, &f);
	char buf[16];

	mock_error(mock_expect(m, FUSE_READ, 42, NULL), EIO);
	fails(pf_pread(f, buf, 16, 0), EIO);
	fails(pf_pwrite(f, buf, 16, 0), EBADF);
	fails(pf_pread(f, buf, 16, -1), EINVAL);
	finish(m, f);
}

static void read_too_much(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 100, O_RDONLY, FOPEN_DIRECT_IO, &f);
	char buf[64] = {0}, data[64];

	memset(data, 'x', sizeof(data));
	mock_body(mock_expect(m, FUSE_READ, 42, NULL), data, 64);
	fails(pf_pread(f, buf, 16, 0), EIO);
	/* Nothing was written behind the buffer. */
	assert_int_equal(buf[16], 0);
	finish(m, f);
}

static void read_vectors(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 100, O_RDONLY, FOPEN_DIRECT_IO, &f);
	char a[3], b[5], data[] = "abcdefgh";
	struct iovec iov[] = {{a, 3}, {NULL, 0}, {b, 5}};

	mock_read(m, 42, 7, 8, data, 8);
	assert_int_equal(pf_preadv(f, iov, 3, 7), 8);
	assert_memory_equal(a, "abc", 3);
	assert_memory_equal(b, "defgh", 5);
	finish(m, f);
}

static char *pattern(size_t len)
{
	char *p = malloc(len);

	for (size_t i = 0; i < len; i++)
		p[i] = (i * 31 + i / 251) & 0xff;
	return p;
}

static void serve_pattern(struct mock_req *req, void *ctx)
{
	const struct fuse_read_in *in = req->arg;
	size_t len = *(size_t *)ctx, n = 0;
	char *p = pattern(len);

	if (in->offset < len)
		n = len - in->offset < in->size ? len - in->offset : in->size;
	mock_answer(req, p + (n ? in->offset : 0), n);
	free(p);
}

/* A read larger than one request: all pieces arrive where they belong. */
static void read_split(void **state)
{
	struct mock_options o = {.flags = FUSE_MAX_PAGES | FUSE_ASYNC_READ,
				 .init = {.max_pages = 4}};
	struct pf_file *f;
	size_t len = 100000;
	struct mock *m = start_open(&o, len, O_RDONLY, FOPEN_DIRECT_IO, &f);
	char *want = pattern(len), *got = malloc(len + 4096);

	mock_fn_set(mock_any_times(mock_expect(m, FUSE_READ, 42, NULL)), serve_pattern, &len);
	assert_int_equal(pf_pread(f, got, len + 4096, 0), len);
	assert_memory_equal(got, want, len);
	assert_true(mock_count(m, FUSE_READ) >= len / 16384);
	free(want);
	free(got);
	finish(m, f);
}

static void max_read_option(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct pf_file *f;
	struct mock *m;
	char buf[8192];

	o.pf.mount_options = "max_read=4096";
	m = start_open(&o, 8192, O_RDONLY, FOPEN_DIRECT_IO, &f);
	memset(buf, 1, sizeof(buf));
	mock_read(m, 42, 0, 4096, buf, 4096);
	mock_read(m, 42, 4096, 4096, buf, 4096);
	assert_int_equal(pf_pread(f, buf, 8192, 0), 8192);
	finish(m, f);
}

/* ---- writes */

static bool is_pwrite(const struct mock_req *req, void *ctx)
{
	const struct fuse_write_in *in = req->arg;

	return in->fh == MOCK_FH && in->offset == 100 && in->size == 8 &&
	       req->h.pid == (uint32_t)getpid() && !(in->write_flags & FUSE_WRITE_CACHE) &&
	       (in->flags & O_ACCMODE) == O_WRONLY && !memcmp(req->data, "abcdefgh", 8);
}

static void direct_pwrite(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, O_WRONLY, FOPEN_DIRECT_IO, &f);
	struct fuse_write_out out = {.size = 8};

	mock_match(mock_body(mock_expect(m, FUSE_WRITE, 42, NULL), &out, sizeof(out)), is_pwrite,
		   NULL);
	assert_int_equal(pf_pwrite(f, "abcdefgh", 8, 100), 8);
	finish(m, f);
}

static void write_nothing(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, O_WRONLY, 0, &f);

	assert_int_equal(pf_pwrite(f, "", 0, 0), 0);
	finish(m, f);
}

static void append(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 4096, O_WRONLY | O_APPEND, FOPEN_DIRECT_IO, &f);

	mock_any_times(mock_getattr(m, 42, REG, 4096, MOCK_FOREVER));
	mock_write(m, 42, 4096, 9, 9);
	assert_int_equal(pf_write(f, "123456789", 9), 9);
	finish(m, f);
}

/* Where the size is not known for sure an append asks first: after a short read, and after a write
 * that failed. After our own writes it need not. */
static void append_knows_the_size(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 100, O_RDWR | O_APPEND, 0, &f);
	char buf[16], data[50] = {0};

	mock_write(m, 42, 100, 4, 4);
	assert_int_equal(pf_write(f, "1234", 4), 4);
	mock_write(m, 42, 104, 4, 4);
	assert_int_equal(pf_write(f, "5678", 4), 4);
	mock_read(m, 42, 0, 108, data, sizeof(data));
	assert_int_equal(pf_pread(f, buf, 16, 40), 10);
	mock_getattr(m, 42, REG, 50, MOCK_FOREVER);
	mock_error(mock_expect(m, FUSE_WRITE, 42, NULL), EIO);
	fails(pf_write(f, "1234", 4), EIO);
	mock_getattr(m, 42, REG, 52, MOCK_FOREVER);
	mock_write(m, 42, 52, 4, 4);
	assert_int_equal(pf_write(f, "1234", 4), 4);
	finish(m, f);
}

static void short_write_iov(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, O_WRONLY, FOPEN_DIRECT_IO, &f);
	char one[] = "12345678", two[] = "abcdefgh";
	struct iovec iov[] = {{one, 8}, {two, 8}};

	mock_write(m, 42, 0, 16, 7);
	assert_int_equal(pf_pwritev(f, iov, 2, 0), 7);
	finish(m, f);
}

static void long_write(void **state)
{
	struct pf_file *f;
	struct stat st;
	struct mock *m = start_open(NULL, 0, O_WRONLY, FOPEN_DIRECT_IO, &f);

	mock_write(m, 42, 0, 16, 100);
	fails(pf_pwrite(f, "0123456789abcdef", 16, 0), EIO);
	/* What was written nobody knows: the size is asked for. */
	mock_getattr(m, 42, REG, 16, MOCK_FOREVER);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 16);
	mock_write(m, 42, 0, 16, 3u << 30);
	fails(pf_pwrite(f, "0123456789abcdef", 16, 0), EIO);
	mock_getattr(m, 42, REG, 17, MOCK_FOREVER);
	ok(pf_fstat(f, &st));
	mock_error(mock_expect(m, FUSE_WRITE, 42, NULL), ENOSPC);
	fails(pf_pwrite(f, "0123456789abcdef", 16, 0), ENOSPC);
	mock_getattr(m, 42, REG, 18, MOCK_FOREVER);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 18);
	finish(m, f);
}

static void max_write(void **state)
{
	struct mock_options o = {.init = {.max_write = 32768}};
	struct pf_file *f;
	struct mock *m = start_open(&o, 0, O_WRONLY, FOPEN_DIRECT_IO, &f);
	char *p = pattern(65536);

	mock_write(m, 42, 0, 32768, 32768);
	mock_write(m, 42, 32768, 32768, 32768);
	assert_int_equal(pf_pwrite(f, p, 65536, 0), 65536);
	free(p);
	finish(m, f);
}

static void write_7_8(void **state)
{
	struct mock_options o = {.minor = 8};
	struct pf_file *f;
	struct mock *m = start_open(&o, 0, O_WRONLY, 0, &f);

	mock_write(m, 42, 0, 8, 8);
	assert_int_equal(pf_pwrite(f, "12345678", 8, 0), 8);
	finish(m, f);
}

/* After a write size, mtime and ctime are not stale. */
static void write_changes_attributes(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, O_WRONLY, 0, &f);
	struct stat st;

	mock_write(m, 42, 0, 8, 8);
	assert_int_equal(pf_pwrite(f, "12345678", 8, 0), 8);
	mock_getattr(m, 42, REG, 8, MOCK_FOREVER);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 8);
	finish(m, f);
}

static void write_limits(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, O_WRONLY, 0, &f);

	fails(pf_pwrite(f, "x", 1, -1), EINVAL);
	fails(pf_pwrite(f, "x", 1, INT64_MAX), EFBIG);
	assert_int_equal(mock_count(m, FUSE_WRITE), 0);
	finish(m, f);
}

/* ---- open files */

static bool through(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_write_in *)req->arg)->fh == *(uint64_t *)ctx;
}

static struct mock_expect *open_as(struct mock *m, uint64_t fh, uint32_t open_flags)
{
	struct fuse_open_out o = {.fh = fh, .open_flags = open_flags};

	return mock_body(mock_expect(m, FUSE_OPEN, 42, NULL), &o, sizeof(o));
}

static void independent_handles(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_write_out out = {.size = 2};
	uint64_t one = 11, two = 12;
	struct pf_file *f, *g;

	mock_lookup(m, 1, "foo", 42, REG, 4096, MOCK_FOREVER);
	mock_any_times(mock_getattr(m, 42, REG, 4096, MOCK_FOREVER));
	open_as(m, one, FOPEN_DIRECT_IO);
	open_as(m, two, FOPEN_DIRECT_IO);
	ok(pf_open(m->fs, "foo", O_WRONLY | O_APPEND, 0, &f));
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &g));
	mock_match(mock_body(mock_expect(m, FUSE_WRITE, 42, NULL), &out, sizeof(out)), through,
		   &two);
	assert_int_equal(pf_pwrite(g, "ab", 2, 0), 2);
	mock_match(mock_body(mock_expect(m, FUSE_WRITE, 42, NULL), &out, sizeof(out)), through,
		   &one);
	assert_int_equal(pf_write(f, "ab", 2), 2);
	assert_int_equal(pf_lseek(f, 0, SEEK_CUR), 4098);
	mock_match(mock_expect(m, FUSE_FSYNC, 42, NULL), through, &one);
	ok(pf_fsync(f, 0));
	mock_times(mock_flush(m, 42), 2);
	mock_times(mock_release(m, 42), 2);
	ok(pf_close(f));
	ok(pf_close(g));
	mock_end(m);
}

static bool releases_with(const struct mock_req *req, void *ctx)
{
	return (((const struct fuse_release_in *)req->arg)->flags & ~0100000u) == *(uint32_t *)ctx;
}

static bool flushes_owner(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_flush_in *)req->arg)->lock_owner != 0;
}

static void dup_flushes_each_releases_once(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_file *f, *g;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_times(mock_match(mock_flush(m, 42), flushes_owner, NULL), 2);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	ok(pf_dup(f, &g));
	ok(pf_close(f));
	mock_settle(m);
	assert_int_equal(mock_count(m, FUSE_RELEASE), 0);
	mock_release(m, 42);
	ok(pf_close(g));
	mock_end(m);
}

/* Each open has a FLUSH and a RELEASE of its own, with its own flags. */
static void two_opens(void **state)
{
	uint32_t reads = O_RDONLY, writes = O_WRONLY;
	struct mock *m = mock_start(NULL);
	struct pf_file *f, *g;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_times(mock_open(m, 42, 0), 2);
	mock_times(mock_flush(m, 42), 2);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	ok(pf_open(m->fs, "foo", O_WRONLY, 0, &g));
	mock_match(mock_release(m, 42), releases_with, &writes);
	ok(pf_close(g));
	mock_settle(m);
	mock_match(mock_release(m, 42), releases_with, &reads);
	ok(pf_close(f));
	mock_end(m);
}

static void flush_error_is_closes(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_file *f;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_error(mock_flush(m, 42), ENOSPC);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	fails(pf_close(f), ENOSPC);
	mock_end(m);
}

static void flush_enosys(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_file *f;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_times(mock_open(m, 42, 0), 2);
	mock_error(mock_flush(m, 42), ENOSYS);
	mock_times(mock_release(m, 42), 2);
	for (int i = 0; i < 2; i++) {
		ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
		ok(pf_close(f));
	}
	mock_end(m);
}

static void noflush(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_file *f;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_open(m, 42, FOPEN_NOFLUSH);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	ok(pf_close(f));
	mock_end(m);
}

static void close_never_syncs(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, O_RDWR, 0, &f);

	mock_write(m, 42, 0, 1, 1);
	assert_int_equal(pf_pwrite(f, "x", 1, 0), 1);
	ok(pf_close(f));
	mock_settle(m);
	assert_int_equal(mock_count(m, FUSE_FSYNC), 0);
	mock_end(m);
}

static void release_is_not_waited_for(void **state)
{
	struct mock *m = mock_start(NULL);
	struct mock_expect *release;
	struct pf_file *f;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_flush(m, 42);
	release = mock_hold(mock_release(m, 42));
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	ok(pf_close(f));
	mock_answer(mock_wait(release), NULL, 0);
	mock_end(m);
}

static bool writes_with(const struct mock_req *req, void *ctx)
{
	return (((const struct fuse_write_in *)req->arg)->flags & ~0100000u) == *(uint32_t *)ctx;
}

static void status_flags_follow(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_write_out out = {.size = 1};
	uint32_t flags = O_WRONLY | O_APPEND | O_NONBLOCK;
	struct pf_file *f;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_any_times(mock_getattr(m, 42, REG, 10, MOCK_FOREVER));
	mock_open(m, 42, FOPEN_DIRECT_IO);
	mock_flush(m, 42);
	ok(pf_open(m->fs, "foo", O_WRONLY, 0, &f));
	ok(pf_setfl(f, O_APPEND | O_NONBLOCK));
	assert_int_equal(pf_getfl(f) & (O_ACCMODE | O_APPEND | O_NONBLOCK), flags);
	mock_match(mock_body(mock_expect(m, FUSE_WRITE, 42, NULL), &out, sizeof(out)), writes_with,
		   &flags);
	mock_match(mock_release(m, 42), releases_with, &flags);
	assert_int_equal(pf_write(f, "x", 1), 1);
	ok(pf_close(f));
	mock_end(m);
}

/* ---- streams */

static void stream_offsets(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, O_RDWR, FOPEN_STREAM | FOPEN_DIRECT_IO, &f);
	char c;

	mock_times(mock_read(m, 42, 0, 1, "a", 1), 2);
	mock_times(mock_write(m, 42, 0, 1, 1), 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pf_read(f, &c, 1), 1);
		assert_int_equal(pf_write(f, "a", 1), 1);
	}
	fails(pf_lseek(f, 0, SEEK_SET), ESPIPE);
	fails(pf_pread(f, &c, 1, 0), ESPIPE);
	fails(pf_pwrite(f, &c, 1, 0), ESPIPE);
	finish(m, f);
}

static void stream_short_write(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, O_RDWR, FOPEN_STREAM | FOPEN_DIRECT_IO, &f);

	mock_write(m, 42, 0, 2, 1);
	mock_write(m, 42, 0, 1, 1);
	assert_int_equal(pf_write(f, "ab", 2), 1);
	assert_int_equal(pf_write(f, "b", 1), 1);
	finish(m, f);
}

static void nonseekable_keeps_offsets(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, O_RDWR, FOPEN_NONSEEKABLE | FOPEN_DIRECT_IO, &f);
	char c;

	mock_read(m, 42, 0, 1, "a", 1);
	mock_read(m, 42, 1, 1, "b", 1);
	assert_int_equal(pf_read(f, &c, 1), 1);
	assert_int_equal(pf_read(f, &c, 1), 1);
	fails(pf_lseek(f, 0, SEEK_SET), ESPIPE);
	finish(m, f);
}

struct reader {
	struct pf_file *f;
	pthread_t thread;
	ssize_t result;
	char c;
};

static void *reads(void *arg)
{
	struct reader *r = arg;

	r->result = pf_read(r->f, &r->c, 1);
	return NULL;
}

static void stream_write_while_read_waits(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, O_RDWR, FOPEN_STREAM | FOPEN_DIRECT_IO, &f);
	struct mock_expect *read = mock_hold(mock_expect(m, FUSE_READ, 42, NULL));
	struct reader r = {.f = f};
	struct mock_req *req;

	assert_int_equal(pthread_create(&r.thread, NULL, reads, &r), 0);
	req = mock_wait(read);
	mock_write(m, 42, 0, 1, 1);
	assert_int_equal(pf_write(f, "a", 1), 1);
	mock_answer(req, "z", 1);
	pthread_join(r.thread, NULL);
	assert_int_equal(r.result, 1);
	assert_int_equal(r.c, 'z');
	finish(m, f);
}

static void abort_wakes_a_read(void **state)
{
	struct mock *m = mock_start(NULL);
	struct mock_expect *read;
	struct reader r = {0};

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_open(m, 42, FOPEN_STREAM | FOPEN_DIRECT_IO);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &r.f));
	read = mock_hold(mock_expect(m, FUSE_READ, 42, NULL));
	assert_int_equal(pthread_create(&r.thread, NULL, reads, &r), 0);
	mock_wait(read);
	pf_abort(m->fs);
	pthread_join(r.thread, NULL);
	assert_true(r.result == -ECONNABORTED || r.result == -ENOTCONN);
	pf_close(r.f);
	mock_end(m);
}

/* The server dies under open files: calls fail, close does not crash. */
static void death_then_close(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_file *f;
	char c;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_open(m, 42, 0);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	mock_hang_up(m);
	fails(pf_pread(f, &c, 1, 0), ENOTCONN);
	pf_close(f);
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(read_nothing),
	    cmocka_unit_test(direct_pread),
	    cmocka_unit_test(direct_short_read),
	    cmocka_unit_test(short_read_is_the_end),
	    cmocka_unit_test(direct_read_beyond_known_size),
	    cmocka_unit_test(read_position),
	    cmocka_unit_test(read_errors),
	    cmocka_unit_test(read_too_much),
	    cmocka_unit_test(read_vectors),
	    cmocka_unit_test(read_split),
	    cmocka_unit_test(max_read_option),
	    cmocka_unit_test(direct_pwrite),
	    cmocka_unit_test(write_nothing),
	    cmocka_unit_test(append),
	    cmocka_unit_test(append_knows_the_size),
	    cmocka_unit_test(short_write_iov),
	    cmocka_unit_test(long_write),
	    cmocka_unit_test(max_write),
	    cmocka_unit_test(write_7_8),
	    cmocka_unit_test(write_changes_attributes),
	    cmocka_unit_test(write_limits),
	    cmocka_unit_test(independent_handles),
	    cmocka_unit_test(dup_flushes_each_releases_once),
	    cmocka_unit_test(two_opens),
	    cmocka_unit_test(flush_error_is_closes),
	    cmocka_unit_test(flush_enosys),
	    cmocka_unit_test(noflush),
	    cmocka_unit_test(close_never_syncs),
	    cmocka_unit_test(release_is_not_waited_for),
	    cmocka_unit_test(status_flags_follow),
	    cmocka_unit_test(stream_offsets),
	    cmocka_unit_test(stream_short_write),
	    cmocka_unit_test(nonseekable_keeps_offsets),
	    cmocka_unit_test(stream_write_while_read_waits),
	    cmocka_unit_test(abort_wakes_a_read),
	    cmocka_unit_test(death_then_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
