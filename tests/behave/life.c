// SPDX-License-Identifier: BSD-2-Clause
/* The life of a file system and of its nodes: lookups given back, the end, callers, requests at
 * once. */
#include "tests/behave/behave.h"

#include <linux/falloc.h>
#include <sys/socket.h>

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)

/* ---- lookups given back */

static void forget_counts_all(void **state)
{
	struct fuse_entry_out e = mock_entry(42, REG, 0, 0, 0);
	struct mock *m = mock_start(NULL);

	mock_times(mock_lookup_entry(m, 1, "foo", &e), 3);
	for (int i = 0; i < 3; i++)
		ok(pf_access(m->fs, "foo", F_OK));
	mock_notify_inval_entry(m, 1, "foo", 0);
	mock_settle(m);
	mock_wait_forgotten(m, 42, 3);
	mock_end(m);
}

/* A directory that goes takes the names below it along, however long they were valid. */
static void forget_takes_names_along(void **state)
{
	struct mock *m = mock_start(NULL);

	mock_times(mock_lookup(m, 1, "dir", 42, DIR_, 0, MOCK_FOREVER), 2);
	mock_times(mock_lookup(m, 42, "file", 43, REG, 0, MOCK_FOREVER), 2);
	ok(pf_access(m->fs, "dir/file", F_OK));
	mock_notify_inval_entry(m, 1, "dir", 0);
	mock_settle(m);
	ok(pf_access(m->fs, "dir/file", F_OK));
	mock_end(m);
}

static void root_is_never_forgotten(void **state)
{
	struct {
		struct fuse_notify_prune_out h;
		uint64_t id;
	} p = {.h = {.count = 1}, .id = 1};
	struct mock *m = mock_start(NULL);
	struct stat st;

	ok(pf_stat(m->fs, "/", &st));
	mock_notify(m, FUSE_NOTIFY_PRUNE, &p, sizeof(p));
	mock_settle(m);
	ok(pf_stat(m->fs, "/", &st));
	mock_end(m); /* the audit fails on FORGET(1) */
}

/* ---- the end */

static bool all_forgotten(const struct mock_req *req, void *ctx)
{
	/* The lock is held while matching. */
	for (size_t i = 0; i < req->m->ncounts; i++)
		if (req->m->counts[i].nodeid == 42 && req->m->counts[i].taken == 2)
			*(bool *)ctx = true;
	return true;
}

static void destroy_comes_last(void **state)
{
	struct mock_options o = {.strict_destroy = true};
	struct fuse_entry_out e = mock_entry(42, REG, 0, 0, 0);
	struct mock *m = mock_start(&o);
	bool forgotten = false;

	mock_times(mock_lookup_entry(m, 1, "foo", &e), 2);
	ok(pf_access(m->fs, "foo", F_OK));
	ok(pf_access(m->fs, "foo", F_OK));
	mock_match(mock_expect(m, FUSE_DESTROY, 0, NULL), all_forgotten, &forgotten);
	ok(pf_stop(m->fs));
	m->fs = NULL;
	assert_true(forgotten);
	mock_end(m);
}

/* A server that never answers DESTROY, or dies of it, does not keep us. */
static void destroy_unanswered(void **state)
{
	struct mock_options o = {.strict_destroy = true, .pf_set = true, .pf = PF_OPTIONS_INIT};
	struct mock *m;

	o.pf.request_timeout_ms = 100;
	m = mock_start(&o);
	mock_silent(mock_expect(m, FUSE_DESTROY, 0, NULL));
	pf_stop(m->fs);
	m->fs = NULL;
	mock_end(m);
}

/* What the server's end was is told at ours, unless it was our doing. */
static void stop_tells_of_a_loss(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT, .no_root_auto = true};
	struct mock *m = mock_start(NULL);
	struct statvfs st;

	mock_hang_up(m);
	fails(pf_statvfs(m->fs, "/", &st), ENOTCONN);
	fails(pf_stop(m->fs), ENOTCONN);
	assert_string_equal(pf_error(), "the server hung up");
	m->fs = NULL;
	mock_end(m);
	o.pf.request_timeout_ms = 100;
	m = mock_start(&o);
	mock_silent(mock_expect(m, FUSE_STATFS, 1, NULL));
	fails(pf_statvfs(m->fs, "/", &st), ETIMEDOUT);
	fails(pf_stop(m->fs), ETIMEDOUT);
	m->fs = NULL;
	mock_end(m);
	m = mock_start(NULL);
	pf_abort(m->fs);
	ok(pf_stop(m->fs));
	m->fs = NULL;
	mock_end(m);
}

/* Open files at the end are flushed and released. */
static void stop_with_open_files(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_file *f;

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_any_times(mock_flush(m, 42));
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	ok(pf_close(f));
	pf_stop(m->fs);
	m->fs = NULL;
	mock_end(m);
}

/* The server's end is open twice: closing one of them ends nothing. */
static void last_close_counts(void **state)
{
	struct fuse_statfs_out out = {.st = {.bsize = 4096}};
	struct statvfs st;
	struct mock *m;
	int copy;

	if (getenv("MOCK_INPROC"))
		skip();
	m = mock_start(NULL);
	copy = dup(m->fd);
	close(copy);
	mock_body(mock_expect(m, FUSE_STATFS, 1, NULL), &out, sizeof(out));
	ok(pf_statvfs(m->fs, "/", &st));
	mock_end(m);
}

static int notify_first(struct mock *m, struct mock_req *req, void *ctx)
{
	mock_notify_inval_entry(m, 1, "foo", 0);
	mock_notify(m, FUSE_NOTIFY_RESEND, NULL, 0);
	mock_notify(m, FUSE_NOTIFY_INC_EPOCH, NULL, 0);
	return 0;
}

/* Notifications before INIT is answered are refused. */
static void notify_before_init(void **state)
{
	struct mock_options o = {.init_fn = notify_first};
	struct mock *m = mock_start(&o);
	struct stat st;

	ok(pf_stat(m->fs, "/", &st));
	assert_int_equal(mock_count(m, FUSE_INIT), 1);
	mock_end(m);
}

/* ---- callers */

static struct pf_fs *as(struct mock *m, uid_t uid, pid_t pid)
{
	struct pf_caller c = {.size = sizeof(c), .uid = uid, .gid = uid, .pid = pid, .umask = 022};
	struct pf_fs *view;

	ok(pf_as(m->fs, &c, &view));
	return view;
}

static bool from_1000(const struct mock_req *req, void *ctx)
{
	return req->h.uid == 1000 && req->h.gid == 1000 && req->h.pid == 77;
}

static void allow_other(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct fuse_open_out out = {.fh = MOCK_FH};
	struct pf_fs *view;
	struct pf_file *f;
	struct mock *m;

	o.pf.mount_options = "allow_other";
	m = mock_start(&o);
	view = as(m, 1000, 77);
	mock_match(mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER), from_1000, NULL);
	mock_match(mock_body(mock_expect(m, FUSE_OPEN, 42, NULL), &out, sizeof(out)), from_1000,
		   NULL);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(view, "foo", O_RDONLY, 0, &f));
	pf_view_free(view);
	ok(pf_close(f));
	mock_end(m);
}

/* Without allow_other a handle of the owner opens nothing for another user: what he does with it is
 * the owner's doing, and his own view refuses. */
static void no_allow_other_beneath(void **state)
{
	struct mock *m = mock_start(NULL);
	struct pf_fs *view = as(m, 1000, 77);
	struct pf_file *f;
	struct statvfs vfs;
	struct stat st;

	fails(pf_open(view, "/dir/file", O_RDONLY, 0, &f), EACCES);
	fails(pf_lstat(view, "/dir", &st), EACCES);
	fails(pf_unlink(view, "/dir/file"), EACCES);
	fails(pf_rename(view, "/a", "/b"), EACCES);
	ok(pf_statvfs(view, "/", &vfs)); /* nothing but zeros, without a request */
	assert_int_equal(vfs.f_blocks, 0);
	assert_log(m, "");
	pf_view_free(view);
	mock_end(m);
}

/* ---- requests at once */

struct call {
	struct pf_file *f;
	pthread_t thread;
	char buf[8192];
	ssize_t result;
};

static void *do_read(void *arg)
{
	struct call *c = arg;

	c->result = pf_pread(c->f, c->buf, sizeof(c->buf), 0);
	return NULL;
}

static bool at(const struct mock_req *req, void *ctx)
{
	return ((const struct fuse_read_in *)req->arg)->offset == *(uint64_t *)ctx;
}

/* With ASYNC_READ and ASYNC_DIO the pieces of a read are out together; they land where they belong
 * in whatever order they come. */
static void pieces_together(void **state)
{
	struct mock_options o = {.flags = FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_MAX_PAGES,
				 .init = {.max_pages = 1}};
	struct mock *m = mock_start(&o);
	uint64_t zero = 0, page = 4096;
	struct mock_expect *first, *second;
	struct mock_req *a, *b;
	struct call c = {0};
	char data[4096];

	mock_lookup(m, 1, "foo", 42, REG, 8192, MOCK_FOREVER);
	mock_open(m, 42, FOPEN_DIRECT_IO);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &c.f));
	first = mock_hold(mock_match(mock_expect(m, FUSE_READ, 42, NULL), at, &zero));
	second = mock_hold(mock_match(mock_expect(m, FUSE_READ, 42, NULL), at, &page));
	assert_int_equal(pthread_create(&c.thread, NULL, do_read, &c), 0);
	a = mock_wait(first);
	b = mock_wait(second);
	memset(data, 'b', sizeof(data));
	mock_answer(b, data, sizeof(data));
	memset(data, 'a', sizeof(data));
	mock_answer(a, data, sizeof(data));
	pthread_join(c.thread, NULL);
	assert_int_equal(c.result, 8192);
	assert_int_equal(c.buf[0], 'a');
	assert_int_equal(c.buf[4095], 'a');
	assert_int_equal(c.buf[4096], 'b');
	ok(pf_close(c.f));
	mock_end(m);
}

/* Without them one at a time. */
static void pieces_one_by_one(void **state)
{
	struct mock_options o = {.flags = FUSE_MAX_PAGES, .init = {.max_pages = 1}};
	struct mock *m = mock_start(&o);
	struct mock_expect *first;
	uint64_t zero = 0;
	struct call c = {0};
	struct mock_req *a;
	char data[4096] = {0};

	mock_lookup(m, 1, "foo", 42, REG, 8192, MOCK_FOREVER);
	mock_open(m, 42, FOPEN_DIRECT_IO);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &c.f));
	first = mock_hold(mock_match(mock_expect(m, FUSE_READ, 42, NULL), at, &zero));
	assert_int_equal(pthread_create(&c.thread, NULL, do_read, &c), 0);
	a = mock_wait(first);
	mock_settle(m);
	assert_int_equal(mock_count(m, FUSE_READ), 1);
	mock_body(mock_expect(m, FUSE_READ, 42, NULL), data, 4096);
	mock_answer(a, data, 4096);
	pthread_join(c.thread, NULL);
	assert_int_equal(c.result, 8192);
	ok(pf_close(c.f));
	mock_end(m);
}

/* Two descriptions of one file: a copy uses the handle of each, both positions move. */
static bool copies_between(const struct mock_req *req, void *ctx)
{
	const struct fuse_copy_file_range_in *in = req->arg;

	return in->fh_in == 11 && in->fh_out == 12 && in->nodeid_out == 42 && !in->off_in &&
	       in->off_out == 100;
}

static void copy_between_descriptions(void **state)
{
	struct fuse_open_out one = {.fh = 11}, two = {.fh = 12};
	struct fuse_copy_file_range_out out = {.bytes_copied = 50};
	struct mock *m = mock_start(NULL);
	struct pf_file *f, *g;

	mock_lookup(m, 1, "foo", 42, REG, 8192, MOCK_FOREVER);
	mock_body(mock_expect(m, FUSE_OPEN, 42, NULL), &one, sizeof(one));
	mock_body(mock_expect(m, FUSE_OPEN, 42, NULL), &two, sizeof(two));
	mock_times(mock_flush(m, 42), 2);
	mock_times(mock_release(m, 42), 2);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &g));
	assert_int_equal(pf_lseek(g, 100, SEEK_SET), 100);
	mock_match(mock_body(mock_expect(m, FUSE_COPY_FILE_RANGE_64, 42, NULL), &out, sizeof(out)),
		   copies_between, NULL);
	assert_int_equal(pf_copy_file_range(f, NULL, g, NULL, 50, 0), 50);
	assert_int_equal(pf_lseek(f, 0, SEEK_CUR), 50);
	assert_int_equal(pf_lseek(g, 0, SEEK_CUR), 150);
	ok(pf_close(f));
	ok(pf_close(g));
	mock_end(m);
}

/* ---- default_permissions: suid and sgid go when space is allocated or data copied */

static bool mode_0777(const struct mock_req *req, void *ctx)
{
	const struct fuse_setattr_in *in = req->arg;

	return in->valid == FATTR_MODE && (in->mode & 07777) == 0777;
}

static void allocation_clears(uint32_t mode)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct fuse_attr_out a = {.attr_valid = MOCK_FOREVER,
				  .attr = mock_attr(42, S_IFREG | 0777, 8)};
	struct pf_fs *view;
	struct pf_file *f;
	struct stat st;
	struct mock *m;

	o.pf.mount_options = "default_permissions,allow_other";
	m = mock_start(&o);
	view = as(m, 1000, 77);
	mock_lookup(m, 1, "foo", 42, S_IFREG | mode, 8, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_flush(m, 42);
	mock_release(m, 42);
	mock_any_times(mock_error(mock_expect(m, FUSE_GETXATTR, 42, NULL), ENODATA));
	ok(pf_open(view, "foo", O_RDWR, 0, &f));
	mock_expect(m, FUSE_FALLOCATE, 42, NULL);
	mock_match(mock_body(mock_expect(m, FUSE_SETATTR, 42, NULL), &a, sizeof(a)), mode_0777,
		   NULL);
	mock_any_times(mock_getattr(m, 42, S_IFREG | 0777, 16, MOCK_FOREVER));
	ok(pf_fallocate(f, 0, 8, 8));
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_mode & 07777, 0777);
	ok(pf_close(f));
	pf_view_free(view);
	mock_end(m);
}

static void fallocate_clears_suid_and_sgid(void **state)
{
	allocation_clears(04777);
	allocation_clears(02777);
}

/* A file that was created with mode 0 is usable through the descriptor that created it. */
static void fallocate_of_mode_0(void **state)
{
	struct mock_options o = {.pf_set = true,
				 .pf = PF_OPTIONS_INIT,
				 .root_mode = 0777,
				 .root_attr_valid = MOCK_FOREVER};
	struct fuse_create_out out = {.entry =
					  mock_entry(42, S_IFREG, 0, MOCK_FOREVER, MOCK_FOREVER),
				      .open = {.fh = MOCK_FH}};
	struct pf_fs *view;
	struct pf_file *f;
	struct mock *m;

	out.entry.attr.uid = 1000;
	o.pf.mount_options = "default_permissions,allow_other";
	m = mock_start(&o);
	view = as(m, 1000, 77);
	mock_lookup_error(m, 1, "foo", ENOENT);
	mock_body(mock_expect(m, FUSE_CREATE, 1, "foo"), &out, sizeof(out));
	mock_expect(m, FUSE_FALLOCATE, 42, NULL);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(view, "foo", O_CREAT | O_EXCL | O_RDWR, 0, &f));
	ok(pf_fallocate(f, 0, 0, 100));
	ok(pf_close(f));
	pf_view_free(view);
	mock_end(m);
}

/* FALLOCATE is 7.19's; an older server is not asked. */
static void fallocate_7_18(void **state)
{
	struct mock_options o = {.minor = 18};
	struct mock *m = mock_start(&o);
	struct pf_file *f;

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	fails(pf_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 500, 1000), EOPNOTSUPP);
	assert_int_equal(mock_count(m, FUSE_FALLOCATE), 0);
	ok(pf_close(f));
	mock_end(m);
}

/* Without default_permissions a read-only mount never sends a time at close. */
static void close_sends_no_times(void **state)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT};
	struct pf_file *f;
	struct mock *m;
	char c;

	o.pf.mount_options = "ro";
	m = mock_start(&o);
	mock_lookup(m, 1, "foo", 42, REG, 1, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_read(m, 42, 0, 1, "x", 1);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	assert_int_equal(pf_pread(f, &c, 1, 0), 1);
	ok(pf_close(f));
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(forget_counts_all),
	    cmocka_unit_test(forget_takes_names_along),
	    cmocka_unit_test(root_is_never_forgotten),
	    cmocka_unit_test(destroy_comes_last),
	    cmocka_unit_test(destroy_unanswered),
	    cmocka_unit_test(stop_tells_of_a_loss),
	    cmocka_unit_test(stop_with_open_files),
	    cmocka_unit_test(last_close_counts),
	    cmocka_unit_test(notify_before_init),
	    cmocka_unit_test(allow_other),
	    cmocka_unit_test(no_allow_other_beneath),
	    cmocka_unit_test(pieces_together),
	    cmocka_unit_test(pieces_one_by_one),
	    cmocka_unit_test(copy_between_descriptions),
	    cmocka_unit_test(fallocate_clears_suid_and_sgid),
	    cmocka_unit_test(fallocate_of_mode_0),
	    cmocka_unit_test(fallocate_7_18),
	    cmocka_unit_test(close_sends_no_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
