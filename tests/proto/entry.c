/* SPDX-License-Identifier: BSD-2-Clause */
/* Entries and attributes that a server may not give: rules 12.4 to 12.13. */
#include "proto/proto.h"
#include "unit.h"
#include <errno.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define PARENT 40

static struct pf__expect expect(uint32_t opcode, uint32_t mode)
{
	return (struct pf__expect){
	    .dialect = {45, 0, 4095}, .opcode = opcode, .nodeid = PARENT, .mode = mode};
}

static struct fuse_create_out entry(uint64_t nodeid, uint32_t mode)
{
	return (struct fuse_create_out){
	    .entry = {.nodeid = nodeid, .generation = 9, .attr = {.mode = mode, .size = 12}}};
}

static bool forget;

static int check(struct pf__expect e, struct fuse_create_out *c)
{
	forget = true;
	return pf__check_reply(&e, c, sizeof *c, &forget);
}

static int lookup(uint64_t nodeid, uint32_t mode, uint64_t size)
{
	struct fuse_create_out c = entry(nodeid, mode);

	c.entry.attr.size = size;
	return check(expect(FUSE_LOOKUP, 0), &c);
}

static void lookup_negative(void **state)
{
	assert_err(lookup(0, 0, UINT64_MAX), 0); /* 12.4: attributes mean nothing */
	assert_false(forget);
}

static void lookup_bad_attributes(void **state)
{
	static const uint32_t bad_types[] = {0,       0030000, 0050000, 0070000, 0110000,
					     0130000, 0150000, 0160000, 0170000};
	static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR,
					 S_IFBLK, S_IFIFO, S_IFSOCK};

	for (int i = 0; i < 7; i++)
		assert_err(lookup(5, types[i] | 0644, 1), 0);
	for (int i = 0; i < 9; i++)
		assert_err(lookup(5, bad_types[i] | 0644, 1), -EIO); /* 12.5 */
	assert_false(forget);
	assert_err(lookup(5, S_IFREG, INT64_MAX), 0);
	assert_err(lookup(5, S_IFREG, (uint64_t)INT64_MAX + 1), -EIO);
	assert_false(forget);
}

static void lookup_root_or_parent(void **state)
{
	assert_err(lookup(FUSE_ROOT_ID, S_IFDIR, 0), -EIO); /* 12.6 */
	assert_false(forget);
	assert_err(lookup(PARENT, S_IFDIR, 0), -EIO);
	assert_true(forget);
}

static void lookup_of_dots(void **state)
{
	struct pf__expect e = expect(FUSE_LOOKUP, 0);
	struct fuse_create_out c = entry(FUSE_ROOT_ID, S_IFDIR);

	e.dot = true;
	assert_err(check(e, &c), 0);
	assert_int_equal(c.entry.generation, 0); /* 12.7 */
	c = entry(PARENT, S_IFDIR);
	assert_err(check(e, &c), 0);
	assert_int_equal(c.entry.generation, 9);
	assert_false(forget);
}

static void nanoseconds_are_clamped(void **state)
{
	struct fuse_create_out c = entry(5, S_IFREG);

	c.entry.entry_valid_nsec = c.entry.attr_valid_nsec = 1000000000;
	c.entry.attr.atimensec = c.entry.attr.mtimensec = UINT32_MAX;
	c.entry.attr.ctimensec = 999999999;
	assert_err(check(expect(FUSE_LOOKUP, 0), &c), 0);
	assert_int_equal(c.entry.entry_valid_nsec, 999999999);
	assert_int_equal(c.entry.attr_valid_nsec, 999999999);
	assert_int_equal(c.entry.attr.atimensec, 999999999);
	assert_int_equal(c.entry.attr.mtimensec, 999999999);
	assert_int_equal(c.entry.attr.ctimensec, 999999999);
	c = entry(0, 0);
	c.entry.entry_valid_nsec = UINT32_MAX;
	assert_err(check(expect(FUSE_LOOKUP, 0), &c), 0);
	assert_int_equal(c.entry.entry_valid_nsec, 999999999);
}

/* The operations that make an inode, what they ask for, and the type that must come. */
static const struct {
	uint32_t opcode, mode, type;
} makers[] = {
    {FUSE_MKNOD, S_IFIFO, S_IFIFO},  {FUSE_MKNOD, S_IFREG | 0600, S_IFREG},
    {FUSE_MKDIR, 0, S_IFDIR},        {FUSE_MKDIR, S_IFDIR, S_IFDIR},
    {FUSE_SYMLINK, 0, S_IFLNK},      {FUSE_LINK, S_IFREG | 0644, S_IFREG},
    {FUSE_LINK, S_IFSOCK, S_IFSOCK}, {FUSE_CREATE, 0, S_IFREG},
    {FUSE_CREATE, S_IFREG, S_IFREG}, {FUSE_TMPFILE, 0, S_IFREG},
};
#define MAKERS (sizeof makers / sizeof makers[0])

static int make(size_t i, uint64_t nodeid, uint32_t mode, uint64_t size)
{
	struct fuse_create_out c = entry(nodeid, mode);

	c.entry.attr.size = size;
	return check(expect(makers[i].opcode, makers[i].mode), &c);
}

/* 12.10 */
static void created(void **state)
{
	for (size_t i = 0; i < MAKERS; i++) {
		uint32_t type = makers[i].type;

		assert_err(make(i, 5, type | 0600, 0), 0);
		assert_false(forget);
		assert_err(make(i, 0, type, 0), -EIO);
		assert_false(forget);
		assert_err(make(i, FUSE_ROOT_ID, type, 0), -EIO);
		assert_false(forget);
		assert_err(make(i, 5, 0, 0), -EIO);
		assert_err(make(i, 5, type, UINT64_MAX), -EIO);
		assert_err(make(i, 5, S_IFBLK, 0), -EIO); /* none of them asks for that */
		assert_false(forget);
		assert_err(make(i, PARENT, type, 0), -EIO);
		assert_true(forget);
	}
}

static void link_of_unknown_type(void **state)
{
	struct fuse_create_out c = entry(5, S_IFBLK);

	assert_err(check(expect(FUSE_LINK, 0), &c), 0);
}

/* 12.12 */
static void attributes(void **state)
{
	static const uint32_t opcodes[] = {FUSE_GETATTR, FUSE_SETATTR};

	for (int i = 0; i < 2; i++) {
		struct pf__expect e = expect(opcodes[i], S_IFREG | 0644);
		struct fuse_attr_out o = {.attr_valid_nsec = UINT32_MAX,
					  .attr = {.mode = S_IFREG | 0600, .size = 3}};

		assert_err(pf__check_reply(&e, &o, sizeof o, &forget), 0);
		assert_int_equal(o.attr_valid_nsec, 999999999);
		o.attr.mode = S_IFDIR;
		assert_err(pf__check_reply(&e, &o, sizeof o, &forget), -EIO);
		e.mode = 0;
		assert_err(pf__check_reply(&e, &o, sizeof o, &forget), 0);
		o.attr.mode = 0777;
		assert_err(pf__check_reply(&e, &o, sizeof o, &forget), -EIO);
		o.attr.mode = S_IFDIR;
		o.attr.size = UINT64_MAX;
		assert_err(pf__check_reply(&e, &o, sizeof o, &forget), -EIO);
		assert_false(forget);
	}
}

/* 12.12: only what mask has is judged. */
static void statx_fields(void **state)
{
	struct pf__expect e = expect(FUSE_STATX, S_IFREG);
	struct fuse_statx_out o = {
	    .stat = {.mask = STATX_BASIC_STATS, .mode = S_IFREG | 0644, .size = 3}};

	o.stat.btime.tv_nsec = UINT32_MAX;
	assert_err(pf__check_reply(&e, &o, sizeof o, &forget), 0);
	assert_int_equal(o.stat.btime.tv_nsec, 999999999);
	o.stat.mode = S_IFDIR;
	assert_err(pf__check_reply(&e, &o, sizeof o, &forget), -EIO);
	o.stat.mask &= ~STATX_TYPE;
	assert_err(pf__check_reply(&e, &o, sizeof o, &forget), 0);
	o.stat.size = UINT64_MAX;
	assert_err(pf__check_reply(&e, &o, sizeof o, &forget), -EIO);
	o.stat.mask &= ~STATX_SIZE;
	assert_err(pf__check_reply(&e, &o, sizeof o, &forget), 0);
	o.stat.mask = STATX_TYPE;
	o.stat.mode = 0;
	assert_err(pf__check_reply(&e, &o, sizeof o, &forget), -EIO);
}

/* 12.13 */
static void statx_as_attributes(void **state)
{
	struct fuse_statx s = {.mask = STATX_BASIC_STATS | STATX_BTIME,
			       .mode = S_IFCHR | 0600,
			       .size = 3,
			       .ino = 4,
			       .nlink = 2,
			       .rdev_major = 8,
			       .rdev_minor = 300,
			       .mtime = {.tv_sec = -5, .tv_nsec = 6}};
	struct fuse_attr a;

	assert_true(pf__statx_to_attr(&s, &a));
	assert_int_equal(a.mode, S_IFCHR | 0600);
	assert_int_equal(a.size, 3);
	assert_int_equal(a.ino, 4);
	assert_int_equal(a.nlink, 2);
	assert_err((int64_t)a.mtime, -5);
	assert_int_equal(a.mtimensec, 6);
	assert_true(pf__decode_dev(a.rdev) == makedev(8, 300));
	s.mask &= ~STATX_BLOCKS;
	assert_false(pf__statx_to_attr(&s, &a));
}

static void device_numbers(void **state)
{
	assert_int_equal(pf__encode_dev(makedev(8, 1)), 0x801);
	assert_int_equal(pf__encode_dev(makedev(0xabc, 0xdef12)), 0xdefabc12);
	assert_true(pf__decode_dev(0xdefabc12) == makedev(0xabc, 0xdef12));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lookup_negative),
	    cmocka_unit_test(lookup_bad_attributes),
	    cmocka_unit_test(lookup_root_or_parent),
	    cmocka_unit_test(lookup_of_dots),
	    cmocka_unit_test(nanoseconds_are_clamped),
	    cmocka_unit_test(created),
	    cmocka_unit_test(link_of_unknown_type),
	    cmocka_unit_test(attributes),
	    cmocka_unit_test(statx_fields),
	    cmocka_unit_test(statx_as_attributes),
	    cmocka_unit_test(device_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
