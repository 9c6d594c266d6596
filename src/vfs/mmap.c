/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that is a file's cached data: the arena's memfd mapped once more, block by block. Its
 * pages are pinned. No fault tells what a program changed through it, so each page of a writable
 * shared mapping has a checksum of what it was; msync and munmap compare.
 *
 * Where an open passes through the backing file itself is mapped, and all of that is the kernel's.
 */
#include "base/arith.h"
#include "base/errmsg.h"
#include "base/hash.h"
#include "base/sigbus.h"
#include "vfs/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
/* Beside the type: what we do anyway. */
#define KNOWN_FLAGS (MAP_TYPE | MAP_NORESERVE | MAP_POPULATE)

struct pf_mapping {
	struct pf__open_file *of; /* a reference */
	char *base;
	size_t length; /* whole pages */
	uint64_t offset;
	bool native;  /* of a backing file: none of the following */
	bool tracked; /* shared and writable */
	uint64_t seed;
	uint64_t *sums; /* a page each; NULL unless tracked */
	size_t nblocks;
	struct pf__block *blocks[]; /* pinned */
};

void *pf_mapping_address(const struct pf_mapping *m)
{
	return m->base;
}

/* ---- making one */

static int check(struct pf_file *file, size_t length, int prot, int flags, off_t offset,
		 struct pf__open_file **of)
{
	bool shared = (flags & MAP_TYPE) == MAP_SHARED;
	int r = pf__file_check(file, PF_NEED_HANDLE | PF_NEED_REGULAR, of);

	if (r)
		return r == -EISDIR ? -ENODEV : r;
	if (!length || offset < 0 || offset % PF_PAGE || (prot & ~(PROT_READ | PROT_WRITE)) ||
	    (!shared && (flags & MAP_TYPE) != MAP_PRIVATE) || (flags & ~KNOWN_FLAGS))
		return -EINVAL;
	if ((atomic_load(&(*of)->flags) & O_ACCMODE) == O_WRONLY ||
	    (shared && (prot & PROT_WRITE) && !(*of)->io.writable))
		return -EACCES;
	if (__builtin_add_overflow(offset, (off_t)length, &(off_t){0}))
		return -EOVERFLOW;
	if (pf__inode_type((*of)->inode) != S_IFREG)
		return -ENODEV;
	if ((*of)->io.backing)
		return 0;
	if (length > (*of)->super->io->config.cache_bytes / 2)
		return -ENOMEM;
	return pf__io_may_map(&(*of)->io, shared);
}

static struct pf_mapping *mapping_new(struct pf__open_file *of, size_t length, int prot, int flags,
				      off_t offset)
{
	size_t pages = (length + PF_PAGE - 1) / PF_PAGE;
	uint64_t first = (uint64_t)offset >> PF_BLOCK_SHIFT;
	uint64_t last = ((uint64_t)offset + length - 1) >> PF_BLOCK_SHIFT;
	struct pf_mapping *m =
	    pf__calloc(1, sizeof *m + (size_t)(last - first + 1) * sizeof m->blocks[0]);

	if (!m)
		return NULL;
	m->of = of;
	m->base = MAP_FAILED;
	m->length = pages * PF_PAGE;
	m->offset = (uint64_t)offset;
	m->tracked = (flags & MAP_TYPE) == MAP_SHARED && (prot & PROT_WRITE);
	m->seed = of->super->owner_key[0];
	if (m->tracked)
		m->sums = pf__calloc(pages, sizeof *m->sums);
	if (m->tracked && !m->sums) {
		pf__free(m);
		return NULL;
	}
	atomic_fetch_add(&of->refs, 1);
	return m;
}

static void mapping_free(struct pf_mapping *m)
{
	struct pf__open_file *of = m->of;

	if (m->native && m->base != MAP_FAILED)
		pf__sigbus_forget(m->base);
	if (m->base != MAP_FAILED)
		munmap(m->base, m->length);
	/* After pf_stop() the memory was the mapping's alone. */
	for (size_t i = 0; !atomic_load(&of->super->stopped) && i < m->nblocks; i++)
		pf__pages_unpin_range(pf__io_pages(&of->io), m->blocks[i], m->tracked);
	pf__free(m->sums);
	pf__free(m);
	pf__open_file_put(of);
}

/* The part of the mapping that lies in its i-th block. */
static size_t part(const struct pf_mapping *m, size_t i, uint64_t *offset)
{
	uint64_t end = m->offset + m->length, start = m->offset, block;

	block = ((m->offset >> PF_BLOCK_SHIFT) + i) << PF_BLOCK_SHIFT;
	start = pf__max_u64(start, block);
	end = pf__min_u64(end, block + PF_BLOCK);
	*offset = start;
	return (size_t)(end - start);
}

/* Pin the i-th block, read in. Behind the end of the file there is nothing to read: zeros. */
static int pin_part(struct pf_mapping *m, size_t i, struct pf__io_call *c)
{
	uint64_t offset;
	size_t len = part(m, i, &offset);
	int r = pf__io_pin_range(&m->of->io, c, offset, len, m->tracked, &m->blocks[i]);

	if (!r)
		m->nblocks = i + 1;
	return r;
}

static int map_part(const struct pf_mapping *m, size_t i, int prot, int flags)
{
	uint64_t offset;
	size_t len = part(m, i, &offset);
	uint64_t at = pf__block_position(m->blocks[i]) + (offset & (PF_BLOCK - 1));
	void *p = mmap(m->base + (offset - m->offset), len, prot, (flags & MAP_TYPE) | MAP_FIXED,
		       pf__arena_fd(m->of->super->io->arena), (off_t)at);

	return p == MAP_FAILED ? -errno : 0;
}

static void note_sums(struct pf_mapping *m)
{
	for (size_t i = 0; m->tracked && i < m->length / PF_PAGE; i++)
		m->sums[i] = pf__hash_bytes(m->seed, m->base + i * PF_PAGE, PF_PAGE);
}

static int mapping_fill(struct pf_mapping *m, int prot, int flags)
{
	size_t parts =
	    ((m->offset + m->length - 1) >> PF_BLOCK_SHIFT) - (m->offset >> PF_BLOCK_SHIFT) + 1;
	struct pf__io_call c;
	struct pf__attr attr;
	struct pf__from f;
	int r;

	pf__from_open(&f, m->of);
	pf__io_call_of(m->of, &f, &c);
	r = pf__getattr(&f, m->of->inode, PF_ATTR_SIZE, m->of, &attr);
	c.size = attr.attr.size;
	m->base = mmap(NULL, m->length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!r && m->base == MAP_FAILED)
		r = -ENOMEM;
	for (size_t i = 0; i < parts && !r; i++)
		r = pin_part(m, i, &c);
	for (size_t i = 0; i < parts && !r; i++)
		r = map_part(m, i, prot, flags);
	if (!r)
		note_sums(m);
	return r;
}

/* As the kernel does it; but nobody who cuts the file kills who looks at it. */
static int map_backing(struct pf__open_file *of, size_t length, int prot, int flags, off_t offset,
		       struct pf_mapping **out)
{
	struct pf_mapping *m = pf__calloc(1, sizeof *m);
	int r = 0;

	if (!m)
		return -ENOMEM;
	atomic_fetch_add(&of->refs, 1);
	*m = (struct pf_mapping){.of = of,
				 .native = true,
				 .length = PF_ALIGN_UP(length, (size_t)PF_PAGE),
				 .offset = (uint64_t)offset};
	m->base = mmap(NULL, m->length, prot, flags, of->io.backing_fd, offset);
	if (m->base == MAP_FAILED)
		r = -errno;
	if (!r)
		r = pf__sigbus_guard(m->base, m->length, prot & PROT_WRITE);
	if (r) {
		mapping_free(m);
		return r;
	}
	if (!of->super->mount.read_only)
		pf__inode_invalidate(of->super->cache, of->inode, PF_ATTR_ATIME);
	*out = m;
	return 0;
}

int pf_mmap(struct pf_file *file, size_t length, int prot, int flags, off_t offset,
	    struct pf_mapping **mapping)
{
	struct pf__open_file *of;
	struct pf_mapping *m;
	int r = check(file, length, prot, flags, offset, &of);

	*mapping = NULL;
	if (r == -ENOMEM)
		return pf__fail(r, "mmap: %zu bytes are more than half of the cache:", length);
	if (!r && of->io.backing)
		r = map_backing(of, length, prot, flags, offset, mapping);
	if (r || of->io.backing)
		return r ? pf__fail_op(r, "mmap", NULL) : 0;
	m = mapping_new(of, length, prot, flags, offset);
	r = m ? mapping_fill(m, prot, flags) : -ENOMEM;
	if (r) {
		if (m)
			mapping_free(m);
		return pf__fail_op(r, "mmap", NULL);
	}
	*mapping = m;
	return 0;
}

/* ---- what was changed */

static int note_changes(struct pf_mapping *m, size_t offset, size_t length)
{
	size_t first = offset / PF_PAGE, end = (offset + length + PF_PAGE - 1) / PF_PAGE;
	struct pf__attr attr;
	int r = 0;

	for (size_t i = first; i < end && !r; i++) {
		uint64_t sum = pf__hash_bytes(m->seed, m->base + i * PF_PAGE, PF_PAGE);
		uint64_t at = m->offset + i * PF_PAGE;

		if (sum == m->sums[i])
			continue;
		/* As a writer: the file does not become shorter meanwhile. */
		r = pf__io_write_begin(&m->of->io, false, false);
		if (r)
			return r;
		pf__inode_attr(m->of->inode, 0, 0, &attr);
		if (at < attr.attr.size)
			r = pf__io_mark_dirty(&m->of->io, at / PF_PAGE,
					      (unsigned)pf__min_u64(attr.attr.size - at, PF_PAGE));
		pf__io_write_end(&m->of->io, false);
		if (!r)
			m->sums[i] = sum;
	}
	return r;
}

/* What was written there the kernel knows; what it made of the times the server does. */
static int sync_backing(struct pf_mapping *m, size_t offset, size_t length)
{
	struct pf__open_file *of = m->of;
	int r = msync(m->base + offset, length, MS_SYNC) < 0 ? -errno : 0;

	if (of->io.writable && !atomic_load(&of->super->stopped))
		pf__inode_bump(of->super->cache, of->inode, PF_ATTR_MODIFIED);
	return r;
}

static int sync_mapping(struct pf_mapping *m, size_t offset, size_t length)
{
	struct pf__open_file *of = m->of;
	uint64_t from = m->offset + offset;
	int r, late;

	if (m->native)
		return sync_backing(m, offset, length);
	if (atomic_load(&of->super->stopped))
		return m->tracked ? -ENOTCONN : 0;
	r = m->tracked ? note_changes(m, offset, length) : 0;
	if (!r)
		r = pf__io_flush(of->super->io, of->inode, from, from + length);
	late = pf__io_error(&of->io);
	return r ? r : late;
}

int pf_msync(struct pf_mapping *m, size_t offset, size_t length)
{
	int r = -EINVAL;

	if (offset % PF_PAGE == 0 && offset <= m->length && length <= m->length - offset)
		r = sync_mapping(m, offset, length);
	else if (offset % PF_PAGE == 0)
		r = -ENOMEM; /* as msync(2) beyond a mapping */
	return r ? pf__fail_op(r, "msync", NULL) : 0;
}

int pf_munmap(struct pf_mapping *m)
{
	int r = m->tracked ? sync_mapping(m, 0, m->length) : 0;

	if (m->native && m->of->io.writable && !atomic_load(&m->of->super->stopped))
		pf__inode_bump(m->of->super->cache, m->of->inode, PF_ATTR_MODIFIED);
	if (m->tracked && !atomic_load(&m->of->super->stopped))
		pf__io_clean_tail(&m->of->io);
	mapping_free(m);
	return r ? pf__fail_op(r, "munmap", NULL) : 0;
}
