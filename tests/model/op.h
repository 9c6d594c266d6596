/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operations of a run. Each stands for itself: what it does is told by its own numbers and by
 * what is open then, never by dice, so that a run can be repeated without some of them.
 */
#ifndef MODEL_OP_H
#define MODEL_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FILES    3
#define HANDLES  6
#define MAX_SIZE (4u << 20)
#define MAPS     2
#define BORROWS  2

enum op_kind {
	OP_OPEN, /* h, arg: file and OPEN_* */
	OP_CLOSE,
	OP_PREAD,
	OP_PREADV,
	OP_PREADV_NOWAIT,
	OP_PWRITE,
	OP_PWRITEV,
	OP_PWRITEV2, /* arg: RWF_* */
	OP_READ,     /* at the position */
	OP_WRITE,
	OP_SEEK, /* arg: whence */
	OP_AIO,  /* several at once; arg: 1 they write */
	OP_TRUNC,
	OP_PATH_TRUNC,
	OP_FALLOC, /* arg: mode */
	OP_COPY,   /* h to h2 */
	OP_FSYNC,  /* arg: 1 datasync */
	OP_SYNCFS,
	OP_SYNC_RANGE,
	OP_DROP,
	OP_ADVISE, /* arg: advice */
	OP_STAT,
	OP_UTIMENS,
	OP_SETFL,  /* arg: O_APPEND, O_DIRECT */
	OP_BORROW, /* h2: which */
	OP_RETURN,
	OP_MMAP, /* h2: which; arg: 0 shared read, 1 shared write, 2 private write */
	OP_MSTORE,
	OP_MREAD,
	OP_MSYNC,
	OP_MUNMAP,
	OP_UNLINK, /* arg: file */
	OP_SERVER, /* arg: SERVER_* */
	OP_RETRIEVE,
	OP_NOSPACE,
	OP_CHECK, /* all of the file */
	OP_COUNT,
};

/* arg of OP_OPEN: the file, the access mode in bits 4 and 5, and these. */
#define OPEN_TRUNC  0x40
#define OPEN_APPEND 0x80
#define OPEN_DIRECT 0x100
#define OPEN_DSYNC  0x200

/* arg of OP_SERVER */
enum { SERVER_WRITE, SERVER_STORE, SERVER_SHRINK, SERVER_GROW, SERVER_SILENT, SERVER_KINDS };

struct op {
	enum op_kind kind;
	uint32_t h, h2, arg;
	uint64_t off, len, off2, seed;
};

/* What a generator keeps in mind beside its dice. */
struct op_source {
	uint64_t dice, max_write, scale;
	uint64_t size[FILES];      /* about */
	unsigned file_of[HANDLES]; /* FILES: closed */
	const char *without;       /* kinds that shall not come, with commas; may be NULL */
};

void op_source_init(struct op_source *s, uint64_t seed, uint64_t max_write);
void op_next(struct op_source *s, struct op *op);
void op_print(FILE *f, const struct op *op);
/* One line; false when it is none. */
bool op_parse(const char *line, struct op *op);
const char *op_name(enum op_kind kind);

#endif
