/* SPDX-License-Identifier: BSD-2-Clause */
/* Several threads at one open file, or at one inode. */
#include "../behave/behave.h"
#include <dirent.h>

#define REG     (S_IFREG | 0644)
#define THREADS 4
#define ROUNDS  200
#define RECORD  8
#define SIZE    (THREADS * ROUNDS * RECORD)

/* What the server keeps. Its handlers run on one thread or on those of the client. */
static struct {
	pthread_mutex_t lock;
	unsigned char data[SIZE];
	uint64_t size;
	int writers, most_writers;
} file;

static void serve_write(struct mock_req *req, void *ctx)
{
	const struct fuse_write_in *in = req->arg;
	struct fuse_write_out out = {.size = in->size};

	pthread_mutex_lock(&file.lock);
	if (++file.writers > file.most_writers)
		file.most_writers = file.writers;
	if (in->offset + in->size <= SIZE) {
		memcpy(file.data + in->offset, req->data, in->size);
		if (in->offset + in->size > file.size)
			file.size = in->offset + in->size;
	} else {
		out.size = 0;
	}
	file.writers--;
	pthread_mutex_unlock(&file.lock);
	mock_answer(req, &out, sizeof out);
}

static void serve_getattr(struct mock_req *req, void *ctx)
{
	struct fuse_attr_out out = {.attr_valid = 1};

	pthread_mutex_lock(&file.lock);
	out.attr = mock_attr(42, REG, file.size);
	pthread_mutex_unlock(&file.lock);
	mock_answer(req, &out, sizeof out);
}

static void serve_read(struct mock_req *req, void *ctx)
{
	const struct fuse_read_in *in = req->arg;
	size_t n = in->offset < SIZE ? SIZE - in->offset : 0;

	mock_answer(req, file.data + (in->offset < SIZE ? in->offset : 0),
		    n < in->size ? n : in->size);
}

static struct mock *start(uint32_t open_flags)
{
	struct mock *m = mock_start(NULL);

	memset(file.data, 0, sizeof file.data);
	file.size = 0;
	pthread_mutex_init(&file.lock, NULL);
	mock_any_times(mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER));
	mock_any_times(mock_open(m, 42, open_flags));
	mock_any_times(mock_flush(m, 42));
	mock_any_times(mock_release(m, 42));
	mock_any_times(mock_fn_set(mock_expect(m, FUSE_WRITE, 42, NULL), serve_write, NULL));
	mock_any_times(mock_fn_set(mock_expect(m, FUSE_READ, 42, NULL), serve_read, NULL));
	mock_any_times(mock_fn_set(mock_expect(m, FUSE_GETATTR, 42, NULL), serve_getattr, NULL));
	return m;
}

struct worker {
	pthread_t thread;
	struct mock *m;
	struct pf_file *f;
	int index, failed;
	unsigned char seen[THREADS * ROUNDS];
};

static void run(struct mock *m, struct pf_file *f, void *(*fn)(void *), struct worker *w)
{
	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.m = m, .f = f, .index = i};
		assert_int_equal(pthread_create(&w[i].thread, NULL, fn, &w[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(w[i].thread, NULL);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(w[i].failed, 0);
}

static void record_make(unsigned char *r, int index, int round)
{
	snprintf((char *)r, RECORD, "%u %4u", (unsigned)index % 10, (unsigned)round % 10000);
}

/* Every record of every thread stands in the file, once and whole. */
static void check_records(void)
{
	char seen[THREADS][ROUNDS] = {{0}};

	assert_int_equal(file.size, SIZE);
	for (int i = 0; i < THREADS * ROUNDS; i++) {
		int index = -1, round = -1;

		if (sscanf((char *)file.data + i * RECORD, "%d %d", &index, &round) != 2)
			fail_msg("record %d is torn", i);
		assert_in_range(index, 0, THREADS - 1);
		assert_in_range(round, 0, ROUNDS - 1);
		assert_int_equal(seen[index][round]++, 0);
	}
}

static void *write_records(void *arg)
{
	struct worker *w = arg;
	unsigned char r[RECORD] = {0};

	for (int i = 0; i < ROUNDS; i++) {
		record_make(r, w->index, i);
		w->failed += pf_write(w->f, r, RECORD) != RECORD;
	}
	return NULL;
}

static void writers_share_a_position(void **state)
{
	struct worker *w = calloc(THREADS, sizeof *w);
	struct mock *m = start(0);
	struct pf_file *f;

	ok(pf_open(m->fs, "foo", O_WRONLY, 0, &f));
	run(m, f, write_records, w);
	check_records();
	assert_int_equal(file.most_writers, 1);
	ok(pf_close(f));
	mock_end(m);
	free(w);
}

static void *append_records(void *arg)
{
	struct worker *w = arg;

	w->failed += pf_open(w->m->fs, "foo", O_WRONLY | O_APPEND, 0, &w->f) != 0;
	if (w->failed)
		return NULL;
	write_records(w);
	w->failed += pf_close(w->f) != 0;
	return NULL;
}

static void appenders_do_not_overlap(void **state)
{
	struct worker *w = calloc(THREADS, sizeof *w);
	struct mock *m = start(FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES);

	run(m, NULL, append_records, w);
	check_records();
	mock_end(m);
	free(w);
}

static void *read_records(void *arg)
{
	struct worker *w = arg;
	unsigned char r[RECORD];
	int index, round;
	ssize_t n;

	while ((n = pf_read(w->f, r, RECORD)) > 0) {
		if (n != RECORD || sscanf((char *)r, "%d %d", &index, &round) != 2)
			w->failed++;
		else
			w->seen[index * ROUNDS + round]++;
	}
	w->failed += n < 0;
	return NULL;
}

static void readers_share_a_position(void **state)
{
	struct worker *w = calloc(THREADS, sizeof *w);
	struct mock *m = start(FOPEN_DIRECT_IO);
	struct pf_file *f;

	for (int i = 0; i < THREADS * ROUNDS; i++)
		record_make(file.data + i * RECORD, i / ROUNDS, i % ROUNDS);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	run(m, f, read_records, w);
	for (int i = 0; i < THREADS * ROUNDS; i++) {
		int sum = 0;

		for (int k = 0; k < THREADS; k++)
			sum += w[k].seen[i];
		assert_int_equal(sum, 1);
	}
	ok(pf_close(f));
	mock_end(m);
	free(w);
}

/* ---- directories */

static void serve_readdir(struct mock_req *req, void *ctx)
{
	const struct fuse_read_in *in = req->arg;
	uint64_t off = in->offset;
	char buf[1024] = {0}, name[32];
	size_t len = 0;

	while (off < THREADS * ROUNDS && len + 64 < sizeof buf) {
		snprintf(name, sizeof name, "entry-%" PRIu64, off);
		off++;
		len = mock_dirent(buf, len, 100 + off, off, DT_REG, name);
	}
	mock_answer(req, buf, len);
}

static void *read_entries(void *arg)
{
	struct worker *w = arg;
	struct pf_dirent e;
	int r;

	while ((r = pf_readdir(w->f, &e)) > 0)
		w->seen[e.off - 1]++;
	w->failed += r < 0;
	return NULL;
}

static void readers_share_a_directory(void **state)
{
	struct worker *w = calloc(THREADS, sizeof *w);
	struct mock *m = mock_start(NULL);
	struct pf_file *d;

	mock_opendir(m, 1, 0);
	mock_releasedir(m, 1);
	mock_any_times(mock_fn_set(mock_expect(m, FUSE_READDIR, 1, NULL), serve_readdir, NULL));
	ok(pf_open(m->fs, "/", O_RDONLY | O_DIRECTORY, 0, &d));
	run(m, d, read_entries, w);
	for (int i = 0; i < THREADS * ROUNDS; i++) {
		int sum = 0;

		for (int k = 0; k < THREADS; k++)
			sum += w[k].seen[i];
		assert_int_equal(sum, 1);
	}
	ok(pf_close(d));
	mock_end(m);
	free(w);
}

/* ---- descriptors */

static void *open_and_close(void *arg)
{
	struct worker *w = arg;
	struct pf_file *f, *copy;
	char c;

	for (int i = 0; i < ROUNDS; i++) {
		if (pf_open(w->m->fs, "foo", O_RDONLY, 0, &f)) {
			w->failed++;
			continue;
		}
		w->failed += pf_dup(f, &copy) != 0;
		w->failed += pf_close(f) != 0;
		w->failed += pf_pread(copy, &c, 1, 0) != 1;
		w->failed += pf_close(copy) != 0;
	}
	return NULL;
}

static void files_come_and_go(void **state)
{
	struct worker *w = calloc(THREADS, sizeof *w);
	struct mock *m = start(FOPEN_DIRECT_IO);

	run(m, NULL, open_and_close, w);
	assert_int_equal(mock_count(m, FUSE_OPEN), THREADS * ROUNDS);
	assert_int_equal(mock_count(m, FUSE_FLUSH), 2 * THREADS * ROUNDS);
	ok(pf_stop(m->fs));
	m->fs = NULL;
	assert_int_equal(mock_count(m, FUSE_RELEASE), THREADS * ROUNDS);
	mock_end(m);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(writers_share_a_position), cmocka_unit_test(appenders_do_not_overlap),
	    cmocka_unit_test(readers_share_a_position), cmocka_unit_test(readers_share_a_directory),
	    cmocka_unit_test(files_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
