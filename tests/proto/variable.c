/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies of variable length: link targets, extended attributes, ioctls. */
#include "proto/proto.h"
#include "unit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The body lies at the end of a heap block, where AddressSanitizer sees a read past it. */
static int check(struct pf__expect e, const void *body, size_t len)
{
	char *copy = malloc(len ? len : 1);
	bool forget = true;
	int err;

	if (len)
		memcpy(copy, body, len);
	err = pf__check_reply(&e, copy, len, &forget);
	assert_false(forget);
	free(copy);
	return err;
}

static void link_targets(void **state)
{
	struct pf__expect e = {.opcode = FUSE_READLINK};

	assert_err(check(e, "a/b", 3), 0);
	assert_err(check(e, "", 0), 0);
	assert_err(check(e, "a\0b", 3), -EIO);
	assert_err(check(e, "a", 2), -EIO);
}

/* 12.20 */
static void size_queries(void **state)
{
	static const uint32_t opcodes[] = {FUSE_GETXATTR, FUSE_LISTXATTR};

	for (int i = 0; i < 2; i++) {
		struct pf__expect e = {.opcode = opcodes[i]};
		struct fuse_getxattr_out o = {.size = 65536};
		bool forget;

		assert_err(pf__check_reply(&e, &o, sizeof o, &forget), 0);
		assert_int_equal(o.size, 65536);
		o.size = UINT32_MAX;
		assert_err(pf__check_reply(&e, &o, sizeof o, &forget), 0);
		assert_int_equal(o.size, 65536);
	}
}

/* 12.21 */
static void name_lists(void **state)
{
	struct pf__expect e = {.opcode = FUSE_LISTXATTR, .size = 100};

	assert_err(check(e, "", 0), 0);
	assert_err(check(e, "user.a\0user.b", 14), 0);
	assert_err(check(e, "a", 1), -EIO);
	assert_err(check(e, "user.a\0user.b", 13), -EIO);
	assert_err(check(e, "", 1), -EIO);
	assert_err(check(e, "\0user.b", 8), -EIO);
	assert_err(check(e, "user.a\0\0user.b", 15), -EIO);
	assert_err(check(e, "user.a\0", 8), -EIO);
}

static void values_are_free(void **state)
{
	struct pf__expect e = {.opcode = FUSE_GETXATTR, .size = 100};

	assert_err(check(e, "", 0), 0);
	assert_err(check(e, "\0\0x", 3), 0);
}

struct ioctl_reply {
	struct fuse_ioctl_out out;
	struct fuse_ioctl_iovec iov[300];
};

static const struct pf__expect restricted = {.opcode = FUSE_IOCTL, .size = 100};
static const struct pf__expect unrestricted = {
    .opcode = FUSE_IOCTL, .size = 100, .ioctl_unrestricted = true, .ioctl_iov_max = 1000};

static int ioctl_check(const struct pf__expect *e, const struct ioctl_reply *r, size_t data)
{
	return check(*e, r, sizeof r->out + data);
}

/* 12.23 */
static void ioctl_results(void **state)
{
	struct ioctl_reply r = {{.result = -5}};

	assert_err(ioctl_check(&restricted, &r, 0), 0);
	assert_err(ioctl_check(&restricted, &r, 100), 0);
	assert_err(ioctl_check(&restricted, &r, 101), -EIO);
	assert_err(ioctl_check(&unrestricted, &r, 101), -EIO);
	r.out.result = -ENOSYS;
	assert_err(ioctl_check(&restricted, &r, 0), -ENOTTY);
	/* A negative result that is no errno is nothing that a caller could understand. */
	r.out.result = -4095;
	assert_err(ioctl_check(&restricted, &r, 0), 0);
	r.out.result = -4096;
	assert_err(ioctl_check(&restricted, &r, 0), -EIO);
	r.out.result = INT32_MIN;
	assert_err(ioctl_check(&restricted, &r, 0), -EIO);
	r.out.result = INT32_MAX;
	assert_err(ioctl_check(&restricted, &r, 0), 0);
}

static void ioctl_retries(void **state)
{
	struct ioctl_reply r = {{.flags = FUSE_IOCTL_RETRY, .in_iovs = 2, .out_iovs = 1}};

	assert_err(ioctl_check(&restricted, &r, 48), -EIO);
	assert_err(ioctl_check(&unrestricted, &r, 48), 0);
	assert_err(ioctl_check(&unrestricted, &r, 47), -EIO);
	assert_err(ioctl_check(&unrestricted, &r, 64), -EIO);
	assert_err(ioctl_check(&unrestricted, &r, 0), -EIO);
	r.out.in_iovs = 257;
	assert_err(ioctl_check(&unrestricted, &r, 258 * 16), -ENOMEM);
	r.out.in_iovs = 128;
	r.out.out_iovs = 129;
	assert_err(ioctl_check(&unrestricted, &r, 257 * 16), -ENOMEM);
	r.out.in_iovs = r.out.out_iovs = UINT32_MAX;
	assert_err(ioctl_check(&unrestricted, &r, 0), -ENOMEM);
}

static void ioctl_iovecs_are_bounded(void **state)
{
	struct ioctl_reply r = {{.flags = FUSE_IOCTL_RETRY, .in_iovs = 2, .out_iovs = 1},
				{{0, 600}, {0, 400}, {0, 1000}}};

	assert_err(ioctl_check(&unrestricted, &r, 48), 0);
	r.iov[1].len++;
	assert_err(ioctl_check(&unrestricted, &r, 48), -ENOMEM);
	r.iov[1].len = UINT64_MAX;
	assert_err(ioctl_check(&unrestricted, &r, 48), -ENOMEM);
	r.iov[1].len = 0;
	r.iov[2].len++;
	assert_err(ioctl_check(&unrestricted, &r, 48), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(link_targets),
	    cmocka_unit_test(size_queries),
	    cmocka_unit_test(name_lists),
	    cmocka_unit_test(values_are_free),
	    cmocka_unit_test(ioctl_results),
	    cmocka_unit_test(ioctl_retries),
	    cmocka_unit_test(ioctl_iovecs_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
