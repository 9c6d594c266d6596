/* SPDX-License-Identifier: BSD-2-Clause */
/* Roles for callers (caller.c): what the paths below /pf/ do. */
#ifndef PF_TESTS_SUPERVISE_ROLE_H
#define PF_TESTS_SUPERVISE_ROLE_H

#include "supervise/supervise.h"

struct role {
	const char *caller;  /* the program */
	const char *scratch; /* a directory with the file "file" and the FIFO "fifo" */
	int dir;             /* it, open */
	_Atomic int stuck;   /* handlers in /pf/stuck */
	_Atomic bool released;
	_Atomic int inside, most_inside; /* handlers in /pf/serial, now and at most */
	_Atomic int fifos;               /* calls of /pf/fifo */
	bool may_interrupt_twice;        /* each of these blocks, not the first alone */
};

int role_add(struct role *r, struct pf__supervisor *s);

#endif
