/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One row: start a server per client, let the clients take turns for as many samples as asked,
 * compare them sample by sample. The server's own counters prove that a piece of work is the
 * requests that the row says, no more and no fewer (check.c).
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
#define QUICK_SHARE     10 /* of what is kept in memory, where it is much */
#define MUCH            (1u << 30)
#define CACHE_SLACK     (64u << 20)
#define SPARE_MEMORY    (1ull << 30) /* left to others */

/* ---- starting and stopping ----------------------------------------------------------------- */

static void fill_options(const struct side *side, char *text, size_t size)
{
	bool other = side->row->kernel_options && side->client == side->row->clients[KERNEL];
	const char *own = other ? side->row->kernel_options : side->row->options;
	const char *options = own ? own : "";
	const char *last = options + strlen(options);

	if (last > options && last[-1] == '=') {
		if (side->source)
			snprintf(text, size, "%s%s", options, side->source);
		else
			snprintf(text, size, "%s%u", options,
				 side->options->quick ? QUICK_ENTRIES : ENTRIES);
	} else if (side->row
		       ->in_memory) { /* the file ends where the work ends: no readahead beyond */
		snprintf(text, size, "%s,size=%llu", options, (unsigned long long)side->span);
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

	side->fs = (struct fs){.client = side->client, .fd = -1, .memory_size = side->span};
	if (side->row->in_memory)
		side->fs.cache_bytes = 2 * side->span + CACHE_SLACK;
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
	if (ret && !*failure())
		fail("%s: cannot prepare: %s", side->client->name, strerror(-ret));
	side->prepared = !ret;
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

static uint64_t span(const struct row *row, const struct options *options)
{
	bool less = options->quick && row->in_memory && row->span > MUCH;

	return less ? row->span / QUICK_SHARE : row->span;
}

static int side_init(struct side *side, const struct row *row, int which,
		     const struct options *options)
{
	char path[300];

	*side = (struct side){.row = row, .client = row->clients[which], .options = options};
	if (posix_memalign(&side->buffer, 4096, MAX_IO))
		return -ENOMEM;
	memset(side->buffer, 'x', MAX_IO);
	side->span = span(row, options);
	if (row->server && strstr(row->server, "passthrough")) {
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
		remove_tree(side->source);
	free(side->source);
}

/* ---- measuring ----------------------------------------------------------------------------- */

static bool is_time(const struct row *row)
{
	return !strcmp(row->unit, "us") || !strcmp(row->unit, "ms");
}

static double raw_sample(struct side *side)
{
	double value = side->row->sample(side);

	if (value < 0 && !*failure())
		fail("%s: %s", side->client->name, strerror(-(int)value));
	return value;
}

/* Did all bytes of the last sample come from the server, or go to it? */
static int check_moved(struct side *side, unsigned long before)
{
	unsigned long after, wanted = side->iterations * side->row->size;
	int ret = check_counter(side, side->row->moves, &after);

	if (ret || after - before >= wanted)
		return ret;
	fail("%s: not cold, the server saw %lu of %lu bytes", side->client->name, after - before,
	     wanted);
	return REFUSED;
}

/* One sample in the row's unit, for one piece of work; < 0: errno. */
static double side_sample(struct side *side)
{
	const struct row *row = side->row;
	unsigned long before = 0;
	double value;
	int ret = row->moves ? check_counter(side, row->moves, &before) : 0;

	if (ret)
		return ret;
	value = raw_sample(side);
	ret = value >= 0 && row->moves ? check_moved(side, before) : 0;
	if (ret)
		return ret;
	if (value < 0)
		return value;
	if (!strcmp(row->unit, "MB/s"))
		return side->iterations * row->size * 1e3 / value;
	if (!is_time(row))
		return value;
	return value / side->iterations / (!strcmp(row->unit, "us") ? 1e3 : 1e6);
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
		took = raw_sample(side);
		if (took < 0)
			return took;
		if (took > wanted / 4)
			break;
	}
	side->iterations = side->iterations * (wanted / took) + 1;
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
	if (!ret && side->row->expect && !side->client->serverless)
		ret = check_work(side);
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

static bool aim_met(const struct row *row, const struct summary *own, const struct summary *ratio,
		    const struct summary *more)
{
	switch (row->aim_kind) {
	case AIM_RATIO:
		return ratio->median <= row->aim;
	case AIM_RATIO_AT_LEAST:
		return ratio->median >= row->aim;
	case AIM_AT_MOST:
		return own->median <= row->aim;
	case AIM_AT_LEAST:
		return own->median >= row->aim;
	case AIM_MORE_AT_MOST:
		return more->median <= row->aim;
	case AIM_NONE:
		break;
	}
	return false;
}

static struct verdict judge_aim(const struct row *row, const struct summary *own,
				const struct summary *ratio, const struct summary *more)
{
	bool beside = row->aim_kind == AIM_RATIO || row->aim_kind == AIM_RATIO_AT_LEAST ||
		      row->aim_kind == AIM_MORE_AT_MOST;
	struct verdict v = {.judged = row->aim_kind != AIM_NONE && (beside ? ratio : own)->n > 0};

	v.met = v.judged && aim_met(row, own, ratio, more);
	return v;
}

static struct verdict judge_floor(const struct row *row, const struct summary *ratio)
{
	struct verdict v = {.judged = row->floor_aim > 0 && ratio->n > 0};

	v.met = v.judged && ratio->median <= row->floor_aim;
	return v;
}

static void judge(struct result *r)
{
	r->aim = judge_aim(r->row, &r->sides[PORTFIRE], &r->ratio, &r->more);
	r->floor_aim = judge_floor(r->row, &r->floor_ratio);
	r->trapped_aim = judge_aim(r->row, &r->sides[TRAPPED], &r->trapped_ratio, &r->trapped_more);
	r->trapped_floor_aim = judge_floor(r->row, &r->trapped_floor_ratio);
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

/* One against another, sample by sample. */
static struct summary compare(double values[SIDES][MAX_SAMPLES], int ours, int other, unsigned n)
{
	static double ratios[MAX_SAMPLES];

	for (unsigned i = 0; i < n; i++)
		ratios[i] = values[ours][i] / values[other][i];
	return summarize(ratios, n);
}

static struct summary compare_more(double values[SIDES][MAX_SAMPLES], int ours, unsigned n)
{
	static double more[MAX_SAMPLES];

	for (unsigned i = 0; i < n; i++)
		more[i] = values[ours][i] - values[KERNEL][i];
	return summarize(more, n);
}

static void compare_all(const struct side *sides, double values[SIDES][MAX_SAMPLES], unsigned n,
			struct result *r)
{
	unsigned kernel = sides[KERNEL].client ? n : 0, floor = sides[FLOOR].client ? n : 0;
	bool trapped = sides[TRAPPED].client;

	for (int i = 0; i < SIDES; i++)
		r->sides[i] = summarize(values[i], sides[i].client ? n : 0);
	r->ratio = compare(values, PORTFIRE, KERNEL, kernel);
	r->more = compare_more(values, PORTFIRE, kernel);
	r->floor_ratio = compare(values, PORTFIRE, FLOOR, floor);
	r->trapped_ratio = compare(values, TRAPPED, KERNEL, trapped ? kernel : 0);
	r->trapped_more = compare_more(values, TRAPPED, trapped ? kernel : 0);
	r->trapped_floor_ratio = compare(values, TRAPPED, FLOOR, trapped ? floor : 0);
}

/* For each side whose work makes no requests. */
static int check_cached(struct side *sides, int (*check)(struct side *side))
{
	int ret = 0;

	for (int i = 0; i < SIDES && !ret; i++)
		if (sides[i].client && !sides[i].client->serverless && sides[i].row->expect &&
		    !*sides[i].row->expect)
			ret = check(&sides[i]);
	return ret;
}

static int measure(struct side *sides, const struct options *options, struct result *r)
{
	static double values[SIDES][MAX_SAMPLES];
	unsigned n = sample_count(r->row, options);
	int ret = 0;

	for (int i = 0; i < SIDES && !ret; i++)
		ret = sides[i].client ? side_ready(&sides[i]) : 0;
	if (!ret)
		ret = check_cached(sides, check_begin);
	if (!ret)
		ret = take_turns(sides, n, values);
	if (!ret)
		ret = check_cached(sides, check_quiet);
	if (ret)
		return ret;
	compare_all(sides, values, n, r);
	judge(r);
	return 0;
}

static bool kernel_can(const struct row *row, const struct options *options)
{
	if (row->server && !row->clients[KERNEL]->serverless && options->no_kernel)
		return false;
	return !row->kernel_needs || !access(row->kernel_needs, R_OK);
}

static uint64_t available_memory(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %lu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib * 1024ull;
}

/* Is there room for what each client keeps? If not, the kernel's is the first to go. */
static int find_room(const struct row *row, const struct options *options, bool takes_part[SIDES])
{
	uint64_t each = row->in_memory ? span(row, options) : 0, room = available_memory();
	unsigned n = 0;

	for (int i = 0; i < SIDES; i++)
		n += takes_part[i];
	if (!each || room >= n * each + SPARE_MEMORY)
		return 0;
	n -= takes_part[KERNEL];
	takes_part[KERNEL] = false;
	if (room >= n * each + SPARE_MEMORY)
		return 0;
	fail("only %llu MiB of memory are available", (unsigned long long)(room >> 20));
	return REFUSED;
}

static int start_sides(struct side *sides, const struct row *row, const struct options *options)
{
	bool takes_part[SIDES];
	int ret;

	if (row->needs && !program_exists(row->needs)) {
		fail("there is no %s here", row->needs);
		return REFUSED;
	}
	for (int i = 0; i < SIDES; i++)
		takes_part[i] =
		    row->clients[i] && (i != KERNEL || kernel_can(row, options)) &&
		    (!row->clients[i]->program || program_exists(row->clients[i]->program));
	ret = find_room(row, options, takes_part);
	for (int i = 0; i < SIDES && !ret; i++)
		if (takes_part[i])
			ret = side_init(&sides[i], row, i, options);
	return ret;
}

bool row_run(const struct row *row, const struct options *options, struct result *result)
{
	struct side sides[SIDES] = {{.row = NULL}};
	int ret;

	*result = (struct result){.row = row};
	fail("%s", "");
	ret = start_sides(sides, row, options);
	if (!ret)
		ret = measure(sides, options, result);
	for (int i = 0; i < SIDES; i++)
		side_free(&sides[i]);
	unpin_self();
	if (ret) {
		*result = (struct result){.row = row, .refused = ret == REFUSED};
		snprintf(result->failure, sizeof(result->failure), "%s",
			 *failure() ? failure() : strerror(-ret));
	}
	return !ret || ret == REFUSED;
}
