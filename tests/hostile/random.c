// SPDX-License-Identifier: BSD-2-Clause
/*
 * Threads that call whatever there is on a few names and handles, against a server that answers by
 * the dice and dies when it likes. Nothing may crash, hang or leak; no more lookups are given back
 * than were given. SEED=n repeats a run, SECONDS=n makes it longer, VERBOSE=1 tells each round.
 */
#include "base/alloc.h"
#include "base/arith.h"
#include "base/clock.h"
#include "base/rcu.h"
#include "tests/hostile/calls.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEADLINE_MS 400
#define MARGIN_MS   15000 /* for a slow machine under sanitizers; a hang lasts for ever */
#define WORKERS_MAX 4

static uint64_t seed;
static bool verbose;

static uint64_t now_ms(void)
{
	return pf__now() / PF_NSEC_PER_MSEC;
}

static void give_up(const char *what)
{
	fprintf(stderr, "SEED=%" PRIu64 ": %s\n", seed, what);
	abort();
}

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 3;
}

/* ---- a round */

struct round {
	struct dice dice;
	struct hostile *server;
	struct pf_fs *fs;
	struct worker workers[WORKERS_MAX];
	pthread_t threads[WORKERS_MAX];
	int nworkers;
	struct shared shared;
	_Atomic bool stop;
	bool starve; /* allocations fail now and then */
};

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!*w->stop)
		worker_call(w);
	atomic_store(&w->call, NULL);
	return NULL;
}

static struct hostile_style style_roll(struct dice *d)
{
	struct hostile_style s = {0};

	s.error = dice_hit(d, 700) ? dice_below(d, 100) : 0;
	s.absurd = dice_hit(d, 700) ? dice_below(d, 300) : 0;
	s.mutate = dice_hit(d, 500) ? dice_below(d, 200) : 0;
	s.twice = dice_hit(d, 500) ? dice_below(d, 200) : 0;
	s.late = dice_hit(d, 500) ? dice_below(d, 500) : 0;
	s.notify = dice_hit(d, 600) ? dice_below(d, 600) : 0;
	s.lost = dice_hit(d, 100) ? 2 : 0;
	s.die = dice_hit(d, 300) ? 100 : 0;
	s.init_absurd = dice_hit(d, 200);
	return s;
}

static int attach(struct round *r, bool inproc, bool service)
{
	static const char *const options[] = {
	    NULL, "allow_other", "allow_other,default_permissions", "default_permissions,ro",
	    "allow_other,max_read=8192"};
	struct pf_options o = PF_OPTIONS_INIT;
	uint64_t since = now_ms();
	int err;

	o.request_timeout_ms = DEADLINE_MS;
	o.start_timeout_ms = DEADLINE_MS;
	o.mount_options = options[dice_below(&r->dice, PF_ARRAY_SIZE(options))];
	o.max_names = dice_hit(&r->dice, 500) ? 1 + dice_below(&r->dice, 20) : 0;
	o.no_service_thread = !service;
	err = inproc ? pf_attach_inproc(&r->fs, &hostile_ops, r->server, &o)
		     : pf_attach(&r->fs, r->server->client_fd, &o);
	if (now_ms() - since > DEADLINE_MS + MARGIN_MS)
		give_up("attaching took too long");
	if (err && r->fs)
		give_up("attaching failed and gave a file system");
	return err;
}

/* A call may take as long as a request may; one without a deadline, until the abort. */
static void watch(struct round *r, uint64_t aborted)
{
	uint64_t now = now_ms();

	for (int i = 0; i < r->nworkers; i++) {
		struct worker *w = &r->workers[i];
		const char *call = atomic_load(&w->call);
		uint64_t since = atomic_load(&w->since);
		char text[100];

		if (!call || (atomic_load(&w->unlimited) && !aborted))
			continue;
		if (atomic_load(&w->unlimited) && since < aborted)
			since = aborted;
		if (now <= since + DEADLINE_MS + MARGIN_MS)
			continue;
		snprintf(text, sizeof(text), "%s has not returned for %" PRIu64 " ms", call,
			 now - since);
		give_up(text);
	}
}

static void disturb(struct round *r, uint64_t until)
{
	while (now_ms() < until) {
		poll(NULL, 0, 1 + dice_below(&r->dice, 8));
		if (dice_hit(&r->dice, 200))
			pf_interrupt(r->fs);
		if (dice_hit(&r->dice, 200))
			shared_interrupt(&r->shared, &r->dice);
		if (dice_hit(&r->dice, 5))
			pf_abort(r->fs);
		if (dice_hit(&r->dice, 5))
			hostile_die(r->server);
		if (dice_hit(&r->dice, 100))
			pf_service(r->fs);
		if (r->starve && dice_hit(&r->dice, 200))
			pf__alloc_fail_at(1 + dice_below(&r->dice, 40), dice_hit(&r->dice, 100));
		watch(r, 0);
	}
}

/* Calls under way; those without a deadline alone. */
static int left(const struct round *r, bool unlimited)
{
	int n = 0;

	for (int i = 0; i < r->nworkers; i++)
		n += atomic_load(&r->workers[i].call) &&
		     (!unlimited || atomic_load(&r->workers[i].unlimited));
	return n;
}

static void join_all(struct round *r)
{
	uint64_t patience = now_ms() + 300, aborted = 0;

	r->stop = true;
	while (left(r, false)) {
		poll(NULL, 0, 1);
		/* All others end by themselves. */
		if (!aborted && now_ms() > patience && left(r, false) == left(r, true)) {
			pf_abort(r->fs);
			aborted = now_ms();
		}
		watch(r, aborted);
	}
	for (int i = 0; i < r->nworkers; i++)
		pthread_join(r->threads[i], NULL);
}

static void use(struct round *r)
{
	shared_init(&r->shared, r->fs);
	for (int i = 0; i < r->nworkers; i++) {
		worker_init(&r->workers[i], r->fs, &r->shared, &r->stop, dice_next(&r->dice));
		if (pthread_create(&r->threads[i], NULL, work, &r->workers[i]))
			abort();
	}
	r->starve = dice_hit(&r->dice, 300);
	disturb(r, now_ms() + 20 + dice_below(&r->dice, 150));
	pf__alloc_fail_at(0, 0);
	join_all(r);
}

/* What is still open is closed before the end or after it. */
static void end(struct round *r)
{
	bool early = dice_hit(&r->dice, 700);
	uint64_t since = now_ms();

	if (early) {
		for (int i = 0; i < r->nworkers; i++)
			worker_close_all(&r->workers[i]);
		shared_close(&r->shared);
	}
	pf_stop(r->fs);
	if (!early) {
		for (int i = 0; i < r->nworkers; i++)
			worker_close_all(&r->workers[i]);
		shared_close(&r->shared);
	}
	/* Waiting for answers, for DESTROY, and ours. */
	if (now_ms() - since > 2 * DEADLINE_MS + MARGIN_MS)
		give_up("the end took too long");
}

static void play(uint64_t round_seed)
{
	static struct round r;
	struct hostile_style style;
	bool inproc, service;
	int64_t live, left;
	int fds, err;

	memset(&r, 0, sizeof(r));
	r.dice.s = round_seed;
	style = style_roll(&r.dice);
	inproc = dice_hit(&r.dice, 400);
	service = dice_hit(&r.dice, 800);
	r.nworkers = dice_hit(&r.dice, 300) ? 1 : WORKERS_MAX;
	pf__rcu_barrier();
	live = pf__alloc_live();
	fds = open_descriptors();
	r.server = hostile_new(dice_next(&r.dice), inproc, &style);
	err = attach(&r, inproc, service);
	if (!err) {
		use(&r);
		end(&r);
	}
	if (verbose)
		fprintf(stderr,
			"round %" PRIu64 ": %s, %s, %d threads, minor %" PRIu64
			", attached %d, %u requests\n",
			round_seed, inproc ? "in process" : "socket",
			service ? "service" : "no service", r.nworkers, r.server->minor, err,
			r.server->requests);
	hostile_free(r.server);
	pf__rcu_barrier();
	left = pf__alloc_live() - live;
	if (left || open_descriptors() != fds) {
		fprintf(stderr, "round %" PRIu64 ": %" PRId64 " blocks, %d descriptors left\n",
			round_seed, left, open_descriptors() - fds);
		give_up("something leaks");
	}
}

int main(void)
{
	const char *s = getenv("SEED"), *t = getenv("SECONDS"), *once = getenv("ROUND");
	uint64_t until;
	unsigned rounds = 0;
	struct dice d;

	signal(SIGPIPE, SIG_IGN);
	verbose = getenv("VERBOSE") != NULL;
	seed = s ? strtoull(s, NULL, 0) : pf__now();
	fprintf(stderr, "SEED=%" PRIu64 "\n", seed);
	if (once) { /* one round, again and again */
		for (int i = 0; i < 50; i++)
			play(strtoull(once, NULL, 0));
		return 0;
	}
	d.s = seed;
	until = now_ms() + (t ? strtoull(t, NULL, 0) : 10) * 1000;
	while (now_ms() < until) {
		play(dice_next(&d));
		rounds++;
	}
	fprintf(stderr, "%u rounds\n", rounds);
	return 0;
}
