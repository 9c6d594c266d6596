/* SPDX-License-Identifier: BSD-2-Clause */
#include "command.h"
#include "interrupt.h"
#include "ls.h"
#include "report.h"
#include "text.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_COLOR = 256 };

static struct ls_options options;
static const char *color_wish = "auto";
static bool headers_begun;

static const struct option long_options[] = {
    {"all", no_argument, NULL, 'a'},
    {"almost-all", no_argument, NULL, 'A'},
    {"recursive", no_argument, NULL, 'R'},
    {"human-readable", no_argument, NULL, 'h'},
    {"directory", no_argument, NULL, 'd'},
    {"reverse", no_argument, NULL, 'r'},
    {"numeric-uid-gid", no_argument, NULL, 'n'},
    {"color", optional_argument, NULL, OPTION_COLOR},
    {0},
};

static const char help[] =
    "  -l                         a line for each: mode, links, owner, group, size, time, name\n"
    "  -n, --numeric-uid-gid      as -l, with owner and group as numbers\n"
    "  -a, --all                  names that begin with a dot too\n"
    "  -A, --almost-all           as -a, without . and ..\n"
    "  -R, --recursive            subdirectories too\n"
    "  -d, --directory            directories themselves, not what is in them\n"
    "  -1                         a name a line\n"
    "  -C                         in columns, as on a terminal\n"
    "  -h, --human-readable       sizes like 4.0K and 12M\n"
    "  -t                         newest first\n"
    "  -S                         largest first\n"
    "  -r, --reverse              the other way round\n"
    "      --color[=WHEN]         colours by kind: auto (on a terminal), always, never\n";

static int set_option(int opt, const char *arg)
{
	switch (opt) {
	case 'l':
		options.format = LS_LONG;
		break;
	case 'n':
		options.format = LS_LONG;
		options.numeric = true;
		break;
	case '1':
		if (options.format != LS_LONG)
			options.format = LS_LINES;
		break;
	case 'C':
		options.format = LS_COLUMNS;
		break;
	case 'a':
		options.all = true;
		break;
	case 'A':
		options.almost_all = true;
		break;
	case 'R':
		options.recursive = true;
		break;
	case 'd':
		options.directory_itself = true;
		break;
	case 'h':
		options.human = true;
		break;
	case 't':
		options.sort = LS_BY_TIME;
		break;
	case 'S':
		options.sort = LS_BY_SIZE;
		break;
	case 'r':
		options.reverse = true;
		break;
	case OPTION_COLOR:
		color_wish = arg ? arg : "always";
		if (!strcmp(color_wish, "auto") || !strcmp(color_wish, "always") ||
		    !strcmp(color_wish, "never"))
			break;
		return complain_usage("--color wants auto, always or never, not '%s'", arg);
	}
	return 0;
}

static void settle_options(void)
{
	bool terminal = isatty(STDOUT_FILENO);

	if (options.format == LS_UNSET)
		options.format = terminal ? LS_COLUMNS : LS_LINES;
	options.escape = terminal;
	options.color = !strcmp(color_wish, "always") || (!strcmp(color_wish, "auto") && terminal);
	options.width = terminal_columns(STDOUT_FILENO);
	if (options.directory_itself)
		options.recursive = false;
	if (options.color) {
		ls_color_init();
		options.color_targets = ls_color_wants_targets();
	}
	clock_gettime(CLOCK_REALTIME, &options.now);
}

/* ---- directories ------------------------------------------------------------------------ */

/* A directory on the way down, for the loop check: links of a file system do not loop, a server's
 * may. */
struct above {
	const struct above *up;
	dev_t dev;
	ino_t ino;
};

static int list_directory(struct tree *tree, const char *path, const char *shown, bool named,
			  const struct above *up);

static bool loops(const struct above *up, const struct stat *st)
{
	for (; up; up = up->up)
		if (up->dev == st->st_dev && up->ino == st->st_ino)
			return true;
	return false;
}

static char *join(const char *dir, const char *name)
{
	size_t length = strlen(dir);
	const char *slash = length && dir[length - 1] == '/' ? "" : "/";
	char *path;

	return asprintf(&path, "%s%s%s", dir, slash, name) < 0 ? NULL : path;
}

static int list_subdirectories(struct tree *tree, const char *path, const char *shown,
			       const struct listing *list, const struct above *here)
{
	int status = STATUS_OK;

	for (size_t i = 0; i < list->n && !interrupted(); i++) {
		const struct ls_entry *e = &list->entries[i];
		char *sub_path, *sub_shown;

		if (e->type != DT_DIR || !strcmp(e->name, ".") || !strcmp(e->name, ".."))
			continue;
		sub_path = join(path, e->name);
		sub_shown = join(shown, e->name);
		if (sub_path && sub_shown)
			status |= list_directory(tree, sub_path, sub_shown, true, here);
		else
			status = STATUS_FAILED;
		free(sub_path);
		free(sub_shown);
	}
	return status;
}

static int print_directory(struct tree *tree, struct file *dir, const char *path, const char *shown,
			   bool named, struct listing *list)
{
	struct ls_source source = {tree, dir, path, shown};
	int status = ls_scan_directory(&options, &source, dir, list);

	ls_sort(&options, list);
	if (headers_begun)
		putchar('\n');
	headers_begun = true;
	if (named)
		ls_print_header(&options, shown);
	if (options.format == LS_LONG)
		ls_print_total(&options, list);
	ls_print(&options, list, NULL);
	return status;
}

static int list_directory(struct tree *tree, const char *path, const char *shown, bool named,
			  const struct above *up)
{
	struct above here = {.up = up};
	struct listing list = {0};
	struct file dir = FILE_NONE;
	struct stat st = {0};
	int err, status;

	err = file_openat(&tree->root, path, O_RDONLY | O_DIRECTORY, 0, &dir);
	if (!err && options.recursive)
		err = file_fstat(&dir, &st);
	if (err)
		complain(tree->fs, err, "%s", shown);
	else if (options.recursive && loops(up, &st))
		complain(false, err = -ELOOP, "%s", shown);
	if (err) {
		file_close(&dir);
		return STATUS_FAILED;
	}
	here.dev = st.st_dev;
	here.ino = st.st_ino;
	status = print_directory(tree, &dir, path, shown, named, &list);
	file_close(&dir);
	if (options.recursive)
		status |= list_subdirectories(tree, path, shown, &list, &here);
	listing_free(&list);
	return status;
}

/* ---- words ------------------------------------------------------------------------------ */

/* Without -l and -d, a link to a directory on the command line is that directory. */
static bool follows_words(void)
{
	return options.format != LS_LONG && !options.directory_itself;
}

static int stat_place(const struct place *place, struct stat *st)
{
	const struct file *root = &place->tree->root;
	int err = -ENOENT;

	if (follows_words())
		err = file_fstatat(root, place->path, st, 0);
	if (err)
		err = file_fstatat(root, place->path, st, AT_SYMLINK_NOFOLLOW);
	if (err)
		complain(place->tree->fs, err, "%s", place->word);
	return err;
}

/* Words that are directories to be listed go to dirs, the others are printed at once. */
static int sort_words(struct place *places, size_t n, struct listing *files, struct listing *dirs)
{
	int status = STATUS_OK;

	for (size_t i = 0; i < n && !interrupted(); i++) {
		struct stat st;
		bool listed;

		if (stat_place(&places[i], &st)) {
			status = STATUS_FAILED;
			continue;
		}
		listed = S_ISDIR(st.st_mode) && !options.directory_itself;
		status |= ls_add_word(&options, &places[i], &st, listed ? dirs : files);
	}
	return status;
}

static const struct place *find_place(const struct place *places, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(places[i].word, word))
			return &places[i];
	return NULL;
}

static int list_places(struct place *places, size_t n)
{
	struct listing files = {0}, dirs = {0};
	int status = sort_words(places, n, &files, &dirs);
	bool named = n > 1 || options.recursive;

	ls_sort(&options, &files);
	ls_sort(&options, &dirs);
	if (files.n) {
		ls_print(&options, &files, &dirs);
		headers_begun = true;
	}
	for (size_t i = 0; i < dirs.n && !interrupted(); i++) {
		const struct place *place = find_place(places, n, dirs.entries[i].name);

		status |= list_directory(place->tree, place->path, place->word, named, NULL);
	}
	listing_free(&files);
	listing_free(&dirs);
	return status;
}

/* No word: the servers' roots; the working directory where there is no server. */
static int default_places(struct session *session, struct place *places)
{
	int status = STATUS_OK;

	if (!session->n_servers)
		return session_resolve(session, ".", true, &places[0]);
	for (size_t i = 0; i < session->n_servers && !status; i++)
		status = session_root(&session->servers[i], &places[i]);
	return status;
}

static int run(struct session *session, char **words, size_t n_words)
{
	size_t n = n_words ? n_words : session->n_servers ? session->n_servers : 1;
	struct place *places = calloc(n, sizeof(*places));
	int status = places ? STATUS_OK : STATUS_FAILED;

	settle_options();
	if (places && !n_words)
		status = default_places(session, places);
	for (size_t i = 0; places && i < n_words && !status; i++)
		status = session_resolve(session, words[i], follows_words(), &places[i]);
	if (!status)
		status = list_places(places, n);
	for (size_t i = 0; places && i < n; i++)
		place_free(&places[i]);
	free(places);
	return status;
}

const struct command command_ls = {
    .name = "ls",
    .summary = "List files and directories",
    .usage = "[OPTION]... [ SERVER ARG... ]... [PATH]...",
    .help = help,
    .short_options = "laAR1ChdrtSn",
    .long_options = long_options,
    .option = set_option,
    .max_words = SIZE_MAX,
    .run = run,
};
