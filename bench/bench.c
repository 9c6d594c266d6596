/* SPDX-License-Identifier: BSD-2-Clause */
/* The figures of this client beside the kernel's: see docs/benchmarks.md. */
#include "bench.h"
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUICK_LIMIT_S 300 /* a benchmark that hangs ends, and unmounts */
#define LIMIT_S       1800

static const char usage[] =
    "usage: bench [--quick] [--json] [--row NAME] [--samples N] [--list]\n"
    "Measure this client beside the kernel's on the same servers, and say which aims are met.\n"
    "  --quick       fewer and shorter samples, smaller trees: two minutes\n"
    "  --json        the table as JSON\n"
    "  --row NAME    only this row, or rows whose names begin so\n"
    "  --samples N   this many samples a row\n"
    "  --list        the names of the rows\n"
    "Root and /dev/fuse are needed for the kernel's side only.\n";

static const struct row *const tables[] = {rows, data_rows, run_rows};
static struct options options;

/* ---- leaving nothing behind ------------------------------------------------------------------ */
/*
 * The work is done by a child. Whatever becomes of it, this process then unmounts and removes. The
 * servers end with the child that started them, the child ends with this process.
 */

static void cleanup(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/kernel", options.scratch);
	kernel_unmount(path);
	remove_tree(options.scratch);
}

static void waited_signals(sigset_t *set)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGCHLD};

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(set, signals[i]);
}

/* Wait for the child; end it when a signal says so or when it takes too long. */
static int oversee(pid_t child, const sigset_t *set)
{
	int sig = 0, status = 0;

	alarm(options.quick ? QUICK_LIMIT_S : LIMIT_S);
	while (waitpid(child, &status, WNOHANG) == 0) {
		if (sigwait(set, &sig) || sig == SIGCHLD)
			continue;
		if (sig == SIGALRM)
			fprintf(stderr, "bench: out of time\n");
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		return 128 + sig;
	}
	if (WIFSIGNALED(status)) {
		fprintf(stderr, "bench: ended by signal %d\n", WTERMSIG(status));
		return 128 + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}

static int overseen(int (*work)(void))
{
	sigset_t set, old;
	pid_t parent = getpid(), child;

	waited_signals(&set);
	sigprocmask(SIG_BLOCK, &set, &old);
	child = fork();
	if (child < 0)
		return 1;
	if (child)
		return oversee(child, &set);
	sigprocmask(SIG_SETMASK, &old, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGINT, SIG_IGN); /* the parent ends us */
	exit(getppid() == parent ? work() : 1);
}

/* On tmpfs where there is one: the disk is not what is measured. */
static int make_scratch(void)
{
	const char *base = getenv("TMPDIR");
	char path[300];

	if (!base)
		base = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
	snprintf(options.scratch, sizeof(options.scratch), "%s/portfire-bench.XXXXXX", base);
	if (!mkdtemp(options.scratch)) {
		fprintf(stderr, "bench: cannot make %s: %s\n", options.scratch, strerror(errno));
		return -1;
	}
	snprintf(path, sizeof(path), "%s/portfire", options.scratch);
	return mkdir(path, 0700);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool chosen(const struct row *row)
{
	return !options.row || !strncmp(row->name, options.row, strlen(options.row));
}

static bool runnable(const struct row *row)
{
	char path[PATH_MAX];

	if (!row->server)
		return true;
	snprintf(path, sizeof(path), "%s/%s", options.server, row->server);
	if (!access(path, X_OK))
		return true;
	fprintf(stderr, "bench: %s is left out: no %s\n", row->name, path);
	return false;
}

struct tally {
	unsigned rows, failed, refused, met, judged;
};

static void run_row(const struct row *row, struct tally *tally)
{
	struct result result;

	tally->rows++;
	tally->failed += !row_run(row, &options, &result);
	tally->refused += result.refused;
	tally->met += result.aim.met + result.floor_aim.met;
	tally->judged += result.aim.judged + result.floor_aim.judged;
	tally->met += result.trapped_aim.met + result.trapped_floor_aim.met;
	tally->judged += result.trapped_aim.judged + result.trapped_floor_aim.judged;
	output_row(&options, &result);
}

static int measure_rows(void)
{
	struct tally tally = {0};

	output_begin(&options);
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (const struct row *row = tables[i]; row->name; row++)
			if (chosen(row) && runnable(row))
				run_row(row, &tally);
	output_end(&options, tally.met, tally.judged, tally.refused);
	if (!tally.rows)
		fprintf(stderr, "bench: no row is called %s, see --list\n", options.row);
	return tally.failed || !tally.rows;
}

static int list_rows(void)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (const struct row *row = tables[i]; row->name; row++)
			printf("%-20s %s\n", row->name, row->title);
	return 0;
}

int main(int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"quick", no_argument, NULL, 'q'},     {"json", no_argument, NULL, 'j'},
	    {"row", required_argument, NULL, 'r'}, {"samples", required_argument, NULL, 'n'},
	    {"list", no_argument, NULL, 'l'},      {"memory-of", required_argument, NULL, 'm'},
	    {"help", no_argument, NULL, 'h'},      {NULL}};
	int c, ret;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'q':
			options.quick = true;
			break;
		case 'j':
			options.json = true;
			break;
		case 'r':
			options.row = optarg;
			break;
		case 'n':
			options.samples = atoi(optarg);
			break;
		case 'l':
			return list_rows();
		case 'm': /* our own: see rows.c */
			return memory_main(atoi(optarg));
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	options.server = own_directory();
	options.no_kernel = kernel_missing();
	usable_cpus(); /* before anything is pinned */
	if (make_scratch())
		return 1;
	ret = overseen(measure_rows);
	cleanup();
	return ret;
}
