// SPDX-License-Identifier: BSD-2-Clause
/*
 * Calls that overlap: a reply that was under way before a local change must not bring back what was
 * true then; a reader and a writer of one stream do not wait for each other; who waits is woken.
 */
#include "tests/behave/behave.h"

#include <linux/falloc.h>

#define REG (S_IFREG | 0644)

struct call {
	struct mock *m;
	struct pf_file *f, *g;
	long (*fn)(struct call *c);
	pthread_t thread;
	long result;
	struct stat st;
};

static void *run(void *arg)
{
	struct call *c = arg;

	c->result = c->fn(c);
	return NULL;
}

static void start(struct call *c)
{
	assert_int_equal(pthread_create(&c->thread, NULL, run, c), 0);
}

static long join(struct call *c)
{
	pthread_join(c->thread, NULL);
	return c->result;
}

/* ---- a LOOKUP that was answered with the old size, while a change from 10 to 15 bytes is out */

static long do_stat(struct call *c)
{
	return pf_stat(c->m->fs, "foo", &c->st);
}

static long do_write(struct call *c)
{
	return pf_pwrite(c->f, "12345", 5, 10);
}

static long do_fallocate(struct call *c)
{
	return pf_fallocate(c->f, 0, 0, 15);
}

static long do_truncate(struct call *c)
{
	return pf_ftruncate(c->f, 15);
}

static long do_copy(struct call *c)
{
	off_t in = 0, out = 10;

	return pf_copy_file_range(c->g, &in, c->f, &out, 5, 0);
}

/* The name must be asked for each time, the attributes would stay for ever. */
static struct mock *start_open(struct call *c)
{
	struct fuse_entry_out e = mock_entry(42, REG, 10, 0, MOCK_FOREVER);
	struct mock *m = mock_start(NULL);

	c->m = m;
	mock_lookup_entry(m, 1, "foo", &e);
	mock_lookup(m, 1, "src", 41, REG, 100, MOCK_FOREVER);
	mock_open(m, 42, 0);
	mock_open(m, 41, 0);
	mock_times(mock_flush(m, MOCK_ANY), 2);
	mock_times(mock_release(m, MOCK_ANY), 2);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &c->f));
	ok(pf_open(m->fs, "src", O_RDONLY, 0, &c->g));
	return m;
}

static void late_lookup(long (*fn)(struct call *), uint32_t opcode, const void *body, size_t len,
			bool change_first)
{
	struct fuse_entry_out old = mock_entry(42, REG, 10, MOCK_FOREVER, MOCK_FOREVER);
	struct call change = {.fn = fn}, stat = {.fn = do_stat};
	struct mock *m = start_open(&change);
	struct mock_expect *changes = mock_hold(mock_expect(m, opcode, MOCK_ANY, NULL));
	struct mock_expect *looks = mock_hold(mock_expect(m, FUSE_LOOKUP, 1, "foo"));
	struct mock_req *changing, *looking;
	struct stat st;

	stat.m = m;
	mock_any_times(mock_getattr(m, 42, REG, 15, MOCK_FOREVER));
	start(&change);
	changing = mock_wait(changes);
	start(&stat);
	looking = mock_wait(looks);
	if (change_first) {
		mock_answer(changing, body, len);
		assert_true(join(&change) >= 0);
		mock_answer(looking, &old, sizeof(old));
	} else {
		mock_answer(looking, &old, sizeof(old));
		mock_settle(m);
		mock_answer(changing, body, len);
		assert_true(join(&change) >= 0);
	}
	ok(join(&stat));
	ok(pf_fstat(change.f, &st));
	assert_int_equal(st.st_size, 15);
	mock_any_times(mock_lookup(m, 1, "foo", 42, REG, 15, MOCK_FOREVER));
	ok(pf_stat(m->fs, "foo", &st));
	assert_int_equal(st.st_size, 15);
	ok(pf_close(change.f));
	ok(pf_close(change.g));
	mock_end(m);
}

static void late_lookups(void **state)
{
	struct fuse_attr_out attr = {.attr_valid = MOCK_FOREVER, .attr = mock_attr(42, REG, 15)};
	struct fuse_write_out written = {.size = 5};
	struct fuse_copy_file_range_out copied = {.bytes_copied = 5};

	for (int first = 0; first < 2; first++) {
		late_lookup(do_write, FUSE_WRITE, &written, sizeof(written), first);
		late_lookup(do_fallocate, FUSE_FALLOCATE, NULL, 0, first);
		late_lookup(do_truncate, FUSE_SETATTR, &attr, sizeof(attr), first);
		late_lookup(do_copy, FUSE_COPY_FILE_RANGE_64, &copied, sizeof(copied), first);
	}
}

/* It asks for a name that is known, too. */
static long do_open_excl(struct call *c)
{
	return pf_open(c->m->fs, "foo", O_CREAT | O_EXCL | O_RDWR, 0644, &c->f);
}

/* A name that was looked up while it was removed is not there afterwards. */
static void late_lookup_of_a_removed_name(void **state)
{
	struct fuse_entry_out e = mock_entry(42, REG, 10, MOCK_FOREVER, MOCK_FOREVER);
	struct call excl = {.fn = do_open_excl};
	struct mock *m = mock_start(&(struct mock_options){.flags = FUSE_PARALLEL_DIROPS});
	struct mock_expect *looks;
	struct mock_req *looking;
	struct stat st;

	excl.m = m;
	mock_lookup_entry(m, 1, "foo", &e);
	ok(pf_stat(m->fs, "foo", &st));
	looks = mock_hold(mock_expect(m, FUSE_LOOKUP, 1, "foo"));
	start(&excl);
	looking = mock_wait(looks);
	mock_empty(m, FUSE_UNLINK, 1);
	ok(pf_unlink(m->fs, "foo"));
	mock_any_times(mock_getattr(m, 42, REG, 10, 0)); /* its attributes are not trusted */
	mock_answer(looking, &e, sizeof(e));
	assert_int_equal(join(&excl), -EEXIST);
	mock_times(mock_lookup_error(m, 1, "foo", ENOENT), 1)->max = 2;
	fails(pf_stat(m->fs, "foo", &st), ENOENT);
	mock_end(m);
}

/* ---- a listing, and names that go meanwhile */

static long do_list(struct call *c)
{
	struct pf_dirent e;

	return pf_readdir(c->f, &e);
}

static long do_unlink(struct call *c)
{
	return pf_unlink(c->m->fs, "foo");
}

static long do_rename(struct call *c)
{
	return pf_rename(c->m->fs, "foo", "d/bar");
}

/* Is the request sent while a READDIR of the root is out? It is when the server has
 * PARALLEL_DIROPS. */
static void change_beside_a_listing(long (*fn)(struct call *), uint32_t opcode, uint64_t flags)
{
	struct call list = {.fn = do_list}, change = {.fn = fn};
	struct mock *m = mock_start(&(struct mock_options){.flags = flags});
	struct mock_expect *reads, *changes = NULL;
	struct mock_req *reading;

	list.m = change.m = m;
	mock_lookup(m, 1, "foo", 42, REG, 10, MOCK_FOREVER);
	mock_lookup(m, 1, "d", 43, S_IFDIR | 0755, 0, MOCK_FOREVER);
	ok(pf_access(m->fs, "foo", F_OK));
	ok(pf_access(m->fs, "d", F_OK));
	mock_any_times(mock_lookup_error(m, 43, "bar", ENOENT));
	mock_opendir(m, 1, 0);
	ok(pf_open(m->fs, "/", O_RDONLY | O_DIRECTORY, 0, &list.f));
	reads = mock_hold(mock_expect(m, FUSE_READDIR, 1, NULL));
	start(&list);
	reading = mock_wait(reads);
	if (flags) {
		changes = mock_hold(mock_expect(m, opcode, 1, NULL));
		start(&change);
		mock_answer_error(mock_wait(changes), EIO);
		fails(join(&change), EIO);
	} else {
		start(&change);
		usleep(20000); /* sent too early, it would not be expected */
		mock_settle(m);
		mock_error(mock_expect(m, opcode, 1, NULL), EIO);
	}
	mock_answer(reading, "", 0);
	ok(join(&list));
	if (!flags)
		fails(join(&change), EIO);
	mock_releasedir(m, 1);
	ok(pf_close(list.f));
	mock_end(m);
}

static void changes_beside_listings(void **state)
{
	const uint64_t flags[] = {0, FUSE_PARALLEL_DIROPS};

	for (int i = 0; i < 2; i++) {
		change_beside_a_listing(do_unlink, FUSE_UNLINK, flags[i]);
		change_beside_a_listing(do_rename, FUSE_RENAME, flags[i]);
	}
}

/* ---- streams: reading and writing are two directions */

static long do_read_byte(struct call *c)
{
	char byte;

	return pf_read(c->f, &byte, 1);
}

static long do_write_byte(struct call *c)
{
	return pf_write(c->f, "x", 1);
}

static struct mock *start_stream(struct call *c)
{
	struct mock *m = mock_start(NULL);

	c->m = m;
	mock_lookup(m, 1, "foo", 42, REG, 0, MOCK_FOREVER);
	mock_open(m, 42, FOPEN_STREAM | FOPEN_DIRECT_IO);
	ok(pf_open(m->fs, "foo", O_RDWR, 0, &c->f));
	return m;
}

static void read_while_a_write_waits(void **state)
{
	struct call write = {.fn = do_write_byte};
	struct mock *m = start_stream(&write);
	struct mock_expect *writes = mock_hold(mock_expect(m, FUSE_WRITE, 42, NULL));
	struct fuse_write_out out = {.size = 1};
	struct mock_req *req;
	char c;

	start(&write);
	req = mock_wait(writes);
	mock_read(m, 42, 0, 1, "r", 1);
	assert_int_equal(pf_read(write.f, &c, 1), 1);
	mock_answer(req, &out, sizeof(out));
	assert_int_equal(join(&write), 1);
	mock_flush(m, 42);
	mock_release(m, 42);
	ok(pf_close(write.f));
	mock_end(m);
}

static void abort_wakes(long (*fn)(struct call *), uint32_t opcode)
{
	struct call c = {.fn = fn};
	struct mock *m = start_stream(&c);
	struct mock_expect *e = mock_hold(mock_expect(m, opcode, 42, NULL));

	start(&c);
	mock_wait(e);
	pf_abort(m->fs);
	assert_int_equal(join(&c), -ECONNABORTED);
	fails(pf_close(c.f), ENOTCONN);
	mock_end(m);
}

static void abort_wakes_who_waits(void **state)
{
	abort_wakes(do_read_byte, FUSE_READ);
	abort_wakes(do_write_byte, FUSE_WRITE);
}

/* Two opens, the server dies before either is answered: both fail, nothing leaks. */
static long do_open(struct call *c)
{
	return pf_open(c->m->fs, c->f ? "a" : "b", O_RDONLY, 0, &c->g);
}

static void death_with_opens_out(void **state)
{
	struct mock *m = mock_start(NULL);
	struct call a = {.m = m, .fn = do_open}, b = a;
	struct mock_expect *one = mock_hold(mock_expect(m, FUSE_OPEN, 41, NULL));
	int fds = mock_open_fds();

	a.f = (struct pf_file *)m; /* any: which of the names */
	mock_lookup(m, 1, "a", 41, REG, 0, MOCK_FOREVER);
	mock_lookup(m, 1, "b", 42, REG, 0, MOCK_FOREVER);
	mock_any_times(mock_silent(mock_expect(m, FUSE_OPEN, 42, NULL)));
	start(&a);
	mock_wait(one);
	start(&b);
	mock_hang_up(m);
	assert_int_equal(join(&a), -ENOTCONN);
	assert_int_equal(join(&b), -ENOTCONN);
	assert_true(mock_open_fds() <= fds);
	for (struct pf__list *l = m->expects.next; l != &m->expects; l = l->next)
		pf__list_entry(l, struct mock_expect, link)->min = 0;
	mock_end(m);
}

/* ---- one name, asked for by two at once: servers would make two nodes of one new file */

static long do_create(struct call *c)
{
	return pf_open(c->m->fs, "new", O_CREAT | O_RDWR, 0644, &c->f);
}

static long do_create_excl(struct call *c)
{
	return pf_open(c->m->fs, "new", O_CREAT | O_EXCL | O_RDWR, 0644, &c->f);
}

static long do_stat_new(struct call *c)
{
	return pf_stat(c->m->fs, "new", &c->st);
}

static long do_mkdir_new(struct call *c)
{
	return pf_mkdir(c->m->fs, "new", 0755);
}

/* Time for the second one to do the wrong thing. */
static void let_it_try(struct mock *m)
{
	mock_settle(m);
	usleep(20000);
}

static void one_creates(long (*other)(struct call *), long result, const char *log)
{
	struct fuse_create_out made = {.entry = mock_entry(42, REG, 0, MOCK_FOREVER, MOCK_FOREVER),
				       .open = {.fh = 7}};
	struct mock *m = mock_start(NULL);
	struct call a = {.m = m, .fn = do_create}, b = {.m = m, .fn = other};
	struct mock_expect *creates = mock_hold(mock_expect(m, FUSE_CREATE, 1, "new"));
	struct mock_req *creating;

	mock_error(mock_expect(m, FUSE_LOOKUP, 1, "new"), ENOENT);
	mock_any_times(mock_open(m, 42, 0));
	mock_any_times(mock_flush(m, MOCK_ANY));
	mock_any_times(mock_release(m, MOCK_ANY));
	start(&a);
	creating = mock_wait(creates);
	mock_log(m);
	start(&b);
	let_it_try(m);
	mock_any_times(mock_lookup_entry(m, 1, "new", &made.entry));
	mock_answer(creating, &made, sizeof(made));
	ok(join(&a));
	assert_int_equal(join(&b), result);
	assert_log(m, log);
	ok(pf_close(a.f));
	if (b.f)
		ok(pf_close(b.f));
	mock_end(m);
}

/* The first of them looks the name up before, the other waits for what it makes. */
static void two_create_one_name(void **state)
{
	one_creates(do_create, 0, "OPEN(42)");
	one_creates(do_create_excl, -EEXIST, "LOOKUP(1,new)");
	one_creates(do_stat_new, 0, "");
}

static void two_look_for_one_name(void **state)
{
	struct fuse_entry_out e = mock_entry(42, REG, 10, MOCK_FOREVER, MOCK_FOREVER);
	struct mock *m = mock_start(NULL);
	struct call a = {.m = m, .fn = do_stat_new}, b = a;
	struct mock_expect *looks = mock_hold(mock_expect(m, FUSE_LOOKUP, 1, "new"));
	struct mock_req *looking;

	start(&a);
	looking = mock_wait(looks);
	start(&b);
	let_it_try(m);
	mock_answer(looking, &e, sizeof(e));
	ok(join(&a));
	ok(join(&b));
	assert_int_equal(b.st.st_size, 10);
	mock_end(m);
}

/* Another name does not wait, and who waits lets go when the connection does. */
static void other_names_go_on(void **state)
{
	struct mock *m = mock_start(NULL);
	struct call a = {.m = m, .fn = do_mkdir_new}, b = {.m = m, .fn = do_stat_new};
	struct mock_expect *makes = mock_hold(mock_expect(m, FUSE_MKDIR, 1, NULL));
	struct stat st;

	mock_error(mock_expect(m, FUSE_LOOKUP, 1, "new"), ENOENT);
	mock_lookup(m, 1, "foo", 41, REG, 3, MOCK_FOREVER);
	start(&a);
	mock_wait(makes);
	start(&b);
	let_it_try(m);
	ok(pf_stat(m->fs, "foo", &st));
	mock_hang_up(m);
	assert_int_equal(join(&a), -ENOTCONN);
	assert_int_equal(join(&b), -ENOTCONN);
	mock_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(late_lookups),
	    cmocka_unit_test(late_lookup_of_a_removed_name),
	    cmocka_unit_test(changes_beside_listings),
	    cmocka_unit_test(read_while_a_write_waits),
	    cmocka_unit_test(abort_wakes_who_waits),
	    cmocka_unit_test(death_with_opens_out),
	    cmocka_unit_test(two_create_one_name),
	    cmocka_unit_test(two_look_for_one_name),
	    cmocka_unit_test(other_names_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
