/* SPDX-License-Identifier: BSD-2-Clause */
/* statx(2): like stat, but the caller says how fresh, and the time of birth is asked for by STATX.
 */
#include "base/clock.h"
#include "base/errmsg.h"
#include "vfs/names.h"
#include "vfs/stat.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/sysmacros.h>

#define SYNC_MASK (AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC)
#define ALL_FLAGS (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | SYNC_MASK)
#define ASKED     (STATX_BASIC_STATS | STATX_BTIME)

/* Which of our fields STATX_* names. */
static uint32_t need_of(unsigned mask)
{
	static const struct {
		unsigned stx;
		uint32_t ours;
	} map[] = {
	    {STATX_MODE | STATX_TYPE, PF_ATTR_MODE},
	    {STATX_UID | STATX_GID, PF_ATTR_OWNER},
	    {STATX_SIZE, PF_ATTR_SIZE},
	    {STATX_ATIME, PF_ATTR_ATIME},
	    {STATX_MTIME, PF_ATTR_MTIME},
	    {STATX_CTIME, PF_ATTR_CTIME},
	    {STATX_BLOCKS, PF_ATTR_BLOCKS},
	    {STATX_NLINK, PF_ATTR_NLINK},
	};
	uint32_t need = 0;

	for (size_t i = 0; i < sizeof map / sizeof map[0]; i++)
		if (mask & map[i].stx)
			need |= map[i].ours;
	return need;
}

static void fill(const struct pf__super *s, const struct fuse_attr *a, struct statx *x)
{
	pf__statx_of_attr(s->dev, a, x);
}

static void fill_btime(const struct fuse_sx_time *t, struct statx *x)
{
	x->stx_btime = pf__statx_time((uint64_t)t->tv_sec, t->tv_nsec);
	x->stx_mask |= STATX_BTIME;
}

/* What the server has of the basic fields, where it has not all of them. */
static void fill_partly(const struct pf__super *super, const struct fuse_statx *s, struct statx *x)
{
	struct fuse_attr a = {
	    .ino = s->ino,
	    .size = s->size,
	    .blocks = s->blocks,
	    .atime = (uint64_t)s->atime.tv_sec,
	    .mtime = (uint64_t)s->mtime.tv_sec,
	    .ctime = (uint64_t)s->ctime.tv_sec,
	    .atimensec = s->atime.tv_nsec,
	    .mtimensec = s->mtime.tv_nsec,
	    .ctimensec = s->ctime.tv_nsec,
	    .mode = s->mode,
	    .nlink = s->nlink,
	    .uid = s->uid,
	    .gid = s->gid,
	    .rdev = pf__encode_dev(makedev(s->rdev_major, s->rdev_minor)),
	    .blksize = s->blksize,
	};

	fill(super, &a, x);
	x->stx_mask = s->mask & STATX_BASIC_STATS;
}

/* -ENOSYS: the server knows no STATX; GETATTR will do. */
static int ask_statx(const struct pf__from *f, struct pf__inode *inode, struct statx *x)
{
	struct pf__cache *cache = f->super->cache;
	struct pf__sample sample = pf__cache_sample(cache);
	struct fuse_statx_in in = {.sx_mask = ASKED};
	struct fuse_statx_out reply = {0};
	struct fuse_attr attr;
	struct pf__attr now;
	struct pf__req r;
	int err;

	if (pf__conn_nosys(f->super->conn, FUSE_STATX))
		return -ENOSYS;
	pf__inode_drop_acls(cache, inode);
	pf__req_init(&r, &f->caller, FUSE_STATX, pf__inode_nodeid(inode));
	pf__req_in(&r, &in, sizeof in);
	pf__req_out(&r, &reply, sizeof reply);
	r.expect_mode = pf__inode_type(inode);
	pf__request(f->super->conn, &r);
	if (r.error == -ENOSYS)
		pf__conn_set_nosys(f->super->conn, FUSE_STATX);
	if (r.error)
		return pf__attr_error(f, inode, &r, sizeof reply);
	if (!pf__statx_to_attr(&reply.stat, &attr)) {
		fill_partly(f->super, &reply.stat, x); /* for this caller only, not for the cache */
	} else {
		err = pf__inode_set_attr(cache, inode, &attr,
					 pf__attr_until(reply.attr_valid, reply.attr_valid_nsec),
					 &sample);
		if (err)
			return err;
		pf__inode_attr(inode, 0, 0, &now);
		fill(f->super, &now.attr, x);
	}
	pf__inode_set_btime(inode, reply.stat.mask & STATX_BTIME ? &reply.stat.btime : NULL);
	if (reply.stat.mask & STATX_BTIME)
		fill_btime(&reply.stat.btime, x);
	return 0;
}

/* From what is cached? */
static bool have(const struct pf__super *super, struct pf__inode *inode, int flags, unsigned mask,
		 struct statx *x)
{
	struct fuse_sx_time btime;
	struct pf__attr a;
	uint32_t need = need_of(mask);
	bool valid, born = pf__inode_btime(inode, &btime);

	/* Expiry counts for whatever is asked for, also where no single field stands for it. */
	valid = pf__inode_attr(inode, need | (1u << 31), pf__now_coarse(), &a);
	if ((mask & STATX_BTIME) && !born)
		valid = false;
	if ((flags & SYNC_MASK) == AT_STATX_FORCE_SYNC)
		valid = !(mask & ASKED);
	else if ((flags & SYNC_MASK) == AT_STATX_DONT_SYNC || !(mask & ASKED))
		valid = true;
	fill(super, &a.attr, x);
	if (born && btime.reserved)
		fill_btime(&btime, x);
	return valid;
}

static int statx_inode(const struct pf__from *f, struct pf__inode *inode, int flags, unsigned mask,
		       struct statx *x)
{
	struct pf__attr a;
	int err = -ENOSYS;

	if (pf__inode_is_bad(inode))
		return -EIO;
	if (pf__conn_nosys(f->super->conn, FUSE_STATX))
		mask &= ~STATX_BTIME;
	pf__io_backing_look(f->super->io, inode);
	if (have(f->super, inode, flags, mask, x))
		return 0;
	if (mask & STATX_BTIME)
		err = ask_statx(f, inode, x);
	if (err != -ENOSYS)
		return err;
	err = pf__getattr_ask(f, inode, NULL, &a);
	if (!err)
		fill(f->super, &a.attr, x);
	return err;
}

static int statx_at(const struct pf__from *f, const char *path, int flags, unsigned mask,
		    struct statx *x)
{
	unsigned walk = (flags & AT_SYMLINK_NOFOLLOW ? 0 : PF_WALK_FOLLOW) |
			(flags & AT_EMPTY_PATH ? PF_WALK_EMPTY : 0);
	struct pf__inode *inode;
	int err;

	if ((flags & ~ALL_FLAGS) || (flags & SYNC_MASK) == SYNC_MASK || (mask & STATX__RESERVED))
		return -EINVAL;
	for (int again = 0;; again++) {
		err = pf__walk(f, path, walk, &inode);
		if (!err) {
			err = statx_inode(f, inode, flags, mask, x);
			pf__inode_put(f->super->cache, inode);
		}
		if (err != -ESTALE || again)
			return err;
		walk |= PF_WALK_REVAL;
	}
}

int pf_statx(struct pf_fs *fs, const char *path, int flags, unsigned mask, struct statx *stx)
{
	struct pf__from f;
	int err = pf__from_fs(&f, fs);

	if (!err)
		err = statx_at(&f, path, flags, mask, stx);
	return err ? pf__fail_op(err, "statx", path) : 0;
}

int pf_statxat(struct pf_file *dir, const char *path, int flags, unsigned mask, struct statx *stx)
{
	struct pf__from f;
	int err = pf__from_file(&f, dir);

	if (!err)
		err = statx_at(&f, path, flags, mask, stx);
	return err ? pf__fail_op(err, "statx", path) : 0;
}
