/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the validator share. Not for other folders. */
#ifndef PF_PROTO_JUDGE_H
#define PF_PROTO_JUDGE_H

#include "proto/proto.h"

/* Bring nanoseconds below one second, as the protocol wants it of a client. */
void pf__entry_clamp(struct fuse_entry_out *e);
void pf__attr_out_clamp(struct fuse_attr_out *o);
void pf__statx_out_clamp(struct fuse_statx_out *o);

#endif
