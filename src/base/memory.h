/* SPDX-License-Identifier: BSD-2-Clause */
/* How much memory there is for us. */
#ifndef PF_BASE_MEMORY_H
#define PF_BASE_MEMORY_H

#include <stdint.h>

/* Bytes: what the machine has, or what the control groups let us have of that. */
uint64_t pf__memory(void);

#endif
