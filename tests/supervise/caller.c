/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program under test's filter: argv[1] says what to try. Exits with 0 when all was as it should
 * be, else with 1 and a word on standard error. What the paths below /pf/ do stands in role.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

extern char **environ;
static const char *scratch; /* argv[2] */

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "caller, line %d: %s (errno %d)\n", __LINE__, #x, errno);  \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static int ping(void)
{
	return (int)syscall(SYS_faccessat, AT_FDCWD, "/pf/ping", 0);
}

/* While another thread executes, the kernel makes none, with EAGAIN. */
static void many(int n, void *(*fn)(void *))
{
	pthread_t t[128];
	pthread_attr_t a;
	int err;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 64 << 10);
	for (int i = 0; i < n; i++)
		while ((err = pthread_create(&t[i], &a, fn, (void *)(intptr_t)i)))
			CHECK(err == EAGAIN);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* ---- parallel and serial roles ------------------------------------------------------------- */

static void *stick(void *arg)
{
	CHECK(truncate("/pf/stuck", 0) == 0);
	return NULL;
}

static void *release(void *arg)
{
	struct timespec a, b;

	while (truncate("/pf/all-stuck", 100) < 0)
		usleep(1000);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 1000; i++)
		CHECK(ping() == 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	CHECK(b.tv_sec - a.tv_sec < 50); /* who waits for one of the others does so for ever */
	CHECK(truncate("/pf/release", 0) == 0);
	return NULL;
}

static void *stick_or_release(void *arg)
{
	return (intptr_t)arg == 100 ? release(arg) : stick(arg);
}

static void stuck(void)
{
	many(101, stick_or_release);
}

static void *serially(void *arg)
{
	for (int i = 0; i < 30; i++)
		CHECK(syscall(SYS_fchmodat, AT_FDCWD, "/pf/serial", 0) == 0);
	return NULL;
}

static void serial(void)
{
	many(16, serially);
}

static void *ping_often(void *arg)
{
	for (int i = 0; i < 3000; i++)
		CHECK(ping() == 0);
	return NULL;
}

static void parallel(void)
{
	many(16, ping_often);
}

static void token(void)
{
	uint64_t token = strtoull(getenv("TOKEN"), NULL, 16);

	CHECK(ping() == 0);
	CHECK(syscall(SYS_faccessat, AT_FDCWD, "/pf/ping", 0, 0, 0, token) < 0 && errno == ENOENT);
	CHECK(syscall(SYS_faccessat, AT_FDCWD, "/pf/ping", 0, 0, 0, token + 1) == 0);
	CHECK(syscall(SYS_faccessat, AT_FDCWD, "/pf/ping", 0, 0, 0, token ^ 1ull << 63) == 0);
}

/* ---- injected calls ------------------------------------------------------------------------- */

static void in_scratch(void)
{
	char cwd[4096];

	CHECK(getcwd(cwd, sizeof cwd) && !strcmp(cwd, scratch));
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void changes_directory(void)
{
	int fds = count_fds();

	for (int i = 0; i < 100; i++) {
		CHECK(syscall(SYS_chdir, "/") == 0);
		CHECK(chdir("/pf/dir") == 0);
		in_scratch();
	}
	CHECK(count_fds() == fds);
	CHECK(chdir("/pf/bad-fd") < 0 && errno == EBADF);
	CHECK(chdir("/pf/fails") < 0 && errno == ENOTDIR);
	CHECK(count_fds() == fds);
}

static void other_results(void)
{
	for (int i = 0; i < 20; i++) {
		CHECK(syscall(SYS_chdir, "/pf/value") == 123456789012);
		CHECK(syscall(SYS_chdir, "/pf/no-value") < 0 && errno == EBADF);
		CHECK(syscall(SYS_chdir, "/pf/no-exit") < 0 && errno == EBADF);
	}
	CHECK(syscall(SYS_chdir, "/pf/if-traceable") < 0 && errno == EBADF);
}

static void number_in_data(void)
{
	char data[8];
	struct stat st, dir;
	int pipes[2], fd;

	CHECK(pipe(pipes) == 0 && stat(scratch, &dir) == 0);
	CHECK(syscall(SYS_truncate, "/pf/number", (long)pipes[1]) == 0);
	CHECK(read(pipes[0], data, 8) == 8 && !memcmp(data, "abcd", 4));
	memcpy(&fd, data + 4, 4);
	CHECK(fd > pipes[1] && fstat(fd, &st) == 0);
	CHECK(st.st_dev == dir.st_dev && st.st_ino == dir.st_ino);
}

#define BELOW 8192

/* An openat() whose path is put onto the stack, between registers and memory full of patterns. */
__attribute__((noinline)) static void unchanged(void)
{
#if defined(__x86_64__)
	uint64_t before[8], after[8];
	long result;
	unsigned char *sp;

	__asm__ volatile("mov %%rsp, %0" : "=r"(sp));
	sp -= 512;
	for (volatile unsigned char *p = sp; p > sp - BELOW; p--)
		*p = (unsigned char)((uintptr_t)p * 7);
	for (int i = 0; i < 8; i++)
		before[i] = 0x0123456789abcdefull * (unsigned)(i + 3);
	__asm__ volatile("mov 0(%[b]), %%rbx\n\tmov 8(%[b]), %%r8\n\tmov 16(%[b]), %%r9\n\t"
			 "mov 24(%[b]), %%r12\n\tmov 32(%[b]), %%r13\n\tmov 40(%[b]), %%r14\n\t"
			 "movq 48(%[b]), %%xmm0\n\tmovq 56(%[b]), %%xmm9\n\t"
			 "xor %%r10, %%r10\n\tsyscall\n\t"
			 "mov %%rbx, 0(%[a])\n\tmov %%r8, 8(%[a])\n\tmov %%r9, 16(%[a])\n\t"
			 "mov %%r12, 24(%[a])\n\tmov %%r13, 32(%[a])\n\tmov %%r14, 40(%[a])\n\t"
			 "movq %%xmm0, 48(%[a])\n\tmovq %%xmm9, 56(%[a])\n\t"
			 : "=a"(result)
			 : "0"(SYS_openat), "D"(AT_FDCWD), "S"("/pf/file"),
			   "d"(O_RDONLY), [b] "r"(before), [a] "r"(after)
			 : "rcx", "r11", "rbx", "r8", "r9", "r10", "r12", "r13", "r14", "xmm0",
			   "xmm9", "memory");
	for (volatile unsigned char *p = sp; p > sp - BELOW; p--)
		CHECK(*p == (unsigned char)((uintptr_t)p * 7));
	CHECK(result >= 0);
	CHECK(!memcmp(before, after, sizeof before));
	close((int)result);
#endif
}

static void reads(int fd)
{
	char text[8] = "";

	CHECK(fd >= 0);
	CHECK(read(fd, text, sizeof text) == 5 && !memcmp(text, "hello", 5));
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(close(fd) == 0);
}

static void opens(void)
{
	int fds = count_fds();

	for (int i = 0; i < 100; i++)
		reads(open("/pf/file", O_RDONLY));
	CHECK(count_fds() == fds);
	/* More than the stack has ever grown to. */
	reads(open("/pf/large", O_RDONLY));
	CHECK(open("/pf/missing", O_RDONLY) < 0 && errno == ENOENT);
}

#if defined(__aarch64__)
#define GO_HEAP 0x4000000000ull
#else
#define GO_HEAP 0xc000000000ull
#endif

static ucontext_t home, away;

static void open_on_small_stack(void)
{
	for (int i = 0; i < 20; i++)
		reads(open("/pf/file", O_RDONLY));
}

/* A stack as Go's are: small, in its heap, with nothing below that the path could be put into. */
static void small_stack(void)
{
	char *stack = mmap((void *)(uintptr_t)(GO_HEAP + (1 << 20)), 4096, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	CHECK(stack != MAP_FAILED);
	getcontext(&away);
	away.uc_stack.ss_sp = stack;
	away.uc_stack.ss_size = 4096;
	away.uc_link = &home;
	makecontext(&away, open_on_small_stack, 0);
	CHECK(swapcontext(&home, &away) == 0);
}

static void *opens_often(void *arg)
{
	for (int i = 0; i < 50; i++)
		reads(open("/pf/file", O_RDONLY));
	return NULL;
}

static void opens_at_once(void)
{
	many(32, opens_often);
}

/* ---- signals -------------------------------------------------------------------------------- */

static atomic_int signals;

static void count_signal(int sig)
{
	signals++;
}

static void handle_signal(int sig, int flags)
{
	struct sigaction a = {.sa_handler = count_signal, .sa_flags = flags};

	sigaction(sig, &a, NULL);
}

static void signal_arrives(void)
{
	sigset_t now;

	handle_signal(SIGUSR1, 0);
	for (int i = 1; i <= 50; i++) {
		int fd = open("/pf/signal", O_RDONLY);

		CHECK(fd >= 0);
		CHECK(signals == i);
		close(fd);
	}
	sigprocmask(SIG_SETMASK, NULL, &now);
	for (int sig = 1; sig < 32; sig++)
		CHECK(!sigismember(&now, sig));
}

/* And once more much later, should it come before the call on a busy machine. */
static void alarm_in(unsigned ms)
{
	struct itimerval t = {.it_interval = {5, 0}, .it_value = {0, (suseconds_t)ms * 1000}};

	setitimer(ITIMER_REAL, &t, NULL);
}

/* It came once, but for that case; none comes any more. */
static void check_alarm(time_t since)
{
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	CHECK(signals == 1 || (signals > 1 && time(NULL) - since >= 4));
}

/* A FIFO that nobody writes to; the second time the role answers EXDEV at once. */
static void interrupted(void)
{
	time_t since = time(NULL);
	int fds = count_fds();

	handle_signal(SIGALRM, 0);
	alarm_in(100);
	CHECK(open("/pf/fifo", O_RDONLY) < 0 && errno == EINTR);
	check_alarm(since);
	CHECK(open("/pf/fifo", O_RDONLY) < 0 && errno == EXDEV);
	CHECK(count_fds() == fds);
}

static void restarted(void)
{
	time_t since = time(NULL);

	handle_signal(SIGALRM, SA_RESTART);
	alarm_in(100);
	CHECK(open("/pf/fifo", O_RDONLY) < 0 && errno == EXDEV);
	check_alarm(since);
}

static void stopped_and_continued(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		for (int i = 0; i < 400; i++)
			reads(open("/pf/file", O_RDONLY));
		_exit(0);
	}
	for (unsigned i = 0;; i++) {
		kill(pid, SIGSTOP);
		usleep(300);
		kill(pid, SIGCONT);
		usleep(700 + i); /* it gets somewhere at last, however busy the machine */
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
	}
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- executing ------------------------------------------------------------------------------ */

static int wait_for(pid_t pid);

static void *exit_by_call(void *arg)
{
	chdir("/pf/exits");
	CHECK(0);
	return NULL;
}

static void end_child(intptr_t threads)
{
	pid_t pid = fork();

	if (pid == 0)
		many((int)threads, exit_by_call);
	CHECK(wait_for(pid) == 43);
	pid = vfork();
	if (pid == 0) {
		syscall(SYS_chdir, "/pf/exits");
		_exit(3);
	}
	CHECK(wait_for(pid) == 43);
}

static void ends(void)
{
	for (int i = 0; i < 20; i++)
		end_child(1 + i % 4);
}

/* As which program it is executed stands in role.c; it exits with 42. */
static char *const words[] = {(char *)"as-it-said", (char *)"lost", NULL};

static int wait_for(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static void executes(void)
{
	execve("/pf/exec", words, environ);
	CHECK(0);
}

static void execution_fails(void)
{
	CHECK(execve("/pf/exec-missing", words, environ) < 0 && errno == ENOENT);
}

static void spawns(void)
{
	pid_t pid;

	for (int i = 0; i < 20; i++) {
		CHECK(posix_spawn(&pid, "/pf/exec", NULL, NULL, words, environ) == 0);
		CHECK(wait_for(pid) == 42);
		CHECK(posix_spawn(&pid, "/pf/exec-missing", NULL, NULL, words, environ) == ENOENT);
		pid = vfork();
		if (pid == 0) {
			execve("/pf/exec", words, environ);
			_exit(3);
		}
		CHECK(wait_for(pid) == 42);
	}
}

static void *execute(void *arg)
{
	CHECK(execve("/pf/exec-missing", words, environ) < 0 && errno == ENOENT);
	executes();
	return NULL;
}

static void thread_executes(void)
{
	many(1, execute);
}

static void *execute_late(void *arg)
{
	usleep(100000);
	return execute(arg);
}

/* The first thread, and others, are in injected calls while another one executes. */
static void *block_or_execute(void *arg)
{
	if ((intptr_t)arg == 3)
		return execute_late(arg);
	open("/pf/fifo", O_RDONLY);
	return NULL;
}

static void thread_executes_amid_others(void)
{
	pthread_t t;

	for (intptr_t i = 0; i < 4; i++)
		CHECK(pthread_create(&t, NULL, block_or_execute, (void *)i) == 0);
	open("/pf/fifo", O_RDONLY);
	pause();
}

static void *execute_at_once(void *arg)
{
	for (int i = 0; i < 3; i++)
		close(open("/pf/file", O_RDONLY));
	executes();
	return NULL;
}

static void threads_race_to_execute(void)
{
	for (int i = 0; i < 30; i++) {
		pid_t pid = fork();

		if (pid == 0)
			many(8, execute_at_once);
		CHECK(wait_for(pid) == 42);
	}
}

/* ---- others that trace, or kill ------------------------------------------------------------- */

static void traced_already(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		raise(SIGSTOP);
		CHECK(chdir("/pf/dir") < 0 && errno == EPERM);
		CHECK(chdir("/pf/if-traceable") < 0 && errno == EXDEV);
		CHECK(ping() == 0);
		_exit(0);
	}
	waitpid(pid, NULL, WUNTRACED);
	CHECK(ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0);
	kill(pid, SIGCONT);
	for (;;) {
		int status;

		CHECK(waitpid(pid, &status, 0) == pid);
		if (WIFEXITED(status)) {
			CHECK(WEXITSTATUS(status) == 0);
			return;
		}
		ptrace(PTRACE_CONT, pid, NULL, NULL);
	}
}

static void *all_kinds(void *arg)
{
	for (;;) {
		pid_t pid;

		reads(open("/pf/file", O_RDONLY));
		chdir("/pf/dir");
		if (posix_spawn(&pid, "/pf/exec", NULL, NULL, words, environ) == 0)
			waitpid(pid, NULL, 0);
	}
	return NULL;
}

static void killed_at_any_moment(void)
{
	srand48(getpid());
	for (int i = 0; i < 150; i++) {
		pid_t pid = fork();

		if (pid == 0)
			many(1 + i % 4, all_kinds);
		usleep((useconds_t)(drand48() * 6000));
		kill(pid, SIGKILL);
		CHECK(wait_for(pid) == 1000 + SIGKILL);
	}
}

/* ---- */

static const struct {
	const char *name;
	void (*fn)(void);
} trials[] = {
    {"stuck", stuck},
    {"serial", serial},
    {"parallel", parallel},
    {"token", token},
    {"changes-directory", changes_directory},
    {"other-results", other_results},
    {"number-in-data", number_in_data},
    {"ends", ends},
    {"unchanged", unchanged},
    {"opens", opens},
    {"small-stack", small_stack},
    {"opens-at-once", opens_at_once},
    {"signal-arrives", signal_arrives},
    {"interrupted", interrupted},
    {"restarted", restarted},
    {"stopped-and-continued", stopped_and_continued},
    {"executes", executes},
    {"execution-fails", execution_fails},
    {"spawns", spawns},
    {"thread-executes", thread_executes},
    {"thread-executes-amid-others", thread_executes_amid_others},
    {"threads-race-to-execute", threads_race_to_execute},
    {"traced-already", traced_already},
    {"killed-at-any-moment", killed_at_any_moment},
};

/* As the program that was executed instead: argv is what role.c has made of it. */
static int executed(int argc, char **argv)
{
	sigset_t now;

	CHECK(argc == 3 && !strcmp(argv[2], "a word of the role"));
	sigprocmask(SIG_SETMASK, NULL, &now);
	for (int sig = 1; sig < 32; sig++)
		CHECK(!sigismember(&now, sig));
	return 42;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "executed"))
		return executed(argc, argv);
	scratch = argc > 2 ? argv[2] : "";
	for (size_t i = 0; argc > 1 && i < sizeof trials / sizeof trials[0]; i++)
		if (!strcmp(argv[1], trials[i].name)) {
			trials[i].fn();
			return 0;
		}
	return 2;
}
