/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One mounted file system: its connection, its caches, the options it was mounted with; and the
 * views of it as single callers (struct pf_fs). Knows nothing of how a server was started.
 */
#ifndef PF_VFS_SUPER_H
#define PF_VFS_SUPER_H

#include "base/list.h"
#include "base/lock.h"
#include "cache/inode.h"
#include "conn/conn.h"
#include "io/io.h"
#include <portfire/portfire.h>

/* The mount options, ours and those the server asked for, joined (vfs/mountopt.c is the one
 * parser). */
struct pf__mount_options {
	bool default_permissions, allow_other, read_only;
	uint32_t rootmode; /* S_IFMT bits, S_IFDIR unless told */
	uid_t user_id;     /* the mount's owner: rule E1 */
	gid_t group_id;
	uint32_t max_read; /* 0 no limit; floor 4096 */
	char fsname[256], subtype[64];
};
/* The options as given by a program built against perhaps another version of the header. NULL gives
 * the defaults. 0 or -EINVAL. */
int pf__options_read(struct pf_options *to, const struct pf_options *from);
int pf__mount_options_parse(struct pf__mount_options *o, const char *text);

/* Who hangs below a super: the launcher, told when the file system ends. */
struct pf__owner_ops {
	/* After DESTROY, before the hang-up: what the server says from now on is of no interest. */
	void (*hanging_up)(void *owner);
	/* After DESTROY and hang-up: end the server, wait for it. 0 or negative errno. */
	int (*stop)(void *owner);
	const char *(*mountpoint)(void *owner);
	pid_t (*server_pid)(void *owner);
	/* Where the server registers backing files, the owner's; asked for once, before INIT. NULL:
	 * it cannot, and passthrough is not offered. */
	struct pf__backings *(*backings)(void *owner);
	/* A sentence why the server is gone ("squashfuse exited with status 1: ..."), or NULL. */
	const char *(*obituary)(void *owner);
};

struct pf__locks; /* vfs/locks.c: local POSIX and flock locks */
struct pf__aio;   /* vfs/aio.c: asynchronous calls and their threads */
struct pf__polls; /* vfs/poll.c: who waits for NOTIFY_POLL */

struct pf__super {
	struct pf__conn *conn;
	struct pf__cache *cache;
	const struct pf__init_got *got; /* of conn */
	struct pf__mount_options mount;
	bool default_permissions; /* the option, or implied by POSIX_ACL */
	uint32_t max_read;     /* bytes of one READ: max_read, max_pages, the transport's limit */
	uint32_t max_write;    /* bytes of one WRITE: as negotiated and max_pages */
	uint64_t owner_key[2]; /* scrambles lock owners */
	const struct pf__owner_ops *owner_ops; /* NULL: attached */
	void *owner;
	_Atomic int refs; /* the root view, views, open files */
	struct pf__locks *locks;
	struct pf__polls *polls;
	struct pf__aio *_Atomic aio;  /* made by the first asynchronous call */
	bool no_threads;              /* the option no_service_thread */
	struct pf__mutex lock;        /* PF_RANK_SUPER: files, gate_waiters, turns */
	struct pf__list files;        /* struct pf__open_file.link */
	struct pf__list gate_waiters; /* vfs/turn.c; under lock */
	struct pf__list turns;        /* struct pf__turn.link; the same */
	unsigned turn_waiters;        /* the same */
	_Atomic uint32_t turns_ended; /* a futex: changes when one ends and somebody waits */
	_Atomic uint64_t next_kh;
	dev_t dev; /* st_dev of its files: another one for each file system of the process */
	_Atomic uint64_t next_group;
	_Atomic bool stopped;          /* pf_stop() has ended it: conn and cache are gone */
	const char *transport;         /* its name, for pf_info() */
	size_t max_reply;              /* bytes of a reply's body that the transport carries */
	struct pf__io *io;             /* file data */
	struct pf__backings *backings; /* a reference; NULL: none */
	_Atomic uint64_t fsize_limit;  /* RLIMIT_FSIZE, when last asked for */
};

/* A view. The root view belongs to pf_start()/pf_attach(). */
struct pf_fs {
	struct pf__super *super;
	struct pf_caller caller; /* groups, context: owned copies. self: looked up at each call */
	const void *group;       /* of pf__req: this view and the files opened through it */
	bool is_root_view;
	bool self;   /* acts as the process itself: uid, gid, pid and groups are asked for at use */
	bool opener; /* an open file's: uid and gid are those at the open, as in the kernel */
	bool no_links; /* of pf__view_of() */
};

/* The caller of one call, resolved. */
struct pf__caller {
	const struct pf_caller *who;
	struct pf__cred cred;
	const void *group; /* for pf_interrupt(): the view */
	bool cap_override; /* may override permissions (uid 0 and not unprivileged) */
	bool self;         /* the process itself: who does not tell the groups */
	bool no_links;     /* the walk leaves symlinks to who called: -PF_ELINK */
	struct pf__super *super;
};

/* Attach: what pf_attach(), pf_attach_inproc() and pf_start() share. Takes over t and owner, on
 * failure too. mount_options: those of the server (may be NULL), joined to options'. */
int pf__super_open(struct pf_fs **fs, struct pf__transport *t, const struct pf_options *options,
		   const char *mount_options, const struct pf__owner_ops *owner_ops, void *owner);
/* A transport over fd with options' tick; then trace and faults as options say. Takes over fd. */
int pf__super_transport(struct pf__transport **t, int fd, size_t peer_sndbuf,
			const struct pf_options *options);

void pf__super_get(struct pf__super *s);
void pf__super_put(struct pf__super *s);

/* Fill in the caller of a call made through fs. Cheap. */
void pf__caller_of(const struct pf_fs *fs, struct pf__caller *c);
/* A request with opcode, nodeid and the caller's credentials, the rest zero. */
void pf__req_init(struct pf__req *r, const struct pf__caller *c, uint32_t opcode, uint64_t nodeid);
/* Rule E1: may this caller use the file system at all? 0 or -EACCES. */
int pf__caller_allowed(const struct pf__super *s, const struct pf__caller *c);
bool pf__caller_in_group(const struct pf__caller *c, gid_t gid);
mode_t pf__caller_umask(const struct pf__caller *c);
/* Its lock owner as the server sees it. */
uint64_t pf__caller_lock_owner(const struct pf__caller *c);
/*
 * A light view that borrows caller (its groups too) and counts nothing: for one call, or for as
 * long as both live. Its calls follow no symbolic link: where a path leads over one they fail with
 * -PF_ELINK, for who knows a larger tree than this file system.
 */
#define PF_ELINK 4095
void pf__view_of(struct pf_fs *view, const struct pf_fs *fs, const struct pf_caller *caller);
/* A view with the same caller as from, with copies of its own (to be dropped); super is not
 * counted. */
int pf__view_copy(struct pf_fs *to, const struct pf_fs *from);
void pf__view_drop(struct pf_fs *view);
/* The 64-bit id that the server sees for a lock owner (of a caller, or of an open file). */
uint64_t pf__lock_owner_id(const struct pf__super *s, uint64_t owner);

#endif
