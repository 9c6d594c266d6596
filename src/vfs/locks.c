/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fcntl(2) record locks, OFD locks and flock(2): at the server when INIT agreed on it, else here
 * (vfs/localock.h). Directories are always locked here: the protocol has no locks for them.
 *
 * Nothing is remembered of locks at the server. It drops a process's with FLUSH and flock's with
 * the flag of RELEASE; OFD locks it cannot know to be over, so the last close takes them back.
 */
#include "base/errmsg.h"
#include "vfs/internal.h"
#include "vfs/localock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <unistd.h>

#define FLOCK_SINCE 17 /* minor: before, flock went with POSIX_LOCKS */

static bool gone(const void *ctx)
{
	return pf__conn_dead(ctx);
}

static bool posix_remote(const struct pf__open_file *of)
{
	return !of->is_dir && pf__conn_has(of->super->conn, FUSE_POSIX_LOCKS);
}

static bool flock_remote(const struct pf__open_file *of)
{
	uint64_t flag =
	    of->super->got->dialect.minor < FLOCK_SINCE ? FUSE_POSIX_LOCKS : FUSE_FLOCK_LOCKS;

	return !of->is_dir && pf__conn_has(of->super->conn, flag);
}

bool pf__locks_at_server(const struct pf_fs *fs)
{
	const struct pf__super *s = fs->super;

	return pf__conn_has(s->conn, FUSE_POSIX_LOCKS) ||
	       (s->got->dialect.minor >= FLOCK_SINCE && pf__conn_has(s->conn, FUSE_FLOCK_LOCKS));
}

static uint64_t file_owner(const struct pf__open_file *of)
{
	return pf__lock_owner_id(of->super, (uintptr_t)of);
}

/* ---- at the server */

static void lk_fill(struct fuse_lk_in *in, const struct pf__open_file *of,
		    const struct pf__lock *want)
{
	*in = (struct fuse_lk_in){.fh = of->io.fh,
				  .owner = want->owner,
				  .lk = {.start = want->start,
					 .end = want->end,
					 .type = (uint32_t)want->type,
					 .pid = want->type == F_UNLCK ? 0 : want->pid},
				  .lk_flags = want->kind == PF_LOCK_FLOCK ? FUSE_LK_FLOCK : 0};
}

static int remote_set(struct pf__open_file *of, const struct pf__from *f,
		      const struct pf__lock *want, bool wait)
{
	struct fuse_lk_in in;
	struct pf__req r;

	wait = wait && want->type != F_UNLCK;
	lk_fill(&in, of, want);
	pf__req_init(&r, &f->caller, wait ? FUSE_SETLKW : FUSE_SETLK, pf__inode_nodeid(of->inode));
	if (wait)
		r.marks |= PF_REQ_NODEADLINE;
	pf__req_in(&r, &in, sizeof in);
	return pf__request(of->super->conn, &r);
}

static int remote_test(struct pf__open_file *of, const struct pf__from *f,
		       const struct pf__lock *want, struct pf__lock *found)
{
	struct fuse_lk_in in;
	struct fuse_lk_out out;
	struct pf__req r;

	lk_fill(&in, of, want);
	in.lk.pid = 0;
	pf__req_init(&r, &f->caller, FUSE_GETLK, pf__inode_nodeid(of->inode));
	pf__req_in(&r, &in, sizeof in);
	pf__req_out(&r, &out, sizeof out);
	if (pf__request(of->super->conn, &r))
		return r.error;
	*found = *want;
	found->type = (short)out.lk.type;
	found->start = out.lk.start;
	found->end = out.lk.end;
	found->pid = out.lk.pid;
	return 0;
}

/* A request that nobody waits for. */
struct unlock {
	struct pf__req req;
	struct fuse_lk_in in;
	void (*done)(void *ctx);
	void *ctx;
};

static void unlock_done(struct pf__req *req)
{
	struct unlock *u = req->done_ctx;

	if (u->done)
		u->done(u->ctx);
	pf__free(u);
}

/* All that owner has of a kind goes. */
static int remote_unlock_all(struct pf__open_file *of, enum pf__lock_kind kind, uint64_t owner,
			     void (*done)(void *ctx), void *ctx)
{
	struct unlock *u = pf__calloc(1, sizeof *u);
	struct pf__lock all = {.kind = kind, .type = F_UNLCK, .owner = owner, .end = INT64_MAX};
	struct pf__caller c;

	if (!u)
		return -ENOMEM; /* the server's own end of the handle has to do */
	u->done = done;
	u->ctx = ctx;
	pf__caller_of(&of->view, &c);
	pf__req_init(&u->req, &c, FUSE_SETLK, pf__inode_nodeid(of->inode));
	lk_fill(&u->in, of, &all);
	pf__req_in(&u->req, &u->in, sizeof u->in);
	u->req.marks = PF_REQ_FORCE | PF_REQ_NOINTR;
	u->req.done = unlock_done;
	u->req.done_ctx = u;
	pf__request_background(of->super->conn, &u->req);
	return 0;
}

/* ---- when descriptors and open files go */

void pf__locks_closed(struct pf__open_file *of, uint64_t owner)
{
	pf__locks_remove(of->super->locks, of->inode, owner, false);
}

void pf__locks_released(struct pf__open_file *of)
{
	if (of->is_path)
		return;
	pf__locks_remove(of->super->locks, of->inode, file_owner(of), true);
	if (atomic_load(&of->ofd_locked) && posix_remote(of))
		remote_unlock_all(of, PF_LOCK_POSIX, file_owner(of), NULL, NULL);
}

/* ---- fcntl */

/* Where l_start counts from. */
static int base_of(struct pf__open_file *of, const struct pf__from *f, short whence, off_t *base)
{
	struct pf__attr attr;
	int r;

	switch (whence) {
	case SEEK_SET:
		*base = 0;
		return 0;
	case SEEK_CUR:
		*base = of->is_dir ? 0 : pf__pos_lock(of);
		if (!of->is_dir)
			pf__pos_unlock(of, *base);
		return 0;
	case SEEK_END:
		r = pf__getattr(f, of->inode, PF_ATTR_SIZE, of, &attr);
		*base = r ? 0 : (off_t)attr.attr.size;
		return r;
	default:
		return -EINVAL;
	}
}

static int range_of(struct pf__open_file *of, const struct pf__from *f, const struct flock *lock,
		    struct pf__lock *want)
{
	off_t base, start, end;
	int r = base_of(of, f, lock->l_whence, &base);

	if (r)
		return r;
	if (__builtin_add_overflow(base, lock->l_start, &start))
		return -EOVERFLOW;
	end = INT64_MAX;
	if (lock->l_len > 0 && __builtin_add_overflow(start, lock->l_len - 1, &end))
		return -EOVERFLOW;
	if (lock->l_len < 0) {
		end = start - 1;
		if (__builtin_add_overflow(start, lock->l_len, &start))
			return -EINVAL;
	}
	if (start < 0 || end < 0)
		return -EINVAL;
	want->start = (uint64_t)start;
	want->end = (uint64_t)end;
	return 0;
}

static int check_access(const struct pf__open_file *of, short type)
{
	int mode = atomic_load(&of->flags) & O_ACCMODE;

	switch (type) {
	case F_RDLCK:
		return mode == O_WRONLY ? -EBADF : 0;
	case F_WRLCK:
		return mode == O_RDONLY ? -EBADF : 0;
	case F_UNLCK:
		return 0;
	default:
		return -EINVAL;
	}
}

static int want_of(struct pf__open_file *of, const struct pf__from *f, const struct flock *lock,
		   bool ofd, struct pf__lock *want)
{
	if (ofd && lock->l_pid)
		return -EINVAL;
	*want = (struct pf__lock){.inode = of->inode,
				  .kind = PF_LOCK_POSIX,
				  .ofd = ofd,
				  .type = lock->l_type,
				  .owner = ofd ? file_owner(of) : pf__caller_lock_owner(&f->caller),
				  .pid = f->caller.cred.pid};
	return range_of(of, f, lock, want);
}

static int getlk(struct pf__open_file *of, const struct pf__from *f, const struct pf__lock *want,
		 struct flock *lock)
{
	struct pf__lock found;
	int r = 0;

	if (want->type != F_RDLCK && want->type != F_WRLCK)
		return -EINVAL;
	if (posix_remote(of))
		r = remote_test(of, f, want, &found);
	else
		pf__locks_test(of->super->locks, want, &found);
	if (r)
		return r;
	lock->l_type = found.type;
	if (found.type == F_UNLCK)
		return 0;
	lock->l_whence = SEEK_SET;
	lock->l_start = (off_t)found.start;
	lock->l_len = found.end >= INT64_MAX ? 0 : (off_t)(found.end - found.start + 1);
	lock->l_pid = found.ofd && !posix_remote(of) ? -1 : (pid_t)found.pid;
	return 0;
}

static int setlk(struct pf__open_file *of, const struct pf__from *f, const struct pf__lock *want,
		 bool wait)
{
	int r = check_access(of, want->type);

	if (r)
		return r;
	if (!posix_remote(of))
		return pf__locks_set(of->super->locks, want, wait, f->caller.group, gone,
				     of->super->conn);
	if (want->ofd && want->type != F_UNLCK)
		atomic_store(&of->ofd_locked, true);
	return remote_set(of, f, want, wait);
}

static int lock_cmd(struct pf__open_file *of, const struct pf__from *f, int cmd, struct flock *lock)
{
	bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
	struct pf__lock want;
	int r = want_of(of, f, lock, ofd, &want);

	if (r)
		return r;
	switch (cmd) {
	case F_GETLK:
	case F_OFD_GETLK:
		return getlk(of, f, &want, lock);
	case F_SETLK:
	case F_OFD_SETLK:
		return setlk(of, f, &want, false);
	case F_SETLKW:
	case F_OFD_SETLKW:
		return setlk(of, f, &want, true);
	default:
		return -EINVAL;
	}
}

int pf_lock(struct pf_file *file, int cmd, struct flock *lock)
{
	struct pf__open_file *of;
	int r = pf__file_check(file, PF_NEED_HANDLE, &of);
	struct pf__from f;

	if (!r) {
		pf__from_open(&f, of);
		r = lock_cmd(of, &f, cmd, lock);
	}
	return r ? pf__fail_op(r, "lock", NULL) : 0;
}

int pf__lock_as(struct pf_fs *view, struct pf_file *file, int cmd, struct flock *lock)
{
	struct pf__open_file *of;
	struct pf__from f;
	int r = pf__file_check(file, PF_NEED_HANDLE, &of);

	if (!r)
		r = pf__from_fs(&f, view);
	return r ? r : lock_cmd(of, &f, cmd, lock);
}

/* ---- flock */

static int flock_type(int operation)
{
	switch (operation & ~LOCK_NB) {
	case LOCK_SH:
		return F_RDLCK;
	case LOCK_EX:
		return F_WRLCK;
	case LOCK_UN:
		return F_UNLCK;
	default:
		return -EINVAL;
	}
}

static int flock_file(struct pf__open_file *of, const struct pf__from *f, int operation)
{
	bool wait = !(operation & LOCK_NB);
	int type = flock_type(operation), r;
	struct pf__lock want;

	if (type < 0)
		return type;
	want = (struct pf__lock){.inode = of->inode,
				 .kind = PF_LOCK_FLOCK,
				 .type = (short)type,
				 .owner = file_owner(of),
				 .end = INT64_MAX,
				 .pid = f->caller.cred.pid};
	if (!flock_remote(of))
		return pf__locks_set(of->super->locks, &want, wait, f->caller.group, gone,
				     of->super->conn);
	r = remote_set(of, f, &want, wait);
	if (!r)
		atomic_store(&of->flocked, true);
	return r;
}

int pf_flock(struct pf_file *file, int operation)
{
	struct pf__open_file *of;
	int r = pf__file_check(file, PF_NEED_HANDLE, &of);
	struct pf__from f;

	if (!r) {
		pf__from_open(&f, of);
		r = flock_file(of, &f, operation);
	}
	return r ? pf__fail_op(r, "flock", NULL) : 0;
}

int pf__flock_as(struct pf_fs *view, struct pf_file *file, int operation)
{
	struct pf__open_file *of;
	struct pf__from f;
	int r = pf__file_check(file, PF_NEED_HANDLE, &of);

	if (!r)
		r = pf__from_fs(&f, view);
	return r ? r : flock_file(of, &f, operation);
}

/* ---- without waiting */

/* One request of the two that it may take. */
struct dropping {
	_Atomic int left;
	void (*done)(void *ctx);
	void *ctx;
};

static void dropped(void *ctx)
{
	struct dropping *d = ctx;

	if (atomic_fetch_sub(&d->left, 1) != 1)
		return;
	d->done(d->ctx);
	pf__free(d);
}

static void drop_kind(struct pf__open_file *of, enum pf__lock_kind kind, uint64_t owner, bool any,
		      struct dropping *d)
{
	if (any && !remote_unlock_all(of, kind, owner, dropped, d))
		return;
	dropped(d);
}

int pf__locks_drop(struct pf_file *file, uint64_t posix_owner, void (*done)(void *ctx), void *ctx)
{
	struct pf__open_file *of = file->of;
	struct dropping *d = pf__malloc(sizeof *d);
	uint64_t owner = posix_owner ? pf__lock_owner_id(of->super, posix_owner) : file_owner(of);

	if (!d)
		return -ENOMEM;
	*d = (struct dropping){.left = 2, .done = done, .ctx = ctx};
	pf__locks_remove(of->super->locks, of->inode, owner, true);
	drop_kind(of, PF_LOCK_POSIX, owner,
		  posix_remote(of) && (posix_owner || atomic_load(&of->ofd_locked)), d);
	drop_kind(of, PF_LOCK_FLOCK, owner, flock_remote(of) && atomic_load(&of->flocked), d);
	return 0;
}
