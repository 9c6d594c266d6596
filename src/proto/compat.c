/* SPDX-License-Identifier: BSD-2-Clause */
/* What older minors look like: shorter arguments, shorter replies. */
#include "base/arith.h"
#include "proto/proto.h"
#include <string.h>

uint32_t pf__in_size(const struct pf__dialect *d, uint32_t opcode)
{
	const struct pf__op *op = pf__op_get(opcode);

	switch (opcode) {
	case FUSE_WRITE:
		if (d->minor < 9)
			return FUSE_COMPAT_WRITE_IN_SIZE;
		break;
	case FUSE_MKNOD:
		if (d->minor < 12)
			return FUSE_COMPAT_MKNOD_IN_SIZE;
		break;
	case FUSE_CREATE:
		if (d->minor < 12)
			return FUSE_COMPAT_CREATE_IN_SIZE;
		break;
	case FUSE_SETXATTR:
		if (!(d->flags & FUSE_SETXATTR_EXT))
			return FUSE_COMPAT_SETXATTR_IN_SIZE;
		break;
	}
	return op ? op->in_size : 0;
}

/* The older forms are beginnings of the newer ones. */
uint32_t pf__in_compat(const struct pf__dialect *d, uint32_t opcode, void *arg)
{
	if (opcode == FUSE_SETATTR && d->minor < 23)
		((struct fuse_setattr_in *)arg)->valid &= ~FATTR_CTIME;
	return pf__in_size(d, opcode);
}

/* By how much the older reply is shorter than the newest. */
static uint32_t reply_missing(const struct pf__dialect *d, uint32_t opcode)
{
	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_CREATE:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
		return d->minor < 9 ? sizeof(struct fuse_entry_out) - FUSE_COMPAT_ENTRY_OUT_SIZE
				    : 0;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return d->minor < 9 ? sizeof(struct fuse_attr_out) - FUSE_COMPAT_ATTR_OUT_SIZE : 0;
	case FUSE_STATFS:
		return d->minor < 4 ? sizeof(struct fuse_statfs_out) - FUSE_COMPAT_STATFS_SIZE : 0;
	}
	return 0;
}

uint32_t pf__reply_size(const struct pf__dialect *d, uint32_t opcode)
{
	const struct pf__op *op = pf__op_get(opcode);

	return op ? op->reply_size - reply_missing(d, opcode) : 0;
}

void pf__reply_expand(const struct pf__dialect *d, uint32_t opcode, void *buf)
{
	uint32_t missing = reply_missing(d, opcode);
	struct fuse_create_out *create = buf;
	char *end;

	if (!missing)
		return;
	if (opcode == FUSE_CREATE) {
		end = (char *)&create->open;
		memmove(end, end - missing, sizeof create->open);
	} else {
		end = (char *)buf + pf__op_get(opcode)->reply_size;
	}
	memset(end - missing, 0, missing);
}
