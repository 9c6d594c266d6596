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

/* ---- the list --------------------------------------------------------------------------- */

static char *shown_name(const struct ls_options *o, const char *name)
{
	return o->escape ? text_escape(name, true) : strdup(name);
}

static struct ls_entry *listing_add(const struct ls_options *o, struct listing *list,
				    const char *name)
{
	struct ls_entry *e;

	if (list->n == list->allocated) {
		size_t more = list->allocated ? list->allocated * 2 : 64;
		struct ls_entry *grown = reallocarray(list->entries, more, sizeof(*grown));

		if (!grown)
			return NULL;
		list->entries = grown;
		list->allocated = more;
	}
	e = &list->entries[list->n];
	*e = (struct ls_entry){.name = strdup(name), .shown = shown_name(o, name)};
	if (!e->name || !e->shown) {
		free(e->name);
		free(e->shown);
		return NULL;
	}
	list->n++;
	return e;
}

void listing_free(struct listing *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->entries[i].name);
		free(list->entries[i].shown);
		free(list->entries[i].target);
		free(list->entries[i].target_shown);
	}
	free(list->entries);
	*list = (struct listing){0};
}

/* ---- what else a line shows ------------------------------------------------------------- */

/* Is there an ACL beside the mode? Servers without ACLs are asked once. */
static bool has_acl(struct tree *tree, const char *path, mode_t mode)
{
	/* The version and the three entries that say no more than the mode does. */
	enum { TRIVIAL = 4 + 3 * 8 };
	static const struct tree *without;
	ssize_t n;

	if (S_ISLNK(mode) || without == tree)
		return false;
	n = tree_lgetxattr(tree, path, "system.posix_acl_access", NULL, 0);
	if (n == -EOPNOTSUPP || n == -ENOSYS)
		without = tree;
	if (n > TRIVIAL)
		return true;
	return S_ISDIR(mode) && without != tree &&
	       tree_lgetxattr(tree, path, "system.posix_acl_default", NULL, 0) > 0;
}

static int read_link(const struct ls_options *o, const struct file *dir, const char *name,
		     struct ls_entry *e)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n = file_readlinkat(dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return (int)n;
	target[n] = '\0';
	e->target = strdup(target);
	e->target_shown = shown_name(o, target);
	if (!e->target || !e->target_shown)
		return -ENOMEM;
	if (o->color_targets && !file_fstatat(dir, name, &st, 0))
		e->target_mode = st.st_mode;
	return 0;
}

static int join_path(char path[static PATH_MAX], const char *dir, const char *name)
{
	size_t length = strlen(dir);
	const char *slash = length && dir[length - 1] != '/' ? "/" : "";
	int n = snprintf(path, PATH_MAX, "%s%s%s", dir, slash, name);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* What -l and colours need beyond the stat. path: in the tree. */
static int complete_entry(const struct ls_options *o, struct tree *tree, const struct file *dir,
			  const char *name, const char *path, struct ls_entry *e,
			  struct listing *list)
{
	e->has_stat = true;
	e->type = IFTODT(e->st.st_mode);
	if (o->format == LS_LONG && has_acl(tree, path, e->st.st_mode))
		list->any_acl = e->has_acl = true;
	if (S_ISLNK(e->st.st_mode) && (o->format == LS_LONG || o->color_targets))
		return read_link(o, dir, name, e);
	return 0;
}

static bool needs_stat(const struct ls_options *o, unsigned char type)
{
	if (o->format == LS_LONG || o->sort != LS_BY_NAME)
		return true;
	return o->color || (o->recursive && type == DT_UNKNOWN);
}

/* ---- directories ------------------------------------------------------------------------ */

static bool hidden(const struct ls_options *o, const char *name)
{
	if (name[0] != '.' || o->all)
		return false;
	return !o->almost_all || !strcmp(name, ".") || !strcmp(name, "..");
}

static int add_found(const struct ls_options *o, const struct ls_source *source,
		     const struct file_entry *found, struct listing *list)
{
	struct ls_entry *e = listing_add(o, list, found->name);
	char path[PATH_MAX], shown[PATH_MAX];
	int err;

	if (!e)
		return -ENOMEM;
	e->type = found->type;
	if (!needs_stat(o, found->type))
		return 0;
	err = join_path(path, source->dir_path, e->name);
	if (found->st)
		e->st = *found->st;
	else if (!err)
		err = file_fstatat(source->dir, e->name, &e->st, AT_SYMLINK_NOFOLLOW);
	if (!err)
		err = complete_entry(o, source->tree, source->dir, e->name, path, e, list);
	if (err) {
		join_path(shown, source->dir_shown, e->name);
		complain(source->tree->fs, err, "%s", shown);
	}
	return err == -ENOMEM ? err : err ? 1 : 0;
}

int ls_scan_directory(const struct ls_options *o, const struct ls_source *source, struct file *dir,
		      struct listing *list)
{
	struct file_entry found;
	int status = STATUS_OK, got = 0;

	while (!interrupted() && (got = file_readdir(dir, &found)) > 0) {
		if (hidden(o, found.name))
			continue;
		got = add_found(o, source, &found, list);
		if (got < 0)
			break;
		if (got)
			status = STATUS_FAILED;
	}
	if (got < 0) {
		complain(source->tree->fs, got, "%s", source->dir_shown);
		status = STATUS_FAILED;
	}
	return status;
}

int ls_add_word(const struct ls_options *o, const struct place *place, const struct stat *st,
		struct listing *list)
{
	struct ls_entry *e = listing_add(o, list, place->word);
	int err = -ENOMEM;

	if (e) {
		e->st = *st;
		err = complete_entry(o, place->tree, &place->tree->root, place->path, place->path,
				     e, list);
	}
	if (err)
		complain(place->tree->fs, err, "%s", place->word);
	return err ? STATUS_FAILED : STATUS_OK;
}

/* ---- order ------------------------------------------------------------------------------ */

static int by_name(const struct ls_entry *a, const struct ls_entry *b)
{
	int order = strcoll(a->name, b->name);

	return order ? order : strcmp(a->name, b->name);
}

static int by_time(const struct ls_entry *a, const struct ls_entry *b)
{
	const struct timespec *s = &a->st.st_mtim, *t = &b->st.st_mtim;

	if (s->tv_sec != t->tv_sec)
		return s->tv_sec < t->tv_sec ? 1 : -1;
	if (s->tv_nsec != t->tv_nsec)
		return s->tv_nsec < t->tv_nsec ? 1 : -1;
	return by_name(a, b);
}

static int by_size(const struct ls_entry *a, const struct ls_entry *b)
{
	if (a->st.st_size != b->st.st_size)
		return a->st.st_size < b->st.st_size ? 1 : -1;
	return by_name(a, b);
}

static int compare(const void *a, const void *b, void *arg)
{
	static int (*const orders[])(const struct ls_entry *, const struct ls_entry *) = {
	    [LS_BY_NAME] = by_name, [LS_BY_TIME] = by_time, [LS_BY_SIZE] = by_size};
	const struct ls_options *o = arg;
	int order = orders[o->sort](a, b);

	return o->reverse ? -order : order;
}

void ls_sort(const struct ls_options *o, struct listing *list)
{
	if (list->n)
		qsort_r(list->entries, list->n, sizeof(*list->entries), compare, (void *)o);
}
