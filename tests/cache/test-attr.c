/* SPDX-License-Identifier: BSD-2-Clause */
/* Attributes and what else hangs on an inode. */
#include "cache.h"

struct server server;

static void set(struct pf__cache *c, struct pf__inode *i, uint64_t size, const struct pf__sample *s)
{
	struct fuse_attr a = {.mode = S_IFREG | 0644, .size = size, .nlink = 1};

	assert_int_equal(pf__inode_set_attr(c, i, &a, PF_TIME_FOREVER, s), 0);
}

static uint64_t size_of(struct pf__inode *i)
{
	struct pf__attr a;

	pf__inode_attr(i, 0, 0, &a);
	return a.attr.size;
}

static void validity(void **state)
{
	struct pf__cache *c = open_cache(10);
	struct fuse_entry_out e = entry(42, S_IFREG, 10);
	struct pf__inode *i;
	struct pf__attr a;

	assert_int_equal(enter(c, pf__cache_root(c), "f", &e, &i), 0);
	assert_true(pf__inode_attr(i, PF_ATTR_ALL, pf__now_coarse(), &a));
	pf__clock_advance(11 * SEC);
	assert_false(pf__inode_attr(i, PF_ATTR_ALL, pf__now_coarse(), &a));
	assert_true(pf__inode_attr(i, 0, pf__now_coarse(), &a));
	pf__inode_set_attr(c, i, &e.attr, 0, NULL);
	assert_false(pf__inode_attr(i, PF_ATTR_MODE, pf__now_coarse(), &a));
	/* The root begins without any. */
	assert_false(pf__inode_attr(pf__cache_root(c), PF_ATTR_MODE, pf__now_coarse(), &a));
	assert_int_equal(a.attr.mode, S_IFDIR);
	pf__inode_put(c, i);
	close_cache(c);
}

static void fields_turn_invalid(void **state)
{
	struct pf__cache *c = open_cache(10);
	struct pf__inode *i = add(c, pf__cache_root(c), "f", 42, S_IFREG);
	uint64_t now = pf__now_coarse();
	struct pf__attr a;

	pf__inode_invalidate(c, i, PF_ATTR_ATIME);
	assert_false(pf__inode_attr(i, PF_ATTR_ALL, now, &a));
	assert_true(pf__inode_attr(i, PF_ATTR_SIZE | PF_ATTR_MODE, now, &a));
	set(c, i, 10, NULL);
	assert_true(pf__inode_attr(i, PF_ATTR_ALL, now, &a));
	pf__inode_put(c, i);
	close_cache(c);
}

static void a_late_reply_does_not_undo_a_write(void **state)
{
	struct pf__cache *c = open_cache(10);
	struct pf__inode *i = add(c, pf__cache_root(c), "f", 42, S_IFREG);
	struct pf__sample before = pf__cache_sample(c), after;

	pf__inode_local_write(c, i, 15, false, 0);
	set(c, i, 10, &before);
	assert_int_equal(size_of(i), 15);
	after = pf__cache_sample(c);
	set(c, i, 20, &after);
	assert_int_equal(size_of(i), 20);
	pf__inode_local_write(c, i, 5, false, 0);
	assert_int_equal(size_of(i), 20);
	pf__inode_local_write(c, i, 5, true, 0);
	assert_int_equal(size_of(i), 5);
	/* Nor does that of a CREATE which came to a file that was there, and was written to since.
	 */
	after = pf__cache_sample_create(c);
	set(c, i, 7, &after);
	assert_int_equal(size_of(i), 7);
	after = pf__cache_sample_create(c);
	pf__inode_local_write(c, i, 9, true, 0);
	set(c, i, 0, &after);
	assert_int_equal(size_of(i), 9);
	pf__inode_put(c, i);
	close_cache(c);
}

/* Of replies that overlap that of the later request counts, in whatever order they come. */
static void the_later_request_counts(void **state)
{
	struct pf__cache *c = open_cache(10);
	struct pf__inode *i = add(c, pf__cache_root(c), "f", 42, S_IFREG);
	struct pf__sample first = pf__cache_sample(c), second = pf__cache_sample(c);

	set(c, i, 11, &first);
	set(c, i, 12, &second);
	assert_int_equal(size_of(i), 12);
	first = pf__cache_sample(c);
	second = pf__cache_sample(c);
	set(c, i, 14, &second);
	set(c, i, 13, &first);
	assert_int_equal(size_of(i), 14);
	pf__inode_put(c, i);
	close_cache(c);
}

static void a_change_of_size_in_progress(void **state)
{
	struct pf__cache *c = open_cache(10);
	struct pf__inode *i = add(c, pf__cache_root(c), "f", 42, S_IFREG);
	struct pf__sample during;

	pf__inode_size_begin(c, i);
	pf__inode_size_begin(c, i);
	during = pf__cache_sample(c);
	set(c, i, 99, &during);
	assert_int_equal(size_of(i), 10);
	assert_int_equal(pf__inode_size_wait(i, pf__now()), -ETIMEDOUT);
	pf__inode_size_end(c, i);
	set(c, i, 99, NULL);
	assert_int_equal(size_of(i), 10);
	pf__inode_size_end(c, i);
	assert_int_equal(pf__inode_size_wait(i, PF_TIME_FOREVER), 0);
	set(c, i, 99, &during);
	assert_int_equal(size_of(i), 10);
	set(c, i, 99, NULL);
	assert_int_equal(size_of(i), 99);
	pf__inode_put(c, i);
	close_cache(c);
}

static void a_setattr_counts_in_any_case(void **state)
{
	struct pf__cache *c = open_cache(10);
	struct pf__inode *i = add(c, pf__cache_root(c), "f", 42, S_IFREG);
	struct pf__sample before = pf__cache_sample(c);
	struct fuse_attr attr = {.mode = S_IFREG | 0600, .size = 3};
	struct pf__attr a;

	pf__inode_bump(c, i, 0);
	pf__inode_set_attr_changed(c, i, &attr, PF_TIME_FOREVER, &before, PF_ATTR_MODE);
	assert_int_equal(size_of(i), 3);
	assert_false(pf__inode_attr(i, PF_ATTR_MODE, pf__now_coarse(), &a));
	pf__inode_put(c, i);
	close_cache(c);
}

static void a_change_of_type_is_bad(void **state)
{
	struct pf__cache *c = open_cache(10);
	struct pf__inode *i = add(c, pf__cache_root(c), "f", 42, S_IFREG);
	struct fuse_attr attr = {.mode = S_IFDIR | 0755};

	assert_int_equal(pf__inode_set_attr(c, i, &attr, 0, NULL), -EIO);
	assert_true(pf__inode_is_bad(i));
	assert_int_equal(pf__inode_type(i), S_IFREG);
	pf__inode_put(c, i);
	close_cache(c);
}

static void an_eviction_meanwhile_spoils_attributes(void **state)
{
	struct pf__cache *c = open_cache(10);
	struct pf__inode *root = pf__cache_root(c), *i;
	struct fuse_entry_out e = entry(42, S_IFREG, 1000);
	struct pf__sample s;
	struct pf__attr a;

	add_put(c, root, "f", 42, S_IFREG);
	s = pf__cache_sample(c);
	pf__name_drop(c, root, "f", 1);
	assert_int_equal(pf__name_enter(c, root, "f", 1, &e, &s, NULL, &i), 0);
	assert_false(pf__inode_attr(i, PF_ATTR_SIZE, pf__now_coarse(), &a));
	pf__inode_put(c, i);
	close_cache(c);
}

static void symlinks_and_acls(void **state)
{
	struct pf__cache *c = open_cache(10);
	struct pf__inode *i = add(c, pf__cache_root(c), "f", 42, S_IFLNK);
	struct fuse_entry_out e = entry(42, S_IFLNK, 10);
	char buf[8];

	assert_null(pf__inode_symlink_rcu(i));
	assert_int_equal(pf__inode_set_symlink(c, i, "targets", 6), 0);
	pf__rcu_read_lock();
	assert_string_equal(pf__inode_symlink_rcu(i), "target");
	pf__rcu_read_unlock();
	assert_int_equal(pf__inode_acl(i, 0, buf, sizeof buf), -ENODATA);
	assert_int_equal(pf__inode_set_acl(c, i, 0, "acl", 3), 0);
	assert_int_equal(pf__inode_set_acl(c, i, 1, NULL, 0), 0);
	assert_int_equal(pf__inode_acl(i, 0, buf, sizeof buf), 3);
	assert_int_equal(pf__inode_acl(i, 0, buf, 2), -ERANGE);
	assert_int_equal(pf__inode_acl(i, 1, buf, sizeof buf), 0);
	/* A revalidation drops them. */
	assert_int_equal(enter(c, pf__cache_root(c), "f", &e, NULL), 0);
	assert_int_equal(pf__inode_acl(i, 0, buf, sizeof buf), -ENODATA);
	pf__inode_put(c, i);
	close_cache(c);
}

static int io_freed;

static void free_io(void *io)
{
	io_freed++;
}

static void io_state(void **state)
{
	struct pf__cache *c = open_cache(10);
	struct pf__inode *i = add(c, pf__cache_root(c), "f", 42, S_IFREG);
	int a, b;

	assert_null(pf__inode_io(i));
	assert_ptr_equal(pf__inode_set_io(i, &a, free_io), &a);
	assert_ptr_equal(pf__inode_set_io(i, &b, free_io), &a);
	assert_int_equal(io_freed, 1);
	assert_ptr_equal(pf__inode_io(i), &a);
	pf__inode_put(c, i);
	close_cache(c);
	assert_int_equal(io_freed, 2);
}

static void notifications(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *d = add(c, root, "d", 2, S_IFDIR), *f;
	struct pf__attr a;

	set(c, add(c, d, "f", 3, S_IFREG), 1, NULL);
	f = pf__inode_find(c, 3);
	pf__inode_put(c, f);
	assert_int_equal(pf__cache_inval_entry(c, 99, "x", 1, false), -ENOENT);
	assert_int_equal(pf__cache_inval_entry(c, 3, "x", 1, false), -ENOTDIR);
	assert_int_equal(pf__cache_inval_entry(c, 2, "x", 1, false), -ENOENT);
	assert_true(pf__inode_attr(d, PF_ATTR_MODE, pf__now_coarse(), &a));
	assert_int_equal(pf__cache_inval_entry(c, 2, "f", 1, true), 0);
	assert_int_equal(state_of(c, d, "f"), PF_NAME_EXPIRED);
	assert_false(pf__inode_attr(d, PF_ATTR_MODE, pf__now_coarse(), &a));
	assert_int_equal(pf__cache_delete(c, 1, 2, "d", 1), -ENOTEMPTY); /* f is held */
	assert_int_equal(pf__cache_delete(c, 2, 77, "f", 1), -ENOENT);
	pf__name_drop(c, d, "f", 1);
	assert_int_equal(pf__cache_inval_inode(c, 99), -ENOENT);
	assert_int_equal(pf__cache_inval_inode(c, 3), 0);
	assert_false(pf__inode_attr(f, PF_ATTR_MODE, pf__now_coarse(), &a));
	assert_int_equal(pf__cache_delete(c, 1, 2, "d", 1), 0);
	pf__inode_attr(d, 0, 0, &a);
	assert_int_equal(a.attr.nlink, 0);
	pf__inode_put(c, d);
	pf__inode_put(c, f);
	assert_int_equal(server.forgotten[2], 1);
	assert_int_equal(server.forgotten[3], 1);
	close_cache(c);
}

static void prune(void **state)
{
	struct pf__cache *c = open_cache(100);
	struct pf__inode *root = pf__cache_root(c), *open;

	add_put(c, root, "a", 2, S_IFREG);
	add_put(c, root, "b", 2, S_IFREG);
	open = add(c, root, "c", 3, S_IFREG);
	pf__cache_prune(c, 2);
	pf__cache_prune(c, 3);
	pf__cache_prune(c, 99);
	assert_int_equal(server.forgotten[2], 2);
	assert_int_equal(state_of(c, root, "c"), PF_NAME_POSITIVE);
	pf__inode_put(c, open);
	close_cache(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(validity),
	    cmocka_unit_test(fields_turn_invalid),
	    cmocka_unit_test(a_late_reply_does_not_undo_a_write),
	    cmocka_unit_test(the_later_request_counts),
	    cmocka_unit_test(a_change_of_size_in_progress),
	    cmocka_unit_test(a_setattr_counts_in_any_case),
	    cmocka_unit_test(a_change_of_type_is_bad),
	    cmocka_unit_test(an_eviction_meanwhile_spoils_attributes),
	    cmocka_unit_test(symlinks_and_acls),
	    cmocka_unit_test(io_state),
	    cmocka_unit_test(notifications),
	    cmocka_unit_test(prune),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
