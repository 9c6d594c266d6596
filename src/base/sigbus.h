/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mappings of files that others may cut: what lies behind the end raises SIGBUS. For the ranges
 * noted here a page of zeros takes its place instead, and the access goes on. The handler is put in
 * when a range is noted, and passes everything else to the one that was there before; a program
 * that sets one of its own afterwards gets these signals, too, until the next range.
 */
#ifndef PF_BASE_SIGBUS_H
#define PF_BASE_SIGBUS_H

#include <stddef.h>

/* A range of whole pages, readable and, with writable, writable. 0 or -ENOMEM. */
int pf__sigbus_guard(void *start, size_t len, int writable);
/* Before it is unmapped. */
void pf__sigbus_forget(void *start);

#endif
