/* SPDX-License-Identifier: BSD-2-Clause */
#include "command.h"
#include "interrupt.h"
#include "report.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER = 1 << 20 };

/* 0, or -errno of standard output. */
static int write_all(const char *data, size_t size)
{
	/* Interrupted, a write that has begun is only short. */
	while (size && !interrupted()) {
		ssize_t n = write(STDOUT_FILENO, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

/* A file here is read where it stands: it may be standard input, which others read, too. */
static ssize_t next_bytes(struct file *f, char *buf, off_t offset, struct loan *loan)
{
	if (file_remote(f))
		return file_lend(f, buf, BUFFER, offset, loan);
	*loan = (struct loan){.data = buf};
	return file_read(f, buf, BUFFER);
}

/* 0; -errno of standard output, after which nothing more can be done. *failed: of the file. */
static int copy_out(struct file *f, const char *word, char *buf, bool *failed)
{
	off_t offset = 0;

	while (!interrupted()) {
		struct loan loan = {0};
		ssize_t n = next_bytes(f, buf, offset, &loan);
		int err;

		if (n == -EINTR && !interrupted())
			continue;
		if (n < 0) {
			complain(file_remote(f), (int)n, "%s", word);
			*failed = true;
		}
		if (n <= 0)
			return 0;
		err = write_all(loan.data, (size_t)n);
		loan_return(&loan);
		if (err)
			return err;
		offset += n;
	}
	return 0;
}

/* "cat f >> f" would never end. */
static bool is_own_output(struct file *f)
{
	struct stat in, out;

	if (file_remote(f) || fstat(STDOUT_FILENO, &out) || file_fstat(f, &in))
		return false;
	return S_ISREG(in.st_mode) && in.st_dev == out.st_dev && in.st_ino == out.st_ino &&
	       in.st_size > 0;
}

static int cat_place(const struct place *place, char *buf, bool *failed)
{
	struct file f = FILE_NONE;
	int err;

	err = file_openat(&place->tree->root, place->path, O_RDONLY, 0, &f);
	if (err) {
		complain(place->tree->fs, err, "%s", place->word);
		*failed = true;
		return 0;
	}
	if (is_own_output(&f)) {
		complain_plain("%s: input file is output file", place->word);
		*failed = true;
	} else {
		err = copy_out(&f, place->word, buf, failed);
	}
	if (file_close(&f) && !err)
		*failed = true;
	return err;
}

static int cat_word(struct session *session, const char *word, char *buf, bool *failed)
{
	struct file in = {.fd = STDIN_FILENO};
	struct place place;
	int err;

	if (!strcmp(word, "-"))
		return copy_out(&in, "standard input", buf, failed);
	if (session_resolve(session, word, true, &place)) {
		*failed = true;
		return 0;
	}
	err = cat_place(&place, buf, failed);
	place_free(&place);
	return err;
}

static int run(struct session *session, char **words, size_t n)
{
	char *buf = malloc(BUFFER);
	bool failed = !buf;
	int err = 0;

	for (size_t i = 0; buf && i < n && !err && !interrupted(); i++)
		err = cat_word(session, words[i], buf, &failed);
	free(buf);
	if (err == -EPIPE)
		return 128 + SIGPIPE;
	if (err)
		complain(false, err, "standard output");
	return err || failed ? STATUS_FAILED : STATUS_OK;
}

const struct command command_cat = {
    .name = "cat",
    .summary = "Write files to standard output, one after the other",
    .usage = "[OPTION]... [ SERVER ARG... ]... PATH...",
    .short_options = "",
    .cache_bytes = ONE_PASS_CACHE,
    .min_words = 1,
    .max_words = SIZE_MAX,
    .run = run,
};
