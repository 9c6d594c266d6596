/* SPDX-License-Identifier: BSD-2-Clause */
/* lseek(2). Directories seek by the cookies of their entries. */
#include "base/errmsg.h"
#include "vfs/internal.h"
#include <errno.h>
#include <unistd.h>

/* The size, asked for when it is not known for sure. */
static int current_size(struct pf__open_file *of, const struct pf__from *f, off_t *size)
{
	struct pf__attr attr;
	int r = pf__getattr(f, of->inode, PF_ATTR_SIZE, of, &attr);

	*size = r ? 0 : (off_t)attr.attr.size;
	return r;
}

/* For a server that cannot tell: all is data, with one hole at the end. */
static off_t seek_without_server(struct pf__open_file *of, const struct pf__from *f, off_t offset,
				 int whence)
{
	off_t size;
	int r = current_size(of, f, &size);

	if (r)
		return r;
	if (offset < 0 || offset >= size)
		return -ENXIO;
	return whence == SEEK_DATA ? offset : size;
}

static off_t seek_data(struct pf__open_file *of, off_t offset, int whence)
{
	struct fuse_lseek_in in = {
	    .fh = of->io.fh, .offset = (uint64_t)offset, .whence = (uint32_t)whence};
	struct pf__conn *conn = of->super->conn;
	struct fuse_lseek_out out;
	struct pf__from f;
	struct pf__req r;
	int err;

	pf__from_open(&f, of);
	if (pf__conn_nosys(conn, FUSE_LSEEK) ||
	    of->super->got->dialect.minor < pf__op_get(FUSE_LSEEK)->since)
		return seek_without_server(of, &f, offset, whence);
	/* The server does not know of data that waits here. If it does not take it now, all is
	 * data. */
	err = pf__io_flush(of->super->io, of->inode, (uint64_t)offset, UINT64_MAX);
	if (err)
		return seek_without_server(of, &f, offset, whence);
	pf__req_init(&r, &f.caller, FUSE_LSEEK, pf__inode_nodeid(of->inode));
	pf__req_in(&r, &in, sizeof in);
	pf__req_out(&r, &out, sizeof out);
	pf__request(conn, &r);
	if (r.error == -ENOSYS) {
		pf__conn_set_nosys(conn, FUSE_LSEEK);
		return seek_without_server(of, &f, offset, whence);
	}
	if (r.error)
		return r.error;
	return out.offset > INT64_MAX ? -EINVAL : (off_t)out.offset;
}

static off_t sum(off_t base, off_t offset)
{
	off_t r;

	if (__builtin_add_overflow(base, offset, &r))
		return offset > 0 ? -EOVERFLOW : -EINVAL;
	return r < 0 ? -EINVAL : r;
}

static off_t seek_end(struct pf__open_file *of, off_t offset)
{
	struct pf__from f;
	off_t size;
	int r;

	pf__from_open(&f, of);
	r = current_size(of, &f, &size);
	return r ? r : sum(size, offset);
}

static off_t seek_to(struct pf__open_file *of, off_t pos, off_t offset, int whence)
{
	switch (whence) {
	case SEEK_SET:
		return sum(0, offset);
	case SEEK_CUR:
		return sum(pos, offset);
	case SEEK_END:
		return seek_end(of, offset);
	case SEEK_DATA:
	case SEEK_HOLE:
		return offset < 0 ? -ENXIO : seek_data(of, offset, whence);
	default:
		return -EINVAL;
	}
}

static off_t seek_dir(struct pf__open_file *of, off_t offset, int whence)
{
	uint64_t now = pf__dir_tell(of);
	int r;

	/* A server's cookies are unsigned; those that do not fit are for pf_telldir(). */
	if (whence == SEEK_CUR && offset == 0)
		return now > INT64_MAX ? -EOVERFLOW : (off_t)now;
	if (whence != SEEK_SET || offset < 0)
		return -EINVAL;
	r = pf__dir_seek(of, (uint64_t)offset);
	return r ? r : offset;
}

static off_t seek_checked(struct pf_file *file, off_t offset, int whence)
{
	struct pf__open_file *of;
	int r = pf__file_check(file, PF_NEED_HANDLE, &of);
	off_t pos, to;

	if (r)
		return r;
	if (!pf__file_seekable(of))
		return -ESPIPE;
	if (of->is_dir)
		return seek_dir(of, offset, whence);
	pos = pf__pos_lock(of);
	to = seek_to(of, pos, offset, whence);
	pf__pos_unlock(of, to < 0 ? pos : to);
	return to;
}

off_t pf_lseek(struct pf_file *file, off_t offset, int whence)
{
	off_t r = seek_checked(file, offset, whence);

	return r < 0 ? pf__fail_op((int)r, "lseek", NULL) : r;
}
