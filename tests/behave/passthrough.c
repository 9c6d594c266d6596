// SPDX-License-Identifier: BSD-2-Clause
/*
 * Passthrough opens: a server registers files of its own, and names one in its reply to OPEN. What
 * may be registered, which opens go together, where bytes come from and go to, what is known of the
 * file afterwards; and servers and backing files that mean harm.
 */
#include "tests/behave/through.h"

/* ---- INIT */

static int look_at_init(struct mock *m, struct mock_req *req, void *ctx)
{
	const struct fuse_init_in *in = req->arg;

	*(uint64_t *)ctx = in->flags | (uint64_t)in->flags2 << 32;
	return 0;
}

static void offered_where_it_can_be_had(void **state)
{
	uint64_t flags = 0;
	struct mock_options o = {.passthrough = true, .init_fn = look_at_init, .init_ctx = &flags};

	mock_end(mock_start(&o));
	assert_true(flags & FUSE_PASSTHROUGH);
	o.passthrough = false;
	mock_end(mock_start(&o));
	assert_false(flags & FUSE_PASSTHROUGH);
}

/* ---- registering */

static void not_negotiated_nothing_is_registered(void **state)
{
	struct mock_options o = {.passthrough = true};
	struct mock *m = mock_start(&o);
	char path[64];
	int fd = backing_file(path, 1);

	fails(mock_backing_open(m, fd), EPERM);
	fails(mock_backing_close(m, 1), EPERM);
	mock_end(m);
	/* With write-back, or without a depth, it is not. */
	o.flags = FUSE_PASSTHROUGH | FUSE_WRITEBACK_CACHE;
	o.init.max_stack_depth = 1;
	m = mock_start(&o);
	fails(mock_backing_open(m, fd), EPERM);
	mock_end(m);
	o.flags = FUSE_PASSTHROUGH;
	o.init.max_stack_depth = 0;
	m = mock_start(&o);
	fails(mock_backing_open(m, fd), EPERM);
	mock_end(m);
	close(fd);
	unlink(path);
}

static void only_regular_files(void **state)
{
	struct through t;
	int p[2], fd;

	begin(&t, 0, 0);
	fails(mock_backing_open(t.m, -1), EBADF);
	fails(mock_backing_open(t.m, 100000), EBADF);
	fd = open("/", O_RDONLY | O_CLOEXEC);
	fails(mock_backing_open(t.m, fd), EISDIR);
	close(fd);
	fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	fails(mock_backing_open(t.m, fd), EINVAL);
	close(fd);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	fails(mock_backing_open(t.m, p[0]), EINVAL);
	close(p[0]);
	close(p[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	fails(mock_backing_open(t.m, p[0]), EINVAL);
	close(p[0]);
	close(p[1]);
	fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC); /* regular, it says */
	fails(mock_backing_open(t.m, fd), EINVAL);
	close(fd);
	fd = open(t.path, O_ACCMODE | O_CLOEXEC); /* for neither reading nor writing */
	fails(mock_backing_open(t.m, fd), EINVAL);
	close(fd);
	fd = open(t.path, O_PATH | O_CLOEXEC);
	assert_int_equal(mock_backing_open(t.m, fd), 2);
	close(fd);
	end(&t);
}

static void ids(void **state)
{
	struct through t;

	begin(&t, 0, 0);
	assert_int_equal(mock_backing_open(t.m, t.fd), 2); /* the same file: another id */
	ok(mock_backing_close(t.m, 2));
	fails(mock_backing_close(t.m, 2), ENOENT);
	fails(mock_backing_close(t.m, 0), EINVAL);
	fails(mock_backing_close(t.m, -1), EINVAL);
	fails(mock_backing_close(t.m, INT32_MAX), ENOENT);
	assert_int_equal(mock_backing_open(t.m, t.fd), 3); /* not the one just given back */
	end(&t);
}

/* A server may register as long as it likes: there is an end, and a way back. */
static void many_ids(void **state)
{
	struct rlimit before, few = {64, 64};
	int fds = mock_open_fds(), last = 0, n = 0;
	struct through t;

	begin(&t, 0, 0);
	getrlimit(RLIMIT_NOFILE, &before);
	few.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);
	while ((n = mock_backing_open(t.m, t.fd)) > 0)
		last = n;
	assert_int_equal(n, -EMFILE);
	assert_true(last > 2 && last < 64);
	for (int i = 2; i <= last; i++)
		ok(mock_backing_close(t.m, i));
	assert_true(mock_backing_open(t.m, t.fd) > 0);
	setrlimit(RLIMIT_NOFILE, &before);
	for (int i = 0; i < 300; i++)
		assert_true(mock_backing_open(t.m, t.fd) > 0);
	end(&t);
	assert_int_equal(mock_open_fds(), fds);
}

/* ---- which opens are valid, and which go together */

static void invalid_opens(void **state)
{
	static const uint32_t others[] = {FOPEN_KEEP_CACHE, FOPEN_NONSEEKABLE, FOPEN_STREAM,
					  FOPEN_CACHE_DIR, 1u << 8};
	static const int ids[] = {0, -1, INT32_MIN, 2, INT32_MAX};
	struct through t;

	begin(&t, 0, 0);
	for (unsigned i = 0; i < 5; i++) {
		t.d->open_flags = FOPEN_PASSTHROUGH | others[i];
		refused(&t);
	}
	t.d->open_flags = FOPEN_PASSTHROUGH;
	for (unsigned i = 0; i < 5; i++) {
		t.d->backing_id = ids[i];
		refused(&t);
	}
	/* Nothing is left of all that. */
	t.d->open_flags = 0;
	ok(pf_close(opened(&t, O_RDONLY)));
	t.d->open_flags = FOPEN_PASSTHROUGH | FOPEN_NOFLUSH | FOPEN_PARALLEL_DIRECT_WRITES;
	t.d->backing_id = t.id;
	ok(pf_close(opened(&t, O_RDONLY)));
	end(&t);
}

static void caching_keeps_it_out(void **state)
{
	struct pf_file *f, *g;
	struct through t;

	begin(&t, 0, 0);
	t.d->open_flags = 0;
	f = opened(&t, O_RDONLY);
	t.d->open_flags = FOPEN_PASSTHROUGH;
	refused(&t);
	ok(pf_close(f));
	g = opened(&t, O_RDONLY);
	ok(pf_close(g));
	end(&t);
}

static void it_keeps_others_out(void **state)
{
	struct pf_file *f, *g;
	struct through t;
	int other;

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR);
	t.d->open_flags = 0;
	refused(&t);
	t.d->open_flags = FOPEN_DIRECT_IO;
	refused(&t);
	/* Another registration is another file, be it the same. */
	other = mock_backing_open(t.m, t.fd);
	t.d->open_flags = FOPEN_PASSTHROUGH;
	t.d->backing_id = other;
	refused(&t);
	t.d->backing_id = t.id;
	g = opened(&t, O_RDONLY);
	ok(pf_close(f));
	t.d->open_flags = 0;
	refused(&t); /* one is left */
	ok(pf_close(g));
	f = opened(&t, O_RDONLY);
	ok(pf_close(f));
	t.d->open_flags = FOPEN_PASSTHROUGH;
	t.d->backing_id = other;
	ok(pf_close(opened(&t, O_RDONLY)));
	end(&t);
}

/* A direct open caches nothing until it is mapped; that it may not any more. */
static void direct_open_beside_it(void **state)
{
	struct pf_mapping *map;
	struct pf_file *f, *g;
	struct through t;
	char c;

	begin(&t, FUSE_DIRECT_IO_ALLOW_MMAP, 0);
	t.d->open_flags = FOPEN_DIRECT_IO;
	f = opened(&t, O_RDONLY);
	t.d->open_flags = FOPEN_PASSTHROUGH;
	g = opened(&t, O_RDONLY);
	fails(pf_mmap(f, PAGE, PROT_READ, MAP_SHARED, 0, &map), ENODEV);
	fails(pf_mmap(f, PAGE, PROT_READ, MAP_PRIVATE, 0, &map), ENODEV);
	assert_int_equal(pf_pread(f, &c, 1, 0), 1); /* it reads on from the server */
	assert_int_equal(mock_count(t.m, FUSE_READ), 1);
	ok(pf_close(g));
	ok(pf_mmap(f, PAGE, PROT_READ, MAP_SHARED, 0, &map));
	t.d->open_flags = FOPEN_PASSTHROUGH;
	refused(&t); /* since it caches now */
	ok(pf_munmap(map));
	ok(pf_close(f));
	ok(pf_close(opened(&t, O_RDONLY)));
	end(&t);
}

static void closing_the_id_leaves_what_is_open(void **state)
{
	struct pf_file *f;
	struct through t;
	char c;

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR);
	ok(mock_backing_close(t.m, t.id));
	close(t.fd);
	assert_int_equal(pf_pread(f, &c, 1, 5), 1);
	assert_int_equal(c, (char)byte_at(5));
	assert_int_equal(pf_pwrite(f, "x", 1, 5), 1);
	refused(&t);
	ok(pf_close(f));
	t.fd = open(t.path, O_RDWR | O_CLOEXEC);
	backing_has(&t, "x", 5);
	end(&t);
}

/* ---- bytes */

static void reads(void **state)
{
	struct iovec iov[3];
	char buf[SIZE + 10], a[3], b[4], c[5];
	struct pf_borrow loan;
	struct pf_file *f;
	struct through t;

	begin(&t, 0, 0);
	f = opened(&t, O_RDONLY);
	assert_int_equal(pf_pread(f, buf, sizeof buf, 0), SIZE);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal((unsigned char)buf[i], byte_at(i));
	assert_int_equal(pf_pread(f, buf, 10, SIZE), 0);
	assert_int_equal(pf_pread(f, buf, 10, SIZE - 3), 3);
	iov[0] = (struct iovec){a, 3};
	iov[1] = (struct iovec){b, 4};
	iov[2] = (struct iovec){c, 5};
	assert_int_equal(pf_lseek(f, 100, SEEK_SET), 100);
	assert_int_equal(pf_readv(f, iov, 3), 12);
	assert_int_equal((unsigned char)c[4], byte_at(111));
	assert_int_equal(pf_read(f, buf, 1), 1);
	assert_int_equal((unsigned char)buf[0], byte_at(112));
	assert_int_equal(pf_read_borrow(f, 50, 1000, &loan), 50);
	assert_int_equal(((const unsigned char *)loan.data)[49], byte_at(1049));
	pf_read_return(&loan);
	fails(pf_pwrite(f, "x", 1, 0), EBADF);
	assert_int_equal(stats_of(t.m).reads_passthrough, 6);
	assert_int_equal(stats_of(t.m).reads_cached, 0);
	no_data_requests(&t);
	ok(pf_close(f));
	end(&t);
}

static void writes(void **state)
{
	struct iovec iov[2] = {{(char *)"one", 3}, {(char *)"two", 3}};
	struct pf_file *f, *g;
	struct through t;
	char buf[8];

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR);
	g = opened(&t, O_WRONLY | O_APPEND);
	assert_int_equal(pf_pwrite(f, "hello", 5, 100), 5);
	backing_has(&t, "hello", 100);
	assert_int_equal(pf_pwritev(f, iov, 2, 200), 6);
	backing_has(&t, "onetwo", 200);
	assert_int_equal(pf_pread(f, buf, 5, 100), 5);
	assert_memory_equal(buf, "hello", 5);
	/* Where the backing file ends, whatever we know of it. */
	assert_int_equal(ftruncate(t.fd, 500), 0);
	assert_int_equal(pf_write(g, "end", 3), 3);
	backing_has(&t, "end", 500);
	assert_int_equal(pf_write(g, "END", 3), 3);
	backing_has(&t, "END", 503);
	assert_int_equal(pf_lseek(g, 0, SEEK_CUR), 506);
	assert_int_equal(pf_pwritev2(f, iov, 1, 0, RWF_APPEND), 3);
	backing_has(&t, "one", 506);
	ok(pf_setfl(g, 0));
	assert_int_equal(pf_pwrite(g, "begin", 5, 0), 5);
	backing_has(&t, "begin", 0);
	assert_int_equal(stats_of(t.m).writes_passthrough, 6);
	no_data_requests(&t);
	ok(pf_close(f));
	ok(pf_close(g));
	end(&t);
}

static void done_aio(void *ctx, ssize_t result)
{
	atomic_store((_Atomic ssize_t *)ctx, result);
}

static ssize_t wait_for(_Atomic ssize_t *n)
{
	wait_until(atomic_load(n) != -1000);
	return atomic_load(n);
}

static void asynchronous(void **state)
{
	_Atomic ssize_t n = -1000;
	struct pf_file *f;
	struct through t;
	char buf[10];

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR);
	ok(pf_aio_write(f, "async", 5, 7, done_aio, (void *)&n));
	assert_int_equal(wait_for(&n), 5);
	backing_has(&t, "async", 7);
	n = -1000;
	ok(pf_aio_read(f, buf, 5, 7, done_aio, (void *)&n));
	assert_int_equal(wait_for(&n), 5);
	assert_memory_equal(buf, "async", 5);
	no_data_requests(&t);
	ok(pf_close(f));
	end(&t);
}

/* With DIRECT_IO reads and writes are the server's; a mapping is of the backing file. */
static void direct_and_passthrough(void **state)
{
	struct pf_mapping *map;
	struct pf_file *f;
	struct through t;
	char buf[4];

	begin(&t, 0, FOPEN_DIRECT_IO);
	f = opened(&t, O_RDWR);
	assert_int_equal(pf_pread(f, buf, 4, 0), 4);
	mock_data_check(t.d, buf, 0, 4);
	assert_int_equal(pf_pwrite(f, "abcd", 4, 0), 4);
	assert_int_equal(mock_count(t.m, FUSE_READ), 1);
	assert_int_equal(mock_count(t.m, FUSE_WRITE), 1);
	ok(pf_mmap(f, SIZE, PROT_READ, MAP_SHARED, 0, &map));
	assert_int_equal(((unsigned char *)pf_mapping_address(map))[17], byte_at(17));
	ok(pf_munmap(map));
	t.d->open_flags = 0;
	refused(&t);
	ok(pf_close(f));
	end(&t);
}

static void errors_are_passed_on(void **state)
{
	struct pf_file *f;
	struct through t;
	char *page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR);
	fails(pf_pread(f, page, 1, 0), EFAULT);
	fails(pf_pwrite(f, page, 1, 0), EFAULT);
	fails(pf_pread(f, page, 1, -1), EINVAL);
	ok(pf_close(f));
	munmap(page, PAGE);
	end(&t);
}

/* ---- attributes */

static void attributes(void **state)
{
	struct pf_file *f;
	struct through t;
	struct stat st;
	size_t asked;
	char c;

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR);
	ok(pf_fstat(f, &st));
	asked = t.d->getattrs;
	assert_int_equal(pf_pwrite(f, "x", 1, 2 * SIZE), 1);
	ok(pf_stat(t.m->fs, "foo", &st)); /* asked for again, since it was written to */
	assert_int_equal(t.d->getattrs, asked + 1);
	assert_int_equal(st.st_size, 2 * SIZE + 1);
	assert_int_equal(pf_lseek(f, 0, SEEK_END), 2 * SIZE + 1);
	ok(pf_stat(t.m->fs, "foo", &st));
	assert_int_equal(t.d->getattrs, asked + 1);
	assert_int_equal(pf_pread(f, &c, 1, 0), 1);
	ok(pf_stat(t.m->fs, "foo", &st)); /* for its atime */
	assert_int_equal(t.d->getattrs, asked + 2);
	ok(pf_close(f));
	end(&t);
}

/* What is no read, write or mapping stays the server's. */
static void all_else_is_the_servers(void **state)
{
	struct pf_file *f;
	struct through t;

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR);
	ok(pf_fsync(f, 0));
	assert_int_equal(mock_count(t.m, FUSE_FSYNC), 1);
	ok(pf_ftruncate(f, 100));
	assert_int_equal(mock_count(t.m, FUSE_SETATTR), 1);
	ok(pf_fallocate(f, 0, 0, 1000));
	assert_int_equal(mock_count(t.m, FUSE_FALLOCATE), 1);
	(void)pf_lseek(f, 0, SEEK_DATA);
	assert_int_equal(mock_count(t.m, FUSE_LSEEK), 1);
	ok(pf_close(f));
	assert_int_equal(mock_count(t.m, FUSE_FLUSH), 1);
	end(&t);
}

static void sync_writes_need_no_request(void **state)
{
	struct pf_file *f;
	struct through t;

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR | O_SYNC);
	assert_int_equal(pf_pwrite(f, "x", 1, 0), 1);
	assert_int_equal(mock_count(t.m, FUSE_FSYNC), 0);
	ok(pf_close(f));
	end(&t);
}

/* What was cached before goes with the open. */
static void cached_data_goes(void **state)
{
	struct pf_file *f;
	struct through t;
	char buf[4];

	begin(&t, 0, 0);
	t.d->open_flags = 0;
	f = opened(&t, O_RDONLY);
	reads_right(t.d, f, PAGE, 0);
	ok(pf_close(f));
	assert_true(stats_of(t.m).pages > 0);
	t.d->open_flags = FOPEN_PASSTHROUGH;
	f = opened(&t, O_RDWR);
	assert_int_equal(stats_of(t.m).pages, 0);
	assert_int_equal(pf_pwrite(f, "new!", 4, 0), 4);
	assert_int_equal(pf_pread(f, buf, 4, 0), 4);
	assert_memory_equal(buf, "new!", 4);
	ok(pf_close(f));
	end(&t);
}

/* ---- options that speak of the cache leave it alone */

static void whatever_the_cache_option(void **state)
{
	static const int modes[] = {PF_CACHE_NONE, PF_CACHE_ALWAYS};

	for (int i = 0; i < 2; i++) {
		struct mock_options o = {.passthrough = true,
					 .pf = PF_OPTIONS_INIT,
					 .pf_set = true,
					 .flags = FUSE_PASSTHROUGH,
					 .init = {.max_stack_depth = 2}};
		struct through t = {0};
		struct pf_file *f;
		char c;

		o.pf.cache = modes[i];
		t.fd = backing_file(t.path, 100);
		t.m = serve_foo(&o, 100, &t.d);
		t.d->open_flags = FOPEN_PASSTHROUGH;
		t.d->backing_id = mock_backing_open(t.m, t.fd);
		f = opened(&t, O_RDONLY);
		assert_int_equal(pf_pread(f, &c, 1, 50), 1);
		assert_int_equal((unsigned char)c, byte_at(50));
		no_data_requests(&t);
		ok(pf_close(f));
		end(&t);
	}
}

/* ---- all at once */

struct crowd {
	struct through *t;
	pthread_t thread;
	_Atomic bool *over;
	unsigned opened, refused;
	bool wrong;
};

static bool read_byte(struct pf_file *f, uint64_t at)
{
	unsigned char c = 0;

	return pf_pread(f, &c, 1, (off_t)at) == 1 && c == mock_data_byte(0, at);
}

static void *open_and_read(void *arg)
{
	struct crowd *c = arg;
	struct pf_mapping *map;
	struct pf_file *f;

	for (uint64_t i = 0; !atomic_load(c->over); i++) {
		int r = pf_open(c->t->m->fs, "foo", O_RDONLY, 0, &f);

		c->wrong |= r && r != -EIO;
		c->refused += r == -EIO;
		c->opened += !r;
		if (r)
			continue;
		c->wrong |= !read_byte(f, i * 37 % SIZE);
		if (i % 5 == 0 && !pf_mmap(f, PAGE, PROT_READ, MAP_SHARED, 0, &map)) {
			c->wrong |=
			    *(unsigned char *)pf_mapping_address(map) != mock_data_byte(0, 0);
			c->wrong |= pf_munmap(map) != 0;
		}
		c->wrong |= pf_close(f) != 0;
	}
	return NULL;
}

/* Opens of all kinds beside each other, as the server likes: each is refused or right. */
static void a_crowd(void **state)
{
	static const uint32_t kinds[] = {FOPEN_PASSTHROUGH, 0, FOPEN_DIRECT_IO,
					 FOPEN_PASSTHROUGH | FOPEN_DIRECT_IO};
	_Atomic bool over = false;
	struct crowd crowd[4];
	struct through t;

	begin(&t, FUSE_DIRECT_IO_ALLOW_MMAP, 0);
	for (unsigned i = 0; i < SIZE; i++) {
		unsigned char c = mock_data_byte(0, i);

		assert_int_equal(pwrite(t.fd, &c, 1, (off_t)i), 1);
	}
	for (int i = 0; i < 4; i++) {
		crowd[i] = (struct crowd){.t = &t, .over = &over};
		assert_int_equal(pthread_create(&crowd[i].thread, NULL, open_and_read, &crowd[i]),
				 0);
	}
	for (unsigned i = 0; i < 200; i++) {
		struct timespec while_ = {.tv_nsec = 3 * MS};
		int id = mock_backing_open(t.m, t.fd);

		pthread_mutex_lock(&t.m->lock);
		t.d->open_flags = kinds[i % 4];
		t.d->backing_id = id;
		pthread_mutex_unlock(&t.m->lock);
		nanosleep(&while_, NULL);
		ok(mock_backing_close(t.m, id));
	}
	over = true;
	for (int i = 0; i < 4; i++) {
		pthread_join(crowd[i].thread, NULL);
		assert_false(crowd[i].wrong);
		assert_true(crowd[i].opened > 0);
	}
	end(&t);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    timed(offered_where_it_can_be_had),
	    timed(not_negotiated_nothing_is_registered),
	    timed(only_regular_files),
	    timed(ids),
	    timed(many_ids),
	    timed(invalid_opens),
	    timed(caching_keeps_it_out),
	    timed(it_keeps_others_out),
	    timed(direct_open_beside_it),
	    timed(closing_the_id_leaves_what_is_open),
	    timed(reads),
	    timed(writes),
	    timed(asynchronous),
	    timed(direct_and_passthrough),
	    timed(errors_are_passed_on),
	    timed(attributes),
	    timed(all_else_is_the_servers),
	    timed(sync_writes_need_no_request),
	    timed(cached_data_goes),
	    timed(whatever_the_cache_option),
	    timed(a_crowd),
	};

	return run_cached_tests(argc, argv, tests);
}
