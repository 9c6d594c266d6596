/* SPDX-License-Identifier: BSD-2-Clause */
/* One name in one directory: from the cache while it is valid there, else by LOOKUP. */
#include "base/clock.h"
#include "vfs/names.h"
#include <errno.h>
#include <string.h>

/* ---- LOOKUP */

/* What became of one LOOKUP, beside its errno. */
struct outcome {
	bool answered; /* by a valid reply, be it an error */
	bool refused;  /* by an entry that is not valid; nothing of it has been given back */
};

static int send_lookup(const struct pf__from *f, struct pf__inode *dir, const char *name,
		       size_t len, struct fuse_entry_out *e, struct outcome *out)
{
	char text[FUSE_NAME_MAX_LONG + 1];
	struct pf__req r;

	memcpy(text, name, len);
	text[len] = '\0';
	pf__req_init(&r, &f->caller, FUSE_LOOKUP, pf__inode_nodeid(dir));
	pf__req_in(&r, text, len + 1);
	pf__req_out(&r, e, sizeof *e);
	pf__request(f->super->conn, &r);
	if (r.forget)
		pf__conn_forget(f->super->conn, e->nodeid, 1);
	out->answered = r.answered;
	out->refused = r.error == -EIO && !r.answered && !r.forget && r.out_len == sizeof *e;
	return r.error;
}

/* A name that nothing is known of. */
static int ask(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len,
	       struct pf__inode **inode)
{
	struct pf__cache *cache = f->super->cache;
	struct pf__sample sample = pf__cache_sample(cache);
	struct fuse_entry_out e = {0};
	struct outcome out;
	int err = send_lookup(f, dir, name, len, &e, &out);

	if (err == -ENOENT) { /* true now, but not to be remembered */
		e.nodeid = e.entry_valid = e.entry_valid_nsec = 0;
		pf__name_enter(cache, dir, name, len, &e, &sample, NULL, NULL);
	}
	if (err)
		return err;
	err = pf__name_enter(cache, dir, name, len, &e, &sample, NULL, inode);
	if (err)
		return err;
	if (!*inode)
		return -ENOENT;
	pf__dir_advise(dir);
	return 0;
}

/* A name that led to known, whose time is over. -ESTALE: it does not any more, ask afresh. */
static int revalidate(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len,
		      struct pf__inode *known, struct pf__inode **inode)
{
	struct pf__cache *cache = f->super->cache;
	struct pf__sample sample = pf__cache_sample(cache);
	struct fuse_entry_out e = {0};
	struct outcome out;
	int err = send_lookup(f, dir, name, len, &e, &out);

	if (!err)
		return pf__name_enter(cache, dir, name, len, &e, &sample, known, inode);
	/* Unless nothing was learned, the name is void. */
	if (err == -ENOMEM || err == -EINTR || (!out.answered && err != -EIO))
		return err;
	/* Rules 12.8 and 12.9: this lookup is not lost, as that of a name seen first would be. */
	if (out.refused && e.nodeid != FUSE_ROOT_ID)
		pf__conn_forget(f->super->conn, e.nodeid, 1);
	pf__name_drop(cache, dir, name, len);
	return -ESTALE;
}

/* known: what an expired name led to, or NULL; its reference is used up. */
static int lookup_slow(const struct pf__from *f, struct pf__inode *dir, const char *name,
		       size_t len, struct pf__inode *known, struct pf__inode **inode)
{
	int err = -ESTALE;

	if (known)
		err = revalidate(f, dir, name, len, known, inode);
	pf__inode_put(f->super->cache, known);
	return err == -ESTALE ? ask(f, dir, name, len, inode) : err;
}

/* What the cache says: 0, -ENOENT, or -EAGAIN with *known for the slow way. */
static int look(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len,
		enum pf__ask again, struct pf__inode **inode, struct pf__inode **known)
{
	enum pf__name_state state = pf__name_find(f->super->cache, dir, name, len, known);

	if (!again && state == PF_NAME_POSITIVE) {
		*inode = *known;
		return 0;
	}
	return again != PF_ASK_ALL && state == PF_NAME_NEGATIVE ? -ENOENT : -EAGAIN;
}

/* With the name's turn. */
static int lookup_now(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len,
		      enum pf__ask again, struct pf__inode **inode)
{
	struct pf__inode *known;
	int err = pf__gate_enter(f, dir);

	if (err)
		return err;
	/* Whoever held the gate, or had the turn, may have asked for the same name. */
	err = look(f, dir, name, len, again, inode, &known);
	if (err == -EAGAIN)
		err = lookup_slow(f, dir, name, len, known, inode);
	pf__gate_leave(f, dir);
	return err;
}

int pf__lookup_ask(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len,
		   enum pf__ask again, struct pf__inode **inode)
{
	struct pf__turn turn = {.kind = PF_TURN_LOOKUP, .dir = dir, .name = name, .len = len};
	struct pf__inode *known;
	int err;

	*inode = NULL;
	if (pf__inode_type(dir) != S_IFDIR)
		return -ENOTDIR;
	if (pf__inode_is_bad(dir))
		return -EIO;
	if (len > f->super->got->dialect.name_max)
		return -ENAMETOOLONG;
	err = look(f, dir, name, len, again, inode, &known);
	if (err != -EAGAIN)
		return err;
	pf__inode_put(f->super->cache, known);
	err = pf__turn_enter(f, &turn);
	if (err < 0)
		return err;
	err = lookup_now(f, dir, name, len, again, inode);
	pf__turn_leave(f, &turn);
	return err;
}

int pf__lookup(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len,
	       struct pf__inode **inode)
{
	return pf__lookup_ask(f, dir, name, len, PF_ASK_EXPIRED, inode);
}

/* ---- ".." */

static int ask_parent(const struct pf__from *f, struct pf__inode *dir, struct pf__inode **parent)
{
	struct pf__cache *cache = f->super->cache;
	struct pf__sample sample = pf__cache_sample(cache);
	struct fuse_entry_out e = {0};
	struct outcome out;
	int err;

	if (!pf__conn_has(f->super->conn, FUSE_EXPORT_SUPPORT))
		return -ESTALE;
	err = send_lookup(f, dir, "..", 2, &e, &out);
	if (!err && !e.nodeid)
		err = -ENOENT;
	if (err)
		return err == -ENOENT ? -ESTALE : err;
	if (e.nodeid == FUSE_ROOT_ID) {
		*parent = pf__inode_get(pf__cache_root(cache));
	} else {
		err = pf__inode_enter(cache, &e, &sample, parent);
		if (err)
			return err;
	}
	if (pf__inode_type(*parent) == S_IFDIR) {
		pf__inode_set_parent(cache, dir, *parent);
		return 0;
	}
	pf__inode_put(cache, *parent);
	*parent = NULL;
	return -EIO;
}

int pf__lookup_parent(const struct pf__from *f, struct pf__inode *dir, struct pf__inode **parent)
{
	struct pf__cache *cache = f->super->cache;

	if (dir == pf__cache_root(cache))
		*parent = pf__inode_get(dir);
	else
		*parent = pf__inode_parent(cache, dir);
	return *parent ? 0 : ask_parent(f, dir, parent);
}
