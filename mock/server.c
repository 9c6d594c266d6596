// SPDX-License-Identifier: BSD-2-Clause
/* The server's end: reading requests, finding who expects them, answering. */
#include "base/arith.h"
#include "mock/mock.h"
#include "proto/proto.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void mock_fail(struct mock *m, const char *fmt, ...)
{
	size_t at = strlen(m->errors);
	va_list ap;

	va_start(ap, fmt);
	if (at + 2 < sizeof(m->errors)) {
		vsnprintf(m->errors + at, sizeof(m->errors) - at - 1, fmt, ap);
		strcat(m->errors, "\n");
		if (getenv("MOCK_VERBOSE"))
			fprintf(stderr, "mock: %s", m->errors + at);
	}
	va_end(ap);
}

/* ---- lookup counts */

static struct mock_count *count_of(struct mock *m, uint64_t nodeid)
{
	for (size_t i = 0; i < m->ncounts; i++)
		if (m->counts[i].nodeid == nodeid)
			return &m->counts[i];
	m->counts = realloc(m->counts, (m->ncounts + 1) * sizeof(*m->counts));
	m->counts[m->ncounts] = (struct mock_count){.nodeid = nodeid};
	return &m->counts[m->ncounts++];
}

/* n is -1 when the answer did not get through. */
static void count_given(struct mock *m, uint32_t opcode, const void *body, size_t len, int n)
{
	uint64_t nodeid;

	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		if (len < 8)
			return;
		memcpy(&nodeid, body, 8);
		if (nodeid)
			count_of(m, nodeid)->given += n;
		return;
	case FUSE_READDIRPLUS:
		for (size_t pos = 0; pos + sizeof(struct fuse_direntplus) <= len;) {
			struct fuse_direntplus d;
			const char *name = (const char *)body + pos + sizeof(d);

			memcpy(&d, (const char *)body + pos, sizeof(d));
			pos += PF_ALIGN_UP(sizeof(d) + d.dirent.namelen, (size_t)8);
			if (pos > len)
				return;
			if (d.entry_out.nodeid && strncmp(name, ".", d.dirent.namelen) &&
			    strncmp(name, "..", d.dirent.namelen))
				count_of(m, d.entry_out.nodeid)->given += n;
		}
	}
}

static void count_taken(struct mock *m, uint64_t nodeid, uint64_t n)
{
	struct mock_count *c = count_of(m, nodeid);

	c->taken += n;
	if (c->taken > c->given)
		mock_fail(m,
			  "FORGET: node %" PRIu64 " was given %" PRIu64 " times, %" PRIu64
			  " came back",
			  nodeid, c->given, c->taken);
}

static void take_forgets(struct mock *m, const struct mock_req *r)
{
	if (r->h.opcode == FUSE_FORGET) {
		count_taken(m, r->h.nodeid, ((const struct fuse_forget_in *)r->arg)->nlookup);
		return;
	}
	for (size_t at = 0; at + 16 <= r->data_len; at += 16) {
		struct fuse_forget_one one;

		memcpy(&one, (const char *)r->data + at, sizeof(one));
		if ((one.nodeid == FUSE_ROOT_ID && !m->o.root_forget) || !one.nlookup)
			mock_fail(m, "BATCH_FORGET of node %" PRIu64 ", %" PRIu64 " lookups",
				  one.nodeid, one.nlookup);
		count_taken(m, one.nodeid, one.nlookup);
	}
}

uint64_t mock_forgotten(struct mock *m, uint64_t nodeid)
{
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = count_of(m, nodeid)->taken;
	pthread_mutex_unlock(&m->lock);
	return n;
}

/* ---- sending */

int mock_send_raw(struct mock *m, const void *bytes, size_t len)
{
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};
	struct pf_inproc *channel;
	int fd;

	pthread_mutex_lock(&m->lock);
	fd = m->fd;
	channel = m->hung_up ? NULL : m->channel;
	pthread_mutex_unlock(&m->lock);
	if (channel)
		return pf_inproc_reply(channel, &iov, 1);
	if (fd < 0)
		return -ENODEV;
	return send(fd, bytes, len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int mock_send(struct mock *m, uint64_t unique, int32_t error, const void *body, size_t len)
{
	struct fuse_out_header h = {.len = sizeof(h) + len, .error = error, .unique = unique};
	char *msg = malloc(sizeof(h) + len);
	int r;

	memcpy(msg, &h, sizeof(h));
	if (len)
		memcpy(msg + sizeof(h), body, len);
	r = mock_send_raw(m, msg, sizeof(h) + len);
	free(msg);
	return r;
}

void mock_notify(struct mock *m, int32_t code, const void *body, size_t len)
{
	mock_send(m, 0, code, body, len);
}

/* Bodies are written in the newest layout; an old server's are shorter. */
static size_t shorten(struct mock *m, uint32_t opcode, unsigned char *body, size_t len)
{
	if (m->minor_effective >= 9)
		return opcode == FUSE_INIT && m->minor_effective < 23 && len == 64 ? 24 : len;
	switch (opcode) {
	case FUSE_INIT:
		return len == 64 ? 24 : len;
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
		return len == 128 ? 120 : len;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return len == 104 ? 96 : len;
	case FUSE_CREATE:
		if (len != 144)
			return len;
		memmove(body + 120, body + 128, 16);
		return 136;
	default:
		return len;
	}
}

void mock_answer(struct mock_req *req, const void *body, size_t len)
{
	struct mock *m = req->m;
	unsigned char *copy = malloc(len + 1);

	pthread_mutex_lock(&m->lock);
	if (req->answered)
		mock_fail(m, "the test answers opcode %u twice", req->h.opcode);
	req->answered = true;
	count_given(m, req->h.opcode, body, len, 1); /* before a FORGET can come */
	pthread_mutex_unlock(&m->lock);
	if (len)
		memcpy(copy, body, len);
	if (mock_send(m, req->h.unique, 0, copy, shorten(m, req->h.opcode, copy, len)) == -ENOMEM) {
		pthread_mutex_lock(&m->lock);
		count_given(m, req->h.opcode, body, len, -1);
		pthread_mutex_unlock(&m->lock);
	}
	free(copy);
}

void mock_answer_error(struct mock_req *req, int err)
{
	struct mock *m = req->m;

	pthread_mutex_lock(&m->lock);
	req->answered = true;
	pthread_mutex_unlock(&m->lock);
	mock_send(m, req->h.unique, -err, NULL, 0);
}

void mock_notify_inval_entry(struct mock *m, uint64_t parent, const char *name, uint32_t flags)
{
	struct fuse_notify_inval_entry_out o = {
	    .parent = parent, .namelen = strlen(name), .flags = flags};
	char buf[sizeof(o) + 256];

	memcpy(buf, &o, sizeof(o));
	strcpy(buf + sizeof(o), name);
	mock_notify(m, FUSE_NOTIFY_INVAL_ENTRY, buf, sizeof(o) + o.namelen + 1);
}

void mock_notify_inval_inode(struct mock *m, uint64_t nodeid, int64_t off, int64_t len)
{
	struct fuse_notify_inval_inode_out o = {.ino = nodeid, .off = off, .len = len};

	mock_notify(m, FUSE_NOTIFY_INVAL_INODE, &o, sizeof(o));
}

void mock_notify_delete(struct mock *m, uint64_t parent, uint64_t child, const char *name)
{
	struct fuse_notify_delete_out o = {
	    .parent = parent, .child = child, .namelen = strlen(name)};
	char buf[sizeof(o) + 256];

	memcpy(buf, &o, sizeof(o));
	strcpy(buf + sizeof(o), name);
	mock_notify(m, FUSE_NOTIFY_DELETE, buf, sizeof(o) + o.namelen + 1);
}

/* ---- requests */

static void log_request(struct mock *m, const struct mock_req *r)
{
	char word[600];
	int n;

	if (r->h.opcode == FUSE_INIT || r->h.opcode == FUSE_FORGET ||
	    r->h.opcode == FUSE_BATCH_FORGET)
		return;
	n = snprintf(word, sizeof(word), "%s%s(%" PRIu64 "%s%.200s%s%.200s)", m->log_len ? " " : "",
		     pf__op_name(r->h.opcode), r->h.nodeid, r->name ? "," : "",
		     r->name ? r->name : "", r->name2 ? "," : "", r->name2 ? r->name2 : "");
	m->log = realloc(m->log, m->log_len + n + 1);
	memcpy(m->log + m->log_len, word, n + 1);
	m->log_len += n;
}

static struct mock_expect *find_expect(struct mock *m, const struct mock_req *r)
{
	struct pf__list *l;

	pf__list_for_each (l, &m->expects) {
		struct mock_expect *e = pf__list_entry(l, struct mock_expect, link);

		if (e->seen >= e->max && e->max)
			continue;
		if ((e->opcode && e->opcode != r->h.opcode) ||
		    (!e->opcode && r->h.opcode == FUSE_INIT) ||
		    (e->nodeid != MOCK_ANY && e->nodeid != r->h.nodeid) ||
		    (e->name && (!r->name || strcmp(e->name, r->name))) ||
		    (e->name2 && (!r->name2 || strcmp(e->name2, r->name2))) ||
		    (e->match && !e->match(r, e->match_ctx)))
			continue;
		return e;
	}
	return NULL;
}

static void answer_init(struct mock_req *r)
{
	struct mock *m = r->m;
	struct fuse_init_out out = m->o.init;

	if (!out.major)
		out.major = FUSE_MAJOR;
	out.minor = m->minor_effective;
	out.flags = (uint32_t)m->o.flags;
	out.flags2 = m->o.flags >> 32;
	if (out.flags2)
		out.flags |= FUSE_INIT_EXT;
	if (!out.max_readahead)
		out.max_readahead = ((const struct fuse_init_in *)r->arg)->max_readahead;
	if (!out.max_write)
		out.max_write = 128 << 10;
	if (!out.time_gran)
		out.time_gran = 1;
	mock_answer(r, &out, sizeof(out));
}

/* What is answered without being expected. True when it was. */
static bool answer_by_default(struct mock_req *r)
{
	struct mock *m = r->m;

	switch (r->h.opcode) {
	case FUSE_INIT:
		if (!m->o.init_fn || !m->o.init_fn(m, r, m->o.init_ctx))
			answer_init(r);
		m->init_done = true;
		return true;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		return true;
	case FUSE_DESTROY:
		if (m->o.strict_destroy)
			return false;
		m->destroyed = true;
		mock_answer(r, NULL, 0);
		return true;
	case FUSE_ACCESS:
	case FUSE_BMAP:
	case FUSE_STATX:
		mock_answer_error(r, ENOSYS);
		return true;
	case FUSE_GETATTR:
		if (r->h.nodeid == FUSE_ROOT_ID && !m->o.no_root_auto) {
			struct fuse_attr_out a = {
			    .attr_valid = m->o.root_attr_valid,
			    .attr = mock_attr(1, S_IFDIR | (m->o.root_mode ? m->o.root_mode : 0755),
					      0)};

			a.attr.uid = m->o.root_uid;
			a.attr.gid = m->o.root_gid;
			mock_answer(r, &a, sizeof(a));
			return true;
		}
		return false;
	default:
		return false;
	}
}

static void run_expect(struct mock_expect *e, struct mock_req *r)
{
	if (e->fn)
		e->fn(r, e->fn_ctx);
	else if (e->error)
		mock_answer_error(r, -e->error);
	else
		mock_answer(r, e->body, e->body_len);
}

/* One message from the client, on whatever thread. */
void mock_dispatch(struct mock *m, const void *msg, size_t len)
{
	struct mock_req *r;
	struct mock_expect *e;
	bool keep = false;

	pthread_mutex_lock(&m->lock);
	r = mock_parse(m, msg, len);
	if (len >= sizeof(r->h)) {
		mock_audit(m, r);
		if (r->h.opcode < PF_ARRAY_SIZE(m->opcodes))
			m->opcodes[r->h.opcode]++;
		if ((r->h.opcode == FUSE_FORGET || r->h.opcode == FUSE_BATCH_FORGET) && r->arg)
			take_forgets(m, r);
	}
	/* Kept until the end: handlers may answer later. */
	pf__list_add_tail(&m->kept, &r->link);
	e = find_expect(m, r);
	if (len >= sizeof(r->h) && !(e && e->quiet))
		log_request(m, r);
	if (e) {
		e->seen++;
		if (!e->max)
			mock_fail(m, "%s(%" PRIu64 ",%s) came, which should not",
				  pf__op_name(r->h.opcode), r->h.nodeid, r->name ? r->name : "");
		if (e->hold) {
			pf__list_del(&r->link);
			pf__list_add_tail(&e->held, &r->link);
			keep = true;
		}
	}
	pthread_cond_broadcast(&m->cond);
	pthread_mutex_unlock(&m->lock);
	if (keep || (e && e->silent))
		return;
	if (e) {
		run_expect(e, r);
	} else if (!answer_by_default(r)) {
		pthread_mutex_lock(&m->lock);
		mock_fail(m, "unexpected %s(%" PRIu64 "%s%s)", pf__op_name(r->h.opcode),
			  r->h.nodeid, r->name ? "," : "", r->name ? r->name : "");
		pthread_mutex_unlock(&m->lock);
		mock_answer_error(r, EIO);
	}
}
