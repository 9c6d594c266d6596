/* SPDX-License-Identifier: BSD-2-Clause */
/* Copying between vectors and contiguous memory. Lengths that differ copy the shorter. */
#ifndef PF_TRANSPORT_VEC_H
#define PF_TRANSPORT_VEC_H

#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

static inline size_t pf__vec_size(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* From vectors into memory; the bytes copied. */
static inline size_t pf__vec_gather(void *to, size_t len, const struct iovec *iov, int n)
{
	size_t done = 0;

	for (int i = 0; i < n && done < len; i++) {
		size_t part = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		if (part)
			memcpy((char *)to + done, iov[i].iov_base, part);
		done += part;
	}
	return done;
}

/* From memory into vectors; the bytes copied. */
static inline size_t pf__vec_scatter(const struct iovec *iov, int n, const void *from, size_t len)
{
	size_t done = 0;

	for (int i = 0; i < n && done < len; i++) {
		size_t part = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		if (part)
			memcpy(iov[i].iov_base, (const char *)from + done, part);
		done += part;
	}
	return done;
}

#endif
