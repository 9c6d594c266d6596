/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exercise [--backing=DIR] [--without=WORD,...] [--granularity=NS] [--only=CASE] -- SERVER ARG...
 *
 * Start a server and do with its files all that a program does, through the public calls only, each
 * step read back through them and, where the server stands on a directory, in that directory.
 * Prints a line a case; exits with 0 when none failed.
 */
#include "exercise.h"

#include <err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

struct pf_fs *fs;
const char *backing;
long granularity = 1;
static const char *without = "";
static char reason[2000];
static bool failed, skipped;

bool lacks(const char *word)
{
	size_t length = strlen(word);

	for (const char *p = without; (p = strstr(p, word)); p += length)
		if ((p == without || p[-1] == ',') && (p[length] == ',' || p[length] == '\0'))
			return true;
	return false;
}

bool fail(const char *format, ...)
{
	va_list ap;

	if (!failed) {
		va_start(ap, format);
		vsnprintf(reason, sizeof(reason), format, ap);
		va_end(ap);
	}
	failed = true;
	return false;
}

bool skip(const char *why)
{
	snprintf(reason, sizeof(reason), "%s", why);
	skipped = true;
	return true;
}

void pattern(char *buf, size_t length, unsigned seed)
{
	unsigned x = seed * 2654435761u + 12345;

	for (size_t i = 0; i < length; i++) {
		x = x * 1103515245 + 12345;
		buf[i] = (char)(x >> 16);
	}
}

bool put_file(const char *path, const char *data, size_t length)
{
	struct pf_file *file;
	size_t done = 0;

	OK(pf_open(fs, path, O_WRONLY | O_CREAT | O_EXCL, 0644, &file));
	while (done < length) {
		ssize_t n = pf_write(file, data + done, length - done);
		if (n <= 0) {
			pf_close(file);
			return fail("write of %s gave %zd", path, n);
		}
		done += n;
	}
	OK(pf_close(file));
	return true;
}

static bool same_bytes(struct pf_file *file, const char *path, const char *data, size_t length)
{
	char buf[70001];
	size_t done = 0, piece = 1;
	ssize_t n;

	for (; (n = pf_pread(file, buf, piece, done)) > 0; done += n) {
		CHECK(done + n <= length, "%s is longer than the %zu bytes it had", path, length);
		for (ssize_t i = 0; i < n; i++)
			CHECK(buf[i] == data[done + i], "%s: byte %zu is %#x, not %#x", path,
			      done + i, buf[i] & 255, data[done + i] & 255);
		piece = piece * 7 < sizeof(buf) ? piece * 7 : sizeof(buf);
	}
	CHECK(n == 0, "read of %s at %zu: %s", path, done, strerror((int)-n));
	CHECK(done == length, "%s ends at %zu, not at %zu", path, done, length);
	return true;
}

bool has_bytes(const char *path, const char *data, size_t length)
{
	struct pf_file *file;
	struct stat st;

	OK(pf_stat(fs, path, &st));
	CHECK((size_t)st.st_size == length, "%s has a size of %jd, not %zu", path,
	      (intmax_t)st.st_size, length);
	OK(pf_open(fs, path, O_RDONLY, 0, &file));
	bool same = same_bytes(file, path, data, length);
	OK(pf_close(file));
	return same && backing_has(path, data, length);
}

static bool has_backing(void)
{
	return backing && !lacks("backing");
}

bool backing_has(const char *path, const char *data, size_t length)
{
	char name[4096];

	if (!has_backing())
		return true;
	snprintf(name, sizeof(name), "%s%s", backing, path);
	FILE *f = fopen(name, "r");
	CHECK(f, "%s is not in the backing directory", path);
	for (size_t i = 0; i <= length; i++) {
		int c = getc(f), wanted = i == length ? EOF : data[i] & 255;
		if (c == wanted)
			continue;
		fclose(f);
		return fail("behind the server, %s has %d at %zu, not %d", path, c, i, wanted);
	}
	fclose(f);
	return true;
}

bool backing_exists(const char *path, bool wanted)
{
	char name[4096];
	struct stat st;

	if (!has_backing())
		return true;
	snprintf(name, sizeof(name), "%s%s", backing, path);
	CHECK((lstat(name, &st) == 0) == wanted, "%s is %s the backing directory", path,
	      wanted ? "not in" : "still in");
	return true;
}

int count_entries(const char *path)
{
	struct pf_file *dir;
	struct pf_dirent d;
	int n = 0, e = pf_open(fs, path, O_RDONLY | O_DIRECTORY, 0, &dir);

	if (e < 0)
		return e;
	while ((e = pf_readdir(dir, &d)) > 0)
		n += strcmp(d.name, ".") && strcmp(d.name, "..");
	pf_close(dir);
	return e < 0 ? e : n;
}

static unsigned counts[3]; /* passed, failed, skipped */

/*
 * The number of entries in /work once libfuse has removed the files that it hid: a file unlinked
 * before its RELEASE has come keeps a hidden name until then, and nobody waits for RELEASE.
 */
static int entries_left(void)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	int n;

	for (int i = 0; (n = count_entries("/work")) > 0 && i < 300; i++)
		nanosleep(&pause, NULL);
	return n;
}

static void run_case(const struct exercise_case *c)
{
	failed = skipped = false;
	if (c->word && lacks(c->word)) {
		snprintf(reason, sizeof(reason), "the server has no %s", c->word);
		skipped = true;
	} else if (pf_mkdir(fs, "/work", 0755) < 0) {
		fail("mkdir /work: %s", pf_error());
	} else if (!c->run()) {
		fail("it failed without a reason");
	} else if (entries_left() != 0) {
		fail("it left %d entries behind", count_entries("/work"));
	} else if (pf_rmdir(fs, "/work") < 0) {
		fail("rmdir /work: %s", pf_error());
	}
	if (failed)
		printf("not ok - %s: %s\n", c->name, reason);
	else
		printf("ok - %s%s%s\n", c->name, skipped ? " # SKIP " : "", skipped ? reason : "");
	fflush(stdout);
	counts[failed ? 1 : skipped ? 2 : 0]++;
}

/* Whatever a failed case left goes, so that the next one starts from nothing. */
static void remove_tree(const char *path, int levels)
{
	struct pf_file *dir;
	struct pf_dirent d;
	char name[4096];

	if (levels == 0 || pf_open(fs, path, O_RDONLY | O_DIRECTORY, 0, &dir) < 0)
		return;
	while (pf_readdir(dir, &d) > 0) {
		if (!strcmp(d.name, ".") || !strcmp(d.name, ".."))
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, d.name);
		if (pf_unlink(fs, name) < 0)
			remove_tree(name, levels - 1);
	}
	pf_close(dir);
	pf_rmdir(fs, path);
}

/* What cannot be removed (a file that is still open may keep a hidden name) steps aside. */
static void clean_up(void)
{
	char aside[32];

	remove_tree("/work", 5);
	snprintf(aside, sizeof(aside), "/failed-%u", counts[1]);
	pf_rename(fs, "/work", aside);
}

static void run_cases(const struct exercise_case *cases, const char *only)
{
	for (const struct exercise_case *c = cases; c->name; c++) {
		if (only && strcmp(only, c->name))
			continue;
		run_case(c);
		if (failed)
			clean_up();
	}
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	int arg = 1;

	for (; arg < argc && !strncmp(argv[arg], "--", 2); arg++) {
		if (!strncmp(argv[arg], "--backing=", 10))
			backing = argv[arg] + 10;
		else if (!strncmp(argv[arg], "--without=", 10))
			without = argv[arg] + 10;
		else if (!strncmp(argv[arg], "--granularity=", 14))
			granularity = atol(argv[arg] + 14);
		else if (!strncmp(argv[arg], "--only=", 7))
			only = argv[arg] + 7;
		else if (argv[arg][2] == '\0')
			break;
		else
			errx(2, "unknown option %s", argv[arg]);
	}
	if (arg + 1 >= argc)
		errx(2, "usage: exercise [option ...] -- SERVER ARG...");
	umask(022);
	if (pf_start(&fs, argv + arg + 1, NULL) < 0)
		errx(1, "cannot start: %s", pf_error());
	run_cases(data_cases, only);
	run_cases(name_cases, only);
	int e = pf_stop(fs);
	if (e < 0) {
		printf("not ok - stop: %s\n", strerror(-e));
		counts[1]++;
	}
	printf("%u passed, %u failed, %u skipped\n", counts[0], counts[1], counts[2]);
	return counts[1] != 0;
}
