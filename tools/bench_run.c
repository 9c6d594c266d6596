/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"
#include "command.h"
#include "interrupt.h"
#include "report.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* A piece of work that takes long is not begun again beyond this many times the row's share. */
enum { OVERTIME = 2, BATCHES = 16 };

uint64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- was it cached, was it cold? -------------------------------------------------------- */

struct wanted {
	const char *key;
	uint64_t value;
};

static void pick(void *ctx, const char *key, const char *value)
{
	struct wanted *wanted = ctx;

	if (!strcmp(key, wanted->key))
		wanted->value = strtoull(value, NULL, 10);
}

/* What pf_info() says of our client; 0 where it says nothing. */
static uint64_t counter(const struct bench_side *side, const char *key)
{
	struct wanted wanted = {.key = key};

	if (side->which == BENCH_PORTFIRE)
		pf_info(side->tree->fs, pick, &wanted);
	return wanted.value;
}

/*
 * How much of the first bytes of the file the kernel has in memory, in pages; -1: it does not tell.
 * It tells only owners and those who could write the file.
 */
static long resident(const struct bench_side *side, uint64_t span)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = span / page;
	unsigned char *vector = pages ? malloc(pages) : NULL;
	struct stat st;
	long n = -1;
	void *map;

	if (!vector || fstat(side->file.fd, &st) || (geteuid() && st.st_uid != geteuid())) {
		free(vector);
		return -1;
	}
	map = mmap(NULL, pages * page, PROT_READ, MAP_PRIVATE, side->file.fd, 0);
	if (map != MAP_FAILED) {
		if (!mincore(map, pages * page, vector)) {
			n = 0;
			for (size_t i = 0; i < pages; i++)
				n += vector[i] & 1;
		}
		munmap(map, pages * page);
	}
	free(vector);
	return n;
}

static void note(struct bench_result *result, const char *text)
{
	if (!*result->note)
		snprintf(result->note, sizeof(result->note), "%s", text);
}

/* After a row of cached reads that began with so many READ requests. */
static void check_cached(const struct bench_side *side, struct bench_result *result, uint64_t reads)
{
	uint64_t span = result->row->prepare && !strcmp(result->row->name, "hot")
			    ? bench_hot_span(side->bench)
			    : side->bench->random_span;
	long in_memory;

	if (side->which == BENCH_PORTFIRE) {
		if (counter(side, "requests.READ") != reads)
			note(result, "not cached by portfire: reads were requests");
		return;
	}
	in_memory = resident(side, span);
	if (in_memory == 0)
		note(result, "not cached by the kernel: reads were requests");
	else if (in_memory > 0 && (uint64_t)in_memory < span / BENCH_PAGE)
		note(result, "not all of it was cached by the kernel");
}

/* Make the next reads cold. 0, 1 when that cannot be had, negative errno. */
static int make_cold(struct bench_side *side, struct bench_result *result)
{
	uint64_t span = side->bench->file_size;
	long in_memory;

	file_close(&side->file);
	int err = file_openat(&side->tree->root, side->bench->file, O_RDONLY, 0, &side->file);

	if (!err)
		err = file_dontneed(&side->file);
	if (err || side->which == BENCH_PORTFIRE)
		return err;
	in_memory = resident(side, span);
	if (in_memory <= 0 || (uint64_t)in_memory * BENCH_PAGE < span / 50)
		return 0;
	snprintf(result->refused, sizeof(result->refused),
		 "the kernel keeps %ld pages of the file cached", in_memory);
	return 1;
}

/* Were these bytes asked for at the server? The kernel was looked at before. */
static int check_cold(const struct bench_side *side, struct bench_result *result, uint64_t reads,
		      uint64_t pieces, uint64_t amount)
{
	uint64_t most = counter(side, "max_read"), made = counter(side, "requests.READ") - reads;
	uint64_t needed = result->row->unit == BENCH_US ? pieces : most ? amount / most : 1;

	if (side->which == BENCH_KERNEL || made * 10 >= needed * 9)
		return 0;
	snprintf(result->refused, sizeof(result->refused),
		 "not cold: portfire answered from what it keeps");
	return 1;
}

/* ---- samples ---------------------------------------------------------------------------- */

struct sample {
	uint64_t pieces, amount;
	double ns;
};

/* Pieces of work until the time is over, or there is nothing more to do. 0 or negative errno. */
static int take_sample(struct bench_side *side, const struct bench_row *row, double limit_ns,
		       struct sample *sample)
{
	uint64_t start = bench_now(), batch = 1, batch_start = start, now = start;
	int ret = 0;

	*sample = (struct sample){0};
	while (!ret && !interrupted() && (double)(now - start) < limit_ns) {
		for (uint64_t k = 0; k < batch && !ret; k++)
			ret = row->piece(side, sample->pieces++, &sample->amount);
		now = bench_now();
		/* Look at the clock often enough to stop in time, and no oftener. */
		if ((double)(now - batch_start) < limit_ns / BATCHES / 2)
			batch *= 2;
		batch_start = now;
	}
	if (ret >= 0 && row->conclude)
		ret = row->conclude(side);
	sample->ns = (double)(bench_now() - start);
	side->at += sample->pieces;
	return ret < 0 ? ret : interrupted() ? -EINTR : 0;
}

static void keep_sample(struct bench_side *side, struct bench_result *result,
			const struct sample *sample)
{
	unsigned *n = &result->n[side->which];

	if (!sample->amount || *n >= MAX_SAMPLES)
		return;
	result->values[side->which][(*n)++] = result->row->unit == BENCH_MB_S
						  ? (double)sample->amount * 1e3 / sample->ns
						  : sample->ns / (double)sample->amount / 1e3;
}

/* Open what the row works on. The scratch file is a new one for each sample. */
static int open_for(struct bench_side *side, const struct bench_row *row)
{
	struct bench *bench = side->bench;

	file_close(&side->file);
	if (!row->opens)
		return 0;
	if (*row->opens == 'r')
		return file_openat(&side->tree->root, bench->file, O_RDONLY, 0, &side->file);
	file_unlinkat(&side->tree->root, bench->scratch_write, 0);
	return file_openat(&side->tree->root, bench->scratch_write, O_WRONLY | O_CREAT | O_EXCL,
			   0600, &side->file);
}

/* 0, 1: no figure for this row, negative errno. */
static int one_sample(struct bench_side *side, struct bench_result *result)
{
	const struct bench_row *row = result->row;
	uint64_t reads, asked;
	struct sample sample;
	int ret = 0;

	if (row->cold)
		ret = make_cold(side, result);
	else if (row->opens && *row->opens == 'w')
		ret = open_for(side, row);
	reads = counter(side, "requests.READ");
	asked = row->asks ? counter(side, row->asks) : 0;
	if (!ret)
		ret = take_sample(side, row, side->bench->slot_ns / row->samples, &sample);
	if (!ret && row->cold)
		ret = check_cold(side, result, reads, sample.pieces, sample.amount);
	if (!ret && row->asks && side->which == BENCH_PORTFIRE &&
	    counter(side, row->asks) - asked < sample.pieces) {
		snprintf(result->refused, sizeof(result->refused), "the server was not asked");
		ret = 1;
	}
	if (!ret)
		keep_sample(side, result, &sample);
	return ret;
}

static int take_samples(struct bench_side *side, struct bench_result *result)
{
	const struct bench_row *row = result->row;
	uint64_t start, reads;
	int ret = open_for(side, row);

	side->at = 0;
	if (!ret && row->prepare)
		ret = row->prepare(side);
	reads = counter(side, "requests.READ");
	start = bench_now();
	for (unsigned i = 0; i < row->samples && !ret; i++) {
		if (i && (double)(bench_now() - start) > OVERTIME * side->bench->slot_ns)
			break;
		ret = one_sample(side, result);
	}
	if (!ret && row->cached)
		check_cached(side, result, reads);
	return ret;
}

static int complain_row(const struct bench_side *side, const struct bench_result *result, int err)
{
	if (side->which == BENCH_PORTFIRE && bench_is_gone(err))
		side->bench->gone = true;
	else if (side->which == BENCH_PORTFIRE)
		complain(true, err, "%s", result->title);
	else
		complain(false, err, "%s (by the kernel)", result->title);
	return STATUS_FAILED;
}

int bench_run_row(struct bench_side *side, struct bench_result *result)
{
	struct bench *bench = side->bench;
	unsigned before = result->n[side->which];
	int ret, err;

	if (*result->refused)
		return 0;
	ret = take_samples(side, result);
	if (ret < 0)
		complain_row(side, result, ret); /* before pf_error() is another's */
	err = file_close(&side->file);
	if (ret >= 0 && err) {
		complain_row(side, result, err);
		ret = err;
	}
	if (result->row->opens && *result->row->opens == 'w')
		file_unlinkat(&side->tree->root, bench->scratch_write, 0);
	if (ret == 0 && result->n[side->which] > before)
		result->medians[side->which][bench->round] =
		    summarize(result->values[side->which] + before, result->n[side->which] - before)
			.median;
	return ret < 0 ? STATUS_FAILED : 0;
}

/* ---- figures ---------------------------------------------------------------------------- */

void bench_conclude(struct bench *bench)
{
	for (size_t i = 0; i < bench->n_results; i++) {
		struct bench_result *r = &bench->results[i];
		double ratios[BENCH_ROUNDS_MAX];
		unsigned n = 0;

		if (*r->refused)
			continue;
		for (int side = 0; side < BENCH_SIDES; side++)
			r->sides[side] = summarize(r->values[side], r->n[side]);
		for (unsigned round = 0; round < bench->rounds; round++)
			if (r->medians[BENCH_KERNEL][round] > 0 &&
			    r->medians[BENCH_PORTFIRE][round] > 0)
				ratios[n++] = r->medians[BENCH_PORTFIRE][round] /
					      r->medians[BENCH_KERNEL][round];
		r->ratio = summarize(ratios, n);
	}
}

const char *bench_unit_name(enum bench_unit unit)
{
	return unit == BENCH_US ? "us" : "MB/s";
}
