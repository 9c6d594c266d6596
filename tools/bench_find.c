/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What there is to measure with: the file that the user names, else the largest that can be read,
 * else one of our own; and the directory with the most names. The walk is bounded, in time and in
 * names: a large tree is not to be read through for this.
 */
#include "bench.h"
#include "command.h"
#include "interrupt.h"
#include "report.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

enum { NAMES_MAX = 50000, DEPTH_MAX = 64, PROBE_MS = 200 };
#define LOOK_NS     2e9
#define RANDOM_SPAN (256 * MIB) /* as far as it can be read in FILL_NS */
#define FILL_NS     1e9

struct pending {
	struct pending *next;
	unsigned depth;
	char path[];
};

struct search {
	struct bench *bench;
	struct tree *tree;
	uint64_t deadline, names;
	struct pending *first, **last; /* directories to look into */
};

static void add_directory(struct search *s, const char *path, unsigned depth)
{
	size_t length = strlen(path) + 1;
	struct pending *p = depth < DEPTH_MAX ? malloc(sizeof(*p) + length) : NULL;

	if (!p)
		return;
	p->next = NULL;
	p->depth = depth;
	memcpy(p->path, path, length);
	*s->last = p;
	s->last = &p->next;
}

/* A file that cannot be opened is none to measure with. */
static void consider_file(struct search *s, char *path, const struct stat *st)
{
	struct bench *bench = s->bench;
	struct file f;

	if ((uint64_t)st->st_size <= bench->file_size ||
	    file_openat(&s->tree->root, path, O_RDONLY, 0, &f)) {
		free(path);
		return;
	}
	file_close(&f);
	free(bench->file);
	bench->file = path;
	bench->file_size = (uint64_t)st->st_size;
}

static void consider(struct search *s, const struct pending *at, const struct file *dir,
		     const struct file_entry *entry)
{
	struct stat st;
	char *path;

	if (entry->st)
		st = *entry->st;
	else if (file_fstatat(dir, entry->name, &st, AT_SYMLINK_NOFOLLOW))
		return;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return;
	if (asprintf(&path, "%s/%s", at->path, entry->name) < 0)
		return;
	if (!strncmp(path, "./", 2))
		memmove(path, path + 2, strlen(path) - 1);
	if (S_ISREG(st.st_mode)) {
		consider_file(s, path, &st);
		return;
	}
	add_directory(s, path, at->depth + 1);
	free(path);
}

/* Negative errno only when all is over: the root cannot be read, or the server is gone. */
static int look_into(struct search *s, const struct pending *at)
{
	struct bench *bench = s->bench;
	struct file_entry entry;
	struct file dir;
	uint64_t names = 0;
	int got, err = file_openat(&s->tree->root, at->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
				   &dir);

	if (err)
		return at->depth && !bench_is_gone(err) ? 0 : err;
	while ((got = file_readdir(&dir, &entry)) > 0 && names < NAMES_MAX &&
	       bench_now() < s->deadline) {
		names++;
		s->names++;
		if (strcmp(entry.name, ".") && strcmp(entry.name, ".."))
			consider(s, at, &dir, &entry);
	}
	file_close(&dir);
	if (got >= 0 && names > bench->entries) {
		char *path = strdup(at->path);

		if (path) {
			free(bench->directory);
			bench->directory = path;
			bench->entries = names;
		}
	}
	return got < 0 && (!at->depth || bench_is_gone(got)) ? got : 0;
}

static int search(struct bench *bench)
{
	struct search s = {.bench = bench,
			   .tree = &bench->server->tree,
			   .deadline = bench_now() + (uint64_t)LOOK_NS,
			   .last = &s.first};
	int err = 0;

	add_directory(&s, ".", 0);
	while (s.first) {
		struct pending *at = s.first;

		if (!err && s.names < NAMES_MAX && bench_now() < s.deadline && !interrupted())
			err = look_into(&s, at);
		s.first = at->next;
		if (!s.first)
			s.last = &s.first;
		free(at);
	}
	bench->gone = bench_is_gone(err);
	if (err && !bench->gone)
		complain(true, err, "%s", bench->server->argv[0]);
	return err ? STATUS_FAILED : 0;
}

/* ---- the file --------------------------------------------------------------------------- */

static int take_named(struct bench *bench)
{
	const char *word = bench->options->file;
	struct place place = {0};
	struct stat st;
	int err, status = session_resolve(bench->session, word, true, &place);

	if (status)
		return status;
	if (place.tree != &bench->server->tree) {
		place_free(&place);
		return complain_usage("--file: '%s' is not at the server; its files are below {}",
				      word);
	}
	free(bench->file);
	bench->file = strdup(place.path + strspn(place.path, "/"));
	place_free(&place);
	if (!bench->file) {
		complain_plain("%s", strerror(ENOMEM));
		return STATUS_FAILED;
	}
	err = file_fstatat(&bench->server->tree.root, *bench->file ? bench->file : ".", &st, 0);
	if (err) {
		complain(true, err, "%s", word);
		return STATUS_FAILED;
	}
	if (!S_ISREG(st.st_mode) || st.st_size < BENCH_PAGE) {
		complain_plain("%s: %s", word,
			       S_ISREG(st.st_mode) ? "less than 4 KiB, too little to measure with"
						   : "not a regular file");
		return STATUS_FAILED;
	}
	bench->file_size = (uint64_t)st.st_size;
	return 0;
}

/* Names that nobody else has. */
static int name_scratch(struct bench *bench)
{
	uint64_t number = 0;
	int n = 0;

	(void)!getrandom(&number, sizeof(number), GRND_NONBLOCK);
	number ^= bench_now() ^ (uint64_t)getpid() << 40;
	n |= asprintf(&bench->scratch_read, ".portfire-bench-%016jx.read", (uintmax_t)number);
	n |= asprintf(&bench->scratch_write, ".portfire-bench-%016jx.write", (uintmax_t)number);
	n |= asprintf(&bench->scratch_small, ".portfire-bench-%016jx.new", (uintmax_t)number);
	if (n >= 0)
		return 0;
	complain_plain("%s", strerror(ENOMEM));
	return STATUS_FAILED;
}

/* Can a file be made in the root? Better to know before minutes of reading. */
static int try_writing(struct bench *bench)
{
	struct tree *tree = &bench->server->tree;
	struct file f;
	int err =
	    file_openat(&tree->root, bench->scratch_small, O_WRONLY | O_CREAT | O_EXCL, 0600, &f);

	if (!err) {
		file_close(&f);
		err = file_unlinkat(&tree->root, bench->scratch_small, 0);
	}
	if (err)
		complain(true, err, "--write: cannot make a scratch file at %s",
			 bench->server->argv[0]);
	return err ? STATUS_FAILED : 0;
}

static int choose_scratch(struct bench *bench)
{
	free(bench->file);
	bench->file = strdup(bench->scratch_read);
	bench->file_size = bench->options->size;
	bench->scratch = true;
	return bench->file ? 0 : STATUS_FAILED;
}

static int choose_file(struct bench *bench)
{
	bool write = bench->options->write;

	if (bench->options->file)
		return take_named(bench);
	if (bench->file_size >= MIB || (bench->file_size >= BENCH_PAGE && !write))
		return 0;
	if (write)
		return choose_scratch(bench);
	complain_plain("%s has no file of 4 KiB or more to read; --write lets a scratch file be "
		       "made, --file names one",
		       bench->server->argv[0]);
	return STATUS_FAILED;
}

/* As much as comes in within a second is read for the row of random cached reads. */
static int choose_span(struct bench *bench)
{
	uint64_t limit = RANDOM_SPAN, got = 0, start = bench_now();
	char *buffer = malloc(BENCH_BUFFER);
	struct file f;
	ssize_t n = 1;
	int err = buffer ? 0 : -ENOMEM;

	if (bench->scratch || err)
		goto out;
	err = file_openat(&bench->server->tree.root, bench->file, O_RDONLY, 0, &f);
	if (err) {
		complain(true, err, "%s", bench->file);
		goto out;
	}
	while (n > 0 && bench_now() - start < PROBE_MS * 1000000ull && got < RANDOM_SPAN) {
		n = file_pread(&f, buffer, BENCH_BUFFER, (off_t)got);
		got += n > 0 ? (uint64_t)n : 0;
	}
	if (n < 0)
		err = (int)n;
	else if (n > 0 && got < RANDOM_SPAN)
		limit = (uint64_t)((double)got * FILL_NS / (double)(bench_now() - start));
	if (err)
		complain(true, err, "%s", bench->file);
	file_close(&f);
out:
	free(buffer);
	limit = limit < RANDOM_SPAN ? limit : RANDOM_SPAN;
	limit = limit < bench->file_size ? limit : bench->file_size;
	limit = limit > bench_hot_span(bench) ? limit : bench_hot_span(bench);
	/* A round number where it is not the whole file */
	bench->random_span = limit < bench->file_size && limit > MIB ? limit / MIB * MIB : limit;
	return err ? STATUS_FAILED : 0;
}

int bench_find(struct bench *bench)
{
	int status = name_scratch(bench);

	if (!status)
		status = search(bench);
	if (!status && interrupted())
		status = STATUS_FAILED;
	if (!status)
		status = choose_file(bench);
	if (!status && bench->options->write)
		status = try_writing(bench);
	return status ? status : choose_span(bench);
}
