/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a trace line is put together, for print_*.c only: a line that never overflows, and a message
 * of which nothing is read past its end.
 */
#ifndef PF_PROTO_PRINT_H
#define PF_PROTO_PRINT_H

#include "proto/proto.h"

struct pf__line {
	char *text;
	size_t size, len; /* len < size: bytes written so far, a NUL follows them */
};
void pf__line_init(struct pf__line *l, char *text, size_t size);
void pf__put(struct pf__line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "name", with everything but printable ASCII escaped. */
void pf__put_string(struct pf__line *l, const void *s, size_t len);
/* A|B|0x80: names[i] stands for bit i, NULL for none; 0 for no bit. */
void pf__put_flags(struct pf__line *l, uint64_t flags, const char *const *names, unsigned n);
void pf__put_init_flags(struct pf__line *l, uint64_t flags);
void pf__put_open_flags(struct pf__line *l, uint32_t flags);           /* open(2)'s O_ flags */
void pf__put_seconds(struct pf__line *l, uint64_t sec, uint32_t nsec); /* 1s, 0.5s */

/* The part of a message that has not been printed yet. */
struct pf__bytes {
	const char *p;
	size_t left;
	bool cut; /* more was wanted than was there */
};
/* The next size bytes into dst; what is missing reads as 0. */
void pf__take(struct pf__bytes *b, void *dst, size_t size);
/* Put the next NUL-terminated string, without its NUL. */
void pf__put_name(struct pf__line *l, struct pf__bytes *b);

#endif
