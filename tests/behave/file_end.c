// SPDX-License-Identifier: BSD-2-Clause
/*
 * The end of a file that is read while it grows, by a write of ours or at the server. The bytes
 * here are never 0: a reader that gets one was given what the cache made up behind an old end.
 */
#include "tests/behave/writes.h"

#define ROUNDS   600
#define STEP     13 /* bytes; so that the end seldom is that of a page */
#define READERS  2
#define TAIL_MAX (3 * PAGE)

struct reader {
	struct t *t;
	struct pf_file *f;
	pthread_t thread;
	bool drops; /* what is cached, all the time */
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

/* Let readers read while grow() makes the file longer, step by step. */
static void grow_beside(struct t *t, bool drops, void (*grow)(struct t *t, uint64_t offset))
{
	struct reader r[READERS];
	_Atomic bool over = false;

	for (int i = 0; i < READERS; i++) {
		r[i] = (struct reader){.t = t, .drops = drops && i, .over = &over, .wrong = -1};
		ok(pf_open(t->m->fs, "foo", O_RDONLY, 0, &r[i].f));
		pthread_create(&r[i].thread, NULL, read_end, &r[i]);
	}
	for (int i = 0; i < ROUNDS; i++)
		grow(t, PAGE + (uint64_t)i * STEP);
	over = true;
	for (int i = 0; i < READERS; i++) {
		pthread_join(r[i].thread, NULL);
		ok(pf_close(r[i].f));
		if (r[i].wrong >= 0)
			fail_msg("byte %ld was read as 0", r[i].wrong);
	}
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

/* ---- what lies behind an end that was not the server's */

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
	    write_test(written_through),      write_test(written_through_and_dropped),
	    write_test(written_back),         write_test(written_back_soon_and_dropped),
	    write_test(grown_at_the_server),  write_test(grown_at_the_server_and_dropped),
	    write_test(a_gap_is_the_servers), write_test(cut_off_and_longer_again),
	};

	return run_write_tests(argc, argv, tests);
}
