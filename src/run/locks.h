/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flock(2) and fcntl(2) locks of files whose server keeps locks itself: what the files that do it
 * know of each other.
 *
 * The server has the locks, the kernel only a mark of each locker: one byte far beyond any data,
 * locked by the program itself and by nobody else. A process that has POSIX locks has a POSIX mark,
 * which goes when it closes any descriptor of the file, and when it ends; an open file with flock
 * or OFD locks has an OFD mark, which goes with its last descriptor, and shows in /proc/PID/fdinfo
 * by which descriptor of whom it is meant. So the kernel says when the server has to be told.
 *
 * state of a locker | what it is
 * ------------------|--------------------------------------------------------------------------
 * new               | a call asks the server for its first lock; no mark yet
 * marked            | the program has a mark (or cannot be made to set one: it is looked for)
 * left              | the mark is gone, or the first call got nothing: its locks are taken back
 * dropped           | the server has answered that; freed when no call uses it any more
 */
#ifndef PF_RUN_LOCKS_H
#define PF_RUN_LOCKS_H

#include "run/internal.h"

/* Marks are from here on; what is locked at a server ends before, where it could meet one. */
#define MARKS ((off_t)1 << 62)

struct locker {
	struct pf__list link; /* run->lockers; run->lockers_lock, as all that follows */
	struct object *o;     /* referenced; constant, as the next five */
	bool process;         /* with POSIX locks; else an open file, with flock and OFD locks */
	pid_t tid, tgid;      /* who asked first */
	int fd;               /* by which descriptor */
	off_t mark;
	uint64_t owner;   /* what the server knows a process by */
	int probe;        /* where marks are looked for, if not in o->fd; -1 */
	unsigned users;   /* calls under way */
	unsigned marking; /* of them, programs that set the mark just now */
	bool marked, unmarkable, left;
	_Atomic bool tried;     /* the server was asked for a lock */
	_Atomic unsigned calls; /* for a lock, or the end of one */
	_Atomic unsigned kinds; /* LOCKS_* that it has had */
	_Atomic bool dropped;
	struct pf_file *files[2]; /* opened at the server for it: may read, may write; the same */
};

enum { LOCKS_FLOCK = 1, LOCKS_RECORDS = 2 };

/* What /proc says of a descriptor. */
struct descriptor {
	int fd, flags;
	off_t pos, mark; /* mark 0: it has none */
};
int descriptor_read(const struct pf__call *call, int fd, struct descriptor *d);

/* The locker that the caller is by this descriptor of o: an old one, or with `make` a new one.
 * *l stays until locker_put(). 0; -ENOENT: there is none; -ENOMEM. */
int locker_of(struct job *j, struct object *o, const struct descriptor *d, bool process, bool make,
	      struct locker **l);
void locker_put(struct locker *l);
/* What it has open at the server, for reading or for writing; opened when there is need. */
int locker_file(struct job *j, struct locker *l, int accmode, struct pf_file **file);
/* Answers the call with 0 if the program has the mark (now), or as it must be. Is it there? */
bool locker_mark(struct job *j, struct locker *l, const struct descriptor *d);
/* Answers the call with 0; the mark goes. */
void locker_unmark(struct job *j, struct locker *l, const struct descriptor *d);
/* Does the kernel still know it? */
bool locker_lives(struct locker *l);
/* Wait until locks of o that were lost are given back, so that nobody meets them. 0, -EINTR. */
int locks_await(struct job *j, struct object *o);

/* ---- lock_wait.c: who waits for a lock */

struct lock_wait {
	struct pf__list link; /* run->waits; run->waits_lock, as the rest */
	const struct pf__call *call;
	struct pf_fs *view; /* whose call it is */
	pid_t tgid;
	bool interrupted; /* by a signal */
	bool certain;     /* which is this thread's to handle */
	bool gone;        /* the caller */
	bool told;        /* the server, or who keeps the locks here */
	bool answered;    /* the caller has his answer already */
	unsigned seen;    /* how often in a row a signal was there that may be another thread's */
	int64_t since;
};
/* From here on signals of the caller interrupt the calls through view. 0; -ENOLCK: too many wait.
 */
int lock_wait_begin(struct pf__run *r, struct lock_wait *w, const struct pf__call *call,
		    struct pf_fs *view, pid_t tgid);
/* result: of the call that waited. What the caller gets; ANSWERED: nothing any more. */
int64_t lock_wait_end(struct pf__run *r, struct lock_wait *w, int64_t result);

/* ---- lock_data.c: what is held in memory, and others who have the lock */

/* A lock was granted: what others wrote meanwhile is seen. file: what it was granted by. */
void lock_data_took(struct job *j, struct object *o, struct pf_file *file);
/* A lock ends: what was written under it goes first. */
void lock_data_ends(struct object *o);

#endif
