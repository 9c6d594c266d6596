/* SPDX-License-Identifier: BSD-2-Clause */
#include "role.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool path_is(const struct pf__call *call, int arg, const char *path)
{
	char buf[64];

	return pf__call_peek_string(call, call->args[arg], buf, sizeof buf) >= 0 &&
	       pf__call_alive(call) && !strcmp(buf, path);
}

static enum pf__call_end returns(struct pf__call *call, int64_t value)
{
	call->value = value;
	return PF_CALL_RETURN;
}

static enum pf__call_end instead(struct pf__call *call, const struct pf__inject *what)
{
	pf__call_instead(call, what);
	return PF_CALL_TAKEN;
}

/* ---- parallel and serial --------------------------------------------------------------------- */

static enum pf__call_end on_access(void *ctx, struct pf__call *call)
{
	return path_is(call, 1, "/pf/ping") ? returns(call, 0) : PF_CALL_PASS;
}

/* The number that our directory has there goes into its pipe. */
static enum pf__call_end write_number(struct role *r, struct pf__call *call)
{
	const char data[8] = "abcd";
	const struct pf__inject in = {.nr = SYS_write,
				      .args = {call->args[1], 0, sizeof data},
				      .data = data,
				      .size = sizeof data,
				      .arg_in_data = 1 << 1,
				      .fd = r->dir,
				      .fd_is_in_data = true,
				      .fd_at = 4,
				      .has_value = true};

	return instead(call, &in);
}

static enum pf__call_end on_truncate(void *ctx, struct pf__call *call)
{
	struct role *r = ctx;

	if (path_is(call, 0, "/pf/number"))
		return write_number(r, call);

	if (path_is(call, 0, "/pf/stuck")) {
		r->stuck++;
		while (!r->released)
			usleep(1000);
		return returns(call, 0);
	}
	if (path_is(call, 0, "/pf/all-stuck"))
		return returns(call, r->stuck == (int)call->args[1] ? 0 : -EAGAIN);
	if (path_is(call, 0, "/pf/release")) {
		r->released = true;
		return returns(call, 0);
	}
	return PF_CALL_PASS;
}

static enum pf__call_end on_chmod(void *ctx, struct pf__call *call)
{
	struct role *r = ctx;
	int now = ++r->inside;

	if (now > r->most_inside)
		r->most_inside = now;
	usleep(100);
	r->inside--;
	return path_is(call, 1, "/pf/serial") ? returns(call, 0) : PF_CALL_PASS;
}

/* ---- injections ------------------------------------------------------------------------------ */

/* Another result, another end, another answer. */
static enum pf__call_end on_special_chdir(struct pf__call *call)
{
	struct pf__inject in = {.nr = SYS_fchdir, .args = {(uint64_t)-1}, .fd = -1};

	if (path_is(call, 0, "/pf/value") || path_is(call, 0, "/pf/exits"))
		in.nr = SYS_getppid;
	if (path_is(call, 0, "/pf/value") || path_is(call, 0, "/pf/no-value")) {
		in.has_value = true;
		in.value = 123456789012;
		return instead(call, &in);
	}
	if (path_is(call, 0, "/pf/exits") || path_is(call, 0, "/pf/no-exit")) {
		in.then_exit = true;
		in.exit_status = 43;
		return instead(call, &in);
	}
	if (!path_is(call, 0, "/pf/if-traceable"))
		return PF_CALL_PASS;
	in.unanswered = true;
	return pf__call_instead(call, &in) == PF_CALL_UNTRACEABLE && pf__call_tracer(call)
		   ? returns(call, -EXDEV)
		   : PF_CALL_TAKEN;
}

static enum pf__call_end on_chdir(void *ctx, struct pf__call *call)
{
	struct role *r = ctx;
	struct pf__inject in = {.nr = SYS_fchdir, .fd = r->dir, .arg_is_fd = 1, .close_fd = true};

	if (path_is(call, 0, "/pf/dir"))
		return instead(call, &in);
	if (path_is(call, 0, "/pf/bad-fd")) {
		in.fd = 1000000;
		return instead(call, &in);
	}
	if (path_is(call, 0, "/pf/fails")) {
		in.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		pf__call_instead(call, &in);
		close(in.fd);
		return PF_CALL_TAKEN;
	}
	return on_special_chdir(call);
}

static enum pf__call_end open_instead(struct role *r, struct pf__call *call, const char *name,
				      size_t size, bool interruptible)
{
	char *data = calloc(1, size);
	struct pf__inject in = {.nr = SYS_openat,
				.args = {(uint64_t)AT_FDCWD, size - PATH_MAX, O_CLOEXEC},
				.interruptible = interruptible,
				.data = data,
				.size = size,
				.arg_in_data = 1 << 1,
				.fd = -1};

	snprintf(data + size - PATH_MAX, PATH_MAX, "%s/%s", r->scratch, name);
	pf__call_instead(call, &in);
	free(data);
	return PF_CALL_TAKEN;
}

static enum pf__call_end on_openat(void *ctx, struct pf__call *call)
{
	struct role *r = ctx;

	if (path_is(call, 1, "/pf/file"))
		return open_instead(r, call, "file", PATH_MAX, false);
	if (path_is(call, 1, "/pf/missing"))
		return open_instead(r, call, "missing", PATH_MAX, false);
	if (path_is(call, 1, "/pf/large"))
		return open_instead(r, call, "file", 1 << 20, false);
	if (path_is(call, 1, "/pf/signal")) {
		kill(call->tid, SIGUSR1);
		return open_instead(r, call, "file", PATH_MAX, false);
	}
	if (path_is(call, 1, "/pf/fifo"))
		return r->fifos++ && !r->may_interrupt_twice
			   ? returns(call, -EXDEV)
			   : open_instead(r, call, "fifo", PATH_MAX, true);
	return PF_CALL_PASS;
}

/* Data: the path, three words and their array of pointers; the environment stays the caller's. */
static enum pf__call_end execute(struct pf__call *call, const char *path)
{
	struct {
		uint64_t argv[4];
		char words[3][32];
		char path[PATH_MAX];
	} data = {.argv = {offsetof(__typeof__(data), words[0]),
			   offsetof(__typeof__(data), words[1]),
			   offsetof(__typeof__(data), words[2])},
		  .words = {"caller", "executed", "a word of the role"}};
	const uint32_t words[] = {0, 8, 16};
	struct pf__inject in = {.nr = SYS_execve,
				.args = {offsetof(__typeof__(data), path), 0, call->args[2]},
				.data = &data,
				.size = sizeof data,
				.arg_in_data = 1 << 0 | 1 << 1,
				.words = words,
				.nwords = 3,
				.fd = -1};

	snprintf(data.path, sizeof data.path, "%s", path);
	return instead(call, &in);
}

static enum pf__call_end on_execve(void *ctx, struct pf__call *call)
{
	struct role *r = ctx;

	if (path_is(call, 0, "/pf/exec"))
		return execute(call, r->caller);
	return path_is(call, 0, "/pf/exec-missing") ? execute(call, "/pf/no/such") : PF_CALL_PASS;
}

static const struct pf__trap parallel[] = {
    {SCMP_SYS(faccessat), on_access}, {SCMP_SYS(truncate), on_truncate},
    {SCMP_SYS(chdir), on_chdir},      {SCMP_SYS(openat), on_openat},
    {SCMP_SYS(execve), on_execve},
};

static const struct pf__trap serial[] = {
    {SCMP_SYS(fchmodat), on_chmod},
};

int role_add(struct role *r, struct pf__supervisor *s)
{
	int err = pf__supervisor_add_role(s, serial, sizeof serial / sizeof serial[0], r);

	return err ? err
		   : pf__supervisor_add_parallel_role(s, parallel,
						      sizeof parallel / sizeof parallel[0], r);
}
