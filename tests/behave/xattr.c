// SPDX-License-Identifier: BSD-2-Clause
/* Extended attributes: sizes, errors, what is remembered. */
#include "tests/behave/behave.h"

#include <sys/xattr.h>

#define REG (S_IFREG | 0644)

static struct mock *start(const struct mock_options *o)
{
	struct mock *m = mock_start(o);

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	return m;
}

static void get(void **state)
{
	struct mock *m = start(NULL);
	char buf[20];

	mock_body(mock_expect(m, FUSE_GETXATTR, 42, "user.foo"), "value", 5);
	assert_int_equal(pf_getxattr(m->fs, "foo", "user.foo", buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "value", 5);
	mock_end(m);
}

static void get_errors(void **state)
{
	struct mock *m = start(NULL);
	char buf[20];

	mock_error(mock_expect(m, FUSE_GETXATTR, 42, "user.foo"), ENODATA);
	fails(pf_getxattr(m->fs, "foo", "user.foo", buf, sizeof(buf)), ENODATA);
	mock_error(mock_expect(m, FUSE_GETXATTR, 42, "user.foo"), ERANGE);
	fails(pf_getxattr(m->fs, "foo", "user.foo", buf, 2), ERANGE);
	fails(pf_getxattr(m->fs, "foo", "", buf, 2), ERANGE);
	mock_end(m);
}

static void get_enosys(void **state)
{
	struct mock *m = start(NULL);
	char buf[20];

	mock_error(mock_expect(m, FUSE_GETXATTR, 42, NULL), ENOSYS);
	fails(pf_getxattr(m->fs, "foo", "user.foo", buf, sizeof(buf)), EOPNOTSUPP);
	fails(pf_getxattr(m->fs, "foo", "user.foo", buf, sizeof(buf)), EOPNOTSUPP);
	mock_end(m);
}

static void get_size(void **state)
{
	struct mock *m = start(NULL);
	struct fuse_getxattr_out out = {.size = 99};

	mock_body(mock_expect(m, FUSE_GETXATTR, 42, "user.foo"), &out, sizeof(out));
	assert_int_equal(pf_getxattr(m->fs, "foo", "user.foo", NULL, 0), 99);
	mock_end(m);
}

/* A size query that is answered with no body, or with an absurd size. */
static void get_size_malformed(void **state)
{
	struct mock *m = start(NULL);
	struct fuse_getxattr_out huge = {.size = UINT32_MAX};
	ssize_t r;

	mock_body(mock_expect(m, FUSE_GETXATTR, 42, NULL), "", 0);
	fails(pf_getxattr(m->fs, "foo", "user.foo", NULL, 0), EIO);
	mock_body(mock_expect(m, FUSE_GETXATTR, 42, NULL), &huge, sizeof(huge));
	r = pf_getxattr(m->fs, "foo", "user.foo", NULL, 0);
	assert_int_equal(r, 65536);
	mock_body(mock_expect(m, FUSE_LISTXATTR, 42, NULL), "", 0);
	fails(pf_listxattr(m->fs, "foo", NULL, 0), EIO);
	mock_body(mock_expect(m, FUSE_LISTXATTR, 42, NULL), &huge, sizeof(huge));
	r = pf_listxattr(m->fs, "foo", NULL, 0);
	assert_int_equal(r, 65536);
	mock_end(m);
}

static void get_too_much(void **state)
{
	struct mock *m = start(NULL);
	char buf[20];

	mock_body(mock_expect(m, FUSE_GETXATTR, 42, NULL), "0123456789", 10);
	fails(pf_getxattr(m->fs, "foo", "user.foo", buf, 4), EIO);
	mock_end(m);
}

static void list(void **state)
{
	struct mock *m = start(NULL);
	struct fuse_getxattr_out out = {.size = 17};
	char buf[100];

	mock_body(mock_expect(m, FUSE_LISTXATTR, 42, NULL), &out, sizeof(out));
	assert_int_equal(pf_listxattr(m->fs, "foo", NULL, 0), 17);
	mock_body(mock_expect(m, FUSE_LISTXATTR, 42, NULL), "user.foo\0user.bar", 18);
	assert_int_equal(pf_listxattr(m->fs, "foo", buf, sizeof(buf)), 18);
	assert_string_equal(buf + 9, "user.bar");
	mock_end(m);
}

static void list_errors(void **state)
{
	struct mock *m = start(NULL);
	char buf[100];

	mock_error(mock_expect(m, FUSE_LISTXATTR, 42, NULL), ENOTSUP);
	fails(pf_listxattr(m->fs, "foo", buf, sizeof(buf)), ENOTSUP);
	mock_body(mock_expect(m, FUSE_LISTXATTR, 42, NULL), "user.foo", 8);
	fails(pf_listxattr(m->fs, "foo", buf, sizeof(buf)), EIO);
	mock_body(mock_expect(m, FUSE_LISTXATTR, 42, NULL), "user.foo\0\0", 10);
	fails(pf_listxattr(m->fs, "foo", buf, sizeof(buf)), EIO);
	mock_error(mock_expect(m, FUSE_LISTXATTR, 42, NULL), ENOSYS);
	fails(pf_listxattr(m->fs, "foo", buf, sizeof(buf)), EOPNOTSUPP);
	fails(pf_listxattr(m->fs, "foo", buf, sizeof(buf)), EOPNOTSUPP);
	mock_end(m);
}

static void remove_(void **state)
{
	struct mock *m = start(NULL);

	mock_expect(m, FUSE_REMOVEXATTR, 42, "user.foo");
	ok(pf_removexattr(m->fs, "foo", "user.foo"));
	mock_error(mock_expect(m, FUSE_REMOVEXATTR, 42, "user.foo"), ENODATA);
	fails(pf_removexattr(m->fs, "foo", "user.foo"), ENODATA);
	mock_error(mock_expect(m, FUSE_REMOVEXATTR, 42, NULL), ENOSYS);
	fails(pf_removexattr(m->fs, "foo", "user.foo"), EOPNOTSUPP);
	fails(pf_removexattr(m->fs, "foo", "user.foo"), EOPNOTSUPP);
	mock_end(m);
}

static bool is_set(const struct mock_req *req, void *ctx)
{
	const struct fuse_setxattr_in *in = req->arg;

	return in->size == 5 && in->flags == XATTR_CREATE && !in->setxattr_flags &&
	       !memcmp(req->data, "value", 5);
}

static void set_with(uint64_t flags)
{
	struct mock_options o = {.flags = flags};
	struct mock *m = start(&o);

	mock_match(mock_expect(m, FUSE_SETXATTR, 42, "system.foo"), is_set, NULL);
	ok(pf_setxattr(m->fs, "foo", "system.foo", "value", 5, XATTR_CREATE));
	mock_end(m);
}

static void set(void **state)
{
	set_with(0);
	set_with(FUSE_SETXATTR_EXT);
}

static void set_errors(void **state)
{
	struct mock *m = start(NULL);

	mock_error(mock_expect(m, FUSE_SETXATTR, 42, NULL), ENOTSUP);
	fails(pf_setxattr(m->fs, "foo", "user.foo", "value", 5, 0), ENOTSUP);
	fails(pf_setxattr(m->fs, "foo", "user.foo", "value", 70000, 0), E2BIG);
	fails(pf_setxattr(m->fs, "foo", "user.foo", "value", 5, 64), EINVAL);
	mock_error(mock_expect(m, FUSE_SETXATTR, 42, NULL), ENOSYS);
	fails(pf_setxattr(m->fs, "foo", "user.foo", "value", 5, 0), EOPNOTSUPP);
	fails(pf_setxattr(m->fs, "foo", "user.foo", "value", 5, 0), EOPNOTSUPP);
	mock_end(m);
}

/* ctime does not stay what it was. */
static void set_changes_ctime(void **state)
{
	struct mock *m = start(NULL);
	struct stat st;

	ok(pf_stat(m->fs, "foo", &st));
	mock_expect(m, FUSE_SETXATTR, 42, NULL);
	ok(pf_setxattr(m->fs, "foo", "user.foo", "value", 5, 0));
	mock_getattr(m, 42, REG, 10, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(get),
	    cmocka_unit_test(get_errors),
	    cmocka_unit_test(get_enosys),
	    cmocka_unit_test(get_size),
	    cmocka_unit_test(get_size_malformed),
	    cmocka_unit_test(get_too_much),
	    cmocka_unit_test(list),
	    cmocka_unit_test(list_errors),
	    cmocka_unit_test(remove_),
	    cmocka_unit_test(set),
	    cmocka_unit_test(set_errors),
	    cmocka_unit_test(set_changes_ctime),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
