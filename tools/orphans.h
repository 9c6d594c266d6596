/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Should a server kill the process that watches over it, what it started would outlive us. So we
 * take in what loses its parents, and end it when we end. Not when we had children from the start
 * (of a shell that became us): they and theirs are none of our business.
 */
#ifndef TOOLS_ORPHANS_H
#define TOOLS_ORPHANS_H

#include <stdbool.h>

/* Before the first server is started. */
void orphans_adopt(void);
/* Do they come to us? */
bool orphans_adopted(void);
/* After the last one has ended. Usually there is nothing to do. */
void orphans_end(void);

#endif
