// SPDX-License-Identifier: BSD-2-Clause
/* STATFS, LSEEK, FALLOCATE, COPY_FILE_RANGE, FSYNC, IOCTL, POLL. */
#include "tests/behave/behave.h"

#include <linux/falloc.h>
#include <poll.h>
#include <sys/ioctl.h>

#define REG (S_IFREG | 0644)

static struct mock *start_open(const struct mock_options *o, uint64_t size, struct pf_file **f)
{
	struct mock *m = mock_start(o);

	mock_lookup(m, 1, "foo", 42, REG, size, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, f));
	return m;
}

static void finish(struct mock *m, struct pf_file *f)
{
	ok(pf_close(f));
	mock_end(m);
}

/* ---- STATFS */

static void statfs_fields(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_statfs_out out = {.st = {.blocks = 1000,
					     .bfree = 100,
					     .bavail = 200,
					     .files = 5,
					     .ffree = 6,
					     .bsize = 4096,
					     .namelen = 128,
					     .frsize = 1024}};
	struct statvfs st;

	mock_body(mock_expect(m, FUSE_STATFS, 1, NULL), &out, sizeof(out));
	ok(pf_statvfs(m->fs, "/", &st));
	assert_int_equal(st.f_blocks, 1000);
	assert_int_equal(st.f_bfree, 100);
	assert_int_equal(st.f_bavail, 200);
	assert_int_equal(st.f_files, 5);
	assert_int_equal(st.f_ffree, 6);
	assert_int_equal(st.f_namemax, 128);
	assert_int_equal(st.f_frsize, 1024);
	assert_int_equal(st.f_bsize, 4096);
	mock_error(mock_expect(m, FUSE_STATFS, 1, NULL), EIO);
	fails(pf_statvfs(m->fs, "/", &st), EIO);
	mock_end(m);
}

struct call {
	struct mock *m;
	struct pf_file *f;
	pthread_t thread;
	ssize_t result;
};

static void *do_statvfs(void *arg)
{
	struct call *c = arg;
	struct statvfs st;

	c->result = pf_statvfs(c->m->fs, "/", &st);
	return NULL;
}

static void statfs_death(void **state)
{
	struct mock *m = mock_start(NULL);
	struct mock_expect *e = mock_hold(mock_expect(m, FUSE_STATFS, 1, NULL));
	struct call c = {.m = m};

	assert_int_equal(pthread_create(&c.thread, NULL, do_statvfs, &c), 0);
	mock_wait(e);
	mock_hang_up(m);
	pthread_join(c.thread, NULL);
	assert_int_equal(c.result, -ENOTCONN);
	mock_end(m);
}

/* ---- LSEEK */

static bool seeks(const struct mock_req *req, void *ctx)
{
	const struct fuse_lseek_in *in = req->arg;

	return in->fh == MOCK_FH && in->offset == 1 << 28 && in->whence == *(uint32_t *)ctx;
}

static void seek_with(int whence)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 1ll << 30, &f);
	struct fuse_lseek_out out = {.offset = 1 << 29};
	uint32_t w = whence;

	mock_match(mock_body(mock_expect(m, FUSE_LSEEK, 42, NULL), &out, sizeof(out)), seeks, &w);
	assert_int_equal(pf_lseek(f, 1 << 28, whence), 1 << 29);
	assert_int_equal(pf_lseek(f, 0, SEEK_CUR), 1 << 29);
	mock_error(mock_expect(m, FUSE_LSEEK, 42, NULL), ENXIO);
	fails(pf_lseek(f, 1 << 28, whence), ENXIO);
	finish(m, f);
}

static void seek_data(void **state)
{
	seek_with(SEEK_DATA);
}

static void seek_hole(void **state)
{
	seek_with(SEEK_HOLE);
}

static void seek_enosys(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 1000, &f);

	mock_error(mock_expect(m, FUSE_LSEEK, 42, NULL), ENOSYS);
	assert_int_equal(pf_lseek(f, 500, SEEK_DATA), 500);
	assert_int_equal(pf_lseek(f, 500, SEEK_HOLE), 1000);
	fails(pf_lseek(f, -1, SEEK_DATA), ENXIO);
	fails(pf_lseek(f, 1000, SEEK_DATA), ENXIO);
	fails(pf_lseek(f, -1, SEEK_HOLE), ENXIO);
	fails(pf_lseek(f, 1000, SEEK_HOLE), ENXIO);
	finish(m, f);
}

static void seek_malformed(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 1000, &f);
	struct fuse_lseek_out out = {.offset = UINT64_MAX};

	mock_body(mock_expect(m, FUSE_LSEEK, 42, NULL), &out, sizeof(out));
	fails(pf_lseek(f, 500, SEEK_DATA), EINVAL);
	finish(m, f);
}

static void seek_end_is_fresh(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out e = mock_entry(42, REG, 10, MOCK_FOREVER, 0);
	struct pf_file *f;

	mock_lookup_entry(m, 1, "foo", &e);
	mock_open(m, 42, 0);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	mock_getattr(m, 42, REG, 20, 0);
	assert_int_equal(pf_lseek(f, -1, SEEK_END), 19);
	fails(pf_lseek(f, -1, SEEK_SET), EINVAL);
	fails(pf_lseek(f, 0, 77), EINVAL);
	finish(m, f);
}

/* ---- FALLOCATE */

static void fallocate_ok(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, &f);
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(42, REG, 1000)};
	struct stat st;

	mock_expect(m, FUSE_FALLOCATE, 42, NULL);
	ok(pf_fallocate(f, 0, 0, 1000));
	a.attr.mtime = a.attr.ctime = 9;
	mock_body(mock_expect(m, FUSE_GETATTR, 42, NULL), &a, sizeof(a));
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 1000);
	assert_int_equal(st.st_mtim.tv_sec, 9);
	assert_int_equal(st.st_ctim.tv_sec, 9);
	finish(m, f);
}

static bool punches(const struct mock_req *req, void *ctx)
{
	const struct fuse_fallocate_in *in = req->arg;

	return in->fh == MOCK_FH && in->offset == 500 && in->length == 1000 &&
	       in->mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

/* A hole that reaches beyond the end is not cut at it, and leaves the size. */
static void fallocate_spans_the_end(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 1000, &f);
	struct stat st;

	mock_match(mock_expect(m, FUSE_FALLOCATE, 42, NULL), punches, NULL);
	ok(pf_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 500, 1000));
	mock_any_times(mock_getattr(m, 42, REG, 1000, MOCK_FOREVER));
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 1000);
	finish(m, f);
}

/* EIO is no ENOSYS: the next call asks again. */
static void fallocate_eio_is_not_remembered(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, &f);

	mock_error(mock_expect(m, FUSE_FALLOCATE, 42, NULL), EIO);
	fails(pf_fallocate(f, 0, 0, 1000), EIO);
	mock_expect(m, FUSE_FALLOCATE, 42, NULL);
	ok(pf_fallocate(f, 0, 0, 1000));
	finish(m, f);
}

static void fallocate_errors(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, &f);

	mock_error(mock_expect(m, FUSE_FALLOCATE, 42, NULL), EIO);
	fails(pf_fallocate(f, 0, 0, 1000), EIO);
	fails(pf_fallocate(f, 0, -1, 1000), EINVAL);
	fails(pf_fallocate(f, 0, 0, 0), EINVAL);
	fails(pf_fallocate(f, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
	fails(pf_fallocate(f, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), EOPNOTSUPP);
	fails(pf_fallocate(f, 0, INT64_MAX, 10), EFBIG);
	mock_error(mock_expect(m, FUSE_FALLOCATE, 42, NULL), ENOSYS);
	fails(pf_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 500), EOPNOTSUPP);
	fails(pf_fallocate(f, 0, 0, 1000), EOPNOTSUPP);
	finish(m, f);
}

/* ---- COPY_FILE_RANGE */

static bool copies(const struct mock_req *req, void *ctx)
{
	const struct fuse_copy_file_range_in *in = req->arg;

	return in->fh_in == MOCK_FH && in->fh_out == 12 && in->nodeid_out == 43 &&
	       in->off_in == 256 << 10 && in->off_out == 65536 && in->len == 65536;
}

/* Where we read and write ourselves the requests are the caller's own. */
static struct mock *start_two(const struct mock_options *o, struct pf_file **f, struct pf_file **g)
{
	struct mock *m = mock_start(o);
	struct fuse_open_out out = {.fh = 12, .open_flags = FOPEN_DIRECT_IO};

	mock_lookup(m, 1, "a", 42, REG, 1 << 20, MOCK_FOREVER);
	mock_lookup(m, 1, "b", 43, REG, 65536, MOCK_FOREVER);
	mock_open(m, 42, FOPEN_DIRECT_IO);
	mock_body(mock_expect(m, FUSE_OPEN, 43, NULL), &out, sizeof(out));
	mock_times(mock_flush(m, MOCK_ANY), 2);
	mock_times(mock_release(m, MOCK_ANY), 2);
	ok(pf_open(m->fs, "a", O_RDWR, 0, f));
	ok(pf_open(m->fs, "b", O_RDWR, 0, g));
	return m;
}

static void copy_ok(void **state)
{
	struct fuse_attr_out after = {.attr_valid = MOCK_FOREVER,
				      .attr = mock_attr(43, REG, 131072)};
	struct fuse_copy_file_range_out out = {.bytes_copied = 65536};
	off_t in_off = 256 << 10, out_off = 65536;
	struct pf_file *f, *g;
	struct mock *m = start_two(NULL, &f, &g);
	struct stat st;

	mock_match(mock_body(mock_expect(m, FUSE_COPY_FILE_RANGE_64, 42, NULL), &out, sizeof(out)),
		   copies, NULL);
	assert_int_equal(pf_copy_file_range(f, &in_off, g, &out_off, 65536, 0), 65536);
	assert_int_equal(in_off, (256 << 10) + 65536);
	assert_int_equal(out_off, 131072);
	/* The destination's times are not what they were; the source's mtime and ctime are. */
	after.attr.mtime = after.attr.ctime = 9;
	mock_body(mock_expect(m, FUSE_GETATTR, 43, NULL), &after, sizeof(after));
	ok(pf_fstat(g, &st));
	assert_int_equal(st.st_size, 131072);
	assert_int_equal(st.st_mtim.tv_sec, 9);
	mock_any_times(mock_getattr(m, 42, REG, 1 << 20, MOCK_FOREVER));
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_mtim.tv_sec, 0);
	ok(pf_close(f));
	finish(m, g);
}

static void copy_errors(void **state)
{
	struct fuse_copy_file_range_out out = {.bytes_copied = 65537};
	off_t in_off = 256 << 10, out_off = 65536;
	struct pf_file *f, *g;
	struct mock *m = start_two(NULL, &f, &g);

	mock_error(mock_expect(m, FUSE_COPY_FILE_RANGE_64, 42, NULL), EIO);
	fails(pf_copy_file_range(f, &in_off, g, &out_off, 65536, 0), EIO);
	mock_body(mock_expect(m, FUSE_COPY_FILE_RANGE_64, 42, NULL), &out, sizeof(out));
	fails(pf_copy_file_range(f, &in_off, g, &out_off, 65536, 0), EIO);
	fails(pf_copy_file_range(f, &in_off, g, &out_off, 65536, 1), EINVAL);
	assert_int_equal(in_off, 256 << 10);
	ok(pf_close(f));
	finish(m, g);
}

static void copy_old_opcode(void **state)
{
	struct fuse_write_out out = {.size = 65536};
	off_t in_off = 256 << 10, out_off = 65536;
	struct pf_file *f, *g;
	struct mock *m = start_two(NULL, &f, &g);

	mock_error(mock_expect(m, FUSE_COPY_FILE_RANGE_64, 42, NULL), ENOSYS);
	mock_match(mock_body(mock_expect(m, FUSE_COPY_FILE_RANGE, 42, NULL), &out, sizeof(out)),
		   copies, NULL);
	assert_int_equal(pf_copy_file_range(f, &in_off, g, &out_off, 65536, 0), 65536);
	ok(pf_close(f));
	finish(m, g);
}

/* The older form may not claim more than was asked for either; without both the client reads and
 * writes. */
static void copy_old_opcode_errors(void **state)
{
	struct fuse_write_out much = {.size = 65537}, written = {.size = 5};
	off_t in_off = 256 << 10, out_off = 65536;
	struct pf_file *f, *g;
	struct mock *m = start_two(NULL, &f, &g);

	mock_error(mock_expect(m, FUSE_COPY_FILE_RANGE_64, 42, NULL), ENOSYS);
	mock_body(mock_expect(m, FUSE_COPY_FILE_RANGE, 42, NULL), &much, sizeof(much));
	fails(pf_copy_file_range(f, &in_off, g, &out_off, 65536, 0), EIO);
	mock_error(mock_expect(m, FUSE_COPY_FILE_RANGE, 42, NULL), ENOSYS);
	mock_times(mock_body(mock_expect(m, FUSE_READ, 42, NULL), "12345", 5), 2);
	mock_times(mock_body(mock_expect(m, FUSE_WRITE, 43, NULL), &written, sizeof(written)), 2);
	assert_int_equal(pf_copy_file_range(f, &in_off, g, &out_off, 5, 0), 5);
	assert_int_equal(pf_copy_file_range(f, &in_off, g, &out_off, 5, 0), 5);
	ok(pf_close(f));
	finish(m, g);
}

/* Servers before 7.28 are never asked: the client reads and writes itself. */
static void copy_7_27(void **state)
{
	struct mock_options o = {.minor = 27};
	struct fuse_write_out written = {.size = 5};
	off_t in_off = 0, out_off = 0;
	struct pf_file *f, *g;
	struct mock *m = start_two(&o, &f, &g);

	mock_body(mock_expect(m, FUSE_READ, 42, NULL), "12345", 5);
	mock_any_times(mock_body(mock_expect(m, FUSE_READ, 42, NULL), "", 0));
	mock_body(mock_expect(m, FUSE_WRITE, 43, NULL), &written, sizeof(written));
	assert_int_equal(pf_copy_file_range(f, &in_off, g, &out_off, 100, 0), 5);
	assert_int_equal(
	    mock_count(m, FUSE_COPY_FILE_RANGE) + mock_count(m, FUSE_COPY_FILE_RANGE_64), 0);
	ok(pf_close(f));
	finish(m, g);
}

/* ---- FSYNC */

static bool syncs(const struct mock_req *req, void *ctx)
{
	const struct fuse_fsync_in *in = req->arg;

	return in->fh == MOCK_FH && in->fsync_flags == *(uint32_t *)ctx;
}

static void fsync_kinds(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, &f);
	uint32_t zero = 0, one = 1;

	mock_match(mock_expect(m, FUSE_FSYNC, 42, NULL), syncs, &zero);
	ok(pf_fsync(f, 0));
	mock_match(mock_expect(m, FUSE_FSYNC, 42, NULL), syncs, &one);
	ok(pf_fsync(f, 1));
	mock_error(mock_expect(m, FUSE_FSYNC, 42, NULL), EIO);
	fails(pf_fsync(f, 0), EIO);
	mock_error(mock_expect(m, FUSE_FSYNC, 42, NULL), ENOSYS);
	ok(pf_fsync(f, 0));
	ok(pf_fsync(f, 1));
	finish(m, f);
}

/* ---- IOCTL */

struct arg {
	char bytes[16];
};
#define CMD_IN   _IOW('P', 1, struct arg)
#define CMD_OUT  _IOR('P', 2, struct arg)
#define CMD_BOTH _IOWR('P', 3, struct arg)
#define CMD_NONE _IO('P', 4)

static bool ioctl_is(const struct mock_req *req, void *ctx)
{
	const struct fuse_ioctl_in *in = req->arg, *want = ctx;

	return in->fh == MOCK_FH && in->cmd == want->cmd && in->in_size == want->in_size &&
	       in->out_size == want->out_size && in->flags == want->flags &&
	       (!want->arg || in->arg == want->arg);
}

static void ioctl_answer(struct mock *m, struct fuse_ioctl_in *want, int result, const void *data,
			 size_t len)
{
	struct fuse_ioctl_out out = {.result = result};
	char body[sizeof(out) + 64];

	memcpy(body, &out, sizeof(out));
	memcpy(body + sizeof(out), data, len);
	mock_match(mock_body(mock_expect(m, FUSE_IOCTL, 42, NULL), body, sizeof(out) + len),
		   ioctl_is, want);
}

static void ioctl_kinds(void **state)
{
	struct fuse_ioctl_in in = {.cmd = CMD_IN, .in_size = 16};
	struct fuse_ioctl_in out = {.cmd = CMD_OUT, .out_size = 16};
	struct fuse_ioctl_in both = {.cmd = CMD_BOTH, .in_size = 16, .out_size = 16};
	struct fuse_ioctl_in none = {.cmd = CMD_NONE, .arg = 0xdead};
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, &f);
	struct arg a = {"hello"};

	ioctl_answer(m, &in, 0, "", 0);
	assert_int_equal(pf_ioctl(f, CMD_IN, &a), 0);
	ioctl_answer(m, &out, 7, "0123456789abcdef", 16);
	assert_int_equal(pf_ioctl(f, CMD_OUT, &a), 7);
	assert_memory_equal(a.bytes, "0123456789abcdef", 16);
	ioctl_answer(m, &both, 0, "abc", 3);
	assert_int_equal(pf_ioctl(f, CMD_BOTH, &a), 0);
	ioctl_answer(m, &none, 0, "", 0);
	assert_int_equal(pf_ioctl(f, CMD_NONE, (void *)0xdead), 0);
	finish(m, f);
}

static void ioctl_errors(void **state)
{
	struct fuse_ioctl_out retry = {.flags = FUSE_IOCTL_RETRY, .in_iovs = 1};
	struct fuse_ioctl_in none = {.cmd = CMD_NONE};
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, &f);
	struct arg a = {""};
	char body[16 + 32] = "";

	mock_times(mock_error(mock_expect(m, FUSE_IOCTL, 42, NULL), ENOSYS), 2);
	fails(pf_ioctl(f, CMD_NONE, NULL), ENOTTY);
	fails(pf_ioctl(f, CMD_NONE, NULL), ENOTTY);
	ioctl_answer(m, &none, -ENOSYS, "", 0);
	fails(pf_ioctl(f, CMD_NONE, NULL), ENOTTY);
	ioctl_answer(m, &none, -EINVAL, "", 0);
	fails(pf_ioctl(f, CMD_NONE, NULL), EINVAL);
	mock_body(mock_expect(m, FUSE_IOCTL, 42, NULL), &retry, sizeof(retry));
	fails(pf_ioctl(f, CMD_IN, &a), EIO);
	mock_body(mock_expect(m, FUSE_IOCTL, 42, NULL), body, sizeof(body));
	fails(pf_ioctl(f, CMD_OUT, &a), EIO); /* more than out_size */
	finish(m, f);
}

static void ioctl_directory(void **state)
{
	struct fuse_ioctl_in want = {.cmd = CMD_NONE, .flags = FUSE_IOCTL_DIR, .arg = 5};
	struct mock *m = mock_start(NULL);
	struct fuse_ioctl_out out = {.result = 3};
	struct pf_file *d;

	mock_opendir(m, 1, 0);
	mock_releasedir(m, 1);
	ok(pf_open(m->fs, "/", O_RDONLY, 0, &d));
	mock_match(mock_body(mock_expect(m, FUSE_IOCTL, 1, NULL), &out, sizeof(out)), ioctl_is,
		   &want);
	assert_int_equal(pf_ioctl(d, CMD_NONE, (void *)5), 3);
	ok(pf_close(d));
	mock_end(m);
}

static void ioctl_directory_7_17(void **state)
{
	struct mock_options o = {.minor = 17};
	struct mock *m = mock_start(&o);
	struct pf_file *d;

	mock_opendir(m, 1, 0);
	mock_releasedir(m, 1);
	ok(pf_open(m->fs, "/", O_RDONLY, 0, &d));
	fails(pf_ioctl(d, CMD_NONE, NULL), ENOTTY);
	ok(pf_close(d));
	mock_end(m);
}

/* ---- POLL */

static bool polls(const struct mock_req *req, void *ctx)
{
	const struct fuse_poll_in *in = req->arg;

	return in->fh == MOCK_FH && (in->events & POLLIN) &&
	       !!(in->flags & FUSE_POLL_SCHEDULE_NOTIFY) == *(bool *)ctx;
}

static void poll_now(void **state)
{
	struct fuse_poll_out out = {.revents = POLLIN};
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, &f);
	bool no = false;

	mock_match(mock_body(mock_expect(m, FUSE_POLL, 42, NULL), &out, sizeof(out)), polls, &no);
	assert_int_equal(pf_poll(f, POLLIN, 0), POLLIN);
	mock_error(mock_expect(m, FUSE_POLL, 42, NULL), EIO);
	assert_int_equal(pf_poll(f, POLLIN, 0), POLLERR);
	finish(m, f);
}

static void poll_enosys(void **state)
{
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, &f);

	mock_error(mock_expect(m, FUSE_POLL, 42, NULL), ENOSYS);
	assert_int_equal(pf_poll(f, POLLIN | POLLOUT, -1), POLLIN | POLLOUT);
	assert_int_equal(pf_poll(f, POLLIN, 0), POLLIN);
	finish(m, f);
}

static void *do_poll(void *arg)
{
	struct call *c = arg;

	c->result = pf_poll(c->f, POLLIN, -1);
	return NULL;
}

static void poll_notified(void **state)
{
	struct fuse_poll_out none = {0}, in = {.revents = POLLIN};
	struct fuse_notify_poll_wakeup_out wake;
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, &f);
	struct mock_expect *first = mock_hold(mock_expect(m, FUSE_POLL, 42, NULL));
	struct call c = {.m = m, .f = f};
	struct mock_req *req;

	assert_int_equal(pthread_create(&c.thread, NULL, do_poll, &c), 0);
	req = mock_wait(first);
	assert_true(((const struct fuse_poll_in *)req->arg)->flags & FUSE_POLL_SCHEDULE_NOTIFY);
	wake.kh = ((const struct fuse_poll_in *)req->arg)->kh;
	mock_body(mock_expect(m, FUSE_POLL, 42, NULL), &in, sizeof(in));
	mock_answer(req, &none, sizeof(none));
	mock_notify(m, FUSE_NOTIFY_POLL, &wake, sizeof(wake));
	pthread_join(c.thread, NULL);
	assert_int_equal(c.result, POLLIN);
	finish(m, f);
}

static void poll_times_out(void **state)
{
	struct fuse_poll_out none = {0};
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, &f);

	mock_any_times(mock_body(mock_expect(m, FUSE_POLL, 42, NULL), &none, sizeof(none)));
	assert_int_equal(pf_poll(f, POLLIN, 30), 0);
	finish(m, f);
}

static void poll_abort(void **state)
{
	struct fuse_poll_out none = {0};
	struct pf_file *f;
	struct mock *m = start_open(NULL, 0, &f);
	struct mock_expect *e = mock_body(mock_expect(m, FUSE_POLL, 42, NULL), &none, sizeof(none));
	struct call c = {.m = m, .f = f};

	assert_int_equal(pthread_create(&c.thread, NULL, do_poll, &c), 0);
	mock_wait_seen(e, 1);
	pf_abort(m->fs);
	pthread_join(c.thread, NULL);
	assert_true(c.result == POLLERR || c.result < 0);
	pf_close(f);
	/* FLUSH and RELEASE could not be sent. */
	pf_stop(m->fs);
	m->fs = NULL;
	struct pf__list *l;
	pf__list_for_each (l, &m->expects)
		pf__list_entry(l, struct mock_expect, link)->min = 0;
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(statfs_fields),
	    cmocka_unit_test(statfs_death),
	    cmocka_unit_test(seek_data),
	    cmocka_unit_test(seek_hole),
	    cmocka_unit_test(seek_enosys),
	    cmocka_unit_test(seek_malformed),
	    cmocka_unit_test(seek_end_is_fresh),
	    cmocka_unit_test(fallocate_ok),
	    cmocka_unit_test(fallocate_spans_the_end),
	    cmocka_unit_test(fallocate_eio_is_not_remembered),
	    cmocka_unit_test(fallocate_errors),
	    cmocka_unit_test(copy_ok),
	    cmocka_unit_test(copy_errors),
	    cmocka_unit_test(copy_old_opcode),
	    cmocka_unit_test(copy_old_opcode_errors),
	    cmocka_unit_test(copy_7_27),
	    cmocka_unit_test(fsync_kinds),
	    cmocka_unit_test(ioctl_kinds),
	    cmocka_unit_test(ioctl_errors),
	    cmocka_unit_test(ioctl_directory),
	    cmocka_unit_test(ioctl_directory_7_17),
	    cmocka_unit_test(poll_now),
	    cmocka_unit_test(poll_enosys),
	    cmocka_unit_test(poll_notified),
	    cmocka_unit_test(poll_times_out),
	    cmocka_unit_test(poll_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
