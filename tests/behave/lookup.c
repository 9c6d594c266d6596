// SPDX-License-Identifier: BSD-2-Clause
/* Names: when LOOKUP is sent, what of its answer is remembered, and for how long. */
#include "tests/behave/behave.h"

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)

static void attr_cache(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out e = entry_attrs_only(42, REG, 1);
	struct stat st;

	e.attr = attr_of_note(42, REG);
	mock_lookup_entry(m, 1, "some_file.txt", &e);
	ok(pf_stat(m->fs, "some_file.txt", &st));
	assert_stat_of_note(&st, 42, REG);
	assert_log(m, "LOOKUP(1,some_file.txt)");
	mock_end(m);
}

static void attr_cache_timeout(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out e = mock_entry(42, REG, 1, 0, 0);
	struct stat st;

	e.attr_valid_nsec = 50 * MS;
	mock_times(mock_lookup_entry(m, 1, "foo", &e), 2);
	ok(pf_access(m->fs, "/foo", F_OK));
	pf__clock_advance(100 * MS);
	ok(pf_stat(m->fs, "/foo", &st));
	assert_int_equal(mock_count(m, FUSE_LOOKUP), 2);
	assert_int_equal(mock_count(m, FUSE_GETATTR), 0);
	mock_end(m);
}

static void dot(void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_lookup(m, 1, "some_dir", 42, DIR_, 0, MOCK_FOREVER);
	ok(pf_stat(m->fs, "some_dir/.", &st));
	assert_log(m, "LOOKUP(1,some_dir)");
	mock_end(m);
}

static void dotdot_expired_parent(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out foo = mock_entry(2, DIR_, 0, 0, MOCK_FOREVER);
	struct fuse_entry_out bar = mock_entry(3, DIR_, 0, MOCK_FOREVER, MOCK_FOREVER);
	struct pf_file *dir;
	struct stat st;

	foo.entry_valid_nsec = 50 * MS;
	mock_lookup_entry(m, 1, "foo", &foo);
	mock_lookup_entry(m, 2, "bar", &bar);
	ok(pf_open(m->fs, "/foo/bar", O_PATH | O_DIRECTORY, 0, &dir));
	pf__clock_advance(100 * MS);
	ok(pf_fstatat(dir, "../..", &st, 0));
	assert_int_equal(st.st_ino, 1);
	assert_null(strstr(mock_log(m), ".."));
	ok(pf_close(dir));
	mock_end(m);
}

static void enoent(void **state)
{
	struct mock *m = mock_start(NULL);

	mock_lookup_error(m, 1, "does_not_exist", ENOENT);
	fails(pf_access(m->fs, "does_not_exist", F_OK), ENOENT);
	mock_end(m);
}

static void enotdir(void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_lookup(m, 1, "not_a_dir", 42, REG, 0, MOCK_FOREVER);
	fails(pf_stat(m->fs, "not_a_dir/some_file.txt", &st), ENOTDIR);
	fails(pf_stat(m->fs, "not_a_dir/", &st), ENOTDIR);
	assert_log(m, "LOOKUP(1,not_a_dir)");
	mock_end(m);
}

static void entry_cache(void **state)
{
	struct mock *m = mock_start(NULL);

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	ok(pf_access(m->fs, "foo", F_OK));
	ok(pf_access(m->fs, "foo", F_OK));
	assert_int_equal(mock_count(m, FUSE_LOOKUP), 1);
	mock_end(m);
}

static void entry_cache_negative(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out e = {.nodeid = 0, .entry_valid = 1000000};

	mock_lookup_entry(m, 1, "foo", &e);
	fails(pf_access(m->fs, "foo", F_OK), ENOENT);
	fails(pf_access(m->fs, "foo", F_OK), ENOENT);
	assert_log(m, "LOOKUP(1,foo)");
	mock_end(m);
}

static void enoent_is_not_cached(void **state)
{
	struct mock *m = mock_start(NULL);

	mock_times(mock_lookup_error(m, 1, "foo", ENOENT), 2);
	fails(pf_access(m->fs, "foo", F_OK), ENOENT);
	fails(pf_access(m->fs, "foo", F_OK), ENOENT);
	mock_end(m);
}

static void entry_cache_negative_timeout(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out e = {.entry_valid_nsec = 50 * MS};

	mock_times(mock_lookup_entry(m, 1, "foo", &e), 2);
	fails(pf_access(m->fs, "foo", F_OK), ENOENT);
	pf__clock_advance(100 * MS);
	fails(pf_access(m->fs, "foo", F_OK), ENOENT);
	mock_end(m);
}

static void entry_cache_timeout(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out e = mock_entry(42, REG, 0, 0, MOCK_FOREVER);

	e.entry_valid_nsec = 500 * MS;
	mock_times(mock_lookup_entry(m, 1, "foo", &e), 2);
	ok(pf_access(m->fs, "foo", F_OK));
	ok(pf_access(m->fs, "foo", F_OK));
	assert_int_equal(mock_count(m, FUSE_LOOKUP), 1);
	pf__clock_advance(1000 * MS);
	ok(pf_access(m->fs, "foo", F_OK));
	assert_int_equal(mock_count(m, FUSE_LOOKUP), 2);
	mock_end(m);
}

/* A validity of 2^64 - 1 seconds must not overflow when it is added to the time. */
static void forever(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out e = mock_entry(42, REG, 0, UINT64_MAX, UINT64_MAX);
	struct stat st;

	e.entry_valid_nsec = e.attr_valid_nsec = UINT32_MAX;
	mock_lookup_entry(m, 1, "foo", &e);
	ok(pf_stat(m->fs, "foo", &st));
	pf__clock_advance(1000ull * 1000 * 1000 * MS);
	ok(pf_stat(m->fs, "foo", &st));
	mock_end(m);
}

static void parent_inode(void **state)
{
	struct mock_options o = {.lookup_leak = true};
	struct mock *m = mock_start(&o);
	struct stat st;

	mock_lookup(m, 1, "dir", 2, DIR_, 0, MOCK_FOREVER);
	mock_lookup(m, 2, "sub", 2, DIR_, 0, MOCK_FOREVER);
	fails(pf_stat(m->fs, "dir/sub", &st), EIO);
	mock_end(m);
}

static void names_the_root(void **state)
{
	struct mock_options o = {.lookup_leak = true};
	struct mock *m = mock_start(&o);
	struct stat st;

	mock_lookup(m, 1, "dir", 1, DIR_, 0, MOCK_FOREVER);
	fails(pf_stat(m->fs, "dir", &st), EIO);
	mock_end(m);
}

static void subdir(void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_lookup(m, 1, "some_dir", 2, DIR_, 0, MOCK_FOREVER);
	mock_lookup(m, 2, "some_file.txt", 3, REG, 7, MOCK_FOREVER);
	ok(pf_stat(m->fs, "/some_dir/some_file.txt", &st));
	assert_int_equal(st.st_size, 7);
	assert_log(m, "LOOKUP(1,some_dir) LOOKUP(2,some_file.txt)");
	mock_end(m);
}

/* The type under a nodeid changes: the old inode turns bad, the new one works. */
static void type_conflict(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out file = mock_entry(42, REG, 0, 0, MOCK_FOREVER);
	struct fuse_entry_out dir = mock_entry(42, DIR_, 0, 0, MOCK_FOREVER);
	struct pf_file *f;
	struct stat st;

	mock_lookup_entry(m, 1, "foo", &file);
	mock_open(m, 42, 0);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	mock_any_times(mock_lookup_entry(m, 1, "foo", &dir));
	ok(pf_stat(m->fs, "foo", &st));
	assert_true(S_ISDIR(st.st_mode));
	fails(pf_fstat(f, &st), EIO);
	mock_any_times(mock_flush(m, 42));
	mock_release(m, 42);
	pf_close(f);
	mock_end(m);
}

/* Another generation of the same node: likewise. */
static void generation_conflict(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out old = mock_entry(42, REG, 5, 0, MOCK_FOREVER), new = old;
	struct pf_file *f;
	struct stat st;

	old.generation = 1;
	new.generation = 2;
	new.attr.size = 6;
	mock_lookup_entry(m, 1, "foo", &old);
	mock_open(m, 42, 0);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	mock_any_times(mock_lookup_entry(m, 1, "foo", &new));
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_size, 6);
	fails(pf_fstat(f, &st), EIO);
	mock_any_times(mock_flush(m, 42));
	mock_release(m, 42);
	pf_close(f);
	mock_end(m);
}

/* An expired name now leads to another node: the old node is given back, the new one is served. */
static void other_nodeid(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out a = mock_entry(42, REG, 5, 0, MOCK_FOREVER);
	struct fuse_entry_out b = mock_entry(43, REG, 6, 0, MOCK_FOREVER);
	struct stat st;

	mock_lookup_entry(m, 1, "foo", &a);
	ok(pf_stat(m->fs, "foo", &st));
	mock_any_times(mock_lookup_entry(m, 1, "foo", &b));
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_size, 6);
	assert_int_equal(st.st_ino, 43);
	mock_wait_forgotten(m, 42, 1);
	mock_end(m);
}

static void minor_7_8(void **state)
{
	struct mock_options o = {.minor = 8};
	struct mock *m = mock_start(&o);
	struct fuse_entry_out e = entry_attrs_only(42, REG, 1);
	struct stat st;

	e.attr = attr_of_note(42, REG);
	mock_lookup_entry(m, 1, "foo", &e);
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_size, 1);
	assert_int_equal(st.st_gid, 11);
	mock_end(m);
}

static void dotdot_no_parent_nid_setup(struct mock *m, struct pf_file **bar)
{
	mock_lookup(m, 1, "foo", 2, DIR_, 0, MOCK_FOREVER);
	mock_lookup(m, 2, "bar", 3, DIR_, 0, MOCK_FOREVER);
	ok(pf_open(m->fs, "/foo/bar", O_PATH | O_DIRECTORY, 0, bar));
}

/* An ancestor of an open directory is kept, so that ".." needs nobody, whatever the server says of
 * the names. */
static void dotdot_after_invalidation(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_file *bar;
	struct stat st;

	dotdot_no_parent_nid_setup(m, &bar);
	mock_notify_inval_entry(m, 1, "foo", 0);
	mock_settle(m);
	ok(pf_fstatat(bar, "..", &st, 0));
	assert_int_equal(st.st_ino, 2);
	ok(pf_close(bar));
	mock_end(m);
}

static void name_too_long(void **state)
{
	struct mock *m = mock_start(NULL);
	char name[5000];
	struct stat st;

	memset(name, 'a', sizeof(name));
	name[1025] = 0;
	fails(pf_stat(m->fs, name, &st), ENAMETOOLONG);
	name[1025] = 'a';
	name[4999] = 0;
	fails(pf_stat(m->fs, name, &st), ENAMETOOLONG);
	assert_log(m, "");
	mock_end(m);
}

static void longer_names_with_pages(void **state)
{
	struct mock_options o = {.flags = FUSE_MAX_PAGES, .init = {.max_pages = 32}};
	struct mock *m = mock_start(&o);
	char name[2001];
	struct stat st;

	memset(name, 'a', sizeof(name));
	name[2000] = 0;
	mock_lookup(m, 1, name, 42, REG, 0, MOCK_FOREVER);
	ok(pf_stat(m->fs, name, &st));
	mock_end(m);
}

static void empty_path(void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	fails(pf_stat(m->fs, "", &st), ENOENT);
	mock_end(m);
}

static void symlink_loop(void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_any_times(mock_lookup(m, 1, "a", 2, S_IFLNK | 0777, 1, MOCK_FOREVER));
	mock_any_times(mock_body(mock_expect(m, FUSE_READLINK, 2, NULL), "a", 1));
	mock_any_times(mock_getattr(m, 2, S_IFLNK | 0777, 1, MOCK_FOREVER));
	fails(pf_stat(m->fs, "a", &st), ELOOP);
	ok(pf_lstat(m->fs, "a", &st));
	mock_end(m);
}

static void symlinks(void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_lookup(m, 1, "dir", 2, DIR_, 0, MOCK_FOREVER);
	mock_lookup(m, 2, "rel", 3, S_IFLNK | 0777, 7, MOCK_FOREVER);
	mock_body(mock_expect(m, FUSE_READLINK, 3, NULL), "../abs", 6);
	mock_lookup(m, 1, "abs", 4, S_IFLNK | 0777, 9, MOCK_FOREVER);
	mock_body(mock_expect(m, FUSE_READLINK, 4, NULL), "/dir/file", 9);
	mock_lookup(m, 2, "file", 5, REG, 77, MOCK_FOREVER);
	ok(pf_stat(m->fs, "/dir/rel", &st));
	assert_int_equal(st.st_size, 77);
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(attr_cache),
	    cmocka_unit_test(attr_cache_timeout),
	    cmocka_unit_test(dot),
	    cmocka_unit_test(dotdot_expired_parent),
	    cmocka_unit_test(dotdot_after_invalidation),
	    cmocka_unit_test(enoent),
	    cmocka_unit_test(enotdir),
	    cmocka_unit_test(entry_cache),
	    cmocka_unit_test(entry_cache_negative),
	    cmocka_unit_test(enoent_is_not_cached),
	    cmocka_unit_test(entry_cache_negative_timeout),
	    cmocka_unit_test(entry_cache_timeout),
	    cmocka_unit_test(forever),
	    cmocka_unit_test(parent_inode),
	    cmocka_unit_test(names_the_root),
	    cmocka_unit_test(subdir),
	    cmocka_unit_test(type_conflict),
	    cmocka_unit_test(generation_conflict),
	    cmocka_unit_test(other_nodeid),
	    cmocka_unit_test(minor_7_8),
	    cmocka_unit_test(name_too_long),
	    cmocka_unit_test(longer_names_with_pages),
	    cmocka_unit_test(empty_path),
	    cmocka_unit_test(symlink_loop),
	    cmocka_unit_test(symlinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
