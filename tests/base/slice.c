/* SPDX-License-Identifier: BSD-2-Clause */
/* Walking along a caller's vectors. */
#include "base/slice.h"
#include "../unit.h"
#include <string.h>

static char bytes[] = "abcdefghijklmnop";

static void takes_parts_of_vectors(void **state)
{
	struct iovec in[] = {{bytes, 3}, {bytes + 3, 0}, {bytes + 3, 5}, {bytes + 8, 4}}, out[4];
	struct pf__slice s = {in, 4, 0};

	assert_int_equal(pf__slice_take(&s, 2, out, 4), 1);
	assert_memory_equal(out[0].iov_base, "ab", 2);
	assert_int_equal(pf__slice_take(&s, 4, out, 4), 2);
	assert_int_equal(out[0].iov_len, 1);
	assert_memory_equal(out[0].iov_base, "c", 1);
	assert_int_equal(out[1].iov_len, 3);
	assert_memory_equal(out[1].iov_base, "def", 3);
	assert_int_equal(pf__slice_take(&s, 6, out, 4), 2);
	assert_memory_equal(out[0].iov_base, "gh", 2);
	assert_memory_equal(out[1].iov_base, "ijkl", 4);
}

static void too_many_vectors_leave_it_where_it_was(void **state)
{
	struct iovec in[] = {{bytes, 1}, {bytes + 1, 1}, {bytes + 2, 1}}, out[3];
	struct pf__slice s = {in, 3, 0};
	char buf[4] = "";

	assert_int_equal(pf__slice_take(&s, 3, out, 2), 0);
	pf__slice_copy_out(&s, buf, 3);
	assert_string_equal(buf, "abc");
}

static void copies_both_ways(void **state)
{
	char a[2], b[5], c[3] = "";
	struct iovec in[] = {{a, 2}, {NULL, 0}, {b, 5}};
	struct pf__slice s = {in, 3, 0};

	pf__slice_copy_in(&s, "123", 3);
	pf__slice_skip(&s, 2);
	pf__slice_copy_in(&s, "45", 2);
	assert_memory_equal(a, "12", 2);
	assert_memory_equal(b, "3", 1);
	assert_memory_equal(b + 3, "45", 2);
	s = (struct pf__slice){in, 3, 0};
	pf__slice_copy_out(&s, c, 2);
	assert_string_equal(c, "12");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(takes_parts_of_vectors),
	    cmocka_unit_test(too_many_vectors_leave_it_where_it_was),
	    cmocka_unit_test(copies_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
