/* SPDX-License-Identifier: BSD-2-Clause */
/* May this message answer at all, and is it as long as it must be? */
#include "proto/proto.h"
#include "unit.h"
#include <errno.h>

static int header(uint32_t len, int32_t error, uint64_t unique, size_t bytes)
{
	struct fuse_out_header h = {len, error, unique};

	return pf__check_out_header(&h, bytes);
}

/* Rule 12.3. */
static void headers(void **state)
{
	assert_err(header(16, 0, 2, 16), 0);
	assert_err(header(16, -511, 2, 16), 0);
	assert_err(header(16, -512, 2, 16), -EINVAL);
	assert_err(header(16, INT32_MIN, 2, 16), -EINVAL);
	assert_err(header(16, 1, 2, 16), -EINVAL);
	assert_err(header(15, 0, 2, 15), -EINVAL);
	assert_err(header(0, 0, 2, 0), -EINVAL);
	assert_err(header(17, 0, 2, 16), -EINVAL);
	assert_err(header(16, 0, 2, 17), -EINVAL);
}

static void notifications_have_a_code(void **state)
{
	assert_err(header(16, 7, 0, 16), 0);
	assert_err(header(16, 0, 0, 16), -EINVAL);
	assert_err(header(16, -2, 0, 16), -EINVAL);
}

static int body(uint32_t opcode, uint64_t size, int32_t error, size_t len)
{
	struct pf__expect e = {.dialect = {45, 0, 4095}, .opcode = opcode, .size = size};

	return pf__check_reply_size(&e, error, len);
}

/* Rule 12.1, for every operation: one byte less and one more than the fixed size. */
static void fixed_sizes(void **state)
{
	for (uint32_t opcode = 1; opcode < FUSE_OPCODE_END; opcode++) {
		const struct pf__op *op = pf__op_get(opcode);

		if (!op || (op->reply != PF_REPLY_FIXED && op->reply != PF_REPLY_EMPTY))
			continue;
		assert_err(body(opcode, 4096, 0, op->reply_size), 0);
		assert_err(body(opcode, 4096, 0, op->reply_size + 1), -EIO);
		if (op->reply_size)
			assert_err(body(opcode, 4096, 0, op->reply_size - 1), -EIO);
	}
}

/* Rule 12.2. */
static void errors_are_bare(void **state)
{
	for (uint32_t opcode = 1; opcode < FUSE_OPCODE_END; opcode++) {
		const struct pf__op *op = pf__op_get(opcode);

		if (!op || op->reply == PF_REPLY_NONE)
			continue;
		assert_err(body(opcode, 4096, -ENOENT, 0), 0);
		assert_err(body(opcode, 4096, -ENOENT, 1), -EIO);
		assert_err(body(opcode, 4096, -ENOENT, op->reply_size + 1), -EIO);
	}
}

static void nothing_answers_a_forget(void **state)
{
	assert_err(body(FUSE_FORGET, 0, 0, 0), -EIO);
	assert_err(body(FUSE_BATCH_FORGET, 0, -ENOENT, 0), -EIO);
	assert_err(body(FUSE_NOTIFY_REPLY, 0, 0, 0), -EIO);
	assert_err(body(7, 0, 0, 0), -EIO);
}

/* Rules 12.1, 12.14, 12.17. */
static void variable_sizes(void **state)
{
	assert_err(body(FUSE_READ, 4096, 0, 0), 0);
	assert_err(body(FUSE_READ, 4096, 0, 4096), 0);
	assert_err(body(FUSE_READ, 4096, 0, 4097), -EIO);
	assert_err(body(FUSE_READDIR, 100, 0, 101), -EIO);
	assert_err(body(FUSE_READDIRPLUS, 100, 0, 101), -EIO);
	assert_err(body(FUSE_READLINK, 0, 0, 4095), 0);
	assert_err(body(FUSE_READLINK, 0, 0, 4096), -EIO);
	assert_err(body(FUSE_READLINK, 10000, 0, 4096), -EIO);
	assert_err(body(FUSE_READLINK, 10, 0, 11), -EIO);
	assert_err(body(FUSE_INIT, 0, 0, 0), 0);
	assert_err(body(FUSE_INIT, 0, 0, 24), 0);
	assert_err(body(FUSE_INIT, 0, 0, 64), 0);
	assert_err(body(FUSE_INIT, 0, 0, 65), -EIO);
	assert_err(body(FUSE_CUSE_INIT, 0, 0, 71), -EIO);
	assert_err(body(FUSE_CUSE_INIT, 0, 0, 72 + 4096), 0);
	assert_err(body(FUSE_CUSE_INIT, 0, 0, 72 + 4097), -EIO);
}

static void xattr_sizes(void **state)
{
	static const uint32_t opcodes[] = {FUSE_GETXATTR, FUSE_LISTXATTR};

	for (int i = 0; i < 2; i++) {
		assert_err(body(opcodes[i], 0, 0, 8), 0);
		assert_err(body(opcodes[i], 0, 0, 0), -EIO);
		assert_err(body(opcodes[i], 0, 0, 9), -EIO);
		assert_err(body(opcodes[i], 100, 0, 0), 0);
		assert_err(body(opcodes[i], 100, 0, 100), 0);
		assert_err(body(opcodes[i], 100, 0, 101), -EIO);
	}
}

static void ioctl_sizes(void **state)
{
	struct pf__expect e = {.dialect = {45, 0, 4095}, .opcode = FUSE_IOCTL, .size = 10};

	assert_err(pf__check_reply_size(&e, 0, 15), -EIO);
	assert_err(pf__check_reply_size(&e, 0, 16), 0);
	assert_err(pf__check_reply_size(&e, 0, 26), 0);
	assert_err(pf__check_reply_size(&e, 0, 27), -EIO);
	e.ioctl_unrestricted = true;
	assert_err(pf__check_reply_size(&e, 0, 16 + 4096), 0);
	assert_err(pf__check_reply_size(&e, 0, 16 + 4097), -EIO);
}

static void old_minors(void **state)
{
	struct pf__expect e = {.dialect = {8, 0, 1024}, .opcode = FUSE_LOOKUP};

	assert_err(pf__check_reply_size(&e, 0, 120), 0);
	assert_err(pf__check_reply_size(&e, 0, 128), -EIO);
	e.opcode = FUSE_CREATE;
	assert_err(pf__check_reply_size(&e, 0, 136), 0);
	assert_err(pf__check_reply_size(&e, 0, 144), -EIO);
	e.opcode = FUSE_GETATTR;
	assert_err(pf__check_reply_size(&e, 0, 96), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(headers),
	    cmocka_unit_test(notifications_have_a_code),
	    cmocka_unit_test(fixed_sizes),
	    cmocka_unit_test(errors_are_bare),
	    cmocka_unit_test(nothing_answers_a_forget),
	    cmocka_unit_test(variable_sizes),
	    cmocka_unit_test(xattr_sizes),
	    cmocka_unit_test(ioctl_sizes),
	    cmocka_unit_test(old_minors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
