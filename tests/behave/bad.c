// SPDX-License-Identifier: BSD-2-Clause
/*
 * What stays after a lie: inodes that turn bad for ever, records of directories that are passed on
 * but not believed, ACLs that cannot be read. The rules' numbers are those of
 * docs/protocol-support.md.
 */
#include "tests/behave/behave.h"

#include <dirent.h>
#include <linux/falloc.h>
#include <sys/file.h>

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)

/* ---- rules 12.11 and 12.12: bad inodes */

static void turns_bad(struct mock *m, struct pf_file *f)
{
	struct stat st;

	mock_getattr(m, 42, DIR_, 10, MOCK_FOREVER);
	mock_notify_inval_inode(m, 42, -1, 0);
	mock_settle(m);
	fails(pf_fstat(f, &st), EIO);
	mock_log(m);
}

static void every_call_fails(struct pf_file *f)
{
	struct flock fl = {.l_type = F_WRLCK};
	off_t in = 0, out = 0;
	struct stat st;
	char buf[8];

	fails(pf_fstat(f, &st), EIO);
	fails(pf_pread(f, buf, 8, 0), EIO);
	fails(pf_pwrite(f, buf, 8, 0), EIO);
	fails(pf_fsync(f, 0), EIO);
	fails(pf_ftruncate(f, 0), EIO);
	fails(pf_fchmod(f, 0600), EIO);
	fails(pf_fallocate(f, 0, 0, 10), EIO);
	fails(pf_lseek(f, 0, SEEK_DATA), EIO);
	fails(pf_lseek(f, 0, SEEK_END), EIO);
	fails(pf_fgetxattr(f, "user.a", buf, 8), EIO);
	fails(pf_fsetxattr(f, "user.a", buf, 8, 0), EIO);
	fails(pf_flistxattr(f, buf, 8), EIO);
	fails(pf_fremovexattr(f, "user.a"), EIO);
	fails(pf_copy_file_range(f, &in, f, &out, 8, 0), EIO);
	fails(pf_lock(f, F_SETLK, &fl), EIO);
}

/* Nothing is asked of the server for a bad inode any more; its handle is still given back. */
static void bad_for_ever(void **state)
{
	struct mock_options o = {.flags = FUSE_POSIX_LOCKS};
	struct mock *m = mock_start(&o);
	struct pf_file *f;
	struct stat st;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_open(m, 42, 0);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	turns_bad(m, f);
	every_call_fails(f);
	assert_log(m, "");
	mock_release(m, 42);
	fails(pf_close(f), EIO);
	/* Its number may stand for a new file. */
	mock_lookup(m, 1, "foo", 42, DIR_, 0, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	assert_true(S_ISDIR(st.st_mode));
	mock_end(m);
}

/* The root has no other: what is below it is out of reach. */
static void bad_root(void **state)
{
	struct mock_options o = {.no_root_auto = true};
	struct mock *m = mock_start(&o);
	struct pf_file *f;
	struct stat st;

	mock_getattr(m, 1, REG, 0, MOCK_FOREVER);
	fails(pf_stat(m->fs, "/", &st), EIO);
	fails(pf_stat(m->fs, "/", &st), EIO);
	fails(pf_stat(m->fs, "/foo", &st), EIO);
	fails(pf_open(m->fs, "/", O_RDONLY, 0, &f), EIO);
	fails(pf_mkdir(m->fs, "/foo", 0755), EIO);
	assert_log(m, "GETATTR(1)");
	mock_end(m);
}

static struct mock *start_with_statx(const struct fuse_statx *stat)
{
	struct fuse_statx_out out = {.attr_valid = MOCK_FOREVER, .stat = *stat};
	struct mock *m = mock_start(NULL);

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_body(mock_expect(m, FUSE_STATX, 42, NULL), &out, sizeof(out));
	return m;
}

static void statx_bad(const struct fuse_statx *stat)
{
	struct mock *m = start_with_statx(stat);
	struct statx x;
	struct stat st;

	fails(pf_statx(m->fs, "foo", 0, STATX_ALL, &x), EIO);
	mock_lookup(m, 1, "foo", 43, REG, 11, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st)); /* the bad one is not served again */
	assert_int_equal(st.st_ino, 43);
	mock_end(m);
}

static void statx_conflicts(void **state)
{
	statx_bad(&(struct fuse_statx){.mask = STATX_ALL, .mode = DIR_, .size = 10});
	statx_bad(&(struct fuse_statx){.mask = STATX_TYPE, .mode = 0644});
	statx_bad(&(struct fuse_statx){.mask = STATX_SIZE, .size = 1ull << 63});
}

/* Rule 12.13: without all basic fields it serves its caller, not the cache; fields that the mask
 * does not name are not judged. */
static void statx_partial(void **state)
{
	struct fuse_statx some = {
	    .mask = STATX_SIZE | STATX_BTIME, .mode = 0, .size = 77, .btime = {.tv_sec = 5}};
	struct mock *m = start_with_statx(&some);
	struct statx x;
	struct stat st;

	ok(pf_statx(m->fs, "foo", 0, STATX_ALL, &x));
	assert_int_equal(x.stx_size, 77);
	assert_int_equal(x.stx_mask & STATX_ALL, STATX_SIZE | STATX_BTIME);
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_size, 10);
	assert_log(m, "LOOKUP(1,foo) STATX(42)");
	mock_end(m);
}

/* ---- rules 12.18 and 12.19: records of READDIRPLUS */

static struct mock *start_plus(struct pf_file **d)
{
	struct mock_options o = {
	    .flags = FUSE_DO_READDIRPLUS, .lookup_leak = true, .root_forget = true};
	struct mock *m = mock_start(&o);

	mock_opendir(m, 1, 0);
	mock_releasedir(m, 1);
	ok(pf_open(m->fs, "/", O_RDONLY | O_DIRECTORY, 0, d));
	return m;
}

static void answer_records(struct mock *m, const char *buf, size_t n)
{
	mock_body(mock_expect(m, FUSE_READDIRPLUS, 1, NULL), buf, n);
	mock_any_times(mock_body(mock_expect(m, FUSE_READDIRPLUS, 1, NULL), "", 0));
}

/* The dots are delivered, but count no lookup, whatever they say; the root under a name and a size
 * that cannot be are delivered and given back at once. */
static void plus_odd_records(void **state)
{
	static const char *const names[] = {".", "..", "root", "huge", "good"};
	struct fuse_entry_out e[] = {
	    mock_entry(50, DIR_, 0, MOCK_FOREVER, MOCK_FOREVER),
	    mock_entry(51, DIR_, 0, MOCK_FOREVER, MOCK_FOREVER),
	    mock_entry(1, DIR_, 0, MOCK_FOREVER, MOCK_FOREVER),
	    mock_entry(53, REG, 1ull << 63, MOCK_FOREVER, MOCK_FOREVER),
	    mock_entry(54, REG, 10, MOCK_FOREVER, MOCK_FOREVER),
	};
	struct pf_file *d;
	struct mock *m = start_plus(&d);
	char buf[2000] = {0};
	struct pf_dirent got;
	struct stat st;
	size_t n = 0;

	for (size_t i = 0; i < 5; i++)
		n = mock_direntplus(buf, n, &e[i], i + 1, names[i]);
	answer_records(m, buf, n);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(pf_readdir(d, &got), 1);
		assert_string_equal(got.name, names[i]);
	}
	assert_int_equal(pf_readdir(d, &got), 0);
	mock_wait_forgotten(m, 1, 1);
	mock_wait_forgotten(m, 53, 1);
	ok(pf_stat(m->fs, "good", &st));
	mock_lookup_error(m, 1, "root", ENOENT);
	fails(pf_stat(m->fs, "root", &st), ENOENT);
	ok(pf_close(d));
	mock_settle(m);
	assert_int_equal(mock_forgotten(m, 50) + mock_forgotten(m, 51), 0);
	mock_end(m);
}

/* A name that cannot be ends the listing; the records from it on are neither believed nor counted.
 */
static void plus_hostile_names(void **state)
{
	struct fuse_entry_out good = mock_entry(50, REG, 1, MOCK_FOREVER, MOCK_FOREVER);
	struct fuse_entry_out bad = mock_entry(51, REG, 2, MOCK_FOREVER, MOCK_FOREVER);
	struct fuse_entry_out after = mock_entry(52, REG, 3, MOCK_FOREVER, MOCK_FOREVER);
	struct pf_file *d;
	struct mock *m = start_plus(&d);
	char buf[2000] = {0};
	struct pf_dirent got;
	struct stat st;
	size_t n = 0;

	n = mock_direntplus(buf, n, &good, 1, "good");
	n = mock_direntplus(buf, n, &bad, 2, "b/d");
	n = mock_direntplus(buf, n, &after, 3, "after");
	mock_any_times(mock_body(mock_expect(m, FUSE_READDIRPLUS, 1, NULL), buf, n));
	assert_int_equal(pf_readdir(d, &got), 1);
	assert_string_equal(got.name, "good");
	fails(pf_readdir(d, &got), EIO);
	ok(pf_stat(m->fs, "good", &st));
	mock_lookup_error(m, 1, "after", ENOENT);
	fails(pf_stat(m->fs, "after", &st), ENOENT);
	ok(pf_close(d));
	mock_settle(m);
	assert_int_equal(mock_forgotten(m, 51) + mock_forgotten(m, 52), 0);
	mock_end(m);
}

/* Known nodes that READDIRPLUS shows with another type or generation: the old ones are bad. */
static void plus_stale_record(void **state)
{
	struct fuse_entry_out now = mock_entry(42, DIR_, 0, MOCK_FOREVER, MOCK_FOREVER);
	struct pf_file *d, *f;
	struct mock *m = start_plus(&d);
	char buf[300] = {0};
	struct pf_dirent got;
	struct stat st;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	answer_records(m, buf, mock_direntplus(buf, 0, &now, 1, "foo"));
	assert_int_equal(pf_readdir(d, &got), 1);
	fails(pf_fstat(f, &st), EIO);
	ok(pf_stat(m->fs, "foo", &st));
	assert_true(S_ISDIR(st.st_mode));
	fails(pf_close(f), EIO);
	ok(pf_close(d));
	mock_end(m);
}

/* ---- rule 12.26: ACLs */

static int open_with_acl(const void *acl, size_t len, int err)
{
	struct mock_options o = {.flags = FUSE_POSIX_ACL,
				 .pf_set = true,
				 .pf = PF_OPTIONS_INIT,
				 .root_attr_valid = MOCK_FOREVER};
	struct pf_caller user = {.size = sizeof(user), .uid = 1000, .gid = 1000, .pid = 7};
	struct fuse_entry_out e = mock_entry(42, S_IFREG | 0660, 10, MOCK_FOREVER, MOCK_FOREVER);
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER, .attr = e.attr};
	struct mock_expect *get;
	struct pf_fs *view;
	struct pf_file *f;
	struct mock *m;
	int r;

	o.pf.mount_options = "allow_other";
	m = mock_start(&o);
	ok(pf_as(m->fs, &user, &view));
	mock_any_times(mock_error(mock_expect(m, FUSE_GETXATTR, 1, NULL), ENODATA));
	mock_lookup_entry(m, 1, "foo", &e);
	mock_any_times(mock_body(mock_expect(m, FUSE_GETATTR, 42, NULL), &a, sizeof(a)));
	get = mock_any_times(mock_expect(m, FUSE_GETXATTR, 42, "system.posix_acl_access"));
	if (err)
		mock_error(get, err);
	else
		mock_body(get, acl, len);
	r = pf_open(view, "foo", O_RDONLY, 0, &f);
	assert_int_equal(mock_count(m, FUSE_OPEN), 0);
	pf_view_free(view);
	mock_end(m);
	return r;
}

static void acls(void **state)
{
	static const uint32_t short_[] = {2, 0x00060001};
	static const uint32_t version[] = {3, 0x00060001, -1u, 0x00060004, -1u, 0x00000020, -1u};
	static const uint32_t tag[] = {2, 0x00060099, -1u, 0x00060004, -1u, 0x00000020, -1u};
	static const uint32_t no_other[] = {2, 0x00060001, -1u, 0x00060004, -1u};

	assert_int_equal(open_with_acl(NULL, 0, ERANGE), -E2BIG);
	assert_int_equal(open_with_acl(short_, sizeof(short_), 0), -EINVAL);
	assert_int_equal(open_with_acl(version, sizeof(version), 0), -EOPNOTSUPP);
	assert_int_equal(open_with_acl(tag, sizeof(tag), 0), -EINVAL);
	assert_int_equal(open_with_acl(no_other, sizeof(no_other), 0), -EIO);
	/* None, or none supported: the mode decides. */
	assert_int_equal(open_with_acl(NULL, 0, ENODATA), -EACCES);
	assert_int_equal(open_with_acl("", 0, 0), -EACCES);
	assert_int_equal(open_with_acl(NULL, 0, ENOSYS), -EACCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bad_for_ever),      cmocka_unit_test(bad_root),
	    cmocka_unit_test(statx_conflicts),   cmocka_unit_test(statx_partial),
	    cmocka_unit_test(plus_odd_records),  cmocka_unit_test(plus_hostile_names),
	    cmocka_unit_test(plus_stale_record), cmocka_unit_test(acls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
