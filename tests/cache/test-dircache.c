/* SPDX-License-Identifier: BSD-2-Clause */
/* Listings of directories by themselves: how much they take, which go, and that none is lost. */
#include "base/arith.h"
#include "cache.h"
#include "cache/dircache.h"
#include <pthread.h>

struct server server;

static const struct pf__dialect dialect = {.minor = 45};

#define REPLY (64u << 10)

static size_t put_record(char *buf, size_t len, uint64_t off)
{
	char name[200];
	struct fuse_dirent de = {.ino = off, .off = off, .type = S_IFREG >> 12};

	de.namelen =
	    (uint32_t)snprintf(name, sizeof name, "name-%0150llu", (unsigned long long)off);
	memset(buf + len, 0, PF_ALIGN_UP(sizeof de + de.namelen, (size_t)8));
	memcpy(buf + len, &de, sizeof de);
	memcpy(buf + len + sizeof de, name, de.namelen);
	return len + PF_ALIGN_UP(sizeof de + de.namelen, (size_t)8);
}

/* A reply of the records behind off; *off moves to its last one. */
static size_t make_reply(char *buf, uint64_t *off)
{
	size_t len = 0;

	while (len + 256 <= REPLY)
		len = put_record(buf, len, ++*off);
	return len;
}

/* Read dir from the start: n replies, then the end. The cookie of the last record. */
static uint64_t fill(struct pf__cache *c, struct pf__inode *dir, unsigned n)
{
	char *buf = malloc(REPLY);
	struct pf__dircursor at = {0};
	uint64_t off = 0, before;

	assert_false(pf__dircache_start(c, dir, &at));
	while (n--) {
		before = off;
		pf__dircache_add(c, dir, &at, before, &dialect, false, buf, make_reply(buf, &off));
	}
	pf__dircache_add(c, dir, &at, off, &dialect, false, NULL, 0);
	free(buf);
	return off;
}

static bool has_listing(struct pf__cache *c, struct pf__inode *dir)
{
	struct pf__dircursor at = {0};

	return pf__dircache_start(c, dir, &at);
}

static uint64_t bytes(struct pf__cache *c)
{
	struct pf__cache_stats st;

	pf__cache_stats(c, &st);
	return st.listing_bytes;
}

static struct pf__inode *add_dir(struct pf__cache *c, unsigned i)
{
	char name[20];

	snprintf(name, sizeof name, "d%u", i);
	return add(c, pf__cache_root(c), name, 2 + i, S_IFDIR);
}

static void records(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c);
	uint64_t last = fill(c, root, 3), off = 0;
	struct pf__dircursor at = {0};
	struct pf__dirlisted l;
	char name[4096];

	assert_true(pf__dircache_start(c, root, &at));
	while (pf__dircache_next(c, root, &at, off, &l, name) == 1) {
		assert_int_equal(l.off, off + 1);
		assert_int_equal(l.ino, l.off);
		assert_int_equal(l.namelen, strlen(name));
		assert_int_equal(atoi(name + 100), l.off);
		off = l.off;
	}
	assert_int_equal(off, last);
	assert_int_equal(pf__dircache_next(c, root, &at, last + 1, &l, name), -EAGAIN);
	assert_int_equal(pf__dircache_next(c, root, &at, last - 1, &l, name), 1);
	assert_int_equal(pf__dircache_next(c, root, &at, last, &l, name), 0);
	close_cache(c);
}

/* The one started longest ago goes first. */
static void least_recently_used(void **state)
{
	struct pf__cache *c = open_cache(100);
	unsigned n = PF_DIRCACHE_MAX / (4 << 20) + 1;
	struct pf__inode *dir[20];

	for (unsigned i = 0; i < n; i++) {
		dir[i] = add_dir(c, i);
		fill(c, dir[i], 63); /* not quite 4 MiB */
		if (i == n - 2)
			assert_true(has_listing(c, dir[0]));
		assert_true(bytes(c) <= PF_DIRCACHE_MAX);
	}
	assert_true(bytes(c) > PF_DIRCACHE_MAX - (8 << 20));
	assert_true(has_listing(c, dir[0]));
	assert_false(has_listing(c, dir[1]));
	for (unsigned i = 2; i < n; i++)
		assert_true(has_listing(c, dir[i]));
	for (unsigned i = 0; i < n; i++)
		pf__inode_put(c, dir[i]);
	close_cache(c);
}

/* What is too large alone goes, and takes nothing with it. */
static void too_large(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *small = add_dir(c, 0), *large = add_dir(c, 1);

	fill(c, small, 1);
	fill(c, large, PF_DIRCACHE_MAX / REPLY);
	assert_true(bytes(c) < 2 * REPLY);
	assert_false(has_listing(c, large));
	assert_true(has_listing(c, small));
	pf__inode_put(c, small);
	pf__inode_put(c, large);
	close_cache(c);
}

static void gone_with_inodes(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *dir = add_dir(c, 0);

	fill(c, dir, 2);
	fill(c, pf__cache_root(c), 2);
	pf__inode_put(c, dir);
	assert_true(bytes(c) > 3 * REPLY);
	pf__name_drop(c, pf__cache_root(c), "d0", 2);
	assert_true(bytes(c) < 3 * REPLY);
	pf__dircache_drop_all(c);
	assert_int_equal(bytes(c), 0);
	fill(c, pf__cache_root(c), 2); /* goes with the cache */
	close_cache(c);
}

/* Two who read at once, in replies cut differently: each record once. */
static void two_fill(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c);
	struct pf__dircursor a = {0}, b = {0};
	char buf[4096] __attribute__((aligned(8)));
	struct pf__dirlisted l;
	uint64_t off = 0;
	size_t one, len;

	assert_false(pf__dircache_start(c, root, &a));
	assert_false(pf__dircache_start(c, root, &b));
	one = put_record(buf, 0, 1);
	len = put_record(buf, one, 2);
	pf__dircache_add(c, root, &a, 0, &dialect, false, buf, one);
	pf__dircache_add(c, root, &b, 0, &dialect, false, buf, len);
	pf__dircache_add(c, root, &a, 1, &dialect, false, buf + one, len - one);
	pf__dircache_add(c, root, &a, 2, &dialect, false, NULL, 0);
	assert_true(pf__dircache_start(c, root, &a));
	while (pf__dircache_next(c, root, &a, off, &l, buf) == 1)
		assert_int_equal(l.off, ++off);
	assert_int_equal(off, 2);
	close_cache(c);
}

static void no_memory(void **state)
{
	int64_t live = pf__alloc_live();

	for (unsigned nth = 1; nth < 12; nth++) {
		struct pf__cache *c = open_cache(100);
		struct pf__inode *root = pf__cache_root(c);

		pf__alloc_fail_at(nth, nth & 1);
		fill(c, root, 2);
		pf__alloc_fail_at(0, 0);
		if (!has_listing(c, root))
			fill(c, root, 2);
		close_cache(c);
	}
	assert_int_equal(pf__alloc_live(), live);
}

/* ---- threads: directories that come, change and go while they are read */

#define THREADS 4
#define DIRS    2

static struct pf__cache *shared;

static void read_all(struct pf__inode *dir, struct pf__dircursor *at)
{
	struct pf__dirlisted l;
	uint64_t off = 0;
	char name[4096];

	while (pf__dircache_next(shared, dir, at, off, &l, name) == 1) {
		assert_int_equal(l.off, off + 1);
		assert_int_equal(atoi(name + 100), l.off);
		off = l.off;
	}
}

static void one_step(struct pf__inode *dir, unsigned what, char *buf)
{
	struct pf__dircursor at = {0};
	uint64_t off = 0, before;

	if (what == 0) {
		pf__dircache_drop(shared, dir);
	} else if (what == 1) {
		pf__dir_count_change(dir);
	} else if (what == 2) {
		pf__cache_inc_epoch(shared);
	} else if (what == 3) {
		pf__name_drop(shared, pf__cache_root(shared), "d1", 2);
	} else if (pf__dircache_start(shared, dir, &at)) {
		read_all(dir, &at);
	} else {
		for (int i = 0; i < 3; i++) {
			before = off;
			pf__dircache_add(shared, dir, &at, before, &dialect, false, buf,
					 make_reply(buf, &off));
		}
		pf__dircache_add(shared, dir, &at, off, &dialect, false, NULL, 0);
	}
}

static void *work(void *arg)
{
	uint64_t x = (uintptr_t)arg;
	char *buf = malloc(REPLY);

	for (int i = 0; i < 1000; i++) {
		struct pf__inode *dir;

		x = x * 6364136223846793005ull + 1442695040888963407ull;
		dir = add_dir(shared, (unsigned)(x >> 40) % DIRS);
		one_step(dir, (unsigned)(x >> 50) % 40, buf);
		pf__inode_put(shared, dir);
	}
	free(buf);
	return NULL;
}

static void threads(void **state)
{
	pthread_t t[THREADS];
	int64_t live = pf__alloc_live();

	shared = open_cache(100);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, work, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	pf__dircache_drop_all(shared);
	assert_int_equal(bytes(shared), 0);
	close_cache(shared);
	assert_int_equal(pf__alloc_live(), live);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records),   cmocka_unit_test(least_recently_used),
	    cmocka_unit_test(too_large), cmocka_unit_test(gone_with_inodes),
	    cmocka_unit_test(two_fill),  cmocka_unit_test(no_memory),
	    cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
