/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * open(2): from a path and flags to an open file. What exists gets OPEN or OPENDIR, what does not
 * and may be made gets CREATE (vfs/create.h). The order of checks and their errnos are Linux's.
 */
#include "base/errmsg.h"
#include "cache/dircache.h"
#include "vfs/create.h"
#include "vfs/internal.h"
#include "vfs/names.h"
#include "vfs/perm.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

#define MAX_LINKS 40u

/* One call of open. */
struct opening {
	struct pf__from f;
	const struct pf_fs *view;
	int flags;
	mode_t mode;
	struct pf_file **file;
};

static int check_flags(int *flags)
{
	int fl = *flags;

	if (fl & O_PATH) {
		*flags = fl & (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		return 0;
	}
	if ((fl & O_ACCMODE) == O_ACCMODE || (fl & O_ASYNC))
		return -EINVAL;
	if ((fl & O_TMPFILE) == O_TMPFILE)
		return (fl & O_ACCMODE) == O_RDONLY || (fl & O_CREAT) ? -EINVAL : 0;
	if ((fl & O_TMPFILE) & ~O_DIRECTORY)
		return -EINVAL;
	return (fl & O_CREAT) && (fl & O_DIRECTORY) ? -EINVAL : 0;
}

static unsigned wanted_access(int flags)
{
	unsigned mask = 0;
	int mode = flags & O_ACCMODE;

	if (mode != O_WRONLY)
		mask |= PF_MAY_READ;
	if (mode != O_RDONLY || (flags & O_TRUNC))
		mask |= PF_MAY_WRITE;
	return mask;
}

/* O_NOATIME is for the owner alone; what is known of the file must do. */
static int check_noatime(const struct opening *o, struct pf__inode *inode)
{
	struct pf__attr attr;

	if (!(o->flags & O_NOATIME) || o->f.caller.cap_override)
		return 0;
	pf__inode_attr(inode, 0, 0, &attr);
	return attr.attr.uid == o->f.caller.cred.uid ? 0 : -EPERM;
}

/* May this kind of file be opened this way? */
static int check_type(const struct opening *o, uint32_t type)
{
	bool writes = wanted_access(o->flags) & PF_MAY_WRITE;

	switch (type) {
	case S_IFLNK:
		return o->flags & O_DIRECTORY ? -ENOTDIR : -ELOOP;
	case S_IFDIR:
		return writes || (o->flags & O_CREAT) ? -EISDIR : 0;
	default:
		return o->flags & O_DIRECTORY ? -ENOTDIR : 0;
	}
}

/* Devices, fifos and sockets live in the kernel, not at the server: no file I/O is sent for them.
 */
static int check_special(uint32_t type)
{
	switch (type) {
	case S_IFREG:
	case S_IFDIR:
		return 0;
	case S_IFSOCK:
		return -ENXIO;
	default:
		return -EOPNOTSUPP;
	}
}

static bool kills_suidgid(const struct opening *o)
{
	return !o->f.caller.cap_override && pf__conn_has(o->f.super->conn, FUSE_HANDLE_KILLPRIV_V2);
}

/* refused: the server did open, but what it said of the handle is not valid. */
static int send_open(const struct opening *o, struct pf__inode *inode, bool dir,
		     struct fuse_open_out *out, bool *refused)
{
	struct pf__conn *conn = o->f.super->conn;
	uint32_t op = dir ? FUSE_OPENDIR : FUSE_OPEN;
	struct fuse_open_in in = {.flags = pf__wire_flags(o->flags)};
	struct pf__req r;

	*refused = false;
	if (pf__conn_nosys(conn, op))
		return -ENOSYS;
	if (!pf__conn_has(conn, FUSE_ATOMIC_O_TRUNC))
		in.flags &= ~(uint32_t)O_TRUNC;
	if ((in.flags & O_TRUNC) && kills_suidgid(o))
		in.open_flags = FUSE_OPEN_KILL_SUIDGID;
	pf__req_init(&r, &o->f.caller, op, pf__inode_nodeid(inode));
	pf__req_in(&r, &in, sizeof in);
	pf__req_out(&r, out, sizeof *out);
	pf__request(conn, &r);
	if (r.error == -ENOSYS)
		pf__conn_set_nosys(conn, op);
	*refused = r.error && r.out_len == sizeof *out;
	return r.error;
}

/* The handle is the server's: from here on failing means to give it back. */
static int adopt_handle(struct pf__open_file *of, const struct fuse_open_out *open, int flags)
{
	int r;

	of->io.fh = open->fh;
	r = pf__io_file_open(&of->io, open->open_flags, open->backing_id, flags);
	if (r) {
		pf__io_file_close(&of->io);
		pf__release_sync(of);
	} else if (of->is_dir && !(of->io.open_flags & FOPEN_KEEP_CACHE)) {
		pf__dircache_drop(of->super->cache, of->inode);
	}
	return r;
}

/* A server that knows no OPEN keeps no state: any handle will do, and none is given back. */
static int adopt_nothing(struct pf__open_file *of, int flags)
{
	uint32_t open_flags = FOPEN_KEEP_CACHE | (of->is_dir ? FOPEN_CACHE_DIR : 0);
	int r;

	of->no_release = true;
	r = pf__io_file_open(&of->io, open_flags, 0, flags);
	if (r)
		pf__io_file_close(&of->io);
	return r;
}

/* What O_TRUNC leaves to do once the file is open. */
static int truncate_opened(const struct opening *o, struct pf__open_file *of)
{
	if (!(o->flags & O_TRUNC) || of->is_dir)
		return 0;
	if (!pf__conn_has(o->f.super->conn, FUSE_ATOMIC_O_TRUNC) || of->no_release)
		return pf__truncate(&o->f, of->inode, NULL, 0);
	return 0;
}

/* The server has truncated with its OPEN. */
static void truncated_by_open(const struct opening *o, struct pf__inode *inode)
{
	struct pf__super *s = o->f.super;
	struct pf__attr a;

	pf__inode_attr(inode, 0, 0, &a);
	pf__inode_local_write(s->cache, inode, 0, true, PF_ATTR_MODIFIED);
	pf__io_truncated(s->io, inode, a.attr.size, 0);
	pf__io_note_write(s->io, inode, 0, 0, NULL);
}

/* OPEN with O_TRUNC: no write may come between it and what we know afterwards. */
static int send_truncating_open(const struct opening *o, struct pf__inode *inode,
				struct fuse_open_out *out, bool *refused)
{
	struct pf__io *io = o->f.super->io;
	int r = pf__io_gate_enter(io, inode);

	*refused = false;
	if (r)
		return r;
	r = pf__io_hold(io, inode);
	if (!r) {
		r = send_open(o, inode, false, out, refused);
		if (!r)
			truncated_by_open(o, inode);
		pf__io_release(io, inode);
	}
	pf__io_gate_leave(io, inode);
	return r;
}

/*
 * Who opens for writing makes size and times ours (write-back). What is doubtful of them has to be
 * asked for before, or the doubt would become the truth.
 */
static int know_before_owning(const struct opening *o, struct pf__inode *inode)
{
	struct pf__attr a;

	if (!o->f.super->io->writeback || (o->flags & O_ACCMODE) == O_RDONLY ||
	    pf__inode_type(inode) != S_IFREG || pf__inode_owned(inode))
		return 0;
	return pf__getattr(&o->f, inode, PF_ATTR_SIZE | PF_ATTR_MTIME | PF_ATTR_CTIME, NULL, &a);
}

/* Open at the server; on failure nothing of it is left there. */
static int open_handle(const struct opening *o, struct pf__open_file *of)
{
	struct fuse_open_out out = {0};
	bool refused, truncates = (o->flags & O_TRUNC) && !of->is_dir &&
				  pf__conn_has(o->f.super->conn, FUSE_ATOMIC_O_TRUNC);
	int r = truncates ? pf__kill_priv(&o->f, of->inode) : 0;

	if (!r && !truncates)
		r = know_before_owning(o, of->inode);
	if (r)
		return r;
	r = truncates ? send_truncating_open(o, of->inode, &out, &refused)
		      : send_open(o, of->inode, of->is_dir, &out, &refused);
	if (refused) {
		of->io.fh = out.fh;
		pf__release_sync(of);
	}
	if (r == -ENOSYS)
		r = adopt_nothing(of, o->flags);
	else if (!r)
		r = adopt_handle(of, &out, o->flags);
	if (r)
		return r;
	r = truncate_opened(o, of);
	if (!r && truncates)
		pf__io_touch_mtime(of->super->io, of->inode);
	if (r) {
		pf__io_file_close(&of->io);
		pf__release_sync(of);
	}
	return r;
}

static int publish(const struct opening *o, struct pf__open_file *of)
{
	int r = pf__open_file_publish(of, o->file);

	if (r && !of->is_path) {
		pf__io_file_close(&of->io);
		pf__release_sync(of);
	}
	return r;
}

/* An inode that exists; takes over the reference. */
static int open_inode(const struct opening *o, struct pf__inode *inode)
{
	uint32_t type = pf__inode_type(inode);
	struct pf__open_file *of;
	int r = 0;

	if (o->flags & O_PATH)
		r = (o->flags & O_DIRECTORY) && type != S_IFDIR ? -ENOTDIR : 0;
	else
		r = check_type(o, type);
	if (!r && pf__inode_is_bad(inode))
		r = -EIO;
	if (!r && !(o->flags & O_PATH))
		r = pf__may(&o->f, inode, wanted_access(o->flags));
	if (!r && !(o->flags & O_PATH))
		r = check_noatime(o, inode);
	if (!r && !(o->flags & O_PATH))
		r = check_special(type);
	if (!r)
		r = pf__open_file_new(&of, o->view, inode, o->flags);
	if (r) {
		pf__inode_put(o->f.super->cache, inode);
		return r;
	}
	if (!of->is_path)
		r = open_handle(o, of);
	if (!r)
		r = publish(o, of);
	if (r) {
		if (r == -ENOENT) /* it has gone meanwhile: so do its names */
			pf__inode_drop_names(o->f.super->cache, inode);
		else if (r == -ESTALE)
			pf__inode_expire_names(o->f.super->cache, inode);
		pf__open_file_free(of);
	}
	return r;
}

/*
 * What was there all the same, CREATE has truncated. If others have it open for writing, data of
 * theirs may have been on its way: then it is truncated once more, with them held back.
 */
static int truncate_created(const struct opening *o, struct pf__open_file *of)
{
	struct pf__super *s = o->f.super;
	int r = 0;

	if (!(o->flags & O_TRUNC) || !pf__conn_has(s->conn, FUSE_ATOMIC_O_TRUNC))
		return 0;
	if (pf__inode_owned(of->inode) && pf__inode_size(of->inode))
		r = pf__truncate(&o->f, of->inode, of, 0);
	else
		pf__io_truncated(s->io, of->inode, 0, 0);
	if (r) {
		pf__io_file_close(&of->io);
		pf__release_sync(of);
	}
	return r;
}

/* An inode that CREATE or TMPFILE made and opened. */
static int open_created(const struct opening *o, struct pf__inode *inode,
			const struct fuse_open_out *open)
{
	struct pf__open_file *of;
	int r = pf__open_file_new(&of, o->view, inode, o->flags);

	if (r) { /* no memory for a file: the handle still has to go back */
		struct pf__open_file tmp = {.super = o->f.super, .inode = inode};

		tmp.io.fh = open->fh;
		tmp.flags = o->flags;
		pf__release_sync(&tmp);
		pf__inode_put(o->f.super->cache, inode);
		return r;
	}
	r = adopt_handle(of, open, o->flags);
	if (!r)
		r = truncate_created(o, of);
	if (!r)
		r = publish(o, of);
	if (r)
		pf__open_file_free(of);
	return r;
}

static int create_last(struct opening *o, struct pf__last *last)
{
	struct pf__inode *inode;
	struct fuse_open_out open = {0};
	struct opening fresh = *o;
	bool opened = false;
	int r = pf__create(&o->f, last, o->flags, o->mode, &open, &opened, &inode);

	if (r)
		return r;
	if (opened)
		return open_created(o, inode, &open);
	fresh.flags &= ~(O_CREAT | O_EXCL | O_TRUNC);
	return open_inode(&fresh, inode);
}

/* Follow a symlink that stands where a file may be made: last becomes the last of its target. */
static int follow(struct opening *o, struct pf__last *last, struct pf__inode *link, unsigned *depth)
{
	char *target = pf__malloc(4096);
	struct pf__inode *dir = last->dir;
	ssize_t n = target ? pf__readlink(&o->f, link, target) : -ENOMEM;
	int r = n < 0 ? (int)n : o->f.caller.no_links ? -PF_ELINK : 0;

	if (!r && ++*depth > MAX_LINKS)
		r = -ELOOP;
	if (!r) {
		pf__inode_get(dir);
		pf__last_put(&o->f, last);
		r = pf__walk_parent_from(&o->f, dir, target, depth, last);
		if (r)
			last->dir = NULL;
		pf__inode_put(o->f.super->cache, dir);
	}
	pf__free(target);
	return r;
}

/* "." and the like, and "name/": what may not be made, but perhaps opened. */
static int open_unnamed(const struct opening *o)
{
	return o->flags & O_EXCL ? -EEXIST : -EISDIR;
}

/* One step: 0 or an errno when the open is decided, 1 when last moved along a link, or has come to
 * be. */
static int open_last(struct opening *o, struct pf__last *last, unsigned *depth)
{
	struct pf__inode *inode;
	int r;

	if (last->kind != PF_LAST_NAME)
		return open_unnamed(o);
	if (last->slash)
		return -EISDIR;
	/* What is cached may have gone: that a name is taken is asked afresh. */
	r = pf__lookup_ask(&o->f, last->dir, last->name, last->len,
			   o->flags & O_EXCL ? PF_ASK_POSITIVE : PF_ASK_EXPIRED, &inode);
	if (r == -ENOENT) {
		r = create_last(o, last);
		return r > 0 && ++*depth > MAX_LINKS ? -EBUSY : r;
	}
	if (r)
		return r;
	if (o->flags & O_EXCL) {
		pf__inode_put(o->f.super->cache, inode);
		return -EEXIST;
	}
	if (!S_ISLNK(pf__inode_type(inode)) || (o->flags & O_NOFOLLOW))
		return open_inode(o, inode);
	r = follow(o, last, inode, depth);
	pf__inode_put(o->f.super->cache, inode);
	return r ? r : 1;
}

static int open_creating(struct opening *o, const char *path)
{
	struct pf__last *last = pf__malloc(sizeof *last);
	unsigned depth = 0;
	int r = last ? pf__walk_parent(&o->f, path, last) : -ENOMEM;

	if (r) {
		pf__free(last);
		return r;
	}
	do
		r = open_last(o, last, &depth);
	while (r > 0);
	if (last->dir)
		pf__last_put(&o->f, last);
	pf__free(last);
	return r;
}

static int open_tmpfile(struct opening *o, const char *path)
{
	struct fuse_open_out open = {0};
	struct pf__inode *dir, *inode;
	int r = pf__walk(&o->f, path, PF_WALK_FOLLOW | PF_WALK_DIRECTORY, &dir);

	if (r)
		return r;
	r = pf__tmpfile(&o->f, dir, o->flags, o->mode, &open, &inode);
	pf__inode_put(o->f.super->cache, dir);
	return r ? r : open_created(o, inode, &open);
}

static int open_existing(struct opening *o, const char *path)
{
	unsigned walk = 0;
	struct pf__inode *inode;
	int r;

	if (!(o->flags & O_NOFOLLOW))
		walk |= PF_WALK_FOLLOW;
	if (o->flags & O_DIRECTORY)
		walk |= PF_WALK_DIRECTORY;
	r = pf__walk(&o->f, path, walk, &inode);
	return r ? r : open_inode(o, inode);
}

static int open_path(struct opening *o, const char *path)
{
	if ((o->flags & O_TMPFILE) == O_TMPFILE)
		return open_tmpfile(o, path);
	return o->flags & O_CREAT ? open_creating(o, path) : open_existing(o, path);
}

/* A stale name is asked for again, once. */
static int open_retrying(struct opening *o, const char *path)
{
	int r = check_flags(&o->flags);

	if (!r)
		r = open_path(o, path);
	return r == -ESTALE ? open_path(o, path) : r;
}

int pf_open(struct pf_fs *fs, const char *path, int flags, mode_t mode, struct pf_file **file)
{
	struct opening o = {.view = fs, .flags = flags, .mode = mode, .file = file};
	int r;

	*file = NULL;
	r = pf__from_fs(&o.f, fs);
	if (!r)
		r = open_retrying(&o, path);
	return r ? pf__fail_op(r, "open", path) : 0;
}

int pf_openat(struct pf_file *dir, const char *path, int flags, mode_t mode, struct pf_file **file)
{
	struct opening o = {.flags = flags, .mode = mode, .file = file};
	int r;

	*file = NULL;
	r = pf__from_file(&o.f, dir);
	if (!r) {
		o.view = &dir->of->view;
		r = open_retrying(&o, path);
	}
	return r ? pf__fail_op(r, "open", path) : 0;
}

int pf__open_again(struct pf_fs *view, struct pf_file *file, int flags, struct pf_file **out)
{
	struct opening o = {.view = view, .flags = flags, .file = out};
	int r;

	*out = NULL;
	r = pf__from_fs(&o.f, view);
	return r ? r : open_inode(&o, pf__inode_get(file->of->inode));
}
