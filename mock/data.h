/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file that the scripted server really has: names, attributes and READs of one node are answered
 * from memory, any number of times, and every READ is noted, so that a test can say which ones it
 * wants to have seen. On wish it holds READs back, shortens or fails them, and takes writes.
 *
 *	struct mock_data *d = mock_data_new(m, "foo", 42, 10000, 1 << 20);
 *	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
 *	assert_int_equal(pf_pread(f, buf, 100, 0), 100);
 *	mock_data_check(d, buf, 0, 100);
 *	assert_string_equal(mock_data_reads(d), "0+4096");
 *
 * What a test changes while the client is at work it changes through the functions below; plain
 * fields are for before. All of it is freed by mock_end().
 */
#ifndef MOCK_DATA_H
#define MOCK_DATA_H

#include "mock/mock.h"
#include <stdatomic.h>

#define MOCK_SEEN 8192 /* READs noted; later ones are only counted */
#define MOCK_HELD 256

struct mock_seen {
	uint64_t offset, fh, lock_owner;
	uint32_t size, flags, read_flags;
	uint64_t mark; /* the test's mark when it came */
};

struct mock_data {
	struct mock *m;
	uint64_t nodeid;
	uint32_t mode;
	uint64_t size, mtime; /* as GETATTR and LOOKUP tell them */
	uint64_t ends;        /* READs end here, whatever the size is; MOCK_ANY: at the size */
	uint64_t attr_valid, entry_valid;
	uint32_t open_flags;
	int backing_id; /* of OPENs with FOPEN_PASSTHROUGH */
	uint64_t fh;    /* the next OPEN's; each has the one after the last */
	bool loose;     /* a READ that is not page-aligned or ends beyond the size is no failure */
	bool hold;
	uint64_t fail_at; /* a READ that covers this byte fails, with fail_errno */
	int fail_errno;
	bool fail_always;                                               /* not only once */
	void (*before_read)(struct mock_data *d, struct mock_req *req); /* before it is answered */
	void (*before_getattr)(struct mock_data *d);
	_Atomic uint64_t mark; /* noted with each READ */
	/* What came. */
	size_t lookups, getattrs, opens, writes, setattrs, nreads, mark_reads;
	struct mock_seen seen[MOCK_SEEN];
	struct mock_req *held[MOCK_HELD];
	size_t nheld, most_held;
	size_t capacity;
	unsigned char bytes[]; /* of capacity; what lies beyond is mock_data_byte(0, offset) */
};

/* The byte that mock_data_fill() puts at an offset; never 0. */
unsigned char mock_data_byte(unsigned seed, uint64_t offset);

/* A regular file at the root, valid for ever, filled with seed 0. */
struct mock_data *mock_data_new(struct mock *m, const char *name, uint64_t nodeid, uint64_t size,
				size_t capacity);
/* From now on WRITE, SETATTR, FALLOCATE, FSYNC, LSEEK (ENOSYS) and copying are served, too. */
void mock_data_writable(struct mock_data *d);

/* The file changes behind the client's back. */
void mock_data_fill(struct mock_data *d, uint64_t offset, size_t len, unsigned seed);
void mock_data_resize(struct mock_data *d, uint64_t size); /* and mtime goes up by one */
void mock_data_touch(struct mock_data *d);                 /* mtime goes up by one */

/* READs since the last call, "offset+size offset+size ...", in the order in which they came. Valid
 * until the next call. */
const char *mock_data_reads(struct mock_data *d);
uint64_t mock_data_read_bytes(struct mock_data *d); /* asked for since then */
/* Wait (MOCK_PATIENCE_S at most, then the test fails) until n READs have come since then. */
void mock_data_wait_reads(struct mock_data *d, size_t n);

/* Hold READs back from now on; wait until n are held; answer the oldest (with what the file has
 * now) or take it to answer otherwise; answer all and hold no more. */
void mock_data_hold(struct mock_data *d);
void mock_data_wait_held(struct mock_data *d, size_t n);
struct mock_req *mock_data_take(struct mock_data *d);
void mock_data_serve(struct mock_data *d, struct mock_req *req);
void mock_data_release(struct mock_data *d);
size_t mock_data_held(struct mock_data *d);

/* Fail the test if buf is not what the file has there; behind its end it has zeros. */
void mock_data_check(struct mock_data *d, const void *buf, uint64_t offset, size_t len);

void mock_store(struct mock *m, uint64_t nodeid, uint64_t offset, const void *data, size_t len);
/* STORE what the file has there. */
void mock_data_store(struct mock_data *d, uint64_t offset, size_t len);
/* Ask for size cached bytes and wait for the answer: their number, put into buf. */
size_t mock_retrieve(struct mock *m, uint64_t nodeid, uint64_t offset, uint32_t size, void *buf);

#endif
