/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fsx DIR [--seed=N] [--ops=N] [--size=BYTES] [--without=mmap,fallocate,copy]: one file, and all
 * the ways to read and change it, one after the other by chance, compared with what memory says it
 * must hold.
 *
 * Prints the operations that led to a difference; the same seed does the same again.
 */
#include "stress.h"

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG = 30 };

static struct model {
	int fd;
	char *data, *buf;
	long size, max; /* what the file should be long, and may become */
	bool appending;
} m;

static char history[LOG][160];
static long done;
static const char *without = "";

static void did(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(history[done++ % LOG], sizeof(history[0]), format, ap);
	va_end(ap);
}

__attribute__((noreturn)) static void wrong(const char *what)
{
	printf("not ok - fsx: operation %ld: %s (%s)\n", done, what, strerror(errno));
	for (long i = done > LOG ? done - LOG : 0; i < done; i++)
		printf("  # %ld %s\n", i + 1, history[i % LOG]);
	exit(1);
}

static long offset_within(long limit)
{
	return limit > 0 ? (long)(chance() % limit) : 0;
}

static long some_length(long limit)
{
	long length = chance() % 4 ? chance() % 20000 : chance() % 200000;

	return length < limit ? length : limit;
}

static void grown(long end)
{
	if (end > m.size) /* what lies between is zero: the model keeps zeros behind its end */
		m.size = end;
}

static void compare(const char *buf, long offset, long length, const char *how)
{
	char text[200];

	for (long i = 0; i < length; i++)
		if (buf[i] != m.data[offset + i]) {
			snprintf(text, sizeof(text),
				 "%s at %ld for %ld: byte %ld (of %ld) is %#x, not %#x", how,
				 offset, length, offset + i, m.size, buf[i] & 255,
				 m.data[offset + i] & 255);
			errno = 0;
			wrong(text);
		}
}

static void do_read(void)
{
	long offset = offset_within(m.max), length = some_length(m.max);
	long wanted = offset >= m.size ? 0 : offset + length > m.size ? m.size - offset : length;

	did("read at %ld for %ld", offset, length);
	if (pread(m.fd, m.buf, length, offset) != wanted)
		wrong("read gave another length");
	compare(m.buf, offset, wanted, "read");
}

static void do_write(void)
{
	long offset = offset_within(m.max), length = some_length(m.max - offset);

	if (m.appending) {
		length = some_length(m.max - m.size);
		offset = m.size;
	}
	did("write at %ld for %ld%s", offset, length, m.appending ? ", appending" : "");
	fill(m.buf, length);
	if ((m.appending ? write(m.fd, m.buf, length) : pwrite(m.fd, m.buf, length, offset)) !=
	    length)
		wrong("write gave another length");
	memcpy(m.data + offset, m.buf, length);
	if (length)
		grown(offset + length);
}

static void do_map(bool writing)
{
	long page = sysconf(_SC_PAGESIZE), offset = offset_within(m.size);
	long length = some_length(m.size - offset), start = offset / page * page;

	/* A server that hands O_APPEND on to its own file appends what is written back of a page.
	 */
	if (writing && m.appending)
		writing = false;
	did("mmap %s at %ld for %ld", writing ? "write" : "read", offset, length);
	if (length == 0)
		return;
	char *map = mmap(NULL, offset - start + length, PROT_READ | (writing ? PROT_WRITE : 0),
			 writing || chance() % 2 ? MAP_SHARED : MAP_PRIVATE, m.fd, start);
	if (map == MAP_FAILED)
		wrong("mmap");
	if (writing) {
		fill(map + (offset - start), length);
		memcpy(m.data + offset, map + (offset - start), length);
		if (chance() % 2 && msync(map, offset - start + length, MS_SYNC) < 0)
			wrong("msync");
	} else {
		compare(map + (offset - start), offset, length, "mmap read");
	}
	if (munmap(map, offset - start + length) < 0)
		wrong("munmap");
}

static void do_truncate(void)
{
	long size = offset_within(m.max);

	did("truncate to %ld", size);
	if (ftruncate(m.fd, size) < 0)
		wrong("truncate");
	if (size < m.size)
		memset(m.data + size, 0, m.size - size);
	m.size = size;
}

static void do_fallocate(void)
{
	long offset = offset_within(m.max - 1), length = 1 + some_length(m.max - offset - 1);
	bool punch = chance() % 2;

	did("%s at %ld for %ld", punch ? "punch" : "fallocate", offset, length);
	if (fallocate(m.fd, punch ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : 0, offset,
		      length) < 0) {
		if (errno == EOPNOTSUPP)
			return;
		wrong("fallocate");
	}
	if (punch)
		memset(m.data + offset, 0,
		       offset + length > m.size ? (offset < m.size ? m.size - offset : 0) : length);
	else
		grown(offset + length);
}

static void do_copy(void)
{
	long from = offset_within(m.size), length = some_length(m.size - from),
	     to = offset_within(m.max - length);
	off_t a = from, b = to;

	did("copy_file_range from %ld to %ld for %ld", from, to, length);
	if (m.appending || length == 0 || labs(from - to) < length)
		return;
	for (long left = length; left > 0;) {
		ssize_t n = copy_file_range(m.fd, &a, m.fd, &b, left, 0);
		if (n < 0 && (errno == EOPNOTSUPP || errno == EXDEV || errno == EINVAL) &&
		    left == length)
			return;
		if (n <= 0)
			wrong("copy_file_range");
		left -= n;
	}
	memmove(m.data + to, m.data + from, length);
	grown(to + length);
}

static void do_reopen(void)
{
	m.appending = chance() % 5 == 0;
	did("reopen%s", m.appending ? " to append" : "");
	if (close(m.fd) < 0)
		wrong("close");
	m.fd = open("fsx", O_RDWR | (m.appending ? O_APPEND : 0));
	if (m.fd < 0)
		wrong("open");
}

static void do_sync(void)
{
	did("fsync");
	if ((chance() % 2 ? fsync(m.fd) : fdatasync(m.fd)) < 0)
		wrong("fsync");
}

static void check_size(void)
{
	struct stat st;

	if ((chance() % 2 ? fstat(m.fd, &st) : stat("fsx", &st)) < 0 || st.st_size != m.size) {
		char text[100];
		snprintf(text, sizeof(text), "the size is %jd, not %ld", (intmax_t)st.st_size,
			 m.size);
		wrong(text);
	}
	if (chance() % 4 == 0 && lseek(m.fd, 0, SEEK_END) != m.size)
		wrong("lseek to another end");
}

static void check_all(void)
{
	for (long offset = 0; offset < m.size; offset += 100000) {
		long length = m.size - offset < 100000 ? m.size - offset : 100000;
		if (pread(m.fd, m.buf, length, offset) != length)
			wrong("reading all of it ended early");
		compare(m.buf, offset, length, "reading all");
	}
}

static void operate(void)
{
	unsigned what = chance() % 100;

	if (what < 25)
		do_read();
	else if (what < 50)
		do_write();
	else if (what < 60 && !strstr(without, "mmap"))
		do_map(false);
	else if (what < 70 && !strstr(without, "mmap"))
		do_map(true);
	else if (what < 78)
		do_truncate();
	else if (what < 84 && !strstr(without, "fallocate"))
		do_fallocate();
	else if (what < 90 && !strstr(without, "copy"))
		do_copy();
	else if (what < 95)
		do_sync();
	else
		do_reopen();
	check_size();
	if (what == 99)
		check_all();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"seed", required_argument, NULL, 's'},
						{"ops", required_argument, NULL, 'o'},
						{"size", required_argument, NULL, 'z'},
						{"without", required_argument, NULL, 'w'},
						{NULL, 0, NULL, 0}};
	long ops = 2000, seed = 1;
	int c;

	m.max = 400000;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			seed = atol(optarg);
		else if (c == 'o')
			ops = atol(optarg);
		else if (c == 'z')
			m.max = atol(optarg);
		else if (c == 'w')
			without = optarg;
		else
			return 2;
	}
	if (optind != argc - 1 || chdir(argv[optind]) < 0)
		err(2, "usage: fsx [OPTION...] DIR");
	setvbuf(stdout, NULL, _IOLBF, 0);
	seed_chance(seed);
	m.data = calloc(1, m.max + 1);
	m.buf = malloc(m.max + 200000);
	m.fd = open("fsx", O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (m.fd < 0 || !m.data || !m.buf)
		err(2, "fsx");
	for (long i = 0; i < ops; i++)
		operate();
	check_all();
	if (close(m.fd) < 0 || (m.fd = open("fsx", O_RDONLY)) < 0)
		wrong("close and open");
	check_all();
	if (unlink("fsx") < 0)
		wrong("unlink");
	printf("ok - fsx: %ld operations, seed %ld\n1 passed, 0 failed, 0 skipped\n", ops, seed);
	return 0;
}
