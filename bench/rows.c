/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of the table: each the same work for every client. */
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEEP        "a/b/c/d"
#define FILE_BYTES  4096
#define NULL_SIZE   "size=1073741824" /* of the file that is read */
#define SLICE_FILES 500
#define STATS       20000 /* by each thread */

/* ---- round trips on one open file ---------------------------------------------------------- */

static int open_data(struct side *side)
{
	side->file.fs = &side->fs;
	return side->client->open(&side->fs, "data", O_RDONLY, 0, &side->file);
}

static void close_data(struct side *side)
{
	side->client->close(&side->file);
}

static double sample_fstat(struct side *side)
{
	uint64_t start = now_ns();
	struct stat st;

	for (uint64_t i = 0; i < side->iterations; i++) {
		int ret = side->client->fstat(&side->file, &st);

		if (ret)
			return ret;
	}
	return now_ns() - start;
}

static double sample_read(struct side *side)
{
	const size_t size = side->row->size;
	uint64_t start = now_ns();

	for (uint64_t i = 0; i < side->iterations; i++) {
		ssize_t n = side->client->pread(&side->file, side->buffer, size, i % 64 * size);

		if (n != (ssize_t)size)
			return n < 0 ? n : -EIO;
	}
	return now_ns() - start;
}

/* ---- names --------------------------------------------------------------------------------- */

static double sample_stat(struct side *side)
{
	uint64_t start = now_ns();
	struct stat st;

	for (uint64_t i = 0; i < side->iterations; i++) {
		int ret = side->client->stat(&side->fs, DEEP, &st);

		if (ret)
			return ret;
	}
	return now_ns() - start;
}

static int warm_stat(struct side *side)
{
	struct stat st;

	return side->client->stat(&side->fs, DEEP, &st);
}

static double sample_list(struct side *side)
{
	uint64_t start = now_ns(), took;
	long n = side->client->list(&side->fs, "many");
	long wanted = side->options->quick ? QUICK_ENTRIES : ENTRIES;

	took = now_ns() - start;
	if (n < 0)
		return n;
	if (n < wanted || n > wanted + 2) { /* "." and ".." may be there */
		fail("%s listed %ld of %ld entries", side->client->name, n, wanted);
		return -EIO;
	}
	return took;
}

static int make_file(struct side *side, const char *name)
{
	const struct client *client = side->client;
	struct handle h = {.fs = &side->fs};
	ssize_t n;
	int ret;

	ret = client->open(&side->fs, name, O_CREAT | O_EXCL | O_WRONLY, 0644, &h);
	if (ret)
		return ret;
	n = client->pwrite(&h, side->buffer, FILE_BYTES, 0);
	ret = client->close(&h);
	if (n != FILE_BYTES)
		return n < 0 ? n : -EIO;
	return ret ? ret : client->unlink(&side->fs, name);
}

static double sample_create(struct side *side)
{
	uint64_t start = now_ns();
	char name[32];

	for (uint64_t i = 0; i < side->iterations; i++) {
		int ret;

		snprintf(name, sizeof(name), "file%06u", (unsigned)side->done++);
		ret = make_file(side, name);
		if (ret)
			return ret;
	}
	return now_ns() - start;
}

/* ---- two threads ----------------------------------------------------------------------------- */

static int stat_again(struct side *side, int thread, uint64_t times)
{
	struct stat st;
	int ret = 0;

	for (uint64_t i = 0; i < times && !ret; i++)
		ret = side->client->stat(&side->fs, DEEP, &st);
	return ret;
}

static double sample_scaling(struct side *side)
{
	return thread_scaling(side, STATS, stat_again);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* What the kernel's allocator says a cached name and its inode take. */
static double kernel_memory(void)
{
	FILE *f = fopen("/proc/slabinfo", "re");
	unsigned objects, total, size, sum = 0;
	char line[512], name[64];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %u %u %u", name, &objects, &total, &size) == 4 &&
		    (!strcmp(name, "dentry") || !strcmp(name, "fuse_inode")))
			sum += size;
	if (f)
		fclose(f);
	return sum ? (double)sum : -ENOENT;
}

/* In a process of its own, so that nothing else lies in the heap. See memory.c. */
static double library_memory(struct side *side)
{
	unsigned names = side->options->quick ? QUICK_NAMES : NAMES;
	double bytes = -EIO;
	char command[64];
	FILE *f;

	snprintf(command, sizeof(command), "exec /proc/%d/exe --memory-of %u", (int)getpid(),
		 names);
	f = popen(command, "re");
	if (!f)
		return -errno;
	if (fscanf(f, "%lf", &bytes) != 1)
		bytes = -EIO;
	if (pclose(f))
		bytes = -EIO;
	return bytes;
}

static double sample_memory(struct side *side)
{
	return side->client == &client_kernel ? kernel_memory() : library_memory(side);
}

/* ---- the table ---------------------------------------------------------------------------------
 */

#define THREE                                                                                      \
	{                                                                                          \
		&client_kernel, &client_portfire, &client_floor                                    \
	}
#define TWO                                                                                        \
	{                                                                                          \
		&client_kernel, &client_portfire                                                   \
	}
#define SERVER          .server = "nullserver"
#define ROUND_TRIP(fn)  .prepare = open_data, .finish = close_data, .sample = fn
#define AT_MOST(factor) .aim_kind = AIM_RATIO, .aim = factor
#define READ_ROW(n, t, bytes, pin, factor)                                                         \
	{                                                                                          \
		.name = n, .title = t, .unit = "us", .clients = THREE, SERVER,                     \
		.floor = "the messages alone, no library", .options = NULL_SIZE, .pinned = pin,    \
		AT_MOST(factor), .size = bytes, .expect = "read", ROUND_TRIP(sample_read)          \
	}
#define GETATTR_ROW(n, t, pin, factor)                                                             \
	{                                                                                          \
		.name = n, .title = t, .unit = "us", .clients = THREE, SERVER,                     \
		.floor = "the messages alone, no library", .options = NULL_SIZE ",attr_timeout=0", \
		.pinned = pin, AT_MOST(factor), .expect = "getattr", ROUND_TRIP(sample_fstat)      \
	}
#define CREATE_ROW(n, t, pin)                                                                      \
	{                                                                                          \
		.name = n, .title = t, .unit = "us", .clients = TWO, .server = "passthrough_ll",   \
		.options = "source=", .pinned = pin, AT_MOST(1.1), .samples = 20,                  \
		.pieces = SLICE_FILES, .sample = sample_create                                     \
	}

const struct row rows[] = {
    GETATTR_ROW("getattr-pinned", "GETATTR, one core", true, 1.0),
    GETATTR_ROW("getattr", "GETATTR", false, 1.3),
    READ_ROW("read4k-pinned", "READ 4 KiB, one core", 4 << 10, true, 1.0),
    READ_ROW("read4k", "READ 4 KiB", 4 << 10, false, 1.3),
    READ_ROW("read128k-pinned", "READ 128 KiB, one core", 128 << 10, true, 0.9),
    READ_ROW("read128k", "READ 128 KiB", 128 << 10, false, 0.9),
    READ_ROW("read1m-pinned", "READ 1 MiB, one core", 1 << 20, true, 0.9),
    READ_ROW("read1m", "READ 1 MiB", 1 << 20, false, 0.9),
    {.name = "stat",
     .title = "cached stat, 4 deep",
     .unit = "us",
     .clients = TWO,
     SERVER,
     AT_MOST(0.5),
     .expect = "",
     .prepare = warm_stat,
     .sample = sample_stat},
    {.name = "readdir",
     .title = "readdir + stat, cold",
     .unit = "ms",
     .clients = TWO,
     SERVER,
     .options = "files=",
     AT_MOST(0.7),
     .samples = 7,
     .pieces = 1,
     .cold = true,
     .sample = sample_list},
    CREATE_ROW("create-pinned", "create write close unlink, one core", true),
    CREATE_ROW("create", "create write close unlink", false),
    {.name = "inproc",
     .title = "GETATTR, inproc server",
     .unit = "us",
     .clients = {&client_kernel, &client_inproc},
     SERVER,
     .options = NULL_SIZE ",attr_timeout=0",
     AT_MOST(0.1),
     ROUND_TRIP(sample_fstat)},
    {.name = "memory",
     .title = "memory of a cached name + inode",
     .unit = "B",
     .clients = TWO,
     .aim_kind = AIM_AT_MOST,
     .aim = 400,
     .samples = 1,
     .pieces = 1,
     .kernel_needs = "/proc/slabinfo",
     .sample = sample_memory},
    {.name = "threads",
     .title = "cached stat, two threads against one",
     .unit = "x",
     .clients = TWO,
     SERVER,
     .aim_kind = AIM_AT_LEAST,
     .aim = 1.8,
     .samples = 15,
     .pieces = 1,
     .prepare = warm_stat,
     .sample = sample_scaling},
    {.name = NULL},
};
