/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One run: a client at a server, the plain model of its files beside it, and operations that are
 * done to both. It takes place in a process of its own, so that a crash or a hang is a failure like
 * any other and can be repeated; what it has to tell lies in memory shared with the parent.
 */
#ifndef MODEL_RUN_H
#define MODEL_RUN_H

#include "tests/model/config.h"
#include "tests/model/op.h"
#include <stdatomic.h>

#define REPORT_SIZE 4096

/* Shared with the parent. */
struct report {
	_Atomic uint32_t at; /* the operation that is being done; their number: the end */
	_Atomic uint32_t failed;
	char what[REPORT_SIZE];
	_Atomic uint64_t done;
	_Atomic uint64_t requests;
	_Atomic uint64_t missing[OP_COUNT]; /* not available (yet), or not so */
	_Atomic uint64_t counts[OP_COUNT];
	_Atomic uint64_t ns[OP_COUNT]; /* how long they took */
	_Atomic uint64_t inconclusive;
	struct pf_stats stats;
};

struct mfile {
	uint64_t node;
	uint8_t *data; /* MAX_SIZE; zero beyond size */
	uint64_t size;
	uint64_t version; /* of data and size */
	unsigned handles, maps;
	bool stored; /* into a mapping, and not synced */
	bool mtime_set;
	struct timespec mtime;
	struct mfile *next;
};

struct mhandle {
	struct pf_file *file; /* NULL: closed */
	struct mfile *m;
	int flags;   /* of open(2) */
	bool direct; /* the server said so */
	uint64_t pos;
};

struct mmapping {
	struct pf_mapping *map; /* NULL: none */
	struct mfile *m;
	uint64_t off, len;
	bool shared, writes;
};

struct mborrow {
	struct pf_borrow b; /* length 0: none */
	struct mfile *m;
	uint64_t off, version;
};

struct run {
	const struct config *config;
	struct report *report;
	struct server *server;
	struct pf_fs *fs;
	bool cached;     /* the library has a cache */
	bool lost;       /* data, by a full disk: the end tells */
	unsigned shrunk; /* operations since a file was cut */
	struct mfile *names[FILES], *all;
	struct mhandle handles[HANDLES];
	struct mmapping maps[MAPS];
	struct mborrow borrows[BORROWS];
	const struct op *op; /* the present one */
};

/* Do all of it; returns when it went well, ends the process when not. */
void run_ops(const struct config *config, const struct op *ops, size_t n, struct report *report);

/* ---- for the parts of the run */

_Noreturn void run_fail(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The operation's result cannot be foreseen from here on: the run ends, and nothing is wrong. */
_Noreturn void run_inconclusive(struct run *r);
void run_missing(struct run *r);
/* A call that must have succeeded. */
void run_ok(struct run *r, int result, const char *call);
/* The same for what waits for write-back: EINTR is the server's if it gives that. False: it did. */
bool run_synced(struct run *r, int result, const char *call);
/* n bytes came from off when len were asked for: are they the model's? */
void run_compare(struct run *r, const struct mfile *m, const void *buf, int64_t n, uint64_t len,
		 uint64_t off, const char *call);
/* The server's bytes are the model's: all of them, on the disk or as of the last FSYNC. */
void run_server_has(struct run *r, const struct mfile *m, bool synced, const char *call);
void run_server_has_range(struct run *r, const struct mfile *m, uint64_t off, uint64_t len,
			  const char *call);

/* The file may grow to end by what follows. */
void run_may_grow(struct run *r, struct mfile *m, uint64_t end);
/* The model's bytes change. */
void run_put(struct run *r, struct mfile *m, const void *data, uint64_t len, uint64_t off);
void run_resize(struct run *r, struct mfile *m, uint64_t size);

static inline bool can_read(const struct mhandle *h)
{
	return (h->flags & 3) != 1;
}

/* Stores into a mapping are found by msync and munmap: a direct read need not see them. */
static inline bool reads_past_stores(const struct mhandle *h, int direct_flag)
{
	return h->m->stored && (h->direct || (h->flags & direct_flag));
}

static inline bool can_write(const struct mhandle *h)
{
	return (h->flags & 3) != 0;
}

void run_close(struct run *r, struct mhandle *h);
void run_unmap(struct run *r, struct mmapping *map);
void run_return(struct run *r, struct mborrow *b);
void run_check(struct run *r, struct mhandle *h);

typedef void (*run_op)(struct run *r, const struct op *op, struct mhandle *h);
void do_open(struct run *r, const struct op *op, struct mhandle *h);
void do_pread(struct run *r, const struct op *op, struct mhandle *h);
void do_preadv(struct run *r, const struct op *op, struct mhandle *h);
void do_preadv_nowait(struct run *r, const struct op *op, struct mhandle *h);
void do_pwrite(struct run *r, const struct op *op, struct mhandle *h);
void do_pwritev(struct run *r, const struct op *op, struct mhandle *h);
void do_pwritev2(struct run *r, const struct op *op, struct mhandle *h);
void do_read(struct run *r, const struct op *op, struct mhandle *h);
void do_write(struct run *r, const struct op *op, struct mhandle *h);
void do_aio(struct run *r, const struct op *op, struct mhandle *h);
void do_borrow(struct run *r, const struct op *op, struct mhandle *h);
void do_seek(struct run *r, const struct op *op, struct mhandle *h);
void do_trunc(struct run *r, const struct op *op, struct mhandle *h);
void do_path_trunc(struct run *r, const struct op *op, struct mhandle *h);
void do_falloc(struct run *r, const struct op *op, struct mhandle *h);
void do_copy(struct run *r, const struct op *op, struct mhandle *h);
void do_fsync(struct run *r, const struct op *op, struct mhandle *h);
void do_syncfs(struct run *r, const struct op *op, struct mhandle *h);
void do_sync_range(struct run *r, const struct op *op, struct mhandle *h);
void do_drop(struct run *r, const struct op *op, struct mhandle *h);
void do_advise(struct run *r, const struct op *op, struct mhandle *h);
void do_stat(struct run *r, const struct op *op, struct mhandle *h);
void do_utimens(struct run *r, const struct op *op, struct mhandle *h);
void do_setfl(struct run *r, const struct op *op, struct mhandle *h);
void do_mmap(struct run *r, const struct op *op, struct mhandle *h);
void do_mstore(struct run *r, const struct op *op, struct mhandle *h);
void do_mread(struct run *r, const struct op *op, struct mhandle *h);
void do_msync(struct run *r, const struct op *op, struct mhandle *h);
void do_server(struct run *r, const struct op *op, struct mhandle *h);
void do_retrieve(struct run *r, const struct op *op, struct mhandle *h);
void do_nospace(struct run *r, const struct op *op, struct mhandle *h);

#endif
