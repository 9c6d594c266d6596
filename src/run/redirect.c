/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the kernel has to do a call, but not with what the program gave it: the caller makes it
 * itself, with what we put in (pf__call_instead).
 */
#include "run/internal.h"
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

/* Said once: the next ones have the same cause. */
static void say_untraceable(struct job *j, const char *deed, const char *path)
{
	struct pf__run *r = j->r;

	if (!pf__call_alive(j->call) || atomic_exchange(&r->said_untraceable, true))
		return;
	if (pf__call_tracer(j->call))
		run_say(r, "%s cannot be %s by a program that another one traces (strace, gdb)",
			path, deed);
	else
		run_say(r,
			"%s cannot be %s, because ptrace is not permitted here (by the container's "
			"seccomp profile, or kernel.yama.ptrace_scope)",
			path, deed);
}

void call_instead(struct job *j, const struct pf__inject *in, const char *deed, const char *path)
{
	struct pf__inject mine = *in;

	mine.unanswered = true; /* our word comes before the program's own */
	if (pf__call_instead(j->call, &mine) != PF_CALL_UNTRACEABLE)
		return;
	say_untraceable(j, deed, path);
	pf__call_return(j->call, -EPERM);
}

void redirect_paths(struct job *j, const unsigned *index, const char *const *text, unsigned n)
{
	struct pf__inject in = {.nr = j->call->nr, .fd = -1};
	char data[2 * PATH_MAX];

	memcpy(in.args, j->call->args, sizeof in.args);
	for (unsigned i = 0; i < n; i++) {
		size_t len = strlen(text[i]) + 1;

		if (in.size + len > sizeof data) {
			pf__call_return(j->call, -ENAMETOOLONG);
			return;
		}
		memcpy(data + in.size, text[i], len);
		in.args[index[i]] = in.size;
		in.arg_in_data |= 1u << index[i];
		in.size += len;
	}
	in.data = data;
	/* A fifo may be opened. */
	in.interruptible = true;
	call_instead(j, &in, "reached", text[0]);
}

void redirect_chdir(struct job *j, int fd, const char *path)
{
	struct pf__inject in = {.nr = __NR_fchdir, .fd = fd, .arg_is_fd = 1, .close_fd = true};

	call_instead(j, &in, "entered", path);
}
