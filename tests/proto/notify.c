/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/proto.h"
#include "unit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct pf__dialect dialect = {45, 0, 10}; /* names of at most 10 bytes */
static struct pf__notify n;

/* Parse out of a block that ends with the body. What points into it is checked by in_body. */
static char *block;

static int parse(int32_t code, const void *body, size_t len)
{
	free(block);
	block = malloc(len ? len : 1);
	memcpy(block, body, len);
	return pf__parse_notify(&dialect, code, block, len, &n);
}

static int teardown(void **state)
{
	free(block);
	block = NULL;
	return 0;
}

static void poll(void **state)
{
	struct fuse_notify_poll_wakeup_out o = {.kh = 7};

	assert_err(parse(FUSE_NOTIFY_POLL, &o, sizeof o), 0);
	assert_int_equal(n.code, FUSE_NOTIFY_POLL);
	assert_int_equal(n.kh, 7);
	assert_err(parse(FUSE_NOTIFY_POLL, &o, 7), -EINVAL);
	assert_err(parse(FUSE_NOTIFY_POLL, &o, 0), -EINVAL);
}

static void inval_inode(void **state)
{
	struct fuse_notify_inval_inode_out o = {.ino = 5, .off = -1, .len = -2};
	char longer[25] = {0};

	assert_err(parse(FUSE_NOTIFY_INVAL_INODE, &o, sizeof o), 0);
	assert_int_equal(n.nodeid, 5);
	assert_err(n.off, -1);
	assert_err(n.len, -2);
	assert_err(parse(FUSE_NOTIFY_INVAL_INODE, &o, 23), -EINVAL);
	assert_err(parse(FUSE_NOTIFY_INVAL_INODE, longer, 25), -EINVAL);
}

static int inval_entry(uint32_t namelen, const char *name, size_t bytes)
{
	struct fuse_notify_inval_entry_out o = {.parent = 5, .namelen = namelen, .flags = 1};
	char body[64];

	memcpy(body, &o, sizeof o);
	memcpy(body + sizeof o, name, bytes);
	return parse(FUSE_NOTIFY_INVAL_ENTRY, body, sizeof o + bytes);
}

static void entries(void **state)
{
	assert_err(inval_entry(3, "abc", 4), 0);
	assert_int_equal(n.nodeid, 5);
	assert_int_equal(n.flags, 1);
	assert_int_equal(n.namelen, 3);
	assert_string_equal(n.name, "abc");
	assert_err(inval_entry(10, "0123456789", 11), 0);
	assert_err(inval_entry(11, "0123456789a", 12), -ENAMETOOLONG);
	assert_err(inval_entry(UINT32_MAX, "abc", 4), -ENAMETOOLONG);
	assert_err(inval_entry(3, "abc", 3), -EINVAL);
	assert_err(inval_entry(3, "abc\0", 5), -EINVAL);
	assert_err(inval_entry(3, "abcd", 4), -EINVAL); /* no NUL */
	assert_err(inval_entry(4, "abc", 4), -EINVAL);
	assert_err(inval_entry(0, "", 0), -EINVAL);
	assert_err(inval_entry(0, "", 1), 0);
	assert_err(parse(FUSE_NOTIFY_INVAL_ENTRY, "too short", 9), -EINVAL);
}

static void delete (void **state)
{
	struct {
		struct fuse_notify_delete_out o;
		char name[4];
	} body = {{.parent = 5, .child = 6, .namelen = 3}, "abc"};

	assert_err(parse(FUSE_NOTIFY_DELETE, &body, 28), 0);
	assert_int_equal(n.nodeid, 5);
	assert_int_equal(n.child, 6);
	assert_string_equal(n.name, "abc");
	assert_err(parse(FUSE_NOTIFY_DELETE, &body, 27), -EINVAL);
	assert_err(parse(FUSE_NOTIFY_DELETE, &body, 23), -EINVAL);
	body.o.namelen = 11;
	assert_err(parse(FUSE_NOTIFY_DELETE, &body, 28), -ENAMETOOLONG);
}

static int store(uint64_t offset, uint32_t size, size_t bytes)
{
	struct {
		struct fuse_notify_store_out o;
		char data[100];
	} body = {{.nodeid = 5, .offset = offset, .size = size}, "data"};

	return parse(FUSE_NOTIFY_STORE, &body, bytes);
}

static void stores(void **state)
{
	assert_err(store(4096, 100, 124), 0);
	assert_int_equal(n.nodeid, 5);
	assert_err(n.off, 4096);
	assert_err(n.len, 100);
	assert_memory_equal(n.data, "data", 4);
	assert_err(store(0, 0, 24), 0);
	assert_err(store(0, 100, 123), -EINVAL);
	assert_err(store(0, 99, 124), -EINVAL);
	assert_err(store(0, UINT32_MAX, 124), -EINVAL);
	assert_err(store(0, 0, 23), -EINVAL);
	assert_err(store(INT64_MAX, 100, 124), -EINVAL);
	assert_err(store(UINT64_MAX, 100, 124), -EINVAL);
	assert_err(store(INT64_MAX - 10, 100, 124), 0);
	assert_err(n.len, 10); /* cut where offsets end */
}

static void retrieve(void **state)
{
	struct fuse_notify_retrieve_out o = {
	    .notify_unique = 9, .nodeid = 5, .offset = 4096, .size = UINT32_MAX};

	assert_err(parse(FUSE_NOTIFY_RETRIEVE, &o, sizeof o), 0);
	assert_int_equal(n.unique, 9);
	assert_int_equal(n.nodeid, 5);
	assert_err(n.off, 4096);
	assert_err(n.len, UINT32_MAX);
	assert_err(parse(FUSE_NOTIFY_RETRIEVE, &o, 31), -EINVAL);
	/* Behind the end of every file: that is for the answer to say. */
	o.offset = UINT64_MAX;
	assert_err(parse(FUSE_NOTIFY_RETRIEVE, &o, sizeof o), 0);
	assert_err(n.off, -1);
}

static void prune(void **state)
{
	struct {
		struct fuse_notify_prune_out o;
		uint64_t ids[3];
	} body = {{.count = 3}, {5, 6, 7}};

	assert_err(parse(FUSE_NOTIFY_PRUNE, &body, 40), 0);
	assert_int_equal(n.count, 3);
	assert_memory_equal(n.data, body.ids, sizeof body.ids);
	assert_err(parse(FUSE_NOTIFY_PRUNE, &body, 39), -EINVAL);
	assert_err(parse(FUSE_NOTIFY_PRUNE, &body, 15), -EINVAL);
	body.o.count = 2;
	assert_err(parse(FUSE_NOTIFY_PRUNE, &body, 40), -EINVAL);
	body.o.count = (1u << 29) + 3; /* 8 * count overflows 32 bits to 24 */
	assert_err(parse(FUSE_NOTIFY_PRUNE, &body, 40), -EINVAL);
	body.o.count = 0;
	assert_err(parse(FUSE_NOTIFY_PRUNE, &body, 16), 0);
}

static void empty_ones(void **state)
{
	assert_err(parse(FUSE_NOTIFY_RESEND, "", 0), 0);
	assert_err(parse(FUSE_NOTIFY_INC_EPOCH, "", 0), 0);
	assert_err(parse(FUSE_NOTIFY_RESEND, "x", 1), -EINVAL);
	assert_err(parse(FUSE_NOTIFY_INC_EPOCH, "x", 1), -EINVAL);
}

static void unknown_codes(void **state)
{
	static const int32_t codes[] = {0, -1, 10, 11, 99, INT32_MAX, INT32_MIN};

	for (int i = 0; i < 7; i++)
		assert_err(parse(codes[i], "12345678", 8), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(poll, teardown),
	    cmocka_unit_test_teardown(inval_inode, teardown),
	    cmocka_unit_test_teardown(entries, teardown),
	    cmocka_unit_test_teardown(delete, teardown),
	    cmocka_unit_test_teardown(stores, teardown),
	    cmocka_unit_test_teardown(retrieve, teardown),
	    cmocka_unit_test_teardown(prune, teardown),
	    cmocka_unit_test_teardown(empty_ones, teardown),
	    cmocka_unit_test_teardown(unknown_codes, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
