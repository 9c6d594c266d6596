/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has a socket open. */
#include "launch/serverpid.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool holds(int pid, const char *wanted)
{
	char name[64], link[64], file[128];
	struct dirent *e;
	bool found = false;
	DIR *dir;

	snprintf(name, sizeof name, "/proc/%d/fd", pid);
	dir = opendir(name);
	while (dir && !found && (e = readdir(dir))) {
		ssize_t n;

		snprintf(file, sizeof file, "%s/%.20s", name, e->d_name);
		n = readlink(file, link, sizeof link - 1);
		link[n < 0 ? 0 : n] = '\0';
		found = strcmp(link, wanted) == 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

pid_t pf__socket_holder(ino_t ino)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	char wanted[64];
	pid_t pid = 0;

	snprintf(wanted, sizeof wanted, "socket:[%llu]", (unsigned long long)ino);
	while (proc && !pid && (e = readdir(proc))) {
		int n = atoi(e->d_name);

		if (n > 0 && holds(n, wanted))
			pid = n;
	}
	if (proc)
		closedir(proc);
	return pid;
}
