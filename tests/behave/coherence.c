// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the server says about a file that has dirty data (notifications), which must never wait for
 * a request; and random calls whose result is compared with a plain array, in every mode.
 */
#include "tests/behave/writes.h"

static void store(struct t *t, uint64_t offset, const void *bytes, uint32_t len)
{
	struct fuse_notify_store_out o = {.nodeid = FOO, .offset = offset, .size = len};
	char *buf = malloc(sizeof(o) + len);

	memcpy(buf, &o, sizeof(o));
	memcpy(buf + sizeof(o), bytes, len);
	mock_notify(t->m, FUSE_NOTIFY_STORE, buf, sizeof(o) + len);
	free(buf);
}

/* ---- INVAL_INODE */

static void inval_keeps_dirty_data(void **state)
{
	struct t t = begin(.writeback = true, .size = 4 * PAGE);

	assert_reads_old(t.f, 0, 4 * PAGE);
	put_at(t.f, 1, PAGE, PAGE);
	wdata_put(t.w, 0, "new", 3);
	mock_notify_inval_inode(t.m, FOO, 0, 0);
	mock_settle(t.m);
	assert_reads(t.f, 0, "new", 3);
	assert_reads_turn(t.f, 1, PAGE, PAGE);
	wdata_wait(t.w, FUSE_WRITE, 1); /* soon, by itself */
	wait_until(unwritten(&t) == 0);
	assert_server_turn(&t, 1, PAGE, PAGE);
	assert_int_equal(stats(&t).pages_lost, 0);
	finish(&t);
}

static void inval_of_a_part(void **state)
{
	struct t t = begin(.writeback = true, .size = 4 * PAGE);

	assert_reads_old(t.f, 0, 4 * PAGE);
	put_at(t.f, 1, 100, 100);
	mock_notify_inval_inode(t.m, FOO, 2 * PAGE, 10);
	mock_settle(t.m);
	wdata_text(t.w);
	assert_reads_old(t.f, PAGE, PAGE);
	assert_reads_turn(t.f, 1, 100, 100);
	assert_came(&t, FUSE_WRITE, 0);
	assert_text(&t, "");
	assert_reads_old(t.f, 2 * PAGE, PAGE);
	assert_true(strstr(wdata_text(t.w), "READ("));
	finish(&t);
}

static void inval_of_attributes_alone(void **state)
{
	struct t t = begin(.writeback = true, .size = 4 * PAGE);

	assert_reads_old(t.f, 0, 4 * PAGE);
	put_at(t.f, 1, 0, 5 * PAGE);
	mock_notify_inval_inode(t.m, FOO, -1, 0);
	mock_settle(t.m);
	wdata_text(t.w);
	assert_int_equal(size_of(t.f), 5 * PAGE); /* ours */
	assert_reads_turn(t.f, 1, 0, 5 * PAGE);
	assert_text(&t, "");
	finish(&t);
}

/* Of pages that are being written back: the reading thread goes on. */
static void inval_during_write_back(void **state)
{
	struct t t = begin(.writeback = true, .size = PAGE);
	struct mock_req *req;
	struct job *sync;

	put_at(t.f, 1, 0, PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	sync = job(&t, job_fsync, 0, 0, 0);
	req = wdata_held(t.w);
	mock_notify_inval_inode(t.m, FOO, 0, 0);
	mock_settle(t.m);
	assert_false(sync->done);
	wdata_go(t.w, req);
	wdata_unhold(t.w);
	ok(job_join(sync));
	assert_reads_turn(t.f, 1, 0, PAGE);
	assert_server_turn(&t, 1, 0, PAGE);
	finish(&t);
}

/* ---- AUTO_INVAL_DATA */

/* A time or a size that we set hides what was changed since we last knew the attributes. */
static void own_change_hides(bool truncate, bool expired)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 7}};
	struct t t = begin(.flags = FUSE_AUTO_INVAL_DATA, .size = 100, .closed = true);

	t.w->attr_valid = 10;
	ok(pf_open(t.m->fs, "foo", O_RDWR, 0, &t.f));
	assert_reads_old(t.f, 0, 100);
	wdata_text(t.w);
	wdata_put(t.w, 0, "new", 3);
	if (expired)
		pf__clock_advance(3600 * PF_NSEC_PER_SEC);
	ok(truncate ? pf_ftruncate(t.f, 100) : pf_futimens(t.f, times));
	assert_reads(t.f, 0, expired ? "new" : (char[]){(char)wdata_byte(0)}, expired ? 3 : 1);
	assert_int_equal(!!strstr(wdata_text(t.w), "READ("), expired);
	finish(&t);
}

static void own_change_after_another(void **state)
{
	for (int i = 0; i < 4; i++)
		own_change_hides(i & 1, i & 2);
}

/* Sent from within the handler of the very WRITE, as some servers do. */
static void inval_from_the_handler(void **state)
{
	struct t t = begin(.writeback = true, .size = 4 * PAGE);
	struct job *sync;

	for (int i = 0; i < 4; i++)
		put_at(t.f, 1, i * PAGE, PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	sync = job(&t, job_fsync, 0, 0, 0);
	wdata_held(t.w);
	for (int i = 0; i < 50; i++) {
		mock_notify_inval_inode(t.m, FOO, i % 4 * PAGE, PAGE);
		mock_notify_inval_inode(t.m, FOO, -1, 0);
	}
	wdata_unhold(t.w);
	ok(job_join(sync));
	assert_reads_turn(t.f, 1, 0, 4 * PAGE);
	finish(&t);
}

static void inval_with_strange_ranges(void **state)
{
	static const int64_t ranges[][2] = {
	    {INT64_MAX, INT64_MAX}, {INT64_MAX, 1}, {1, INT64_MAX}, {0, INT64_MIN},
	    {INT64_MIN, INT64_MIN}, {4095, 2},      {1 << 30, -1},  {0, INT64_MAX},
	};
	struct t t = begin(.writeback = true, .size = 4 * PAGE);

	put_at(t.f, 1, 0, 2 * PAGE);
	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
		mock_notify_inval_inode(t.m, FOO, ranges[i][0], ranges[i][1]);
	mock_settle(t.m);
	assert_reads_turn(t.f, 1, 0, 2 * PAGE);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0, 2 * PAGE);
	finish(&t);
}

/* ---- STORE */

static void store_during_write_back(void **state)
{
	struct t t = begin(.writeback = true);
	struct mock_req *req;
	struct job *sync;

	put_at(t.f, 1, 0, PAGE);
	wdata_hold(t.w, FUSE_WRITE);
	sync = job(&t, job_fsync, 0, 0, 0);
	req = wdata_held(t.w);
	store(&t, 10, "XYZ", 3);
	mock_settle(t.m);
	assert_false(sync->done);
	wdata_go(t.w, req);
	wdata_put(t.w, 10, "XYZ", 3);
	wdata_unhold(t.w);
	ok(job_join(sync));
	assert_reads_turn(t.f, 1, 0, 10);
	assert_reads_turn(t.f, 1, 13, PAGE - 13);
	finish(&t);
}

static void store_at_strange_places(void **state)
{
	static const uint64_t offsets[] = {INT64_MAX, INT64_MAX - 3, UINT64_MAX, UINT64_MAX - 2,
					   1ull << 63};
	struct t t = begin(.writeback = true);

	put_at(t.f, 1, 0, 100);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++)
		store(&t, offsets[i], "abcdef", 6);
	mock_settle(t.m);
	assert_reads_turn(t.f, 1, 0, 100);
	ok(pf_fsync(t.f, 0));
	assert_server_turn(&t, 1, 0, 100);
	finish(&t);
}

/* ---- random calls, against an array */

struct model {
	struct t t;
	unsigned char *data;
	size_t size, room;
};

static struct model model_begin(struct how h)
{
	return (struct model){.t = begin_how(h), .data = calloc(1, 1 << 20), .room = 1 << 20};
}

static void m_write(struct model *m, int turn, size_t at, size_t len)
{
	unsigned char *p = bytes_of(turn, at, len);

	assert_int_equal(pf_pwrite(m->t.f, p, len, at), len);
	memcpy(m->data + at, p, len);
	if (at + len > m->size)
		m->size = at + len;
	free(p);
}

static void m_truncate(struct model *m, size_t size)
{
	ok(pf_ftruncate(m->t.f, size));
	if (size < m->size)
		memset(m->data + size, 0, m->size - size);
	m->size = size;
}

static void m_read(struct model *m, size_t at, size_t len)
{
	if (at >= m->size) {
		char c;

		assert_int_equal(pf_pread(m->t.f, &c, 1, at), 0);
		return;
	}
	assert_reads(m->t.f, at, m->data + at, at + len > m->size ? m->size - at : len);
}

static void m_copy(struct model *m, size_t from, size_t to, size_t len)
{
	off_t in = from, out = to;

	assert_int_equal(pf_copy_file_range(m->t.f, &in, m->t.f, &out, len, 0), len);
	memcpy(m->data + to, m->data + from, len);
	if (to + len > m->size)
		m->size = to + len;
}

static void model_end(struct model *m)
{
	assert_int_equal(size_of(m->t.f), m->size);
	assert_reads(m->t.f, 0, m->data, m->size);
	ok(pf_close(m->t.f));
	m->t.f = NULL;
	wdata_assert(m->t.w, m->data, m->size);
	assert_int_equal(stats(&m->t).pages_lost, 0);
	free(m->data);
	finish(&m->t);
}

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void random_step(struct model *m, uint64_t *seed, int turn)
{
	size_t at = next(seed) % (300 * 1024), len = 1 + next(seed) % (40 * 1024);

	if (next(seed) % 2)
		len = 1 + next(seed) % 300;
	switch (next(seed) % 16) {
	case 0:
		m_truncate(m, at);
		return;
	case 1:
		ok(pf_fsync(m->t.f, 0));
		return;
	case 2:
		ok(pf_drop_caches(m->t.m->fs));
		return;
	case 3:
		mock_notify_inval_inode(m->t.m, FOO, at, len);
		return;
	case 4:
		ok(pf_setfl(m->t.f, pf_getfl(m->t.f) ^ O_DIRECT));
		return;
	case 5:
		if (at + len <= m->size)
			m_copy(m, at, at > len ? 0 : at + len, len);
		return;
	case 6:
		ok(pf_sync_file_range(m->t.f, at, len, SYNC_FILE_RANGE_WRITE));
		return;
	case 7:
	case 8:
	case 9:
		m_read(m, at, len);
		return;
	default:
		m_write(m, turn, at, len);
	}
}

static void random_calls(void **state)
{
	const char *env = getenv("PF_TEST_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : pf__now() | 1;

	print_message("PF_TEST_SEED=%#" PRIx64 "\n", seed);
	for (int mode = 0; mode < 6; mode++) {
		struct how h = {.writeback = mode % 3 > 0,
				.expire_ms = mode % 3 > 1 ? 1 : 0,
				.max_write = mode < 3 ? 0 : 8192,
				.cache_bytes = mode < 3 ? 0 : 2 << 20,
				.dirty_bytes = mode < 3 ? 0 : 512 << 10};
		struct model m = model_begin(h);

		for (int i = 0; i < 300; i++)
			random_step(&m, &seed, i);
		model_end(&m);
	}
}

/* ---- several at once, each in a part of its own; the parts meet within pages */

#define PART 10007

struct part {
	struct t *t;
	struct pf_file *direct;
	unsigned char data[PART];
	uint64_t start, seed;
	pthread_t thread;
	int number;
	char wrong[200]; /* what was, "" nothing */
};

static bool part_agrees(struct part *p, struct pf_file *f, int step)
{
	unsigned char got[PART];
	ssize_t n = pf_pread(f, got, PART, p->start);

	if (n != PART) {
		snprintf(p->wrong, sizeof(p->wrong), "part %d step %d: read gave %zd", p->number,
			 step, n);
		return false;
	}
	for (int i = 0; i < PART; i++)
		if (got[i] != p->data[i]) {
			snprintf(p->wrong, sizeof(p->wrong),
				 "part %d step %d: byte %d (%" PRIu64 ") is %d, not %d%s",
				 p->number, step, i, p->start + i, got[i], p->data[i],
				 f == p->direct ? ", directly" : "");
			return false;
		}
	return true;
}

static bool part_writes(struct part *p, struct pf_file *f, int step)
{
	size_t at = next(&p->seed) % PART, len = 1 + next(&p->seed) % (PART - at);
	unsigned char *bytes = bytes_of(step * 8 + p->number, p->start + at, len);
	ssize_t n = pf_pwrite(f, bytes, len, p->start + at);

	memcpy(p->data + at, bytes, len);
	free(bytes);
	if (n == (ssize_t)len)
		return true;
	snprintf(p->wrong, sizeof(p->wrong), "part %d step %d: write gave %zd", p->number, step, n);
	return false;
}

static bool part_step(struct part *p, int step)
{
	struct t *t = p->t;

	switch (next(&p->seed) % 12) {
	case 0:
		return pf_fsync(t->f, 0) == 0;
	case 1:
		return pf_drop_caches(t->m->fs) == 0;
	case 2:
		mock_notify_inval_inode(t->m, FOO, p->start, PART);
		return true;
	case 3:
		return pf_sync_file_range(t->f, p->start, PART, SYNC_FILE_RANGE_WRITE) == 0;
	case 4:
		return part_writes(p, p->direct, step);
	case 5:
		return part_agrees(p, p->direct, step);
	case 6:
	case 7:
	case 8:
		return part_agrees(p, t->f, step);
	default:
		return part_writes(p, t->f, step);
	}
}

static void *part_run(void *arg)
{
	struct part *p = arg;

	for (int step = 0; step < 150; step++)
		if (!part_step(p, step)) {
			if (!p->wrong[0])
				snprintf(p->wrong, sizeof(p->wrong), "part %d step %d: %s",
					 p->number, step, pf_error());
			break;
		}
	return NULL;
}

static void parts(struct how h, uint64_t seed)
{
	static struct part all[4];
	struct t t = begin_how(h);

	put_at(t.f, 0, 0, 4 * PART);
	ok(pf_fsync(t.f, 0));
	t.w->open_flags = FOPEN_DIRECT_IO;
	for (int i = 0; i < 4; i++) {
		unsigned char *p = bytes_of(0, i * PART, PART);

		all[i] =
		    (struct part){.t = &t, .start = i * PART, .number = i, .seed = seed + 77 * i};
		memcpy(all[i].data, p, PART);
		free(p);
		ok(pf_open(t.m->fs, "foo", O_RDWR, 0, &all[i].direct));
	}
	for (int i = 0; i < 4; i++)
		pthread_create(&all[i].thread, NULL, part_run, &all[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(all[i].thread, NULL);
	for (int i = 0; i < 4; i++) {
		if (all[i].wrong[0])
			fail_msg("seed %#" PRIx64 ": %s", seed, all[i].wrong);
		ok(pf_close(all[i].direct));
	}
	ok(pf_close(t.f));
	t.f = NULL;
	for (int i = 0; i < 4; i++)
		wdata_assert_at(t.w, all[i].start, all[i].data, PART);
	assert_int_equal(stats(&t).pages_lost, 0);
	finish(&t);
}

static void random_threads(void **state)
{
	const char *env = getenv("PF_TEST_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : pf__now() | 1;

	print_message("PF_TEST_SEED=%#" PRIx64 "\n", seed);
	for (int mode = 0; mode < 4; mode++) {
		struct how h = {.writeback = mode > 0,
				.expire_ms = mode > 1 ? 1 : 0,
				.max_write = mode > 2 ? 8192 : 0};

		parts(h, seed + mode);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    write_test(inval_keeps_dirty_data),
	    write_test(inval_of_a_part),
	    write_test(inval_of_attributes_alone),
	    write_test(inval_during_write_back),
	    write_test(inval_from_the_handler),
	    write_test(inval_with_strange_ranges),
	    write_test(store_during_write_back),
	    write_test(store_at_strange_places),
	    write_test(own_change_after_another),
	    write_test(random_calls),
	    write_test(random_threads),
	};

	return run_write_tests(argc, argv, tests);
}
