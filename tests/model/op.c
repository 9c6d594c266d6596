// SPDX-License-Identifier: BSD-2-Clause
/* Dicing operations, printing and reading them. Places and lengths lie about the boundaries of
 * pages, of the cache's blocks and of requests, where things go wrong. */
#include "tests/model/op.h"
#include "tests/model/dice.h"
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE  4096ull
#define BLOCK (256ull << 10)

static const struct {
	const char *name;
	unsigned weight; /* of so many thousand, about */
} kinds[OP_COUNT] = {
    [OP_OPEN] = {"open", 60},
    [OP_CLOSE] = {"close", 40},
    [OP_PREAD] = {"pread", 160},
    [OP_PREADV] = {"preadv", 30},
    [OP_PREADV_NOWAIT] = {"preadv_nowait", 20},
    [OP_PWRITE] = {"pwrite", 180},
    [OP_PWRITEV] = {"pwritev", 30},
    [OP_PWRITEV2] = {"pwritev2", 15},
    [OP_READ] = {"read", 40},
    [OP_WRITE] = {"write", 40},
    [OP_SEEK] = {"seek", 30},
    [OP_AIO] = {"aio", 12},
    [OP_TRUNC] = {"trunc", 35},
    [OP_PATH_TRUNC] = {"path_trunc", 5},
    [OP_FALLOC] = {"falloc", 25},
    [OP_COPY] = {"copy", 30},
    [OP_FSYNC] = {"fsync", 15},
    [OP_SYNCFS] = {"syncfs", 3},
    [OP_SYNC_RANGE] = {"sync_range", 5},
    [OP_DROP] = {"drop", 4},
    [OP_ADVISE] = {"advise", 12},
    [OP_STAT] = {"stat", 25},
    [OP_UTIMENS] = {"utimens", 4},
    [OP_SETFL] = {"setfl", 10},
    [OP_BORROW] = {"borrow", 25},
    [OP_RETURN] = {"return", 20},
    [OP_MMAP] = {"mmap", 10},
    [OP_MSTORE] = {"mstore", 40},
    [OP_MREAD] = {"mread", 20},
    [OP_MSYNC] = {"msync", 10},
    [OP_MUNMAP] = {"munmap", 15},
    [OP_UNLINK] = {"unlink", 2},
    [OP_SERVER] = {"server", 40},
    [OP_RETRIEVE] = {"retrieve", 8},
    [OP_NOSPACE] = {"nospace", 2},
    [OP_CHECK] = {"check", 5},
};

const char *op_name(enum op_kind kind)
{
	return kinds[kind].name;
}

/* ---- dicing */

void op_source_init(struct op_source *s, uint64_t seed, uint64_t max_write)
{
	uint64_t n;

	*s = (struct op_source){.dice = dice_mix(seed), .max_write = max_write};
	n = dice_below(&s->dice, 100);
	s->scale = n < 25 ? 40000 : n < 90 ? 600000 : 3 << 20;
	for (int i = 0; i < HANDLES; i++)
		s->file_of[i] = FILES;
}

static uint64_t near(struct op_source *s, uint64_t at)
{
	uint64_t n = dice_below(&s->dice, 8), by;

	if (n < 4)
		return at;
	by = n < 6 ? 1 : dice_below(&s->dice, 300);
	return dice_hit(&s->dice, 500) ? at + by : at > by ? at - by : 0;
}

static uint64_t place(struct op_source *s, uint64_t size)
{
	uint64_t at = dice_below(&s->dice, s->scale), n = dice_below(&s->dice, 10);

	switch (n) {
	case 0:
		at = near(s, 0);
		break;
	case 1:
	case 2:
		at = near(s, size);
		break;
	case 3:
	case 4:
		at = near(s, at / PAGE * PAGE);
		break;
	case 5:
		at = near(s, (at + BLOCK / 2) / BLOCK * BLOCK);
		break;
	case 6:
		at = near(s, (at + s->max_write / 2) / s->max_write * s->max_write);
		break;
	case 7:
		at = dice_below(&s->dice, size + 1);
		break;
	default:
		break;
	}
	return at < MAX_SIZE ? at : MAX_SIZE - 1;
}

static uint64_t length(struct op_source *s, uint64_t off)
{
	uint64_t n = dice_below(&s->dice, 100), len;

	if (n < 30)
		len = 1 + dice_below(&s->dice, 200);
	else if (n < 60)
		len = 1 + dice_below(&s->dice, 2 * PAGE);
	else if (n < 70)
		len = near(s, PAGE * (1 + dice_below(&s->dice, 4)));
	else if (n < 90)
		len = 1 + dice_below(&s->dice, 40000);
	else if (n < 95)
		len = near(s, s->max_write);
	else
		len = 1 + dice_below(&s->dice, s->scale > 300000 ? 300000 : s->scale);
	if (len > MAX_SIZE - off)
		len = MAX_SIZE - off;
	return len ? len : 1;
}

static void dice_open(struct op_source *s, struct op *op)
{
	static const int modes[] = {O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY};
	unsigned file = (unsigned)dice_below(&s->dice, 10) % FILES;

	op->arg = file | (uint32_t)modes[dice_below(&s->dice, 6)] << 4;
	op->arg |= dice_hit(&s->dice, 60) ? OPEN_TRUNC : 0;
	op->arg |= dice_hit(&s->dice, 80) ? OPEN_APPEND : 0;
	op->arg |= dice_hit(&s->dice, 80) ? OPEN_DIRECT : 0;
	op->arg |= dice_hit(&s->dice, 30) ? OPEN_DSYNC : 0;
	if (op->arg & OPEN_TRUNC)
		s->size[file] = 0;
	s->file_of[op->h] = file;
}

static uint32_t dice_falloc_mode(struct op_source *s)
{
	static const uint32_t modes[] = {
	    0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	    FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};

	return modes[dice_below(&s->dice, 5)];
}

static uint32_t dice_arg(struct op_source *s, enum op_kind kind)
{
	static const uint32_t rwf[] = {0, RWF_DSYNC, RWF_SYNC, RWF_APPEND, RWF_HIPRI};
	static const uint32_t fl[] = {0, 0, O_APPEND, O_DIRECT};

	switch (kind) {
	case OP_PWRITEV2:
		return rwf[dice_below(&s->dice, 5)];
	case OP_SEEK:
		return (uint32_t)dice_below(&s->dice, SEEK_HOLE + 1);
	case OP_FALLOC:
		return dice_falloc_mode(s);
	case OP_ADVISE:
		return (uint32_t)dice_below(&s->dice, POSIX_FADV_NOREUSE + 1);
	case OP_SETFL:
		return fl[dice_below(&s->dice, 4)];
	case OP_MMAP:
		return (uint32_t)dice_below(&s->dice, 3);
	case OP_UNLINK:
	case OP_PATH_TRUNC:
		return (uint32_t)dice_below(&s->dice, FILES);
	case OP_SERVER:
		return (uint32_t)dice_below(&s->dice, SERVER_KINDS);
	default:
		return (uint32_t)dice_below(&s->dice, 2);
	}
}

static bool grows(const struct op *op)
{
	return op->kind == OP_PWRITE || op->kind == OP_PWRITEV || op->kind == OP_PWRITEV2 ||
	       (op->kind == OP_FALLOC && !(op->arg & FALLOC_FL_KEEP_SIZE));
}

static bool is_left_out(const struct op_source *s, enum op_kind kind)
{
	size_t len = strlen(kinds[kind].name);

	for (const char *w = s->without; w && *w; w += strcspn(w, ","), w += *w == ',')
		if (strcspn(w, ",") == len && !strncmp(w, kinds[kind].name, len))
			return true;
	return false;
}

void op_next(struct op_source *s, struct op *op)
{
	static unsigned total;
	unsigned kind = 0, file;
	uint64_t n, size;

	if (!total)
		for (int i = 0; i < OP_COUNT; i++)
			total += kinds[i].weight;
	n = dice_below(&s->dice, total);
	while (n >= kinds[kind].weight)
		n -= kinds[kind++].weight;
	if (is_left_out(s, kind))
		kind = OP_STAT;
	*op = (struct op){.kind = kind, .h = (uint32_t)dice_below(&s->dice, HANDLES)};
	/* A closed handle does nothing: take an open one if there is one, most of the time. */
	for (int i = 0; i < HANDLES && s->file_of[op->h] == FILES && kind != OP_OPEN; i++)
		op->h = (op->h + 1) % HANDLES;
	op->h2 = (uint32_t)dice_below(&s->dice, HANDLES);
	for (int i = 0; i < HANDLES && s->file_of[op->h2] == FILES && kind == OP_COPY; i++)
		op->h2 = (op->h2 + 1) % HANDLES;
	file = s->file_of[op->h];
	size = file < FILES ? s->size[file] : 0;
	op->off = place(s, size);
	op->len = length(s, op->off);
	if (kind == OP_COPY && size && op->off >= size)
		op->off = dice_below(&s->dice, size);
	op->off2 = kind == OP_COPY ? place(s, size) : 0;
	op->seed = dice_next(&s->dice) >> 32;
	if (kind == OP_OPEN)
		dice_open(s, op);
	else
		op->arg = dice_arg(s, kind);
	if (kind == OP_CLOSE)
		s->file_of[op->h] = FILES;
	if (file < FILES && kind == OP_TRUNC)
		s->size[file] = op->off;
	else if (file < FILES && grows(op) && op->off + op->len > size)
		s->size[file] = op->off + op->len;
}

/* ---- text */

void op_print(FILE *f, const struct op *op)
{
	fprintf(f,
		"%s h=%u h2=%u arg=0x%x off=%" PRIu64 " len=%" PRIu64 " off2=%" PRIu64
		" seed=%" PRIu64 "\n",
		kinds[op->kind].name, op->h, op->h2, op->arg, op->off, op->len, op->off2, op->seed);
}

bool op_parse(const char *line, struct op *op)
{
	char name[32];
	int kind = 0;

	memset(op, 0, sizeof *op);
	if (sscanf(line,
		   "%31s h=%u h2=%u arg=%x off=%" SCNu64 " len=%" SCNu64 " off2=%" SCNu64
		   " seed=%" SCNu64,
		   name, &op->h, &op->h2, &op->arg, &op->off, &op->len, &op->off2, &op->seed) != 8)
		return false;
	while (kind < OP_COUNT && strcmp(kinds[kind].name, name))
		kind++;
	if (kind == OP_COUNT || op->h >= HANDLES || op->h2 >= HANDLES)
		return false;
	op->kind = (enum op_kind)kind;
	return true;
}
