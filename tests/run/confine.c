/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Executes a command as container engines would: without capabilities, under a system call filter
 * that says EPERM to what the default profiles say EPERM to (docs/containers.md), with a process
 * table and a small /dev of its own, as its process 1. What cannot be had here (the namespaces,
 * without root) is left away.
 *
 *   confine [OPTION]... [--] COMMAND ARG...
 *     --profile=docker|docker-20|podman|none
 *                                    docker: also containerd's, and so Kubernetes' RuntimeDefault;
 *                                    docker-20: before 23.0
 *     --user=NAME                    become NAME
 *     --without=CALL[:ARG[&MASK]=VALUE][/ERRNO]
 *                                    this fails too, with EPERM unless something else is said
 *     --here                         no namespaces: processes and /dev as they are
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void die(const char *fmt, ...)
{
	const char *why = strerror(errno);
	va_list args;

	fputs("confine: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, ": %s\n", why);
	exit(125);
}

/* ---- the filter ------------------------------------------------------------------------------ */

/* What Docker allows with a capability only that its containers have not, and never. */
static const char *const docker_refuses[] = {
    /* CAP_SYS_ADMIN */
    "bpf", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "mount",
    "mount_setattr", "move_mount", "open_tree", "perf_event_open", "quotactl", "quotactl_fd",
    "setdomainname", "sethostname", "setns", "syslog", "umount", "umount2", "unshare",
    /* CAP_SYS_PTRACE */
    "kcmp", "pidfd_getfd", "process_madvise",
    /* others */
    "acct", "chroot", "clock_settime", "delete_module", "finit_module", "get_mempolicy",
    "init_module", "ioperm", "iopl", "mbind", "open_by_handle_at", "reboot", "set_mempolicy",
    "settimeofday", "vhangup",
    /* never */
    "add_key", "kexec_file_load", "kexec_load", "keyctl", "migrate_pages", "move_pages",
    "nfsservctl", "pivot_root", "request_key", "swapoff", "swapon", "sysfs", "userfaultfd", "ustat",
    NULL};

static const char *const docker_refuses_io_uring[] = {"io_uring_enter", "io_uring_register",
						      "io_uring_setup", NULL};
/* Before 23.0 these, too; io_uring, which the newer ones refuse, it lets pass. */
static const char *const docker20_refuses[] = {"process_vm_readv", "process_vm_writev",
					       "name_to_handle_at", NULL};

/* Podman's, CRI-O's: it lets mount and unshare pass; what it does not name is ENOSYS. */
static const char *const podman_refuses[] = {"acct",
					     "bpf",
					     "chroot",
					     "clock_settime",
					     "delete_module",
					     "fanotify_init",
					     "finit_module",
					     "init_module",
					     "ioperm",
					     "iopl",
					     "kcmp",
					     "kexec_file_load",
					     "kexec_load",
					     "lookup_dcookie",
					     "migrate_pages",
					     "move_pages",
					     "open_by_handle_at",
					     "perf_event_open",
					     "process_madvise",
					     "quotactl",
					     "setdomainname",
					     "sethostname",
					     "settimeofday",
					     "swapoff",
					     "swapon",
					     "userfaultfd",
					     "vhangup",
					     "vmsplice",
					     NULL};
static const char *const podman_lacks[] = {"add_key",
					   "io_uring_enter",
					   "io_uring_register",
					   "io_uring_setup",
					   "quotactl_fd",
					   "request_key",
					   NULL};

static scmp_filter_ctx filter;

static void refuse(const char *name, int error, unsigned n, const struct scmp_arg_cmp *cmp)
{
	int nr = seccomp_syscall_resolve_name(name), err;

	if (nr == __NR_SCMP_ERROR) { /* newer than the library */
		errno = EINVAL;
		die("no system call %s is known", name);
	}
	err = nr < 0 ? 0 : seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(error), nr, n, cmp);
	if (err && err != -EEXIST) {
		errno = -err;
		die("%s", name);
	}
}

static void refuse_all(const char *const *names, int error)
{
	for (; *names; names++)
		if (seccomp_syscall_resolve_name(*names) != __NR_SCMP_ERROR)
			refuse(*names, error, 0, NULL);
}

static void add_docker(bool old)
{
	const unsigned long new_namespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC |
					     CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
					     CLONE_NEWCGROUP;

	refuse_all(docker_refuses, EPERM);
	refuse_all(old ? docker20_refuses : docker_refuses_io_uring, EPERM);
	refuse("clone3", ENOSYS, 0, NULL);
	for (unsigned long bit = 1; bit <= new_namespaces; bit <<= 1)
		if (new_namespaces & bit)
			refuse("clone", EPERM, 1, &SCMP_A0(SCMP_CMP_MASKED_EQ, bit, bit));
}

static void add_profile(const char *name)
{
	if (!strcmp(name, "docker") || !strcmp(name, "docker-20")) {
		add_docker(strcmp(name, "docker") != 0);
	} else if (!strcmp(name, "podman")) {
		refuse_all(podman_refuses, EPERM);
		refuse_all(podman_lacks, ENOSYS);
	} else if (strcmp(name, "none") != 0) {
		errno = EINVAL;
		die("%s", name);
	}
}

static int errno_of(const char *name)
{
	static const struct {
		const char *name;
		int value;
	} known[] = {{"EPERM", EPERM},
		     {"ENOSYS", ENOSYS},
		     {"EINVAL", EINVAL},
		     {"EACCES", EACCES},
		     {"ENOTTY", ENOTTY}};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (!strcmp(name, known[i].name))
			return known[i].value;
	errno = EINVAL;
	die("%s", name);
}

/* CALL[:ARG[&MASK]=VALUE][/ERRNO] */
static void add_without(char *text)
{
	struct scmp_arg_cmp cmp = {.op = SCMP_CMP_MASKED_EQ, .datum_a = ~0ull};
	char *error = strchr(text, '/'), *test = strchr(text, ':'), *end;

	if (error)
		*error++ = '\0';
	if (test) {
		*test++ = '\0';
		cmp.arg = (unsigned)strtoul(test, &end, 0);
		if (*end == '&')
			cmp.datum_a = strtoull(end + 1, &end, 0);
		cmp.datum_b = *end == '=' ? strtoull(end + 1, NULL, 0) : cmp.datum_a;
	}
	refuse(text, error ? errno_of(error) : EPERM, test ? 1 : 0, &cmp);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void bind_device(const char *name)
{
	char from[64], to[64];

	snprintf(from, sizeof from, "/dev/%s", name);
	snprintf(to, sizeof to, "/run/confine-dev/%s", name);
	close(open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	mount(from, to, NULL, MS_BIND, NULL);
}

/* As engines make it: no /dev/fuse. On /run of our own mount namespace first, then moved. */
static void make_dev(void)
{
	static const char *const devices[] = {"null",    "zero", "full", "random",
					      "urandom", "tty",  NULL};

	if (mount("tmpfs", "/run", "tmpfs", 0, "mode=755") || mkdir("/run/confine-dev", 0755) ||
	    mount("tmpfs", "/run/confine-dev", "tmpfs", 0, "mode=755"))
		die("a /dev");
	for (const char *const *name = devices; *name; name++)
		bind_device(*name);
	mkdir("/run/confine-dev/shm", 01777);
	chmod("/run/confine-dev/shm", 01777);
	if (symlink("/proc/self/fd", "/run/confine-dev/fd") ||
	    symlink("/proc/self/fd/0", "/run/confine-dev/stdin") ||
	    symlink("/proc/self/fd/1", "/run/confine-dev/stdout") ||
	    symlink("/proc/self/fd/2", "/run/confine-dev/stderr") ||
	    mount("/run/confine-dev", "/dev", NULL, MS_MOVE, NULL))
		die("/dev");
}

/* Process 1 goes on; its parent waits for it, and ends as it did. */
static void enter_namespaces(void)
{
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC))
		return;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		die("/");
	make_dev();
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (mount("proc", "/proc", "proc", 0, NULL))
			die("/proc");
		return;
	}
	signal(SIGINT, SIG_IGN);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("wait");
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void become(const char *user)
{
	const struct passwd *pw = getpwnam(user);

	if (!pw) {
		errno = ESRCH;
		die("%s", user);
	}
	if (setgroups(0, NULL) || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid))
		die("%s", user);
	/* As in a program that was executed so: what it has may be looked at, by its own user. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	setenv("HOME", "/", 1);
}

/* Also out of what a set-user-id program could bring back. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	for (int cap = 0; cap < 64; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none))
		die("capset");
}

static const struct option options[] = {
    {"profile", required_argument, NULL, 'p'},
    {"user", required_argument, NULL, 'u'},
    {"without", required_argument, NULL, 'w'},
    {"here", no_argument, NULL, 'h'},
    {0},
};

int main(int argc, char **argv)
{
	const char *user = NULL;
	bool here = false;
	int opt, err;

	filter = seccomp_init(SCMP_ACT_ALLOW);
	if (!filter)
		die("a filter");
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, geteuid() != 0);
	while ((opt = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
		if (opt == 'p')
			add_profile(optarg);
		else if (opt == 'u')
			user = optarg;
		else if (opt == 'w')
			add_without(optarg);
		else if (opt == 'h')
			here = true;
		else
			return 125;
	}
	if (optind == argc)
		return 125;
	if (!here)
		enter_namespaces();
	err = seccomp_load(filter); /* while we may without no_new_privs, as runc does */
	if (err) {
		errno = -err;
		die("the filter");
	}
	seccomp_release(filter);
	if (user)
		become(user);
	drop_capabilities();
	execvp(argv[optind], argv + optind);
	die("%s", argv[optind]);
}
