// SPDX-License-Identifier: BSD-2-Clause
/*
 * The tester of file data: random operations through the public calls, done to a plain model too,
 * in every configuration. What differs is shrunk to a few operations that --replay repeats. --help
 * tells how to use it.
 */
#include "tests/model/dice.h"
#include "tests/model/threads.h"
#include "tests/model/trial.h"
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_MIN 1000 /* operations of one run */
#define CHUNK_MAX 3000
#define TIMEOUT_S 120
#define MMAP_FROM (256 << 20) /* malloc() gives memory back seldom */

struct options {
	uint64_t seed, ops;
	const char *config, *replay, *plant, *without;
	unsigned threads, seconds, shrink_seconds;
	bool verbose, no_fork, fixed_ops;
};

static const char usage[] =
    "usage: model [OPTION...]\n"
    "  --seed N           where the dice begin (default: the time)\n"
    "  --ops N            operations over all configurations (100000)\n"
    "  --seconds N        as many as fit into this time instead\n"
    "  --config N|TEXT    one, or all whose name contains TEXT (default: all)\n"
    "  --list             name the configurations\n"
    "  --threads N        N threads share the files\n"
    "  --replay FILE      do what is listed in FILE\n"
    "  --plant NAME       the server lies: corrupt lose stale size copy unsynced silent\n"
    "  --without LIST     leave these kinds of operations out\n"
    "  --shrink-seconds N for making a failure small (60; 0: not at all)\n"
    "  --no-fork          in this process, for a debugger\n"
    "  -v                 tell each run\n";

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int plant_of(const struct options *o)
{
	for (int i = 0; o->plant && i < PLANT_COUNT; i++)
		if (!strcmp(o->plant, server_plants[i]))
			return i;
	if (!o->plant)
		return PLANT_NONE;
	fprintf(stderr, "no such plant: %s\n", o->plant);
	exit(2);
}

/* ---- configurations */

static unsigned select_configs(const char *what, unsigned *numbers)
{
	char name[CONFIG_NAME], *end;
	unsigned n = 0;
	unsigned long number = what ? strtoul(what, &end, 10) : 0;

	if (what && *what && !*end && number < CONFIGS) {
		numbers[0] = (unsigned)number;
		return 1;
	}
	for (unsigned i = 0; i < CONFIGS; i++) {
		config_name(i, name);
		if (!what || strstr(name, what))
			numbers[n++] = i;
	}
	return n;
}

/* Few operations reach some configurations of each kind, not the first ones. */
static void shuffle(unsigned *numbers, unsigned n, uint64_t seed)
{
	uint64_t dice = dice_mix(seed);

	for (unsigned i = n; i > 1; i--) {
		unsigned k = (unsigned)dice_below(&dice, i), other = numbers[k];

		numbers[k] = numbers[i - 1];
		numbers[i - 1] = other;
	}
}

static void list_configs(void)
{
	char name[CONFIG_NAME];

	for (unsigned i = 0; i < CONFIGS; i++) {
		config_name(i, name);
		printf("%3u %s\n", i, name);
	}
}

/* ---- a failure */

static void print_run(FILE *f, const struct config *c, uint64_t seed, const struct op *ops,
		      size_t n)
{
	fprintf(f, "config %s seed %" PRIu64 "\n", c->name, seed);
	for (size_t i = 0; i < n; i++)
		op_print(f, &ops[i]);
}

static void tell_config(const struct config *c)
{
	const struct server_config *s = &c->server;

	printf("  flags %#" PRIx64
	       ", max_readahead %u, max_background %u, attributes valid %" PRIu64
	       " ns, keep %u direct %u late %u eintr %u, dirty_bytes %" PRIu64 ", expire %u ms%s\n",
	       s->flags, s->max_readahead, s->max_background, s->attr_valid_ns, s->keep, s->direct,
	       s->late, s->eintr, c->options.dirty_bytes, c->options.dirty_expire_ms,
	       c->silent ? ", silent changes" : "");
}

static void failure(struct trial *t, const struct options *o, uint64_t seed, struct op *ops,
		    size_t n)
{
	size_t at = atomic_load(&t->report->at), small;
	char what[REPORT_SIZE];

	memcpy(what, t->report->what, sizeof what);
	printf("FAILED: config %s seed %" PRIu64 ", operation %zu (%s)\n  %s\n", t->config->name,
	       seed, at, at < n ? op_name(ops[at].kind) : "the end", what);
	tell_config(t->config);
	if (o->verbose) {
		printf("---- all operations\n");
		print_run(stdout, t->config, seed, ops, at < n ? at + 1 : n);
	}
	if (!o->shrink_seconds)
		return;
	small = trial_shrink(t, ops, n, o->shrink_seconds);
	if (trial_run(t, ops, small))
		printf("---- it does not fail each time; %zu operations that failed once:\n",
		       small);
	else
		printf("---- %zu operations are enough: %s\n", small, t->report->what);
	print_run(stdout, t->config, seed, ops, small);
	printf("----\n");
}

/* ---- runs */

static bool run_one(struct trial *t, const struct options *o, unsigned number, uint64_t seed,
		    size_t n)
{
	struct config c;
	struct op *ops = malloc(n * sizeof *ops);
	struct op_source source;
	bool ok = true;

	config_make(number, seed, &c);
	c.server.plant = (enum server_plant)plant_of(o);
	op_source_init(&source, seed * CONFIGS + number, c.server.max_write);
	source.without = o->without;
	for (size_t i = 0; i < n; i++)
		op_next(&source, &ops[i]);
	t->config = &c;
	if (o->verbose)
		printf("config %s seed %" PRIu64 ": %zu operations\n", c.name, seed, n);
	if (o->threads)
		ok = threads_run(t, o->threads, seed, n);
	else if (o->no_fork)
		run_ops(&c, ops, n, t->report);
	else
		ok = trial_run(t, ops, n);
	if (!ok && o->threads)
		printf("FAILED: config %s seed %" PRIu64 " threads %u: %s\n", c.name, seed,
		       o->threads, t->report->what);
	else if (!ok)
		failure(t, o, seed, ops, n);
	free(ops);
	return ok;
}

static void summary(const struct report *r, unsigned runs, double seconds, bool verbose)
{
	uint64_t missing = 0;

	for (int i = 0; i < OP_COUNT; i++)
		missing += r->missing[i];
	printf("%u runs, %" PRIu64 " operations in %.1f s: %.0f a second, %" PRIu64 " requests\n",
	       runs, r->done, seconds, (double)r->done / seconds, r->requests);
	if (r->inconclusive)
		printf("%" PRIu64 " runs ended early: EINTR reached a call\n", r->inconclusive);
	if (missing)
		printf("not available: %" PRIu64 " operations\n", missing);
	for (int i = 0; i < OP_COUNT; i++)
		if (verbose || r->missing[i])
			printf("  %-13s %8" PRIu64 ", %" PRIu64 " not available, %.1f us\n",
			       op_name(i), r->counts[i], r->missing[i],
			       (double)r->ns[i] / 1000.0 / (double)(r->counts[i] + 1));
}

static int run_all(const struct options *o)
{
	unsigned numbers[CONFIGS], n = select_configs(o->config, numbers), runs = 0, i = 0;
	struct trial t = {.report = trial_report(), .timeout_s = TIMEOUT_S};
	uint64_t start = now_ns(), left = o->ops, seed = o->seed;
	size_t each;

	if (!n) {
		fprintf(stderr, "no configuration is named like %s\n", o->config);
		return 2;
	}
	shuffle(numbers, n, o->seed);
	each = o->seconds ? CHUNK_MIN : (o->ops + n - 1) / n;
	each = each > CHUNK_MAX ? CHUNK_MAX : each < CHUNK_MIN ? CHUNK_MIN : each;
	while (o->seconds ? now_ns() - start < o->seconds * 1000000000ull : left > 0) {
		if (!run_one(&t, o, numbers[i], seed, each)) {
			printf("seed %" PRIu64 "\n0 passed, 1 failed, 0 skipped\n", o->seed);
			return 1;
		}
		runs++;
		left -= left < each ? left : each;
		if (++i == n) {
			i = 0;
			seed++;
		}
	}
	printf("seed %" PRIu64 ": ", o->seed);
	summary(t.report, runs, (double)(now_ns() - start) / 1e9, o->verbose);
	printf("%u passed, 0 failed, 0 skipped\n", runs);
	return 0;
}

/* ---- replay */

static unsigned config_number(const char *name)
{
	unsigned numbers[CONFIGS], n = select_configs(name, numbers);

	if (n == 1)
		return numbers[0];
	fprintf(stderr, "no configuration has the name %s\n", name);
	exit(2);
}

static int replay(const struct options *o)
{
	FILE *f = fopen(o->replay, "re");
	struct trial t = {.report = trial_report(), .timeout_s = TIMEOUT_S};
	char line[512], name[CONFIG_NAME];
	struct config c;
	struct op *ops = NULL, op;
	uint64_t seed;
	size_t n = 0;
	bool found = false;

	if (!f) {
		perror(o->replay);
		return 2;
	}
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "config %63s seed %" SCNu64, name, &seed) == 2) {
			config_make(config_number(name), seed, &c);
			found = true;
			n = 0;
		} else if (op_parse(line, &op)) {
			ops = realloc(ops, (n + 1) * sizeof *ops);
			ops[n++] = op;
		}
	}
	fclose(f);
	if (!found) {
		fprintf(stderr, "%s names no configuration\n", o->replay);
		return 2;
	}
	c.server.plant = (enum server_plant)plant_of(o);
	t.config = &c;
	if (o->no_fork)
		run_ops(&c, ops, n, t.report);
	else if (!trial_run(&t, ops, n))
		failure(&t, o, seed, ops, n);
	free(ops);
	printf("%s\n", t.report->failed || t.report->what[0] ? "it fails" : "it does not fail");
	return t.report->failed || t.report->what[0];
}

static void parse(int argc, char **argv, struct options *o)
{
	enum {
		SEED = 256,
		OPS,
		CONFIG,
		THREADS,
		SECONDS,
		LIST,
		REPLAY,
		PLANT,
		SHRINK,
		NO_FORK,
		WITHOUT,
		HELP
	};
	static const struct option longs[] = {{"seed", 1, 0, SEED},
					      {"ops", 1, 0, OPS},
					      {"config", 1, 0, CONFIG},
					      {"threads", 1, 0, THREADS},
					      {"seconds", 1, 0, SECONDS},
					      {"list", 0, 0, LIST},
					      {"replay", 1, 0, REPLAY},
					      {"plant", 1, 0, PLANT},
					      {"shrink-seconds", 1, 0, SHRINK},
					      {"no-fork", 0, 0, NO_FORK},
					      {"without", 1, 0, WITHOUT},
					      {"help", 0, 0, HELP},
					      {0}};
	int c;

	while ((c = getopt_long(argc, argv, "v", longs, NULL)) != -1) {
		switch (c) {
		case SEED:
			o->seed = strtoull(optarg, NULL, 0);
			break;
		case OPS:
			o->ops = strtoull(optarg, NULL, 0);
			break;
		case CONFIG:
			o->config = optarg;
			break;
		case THREADS:
			o->threads = (unsigned)atoi(optarg);
			break;
		case SECONDS:
			o->seconds = (unsigned)atoi(optarg);
			break;
		case LIST:
			list_configs();
			exit(0);
		case REPLAY:
			o->replay = optarg;
			break;
		case PLANT:
			o->plant = optarg;
			break;
		case SHRINK:
			o->shrink_seconds = (unsigned)atoi(optarg);
			break;
		case NO_FORK:
			o->no_fork = true;
			break;
		case WITHOUT:
			o->without = optarg;
			break;
		case 'v':
			o->verbose = true;
			break;
		default:
			fputs(usage, c == HELP ? stdout : stderr);
			exit(c == HELP ? 0 : 2);
		}
	}
}

int main(int argc, char **argv)
{
	struct options o = {.seed = (uint64_t)time(NULL), .ops = 100000, .shrink_seconds = 60};

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv, &o);
	mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
	return o.replay ? replay(&o) : run_all(&o);
}
