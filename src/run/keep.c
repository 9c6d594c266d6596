/* SPDX-License-Identifier: BSD-2-Clause */
/* What no server has taken is kept in a file, and named. */
#include "run/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* With its holes: it may be far larger than any disk. */
static int copy_out(const struct object *o, int to)
{
	char buf[65536];
	struct stat st;
	off_t at = 0;

	if (fstat(o->fd, &st) < 0)
		return -errno;
	while ((at = next_data(o->fd, at, st.st_size)) < st.st_size) {
		ssize_t n = pread(o->fd, buf, sizeof buf, at);

		if (n <= 0)
			return n < 0 ? -errno : 0;
		errno = 0;
		if (pwrite(to, buf, (size_t)n, at) != n)
			return errno ? -errno : -ENOSPC;
		at += n;
	}
	/* Of a hole at the end there is nothing to keep but its size. */
	return ftruncate(to, st.st_size) < 0 && errno != EFBIG ? -errno : 0;
}

static int keep_copy(const struct object *o, const char *path, char *name)
{
	const char *dir = getenv("TMPDIR"), *base = strrchr(path, '/');
	int fd, err;

	snprintf(name, PATH_MAX, "%s/portfire-%.100s-XXXXXX", dir && *dir ? dir : "/tmp",
		 base && base[1] ? base + 1 : "file");
	fd = mkostemp(name, O_CLOEXEC);
	err = fd < 0 ? -errno : copy_out(o, fd);
	if (fd >= 0)
		close(fd);
	if (err && fd >= 0)
		unlink(name);
	return err;
}

/* The file itself gets a name, where there is no room for it twice. */
static int keep_itself(struct object *o, const char *path, char *name)
{
	const char *base = strrchr(path, '/');
	char link[32];
	int err = -EEXIST;

	if (!o->on_disk)
		return -ENOSPC;
	snprintf(link, sizeof link, "/proc/self/fd/%d", o->fd);
	fchmod(o->fd, 0600); /* before others can find it */
	for (unsigned i = 0; i < 1000 && err == -EEXIST; i++) {
		snprintf(name, PATH_MAX, "%s/portfire-%.100s-%d-%u", o->run->disk.path,
			 base && base[1] ? base + 1 : "file", (int)getpid(), i);
		err = linkat(AT_FDCWD, link, AT_FDCWD, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
	}
	if (err)
		fchmod(o->fd, 0777);
	o->kept = !err;
	return err;
}

static bool is_large(const struct object *o)
{
	struct stat st;

	return !fstat(o->fd, &st) && (uint64_t)st.st_blocks * 512 > o->run->hold_bytes;
}

void keep_held(struct object *o, int why)
{
	char path[PATH_MAX], name[PATH_MAX], other[PATH_MAX];
	int err;

	object_path(o, path, sizeof path);
	err = is_large(o) ? keep_itself(o, path, name) : -EFBIG;
	if (err)
		err = keep_copy(o, path, name);
	if (err && !keep_itself(o, path, other)) {
		strcpy(name, other);
		err = 0;
	}
	atomic_fetch_add(&o->run->lost, 1);
	if (err)
		run_say(o->run, "%s: could not be written back (%s) and not be kept in %s (%s)",
			path, strerror(-why), name, strerror(-err));
	else
		run_say(o->run, "%s: could not be written back (%s); what it held is kept in %s",
			path, strerror(-why), name);
}
