// SPDX-License-Identifier: BSD-2-Clause
/* What servers that answer by the dice found, and what reading the code did, one by one. */
#include "tests/behave/behave.h"

#include "base/alloc.h"

#include <dirent.h>
#include <poll.h>

#define REG         (S_IFREG | 0644)
#define SHORT_MS    300
#define PATIENCE_NS (MOCK_PATIENCE_S * 1000 * MS)

static struct mock *start_open(const struct mock_options *o, struct pf_file **f)
{
	struct mock *m = mock_start(o);

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_any_times(mock_flush(m, 42));
	mock_any_times(mock_release(m, 42));
	ok(pf_open(m->fs, "foo", O_RDWR, 0, f));
	return m;
}

/* ---- POLL: woken again and again, for nothing */

static void wake_and_answer(struct mock_req *req, void *ctx)
{
	struct fuse_notify_poll_wakeup_out wake = {.kh =
						       ((const struct fuse_poll_in *)req->arg)->kh};
	struct fuse_poll_out none = {0};

	mock_notify(req->m, FUSE_NOTIFY_POLL, &wake, sizeof(wake));
	mock_answer(req, &none, sizeof(none));
}

static void poll_storm(void **state)
{
	uint64_t since = pf__now();
	struct pf_file *f;
	struct mock *m = start_open(NULL, &f);

	mock_any_times(mock_fn_set(mock_expect(m, FUSE_POLL, 42, NULL), wake_and_answer, NULL));
	assert_int_equal(pf_poll(f, POLLIN, 50), 0);
	assert_true(pf__now() - since < PATIENCE_NS);
	ok(pf_close(f));
	mock_end(m);
}

/* ---- a server that talks without end, and never answers */

struct flood {
	struct mock *m;
	pthread_t thread;
	_Atomic bool stop;
};

static void *talk(void *arg)
{
	struct flood *fl = arg;

	while (!fl->stop)
		mock_notify_inval_inode(fl->m, 42, 0, 0);
	return NULL;
}

static void deadline_in_a_flood(void **state, int no_service)
{
	struct mock_options o = {.pf_set = true, .pf = PF_OPTIONS_INIT, .lookup_leak = true};
	struct flood fl = {0};
	uint64_t since;
	struct stat st;

	o.pf.request_timeout_ms = SHORT_MS;
	o.pf.no_service_thread = no_service;
	fl.m = mock_start(&o);
	mock_silent(mock_expect(fl.m, FUSE_LOOKUP, 1, "foo"));
	assert_int_equal(pthread_create(&fl.thread, NULL, talk, &fl), 0);
	since = pf__now();
	fails(pf_stat(fl.m->fs, "foo", &st), ETIMEDOUT);
	assert_true(pf__now() - since < PATIENCE_NS);
	fl.stop = true;
	pthread_join(fl.thread, NULL);
	mock_end(fl.m);
}

static void flood_with_service(void **state)
{
	deadline_in_a_flood(state, 0);
}

static void flood_without_service(void **state)
{
	deadline_in_a_flood(state, 1);
}

/* ---- without a service thread the caller alone reads: the last answer first, then the others */

#define PIECE (128u << 10)

static int unanswered;

static void answer_backwards(struct mock_req *req, void *ctx)
{
	static struct mock_req *held[4];
	static char data[PIECE];
	int at = ((const struct fuse_read_in *)req->arg)->offset / PIECE;

	held[at] = req;
	if (at < 3)
		return;
	for (int i = 3; i >= unanswered; i--) {
		mock_answer(held[i], data, PIECE);
		poll(NULL, 0, 30); /* so that it waits for the others when they come */
	}
	if (unanswered)
		PASS_DEADLINE;
}

static struct mock *start_pieces(struct pf_file **f)
{
	struct mock_options o = {.pf_set = true,
				 .pf = PF_OPTIONS_INIT,
				 .flags = FUSE_ASYNC_READ | FUSE_MAX_PAGES,
				 .init = {.max_pages = PIECE / 4096}};
	struct mock *m;

	o.pf.request_timeout_ms = DEADLINE_MS;
	o.pf.no_service_thread = 1;
	m = mock_start(&o);
	mock_lookup(m, 1, "foo", 42, REG, 4 * PIECE, MOCK_FOREVER);
	mock_open(m, 42, FOPEN_DIRECT_IO);
	mock_any_times(mock_flush(m, 42));
	mock_any_times(mock_release(m, 42));
	mock_any_times(mock_fn_set(mock_expect(m, FUSE_READ, 42, NULL), answer_backwards, NULL));
	ok(pf_open(m->fs, "foo", O_RDWR, 0, f));
	return m;
}

static void last_answer_first(void **state)
{
	struct pf_file *f;
	struct mock *m = start_pieces(&f);
	char *buf = malloc(4 * PIECE);

	unanswered = 0;
	assert_int_equal(pf_pread(f, buf, 4 * PIECE, 0), 4 * PIECE);
	free(buf);
	ok(pf_close(f));
	mock_end(m);
}

static void first_never_answered(void **state)
{
	struct pf_file *f;
	struct mock *m = start_pieces(&f);
	char *buf = malloc(4 * PIECE);

	unanswered = 1;
	assert_int_equal(pf_pread(f, buf, 4 * PIECE, 0), -ETIMEDOUT);
	free(buf);
	fails(pf_close(f), ENOTCONN);
	mock_end(m);
}

/* ---- RETRIEVE: questions of a server that does not read the answers */

#define QUESTIONS 100000
#define KEPT_MAX  4000

/* The answers find no room: nobody reads while it asks. Over a socket only. */
static void ask_much(struct mock_req *req, void *ctx)
{
	struct fuse_notify_retrieve_out o = {.nodeid = 42, .size = 4096};
	int64_t *most = ctx;

	for (int i = 0; i < QUESTIONS; i++) {
		o.notify_unique = i;
		mock_notify(req->m, FUSE_NOTIFY_RETRIEVE, &o, sizeof(o));
		if (pf__alloc_live() > *most)
			*most = pf__alloc_live();
	}
	mock_answer(req, NULL, 0);
}

static void unread_answers(void **state)
{
	int64_t most = 0, before;
	struct pf_file *f;
	struct mock *m = start_open(NULL, &f);

	mock_any_times(mock_expect(m, FUSE_NOTIFY_REPLY, MOCK_ANY, NULL));
	before = pf__alloc_live();
	mock_fn_set(mock_expect(m, FUSE_FSYNC, 42, NULL), ask_much, &most);
	ok(pf_fsync(f, 0));
	if (most - before > KEPT_MAX)
		fail_msg("%" PRId64 " blocks were kept", most - before);
	ok(pf_close(f));
	mock_end(m);
}

/* ---- cookies that no off_t holds */

static void cookies_beyond(void **state)
{
	struct mock *m = mock_start(NULL);
	char buf[100] = {0};
	struct pf_dirent e;
	struct pf_file *d;
	size_t n = mock_dirent(buf, 0, 3, UINT64_MAX - 5, DT_REG, "a");

	mock_opendir(m, 1, 0);
	mock_releasedir(m, 1);
	mock_body(mock_expect(m, FUSE_READDIR, 1, NULL), buf, n);
	ok(pf_open(m->fs, "/", O_RDONLY | O_DIRECTORY, 0, &d));
	assert_int_equal(pf_readdir(d, &e), 1);
	assert_true(pf_telldir(d) == UINT64_MAX - 5);
	fails(pf_lseek(d, 0, SEEK_CUR), EOVERFLOW);
	fails(pf_lseek(d, -5000000000, SEEK_SET), EINVAL);
	ok(pf_close(d));
	mock_end(m);
}

/* ---- one name a thousand times, and a cookie that stands still */

static void same_name_for_ever(void **state)
{
	struct mock_options o = {.flags = FUSE_DO_READDIRPLUS};
	struct fuse_entry_out entry = mock_entry(42, REG, 10, MOCK_FOREVER, MOCK_FOREVER);
	static char buf[4096];
	struct mock *m = mock_start(&o);
	struct pf_dirent e;
	struct pf_file *d;
	size_t n = 0;

	while (n + 160 <= sizeof(buf))
		n = mock_direntplus(buf, n, &entry, 7, "a");
	mock_opendir(m, 1, 0);
	mock_releasedir(m, 1);
	mock_any_times(mock_body(mock_expect(m, FUSE_READDIRPLUS, 1, NULL), buf, n));
	mock_any_times(mock_body(mock_expect(m, FUSE_READDIR, 1, NULL), "", 0));
	ok(pf_open(m->fs, "/", O_RDONLY | O_DIRECTORY, 0, &d));
	for (int i = 0; i < 1000; i++)
		assert_int_equal(pf_readdir(d, &e), 1);
	ok(pf_close(d));
	mock_end(m);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(last_answer_first),
	    cmocka_unit_test(first_never_answered),
	    cmocka_unit_test(poll_storm),
	    cmocka_unit_test(flood_with_service),
	    cmocka_unit_test(flood_without_service),
	    cmocka_unit_test(unread_answers),
	    cmocka_unit_test(cookies_beyond),
	    cmocka_unit_test(same_name_for_ever),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
