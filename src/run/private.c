/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The private directory: stand-ins of directories (dN), names to execute by (xN), fifos and
 * sockets.
 *
 * It is locked (flock) as long as its run lives. One that a supervisor left that was killed is
 * removed by a later run of its user.
 */
#include "launch/command.h"
#include "run/internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define SHM     "/dev/shm"
#define PREFIX  "portfire-run-"
#define YOUNG_S 60 /* it may not be locked yet */
#define DEPTH   3

/* What is in it, and in directories in it. */
static void empty(int dir, int depth)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		int sub;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(copy, e->d_name, 0) == 0 || depth == 0)
			continue;
		sub = openat(copy, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0) {
			fchmod(sub, 0700);
			empty(sub, depth - 1);
			close(sub);
		}
		unlinkat(copy, e->d_name, AT_REMOVEDIR);
	}
	if (d)
		closedir(d);
	else if (copy >= 0)
		close(copy);
}

void private_remove(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0) {
		empty(fd, 0);
		close(fd);
	}
	unlinkat(dir, name, AT_REMOVEDIR);
}

static bool is_stale(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
	       time(NULL) - st.st_ctime > YOUNG_S && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void remove_stale(void)
{
	DIR *d = opendir(SHM);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		int fd;

		if (strncmp(e->d_name, PREFIX, sizeof PREFIX - 1) != 0)
			continue;
		fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (is_stale(fd)) {
			empty(fd, DEPTH);
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
		}
		close(fd);
	}
	if (d)
		closedir(d);
}

/* Where making a directory costs next to nothing, or wherever it may be. */
static int make_directory(char **path)
{
	*path = pf__strdup(SHM "/" PREFIX "XXXXXX");
	if (*path && mkdtemp(*path))
		return 0;
	pf__free(pf__take(*path, NULL));
	return pf__private_directory(path);
}

int private_open(struct pf__run *r)
{
	int err;

	remove_stale();
	err = make_directory(&r->private);
	if (err)
		return err;
	r->private_fd = open(r->private, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->private_fd < 0)
		return -errno;
	flock(r->private_fd, LOCK_EX | LOCK_NB);
	fchmod(r->private_fd, 0711); /* who executes may be somebody else */
	return 0;
}

void private_close(struct pf__run *r)
{
	if (r->private_fd >= 0) {
		empty(r->private_fd, 0); /* fifos and sockets */
		close(r->private_fd);
	}
	if (r->private)
		rmdir(r->private);
	pf__free(r->private);
}
