/* SPDX-License-Identifier: BSD-2-Clause */
/* Attributes: what is believable, times clamped, STATX's form turned into GETATTR's. */
#include "base/clock.h"
#include "proto/judge.h"
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static bool type_ok(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	}
	return false;
}

bool pf__attr_ok(const struct fuse_attr *a)
{
	return type_ok(a->mode) && a->size <= INT64_MAX;
}

bool pf__statx_ok(const struct fuse_statx *s)
{
	return (!(s->mask & STATX_TYPE) || type_ok(s->mode)) &&
	       (!(s->mask & STATX_SIZE) || s->size <= INT64_MAX);
}

static void clamp_nsec(uint32_t *nsec)
{
	if (*nsec >= PF_NSEC_PER_SEC)
		*nsec = PF_NSEC_PER_SEC - 1;
}

static void attr_clamp(struct fuse_attr *a)
{
	clamp_nsec(&a->atimensec);
	clamp_nsec(&a->mtimensec);
	clamp_nsec(&a->ctimensec);
}

void pf__entry_clamp(struct fuse_entry_out *e)
{
	clamp_nsec(&e->entry_valid_nsec);
	clamp_nsec(&e->attr_valid_nsec);
	attr_clamp(&e->attr);
}

void pf__attr_out_clamp(struct fuse_attr_out *o)
{
	clamp_nsec(&o->attr_valid_nsec);
	attr_clamp(&o->attr);
}

void pf__statx_out_clamp(struct fuse_statx_out *o)
{
	clamp_nsec(&o->attr_valid_nsec);
	clamp_nsec(&o->stat.atime.tv_nsec);
	clamp_nsec(&o->stat.btime.tv_nsec);
	clamp_nsec(&o->stat.ctime.tv_nsec);
	clamp_nsec(&o->stat.mtime.tv_nsec);
}

bool pf__statx_to_attr(const struct fuse_statx *s, struct fuse_attr *a)
{
	if ((s->mask & STATX_BASIC_STATS) != STATX_BASIC_STATS)
		return false;
	*a = (struct fuse_attr){
	    .ino = s->ino,
	    .size = s->size,
	    .blocks = s->blocks,
	    .atime = s->atime.tv_sec,
	    .mtime = s->mtime.tv_sec,
	    .ctime = s->ctime.tv_sec,
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
	return true;
}
