/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads, writes and fsync that do not wait. (Being built.) */
#include "base/errmsg.h"
#include "vfs/internal.h"
#include <errno.h>

int pf_aio_read(struct pf_file *file, void *buf, size_t count, off_t offset, pf_aio_fn done,
		void *ctx)
{
	return pf__fail_op(-EOPNOTSUPP, "aio_read", NULL);
}

int pf_aio_write(struct pf_file *file, const void *buf, size_t count, off_t offset, pf_aio_fn done,
		 void *ctx)
{
	return pf__fail_op(-EOPNOTSUPP, "aio_write", NULL);
}

int pf_aio_fsync(struct pf_file *file, int datasync, pf_aio_fn done, void *ctx)
{
	return pf__fail_op(-EOPNOTSUPP, "aio_fsync", NULL);
}
