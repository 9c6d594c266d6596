/* SPDX-License-Identifier: BSD-2-Clause */
/* The names of numbers, for people. */
#include "base/arith.h"
#include "proto/proto.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static __thread char unknown[32]; /* the last number without a name */

static const char *unnamed(const char *what, long n)
{
	snprintf(unknown, sizeof unknown, "%s%ld", what, n);
	return unknown;
}

const char *pf__op_name(uint32_t opcode)
{
	const struct pf__op *op = pf__op_get(opcode);

	return op ? op->name : unnamed("OP-", opcode);
}

const char *pf__notify_name(int32_t code)
{
	static const char *const names[FUSE_NOTIFY_CODE_END] = {
	    [FUSE_NOTIFY_POLL] = "POLL",
	    [FUSE_NOTIFY_INVAL_INODE] = "INVAL_INODE",
	    [FUSE_NOTIFY_INVAL_ENTRY] = "INVAL_ENTRY",
	    [FUSE_NOTIFY_STORE] = "STORE",
	    [FUSE_NOTIFY_RETRIEVE] = "RETRIEVE",
	    [FUSE_NOTIFY_DELETE] = "DELETE",
	    [FUSE_NOTIFY_RESEND] = "RESEND",
	    [FUSE_NOTIFY_INC_EPOCH] = "INC_EPOCH",
	    [FUSE_NOTIFY_PRUNE] = "PRUNE",
	};

	if (code > 0 && code < FUSE_NOTIFY_CODE_END)
		return names[code];
	return unnamed("NOTIFY-", code);
}

const char *pf__errno_name(int err)
{
	const char *name = err == INT32_MIN ? NULL : strerrorname_np(abs(err));

	return name ? name : unnamed("E-", err < 0 ? -(long)err : err);
}

const char *pf__init_flag_name(unsigned bit)
{
	static const char *const names[] = {
	    "ASYNC_READ",
	    "POSIX_LOCKS",
	    "FILE_OPS",
	    "ATOMIC_O_TRUNC",
	    "EXPORT_SUPPORT",
	    "BIG_WRITES",
	    "DONT_MASK",
	    "SPLICE_WRITE",
	    "SPLICE_MOVE",
	    "SPLICE_READ",
	    "FLOCK_LOCKS",
	    "HAS_IOCTL_DIR",
	    "AUTO_INVAL_DATA",
	    "DO_READDIRPLUS",
	    "READDIRPLUS_AUTO",
	    "ASYNC_DIO",
	    "WRITEBACK_CACHE",
	    "NO_OPEN_SUPPORT",
	    "PARALLEL_DIROPS",
	    "HANDLE_KILLPRIV",
	    "POSIX_ACL",
	    "ABORT_ERROR",
	    "MAX_PAGES",
	    "CACHE_SYMLINKS",
	    "NO_OPENDIR_SUPPORT",
	    "EXPLICIT_INVAL_DATA",
	    "MAP_ALIGNMENT",
	    "SUBMOUNTS",
	    "HANDLE_KILLPRIV_V2",
	    "SETXATTR_EXT",
	    "INIT_EXT",
	    "INIT_RESERVED",
	    "SECURITY_CTX",
	    "HAS_INODE_DAX",
	    "CREATE_SUPP_GROUP",
	    "HAS_EXPIRE_ONLY",
	    "DIRECT_IO_ALLOW_MMAP",
	    "PASSTHROUGH",
	    "NO_EXPORT_SUPPORT",
	    "HAS_RESEND",
	    "ALLOW_IDMAP",
	    "OVER_IO_URING",
	    "REQUEST_TIMEOUT",
	};

	return bit < PF_ARRAY_SIZE(names) ? names[bit] : NULL;
}
