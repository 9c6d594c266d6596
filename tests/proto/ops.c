/* SPDX-License-Identifier: BSD-2-Clause */
/* The table against a second copy of what the protocol says: a slip in one shows. */
#include "proto/proto.h"
#include "unit.h"
#include <errno.h>
#include <string.h>

static const struct {
	uint32_t opcode, since, in, reply;
	enum pf__reply_kind kind;
	unsigned names;
	bool creates;
	const char *name;
} expected[] = {
    {1, 1, 0, 128, PF_REPLY_FIXED, 1, 0, "LOOKUP"},
    {2, 1, 8, 0, PF_REPLY_NONE, 0, 0, "FORGET"},
    {3, 1, 16, 104, PF_REPLY_FIXED, 0, 0, "GETATTR"},
    {4, 1, 88, 104, PF_REPLY_FIXED, 0, 0, "SETATTR"},
    {5, 1, 0, 0, PF_REPLY_UPTO, 0, 0, "READLINK"},
    {6, 1, 0, 128, PF_REPLY_FIXED, 2, 1, "SYMLINK"},
    {8, 1, 16, 128, PF_REPLY_FIXED, 1, 1, "MKNOD"},
    {9, 1, 8, 128, PF_REPLY_FIXED, 1, 1, "MKDIR"},
    {10, 1, 0, 0, PF_REPLY_EMPTY, 1, 0, "UNLINK"},
    {11, 1, 0, 0, PF_REPLY_EMPTY, 1, 0, "RMDIR"},
    {12, 1, 8, 0, PF_REPLY_EMPTY, 2, 0, "RENAME"},
    {13, 1, 8, 128, PF_REPLY_FIXED, 1, 0, "LINK"},
    {14, 1, 8, 16, PF_REPLY_FIXED, 0, 0, "OPEN"},
    {15, 1, 40, 0, PF_REPLY_UPTO, 0, 0, "READ"},
    {16, 1, 40, 8, PF_REPLY_FIXED, 0, 0, "WRITE"},
    {17, 1, 0, 80, PF_REPLY_FIXED, 0, 0, "STATFS"},
    {18, 1, 24, 0, PF_REPLY_EMPTY, 0, 0, "RELEASE"},
    {20, 1, 16, 0, PF_REPLY_EMPTY, 0, 0, "FSYNC"},
    {21, 1, 16, 0, PF_REPLY_EMPTY, 1, 0, "SETXATTR"},
    {22, 1, 8, 0, PF_REPLY_UPTO, 1, 0, "GETXATTR"},
    {23, 1, 8, 0, PF_REPLY_UPTO, 0, 0, "LISTXATTR"},
    {24, 1, 0, 0, PF_REPLY_EMPTY, 1, 0, "REMOVEXATTR"},
    {25, 1, 24, 0, PF_REPLY_EMPTY, 0, 0, "FLUSH"},
    {26, 1, 64, 0, PF_REPLY_UPTO, 0, 0, "INIT"},
    {27, 1, 8, 16, PF_REPLY_FIXED, 0, 0, "OPENDIR"},
    {28, 1, 40, 0, PF_REPLY_UPTO, 0, 0, "READDIR"},
    {29, 1, 24, 0, PF_REPLY_EMPTY, 0, 0, "RELEASEDIR"},
    {30, 2, 16, 0, PF_REPLY_EMPTY, 0, 0, "FSYNCDIR"},
    {31, 7, 48, 24, PF_REPLY_FIXED, 0, 0, "GETLK"},
    {32, 7, 48, 0, PF_REPLY_EMPTY, 0, 0, "SETLK"},
    {33, 7, 48, 0, PF_REPLY_EMPTY, 0, 0, "SETLKW"},
    {34, 3, 8, 0, PF_REPLY_EMPTY, 0, 0, "ACCESS"},
    {35, 3, 16, 144, PF_REPLY_FIXED, 1, 1, "CREATE"},
    {36, 7, 8, 0, PF_REPLY_EMPTY, 0, 0, "INTERRUPT"},
    {37, 8, 16, 8, PF_REPLY_FIXED, 0, 0, "BMAP"},
    {38, 8, 0, 0, PF_REPLY_EMPTY, 0, 0, "DESTROY"},
    {39, 11, 32, 16, PF_REPLY_UPTO, 0, 0, "IOCTL"},
    {40, 11, 24, 8, PF_REPLY_FIXED, 0, 0, "POLL"},
    {41, 15, 40, 0, PF_REPLY_NONE, 0, 0, "NOTIFY_REPLY"},
    {42, 16, 8, 0, PF_REPLY_NONE, 0, 0, "BATCH_FORGET"},
    {43, 19, 32, 0, PF_REPLY_EMPTY, 0, 0, "FALLOCATE"},
    {44, 21, 40, 0, PF_REPLY_UPTO, 0, 0, "READDIRPLUS"},
    {45, 23, 16, 0, PF_REPLY_EMPTY, 2, 0, "RENAME2"},
    {46, 24, 24, 8, PF_REPLY_FIXED, 0, 0, "LSEEK"},
    {47, 28, 56, 8, PF_REPLY_FIXED, 0, 0, "COPY_FILE_RANGE"},
    {48, 31, 40, 0, PF_REPLY_EMPTY, 0, 0, "SETUPMAPPING"},
    {49, 31, 4, 0, PF_REPLY_EMPTY, 0, 0, "REMOVEMAPPING"},
    {50, 34, 8, 0, PF_REPLY_EMPTY, 0, 0, "SYNCFS"},
    {51, 37, 16, 144, PF_REPLY_FIXED, 1, 1, "TMPFILE"},
    {52, 39, 24, 288, PF_REPLY_FIXED, 0, 0, "STATX"},
    {53, 45, 56, 8, PF_REPLY_FIXED, 0, 0, "COPY_FILE_RANGE_64"},
    {4096, 11, 16, 72, PF_REPLY_UPTO, 0, 0, "CUSE_INIT"},
};
#define N (sizeof expected / sizeof expected[0])

static void table_is_the_protocols(void **state)
{
	for (size_t i = 0; i < N; i++) {
		const struct pf__op *op = pf__op_get(expected[i].opcode);

		assert_non_null(op);
		assert_int_equal(op->opcode, expected[i].opcode);
		assert_string_equal(op->name, expected[i].name);
		assert_string_equal(pf__op_name(op->opcode), expected[i].name);
		assert_int_equal(op->since, expected[i].since);
		assert_int_equal(op->in_size, expected[i].in);
		assert_int_equal(op->reply_size, expected[i].reply);
		assert_int_equal(op->reply, expected[i].kind);
		assert_int_equal(op->names, expected[i].names);
		assert_int_equal(op->creates, expected[i].creates);
	}
}

static void no_others_exist(void **state)
{
	size_t known = 0;

	for (uint32_t opcode = 0; opcode < 70000; opcode++)
		known += pf__op_get(opcode) != NULL;
	assert_int_equal(known, N);
	assert_null(pf__op_get(436207616)); /* INIT in the other byte order */
	assert_null(pf__op_get(1048576));
	assert_null(pf__op_get(UINT32_MAX));
}

static void numbers_without_names(void **state)
{
	assert_string_equal(pf__op_name(7), "OP-7");
	assert_string_equal(pf__op_name(UINT32_MAX), "OP-4294967295");
	assert_string_equal(pf__notify_name(1), "POLL");
	assert_string_equal(pf__notify_name(9), "PRUNE");
	assert_string_equal(pf__notify_name(0), "NOTIFY-0");
	assert_string_equal(pf__notify_name(10), "NOTIFY-10");
	assert_string_equal(pf__notify_name(INT32_MIN), "NOTIFY--2147483648");
}

static void errno_names(void **state)
{
	assert_string_equal(pf__errno_name(ENOENT), "ENOENT");
	assert_string_equal(pf__errno_name(-ENOENT), "ENOENT");
	assert_string_equal(pf__errno_name(-511), "E-511");
	assert_string_equal(pf__errno_name(INT32_MIN), "E-2147483648");
}

static void init_flag_names(void **state)
{
	assert_string_equal(pf__init_flag_name(0), "ASYNC_READ");
	assert_string_equal(pf__init_flag_name(__builtin_ctzll(FUSE_INIT_EXT)), "INIT_EXT");
	assert_string_equal(pf__init_flag_name(__builtin_ctzll(FUSE_PASSTHROUGH)), "PASSTHROUGH");
	assert_string_equal(pf__init_flag_name(42), "REQUEST_TIMEOUT");
	assert_null(pf__init_flag_name(43));
	assert_null(pf__init_flag_name(UINT32_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table_is_the_protocols), cmocka_unit_test(no_others_exist),
	    cmocka_unit_test(numbers_without_names),  cmocka_unit_test(errno_names),
	    cmocka_unit_test(init_flag_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
