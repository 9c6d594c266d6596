/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one validator of what a server answers. Numbers in comments are the rules of the reply table
 * in docs/protocol-support.md.
 */
#include "base/arith.h"
#include "proto/judge.h"
#include <errno.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>

#define ERRNO_END         512  /* errors on the wire are -511 .. 0 */
#define ERRNO_MAX         4095 /* what a system call's result can carry */
#define READLINK_MAX      4095
#define CUSE_INFO_MAX     4096
#define CUSE_MINOR_OLDEST 11
#define XATTR_SIZE_LIMIT  65536
#define IOCTL_IOVEC_ROOM  4096

int pf__check_out_header(const struct fuse_out_header *h, size_t len)
{
	if (len < sizeof *h || h->len != len)
		return -EINVAL;
	if (!h->unique) /* a notification: error is its code */
		return h->error > 0 ? 0 : -EINVAL;
	return h->error > 0 || h->error <= -ERRNO_END ? -EINVAL : 0;
}

/* ---- sizes */

/* The most bytes that may follow the fixed part. */
static uint64_t tail_max(const struct pf__expect *e)
{
	switch (e->opcode) {
	case FUSE_INIT:
		return sizeof(struct fuse_init_out);
	case FUSE_CUSE_INIT:
		return CUSE_INFO_MAX;
	case FUSE_READLINK:
		return e->size ? pf__min_u64(e->size, READLINK_MAX) : READLINK_MAX;
	case FUSE_IOCTL: /* RETRY brings iovecs where data would be */
		return e->ioctl_unrestricted ? pf__max_u64(e->size, IOCTL_IOVEC_ROOM) : e->size;
	}
	return e->size;
}

static bool is_size_query(const struct pf__expect *e)
{
	return (e->opcode == FUSE_GETXATTR || e->opcode == FUSE_LISTXATTR) && !e->size;
}

int pf__check_reply_size(const struct pf__expect *e, int32_t error, size_t body_len)
{
	const struct pf__op *op = pf__op_get(e->opcode);
	size_t fixed = pf__reply_size(&e->dialect, e->opcode);
	bool ok = false;

	if (!op || op->reply == PF_REPLY_NONE)
		return -EIO;
	if (error)
		ok = body_len == 0;
	else if (is_size_query(e))
		ok = body_len == sizeof(struct fuse_getxattr_out);
	else if (op->reply == PF_REPLY_UPTO)
		ok = body_len >= fixed && body_len - fixed <= tail_max(e);
	else
		ok = body_len == fixed;
	return ok ? 0 : -EIO;
}

/* ---- entries and attributes */

/* A child cannot be its own parent. The rest of the entry is sound, so its lookup is given back. */
static int check_not_parent(const struct pf__expect *e, const struct fuse_entry_out *o,
			    bool *forget)
{
	if (o->nodeid != e->nodeid)
		return 0;
	*forget = true;
	return -EIO;
}

static int check_lookup(const struct pf__expect *e, struct fuse_entry_out *o, bool *forget)
{
	pf__entry_clamp(o);
	if (!o->nodeid) /* 12.4: a negative entry; its attributes mean nothing */
		return 0;
	if (!pf__attr_ok(&o->attr)) /* 12.5 */
		return -EIO;
	if (e->dot) {
		if (o->nodeid == FUSE_ROOT_ID) /* 12.7 */
			o->generation = 0;
		return 0;
	}
	if (o->nodeid == FUSE_ROOT_ID) /* 12.6 */
		return -EIO;
	return check_not_parent(e, o, forget);
}

/* The S_IFMT bits that the new inode must have, 0 any. */
static uint32_t created_type(const struct pf__expect *e)
{
	switch (e->opcode) {
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		return S_IFREG;
	case FUSE_MKDIR:
		return S_IFDIR;
	case FUSE_SYMLINK:
		return S_IFLNK;
	}
	return e->mode & S_IFMT;
}

/* 12.10 */
static int check_created(const struct pf__expect *e, struct fuse_entry_out *o, bool *forget)
{
	uint32_t type = created_type(e);

	pf__entry_clamp(o);
	if (!o->nodeid || o->nodeid == FUSE_ROOT_ID || !pf__attr_ok(&o->attr))
		return -EIO;
	if (type && (o->attr.mode & S_IFMT) != type)
		return -EIO;
	return check_not_parent(e, o, forget);
}

static bool type_changed(const struct pf__expect *e, uint32_t mode)
{
	return e->mode & S_IFMT && (mode & S_IFMT) != (e->mode & S_IFMT);
}

/* 12.12 */
static int check_attr(const struct pf__expect *e, struct fuse_attr_out *o)
{
	pf__attr_out_clamp(o);
	return pf__attr_ok(&o->attr) && !type_changed(e, o->attr.mode) ? 0 : -EIO;
}

static int check_statx(const struct pf__expect *e, struct fuse_statx_out *o)
{
	pf__statx_out_clamp(o);
	if (!pf__statx_ok(&o->stat))
		return -EIO;
	return o->stat.mask & STATX_TYPE && type_changed(e, o->stat.mode) ? -EIO : 0;
}

/* ---- open files */

/* 12.25, and flags that others overrule are dropped. */
static int check_open(const struct pf__expect *e, struct fuse_open_out *o)
{
	const uint32_t with_passthrough =
	    FOPEN_PASSTHROUGH | FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_NOFLUSH;

	if (o->open_flags & FOPEN_STREAM)
		o->open_flags &= ~FOPEN_NONSEEKABLE;
	if (e->opcode == FUSE_OPENDIR) {
		o->open_flags &= ~(FOPEN_DIRECT_IO | FOPEN_PASSTHROUGH);
	} else if (o->open_flags & FOPEN_PASSTHROUGH) {
		if (!(e->dialect.flags & FUSE_PASSTHROUGH) || o->backing_id <= 0)
			return -EIO;
		if (o->open_flags & ~with_passthrough)
			return -EIO;
	}
	if (!(o->open_flags & FOPEN_DIRECT_IO))
		o->open_flags &= ~FOPEN_PARALLEL_DIRECT_WRITES;
	return 0;
}

static int check_create(const struct pf__expect *e, struct fuse_create_out *o, bool *forget)
{
	int err = check_created(e, &o->entry, forget);

	if (err)
		return err;
	err = check_open(e, &o->open);
	*forget = err; /* the entry itself was good, and counted */
	return err;
}

/* 12.22 */
static int check_lock(const struct fuse_file_lock *lk)
{
	switch (lk->type) {
	case 0: /* F_RDLCK */
	case 1: /* F_WRLCK */
		break;
	case 2: /* F_UNLCK: nothing else counts */
		return 0;
	default:
		return -EIO;
	}
	if (lk->start > INT64_MAX || lk->end > INT64_MAX || lk->end < lk->start)
		return -EIO;
	/* A process's id; all ones mean that an open file, not a process, holds the lock. */
	return lk->pid > INT32_MAX && lk->pid != UINT32_MAX ? -EIO : 0;
}

/* ---- variable replies */

/* Behind the reply's end nothing is trusted, so a NUL may not pretend that it is earlier. */
static int check_readlink(const char *target, size_t len)
{
	return len && memchr(target, '\0', len) ? -EIO : 0;
}

/* 12.21 */
static int check_name_list(const char *list, size_t len)
{
	if (!len)
		return 0;
	if (list[0] == '\0' || list[len - 1] != '\0')
		return -EIO;
	return memmem(list, len, "\0\0", 2) ? -EIO : 0;
}

/* 12.20 */
static int check_xattr(const struct pf__expect *e, void *body, size_t len)
{
	struct fuse_getxattr_out *o = body;

	if (is_size_query(e))
		o->size = pf__min_u64(o->size, XATTR_SIZE_LIMIT);
	else if (e->opcode == FUSE_LISTXATTR)
		return check_name_list(body, len);
	return 0;
}

static int check_iovecs(const struct pf__expect *e, const struct fuse_ioctl_out *o, size_t len)
{
	uint64_t n = (uint64_t)o->in_iovs + o->out_iovs, total[2] = {0};
	const struct fuse_ioctl_iovec *iov = (const struct fuse_ioctl_iovec *)(o + 1);

	if (n > FUSE_IOCTL_MAX_IOV)
		return -ENOMEM;
	if (len != n * sizeof *iov)
		return -EIO;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t *sum = &total[i >= o->in_iovs];

		*sum = pf__add_sat_u64(*sum, iov[i].len);
		if (e->ioctl_iov_max && *sum > e->ioctl_iov_max)
			return -ENOMEM;
	}
	return 0;
}

/* 12.23. len: bytes after the fixed part. */
static int check_ioctl(const struct pf__expect *e, const struct fuse_ioctl_out *o, size_t len)
{
	if (o->flags & FUSE_IOCTL_RETRY)
		return e->ioctl_unrestricted ? check_iovecs(e, o, len) : -EIO;
	if (len > e->size || o->result < -ERRNO_MAX)
		return -EIO;
	return o->result == -ENOSYS ? -ENOTTY : 0;
}

static int check_cuse_init(const struct cuse_init_out *o)
{
	return o->major == FUSE_MAJOR && o->minor >= CUSE_MINOR_OLDEST ? 0 : -EIO; /* 12.28 */
}

int pf__check_reply(const struct pf__expect *e, void *body, size_t body_len, bool *forget)
{
	*forget = false;
	switch (e->opcode) {
	case FUSE_LOOKUP:
		return check_lookup(e, body, forget);
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
		return check_created(e, body, forget);
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		return check_create(e, body, forget);
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return check_attr(e, body);
	case FUSE_STATX:
		return check_statx(e, body);
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		return check_open(e, body);
	case FUSE_WRITE: /* 12.15, 12.16 */
	case FUSE_COPY_FILE_RANGE:
		return ((struct fuse_write_out *)body)->size > e->size ? -EIO : 0;
	case FUSE_COPY_FILE_RANGE_64:
		return ((struct fuse_copy_file_range_out *)body)->bytes_copied > e->size ? -EIO : 0;
	case FUSE_READLINK:
		return check_readlink(body, body_len);
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		return check_xattr(e, body, body_len);
	case FUSE_GETLK:
		return check_lock(body);
	case FUSE_IOCTL:
		return check_ioctl(e, body, body_len - sizeof(struct fuse_ioctl_out));
	case FUSE_LSEEK: /* 12.24 */
		return ((struct fuse_lseek_out *)body)->offset > INT64_MAX ? -EINVAL : 0;
	case FUSE_CUSE_INIT:
		return check_cuse_init(body);
	}
	return 0;
}
