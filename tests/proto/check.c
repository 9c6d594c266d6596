/* SPDX-License-Identifier: BSD-2-Clause */
/* Fixed replies other than entries and attributes. */
#include "proto/proto.h"
#include "unit.h"
#include <errno.h>
#include <sys/stat.h>

static int check(uint32_t opcode, uint64_t size, uint64_t flags, void *body, size_t len)
{
	struct pf__expect e = {.dialect = {45, flags, 4095}, .opcode = opcode, .size = size};
	bool forget = true;
	int err = pf__check_reply(&e, body, len, &forget);

	assert_int_equal(forget, err && (opcode == FUSE_CREATE || opcode == FUSE_TMPFILE));
	return err;
}

/* 12.15, 12.16 */
static void counts(void **state)
{
	struct fuse_write_out w = {.size = 100};
	struct fuse_copy_file_range_out c = {.bytes_copied = 1ull << 40};

	assert_err(check(FUSE_WRITE, 100, 0, &w, sizeof w), 0);
	assert_err(check(FUSE_WRITE, 99, 0, &w, sizeof w), -EIO);
	assert_err(check(FUSE_COPY_FILE_RANGE, 100, 0, &w, sizeof w), 0);
	assert_err(check(FUSE_COPY_FILE_RANGE, 99, 0, &w, sizeof w), -EIO);
	assert_err(check(FUSE_COPY_FILE_RANGE_64, 1ull << 40, 0, &c, sizeof c), 0);
	assert_err(check(FUSE_COPY_FILE_RANGE_64, (1ull << 40) - 1, 0, &c, sizeof c), -EIO);
}

/* 12.24 */
static void seek(void **state)
{
	struct fuse_lseek_out o = {.offset = INT64_MAX};

	assert_err(check(FUSE_LSEEK, 0, 0, &o, sizeof o), 0);
	o.offset++;
	assert_err(check(FUSE_LSEEK, 0, 0, &o, sizeof o), -EINVAL);
}

static int lock(uint32_t type, uint64_t start, uint64_t end, uint32_t pid)
{
	struct fuse_lk_out o = {{.start = start, .end = end, .type = type, .pid = pid}};

	return check(FUSE_GETLK, 0, 0, &o, sizeof o);
}

/* 12.22 */
static void locks(void **state)
{
	const uint64_t max = INT64_MAX;

	assert_err(lock(0, 0, max, 1), 0);
	assert_err(lock(1, 5, 5, INT32_MAX), 0);
	assert_err(lock(2, UINT64_MAX, 0, UINT32_MAX), 0); /* unlocked: the rest means nothing */
	assert_err(lock(3, 0, 0, 1), -EIO);
	assert_err(lock(UINT32_MAX, 0, 0, 1), -EIO);
	assert_err(lock(0, max + 1, max + 1, 1), -EIO);
	assert_err(lock(0, 0, max + 1, 1), -EIO);
	assert_err(lock(1, 6, 5, 1), -EIO);
	assert_err(lock(1, 0, 0, 0x80000000), -EIO);
	assert_err(lock(1, 0, 0, UINT32_MAX), 0); /* held by an open file */
}

static int open_reply(uint32_t opcode, uint64_t init, uint32_t flags, int backing,
		      uint32_t *settled)
{
	struct fuse_create_out c = {
	    .entry = {.nodeid = 5, .attr = {.mode = S_IFREG}},
	    .open = {.open_flags = flags, .backing_id = backing},
	};
	bool creates = opcode == FUSE_CREATE || opcode == FUSE_TMPFILE;
	int err = creates ? check(opcode, 0, init, &c, sizeof c)
			  : check(opcode, 0, init, &c.open, sizeof c.open);

	*settled = c.open.open_flags;
	return err;
}

/* 12.25 */
static void passthrough(void **state)
{
	static const uint32_t opcodes[] = {FUSE_OPEN, FUSE_CREATE, FUSE_TMPFILE};
	uint32_t f;

	for (int i = 0; i < 3; i++) {
		uint32_t op = opcodes[i];

		assert_err(open_reply(op, FUSE_PASSTHROUGH, FOPEN_PASSTHROUGH, 1, &f), 0);
		assert_err(open_reply(op, FUSE_PASSTHROUGH,
				      FOPEN_PASSTHROUGH | FOPEN_DIRECT_IO | FOPEN_NOFLUSH |
					  FOPEN_PARALLEL_DIRECT_WRITES,
				      1, &f),
			   0);
		assert_err(open_reply(op, 0, FOPEN_PASSTHROUGH, 1, &f), -EIO);
		assert_err(open_reply(op, FUSE_PASSTHROUGH, FOPEN_PASSTHROUGH, 0, &f), -EIO);
		assert_err(open_reply(op, FUSE_PASSTHROUGH, FOPEN_PASSTHROUGH, -1, &f), -EIO);
		assert_err(
		    open_reply(op, FUSE_PASSTHROUGH, FOPEN_PASSTHROUGH | FOPEN_KEEP_CACHE, 1, &f),
		    -EIO);
	}
	assert_err(open_reply(FUSE_OPENDIR, 0, FOPEN_PASSTHROUGH, 0, &f), 0);
	assert_int_equal(f, 0);
}

static void overruled_open_flags(void **state)
{
	uint32_t f;

	open_reply(FUSE_OPEN, 0, FOPEN_PARALLEL_DIRECT_WRITES, 0, &f);
	assert_int_equal(f, 0);
	open_reply(FUSE_OPEN, 0, FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_DIRECT_IO, 0, &f);
	assert_int_equal(f, FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_DIRECT_IO);
	open_reply(FUSE_OPEN, 0, FOPEN_STREAM | FOPEN_NONSEEKABLE, 0, &f);
	assert_int_equal(f, FOPEN_STREAM);
	open_reply(FUSE_OPENDIR, 0, FOPEN_DIRECT_IO | FOPEN_CACHE_DIR, 0, &f);
	assert_int_equal(f, FOPEN_CACHE_DIR);
	open_reply(FUSE_OPEN, 0, 0xffffff00, 0, &f); /* unknown ones stay, they do no harm */
	assert_int_equal(f, 0xffffff00);
}

/* 12.28 */
static void cuse(void **state)
{
	struct cuse_init_out o = {.major = 7, .minor = 11};

	assert_err(check(FUSE_CUSE_INIT, 0, 0, &o, sizeof o), 0);
	o.minor = 10;
	assert_err(check(FUSE_CUSE_INIT, 0, 0, &o, sizeof o), -EIO);
	o = (struct cuse_init_out){.major = 8, .minor = 11};
	assert_err(check(FUSE_CUSE_INIT, 0, 0, &o, sizeof o), -EIO);
}

static void anything_goes(void **state)
{
	struct fuse_statfs_out o = {.st = {.blocks = UINT64_MAX, .namelen = UINT32_MAX}};

	assert_err(check(FUSE_STATFS, 0, 0, &o, sizeof o), 0);
	assert_err(check(FUSE_UNLINK, 0, 0, NULL, 0), 0);
	assert_err(check(7, 0, 0, NULL, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(counts),
	    cmocka_unit_test(seek),
	    cmocka_unit_test(locks),
	    cmocka_unit_test(passthrough),
	    cmocka_unit_test(overruled_open_flags),
	    cmocka_unit_test(cuse),
	    cmocka_unit_test(anything_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
