/* SPDX-License-Identifier: BSD-2-Clause */
/* What the server says unasked, and what else the connection tells: handed to caches and waiters.
 */
#include "base/arith.h"
#include "cache/dircache.h"
#include "vfs/internal.h"
#include <errno.h>

/* Set once the connection is ours. */
static struct pf__io *io_of(struct pf__super *s)
{
	return __atomic_load_n(&s->io, __ATOMIC_ACQUIRE);
}

static int store(struct pf__super *s, const struct pf__notify *n)
{
	struct pf__inode *inode = pf__inode_find(s->cache, n->nodeid);
	struct pf__io *io = io_of(s);
	struct pf__attr attr;
	int r = 0;

	if (!inode)
		return -ENOENT;
	if (!S_ISREG(pf__inode_type(inode)) || n->off < 0) {
		r = -EINVAL;
	} else if (n->len > 0) {
		uint64_t off = (uint64_t)n->off;
		uint64_t end = pf__min_u64(off + (uint64_t)n->len, INT64_MAX);

		pf__inode_attr(inode, 0, 0, &attr);
		if (io) {
			struct iovec iov = {(void *)n->data, (size_t)(end - off)};
			struct pf__slice bytes = {&iov, 1, 0};

			pf__io_store(io, inode, off, n->data, iov.iov_len,
				     pf__max_u64(end, attr.attr.size));
			if (end > attr.attr.size)
				pf__io_note_store(io, inode, off, end, &bytes);
		} else if (end > attr.attr.size) {
			pf__inode_local_write(s->cache, inode, end, false, 0);
		}
	}
	pf__inode_put(s->cache, inode);
	return r;
}

static int retrieve_data(struct pf__super *s, const struct pf__notify *n, struct pf__inode *inode,
			 struct iovec *data)
{
	struct pf__io *io = io_of(s);
	struct pf__attr attr;
	size_t max;

	if (!S_ISREG(pf__inode_type(inode)) || !io)
		return -EINVAL;
	max = (size_t)pf__min_u64((uint64_t)n->len, s->max_write);
	data->iov_base = pf__malloc(max ? max : 1);
	if (!data->iov_base)
		return -ENOMEM;
	pf__inode_attr(inode, 0, 0, &attr);
	data->iov_len =
	    pf__io_retrieve(io, inode, (uint64_t)n->off, data->iov_base, max, attr.attr.size);
	return 0;
}

static int retrieve(struct pf__super *s, const struct pf__notify *n)
{
	struct pf__inode *inode = pf__inode_find(s->cache, n->nodeid);
	struct iovec data = {0};
	int r;

	if (!inode)
		return -ENOENT;
	r = retrieve_data(s, n, inode, &data);
	/* Before the answer: who has it may stop, and then all lookups should be given back. */
	pf__inode_put(s->cache, inode);
	if (!r)
		r = pf__conn_notify_reply(s->conn, n, &data, data.iov_len ? 1 : 0);
	pf__free(data.iov_base);
	return r;
}

/* Attributes are void; the data of the range, too, if there is one. */
static int inval_inode(struct pf__super *s, const struct pf__notify *n)
{
	int r = pf__cache_inval_inode(s->cache, n->nodeid);
	struct pf__io *io = io_of(s);
	struct pf__inode *inode;

	if (r || n->off < 0 || !io)
		return r;
	inode = pf__inode_find(s->cache, n->nodeid);
	if (!inode)
		return 0;
	pf__dircache_drop(s->cache, inode); /* a directory's data is its listing */
	pf__io_drop(io, inode, (uint64_t)n->off, n->len > 0 ? (uint64_t)n->len : UINT64_MAX);
	pf__io_flush_begin(io, inode, (uint64_t)n->off, UINT64_MAX);
	pf__inode_put(s->cache, inode);
	return 0;
}

static void prune(struct pf__super *s, const struct pf__notify *n)
{
	uint64_t nodeid;

	for (uint32_t i = 0; i < n->count; i++) {
		__builtin_memcpy(&nodeid, (const char *)n->data + i * sizeof nodeid, sizeof nodeid);
		pf__cache_prune(s->cache, nodeid);
	}
}

static int notify(void *ctx, const struct pf__notify *n)
{
	struct pf__super *s = ctx;

	switch (n->code) {
	case FUSE_NOTIFY_POLL:
		pf__polls_wake(s->polls, n->kh);
		return 0;
	case FUSE_NOTIFY_INVAL_INODE:
		return inval_inode(s, n);
	case FUSE_NOTIFY_INVAL_ENTRY:
		return pf__cache_inval_entry(s->cache, n->nodeid, n->name, n->namelen,
					     n->flags & FUSE_EXPIRE_ONLY);
	case FUSE_NOTIFY_DELETE:
		return pf__cache_delete(s->cache, n->nodeid, n->child, n->name, n->namelen);
	case FUSE_NOTIFY_STORE:
		return store(s, n);
	case FUSE_NOTIFY_RETRIEVE:
		return retrieve(s, n);
	case FUSE_NOTIFY_INC_EPOCH:
		pf__cache_inc_epoch(s->cache);
		return 0;
	case FUSE_NOTIFY_PRUNE:
		prune(s, n);
		return 0;
	default:
		return -EINVAL;
	}
}

static void dead(void *ctx)
{
	struct pf__super *s = ctx;

	pf__locks_wake_all(s->locks);
	pf__polls_wake_all(s->polls);
	if (io_of(s))
		pf__io_dead(io_of(s));
}

static void tick(void *ctx, uint64_t now)
{
	struct pf__super *s = ctx;

	pf__cache_tick(s->cache, now);
	if (io_of(s))
		pf__io_tick(io_of(s));
}

static void hanging_up(void *ctx)
{
	struct pf__super *s = ctx;

	if (s->owner_ops && s->owner_ops->hanging_up)
		s->owner_ops->hanging_up(s->owner);
}

const struct pf__conn_ops pf__super_conn_ops = {
    .notify = notify, .dead = dead, .hanging_up = hanging_up, .tick = tick};
