// SPDX-License-Identifier: BSD-2-Clause
/*
 * What goes out beside the arguments themselves: INIT's own fields, extensions of requests that
 * make something, the marks that take suid and sgid away, whose request it is.
 */
#include "tests/behave/behave.h"

#include <sys/xattr.h>

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)

/* ---- rule 3.1: INIT */

static int look_at_init(struct mock *m, struct mock_req *req, void *ctx)
{
	const struct fuse_init_in *in = req->arg;
	uint64_t flags = in->flags | (uint64_t)in->flags2 << 32;

	if (in->major != 7 || in->minor != 45)
		mock_fail(m, "INIT: version %u.%u", in->major, in->minor);
	if (req->h.nodeid || req->h.uid || req->h.gid || req->h.pid)
		mock_fail(m, "INIT: node or credentials");
	if (!(in->flags & FUSE_INIT_EXT))
		mock_fail(m, "INIT: no INIT_EXT");
	for (size_t i = 0; i < sizeof(in->unused) / sizeof(in->unused[0]); i++)
		if (in->unused[i])
			mock_fail(m, "INIT: unused[%zu] is %u", i, in->unused[i]);
	if (flags & ((1u << 31) | FUSE_SUBMOUNTS | FUSE_MAP_ALIGNMENT | FUSE_PASSTHROUGH |
		     FUSE_OVER_IO_URING | FUSE_ALLOW_IDMAP))
		mock_fail(m, "INIT: flags %" PRIx64 " that cannot be honoured", flags);
	*(uint64_t *)ctx = flags;
	return 0;
}

static void init_request(void **state)
{
	uint64_t flags = 0;
	struct mock_options o = {.init_fn = look_at_init, .init_ctx = &flags};

	mock_end(mock_start(&o));
	assert_true(flags & FUSE_PARALLEL_DIROPS && flags & FUSE_HAS_RESEND);
}

/* ---- extensions */

/* A context for new files, and membership in group 1001 beside the own 1000. */
static struct pf_fs *labelled(struct mock *m, const char *label)
{
	static const gid_t groups[] = {1001};
	struct pf_caller c = {.size = sizeof(c),
			      .uid = 1000,
			      .gid = 1000,
			      .pid = 77,
			      .ngroups = 1,
			      .groups = groups,
			      .security_context = label,
			      .security_context_size = label ? strlen(label) : 0,
			      .security_context_name = label ? "security.selinux" : NULL};
	struct pf_fs *view;

	ok(pf_as(m->fs, &c, &view));
	return view;
}

struct ext {
	char bytes[128];
	size_t len;
};

static bool ext_is(const struct mock_req *req, void *ctx)
{
	const struct ext *want = ctx;

	return req->ext_len == want->len && !memcmp(req->ext, want->bytes, want->len);
}

static void add(struct ext *e, const void *bytes, size_t len)
{
	memcpy(e->bytes + e->len, bytes, len);
	e->len += len;
}

/* As the protocol has it, put together by hand. */
static struct ext extensions(const char *label, bool context, bool groups)
{
	struct ext e = {.len = 0};

	if (context) {
		size_t name = sizeof("security.selinux"), value = label ? strlen(label) : 0;
		size_t one = label ? (8 + name + value + 7) & ~7ul : 0;
		uint32_t head[] = {8 + one, !!label}, record[] = {value, 0};

		add(&e, head, 8);
		if (label) {
			size_t at = e.len;

			add(&e, record, 8);
			add(&e, "security.selinux", name);
			add(&e, label, value);
			e.len = at + one;
		}
	}
	if (groups)
		add(&e, (const uint32_t[]){16, 32, 1, 1001}, 16);
	return e;
}

static void made_with(uint64_t flags, const char *label, struct ext want)
{
	struct mock_options o = {.flags = flags, .pf_set = true, .pf = PF_OPTIONS_INIT};
	struct fuse_entry_out dir = mock_entry(2, DIR_, 0, MOCK_FOREVER, MOCK_FOREVER);
	struct fuse_create_out made = {.open = {.fh = MOCK_FH}};
	struct pf_fs *view;
	struct pf_file *f;
	struct mock *m;

	o.pf.mount_options = "allow_other";
	m = mock_start(&o);
	view = labelled(m, label);
	dir.attr.gid = 1001;
	mock_lookup_entry(m, 1, "d", &dir);
	mock_any_times(mock_lookup_error(m, 2, NULL, ENOENT));
	made.entry = mock_entry(10, S_IFIFO | 0644, 0, MOCK_FOREVER, MOCK_FOREVER);
	mock_match(mock_body(mock_expect(m, FUSE_MKNOD, 2, "fifo"), &made, 128), ext_is, &want);
	ok(pf_mknod(view, "d/fifo", S_IFIFO | 0644, 0));
	made.entry = mock_entry(11, DIR_, 0, MOCK_FOREVER, MOCK_FOREVER);
	mock_match(mock_body(mock_expect(m, FUSE_MKDIR, 2, "dir"), &made, 128), ext_is, &want);
	ok(pf_mkdir(view, "d/dir", 0755));
	made.entry = mock_entry(12, S_IFLNK | 0777, 0, MOCK_FOREVER, MOCK_FOREVER);
	mock_match(mock_body(mock_expect(m, FUSE_SYMLINK, 2, "link"), &made, 128), ext_is, &want);
	ok(pf_symlink(view, "target", "d/link"));
	mock_times(mock_flush(m, MOCK_ANY), 2);
	mock_times(mock_release(m, MOCK_ANY), 2);
	made.entry = mock_entry(13, REG, 0, MOCK_FOREVER, MOCK_FOREVER);
	mock_match(mock_body(mock_expect(m, FUSE_CREATE, 2, "file"), &made, sizeof(made)), ext_is,
		   &want);
	ok(pf_open(view, "d/file", O_CREAT | O_RDWR, 0644, &f));
	ok(pf_close(f));
	made.entry = mock_entry(14, REG, 0, MOCK_FOREVER, MOCK_FOREVER);
	mock_match(mock_body(mock_expect(m, FUSE_TMPFILE, 2, NULL), &made, sizeof(made)), ext_is,
		   &want);
	ok(pf_open(view, "d", O_TMPFILE | O_RDWR, 0644, &f));
	ok(pf_close(f));
	/* LINK makes nothing new: the audit fails on extensions. */
	made.entry = mock_entry(13, REG, 0, MOCK_FOREVER, MOCK_FOREVER);
	mock_body(mock_expect(m, FUSE_LINK, 2, "file2"), &made, 128);
	ok(pf_link(view, "d/file", "d/file2"));
	pf_view_free(view);
	mock_end(m);
}

static void extensions_of_what_is_made(void **state)
{
	made_with(0, "label", extensions(NULL, false, false));
	made_with(FUSE_SECURITY_CTX, NULL, extensions(NULL, true, false));
	made_with(FUSE_SECURITY_CTX, "label_t:s0", extensions("label_t:s0", true, false));
	made_with(FUSE_CREATE_SUPP_GROUP, NULL, extensions(NULL, false, true));
	made_with(FUSE_SECURITY_CTX | FUSE_CREATE_SUPP_GROUP, "x", extensions("x", true, true));
}

/* ---- HANDLE_KILLPRIV_V2: who may not keep suid and sgid says so */

static bool open_kills(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_open_in *)req->arg)->open_flags == *(uint32_t *)ctx;
}

static bool create_kills(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_create_in *)req->arg)->open_flags == *(uint32_t *)ctx;
}

static bool setattr_kills(const struct mock_req *req, void *ctx)
{
	return (((const struct fuse_setattr_in *)req->arg)->valid & FATTR_KILL_SUIDGID) ==
	       *(uint32_t *)ctx;
}

static struct pf_fs *begin(struct mock **m, uint64_t flags, uid_t uid)
{
	struct mock_options o = {.flags = flags, .pf_set = true, .pf = PF_OPTIONS_INIT};
	struct pf_caller c = {.size = sizeof(c), .uid = uid, .gid = uid, .pid = 77};
	struct pf_fs *view;

	o.pf.mount_options = "allow_other";
	*m = mock_start(&o);
	ok(pf_as((*m)->fs, &c, &view));
	mock_lookup(*m, 1, "foo", 42, S_IFREG | 06777, 10, MOCK_FOREVER);
	return view;
}

static void kills(uid_t uid, uint32_t on_open, uint32_t on_truncate)
{
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(42, REG, 0)};
	struct fuse_create_out made = {.entry = mock_entry(43, REG, 0, MOCK_FOREVER, MOCK_FOREVER),
				       .open = {.fh = MOCK_FH}};
	uint32_t on_chown = FATTR_KILL_SUIDGID;
	struct pf_file *f;
	struct mock *m;
	struct pf_fs *view = begin(&m, FUSE_HANDLE_KILLPRIV_V2 | FUSE_ATOMIC_O_TRUNC, uid);

	mock_any_times(mock_flush(m, MOCK_ANY));
	mock_times(mock_release(m, MOCK_ANY), 2);
	mock_match(mock_open(m, 42, 0), open_kills, &on_open);
	ok(pf_open(view, "foo", O_RDWR | O_TRUNC, 0, &f));
	mock_match(mock_body(mock_expect(m, FUSE_SETATTR, 42, NULL), &a, sizeof(a)), setattr_kills,
		   &on_truncate);
	ok(pf_ftruncate(f, 0));
	mock_match(mock_body(mock_expect(m, FUSE_SETATTR, 42, NULL), &a, sizeof(a)), setattr_kills,
		   &on_chown);
	ok(pf_fchown(f, 5, -1));
	ok(pf_close(f));
	mock_lookup_error(m, 1, "new", ENOENT);
	mock_match(mock_body(mock_expect(m, FUSE_CREATE, 1, "new"), &made, sizeof(made)),
		   create_kills, &on_open);
	ok(pf_open(view, "new", O_CREAT | O_TRUNC | O_RDWR, 0644, &f));
	ok(pf_close(f));
	pf_view_free(view);
	mock_end(m);
}

static void killpriv_v2(void **state)
{
	kills(1000, FUSE_OPEN_KILL_SUIDGID, FATTR_KILL_SUIDGID);
	kills(0, 0, 0);
}

/* Setting an access ACL takes sgid from who is not in the file's group. */
static bool acl_kills(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_setxattr_in *)req->arg)->setxattr_flags == *(uint32_t *)ctx;
}

static void acl_kills_sgid(void **state)
{
	uint64_t flags = FUSE_POSIX_ACL | FUSE_SETXATTR_EXT;
	uint32_t yes = FUSE_SETXATTR_ACL_KILL_SGID, no = 0;
	struct fuse_entry_out e = mock_entry(42, S_IFREG | 02777, 10, MOCK_FOREVER, MOCK_FOREVER);
	struct mock_options o = {
	    .flags = flags, .pf_set = true, .pf = PF_OPTIONS_INIT, .root_mode = 0755};
	struct pf_caller c = {.size = sizeof(c), .uid = 1000, .gid = 1000, .pid = 77};
	struct pf_fs *view;
	struct mock *m;

	o.pf.mount_options = "allow_other";
	m = mock_start(&o);
	ok(pf_as(m->fs, &c, &view));
	mock_any_times(mock_error(mock_expect(m, FUSE_GETXATTR, MOCK_ANY, NULL), ENODATA));
	e.attr.uid = 1000;
	e.attr.gid = 5000;
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER, .attr = e.attr};
	mock_lookup_entry(m, 1, "foo", &e);
	mock_any_times(mock_body(mock_expect(m, FUSE_GETATTR, 42, NULL), &a, sizeof(a)));
	mock_match(mock_expect(m, FUSE_SETXATTR, 42, "system.posix_acl_access"), acl_kills, &yes);
	ok(pf_setxattr(view, "foo", "system.posix_acl_access", "acl", 3, 0));
	mock_match(mock_expect(m, FUSE_SETXATTR, 42, "system.posix_acl_default"), acl_kills, &no);
	ok(pf_setxattr(view, "foo", "system.posix_acl_default", "acl", 3, 0));
	mock_match(mock_expect(m, FUSE_SETXATTR, 42, "system.posix_acl_access"), acl_kills, &no);
	ok(pf_setxattr(m->fs, "foo", "system.posix_acl_access", "acl", 3, 0));
	pf_view_free(view);
	mock_end(m);
}

/* ---- times */

static bool in_steps(const struct mock_req *req, void *ctx)
{
	const struct fuse_setattr_in *in = req->arg;
	uint32_t gran = *(uint32_t *)ctx;

	return !(in->atimensec % gran) && !(in->mtimensec % gran) &&
	       in->atimensec + gran > 123456789 && in->mtimensec + gran > 987654321;
}

/* Times that the client sends are multiples of time_gran. */
static void time_gran(void **state)
{
	const struct timespec times[2] = {{1, 123456789}, {2, 987654321}};
	struct fuse_attr_out a = {.attr = mock_attr(42, REG, 10)};

	for (uint32_t gran = 1; gran <= 1u << 9; gran *= 2) {
		struct mock_options o = {.init = {.time_gran = gran}};
		struct mock *m = mock_start(&o);

		mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
		mock_match(mock_body(mock_expect(m, FUSE_SETATTR, 42, NULL), &a, sizeof(a)),
			   in_steps, &gran);
		ok(pf_utimens(m->fs, "foo", times, 0));
		mock_end(m);
	}
}

/* ---- SYNCFS */

static void syncfs_(void **state)
{
	struct mock_options old = {.minor = 33};
	struct mock *m = mock_start(NULL);

	mock_expect(m, FUSE_SYNCFS, 1, NULL);
	ok(pf_syncfs(m->fs));
	mock_error(mock_expect(m, FUSE_SYNCFS, 1, NULL), EIO);
	fails(pf_syncfs(m->fs), EIO);
	mock_error(mock_expect(m, FUSE_SYNCFS, 1, NULL), ENOSYS);
	ok(pf_syncfs(m->fs));
	ok(pf_syncfs(m->fs));
	mock_end(m);
	m = mock_start(&old);
	ok(pf_syncfs(m->fs)); /* 7.34's: nothing to ask */
	mock_end(m);
}

/* ---- who asks */

static bool from_reader(const struct mock_req *req, void *ctx)
{
	return req->h.pid == 77 && req->h.uid == 1000 && req->h.gid == 1000;
}

static bool from_nobody(const struct mock_req *req, void *ctx)
{
	return !req->h.pid && !req->h.uid && !req->h.gid;
}

/* READ carries its caller, RELEASE nobody: it may come long after him. */
static void credentials(void **state)
{
	struct mock *m;
	struct pf_fs *view = begin(&m, 0, 1000);
	struct pf_file *f;
	char buf[8];

	mock_open(m, 42, 0);
	ok(pf_open(view, "foo", O_RDONLY, 0, &f));
	mock_match(mock_body(mock_expect(m, FUSE_READ, 42, NULL), "12345678", 8), from_reader,
		   NULL);
	assert_int_equal(pf_pread(f, buf, 8, 0), 8);
	mock_match(mock_flush(m, 42), from_reader, NULL);
	mock_match(mock_release(m, 42), from_nobody, NULL);
	ok(pf_close(f));
	pf_view_free(view);
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(init_request), cmocka_unit_test(extensions_of_what_is_made),
	    cmocka_unit_test(killpriv_v2),  cmocka_unit_test(acl_kills_sgid),
	    cmocka_unit_test(time_gran),    cmocka_unit_test(syncfs_),
	    cmocka_unit_test(credentials),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
