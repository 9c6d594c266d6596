/* SPDX-License-Identifier: BSD-2-Clause */
/* fsync(2), fdatasync(2), syncfs(2), statvfs(3). */
#include "base/clock.h"
#include "base/errmsg.h"
#include "vfs/internal.h"
#include <errno.h>
#include <string.h>

/* Data, then times, then what the server has to do. */
static int sync_data(struct pf__open_file *of, const struct pf__from *f)
{
	int r = pf__io_flush(of->super->io, of->inode, 0, UINT64_MAX), late;

	late = pf__io_error(&of->io);
	r = r ? r : late;
	return r ? r : pf__flush_times(f, of->inode);
}

int pf__fsync(struct pf__open_file *of, bool datasync)
{
	uint32_t op = of->is_dir ? FUSE_FSYNCDIR : FUSE_FSYNC;
	struct fuse_fsync_in in = {.fh = of->io.fh,
				   .fsync_flags = datasync ? FUSE_FSYNC_FDATASYNC : 0};
	struct pf__conn *conn = of->super->conn;
	struct pf__from f;
	struct pf__req r;
	int err;

	pf__from_open(&f, of);
	err = sync_data(of, &f);
	if (err || pf__conn_nosys(conn, op))
		return err;
	pf__req_init(&r, &f.caller, op, pf__inode_nodeid(of->inode));
	pf__req_in(&r, &in, sizeof in);
	pf__request(conn, &r);
	if (r.error != -ENOSYS)
		return r.error;
	pf__conn_set_nosys(conn, op);
	return 0;
}

int pf_fsync(struct pf_file *file, int datasync)
{
	struct pf__open_file *of;
	int r = pf__file_check(file, PF_NEED_HANDLE, &of);

	if (!r)
		r = pf__fsync(of, datasync);
	return r ? pf__fail_op(r, "fsync", NULL) : 0;
}

int pf_syncfs(struct pf_fs *fs)
{
	struct fuse_syncfs_in in = {0};
	struct pf__from f;
	struct pf__req r;
	int err = pf__from_fs(&f, fs);

	if (!err)
		err = pf__io_sync_all(f.super->io, PF_TIME_FOREVER);
	if (err)
		return pf__fail_op(err, "syncfs", NULL);
	if (f.super->got->dialect.minor < pf__op_get(FUSE_SYNCFS)->since ||
	    pf__conn_nosys(f.super->conn, FUSE_SYNCFS))
		return 0;
	pf__req_init(&r, &f.caller, FUSE_SYNCFS, FUSE_ROOT_ID);
	pf__req_in(&r, &in, sizeof in);
	pf__request(f.super->conn, &r);
	if (r.error == -ENOSYS)
		pf__conn_set_nosys(f.super->conn, FUSE_SYNCFS);
	else if (r.error)
		return pf__fail_op(r.error, "syncfs", NULL);
	return 0;
}

static void to_statvfs(const struct pf__super *s, const struct fuse_kstatfs *k, struct statvfs *st)
{
	memset(st, 0, sizeof *st);
	st->f_bsize = k->bsize;
	st->f_frsize = k->frsize ? k->frsize : k->bsize;
	st->f_blocks = k->blocks;
	st->f_bfree = k->bfree;
	st->f_bavail = k->bavail;
	st->f_files = k->files;
	st->f_ffree = k->ffree;
	st->f_favail = k->ffree;
	st->f_namemax = k->namelen;
	st->f_flag = ST_NOSUID | ST_NODEV | (s->mount.read_only ? ST_RDONLY : 0);
}

static int statfs(const struct pf__from *f, struct pf__inode *inode, struct statvfs *st)
{
	struct fuse_statfs_out out;
	struct pf__req r;

	pf__req_init(&r, &f->caller, FUSE_STATFS, pf__inode_nodeid(inode));
	pf__req_out(&r, &out, sizeof out);
	if (pf__request(f->super->conn, &r))
		return r.error;
	to_statvfs(f->super, &out.st, st);
	return 0;
}

int pf_statvfs(struct pf_fs *fs, const char *path, struct statvfs *st)
{
	struct pf__inode *inode;
	struct pf__from f;
	int r = pf__from_fs(&f, fs);

	if (r == -EACCES && !path[strspn(path, "/.")]) {
		/* Who may not use it sees that it is there, and nothing more. */
		to_statvfs(f.super, &(struct fuse_kstatfs){0}, st);
		return 0;
	}
	if (!r)
		r = pf__walk(&f, path, PF_WALK_FOLLOW, &inode);
	if (!r) {
		r = statfs(&f, inode, st);
		pf__inode_put(f.super->cache, inode);
	}
	return r ? pf__fail_op(r, "statvfs", path) : 0;
}

int pf_fstatvfs(struct pf_file *file, struct statvfs *st)
{
	struct pf__open_file *of;
	struct pf__from f;
	int r = pf__file_check(file, 0, &of);

	if (!r) {
		pf__from_open(&f, of);
		r = statfs(&f, of->inode, st);
	}
	return r ? pf__fail_op(r, "fstatvfs", NULL) : 0;
}
