/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bar: bytes, rate, time left and the file in work, drawn ten times a second on stderr. What
 * there is to copy is found out by a walk of its own, beside the copying; until that has ended the
 * sum carries a "+" and no time left is given.
 */
#include "cp.h"
#include "interrupt.h"
#include "report.h"
#include "text.h"
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_MS = 100, NAME_BYTES = 256 };

static struct {
	bool on;
	atomic_bool over;
	atomic_uint_fast64_t done, total;
	atomic_bool total_known;
	struct timespec started;
	struct place *sources;
	size_t n_sources;
	pthread_t drawer, counter;
	bool has_drawer, has_counter;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	char name[NAME_BYTES]; /* under lock */
	bool drawn;            /* under the terminal's lock */
} progress = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- what there is to copy -------------------------------------------------------------- */

static void count_directory(const struct file *dir, const char *name, int flags, unsigned depth);

static void count_stat(const struct file *dir, const char *name, const struct stat *st,
		       unsigned depth)
{
	if (S_ISREG(st->st_mode))
		atomic_fetch_add(&progress.total, (uint_fast64_t)st->st_size);
	else if (S_ISDIR(st->st_mode) && cp_options.recursive && depth < CP_DEPTH_MAX)
		count_directory(dir, name, O_NOFOLLOW, depth + 1);
}

static void count_entry(const struct file *dir, const struct file_entry *found, unsigned depth)
{
	struct stat st;

	if (!strcmp(found->name, ".") || !strcmp(found->name, ".."))
		return;
	if (found->st)
		st = *found->st;
	else if (file_fstatat(dir, found->name, &st, AT_SYMLINK_NOFOLLOW))
		return;
	char *name = strdup(found->name);

	if (name)
		count_stat(dir, name, &st, depth);
	free(name);
}

static void count_directory(const struct file *dir, const char *name, int flags, unsigned depth)
{
	struct file sub = FILE_NONE;
	struct file_entry found;

	if (file_openat(dir, name, O_RDONLY | O_DIRECTORY | flags, 0, &sub))
		return;
	while (!interrupted() && !atomic_load(&progress.over) && file_readdir(&sub, &found) > 0)
		count_entry(&sub, &found, depth);
	file_close(&sub);
}

static void *count(void *arg)
{
	for (size_t i = 0; i < progress.n_sources; i++) {
		const struct place *p = &progress.sources[i];
		struct stat st;

		if (file_fstatat(&p->tree->root, p->path, &st, 0))
			continue;
		if (S_ISDIR(st.st_mode) && cp_options.recursive)
			count_directory(&p->tree->root, p->path, 0, 1);
		else
			count_stat(&p->tree->root, p->path, &st, 0);
	}
	atomic_store(&progress.total_known, true);
	return NULL;
}

/* ---- the line --------------------------------------------------------------------------- */

static double seconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

static void time_left(double rate, uint64_t left, char buf[static TEXT_SIZE])
{
	uint64_t seconds = rate > 1 ? (uint64_t)((double)left / rate + 0.5) : 0;

	if (rate <= 1 || seconds > 99 * 3600)
		snprintf(buf, TEXT_SIZE, "--:--");
	else if (seconds >= 3600)
		snprintf(buf, TEXT_SIZE, "%ju:%02ju:%02ju", (uintmax_t)seconds / 3600,
			 (uintmax_t)seconds / 60 % 60, (uintmax_t)seconds % 60);
	else
		snprintf(buf, TEXT_SIZE, "%02ju:%02ju", (uintmax_t)seconds / 60,
			 (uintmax_t)seconds % 60);
}

/* "[=====>    ] 50%" */
static void draw_bar(char *out, size_t size, uint64_t done, uint64_t total)
{
	enum { CELLS = 20 };
	unsigned percent = total ? (unsigned)((double)done / (double)total * 100) : 0;
	char cells[CELLS + 1];
	size_t full;

	if (percent > 100)
		percent = 100;
	full = percent * CELLS / 100;
	memset(cells, ' ', CELLS);
	memset(cells, '=', full);
	if (full < CELLS)
		cells[full] = '>';
	cells[CELLS] = '\0';
	snprintf(out, size, "[%s] %3u%%", cells, percent);
}

static size_t format_line(char *line, size_t size)
{
	uint64_t done = atomic_load(&progress.done), total = atomic_load(&progress.total);
	bool known = atomic_load(&progress.total_known);
	double elapsed = seconds_since(&progress.started);
	double rate = elapsed > 0 ? (double)done / elapsed : 0;
	char bar[64], a[TEXT_SIZE], b[TEXT_SIZE], c[TEXT_SIZE], left[TEXT_SIZE] = "--:--";

	if (total < done)
		total = done;
	if (known)
		time_left(rate, total - done, left);
	draw_bar(bar, sizeof(bar), done, total);
	return (size_t)snprintf(line, size, "%s  %s of %s%s  %s/s  %s  ", bar, text_human(done, a),
				text_human(total, b), known ? "" : "+",
				text_human((uint64_t)rate, c), left);
}

/* Called with the terminal taken. */
static void erase_line(void)
{
	if (!progress.drawn)
		return;
	fputs("\r\033[K", stderr);
	progress.drawn = false;
}

static void draw_line(void)
{
	size_t columns = terminal_columns(STDERR_FILENO), used;
	char line[512], *name;

	pthread_mutex_lock(&progress.lock);
	name = text_escape(progress.name, false);
	pthread_mutex_unlock(&progress.lock);
	used = format_line(line, sizeof(line));
	terminal_take(); /* erases what was drawn before */
	if (used < columns && name)
		fprintf(stderr, "%s%.*s", line, (int)text_fit(name, columns - 1 - used), name);
	else
		fprintf(stderr, "%.*s", (int)columns - 1, line);
	fflush(stderr);
	progress.drawn = true;
	terminal_give();
	free(name);
}

/* The last state of a copy that took a while stays to be read. */
static void keep_line(void)
{
	draw_line();
	progress.drawn = false;
	fputc('\n', stderr);
}

static void *draw(void *arg)
{
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	while (!atomic_load(&progress.over)) {
		draw_line();
		next.tv_nsec += PERIOD_MS * 1000000L;
		if (next.tv_nsec >= 1000000000L) {
			next.tv_nsec -= 1000000000L;
			next.tv_sec++;
		}
		pthread_mutex_lock(&progress.lock);
		if (!atomic_load(&progress.over))
			pthread_cond_timedwait(&progress.wake, &progress.lock, &next);
		pthread_mutex_unlock(&progress.lock);
	}
	return NULL;
}

/* ---- the calls -------------------------------------------------------------------------- */

void cp_progress_start(struct place *sources, size_t n)
{
	pthread_condattr_t attr;

	if (cp_options.no_progress || !isatty(STDERR_FILENO))
		return;
	progress.on = true;
	progress.sources = sources;
	progress.n_sources = n;
	clock_gettime(CLOCK_MONOTONIC, &progress.started);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&progress.wake, &attr);
	pthread_condattr_destroy(&attr);
	report_set_eraser(erase_line);
	progress.has_counter = !pthread_create(&progress.counter, NULL, count, NULL);
	progress.has_drawer = !pthread_create(&progress.drawer, NULL, draw, NULL);
}

void cp_progress_add(uint64_t bytes)
{
	if (progress.on)
		atomic_fetch_add(&progress.done, bytes);
}

void cp_progress_file(const char *name)
{
	if (!progress.on)
		return;
	pthread_mutex_lock(&progress.lock);
	snprintf(progress.name, sizeof(progress.name), "%s", name);
	pthread_mutex_unlock(&progress.lock);
}

void cp_progress_finish(void)
{
	if (!progress.on)
		return;
	pthread_mutex_lock(&progress.lock);
	atomic_store(&progress.over, true);
	pthread_cond_signal(&progress.wake);
	pthread_mutex_unlock(&progress.lock);
	if (progress.has_drawer)
		pthread_join(progress.drawer, NULL);
	if (progress.has_counter)
		pthread_join(progress.counter, NULL);
	if (seconds_since(&progress.started) >= 1)
		keep_line();
	terminal_take(); /* erases what was not kept */
	terminal_give();
	report_set_eraser(NULL);
}
