/* SPDX-License-Identifier: BSD-2-Clause */
/* Four threads do everything at random; in the end each lookup has been given back. */
#include "cache.h"
#include <pthread.h>

struct server server;

#define THREADS 4
#define DIRS    8
#define FILES   64

static struct pf__cache *cache;
static _Atomic uint64_t entered[MAX_NODES];
static unsigned rounds = 20000;

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void one_enter(struct pf__inode *dir, const char *name, uint64_t r)
{
	uint64_t nodeid = 2 + r % (DIRS + FILES);
	struct fuse_entry_out e = entry(nodeid, nodeid < 2 + DIRS ? S_IFDIR : S_IFREG, r >> 20 & 1);
	struct pf__sample s = pf__cache_sample(cache);
	struct pf__inode *i;

	if ((r >> 24) % 16 == 0)
		e.generation = r >> 28 & 1;
	if ((r >> 32) % 16 == 0)
		e.nodeid = 0;
	entered[e.nodeid]++;
	if (!pf__name_enter(cache, dir, name, strlen(name), &e, &s, NULL, &i))
		pf__inode_put(cache, i);
}

static void one_revalidation(struct pf__inode *dir, const char *name, uint64_t r)
{
	struct pf__sample s = pf__cache_sample(cache);
	struct pf__inode *i, *got = NULL;
	struct fuse_entry_out e;

	if (pf__name_find(cache, dir, name, strlen(name), &i) != PF_NAME_EXPIRED) {
		pf__inode_put(cache, i);
		return;
	}
	e = entry(pf__inode_nodeid(i), pf__inode_type(i), 1);
	e.generation = pf__inode_generation(i) ^ !(r % 8);
	entered[e.nodeid]++;
	pf__name_enter(cache, dir, name, strlen(name), &e, &s, i, &got);
	pf__inode_put(cache, got);
	pf__inode_put(cache, i);
}

static void one_step(uint64_t *x)
{
	uint64_t r = next(x), nodeid = 2 + (r >> 8) % DIRS;
	struct pf__inode *dir = r >> 16 & 1 ? pf__inode_find(cache, nodeid) : NULL, *i;
	struct pf__inode *root = pf__cache_root(cache);
	struct pf__attr a;
	char name[8], other[8];

	if (!dir)
		dir = pf__inode_get(root);
	snprintf(name, sizeof name, "n%u", (unsigned)(r >> 40) % 100);
	snprintf(other, sizeof other, "n%u", (unsigned)(r >> 50) % 100);
	switch (r % 16) {
	case 0 ... 4:
		one_enter(dir, name, next(x));
		break;
	case 5:
		one_revalidation(dir, name, next(x));
		break;
	case 6:
		pf__name_drop(cache, dir, name, strlen(name));
		break;
	case 7:
		pf__name_removed(cache, dir, name, strlen(name), false);
		break;
	case 8:
		pf__name_moved(cache, dir, name, strlen(name), root, other, strlen(other),
			       r >> 60 & 1);
		break;
	case 9:
		pf__cache_inval_entry(cache, nodeid, name, strlen(name), r >> 60 & 1);
		pf__cache_inval_inode(cache, nodeid);
		break;
	case 10:
		pf__cache_delete(cache, 1, nodeid, name, strlen(name));
		break;
	case 11:
		if ((r >> 60) == 0)
			pf__cache_shrink(cache);
		else if ((r >> 60) == 1)
			pf__cache_inc_epoch(cache);
		pf__cache_prune(cache, nodeid);
		pf__cache_tick(cache, pf__now_coarse());
		break;
	default:
		pf__name_find(cache, dir, name, strlen(name), &i);
		if (i) {
			pf__inode_attr(i, PF_ATTR_ALL, pf__now_coarse(), &a);
			assert_int_equal(a.attr.ino, pf__inode_nodeid(i));
			pf__inode_local_write(cache, i, r % 100, r >> 60 & 1, PF_ATTR_MTIME);
		}
		pf__inode_put(cache, i);
	}
	pf__inode_put(cache, dir);
}

static void *worker(void *arg)
{
	uint64_t x = (uintptr_t)arg;

	for (unsigned i = 0; i < rounds; i++)
		one_step(&x);
	return NULL;
}

static void every_lookup_is_given_back(void **state)
{
	uint64_t seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 0) : pf__now() | 1;
	pthread_t threads[THREADS];
	struct pf__cache_stats st;

	print_message("SEED=%llu\n", (unsigned long long)seed);
	cache = open_cache(50);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)((seed + i) | 1));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_sound(cache);
	pf__cache_shrink(cache);
	pf__cache_stats(cache, &st);
	assert_int_equal(st.names, 0);
	assert_int_equal(st.inodes, 1);
	for (unsigned i = 1; i < MAX_NODES; i++)
		if (entered[i] != server.forgotten[i])
			fail_msg("node %u: %llu lookups, %llu given back", i,
				 (unsigned long long)entered[i],
				 (unsigned long long)server.forgotten[i]);
	close_cache(cache);
	assert_int_equal(pf__alloc_live(), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_lookup_is_given_back)};

	if (argc > 1)
		rounds = atoi(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
