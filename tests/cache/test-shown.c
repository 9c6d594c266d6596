/* SPDX-License-Identifier: BSD-2-Clause */
/* What other processes see of the cache: it is what the cache says, and void when that changes. */
#include "cache.h"
#include "cache/shown.h"
#include "proto/wire.h"
#include <pthread.h>
#include <sys/mman.h>

struct server server;

#define KEY   77u
#define PLACE 5u
#define DEV   9u

static struct pf__shown *table;

static struct pf__cache *open_shown(void)
{
	struct pf__cache *c = open_cache(1000);

	table =
	    mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(table != MAP_FAILED);
	pf__cache_show(c, table);
	return c;
}

static void close_shown(struct pf__cache *c)
{
	pf__cache_show(c, NULL);
	pf__cache_close(c);
	munmap(table, sizeof *table);
}

static bool show_at(struct pf__cache *c, const char *dir, const char *name, uint64_t key)
{
	struct pf__showing s;
	bool shown;

	if (!pf__show_begin(&s, c, dir, strlen(dir), table->gen, PLACE, DEV))
		return false;
	shown = pf__show_name(&s, name, strlen(name), key);
	pf__show_end(&s);
	return shown;
}

static bool is_shown(uint64_t key, struct fuse_attr *attr)
{
	uint64_t dev = 0;
	bool found = pf__shown_find(table, key, PLACE, pf__now_coarse(), &dev, attr);

	assert_true(!found || dev == DEV);
	return found;
}

static bool is_there(uint64_t key)
{
	struct fuse_attr attr;

	return is_shown(key, &attr);
}

/* "d" (2) with "f" (3) in it, shown by KEY. */
static struct pf__cache *with_file(struct pf__inode **d, struct pf__inode **f)
{
	struct pf__cache *c = open_shown();
	struct fuse_entry_out dir = entry(2, S_IFDIR, 100), file = entry(3, S_IFREG, 100);

	assert_int_equal(enter(c, pf__cache_root(c), "d", &dir, d), 0);
	assert_int_equal(enter(c, *d, "f", &file, f), 0);
	assert_true(show_at(c, "/d", "f", KEY));
	assert_true(is_there(KEY));
	return c;
}

static void done(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	pf__inode_put(c, f);
	pf__inode_put(c, d);
	close_shown(c);
}

static void shows_what_is_cached(void **state)
{
	struct pf__inode *d, *f;
	struct pf__cache *c = with_file(&d, &f);
	struct fuse_attr attr;
	uint64_t dev;

	assert_true(is_shown(KEY, &attr));
	assert_int_equal(attr.ino, 3);
	assert_int_equal(attr.size, 10);
	assert_int_equal(attr.mode, S_IFREG | 0755);
	assert_false(is_there(KEY + 1));
	assert_false(pf__shown_find(table, KEY, PLACE + 1, pf__now_coarse(), &dev, &attr));
	assert_false(show_at(c, "/d", "g", 1));
	assert_false(show_at(c, "/e", "f", 1));
	assert_false(show_at(c, "/d/f", "f", 1));
	done(c, d, f);
}

static void goes_with_its_time(void **state)
{
	struct pf__inode *d, *f;
	struct pf__cache *c = with_file(&d, &f);

	pf__clock_advance(101 * SEC);
	assert_false(is_there(KEY));
	assert_false(show_at(c, "/d", "f", KEY));
	done(c, d, f);
}

/* The shortest of the way's counts. */
static void no_longer_than_its_way(void **state)
{
	struct pf__cache *c = open_shown();
	struct fuse_entry_out dir = entry(2, S_IFDIR, 5), file = entry(3, S_IFREG, 100);
	struct pf__inode *d, *f;

	assert_int_equal(enter(c, pf__cache_root(c), "d", &dir, &d), 0);
	assert_int_equal(enter(c, d, "f", &file, &f), 0);
	assert_true(show_at(c, "/d", "f", KEY));
	pf__clock_advance(6 * SEC);
	assert_false(is_there(KEY));
	done(c, d, f);
}

/* What says the same as before, as listings do, leaves it; so do directories that are new. */
static void stays(void **state)
{
	struct pf__inode *d, *f, *other;
	struct pf__cache *c = with_file(&d, &f);
	struct fuse_entry_out dir = entry(2, S_IFDIR, 100), file = entry(3, S_IFREG, 100);
	struct fuse_entry_out new = entry(4, S_IFDIR, 100), longer = entry(3, S_IFREG, 200);

	assert_int_equal(enter(c, pf__cache_root(c), "d", &dir, &other), 0);
	pf__inode_put(c, other);
	assert_int_equal(enter(c, d, "f", &file, &other), 0);
	pf__inode_put(c, other);
	assert_true(is_there(KEY));
	assert_int_equal(enter(c, d, "f", &longer, &other), 0);
	pf__inode_put(c, other);
	assert_int_equal(enter(c, d, "new", &new, &other), 0);
	pf__inode_put(c, other);
	assert_true(is_there(KEY));
	pf__clock_advance(101 * SEC);
	assert_false(is_there(KEY)); /* as it was shown */
	done(c, d, f);
}

/* Each of these makes it void, and it can be shown again if it is still so. */
static void is_void_after(void (*change)(struct pf__cache *c, struct pf__inode *d,
					 struct pf__inode *f),
			  bool again)
{
	struct pf__inode *d, *f;
	struct pf__cache *c = with_file(&d, &f);

	change(c, d, f);
	assert_false(is_there(KEY));
	assert_true(show_at(c, "/d", "f", KEY) == again);
	assert_true(is_there(KEY) == again);
	done(c, d, f);
}

static void new_attributes(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	struct pf__sample s = pf__cache_sample(c);
	struct fuse_attr attr = entry(3, S_IFREG, 100).attr;

	attr.size = 11;
	assert_int_equal(pf__inode_set_attr(c, f, &attr, pf__attr_until(100, 0), &s), 0);
}

static void inval(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	assert_int_equal(pf__cache_inval_inode(c, 3), 0);
}

static void local_write(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	pf__inode_local_write(c, f, 20, false, PF_ATTR_MODIFIED);
}

static void bad(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	pf__inode_mark_bad(c, f);
}

static void drop(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	pf__name_drop(c, d, "f", 1);
}

static void expire(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	pf__name_expire(c, d, "f", 1);
}

static void other(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	struct fuse_entry_out e = entry(4, S_IFREG, 100);

	assert_int_equal(enter(c, d, "f", &e, NULL), 0);
}

static void shorter(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	struct fuse_entry_out e = entry(3, S_IFREG, 100);

	e.entry_valid = 1;
	e.attr_valid = 100;
	assert_int_equal(enter(c, d, "f", &e, NULL), 0);
}

static void removed(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	pf__name_removed(c, d, "f", 1, false);
}

static void moved(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	pf__name_moved(c, d, "f", 1, d, "g", 1, false);
}

static void directory_moved(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	pf__name_moved(c, pf__cache_root(c), "d", 1, pf__cache_root(c), "e", 1, false);
}

static void directory_gone(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	assert_int_equal(pf__cache_inval_entry(c, FUSE_ROOT_ID, "d", 1, false), 0);
}

static void directory_expired(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	assert_int_equal(pf__cache_inval_entry(c, FUSE_ROOT_ID, "d", 1, true), 0);
}

static void directory_other(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	struct fuse_entry_out e = entry(7, S_IFDIR, 100);

	assert_int_equal(enter(c, pf__cache_root(c), "d", &e, NULL), 0);
}

/* Who may pass it. */
static void directory_mode(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	struct pf__sample s = pf__cache_sample(c);
	struct fuse_attr attr = entry(2, S_IFDIR, 100).attr;

	attr.mode = S_IFDIR | 0700;
	assert_int_equal(pf__inode_set_attr(c, d, &attr, pf__attr_until(100, 0), &s), 0);
}

static void epoch(struct pf__cache *c, struct pf__inode *d, struct pf__inode *f)
{
	pf__cache_inc_epoch(c);
}

static void changes_make_it_void(void **state)
{
	is_void_after(new_attributes, true);
	is_void_after(inval, false);
	is_void_after(local_write, false);
	is_void_after(bad, false);
	is_void_after(drop, false);
	is_void_after(expire, false);
	is_void_after(other, true);
	is_void_after(shorter, true);
	is_void_after(removed, false);
	is_void_after(moved, false);
	is_void_after(directory_moved, false);
	is_void_after(directory_gone, false);
	is_void_after(directory_expired, false);
	is_void_after(directory_other, false);
	is_void_after(directory_mode, true);
	is_void_after(epoch, false);
}

/* What is ours alone: the program that writes knows better. */
static void owned_is_not_shown(void **state)
{
	struct pf__inode *d, *f;
	struct pf__cache *c = with_file(&d, &f);

	pf__inode_local_write(c, f, 1, false, 0);
	pf__inode_set_owned(c, f, true);
	assert_false(show_at(c, "/d", "f", KEY));
	done(c, d, f);
}

/* An inode that is entered anew, and another one in its slot: the old one voids only its own. */
static void slots_are_shared(void **state)
{
	const uint64_t same = KEY + PF_SHOWN_SLOTS, third = KEY + 2ull * PF_SHOWN_SLOTS;
	struct pf__inode *d, *f;
	struct pf__cache *c = with_file(&d, &f);
	struct fuse_entry_out g = entry(4, S_IFREG, 100), h = entry(5, S_IFREG, 100);

	assert_int_equal(enter(c, d, "g", &g, NULL), 0);
	assert_int_equal(enter(c, d, "h", &h, NULL), 0);
	assert_true(show_at(c, "/d", "g", same));
	assert_true(is_there(KEY) && is_there(same)); /* side by side */
	assert_true(show_at(c, "/d", "h", third));    /* in the place of the first */
	assert_true(is_there(third) && !is_there(KEY));
	local_write(c, d, f);
	assert_true(is_there(third) && is_there(same));
	assert_true(show_at(c, "/d", "g", KEY + 1)); /* it stands in one place only */
	assert_false(is_there(same));
	done(c, d, f);
}

/* By one who voids what he had there himself, and leaves this as it is. */
static void slot_is_taken(void **state)
{
	struct pf__inode *d, *f;
	struct pf__cache *c = with_file(&d, &f);

	for (unsigned way = 0; way < 2; way++)
		table->slots[pf__shown_index(KEY, way)].seq++;
	local_write(c, d, f);
	for (unsigned way = 0; way < 2; way++)
		table->slots[pf__shown_index(KEY, way)].seq++;
	assert_false(is_there(KEY));
	done(c, d, f);
}

/* ---- one changes it, one shows it, one looks */

static _Atomic bool stop;
static struct pf__cache *raced;
static struct pf__inode *raced_dir;

static void *show_it(void *arg)
{
	_Atomic uint64_t *shown = arg;

	while (!stop)
		*shown += show_at(raced, "/d", "f", KEY);
	return NULL;
}

static void *look(void *arg)
{
	struct fuse_attr attr;

	while (!stop)
		if (is_shown(KEY, &attr)) {
			assert_int_equal(attr.size, attr.blocks);
			assert_int_equal(attr.size, attr.mtime);
		}
	return arg;
}

/* Once the change has been made, nobody sees what was before. */
static void never_shows_the_past(void **state)
{
	struct fuse_entry_out second = entry(4, S_IFREG, 100);
	struct pf__inode *d, *f, *held[2];
	struct pf__cache *c = with_file(&d, &held[0]);
	_Atomic uint64_t shown = 0;
	pthread_t threads[2];

	/* Inodes that die take what is shown of them along. */
	assert_int_equal(enter(c, d, "g", &second, &held[1]), 0);
	raced = c;
	raced_dir = d;
	stop = false;
	pf__name_drop(c, d, "f", 1);
	pthread_create(&threads[0], NULL, show_it, &shown);
	pthread_create(&threads[1], NULL, look, NULL);
	/* On a busy machine the other one comes late. */
	for (uint64_t i = 1; i < 100000 || (shown < 1000 && i < 20000000); i++) {
		struct fuse_entry_out e = entry(3 + i % 2, S_IFREG, 100);
		struct pf__sample s = pf__cache_sample_create(c);
		struct fuse_attr attr;

		e.attr.size = e.attr.blocks = e.attr.mtime = i;
		assert_int_equal(pf__name_enter(c, d, "f", 1, &e, &s, NULL, &f), 0);
		if (is_shown(KEY, &attr))
			assert_int_equal(attr.size, i);
		if (i % 3 == 0) {
			pf__name_drop(c, d, "f", 1);
			for (int n = 0; n < 20; n++)
				assert_false(is_there(KEY));
		} else if (i % 3 == 1) {
			pf__inode_invalidate(c, f, PF_ATTR_SIZE);
			assert_false(is_there(KEY));
		}
		pf__inode_put(c, f);
	}
	stop = true;
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	assert_true(shown >= 1000);
	pf__inode_put(c, held[0]);
	pf__inode_put(c, held[1]);
	pf__inode_put(c, d);
	close_shown(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(shows_what_is_cached),   cmocka_unit_test(goes_with_its_time),
	    cmocka_unit_test(no_longer_than_its_way), cmocka_unit_test(changes_make_it_void),
	    cmocka_unit_test(owned_is_not_shown),     cmocka_unit_test(slots_are_shared),
	    cmocka_unit_test(slot_is_taken),          cmocka_unit_test(stays),
	    cmocka_unit_test(never_shows_the_past),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
