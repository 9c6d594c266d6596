/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which system calls does a filter refuse? calls [NAME...]: a line each, "NAME: passes", or the
 * error that the filter gave. scripts/test-docker compares what an engine's container says with
 * what confine.c plays. To be run without capabilities: some say EPERM by themselves then, which
 * they do in both.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* All that the profiles refuse, and what a run needs. With arguments that are -1 none does
 * anything. */
static const char *const names[] = {"acct",
				    "add_key",
				    "bpf",
				    "chroot",
				    "clock_settime",
				    "clone3",
				    "close_range",
				    "copy_file_range",
				    "delete_module",
				    "epoll_pwait2",
				    "faccessat2",
				    "fanotify_init",
				    "finit_module",
				    "fsconfig",
				    "fsmount",
				    "fsopen",
				    "fspick",
				    "get_mempolicy",
				    "init_module",
				    "inotify_init1",
				    "io_uring_enter",
				    "io_uring_register",
				    "io_uring_setup",
				    "ioperm",
				    "iopl",
				    "kcmp",
				    "kexec_file_load",
				    "kexec_load",
				    "keyctl",
				    "landlock_create_ruleset",
				    "lookup_dcookie",
				    "mbind",
				    "memfd_create",
				    "migrate_pages",
				    "mount",
				    "mount_setattr",
				    "move_mount",
				    "move_pages",
				    "name_to_handle_at",
				    "open_by_handle_at",
				    "open_tree",
				    "openat2",
				    "perf_event_open",
				    "pidfd_getfd",
				    "pidfd_open",
				    "pidfd_send_signal",
				    "pivot_root",
				    "process_madvise",
				    "process_vm_readv",
				    "process_vm_writev",
				    "ptrace",
				    "quotactl",
				    "quotactl_fd",
				    "reboot",
				    "request_key",
				    "seccomp",
				    "set_mempolicy",
				    "setdomainname",
				    "sethostname",
				    "setns",
				    "settimeofday",
				    "socketpair",
				    "splice",
				    "statx",
				    "swapoff",
				    "swapon",
				    "syslog",
				    "umount2",
				    "unshare",
				    "userfaultfd",
				    "vmsplice",
				    NULL};

static void try(const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);
	long result;

	if (nr < 0) {
		printf("%s: not known\n", name);
		return;
	}
	errno = 0;
	result = syscall(nr, -1L, -1L, -1L, -1L, -1L, -1L);
	if (result < 0 && (errno == EPERM || errno == ENOSYS))
		printf("%s: %s\n", name, strerror(errno));
	else
		printf("%s: passes\n", name);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		try(argv[i]);
	for (const char *const *name = names; argc == 1 && *name; name++)
		try(*name);
	return 0;
}
