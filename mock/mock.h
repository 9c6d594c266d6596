/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A scripted FUSE server for tests. The test plays the server: it says which requests it expects
 *and what to answer, now, later or wrongly, sends notifications, hangs up. Every request is audited
 *for its form (mock/audit.c); a request that nothing expects is a failure.
 *
 *	struct mock *m = mock_start(NULL);
 *	mock_lookup(m, 1, "foo", 42, S_IFREG | 0644, 10, 1);
 *	assert_int_equal(pf_stat(m->fs, "/foo", &st), 0);
 *	mock_end(m);            // stops the client; fails the test if anything was wrong or is
 *missing
 *
 * Failures are collected from all threads and reported by mock_check() and mock_end() in the test's
 * own thread, through cmocka.
 */
#ifndef MOCK_MOCK_H
#define MOCK_MOCK_H

#include "base/list.h"
#include "proto/wire.h"
#include <portfire/portfire.h>
#include <pthread.h>
#include <stdbool.h>

#define MOCK_ANY     UINT64_MAX
#define MOCK_FOREVER UINT64_MAX /* a validity that never ends */
#define MOCK_FH      0xdeadbeef1a7ebabeull

/* Seconds that a test waits for what must come: on a busy machine, under a sanitizer, it may take
 * long; what hangs does so for ever. */
#define MOCK_PATIENCE_S 30

struct mock;

/* A request as it came, taken apart. */
struct mock_req {
	struct pf__list link;
	struct mock *m;
	struct fuse_in_header h;
	const void *arg; /* fixed structure, NULL if none; padded with zeros to the newest layout */
	const char *name;  /* first name */
	const char *name2; /* second name: RENAME's new one, SYMLINK's target */
	const void *data;  /* WRITE, SETXATTR, IOCTL, BATCH_FORGET, NOTIFY_REPLY */
	size_t data_len;
	const void *ext; /* extensions */
	size_t ext_len;
	bool answered;
	unsigned char bytes[] __attribute__((aligned(8))); /* the whole message */
};

/* An answer in code. Must answer exactly once, at once or later (mock_answer). */
typedef void (*mock_fn)(struct mock_req *req, void *ctx);

/* One expectation. Fill through the functions below. */
struct mock_expect {
	struct pf__list link;
	struct mock *m;
	uint32_t opcode;
	uint64_t nodeid;
	char *name, *name2;
	bool (*match)(const struct mock_req *req, void *ctx);
	void *match_ctx, *own_ctx; /* own_ctx is freed with the expectation */
	int min, max;              /* how often; default exactly once */
	int seen;
	int error; /* negative errno, or 0 and body */
	void *body;
	size_t body_len;
	mock_fn fn;
	void *fn_ctx;
	bool hold;   /* do not answer: mock_wait() gives the request to the test */
	bool quiet;  /* not logged */
	bool silent; /* never answer, never hold: as lost */
	struct pf__list held;
};

struct mock_options {
	struct pf_options pf; /* for the client */
	bool pf_set;          /* pf is to be used */
	bool
	    passthrough; /* it can register backing files (mock_backing_open()), so it is offered */
	bool inproc;     /* attach in process; else over a socket pair with a thread. The
			  * environment variable MOCK_INPROC=1 makes it so for all */
	uint32_t minor;  /* 0: newest */
	uint64_t flags;  /* INIT flags answered */
	struct fuse_init_out init; /* other fields; 0 means a sensible default */
	uint64_t root_attr_valid;  /* seconds, for the root's GETATTR when root_auto */
	bool no_root_auto; /* GETATTR of the root must be expected; else answered (0755, owner 0) */
	uint32_t root_mode, root_uid, root_gid; /* for root_auto; 0: 0755 */
	bool strict_destroy;                    /* DESTROY must be expected; else answered */
	bool lookup_leak; /* at the end lookups may be left that were not given back */
	bool root_forget; /* the root's lookup may come back: READDIRPLUS gave it under a name */
	int (*init_fn)(struct mock *m, struct mock_req *req,
		       void *ctx); /* 1: it answered INIT itself */
	void *init_ctx;
	int expect_attach; /* errno (negative) that attaching must give; then m->fs is NULL */
};

/* Lookups of a node that the server gave and got back. */
struct mock_count {
	uint64_t nodeid, given, taken;
};

struct mock {
	struct pf_fs *fs;
	struct mock_options o;
	int fd; /* server's end; -1 inproc or hung up */
	struct pf_inproc *channel;
	struct pf__backings *backings; /* o.passthrough */
	pthread_t thread;
	bool thread_started;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t cond;
	struct pf__list expects;
	struct pf__list kept; /* requests kept until the end */
	char *log;            /* one word a request, e.g. "LOOKUP(1,foo) OPEN(42)" */
	size_t log_len, log_mark;
	char errors[4096];
	uint64_t last_unique;
	uint64_t *uniques;
	size_t nuniques;
	struct mock_count *counts; /* lookups given and taken back, by nodeid */
	size_t ncounts;
	uint64_t opcodes[64]; /* how many of each came */
	bool hung_up, destroyed, init_done;
	uint32_t minor_effective;
};

struct mock *mock_start(const struct mock_options *o);
/* The same in two steps, so that expectations can stand before INIT; what attaching gave is
 * returned. */
struct mock *mock_new(const struct mock_options *o);
int mock_attach(struct mock *m);
/* Check, stop the client, check again, free. */
void mock_end(struct mock *m);
/* Fail the running test if the server saw anything wrong so far. */
void mock_check(struct mock *m);
/* Hang up as a server that dies. */
void mock_hang_up(struct mock *m);

/* ---- what is expected. opcode 0 matches all; nodeid MOCK_ANY; name NULL any. First come, first
 * served among those that match and are not used up. */
struct mock_expect *mock_expect(struct mock *m, uint32_t opcode, uint64_t nodeid, const char *name);
struct mock_expect *mock_times(struct mock_expect *e, int n); /* exactly n; 0: never */
struct mock_expect *mock_any_times(struct mock_expect *e);
struct mock_expect *mock_name2(struct mock_expect *e, const char *name2);
struct mock_expect *mock_match(struct mock_expect *e, bool (*fn)(const struct mock_req *, void *),
			       void *ctx);
struct mock_expect *mock_error(struct mock_expect *e, int err); /* err > 0: an errno */
struct mock_expect *mock_body(struct mock_expect *e, const void *body, size_t len);
struct mock_expect *mock_fn_set(struct mock_expect *e, mock_fn fn, void *ctx);
struct mock_expect *mock_hold(struct mock_expect *e);
struct mock_expect *mock_silent(struct mock_expect *e);
/* Wait (MOCK_PATIENCE_S at most, then the test fails) until a held request of e has come; each is
 * given once. */
struct mock_req *mock_wait(struct mock_expect *e);
/* Wait until e has been seen n times. */
void mock_wait_seen(struct mock_expect *e, int n);

/* ---- answers, by test or handler */
void mock_answer(struct mock_req *req, const void *body, size_t len);
void mock_answer_error(struct mock_req *req, int err); /* err > 0 */
/* Any header and body; what is wrong with it is the test's business. 0 or the errno, negative. */
int mock_send(struct mock *m, uint64_t unique, int32_t error, const void *body, size_t len);
/* Bytes as they are; returns 0 or the errno of the write, negative. */
int mock_send_raw(struct mock *m, const void *bytes, size_t len);
void mock_notify(struct mock *m, int32_t code, const void *body, size_t len);
/* Wait until the client has read everything that was sent (an extra round trip of its own kind). */
void mock_settle(struct mock *m);
void mock_notify_inval_entry(struct mock *m, uint64_t parent, const char *name, uint32_t flags);
void mock_notify_inval_inode(struct mock *m, uint64_t nodeid, int64_t off, int64_t len);
void mock_notify_delete(struct mock *m, uint64_t parent, uint64_t child, const char *name);

/* As the ioctls of a launched server: an id or negative errno. */
int mock_backing_open(struct mock *m, int fd);
/* By a server that may do less than we. */
int mock_backing_open_weak(struct mock *m, int fd);
int mock_backing_close(struct mock *m, int id);

/* ---- bodies */
struct fuse_attr mock_attr(uint64_t nodeid, uint32_t mode, uint64_t size);
struct fuse_entry_out mock_entry(uint64_t nodeid, uint32_t mode, uint64_t size,
				 uint64_t entry_valid, uint64_t attr_valid);
/* Append a directory record; returns the new length. */
size_t mock_dirent(void *buf, size_t len, uint64_t ino, uint64_t off, uint32_t type,
		   const char *name);
size_t mock_direntplus(void *buf, size_t len, const struct fuse_entry_out *entry, uint64_t off,
		       const char *name);

/* ---- the usual, exactly once each unless mock_times() says otherwise */
struct mock_expect *mock_lookup(struct mock *m, uint64_t parent, const char *name, uint64_t nodeid,
				uint32_t mode, uint64_t size, uint64_t valid);
struct mock_expect *mock_lookup_entry(struct mock *m, uint64_t parent, const char *name,
				      const struct fuse_entry_out *e);
struct mock_expect *mock_lookup_error(struct mock *m, uint64_t parent, const char *name, int err);
struct mock_expect *mock_getattr(struct mock *m, uint64_t nodeid, uint32_t mode, uint64_t size,
				 uint64_t valid);
struct mock_expect *mock_open(struct mock *m, uint64_t nodeid,
			      uint32_t open_flags); /* fh MOCK_FH */
struct mock_expect *mock_opendir(struct mock *m, uint64_t nodeid, uint32_t open_flags);
struct mock_expect *mock_release(struct mock *m, uint64_t nodeid);
struct mock_expect *mock_releasedir(struct mock *m, uint64_t nodeid);
struct mock_expect *mock_flush(struct mock *m, uint64_t nodeid);
/* READ of exactly offset and size, answered with len bytes of data. */
struct mock_expect *mock_read(struct mock *m, uint64_t nodeid, uint64_t offset, uint32_t size,
			      const void *data, size_t len);
/* WRITE of exactly offset and size, answered with written. */
struct mock_expect *mock_write(struct mock *m, uint64_t nodeid, uint64_t offset, uint32_t size,
			       uint32_t written);
struct mock_expect *mock_empty(struct mock *m, uint32_t opcode,
			       uint64_t nodeid); /* answered 0, no body */

/* ---- what came */
/* Requests since the last call, in order, e.g. "LOOKUP(1,foo) GETATTR(42) RENAME(1,a,b)". INIT,
 * FORGET and BATCH_FORGET are left out. Valid until the next call. */
const char *mock_log(struct mock *m);
uint64_t mock_count(struct mock *m, uint32_t opcode);     /* of this opcode, since the start */
uint64_t mock_forgotten(struct mock *m, uint64_t nodeid); /* lookups given back for it */
/* Wait until that many have been given back. */
void mock_wait_forgotten(struct mock *m, uint64_t nodeid, uint64_t n);

/* For mock/ itself and handlers: note a failure. */
void mock_fail(struct mock *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* mock/audit.c */
struct mock_req *mock_parse(struct mock *m, const void *msg, size_t len);
void mock_audit(struct mock *m, const struct mock_req *r);
/* mock/server.c */
void mock_dispatch(struct mock *m, const void *msg, size_t len);

/* Open descriptors of this process, and blocks allocated by the library: for leak checks. */
int mock_open_fds(void);

#endif
