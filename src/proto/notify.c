/* SPDX-License-Identifier: BSD-2-Clause */
/* Notifications taken apart. Their sizes are judged before a byte of the tail is looked at. */
#include "base/arith.h"
#include "proto/proto.h"
#include <errno.h>
#include <string.h>

/* What stands behind the fixed part, when the fixed part itself is there. */
static const char *tail_of(const void *body, size_t len, void *fixed, size_t size)
{
	if (len < size)
		return NULL;
	memcpy(fixed, body, size);
	return (const char *)body + size;
}

/* A name of namelen bytes and its NUL, and nothing else. */
static int take_name(const struct pf__dialect *d, const char *tail, size_t len, uint32_t namelen,
		     struct pf__notify *n)
{
	if (namelen > d->name_max)
		return -ENAMETOOLONG;
	if (len != (size_t)namelen + 1 || tail[namelen] != '\0')
		return -EINVAL;
	n->name = tail;
	n->namelen = namelen;
	return 0;
}

/* A part of a file, cut where file offsets end. */
static int take_range(uint64_t offset, uint32_t size, struct pf__notify *n)
{
	if (offset >= INT64_MAX)
		return -EINVAL;
	n->off = offset;
	n->len = pf__min_u64(size, INT64_MAX - offset);
	return 0;
}

static int parse_poll(const void *body, size_t len, struct pf__notify *n)
{
	struct fuse_notify_poll_wakeup_out o;

	if (len != sizeof o)
		return -EINVAL;
	memcpy(&o, body, sizeof o);
	n->kh = o.kh;
	return 0;
}

static int parse_inval_inode(const void *body, size_t len, struct pf__notify *n)
{
	struct fuse_notify_inval_inode_out o;

	if (len != sizeof o)
		return -EINVAL;
	memcpy(&o, body, sizeof o);
	n->nodeid = o.ino;
	n->off = o.off;
	n->len = o.len;
	return 0;
}

static int parse_inval_entry(const struct pf__dialect *d, const void *body, size_t len,
			     struct pf__notify *n)
{
	struct fuse_notify_inval_entry_out o;
	const char *tail = tail_of(body, len, &o, sizeof o);

	if (!tail)
		return -EINVAL;
	n->nodeid = o.parent;
	n->flags = o.flags;
	return take_name(d, tail, len - sizeof o, o.namelen, n);
}

static int parse_delete(const struct pf__dialect *d, const void *body, size_t len,
			struct pf__notify *n)
{
	struct fuse_notify_delete_out o;
	const char *tail = tail_of(body, len, &o, sizeof o);

	if (!tail)
		return -EINVAL;
	n->nodeid = o.parent;
	n->child = o.child;
	return take_name(d, tail, len - sizeof o, o.namelen, n);
}

static int parse_store(const void *body, size_t len, struct pf__notify *n)
{
	struct fuse_notify_store_out o;
	const char *tail = tail_of(body, len, &o, sizeof o);

	if (!tail || len - sizeof o != o.size)
		return -EINVAL;
	n->nodeid = o.nodeid;
	n->data = tail;
	return take_range(o.offset, o.size, n);
}

static int parse_retrieve(const void *body, size_t len, struct pf__notify *n)
{
	struct fuse_notify_retrieve_out o;

	if (len != sizeof o)
		return -EINVAL;
	memcpy(&o, body, sizeof o);
	n->unique = o.notify_unique;
	n->nodeid = o.nodeid;
	/* Beyond any file there is nothing, which is an answer. */
	n->off = (int64_t)o.offset;
	n->len = o.size;
	return 0;
}

static int parse_prune(const void *body, size_t len, struct pf__notify *n)
{
	struct fuse_notify_prune_out o;
	const char *tail = tail_of(body, len, &o, sizeof o);

	if (!tail || len - sizeof o != (uint64_t)o.count * sizeof(uint64_t))
		return -EINVAL;
	n->count = o.count;
	n->data = tail;
	return 0;
}

int pf__parse_notify(const struct pf__dialect *d, int32_t code, const void *body, size_t len,
		     struct pf__notify *n)
{
	memset(n, 0, sizeof *n);
	n->code = code;
	switch (code) {
	case FUSE_NOTIFY_POLL:
		return parse_poll(body, len, n);
	case FUSE_NOTIFY_INVAL_INODE:
		return parse_inval_inode(body, len, n);
	case FUSE_NOTIFY_INVAL_ENTRY:
		return parse_inval_entry(d, body, len, n);
	case FUSE_NOTIFY_STORE:
		return parse_store(body, len, n);
	case FUSE_NOTIFY_RETRIEVE:
		return parse_retrieve(body, len, n);
	case FUSE_NOTIFY_DELETE:
		return parse_delete(d, body, len, n);
	case FUSE_NOTIFY_PRUNE:
		return parse_prune(body, len, n);
	case FUSE_NOTIFY_RESEND:
	case FUSE_NOTIFY_INC_EPOCH:
		return len ? -EINVAL : 0;
	}
	return -EINVAL;
}
