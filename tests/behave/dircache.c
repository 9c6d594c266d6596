// SPDX-License-Identifier: BSD-2-Clause
/* FOPEN_CACHE_DIR: when a directory is listed without a request, and when it must not be. */
#include "tests/behave/served.h"

#define CACHED (FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE)

static struct served *start(uint32_t open_flags, uint64_t flags)
{
	struct served *s = served_start(open_flags, flags);

	for (const char *n = "abcd"; *n; n++)
		served_add(s, (char[]){*n, '\0'}, REG);
	serve_listings(s);
	return s;
}

struct wanted {
	const char *key;
	long value;
};

static void take_value(void *ctx, const char *key, const char *value)
{
	struct wanted *w = ctx;

	if (!strcmp(key, w->key))
		w->value = atol(value);
}

static long info(struct served *s, const char *key)
{
	struct wanted w = {key, -1};

	ok(pf_info(s->m->fs, take_value, &w));
	return w.value;
}

static void finish(struct served *s, struct pf_file *d)
{
	ok(pf_close(d));
	served_end(s);
}

static void second_listing(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_file *d = served_open(s), *other;

	assert_string_equal(listing(d), "a b c d");
	assert_int_equal(asked(s), 2); /* the records, the end */
	assert_int_equal(info(s, "io.dir_cache_hits"), 0);
	assert_string_equal(listing(d), "a b c d");
	other = served_open(s);
	assert_string_equal(listing(other), "a b c d");
	ok(pf_close(other));
	assert_int_equal(asked(s), 0);
	assert_int_equal(info(s, "io.dir_cache_hits"), 2);
	assert_int_equal(info(s, "cache.listings"), 1);
	finish(s, d);
}

static void same_records(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_file *d = served_open(s);
	struct pf_dirent e;

	listing(d);
	ok(pf_seekdir(d, 0));
	asked(s);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pf_readdir(d, &e), 1);
		assert_int_equal(e.ino, 100 + i);
		assert_int_equal(e.off, 10 + 10 * i);
		assert_int_equal(e.type, DT_REG);
		assert_int_equal(e.namelen, 1);
		assert_int_equal(e.has_stat, 0);
		assert_int_equal(pf_telldir(d), e.off);
	}
	assert_int_equal(pf_readdir(d, &e), 0);
	assert_int_equal(pf_readdir(d, &e), 0);
	assert_int_equal(asked(s), 0);
	finish(s, d);
}

static void only_where_allowed(void **state)
{
	struct served *s = start(FOPEN_KEEP_CACHE, 0);
	struct pf_file *d = served_open(s), *other;

	listing(d);
	listing(d);
	assert_int_equal(asked(s), 4);
	s->open_flags = CACHED;
	other = served_open(s);
	listing(other);
	listing(other);
	assert_int_equal(asked(s), 2);
	listing(d); /* which has no such flag */
	assert_int_equal(asked(s), 2);
	ok(pf_close(other));
	finish(s, d);
}

static void empty_directory(void **state)
{
	struct served *s = served_start(CACHED, 0);
	struct pf_file *d = served_open(s);

	serve_listings(s);
	assert_string_equal(listing(d), "");
	assert_int_equal(asked(s), 1);
	assert_string_equal(listing(d), "");
	assert_int_equal(asked(s), 0);
	finish(s, d);
}

static void opendir_enosys(void **state)
{
	struct served *s = served_start(0, 0);
	struct pf_file *d;

	mock_any_times(mock_error(mock_expect(s->m, FUSE_OPENDIR, MOCK_ANY, NULL), ENOSYS));
	ok(pf_mkdir(s->m->fs, "sub", 0755));
	mock_fn_set(mock_any_times(mock_expect(s->m, FUSE_READDIR, 100, NULL)), serve_readdir, s);
	served_add(s, "x", REG);
	ok(pf_open(s->m->fs, "sub", O_RDONLY, 0, &d));
	assert_string_equal(listing(d), "sub x");
	ok(pf_close(d));
	assert_int_equal(asked(s), 2);
	ok(pf_open(s->m->fs, "sub", O_RDONLY, 0, &d));
	assert_string_equal(listing(d), "sub x");
	assert_int_equal(asked(s), 0);
	finish(s, d);
}

/* ---- what an open does */

static void open_without_keep(void **state)
{
	struct served *s = start(FOPEN_CACHE_DIR, 0);
	struct pf_file *d = served_open(s), *other;

	listing(d);
	listing(d);
	assert_int_equal(asked(s), 2);
	other = served_open(s);
	assert_int_equal(info(s, "cache.listings"), 0);
	listing(d);
	assert_int_equal(asked(s), 2);
	ok(pf_close(other));
	finish(s, d);
}

/* The reader goes on where it was, by requests. */
static void dropped_in_the_middle(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_file *d = served_open(s), *other;
	struct pf_dirent e;

	listing(d);
	ok(pf_seekdir(d, 0));
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_int_equal(pf_readdir(d, &e), 1);
	asked(s);
	s->open_flags = FOPEN_CACHE_DIR;
	other = served_open(s);
	assert_string_equal(rest(d), "c d");
	assert_int_equal(asked(s), 2);
	assert_int_equal(info(s, "cache.listings"), 0); /* it did not begin at the start */
	ok(pf_close(other));
	finish(s, d);
}

/* ---- filling */

static void many_replies(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_file *d = served_open(s);

	s->per_reply = 1;
	assert_string_equal(listing(d), "a b c d");
	assert_int_equal(asked(s), 5);
	assert_string_equal(listing(d), "a b c d");
	assert_int_equal(asked(s), 0);
	finish(s, d);
}

static void a_gap_ends_it(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_file *d = served_open(s);
	struct pf_dirent e;

	s->per_reply = 1;
	assert_int_equal(pf_readdir(d, &e), 1);
	ok(pf_seekdir(d, 20));
	assert_string_equal(rest(d), "c d");
	asked(s);
	assert_string_equal(listing(d), "a b c d");
	assert_int_equal(asked(s), 5);
	assert_string_equal(listing(d), "a b c d");
	assert_int_equal(asked(s), 0);
	finish(s, d);
}

/* Only the end makes it complete; who comes later goes on with what there is. */
static void given_up_halfway(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_file *d = served_open(s), *other = served_open(s);
	struct pf_dirent e;

	s->per_reply = 1;
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_int_equal(asked(s), 2);
	assert_string_equal(listing(other), "a b c d");
	assert_int_equal(asked(s), 5);
	assert_string_equal(listing(other), "a b c d");
	assert_int_equal(asked(s), 0);
	assert_string_equal(rest(d), "c d"); /* it is in the cache now */
	assert_int_equal(asked(s), 0);
	ok(pf_close(other));
	finish(s, d);
}

/* Cookies say what follows: to read a part twice is no gap. */
static void a_part_twice(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_file *d = served_open(s);
	struct pf_dirent e;

	s->per_reply = 1;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pf_readdir(d, &e), 1);
	ok(pf_seekdir(d, 10));
	assert_string_equal(rest(d), "b c d");
	asked(s);
	assert_string_equal(listing(d), "a b c d");
	assert_int_equal(asked(s), 0);
	finish(s, d);
}

static void bad_record(void **state)
{
	struct served *s = served_start(CACHED, 0);
	struct pf_file *d = served_open(s);
	struct pf_dirent e;

	serve_listings(s);
	served_add(s, "good", REG);
	served_add(s, "b/d", REG);
	for (int i = 0; i < 2; i++) {
		ok(pf_seekdir(d, 0));
		assert_int_equal(pf_readdir(d, &e), 1);
		fails(pf_readdir(d, &e), EIO);
		assert_int_equal(asked(s), 1);
	}
	finish(s, d);
}

static void readdir_error(void **state)
{
	struct served *s = served_start(CACHED, 0);
	struct pf_file *d = served_open(s);
	struct pf_dirent e;

	served_add(s, "a", REG);
	mock_error(mock_expect(s->m, FUSE_READDIR, 1, NULL), EIO);
	serve_listings(s);
	fails(pf_readdir(d, &e), EIO);
	assert_string_equal(listing(d), "a");
	assert_string_equal(listing(d), "a");
	assert_int_equal(asked(s), 3);
	finish(s, d);
}

static size_t record_of(char *buf, size_t len, uint64_t off, size_t namelen)
{
	struct fuse_dirent de = {.ino = off, .off = off, .namelen = namelen, .type = DT_REG};

	memset(buf + len, 0, sizeof de + namelen + 8);
	memcpy(buf + len, &de, sizeof de);
	memset(buf + len + sizeof de, 'n', namelen);
	return len + ((sizeof de + namelen + 7) & ~(size_t)7);
}

static bool from_start(const struct mock_req *req, void *ctx)
{
	return !((const struct fuse_read_in *)req->arg)->offset;
}

/* A record of a page is kept, a larger one is not, nor what follows it. */
static void large_records(void **state)
{
	for (size_t namelen = 4072; namelen <= 4073; namelen++) {
		struct served *s = served_start(CACHED, 0);
		struct pf_file *d = served_open(s);
		static char buf[16384];
		size_t n = record_of(buf, 0, 1, namelen);

		n = record_of(buf, n, 2, 1);
		mock_match(
		    mock_any_times(mock_body(mock_expect(s->m, FUSE_READDIR, 1, NULL), buf, n)),
		    from_start, NULL);
		serve_listings(s);
		listing(d);
		assert_int_equal(asked(s), 2);
		assert_int_equal(strlen(listing(d)), namelen + 2);
		assert_int_equal(asked(s), namelen > 4072 ? 2 : 0);
		finish(s, d);
	}
}

/* Cookie 0 is where a listing starts: a server that gives it to a record is listed by requests. */
static void zero_cookies(void **state)
{
	struct served *s = served_start(CACHED, 0);
	struct pf_file *d = served_open(s);
	char buf[200] = {0};
	size_t n = mock_dirent(buf, 0, 5, 0, DT_REG, "zero");
	struct pf_dirent e;

	mock_times(mock_body(mock_expect(s->m, FUSE_READDIR, 1, NULL), buf, n), 3);
	serve_listings(s);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pf_readdir(d, &e), 1);
	assert_int_equal(pf_readdir(d, &e), 0);
	assert_int_equal(asked(s), 4);
	assert_string_equal(listing(d), ""); /* as the server said last */
	finish(s, d);
}

/* ---- positions */

static void seek_and_tell(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_file *d = served_open(s), *fresh;
	struct pf_dirent e;
	uint64_t tell;

	listing(d);
	ok(pf_seekdir(d, 0));
	asked(s);
	assert_int_equal(pf_readdir(d, &e), 1);
	tell = pf_telldir(d);
	assert_string_equal(rest(d), "b c d");
	ok(pf_seekdir(d, tell));
	assert_string_equal(rest(d), "b c d");
	ok(pf_seekdir(d, 40));
	assert_string_equal(rest(d), "");
	fresh = served_open(s);
	ok(pf_seekdir(fresh, 30));
	assert_string_equal(rest(fresh), "d");
	assert_int_equal(asked(s), 0);
	ok(pf_seekdir(fresh, 25)); /* the server knows what that means */
	assert_string_equal(rest(fresh), "c d");
	assert_int_equal(asked(s), 1); /* behind "d" the cache knows the end */
	ok(pf_close(fresh));
	finish(s, d);
}

/* ---- what makes it void */

static void expect_reset(struct served *s, struct pf_file *d, const char *want)
{
	assert_string_equal(listing(d), want);
	assert_int_equal(asked(s), 2);
	assert_string_equal(listing(d), want);
	assert_int_equal(asked(s), 0);
}

static void own_changes(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_fs *fs = s->m->fs;
	struct pf_file *d = served_open(s), *f;

	expect_reset(s, d, "a b c d");
	ok(pf_mkdir(fs, "e", 0755));
	expect_reset(s, d, "a b c d e");
	ok(pf_symlink(fs, "a", "f"));
	expect_reset(s, d, "a b c d e f");
	ok(pf_mknod(fs, "g", S_IFREG | 0644, 0));
	expect_reset(s, d, "a b c d e f g");
	mock_any_times(mock_flush(s->m, MOCK_ANY));
	mock_any_times(mock_release(s->m, MOCK_ANY));
	ok(pf_open(fs, "h", O_RDWR | O_CREAT, 0644, &f));
	ok(pf_close(f));
	expect_reset(s, d, "a b c d e f g h");
	ok(pf_unlink(fs, "a"));
	expect_reset(s, d, "b c d e f g h");
	ok(pf_rename(fs, "b", "B"));
	expect_reset(s, d, "B c d e f g h");
	mock_lookup_error(s->m, 104, "c", ENOENT);
	ok(pf_rename(fs, "c", "e/c"));
	expect_reset(s, d, "B d e f g h");
	ok(pf_rmdir(fs, "e"));
	expect_reset(s, d, "B d f g h");
	finish(s, d);
}

/* What other directories and files do does not matter; nor does a LOOKUP. */
static void other_changes(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_file *d = served_open(s);
	struct fuse_entry_out made = mock_entry(77, DIR_, 0, MOCK_FOREVER, MOCK_FOREVER);
	struct stat st;

	ok(pf_mkdir(s->m->fs, "e", 0755));
	listing(d);
	asked(s);
	mock_lookup_error(s->m, 104, "x", ENOENT);
	mock_body(mock_expect(s->m, FUSE_MKDIR, 104, "x"), &made, sizeof made);
	ok(pf_mkdir(s->m->fs, "e/x", 0755));
	ok(pf_stat(s->m->fs, "a", &st));
	fails(pf_stat(s->m->fs, "nothing", &st), ENOENT);
	mock_notify_inval_inode(s->m, 100, 0, 0);
	mock_settle(s->m);
	assert_string_equal(listing(d), "a b c d e");
	assert_int_equal(asked(s), 0);
	finish(s, d);
}

/* A change while it is filled: what was listed may lack it. */
static void change_while_filling(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_file *d = served_open(s);
	struct pf_dirent e;

	s->per_reply = 2;
	assert_int_equal(pf_readdir(d, &e), 1);
	ok(pf_unlink(s->m->fs, "a"));
	assert_string_equal(rest(d), "b c d");
	s->per_reply = 0;
	asked(s);
	expect_reset(s, d, "b c d");
	finish(s, d);
}

/* A change that nobody knows the outcome of. */
static void interrupted_change(void **state)
{
	struct served *s = served_start(CACHED, 0);
	struct pf_file *d = served_open(s);

	serve_listings(s);
	served_add(s, "a", REG);
	expect_reset(s, d, "a");
	s->fail = EINTR;
	fails(pf_mknod(s->m->fs, "b", S_IFREG | 0644, 0), EINTR);
	expect_reset(s, d, "a");
	fails(pf_unlink(s->m->fs, "a"), EINTR);
	expect_reset(s, d, "a");
	fails(pf_rename(s->m->fs, "a", "b"), EINTR);
	expect_reset(s, d, "a");
	finish(s, d);
}

static void notifications(void **state)
{
	struct served *s = start(CACHED, 0);
	struct mock *m = s->m;
	struct pf_file *d = served_open(s);
	struct stat st;

	ok(pf_stat(m->fs, "a", &st));
	expect_reset(s, d, "a b c d");
	mock_notify_inval_entry(m, 1, "a", FUSE_EXPIRE_ONLY);
	mock_settle(m);
	expect_reset(s, d, "a b c d");
	mock_notify_inval_entry(m, 1, "a", 0);
	mock_settle(m);
	expect_reset(s, d, "a b c d");
	served_add(s, "new", REG);
	mock_notify_inval_entry(m, 1, "new", 0); /* a name that we never asked for */
	mock_settle(m);
	expect_reset(s, d, "a b c d new");
	served_del(s, "b");
	mock_notify_delete(m, 1, 101, "b");
	mock_settle(m);
	expect_reset(s, d, "a c d new");
	mock_notify_inval_inode(m, 1, -1, 0);
	mock_settle(m);
	expect_reset(s, d, "a c d new");
	mock_notify(m, FUSE_NOTIFY_INC_EPOCH, NULL, 0);
	mock_settle(m);
	expect_reset(s, d, "a c d new");
	finish(s, d);
}

static void inval_range_in_the_middle(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_file *d = served_open(s);
	struct pf_dirent e;

	listing(d);
	ok(pf_seekdir(d, 0));
	asked(s);
	assert_int_equal(pf_readdir(d, &e), 1);
	mock_notify_inval_inode(s->m, 1, -1, 0); /* attributes: a reading goes on */
	mock_settle(s->m);
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_int_equal(asked(s), 0);
	mock_notify_inval_inode(s->m, 1, 0, 0);
	mock_settle(s->m);
	assert_string_equal(rest(d), "c d");
	assert_int_equal(asked(s), 2);
	expect_reset(s, d, "a b c d");
	finish(s, d);
}

/* ---- mtime */

static void mtime_by_auto_inval(void **state)
{
	struct served *s = start(CACHED, FUSE_AUTO_INVAL_DATA);
	struct pf_file *d = served_open(s);
	uint64_t before;

	expect_reset(s, d, "a b c d");
	before = mock_count(s->m, FUSE_GETATTR);
	listing(d); /* the attributes are valid: nothing is asked */
	assert_int_equal(mock_count(s->m, FUSE_GETATTR), before);
	s->dir_valid = 0;
	mock_notify_inval_inode(s->m, 1, -1, 0);
	mock_settle(s->m);
	expect_reset(s, d, "a b c d");
	before = mock_count(s->m, FUSE_GETATTR);
	listing(d);
	assert_int_equal(mock_count(s->m, FUSE_GETATTR), before + 1);
	assert_int_equal(asked(s), 0);
	served_del(s, "a");
	s->mtime++;
	expect_reset(s, d, "b c d");
	finish(s, d);
}

/* Without it nobody asks, but what a stat brings counts. */
static void mtime_by_stat(void **state)
{
	struct served *s = start(CACHED, 0);
	struct pf_file *d = served_open(s);
	struct stat st;

	s->dir_valid = 0;
	ok(pf_stat(s->m->fs, "/", &st));
	expect_reset(s, d, "a b c d");
	served_del(s, "a");
	s->mtime++;
	assert_string_equal(listing(d), "a b c d");
	assert_int_equal(asked(s), 0);
	ok(pf_stat(s->m->fs, "/", &st));
	expect_reset(s, d, "b c d");
	finish(s, d);
}

static void getattr_error(void **state)
{
	struct served *s = served_start(CACHED, FUSE_AUTO_INVAL_DATA);
	struct pf_file *d;
	struct pf_dirent e;

	s->dir_valid = 0;
	d = served_open(s);
	mock_hang_up(s->m);
	fails(pf_readdir(d, &e), ENOTCONN);
	ok(pf_close(d));
	served_end(s);
}

/* ---- attributes of the names */

static int with_stat(struct pf_file *d, const char *name, struct stat *st)
{
	struct pf_dirent e;
	int has = -1;

	ok(pf_seekdir(d, 0));
	while (pf_readdir(d, &e) == 1)
		if (!strcmp(e.name, name)) {
			has = e.has_stat;
			*st = e.st;
		}
	return has;
}

static void attributes(void **state)
{
	struct served *s = start(CACHED, FUSE_DO_READDIRPLUS);
	struct pf_file *d = served_open(s);
	struct stat st;

	listing(d);
	asked(s);
	assert_int_equal(with_stat(d, "b", &st), 1);
	assert_int_equal(st.st_ino, 101);
	assert_int_equal(st.st_size, 101);
	assert_int_equal(st.st_mode, REG);
	mock_notify_inval_inode(s->m, 101, -1, 0);
	mock_settle(s->m);
	assert_int_equal(with_stat(d, "b", &st), 0);
	assert_int_equal(with_stat(d, "c", &st), 1);
	assert_int_equal(asked(s), 0);
	finish(s, d);
}

/* Another file under the name since: what the listing says of it and what is known do not agree. */
static void attributes_of_another(void **state)
{
	for (int dir = 0; dir < 2; dir++) {
		struct served *s = served_start(CACHED, FUSE_DO_READDIRPLUS);
		struct pf_file *d = served_open(s);
		struct stat st;

		served_add(s, "a", REG);
		serve_listings(s);
		s->entry_valid = 0;
		listing(d);
		assert_int_equal(with_stat(d, "a", &st), 0);
		s->names[0].ino = dir ? 100 : 200;
		s->names[0].mode = dir ? DIR_ : REG;
		s->entry_valid = MOCK_FOREVER;
		ok(pf_lstat(s->m->fs, "a", &st));
		assert_int_equal(st.st_ino, s->names[0].ino);
		assert_int_equal(with_stat(d, "a", &st), 0);
		assert_int_equal(asked(s), 2);
		finish(s, d);
	}
}

/* ---- memory */

static void gone_with_the_inode(void **state)
{
	struct served *s = served_start(CACHED, 0);
	struct fuse_open_out open = {.fh = MOCK_FH, .open_flags = CACHED};
	struct pf_file *d;

	served_add(s, "sub", DIR_);
	mock_body(mock_expect(s->m, FUSE_OPENDIR, 100, NULL), &open, sizeof open);
	mock_releasedir(s->m, 100);
	mock_fn_set(mock_times(mock_expect(s->m, FUSE_READDIR, 100, NULL), 2), serve_readdir, s);
	ok(pf_open(s->m->fs, "sub", O_RDONLY, 0, &d));
	listing(d);
	ok(pf_close(d));
	assert_int_equal(info(s, "cache.listings"), 1);
	assert_true(info(s, "cache.listing_bytes") > 0);
	ok(pf_rmdir(s->m->fs, "sub"));
	mock_wait_forgotten(s->m, 100, 1);
	assert_int_equal(info(s, "cache.listings"), 0);
	assert_int_equal(info(s, "cache.listing_bytes"), 0);
	served_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(second_listing),        cmocka_unit_test(same_records),
	    cmocka_unit_test(only_where_allowed),    cmocka_unit_test(empty_directory),
	    cmocka_unit_test(opendir_enosys),        cmocka_unit_test(open_without_keep),
	    cmocka_unit_test(dropped_in_the_middle), cmocka_unit_test(many_replies),
	    cmocka_unit_test(a_gap_ends_it),         cmocka_unit_test(given_up_halfway),
	    cmocka_unit_test(a_part_twice),          cmocka_unit_test(bad_record),
	    cmocka_unit_test(readdir_error),         cmocka_unit_test(large_records),
	    cmocka_unit_test(zero_cookies),          cmocka_unit_test(seek_and_tell),
	    cmocka_unit_test(own_changes),           cmocka_unit_test(other_changes),
	    cmocka_unit_test(change_while_filling),  cmocka_unit_test(interrupted_change),
	    cmocka_unit_test(notifications),         cmocka_unit_test(inval_range_in_the_middle),
	    cmocka_unit_test(mtime_by_auto_inval),   cmocka_unit_test(mtime_by_stat),
	    cmocka_unit_test(getattr_error),         cmocka_unit_test(attributes),
	    cmocka_unit_test(attributes_of_another), cmocka_unit_test(gone_with_the_inode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
