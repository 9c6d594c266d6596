// SPDX-License-Identifier: BSD-2-Clause
/*
 * The end of a file that is read while it moves, by a call of ours or at the server. The bytes here
 * are never 0: a reader that gets one was given what the cache made up behind an old end.
 */
#include "base/slice.h"
#include "tests/behave/writes.h"

#include <sys/mman.h>

#define ROUNDS   600
#define STEP     13 /* bytes; so that the end seldom is that of a page */
#define READERS  2
#define TAIL_MAX (3 * PAGE)

struct reader {
	struct t *t;
	struct pf_file *f;
	pthread_t thread;
	bool drops; /* what is cached, all the time */
	bool lent;  /* borrows as well */
	bool back;  /* it is written back */
	const _Atomic bool *over;
	long wrong; /* the offset of a byte that never was in the file; -1: none */
};

/* The last bytes of the file, as far as there are any, again and again. */
static void *read_end(void *arg)
{
	static const uint64_t back = TAIL_MAX / 2;
	unsigned char buf[TAIL_MAX];
	struct reader *r = arg;
	uint64_t from = 0;

	while (!*r->over && r->wrong < 0) {
		ssize_t n = pf_pread(r->f, buf, sizeof buf, from);

		for (ssize_t i = 0; i < n && r->wrong < 0; i++)
			if (!buf[i])
				r->wrong = (long)from + i;
		if (n > 0 && (uint64_t)n > back)
			from += (uint64_t)n - back;
		if (r->drops)
			pf_drop_caches(r->t->m->fs);
	}
	return NULL;
}

/* READERS threads, each with a copy of what is set in like. */
static void readers_start(struct reader *r, struct reader like, void *(*fn)(void *))
{
	for (int i = 0; i < READERS; i++) {
		r[i] = like;
		r[i].drops = like.drops && i;
		r[i].wrong = -1;
		ok(pf_open(like.t->m->fs, "foo", O_RDONLY, 0, &r[i].f));
		pthread_create(&r[i].thread, NULL, fn, &r[i]);
	}
}

static void readers_end(struct reader *r)
{
	for (int i = 0; i < READERS; i++) {
		pthread_join(r[i].thread, NULL);
		ok(pf_close(r[i].f));
		if (r[i].wrong >= 0)
			fail_msg("byte %ld never was in the file", r[i].wrong);
	}
}

/* Let readers read while grow() makes the file longer, step by step. */
static void grow_beside(struct t *t, bool drops, void (*grow)(struct t *t, uint64_t offset))
{
	struct reader r[READERS];
	_Atomic bool over = false;

	readers_start(r, (struct reader){.t = t, .drops = drops, .over = &over}, read_end);
	for (int i = 0; i < ROUNDS; i++)
		grow(t, PAGE + (uint64_t)i * STEP);
	over = true;
	readers_end(r);
}

/* What was written is what the writer reads. */
static void write_more(struct t *t, uint64_t offset)
{
	put_at(t->f, 1, offset, STEP);
	assert_reads_turn(t->f, 1, offset, STEP);
}

static void server_has_more(struct t *t, uint64_t offset)
{
	unsigned char *p = bytes_of(1, offset, STEP);

	wdata_put(t->w, offset, p, STEP);
	free(p);
	assert_reads_turn(t->f, 1, offset, STEP);
}

static void run(struct how h, bool drops, void (*grow)(struct t *t, uint64_t offset))
{
	struct t t;

	h.size = PAGE;
	t = begin_how(h);
	grow_beside(&t, drops, grow);
	finish(&t);
}

static void written_through(void **state)
{
	run((struct how){0}, false, write_more);
}

static void written_through_and_dropped(void **state)
{
	run((struct how){0}, true, write_more);
}

static void written_back(void **state)
{
	run((struct how){.writeback = true}, false, write_more);
}

static void written_back_soon_and_dropped(void **state)
{
	run((struct how){.writeback = true, .expire_ms = 1}, true, write_more);
}

static void grown_at_the_server(void **state)
{
	run((struct how){.stale = true}, false, server_has_more);
}

static void grown_at_the_server_and_dropped(void **state)
{
	run((struct how){.stale = true}, true, server_has_more);
}

/* ---- it is cut off and written again, all the time */

#define CUT_S 0.4 /* seconds */

/* The file as it should be is wdata_byte() throughout, so that no byte of it is ever 0. */
static void cut_and_write(struct t *t, uint64_t *seed)
{
	uint64_t size = (uint64_t)size_of(t->f), at, len;
	unsigned char *p;

	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	at = 1 + (*seed >> 33) % (TAIL_MAX - 2 * PAGE);
	len = 1 + (*seed >> 13) % (2 * PAGE);
	if (at < size)
		ok(pf_ftruncate(t->f, at));
	else
		at = size;
	p = malloc(len);
	for (uint64_t i = 0; i < len; i++)
		p[i] = wdata_byte(at + i);
	assert_int_equal(pf_pwrite(t->f, p, len, at), len);
	free(p);
}

/* Are these the file's first bytes? zeros: or some of them cut off. */
static bool right(const unsigned char *p, size_t n, bool zeros, struct reader *r)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == wdata_byte(i) || (zeros && !p[i]))
			continue;
		r->wrong = (long)i;
		return false;
	}
	return true;
}

/* From the beginning, in pieces of all sizes, lent as well. */
static void *read_cut(void *arg)
{
	unsigned char buf[TAIL_MAX];
	struct reader *r = arg;
	struct pf_borrow b;

	for (size_t len = 1; !*r->over && r->wrong < 0; len = len * 31 % 12289) {
		ssize_t n = pf_pread(r->f, buf, len, 0);

		if (n > 0 && !right(buf, (size_t)n, false, r))
			break;
		if (!r->lent || pf_read_borrow(r->f, len, 0, &b) <= 0)
			continue;
		/* A block with dirty data cannot leave the file as it is: bytes may change. */
		pf__slice_copy(buf, b.data, b.length);
		(void)right(buf, b.length, r->back, r);
		pf_read_return(&b);
	}
	return NULL;
}

static void cut_beside(struct how h, bool lent)
{
	struct timespec start, now;
	struct reader r[READERS];
	_Atomic bool over = false;
	uint64_t seed = 1;
	struct t t;

	h.size = PAGE;
	t = begin_how(h);
	readers_start(r, (struct reader){.t = &t, .lent = lent, .back = h.writeback, .over = &over},
		      read_cut);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		for (int i = 0; i < 20; i++)
			cut_and_write(&t, &seed);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec + (now.tv_nsec - start.tv_nsec) / 1e9 < CUT_S);
	over = true;
	readers_end(r);
	finish(&t);
}

static void cut_and_written_through(void **state)
{
	cut_beside((struct how){0}, false);
	cut_beside((struct how){0}, true);
	cut_beside((struct how){.flags = FUSE_EXPLICIT_INVAL_DATA}, true);
}

static void cut_and_written_back(void **state)
{
	cut_beside((struct how){.writeback = true}, false);
	cut_beside((struct how){.writeback = true}, true);
	cut_beside((struct how){.writeback = true, .expire_ms = 1}, true);
}

/* ---- what is lent when the file is cut off */

static void lent_and_cut(struct how h, bool at_the_server)
{
	const unsigned char *p;
	struct pf_borrow b;
	struct t t;

	h.size = 2 * PAGE;
	t = begin_how(h);
	assert_int_equal(pf_read_borrow(t.f, 2 * PAGE, 0, &b), 2 * PAGE);
	if (at_the_server)
		wdata_set_size(t.w, 100);
	else
		ok(pf_ftruncate(t.f, 100));
	assert_int_equal(size_of(t.f), 100);
	p = b.data;
	for (uint64_t i = 0; i < 2 * PAGE; i++)
		if (p[i] != wdata_byte(i))
			fail_msg("lent byte %" PRIu64 " is %d now", i, p[i]);
	pf_read_return(&b);
	assert_reads_old(t.f, 0, 100);
	finish(&t);
}

static void lent_stays(void **state)
{
	lent_and_cut((struct how){0}, false);
	lent_and_cut((struct how){.flags = FUSE_EXPLICIT_INVAL_DATA}, false);
	lent_and_cut((struct how){.writeback = true}, false);
	lent_and_cut((struct how){.stale = true}, true);
	lent_and_cut((struct how){.stale = true, .flags = FUSE_EXPLICIT_INVAL_DATA}, true);
}

/* ---- a READ comes back short, and something newer is known of the size */

static void short_but_refused(void **state)
{
	struct t t = begin(.size = 2 * PAGE);
	unsigned char *p = bytes_of(1, 1000, PAGE);
	struct mock_req *req;
	struct job *read;

	wdata_hold(t.w, FUSE_READ);
	read = job(&t, job_read, 0, 0, 2 * PAGE);
	req = wdata_held(t.w);
	ok(pf_fchmod(t.f, 0600)); /* a newer version of the attributes */
	wdata_set_size(t.w, 1000);
	wdata_go(t.w, req);
	req = wdata_held(t.w); /* what came is not taken for all of it */
	wdata_put(t.w, 1000, p, PAGE);
	wdata_go(t.w, req);
	wdata_unhold(t.w);
	job_join(read);
	assert_reads_turn(t.f, 1, 1000, PAGE);
	free(p);
	finish(&t);
}

/* ---- what lies behind an end that was not the server's */

/* A mapping has zeros behind the end, whole pages of them, which stay when it is gone. */
static void mapped_behind(struct how h, void (*grow)(struct t *t, uint64_t offset))
{
	unsigned char *p = bytes_of(1, 100, 5 * PAGE);
	struct pf_mapping *m;
	struct t t;

	h.size = 100;
	t = begin_how(h);
	ok(pf_mmap(t.f, 6 * PAGE, PROT_READ, MAP_PRIVATE, 0, &m));
	ok(pf_munmap(m));
	wdata_put(t.w, 100, p, 5 * PAGE);
	if (grow)
		grow(&t, 4 * PAGE);
	else
		assert_int_equal(size_of(t.f), 100 + 5 * PAGE);
	assert_reads_old(t.f, 0, 100);
	assert_reads_turn(t.f, 1, 100, 4 * PAGE - 100);
	free(p);
	finish(&t);
}

/*
 * The page with the end is cached, zeros behind it; then the file grows at the server, and nobody
 * is told. Whatever makes it longer here leaves bytes between the old end and its own, which are
 * the server's.
 */
static void grow_over(void (*grow)(struct t *t, uint64_t offset), bool direct)
{
	struct t t = begin(.size = 100, .flags = FUSE_EXPLICIT_INVAL_DATA);
	unsigned char *p = bytes_of(1, 100, 5 * PAGE);
	struct pf_file *f;

	if (direct) {
		ok(pf_close(t.f));
		ok(pf_open(t.m->fs, "foo", O_RDWR | O_DIRECT, 0, &t.f));
	}
	ok(pf_open(t.m->fs, "foo", O_RDONLY, 0, &f));
	assert_reads_old(f, 0, 100);
	wdata_put(t.w, 100, p, 5 * PAGE);
	grow(&t, 3 * PAGE);
	assert_reads_old(f, 0, 100);
	assert_reads_turn(f, 1, 100, 3 * PAGE - 100);
	ok(pf_close(f));
	free(p);
	finish(&t);
}

static void by_write(struct t *t, uint64_t offset)
{
	put_at(t->f, 2, offset, 10);
}

static void by_truncate(struct t *t, uint64_t offset)
{
	wdata_set_size(t->w, offset + 10); /* the other one went on, so that it is no change */
	ok(pf_ftruncate(t->f, offset + 10));
}

static void by_fallocate(struct t *t, uint64_t offset)
{
	ok(pf_fallocate(t->f, 0, offset, 10));
}

static void by_store(struct t *t, uint64_t offset)
{
	struct {
		struct fuse_notify_store_out o;
		char bytes[10];
	} n = {{.nodeid = FOO, .offset = offset, .size = 10}, "123456789"};

	mock_notify(t->m, FUSE_NOTIFY_STORE, &n, sizeof n.o + 10);
	mock_settle(t->m);
}

static void a_gap_is_the_servers(void **state)
{
	grow_over(by_write, false);
	grow_over(by_write, true);
	grow_over(by_truncate, false);
	grow_over(by_fallocate, false);
	grow_over(by_store, false);
}

static void zeros_of_a_mapping(void **state)
{
	mapped_behind((struct how){.stale = true, .flags = FUSE_EXPLICIT_INVAL_DATA}, NULL);
	mapped_behind((struct how){0}, by_write);
	mapped_behind((struct how){0}, by_fallocate);
	mapped_behind((struct how){0}, by_store);
}

/* It was cut off at the server unseen, and a truncation of ours makes it longer again, though
 * shorter than we knew it. */
static void cut_off_and_longer_again(void **state)
{
	struct t t = begin(.size = 3 * PAGE);

	assert_reads_old(t.f, 0, 3 * PAGE);
	wdata_set_size(t.w, 100);
	ok(pf_ftruncate(t.f, 2 * PAGE));
	assert_reads_old(t.f, 0, 100);
	assert_reads_zeros(t.f, 100, 2 * PAGE - 100);
	assert_int_equal(size_of(t.f), 2 * PAGE);
	finish(&t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(written_through),
	    write_test(written_through_and_dropped),
	    write_test(written_back),
	    write_test(written_back_soon_and_dropped),
	    write_test(grown_at_the_server),
	    write_test(grown_at_the_server_and_dropped),
	    write_test(a_gap_is_the_servers),
	    write_test(cut_off_and_longer_again),
	    write_test(cut_and_written_through),
	    write_test(cut_and_written_back),
	    write_test(lent_stays),
	    write_test(short_but_refused),
	    write_test(zeros_of_a_mapping),
	};

	return run_write_tests(argc, argv, tests);
}
