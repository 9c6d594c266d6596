/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading directories. Replies are large (few trips), and those of READDIRPLUS feed the cache of
 * names and attributes as they come in, before the first entry is handed out: the server has
 * counted a lookup for every record. Where the server allows it (FOPEN_CACHE_DIR) replies also go
 * into the directory's listing, and a listing that is complete serves instead of requests.
 */
#include "base/arith.h"
#include "base/errmsg.h"
#include "cache/dircache.h"
#include "vfs/internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#define REPLY_SIZE (128u << 10)
#define PAGE       4096u

/* A directory being read. All of it belongs to whoever holds the file's position. */
struct pf__dirstream {
	uint64_t tell; /* cookie after the last entry handed out: where the next request goes on */
	size_t pos, len;         /* what is left of the reply */
	size_t size;             /* of buf */
	bool plus;               /* the reply is READDIRPLUS's */
	bool end;                /* the server said so, at tell */
	struct pf__dircursor at; /* in the directory's listing */
	char name[FUSE_NAME_MAX_LONG + 1];
	char buf[] __attribute__((aligned(8)));
};

void pf__dirstream_free(struct pf__dirstream *d)
{
	pf__free(d);
}

static struct pf__dirstream *dirstream(struct pf__open_file *of)
{
	const struct pf__super *s = of->super;
	uint64_t size = pf__min_u64(REPLY_SIZE, (uint64_t)s->got->max_pages * PAGE);

	if (of->dir)
		return of->dir;
	if (s->max_reply)
		size = pf__min_u64(size, PF_ALIGN_DOWN((uint64_t)s->max_reply, 8));
	of->dir = pf__malloc(sizeof *of->dir + size);
	if (!of->dir)
		return NULL;
	*of->dir = (struct pf__dirstream){.size = size};
	return of->dir;
}

/*
 * READDIRPLUS costs the server a lookup for each entry. Under AUTO it is used where it is likely to
 * pay: at the start, and as long as the names found are looked up.
 */
static bool use_plus(struct pf__open_file *of, const struct pf__dirstream *d)
{
	const struct pf__conn *conn = of->super->conn;

	if (!pf__conn_has(conn, FUSE_DO_READDIRPLUS) || pf__conn_nosys(conn, FUSE_READDIRPLUS))
		return false;
	return !pf__conn_has(conn, FUSE_READDIRPLUS_AUTO) || d->tell == 0 ||
	       pf__dir_take_advice(of->inode);
}

/* Every record of a READDIRPLUS reply is a lookup: keep it, or give it back. Behind a record with a
 * bad name nothing was counted. */
static void take_in_entries(struct pf__open_file *of, struct pf__dirstream *d,
			    const struct pf__sample *sample)
{
	struct pf__super *s = of->super;
	struct pf__dir_record r;
	struct pf__inode *inode;
	size_t pos = 0;

	while (pf__dir_next(&s->got->dialect, true, d->buf, d->len, &pos, &r) > 0) {
		if (r.forget)
			pf__conn_forget(s->conn, r.entry->nodeid, 1);
		else if (r.link && !pf__name_enter(s->cache, of->inode, r.name, r.namelen, r.entry,
						   sample, NULL, &inode)) {
			pf__inode_from_readdirplus(inode);
			pf__inode_put(s->cache, inode);
		}
	}
}

static int request(struct pf__open_file *of, struct pf__dirstream *d, bool plus)
{
	struct fuse_read_in in = {.fh = of->io.fh,
				  .offset = d->tell,
				  .size = (uint32_t)d->size,
				  .flags = pf__wire_flags(atomic_load(&of->flags))};
	struct pf__turn turn = {.kind = PF_TURN_LIST, .dir = of->inode};
	struct pf__from f;
	struct pf__req r;
	int err;

	pf__from_open(&f, of);
	pf__req_init(&r, &f.caller, plus ? FUSE_READDIRPLUS : FUSE_READDIR,
		     pf__inode_nodeid(of->inode));
	pf__req_in(&r, &in, sizeof in);
	pf__req_out(&r, d->buf, d->size);
	r.expect_size = d->size;
	err = plus ? pf__turn_enter(&f, &turn) : 0;
	if (err < 0)
		return err;
	err = pf__gate_enter(&f, of->inode);
	if (!err) {
		pf__request(of->super->conn, &r);
		pf__gate_leave(&f, of->inode);
	}
	if (plus)
		pf__turn_leave(&f, &turn);
	if (err)
		return err;
	d->pos = 0;
	d->len = r.error ? 0 : r.out_len;
	d->plus = plus;
	return r.error;
}

static int fill(struct pf__open_file *of, struct pf__dirstream *d)
{
	struct pf__sample sample = pf__cache_sample(of->super->cache);
	bool plus = use_plus(of, d);
	int r = request(of, d, plus);

	if (plus && r == -ENOSYS) {
		pf__conn_set_nosys(of->super->conn, FUSE_READDIRPLUS);
		plus = false;
		r = request(of, d, plus);
	}
	if (r)
		return r;
	d->end = d->len == 0;
	if (plus)
		take_in_entries(of, d, &sample);
	pf__dircache_add(of->super->cache, of->inode, &d->at, d->tell, &of->super->got->dialect,
			 plus, d->buf, d->len);
	if (!of->super->mount.read_only)
		pf__inode_invalidate(of->super->cache, of->inode, PF_ATTR_ATIME);
	return 0;
}

static void hand_out(const struct pf__super *s, struct pf__dirstream *d,
		     const struct pf__dir_record *r, struct pf_dirent *e)
{
	memcpy(d->name, r->name, r->namelen);
	d->name[r->namelen] = '\0';
	d->tell = r->off;
	e->ino = r->ino;
	e->off = r->off;
	e->type = (unsigned char)r->type;
	e->namelen = (uint16_t)r->namelen;
	e->name = d->name;
	e->has_stat = r->entry && r->link;
	if (e->has_stat)
		pf__attr_to_stat(s, &r->entry->attr, &e->st);
}

/* At the start: is there a listing of what the directory holds now? With AUTO_INVAL_DATA its mtime
 * counts as long as attributes do. */
static int start_listing(struct pf__open_file *of, struct pf__dirstream *d)
{
	struct pf__super *s = of->super;
	struct pf__from f;
	struct pf__attr a;

	if (pf__conn_has(s->conn, FUSE_AUTO_INVAL_DATA)) {
		int r;

		pf__from_open(&f, of);
		r = pf__getattr(&f, of->inode, PF_ATTR_MTIME, of, &a);
		if (r)
			return r;
	}
	if (pf__dircache_start(s->cache, of->inode, &d->at))
		atomic_fetch_add_explicit(&s->io->stats.dir_cache_hits, 1, memory_order_relaxed);
	return 0;
}

/* The next entry by the listing; -EAGAIN: by request. */
static int next_listed(struct pf__open_file *of, struct pf__dirstream *d, struct pf_dirent *e)
{
	struct pf__super *s = of->super;
	struct pf__dirlisted l;
	int r = 0;

	if (!(of->io.open_flags & FOPEN_CACHE_DIR))
		return -EAGAIN;
	if (d->tell == 0)
		r = start_listing(of, d);
	if (!r)
		r = pf__dircache_next(s->cache, of->inode, &d->at, d->tell, &l, d->name);
	d->end = r == 0;
	if (r <= 0)
		return r;
	d->tell = l.off;
	e->ino = l.ino;
	e->off = l.off;
	e->type = (unsigned char)l.type;
	e->namelen = l.namelen;
	e->name = d->name;
	e->has_stat = l.has_attr;
	if (l.has_attr)
		pf__attr_to_stat(s, &l.attr, &e->st);
	return 1;
}

static int next_entry(struct pf__open_file *of, struct pf_dirent *e)
{
	struct pf__dirstream *d = dirstream(of);
	struct pf__dir_record r;
	int n;

	if (!d)
		return -ENOMEM;
	while (!d->end) {
		n = pf__dir_next(&of->super->got->dialect, d->plus, d->buf, d->len, &d->pos, &r);
		if (n > 0) {
			hand_out(of->super, d, &r, e);
			return 1;
		}
		d->len = d->pos = 0; /* at the end, or behind it nothing can be trusted */
		if (!n)
			n = next_listed(of, d, e);
		if (n == -EAGAIN)
			n = fill(of, d);
		if (n)
			return n;
	}
	return 0;
}

int pf_readdir(struct pf_file *dir, struct pf_dirent *entry)
{
	struct pf__open_file *of;
	int r = pf__file_check(dir, PF_NEED_HANDLE | PF_NEED_DIR, &of);

	if (!r) {
		pf__pos_lock(of);
		r = next_entry(of, entry);
		pf__pos_unlock(of, 0);
	}
	return r < 0 ? pf__fail_op(r, "readdir", NULL) : r;
}

int pf__dir_seek(struct pf__open_file *of, uint64_t off)
{
	struct pf__dirstream *d;
	int r = 0;

	pf__pos_lock(of);
	d = dirstream(of);
	if (!d) {
		r = -ENOMEM;
	} else if (off != d->tell || off == 0) {
		d->tell = off;
		d->pos = d->len = 0;
		d->end = false;
	}
	pf__pos_unlock(of, 0);
	return r;
}

uint64_t pf__dir_tell(struct pf__open_file *of)
{
	uint64_t off;

	pf__pos_lock(of);
	off = of->dir ? of->dir->tell : 0;
	pf__pos_unlock(of, 0);
	return off;
}

int pf_seekdir(struct pf_file *dir, uint64_t off)
{
	struct pf__open_file *of;
	int r = pf__file_check(dir, PF_NEED_HANDLE | PF_NEED_DIR, &of);

	if (!r)
		r = pf__file_seekable(of) ? pf__dir_seek(of, off) : -ESPIPE;
	return r ? pf__fail_op(r, "seekdir", NULL) : 0;
}

uint64_t pf_telldir(struct pf_file *dir)
{
	struct pf__open_file *of;

	return pf__file_check(dir, PF_NEED_HANDLE | PF_NEED_DIR, &of) ? 0 : pf__dir_tell(of);
}
