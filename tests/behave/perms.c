// SPDX-License-Identifier: BSD-2-Clause
/* Who may do what: ACCESS where the server decides, modes and ACLs where default_permissions is on.
 */
#include "tests/behave/behave.h"

#include <sys/xattr.h>

#define REG   (S_IFREG | 0644)
#define DIR_  (S_IFDIR | 0755)
#define USER  1000
#define OTHER 0

/* ---- the server decides */

static bool access_mask(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_access_in *)req->arg)->mask == *(uint32_t *)ctx;
}

static void access_eaccess(void **state)
{
	struct mock *m = mock_start(NULL);
	uint32_t mask = X_OK;

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_match(mock_error(mock_expect(m, FUSE_ACCESS, 42, NULL), EACCES), access_mask, &mask);
	fails(pf_access(m->fs, "foo", X_OK), EACCES);
	mock_end(m);
}

static void access_enosys(void **state)
{
	struct mock *m = mock_start(NULL);
	struct fuse_entry_out e = entry_attrs_only(42, REG, 0);

	mock_error(mock_expect(m, FUSE_ACCESS, 1, NULL), ENOSYS);
	mock_times(mock_lookup_entry(m, 1, "foo", &e), 2);
	ok(pf_access(m->fs, "/", X_OK));
	ok(pf_access(m->fs, "foo", R_OK));
	ok(pf_access(m->fs, "foo", R_OK));
	assert_int_equal(mock_count(m, FUSE_ACCESS), 1);
	mock_end(m);
}

static void access_ok(void **state)
{
	struct mock *m = mock_start(NULL);
	uint32_t mask = R_OK | W_OK;

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_match(mock_expect(m, FUSE_ACCESS, 42, NULL), access_mask, &mask);
	ok(pf_access(m->fs, "foo", R_OK | W_OK));
	fails(pf_access(m->fs, "foo", 8), EINVAL);
	mock_end(m);
}

/* Calls that change things ask the server for nothing but the change. */
static void no_access_before_unlink(void **state)
{
	struct mock_options o = {.root_mode = 01777};
	struct mock *m = mock_start(&o);

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_error(mock_expect(m, FUSE_UNLINK, 1, "foo"), EPERM);
	fails(pf_unlink(m->fs, "foo"), EPERM);
	assert_log(m, "LOOKUP(1,foo) UNLINK(1,foo)");
	mock_end(m);
}

/* ---- default_permissions */

struct world {
	struct mock *m;
	struct pf_fs *user, *root;
};

static struct world begin(uint32_t root_mode, uint32_t root_uid, uint64_t flags)
{
	struct mock_options o = {.pf_set = true,
				 .pf = PF_OPTIONS_INIT,
				 .root_mode = root_mode,
				 .root_uid = root_uid,
				 .root_attr_valid = MOCK_FOREVER,
				 .flags = flags};
	static const gid_t groups[] = {1001};
	struct pf_caller user = {.size = sizeof(user),
				 .uid = USER,
				 .gid = USER,
				 .pid = 77,
				 .umask = 022,
				 .ngroups = 1,
				 .groups = groups};
	struct pf_caller root = {.size = sizeof(root), .pid = 78, .umask = 022};
	struct world w;

	o.pf.mount_options = "default_permissions,allow_other";
	w.m = mock_start(&o);
	mock_times(mock_expect(w.m, FUSE_ACCESS, MOCK_ANY, NULL), 0);
	ok(pf_as(w.m->fs, &user, &w.user));
	ok(pf_as(w.m->fs, &root, &w.root));
	return w;
}

static void end(struct world *w)
{
	pf_view_free(w->user);
	pf_view_free(w->root);
	mock_end(w->m);
}

static void lookup_as(struct world *w, const char *name, uint64_t nodeid, uint32_t mode, uid_t uid,
		      gid_t gid)
{
	struct fuse_entry_out e = mock_entry(nodeid, mode, 10, MOCK_FOREVER, MOCK_FOREVER);

	e.attr.uid = uid;
	e.attr.gid = gid;
	e.attr.nlink = S_ISDIR(mode) ? 2 : 1;
	mock_lookup_entry(w->m, 1, name, &e);
	/* A refusal may refresh the attributes once. */
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER, .attr = e.attr};
	mock_any_times(mock_body(mock_expect(w->m, FUSE_GETATTR, nodeid, NULL), &a, sizeof(a)));
}

static void dp_access(void **state)
{
	struct world w = begin(0755, OTHER, 0);

	lookup_as(&w, "foo", 42, REG, OTHER, OTHER);
	ok(pf_access(w.user, "foo", R_OK));
	fails(pf_access(w.user, "foo", X_OK), EACCES);
	fails(pf_access(w.user, "foo", W_OK), EACCES);
	ok(pf_access(w.root, "foo", R_OK | W_OK));
	fails(pf_access(w.root, "foo", X_OK), EACCES);
	end(&w);
}

static bool valid_and_mode(const struct mock_req *req, void *ctx)
{
	const struct fuse_setattr_in *in = req->arg, *want = ctx;

	return in->valid == want->valid &&
	       (!(want->valid & FATTR_MODE) || (in->mode & 07777) == want->mode);
}

static void expect_setattr(struct world *w, struct fuse_setattr_in *want, uint32_t mode, uid_t uid)
{
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(42, mode, 10)};

	a.attr.uid = uid;
	mock_match(mock_body(mock_expect(w->m, FUSE_SETATTR, 42, NULL), &a, sizeof(a)),
		   valid_and_mode, want);
}

static void dp_chown(void **state)
{
	struct world w = begin(0755, OTHER, 0);

	lookup_as(&w, "foo", 42, REG, USER, USER);
	fails(pf_chown(w.user, "foo", 0, -1), EPERM);
	fails(pf_chown(w.user, "foo", -1, 5555), EPERM);
	assert_int_equal(mock_count(w.m, FUSE_SETATTR), 0);
	end(&w);
}

static void dp_chown_to_self(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	struct fuse_attr_out a = {.attr = mock_attr(42, REG, 10)};

	lookup_as(&w, "foo", 42, REG, USER, USER);
	mock_any_times(mock_body(mock_expect(w.m, FUSE_SETATTR, 42, NULL), &a, sizeof(a)));
	ok(pf_chown(w.user, "foo", USER, -1));
	end(&w);
}

static void dp_chgrp_clears_suid(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	struct fuse_setattr_in want = {.valid = FATTR_GID | FATTR_MODE, .mode = 0755};

	lookup_as(&w, "foo", 42, S_IFREG | 06755, USER, USER);
	expect_setattr(&w, &want, S_IFREG | 0755, USER);
	ok(pf_chown(w.user, "foo", -1, 1001));
	end(&w);
}

static void dp_create(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	struct pf_file *f;

	mock_any_times(mock_lookup_error(w.m, 1, "foo", ENOENT));
	fails(pf_open(w.user, "foo", O_CREAT | O_RDWR, 0644, &f), EACCES);
	fails(pf_mkdir(w.user, "foo", 0755), EACCES);
	fails(pf_symlink(w.user, "x", "foo"), EACCES);
	fails(pf_mknod(w.user, "foo", S_IFIFO | 0644, 0), EACCES);
	assert_int_equal(mock_count(w.m, FUSE_CREATE) + mock_count(w.m, FUSE_MKDIR), 0);
	end(&w);
}

static void dp_utimens(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	struct fuse_setattr_in now = {.valid = FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW |
					       FATTR_MTIME_NOW};
	const struct timespec omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
	const struct timespec some[2] = {{1, 2}, {3, 4}};

	lookup_as(&w, "foo", 42, S_IFREG | 0666, OTHER, OTHER);
	expect_setattr(&w, &now, S_IFREG | 0666, OTHER);
	ok(pf_utimens(w.user, "foo", NULL, 0));
	ok(pf_utimens(w.user, "foo", omit, 0));
	fails(pf_utimens(w.user, "foo", some, 0), EPERM);
	end(&w);
}

static void dp_utimens_unwritable(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	const struct timespec omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};

	lookup_as(&w, "foo", 42, S_IFREG | 0444, OTHER, OTHER);
	fails(pf_utimens(w.user, "foo", NULL, 0), EACCES);
	ok(pf_utimens(w.user, "foo", omit, 0));
	end(&w);
}

static void dp_xattr(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	char buf[10];

	lookup_as(&w, "shut", 42, S_IFREG | 0600, OTHER, OTHER);
	lookup_as(&w, "read", 43, S_IFREG | 0644, OTHER, OTHER);
	lookup_as(&w, "mine", 44, S_IFREG | 0644, USER, USER);
	fails(pf_getxattr(w.user, "shut", "user.a", buf, 10), EACCES);
	fails(pf_setxattr(w.user, "read", "user.a", "x", 1, 0), EACCES);
	fails(pf_removexattr(w.user, "read", "user.a"), EACCES);
	mock_body(mock_expect(w.m, FUSE_LISTXATTR, 43, NULL), "", 0);
	assert_int_equal(pf_listxattr(w.user, "read", buf, 10), 0);
	mock_expect(w.m, FUSE_SETXATTR, 44, "user.a");
	ok(pf_setxattr(w.user, "mine", "user.a", "x", 1, 0));
	assert_int_equal(mock_count(w.m, FUSE_GETXATTR) + mock_count(w.m, FUSE_REMOVEXATTR), 0);
	end(&w);
}

static void dp_search(void **state)
{
	struct world w = begin(0755, OTHER, 0);

	lookup_as(&w, "dir", 42, S_IFDIR | 0700, OTHER, OTHER);
	fails(pf_access(w.user, "dir/file", F_OK), EACCES);
	end(&w);
}

static void dp_open(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	struct pf_file *f;

	lookup_as(&w, "foo", 42, REG, OTHER, OTHER);
	mock_open(w.m, 42, 0);
	mock_flush(w.m, 42);
	mock_release(w.m, 42);
	ok(pf_open(w.user, "foo", O_RDONLY, 0, &f));
	ok(pf_close(f));
	fails(pf_open(w.user, "foo", O_RDWR, 0, &f), EACCES);
	fails(pf_open(w.user, "foo", O_RDONLY | O_TRUNC, 0, &f), EACCES);
	fails(pf_truncate(w.user, "foo", 0), EACCES);
	assert_int_equal(mock_count(w.m, FUSE_OPEN), 1);
	end(&w);
}

static void dp_rename(void **state)
{
	struct world w = begin(0755, OTHER, 0);

	lookup_as(&w, "foo", 42, REG, USER, USER);
	mock_any_times(mock_lookup_error(w.m, 1, "bar", ENOENT));
	fails(pf_rename(w.user, "foo", "bar"), EACCES);
	assert_int_equal(mock_count(w.m, FUSE_RENAME), 0);
	end(&w);
}

/* The directory that it goes to decides, too. */
static void dp_rename_into(void **state)
{
	struct world w = begin(0777, OTHER, 0);

	lookup_as(&w, "foo", 42, REG, USER, USER);
	lookup_as(&w, "theirs", 43, DIR_, OTHER, OTHER);
	mock_any_times(mock_lookup_error(w.m, 43, "bar", ENOENT));
	fails(pf_rename(w.user, "foo", "theirs/bar"), EACCES);
	assert_int_equal(mock_count(w.m, FUSE_RENAME), 0);
	end(&w);
}

static void dp_rename_over(void **state)
{
	struct world w = begin(0777, USER, 0);

	lookup_as(&w, "src", 42, REG, USER, USER);
	lookup_as(&w, "dst", 43, REG, USER, USER);
	mock_name2(mock_expect(w.m, FUSE_RENAME, 1, "src"), "dst");
	ok(pf_rename(w.user, "src", "dst"));
	end(&w);
}

static void dp_rename_sticky(void **state)
{
	struct world w = begin(01777, OTHER, 0);

	lookup_as(&w, "mine", 42, REG, USER, USER);
	lookup_as(&w, "theirs", 43, REG, OTHER, OTHER);
	mock_any_times(mock_lookup_error(w.m, 1, "new", ENOENT));
	fails(pf_rename(w.user, "mine", "theirs"), EPERM);
	fails(pf_rename(w.user, "theirs", "new"), EPERM);
	fails(pf_unlink(w.user, "theirs"), EPERM);
	mock_expect(w.m, FUSE_RENAME, 1, "mine");
	ok(pf_rename(w.user, "mine", "new"));
	end(&w);
}

static void dp_unlink(void **state)
{
	struct world w = begin(0777, OTHER, 0);

	lookup_as(&w, "foo", 42, REG, OTHER, OTHER);
	mock_expect(w.m, FUSE_UNLINK, 1, "foo");
	ok(pf_unlink(w.user, "foo"));
	mock_wait_forgotten(w.m, 42, 1);
	end(&w);
}

static void dp_unlink_refused(void **state)
{
	struct world w = begin(0755, OTHER, 0);

	lookup_as(&w, "foo", 42, REG, USER, USER);
	fails(pf_unlink(w.user, "foo"), EACCES);
	assert_int_equal(mock_count(w.m, FUSE_UNLINK), 0);
	end(&w);
}

static void dp_chmod(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	struct fuse_setattr_in want = {.valid = FATTR_MODE, .mode = 0644};
	struct fuse_setattr_in sgid = {.valid = FATTR_MODE, .mode = 0755};

	lookup_as(&w, "foo", 42, S_IFREG | 0755, USER, 9999);
	lookup_as(&w, "theirs", 43, REG, OTHER, OTHER);
	expect_setattr(&w, &want, REG, USER);
	ok(pf_chmod(w.user, "foo", 0644));
	fails(pf_chmod(w.user, "theirs", 0600), EPERM);
	/* Not in the file's group: S_ISGID is dropped. */
	expect_setattr(&w, &sgid, S_IFREG | 0755, USER);
	ok(pf_chmod(w.user, "foo", 02755));
	end(&w);
}

static void dp_sticky_by_root(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	struct fuse_setattr_in want = {.valid = FATTR_MODE, .mode = 01644};

	lookup_as(&w, "foo", 42, REG, OTHER, OTHER);
	expect_setattr(&w, &want, S_IFREG | 01644, OTHER);
	ok(pf_chmod(w.root, "foo", 01644));
	end(&w);
}

/* suid and sgid go when somebody else writes: WRITE, then SETATTR of the mode, in whatever order
 * the kernel has (it strips first). */
static void dp_write_clears_suid(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	struct fuse_setattr_in want = {.valid = FATTR_MODE, .mode = 0777};
	struct pf_file *f;
	struct stat st;

	struct fuse_entry_out e = mock_entry(42, S_IFREG | 04777, 10, MOCK_FOREVER, MOCK_FOREVER);
	struct fuse_attr_out after = {.attr_valid = MOCK_FOREVER,
				      .attr = mock_attr(42, S_IFREG | 0777, 10)};

	e.attr.uid = e.attr.gid = after.attr.uid = after.attr.gid = OTHER;
	mock_lookup_entry(w.m, 1, "foo", &e);
	/* The size is doubtful after a write: stat asks. */
	mock_any_times(mock_body(mock_expect(w.m, FUSE_GETATTR, 42, NULL), &after, sizeof(after)));
	mock_open(w.m, 42, 0);
	mock_flush(w.m, 42);
	mock_release(w.m, 42);
	mock_any_times(mock_body(mock_expect(w.m, FUSE_GETXATTR, 42, NULL), "", 0))->error =
	    -ENODATA;
	mock_write(w.m, 42, 0, 1, 1);
	ok(pf_open(w.user, "foo", O_WRONLY, 0, &f));
	expect_setattr(&w, &want, S_IFREG | 0777, OTHER);
	assert_int_equal(pf_pwrite(f, "x", 1, 0), 1);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_mode & 07777, 0777);
	ok(pf_close(f));
	end(&w);
}

static void dp_killpriv_leaves_it_to_the_server(void **state)
{
	struct world w = begin(0755, OTHER, FUSE_HANDLE_KILLPRIV);
	struct pf_file *f;

	lookup_as(&w, "foo", 42, S_IFREG | 04777, OTHER, OTHER);
	mock_open(w.m, 42, 0);
	mock_flush(w.m, 42);
	mock_release(w.m, 42);
	mock_write(w.m, 42, 0, 1, 1);
	ok(pf_open(w.user, "foo", O_WRONLY, 0, &f));
	assert_int_equal(pf_pwrite(f, "x", 1, 0), 1);
	assert_int_equal(mock_count(w.m, FUSE_SETATTR), 0);
	ok(pf_close(f));
	end(&w);
}

/* The SETATTR that clears suid may claim any size: what was written stays what was written. */
static void dp_clearing_lies_about_the_size(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	struct fuse_attr_out lie = {.attr_valid = MOCK_FOREVER,
				    .attr = mock_attr(42, S_IFREG | 0777, 0)};
	struct fuse_attr_out truth = {.attr_valid = MOCK_FOREVER,
				      .attr = mock_attr(42, S_IFREG | 0777, 1)};
	struct fuse_entry_out e = mock_entry(42, S_IFREG | 04777, 0, MOCK_FOREVER, MOCK_FOREVER);
	struct pf_file *f;
	struct stat st;

	mock_lookup_entry(w.m, 1, "foo", &e);
	mock_open(w.m, 42, 0);
	mock_flush(w.m, 42);
	mock_release(w.m, 42);
	mock_any_times(mock_error(mock_expect(w.m, FUSE_GETXATTR, 42, NULL), ENODATA));
	mock_body(mock_expect(w.m, FUSE_SETATTR, 42, NULL), &lie, sizeof(lie));
	mock_write(w.m, 42, 0, 1, 1);
	mock_any_times(mock_body(mock_expect(w.m, FUSE_GETATTR, 42, NULL), &truth, sizeof(truth)));
	ok(pf_open(w.user, "foo", O_WRONLY, 0, &f));
	assert_int_equal(pf_pwrite(f, "x", 1, 0), 1);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 1);
	assert_int_equal(st.st_mode & 07777, 0777);
	ok(pf_close(f));
	end(&w);
}

static bool clears_sgid(const struct mock_req *req, void *ctx)
{
	const struct fuse_setattr_in *in = req->arg;

	return in->valid == FATTR_MODE && (in->mode & 07777) == 0777;
}

/* A copy by the server clears sgid of the destination, and of nothing else. */
static void dp_copy_clears_sgid(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	struct fuse_copy_file_range_out out = {.bytes_copied = 10};
	struct fuse_attr_out after = {.attr_valid = MOCK_FOREVER,
				      .attr = mock_attr(43, S_IFREG | 0777, 10)};
	struct fuse_entry_out e = mock_entry(42, S_IFREG | 02777, 10, MOCK_FOREVER, MOCK_FOREVER);
	off_t from = 0, to = 0;
	struct pf_file *f, *g;
	struct stat st;

	mock_lookup_entry(w.m, 1, "a", &e);
	e.nodeid = e.attr.ino = 43;
	mock_lookup_entry(w.m, 1, "b", &e);
	mock_open(w.m, 42, 0);
	mock_open(w.m, 43, 0);
	mock_times(mock_flush(w.m, MOCK_ANY), 2);
	mock_times(mock_release(w.m, MOCK_ANY), 2);
	mock_any_times(mock_error(mock_expect(w.m, FUSE_GETXATTR, 43, NULL), ENODATA));
	mock_match(mock_body(mock_expect(w.m, FUSE_SETATTR, 43, NULL), &after, sizeof(after)),
		   clears_sgid, NULL);
	mock_body(mock_expect(w.m, FUSE_COPY_FILE_RANGE_64, 42, NULL), &out, sizeof(out));
	/* GETATTR after the copy may come for either: sizes and times are doubtful. */
	mock_any_times(mock_body(mock_expect(w.m, FUSE_GETATTR, 43, NULL), &after, sizeof(after)));
	mock_any_times(mock_getattr(w.m, 42, S_IFREG | 02777, 10, MOCK_FOREVER));
	ok(pf_open(w.user, "a", O_RDONLY, 0, &f));
	ok(pf_open(w.user, "b", O_WRONLY, 0, &g));
	assert_int_equal(pf_copy_file_range(f, &from, g, &to, 10, 0), 10);
	ok(pf_fstat(g, &st));
	assert_int_equal(st.st_mode & 07777, 0777);
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_mode & 07777, 02777);
	ok(pf_close(f));
	ok(pf_close(g));
	end(&w);
}

/* Who read what he may not write leaves no times behind: FLUSH and RELEASE, nothing more. */
static void dp_read_sends_no_times(void **state)
{
	struct world w = begin(0755, OTHER, 0);
	struct pf_file *f;
	char c;

	lookup_as(&w, "foo", 42, S_IFREG | 0755, OTHER, OTHER);
	mock_open(w.m, 42, 0);
	mock_read(w.m, 42, 0, 10, "xxxxxxxxxx", 10);
	mock_flush(w.m, 42);
	mock_release(w.m, 42);
	ok(pf_open(w.user, "foo", O_RDONLY, 0, &f));
	assert_int_equal(pf_pread(f, &c, 1, 0), 1);
	mock_log(w.m);
	ok(pf_close(f));
	mock_settle(w.m);
	assert_int_equal(mock_count(w.m, FUSE_SETATTR), 0);
	end(&w);
}

static bool write_kills(const struct mock_req *req, void *ctx)
{
	return !!(((const struct fuse_write_in *)req->arg)->write_flags &
		  FUSE_WRITE_KILL_SUIDGID) == *(bool *)ctx;
}

static void dp_killpriv_v2(void **state)
{
	struct world w = begin(0755, OTHER, FUSE_HANDLE_KILLPRIV_V2);
	struct fuse_write_out out = {.size = 1};
	bool yes = true, no = false;
	struct pf_file *f;

	lookup_as(&w, "foo", 42, S_IFREG | 04777, OTHER, OTHER);
	mock_times(mock_open(w.m, 42, 0), 2);
	mock_times(mock_flush(w.m, 42), 2);
	mock_times(mock_release(w.m, 42), 2);
	mock_match(mock_body(mock_expect(w.m, FUSE_WRITE, 42, NULL), &out, sizeof(out)),
		   write_kills, &yes);
	ok(pf_open(w.user, "foo", O_WRONLY, 0, &f));
	assert_int_equal(pf_pwrite(f, "x", 1, 0), 1);
	ok(pf_close(f));
	mock_match(mock_body(mock_expect(w.m, FUSE_WRITE, 42, NULL), &out, sizeof(out)),
		   write_kills, &no);
	ok(pf_open(w.root, "foo", O_WRONLY, 0, &f));
	assert_int_equal(pf_pwrite(f, "x", 1, 0), 1);
	ok(pf_close(f));
	end(&w);
}

/* An access ACL that names the user beats the mode's group bits (POSIX_ACL). */
static void posix_acl(void **state)
{
	/* version 2; USER_OBJ rw-, USER 1000 r--, GROUP_OBJ ---, MASK rwx, OTHER --- */
	static const uint32_t acl[] = {2,   0x00060001, -1u, 0x00040002, USER, 0x00000004,
				       -1u, 0x00070010, -1u, 0x00000020, -1u};
	struct world w = begin(0755, OTHER, FUSE_POSIX_ACL);
	struct pf_file *f;

	mock_any_times(mock_error(mock_expect(w.m, FUSE_GETXATTR, 1, NULL), ENODATA));
	mock_any_times(mock_body(mock_expect(w.m, FUSE_GETXATTR, 42, "system.posix_acl_access"),
				 acl, sizeof(acl)));
	lookup_as(&w, "foo", 42, S_IFREG | 0670, OTHER, OTHER);
	mock_open(w.m, 42, 0);
	mock_flush(w.m, 42);
	mock_release(w.m, 42);
	ok(pf_open(w.user, "foo", O_RDONLY, 0, &f));
	ok(pf_close(f));
	fails(pf_open(w.user, "foo", O_RDWR, 0, &f), EACCES);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(access_eaccess),
	    cmocka_unit_test(access_enosys),
	    cmocka_unit_test(access_ok),
	    cmocka_unit_test(no_access_before_unlink),
	    cmocka_unit_test(dp_access),
	    cmocka_unit_test(dp_chown),
	    cmocka_unit_test(dp_chown_to_self),
	    cmocka_unit_test(dp_chgrp_clears_suid),
	    cmocka_unit_test(dp_create),
	    cmocka_unit_test(dp_utimens),
	    cmocka_unit_test(dp_utimens_unwritable),
	    cmocka_unit_test(dp_xattr),
	    cmocka_unit_test(dp_search),
	    cmocka_unit_test(dp_open),
	    cmocka_unit_test(dp_rename),
	    cmocka_unit_test(dp_rename_into),
	    cmocka_unit_test(dp_rename_over),
	    cmocka_unit_test(dp_rename_sticky),
	    cmocka_unit_test(dp_unlink),
	    cmocka_unit_test(dp_unlink_refused),
	    cmocka_unit_test(dp_chmod),
	    cmocka_unit_test(dp_sticky_by_root),
	    cmocka_unit_test(dp_write_clears_suid),
	    cmocka_unit_test(dp_clearing_lies_about_the_size),
	    cmocka_unit_test(dp_copy_clears_sgid),
	    cmocka_unit_test(dp_read_sends_no_times),
	    cmocka_unit_test(dp_killpriv_leaves_it_to_the_server),
	    cmocka_unit_test(dp_killpriv_v2),
	    cmocka_unit_test(posix_acl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
