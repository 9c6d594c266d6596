/* SPDX-License-Identifier: BSD-2-Clause */
#include "vfs/file.h"
#include "io/backing.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

/* What open(2) means on the wire: the kernel always allows large files, whatever libc defines. */
#define WIRE_O_LARGEFILE 0100000u

uint32_t pf__wire_flags(int flags)
{
	return ((uint32_t)flags & ~(uint32_t)(O_CREAT | O_EXCL | O_NOCTTY | O_CLOEXEC)) |
	       WIRE_O_LARGEFILE;
}

void pf__from_open(struct pf__from *f, struct pf__open_file *of)
{
	f->super = of->super;
	f->dir = of->inode;
	pf__caller_of(&of->view, &f->caller);
}

int pf__file_backing(const struct pf_file *file)
{
	const struct pf__io_file *io = &file->of->io;

	return io->backing && io->ops == &pf__io_passthrough ? io->backing->fd : -1;
}

static bool may_access(const struct pf__open_file *of, unsigned need)
{
	int mode = atomic_load_explicit(&of->flags, memory_order_relaxed) & O_ACCMODE;

	if ((need & PF_NEED_READ) && mode == O_WRONLY)
		return false;
	return !(need & PF_NEED_WRITE) || mode != O_RDONLY;
}

int pf__file_check(struct pf_file *file, unsigned need, struct pf__open_file **out)
{
	struct pf__open_file *of = file ? file->of : NULL;

	if (!of || ((need & PF_NEED_HANDLE) && of->is_path))
		return -EBADF;
	if (atomic_load_explicit(&of->super->stopped, memory_order_relaxed))
		return -ENOTCONN;
	if (need & (PF_NEED_READ | PF_NEED_WRITE)) {
		if (of->is_path || !may_access(of, need))
			return -EBADF;
	}
	if ((need & PF_NEED_REGULAR) && of->is_dir)
		return -EISDIR;
	if ((need & PF_NEED_DIR) && !of->is_dir)
		return -ENOTDIR;
	if (pf__inode_is_bad(of->inode))
		return -EIO;
	*out = of;
	return 0;
}
