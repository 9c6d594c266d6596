/* SPDX-License-Identifier: BSD-2-Clause */
/* What a small made-up file system would answer, and what nobody in his right mind would. */
#ifndef TESTS_HOSTILE_ANSWERS_H
#define TESTS_HOSTILE_ANSWERS_H

#include "tests/hostile/server.h"

/* The body of a right answer; its length, or an error in *error (negative errno). */
size_t answers_right(struct hostile *h, const struct fuse_in_header *in, unsigned char *body,
		     int32_t *error);
/* Spoil what a right body says: other types, known nodes in wrong places, odd flags. */
void answers_absurd(struct hostile *h, uint32_t opcode, unsigned char *body, size_t len);
/* A notification of any kind, well-formed; its length. */
size_t answers_notify(struct hostile *h, unsigned char *msg);
/* Some errno, positive. */
int answers_errno(struct dice *d);

#endif
