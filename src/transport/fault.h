/* SPDX-License-Identifier: BSD-2-Clause */
/* The plan of faults of struct pf_options, read. Knows nothing of transports. */
#ifndef PF_TRANSPORT_FAULT_H
#define PF_TRANSPORT_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pf__fault_kind {
	PF_FAULT_NONE,
	PF_FAULT_DROP,       /* the message is lost */
	PF_FAULT_DELAY,      /* it and all after it come ms later */
	PF_FAULT_SHORT,      /* its end is missing */
	PF_FAULT_DUP,        /* it comes twice */
	PF_FAULT_REORDER,    /* it comes after the next one, or 50 ms later if none comes */
	PF_FAULT_CORRUPT,    /* one bit is flipped */
	PF_FAULT_DISCONNECT, /* instead of it the connection ends */
};

struct pf__fault {
	enum pf__fault_kind kind;
	bool tx;      /* to the server; else from it */
	uint64_t nth; /* message, from 1 */
	unsigned ms;  /* DELAY */
};

#define PF__FAULTS_MAX 64

struct pf__fault_plan {
	uint64_t seed;
	unsigned n;
	struct pf__fault faults[PF__FAULTS_MAX];
};

/* 0, or -EINVAL. */
int pf__fault_plan_parse(struct pf__fault_plan *plan, const char *text);
/* What happens to the nth message; NULL nothing. */
const struct pf__fault *pf__fault_at(const struct pf__fault_plan *plan, bool tx, uint64_t nth);

#endif
