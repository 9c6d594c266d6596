/* SPDX-License-Identifier: BSD-2-Clause */
/* One random call after the other, through the public header. */
#ifndef TESTS_HOSTILE_CALLS_H
#define TESTS_HOSTILE_CALLS_H

#include "tests/hostile/server.h"

#define FILES  6 /* open files that a thread keeps */
#define SHARED 4 /* those that all use */
#define VIEWS  3

/* Files and views that all threads use at once. */
struct shared {
	struct pf_fs *views[VIEWS];
	struct pf_file *files[SHARED];
	pthread_rwlock_t locks[SHARED]; /* closing is the last use */
};

struct worker {
	struct dice dice;
	struct pf_fs *fs;
	struct shared *shared;
	struct pf_file *files[FILES];
	char *buf;
	_Atomic bool *stop;
	_Atomic(const char *) call; /* in progress; NULL when the thread ends */
	_Atomic uint64_t since;     /* ms */
	_Atomic bool unlimited;     /* no deadline holds for it */
};

void shared_init(struct shared *s, struct pf_fs *fs);
void shared_interrupt(struct shared *s, struct dice *d);
void shared_close(struct shared *s);
void worker_init(struct worker *w, struct pf_fs *fs, struct shared *s, _Atomic bool *stop,
		 uint64_t seed);
void worker_call(struct worker *w);
void worker_close_all(struct worker *w);

#endif
