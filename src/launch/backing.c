/* SPDX-License-Identifier: BSD-2-Clause */
#include "launch/backing.h"
#include "proto/wire.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* How its descriptor was opened: O_RDONLY and so on, O_PATH; -1: there is none. */
static int flags_of(pid_t tid, int fd)
{
	char path[64], line[256];
	unsigned flags;
	int found = -1;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)tid, fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "flags: %o", &flags) == 1)
			found = (int)(flags & (O_ACCMODE | O_PATH));
	if (f)
		fclose(f);
	return found;
}

/* May we do with it, opened anew, what its descriptor may? Not so with what was made with 0444 and
 * is being written. */
static bool opens_anew(const char *link, int flags)
{
	int fd = flags < 0 || flags & O_PATH ? -1 : open(link, flags | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || (flags >= 0 && flags & O_PATH);
}

/*
 * Where we get no copy of it (Docker), a look at it must do, since it is opened anew as a rule. If
 * it cannot be, the server hears of it now, and reads and writes by itself.
 */
static int get_fd(const struct pf__call *call, int fd)
{
	int copy = pf__call_get_fd(call, fd);
	char link[64];
	struct stat st;

	if (copy != -ENOSYS && copy != -EPERM)
		return copy;
	snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)call->tid, fd);
	copy = fd < 0 ? -1 : open(link, O_PATH | O_CLOEXEC);
	if (copy < 0)
		return -EBADF;
	/* What is no file is refused for that. */
	if ((!fstat(copy, &st) && !S_ISREG(st.st_mode)) ||
	    opens_anew(link, flags_of(call->tid, fd)))
		return copy;
	close(copy);
	return -EPERM;
}

/* Who it acts as, and what it may do: from /proc/PID/status. */
struct rights {
	unsigned uid; /* of the file system */
	uint64_t capabilities;
};

static bool rights_of(pid_t tid, struct rights *r)
{
	char path[48], line[256];
	bool uid = false, capabilities = false;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		uid |= sscanf(line, "Uid: %*u %*u %*u %u", &r->uid) == 1;
		capabilities |= sscanf(line, "CapEff: %" SCNx64, &r->capabilities) == 1;
	}
	if (f)
		fclose(f);
	return uid && capabilities;
}

/* We open with our rights what it has registered: that shall not help it to what is not its own. */
static bool may_as_much_as_we(const struct pf__call *call)
{
	struct rights its, ours;

	return rights_of(call->tid, &its) && rights_of(getpid(), &ours) && its.uid == ours.uid &&
	       !(ours.capabilities & ~its.capabilities);
}

int pf__device_backing_open(const struct pf__call *call, struct pf__backings *t)
{
	int err = pf__backings_allowed(t), fd;
	struct fuse_backing_map map;

	if (!err)
		err = pf__call_read(call, call->args[2], &map, sizeof map);
	if (!err && (map.flags || map.padding))
		err = -EINVAL;
	if (err)
		return err;
	fd = get_fd(call, map.fd);
	if (fd < 0)
		return fd;
	err = pf__backings_add(t, fd, may_as_much_as_we(call));
	close(fd);
	return err;
}

int pf__device_backing_close(const struct pf__call *call, struct pf__backings *t)
{
	uint32_t id;
	int err = pf__call_read(call, call->args[2], &id, sizeof id);

	return err ? err : pf__backings_remove(t, (int)id);
}
