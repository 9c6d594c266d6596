// SPDX-License-Identifier: BSD-2-Clause
/*
 * Mappings of passthrough opens, which are of the backing file; and servers and backing files that
 * mean harm, or end too early.
 */
#include "tests/behave/through.h"

/* ---- mappings */

static void mappings(void **state)
{
	struct pf_mapping *map, *private;
	struct pf_file *f;
	struct through t;
	char *p, *q, buf[8];

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR);
	ok(pf_mmap(f, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &map));
	ok(pf_mmap(f, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, PAGE, &private));
	p = pf_mapping_address(map);
	q = pf_mapping_address(private);
	assert_int_equal((unsigned char)p[123], byte_at(123));
	assert_int_equal((unsigned char)q[1], byte_at(PAGE + 1));
	memcpy(p + 10, "mapped", 6); /* seen at once, by all */
	backing_has(&t, "mapped", 10);
	assert_int_equal(pf_pread(f, buf, 6, 10), 6);
	assert_memory_equal(buf, "mapped", 6);
	assert_int_equal(pf_pwrite(f, "written", 7, 20), 7);
	assert_memory_equal(p + 20, "written", 7);
	assert_int_equal(pwrite(t.fd, "below", 5, 40), 5);
	assert_memory_equal(p + 40, "below", 5);
	memcpy(q, "mine", 4);
	assert_int_equal((unsigned char)p[PAGE], byte_at(PAGE));
	ok(pf_msync(map, 0, SIZE));
	ok(pf_close(f)); /* it outlives the descriptor */
	memcpy(p, "late", 4);
	backing_has(&t, "late", 0);
	assert_int_equal(mock_count(t.m, FUSE_RELEASE), 0);
	ok(pf_munmap(map));
	ok(pf_munmap(private));
	no_data_requests(&t);
	end(&t);
}

static void forbidden_mappings(void **state)
{
	struct pf_mapping *map;
	struct pf_file *f, *g;
	struct through t;

	begin(&t, 0, 0);
	f = opened(&t, O_RDONLY);
	g = opened(&t, O_WRONLY);
	fails(pf_mmap(f, PAGE, PROT_WRITE, MAP_SHARED, 0, &map), EACCES);
	fails(pf_mmap(g, PAGE, PROT_WRITE, MAP_SHARED, 0, &map), EACCES);
	fails(pf_mmap(f, PAGE, PROT_READ, MAP_SHARED, 1, &map), EINVAL);
	fails(pf_mmap(f, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0, &map), EINVAL);
	ok(pf_close(f));
	ok(pf_close(g));
	end(&t);
}

/* ---- harm */

/* The server cuts what is mapped: there are zeros then, and nobody dies. */
static void cut_below_a_mapping(void **state)
{
	struct pf_mapping *map;
	struct pf_file *f;
	struct through t;
	char *p;

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR);
	ok(pf_mmap(f, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &map));
	p = pf_mapping_address(map);
	assert_int_equal(p[7 * PAGE], 0); /* behind the end from the start */
	p[6 * PAGE] = 'x';
	assert_int_equal((unsigned char)p[PAGE], byte_at(PAGE));
	assert_int_equal(ftruncate(t.fd, 0), 0);
	assert_int_equal(p[PAGE], 0);
	p[PAGE + 5] = 'y';
	assert_int_equal(p[PAGE + 5], 'y');
	ok(pf_msync(map, 0, 8 * PAGE));
	ok(pf_munmap(map));
	ok(pf_close(f));
	end(&t);
}

/* A signal that is not ours goes where it would have gone. */
static void another_bus_error_kills(void **state)
{
	struct pf_mapping *map;
	struct pf_file *f;
	struct through t;
	int status;
	pid_t pid;

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR);
	signal(SIGBUS, SIG_DFL); /* not cmocka's */
	ok(pf_mmap(f, PAGE, PROT_READ, MAP_SHARED, 0, &map));
	pid = fork();
	if (!pid) {
		char *p;

		p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, t.fd, 64 * PAGE);
		_exit(*(volatile char *)p ? 1 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	ok(pf_munmap(map));
	ok(pf_close(f));
	end(&t);
}

/* What the server may open and we may not goes by its descriptor, as far as that suffices. */
static void rights_of_the_descriptor(void **state)
{
	struct pf_file *f;
	struct through t;
	int ro, path;
	char c;

	if (geteuid() == 0)
		skip(); /* root may open anything */
	begin(&t, 0, 0);
	assert_int_equal(fchmod(t.fd, 0), 0);
	f = opened(&t, O_RDWR);
	assert_int_equal(pf_pwrite(f, "x", 1, 3), 1);
	assert_int_equal(pf_pread(f, &c, 1, 3), 1);
	backing_has(&t, "x", 3);
	ok(pf_close(f));
	fchmod(t.fd, 0600);
	ro = open(t.path, O_RDONLY | O_CLOEXEC);
	path = open(t.path, O_PATH | O_CLOEXEC);
	fchmod(t.fd, 0);
	t.d->backing_id = mock_backing_open(t.m, ro);
	f = opened(&t, O_RDONLY);
	ok(pf_close(f));
	refused(&t);
	t.d->backing_id = mock_backing_open(t.m, path);
	refused(&t);
	close(ro);
	close(path);
	end(&t);
}

/* One that may do less than we does not get at more by us than it has. */
static void rights_of_the_server(void **state)
{
	struct through t;
	int fd;

	begin(&t, 0, 0);
	t.d->backing_id = mock_backing_open_weak(t.m, t.fd);
	ok(pf_close(opened(&t, O_RDWR)));
	fd = open(t.path, O_RDONLY | O_CLOEXEC);
	t.d->backing_id = mock_backing_open_weak(t.m, fd);
	close(fd);
	ok(pf_close(opened(&t, O_RDONLY)));
	refused(&t);
	fd = open(t.path, O_WRONLY | O_APPEND | O_CLOEXEC);
	t.d->backing_id = mock_backing_open_weak(t.m, fd);
	close(fd);
	refused(&t);
	fd = open(t.path, O_PATH | O_CLOEXEC);
	t.d->backing_id = mock_backing_open_weak(t.m, fd);
	close(fd);
	refused(&t);
	end(&t);
}

/* The server has a lease on it: nobody waits for what it does about that. */
static void leased(void **state)
{
	struct pf_file *f;
	struct through t;
	int fd;

	begin(&t, 0, 0);
	signal(SIGIO, SIG_IGN);
	close(t.fd);
	fd = open(t.path, O_RDWR | O_CLOEXEC);
	t.fd = open(t.path, O_RDWR | O_CLOEXEC);
	close(t.fd);
	t.fd = fd;
	ok(mock_backing_close(t.m, t.id));
	if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0) {
		fprintf(stderr, "no leases here\n");
	} else {
		t.d->backing_id = mock_backing_open(t.m, fd);
		f = opened(&t, O_RDWR);
		assert_int_equal(pf_pwrite(f, "x", 1, 0), 1);
		ok(pf_close(f));
	}
	end(&t);
}

/* Any one allocation fails: the call does, or not, and nothing is left behind. */
static void without_memory(void **state)
{
	int fds = mock_open_fds();
	struct through t;

	begin(&t, 0, 0);
	for (uint64_t n = 1; n < 60; n++) {
		struct pf_mapping *map;
		struct pf_file *f;
		int id, r;
		char c;

		pf__alloc_fail_at(n, 0);
		id = mock_backing_open(t.m, t.fd);
		r = pf_open(t.m->fs, "foo", O_RDWR, 0, &f);
		if (!r) {
			assert_int_equal(pf_pread(f, &c, 1, 0), 1);
			r = pf_mmap(f, PAGE, PROT_READ, MAP_SHARED, 0, &map);
			if (!r)
				ok(pf_munmap(map));
			(void)pf_close(f);
		}
		pf__alloc_fail_at(0, 0);
		assert_true(r == 0 || r == -ENOMEM || r == -EIO);
		if (id > 0)
			ok(mock_backing_close(t.m, id));
		else
			assert_int_equal(id, -ENOMEM);
	}
	ok(pf_close(opened(&t, O_RDWR)));
	end(&t);
	assert_int_equal(mock_open_fds(), fds);
}

static void server_dies(void **state)
{
	struct pf_file *f;
	struct through t;
	struct stat st;
	char c;

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR);
	ok(pf_ftruncate(f, SIZE));
	mock_hang_up(t.m);
	/* What needs nobody goes on; the rest fails at once. */
	assert_int_equal(pf_pread(f, &c, 1, 0), 1);
	assert_int_equal(pf_pwrite(f, "x", 1, 0), 1);
	fails(pf_fstat(f, &st), ENOTCONN);
	(void)pf_close(f);
	end(&t);
}

/* Open when the file system ends. */
static void stopped_while_mapped(void **state)
{
	int fds = mock_open_fds();
	struct pf_mapping *map;
	struct pf_file *f;
	struct through t;
	char *p;

	begin(&t, 0, 0);
	f = opened(&t, O_RDWR);
	ok(pf_mmap(f, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &map));
	p = pf_mapping_address(map);
	end(&t);
	memcpy(p, "after", 5);
	assert_memory_equal(p, "after", 5);
	ok(pf_munmap(map));
	pf_close(f);
	assert_int_equal(mock_open_fds(), fds);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    timed(mappings),
	    timed(forbidden_mappings),
	    timed(cut_below_a_mapping),
	    timed(another_bus_error_kills),
	    timed(rights_of_the_descriptor),
	    timed(rights_of_the_server),
	    timed(leased),
	    timed(without_memory),
	    timed(server_dies),
	    timed(stopped_while_mapped),
	};

	return run_cached_tests(argc, argv, tests);
}
