/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the cache share: a server that only counts what it gets back. */
#ifndef TESTS_CACHE_CACHE_H
#define TESTS_CACHE_CACHE_H

#include "base/alloc.h"
#include "base/clock.h"
#include "cache/inode.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define MAX_NODES 4096
#define SEC       PF_NSEC_PER_SEC

struct server {
	_Atomic uint64_t forgotten[MAX_NODES];
	_Atomic uint64_t calls;
};
extern struct server server;

static inline void count_forget(void *ctx, uint64_t nodeid, uint64_t nlookup)
{
	struct server *s = ctx;

	s->calls++;
	s->forgotten[nodeid % MAX_NODES] += nlookup;
}

static inline struct pf__cache *open_cache(size_t max_names)
{
	static const struct pf__cache_ops ops = {.forget = count_forget};
	struct pf__cache_config config = {.ops = &ops, .ctx = &server, .max_names = max_names};
	struct pf__cache *c = NULL;

	memset(&server, 0, sizeof server);
	assert_int_equal(pf__cache_open(&c, &config), 0);
	return c;
}

static inline struct fuse_entry_out entry(uint64_t nodeid, uint32_t type, uint64_t valid)
{
	return (struct fuse_entry_out){
	    .nodeid = nodeid,
	    .entry_valid = valid,
	    .attr_valid = valid,
	    .attr = {.ino = nodeid, .mode = type | 0755, .nlink = 1, .size = 10},
	};
}

static inline int enter(struct pf__cache *c, struct pf__inode *dir, const char *name,
			const struct fuse_entry_out *e, struct pf__inode **inode)
{
	struct pf__sample s = pf__cache_sample(c);

	return pf__name_enter(c, dir, name, strlen(name), e, &s, NULL, inode);
}

/* A file or directory of a second's validity times valid; the reference is the caller's. */
static inline struct pf__inode *add(struct pf__cache *c, struct pf__inode *dir, const char *name,
				    uint64_t nodeid, uint32_t type)
{
	struct fuse_entry_out e = entry(nodeid, type, 1000);
	struct pf__inode *inode = NULL;

	assert_int_equal(enter(c, dir, name, &e, &inode), 0);
	assert_non_null(inode);
	return inode;
}

static inline void add_put(struct pf__cache *c, struct pf__inode *dir, const char *name,
			   uint64_t nodeid, uint32_t type)
{
	pf__inode_put(c, add(c, dir, name, nodeid, type));
}

static inline enum pf__name_state state_of(struct pf__cache *c, struct pf__inode *dir,
					   const char *name)
{
	struct pf__inode *inode;
	enum pf__name_state s = pf__name_find(c, dir, name, strlen(name), &inode);

	pf__inode_put(c, inode);
	return s;
}

static inline void assert_sound(struct pf__cache *c)
{
	const char *wrong = pf__cache_check(c);

	if (wrong)
		fail_msg("%s", wrong);
}

static inline void close_cache(struct pf__cache *c)
{
	assert_sound(c);
	pf__cache_close(c);
}

#endif
