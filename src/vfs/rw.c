/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * read(2), write(2) and their relatives: checks, the file's position, the writers' gate. The bytes
 * themselves go through the path that the arbiter chose (io/).
 */
#include "base/arith.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/futex.h"
#include "vfs/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

#define MAX_COUNT 0x7ffff000u /* bytes of one call, as in Linux */
#define MAX_IOV   1024

/* ---- the position: pos_busy is 0 free, 1 taken, 2 taken and somebody sleeps */

off_t pf__pos_lock(struct pf__open_file *of)
{
	uint32_t state = 0;

	if (!atomic_compare_exchange_strong(&of->pos_busy, &state, 1)) {
		while (atomic_exchange(&of->pos_busy, 2) != 0)
			pf__futex_wait(&of->pos_busy, 2, PF_TIME_FOREVER);
	}
	return of->pos;
}

void pf__pos_unlock(struct pf__open_file *of, off_t pos)
{
	of->pos = pos;
	if (atomic_exchange(&of->pos_busy, 0) == 2)
		pf__futex_wake(&of->pos_busy, 1);
}

static bool is_stream(const struct pf__open_file *of)
{
	return of->io.open_flags & FOPEN_STREAM;
}

bool pf__file_seekable(const struct pf__open_file *of)
{
	return !(of->io.open_flags & (FOPEN_STREAM | FOPEN_NONSEEKABLE));
}

/* ---- the vectors of a call */

/* The caller's vectors, cut to what one call may move. */
struct vectors {
	const struct iovec *iov;
	int iovcnt;
	size_t total;
	struct iovec one, *many;
};

static int vectors_cut(struct vectors *v, size_t max)
{
	size_t left = max;
	int i;

	if (v->iovcnt == 1) {
		v->one = (struct iovec){v->iov->iov_base, max};
		v->iov = &v->one;
		v->total = max;
		return 0;
	}
	v->many = pf__memdup(v->iov, (size_t)v->iovcnt * sizeof *v->iov);
	if (!v->many)
		return -ENOMEM;
	for (i = 0; left; i++) {
		v->many[i].iov_len = pf__min_u64(v->many[i].iov_len, left);
		left -= v->many[i].iov_len;
	}
	v->iov = v->many;
	v->iovcnt = i;
	v->total = max;
	return 0;
}

static int vectors_init(struct vectors *v, const struct iovec *iov, int iovcnt)
{
	*v = (struct vectors){.iov = iov, .iovcnt = iovcnt};
	if (iovcnt < 0 || iovcnt > MAX_IOV)
		return -EINVAL;
	for (int i = 0; i < iovcnt; i++)
		if (pf__add_overflow(v->total, iov[i].iov_len, &v->total) || v->total > SSIZE_MAX)
			return -EINVAL;
	return v->total > MAX_COUNT ? vectors_cut(v, MAX_COUNT) : 0;
}

/* No byte lies beyond the largest offset. */
static int vectors_fit(struct vectors *v, off_t offset)
{
	uint64_t room = (uint64_t)INT64_MAX - (uint64_t)offset;

	return v->total > room ? vectors_cut(v, room) : 0;
}

static void vectors_done(struct vectors *v)
{
	pf__free(v->many);
}

/* ---- one read or write at an offset */

void pf__io_call_of(struct pf__open_file *of, const struct pf__from *f, struct pf__io_call *c)
{
	*c = (struct pf__io_call){.cred = f->caller.cred,
				  .group = f->caller.group,
				  .lock_owner = pf__caller_lock_owner(&f->caller),
				  .flags = pf__wire_flags(atomic_load(&of->flags)),
				  .kill_suidgid = !f->caller.cap_override};
}

/* The size is not what we think. Our own writes mark it as doubtful too, and yet know it best: that
 * others had a hand in it shows in the second bit (append_offset()). */
#define SIZE_UNKNOWN (PF_ATTR_SIZE | PF_ATTR_NLINK)

/* What a read leaves behind: another atime, and perhaps the news that the file is shorter. */
static void after_read(struct pf__open_file *of, const struct pf__attr *before, uint64_t end,
		       bool is_short)
{
	uint32_t fields = of->super->mount.read_only ? 0 : PF_ATTR_ATIME;

	if (is_short && end < before->attr.size && !(of->io.open_flags & FOPEN_DIRECT_IO))
		fields |= SIZE_UNKNOWN;
	if (fields & ~before->invalid)
		pf__inode_invalidate(of->super->cache, of->inode, fields);
}

/* Known to lie behind the end of the file. With DIRECT_IO only the server knows where that is, with
 * PASSTHROUGH the backing file. */
static bool behind_the_end(struct pf__open_file *of, off_t offset, struct pf__attr *attr)
{
	bool valid = pf__inode_attr(of->inode, PF_ATTR_SIZE, pf__now_coarse(), attr);

	return valid && !(of->io.open_flags & (FOPEN_DIRECT_IO | FOPEN_PASSTHROUGH)) &&
	       (uint64_t)offset >= attr->attr.size;
}

/* Directly, or passing through. */
static ssize_t read_uncached(struct pf__open_file *of, struct vectors *v, off_t offset, bool nowait)
{
	struct pf__io_call c;
	struct pf__from f;
	struct pf__attr attr;
	ssize_t n;

	if (behind_the_end(of, offset, &attr))
		return 0;
	pf__from_open(&f, of);
	pf__io_call_of(of, &f, &c);
	c.nowait = nowait;
	n = pf__io_path(&of->io, c.flags)->read(&of->io, &c, v->iov, v->iovcnt, (uint64_t)offset);
	if (n >= 0)
		after_read(of, &attr, (uint64_t)offset + (uint64_t)n, (size_t)n < v->total);
	return n;
}

/*
 * Where the file ends, for a cached read up to end: as known, unless the server wants to be asked
 * for changes each time (AUTO_INVAL_DATA), or the read goes beyond; then it is asked if what is
 * known is stale. One answer serves the whole read.
 */
static int size_for_read(struct pf__open_file *of, uint64_t end, bool nowait, uint64_t *size)
{
	struct pf__io *io = of->super->io;
	uint32_t need = 0;
	struct pf__attr attr;
	struct pf__from f;
	int r;

	if (io->auto_inval && !pf__inode_owned(of->inode))
		need = PF_ATTR_SIZE | PF_ATTR_MTIME;
	if (pf__inode_attr(of->inode, need, need ? pf__now_coarse() : 0, &attr) &&
	    end <= attr.attr.size) {
		*size = attr.attr.size;
		return 0;
	}
	need |= PF_ATTR_SIZE;
	if (!pf__inode_attr(of->inode, need, pf__now_coarse(), &attr)) {
		if (nowait)
			return -EAGAIN;
		pf__from_open(&f, of);
		r = pf__getattr(&f, of->inode, need, of, &attr);
		if (r)
			return r;
	}
	*size = attr.attr.size;
	return 0;
}

static ssize_t read_cached(struct pf__open_file *of, struct vectors *v, off_t offset, bool nowait)
{
	struct pf__io_call c;
	struct pf__from f;
	uint64_t size;
	int r = size_for_read(of, (uint64_t)offset + v->total, nowait, &size);

	if (r || (uint64_t)offset >= size)
		return r;
	pf__from_open(&f, of);
	pf__io_call_of(of, &f, &c);
	c.nowait = nowait;
	c.size = size;
	return pf__io_cached.read(&of->io, &c, v->iov, v->iovcnt, (uint64_t)offset);
}

static ssize_t read_vectors(struct pf__open_file *of, struct vectors *v, off_t offset, bool nowait)
{
	ssize_t n = vectors_fit(v, offset);

	if (n || !v->total)
		return n;
	if (pf__io_is_cached(&of->io,
			     (uint32_t)atomic_load_explicit(&of->flags, memory_order_relaxed)))
		return read_cached(of, v, offset, nowait);
	return read_uncached(of, v, offset, nowait);
}

static ssize_t read_at(struct pf__open_file *of, const struct iovec *iov, int iovcnt, off_t offset,
		       int rwf)
{
	struct vectors v;
	ssize_t n = vectors_init(&v, iov, iovcnt);

	if (!n)
		n = read_vectors(of, &v, offset, rwf & RWF_NOWAIT);
	vectors_done(&v);
	return n;
}

ssize_t pf__read_at(struct pf__open_file *of, const struct iovec *iov, int iovcnt, off_t offset)
{
	return read_at(of, iov, iovcnt, offset, 0);
}

/* ---- writes */

/*
 * Where an append goes. Our own last write left the size marked as doubtful, but none can know it
 * better than we; only when others may have written is the server asked.
 */
static int append_offset(struct pf__open_file *of, const struct pf__from *f, bool nowait,
			 off_t *offset)
{
	struct pf__attr attr;
	int r = 0;

	if (!pf__inode_owned(of->inode) &&
	    !pf__inode_attr(of->inode, PF_ATTR_NLINK, pf__now_coarse(), &attr))
		r = nowait ? -EAGAIN : pf__getattr(f, of->inode, PF_ATTR_SIZE, of, &attr);
	else
		pf__inode_attr(of->inode, 0, 0, &attr);
	*offset = (off_t)attr.attr.size;
	return r;
}

/*
 * What the process may make files grow to (RLIMIT_FSIZE). Linux tells by a system call, so it is
 * asked only for writes beyond the last answer, and beyond the end of the file.
 */
static int limit_size(struct pf__open_file *of, struct vectors *v, off_t offset)
{
	struct pf__super *s = of->super;
	uint64_t end = (uint64_t)offset + v->total, limit;
	struct pf__attr attr;
	struct rlimit r;

	pf__inode_attr(of->inode, 0, 0, &attr);
	if (end <= attr.attr.size)
		return 0;
	if (getrlimit(RLIMIT_FSIZE, &r))
		return 0;
	limit = r.rlim_cur == RLIM_INFINITY ? UINT64_MAX : r.rlim_cur;
	atomic_store_explicit(&s->fsize_limit, limit, memory_order_relaxed);
	if ((uint64_t)offset >= limit)
		return -EFBIG;
	return end > limit ? vectors_cut(v, (size_t)(limit - (uint64_t)offset)) : 0;
}

/* A file with bits that a write takes away is written through: the server takes them away. */
static bool kills_bits(const struct pf__open_file *of, const struct pf__from *f)
{
	struct pf__attr attr;

	if (f->caller.cap_override || !pf__conn_has(of->super->conn, FUSE_HANDLE_KILLPRIV_V2))
		return false;
	pf__inode_attr(of->inode, 0, 0, &attr);
	return attr.attr.mode & (S_ISUID | S_ISGID);
}

/* The gate is passed. *offset: in where, out behind the last byte written. */
static ssize_t write_gated(struct pf__open_file *of, const struct pf__from *f, struct vectors *v,
			   struct pf__io_call *c, off_t *offset)
{
	const struct pf__io_ops *path = pf__io_path(&of->io, c->flags);
	ssize_t n = 0;

	if (c->append && path == &pf__io_passthrough)
		n = pf__io_backing_end(&of->io, offset);
	else if (c->append)
		n = append_offset(of, f, c->nowait, offset);
	if (n)
		return n;
	if (*offset == INT64_MAX)
		return -EFBIG;
	n = vectors_fit(v, *offset);
	if (!n)
		n = limit_size(of, v, *offset);
	if (!n)
		n = pf__kill_priv(f, of->inode);
	if (n)
		return n;
	c->through = path == &pf__io_cached && of->super->io->writeback && kills_bits(of, f);
	n = path->write(&of->io, c, v->iov, v->iovcnt, (uint64_t)*offset);
	if (n > 0)
		*offset += n;
	return n;
}

/* O_SYNC and O_DSYNC: written means on disk. A DIRECT_IO server gets the flag with the WRITE, a
 * backing file is written so. */
static int sync_after(struct pf__open_file *of, uint32_t flags)
{
	if (!(flags & O_DSYNC) || (of->io.open_flags & (FOPEN_DIRECT_IO | FOPEN_PASSTHROUGH)))
		return 0;
	return pf__fsync(of, (flags & O_SYNC) != O_SYNC);
}

static void apply_rwf(struct pf__io_call *c, int rwf)
{
	if (rwf & RWF_SYNC)
		c->flags |= O_SYNC;
	if (rwf & RWF_DSYNC)
		c->flags |= O_DSYNC;
	c->append = (c->flags & O_APPEND) || (rwf & RWF_APPEND);
	c->nowait = rwf & RWF_NOWAIT;
}

static ssize_t write_vectors(struct pf__open_file *of, struct vectors *v, off_t *offset, int rwf)
{
	struct pf__io_call c;
	struct pf__from f;
	bool shared;
	ssize_t n;
	int r;

	if (!v->total)
		return 0;
	pf__from_open(&f, of);
	pf__io_call_of(of, &f, &c);
	apply_rwf(&c, rwf);
	if (c.nowait && (c.flags & O_DSYNC))
		return -EAGAIN;
	shared = pf__io_may_share(&of->io, c.append, pf__add_sat_u64((uint64_t)*offset, v->total));
	r = pf__io_write_begin(&of->io, shared, c.nowait);
	if (r < 0)
		return r;
	shared = shared && !r;
	if (shared)
		pf__io_count_parallel(&of->io);
	n = write_gated(of, &f, v, &c, offset);
	pf__io_write_end(&of->io, shared);
	r = n > 0 ? sync_after(of, c.flags) : 0;
	return r ? r : n;
}

static ssize_t write_at(struct pf__open_file *of, const struct iovec *iov, int iovcnt, off_t offset,
			off_t *end, int rwf)
{
	struct vectors v;
	ssize_t n = vectors_init(&v, iov, iovcnt);

	*end = offset;
	if (!n)
		n = write_vectors(of, &v, end, rwf);
	vectors_done(&v);
	return n;
}

ssize_t pf__write_at(struct pf__open_file *of, const struct iovec *iov, int iovcnt, off_t offset,
		     off_t *end)
{
	return write_at(of, iov, iovcnt, offset, end, 0);
}

/* ---- the public calls */

#define KNOWN_RWF (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)

static ssize_t preadv_checked(struct pf_file *file, const struct iovec *iov, int iovcnt,
			      off_t offset, int rwf)
{
	struct pf__open_file *of;
	int r = pf__file_check(file, PF_NEED_HANDLE | PF_NEED_READ | PF_NEED_REGULAR, &of);

	if (r)
		return r;
	if (rwf & ~(KNOWN_RWF & ~RWF_APPEND))
		return -EOPNOTSUPP;
	if (offset < 0)
		return -EINVAL;
	return pf__file_seekable(of) ? read_at(of, iov, iovcnt, offset, rwf) : -ESPIPE;
}

ssize_t pf_preadv(struct pf_file *file, const struct iovec *iov, int iovcnt, off_t offset)
{
	ssize_t n = preadv_checked(file, iov, iovcnt, offset, 0);

	return n < 0 ? pf__fail_op((int)n, "read", NULL) : n;
}

ssize_t pf__read_cached(struct pf__open_file *of, void *buf, size_t count, off_t offset)
{
	int flags = atomic_load_explicit(&of->flags, memory_order_relaxed);

	if (offset < 0 || !count || count > MAX_COUNT || !pf__file_seekable(of) ||
	    !pf__io_is_cached(&of->io, (uint32_t)flags))
		return -EAGAIN;
	if (of->super->io->auto_inval && !pf__inode_size_valid(of->inode, pf__now_coarse()))
		return -EAGAIN;
	return pf__cached_read_there(&of->io, buf, count, (uint64_t)offset);
}

static ssize_t pread_there(struct pf_file *file, void *buf, size_t count, off_t offset)
{
	struct pf__open_file *of;

	if (pf__file_check(file, PF_NEED_HANDLE | PF_NEED_READ | PF_NEED_REGULAR, &of))
		return -EAGAIN; /* the long way says why */
	return pf__read_cached(of, buf, count, offset);
}

ssize_t pf_pread(struct pf_file *file, void *buf, size_t count, off_t offset)
{
	struct iovec iov = {buf, count};
	ssize_t n = pread_there(file, buf, count, offset);

	return n > 0 ? n : pf_preadv(file, &iov, 1, offset);
}

static ssize_t pwritev_checked(struct pf_file *file, const struct iovec *iov, int iovcnt,
			       off_t offset, int rwf)
{
	struct pf__open_file *of;
	off_t end;
	int r = pf__file_check(file, PF_NEED_HANDLE | PF_NEED_WRITE | PF_NEED_REGULAR, &of);

	if (r)
		return r;
	if (rwf & ~KNOWN_RWF)
		return -EOPNOTSUPP;
	if (offset < 0)
		return -EINVAL;
	return pf__file_seekable(of) ? write_at(of, iov, iovcnt, offset, &end, rwf) : -ESPIPE;
}

ssize_t pf_pwritev(struct pf_file *file, const struct iovec *iov, int iovcnt, off_t offset)
{
	ssize_t n = pwritev_checked(file, iov, iovcnt, offset, 0);

	return n < 0 ? pf__fail_op((int)n, "write", NULL) : n;
}

ssize_t pf_pwrite(struct pf_file *file, const void *buf, size_t count, off_t offset)
{
	struct iovec iov = {(void *)buf, count};

	return pf_pwritev(file, &iov, 1, offset);
}

static ssize_t readv_checked(struct pf_file *file, const struct iovec *iov, int iovcnt, int rwf)
{
	struct pf__open_file *of;
	ssize_t n = pf__file_check(file, PF_NEED_HANDLE | PF_NEED_READ | PF_NEED_REGULAR, &of);
	off_t pos;

	if (n)
		return n;
	if (rwf & ~(KNOWN_RWF & ~RWF_APPEND))
		return -EOPNOTSUPP;
	if (is_stream(of)) /* no position, and a read and a write may wait side by side */
		return read_at(of, iov, iovcnt, 0, rwf);
	pos = pf__pos_lock(of);
	n = read_at(of, iov, iovcnt, pos, rwf);
	pf__pos_unlock(of, n > 0 ? pos + n : pos);
	return n;
}

ssize_t pf_readv(struct pf_file *file, const struct iovec *iov, int iovcnt)
{
	ssize_t n = readv_checked(file, iov, iovcnt, 0);

	return n < 0 ? pf__fail_op((int)n, "read", NULL) : n;
}

ssize_t pf_read(struct pf_file *file, void *buf, size_t count)
{
	struct iovec iov = {buf, count};

	return pf_readv(file, &iov, 1);
}

static ssize_t writev_checked(struct pf_file *file, const struct iovec *iov, int iovcnt, int rwf)
{
	struct pf__open_file *of;
	ssize_t n = pf__file_check(file, PF_NEED_HANDLE | PF_NEED_WRITE | PF_NEED_REGULAR, &of);
	off_t pos, end;

	if (n)
		return n;
	if (rwf & ~KNOWN_RWF)
		return -EOPNOTSUPP;
	if (is_stream(of))
		return write_at(of, iov, iovcnt, 0, &end, rwf);
	pos = pf__pos_lock(of);
	n = write_at(of, iov, iovcnt, pos, &end, rwf);
	pf__pos_unlock(of, n > 0 ? end : pos);
	return n;
}

ssize_t pf_writev(struct pf_file *file, const struct iovec *iov, int iovcnt)
{
	ssize_t n = writev_checked(file, iov, iovcnt, 0);

	return n < 0 ? pf__fail_op((int)n, "write", NULL) : n;
}

ssize_t pf_write(struct pf_file *file, const void *buf, size_t count)
{
	struct iovec iov = {(void *)buf, count};

	return pf_writev(file, &iov, 1);
}

/* ---- with flags */

ssize_t pf_preadv2(struct pf_file *file, const struct iovec *iov, int iovcnt, off_t offset,
		   int flags)
{
	ssize_t n = offset == -1 ? readv_checked(file, iov, iovcnt, flags)
				 : preadv_checked(file, iov, iovcnt, offset, flags);

	return n < 0 ? pf__fail_op((int)n, "read", NULL) : n;
}

ssize_t pf_pwritev2(struct pf_file *file, const struct iovec *iov, int iovcnt, off_t offset,
		    int flags)
{
	ssize_t n = offset == -1 ? writev_checked(file, iov, iovcnt, flags)
				 : pwritev_checked(file, iov, iovcnt, offset, flags);

	return n < 0 ? pf__fail_op((int)n, "write", NULL) : n;
}
