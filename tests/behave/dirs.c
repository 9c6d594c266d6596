// SPDX-License-Identifier: BSD-2-Clause
/* Directories: READDIR and READDIRPLUS, cookies, hostile records, handles. */
#include "tests/behave/behave.h"

#include <dirent.h>

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)

static bool at_offset(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_read_in *)req->arg)->offset == *(uint64_t *)ctx;
}

static struct mock_expect *readdir_at(struct mock *m, uint32_t opcode, uint64_t *offset,
				      const void *data, size_t len)
{
	return mock_match(mock_body(mock_expect(m, opcode, 1, NULL), data, len), at_offset, offset);
}

static struct mock *start_dir(const struct mock_options *o, struct pf_file **d)
{
	struct mock *m = mock_start(o);

	mock_opendir(m, 1, 0);
	mock_releasedir(m, 1);
	ok(pf_open(m->fs, "/", O_RDONLY | O_DIRECTORY, 0, d));
	return m;
}

static void finish(struct mock *m, struct pf_file *d)
{
	ok(pf_close(d));
	mock_end(m);
}

static void dots_and_files(void **state)
{
	struct pf_file *d;
	struct mock *m = start_dir(NULL, &d);
	uint64_t zero = 0, end = 30;
	char buf[400] = {0};
	struct pf_dirent e;
	size_t n = 0;

	n = mock_dirent(buf, n, 1, 10, DT_DIR, ".");
	n = mock_dirent(buf, n, 1, 20, DT_DIR, "..");
	n = mock_dirent(buf, n, 3, 30, DT_REG, "some_file.txt");
	readdir_at(m, FUSE_READDIR, &zero, buf, n);
	mock_any_times(readdir_at(m, FUSE_READDIR, &end, "", 0));
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_string_equal(e.name, ".");
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_string_equal(e.name, "..");
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_string_equal(e.name, "some_file.txt");
	assert_int_equal(e.ino, 3);
	assert_int_equal(e.type, DT_REG);
	assert_int_equal(e.off, 30);
	assert_int_equal(e.namelen, 13);
	assert_int_equal(pf_telldir(d), 30);
	assert_int_equal(pf_readdir(d, &e), 0);
	assert_int_equal(pf_readdir(d, &e), 0);
	finish(m, d);
}

static void nodots(void **state)
{
	struct pf_file *d;
	struct mock *m = start_dir(NULL, &d);
	struct pf_dirent e;

	mock_any_times(mock_body(mock_expect(m, FUSE_READDIR, 1, NULL), "", 0));
	assert_int_equal(pf_readdir(d, &e), 0);
	finish(m, d);
}

static void nodots_7_8(void **state)
{
	struct mock_options o = {.minor = 8};
	struct pf_file *d;
	struct mock *m = start_dir(&o, &d);
	struct pf_dirent e;

	mock_any_times(mock_body(mock_expect(m, FUSE_READDIR, 1, NULL), "", 0));
	assert_int_equal(pf_readdir(d, &e), 0);
	finish(m, d);
}

static void eio(void **state)
{
	struct pf_file *d;
	struct mock *m = start_dir(NULL, &d);
	struct pf_dirent e;

	mock_error(mock_expect(m, FUSE_READDIR, 1, NULL), EIO);
	fails(pf_readdir(d, &e), EIO);
	finish(m, d);
}

static void seek_to_cookie(void **state)
{
	struct pf_file *d;
	struct mock *m = start_dir(NULL, &d);
	uint64_t off = 2000;
	char buf[100] = {0};
	struct pf_dirent e;
	size_t n = mock_dirent(buf, 0, 4, 3000, DT_REG, "bar");

	readdir_at(m, FUSE_READDIR, &off, buf, n);
	ok(pf_seekdir(d, 2000));
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_string_equal(e.name, "bar");
	finish(m, d);
}

static void seekdir_back(void **state)
{
	struct pf_file *d;
	struct mock *m = start_dir(NULL, &d);
	uint64_t a = 0, b = 100000 + 127, tell;
	static char first[8192], second[8192];
	size_t n1 = 0, n2 = 0;
	struct pf_dirent e;
	char name[20];

	for (int i = 0; i < 254; i++) {
		snprintf(name, sizeof(name), "file.%d", i);
		if (i < 128)
			n1 = mock_dirent(first, n1, 2 + i, 100000 + i, DT_REG, name);
		else
			n2 = mock_dirent(second, n2, 2 + i, 100000 + i, DT_REG, name);
	}
	readdir_at(m, FUSE_READDIR, &a, first, n1);
	mock_times(readdir_at(m, FUSE_READDIR, &b, second, n2), 2);
	for (int i = 0; i < 128; i++)
		assert_int_equal(pf_readdir(d, &e), 1);
	tell = pf_telldir(d);
	assert_int_equal(tell, b);
	for (int i = 128; i < 232; i++)
		assert_int_equal(pf_readdir(d, &e), 1);
	ok(pf_seekdir(d, tell));
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_int_equal(e.ino, 130);
	finish(m, d);
}

static void rewind_asks_again(void **state)
{
	struct pf_file *d;
	struct mock *m = start_dir(NULL, &d);
	uint64_t zero = 0;
	char buf[100] = {0};
	struct pf_dirent e;
	size_t n = mock_dirent(buf, 0, 4, 5, DT_REG, "bar");

	mock_times(readdir_at(m, FUSE_READDIR, &zero, buf, n), 2);
	assert_int_equal(pf_readdir(d, &e), 1);
	ok(pf_seekdir(d, 0));
	assert_int_equal(pf_readdir(d, &e), 1);
	finish(m, d);
}

/* A bad name ends the listing with EIO; what stood before it was delivered. */
static void bad_names(const char *name, uint32_t namelen)
{
	struct pf_file *d;
	struct mock *m = start_dir(NULL, &d);
	char buf[8192] = {0};
	struct fuse_dirent bad = {.ino = 5, .off = 2, .namelen = namelen, .type = DT_REG};
	size_t n = mock_dirent(buf, 0, 4, 1, DT_REG, "good");
	struct pf_dirent e;

	memcpy(buf + n, &bad, sizeof(bad));
	memcpy(buf + n + sizeof(bad), name, strlen(name));
	n += (sizeof(bad) + namelen + 7) & ~7;
	mock_any_times(mock_body(mock_expect(m, FUSE_READDIR, 1, NULL), buf, n < 8192 ? n : 8192));
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_string_equal(e.name, "good");
	fails(pf_readdir(d, &e), EIO);
	finish(m, d);
}

static void hostile_names(void **state)
{
	bad_names("foo/bar", 7);
	bad_names("", 0);
	bad_names("x", 4096);
}

/* A NUL inside a name is the server's own business: the name ends there for who reads it as text,
 * its length is told. Nothing behind the record is read. */
static void nul_in_a_name(void **state)
{
	struct pf_file *d;
	struct mock *m = start_dir(NULL, &d);
	char buf[200] = {0};
	struct pf_dirent e;
	size_t n = mock_dirent(buf, 0, 4, 1, DT_REG, "ab_cd");

	buf[sizeof(struct fuse_dirent) + 2] = '\0';
	mock_body(mock_expect(m, FUSE_READDIR, 1, NULL), buf, n);
	mock_any_times(mock_body(mock_expect(m, FUSE_READDIR, 1, NULL), "", 0));
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_string_equal(e.name, "ab");
	assert_int_equal(e.namelen, 5);
	assert_int_equal(pf_readdir(d, &e), 0);
	finish(m, d);
}

static void partial_record_is_the_end(void **state)
{
	struct pf_file *d;
	struct mock *m = start_dir(NULL, &d);
	char buf[200] = {0};
	uint64_t zero = 0, one = 1;
	size_t n = mock_dirent(buf, 0, 4, 1, DT_REG, "good");
	struct pf_dirent e;

	mock_dirent(buf, n, 5, 2, DT_REG, "cut");
	readdir_at(m, FUSE_READDIR, &zero, buf, n + 20);
	mock_any_times(readdir_at(m, FUSE_READDIR, &one, "", 0));
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_int_equal(pf_readdir(d, &e), 0);
	finish(m, d);
}

static bool reads_through(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_read_in *)req->arg)->fh == *(uint64_t *)ctx;
}

static bool releases_handle(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_release_in *)req->arg)->fh == *(uint64_t *)ctx;
}

static void handles(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_open_out one = {.fh = 11}, two = {.fh = 12};
	struct pf_file *a, *b;
	struct pf_dirent e;

	mock_body(mock_expect(m, FUSE_OPENDIR, 1, NULL), &one, sizeof(one));
	mock_body(mock_expect(m, FUSE_OPENDIR, 1, NULL), &two, sizeof(two));
	ok(pf_open(m->fs, "/", O_RDONLY, 0, &a));
	ok(pf_open(m->fs, "/", O_RDONLY, 0, &b));
	mock_match(mock_body(mock_expect(m, FUSE_READDIR, 1, NULL), "", 0), reads_through, &two.fh);
	assert_int_equal(pf_readdir(b, &e), 0);
	mock_match(mock_body(mock_expect(m, FUSE_READDIR, 1, NULL), "", 0), reads_through, &one.fh);
	assert_int_equal(pf_readdir(a, &e), 0);
	mock_match(mock_releasedir(m, 1), releases_handle, &one.fh);
	ok(pf_close(a));
	mock_settle(m);
	mock_match(mock_releasedir(m, 1), releases_handle, &two.fh);
	ok(pf_close(b));
	mock_end(m);
}

static void opendir_enosys(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_dirent e;
	struct pf_file *d;

	mock_error(mock_expect(m, FUSE_OPENDIR, 1, NULL), ENOSYS);
	mock_any_times(mock_body(mock_expect(m, FUSE_READDIR, 1, NULL), "", 0));
	for (int i = 0; i < 2; i++) {
		ok(pf_open(m->fs, "/", O_RDONLY, 0, &d));
		assert_int_equal(pf_readdir(d, &e), 0);
		ok(pf_close(d));
	}
	mock_settle(m);
	assert_int_equal(mock_count(m, FUSE_RELEASEDIR), 0);
	mock_end(m);
}

static void opendir_errors(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_file *d;

	mock_error(mock_expect(m, FUSE_OPENDIR, 1, NULL), EPERM);
	fails(pf_open(m->fs, "/", O_RDONLY, 0, &d), EPERM);
	mock_end(m);
}

static void releasedir_once(void **state)
{
	struct pf_file *d, *e;
	struct mock *m = start_dir(NULL, &d);

	ok(pf_dup(d, &e));
	ok(pf_close(d));
	mock_settle(m);
	assert_int_equal(mock_count(m, FUSE_RELEASEDIR), 0);
	finish(m, e);
}

static bool datasync(const struct mock_req *req, void *ctx)
{
	const struct fuse_fsync_in *in = req->arg;

	return in->fh == MOCK_FH && in->fsync_flags == *(uint32_t *)ctx;
}

static void fsyncdir(void **state)
{
	struct pf_file *d;
	struct mock *m = start_dir(NULL, &d);
	uint32_t zero = 0, one = 1;

	mock_match(mock_expect(m, FUSE_FSYNCDIR, 1, NULL), datasync, &zero);
	ok(pf_fsync(d, 0));
	mock_match(mock_expect(m, FUSE_FSYNCDIR, 1, NULL), datasync, &one);
	ok(pf_fsync(d, 1));
	mock_error(mock_expect(m, FUSE_FSYNCDIR, 1, NULL), EIO);
	fails(pf_fsync(d, 0), EIO);
	mock_error(mock_expect(m, FUSE_FSYNCDIR, 1, NULL), ENOSYS);
	ok(pf_fsync(d, 0));
	ok(pf_fsync(d, 0));
	finish(m, d);
}

/* ---- READDIRPLUS */

static void plus_feeds_the_caches(void **state)
{
	struct mock_options o = {.flags = FUSE_DO_READDIRPLUS};
	struct fuse_entry_out entry = mock_entry(42, REG, 77, MOCK_FOREVER, MOCK_FOREVER);
	struct fuse_entry_out dot = mock_entry(1, DIR_, 0, MOCK_FOREVER, MOCK_FOREVER);
	struct pf_file *d;
	struct mock *m = start_dir(&o, &d);
	uint64_t zero = 0, two = 2;
	char buf[1000] = {0};
	struct pf_dirent e;
	struct stat st;
	size_t n = 0;

	n = mock_direntplus(buf, n, &dot, 1, ".");
	n = mock_direntplus(buf, n, &entry, 2, "foo");
	readdir_at(m, FUSE_READDIRPLUS, &zero, buf, n);
	mock_any_times(readdir_at(m, FUSE_READDIRPLUS, &two, "", 0));
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_string_equal(e.name, "foo");
	assert_true(e.has_stat);
	assert_int_equal(e.st.st_size, 77);
	assert_int_equal(pf_readdir(d, &e), 0);
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_size, 77);
	assert_int_equal(mock_count(m, FUSE_LOOKUP), 0);
	finish(m, d);
}

/* nodeid 0: a plain entry; nodeid 1 or broken attributes: delivered, but given back. */
static void plus_odd_records(void **state)
{
	struct mock_options o = {.flags = FUSE_DO_READDIRPLUS};
	struct fuse_entry_out none = mock_entry(0, REG, 77, MOCK_FOREVER, MOCK_FOREVER);
	struct fuse_entry_out bad = mock_entry(43, 0, 77, MOCK_FOREVER, MOCK_FOREVER);
	struct pf_file *d;
	struct mock *m = start_dir(&o, &d);
	uint64_t zero = 0, two = 2;
	char buf[1000] = {0};
	struct pf_dirent e;
	size_t n = 0;

	n = mock_direntplus(buf, n, &none, 1, "plain");
	n = mock_direntplus(buf, n, &bad, 2, "bad");
	readdir_at(m, FUSE_READDIRPLUS, &zero, buf, n);
	mock_any_times(readdir_at(m, FUSE_READDIRPLUS, &two, "", 0));
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_string_equal(e.name, "plain");
	assert_false(e.has_stat);
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_string_equal(e.name, "bad");
	mock_wait_forgotten(m, 43, 1);
	mock_lookup_error(m, 1, "plain", ENOENT);
	fails(pf_access(m->fs, "plain", F_OK), ENOENT);
	finish(m, d);
}

/* AUTO: READDIRPLUS at the start; later only when names of the directory are looked up. */
static void plus_auto(void **state)
{
	struct mock_options o = {.flags = FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO};
	struct fuse_entry_out a = mock_entry(42, REG, 1, MOCK_FOREVER, MOCK_FOREVER);
	struct pf_file *d;
	struct mock *m = start_dir(&o, &d);
	uint64_t zero = 0, one = 1, two = 2;
	char plus[300] = {0}, plain[100] = {0};
	struct pf_dirent e;

	readdir_at(m, FUSE_READDIRPLUS, &zero, plus, mock_direntplus(plus, 0, &a, 1, "a"));
	readdir_at(m, FUSE_READDIR, &one, plain, mock_dirent(plain, 0, 43, 2, DT_REG, "b"));
	mock_any_times(readdir_at(m, FUSE_READDIR, &two, "", 0));
	for (int i = 0; i < 2; i++)
		assert_int_equal(pf_readdir(d, &e), 1);
	assert_int_equal(pf_readdir(d, &e), 0);
	finish(m, d);
}

static void plus_auto_advised(void **state)
{
	struct mock_options o = {.flags = FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO};
	struct fuse_entry_out a = mock_entry(42, REG, 1, MOCK_FOREVER, MOCK_FOREVER);
	struct fuse_entry_out b = mock_entry(43, REG, 1, MOCK_FOREVER, MOCK_FOREVER);
	struct pf_file *d;
	struct mock *m = start_dir(&o, &d);
	uint64_t zero = 0, one = 1, two = 2;
	char first[300] = {0}, second[300] = {0};
	struct pf_dirent e;
	struct stat st;

	readdir_at(m, FUSE_READDIRPLUS, &zero, first, mock_direntplus(first, 0, &a, 1, "a"));
	assert_int_equal(pf_readdir(d, &e), 1);
	ok(pf_stat(m->fs, "a", &st)); /* the name that READDIRPLUS brought is used */
	readdir_at(m, FUSE_READDIRPLUS, &one, second, mock_direntplus(second, 0, &b, 2, "b"));
	mock_any_times(readdir_at(m, FUSE_READDIR, &two, "", 0));
	mock_any_times(readdir_at(m, FUSE_READDIRPLUS, &two, "", 0));
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_int_equal(pf_readdir(d, &e), 0);
	finish(m, d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dots_and_files),    cmocka_unit_test(nodots),
	    cmocka_unit_test(nodots_7_8),        cmocka_unit_test(eio),
	    cmocka_unit_test(seek_to_cookie),    cmocka_unit_test(seekdir_back),
	    cmocka_unit_test(rewind_asks_again), cmocka_unit_test(hostile_names),
	    cmocka_unit_test(nul_in_a_name),     cmocka_unit_test(partial_record_is_the_end),
	    cmocka_unit_test(handles),           cmocka_unit_test(opendir_enosys),
	    cmocka_unit_test(opendir_errors),    cmocka_unit_test(releasedir_once),
	    cmocka_unit_test(fsyncdir),          cmocka_unit_test(plus_feeds_the_caches),
	    cmocka_unit_test(plus_odd_records),  cmocka_unit_test(plus_auto),
	    cmocka_unit_test(plus_auto_advised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
