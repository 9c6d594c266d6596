/* SPDX-License-Identifier: BSD-2-Clause */
/* Time, processors and processes. */
#include "bench.h"
#include <ctype.h>
#include <dirent.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROCESSES   65536
#define MAX_DESCENDANTS 256

static char sentence[256];

void fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(sentence, sizeof(sentence), format, ap);
	va_end(ap);
}

const char *failure(void)
{
	return sentence;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

const char *own_directory(void)
{
	static char path[PATH_MAX], *dir;
	ssize_t n;

	if (!dir) {
		n = readlink("/proc/self/exe", path, sizeof(path) - 1);
		dir = n < 0 ? NULL : dirname(path);
	}
	return dir ? dir : ".";
}

bool program_exists(const char *program)
{
	char path[PATH_MAX], *save, *dir;
	char *all = strdup(getenv("PATH") ? getenv("PATH") : "");
	bool found = false;

	for (dir = all ? strtok_r(all, ":", &save) : NULL; dir && !found;
	     dir = strtok_r(NULL, ":", &save)) {
		snprintf(path, sizeof(path), "%s/%s", dir, program);
		found = !access(path, X_OK);
	}
	free(all);
	return found;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	remove(path);
	return 0;
}

void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* The cores that were ours when the program began. */
static const cpu_set_t *all_cpus(void)
{
	static cpu_set_t set;
	static bool known;

	if (!known) {
		known = true;
		sched_getaffinity(0, sizeof(set), &set);
	}
	return &set;
}

int usable_cpus(void)
{
	return CPU_COUNT(all_cpus());
}

static cpu_set_t nth_cpu(int n)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, all_cpus()) && !n--) {
			CPU_SET(cpu, &one);
			return one;
		}
	}
	return *all_cpus();
}

void pin_self(int cpu)
{
	cpu_set_t set = nth_cpu(cpu % usable_cpus());

	sched_setaffinity(0, sizeof(set), &set);
}

void unpin_self(void)
{
	sched_setaffinity(0, sizeof(cpu_set_t), all_cpus());
}

static void pin_process(pid_t pid, const cpu_set_t *set)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return; /* gone */
	while ((entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			sched_setaffinity(atoi(entry->d_name), sizeof(*set), set);
	closedir(dir);
}

/* The parent of a process, or 0 when it is gone. */
static pid_t parent_of(pid_t pid)
{
	char path[64], line[512], *p;
	size_t n;
	FILE *f;
	int ppid = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(line, 1, sizeof(line) - 1, f);
	fclose(f);
	line[n] = 0;
	p = strrchr(line, ')'); /* the name may hold anything */
	if (p)
		sscanf(p + 1, " %*c %d", &ppid);
	return ppid;
}

unsigned descendants(pid_t *pids, unsigned max)
{
	static struct {
		pid_t pid, ppid;
	} all[MAX_PROCESSES];
	unsigned n = 0, found = 0;
	struct dirent *entry;
	DIR *dir = opendir("/proc");

	while (dir && n < MAX_PROCESSES && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		all[n].pid = atoi(entry->d_name);
		all[n].ppid = parent_of(all[n].pid);
		n++;
	}
	if (dir)
		closedir(dir);
	for (long next = -1; next < (long)found; next++) {
		pid_t parent = next < 0 ? getpid() : pids[next];

		for (unsigned i = 0; i < n && found < max; i++)
			if (all[i].ppid == parent)
				pids[found++] = all[i].pid;
	}
	return found;
}

void pin_all(bool one_core)
{
	cpu_set_t set = one_core ? nth_cpu(0) : *all_cpus();
	pid_t pids[MAX_DESCENDANTS];
	unsigned n = descendants(pids, MAX_DESCENDANTS);

	pin_process(getpid(), &set);
	for (unsigned i = 0; i < n; i++)
		pin_process(pids[i], &set);
}
