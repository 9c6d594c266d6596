// SPDX-License-Identifier: BSD-2-Clause
/* Opening: CREATE, OPEN, their flags on the wire, and what comes after them. */
#include "tests/behave/behave.h"

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)

static struct pf_fs *as(struct mock *m, uid_t uid, mode_t umask)
{
	struct pf_caller c = {
	    .size = sizeof(c), .uid = uid, .gid = uid, .pid = 4242, .umask = umask};
	struct pf_fs *view;

	ok(pf_as(m->fs, &c, &view));
	return view;
}

static struct mock_expect *answer_create(struct mock *m, uint32_t opcode, const char *name,
					 uint64_t nodeid, uint32_t mode, uint64_t entry_valid)
{
	struct fuse_create_out o = {.entry = mock_entry(nodeid, mode, 0, entry_valid, MOCK_FOREVER),
				    .open = {.fh = MOCK_FH}};

	return mock_body(mock_expect(m, opcode, 1, name), &o, sizeof(o));
}

static bool is_create(const struct mock_req *req, void *ctx)
{
	const struct fuse_create_in *in = req->arg, *want = ctx;

	return in->mode == want->mode && in->umask == want->umask &&
	       (in->flags & ~0100000u) == want->flags;
}

static void closes(struct mock *m, uint64_t nodeid)
{
	mock_flush(m, nodeid);
	mock_release(m, nodeid);
}

static void create_ok(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_fs *view = as(m, 0, 022);
	struct fuse_create_in in = {
	    .flags = O_CREAT | O_EXCL | O_RDWR, .mode = S_IFREG | 0755, .umask = 022};
	struct pf_file *f;

	mock_lookup_error(m, 1, "foo", ENOENT);
	mock_match(answer_create(m, FUSE_CREATE, "foo", 42, REG, MOCK_FOREVER), is_create, &in);
	closes(m, 42);
	ok(pf_open(view, "foo", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOCTTY, 0777, &f));
	ok(pf_close(f));
	pf_view_free(view);
	mock_end(m);
}

/* The view of the process begins with the umask of the process; pf_umask() changes a view's. */
static void umask_of_a_view(void **state)
{
	mode_t own = umask(027), before;
	struct mock *m = mock_start(NULL);
	struct fuse_create_in first = {
	    .flags = O_CREAT | O_RDWR, .mode = S_IFREG | 0750, .umask = 027};
	struct fuse_create_in second = {
	    .flags = O_CREAT | O_RDWR, .mode = S_IFREG | 0700, .umask = 077};
	struct pf_file *f;

	umask(own);
	mock_times(mock_lookup_error(m, 1, NULL, ENOENT), 2);
	mock_match(answer_create(m, FUSE_CREATE, "a", 42, REG, MOCK_FOREVER), is_create, &first);
	mock_match(answer_create(m, FUSE_CREATE, "b", 43, REG, MOCK_FOREVER), is_create, &second);
	closes(m, 42);
	closes(m, 43);
	ok(pf_open(m->fs, "a", O_CREAT | O_RDWR, 0777, &f));
	ok(pf_close(f));
	before = pf_umask(m->fs, 077);
	assert_int_equal(before, 027);
	ok(pf_open(m->fs, "b", O_CREAT | O_RDWR, 0777, &f));
	ok(pf_close(f));
	mock_end(m);
}

static void create_dont_mask(void **state)
{
	struct mock_options o = {.flags = FUSE_DONT_MASK};
	struct mock *m = mock_start(&o);
	struct pf_fs *view = as(m, 0, 022);
	struct fuse_create_in in = {
	    .flags = O_CREAT | O_RDWR, .mode = S_IFREG | 0777, .umask = 022};
	struct pf_file *f;

	mock_lookup_error(m, 1, "foo", ENOENT);
	mock_match(answer_create(m, FUSE_CREATE, "foo", 42, REG, MOCK_FOREVER), is_create, &in);
	closes(m, 42);
	ok(pf_open(view, "foo", O_CREAT | O_RDWR, 0777, &f));
	ok(pf_close(f));
	pf_view_free(view);
	mock_end(m);
}

static void create_asks_root_again(void **state)
{
	struct mock_options o = {.root_attr_valid = MOCK_FOREVER};
	struct mock *m = mock_start(&o);
	struct pf_file *f;
	struct stat st;

	ok(pf_stat(m->fs, "/", &st));
	mock_lookup_error(m, 1, "foo", ENOENT);
	answer_create(m, FUSE_CREATE, "foo", 42, REG, MOCK_FOREVER);
	closes(m, 42);
	ok(pf_open(m->fs, "foo", O_CREAT | O_RDWR, 0644, &f));
	ok(pf_stat(m->fs, "/", &st));
	assert_int_equal(mock_count(m, FUSE_GETATTR), 2);
	ok(pf_close(f));
	mock_end(m);
}

static bool is_plain_mknod(const struct mock_req *req, void *ctx)
{
	const struct fuse_mknod_in *in = req->arg;

	return in->mode == (S_IFREG | 0644) && !in->rdev && in->umask == 022;
}

static void create_enosys(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out e = mock_entry(42, S_IFREG | 0644, 0, MOCK_FOREVER, MOCK_FOREVER);
	struct pf_fs *view = as(m, 0, 022);
	struct pf_file *f;

	mock_times(mock_lookup_error(m, 1, NULL, ENOENT), 2);
	mock_error(mock_expect(m, FUSE_CREATE, 1, "foo"), ENOSYS);
	mock_times(mock_match(mock_body(mock_expect(m, FUSE_MKNOD, 1, NULL), &e, sizeof(e)),
			      is_plain_mknod, NULL),
		   2);
	mock_times(mock_open(m, 42, 0), 2);
	mock_times(mock_flush(m, 42), 2);
	mock_times(mock_release(m, 42), 2);
	ok(pf_open(view, "foo", O_CREAT | O_RDWR, 0644, &f));
	ok(pf_close(f));
	ok(pf_open(view, "bar", O_CREAT | O_RDWR, 0644, &f));
	ok(pf_close(f));
	pf_view_free(view);
	mock_end(m);
}

static void create_errors(void **state)
{
	struct mock_options o = {.lookup_leak = true};
	struct mock *m = mock_start(&o);
	struct pf_file *f;

	mock_any_times(mock_lookup_error(m, 1, "foo", ENOENT));
	mock_error(mock_expect(m, FUSE_CREATE, 1, "foo"), EPERM);
	fails(pf_open(m->fs, "foo", O_CREAT | O_EXCL | O_RDWR, 0755, &f), EPERM);
	mock_any_times(mock_release(m, MOCK_ANY));
	answer_create(m, FUSE_CREATE, "foo", 1, REG, 0);
	fails(pf_open(m->fs, "foo", O_CREAT | O_RDWR, 0755, &f), EIO);
	answer_create(m, FUSE_CREATE, "foo", 0, REG, 0);
	fails(pf_open(m->fs, "foo", O_CREAT | O_RDWR, 0755, &f), EIO);
	answer_create(m, FUSE_CREATE, "foo", 42, DIR_, 0);
	fails(pf_open(m->fs, "foo", O_CREAT | O_RDWR, 0755, &f), EIO);
	mock_lookup(m, 1, "there", 43, REG, 0, MOCK_FOREVER);
	fails(pf_open(m->fs, "there", O_CREAT | O_EXCL | O_RDWR, 0755, &f), EEXIST);
	fails(pf_open(m->fs, "/", O_CREAT | O_RDWR, 0755, &f), EISDIR);
	fails(pf_open(m->fs, "there/", O_CREAT | O_RDWR, 0755, &f), EISDIR);
	assert_int_equal(mock_count(m, FUSE_ACCESS), 0); /* the server's word on CREATE is enough */
	mock_end(m);
}

static void create_purges_negative(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out none = {.entry_valid = MOCK_FOREVER};
	struct pf_file *f;

	mock_lookup_entry(m, 1, "foo", &none);
	fails(pf_access(m->fs, "foo", F_OK), ENOENT);
	answer_create(m, FUSE_CREATE, "foo", 42, REG, 0);
	closes(m, 42);
	ok(pf_open(m->fs, "foo", O_CREAT | O_RDWR, 0644, &f));
	ok(pf_close(f));
	mock_lookup(m, 1, "foo", 42, REG, 0, 0);
	ok(pf_access(m->fs, "foo", F_OK));
	mock_end(m);
}

/* The handle stood where the old server puts it. */
static bool releases_created(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_release_in *)req->arg)->fh == MOCK_FH;
}

static void create_old_minor(uint32_t minor)
{
	struct mock_options o = {.minor = minor};
	struct mock *m = mock_start(&o);
	struct pf_file *f;

	mock_lookup_error(m, 1, "foo", ENOENT);
	answer_create(m, FUSE_CREATE, "foo", 42, REG, MOCK_FOREVER);
	mock_flush(m, 42);
	mock_match(mock_release(m, 42), releases_created, NULL);
	ok(pf_open(m->fs, "foo", O_CREAT | O_RDWR, 0644, &f));
	ok(pf_close(f));
	mock_end(m);
}

static void create_7_8(void **state)
{
	create_old_minor(8);
}

static void create_7_11(void **state)
{
	create_old_minor(11);
}

static void create_through_dangling_link(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_file *f;

	mock_lookup(m, 1, "l", 2, S_IFLNK | 0777, 0, MOCK_FOREVER);
	mock_any_times(mock_body(mock_expect(m, FUSE_READLINK, 2, NULL), "target", 6));
	fails(pf_open(m->fs, "l", O_CREAT | O_EXCL | O_RDWR, 0644, &f), EEXIST);
	fails(pf_open(m->fs, "l", O_RDONLY | O_NOFOLLOW, 0, &f), ELOOP);
	mock_lookup_error(m, 1, "target", ENOENT);
	answer_create(m, FUSE_CREATE, "target", 42, REG, MOCK_FOREVER);
	closes(m, 42);
	ok(pf_open(m->fs, "l", O_CREAT | O_RDWR, 0644, &f));
	ok(pf_close(f));
	mock_end(m);
}

static void tmpfile_and_link(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out linked = mock_entry(42, REG, 0, MOCK_FOREVER, MOCK_FOREVER);
	struct fuse_create_out o = {.entry = linked, .open = {.fh = MOCK_FH}};
	struct pf_file *f, *root;

	o.entry.attr.nlink = 0;
	mock_body(mock_expect(m, FUSE_TMPFILE, 1, NULL), &o, sizeof(o));
	closes(m, 42);
	ok(pf_open(m->fs, "/", O_TMPFILE | O_RDWR, 0644, &f));
	ok(pf_open(m->fs, "/", O_PATH, 0, &root));
	mock_lookup_error(m, 1, "foo", ENOENT);
	mock_body(mock_expect(m, FUSE_LINK, 1, "foo"), &linked, sizeof(linked));
	ok(pf_linkat(f, "", root, "foo", AT_EMPTY_PATH));
	ok(pf_close(f));
	ok(pf_close(root));
	mock_end(m);
}

static void tmpfile_enosys(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_file *f;

	mock_error(mock_expect(m, FUSE_TMPFILE, 1, NULL), ENOSYS);
	fails(pf_open(m->fs, "/", O_TMPFILE | O_RDWR, 0644, &f), EOPNOTSUPP);
	fails(pf_open(m->fs, "/", O_TMPFILE | O_RDWR, 0644, &f), EOPNOTSUPP);
	mock_end(m);
}

/* ---- OPEN */

static struct mock *start_with_file(const struct mock_options *o)
{
	struct mock *m = mock_start(o);

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	return m;
}

static bool has_flags(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_open_in *)req->arg)->flags == (*(uint32_t *)ctx | 0100000);
}

static bool releases_flags(const struct mock_req *req, void *ctx)
{
	const struct fuse_release_in *in = req->arg;

	return in->flags == (*(uint32_t *)ctx | 0100000) && in->fh == MOCK_FH && !req->h.uid &&
	       !req->h.pid;
}

static void open_flags(int flags, uint32_t wire)
{
	struct mock *m = start_with_file(NULL);
	struct pf_file *f;

	mock_match(mock_open(m, 42, 0), has_flags, &wire);
	mock_flush(m, 42);
	mock_match(mock_release(m, 42), releases_flags, &wire);
	ok(pf_open(m->fs, "foo", flags, 0, &f));
	ok(pf_close(f));
	mock_end(m);
}

static void open_wire_flags(void **state)
{
	open_flags(O_RDONLY, O_RDONLY);
	open_flags(O_WRONLY, O_WRONLY);
	open_flags(O_RDWR, O_RDWR);
	open_flags(O_RDWR | O_APPEND | O_NONBLOCK, O_RDWR | O_APPEND | O_NONBLOCK);
	open_flags(O_RDWR | O_CREAT | O_NOCTTY, O_RDWR);
}

static void open_errors(void **state)
{
	struct mock *m = start_with_file(NULL);
	struct pf_file *f;

	mock_error(mock_expect(m, FUSE_OPEN, 42, NULL), EPERM);
	fails(pf_open(m->fs, "foo", O_RDONLY, 0, &f), EPERM);
	fails(pf_open(m->fs, "foo", O_RDONLY | O_DIRECTORY, 0, &f), ENOTDIR);
	mock_lookup(m, 1, "dir", 43, DIR_, 0, MOCK_FOREVER);
	fails(pf_open(m->fs, "dir", O_RDWR, 0, &f), EISDIR);
	fails(pf_open(m->fs, "dir", O_RDWR | O_CREAT, 0, &f), EISDIR);
	mock_end(m);
}

static void open_enoent(void **state)
{
	struct mock *m = start_with_file(NULL);
	struct pf_file *f;

	mock_error(mock_expect(m, FUSE_OPEN, 42, NULL), ENOENT);
	mock_any_times(mock_lookup_error(m, 1, "foo", ENOENT));
	fails(pf_open(m->fs, "foo", O_RDONLY, 0, &f), ENOENT);
	mock_wait_forgotten(m, 42, 1);
	mock_end(m);
}

static void open_special(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_file *f;

	mock_lookup(m, 1, "chr", 2, S_IFCHR | 0644, 0, MOCK_FOREVER);
	mock_lookup(m, 1, "fifo", 3, S_IFIFO | 0644, 0, MOCK_FOREVER);
	mock_lookup(m, 1, "sock", 4, S_IFSOCK | 0644, 0, MOCK_FOREVER);
	fails(pf_open(m->fs, "chr", O_RDWR, 0, &f), EOPNOTSUPP);
	fails(pf_open(m->fs, "fifo", O_RDWR, 0, &f), EOPNOTSUPP);
	fails(pf_open(m->fs, "sock", O_RDWR, 0, &f), ENXIO);
	assert_int_equal(mock_count(m, FUSE_OPEN), 0);
	mock_end(m);
}

static void open_enosys(void **state)
{
	struct mock *m = start_with_file(NULL);
	struct pf_file *f;
	char buf[10];

	mock_error(mock_expect(m, FUSE_OPEN, 42, NULL), ENOSYS);
	mock_read(m, 42, 0, 10, "0123456789", 10); /* the cache is kept */
	mock_any_times(mock_flush(m, 42));
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	assert_int_equal(pf_pread(f, buf, 10, 0), 10);
	ok(pf_close(f));
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	assert_int_equal(pf_pread(f, buf, 10, 0), 10);
	ok(pf_close(f));
	mock_settle(m);
	assert_int_equal(mock_count(m, FUSE_RELEASE), 0);
	mock_end(m);
}

static bool is_truncating_open(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_open_in *)req->arg)->flags & O_TRUNC;
}

static void open_atomic_trunc(void **state)
{
	struct mock_options o = {.flags = FUSE_ATOMIC_O_TRUNC};
	struct mock *m = start_with_file(&o);
	struct pf_file *f;
	struct stat st;

	mock_match(mock_open(m, 42, 0), is_truncating_open, NULL);
	closes(m, 42);
	ok(pf_open(m->fs, "foo", O_RDWR | O_TRUNC, 0, &f));
	mock_any_times(mock_getattr(m, 42, REG, 0, MOCK_FOREVER));
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 0);
	ok(pf_close(f));
	mock_end(m);
}

static bool is_size_zero(const struct mock_req *req, void *ctx)
{
	const struct fuse_setattr_in *in = req->arg;

	return in->valid & FATTR_SIZE && !(in->valid & FATTR_FH) && !in->size;
}

static void open_trunc(void **state)
{
	struct mock *m = start_with_file(NULL);
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(42, REG, 0)};
	struct pf_file *f;
	struct stat st;

	mock_open(m, 42, 0);
	mock_match(mock_body(mock_expect(m, FUSE_SETATTR, 42, NULL), &a, sizeof(a)), is_size_zero,
		   NULL);
	closes(m, 42);
	ok(pf_open(m->fs, "foo", O_RDWR | O_TRUNC, 0, &f));
	assert_log(m, "LOOKUP(1,foo) OPEN(42) SETATTR(42)");
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 0);
	ok(pf_close(f));
	mock_end(m);
}

static void open_trunc_fails(void **state)
{
	struct mock *m = start_with_file(NULL);
	struct pf_file *f;

	mock_open(m, 42, 0);
	mock_error(mock_expect(m, FUSE_SETATTR, 42, NULL), EDQUOT);
	mock_any_times(mock_flush(m, 42));
	mock_release(m, 42);
	fails(pf_open(m->fs, "foo", O_RDWR | O_TRUNC, 0, &f), EDQUOT);
	mock_end(m);
}

static bool by_uid(const struct mock_req *req, void *ctx)
{
	return req->h.uid == *(uid_t *)ctx;
}

/* A handle of one user is never used for another: each opens for himself. */
static void each_user_opens(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	uid_t root = 0, other = 1000;
	struct pf_fs *view;
	struct pf_file *f, *g;
	struct mock *m;

	o.pf.mount_options = "allow_other";
	m = start_with_file(&o);
	view = as(m, other, 022);
	mock_match(mock_open(m, 42, 0), by_uid, &root);
	mock_match(mock_error(mock_expect(m, FUSE_OPEN, 42, NULL), EPERM), by_uid, &other);
	closes(m, 42);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	fails(pf_open(view, "foo", O_RDONLY, 0, &g), EPERM);
	ok(pf_close(f));
	pf_view_free(view);
	mock_end(m);
}

static void no_allow_other(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_fs *view = as(m, 1000, 022);
	struct pf_file *f;
	struct stat st;

	fails(pf_stat(view, "/", &st), EACCES);
	fails(pf_open(view, "/foo", O_RDONLY, 0, &f), EACCES);
	fails(pf_mkdir(view, "/foo", 0755), EACCES);
	assert_log(m, "");
	pf_view_free(view);
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(create_ok),
	    cmocka_unit_test(umask_of_a_view),
	    cmocka_unit_test(create_dont_mask),
	    cmocka_unit_test(create_asks_root_again),
	    cmocka_unit_test(create_enosys),
	    cmocka_unit_test(create_errors),
	    cmocka_unit_test(create_purges_negative),
	    cmocka_unit_test(create_7_8),
	    cmocka_unit_test(create_7_11),
	    cmocka_unit_test(create_through_dangling_link),
	    cmocka_unit_test(tmpfile_and_link),
	    cmocka_unit_test(tmpfile_enosys),
	    cmocka_unit_test(open_wire_flags),
	    cmocka_unit_test(open_errors),
	    cmocka_unit_test(open_enoent),
	    cmocka_unit_test(open_special),
	    cmocka_unit_test(open_enosys),
	    cmocka_unit_test(open_atomic_trunc),
	    cmocka_unit_test(open_trunc),
	    cmocka_unit_test(open_trunc_fails),
	    cmocka_unit_test(each_user_opens),
	    cmocka_unit_test(no_allow_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
