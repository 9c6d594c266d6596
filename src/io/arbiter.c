/* SPDX-License-Identifier: BSD-2-Clause */
/* The one place that decides which path an open file's reads and writes take, and who waits. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/futex.h"
#include "io/io.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>

/*
 * The writers' gate of one inode. state: 0 open, -1 one exclusive writer, n > 0 shared writers.
 * Whoever does not pass counts itself in waiters, samples turn and sleeps on it.
 */
struct io_inode {
	_Atomic int state;
	_Atomic uint32_t waiters, turn;
};

static void io_inode_free(void *io)
{
	pf__free(io);
}

static struct io_inode *io_inode(struct pf__inode *inode)
{
	struct io_inode *io = pf__inode_io(inode), *fresh;

	if (io)
		return io;
	fresh = pf__calloc(1, sizeof *fresh);
	if (!fresh)
		return NULL;
	return pf__inode_set_io(inode, fresh, io_inode_free);
}

static bool try_pass(struct io_inode *io, bool shared)
{
	int state = atomic_load(&io->state);

	while (state == 0 || (shared && state > 0))
		if (atomic_compare_exchange_weak(&io->state, &state, shared ? state + 1 : -1))
			return true;
	return false;
}

int pf__io_write_begin(struct pf__io_file *f, bool shared)
{
	struct io_inode *io = io_inode(f->inode);

	if (!io)
		return -ENOMEM;
	if (try_pass(io, shared))
		return 0;
	atomic_fetch_add(&io->waiters, 1);
	for (;;) {
		uint32_t turn = atomic_load(&io->turn);

		if (try_pass(io, shared))
			break;
		pf__futex_wait(&io->turn, turn, PF_TIME_FOREVER);
	}
	atomic_fetch_sub(&io->waiters, 1);
	return 0;
}

void pf__io_write_end(struct pf__io_file *f, bool shared)
{
	struct io_inode *io = pf__inode_io(f->inode);

	if (shared)
		atomic_fetch_sub(&io->state, 1);
	else
		atomic_store(&io->state, 0);
	if (atomic_load(&io->waiters)) {
		atomic_fetch_add(&io->turn, 1);
		pf__futex_wake(&io->turn, INT_MAX);
	}
}

bool pf__io_may_share(const struct pf__io_file *f, bool append, uint64_t end)
{
	struct pf__attr attr;

	if (append || !(f->open_flags & FOPEN_PARALLEL_DIRECT_WRITES))
		return false;
	pf__inode_attr(f->inode, 0, 0, &attr);
	return end <= attr.attr.size;
}

int pf__io_open(struct pf__io_file *f, uint32_t open_flags, int flags)
{
	bool dir = S_ISDIR(pf__inode_type(f->inode));

	if (open_flags & FOPEN_PASSTHROUGH)
		return -EIO; /* never negotiated */
	if (dir)
		open_flags &= ~FOPEN_DIRECT_IO;
	if (!(open_flags & FOPEN_DIRECT_IO))
		open_flags &= ~FOPEN_PARALLEL_DIRECT_WRITES;
	if (open_flags & FOPEN_STREAM)
		open_flags &= ~FOPEN_NONSEEKABLE;
	f->open_flags = open_flags;
	f->ops = &pf__io_direct;
	return 0;
}

void pf__io_close(struct pf__io_file *f)
{
	f->ops = NULL;
}
