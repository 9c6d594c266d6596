/* SPDX-License-Identifier: BSD-2-Clause */
/* The cases on file contents: reading, writing, sizes, descriptors. */
#include "exercise.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>

enum { LENGTH = 300000 };
static char data[2 * LENGTH], buf[2 * LENGTH];

static bool create(void)
{
	struct pf_file *file;
	struct stat st;

	pattern(data, 10000, 1);
	OK(pf_open(fs, "/work/f", O_RDWR | O_CREAT | O_EXCL, 0640, &file));
	EXPECT(pf_pwrite(file, data, 10000, 0), 10000);
	OK(pf_fstat(file, &st));
	EXPECT(st.st_size, 10000);
	CHECK(S_ISREG(st.st_mode), "it is no regular file: %o", st.st_mode);
	EXPECT(pf_pread(file, buf, 10000, 0), 10000);
	CHECK(!memcmp(buf, data, 10000), "the descriptor reads other bytes than it wrote");
	OK(pf_close(file));
	HOLDS(has_bytes("/work/f", data, 10000));
	EXPECT(pf_open(fs, "/work/f", O_RDWR | O_CREAT | O_EXCL, 0640, &file), -EEXIST);
	OK(pf_unlink(fs, "/work/f"));
	EXPECT(pf_stat(fs, "/work/f", &st), -ENOENT);
	return backing_exists("/work/f", false);
}

static bool overwrite(void)
{
	struct pf_file *file;

	pattern(data, LENGTH, 2);
	HOLDS(put_file("/work/f", data, LENGTH));
	OK(pf_open(fs, "/work/f", O_RDWR, 0, &file));
	pattern(data + 5000, 140000, 3);
	EXPECT(pf_pwrite(file, data + 5000, 140000, 5000), 140000);
	data[0] = 'x';
	EXPECT(pf_pwrite(file, data, 1, 0), 1);
	data[LENGTH - 1] = 'y';
	EXPECT(pf_pwrite(file, data + LENGTH - 1, 1, LENGTH - 1), 1);
	OK(pf_close(file));
	HOLDS(has_bytes("/work/f", data, LENGTH));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool append(void)
{
	struct pf_file *file;

	pattern(data, 5000, 4);
	HOLDS(put_file("/work/f", data, 1000));
	OK(pf_open(fs, "/work/f", O_WRONLY | O_APPEND, 0, &file));
	EXPECT(pf_write(file, data + 1000, 3000), 3000);
	EXPECT(pf_write(file, data + 4000, 1000), 1000);
	OK(pf_close(file));
	HOLDS(has_bytes("/work/f", data, 5000));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool write_in_hole(void)
{
	struct pf_file *file;

	memset(data, 0, LENGTH);
	pattern(data, 100, 5);
	pattern(data + 200001, 50000, 6);
	OK(pf_open(fs, "/work/f", O_RDWR | O_CREAT, 0644, &file));
	EXPECT(pf_pwrite(file, data, 100, 0), 100);
	EXPECT(pf_pwrite(file, data + 200001, 50000, 200001), 50000);
	EXPECT(pf_pread(file, buf, 300, 50), 300);
	CHECK(!memcmp(buf, data + 50, 300), "the hole does not read as zeros");
	OK(pf_close(file));
	HOLDS(has_bytes("/work/f", data, 250001));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool truncate_down_and_up(void)
{
	struct pf_file *file;
	struct stat st;

	pattern(data, LENGTH, 7);
	HOLDS(put_file("/work/f", data, LENGTH));
	OK(pf_truncate(fs, "/work/f", 4097));
	HOLDS(has_bytes("/work/f", data, 4097));
	if (!lacks("extend")) {
		OK(pf_open(fs, "/work/f", O_RDWR, 0, &file));
		OK(pf_ftruncate(file, 200000));
		OK(pf_fstat(file, &st));
		EXPECT(st.st_size, 200000);
		OK(pf_close(file));
		memset(data + 4097, 0, 200000 - 4097);
		HOLDS(has_bytes("/work/f", data, 200000));
	}
	OK(pf_truncate(fs, "/work/f", 0));
	HOLDS(has_bytes("/work/f", data, 0));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool open_with_trunc(void)
{
	struct pf_file *file;

	pattern(data, LENGTH, 8);
	HOLDS(put_file("/work/f", data, LENGTH));
	OK(pf_open(fs, "/work/f", O_WRONLY | O_TRUNC, 0, &file));
	EXPECT(pf_write(file, data + 10, 20), 20);
	OK(pf_close(file));
	HOLDS(has_bytes("/work/f", data + 10, 20));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool large_write(void)
{
	enum { LARGE = 3 * 1024 * 1024 + 7 };
	char *large = malloc(2 * LARGE);
	struct pf_file *file = NULL;

	pattern(large, LARGE, 9);
	bool ok = pf_open(fs, "/work/f", O_RDWR | O_CREAT, 0644, &file) == 0 &&
		  pf_pwrite(file, large, LARGE, 0) == LARGE &&
		  pf_pread(file, large + LARGE, LARGE, 0) == LARGE &&
		  !memcmp(large, large + LARGE, LARGE);
	if (file)
		ok = pf_close(file) == 0 && ok;
	ok = ok && has_bytes("/work/f", large, LARGE);
	free(large);
	CHECK(ok, "3 MiB in one call do not come back");
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool vectors(void)
{
	struct iovec out[3] = {{data, 100}, {data + 100, 70000}, {data + 70100, 9}};
	struct iovec in[3] = {{buf, 1}, {buf + 1, 40000}, {buf + 40001, LENGTH}};
	struct pf_file *file;

	pattern(data, 70109, 10);
	OK(pf_open(fs, "/work/f", O_RDWR | O_CREAT, 0644, &file));
	EXPECT(pf_pwritev(file, out, 3, 0), 70109);
	EXPECT(pf_preadv(file, in, 3, 0), 70109);
	CHECK(!memcmp(buf, data, 70109), "the vectors give other bytes back");
	OK(pf_close(file));
	HOLDS(has_bytes("/work/f", data, 70109));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool read_at_end(void)
{
	struct pf_file *file;

	pattern(data, 5000, 11);
	HOLDS(put_file("/work/f", data, 5000));
	OK(pf_open(fs, "/work/f", O_RDONLY, 0, &file));
	EXPECT(pf_pread(file, buf, 1000, 4990), 10);
	EXPECT(pf_pread(file, buf, 1000, 5000), 0);
	EXPECT(pf_pread(file, buf, 1000, 1000000), 0);
	EXPECT(pf_pread(file, buf, 0, 0), 0);
	EXPECT(pf_pwrite(file, data, 1, 0), -EBADF);
	OK(pf_close(file));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool position(void)
{
	struct pf_file *file, *copy;

	pattern(data, 5000, 12);
	HOLDS(put_file("/work/f", data, 5000));
	OK(pf_open(fs, "/work/f", O_RDONLY, 0, &file));
	EXPECT(pf_read(file, buf, 100), 100);
	OK(pf_dup(file, &copy));
	EXPECT(pf_read(copy, buf, 100), 100);
	CHECK(!memcmp(buf, data + 100, 100), "the copy reads elsewhere");
	EXPECT(pf_lseek(file, 0, SEEK_CUR), 200);
	EXPECT(pf_lseek(file, -10, SEEK_END), 4990);
	OK(pf_close(file));
	EXPECT(pf_read(copy, buf, 100), 10);
	CHECK(!memcmp(buf, data + 4990, 10), "the end has other bytes");
	EXPECT(pf_lseek(copy, -1, SEEK_SET), -EINVAL);
	OK(pf_close(copy));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool two_descriptors(void)
{
	struct pf_file *writer, *reader;

	pattern(data, 9000, 13);
	OK(pf_open(fs, "/work/f", O_WRONLY | O_CREAT, 0644, &writer));
	OK(pf_open(fs, "/work/f", O_RDONLY, 0, &reader));
	EXPECT(pf_pwrite(writer, data, 9000, 0), 9000);
	EXPECT(pf_pread(reader, buf, 9001, 0), 9000);
	CHECK(!memcmp(buf, data, 9000), "the reader does not see what was written");
	OK(pf_close(reader));
	OK(pf_close(writer));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool unlink_while_open(void)
{
	struct pf_file *file;
	struct stat st;

	pattern(data, 9000, 14);
	OK(pf_open(fs, "/work/f", O_RDWR | O_CREAT, 0644, &file));
	EXPECT(pf_pwrite(file, data, 5000, 0), 5000);
	OK(pf_unlink(fs, "/work/f"));
	EXPECT(pf_stat(fs, "/work/f", &st), -ENOENT);
	EXPECT(pf_pwrite(file, data + 5000, 4000, 5000), 4000);
	EXPECT(pf_pread(file, buf, 9001, 0), 9000);
	CHECK(!memcmp(buf, data, 9000), "the file without a name has other bytes");
	OK(pf_fstat(file, &st));
	EXPECT(st.st_size, 9000);
	OK(pf_close(file));
	EXPECT(pf_stat(fs, "/work/f", &st), -ENOENT);
	return true;
}

static bool sync_file(void)
{
	struct pf_file *file;

	pattern(data, 9000, 15);
	OK(pf_open(fs, "/work/f", O_RDWR | O_CREAT, 0644, &file));
	EXPECT(pf_pwrite(file, data, 5000, 0), 5000);
	OK(pf_fsync(file, 0));
	HOLDS(backing_has("/work/f", data, 5000));
	EXPECT(pf_pwrite(file, data + 5000, 4000, 5000), 4000);
	OK(pf_fsync(file, 1));
	HOLDS(backing_has("/work/f", data, 9000));
	OK(pf_close(file));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool data_and_holes(void)
{
	struct pf_file *file;

	pattern(data, 4096, 16);
	OK(pf_open(fs, "/work/f", O_RDWR | O_CREAT, 0644, &file));
	EXPECT(pf_pwrite(file, data, 4096, 1 << 20), 4096);
	OK(pf_fsync(file, 0)); /* what a writeback cache holds, the server cannot find */
	off_t hole = pf_lseek(file, 1 << 20, SEEK_HOLE), start = pf_lseek(file, 0, SEEK_DATA);
	CHECK(hole == (1 << 20) + 4096, "the hole after the data is at %jd", (intmax_t)hole);
	CHECK(start >= 0 && start <= 1 << 20, "the data begin at %jd", (intmax_t)start);
	EXPECT(pf_lseek(file, (1 << 20) + 4096, SEEK_DATA), -ENXIO);
	OK(pf_close(file));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool allocate(void)
{
	struct pf_file *file;
	struct stat st;

	pattern(data, 1000, 17);
	OK(pf_open(fs, "/work/f", O_RDWR | O_CREAT, 0644, &file));
	EXPECT(pf_pwrite(file, data, 1000, 0), 1000);
	int e = pf_fallocate(file, 0, 0, 100000);
	if (e == 0) {
		OK(pf_fstat(file, &st));
		EXPECT(st.st_size, 100000);
	}
	OK(pf_close(file));
	OK(pf_unlink(fs, "/work/f"));
	if (e == -EOPNOTSUPP)
		return skip("the server has no fallocate");
	OK(e);
	return true;
}

static bool copy_range(void)
{
	struct pf_file *in, *out;
	off_t from = 100, to = 10;

	pattern(data, LENGTH, 18);
	HOLDS(put_file("/work/a", data, LENGTH));
	HOLDS(put_file("/work/b", data, 10));
	OK(pf_open(fs, "/work/a", O_RDONLY, 0, &in));
	OK(pf_open(fs, "/work/b", O_WRONLY, 0, &out));
	ssize_t n = pf_copy_file_range(in, &from, out, &to, 150000, 0);
	OK(pf_close(out));
	OK(pf_close(in));
	if (n > 0) {
		CHECK(from == 100 + n && to == 10 + n, "the offsets did not move");
		memmove(data + 10, data + 100, n);
		HOLDS(has_bytes("/work/b", data, 10 + n));
	}
	OK(pf_unlink(fs, "/work/a"));
	OK(pf_unlink(fs, "/work/b"));
	if (n == -EOPNOTSUPP)
		return skip("no copy_file_range here");
	CHECK(n > 0, "copy_file_range gave %zd", n);
	return true;
}

static bool locks(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
	struct pf_file *file, *other;

	HOLDS(put_file("/work/f", data, 100));
	OK(pf_open(fs, "/work/f", O_RDWR, 0, &file));
	OK(pf_open(fs, "/work/f", O_RDWR, 0, &other));
	OK(pf_lock(file, F_OFD_SETLK, &lock));
	EXPECT(pf_lock(other, F_OFD_SETLK, &lock), -EAGAIN);
	lock.l_type = F_UNLCK;
	OK(pf_lock(file, F_OFD_SETLK, &lock));
	OK(pf_flock(file, LOCK_EX));
	EXPECT(pf_flock(other, LOCK_SH | LOCK_NB), -EAGAIN);
	OK(pf_flock(file, LOCK_UN));
	OK(pf_flock(other, LOCK_SH | LOCK_NB));
	OK(pf_close(other));
	OK(pf_close(file));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

/* ---- several threads, each with files of its own ------------------------------------------- */

enum { THREADS = 4, ROUNDS = 25, PIECE = 20000 };

/* What thread number me could not do, NULL: nothing. */
static const char *rounds(int me)
{
	char mine[PIECE], back[PIECE + 1], name[64];
	struct pf_file *file;

	for (int round = 0; round < ROUNDS; round++) {
		pattern(mine, PIECE, me * 1000 + round);
		snprintf(name, sizeof(name), "/work/thread%d-%d", me, round);
		if (pf_open(fs, name, O_RDWR | O_CREAT | O_EXCL, 0644, &file) < 0)
			return "create";
		bool wrote = pf_pwrite(file, mine, PIECE, 0) == PIECE;
		bool read = pf_pread(file, back, PIECE + 1, 0) == PIECE;
		if (pf_close(file) < 0 || !wrote)
			return "write";
		if (!read || memcmp(mine, back, PIECE))
			return "read";
		if (pf_unlink(fs, name) < 0)
			return "unlink";
	}
	return NULL;
}

static const char *could_not[THREADS];

static void *work(void *arg)
{
	int me = (int)(intptr_t)arg;

	could_not[me] = rounds(me);
	return NULL;
}

static bool threads(void)
{
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++)
		OK(pthread_create(&thread[i], NULL, work, (void *)(intptr_t)i));
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < THREADS; i++)
		CHECK(!could_not[i], "thread %d failed to %s", i, could_not[i]);
	return true;
}

const struct exercise_case data_cases[] = {
    {"create", create},
    {"overwrite", overwrite, "overwrite"},
    {"append", append, "append"},
    {"write in a hole", write_in_hole, "holes"},
    {"truncate down and up", truncate_down_and_up, "truncate"},
    {"open with O_TRUNC", open_with_trunc, "truncate"},
    {"large write", large_write},
    {"vectors", vectors},
    {"read at the end", read_at_end},
    {"position", position},
    {"two descriptors", two_descriptors, "two-descriptors"},
    {"unlink while open", unlink_while_open, "unlink-while-open"},
    {"fsync", sync_file},
    {"data and holes", data_and_holes, "seek-data"},
    {"fallocate", allocate, "fallocate"},
    {"copy_file_range", copy_range},
    {"locks", locks, "locks"},
    {"threads", threads, "threads"},
    {NULL, NULL, NULL}};
