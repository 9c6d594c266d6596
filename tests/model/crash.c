// SPDX-License-Identifier: BSD-2-Clause
/*
 * The server dies with data not yet written back. Then: what the last successful fsync covered is
 * on its disk; every later call returns soon; and if anything is missing that a write said it had
 * taken, fsync or close say so, pf_stop() does, and pages_lost counts it.
 *
 * crash [--seed N] [--rounds N] [--plant NAME] [-v]
 */
#include "tests/model/dice.h"
#include "tests/model/trial.h"
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SIZE        (96u << 10)
#define OPS         400
#define SOON_NS     5000000000ull /* for a slow machine; a hang lasts for ever */
#define TIMEOUT_S   60
#define WRITE_MAX   20000u
#define KILL_WRITES 40
#define KILL_US     8000

/* The values that a byte may have on the disk: one bit for each. */
struct values {
	uint64_t bits[4];
};

struct file {
	struct pf_file *f;
	struct mfile m; /* data: as successful writes left it */
	struct values *may;
	uint8_t *unsure; /* bytes of a write that failed: on the disk or not */
	bool told;       /* of a loss, by fsync or close */
};

struct round {
	struct run run;
	uint64_t seed, dice, called;
	struct file files[2];
	bool writes_after; /* some more calls after the end */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void call_begin(struct round *r)
{
	r->called = now_ns();
}

static int64_t call_end(struct round *r, int64_t result, const char *call)
{
	uint64_t took = now_ns() - r->called;

	if (took > SOON_NS)
		run_fail(&r->run, "%s took %" PRIu64 " ms", call, took / 1000000);
	if (result < 0 && !server_dead(r->run.server))
		run_fail(&r->run, "%s gives %" PRId64 " while the server lives", call, result);
	return result;
}

static void may_be(struct file *f, uint64_t at, uint8_t value)
{
	f->may[at].bits[value / 64] |= 1ull << value % 64;
}

static bool may(const struct file *f, uint64_t at, uint8_t value)
{
	return f->may[at].bits[value / 64] >> value % 64 & 1;
}

static void synced(struct file *f)
{
	memset(f->may, 0, SIZE * sizeof *f->may);
	for (uint64_t i = 0; i < SIZE; i++)
		may_be(f, i, f->m.data[i]);
}

/* ---- what is done until the end */

static void do_write_one(struct round *r, struct file *f)
{
	uint64_t off = dice_below(&r->dice, SIZE), len = 1 + dice_below(&r->dice, WRITE_MAX);
	uint8_t buf[WRITE_MAX];
	int64_t n;

	len = len < SIZE - off ? len : SIZE - off;
	dice_fill(buf, len, dice_next(&r->dice));
	for (uint64_t i = 0; i < len; i++) /* also when it fails half way */
		may_be(f, off + i, buf[i]);
	call_begin(r);
	n = call_end(r, pf_pwrite(f->f, buf, len, (off_t)off), "pwrite");
	n = n < 0 ? 0 : n;
	memcpy(f->m.data + off, buf, (size_t)n);
	memset(f->unsure + off, 0, (size_t)n);
	memset(f->unsure + off + n, 1, len - (size_t)n);
}

static void do_fsync_one(struct round *r, struct file *f)
{
	call_begin(r);
	if (call_end(r, pf_fsync(f->f, (int)dice_below(&r->dice, 2)), "fsync") == 0)
		synced(f);
	else
		f->told = true;
}

static void do_read_one(struct round *r, struct file *f)
{
	uint64_t off = dice_below(&r->dice, SIZE), len = 1 + dice_below(&r->dice, WRITE_MAX);
	uint8_t buf[WRITE_MAX];
	int64_t n;

	call_begin(r);
	n = call_end(r, pf_pread(f->f, buf, len, (off_t)off), "pread");
	/* Once the server is gone what was written may be gone too. */
	if (n > 0 && !server_dead(r->run.server) && memcmp(buf, f->m.data + off, (size_t)n))
		run_fail(&r->run, "pread gives other bytes than were written");
}

static void do_stat_one(struct round *r, struct file *f)
{
	struct stat st;

	call_begin(r);
	call_end(r, pf_fstat(f->f, &st), "fstat");
}

static void one(struct round *r)
{
	struct file *f = &r->files[dice_below(&r->dice, 2)];
	uint64_t n = dice_below(&r->dice, 100);

	if (n < 75)
		do_write_one(r, f);
	else if (n < 90)
		do_read_one(r, f);
	else if (n < 96)
		do_fsync_one(r, f);
	else
		do_stat_one(r, f);
}

static void *killer(void *arg)
{
	struct round *r = arg;
	uint64_t dice = dice_mix(r->seed);

	usleep((useconds_t)dice_below(&dice, KILL_US));
	server_kill(r->run.server);
	return NULL;
}

/* ---- a round */

static void begin(struct round *r)
{
	char name[] = "/f0";
	int e;

	r->run.server = server_new(&r->run.config->server);
	e = server_attach(r->run.server, &r->run.fs, &r->run.config->options);
	if (e)
		run_fail(&r->run, "attaching: %s", pf_error());
	for (int i = 0; i < 2; i++) {
		struct file *f = &r->files[i];

		name[2] = (char)('0' + i);
		run_ok(&r->run, pf_open(r->run.fs, name, O_CREAT | O_RDWR, 0666, &f->f), "open");
		run_ok(&r->run, pf_ftruncate(f->f, SIZE), "ftruncate");
		f->m.node = server_find(r->run.server, name + 1);
		f->m.data = calloc(1, SIZE);
		f->m.size = SIZE;
		f->may = calloc(SIZE, sizeof *f->may);
		f->unsure = calloc(1, SIZE);
		synced(f);
	}
}

/* Does the server's disk have what it must? Gives whether something is missing that need not be. */
static bool inspect(struct round *r, const struct file *f)
{
	uint8_t *disk = malloc(SIZE);
	bool lost = false;

	server_copy_out(r->run.server, f->m.node, disk, SIZE);
	for (uint64_t i = 0; i < SIZE; i++) {
		if (!may(f, i, disk[i]))
			run_fail(&r->run,
				 "byte %" PRIu64 " is %02x on the disk: neither what was synced "
				 "nor written since",
				 i, disk[i]);
		lost |= disk[i] != f->m.data[i] && !f->unsure[i];
	}
	free(disk);
	return lost;
}

static void finish(struct round *r)
{
	struct pf_stats stats = {.size = sizeof stats};
	bool lost[2], cached = r->run.cached;
	int e;

	for (int i = 0; i < 2; i++) {
		struct file *f = &r->files[i];

		call_begin(r);
		if (call_end(r, pf_close(f->f), "close") < 0)
			f->told = true;
	}
	run_ok(&r->run, pf_stats(r->run.fs, &stats), "stats");
	call_begin(r);
	e = (int)call_end(r, pf_stop(r->run.fs), "stop");
	if (!e)
		run_fail(&r->run, "the server was lost and stop gives 0");
	server_stop(r->run.server);
	for (int i = 0; i < 2; i++) {
		lost[i] = inspect(r, &r->files[i]);
		if (lost[i] && !r->files[i].told)
			run_fail(&r->run, "data of file %d is lost, and nobody was told", i);
	}
	if (cached && (lost[0] || lost[1]) && !stats.pages_lost && stats.writes_back)
		run_fail(&r->run, "data is lost, and pages_lost is 0");
	atomic_fetch_add(&r->run.report->missing[0], lost[0] || lost[1]);
}

static void play(void *ctx)
{
	struct round *r = ctx;
	bool timed;
	pthread_t thread;
	struct pf_borrow b = {0};
	int i;

	begin(r);
	r->run.cached = pf_read_borrow(r->files[0].f, 1, 0, &b) > 0;
	if (r->run.cached)
		pf_read_return(&b);
	timed = dice_hit(&r->dice, 500);
	if (!timed)
		server_kill_after(r->run.server, 1 + (unsigned)dice_below(&r->dice, KILL_WRITES));
	else if (pthread_create(&thread, NULL, killer, r))
		run_fail(&r->run, "no thread to be had");
	for (i = 0; i < OPS && !server_dead(r->run.server); i++)
		one(r);
	if (timed)
		pthread_join(thread, NULL);
	server_kill(r->run.server);
	for (i = (int)dice_below(&r->dice, 10); i > 0; i--)
		one(r);
	finish(r);
	for (i = 0; i < 2; i++) {
		free(r->files[i].m.data);
		free(r->files[i].may);
		free(r->files[i].unsure);
	}
	server_free(r->run.server);
}

/* ---- all rounds */

static void configure(uint64_t seed, struct config *c)
{
	uint64_t dice = dice_mix(seed);

	do
		config_make((unsigned)dice_below(&dice, CONFIGS), seed, c);
	while (!c->writeback || c->options.cache == PF_CACHE_NONE);
	c->server.eintr = 0;
}

static enum server_plant plant_of(const char *name)
{
	for (int i = 0; i < PLANT_COUNT; i++)
		if (!strcmp(name, server_plants[i]))
			return (enum server_plant)i;
	fprintf(stderr, "no such plant: %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"seed", 1, 0, 's'}, {"rounds", 1, 0, 'r'}, {"plant", 1, 0, 'p'}, {0}};
	uint64_t seed = 1, rounds = 200;
	enum server_plant plant = PLANT_NONE;
	struct trial t = {.report = trial_report(), .timeout_s = TIMEOUT_S};
	struct config config;
	bool verbose = false;
	int c;

	while ((c = getopt_long(argc, argv, "v", longs, NULL)) != -1) {
		if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'r')
			rounds = strtoull(optarg, NULL, 0);
		else if (c == 'p')
			plant = plant_of(optarg);
		else
			verbose = true;
	}
	for (uint64_t i = 0; i < rounds; i++) {
		struct round r = {.seed = seed + i, .dice = dice_mix(seed + i)};

		configure(seed + i, &config);
		config.server.plant = plant;
		r.run.config = t.config = &config;
		r.run.report = t.report;
		if (verbose)
			printf("seed %" PRIu64 ": %s\n", r.seed, config.name);
		if (!trial_call(&t, play, &r)) {
			printf("FAILED: crash --seed %" PRIu64 " --rounds 1, config %s\n  %s\n",
			       r.seed, config.name, t.report->what);
			printf("%" PRIu64 " passed, 1 failed, 0 skipped\n", i);
			return 1;
		}
	}
	printf("%" PRIu64 " rounds, data was lost (and told) in %" PRIu64 "\n", rounds,
	       t.report->missing[0]);
	printf("%" PRIu64 " passed, 0 failed, 0 skipped\n", rounds);
	return 0;
}
