// SPDX-License-Identifier: BSD-2-Clause
/* A file that the scripted server really has. */
#include "mock/data.h"
#include "base/arith.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE 4096u

unsigned char mock_data_byte(unsigned seed, uint64_t offset)
{
	uint64_t x = (offset + 1) * 0x9e3779b97f4a7c15ull + seed * 0xd6e8feb86659fd93ull;

	return (unsigned char)((x >> 32) % 255 + 1);
}

static unsigned char byte_at(const struct mock_data *d, uint64_t i)
{
	if (i >= d->size)
		return 0;
	return i < d->capacity ? d->bytes[i] : mock_data_byte(0, i);
}

static void copy_bytes(const struct mock_data *d, uint64_t offset, unsigned char *to, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = byte_at(d, offset + i);
}

/* Grow or shrink; what is behind the end is zero. m->lock is held. */
static void set_size(struct mock_data *d, uint64_t size)
{
	uint64_t from = pf__min_u64(size, d->size);

	if (from < d->capacity)
		memset(d->bytes + from, 0, d->capacity - from);
	d->size = size;
	d->mtime++;
}

static struct fuse_attr attr_of(const struct mock_data *d)
{
	struct fuse_attr a = mock_attr(d->nodeid, d->mode, d->size);

	a.mtime = a.ctime = d->mtime;
	return a;
}

/* ---- names and attributes */

static void do_lookup(struct mock_req *req, void *ctx)
{
	struct mock_data *d = ctx;
	struct fuse_entry_out e;

	pthread_mutex_lock(&d->m->lock);
	d->lookups++;
	e = mock_entry(d->nodeid, d->mode, d->size, d->entry_valid, d->attr_valid);
	e.attr = attr_of(d);
	pthread_mutex_unlock(&d->m->lock);
	mock_answer(req, &e, sizeof(e));
}

static void do_getattr(struct mock_req *req, void *ctx)
{
	struct mock_data *d = ctx;
	struct fuse_attr_out a;

	if (d->before_getattr)
		d->before_getattr(d);
	pthread_mutex_lock(&d->m->lock);
	d->getattrs++;
	a = (struct fuse_attr_out){.attr_valid = d->attr_valid, .attr = attr_of(d)};
	pthread_mutex_unlock(&d->m->lock);
	mock_answer(req, &a, sizeof(a));
}

static void do_open(struct mock_req *req, void *ctx)
{
	struct mock_data *d = ctx;
	struct fuse_open_out o;

	pthread_mutex_lock(&d->m->lock);
	d->opens++;
	o = (struct fuse_open_out){
	    .fh = d->fh++, .open_flags = d->open_flags, .backing_id = d->backing_id};
	if (((const struct fuse_open_in *)req->arg)->flags & O_TRUNC)
		set_size(d, 0);
	pthread_mutex_unlock(&d->m->lock);
	mock_answer(req, &o, sizeof(o));
}

/* ---- READ */

static void note_read(struct mock_data *d, const struct fuse_read_in *in)
{
	uint64_t end = in->offset + in->size;

	if (d->nreads < MOCK_SEEN)
		d->seen[d->nreads] =
		    (struct mock_seen){in->offset, in->fh,         in->lock_owner, in->size,
				       in->flags,  in->read_flags, d->mark};
	d->nreads++;
	if (d->loose)
		return;
	if (in->offset % PAGE || end > d->size || (end % PAGE && end != d->size))
		mock_fail(d->m, "READ(%" PRIu64 "+%u) of a file of %" PRIu64 " bytes", in->offset,
			  in->size, d->size);
}

/* True when it is held. */
static bool hold_read(struct mock_data *d, struct mock_req *req)
{
	if (!d->hold || d->nheld == MOCK_HELD)
		return false;
	d->held[d->nheld++] = req;
	if (d->nheld > d->most_held)
		d->most_held = d->nheld;
	pthread_cond_broadcast(&d->m->cond);
	return true;
}

static bool fails(struct mock_data *d, const struct fuse_read_in *in)
{
	if (!d->fail_errno || d->fail_at < in->offset || d->fail_at >= in->offset + in->size)
		return false;
	if (!d->fail_always)
		d->fail_at = MOCK_ANY;
	return true;
}

static void do_read(struct mock_req *req, void *ctx)
{
	const struct fuse_read_in *in = req->arg;
	struct mock_data *d = ctx;
	bool held, fail;

	pthread_mutex_lock(&d->m->lock);
	note_read(d, in);
	fail = fails(d, in);
	held = !fail && hold_read(d, req);
	pthread_cond_broadcast(&d->m->cond);
	pthread_mutex_unlock(&d->m->lock);
	if (held)
		return;
	if (d->before_read)
		d->before_read(d, req);
	if (fail)
		mock_answer_error(req, d->fail_errno);
	else
		mock_data_serve(d, req);
}

void mock_data_serve(struct mock_data *d, struct mock_req *req)
{
	const struct fuse_read_in *in = req->arg;
	unsigned char *buf = malloc(in->size);
	uint64_t end;
	size_t n = 0;

	pthread_mutex_lock(&d->m->lock);
	end = pf__min_u64(d->size, d->ends);
	if (in->offset < end)
		n = pf__min_u64(end - in->offset, in->size);
	copy_bytes(d, in->offset, buf, n);
	pthread_mutex_unlock(&d->m->lock);
	mock_answer(req, buf, n);
	free(buf);
}

/* ---- changes by the client */

static void do_write(struct mock_req *req, void *ctx)
{
	const struct fuse_write_in *in = req->arg;
	struct fuse_write_out out = {.size = in->size};
	struct mock_data *d = ctx;
	uint64_t end = in->offset + in->size;

	pthread_mutex_lock(&d->m->lock);
	d->writes++;
	if (end > d->capacity) {
		mock_fail(d->m, "WRITE(%" PRIu64 "+%u): no room", in->offset, in->size);
	} else {
		if (end > d->size)
			set_size(d, end);
		memcpy(d->bytes + in->offset, req->data, in->size);
		d->mtime++;
	}
	pthread_mutex_unlock(&d->m->lock);
	mock_answer(req, &out, sizeof(out));
}

static void do_setattr(struct mock_req *req, void *ctx)
{
	const struct fuse_setattr_in *in = req->arg;
	struct mock_data *d = ctx;
	struct fuse_attr_out a;

	pthread_mutex_lock(&d->m->lock);
	d->setattrs++;
	if (in->valid & FATTR_SIZE)
		set_size(d, in->size);
	if (in->valid & FATTR_MTIME)
		d->mtime = in->mtime;
	a = (struct fuse_attr_out){.attr_valid = d->attr_valid, .attr = attr_of(d)};
	pthread_mutex_unlock(&d->m->lock);
	mock_answer(req, &a, sizeof(a));
}

static void do_fallocate(struct mock_req *req, void *ctx)
{
	const struct fuse_fallocate_in *in = req->arg;
	struct mock_data *d = ctx;
	uint64_t end = in->offset + in->length;

	pthread_mutex_lock(&d->m->lock);
	if (!(in->mode & FALLOC_FL_KEEP_SIZE) && end > d->size)
		set_size(d, end);
	if (in->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && in->offset < d->size)
		memset(d->bytes + in->offset, 0, pf__min_u64(end, d->size) - in->offset);
	pthread_mutex_unlock(&d->m->lock);
	mock_answer(req, NULL, 0);
}

/* Within one file; shorter than asked for at its end. */
static void do_copy(struct mock_req *req, void *ctx)
{
	const struct fuse_copy_file_range_in *in = req->arg;
	struct fuse_copy_file_range_out out64 = {0};
	struct fuse_write_out out = {0};
	struct mock_data *d = ctx;
	uint64_t n = 0;

	pthread_mutex_lock(&d->m->lock);
	if (in->off_in < d->size)
		n = pf__min_u64(in->len, d->size - in->off_in);
	if (in->off_out + n > d->size)
		set_size(d, in->off_out + n);
	memmove(d->bytes + in->off_out, d->bytes + in->off_in, n);
	pthread_mutex_unlock(&d->m->lock);
	out64.bytes_copied = out.size = n;
	if (req->h.opcode == FUSE_COPY_FILE_RANGE_64)
		mock_answer(req, &out64, sizeof(out64));
	else
		mock_answer(req, &out, sizeof(out));
}

/* ---- making one */

static void serve(struct mock_data *d, uint32_t opcode, mock_fn fn)
{
	mock_fn_set(mock_any_times(mock_expect(d->m, opcode, d->nodeid, NULL)), fn, d);
}

struct mock_data *mock_data_new(struct mock *m, const char *name, uint64_t nodeid, uint64_t size,
				size_t capacity)
{
	struct mock_data *d = calloc(1, sizeof(*d) + capacity);
	struct mock_expect *e = mock_expect(m, FUSE_LOOKUP, FUSE_ROOT_ID, name);

	d->m = m;
	d->nodeid = nodeid;
	d->mode = S_IFREG | 0644;
	d->size = size;
	d->ends = d->fail_at = MOCK_ANY;
	d->mtime = 1000;
	d->attr_valid = d->entry_valid = MOCK_FOREVER;
	d->fh = 1;
	d->capacity = capacity;
	mock_data_fill(d, 0, capacity, 0);
	e->own_ctx = d;
	mock_fn_set(mock_any_times(e), do_lookup, d);
	serve(d, FUSE_GETATTR, do_getattr);
	serve(d, FUSE_OPEN, do_open);
	serve(d, FUSE_READ, do_read);
	mock_any_times(mock_flush(m, nodeid));
	mock_any_times(mock_release(m, nodeid));
	return d;
}

void mock_data_writable(struct mock_data *d)
{
	serve(d, FUSE_WRITE, do_write);
	serve(d, FUSE_SETATTR, do_setattr);
	serve(d, FUSE_FALLOCATE, do_fallocate);
	serve(d, FUSE_COPY_FILE_RANGE, do_copy);
	serve(d, FUSE_COPY_FILE_RANGE_64, do_copy);
	mock_any_times(mock_empty(d->m, FUSE_FSYNC, d->nodeid));
	mock_any_times(mock_error(mock_empty(d->m, FUSE_LSEEK, d->nodeid), ENOSYS));
}

/* ---- changes behind the client's back */

void mock_data_fill(struct mock_data *d, uint64_t offset, size_t len, unsigned seed)
{
	pthread_mutex_lock(&d->m->lock);
	for (size_t i = 0; i < len; i++)
		if (offset + i < d->capacity)
			d->bytes[offset + i] =
			    offset + i < d->size ? mock_data_byte(seed, offset + i) : 0;
	pthread_mutex_unlock(&d->m->lock);
}

void mock_data_resize(struct mock_data *d, uint64_t size)
{
	pthread_mutex_lock(&d->m->lock);
	set_size(d, size);
	pthread_mutex_unlock(&d->m->lock);
}

void mock_data_touch(struct mock_data *d)
{
	pthread_mutex_lock(&d->m->lock);
	d->mtime++;
	pthread_mutex_unlock(&d->m->lock);
}

/* ---- what came */

const char *mock_data_reads(struct mock_data *d)
{
	static char text[MOCK_SEEN * 32];
	size_t at = 0;

	text[0] = 0;
	pthread_mutex_lock(&d->m->lock);
	for (size_t i = d->mark_reads; i < d->nreads && i < MOCK_SEEN; i++)
		at += snprintf(text + at, sizeof(text) - at, "%s%" PRIu64 "+%u", at ? " " : "",
			       d->seen[i].offset, d->seen[i].size);
	d->mark_reads = d->nreads;
	pthread_mutex_unlock(&d->m->lock);
	return text;
}

uint64_t mock_data_read_bytes(struct mock_data *d)
{
	uint64_t n = 0;

	pthread_mutex_lock(&d->m->lock);
	for (size_t i = d->mark_reads; i < d->nreads && i < MOCK_SEEN; i++)
		n += d->seen[i].size;
	pthread_mutex_unlock(&d->m->lock);
	return n;
}

static struct timespec patience(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += MOCK_PATIENCE_S;
	return t;
}

/* Wait until the difference of two counters reaches n. */
static void wait_for(struct mock_data *d, const size_t *counter, const size_t *base, size_t n,
		     const char *what)
{
	struct timespec until = patience();
	size_t got;
	int r = 0;

	pthread_mutex_lock(&d->m->lock);
	while (*counter - (base ? *base : 0) < n && !r)
		r = pthread_cond_timedwait(&d->m->cond, &d->m->lock, &until);
	got = *counter - (base ? *base : 0);
	pthread_mutex_unlock(&d->m->lock);
	if (got < n)
		fail_msg("%zu READs %s, not %zu", got, what, n);
}

void mock_data_wait_reads(struct mock_data *d, size_t n)
{
	wait_for(d, &d->nreads, &d->mark_reads, n, "came");
}

/* ---- held READs */

void mock_data_hold(struct mock_data *d)
{
	pthread_mutex_lock(&d->m->lock);
	d->hold = true;
	pthread_mutex_unlock(&d->m->lock);
}

void mock_data_wait_held(struct mock_data *d, size_t n)
{
	wait_for(d, &d->nheld, NULL, n, "are held");
}

size_t mock_data_held(struct mock_data *d)
{
	size_t n;

	pthread_mutex_lock(&d->m->lock);
	n = d->nheld;
	pthread_mutex_unlock(&d->m->lock);
	return n;
}

static struct mock_req *take(struct mock_data *d)
{
	struct mock_req *req = NULL;

	pthread_mutex_lock(&d->m->lock);
	if (d->nheld) {
		req = d->held[0];
		memmove(d->held, d->held + 1, --d->nheld * sizeof(d->held[0]));
	}
	pthread_mutex_unlock(&d->m->lock);
	return req;
}

struct mock_req *mock_data_take(struct mock_data *d)
{
	mock_data_wait_held(d, 1);
	return take(d);
}

void mock_data_release(struct mock_data *d)
{
	struct mock_req *req;

	pthread_mutex_lock(&d->m->lock);
	d->hold = false;
	pthread_mutex_unlock(&d->m->lock);
	while ((req = take(d)))
		mock_data_serve(d, req);
}

void mock_data_check(struct mock_data *d, const void *buf, uint64_t offset, size_t len)
{
	const unsigned char *got = buf;
	unsigned char want = 0;
	size_t i;

	pthread_mutex_lock(&d->m->lock);
	for (i = 0; i < len; i++)
		if ((want = byte_at(d, offset + i)) != got[i])
			break;
	pthread_mutex_unlock(&d->m->lock);
	if (i < len)
		fail_msg("byte %" PRIu64 " is %#x, not %#x", offset + i, got[i], want);
}

/* ---- STORE and RETRIEVE */

void mock_store(struct mock *m, uint64_t nodeid, uint64_t offset, const void *data, size_t len)
{
	struct fuse_notify_store_out o = {.nodeid = nodeid, .offset = offset, .size = len};
	char *body = malloc(sizeof(o) + len);

	memcpy(body, &o, sizeof(o));
	memcpy(body + sizeof(o), data, len);
	mock_notify(m, FUSE_NOTIFY_STORE, body, sizeof(o) + len);
	free(body);
}

void mock_data_store(struct mock_data *d, uint64_t offset, size_t len)
{
	unsigned char *buf = malloc(len);

	pthread_mutex_lock(&d->m->lock);
	copy_bytes(d, offset, buf, len);
	pthread_mutex_unlock(&d->m->lock);
	mock_store(d->m, d->nodeid, offset, buf, len);
	free(buf);
}

struct retrieved {
	uint64_t unique, offset;
	size_t len;
	void *buf;
	uint32_t size;
};

static bool is_retrieved(const struct mock_req *req, void *ctx)
{
	return req->h.unique == ((struct retrieved *)ctx)->unique;
}

/* Runs before who waits for the expectation is let go: it looks again under the lock. */
static void take_retrieved(struct mock_req *req, void *ctx)
{
	const struct fuse_notify_retrieve_in *in = req->arg;
	struct retrieved *r = ctx;
	struct mock *m = req->m;

	pthread_mutex_lock(&m->lock);
	if (in->offset != r->offset || in->size > r->size)
		mock_fail(m, "NOTIFY_REPLY(%" PRIu64 "+%u) to RETRIEVE(%" PRIu64 "+%u)", in->offset,
			  in->size, r->offset, r->size);
	else
		memcpy(r->buf, req->data, in->size);
	r->len = in->size;
	pthread_cond_broadcast(&m->cond);
	pthread_mutex_unlock(&m->lock);
}

size_t mock_retrieve(struct mock *m, uint64_t nodeid, uint64_t offset, uint32_t size, void *buf)
{
	static _Atomic uint64_t unique = 1000;
	struct mock_expect *e = mock_expect(m, FUSE_NOTIFY_REPLY, nodeid, NULL);
	struct retrieved *r = e->own_ctx = malloc(sizeof(*r));
	struct fuse_notify_retrieve_out o = {
	    .notify_unique = ++unique, .nodeid = nodeid, .offset = offset, .size = size};
	struct timespec until = patience();
	int err = 0;
	size_t len;

	*r = (struct retrieved){o.notify_unique, offset, SIZE_MAX, buf, size};
	mock_fn_set(mock_match(e, is_retrieved, r), take_retrieved, r);
	mock_notify(m, FUSE_NOTIFY_RETRIEVE, &o, sizeof(o));
	pthread_mutex_lock(&m->lock);
	while (r->len == SIZE_MAX && !err)
		err = pthread_cond_timedwait(&m->cond, &m->lock, &until);
	len = r->len;
	pthread_mutex_unlock(&m->lock);
	if (len == SIZE_MAX)
		fail_msg("no answer to RETRIEVE(%" PRIu64 "+%u)", offset, size);
	return len;
}
