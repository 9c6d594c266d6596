/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one place that decides which path an open file's reads and writes take, and who waits.
 *
 *	open                                        path         counts as
 *	FOPEN_PASSTHROUGH                           passthrough  passing through, until release
 *	the same with FOPEN_DIRECT_IO               direct       the same; maps the backing file
 *	FOPEN_DIRECT_IO, FOPEN_STREAM, cache=none   direct       nobody; a shared mapping: caching
 *	else, regular file                          cached       caching, until release
 *	else (directories)                          direct       nobody
 *
 * While some pass through, who does not, or has another backing file, gets EIO; while some cache,
 * who would pass through does. So there is one place for a file's data at a time.
 *
 * O_DIRECT takes the direct path call by call, on a file that counts as caching.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/futex.h"
#include "io/inode.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <portfire/portfire.h>

/* ---- the writers' gate */

static bool try_pass(struct pf__io_inode *ii, bool shared)
{
	int state = atomic_load(&ii->gate);

	while (state == 0 || (shared && state > 0))
		if (atomic_compare_exchange_weak(&ii->gate, &state, shared ? state + 1 : -1))
			return true;
	return false;
}

static void wake_gate(struct pf__io_inode *ii)
{
	if (!atomic_load(&ii->gate_waiters))
		return;
	atomic_fetch_add(&ii->gate_turn, 1);
	pf__futex_wake(&ii->gate_turn, INT_MAX);
}

static void pass(struct pf__io_inode *ii, bool shared)
{
	if (try_pass(ii, shared))
		return;
	atomic_fetch_add(&ii->gate_waiters, 1);
	for (;;) {
		uint32_t turn = atomic_load(&ii->gate_turn);

		if (try_pass(ii, shared))
			break;
		pf__futex_wait(&ii->gate_turn, turn, PF_TIME_FOREVER);
	}
	atomic_fetch_sub(&ii->gate_waiters, 1);
}

static void leave(struct pf__io_inode *ii, bool shared)
{
	if (shared)
		atomic_fetch_sub(&ii->gate, 1);
	else
		atomic_store(&ii->gate, 0);
	wake_gate(ii);
}

bool pf__io_may_share(struct pf__io_file *f, bool append, uint64_t end)
{
	struct pf__attr attr;

	if (append || !(f->open_flags & FOPEN_PARALLEL_DIRECT_WRITES) || !f->ii ||
	    atomic_load(&f->ii->users))
		return false;
	pf__inode_attr(f->inode, 0, 0, &attr);
	return end <= attr.attr.size;
}

int pf__io_write_begin(struct pf__io_file *f, bool shared, bool nowait)
{
	struct pf__io_inode *ii = f->ii ? f->ii : pf__io_inode(f->io, f->inode);

	if (!ii)
		return -ENOMEM;
	if (nowait)
		return try_pass(ii, false) ? shared : -EAGAIN;
	pass(ii, shared);
	if (shared && atomic_load(&ii->users)) {
		/* Somebody began to cache meanwhile, and may be waiting for us: go alone. */
		leave(ii, true);
		pass(ii, false);
		return 1;
	}
	return 0;
}

void pf__io_write_end(struct pf__io_file *f, bool shared)
{
	leave(f->ii ? f->ii : pf__inode_io(f->inode), shared);
}

void pf__io_count_parallel(struct pf__io_file *f)
{
	pf__io_count(&f->io->stats.writes_parallel, 1);
}

int pf__io_gate_enter(struct pf__io *io, struct pf__inode *inode)
{
	struct pf__io_inode *ii = pf__io_inode(io, inode);

	if (!ii)
		return -ENOMEM;
	pass(ii, false);
	return 0;
}

void pf__io_gate_leave(struct pf__io *io, struct pf__inode *inode)
{
	leave(pf__inode_io(inode), false);
}

/* ---- users */

static bool passed_through(struct pf__io_inode *ii)
{
	bool yes;

	pf__mutex_lock(&ii->io->lock);
	yes = ii->backing;
	pf__mutex_unlock(&ii->io->lock);
	return yes;
}

/* False: others pass through. */
static bool count_caching(struct pf__io_inode *ii)
{
	bool may;

	pf__mutex_lock(&ii->io->lock);
	may = !ii->backing;
	if (may)
		atomic_fetch_add(&ii->users, 1);
	pf__mutex_unlock(&ii->io->lock);
	return may;
}

/* A new caching user keeps new shared writers out by being counted, and waits for those inside. */
static bool begin_caching(struct pf__io_inode *ii)
{
	if (!count_caching(ii))
		return false;
	if (atomic_load(&ii->gate) <= 0)
		return true;
	atomic_fetch_add(&ii->gate_waiters, 1);
	for (;;) {
		uint32_t turn = atomic_load(&ii->gate_turn);

		if (atomic_load(&ii->gate) <= 0)
			break;
		pf__futex_wait(&ii->gate_turn, turn, PF_TIME_FOREVER);
	}
	atomic_fetch_sub(&ii->gate_waiters, 1);
	return true;
}

static uint32_t cleaned(const struct pf__io_file *f, uint32_t open_flags)
{
	if (S_ISDIR(pf__inode_type(f->inode)))
		open_flags &= ~(FOPEN_DIRECT_IO | FOPEN_PASSTHROUGH);
	else if (open_flags & FOPEN_PASSTHROUGH)
		; /* none of its data is cached */
	else if (f->io->config.cache == PF_CACHE_NONE)
		open_flags |= FOPEN_DIRECT_IO;
	else if (f->io->config.cache == PF_CACHE_ALWAYS)
		open_flags |= FOPEN_KEEP_CACHE;
	if (!(open_flags & FOPEN_DIRECT_IO))
		open_flags &= ~FOPEN_PARALLEL_DIRECT_WRITES;
	if (open_flags & FOPEN_STREAM)
		open_flags &= ~FOPEN_NONSEEKABLE;
	return open_flags;
}

static void register_writer(struct pf__io_file *f)
{
	struct pf__io_inode *ii = f->ii;

	pf__mutex_lock(&f->io->lock);
	if (f->writable)
		pf__list_add_tail(&ii->writers, &f->writer);
	/* An error that nobody was told of is this file's news as well. */
	f->seen_error = ii->error_seq - (ii->error_seq && !ii->error_seen);
	pf__mutex_unlock(&f->io->lock);
	pf__io_update_owned(ii);
}

/* What an earlier open left in the cache. */
static int drop_for_open(struct pf__io_file *f)
{
	int r;

	if ((f->open_flags & FOPEN_KEEP_CACHE) || !atomic_load(&f->ii->pages.nblocks))
		return 0;
	r = pf__io_flush_ii(f->ii, 0, UINT64_MAX);
	if (r == -EINTR)
		return r;
	pf__pages_drop(&f->ii->pages, 0, UINT64_MAX);
	return 0;
}

/* A path beside which nobody needs to be kept out; caching is the others' business. */
static int open_uncached(struct pf__io_file *f, int backing_id, int flags)
{
	int r;

	if (f->open_flags & FOPEN_PASSTHROUGH) {
		r = pf__io_backing_open(f, backing_id, flags);
		if (r)
			return r;
		if (!(f->open_flags & FOPEN_DIRECT_IO))
			f->ops = &pf__io_passthrough;
	} else if (passed_through(f->ii)) {
		return -EIO;
	}
	register_writer(f);
	return drop_for_open(f);
}

int pf__io_file_open(struct pf__io_file *f, uint32_t open_flags, int backing_id, int flags)
{
	bool regular = S_ISREG(pf__inode_type(f->inode));

	f->wants_direct = open_flags & FOPEN_DIRECT_IO;
	f->open_flags = cleaned(f, open_flags);
	f->writable = (flags & O_ACCMODE) != O_RDONLY;
	f->write_only = (flags & O_ACCMODE) == O_WRONLY;
	f->ops = &pf__io_direct;
	pf__ra_init(&f->ra);
	f->ra_mark = f->ra.mark;
	if (!regular)
		return 0;
	f->ii = pf__io_inode(f->io, f->inode);
	if (!f->ii)
		return -ENOMEM;
	if (f->open_flags & (FOPEN_DIRECT_IO | FOPEN_STREAM | FOPEN_PASSTHROUGH))
		return open_uncached(f, backing_id, flags);
	if (!begin_caching(f->ii))
		return -EIO;
	f->ops = &pf__io_cached;
	f->caching = true;
	register_writer(f);
	return drop_for_open(f);
}

const struct pf__io_ops *pf__io_path(const struct pf__io_file *f, uint32_t flags)
{
	return f->ops == &pf__io_cached && flags & O_DIRECT ? &pf__io_direct : f->ops;
}

bool pf__io_is_cached(const struct pf__io_file *f, uint32_t flags)
{
	return f->ops == &pf__io_cached && !(flags & O_DIRECT);
}

int pf__io_may_map(struct pf__io_file *f, bool shared)
{
	if (f->ops == &pf__io_cached)
		return 0;
	if (passed_through(f->ii))
		return -ENODEV;
	if (!shared) { /* what it shows should not be older than now */
		pf__pages_drop(&f->ii->pages, 0, UINT64_MAX);
		return 0;
	}
	if (f->wants_direct && !pf__conn_has(f->conn, FUSE_DIRECT_IO_ALLOW_MMAP))
		return -ENODEV;
	if (atomic_exchange(&f->mapped, true) || begin_caching(f->ii))
		return 0;
	atomic_store(&f->mapped, false);
	return -ENODEV;
}

static bool is_last_writer(struct pf__io_file *f)
{
	bool last;

	pf__mutex_lock(&f->io->lock);
	last = f->writable && !pf__list_empty(&f->writer) &&
	       f->writer.next == f->writer.prev; /* the list's head on both sides */
	pf__mutex_unlock(&f->io->lock);
	return last;
}

void pf__io_file_close(struct pf__io_file *f)
{
	struct pf__io_inode *ii = f->ii;

	if (!ii)
		return;
	/* What still waits must go now, or never. */
	if (atomic_load(&ii->listed) && is_last_writer(f))
		(void)pf__io_flush_ii(ii, 0, UINT64_MAX);
	pf__mutex_lock(&f->io->lock);
	if (f->writable)
		pf__list_del(&f->writer);
	pf__mutex_unlock(&f->io->lock);
	pf__io_orphaned(ii);
	pf__io_update_owned(ii);
	if (f->caching || atomic_load(&f->mapped))
		atomic_fetch_sub(&ii->users, 1);
	f->caching = false;
	atomic_store(&f->mapped, false);
	pf__io_backing_detach(f);
}

void pf__io_file_get(struct pf__io_file *f)
{
	atomic_fetch_add_explicit(&f->users, 1, memory_order_relaxed);
}

void pf__io_file_put(struct pf__io_file *f)
{
	if (atomic_fetch_sub(&f->users, 1) == 1)
		f->idle(f);
}
