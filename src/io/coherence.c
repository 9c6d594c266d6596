/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens to files otherwise, and what it means for their cached data. Nothing here waits for
 * the server; what needs memory (STORE, advice) may wait for readers to leave (RCU). */
#include "base/arith.h"
#include "io/inode.h"
#include <errno.h>

void pf__io_truncated(struct pf__io *io, struct pf__inode *inode, uint64_t old_size, uint64_t size)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);

	if (!ii)
		return;
	/* Where the old size was not sure it tells nothing of what the server cut off, or put
	 * there. */
	if (size != old_size && !pf__inode_owned(inode))
		pf__pages_drop(&ii->pages, 0, UINT64_MAX);
	if (size > old_size)
		pf__pages_extend(&ii->pages, old_size);
	pf__pages_truncate(&ii->pages, size);
	pf__io_maybe_clean(ii);
}

void pf__io_drop(struct pf__io *io, struct pf__inode *inode, uint64_t offset, uint64_t len)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);

	if (ii)
		pf__pages_drop(&ii->pages, offset, len);
}

void pf__io_data_changed(struct pf__io *io, struct pf__inode *inode, uint64_t old_size,
			 uint64_t new_size, bool new_mtime)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);

	if (!ii || !pf__pages_any(&ii->pages))
		return;
	/* First of all, so that what is lent leaves as it is. */
	if (new_size != old_size ? !io->explicit_inval : new_mtime && io->auto_inval)
		pf__pages_drop(&ii->pages, 0, UINT64_MAX);
	if (new_size > old_size) /* behind the old end we made up zeros */
		pf__pages_drop(&ii->pages, old_size, UINT64_MAX);
	else if (new_size < old_size && io->writeback)
		/* No data was dirty when the server's word on the size was taken, or the inode
		 * would have been ours. Since then somebody may have opened the file and written.
		 */
		pf__pages_drop(&ii->pages, new_size, UINT64_MAX);
	else if (new_size < old_size)
		pf__pages_truncate(&ii->pages, new_size);
}

void pf__io_store(struct pf__io *io, struct pf__inode *inode, uint64_t offset, const void *data,
		  size_t len, uint64_t size)
{
	struct pf__io_inode *ii = pf__io_inode(io, inode);

	while (ii && len) {
		/* In pieces, each with the blocks that it may need. */
		size_t n = (size_t)pf__min_u64(len, 4 * PF_BLOCK);
		struct iovec iov = {(void *)data, n};
		struct pf__slice s = {&iov, 1, 0};
		struct pf__spare spare = {0};

		/* Without room only what is there is brought up to date. */
		(void)pf__spare_take_for(&spare, &ii->pages, offset / PF_PAGE,
					 pf__pages_spanned(offset, n));
		pf__pages_put_clean(&ii->pages, offset, n, size, &s, &spare);
		pf__spare_put(&spare);
		data = (const char *)data + n;
		offset += n;
		len -= n;
	}
}

static void drop_one(void *p)
{
	struct pf__io_inode *ii = p;

	pf__pages_drop(&ii->pages, 0, UINT64_MAX);
}

void pf__io_drop_all(struct pf__io *io)
{
	pf__cache_each_io(io->cache, drop_one);
}

size_t pf__io_retrieve(struct pf__io *io, struct pf__inode *inode, uint64_t offset, char *buf,
		       size_t max, uint64_t size)
{
	struct pf__io_inode *ii = pf__io_inode_known(inode);
	size_t done = 0, n;
	const char *from;
	struct pf__stamp stamp;

	if (!ii || offset >= size)
		return 0;
	max = (size_t)pf__min_u64(max, size - offset);
	pf__rcu_read_lock();
	while (done < max &&
	       (from = pf__pages_peek(&ii->pages, offset + done, max - done, &n, &stamp))) {
		__builtin_memcpy(buf + done, from, n);
		if (!pf__pages_unchanged(&stamp))
			break;
		done += n;
	}
	pf__rcu_read_unlock();
	return done;
}

void pf__io_will_need(struct pf__io_file *f, uint32_t flags, uint64_t offset, uint64_t len,
		      uint64_t size)
{
	uint64_t end = pf__min_u64(pf__add_sat_u64(offset, len), size);

	if (!pf__io_is_cached(f, flags) || offset >= end)
		return;
	if (f->write_only)
		return;
	if (!f->io->async_read) /* not several at once */
		end = pf__min_u64(end, offset / PF_PAGE * PF_PAGE + f->max_read);
	/* No more than half of what can be kept. */
	end = pf__min_u64(end, offset + f->io->config.cache_bytes / 2);
	(void)pf__fetch_ahead(f, flags, offset / PF_PAGE,
			      (end + PF_PAGE - 1) / PF_PAGE - offset / PF_PAGE, size, true);
}
