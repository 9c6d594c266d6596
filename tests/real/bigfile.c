/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file much larger than the cache, through the library: it goes in and comes out as it was, and
 * neither the cache nor the process takes more memory than it may.
 *
 *   bigfile make FILE MIB                                        the file, without any server
 *   bigfile write|read|holes NAME MIB LIMIT_MIB -- SERVER ARG...
 *   bigfile small COUNT 0 LIMIT_MIB -- SERVER ARG...             many files of 1 KiB, all kept
 */
#include <err.h>
#include <fcntl.h>
#include <portfire/portfire.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (1ul << 20)

enum {
	STEP = 1 << 20,
	ALLOWED = 16,       /* MiB of the process beyond the cache: its code, stacks, a buffer */
	HOLE = 16 << 20,    /* holes: a page of data at the start of each of these */
	SMALL = 1024,       /* bytes of a small file */
	SMALL_COSTS = 3072, /* bytes that its names and structures may take */
	SPARE = 2,          /* MiB that were given back and may be used again for a second */
	PAGE = 4096,
};

static uint64_t buffer[STEP / sizeof(uint64_t)];

/* Words that tell where they belong, so that no page can stand for another. */
static void fill(uint64_t offset, size_t size)
{
	for (size_t i = 0; i < size / sizeof(*buffer); i++)
		buffer[i] = (offset / sizeof(*buffer) + i + 1) * 0x9e3779b97f4a7c15ull;
}

static void check(uint64_t offset, size_t size)
{
	for (size_t i = 0; i < size / sizeof(*buffer); i++)
		if (buffer[i] != (offset / sizeof(*buffer) + i + 1) * 0x9e3779b97f4a7c15ull)
			errx(1, "other data at %ju", (uintmax_t)(offset + i * sizeof(*buffer)));
}

static void ok(ssize_t result, const char *what)
{
	if (result < 0)
		errx(1, "%s: %s (%s)", what, strerror((int)-result), pf_error());
}

static struct pf_file *opened(struct pf_fs *fs, const char *name, int flags)
{
	struct pf_file *f;

	ok(pf_open(fs, name, flags, 0644, &f), name);
	return f;
}

static void write_at(struct pf_file *f, uint64_t offset, size_t size)
{
	ssize_t n;

	fill(offset, size);
	n = pf_pwrite(f, buffer, size, (off_t)offset);
	ok(n, "write");
	if ((size_t)n != size)
		errx(1, "a short write at %ju", (uintmax_t)offset);
}

/* A read may be short, as read(2) may. */
static void read_at(struct pf_file *f, uint64_t offset, size_t size)
{
	for (size_t got = 0; got < size;) {
		ssize_t n = pf_pread(f, (char *)buffer + got, size - got, (off_t)(offset + got));

		ok(n, "read");
		if (!n)
			errx(1, "the file ends at %ju", (uintmax_t)(offset + got));
		got += (size_t)n;
	}
}

/* ---- what is done ----------------------------------------------------------------------- */

static void read_all(struct pf_fs *fs, const char *name, uint64_t size)
{
	struct pf_file *f = opened(fs, name, O_RDONLY);

	for (uint64_t offset = 0; offset < size; offset += STEP) {
		read_at(f, offset, STEP);
		check(offset, STEP);
	}
	if (pf_pread(f, buffer, STEP, (off_t)size) != 0)
		errx(1, "the file does not end");
	ok(pf_close(f), "close");
}

static void write_all(struct pf_fs *fs, const char *name, uint64_t size)
{
	struct pf_file *f = opened(fs, name, O_WRONLY | O_CREAT | O_TRUNC);

	for (uint64_t offset = 0; offset < size; offset += STEP)
		write_at(f, offset, STEP);
	ok(pf_close(f), "close");
	read_all(fs, name, size);
}

static void write_holes(struct pf_fs *fs, const char *name, uint64_t size)
{
	struct pf_file *f = opened(fs, name, O_RDWR | O_CREAT | O_TRUNC);

	for (uint64_t offset = 0; offset < size; offset += HOLE)
		write_at(f, offset, PAGE);
	ok(pf_ftruncate(f, (off_t)size), "truncate");
	ok(pf_fsync(f, 0), "fsync");
	for (uint64_t offset = 0; offset < size; offset += HOLE) {
		read_at(f, offset, STEP);
		check(offset, PAGE);
		for (size_t i = PAGE / sizeof(*buffer); i < STEP / sizeof(*buffer); i++)
			if (buffer[i])
				errx(1, "data in the hole after %ju", (uintmax_t)offset);
	}
	ok(pf_close(f), "close");
}

static void write_small(struct pf_fs *fs, unsigned count)
{
	char name[32];

	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < count; i++) {
			struct pf_file *f;

			snprintf(name, sizeof(name), "/small%u", i);
			f = opened(fs, name, pass ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC);
			if (pass) {
				read_at(f, 0, SMALL);
				check(0, SMALL);
			} else {
				write_at(f, 0, SMALL);
			}
			ok(pf_close(f), "close");
		}
	}
}

/* ---- what it took ----------------------------------------------------------------------- */

static unsigned long peak_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[256];

	while (f && !kib && fgets(line, sizeof(line), f))
		sscanf(line, "VmHWM: %lu", &kib);
	if (f)
		fclose(f);
	return kib;
}

static void check_memory(struct pf_fs *fs, uint64_t limit, uint64_t process_limit)
{
	struct pf_stats st = {.size = sizeof(st)};
	uint64_t peak = peak_kib() * 1024ull;

	ok(pf_stats(fs, &st), "stats");
	printf("cache: at most %ju KiB of %ju; process: %ju KiB, %ju allowed\n",
	       (uintmax_t)st.cache_peak / 1024, (uintmax_t)limit / 1024, (uintmax_t)peak / 1024,
	       (uintmax_t)process_limit / 1024);
	if (st.cache_peak > limit)
		errx(1, "the cache took more than its limit");
	if (peak > process_limit)
		errx(1, "the process took more than it may");
	if (!st.reads_cached || st.pages_lost)
		errx(1, "no read was cached, or data was lost");
}

static int make(const char *path, uint64_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	for (uint64_t offset = 0; offset < size; offset += STEP) {
		fill(offset, STEP);
		if (write(fd, buffer, STEP) != STEP)
			err(1, "%s", path);
	}
	return close(fd) ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct pf_options options = PF_OPTIONS_INIT;
	uint64_t size, limit, process_limit;
	struct pf_fs *fs;

	if (argc == 4 && !strcmp(argv[1], "make"))
		return make(argv[2], strtoul(argv[3], NULL, 10) * MIB);
	if (argc < 7 || strcmp(argv[5], "--"))
		errx(2, "see the top of bigfile.c");
	size = strtoul(argv[3], NULL, 10) * MIB;
	limit = strtoul(argv[4], NULL, 10) * MIB;
	process_limit = limit + ALLOWED * MIB;
	options.cache_bytes = limit;
	if (!strcmp(argv[1], "small"))
		options.cache = PF_CACHE_ALWAYS;
	ok(pf_start(&fs, argv + 6, &options), argv[6]);
	if (!strcmp(argv[1], "write")) {
		write_all(fs, argv[2], size);
	} else if (!strcmp(argv[1], "read")) {
		read_all(fs, argv[2], size);
	} else if (!strcmp(argv[1], "holes")) {
		write_holes(fs, argv[2], size);
	} else {
		unsigned count = (unsigned)strtoul(argv[2], NULL, 10);

		write_small(fs, count);
		limit = (uint64_t)count * PAGE + SPARE * MIB;
		process_limit = limit + ALLOWED * MIB + (uint64_t)count * SMALL_COSTS;
	}
	check_memory(fs, limit, process_limit);
	ok(pf_stop(fs), "stop");
	return 0;
}
