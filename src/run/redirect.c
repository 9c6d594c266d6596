/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the kernel has to do a call, but not with what the program gave it: the caller makes it
 * itself, with what we put in (pf__call_instead).
 */
#include "run/internal.h"
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

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
	pf__call_instead(j->call, &in);
}

void redirect_chdir(struct job *j, int fd)
{
	struct pf__inject in = {.nr = __NR_fchdir, .fd = fd, .arg_is_fd = 1, .close_fd = true};

	pf__call_instead(j->call, &in);
}
