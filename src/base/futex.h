/* SPDX-License-Identifier: BSD-2-Clause */
/* Sleeping on a 32-bit word. Negative errno. */
#ifndef PF_BASE_FUTEX_H
#define PF_BASE_FUTEX_H

#include <stdint.h>

/* Sleep while *word == expected, until pf__now() reaches deadline (PF_TIME_FOREVER: no end).
 * 0 woken (perhaps for nothing), -EAGAIN value differs, -EINTR signal, -ETIMEDOUT. */
int pf__futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline);
/* The number that were woken. */
int pf__futex_wake(_Atomic uint32_t *word, int how_many);

#endif
