/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of "portfire bench".
 *
 *   cmd_bench.c    options; the rounds in which the two clients take turns
 *   bench_find.c   which file is read, which directory is listed
 *   bench_rows.c   the rows: what a piece of work is
 *   bench_run.c    one row at one client for its share of the time, and what comes out
 *   bench_mount.c  the kernel's client: mounting and unmounting
 *   bench_print.c  the table, JSON
 *   bench_svg.c    the chart
 *
 * One server runs at a time: two on the same image, each with its own idea of what is free on it,
 * would spoil it. So a round is: our client does all rows, then the kernel's does; the next round
 * begins with the kernel's. All rows are written once, on tools/files.h.
 */
#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#include "bench_mount.h"
#include "session.h"
#include "stats.h"
#include <errno.h>

enum { BENCH_KERNEL, BENCH_PORTFIRE, BENCH_SIDES };
enum { BENCH_ROUNDS_MAX = 9, BENCH_SENTENCE = 320, BENCH_PAGE = 4096, BENCH_BUFFER = 1 << 20 };
enum bench_unit { BENCH_US, BENCH_MB_S };

struct bench_options {
	const char *file, *row, *svg; /* NULL: not given */
	uint64_t size;                /* of scratch files; 0: as usual */
	double seconds;               /* for all samples; 0: as usual */
	bool write, quick, json;
};

/* One client, while its server runs. */
struct bench_side {
	struct bench *bench;
	int which;
	struct tree *tree;
	struct tree kernel_tree;
	struct file file; /* open for the row */
	char *buffer;     /* BENCH_BUFFER bytes */
	uint64_t at;      /* pieces done since the row began */
};

struct bench_row {
	const char *name;
	enum bench_unit unit;
	bool writes;       /* only with --write */
	bool cached;       /* no piece may need a READ, else a note says so */
	bool cold;         /* every byte must come from the server */
	const char *asks;  /* request that each piece makes; NULL: it does not matter */
	unsigned samples;  /* a round */
	const char *opens; /* "r" the file that is read, "w" the scratch file; NULL: none */
	uint64_t least;    /* bytes that the file must have */
	void (*title)(const struct bench *bench, char *text, size_t size);
	int (*prepare)(struct bench_side *side); /* once a round; NULL: nothing */
	/*
	 * One piece of work: adds to *amount what the figure counts (bytes, else pieces). 1: there
	 * is nothing more to do in this sample. Negative errno.
	 */
	int (*piece)(struct bench_side *side, uint64_t i, uint64_t *amount);
	int (*conclude)(struct bench_side *side); /* in the time; NULL: nothing */
};

extern const struct bench_row bench_rows[]; /* ends with one without a name */

/* What is known of a row: samples as they come in, figures in the end. */
struct bench_result {
	const struct bench_row *row;
	char title[80];
	double values[BENCH_SIDES][MAX_SAMPLES];
	unsigned n[BENCH_SIDES];
	double medians[BENCH_SIDES][BENCH_ROUNDS_MAX]; /* of the rounds; 0: none */
	struct summary sides[BENCH_SIDES], ratio;
	char note[BENCH_SENTENCE];    /* what is to be known about the figures; "": nothing */
	char refused[BENCH_SENTENCE]; /* why there are none; "": there are */
};

struct bench {
	const struct bench_options *options;
	struct session *session;
	struct server *server;
	char *command_line;             /* of the server, as it was typed */
	char *mountpoint;               /* NULL: "{}" */
	char no_kernel[BENCH_SENTENCE]; /* why its side is empty; "": it is not */
	struct kernel_mount mount;

	char *file; /* what is read, relative to the root; owned */
	uint64_t file_size;
	bool scratch; /* it is one of ours, made at each start and removed before each end */
	char *scratch_read, *scratch_write, *scratch_small; /* names in the root */
	char *directory;  /* what is listed; owned; "." for the root */
	uint64_t entries; /* in it, as far as they are listed */
	uint64_t random_span;
	bool write_back; /* negotiated with our client */

	bool gone; /* our client lost its server, which is still to be said */
	unsigned rounds, round;
	double slot_ns; /* for one row at one client in one round */
	struct bench_result *results;
	size_t n_results;
};

/* ---- bench_find.c: says itself what is wrong. 0, STATUS_FAILED, STATUS_USAGE ---------------- */

int bench_find(struct bench *bench);

/* ---- bench_run.c --------------------------------------------------------------------------- */

/* One row's share of a round; says itself what is wrong, or sets bench->gone. 0 or STATUS_FAILED.
 */
int bench_run_row(struct bench_side *side, struct bench_result *result);
void bench_conclude(struct bench *bench);
uint64_t bench_now(void); /* ns */
/* Does the negative errno say that the connection to the server has ended? */
static inline bool bench_is_gone(int err)
{
	return err == -ENOTCONN || err == -ECONNABORTED;
}

/* ---- bench_rows.c -------------------------------------------------------------------------- */

/* Make the scratch file that is read. 0 or negative errno. */
int bench_make_scratch(struct bench_side *side);
void bench_remove_scratch(struct bench_side *side);
/* Bytes of the file that random cached reads go over. */
uint64_t bench_hot_span(const struct bench *bench);

/* ---- output -------------------------------------------------------------------------------- */

void bench_print_table(const struct bench *bench);
void bench_print_json(const struct bench *bench);
void bench_write_svg(const struct bench *bench, FILE *out);
const char *bench_unit_name(enum bench_unit unit);

#endif
