/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the server's parts: server.c has the files, channel.c what carries messages. */
#ifndef MODEL_SERVER_INTERNAL_H
#define MODEL_SERVER_INTERNAL_H

#include "proto/wire.h"
#include "tests/model/dice.h"
#include "tests/model/server.h"
#include <pthread.h>

#define SERVER_THREADS 2
#define NAMES          8
#define NO_LIMIT       UINT64_MAX

struct node {
	uint64_t id;
	uint8_t *data; /* zero from size to room */
	uint64_t size, room;
	uint8_t *synced; /* as of the last FSYNC */
	uint64_t synced_size;
	uint64_t mtime; /* ns; each change adds to it */
	uint64_t given; /* lookups */
	uint64_t limit; /* see server_limit() */
	bool unsettled; /* smaller than the client may think */
	bool untold;    /* and it has not asked since */
	bool mapped;
	unsigned fail;     /* WRITEs that shall fail ... */
	int fail_error;    /* ... so */
	uint64_t cut_from; /* PLANT_STALE: what the last truncation took */
	uint8_t cut_byte;
};

struct handle {
	struct node *node; /* NULL: released */
	uint32_t flags;
	bool direct;
};

/* An answer that comes late. */
struct late {
	struct late *next;
	uint64_t due;
	size_t len;
	char data[];
};

struct server {
	struct server_config c;
	pthread_mutex_t lock; /* all below, but for what is said otherwise */
	uint64_t dice;
	struct node **nodes; /* by id - 2 */
	size_t nnodes;
	struct {
		char name[24];
		struct node *node;
	} names[NAMES];
	struct handle *handles; /* by fh - 1 */
	size_t nhandles;
	uint64_t clock;
	uint64_t flags; /* agreed */
	bool init, destroyed, strict;
	char complaint[256];
	unsigned kill_after;
	unsigned long requests;
	/* RETRIEVE */
	uint64_t retrieve_unique;
	void *retrieve_data;
	int64_t retrieve_got;
	pthread_cond_t retrieved;
	/* channel.c; send_lock stands below lock */
	pthread_mutex_t send_lock;
	struct pf_inproc *channel;
	int fd;
	bool hung;
	pthread_t threads[SERVER_THREADS];
	unsigned nthreads;
	pthread_mutex_t late_lock;
	pthread_cond_t late_cond;
	struct late *late;
	pthread_t late_thread;
	bool late_runs, late_stop;
};

/* server.c: one whole message. */
void server_message(struct server *s, const void *message, size_t length);
/* Under the lock: only the first complaint is kept. */
void server_complain(struct server *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Under the lock: a file changes. */
void server_resize(struct server *s, struct node *n, uint64_t size);
void server_put(struct server *s, struct node *n, const void *data, uint64_t len, uint64_t offset);
/* channel.c */
void channel_send(struct server *s, const struct iovec *iov, int n, uint64_t late_us);
void channel_free(struct server *s);
uint64_t channel_now(void);

#endif
