/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the "open file" side of the vfs share among themselves: notifications, local
 * locks, pollers. Nobody else needs them.
 */
#ifndef PF_VFS_INTERNAL_H
#define PF_VFS_INTERNAL_H

#include "base/alloc.h"
#include "vfs/file.h"
#include "vfs/localock.h"

/* ---- vfs/notify.c: what the connection tells */
extern const struct pf__conn_ops pf__super_conn_ops;

/* ---- vfs/caller.c */
/* The root view acts as the process itself. */
void pf__view_init_self(struct pf_fs *view, struct pf__super *s);

/* ---- vfs/locks.c */
/* A descriptor is closed: the POSIX locks that its owner has on the file go. */
void pf__locks_closed(struct pf__open_file *of, uint64_t owner);
/* The open file goes: its flock and OFD locks go. */
void pf__locks_released(struct pf__open_file *of);

/* ---- vfs/poll.c */
int pf__polls_open(struct pf__polls **polls);
void pf__polls_close(struct pf__polls *polls);
void pf__polls_wake(struct pf__polls *polls, uint64_t kh);
void pf__polls_wake_all(struct pf__polls *polls);
int pf__polls_interrupt(struct pf__polls *polls, const void *group); /* the number found */

/* ---- vfs/close.c */
/* RELEASE of what is still open, then no file of s reaches the server any more. For pf_stop(). */
void pf__files_release_all(struct pf__super *s);
/* Give back a handle that never became a file, and wait for it. */
void pf__release_sync(struct pf__open_file *of);
/* An open file for inode (takes over the reference), not yet in super->files. */
int pf__open_file_new(struct pf__open_file **of, const struct pf_fs *view, struct pf__inode *inode,
		      int flags);
/* Free one that was never opened at the server, or was released. */
void pf__open_file_free(struct pf__open_file *of);
/* Take it into super->files and make its first descriptor. */
int pf__open_file_publish(struct pf__open_file *of, struct pf_file **file);

/* ---- vfs/rw.c */
/* Wait for one's turn at the file's position, which nobody else moves until unlock. Not a mutex: it
 * is held across requests. */
off_t pf__pos_lock(struct pf__open_file *of);
void pf__pos_unlock(struct pf__open_file *of, off_t pos);
bool pf__file_seekable(const struct pf__open_file *of);
/* What a read or write through of says of its caller. */
void pf__io_call_of(struct pf__open_file *of, const struct pf__from *f, struct pf__io_call *c);
/* Not at the position, checks done: for copy_file_range. */
ssize_t pf__read_at(struct pf__open_file *of, const struct iovec *iov, int iovcnt, off_t offset);
ssize_t pf__write_at(struct pf__open_file *of, const struct iovec *iov, int iovcnt, off_t offset,
		     off_t *end);

/* What is cached, and known to be current, is copied and nothing else. -EAGAIN: not all is. */
ssize_t pf__read_cached(struct pf__open_file *of, void *buf, size_t count, off_t offset);

/* ---- vfs/data.c */
void pf__stats(const struct pf__super *s, struct pf_stats *st);
/* ---- vfs/aio.c */
/* Let the asynchronous calls end, and their threads; for pf_stop(). -EDEADLK on one of these. */
int pf__aio_stop(struct pf__super *s);
/* End those of group that have not begun. The number found. */
int pf__aio_interrupt(struct pf__super *s, const void *group);

/* ---- vfs/sync.c */
int pf__fsync(struct pf__open_file *of, bool datasync);

/* ---- vfs/dir.c */
int pf__dir_seek(struct pf__open_file *of, uint64_t off);
uint64_t pf__dir_tell(struct pf__open_file *of);
void pf__dirstream_free(struct pf__dirstream *d);

#endif
