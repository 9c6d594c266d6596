/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run-* rows: unmodified programs over a server by `portfire run`, beside the kernel's mount of
 * the same server (client_run.c).
 */
#include "bench.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- samples -------------------------------------------------------------------------------- */

static double sample_call(struct side *side)
{
	return agent_call(&side->fs, side->row->call, side->iterations);
}

static int warm_call(struct side *side)
{
	double ns = agent_call(&side->fs, side->row->call, 1);

	return ns < 0 ? (int)ns : 0;
}

/* One program; what has to be before and after it takes no time. */
static double sample_exec(struct side *side)
{
	const struct row *row = side->row;
	double ns = row->before ? agent_exec(&side->fs, row->before) : 0, after = 0;

	if (ns >= 0)
		ns = agent_exec(&side->fs, row->call);
	if (ns >= 0 && row->after)
		after = agent_exec(&side->fs, row->after);
	return after < 0 ? after : ns;
}

static int run_and_wait(char *const argv[])
{
	pid_t parent = getpid(), pid = fork();
	int status = 0;

	if (pid < 0)
		return -errno;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() == parent)
			execvp(argv[0], argv);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return status ? -ECHILD : 0;
}

/* The server and `true`: until it is mounted and `true` has ended; or all of `portfire run`. */
static double sample_start(struct side *side)
{
	static char nothing[] = "true", f[] = "-f", word_run[] = "run", open[] = "[", shut[] = "]";
	char server[600], portfire[600];
	char *with_kernel[] = {server, f, side->fs.mountpoint, NULL}, *program[] = {nothing, NULL};
	char *with_run[] = {portfire, word_run, open, server, f, side->fs.mountpoint,
			    shut,     nothing,  NULL};
	struct fs fs = {.client = &client_kernel, .fd = -1};
	uint64_t start = now_ns();
	int ret;

	snprintf(server, sizeof(server), "%s/%s", side->options->server, side->row->server);
	snprintf(portfire, sizeof(portfire), "%s/../portfire", side->options->server);
	if (side->client == &client_idle) {
		ret = run_and_wait(with_run);
		return ret ? ret : (double)(now_ns() - start);
	}
	ret = client_kernel.start(&fs, with_kernel);
	if (ret)
		return ret;
	ret = run_and_wait(program);
	start = now_ns() - start;
	client_kernel.stop(&fs);
	if (mkdir(side->fs.mountpoint, 0700))
		return -errno;
	return ret ? ret : (double)start;
}

/* ---- the table ------------------------------------------------------------------------------ */

#define NULLSERVER       .server = "nullserver"
#define PASSTHROUGH      .server = "passthrough_ll", .options = "source="
#define AT_MOST(factor)  .aim_kind = AIM_RATIO, .aim = factor
#define MORE(value)      .aim_kind = AIM_MORE_AT_MOST, .aim = value
#define NO_AIM           .aim_kind = AIM_NONE
#define BESIDE(a, b, c)  .clients = {&client_##a, &client_##b, &client_##c, &client_trapped}
#define BESIDE_KERNEL    .clients = {&client_mounted, &client_run, NULL, &client_trapped}
#define OTHER_IS(name)   .floor = name
#define CALL(n, t, what) .name = n, .title = t, .unit = "us", .call = what, .sample = sample_call

/* Inside, with the files of passthrough_ll. */
#define DATA_CALL(n, t, what) CALL(n, t, what), .server = "passthrough_ll", .prepare = tree_data
/* KEPT: the kernel's client may keep the pages from one sample to the next. */
#define FRESH .options = "source="
#define KEPT  .options = "cache=always,source="
/* By passthrough opens; the program of the tests. */
#define PASSED(n, t, what)                                                                         \
	CALL(n, t, what), .server = "../tests/run/passthrough_server",                             \
			  .options = "source=", .prepare = tree_data, .kernel_needs = "/dev/fuse"
#define IN_PROOT BESIDE(mounted, run, proot), OTHER_IS("proot, a plain directory")

/* A file that is not the server's: the kernel alone is what there is without us. */
#define OUTSIDE(n, t, what, ...)                                                                   \
	{                                                                                          \
		DATA_CALL(n, t, what), FRESH, BESIDE(plain, run, proot), OTHER_IS("proot"),        \
		    __VA_ARGS__                                                                    \
	}
/* A program, in turns: the server is the same all the time. */
#define PROGRAM(n, t, make, words, ...)                                                            \
	{                                                                                          \
		.name = n, .title = t, .unit = "ms", PASSTHROUGH, .prepare = make, .call = words,  \
		.samples = 5, .pieces = 1, .sample = sample_exec, IN_PROOT, __VA_ARGS__            \
	}
/* The server is started anew for each. */
#define COLD .cold = true

const struct row run_rows[] = {
    {CALL("run-stat", "run: stat, cached", "stat - @/data"), NULLSERVER, BESIDE_KERNEL,
     .aim_kind = AIM_AT_MOST, .aim = 6, .prepare = warm_call, .expect = ""},
    {CALL("run-stat-uncached", "run: stat, the kernel's uncached", "stat - @/data"), NULLSERVER,
     .kernel_options = "attr_timeout=0,entry_timeout=0", BESIDE_KERNEL, AT_MOST(1.0)},
    {CALL("run-stat-relative", "run: stat, cached, relative, 4 deep", "stat @ a/b/c/d"), NULLSERVER,
     BESIDE_KERNEL, NO_AIM, .prepare = warm_call, .expect = ""},
    {DATA_CALL("run-open", "run: open close", "open - @/data"), FRESH, IN_PROOT, NO_AIM},
    {DATA_CALL("run-create", "run: create write close unlink", "create - @/new"), FRESH, IN_PROOT,
     NO_AIM},
    {DATA_CALL("run-fstat", "run: fstat", "fstat - @/data"), FRESH, IN_PROOT, NO_AIM},
    {DATA_CALL("run-pread", "run: 4 KiB pread of an opened file", "pread - @/data"),
     BESIDE(mounted, run, plain), OTHER_IS("tmpfs"), NO_AIM, KEPT, .floor_aim = 1.05},
    {DATA_CALL("run-pread-direct", "run: 4 KiB pread, direct I/O", "pread - @/data"), BESIDE_KERNEL,
     NO_AIM, .options = "cache=never,source="},
    {DATA_CALL("run-mmap", "run: 4 MiB mapped and touched", "mmap - @/data"),
     BESIDE(mounted, run, plain), OTHER_IS("tmpfs"), NO_AIM, KEPT, .floor_aim = 1.05},
    {PASSED("run-open-passed", "run: open close, passed through", "open - @/data"), BESIDE_KERNEL,
     NO_AIM},
    {PASSED("run-pread-passed", "run: 4 KiB pread, passed through", "pread - @/data"),
     BESIDE(mounted, run, plain), OTHER_IS("tmpfs"), NO_AIM, .floor_aim = 1.05},
    {PASSED("run-pwrite-passed", "run: 4 KiB pwrite, passed through", "pwrite - @/data"),
     BESIDE(mounted, run, plain), OTHER_IS("tmpfs"), NO_AIM, .floor_aim = 1.05},
    {PASSED("run-mmap-passed", "run: 4 MiB mapped, passed through", "mmap - @/data"),
     BESIDE(mounted, run, plain), OTHER_IS("tmpfs"), NO_AIM, .floor_aim = 1.05},
    OUTSIDE("run-outside-stat", "run: stat outside", "stat - /etc/passwd", MORE(3)),
    OUTSIDE("run-outside-relative", "run: stat outside, relative", "stat /etc passwd", MORE(3)),
    OUTSIDE("run-outside-missing", "run: stat outside, missing", "missing - /etc/no/such", MORE(3)),
    OUTSIDE("run-outside-open", "run: open close outside", "open - /etc/passwd", MORE(3)),
    OUTSIDE("run-outside-fstat", "run: fstat outside", "fstat - /proc/self/exe", AT_MOST(1.05)),
    OUTSIDE("run-outside-getppid", "run: getppid", "getppid - -", AT_MOST(1.05)),
    OUTSIDE("run-outside-pread", "run: pread outside", "pread - /proc/self/exe", AT_MOST(1.05)),
    {.name = "run-start",
     .title = "run: start of server and true",
     .unit = "ms",
     NULLSERVER,
     .clients = {&client_idle_kernel, &client_idle},
     .kernel_needs = "/dev/fuse",
     MORE(30),
     .samples = 21,
     .pieces = 1,
     .sample = sample_start},
    PROGRAM("run-git", "run: git status, 2,000 files", tree_git, "git -C @/tree status",
	    .needs = "git", AT_MOST(1.5)),
    PROGRAM("run-git-cold", "run: git status, cold", tree_git, "git -C @/tree status",
	    .needs = "git", AT_MOST(1.5), COLD),
    PROGRAM("run-tar", "run: tar c, 2,000 files", tree_source, "tar cf %/out.tar -C @ tree",
	    AT_MOST(1.5)),
    PROGRAM("run-tar-cold", "run: tar c, cold", tree_source, "tar cf %/out.tar -C @ tree",
	    AT_MOST(1.5), COLD),
    {.name = "run-find",
     .title = "run: find -ls, 100,000 files",
     .unit = "ms",
     NULLSERVER,
     .options = "files=",
     BESIDE_KERNEL,
     .call = "find @/many -ls",
     AT_MOST(1.5),
     .samples = 5,
     .pieces = 1,
     .sample = sample_exec},
    {.name = "run-find-cold",
     .title = "run: find -ls, cold",
     .unit = "ms",
     NULLSERVER,
     .options = "files=",
     BESIDE_KERNEL,
     .call = "find @/many -ls",
     AT_MOST(1.5),
     .samples = 5,
     .pieces = 1,
     .sample = sample_exec,
     COLD},
    PROGRAM("run-make", "run: make -j2, 60 files of C", tree_project, "make -s -j2 -C @/project",
	    .before = "make -s -C @/project clean", .needs = "make", AT_MOST(1.3)),
    PROGRAM("run-cp", "run: cp -r, 2,000 files", tree_source, "cp -r @/tree @/copy",
	    .after = "rm -rf @/copy", AT_MOST(1.5)),
    PROGRAM("run-rm", "run: rm -rf, 2,000 files", tree_source, "rm -rf @/copy",
	    .before = "cp -r @/tree @/copy", AT_MOST(1.5)),
    PROGRAM("run-grep", "run: grep -r, 2,000 files", tree_source, "grep -rc 00049 @/tree",
	    AT_MOST(1.5)),
    {.name = NULL},
};
