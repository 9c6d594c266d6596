/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One row: start a server per client, let the clients take turns for as many samples as asked,
 * compare them sample by sample. Before that, the server's own counters prove that a piece of work
 * is the requests that the row says, no more and no fewer.
 */
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLES         41
#define QUICK_SAMPLES   9
#define SAMPLE_NS       5e6
#define QUICK_SAMPLE_NS 2e6
#define VERIFIED        100 /* pieces of work whose requests are counted */

/* ---- starting and stopping ----------------------------------------------------------------- */

static void fill_options(const struct side *side, char *text, size_t size)
{
	const char *options = side->row->options ? side->row->options : "";
	const char *last = options + strlen(options);

	if (last > options && last[-1] == '=') {
		if (side->source)
			snprintf(text, size, "%s%s", options, side->source);
		else
			snprintf(text, size, "%s%u", options,
				 side->options->quick ? QUICK_ENTRIES : ENTRIES);
	} else {
		snprintf(text, size, "%s", options);
	}
}

static int side_start(struct side *side)
{
	char program[512], options[512], mountpoint[300], f[] = "-f", s[] = "-s", o[] = "-o";
	char *with[] = {program, f, s, o, options, mountpoint, NULL};
	char *without[] = {program, f, s, mountpoint, NULL};
	int ret = 0;

	side->fs = (struct fs){.client = side->client, .fd = -1};
	if (!side->row->server)
		return 0;
	snprintf(program, sizeof(program), "%s/%s", side->options->server, side->row->server);
	snprintf(mountpoint, sizeof(mountpoint), "%s/%s", side->options->scratch,
		 side->client->name);
	fill_options(side, options, sizeof(options));
	fail("%s", "");
	ret = side->client->start(&side->fs, *options ? with : without);
	if (ret) {
		if (!*failure())
			fail("%s: cannot start %s: %s", side->client->name, side->row->server,
			     strerror(-ret));
		return ret;
	}
	side->running = true;
	ret = side->row->prepare ? side->row->prepare(side) : 0;
	if (ret)
		fail("%s: cannot prepare: %s", side->client->name, strerror(-ret));
	else
		side->prepared = true;
	return ret;
}

static void side_stop(struct side *side)
{
	if (side->prepared && side->row->finish)
		side->row->finish(side);
	if (side->running)
		side->client->stop(&side->fs);
	side->running = side->prepared = false;
}

static int side_init(struct side *side, const struct row *row, int which,
		     const struct options *options)
{
	char path[300];

	*side = (struct side){.row = row, .client = row->clients[which], .options = options};
	if (posix_memalign(&side->buffer, 4096, MAX_IO))
		return -ENOMEM;
	memset(side->buffer, 'x', MAX_IO);
	if (row->server && !strcmp(row->server, "passthrough_ll")) {
		snprintf(path, sizeof(path), "%s/source.XXXXXX", options->scratch);
		if (!mkdtemp(path))
			return -errno;
		side->source = strdup(path);
	}
	return 0;
}

static void side_free(struct side *side)
{
	if (!side->client)
		return;
	side_stop(side);
	free(side->buffer);
	if (side->source)
		rmdir(side->source);
	free(side->source);
}

/* ---- measuring ----------------------------------------------------------------------------- */

static bool is_time(const struct row *row)
{
	return !strcmp(row->unit, "us") || !strcmp(row->unit, "ms");
}

/* One sample in the row's unit, for one piece of work; < 0: errno. */
static double side_sample(struct side *side)
{
	double value = side->row->sample(side);

	if (value < 0) {
		if (!*failure())
			fail("%s: %s", side->client->name, strerror(-(int)value));
		return value;
	}
	if (!is_time(side->row))
		return value;
	return value / side->iterations / (!strcmp(side->row->unit, "us") ? 1e3 : 1e6);
}

/* Choose how many pieces of work fill a sample. */
static int calibrate(struct side *side)
{
	double wanted = side->options->quick ? QUICK_SAMPLE_NS : SAMPLE_NS, took;

	side->iterations = side->row->pieces;
	if (side->iterations) {
		if (side->options->quick && side->iterations > 10)
			side->iterations /= 10;
		return 0;
	}
	for (side->iterations = 16;; side->iterations *= 2) {
		took = side->row->sample(side);
		if (took < 0) {
			fail("%s: %s", side->client->name, strerror(-(int)took));
			return took;
		}
		if (took > wanted / 4)
			break;
	}
	side->iterations = side->iterations * (wanted / took) + 1;
	return 0;
}

/* The text of the server's file of counters. */
static int read_counters(struct side *side, char *text, size_t size)
{
	const struct client *client = side->client;
	struct handle h = {.fs = &side->fs};
	ssize_t n = client->open(&side->fs, "counters", O_RDONLY, 0, &h);

	if (!n) {
		n = client->pread(&h, side->buffer, size, 0);
		client->close(&h);
	}
	if (n <= 0 || n >= (ssize_t)size) {
		fail("%s: cannot read the server's counters: %s", client->name,
		     strerror(n < 0 ? -n : EIO));
		return n < 0 ? n : -EIO;
	}
	memcpy(text, side->buffer, n);
	text[n] = 0;
	return 0;
}

/* The server's counters: how often the named operation was called, and all others together. */
static int count_requests(struct side *side, const char *name, long *named, long *others)
{
	char text[1024], word[64], *line;
	long value;
	int ret = read_counters(side, text, sizeof(text));

	if (ret)
		return ret;
	*named = *others = 0;
	for (line = text; sscanf(line, "%63s %ld", word, &value) == 2;) {
		if (strncmp(word, "bytes_", 6))
			*(strcmp(word, name) ? others : named) += value;
		line = strchr(line, '\n');
		if (!line)
			break;
		line++;
	}
	return 0;
}

/* Did the work make the requests that the row says it makes? */
static int verify(struct side *side)
{
	long named[2], others[2], wanted = *side->row->expect ? VERIFIED : 0;
	double took;
	int ret;

	side->iterations = VERIFIED;
	ret = count_requests(side, side->row->expect, &named[0], &others[0]);
	if (ret)
		return ret;
	took = side->row->sample(side);
	if (took < 0) {
		fail("%s: %s", side->client->name, strerror(-(int)took));
		return took;
	}
	ret = count_requests(side, side->row->expect, &named[1], &others[1]);
	if (ret)
		return ret;
	if (named[1] - named[0] != wanted || others[1] != others[0]) {
		fail("%s: %d pieces of work made %ld %s requests and %ld others",
		     side->client->name, VERIFIED, named[1] - named[0], side->row->expect,
		     others[1] - others[0]);
		return -EPROTO;
	}
	return 0;
}

static int side_ready(struct side *side)
{
	int ret = 0;

	if (side->row->cold) {
		side->iterations = side->row->pieces;
		return 0;
	}
	ret = side_start(side);
	if (!ret && side->row->expect)
		ret = verify(side);
	if (ret)
		return ret;
	pin_all(side->row->pinned);
	return calibrate(side);
}

static double one_value(struct side *side)
{
	double value;
	int ret;

	if (!side->row->cold)
		return side_sample(side);
	ret = side_start(side);
	if (ret) {
		side_stop(side);
		return ret;
	}
	pin_all(side->row->pinned);
	value = side_sample(side);
	side_stop(side);
	return value;
}

static unsigned sample_count(const struct row *row, const struct options *options)
{
	unsigned n = row->samples ? row->samples : SAMPLES;

	if (options->quick)
		n = n < QUICK_SAMPLES ? (n + 1) / 2 : QUICK_SAMPLES;
	if (options->samples && n > 1)
		n = options->samples;
	return n < MAX_SAMPLES ? n : MAX_SAMPLES;
}

static void judge(struct result *r)
{
	const struct row *row = r->row;
	const struct summary *ours = &r->sides[PORTFIRE];

	switch (row->aim_kind) {
	case AIM_RATIO:
		r->judged = r->ratio.n > 0;
		r->met = r->judged && r->ratio.median <= row->aim;
		break;
	case AIM_AT_MOST:
		r->judged = ours->n > 0;
		r->met = r->judged && ours->median <= row->aim;
		break;
	case AIM_AT_LEAST:
		r->judged = ours->n > 0;
		r->met = r->judged && ours->median >= row->aim;
		break;
	case AIM_NONE:
		break;
	}
}

/* Turns: A B C, then C B A, so that a slow drift falls on all of them. */
static int take_turns(struct side *sides, unsigned n, double values[SIDES][MAX_SAMPLES])
{
	for (unsigned i = 0; i < n; i++) {
		for (int turn = 0; turn < SIDES; turn++) {
			int which = i % 2 ? SIDES - 1 - turn : turn;

			if (!sides[which].client)
				continue;
			values[which][i] = one_value(&sides[which]);
			if (values[which][i] < 0)
				return values[which][i];
		}
	}
	return 0;
}

static int measure(struct side *sides, const struct options *options, struct result *r)
{
	static double values[SIDES][MAX_SAMPLES], ratios[MAX_SAMPLES];
	unsigned n = sample_count(r->row, options);
	int ret = 0;

	for (int i = 0; i < SIDES && !ret; i++)
		ret = sides[i].client ? side_ready(&sides[i]) : 0;
	if (!ret)
		ret = take_turns(sides, n, values);
	if (ret)
		return ret;
	for (int i = 0; i < SIDES; i++)
		r->sides[i] = summarize(values[i], sides[i].client ? n : 0);
	for (unsigned i = 0; i < n; i++)
		ratios[i] = values[PORTFIRE][i] / values[KERNEL][i];
	r->ratio = summarize(ratios, sides[KERNEL].client && sides[PORTFIRE].client ? n : 0);
	judge(r);
	return 0;
}

static bool kernel_can(const struct row *row, const struct options *options)
{
	if (row->server && options->no_kernel)
		return false;
	return !row->kernel_needs || !access(row->kernel_needs, R_OK);
}

bool row_run(const struct row *row, const struct options *options, struct result *result)
{
	struct side sides[SIDES] = {{.row = NULL}};
	int ret = 0;

	*result = (struct result){.row = row};
	fail("%s", "");
	for (int i = 0; i < SIDES && !ret; i++)
		if (row->clients[i] && (i != KERNEL || kernel_can(row, options)))
			ret = side_init(&sides[i], row, i, options);
	if (!ret)
		ret = measure(sides, options, result);
	for (int i = 0; i < SIDES; i++)
		side_free(&sides[i]);
	unpin_self();
	if (ret)
		snprintf(result->failure, sizeof(result->failure), "%s",
			 *failure() ? failure() : strerror(-ret));
	return !ret;
}
