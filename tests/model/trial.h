/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs in processes of their own, and how a run that fails is made small. */
#ifndef MODEL_TRIAL_H
#define MODEL_TRIAL_H

#include "tests/model/run.h"

struct trial {
	const struct config *config;
	struct report *report; /* shared memory, see trial_report() */
	unsigned timeout_s;
	bool quiet; /* what the library and sanitizers print is not wanted */
};

struct report *trial_report(void);
/* False: it failed, and report->what says why. */
bool trial_run(struct trial *t, const struct op *ops, size_t n);
/* Like it, with any function in the child. */
bool trial_call(struct trial *t, void (*call)(void *ctx), void *ctx);
/* Drop what is not needed for the failure, for so many seconds at most. The new number. */
size_t trial_shrink(struct trial *t, struct op *ops, size_t n, unsigned seconds);

#endif
