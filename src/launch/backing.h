/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's ioctls by which a server registers backing files (FUSE_PASSTHROUGH). */
#ifndef PF_LAUNCH_BACKING_H
#define PF_LAUNCH_BACKING_H

#include "io/backing.h"
#include "supervise/supervise.h"

/* BACKING_OPEN, BACKING_CLOSE: what the call returns. t: NULL, there are none (-EPERM). */
int pf__device_backing_open(const struct pf__call *call, struct pf__backings *t);
int pf__device_backing_close(const struct pf__call *call, struct pf__backings *t);

#endif
