/* SPDX-License-Identifier: BSD-2-Clause */
/* What a path alone decides: dots, slashes, lengths, flags; and the same for ACLs and statx. */
#include "tests/behave/behave.h"

#include <linux/stat.h>
#include <sys/xattr.h>

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)

static struct mock *start(void)
{
	struct mock *m = mock_start(NULL);

	mock_any_times(mock_lookup(m, 1, "d", 2, DIR_, 0, MOCK_FOREVER));
	mock_any_times(mock_lookup(m, 1, "f", 3, REG, 0, MOCK_FOREVER));
	mock_any_times(mock_lookup(m, 2, "sub", 4, DIR_, 0, MOCK_FOREVER));
	mock_any_times(mock_lookup_error(m, 1, "new", ENOENT));
	mock_any_times(mock_lookup_error(m, 2, "new", ENOENT));
	mock_any_times(mock_lookup_error(m, 4, "new", ENOENT));
	return m;
}

static void removing(void **state)
{
	struct mock *m = start();

	fails(pf_rmdir(m->fs, "d/."), EINVAL);
	fails(pf_rmdir(m->fs, "d/.."), ENOTEMPTY);
	fails(pf_rmdir(m->fs, "/"), EBUSY);
	fails(pf_rmdir(m->fs, "f"), ENOTDIR);
	fails(pf_rmdir(m->fs, "new"), ENOENT);
	fails(pf_unlink(m->fs, "d/."), EISDIR);
	fails(pf_unlink(m->fs, "/"), EISDIR);
	fails(pf_unlink(m->fs, "d"), EISDIR);
	fails(pf_unlink(m->fs, "d/"), EISDIR);
	fails(pf_unlink(m->fs, "f/"), ENOTDIR);
	fails(pf_unlink(m->fs, "f/x"), ENOTDIR);
	fails(pf_unlink(m->fs, ""), ENOENT);
	assert_int_equal(mock_count(m, FUSE_RMDIR) + mock_count(m, FUSE_UNLINK), 0);
	mock_empty(m, FUSE_RMDIR, 1);
	ok(pf_rmdir(m->fs, "d/"));
	mock_end(m);
}

static void making(void **state)
{
	struct mock *m = start();
	struct fuse_entry_out e = mock_entry(9, DIR_, 0, 1, 1);

	fails(pf_mkdir(m->fs, "/", 0755), EEXIST);
	fails(pf_mkdir(m->fs, "d/.", 0755), EEXIST);
	fails(pf_mkdir(m->fs, "d/..", 0755), EEXIST);
	fails(pf_mkdir(m->fs, "f/", 0755), EEXIST);
	fails(pf_mkdir(m->fs, "f/x", 0755), ENOTDIR);
	fails(pf_mknod(m->fs, "new/", S_IFREG | 0644, 0), ENOENT);
	fails(pf_mknod(m->fs, "new", S_IFDIR | 0755, 0), EPERM);
	fails(pf_mknod(m->fs, "new", S_IFLNK | 0755, 0), EINVAL);
	fails(pf_symlink(m->fs, "t", "new/"), ENOENT);
	fails(pf_symlink(m->fs, "", "new"), ENOENT);
	fails(pf_link(m->fs, "d", "new"), EPERM);
	fails(pf_link(m->fs, "f", "d"), EEXIST);
	fails(pf_link(m->fs, "f", "new/"), ENOENT);
	mock_body(mock_expect(m, FUSE_MKDIR, 1, "new"), &e, sizeof e);
	ok(pf_mkdir(m->fs, "new//", 0755));
	mock_end(m);
}

static void renaming(void **state)
{
	struct mock *m = start();

	fails(pf_rename(m->fs, "d/.", "new"), EBUSY);
	fails(pf_rename(m->fs, "d", "d/.."), EBUSY);
	fails(pf_rename(m->fs, "/", "new"), EBUSY);
	fails(pf_rename2(m->fs, "d", "/", 1), EEXIST);
	fails(pf_rename(m->fs, "d", "d/new"), EINVAL);
	fails(pf_rename(m->fs, "d", "d/sub/new"), EINVAL);
	fails(pf_rename(m->fs, "d/sub", "d"), ENOTEMPTY);
	fails(pf_rename2(m->fs, "d/sub", "d", 2), EINVAL);
	fails(pf_rename(m->fs, "f/", "new"), ENOTDIR);
	fails(pf_rename(m->fs, "f", "new/"), ENOTDIR);
	fails(pf_rename(m->fs, "f", "d"), EISDIR);
	fails(pf_rename(m->fs, "d", "f"), ENOTDIR);
	fails(pf_rename2(m->fs, "f", "new", 2), ENOENT);
	fails(pf_rename2(m->fs, "f", "new", 8), EINVAL);
	ok(pf_rename(m->fs, "f", "f"));
	assert_int_equal(mock_count(m, FUSE_RENAME) + mock_count(m, FUSE_RENAME2), 0);
	mock_end(m);
}

static void lengths(void **state)
{
	struct mock *m = start();
	size_t longest = m->o.init.max_pages == 1 ? 1024 : 4095;
	char path[5000];
	struct stat st;

	memset(path, 'x', sizeof path);
	path[4096] = '\0';
	fails(pf_stat(m->fs, path, &st), ENAMETOOLONG);
	fails(pf_mkdir(m->fs, path, 0755), ENAMETOOLONG);
	path[longest] = '\0';
	mock_any_times(mock_lookup_error(m, 1, path, ENOENT));
	int r = pf_stat(m->fs, path, &st);

	assert_true(r == -ENOENT || r == -ENAMETOOLONG);
	mock_end(m);
}

static bool wants_btime(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_statx_in *)req->arg)->sx_mask == 0xfff;
}

static void statx_rules(void **state)
{
	struct mock *m = start();
	struct fuse_statx_out out = {.attr_valid = MOCK_FOREVER,
				     .stat = {.mask = 0xfff,
					      .mode = REG,
					      .ino = 3,
					      .size = 77,
					      .btime = {.tv_sec = 5, .tv_nsec = 6}}};
	struct statx x;

	fails(pf_statx(m->fs, "f", 0x10000000, STATX_BASIC_STATS, &x), EINVAL);
	fails(pf_statx(m->fs, "f", 0x6000, STATX_BASIC_STATS, &x), EINVAL);
	fails(pf_statx(m->fs, "f", 0, STATX__RESERVED, &x), EINVAL);
	fails(pf_statx(m->fs, "", 0, STATX_BASIC_STATS, &x), ENOENT);
	ok(pf_statx(m->fs, "f", 0, STATX_BASIC_STATS, &x));
	mock_log(m);
	mock_match(mock_body(mock_expect(m, FUSE_STATX, 3, NULL), &out, sizeof out), wants_btime,
		   NULL);
	ok(pf_statx(m->fs, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &x));
	assert_int_equal(x.stx_btime.tv_sec, 5);
	assert_int_equal(x.stx_size, 77);
	assert_true(x.stx_mask & STATX_BTIME);
	/* Known from now on. */
	ok(pf_statx(m->fs, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &x));
	assert_int_equal(x.stx_btime.tv_nsec, 6);
	mock_getattr(m, 3, REG, 78, MOCK_FOREVER);
	ok(pf_statx(m->fs, "f", 0x2000, STATX_SIZE, &x)); /* FORCE_SYNC */
	assert_int_equal(x.stx_size, 78);
	assert_log(m, "STATX(3) GETATTR(3)");
	mock_end(m);
}

static void statx_unknown_to_the_server(void **state)
{
	struct mock *m = start();
	struct statx x;

	mock_error(mock_expect(m, FUSE_STATX, 3, NULL), ENOSYS);
	mock_any_times(mock_getattr(m, 3, REG, 0, MOCK_FOREVER));
	ok(pf_statx(m->fs, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &x));
	assert_false(x.stx_mask & STATX_BTIME);
	ok(pf_statx(m->fs, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &x));
	mock_end(m);
}

static void put_entry(unsigned char **p, uint16_t tag, uint16_t perm, uint32_t id)
{
	memcpy(*p, &tag, 2);
	memcpy(*p + 2, &perm, 2);
	memcpy(*p + 4, &id, 4);
	*p += 8;
}

/* user 1000 may read and write, user 1001 nothing though others may read, group 50 reads. */
static size_t make_acl(unsigned char *acl)
{
	unsigned char *p = acl + 4;
	uint32_t version = 2;

	memcpy(acl, &version, 4);
	put_entry(&p, 0x01, 6, UINT32_MAX);
	put_entry(&p, 0x02, 6, 1000);
	put_entry(&p, 0x02, 0, 1001);
	put_entry(&p, 0x04, 0, UINT32_MAX);
	put_entry(&p, 0x08, 4, 50);
	put_entry(&p, 0x10, 6, UINT32_MAX);
	put_entry(&p, 0x20, 4, UINT32_MAX);
	return p - acl;
}

static int access_as(struct mock *m, uid_t uid, gid_t gid, int mode)
{
	struct pf_caller who = {.size = sizeof who, .uid = uid, .gid = gid, .pid = 7};
	struct pf_fs *view;
	int r;

	ok(pf_as(m->fs, &who, &view));
	r = pf_access(view, "acl", mode);
	pf_view_free(view);
	return r;
}

static void acls(void **state)
{
	struct mock_options o = {.pf_set = true,
				 .pf = PF_OPTIONS_INIT,
				 .flags = FUSE_POSIX_ACL,
				 .root_attr_valid = MOCK_FOREVER};
	struct fuse_entry_out e = mock_entry(5, S_IFREG | 0664, 0, MOCK_FOREVER, MOCK_FOREVER);
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER};
	unsigned char acl[128];
	size_t len = make_acl(acl);
	struct mock *m;

	o.pf.mount_options = "allow_other";
	m = mock_start(&o);
	e.attr.uid = 500;
	e.attr.gid = 500;
	a.attr = e.attr;
	mock_any_times(
	    mock_error(mock_expect(m, FUSE_GETXATTR, 1, "system.posix_acl_access"), ENODATA));
	mock_lookup_entry(m, 1, "acl", &e);
	mock_any_times(mock_body(mock_expect(m, FUSE_GETATTR, 5, NULL), &a, sizeof a));
	mock_any_times(
	    mock_body(mock_expect(m, FUSE_GETXATTR, 5, "system.posix_acl_access"), acl, len));
	assert_int_equal(access_as(m, 500, 1, R_OK | W_OK), 0);
	assert_int_equal(access_as(m, 1000, 1, R_OK | W_OK), 0);
	assert_int_equal(mock_count(m, FUSE_GETXATTR), 2); /* of the root, too; then cached */
	assert_int_equal(access_as(m, 1000, 1, R_OK), 0);
	assert_int_equal(mock_count(m, FUSE_GETXATTR), 2);
	assert_int_equal(access_as(m, 1001, 1, R_OK), -EACCES);
	assert_int_equal(access_as(m, 7, 500, R_OK), -EACCES);
	assert_int_equal(access_as(m, 7, 50, R_OK), 0);
	assert_int_equal(access_as(m, 7, 50, W_OK), -EACCES);
	assert_int_equal(access_as(m, 7, 7, R_OK), 0);
	assert_int_equal(access_as(m, 0, 0, W_OK), 0);
	mock_end(m);
}

static void cached_symlinks(void **state)
{
	struct mock_options o = {.flags = FUSE_CACHE_SYMLINKS};
	struct mock *m = mock_start(&o);
	char buf[16] = {0};

	mock_lookup(m, 1, "l", 2, S_IFLNK | 0777, 6, MOCK_FOREVER);
	mock_body(mock_expect(m, FUSE_READLINK, 2, NULL), "target", 6);
	assert_int_equal(pf_readlink(m->fs, "l", buf, sizeof buf), 6);
	assert_int_equal(pf_readlink(m->fs, "l", buf, 3), 3);
	assert_string_equal(buf, "target");
	fails(pf_readlink(m->fs, "l", buf, 0), EINVAL);
	fails(pf_readlink(m->fs, "/", buf, 5), EINVAL);
	assert_int_equal(mock_count(m, FUSE_READLINK), 1);
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(removing),    cmocka_unit_test(making),
	    cmocka_unit_test(renaming),    cmocka_unit_test(lengths),
	    cmocka_unit_test(statx_rules), cmocka_unit_test(statx_unknown_to_the_server),
	    cmocka_unit_test(acls),        cmocka_unit_test(cached_symlinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
