/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open files. A struct pf_file is a descriptor; descriptors of pf_dup() share one struct
 * pf__open_file, which stands for one OPEN (or OPENDIR, CREATE) at the server and sends one
 * RELEASE.
 */
#ifndef PF_VFS_FILE_H
#define PF_VFS_FILE_H

#include "io/io.h"
#include "vfs/walk.h"

/* Asynchronous calls of one kind that take turns (vfs/aio.c), under the lock of its pool. */
struct pf__aio_lane {
	bool busy;
	struct pf__list waiting; /* valid while busy */
};

struct pf__release;   /* vfs/close.c: the RELEASE to come */
struct pf__dirstream; /* vfs/dir.c: what a directory being read remembers */

struct pf__open_file {
	struct pf__super *super;
	struct pf__inode *inode; /* referenced */
	struct pf_fs view;       /* the caller who opened it, an own copy */
	struct pf__io_file io;   /* handle, FOPEN_* flags, the path that reads and writes take */
	_Atomic int flags;       /* O_*: access mode and status flags */
	bool is_dir, is_path;    /* O_PATH: no handle at the server */
	bool no_release;         /* OPEN answered ENOSYS: fh 0, nothing to release */
	_Atomic bool flocked;    /* flock was used: RELEASE carries FLOCK_UNLOCK */
	_Atomic bool ofd_locked; /* OFD locks were set: the last close takes them back */
	struct pf__release *release; /* until it is sent: its end may come where none can wait */
	uint64_t kh;                 /* poll handle */
	_Atomic int refs;            /* descriptors and calls in progress */
	_Atomic int parts; /* of its memory: those refs together, the handle's users together */
	_Atomic uint32_t
	    pos_busy; /* 1, 2: a call at the position is under way, others sleep here */
	off_t pos;    /* whoever holds pos_busy; directories: unused */
	struct pf__dirstream *dir; /* the same; made by the first readdir */
	struct pf__list link;      /* super->files, super->lock */
	struct pf__aio_lane aio_reads, aio_writes;
};

struct pf_file {
	struct pf__open_file *of;
};

/* From a descriptor: the file as where a walk or call of its opener starts. */
void pf__from_open(struct pf__from *f, struct pf__open_file *of);
/* Check a descriptor for a call: NULL or O_PATH where a handle is needed -EBADF; bad inode -EIO. */
#define PF_NEED_HANDLE  (1u << 0)
#define PF_NEED_READ    (1u << 1)
#define PF_NEED_WRITE   (1u << 2)
#define PF_NEED_REGULAR (1u << 3) /* -EISDIR on directories */
#define PF_NEED_DIR     (1u << 4) /* -ENOTDIR */
int pf__file_check(struct pf_file *file, unsigned need, struct pf__open_file **of);

/* Flags as the server sees them: O_LARGEFILE added, O_CREAT O_EXCL O_NOCTTY (O_CLOEXEC ...)
 * removed. */
uint32_t pf__wire_flags(int flags);
/* pf_close() without FLUSH, which tells the server nothing of a file that was only read, and waits
 * for its answer. (libfuse: do not "assume that flush will be called at all".) No locks may be
 * left. */
void pf__close_unflushed(struct pf_file *file);
/* An O_PATH descriptor of the same inode, as view's caller (NULL: as file's). 0 or -ENOMEM. */
int pf__file_as(const struct pf_fs *view, struct pf_file *file, struct pf_file **out);
/* The same inode opened once more, whatever its name is by now. 0 or errno. */
int pf__open_again(struct pf_fs *view, struct pf_file *file, int flags, struct pf_file **out);
/* Does the server keep locks of any kind? */
bool pf__locks_at_server(const struct pf_fs *fs);
/* pf_lock() and pf_flock() by another caller than who opened file: it is his call that is
 * interrupted, his pid and lock_owner that the server is told. 0 or negative errno, no sentence. */
int pf__lock_as(struct pf_fs *view, struct pf_file *file, int cmd, struct flock *lock);
int pf__flock_as(struct pf_fs *view, struct pf_file *file, int operation);
/* All locks that file has go, or (not 0) all records of that lock_owner, without waiting; done() is
 * called once when it is so, on any thread, perhaps before this returns: as that of a background
 * request. -ENOMEM: it is not. */
int pf__locks_drop(struct pf_file *file, uint64_t posix_owner, void (*done)(void *ctx), void *ctx);
/* Where reads and writes pass through to a backing file: its server's descriptor of it. -1. */
int pf__file_backing(const struct pf_file *file);
void pf__open_file_put(struct pf__open_file *of); /* the last one sends RELEASE in the background */

#endif
