/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The path of a passthrough open (FOPEN_PASSTHROUGH): reads and writes are the backing file's, no
 * request is sent. What they do to attributes is only known to be something: they are asked for
 * again, as with the kernel's client.
 */
#include "base/sys.h"
#include "io/backing.h"
#include "io/inode.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

static ssize_t result(ssize_t n, bool nowait)
{
	if (n >= 0)
		return n;
	return nowait && errno == EOPNOTSUPP ? -EAGAIN : -errno;
}

static ssize_t passthrough_read(struct pf__io_file *f, const struct pf__io_call *c,
				const struct iovec *iov, int iovcnt, uint64_t offset)
{
	ssize_t n =
	    result(preadv2(f->backing_fd, iov, iovcnt, (off_t)offset, c->nowait ? RWF_NOWAIT : 0),
		   c->nowait);

	pf__io_count(&f->io->stats.reads_passthrough, 1);
	if (n > 0)
		pf__io_count(&f->io->stats.often[pf__io_stripe()].bytes_read, (uint64_t)n);
	return n;
}

static int write_flags(const struct pf__io_call *c)
{
	int rwf = c->append ? RWF_APPEND : 0;

	if ((c->flags & O_SYNC) == O_SYNC)
		rwf |= RWF_SYNC;
	else if (c->flags & O_DSYNC)
		rwf |= RWF_DSYNC;
	return c->nowait ? rwf | RWF_NOWAIT : rwf;
}

/* With the writers' gate. */
static ssize_t passthrough_write(struct pf__io_file *f, const struct pf__io_call *c,
				 const struct iovec *iov, int iovcnt, uint64_t offset)
{
	ssize_t n =
	    result(pwritev2(f->backing_fd, iov, iovcnt, (off_t)offset, write_flags(c)), c->nowait);

	pf__io_count(&f->io->stats.writes_passthrough, 1);
	if (n <= 0) {
		pf__inode_bump(f->cache, f->inode, PF_ATTR_MODIFIED);
		return n;
	}
	pf__io_count(&f->io->stats.bytes_written, (uint64_t)n);
	pf__io_note_write(f->io, f->inode, offset, offset + (uint64_t)n, NULL);
	return n;
}

const struct pf__io_ops pf__io_passthrough = {
    .name = "passthrough", .read = passthrough_read, .write = passthrough_write};

int pf__io_backing_end(const struct pf__io_file *f, off_t *end)
{
	struct stat st;

	if (fstat(f->backing_fd, &st) < 0)
		return -errno;
	*end = st.st_size;
	return 0;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

/*
 * The backing file is opened for each open file anew, by us: with the rights of who started the
 * server. Where these do not suffice the server's own descriptor may.
 */
static int open_backing(struct pf__io_file *f, struct pf__backing *b, int flags)
{
	/* Appending is asked for with each write: it can be set and reset. */
	int fd = pf__backing_reopen(b, flags & ~O_APPEND);

	if (fd < 0 && !pf__backing_suffices(b, flags))
		return -EIO;
	f->backing_fd = fd < 0 ? b->fd : fd;
	f->backing = b;
	return 0;
}

void pf__io_backing_close(struct pf__io_file *f)
{
	if (!f->backing)
		return;
	if (f->backing_fd != f->backing->fd)
		pf__sys.close(f->backing_fd);
	pf__backing_put(f->backing);
	f->backing = NULL;
}

/* ---- changes by others ----------------------------------------------------------------------- */

static bool same(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* What has changed since the last look (PF_ATTR_*). Under io->lock. */
static uint32_t look(struct pf__io_inode *ii, const struct pf__backing *b)
{
	struct pf__backing_seen *seen = &ii->seen;
	uint32_t changed = 0;
	struct stat st;

	if (fstat(b->fd, &st) < 0)
		return 0;
	if (st.st_size != seen->size || !same(st.st_mtim, seen->mtime) ||
	    !same(st.st_ctim, seen->ctime))
		changed |= PF_ATTR_MODIFIED;
	if (!same(st.st_atim, seen->atime))
		changed |= PF_ATTR_ATIME;
	*seen = (struct pf__backing_seen){st.st_size, st.st_atim, st.st_mtim, st.st_ctim};
	return changed;
}

void pf__io_backing_look(struct pf__io *io, struct pf__inode *inode)
{
	struct pf__io_inode *ii;
	uint32_t changed = 0;

	if (!pf__io_backing_any(io))
		return;
	ii = pf__io_inode_known(inode);
	if (!ii)
		return;
	pf__mutex_lock(&io->lock);
	if (ii->backing)
		changed = look(ii, ii->backing);
	pf__mutex_unlock(&io->lock);
	if (changed)
		pf__inode_bump(io->cache, inode, changed);
}

/* ---- who passes through ---------------------------------------------------------------------- */

/* Takes part in the inode's one backing file, if nobody caches its data. */
static int attach(struct pf__io_inode *ii, struct pf__backing *b)
{
	struct pf__mutex *lock = &ii->io->lock;
	int err = 0;

	pf__mutex_lock(lock);
	if (atomic_load(&ii->users) || (ii->backing && ii->backing != b)) {
		err = -EIO;
	} else {
		if (!ii->passthrough++) {
			ii->backing = b; /* alive while one has it open */
			atomic_fetch_add(&ii->io->n_backed, 1);
			if (atomic_load(&ii->io->shared))
				(void)look(ii, b);
		}
	}
	pf__mutex_unlock(lock);
	return err;
}

int pf__io_backing_open(struct pf__io_file *f, int backing_id, int flags)
{
	struct pf__backing *b = pf__backings_find(f->io->config.backings, backing_id);
	int err = b ? attach(f->ii, b) : -EIO;

	if (err) {
		pf__backing_put(b);
		return err;
	}
	f->attached = true;
	err = open_backing(f, b, flags);
	if (err) {
		pf__io_backing_detach(f);
		pf__backing_put(b);
	}
	return err;
}

void pf__io_backing_detach(struct pf__io_file *f)
{
	struct pf__io_inode *ii = f->ii;

	if (!f->attached)
		return;
	f->attached = false;
	pf__io_backing_look(f->io, f->inode); /* for the last time, perhaps */
	pf__mutex_lock(&ii->io->lock);
	if (--ii->passthrough == 0) {
		ii->backing = NULL;
		atomic_fetch_sub(&ii->io->n_backed, 1);
	}
	pf__mutex_unlock(&ii->io->lock);
}
