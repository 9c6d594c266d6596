/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor under the library: the same server over the same kind of socket, and ready-made
 * messages with nothing around them. What the library takes beyond this is its own.
 * It trusts the server and can only do what the round-trip rows need.
 */
#include "bench.h"
#include <errno.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET_BUFFER (4 << 20)

/* One message there, one back, its body into out: the length of the body, or a negative errno. */
static ssize_t call(struct fs *fs, uint32_t opcode, uint64_t nodeid, const void *arg, size_t size,
		    void *out, size_t room)
{
	struct fuse_in_header in = {.len = sizeof(in) + size,
				    .opcode = opcode,
				    .unique = fs->unique += 2,
				    .nodeid = nodeid,
				    .pid = 1};
	struct fuse_out_header reply;
	struct iovec there[2] = {{&in, sizeof(in)}, {(void *)arg, size}};
	struct iovec back[2] = {{&reply, sizeof(reply)}, {out, room}};
	ssize_t n;

	if (writev(fs->fd, there, 2) != (ssize_t)in.len)
		return -EIO;
	n = readv(fs->fd, back, 2);
	if (n < (ssize_t)sizeof(reply) || reply.unique != in.unique)
		return -EIO;
	return reply.error ? reply.error : n - (ssize_t)sizeof(reply);
}

static void floor_stop(struct fs *fs)
{
	kill(fs->pid, SIGTERM);
	waitpid(fs->pid, NULL, 0);
	close(fs->fd);
}

static int say_init(struct fs *fs)
{
	struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION,
				  .minor = FUSE_KERNEL_MINOR_VERSION,
				  .max_readahead = 128 << 10,
				  .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES};
	struct fuse_init_out out;
	ssize_t n = call(fs, FUSE_INIT, 0, &in, sizeof(in), &out, sizeof(out));

	return n < 0 ? n : 0;
}

static pid_t spawn(char *const argv[], int fd)
{
	char *words[16], mountpoint[32];
	pid_t parent = getpid(), pid = fork();
	int n;

	if (pid)
		return pid;
	snprintf(mountpoint, sizeof(mountpoint), "/dev/fd/%d", dup(fd));
	for (n = 0; argv[n] && n < 15; n++)
		words[n] = argv[n];
	words[n] = NULL;
	words[n - 1] = mountpoint;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent)
		execv(words[0], words);
	_exit(127);
}

static int floor_start(struct fs *fs, char *const argv[])
{
	int pair[2], size = SOCKET_BUFFER, ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	for (int i = 0; i < 2; i++)
		if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
			setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	fs->fd = pair[0];
	fs->pid = spawn(argv, pair[1]);
	ret = fs->pid < 0 ? -errno : 0;
	close(pair[1]);
	if (ret) {
		close(fs->fd);
		return ret;
	}
	ret = say_init(fs);
	if (ret)
		floor_stop(fs);
	return ret;
}

static int floor_open(struct fs *fs, const char *path, int flags, mode_t mode, struct handle *h)
{
	struct fuse_open_in in = {.flags = flags};
	struct fuse_entry_out entry;
	struct fuse_open_out out;
	ssize_t n;

	n = call(fs, FUSE_LOOKUP, FUSE_ROOT_ID, path, strlen(path) + 1, &entry, sizeof(entry));
	if (n < 0)
		return n;
	h->nodeid = entry.nodeid;
	n = call(fs, FUSE_OPEN, h->nodeid, &in, sizeof(in), &out, sizeof(out));
	h->fh = out.fh;
	return n < 0 ? n : 0;
}

static int floor_close(struct handle *h)
{
	struct fuse_release_in in = {.fh = h->fh};
	ssize_t n = call(h->fs, FUSE_RELEASE, h->nodeid, &in, sizeof(in), NULL, 0);

	return n < 0 ? n : 0;
}

static int floor_fstat(struct handle *h, struct stat *st)
{
	struct fuse_getattr_in in = {.getattr_flags = FUSE_GETATTR_FH, .fh = h->fh};
	struct fuse_attr_out out;
	ssize_t n;

	n = call(h->fs, FUSE_GETATTR, h->nodeid, &in, sizeof(in), &out, sizeof(out));
	if (n < 0)
		return n;
	st->st_ino = out.attr.ino;
	st->st_size = out.attr.size;
	return 0;
}

static ssize_t floor_pread(struct handle *h, void *buf, size_t size, off_t off)
{
	struct fuse_read_in in = {.fh = h->fh, .offset = off, .size = size};

	return call(h->fs, FUSE_READ, h->nodeid, &in, sizeof(in), buf, size);
}

/* Header, arguments and the caller's bytes in one message, as a client has to. */
static ssize_t floor_pwrite(struct handle *h, const void *buf, size_t size, off_t off)
{
	struct fs *fs = h->fs;
	struct fuse_write_in in = {.fh = h->fh, .offset = off, .size = size};
	struct fuse_in_header header = {.len = sizeof(header) + sizeof(in) + size,
					.opcode = FUSE_WRITE,
					.unique = fs->unique += 2,
					.nodeid = h->nodeid};
	struct iovec iov[] = {{&header, sizeof(header)}, {&in, sizeof(in)}, {(void *)buf, size}};
	struct {
		struct fuse_out_header h;
		struct fuse_write_out out;
	} reply;

	if (writev(fs->fd, iov, 3) != (ssize_t)header.len)
		return -errno;
	if (read(fs->fd, &reply, sizeof(reply)) != sizeof(reply))
		return -EIO;
	return reply.h.error ? reply.h.error : (ssize_t)reply.out.size;
}

const struct client client_floor = {
    .name = "floor",
    .start = floor_start,
    .stop = floor_stop,
    .open = floor_open,
    .close = floor_close,
    .fstat = floor_fstat,
    .pread = floor_pread,
    .pwrite = floor_pwrite,
};
