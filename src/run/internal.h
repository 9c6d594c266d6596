/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of src/run/ share.
 *
 * A trapped call goes: calls.c (the table: which call has its path, descriptor and flags where) ->
 * resolve.c (where does the path lead?) -> outside: the kernel does the call, or does it with the
 * path that we found (redirect.c); inside: a handler of call_*.c answers from libportfire.
 *
 * What a program holds open of a file system is an object (object.c): a stand-in that the kernel
 * knows (a memfd with the file's data, an empty private directory), found again by its device and
 * inode number, behind which stands an inode of the library.
 *
 * Locks, in the order in which they are taken; none but the first three is held across a request to
 * a server: a placeholder's obj->lock (its position); run->turns; obj->lock; run->mounts_lock;
 * run->objects_lock; run->who_lock, run->number_lock, run->disk_lock.
 */
#ifndef PF_RUN_INTERNAL_H
#define PF_RUN_INTERNAL_H

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "launch/device.h"
#include "run/run.h"
#include "run/shared.h"
#include "vfs/super.h"
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

/* ---- mounts ---------------------------------------------------------------------------------- */

enum mount_state { MOUNT_STARTING, MOUNT_READY, MOUNT_FAILED };

/* One file system that the run shows. Referenced. */
struct mount {
	struct pf__list link; /* run->mounts; run->mounts_lock */
	_Atomic int refs;
	struct pf__run *run;
	char *point; /* absolute, canonical, without a slash at its end */
	size_t len;  /* of point */
	unsigned id; /* in mountinfo */
	bool inside; /* mounted by a program of the run: ours to stop */
	ino_t peer_ino;
	char *source, *type, *options; /* for mountinfo */
	bool read_only;
	pthread_mutex_t lock;
	pthread_cond_t ready;
	enum mount_state state;   /* lock */
	struct pf_fs *_Atomic fs; /* once READY */
	struct pf__device_mount *pending;
	bool ended;         /* lock: unmounted, or being so */
	_Atomic bool shown; /* shared.c: its cache knows the table */
};

/* The mount that owns the canonical path (the longest that is a prefix of it), referenced; NULL:
 * none. *exact (may be NULL): the path is its mountpoint. */
struct mount *mount_of(struct pf__run *r, const char *path, size_t len, bool *exact);
/* Ready to serve? Waits for INIT. 0 or -ENOTCONN. */
int mount_wait(struct mount *m);
struct mount *mount_get(struct mount *m);
void mount_put(struct mount *m);
void mounts_sync(struct pf__run *r); /* FUSE_SYNCFS to all */
bool mounts_any(struct pf__run *r);
extern const struct pf__device_ops run_device_ops;
/* umount2() of a canonical path by caller. 0; 1 it is not mounted any more, which its server need
 * not know; -EINVAL not ours, -EBUSY. */
int mount_end(struct pf__run *r, const char *path, int flags, pid_t caller);
/* The text of mountinfo ("mountinfo") or of mounts ("mounts") with ours behind the kernel's of that
 * process: a memfd or negative errno. */
int mount_table(struct pf__run *r, pid_t tgid, const char *kind);

/* ---- who calls ------------------------------------------------------------------------------- */

struct object;

/* One thread of a program, as it was when it last called. Referenced. */
struct who {
	struct pf__list link; /* run->who_lock */
	_Atomic int refs;
	pid_t tid, tgid;
	int64_t checked; /* ms: read from /proc then */
	unsigned gen;    /* run->creds_gen then */
	uid_t uid;       /* real ones, for access(2) */
	gid_t gid;
	struct pf_caller caller;
	gid_t *groups;
	struct { /* its working directory; run->who_lock */
		bool known;
		unsigned gen;
		int64_t checked;
		struct object *dir; /* one of ours, referenced; else */
		char *path;         /* what the kernel calls it */
	} cwd;
};

/* The caller of this call. NULL: gone. */
struct who *who_of(struct pf__run *r, const struct pf__call *call);
void who_put(struct pf__run *r, struct who *w);
/* Its working directory: an object (referenced), or a path in buf. 0 or negative errno. */
int who_cwd(struct pf__run *r, struct who *w, struct object **dir, char *buf, size_t size);
/* Credentials, working directories change: what is known of them is void. */
void who_creds_change(struct pf__run *r);
void who_cwd_changes(struct pf__run *r);
/* Nothing holds on to directories any more. */
void who_forget_cwds(struct pf__run *r);
void who_free_all(struct pf__run *r);

/* ---- objects --------------------------------------------------------------------------------- */

enum object_kind { OBJECT_FILE, OBJECT_DIR, OBJECT_OTHER };

struct object {
	struct pf__list by_id, by_inode, by_watch[2], all; /* run->objects_lock */
	_Atomic int refs;
	struct pf__run *run;
	struct mount *m;
	enum object_kind kind;
	const void *inode; /* the library's; alive while handle is open */
	dev_t dev;         /* of the stand-in */
	ino_t ino;
	char *path;              /* canonical, in the whole tree; run->objects_lock */
	_Atomic bool gone;       /* path is no more; the same */
	unsigned private_number; /* of the private directory */
	_Atomic unsigned marked; /* by the sweep that saw it in use last */
	_Atomic int64_t used;    /* ms; when it was last given out */

	pthread_mutex_t lock;   /* the following ones */
	struct pf_file *handle; /* O_PATH, as the one who came first */
	int fd;                 /* the stand-in: O_RDONLY of the memfd, O_PATH of the directory */
	/* files */
	int fresh;              /* what the memfd was made by, until it is filled: may write; -1 */
	_Atomic bool held;      /* the memfd has the data */
	_Atomic int holders;    /* who are about to fill it */
	_Atomic bool written;   /* it was given out for writing and may differ */
	_Atomic bool as_path;   /* given out as O_PATH, which leases do not see */
	bool on_disk;           /* the stand-in is a file without a name (disk.c) */
	_Atomic bool mappable;  /* it was given out for reading, by which it may be mapped */
	_Atomic bool sealed;    /* it takes no more (limit.c) */
	bool kept;              /* it is the file in which its data is kept (flush.c) */
	bool aside;             /* further opens get another object; run->objects_lock */
	uint64_t in_memory;     /* bytes, of one that is held for reading */
	bool exec;              /* has a name to be executed by */
	bool native;            /* the stand-in is the file that its server passes through to */
	_Atomic bool unwritten; /* native: nobody has it open for writing any more */
	_Atomic unsigned marked_writing; /* native: as marked, for writing */
	int watch[2];                    /* inotify's, of readers and writers; -1 */
	struct pf_file *reader;          /* keep the file open at the server */
	struct pf_file *writer;          /* and take what was written */
	int base;                        /* what the server has of a written file (base.c); -1 */
	size_t base_size;
	bool base_lost;               /* its sums could not be kept */
	int64_t compare_next;         /* ms; when the timer may look through all of it again */
	struct timespec mtime, ctime; /* the server's, when what is held was compared to it last */
	off_t known_size;             /* and its size; what has the same is the same, */
	bool known;                   /* if so: its times were not too new to tell */
	/* What hold_time() says of the mtime that the server has; stat() looks without the lock. */
	_Atomic uint64_t sent_mtime;
	_Atomic bool seen;   /* programs know of an mtime that the server has not */
	bool sent;           /* data after that, which gave it another time there */
	_Atomic int error;   /* of writing back, until fsync or rename tells it */
	off_t compared_size; /* when all of it was compared last */
	struct timespec compared_mtime;
	struct pf__list closing; /* run->closing; run->flush_lock */
	_Atomic bool is_closing; /* it is in there, and that has a reference */
	int64_t told;            /* ms; of a close; the same */
	int64_t settling;        /* ms; somebody does since then; 0: nobody; the same */
	unsigned looked;         /* by this round of settle_all(); the same */
	unsigned round;          /* of flush_all(); run->objects_lock */
	/* placeholders (placeholder.c) */
	struct pf_file *through; /* what is read and written; NULL: it is none; constant */
	_Atomic int real;        /* what it has become: an open file of what is held; -1 */
	_Atomic bool over;       /* nobody has it open any more */
	_Atomic bool wrote;      /* a program by it, to the server */
	_Atomic bool strangers;  /* others, or we, close the stand-in too: closes tell less */
	/* directories */
	_Atomic bool
	    worked_in; /* it may be somebody's working directory, of which no event tells */
	_Atomic bool to_work_in; /* made for chdir(), and never listed */
	struct pf_file *listing; /* being read */
	uint64_t listing_at;
	uint64_t *far; /* cookies that are no positions (call_dir.c) */
	unsigned nfar;
};

int objects_open(struct pf__run *r);
void objects_close(struct pf__run *r);
/* private.c. 0 or negative errno; a directory in it with nothing but files in it. */
int private_open(struct pf__run *r);
void private_close(struct pf__run *r);
void private_remove(int dir, const char *name);
/* The object that a stand-in belongs to, referenced; NULL: none of ours. */
struct object *object_by_id(struct pf__run *r, dev_t dev, ino_t ino);
struct object *object_by_inode(struct pf__run *r, const void *inode);
/* work: for a working directory, which there shall be room for when there is none else.
 * The object of what file is open on (file is only looked at), at that canonical path. 0 or errno.
 */
int object_of_file(struct pf__run *r, struct mount *m, struct pf_file *file, const char *path,
		   bool work, struct object **o);
/* One to work in, which others may do already. */
int object_of_directory(struct pf__run *r, struct mount *m, struct pf_file *file, const char *path,
			struct object **o);
/* The object behind the caller's descriptor, or /proc/TID/NAME, referenced; NULL. */
struct object *object_of_fd(struct pf__run *r, const struct pf__call *call, int fd);
struct object *object_of_proc(struct pf__run *r, pid_t tid, const char *name);
/* Let inotify tell when it is closed, by who reads or who writes. Under o->lock. */
void object_watch(struct object *o, bool writes);
struct object *object_by_watch(struct pf__run *r, bool writes, int watch);
void object_put(struct object *o);
/* Its path as it is now. 0, or -ENOENT: it has none any more; buf has the last one. */
int object_path(struct object *o, char *buf, size_t size);
/* Names have changed: a rename, a removal. */
void objects_renamed(struct pf__run *r, const char *from, const char *to);
void objects_exchanged(struct pf__run *r, const char *from, const char *to);
void objects_removed(struct pf__run *r, const char *path);
void objects_linked(struct object *o, const char *path);
/* No further one can be made, none opened for writing. */
bool objects_full(const struct pf__run *r);
/* Forget it, if nobody but the caller, whose reference goes, has it. */
void object_drop(struct object *o);
/* Forget those that nobody has open. m: of that mount alone, NULL: all. How many are left. */
unsigned objects_sweep(struct pf__run *r, struct mount *m);

/* ---- what stands for a regular file (stand_in.c) --------------------------------------------- */

/* For an object that is made for file. empty: a placeholder. 0 or negative errno. */
int stand_in_make(struct object *o, struct pf_file *file, bool empty);
void stand_in_free(struct object *o);
/* Is it of no use to who has opened file (it is in memory and will be written to, say), and does
 * nobody have it? Then the next one gets another object. The reference goes if so. */
bool stand_in_set_aside(struct object *o, struct pf_file *file);
/* The same for who executes it, of a disk where nothing runs. 0, 1: set aside, or -ETXTBSY. */
int stand_in_for_exec(struct object *o);

/* The object of what file is open on by passthrough. 0 or errno. */
int object_of_native(struct pf__run *r, struct mount *m, struct pf_file *file, const char *path,
		     struct object **o);
/* For native.c: a new one, with two references, made for: */
#define FOR_WORK        (1u << 0) /* a working directory */
#define FOR_PLACEHOLDER (1u << 1)
#define FOR_NATIVE      (1u << 2)
struct object *object_new(struct pf__run *r, struct mount *m, struct pf_file *file,
			  const char *path, unsigned what, int *err);
void object_free(struct object *o); /* nobody else knows it */
/* Into all lists and out of them, under objects_lock. */
void object_enter(struct pf__run *r, struct object *o);
void object_leave(struct pf__run *r, struct object *o);
struct pf__list *objects_of_inode(struct pf__run *r, const void *inode); /* by their by_inode */
void objects_make_room(struct pf__run *r); /* no further one can be had: some may be nobody's */
/* The object of a new placeholder for file, which it takes over. 0 or errno. */
int object_of_placeholder(struct pf__run *r, struct mount *m, struct pf_file *file,
			  const char *path, struct object **o);
bool placeholder_exists(struct pf__run *r, const void *inode);
/* in_use.c: those that any process has open, or stands in, have o->marked == r->sweep, until
 * objects_marked(). False: nobody knows. */
bool objects_mark(struct pf__run *r);
void objects_marked(void);
bool object_is_open(const struct object *o); /* by any process */
void object_undo(struct object *o); /* it was not given out: the caller has the file back */

/* ---- files that are passed through (native.c) ------------------------------------------------ */

/* Shall a program that opens file with these flags get the backing file? */
bool native_wanted(const struct pf_file *file, int flags);
/* A descriptor of it to be given out; negative errno: only its server may open it so. */
int native_open(const struct pf_file *file, int flags);
int native_reopen(struct object *o, int flags); /* another of one that has no name */
/* Referenced; NULL. The first under objects_lock; st: it has to be that backing file. */
struct object *native_find(struct pf__run *r, const void *inode, const struct stat *st);
struct object *native_by_inode(struct pf__run *r, const void *inode);
/* Is /proc/TID/NAME ("fd/N") a descriptor that was given out, rather than another of the file? */
bool native_is_given(pid_t tid, const char *name);
/* The same for the sweep: o is in use. */
void native_mark(struct object *o, pid_t tid, const char *name);
/* For the flush thread: what was closed is closed at the server, too. In how many ms to come back.
 */
int native_settle(struct pf__run *r);
/* No further object can be had: wait a little for those that were closed. */
void native_make_room(struct pf__run *r);
/* Has any program this open for writing? */
bool native_is_written(struct pf__run *r, const void *inode);

/* ---- files held in memory (hold.c, flush.c) -------------------------------------------------- */

/* Fill the stand-in, or bring it up to date; file is open at the server for reading, or was just
 * truncated. Under o->lock. */
int hold_fill(struct object *o, const struct pf__call *call, struct pf_file *file, bool truncated);
/* What a descriptor of ours is open on, opened anew, close-on-exec. Negative errno. */
int fd_reopen(int fd, int flags);
static inline bool is_zero(const char *p, size_t n) /* at least one byte */
{
	return *p == '\0' && memcmp(p, p + 1, n - 1) == 0;
}
/* A descriptor of the stand-in with these open flags. */
int hold_reopen(const struct object *o, int flags);
bool hold_has_writers(const struct object *o);
bool hold_in_use(const struct object *o);
/* Before it is given out for writing: from now on what differs goes to the server. Under o->lock.
 */
int flush_begin(struct object *o);
/* It has allocated or punched. */
void flush_allocated(struct object *o, int mode, off_t offset, off_t length);
void base_close(struct object *o);
/* The server has cut it to length itself. The same. */
void flush_truncated(struct object *o, size_t length);
/* Send what differs. Under o->lock. 0 or negative errno. */
int flush_object(struct object *o);
int flush_changed(struct object *o); /* the same, unless it seems that nothing was written */
/* If nobody has it open any more, or nobody for writing: send, release. Not under o->lock. */
bool flush_if_closed(struct object *o); /* is it still open? */
/* Those that were closed: send, release, forget. Drains what inotify has told. */
void flush_closed(struct pf__run *r);
/* Of one mount (NULL: of all), without their locks. */
void flush_closed_at(struct pf__run *r, const struct mount *m);
/* The same, at each call: not for long when another does it. */
void flush_closed_quick(struct pf__run *r);
void flush_closed_for_names(struct pf__run *r);
/* 0, or the first error. */
int flush_all(struct pf__run *r, struct mount *m);
/* Has nobody read it since it was filled? So the time of the last access is what it was before. */
bool hold_unread(const struct object *o);
/* A time in one word, to be compared. */
static inline uint64_t hold_time(struct timespec t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
/* size, blocks and mtime of a file that programs may have written to. */
void hold_overlay(struct object *o, struct stat *st);
/* Is anything held that may differ from what the server has? */
bool hold_any_written(struct pf__run *r);
int flush_thread_start(struct pf__run *r);
/* A descriptor is given out: from the first one on closes are looked for. */
void flush_given(struct pf__run *r);
void flush_thread_stop(struct pf__run *r);

struct job;

/* ---- locks at servers (locks.h) -------------------------------------------------------------- */

/* Take back those whose programs have lost them, and forget who they were. */
void locks_settle(struct pf__run *r);
void locks_settle_now(struct pf__run *r); /* and wait for it, but not for long */
/* The same of all, waiting for the servers: no program is left. */
void locks_close(struct pf__run *r);
void lock_waits_stop(struct pf__run *r);
bool is_lock(const struct pf__call *call);
/* The caller's descriptor is no placeholder. */
int64_t do_lock(struct job *j);
/* What is held of o is what the server has, of which it has said this. Under o->lock. */
void lock_data_is(struct object *o, const struct stat *st);

/* ---- keep.c ---------------------------------------------------------------------------------- */

/* What o holds could not be written back, because of why: the user is told where it is now. Under
 * o->lock. */
void keep_held(struct object *o, int why);
/* Where data begins at or after at, in a file that ends at end: blocks. */
off_t next_data(int fd, off_t at, off_t end);

/* ---- files without a name (disk.c), and how much memory the others take (limit.c) ------------ */

#define SPARES 32 /* that are kept to be used again */

struct held_disk {
	int dir; /* -1: there is none that will do */
	const char *path;
	dev_t dev;
	uint64_t most;      /* bytes of a file */
	bool sees_mappings; /* leases tell of them */
	bool runs;          /* it is not mounted noexec */
};

void disk_init(struct pf__run *r);
void disk_close(struct pf__run *r);
/* An empty file that may be read and written. Negative errno: there is no disk, or no room. */
int disk_take(struct pf__run *r);
/* Such a file is not needed any more, and nobody else has it open. */
void disk_give(struct pf__run *r, int fd);
bool disk_can(struct pf__run *r, uint64_t size); /* have a file of so many bytes */
bool disk_runs(struct pf__run *r);               /* programs, from it; false: or there is none */
bool disk_has_room(struct pf__run *r);
/* Is it mapped where leases do not tell? writable: by who may write to it. */
bool disk_is_mapped(const struct object *o, bool writable);
/* Do programs' files take too much of it? Every few milliseconds. */
void limit_look(struct pf__run *r);

/* ---- patience.c ------------------------------------------------------------------------------ */

struct patience {
	struct pf__run *r;
	const struct mount *m;
	unsigned ms;
	bool gives_up, told, given_up, runs;
	int wake;
	unsigned long thread;
};
/*
 * Until patience_end(), while the caller waits for m's server (NULL: all): when nothing was
 * answered for ms, say so, or give up, so that what waits for an answer fails; the latter anyway
 * when the user asks for an end. With mounts_lock not held.
 */
void patience_begin(struct patience *p, struct pf__run *r, const struct mount *m, unsigned ms,
		    bool gives_up);
void patience_end(struct patience *p);

/* ---- where a path leads ---------------------------------------------------------------------- */

struct place {
	struct mount *m;     /* referenced; NULL: outside */
	struct object *o;    /* referenced; named by a descriptor: path is "" or what it was */
	bool detour;         /* outside, but the kernel would not find the way */
	int error;           /* outside: what the kernel will say; 0: who knows */
	bool magic;          /* /proc/.../fd/N and the like of our object o */
	bool fleeting;       /* by a link in /proc, which leads here now and there then */
	char path[PATH_MAX]; /* canonical but for a last link that is not followed */
};

/* One trapped call on its way. */
struct job {
	struct pf__run *r;
	struct pf__call *call;
	struct who *who;        /* job_who() */
	uint32_t places, shown; /* job_begin(): the run's, when it came */
	struct mount *view_of;  /* whose view it is; not referenced */
	struct pf_fs view;      /* as the caller */
};

#define PLACE_FOLLOW  (1u << 0)
#define PLACE_EMPTY   (1u << 1) /* "" is the descriptor itself */
#define PLACE_CAREFUL (1u << 2) /* look at each component: the quick way met a symlink */
#define PLACE_NAMED   (1u << 3) /* the walk's own: a name was passed, ".." is not simple any more */

int place_find(struct job *j, int dirfd, const char *path, unsigned flags, struct place *p);
void place_clear(struct place *p);
/* The path within its file system. */
static inline const char *place_inside(const struct place *p)
{
	return p->path[p->m->len] ? p->path + p->m->len : "/";
}
/* Is it /proc/PID/fd/N, /proc/PID/cwd, root or exe (or of a task)? The pid, and "fd/N" in *name; 0.
 */
pid_t place_magic(const char *path, const char **name);
/* What is remembered of paths is void (a link was made, something renamed or mounted). */
void places_change(struct pf__run *r);
/* Is it known that this path leads nowhere near? Quick. */
bool place_known_outside(struct job *j, const char *path, size_t len, bool follow);
/* path is relative to dirfd, if it is relative at all. */
void place_know_outside(struct job *j, int dirfd, const char *path, size_t len, bool follow);
/* Nothing has changed in the last moments. */
bool places_settled(struct pf__run *r);

/* What it finds may be shown only as long as nothing changes from now on. */
void job_begin(struct job *j);
/* Who calls, asked for when it is needed; NULL: gone. */
struct who *job_who(struct job *j);
/* Set up j->view for calls as the caller. 0 or negative errno. */
int job_view(struct job *j, struct mount *m);
void job_end(struct job *j);

/* ---- shared.c: what programs may see ----------------------------------------------------------
 */

int shared_open(struct pf__run *r);
/* Before the first process is started: their calls from PF_PASS_PAGE pass. */
void shared_pass(struct pf__run *r);
void shared_close(struct pf__run *r);
/* A descriptor of it for a program, or negative errno: no program wants it. */
int shared_give(struct pf__run *r);
/* A file is given out for writing (1), or what was written is at the server (-1). */
void shared_busy(struct pf__run *r, int n);
/* The mount ends: its file system may live on. */
void shared_hide(struct mount *m);
/* Show what is cached of the canonical path (of m), that was just looked at. */
void shared_show(struct job *j, struct mount *m, const char *path);
/* Show a file of which a program gets a descriptor, for fstat(). */
void shared_show_held(struct job *j, struct object *o);
/* Show the names of a directory: as shared_show() for each. False: not now. */
bool shared_show_begin(struct job *j, struct object *dir, struct pf__showing *s, char *path);
void shared_show_name(struct job *j, const struct pf__showing *s, char *path, const char *name,
		      size_t n);

/* ---- preloaded.c: the library of src/preload/ ------------------------------------------------ */

#define PF_PRELOAD_MAX 32768 /* of the value of LD_PRELOAD that we understand */

/* A program's environment without the library. */
struct environment {
	uint64_t *entry; /* addresses in the caller, n of them; NULL: nothing has to be changed */
	size_t n;
	char *words; /* what entry[index] says instead; NULL: all are the caller's */
	size_t index;
};

/* May a program, open as fd, have the library? Also when it would not load it. */
bool preload_suits(int fd);
/* Does the caller see the library from where it is? */
bool preload_is_seen(struct job *j);
/* 1, and env is to be freed; 0 the environment does not have it; or negative errno. */
int environment_without(const struct job *j, uint64_t envp, struct environment *env);
void environment_free(struct environment *env);

/* ---- placeholder.c --------------------------------------------------------------------------- */

#define PLACEHOLDERS 256u /* numbers; a power of two */

/* The first of the numbers; 0: the limit of descriptors leaves no room for them. */
unsigned placeholder_first(void);
/* Is it one of the numbers? */
#define placeholder_may_be(r, number)                                                              \
	((r)->first_number && ((unsigned)(number) & ~(PLACEHOLDERS - 1)) == (r)->first_number)
/* Give the caller fd as one of them, not below least: its number, -EMFILE or another errno. */
int placeholder_number(struct job *j, int fd, unsigned least, bool cloexec);
/* Shall what was opened as file with these flags get a placeholder? */
bool placeholder_wanted(struct pf__run *r, struct pf_file *file, int flags);
/* An open file that stands for it, to be given out once. */
int placeholder_open(const struct object *o);
/* From now on o->real is what it is. 0 or negative errno. */
int placeholder_become_real(struct job *j, struct object *o);
/* The same if the file is held by somebody. */
int placeholder_follow(struct job *j, struct object *o);
/* The same; and if there is no error it stays as it is (o->real) until the end. */
int placeholder_begin(struct job *j, struct object *o);
void placeholder_end(struct job *j, struct object *o);
/* The same of two; -EAGAIN: one is held. */
int placeholder_begin_both(struct job *j, struct object *a, struct object *b);
void placeholder_end_both(struct job *j, struct object *a, struct object *b);
/* To be had for writing by who opens a file of placeholders to hold it. */
pthread_rwlock_t *placeholder_turn(struct pf__run *r, const void *inode);
/* The same, and the caller's descriptor is the real one. */
int placeholder_replace(struct job *j, struct object *o, int number);
/* object_put() of what may be one that was closed meanwhile. NULL is fine. */
void placeholder_put(struct object *o);
/* The server's file, which nobody has open any more. */
void placeholder_close(struct object *o);

/* ---- redirect.c ------------------------------------------------------------------------------ */

/* Make the caller do its call with other paths: of args[index[i]], text[i]. Answers it. */
void redirect_paths(struct job *j, const unsigned *index, const char *const *text, unsigned n);
/* Make it change to the directory that fd is, and path. */
void redirect_chdir(struct job *j, int fd, const char *path);
/* pf__call_instead(), with a word to the user when it cannot be: "PATH cannot be DEED, because". */
void call_instead(struct job *j, const struct pf__inject *in, const char *deed, const char *path);

/* ---- handlers -------------------------------------------------------------------------------- */

/* A handler's answer is the call's result or negative errno; or one of these. */
#define ANSWERED INT64_MIN       /* it has answered the call itself */
#define CONTINUE (INT64_MIN + 1) /* let the kernel do it */
#define PASS     (INT64_MIN + 2) /* it is the device's */

struct spec;
/* p leads inside (p->m), or names an object (p->o too). */
typedef int64_t (*path_fn)(struct job *j, struct place *p, const struct spec *s);
/* The caller's descriptor is one of ours. */
typedef int64_t (*fd_fn)(struct job *j, struct object *o);

/* Where a call has what; -1: it has none. */
struct spec {
	int nr;
	path_fn path_fn;
	fd_fn fd_fn;
	pf__call_fn own_fn; /* does all itself */
	signed char dirfd, path, flags;
	unsigned how; /* HOW_* */
};
#define HOW_FOLLOW      (1u << 0)
#define HOW_NOFOLLOW_AT (1u << 1) /* AT_SYMLINK_NOFOLLOW among its flags: not, else it follows */
#define HOW_FOLLOW_AT   (1u << 2) /* AT_SYMLINK_FOLLOW: it does, else not */
#define HOW_EMPTY_AT    (1u << 3) /* AT_EMPTY_PATH */
#define HOW_NULL_FD     (1u << 4) /* without a path it is about the descriptor */
#define HOW_LINKS       (1u << 5) /* may make links elsewhere */
#define HOW_EMPTY       (1u << 7) /* "" is the descriptor */
#define HOW_CWD         (1u << 6) /* changes the working directory */

const struct pf__trap *run_traps(struct pf__run *r, size_t *n);
const struct spec *spec_of(int nr);
enum pf__call_end call_end(struct job *j, int64_t result);
/* What /proc says of the descriptor, as a string. False: nothing. */
bool fdinfo_read(const struct pf__call *call, int fd, char *text, size_t size);
/* The flags that a descriptor of the caller's was opened with; 0: it has none. */
int fd_flags(const struct pf__call *call, int fd);
int fdinfo_flags(const char *path); /* the same by its file in /proc/PID/fdinfo */
/* Without a mount, and with nothing of one in anybody's hands. */
bool nothing_is_ours(const struct pf__run *r);
/* The caller's path: its length, or negative errno. */
ssize_t job_read_path(struct job *j, uint64_t address, char *path);

int64_t on_stat(struct job *j, struct place *p, const struct spec *s);
int64_t on_fstat(struct job *j, struct object *o);
int64_t on_access(struct job *j, struct place *p, const struct spec *s);
int64_t on_readlink(struct job *j, struct place *p, const struct spec *s);
int64_t on_statfs(struct job *j, struct place *p, const struct spec *s);
int64_t on_fstatfs(struct job *j, struct object *o);
int64_t readlink_magic(struct job *j, struct object *o, uint64_t address, uint64_t size);
int64_t readlink_special(struct job *j, const struct place *p, const struct spec *s);
/* Outside, but with a part of ours. CONTINUE: no. */
int64_t open_special(struct job *j, const struct place *p, const struct spec *s);
/* What go-fuse opens before it serves. */
bool is_poll_hack(const struct place *p);
int open_flags(const struct pf__call *call);
int64_t on_open(struct job *j, struct place *p, const struct spec *s);
enum pf__call_end on_openat2(void *ctx, struct pf__call *call);
int last_dots(struct job *j, uint64_t address, const struct place *p);
int64_t on_mkdir(struct job *j, struct place *p, const struct spec *s);
int64_t on_mknod(struct job *j, struct place *p, const struct spec *s);
int64_t on_unlink(struct job *j, struct place *p, const struct spec *s);
int64_t on_chmod(struct job *j, struct place *p, const struct spec *s);
int64_t on_fchmod(struct job *j, struct object *o);
int64_t on_chown(struct job *j, struct place *p, const struct spec *s);
int64_t on_fchown(struct job *j, struct object *o);
int64_t on_utimens(struct job *j, struct place *p, const struct spec *s);
int64_t on_truncate(struct job *j, struct place *p, const struct spec *s);
int64_t on_ftruncate(struct job *j, struct object *o);
int64_t on_fallocate(struct job *j, struct object *o);
int64_t on_xattr(struct job *j, struct place *p, const struct spec *s);
int64_t on_fxattr(struct job *j, struct object *o);
int64_t on_chdir(struct job *j, struct place *p, const struct spec *s);
int64_t on_refuse(struct job *j, struct place *p, const struct spec *s);
int64_t on_symlink(struct job *j, struct place *p, const struct spec *s);
int64_t on_getdents(struct job *j, struct object *o);
int64_t on_fsync(struct job *j, struct object *o);
int64_t on_fd_refuse(struct job *j, struct object *o);
enum pf__call_end on_rename(void *ctx, struct pf__call *call);
enum pf__call_end on_link(void *ctx, struct pf__call *call);
enum pf__call_end on_sync(void *ctx, struct pf__call *call);
enum pf__call_end on_msync(void *ctx, struct pf__call *call);
enum pf__call_end on_getcwd(void *ctx, struct pf__call *call);
enum pf__call_end on_fchdir(void *ctx, struct pf__call *call);
enum pf__call_end on_creds(void *ctx, struct pf__call *call);
enum pf__call_end on_exec(void *ctx, struct pf__call *call);
enum pf__call_end on_umount(void *ctx, struct pf__call *call);
enum pf__call_end on_mount(void *ctx, struct pf__call *call);
enum pf__call_end on_bind(void *ctx, struct pf__call *call);
enum pf__call_end on_chroot(void *ctx, struct pf__call *call);
enum pf__call_end on_lease(void *ctx, struct pf__call *call);
enum pf__call_end on_placeholder(void *ctx, struct pf__call *call);
enum pf__call_end on_io_setup(void *ctx, struct pf__call *call);
/* The traps of all calls on placeholders, whose numbers begin with first: how many. */
size_t placeholder_traps(struct pf__trap *traps, size_t room, unsigned first);

/* ---- call_misc.c */
/* The caller executes fusermount, where mount(2) is forbidden. */
int64_t exec_fusermount(struct job *j);
/* ---- call_open.c */
/* Give the caller a descriptor of o. */
int64_t give_object(struct job *j, struct object *o, int flags);
/* An open file of what o holds, which is filled for that. Takes file over, by which it was opened
 * at the server. */
int held_fd(struct job *j, struct object *o, struct pf_file *file, int flags);
/* A descriptor of a directory's stand-in that can be handed on. */
int reopen_directory(const struct object *o, int flags);
/* A handle to fill a file by, also when the caller may not read it. */
int open_to_read(struct job *j, const struct place *p, struct pf_file **file);
/* What file is open on opened again with these flags, as the caller or who may. */
int open_once_more(struct job *j, struct pf_file *file, int flags, struct pf_file **out);
/* ---- call_stat.c */
int object_stat(struct job *j, struct object *o, struct stat *st);
/* Does a program run from it? (call_names.c) */
bool object_is_executed(const struct object *o);
/* A file that may be executed, filled. 0 or errno. */
int object_for_exec(struct job *j, struct place *p, struct object **o);

/* A mount that has ended lately, and who served it. */
struct former {
	char *point;
	pid_t server;
	int64_t when; /* ms */
};

#define OBJECT_BUCKETS 1024
#define TURNS          512

struct pf__run {
	struct pf__run_config config;
	struct pf_options options; /* for what is mounted inside */
	struct pf__supervisor *s;
	struct pf__devices *devices;
	uint64_t hold_bytes;      /* of one file in memory */
	uint64_t hold_total;      /* of all of them */
	_Atomic unsigned max_fds; /* that objects may have */
	pthread_mutex_t disk_lock;
	bool disk_looked;      /* for a directory; disk_lock, as the following */
	struct held_disk disk; /* constant from then on */
	int spare[SPARES];
	unsigned n_spare;
	int64_t disk_checked; /* ms; is there room? */
	bool disk_full;
	_Atomic unsigned n_in_memory;     /* objects that are written there */
	_Atomic uint64_t bytes_in_memory; /* of those that are read */
	pthread_rwlock_t mounts_lock;
	struct pf__list mounts;
	struct former former[16]; /* mounts_lock */
	unsigned next_former;
	_Atomic unsigned next_mount;
	unsigned mounting; /* threads that wait for INIT, or unmount; mounts_lock */
	pthread_mutex_t who_lock;
	struct pf__list who[256];
	unsigned n_who;
	_Atomic unsigned creds_gen;
	pthread_mutex_t objects_lock;
	struct pf__list by_id[OBJECT_BUCKETS], by_inode[OBJECT_BUCKETS];
	struct pf__list by_watch[2][OBJECT_BUCKETS], objects;
	_Atomic unsigned n_objects, sweep;
	_Atomic int64_t full_until; /* ms; no use to look for objects that nobody has */
	_Atomic unsigned given_dirs, n_written, round;
	char *private; /* where private directories are */
	int private_fd;
	_Atomic unsigned next_private;
	unsigned first_number; /* of placeholders; 0: there are none */
	pthread_mutex_t number_lock;
	pthread_rwlock_t turns[TURNS]; /* placeholder_turn() */
	unsigned next_number;
	_Atomic unsigned n_through; /* placeholders of files opened for writing */
	_Atomic bool uses_aio;      /* a program uses io_submit(2) */
	_Atomic unsigned n_native;  /* objects (native.c) */
	_Atomic bool native_told;   /* one was closed */
	int64_t native_next;        /* ms; the flush thread's */
	/* Of what was opened for reading, and of what for writing, which may not wait. */
	int inotify[2], flush_wake;
	_Atomic int64_t flush_since; /* ms; when flush_lock was taken last */
	_Atomic unsigned n_closing;
	struct pf__list closing;    /* those told of, until all is done; flush_lock */
	unsigned look;              /* rounds; flush_lock */
	pthread_cond_t settled;     /* one of closing was; flush_lock, CLOCK_MONOTONIC */
	pthread_mutex_t flush_lock; /* who drains inotify */
	unsigned long flush_thread;
	bool flush_running;
	struct pf__list lockers; /* locks.h */
	_Atomic unsigned n_lockers;
	_Atomic uint64_t next_locker;
	pthread_mutex_t lockers_lock;
	pthread_cond_t lockers_change; /* one was dropped; lockers_lock, CLOCK_MONOTONIC */
	struct pf__list waits;         /* for locks; waits_lock, as the rest */
	unsigned n_waits, n_waits_given;
	bool waits_run, waits_end;
	pthread_mutex_t waits_lock;
	pthread_cond_t waits_change; /* there are any, or it ends; CLOCK_MONOTONIC */
	unsigned long waits_thread;
	_Atomic bool ending;
	_Atomic bool said_untraceable;
	_Atomic unsigned lost; /* files whose data could not be written back */
	uint64_t seed;
	struct pf__shared *shared; /* what programs may see of it */
	char *preload_path;        /* the library by which they see it; NULL: there is none */
	bool preload_for_all;      /* every user may read it */
	int shared_fd;
};

void run_say(struct pf__run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int64_t run_now_ms(void);

#endif
