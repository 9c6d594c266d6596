/* SPDX-License-Identifier: BSD-2-Clause */
/* What a second thread, on a core of its own, adds. */
#include "bench.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define TRIES 3 /* of which the best counts: what others take away looks like bad scaling */

struct worker {
	struct side *side;
	int cpu;
	uint64_t times;
	int (*piece)(struct side *side, int thread, uint64_t times);
	atomic_int *missing; /* threads that are not there yet */
	uint64_t start, end;
	int error;
};

/* While it is measured it writes to nothing that the other thread reads or writes. */
static void *work(void *arg)
{
	struct worker *w = arg, copy = *w;
	uint64_t start;
	int error;

	pin_self(copy.cpu);
	error = copy.piece(copy.side, copy.cpu, copy.times / 10); /* the core wakes up */
	atomic_fetch_sub(copy.missing, 1);
	while (atomic_load(copy.missing))
		sched_yield();
	start = now_ns();
	error = error ? error : copy.piece(copy.side, copy.cpu, copy.times);
	w->end = now_ns();
	w->start = start;
	w->error = error;
	return NULL;
}

/* Pieces per nanosecond by this many threads; < 0: errno. */
static double throughput(const struct worker *model, int threads)
{
	struct worker workers[2] = {*model, *model};
	uint64_t first = UINT64_MAX, last = 0;
	atomic_int missing = threads;
	pthread_t ids[2];
	int error = 0;

	for (int i = 0; i < threads; i++) {
		workers[i].missing = &missing;
		workers[i].cpu = i;
		if (pthread_create(&ids[i], NULL, work, &workers[i]))
			abort();
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(ids[i], NULL);
		first = workers[i].start < first ? workers[i].start : first;
		last = workers[i].end > last ? workers[i].end : last;
		error = workers[i].error ? workers[i].error : error;
	}
	return error ? error : (double)model->times * threads / (last - first);
}

static double best_throughput(const struct worker *model, int threads)
{
	double best = 0;

	for (int i = 0; i < TRIES && best >= 0; i++) {
		double value = throughput(model, threads);

		best = value < 0 || value > best ? value : best;
	}
	return best;
}

double thread_scaling(struct side *side, uint64_t times,
		      int (*piece)(struct side *side, int thread, uint64_t times))
{
	struct worker model = {.side = side, .times = times, .piece = piece};
	double one = best_throughput(&model, 1), two = best_throughput(&model, 2);

	return one < 0 ? one : two < 0 ? two : two / one;
}
