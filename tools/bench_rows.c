/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"
#include "scatter.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

enum { LISTED_MAX = 10000 };

/* ---- names ------------------------------------------------------------------------------ */

static int stat_piece(struct bench_side *side, uint64_t i, uint64_t *amount)
{
	struct stat st;

	++*amount;
	return file_fstatat(&side->tree->root, side->bench->file, &st, 0);
}

static int refresh_piece(struct bench_side *side, uint64_t i, uint64_t *amount)
{
	++*amount;
	return file_refresh(&side->file);
}

static int list_open(struct file *dir, uint64_t *names)
{
	struct file_entry entry;
	struct stat st;
	int got = 0;

	for (uint64_t n = 0; n < LISTED_MAX && (got = file_readdir(dir, &entry)) > 0; n++) {
		int err = file_fstatat(dir, entry.name, &st, AT_SYMLINK_NOFOLLOW);

		if (err && err != -ENOENT && err != -EACCES)
			return err;
		++*names;
	}
	return got < 0 ? got : 0;
}

static int list_piece(struct bench_side *side, uint64_t i, uint64_t *names)
{
	struct file dir;
	int err =
	    file_openat(&side->tree->root, side->bench->directory, O_RDONLY | O_DIRECTORY, 0, &dir);

	if (err)
		return err;
	err = list_open(&dir, names);
	file_close(&dir);
	return err;
}

static int create_piece(struct bench_side *side, uint64_t i, uint64_t *amount)
{
	const char *name = side->bench->scratch_small;
	struct file f;
	ssize_t n;
	int err = file_openat(&side->tree->root, name, O_WRONLY | O_CREAT | O_EXCL, 0600, &f);

	if (err)
		return err;
	n = file_pwrite(&f, side->buffer, BENCH_PAGE, 0);
	err = file_close(&f);
	if (n != BENCH_PAGE)
		err = n < 0 ? (int)n : -EIO;
	++*amount;
	return err ? err : file_unlinkat(&side->tree->root, name, 0);
}

/* ---- reads ------------------------------------------------------------------------------ */

/* A file that is shorter than it was, or a server that answers less, is an error here. */
static int read_page(struct bench_side *side, uint64_t page)
{
	ssize_t n = file_pread(&side->file, side->buffer, BENCH_PAGE, (off_t)page * BENCH_PAGE);

	return n == BENCH_PAGE ? 0 : n < 0 ? (int)n : -EIO;
}

uint64_t bench_hot_span(const struct bench *bench)
{
	return bench->file_size < 4 * MIB ? bench->file_size : 4 * MIB;
}

static int hot_piece(struct bench_side *side, uint64_t i, uint64_t *amount)
{
	++*amount;
	return read_page(side, (side->at + i) % (bench_hot_span(side->bench) / BENCH_PAGE));
}

static int random_piece(struct bench_side *side, uint64_t i, uint64_t *amount)
{
	++*amount;
	return read_page(side, scattered(side->at + i, side->bench->random_span / BENCH_PAGE));
}

static int cold_random_piece(struct bench_side *side, uint64_t i, uint64_t *amount)
{
	uint64_t pages = side->bench->file_size / BENCH_PAGE;

	if (i >= pages)
		return 1;
	++*amount;
	return read_page(side, scattered(side->at + i, pages));
}

static int sequential(struct bench_side *side, uint64_t i, size_t size, uint64_t *amount)
{
	ssize_t n = file_pread(&side->file, side->buffer, size, (off_t)(i * size));

	if (n < 0)
		return (int)n;
	*amount += (uint64_t)n;
	return (size_t)n < size;
}

static int sequential_4k_piece(struct bench_side *side, uint64_t i, uint64_t *amount)
{
	return sequential(side, i, BENCH_PAGE, amount);
}

static int sequential_1m_piece(struct bench_side *side, uint64_t i, uint64_t *amount)
{
	return sequential(side, i, MIB, amount);
}

static int read_in(struct bench_side *side, uint64_t span)
{
	uint64_t amount = 0;
	int ret = 0;

	for (uint64_t i = 0; amount < span && !ret; i++)
		ret = sequential_1m_piece(side, i, &amount);
	return ret < 0 ? ret : 0;
}

static int prepare_hot(struct bench_side *side)
{
	return read_in(side, bench_hot_span(side->bench));
}

static int prepare_random(struct bench_side *side)
{
	return read_in(side, side->bench->random_span);
}

/* ---- writes ----------------------------------------------------------------------------- */

static int write_piece(struct bench_side *side, uint64_t i, uint64_t *amount)
{
	ssize_t n = file_pwrite(&side->file, side->buffer, BENCH_PAGE, (off_t)i * BENCH_PAGE);

	if (n != BENCH_PAGE)
		return n < 0 ? (int)n : -EIO;
	*amount += BENCH_PAGE;
	return (i + 1) * BENCH_PAGE >= side->bench->options->size;
}

static int conclude_write(struct bench_side *side)
{
	return file_fsync(&side->file);
}

int bench_make_scratch(struct bench_side *side)
{
	const struct bench *bench = side->bench;
	uint64_t left = bench->file_size;
	struct file f;
	ssize_t n = 0;
	int err = file_openat(&side->tree->root, bench->scratch_read, O_WRONLY | O_CREAT | O_EXCL,
			      0600, &f);

	if (err)
		return err;
	for (uint64_t at = 0; left && n >= 0; at += (uint64_t)n, left -= (uint64_t)n) {
		n = file_pwrite(&f, side->buffer, left < BENCH_BUFFER ? left : BENCH_BUFFER,
				(off_t)at);
		if (n == 0)
			n = -EIO;
		if (n < 0)
			break;
	}
	err = n < 0 ? (int)n : file_fsync(&f);
	if (file_close(&f) && !err)
		err = -EIO;
	return err;
}

void bench_remove_scratch(struct bench_side *side)
{
	const struct bench *bench = side->bench;
	const char *names[] = {bench->scratch_read, bench->scratch_write, bench->scratch_small};

	/* Their names are like nothing else's; what was not made is not there. */
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		file_unlinkat(&side->tree->root, names[i], 0);
}

/* ---- titles ----------------------------------------------------------------------------- */

static const char *size_text(uint64_t bytes, char text[32])
{
	if (bytes >= MIB)
		snprintf(text, 32, "%.*f MiB", bytes % MIB && bytes < 10 * MIB,
			 (double)bytes / MIB);
	else
		snprintf(text, 32, "%.0f KiB", (double)bytes / 1024);
	return text;
}

#define TITLE(name, ...)                                                                           \
	static void name(const struct bench *bench, char *text, size_t size)                       \
	{                                                                                          \
		char span[32];                                                                     \
                                                                                                   \
		(void)span;                                                                        \
		snprintf(text, size, __VA_ARGS__);                                                 \
	}
TITLE(stat_title, "stat of one file")
TITLE(refresh_title, "fstat that asks the server")
TITLE(list_title, "list %s%ju names with stat, each",
      bench->entries > LISTED_MAX ? "the first " : "",
      (uintmax_t)(bench->entries > LISTED_MAX ? LISTED_MAX : bench->entries))
TITLE(hot_title, "cached 4 KiB read, within %s", size_text(bench_hot_span(bench), span))
TITLE(random_title, "cached 4 KiB read, random in %s", size_text(bench->random_span, span))
TITLE(sequential_4k_title, "4 KiB reads in sequence, cold")
TITLE(sequential_1m_title, "1 MiB reads in sequence, cold")
TITLE(cold_random_title, "random 4 KiB read, cold")
TITLE(write_title, "4 KiB written %s, then fsync", bench->write_back ? "back" : "through")
TITLE(create_title, "create, write 4 KiB, close, unlink")

const struct bench_row bench_rows[] = {
    {.name = "stat", .unit = BENCH_US, .samples = 5, .title = stat_title, .piece = stat_piece},
    {.name = "getattr",
     .unit = BENCH_US,
     .samples = 5,
     .opens = "r",
     .asks = "requests.GETATTR",
     .title = refresh_title,
     .piece = refresh_piece},
    {.name = "list", .unit = BENCH_US, .samples = 3, .title = list_title, .piece = list_piece},
    {.name = "hot",
     .unit = BENCH_US,
     .samples = 5,
     .opens = "r",
     .cached = true,
     .title = hot_title,
     .prepare = prepare_hot,
     .piece = hot_piece},
    {.name = "random",
     .unit = BENCH_US,
     .samples = 5,
     .opens = "r",
     .cached = true,
     .title = random_title,
     .prepare = prepare_random,
     .piece = random_piece},
    {.name = "seq4k",
     .unit = BENCH_MB_S,
     .samples = 3,
     .opens = "r",
     .cold = true,
     .title = sequential_4k_title,
     .piece = sequential_4k_piece},
    {.name = "seq1m",
     .unit = BENCH_MB_S,
     .samples = 3,
     .opens = "r",
     .cold = true,
     .title = sequential_1m_title,
     .piece = sequential_1m_piece},
    {.name = "rand4k",
     .unit = BENCH_US,
     .samples = 3,
     .opens = "r",
     .cold = true,
     .title = cold_random_title,
     .piece = cold_random_piece},
    {.name = "write",
     .unit = BENCH_MB_S,
     .samples = 2,
     .opens = "w",
     .writes = true,
     .title = write_title,
     .piece = write_piece,
     .conclude = conclude_write},
    {.name = "create",
     .unit = BENCH_US,
     .samples = 3,
     .writes = true,
     .title = create_title,
     .piece = create_piece},
    {.name = NULL},
};
