/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the tests of passthrough opens: a served file "foo" with a backing file of ours. */
#ifndef TESTS_PASSTHROUGH_H
#define TESTS_PASSTHROUGH_H

#include "base/alloc.h"
#include "tests/behave/cached.h"

#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define SIZE 10000u

/* A file that passes through to one of ours. */
struct through {
	struct mock *m;
	struct mock_data *d;
	int fd, id; /* the backing file; its id */
	char path[64];
};

static struct through *current; /* for before_getattr, which gets no context */

static inline void size_of_backing(struct mock_data *d)
{
	struct stat st;

	if (fstat(current->fd, &st) == 0)
		d->size = (uint64_t)st.st_size;
}

static inline unsigned char byte_at(uint64_t offset)
{
	return (unsigned char)(offset * 7 + offset / 251 + 1);
}

static inline int backing_file(char *path, size_t size)
{
	int fd;

	strcpy(path, "/var/tmp/portfire-test-XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t i = 0; i < size; i++) {
		unsigned char c = byte_at(i);

		assert_int_equal(pwrite(fd, &c, 1, (off_t)i), 1);
	}
	return fd;
}

static inline void begin(struct through *t, uint64_t flags, uint32_t open_flags)
{
	struct mock_options o = {
	    .passthrough = true, .flags = flags | FUSE_PASSTHROUGH, .init = {.max_stack_depth = 1}};

	*t = (struct through){0};
	t->fd = backing_file(t->path, SIZE);
	t->m = serve_foo(&o, SIZE, &t->d);
	t->d->loose = true;
	mock_data_writable(t->d);
	current = t;
	t->d->before_getattr = size_of_backing;
	t->id = mock_backing_open(t->m, t->fd);
	assert_int_equal(t->id, 1);
	t->d->open_flags = FOPEN_PASSTHROUGH | open_flags;
	t->d->backing_id = t->id;
}

static inline void end(struct through *t)
{
	mock_end(t->m);
	close(t->fd);
	unlink(t->path);
}

static inline struct pf_file *opened(struct through *t, int flags)
{
	struct pf_file *f;

	ok(pf_open(t->m->fs, "foo", flags, 0, &f));
	return f;
}

static inline void backing_has(struct through *t, const char *text, off_t at)
{
	char buf[64] = "";

	assert_int_equal(pread(t->fd, buf, strlen(text), at), (ssize_t)strlen(text));
	assert_string_equal(buf, text);
}

static inline void no_data_requests(struct through *t)
{
	assert_int_equal(mock_count(t->m, FUSE_READ), 0);
	assert_int_equal(mock_count(t->m, FUSE_WRITE), 0);
}

static inline void refused(struct through *t)
{
	struct pf_file *f;
	uint64_t releases;

	mock_settle(t->m);
	releases = mock_count(t->m, FUSE_RELEASE);

	fails(pf_open(t->m->fs, "foo", O_RDWR, 0, &f), EIO);
	assert_int_equal(mock_count(t->m, FUSE_RELEASE), releases + 1); /* and the handle is back */
}

#endif
