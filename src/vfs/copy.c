/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * copy_file_range(2): the server copies where it can, by the newest request that it knows; else we
 * read and write, within one file system only, as the kernel does.
 */
#include "base/arith.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "vfs/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

#define MAX_COUNT     0x7ffff000u
#define OLD_MAX_COUNT (UINT32_MAX & ~4095u) /* the older reply counts in 32 bits */
#define CHUNK         (256u << 10)

/* One copy, its checks passed. */
struct copy {
	struct pf__open_file *in, *out;
	off_t pos_in, pos_out;
	size_t length;
};

static void cut_to_size(struct copy *c, uint64_t size)
{
	uint64_t pos = (uint64_t)c->pos_in;

	c->length = pos < size ? pf__min_u64(c->length, size - pos) : 0;
}

static int check_range(struct copy *c)
{
	struct pf__attr attr;
	off_t end;

	if (c->pos_in < 0 || c->pos_out < 0)
		return -EINVAL;
	if (__builtin_add_overflow(c->pos_in, (off_t)c->length, &end) ||
	    __builtin_add_overflow(c->pos_out, (off_t)c->length, &end))
		return -EOVERFLOW;
	if (c->in->inode == c->out->inode && c->pos_in < c->pos_out + (off_t)c->length &&
	    c->pos_out < c->pos_in + (off_t)c->length)
		return -EINVAL;
	if (pf__inode_attr(c->in->inode, PF_ATTR_SIZE, pf__now_coarse(), &attr))
		cut_to_size(c, attr.attr.size);
	return 0;
}

static uint32_t best_op(const struct pf__super *s)
{
	static const uint32_t ops[] = {FUSE_COPY_FILE_RANGE_64, FUSE_COPY_FILE_RANGE};

	for (size_t i = 0; i < PF_ARRAY_SIZE(ops); i++)
		if (s->got->dialect.minor >= pf__op_get(ops[i])->since &&
		    !pf__conn_nosys(s->conn, ops[i]))
			return ops[i];
	return 0;
}

static ssize_t ask_server(struct copy *c, const struct pf__from *f, uint32_t op)
{
	union {
		struct fuse_copy_file_range_out wide;
		struct fuse_write_out narrow;
	} out;
	bool wide = op == FUSE_COPY_FILE_RANGE_64;
	struct fuse_copy_file_range_in in = {.fh_in = c->in->io.fh,
					     .off_in = (uint64_t)c->pos_in,
					     .nodeid_out = pf__inode_nodeid(c->out->inode),
					     .fh_out = c->out->io.fh,
					     .off_out = (uint64_t)c->pos_out,
					     .len = c->length};
	struct pf__req r;

	if (!wide)
		in.len = pf__min_u64(in.len, OLD_MAX_COUNT);
	pf__req_init(&r, &f->caller, op, pf__inode_nodeid(c->in->inode));
	pf__req_in(&r, &in, sizeof in);
	pf__req_out(&r, &out, wide ? sizeof out.wide : sizeof out.narrow);
	r.expect_size = in.len;
	pf__request(f->super->conn, &r);
	if (r.error == -ENOSYS)
		pf__conn_set_nosys(f->super->conn, op);
	if (r.error)
		return r.error;
	return (ssize_t)(wide ? out.wide.bytes_copied : out.narrow.size);
}

/* Both files' attributes after a copy of n bytes by the server. */
static void copied(struct copy *c, ssize_t n)
{
	struct pf__super *s = c->in->super;

	pf__io_drop(s->io, c->out->inode, (uint64_t)c->pos_out, (uint64_t)n);
	pf__io_note_write(s->io, c->out->inode, (uint64_t)c->pos_out, (uint64_t)(c->pos_out + n),
			  NULL);
	if (!s->mount.read_only)
		pf__inode_invalidate(s->cache, c->in->inode, PF_ATTR_ATIME);
}

/* The server copies what it has: what waits here must be there first. */
static int flush_both(struct copy *c)
{
	struct pf__io *io = c->in->super->io;
	int r = pf__io_flush(io, c->in->inode, (uint64_t)c->pos_in, UINT64_MAX);

	return r ? r : pf__io_flush(io, c->out->inode, (uint64_t)c->pos_out, UINT64_MAX);
}

/* -EOPNOTSUPP when no server-side copy can be had. */
static ssize_t copy_at_server(struct copy *c)
{
	struct pf__cache *cache = c->out->super->cache;
	struct pf__from f;
	uint32_t op;
	ssize_t n;

	pf__from_open(&f, c->out);
	n = best_op(f.super) ? pf__io_write_begin(&c->out->io, false, false) : -EOPNOTSUPP;
	if (n)
		return n;
	n = pf__kill_priv(&f, c->out->inode);
	if (!n)
		n = flush_both(c);
	pf__inode_size_begin(cache, c->out->inode);
	while (!n) {
		op = best_op(f.super);
		n = op ? ask_server(c, &f, op) : -EOPNOTSUPP;
		if (n >= 0)
			break;
		if (n == -ENOSYS)
			n = 0; /* the next older one */
	}
	if (n > 0)
		copied(c, n);
	pf__inode_size_end(cache, c->out->inode);
	pf__io_write_end(&c->out->io, false);
	return n;
}

/* One chunk; *n: how many bytes came over. 1: go on. */
static int copy_chunk(struct copy *c, char *buf, size_t done, ssize_t *n)
{
	struct iovec iov = {buf, pf__min_u64(CHUNK, c->length - done)};
	size_t want = iov.iov_len;
	off_t end;

	*n = pf__read_at(c->in, &iov, 1, c->pos_in + (off_t)done);
	if (*n <= 0)
		return 0;
	iov.iov_len = (size_t)*n;
	*n = pf__write_at(c->out, &iov, 1, c->pos_out + (off_t)done, &end);
	return *n > 0 && (size_t)*n == want;
}

/* The source ends where it ends now: what a copy within one file adds is no part of it. */
static ssize_t cut_to_source(struct copy *c)
{
	struct pf__attr attr;
	struct pf__from f;
	ssize_t r;

	pf__from_open(&f, c->in);
	r = pf__getattr(&f, c->in->inode, PF_ATTR_SIZE, c->in, &attr);
	if (!r)
		cut_to_size(c, attr.attr.size);
	return r;
}

static ssize_t copy_by_hand(struct copy *c)
{
	ssize_t n = c->in->inode == c->out->inode ? cut_to_source(c) : 0;
	PF_AUTO_FREE char *buf = pf__malloc(pf__min_u64(CHUNK, c->length));
	size_t done = 0;
	int more = 1;

	if (n || !c->length)
		return n;
	if (!buf)
		return -ENOMEM;
	while (more && done < c->length) {
		more = copy_chunk(c, buf, done, &n);
		if (n > 0)
			done += (size_t)n;
	}
	return done ? (ssize_t)done : n;
}

static ssize_t copy_range(struct copy *c)
{
	ssize_t n = check_range(c);

	if (n || !c->length)
		return n;
	n = copy_at_server(c);
	if (n == -EOPNOTSUPP || n == -EXDEV)
		n = copy_by_hand(c);
	return n;
}

static int check_files(struct pf_file *in, struct pf_file *out, unsigned flags, struct copy *c)
{
	int r = pf__file_check(in, PF_NEED_HANDLE | PF_NEED_READ | PF_NEED_REGULAR, &c->in);

	if (!r)
		r = pf__file_check(out, PF_NEED_HANDLE | PF_NEED_WRITE | PF_NEED_REGULAR, &c->out);
	if (r)
		return r;
	if (flags)
		return -EINVAL;
	if (atomic_load(&c->out->flags) & O_APPEND)
		return -EBADF;
	return c->in->super == c->out->super ? 0 : -EXDEV;
}

/* Which positions does the call use, and so has to hold? Two in the order of their addresses. */
static void positions_lock(struct copy *c, bool in, bool out)
{
	bool in_first = (uintptr_t)c->in <= (uintptr_t)c->out;

	if (in && in_first)
		c->pos_in = pf__pos_lock(c->in);
	if (out && !(in && c->in == c->out))
		c->pos_out = pf__pos_lock(c->out);
	else if (out)
		c->pos_out = c->pos_in;
	if (in && !in_first)
		c->pos_in = pf__pos_lock(c->in);
}

static void positions_unlock(struct copy *c, bool in, bool out, ssize_t n)
{
	if (n < 0)
		n = 0;
	if (in)
		pf__pos_unlock(c->in, c->pos_in + n);
	if (out && !(in && c->in == c->out))
		pf__pos_unlock(c->out, c->pos_out + n);
}

ssize_t pf_copy_file_range(struct pf_file *in, off_t *off_in, struct pf_file *out, off_t *off_out,
			   size_t length, unsigned flags)
{
	struct copy c = {.length = pf__min_u64(length, MAX_COUNT)};
	ssize_t n = check_files(in, out, flags, &c);

	if (n)
		return pf__fail_op((int)n, "copy_file_range", NULL);
	if ((off_in && !pf__file_seekable(c.in)) || (off_out && !pf__file_seekable(c.out)))
		return pf__fail_op(-ESPIPE, "copy_file_range", NULL);
	positions_lock(&c, !off_in, !off_out);
	if (off_in)
		c.pos_in = *off_in;
	if (off_out)
		c.pos_out = *off_out;
	n = copy_range(&c);
	positions_unlock(&c, !off_in, !off_out, n);
	if (n < 0)
		return pf__fail_op((int)n, "copy_file_range", NULL);
	if (off_in)
		*off_in += n;
	if (off_out)
		*off_out += n;
	return n;
}
