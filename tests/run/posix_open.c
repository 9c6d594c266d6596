/* SPDX-License-Identifier: BSD-2-Clause */
/* open(2) and its flags; descriptors and what they share. */
#include "posix.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

static void flags(void)
{
	static const struct {
		const char *path;
		int flags, error;
	} rows[] = {
	    {"file", O_RDONLY, 0},
	    {"file", O_WRONLY, 0},
	    {"file", O_RDWR, 0},
	    {"file", O_RDONLY | O_CREAT, 0},
	    {"file", O_RDWR | O_CREAT | O_EXCL, EEXIST},
	    {"file", O_RDONLY | O_DIRECTORY, ENOTDIR},
	    {"file", O_RDONLY | O_NOFOLLOW, 0},
	    {"file", O_PATH | O_DIRECTORY, ENOTDIR},
	    {"file", O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0},
	    {"file", O_RDONLY | O_NOATIME, 0},
	    {"file", O_RDWR | O_SYNC, 0},
	    {"file", O_RDWR | O_DSYNC, 0},
	    {"dir", O_RDONLY, 0},
	    {"dir", O_WRONLY, EISDIR},
	    {"dir", O_RDWR, EISDIR},
	    {"dir", O_RDONLY | O_TRUNC, EISDIR},
	    {"dir", O_RDONLY | O_CREAT, EISDIR},
	    {"dir", O_RDONLY | O_CREAT | O_EXCL, EEXIST},
	    {"dir", O_RDONLY | O_CREAT | O_DIRECTORY, EINVAL},
	    {"dir", O_RDONLY | O_DIRECTORY, 0},
	    {"dir", O_PATH, 0},
	    {".", O_RDONLY, 0},
	    {".", O_WRONLY, EISDIR},
	    {"link", O_RDONLY, 0},
	    {"link", O_RDONLY | O_NOFOLLOW, ELOOP},
	    {"link", O_RDONLY | O_CREAT | O_EXCL, EEXIST},
	    {"link", O_PATH | O_NOFOLLOW, 0},
	    {"link", O_RDONLY | O_DIRECTORY, ENOTDIR},
	    {"dangling", O_RDONLY, ENOENT},
	    {"dangling", O_PATH, ENOENT},
	    {"dangling", O_PATH | O_NOFOLLOW, 0},
	    {"dangling", O_RDONLY | O_NOFOLLOW, ELOOP},
	    {"dangling", O_WRONLY | O_CREAT | O_EXCL, EEXIST},
	    {"todir", O_RDONLY, 0},
	    {"todir", O_RDONLY | O_DIRECTORY, 0},
	    {"todir", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, ENOTDIR},
	    {"todir/", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0},
	    {"todir", O_WRONLY, EISDIR},
	    {"none", O_RDONLY, ENOENT},
	    {"none", O_RDONLY | O_DIRECTORY, ENOENT},
	    {"none", O_RDONLY | O_TRUNC, ENOENT},
	};

	put("file", "text");
	OK(mkdir("dir", 0755));
	OK(symlink("file", "link"));
	OK(symlink("dir", "todir"));
	OK(symlink("target", "dangling"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int fd;
		row("%s, %#o", rows[i].path, rows[i].flags);
		if (rows[i].error)
			fd = FAILS(rows[i].error, open(rows[i].path, rows[i].flags, 0644));
		else
			fd = OK(open(rows[i].path, rows[i].flags, 0644));
		if (fd >= 0)
			close(fd);
	}
	row("%s", "");
	SAYS("text", text_of("file"));
	OK(close(OK(open("dangling", O_WRONLY | O_CREAT, 0600))));
	IS(0600, mode_of("target"));
}

static void create(void)
{
	static const mode_t modes[] = {0,    0111, 0222,  0444,  0600, 0644,
				       0666, 0777, 01644, 04755, 06777};

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		umask(0);
		row("mode %o", modes[i]);
		/* The mode counts for later opens, not for this one. */
		int fd = OK(open("f", O_RDWR | O_CREAT | O_EXCL, modes[i]));
		IS(2, write(fd, "ok", 2));
		OK(close(fd));
		IS(modes[i] & ~06000, mode_of("f") & ~06000);
		OK(unlink("f"));
		umask(027);
		OK(close(open("f", O_RDWR | O_CREAT, modes[i])));
		IS(modes[i] & ~027 & 0777, mode_of("f") & 0777);
		OK(unlink("f"));
	}
	umask(0);
	row("%s", "");
	OK(close(OK(creat("c", 0644))));
	IS(0644, mode_of("c"));
	TRUE(stat_of("c").st_uid == geteuid());
	TRUE(stat_of("c").st_gid == getegid());
	IS(1, stat_of("c").st_nlink);
	IS(0, stat_of("c").st_size);
	put("c", "text");
	OK(close(OK(creat("c", 0600))));
	IS(0644, mode_of("c"));
	IS(0, stat_of("c").st_size);
}

static void truncating(void)
{
	put("f", "0123456789");
	int other = OK(open("f", O_RDWR));
	int fd = OK(open("f", O_RDWR | O_TRUNC));
	char c;

	IS(0, stat_of("f").st_size);
	IS(0, read(other, &c, 1));
	IS(3, write(other, "abc", 3));
	IS(1, read(fd, &c, 1));
	IS('a', c);
	OK(close(OK(open("f", O_WRONLY | O_TRUNC | O_APPEND))));
	IS(0, lseek(other, 0, SEEK_END));
	put("g", "text");
	FAILS(EEXIST, open("g", O_WRONLY | O_CREAT | O_EXCL | O_TRUNC, 0644));
	SAYS("text", text_of("g"));
}

static void wrong_way(void)
{
	char c = 0;
	struct iovec iov = {&c, 1};

	put("f", "text");
	int in = OK(open("f", O_RDONLY)), out = OK(open("f", O_WRONLY)),
	    path = OK(open("f", O_PATH));
	int dir = OK(open(".", O_RDONLY));
	FAILS(EBADF, write(in, &c, 1));
	FAILS(EBADF, pwrite(in, &c, 1, 0));
	FAILS(EBADF, writev(in, &iov, 1));
	FAILS(EINVAL, ftruncate(in, 0));
	FAILS(EBADF, fallocate(in, 0, 0, 10));
	FAILS(EBADF, read(out, &c, 1));
	FAILS(EBADF, pread(out, &c, 1, 0));
	FAILS(EBADF, readv(out, &iov, 1));
	FAILS(EBADF, read(path, &c, 1));
	FAILS(EBADF, write(path, &c, 1));
	FAILS(EBADF, fchmod(path, 0600));
	FAILS(EBADF, fchown(path, -1, -1));
	FAILS(EBADF, ftruncate(path, 0));
	FAILS(EBADF, lseek(path, 0, SEEK_SET));
	FAILS(EBADF, fsync(path));
	FAILS(EISDIR, read(dir, &c, 1));
	FAILS(EBADF, write(dir, &c, 1));
	FAILS(EINVAL, ftruncate(dir, 0));
	FAILS(EINVAL, lseek(in, -1, SEEK_SET));
	FAILS(EINVAL, lseek(in, 0, 77));
	FAILS(EINVAL, pread(in, &c, 1, -1));
	FAILS(EINVAL, pwrite(out, &c, 1, -1));
	FAILS(ENOTDIR, syscall(SYS_getdents64, in, &c, 1));
	FAILS(ENOTTY, syscall(SYS_ioctl, in, 0x5401, BAD));
	IS(0, read(in, &c, 0));
	IS(0, write(out, &c, 0));
	OK(fsync(in));
	OK(fdatasync(out));
	OK(fsync(dir));
	IS(O_RDONLY, fcntl(in, F_GETFL) & O_ACCMODE);
	IS(O_WRONLY, fcntl(out, F_GETFL) & O_ACCMODE);
	IS(O_PATH, fcntl(path, F_GETFL) & O_PATH);
	SAYS("text", text_of("f"));
}

static void append(void)
{
	char buf[20] = "";

	put("f", "12345");
	int fd = OK(open("f", O_RDWR | O_APPEND)), plain = OK(open("f", O_RDWR));
	IS(0, lseek(fd, 0, SEEK_CUR));
	IS(2, write(fd, "67", 2));
	IS(7, lseek(fd, 0, SEEK_CUR));
	IS(0, lseek(fd, 0, SEEK_SET));
	IS(1, write(fd, "8", 1));
	SAYS("12345678", text_of("f"));
	IS(1, pwrite(fd, "9", 1, 0)); /* Linux appends here, too */
	SAYS("123456789", text_of("f"));
	IS(3, pwrite(plain, "abc", 3, 20));
	IS(1, write(fd, "!", 1));
	IS(24, stat_of("f").st_size);
	OK(ftruncate(fd, 3));
	IS(1, write(fd, "x", 1));
	SAYS("123x", text_of("f"));
	OK(fcntl(fd, F_SETFL, 0));
	IS(2, pwrite(fd, "yz", 2, 0));
	SAYS("yz3x", text_of("f"));
	OK(fcntl(plain, F_SETFL, O_APPEND));
	IS(1, write(plain, "+", 1));
	SAYS("yz3x+", text_of("f"));
	IS(5, pread(plain, buf, 19, 0));
	SAYS("yz3x+", buf);
}

/* Each of several processes appends lines; none is lost or broken. */
static void append_lines(void)
{
	int fd = open("log", O_WRONLY | O_APPEND | O_CREAT, 0644);
	char line[40];

	for (int i = 0; i < 200; i++) {
		snprintf(line, sizeof(line), "%5d %25d\n", getpid() % 100000, i);
		if (write(fd, line, 32) != 32)
			exit(1);
	}
	close(fd);
}

static void append_processes(void)
{
	char line[40];
	int bad = 0, lines = 0;

	for (int i = 0; i < 4; i++)
		if (fork() == 0) {
			append_lines();
			_exit(0);
		}
	append_lines();
	for (int i = 0; i < 4; i++)
		while (wait3(NULL, 0, NULL) < 0 && errno == EINTR)
			;
	FILE *f = fopen("log", "re");
	while (f && fgets(line, sizeof(line), f)) {
		lines++;
		bad += strlen(line) != 32 || line[5] != ' ';
	}
	IS(1000, lines);
	IS(0, bad);
	IS(32000, stat_of("log").st_size);
}

static void unlinked(void)
{
	char buf[20] = "";
	struct stat st;

	put("f", "text");
	int fd = OK(open("f", O_RDWR)), second = OK(open("f", O_RDONLY));
	OK(unlink("f"));
	FAILS(ENOENT, open("f", O_RDONLY));
	OK(fstat(fd, &st));
	IS(0, st.st_nlink);
	IS(4, st.st_size);
	IS(4, pread(fd, buf, 10, 0));
	SAYS("text", buf);
	IS(4, pwrite(fd, "more", 4, 4));
	IS(8, read(second, buf, 10));
	SAYS("textmore", buf);
	OK(fchmod(fd, 0600));
	OK(ftruncate(fd, 2));
	OK(fstat(second, &st));
	IS(2, st.st_size);
	IS(S_IFREG | 0600, st.st_mode);
	OK(futimens(fd, (struct timespec[]){{5, 0}, {6, 0}}));
	OK(fstat(fd, &st));
	IS(6, st.st_mtime);
	/* Another file of that name is another file. */
	put("f", "new");
	SAYS("new", text_of("f"));
	TRUE(stat_of("f").st_ino != st.st_ino);
	IS(2, pread(second, buf, 10, 0));
	OK(close(fd));
	IS(2, pread(second, buf, 10, 0));
	OK(close(second));
	OK(unlink("f"));
}

static void shared_offset(void)
{
	char c;

	put("f", "0123456789");
	int fd = OK(open("f", O_RDWR)), copy = OK(dup(fd)), own = OK(open("f", O_RDONLY));
	IS(1, read(fd, &c, 1));
	IS(1, read(copy, &c, 1));
	IS('1', c);
	IS(1, read(own, &c, 1));
	IS('0', c);
	pid_t child = fork();
	if (child == 0) {
		_exit(lseek(fd, 3, SEEK_CUR) == 5 ? 0 : 1);
	}
	int status;
	waitpid(child, &status, 0);
	IS(0, status);
	IS(5, lseek(copy, 0, SEEK_CUR));
	IS(50, dup2(fd, 50));
	OK(close(fd));
	OK(close(copy));
	IS(1, read(50, &c, 1));
	IS('5', c);
	IS(60, fcntl(50, F_DUPFD_CLOEXEC, 60));
	IS(FD_CLOEXEC, fcntl(60, F_GETFD));
	IS(0, fcntl(50, F_GETFD));
	IS(6, lseek(60, 0, SEEK_CUR));
	IS(70, dup3(60, 70, O_CLOEXEC));
	FAILS(EINVAL, dup3(60, 60, 0));
	FAILS(EBADF, dup(fd));
	OK(fcntl(70, F_SETFL, O_APPEND));
	IS(O_APPEND, fcntl(50, F_GETFL) & O_APPEND);
	IS(0, close_range(50, 69, 0));
	FAILS(EBADF, lseek(60, 0, SEEK_CUR));
	IS(6, lseek(70, 0, SEEK_CUR));
	/* The lowest free number is taken. */
	OK(close(own));
	TRUE(open("f", O_RDONLY) == (own < fd ? own : fd));
}

static void tmpfile_(void)
{
	char buf[10] = "", name[40];
	struct stat st;

	OK(mkdir("d", 0755));
	FAILS(EINVAL, open("d", O_TMPFILE | O_RDONLY, 0600));
	FAILS(ENOENT, open("none", O_TMPFILE | O_RDWR, 0600));
	put("f", "text");
	FAILS(ENOTDIR, open("f", O_TMPFILE | O_RDWR, 0600));
	int fd = open("d", O_TMPFILE | O_RDWR, 0640);
	if (fd < 0 && errno == EOPNOTSUPP)
		give_up("no O_TMPFILE here");
	TRUE(fd >= 0);
	IS(4, write(fd, "anon", 4));
	OK(fstat(fd, &st));
	IS(0, st.st_nlink);
	IS(S_IFREG | 0640, st.st_mode);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, name, AT_FDCWD, "d/named", AT_SYMLINK_FOLLOW));
	SAYS("anon", text_of("d/named"));
	IS(1, stat_of("d/named").st_nlink);
	IS(4, pread(fd, buf, 9, 0));
	FAILS(EEXIST, linkat(AT_FDCWD, name, AT_FDCWD, "d/named", AT_SYMLINK_FOLLOW));
	int excl = OK(open("d", O_TMPFILE | O_RDWR | O_EXCL, 0640));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", excl);
	FAILS(ENOENT, linkat(AT_FDCWD, name, AT_FDCWD, "d/no", AT_SYMLINK_FOLLOW));
}

static void o_path(void)
{
	char buf[20] = "";
	struct stat st;

	put("f", "text");
	OK(symlink("f", "l"));
	int fd = OK(open("f", O_PATH)), link = OK(open("l", O_PATH | O_NOFOLLOW));
	OK(fstat(fd, &st));
	IS(4, st.st_size);
	OK(fstat(link, &st));
	TRUE(S_ISLNK(st.st_mode));
	IS(1, readlinkat(link, "", buf, sizeof(buf)));
	SAYS("f", buf);
	OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
	TRUE(S_ISREG(st.st_mode));
	FAILS(ENOENT, fstatat(fd, "", &st, 0));
	OK(syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH));
	OK(fchownat(fd, "", -1, -1, AT_EMPTY_PATH));
	snprintf(buf, sizeof(buf), "/proc/self/fd/%d", fd);
	SAYS("text", text_of(buf));
	OK(chmod(buf, 0600));
	IS(0600, mode_of("f"));
	OK(rename("f", "g"));
	SAYS("text", text_of(buf));
	if (is_root()) {
		OK(linkat(fd, "", AT_FDCWD, "h", AT_EMPTY_PATH));
		IS(2, stat_of("g").st_nlink);
	}
}

const struct test open_tests[] = {
    {"open_flags", flags, "symlinks"},
    {"open_create", create},
    {"open_truncating", truncating},
    {"open_wrong_way", wrong_way},
    {"open_append", append},
    {"open_append_processes", append_processes},
    {"open_unlinked", unlinked},
    {"open_shared_offset", shared_offset},
    {"open_tmpfile", tmpfile_},
    {"open_o_path", o_path, "symlinks,hardlinks"},
    {NULL},
};
