/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files held in memory: the memfd that programs get, and how it is filled.
 *
 * All that follows on the descriptor (read, write, mmap, dup, locks) is the kernel's work and not
 * seen here. Who has it open is asked of the kernel by leases: a read lease is refused while anyone
 * has it open for writing, a write lease while anyone else has it open at all; mappings and
 * descriptors on their way through sockets count.
 */
#include "run/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE   (1u << 20)
#define LONG_MS 3000 /* after which the user is told what takes so long */

int fd_reopen(int fd, int flags)
{
	char link[32];
	int copy;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	copy = open(link, flags | O_CLOEXEC);
	return copy < 0 ? -errno : copy;
}

int hold_reopen(const struct object *o, int flags)
{
	const int kept = O_ACCMODE | O_PATH | O_NOATIME, later = O_APPEND | O_NONBLOCK;
	int fd = fd_reopen(o->fd, flags & kept);

	/* O_NOATIME is for the owner of the memfd, which we may not be */
	if (fd == -EPERM)
		fd = fd_reopen(o->fd, flags & kept & ~O_NOATIME);
	/* With O_NONBLOCK it would not wait for a lease that another thread asks for. */
	if (fd >= 0 && flags & later)
		fcntl(fd, F_SETFL, flags & later);
	return fd;
}

static bool lease(int fd, int kind)
{
	if (fcntl(fd, F_SETLEASE, kind) < 0)
		return false;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return true;
}

bool hold_has_writers(const struct object *o)
{
	return !lease(o->fd, F_RDLCK) || disk_is_mapped(o, true);
}

bool hold_in_use(const struct object *o)
{
	return !lease(o->fd, F_WRLCK) || disk_is_mapped(o, false);
}

/* A memfd's atime changes with every read and mmap; no program sees it, so it has a mark of ours. A
 * file on disk may lie where it does not change. */
static const struct timespec unread = {PF_UNREAD_SEC, PF_UNREAD_NSEC};

bool hold_unread(const struct object *o)
{
	struct stat mem;

	return o->held && !o->written && !o->on_disk && !fstat(o->fd, &mem) &&
	       mem.st_atim.tv_sec == unread.tv_sec && mem.st_atim.tv_nsec == unread.tv_nsec;
}

bool hold_any_written(struct pf__run *r)
{
	return atomic_load(&r->n_written) != 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

void hold_overlay(struct object *o, struct stat *st)
{
	struct stat mem;

	if (!o->held || !o->written || fstat(o->fd, &mem) < 0)
		return;
	st->st_size = mem.st_size;
	st->st_blocks = mem.st_blocks;
	/* What the server has not got yet has changed the file. */
	if (hold_time(mem.st_mtim) == atomic_load(&o->sent_mtime))
		return;
	atomic_store(&o->seen, true);
	st->st_mtim = mem.st_mtim;
	if (is_later(mem.st_ctim, st->st_ctim))
		st->st_ctim = mem.st_ctim;
}

/* ---- filling --------------------------------------------------------------------------------- */

struct filling {
	const struct pf__call *call; /* whoever waits for it */
	const struct object *o;
	int64_t began;
	bool said, sparse;
	int memfd; /* or a file on disk */
	struct pf_file *file;
	char *buf;
	size_t piece;
};

/* Nobody shall wonder what takes so long; nor need it go on when the one who waited was killed. */
static int look_around(struct filling *f, uint64_t size)
{
	char path[PATH_MAX];

	if (!pf__call_alive(f->call))
		return -EINTR;
	if (!f->said && run_now_ms() - f->began > LONG_MS) {
		f->said = true;
		object_path((struct object *)(uintptr_t)f->o, path, sizeof path);
		run_say(f->o->run, "%s: reading all of it, %llu MiB, for a program that opens it",
			path, (unsigned long long)(size >> 20));
	}
	return 0;
}

/* 0, or -ENOSPC and the like: then the user is told what it is that has no room. */
static int put(struct filling *f, size_t size, off_t at)
{
	char path[PATH_MAX];

	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(f->memfd, f->buf + done, size - done, at + (off_t)done);
		int err = n < 0 ? -errno : -ENOSPC;

		if (n <= 0) {
			object_path((struct object *)(uintptr_t)f->o, path, sizeof path);
			run_say(f->o->run, "%s: there is no room for a copy of it (%s): %s", path,
				f->o->on_disk ? f->o->run->disk.path : "memory", strerror(-err));
			return err;
		}
		done += (size_t)n;
	}
	return 0;
}

/* From at to end, or what end of file comes first. Where it ended, or negative errno. */
static int64_t read_range(struct filling *f, uint64_t at, uint64_t end)
{
	while (at < end) {
		size_t want = end - at < f->piece ? (size_t)(end - at) : f->piece;
		ssize_t n = pf_pread(f->file, f->buf, want, (off_t)at);

		if (n < 0)
			return n;
		if (n > 0 && !(f->sparse && is_zero(f->buf, (size_t)n))) {
			int err = put(f, (size_t)n, (off_t)at);

			if (err)
				return err;
		}
		at += (uint64_t)n;
		if (n == 0)
			break;
		if (at < end && look_around(f, end))
			return -EINTR;
	}
	return (int64_t)at;
}

/* Holes are left out, where the server tells of them. */
static int64_t read_sparse(struct filling *f, uint64_t size)
{
	off_t at = 0;

	for (;;) {
		off_t data = pf_lseek(f->file, at, SEEK_DATA), hole;
		int64_t n;

		if (data < 0)
			return data == -ENXIO ? (int64_t)size : data;
		hole = pf_lseek(f->file, data, SEEK_HOLE);
		if (hole <= data)
			return hole < 0 ? hole : -EIO;
		n = read_range(f, (uint64_t)data, (uint64_t)hole);
		if (n < hole) /* an error, or the file ends before its size says so */
			return n;
		at = hole;
		if ((uint64_t)at >= size)
			return (int64_t)size;
	}
}

/*
 * What the server has, into the memfd. The size or negative errno. A size of 0 need not be true;
 * but what has no end does not fit into memory.
 */
static int64_t read_all(const struct object *o, const struct pf__call *call, int memfd,
			struct pf_file *file, bool sparse)
{
	uint64_t most = o->run->hold_bytes;
	PF_AUTO_FREE char *buf = NULL;
	struct filling f = {.call = call,
			    .o = o,
			    .began = run_now_ms(),
			    .memfd = memfd,
			    .file = file,
			    .sparse = sparse};
	struct stat st;
	int64_t n;

	if (pf_fstat(file, &st) < 0)
		return -EIO;
	f.piece = st.st_size > 0 && st.st_size < PIECE ? (size_t)st.st_size : PIECE;
	f.buf = buf = pf__malloc(f.piece);
	if (!buf)
		return -ENOMEM;
	if (f.sparse) {
		n = read_sparse(&f, (uint64_t)st.st_size);
		if (n >= 0)
			return n;
	}
	if (st.st_size)
		return read_range(&f, 0, (uint64_t)st.st_size);
	n = read_range(&f, 0, most + 1);
	return n > (int64_t)most ? -EFBIG : n;
}

static void note_times(struct object *o, int memfd, const struct stat *st)
{
	struct timespec times[2] = {unread, st->st_mtim};

	lock_data_is(o, st);
	atomic_store(&o->sent_mtime, hold_time(st->st_mtim));
	futimens(memfd, times);
}

/* Holes may be left out of what is empty; or is emptied, if nobody has it any more. */
static bool leaves_holes(const struct object *o, const struct stat *st)
{
	return st->st_size > 65536 && st->st_blocks < st->st_size / 512 &&
	       (o->fresh >= 0 || (!o->held && !hold_in_use(o)));
}

int hold_fill(struct object *o, const struct pf__call *call, struct pf_file *file, bool truncated)
{
	PF_AUTO_CLOSE int memfd = -1;
	struct stat st;
	int64_t n = 0;
	bool sparse;
	int err = o->kept ? -ESTALE : pf_fstat(file, &st); /* it is the user's now */

	if (err)
		return err;
	/* Programs' own changes stand; else what has not changed since. */
	if (o->held && !truncated &&
	    (o->written || (same_time(st.st_mtim, o->mtime) && same_time(st.st_ctim, o->ctime))))
		return 0;
	sparse = !truncated && leaves_holes(o, &st);
	memfd = o->fresh >= 0 ? pf__take(o->fresh, -1) : fd_reopen(o->fd, O_RDWR);
	if (memfd < 0)
		return memfd;
	if (sparse && ftruncate(memfd, 0) < 0)
		return -errno;
	if (!truncated)
		n = read_all(o, call, memfd, file, sparse);
	if (n < 0) {
		if (!o->held) /* nobody has it: a part of it is of no use */
			(void)!ftruncate(memfd, 0);
		return (int)n;
	}
	if (ftruncate(memfd, (off_t)n) < 0)
		return -errno;
	if (truncated)
		base_close(o);
	note_times(o, memfd, &st);
	o->held = true;
	return 0;
}
