/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server that answers by the dice: right, mutated, absurd, late, twice, never; that sends any
 * notification; that dies. Over a socket pair (one thread) or in process. It keeps count of the
 * lookups that it gave, so that a client that gives back more than it got is found out.
 */
#ifndef TESTS_HOSTILE_SERVER_H
#define TESTS_HOSTILE_SERVER_H

#include "proto/wire.h"
#include <portfire/portfire.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A generator of its own per thread, so that a seed says what each one does. */
struct dice {
	uint64_t s;
};
uint64_t dice_next(struct dice *d);
static inline unsigned dice_below(struct dice *d, unsigned n)
{
	return dice_next(d) % n;
}
/* True n times in a thousand. */
static inline bool dice_hit(struct dice *d, unsigned n)
{
	return dice_below(d, 1000) < n;
}
/* Zero, one, small, the ends of the signed and unsigned ranges, anything. */
uint64_t dice_odd(struct dice *d);

/* How often something happens, in a thousand answers. */
struct hostile_style {
	unsigned error;   /* an errno in place of the answer */
	unsigned absurd;  /* well-formed, with odd values in it */
	unsigned mutate;  /* bits flipped, cut, lengthened, another unique */
	unsigned twice;   /* the same again */
	unsigned late;    /* after others */
	unsigned lost;    /* never */
	unsigned notify;  /* a notification before it */
	unsigned die;     /* hang up */
	bool init_absurd; /* INIT's answer too */
};

#define HOSTILE_NODES   4096
#define HOSTILE_UNIQUES 4096
#define HOSTILE_MESSAGE ((1u << 20) + (128u << 10))

struct late {
	struct late *next;
	unsigned after; /* goes out when so many further messages have */
	size_t len;
	unsigned char bytes[];
};

struct node_count {
	uint64_t nodeid, given, taken;
};

struct asked {
	uint64_t unique, nodeid;
	uint32_t opcode;
};

struct hostile {
	struct hostile_style style;
	bool inproc;
	int client_fd; /* for pf_attach(); -1 in process */
	pthread_mutex_t lock;
	struct dice dice;
	int fd;                    /* the server's end; -1 */
	struct pf_inproc *channel; /* from the first request until it hangs up */
	bool dead;
	_Atomic bool stop;
	pthread_t thread;
	struct late *late;
	struct asked asked[HOSTILE_UNIQUES];
	uint64_t last_asked;
	struct node_count nodes[HOSTILE_NODES];
	uint64_t minor;
	unsigned requests, messages;
	unsigned char *out; /* the answer being made: HOSTILE_MESSAGE bytes */
	unsigned char *in;
};

/* Never fails: ends the program instead. */
struct hostile *hostile_new(uint64_t seed, bool inproc, const struct hostile_style *style);
extern const struct pf_inproc_ops hostile_ops; /* ctx: struct hostile */
void hostile_die(struct hostile *h);
/* The client is gone already. */
void hostile_free(struct hostile *h);

#endif
