/* SPDX-License-Identifier: BSD-2-Clause */
#include "text.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <wchar.h>
#include <wctype.h>

/* One character at text: its bytes, and its columns, -1 where it cannot be shown. */
static size_t next_character(const char *text, int *columns)
{
	mbstate_t state = {0};
	wchar_t wide;
	size_t n = mbrtowc(&wide, text, strlen(text), &state);

	if (n == 0 || n > (size_t)-3) {
		*columns = -1;
		return 1;
	}
	*columns = iswprint((wint_t)wide) ? wcwidth(wide) : -1;
	return n;
}

static size_t escape_byte(char *out, unsigned char byte)
{
	static const char special[] = "\a\b\f\n\r\t\v\\ ", letter[] = "abfnrtv\\ ";
	const char *at = byte ? strchr(special, byte) : NULL;

	if (at)
		return (size_t)sprintf(out, "\\%c", letter[at - special]);
	return (size_t)sprintf(out, "\\%03o", byte);
}

char *text_escape(const char *name, bool escape_spaces)
{
	char *escaped = malloc(strlen(name) * 4 + 1), *out = escaped;

	if (!escaped)
		return NULL;
	while (*name) {
		int columns;
		size_t n = next_character(name, &columns);

		if (columns < 0 || *name == '\\' || (*name == ' ' && escape_spaces)) {
			for (size_t i = 0; i < n; i++)
				out += escape_byte(out, (unsigned char)name[i]);
		} else {
			memcpy(out, name, n);
			out += n;
		}
		name += n;
	}
	*out = '\0';
	return escaped;
}

/* A control character moves nothing, as ls reckons; other bytes show as one sign. */
static size_t shown_columns(const char *text, int columns)
{
	return columns >= 0 ? (size_t)columns : iscntrl((unsigned char)*text) ? 0 : 1;
}

size_t text_width(const char *text)
{
	size_t width = 0;

	while (*text) {
		int columns;
		size_t n = next_character(text, &columns);

		width += shown_columns(text, columns);
		text += n;
	}
	return width;
}

size_t text_fit(const char *text, size_t limit)
{
	const char *at = text;
	size_t width = 0;

	while (*at) {
		int columns;
		size_t n = next_character(at, &columns);

		width += shown_columns(at, columns);
		if (width > limit)
			break;
		at += n;
	}
	return (size_t)(at - text);
}

size_t text_utf8(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t n = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

	if (!c[0] || c[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80) /* also at the end of text */
			return 0;
	/* Too long a form, a surrogate, beyond U+10FFFF. */
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return n;
}

char *text_human(uint64_t bytes, char buf[static TEXT_SIZE])
{
	static const char units[] = "KMGTPE";
	uint64_t unit = 1024;
	int i = 0;

	if (bytes < 1024) {
		snprintf(buf, TEXT_SIZE, "%ju", (uintmax_t)bytes);
		return buf;
	}
	/* Rounding up may carry into the next unit: 1023.5K is 1.0M. */
	while (units[i + 1] && bytes / unit + (bytes % unit != 0) >= 1024) {
		unit *= 1024;
		i++;
	}
	/* Ten times the rest fits in 64 bits: the largest unit is 2^60. */
	uint64_t tenths = bytes / unit * 10 + (bytes % unit * 10 + unit - 1) / unit;

	if (tenths < 100)
		snprintf(buf, TEXT_SIZE, "%ju.%ju%c", (uintmax_t)tenths / 10,
			 (uintmax_t)tenths % 10, units[i]);
	else
		snprintf(buf, TEXT_SIZE, "%ju%c", (uintmax_t)(bytes / unit + (bytes % unit != 0)),
			 units[i]);
	return buf;
}

bool text_bytes(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	unsigned long long number;

	errno = 0;
	number = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (errno || *text < '0' || *text > '9' || (*end && (!unit || end[1])) ||
	    number > UINT64_MAX >> 41)
		return false;
	*bytes = unit ? number << 10 * (unit - units + 1) : number;
	return true;
}

size_t terminal_columns(int fd)
{
	struct winsize size;
	const char *columns = getenv("COLUMNS");
	unsigned long number = columns ? strtoul(columns, NULL, 10) : 0;

	if (number > 0 && number < 10000)
		return number;
	if (!ioctl(fd, TIOCGWINSZ, &size) && size.ws_col)
		return size.ws_col;
	return 80;
}
