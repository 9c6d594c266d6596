/* SPDX-License-Identifier: BSD-2-Clause */
/* The pure parts: mount data, device names, {} in command lines. */
#include "base/alloc.h"
#include "base/errmsg.h"
#include "launch/command.h"
#include "launch/device.h"
#include "launch/fusermount.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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

/* ---- fusermount ------------------------------------------------------------------------------ */

/* Its words, separated by blanks: 'm' it mounts, 'u' unmounts, then 'z' and 'q'; mountpoint,
 * options. */
static void expect_words(const char *words, const char *kind, const char *mountpoint,
			 const char *options)
{
	char text[256], have[4] = "", *argv[16], *save = NULL;
	struct pf__fusermount f;
	unsigned argc = 0;

	snprintf(text, sizeof text, "%s", words);
	for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	if (!kind) {
		assert_int_equal(pf__fusermount_parse(&f, argc, argv), -ENOTSUP);
	} else {
		assert_int_equal(pf__fusermount_parse(&f, argc, argv), 0);
		snprintf(have, sizeof have, "%s%s%s", f.unmount ? "u" : "m", f.lazy ? "z" : "",
			 f.quiet ? "q" : "");
		assert_string_equal(have, kind);
		assert_string_equal(f.mountpoint, mountpoint);
		assert_string_equal(f.options, options);
	}
	pf__fusermount_clear(&f);
}

static void fusermount_words(void **state)
{
	(void)state;
	expect_words("fusermount3 -o rw,fsname=x -- /mnt", "m", "/mnt", "rw,fsname=x");
	expect_words("fusermount3 -- -mnt", "m", "-mnt", "");
	expect_words("fusermount /mnt -o ro", "m", "/mnt", "ro");
	expect_words("fusermount -oro /mnt", "m", "/mnt", "ro");
	expect_words("fusermount --options ro /mnt", "m", "/mnt", "ro");
	expect_words("fusermount --options=ro /mnt", "m", "/mnt", "ro");
	expect_words("fusermount -u /mnt", "u", "/mnt", "");
	expect_words("fusermount -uz /mnt", "uz", "/mnt", "");
	expect_words("fusermount3 --unmount --quiet --lazy -- /mnt", "uzq", "/mnt", "");
	expect_words("fusermount3 -u -q -z -- mnt", "uzq", "mnt", "");
	expect_words("fusermount3", NULL, NULL, NULL);
	expect_words("fusermount3 -o", NULL, NULL, NULL);
	expect_words("fusermount3 -u", NULL, NULL, NULL);
	expect_words("fusermount3 -V", NULL, NULL, NULL);
	expect_words("fusermount3 --version", NULL, NULL, NULL);
	expect_words("fusermount3 --auto-unmount -- /mnt", NULL, NULL, NULL);
	expect_words("fusermount3 --sync-init -o rw -- /mnt", NULL, NULL, NULL);
	expect_words("fusermount3 -u /a /b", NULL, NULL, NULL);
}

static void expect_mount(const char *options, const char *source, const char *type,
			 const char *data)
{
	struct pf__fusermount f = {.options = pf__strdup(options), .mountpoint = NULL};
	struct pf__mount m = {.fd = -1, .tid = getpid(), .mountpoint = pf__strdup("/")};
	char want[512];

	assert_int_equal(pf__fusermount_describe(&f, &m), 0);
	assert_string_equal(m.source, source);
	assert_string_equal(m.fstype, type);
	snprintf(want, sizeof want, data, geteuid(), getegid());
	assert_string_equal(m.options, want);
	pf__mount_clear(&m);
	pf__fusermount_clear(&f);
}

static void fusermount_mounts(void **state)
{
#define IDS "rootmode=40000,user_id=%u,group_id=%u"
	(void)state;
	expect_mount("", "/dev/fuse", "fuse", IDS ",fsname=/dev/fuse");
	expect_mount("rw,subtype=sshfs", "sshfs", "fuse.sshfs", IDS ",fsname=sshfs,subtype=sshfs");
	expect_mount("ro,fsname=a\\,b,subtype=s,allow_other,max_read=4096", "a,b", "fuse.s",
		     "allow_other,max_read=4096," IDS ",ro,fsname=a\\,b,subtype=s");
	expect_mount("blkdev,fsname=/dev/sdz,rofs,nosuid", "/dev/sdz", "fuseblk",
		     "rofs,nosuid," IDS ",fsname=/dev/sdz,blkdev");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(device_names),
	    cmocka_unit_test(fuse_types),
	    cmocka_unit_test(data_fd),
	    cmocka_unit_test(fusermount_words),
	    cmocka_unit_test(fusermount_mounts),
	    cmocka_unit_test(options_text),
	    cmocka_unit_test(braces),
	    cmocka_unit_test(programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
