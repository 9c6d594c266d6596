/* SPDX-License-Identifier: BSD-2-Clause */
/* The locks that passthrough_server keeps: real ones of the files behind it. */
#ifndef PASSTHROUGH_LOCKS_H
#define PASSTHROUGH_LOCKS_H

#include "proto/wire.h"

/* GETLK, SETLK, SETLKW of the file that is open as in->fh; answered by a thread of its own if it
 * has to wait. */
void lock_request(int device, const struct fuse_in_header *h, const struct fuse_lk_in *in);
/* Who waits with this unique id does so no longer. */
void lock_interrupt(uint64_t unique);

#endif
