/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The paths that a read or write can take, one file each behind one table of functions, and the one
 * arbiter that decides per inode which may run. Direct: every read and write is a request. Cached:
 * through pages/, written through or back. Passthrough: the backing file's. Dax and iomap would
 * join through the same table. Knows nothing of path names.
 *
 * Calls in here may wait for the server unless they say that they do not; no lock may be held then.
 * Locks inside: PF_RANK_IO, and those of pages/.
 */
#ifndef PF_IO_IO_H
#define PF_IO_IO_H

#include "base/slice.h"
#include "cache/inode.h"
#include "conn/conn.h"
#include "pages/pages.h"
#include "pages/readahead.h"

struct pf__backing; /* io/backing.h */
struct pf__backings;
struct pf__io_ops;
struct pf__io_inode; /* io/inode.h */

#define PF_IO_COUNTERS 16

struct pf__io_stats {
	struct { /* of a thread's own, or nearly */
		_Atomic uint64_t reads_cached, page_hits, page_misses, bytes_read;
		char pad[96]; /* so that no two share a cache line */
	} often[PF_IO_COUNTERS];
	_Atomic uint64_t reads_direct, writes_direct, writes_parallel, writes_through, writes_back;
	_Atomic uint64_t reads_passthrough, writes_passthrough;
	_Atomic uint64_t bytes_written, flushed, lost, dirty_waits, dir_cache_hits;
};

/* How data is cached: what the options ask for. The limits: 0 is the default. */
struct pf__io_config {
	int cache; /* PF_CACHE_* */
	uint64_t cache_bytes, dirty_bytes;
	uint32_t dirty_expire_ms;
	uint32_t max_read, max_write;  /* bytes of one request */
	bool read_only;                /* the mount: reads leave atime alone */
	struct pf__backings *backings; /* of passthrough opens; NULL: there are none. Not owned */
};

/* The I/O of one file system. */
struct pf__io {
	struct pf__conn *conn;
	struct pf__cache *cache;
	struct pf__arena *arena;
	struct pf__io_config config;
	bool writeback, auto_inval, explicit_inval, async_read;
	unsigned readahead;                     /* pages of a window */
	uint64_t dirty_limit, dirty_background; /* pages */
	struct pf__io_stats stats;
	struct pf__mutex lock;          /* PF_RANK_IO: what io/inode.h says */
	struct pf__list dirty;          /* struct pf__io_inode.dirty */
	_Atomic uint32_t turn, waiters; /* a WRITE of dirty data ended: a futex word */
	int lost_error;                 /* the last that cost data; lock */
	_Atomic uint64_t rounds;        /* of write-back over all inodes */
	/* Programs may have backing files open themselves (portfire run): see
	 * pf__io_backing_look(). */
	_Atomic bool shared;
	_Atomic unsigned n_backed; /* inodes that pass through */
	_Atomic bool stopping;     /* pf_stop() releases what is open: see pf__io_deadline() */
};

int pf__io_open(struct pf__io **io, struct pf__conn *conn, struct pf__cache *cache,
		const struct pf__io_config *config);
/* Write all dirty data back, a deadline (pf__now()) permitting. 0, or the first error. */
int pf__io_sync_all(struct pf__io *io, uint64_t deadline);
/* The last error that cost data. 0: none did. */
int pf__io_lost_error(struct pf__io *io);
/* Until when who writes back may wait for the server: for ever, but at the end. */
uint64_t pf__io_deadline(const struct pf__io *io);
/* Dirty data that could not be written is given up, and its inodes let go. Pages lost since the
 * start. */
uint64_t pf__io_finish(struct pf__io *io);
void pf__io_close(struct pf__io *io); /* all inodes are gone; NULL is fine */
/* Every 100 ms or so: write back what waits for too long, give back memory. Does not wait, but for
 * RCU. */
void pf__io_tick(struct pf__io *io);
/* The server is gone: who waits looks again. Does not wait. */
void pf__io_dead(struct pf__io *io);
void pf__io_drop_all(struct pf__io *io); /* clean data of all files */

/* What a path needs to know of an open file; part of the vfs' open file. */
struct pf__io_file {
	struct pf__io *io;
	struct pf__conn *conn;
	struct pf__cache *cache;
	struct pf__inode *inode;
	struct pf__io_inode *ii;      /* regular files */
	const struct pf__io_ops *ops; /* by the arbiter, at open */
	uint64_t fh;
	uint32_t open_flags;          /* FOPEN_* as cleaned by the arbiter */
	uint32_t max_read, max_write; /* bytes of one request */
	uint32_t wire_flags;          /* O_* of the open, as the server sees them */
	bool writable, write_only;
	bool caching;        /* counts as a caching user of the inode */
	_Atomic bool mapped; /* a shared mapping of a direct file made it one */
	bool wants_direct;   /* the server said FOPEN_DIRECT_IO */
	bool attached;       /* counts as passing through */
	struct pf__backing
	    *backing;           /* FOPEN_PASSTHROUGH: what it goes to, and our own descriptor */
	int backing_fd;         /* of it; valid beside backing */
	uint32_t seen_error;    /* ii->error_seq as last reported; io->lock */
	struct pf__list writer; /* ii->writers; io->lock */
	/* Who uses the handle: the open file, and requests under way. The last one calls idle,
	 * which must not wait. */
	_Atomic uint32_t users;
	void (*idle)(struct pf__io_file *f);
	_Atomic bool ra_busy;     /* a thread has ra */
	_Atomic uint64_t ra_mark; /* ra.mark, for a look without having it */
	struct pf__ra ra;
};
void pf__io_file_get(struct pf__io_file *f);
void pf__io_file_put(struct pf__io_file *f);

/* One call. */
struct pf__io_call {
	struct pf__cred cred;
	const void *group;   /* for pf_interrupt() */
	uint64_t lock_owner; /* as the server sees it */
	uint32_t flags;      /* O_* as the server sees them */
	uint64_t size;       /* cached reads: the end of the file, as of now */
	bool kill_suidgid;   /* writes: the caller may not keep suid and sgid */
	bool append;  /* writes: at the end of the file; the caller has found where that is */
	bool nowait;  /* -EAGAIN where the server would have to be waited for */
	bool through; /* cached writes: not write-back, though it is the rule */
};

struct pf__io_ops {
	const char *name; /* "direct" */
	/* Bytes, or negative errno. A short count after an error hides the error. */
	ssize_t (*read)(struct pf__io_file *f, const struct pf__io_call *c, const struct iovec *iov,
			int iovcnt, uint64_t offset);
	ssize_t (*write)(struct pf__io_file *f, const struct pf__io_call *c,
			 const struct iovec *iov, int iovcnt, uint64_t offset);
};

/* A cached read for which all is there, within the size as it is known: len, without waiting or
 * taking a lock. -EAGAIN: take the long way. */
ssize_t pf__cached_read_there(struct pf__io_file *f, void *buf, size_t len, uint64_t offset);

/* ---- the arbiter (io/arbiter.c) */
/*
 * Clean the server's open_flags of what does not combine (PARALLEL_DIRECT_WRITES without DIRECT_IO,
 * DIRECT_IO on directories; STREAM wins over NONSEEKABLE), choose f->ops, and count f among the
 * users of its inode; drops cached data that an open does not keep. flags: O_* of the open.
 * -EIO when it does not go with those that are open already, or its backing file cannot be had: the
 * caller releases the handle. -EINTR, -ENOMEM.
 */
int pf__io_file_open(struct pf__io_file *f, uint32_t open_flags, int backing_id, int flags);
/* Before the handle is released: the last writer writes back what is left. */
void pf__io_file_close(struct pf__io_file *f);
/* When the memory of f goes: after all calls, and its mappings. */
void pf__io_backing_close(struct pf__io_file *f);
/* The path of a read or write with these flags (O_DIRECT). */
const struct pf__io_ops *pf__io_path(const struct pf__io_file *f, uint32_t flags);
/* Where the backing file ends now. 0 or negative errno. */
int pf__io_backing_end(const struct pf__io_file *f, off_t *end);
/* Where programs have backing files open themselves: what they have changed of this one since the
 * last look is to be asked for again. Before attributes are taken from the cache. */
void pf__io_backing_look(struct pf__io *io, struct pf__inode *inode);
/* Is there any such file? */
static inline bool pf__io_backing_any(struct pf__io *io)
{
	return atomic_load_explicit(&io->n_backed, memory_order_relaxed) &&
	       atomic_load_explicit(&io->shared, memory_order_relaxed);
}
/* Is f on the cached path (and not O_DIRECT by flags)? */
bool pf__io_is_cached(const struct pf__io_file *f, uint32_t flags);
/* A mapping of f begins, which is not one of a backing file. 0; -ENODEV where DIRECT_IO or other
 * opens of the file forbid it. */
int pf__io_may_map(struct pf__io_file *f, bool shared);

/*
 * Writers of one inode take turns, as under the kernel's inode lock: a sleeping gate, which may be
 * held across a request. Several may pass at once only when the server allowed it (DIRECT_IO with
 * PARALLEL_DIRECT_WRITES), only for a write that neither appends nor extends the file, and while
 * nobody caches its data. begin: shared is what the caller may do with (see pf__io_may_share());
 * 0; 1: went alone, though shared; -EAGAIN with nowait; -ENOMEM.
 */
bool pf__io_may_share(struct pf__io_file *f, bool append, uint64_t end);
int pf__io_write_begin(struct pf__io_file *f, bool shared, bool nowait);
void pf__io_write_end(struct pf__io_file *f, bool shared);
void pf__io_count_parallel(struct pf__io_file *f); /* a shared write has begun */
/* The same as begin and end, alone, by inode: truncation by path. */
int pf__io_gate_enter(struct pf__io *io, struct pf__inode *inode);
void pf__io_gate_leave(struct pf__io *io, struct pf__inode *inode);

/* ---- data and what else happens to files (io/coherence.c, io/writeback.c). All take any inode,
 * and do nothing where no data is cached. */
/* Dirty bytes from..to are written back and waited for. 0; -EINTR; an error that leaves them dirty
 * (-EAGAIN, -ETIMEDOUT ...). Other errors are remembered: pf__io_error(). */
int pf__io_flush(struct pf__io *io, struct pf__inode *inode, uint64_t from, uint64_t to);
/* What is being written of the range is waited for, what is dirty is not written. 0; -EINTR. */
int pf__io_wait(struct pf__io *io, struct pf__inode *inode, uint64_t from, uint64_t to);
/* The same as pf__io_flush(), without waiting for the answers. */
void pf__io_flush_begin(struct pf__io *io, struct pf__inode *inode, uint64_t from, uint64_t to);
/* What went wrong when data of f's file was written back, once for each open file. 0 or -errno. */
int pf__io_error(struct pf__io_file *f);
/* Around a change of the size by the server: no write-back is under way or begins. 0 or -EINTR:
 * then it is not held. */
int pf__io_hold(struct pf__io *io, struct pf__inode *inode);
void pf__io_release(struct pf__io *io, struct pf__inode *inode);
/* The rest does not wait, but for RCU where memory is needed. */
void pf__io_truncated(struct pf__io *io, struct pf__inode *inode, uint64_t old_size, uint64_t size);
void pf__io_drop(struct pf__io *io, struct pf__inode *inode, uint64_t offset, uint64_t len);
void pf__io_data_changed(struct pf__io *io, struct pf__inode *inode, uint64_t old_size,
			 uint64_t new_size, bool new_mtime);
void pf__io_store(struct pf__io *io, struct pf__inode *inode, uint64_t offset, const void *data,
		  size_t len, uint64_t size);
/* Cached bytes from offset on, at most max, in one run, copied to buf: their number. */
size_t pf__io_retrieve(struct pf__io *io, struct pf__inode *inode, uint64_t offset, char *buf,
		       size_t max, uint64_t size);
/* Read pages of the range in, in the background. */
void pf__io_will_need(struct pf__io_file *f, uint32_t flags, uint64_t offset, uint64_t len,
		      uint64_t size);

/* ---- size and times that are ours, or not (io/inode.c); none of these waits */
/* Data from offset to end was changed at the server by our own request. bytes: what was written
 * there, of which pages that are there get what they lack; NULL: pages behind the old end go. */
void pf__io_note_write(struct pf__io *io, struct pf__inode *inode, uint64_t offset, uint64_t end,
		       const struct pf__slice *bytes);
/* Bytes beyond the end were stored by the server. */
void pf__io_note_store(struct pf__io *io, struct pf__inode *inode, uint64_t offset, uint64_t end,
		       const struct pf__slice *bytes);
/* Something but a write changed an owned inode: ctime is now. */
void pf__io_touch_ctime(struct pf__io *io, struct pf__inode *inode);
void pf__io_touch_mtime(struct pf__io *io, struct pf__inode *inode); /* and mtime */
/* Add the dirty times to a SETATTR. What to give back to pf__io_times_sent() when it went well; 0:
 * there are none. */
uint32_t pf__io_times_add(struct pf__io *io, struct pf__inode *inode, struct fuse_setattr_in *in);
void pf__io_times_sent(struct pf__io *io, struct pf__inode *inode, uint32_t seq);
/* Some file open for writing, to be put; NULL: none is. */
struct pf__io_file *pf__io_writer_get(struct pf__io *io, struct pf__inode *inode);

/* ---- memory of cached data that stays (io/map.c) */
/* The cache has no room: beyond what a server may answer. */
#define PF_NO_ROOM (-1000)

/* Bytes are to be lent, and the first page of them is not up to date: ask for what is missing of
 * all, as a read does, wait for that page or for something to happen to it. again: it did not help
 * before. 0, negative errno or PF_NO_ROOM. */
int pf__io_lend_wait(struct pf__io_file *f, const struct pf__io_call *c, uint64_t offset,
		     size_t count, bool again);
/* Cached bytes were lent instead of copied, of which so many pages were not there at first: counted
 * as a read, and perhaps more is to be read ahead. */
void pf__io_lent(struct pf__io_file *f, const struct pf__io_call *c, uint64_t offset, size_t n,
		 uint64_t misses);
struct pf__pages *pf__io_pages(struct pf__io_file *f);
/* Read a range within one block in and pin it; behind the file's end the memory is made zero.
 * c->size is lowered when what came shows that the file is shorter. 0; -EAGAIN: others drop the
 * pages faster than they can be read; -ENOMEM; what READ failed with. */
int pf__io_pin_range(struct pf__io_file *f, struct pf__io_call *c, uint64_t offset, size_t len,
		     bool writable, struct pf__block **block);
/* The first len bytes of a page were changed in place: they are dirty from now on. Waits while the
 * page is being written. */
int pf__io_mark_dirty(struct pf__io_file *f, uint64_t page, unsigned len);

/* What a mapping left behind the end of the file, in its last page, is zero again. */
void pf__io_clean_tail(struct pf__io_file *f);

extern const struct pf__io_ops pf__io_direct, pf__io_cached, pf__io_passthrough;

#endif
