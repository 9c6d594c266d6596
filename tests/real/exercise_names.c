/* SPDX-License-Identifier: BSD-2-Clause */
/* The cases on names and attributes: directories, links, renaming, modes, times, xattrs. */
#include "exercise.h"

#include <limits.h>
#include <sys/xattr.h>
#include <unistd.h>

static char data[5000], buf[5000];

/* The stat of a name in the backing directory; false where there is none. */
static bool stat_behind(const char *path, struct stat *st)
{
	char name[4096];

	if (!backing || lacks("backing"))
		return false;
	snprintf(name, sizeof(name), "%s%s", backing, path);
	return lstat(name, st) == 0;
}

static bool directories(void)
{
	struct stat st;

	OK(pf_mkdir(fs, "/work/d", 0755));
	OK(pf_stat(fs, "/work/d", &st));
	CHECK(S_ISDIR(st.st_mode), "mkdir made no directory: %o", st.st_mode);
	HOLDS(backing_exists("/work/d", true));
	EXPECT(pf_mkdir(fs, "/work/d", 0755), -EEXIST);
	OK(pf_mkdir(fs, "/work/d/e", 0755));
	EXPECT(pf_rmdir(fs, "/work/d"), -ENOTEMPTY);
	OK(pf_rmdir(fs, "/work/d/e"));
	OK(pf_rmdir(fs, "/work/d/"));
	EXPECT(pf_stat(fs, "/work/d", &st), -ENOENT);
	EXPECT(pf_mkdir(fs, "/work/no/d", 0755), -ENOENT);
	return backing_exists("/work/d", false);
}

static bool wrong_kinds(void)
{
	char name[NAME_MAX + 16] = "/work/";
	struct pf_file *file;
	struct stat st;

	memset(name + 6, 'n', NAME_MAX + 1);
	HOLDS(put_file("/work/f", data, 10));
	EXPECT(pf_open(fs, "/work/f", O_RDONLY | O_DIRECTORY, 0, &file), -ENOTDIR);
	EXPECT(pf_open(fs, "/work", O_WRONLY, 0, &file), -EISDIR);
	EXPECT(pf_open(fs, "/work/missing", O_RDONLY, 0, &file), -ENOENT);
	EXPECT(pf_stat(fs, "/work/f/g", &st), -ENOTDIR);
	EXPECT(pf_stat(fs, "/work/f/", &st), -ENOTDIR);
	EXPECT(pf_rmdir(fs, "/work/f"), -ENOTDIR);
	EXPECT(pf_unlink(fs, "/work"), -EISDIR);
	EXPECT(pf_unlink(fs, "/work/missing"), -ENOENT);
	CHECK(pf_stat(fs, name, &st) < 0, "a name of 256 bytes exists");
	OK(pf_stat(fs, "/work/../work/./f", &st));
	OK(pf_access(fs, "/work/f", R_OK | W_OK));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool rename_files(void)
{
	struct stat st;

	pattern(data, 5000, 20);
	HOLDS(put_file("/work/a", data, 3000));
	OK(pf_rename(fs, "/work/a", "/work/b"));
	EXPECT(pf_stat(fs, "/work/a", &st), -ENOENT);
	HOLDS(has_bytes("/work/b", data, 3000));
	HOLDS(backing_exists("/work/a", false));
	HOLDS(put_file("/work/c", data + 100, 4000));
	OK(pf_rename(fs, "/work/c", "/work/b"));
	EXPECT(pf_stat(fs, "/work/c", &st), -ENOENT);
	HOLDS(has_bytes("/work/b", data + 100, 4000));
	EXPECT(pf_rename(fs, "/work/missing", "/work/b"), -ENOENT);
	OK(pf_mkdir(fs, "/work/d", 0755));
	OK(pf_rename(fs, "/work/b", "/work/d/b"));
	HOLDS(has_bytes("/work/d/b", data + 100, 4000));
	OK(pf_unlink(fs, "/work/d/b"));
	OK(pf_rmdir(fs, "/work/d"));
	return true;
}

static bool rename_directories(void)
{
	struct stat st;

	pattern(data, 5000, 21);
	OK(pf_mkdir(fs, "/work/d", 0755));
	OK(pf_mkdir(fs, "/work/d/sub", 0755));
	HOLDS(put_file("/work/d/sub/f", data, 3000));
	OK(pf_rename(fs, "/work/d", "/work/e"));
	HOLDS(has_bytes("/work/e/sub/f", data, 3000));
	EXPECT(pf_stat(fs, "/work/d/sub/f", &st), -ENOENT);
	OK(pf_rename(fs, "/work/e/sub", "/work/sub"));
	HOLDS(has_bytes("/work/sub/f", data, 3000));
	EXPECT(pf_rename(fs, "/work/sub", "/work/sub/below"), -EINVAL);
	OK(pf_unlink(fs, "/work/sub/f"));
	OK(pf_rmdir(fs, "/work/sub"));
	OK(pf_rmdir(fs, "/work/e"));
	return true;
}

static bool rename_noreplace(void)
{
	pattern(data, 100, 22);
	HOLDS(put_file("/work/a", data, 100));
	HOLDS(put_file("/work/b", data, 50));
	int e = pf_rename2(fs, "/work/a", "/work/b", RENAME_NOREPLACE);
	HOLDS(has_bytes("/work/a", data, 100));
	HOLDS(has_bytes("/work/b", data, 50));
	OK(pf_unlink(fs, "/work/a"));
	OK(pf_unlink(fs, "/work/b"));
	if (e == -EINVAL)
		return skip("the server has no RENAME_NOREPLACE");
	EXPECT(e, -EEXIST);
	return true;
}

static bool modes(void)
{
	static const mode_t wanted[] = {0600, 0444, 0755, 0640, 0666};
	struct stat st;

	HOLDS(put_file("/work/f", data, 10));
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		OK(pf_chmod(fs, "/work/f", wanted[i]));
		OK(pf_stat(fs, "/work/f", &st));
		EXPECT(st.st_mode & 07777, wanted[i]);
		if (stat_behind("/work/f", &st))
			EXPECT(st.st_mode & 07777, wanted[i]);
	}
	OK(pf_unlink(fs, "/work/f"));
	OK(pf_mkdir(fs, "/work/d", 0700));
	OK(pf_stat(fs, "/work/d", &st));
	EXPECT(st.st_mode & 07777, 0700);
	OK(pf_rmdir(fs, "/work/d"));
	return true;
}

static bool has_mtime(const struct stat *st, const struct timespec *t)
{
	CHECK(st->st_mtim.tv_sec == t->tv_sec &&
		  st->st_mtim.tv_nsec / granularity == t->tv_nsec / granularity,
	      "mtime is %jd.%09ld, not %jd.%09ld", (intmax_t)st->st_mtim.tv_sec,
	      st->st_mtim.tv_nsec, (intmax_t)t->tv_sec, t->tv_nsec);
	return true;
}

static bool times(void)
{
	struct timespec t[2] = {{1111111111, 111111111}, {1234567890, 987654321}};
	struct pf_file *file;
	struct stat st;

	HOLDS(put_file("/work/f", data, 10));
	OK(pf_utimens(fs, "/work/f", t, 0));
	OK(pf_stat(fs, "/work/f", &st));
	HOLDS(has_mtime(&st, &t[1]));
	if (stat_behind("/work/f", &st))
		HOLDS(has_mtime(&st, &t[1]));
	OK(pf_open(fs, "/work/f", O_RDWR, 0, &file));
	if (!lacks("utime-omit"))
		t[0].tv_nsec = UTIME_OMIT;
	t[1].tv_sec = 1300000000;
	OK(pf_futimens(file, t));
	OK(pf_fstat(file, &st));
	HOLDS(has_mtime(&st, &t[1]));
	OK(pf_close(file));
	OK(pf_utimens(fs, "/work/f", NULL, 0));
	OK(pf_stat(fs, "/work/f", &st));
	CHECK(st.st_mtime > 1400000000, "now is %jd", (intmax_t)st.st_mtime);
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool symbolic_links(void)
{
	struct stat st;

	pattern(data, 1000, 23);
	HOLDS(put_file("/work/f", data, 1000));
	OK(pf_symlink(fs, "f", "/work/l"));
	EXPECT(pf_readlink(fs, "/work/l", buf, sizeof(buf)), 1);
	EXPECT(buf[0], 'f');
	OK(pf_lstat(fs, "/work/l", &st));
	CHECK(S_ISLNK(st.st_mode), "lstat finds no symlink: %o", st.st_mode);
	HOLDS(has_bytes("/work/l", data, 1000));
	EXPECT(pf_symlink(fs, "f", "/work/l"), -EEXIST);
	EXPECT(pf_readlink(fs, "/work/f", buf, sizeof(buf)), -EINVAL);
	OK(pf_unlink(fs, "/work/l"));
	HOLDS(has_bytes("/work/f", data, 1000));
	OK(pf_symlink(fs, "two", "/work/one"));
	OK(pf_symlink(fs, "one", "/work/two"));
	EXPECT(pf_stat(fs, "/work/one", &st), -ELOOP);
	OK(pf_unlink(fs, "/work/one"));
	OK(pf_unlink(fs, "/work/two"));
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool hard_links(void)
{
	struct stat a, b;

	pattern(data, 1000, 24);
	HOLDS(put_file("/work/a", data, 1000));
	OK(pf_link(fs, "/work/a", "/work/b"));
	HOLDS(has_bytes("/work/b", data, 1000));
	OK(pf_stat(fs, "/work/a", &a));
	OK(pf_stat(fs, "/work/b", &b));
	if (!lacks("link-count")) {
		EXPECT(a.st_nlink, 2);
		CHECK(a.st_ino == b.st_ino, "two names, two inode numbers");
	}
	EXPECT(pf_link(fs, "/work/a", "/work/b"), -EEXIST);
	OK(pf_unlink(fs, "/work/a"));
	HOLDS(has_bytes("/work/b", data, 1000));
	OK(pf_unlink(fs, "/work/b"));
	return true;
}

static bool fifos(void)
{
	struct stat st;

	OK(pf_mknod(fs, "/work/p", S_IFIFO | 0600, 0));
	OK(pf_lstat(fs, "/work/p", &st));
	CHECK(S_ISFIFO(st.st_mode), "mknod made no FIFO: %o", st.st_mode);
	OK(pf_unlink(fs, "/work/p"));
	return true;
}

enum { MANY = 300 };

static bool make_many(void)
{
	char name[64];

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "/work/entry-%03d", i);
		HOLDS(put_file(name, data, 0));
	}
	return true;
}

static bool remove_many(void)
{
	char name[64];

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "/work/entry-%03d", i);
		OK(pf_unlink(fs, name));
	}
	return true;
}

static bool listing(void)
{
	char met[MANY] = {0};
	struct pf_file *dir;
	struct pf_dirent d;
	int e, i, n = 0;

	HOLDS(make_many());
	OK(pf_open(fs, "/work", O_RDONLY | O_DIRECTORY, 0, &dir));
	while ((e = pf_readdir(dir, &d)) > 0) {
		if (d.name[0] == '.')
			continue;
		CHECK(sscanf(d.name, "entry-%d", &i) == 1 && i >= 0 && i < MANY && !met[i],
		      "readdir gives %s, or gives it twice", d.name);
		met[i] = 1;
		n++;
	}
	OK(e);
	EXPECT(n, MANY);
	EXPECT(pf_readdir(dir, &d), 0);
	OK(pf_seekdir(dir, 0));
	EXPECT(pf_readdir(dir, &d), 1);
	OK(pf_close(dir));
	return remove_many();
}

/* Go on from the middle: every entry after the cookie, none before it. */
static bool seek_in_directory(void)
{
	struct pf_file *dir;
	struct pf_dirent d;
	char after[NAME_MAX + 1];
	int e;

	HOLDS(make_many());
	OK(pf_open(fs, "/work", O_RDONLY | O_DIRECTORY, 0, &dir));
	for (int i = 0; i < MANY / 2; i++)
		EXPECT(pf_readdir(dir, &d), 1);
	uint64_t cookie = pf_telldir(dir);
	EXPECT(pf_readdir(dir, &d), 1);
	snprintf(after, sizeof(after), "%s", d.name);
	while ((e = pf_readdir(dir, &d)) > 0)
		;
	OK(e);
	OK(pf_seekdir(dir, cookie));
	EXPECT(pf_readdir(dir, &d), 1);
	CHECK(!strcmp(after, d.name), "seekdir goes to %s, not to %s", d.name, after);
	OK(pf_close(dir));
	return remove_many();
}

static bool delete_while_listing(void)
{
	struct pf_file *dir;
	struct pf_dirent d;
	char name[300];
	int e, n = 0;

	HOLDS(make_many());
	OK(pf_open(fs, "/work", O_RDONLY | O_DIRECTORY, 0, &dir));
	while ((e = pf_readdir(dir, &d)) > 0) {
		if (d.name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "/work/%s", d.name);
		OK(pf_unlink(fs, name));
		n++;
	}
	OK(e);
	OK(pf_close(dir));
	EXPECT(n, MANY);
	return true;
}

static bool relative_names(void)
{
	struct pf_file *dir, *file;
	struct stat st;

	pattern(data, 1000, 25);
	OK(pf_mkdir(fs, "/work/d", 0755));
	OK(pf_open(fs, "/work/d", O_RDONLY | O_DIRECTORY, 0, &dir));
	OK(pf_mkdirat(dir, "sub", 0755));
	OK(pf_openat(dir, "sub/f", O_RDWR | O_CREAT, 0644, &file));
	EXPECT(pf_write(file, data, 1000), 1000);
	OK(pf_close(file));
	OK(pf_fstatat(dir, "sub/f", &st, 0));
	EXPECT(st.st_size, 1000);
	HOLDS(has_bytes("/work/d/sub/f", data, 1000));
	OK(pf_renameat2(dir, "sub/f", dir, "g", 0));
	OK(pf_fstatat(dir, "../d/g", &st, 0));
	OK(pf_unlinkat(dir, "g", 0));
	OK(pf_unlinkat(dir, "sub", AT_REMOVEDIR));
	OK(pf_close(dir));
	OK(pf_rmdir(fs, "/work/d"));
	return true;
}

static bool long_names(void)
{
	char name[NAME_MAX + 7] = "/work/";

	pattern(data, 100, 26);
	memset(name + 6, 'n', NAME_MAX);
	HOLDS(put_file(name, data, 100));
	HOLDS(has_bytes(name, data, 100));
	EXPECT(count_entries("/work"), 1);
	OK(pf_unlink(fs, name));
	return true;
}

static bool attributes(void)
{
	char list[1000] = "";

	HOLDS(put_file("/work/f", data, 10));
	OK(pf_setxattr(fs, "/work/f", "user.one", "value", 5, XATTR_CREATE));
	if (!lacks("xattr-errors"))
		EXPECT(pf_setxattr(fs, "/work/f", "user.one", "value", 5, XATTR_CREATE), -EEXIST);
	EXPECT(pf_getxattr(fs, "/work/f", "user.one", NULL, 0), 5);
	EXPECT(pf_getxattr(fs, "/work/f", "user.one", buf, 3), -ERANGE);
	EXPECT(pf_getxattr(fs, "/work/f", "user.one", buf, sizeof(buf)), 5);
	CHECK(!memcmp(buf, "value", 5), "the value is '%.5s'", buf);
	EXPECT(pf_getxattr(fs, "/work/f", "user.two", buf, sizeof(buf)), -ENODATA);
	OK(pf_setxattr(fs, "/work/f", "user.two", "", 0, 0));
	ssize_t n = pf_listxattr(fs, "/work/f", list, sizeof(list));
	CHECK(n > 0 && memmem(list, n, "user.one", 9) && memmem(list, n, "user.two", 9),
	      "listxattr gave %zd bytes without the names", n);
	OK(pf_removexattr(fs, "/work/f", "user.one"));
	EXPECT(pf_getxattr(fs, "/work/f", "user.one", buf, sizeof(buf)), -ENODATA);
	if (!lacks("xattr-errors"))
		EXPECT(pf_removexattr(fs, "/work/f", "user.one"), -ENODATA);
	OK(pf_unlink(fs, "/work/f"));
	return true;
}

static bool space(void)
{
	struct statvfs st;

	OK(pf_statvfs(fs, "/work", &st));
	CHECK(st.f_bsize > 0 && st.f_blocks >= st.f_bfree,
	      "%lu bytes a block, %lu blocks, %lu free", (unsigned long)st.f_bsize,
	      (unsigned long)st.f_blocks, (unsigned long)st.f_bfree);
	return true;
}

const struct exercise_case name_cases[] = {
    {"mkdir and rmdir", directories},
    {"wrong kinds of files", wrong_kinds},
    {"rename", rename_files, "rename"},
    {"rename directories", rename_directories, "rename-directory"},
    {"rename without replacing", rename_noreplace},
    {"chmod", modes, "chmod"},
    {"utimens", times},
    {"symlinks", symbolic_links, "symlinks"},
    {"hard links", hard_links, "hardlinks"},
    {"FIFO", fifos, "fifo"},
    {"readdir", listing},
    {"seekdir", seek_in_directory},
    {"readdir while deleting", delete_while_listing},
    {"names relative to a directory", relative_names},
    {"longest name", long_names, "longnames"},
    {"xattr", attributes, "xattr"},
    {"statvfs", space},
    {NULL, NULL, NULL}};
