/* SPDX-License-Identifier: BSD-2-Clause */
/* Which stand-ins any process has open, or stands in: /proc tells, where no lease does. */
#include "run/internal.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* /proc/PID/NAME */
static void mark(struct pf__run *r, const char *pid, const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	struct object *o;

	snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
	if (stat(path, &st) < 0)
		return;
	o = object_by_id(r, st.st_dev, st.st_ino);
	if (o && o->native)
		native_mark(o, (pid_t)strtol(pid, NULL, 10), name);
	else if (o)
		o->marked = r->sweep;
	object_put(o);
}

/* False: we are out of descriptors, or the like, and cannot say. */
static bool mark_fds(struct pf__run *r, const char *pid)
{
	char name[PATH_MAX];
	struct dirent *e;
	DIR *d;

	snprintf(name, sizeof name, "/proc/%s/fd", pid);
	d = opendir(name);
	if (!d)
		return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
	while (d && (e = readdir(d))) {
		snprintf(name, sizeof name, "fd/%s", e->d_name);
		if (e->d_name[0] != '.')
			mark(r, pid, name);
	}
	closedir(d);
	return true;
}

/* Directories that any process has open or stands in. Our own are only ours. False: who knows? */
static bool mark_once(struct pf__run *r)
{
	struct dirent *e;
	DIR *d = opendir("/proc");
	bool sure = d;

	while (d && (e = readdir(d))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (pid <= 0 || pid == getpid())
			continue;
		mark(r, e->d_name, "cwd");
		sure &= mark_fds(r, e->d_name);
	}
	if (d)
		closedir(d);
	return sure;
}

/* Twice: a child with a low number may get what its parent has, and its parent let go of it, after
 * we have passed the one and before we come to the other. */
static bool mark_directories(struct pf__run *r)
{
	r->sweep++;
	return mark_once(r) && mark_once(r);
}

static pthread_mutex_t marking = PTHREAD_MUTEX_INITIALIZER;

bool objects_mark(struct pf__run *r)
{
	pthread_mutex_lock(&marking);
	return mark_directories(r);
}

void objects_marked(void)
{
	pthread_mutex_unlock(&marking);
}

bool object_is_open(const struct object *o)
{
	bool open = !objects_mark(o->run) || o->marked == o->run->sweep;

	objects_marked();
	return open;
}
