/* SPDX-License-Identifier: BSD-2-Clause */
/* The floor under a cached read: a copy from memory of the file's size, by the same offsets. */
#include "bench.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static int memcpy_start(struct fs *fs, char *const argv[])
{
	fs->memory =
	    mmap(NULL, fs->memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fs->memory == MAP_FAILED)
		return -errno;
	memset(fs->memory, 'x', fs->memory_size); /* else all of it is one page of zeros */
	return 0;
}

static void memcpy_stop(struct fs *fs)
{
	munmap(fs->memory, fs->memory_size);
}

static int memcpy_open(struct fs *fs, const char *path, int flags, mode_t mode, struct handle *h)
{
	return 0;
}

static int memcpy_close(struct handle *h)
{
	return 0;
}

static ssize_t memcpy_pread(struct handle *h, void *buf, size_t size, off_t off)
{
	size_t end = h->fs->memory_size, left = off < (off_t)end ? end - off : 0;

	if (size > left)
		size = left;
	memcpy(buf, h->fs->memory + off, size);
	return size;
}

const struct client client_memcpy = {
    .name = "memcpy",
    .serverless = true,
    .start = memcpy_start,
    .stop = memcpy_stop,
    .open = memcpy_open,
    .close = memcpy_close,
    .pread = memcpy_pread,
};
