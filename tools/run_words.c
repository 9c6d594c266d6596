/* SPDX-License-Identifier: BSD-2-Clause */
#include "run_words.h"
#include "command.h"
#include "report.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

/* ---- {} and {N} ------------------------------------------------------------------------- */

/* The number in "{N}", 0 in "{}", -1: no placeholder begins here. *length: of all of it. */
static long placeholder(const char *at, size_t *length)
{
	char *end;
	long number = 0;

	if (at[0] != '{')
		return -1;
	end = (char *)(uintptr_t)at + 1;
	if (*end >= '1' && *end <= '9')
		number = strtol(end, &end, 10);
	*length = (size_t)(end + 1 - at);
	return *end == '}' ? number : -1;
}

/* The mountpoint that is meant; NULL: no server's. */
static const char *meant(const struct session *session, char *const *mountpoints, long number)
{
	for (size_t i = 0; i < session->n_servers; i++)
		if (number ? (size_t)number == i + 1 : session->servers[i].placeholder)
			return mountpoints[i];
	return NULL;
}

static char *replace(const struct session *session, char *const *mountpoints, const char *word)
{
	char *text = NULL;
	size_t size, length;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	while (*word) {
		long number = placeholder(word, &length);
		const char *place = number < 0 ? NULL : meant(session, mountpoints, number);

		if (place) {
			fputs(place, out);
			word += length;
		} else {
			fputc(*word++, out);
		}
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- the program ------------------------------------------------------------------------ */

static void free_words(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}

/* What execvp() would try, one after the other. */
static char **programs(const char *name)
{
	const char *path = strchr(name, '/') || !*name ? NULL : getenv("PATH");
	size_t n = 0, room = 2;
	char **files;

	if (!path && !strchr(name, '/') && *name)
		path = "/bin:/usr/bin";
	for (const char *p = path; p && *p; p++)
		room += *p == ':';
	files = calloc(room, sizeof(*files));
	if (!files || (!path && !(files[n++] = strdup(name)))) {
		free(files);
		return NULL;
	}
	while (path) {
		size_t length = strcspn(path, ":");

		if (asprintf(&files[n], "%.*s%s%s", (int)length, path, length ? "/" : "", name) <
		    0) {
			files[n] = NULL;
			free_words(files);
			return NULL;
		}
		n++;
		path = path[length] ? path + length + 1 : NULL;
	}
	return files;
}

int run_words_make(struct run_words *w, const struct session *session, char *const *mountpoints,
		   char **words, size_t n)
{
	char *shell[] = {getenv("SHELL"), NULL};
	bool failed;

	if (!n) {
		if (!shell[0] || !*shell[0])
			shell[0] = (char *)(uintptr_t) "/bin/sh";
		words = shell;
		n = 1;
	}
	*w = (struct run_words){.argv = calloc(n + 1, sizeof(*w->argv))};
	failed = !w->argv;
	for (size_t i = 0; i < n && !failed; i++)
		failed = !(w->argv[i] = replace(session, mountpoints, words[i]));
	if (!failed)
		failed = !(w->programs = programs(w->argv[0]));
	if (failed)
		run_words_free(w);
	return failed ? -ENOMEM : 0;
}

void run_words_free(struct run_words *w)
{
	free_words(w->argv);
	free_words(w->programs);
	*w = (struct run_words){0};
}

int run_words_export(const struct session *session, char *const *mountpoints)
{
	char name[48];

	for (size_t i = 0; i < session->n_servers; i++) {
		snprintf(name, sizeof(name), "PORTFIRE_MOUNT_%zu", i + 1);
		if (setenv(name, mountpoints[i], 1) ||
		    (i == 0 && setenv("PORTFIRE_MOUNT", mountpoints[i], 1)))
			return -ENOMEM;
	}
	return 0;
}

int run_words_complain(const char *program, int err)
{
	if (err == -ENOENT && !strchr(program, '/'))
		complain_plain("%s: command not found", program);
	else
		complain(false, err, "cannot run %s", program);
	return err == -ENOENT || err == -ENOTDIR ? NOT_FOUND : NOT_EXECUTABLE;
}
