/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's client: the server mounts as it always does, the work is system calls below the
 * mountpoint, relative to a descriptor of it so that the way to the mountpoint costs nothing.
 */
#include "bench.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 10000
#define STOP_MS  5000

const char *kernel_missing(void)
{
	static char why[128];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		snprintf(why, sizeof(why), "cannot open /dev/fuse: %s", strerror(errno));
		return why;
	}
	close(fd);
	return NULL;
}

/* ---- mounting ---------------------------------------------------------------------------- */

void kernel_unmount(const char *dir)
{
	pid_t pid;

	if (!umount2(dir, MNT_DETACH) || errno == EINVAL || errno == ENOENT)
		return;
	pid = fork();
	if (!pid) {
		execlp("fusermount3", "fusermount3", "-u", "-z", dir, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* Wait for the process to end; false: it had not after ms. */
static bool process_ended(pid_t pid, int ms)
{
	struct pollfd p = {.events = POLLIN};
	bool ended;

	p.fd = syscall(SYS_pidfd_open, pid, 0);
	if (p.fd < 0)
		return true;
	ended = poll(&p, 1, ms) > 0;
	close(p.fd);
	return ended;
}

static pid_t spawn(char *const argv[])
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid < 0 ? -errno : pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* libfuse unmounts and exits */
	if (getppid() == parent)
		execv(argv[0], argv);
	_exit(127);
}

static bool is_mounted(const char *dir)
{
	char up[300];
	struct stat in, out;

	snprintf(up, sizeof(up), "%s/..", dir);
	return !stat(dir, &in) && !stat(up, &out) && in.st_dev != out.st_dev;
}

/* The kernel tells of changes of the mount table by an exceptional condition on mountinfo. */
static int wait_mounted(const struct fs *fs)
{
	struct pollfd p[2] = {{.events = POLLPRI}, {.events = POLLIN}};
	uint64_t deadline = now_ns() + START_MS * 1000000ull;
	int ret = -ETIMEDOUT;

	p[0].fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	p[1].fd = syscall(SYS_pidfd_open, fs->pid, 0);
	while (now_ns() < deadline) {
		if (is_mounted(fs->mountpoint)) {
			ret = 0;
			break;
		}
		if (poll(p, 2, 100) > 0 && (p[1].revents & POLLIN)) {
			ret = -ENOTCONN;
			break;
		}
	}
	close(p[0].fd);
	close(p[1].fd);
	return ret;
}

static void kernel_stop(struct fs *fs)
{
	if (fs->fd >= 0)
		close(fs->fd);
	kernel_unmount(fs->mountpoint);
	if (!process_ended(fs->pid, STOP_MS))
		kill(fs->pid, SIGKILL);
	waitpid(fs->pid, NULL, 0);
	rmdir(fs->mountpoint);
}

static int kernel_start(struct fs *fs, char *const argv[])
{
	char *const *last = argv;
	int ret;

	while (last[1])
		last++;
	snprintf(fs->mountpoint, sizeof(fs->mountpoint), "%s", *last);
	fs->fd = -1;
	if (mkdir(fs->mountpoint, 0700) && errno != EEXIST)
		return -errno;
	fs->pid = spawn(argv);
	if (fs->pid < 0)
		return fs->pid;
	ret = wait_mounted(fs);
	if (!ret) {
		fs->fd = open(fs->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ret = fs->fd < 0 ? -errno : 0;
	}
	if (ret)
		kernel_stop(fs);
	return ret;
}

/* ---- calls ------------------------------------------------------------------------------- */

static int kernel_open(struct fs *fs, const char *path, int flags, mode_t mode, struct handle *h)
{
	h->fd = openat(fs->fd, path, flags | O_CLOEXEC, mode);
	return h->fd < 0 ? -errno : 0;
}

static int kernel_close(struct handle *h)
{
	return close(h->fd) ? -errno : 0;
}

static int kernel_fstat(struct handle *h, struct stat *st)
{
	return fstat(h->fd, st) ? -errno : 0;
}

static ssize_t kernel_pread(struct handle *h, void *buf, size_t size, off_t off)
{
	ssize_t n = pread(h->fd, buf, size, off);

	return n < 0 ? -errno : n;
}

static ssize_t kernel_pwrite(struct handle *h, const void *buf, size_t size, off_t off)
{
	ssize_t n = pwrite(h->fd, buf, size, off);

	return n < 0 ? -errno : n;
}

static int kernel_fsync(struct handle *h)
{
	return fsync(h->fd) ? -errno : 0;
}

static int kernel_stat(struct fs *fs, const char *path, struct stat *st)
{
	return fstatat(fs->fd, path, st, 0) ? -errno : 0;
}

static int kernel_unlink(struct fs *fs, const char *path)
{
	return unlinkat(fs->fd, path, 0) ? -errno : 0;
}

static long kernel_list(struct fs *fs, const char *path)
{
	int fd = openat(fs->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct stat st;
	long count = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW)) {
			count = -errno;
			break;
		}
		count++;
	}
	closedir(dir);
	return count;
}

const struct client client_kernel = {
    .name = "kernel",
    .start = kernel_start,
    .stop = kernel_stop,
    .open = kernel_open,
    .close = kernel_close,
    .fstat = kernel_fstat,
    .pread = kernel_pread,
    .pwrite = kernel_pwrite,
    .fsync = kernel_fsync,
    .stat = kernel_stat,
    .unlink = kernel_unlink,
    .list = kernel_list,
};
