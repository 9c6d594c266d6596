/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a run lets its programs see of what it knows: memory that src/preload/ maps, read-only. With
 * it a program can tell by itself that a path leads elsewhere, and look at attributes that are
 * cached; all else is asked for as ever, by system calls that are trapped.
 *
 * All is written by the supervisor. Words are atomic; facts of several words are hashes that torn
 * ones do not match, or have a sequence count (cache/shown.h). Nothing in here points anywhere.
 */
#ifndef PF_RUN_SHARED_H
#define PF_RUN_SHARED_H

#include "base/hash.h"
#include "cache/shown.h"
#include <stdatomic.h>
#include <string.h>
#include <time.h>

/*
 * Calls that are made by the code of this page are not trapped, if the page is there; the code is
 * behind struct pf__shared, and called as PF_PASS(). The address is one that programs do not use,
 * and that 39 bits suffice for. (A secret argument instead, as injected calls have it, would stay
 * in its register, where signal handlers and libc's next call of fewer arguments would bring it
 * along.)
 */
#define PF_PASS_PAGE 0x3070000000ull
#define PF_PASS_OFFSET                                                                             \
	((sizeof(struct pf__shared) + 0xffff) & ~(size_t)0xffff) /* any page size                  \
								  */
#define PF_PASS ((pf__pass_fn)(uintptr_t)PF_PASS_PAGE)
/* The result or negative errno. */
typedef long (*pf__pass_fn)(long nr, long a, long b, long c, long d, long e);

/* Opened by a program of the run it is this memory. */
#define PF_SHARED_NAME    "/proc/self/portfire"
#define PF_SHARED_VERSION 0x706f727466697231ull

#define PF_KNOWN_SLOTS 8192u
#define PF_KNOWN_MS    1000 /* how long what is known of paths is good */
/* A change is told of before the kernel makes it: what was seen so soon after it is not kept. */
#define PF_CHANGE_MS 10

/* What is known of a path by its text. */
enum pf__known {
	PF_KNOWN_NO_LINK = 1,
	PF_KNOWN_OUTSIDE,          /* a last link not followed */
	PF_KNOWN_OUTSIDE_FOLLOWED, /* followed */
	PF_KNOWN_INSIDE,           /* shown: a canonical path of one of the mounts */
	PF_KNOWN_HELD,             /* shown: device and number of a file's stand-in */
};

/* The time of last access of a stand-in that no program has read: in seconds and ns. */
#define PF_UNREAD_SEC  0
#define PF_UNREAD_NSEC 1

struct pf__shared {
	uint64_t version;
	uint64_t seed;    /* of the hashes */
	uint64_t private; /* device of the directories that stand for ours */
	uint64_t memfd;   /* and of the files */
	_Atomic uint64_t disk;
	_Atomic uint32_t first_number; /* of placeholders; 0: there are none */
	char where[108];               /* the directories' directory, with a slash at its end */

	_Atomic uint32_t mounts; /* how many */
	_Atomic uint32_t given;  /* a program has had something of ours, or is getting it */
	_Atomic uint32_t busy;   /* files that programs may be writing, or that are on their way */
	_Atomic uint32_t mixed;  /* the programs' credentials may differ */
	_Atomic uint32_t places; /* another number: paths may lead elsewhere than they did */
	_Atomic uint32_t cwds;   /* another number: so may working directories */
	_Atomic int64_t places_changed, cwds_changed; /* ms; when */
	_Atomic uint32_t apart; /* a process may have several working directories, by its threads */
	_Atomic uint32_t dirs;  /* another number: a stand-in's may be another directory's */
	uint32_t pad[2];

	_Atomic uint64_t known[PF_KNOWN_SLOTS * 2];
	struct pf__shown shown;
};

static inline uint64_t pf__shared_key(const struct pf__shared *s, enum pf__known what,
				      const char *path, size_t len)
{
	return pf__hash_bytes(s->seed + what, path, len);
}

static inline uint64_t pf__shared_held_key(const struct pf__shared *s, uint64_t dev, uint64_t ino)
{
	const uint64_t id[2] = {dev, ino};

	return pf__hash_bytes(s->seed + PF_KNOWN_HELD, id, sizeof id);
}

static inline uint64_t pf__shared_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Two words a slot: the hash, and generation and time. Torn ones are of the same kind of fact. */
static inline bool pf__shared_knows(const struct pf__shared *s, enum pf__known what,
				    const char *path, size_t len, uint64_t now_ms)
{
	uint64_t h = pf__shared_key(s, what, path, len), when;
	const _Atomic uint64_t *slot = &s->known[h % PF_KNOWN_SLOTS * 2];

	when = atomic_load(&slot[1]);
	if (atomic_load(&slot[0]) != h || atomic_load(&slot[1]) != when)
		return false;
	return when >> 40 == (atomic_load(&s->places) & 0xffffff) &&
	       now_ms - (when & 0xffffffffff) < PF_KNOWN_MS;
}

/* Files of the kernel that the run has a part in, wherever they lead. */
static inline bool pf__shared_special(const char *path, size_t n)
{
	return n >= 4 && (!memcmp(path + n - 4, "fuse", 4) || !memcmp(path + n - 4, "fire", 4) ||
			  strstr(path, "mount") || !memcmp(path + n - 4, "mtab", 4));
}

/* Nothing is mounted, and nothing of a mount is in anybody's hands. */
static inline bool pf__shared_idle(const struct pf__shared *s)
{
	return !atomic_load_explicit(&s->mounts, memory_order_relaxed) &&
	       !atomic_load_explicit(&s->given, memory_order_relaxed);
}

#endif
