/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls on file data beside read and write: advice, borrowed memory, counters. */
#include "base/arith.h"
#include "base/errmsg.h"
#include "cache/dircache.h"
#include "vfs/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#define BORROW_ROUNDS 8
#define COPY_MAX      (1u << 20) /* bytes of a loan that is a buffer */
#define DRAIN_MS      200

/* ---- borrowed memory */

/* Where borrowed bytes lie: in a pinned block, or behind this in a buffer. */
struct loan {
	struct pf__open_file *of; /* a reference, while a block is pinned */
	struct pf__block *block;  /* NULL: in bytes */
	char bytes[];
};

static int size_now(struct pf__open_file *of, uint64_t end, const struct pf__from *f,
		    uint64_t *size)
{
	struct pf__attr attr;
	int r;

	pf__inode_attr(of->inode, 0, 0, &attr);
	if (end > attr.attr.size || of->super->io->auto_inval) {
		r = pf__getattr(f, of->inode, PF_ATTR_SIZE | PF_ATTR_MTIME, of, &attr);
		if (r)
			return r;
	}
	*size = attr.attr.size;
	return 0;
}

/* The bytes at offset, if they are up to date and the file's: pinned, and how many lie there in one
 * piece. */
static const char *pin(struct pf__open_file *of, uint64_t offset, size_t max, size_t *n,
		       struct pf__block **block)
{
	struct pf__pages *p = pf__io_pages(&of->io);
	struct pf__stamp stamp;
	const char *at = pf__pages_lend(p, offset, max, n, &stamp, block);

	if (!at)
		return NULL;
	/* From here on they stay: they were the file's at this moment. */
	if (pf__inode_reaches(of->inode, offset + *n) && pf__pages_unchanged(&stamp))
		return at;
	pf__pages_unpin(p, *block);
	return NULL;
}

static ssize_t borrow_cached(struct pf__open_file *of, size_t count, uint64_t offset,
			     struct pf_borrow *b)
{
	struct pf__io_call c;
	struct pf__from f;
	struct pf__attr attr;
	struct loan *loan;
	uint64_t misses = 0;
	size_t n = 0;
	int r;

	pf__from_open(&f, of);
	pf__io_call_of(of, &f, &c);
	r = size_now(of, pf__add_sat_u64(offset, count), &f, &c.size);
	if (r || offset >= c.size)
		return r;
	count = (size_t)pf__min_u64(count, c.size - offset);
	loan = pf__malloc(sizeof *loan);
	if (!loan)
		return -ENOMEM;
	for (unsigned i = 0; i < BORROW_ROUNDS && !r; i++) {
		b->data = pin(of, offset, count, &n, &loan->block);
		if (b->data)
			break;
		misses = pf__pages_spanned(offset, count);
		r = pf__io_lend_wait(&of->io, &c, offset, count, i > 1);
		/* What came may have shown that the file is shorter. */
		pf__inode_attr(of->inode, 0, 0, &attr);
		if (!r && offset >= attr.attr.size) {
			pf__free(loan);
			return 0;
		}
		count = (size_t)pf__min_u64(count, attr.attr.size - offset);
	}
	if (!b->data) {
		pf__free(loan);
		return r == -ENOMEM || !r ? PF_NO_ROOM : r; /* or it does not stay */
	}
	pf__io_lent(&of->io, &c, offset, n, misses);
	atomic_fetch_add(&of->refs, 1);
	loan->of = of;
	b->owner = loan;
	b->length = n;
	return (ssize_t)n;
}

static ssize_t borrow_copy(struct pf__open_file *of, size_t count, off_t offset,
			   struct pf_borrow *b)
{
	struct loan *loan;
	struct iovec iov;
	ssize_t n;

	count = pf__min_u64(count, COPY_MAX);
	loan = pf__malloc(sizeof *loan + count);
	if (!loan)
		return -ENOMEM;
	*loan = (struct loan){0};
	iov = (struct iovec){loan->bytes, count};
	n = pf__read_at(of, &iov, 1, offset);
	if (n <= 0) {
		pf__free(loan);
		return n;
	}
	*b = (struct pf_borrow){.data = loan->bytes, .length = (size_t)n, .owner = loan};
	return n;
}

static ssize_t borrow(struct pf_file *file, size_t count, off_t offset, struct pf_borrow *b)
{
	struct pf__open_file *of;
	ssize_t n = pf__file_check(file, PF_NEED_HANDLE | PF_NEED_READ | PF_NEED_REGULAR, &of);

	if (n)
		return n;
	if (offset < 0)
		return -EINVAL;
	if (!pf__file_seekable(of))
		return -ESPIPE;
	if (!count)
		return 0;
	n = PF_NO_ROOM;
	if (pf__io_is_cached(&of->io, (uint32_t)atomic_load(&of->flags)))
		n = borrow_cached(of, count, (uint64_t)offset, b);
	return n == PF_NO_ROOM ? borrow_copy(of, count, offset, b) : n;
}

ssize_t pf_read_borrow(struct pf_file *file, size_t count, off_t offset, struct pf_borrow *b)
{
	ssize_t n;

	*b = (struct pf_borrow){0};
	n = borrow(file, count, offset, b);
	return n < 0 ? pf__fail_op((int)n, "read", NULL) : n;
}

void pf_read_return(struct pf_borrow *b)
{
	struct loan *loan = b->owner;

	if (!loan)
		return;
	if (loan->block) {
		if (!atomic_load(&loan->of->super->stopped)) /* else it is gone */
			pf__pages_unpin(pf__io_pages(&loan->of->io), loan->block);
		pf__open_file_put(loan->of);
	}
	pf__free(loan);
	*b = (struct pf_borrow){0};
}

/* ---- advice */

static void set_advice(struct pf__open_file *of, enum pf__ra_advice advice)
{
	/* A reader may be at it: what it decides by the old advice does no harm. */
	__atomic_store_n(&of->io.ra.advice, advice, __ATOMIC_RELAXED);
}

static int will_need(struct pf__open_file *of, off_t offset, off_t length)
{
	struct pf__attr attr;
	struct pf__from f;
	int r;

	pf__from_open(&f, of);
	r = pf__getattr(&f, of->inode, PF_ATTR_SIZE, of, &attr);
	if (!r)
		pf__io_will_need(&of->io, pf__wire_flags(atomic_load(&of->flags)), (uint64_t)offset,
				 length ? (uint64_t)length : UINT64_MAX, attr.attr.size);
	return 0; /* it was advice */
}

/* Only pages that lie in the range as a whole go, as in Linux. */
static int dont_need(struct pf__open_file *of, off_t offset, off_t length)
{
	uint64_t from = PF_ALIGN_UP((uint64_t)offset, (uint64_t)PF_PAGE), to = UINT64_MAX;
	struct pf__io *io = of->super->io;

	if (length)
		to = PF_ALIGN_DOWN((uint64_t)offset + (uint64_t)length, (uint64_t)PF_PAGE);
	if (from >= to)
		return 0;
	pf__io_flush_begin(io, of->inode, from, to);
	pf__io_drop(io, of->inode, from, to == UINT64_MAX ? to : to - from);
	return 0;
}

static int advise(struct pf_file *file, off_t offset, off_t length, int advice)
{
	struct pf__open_file *of;
	int r = pf__file_check(file, PF_NEED_HANDLE | PF_NEED_REGULAR, &of);

	if (r)
		return r;
	if (offset < 0 || length < 0)
		return -EINVAL;
	if (!pf__file_seekable(of))
		return -ESPIPE;
	switch (advice) {
	case POSIX_FADV_NORMAL:
		set_advice(of, PF_RA_NORMAL);
		return 0;
	case POSIX_FADV_SEQUENTIAL:
		set_advice(of, PF_RA_SEQUENTIAL);
		return 0;
	case POSIX_FADV_RANDOM:
		set_advice(of, PF_RA_RANDOM);
		return 0;
	case POSIX_FADV_WILLNEED:
		return will_need(of, offset, length);
	case POSIX_FADV_DONTNEED:
		return dont_need(of, offset, length);
	case POSIX_FADV_NOREUSE:
		return 0;
	default:
		return -EINVAL;
	}
}

int pf_fadvise(struct pf_file *file, off_t offset, off_t length, int advice)
{
	int r = advise(file, offset, length, advice);

	return r ? pf__fail_op(r, "fadvise", NULL) : 0;
}

#define SYNC_FLAGS                                                                                 \
	(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)

static int sync_range(struct pf_file *file, off_t offset, off_t length, unsigned flags)
{
	struct pf__open_file *of;
	uint64_t end = UINT64_MAX;
	int r = pf__file_check(file, PF_NEED_HANDLE | PF_NEED_REGULAR, &of), late;

	if (r)
		return r;
	if (offset < 0 || length < 0 || (flags & ~(unsigned)SYNC_FLAGS) ||
	    __builtin_add_overflow(offset, length, &(off_t){0}))
		return -EINVAL;
	if (length)
		end = (uint64_t)offset + (uint64_t)length;
	if (flags & SYNC_FILE_RANGE_WAIT_BEFORE)
		r = pf__io_wait(of->super->io, of->inode, (uint64_t)offset, end);
	if (!r && (flags & SYNC_FILE_RANGE_WRITE))
		pf__io_flush_begin(of->super->io, of->inode, (uint64_t)offset, end);
	if (!r && (flags & SYNC_FILE_RANGE_WRITE) && (flags & SYNC_FILE_RANGE_WAIT_AFTER))
		r = pf__io_flush(of->super->io, of->inode, (uint64_t)offset, end);
	else if (!r && (flags & SYNC_FILE_RANGE_WAIT_AFTER))
		r = pf__io_wait(of->super->io, of->inode, (uint64_t)offset, end);
	late = flags & (SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER)
		   ? pf__io_error(&of->io)
		   : 0;
	return r ? r : late;
}

int pf_sync_file_range(struct pf_file *file, off_t offset, off_t length, unsigned flags)
{
	int r = sync_range(file, offset, length, flags);

	return r ? pf__fail_op(r, "sync_file_range", NULL) : 0;
}

/* ---- counters */

static void often(const struct pf__io_stats *s, struct pf_stats *st)
{
	for (unsigned i = 0; i < PF_IO_COUNTERS; i++) {
		st->reads_cached += atomic_load(&s->often[i].reads_cached);
		st->page_hits += atomic_load(&s->often[i].page_hits);
		st->page_misses += atomic_load(&s->often[i].page_misses);
		st->bytes_read += atomic_load(&s->often[i].bytes_read);
	}
}

void pf__stats(const struct pf__super *super, struct pf_stats *st)
{
	const struct pf__io_stats *s = &super->io->stats;
	struct pf__arena_stats a;

	pf__arena_stats(super->io->arena, &a);
	*st = (struct pf_stats){
	    .size = sizeof *st,
	    .reads_direct = atomic_load(&s->reads_direct),
	    .writes_through = atomic_load(&s->writes_through),
	    .writes_back = atomic_load(&s->writes_back),
	    .writes_direct = atomic_load(&s->writes_direct),
	    .writes_parallel = atomic_load(&s->writes_parallel),
	    .bytes_written = atomic_load(&s->bytes_written),
	    .readahead_pages = a.ahead,
	    .readahead_hits = a.ahead_hits,
	    .readahead_waste = a.ahead_waste,
	    .pages = a.pages,
	    .pages_dirty = a.dirty,
	    .pages_writeback = a.writeback,
	    .pages_flushed = atomic_load(&s->flushed),
	    .pages_evicted = a.evicted,
	    .pages_dropped = a.dropped,
	    .pages_lost = atomic_load(&s->lost),
	    .cache_bytes = a.bytes,
	    .cache_limit = a.limit,
	    .cache_peak = a.peak,
	    .dirty_waits = atomic_load(&s->dirty_waits),
	    .dir_cache_hits = atomic_load(&s->dir_cache_hits),
	    .reads_passthrough = atomic_load(&s->reads_passthrough),
	    .writes_passthrough = atomic_load(&s->writes_passthrough),
	};
	often(s, st);
}

int pf_stats(struct pf_fs *fs, struct pf_stats *stats)
{
	size_t size = stats->size;
	struct pf_stats st;

	if (size < sizeof stats->size)
		return pf__fail_op(-EINVAL, "stats", NULL);
	if (atomic_load(&fs->super->stopped))
		return pf__fail_op(-ENOTCONN, "stats", NULL);
	pf__stats(fs->super, &st);
	memset(stats, 0, size);
	memcpy(stats, &st, size < sizeof st ? size : sizeof st);
	stats->size = size;
	return 0;
}

int pf_drop_caches(struct pf_fs *fs)
{
	struct pf__super *s = fs->super;
	int r;

	if (atomic_load(&s->stopped))
		return pf__fail_op(-ENOTCONN, "drop_caches", NULL);
	r = pf__io_sync_all(s->io, UINT64_MAX);
	pf__io_drop_all(s->io);
	pf__dircache_drop_all(s->cache);
	/* Files that were just closed are in use until their RELEASE is answered. */
	pf__conn_drain(s->conn, DRAIN_MS);
	pf__cache_shrink(s->cache);
	pf__conn_flush_forgets(s->conn);
	pf__arena_trim(s->io->arena, true);
	return r ? pf__fail_op(r, "drop_caches", NULL) : 0;
}
