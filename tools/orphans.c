/* SPDX-License-Identifier: BSD-2-Clause */
#include "orphans.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 200, ROUND_MS = 10 };

static bool adopting;

/* Children of the main thread, which orphans come to, are given to fn. Their number; -1: unknown.
 */
static int each_child(void (*fn)(int pid))
{
	char name[64];
	FILE *list;
	int pid, n = 0;

	snprintf(name, sizeof(name), "/proc/self/task/%d/children", (int)getpid());
	list = fopen(name, "re");
	if (!list)
		return -1;
	for (; fscanf(list, "%d", &pid) == 1; n++)
		fn(pid);
	fclose(list);
	return n;
}

static void leave(int pid)
{
}

static void end(int pid)
{
	kill(pid, SIGKILL);
}

void orphans_adopt(void)
{
	adopting = each_child(leave) == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

bool orphans_adopted(void)
{
	return adopting;
}

void orphans_end(void)
{
	for (int i = 0; adopting && i < ROUNDS && each_child(end) > 0; i++) {
		while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
			;
		poll(NULL, 0, i ? ROUND_MS : 1);
	}
}
