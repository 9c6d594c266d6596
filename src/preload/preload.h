/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of src/preload/ share. */
#ifndef PF_PRELOAD_PRELOAD_H
#define PF_PRELOAD_PRELOAD_H

/* Here `stat` is the symbol of that name, not stat64. */
#undef _FILE_OFFSET_BITS
#include "run/shared.h"
#include "vfs/stat.h"
#include <stdbool.h>
#include <stdint.h>

#define PF_TEXT_MAX 512 /* longer paths are asked for: stacks of signal handlers are small */

/* A path from the root on, if it is known. */
struct text {
	const char *path;
	size_t len; /* 0: it is not known */
	char buf[PF_TEXT_MAX];
};

extern const struct pf__shared *pf__seen; /* NULL: there is no run */

/* A call, as syscall(2) makes it; pass: without being trapped. */
long pf__call(bool pass, long nr, long a, long b, long c, long d, long e);
/* What may be believed now; NULL: ask. */
const struct pf__shared *pf__see(void);
/* Is it, and can it be read? */
bool pf__is_empty(const char *path);
/* Can size bytes (at least 8, at most a page) be written there? Some of them are. */
bool pf__may_write(void *p, size_t size);
/* It is known that path leads nowhere near. *t is filled, for pf__is_shown(). */
bool pf__leads_elsewhere(const struct pf__shared *s, int dirfd, const char *path, bool follow,
			 struct text *t);
/* The attributes of a file of the run. */
bool pf__is_shown(const struct pf__shared *s, const struct text *t, bool follow, uint64_t *dev,
		  struct fuse_attr *attr);
/* What fd is, if it is known: nothing of the run's, or a file that was just opened. */
bool pf__see_fd(const struct pf__shared *s, int fd, struct stat *st);

#endif
