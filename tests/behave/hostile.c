// SPDX-License-Identifier: BSD-2-Clause
/*
 * A server that lies: each rule on what a reply may be, with the errno that the caller gets. The
 * rules' numbers are those of docs/protocol-support.md. What has a natural home elsewhere is tested
 * there (names in lookup.c and names.c, records in dirs.c, locks in locks.c, ioctl in misc.c).
 */
#include "tests/behave/behave.h"

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)

static struct mock *start(void)
{
	struct mock_options o = {.lookup_leak = true};

	return mock_start(&o);
}

/* Rule 12.1: the body's size is wrong, by one byte and by far. */
static void wrong_size(void **state)
{
	static const size_t sizes[] = {0, 1, 16, 120, 127, 129, 144, 4096, 100000};
	char body[100000] = {0};
	struct mock *m = start();
	struct stat st;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct fuse_entry_out e = mock_entry(42, REG, 10, 0, 0);

		memcpy(body, &e, sizeof(e));
		mock_body(mock_expect(m, FUSE_LOOKUP, 1, "foo"), body, sizes[i]);
		fails(pf_stat(m->fs, "foo", &st), EIO);
	}
	mock_end(m);
}

struct raw {
	int32_t error;
	size_t body;
	int32_t len_off; /* added to header.len */
	uint64_t unique_xor;
	bool then_good; /* a right answer follows */
};

static void send_raw(struct mock_req *req, void *ctx)
{
	const struct raw *raw = ctx;
	struct fuse_entry_out e = mock_entry(42, REG, 10, MOCK_FOREVER, MOCK_FOREVER);
	char msg[1024] = {0};
	struct fuse_out_header h = {.len = sizeof(h) + raw->body + raw->len_off,
				    .error = raw->error,
				    .unique = req->h.unique ^ raw->unique_xor};

	memcpy(msg, &h, sizeof(h));
	mock_send_raw(req->m, msg, sizeof(h) + raw->body);
	if (raw->then_good)
		mock_answer(req, &e, sizeof(e));
}

static void stat_with(const struct raw *raw, int want)
{
	struct mock *m = start();
	struct stat st;
	int r;

	mock_fn_set(mock_expect(m, FUSE_LOOKUP, 1, "foo"), send_raw, (void *)raw);
	r = pf_stat(m->fs, "foo", &st);
	if (r != want)
		fail_msg("error %d, %zu bytes, length off by %d: %d, not %d", raw->error, raw->body,
			 raw->len_off, r, want);
	mock_end(m);
}

/* Rule 12.2: an error reply has no body. */
static void error_with_payload(void **state)
{
	stat_with(&(struct raw){.error = -ENOENT, .body = 8}, -EIO);
	stat_with(&(struct raw){.error = -ENOENT, .body = 128}, -EIO);
}

/* Rule 12.3: what is no reply at all leaves the request pending; the right one completes it. */
static void not_a_reply(void **state)
{
	stat_with(&(struct raw){.error = ENOENT, .then_good = true}, 0);
	stat_with(&(struct raw){.error = -512, .then_good = true}, 0);
	stat_with(&(struct raw){.error = INT32_MIN, .then_good = true}, 0);
	stat_with(&(struct raw){.body = 128, .len_off = 1, .then_good = true}, 0);
	stat_with(&(struct raw){.body = 128, .len_off = -1, .then_good = true}, 0);
	stat_with(&(struct raw){.body = 128, .len_off = -144, .then_good = true}, 0);
	stat_with(&(struct raw){.error = -511}, -511);
}

/* An answer to nobody: ignored. */
static void unknown_unique(void **state)
{
	stat_with(&(struct raw){.body = 128, .unique_xor = 99998, .then_good = true}, 0);
	stat_with(&(struct raw){.body = 128, .unique_xor = 1, .then_good = true}, 0);
	stat_with(&(struct raw){.body = 128, .unique_xor = 1ull << 63, .then_good = true}, 0);
	stat_with(&(struct raw){.error = -EIO, .unique_xor = 1ull << 40, .then_good = true}, 0);
}

static void answer_twice(struct mock_req *req, void *ctx)
{
	struct fuse_entry_out e = mock_entry(42, REG, 10, MOCK_FOREVER, MOCK_FOREVER);

	mock_answer(req, &e, sizeof(e));
	mock_send(req->m, req->h.unique, 0, &e, sizeof(e));
	mock_send(req->m, req->h.unique, -EIO, NULL, 0);
}

static void doubled(void **state)
{
	struct mock *m = start();
	struct stat st;

	mock_fn_set(mock_expect(m, FUSE_LOOKUP, 1, "foo"), answer_twice, NULL);
	ok(pf_stat(m->fs, "foo", &st));
	mock_settle(m);
	mock_end(m);
}

/* Messages shorter than a header. */
static void runts(void **state)
{
	struct mock *m = start();
	char zeros[16] = {0};

	for (size_t n = 1; n <= sizeof(zeros); n++)
		mock_send_raw(m, zeros, n);
	mock_settle(m);
	mock_end(m);
}

/* Rule 12.5: attributes that cannot be. */
static void bad_attributes(void **state)
{
	static const uint32_t modes[] = {0, 0644, S_IFMT, 0050000, 0110000};
	struct fuse_entry_out e;
	struct mock *m = start();
	struct stat st;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		mock_lookup(m, 1, "foo", 42, modes[i], 10, MOCK_FOREVER);
		fails(pf_stat(m->fs, "foo", &st), EIO);
	}
	e = mock_entry(42, REG, 1ull << 63, MOCK_FOREVER, MOCK_FOREVER);
	mock_lookup_entry(m, 1, "foo", &e);
	fails(pf_stat(m->fs, "foo", &st), EIO);
	mock_end(m);
}

/* Nanoseconds beyond a second are clamped. */
static void absurd_times(void **state)
{
	struct fuse_entry_out e = mock_entry(42, REG, 10, 0, 1);
	struct mock *m = start();
	struct stat st;

	e.attr.mtimensec = UINT32_MAX;
	e.attr.mtime = UINT64_MAX;
	e.entry_valid_nsec = UINT32_MAX;
	mock_any_times(mock_lookup_entry(m, 1, "foo", &e));
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_mtim.tv_nsec, 999999999);
	assert_int_equal(st.st_mtim.tv_sec, -1);
	mock_end(m);
}

/* Rule 12.25: FOPEN_PASSTHROUGH was not negotiated: EIO, and the handle is released. */
static void opens_bad(void **state)
{
	struct mock *m = start();
	struct pf_file *f;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_open(m, 42, FOPEN_PASSTHROUGH);
	mock_any_times(mock_flush(m, 42));
	mock_release(m, 42);
	fails(pf_open(m->fs, "foo", O_RDONLY, 0, &f), EIO);
	mock_end(m);
}

static void open_sizes(void **state)
{
	struct mock *m = start();
	struct pf_file *f;
	char body[32] = {0};

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	for (size_t n = 0; n < sizeof(body); n += 15) {
		mock_body(mock_expect(m, FUSE_OPEN, 42, NULL), body, n);
		fails(pf_open(m->fs, "foo", O_RDONLY, 0, &f), EIO);
	}
	mock_end(m);
}

/* ---- INIT */

static int answer_init(struct mock *m, struct mock_req *req, void *ctx)
{
	const struct iovec *v = ctx;

	mock_answer(req, v->iov_base, v->iov_len);
	return 1;
}

static int refuse_init(struct mock *m, struct mock_req *req, void *ctx)
{
	mock_answer_error(req, *(int *)ctx);
	return 1;
}

static void attach_with(const void *body, size_t len, int want)
{
	struct iovec v = {(void *)body, len};
	struct mock_options o = {.init_fn = answer_init, .init_ctx = &v, .expect_attach = want};
	struct mock *m = mock_start(&o);

	if (!want)
		pf_abort(m->fs);
	mock_end(m);
}

static void init_replies(void **state)
{
	struct fuse_init_out out = {.major = 7, .minor = 45, .max_write = 4096};
	char long_[100] = {0};

	attach_with(&out, sizeof(out), 0);
	attach_with(&out, 24, 0);
	out.major = 8;
	attach_with(&out, sizeof(out), -ECONNREFUSED);
	out.major = 6;
	attach_with(&out, sizeof(out), -ECONNREFUSED);
	attach_with(long_, 0, -ECONNREFUSED);
	attach_with(long_, 65, -ECONNREFUSED);
}

static void init_error(void **state)
{
	int err = EPERM;
	struct mock_options o = {
	    .init_fn = refuse_init, .init_ctx = &err, .expect_attach = -ECONNREFUSED};

	mock_end(mock_start(&o));
}

/* Flags that were not offered do not hold; absurd limits are brought into bounds. */
static void init_absurd(void **state)
{
	struct fuse_init_out out = {.major = 7,
				    .minor = UINT32_MAX,
				    .flags = UINT32_MAX,
				    .flags2 = UINT32_MAX,
				    .max_write = 1,
				    .max_pages = 0,
				    .time_gran = UINT32_MAX,
				    .max_readahead = UINT32_MAX};
	struct iovec v = {&out, sizeof(out)};
	struct mock_options o = {.init_fn = answer_init,
				 .init_ctx = &v,
				 .no_root_auto = true,
				 .flags = FUSE_SETXATTR_EXT};
	struct mock *m;
	struct stat st;

	out.flags2 = 0; /* ALLOW_IDMAP without default_permissions is refused, see below */
	m = mock_start(&o);
	mock_any_times(mock_getattr(m, 1, DIR_, 0, 0));
	ok(pf_stat(m->fs, "/", &st));
	mock_end(m);
}

static int silent_init(struct mock *m, struct mock_req *req, void *ctx)
{
	return 1;
}

static void init_never(void **state)
{
	struct mock_options o = {.init_fn = silent_init,
				 .expect_attach = -ETIMEDOUT,
				 .pf_set = true,
				 .pf = PF_OPTIONS_INIT};

	o.pf.start_timeout_ms = 100;
	mock_end(mock_start(&o));
}

static int hang_up_init(struct mock *m, struct mock_req *req, void *ctx)
{
	mock_hang_up(m);
	return 1;
}

static void init_death(void **state)
{
	struct mock_options o = {.init_fn = hang_up_init, .expect_attach = -ENOTCONN};

	mock_end(mock_start(&o));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wrong_size),     cmocka_unit_test(error_with_payload),
	    cmocka_unit_test(not_a_reply),    cmocka_unit_test(unknown_unique),
	    cmocka_unit_test(doubled),        cmocka_unit_test(runts),
	    cmocka_unit_test(bad_attributes), cmocka_unit_test(absurd_times),
	    cmocka_unit_test(opens_bad),      cmocka_unit_test(open_sizes),
	    cmocka_unit_test(init_replies),   cmocka_unit_test(init_error),
	    cmocka_unit_test(init_absurd),    cmocka_unit_test(init_never),
	    cmocka_unit_test(init_death),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
