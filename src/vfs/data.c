/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls on file data beside read and write. (Being built: see the issue on the data cache.) */
#include "base/errmsg.h"
#include "vfs/internal.h"
#include <errno.h>
#include <string.h>

ssize_t pf_preadv2(struct pf_file *file, const struct iovec *iov, int iovcnt, off_t offset,
		   int flags)
{
	if (flags & ~RWF_HIPRI)
		return pf__fail_op(-EOPNOTSUPP, "read", NULL);
	return offset == -1 ? pf_readv(file, iov, iovcnt) : pf_preadv(file, iov, iovcnt, offset);
}

ssize_t pf_pwritev2(struct pf_file *file, const struct iovec *iov, int iovcnt, off_t offset,
		    int flags)
{
	if (flags & ~RWF_HIPRI)
		return pf__fail_op(-EOPNOTSUPP, "write", NULL);
	return offset == -1 ? pf_writev(file, iov, iovcnt) : pf_pwritev(file, iov, iovcnt, offset);
}

ssize_t pf_read_borrow(struct pf_file *file, size_t count, off_t offset, struct pf_borrow *borrow)
{
	return pf__fail_op(-EOPNOTSUPP, "read_borrow", NULL);
}

void pf_read_return(struct pf_borrow *borrow)
{
}

int pf_mmap(struct pf_file *file, size_t length, int prot, int flags, off_t offset,
	    struct pf_mapping **mapping)
{
	*mapping = NULL;
	return pf__fail_op(-EOPNOTSUPP, "mmap", NULL);
}

void *pf_mapping_address(const struct pf_mapping *mapping)
{
	return NULL;
}

int pf_msync(struct pf_mapping *mapping, size_t offset, size_t length)
{
	return pf__fail_op(-EOPNOTSUPP, "msync", NULL);
}

int pf_munmap(struct pf_mapping *mapping)
{
	return pf__fail_op(-EOPNOTSUPP, "munmap", NULL);
}

int pf_fadvise(struct pf_file *file, off_t offset, off_t length, int advice)
{
	return 0;
}

int pf_sync_file_range(struct pf_file *file, off_t offset, off_t length, unsigned flags)
{
	return 0;
}

int pf_stats(struct pf_fs *fs, struct pf_stats *stats)
{
	size_t size = stats->size;

	memset(stats, 0, size < sizeof *stats ? size : sizeof *stats);
	stats->size = size;
	return 0;
}

int pf_drop_caches(struct pf_fs *fs)
{
	return 0;
}
