// SPDX-License-Identifier: BSD-2-Clause
/* POSIX, OFD and flock locks: at the server, or local when it has none. */
#include "tests/behave/behave.h"

#include <sys/file.h>

#define REG (S_IFREG | 0644)

static struct mock *start_open(uint64_t flags, uint64_t size, struct pf_file **f)
{
	struct mock_options o = {.flags = flags};
	struct mock *m = mock_start(&o);

	mock_lookup(m, 1, "foo", 42, REG, size, MOCK_FOREVER);
	mock_any_times(mock_open(m, 42, 0));
	mock_any_times(mock_flush(m, 42));
	mock_any_times(mock_release(m, 42));
	ok(pf_open(m->fs, "foo", O_RDWR, 0, f));
	return m;
}

static void finish(struct mock *m, struct pf_file *f)
{
	ok(pf_close(f));
	mock_end(m);
}

struct want {
	uint64_t start, end;
	uint32_t type, lk_flags;
	uint32_t pid;
	uint64_t owner; /* of the last match */
};

static bool lock_is(const struct mock_req *req, void *ctx)
{
	const struct fuse_lk_in *in = req->arg;
	struct want *w = ctx;

	if (in->fh != MOCK_FH || in->lk.start != w->start || in->lk.end != w->end ||
	    in->lk.type != w->type || in->lk_flags != w->lk_flags)
		return false;
	if (w->pid && in->lk.pid != w->pid)
		return false;
	w->owner = in->owner;
	return true;
}

static struct mock_expect *expect_lock(struct mock *m, uint32_t opcode, struct want *w)
{
	return mock_match(mock_expect(m, opcode, 42, NULL), lock_is, w);
}

static void getlk_none(void **state)
{
	struct want w = {10, 1009, 0, 0, 0, 0};
	struct fuse_lk_out out = {.lk = {.start = 99, .end = 100, .type = 2, .pid = 77}};
	struct flock fl = {
	    .l_start = 10, .l_len = 1000, .l_pid = 42, .l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct pf_file *f;
	struct mock *m = start_open(FUSE_POSIX_LOCKS, 0, &f);

	mock_body(expect_lock(m, FUSE_GETLK, &w), &out, sizeof(out));
	ok(pf_lock(f, F_GETLK, &fl));
	assert_int_equal(fl.l_type, F_UNLCK);
	assert_int_equal(fl.l_start, 10);
	assert_int_equal(fl.l_len, 1000);
	assert_int_equal(fl.l_pid, 42);
	finish(m, f);
}

static void getlk_conflict(void **state)
{
	struct want w = {500, 509, 0, 0, 0, 0};
	struct fuse_lk_out out = {.lk = {.start = 100, .end = 199, .type = F_WRLCK, .pid = 1235}};
	struct flock fl = {.l_start = 0, .l_len = 10, .l_type = F_RDLCK, .l_whence = SEEK_CUR};
	struct pf_file *f;
	struct mock *m = start_open(FUSE_POSIX_LOCKS, 1024, &f);

	assert_int_equal(pf_lseek(f, 500, SEEK_SET), 500);
	mock_body(expect_lock(m, FUSE_GETLK, &w), &out, sizeof(out));
	ok(pf_lock(f, F_GETLK, &fl));
	assert_int_equal(fl.l_type, F_WRLCK);
	assert_int_equal(fl.l_whence, SEEK_SET);
	assert_int_equal(fl.l_start, 100);
	assert_int_equal(fl.l_len, 100);
	assert_int_equal(fl.l_pid, 1235);
	out.lk.type = F_RDLCK;
	fl = (struct flock){.l_start = 500, .l_len = 10, .l_type = F_WRLCK};
	w.type = F_WRLCK;
	mock_body(expect_lock(m, FUSE_GETLK, &w), &out, sizeof(out));
	ok(pf_lock(f, F_GETLK, &fl));
	assert_int_equal(fl.l_type, F_RDLCK);
	finish(m, f);
}

static void getlk_seek_end(void **state)
{
	struct want w = {512, 1023, 0, 0, 0, 0};
	struct fuse_lk_out out = {.lk = {.type = F_UNLCK}};
	struct flock fl = {.l_start = -512, .l_len = 512, .l_type = F_RDLCK, .l_whence = SEEK_END};
	struct pf_file *f;
	struct mock *m = start_open(FUSE_POSIX_LOCKS, 1024, &f);

	mock_body(expect_lock(m, FUSE_GETLK, &w), &out, sizeof(out));
	ok(pf_lock(f, F_GETLK, &fl));
	finish(m, f);
}

static void getlk_ofd_owner(void **state)
{
	struct fuse_lk_out out = {.lk = {.end = INT64_MAX, .type = F_WRLCK, .pid = -1u}};
	struct flock fl = {.l_type = F_RDLCK};
	struct pf_file *f;
	struct mock *m = start_open(FUSE_POSIX_LOCKS, 1024, &f);

	mock_body(mock_expect(m, FUSE_GETLK, 42, NULL), &out, sizeof(out));
	ok(pf_lock(f, F_GETLK, &fl));
	assert_int_equal(fl.l_pid, -1);
	assert_int_equal(fl.l_len, 0);
	finish(m, f);
}

static void getlk_malformed(void **state)
{
	static const struct fuse_lk_out bad[] = {
	    {{0, 10, 7, 1}},
	    {{1ull << 63, UINT64_MAX, F_WRLCK, 1}},
	    {{0, 1ull << 63, F_WRLCK, 1}},
	    {{10, 9, F_WRLCK, 1}},
	    {{0, 10, F_WRLCK, 0x80000000}},
	    {{0, 10, F_WRLCK, UINT32_MAX - 1}},
	};
	struct pf_file *f;
	struct mock *m = start_open(FUSE_POSIX_LOCKS, 1024, &f);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct flock fl = {.l_type = F_RDLCK};

		mock_body(mock_expect(m, FUSE_GETLK, 42, NULL), &bad[i], sizeof(bad[i]));
		fails(pf_lock(f, F_GETLK, &fl), EIO);
	}
	finish(m, f);
}

static void setlk(void **state)
{
	struct want w = {10, 1009, F_RDLCK, 0, 0, 0};
	struct want all = {10, INT64_MAX, F_WRLCK, 0, 0, 0}, un = {0, INT64_MAX, F_UNLCK, 0, 0, 0};
	struct want cur = {500, 509, F_RDLCK, 0, 0, 0}, end = {1000, 1009, F_RDLCK, 0, 0, 0};
	struct flock fl = {.l_start = 10, .l_len = 1000, .l_type = F_RDLCK};
	struct flock fall = {.l_start = 10, .l_type = F_WRLCK}, fun = {.l_type = F_UNLCK};
	struct flock fcur = {.l_len = 10, .l_type = F_RDLCK, .l_whence = SEEK_CUR};
	struct flock fend = {.l_start = -24, .l_len = 10, .l_type = F_RDLCK, .l_whence = SEEK_END};
	struct pf_file *f;
	struct mock *m = start_open(FUSE_POSIX_LOCKS, 1024, &f);

	w.pid = all.pid = getpid();
	expect_lock(m, FUSE_SETLK, &w);
	ok(pf_lock(f, F_SETLK, &fl));
	expect_lock(m, FUSE_SETLK, &all);
	ok(pf_lock(f, F_SETLK, &fall));
	assert_true(w.owner && w.owner == all.owner);
	expect_lock(m, FUSE_SETLK, &un);
	ok(pf_lock(f, F_SETLK, &fun));
	pf_lseek(f, 500, SEEK_SET);
	expect_lock(m, FUSE_SETLK, &cur);
	ok(pf_lock(f, F_SETLK, &fcur));
	expect_lock(m, FUSE_SETLK, &end);
	ok(pf_lock(f, F_SETLK, &fend));
	expect_lock(m, FUSE_SETLKW, &w);
	ok(pf_lock(f, F_SETLKW, &fl));
	mock_error(mock_expect(m, FUSE_SETLK, 42, NULL), EAGAIN);
	fails(pf_lock(f, F_SETLK, &fl), EAGAIN);
	finish(m, f);
}

struct handle {
	uint64_t fh, owner;
};

static bool locks_through(const struct mock_req *req, void *ctx)
{
	const struct fuse_lk_in *in = req->arg;
	struct handle *h = ctx;

	h->owner = in->owner;
	return in->fh == h->fh;
}

static bool flushes_through(const struct mock_req *req, void *ctx)
{
	const struct fuse_flush_in *in = req->arg;
	const struct handle *h = ctx;

	return in->fh == h->fh && in->lock_owner == h->owner;
}

/* SETLK carries the handle of the descriptor that was used. The FLUSH of any close names the same
 * owner: by that the server drops the process's locks, so no unlock is sent. */
static void issuing_handle(void **state)
{
	struct mock_options o = {.flags = FUSE_POSIX_LOCKS};
	struct fuse_open_out one = {.fh = 11}, two = {.fh = 12};
	struct handle first = {.fh = 11}, second = {.fh = 12};
	struct flock fl = {.l_type = F_RDLCK};
	struct mock *m = mock_start(&o);
	struct pf_file *f, *g;

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_body(mock_expect(m, FUSE_OPEN, 42, NULL), &one, sizeof(one));
	mock_body(mock_expect(m, FUSE_OPEN, 42, NULL), &two, sizeof(two));
	mock_times(mock_release(m, 42), 2);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &g));
	mock_match(mock_expect(m, FUSE_SETLK, 42, NULL), locks_through, &second);
	ok(pf_lock(g, F_SETLK, &fl));
	mock_match(mock_expect(m, FUSE_SETLK, 42, NULL), locks_through, &first);
	ok(pf_lock(f, F_SETLK, &fl));
	assert_true(first.owner && first.owner == second.owner);
	mock_match(mock_flush(m, 42), flushes_through, &second);
	ok(pf_close(g));
	mock_match(mock_flush(m, 42), flushes_through, &first);
	ok(pf_close(f));
	mock_end(m);
}

static void ofd_owners(void **state)
{
	struct want w = {0, INT64_MAX, F_RDLCK, 0, 0, 0};
	struct flock fl = {.l_type = F_RDLCK};
	struct pf_file *f, *g;
	struct mock *m = start_open(FUSE_POSIX_LOCKS, 0, &f);
	uint64_t first;

	ok(pf_open(m->fs, "foo", O_RDWR, 0, &g));
	mock_any_times(mock_match(mock_expect(m, FUSE_SETLK, 42, NULL), lock_is, &w));
	ok(pf_lock(f, F_OFD_SETLK, &fl));
	first = w.owner;
	ok(pf_lock(g, F_OFD_SETLK, &fl));
	assert_true(first && w.owner && first != w.owner);
	fl.l_pid = 5;
	fails(pf_lock(f, F_OFD_SETLK, &fl), EINVAL);
	mock_any_times(mock_expect(m, FUSE_SETLK, 42, NULL));
	ok(pf_close(g));
	finish(m, f);
}

static void local_posix(void **state)
{
	struct flock fl = {.l_type = F_WRLCK, .l_start = 10, .l_len = 10};
	struct flock probe = {.l_type = F_RDLCK, .l_start = 15, .l_len = 1};
	struct pf_caller other = {.size = sizeof(other), .pid = 4242};
	struct pf_file *f, *g;
	struct pf_fs *view;
	struct mock *m = start_open(0, 0, &f);

	ok(pf_as(m->fs, &other, &view));
	ok(pf_open(view, "foo", O_RDWR, 0, &g));
	ok(pf_lock(f, F_SETLK, &fl));
	ok(pf_lock(f, F_SETLKW, &fl));
	ok(pf_lock(g, F_GETLK, &probe));
	assert_int_equal(probe.l_type, F_WRLCK);
	assert_int_equal(probe.l_start, 10);
	assert_int_equal(probe.l_len, 10);
	assert_int_equal(probe.l_pid, getpid());
	probe = (struct flock){.l_type = F_RDLCK, .l_start = 15, .l_len = 1};
	fails(pf_lock(g, F_SETLK, &probe), EAGAIN);
	/* Any close of the file by the owner drops his locks. */
	ok(pf_close(f));
	ok(pf_lock(g, F_SETLK, &probe));
	pf_view_free(view);
	finish(m, g);
}

static void local_flock(void **state)
{
	struct pf_file *f, *g;
	struct mock *m = start_open(FUSE_POSIX_LOCKS, 0, &f);

	ok(pf_open(m->fs, "foo", O_RDWR, 0, &g));
	ok(pf_flock(f, LOCK_EX));
	fails(pf_flock(g, LOCK_EX | LOCK_NB), EAGAIN);
	ok(pf_flock(f, LOCK_UN));
	ok(pf_flock(g, LOCK_EX | LOCK_NB));
	fails(pf_flock(g, 0), EINVAL);
	assert_int_equal(mock_count(m, FUSE_SETLK), 0);
	ok(pf_close(g));
	finish(m, f);
}

static bool releases_flock(const struct mock_req *req, void *ctx)
{
	const struct fuse_release_in *in = req->arg;

	return in->release_flags & FUSE_RELEASE_FLOCK_UNLOCK && in->lock_owner == *(uint64_t *)ctx;
}

static void remote_flock(void **state)
{
	struct want ex = {0, INT64_MAX, F_WRLCK, FUSE_LK_FLOCK, 0, 0}, nb = ex;
	struct mock_options o = {.flags = FUSE_FLOCK_LOCKS};
	struct mock *m = mock_start(&o);
	struct pf_file *f;

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_flush(m, 42);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	expect_lock(m, FUSE_SETLKW, &ex);
	ok(pf_flock(f, LOCK_EX));
	mock_error(expect_lock(m, FUSE_SETLK, &nb), EAGAIN);
	fails(pf_flock(f, LOCK_EX | LOCK_NB), EAGAIN);
	assert_true(ex.owner);
	mock_match(mock_release(m, 42), releases_flock, &ex.owner);
	ok(pf_close(f));
	mock_end(m);
}

/* A duplicate has the same owner; the lock lasts until the last of them is closed. Another open
 * has another owner. */
static void flock_belongs_to_the_open(void **state)
{
	struct mock_options o = {.flags = FUSE_FLOCK_LOCKS};
	struct want first = {0, INT64_MAX, F_RDLCK, FUSE_LK_FLOCK, 0, 0}, again = first;
	struct want second = first;
	struct mock *m = mock_start(&o);
	struct pf_file *f, *g, *h;

	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_times(mock_open(m, 42, 0), 2);
	mock_times(mock_flush(m, 42), 3);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &f));
	ok(pf_dup(f, &g));
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &h));
	expect_lock(m, FUSE_SETLKW, &first);
	ok(pf_flock(f, LOCK_SH));
	expect_lock(m, FUSE_SETLKW, &again);
	ok(pf_flock(g, LOCK_SH));
	expect_lock(m, FUSE_SETLKW, &second);
	ok(pf_flock(h, LOCK_SH));
	assert_true(first.owner == again.owner && first.owner != second.owner);
	ok(pf_close(f));
	mock_settle(m);
	assert_int_equal(mock_count(m, FUSE_RELEASE) + mock_count(m, FUSE_SETLK), 0);
	mock_match(mock_release(m, 42), releases_flock, &first.owner);
	ok(pf_close(g));
	mock_settle(m);
	mock_match(mock_release(m, 42), releases_flock, &second.owner);
	ok(pf_close(h));
	mock_end(m);
}

struct locker {
	struct pf_file *f;
	pthread_t thread;
	int result;
};

static void *locks(void *arg)
{
	struct locker *l = arg;

	l->result = pf_flock(l->f, LOCK_EX);
	return NULL;
}

/* While one waits in SETLKW, the holder's close gets through. */
static void waiter_does_not_block_close(void **state)
{
	struct pf_file *f, *g;
	struct mock *m = start_open(FUSE_FLOCK_LOCKS, 0, &f);
	struct mock_expect *wait;
	struct locker l = {0};
	struct mock_req *req;

	ok(pf_open(m->fs, "foo", O_RDWR, 0, &g));
	mock_expect(m, FUSE_SETLKW, 42, NULL);
	ok(pf_flock(f, LOCK_EX));
	wait = mock_hold(mock_expect(m, FUSE_SETLKW, 42, NULL));
	l.f = g;
	assert_int_equal(pthread_create(&l.thread, NULL, locks, &l), 0);
	req = mock_wait(wait);
	ok(pf_close(f));
	mock_answer(req, NULL, 0);
	pthread_join(l.thread, NULL);
	ok(l.result);
	finish(m, g);
}

/* Likewise with local locks: the close gives the lock to the waiter. */
static void local_waiter(void **state)
{
	struct pf_file *f, *g;
	struct mock *m = start_open(0, 0, &f);
	struct locker l = {0};

	ok(pf_open(m->fs, "foo", O_RDWR, 0, &g));
	ok(pf_flock(f, LOCK_EX));
	l.f = g;
	assert_int_equal(pthread_create(&l.thread, NULL, locks, &l), 0);
	ok(pf_close(f));
	pthread_join(l.thread, NULL);
	ok(l.result);
	finish(m, g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(getlk_none),
	    cmocka_unit_test(getlk_conflict),
	    cmocka_unit_test(getlk_seek_end),
	    cmocka_unit_test(getlk_ofd_owner),
	    cmocka_unit_test(getlk_malformed),
	    cmocka_unit_test(setlk),
	    cmocka_unit_test(ofd_owners),
	    cmocka_unit_test(issuing_handle),
	    cmocka_unit_test(local_posix),
	    cmocka_unit_test(local_flock),
	    cmocka_unit_test(remote_flock),
	    cmocka_unit_test(flock_belongs_to_the_open),
	    cmocka_unit_test(waiter_does_not_block_close),
	    cmocka_unit_test(local_waiter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
