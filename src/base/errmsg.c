/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errmsg.h"
#include <portfire/portfire.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NAME_SIZE 256
#define TEXT_SIZE 1024

static __thread struct {
	char text[TEXT_SIZE];
	char name[NAME_SIZE];
	const char *op;
	int err;
	bool lazy; /* text is still to be made from op, name, err */
	bool has_name;
} last;

/* The sentence is one line, whatever names a server invents. */
static void make_printable(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

static void append_strerror(char *text, size_t size, int err)
{
	size_t n = strlen(text);
	char buf[128];

	snprintf(text + n, size - n, " %s", strerror_r(err < 0 ? -err : err, buf, sizeof buf));
}

int pf__fail(int err, const char *fmt, ...)
{
	char text[TEXT_SIZE]; /* an argument may be the present sentence itself */
	size_t n = strlen(fmt);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n && fmt[n - 1] == ':')
		append_strerror(text, sizeof text, err);
	make_printable(text);
	memcpy(last.text, text, sizeof text);
	last.lazy = false;
	return err;
}

int pf__fail_op(int err, const char *op, const char *name)
{
	last.op = op;
	last.err = err;
	last.lazy = true;
	last.has_name = name;
	if (name) {
		size_t n = strnlen(name, NAME_SIZE - 1);

		memcpy(last.name, name, n);
		last.name[n] = '\0';
	}
	return err;
}

const char *pf__errmsg(void)
{
	if (last.lazy) {
		snprintf(last.text, sizeof last.text, "%s%s%s%s", last.op ? last.op : "",
			 last.op && last.has_name ? " " : "", last.has_name ? last.name : "",
			 last.op || last.has_name ? ":" : "");
		append_strerror(last.text, sizeof last.text, last.err);
		if (last.text[0] == ' ')
			memmove(last.text, last.text + 1, strlen(last.text));
		make_printable(last.text);
		last.lazy = false;
	}
	return last.text;
}

const char *pf_error(void)
{
	return pf__errmsg();
}

const char *pf_version(void)
{
	return PF_VERSION_STRING;
}
