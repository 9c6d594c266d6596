/* SPDX-License-Identifier: BSD-2-Clause */
/* What mount(2) for a FUSE file system was given. */
#include "base/alloc.h"
#include "launch/device.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

bool pf__is_fuse_type(const char *t)
{
	if (strncmp(t, "fuse", 4) != 0)
		return false;
	t += strncmp(t, "fuseblk", 7) == 0 ? 7 : 4;
	return *t == '\0' || *t == '.';
}

/* One component after slashes and "." ones; *p moves behind it. */
static size_t next_component(const char **p)
{
	size_t n;

	for (;;) {
		*p += strspn(*p, "/");
		n = strcspn(*p, "/");
		if (n != 1 || **p != '.')
			break;
		*p += 1;
	}
	*p += n;
	return n;
}

bool pf__is_fuse_device(const char *path)
{
	static const char *const words[] = {"dev", "fuse"};

	if (path[0] != '/')
		return false;
	for (int i = 0; i < 2; i++) {
		size_t n = next_component(&path);

		if (n != strlen(words[i]) || memcmp(path - n, words[i], n) != 0)
			return false;
	}
	return *path == '\0';
}

int pf__mount_data_fd(const char *data)
{
	while (*data) {
		if (strncmp(data, "fd=", 3) == 0) {
			char *end;
			long fd = strtol(data + 3, &end, 10);

			return end == data + 3 || (*end && *end != ',') || fd < 0 || fd > 1 << 30
				   ? -EINVAL
				   : (int)fd;
		}
		data += strcspn(data, ",");
		data += *data == ',';
	}
	return -EINVAL;
}

/* "name=value", with the commas and backslashes of value escaped; name alone if value is NULL. */
static char *add_option(char *to, const char *name, const char *value)
{
	to = stpcpy(to, name);
	for (; value && *value; value++) {
		if (*value == ',' || *value == '\\')
			*to++ = '\\';
		*to++ = *value;
	}
	*to++ = ',';
	return to;
}

static char *add_data(char *to, const char *data)
{
	while (*data) {
		size_t n = strcspn(data, ",");

		if (n && strncmp(data, "fd=", 3) != 0) {
			to = mempcpy(to, data, n);
			*to++ = ',';
		}
		data += n + (data[n] == ',');
	}
	return to;
}

char *pf__mount_options_text(const char *data, const char *source, const char *fstype,
			     unsigned long flags)
{
	char *text = pf__malloc(strlen(data) + 2 * strlen(source) + 2 * strlen(fstype) + 64);
	const char *dot = strchr(fstype, '.');
	char *to = text;

	if (!text)
		return NULL;
	to = add_data(to, data);
	if (flags & MS_RDONLY)
		to = add_option(to, "ro", NULL);
	if (*source)
		to = add_option(to, "fsname=", source);
	if (dot && dot[1])
		to = add_option(to, "subtype=", dot + 1);
	if (strncmp(fstype, "fuseblk", 7) == 0)
		to = add_option(to, "blkdev", NULL);
	if (to > text)
		to--; /* the last comma */
	*to = '\0';
	return text;
}
