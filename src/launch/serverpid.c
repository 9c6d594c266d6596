/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has a socket open. */
#include "launch/serverpid.h"
#include <dirent.h>
#include <fcntl.h>
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

static bool same_program(pid_t a, pid_t b)
{
	char name[64], exe_a[512], exe_b[512];
	ssize_t na, nb;

	snprintf(name, sizeof name, "/proc/%d/exe", (int)a);
	na = readlink(name, exe_a, sizeof exe_a);
	snprintf(name, sizeof name, "/proc/%d/exe", (int)b);
	nb = readlink(name, exe_b, sizeof exe_b);
	return na > 0 && na == nb && memcmp(exe_a, exe_b, (size_t)na) == 0;
}

pid_t pf__socket_holder(ino_t ino, pid_t first)
{
	pid_t other = 0, child = 0;
	bool first_holds;
	DIR *proc = opendir("/proc");
	struct dirent *e;
	char wanted[64];

	snprintf(wanted, sizeof wanted, "socket:[%llu]", (unsigned long long)ino);
	first_holds = first && holds(first, wanted);
	while (proc && (e = readdir(proc))) {
		pid_t pid = atoi(e->d_name);

		if (pid <= 0 || pid == first)
			continue;
		/* To look at all that all processes have open takes its time. */
		if (first_holds && pf__parent_of(pid) != first)
			continue;
		if (!holds(pid, wanted))
			continue;
		if (first && same_program(pid, first))
			child = pid;
		else
			other = pid;
	}
	if (proc)
		closedir(proc);
	if (child)
		return child;
	return first_holds || !other ? first : other;
}

/* The second field after the last ')' of the name. */
pid_t pf__parent_of(pid_t pid)
{
	char name[64], text[512], *p;
	ssize_t n = -1;
	int fd;

	snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof text - 1);
		close(fd);
	}
	if (n <= 0)
		return 0;
	text[n] = '\0';
	p = strrchr(text, ')');
	return p && strlen(p) > 4 ? (pid_t)strtol(p + 4, NULL, 10) : 0;
}
