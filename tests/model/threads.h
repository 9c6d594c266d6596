/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads on shared files: each owns every n-th stripe of each file and models it alone; stripes
 * are no multiple of a page, so that threads meet in pages and blocks. What concerns whole files
 * (their size, changes at the server, comparing) is done by one thread while the others wait.
 */
#ifndef MODEL_THREADS_H
#define MODEL_THREADS_H

#include "tests/model/trial.h"

#define THREADS_MAX 8

/* n operations over all threads, in a child. False: it failed, the report says why. */
bool threads_run(struct trial *t, unsigned threads, uint64_t seed, size_t n);

#endif
