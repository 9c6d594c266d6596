/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The honest server behind the model: one directory of files in memory, in this process or behind a
 * socket pair with threads of its own. It answers as a good server would, perhaps late and out of
 * order; audits what it is sent; and lets the test change files behind the client's back, as
 * another client of a network file system would. Only when planted with a fault it lies: that tests
 * the test.
 */
#ifndef MODEL_SERVER_H
#define MODEL_SERVER_H

#include <portfire/portfire.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Faults that a tester must find. */
enum server_plant {
	PLANT_NONE,
	PLANT_CORRUPT,  /* one byte of a READ is wrong */
	PLANT_LOSE,     /* one byte of a WRITE is not taken */
	PLANT_STALE,    /* what a truncation cut off comes back when the file grows */
	PLANT_SIZE,     /* SETATTR with a size answers another one */
	PLANT_COPY,     /* a copy is one byte off */
	PLANT_UNSYNCED, /* FSYNC is answered before what was written has reached the disk */
	PLANT_SILENT,   /* a change at the server is not told to the client */
	PLANT_COUNT,
};
extern const char *const server_plants[PLANT_COUNT];

struct server_config {
	uint64_t seed;
	unsigned minor;
	uint64_t flags; /* of INIT, as far as the client offers them */
	uint32_t max_write, max_readahead;
	uint16_t max_background, congestion_threshold;
	uint64_t attr_valid_ns;
	unsigned keep, direct, parallel; /* per mille of the opens that get FOPEN_* */
	unsigned late;                   /* per mille of the answers that come late ... */
	unsigned late_us;                /* ... by up to so much */
	unsigned eintr;                  /* per mille of the WRITEs from the cache that get EINTR */
	bool socket;
	enum server_plant plant;
};

struct server;
struct server *server_new(const struct server_config *config);
int server_attach(struct server *s, struct pf_fs **fs, const struct pf_options *options);
/* Hang up, now; from any thread. */
void server_kill(struct server *s);
/* Hang up by itself when it has taken n more WRITEs: before it answers the last one. */
void server_kill_after(struct server *s, unsigned n);
bool server_dead(struct server *s);
/* After pf_stop(): no thread of the server runs any more, and what is missing is complained about.
 */
void server_stop(struct server *s);
void server_free(struct server *s);

/* The first thing that a request did wrong; NULL: nothing. */
const char *server_complaint(struct server *s);
/* There is a cache at the other end: audit what only a cache must keep to. */
void server_strict(struct server *s);

/* Files, by node. All bytes are those of the server's disk. */
uint64_t server_find(struct server *s, const char *name); /* 0: none */
uint64_t server_size(struct server *s, uint64_t node);
/* Where do the server's bytes (synced: as of the last FSYNC) differ from these? -1: nowhere. With
 * another size: the smaller one. *got: the server's byte there, -1 where it has none. */
int64_t server_differs(struct server *s, uint64_t node, bool synced, const void *data, size_t size,
		       int *got);
void server_copy_out(struct server *s, uint64_t node, void *data, size_t size);
/* The file reaches no further than this, as the client knows: no WRITE may go beyond. */
void server_limit(struct server *s, uint64_t node, uint64_t limit);
/* The file has been mapped for writing: stores come as WRITEs from the cache in every mode. */
void server_mapped(struct server *s, uint64_t node);
/* The next n WRITEs from the cache to the file fail. Gives how many of an earlier n are left. */
unsigned server_fail_writes(struct server *s, uint64_t node, unsigned n, int error);

/* What another client does, and what is told of it. */
void server_write(struct server *s, uint64_t node, const void *data, size_t len, uint64_t offset);
void server_truncate(struct server *s, uint64_t node, uint64_t size);
void server_inval(struct server *s, uint64_t node, int64_t offset, int64_t len);
void server_store(struct server *s, uint64_t node, uint64_t offset, uint32_t len);
/* Ask what the client has cached; and take its answer: how many bytes, -1: none came. The answer
 * tells that all notifications before it have been looked at. */
void server_retrieve(struct server *s, uint64_t node, void *data, uint32_t len, uint64_t offset);
int64_t server_retrieved(struct server *s);

/* The last handle that it gave has FOPEN_DIRECT_IO. */
bool server_opened_direct(struct server *s);
unsigned long server_requests(struct server *s);
/* The client has been told the file's size, or had the time to: no READ starts behind it. */
void server_settled(struct server *s, uint64_t node);

#endif
