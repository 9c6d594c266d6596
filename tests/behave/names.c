// SPDX-License-Identifier: BSD-2-Clause
/* Calls that make, move and remove names, and what they leave in the caches. */
#include "tests/behave/behave.h"

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)

/* A root whose attributes are kept for ever, so that each GETATTR of it shows an invalidation. */
static struct mock *start(void)
{
	struct mock_options o = {.root_attr_valid = MOCK_FOREVER};

	return mock_start(&o);
}

/* stat(root) before and after a change must give two GETATTRs in all. */
#define asks_root_again(m, change)                                                                 \
	do {                                                                                       \
		struct stat root_st;                                                               \
		ok(pf_stat((m)->fs, "/", &root_st));                                               \
		ok(pf_stat((m)->fs, "/", &root_st));                                               \
		assert_int_equal(mock_count(m, FUSE_GETATTR), 1);                                  \
		change;                                                                            \
		ok(pf_stat((m)->fs, "/", &root_st));                                               \
		assert_int_equal(mock_count(m, FUSE_GETATTR), 2);                                  \
	} while (0)

static struct mock_expect *answer_entry(struct mock *m, uint32_t opcode, uint64_t nodeid,
					const char *name, uint64_t child, uint32_t mode)
{
	struct fuse_entry_out e = mock_entry(child, mode, 0, MOCK_FOREVER, MOCK_FOREVER);

	return mock_body(mock_expect(m, opcode, nodeid, name), &e, sizeof(e));
}

/* ---- mkdir */

static bool is_mkdir(const struct mock_req *req, void *ctx)
{
	const struct fuse_mkdir_in *in = req->arg;

	return in->umask == 022 && (in->mode & 07777) == 0755 && (!(in->mode & S_IFMT));
}

static struct pf_fs *as(struct mock *m, uid_t uid, gid_t gid, mode_t umask)
{
	struct pf_caller c = {
	    .size = sizeof(c), .uid = uid, .gid = gid, .pid = 4242, .umask = umask};
	struct pf_fs *view;

	ok(pf_as(m->fs, &c, &view));
	return view;
}

static void mkdir_ok(void **state)
{
	struct mock *m = start();
	struct pf_fs *view = as(m, 0, 0, 022);

	mock_lookup_error(m, 1, "d", ENOENT);
	mock_match(answer_entry(m, FUSE_MKDIR, 1, "d", 42, DIR_), is_mkdir, NULL);
	asks_root_again(m, ok(pf_mkdir(view, "/d", 0777)));
	pf_view_free(view);
	mock_end(m);
}

static bool is_unmasked_mkdir(const struct mock_req *req, void *ctx)
{
	const struct fuse_mkdir_in *in = req->arg;

	return in->umask == 022 && (in->mode & 07777) == 0777;
}

static void mkdir_dont_mask(void **state)
{
	struct mock_options o = {.flags = FUSE_DONT_MASK};
	struct mock *m = mock_start(&o);
	struct pf_fs *view = as(m, 0, 0, 022);

	mock_lookup_error(m, 1, "d", ENOENT);
	mock_match(answer_entry(m, FUSE_MKDIR, 1, "d", 42, DIR_), is_unmasked_mkdir, NULL);
	ok(pf_mkdir(view, "/d", 0777));
	pf_view_free(view);
	mock_end(m);
}

static void mkdir_errors(void **state)
{
	struct mock *m = start();

	mock_lookup_error(m, 1, "d", ENOENT);
	mock_error(mock_expect(m, FUSE_MKDIR, 1, "d"), EMLINK);
	fails(pf_mkdir(m->fs, "d", 0755), EMLINK);
	fails(pf_mkdir(m->fs, "/", 0755), EEXIST);
	mock_lookup(m, 1, "there", 2, DIR_, 0, MOCK_FOREVER);
	fails(pf_mkdir(m->fs, "there", 0755), EEXIST);
	mock_end(m);
}

static void mkdir_purges_negative(void **state)
{
	struct mock *m = start();
	struct fuse_entry_out none = {.entry_valid = MOCK_FOREVER};
	struct fuse_entry_out made = mock_entry(42, DIR_, 0, 0, MOCK_FOREVER);

	/* Exclusive creation asks again, though the negative entry is valid. */
	mock_times(mock_lookup_entry(m, 1, "d", &none), 2);
	fails(pf_access(m->fs, "d", F_OK), ENOENT);
	mock_body(mock_expect(m, FUSE_MKDIR, 1, "d"), &made, sizeof(made));
	ok(pf_mkdir(m->fs, "d", 0755));
	mock_lookup_entry(m, 1, "d", &made);
	ok(pf_access(m->fs, "d", F_OK));
	mock_end(m);
}

static void mkdir_bad_nodeid(void **state)
{
	struct mock_options o = {.lookup_leak = true};
	struct mock *m = mock_start(&o);

	mock_any_times(mock_lookup_error(m, 1, "d", ENOENT));
	answer_entry(m, FUSE_MKDIR, 1, "d", 1, DIR_);
	fails(pf_mkdir(m->fs, "d", 0755), EIO);
	answer_entry(m, FUSE_MKDIR, 1, "d", 0, DIR_);
	fails(pf_mkdir(m->fs, "d", 0755), EIO);
	answer_entry(m, FUSE_MKDIR, 1, "d", 42, REG);
	fails(pf_mkdir(m->fs, "d", 0755), EIO);
	mock_end(m);
}

static void mkdir_7_8(void **state)
{
	struct mock_options o = {.minor = 8};
	struct mock *m = mock_start(&o);

	mock_lookup_error(m, 1, "d", ENOENT);
	answer_entry(m, FUSE_MKDIR, 1, "d", 42, DIR_);
	ok(pf_mkdir(m->fs, "d/", 0755));
	mock_end(m);
}

/* ---- mknod */

static bool is_mknod(const struct mock_req *req, void *ctx)
{
	const struct fuse_mknod_in *in = req->arg, *want = ctx;

	return in->mode == want->mode && in->rdev == want->rdev && in->umask == want->umask;
}

static void mknod_kinds(void **state)
{
	struct mock *m = start();
	struct pf_fs *view = as(m, 0, 0, 022);
	struct fuse_mknod_in blk = {S_IFBLK | 0755, 0xfe00, 022, 0};
	struct fuse_mknod_in chr = {S_IFCHR | 0755, 54, 022, 0};
	struct fuse_mknod_in fifo = {S_IFIFO | 0755, 0, 022, 0};
	struct fuse_mknod_in sock = {S_IFSOCK | 0755, 0, 022, 0};
	struct fuse_mknod_in reg = {S_IFREG | 0755, 0, 022, 0};

	mock_times(mock_lookup_error(m, 1, NULL, ENOENT), 5);
	mock_match(answer_entry(m, FUSE_MKNOD, 1, "b", 42, blk.mode), is_mknod, &blk);
	mock_match(answer_entry(m, FUSE_MKNOD, 1, "c", 43, chr.mode), is_mknod, &chr);
	mock_match(answer_entry(m, FUSE_MKNOD, 1, "f", 44, fifo.mode), is_mknod, &fifo);
	mock_match(answer_entry(m, FUSE_MKNOD, 1, "s", 45, sock.mode), is_mknod, &sock);
	mock_match(answer_entry(m, FUSE_MKNOD, 1, "r", 46, reg.mode), is_mknod, &reg);
	ok(pf_mknod(view, "b", S_IFBLK | 0755, 0xfe00));
	ok(pf_mknod(view, "c", S_IFCHR | 0755, 54));
	ok(pf_mknod(view, "f", S_IFIFO | 0755, 0));
	ok(pf_mknod(view, "s", S_IFSOCK | 0755, 0));
	ok(pf_mknod(view, "r", 0755, 0));
	fails(pf_mknod(view, "x", S_IFDIR | 0755, 0), EPERM);
	pf_view_free(view);
	mock_end(m);
}

static void mknod_errors(void **state)
{
	struct mock_options o = {.lookup_leak = true};
	struct mock *m = mock_start(&o);

	mock_any_times(mock_lookup_error(m, 1, "x", ENOENT));
	mock_error(mock_expect(m, FUSE_MKNOD, 1, "x"), EPERM);
	fails(pf_mknod(m->fs, "x", S_IFIFO | 0644, 0), EPERM);
	answer_entry(m, FUSE_MKNOD, 1, "x", 1, S_IFIFO | 0644);
	fails(pf_mknod(m->fs, "x", S_IFIFO | 0644, 0), EIO);
	fails(pf_mknod(m->fs, "x/", S_IFIFO | 0644, 0), ENOENT);
	mock_end(m);
}

static void mknod_7_11(void **state)
{
	struct mock_options o = {.minor = 11};
	struct mock *m = mock_start(&o);

	mock_lookup_error(m, 1, "x", ENOENT);
	answer_entry(m, FUSE_MKNOD, 1, "x", 42, S_IFIFO | 0644);
	ok(pf_mknod(m->fs, "x", S_IFIFO | 0644, 0));
	mock_end(m);
}

/* ---- symlink, readlink */

static void symlink_ok(void **state)
{
	struct mock *m = start();

	mock_lookup_error(m, 1, "l", ENOENT);
	mock_name2(answer_entry(m, FUSE_SYMLINK, 1, "l", 42, S_IFLNK | 0777), "to/there");
	asks_root_again(m, ok(pf_symlink(m->fs, "to/there", "l")));
	mock_end(m);
}

static void symlink_errors(void **state)
{
	struct mock_options o = {.lookup_leak = true};
	struct mock *m = mock_start(&o);

	mock_any_times(mock_lookup_error(m, 1, "l", ENOENT));
	mock_error(mock_expect(m, FUSE_SYMLINK, 1, "l"), ENOSPC);
	fails(pf_symlink(m->fs, "t", "l"), ENOSPC);
	answer_entry(m, FUSE_SYMLINK, 1, "l", 1, S_IFLNK | 0777);
	fails(pf_symlink(m->fs, "t", "l"), EIO);
	fails(pf_symlink(m->fs, "", "l"), ENOENT);
	mock_end(m);
}

static void symlink_7_8(void **state)
{
	struct mock_options o = {.minor = 8};
	struct mock *m = mock_start(&o);

	mock_lookup_error(m, 1, "l", ENOENT);
	answer_entry(m, FUSE_SYMLINK, 1, "l", 42, S_IFLNK | 0777);
	ok(pf_symlink(m->fs, "t", "l"));
	mock_end(m);
}

static struct mock *start_with_link(const struct mock_options *o)
{
	struct mock *m = mock_start(o);

	mock_lookup(m, 1, "l", 42, S_IFLNK | 0777, 0, MOCK_FOREVER);
	return m;
}

static void readlink_ok(void **state)
{
	struct mock *m = start_with_link(NULL);
	char buf[100];

	mock_times(mock_body(mock_expect(m, FUSE_READLINK, 42, NULL), "to/there", 8), 2);
	assert_int_equal(pf_readlink(m->fs, "l", buf, sizeof(buf)), 8);
	assert_memory_equal(buf, "to/there", 8);
	assert_int_equal(pf_readlink(m->fs, "l", buf, 2), 2);
	fails(pf_readlink(m->fs, "l", buf, 0), EINVAL);
	fails(pf_readlink(m->fs, "/", buf, 10), EINVAL);
	mock_end(m);
}

static void readlink_cached(void **state)
{
	struct mock_options o = {.flags = FUSE_CACHE_SYMLINKS};
	struct mock *m = start_with_link(&o);
	char buf[100];

	mock_body(mock_expect(m, FUSE_READLINK, 42, NULL), "to/there", 8);
	assert_int_equal(pf_readlink(m->fs, "l", buf, sizeof(buf)), 8);
	assert_int_equal(pf_readlink(m->fs, "l", buf, sizeof(buf)), 8);
	assert_memory_equal(buf, "to/there", 8);
	mock_end(m);
}

static void readlink_eloop(void **state)
{
	struct mock *m = start_with_link(NULL);
	char buf[100];

	mock_error(mock_expect(m, FUSE_READLINK, 42, NULL), ELOOP);
	fails(pf_readlink(m->fs, "l", buf, sizeof(buf)), ELOOP);
	mock_end(m);
}

static void readlink_embedded_nul(void **state)
{
	struct mock *m = start_with_link(NULL);
	char buf[100];
	struct stat st;

	mock_any_times(mock_body(mock_expect(m, FUSE_READLINK, 42, NULL), "to\0there", 8));
	fails(pf_readlink(m->fs, "l", buf, sizeof(buf)), EIO);
	fails(pf_stat(m->fs, "l", &st), EIO);
	fails(pf_stat(m->fs, "l/x", &st), EIO);
	mock_end(m);
}

static void readlink_too_long(void **state)
{
	struct mock *m = start_with_link(NULL);
	char buf[5000], target[4096];

	memset(target, 'x', sizeof(target));
	mock_body(mock_expect(m, FUSE_READLINK, 42, NULL), target, 4096);
	fails(pf_readlink(m->fs, "l", buf, sizeof(buf)), EIO);
	mock_body(mock_expect(m, FUSE_READLINK, 42, NULL), target, 4095);
	assert_int_equal(pf_readlink(m->fs, "l", buf, sizeof(buf)), 4095);
	mock_end(m);
}

/* ---- unlink, rmdir */

static void unlink_ok(void **state)
{
	struct mock *m = start();

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_empty(m, FUSE_UNLINK, 1);
	asks_root_again(m, ok(pf_unlink(m->fs, "foo")));
	mock_wait_forgotten(m, 42, 1);
	mock_end(m);
}

static void unlink_asks_again(void **state)
{
	struct mock *m = start();

	mock_times(mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER), 2);
	mock_empty(m, FUSE_UNLINK, 1);
	ok(pf_unlink(m->fs, "foo"));
	ok(pf_access(m->fs, "foo", F_OK));
	mock_end(m);
}

/* nlink and ctime of a file with another name follow the unlink. */
static void unlink_attr(void **state)
{
	struct mock *m = start();
	struct fuse_entry_out e = mock_entry(42, REG, 0, MOCK_FOREVER, MOCK_FOREVER);
	struct fuse_attr_out after = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(42, REG, 0)};
	struct stat st;

	e.attr.nlink = 2;
	mock_lookup_entry(m, 1, "a", &e);
	mock_lookup_entry(m, 1, "b", &e);
	ok(pf_stat(m->fs, "b", &st));
	assert_int_equal(st.st_nlink, 2);
	mock_empty(m, FUSE_UNLINK, 1);
	ok(pf_unlink(m->fs, "a"));
	mock_any_times(mock_body(mock_expect(m, FUSE_GETATTR, 42, NULL), &after, sizeof(after)));
	ok(pf_stat(m->fs, "b", &st));
	assert_int_equal(st.st_nlink, 1);
	mock_end(m);
}

static void unlink_errors(void **state)
{
	struct mock *m = start();

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_error(mock_expect(m, FUSE_UNLINK, 1, "foo"), EPERM);
	fails(pf_unlink(m->fs, "foo"), EPERM);
	mock_lookup(m, 1, "dir", 43, DIR_, 0, MOCK_FOREVER);
	fails(pf_unlink(m->fs, "dir"), EISDIR);
	fails(pf_unlink(m->fs, "/"), EISDIR);
	fails(pf_unlink(m->fs, "foo/"), ENOTDIR);
	mock_lookup_error(m, 1, "none", ENOENT);
	fails(pf_unlink(m->fs, "none"), ENOENT);
	mock_end(m);
}

static void unlink_while_open(void **state)
{
	struct mock *m = start();
	struct pf_file *f;

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_empty(m, FUSE_UNLINK, 1);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	ok(pf_unlink(m->fs, "foo"));
	mock_settle(m);
	assert_int_equal(mock_forgotten(m, 42), 0);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_close(f));
	mock_wait_forgotten(m, 42, 1);
	mock_end(m);
}

static void rmdir_ok(void **state)
{
	struct mock *m = start();

	mock_lookup(m, 1, "d", 42, DIR_, 0, MOCK_FOREVER);
	mock_empty(m, FUSE_RMDIR, 1);
	asks_root_again(m, ok(pf_rmdir(m->fs, "d")));
	mock_wait_forgotten(m, 42, 1);
	mock_lookup_error(m, 1, "d", ENOENT);
	fails(pf_access(m->fs, "d", F_OK), ENOENT);
	mock_end(m);
}

static void rmdir_errors(void **state)
{
	struct mock *m = start();

	mock_lookup(m, 1, "d", 42, DIR_, 0, MOCK_FOREVER);
	mock_error(mock_expect(m, FUSE_RMDIR, 1, "d"), ENOTEMPTY);
	fails(pf_rmdir(m->fs, "d/"), ENOTEMPTY);
	fails(pf_rmdir(m->fs, "d/."), EINVAL);
	fails(pf_rmdir(m->fs, "d/.."), ENOTEMPTY);
	fails(pf_rmdir(m->fs, "/"), EBUSY);
	mock_lookup(m, 1, "foo", 43, REG, 0, MOCK_FOREVER);
	fails(pf_rmdir(m->fs, "foo"), ENOTDIR);
	mock_end(m);
}

/* ---- rename */

static void rename_ok(void **state)
{
	struct mock *m = start();

	mock_lookup(m, 1, "src", 42, REG, 0, MOCK_FOREVER);
	mock_lookup_error(m, 1, "dst", ENOENT);
	mock_name2(mock_expect(m, FUSE_RENAME, 1, "src"), "dst");
	asks_root_again(m, ok(pf_rename(m->fs, "src", "dst")));
	mock_lookup_error(m, 1, "src", ENOENT);
	fails(pf_access(m->fs, "src", F_OK), ENOENT);
	mock_end(m);
}

static void rename_einval(void **state)
{
	struct mock *m = start();

	mock_lookup(m, 1, "d", 42, DIR_, 0, MOCK_FOREVER);
	mock_any_times(mock_lookup_error(m, 42, "sub", ENOENT));
	fails(pf_rename(m->fs, "d", "d/sub"), EINVAL);
	assert_int_equal(mock_count(m, FUSE_RENAME), 0);
	mock_end(m);
}

static void rename_enoent(void **state)
{
	struct mock *m = start();

	mock_lookup_error(m, 1, "src", ENOENT);
	mock_any_times(mock_lookup_error(m, 1, "dst", ENOENT));
	fails(pf_rename(m->fs, "src", "dst"), ENOENT);
	mock_end(m);
}

static void rename_purges_negative(void **state)
{
	struct mock *m = start();
	struct fuse_entry_out none = {.entry_valid = MOCK_FOREVER};

	/* The target of a rename is asked for again, though the negative entry is valid. */
	mock_times(mock_lookup_entry(m, 1, "dst", &none), 2);
	fails(pf_access(m->fs, "dst", F_OK), ENOENT);
	mock_any_times(mock_lookup(m, 1, "src", 42, REG, 0, 0));
	mock_expect(m, FUSE_RENAME, 1, "src");
	ok(pf_rename(m->fs, "src", "dst"));
	mock_any_times(mock_lookup(m, 1, "dst", 42, REG, 0, 0));
	ok(pf_access(m->fs, "dst", F_OK));
	mock_end(m);
}

static void rename_overwrite(void **state)
{
	struct mock *m = start();

	mock_lookup(m, 1, "src", 42, REG, 0, MOCK_FOREVER);
	mock_lookup(m, 1, "dst", 43, REG, 0, MOCK_FOREVER);
	mock_expect(m, FUSE_RENAME, 1, "src");
	ok(pf_rename(m->fs, "src", "dst"));
	assert_log(m, "LOOKUP(1,src) LOOKUP(1,dst) RENAME(1,src,dst)");
	mock_wait_forgotten(m, 43, 1);
	mock_end(m);
}

/* A directory moves: both parents are asked again, and ".." leads to the new one without asking. */
static void rename_parent(void **state)
{
	struct mock *m = start();
	struct fuse_entry_out dst = mock_entry(43, DIR_, 0, 0, MOCK_FOREVER);
	struct pf_file *dir;
	struct stat st;

	mock_lookup(m, 1, "src", 42, DIR_, 0, MOCK_FOREVER);
	mock_lookup_entry(m, 1, "dstdir", &dst);
	mock_lookup_error(m, 43, "dst", ENOENT);
	mock_expect(m, FUSE_RENAME, 1, "src");
	ok(pf_open(m->fs, "src", O_PATH | O_DIRECTORY, 0, &dir));
	asks_root_again(m, ok(pf_rename(m->fs, "src", "dstdir/dst")));
	mock_log(m);
	dst.attr.nlink = 3;
	mock_lookup_entry(m, 1, "dstdir", &dst);
	mock_any_times(mock_getattr(m, 43, DIR_, 0, MOCK_FOREVER));
	ok(pf_stat(m->fs, "dstdir", &st));
	ok(pf_fstatat(dir, "..", &st, 0));
	assert_int_equal(st.st_ino, 43);
	ok(pf_close(dir));
	mock_end(m);
}

static bool is_rename2(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_rename2_in *)req->arg)->flags == *(uint32_t *)ctx;
}

static void rename2_flags(void **state)
{
	struct mock *m = start();
	uint32_t noreplace = 1, exchange = 2;

	mock_lookup(m, 1, "a", 42, REG, 0, MOCK_FOREVER);
	mock_any_times(mock_lookup(m, 1, "b", 43, REG, 0, MOCK_FOREVER));
	mock_lookup_error(m, 1, "c", ENOENT);
	mock_match(mock_expect(m, FUSE_RENAME2, 1, "a"), is_rename2, &noreplace);
	ok(pf_rename2(m->fs, "a", "c", 1));
	fails(pf_rename2(m->fs, "c", "b", 1), EEXIST);
	mock_match(mock_expect(m, FUSE_RENAME2, 1, "c"), is_rename2, &exchange);
	ok(pf_rename2(m->fs, "c", "b", 2));
	fails(pf_rename2(m->fs, "c", "b", 3), EINVAL);
	fails(pf_rename2(m->fs, "c", "b", 64), EINVAL);
	mock_end(m);
}

static void rename2_enosys(void **state)
{
	struct mock *m = start();

	mock_lookup(m, 1, "a", 42, REG, 0, MOCK_FOREVER);
	mock_any_times(mock_lookup_error(m, 1, "b", ENOENT));
	mock_error(mock_expect(m, FUSE_RENAME2, 1, "a"), ENOSYS);
	fails(pf_rename2(m->fs, "a", "b", 1), EINVAL);
	fails(pf_rename2(m->fs, "a", "b", 1), EINVAL);
	mock_end(m);
}

static void rename2_old_minor(void **state)
{
	struct mock_options o = {.minor = 22};
	struct mock *m = mock_start(&o);

	mock_any_times(mock_lookup(m, 1, "a", 42, REG, 0, MOCK_FOREVER));
	mock_any_times(mock_lookup_error(m, 1, "b", ENOENT));
	fails(pf_rename2(m->fs, "a", "b", 1), EINVAL);
	mock_end(m);
}

/* ---- link */

static void link_ok(void **state)
{
	struct mock *m = start();
	struct fuse_entry_out e = mock_entry(42, REG, 0, MOCK_FOREVER, MOCK_FOREVER), two = e;
	struct stat st;

	two.attr.nlink = 2;
	mock_lookup_entry(m, 1, "old", &e);
	mock_lookup_error(m, 1, "new", ENOENT);
	mock_body(mock_expect(m, FUSE_LINK, 1, "new"), &two, sizeof(two));
	asks_root_again(m, ok(pf_link(m->fs, "old", "new")));
	ok(pf_stat(m->fs, "old", &st));
	assert_int_equal(st.st_nlink, 2);
	ok(pf_stat(m->fs, "new", &st));
	mock_end(m);
}

static void link_errors(void **state)
{
	struct mock *m = start();

	mock_lookup(m, 1, "old", 42, REG, 0, MOCK_FOREVER);
	mock_any_times(mock_lookup_error(m, 1, "new", ENOENT));
	mock_error(mock_expect(m, FUSE_LINK, 1, "new"), EMLINK);
	fails(pf_link(m->fs, "old", "new"), EMLINK);
	mock_error(mock_expect(m, FUSE_LINK, 1, "new"), ENOSYS);
	fails(pf_link(m->fs, "old", "new"), EPERM);
	fails(pf_link(m->fs, "old", "new"), EPERM);
	mock_lookup(m, 1, "d", 43, DIR_, 0, MOCK_FOREVER);
	fails(pf_link(m->fs, "d", "new"), EPERM);
	mock_end(m);
}

static void link_distinct_nodeid(void **state)
{
	struct mock *m = start();

	mock_lookup(m, 1, "old", 42, REG, 0, MOCK_FOREVER);
	mock_lookup_error(m, 1, "new", ENOENT);
	answer_entry(m, FUSE_LINK, 1, "new", 43, REG);
	ok(pf_link(m->fs, "old", "new"));
	mock_end(m); /* node 43 must have been given back by then */
}

static void link_bad_type(void **state)
{
	struct mock_options o = {.lookup_leak = true};
	struct mock *m = mock_start(&o);

	mock_lookup(m, 1, "old", 42, REG, 0, MOCK_FOREVER);
	mock_lookup_error(m, 1, "new", ENOENT);
	answer_entry(m, FUSE_LINK, 1, "new", 42, DIR_);
	fails(pf_link(m->fs, "old", "new"), EIO);
	mock_end(m);
}

static void link_7_8(void **state)
{
	struct mock_options o = {.minor = 8};
	struct mock *m = mock_start(&o);

	mock_lookup(m, 1, "old", 42, REG, 0, MOCK_FOREVER);
	mock_lookup_error(m, 1, "new", ENOENT);
	answer_entry(m, FUSE_LINK, 1, "new", 42, REG);
	ok(pf_link(m->fs, "old", "new"));
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mkdir_ok),          cmocka_unit_test(mkdir_dont_mask),
	    cmocka_unit_test(mkdir_errors),      cmocka_unit_test(mkdir_purges_negative),
	    cmocka_unit_test(mkdir_bad_nodeid),  cmocka_unit_test(mkdir_7_8),
	    cmocka_unit_test(mknod_kinds),       cmocka_unit_test(mknod_errors),
	    cmocka_unit_test(mknod_7_11),        cmocka_unit_test(symlink_ok),
	    cmocka_unit_test(symlink_errors),    cmocka_unit_test(symlink_7_8),
	    cmocka_unit_test(readlink_ok),       cmocka_unit_test(readlink_cached),
	    cmocka_unit_test(readlink_eloop),    cmocka_unit_test(readlink_embedded_nul),
	    cmocka_unit_test(readlink_too_long), cmocka_unit_test(unlink_ok),
	    cmocka_unit_test(unlink_asks_again), cmocka_unit_test(unlink_attr),
	    cmocka_unit_test(unlink_errors),     cmocka_unit_test(unlink_while_open),
	    cmocka_unit_test(rmdir_ok),          cmocka_unit_test(rmdir_errors),
	    cmocka_unit_test(rename_ok),         cmocka_unit_test(rename_einval),
	    cmocka_unit_test(rename_enoent),     cmocka_unit_test(rename_purges_negative),
	    cmocka_unit_test(rename_overwrite),  cmocka_unit_test(rename_parent),
	    cmocka_unit_test(rename2_flags),     cmocka_unit_test(rename2_enosys),
	    cmocka_unit_test(rename2_old_minor), cmocka_unit_test(link_ok),
	    cmocka_unit_test(link_errors),       cmocka_unit_test(link_distinct_nodeid),
	    cmocka_unit_test(link_bad_type),     cmocka_unit_test(link_7_8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
