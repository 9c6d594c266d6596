/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What supervision costs a server's own file operations: the same loops in a process of its own,
 * plainly and supervised, in turn; medians of ROUNDS, nanoseconds a turn. Prints a table:
 *   open+read+close    O_RDONLY, not trapped (the filter looks at it)
 *   stat, pread        not trapped (the kernel knows that the filter lets them pass)
 *   open O_RDWR+close  trapped, and continued by us
 *   open /dev/fuse     trapped and answered with a socket; supervised only
 */
#include "launch/launch.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 7

static char file[] = "/tmp/portfire-cost-XXXXXX";

static void read_once(void)
{
	char buf[64];
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (read(fd, buf, sizeof buf) < 0)
		abort();
	close(fd);
}

static void stat_once(void)
{
	struct stat st;

	if (stat(file, &st) < 0)
		abort();
}

static void pread_once(void)
{
	static int fd = -1;
	char buf[64];

	if (fd < 0)
		fd = open(file, O_RDONLY | O_CLOEXEC);
	if (pread(fd, buf, sizeof buf, 0) < 0)
		abort();
}

static void open_rdwr_once(void)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		abort();
	close(fd);
}

static void open_device_once(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
}

static const struct work {
	const char *name;
	void (*once)(void);
	int turns;
} works[] = {
    {"open+read+close", read_once, 20000},
    {"stat", stat_once, 50000},
    {"pread", pread_once, 100000},
    {"open O_RDWR+close", open_rdwr_once, 4000},
    {"open /dev/fuse+close", open_device_once, 1000},
};
#define NWORKS (sizeof works / sizeof works[0])

static double measure(const struct work *w)
{
	struct timespec a, b;

	w->once();
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < w->turns; i++)
		w->once();
	clock_gettime(CLOCK_MONOTONIC, &b);
	return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / w->turns;
}

/* As a process of its own: all works, to standard error. */
static int child(const char *path)
{
	strcpy(file, path);
	for (size_t i = 0; i < NWORKS; i++)
		fprintf(stderr, "%.1f\n", measure(&works[i]));
	return 1;
}

static void read_figures(int fd, double *figures)
{
	FILE *f = fdopen(fd, "r");

	for (size_t i = 0; i < NWORKS; i++)
		if (fscanf(f, "%lf", &figures[i]) != 1)
			figures[i] = -1;
	fclose(f);
}

static void run_plain(char **argv, double *figures)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		abort();
	if (fork() == 0) {
		dup2(p[1], 2);
		execv(argv[0], argv);
		_exit(127);
	}
	close(p[1]);
	read_figures(p[0], figures);
}

static void run_supervised(char **argv, double *figures)
{
	struct pf__launch_config config = PF_LAUNCH_CONFIG_INIT;
	struct pf__launch *l;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		abort();
	config.stderr_fd = p[1];
	pf__launch(&l, argv, &config); /* fails: it never mounts */
	close(p[1]);
	read_figures(p[0], figures);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	char self[4096] = "", child_word[] = "child";
	double plain[ROUNDS][NWORKS], supervised[ROUNDS][NWORKS];
	char *again[] = {self, child_word, file, NULL};
	int fd;

	if (argc > 2)
		return child(argv[2]);
	fd = mkstemp(file);
	if (fd < 0 || write(fd, "some text", 9) != 9 ||
	    readlink("/proc/self/exe", self, sizeof self - 1) < 0)
		return 1;
	for (int i = 0; i < ROUNDS; i++) {
		run_plain(again, plain[i]);
		run_supervised(again, supervised[i]);
	}
	printf("%-22s %10s %12s\n", "ns", "plain", "supervised");
	for (size_t w = 0; w < NWORKS; w++) {
		double a[ROUNDS], b[ROUNDS];

		for (int i = 0; i < ROUNDS; i++) {
			a[i] = plain[i][w];
			b[i] = supervised[i][w];
		}
		qsort(a, ROUNDS, sizeof a[0], compare);
		qsort(b, ROUNDS, sizeof b[0], compare);
		printf("%-22s %10.0f %12.0f\n", works[w].name, a[ROUNDS / 2], b[ROUNDS / 2]);
	}
	unlink(file);
	return 0;
}
