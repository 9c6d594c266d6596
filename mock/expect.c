// SPDX-License-Identifier: BSD-2-Clause
/* What a test expects, and the bodies of the usual answers. */
#include "base/arith.h"
#include "mock/mock.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

struct mock_expect *mock_expect(struct mock *m, uint32_t opcode, uint64_t nodeid, const char *name)
{
	struct mock_expect *e = calloc(1, sizeof(*e));

	e->m = m;
	e->opcode = opcode;
	e->nodeid = nodeid;
	e->name = name ? strdup(name) : NULL;
	e->min = e->max = 1;
	pf__list_init(&e->held);
	pthread_mutex_lock(&m->lock);
	pf__list_add_tail(&m->expects, &e->link);
	pthread_mutex_unlock(&m->lock);
	return e;
}

struct mock_expect *mock_times(struct mock_expect *e, int n)
{
	e->min = e->max = n;
	return e;
}

struct mock_expect *mock_any_times(struct mock_expect *e)
{
	e->min = 0;
	e->max = INT32_MAX;
	return e;
}

struct mock_expect *mock_name2(struct mock_expect *e, const char *name2)
{
	e->name2 = strdup(name2);
	return e;
}

struct mock_expect *mock_match(struct mock_expect *e, bool (*fn)(const struct mock_req *, void *),
			       void *ctx)
{
	e->match = fn;
	e->match_ctx = ctx;
	return e;
}

struct mock_expect *mock_error(struct mock_expect *e, int err)
{
	e->error = -err;
	return e;
}

struct mock_expect *mock_body(struct mock_expect *e, const void *body, size_t len)
{
	void *copy = malloc(len ? len : 1);

	memcpy(copy, body, len);
	free(e->body);
	e->body = copy;
	e->body_len = len;
	return e;
}

struct mock_expect *mock_fn_set(struct mock_expect *e, mock_fn fn, void *ctx)
{
	e->fn = fn;
	e->fn_ctx = ctx;
	return e;
}

struct mock_expect *mock_hold(struct mock_expect *e)
{
	e->hold = true;
	return e;
}

struct mock_expect *mock_silent(struct mock_expect *e)
{
	e->silent = true;
	return e;
}

/* ---- bodies */

struct fuse_attr mock_attr(uint64_t nodeid, uint32_t mode, uint64_t size)
{
	return (struct fuse_attr){.ino = nodeid,
				  .size = size,
				  .blocks = (size + 511) / 512,
				  .mode = mode,
				  .nlink = 1,
				  .blksize = 4096};
}

struct fuse_entry_out mock_entry(uint64_t nodeid, uint32_t mode, uint64_t size,
				 uint64_t entry_valid, uint64_t attr_valid)
{
	return (struct fuse_entry_out){.nodeid = nodeid,
				       .generation = 0,
				       .entry_valid = entry_valid,
				       .attr_valid = attr_valid,
				       .attr = mock_attr(nodeid, mode, size)};
}

static size_t put_dirent(char *p, uint64_t ino, uint64_t off, uint32_t type, const char *name)
{
	struct fuse_dirent d = {.ino = ino, .off = off, .namelen = strlen(name), .type = type};
	size_t size = PF_ALIGN_UP(sizeof(d) + d.namelen, (size_t)8);

	memset(p, 0, size);
	memcpy(p, &d, sizeof(d));
	memcpy(p + sizeof(d), name, d.namelen);
	return size;
}

size_t mock_dirent(void *buf, size_t len, uint64_t ino, uint64_t off, uint32_t type,
		   const char *name)
{
	return len + put_dirent((char *)buf + len, ino, off, type, name);
}

size_t mock_direntplus(void *buf, size_t len, const struct fuse_entry_out *entry, uint64_t off,
		       const char *name)
{
	char *p = (char *)buf + len;

	memcpy(p, entry, sizeof(*entry));
	return len + sizeof(*entry) +
	       put_dirent(p + sizeof(*entry), entry->attr.ino, off, IFTODT(entry->attr.mode), name);
}

/* ---- the usual */

struct mock_expect *mock_lookup_entry(struct mock *m, uint64_t parent, const char *name,
				      const struct fuse_entry_out *e)
{
	return mock_body(mock_expect(m, FUSE_LOOKUP, parent, name), e, sizeof(*e));
}

struct mock_expect *mock_lookup(struct mock *m, uint64_t parent, const char *name, uint64_t nodeid,
				uint32_t mode, uint64_t size, uint64_t valid)
{
	struct fuse_entry_out e = mock_entry(nodeid, mode, size, valid, valid);

	return mock_lookup_entry(m, parent, name, &e);
}

struct mock_expect *mock_lookup_error(struct mock *m, uint64_t parent, const char *name, int err)
{
	return mock_error(mock_expect(m, FUSE_LOOKUP, parent, name), err);
}

struct mock_expect *mock_getattr(struct mock *m, uint64_t nodeid, uint32_t mode, uint64_t size,
				 uint64_t valid)
{
	struct fuse_attr_out a = {.attr_valid = valid, .attr = mock_attr(nodeid, mode, size)};

	return mock_body(mock_expect(m, FUSE_GETATTR, nodeid, NULL), &a, sizeof(a));
}

struct mock_expect *mock_open(struct mock *m, uint64_t nodeid, uint32_t open_flags)
{
	struct fuse_open_out o = {.fh = MOCK_FH, .open_flags = open_flags};

	return mock_body(mock_expect(m, FUSE_OPEN, nodeid, NULL), &o, sizeof(o));
}

struct mock_expect *mock_opendir(struct mock *m, uint64_t nodeid, uint32_t open_flags)
{
	struct fuse_open_out o = {.fh = MOCK_FH, .open_flags = open_flags};

	return mock_body(mock_expect(m, FUSE_OPENDIR, nodeid, NULL), &o, sizeof(o));
}

struct mock_expect *mock_empty(struct mock *m, uint32_t opcode, uint64_t nodeid)
{
	return mock_expect(m, opcode, nodeid, NULL);
}

struct mock_expect *mock_release(struct mock *m, uint64_t nodeid)
{
	return mock_empty(m, FUSE_RELEASE, nodeid);
}

struct mock_expect *mock_releasedir(struct mock *m, uint64_t nodeid)
{
	return mock_empty(m, FUSE_RELEASEDIR, nodeid);
}

struct mock_expect *mock_flush(struct mock *m, uint64_t nodeid)
{
	return mock_empty(m, FUSE_FLUSH, nodeid);
}

struct range {
	uint64_t offset;
	uint32_t size;
};

static struct range *range_new(uint64_t offset, uint32_t size)
{
	struct range *r = malloc(sizeof(*r));

	*r = (struct range){offset, size};
	return r;
}

static bool is_read_of(const struct mock_req *req, void *ctx)
{
	const struct fuse_read_in *in = req->arg;
	const struct range *r = ctx;

	return in && in->offset == r->offset && in->size == r->size;
}

static bool is_write_of(const struct mock_req *req, void *ctx)
{
	const struct fuse_write_in *in = req->arg;
	const struct range *r = ctx;

	return in && in->offset == r->offset && in->size == r->size;
}

struct mock_expect *mock_read(struct mock *m, uint64_t nodeid, uint64_t offset, uint32_t size,
			      const void *data, size_t len)
{
	struct mock_expect *e = mock_expect(m, FUSE_READ, nodeid, NULL);

	mock_match(e, is_read_of, e->own_ctx = range_new(offset, size));
	return mock_body(e, data, len);
}

struct mock_expect *mock_write(struct mock *m, uint64_t nodeid, uint64_t offset, uint32_t size,
			       uint32_t written)
{
	struct fuse_write_out out = {.size = written};
	struct mock_expect *e = mock_expect(m, FUSE_WRITE, nodeid, NULL);

	mock_match(e, is_write_of, e->own_ctx = range_new(offset, size));
	return mock_body(e, &out, sizeof(out));
}
