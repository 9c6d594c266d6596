/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the behaviour tests: one test, one sentence on what a FUSE client owes its server. Each
 * program runs over a socket pair and, with MOCK_INPROC=1, in process.
 */
#ifndef TESTS_BEHAVE_H
#define TESTS_BEHAVE_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "mock/mock.h"

#define MS 1000000ull /* ns */

/* A deadline that does not pass by itself, however busy the machine is: a test that wants it to
 * moves the clock (PASS_DEADLINE). */
#define DEADLINE_MS   600000
#define PASS_DEADLINE pf__clock_advance((DEADLINE_MS + 1000) * MS)

static inline void nap_ms(int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

/* Wait until what is true; the test fails when that takes for ever. */
#define wait_until(what)                                                                           \
	do {                                                                                       \
		int wait_left = MOCK_PATIENCE_S * 1000;                                            \
		bool wait_met;                                                                     \
		while (!(wait_met = (what)) && wait_left--)                                        \
			nap_ms(1);                                                                 \
		if (!wait_met)                                                                     \
			fail_msg("it did not come to %s", #what);                                  \
	} while (0)

/* A call that must succeed; says what went wrong otherwise. */
#define ok(call)                                                                                   \
	do {                                                                                       \
		long ok_r = (call);                                                                \
		if (ok_r < 0)                                                                      \
			fail_msg("%s: %s (%s)", #call, strerror(-ok_r), pf_error());               \
	} while (0)

/* A call that must fail with an errno. */
#define fails(call, err)                                                                           \
	do {                                                                                       \
		long fails_r = (call);                                                             \
		if (fails_r != -(err))                                                             \
			fail_msg("%s gave %ld, not -%s", #call, fails_r, #err);                    \
	} while (0)

/* The requests since the last look, see mock_log(). */
#define assert_log(m, text) assert_string_equal(mock_log(m), text)

/* An entry whose name must be asked for each time, while its attributes stay. */
static inline struct fuse_entry_out entry_attrs_only(uint64_t nodeid, uint32_t mode, uint64_t size)
{
	return mock_entry(nodeid, mode, size, 0, MOCK_FOREVER);
}

/* The entry that the attribute tests use: every field has a value of its own. */
static inline struct fuse_attr attr_of_note(uint64_t ino, uint32_t mode)
{
	return (struct fuse_attr){.ino = ino,
				  .size = 1,
				  .blocks = 2,
				  .atime = 3,
				  .mtime = 4,
				  .ctime = 5,
				  .atimensec = 6,
				  .mtimensec = 7,
				  .ctimensec = 8,
				  .nlink = 9,
				  .uid = 10,
				  .gid = 11,
				  .rdev = 12,
				  .blksize = 12345,
				  .mode = mode};
}

static inline void assert_stat_of_note(const struct stat *st, uint64_t ino, uint32_t mode)
{
	assert_int_equal(st->st_ino, ino);
	assert_int_equal(st->st_mode, mode);
	assert_int_equal(st->st_size, 1);
	assert_int_equal(st->st_blocks, 2);
	assert_int_equal(st->st_atim.tv_sec, 3);
	assert_int_equal(st->st_mtim.tv_sec, 4);
	assert_int_equal(st->st_ctim.tv_sec, 5);
	assert_int_equal(st->st_atim.tv_nsec, 6);
	assert_int_equal(st->st_mtim.tv_nsec, 7);
	assert_int_equal(st->st_ctim.tv_nsec, 8);
	assert_int_equal(st->st_nlink, 9);
	assert_int_equal(st->st_uid, 10);
	assert_int_equal(st->st_gid, 11);
	assert_int_equal(st->st_blksize, 8192); /* the highest power of two in 12345 */
}

#endif
