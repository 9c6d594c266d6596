/* SPDX-License-Identifier: BSD-2-Clause */
/* Attributes for the calls: from the cache while they are valid, else by GETATTR; the stat family.
 */
#include "base/clock.h"
#include "base/errmsg.h"
#include "vfs/names.h"
#include "vfs/stat.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* How long a stat waits for a truncation or the like of another call, whose size it would miss. */
#define SIZE_WAIT PF_NSEC_PER_SEC

static void request_of(const struct pf__from *f, struct pf__inode *inode,
		       struct pf__open_file *file, struct fuse_getattr_in *in, struct pf__req *r)
{
	*in = (struct fuse_getattr_in){0};
	if (file && pf__inode_type(inode) == S_IFREG && !file->is_path) {
		in->getattr_flags = FUSE_GETATTR_FH;
		in->fh = file->io.fh;
	}
	pf__req_init(r, &f->caller, FUSE_GETATTR, pf__inode_nodeid(inode));
	pf__req_in(r, in, sizeof *in);
	r->expect_mode = pf__inode_type(inode);
}

/* What a failure says of the inode. size: of a whole reply, whose content was not valid then. */
int pf__attr_error(const struct pf__from *f, struct pf__inode *inode, const struct pf__req *r,
		   size_t size)
{
	struct pf__cache *cache = f->super->cache;

	if (r->error == -EIO && !r->answered && r->out_len == size)
		pf__inode_mark_bad(cache, inode);
	else if (r->error == -ENOENT && r->answered)
		pf__inode_drop_names(cache, inode); /* it has gone behind our back */
	else if (r->error == -ESTALE && r->answered)
		pf__inode_expire_names(cache, inode);
	return r->error;
}

int pf__getattr_ask(const struct pf__from *f, struct pf__inode *inode, struct pf__open_file *file,
		    struct pf__attr *out)
{
	struct pf__cache *cache = f->super->cache;
	struct pf__sample sample = pf__cache_sample(cache);
	struct fuse_attr_out reply = {0};
	struct fuse_getattr_in in;
	struct pf__req r;
	int err;

	pf__inode_drop_acls(cache, inode);
	request_of(f, inode, file, &in, &r);
	pf__req_out(&r, &reply, sizeof reply);
	pf__request(f->super->conn, &r);
	if (r.error)
		return pf__attr_error(f, inode, &r, sizeof reply);
	err = pf__inode_set_attr(cache, inode, &reply.attr,
				 pf__attr_until(reply.attr_valid, reply.attr_valid_nsec), &sample);
	/* Not the reply itself: something newer may stand against it. */
	pf__inode_attr(inode, 0, 0, out);
	return err;
}

int pf__getattr(const struct pf__from *f, struct pf__inode *inode, uint32_t need,
		struct pf__open_file *file, struct pf__attr *out)
{
	if (pf__inode_is_bad(inode))
		return -EIO;
	if (need & PF_ATTR_SIZE) {
		int err = pf__inode_size_wait(inode, pf__now_coarse() + SIZE_WAIT);

		if (err == -EINTR)
			return err;
	}
	pf__io_backing_look(f->super->io, inode);
	if (pf__inode_attr(inode, need, pf__now_coarse(), out))
		return 0;
	return pf__getattr_ask(f, inode, file, out);
}

void pf__attr_to_stat(const struct pf__super *s, const struct fuse_attr *a, struct stat *st)
{
	pf__stat_of_attr(s->dev, a, st);
}

/* ---- stat */

static int attr_at(const struct pf__from *f, const char *path, unsigned walk, struct pf__attr *a)
{
	struct pf__inode *inode;
	int err = pf__walk(f, path, walk, &inode);

	if (err)
		return err;
	err = pf__getattr(f, inode, PF_ATTR_ALL, NULL, a);
	pf__inode_put(f->super->cache, inode);
	return err;
}

static int attr_at_retry(const struct pf__from *f, const char *path, unsigned walk,
			 struct pf__attr *a)
{
	int err = attr_at(f, path, walk, a);

	return err == -ESTALE ? attr_at(f, path, walk | PF_WALK_REVAL, a) : err;
}

static int stat_path(struct pf_fs *fs, const char *path, unsigned walk, const char *op,
		     struct stat *st)
{
	struct pf__attr a;
	struct pf__from f;
	int r = 0;

	if (atomic_load(&fs->super->stopped) || !pf__io_backing_any(fs->super->io))
		r = pf__walk_attr(fs, path, walk, PF_ATTR_ALL, &a);
	if (r == 0) {
		r = pf__from_fs(&f, fs);
		if (!r)
			r = attr_at_retry(&f, path, walk, &a);
	}
	if (r < 0)
		return pf__fail_op(r, op, path);
	pf__attr_to_stat(fs->super, &a.attr, st);
	return 0;
}

int pf_stat(struct pf_fs *fs, const char *path, struct stat *st)
{
	return stat_path(fs, path, PF_WALK_FOLLOW, "stat", st);
}

int pf_lstat(struct pf_fs *fs, const char *path, struct stat *st)
{
	return stat_path(fs, path, 0, "lstat", st);
}

int pf_fstatat(struct pf_file *dir, const char *path, struct stat *st, int flags)
{
	unsigned walk = flags & AT_SYMLINK_NOFOLLOW ? 0 : PF_WALK_FOLLOW;
	struct pf__attr a;
	struct pf__from f;
	int err = 0;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT))
		err = -EINVAL;
	if (!err)
		err = pf__from_file(&f, dir);
	if (!err)
		err =
		    attr_at_retry(&f, path, walk | (flags & AT_EMPTY_PATH ? PF_WALK_EMPTY : 0), &a);
	if (err)
		return pf__fail_op(err, "stat", path);
	pf__attr_to_stat(f.super, &a.attr, st);
	return 0;
}

int pf_fstat(struct pf_file *file, struct stat *st)
{
	struct pf__open_file *of;
	struct pf__attr a;
	struct pf__from f;
	int err = pf__file_check(file, 0, &of);

	if (!err) {
		pf__from_open(&f, of);
		err = pf__caller_allowed(f.super, &f.caller);
	}
	if (!err)
		err = pf__getattr(&f, of->inode, PF_ATTR_ALL, NULL, &a);
	if (err)
		return pf__fail_op(err, "fstat", NULL);
	pf__attr_to_stat(f.super, &a.attr, st);
	return 0;
}
