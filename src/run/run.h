/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The role "files": unmodified programs use file systems of libportfire as if they were mounted.
 *
 * A run is a supervisor (supervise.h) with this role and the role "FUSE device" (launch/device.h):
 * the processes under it see the file systems that were added, and those that they mount
 * themselves; nobody else does. Knows nothing of the protocol and of how its program is waited for.
 *
 * Thread-safety: every call from any thread, pf__run_free() last.
 */
#ifndef PF_RUN_RUN_H
#define PF_RUN_RUN_H

#include "supervise/supervise.h"
#include <portfire/portfire.h>

struct pf__run;

struct pf__run_config {
	const struct pf_options *options; /* for what is mounted inside the run; NULL: defaults */
	uint64_t hold_bytes; /* files larger than this are not held in memory; 0: default */
	uint64_t hold_total; /* what all files in memory may take; 0: default */
	/* A directory on disk in which what programs write is held, "none"; NULL: wherever it can
	 * be. Stays the caller's. */
	const char *hold_dir;
	/* Programs that load src/preload/ may see what is known of paths and attributes. */
	bool preload;
	/* A line for the user, without newline and "portfire:": what could not be written back and
	 * where it was kept. On any thread. May be NULL. */
	void (*say)(void *ctx, const char *line);
	/* Has the user asked for an end? Then servers are waited for no longer. May be NULL. */
	int (*interrupted)(void);
	void *ctx;
};

/* 0, or negative errno with a sentence. */
int pf__run_new(struct pf__run **run, const struct pf__run_config *config);
/*
 * Show fs at mountpoint (an absolute path without symbolic links; NULL: where its server mounted
 * it). fs stays the caller's and must live until pf__run_free(). 0, -EBUSY, -ENOMEM, -EINVAL.
 */
int pf__run_add(struct pf__run *run, struct pf_fs *fs, const char *mountpoint);
/* Where the run keeps what stands for directories: to be removed, with what is in it, should we be
 * killed. Valid until pf__run_free(). */
const char *pf__run_private(struct pf__run *run);
/* How many files programs may have open: what our limit of descriptors allows. raise: as high as it
 * may be. */
void pf__run_limits(struct pf__run *run, bool raise);
/* The programs have the library at this path in LD_PRELOAD, but those that cannot. Before the first
 * one is started. 0 or -ENOMEM. */
int pf__run_preloads(struct pf__run *run, const char *path);
struct pf__supervisor *pf__run_supervisor(struct pf__run *run);
/*
 * What programs have written goes to the servers, and waits for it. The number of files, since the
 * run began, whose data could not be written back (they were told of by say()).
 */
unsigned pf__run_flush(struct pf__run *run);
/* A server that this run shows has been lost: its sentence in buf, true. Else false. */
bool pf__run_lost(struct pf__run *run, char *buf, size_t size);
/*
 * Is this process one of those that serve what was mounted inside the run, or below one? Then the
 * run need not wait for it.
 */
bool pf__run_serves(struct pf__run *run, pid_t pid);
/* Unmount what was mounted inside: flush, hang up. For the end of the run, before its processes are
 * ended. */
void pf__run_unmount_all(struct pf__run *run);
/* No process may be left under it. NULL is fine. The number of files as pf__run_flush() says it,
 * with those that were given up now. */
unsigned pf__run_free(struct pf__run *run);

#endif
