// SPDX-License-Identifier: BSD-2-Clause
/*
 * Every operation's reply, wrong in turn: its size, an error with a body, entries and attributes
 * that cannot be. Each time the caller gets the errno that docs/protocol-support.md names, nothing
 * leaks, and the session goes on. The rules' numbers are those of that document.
 */
#include "tests/behave/behave.h"

#include <linux/falloc.h>
#include <poll.h>
#include <sys/ioctl.h>

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)
#define LNK  (S_IFLNK | 0777)
#define NONE SIZE_MAX /* no fixed size: at most what was asked for */

#define NEW_DIR 43

/* "foo" is node 42 and open as f, "dir" is node 43 and open as d, "l" is node 44. */
struct world {
	struct mock *m;
	struct pf_file *f, *d;
};

static struct world begin(uint32_t minor, uint64_t flags)
{
	struct mock_options o = {.minor = minor, .flags = flags, .lookup_leak = true};
	struct world w = {.m = mock_start(&o)};
	struct fuse_entry_out none = {.entry_valid = 0};

	mock_any_times(mock_lookup(w.m, 1, "foo", 42, REG, 100, MOCK_FOREVER));
	mock_any_times(mock_lookup(w.m, 1, "dir", NEW_DIR, DIR_, 0, MOCK_FOREVER));
	mock_any_times(mock_lookup(w.m, 1, "l", 44, LNK, 1, MOCK_FOREVER));
	mock_any_times(mock_lookup_entry(w.m, MOCK_ANY, "new", &none));
	mock_any_times(mock_flush(w.m, 42));
	mock_any_times(mock_empty(w.m, FUSE_RELEASE, 42));
	mock_releasedir(w.m, NEW_DIR);
	mock_open(w.m, 42, 0);
	mock_opendir(w.m, NEW_DIR, 0);
	ok(pf_open(w.m->fs, "foo", O_RDWR, 0, &w.f));
	ok(pf_open(w.m->fs, "dir", O_RDONLY | O_DIRECTORY, 0, &w.d));
	return w;
}

static void end(struct world *w)
{
	struct stat st;

	/* The session is sound. A failed write leaves the size to be asked for. */
	mock_any_times(mock_getattr(w->m, 42, REG, 100, MOCK_FOREVER));
	ok(pf_stat(w->m->fs, "foo", &st));
	ok(pf_close(w->f));
	ok(pf_close(w->d));
	mock_end(w->m);
}

/* ---- one call for each operation */

static long call_lookup(struct world *w)
{
	return pf_access(w->m->fs, "other", F_OK);
}

static long call_getattr(struct world *w)
{
	struct statx x;

	return pf_statx(w->m->fs, "foo", AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &x);
}

static long call_statx(struct world *w)
{
	struct statx x;

	return pf_statx(w->m->fs, "foo", AT_STATX_FORCE_SYNC, STATX_ALL, &x);
}

static long call_setattr(struct world *w)
{
	return pf_chmod(w->m->fs, "foo", 0600);
}

static long call_readlink(struct world *w)
{
	char buf[8000];

	return pf_readlink(w->m->fs, "l", buf, sizeof(buf));
}

static long call_symlink(struct world *w)
{
	return pf_symlinkat("target", w->d, "new");
}

static long call_mknod(struct world *w)
{
	return pf_mknodat(w->d, "new", S_IFIFO | 0644, 0);
}

static long call_mkdir(struct world *w)
{
	return pf_mkdirat(w->d, "new", 0755);
}

static long call_unlink(struct world *w)
{
	return pf_unlink(w->m->fs, "foo");
}

static long call_rmdir(struct world *w)
{
	return pf_rmdir(w->m->fs, "dir");
}

static long call_rename(struct world *w)
{
	return pf_rename(w->m->fs, "foo", "dir/new");
}

static long call_rename2(struct world *w)
{
	return pf_rename2(w->m->fs, "foo", "dir/new", RENAME_NOREPLACE);
}

static long call_link(struct world *w)
{
	return pf_linkat(w->f, "", w->d, "new", AT_EMPTY_PATH);
}

static long open_and_close(struct world *w, const char *path, int flags)
{
	struct pf_file *f;
	int r = pf_open(w->m->fs, path, flags, 0644, &f);

	return r ? r : pf_close(f);
}

static long call_open(struct world *w)
{
	return open_and_close(w, "foo", O_RDONLY);
}

static long call_opendir(struct world *w)
{
	return open_and_close(w, "dir", O_RDONLY);
}

static long call_create(struct world *w)
{
	return open_and_close(w, "dir/new", O_CREAT | O_RDWR);
}

static long call_tmpfile(struct world *w)
{
	return open_and_close(w, "dir", O_TMPFILE | O_RDWR);
}

static long call_read(struct world *w)
{
	char buf[64];

	return pf_pread(w->f, buf, sizeof(buf), 0);
}

static long call_write(struct world *w)
{
	return pf_pwrite(w->f, "12345678", 8, 0);
}

static long call_statfs(struct world *w)
{
	struct statvfs st;

	return pf_statvfs(w->m->fs, "foo", &st);
}

static long call_fsync(struct world *w)
{
	return pf_fsync(w->f, 0);
}

static long call_fsyncdir(struct world *w)
{
	return pf_fsync(w->d, 0);
}

static long call_setxattr(struct world *w)
{
	return pf_setxattr(w->m->fs, "foo", "user.a", "b", 1, 0);
}

static long call_getxattr(struct world *w)
{
	char buf[8];

	return pf_getxattr(w->m->fs, "foo", "user.a", buf, sizeof(buf));
}

static long call_getxattr_size(struct world *w)
{
	return pf_getxattr(w->m->fs, "foo", "user.a", NULL, 0);
}

static long call_listxattr(struct world *w)
{
	char buf[8];

	return pf_listxattr(w->m->fs, "foo", buf, sizeof(buf));
}

static long call_listxattr_size(struct world *w)
{
	return pf_listxattr(w->m->fs, "foo", NULL, 0);
}

static long call_removexattr(struct world *w)
{
	return pf_removexattr(w->m->fs, "foo", "user.a");
}

static long call_flush(struct world *w)
{
	struct pf_file *f;

	ok(pf_dup(w->f, &f));
	return pf_close(f);
}

static long call_readdir(struct world *w)
{
	struct pf_dirent e;

	return pf_readdir(w->d, &e);
}

static long call_getlk(struct world *w)
{
	struct flock fl = {.l_type = F_WRLCK};

	return pf_lock(w->f, F_GETLK, &fl);
}

static long call_setlk(struct world *w)
{
	struct flock fl = {.l_type = F_WRLCK};

	return pf_lock(w->f, F_SETLK, &fl);
}

static long call_setlkw(struct world *w)
{
	struct flock fl = {.l_type = F_WRLCK};

	return pf_lock(w->f, F_SETLKW, &fl);
}

static long call_access(struct world *w)
{
	return pf_access(w->m->fs, "foo", R_OK);
}

static long call_ioctl(struct world *w)
{
	char arg[16];

	return pf_ioctl(w->f, _IOR('P', 1, char[16]), arg);
}

static long call_poll(struct world *w)
{
	int r = pf_poll(w->f, POLLIN, 0);

	return r == POLLERR ? -EIO : r; /* how poll says it */
}

static long call_fallocate(struct world *w)
{
	return pf_fallocate(w->f, 0, 0, 10);
}

static long call_lseek(struct world *w)
{
	return pf_lseek(w->f, 1, SEEK_DATA);
}

static long call_copy(struct world *w)
{
	off_t in = 0, out = 50;

	return pf_copy_file_range(w->f, &in, w->f, &out, 10, 0);
}

static long call_syncfs(struct world *w)
{
	return pf_syncfs(w->m->fs);
}

static const struct op {
	uint32_t opcode;
	size_t size; /* of the reply's body */
	long (*call)(struct world *w);
	uint32_t minor; /* 0 any */
	uint64_t flags;
} ops[] = {
    {FUSE_LOOKUP, 128, call_lookup},
    {FUSE_GETATTR, 104, call_getattr},
    {FUSE_SETATTR, 104, call_setattr},
    {FUSE_READLINK, NONE, call_readlink},
    {FUSE_SYMLINK, 128, call_symlink},
    {FUSE_MKNOD, 128, call_mknod},
    {FUSE_MKDIR, 128, call_mkdir},
    {FUSE_UNLINK, 0, call_unlink},
    {FUSE_RMDIR, 0, call_rmdir},
    {FUSE_RENAME, 0, call_rename},
    {FUSE_LINK, 128, call_link},
    {FUSE_OPEN, 16, call_open},
    {FUSE_READ, NONE, call_read},
    {FUSE_WRITE, 8, call_write},
    {FUSE_STATFS, 80, call_statfs},
    {FUSE_FSYNC, 0, call_fsync},
    {FUSE_SETXATTR, 0, call_setxattr},
    {FUSE_GETXATTR, NONE, call_getxattr},
    {FUSE_GETXATTR, 8, call_getxattr_size},
    {FUSE_LISTXATTR, NONE, call_listxattr},
    {FUSE_LISTXATTR, 8, call_listxattr_size},
    {FUSE_REMOVEXATTR, 0, call_removexattr},
    {FUSE_FLUSH, 0, call_flush},
    {FUSE_OPENDIR, 16, call_opendir},
    {FUSE_READDIR, NONE, call_readdir},
    {FUSE_FSYNCDIR, 0, call_fsyncdir},
    {FUSE_GETLK, 24, call_getlk, 0, FUSE_POSIX_LOCKS},
    {FUSE_SETLK, 0, call_setlk, 0, FUSE_POSIX_LOCKS},
    {FUSE_SETLKW, 0, call_setlkw, 0, FUSE_POSIX_LOCKS},
    {FUSE_ACCESS, 0, call_access},
    {FUSE_CREATE, 144, call_create},
    {FUSE_IOCTL, NONE, call_ioctl},
    {FUSE_POLL, 8, call_poll},
    {FUSE_FALLOCATE, 0, call_fallocate},
    {FUSE_READDIRPLUS, NONE, call_readdir, 0, FUSE_DO_READDIRPLUS},
    {FUSE_RENAME2, 0, call_rename2},
    {FUSE_LSEEK, 8, call_lseek},
    {FUSE_COPY_FILE_RANGE, 8, call_copy, 44},
    {FUSE_COPY_FILE_RANGE_64, 8, call_copy},
    {FUSE_SYNCFS, 0, call_syncfs},
    {FUSE_TMPFILE, 144, call_tmpfile},
    {FUSE_STATX, 288, call_statx},
};

/* What a reply says, and whether it is a whole one. */
struct answer {
	int32_t error;
	size_t len;
};

static void send_answer(struct mock_req *req, void *ctx)
{
	const struct answer *a = ctx;
	char *zeros = calloc(1, a->len + 1);

	mock_send(req->m, req->h.unique, a->error, zeros, a->len);
	free(zeros);
}

static void must_fail(const struct op *op, struct answer a)
{
	struct world w = begin(op->minor, op->flags);
	struct mock_expect *e = mock_expect(w.m, op->opcode, MOCK_ANY, NULL);
	long r;

	/* First come, first served: this one before those that always answer. */
	pthread_mutex_lock(&w.m->lock);
	pf__list_del(&e->link);
	pf__list_add_head(&w.m->expects, &e->link);
	pthread_mutex_unlock(&w.m->lock);
	mock_fn_set(e, send_answer, &a);
	r = op->call(&w);
	if (r != -EIO)
		fail_msg("opcode %u, error %d with %zu bytes: %ld", op->opcode, a.error, a.len, r);
	end(&w);
}

/* Rule 12.1: one byte too few, one too many, far too many; for replies without a fixed size more
 * than was asked for. */
static void every_size(void **state)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (ops[i].size == NONE) {
			must_fail(&ops[i], (struct answer){0, 200000});
			continue;
		}
		if (ops[i].size) {
			must_fail(&ops[i], (struct answer){0, 0});
			must_fail(&ops[i], (struct answer){0, ops[i].size - 1});
		}
		must_fail(&ops[i], (struct answer){0, ops[i].size + 1});
		must_fail(&ops[i], (struct answer){0, 70000});
	}
}

/* Rule 12.2: an error has no body. */
static void every_error_with_a_body(void **state)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		must_fail(&ops[i], (struct answer){-EAGAIN, 1});
		if (ops[i].size && ops[i].size != NONE)
			must_fail(&ops[i], (struct answer){-EACCES, ops[i].size});
	}
}

static void send_rubbish(struct mock_req *req, void *ctx)
{
	char zeros[300] = {0};

	mock_send(req->m, req->h.unique, -EIO, zeros, 8);
	mock_send(req->m, req->h.unique, 0, zeros, sizeof(zeros));
	mock_send(req->m, req->h.unique, 0, NULL, 0);
}

/* Answers that nobody waits for, and answers to what has none: nothing comes of them. */
static void rubbish_to_nobody(void **state)
{
	struct mock_options o = {.strict_destroy = true};
	struct mock *m = mock_start(&o);
	struct mock_expect *forget;
	struct pf_file *f, *d;

	mock_lookup(m, 1, "foo", 42, REG, 100, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_opendir(m, 1, 0);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	ok(pf_open(m->fs, "/", O_RDONLY, 0, &d));
	mock_flush(m, 42);
	mock_fn_set(mock_release(m, 42), send_rubbish, NULL);
	mock_fn_set(mock_releasedir(m, 1), send_rubbish, NULL);
	ok(pf_close(f));
	ok(pf_close(d));
	forget =
	    mock_fn_set(mock_any_times(mock_expect(m, FUSE_FORGET, 42, NULL)), send_rubbish, NULL);
	mock_notify_inval_entry(m, 1, "foo", 0);
	mock_wait_forgotten(m, 42, 1);
	mock_settle(m);
	assert_int_equal(forget->seen, 1);
	mock_fn_set(mock_expect(m, FUSE_DESTROY, 0, NULL), send_rubbish, NULL);
	pf_stop(m->fs);
	m->fs = NULL;
	mock_end(m);
}

/* ---- rule 12.10: what create types may answer */

static const struct made {
	uint32_t opcode, type, other;
	long (*call)(struct world *w);
} makers[] = {
    {FUSE_MKNOD, S_IFIFO, S_IFSOCK, call_mknod},    {FUSE_MKDIR, S_IFDIR, S_IFREG, call_mkdir},
    {FUSE_SYMLINK, S_IFLNK, S_IFREG, call_symlink}, {FUSE_LINK, S_IFREG, S_IFDIR, call_link},
    {FUSE_CREATE, S_IFREG, S_IFIFO, call_create},   {FUSE_TMPFILE, S_IFREG, S_IFDIR, call_tmpfile},
};

static struct world answer_made(const struct made *how, const struct fuse_entry_out *e)
{
	struct fuse_create_out o = {.entry = *e, .open = {.fh = MOCK_FH}};
	bool opens = how->opcode == FUSE_CREATE || how->opcode == FUSE_TMPFILE;
	struct world w = begin(0, 0);

	mock_body(mock_expect(w.m, how->opcode, NEW_DIR, NULL), &o,
		  opens ? sizeof(o) : sizeof(o.entry));
	return w;
}

static void refused(const struct made *how, struct fuse_entry_out e)
{
	struct world w = answer_made(how, &e);
	long r;

	/* The entry that names its own directory is sound otherwise: lookup and handle go back. */
	if (e.nodeid == NEW_DIR)
		mock_any_times(mock_empty(w.m, FUSE_RELEASE, NEW_DIR));
	r = how->call(&w);
	if (r != -EIO)
		fail_msg("opcode %u: node %" PRIu64 ", mode %o, size %" PRIu64 " gave %ld",
			 how->opcode, e.nodeid, e.attr.mode, e.attr.size, r);
	mock_settle(w.m);
	if (e.nodeid == NEW_DIR)
		mock_wait_forgotten(w.m, NEW_DIR, 1);
	else if (mock_forgotten(w.m, 50) || mock_count(w.m, FUSE_RELEASE))
		fail_msg("opcode %u: node %" PRIu64 ", mode %o: given back", how->opcode, e.nodeid,
			 e.attr.mode);
	end(&w);
}

static void what_is_made(void **state)
{
	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
		const struct made *how = &makers[i];
		uint32_t mode = how->type | 0644;

		refused(how, mock_entry(0, mode, 0, 0, 0));
		refused(how, mock_entry(1, mode, 0, 0, 0));
		refused(how, mock_entry(50, 0644, 0, 0, 0));
		refused(how, mock_entry(50, S_IFMT | 0644, 0, 0, 0));
		refused(how, mock_entry(50, mode, 1ull << 63, 0, 0));
		refused(how, mock_entry(50, how->other | 0644, 0, 0, 0));
		refused(how, mock_entry(NEW_DIR, mode, 0, 0, 0));
	}
}

/* Rule 12.25 for CREATE: the entry was good, so that handle and lookup are given back. */
static void created_with_bad_flags(void **state)
{
	for (size_t i = 4; i < sizeof(makers) / sizeof(makers[0]); i++) {
		struct fuse_create_out o = {.entry = mock_entry(50, REG, 0, 0, 0),
					    .open = {.fh = 77, .open_flags = FOPEN_PASSTHROUGH}};
		struct world w = begin(0, 0);

		mock_body(mock_expect(w.m, makers[i].opcode, NEW_DIR, NULL), &o, sizeof(o));
		mock_empty(w.m, FUSE_RELEASE, 50);
		fails(makers[i].call(&w), EIO);
		mock_wait_forgotten(w.m, 50, 1);
		end(&w);
	}
}

/* ---- names that are asked for again */

static struct mock *start_expired(void)
{
	struct fuse_entry_out e = mock_entry(42, REG, 10, 0, 0);
	struct mock_options o = {.lookup_leak = true};
	struct mock *m = mock_start(&o);

	mock_lookup_entry(m, 1, "foo", &e);
	ok(pf_access(m->fs, "foo", F_OK));
	mock_log(m);
	return m;
}

/* Rules 12.8 and 12.9: the name is void and asked for afresh. */
static void revalidated(struct fuse_entry_out second, uint64_t given_back)
{
	struct fuse_entry_out third = mock_entry(60, REG, 77, MOCK_FOREVER, MOCK_FOREVER);
	struct mock *m = start_expired();
	struct stat st;

	mock_lookup_entry(m, 1, "foo", &second);
	mock_lookup_entry(m, 1, "foo", &third);
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_ino, 60);
	assert_log(m, "LOOKUP(1,foo) LOOKUP(1,foo)");
	mock_wait_forgotten(m, 42, given_back);
	if (second.nodeid == 43)
		mock_wait_forgotten(m, 43, 1);
	mock_end(m);
}

static void revalidations(void **state)
{
	struct fuse_entry_out other_generation = mock_entry(42, REG, 10, 0, 0);

	other_generation.generation = 1;
	revalidated(mock_entry(43, REG, 10, 0, 0), 1);
	revalidated(mock_entry(42, DIR_, 10, 0, 0), 2);
	revalidated(other_generation, 2);
	revalidated(mock_entry(42, 0, 10, 0, 0), 2);
	revalidated(mock_entry(42, REG, 1ull << 63, 0, 0), 2);
	revalidated(mock_entry(43, 0, 10, 0, 0), 1);
	revalidated(mock_entry(1, DIR_, 0, 0, 0), 1);
	revalidated(mock_entry(0, 0, 0, 0, 0), 1);
}

/* An error voids the name, unless it says only that nothing was learned. */
static void revalidation_errors(void **state)
{
	static const int voids[] = {ENOENT, EACCES, EIO, ESTALE};
	struct mock *m;

	for (size_t i = 0; i < sizeof(voids) / sizeof(voids[0]); i++) {
		m = start_expired();
		mock_lookup_error(m, 1, "foo", voids[i]);
		mock_lookup_error(m, 1, "foo", ENOENT);
		fails(pf_access(m->fs, "foo", F_OK), ENOENT);
		mock_wait_forgotten(m, 42, 1);
		mock_end(m);
	}
	m = start_expired();
	mock_lookup_error(m, 1, "foo", ENOMEM);
	fails(pf_access(m->fs, "foo", F_OK), ENOMEM);
	mock_lookup_error(m, 1, "foo", EINTR);
	fails(pf_access(m->fs, "foo", F_OK), EINTR);
	mock_settle(m);
	assert_int_equal(mock_forgotten(m, 42), 0);
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_size),
	    cmocka_unit_test(every_error_with_a_body),
	    cmocka_unit_test(rubbish_to_nobody),
	    cmocka_unit_test(what_is_made),
	    cmocka_unit_test(created_with_bad_flags),
	    cmocka_unit_test(revalidations),
	    cmocka_unit_test(revalidation_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
