/* SPDX-License-Identifier: BSD-2-Clause */
#include "launch/command.h"
#include "base/alloc.h"
#include "base/errmsg.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- {} -------------------------------------------------------------------------------------- */

bool pf__command_has_braces(char *const argv[])
{
	for (; *argv; argv++)
		if (strstr(*argv, "{}"))
			return true;
	return false;
}

static size_t count_braces(const char *word)
{
	size_t n = 0;

	for (word = strstr(word, "{}"); word; word = strstr(word + 2, "{}"))
		n++;
	return n;
}

static char *replace_braces(const char *word, const char *place)
{
	char *new = pf__malloc(strlen(word) + count_braces(word) * strlen(place) + 1);
	char *to = new;
	const char *at;

	if (!new)
		return NULL;
	while ((at = strstr(word, "{}"))) {
		to = mempcpy(to, word, (size_t)(at - word));
		to = stpcpy(to, place);
		word = at + 2;
	}
	strcpy(to, word);
	return new;
}

static char **replace_words(char *const argv[], const char *place)
{
	size_t n = 0;
	char **words;

	while (argv[n])
		n++;
	words = pf__calloc(n + 1, sizeof *words);
	for (size_t i = 0; words && i < n; i++) {
		words[i] = replace_braces(argv[i], place);
		if (!words[i]) {
			struct pf__command c = {NULL, words};

			pf__command_clear(&c);
			return NULL;
		}
	}
	return words;
}

/* ---- the program ----------------------------------------------------------------------------- */

/* -EACCES: it is there, but no program. A directory that we may not look into has none for us. */
static int check_program(const char *file)
{
	struct stat st;

	if (stat(file, &st) < 0)
		return errno == EACCES ? -ENOENT : -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return access(file, X_OK) < 0 ? -errno : 0;
}

/* As the shell: the first executable one; one that is there but not executable is the better error.
 */
static int search_path(const char *name, char **file)
{
	const char *path = getenv("PATH");
	int worst = -ENOENT;

	for (path = path ? path : "/usr/local/bin:/bin:/usr/bin"; path; path = strchr(path, ':')) {
		size_t n;
		int err;

		path += *path == ':';
		n = strcspn(path, ":");
		*file = pf__malloc(n + strlen(name) + 3);
		if (!*file)
			return -ENOMEM;
		sprintf(*file, "%.*s/%s", n ? (int)n : 1, n ? path : ".", name);
		err = check_program(*file);
		if (!err)
			return 0;
		if (err == -EACCES)
			worst = err;
		pf__free(*file);
		*file = NULL;
	}
	return worst;
}

static int find_program(const char *name, char **file)
{
	int err;

	if (strchr(name, '/')) {
		err = check_program(name);
		*file = err ? NULL : pf__strdup(name);
		if (!err && !*file)
			err = -ENOMEM;
	} else {
		err = *name ? search_path(name, file) : -ENOENT;
	}
	if (err == -ENOENT && !strchr(name, '/'))
		return pf__fail(err, "%s: command not found", name);
	return err ? pf__fail(err, "cannot run %s:", name) : 0;
}

int pf__command_make(struct pf__command *c, char *const argv[], const char *place)
{
	int err;

	*c = (struct pf__command){NULL, NULL};
	if (!argv || !argv[0])
		return pf__fail(-EINVAL, "no server command is given");
	err = find_program(argv[0], &c->file);
	if (err)
		return err;
	c->argv = replace_words(argv, place ? place : "{}");
	if (!c->argv) {
		pf__command_clear(c);
		return pf__fail(-ENOMEM, "cannot run %s:", argv[0]);
	}
	return 0;
}

void pf__command_clear(struct pf__command *c)
{
	for (char **w = c->argv; w && *w; w++)
		pf__free(*w);
	pf__free(c->argv);
	pf__free(c->file);
	*c = (struct pf__command){NULL, NULL};
}

/* ---- a private mountpoint ----------------------------------------------------------------------
 */

int pf__private_directory(char **out)
{
	const char *const parents[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp"};
	int err = -ENOENT;

	for (int i = 0; i < 3; i++) {
		char real[PATH_MAX], *path;

		/* As the mount will name it. */
		if (!parents[i] || parents[i][0] != '/' || !realpath(parents[i], real))
			continue;
		path = pf__malloc(strlen(real) + sizeof "/portfire-XXXXXX");
		if (!path)
			return pf__fail(-ENOMEM, "private mountpoint:");
		sprintf(path, "%s/portfire-XXXXXX", real);
		if (mkdtemp(path)) {
			*out = path;
			return 0;
		}
		err = -errno;
		pf__free(path);
	}
	return pf__fail(err,
			"cannot make a private mountpoint in $XDG_RUNTIME_DIR, $TMPDIR or /tmp:");
}
