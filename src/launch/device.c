/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handlers of the role. Device lists are the loop thread's alone; `lock` guards the mount that
 * waits for INIT, which other threads answer.
 */
#include "launch/device.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "base/memfd.h"
#include "base/sys.h"
#include "launch/backing.h"
#include "launch/claim.h"
#include "launch/fusermount.h"
#include "launch/serverpid.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The device's ioctls: protocol section "Device ioctls". */
#define DEV_CLONE         0x8004e500u
#define DEV_BACKING_OPEN  0x4010e501u
#define DEV_BACKING_CLOSE 0x4004e502u
#define DEV_SYNC_INIT     0x0000e503u

#define SERVER_BUFFER (4 << 20) /* bytes; what is asked of SO_SNDBUF. Gets twice that at most */
#define SKB_OVERHEAD  32        /* what af_unix keeps of SO_SNDBUF for itself */

#define MAX_UNATTACHED 64 /* devices that servers may hold open without mounting them */

struct device {
	int fd;    /* our end; -1 once it was handed on with a mount */
	ino_t ino; /* of the server's end */
	bool attached, sync_init;
	pid_t claimant;   /* who shall get what is mounted below it (claim.h); 0: it is a device */
	char *mountpoint; /* of a mount that went to a claimant; hangup is our end once more */
	int hangup;
	size_t max_message, peer_sndbuf;
	struct pf__backings *backings;
	struct pf__list link;
};

struct pf__devices {
	const struct pf__device_ops *ops;
	void *ctx;
	struct pf__list devices;
	pthread_mutex_t lock;
	_Atomic bool blind, untraceable;
	bool no_mount;                 /* by a filter above ours: fusermount is what we see of it */
	bool mount_waits;              /* lock */
	struct pf__call waiting_mount; /* lock */
};

void pf__mount_clear(struct pf__mount *m)
{
	if (m->fd >= 0)
		close(m->fd);
	pf__backings_put(m->backings);
	pf__free(m->mountpoint);
	pf__free(m->source);
	pf__free(m->fstype);
	pf__free(m->options);
	*m = (struct pf__mount){.fd = -1};
}

/* ---- opening --------------------------------------------------------------------------------- */

/* As large as we may: with CAP_NET_ADMIN what we want, else up to net.core.wmem_max. */
static size_t grow_buffer(int fd)
{
	int want = SERVER_BUFFER, have = 0;
	socklen_t len = sizeof have;

	if (pf__sys.setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &want, sizeof want) < 0)
		pf__sys.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof want);
	pf__sys.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof want);
	getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &have, &len);
	return have > SKB_OVERHEAD ? (size_t)have : SKB_OVERHEAD;
}

int pf__device_pair(struct pf__mount *m, int *fd, int *peer)
{
	int sv[2], err;
	size_t ours;

	err = pf__message_pair(sv);
	if (err)
		return err;
	ours = grow_buffer(sv[0]);
	m->peer_sndbuf = grow_buffer(sv[1]);
	m->max_message = (ours < m->peer_sndbuf ? ours : m->peer_sndbuf) - SKB_OVERHEAD;
	*fd = sv[0];
	*peer = sv[1];
	return 0;
}

static void device_free(struct device *dev)
{
	pf__list_del(&dev->link);
	if (dev->fd >= 0)
		close(dev->fd);
	if (dev->hangup >= 0)
		close(dev->hangup);
	pf__backings_put(dev->backings);
	pf__free(dev->mountpoint);
	pf__free(dev);
}

/* Drop devices that were opened and closed again, by a fusermount that failed, say. How many are
 * left that no mount has taken: each is a descriptor of ours. */
static unsigned drop_dead_devices(struct pf__devices *d)
{
	struct pf__list *pos, *tmp;
	unsigned left = 0;

	pf__list_for_each_safe (pos, tmp, &d->devices) {
		struct device *dev = pf__list_entry(pos, struct device, link);
		struct pollfd p = {dev->fd >= 0 ? dev->fd : dev->hangup, 0, 0};

		if (p.fd >= 0 && poll(&p, 1, 0) == 1 && p.revents & POLLHUP)
			device_free(dev);
		else
			left += dev->fd >= 0 && !dev->claimant;
	}
	return left;
}

static int device_new(struct pf__devices *d, int *peer)
{
	struct device *dev;
	struct pf__mount sizes;
	struct stat st;
	int err;

	if (drop_dead_devices(d) >= MAX_UNATTACHED)
		return -EMFILE;
	dev = pf__calloc(1, sizeof *dev);
	if (!dev)
		return -ENOMEM;
	dev->hangup = -1;
	dev->backings = pf__backings_new();
	err = dev->backings ? pf__device_pair(&sizes, &dev->fd, peer) : -ENOMEM;
	if (err) {
		pf__backings_put(dev->backings);
		pf__free(dev);
		return err;
	}
	dev->max_message = sizes.max_message;
	dev->peer_sndbuf = sizes.peer_sndbuf;
	pf__list_add_tail(&d->devices, &dev->link);
	if (fstat(*peer, &st) < 0) {
		err = -errno;
		device_free(dev);
		close(*peer);
		return err;
	}
	dev->ino = st.st_ino;
	return 0;
}

static enum pf__call_end open_device(struct pf__devices *d, struct pf__call *call, int flags)
{
	int peer, err;

	err = device_new(d, &peer);
	if (err) {
		call->value = err;
		return PF_CALL_RETURN;
	}
	if (flags & O_NONBLOCK)
		fcntl(peer, F_SETFL, O_NONBLOCK);
	pf__call_return_fd(call, peer, flags & O_CLOEXEC);
	close(peer);
	return PF_CALL_TAKEN;
}

/*
 * go-fuse opens and polls this below its own mountpoint before it says that it has mounted, so that
 * Go's runtime learns that POLL does not work there. Nobody could serve it yet; an empty file will
 * do.
 */
#define GO_FUSE_POLL_HACK ".go-fuse-epoll-hack"

static bool is_mounted(struct pf__devices *d, const char *path, bool unmount);

static bool is_poll_hack(struct pf__devices *d, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX], real[PATH_MAX];

	if (!slash || strcmp(slash + 1, GO_FUSE_POLL_HACK) != 0)
		return false;
	snprintf(dir, sizeof dir, "%.*s/", (int)(slash - path), path);
	return realpath(dir, real) && is_mounted(d, real, false);
}

static enum pf__call_end open_poll_hack(struct pf__call *call, int flags)
{
	int fd = pf__memfd(GO_FUSE_POLL_HACK);

	if (fd < 0) {
		call->value = -errno;
		return PF_CALL_RETURN;
	}
	pf__call_return_fd(call, fd, flags & O_CLOEXEC);
	close(fd);
	return PF_CALL_TAKEN;
}

static enum pf__call_end open_path(struct pf__devices *d, struct pf__call *call, int dirfd,
				   uint64_t path_address, int flags)
{
	char path[PATH_MAX], full[PATH_MAX];
	ssize_t n = pf__call_read_string(call, path_address, path, sizeof path);

	if (n == -EPERM || n == -EACCES)
		d->blind = true;
	if (n < 4)
		return PF_CALL_PASS;
	if (path[0] != '/') {
		const char *end = path + n;

		/* Only these two names matter: spare the others the look into /proc. */
		if (strcmp(end - 4, "fuse") != 0 && strcmp(end - 4, "hack") != 0)
			return PF_CALL_PASS;
		if (pf__call_absolute_path(call, dirfd, path, full, sizeof full))
			return PF_CALL_PASS;
		strcpy(path, full);
	}
	if ((flags & O_ACCMODE) == O_RDWR && pf__is_fuse_device(path))
		return open_device(d, call, flags);
	return is_poll_hack(d, path) ? open_poll_hack(call, flags) : PF_CALL_PASS;
}

static enum pf__call_end on_open(void *ctx, struct pf__call *call)
{
	return open_path(ctx, call, AT_FDCWD, call->args[0], (int)call->args[1]);
}

static enum pf__call_end on_openat(void *ctx, struct pf__call *call)
{
	return open_path(ctx, call, (int)call->args[0], call->args[1], (int)call->args[2]);
}

static enum pf__call_end on_openat2(void *ctx, struct pf__call *call)
{
	struct open_how how;

	if (call->args[3] < sizeof how || pf__call_read(call, call->args[2], &how, sizeof how))
		return PF_CALL_PASS;
	if ((how.flags & (O_ACCMODE | O_CREAT)) != O_RDWR)
		return PF_CALL_PASS;
	return open_path(ctx, call, (int)call->args[0], call->args[1], (int)how.flags);
}

/* ---- mounting -------------------------------------------------------------------------------- */

/* The device that the caller's descriptor is; NULL: none. */
static struct device *find_device(struct pf__devices *d, const struct pf__call *call, int fd)
{
	unsigned long long ino;
	struct pf__list *pos;
	char what[PATH_MAX];

	if (pf__call_fd_link(call, fd, what, sizeof what) < 0 ||
	    sscanf(what, "socket:[%llu]", &ino) != 1)
		return NULL;
	pf__list_for_each (pos, &d->devices) {
		struct device *dev = pf__list_entry(pos, struct device, link);

		if (dev->ino == ino)
			return dev;
	}
	return NULL;
}

/* The caller's string, malloc'ed; a NULL pointer is "". */
static int dup_string(const struct pf__call *call, uint64_t address, char **out)
{
	char buf[PATH_MAX];
	ssize_t n = 0;

	buf[0] = '\0';
	if (address)
		n = pf__call_read_string(call, address, buf, sizeof buf);
	if (n < 0)
		return (int)n;
	*out = pf__strdup(buf);
	return *out ? 0 : -ENOMEM;
}

/* Where the caller's path leads, with symbolic links resolved; the file must exist. */
static int real_path(struct pf__devices *d, const struct pf__call *call, const char *path,
		     char *real)
{
	char full[PATH_MAX];
	int err;

	if (d->ops->resolve)
		return d->ops->resolve(d->ctx, call, path, real);
	err = pf__call_absolute_path(call, AT_FDCWD, path, full, sizeof full);
	if (!err && !realpath(full, real))
		err = -errno;
	return err;
}

static int real_target(struct pf__devices *d, const struct pf__call *call, uint64_t address,
		       char *real)
{
	char path[PATH_MAX];
	ssize_t n = pf__call_read_string(call, address, path, sizeof path);

	return n < 0 ? (int)n : n == 0 ? -ENOENT : real_path(d, call, path, real);
}

static int read_mount(struct pf__devices *d, struct pf__mount *m, const struct pf__call *call,
		      char **data)
{
	char real[PATH_MAX];
	int err = real_target(d, call, call->args[1], real);

	if (!err)
		err = dup_string(call, call->args[0], &m->source);
	if (!err)
		err = dup_string(call, call->args[4], data);
	if (err)
		return err;
	m->tid = call->tid;
	m->mountpoint = pf__strdup(real);
	m->options = pf__mount_options_text(*data, m->source, m->fstype, call->args[3]);
	return m->mountpoint && m->options ? 0 : -ENOMEM;
}

static void keep_mount_waiting(struct pf__devices *d, const struct pf__call *call)
{
	pthread_mutex_lock(&d->lock);
	d->waiting_mount = *call;
	d->mount_waits = true;
	pthread_mutex_unlock(&d->lock);
}

static bool take_waiting_mount(struct pf__devices *d, struct pf__call *call)
{
	bool waits;

	pthread_mutex_lock(&d->lock);
	waits = d->mount_waits;
	d->mount_waits = false;
	*call = d->waiting_mount;
	pthread_mutex_unlock(&d->lock);
	return waits;
}

/* ---- a launcher below us --------------------------------------------------------------------- */

/* Who claims what this thread mounts: the nearest above it. */
static struct device *find_claimant(struct pf__devices *d, pid_t tid)
{
	for (int depth = 0; tid > 1 && depth < 64; depth++, tid = pf__parent_of(tid)) {
		struct pf__list *pos;

		pf__list_for_each (pos, &d->devices) {
			struct device *dev = pf__list_entry(pos, struct device, link);

			if (dev->claimant == tid)
				return dev;
		}
	}
	return NULL;
}

/* 0: it is the claimant's now. */
static int hand_on(struct device *claim, struct device *dev, struct pf__mount *m)
{
	int err = pf__claim_send(claim->fd, m);

	if (err)
		return err;
	dev->attached = true;
	dev->mountpoint = pf__take(m->mountpoint, NULL);
	dev->hangup = pf__take(dev->fd, -1);
	m->fd = -1;
	m->sync_init = false;
	pf__mount_clear(m);
	pf__backings_decide(dev->backings, false); /* it could not be asked for them */
	return 0;
}

static struct device *handed_on(struct pf__devices *d, const char *mountpoint)
{
	struct pf__list *pos;

	pf__list_for_each (pos, &d->devices) {
		struct device *dev = pf__list_entry(pos, struct device, link);

		if (dev->mountpoint && strcmp(dev->mountpoint, mountpoint) == 0)
			return dev;
	}
	return NULL;
}

/* As the owner's mounted(). */
static bool is_mounted(struct pf__devices *d, const char *path, bool unmount)
{
	struct device *dev = handed_on(d, path);

	if (!dev)
		return d->ops->mounted(d->ctx, path, unmount);
	if (unmount) {
		shutdown(dev->hangup, SHUT_RDWR);
		pf__free(pf__take(dev->mountpoint, NULL));
	}
	return true;
}

static int claim_mounts(struct pf__devices *d, struct pf__call *call, struct device *dev)
{
	(void)d;
	if (dev->attached || dev->claimant)
		return -EINVAL;
	dev->claimant = pf__call_process(call);
	return dev->claimant > 0 ? 0 : -ESRCH;
}

/* Offer the mount to the owner; 0: it took it. */
static int mount_device(struct pf__devices *d, const struct pf__call *call, struct device *dev,
			struct pf__mount *m)
{
	struct device *claim;
	struct pf__call mine;
	int err;

	if (!dev || dev->attached || dev->claimant)
		return -EINVAL;
	m->fd = dev->fd;
	m->max_message = dev->max_message;
	m->peer_sndbuf = dev->peer_sndbuf;
	m->peer_ino = dev->ino;
	m->sync_init = dev->sync_init;
	m->backings = pf__backings_get(dev->backings);
	claim = find_claimant(d, call->tid);
	if (claim)
		return hand_on(claim, dev, m);
	if (m->sync_init) /* before the owner hears of it, who may answer at once */
		keep_mount_waiting(d, call);
	err = d->ops->mount(d->ctx, m);
	if (err) {
		m->fd = -1; /* still the device's */
		if (m->sync_init)
			take_waiting_mount(d, &mine);
		return err;
	}
	dev->attached = true;
	dev->fd = -1;
	return 0;
}

static int do_mount(struct pf__devices *d, struct pf__call *call, struct pf__mount *m)
{
	PF_AUTO_FREE char *data = NULL;
	int err = read_mount(d, m, call, &data);
	int fd = err ? err : pf__mount_data_fd(data);

	return fd < 0 ? fd : mount_device(d, call, find_device(d, call, fd), m);
}

/* Known to us only when it is already mounted: remounts and the like. */
static enum pf__call_end change_mount(struct pf__devices *d, struct pf__call *call)
{
	char real[PATH_MAX];

	if (real_target(d, call, call->args[1], real) || !is_mounted(d, real, false))
		return PF_CALL_PASS;
	call->value = call->args[3] & MS_REMOUNT ? 0 : -EPERM;
	return PF_CALL_RETURN;
}

static enum pf__call_end on_mount(void *ctx, struct pf__call *call)
{
	const unsigned long change =
	    MS_REMOUNT | MS_BIND | MS_MOVE | MS_PRIVATE | MS_SHARED | MS_SLAVE | MS_UNBINDABLE;
	struct pf__devices *d = ctx;
	struct pf__mount m = {.fd = -1};

	if (call->args[3] & change)
		return change_mount(d, call);
	if (dup_string(call, call->args[2], &m.fstype) || !pf__is_fuse_type(m.fstype)) {
		pf__mount_clear(&m);
		return PF_CALL_PASS;
	}
	call->value = do_mount(d, call, &m);
	if (call->value) {
		pf__mount_clear(&m);
		return PF_CALL_RETURN;
	}
	return m.sync_init ? PF_CALL_TAKEN : PF_CALL_RETURN;
}

void pf__device_answer_mount(struct pf__devices *d, int err)
{
	struct pf__call call;

	if (take_waiting_mount(d, &call))
		pf__call_return(&call, err);
}

static enum pf__call_end on_umount(void *ctx, struct pf__call *call)
{
	struct pf__devices *d = ctx;
	char real[PATH_MAX];

	if (real_target(d, call, call->args[0], real) || !is_mounted(d, real, true))
		return PF_CALL_PASS;
	call->value = 0;
	return PF_CALL_RETURN;
}

/* ---- fusermount, where mount(2) is forbidden ------------------------------------------------- */

static struct device *newest_device(struct pf__devices *d)
{
	return pf__list_entry(d->devices.prev, struct device, link);
}

/* 0: mounted, and *peer is what the server shall get. */
static int mount_for(struct pf__devices *d, const struct pf__call *call,
		     const struct pf__fusermount *f, int *peer)
{
	struct pf__mount m = {.fd = -1, .tid = call->tid};
	char real[PATH_MAX];
	int err = real_path(d, call, f->mountpoint, real);

	if (err)
		return err;
	m.mountpoint = pf__strdup(real);
	err = m.mountpoint ? pf__fusermount_describe(f, &m) : -ENOMEM;
	if (!err)
		err = device_new(d, peer);
	if (!err) {
		err = mount_device(d, call, newest_device(d), &m);
		if (err)
			close(*peer);
	}
	if (err)
		pf__mount_clear(&m);
	return err;
}

static int unmount_for(struct pf__devices *d, const struct pf__call *call,
		       const struct pf__fusermount *f)
{
	char real[PATH_MAX];
	int err = real_path(d, call, f->mountpoint, real);

	if (err)
		return err;
	return is_mounted(d, real, true) ? 0 : -EINVAL;
}

/* What cannot be done is left to the program itself: it says why. */
static enum pf__call_end on_execve(void *ctx, struct pf__call *call)
{
	struct pf__devices *d = ctx;
	struct pf__fusermount f;
	char path[PATH_MAX];
	int err, peer = -1;
	int64_t done = 0;

	if (!d->no_mount || pf__call_read_string(call, call->args[0], path, sizeof path) < 0 ||
	    !pf__is_fusermount(path) || pf__fusermount_read(&f, call))
		return PF_CALL_PASS;
	err = f.unmount ? unmount_for(d, call, &f) : mount_for(d, call, &f, &peer);
	if (!err)
		done = pf__fusermount_done(&f, call, peer);
	if (peer >= 0)
		close(peer);
	pf__fusermount_clear(&f);
	if (done == PF_CALL_UNTRACEABLE)
		d->untraceable = true;
	return err || done == PF_CALL_UNTRACEABLE ? PF_CALL_PASS : PF_CALL_TAKEN;
}

bool pf__devices_no_mount(const struct pf__devices *d, bool *untraceable)
{
	if (untraceable)
		*untraceable = d->untraceable;
	return d->no_mount;
}

/* ---- ioctls ---------------------------------------------------------------------------------- */

/* Where we get no copy of its old descriptor, the caller duplicates that itself. */
static enum pf__call_end clone_there(struct pf__call *call, struct device *dev, uint32_t old_fd)
{
	const struct pf__inject in = {.nr = SYS_dup3,
				      .args = {old_fd, call->args[0], O_CLOEXEC},
				      .fd = -1,
				      .has_value = true};

	if (pf__call_instead(call, &in) >= 0)
		device_free(dev);
	return PF_CALL_TAKEN;
}

static int clone_here(struct pf__call *call, struct device *dev, int copy)
{
	int err = pf__call_replace_fd(call, copy, (int)call->args[0], true);

	close(copy);
	if (!err)
		device_free(dev); /* its socket has no other end any more */
	return err;
}

static enum pf__call_end clone_device(struct pf__devices *d, struct pf__call *call,
				      struct device *dev)
{
	const struct device *old;
	uint32_t old_fd;
	int copy, err;

	err = pf__call_read(call, call->args[2], &old_fd, sizeof old_fd);
	old = err ? NULL : find_device(d, call, (int)old_fd);
	if (!err && (!old || !old->attached || dev->attached))
		err = -EINVAL;
	copy = err ? err : pf__call_get_fd(call, (int)old_fd);
	if (copy == -ENOSYS || copy == -EPERM)
		return clone_there(call, dev, old_fd);
	call->value = copy < 0 ? copy : clone_here(call, dev, copy);
	return PF_CALL_RETURN;
}

/* A device that is not mounted knows no files. */
static struct pf__backings *attached_backings(const struct device *dev)
{
	return dev->attached ? dev->backings : NULL;
}

static enum pf__call_end on_ioctl(void *ctx, struct pf__call *call)
{
	struct pf__devices *d = ctx;
	struct device *dev = find_device(d, call, (int)call->args[0]);

	if (!dev)
		return PF_CALL_PASS;
	switch ((uint32_t)call->args[1]) {
	case DEV_CLONE:
		return clone_device(d, call, dev);
	case PF_DEV_CLAIM:
		call->value = claim_mounts(d, call, dev);
		break;
	case DEV_SYNC_INIT:
		call->value = dev->attached ? -EINVAL : 0;
		dev->sync_init = !dev->attached;
		break;
	case DEV_BACKING_OPEN:
		call->value = pf__device_backing_open(call, attached_backings(dev));
		break;
	default: /* DEV_BACKING_CLOSE */
		call->value = pf__device_backing_close(call, attached_backings(dev));
	}
	return PF_CALL_RETURN;
}

/* ---- the role -------------------------------------------------------------------------------- */

#define RDWR_NO_CREATE(n)                                                                          \
	{                                                                                          \
		(n), O_ACCMODE | O_CREAT, O_RDWR                                                   \
	}
#define EXACTLY(n, v)                                                                              \
	{                                                                                          \
		(n), 0xffffffff, (v)                                                               \
	}
/* Nobody opens the device relative to a directory of his; servers open their own files so. */
#define FROM_CWD EXACTLY(0, (uint32_t)AT_FDCWD)
/*
 * The poll hack is opened with plain O_RDONLY, as many things are. To trap it and nothing of other
 * programs', ask where the path lies: Go's heap has a place of its own (0xc000000000 on x86-64,
 * 0x4000000000 on arm64, up to 256 GiB). Go's own os.Open() says O_CLOEXEC and is not trapped.
 */
#if defined(__aarch64__)
#define IN_GO_HEAP(n)                                                                              \
	{                                                                                          \
		(n), ~0x3fffffffffull, 0x4000000000ull                                             \
	}
#else
#define IN_GO_HEAP(n)                                                                              \
	{                                                                                          \
		(n), ~0x3fffffffffull, 0xc000000000ull                                             \
	}
#endif

static const struct pf__trap traps[] = {
    {SCMP_SYS(openat), on_openat, 0, 2, {FROM_CWD, RDWR_NO_CREATE(2)}},
    {SCMP_SYS(openat), on_openat, 0, 3, {FROM_CWD, EXACTLY(2, O_RDONLY), IN_GO_HEAP(1)}},
    {SCMP_SYS(open), on_open, 0, 1, {RDWR_NO_CREATE(1)}},
    {SCMP_SYS(open), on_open, 0, 2, {EXACTLY(1, O_RDONLY), IN_GO_HEAP(0)}},
    {SCMP_SYS(openat2), on_openat2},
    {SCMP_SYS(mount), on_mount},
    {SCMP_SYS(umount2), on_umount},
    {SCMP_SYS(umount), on_umount},
    {SCMP_SYS(ioctl), on_ioctl, 0, 1, {EXACTLY(1, DEV_CLONE)}},
    {SCMP_SYS(ioctl), on_ioctl, 0, 1, {EXACTLY(1, DEV_BACKING_OPEN)}},
    {SCMP_SYS(ioctl), on_ioctl, 0, 1, {EXACTLY(1, DEV_BACKING_CLOSE)}},
    {SCMP_SYS(ioctl), on_ioctl, 0, 1, {EXACTLY(1, DEV_SYNC_INIT)}},
    {SCMP_SYS(ioctl), on_ioctl, 0, 1, {EXACTLY(1, PF_DEV_CLAIM)}},
    /* The newer mount calls are not there: everybody falls back to mount(2). */
    {SCMP_SYS(fsopen), NULL, ENOSYS},
    {SCMP_SYS(fsconfig), NULL, ENOSYS},
    {SCMP_SYS(fsmount), NULL, ENOSYS},
    {SCMP_SYS(move_mount), NULL, ENOSYS},
    /* The last, where mount(2) does not come to us. */
    {SCMP_SYS(execve), on_execve},
};

int pf__devices_new(struct pf__devices **out, struct pf__supervisor *s,
		    const struct pf__device_ops *ops, void *ctx)
{
	struct pf__devices *d = pf__calloc(1, sizeof *d);
	size_t n = sizeof traps / sizeof traps[0];
	int err;

	if (!d)
		return -ENOMEM;
	d->no_mount = pf__mount_is_forbidden();
	d->ops = ops;
	d->ctx = ctx;
	pf__list_init(&d->devices);
	pthread_mutex_init(&d->lock, NULL);
	err = pf__supervisor_add_role(s, traps, d->no_mount ? n : n - 1, d);
	if (err) {
		pf__devices_free(d);
		return err;
	}
	*out = d;
	return 0;
}

bool pf__devices_blind(struct pf__devices *d)
{
	return d->blind;
}

void pf__devices_free(struct pf__devices *d)
{
	struct pf__list *pos, *tmp;

	if (!d)
		return;
	pf__list_for_each_safe (pos, tmp, &d->devices)
		device_free(pf__list_entry(pos, struct device, link));
	pthread_mutex_destroy(&d->lock);
	pf__free(d);
}
