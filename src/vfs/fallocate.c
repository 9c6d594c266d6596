/* SPDX-License-Identifier: BSD-2-Clause */
/* fallocate(2): allocation, holes and zeroed ranges, all done by the server. */
#include "base/errmsg.h"
#include "vfs/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

#define KNOWN_MODES (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)

static int check(const struct pf__open_file *of, int mode, off_t offset, off_t length,
		 uint64_t *end)
{
	const struct pf__conn *conn = of->super->conn;
	off_t e;

	if (offset < 0 || length <= 0)
		return -EINVAL;
	if (mode & ~KNOWN_MODES)
		return -EOPNOTSUPP;
	if ((mode & FALLOC_FL_PUNCH_HOLE) &&
	    (!(mode & FALLOC_FL_KEEP_SIZE) || (mode & FALLOC_FL_ZERO_RANGE)))
		return -EOPNOTSUPP;
	if (__builtin_add_overflow(offset, length, &e))
		return -EFBIG;
	if (pf__conn_nosys(conn, FUSE_FALLOCATE) ||
	    of->super->got->dialect.minor < pf__op_get(FUSE_FALLOCATE)->since)
		return -EOPNOTSUPP;
	*end = (uint64_t)e;
	return 0;
}

static int send(struct pf__open_file *of, const struct pf__from *f, int mode, off_t offset,
		off_t length)
{
	struct fuse_fallocate_in in = {.fh = of->io.fh,
				       .offset = (uint64_t)offset,
				       .length = (uint64_t)length,
				       .mode = (uint32_t)mode};
	struct pf__req r;

	pf__req_init(&r, &f->caller, FUSE_FALLOCATE, pf__inode_nodeid(of->inode));
	pf__req_in(&r, &in, sizeof in);
	pf__request(of->super->conn, &r);
	if (r.error != -ENOSYS)
		return r.error;
	pf__conn_set_nosys(of->super->conn, FUSE_FALLOCATE);
	return -EOPNOTSUPP;
}

/* The writers' gate is passed. */
static int allocate(struct pf__open_file *of, const struct pf__from *f, int mode, off_t offset,
		    off_t length)
{
	struct pf__super *s = of->super;
	struct pf__cache *cache = s->cache;
	bool grows = !(mode & FALLOC_FL_KEEP_SIZE);
	bool loses = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	uint64_t end = grows ? (uint64_t)(offset + length) : 0;
	int r = pf__kill_priv(f, of->inode);

	if (!r && loses)
		r = pf__io_flush(s->io, of->inode, (uint64_t)offset, UINT64_MAX);
	if (r)
		return r;
	if (grows)
		pf__inode_size_begin(cache, of->inode);
	r = send(of, f, mode, offset, length);
	if (!r && loses)
		pf__io_drop(s->io, of->inode, (uint64_t)offset, (uint64_t)length);
	if (!r) /* that wrote nothing */
		pf__io_note_write(s->io, of->inode, end, end, NULL);
	if (grows)
		pf__inode_size_end(cache, of->inode);
	return r;
}

int pf_fallocate(struct pf_file *file, int mode, off_t offset, off_t length)
{
	struct pf__open_file *of;
	struct pf__from f;
	uint64_t end;
	int r = pf__file_check(file, PF_NEED_HANDLE | PF_NEED_WRITE | PF_NEED_REGULAR, &of);

	if (!r)
		r = check(of, mode, offset, length, &end);
	if (!r)
		r = pf__io_write_begin(&of->io, false, false);
	if (!r) {
		pf__from_open(&f, of);
		r = allocate(of, &f, mode, offset, length);
		pf__io_write_end(&of->io, false);
	}
	return r ? pf__fail_op(r, "fallocate", NULL) : 0;
}
