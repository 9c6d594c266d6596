/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The paths that a read or write can take, one file each behind one table of functions, and the one
 * arbiter that decides per inode which may run. Today: direct (every read and write is a request).
 * Buffered, passthrough, dax and iomap join through the same table. Knows nothing of path names.
 */
#ifndef PF_IO_IO_H
#define PF_IO_IO_H

#include "cache/inode.h"
#include "conn/conn.h"

struct pf__io_ops;

struct pf__io_stats {
	_Atomic uint64_t direct_reads, direct_writes, bytes_read, bytes_written;
	_Atomic uint64_t dir_cache_hits; /* directories listed without a request */
};

/* What a path needs to know of an open file; part of the vfs' open file. */
struct pf__io_file {
	struct pf__conn *conn;
	struct pf__cache *cache;
	struct pf__inode *inode;
	struct pf__io_stats *stats;
	const struct pf__io_ops *ops; /* by the arbiter, at open */
	uint64_t fh;
	uint32_t open_flags;          /* FOPEN_* as cleaned by the arbiter */
	uint32_t max_read, max_write; /* bytes of one request */
};

/* One call. */
struct pf__io_call {
	struct pf__cred cred;
	const void *group;   /* for pf_interrupt() */
	uint64_t lock_owner; /* as the server sees it */
	uint32_t flags;      /* O_* as the server sees them */
	bool kill_suidgid;   /* writes: the caller may not keep suid and sgid */
	bool append; /* writes: at the end of the file; the caller has found where that is */
};

struct pf__io_ops {
	const char *name; /* "direct" */
	/* Bytes, or negative errno. A short count after an error hides the error. */
	ssize_t (*read)(struct pf__io_file *f, const struct pf__io_call *c, const struct iovec *iov,
			int iovcnt, uint64_t offset);
	ssize_t (*write)(struct pf__io_file *f, const struct pf__io_call *c,
			 const struct iovec *iov, int iovcnt, uint64_t offset);
};

/*
 * The arbiter. Clean the server's open_flags of what does not combine (PARALLEL_DIRECT_WRITES
 * without DIRECT_IO, DIRECT_IO on directories; STREAM wins over NONSEEKABLE) and choose f->ops.
 * -EIO when the flags are not valid together or were not negotiated (PASSTHROUGH): the caller
 * releases the handle.
 */
int pf__io_open(struct pf__io_file *f, uint32_t open_flags, int flags);
void pf__io_close(struct pf__io_file *f);

/*
 * Writers of one inode take turns, as under the kernel's inode lock: a sleeping gate, which may be
 * held across a request. Several may pass at once only when the server allowed it (DIRECT_IO with
 * PARALLEL_DIRECT_WRITES), and only for a write that neither appends nor extends the file.
 * begin: shared is what the caller may do with (see pf__io_may_share()); 0 or -ENOMEM.
 */
bool pf__io_may_share(const struct pf__io_file *f, bool append, uint64_t end);
int pf__io_write_begin(struct pf__io_file *f, bool shared);
void pf__io_write_end(struct pf__io_file *f, bool shared);

/* ---- slices of a caller's vectors (io/slice.c) */
struct pf__slice {
	const struct iovec *iov;
	int iovcnt;
	size_t skip; /* bytes of iov[0] already used */
};
/* Describe the next len bytes of s (which has as many) with at most max vectors in out, and move s
 * on: their number, or 0 when it would take more, then s stays. */
int pf__slice_take(struct pf__slice *s, size_t len, struct iovec *out, int max);
void pf__slice_skip(struct pf__slice *s, size_t len);
/* Copy len bytes between s and buf, moving s on. */
void pf__slice_copy_out(struct pf__slice *s, void *buf, size_t len);
void pf__slice_copy_in(struct pf__slice *s, const void *buf, size_t len);

extern const struct pf__io_ops pf__io_direct;

#endif
