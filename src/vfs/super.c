/* SPDX-License-Identifier: BSD-2-Clause */
#include "vfs/super.h"
#include "base/arith.h"
#include "base/clock.h"
#include "base/errmsg.h"
#include "base/hash.h"
#include "io/backing.h"
#include "vfs/internal.h"
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define TICK_MS               100
#define START_TIMEOUT_MS      30000
#define STOP_TIMEOUT_MS       10000
#define GIVEN_UP_TIMEOUT_MS   100 /* for a server that did not answer in that time */
#define DEFAULT_MAX_NAMES     1000000
#define DEFAULT_MAX_READAHEAD (1u << 20)
#define MAX_PAGES_LIMIT       256
#define PAGE                  4096u
#define SYNC_TIMEOUT          (300 * PF_NSEC_PER_SEC) /* as for a server that ends */
/* A WRITE's two headers, and the header of a reply. */
#define WRITE_OVERHEAD (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
#define REPLY_OVERHEAD (sizeof(struct fuse_out_header))

/* All that the client does when a server wants it; FUSE_PASSTHROUGH besides, where the server has a
 * way to register files. Not yet: DAX, submounts, io_uring, mapped ids. */
#define OFFERED                                                                                    \
	(FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_EXPORT_SUPPORT |          \
	 FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE |                 \
	 FUSE_SPLICE_READ | FUSE_FLOCK_LOCKS | FUSE_HAS_IOCTL_DIR | FUSE_AUTO_INVAL_DATA |         \
	 FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_NO_OPEN_SUPPORT |     \
	 FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV | FUSE_POSIX_ACL | FUSE_ABORT_ERROR |         \
	 FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_NO_OPENDIR_SUPPORT |                          \
	 FUSE_EXPLICIT_INVAL_DATA | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT | FUSE_INIT_EXT |  \
	 FUSE_SECURITY_CTX | FUSE_CREATE_SUPP_GROUP | FUSE_HAS_EXPIRE_ONLY | FUSE_HAS_RESEND |     \
	 FUSE_REQUEST_TIMEOUT | FUSE_NO_EXPORT_SUPPORT | FUSE_WRITEBACK_CACHE |                    \
	 FUSE_DIRECT_IO_ALLOW_MMAP)

int pf__options_read(struct pf_options *to, const struct pf_options *from)
{
	*to = (struct pf_options)PF_OPTIONS_INIT;
	if (!from)
		return 0;
	if (from->size < sizeof from->size)
		return pf__fail(-EINVAL, "struct pf_options has no size: use PF_OPTIONS_INIT");
	memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
	to->size = sizeof *to;
	return 0;
}

static int mount_options(struct pf__mount_options *o, const char *server, const char *user)
{
	int r;

	*o = (struct pf__mount_options){
	    .rootmode = S_IFDIR, .user_id = geteuid(), .group_id = getegid()};
	r = pf__mount_options_parse(o, server);
	return r ? r : pf__mount_options_parse(o, user);
}

static void want_init(struct pf__init_want *w, const struct pf__transport *t,
		      const struct pf__mount_options *m, const struct pf_options *o,
		      bool passthrough)
{
	uint64_t carried = t->max_send > WRITE_OVERHEAD ? t->max_send - WRITE_OVERHEAD : 0;

	*w = (struct pf__init_want){
	    .minor = o->minor ? o->minor : FUSE_MINOR,
	    .flags = OFFERED | (passthrough ? FUSE_PASSTHROUGH : 0),
	    .max_readahead = o->max_readahead ? o->max_readahead : DEFAULT_MAX_READAHEAD,
	    .max_pages = MAX_PAGES_LIMIT,
	    .default_permissions = m->default_permissions,
	};
	carried = pf__min_u64(carried, (uint64_t)MAX_PAGES_LIMIT * PAGE);
	if (o->max_write)
		carried = pf__min_u64(carried, o->max_write);
	w->max_write = (uint32_t)pf__max_u64(PF_ALIGN_DOWN(carried, PAGE), PAGE);
	if (o->no_writeback)
		w->flags &= ~FUSE_WRITEBACK_CACHE;
	if (o->no_readdirplus)
		w->flags &= ~(FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO);
}

/* The sizes of single requests, from all who have a say. */
static void set_limits(struct pf__super *s)
{
	uint64_t pages = (uint64_t)s->got->max_pages * PAGE;
	uint64_t read = pf__min_u64(pages, PF_ALIGN_DOWN((uint64_t)s->max_reply, PAGE));

	if (s->mount.max_read)
		read = pf__min_u64(read, s->mount.max_read);
	s->max_read = (uint32_t)pf__max_u64(read, PAGE);
	s->max_write = (uint32_t)pf__max_u64(pf__min_u64(s->got->max_write, pages), PAGE);
	s->default_permissions =
	    s->mount.default_permissions || pf__conn_has(s->conn, FUSE_POSIX_ACL);
}

static void give_back(void *ctx, uint64_t nodeid, uint64_t nlookup)
{
	struct pf__super *s = ctx;

	if (s->conn)
		pf__conn_forget(s->conn, nodeid, nlookup);
}

static void data_changed(void *ctx, struct pf__inode *inode, uint64_t old_size, uint64_t new_size,
			 bool new_mtime)
{
	struct pf__super *s = ctx;

	if (s->io)
		pf__io_data_changed(s->io, inode, old_size, new_size, new_mtime);
}

static const struct pf__cache_ops cache_ops = {.forget = give_back, .data_changed = data_changed};

static void super_free(struct pf__super *s)
{
	if (s->locks)
		pf__locks_close(s->locks);
	if (s->polls)
		pf__polls_close(s->polls);
	pf__mutex_destroy(&s->lock);
	pf__backings_decide(s->backings, false);
	pf__backings_put(s->backings);
	pf__free(s);
}

/* Device numbers as file systems without a device have them, far from those that the kernel gives.
 */
static dev_t next_dev(void)
{
	static _Atomic unsigned n;

	return makedev(0, 0x80000 | (atomic_fetch_add(&n, 1) & 0x7ffff));
}

static struct pf__super *super_new(void)
{
	struct pf__super *s = pf__calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->refs = 1;
	s->dev = next_dev();
	s->next_kh = 1;
	s->next_group = 1;
	s->fsize_limit = UINT64_MAX;
	s->owner_key[0] = pf__hash_seed();
	s->owner_key[1] = pf__hash_u64(s->owner_key[0], 1);
	pf__list_init(&s->files);
	pf__list_init(&s->gate_waiters);
	pf__list_init(&s->turns);
	pf__mutex_init(&s->lock, PF_RANK_SUPER);
	if (pf__locks_open(&s->locks) || pf__polls_open(&s->polls)) {
		super_free(s);
		return NULL;
	}
	return s;
}

void pf__super_get(struct pf__super *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void pf__super_put(struct pf__super *s)
{
	if (atomic_fetch_sub(&s->refs, 1) == 1)
		super_free(s);
}

static int open_io(struct pf__super *s, const struct pf_options *o)
{
	struct pf__io_config config = {.cache = o->cache,
				       .cache_bytes = o->cache_bytes,
				       .dirty_bytes = o->dirty_bytes,
				       .dirty_expire_ms = o->dirty_expire_ms,
				       .max_read = s->max_read,
				       .max_write = s->max_write,
				       .read_only = s->mount.read_only,
				       .backings = s->backings};
	struct pf__io *io;
	int r = pf__io_open(&io, s->conn, s->cache, &config);

	/* Notifications may come already. */
	if (!r)
		__atomic_store_n(&s->io, io, __ATOMIC_RELEASE);
	return r;
}

/* Takes over t. */
static int super_connect(struct pf__super *s, struct pf__transport *t, const struct pf_options *o)
{
	struct pf__conn_config config = {
	    .request_timeout_ms = o->request_timeout_ms,
	    .init_timeout_ms = o->start_timeout_ms ? o->start_timeout_ms : START_TIMEOUT_MS,
	    .max_background = o->max_background,
	    .service_thread = !o->no_service_thread,
	    .ops = &pf__super_conn_ops,
	    .ctx = s,
	};
	struct pf__cache_config cache = {
	    .ops = &cache_ops,
	    .ctx = s,
	    .max_names = o->max_names ? o->max_names : DEFAULT_MAX_NAMES,
	    .root_mode = s->mount.rootmode,
	};
	int r = pf__cache_open(&s->cache, &cache);

	if (r) {
		t->ops->shutdown(t);
		t->ops->free(t);
		return r;
	}
	s->no_threads = o->no_service_thread;
	s->transport = t->ops->name;
	s->max_reply = t->max_recv > REPLY_OVERHEAD ? t->max_recv - REPLY_OVERHEAD : 0;
	want_init(&config.want, t, &s->mount, o, s->backings);
	r = pf__conn_open(&s->conn, t, &config);
	if (r) {
		s->conn = NULL;
		pf__cache_close(s->cache);
		return r;
	}
	s->got = pf__conn_got(s->conn);
	pf__backings_decide(s->backings, pf__conn_has(s->conn, FUSE_PASSTHROUGH));
	set_limits(s);
	r = open_io(s, o);
	if (r) {
		pf__conn_close(s->conn, STOP_TIMEOUT_MS);
		s->conn = NULL;
		pf__cache_close(s->cache);
	}
	return r;
}

/* The server's own last words say more than what happened to the connection. */
static void end_owner(const struct pf__owner_ops *ops, void *owner, int r)
{
	const char *why;

	if (!ops)
		return;
	why = ops->obituary ? ops->obituary(owner) : NULL;
	if (why)
		pf__fail(r, "%s", why);
	if (ops->stop)
		ops->stop(owner);
}

static int super_make(struct pf__super **out, struct pf__transport *t,
		      const struct pf_options *options, const char *server_options,
		      struct pf__backings *backings)
{
	struct pf__super *s = super_new();
	struct pf_options o;
	int r = s ? pf__options_read(&o, options) : -ENOMEM;

	if (!r)
		r = mount_options(&s->mount, server_options, o.mount_options);
	if (r) {
		t->ops->shutdown(t);
		t->ops->free(t);
	} else {
		s->backings = pf__backings_get(backings);
		r = super_connect(s, t, &o);
	}
	if (r && s)
		super_free(s);
	*out = s;
	return r;
}

int pf__super_open(struct pf_fs **fs, struct pf__transport *t, const struct pf_options *options,
		   const char *server_options, const struct pf__owner_ops *owner_ops, void *owner)
{
	struct pf_fs *view = pf__malloc(sizeof *view);
	struct pf__super *s;
	int r;

	*fs = NULL;
	r = super_make(&s, t, options, server_options,
		       owner_ops && owner_ops->backings ? owner_ops->backings(owner) : NULL);
	if (!r && !view) {
		pf__conn_close(s->conn, STOP_TIMEOUT_MS);
		pf__cache_close(s->cache);
		pf__io_close(s->io);
		super_free(s);
		r = -ENOMEM;
	}
	if (r) {
		pf__free(view);
		end_owner(owner_ops, owner, r);
		return r;
	}
	s->owner_ops = owner_ops;
	s->owner = owner;
	pf__view_init_self(view, s);
	view->is_root_view = true;
	*fs = view;
	return 0;
}

/* Stack what the options ask for on t, which is taken over. */
static int stack_transport(struct pf__transport **out, struct pf__transport *t,
			   const struct pf_options *o)
{
	int r;

	*out = t;
	if (o->faults) {
		r = pf__transport_fault(out, t, o->faults);
		if (r)
			return r;
		t = *out;
	}
	return o->trace ? pf__transport_trace(out, t, o->trace, o->trace_ctx) : 0;
}

int pf__super_transport(struct pf__transport **t, int fd, size_t peer_sndbuf,
			const struct pf_options *options)
{
	struct pf__transport *socket;
	struct pf_options o;
	int r = pf__options_read(&o, options);

	if (r) {
		close(fd);
		return r;
	}
	r = pf__transport_fd(&socket, fd, TICK_MS, peer_sndbuf);
	return r ? r : stack_transport(t, socket, &o);
}

int pf_attach(struct pf_fs **fs, int fd, const struct pf_options *options)
{
	struct pf__transport *t;
	int r = pf__super_transport(&t, fd, 0, options);

	*fs = NULL;
	return r ? r : pf__super_open(fs, t, options, NULL, NULL, NULL);
}

int pf_attach_inproc(struct pf_fs **fs, const struct pf_inproc_ops *ops, void *ctx,
		     const struct pf_options *options)
{
	struct pf__transport *inproc, *t;
	struct pf_options o;
	int r = pf__options_read(&o, options);

	*fs = NULL;
	if (!r)
		r = pf__transport_inproc(&inproc, ops, ctx, TICK_MS, NULL);
	if (!r)
		r = stack_transport(&t, inproc, &o);
	return r ? r : pf__super_open(fs, t, options, NULL, NULL, NULL);
}

/* Every handle back first, then every lookup, which the handles' inodes held until then. Pages of
 * data lost since the start, and the last error that cost some. */
static uint64_t super_disconnect(struct pf__super *s, int *error)
{
	bool answered;
	uint64_t lost;

	pf__files_release_all(s);
	answered = pf__conn_drain(s->conn, STOP_TIMEOUT_MS);
	/* A tick may hold the last reference to an inode, whose lookups are to be given back now.
	 */
	pf__conn_stop_ticks(s->conn);
	pf__io_finish(s->io);
	pf__cache_shrink(s->cache);
	pf__conn_flush_forgets(s->conn);
	pf__conn_close(s->conn, answered ? STOP_TIMEOUT_MS : GIVEN_UP_TIMEOUT_MS);
	lost = pf__io_finish(s->io); /* what was under way at a server that did not answer */
	*error = pf__io_lost_error(s->io);
	s->conn = NULL;
	pf__backings_decide(s->backings, false);
	pf__cache_close(s->cache);
	s->cache = NULL;
	pf__io_close(s->io);
	s->io = NULL;
	return lost;
}

/* Was the server lost before the end? Then an errno, and why: its own end, if that is known. */
static int loss(struct pf__super *s, char *why, size_t size)
{
	const struct pf__owner_ops *ops = s->owner_ops;
	int death = pf__conn_death(s->conn);
	const char *obituary = NULL;

	if (death == -ENOTCONN && ops && ops->obituary)
		obituary = ops->obituary(s->owner);
	if (death == -ENOTCONN)
		snprintf(why, size, "%s", obituary ? obituary : "the server hung up");
	else if (death == -ETIMEDOUT)
		snprintf(why, size, "the server did not answer within the time that it had");
	else
		death = 0; /* pf_abort(): the caller knows */
	return death;
}

int pf_stop(struct pf_fs *fs)
{
	struct pf__super *s;
	char why[700];
	uint64_t pages, deadline;
	int r = 0, lost, error;

	if (!fs)
		return 0;
	s = fs->super;
	if (!fs->is_root_view)
		return pf__fail(-EINVAL, "stop: a view ends with pf_view_free()");
	r = pf__aio_stop(s);
	if (r)
		return pf__fail(r, "stop: not from the callback of an asynchronous call");
	deadline = pf__now() + SYNC_TIMEOUT;
	(void)pf__io_sync_all(s->io, deadline);
	if (pf__now() >= deadline)
		pf__conn_abort(s->conn, -ETIMEDOUT);
	lost = loss(s, why, sizeof why);
	atomic_store(&s->io->stopping, true);
	pages = super_disconnect(s, &error);
	if (s->owner_ops && s->owner_ops->stop)
		r = s->owner_ops->stop(s->owner);
	s->owner_ops = NULL;
	pf__free(fs);
	pf__super_put(s);
	if (lost && pages)
		return pf__fail(lost, "%s; %" PRIu64 " KiB of data were not written", why,
				pages * PF_PAGE / 1024);
	if (lost)
		return pf__fail(lost, "%s", why);
	if (pages)
		return pf__fail(error ? error : -EIO, "%" PRIu64 " KiB of data were not written:",
				pages * PF_PAGE / 1024);
	return r < 0 ? r : 0;
}

void pf_abort(struct pf_fs *fs)
{
	if (!atomic_load(&fs->super->stopped))
		pf__conn_abort(fs->super->conn, -ECONNABORTED);
}

const char *pf_mountpoint(struct pf_fs *fs)
{
	const struct pf__owner_ops *ops = fs->super->owner_ops;
	const char *path = ops && ops->mountpoint ? ops->mountpoint(fs->super->owner) : NULL;

	return path ? path : "";
}

pid_t pf_server_pid(struct pf_fs *fs)
{
	const struct pf__owner_ops *ops = fs->super->owner_ops;

	return ops && ops->server_pid ? ops->server_pid(fs->super->owner) : 0;
}

int pf_get_fd(struct pf_fs *fs)
{
	if (atomic_load(&fs->super->stopped))
		return pf__fail_op(-ENOTCONN, "get_fd", NULL);
	return pf__conn_fd(fs->super->conn);
}

int pf_service(struct pf_fs *fs)
{
	if (atomic_load(&fs->super->stopped))
		return pf__fail_op(-ENOTCONN, "service", NULL);
	return pf__conn_service(fs->super->conn);
}
