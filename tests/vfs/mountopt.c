/* SPDX-License-Identifier: BSD-2-Clause */
/* The parser of mount options. */
#include "../unit.h"
#include "vfs/super.h"
#include <errno.h>
#include <string.h>

static void what_fusermount_says(void **state)
{
	struct pf__mount_options o = {0};

	assert_err(
	    pf__mount_options_parse(&o, "rw,nosuid,nodev,fsname=sshfs#host:,subtype=sshfs,"
					"rootmode=40000,user_id=1000,group_id=100,max_read=65536,"
					"default_permissions,allow_other"),
	    0);
	assert_false(o.read_only);
	assert_true(o.default_permissions);
	assert_true(o.allow_other);
	assert_int_equal(o.rootmode, S_IFDIR);
	assert_int_equal(o.user_id, 1000);
	assert_int_equal(o.group_id, 100);
	assert_int_equal(o.max_read, 65536);
	assert_string_equal(o.fsname, "sshfs#host:");
	assert_string_equal(o.subtype, "sshfs");
}

static void the_last_word_counts(void **state)
{
	struct pf__mount_options o = {0};

	assert_err(pf__mount_options_parse(&o, "ro,rw"), 0);
	assert_false(o.read_only);
	assert_err(pf__mount_options_parse(&o, "ro"), 0);
	assert_true(o.read_only);
	assert_err(pf__mount_options_parse(&o, NULL), 0);
	assert_err(pf__mount_options_parse(&o, ""), 0);
	assert_err(pf__mount_options_parse(&o, ",,nonsense=7,"), 0);
	assert_true(o.read_only);
}

static void commas_can_be_escaped(void **state)
{
	struct pf__mount_options o = {0};

	assert_err(pf__mount_options_parse(&o, "fsname=a\\,b\\\\c,ro"), 0);
	assert_string_equal(o.fsname, "a,b\\c");
	assert_true(o.read_only);
}

static void long_values_are_cut(void **state)
{
	struct pf__mount_options o = {0};
	char text[2000] = "subtype=";

	memset(text + 8, 'x', sizeof text - 9);
	assert_err(pf__mount_options_parse(&o, text), 0);
	assert_int_equal(strlen(o.subtype), sizeof o.subtype - 1);
}

static void small_max_read_is_raised(void **state)
{
	struct pf__mount_options o = {0};

	assert_err(pf__mount_options_parse(&o, "max_read=1"), 0);
	assert_int_equal(o.max_read, 4096);
	assert_err(pf__mount_options_parse(&o, "max_read=0"), 0);
	assert_int_equal(o.max_read, 0);
}

static void bad_numbers(void **state)
{
	static const char *const bad[] = {"user_id=x",           "user_id",     "group_id=-1",
					  "max_read=4294967296", "max_read=1k", "rootmode=8",
					  "rootmode=0"};
	struct pf__mount_options o = {0};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_err(pf__mount_options_parse(&o, bad[i]), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_fusermount_says),     cmocka_unit_test(the_last_word_counts),
	    cmocka_unit_test(commas_can_be_escaped),    cmocka_unit_test(long_values_are_cut),
	    cmocka_unit_test(small_max_read_is_raised), cmocka_unit_test(bad_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
