/* SPDX-License-Identifier: BSD-2-Clause */
/* Names come, go and move: link, unlink, mkdir, rmdir, rename, symlink, mknod. */
#include "posix.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

/* ---- link, unlink, mkdir, rmdir -----------------------------------------------------------------
 */

static void links(void)
{
	char name[20];

	put("a", "text");
	OK(mkdir("d", 0755));
	IS(1, stat_of("a").st_nlink);
	OK(link("a", "b"));
	OK(link("b", "d/c"));
	IS(3, stat_of("a").st_nlink);
	IS(3, stat_of("d/c").st_nlink);
	TRUE(stat_of("a").st_ino == stat_of("d/c").st_ino);
	OK(chmod("b", 0600));
	IS(0600, mode_of("a"));
	put("d/c", "longer text");
	SAYS("longer text", text_of("a"));
	IS(11, stat_of("b").st_size);
	FAILS(EEXIST, link("a", "b"));
	FAILS(EEXIST, link("a", "d"));
	FAILS(EPERM, link("d", "e"));
	FAILS(ENOENT, link("none", "e"));
	OK(unlink("a"));
	IS(2, stat_of("b").st_nlink);
	SAYS("longer text", text_of("d/c"));
	OK(unlink("b"));
	IS(1, stat_of("d/c").st_nlink);
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		if (link("d/c", name) < 0)
			FAILS(0, -1);
	}
	IS(51, stat_of("n7").st_nlink);
	/* Of a symbolic link itself, or of what it points to. */
	OK(symlink("d/c", "s"));
	OK(link("s", "hard"));
	TRUE(S_ISLNK(lstat_of("hard").st_mode));
	IS(2, lstat_of("s").st_nlink);
	OK(linkat(AT_FDCWD, "s", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	TRUE(S_ISREG(lstat_of("followed").st_mode));
	FAILS(EINVAL, linkat(AT_FDCWD, "s", AT_FDCWD, "x", 0x40000000));
	FAILS(EXDEV, link("/proc/self/status", "x"));
	FAILS(EXDEV, link("d/c", "/dev/shm/x"));
}

static void directories(void)
{
	struct stat st;

	OK(mkdir("d", 0750));
	IS(S_IFDIR | 0750, stat_of("d").st_mode);
	OK(fstatat(AT_FDCWD, "d/.", &st, 0));
	TRUE(st.st_ino == stat_of("d").st_ino);
	TRUE(stat_of("d/..").st_ino == stat_of(".").st_ino);
	FAILS(EEXIST, mkdir("d", 0755));
	FAILS(ENOENT, mkdir("no/d", 0755));
	put("f", "");
	FAILS(EEXIST, mkdir("f", 0755));
	FAILS(ENOTDIR, mkdir("f/d", 0755));
	FAILS(ENOTDIR, rmdir("f"));
	FAILS(EISDIR, unlink("d"));
	FAILS(ENOENT, rmdir("none"));
	put("d/x", "");
	FAILS(ENOTEMPTY, rmdir("d"));
	FAILS(EINVAL, rmdir("d/."));
	FAILS(ENOTEMPTY, rmdir("d/.."));
	FAILS(EBUSY, rmdir("/"));
	OK(unlink("d/x"));
	OK(rmdir("d"));
	FAILS(ENOENT, stat("d", &st));
	umask(0);
	OK(mkdir("m", 01777));
	IS(01777, mode_of("m"));
	OK(mkdir("n", 0));
	IS(0, mode_of("n"));
	umask(077);
	OK(mkdir("o", 0777));
	IS(0700, mode_of("o"));
}

static void directory_links(void)
{
	/* Some file systems count a directory's subdirectories, others always say 1. */
	OK(mkdir("d", 0755));
	if (stat_of("d").st_nlink < 2)
		give_up("directories have no link count here");
	OK(mkdir("d/a", 0755));
	OK(mkdir("d/b", 0755));
	put("d/f", "");
	IS(4, stat_of("d").st_nlink);
	OK(rename("d/b", "b"));
	IS(3, stat_of("d").st_nlink);
	OK(rmdir("d/a"));
	IS(2, stat_of("d").st_nlink);
}

static void unlinks(void)
{
	struct stat st;

	put("f", "text");
	OK(symlink("f", "s"));
	OK(unlink("s"));
	SAYS("text", text_of("f"));
	OK(chmod("f", 0));
	OK(unlink("f"));
	FAILS(ENOENT, unlink("f"));
	FAILS(ENOENT, lstat("f", &st));
	OK(mkfifo("p", 0600));
	OK(unlink("p"));
	OK(mkdir("d", 0755));
	FAILS(EISDIR, unlink("d"));
	OK(remove("d"));
	FAILS(EISDIR, unlink("."));
}

/* ---- rename -------------------------------------------------------------------------------------
 */

static void moves(void)
{
	struct stat st;

	put("a", "text");
	ino_t ino = stat_of("a").st_ino;
	OK(rename("a", "b"));
	FAILS(ENOENT, stat("a", &st));
	SAYS("text", text_of("b"));
	TRUE(stat_of("b").st_ino == ino);
	OK(mkdir("d", 0755));
	OK(rename("b", "d/c"));
	FAILS(ENOENT, stat("b", &st));
	OK(rename("d/c", "d/c"));
	SAYS("text", text_of("d/c"));
	OK(rename("d", "e"));
	SAYS("text", text_of("e/c"));
	FAILS(ENOENT, stat("d/c", &st));
	OK(symlink("e/c", "s"));
	OK(rename("s", "e/t"));
	TRUE(S_ISLNK(lstat_of("e/t").st_mode));
	OK(rename("e/t", "t"));
	SAYS("text", text_of("t"));
	OK(mkfifo("p", 0600));
	OK(rename("p", "e/p"));
	TRUE(S_ISFIFO(lstat_of("e/p").st_mode));
	FAILS(EXDEV, rename("e/c", "/proc/x"));
	FAILS(EXDEV, rename("/proc/self/status", "x"));
}

static void replaces(void)
{
	static const struct {
		const char *from, *to;
		int error;
	} rows[] = {
	    {"file", "dir", EISDIR},
	    {"dir", "file", ENOTDIR},
	    {"dir", "full", ENOTEMPTY},
	    {"full", "file", ENOTDIR},
	    {"file", "file/x", ENOTDIR},
	    {"none", "file", ENOENT},
	    {"file", "none/x", ENOENT},
	    {"dir", "dir/x", EINVAL},
	    {"dir", "dir/x/y", ENOENT},
	    {"full", "full/sub", EINVAL},
	    {"full", "full/sub/x", EINVAL},
	    {"full/sub", "full", ENOTEMPTY},
	    {"full/sub", "full/.", EBUSY},
	    {".", "x", EBUSY},
	    {"..", "x", EBUSY},
	    {"dir/.", "x", EBUSY},
	    {"dir/..", "x", EBUSY},
	    {"file", ".", EBUSY},
	    {"link", "dir", EISDIR},
	    {"dir", "link", ENOTDIR},
	    {"dir", "todir", ENOTDIR},
	    {"file", "fifo", 0},
	    {"fifo", "link", 0},
	    {"link", "dangling", 0},
	    {"dir", "empty", 0},
	    {"full", "empty", 0},
	    {"todir", "file", 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		OK(mkdir("case", 0755));
		OK(chdir("case"));
		put("file", "text");
		OK(mkdir("dir", 0755));
		OK(mkdir("empty", 0755));
		OK(mkdir("full", 0755));
		OK(mkdir("full/sub", 0755));
		OK(symlink("file", "link"));
		OK(symlink("dir", "todir"));
		OK(symlink("nowhere", "dangling"));
		OK(mkfifo("fifo", 0600));
		ino_t ino = lstat_of(rows[i].from).st_ino;
		row("%s to %s", rows[i].from, rows[i].to);
		if (rows[i].error) {
			FAILS(rows[i].error, rename(rows[i].from, rows[i].to));
			TRUE(lstat_of(rows[i].from).st_ino == ino);
		} else {
			OK(rename(rows[i].from, rows[i].to));
			TRUE(lstat_of(rows[i].to).st_ino == ino);
			IS(0, lstat_of(rows[i].from).st_ino);
		}
		row("%s", "");
		OK(chdir(".."));
		if (system("rm -rf case"))
			FAILS(0, -1);
	}
}

static void over_open(void)
{
	char buf[20] = "";
	struct stat st;

	put("old", "old text");
	put("new", "new text!");
	int fd = OK(open("old", O_RDWR)), moved = OK(open("new", O_RDWR));
	OK(rename("new", "old"));
	SAYS("new text!", text_of("old"));
	IS(8, pread(fd, buf, 20, 0));
	SAYS("old text", buf);
	OK(fstat(fd, &st));
	IS(0, st.st_nlink);
	IS(3, pwrite(fd, "OLD", 3, 0));
	SAYS("new text!", text_of("old"));
	IS(3, pwrite(moved, "NEW", 3, 0));
	SAYS("NEW text!", text_of("old"));
	/* Two names of one file: rename does nothing. */
	OK(link("old", "twin"));
	OK(rename("old", "twin"));
	IS(2, stat_of("old").st_nlink);
	OK(unlink("twin"));
	/* A directory moves while a file of it is open. */
	OK(mkdir("d", 0755));
	put("d/f", "inside");
	int inside = OK(open("d/f", O_RDWR));
	OK(rename("d", "e"));
	IS(6, pread(inside, buf, 20, 0));
	IS(2, pwrite(inside, "IN", 2, 0));
	SAYS("INside", text_of("e/f"));
}

static void rename_flags(void)
{
	struct stat st;

	put("a", "A");
	put("b", "B");
	OK(mkdir("d", 0755));
	put("d/x", "X");
	FAILS(EINVAL, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE | RENAME_EXCHANGE));
	FAILS(EINVAL, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", 0x4000));
	if (renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE) < 0 && errno == EINVAL)
		give_up("no flags of renameat2 here");
	SAYS("A", text_of("c"));
	OK(rename("c", "a"));
	FAILS(EEXIST, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
	FAILS(EEXIST, renameat2(AT_FDCWD, "a", AT_FDCWD, "d", RENAME_NOREPLACE));
	FAILS(ENOENT, renameat2(AT_FDCWD, "a", AT_FDCWD, "none", RENAME_EXCHANGE));
	SAYS("A", text_of("a"));
	OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
	SAYS("B", text_of("a"));
	SAYS("A", text_of("b"));
	OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE));
	SAYS("B", text_of("d"));
	SAYS("X", text_of("a/x"));
	OK(renameat2(AT_FDCWD, "b", AT_FDCWD, "a/x", RENAME_EXCHANGE));
	SAYS("A", text_of("a/x"));
	FAILS(EINVAL, renameat2(AT_FDCWD, "a", AT_FDCWD, "a/x", RENAME_EXCHANGE));
	OK(stat("a", &st));
}

static void many_moves(void)
{
	char from[40], to[40];

	OK(mkdir("x", 0755));
	OK(mkdir("y", 0755));
	put("x/f0", "moving");
	for (int i = 0; i < 300; i++) {
		snprintf(from, sizeof(from), "%s/f%d", i % 2 ? "y" : "x", i);
		snprintf(to, sizeof(to), "%s/f%d", i % 2 ? "x" : "y", i + 1);
		if (rename(from, to) < 0 || !access(from, F_OK) || access(to, F_OK))
			FAILS(0, -1);
	}
	SAYS("moving", text_of("x/f300"));
	/* As editors save: write beside, rename over. */
	for (int i = 0; i < 100; i++) {
		snprintf(from, sizeof(from), "text %d", i);
		put("tmp", from);
		if (rename("tmp", "saved") < 0 || strcmp(text_of("saved"), from))
			FAILS(0, -1);
	}
	SAYS("text 99", text_of("saved"));
}

/* ---- symlinks, devices, sockets
 * ------------------------------------------------------------------ */

static void symlinks(void)
{
	char buf[20] = "xxxxxxx";

	OK(symlink("target", "s"));
	IS(6, readlink("s", buf, sizeof(buf)));
	buf[6] = '\0';
	SAYS("target", buf);
	IS(3, readlink("s", buf, 3));
	IS(6, lstat_of("s").st_size);
	TRUE(S_ISLNK(lstat_of("s").st_mode));
	IS(0777, mode_of("s"));
	FAILS(EINVAL, readlink("s", buf, 0));
	FAILS(EINVAL, readlink(".", buf, 5));
	put("f", "text");
	FAILS(EINVAL, readlink("f", buf, 5));
	FAILS(EEXIST, symlink("x", "s"));
	FAILS(EEXIST, symlink("x", "f"));
	FAILS(ENOENT, open("s", O_RDONLY));
	put("target", "now");
	SAYS("now", text_of("s"));
	OK(symlink("s", "t"));
	SAYS("now", text_of("t"));
	put("t", "through");
	SAYS("through", text_of("target"));
	IS(600, (chmod("t", 0600), mode_of("target") == 0600 ? 600 : 0));
	OK(truncate("t", 3));
	IS(3, stat_of("target").st_size);
	OK(unlink("target"));
	FAILS(ENOENT, access("s", F_OK));
	FAILS(ENOENT, chmod("s", 0600));
	FAILS(ENOENT, truncate("s", 0));
}

static void fifos(void)
{
	char c = 0;

	OK(mkfifo("p", 0640));
	IS(S_IFIFO | 0640, lstat_of("p").st_mode);
	FAILS(EEXIST, mkfifo("p", 0640));
	FAILS(ENXIO, open("p", O_WRONLY | O_NONBLOCK));
	int in = OK(open("p", O_RDONLY | O_NONBLOCK)), out = OK(open("p", O_WRONLY));
	FAILS(EAGAIN, read(in, &c, 1));
	IS(3, write(out, "abc", 3));
	IS(1, read(in, &c, 1));
	IS('a', c);
	FAILS(ESPIPE, lseek(in, 0, SEEK_SET));
	OK(unlink("p"));
	IS(1, read(in, &c, 1));
	OK(close(out));
	IS(1, read(in, &c, 1));
	IS(0, read(in, &c, 1));
	OK(close(in));
	/* Both ends wait for each other, in two processes. */
	OK(mkfifo("q", 0600));
	if (fork() == 0) {
		int fd = open("q", O_WRONLY);
		_exit(write(fd, "from the child", 14) == 14 ? 0 : 1);
	}
	SAYS("from the child", text_of("q"));
}

static void nodes(void)
{
	struct stat st;

	OK(mknod("f", S_IFREG | 0640, 0));
	IS(S_IFREG | 0640, lstat_of("f").st_mode);
	OK(mknod("g", 0600, 0));
	TRUE(S_ISREG(lstat_of("g").st_mode));
	OK(mknod("p", S_IFIFO | 0600, 0));
	TRUE(S_ISFIFO(lstat_of("p").st_mode));
	OK(mknod("s", S_IFSOCK | 0600, 0));
	TRUE(S_ISSOCK(lstat_of("s").st_mode));
	FAILS(EEXIST, mknod("f", S_IFREG | 0640, 0));
	FAILS(EPERM, mknod("d", S_IFDIR | 0755, 0));
	FAILS(EINVAL, mknod("l", S_IFLNK | 0755, 0));
	FAILS(ENXIO, open("s", O_RDWR));
	if (may(CAP_MKNOD)) {
		OK(mknod("null", S_IFCHR | 0600, makedev(1, 3)));
		OK(stat("null", &st));
		TRUE(S_ISCHR(st.st_mode));
		IS(makedev(1, 3), st.st_rdev);
		OK(mknod("disk", S_IFBLK | 0600, makedev(259, 65537)));
		IS(makedev(259, 65537), stat_of("disk").st_rdev);
	} else {
		FAILS(EPERM, mknod("null", S_IFCHR | 0600, makedev(1, 3)));
	}
}

static void sockets(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "sock"};
	int server = OK(socket(AF_UNIX, SOCK_STREAM, 0)),
	    client = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	char c = 0;

	FAILS(ENOENT, connect(client, (void *)&name, sizeof(name)));
	OK(bind(server, (void *)&name, sizeof(name)));
	TRUE(S_ISSOCK(lstat_of("sock").st_mode));
	FAILS(ECONNREFUSED, connect(client, (void *)&name, sizeof(name)));
	OK(listen(server, 2));
	OK(connect(client, (void *)&name, sizeof(name)));
	int peer = OK(accept(server, NULL, NULL));
	IS(1, write(client, "x", 1));
	IS(1, read(peer, &c, 1));
	IS('x', c);
	int second = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	FAILS(EADDRINUSE, bind(second, (void *)&name, sizeof(name)));
	OK(unlink("sock"));
	FAILS(ENOENT, connect(second, (void *)&name, sizeof(name)));
}

const struct test name_tests[] = {
    {"names_links", links, "hardlinks"},
    {"names_directories", directories},
    {"names_directory_links", directory_links, "link-count"},
    {"names_unlinks", unlinks, "fifo"},
    {NULL},
};

const struct test rename_tests[] = {
    {"rename_moves", moves, "symlinks,fifo"},
    {"rename_replaces", replaces, "symlinks,fifo"},
    {"rename_over_open", over_open, "hardlinks"},
    {"rename_flags", rename_flags},
    {"rename_many", many_moves},
    {NULL},
};

const struct test node_tests[] = {
    {"node_symlinks", symlinks, "symlinks"},
    {"node_fifos", fifos, "fifo"},
    {"node_nodes", nodes, "fifo"},
    {"node_sockets", sockets, "fifo"},
    {NULL},
};
