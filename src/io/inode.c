/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O state of one inode, and that of one file system. */
#include "io/inode.h"
#include "base/alloc.h"
#include "base/arith.h"
#include "base/clock.h"
#include "base/memory.h"
#include <errno.h>
#include <portfire/portfire.h>

#define DIRTY_EXPIRE_MS 5000
#define MAX_DIRTY_BYTES (256ull << 20)
#define MIN_DIRTY_PAGES 64u

static void set_limits(struct pf__io *io)
{
	struct pf__io_config *c = &io->config;
	uint64_t dirty;

	if (!c->cache_bytes)
		c->cache_bytes = pf__memory() / 4;
	c->cache_bytes = pf__max_u64(c->cache_bytes, 1 << 20);
	if (!c->dirty_expire_ms)
		c->dirty_expire_ms = DIRTY_EXPIRE_MS;
	if (!c->dirty_bytes)
		c->dirty_bytes = pf__min_u64(c->cache_bytes / 8, MAX_DIRTY_BYTES);
	/* Half of the cache can always be let go. */
	dirty = pf__min_u64(c->dirty_bytes, c->cache_bytes / 2) / PF_PAGE;
	io->dirty_limit = pf__max_u64(dirty, MIN_DIRTY_PAGES);
	io->dirty_background = io->dirty_limit / 2;
}

int pf__io_open(struct pf__io **out, struct pf__conn *conn, struct pf__cache *cache,
		const struct pf__io_config *config)
{
	const struct pf__init_got *got = pf__conn_got(conn);
	struct pf__io *io = pf__calloc(1, sizeof *io);

	*out = io;
	if (!io)
		return -ENOMEM;
	io->conn = conn;
	io->cache = cache;
	io->config = *config;
	io->writeback = pf__conn_has(conn, FUSE_WRITEBACK_CACHE);
	io->auto_inval = pf__conn_has(conn, FUSE_AUTO_INVAL_DATA);
	io->explicit_inval = !io->auto_inval && pf__conn_has(conn, FUSE_EXPLICIT_INVAL_DATA);
	io->async_read = pf__conn_has(conn, FUSE_ASYNC_READ);
	io->readahead = got->max_readahead / PF_PAGE;
	set_limits(io);
	/* A window is a small part of what can be kept. */
	io->readahead = (unsigned)pf__min_u64(io->readahead, io->config.cache_bytes / PF_PAGE / 8);
	pf__mutex_init(&io->lock, PF_RANK_IO);
	pf__list_init(&io->dirty);
	if (pf__arena_open(&io->arena, io->config.cache_bytes)) {
		pf__mutex_destroy(&io->lock);
		pf__free(io);
		*out = NULL;
		return -ENOMEM;
	}
	return 0;
}

void pf__io_close(struct pf__io *io)
{
	if (!io)
		return;
	pf__arena_close(io->arena);
	pf__mutex_destroy(&io->lock);
	pf__free(io);
}

unsigned pf__io_stripe(void)
{
	static _Atomic unsigned next;
	static __thread unsigned mine;

	if (!mine)
		mine = atomic_fetch_add(&next, 1) % PF_IO_COUNTERS + 1;
	return mine - 1;
}

/* ---- inodes */

static void io_inode_free(void *p)
{
	struct pf__io_inode *ii = p;

	pf__pages_destroy(&ii->pages);
	pf__free(ii);
}

struct pf__io_inode *pf__io_inode(struct pf__io *io, struct pf__inode *inode)
{
	struct pf__io_inode *ii = pf__inode_io(inode);

	if (ii)
		return ii;
	ii = pf__calloc(1, sizeof *ii);
	if (!ii)
		return NULL;
	ii->io = io;
	ii->inode = inode;
	pf__list_init(&ii->writers);
	pf__list_init(&ii->dirty);
	pf__pages_init(&ii->pages, io->arena);
	return pf__inode_set_io(inode, ii, io_inode_free);
}

static bool times_dirty(const struct pf__io_inode *ii)
{
	return atomic_load(&ii->times) != atomic_load(&ii->times_sent);
}

void pf__io_update_owned(struct pf__io_inode *ii)
{
	struct pf__io *io = ii->io;
	bool owned;

	if (!io->writeback)
		return;
	pf__mutex_lock(&io->lock);
	owned = !pf__list_empty(&ii->writers) || atomic_load(&ii->listed) || times_dirty(ii);
	if (owned != ii->owned) {
		ii->owned = owned;
		pf__inode_set_owned(io->cache, ii->inode, owned);
	}
	pf__mutex_unlock(&io->lock);
}

/* ---- times */

struct growth {
	struct pf__io_inode *ii;
	uint64_t offset, end;
	const struct pf__slice *bytes;
	bool stored; /* by the server */
};

/* Behind the old end the pages have zeros that were made up: those of a READ that was cut there, or
 * of a mapping. Before offset it is the server's to say what is there; then come the bytes. */
static void grown(void *ctx, uint64_t old_size)
{
	struct growth *g = ctx;
	struct pf__slice s;

	if (!g->bytes) {
		pf__pages_drop(&g->ii->pages, old_size, g->end - old_size);
		return;
	}
	/* A page that the server stores to stays valid: it knows of the gap. */
	if (g->offset > old_size && !(g->stored && g->offset / PF_PAGE == old_size / PF_PAGE))
		pf__pages_drop(&g->ii->pages, old_size, g->offset - old_size);
	s = *g->bytes;
	pf__pages_put_clean(&g->ii->pages, g->offset, g->end - g->offset, UINT64_MAX, &s,
			    &(struct pf__spare){0});
}

static void grow(struct pf__io *io, struct pf__inode *inode, struct growth *g, uint32_t invalid)
{
	if (g->ii)
		pf__inode_grow(io->cache, inode, g->end, invalid, grown, g);
	else
		pf__inode_local_write(io->cache, inode, g->end, false, invalid);
}

void pf__io_note_store(struct pf__io *io, struct pf__inode *inode, uint64_t offset, uint64_t end,
		       const struct pf__slice *bytes)
{
	struct growth g = {pf__io_inode_known(inode), offset, end, bytes, true};

	grow(io, inode, &g, 0);
}

/* Zeros behind the old end are true here, but not where the new bytes are: a page of these may have
 * been written back, dropped and read again before the new size was told, up to the old one. */
static void grown_owned(void *ctx, uint64_t old_size)
{
	struct growth *g = ctx;
	uint64_t from = pf__max_u64(g->offset, old_size);

	pf__pages_drop_clean(&g->ii->pages, from, g->end - from);
}

void pf__io_grow_owned(struct pf__io_inode *ii, uint64_t offset, uint64_t end)
{
	struct timespec now = pf__wall_clock(pf__conn_got(ii->io->conn)->time_gran);
	struct growth g = {ii, offset, end, NULL, false};

	pf__inode_owned_write(ii->io->cache, ii->inode, end, &now, grown_owned, &g);
}

void pf__io_note_write(struct pf__io *io, struct pf__inode *inode, uint64_t offset, uint64_t end,
		       const struct pf__slice *bytes)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);

	if (!ii || !pf__inode_owned(inode)) {
		struct growth g = {ii, offset, end, bytes, false};

		grow(io, inode, &g, PF_ATTR_MODIFIED);
		return;
	}
	pf__io_grow_owned(ii, offset, end);
	pf__inode_invalidate(io->cache, inode, PF_ATTR_BLOCKS);
	atomic_fetch_add(&ii->times, 1);
}

static void touch(struct pf__io *io, struct pf__inode *inode, bool mtime)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);
	struct timespec now;

	if (!ii || !pf__inode_owned(inode))
		return;
	now = pf__wall_clock(pf__conn_got(io->conn)->time_gran);
	pf__inode_owned_times(io->cache, inode, &now, mtime);
	atomic_fetch_add(&ii->times, 1);
}

void pf__io_touch_ctime(struct pf__io *io, struct pf__inode *inode)
{
	touch(io, inode, false);
}

void pf__io_touch_mtime(struct pf__io *io, struct pf__inode *inode)
{
	touch(io, inode, true);
}

uint32_t pf__io_times_add(struct pf__io *io, struct pf__inode *inode, struct fuse_setattr_in *in)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);
	uint32_t seq = ii ? atomic_load(&ii->times) : 0;
	struct pf__attr a;

	if (!ii || seq == atomic_load(&ii->times_sent))
		return 0;
	pf__inode_attr(inode, 0, 0, &a);
	if (!(in->valid & FATTR_MTIME)) {
		in->valid |= FATTR_MTIME;
		in->mtime = a.attr.mtime;
		in->mtimensec = a.attr.mtimensec;
	}
	if (pf__conn_got(io->conn)->dialect.minor >= 23) {
		in->valid |= FATTR_CTIME;
		in->ctime = a.attr.ctime;
		in->ctimensec = a.attr.ctimensec;
	}
	return seq;
}

void pf__io_times_sent(struct pf__io *io, struct pf__inode *inode, uint32_t seq)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);

	if (!ii || !seq)
		return;
	atomic_store(&ii->times_sent, seq);
	pf__io_update_owned(ii);
}

struct pf__io_file *pf__io_writer_get(struct pf__io *io, struct pf__inode *inode)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);
	struct pf__io_file *f = NULL;

	if (!ii)
		return NULL;
	pf__mutex_lock(&io->lock);
	if (!pf__list_empty(&ii->writers)) {
		f = pf__list_entry(ii->writers.next, struct pf__io_file, writer);
		pf__io_file_get(f);
	}
	pf__mutex_unlock(&io->lock);
	return f;
}
