// SPDX-License-Identifier: BSD-2-Clause
/*
 * A fixed session (create, ten writes, one asynchronous, rename, readdir, close), spoilt in every
 * way at every step: the N-th message lost, cut, doubled, delayed, reordered, corrupted; the N-th
 * allocation failed; the server gone at every step. Each call returns within the deadline with a
 * clear errno, and memory and descriptors come back to where they were.
 */
#include "tests/behave/behave.h"

#include "base/alloc.h"
#include "base/rcu.h"

#include <dirent.h>
#include <time.h>

#define REG         (S_IFREG | 0644)
#define LOST_MS     100
#define PATIENCE_MS 20000 /* for a busy machine; what hangs does so for ever */

static bool inproc;

/* ---- the server's part */

struct play {
	int at;     /* hang up at this request, counted from 1 with INIT; 0 never */
	bool after; /* after answering it */
	_Atomic int seen;
	_Atomic bool created; /* "a" is there from now on */
};

static void count_and_maybe_die(struct mock_req *req, struct play *p, const void *body, size_t len,
				int err)
{
	bool now = ++p->seen == p->at;

	if (now && !p->after) {
		mock_hang_up(req->m);
		return;
	}
	if (err)
		mock_answer_error(req, err);
	else
		mock_answer(req, body, len);
	if (now)
		mock_hang_up(req->m);
}

static void serve(struct mock_req *req, void *ctx)
{
	struct fuse_entry_out file = mock_entry(42, REG, 0, 0, 0);
	struct fuse_create_out created = {.entry = file, .open = {.fh = MOCK_FH}};
	struct fuse_attr_out attr = {
	    .attr = mock_attr(req->h.nodeid, req->h.nodeid == 1 ? S_IFDIR | 0755 : REG, 0)};
	struct fuse_write_out written = {0};
	struct fuse_open_out opened = {.fh = MOCK_FH};
	char dir[256] = {0};
	struct play *p = ctx;

	switch (req->h.opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		return;
	case FUSE_INTERRUPT:
		mock_answer_error(req, ENOSYS);
		return;
	case FUSE_LOOKUP:
		if (p->created && !strcmp(req->name, "a"))
			count_and_maybe_die(req, p, &file, sizeof(file), 0);
		else
			count_and_maybe_die(req, p, NULL, 0, ENOENT);
		return;
	case FUSE_CREATE:
		p->created = true;
		count_and_maybe_die(req, p, &created, sizeof(created), 0);
		return;
	case FUSE_GETATTR:
		count_and_maybe_die(req, p, &attr, sizeof(attr), 0);
		return;
	case FUSE_WRITE:
		written.size = ((const struct fuse_write_in *)req->arg)->size;
		count_and_maybe_die(req, p, &written, sizeof(written), 0);
		return;
	case FUSE_OPENDIR:
		count_and_maybe_die(req, p, &opened, sizeof(opened), 0);
		return;
	case FUSE_READDIR:
		count_and_maybe_die(req, p, dir,
				    ((const struct fuse_read_in *)req->arg)->offset
					? 0
					: mock_dirent(dir, 0, 42, 1, DT_REG, "b"),
				    0);
		return;
	case FUSE_GETXATTR:
		count_and_maybe_die(req, p, NULL, 0, ENODATA);
		return;
	default:
		count_and_maybe_die(req, p, NULL, 0, 0);
	}
}

static int serve_init(struct mock *m, struct mock_req *req, void *ctx)
{
	struct play *p = ctx;

	if (++p->seen != p->at)
		return 0;
	if (!p->after) {
		mock_hang_up(m);
		return 1;
	}
	return 0;
}

/* ---- the client's part */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

static int worst; /* how many calls of the last session failed */

static void judge(const char *what, long r, uint64_t since)
{
	static const int clear[] = {EIO,   ENOTCONN,     ECONNABORTED, ETIMEDOUT, ENOMEM, ENOENT,
				    EINTR, ECONNREFUSED, EBADF,        ENOSPC,    EPROTO};
	uint64_t took = now_ms() - since;

	if (took > PATIENCE_MS)
		fail_msg("%s took %" PRIu64 " ms", what, took);
	if (r >= 0)
		return;
	worst++;
	for (size_t i = 0; i < sizeof(clear) / sizeof(clear[0]); i++)
		if (r == -clear[i])
			return;
	/* A corrupted error code is still the server's word. */
	if (r < -511)
		fail_msg("%s gave %ld", what, r);
}

#define TRY(call)                                                                                  \
	({                                                                                         \
		uint64_t try_since = now_ms();                                                     \
		long try_r = (call);                                                               \
		judge(#call, try_r, try_since);                                                    \
		try_r;                                                                             \
	})

struct aio {
	_Atomic int calls;
	ssize_t result;
};

static void aio_done(void *ctx, ssize_t result)
{
	struct aio *a = ctx;

	a->result = result;
	a->calls++;
}

/* Its callback comes, and once, exactly when the call was taken. */
static ssize_t aio_write_and_wait(struct pf_file *f)
{
	uint64_t since = now_ms();
	struct aio a = {0};
	int r = pf_aio_write(f, "0123456789", 10, 100, aio_done, &a);

	while (!r && !a.calls && now_ms() - since <= PATIENCE_MS)
		nanosleep(&(struct timespec){0, 100000}, NULL);
	if (a.calls != !r)
		fail_msg("%d callbacks after pf_aio_write gave %d", a.calls, r);
	return r ? r : a.result;
}

static void session(struct pf_fs *fs)
{
	struct pf_file *f = NULL, *d = NULL;
	struct pf_dirent e;

	if (TRY(pf_open(fs, "a", O_CREAT | O_RDWR, 0644, &f)) >= 0)
		for (int i = 0; i < 10; i++)
			TRY(pf_pwrite(f, "0123456789", 10, i * 10));
	if (f)
		TRY(aio_write_and_wait(f));
	TRY(pf_rename(fs, "a", "b"));
	if (TRY(pf_open(fs, "/", O_RDONLY | O_DIRECTORY, 0, &d)) >= 0) {
		for (int i = 0; i < 5 && TRY(pf_readdir(d, &e)) > 0; i++)
			;
		TRY(pf_close(d));
	}
	if (f)
		TRY(pf_close(f));
}

struct before {
	int64_t blocks;
	int fds;
};

static struct before measure(void)
{
	pf__rcu_barrier();
	return (struct before){pf__alloc_live(), mock_open_fds()};
}

/* One whole life under a plan. Returns the number of requests that the server saw. */
static int live(const char *faults, struct play *play, uint64_t alloc_at)
{
	struct mock_options o = {.inproc = inproc,
				 .pf_set = true,
				 .pf = PF_OPTIONS_INIT,
				 .no_root_auto = true,
				 .strict_destroy = true,
				 .lookup_leak = true,
				 .init_fn = serve_init,
				 .init_ctx = play,
				 .expect_attach = 1};
	struct before before = measure(), after;
	struct mock *m;
	int r;

	o.pf.faults = faults;
	/* Where nothing is lost, no deadline may pass, however busy the machine is. */
	o.pf.request_timeout_ms = faults ? LOST_MS : PATIENCE_MS;
	o.pf.start_timeout_ms = o.pf.request_timeout_ms;
	worst = 0;
	m = mock_new(&o);
	mock_fn_set(mock_any_times(mock_expect(m, 0, MOCK_ANY, NULL)), serve, play);
	if (alloc_at)
		pf__alloc_fail_at(alloc_at, 0);
	r = TRY(mock_attach(m));
	if (r == 0)
		session(m->fs);
	if (m->fs) {
		uint64_t since = now_ms();

		pf_stop(m->fs);
		m->fs = NULL;
		judge("pf_stop", 0, since);
	}
	if (alloc_at)
		pf__alloc_fail_at(0, 0);
	m->errors[0] = 0; /* what reached the server was spoilt on purpose */
	mock_end(m);
	after = measure();
	if (after.blocks != before.blocks || after.fds != before.fds)
		fail_msg("%s, server's end at %d%s, allocation %" PRIu64 ": %" PRId64
			 " blocks and %d descriptors are left",
			 faults ? faults : "no faults", play->at, play->after ? " after" : "",
			 alloc_at, after.blocks - before.blocks, after.fds - before.fds);
	return play->seen;
}

static int steps; /* requests of an unspoilt session */

static int unspoilt(void **state)
{
	struct play play = {0};

	inproc = getenv("MOCK_INPROC") != NULL;
	live(NULL, &play, 0); /* first time: what the process keeps for ever */
	play = (struct play){0};
	steps = live(NULL, &play, 0);
	assert_int_equal(worst, 0);
	assert_true(steps > 15);
	return 0;
}

static void each_message(const char *format)
{
	char plan[64];

	for (int n = 1; n <= steps + 1; n++) {
		struct play play = {0};

		snprintf(plan, sizeof(plan), format, n);
		live(plan, &play, 0);
	}
}

static void lost(void **state)
{
	each_message("drop=%d");
}

static void lost_on_the_way(void **state)
{
	each_message("tx-drop=%d");
}

static void cut(void **state)
{
	each_message("seed=7,short=%d");
}

static void doubled(void **state)
{
	each_message("dup=%d");
}

static void delayed(void **state)
{
	each_message("delay=%d:20");
}

static void reordered(void **state)
{
	each_message("reorder=%d");
}

static void corrupted(void **state)
{
	for (int seed = 1; seed <= 5; seed++) {
		char format[32];

		snprintf(format, sizeof(format), "seed=%d,corrupt=%%d", seed);
		each_message(format);
	}
}

static void disconnected(void **state)
{
	each_message("disconnect=%d");
	each_message("tx-disconnect=%d");
}

static void server_gone(void **state)
{
	for (int n = 1; n <= steps; n++)
		for (int after = 0; after < 2; after++) {
			struct play play = {.at = n, .after = after};

			live(NULL, &play, 0);
		}
}

static void allocations(void **state)
{
	uint64_t most;
	struct play play = {0};

	pf__alloc_fail_at(0, 0);
	live(NULL, &play, 0);
	most = pf__alloc_count();
	assert_true(most > 5);
	for (uint64_t n = 1; n <= most + 2; n++) {
		struct play p = {0};

		live(NULL, &p, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lost),        cmocka_unit_test(lost_on_the_way),
	    cmocka_unit_test(cut),         cmocka_unit_test(doubled),
	    cmocka_unit_test(delayed),     cmocka_unit_test(reordered),
	    cmocka_unit_test(corrupted),   cmocka_unit_test(disconnected),
	    cmocka_unit_test(server_gone), cmocka_unit_test(allocations),
	};

	return cmocka_run_group_tests(tests, unspoilt, NULL);
}
