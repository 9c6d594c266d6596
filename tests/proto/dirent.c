/* SPDX-License-Identifier: BSD-2-Clause */
/* Directory records, friendly and hostile: rules 12.18 and 12.19. */
#include "proto/proto.h"
#include "unit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct pf__dialect dialect = {45, 0, 4095};

static char buf[16384] __attribute__((aligned(8)));
static size_t len;

static void put_bytes(const void *p, size_t n)
{
	memcpy(buf + len, p, n);
	len += n;
}

static void put_name(uint32_t namelen, const char *name, size_t bytes)
{
	struct fuse_dirent d = {.ino = 10 + len, .off = len + 1, .namelen = namelen, .type = 8};

	put_bytes(&d, sizeof d);
	put_bytes(name, bytes);
	while (len % 8)
		buf[len++] = 0;
}

static void put(const char *name)
{
	put_name(strlen(name), name, strlen(name));
}

static struct fuse_entry_out *put_plus(const char *name, uint64_t nodeid)
{
	struct fuse_entry_out e = {.nodeid = nodeid, .attr = {.mode = S_IFREG}};
	size_t at = len;

	put_bytes(&e, sizeof e);
	put(name);
	return (struct fuse_entry_out *)(buf + at);
}

/* Read the records out of a block that ends with them; what the last call returned. */
static int read_all(bool plus, size_t bytes, unsigned *count, struct pf__dir_record *last)
{
	char *copy = malloc(bytes ? bytes : 1);
	size_t pos = 0, before;
	int n;

	memcpy(copy, buf, bytes);
	*count = 0;
	do {
		before = pos;
		n = pf__dir_next(&dialect, plus, copy, bytes, &pos, last);
		assert_true(n == 1 ? pos > before && pos <= bytes : pos == before);
		*count += n == 1;
	} while (n == 1);
	free(copy);
	return n;
}

static int reset(void **state)
{
	len = 0;
	memset(buf, 0, sizeof buf);
	return 0;
}

static void plain_records(void **state)
{
	struct pf__dir_record r;
	size_t pos = 0;

	put("a");
	put("eight888");
	assert_err(pf__dir_next(&dialect, false, buf, len, &pos, &r), 1);
	assert_int_equal(r.ino, 10);
	assert_int_equal(r.off, 1);
	assert_int_equal(r.type, 8);
	assert_int_equal(r.namelen, 1);
	assert_memory_equal(r.name, "a", 1);
	assert_null(r.entry);
	assert_false(r.link || r.forget);
	assert_int_equal(pos, 32);
	assert_err(pf__dir_next(&dialect, false, buf, len, &pos, &r), 1);
	assert_memory_equal(r.name, "eight888", 8);
	assert_int_equal(pos, 64);
	assert_err(pf__dir_next(&dialect, false, buf, len, &pos, &r), 0);
}

static void empty(void **state)
{
	struct pf__dir_record r;
	unsigned n;

	assert_err(read_all(false, 0, &n, &r), 0);
	assert_int_equal(n, 0);
}

static void cut_anywhere_is_the_end(void **state)
{
	struct pf__dir_record r;
	unsigned n;

	put("first");
	put("second name");
	for (size_t bytes = 0; bytes <= len; bytes++) {
		assert_err(read_all(false, bytes, &n, &r), 0);
		assert_int_equal(n, bytes < 32 ? 0 : bytes < len ? 1 : 2);
	}
	len = 0;
	put_plus("first", 5);
	put_plus("second name", 6);
	for (size_t bytes = 0; bytes <= len; bytes++) {
		assert_err(read_all(true, bytes, &n, &r), 0);
		assert_int_equal(n, bytes < 160 ? 0 : bytes < len ? 1 : 2);
	}
}

static void bad_names_fail_where_they_stand(void **state)
{
	static const struct {
		uint32_t namelen;
		const char *name;
	} bad[] = {{0, ""},    {4096, ""}, {UINT32_MAX, ""}, {UINT32_MAX - 23, ""},
		   {3, "a/b"}, {1, "/"},   {4, "abc/"}};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct pf__dir_record r;
		unsigned n;

		reset(NULL);
		put("good");
		put_name(bad[i].namelen, bad[i].name, strlen(bad[i].name));
		assert_err(read_all(false, len, &n, &r), -EIO);
		assert_int_equal(n, 1); /* the earlier one was delivered */
	}
}

static void longest_name(void **state)
{
	static char name[4096];
	struct pf__dir_record r;
	unsigned n;

	memset(name, 'n', 4095);
	put(name);
	assert_err(read_all(false, len, &n, &r), 0);
	assert_int_equal(n, 1);
	assert_int_equal(r.namelen, 4095);
}

/* A name that promises more bytes than there are is a record cut off, not an error. */
static void name_longer_than_the_buffer(void **state)
{
	struct pf__dir_record r;
	unsigned n;

	put_name(1000, "x", 1);
	assert_err(read_all(false, len, &n, &r), 0);
	assert_int_equal(n, 0);
}

static void position_past_the_end(void **state)
{
	struct pf__dir_record r;
	size_t pos = 1000;

	put("a");
	assert_err(pf__dir_next(&dialect, false, buf, len, &pos, &r), 0);
}

static struct pf__dir_record one(const char *name, uint64_t nodeid, uint32_t mode, uint64_t size)
{
	struct pf__dir_record r;
	struct fuse_entry_out *e;
	size_t pos = 0;

	reset(NULL);
	e = put_plus(name, nodeid);
	e->attr.mode = mode;
	e->attr.size = size;
	e->attr.mtimensec = UINT32_MAX;
	assert_err(pf__dir_next(&dialect, true, buf, len, &pos, &r), 1);
	assert_ptr_equal(r.entry, buf);
	assert_int_equal(r.entry->attr.mtimensec, 999999999);
	return r;
}

/* 12.19 */
static void plus_entries(void **state)
{
	struct pf__dir_record r = one("f", 5, S_IFREG, 0);

	assert_true(r.link && !r.forget);
	r = one("f", 0, 0, UINT64_MAX);
	assert_true(!r.link && !r.forget);
	r = one(".", 5, S_IFDIR, 0);
	assert_true(!r.link && !r.forget);
	r = one("..", 1, S_IFDIR, 0);
	assert_true(!r.link && !r.forget);
	r = one("...", 5, S_IFDIR, 0);
	assert_true(r.link && !r.forget);
	r = one("f", FUSE_ROOT_ID, S_IFDIR, 0);
	assert_true(!r.link && r.forget);
	r = one("f", 5, 0, 0);
	assert_true(!r.link && r.forget);
	r = one("f", 5, S_IFREG, UINT64_MAX);
	assert_true(!r.link && r.forget);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(plain_records, reset),
	    cmocka_unit_test_setup(empty, reset),
	    cmocka_unit_test_setup(cut_anywhere_is_the_end, reset),
	    cmocka_unit_test_setup(bad_names_fail_where_they_stand, reset),
	    cmocka_unit_test_setup(longest_name, reset),
	    cmocka_unit_test_setup(name_longer_than_the_buffer, reset),
	    cmocka_unit_test_setup(position_past_the_end, reset),
	    cmocka_unit_test_setup(plus_entries, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
