/* SPDX-License-Identifier: BSD-2-Clause */
#include "command.h"
#include "cp.h"
#include "interrupt.h"
#include "report.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { OPTION_SPARSE = 256, OPTION_NO_PROGRESS };
enum { DEFAULT_JOBS = 4, MAX_JOBS = 64 };

struct cp_options cp_options = {.jobs = DEFAULT_JOBS};

static const struct option long_options[] = {
    {"archive", no_argument, NULL, 'a'},
    {"recursive", no_argument, NULL, 'r'},
    {"force", no_argument, NULL, 'f'},
    {"no-clobber", no_argument, NULL, 'n'},
    {"verbose", no_argument, NULL, 'v'},
    {"dereference", no_argument, NULL, 'L'},
    {"no-dereference", no_argument, NULL, 'P'},
    {"no-target-directory", no_argument, NULL, 'T'},
    {"jobs", required_argument, NULL, 'j'},
    {"sparse", required_argument, NULL, OPTION_SPARSE},
    {"no-progress", no_argument, NULL, OPTION_NO_PROGRESS},
    {0},
};

static const char help[] =
    "  -r, -R, --recursive        directories with all that is in them; links stay links\n"
    "  -p                         keep modes, times, extended attributes, ACLs; owners if root\n"
    "  -d                         keep links: symbolic ones, and files with several names\n"
    "  -a, --archive              all of these: -rpd\n"
    "  -L, --dereference          copy what symbolic links lead to\n"
    "  -P, --no-dereference       copy symbolic links themselves\n"
    "  -H                         follow only symbolic links that are words of the command\n"
    "  -f, --force                remove a target that cannot be written, and try again\n"
    "  -n, --no-clobber           leave files that exist as they are\n"
    "  -T, --no-target-directory  never copy into the target, even if it is a directory\n"
    "  -v, --verbose              print a line for each\n"
    "  -j, --jobs N               files in flight (4)\n"
    "      --sparse=WHEN          make holes: auto (where the source has some), always (for\n"
    "                             blocks of zeros), never\n"
    "      --no-progress          no progress bar\n";

static int set_sparse(const char *arg)
{
	if (!strcmp(arg, "auto"))
		cp_options.sparse = CP_SPARSE_AUTO;
	else if (!strcmp(arg, "always"))
		cp_options.sparse = CP_SPARSE_ALWAYS;
	else if (!strcmp(arg, "never"))
		cp_options.sparse = CP_SPARSE_NEVER;
	else
		return complain_usage("--sparse wants auto, always or never, not '%s'", arg);
	return 0;
}

static int set_jobs(const char *arg)
{
	char *end;
	unsigned long n = strtoul(arg, &end, 10);

	if (*arg < '0' || *arg > '9' || *end || n < 1 || n > MAX_JOBS)
		return complain_usage("-j wants a number from 1 to %d, not '%s'", MAX_JOBS, arg);
	cp_options.jobs = (unsigned)n;
	return 0;
}

static int set_option(int opt, const char *arg)
{
	switch (opt) {
	case 'a':
		cp_options.recursive = cp_options.preserve = cp_options.preserve_links = true;
		cp_options.follow = CP_FOLLOW_NEVER;
		break;
	case 'd':
		cp_options.preserve_links = true;
		cp_options.follow = CP_FOLLOW_NEVER;
		break;
	case 'r':
	case 'R':
		cp_options.recursive = true;
		break;
	case 'p':
		cp_options.preserve = true;
		break;
	case 'f':
		cp_options.force = true;
		break;
	case 'n':
		cp_options.no_clobber = true;
		break;
	case 'v':
		cp_options.verbose = true;
		break;
	case 'L':
		cp_options.follow = CP_FOLLOW_ALWAYS;
		break;
	case 'P':
		cp_options.follow = CP_FOLLOW_NEVER;
		break;
	case 'H':
		cp_options.follow = CP_FOLLOW_WORDS;
		break;
	case 'T':
		cp_options.whole_target = true;
		break;
	case 'j':
		return set_jobs(arg);
	case OPTION_SPARSE:
		return set_sparse(arg);
	case OPTION_NO_PROGRESS:
		cp_options.no_progress = true;
		break;
	}
	return 0;
}

/* The servers run by now and have their own limit; open directories are what cp needs most of. */
static void settle_options(void)
{
	struct rlimit files;

	if (cp_options.follow == CP_FOLLOW_UNSET)
		cp_options.follow = cp_options.recursive ? CP_FOLLOW_NEVER : CP_FOLLOW_WORDS;
	cp_options.umask = umask(0);
	umask(cp_options.umask);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* ---- the target ------------------------------------------------------------------------- */

/* The open directory that gets the copies; name: the target in it, NULL: the sources' own names. */
struct target {
	struct place place;
	struct file dir;
	char *name;
};

static bool is_directory(const struct place *place)
{
	struct stat st;

	return !file_fstatat(&place->tree->root, place->path, &st, 0) && S_ISDIR(st.st_mode);
}

/* The directory above a path: "." for a plain name. Cuts path at *name. */
static const char *split_path(char *path, const char **name)
{
	size_t length = strlen(path);
	char *slash;

	while (length > 1 && path[length - 1] == '/')
		path[--length] = '\0';
	slash = strrchr(path, '/');
	*name = slash ? slash + 1 : path;
	if (!slash)
		return ".";
	if (!**name || slash == path) {
		*name = **name ? *name : "/";
		return "/";
	}
	*slash = '\0';
	return path;
}

static int open_target_directory(struct target *t, const char *path)
{
	int err = file_openat(&t->place.tree->root, path, O_PATH | O_DIRECTORY, 0, &t->dir);

	if (!err)
		return 0;
	complain(t->place.tree->fs, err, "%s", t->place.word);
	return STATUS_FAILED;
}

/* A new name, or a file to overwrite. */
static int open_named_target(struct target *t)
{
	size_t length = strlen(t->place.path);
	const char *name, *above;
	char *path;
	int status;

	if (length > 1 && t->place.path[length - 1] == '/' && !cp_options.recursive) {
		complain(false, -ENOTDIR, "%s", t->place.word);
		return STATUS_FAILED;
	}
	path = strdup(t->place.path);
	if (!path)
		return STATUS_FAILED;
	above = split_path(path, &name);
	t->name = strdup(name);
	status = t->name ? open_target_directory(t, above) : STATUS_FAILED;
	free(path);
	return status;
}

static int open_target(struct session *session, const char *word, size_t n_sources,
		       struct target *t)
{
	bool into;
	int status = session_resolve(session, word, true, &t->place);

	if (status)
		return status;
	if (cp_options.whole_target && n_sources > 1)
		return complain_usage("-T takes one source");
	into = !cp_options.whole_target && is_directory(&t->place);
	if (into)
		return open_target_directory(t, t->place.path);
	if (n_sources > 1) {
		complain_plain("target '%s' is not a directory", word);
		return STATUS_FAILED;
	}
	return open_named_target(t);
}

static void close_target(struct target *t)
{
	file_close(&t->dir);
	free(t->name);
	place_free(&t->place);
}

/* ---- the sources ------------------------------------------------------------------------ */

/*
 * The name that a source gets in a target directory; "." where its word ends without one: what is
 * in it is then copied into the target. "{}" is such a word, as the root of a server has no name.
 */
static char *base_name(const struct place *source)
{
	const char *word = source->word, *base;
	size_t length = strlen(word);

	while (length && word[length - 1] == '/')
		length--;
	for (base = word + length; base > word && base[-1] != '/';)
		base--;
	length = (size_t)(word + length - base);
	if (!length || (length == 2 && !memcmp(base, "..", 2)))
		return strdup(".");
	if (source->tree->fs && base == word && !strcmp(source->path, "/") && *word == '{')
		return strdup(".");
	return strndup(base, length);
}

static char *shown_target(const struct target *t, const char *name)
{
	size_t length = strlen(t->place.word);
	const char *slash = length && t->place.word[length - 1] == '/' ? "" : "/";
	char *shown;

	if (t->name || !strcmp(name, "."))
		return strdup(t->place.word);
	return asprintf(&shown, "%s%s%s", t->place.word, slash, name) < 0 ? NULL : shown;
}

static int copy_source(const struct place *source, const struct target *t)
{
	char *name = t->name ? strdup(t->name) : base_name(source);
	char *shown = name ? shown_target(t, name) : NULL;
	struct cp_dir *frame = NULL;

	if (shown)
		frame = cp_dir_new_frame(source->tree, &source->tree->root, source->word,
					 t->place.tree, &t->dir, shown);
	if (frame)
		cp_walk_word(frame, source->path, name);
	cp_dir_put(frame);
	free(shown);
	free(name);
	return frame ? STATUS_OK : STATUS_FAILED;
}

static int copy_sources(struct place *sources, size_t n, const struct target *t)
{
	int status = STATUS_OK, err = cp_pool_start(cp_options.jobs);

	if (err) {
		complain(false, err, "threads");
		return STATUS_FAILED;
	}
	cp_progress_start(sources, n);
	for (size_t i = 0; i < n && !interrupted(); i++)
		status |= copy_source(&sources[i], t);
	cp_pool_finish();
	cp_walk_finish();
	cp_progress_finish();
	return status;
}

static int run(struct session *session, char **words, size_t n_words)
{
	size_t n = n_words - 1;
	struct target target = {.dir = FILE_NONE};
	struct place *sources = calloc(n, sizeof(*sources));
	int status = sources ? STATUS_OK : STATUS_FAILED;

	settle_options();
	for (size_t i = 0; sources && i < n && !status; i++)
		status = session_resolve(session, words[i], cp_options.follow != CP_FOLLOW_NEVER,
					 &sources[i]);
	if (!status)
		status = open_target(session, words[n], n, &target);
	if (!status)
		status = copy_sources(sources, n, &target);
	close_target(&target);
	for (size_t i = 0; sources && i < n; i++)
		place_free(&sources[i]);
	free(sources);
	return status ? status : cp_has_failed() ? STATUS_FAILED : STATUS_OK;
}

const struct command command_cp = {
    .name = "cp",
    .summary = "Copy files and directories, to, from and between servers",
    .usage = "[OPTION]... [ SERVER ARG... ]... SOURCE... TARGET",
    .help = help,
    .short_options = "adrRpfnvLPHTj:",
    .long_options = long_options,
    .cache_bytes = ONE_PASS_CACHE,
    .min_words = 2,
    .max_words = SIZE_MAX,
    .option = set_option,
    .run = run,
};
