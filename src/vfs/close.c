/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of open files: FLUSH with each descriptor that is closed, RELEASE once, with the last
 * reference, in the background: nobody waits for its answer.
 */
#include "base/errmsg.h"
#include "vfs/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

/* A RELEASE under way, and the inode that must not be forgotten before it. */
struct pf__release {
	struct pf__req req;
	struct fuse_release_in in;
	struct pf__super *super;
	struct pf__inode *inode;
};

static void release_fill(struct pf__release *r, struct pf__open_file *of)
{
	bool flocked = atomic_load(&of->flocked);

	r->req = (struct pf__req){.opcode = of->is_dir ? FUSE_RELEASEDIR : FUSE_RELEASE,
				  .nodeid = pf__inode_nodeid(of->inode),
				  .marks = PF_REQ_FORCE | PF_REQ_NOCREDS | PF_REQ_NOINTR};
	r->in = (struct fuse_release_in){.fh = of->io.fh,
					 .flags = pf__wire_flags(atomic_load(&of->flags))};
	if (flocked) {
		r->in.release_flags = FUSE_RELEASE_FLOCK_UNLOCK;
		r->in.lock_owner = pf__lock_owner_id(of->super, (uintptr_t)of);
	}
	pf__req_in(&r->req, &r->in, sizeof r->in);
}

static void release_done(struct pf__req *req)
{
	struct pf__release *r = req->done_ctx;

	pf__inode_put(r->super->cache, r->inode);
	pf__free(r);
}

static bool owes_release(const struct pf__open_file *of)
{
	return !of->is_path && !of->no_release;
}

void pf__release_sync(struct pf__open_file *of)
{
	struct pf__release r;

	if (!owes_release(of))
		return;
	release_fill(&r, of);
	pf__request(of->super->conn, &r.req);
}

/* Takes over the open file's reference to its inode. */
static void release_background(struct pf__open_file *of)
{
	struct pf__release *r = of->release;

	of->release = NULL;
	release_fill(r, of);
	r->super = of->super;
	r->inode = of->inode;
	r->req.marks |= PF_REQ_LAZY;
	r->req.done = release_done;
	r->req.done_ctx = r;
	pf__request_background(of->super->conn, &r->req);
}

/* Who opens stays who reads and writes: no call has to ask the system who it is. */
static int view_of_opener(struct pf_fs *to, const struct pf_fs *view)
{
	struct pf__caller c;
	int r = pf__view_copy(to, view);

	if (r)
		return r;
	pf__caller_of(view, &c);
	to->caller.uid = c.cred.uid;
	to->caller.gid = c.cred.gid;
	to->opener = true;
	return 0;
}

/* Memory only: what it had of the server is given back already. */
static void open_file_destroy(struct pf__open_file *of)
{
	pf__io_backing_close(&of->io);
	pf__dirstream_free(of->dir);
	pf__view_drop(&of->view);
	pf__super_put(of->super);
	pf__free(of->release);
	pf__free(of);
}

static void part_put(struct pf__open_file *of)
{
	if (atomic_fetch_sub(&of->parts, 1) == 1)
		open_file_destroy(of);
}

/* Nobody uses the handle any more: neither the file nor a request of readahead or write-back. Does
 * not wait. */
static void handle_idle(struct pf__io_file *f)
{
	struct pf__open_file *of = pf__list_entry(f, struct pf__open_file, io);

	if (owes_release(of))
		release_background(of);
	else
		pf__inode_put(of->super->cache, of->inode);
	part_put(of);
}

int pf__open_file_new(struct pf__open_file **out, const struct pf_fs *view, struct pf__inode *inode,
		      int flags)
{
	struct pf__super *s = view->super;
	struct pf__open_file *of = pf__calloc(1, sizeof *of);

	*out = NULL;
	if (!of)
		return -ENOMEM;
	of->release = pf__malloc(sizeof *of->release);
	if (!of->release || view_of_opener(&of->view, view)) {
		pf__free(of->release);
		pf__free(of);
		return -ENOMEM;
	}
	pf__super_get(s);
	of->super = s;
	of->inode = inode;
	of->io = (struct pf__io_file){.io = s->io,
				      .conn = s->conn,
				      .cache = s->cache,
				      .inode = inode,
				      .users = 1,
				      .idle = handle_idle,
				      .wire_flags = pf__wire_flags(flags & ~O_TRUNC),
				      .max_read = s->max_read,
				      .max_write = s->max_write};
	pf__list_init(&of->io.writer);
	of->parts = 2;
	of->flags = flags & ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
	of->is_dir = S_ISDIR(pf__inode_type(inode));
	of->is_path = flags & O_PATH;
	of->refs = 1;
	of->kh = atomic_fetch_add(&s->next_kh, 1);
	pf__list_init(&of->link);
	*out = of;
	return 0;
}

void pf__open_file_free(struct pf__open_file *of)
{
	pf__inode_put(of->super->cache, of->inode);
	open_file_destroy(of);
}

int pf__open_file_publish(struct pf__open_file *of, struct pf_file **out)
{
	struct pf_file *file = pf__malloc(sizeof *file);

	if (!file)
		return -ENOMEM;
	file->of = of;
	pf__mutex_lock(&of->super->lock);
	pf__list_add_tail(&of->super->files, &of->link);
	pf__mutex_unlock(&of->super->lock);
	*out = file;
	return 0;
}

int pf__file_as(const struct pf_fs *view, struct pf_file *file, struct pf_file **out)
{
	struct pf__inode *inode = pf__inode_get(file->of->inode);
	struct pf__open_file *of;
	int r = pf__open_file_new(&of, view ? view : &file->of->view, inode, O_PATH);

	if (r) {
		pf__inode_put(file->of->super->cache, inode);
		return r;
	}
	r = pf__open_file_publish(of, out);
	if (r)
		pf__open_file_free(of);
	return r;
}

/* Locks first: RELEASE may end the server's state of the handle. */
static void open_file_release(struct pf__open_file *of)
{
	struct pf__from f;

	pf__locks_released(of);
	pf__io_file_close(&of->io);
	if (of->io.writable && of->io.ii) { /* times that another one's write-back left */
		pf__from_open(&f, of);
		(void)pf__flush_times(&f, of->inode);
	}
	pf__io_file_put(&of->io);
}

/* True for the one who may release it: pf_stop() may have been first. */
static bool unlink_file(struct pf__open_file *of)
{
	bool mine;

	pf__mutex_lock(&of->super->lock);
	mine = !pf__list_empty(&of->link);
	pf__list_del(&of->link);
	pf__mutex_unlock(&of->super->lock);
	return mine;
}

void pf__open_file_put(struct pf__open_file *of)
{
	if (atomic_fetch_sub(&of->refs, 1) != 1)
		return;
	if (unlink_file(of))
		open_file_release(of);
	part_put(of);
}

void pf__files_release_all(struct pf__super *s)
{
	struct pf__list *link;

	do {
		pf__mutex_lock(&s->lock);
		link = pf__list_pop(&s->files);
		if (!link)
			atomic_store(&s->stopped, true);
		pf__mutex_unlock(&s->lock);
		if (link)
			open_file_release(pf__list_entry(link, struct pf__open_file, link));
	} while (link);
}

/* Dirty data and times go before FLUSH; what went wrong with them is this close's error. */
static int flush_data(struct pf__open_file *of)
{
	struct pf__from f;
	int err = pf__io_flush(of->super->io, of->inode, 0, UINT64_MAX), late;

	late = pf__io_error(&of->io);
	err = err ? err : late;
	pf__from_open(&f, of);
	late = pf__flush_times(&f, of->inode);
	return err ? err : late;
}

static int flush(struct pf__open_file *of)
{
	struct pf__super *s = of->super;
	struct fuse_flush_in in = {.fh = of->io.fh};
	struct pf__caller c;
	struct pf__req r;
	uint64_t owner;
	int err;

	if (of->is_dir || of->is_path)
		return 0;
	pf__caller_of(&of->view, &c);
	owner = pf__caller_lock_owner(&c);
	pf__locks_closed(of, owner);
	if (pf__inode_is_bad(of->inode))
		return -EIO;
	if ((of->io.open_flags & FOPEN_NOFLUSH) && !s->io->writeback)
		return 0;
	err = flush_data(of);
	if (pf__conn_nosys(s->conn, FUSE_FLUSH))
		return err;
	in.lock_owner = owner;
	pf__req_init(&r, &c, FUSE_FLUSH, pf__inode_nodeid(of->inode));
	r.marks = PF_REQ_FORCE;
	pf__req_in(&r, &in, sizeof in);
	pf__request(s->conn, &r);
	if (r.error == -ENOSYS)
		pf__conn_set_nosys(s->conn, FUSE_FLUSH);
	else if (r.error && !err)
		err = r.error;
	return err;
}

int pf_close(struct pf_file *file)
{
	struct pf__open_file *of;
	int r = 0;

	if (!file)
		return pf__fail_op(-EBADF, "close", NULL);
	of = file->of;
	if (!atomic_load(&of->super->stopped))
		r = flush(of);
	pf__free(file);
	pf__open_file_put(of);
	return r ? pf__fail_op(r, "close", NULL) : 0;
}

void pf__close_unflushed(struct pf_file *file)
{
	struct pf__open_file *of = file->of;

	pf__free(file);
	pf__open_file_put(of);
}

int pf_dup(struct pf_file *file, struct pf_file **copy)
{
	*copy = NULL;
	if (!file)
		return pf__fail_op(-EBADF, "dup", NULL);
	*copy = pf__malloc(sizeof **copy);
	if (!*copy)
		return pf__fail_op(-ENOMEM, "dup", NULL);
	atomic_fetch_add(&file->of->refs, 1);
	(*copy)->of = file->of;
	return 0;
}

int pf_getfl(struct pf_file *file)
{
	if (!file)
		return pf__fail_op(-EBADF, "getfl", NULL);
	return atomic_load(&file->of->flags);
}

#define SETTABLE (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)

int pf_setfl(struct pf_file *file, int flags)
{
	struct pf__open_file *of;
	int r = pf__file_check(file, PF_NEED_HANDLE, &of), old;

	if (r)
		return pf__fail_op(r, "setfl", NULL);
	old = atomic_load(&of->flags);
	while (
	    !atomic_compare_exchange_weak(&of->flags, &old, (old & ~SETTABLE) | (flags & SETTABLE)))
		;
	return 0;
}
