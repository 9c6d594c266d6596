/* SPDX-License-Identifier: BSD-2-Clause */
/* Starting and stopping: what a server does right and wrong, and what is left afterwards. */
#include "base/alloc.h"
#include "base/errmsg.h"
#include "base/sys.h"
#include "miniclient.h"
#include "started.h"
#include <fcntl.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static void mounts_and_serves(void **state)
{
	struct pf__launch *l;
	const struct pf__mount *m;
	char expected[200], place[300];
	int fd;

	(void)state;
	assert_int_equal(start(&l, 0, "data=max_read=4096,allow_other", "mount", "serve", NULL), 0);
	m = pf__launch_mount(l);
	snprintf(
	    expected, sizeof expected,
	    "rootmode=40000,user_id=%d,group_id=%d,max_read=4096,allow_other,fsname=fake\\,source,"
	    "subtype=fake",
	    (int)getuid(), (int)getgid());
	assert_string_equal(m->options, expected);
	assert_string_equal(m->source, "fake,source");
	assert_string_equal(m->fstype, "fuse.fake");
	assert_true(m->max_message >= 65536);
	assert_false(m->sync_init);
	snprintf(place, sizeof place, "%s", m->mountpoint);
	assert_int_equal(access(place, F_OK), 0);
	assert_int_equal(serves(l, &fd), 0);
	assert_int_equal(pf__launch_take_fd(l), -1);
	assert_int_equal(mini_destroy(fd), 0);
	assert_int_equal(hang_up(l, fd), 0);
	assert_int_equal(access(place, F_OK), -1); /* {} is gone */
}

static void read_only_block_device(void **state)
{
	struct pf__launch *l;

	(void)state;
	assert_int_equal(start(&l, 0, "ro", "type=fuseblk", "mount", "serve", NULL), 0);
	assert_non_null(strstr(pf__launch_mount(l)->options, ",ro,fsname=fake\\,source,blkdev"));
	assert_int_equal(hang_up(l, -1), 0);
}

static void relative_paths(void **state)
{
	struct pf__launch *l;
	int fd;

	(void)state;
	assert_int_equal(start(&l, 0, "relative", "mount", "serve", NULL), 0);
	assert_int_equal(strncmp(pf__launch_mount(l)->mountpoint, "/", 1), 0);
	assert_non_null(strstr(pf__launch_mount(l)->mountpoint, "/portfire-"));
	assert_int_equal(serves(l, &fd), 0);
	assert_int_equal(hang_up(l, fd), 0);
}

/* A message size of the socket's limit gets through. */
static void largest_message(void **state)
{
	struct pf__launch *l;
	size_t n;
	char *big;
	int fd;

	(void)state;
	assert_int_equal(start(&l, 0, "mount", "serve", NULL), 0);
	n = pf__launch_mount(l)->max_message;
	assert_int_equal(serves(l, &fd), 0);
	big = calloc(1, n + 1);
	assert_int_equal(send(fd, big, n + 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EMSGSIZE);
	free(big);
	assert_int_equal(hang_up(l, fd), 0);
}

static void expect_failure(int got, int err, const char *sentence)
{
	assert_int_equal(got, err);
	assert_string_equal(pf__errmsg(), sentence);
}

static void exits_before_mounting(void **state)
{
	struct pf__launch *l;

	(void)state;
	expect_failure(
	    start(&l, 0, "say=one", "say=Can't open image: No such file", "exit=1", NULL),
	    -ENOTCONN,
	    "fakeserver exited with status 1 before it mounted: Can't open image: No such file");
	expect_failure(start(&l, 0, NULL), -ENOTCONN, "fakeserver has ended before it mounted");
	expect_failure(start(&l, 0, "daemon", "exit=3", NULL), -ENOTCONN,
		       "fakeserver has ended before it mounted");
	expect_failure(start(&l, 0, "die", NULL), -ENOTCONN,
		       "fakeserver was killed by signal 9 (Killed) before it mounted");
	expect_failure(start(&l, 0, "open", "close", "exit=2", NULL), -ENOTCONN,
		       "fakeserver exited with status 2 before it mounted");
}

static void never_mounts(void **state)
{
	struct pf__launch *l;

	(void)state;
	expect_failure(start(&l, 3000, "say=thinking", "sleep", NULL), -ETIMEDOUT,
		       "fakeserver did not mount within 3 s: thinking");
	expect_failure(start(&l, 200, "daemon", "sleep", NULL), -ETIMEDOUT,
		       "fakeserver did not mount within 0.2 s");
}

static void missing_mountpoint(void **state)
{
	struct pf__launch_config config = PF_LAUNCH_CONFIG_INIT;
	char *argv[] = {(char *)(uintptr_t)fakeserver, (char[]){"/nowhere/at/all"},
			(char[]){"mount"}, NULL};
	struct pf__launch *l;

	(void)state;
	expect_failure(pf__launch(&l, argv, &config), -ENOTCONN,
		       "fakeserver exited with status 102 before it mounted: fakeserver: mount: "
		       "No such file or directory");
}

static void mounts_twice(void **state)
{
	struct pf__launch *l;
	char why[600];
	int fd;

	(void)state;
	assert_int_equal(start(&l, 0, "mount", "second-mount", "serve", NULL), 0);
	assert_int_not_equal(serves(l, &fd), 0);
	assert_int_equal(pf__launch_obituary(l, why, sizeof why), -EBUSY);
	assert_string_equal(why, "fakeserver mounts twice");
	assert_int_equal(WEXITSTATUS(hang_up(l, fd)), 100 + EBUSY);
}

static void dies_after_mounting(void **state)
{
	struct pf__launch *l;
	char why[600];
	int fd;

	(void)state;
	assert_int_equal(start(&l, 0, "mount", "say=out of luck", "exit=7", NULL), 0);
	assert_int_not_equal(serves(l, &fd), 0);
	assert_int_equal(pf__launch_obituary(l, why, sizeof why), -ENOTCONN);
	assert_string_equal(why, "fakeserver exited with status 7: out of luck");
	assert_int_equal(WEXITSTATUS(hang_up(l, fd)), 7);
}

static void daemonises(void **state)
{
	const char *file = in_scratch("daemon");
	struct pf__launch *l;
	int fd, pids[2];

	(void)state;
	assert_int_equal(start(&l, 0, word_in_scratch("pids=", "daemon"), "open", "daemon", "mount",
			       "serve", NULL),
			 0);
	assert_int_equal(serves(l, &fd), 0);
	assert_int_equal(read_pids(file, pids, 2), 2);
	assert_true(ends_within(pids[0], ALIVE_MS));
	assert_int_equal(pf__launch_server_pid(l), pids[1]);
	assert_int_equal(hang_up(l, fd), 0);
	assert_true(ends_within(pids[1], 0));
}

static void stubborn_children_end(void **state)
{
	const char *file = in_scratch("stubborn");
	struct pf__launch *l;
	int fd, pids[4];
	size_t n;

	(void)state;
	assert_int_equal(start(&l, 0, word_in_scratch("pids=", "stubborn"), "stubborn", "daemon",
			       "ignore-term", "mount", "serve", "sleep", NULL),
			 0);
	assert_int_equal(serves(l, &fd), 0);
	n = read_pids(file, pids, 4);
	assert_int_equal(n, 4);
	assert_false(ends_within(pids[1], 0));
	assert_true(stop(l, fd) >= 0);
	for (size_t i = 0; i < n; i++)
		assert_true(ends_within(pids[i], 0));
}

static void clones(void **state)
{
	struct pf__launch *l;
	int fd;

	(void)state;
	assert_int_equal(start(&l, 0, "mount", "clone", "serve", NULL), 0);
	assert_int_equal(serves(l, &fd), 0);
	assert_int_equal(hang_up(l, fd), 0);
	expect_failure(
	    start(&l, 0, "open", "clone", NULL), -ENOTCONN,
	    "fakeserver exited with status 122 before it mounted: fakeserver: clone: Invalid "
	    "argument");
}

static void other_calls(void **state)
{
	struct pf__launch *l;
	int fd;

	(void)state;
	assert_int_equal(start(&l, 0, "open", "no-backing", "mount", "backing", "remount",
			       "read-hack", "serve", "umount", NULL),
			 0);
	assert_int_equal(serves(l, &fd), 0);
	assert_int_equal(hang_up(l, fd), 0);
}

/* The server unmounts by itself: its device hangs up, and so do we see it. */
static void unmounts_by_itself(void **state)
{
	struct pf__launch *l;
	char c;
	int fd;

	(void)state;
	assert_int_equal(start(&l, 0, "mount", "serve-beside", "umount", "sleep", NULL), 0);
	fd = pf__launch_take_fd(l);
	assert_int_equal(recv(fd, &c, 1, 0), 0);
	assert_true(stop(l, fd) >= 0);
}

static void synchronous_init(void **state)
{
	const char *mounted = in_scratch("mounted");
	struct pf__launch *l;
	int fd;

	(void)state;
	assert_int_equal(start(&l, 0, "open", "sync-init", "serve-beside", "mount",
			       word_in_scratch("note=", "mounted"), NULL),
			 0);
	assert_true(pf__launch_mount(l)->sync_init);
	fd = pf__launch_take_fd(l);
	assert_int_equal(mini_init(fd), 0);
	assert_int_equal(access(mounted, F_OK), -1);
	pf__launch_init_done(l, 0);
	assert_true(appears_within(mounted, ALIVE_MS));
	assert_int_equal(hang_up(l, fd), 0);
}

static void synchronous_init_refused(void **state)
{
	struct pf__launch *l;
	char why[600];
	int fd;

	(void)state;
	assert_int_equal(start(&l, 0, "open", "sync-init", "serve-beside", "mount", NULL), 0);
	fd = pf__launch_take_fd(l);
	assert_int_equal(mini_init(fd), 0);
	pf__launch_init_done(l, -EPROTO);
	assert_int_equal(pf__launch_obituary(l, why, sizeof why), -ENOTCONN);
	assert_non_null(strstr(why, "status 207")); /* ENOTCONN */
	assert_true(stop(l, fd) >= 0);
	/* After the mount it is too late. */
	assert_int_equal(start(&l, 0, "mount", "sync-init", "serve", NULL), 0);
	assert_int_equal(pf__launch_obituary(l, why, sizeof why), -ENOTCONN);
	assert_non_null(strstr(why, "status 122")); /* EINVAL */
	assert_true(stop(l, -1) >= 0);
}

static void messages_are_passed_on(void **state)
{
	struct pf__launch_config config = PF_LAUNCH_CONFIG_INIT;
	char *argv[] = {(char *)(uintptr_t)fakeserver,
			(char[]){"{}"},
			(char[]){"say=hello"},
			(char[]){"mount"},
			(char[]){"serve"},
			(char[]){"say=the device is gone"},
			NULL};
	struct pf__launch *l;
	char buf[200];
	int p[2], fd;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(p), 0);
	config.stderr_fd = p[1];
	assert_int_equal(pf__launch(&l, argv, &config), 0);
	close(p[1]);
	n = read(p[0], buf, sizeof buf);
	assert_int_equal(n, 6);
	assert_memory_equal(buf, "hello\n", 6);
	assert_int_equal(serves(l, &fd), 0);
	assert_int_equal(pf__launch_stop(l, 100, NULL), 0); /* mutes, and the hang-up comes ... */
	close(fd);
	assert_int_equal(read(p[0], buf, sizeof buf), 0); /* ... so that nothing more comes */
	close(p[0]);
}

/* A server that talks to a reader who does not listen waits for it, and we do not. */
static void slow_reader(void **state)
{
	struct pf__launch_config config = PF_LAUNCH_CONFIG_INIT;
	char *argv[] = {(char[]){"sh"},
			(char[]){"-c"},
			(char[]){"yes & exec \"$0\" \"$@\""},
			(char *)(uintptr_t)fakeserver,
			(char[]){"{}"},
			(char[]){"mount"},
			(char[]){"serve"},
			NULL};
	struct pf__launch *l;
	int p[2], fd;

	(void)state;
	assert_int_equal(pipe(p), 0);
	config.stderr_fd = p[1];
	assert_int_equal(pf__launch(&l, argv, &config), 0);
	assert_int_equal(serves(l, &fd), 0);
	assert_int_equal(mini_destroy(fd), 0);
	assert_true(stop(l, fd) >= 0);
	close(p[0]);
	close(p[1]);
}

static void by_dev_fd(void **state)
{
	struct pf__launch_config config = PF_LAUNCH_CONFIG_INIT;
	char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"test -S \"$0\""}, (char[]){"{}"},
			NULL};
	struct pf__launch *l;
	int status;

	(void)state;
	config.way = PF_LAUNCH_DEV_FD;
	assert_int_equal(pf__launch(&l, argv, &config), 0);
	assert_int_equal(strncmp(pf__launch_mount(l)->mountpoint, "/dev/fd/", 8), 0);
	assert_string_equal(pf__launch_mount(l)->options, "");
	status = hang_up(l, -1);
	assert_true(status == 0);
	argv[3] = NULL;
	expect_failure(pf__launch(&l, argv, &config), -EINVAL,
		       "sh: no {} stands in the command for /dev/fd/N");
}

static void closed_stdio(void **state)
{
	struct pf__launch *l;
	int saved = dup(0), fd;

	(void)state;
	close(0);
	assert_int_equal(start(&l, 0, "stdio", "mount", "serve", NULL), 0);
	assert_int_equal(serves(l, &fd), 0);
	assert_int_equal(hang_up(l, fd), 0);
	dup2(saved, 0);
	close(saved);
}

/* argv[1] of this program: "nested". Starts a server where it finds itself, says how that went. */
static int nested(void)
{
	struct pf__launch *l;
	struct pf__launch_config config = PF_LAUNCH_CONFIG_INIT;
	char *argv[] = {(char *)(uintptr_t)fakeserver, (char[]){"/"}, (char[]){"mount"},
			(char[]){"serve"}, NULL};
	int fd, err = pf__launch(&l, argv, &config);

	if (!err)
		err = serves(l, &fd) || hang_up(l, fd) ? -EIO : 0;
	fprintf(stderr, "%d %s\n", err, err ? pf__errmsg() : "");
	return 1;
}

/* Under a listening filter that is none of ours there is a clear word. */
static void under_another_supervisor(void **state)
{
	char said[1000] = "";
	int out[2], status;
	ssize_t n;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

		dup2(out[1], 2);
		if (seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, SCMP_SYS(acct), 0) || seccomp_load(ctx))
			_exit(126);
		fcntl(seccomp_notify_fd(ctx), F_SETFD, 0); /* as long as it listens */
		execl("/proc/self/exe", "test-launch", "nested", NULL);
		_exit(127);
	}
	close(out[1]);
	while ((n = read(out[0], said + strlen(said), sizeof said - strlen(said) - 1)) > 0)
		;
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_non_null(strstr(said, "-16 cannot supervise the server: this process itself runs "
				     "under another supervisor's system call filter"));
}

/* Under one of ours the outer one answers the server, and the mount comes to us. */
static void under_our_supervisor(void **state)
{
	struct pf__launch_config config = PF_LAUNCH_CONFIG_INIT;
	char *argv[] = {(char[]){"/proc/self/exe"}, (char[]){"nested"}, NULL};
	char self[500];
	struct pf__launch *l;
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	(void)state;
	self[n] = '\0';
	argv[0] = self;
	assert_int_equal(pf__launch(&l, argv, &config), -ENOTCONN);
	assert_non_null(strstr(pf__errmsg(), "mounted: 0")); /* its last words */
}

/* argv[1] of this program: "contained". As in a container that forbids what we can do without. */
static int contained(void)
{
	static const int forbidden[] = {SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
					SCMP_SYS(pidfd_open), SCMP_SYS(close_range)};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	struct pf__launch *l;
	int fd;

	for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
		if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), forbidden[i], 0))
			return 1;
	if (seccomp_load(ctx))
		return 1;
	seccomp_release(ctx);
	if (start(&l, 0, "relative", "mount", "backing", "remount", "serve", NULL) ||
	    serves(l, &fd))
		return 2;
	return hang_up(l, fd) ? 3 : 0;
}

static void in_a_container(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		execl("/proc/self/exe", "test-launch", "contained", NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- nothing is left ------------------------------------------------------------------------- */

static void start_and_stop(int i)
{
	struct pf__launch *l;
	int fd;

	switch (i % 5) {
	case 0:
		assert_int_equal(start(&l, 0, "mount", "serve", NULL), 0);
		assert_int_equal(serves(l, &fd), 0);
		assert_int_equal(hang_up(l, fd), 0);
		break;
	case 1:
		assert_int_equal(start(&l, 0, "exit=1", NULL), -ENOTCONN);
		break;
	case 2:
		assert_int_equal(start(&l, 20, "open", "sleep", NULL), -ETIMEDOUT);
		break;
	case 3:
		assert_int_equal(
		    start(&l, 0, "open", "open", "daemon", "mount", "clone", "serve", NULL), 0);
		assert_int_equal(serves(l, &fd), 0);
		assert_int_equal(hang_up(l, fd), 0);
		break;
	default:
		assert_int_equal(start(&l, 0, "mount", "second-mount", NULL), 0);
		assert_true(stop(l, -1) >= 0);
	}
}

static void nothing_leaks(void **state)
{
	int fds, threads;
	int64_t live;

	(void)state;
	start_and_stop(0);
	fds = count_fds();
	threads = count_threads();
	live = pf__alloc_live();
	for (int i = 0; i < 50; i++)
		start_and_stop(i);
	assert_int_equal(count_fds(), fds);
	assert_true(threads_become(threads));
	assert_int_equal(pf__alloc_live(), live);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);
}

/* Each allocation fails once, each time cleanly. */
static void allocations_fail(void **state)
{
	struct pf__launch *l;
	uint64_t n = 0;
	int fds, err, fd;

	(void)state;
	start_and_stop(0);
	fds = count_fds();
	do {
		int64_t live = pf__alloc_live();

		pf__alloc_fail_at(++n, 0);
		err = start(&l, 2000, "mount", "serve", NULL);
		pf__alloc_fail_at(0, 0);
		if (err == 0) {
			assert_int_equal(serves(l, &fd), 0);
			assert_int_equal(hang_up(l, fd), 0);
		}
		assert_int_equal(pf__alloc_live(), live);
		assert_int_equal(count_fds(), fds);
	} while (err);
	assert_true(n > 10);
}

static struct pf__sys real_sys;
static int fail_in; /* this many calls from now, by any of the replaced functions */

static bool fails_now(void)
{
	return fail_in && --fail_in == 0;
}

static int failing_socketpair(int domain, int type, int protocol, int sv[2])
{
	return fails_now() ? -EMFILE : real_sys.socketpair(domain, type, protocol, sv);
}

static int failing_eventfd(unsigned initial, int flags)
{
	return fails_now() ? -EMFILE : real_sys.eventfd(initial, flags);
}

static int failing_thread_create(unsigned long *thread, void *(*fn)(void *), void *arg)
{
	return fails_now() ? -EAGAIN : real_sys.thread_create(thread, fn, arg);
}

/* Each of our system calls fails once. */
static void system_calls_fail(void **state)
{
	struct pf__launch *l;
	int fds, n = 0, err;

	(void)state;
	start_and_stop(0);
	fds = count_fds();
	real_sys = pf__sys;
	pf__sys.socketpair = failing_socketpair;
	pf__sys.eventfd = failing_eventfd;
	pf__sys.thread_create = failing_thread_create;
	do {
		fail_in = ++n;
		err = start(&l, 2000, "mount", "serve", NULL);
		fail_in = 0;
		if (err == 0)
			assert_int_equal(hang_up(l, -1), 0);
		assert_int_equal(count_fds(), fds);
	} while (err);
	pf__sys = real_sys;
	assert_true(n > 4);
}

/* A server cannot use up our descriptors. */
static void hoards_devices(void **state)
{
	struct pf__launch *l;

	(void)state;
	expect_failure(
	    start(&l, 0, "hoard", NULL), -ENOTCONN,
	    "fakeserver exited with status 124 before it mounted: fakeserver: /dev/fuse: Too "
	    "many open files");
}

/* argv[1] of this program: "starter". Starts a server and waits to be killed. */
static int starter(void)
{
	struct pf__launch *l;
	int fd;

	if (start(&l, 0, word_in_scratch("pids=", "pids"), "stubborn", "daemon", "mount", "serve",
		  "sleep", NULL) ||
	    serves(l, &fd))
		return 1;
	printf("%s\n", pf__launch_mount(l)->mountpoint);
	fflush(stdout);
	for (;;)
		pause();
}

static void dies_by(int sig)
{
	char place[300], *end;
	int p[2], pids[4];
	ssize_t n;
	pid_t pid;

	unlink(in_scratch("pids"));
	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		dup2(p[1], 1);
		setenv("SCRATCH", scratch, 1);
		execl("/proc/self/exe", "test-launch", "starter", NULL);
		_exit(127);
	}
	close(p[1]);
	n = read(p[0], place, sizeof place - 1);
	assert_true(n > 1);
	place[n] = '\0';
	end = strchr(place, '\n');
	assert_non_null(end);
	*end = '\0';
	assert_int_equal(access(place, F_OK), 0);
	assert_int_equal(read_pids(in_scratch("pids"), pids, 4), 4);
	kill(pid, sig);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	for (int i = 0; i < 4; i++)
		assert_true(ends_within(pids[i], 3 * PF_LAUNCH_GRACE_MS));
	/* The guardian, too, holds nothing of ours open, and removes {}. */
	assert_int_equal(read(p[0], place + n, 1), 0);
	close(p[0]);
}

static void starter_is_killed(void **state)
{
	(void)state;
	dies_by(SIGKILL);
}

static void starter_is_terminated(void **state)
{
	(void)state;
	dies_by(SIGTERM);
}

/* argv[1] of this program: "orphan". */
static int starter_of_orphan(void)
{
	struct pf__launch *l;
	int fd;

	if (start(&l, 0, word_in_scratch("pids=", "orphan-pids"), "ignore-term", "mount", "serve",
		  word_in_scratch("await=", "fifo"), word_in_scratch("orphan=", "result"), NULL) ||
	    serves(l, &fd))
		return 1;
	kill(getpid(), SIGKILL);
	return 2;
}

/* Who outlives us saves his data, but mounts nothing for real: there is nobody to take it away. */
static void calls_after_our_death(void **state)
{
	int pids[1], fd, status;
	char text[8] = "";
	pid_t pid;

	(void)state;
	assert_int_equal(mkfifo(in_scratch("fifo"), 0600), 0);
	close(open(in_scratch("result"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	pid = fork();
	if (pid == 0) {
		setenv("SCRATCH", scratch, 1);
		setenv("GRACE_MS", "60000", 1);
		execl("/proc/self/exe", "test-launch", "orphan", NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(read_pids(in_scratch("orphan-pids"), pids, 1), 1);
	fd = open(in_scratch("fifo"), O_RDWR | O_CLOEXEC); /* does not block, and opens its open */
	assert_true(ends_within(pids[0], ALIVE_MS));
	close(fd);
	fd = open(in_scratch("result"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, text, sizeof text), 4);
	assert_string_equal(text, "fine");
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	return scratch_make();
}

static int teardown(void **state)
{
	(void)state;
	scratch_remove();
	return 0;
}

static int run_as(const char *part)
{
	if (!strcmp(part, "nested"))
		return nested();
	if (!strcmp(part, "contained"))
		return contained();
	return !strcmp(part, "orphan") ? starter_of_orphan() : starter();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mounts_and_serves),
	    cmocka_unit_test(read_only_block_device),
	    cmocka_unit_test(relative_paths),
	    cmocka_unit_test(largest_message),
	    cmocka_unit_test(exits_before_mounting),
	    cmocka_unit_test(never_mounts),
	    cmocka_unit_test(missing_mountpoint),
	    cmocka_unit_test(mounts_twice),
	    cmocka_unit_test(dies_after_mounting),
	    cmocka_unit_test(daemonises),
	    cmocka_unit_test(stubborn_children_end),
	    cmocka_unit_test(clones),
	    cmocka_unit_test(other_calls),
	    cmocka_unit_test(unmounts_by_itself),
	    cmocka_unit_test(synchronous_init),
	    cmocka_unit_test(synchronous_init_refused),
	    cmocka_unit_test(messages_are_passed_on),
	    cmocka_unit_test(slow_reader),
	    cmocka_unit_test(by_dev_fd),
	    cmocka_unit_test(closed_stdio),
	    cmocka_unit_test(under_another_supervisor),
	    cmocka_unit_test(under_our_supervisor),
	    cmocka_unit_test(in_a_container),
	    cmocka_unit_test(nothing_leaks),
	    cmocka_unit_test(allocations_fail),
	    cmocka_unit_test(system_calls_fail),
	    cmocka_unit_test(hoards_devices),
	    cmocka_unit_test(starter_is_killed),
	    cmocka_unit_test(starter_is_terminated),
	    cmocka_unit_test(calls_after_our_death),
	};

	fakeserver = getenv("FAKESERVER");
	if (getenv("SCRATCH"))
		snprintf(scratch, sizeof scratch, "%s", getenv("SCRATCH"));
	if (argc > 1)
		return run_as(argv[1]);
	return can_supervise() ? cmocka_run_group_tests(tests, setup, teardown) : 77;
}
