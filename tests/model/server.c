// SPDX-License-Identifier: BSD-2-Clause
/* The server's files and what it answers. Everything here runs under the server's lock. */
#include "tests/model/server_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOLE_UNIT   4096ull
#define PLANT_BYTE  70123ull /* where the planted faults strike */
#define ROOT_MODE   (S_IFDIR | 0777)
#define FILE_MODE   (S_IFREG | 0666)
#define OPEN_LIMIT  (1u << 30) /* no file of a test is larger */
#define DATA_HEADER sizeof(struct fuse_in_header)

const char *const server_plants[PLANT_COUNT] = {
    [PLANT_NONE] = "none",         [PLANT_CORRUPT] = "corrupt", [PLANT_LOSE] = "lose",
    [PLANT_STALE] = "stale",       [PLANT_SIZE] = "size",       [PLANT_COPY] = "copy",
    [PLANT_UNSYNCED] = "unsynced", [PLANT_SILENT] = "silent"};

/* One request on its way through. */
struct call {
	struct server *s;
	const struct fuse_in_header *in;
	const void *arg;
	size_t len; /* of arg and what follows */
	/* The answer: made under the lock, sent after it. */
	int error;
	bool silent; /* no answer at all */
	size_t body_len;
	void *body; /* malloc()ed when it is not room */
	uint64_t room[24];
	uint64_t late_us;
	bool kill;
};

void server_complain(struct server *s, const char *fmt, ...)
{
	va_list ap;

	if (s->complaint[0])
		return;
	va_start(ap, fmt);
	vsnprintf(s->complaint, sizeof s->complaint, fmt, ap);
	va_end(ap);
}

/* ---- files */

void server_resize(struct server *s, struct node *n, uint64_t size)
{
	if (size > n->room) {
		uint64_t room = n->room ? n->room : 65536;

		while (room < size)
			room *= 2;
		n->data = realloc(n->data, room);
		memset(n->data + n->room, 0, room - n->room);
		n->room = room;
	}
	if (size < n->size) {
		n->cut_from = size;
		n->cut_byte = n->data[size];
		memset(n->data + size, 0, n->size - size);
		n->unsettled = true;
	} else if (size > n->size && s->c.plant == PLANT_STALE && n->cut_from == n->size) {
		n->data[n->size] = n->cut_byte;
	}
	n->size = size;
	n->mtime = s->clock += 1000;
}

void server_put(struct server *s, struct node *n, const void *data, uint64_t len, uint64_t offset)
{
	uint8_t old = offset <= PLANT_BYTE && PLANT_BYTE < n->size ? n->data[PLANT_BYTE] : 0;

	if (!len)
		return;
	if (offset + len > n->size)
		server_resize(s, n, offset + len);
	memcpy(n->data + offset, data, len);
	if (s->c.plant == PLANT_LOSE && offset <= PLANT_BYTE && PLANT_BYTE < offset + len)
		n->data[PLANT_BYTE] = old;
	n->mtime = s->clock += 1000;
}

static struct node *node_of(struct server *s, uint64_t id)
{
	return id >= 2 && id - 2 < s->nnodes ? s->nodes[id - 2] : NULL;
}

static int name_slot(struct server *s, const char *name)
{
	for (int i = 0; i < NAMES; i++)
		if (s->names[i].node && !strcmp(s->names[i].name, name))
			return i;
	return -1;
}

static struct node *name_new(struct server *s, const char *name)
{
	struct node *n;
	int i;

	for (i = 0; i < NAMES && s->names[i].node; i++)
		;
	if (i == NAMES || strlen(name) >= sizeof s->names[i].name)
		return NULL;
	n = calloc(1, sizeof *n);
	n->limit = NO_LIMIT;
	n->mtime = s->clock += 1000;
	s->nodes = realloc(s->nodes, (s->nnodes + 1) * sizeof *s->nodes);
	s->nodes[s->nnodes++] = n;
	n->id = s->nnodes + 1;
	snprintf(s->names[i].name, sizeof s->names[i].name, "%s", name);
	s->names[i].node = n;
	return n;
}

static struct handle *handle_of(struct call *c, uint64_t fh, struct node *n)
{
	struct handle *h = fh && fh <= c->s->nhandles ? &c->s->handles[fh - 1] : NULL;

	if (h && h->node == n && n)
		return h;
	server_complain(c->s, "opcode %u: handle %llu is not open for node %llu", c->in->opcode,
			(unsigned long long)fh, (unsigned long long)c->in->nodeid);
	c->error = -EBADF;
	return NULL;
}

/* ---- answers */

static void *answer(struct call *c, size_t len)
{
	c->body_len = len;
	c->body = len <= sizeof c->room ? memset(c->room, 0, len) : malloc(len);
	return c->body;
}

static void fill_attr(struct node *n, struct fuse_attr *a)
{
	if (n)
		n->untold = false;
	*a = (struct fuse_attr){.ino = n ? n->id : FUSE_ROOT_ID,
				.nlink = 1,
				.mode = n ? FILE_MODE : ROOT_MODE,
				.uid = geteuid(),
				.gid = getegid(),
				.blksize = 4096};
	if (n) {
		a->size = n->size;
		a->blocks = (n->size + 511) / 512;
		a->mtime = a->ctime = n->mtime / 1000000000ull;
		a->mtimensec = a->ctimensec = (uint32_t)(n->mtime % 1000000000ull);
	}
}

static void answer_attr(struct call *c, struct node *n)
{
	struct fuse_attr_out *o = answer(c, sizeof *o);

	o->attr_valid = c->s->c.attr_valid_ns / 1000000000ull;
	o->attr_valid_nsec = (uint32_t)(c->s->c.attr_valid_ns % 1000000000ull);
	fill_attr(n, &o->attr);
}

static void fill_entry(struct call *c, struct node *n, struct fuse_entry_out *e)
{
	e->nodeid = n->id;
	e->entry_valid = 1000000;
	e->attr_valid = c->s->c.attr_valid_ns / 1000000000ull;
	e->attr_valid_nsec = (uint32_t)(c->s->c.attr_valid_ns % 1000000000ull);
	fill_attr(n, &e->attr);
	n->given++;
}

static void do_lookup(struct call *c, struct node *n)
{
	int i = name_slot(c->s, c->arg);

	if (i < 0)
		c->error = -ENOENT;
	else
		fill_entry(c, c->s->names[i].node, answer(c, sizeof(struct fuse_entry_out)));
}

static void do_getattr(struct call *c, struct node *n)
{
	const struct fuse_getattr_in *in = c->arg;

	if (in->getattr_flags & FUSE_GETATTR_FH)
		handle_of(c, in->fh, n);
	answer_attr(c, n);
}

static void set_times(struct call *c, struct node *n, const struct fuse_setattr_in *in)
{
	if (in->valid & FATTR_MTIME_NOW)
		n->mtime = c->s->clock += 1000;
	else if (in->valid & FATTR_MTIME)
		n->mtime = in->mtime * 1000000000ull + in->mtimensec;
	if ((in->valid & FATTR_CTIME) && c->s->c.minor < 23)
		server_complain(c->s, "SETATTR with CTIME before 7.23");
}

static void do_setattr(struct call *c, struct node *n)
{
	const struct fuse_setattr_in *in = c->arg;

	if (in->valid & FATTR_FH)
		handle_of(c, in->fh, n);
	if (c->error || !n)
		return;
	if (in->valid & FATTR_SIZE) {
		if (in->size > OPEN_LIMIT) {
			server_complain(c->s, "SETATTR: size %llu", (unsigned long long)in->size);
			c->error = -EFBIG;
			return;
		}
		server_resize(c->s, n, in->size);
	}
	set_times(c, n, in);
	answer_attr(c, n);
	if ((in->valid & FATTR_SIZE) && c->s->c.plant == PLANT_SIZE && in->size > PLANT_BYTE)
		((struct fuse_attr_out *)c->body)->attr.size--;
}

static void fill_open(struct call *c, struct node *n, uint32_t flags, struct fuse_open_out *o)
{
	struct server *s = c->s;
	struct handle *h;

	s->handles = realloc(s->handles, (s->nhandles + 1) * sizeof *s->handles);
	h = &s->handles[s->nhandles++];
	*h = (struct handle){n, flags, dice_hit(&s->dice, s->c.direct)};
	o->fh = s->nhandles;
	if (h->direct)
		o->open_flags |= FOPEN_DIRECT_IO;
	if (h->direct && dice_hit(&s->dice, s->c.parallel))
		o->open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
	if (dice_hit(&s->dice, s->c.keep))
		o->open_flags |= FOPEN_KEEP_CACHE;
}

static void do_open(struct call *c, struct node *n)
{
	const struct fuse_open_in *in = c->arg;

	if (!n) {
		c->error = -EISDIR;
		return;
	}
	if (in->flags & O_TRUNC) {
		if (!(c->s->flags & FUSE_ATOMIC_O_TRUNC))
			server_complain(c->s, "OPEN with O_TRUNC without ATOMIC_O_TRUNC");
		server_resize(c->s, n, 0);
	}
	fill_open(c, n, in->flags, answer(c, sizeof(struct fuse_open_out)));
}

static void do_create(struct call *c, struct node *n)
{
	const struct fuse_create_in *in = c->arg;
	const char *name = (const char *)(in + 1);
	struct fuse_create_out *o;
	struct node *made;

	if (name_slot(c->s, name) >= 0) {
		c->error = -EEXIST;
		return;
	}
	made = name_new(c->s, name);
	if (!made) {
		c->error = -ENOSPC;
		return;
	}
	o = answer(c, sizeof *o);
	fill_entry(c, made, &o->entry);
	fill_open(c, made, in->flags, &o->open);
}

static void do_unlink(struct call *c, struct node *n)
{
	int i = name_slot(c->s, c->arg);

	if (i < 0)
		c->error = -ENOENT;
	else
		c->s->names[i].node = NULL;
}

static void audit_read(struct call *c, struct node *n, const struct fuse_read_in *in,
		       const struct handle *h)
{
	uint64_t known = n->size > n->limit ? n->size : n->limit;

	if ((h->flags & O_ACCMODE) == O_WRONLY && !(c->s->flags & FUSE_WRITEBACK_CACHE))
		server_complain(c->s, "READ by a handle that may only write");
	if (in->size > c->s->c.max_write && in->size > 1u << 20)
		server_complain(c->s, "READ of %u bytes", in->size);
	if (!c->s->strict || c->s->c.socket || h->direct || (in->flags & O_DIRECT) ||
	    n->unsettled || n->untold || n->limit == NO_LIMIT ||
	    c->s->c.attr_valid_ns < 1000000000ull)
		return;
	if (in->offset >= known)
		server_complain(c->s, "READ at %llu of a file that ends at %llu",
				(unsigned long long)in->offset, (unsigned long long)known);
}

static void do_read(struct call *c, struct node *n)
{
	const struct fuse_read_in *in = c->arg;
	struct handle *h = handle_of(c, in->fh, n);
	uint64_t len = 0;

	if (!h)
		return;
	audit_read(c, n, in, h);
	if (in->offset < n->size)
		len = n->size - in->offset < in->size ? n->size - in->offset : in->size;
	answer(c, len);
	if (len)
		memcpy(c->body, n->data + in->offset, len);
	if (c->s->c.plant == PLANT_CORRUPT && in->offset <= PLANT_BYTE &&
	    PLANT_BYTE < in->offset + len)
		((uint8_t *)c->body)[PLANT_BYTE - in->offset] ^= 0x40;
}

static void audit_write(struct call *c, struct node *n, const struct fuse_write_in *in,
			const struct handle *h)
{
	struct server *s = c->s;
	bool cached = in->write_flags & FUSE_WRITE_CACHE;

	if (c->len != sizeof *in + in->size)
		server_complain(s, "WRITE of %u bytes carries %zu", in->size, c->len - sizeof *in);
	if (in->size > s->c.max_write || !in->size)
		server_complain(s, "WRITE of %u bytes, max_write is %u", in->size, s->c.max_write);
	if ((h->flags & O_ACCMODE) == O_RDONLY)
		server_complain(s, "WRITE by a handle that may only read");
	if (cached && !(s->flags & FUSE_WRITEBACK_CACHE) && !n->mapped)
		server_complain(s, "WRITE_CACHE without WRITEBACK_CACHE");
	if (cached && (c->in->uid || c->in->gid || c->in->pid))
		server_complain(s, "WRITE_CACHE with somebody's credentials");
	if (n->limit != NO_LIMIT && in->offset + in->size > n->limit)
		server_complain(s, "WRITE of %u bytes at %llu, the file ends at %llu", in->size,
				(unsigned long long)in->offset, (unsigned long long)n->limit);
}

static void do_write(struct call *c, struct node *n)
{
	const struct fuse_write_in *in = c->arg;
	struct handle *h = handle_of(c, in->fh, n);
	struct fuse_write_out *o;
	bool cached = in->write_flags & FUSE_WRITE_CACHE;

	if (!h)
		return;
	audit_write(c, n, in, h);
	if (in->offset + in->size > OPEN_LIMIT) {
		c->error = -EFBIG;
		return;
	}
	if (cached && n->fail) {
		n->fail--;
		c->error = -n->fail_error;
		return;
	}
	if (cached && dice_hit(&c->s->dice, c->s->c.eintr)) {
		c->error = -EINTR;
		return;
	}
	server_put(c->s, n, in + 1, in->size, in->offset);
	o = answer(c, sizeof *o);
	o->size = in->size;
	if (c->s->kill_after && !--c->s->kill_after)
		c->kill = true;
}

static void do_fsync(struct call *c, struct node *n)
{
	const struct fuse_fsync_in *in = c->arg;

	if (!handle_of(c, in->fh, n))
		return;
	if (c->s->c.plant == PLANT_UNSYNCED && n->size > PLANT_BYTE)
		return;
	n->synced = realloc(n->synced, n->size + 1);
	if (n->size)
		memcpy(n->synced, n->data, n->size);
	n->synced_size = n->size;
}

static void do_flush(struct call *c, struct node *n)
{
	handle_of(c, ((const struct fuse_flush_in *)c->arg)->fh, n);
}

static void do_release(struct call *c, struct node *n)
{
	struct handle *h = handle_of(c, ((const struct fuse_release_in *)c->arg)->fh, n);

	if (h)
		h->node = NULL;
}

static void do_fallocate(struct call *c, struct node *n)
{
	const struct fuse_fallocate_in *in = c->arg;
	uint64_t end = in->offset + in->length, stop;

	if (!handle_of(c, in->fh, n))
		return;
	if (in->mode &
	    ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		c->error = -EOPNOTSUPP;
		return;
	}
	stop = end < n->size ? end : n->size;
	if ((in->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) && in->offset < stop)
		memset(n->data + in->offset, 0, stop - in->offset);
	if (!(in->mode & FALLOC_FL_KEEP_SIZE) && end > n->size)
		server_resize(c->s, n, end);
	n->mtime = c->s->clock += 1000;
}

static bool is_hole(const struct node *n, uint64_t unit)
{
	uint64_t start = unit * HOLE_UNIT, end = start + HOLE_UNIT;

	for (uint64_t i = start; i < end && i < n->size; i++)
		if (n->data[i])
			return false;
	return true;
}

static void do_lseek(struct call *c, struct node *n)
{
	const struct fuse_lseek_in *in = c->arg;
	struct fuse_lseek_out *o;
	uint64_t at = in->offset;

	if (!handle_of(c, in->fh, n))
		return;
	if (at >= n->size) {
		c->error = -ENXIO;
		return;
	}
	while (at < n->size && is_hole(n, at / HOLE_UNIT) != (in->whence == SEEK_HOLE))
		at = (at / HOLE_UNIT + 1) * HOLE_UNIT;
	if (at >= n->size && in->whence == SEEK_DATA) {
		c->error = -ENXIO;
		return;
	}
	o = answer(c, sizeof *o);
	o->offset = at < n->size ? at : n->size;
}

static void do_copy(struct call *c, struct node *n)
{
	const struct fuse_copy_file_range_in *in = c->arg;
	struct node *to = node_of(c->s, in->nodeid_out);
	uint64_t len = in->len, shift = 0;
	uint8_t *bytes;

	if (!handle_of(c, in->fh_in, n) || !handle_of(c, in->fh_out, to))
		return;
	if (in->off_in >= n->size)
		len = 0;
	else if (len > n->size - in->off_in)
		len = n->size - in->off_in;
	if (len && c->s->c.plant == PLANT_COPY && in->off_in + len > PLANT_BYTE && in->off_in)
		shift = 1;
	bytes = malloc(len + 1);
	if (len)
		memcpy(bytes, n->data + in->off_in - shift, len);
	server_put(c->s, to, bytes, len, in->off_out);
	free(bytes);
	if (c->in->opcode == FUSE_COPY_FILE_RANGE_64)
		((struct fuse_copy_file_range_out *)answer(c, 8))->bytes_copied = len;
	else
		((struct fuse_write_out *)answer(c, 8))->size = (uint32_t)len;
}

static void do_statfs(struct call *c, struct node *n)
{
	struct fuse_statfs_out *o = answer(c, sizeof *o);

	o->st = (struct fuse_kstatfs){.blocks = 1u << 20,
				      .bfree = 1u << 19,
				      .bavail = 1u << 19,
				      .bsize = 4096,
				      .namelen = 255,
				      .frsize = 4096};
}

static void forget(struct call *c, uint64_t id, uint64_t n)
{
	struct node *node = node_of(c->s, id);

	if (!node || node->given < n || !n)
		server_complain(c->s, "FORGET of node %llu, %llu lookups", (unsigned long long)id,
				(unsigned long long)n);
	else
		node->given -= n;
}

static void do_forget(struct call *c, struct node *n)
{
	c->silent = true;
	forget(c, c->in->nodeid, ((const struct fuse_forget_in *)c->arg)->nlookup);
}

static void do_batch_forget(struct call *c, struct node *n)
{
	const struct fuse_batch_forget_in *in = c->arg;
	const struct fuse_forget_one *one = (const void *)(in + 1);

	c->silent = true;
	for (uint32_t i = 0; i < in->count; i++)
		forget(c, one[i].nodeid, one[i].nlookup);
}

static void do_interrupt(struct call *c, struct node *n)
{
	c->silent = true;
}

static void do_notify_reply(struct call *c, struct node *n)
{
	const struct fuse_notify_retrieve_in *in = c->arg;
	struct server *s = c->s;

	c->silent = true;
	if (c->in->unique != s->retrieve_unique || !s->retrieve_unique)
		return;
	if (c->len != sizeof *in + in->size)
		server_complain(s, "NOTIFY_REPLY of %u bytes carries %zu", in->size,
				c->len - sizeof *in);
	else if (in->size)
		memcpy(s->retrieve_data, in + 1, in->size);
	s->retrieve_got = in->size;
	s->retrieve_unique = 0;
	pthread_cond_broadcast(&s->retrieved);
}

static void do_destroy(struct call *c, struct node *n)
{
	c->s->destroyed = true;
}

static void do_init(struct call *c, struct node *n)
{
	const struct fuse_init_in *in = c->arg;
	struct server *s = c->s;
	uint64_t offered = in->flags | (uint64_t)in->flags2 << 32;
	struct fuse_init_out *o = answer(c, sizeof *o);

	if (s->init)
		server_complain(s, "INIT twice");
	s->init = true;
	s->flags = s->c.flags & offered;
	*o = (struct fuse_init_out){.major = FUSE_MAJOR,
				    .minor = s->c.minor,
				    .max_readahead = s->c.max_readahead,
				    .flags = (uint32_t)s->flags,
				    .max_background = s->c.max_background,
				    .congestion_threshold = s->c.congestion_threshold,
				    .max_write = s->c.max_write,
				    .time_gran = 1,
				    .max_pages = 256};
	o->flags |= FUSE_INIT_EXT & offered;
	o->flags2 = s->flags >> 32;
	if (s->c.minor < 23)
		c->body_len = FUSE_COMPAT_22_INIT_OUT_SIZE;
}

/* ---- one message */

static const struct op {
	void (*run)(struct call *c, struct node *n);
	size_t size;    /* of its argument */
	unsigned since; /* minor */
	bool root;      /* it goes to the directory */
} ops[FUSE_OPCODE_END] = {
    [FUSE_LOOKUP] = {do_lookup, 0, 0, true},
    [FUSE_FORGET] = {do_forget, sizeof(struct fuse_forget_in), 0, false},
    [FUSE_GETATTR] = {do_getattr, sizeof(struct fuse_getattr_in), 0, true},
    [FUSE_SETATTR] = {do_setattr, sizeof(struct fuse_setattr_in), 0, false},
    [FUSE_OPEN] = {do_open, sizeof(struct fuse_open_in), 0, false},
    [FUSE_READ] = {do_read, sizeof(struct fuse_read_in), 0, false},
    [FUSE_WRITE] = {do_write, sizeof(struct fuse_write_in), 0, false},
    [FUSE_STATFS] = {do_statfs, 0, 0, true},
    [FUSE_RELEASE] = {do_release, sizeof(struct fuse_release_in), 0, false},
    [FUSE_FSYNC] = {do_fsync, sizeof(struct fuse_fsync_in), 0, false},
    [FUSE_FLUSH] = {do_flush, sizeof(struct fuse_flush_in), 0, false},
    [FUSE_INIT] = {do_init, sizeof(struct fuse_init_in), 0, true},
    [FUSE_UNLINK] = {do_unlink, 0, 0, true},
    [FUSE_CREATE] = {do_create, sizeof(struct fuse_create_in), 0, true},
    [FUSE_INTERRUPT] = {do_interrupt, sizeof(struct fuse_interrupt_in), 0, true},
    [FUSE_DESTROY] = {do_destroy, 0, 0, true},
    [FUSE_NOTIFY_REPLY] = {do_notify_reply, sizeof(struct fuse_notify_retrieve_in), 15, false},
    [FUSE_BATCH_FORGET] = {do_batch_forget, sizeof(struct fuse_batch_forget_in), 16, true},
    [FUSE_FALLOCATE] = {do_fallocate, sizeof(struct fuse_fallocate_in), 19, false},
    [FUSE_LSEEK] = {do_lseek, sizeof(struct fuse_lseek_in), 24, false},
    [FUSE_COPY_FILE_RANGE] = {do_copy, sizeof(struct fuse_copy_file_range_in), 28, false},
    [FUSE_COPY_FILE_RANGE_64] = {do_copy, sizeof(struct fuse_copy_file_range_in), 45, false},
};

static void run(struct call *c)
{
	const struct op *op = c->in->opcode < FUSE_OPCODE_END ? &ops[c->in->opcode] : NULL;
	struct node *n = node_of(c->s, c->in->nodeid);

	c->s->requests++;
	if (!op || !op->run) {
		c->error = -ENOSYS;
		return;
	}
	if (c->len < op->size || (op->since && c->s->c.minor < op->since)) {
		server_complain(c->s, "opcode %u, %zu bytes, does not belong into 7.%u",
				c->in->opcode, c->len, c->s->c.minor);
		c->error = -EIO;
	} else if (!n && !op->root) {
		c->error = c->in->nodeid == FUSE_ROOT_ID ? -EISDIR : -ENOENT;
		c->silent = c->in->opcode == FUSE_FORGET || c->in->opcode == FUSE_NOTIFY_REPLY;
		if (!c->silent && c->in->nodeid != FUSE_ROOT_ID)
			server_complain(c->s, "opcode %u for node %llu, which there is not",
					c->in->opcode, (unsigned long long)c->in->nodeid);
	} else {
		/* A socket's threads may overtake each other. */
		if (c->s->destroyed && !c->s->c.socket)
			server_complain(c->s, "opcode %u after DESTROY", c->in->opcode);
		op->run(c, n);
	}
}

void server_message(struct server *s, const void *message, size_t length)
{
	struct call c = {.s = s, .in = message, .arg = (const char *)message + DATA_HEADER};
	struct fuse_out_header out;
	struct iovec iov[2];

	if (length < DATA_HEADER || c.in->len != length) {
		server_complain(s, "a message of %zu bytes says that it has others", length);
		return;
	}
	c.len = length - DATA_HEADER;
	pthread_mutex_lock(&s->lock);
	run(&c);
	if (dice_hit(&s->dice, s->c.late))
		c.late_us = 1 + dice_below(&s->dice, s->c.late_us);
	pthread_mutex_unlock(&s->lock);
	if (c.kill)
		server_kill(s);
	if (c.error)
		c.body_len = 0;
	out = (struct fuse_out_header){sizeof out + (uint32_t)c.body_len, c.error, c.in->unique};
	iov[0] = (struct iovec){&out, sizeof out};
	iov[1] = (struct iovec){c.body, c.body_len};
	if (!c.silent)
		channel_send(s, iov, c.body_len ? 2 : 1, c.late_us);
	if (c.body && c.body != c.room)
		free(c.body);
}
