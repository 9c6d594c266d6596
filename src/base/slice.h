/* SPDX-License-Identifier: BSD-2-Clause */
/* Walking along a caller's vectors. No locking: a slice belongs to one call. */
#ifndef PF_BASE_SLICE_H
#define PF_BASE_SLICE_H

#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

struct pf__slice {
	const struct iovec *iov;
	int iovcnt;
	size_t skip; /* bytes of iov[0] already used */
};
/* Describe the next len bytes of s (which has as many) with at most max vectors in out, and move s
 * on: their number, or 0 when it would take more, then s stays. */
int pf__slice_take(struct pf__slice *s, size_t len, struct iovec *out, int max);
void pf__slice_skip(struct pf__slice *s, size_t len);
/*
 * Cached pages are read without a lock while others write: which of the bytes a reader sees is
 * nobody's promise. ThreadSanitizer is not told of these copies.
 */
#if defined(__SANITIZE_THREAD__)
void pf__slice_copy(void *to, const void *from, size_t n);
#else
static inline void pf__slice_copy(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
}
#endif
/* Copy len bytes between s and buf, moving s on. */
void pf__slice_copy_out(struct pf__slice *s, void *buf, size_t len);
void pf__slice_copy_in(struct pf__slice *s, const void *buf, size_t len);

#endif
