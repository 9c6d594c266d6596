/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run inside a run. A thread can stand under one listening filter only, and ours is there
 * already: so the servers are ordinary programs here, whose mounts the outer run answers, and the
 * program is an ordinary child.
 */
#ifndef TOOLS_RUN_NESTED_H
#define TOOLS_RUN_NESTED_H

#include "session.h"

/* Can programs be supervised here? 0; -EBUSY: we are supervised ourselves; or why not: -EINVAL and
 * -ENOSYS the kernel cannot do it, -EPERM and others it is not allowed to. */
int supervision_here(void);
/* All of the run; the exit status. No thread may have been started. */
int run_nested(struct session *session, char **words, size_t n);

#endif
