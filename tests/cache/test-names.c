/* SPDX-License-Identifier: BSD-2-Clause */
/* Names: validity, negative ones, revalidation, replacement, removal, moves. */
#include "cache.h"

struct server server;

static void valid_until_its_time(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c);
	struct fuse_entry_out e = entry(42, S_IFREG, 10);

	assert_int_equal(state_of(c, root, "f"), PF_NAME_UNKNOWN);
	assert_int_equal(enter(c, root, "f", &e, NULL), 0);
	assert_int_equal(state_of(c, root, "f"), PF_NAME_POSITIVE);
	pf__clock_advance(9 * SEC);
	assert_int_equal(state_of(c, root, "f"), PF_NAME_POSITIVE);
	pf__clock_advance(2 * SEC);
	assert_int_equal(state_of(c, root, "f"), PF_NAME_EXPIRED);
	e = entry(42, S_IFREG, UINT64_MAX);
	assert_int_equal(enter(c, root, "f", &e, NULL), 0);
	pf__clock_advance(1000000 * SEC);
	assert_int_equal(state_of(c, root, "f"), PF_NAME_POSITIVE);
	close_cache(c);
}

static void no_validity_is_expired_at_once(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct fuse_entry_out e = entry(42, S_IFREG, 0);

	assert_int_equal(enter(c, pf__cache_root(c), "f", &e, NULL), 0);
	assert_int_equal(state_of(c, pf__cache_root(c), "f"), PF_NAME_EXPIRED);
	assert_int_equal(server.calls, 0);
	close_cache(c);
}

static void negative_names(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c);
	struct fuse_entry_out none = {.entry_valid = 10}, never = {0};
	struct pf__cache_stats st;

	assert_int_equal(enter(c, root, "n", &none, NULL), 0);
	assert_int_equal(enter(c, root, "m", &never, NULL), 0);
	assert_int_equal(state_of(c, root, "n"), PF_NAME_NEGATIVE);
	assert_int_equal(state_of(c, root, "m"), PF_NAME_UNKNOWN);
	pf__cache_stats(c, &st);
	assert_int_equal(st.negative_names, 1);
	pf__clock_advance(11 * SEC);
	assert_int_equal(state_of(c, root, "n"), PF_NAME_UNKNOWN);
	/* Created: positive in its place. And the other way round. */
	add_put(c, root, "n", 42, S_IFREG);
	assert_int_equal(state_of(c, root, "n"), PF_NAME_POSITIVE);
	assert_int_equal(enter(c, root, "n", &none, NULL), 0);
	assert_int_equal(state_of(c, root, "n"), PF_NAME_NEGATIVE);
	assert_int_equal(server.forgotten[42], 1);
	close_cache(c);
}

static void lookups_are_counted_and_given_back(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *i;

	add_put(c, root, "a", 42, S_IFREG);
	add_put(c, root, "a", 42, S_IFREG);
	add_put(c, root, "b", 42, S_IFREG);
	i = pf__inode_find(c, 42);
	assert_int_equal(pf__inode_nlookup(i), 3);
	pf__name_drop(c, root, "a", 1);
	pf__name_drop(c, root, "b", 1);
	assert_int_equal(server.calls, 0);
	pf__inode_put(c, i);
	assert_int_equal(server.forgotten[42], 3);
	assert_int_equal(server.calls, 1);
	assert_null(pf__inode_find(c, 42));
	close_cache(c);
}

static void names_that_cannot_be(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *d, *sub;
	struct fuse_entry_out e = entry(FUSE_ROOT_ID, S_IFDIR, 10);

	assert_int_equal(enter(c, root, "r", &e, NULL), -EIO);
	assert_int_equal(server.calls, 0);
	d = add(c, root, "d", 2, S_IFDIR);
	e = entry(2, S_IFDIR, 10);
	assert_int_equal(enter(c, d, "self", &e, NULL), -EIO);
	assert_int_equal(server.forgotten[2], 1);
	sub = add(c, d, "sub", 3, S_IFDIR);
	assert_int_equal(enter(c, sub, "loop", &e, NULL), -EIO);
	assert_int_equal(pf__inode_nlookup(d), 2);
	assert_sound(c);
	pf__inode_put(c, d);
	pf__inode_put(c, sub);
	close_cache(c);
}

static void a_directory_has_one_place(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *a, *d, *parent;

	a = add(c, root, "a", 2, S_IFDIR);
	d = add(c, root, "d", 3, S_IFDIR);
	add_put(c, d, "f", 4, S_IFREG);
	add_put(c, a, "moved", 3, S_IFDIR);
	assert_int_equal(state_of(c, root, "d"), PF_NAME_UNKNOWN);
	assert_int_equal(state_of(c, a, "moved"), PF_NAME_POSITIVE);
	assert_int_equal(state_of(c, d, "f"), PF_NAME_POSITIVE);
	parent = pf__inode_parent(c, d);
	assert_ptr_equal(parent, a);
	assert_true(pf__inode_is_below(c, d, a));
	assert_false(pf__inode_is_below(c, a, d));
	pf__inode_put(c, parent);
	pf__inode_put(c, a);
	pf__inode_put(c, d);
	close_cache(c);
}

static void another_generation_or_type(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *old, *new;
	struct fuse_entry_out e = entry(42, S_IFREG, 10);

	old = add(c, root, "f", 42, S_IFREG);
	e.generation = 1;
	assert_int_equal(enter(c, root, "f", &e, &new), 0);
	assert_ptr_not_equal(old, new);
	assert_true(pf__inode_is_bad(old));
	assert_false(pf__inode_is_bad(new));
	pf__inode_put(c, old);
	assert_int_equal(server.forgotten[42], 1);
	e = entry(42, S_IFDIR, 10);
	e.generation = 1;
	assert_int_equal(enter(c, root, "g", &e, &old), 0);
	assert_true(pf__inode_is_bad(new));
	/* A name that leads to a bad inode is worth nothing. */
	assert_int_equal(state_of(c, root, "f"), PF_NAME_UNKNOWN);
	pf__inode_put(c, old);
	pf__inode_put(c, new);
	close_cache(c);
}

static int revalidate(struct pf__cache *c, const char *name, const struct fuse_entry_out *e,
		      struct pf__inode *expected)
{
	struct pf__sample s = pf__cache_sample(c);

	return pf__name_enter(c, pf__cache_root(c), name, strlen(name), e, &s, expected, NULL);
}

static void revalidation(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *i = add(c, root, "f", 42, S_IFREG);
	struct fuse_entry_out same = entry(42, S_IFREG, 10), other = entry(43, S_IFREG, 10);
	struct fuse_entry_out none = {.entry_valid = 10}, dir = entry(42, S_IFDIR, 10);

	assert_int_equal(revalidate(c, "f", &same, i), 0);
	assert_int_equal(pf__inode_nlookup(i), 2);
	assert_int_equal(revalidate(c, "f", &other, i), -ESTALE);
	assert_int_equal(server.forgotten[43], 1);
	assert_int_equal(state_of(c, root, "f"), PF_NAME_UNKNOWN);
	add_put(c, root, "f", 42, S_IFREG);
	assert_int_equal(revalidate(c, "f", &none, i), -ESTALE);
	assert_int_equal(state_of(c, root, "f"), PF_NAME_UNKNOWN);
	add_put(c, root, "f", 42, S_IFREG);
	assert_int_equal(revalidate(c, "f", &dir, i), -ESTALE);
	assert_int_equal(pf__inode_nlookup(i), 5);
	pf__inode_put(c, i);
	assert_int_equal(server.forgotten[42], 5);
	close_cache(c);
}

static void removal_tells_the_victim(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *i = add(c, root, "f", 42, S_IFREG);
	struct pf__sample before;
	struct pf__attr a;
	uint64_t now = pf__now_coarse();
	struct fuse_attr late = {.mode = S_IFREG | 0644, .nlink = 9};

	before = pf__cache_sample(c);
	pf__name_removed(c, root, "f", 1, false);
	assert_int_equal(state_of(c, root, "f"), PF_NAME_UNKNOWN);
	assert_true(pf__inode_attr(i, PF_ATTR_NLINK, now, &a));
	assert_int_equal(a.attr.nlink, 0);
	assert_false(pf__inode_attr(i, PF_ATTR_CTIME, now, &a));
	/* A reply that was under way does not bring the link back. */
	pf__inode_set_attr(c, i, &late, PF_TIME_FOREVER, &before);
	pf__inode_attr(i, 0, now, &a);
	assert_int_equal(a.attr.nlink, 0);
	pf__inode_put(c, i);
	close_cache(c);
}

static void a_late_lookup_is_asked_again(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c);
	struct fuse_entry_out e = entry(42, S_IFREG, 1000), none = {.entry_valid = 1000};
	struct pf__sample before = pf__cache_sample(c);

	pf__name_removed(c, root, "f", 1, false);
	assert_int_equal(pf__name_enter(c, root, "f", 1, &e, &before, NULL, NULL), 0);
	assert_int_equal(state_of(c, root, "f"), PF_NAME_EXPIRED);
	/* Nor does a late "no" hide what was created meanwhile. */
	struct pf__sample create = pf__cache_sample_create(c);
	before = pf__cache_sample(c);
	assert_int_equal(pf__name_enter(c, root, "new", 3, &e, &create, NULL, NULL), 0);
	assert_int_equal(pf__name_enter(c, root, "new", 3, &none, &before, NULL, NULL), 0);
	assert_int_not_equal(state_of(c, root, "new"), PF_NAME_NEGATIVE);
	close_cache(c);
}

static void moves(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *d, *f, *over, *p;
	struct fuse_entry_out none = {.entry_valid = 1000};
	struct pf__attr a;

	d = add(c, root, "d", 2, S_IFDIR);
	f = add(c, root, "f", 3, S_IFREG);
	over = add(c, d, "over", 4, S_IFREG);
	pf__name_moved(c, root, "f", 1, d, "over", 4, false);
	assert_int_equal(state_of(c, root, "f"), PF_NAME_UNKNOWN);
	assert_int_equal(state_of(c, d, "over"), PF_NAME_POSITIVE);
	assert_false(pf__inode_attr(f, PF_ATTR_CTIME, pf__now_coarse(), &a));
	pf__inode_attr(over, 0, 0, &a);
	assert_int_equal(a.attr.nlink, 0);
	pf__inode_put(c, over);
	assert_int_equal(server.forgotten[4], 1);
	/* Over a negative name; a directory's parent follows. */
	assert_int_equal(enter(c, root, "gone", &none, NULL), 0);
	pf__name_moved(c, d, "over", 4, root, "gone", 4, false);
	assert_int_equal(state_of(c, root, "gone"), PF_NAME_POSITIVE);
	add_put(c, d, "sub", 5, S_IFDIR);
	pf__name_moved(c, d, "sub", 3, root, "sub", 3, false);
	struct pf__inode *sub = pf__inode_find(c, 5);
	p = pf__inode_parent(c, sub);
	assert_ptr_equal(p, root);
	pf__inode_put(c, p);
	/* Exchange. */
	pf__name_moved(c, root, "sub", 3, root, "gone", 4, true);
	struct pf__inode *i;
	assert_int_equal(pf__name_find(c, root, "sub", 3, &i), PF_NAME_POSITIVE);
	assert_ptr_equal(i, f);
	pf__inode_put(c, i);
	/* With itself: nothing. */
	pf__name_moved(c, root, "sub", 3, root, "sub", 3, true);
	pf__name_moved(c, root, "sub", 3, root, "sub", 3, false);
	assert_int_equal(state_of(c, root, "sub"), PF_NAME_POSITIVE);
	assert_sound(c);
	/* Into itself: cannot be, but must not break anything. */
	pf__name_moved(c, root, "gone", 4, sub, "in", 2, false);
	assert_sound(c);
	pf__inode_put(c, sub);
	pf__inode_put(c, f);
	pf__inode_put(c, d);
	close_cache(c);
}

/* Renaming something to its own name, or exchanging it with itself, changes nothing. */
static void a_move_to_itself(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *d = add(c, root, "d", 2, S_IFDIR);
	struct pf__attr a;

	add_put(c, d, "f", 3, S_IFREG);
	for (int exchange = 0; exchange < 2; exchange++) {
		pf__name_moved(c, root, "d", 1, root, "d", 1, exchange);
		pf__name_moved(c, d, "f", 1, d, "f", 1, exchange);
		pf__name_moved(c, root, "unknown", 7, root, "unknown", 7, exchange);
		assert_sound(c);
		assert_int_equal(state_of(c, root, "d"), PF_NAME_POSITIVE);
		assert_int_equal(state_of(c, d, "f"), PF_NAME_POSITIVE);
	}
	pf__inode_attr(d, 0, 0, &a);
	assert_int_equal(a.attr.nlink, 1);
	pf__inode_put(c, d);
	pf__cache_shrink(c);
	assert_int_equal(server.forgotten[2], 1);
	assert_int_equal(server.forgotten[3], 1);
	close_cache(c);
}

static void dropping_a_directory_drops_what_is_unused_below(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *d, *s, *open;

	d = add(c, root, "d", 2, S_IFDIR);
	s = add(c, d, "s", 3, S_IFDIR);
	add_put(c, s, "f", 4, S_IFREG);
	open = add(c, s, "open", 5, S_IFREG);
	add_put(c, d, "g", 6, S_IFREG);
	pf__inode_put(c, s);
	pf__inode_put(c, d);
	pf__name_drop(c, root, "d", 1);
	assert_int_equal(server.forgotten[4], 1);
	assert_int_equal(server.forgotten[6], 1);
	assert_int_equal(server.forgotten[2], 0);
	assert_sound(c);
	pf__inode_put(c, open);
	pf__cache_shrink(c);
	assert_int_equal(server.forgotten[5], 1);
	assert_int_equal(server.forgotten[3], 1);
	assert_int_equal(server.forgotten[2], 1);
	close_cache(c);
}

static void epochs(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c);
	struct fuse_entry_out e = entry(43, S_IFREG, 1000);
	struct pf__sample before = pf__cache_sample(c);

	add_put(c, root, "f", 42, S_IFREG);
	pf__cache_inc_epoch(c);
	assert_int_equal(state_of(c, root, "f"), PF_NAME_EXPIRED);
	assert_int_equal(pf__name_enter(c, root, "g", 1, &e, &before, NULL, NULL), 0);
	assert_int_equal(state_of(c, root, "g"), PF_NAME_EXPIRED);
	pf__cache_tick(c, pf__now_coarse());
	assert_int_equal(server.calls, 2);
	close_cache(c);
}

static void advice(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *i = add(c, root, "f", 42, S_IFREG);

	assert_false(pf__dir_take_advice(root));
	pf__inode_from_readdirplus(i);
	assert_int_equal(state_of(c, root, "f"), PF_NAME_POSITIVE);
	assert_true(pf__dir_take_advice(root));
	assert_int_equal(state_of(c, root, "f"), PF_NAME_POSITIVE);
	assert_false(pf__dir_take_advice(root));
	pf__inode_put(c, i);
	close_cache(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(valid_until_its_time),
	    cmocka_unit_test(no_validity_is_expired_at_once),
	    cmocka_unit_test(negative_names),
	    cmocka_unit_test(lookups_are_counted_and_given_back),
	    cmocka_unit_test(names_that_cannot_be),
	    cmocka_unit_test(a_directory_has_one_place),
	    cmocka_unit_test(another_generation_or_type),
	    cmocka_unit_test(revalidation),
	    cmocka_unit_test(removal_tells_the_victim),
	    cmocka_unit_test(a_late_lookup_is_asked_again),
	    cmocka_unit_test(moves),
	    cmocka_unit_test(a_move_to_itself),
	    cmocka_unit_test(dropping_a_directory_drops_what_is_unused_below),
	    cmocka_unit_test(epochs),
	    cmocka_unit_test(advice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
