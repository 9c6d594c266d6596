/* SPDX-License-Identifier: BSD-2-Clause */
/* What INIT settles: rules 3.1 to 3.15. */
#include "proto/proto.h"
#include "unit.h"
#include <errno.h>
#include <string.h>

static struct pf__init_want want;
static struct fuse_init_out out;
static struct pf__init_got got;
static const char *why;

static int reset(void **state)
{
	want = (struct pf__init_want){
	    .minor = 45,
	    .flags = ~0ull,
	    .max_readahead = 131072,
	    .max_write = 1 << 20,
	    .max_pages = 256,
	    .default_permissions = true,
	};
	out = (struct fuse_init_out){
	    .major = 7, .minor = 45, .max_readahead = 65536, .max_write = 131072};
	return 0;
}

static void set_flags(uint64_t flags)
{
	out.flags = flags | FUSE_INIT_EXT;
	out.flags2 = flags >> 32;
}

static int decode(void)
{
	int err = pf__init_decode(&want, &out, sizeof out, &got, &why);

	assert_true((err == 0) == (why == NULL));
	return err;
}

static bool has(uint64_t flag)
{
	return got.dialect.flags & flag;
}

static void encoded(void **state)
{
	struct fuse_init_in in;

	want.flags = FUSE_ASYNC_READ | FUSE_HAS_RESEND;
	pf__init_encode(&want, &in);
	assert_int_equal(in.major, 7);
	assert_int_equal(in.minor, 45);
	assert_int_equal(in.max_readahead, 131072);
	assert_int_equal(in.flags, FUSE_ASYNC_READ | FUSE_INIT_EXT);
	assert_int_equal(in.flags2, FUSE_HAS_RESEND >> 32);
	for (int i = 0; i < 11; i++)
		assert_int_equal(in.unused[i], 0);
}

/* 3.2 */
static void any_length_up_to_64(void **state)
{
	unsigned char long_body[65] = {7};

	set_flags(0);
	out.time_gran = 100;
	for (size_t len = 0; len <= sizeof out; len++) {
		int err = pf__init_decode(&want, &out, len, &got, &why);

		/* A minor cut to its lowest byte is still one. */
		assert_err(err, len < 5 ? -ECONNREFUSED : 0);
		if (len >= 28)
			assert_int_equal(got.time_gran, 100);
		else if (!err && len <= 24)
			assert_int_equal(got.time_gran, 1);
	}
	assert_err(pf__init_decode(&want, long_body, 65, &got, &why), -ECONNREFUSED);
	assert_err(pf__init_decode(&want, NULL, 0, &got, &why), -ECONNREFUSED);
}

/* 3.3 */
static void wrong_major(void **state)
{
	out.major = 8;
	assert_err(decode(), -ECONNREFUSED);
	assert_non_null(strstr(why, "major"));
	out.major = 6;
	assert_err(decode(), -ECONNREFUSED);
	out.major = 7;
	out.minor = 7;
	assert_err(decode(), -ECONNREFUSED);
	out.minor = 8;
	assert_err(decode(), 0);
}

/* 3.4 */
static void lower_minor_counts(void **state)
{
	out.minor = 99;
	assert_err(decode(), 0);
	assert_int_equal(got.dialect.minor, 45);
	out.minor = 31;
	assert_err(decode(), 0);
	assert_int_equal(got.dialect.minor, 31);
	want.minor = 12;
	assert_err(decode(), 0);
	assert_int_equal(got.dialect.minor, 12);
}

/* 3.6 */
static void unoffered_flags_are_masked(void **state)
{
	want.flags = FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_HAS_RESEND;
	set_flags(~0ull);
	assert_err(decode(), 0);
	assert_true(got.dialect.flags == (want.flags | FUSE_INIT_EXT));
}

static void flags2_needs_init_ext(void **state)
{
	set_flags(FUSE_HAS_RESEND);
	assert_err(decode(), 0);
	assert_true(has(FUSE_HAS_RESEND));
	out.flags &= ~(uint32_t)FUSE_INIT_EXT;
	assert_err(decode(), 0);
	assert_false(has(FUSE_HAS_RESEND));
}

static void overruled_flags(void **state)
{
	set_flags(FUSE_AUTO_INVAL_DATA | FUSE_EXPLICIT_INVAL_DATA | FUSE_READDIRPLUS_AUTO);
	assert_err(decode(), 0);
	assert_true(has(FUSE_AUTO_INVAL_DATA));
	assert_false(has(FUSE_EXPLICIT_INVAL_DATA));
	assert_false(has(FUSE_READDIRPLUS_AUTO));
	set_flags(FUSE_EXPLICIT_INVAL_DATA | FUSE_READDIRPLUS_AUTO | FUSE_DO_READDIRPLUS);
	assert_err(decode(), 0);
	assert_true(has(FUSE_EXPLICIT_INVAL_DATA));
	assert_true(has(FUSE_READDIRPLUS_AUTO));
}

static void flags_of_old_minors(void **state)
{
	out.minor = 16;
	set_flags(FUSE_POSIX_LOCKS);
	assert_err(decode(), 0);
	assert_true(has(FUSE_FLOCK_LOCKS)); /* before 7.17 it follows POSIX_LOCKS */
	set_flags(FUSE_FLOCK_LOCKS);
	assert_err(decode(), 0);
	assert_false(has(FUSE_FLOCK_LOCKS));
	out.minor = 17;
	set_flags(FUSE_POSIX_LOCKS | FUSE_EXPORT_SUPPORT);
	assert_err(decode(), 0);
	assert_false(has(FUSE_FLOCK_LOCKS));
	assert_true(has(FUSE_EXPORT_SUPPORT));
	out.minor = 8;
	assert_err(decode(), 0);
	assert_false(has(FUSE_EXPORT_SUPPORT));
}

/* 3.7, 3.9, 3.10 */
static void limits(void **state)
{
	static const struct {
		uint32_t sent, kept;
	} writes[] = {{0, 4096}, {4095, 4096}, {4097, 4097}, {UINT32_MAX, 1 << 20}},
	  grans[] = {{0, 1}, {1, 1}, {1000000000, 1000000000}, {1000000001, 1}, {UINT32_MAX, 1}},
	  readaheads[] = {{0, 0}, {65536, 65536}, {UINT32_MAX, 131072}};

	for (int i = 0; i < 4; i++) {
		out.max_write = writes[i].sent;
		assert_err(decode(), 0);
		assert_int_equal(got.max_write, writes[i].kept);
	}
	for (int i = 0; i < 5; i++) {
		out.time_gran = grans[i].sent;
		assert_err(decode(), 0);
		assert_int_equal(got.time_gran, grans[i].kept);
	}
	for (int i = 0; i < 3; i++) {
		out.max_readahead = readaheads[i].sent;
		assert_err(decode(), 0);
		assert_int_equal(got.max_readahead, readaheads[i].kept);
	}
}

/* 3.8, 3.5 */
static void background(void **state)
{
	assert_err(decode(), 0);
	assert_int_equal(got.max_background, 12);
	assert_int_equal(got.congestion_threshold, 9);
	out.max_background = 65535;
	out.congestion_threshold = 100;
	assert_err(decode(), 0);
	assert_int_equal(got.max_background, 65535);
	assert_int_equal(got.congestion_threshold, 100);
	want.max_background_limit = 64;
	assert_err(decode(), 0);
	assert_int_equal(got.max_background, 64);
	assert_int_equal(got.congestion_threshold, 64);
	out.minor = 12;
	assert_err(decode(), 0);
	assert_int_equal(got.max_background, 12);
	assert_int_equal(got.congestion_threshold, 9);
}

/* 3.11 */
static void max_pages(void **state)
{
	static const struct {
		unsigned sent, kept, name_max;
	} cases[] = {
	    {0, 1, 1024}, {1, 1, 1024}, {2, 2, 4095}, {256, 256, 4095}, {65535, 256, 4095}};

	out.max_pages = 100;
	assert_err(decode(), 0);
	assert_int_equal(got.max_pages, 32); /* not without its flag */
	assert_int_equal(got.dialect.name_max, 1024);
	set_flags(FUSE_MAX_PAGES);
	for (int i = 0; i < 5; i++) {
		out.max_pages = cases[i].sent;
		assert_err(decode(), 0);
		assert_int_equal(got.max_pages, cases[i].kept);
		assert_int_equal(got.dialect.name_max, cases[i].name_max);
	}
	want.max_pages = 0;
	assert_err(decode(), 0);
	assert_int_equal(got.max_pages, 1);
}

/* 3.12 */
static void map_alignment(void **state)
{
	set_flags(FUSE_MAP_ALIGNMENT);
	out.map_alignment = 22;
	assert_err(decode(), 0); /* no window, no matter */
	assert_int_equal(got.map_alignment, 0);
	want.dax_window = true;
	assert_err(decode(), -ECONNREFUSED);
	out.map_alignment = 21;
	assert_err(decode(), 0);
	assert_int_equal(got.map_alignment, 21);
}

/* 3.13 */
static void passthrough(void **state)
{
	static const struct {
		uint32_t depth;
		uint64_t other;
		bool on;
	} cases[] = {{0, 0, false},
		     {1, 0, true},
		     {2, 0, true},
		     {3, 0, false},
		     {1, FUSE_WRITEBACK_CACHE, false}};

	for (int i = 0; i < 5; i++) {
		set_flags(FUSE_PASSTHROUGH | cases[i].other);
		out.max_stack_depth = cases[i].depth;
		assert_err(decode(), 0);
		assert_int_equal(has(FUSE_PASSTHROUGH), cases[i].on);
		assert_int_equal(got.max_stack_depth, cases[i].on ? cases[i].depth : 0);
	}
}

/* 3.14 */
static void request_timeout(void **state)
{
	out.request_timeout = 30;
	assert_err(decode(), 0);
	assert_int_equal(got.request_timeout, 0);
	set_flags(FUSE_REQUEST_TIMEOUT);
	assert_err(decode(), 0);
	assert_int_equal(got.request_timeout, 30);
}

/* 3.15 */
static void idmap(void **state)
{
	set_flags(FUSE_ALLOW_IDMAP);
	assert_err(decode(), 0);
	want.default_permissions = false;
	assert_err(decode(), -ECONNREFUSED);
	set_flags(FUSE_ALLOW_IDMAP | FUSE_POSIX_ACL);
	assert_err(decode(), 0);
	set_flags(FUSE_ALLOW_IDMAP);
	want.flags &= ~FUSE_ALLOW_IDMAP;
	assert_err(decode(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(encoded, reset),
	    cmocka_unit_test_setup(any_length_up_to_64, reset),
	    cmocka_unit_test_setup(wrong_major, reset),
	    cmocka_unit_test_setup(lower_minor_counts, reset),
	    cmocka_unit_test_setup(unoffered_flags_are_masked, reset),
	    cmocka_unit_test_setup(flags2_needs_init_ext, reset),
	    cmocka_unit_test_setup(overruled_flags, reset),
	    cmocka_unit_test_setup(flags_of_old_minors, reset),
	    cmocka_unit_test_setup(limits, reset),
	    cmocka_unit_test_setup(background, reset),
	    cmocka_unit_test_setup(max_pages, reset),
	    cmocka_unit_test_setup(map_alignment, reset),
	    cmocka_unit_test_setup(passthrough, reset),
	    cmocka_unit_test_setup(request_timeout, reset),
	    cmocka_unit_test_setup(idmap, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
