/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/memory.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#define ROOT "/sys/fs/cgroup"

static uint64_t read_number(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned long long n = 0;

	if (!f)
		return UINT64_MAX;
	if (fscanf(f, "%llu", &n) != 1 || !n) /* "max" */
		n = UINT64_MAX;
	fclose(f);
	return n;
}

/* The least of what a group and those above it may have. In a container its path may mean nothing;
 * then the topmost one is it. */
static uint64_t limit_of(const char *root, const char *group, const char *name)
{
	char dir[PATH_MAX], path[PATH_MAX + 64];
	uint64_t least = UINT64_MAX, n;

	snprintf(dir, sizeof dir, "%s%s", root, group);
	for (;;) {
		char *slash;

		snprintf(path, sizeof path, "%s/%s", dir, name);
		n = read_number(path);
		least = n < least ? n : least;
		slash = strrchr(dir, '/');
		if (!slash || (size_t)(slash - dir) < strlen(root))
			return least;
		*slash = '\0';
	}
}

static uint64_t limit_of_groups(void)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	uint64_t least = UINT64_MAX, n;
	char line[PATH_MAX];

	while (f && fgets(line, sizeof line, f)) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!group)
			continue;
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		if (!controllers[1]) /* version 2 */
			n = limit_of(ROOT, group, "memory.max");
		else if (strstr(controllers, "memory"))
			n = limit_of(ROOT "/memory", group, "memory.limit_in_bytes");
		else
			continue;
		least = n < least ? n : least;
	}
	if (f)
		fclose(f);
	return least;
}

uint64_t pf__memory(void)
{
	uint64_t group = limit_of_groups(), all = UINT64_MAX;
	struct sysinfo info;

	if (sysinfo(&info) == 0)
		all = (uint64_t)info.totalram * info.mem_unit;
	return group < all ? group : all;
}
