/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mktree [--without=WORD,...] [--big=MiB] DIR: make the tree of real files that the tests with real
 * servers carry about. The same words give the same bytes, names and times every time.
 *
 * Not every file system can hold everything: --without leaves a kind of file out. The words are
 * those of kinds[] below; which server goes without which, and why, stands in servers.tab.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { KIB = 1024, MIB = 1024 * 1024 };

static int root = -1;      /* the directory that we fill */
static long big_mib = 100; /* size of sizes/100MiB */

/* Xorshift64*: fast, and good enough that no compressor makes the data small. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static uint64_t hash_name(const char *name)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3ULL;
	return h | 1;
}

static int open_dir(int at, const char *name)
{
	if (mkdirat(at, name, 0755) < 0 && errno != EEXIST)
		err(1, "mkdir %s", name);
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (fd < 0)
		err(1, "open %s", name);
	return fd;
}

/* Fill length bytes at offset with what the name stands for, so that a swapped file is noticed. */
static void fill(int fd, const char *name, off_t offset, off_t length)
{
	static uint64_t buf[128 * KIB / 8];
	uint64_t state = hash_name(name) ^ ((uint64_t)offset << 1);

	while (length > 0) {
		size_t n = length < (off_t)sizeof(buf) ? (size_t)length : sizeof(buf);
		for (size_t i = 0; i < (n + 7) / 8; i++)
			buf[i] = next_random(&state);
		if (pwrite(fd, buf, n, offset) != (ssize_t)n)
			err(1, "write %s", name);
		offset += n;
		length -= n;
	}
}

static int create(int at, const char *name, off_t length)
{
	int fd = openat(at, name, O_CREAT | O_EXCL | O_RDWR, 0644);

	if (fd < 0)
		err(1, "create %s", name);
	fill(fd, name, 0, length);
	return fd;
}

static void make_file(int at, const char *name, off_t length)
{
	close(create(at, name, length));
}

/* ---- the kinds of files ------------------------------------------------------------------- */

static void make_sizes(void)
{
	int dir = open_dir(root, "sizes");

	make_file(dir, "empty", 0);
	make_file(dir, "1byte", 1);
	make_file(dir, "4095", 4095);
	make_file(dir, "4096", 4096);
	make_file(dir, "4097", 4097);
	make_file(dir, "128KiB-1", 128 * KIB - 1);
	make_file(dir, "128KiB", 128 * KIB);
	make_file(dir, "128KiB+1", 128 * KIB + 1);
	make_file(dir, "3MiB+17", 3 * MIB + 17);
	close(dir);
}

static void make_big(void)
{
	int dir = open_dir(root, "sizes");

	make_file(dir, "100MiB", big_mib * MIB);
	close(dir);
}

static void make_sparse(void)
{
	int dir = open_dir(root, "sparse");
	int fd = create(dir, "hole-at-start", 0);

	fill(fd, "hole-at-start", 5 * MIB, 64 * KIB);
	close(fd);
	fd = create(dir, "hole-in-middle", 64 * KIB);
	fill(fd, "hole-in-middle", 5 * MIB + 64 * KIB, 3000);
	close(fd);
	fd = create(dir, "hole-at-end", 64 * KIB);
	if (ftruncate(fd, 6 * MIB + 5) < 0)
		err(1, "truncate hole-at-end");
	close(fd);
	fd = create(dir, "all-hole", 0);
	if (ftruncate(fd, 2 * MIB) < 0)
		err(1, "truncate all-hole");
	close(fd);
	close(dir);
}

static void make_longnames(void)
{
	int dir = open_dir(root, "longnames");
	char name[NAME_MAX + 1];

	memset(name, 'n', NAME_MAX);
	name[NAME_MAX] = '\0';
	make_file(dir, name, 255);
	memset(name, 'd', NAME_MAX);
	int sub = open_dir(dir, name);
	make_file(sub, "inside", 6);
	close(sub);
	close(dir);
}

static void make_longutf8(void)
{
	int dir = open_dir(root, "longnames");
	char name[NAME_MAX + 1] = "";

	for (int i = 0; i < NAME_MAX / 3; i++)
		strcat(name, "界");
	make_file(dir, name, 85);
	close(dir);
}

static void make_utf8(void)
{
	static const char *const names[] = {"äöü",
					    "naïve café",
					    "Ελληνικά",
					    "日本語のファイル",
					    "עברית",
					    "emoji-🗂️-👩‍👩‍👧",
					    "e\u0301 (decomposed)",
					    "\u00e9 (composed)"};
	int dir = open_dir(root, "utf8");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		make_file(dir, names[i], 10 + i);
	close(dir);
}

static void make_names(const char *where, const char *const names[], size_t n)
{
	int dir = open_dir(root, where);

	for (size_t i = 0; i < n; i++)
		make_file(dir, names[i], 20 + i);
	close(dir);
}

static void make_odd(void)
{
	static const char *const names[] = {
	    " leading space", "two  spaces", "-dash",     "--help", "quote\"'`",
	    "semi;amp&bar",   "$HOME",       "[bracket]", "{}",     "%41",
	    "#hash",          "..three",     ".hidden",   "~tilde"};

	make_names("odd", names, sizeof(names) / sizeof(names[0]));
}

/* What Windows and some archives cannot hold. */
static void make_odder(void)
{
	static const char *const names[] = {
	    "new\nline",       "tab\there", "back\\slash", "colon:name", "star*?<>|",
	    "trailing space ", "trailing.", "\001control", "del\177ete", "carriage\rreturn"};

	make_names("odder", names, sizeof(names) / sizeof(names[0]));
}

static void make_bytes(void)
{
	static const char *const names[] = {"latin1-\xe4", "cut-\xe2\x82", "\xff\xfe"};

	make_names("bytes", names, sizeof(names) / sizeof(names[0]));
}

static void make_deep(void)
{
	int dir = open_dir(root, "deep");

	for (int level = 1; level <= 30; level++) {
		char name[32];
		snprintf(name, sizeof(name), "level%d", level);
		int sub = open_dir(dir, name);
		make_file(sub, "file", level);
		close(dir);
		dir = sub;
	}
	close(dir);
}

/* A path of 3,900 bytes: room is left below PATH_MAX for the directories in front of ours. */
static void make_longpath(void)
{
	int dir = open_dir(root, "longpath");
	char name[200];

	memset(name, 'p', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (int length = 8; length + (int)sizeof(name) < 3900; length += sizeof(name)) {
		int sub = open_dir(dir, name);
		close(dir);
		dir = sub;
	}
	make_file(dir, "at-the-end", 3900);
	close(dir);
}

static void make_symlink(int at, const char *target, const char *name)
{
	if (symlinkat(target, at, name) < 0)
		err(1, "symlink %s", name);
}

static void make_symlinks(void)
{
	int dir = open_dir(root, "symlinks");
	char target[2001] = "";

	make_file(dir, "file", 100);
	make_symlink(dir, "file", "relative");
	make_symlink(dir, "../sizes", "to-directory");
	make_symlink(dir, "/sizes/1byte", "absolute");
	make_symlink(dir, "no/such/file", "dangling");
	make_symlink(dir, "loop-b", "loop-a");
	make_symlink(dir, "loop-a", "loop-b");
	for (int i = 0; i < 1000; i++)
		strcat(target, i % 100 == 99 ? "z/" : "xy");
	make_symlink(dir, target, "long");
	make_symlink(dir, "ziel mit Lücke\n", "odd target");
	close(dir);
}

static void make_longlink(void)
{
	int dir = open_dir(root, "symlinks");
	char target[PATH_MAX];

	memset(target, 'L', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	for (size_t i = 100; i < sizeof(target) - 1; i += 101)
		target[i] = '/';
	make_symlink(dir, target, "longest");
	close(dir);
}

static void make_hardlinks(void)
{
	int dir = open_dir(root, "hardlinks"), sub = open_dir(dir, "sub");

	make_file(dir, "a", 5000);
	make_file(dir, "other", 5000);
	if (linkat(dir, "a", dir, "b", 0) < 0 || linkat(dir, "a", sub, "c", 0) < 0)
		err(1, "link");
	close(sub);
	close(dir);
}

static void make_fifo(void)
{
	int dir = open_dir(root, "special");

	if (mkfifoat(dir, "fifo", 0640) < 0)
		err(1, "mkfifo");
	close(dir);
}

static void set_xattrs(int fd, const char *name)
{
	char binary[1000];

	for (size_t i = 0; i < sizeof(binary); i++)
		binary[i] = (char)(i * 7);
	if (fsetxattr(fd, "user.text", name, strlen(name), 0) < 0 ||
	    fsetxattr(fd, "user.binary", binary, sizeof(binary), 0) < 0)
		err(1, "setxattr %s", name);
}

static void make_xattr(void)
{
	int dir = open_dir(root, "xattr"), fd = create(dir, "file", 77);

	set_xattrs(fd, "file");
	set_xattrs(dir, "directory");
	close(fd);
	close(dir);
}

static void make_emptyxattr(void)
{
	int dir = open_dir(root, "xattr"), fd = create(dir, "empty", 7);

	if (fsetxattr(fd, "user.empty", "", 0, 0) < 0)
		err(1, "setxattr empty");
	close(fd);
	close(dir);
}

static void make_bigdir(void)
{
	int dir = open_dir(root, "bigdir");

	for (int i = 0; i < 5000; i++) {
		char name[64];
		snprintf(name, sizeof(name), "entry-%04d%.*s", i, i % 40,
			 "-abcdefghijklmnopqrstuvwxyz0123456789abcdef");
		make_file(dir, name, i % 7);
	}
	close(dir);
}

/* ---- after all files are there: times from the bottom up, then modes ----------------------- */

static void set_time(int at, const char *name, int64_t seconds, long nanoseconds)
{
	const struct timespec t[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};

	if (utimensat(at, name, t, AT_SYMLINK_NOFOLLOW) < 0)
		err(1, "utimensat %s", name);
}

static void settle(int dirfd);

static void settle_entry(int dirfd, const char *name)
{
	uint64_t h = hash_name(name);
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		err(1, "stat %s", name);
	if (S_ISDIR(st.st_mode)) {
		int sub = openat(dirfd, name, O_RDONLY | O_DIRECTORY);
		if (sub < 0)
			err(1, "open %s", name);
		settle(sub);
	}
	/* 1990 to 2020, with nanoseconds; names that are the same have the same time. */
	set_time(dirfd, name, 631152000 + (int64_t)(h % 946708560), (long)(h >> 20) % 1000000000);
}

static void settle(int dirfd)
{
	DIR *dir = fdopendir(dirfd);
	struct dirent *d;

	while ((d = readdir(dir)))
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			settle_entry(dirfd, d->d_name);
	closedir(dir);
}

static void make_timed(const char *name, int64_t seconds, long nanoseconds)
{
	int dir = open_dir(root, "times");

	set_time(dir, name, seconds, nanoseconds);
	close(dir);
}

static const char *const time_files[] = {"zero-nanoseconds", "last-nanosecond"};
static const char *const zero_files[] = {"epoch"};
static const char *const late_files[] = {"y2038", "y2100"};
static const char *const old_files[] = {"y1901", "y1969"};
static const char *const new_files[] = {"y2200", "y2400"};

static void make_times(void)
{
	make_names("times", time_files, sizeof(time_files) / sizeof(time_files[0]));
}

static void adorn_times(void)
{
	make_timed("zero-nanoseconds", 1234567890, 0);
	make_timed("last-nanosecond", 1234567890, 999999999);
}

static void make_epoch(void)
{
	make_names("times", zero_files, 1);
}

static void adorn_epoch(void)
{
	make_timed("epoch", 0, 0);
}

static void make_latetimes(void)
{
	make_names("times", late_files, sizeof(late_files) / sizeof(late_files[0]));
}

static void adorn_latetimes(void)
{
	make_timed("y2038", 2147483648, 1);
	make_timed("y2100", 4102444800, 500000000);
}

static void make_oldtimes(void)
{
	make_names("times", old_files, sizeof(old_files) / sizeof(old_files[0]));
}

static void adorn_oldtimes(void)
{
	make_timed("y1901", -2147483647, 0);
	make_timed("y1969", -1, 250000000);
}

static void make_newtimes(void)
{
	make_names("times", new_files, sizeof(new_files) / sizeof(new_files[0]));
}

static void adorn_newtimes(void)
{
	make_timed("y2200", 7258118400, 0);
	make_timed("y2400", 13569465600, 123456789);
}

struct mode_file {
	mode_t mode;
	const char *name;
};

static const struct mode_file plain_modes[] = {
    {S_IFREG | 0400, "0400"},     {S_IFREG | 0444, "0444"},    {S_IFREG | 0604, "0604"},
    {S_IFREG | 0777, "0777"},     {S_IFREG | 0755, "0755"},    {S_IFDIR | 0500, "dir-0500"},
    {S_IFDIR | 0700, "dir-0700"}, {S_IFDIR | 0777, "dir-0777"}};
static const struct mode_file special_modes[] = {{S_IFREG | 04755, "4755"},
						 {S_IFREG | 06711 | 0444, "6755"},
						 {S_IFREG | 01644, "1644"},
						 {S_IFDIR | 01777, "dir-1777"},
						 {S_IFDIR | 02775, "dir-2775"}};
static const struct mode_file noperm_modes[] = {
    {S_IFREG | 0000, "0000"}, {S_IFREG | 0111, "0111"}, {S_IFDIR | 0000, "dir-0000"}};

static void make_mode_files(const struct mode_file *m, size_t n)
{
	int dir = open_dir(root, "modes");

	for (size_t i = 0; i < n; i++) {
		if (!S_ISDIR(m[i].mode)) {
			make_file(dir, m[i].name, 400 + i);
			continue;
		}
		int sub = open_dir(dir, m[i].name);
		make_file(sub, "inside", 9);
		close(sub);
	}
	close(dir);
}

static void adorn_mode_files(const struct mode_file *m, size_t n)
{
	int dir = open_dir(root, "modes");

	for (size_t i = 0; i < n; i++)
		if (fchmodat(dir, m[i].name, m[i].mode & 07777, 0) < 0)
			err(1, "chmod %s", m[i].name);
	close(dir);
}

#define MODE_KIND(kind)                                                                            \
	static void make_##kind(void)                                                              \
	{                                                                                          \
		make_mode_files(kind, sizeof(kind) / sizeof(kind[0]));                             \
	}                                                                                          \
	static void adorn_##kind(void)                                                             \
	{                                                                                          \
		adorn_mode_files(kind, sizeof(kind) / sizeof(kind[0]));                            \
	}
MODE_KIND(plain_modes)
MODE_KIND(special_modes)
MODE_KIND(noperm_modes)

static struct kind {
	const char *word;
	void (*make)(void);
	void (*adorn)(void); /* once the times are set; may be NULL */
	bool without;
} kinds[] = {
    {"sizes", make_sizes},
    {"big", make_big},
    {"sparse", make_sparse},
    {"longnames", make_longnames}, /* 255 bytes, ASCII */
    {"longutf8", make_longutf8},   /* 255 bytes, 85 characters */
    {"utf8", make_utf8},
    {"odd", make_odd},     /* spaces, quotes, dashes, brackets */
    {"odder", make_odder}, /* newline, tab, control, backslash, colon, trailing dot and space */
    {"bytes", make_bytes}, /* names that are not UTF-8 */
    {"deep", make_deep},   /* 30 levels */
    {"longpath", make_longpath},
    {"symlinks", make_symlinks},
    {"longlink", make_longlink}, /* a target of PATH_MAX - 1 bytes */
    {"hardlinks", make_hardlinks},
    {"fifo", make_fifo},
    {"xattr", make_xattr},
    {"emptyxattr", make_emptyxattr}, /* a value without a byte */
    {"bigdir", make_bigdir},         /* 5,000 entries */
    {"times", make_times, adorn_times},
    {"epoch", make_epoch, adorn_epoch},             /* the second 0 */
    {"latetimes", make_latetimes, adorn_latetimes}, /* after 2038: more than 31 bits */
    {"oldtimes", make_oldtimes, adorn_oldtimes},    /* before 1970 */
    {"newtimes", make_newtimes, adorn_newtimes},    /* after 2106: more than 32 bits */
    {"modes", make_plain_modes, adorn_plain_modes},
    {"specialmodes", make_special_modes, adorn_special_modes}, /* setuid, setgid, sticky */
    {"noperm", make_noperm_modes, adorn_noperm_modes}, /* what the owner himself cannot read */
};
enum { NKINDS = sizeof(kinds) / sizeof(kinds[0]) };

static void leave_out(char *words)
{
	for (char *word; (word = strsep(&words, ","));) {
		bool found = *word == '\0';
		for (size_t i = 0; i < NKINDS; i++)
			if (!strcmp(word, kinds[i].word))
				found = kinds[i].without = true;
		if (!found)
			errx(2, "no such kind of file: %s", word);
	}
}

int main(int argc, char **argv)
{
	int arg = 1;

	for (; arg < argc && argv[arg][0] == '-'; arg++) {
		if (!strncmp(argv[arg], "--without=", 10))
			leave_out(argv[arg] + 10);
		else if (!strncmp(argv[arg], "--big=", 6))
			big_mib = atol(argv[arg] + 6);
		else
			errx(2, "usage: mktree [--without=WORD,...] [--big=MiB] DIR");
	}
	if (argc != arg + 1)
		errx(2, "usage: mktree [--without=WORD,...] [--big=MiB] DIR");
	umask(0);
	root = open_dir(AT_FDCWD, argv[arg]);
	for (size_t i = 0; i < NKINDS; i++)
		if (!kinds[i].without)
			kinds[i].make();
	settle(dup(root));
	for (size_t i = 0; i < NKINDS; i++)
		if (!kinds[i].without && kinds[i].adorn)
			kinds[i].adorn();
	set_time(AT_FDCWD, argv[arg], 1000000000, 123456789);
	return 0;
}
