/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes: killed at any moment, with strange parents, filters, tracers, namespaces, users. */
#include "hostile.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* ---- killed at any moment -------------------------------------------------------------------- */

/* Calls of all kinds, for ever: answered, with descriptors, with the call made by injection. */
static _Noreturn void busy(unsigned n)
{
	char name[32];
	struct stat st;

	snprintf(name, sizeof name, "busy%u", n % 8);
	for (;;) {
		int fd = open(name, O_CREAT | O_RDWR, 0644);

		if (fd >= 0)
			close(fd);
		stat("file", &st);
		fd = open(".", O_PATH | O_CLOEXEC);
		if (fd >= 0) {
			fstat(fd, &st);
			close(fd);
		}
		chdir("dir");
		rename("../one", "../two");
		rename("../two", "../one");
		chdir("..");
		if (n % 3 == 0) {
			pid_t pid = vfork();

			if (pid == 0) {
				execl("./true", "true", (char *)NULL);
				_exit(1);
			}
			waitpid(pid, NULL, 0);
		}
		if (n % 5 == 4)
			execl("./script", "script", (char *)NULL);
	}
}

static void killed_anywhere(void)
{
	enum { AT_ONCE = 6 };
	pid_t pid[AT_ONCE];
	unsigned n = 0, seed = 1;

	make_file("file", "text");
	make_file("one", "one");
	make_file("script", "#!/bin/true\n");
	MUST(chmod("script", 0755) == 0);
	MUST(mkdir("dir", 0755) == 0);
	MUST(system("cp /bin/true true") == 0);
	for (int i = 0; i < AT_ONCE; i++)
		pid[i] = -1;
	while (!time_is_up(6000)) {
		int i = rand_r(&seed) % AT_ONCE;

		if (pid[i] > 0) {
			kill(pid[i], SIGKILL);
			MUST(waitpid(pid[i], NULL, 0) == pid[i]);
		}
		pid[i] = fork();
		if (pid[i] == 0)
			busy(n);
		n++;
		usleep((unsigned)rand_r(&seed) % 3000);
	}
	for (int i = 0; i < AT_ONCE; i++)
		if (pid[i] > 0) {
			kill(pid[i], SIGKILL);
			MUST(waitpid(pid[i], NULL, 0) == pid[i]);
		}
	expect_file("file", "text");
	MUST(access("one", F_OK) == 0 || access("two", F_OK) == 0);
	MUST(system("./true") == 0);
	MUST(system("./script") == 0);
	MUST(system("rm -f one two busy?") == 0);
}

/* The same file executed by many at once: each gets it. */
static void exec_at_once(void)
{
	pid_t pid[8];

	MUST(system("cp /bin/true true") == 0);
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 8; i++) {
			pid[i] = fork();
			if (pid[i] == 0) {
				execl("./true", "true", (char *)NULL);
				MUST(!"executed");
			}
		}
		for (int i = 0; i < 8; i++)
			expect_child(pid[i]);
	}
}

/* ---- how children are made ------------------------------------------------------------------- */

static char child_stack[65536] __attribute__((aligned(16)));

static int child_chdir(void *arg)
{
	return chdir(arg) == 0 ? 0 : 1;
}

static int child_opens(void *arg)
{
	return dup2(open(arg, O_RDONLY), 77) == 77 ? 0 : 1;
}

static void clone_with(int (*fn)(void *), int flags, const char *arg)
{
	pid_t pid =
	    clone(fn, child_stack + sizeof child_stack, flags | SIGCHLD, (void *)(size_t)arg);

	expect_child(pid);
}

static void children(void)
{
	char *argv[] = {(char *)(size_t) "true", NULL};
	posix_spawn_file_actions_t a;
	char buf[8];
	pid_t pid;

	make_file("file", "text");
	MUST(mkdir("dir", 0755) == 0);
	make_file("dir/file", "deep");
	MUST(system("cp /bin/true dir/true") == 0);
	/* The child's working directory is ours. */
	clone_with(child_chdir, CLONE_FS, "dir");
	expect_file("file", "deep");
	clone_with(child_chdir, CLONE_FS, "..");
	expect_file("file", "text");
	clone_with(child_chdir, 0, "dir");
	expect_file("file", "text");
	/* Its descriptors are. */
	clone_with(child_opens, CLONE_FILES, "file");
	MUST(read(77, buf, 4) == 4);
	MUST(close(77) == 0);
	clone_with(child_opens, 0, "file");
	MUST(read(77, buf, 4) < 0);
	/* Its memory is. */
	clone_with(child_opens, CLONE_FILES | CLONE_VM, "dir/file");
	MUST(read(77, buf, 4) == 4);
	MUST(!memcmp(buf, "deep", 4));
	clone_with(child_chdir, CLONE_FS | CLONE_VM | CLONE_VFORK, "dir");
	expect_file("file", "deep");
	MUST(chdir("..") == 0);
	pid = vfork();
	if (pid == 0) {
		if (chdir("dir") == 0)
			execl("./true", "true", (char *)NULL);
		_exit(1);
	}
	expect_child(pid);
	expect_file("file", "text");
	posix_spawn_file_actions_init(&a);
	posix_spawn_file_actions_addopen(&a, 5, "dir/file", O_RDWR | O_APPEND, 0);
	posix_spawn_file_actions_addclose(&a, 77);
	posix_spawn_file_actions_addchdir_np(&a, "dir");
	MUST(posix_spawn(&pid, "./true", &a, NULL, argv, environ) == 0);
	expect_child(pid);
	expect_file("file", "text");
}

static void *exec_script(void *arg)
{
	execl("./script", "script", "word", (char *)NULL);
	return NULL;
}

static void *look_around(void *arg)
{
	struct stat st;

	for (;;)
		stat("file", &st);
	return arg;
}

static void exec_from_threads(void)
{
	make_file("script", "#!/bin/sh\n[ \"$1\" = word ] && cat file >out\n");
	MUST(chmod("script", 0755) == 0);
	make_file("file", "text");
	for (int i = 0; i < 50; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			pthread_t t;

			for (int k = 0; k < 3; k++)
				pthread_create(&t, NULL, look_around, NULL);
			pthread_create(&t, NULL, exec_script, NULL);
			for (;;)
				pause();
		}
		expect_child(pid);
	}
	expect_file("out", "text");
}

/* Threads with tables of files, and directories, of their own. */
static void *own_world(void *arg)
{
	char buf[4096];
	int dir;

	if (unshare(CLONE_FILES | CLONE_FS)) {
		MUST(errno == EPERM); /* Docker's filter has it so */
		return NULL;
	}
	MUST(chdir("dir") == 0);
	/* For the others this number is a file of its own. */
	dir = open(".", O_RDONLY | O_DIRECTORY);
	MUST(dup2(dir, 50) == 50);
	for (int i = 0; i < 200; i++) {
		MUST(lseek(50, 0, SEEK_SET) == 0);
		MUST(getdents64(50, buf, sizeof buf) > 0);
		expect_file("inner", "inner");
	}
	return NULL;
}

static void unshared_threads(void)
{
	int fd = open("outer", O_CREAT | O_RDWR, 0644);
	pthread_t t;

	MUST(mkdir("dir", 0755) == 0);
	make_file("dir/inner", "inner");
	MUST(write(fd, "outer", 5) == 5);
	MUST(dup2(fd, 50) == 50);
	MUST(lseek(50, 2, SEEK_SET) == 2);
	MUST(pthread_create(&t, NULL, own_world, NULL) == 0);
	for (int i = 0; i < 200; i++)
		expect_file("outer", "outer");
	MUST(pthread_join(t, NULL) == 0);
	/* Nobody has moved it. */
	MUST(lseek(50, 0, SEEK_CUR) == 2);
}

/* ---- filters, tracers ------------------------------------------------------------------------ */

/* A filter of its own that forbids what Portfire might have it call. */
static void own_filter(void)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_fchdir, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog prog = {sizeof code / sizeof code[0], code};
	pid_t pid;

	make_file("file", "text");
	MUST(mkdir("dir", 0755) == 0);
	pid = fork();
	if (pid == 0) {
		MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0);
		expect_file("file", "text");
		chdir("dir"); /* works or does not */
		_exit(0);
	}
	expect_child(pid);
	/* The strict mode: read, write, exit. */
	pid = fork();
	if (pid == 0) {
		int fd = open("file", O_RDONLY);
		char buf[4];

		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		read(fd, buf, 4);
		syscall(SYS_exit, 0);
	}
	expect_child(pid);
	/* A listener of its own it cannot have. */
	pid = fork();
	if (pid == 0) {
		code[3].k = SECCOMP_RET_USER_NOTIF;
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		printf("listener: %s\n", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
						 SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog) < 0
					     ? strerror(errno)
					     : "it has one");
		_exit(0);
	}
	expect_child(pid);
	expect_file("file", "text");
}

/* Traced by somebody else: what is answered without a trace works, and nothing hangs. */
static void own_tracer(void)
{
	int status;
	pid_t pid;

	make_file("file", "text");
	MUST(mkdir("dir", 0755) == 0);
	MUST(system("cp /bin/true true") == 0);
	pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		expect_file("file", "text");
		printf("traced chdir: %s\n", chdir("dir") ? strerror(errno) : "works");
		printf("traced exec: %s\n",
		       execl("./true", "true", (char *)NULL) ? strerror(errno) : "");
		_exit(0);
	}
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status))
		MUST(ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == 0);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* A tracer that comes while the call is under way, and goes. */
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 500; i++) {
			chdir("dir");
			chdir("..");
			close(open(".", O_PATH));
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
			continue;
		ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
		if (waitpid(pid, &status, 0) == pid && !WIFSTOPPED(status))
			break;
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	}
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	expect_file("file", "text");
}

static void on_signal(int sig)
{
	(void)sig;
}

/* A storm of signals with handlers, and of stops. */
static void signals(void)
{
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	unsigned seed = 1;
	int status;
	pid_t pid;

	make_file("file", "text");
	MUST(mkdir("dir", 0755) == 0);
	MUST(mkfifo("fifo", 0644) == 0);
	pid = fork();
	if (pid == 0) {
		MUST(sigaction(SIGUSR1, &a, NULL) == 0);
		for (int i = 0; i < 1500; i++) {
			MUST(chdir("dir") == 0);
			MUST(chdir("..") == 0);
			expect_file("file", "text");
			close(open(".", O_PATH));
			if (i % 100 == 0)
				close(open("fifo", O_RDWR));
		}
		_exit(0);
	}
	usleep(20000);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		kill(pid, SIGUSR1);
		if (rand_r(&seed) % 8 == 0) {
			kill(pid, SIGSTOP);
			usleep(500);
			kill(pid, SIGCONT);
		}
		usleep(200);
	}
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- namespaces, users ----------------------------------------------------------------------- */

static void namespaces(void)
{
	static const struct {
		const char *name;
		int flags;
	} spaces[] = {{"fs", CLONE_FS},
		      {"files", CLONE_FILES},
		      {"mount", CLONE_NEWNS},
		      {"user", CLONE_NEWUSER},
		      {"user and mount", CLONE_NEWUSER | CLONE_NEWNS},
		      {"user and pid", CLONE_NEWUSER | CLONE_NEWPID},
		      {"user, pid and mount", CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS}};

	make_file("file", "text");
	MUST(mkdir("dir", 0755) == 0);
	for (unsigned i = 0; i < sizeof spaces / sizeof spaces[0]; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			if (unshare(spaces[i].flags) < 0)
				_exit(0);
			pid = fork();
			if (pid == 0) {
				struct stat st;

				expect_file("file", "text");
				MUST(chdir("dir") == 0);
				MUST(stat("../file", &st) == 0);
				printf("%s: works\n", spaces[i].name);
				_exit(0);
			}
			expect_child(pid);
			_exit(0);
		}
		expect_child(pid);
	}
}

static void other_user(void)
{
	pid_t pid;

	MUST(chmod(".", 0755) == 0);
	make_file("mine", "text");
	MUST(chmod("mine", 0600) == 0);
	make_file("all", "text");
	MUST(system("cp /bin/true true") == 0);
	MUST(mkdir("dir", 0777) == 0);
	MUST(chmod("dir", 0777) == 0);
	pid = fork();
	if (pid == 0) {
		MUST(setgroups(0, NULL) == 0);
		MUST(setgid(65534) == 0);
		MUST(setuid(65534) == 0);
		expect_file("all", "text");
		MUST(open("mine", O_RDONLY) < 0);
		MUST(errno == EACCES);
		MUST(chdir("dir") == 0);
		make_file("theirs", "text");
		expect_file("theirs", "text");
		execl("../true", "true", (char *)NULL);
		MUST(!"executed");
	}
	expect_child(pid);
}

/* A process that nobody may look into. It may not see the files; but nothing else happens. */
static void not_dumpable(void)
{
	pid_t pid;

	make_file("file", "text");
	pid = fork();
	if (pid == 0) {
		struct stat st;
		int fd;

		MUST(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
		printf("not dumpable: %s\n", stat("file", &st) ? strerror(errno) : "works");
		fd = open("new", O_CREAT | O_RDWR, 0644);
		printf("not dumpable: %s\n", fd < 0 ? strerror(errno) : "works");
		chdir("..");
		close(open(".", O_PATH));
		MUST(stat("/", &st) == 0);
		_exit(0);
	}
	expect_child(pid);
	expect_file("file", "text");
}

/* ---- other numbers of calls ------------------------------------------------------------------ */

#ifdef __x86_64__
static long int80(long nr, long a, long b, long c)
{
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory");
	return r;
}
#endif

static void other_architectures(void)
{
#ifdef __x86_64__
	pid_t pid = fork();

	if (pid == 0) {
		char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

		MUST(low != MAP_FAILED);
		strcpy(low, "by int 80");
		int80(5, (long)low, O_CREAT | O_RDWR, 0644); /* open */
		int80(12, (long)low, 0, 0);                  /* chdir */
		int80(10, (long)low, 0, 0);                  /* unlink */
		_exit(0);
	}
	MUST(waitpid(pid, NULL, 0) == pid); /* SIGSEGV where the kernel has none of it */
	make_file("file", "text");
	syscall(0x40000000 + __NR_unlink, "file");
	syscall(0x40000000 + __NR_openat, AT_FDCWD, "other", O_CREAT, 0644);
	syscall(100000, "file");
	syscall(-1, "file");
#endif
	make_file("end", "text");
}

static void *spin_threads(void *arg)
{
	struct stat st;

	stat("file", &st);
	return NULL;
}

/* Thread numbers come back soon. */
static void short_threads(void)
{
	make_file("file", "text");
	while (!time_is_up(3000)) {
		pthread_t t[8];

		for (int i = 0; i < 8; i++)
			MUST(pthread_create(&t[i], NULL, spin_threads, NULL) == 0);
		for (int i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
	}
}

const struct hostile_case proc_cases[] = {
    {"killed-anywhere", killed_anywhere, 0},
    {"exec-at-once", exec_at_once, 0},
    {"children", children, 0},
    {"exec-from-threads", exec_from_threads, 0},
    {"unshared-threads", unshared_threads, 0},
    {"own-filter", own_filter, 0},
    {"own-tracer", own_tracer, 0},
    {"signals", signals, 0},
    {"namespaces", namespaces, 0},
    {"other-user", other_user, NEED_ROOT | NEED_OTHERS},
    {"not-dumpable", not_dumpable, 0},
    {"other-architectures", other_architectures, 0},
    {"short-threads", short_threads, 0},
    {NULL, NULL, 0},
};
