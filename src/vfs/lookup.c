/* SPDX-License-Identifier: BSD-2-Clause */
/* One name in one directory: from the cache while it is valid there, else by LOOKUP. */
#include "base/clock.h"
#include "base/futex.h"
#include "vfs/names.h"
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

/* ---- the gate: 0 open, 1 closed, 2 closed and somebody waits */

#define GATE_SLICE (50 * PF_NSEC_PER_MSEC) /* how often a waiter looks whether the server lives */

static bool has_gate(const struct pf__from *f)
{
	return !pf__conn_has(f->super->conn, FUSE_PARALLEL_DIROPS);
}

/* One who waits, for pf__gates_interrupt(). On its stack. */
struct waiter {
	struct pf__list link;
	const void *group;
	_Atomic uint32_t *gate;
	_Atomic bool interrupted;
};

static int wait_for_turn(const struct pf__from *f, struct waiter *w)
{
	while (atomic_exchange(w->gate, 2)) {
		int err = pf__futex_wait(w->gate, 2, pf__now() + GATE_SLICE);

		if (err == -EINTR || atomic_load(&w->interrupted))
			return -EINTR;
		if (pf__conn_dead(f->super->conn))
			return -ENOTCONN;
	}
	return 0;
}

int pf__gate_enter(const struct pf__from *f, struct pf__inode *dir)
{
	struct pf__super *s = f->super;
	struct waiter w = {.group = f->caller.group};
	uint32_t open = 0;
	int err;

	if (!has_gate(f))
		return 0;
	w.gate = pf__inode_gate(dir);
	if (!w.gate)
		return -ENOMEM;
	if (atomic_compare_exchange_strong(w.gate, &open, 1))
		return 0;
	pf__mutex_lock(&s->lock);
	pf__list_add_tail(&s->gate_waiters, &w.link);
	pf__mutex_unlock(&s->lock);
	err = wait_for_turn(f, &w);
	pf__mutex_lock(&s->lock);
	pf__list_del(&w.link);
	pf__mutex_unlock(&s->lock);
	return err;
}

int pf__gates_interrupt(struct pf__super *s, const void *group)
{
	struct pf__list *pos;
	int n = 0;

	pf__mutex_lock(&s->lock);
	pf__list_for_each (pos, &s->gate_waiters) {
		struct waiter *w = pf__list_entry(pos, struct waiter, link);

		if (w->group != group)
			continue;
		atomic_store(&w->interrupted, true);
		pf__futex_wake(w->gate, INT_MAX);
		n++;
	}
	pf__mutex_unlock(&s->lock);
	return n;
}

void pf__gate_leave(const struct pf__from *f, struct pf__inode *dir)
{
	_Atomic uint32_t *gate;

	if (!has_gate(f))
		return;
	gate = pf__inode_gate(dir); /* made when it was entered */
	if (atomic_exchange(gate, 0) == 2)
		pf__futex_wake(gate, 1);
}

/* In the order of their addresses: two renames shall not wait for each other. */
int pf__gates_enter(const struct pf__from *f, struct pf__inode *a, struct pf__inode *b)
{
	struct pf__inode *first = (uintptr_t)a < (uintptr_t)b ? a : b, *second = first == a ? b : a;
	int err = pf__gate_enter(f, first);

	if (err || first == second)
		return err;
	err = pf__gate_enter(f, second);
	if (err)
		pf__gate_leave(f, first);
	return err;
}

void pf__gates_leave(const struct pf__from *f, struct pf__inode *a, struct pf__inode *b)
{
	pf__gate_leave(f, a);
	if (b != a)
		pf__gate_leave(f, b);
}

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

int pf__lookup_ask(const struct pf__from *f, struct pf__inode *dir, const char *name, size_t len,
		   enum pf__ask again, struct pf__inode **inode)
{
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
	err = pf__gate_enter(f, dir);
	if (err) {
		pf__inode_put(f->super->cache, known);
		return err;
	}
	/* Whoever held the gate may have asked for the same name. */
	pf__inode_put(f->super->cache, known);
	err = look(f, dir, name, len, again, inode, &known);
	if (err == -EAGAIN)
		err = lookup_slow(f, dir, name, len, known, inode);
	pf__gate_leave(f, dir);
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
