/* SPDX-License-Identifier: BSD-2-Clause */
/* A server's attributes as stat(2) tells them. Also compiled into src/preload/, which has nothing
 * else of the library. */
#ifndef PF_VFS_STAT_H
#define PF_VFS_STAT_H

#include "proto/proto.h"
#include <string.h>
#include <sys/stat.h>

#define PF_BLKSIZE 4096

/* The power of two at or below. */
static inline blksize_t pf__blksize_of(uint32_t blksize)
{
	uint32_t n = blksize & 0x7fffffff;

	return 1 << (31 - __builtin_clz(n ? n : PF_BLKSIZE));
}

static inline void pf__stat_of_attr(uint64_t dev, const struct fuse_attr *a, struct stat *st)
{
	memset(st, 0, sizeof *st);
	st->st_dev = dev;
	st->st_ino = a->ino;
	st->st_mode = a->mode;
	st->st_nlink = a->nlink;
	st->st_uid = a->uid;
	st->st_gid = a->gid;
	st->st_rdev = pf__decode_dev(a->rdev);
	st->st_size = (off_t)a->size;
	st->st_blocks = (blkcnt_t)a->blocks;
	st->st_blksize = pf__blksize_of(a->blksize);
	st->st_atim = (struct timespec){(time_t)a->atime, a->atimensec};
	st->st_mtim = (struct timespec){(time_t)a->mtime, a->mtimensec};
	st->st_ctim = (struct timespec){(time_t)a->ctime, a->ctimensec};
}

static inline struct statx_timestamp pf__statx_time(uint64_t sec, uint32_t nsec)
{
	return (struct statx_timestamp){.tv_sec = (int64_t)sec, .tv_nsec = nsec};
}

static inline void pf__statx_of_attr(uint64_t dev, const struct fuse_attr *a, struct statx *x)
{
	dev_t rdev = pf__decode_dev(a->rdev);

	memset(x, 0, sizeof *x);
	x->stx_mask = STATX_BASIC_STATS;
	x->stx_blksize = (uint32_t)pf__blksize_of(a->blksize);
	x->stx_nlink = a->nlink;
	x->stx_uid = a->uid;
	x->stx_gid = a->gid;
	x->stx_mode = (uint16_t)a->mode;
	x->stx_ino = a->ino;
	x->stx_size = a->size;
	x->stx_blocks = a->blocks;
	x->stx_atime = pf__statx_time(a->atime, a->atimensec);
	x->stx_mtime = pf__statx_time(a->mtime, a->mtimensec);
	x->stx_ctime = pf__statx_time(a->ctime, a->ctimensec);
	x->stx_dev_major = major(dev);
	x->stx_dev_minor = minor(dev);
	x->stx_rdev_major = major(rdev);
	x->stx_rdev_minor = minor(rdev);
}

#endif
