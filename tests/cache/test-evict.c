/* SPDX-License-Identifier: BSD-2-Clause */
/* What goes when, allocations that fail, and how much memory a name takes. */
#include "cache.h"
#include <malloc.h>

struct server server;

static void the_limit_holds(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c);
	struct pf__cache_stats st;
	char name[16];

	add_put(c, root, "hot", 1000, S_IFREG);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "n%u", i);
		add_put(c, root, name, 2000 + i, S_IFREG);
		assert_int_equal(state_of(c, root, "hot"), PF_NAME_POSITIVE);
		pf__cache_stats(c, &st);
		assert_true(st.names <= 101);
	}
	assert_int_equal(st.evicted, 2001 - st.names);
	assert_int_equal(server.calls, st.evicted);
	close_cache(c);
}

static void what_is_used_stays(void **state)
{
	struct pf__cache *c = open_cache(10);
	struct pf__inode *root = pf__cache_root(c), *d, *open[20];
	struct pf__cache_stats st;
	char name[16];

	d = add(c, root, "d", 100, S_IFDIR);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "n%u", i);
		open[i] = add(c, d, name, 200 + i, S_IFREG);
	}
	pf__inode_put(c, d);
	pf__cache_stats(c, &st);
	assert_int_equal(st.names, 21);
	for (unsigned i = 0; i < 20; i++)
		pf__inode_put(c, open[i]);
	for (unsigned i = 0; i < 8; i++)
		pf__cache_tick(c, pf__now_coarse());
	pf__cache_stats(c, &st);
	assert_int_equal(st.names, 10);
	assert_int_equal(state_of(c, root, "d"), PF_NAME_POSITIVE);
	pf__cache_shrink(c);
	pf__cache_stats(c, &st);
	assert_int_equal(st.names, 0);
	assert_int_equal(st.inodes, 1);
	assert_int_equal(server.forgotten[100], 1);
	close_cache(c);
}

static void expired_names_do_not_linger(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *open;
	struct fuse_entry_out e = entry(2, S_IFREG, 1), none = {.entry_valid = 1};

	assert_int_equal(enter(c, root, "f", &e, NULL), 0);
	assert_int_equal(enter(c, root, "none", &none, NULL), 0);
	e = entry(3, S_IFREG, 1);
	assert_int_equal(enter(c, root, "open", &e, &open), 0);
	add_put(c, root, "valid", 4, S_IFREG);
	pf__clock_advance(3 * SEC);
	pf__cache_tick(c, pf__now_coarse());
	assert_int_equal(state_of(c, root, "f"), PF_NAME_EXPIRED); /* good for a revalidation */
	pf__clock_advance(10 * SEC);
	pf__cache_tick(c, pf__now_coarse());
	assert_int_equal(state_of(c, root, "f"), PF_NAME_UNKNOWN);
	assert_int_equal(server.forgotten[2], 1);
	assert_int_equal(state_of(c, root, "open"), PF_NAME_EXPIRED);
	assert_int_equal(state_of(c, root, "valid"), PF_NAME_POSITIVE);
	pf__inode_put(c, open);
	close_cache(c);
}

static void deep_trees_go_from_the_leaves(void **state)
{
	struct pf__cache *c = open_cache(10000);
	struct pf__inode *dir = pf__inode_get(pf__cache_root(c)), *next;

	for (unsigned i = 0; i < 2000; i++) {
		next = add(c, dir, "d", 2 + i, S_IFDIR);
		add_put(c, dir, "f", 2002 + i, S_IFREG);
		pf__inode_put(c, dir);
		dir = next;
	}
	pf__inode_put(c, dir);
	assert_sound(c);
	pf__name_drop(c, pf__cache_root(c), "d", 1);
	assert_int_equal(server.calls, 2000 + 1999);
	close_cache(c);
}

/* Everything that allocates, each allocation failing once. */
static int try_all(void)
{
	struct pf__cache_config config = {.ops = &(struct pf__cache_ops){.forget = count_forget},
					  .ctx = &server,
					  .max_names = 100};
	struct fuse_entry_out e = entry(2, S_IFDIR, 10), f = entry(3, S_IFLNK, 10);
	struct fuse_entry_out none = {.entry_valid = 10};
	struct pf__inode *d = NULL, *l = NULL;
	struct pf__cache *c = NULL;
	int err = pf__cache_open(&c, &config);

	memset(&server, 0, sizeof server);
	if (err)
		return err;
	err = enter(c, pf__cache_root(c), "d", &e, &d);
	if (!err)
		err = enter(c, d, "l", &f, &l);
	if (!err)
		err = enter(c, d, "none", &none, NULL);
	if (l) {
		int e1 = pf__inode_set_symlink(c, l, "target", 6);
		int e2 = pf__inode_set_acl(c, l, 0, "acl", 3);

		err = err ? err : e1 ? e1 : e2;
		pf__name_moved(c, d, "l", 1, pf__cache_root(c), "m", 1, false);
	}
	assert_sound(c);
	pf__inode_put(c, l);
	pf__inode_put(c, d);
	pf__cache_shrink(c);
	/* Whatever failed: each lookup was given back. */
	assert_int_equal(server.forgotten[2], 1);
	assert_true(server.forgotten[3] <= 1);
	pf__cache_close(c);
	return err;
}

static void allocations_fail(void **state)
{
	int64_t live = pf__alloc_live();

	for (unsigned n = 1;; n++) {
		uint64_t asked;
		int err;

		pf__alloc_fail_at(n, 0);
		err = try_all();
		asked = pf__alloc_count();
		assert_true(err == 0 || err == -ENOMEM);
		assert_int_equal(pf__alloc_live(), live);
		if (asked < n)
			break;
	}
	pf__alloc_fail_at(0, 0);
}

static void memory_of_a_name(void **state)
{
	static const struct pf__cache_ops ops = {.forget = count_forget};
	struct pf__cache_config config = {.ops = &ops, .ctx = &server, .max_names = 2000000};
	const unsigned n = 200000;
	struct pf__cache *c;
	struct mallinfo2 before = mallinfo2(), after;
	struct pf__cache_stats st;
	char name[16];
	double each;

	assert_int_equal(pf__cache_open(&c, &config), 0);
	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof name, "%010u", i);
		add_put(c, pf__cache_root(c), name, 2 + i, S_IFREG);
	}
	after = mallinfo2();
	pf__cache_stats(c, &st);
	each = (double)(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / n;
	print_message(
	    "%.0f bytes a name with its inode, malloc's overhead included (%.0f counted)\n", each,
	    (double)st.bytes / n);
	assert_true(each <= 400);
	pf__cache_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_limit_holds),
	    cmocka_unit_test(what_is_used_stays),
	    cmocka_unit_test(expired_names_do_not_linger),
	    cmocka_unit_test(deep_trees_go_from_the_leaves),
	    cmocka_unit_test(allocations_fail),
	    cmocka_unit_test(memory_of_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
