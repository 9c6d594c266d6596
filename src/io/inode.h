/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of io/ share: the state of one inode, and the steps of a transfer. */
#ifndef PF_IO_INODE_H
#define PF_IO_INODE_H

#include "io/io.h"
#include <stdatomic.h>

/*
 * The writers' gate: gate is 0 open, -1 one exclusive writer, n > 0 shared writers. Whoever does
 * not pass counts itself in gate_waiters, samples gate_turn and sleeps on it. Its caching users and
 * its shared writers exclude each other: users counts the one, gate above 0 the other; who finds
 * the other there waits (an open) or goes alone (a write).
 */
struct pf__io_inode {
	struct pf__io *io;
	struct pf__inode *inode; /* whose state this is */
	struct pf__pages pages;
	_Atomic int gate;
	_Atomic uint32_t gate_waiters, gate_turn;
	_Atomic int
	    users; /* in caching mode; it begins with none passing through, under io->lock */

	/* io->lock: */
	struct pf__list writers; /* open files that may write: struct pf__io_file.writer */
	struct pf__list dirty;   /* io->dirty, while it has dirty data: then it holds its inode */
	uint64_t dirty_since;    /* pf__now_coarse(), when it was clean last */
	uint64_t visited;        /* when a round of write-back came by */
	uint64_t retry_at;       /* not written in the background before */
	uint32_t error_seq;      /* counts errors of write-back */
	int error;
	bool error_seen;             /* by some open file */
	bool owned;                  /* pf__inode_set_owned() */
	struct pf__backing *backing; /* of all who pass through; NULL: nobody does */
	unsigned passthrough;        /* how many open files do */
	struct pf__backing_seen {    /* of the backing file, when it was looked at last */
		off_t size;
		struct timespec atime, mtime, ctime;
	} seen;

	_Atomic bool listed; /* in io->dirty */
	/* Counts local times; those up to times_sent are at the server. */
	_Atomic uint32_t times, times_sent;
	_Atomic uint32_t soft; /* counts errors that leave data dirty */
	_Atomic int soft_error;
	_Atomic uint32_t inflight; /* WRITEs */
	_Atomic uint64_t goal;     /* dirty data below it goes in the background */
	_Atomic bool pumping;      /* a thread sends it */
	/* The writers' gate: what was written in sequence. */
	uint64_t run_start, run_end;
};

/* ---- inode.c */
/* Made on first use. NULL: no memory. */
struct pf__io_inode *pf__io_inode(struct pf__io *io, struct pf__inode *inode);
/* If there is one. */
static inline struct pf__io_inode *pf__io_inode_known(const struct pf__inode *inode)
{
	return S_ISREG(pf__inode_type(inode)) ? pf__inode_io(inode) : NULL;
}
/* After whatever may change it: is the client the authority for the inode's size and times? */
void pf__io_update_owned(struct pf__io_inode *ii);
/* Bytes were written, and are in pages or at the server: size and times, which are ours. */
void pf__io_grow_owned(struct pf__io_inode *ii, uint64_t offset, uint64_t end);
static inline void pf__io_count(_Atomic uint64_t *n, uint64_t by)
{
	atomic_fetch_add_explicit(n, by, memory_order_relaxed);
}
unsigned pf__io_stripe(void); /* of this thread, in stats.often */

/* ---- direct.c: a transfer without cache */
struct pf__direct {
	struct pf__io_file *f;
	const struct pf__io_call *c;
	struct pf__slice slice, whole; /* whole: as it was, for who goes on */
	uint64_t offset;
	size_t left;
	size_t piece_max; /* bytes of one request */
	uint32_t flags;   /* FUSE_READ_* or FUSE_WRITE_* */
	bool write, parallel;
};
/* Bytes, or negative errno when there were none. */
ssize_t pf__direct_run(struct pf__direct *d);

/* ---- passthrough.c: for the arbiter */
/* f shall have the registered file with that id, beside others who pass through. 0; -EIO: somebody
 * caches the inode's data or has another file, there is no such id, or it cannot be opened so. */
int pf__io_backing_open(struct pf__io_file *f, int backing_id, int flags);
void pf__io_backing_detach(struct pf__io_file *f); /* f is no such user any more; may not be one */

/* ---- fetch.c: READs into pages */
/* Read missing pages of first..end (n > 0), of a file that ends at eof; the first one is waited
 * for. *eof_seen is lowered to the end of the file when an answer shows one. 0, negative errno;
 * PF_NO_ROOM also when the cache has no room. */
int pf__fetch_wait(struct pf__io_file *f, const struct pf__io_call *c, uint64_t first, uint64_t end,
		   uint64_t eof, uint64_t *eof_seen);
/* The same by one request and without readahead: for who failed before, and wants to know why. */
int pf__fetch_one(struct pf__io_file *f, const struct pf__io_call *c, uint64_t first, uint64_t end,
		  uint64_t eof, uint64_t *eof_seen);
/* Read ahead, in the background: as far as the server is not congested, or anyway. */
int pf__fetch_ahead(struct pf__io_file *f, uint32_t flags, uint64_t first, uint64_t n, uint64_t eof,
		    bool anyway);
/* A read that found n pages from first on: perhaps it came to where more is to be read ahead. */
void pf__fetch_hit(struct pf__io_file *f, uint32_t flags, uint64_t first, uint64_t n, uint64_t eof);
/* Wait until a page that is being read, or is written back and not up to date, can be looked at;
 *  change: until it is neither read nor written back. group: whose call it is. 0 or -EINTR. */
int pf__page_wait(struct pf__io_inode *ii, const void *group, uint64_t page, bool change);

/* ---- writeback.c */
/* Data was made dirty: it is in the list. Does not wait. */
void pf__io_now_dirty(struct pf__io_inode *ii);
/* All is clean: out of the list. Does not wait. */
void pf__io_maybe_clean(struct pf__io_inode *ii);
/* Somebody who could send dirty data is gone, or a WRITE ended: what is dirty and has nobody to
 * send it any more is given up. Does not wait. The caller holds the inode. */
void pf__io_orphaned(struct pf__io_inode *ii);
/* Room for more dirty data: waits above the limit, begins to write above half of it. 0, -EINTR. */
int pf__io_balance(struct pf__io_inode *ii, const void *group);
/* Send what is dirty in the range, in the background. Does not wait. */
void pf__io_pump(struct pf__io_inode *ii, uint64_t from, uint64_t to);
/* The same up to an offset, and no more at once than the congestion threshold allows: the rest
 * follows by itself. */
void pf__io_write_behind(struct pf__io_inode *ii, uint64_t to);
int pf__io_flush_ii(struct pf__io_inode *ii, uint64_t from, uint64_t to);
void pf__io_record_error(struct pf__io_inode *ii, int error);

/* ---- write.c */
ssize_t pf__cached_write(struct pf__io_file *f, const struct pf__io_call *c,
			 const struct iovec *iov, int iovcnt, uint64_t offset);

#endif
