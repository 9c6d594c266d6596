/* SPDX-License-Identifier: BSD-2-Clause */
/* Cleanup attributes for locals: declared NULL or -1, released when they go out of scope. */
#ifndef PF_BASE_CLEANUP_H
#define PF_BASE_CLEANUP_H

#include "base/alloc.h"
#include <unistd.h>

static inline void pf__cleanup_free(void *p)
{
	pf__free(*(void **)p);
}

static inline void pf__cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define PF_AUTO_FREE  __attribute__((cleanup(pf__cleanup_free)))
#define PF_AUTO_CLOSE __attribute__((cleanup(pf__cleanup_close)))

/* Hand the value on and disarm the cleanup. */
#define pf__take(p, none)                                                                          \
	({                                                                                         \
		__typeof__(p) pf__taken = (p);                                                     \
		(p) = (none);                                                                      \
		pf__taken;                                                                         \
	})

#endif
