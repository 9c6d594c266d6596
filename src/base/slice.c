/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/slice.h"
#include <string.h>

#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize("thread"), noinline)) void pf__slice_copy(void *to, const void *from,
								     size_t n)
{
#if defined(__x86_64__)
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
#else
	char *t = to;
	const char *f = from;

	while (n--) {
		*t++ = *f++;
		__asm__ volatile("" ::: "memory"); /* or it becomes a memcpy(), which is told */
	}
#endif
}
#endif

static void skip_empty(struct pf__slice *s)
{
	while (s->iovcnt && s->skip == s->iov->iov_len) {
		s->iov++;
		s->iovcnt--;
		s->skip = 0;
	}
}

/* What is left of the first vector, at most len bytes of it; s moves on. */
static struct iovec take_one(struct pf__slice *s, size_t len)
{
	size_t n;
	struct iovec v;

	skip_empty(s);
	n = s->iov->iov_len - s->skip;
	if (n > len)
		n = len;
	v.iov_base = (char *)s->iov->iov_base + s->skip;
	v.iov_len = n;
	s->skip += n;
	return v;
}

int pf__slice_take(struct pf__slice *s, size_t len, struct iovec *out, int max)
{
	struct pf__slice tmp = *s;
	int n = 0;

	while (len) {
		if (n == max)
			return 0;
		out[n] = take_one(&tmp, len);
		len -= out[n++].iov_len;
	}
	*s = tmp;
	return n;
}

void pf__slice_skip(struct pf__slice *s, size_t len)
{
	while (len)
		len -= take_one(s, len).iov_len;
}

void pf__slice_copy_out(struct pf__slice *s, void *buf, size_t len)
{
	for (char *p = buf; len;) {
		struct iovec v = take_one(s, len);

		pf__slice_copy(p, v.iov_base, v.iov_len);
		p += v.iov_len;
		len -= v.iov_len;
	}
}

void pf__slice_copy_in(struct pf__slice *s, const void *buf, size_t len)
{
	for (const char *p = buf; len;) {
		struct iovec v = take_one(s, len);

		pf__slice_copy(v.iov_base, p, v.iov_len);
		p += v.iov_len;
		len -= v.iov_len;
	}
}
