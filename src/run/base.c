/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the server has of a file that programs write to: of each block a sum of 128 bits, in a file
 * that is as sparse as the one itself, and lies where that lies. No sum: the server has zeros
 * there, or nothing (behind base_size).
 *
 * Two contents of a block have the same sum once in 2^128; the sums are seeded for each run.
 *
 * Where a sum cannot be kept (the disk is full, say) all of them are given up: every block differs
 * then, until the file is closed.
 */
#include "run/base.h"
#include "base/memfd.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

/* What no block has: a part of it is the server's, or nobody knows. */
static const struct pf__sum unknown = {UINT64_MAX, UINT64_MAX};

struct pf__sum base_sum(const struct object *o, const char *data, size_t size)
{
	struct pf__sum sum = {0, 0};
	XXH128_hash_t h;

	if (is_zero(data, size))
		return sum;
	h = XXH3_128bits_withSeed(data, size, o->run->seed);
	sum = (struct pf__sum){h.low64, h.high64};
	if (base_same(sum, (struct pf__sum){0, 0}) || base_same(sum, unknown))
		sum.low ^= 1;
	return sum;
}

static void write_sums(struct object *o, size_t block, const struct pf__sum *sums, size_t n)
{
	ssize_t size = (ssize_t)(n * sizeof *sums);

	if (pwrite(o->base, sums, (size_t)size, (off_t)(block * sizeof *sums)) != size)
		o->base_lost = true;
}

static bool are_zero(const struct pf__sum *sums, size_t n)
{
	return !n || is_zero((const char *)sums, n * sizeof *sums);
}

void base_note(struct object *o, size_t at, const struct pf__sum *sums, size_t n)
{
	if (o->base_lost || (o->base < 0 && are_zero(sums, n)))
		return;
	if (o->base < 0 && o->on_disk)
		o->base = disk_take(o->run);
	if (o->base < 0)
		o->base = pf__memfd("portfire base");
	if (o->base < 0)
		o->base_lost = true;
	else
		write_sums(o, at / BASE_BLOCK, sums, n);
}

void base_forget(struct object *o, size_t at, size_t size)
{
	size_t end = at + size;

	for (at -= at % BASE_BLOCK; at < end; at += BASE_BLOCK)
		base_note(o, at, &unknown, 1);
}

void base_read(const struct object *o, size_t at, struct pf__sum *sums, size_t n)
{
	size_t size = n * sizeof *sums;
	ssize_t got =
	    o->base < 0 ? 0 : pread(o->base, sums, size, (off_t)(at / BASE_BLOCK * sizeof *sums));

	if (o->base_lost || got < 0) {
		for (size_t i = 0; i < n; i++)
			sums[i] = unknown;
		return;
	}
	memset((char *)sums + got, 0, size - (size_t)got);
}

/* What is cut off is zeros if it comes back; of the last block a part is left. */
void base_resize(struct object *o, size_t size)
{
	size_t blocks = size / BASE_BLOCK;

	if (o->base >= 0 && size < o->base_size) {
		if (ftruncate(o->base, (off_t)(blocks * sizeof(struct pf__sum))) < 0)
			o->base_lost = true;
		if (size % BASE_BLOCK)
			write_sums(o, blocks, &unknown, 1);
	}
	o->base_size = size;
}

/* Whole blocks are zeros. */
static void punch_blocks(struct object *o, size_t from, size_t to)
{
	const off_t each = sizeof(struct pf__sum);
	off_t size = lseek(o->base, 0, SEEK_END), at = (off_t)from * each, end = (off_t)to * each;

	if (end > size)
		end = size;
	if (at < end &&
	    fallocate(o->base, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, end - at) < 0)
		o->base_lost = true;
}

void base_punch(struct object *o, size_t at, size_t size)
{
	size_t end = at + size, from, to;

	if (o->base < 0)
		return;
	if (end > o->base_size) /* nothing is there */
		end = o->base_size;
	if (at >= end)
		return;
	from = (at + BASE_BLOCK - 1) / BASE_BLOCK;
	to = end / BASE_BLOCK;
	if (from < to)
		punch_blocks(o, from, to);
	if (at % BASE_BLOCK)
		base_forget(o, at, 1);
	if (end % BASE_BLOCK)
		base_forget(o, end, 1);
}

off_t base_next_data(const struct object *o, off_t at, off_t end)
{
	const off_t each = sizeof(struct pf__sum);
	off_t data;

	if (o->base_lost)
		return at;
	if (o->base < 0)
		return end;
	data = lseek(o->base, at / BASE_BLOCK * each, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO ? end : at;
	data = data / each * BASE_BLOCK;
	return data < at ? at : data < end ? data : end;
}

void base_close(struct object *o)
{
	if (o->base >= 0 && o->on_disk)
		disk_give(o->run, pf__take(o->base, -1));
	else if (o->base >= 0)
		close(pf__take(o->base, -1));
	o->base_size = 0;
	o->base_lost = false;
}
