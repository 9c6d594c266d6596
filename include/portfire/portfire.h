/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libportfire: the kernel half of FUSE as a library.
 *
 * A program starts or attaches a FUSE server and uses its files through the calls below: no
 * /dev/fuse, no mount, no privilege. Names and meanings follow libc and POSIX; where libc has a
 * call, ours is that name with pf_ before it.
 *
 * Conventions, true for every call unless its comment says otherwise:
 *  - The result is 0 or a count on success, else a negative errno. errno itself is not set.
 *    pf_error() gives the calling thread a sentence about its last failure.
 *  - Every call may be made from any thread at any time; only pf_stop() must be the last user of
 *    its file system, and pf_close() the last user of its descriptor.
 *  - Paths are NUL-terminated and belong to the file system: "/a/b" and "a/b" both start at its
 *    root. The *at calls start at an open directory instead when the path is relative.
 *  - No call is a cancellation point of pthread_cancel(): a thread that is cancelled in one ends at
 *    its next cancellation point after it.
 *  - Nothing here exits, prints, changes signal handlers, the umask or the working directory.
 *  - A call that waits for the server ends when the server answers, dies (ENOTCONN,
 *    ECONNABORTED), lets the deadline of struct pf_options pass (ETIMEDOUT), or when the call is
 *    interrupted and the server agrees (EINTR).
 *  - Sizes and offsets are in bytes, times in the unit that the name says.
 */
#ifndef PORTFIRE_H
#define PORTFIRE_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PF_VERSION_MAJOR  0
#define PF_VERSION_MINOR  1
#define PF_VERSION_PATCH  0
#define PF_VERSION_STRING "0.1.0"

struct pf_fs;   /* one file system at one server, seen as one caller */
struct pf_file; /* one descriptor of an open file or directory */
struct statx;
struct flock;

/* The library's version at run time, as PF_VERSION_STRING. Static storage. */
const char *pf_version(void);

/*
 * A sentence on the calling thread's last failed call: the operation, the name where the call has
 * one, and what was wrong, without a newline. Never NULL; "" when nothing has failed yet. Valid
 * until the thread's next call.
 */
const char *pf_error(void);

/* ---- starting and stopping ------------------------------------------------------------- */

/* How a server's messages are traced: called with one line, without a newline, a message. */
typedef void (*pf_trace_fn)(void *ctx, const char *line);

struct pf_options {
	size_t size; /* sizeof(struct pf_options): PF_OPTIONS_INIT sets it */

	/*
	 * Comma-separated mount options as fusermount and mount(8) give them to the kernel:
	 * default_permissions, allow_other, ro, rootmode=OCTAL, user_id=N, group_id=N, max_read=N,
	 * fsname=..., subtype=.... They are joined to those the server itself asks for (pf_start).
	 * Unknown ones are ignored. NULL: none.
	 */
	const char *mount_options;

	uint32_t start_timeout_ms;   /* for the server to mount and answer INIT; 0: 30,000 */
	uint32_t request_timeout_ms; /* a request's deadline; past it the connection is aborted and
				      * its waiters get ETIMEDOUT. 0: none but the server's own wish
				      * (REQUEST_TIMEOUT). SETLKW and POLL have no deadline. */
	uint32_t max_write;          /* bytes; upper bound offered, 0: as the transport allows */
	uint32_t max_readahead;      /* bytes offered in INIT; 0: 1 MiB */
	uint32_t max_background;     /* 0: as the server says */
	uint32_t minor;              /* highest protocol minor offered; 0: the newest known */
	size_t max_names; /* cached names before the least recently used go; 0: 1,000,000 */

	int stderr_fd; /* where a started server's stderr goes; -1: the caller's own stderr */
	int no_service_thread; /* the caller uses pf_get_fd() and pf_service() instead */
	int no_readdirplus;    /* never offer READDIRPLUS */

	pf_trace_fn trace; /* NULL: no trace */
	void *trace_ctx;

	/*
	 * A seeded plan of faults between client and server, for tests. Comma-separated:
	 * seed=N, and any of drop=N, delay=N:MS, short=N, dup=N, reorder=N, corrupt=N,
	 * disconnect=N, each at the N-th message from the server (counted from 1, INIT's reply is
	 * the first); tx- before the word means the N-th message to it. NULL: none.
	 */
	const char *faults;

	/*
	 * File data. How long it is kept is for the server to say (FOPEN_KEEP_CACHE,
	 * FOPEN_DIRECT_IO, AUTO_INVAL_DATA, notifications); cache says what is done where the
	 * server says nothing.
	 */
	int cache;            /* PF_CACHE_AUTO, PF_CACHE_NONE, PF_CACHE_ALWAYS */
	int no_writeback;     /* never offer WRITEBACK_CACHE: each write reaches the server */
	uint64_t cache_bytes; /* file data kept in memory at most; 0: a quarter of RAM, or of what
			       * the control group allows. At least 1 MiB. */
	uint64_t dirty_bytes; /* of it not yet written back at most: writers wait beyond. 0: an
			       * eighth of cache_bytes, at most 256 MiB. At most half of
			       * cache_bytes, at least 256 KiB. */
	uint32_t dirty_expire_ms; /* data that waits longer is written back; 0: 5,000 */
};

/* Values of pf_options.cache, named as virtiofs does. */
enum {
	PF_CACHE_AUTO,   /* data stays, also when the file is closed; an open drops what an
			  * earlier one left, unless the server says FOPEN_KEEP_CACHE */
	PF_CACHE_NONE,   /* every read and write is a request, as if every open said FOPEN_DIRECT_IO
			  */
	PF_CACHE_ALWAYS, /* every open keeps what is cached, as if all said FOPEN_KEEP_CACHE */
};
#define PF_OPTIONS_INIT                                                                            \
	{                                                                                          \
		.size = sizeof(struct pf_options), .stderr_fd = -1                                 \
	}

/*
 * Start a FUSE server: argv as in a shell, argv[0] found through PATH, argv ends with NULL. A word
 * "{}" anywhere in argv, whole or as a part, stands for a private temporary mountpoint that
 * pf_stop() removes. Waits until the server has mounted and answered INIT.
 *
 * Errors: ENOENT no such program; ETIMEDOUT it did not mount in time; EBUSY it mounts a second
 * time; ENOTCONN it ended before it mounted (pf_error() tells its status and last words); and what
 * the mount or INIT answered. On failure nothing that was started is left.
 */
int pf_start(struct pf_fs **fs, char *const argv[], const struct pf_options *options);

/*
 * Attach to a server at the other end of a connected SOCK_SEQPACKET socket, which it reads and
 * writes as it would /dev/fuse. The descriptor is ours from now on, also on failure.
 * Waits for INIT; errors as in pf_start().
 */
int pf_attach(struct pf_fs **fs, int fd, const struct pf_options *options);

/*
 * A server inside this process. request() is called with each whole message, possibly from several
 * threads at once, and answers with pf_inproc_reply(): before it returns (the fast path) or later
 * from any thread. The message lives until request() returns.
 */
struct pf_inproc;
struct pf_inproc_ops {
	void (*request)(void *ctx, struct pf_inproc *channel, const void *message, size_t length);
	void (*disconnected)(void *ctx); /* the client is gone; no request follows. May be NULL */
};
int pf_attach_inproc(struct pf_fs **fs, const struct pf_inproc_ops *ops, void *ctx,
		     const struct pf_options *options);
/*
 * Send one whole reply or notification (struct fuse_out_header first). 0; EINVAL where its length
 * is wrong; ENODEV after the client has gone; ENOMEM: there was no memory to keep it in, and
 * whoever waits for the reply is told ENOMEM instead.
 */
int pf_inproc_reply(struct pf_inproc *channel, const struct iovec *iov, int iovcnt);
/*
 * Hang up, as a server that exits does, and give the channel back: it must not be used after it.
 * Every server that request() was called for calls this once, also after disconnected() or when
 * attaching failed; until then the channel stays allocated, so that late replies are safe.
 */
void pf_inproc_close(struct pf_inproc *channel);

/*
 * End: write out and release what is open, send DESTROY, end the server if pf_start() started it
 * and wait for it. Returns 0, or what went wrong on the way; the file system is gone either way.
 * When data was lost since the start, because it could not be written back: the last error that
 * cost some, and pf_error() says how much.
 * When the server was lost before: -ENOTCONN, with its own end in pf_error() ("sshfs was killed by
 * signal 9
 * ..."), or -ETIMEDOUT past a deadline.
 * Only for what pf_start() and pf_attach*() gave: a view of pf_as() ends with pf_view_free().
 */
int pf_stop(struct pf_fs *fs);

/* Break the connection now: every call in flight fails with ECONNABORTED, later ones with ENOTCONN.
 */
void pf_abort(struct pf_fs *fs);

/* The path that the server mounted on, "" when it has none (pf_attach). Valid until pf_stop(). */
const char *pf_mountpoint(struct pf_fs *fs);
/* The process id of the server that pf_start() started; 0 when there is none. */
pid_t pf_server_pid(struct pf_fs *fs);

/*
 * For a program with its own event loop (no_service_thread): poll this descriptor for POLLIN, then
 * call pf_service(), which reads what there is and never blocks. Also call it every 100 ms or so
 * while calls are outstanding. pf_service() returns 0, or ENOTCONN once the server is gone.
 */
int pf_get_fd(struct pf_fs *fs);
int pf_service(struct pf_fs *fs);

/* What was negotiated, and counters. Pass each name and value to fn; names are stable. */
typedef void (*pf_info_fn)(void *ctx, const char *key, const char *value);
int pf_info(struct pf_fs *fs, pf_info_fn fn, void *ctx);

/* Counters of the data cache and of the paths that reads and writes took. Since the start, but for
 * those marked "now"; where many threads count at once one may be missed. Pages are of 4,096 bytes.
 */
struct pf_stats {
	size_t size; /* sizeof(struct pf_stats), set by the caller */
	/* Calls, by the path that they took. */
	uint64_t reads_cached, reads_direct;
	uint64_t writes_through, writes_back, writes_direct;
	uint64_t writes_parallel; /* of writes_direct: beside others on one file */
	/* Bytes moved by these calls. */
	uint64_t bytes_read, bytes_written;
	uint64_t page_hits, page_misses; /* pages that a read found, or had to wait for */
	uint64_t readahead_pages;        /* asked for ahead */
	uint64_t readahead_hits;         /* of them used */
	uint64_t readahead_waste;        /* of them dropped unused */
	uint64_t pages, pages_dirty, pages_writeback; /* now: up to date, dirty, being sent */
	uint64_t pages_flushed, pages_evicted, pages_dropped; /* written back; for want of memory;
							       * invalidated */
	uint64_t pages_lost;               /* dirty, but could not be written back */
	uint64_t cache_bytes, cache_limit; /* memory that file data takes now; the limit */
	uint64_t cache_peak;               /* most that it took */
	uint64_t dirty_waits;              /* writes that had to wait for room for dirty data */
	uint64_t dir_cache_hits;           /* directories listed without a request */
	/* Calls that went to a backing file (FOPEN_PASSTHROUGH), without a request. */
	uint64_t reads_passthrough, writes_passthrough;
};
/* 0; EINVAL without a size. What a newer library would count beyond it is left out, what this one
 * does not know is 0. */
int pf_stats(struct pf_fs *fs, struct pf_stats *stats);

/* Drop what is cached and can be had again: clean data, listings of directories, and names that
 * nobody uses. Dirty data is written back first, and waited for. 0, or the first error of that. */
int pf_drop_caches(struct pf_fs *fs);

/* ---- callers ---------------------------------------------------------------------------- */

struct pf_caller {
	size_t size; /* sizeof(struct pf_caller) */
	uid_t uid;   /* file-system uid and gid, as the server sees them */
	gid_t gid;
	pid_t pid;
	mode_t umask;
	size_t ngroups; /* supplementary groups */
	const gid_t *groups;
	uint64_t lock_owner;          /* who owns POSIX locks; equal means same owner. 0: the pid */
	int unprivileged;             /* uid 0 has no capability to override permissions */
	const void *security_context; /* label for new files, with its xattr name; NULL: none */
	size_t security_context_size;
	const char *security_context_name;
};

/*
 * The same file system as another caller. The view is light, holds its file system alive, and must
 * be freed with pf_view_free(). Files opened through it act as that caller.
 */
int pf_as(struct pf_fs *fs, const struct pf_caller *caller, struct pf_fs **view);
void pf_view_free(struct pf_fs *view);

/*
 * Set the umask that calls through this view act with, and return the one before, as umask(2). The
 * view of pf_start() and pf_attach*() begins with the process's own at that moment: a library
 * cannot follow it cheaply, for Linux tells it only to who also sets it.
 */
mode_t pf_umask(struct pf_fs *view, mode_t mask);

/*
 * Interrupt the calls now in progress through this view (and no other), as a signal would: a
 * request not yet sent fails with EINTR at once, for one at the server INTERRUPT is sent and the
 * server decides. A call that waits for a page which another one reads, or for room for dirty data,
 * ends with EINTR, or short. Async-signal-safe it is not. Returns the number of calls interrupted.
 */
int pf_interrupt(struct pf_fs *view);

/* ---- open files -------------------------------------------------------------------------- */

/* open(2) flags: all but O_ASYNC; O_PATH gives a handle for the *at calls, fstat and the like. */
int pf_open(struct pf_fs *fs, const char *path, int flags, mode_t mode, struct pf_file **file);
int pf_openat(struct pf_file *dir, const char *path, int flags, mode_t mode, struct pf_file **file);
/* As close(2): FLUSH, and RELEASE with the last descriptor. Dirty data of the file goes before
 * that; what went wrong with it is told here, unless this open file was told by fsync or the like.
 * The descriptor is gone in any case. */
int pf_close(struct pf_file *file);
/* Another descriptor of the same open file, as dup(2). */
int pf_dup(struct pf_file *file, struct pf_file **copy);

ssize_t pf_pread(struct pf_file *file, void *buf, size_t count, off_t offset);
ssize_t pf_pwrite(struct pf_file *file, const void *buf, size_t count, off_t offset);
ssize_t pf_preadv(struct pf_file *file, const struct iovec *iov, int iovcnt, off_t offset);
ssize_t pf_pwritev(struct pf_file *file, const struct iovec *iov, int iovcnt, off_t offset);
/* At and after the open file's own position, which descriptors of pf_dup() share. */
ssize_t pf_read(struct pf_file *file, void *buf, size_t count);
ssize_t pf_write(struct pf_file *file, const void *buf, size_t count);
ssize_t pf_readv(struct pf_file *file, const struct iovec *iov, int iovcnt);
ssize_t pf_writev(struct pf_file *file, const struct iovec *iov, int iovcnt);
/*
 * preadv2(2) and pwritev2(2): offset -1 is the file's position. RWF_NOWAIT: EAGAIN where it would
 * wait for the server (only cached reads and write-back writes can do without; a turn at the
 * position is waited for all the same). RWF_DSYNC,
 * RWF_SYNC, RWF_APPEND for this call alone; RWF_HIPRI changes nothing; others EOPNOTSUPP.
 */
ssize_t pf_preadv2(struct pf_file *file, const struct iovec *iov, int iovcnt, off_t offset,
		   int flags);
ssize_t pf_pwritev2(struct pf_file *file, const struct iovec *iov, int iovcnt, off_t offset,
		    int flags);

/*
 * The same without waiting: done(ctx, result) is called exactly once, from another thread or, when
 * nothing has to be waited for, before the call returns. The buffer must live until then. The
 * result is that of the call without aio. 0, or a negative errno: then done is not called. A file
 * may be closed while calls on it are under way: RELEASE follows the last. They are not ordered
 * among themselves; fsync is for what was complete before. done may make any call but pf_stop()
 * (EDEADLK), which lets those under way end; further ones are refused then (ENOTCONN). When no
 * thread can be made, done is called before the call returns, however long that takes. Not
 * available with no_service_thread: EOPNOTSUPP.
 */
typedef void (*pf_aio_fn)(void *ctx, ssize_t result);
int pf_aio_read(struct pf_file *file, void *buf, size_t count, off_t offset, pf_aio_fn done,
		void *ctx);
int pf_aio_write(struct pf_file *file, const void *buf, size_t count, off_t offset, pf_aio_fn done,
		 void *ctx);
int pf_aio_fsync(struct pf_file *file, int datasync, pf_aio_fn done, void *ctx);

/*
 * Read without a copy: borrow->data points at up to count bytes of the file at offset, in the cache
 * where they are cached (else in a buffer made for them). Returns their number, which is often less
 * than asked for though the file goes on (cached bytes come in pieces of at most 256 KiB: call
 * again for the rest); 0 at its end. They stay where they are until pf_read_return(), which must be
 * called once for each success above 0, from any thread but before pf_stop(), and until which the
 * file counts as open, also after pf_close(); a write to the file or a change at the server
 * meanwhile may or may not be seen in them, and zeros where a truncation has cut off a file with
 * data not written back yet. Never write to them.
 */
struct pf_borrow {
	const void *data;
	size_t length;
	void *owner; /* private */
};
ssize_t pf_read_borrow(struct pf_file *file, size_t count, off_t offset, struct pf_borrow *borrow);
void pf_read_return(struct pf_borrow *borrow);

/*
 * Memory that is the file's cached data. prot and flags as mmap(2): PROT_READ, PROT_WRITE;
 * MAP_SHARED or MAP_PRIVATE. offset is a multiple of 4,096. All of it is read in at once and stays
 * in memory until pf_munmap(). What was changed through a shared mapping is found and written back
 * by pf_msync() and pf_munmap(), not before: not by pf_fsync() or pf_close(). Cached reads through
 * the library see it at once, direct ones after that. What is written through the library is seen
 * in a shared mapping if it goes through the cache; direct writes and changes at the server need
 * not be. Bytes beyond the end of the file are zero and never written. The file counts as open
 * until pf_munmap(), which must come before pf_stop(). Errors: as mmap(2); EINVAL for PROT_EXEC and
 * for flags beside MAP_NORESERVE and MAP_POPULATE, which change nothing; ENODEV for MAP_SHARED
 * where the server wants direct I/O without DIRECT_IO_ALLOW_MMAP, or passes others through; ENOMEM
 * when length is more than half of cache_bytes, or there is no room.
 *
 * Where the server passes the open through (FOPEN_PASSTHROUGH) it is the backing file that is
 * mapped, as the kernel maps files: all changes are seen at once by everybody, and the limits above
 * do not hold. Behind its end, also where somebody cuts it later, there are zeros, by a SIGBUS
 * handler that this call puts in, and that passes on all other signals to the one before it.
 */
struct pf_mapping;
int pf_mmap(struct pf_file *file, size_t length, int prot, int flags, off_t offset,
	    struct pf_mapping **mapping);
void *pf_mapping_address(const struct pf_mapping *mapping);
/* Write back what was changed in length bytes from offset (of the mapping; a multiple of 4,096) on,
 * and wait. ENOMEM: the range goes beyond the mapping. */
int pf_msync(struct pf_mapping *mapping, size_t offset, size_t length);
/* The same for all of it. The mapping is gone in any case; this must be its last user. */
int pf_munmap(struct pf_mapping *mapping);

/*
 * posix_fadvise(2), of this open file: POSIX_FADV_NORMAL; _SEQUENTIAL reads twice as far ahead;
 * _RANDOM not at all; _WILLNEED reads the range in the background, at most half of the cache;
 * _DONTNEED drops the clean pages that lie in it as a whole, and begins to write dirty ones;
 * _NOREUSE does nothing.
 */
int pf_fadvise(struct pf_file *file, off_t offset, off_t length, int advice);
/* sync_file_range(2): length 0 is up to the end; flags SYNC_FILE_RANGE_*. Data alone: no times are
 * sent, and no FSYNC. */
int pf_sync_file_range(struct pf_file *file, off_t offset, off_t length, unsigned flags);

/* SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE. */
off_t pf_lseek(struct pf_file *file, off_t offset, int whence);

int pf_ftruncate(struct pf_file *file, off_t length);
int pf_fallocate(struct pf_file *file, int mode, off_t offset, off_t length);
int pf_fsync(struct pf_file *file, int datasync);
int pf_syncfs(struct pf_fs *fs);
/* NULL offsets use and move the files' positions. EXDEV across file systems. */
ssize_t pf_copy_file_range(struct pf_file *in, off_t *off_in, struct pf_file *out, off_t *off_out,
			   size_t length, unsigned flags);

int pf_fstat(struct pf_file *file, struct stat *st);
int pf_fchmod(struct pf_file *file, mode_t mode);
int pf_fchown(struct pf_file *file, uid_t uid, gid_t gid);
int pf_futimens(struct pf_file *file, const struct timespec times[2]);
/* F_GETFL and F_SETFL (O_APPEND, O_NONBLOCK, O_DIRECT, O_NOATIME change). */
int pf_getfl(struct pf_file *file);
int pf_setfl(struct pf_file *file, int flags);

/* F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW. */
int pf_lock(struct pf_file *file, int cmd, struct flock *lock);
/* LOCK_SH, LOCK_EX, LOCK_UN, with LOCK_NB. */
int pf_flock(struct pf_file *file, int operation);

/*
 * ioctl(2) with the sizes that the command encodes (_IOC): arg points to the data, or is the value
 * itself where the command encodes none. Returns the server's result, which may be positive.
 */
int pf_ioctl(struct pf_file *file, unsigned long cmd, void *arg);

/*
 * Which of the asked events (POLLIN ...) hold now. timeout_ms as poll(2): 0 asks once, -1 waits for
 * ever. Returns the events, 0 on timeout.
 */
int pf_poll(struct pf_file *file, short events, int timeout_ms);

/* ---- directories ------------------------------------------------------------------------- */

struct pf_dirent {
	uint64_t ino;
	uint64_t off;           /* cookie: pf_seekdir() to it continues after this entry */
	unsigned char type;     /* DT_* */
	unsigned char has_stat; /* st is filled: from READDIRPLUS, or from what is cached */
	uint16_t namelen;
	const char *name; /* NUL-terminated; valid until the next call on this file */
	struct stat st;
};

/* A directory opened with pf_open() (O_DIRECTORY or not) gives its entries: 1 an entry, 0 the end.
 */
int pf_readdir(struct pf_file *dir, struct pf_dirent *entry);
int pf_seekdir(struct pf_file *dir, uint64_t off); /* 0 rewinds */
uint64_t pf_telldir(struct pf_file *dir);

/* ---- names ------------------------------------------------------------------------------- */
/*
 * The *at forms start at an open directory, or at its file system's root when the path begins with
 * "/". flags are AT_* of libc (AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_EACCESS ...).
 */
int pf_stat(struct pf_fs *fs, const char *path, struct stat *st);
int pf_lstat(struct pf_fs *fs, const char *path, struct stat *st);
int pf_fstatat(struct pf_file *dir, const char *path, struct stat *st, int flags);
int pf_statx(struct pf_fs *fs, const char *path, int flags, unsigned mask, struct statx *stx);
int pf_statxat(struct pf_file *dir, const char *path, int flags, unsigned mask, struct statx *stx);
int pf_access(struct pf_fs *fs, const char *path, int mode);
int pf_faccessat(struct pf_file *dir, const char *path, int mode, int flags);

int pf_truncate(struct pf_fs *fs, const char *path, off_t length);
int pf_chmod(struct pf_fs *fs, const char *path, mode_t mode);
int pf_fchmodat(struct pf_file *dir, const char *path, mode_t mode, int flags);
int pf_chown(struct pf_fs *fs, const char *path, uid_t uid, gid_t gid);
int pf_lchown(struct pf_fs *fs, const char *path, uid_t uid, gid_t gid);
int pf_fchownat(struct pf_file *dir, const char *path, uid_t uid, gid_t gid, int flags);
/* times: access, modification; NULL means now; UTIME_NOW and UTIME_OMIT as utimensat(2). */
int pf_utimens(struct pf_fs *fs, const char *path, const struct timespec times[2], int flags);
int pf_utimensat(struct pf_file *dir, const char *path, const struct timespec times[2], int flags);

int pf_mkdir(struct pf_fs *fs, const char *path, mode_t mode);
int pf_mkdirat(struct pf_file *dir, const char *path, mode_t mode);
int pf_rmdir(struct pf_fs *fs, const char *path);
int pf_unlink(struct pf_fs *fs, const char *path);
int pf_unlinkat(struct pf_file *dir, const char *path, int flags); /* AT_REMOVEDIR */
int pf_rename(struct pf_fs *fs, const char *from, const char *to);
int pf_rename2(struct pf_fs *fs, const char *from, const char *to, unsigned flags);
int pf_renameat2(struct pf_file *fromdir, const char *from, struct pf_file *todir, const char *to,
		 unsigned flags);
int pf_link(struct pf_fs *fs, const char *from, const char *to);
int pf_linkat(struct pf_file *fromdir, const char *from, struct pf_file *todir, const char *to,
	      int flags); /* AT_SYMLINK_FOLLOW, AT_EMPTY_PATH (names an O_TMPFILE file) */
int pf_symlink(struct pf_fs *fs, const char *target, const char *path);
int pf_symlinkat(const char *target, struct pf_file *dir, const char *path);
/* The target, without NUL, at most size bytes: the count put there, as readlink(2). */
ssize_t pf_readlink(struct pf_fs *fs, const char *path, char *buf, size_t size);
ssize_t pf_readlinkat(struct pf_file *dir, const char *path, char *buf, size_t size);
int pf_mknod(struct pf_fs *fs, const char *path, mode_t mode, dev_t dev);
int pf_mknodat(struct pf_file *dir, const char *path, mode_t mode, dev_t dev);

/* Extended attributes: size 0 asks for the size. The l forms do not follow a last symlink. */
ssize_t pf_getxattr(struct pf_fs *fs, const char *path, const char *name, void *value, size_t size);
ssize_t pf_lgetxattr(struct pf_fs *fs, const char *path, const char *name, void *value,
		     size_t size);
ssize_t pf_fgetxattr(struct pf_file *file, const char *name, void *value, size_t size);
int pf_setxattr(struct pf_fs *fs, const char *path, const char *name, const void *value,
		size_t size, int flags);
int pf_lsetxattr(struct pf_fs *fs, const char *path, const char *name, const void *value,
		 size_t size, int flags);
int pf_fsetxattr(struct pf_file *file, const char *name, const void *value, size_t size, int flags);
ssize_t pf_listxattr(struct pf_fs *fs, const char *path, char *list, size_t size);
ssize_t pf_llistxattr(struct pf_fs *fs, const char *path, char *list, size_t size);
ssize_t pf_flistxattr(struct pf_file *file, char *list, size_t size);
int pf_removexattr(struct pf_fs *fs, const char *path, const char *name);
int pf_lremovexattr(struct pf_fs *fs, const char *path, const char *name);
int pf_fremovexattr(struct pf_file *file, const char *name);

int pf_statvfs(struct pf_fs *fs, const char *path, struct statvfs *st);
int pf_fstatvfs(struct pf_file *file, struct statvfs *st);

#ifdef __cplusplus
}
#endif
#endif
