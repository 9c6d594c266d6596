/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizes by minor: 8, 11, 12, 22 and 45 stand on both sides of each step. */
#include "proto/proto.h"
#include "unit.h"
#include <string.h>

static const unsigned minors[] = {8, 11, 12, 22, 45};
#define MINORS 5

static struct pf__dialect dialect(unsigned minor)
{
	return (struct pf__dialect){.minor = minor, .name_max = 1024};
}

static void check_in(uint32_t opcode, const uint32_t sizes[MINORS])
{
	for (int i = 0; i < MINORS; i++) {
		struct pf__dialect d = dialect(minors[i]);
		char arg[128] = {0};

		assert_int_equal(pf__in_size(&d, opcode), sizes[i]);
		assert_int_equal(pf__in_compat(&d, opcode, arg), sizes[i]);
	}
}

static void check_reply(uint32_t opcode, const uint32_t sizes[MINORS])
{
	for (int i = 0; i < MINORS; i++) {
		struct pf__dialect d = dialect(minors[i]);

		assert_int_equal(pf__reply_size(&d, opcode), sizes[i]);
	}
}

static void requests(void **state)
{
	check_in(FUSE_WRITE, (uint32_t[]){24, 40, 40, 40, 40});
	check_in(FUSE_MKNOD, (uint32_t[]){8, 8, 16, 16, 16});
	check_in(FUSE_CREATE, (uint32_t[]){8, 8, 16, 16, 16});
	check_in(FUSE_GETATTR, (uint32_t[]){16, 16, 16, 16, 16});
	check_in(FUSE_READ, (uint32_t[]){40, 40, 40, 40, 40});
	check_in(FUSE_GETLK, (uint32_t[]){48, 48, 48, 48, 48});
	check_in(FUSE_INIT, (uint32_t[]){64, 64, 64, 64, 64});
	check_in(FUSE_LOOKUP, (uint32_t[]){0, 0, 0, 0, 0});
	check_in(7, (uint32_t[]){0, 0, 0, 0, 0});
}

static void setxattr_by_flag(void **state)
{
	struct pf__dialect d = dialect(45);
	struct fuse_setxattr_in in = {.size = 1};

	assert_int_equal(pf__in_size(&d, FUSE_SETXATTR), 8);
	d.flags = FUSE_SETXATTR_EXT;
	assert_int_equal(pf__in_size(&d, FUSE_SETXATTR), 16);
	assert_int_equal(pf__in_compat(&d, FUSE_SETXATTR, &in), 16);
}

static void ctime_only_where_known(void **state)
{
	struct fuse_setattr_in in = {.valid = FATTR_CTIME | FATTR_MTIME};
	struct pf__dialect d = dialect(23);

	assert_int_equal(pf__in_compat(&d, FUSE_SETATTR, &in), 88);
	assert_int_equal(in.valid, FATTR_CTIME | FATTR_MTIME);
	d = dialect(22);
	pf__in_compat(&d, FUSE_SETATTR, &in);
	assert_int_equal(in.valid, FATTR_MTIME);
}

static void replies(void **state)
{
	static const uint32_t with_entry[] = {FUSE_LOOKUP, FUSE_MKNOD, FUSE_MKDIR, FUSE_SYMLINK,
					      FUSE_LINK};

	for (int i = 0; i < 5; i++)
		check_reply(with_entry[i], (uint32_t[]){120, 128, 128, 128, 128});
	check_reply(FUSE_CREATE, (uint32_t[]){136, 144, 144, 144, 144});
	check_reply(FUSE_GETATTR, (uint32_t[]){96, 104, 104, 104, 104});
	check_reply(FUSE_SETATTR, (uint32_t[]){96, 104, 104, 104, 104});
	check_reply(FUSE_STATFS, (uint32_t[]){80, 80, 80, 80, 80});
	check_reply(FUSE_OPEN, (uint32_t[]){16, 16, 16, 16, 16});
	check_reply(7, (uint32_t[]){0, 0, 0, 0, 0});
}

/* Fill what an old server sends with 0x11, the room behind it with 0xff. */
static void received(void *buf, size_t sent, size_t room)
{
	memset(buf, 0xff, room);
	memset(buf, 0x11, sent);
}

static void expand_entry(void **state)
{
	struct pf__dialect d = dialect(8);
	struct fuse_entry_out e;

	received(&e, 120, sizeof e);
	pf__reply_expand(&d, FUSE_LOOKUP, &e);
	assert_int_equal(e.attr.rdev, 0x11111111);
	assert_int_equal(e.attr.blksize, 0);
	assert_int_equal(e.attr.flags, 0);
}

static void expand_create(void **state)
{
	struct pf__dialect d = dialect(8);
	struct fuse_create_out c;
	struct fuse_open_out open = {.fh = 77, .open_flags = 3};

	received(&c, 136, sizeof c);
	memcpy((char *)&c + 120, &open, sizeof open);
	pf__reply_expand(&d, FUSE_CREATE, &c);
	assert_int_equal(c.entry.attr.rdev, 0x11111111);
	assert_int_equal(c.entry.attr.blksize, 0);
	assert_int_equal(c.entry.attr.flags, 0);
	assert_int_equal(c.open.fh, 77);
	assert_int_equal(c.open.open_flags, 3);
	assert_int_equal(c.open.backing_id, 0);
}

static void expand_attr_and_statfs(void **state)
{
	struct pf__dialect d = dialect(8);
	struct fuse_attr_out a;
	struct fuse_statfs_out s;

	received(&a, 96, sizeof a);
	pf__reply_expand(&d, FUSE_SETATTR, &a);
	assert_int_equal(a.attr.rdev, 0x11111111);
	assert_int_equal(a.attr.flags, 0);
	d = dialect(3);
	assert_int_equal(pf__reply_size(&d, FUSE_STATFS), 48);
	received(&s, 48, sizeof s);
	pf__reply_expand(&d, FUSE_STATFS, &s);
	assert_int_equal(s.st.namelen, 0x11111111);
	assert_int_equal(s.st.frsize, 0);
}

static void newest_is_left_alone(void **state)
{
	struct pf__dialect d = dialect(9);
	struct fuse_create_out c;

	received(&c, sizeof c, sizeof c);
	pf__reply_expand(&d, FUSE_CREATE, &c);
	pf__reply_expand(&d, FUSE_OPEN, &c);
	pf__reply_expand(&d, 7, &c);
	for (size_t i = 0; i < sizeof c; i++)
		assert_int_equal(((unsigned char *)&c)[i], 0x11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests),
	    cmocka_unit_test(setxattr_by_flag),
	    cmocka_unit_test(ctime_only_where_known),
	    cmocka_unit_test(replies),
	    cmocka_unit_test(expand_entry),
	    cmocka_unit_test(expand_create),
	    cmocka_unit_test(expand_attr_and_statfs),
	    cmocka_unit_test(newest_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
