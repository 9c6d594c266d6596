/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/proto.h"
#include "unit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char msg[8192], line[4096];
static size_t len;

static void put(const void *p, size_t n)
{
	memcpy(msg + len, p, n);
	len += n;
}

static void request(uint32_t opcode, uint64_t nodeid)
{
	struct fuse_in_header h = {.opcode = opcode, .unique = 2, .nodeid = nodeid};

	len = 0;
	put(&h, sizeof h);
}

static void reply(int32_t error, uint64_t unique)
{
	struct fuse_out_header h = {.error = error, .unique = unique};

	len = 0;
	put(&h, sizeof h);
}

static void assert_request(const char *text)
{
	pf__print_request(line, sizeof line, msg, len);
	assert_string_equal(line, text);
}

static void assert_reply(uint32_t opcode, const char *text)
{
	pf__print_reply(line, sizeof line, opcode, msg, len);
	assert_string_equal(line, text);
}

static void lookup(void **state)
{
	struct fuse_entry_out e = {.nodeid = 5,
				   .entry_valid = 1,
				   .attr_valid = 1,
				   .attr = {.mode = S_IFREG | 0644, .size = 12, .nlink = 1}};

	request(FUSE_LOOKUP, 1);
	put("foo", 4);
	assert_request("LOOKUP(#2, node 1, \"foo\")");
	reply(0, 2);
	put(&e, sizeof e);
	assert_reply(FUSE_LOOKUP,
		     " = #2 0 {node 5, gen 0, entry 1s, attr 1s, mode 0100644, size 12}");
	len -= 8; /* the form of before 7.9 */
	assert_reply(FUSE_LOOKUP,
		     " = #2 0 {node 5, gen 0, entry 1s, attr 1s, mode 0100644, size 12}");
	reply(-ENOENT, 2);
	assert_reply(FUSE_LOOKUP, " = #2 -ENOENT");
	reply(0, 2);
	e = (struct fuse_entry_out){.entry_valid_nsec = 500000000};
	put(&e, sizeof e);
	assert_reply(FUSE_LOOKUP, " = #2 0 {negative, entry 0.5s}");
}

static void names_are_escaped(void **state)
{
	request(FUSE_UNLINK, 1);
	put("a\"\\\n\x1b\xc3\xa4", 8);
	assert_request("UNLINK(#2, node 1, \"a\\\"\\\\\\x0a\\x1b\\xc3\\xa4\")");
}

static void old_and_new_forms(void **state)
{
	struct fuse_create_in c = {.flags = 02, .mode = S_IFREG | 0644, .umask = 022};
	struct fuse_write_in w = {.fh = 3, .offset = 4096, .size = 5};
	struct fuse_setxattr_in x = {.size = 2, .flags = 1};

	request(FUSE_CREATE, 1);
	put(&c, sizeof c);
	put("f", 2);
	assert_request("CREATE(#2, node 1, \"f\", O_RDWR, mode 0100644, umask 022)");
	request(FUSE_CREATE, 1);
	put(&c, 8);
	put("f", 2);
	assert_request("CREATE(#2, node 1, \"f\", O_RDWR, mode 0100644)");
	request(FUSE_WRITE, 5);
	put(&w, sizeof w);
	put("hello", 5);
	assert_request("WRITE(#2, node 5, fh 3, offset 4096, size 5)");
	request(FUSE_WRITE, 5);
	put(&w, 24);
	put("hello", 5);
	assert_request("WRITE(#2, node 5, fh 3, offset 4096, size 5)");
	request(FUSE_SETXATTR, 5);
	put(&x, sizeof x);
	put("user.a\0vv", 9);
	assert_request("SETXATTR(#2, node 5, \"user.a\", size 2, CREATE)");
	request(FUSE_SETXATTR, 5);
	put(&x, 8);
	put("user.a\0vv", 9);
	assert_request("SETXATTR(#2, node 5, \"user.a\", size 2, CREATE)");
}

static void various_requests(void **state)
{
	struct fuse_setattr_in s = {.valid = FATTR_SIZE | FATTR_MTIME_NOW, .size = 7};
	struct fuse_rename2_in r = {.newdir = 9, .flags = 1};
	struct fuse_batch_forget_in b = {.count = 2};
	struct fuse_forget_one ones[2] = {{5, 1}, {6, 3}};

	request(FUSE_SETATTR, 5);
	put(&s, sizeof s);
	assert_request("SETATTR(#2, node 5, size 7, mtime now)");
	request(FUSE_RENAME2, 1);
	put(&r, sizeof r);
	put("old\0new", 8);
	assert_request("RENAME2(#2, node 1, \"old\", node 9, \"new\", NOREPLACE)");
	request(FUSE_BATCH_FORGET, 0);
	put(&b, sizeof b);
	put(ones, sizeof ones);
	assert_request("BATCH_FORGET(#2, count 2: node 5 nlookup 1 node 6 nlookup 3)");
	request(FUSE_DESTROY, 0);
	assert_request("DESTROY(#2)");
	request(99, 3);
	put("what", 4);
	assert_request("OP-99(#2, node 3, 4 bytes more)");
}

static void init(void **state)
{
	struct fuse_init_in in = {.major = 7, .minor = 45, .flags = 1, .flags2 = 1 << 7};
	struct fuse_init_out out = {.major = 7, .minor = 8};

	request(FUSE_INIT, 0);
	put(&in, sizeof in);
	assert_request("INIT(#2, 7.45, max_readahead 0, ASYNC_READ|HAS_RESEND)");
	reply(0, 2);
	put(&out, 8);
	assert_reply(FUSE_INIT, " = #2 0 {7.8, max_readahead 0, 0, max_background 0, congestion 0, "
				"max_write 0, time_gran 0, max_pages 0}");
}

static void various_replies(void **state)
{
	struct fuse_dirent d = {.namelen = 1};

	reply(0, 4);
	assert_reply(FUSE_UNLINK, " = #4 0");
	put("0123", 4);
	assert_reply(FUSE_READ, " = #4 0 {4 bytes}");
	assert_reply(FUSE_READLINK, " = #4 0 {\"0123\"}");
	assert_reply(FUSE_UNLINK, " = #4 0 {4 bytes}");
	assert_reply(0, " = #4 0 {4 bytes}");
	reply(0, 4);
	put(&d, sizeof d);
	put("a\0\0\0\0\0\0\0", 8);
	assert_reply(FUSE_READDIR, " = #4 0 {32 bytes, \"a\"}");
	put(&d, sizeof d);
	put("/\0\0\0\0\0\0\0", 8);
	assert_reply(FUSE_READDIR, " = #4 0 {64 bytes, \"a\", <bad name>}");
}

static void notifications(void **state)
{
	struct fuse_notify_inval_entry_out o = {.parent = 1, .namelen = 3, .flags = 1};

	reply(FUSE_NOTIFY_INVAL_ENTRY, 0);
	put(&o, sizeof o);
	put("foo", 4);
	assert_reply(0, "NOTIFY INVAL_ENTRY(node 1, \"foo\", EXPIRE_ONLY)");
	len--;
	assert_reply(0, "NOTIFY INVAL_ENTRY(<bad, 19 bytes>)");
	reply(FUSE_NOTIFY_RESEND, 0);
	assert_reply(0, "NOTIFY RESEND()");
	reply(77, 0);
	assert_reply(0, "NOTIFY NOTIFY-77(<bad, 0 bytes>)");
}

/* Every operation, cut at every length and into every small line: nothing is read or written
 * outside (AddressSanitizer watches), and the line always ends. */
static void cut_anywhere(void **state)
{
	for (uint32_t opcode = 0; opcode < FUSE_OPCODE_END + 1; opcode++) {
		for (size_t n = 0; n < 300; n++) {
			uint32_t op = opcode == FUSE_OPCODE_END ? FUSE_CUSE_INIT : opcode;
			char *m = malloc(n + 1), *l = malloc(n + 1);

			memset(m, n % 3 ? 'x' : 0, n);
			if (n >= 8)
				memcpy(m + 4, &op, 4);
			pf__print_request(l, n + 1, m + 0, n);
			assert_true(strlen(l) <= n);
			if (n >= 8)
				memset(m + 4, 0, 4);
			pf__print_reply(l, n + 1, op, m, n);
			assert_true(strlen(l) <= n);
			free(m);
			free(l);
		}
	}
}

static void cut_is_said(void **state)
{
	struct fuse_read_in r = {.fh = 1};

	request(FUSE_READ, 5);
	put(&r, 20);
	assert_request("READ(#2, node 5, fh 1, offset 0, size 0, <cut>)");
	request(FUSE_LOOKUP, 1);
	put("foo", 3);
	assert_request("LOOKUP(#2, node 1, \"foo\", <cut>)");
	len = 12;
	assert_request("<request cut after 12 bytes>");
	assert_reply(0, " = <reply cut after 12 bytes>");
}

static void tiny_lines(void **state)
{
	char c = 'x';

	request(FUSE_LOOKUP, 1);
	put("foo", 4);
	pf__print_request(&c, 0, msg, len);
	assert_int_equal(c, 'x');
	pf__print_request(&c, 1, msg, len);
	assert_int_equal(c, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lookup),
	    cmocka_unit_test(names_are_escaped),
	    cmocka_unit_test(old_and_new_forms),
	    cmocka_unit_test(various_requests),
	    cmocka_unit_test(init),
	    cmocka_unit_test(various_replies),
	    cmocka_unit_test(notifications),
	    cmocka_unit_test(cut_anywhere),
	    cmocka_unit_test(cut_is_said),
	    cmocka_unit_test(tiny_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
