/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * treecmp [--ignore=WORD,...] [--granularity=NANOSECONDS] A B: are two trees the same? Compares
 * names, types, modes, sizes, every byte, modification times, link targets, hard link structure and
 * user.* extended attributes, prints the first differences, and exits with 0 when there are none,
 * 1 when there are, 2 when it could not look.
 *
 * Words: mode special-mode owner mtime dir-mtime link-mtime hardlinks xattr links.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { MAX_REPORTS = 4, CHUNK = 1 << 20 };

static const char *const words[] = {"mode",       "special-mode", "owner", "mtime", "dir-mtime",
				    "link-mtime", "hardlinks",    "xattr", "links"};
enum { MODE, SPECIAL_MODE, OWNER, MTIME, DIR_MTIME, LINK_MTIME, HARDLINKS, XATTR, LINKS, NWORDS };
static bool ignore[NWORDS];
static int64_t granularity = 1; /* ns */
static unsigned long differences, entries, bytes;

static char where[2 * PATH_MAX]; /* the path that is being compared, for reports */

/* Report a difference; of each kind (each format) only the first few. */
__attribute__((format(printf, 1, 2))) static void differ(const char *format, ...)
{
	static struct {
		const char *format;
		unsigned count;
	} kinds[32];
	unsigned i = 0;
	va_list ap;

	differences++;
	while (i < 31 && kinds[i].format && kinds[i].format != format)
		i++;
	kinds[i].format = format;
	if (kinds[i].count++ >= MAX_REPORTS)
		return;
	printf("differ: %s: ", *where ? where + 1 : ".");
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

/* ---- hard links: files that are one in A must be one in B, and the other way round ---------- */

struct seen {
	dev_t dev[2];
	ino_t ino[2];
};
static struct seen *seen;
static size_t nseen;

static void compare_hardlinks(const struct stat st[2])
{
	if (ignore[HARDLINKS])
		return;
	if (st[0].st_nlink != st[1].st_nlink)
		differ("link count %lu and %lu", (unsigned long)st[0].st_nlink,
		       (unsigned long)st[1].st_nlink);
	if (st[0].st_nlink < 2 && st[1].st_nlink < 2)
		return;
	for (size_t i = 0; i < nseen; i++) {
		bool same[2];
		for (int k = 0; k < 2; k++)
			same[k] = seen[i].dev[k] == st[k].st_dev && seen[i].ino[k] == st[k].st_ino;
		if (same[0] != same[1])
			differ("linked to an earlier file in %s only", same[0] ? "A" : "B");
		if (same[0] || same[1])
			return;
	}
	seen = reallocarray(seen, nseen + 1, sizeof(*seen));
	if (!seen)
		err(2, "memory");
	seen[nseen++] = (struct seen){{st[0].st_dev, st[1].st_dev}, {st[0].st_ino, st[1].st_ino}};
}

/* ---- metadata ------------------------------------------------------------------------------ */

static int64_t floor_to(int64_t ns, int64_t unit)
{
	int64_t rest = ns % unit;

	return ns - (rest < 0 ? rest + unit : rest);
}

static void compare_times(const struct stat st[2])
{
	if (ignore[MTIME] || (ignore[DIR_MTIME] && S_ISDIR(st[0].st_mode)) ||
	    (ignore[LINK_MTIME] && S_ISLNK(st[0].st_mode)))
		return;
	int64_t unit = granularity > 1000000000 ? granularity / 1000000000 : 1;
	int64_t a = floor_to(st[0].st_mtim.tv_sec, unit), b = floor_to(st[1].st_mtim.tv_sec, unit);
	long na = floor_to(st[0].st_mtim.tv_nsec, granularity);
	long nb = floor_to(st[1].st_mtim.tv_nsec, granularity);

	if (a != b || na != nb)
		differ("mtime %jd.%09ld and %jd.%09ld", (intmax_t)st[0].st_mtim.tv_sec,
		       st[0].st_mtim.tv_nsec, (intmax_t)st[1].st_mtim.tv_sec,
		       st[1].st_mtim.tv_nsec);
}

static void compare_metadata(const struct stat st[2])
{
	mode_t mask = ignore[MODE] ? 0 : ignore[SPECIAL_MODE] ? 0777 : 07777;

	if (!S_ISLNK(st[0].st_mode) && (st[0].st_mode & mask) != (st[1].st_mode & mask))
		differ("mode %04o and %04o", st[0].st_mode & mask, st[1].st_mode & mask);
	if (!ignore[OWNER] && (st[0].st_uid != st[1].st_uid || st[0].st_gid != st[1].st_gid))
		differ("owner %u:%u and %u:%u", st[0].st_uid, st[0].st_gid, st[1].st_uid,
		       st[1].st_gid);
	if (!S_ISDIR(st[0].st_mode)) {
		if (!S_ISLNK(st[0].st_mode) && st[0].st_size != st[1].st_size)
			differ("size %jd and %jd", (intmax_t)st[0].st_size,
			       (intmax_t)st[1].st_size);
		compare_hardlinks(st);
	}
	compare_times(st);
}

/* ---- extended attributes of files and directories ------------------------------------------- */

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The user.* names of fd, sorted, in names (pointing into list). */
static int list_xattrs(int fd, char list[8192], char *names[512])
{
	ssize_t n = flistxattr(fd, list, 8192);
	int count = 0;

	for (char *p = list; n > 0 && p < list + n && count < 512; p += strlen(p) + 1)
		if (!strncmp(p, "user.", 5))
			names[count++] = p;
	qsort(names, count, sizeof(names[0]), compare_strings);
	return count;
}

static void compare_xattrs(const int fd[2])
{
	static char list[2][8192], value[2][65536];
	char *names[2][512];
	int n[2];

	if (ignore[XATTR])
		return;
	for (int k = 0; k < 2; k++)
		n[k] = list_xattrs(fd[k], list[k], names[k]);
	if (n[0] != n[1]) {
		differ("%d and %d extended attributes", n[0], n[1]);
		return;
	}
	for (int i = 0; i < n[0]; i++) {
		ssize_t got[2];
		for (int k = 0; k < 2; k++)
			got[k] = fgetxattr(fd[k], names[0][i], value[k], sizeof(value[k]));
		if (got[0] != got[1] || (got[0] > 0 && memcmp(value[0], value[1], got[0])))
			differ("extended attribute %s: %zd and %zd bytes, or other bytes",
			       names[0][i], got[0], got[1]);
	}
}

/* ---- contents ------------------------------------------------------------------------------- */

static ssize_t read_full(int fd, char *buf, off_t offset)
{
	size_t done = 0;

	while (done < CHUNK) {
		ssize_t n = pread(fd, buf + done, CHUNK - done, offset + done);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += n;
	}
	return done;
}

static void compare_bytes(const int fd[2])
{
	static char buf[2][CHUNK];

	for (off_t offset = 0;; offset += CHUNK) {
		ssize_t n[2];
		for (int k = 0; k < 2; k++)
			n[k] = read_full(fd[k], buf[k], offset);
		if (n[0] < 0 || n[1] < 0) {
			differ("cannot read %c: %s", n[0] < 0 ? 'A' : 'B',
			       strerror(-(n[0] < 0 ? n[0] : n[1])));
			return;
		}
		ssize_t min = n[0] < n[1] ? n[0] : n[1], i = 0;
		bytes += min;
		if (memcmp(buf[0], buf[1], min)) {
			while (buf[0][i] == buf[1][i])
				i++;
			differ("bytes differ from offset %jd on", (intmax_t)(offset + i));
			return;
		}
		if (n[0] != n[1])
			differ("%s ends at %jd", n[0] < n[1] ? "A" : "B", (intmax_t)(offset + min));
		if (n[0] != n[1] || n[0] < CHUNK)
			return;
	}
}

static void compare_link_targets(const int dir[2], const char *name)
{
	char target[2][PATH_MAX + 1];

	if (ignore[LINKS])
		return;
	for (int k = 0; k < 2; k++) {
		ssize_t n = readlinkat(dir[k], name, target[k], PATH_MAX);
		if (n < 0) {
			differ("readlink in %c: %s", "AB"[k], strerror(errno));
			return;
		}
		target[k][n] = '\0';
	}
	if (strcmp(target[0], target[1]))
		differ("target '%s' and '%s'", target[0], target[1]);
}

/* ---- the walk ------------------------------------------------------------------------------- */

static char **list_names(int fd, size_t *count)
{
	DIR *dir = fdopendir(dup(fd));
	struct dirent *d;
	char **names = NULL;

	*count = 0;
	while (dir && (d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		names = reallocarray(names, *count + 1, sizeof(*names));
		names[(*count)++] = strdup(d->d_name);
	}
	if (dir)
		closedir(dir);
	if (*count)
		qsort(names, *count, sizeof(*names), compare_strings);
	return names;
}

static void compare_entry(const int dir[2], const char *name);

static void compare_dirs(const int fd[2])
{
	size_t n[2], i = 0, j = 0;
	char **names[2];

	for (int k = 0; k < 2; k++)
		names[k] = list_names(fd[k], &n[k]);
	while (i < n[0] || j < n[1]) {
		int c = i == n[0] ? 1 : j == n[1] ? -1 : strcmp(names[0][i], names[1][j]);
		if (c)
			differ("only %s has '%s'", c < 0 ? "A" : "B",
			       c < 0 ? names[0][i] : names[1][j]);
		else
			compare_entry(fd, names[0][i]);
		i += c <= 0;
		j += c >= 0;
	}
	for (int k = 0; k < 2; k++) {
		for (i = 0; i < n[k]; i++)
			free(names[k][i]);
		free(names[k]);
	}
}

static void compare_opened(const int dir[2], const char *name, bool directory)
{
	int fd[2];

	for (int k = 0; k < 2; k++)
		fd[k] = openat(dir[k], name, O_RDONLY | O_NOFOLLOW | (directory ? O_DIRECTORY : 0));
	if (fd[0] < 0 || fd[1] < 0) {
		differ("cannot open %c: %s", fd[0] < 0 ? 'A' : 'B', strerror(errno));
	} else {
		compare_xattrs(fd);
		if (directory)
			compare_dirs(fd);
		else
			compare_bytes(fd);
	}
	for (int k = 0; k < 2; k++)
		if (fd[k] >= 0)
			close(fd[k]);
}

static void compare_entry(const int dir[2], const char *name)
{
	size_t length = strlen(where);
	struct stat st[2];

	entries++;
	if (name != NULL && length + strlen(name) + 2 < sizeof(where))
		sprintf(where + length, "/%s", name);
	for (int k = 0; k < 2; k++)
		if (fstatat(dir[k], name, &st[k], AT_SYMLINK_NOFOLLOW) < 0) {
			differ("stat in %c: %s", "AB"[k], strerror(errno));
			goto out;
		}
	if ((st[0].st_mode ^ st[1].st_mode) & S_IFMT) {
		differ("type %06o and %06o", st[0].st_mode & S_IFMT, st[1].st_mode & S_IFMT);
		goto out;
	}
	compare_metadata(st);
	if (S_ISDIR(st[0].st_mode) || S_ISREG(st[0].st_mode))
		compare_opened(dir, name, S_ISDIR(st[0].st_mode));
	else if (S_ISLNK(st[0].st_mode))
		compare_link_targets(dir, name);
out:
	where[length] = '\0';
}

static void ignore_words(char *list)
{
	for (char *word; (word = strsep(&list, ","));) {
		bool found = *word == '\0';
		for (int i = 0; i < NWORDS; i++)
			if (!strcmp(word, words[i]))
				found = ignore[i] = true;
		if (!found)
			errx(2, "cannot ignore %s", word);
	}
}

int main(int argc, char **argv)
{
	int arg = 1, fd[2];

	for (; arg < argc && argv[arg][0] == '-'; arg++) {
		if (!strncmp(argv[arg], "--ignore=", 9))
			ignore_words(argv[arg] + 9);
		else if (!strncmp(argv[arg], "--granularity=", 14))
			granularity = atoll(argv[arg] + 14);
		else
			errx(2, "unknown option %s", argv[arg]);
	}
	if (argc != arg + 2 || granularity < 1)
		errx(2, "usage: treecmp [--ignore=WORD,...] [--granularity=NANOSECONDS] A B");
	for (int k = 0; k < 2; k++) {
		fd[k] = open(argv[arg + k], O_RDONLY | O_DIRECTORY);
		if (fd[k] < 0)
			err(2, "%s", argv[arg + k]);
	}
	compare_entry(fd, ".");
	printf("%lu entries, %lu bytes compared, %lu differences\n", entries, bytes, differences);
	return differences != 0;
}
