/* SPDX-License-Identifier: BSD-2-Clause */
/* What print_request.c and print_reply.c put lines together with. */
#include "proto/print.h"
#include "base/arith.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void pf__line_init(struct pf__line *l, char *text, size_t size)
{
	l->text = text;
	l->size = size;
	l->len = 0;
	if (size)
		text[0] = '\0';
}

void pf__put(struct pf__line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (l->len + 1 >= l->size)
		return;
	va_start(ap, fmt);
	n = vsnprintf(l->text + l->len, l->size - l->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->len += pf__min_u64(n, l->size - l->len - 1);
}

void pf__put_string(struct pf__line *l, const void *s, size_t len)
{
	const unsigned char *p = s;

	pf__put(l, "\"");
	for (size_t i = 0; i < len && l->len + 1 < l->size; i++) {
		if (p[i] == '"' || p[i] == '\\')
			pf__put(l, "\\%c", p[i]);
		else if (p[i] >= ' ' && p[i] < 0x7f)
			pf__put(l, "%c", p[i]);
		else
			pf__put(l, "\\x%02x", p[i]);
	}
	pf__put(l, "\"");
}

void pf__put_flags(struct pf__line *l, uint64_t flags, const char *const *names, unsigned n)
{
	const char *sep = "";

	if (!flags)
		pf__put(l, "0");
	for (unsigned i = 0; i < n; i++) {
		if (!(flags >> i & 1) || !names[i])
			continue;
		pf__put(l, "%s%s", sep, names[i]);
		flags &= ~(1ull << i);
		sep = "|";
	}
	if (flags)
		pf__put(l, "%s0x%llx", sep, (unsigned long long)flags);
}

void pf__put_init_flags(struct pf__line *l, uint64_t flags)
{
	const char *names[64];

	for (unsigned i = 0; i < 64; i++)
		names[i] = pf__init_flag_name(i);
	pf__put_flags(l, flags, names, 64);
}

void pf__put_open_flags(struct pf__line *l, uint32_t flags)
{
	static const char *const access[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
	static const struct {
		uint32_t bits;
		const char *name;
	} others[] = {
	    {O_CREAT, "O_CREAT"},         {O_EXCL, "O_EXCL"},         {O_TRUNC, "O_TRUNC"},
	    {O_APPEND, "O_APPEND"},       {O_NONBLOCK, "O_NONBLOCK"}, {O_SYNC, "O_SYNC"},
	    {O_DSYNC, "O_DSYNC"},         {O_DIRECT, "O_DIRECT"},     {O_TMPFILE, "O_TMPFILE"},
	    {O_DIRECTORY, "O_DIRECTORY"}, {O_NOFOLLOW, "O_NOFOLLOW"}, {O_NOATIME, "O_NOATIME"},
	    {O_CLOEXEC, "O_CLOEXEC"},
	};

	pf__put(l, "%s", access[flags & O_ACCMODE]);
	flags &= ~(uint32_t)O_ACCMODE;
	for (size_t i = 0; i < PF_ARRAY_SIZE(others); i++) {
		if ((flags & others[i].bits) != others[i].bits)
			continue;
		pf__put(l, "|%s", others[i].name);
		flags &= ~others[i].bits;
	}
	if (flags)
		pf__put(l, "|0x%x", flags);
}

void pf__put_seconds(struct pf__line *l, uint64_t sec, uint32_t nsec)
{
	char fraction[16] = "";

	if (nsec) {
		snprintf(fraction, sizeof fraction, ".%09u", nsec);
		for (size_t n = strlen(fraction); fraction[n - 1] == '0'; n--)
			fraction[n - 1] = '\0';
	}
	pf__put(l, "%llu%ss", (unsigned long long)sec, fraction);
}

void pf__take(struct pf__bytes *b, void *dst, size_t size)
{
	size_t n = pf__min_u64(size, b->left);

	memset(dst, 0, size);
	if (n)
		memcpy(dst, b->p, n);
	if (n < size)
		b->cut = true;
	b->p += n;
	b->left -= n;
}

void pf__put_name(struct pf__line *l, struct pf__bytes *b)
{
	size_t n = strnlen(b->p, b->left);

	pf__put_string(l, b->p, n);
	if (n == b->left)
		b->cut = true;
	else
		n++;
	b->p += n;
	b->left -= n;
}
