/* SPDX-License-Identifier: BSD-2-Clause */
/* The one parser of mount options, as fusermount and mount(8) hand them to the kernel. */
#include "base/arith.h"
#include "base/errmsg.h"
#include "vfs/super.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_READ_FLOOR 4096u

/* The next option, with "\," and "\\" taken literally. What does not fit is cut. The rest, or NULL.
 */
static const char *next_option(const char *text, char *word, size_t size)
{
	size_t n = 0;

	for (; *text && *text != ','; text++) {
		if (*text == '\\' && text[1])
			text++;
		if (n + 1 < size)
			word[n++] = *text;
	}
	word[n] = '\0';
	return *text ? text + 1 : NULL;
}

static int number(const char *option, const char *value, int base, uint32_t *out)
{
	unsigned long long x;
	char *end;

	if (!value || *value < '0' || *value > '9')
		return pf__fail(-EINVAL, "mount option %s wants a number", option);
	errno = 0;
	x = strtoull(value, &end, base);
	if (*end || errno || x > UINT32_MAX)
		return pf__fail(-EINVAL, "mount option %s: bad number '%s'", option, value);
	*out = (uint32_t)x;
	return 0;
}

static void text_value(char *out, size_t size, const char *value)
{
	size_t n = value ? strnlen(value, size - 1) : 0;

	memcpy(out, value ? value : "", n);
	out[n] = '\0';
}

static bool set_flag(struct pf__mount_options *o, const char *word)
{
	if (!strcmp(word, "default_permissions"))
		o->default_permissions = true;
	else if (!strcmp(word, "allow_other"))
		o->allow_other = true;
	else if (!strcmp(word, "ro"))
		o->read_only = true;
	else if (!strcmp(word, "rw"))
		o->read_only = false;
	else
		return false;
	return true;
}

static int set_value(struct pf__mount_options *o, const char *word, const char *value)
{
	int r = 0;

	if (!strcmp(word, "rootmode")) {
		r = number(word, value, 8, &o->rootmode);
		if (!r && !(o->rootmode & S_IFMT))
			r = pf__fail(-EINVAL, "mount option rootmode has no file type");
		o->rootmode &= S_IFMT;
	} else if (!strcmp(word, "user_id")) {
		r = number(word, value, 10, &o->user_id);
	} else if (!strcmp(word, "group_id")) {
		r = number(word, value, 10, &o->group_id);
	} else if (!strcmp(word, "max_read")) {
		r = number(word, value, 10, &o->max_read);
		if (!r && o->max_read)
			o->max_read = (uint32_t)pf__max_u64(o->max_read, MAX_READ_FLOOR);
	} else if (!strcmp(word, "fsname")) {
		text_value(o->fsname, sizeof o->fsname, value);
	} else if (!strcmp(word, "subtype")) {
		text_value(o->subtype, sizeof o->subtype, value);
	}
	return r;
}

int pf__mount_options_parse(struct pf__mount_options *o, const char *text)
{
	char word[512], *value;
	int r;

	while (text) {
		text = next_option(text, word, sizeof word);
		if (set_flag(o, word))
			continue;
		value = strchr(word, '=');
		if (value)
			*value++ = '\0';
		r = set_value(o, word, value);
		if (r)
			return r;
	}
	return 0;
}
