/* SPDX-License-Identifier: BSD-2-Clause */
/* The server of the storm: a few files in memory, served by the dice. */
#ifndef TESTS_HOSTILE_STORM_H
#define TESTS_HOSTILE_STORM_H

#include "tests/hostile/server.h"

#define STORM_FILES   4
#define STORM_SIZE    (1u << 20)
#define STORM_WORKERS 2

struct storm_file {
	uint64_t size, mtime;
	uint32_t mode;
	unsigned char *data; /* STORM_SIZE; zeros behind it */
};

struct storm_msg {
	struct storm_msg *next;
	size_t len;
	unsigned char bytes[] __attribute__((aligned(8)));
};

struct storm {
	pthread_mutex_t lock; /* all below */
	pthread_cond_t cond;
	struct dice d;
	bool inproc, writeback, stop, dead;
	unsigned dies_at, requests; /* 0: it does not */
	unsigned trouble;           /* in a thousand answers */
	uint64_t flags;
	int fd, client_fd;
	struct pf_inproc *channel;
	pthread_t reader, workers[STORM_WORKERS];
	struct storm_msg *first, **last;
	struct storm_file files[STORM_FILES];
	unsigned char *out;
};

/* Everything about it is the seed's. */
struct storm *storm_new(uint64_t seed);
void storm_free(struct storm *s); /* the client is gone */
extern const struct pf_inproc_ops storm_ops;
int storm_open_fds(void);

#endif
