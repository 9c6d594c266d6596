// SPDX-License-Identifier: BSD-2-Clause
/* Attributes: how long they serve, how they are asked for and changed. */
#include "tests/behave/behave.h"

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)

/* "foo" is node 42, its name is kept, its attributes are not. */
static struct mock *start_with_file(const struct mock_options *o, uint32_t mode)
{
	struct mock *m = mock_start(o);
	struct fuse_entry_out e = mock_entry(42, mode, 10, MOCK_FOREVER, 0);

	mock_lookup_entry(m, 1, "foo", &e);
	return m;
}

static void attr_cache(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct stat st;

	mock_getattr(m, 42, REG, 10, MOCK_FOREVER);
	ok(pf_access(m->fs, "foo", F_OK));
	ok(pf_stat(m->fs, "foo", &st));
	ok(pf_stat(m->fs, "foo", &st));
	mock_end(m);
}

static void attr_cache_timeout(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct fuse_attr_out a = {.attr_valid_nsec = 500 * MS, .attr = mock_attr(42, REG, 10)};
	struct stat st;

	mock_times(mock_body(mock_expect(m, FUSE_GETATTR, 42, NULL), &a, sizeof(a)), 2);
	ok(pf_access(m->fs, "foo", F_OK));
	ok(pf_stat(m->fs, "foo", &st));
	pf__clock_advance(1000 * MS);
	ok(pf_stat(m->fs, "foo", &st));
	mock_end(m);
}

static void blksize_zero(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out e = entry_attrs_only(42, REG, 10);
	struct stat st;

	e.attr.blksize = 0;
	mock_lookup_entry(m, 1, "foo", &e);
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_blksize, 4096);
	mock_end(m);
}

static void getattr_enoent(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct stat st;

	ok(pf_access(m->fs, "foo", F_OK));
	mock_error(mock_expect(m, FUSE_GETATTR, 42, NULL), ENOENT);
	fails(pf_stat(m->fs, "foo", &st), ENOENT);
	mock_wait_forgotten(m, 42, 1); /* the server does not know it any more */
	mock_end(m);
}

static bool asks_without_handle(const struct mock_req *req, void *ctx)
{
	return !((const struct fuse_getattr_in *)req->arg)->getattr_flags;
}

static void fields(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct fuse_attr_out a = {.attr_valid = 0, .attr = attr_of_note(42, REG)};
	struct stat st;

	ok(pf_access(m->fs, "foo", F_OK));
	mock_match(mock_body(mock_expect(m, FUSE_GETATTR, 42, NULL), &a, sizeof(a)),
		   asks_without_handle, NULL);
	ok(pf_stat(m->fs, "foo", &st));
	assert_stat_of_note(&st, 42, REG);
	mock_end(m);
}

static void minor_7_8(void **state)
{
	struct mock_options o = {.minor = 8};
	struct mock *m = start_with_file(&o, REG);
	struct fuse_attr_out a = {.attr_valid = 0, .attr = attr_of_note(42, REG)};
	struct stat st;

	ok(pf_access(m->fs, "foo", F_OK));
	mock_body(mock_expect(m, FUSE_GETATTR, 42, NULL), &a, sizeof(a));
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_uid, 10);
	assert_int_equal(st.st_blksize, 4096);
	mock_end(m);
}

static void type_conflict(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct stat st;

	ok(pf_access(m->fs, "foo", F_OK));
	mock_getattr(m, 42, DIR_, 10, MOCK_FOREVER);
	fails(pf_stat(m->fs, "foo", &st), EIO);
	/* The bad inode is not served again: the name is asked for afresh. */
	mock_lookup(m, 1, "foo", 43, REG, 3, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_ino, 43);
	mock_end(m);
}

static void size_beyond_off_t(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct stat st;

	ok(pf_access(m->fs, "foo", F_OK));
	mock_getattr(m, 42, REG, UINT64_MAX, MOCK_FOREVER);
	fails(pf_stat(m->fs, "foo", &st), EIO);
	mock_end(m);
}

/* ---- SETATTR */

static bool valid_is(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_setattr_in *)req->arg)->valid == *(uint32_t *)ctx;
}

static struct mock_expect *expect_setattr(struct mock *m, uint32_t *valid, uint32_t mode,
					  uint64_t size)
{
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(42, mode, size)};

	return mock_match(mock_body(mock_expect(m, FUSE_SETATTR, 42, NULL), &a, sizeof(a)),
			  valid_is, valid);
}

static void chmod_feeds_cache(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	uint32_t valid = FATTR_MODE;
	struct stat st;

	expect_setattr(m, &valid, S_IFREG | 0755, 10);
	ok(pf_chmod(m->fs, "foo", 0755));
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_mode, S_IFREG | 0755);
	assert_int_equal(mock_count(m, FUSE_GETATTR), 0);
	mock_end(m);
}

static bool is_chown(const struct mock_req *req, void *ctx)
{
	const struct fuse_setattr_in *in = req->arg;

	return (in->valid & (FATTR_UID | FATTR_GID)) == (FATTR_UID | FATTR_GID) &&
	       in->uid == 1000 && in->gid == 1001;
}

static void chown_sends_both(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct fuse_attr_out a = {.attr = mock_attr(42, REG, 10)};

	mock_match(mock_body(mock_expect(m, FUSE_SETATTR, 42, NULL), &a, sizeof(a)), is_chown,
		   NULL);
	ok(pf_chown(m->fs, "foo", 1000, 1001));
	mock_end(m);
}

static void setattr_error(void **state)
{
	struct mock *m = start_with_file(NULL, REG);

	mock_error(mock_expect(m, FUSE_SETATTR, 42, NULL), EPERM);
	fails(pf_chmod(m->fs, "foo", 0755), EPERM);
	mock_end(m);
}

static void setattr_type_conflict(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct fuse_attr_out a = {.attr = mock_attr(42, DIR_, 10)};

	mock_body(mock_expect(m, FUSE_SETATTR, 42, NULL), &a, sizeof(a));
	fails(pf_chmod(m->fs, "foo", 0755), EIO);
	mock_end(m);
}

static void setattr_7_8(void **state)
{
	struct mock_options o = {.minor = 8};
	struct mock *m = start_with_file(&o, REG);
	uint32_t valid = FATTR_MODE;

	expect_setattr(m, &valid, S_IFREG | 0755, 10);
	ok(pf_chmod(m->fs, "foo", 0755));
	mock_end(m);
}

static void fchmod_has_no_handle(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	uint32_t valid = FATTR_MODE;
	struct pf_file *f;

	mock_open(m, 42, 0);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	expect_setattr(m, &valid, S_IFREG | 0755, 10);
	ok(pf_fchmod(f, 0755));
	ok(pf_close(f));
	mock_end(m);
}

static bool is_ftruncate(const struct mock_req *req, void *ctx)
{
	const struct fuse_setattr_in *in = req->arg;

	return in->valid == (FATTR_SIZE | FATTR_FH | FATTR_LOCKOWNER) && in->fh == MOCK_FH &&
	       in->size == 5;
}

static void ftruncate_has_a_handle(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(42, REG, 5)};
	struct pf_file *f;
	struct stat st;

	mock_open(m, 42, 0);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	mock_match(mock_body(mock_expect(m, FUSE_SETATTR, 42, NULL), &a, sizeof(a)), is_ftruncate,
		   NULL);
	ok(pf_ftruncate(f, 5));
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 5);
	ok(pf_close(f));
	mock_end(m);
}

static bool is_truncate(const struct mock_req *req, void *ctx)
{
	const struct fuse_setattr_in *in = req->arg;

	return (in->valid & ~FATTR_LOCKOWNER & ~FATTR_MTIME & ~FATTR_MTIME_NOW) == FATTR_SIZE &&
	       in->size == 5;
}

static void truncate_by_path(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(42, REG, 5)};
	struct stat st;

	mock_match(mock_body(mock_expect(m, FUSE_SETATTR, 42, NULL), &a, sizeof(a)), is_truncate,
		   NULL);
	ok(pf_truncate(m->fs, "foo", 5));
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_size, 5);
	fails(pf_truncate(m->fs, "foo", -1), EINVAL);
	fails(pf_truncate(m->fs, "/", 5), EISDIR);
	mock_end(m);
}

static bool is_utimens(const struct mock_req *req, void *ctx)
{
	const struct fuse_setattr_in *in = req->arg;

	return in->valid == (FATTR_ATIME | FATTR_MTIME) && in->atime == 111 &&
	       in->atimensec == 222 && in->mtime == 333 && in->mtimensec == 444;
}

static void utimens_both(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct fuse_attr_out a = {.attr = mock_attr(42, REG, 5)};
	const struct timespec t[2] = {{111, 222}, {333, 444}};

	mock_match(mock_body(mock_expect(m, FUSE_SETATTR, 42, NULL), &a, sizeof(a)), is_utimens,
		   NULL);
	ok(pf_utimens(m->fs, "foo", t, 0));
	mock_end(m);
}

static void utimens_mtime_only(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	uint32_t valid = FATTR_MTIME;
	const struct timespec t[2] = {{0, UTIME_OMIT}, {333, 444}};
	const struct timespec none[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};

	expect_setattr(m, &valid, REG, 10);
	ok(pf_utimens(m->fs, "foo", t, 0));
	ok(pf_utimens(m->fs, "foo", none, 0));
	mock_end(m);
}

static void utimens_now(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	uint32_t valid = FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME | FATTR_MTIME_NOW;

	mock_times(expect_setattr(m, &valid, REG, 10), 2);
	ok(pf_utimens(m->fs, "foo", NULL, 0));
	ok(pf_utimens(m->fs, "foo", (struct timespec[2]){{0, UTIME_NOW}, {0, UTIME_NOW}}, 0));
	mock_end(m);
}

static void read_only(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct mock *m;
	struct pf_file *f;

	o.pf.mount_options = "ro";
	m = start_with_file(&o, REG);
	fails(pf_chmod(m->fs, "foo", 0755), EROFS);
	fails(pf_truncate(m->fs, "foo", 1), EROFS);
	fails(pf_open(m->fs, "foo", O_WRONLY, 0, &f), EROFS);
	fails(pf_setxattr(m->fs, "foo", "user.a", "b", 1, 0), EROFS);
	fails(pf_removexattr(m->fs, "foo", "user.a"), EROFS);
	mock_any_times(mock_lookup_error(m, 1, "d", ENOENT));
	fails(pf_mkdir(m->fs, "/d", 0755), EROFS);
	fails(pf_unlink(m->fs, "foo"), EROFS);
	assert_int_equal(mock_count(m, FUSE_SETATTR) + mock_count(m, FUSE_UNLINK), 0);
	mock_end(m);
}

/* ---- versions: what began before a local change does not overwrite it */

struct race {
	struct mock *m;
	pthread_t thread;
	int result;
};

static void *do_truncate(void *arg)
{
	struct race *r = arg;

	r->result = pf_truncate(r->m->fs, "foo", 15);
	return NULL;
}

static void *do_stat(void *arg)
{
	struct race *r = arg;
	struct stat st;

	r->result = pf_stat(r->m->fs, "foo", &st);
	return NULL;
}

/* SETATTR is at the server; a LOOKUP that is answered in the meantime still knows the old size. */
static void late_lookup_loses(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out e = mock_entry(42, REG, 10, 0, MOCK_FOREVER);
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(42, REG, 15)};
	struct race truncating = {.m = m}, stating = {.m = m};
	struct mock_expect *setattr, *lookup;
	struct mock_req *setattr_req, *lookup_req;
	struct stat st;

	mock_lookup_entry(m, 1, "foo", &e);
	setattr = mock_hold(mock_expect(m, FUSE_SETATTR, 42, NULL));
	lookup = mock_hold(mock_expect(m, FUSE_LOOKUP, 1, "foo"));
	assert_int_equal(pthread_create(&truncating.thread, NULL, do_truncate, &truncating), 0);
	setattr_req = mock_wait(setattr);
	assert_int_equal(pthread_create(&stating.thread, NULL, do_stat, &stating), 0);
	lookup_req = mock_wait(lookup);
	mock_answer(setattr_req, &a, sizeof(a));
	pthread_join(truncating.thread, NULL);
	ok(truncating.result);
	mock_answer(lookup_req, &e, sizeof(e));
	pthread_join(stating.thread, NULL);
	ok(stating.result);
	e.attr.size = 15;
	e.entry_valid = MOCK_FOREVER;
	mock_any_times(mock_lookup_entry(m, 1, "foo", &e));
	mock_any_times(mock_getattr(m, 42, REG, 15, MOCK_FOREVER));
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_size, 15);
	mock_end(m);
}

/* Each file system has a device number of its own, which all its files share. */
static void device_numbers(void **state)
{
	struct mock *m = start_with_file(NULL, REG), *n = start_with_file(NULL, REG);
	struct stat file, root, other;

	mock_any_times(mock_getattr(m, 42, REG, 10, MOCK_FOREVER));
	ok(pf_stat(m->fs, "foo", &file));
	ok(pf_stat(m->fs, "/", &root));
	ok(pf_stat(n->fs, "/", &other));
	assert_true(file.st_dev && file.st_dev == root.st_dev);
	assert_int_not_equal(file.st_dev, other.st_dev);
	mock_lookup(n, 1, "bar", 43, REG, 1, MOCK_FOREVER);
	fails(pf_access(n->fs, "foo/x", F_OK), ENOTDIR);
	ok(pf_access(n->fs, "bar", F_OK));
	mock_end(m);
	mock_end(n);
}

static void statx_btime(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct fuse_statx_out out = {.attr_valid = MOCK_FOREVER};
	struct statx stx;

	out.stat = (struct fuse_statx){.mask = 0xfff,
				       .mode = REG,
				       .size = 10,
				       .ino = 42,
				       .nlink = 1,
				       .btime = {.tv_sec = 99, .tv_nsec = 5}};
	mock_body(mock_expect(m, FUSE_STATX, 42, NULL), &out, sizeof(out));
	ok(pf_statx(m->fs, "foo", 0, STATX_BASIC_STATS | STATX_BTIME, &stx));
	assert_int_equal(stx.stx_btime.tv_sec, 99);
	assert_true(stx.stx_mask & STATX_BTIME);
	mock_end(m);
}

static void statx_enosys(void **state)
{
	struct mock *m = start_with_file(NULL, REG);
	struct statx stx;

	mock_error(mock_expect(m, FUSE_STATX, 42, NULL), ENOSYS);
	mock_times(mock_getattr(m, 42, REG, 10, 0), 2);
	ok(pf_statx(m->fs, "foo", 0, STATX_BASIC_STATS | STATX_BTIME, &stx));
	assert_false(stx.stx_mask & STATX_BTIME);
	assert_int_equal(stx.stx_size, 10);
	ok(pf_statx(m->fs, "foo", 0, STATX_BASIC_STATS | STATX_BTIME, &stx));
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(attr_cache),
	    cmocka_unit_test(attr_cache_timeout),
	    cmocka_unit_test(blksize_zero),
	    cmocka_unit_test(getattr_enoent),
	    cmocka_unit_test(fields),
	    cmocka_unit_test(minor_7_8),
	    cmocka_unit_test(type_conflict),
	    cmocka_unit_test(size_beyond_off_t),
	    cmocka_unit_test(chmod_feeds_cache),
	    cmocka_unit_test(chown_sends_both),
	    cmocka_unit_test(setattr_error),
	    cmocka_unit_test(setattr_type_conflict),
	    cmocka_unit_test(setattr_7_8),
	    cmocka_unit_test(fchmod_has_no_handle),
	    cmocka_unit_test(ftruncate_has_a_handle),
	    cmocka_unit_test(truncate_by_path),
	    cmocka_unit_test(utimens_both),
	    cmocka_unit_test(utimens_mtime_only),
	    cmocka_unit_test(utimens_now),
	    cmocka_unit_test(read_only),
	    cmocka_unit_test(late_lookup_loses),
	    cmocka_unit_test(device_numbers),
	    cmocka_unit_test(statx_btime),
	    cmocka_unit_test(statx_enosys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
