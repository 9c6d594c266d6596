/* SPDX-License-Identifier: BSD-2-Clause */
#include "json.h"
#include "text.h"
#include <stdio.h>

void json_string(const char *text)
{
	putchar('"');
	while (*text) {
		unsigned char c = (unsigned char)*text;
		size_t n = text_utf8(text);

		if (!n)
			printf("\\ufffd");
		else if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < ' ' || c == 0x7f)
			printf("\\u%04x", c);
		else
			printf("%.*s", (int)n, text);
		text += n ? n : 1;
	}
	putchar('"');
}

void json_summary(const char *name, const struct summary *s)
{
	printf(", \"%s\": ", name);
	if (!s->n) {
		printf("null");
		return;
	}
	printf("{\"median\": %.6g, \"q1\": %.6g, \"q3\": %.6g, \"min\": %.6g, \"max\": %.6g, "
	       "\"samples\": %u}",
	       s->median, s->low, s->high, s->min, s->max, s->n);
}
