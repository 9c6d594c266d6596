/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server without a FUSE library that shows a directory by passthrough opens (FUSE_PASSTHROUGH,
 * which Debian's libfuse does not know): passthrough_server [-fs] [-o WORD,...] [DIR] MOUNTPOINT
 *   direct       with FOPEN_DIRECT_IO: reads and writes come to us
 *   none         no passthrough: reads and writes come to us, cached as the client likes
 *   locks        keeps locks, which are real ones of the files in DIR
 *   descriptor   what is registered is what the file is opened by first; else, for root, it is
 *                O_PATH
 *   timeout=S    names and attributes are valid for so long (1)
 *   source=DIR   instead of DIR
 *   allow_other  for the mount, which has default_permissions
 * It stays in the foreground, and serves one request after the other, also without -f and -s. As
 * root it runs with the kernel's client, too.
 */
#include "by_fusermount.h"
#include "passthrough_locks.h"
#include "proto/wire.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MAX_WRITE (1u << 20)
#define BUCKETS   4096

/* A file that the client knows. Its nodeid is its address; the root's is 1. */
struct node {
	struct node *next;
	dev_t dev;
	ino_t ino;
	int fd; /* O_PATH */
	uint64_t lookups;
	unsigned opens; /* by passthrough */
	int backing;    /* the id that it is registered by then */
};

/* A directory being read. */
struct listing {
	DIR *dir;
};

static struct {
	bool direct, none, descriptor, locks;
	unsigned timeout;
} how = {.timeout = 1};
static int device;
static bool negotiated;
static struct node *nodes[BUCKETS], root = {.dev = 0, .fd = -1, .lookups = 1};
static const char *source, *mountpoint, *mount_options = "";

/* ---- answers --------------------------------------------------------------------------------- */

struct request {
	struct fuse_in_header h;
	const char *arg; /* what follows the header */
	char *out;       /* MAX_WRITE bytes for an answer */
};

static void reply(const struct request *r, int error, const void *body, size_t size)
{
	struct fuse_out_header h = {(uint32_t)(sizeof h + size), error, r->h.unique};
	static char buf[sizeof h + MAX_WRITE];

	memcpy(buf, &h, sizeof h);
	if (size)
		memcpy(buf + sizeof h, body, size);
	/* Who is interrupted does not want it any more. */
	if (write(device, buf, h.len) < 0 && errno != ENOENT && errno != EINTR)
		exit(errno == ENODEV ? 0 : 3);
}

static void fail(const struct request *r, int err)
{
	reply(r, -err, NULL, 0);
}

/* Of a call that gave this. */
static void done(const struct request *r, long result)
{
	fail(r, result < 0 ? errno : 0);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static struct node *node_of(uint64_t id)
{
	return id == FUSE_ROOT_ID ? &root : (struct node *)(uintptr_t)id;
}

static unsigned bucket(dev_t dev, ino_t ino)
{
	return (unsigned)(ino * 2654435761u ^ dev) % BUCKETS;
}

/* By the descriptor, which is O_PATH and the node's from now on, if it is a new one. */
static struct node *node_get(int fd, const struct stat *st)
{
	struct node **head = &nodes[bucket(st->st_dev, st->st_ino)], *n;

	for (n = *head; n; n = n->next)
		if (n->dev == st->st_dev && n->ino == st->st_ino) {
			close(fd);
			n->lookups++;
			return n;
		}
	n = calloc(1, sizeof *n);
	if (!n)
		exit(4);
	*n = (struct node){*head, st->st_dev, st->st_ino, fd, 1, 0, 0};
	*head = n;
	return n;
}

static void node_forget(uint64_t id, uint64_t lookups)
{
	struct node *n = node_of(id), **at;

	n->lookups -= lookups;
	if (n->lookups || n == &root)
		return;
	for (at = &nodes[bucket(n->dev, n->ino)]; *at != n; at = &(*at)->next)
		;
	*at = n->next;
	close(n->fd);
	free(n);
}

static const char *path_of(const struct node *n)
{
	static char path[2][32];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof path[0], "/proc/self/fd/%d", n->fd);
	return path[turn];
}

static struct fuse_attr attr_of(const struct stat *st)
{
	return (struct fuse_attr){
	    .ino = st->st_ino,
	    .size = (uint64_t)st->st_size,
	    .blocks = (uint64_t)st->st_blocks,
	    .atime = (uint64_t)st->st_atim.tv_sec,
	    .mtime = (uint64_t)st->st_mtim.tv_sec,
	    .ctime = (uint64_t)st->st_ctim.tv_sec,
	    .atimensec = (uint32_t)st->st_atim.tv_nsec,
	    .mtimensec = (uint32_t)st->st_mtim.tv_nsec,
	    .ctimensec = (uint32_t)st->st_ctim.tv_nsec,
	    .mode = st->st_mode,
	    .nlink = (uint32_t)st->st_nlink,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .rdev = (minor(st->st_rdev) & 0xff) | major(st->st_rdev) << 8 |
		    (minor(st->st_rdev) & ~0xffu) << 12,
	    .blksize = (uint32_t)st->st_blksize,
	};
}

/* The entry of name in a directory; 0 or errno. */
static int enter(struct node *dir, const char *name, struct fuse_entry_out *e)
{
	int fd = openat(dir->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno;
	*e = (struct fuse_entry_out){.nodeid = (uintptr_t)node_get(fd, &st),
				     .entry_valid = how.timeout,
				     .attr_valid = how.timeout,
				     .attr = attr_of(&st)};
	return 0;
}

static void do_lookup(struct request *r, struct node *dir)
{
	struct fuse_entry_out e;
	int err = enter(dir, r->arg, &e);

	reply(r, -err, &e, err ? 0 : sizeof e);
}

/* New files are the caller's. */
static void made(struct request *r, struct node *dir, const char *name, int result)
{
	struct fuse_entry_out e;
	int err = result < 0 ? errno : 0;

	if (!err && geteuid() == 0 && r->h.uid)
		(void)!fchownat(dir->fd, name, r->h.uid, r->h.gid, AT_SYMLINK_NOFOLLOW);
	if (!err)
		err = enter(dir, name, &e);
	reply(r, -err, &e, err ? 0 : sizeof e);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void do_mknod(struct request *r, struct node *dir)
{
	const struct fuse_mknod_in *in = (const void *)r->arg;
	const char *name = r->arg + sizeof *in;
	dev_t dev = makedev(in->rdev >> 8 & 0xfff, (in->rdev & 0xff) | (in->rdev >> 12 & 0xfff00));

	made(r, dir, name, mknodat(dir->fd, name, in->mode, dev));
}

static void do_mkdir(struct request *r, struct node *dir)
{
	const struct fuse_mkdir_in *in = (const void *)r->arg;
	const char *name = r->arg + sizeof *in;

	made(r, dir, name, mkdirat(dir->fd, name, in->mode));
}

static void do_symlink(struct request *r, struct node *dir)
{
	const char *name = r->arg, *target = name + strlen(name) + 1;

	made(r, dir, name, symlinkat(target, dir->fd, name));
}

static void do_link(struct request *r, struct node *dir)
{
	const struct fuse_link_in *in = (const void *)r->arg;
	const char *name = r->arg + sizeof *in;
	struct fuse_entry_out e;
	int err =
	    linkat(AT_FDCWD, path_of(node_of(in->oldnodeid)), dir->fd, name, AT_SYMLINK_FOLLOW) < 0
		? errno
		: enter(dir, name, &e);

	reply(r, -err, &e, err ? 0 : sizeof e);
}

static void do_rename(struct request *r, struct node *dir)
{
	const struct fuse_rename2_in *in = (const void *)r->arg;
	bool two = r->h.opcode == FUSE_RENAME2;
	const char *from = r->arg + (two ? sizeof *in : sizeof(struct fuse_rename_in));
	const char *to = from + strlen(from) + 1;

	done(r, renameat2(dir->fd, from, node_of(in->newdir)->fd, to, two ? in->flags : 0));
}

static void do_readlink(struct request *r, struct node *n)
{
	ssize_t len = readlinkat(n->fd, "", r->out, PATH_MAX - 1);

	reply(r, len < 0 ? -errno : 0, r->out, len < 0 ? 0 : (size_t)len);
}

/* ---- attributes ------------------------------------------------------------------------------ */

static void reply_attr(struct request *r, struct node *n)
{
	struct fuse_attr_out out = {.attr_valid = how.timeout};
	struct stat st;
	int err = fstat(n->fd, &st) < 0 ? errno : 0;

	out.attr = attr_of(&st);
	reply(r, -err, &out, err ? 0 : sizeof out);
}

static struct timespec time_of(uint32_t valid, uint32_t set, uint32_t now, uint64_t sec,
			       uint32_t nsec)
{
	if (valid & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	if (valid & set)
		return (struct timespec){(time_t)sec, nsec};
	return (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_size(const struct fuse_setattr_in *in, struct node *n)
{
	return in->valid & FATTR_FH ? ftruncate((int)in->fh, (off_t)in->size)
				    : truncate(path_of(n), (off_t)in->size);
}

static void do_setattr(struct request *r, struct node *n)
{
	const struct fuse_setattr_in *in = (const void *)r->arg;
	const struct timespec times[2] = {
	    time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
	    time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec)};
	int err = 0;

	if (in->valid & (FATTR_UID | FATTR_GID))
		err = fchownat(n->fd, "", in->valid & FATTR_UID ? in->uid : (uid_t)-1,
			       in->valid & FATTR_GID ? in->gid : (gid_t)-1,
			       AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
	if (!err && in->valid & FATTR_MODE)
		err = chmod(path_of(n), in->mode & 07777);
	if (!err && in->valid & FATTR_SIZE)
		err = set_size(in, n);
	if (!err && in->valid & (FATTR_ATIME | FATTR_MTIME))
		err = utimensat(n->fd, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
	if (err)
		fail(r, errno);
	else
		reply_attr(r, n);
}

static void do_statfs(struct request *r, struct node *n)
{
	struct fuse_statfs_out out = {0};
	struct statvfs v;

	if (fstatvfs(n->fd, &v) < 0) {
		fail(r, errno);
		return;
	}
	out.st = (struct fuse_kstatfs){.blocks = v.f_blocks,
				       .bfree = v.f_bfree,
				       .bavail = v.f_bavail,
				       .files = v.f_files,
				       .ffree = v.f_ffree,
				       .bsize = (uint32_t)v.f_bsize,
				       .namelen = (uint32_t)v.f_namemax,
				       .frsize = (uint32_t)v.f_frsize};
	reply(r, 0, &out, sizeof out);
}

static void reply_xattr(struct request *r, ssize_t n, uint32_t size)
{
	struct fuse_getxattr_out out = {.size = (uint32_t)n};

	if (n < 0)
		fail(r, errno);
	else if (size)
		reply(r, 0, r->out, (size_t)n);
	else
		reply(r, 0, &out, sizeof out);
}

static void do_xattr(struct request *r, struct node *n)
{
	const struct fuse_getxattr_in *get = (const void *)r->arg;
	const struct fuse_setxattr_in *set = (const void *)r->arg;
	const char *name = r->arg;

	switch (r->h.opcode) {
	case FUSE_GETXATTR:
		name += sizeof *get;
		reply_xattr(r, getxattr(path_of(n), name, r->out, get->size), get->size);
		break;
	case FUSE_LISTXATTR:
		reply_xattr(r, listxattr(path_of(n), r->out, get->size), get->size);
		break;
	case FUSE_SETXATTR:
		name += FUSE_COMPAT_SETXATTR_IN_SIZE;
		done(r, setxattr(path_of(n), name, name + strlen(name) + 1, set->size,
				 (int)set->flags));
		break;
	default:
		done(r, removexattr(path_of(n), name));
	}
}

/* ---- open files ------------------------------------------------------------------------------ */

/* The file is registered while it is open: one id for all who have it open. */
static void backing_begin(struct node *n, int fd)
{
	struct fuse_backing_map map = {.fd = n->fd};

	if (n->opens++)
		return;
	/* Others may have no right to open it anew. */
	if (how.descriptor || geteuid())
		map.fd = fd;
	n->backing = ioctl(device, FUSE_DEV_IOC_BACKING_OPEN, &map);
}

static void backing_end(struct node *n)
{
	uint32_t id = (uint32_t)n->backing;

	if (--n->opens)
		return;
	if (n->backing > 0)
		ioctl(device, FUSE_DEV_IOC_BACKING_CLOSE, &id);
	n->backing = 0;
}

/* The reply's part for a file that is open as fd. */
static struct fuse_open_out opened(struct node *n, int fd)
{
	struct fuse_open_out out = {.fh = (uint64_t)fd};

	if (how.direct)
		out.open_flags |= FOPEN_DIRECT_IO;
	if (!negotiated)
		return out;
	backing_begin(n, fd);
	if (n->backing > 0) {
		out.open_flags |= FOPEN_PASSTHROUGH;
		out.backing_id = n->backing;
	}
	return out;
}

/* We find the places ourselves. */
static int open_flags(uint32_t flags)
{
	return (int)(flags & (O_ACCMODE | O_TRUNC)) | O_CLOEXEC;
}

static void do_open(struct request *r, struct node *n)
{
	const struct fuse_open_in *in = (const void *)r->arg;
	int fd = open(path_of(n), open_flags(in->flags));
	struct fuse_open_out out;

	if (fd < 0) {
		fail(r, errno);
		return;
	}
	out = opened(n, fd);
	reply(r, 0, &out, sizeof out);
}

static void do_create(struct request *r, struct node *dir)
{
	const struct fuse_create_in *in = (const void *)r->arg;
	const char *name = r->arg + sizeof *in;
	struct fuse_create_out out = {0};
	int flags = open_flags(in->flags) | O_CREAT | O_NOFOLLOW | (int)(in->flags & O_EXCL);
	int fd = openat(dir->fd, name, flags, in->mode & 07777), err;

	err = fd < 0 ? errno : 0;
	if (!err && geteuid() == 0 && r->h.uid)
		(void)!fchown(fd, r->h.uid, r->h.gid);
	if (!err)
		err = enter(dir, name, &out.entry);
	if (err) {
		fail(r, err);
		return;
	}
	out.open = opened(node_of(out.entry.nodeid), fd);
	reply(r, 0, &out, sizeof out);
}

static void do_release(struct request *r, struct node *n)
{
	const struct fuse_release_in *in = (const void *)r->arg;

	close((int)in->fh);
	if (negotiated)
		backing_end(n);
	fail(r, 0);
}

static void do_read(struct request *r, struct node *n)
{
	const struct fuse_read_in *in = (const void *)r->arg;
	ssize_t got = pread((int)in->fh, r->out, in->size, (off_t)in->offset);

	reply(r, got < 0 ? -errno : 0, r->out, got < 0 ? 0 : (size_t)got);
}

static void do_write(struct request *r, struct node *n)
{
	const struct fuse_write_in *in = (const void *)r->arg;
	ssize_t got = pwrite((int)in->fh, r->arg + sizeof *in, in->size, (off_t)in->offset);
	struct fuse_write_out out = {.size = (uint32_t)got};

	reply(r, got < 0 ? -errno : 0, &out, got < 0 ? 0 : sizeof out);
}

static void do_fsync(struct request *r, struct node *n)
{
	const struct fuse_fsync_in *in = (const void *)r->arg;
	int fd = (int)in->fh;

	done(r, in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(fd) : fsync(fd));
}

static void do_fallocate(struct request *r, struct node *n)
{
	const struct fuse_fallocate_in *in = (const void *)r->arg;

	done(r, fallocate((int)in->fh, (int)in->mode, (off_t)in->offset, (off_t)in->length));
}

static void do_lseek(struct request *r, struct node *n)
{
	const struct fuse_lseek_in *in = (const void *)r->arg;
	off_t at = lseek((int)in->fh, (off_t)in->offset, (int)in->whence);
	struct fuse_lseek_out out = {.offset = (uint64_t)at};

	reply(r, at < 0 ? -errno : 0, &out, at < 0 ? 0 : sizeof out);
}

static void do_copy(struct request *r, struct node *n)
{
	const struct fuse_copy_file_range_in *in = (const void *)r->arg;
	off_t from = (off_t)in->off_in, to = (off_t)in->off_out;
	ssize_t got = copy_file_range((int)in->fh_in, &from, (int)in->fh_out, &to, in->len, 0);
	struct fuse_write_out out = {.size = (uint32_t)got};

	reply(r, got < 0 ? -errno : 0, &out, got < 0 ? 0 : sizeof out);
}

/* ---- directories ----------------------------------------------------------------------------- */

static void do_opendir(struct request *r, struct node *n)
{
	int fd = openat(n->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct listing *l = calloc(1, sizeof *l);
	struct fuse_open_out out = {.fh = (uintptr_t)l};

	if (l && fd >= 0)
		l->dir = fdopendir(fd);
	if (!l || !l->dir) {
		fail(r, errno);
		free(l);
		return;
	}
	reply(r, 0, &out, sizeof out);
}

static void do_readdir(struct request *r, struct node *n)
{
	const struct fuse_read_in *in = (const void *)r->arg;
	DIR *dir = ((struct listing *)(uintptr_t)in->fh)->dir;
	size_t at = 0;
	struct dirent *e;

	if (in->offset)
		seekdir(dir, (long)in->offset);
	else
		rewinddir(dir);
	while ((e = readdir(dir))) {
		struct fuse_dirent d = {e->d_ino, (uint64_t)e->d_off, (uint32_t)strlen(e->d_name),
					e->d_type};
		size_t size = (sizeof d + d.namelen + 7) & ~(size_t)7;

		if (at + size > in->size)
			break;
		memset(r->out + at, 0, size);
		memcpy(r->out + at, &d, sizeof d);
		memcpy(r->out + at + sizeof d, e->d_name, d.namelen);
		at += size;
	}
	reply(r, 0, r->out, at);
}

static void do_releasedir(struct request *r, struct node *n)
{
	const struct fuse_release_in *in = (const void *)r->arg;
	struct listing *l = (struct listing *)(uintptr_t)in->fh;

	closedir(l->dir);
	free(l);
	fail(r, 0);
}

static void do_fsyncdir(struct request *r, struct node *n)
{
	const struct fuse_fsync_in *in = (const void *)r->arg;

	done(r, fsync(dirfd(((struct listing *)(uintptr_t)in->fh)->dir)));
}

/* ---- the connection -------------------------------------------------------------------------- */

static void do_init(struct request *r, struct node *n)
{
	const struct fuse_init_in *in = (const void *)r->arg;
	uint64_t has = in->flags | (uint64_t)in->flags2 << 32;
	uint64_t want = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC |
			FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_INIT_EXT |
			FUSE_AUTO_INVAL_DATA | FUSE_DIRECT_IO_ALLOW_MMAP;
	struct fuse_init_out out = {.major = 7,
				    .minor = 40,
				    .max_readahead = in->max_readahead,
				    .max_background = 16,
				    .congestion_threshold = 12,
				    .max_write = MAX_WRITE - 4096,
				    .time_gran = 1,
				    .max_pages = MAX_WRITE / 4096 - 1,
				    .max_stack_depth = 1};

	if (!how.none)
		want |= FUSE_PASSTHROUGH;
	if (how.locks)
		want |= FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS;
	want &= has;
	negotiated = want & FUSE_PASSTHROUGH;
	out.flags = (uint32_t)want;
	out.flags2 = (uint32_t)(want >> 32);
	reply(r, 0, &out, sizeof out);
}

static void do_batch_forget(struct request *r, struct node *n)
{
	const struct fuse_batch_forget_in *in = (const void *)r->arg;
	const struct fuse_forget_one *one = (const void *)(r->arg + sizeof *in);

	for (uint32_t i = 0; i < in->count; i++)
		node_forget(one[i].nodeid, one[i].nlookup);
}

static void do_forget(struct request *r, struct node *n)
{
	node_forget(r->h.nodeid, ((const struct fuse_forget_in *)(const void *)r->arg)->nlookup);
}

static void do_unlink(struct request *r, struct node *dir)
{
	done(r, unlinkat(dir->fd, r->arg, r->h.opcode == FUSE_RMDIR ? AT_REMOVEDIR : 0));
}

/* FLUSH, DESTROY. */
static void do_nothing(struct request *r, struct node *n)
{
	fail(r, 0);
}

/* What else is under way will soon be done. */
static void do_interrupt(struct request *r, struct node *n)
{
	lock_interrupt(((const struct fuse_interrupt_in *)(const void *)r->arg)->unique);
}

static void do_lock(struct request *r, struct node *n)
{
	lock_request(device, &r->h, (const void *)r->arg);
}

typedef void (*handler)(struct request *r, struct node *n);
static const handler handlers[FUSE_OPCODE_END] = {
    [FUSE_INIT] = do_init,
    [FUSE_LOOKUP] = do_lookup,
    [FUSE_FORGET] = do_forget,
    [FUSE_BATCH_FORGET] = do_batch_forget,
    [FUSE_INTERRUPT] = do_interrupt,
    [FUSE_DESTROY] = do_nothing,
    [FUSE_GETATTR] = reply_attr,
    [FUSE_SETATTR] = do_setattr,
    [FUSE_STATFS] = do_statfs,
    [FUSE_SETXATTR] = do_xattr,
    [FUSE_GETXATTR] = do_xattr,
    [FUSE_LISTXATTR] = do_xattr,
    [FUSE_REMOVEXATTR] = do_xattr,
    [FUSE_READLINK] = do_readlink,
    [FUSE_SYMLINK] = do_symlink,
    [FUSE_MKNOD] = do_mknod,
    [FUSE_MKDIR] = do_mkdir,
    [FUSE_LINK] = do_link,
    [FUSE_UNLINK] = do_unlink,
    [FUSE_RMDIR] = do_unlink,
    [FUSE_RENAME] = do_rename,
    [FUSE_RENAME2] = do_rename,
    [FUSE_OPEN] = do_open,
    [FUSE_CREATE] = do_create,
    [FUSE_RELEASE] = do_release,
    [FUSE_READ] = do_read,
    [FUSE_WRITE] = do_write,
    [FUSE_FLUSH] = do_nothing,
    [FUSE_FSYNC] = do_fsync,
    [FUSE_FALLOCATE] = do_fallocate,
    [FUSE_LSEEK] = do_lseek,
    [FUSE_COPY_FILE_RANGE] = do_copy,
    [FUSE_OPENDIR] = do_opendir,
    [FUSE_READDIR] = do_readdir,
    [FUSE_RELEASEDIR] = do_releasedir,
    [FUSE_FSYNCDIR] = do_fsyncdir,
    [FUSE_GETLK] = do_lock,
    [FUSE_SETLK] = do_lock,
    [FUSE_SETLKW] = do_lock,
};

static void answer(struct request *r)
{
	handler fn = r->h.opcode < FUSE_OPCODE_END ? handlers[r->h.opcode] : NULL;

	if (fn)
		fn(r, node_of(r->h.nodeid));
	else
		fail(r, ENOSYS);
}

static void serve(void)
{
	static char buf[MAX_WRITE + 65536] __attribute__((aligned(8))), out[MAX_WRITE];
	ssize_t n;

	for (;;) {
		struct request r = {.arg = buf + sizeof r.h, .out = out};

		n = read(device, buf, sizeof buf - 1);
		if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (n < (ssize_t)sizeof r.h) /* unmounted */
			return;
		buf[n] = '\0';
		memcpy(&r.h, buf, sizeof r.h);
		answer(&r);
	}
}

/* ---- starting -------------------------------------------------------------------------------- */

static void read_options(char *text)
{
	static char left[4096];

	for (char *w = strtok(text, ","); w; w = strtok(NULL, ",")) {
		if (!strcmp(w, "direct"))
			how.direct = true;
		else if (!strcmp(w, "none"))
			how.none = true;
		else if (!strcmp(w, "locks"))
			how.locks = true;
		else if (!strcmp(w, "descriptor"))
			how.descriptor = true;
		else if (!strncmp(w, "timeout=", 8))
			how.timeout = (unsigned)atoi(w + 8);
		else if (!strncmp(w, "source=", 7))
			source = w + 7;
		else
			snprintf(left + strlen(left), sizeof left - strlen(left), ",%s", w);
	}
	mount_options = left;
}

static int do_mount(const char *dir)
{
	char text[8192];

	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -1;
	snprintf(text, sizeof text,
		 "fd=%d,rootmode=40000,default_permissions,user_id=%u,group_id=%u%s", device,
		 geteuid(), getegid(), mount_options);
	if (!mount(dir, mountpoint, "fuse.passthrough", MS_NOSUID | MS_NODEV, text))
		return 0;
	close(device);
	return device = errno == EPERM ? mount_by_fusermount(dir, mountpoint, mount_options) : -1;
}

static void unmount(int sig)
{
	(void)sig;
	unmount_anyhow(mountpoint);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	int opt;

	while ((opt = getopt(argc, argv, "fso:")) != -1)
		if (opt == 'o')
			read_options(optarg);
		else if (opt == '?')
			return 2;
	if (optind + 2 == argc)
		source = argv[optind++];
	if (optind + 1 != argc || !source) {
		fprintf(stderr, "usage: passthrough_server [-fs] [-o WORD,...] [DIR] MOUNTPOINT\n");
		return 2;
	}
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	umask(0);
	mountpoint = argv[optind];
	root.fd = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root.fd < 0 || do_mount(source) < 0) {
		fprintf(stderr, "passthrough_server: %s\n", strerror(errno));
		return 1;
	}
	signal(SIGTERM, unmount);
	signal(SIGINT, unmount);
	signal(SIGXFSZ, SIG_IGN);
	serve();
	return 0;
}
