// SPDX-License-Identifier: BSD-2-Clause
/* Notifications: what the server says without being asked. */
#include "tests/behave/behave.h"

#define REG  (S_IFREG | 0644)
#define DIR_ (S_IFDIR | 0755)

static void inval_entry(void **state)
{
	struct mock_options o = {.root_attr_valid = MOCK_FOREVER};
	struct mock *m = mock_start(&o);
	struct stat st;

	mock_lookup(m, 1, "foo", 42, REG, 1, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	ok(pf_stat(m->fs, "/", &st));
	mock_notify_inval_entry(m, 1, "foo", 0);
	mock_settle(m);
	mock_wait_forgotten(m, 42, 1);
	mock_lookup(m, 1, "foo", 43, REG, 2, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_ino, 43);
	/* The parent's attributes go with it. */
	ok(pf_stat(m->fs, "/", &st));
	assert_int_equal(mock_count(m, FUSE_GETATTR), 2);
	mock_end(m);
}

static void inval_entry_unknown(void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_notify_inval_entry(m, 1, "nothing", 0);
	mock_notify_inval_entry(m, 4711, "nothing", 0);
	mock_settle(m);
	mock_lookup(m, 1, "foo", 42, REG, 1, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	mock_notify_inval_entry(m, 42, "not_a_directory", 0);
	mock_settle(m);
	mock_end(m);
}

static void expire_only(void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_times(mock_lookup(m, 1, "foo", 42, REG, 1, MOCK_FOREVER), 2);
	ok(pf_stat(m->fs, "foo", &st));
	mock_notify_inval_entry(m, 1, "foo", FUSE_EXPIRE_ONLY);
	mock_settle(m);
	assert_int_equal(mock_forgotten(m, 42), 0);
	ok(pf_stat(m->fs, "foo", &st));
	mock_end(m);
}

/* The names below an invalidated directory go too, so that their nodes are given back. */
static void inval_subtree(void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_lookup(m, 1, "dir", 42, DIR_, 0, MOCK_FOREVER);
	mock_lookup(m, 42, "file", 43, REG, 0, MOCK_FOREVER);
	ok(pf_stat(m->fs, "dir/file", &st));
	mock_notify_inval_entry(m, 1, "dir", 0);
	mock_settle(m);
	mock_wait_forgotten(m, 43, 1);
	mock_wait_forgotten(m, 42, 1);
	mock_end(m);
}

static void inval_inode(void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_lookup(m, 1, "foo", 42, REG, 1, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	mock_notify_inval_inode(m, 42, -1, 0);
	mock_notify_inval_inode(m, 4711, 0, 0);
	mock_settle(m);
	mock_getattr(m, 42, REG, 2, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_size, 2);
	mock_end(m);
}

static void delete (void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_lookup(m, 1, "foo", 42, REG, 1, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	mock_notify_delete(m, 1, 999, "foo"); /* another child: nothing but the name is dropped */
	mock_settle(m);
	mock_any_times(mock_lookup(m, 1, "foo", 42, REG, 1, MOCK_FOREVER));
	ok(pf_stat(m->fs, "foo", &st));
	mock_notify_delete(m, 1, 42, "foo");
	mock_settle(m);
	mock_wait_forgotten(m, 42, mock_count(m, FUSE_LOOKUP));
	mock_end(m);
}

static void inc_epoch(void **state)
{
	struct fuse_entry_out none = {.entry_valid = MOCK_FOREVER};
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_times(mock_lookup(m, 1, "foo", 42, REG, 1, MOCK_FOREVER), 2);
	mock_times(mock_lookup_entry(m, 1, "gone", &none), 2);
	ok(pf_stat(m->fs, "foo", &st));
	fails(pf_stat(m->fs, "gone", &st), ENOENT);
	mock_notify(m, FUSE_NOTIFY_INC_EPOCH, NULL, 0);
	mock_settle(m);
	ok(pf_stat(m->fs, "foo", &st));
	fails(pf_stat(m->fs, "gone", &st), ENOENT);
	mock_end(m);
}

static void prune(void **state)
{
	struct {
		struct fuse_notify_prune_out h;
		uint64_t ids[3];
	} p = {.h = {.count = 3}, .ids = {42, 43, 4711}};
	struct mock *m = mock_start(NULL);
	struct pf_file *f;
	struct stat st;

	mock_lookup(m, 1, "unused", 42, REG, 1, MOCK_FOREVER);
	mock_lookup(m, 1, "open", 43, REG, 1, MOCK_FOREVER);
	mock_open(m, 43, 0);
	mock_flush(m, 43);
	mock_release(m, 43);
	ok(pf_stat(m->fs, "unused", &st));
	ok(pf_open(m->fs, "open", O_RDONLY, 0, &f));
	mock_notify(m, FUSE_NOTIFY_PRUNE, &p, sizeof(p));
	mock_settle(m);
	mock_wait_forgotten(m, 42, 1);
	assert_int_equal(mock_forgotten(m, 43), 0);
	ok(pf_close(f));
	mock_end(m);
}

/* ---- STORE and RETRIEVE, as far as there is no data cache: sizes move, nothing is held */

static void store(struct mock *m, uint64_t nodeid, uint64_t offset, uint32_t size, size_t data)
{
	char body[256] = "";
	struct fuse_notify_store_out o = {.nodeid = nodeid, .offset = offset, .size = size};

	memcpy(body, &o, sizeof(o));
	mock_notify(m, FUSE_NOTIFY_STORE, body, sizeof(o) + data);
}

static void store_extends(void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_lookup(m, 1, "foo", 42, REG, 1, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	store(m, 42, 0, 100, 100);
	mock_settle(m);
	mock_any_times(mock_getattr(m, 42, REG, 100, MOCK_FOREVER));
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_size, 100);
	mock_end(m);
}

/* The name's time is over, the inode lives. */
static void store_behind_an_expired_name(void **state)
{
	struct fuse_entry_out e = mock_entry(42, REG, 1, 0, MOCK_FOREVER);
	struct mock *m = mock_start(NULL);
	struct pf_file *f;
	struct stat st;

	e.entry_valid_nsec = 50 * MS;
	mock_lookup_entry(m, 1, "foo", &e);
	mock_open(m, 42, 0);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_open(m->fs, "foo", O_RDONLY, 0, &f));
	pf__clock_advance(100 * MS);
	store(m, 42, 0, 100, 100);
	mock_settle(m);
	mock_any_times(mock_getattr(m, 42, REG, 100, MOCK_FOREVER));
	ok(pf_fstat(f, &st));
	assert_int_equal(st.st_size, 100);
	ok(pf_close(f));
	mock_end(m);
}

static void store_malformed(void **state)
{
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_lookup(m, 1, "foo", 42, REG, 1, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	store(m, 42, 0, 100, 50);
	store(m, 42, 0, 100, 101);
	mock_notify(m, FUSE_NOTIFY_STORE, "short", 5);
	store(m, 4711, 0, 10, 10);
	mock_settle(m);
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_size, 1);
	mock_end(m);
}

static bool is_retrieved(const struct mock_req *req, void *ctx)
{
	return req->h.unique == 1234 && !((const struct fuse_notify_retrieve_in *)req->arg)->size;
}

static void retrieve(void **state)
{
	struct fuse_notify_retrieve_out o = {.notify_unique = 1234, .nodeid = 42, .size = 4096};
	struct mock_expect *e;
	struct mock *m = mock_start(NULL);
	struct stat st;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	e = mock_silent(
	    mock_match(mock_expect(m, FUSE_NOTIFY_REPLY, 42, NULL), is_retrieved, NULL));
	mock_notify(m, FUSE_NOTIFY_RETRIEVE, &o, sizeof(o));
	mock_wait_seen(e, 1);
	mock_end(m);
}

/* Bodies that are too short, too long, names that lie about their length, codes that do not exist.
 */
static void malformed(void **state)
{
	struct fuse_notify_inval_entry_out o = {.parent = 1, .namelen = 3};
	struct mock *m = mock_start(NULL);
	char body[64] = "";
	struct stat st;

	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	ok(pf_stat(m->fs, "foo", &st));
	for (int32_t code = -1; code < 20; code++) {
		if (code == FUSE_NOTIFY_RESEND || code == FUSE_NOTIFY_INC_EPOCH)
			continue;
		mock_notify(m, code, body, 1);
		mock_notify(m, code, body, 0);
	}
	memcpy(body, &o, sizeof(o));
	memcpy(body + sizeof(o), "foo", 4);
	mock_notify(m, FUSE_NOTIFY_INVAL_ENTRY, body, sizeof(o) + 3);
	mock_notify(m, FUSE_NOTIFY_INVAL_ENTRY, body, sizeof(o) + 5);
	body[sizeof(o) + 3] = 'x';
	mock_notify(m, FUSE_NOTIFY_INVAL_ENTRY, body, sizeof(o) + 4);
	((struct fuse_notify_inval_entry_out *)body)->namelen = UINT32_MAX;
	mock_notify(m, FUSE_NOTIFY_INVAL_ENTRY, body, sizeof(o) + 4);
	mock_settle(m);
	ok(pf_stat(m->fs, "foo", &st)); /* still cached */
	mock_end(m);
}

/* All requests that are out come again, with bit 63. */
struct stat_call {
	struct mock *m;
	pthread_t thread;
	int result;
};

static void *do_stat(void *arg)
{
	struct stat_call *c = arg;
	struct stat st;

	c->result = pf_stat(c->m->fs, "foo", &st);
	return NULL;
}

static bool is_resent(const struct mock_req *req, void *ctx)
{
	return req->h.unique & FUSE_UNIQUE_RESEND;
}

static void resend(void **state)
{
	struct fuse_entry_out e = mock_entry(42, REG, 5, 0, 0);
	struct mock *m = mock_start(NULL);
	struct mock_expect *first = mock_hold(mock_expect(m, FUSE_LOOKUP, 1, "foo"));
	struct mock_expect *again =
	    mock_hold(mock_match(mock_expect(m, FUSE_LOOKUP, 1, "foo"), is_resent, NULL));
	struct stat_call c = {.m = m};
	struct mock_req *r1, *r2;

	mock_any_times(mock_getattr(m, 42, REG, 5, 0));
	assert_int_equal(pthread_create(&c.thread, NULL, do_stat, &c), 0);
	r1 = mock_wait(first);
	mock_notify(m, FUSE_NOTIFY_RESEND, NULL, 0);
	r2 = mock_wait(again);
	assert_int_equal(r2->h.unique, r1->h.unique | FUSE_UNIQUE_RESEND);
	/* The old id no longer counts. */
	mock_send(m, r1->h.unique, -EIO, NULL, 0);
	mock_answer(r2, &e, sizeof(e));
	pthread_join(c.thread, NULL);
	ok(c.result);
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(inval_entry),     cmocka_unit_test(inval_entry_unknown),
	    cmocka_unit_test(expire_only),     cmocka_unit_test(inval_subtree),
	    cmocka_unit_test(inval_inode),     cmocka_unit_test(delete),
	    cmocka_unit_test(inc_epoch),       cmocka_unit_test(prune),
	    cmocka_unit_test(store_extends),   cmocka_unit_test(store_behind_an_expired_name),
	    cmocka_unit_test(store_malformed), cmocka_unit_test(retrieve),
	    cmocka_unit_test(malformed),       cmocka_unit_test(resend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
