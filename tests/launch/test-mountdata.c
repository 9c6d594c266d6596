/* SPDX-License-Identifier: BSD-2-Clause */
/* The pure parts: mount data, device names, {} in command lines. */
#include "base/alloc.h"
#include "base/errmsg.h"
#include "launch/command.h"
#include "launch/device.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

static void device_names(void **state)
{
	(void)state;
	assert_true(pf__is_fuse_device("/dev/fuse"));
	assert_true(pf__is_fuse_device("//dev/.//fuse"));
	assert_true(pf__is_fuse_device("/./dev/fuse"));
	assert_false(pf__is_fuse_device("/dev/fuse/"));
	assert_false(pf__is_fuse_device("/dev/fuse2"));
	assert_false(pf__is_fuse_device("/dev/fus"));
	assert_false(pf__is_fuse_device("/xdev/fuse"));
	assert_false(pf__is_fuse_device("/dev/.fuse"));
	assert_false(pf__is_fuse_device("/dev"));
	assert_false(pf__is_fuse_device("dev/fuse"));
	assert_false(pf__is_fuse_device(""));
}

static void fuse_types(void **state)
{
	(void)state;
	assert_true(pf__is_fuse_type("fuse"));
	assert_true(pf__is_fuse_type("fuse.sshfs"));
	assert_true(pf__is_fuse_type("fuseblk"));
	assert_true(pf__is_fuse_type("fuseblk.ntfs"));
	assert_false(pf__is_fuse_type("fusectl"));
	assert_false(pf__is_fuse_type("fus"));
	assert_false(pf__is_fuse_type("tmpfs"));
	assert_false(pf__is_fuse_type(""));
}

static void data_fd(void **state)
{
	(void)state;
	assert_int_equal(pf__mount_data_fd("fd=4,rootmode=40000"), 4);
	assert_int_equal(pf__mount_data_fd("rootmode=40000,fd=17"), 17);
	assert_int_equal(pf__mount_data_fd("xfd=4"), -EINVAL);
	assert_int_equal(pf__mount_data_fd("fd="), -EINVAL);
	assert_int_equal(pf__mount_data_fd("fd=-1"), -EINVAL);
	assert_int_equal(pf__mount_data_fd("fd=99999999999"), -EINVAL);
	assert_int_equal(pf__mount_data_fd("fd=3x"), -EINVAL);
	assert_int_equal(pf__mount_data_fd(""), -EINVAL);
}

static void expect_options(const char *data, const char *source, const char *type,
			   unsigned long flags, const char *expected)
{
	char *text = pf__mount_options_text(data, source, type, flags);

	assert_string_equal(text, expected);
	pf__free(text);
}

static void options_text(void **state)
{
	(void)state;
	expect_options("fd=4,rootmode=40000,user_id=0", "src", "fuse.x", 0,
		       "rootmode=40000,user_id=0,fsname=src,subtype=x");
	expect_options("max_read=131072,fd=4", "", "fuse", MS_RDONLY | MS_NOSUID,
		       "max_read=131072,ro");
	expect_options("fd=4", "/dev/sda1", "fuseblk", 0, "fsname=/dev/sda1,blkdev");
	expect_options("", "a,b\\c", "fuse", 0, "fsname=a\\,b\\\\c");
	expect_options("fd=3", "", "fuse", 0, "");
	expect_options(",,fd=3,,allow_other,", "", "fuse.", 0, "allow_other");
}

static void braces(void **state)
{
	char *words[] = {(char[]){"sh"}, (char[]){"{}/a:{}"}, (char[]){"{"}, (char[]){"{}"}, NULL};
	struct pf__command c;

	(void)state;
	assert_true(pf__command_has_braces(words));
	assert_false(pf__command_has_braces((char *[]){(char[]){"a"}, (char[]){"{ }"}, NULL}));
	assert_int_equal(pf__command_make(&c, words, "/tmp/p"), 0);
	assert_string_equal(c.argv[1], "/tmp/p/a:/tmp/p");
	assert_string_equal(c.argv[2], "{");
	assert_string_equal(c.argv[3], "/tmp/p");
	assert_null(c.argv[4]);
	assert_int_equal(access(c.file, X_OK), 0);
	pf__command_clear(&c);
}

static void programs(void **state)
{
	struct pf__command c;

	(void)state;
	assert_int_equal(pf__command_make(&c, (char *[]){(char[]){"no-such-program"}, NULL}, NULL),
			 -ENOENT);
	assert_string_equal(pf__errmsg(), "no-such-program: command not found");
	assert_int_equal(pf__command_make(&c, (char *[]){(char[]){"/nowhere/x"}, NULL}, NULL),
			 -ENOENT);
	assert_string_equal(pf__errmsg(), "cannot run /nowhere/x: No such file or directory");
	assert_int_equal(pf__command_make(&c, (char *[]){(char[]){"/etc/passwd"}, NULL}, NULL),
			 -EACCES);
	assert_string_equal(pf__errmsg(), "cannot run /etc/passwd: Permission denied");
	assert_int_equal(pf__command_make(&c, (char *[]){(char[]){"/etc"}, NULL}, NULL), -EACCES);
	assert_int_equal(pf__command_make(&c, (char *[]){(char[]){""}, NULL}, NULL), -ENOENT);
	assert_int_equal(pf__command_make(&c, (char *[]){NULL}, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(device_names), cmocka_unit_test(fuse_types),
	    cmocka_unit_test(data_fd),      cmocka_unit_test(options_text),
	    cmocka_unit_test(braces),       cmocka_unit_test(programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
