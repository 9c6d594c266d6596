/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rows of file data. Cached: the file was read once, and the server says that it may stay
 * (FOPEN_KEEP_CACHE). Cold: the server does not say so, and each sample opens the file anew, which
 * makes both clients drop what they had. Both is checked by what the server was asked for.
 */
#include "bench.h"
#include "scatter.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define KIB   1024ull
#define MIB   (KIB * KIB)
#define PAGE  4096
#define HOT   (4 * MIB)
#define READS 20000               /* by each thread */
#define MANY  (1000000ull * PAGE) /* a million pages */
#define FEW   (1024ull * PAGE)
#define SLICE (4000ull * PAGE)

/* ---- offsets --------------------------------------------------------------------------------- */

static uint64_t in_turn(uint64_t i, uint64_t pages)
{
	return i % pages;
}

/* ---- reads ----------------------------------------------------------------------------------- */

static ssize_t read_at(struct side *side, struct handle *file, void *buffer, uint64_t offset)
{
	size_t size = side->row->size;
	ssize_t n = side->client->pread(file, buffer, size, offset);

	return n == (ssize_t)size ? 0 : n < 0 ? n : -EIO;
}

/* The time of side->iterations reads in pieces of the row's size, in that order; < 0: errno. */
static double timed_reads(struct side *side, uint64_t (*order)(uint64_t i, uint64_t pieces))
{
	const uint64_t size = side->row->size, pieces = side->span / size, n = side->iterations;
	uint64_t start = now_ns();

	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = order(side->done + i, pieces) * size;
		ssize_t ret = read_at(side, &side->file, side->buffer, at);

		if (ret)
			return ret;
	}
	start = now_ns() - start;
	side->done += n;
	return start;
}

static double sample_cached(struct side *side)
{
	return timed_reads(side, in_turn);
}

static double sample_cached_random(struct side *side)
{
	return timed_reads(side, scattered);
}

static int open_data(struct side *side, int flags)
{
	side->file.fs = &side->fs;
	return side->client->open(&side->fs, "data", flags, 0, &side->file);
}

/* A fresh open drops what the client has of the file: nothing of that is in the time. */
static int open_cold(struct side *side, int flags)
{
	int ret = side->client->close(&side->file);

	if (!ret && side->row->fresh && side->client->give_back)
		ret = side->client->give_back(&side->fs);
	return ret ? ret : open_data(side, flags);
}

static double sample_cold(struct side *side)
{
	int ret = open_cold(side, O_RDONLY);

	side->done = 0;
	return ret ? ret : timed_reads(side, in_turn);
}

static double sample_cold_random(struct side *side)
{
	int ret = open_cold(side, O_RDONLY);

	return ret ? ret : timed_reads(side, scattered);
}

static int prepare_read(struct side *side)
{
	return open_data(side, O_RDONLY);
}

static int read_through(struct side *side, struct handle *file, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to;) {
		size_t size = to - at < MAX_IO ? to - at : MAX_IO;
		ssize_t n = side->client->pread(file, side->buffer, size, at);

		if (n <= 0)
			return n < 0 ? n : -EIO;
		at += n;
	}
	return 0;
}

/* All of it is read once: it is cached, or at least the client has memory for it. */
static int prepare_cached(struct side *side)
{
	int ret = open_data(side, O_RDONLY);

	return ret ? ret : read_through(side, &side->file, 0, side->span);
}

static void close_data(struct side *side)
{
	side->client->close(&side->file);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static double timed_writes(struct side *side, bool sync)
{
	const uint64_t size = side->row->size, pieces = side->span / size, n = side->iterations;
	uint64_t start = now_ns();
	int ret = 0;

	for (uint64_t i = 0; i < n; i++) {
		ssize_t put = side->client->pwrite(&side->file, side->buffer, size,
						   (side->done + i) % pieces * size);

		if (put != (ssize_t)size)
			return put < 0 ? put : -EIO;
	}
	if (sync)
		ret = side->client->fsync(&side->file);
	start = now_ns() - start;
	side->done += n;
	return ret ? ret : start;
}

static int prepare_write(struct side *side)
{
	return open_data(side, O_WRONLY);
}

static int prepare_write_back(struct side *side)
{
	int ret = open_data(side, O_WRONLY);

	for (uint64_t at = 0; at < side->span && !ret; at += MAX_IO) {
		ssize_t n = side->client->pwrite(&side->file, side->buffer, MAX_IO, at);

		ret = n == MAX_IO ? 0 : n < 0 ? (int)n : -EIO;
	}
	return ret ? ret : side->client->fsync(&side->file);
}

static double sample_write(struct side *side)
{
	return timed_writes(side, false);
}

static double sample_write_back(struct side *side)
{
	int ret = open_cold(side, O_WRONLY);

	side->done = 0;
	return ret ? ret : timed_writes(side, true);
}

/* ---- threads --------------------------------------------------------------------------------- */

static int read_again(struct side *side, int thread, uint64_t times)
{
	char *buffer = (char *)side->buffer + thread * (MAX_IO / 2);
	uint64_t pages = side->span / PAGE;
	ssize_t ret = 0;

	/* Apart from each other in the file, as two readers would be. */
	for (uint64_t i = 0; i < times && !ret; i++)
		ret = read_at(side, &side->file, buffer, (i + thread * pages / 2) % pages * PAGE);
	return ret;
}

static double sample_scaling(struct side *side)
{
	return thread_scaling(side, READS, read_again);
}

/* ---- a million pages ------------------------------------------------------------------------- */

static int prepare_filling(struct side *side)
{
	int ret = open_data(side, O_RDONLY);

	side->few.fs = &side->fs;
	return ret ? ret : side->client->open(&side->fs, "few", O_RDONLY, 0, &side->few);
}

/*
 * The same hot window, at the end of a file of which all pages are cached and of one of which
 * nothing else is. What both have in common, the copy and its misses, cannot tell them apart: what
 * remains is how the page is found.
 */
static int prepare_million(struct side *side)
{
	int ret = prepare_cached(side);

	if (ret)
		return ret;
	side->few.fs = &side->fs;
	ret = side->client->open(&side->fs, "few", O_RDONLY, 0, &side->few);
	return ret ? ret : read_through(side, &side->few, side->span - FEW, side->span);
}

static void finish_million(struct side *side)
{
	side->client->close(&side->few);
	side->client->close(&side->file);
}

static double timed_window(struct side *side, struct handle *file)
{
	uint64_t start = now_ns(), window = side->span - FEW;

	for (uint64_t i = 0; i < READS; i++) {
		ssize_t ret = read_at(side, file, side->buffer, window + i * PAGE % FEW);

		if (ret)
			return ret;
	}
	return now_ns() - start;
}

static double sample_million(struct side *side)
{
	double many = timed_window(side, &side->file), few = timed_window(side, &side->few);

	return many < 0 ? many : few < 0 ? few : many / few;
}

/* How long the pages from there on take to come in; < 0: errno. */
static double timed_slice(struct side *side, uint64_t from)
{
	uint64_t start = now_ns();
	int ret = read_through(side, &side->file, from, from + SLICE);

	return ret ? ret : now_ns() - start;
}

/*
 * The last pages against the first: the client was started for this and has seen nothing but
 * another file, which wakes up client and server.
 */
static double sample_filling(struct side *side)
{
	double first, last;
	int ret = read_through(side, &side->few, 0, SLICE);

	first = ret ? ret : timed_slice(side, 0);
	ret = first < 0 ? first : read_through(side, &side->file, SLICE, side->span - SLICE);
	if (ret)
		return ret;
	last = timed_slice(side, side->span - SLICE);
	return last < 0 ? last : last / first;
}

/* ---- the table ------------------------------------------------------------------------------- */

#define MESSAGES     "the messages alone, no library"
#define SIZED        "size=4294967296,"
#define SERVER(text) .server = "nullserver", .options = text
#define KERNEL_AND_US                                                                              \
	{                                                                                          \
		&client_kernel, &client_portfire                                                   \
	}
#define AND_MEMCPY                                                                                 \
	{                                                                                          \
		&client_kernel, &client_portfire, &client_memcpy                                   \
	}
#define RATIO_AT_MOST(factor)  .aim_kind = AIM_RATIO, .aim = factor
#define RATIO_AT_LEAST(factor) .aim_kind = AIM_RATIO_AT_LEAST, .aim = factor
#define AT_MOST(value)         .aim_kind = AIM_AT_MOST, .aim = value
#define AT_LEAST(value)        .aim_kind = AIM_AT_LEAST, .aim = value
#define CACHED_ROW(n, t, bytes, fn, ...)                                                           \
	{                                                                                          \
		.name = n, .title = t, .unit = "us", .clients = AND_MEMCPY, SERVER("keep"),        \
		.floor = "memcpy, same size and order", .floor_aim = 1.6, .size = PAGE,            \
		.span = bytes, .in_memory = true, .expect = "", .prepare = prepare_cached,         \
		.finish = close_data, .sample = fn, __VA_ARGS__                                    \
	}
#define COLD_ROW(n, t, u, how, bytes, fn, ...)                                                     \
	{                                                                                          \
		.name = n, .title = t, .unit = u, .clients = KERNEL_AND_US, SERVER(how),           \
		.size = bytes, .moves = "bytes_read", .finish = close_data, .sample = fn,          \
		__VA_ARGS__                                                                        \
	}
#define SEQUENTIAL .span = 64 * MIB, .samples = 21, .prepare = prepare_cached
#define FRESH      .fresh = true, .aim_kind = AIM_NONE
#define AND_FLOOR                                                                                  \
	{                                                                                          \
		&client_kernel, &client_portfire, &client_floor                                    \
	}
#define WRITE_ROW(n, t, u, how, who, fn, ...)                                                      \
	{                                                                                          \
		.name = n, .title = t, .unit = u, .clients = who, SERVER(how), .size = PAGE,       \
		.span = 64 * MIB, .moves = "bytes_written", .finish = close_data, .sample = fn,    \
		__VA_ARGS__                                                                        \
	}

const struct row data_rows[] = {
    CACHED_ROW("cached4k-hot", "cached 4 KiB read, hot 4 MiB", HOT, sample_cached,
	       RATIO_AT_MOST(0.4)),
    CACHED_ROW("cached4k-random", "cached 4 KiB read, random in 256 MiB", 256 * MIB,
	       sample_cached_random, RATIO_AT_MOST(0.7)),
    CACHED_ROW("cached4k-huge", "cached 4 KiB read, random in 4 GB", MANY, sample_cached_random,
	       .aim_kind = AIM_NONE),
    {.name = "cached4k-threads",
     .title = "cached 4 KiB read, two threads",
     .unit = "x",
     .clients = AND_MEMCPY,
     SERVER("keep"),
     AT_LEAST(1.8),
     .floor = "memcpy, two threads",
     .size = PAGE,
     .span = HOT,
     .in_memory = true,
     .expect = "",
     .samples = 15,
     .pieces = 1,
     .prepare = prepare_cached,
     .finish = close_data,
     .sample = sample_scaling},
    COLD_ROW("seq1m-pinned", "sequential 1 MiB, cold, one core", "MB/s", SIZED "cached", MIB,
	     sample_cold, SEQUENTIAL, .pieces = 64, .pinned = true, RATIO_AT_LEAST(1.3)),
    COLD_ROW("seq1m", "sequential 1 MiB, cold", "MB/s", SIZED "cached", MIB, sample_cold,
	     SEQUENTIAL, .pieces = 64, RATIO_AT_LEAST(1.3)),
    COLD_ROW("seq1m-fresh", "sequential 1 MiB, cold, fresh memory", "MB/s", SIZED "cached", MIB,
	     sample_cold, SEQUENTIAL, .pieces = 64, FRESH),
    COLD_ROW("seq4k-pinned", "sequential 4 KiB, cold, one core", "MB/s", SIZED "cached", PAGE,
	     sample_cold, SEQUENTIAL, .pieces = 16384, .pinned = true, RATIO_AT_LEAST(1.5)),
    COLD_ROW("seq4k", "sequential 4 KiB, cold", "MB/s", SIZED "cached", PAGE, sample_cold,
	     SEQUENTIAL, .pieces = 16384, RATIO_AT_LEAST(1.5)),
    COLD_ROW("seq4k-128k", "sequential 4 KiB, cold, both 128 KiB ahead", "MB/s",
	     SIZED "cached,readahead=131072", PAGE, sample_cold, SEQUENTIAL, .pieces = 16384,
	     .aim_kind = AIM_NONE),
    COLD_ROW("random4k-pinned", "random 4 KiB, cold, one core", "us", SIZED "cached", PAGE,
	     sample_cold_random, .span = 4096 * MIB, .prepare = prepare_read, .pinned = true,
	     RATIO_AT_MOST(1.2)),
    COLD_ROW("random4k", "random 4 KiB, cold", "us", SIZED "cached", PAGE, sample_cold_random,
	     .span = 4096 * MIB, .prepare = prepare_read, RATIO_AT_MOST(1.2)),
    WRITE_ROW("write4k-pinned", "write-through 4 KiB, one core", "us", SIZED "cached", AND_FLOOR,
	      sample_write, .prepare = prepare_write, .floor = MESSAGES, .expect = "write",
	      .pinned = true, RATIO_AT_MOST(1.2)),
    WRITE_ROW("write4k", "write-through 4 KiB", "us", SIZED "cached", AND_FLOOR, sample_write,
	      .prepare = prepare_write, .floor = MESSAGES, .expect = "write", RATIO_AT_MOST(1.2)),
    WRITE_ROW("writeback4k-pinned", "write-back 4 KiB + fsync, one core", "MB/s",
	      SIZED "cached,writeback", KERNEL_AND_US, sample_write_back, .samples = 21,
	      .prepare = prepare_write_back, .pieces = 16384, .pinned = true, RATIO_AT_LEAST(1.5)),
    WRITE_ROW("writeback4k", "write-back 4 KiB + fsync", "MB/s", SIZED "cached,writeback",
	      KERNEL_AND_US, sample_write_back, .samples = 21, .prepare = prepare_write_back,
	      .pieces = 16384, RATIO_AT_LEAST(1.5)),
    WRITE_ROW("writeback4k-fresh", "write-back 4 KiB + fsync, fresh memory", "MB/s",
	      SIZED "cached,writeback", KERNEL_AND_US, sample_write_back, .samples = 21,
	      .prepare = prepare_write_back, .pieces = 16384, FRESH),
    {.name = "million",
     .title = "the millionth page against the first",
     .unit = "x",
     .clients = KERNEL_AND_US,
     SERVER("keep"),
     AT_MOST(1.5),
     .size = PAGE,
     .span = MANY,
     .in_memory = true,
     .expect = "",
     .samples = 21,
     .pieces = 1,
     .prepare = prepare_million,
     .finish = finish_million,
     .sample = sample_million},
    {.name = "million-filling",
     .title = "the millionth page, coming in",
     .unit = "x",
     .clients = KERNEL_AND_US,
     SERVER("keep"),
     AT_MOST(1.5),
     .size = MIB,
     .span = MANY,
     .in_memory = true,
     .samples = 3,
     .pieces = 1,
     .cold = true,
     .prepare = prepare_filling,
     .finish = finish_million,
     .sample = sample_filling},
    {.name = NULL},
};
