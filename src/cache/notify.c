/* SPDX-License-Identifier: BSD-2-Clause */
/* What the server tells unasked. The result is the errno that its write would get. */
#include "cache/dircache.h"
#include "cache/internal.h"
#include <errno.h>
#include <sys/stat.h>

/* The name, after what INVAL_ENTRY and DELETE share; with the lock held. */
static int find_entry(struct pf__cache *c, uint64_t parent, const char *name, size_t len,
		      struct pf__inode **dir, struct pf__name **n)
{
	*dir = pf__inode_find_locked(c, parent);
	if (!*dir)
		return -ENOENT;
	if (pf__inode_type(*dir) != S_IFDIR)
		return -ENOTDIR;
	/* A LOOKUP that is under way may bring what was just declared void. */
	pf__dir_changed(c, *dir);
	pf__dir_count_change(*dir);
	*n = pf__name_find_locked(c, *dir, name, len);
	if (!*n)
		return -ENOENT;
	pf__inode_invalidate(c, *dir, PF_ATTR_ALL);
	return 0;
}

int pf__cache_inval_entry(struct pf__cache *cache, uint64_t parent, const char *name, size_t len,
			  bool expire_only)
{
	struct pf__inode *dir;
	struct pf__name *n;
	int err;

	pf__mutex_lock(&cache->lock);
	err = find_entry(cache, parent, name, len, &dir, &n);
	if (!err && expire_only)
		pf__name_set_expired(cache, n);
	else if (!err)
		pf__name_remove_tree(cache, n);
	pf__mutex_unlock(&cache->lock);
	return err;
}

static bool has_positive_child(const struct pf__inode *dir)
{
	struct pf__list *pos;

	if (!dir->ext)
		return false;
	pf__list_for_each (pos, &dir->ext->children)
		if (pf__list_entry(pos, struct pf__name, sibling)->inode)
			return true;
	return false;
}

/* n leads to child: may it go? */
static int delete_child(struct pf__cache *c, struct pf__name *n, uint64_t child)
{
	struct pf__inode *inode = n->inode;
	bool is_dir;

	if (!inode || inode->nodeid != child) {
		pf__name_remove_tree(c, n);
		return -ENOENT;
	}
	is_dir = pf__inode_type(inode) == S_IFDIR;
	if (is_dir) {
		pf__cache_prune_below(c, inode);
		if (has_positive_child(inode)) {
			pf__name_set_expired(c, n);
			return -ENOTEMPTY;
		}
	}
	pf__attr_unlinked(c, inode, true);
	pf__name_remove_tree(c, n);
	return 0;
}

int pf__cache_delete(struct pf__cache *cache, uint64_t parent, uint64_t child, const char *name,
		     size_t len)
{
	struct pf__inode *dir;
	struct pf__name *n;
	int err;

	pf__mutex_lock(&cache->lock);
	err = find_entry(cache, parent, name, len, &dir, &n);
	if (!err && child)
		err = delete_child(cache, n, child);
	else if (!err)
		pf__name_remove_tree(cache, n);
	pf__mutex_unlock(&cache->lock);
	return err;
}

int pf__cache_inval_inode(struct pf__cache *cache, uint64_t nodeid)
{
	struct pf__inode *inode = pf__inode_find(cache, nodeid);

	if (!inode)
		return -ENOENT;
	pf__inode_bump(cache, inode, PF_ATTR_ALL);
	pf__dir_count_change(inode);
	pf__inode_drop_acls(cache, inode);
	pf__inode_drop_symlink(cache, inode);
	pf__inode_put(cache, inode);
	return 0;
}

void pf__cache_inc_epoch(struct pf__cache *cache)
{
	__atomic_add_fetch(&cache->epoch, 1, __ATOMIC_ACQ_REL);
	if (pf__is_shown(cache))
		pf__shown_epoch(cache);
}

void pf__cache_prune(struct pf__cache *cache, uint64_t nodeid)
{
	struct pf__inode *inode;

	pf__mutex_lock(&cache->lock);
	inode = pf__inode_find_locked(cache, nodeid);
	/* The last name takes the inode with it. */
	while (inode && inode->names && !pf__name_is_used(inode->names)) {
		bool last = inode->nnames == 1;

		pf__name_remove(cache, inode->names);
		if (last)
			break;
	}
	pf__mutex_unlock(&cache->lock);
}
