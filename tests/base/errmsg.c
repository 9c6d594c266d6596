/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errmsg.h"
#include "unit.h"
#include <errno.h>
#include <portfire/portfire.h>
#include <pthread.h>
#include <string.h>

static void empty_at_first(void **state)
{
	assert_string_equal(pf_error(), "");
}

static void formats_and_returns(void **state)
{
	assert_err(pf__fail(-EIO, "node %d is bad", 5), -EIO);
	assert_string_equal(pf_error(), "node 5 is bad");
	assert_err(pf__fail(-ENOENT, "stat %s:", "a/b"), -ENOENT);
	assert_string_equal(pf_error(), "stat a/b: No such file or directory");
}

static void may_quote_itself(void **state)
{
	pf__fail(-EIO, "inner");
	pf__fail(-EIO, "outer: %s", pf_error());
	assert_string_equal(pf_error(), "outer: inner");
}

static void op_and_name(void **state)
{
	assert_err(pf__fail_op(-EACCES, "open", "x"), -EACCES);
	assert_string_equal(pf_error(), "open x: Permission denied");
	assert_string_equal(pf_error(), "open x: Permission denied");
	pf__fail_op(-EACCES, "open", NULL);
	assert_string_equal(pf_error(), "open: Permission denied");
	pf__fail_op(-EACCES, NULL, "x");
	assert_string_equal(pf_error(), "x: Permission denied");
	pf__fail_op(-EACCES, NULL, NULL);
	assert_string_equal(pf_error(), "Permission denied");
}

static void name_is_copied_and_cut(void **state)
{
	char name[1000];

	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	pf__fail_op(-EIO, "op", name);
	memset(name, 'x', sizeof name - 1);
	assert_int_equal(strlen(pf_error()), strlen("op : Input/output error") + 255);
	assert_null(strchr(pf_error(), 'x'));
	pf__fail(-EIO, "%s%s%s", name, name, name);
	assert_true(strlen(pf_error()) < 3 * sizeof name);
}

static void one_line(void **state)
{
	pf__fail_op(-EIO, "op", "a\nb\x1b[2J");
	assert_string_equal(pf_error(), "op a?b?[2J: Input/output error");
	pf__fail(-EIO, "a\nb");
	assert_string_equal(pf_error(), "a?b");
}

static void *other(void *arg)
{
	return strcmp(pf_error(), "") ? arg : NULL;
}

static void threads_have_their_own(void **state)
{
	void *seen;
	pthread_t t;

	pf__fail(-EIO, "mine");
	assert_int_equal(pthread_create(&t, NULL, other, state), 0);
	pthread_join(t, &seen);
	assert_null(seen);
	assert_string_equal(pf_error(), "mine");
}

static void version(void **state)
{
	assert_string_equal(pf_version(), PF_VERSION_STRING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(empty_at_first),         cmocka_unit_test(formats_and_returns),
	    cmocka_unit_test(may_quote_itself),       cmocka_unit_test(op_and_name),
	    cmocka_unit_test(name_is_copied_and_cut), cmocka_unit_test(one_line),
	    cmocka_unit_test(threads_have_their_own), cmocka_unit_test(version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
