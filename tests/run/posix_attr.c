/* SPDX-License-Identifier: BSD-2-Clause */
/* What is known of a file: mode, size, times, owner; and what another user may do. */
#include "posix.h"

#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>

/* ---- modes, sizes, stat -------------------------------------------------------------------------
 */

static void modes(void)
{
	static const mode_t rows[] = {0,     0111,  0222,  0444,  0644, 0755,
				      01755, 02755, 04755, 06755, 07777};

	put("f", "text");
	OK(mkdir("d", 0755));
	OK(symlink("f", "s"));
	int fd = OK(open("f", O_RDONLY));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		row("mode %o", rows[i]);
		OK(chmod("f", rows[i]));
		IS(rows[i], mode_of("f"));
		OK(chmod("f", 0));
		OK(fchmod(fd, rows[i]));
		IS(rows[i], mode_of("f"));
		OK(chmod("d", rows[i]));
		IS(rows[i], mode_of("d"));
		OK(chmod("s", rows[i] ^ 0100));
		IS(rows[i] ^ 0100, mode_of("f"));
	}
	row("%s", "");
	IS(S_IFDIR, stat_of("d").st_mode & S_IFMT);
	OK(chmod("f", 0644));
	OK(syscall(SYS_fchmodat, AT_FDCWD, "f", 0600));
	IS(0600, mode_of("f"));
	OK(fchmod(OK(open("d", O_RDONLY)), 0711));
	IS(0711, mode_of("d"));
}

static void sizes(void)
{
	static const long rows[] = {0,      1,      4095,   4096,    4097,
				    131071, 131072, 131073, 1000000, 5000000000};
	char c = 'x';

	put("f", "text");
	int fd = OK(open("f", O_RDWR));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		row("size %ld", rows[i]);
		OK(truncate("f", rows[i]));
		IS(rows[i], stat_of("f").st_size);
		OK(ftruncate(fd, rows[i] / 2));
		IS(rows[i] / 2, stat_of("f").st_size);
		OK(ftruncate(fd, rows[i]));
		if (rows[i]) {
			IS(1, pread(fd, &c, 1, rows[i] - 1));
			IS(rows[i] == 1 && c == 't' ? 't' : 0, c);
		}
		IS(0, pread(fd, &c, 1, rows[i]));
	}
	row("%s", "");
	OK(truncate("f", 0));
	IS(5, pwrite(fd, "12345", 5, 0));
	OK(truncate("f", 2));
	OK(truncate("f", 5));
	char buf[6] = "";
	IS(5, pread(fd, buf, 5, 0));
	IS(0, memcmp(buf, "12\0\0\0", 5));
	FAILS(EINVAL, truncate("f", -1));
	FAILS(EINVAL, ftruncate(fd, -1));
	OK(mkdir("d", 0755));
	FAILS(EISDIR, truncate("d", 0));
	OK(mkfifo("p", 0600));
	FAILS(EINVAL, truncate("p", 0));
}

static void statx_(void)
{
	struct statx x;
	struct stat st;

	put("f", "text");
	OK(symlink("f", "s"));
	OK(stat("f", &st));
	OK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x));
	IS(STATX_BASIC_STATS, x.stx_mask & STATX_BASIC_STATS);
	IS(st.st_mode, x.stx_mode);
	IS(st.st_size, x.stx_size);
	TRUE(st.st_ino == x.stx_ino);
	TRUE(st.st_mtim.tv_nsec == x.stx_mtime.tv_nsec);
	TRUE(major(st.st_dev) == x.stx_dev_major && minor(st.st_dev) == x.stx_dev_minor);
	OK(statx(AT_FDCWD, "s", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &x));
	TRUE(S_ISLNK(x.stx_mode));
	OK(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_SIZE, &x));
	OK(statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_SIZE, &x));
	IS(4, x.stx_size);
	FAILS(EINVAL,
	      statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_SIZE, &x));
	FAILS(EINVAL, statx(AT_FDCWD, "f", 0x40000000, STATX_SIZE, &x));
	FAILS(EINVAL, statx(AT_FDCWD, "f", 0, 0x80000000u, &x));
	int fd = OK(open("f", O_RDONLY));
	OK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x));
	TRUE(st.st_ino == x.stx_ino);
	FAILS(ENOENT, statx(fd, "", 0, STATX_BASIC_STATS, &x));
	FAILS(EINVAL, fstatat(AT_FDCWD, "f", &st, 0x40000000));
	OK(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
	TRUE(S_ISDIR(st.st_mode));
	TRUE(st.st_ino == stat_of(".").st_ino);
	TRUE(stat_of(".").st_dev == stat_of("f").st_dev);
	TRUE(stat_of("f").st_blksize > 0);
	IS(1, stat_of("f").st_blocks > 0);
}

static void statfs_(void)
{
	struct statvfs a, b;

	put("f", "text");
	OK(statvfs(".", &a));
	TRUE(a.f_bsize > 0);
	TRUE(a.f_blocks > 0);
	TRUE(a.f_bavail <= a.f_blocks);
	TRUE(a.f_namemax >= 255);
	int fd = OK(open("f", O_RDONLY)), path = OK(open("f", O_PATH));
	OK(fstatvfs(fd, &b));
	TRUE(a.f_blocks == b.f_blocks);
	OK(fstatvfs(path, &b));
	IS(a.f_bsize, b.f_bsize);
	FAILS(EBADF, fstatvfs(-1, &b));
	IS(255, pathconf(".", _PC_NAME_MAX));
}

/* ---- times --------------------------------------------------------------------------------------
 */

/* A little later than all that was done so far, also for clocks that tick slowly. */
static void wait_a_tick(void)
{
	nanosleep(&(struct timespec){0, 25000000}, NULL);
}

static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static void set_times(void)
{
	static const struct {
		long a, an, m, mn;
	} rows[] = {{0, 0, 0, 0},
		    {1, 2, 3, 4},
		    {1000000000, 123456789, 2000000000, 987654321},
		    {4000000000, 0, 5000000000, 1},
		    {-1, 0, -1000, 500000000}};
	struct timespec both[2] = {{1, UTIME_OMIT}, {7, 0}};

	put("f", "text");
	OK(mkdir("d", 0755));
	OK(symlink("f", "s"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct timespec times[2] = {{rows[i].a, rows[i].an}, {rows[i].m, rows[i].mn}};
		row("%ld.%09ld", rows[i].m, rows[i].mn);
		OK(utimensat(AT_FDCWD, "f", times, 0));
		struct stat st = stat_of("f");
		IS(rows[i].a, st.st_atim.tv_sec);
		IS(rows[i].an, st.st_atim.tv_nsec);
		IS(rows[i].m, st.st_mtim.tv_sec);
		IS(rows[i].mn, st.st_mtim.tv_nsec);
		OK(utimensat(AT_FDCWD, "d", times, 0));
		IS(rows[i].m, stat_of("d").st_mtim.tv_sec);
		OK(utimensat(AT_FDCWD, "s", times, AT_SYMLINK_NOFOLLOW));
		IS(rows[i].m, lstat_of("s").st_mtim.tv_sec);
	}
	row("%s", "");
	int fd = OK(open("f", O_RDONLY));
	OK(futimens(fd, (struct timespec[]){{10, 0}, {20, 0}}));
	IS(20, stat_of("f").st_mtim.tv_sec);
	OK(utimensat(AT_FDCWD, "f", both, 0));
	IS(10, stat_of("f").st_atim.tv_sec);
	IS(7, stat_of("f").st_mtim.tv_sec);
	time_t now = time(NULL);
	both[0].tv_nsec = UTIME_NOW;
	both[1].tv_nsec = UTIME_OMIT;
	OK(utimensat(AT_FDCWD, "f", both, 0));
	TRUE(labs(stat_of("f").st_atim.tv_sec - now) < 100);
	IS(7, stat_of("f").st_mtim.tv_sec);
	OK(utimensat(AT_FDCWD, "f", NULL, 0));
	TRUE(labs(stat_of("f").st_mtim.tv_sec - now) < 100);
	both[0].tv_nsec = 1000000000;
	FAILS(EINVAL, utimensat(AT_FDCWD, "f", both, 0));
	FAILS(EINVAL, utimensat(AT_FDCWD, "f", NULL, 0x40000000));
	FAILS(EBADF, futimens(-1, NULL));
}

/* What changes which time of "f" or of the directory "d". */
static int fd_f, step;

static void change(int which)
{
	char c;

	if (which == 0)
		IS(1, write(fd_f, "x", 1));
	else if (which == 1)
		OK(ftruncate(fd_f, 100));
	else if (which == 2)
		OK(truncate("f", 50));
	else if (which == 3)
		OK(chmod("f", 0600 + step));
	else if (which == 4)
		OK(chown("f", geteuid(), getegid()));
	else if (which == 5)
		OK(link("f", "hard"));
	else if (which == 6)
		OK(unlink("hard"));
	else if (which == 7)
		OK(rename("f", "g") | rename("g", "f"));
	else if (which == 8)
		OK(utimensat(AT_FDCWD, "f", (struct timespec[]){{1, 1}, {1, 1}}, 0));
	else if (which == 9)
		IS(1, pread(fd_f, &c, 1, 0));
	else if (which == 10)
		OK(stat_of("f").st_mode);
	step++;
}

static void change_times(void)
{
	static const struct {
		const char *what;
		int mtime, ctime; /* 1: changes, 0: does not, 2: either */
	} rows[] = {{"write", 1, 1},   {"ftruncate", 1, 1}, {"truncate", 1, 1}, {"chmod", 0, 1},
		    {"chown", 0, 1},   {"link", 0, 1},      {"unlink", 0, 1},   {"rename", 0, 2},
		    {"utimens", 2, 1}, {"read", 0, 0},      {"stat", 0, 0}};

	put("f", "text");
	fd_f = OK(open("f", O_RDWR));
	for (int i = 0; i < (int)(sizeof(rows) / sizeof(*rows)); i++) {
		struct stat before = stat_of("f");
		wait_a_tick();
		row("%s", rows[i].what);
		change(i);
		struct stat after = stat_of("f");
		if (rows[i].mtime != 2)
			IS(rows[i].mtime, later(after.st_mtim, before.st_mtim));
		if (rows[i].ctime != 2)
			IS(rows[i].ctime, later(after.st_ctim, before.st_ctim));
	}
}

static int in_directory(int which)
{
	switch (which) {
	case 0:
		return close(open("d/f", O_CREAT | O_WRONLY, 0644));
	case 1:
		return mkdir("d/sub", 0755);
	case 2:
		return symlink("f", "d/s");
	case 3:
		return mkfifo("d/p", 0600);
	case 4:
		return link("d/f", "d/h");
	case 5:
		return rename("d/h", "d/i");
	case 6:
		return unlink("d/i");
	case 7:
		return rmdir("d/sub");
	case 8:
		return rename("d/s", "s");
	case 9:
		return rename("s", "d/s");
	case 10:
		return -(open("d/f", O_CREAT | O_EXCL | O_WRONLY, 0644) >= 0);
	default:
		return chmod("d/f", 0600);
	}
}

static void directory_times(void)
{
	static const char *const what[] = {"create",   "mkdir",   "symlink", "mkfifo",
					   "link",     "rename",  "unlink",  "rmdir",
					   "move out", "move in", "EEXIST",  "chmod inside"};

	OK(mkdir("d", 0755));
	for (int i = 0; i < 12; i++) {
		struct stat before = stat_of("d");
		wait_a_tick();
		row("%s", what[i]);
		OK(in_directory(i));
		struct stat after = stat_of("d");
		IS(i < 10, later(after.st_mtim, before.st_mtim));
		IS(i < 10, later(after.st_ctim, before.st_ctim));
	}
}

static void new_times(void)
{
	struct timespec before, after;
	static const char *const names[] = {"f", "d", "s", "p"};

	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	put("f", "x");
	OK(mkdir("d", 0755));
	OK(symlink("x", "s"));
	OK(mkfifo("p", 0600));
	wait_a_tick();
	clock_gettime(CLOCK_REALTIME, &after);
	for (int i = 0; i < 4; i++) {
		struct stat st = lstat_of(names[i]);
		row("%s", names[i]);
		TRUE(!later(before, st.st_mtim) && later(after, st.st_mtim));
		TRUE(!later(before, st.st_ctim) && later(after, st.st_ctim));
		TRUE(!later(before, st.st_atim) && later(after, st.st_atim));
	}
}

const struct test attr_tests[] = {
    {"attr_modes", modes, "symlinks,chmod"},
    {"attr_sizes", sizes, "fifo"},
    {"attr_statx", statx_, "symlinks"},
    {"attr_statfs", statfs_},
    {NULL},
};

const struct test time_tests[] = {
    {"time_set", set_times, "utime-omit"},
    {"time_change", change_times, "hardlinks,times"},
    {"time_directory", directory_times, "hardlinks,fifo,times"},
    {"time_new", new_times, "fifo,times"},
    {NULL},
};
