/* SPDX-License-Identifier: BSD-2-Clause */
/* Files between processes: locks, /proc/self/fd, programs that are executed from there. */
#include "posix.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- locks --------------------------------------------------------------------------------------
 */

/* The errno, or 0, with which another process tries to lock. */
static int tried(int (*lock)(int fd), const char *name)
{
	int status;

	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		int fd = open(name, O_RDWR);
		_exit(fd < 0 ? 255 : lock(fd) < 0 ? errno : 0);
	}
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

static int exclusive(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB);
}
static int shared(int fd)
{
	return flock(fd, LOCK_SH | LOCK_NB);
}

/* Of a file whose name is another's by now, which nobody can read but who has it open already. */
static void lock_replaced(void)
{
	char buf[5] = "";

	put("replaced", "before");
	put("other", "another text");
	int writes = OK(open("replaced", O_WRONLY)), reads = OK(open("replaced", O_RDONLY));
	OK(rename("other", "replaced"));
	OK(flock(writes, LOCK_EX));
	IS(6, lseek(writes, 0, SEEK_END));
	IS(2, pwrite(writes, "BE", 2, 0));
	IS(4, pread(reads, buf, 4, 0));
	SAYS("BEfo", buf);
	SAYS("another text", text_of("replaced"));
	OK(close(writes));
	OK(close(reads));
}

static void flocks(void)
{
	lock_replaced();

	put("f", "");
	int fd = OK(open("f", O_RDONLY)), second = OK(open("f", O_RDONLY));
	OK(flock(fd, LOCK_SH));
	IS(0, tried(shared, "f"));
	IS(EWOULDBLOCK, tried(exclusive, "f"));
	OK(flock(second, LOCK_SH));
	FAILS(EWOULDBLOCK, flock(second, LOCK_EX | LOCK_NB));
	OK(flock(second, LOCK_UN));
	OK(flock(fd, LOCK_EX));
	FAILS(EWOULDBLOCK, flock(second, LOCK_SH | LOCK_NB));
	IS(EWOULDBLOCK, tried(shared, "f"));
	int copy = OK(dup(fd));
	OK(close(fd));
	IS(EWOULDBLOCK, tried(shared, "f"));
	OK(close(copy));
	IS(0, tried(exclusive, "f"));
	FAILS(EINVAL, flock(second, 77));
	FAILS(EBADF, flock(-1, LOCK_SH));
	IS(0, tried(exclusive, "f"));
}

static int record(int fd, int command, int type, off_t start, off_t length)
{
	struct flock lock = {
	    .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

	return fcntl(fd, command, &lock);
}

static int write_first(int fd)
{
	return record(fd, F_SETLK, F_WRLCK, 0, 10);
}
static int write_second(int fd)
{
	return record(fd, F_SETLK, F_WRLCK, 10, 10);
}
static int read_first(int fd)
{
	return record(fd, F_SETLK, F_RDLCK, 0, 10);
}
static int whose(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 100};

	if (fcntl(fd, F_GETLK, &lock) < 0)
		return -1;
	errno = lock.l_type == F_UNLCK ? 200 : lock.l_pid == getppid() ? 201 : 202;
	return -1;
}

static void records(void)
{
	put("f", "0123456789012345678901234567890");
	int fd = OK(open("f", O_RDWR));
	IS(200, tried(whose, "f"));
	OK(record(fd, F_SETLK, F_WRLCK, 0, 10));
	IS(EAGAIN, tried(write_first, "f"));
	IS(EAGAIN, tried(read_first, "f"));
	IS(0, tried(write_second, "f"));
	if (!lacks("lock-owner"))
		IS(201, tried(whose, "f"));
	OK(record(fd, F_SETLK, F_RDLCK, 0, 10));
	IS(0, tried(read_first, "f"));
	IS(EAGAIN, tried(write_first, "f"));
	OK(record(fd, F_SETLK, F_UNLCK, 0, 5));
	IS(EAGAIN, tried(write_first, "f"));
	OK(record(fd, F_SETLKW, F_UNLCK, 0, 0));
	IS(0, tried(write_first, "f"));
	/* Any close of the file by the process lets go. */
	OK(record(fd, F_SETLK, F_WRLCK, 0, 0));
	IS(EAGAIN, tried(write_second, "f"));
	OK(close(OK(open("f", O_RDONLY))));
	IS(0, tried(write_second, "f"));
	OK(lockf(fd, F_TLOCK, 5));
	IS(EAGAIN, tried(write_first, "f"));
	OK(lockf(fd, F_ULOCK, 0));
	FAILS(EBADF, record(OK(open("f", O_RDONLY)), F_SETLK, F_WRLCK, 0, 1));
	FAILS(EINVAL, record(fd, F_SETLK, 77, 0, 1));
	FAILS(EINVAL, record(fd, F_SETLK, F_WRLCK, -1, 1));
	FAILS(EBADF, record(-1, F_SETLK, F_WRLCK, 0, 1));
	/* Locks of the open file, between descriptors of one process. */
	int second = OK(open("f", O_RDWR));
	OK(record(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
	FAILS(EAGAIN, record(second, F_OFD_SETLK, F_WRLCK, 5, 10));
	OK(record(second, F_OFD_SETLK, F_WRLCK, 10, 10));
	OK(close(fd));
	OK(record(second, F_OFD_SETLK, F_WRLCK, 0, 10));
}

/* Processes count together in one file, under a lock that they wait for. */
static void count(bool with_flock)
{
	int fd = open("n", O_RDWR), n;

	for (int i = 0; i < 50; i++) {
		if ((with_flock ? flock(fd, LOCK_EX) : record(fd, F_SETLKW, F_WRLCK, 0, 0)) < 0 ||
		    pread(fd, &n, sizeof(n), 0) != sizeof(n))
			_exit(1);
		n++;
		if (pwrite(fd, &n, sizeof(n), 0) != sizeof(n))
			_exit(2);
		if ((with_flock ? flock(fd, LOCK_UN) : record(fd, F_SETLK, F_UNLCK, 0, 0)) < 0)
			_exit(3);
	}
	_exit(0);
}

static void waiting(void)
{
	int n, status;

	for (int with_flock = 0; with_flock < 2; with_flock++) {
		n = 0;
		int fd = OK(open("n", O_RDWR | O_CREAT, 0644));
		IS(sizeof(n), pwrite(fd, &n, sizeof(n), 0));
		fflush(NULL);
		for (int i = 0; i < 4; i++)
			if (fork() == 0)
				count(with_flock);
		for (int i = 0; i < 4; i++) {
			wait(&status);
			IS(0, status);
		}
		IS(sizeof(n), pread(fd, &n, sizeof(n), 0));
		IS(200, n);
		close(fd);
	}
}

static void on_alarm(int signal)
{
}

/* A lock that is waited for can be given up by a signal; one held by the dead is free. */
static void interrupted(void)
{
	struct sigaction action = {.sa_handler = on_alarm};
	int pipes[2];
	char c;

	put("f", "0123456789");
	OK(pipe(pipes));
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		int fd = open("f", O_RDWR);
		c = flock(fd, LOCK_EX) < 0 || record(fd, F_SETLK, F_WRLCK, 0, 0) < 0;
		if (write(pipes[1], &c, 1) == 1)
			pause();
		_exit(1);
	}
	IS(1, read(pipes[0], &c, 1));
	IS(0, c);
	int fd = OK(open("f", O_RDWR));
	sigaction(SIGALRM, &action, NULL);
	ualarm(200000, 100000);
	FAILS(EINTR, flock(fd, LOCK_EX));
	FAILS(EINTR, record(fd, F_SETLKW, F_WRLCK, 0, 0));
	ualarm(0, 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	alarm(20);
	OK(flock(fd, LOCK_EX));
	OK(record(fd, F_SETLKW, F_WRLCK, 0, 0));
}

/* ---- /proc and descriptors that are handed on
 * ------------------------------------------------------- */

static void proc_fd(void)
{
	char name[40], buf[PATH_MAX] = "";
	struct stat st;

	put("f", "text");
	int fd = OK(open("f", O_RDONLY));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	TRUE(readlink(name, buf, sizeof(buf)) == (ssize_t)strlen(at("f")) && !strcmp(buf, at("f")));
	OK(stat(name, &st));
	TRUE(stat_of("f").st_ino == st.st_ino);
	OK(lstat(name, &st));
	TRUE(S_ISLNK(st.st_mode));
	int again = OK(open(name, O_RDWR));
	IS(2, write(again, "TE", 2));
	IS(0, lseek(fd, 0, SEEK_CUR));
	SAYS("TExt", text_of("f"));
	SAYS("TExt", text_of(name));
	snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	SAYS("TExt", text_of(name));
	OK(rename("f", "g"));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	memset(buf, 0, sizeof(buf));
	TRUE(readlink(name, buf, sizeof(buf)) > 0 && !strcmp(buf, at("g")));
	OK(unlink("g"));
	SAYS("TExt", text_of(name));
	int dir = OK(open(".", O_RDONLY));
	put("h", "by directory");
	snprintf(name, sizeof(name), "/proc/self/fd/%d/h", dir);
	SAYS("by directory", text_of(name));
	put("/proc/self/cwd/h", "by cwd");
	SAYS("by cwd", text_of("h"));
}

static void standard_streams(void)
{
	put("in", "one\ntwo\nthree\n");
	IS(0, system("sort <in >out 2>err && cat <out >>err"));
	SAYS("one\nthree\ntwo\n", text_of("out"));
	SAYS("one\nthree\ntwo\n", text_of("err"));
	IS(0, system("exec 5<>both; echo a >&5; echo b >&5; wc -l <both | tr -d ' \\n' >count"));
	SAYS("2", text_of("count"));
	IS(0, system("(echo 1; echo 2 >&2; echo 3) >all 2>&1; cat all | tr '\\n' - >flat"));
	SAYS("1-2-3-", text_of("flat"));
	IS(0, system("read x <in; echo \"$x\" >first; { read x; cat; } <in >rest"));
	SAYS("one\n", text_of("first"));
	SAYS("two\nthree\n", text_of("rest"));
	IS(0, system("cat <<EOF >doc\nhere $((1 + 1))\nEOF\n"));
	SAYS("here 2\n", text_of("doc"));
}

static int pass(int socket, int fd)
{
	char c = 'x', control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = {&c, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};

	if (fd < 0) {
		if (recvmsg(socket, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
			return -1;
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
		return fd;
	}
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(socket, &msg, 0) == 1 ? 0 : -1;
}

static void handed_on(void)
{
	int sockets[2], status;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		int fd = open("passed", O_RDWR | O_CREAT, 0644);
		_exit(fd < 0 || write(fd, "from child", 10) != 10 || pass(sockets[1], fd) < 0);
	}
	waitpid(child, &status, 0);
	IS(0, status);
	int fd = OK(pass(sockets[0], -1));
	IS(10, lseek(fd, 0, SEEK_CUR));
	IS(1, write(fd, "!", 1));
	SAYS("from child!", text_of("passed"));
}

/* ---- exec
 * ---------------------------------------------------------------------------------------------- */

static int status_of(const char *command)
{
	int status = system(command);

	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static void programs(void)
{
	char *const none[] = {(char *)"x", NULL};

	IS(0, system("cp /bin/true t && cp /bin/false f && cp /bin/cat c"));
	IS(0, status_of("./t"));
	IS(1, status_of("./f"));
	IS(0, status_of(at("t")));
	IS(0, status_of("echo through | ./c >out"));
	SAYS("through\n", text_of("out"));
	OK(mkdir("bin", 0755));
	put("bin/script", "#!/bin/sh\necho \"$0 $*\" >out\nexit 7\n");
	OK(chmod("bin/script", 0755));
	IS(7, status_of("bin/script a b"));
	SAYS("bin/script a b\n", text_of("out"));
	IS(7, status_of("PATH=$PWD/bin:$PATH; script x"));
	IS(7, status_of("cd bin && ./script y && cd .. || exit 7"));
	put("bin/own",
	    "#!../c\nits own text\n"); /* an interpreter that stands here, by a relative path */
	OK(chmod("bin/own", 0755));
	IS(0, status_of("cd bin && ./own >../out"));
	SAYS("#!../c\nits own text\n", text_of("out"));
	OK(symlink("t", "link"));
	IS(0, status_of("./link"));
	FAILS(ENOENT, execve("none", none, none + 1));
	FAILS(EACCES, execve("out", none, none + 1));
	FAILS(EACCES, execve("bin", none, none + 1));
	put("garbage", "no program");
	OK(chmod("garbage", 0755));
	FAILS(ENOEXEC, execve("garbage", none, none + 1));
	put("lost", "#!/no/such/interpreter\n");
	OK(chmod("lost", 0755));
	FAILS(ENOENT, execve("lost", none, none + 1));
}

static int run_fd(int (*run)(int fd), const char *name, int flags)
{
	int status;

	fflush(NULL);
	pid_t child = fork();
	if (child == 0)
		_exit(run(open(name, flags)) < 0 ? 100 + errno : 0);
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static int by_fexecve(int fd)
{
	char *const args[] = {(char *)"name", (char *)"-c", (char *)"exit 9", NULL};

	return fexecve(fd, args, environ);
}
static int by_execveat(int fd)
{
	char *const args[] = {(char *)"name", (char *)"-c", (char *)"exit 8", NULL};

	return syscall(SYS_execveat, fd, "sh", args, environ, 0);
}
static int by_proc(int fd)
{
	char name[40], *const args[] = {(char *)"name", (char *)"-c", (char *)"exit 6", NULL};

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return execve(name, args, environ);
}

static void by_descriptor(void)
{
	IS(0, system("cp /bin/sh sh"));
	put("script", "#!/bin/sh\nexit 5\n");
	OK(chmod("script", 0755));
	IS(9, run_fd(by_fexecve, "sh", O_RDONLY));
	IS(9, run_fd(by_fexecve, "sh", O_RDONLY | O_CLOEXEC));
	IS(9, run_fd(by_fexecve, "sh", O_PATH));
	IS(5, run_fd(by_fexecve, "script", O_RDONLY));
	IS(8, run_fd(by_execveat, ".", O_RDONLY));
	IS(6, run_fd(by_proc, "sh", O_RDONLY));
	OK(chmod("sh", 0644));
	IS(100 + EACCES, run_fd(by_fexecve, "sh", O_RDONLY));
}

static void busy(void)
{
	IS(0, system("cp /bin/sleep s"));
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		execl("./s", "./s", "20", NULL);
		_exit(1);
	}
	usleep(300000);
	FAILS(ETXTBSY, open("s", O_WRONLY));
	FAILS(ETXTBSY, truncate("s", 0));
	char exe[PATH_MAX] = "", name[40];
	snprintf(name, sizeof(name), "/proc/%d/exe", child);
	TRUE(readlink(name, exe, sizeof(exe)) > 0 && !strcmp(exe, at("s")));
	OK(unlink("s"));
	IS(0, kill(child, SIGTERM));
	waitpid(child, NULL, 0);
	IS(0, system("cp /bin/true t"));
	int fd = OK(open("t", O_WRONLY));
	FAILS(ETXTBSY, execl("./t", "./t", NULL));
	OK(close(fd));
	IS(0, system("./t"));
}

static void descriptors_kept(void)
{
	char command[100];

	put("f", "0123456789");
	int fd = OK(open("f", O_RDWR)), closed = OK(open("f", O_RDWR | O_CLOEXEC));
	IS(3, lseek(fd, 3, SEEK_SET));
	snprintf(command, sizeof(command), "test -e /proc/self/fd/%d && ! test -e /proc/self/fd/%d",
		 fd, closed);
	IS(0, system(command));
	snprintf(command, sizeof(command), "dd bs=1 count=4 <&%d >out 2>/dev/null", fd);
	IS(0, system(command));
	SAYS("3456", text_of("out"));
	IS(7, lseek(fd, 0, SEEK_CUR));
	snprintf(command, sizeof(command), "printf xyz >&%d", fd);
	IS(0, system(command));
	SAYS("0123456xyz", text_of("f"));
	IS(10, lseek(fd, 0, SEEK_CUR));
}

const struct test lock_tests[] = {
    {"lock_flock", flocks, "flock"},
    {"lock_records", records, "locks"},
    {"lock_waiting", waiting, "locks,flock"},
    {"lock_interrupted", interrupted, "locks,flock,interrupt"},
    {NULL},
};

const struct test exec_tests[] = {
    {"proc_fd", proc_fd},
    {"proc_streams", standard_streams},
    {"proc_handed_on", handed_on},
    {"exec_programs", programs, "exec"},
    {"exec_by_descriptor", by_descriptor, "exec"},
    {"exec_busy", busy, "exec"},
    {"exec_descriptors", descriptors_kept, "exec"},
    {NULL},
};
