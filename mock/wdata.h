/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file of the scripted server whose data is a buffer: every request on its node is answered from
 * it and recorded, so that a test asks what the server has and in which order it came. Requests of
 * one kind can be held back, failed or answered short, by number.
 *
 * Only what belongs to the node is answered; names beside its own, notifications and INIT stay the
 * business of mock.h.
 */
#ifndef MOCK_WDATA_H
#define MOCK_WDATA_H

#include "mock/mock.h"

#define WDATA_EVENTS 4096

/* A request as it came. Which fields mean something depends on the opcode. */
struct wdata_event {
	uint32_t opcode, uid, gid, pid;
	uint64_t offset, size, fh, lock_owner;
	uint32_t flags, op_flags; /* O_*, and WRITE's, READ's or FSYNC's own */
	struct fuse_setattr_in setattr;
	unsigned char head[16]; /* the first bytes of a WRITE's data */
};

/* What is done with some requests of one kind instead of answering them from the buffer. */
enum wdata_trick {
	WDATA_FAIL,  /* an error, value is the errno */
	WDATA_SHORT, /* only the first value bytes are taken or given */
	WDATA_CLAIM, /* done, but a WRITE's answer says value bytes */
	WDATA_EXTRA, /* value bytes of 'E' more than a READ asked for */
	WDATA_BODY,  /* value bytes of zeros as the body, whatever should be there */
};

struct wdata_rule {
	uint32_t opcode;
	int skip, times; /* after so many more of them, so many */
	enum wdata_trick trick;
	uint64_t value;
};

struct wdata {
	struct mock *m;
	uint64_t nodeid;
	char name[32];
	pthread_mutex_t lock; /* all below; taken inside no other */
	pthread_cond_t cond;
	unsigned char *data;
	uint64_t capacity;
	struct fuse_attr attr; /* size as well */
	struct fuse_attr lie;  /* told instead of attr, while lies */
	bool lies;
	uint64_t attr_valid, entry_valid;
	uint32_t open_flags; /* of the next OPENs */
	uint64_t last_fh;    /* given to the newest OPEN */
	int shrink_at;       /* at this GETATTR, counted from 1, size goes to shrink_to */
	uint64_t shrink_to;
	uint32_t hold; /* opcode that is held back; 0 none */
	struct mock_req *held[WDATA_EVENTS];
	int nheld, taken; /* held[taken ... nheld) have not been given to the test */
	struct wdata_rule rules[8];
	int nrules;
	struct wdata_event events[WDATA_EVENTS];
	int nevents, seen; /* seen: how many wdata_text() told already */
};

/* name under the root, size bytes of wdata_byte(). Free after mock_end(). */
struct wdata *wdata_new(struct mock *m, const char *name, uint64_t nodeid, uint64_t size);
void wdata_free(struct wdata *w);
/* The byte that stands at an offset at first; never 0. */
unsigned char wdata_byte(uint64_t offset);

/* ---- what the server does from now on */
void wdata_hold(struct wdata *w, uint32_t opcode); /* hold requests of this kind back */
/* The next of those held: waits for it. */
struct mock_req *wdata_held(struct wdata *w);
void wdata_go(struct wdata *w, struct mock_req *req); /* answer it as if it came now */
void wdata_unhold(struct wdata *w);                   /* hold no more, answer what is left */
void wdata_trick(struct wdata *w, struct wdata_rule rule);
void wdata_no_tricks(struct wdata *w);
/* Change the file behind the client's back. */
void wdata_set_size(struct wdata *w, uint64_t size);
void wdata_put(struct wdata *w, uint64_t offset, const void *bytes, size_t len);
/* Tell these attributes instead of the true ones from now on; NULL: the true ones again. */
void wdata_lie(struct wdata *w, const struct fuse_attr *attr);
/* Let an expectation of the test's own come before what the file answers itself. */
struct mock_expect *wdata_before(struct mock_expect *e);

/* ---- what came */
int wdata_count(struct wdata *w, uint32_t opcode);
/* Wait until n of them have come. */
void wdata_wait(struct wdata *w, uint32_t opcode, int n);
/* The n-th request of a kind, counted from 0; the test fails if there are fewer. */
struct wdata_event wdata_nth(struct wdata *w, uint32_t opcode, int n);
/* Place of the n-th among all, -1 when there is none: for "this before that". */
int wdata_place(struct wdata *w, uint32_t opcode, int n);
/*
 * What came since the last call, without LOOKUP, GETATTR, OPEN and such, which depend on what is
 * stale: "WRITE(0,8) SETATTR(times) FSYNC FLUSH RELEASE". Valid until the next call.
 */
const char *wdata_text(struct wdata *w);
uint64_t wdata_size(struct wdata *w);
/* Fail the test unless the server has exactly these bytes. */
void wdata_assert(struct wdata *w, const void *bytes, size_t len);
void wdata_assert_at(struct wdata *w, uint64_t offset, const void *bytes, size_t len);

#endif
