// SPDX-License-Identifier: BSD-2-Clause
/* A file of the scripted server whose data is a buffer. */
#include "mock/wdata.h"
#include "base/arith.h"
#include "proto/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An answer that is ready: it is sent without the lock, since in process the client may come back
 * with its next request before sending returns. */
struct answer {
	int err;
	size_t len;
	void *body; /* allocated; NULL for none */
};

static void set_body(struct answer *a, const void *body, size_t len)
{
	a->body = malloc(len + 1);
	memcpy(a->body, body, len);
	a->len = len;
}

static void send_answer(struct mock_req *req, struct answer *a)
{
	if (a->err)
		mock_answer_error(req, a->err);
	else
		mock_answer(req, a->body, a->len);
	free(a->body);
}

unsigned char wdata_byte(uint64_t offset)
{
	return 1 + (offset * 31 + offset / 251) % 255;
}

/* ---- the buffer; under the lock */

static void set_size(struct wdata *w, uint64_t size)
{
	if (size > w->capacity) {
		w->data = realloc(w->data, size * 2);
		w->capacity = size * 2;
	}
	if (size > w->attr.size)
		memset(w->data + w->attr.size, 0, size - w->attr.size);
	w->attr.size = size;
	w->attr.blocks = (size + 511) / 512;
}

static void put(struct wdata *w, uint64_t offset, const void *bytes, size_t len)
{
	if (offset + len > w->attr.size)
		set_size(w, offset + len);
	memcpy(w->data + offset, bytes, len);
}

static struct fuse_attr_out attr_out(struct wdata *w)
{
	return (struct fuse_attr_out){.attr_valid = w->attr_valid,
				      .attr = w->lies ? w->lie : w->attr};
}

/* ---- answers; under the lock */

static const struct wdata_rule *rule_for(struct wdata *w, uint32_t opcode)
{
	for (int i = 0; i < w->nrules; i++) {
		struct wdata_rule *r = &w->rules[i];

		if (r->opcode != opcode || !r->times)
			continue;
		if (r->skip-- > 0)
			continue;
		r->skip = 0;
		r->times--;
		return r;
	}
	return NULL;
}

static void do_read(struct wdata *w, const struct mock_req *req, const struct wdata_rule *r,
		    struct answer *a)
{
	const struct fuse_read_in *in = req->arg;
	size_t n = 0, extra = r && r->trick == WDATA_EXTRA ? r->value : 0;
	unsigned char *copy;

	if (in->offset < w->attr.size)
		n = pf__min_u64((uint64_t)in->size, w->attr.size - in->offset);
	if (r && r->trick == WDATA_SHORT)
		n = pf__min_u64(n, (size_t)r->value);
	if (extra)
		n = in->size;
	copy = malloc(n + extra + 1);
	memset(copy, 'E', n + extra);
	if (in->offset < w->attr.size)
		memcpy(copy, w->data + in->offset,
		       pf__min_u64(n, (size_t)(w->attr.size - in->offset)));
	a->body = copy;
	a->len = n + extra;
}

static void do_write(struct wdata *w, const struct mock_req *req, const struct wdata_rule *r,
		     struct answer *a)
{
	const struct fuse_write_in *in = req->arg;
	struct fuse_write_out out = {.size = in->size};

	if (r && r->trick == WDATA_SHORT)
		out.size = pf__min_u64(in->size, (uint32_t)r->value);
	put(w, in->offset, req->data, out.size);
	if (r && r->trick == WDATA_CLAIM)
		out.size = r->value;
	set_body(a, &out, sizeof(out));
}

static void do_setattr(struct wdata *w, const struct mock_req *req, struct answer *a)
{
	const struct fuse_setattr_in *in = req->arg;
	struct fuse_attr *to = &w->attr;
	struct fuse_attr_out out;

	if (in->valid & FATTR_SIZE)
		set_size(w, in->size);
	if (in->valid & FATTR_MODE)
		to->mode = (to->mode & S_IFMT) | (in->mode & 07777);
	if (in->valid & FATTR_UID)
		to->uid = in->uid;
	if (in->valid & FATTR_GID)
		to->gid = in->gid;
	if (in->valid & FATTR_ATIME)
		to->atime = in->atime, to->atimensec = in->atimensec;
	if (in->valid & FATTR_MTIME)
		to->mtime = in->mtime, to->mtimensec = in->mtimensec;
	if (in->valid & FATTR_CTIME)
		to->ctime = in->ctime, to->ctimensec = in->ctimensec;
	out = attr_out(w);
	set_body(a, &out, sizeof(out));
}

static void do_getattr(struct wdata *w, const struct mock_req *req, struct answer *a)
{
	struct fuse_attr_out out;

	if (w->shrink_at && !--w->shrink_at)
		set_size(w, w->shrink_to);
	out = attr_out(w);
	set_body(a, &out, sizeof(out));
}

static void do_fallocate(struct wdata *w, const struct mock_req *req)
{
	const struct fuse_fallocate_in *in = req->arg;
	uint64_t end = in->offset + in->length;

	if (in->mode & ~1u && in->offset < w->attr.size) /* PUNCH_HOLE, ZERO_RANGE */
		memset(w->data + in->offset, 0, pf__min_u64(end, w->attr.size) - in->offset);
	if (!(in->mode & 1u) && end > w->attr.size)
		set_size(w, end);
}

/* Within the file alone. */
static void do_copy(struct wdata *w, const struct mock_req *req, struct answer *a)
{
	const struct fuse_copy_file_range_in *in = req->arg;
	struct fuse_copy_file_range_out out64;
	struct fuse_write_out out;
	uint64_t n = 0;
	void *copy;

	if (in->off_in < w->attr.size)
		n = pf__min_u64(in->len, w->attr.size - in->off_in);
	copy = malloc(n + 1);
	memcpy(copy, w->data + in->off_in, n);
	put(w, in->off_out, copy, n);
	free(copy);
	out64 = (struct fuse_copy_file_range_out){.bytes_copied = n};
	out = (struct fuse_write_out){.size = n};
	if (req->h.opcode == FUSE_COPY_FILE_RANGE)
		set_body(a, &out, sizeof(out));
	else
		set_body(a, &out64, sizeof(out64));
}

static void do_open(struct wdata *w, const struct mock_req *req, struct answer *a)
{
	struct fuse_open_out out = {.open_flags = w->open_flags};

	if (((const struct fuse_open_in *)req->arg)->flags & O_TRUNC)
		set_size(w, 0);
	out.fh = ++w->last_fh;
	set_body(a, &out, sizeof(out));
}

static void do_lookup(struct wdata *w, const struct mock_req *req, struct answer *a)
{
	struct fuse_entry_out out = {.nodeid = w->nodeid,
				     .entry_valid = w->entry_valid,
				     .attr_valid = w->attr_valid,
				     .attr = w->lies ? w->lie : w->attr};

	set_body(a, &out, sizeof(out));
}

static void trick(const struct wdata_rule *r, struct answer *a)
{
	static const unsigned char zeros[4096];

	if (r->trick == WDATA_FAIL)
		a->err = (int)r->value;
	else
		set_body(a, zeros, r->value);
}

static struct answer perform(struct wdata *w, const struct mock_req *req)
{
	const struct wdata_rule *r = rule_for(w, req->h.opcode);
	struct answer a = {0};

	if (r && (r->trick == WDATA_FAIL || r->trick == WDATA_BODY)) {
		trick(r, &a);
		return a;
	}
	switch (req->h.opcode) {
	case FUSE_READ:
		do_read(w, req, r, &a);
		break;
	case FUSE_WRITE:
		do_write(w, req, r, &a);
		break;
	case FUSE_SETATTR:
		do_setattr(w, req, &a);
		break;
	case FUSE_GETATTR:
		do_getattr(w, req, &a);
		break;
	case FUSE_FALLOCATE:
		do_fallocate(w, req);
		break;
	case FUSE_COPY_FILE_RANGE:
	case FUSE_COPY_FILE_RANGE_64:
		do_copy(w, req, &a);
		break;
	case FUSE_OPEN:
		do_open(w, req, &a);
		break;
	case FUSE_LOOKUP:
		do_lookup(w, req, &a);
		break;
	case FUSE_FLUSH:
	case FUSE_FSYNC:
	case FUSE_RELEASE:
		break;
	default:
		a.err = ENOSYS;
	}
	return a;
}

/* ---- requests */

static void record_io(struct wdata_event *e, const struct mock_req *req)
{
	const struct fuse_read_in *r = req->arg;
	const struct fuse_write_in *w = req->arg;
	const struct fuse_fallocate_in *f = req->arg;
	const struct fuse_copy_file_range_in *c = req->arg;

	switch (req->h.opcode) {
	case FUSE_READ:
		e->offset = r->offset, e->size = r->size, e->fh = r->fh, e->flags = r->flags;
		e->lock_owner = r->lock_owner, e->op_flags = r->read_flags;
		return;
	case FUSE_WRITE:
		e->offset = w->offset, e->size = w->size, e->fh = w->fh, e->flags = w->flags;
		e->lock_owner = w->lock_owner, e->op_flags = w->write_flags;
		memcpy(e->head, req->data, pf__min_u64(req->data_len, sizeof(e->head)));
		return;
	case FUSE_FALLOCATE:
		e->offset = f->offset, e->size = f->length, e->fh = f->fh, e->op_flags = f->mode;
		return;
	case FUSE_COPY_FILE_RANGE:
	case FUSE_COPY_FILE_RANGE_64:
		e->offset = c->off_in, e->size = c->len, e->fh = c->fh_in;
		return;
	}
}

static void record(struct wdata *w, const struct mock_req *req)
{
	struct wdata_event *e = &w->events[w->nevents];

	if (w->nevents == WDATA_EVENTS)
		return;
	*e = (struct wdata_event){
	    .opcode = req->h.opcode, .uid = req->h.uid, .gid = req->h.gid, .pid = req->h.pid};
	record_io(e, req);
	if (req->h.opcode == FUSE_SETATTR)
		memcpy(&e->setattr, req->arg, sizeof(e->setattr));
	if (req->h.opcode == FUSE_FSYNC) {
		e->fh = ((const struct fuse_fsync_in *)req->arg)->fh;
		e->op_flags = ((const struct fuse_fsync_in *)req->arg)->fsync_flags;
	}
	if (req->h.opcode == FUSE_RELEASE)
		e->fh = ((const struct fuse_release_in *)req->arg)->fh;
	w->nevents++;
}

static void serve(struct mock_req *req, void *ctx)
{
	struct wdata *w = ctx;
	struct answer a;
	bool keep;

	if (req->h.opcode == FUSE_FORGET)
		return;
	pthread_mutex_lock(&w->lock);
	record(w, req);
	keep = w->hold && w->hold == req->h.opcode && w->nheld < WDATA_EVENTS;
	if (keep)
		w->held[w->nheld++] = req;
	else
		a = perform(w, req);
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
	if (!keep)
		send_answer(req, &a);
}

/* ---- start and end */

struct wdata *wdata_new(struct mock *m, const char *name, uint64_t nodeid, uint64_t size)
{
	struct wdata *w = calloc(1, sizeof(*w));

	w->m = m;
	w->nodeid = nodeid;
	w->attr = mock_attr(nodeid, S_IFREG | 0644, 0);
	w->attr_valid = w->entry_valid = MOCK_FOREVER;
	w->last_fh = nodeid * 100;
	snprintf(w->name, sizeof(w->name), "%s", name);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	w->capacity = 4096;
	w->data = malloc(w->capacity);
	set_size(w, size);
	for (uint64_t i = 0; i < size; i++)
		w->data[i] = wdata_byte(i);
	mock_fn_set(mock_any_times(mock_expect(m, FUSE_LOOKUP, 1, name)), serve, w);
	mock_fn_set(mock_any_times(mock_expect(m, 0, nodeid, NULL)), serve, w);
	return w;
}

void wdata_free(struct wdata *w)
{
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	free(w->data);
	free(w);
}

/* ---- what the server does */

void wdata_hold(struct wdata *w, uint32_t opcode)
{
	pthread_mutex_lock(&w->lock);
	w->hold = opcode;
	pthread_mutex_unlock(&w->lock);
}

static struct timespec patience(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += MOCK_PATIENCE_S;
	return t;
}

struct mock_req *wdata_held(struct wdata *w)
{
	struct timespec until = patience();
	struct mock_req *req = NULL;
	int r = 0;

	pthread_mutex_lock(&w->lock);
	while (w->taken == w->nheld && !r)
		r = pthread_cond_timedwait(&w->cond, &w->lock, &until);
	if (w->taken < w->nheld)
		req = w->held[w->taken++];
	pthread_mutex_unlock(&w->lock);
	if (!req) {
		mock_check(w->m);
		fail_msg("%s: nothing of what is held came", w->name);
	}
	return req;
}

void wdata_go(struct wdata *w, struct mock_req *req)
{
	struct answer a;

	pthread_mutex_lock(&w->lock);
	a = perform(w, req);
	pthread_mutex_unlock(&w->lock);
	send_answer(req, &a);
}

void wdata_unhold(struct wdata *w)
{
	struct mock_req *left[WDATA_EVENTS];
	int n = 0;

	pthread_mutex_lock(&w->lock);
	w->hold = 0;
	for (int i = 0; i < w->nheld; i++)
		if (!w->held[i]->answered)
			left[n++] = w->held[i];
	w->nheld = w->taken = 0;
	pthread_mutex_unlock(&w->lock);
	for (int i = 0; i < n; i++)
		wdata_go(w, left[i]);
}

void wdata_trick(struct wdata *w, struct wdata_rule rule)
{
	pthread_mutex_lock(&w->lock);
	assert_true(w->nrules < (int)PF_ARRAY_SIZE(w->rules));
	w->rules[w->nrules++] = rule;
	pthread_mutex_unlock(&w->lock);
}

void wdata_no_tricks(struct wdata *w)
{
	pthread_mutex_lock(&w->lock);
	w->nrules = 0;
	pthread_mutex_unlock(&w->lock);
}

void wdata_set_size(struct wdata *w, uint64_t size)
{
	pthread_mutex_lock(&w->lock);
	set_size(w, size);
	pthread_mutex_unlock(&w->lock);
}

void wdata_put(struct wdata *w, uint64_t offset, const void *bytes, size_t len)
{
	pthread_mutex_lock(&w->lock);
	put(w, offset, bytes, len);
	pthread_mutex_unlock(&w->lock);
}

void wdata_lie(struct wdata *w, const struct fuse_attr *attr)
{
	pthread_mutex_lock(&w->lock);
	w->lies = attr;
	if (attr)
		w->lie = *attr;
	pthread_mutex_unlock(&w->lock);
}

struct mock_expect *wdata_before(struct mock_expect *e)
{
	pthread_mutex_lock(&e->m->lock);
	pf__list_del(&e->link);
	pf__list_add_head(&e->m->expects, &e->link);
	pthread_mutex_unlock(&e->m->lock);
	return e;
}

/* ---- what came */

static int place_of(struct wdata *w, uint32_t opcode, int n)
{
	for (int i = 0; i < w->nevents; i++)
		if (w->events[i].opcode == opcode && !n--)
			return i;
	return -1;
}

int wdata_place(struct wdata *w, uint32_t opcode, int n)
{
	int at;

	pthread_mutex_lock(&w->lock);
	at = place_of(w, opcode, n);
	pthread_mutex_unlock(&w->lock);
	return at;
}

static int count(struct wdata *w, uint32_t opcode)
{
	int n = 0;

	for (int i = 0; i < w->nevents; i++)
		n += w->events[i].opcode == opcode;
	return n;
}

int wdata_count(struct wdata *w, uint32_t opcode)
{
	int n;

	pthread_mutex_lock(&w->lock);
	n = count(w, opcode);
	pthread_mutex_unlock(&w->lock);
	return n;
}

void wdata_wait(struct wdata *w, uint32_t opcode, int n)
{
	struct timespec until = patience();
	int r = 0, came;

	pthread_mutex_lock(&w->lock);
	while ((came = count(w, opcode)) < n && !r)
		r = pthread_cond_timedwait(&w->cond, &w->lock, &until);
	pthread_mutex_unlock(&w->lock);
	if (came < n)
		fail_msg("%s: %s came %d times, not %d", w->name, pf__op_name(opcode), came, n);
}

struct wdata_event wdata_nth(struct wdata *w, uint32_t opcode, int n)
{
	struct wdata_event e = {0};
	int at;

	pthread_mutex_lock(&w->lock);
	at = place_of(w, opcode, n);
	if (at >= 0)
		e = w->events[at];
	pthread_mutex_unlock(&w->lock);
	if (at < 0)
		fail_msg("%s: there is no %s number %d", w->name, pf__op_name(opcode), n);
	return e;
}

static size_t say_setattr(char *to, size_t room, uint32_t valid)
{
	uint32_t times = valid & (FATTR_MTIME | FATTR_CTIME);
	size_t n = snprintf(to, room, "SETATTR(%s%s%s%s%s%s,", valid & FATTR_MODE ? ",mode" : "",
			    valid & FATTR_UID ? ",uid" : "", valid & FATTR_GID ? ",gid" : "",
			    valid & FATTR_SIZE ? ",size" : "", valid & FATTR_ATIME ? ",atime" : "",
			    times == (FATTR_MTIME | FATTR_CTIME) ? ",times"
			    : times == FATTR_MTIME               ? ",mtime"
			    : times == FATTR_CTIME               ? ",ctime"
								 : "");
	char *comma = strchr(to, ',');

	memmove(comma, comma + 1, strlen(comma)); /* one too many at each end */
	to[n - 2] = ')';
	return n - 1;
}

static size_t say(char *to, size_t room, const struct wdata_event *e)
{
	switch (e->opcode) {
	case FUSE_LOOKUP:
	case FUSE_GETATTR:
	case FUSE_OPEN:
	case FUSE_ACCESS:
	case FUSE_STATX:
	case FUSE_GETXATTR:
		return 0;
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_FALLOCATE:
	case FUSE_COPY_FILE_RANGE:
	case FUSE_COPY_FILE_RANGE_64:
		return snprintf(to, room, "%s(%" PRIu64 ",%" PRIu64 ")", pf__op_name(e->opcode),
				e->offset, e->size);
	case FUSE_SETATTR:
		return say_setattr(to, room, e->setattr.valid);
	default:
		return snprintf(to, room, "%s", pf__op_name(e->opcode));
	}
}

const char *wdata_text(struct wdata *w)
{
	static char text[65536];
	size_t at = 0, n;

	pthread_mutex_lock(&w->lock);
	text[0] = 0;
	for (; w->seen < w->nevents && at + 200 < sizeof(text); w->seen++) {
		size_t gap = at ? 1 : 0;

		n = say(text + at + gap, sizeof(text) - at - gap, &w->events[w->seen]);
		if (n && gap)
			text[at] = ' ';
		at += n ? n + gap : 0;
	}
	pthread_mutex_unlock(&w->lock);
	text[at] = 0;
	return text;
}

uint64_t wdata_size(struct wdata *w)
{
	uint64_t size;

	pthread_mutex_lock(&w->lock);
	size = w->attr.size;
	pthread_mutex_unlock(&w->lock);
	return size;
}

void wdata_assert_at(struct wdata *w, uint64_t offset, const void *bytes, size_t len)
{
	const unsigned char *want = bytes;
	uint64_t size, bad = UINT64_MAX;
	int has = 0;

	pthread_mutex_lock(&w->lock);
	size = w->attr.size;
	for (size_t i = 0; i < len && bad == UINT64_MAX; i++)
		if (offset + i >= size || w->data[offset + i] != want[i]) {
			bad = i;
			has = offset + i < size ? w->data[offset + i] : -1;
		}
	pthread_mutex_unlock(&w->lock);
	if (bad != UINT64_MAX)
		fail_msg("%s: the server has %d at %" PRIu64 ", not %d (its size is %" PRIu64 ")",
			 w->name, has, offset + bad, want[bad], size);
}

void wdata_assert(struct wdata *w, const void *bytes, size_t len)
{
	assert_int_equal(wdata_size(w), len);
	wdata_assert_at(w, 0, bytes, len);
}
