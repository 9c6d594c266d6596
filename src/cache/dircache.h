/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What directories contained when they were last read, for servers that allow it
 * (FOPEN_CACHE_DIR): per directory one listing, the records of its READDIR replies in their order.
 * A listing grows while somebody reads the directory from its start, is complete when he comes to
 * the end, and is of use to others from then on.
 *
 * A listing remembers the directory's mtime and count of changes, and the epoch, of the moment
 * before its first request. Where they differ at the start of another reading it is dropped. A
 * reading that has begun goes on with it: POSIX leaves open whether it sees what changes meanwhile.
 *
 * Offsets are the server's cookies: that of a record says where the next one is to be found.
 *
 * Locks: cache->dirs.lock (PF_RANK_DIRS) guards all listings while they grow, their order of last
 * use and their bytes. Readers of complete ones take none: records do not change, and go by RCU.
 * Every function here may be called from any thread that holds a reference to the directory; none
 * waits for the server. A cursor belongs to one open file and to one thread at a time.
 */
#ifndef PF_CACHE_DIRCACHE_H
#define PF_CACHE_DIRCACHE_H

#include "cache/inode.h"
#include "proto/proto.h"

/* Bytes that all listings of a client take at most; one of them at most half of it. Beyond, the
 * least recently started ones go. */
#define PF_DIRCACHE_MAX (32u << 20)
/* Larger records are not kept, as Linux would not (a page). The listing ends before one. */
#define PF_DIRCACHE_MAX_RECORD 4096u

/* Where an open directory stands in the listing. All zero at first. */
struct pf__dircursor {
	uint64_t id;       /* of the listing that off, block and pos are of; 0: none */
	uint64_t off;      /* cookie before the next record */
	const void *block; /* the record's place; only while id is the directory's listing */
	size_t pos;
	uint64_t fills; /* id of the listing that grows by this reading; 0: none */
};

/* One record of a listing. */
struct pf__dirlisted {
	uint64_t ino, off;
	uint32_t type; /* DT_* */
	uint16_t namelen;
	bool has_attr; /* the name is cached, valid, and of that type and number: its attributes */
	struct fuse_attr attr;
};

/*
 * A reading starts at offset 0: drop a listing that is out of date, make one that can grow if there
 * is none. The caller has refreshed the mtime where that is wanted. True: a complete one stands.
 */
bool pf__dircache_start(struct pf__cache *cache, struct pf__inode *dir, struct pf__dircursor *at);
/*
 * The record at offset off of the complete listing, its name to name (room for 4,096 bytes,
 * terminated). 1 a record, 0 the end of the directory, -EAGAIN there is no complete listing, or off
 * is no offset in it: ask the server.
 */
int pf__dircache_next(struct pf__cache *cache, struct pf__inode *dir, struct pf__dircursor *at,
		      uint64_t off, struct pf__dirlisted *out, char *name);
/* What the server answered to a READDIR (plus: READDIRPLUS) at off by this reading: its records
 * are appended if they follow what stands there. len 0: the end of the directory. */
void pf__dircache_add(struct pf__cache *cache, struct pf__inode *dir, struct pf__dircursor *at,
		      uint64_t off, const struct pf__dialect *d, bool plus, void *reply,
		      size_t len);
/* The listing goes, for readers in the middle of it too: they ask the server from there on. */
void pf__dircache_drop(struct pf__cache *cache, struct pf__inode *dir);
void pf__dircache_drop_all(struct pf__cache *cache);

/* The directory was given, or lost, or may have lost a name: what is listed is out of date. */
void pf__dir_count_change(struct pf__inode *dir);

#endif
