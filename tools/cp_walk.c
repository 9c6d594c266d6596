/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk over the sources, in one thread. Directories, links and special files are made here;
 * regular files go to the pool, except those with several names when these are kept: the second
 * name needs the first one copied.
 */
#include "cp.h"
#include "interrupt.h"
#include "report.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void copy_entry(struct cp_item *item, const struct stat *known);

/* ---- hard links ------------------------------------------------------------------------- */

/* The first copy of a file with several names. */
struct first_copy {
	struct first_copy *next;
	const struct tree *tree;
	dev_t dev;
	ino_t ino;
	struct cp_dir *frame; /* a reference; path starts at its dst */
	char *path;
};
enum { BUCKETS = 4096 };
static struct first_copy *first_copies[BUCKETS];

static struct first_copy **bucket_of(const struct stat *st)
{
	return &first_copies[(st->st_ino * 0x9e3779b97f4a7c15u) >> 52];
}

static const struct first_copy *find_first_copy(const struct cp_item *item)
{
	const struct first_copy *f = *bucket_of(&item->st);

	while (f && !(f->ino == item->st.st_ino && f->dev == item->st.st_dev &&
		      f->tree == item->dir->src_tree && f->frame->dst_tree == item->dir->dst_tree))
		f = f->next;
	return f;
}

static char *path_below(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0 ? NULL : path;
}

/* Not remembered for want of memory, further names become copies. */
static void remember_copy(const struct cp_item *item)
{
	struct first_copy *f = calloc(1, sizeof(*f)), **bucket = bucket_of(&item->st);
	struct cp_dir *frame = item->dir;

	if (!f)
		return;
	while (!frame->frame)
		frame = frame->up;
	*f = (struct first_copy){
	    *bucket,         item->dir->src_tree, item->st.st_dev,
	    item->st.st_ino, cp_dir_get(frame),   path_below(item->dir->dst_path, item->dst_name)};
	*bucket = f;
}

void cp_walk_finish(void)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (first_copies[i]) {
			struct first_copy *f = first_copies[i];

			first_copies[i] = f->next;
			cp_dir_put(f->frame);
			free(f->path);
			free(f);
		}
	}
}

/* Where the target cannot have links, a copy of its own is the next best thing. */
static bool copy_instead_of_link(int err)
{
	return err == -EMLINK || err == -EPERM || err == -EOPNOTSUPP || err == -ENOSYS ||
	       err == -EXDEV || err == -ENAMETOOLONG;
}

/* ---- names that are not regular files --------------------------------------------------- */

/* Call make; where the name is taken by something that is no directory, once more without that. */
static int make_name(const struct cp_item *item, int (*make)(const struct cp_item *, const void *),
		     const void *arg)
{
	int err = make(item, arg);

	if (err != -EEXIST)
		return err;
	err = file_unlinkat(&item->dir->dst, item->dst_name, 0);
	return err ? err : make(item, arg);
}

static int make_link(const struct cp_item *item, const void *arg)
{
	const struct first_copy *f = arg;

	return file_linkat(&f->frame->dst, f->path, &item->dir->dst, item->dst_name);
}

static int make_symlink(const struct cp_item *item, const void *target)
{
	return file_symlinkat(target, &item->dir->dst, item->dst_name);
}

static int make_special(const struct cp_item *item, const void *arg)
{
	return file_mknodat(&item->dir->dst, item->dst_name, item->st.st_mode, item->st.st_rdev);
}

static void finish_name(const struct cp_item *item, int err)
{
	if (!err && cp_options.preserve)
		err = cp_preserve_name(&item->dir->dst, item->dst_name, &item->st);
	if (err)
		cp_complain_dst(item, err, NULL);
	else
		cp_say_copied(item);
}

static void copy_symlink(const struct cp_item *item)
{
	char target[PATH_MAX];
	ssize_t n;

	n = file_readlinkat(&item->dir->src, item->src_name, target, sizeof(target) - 1);
	if (n < 0) {
		cp_complain_src(item, (int)n, NULL);
		return;
	}
	target[n] = '\0';
	finish_name(item, make_name(item, make_symlink, target));
}

/* ---- regular files ---------------------------------------------------------------------- */

static void copy_now(const struct cp_item *item)
{
	if (!cp_copy_file(item) && cp_options.preserve_links && item->st.st_nlink > 1)
		remember_copy(item);
}

static void link_or_copy(const struct cp_item *item)
{
	const struct first_copy *f = find_first_copy(item);
	int err = f && f->path ? make_name(item, make_link, f) : -EXDEV;

	if (copy_instead_of_link(err))
		copy_now(item);
	else if (err)
		cp_complain_dst(item, err, "cannot link");
}

/* The item goes to the pool with a reference on its directory. */
static void copy_later(struct cp_item *item)
{
	cp_dir_get(item->dir);
	cp_pool_submit(item);
	item->src_name = item->dst_name = NULL;
}

static void copy_regular(struct cp_item *item)
{
	cp_say_copied(item);
	if (cp_options.preserve_links && item->st.st_nlink > 1)
		link_or_copy(item);
	else
		copy_later(item);
}

/* ---- directories ------------------------------------------------------------------------ */

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is the source the directory that gets the target, or one above that? */
static bool is_above(const struct cp_item *item)
{
	struct file at = FILE_NONE, up;
	struct stat st, last = {0};
	bool found = false;

	if (item->dir->src_tree != item->dir->dst_tree)
		return false;
	if (file_openat(&item->dir->dst, ".", O_PATH | O_DIRECTORY, 0, &at))
		return false;
	while (!found && !file_fstat(&at, &st) && !same(&st, &last)) {
		found = same(&st, &item->st);
		last = st;
		if (file_openat(&at, "..", O_PATH | O_DIRECTORY, 0, &up))
			break;
		file_close(&at);
		at = up;
	}
	file_close(&at);
	return found;
}

static bool loops(const struct cp_item *item)
{
	for (const struct cp_dir *d = item->dir; d && !d->frame; d = d->up)
		if (same(&d->st, &item->st))
			return true;
	return false;
}

/* Make the target, or find it there. */
static int make_directory(const struct cp_item *item, struct cp_dir *dir)
{
	int nofollow = item->dir->frame ? 0 : O_NOFOLLOW;
	mode_t mode = item->st.st_mode & (cp_options.preserve ? 0700 : 0777);
	int err = file_mkdirat(&item->dir->dst, item->dst_name, mode | 0700);

	dir->created = !err;
	if (err && err != -EEXIST)
		return err;
	return file_openat(&item->dir->dst, item->dst_name, O_RDONLY | O_DIRECTORY | nofollow, 0,
			   &dir->dst);
}

/* -errno of a side that has been complained about; dir is then to be put all the same. */
static int open_directory(const struct cp_item *item, struct cp_dir *dir)
{
	int nofollow = cp_options.follow == CP_FOLLOW_ALWAYS || item->dir->frame ? 0 : O_NOFOLLOW;
	int err = file_openat(&item->dir->src, item->src_name, O_RDONLY | O_DIRECTORY | nofollow, 0,
			      &dir->src);

	if (err) {
		cp_complain_src(item, err, NULL);
		return err;
	}
	err = make_directory(item, dir);
	if (err == -ENOTDIR || err == -ELOOP)
		cp_refuse(item, "cannot overwrite non-directory '%2$s' with directory '%1$s'");
	else if (err)
		cp_complain_dst(item, err, NULL);
	dir->open = !err;
	return err;
}

static struct cp_dir *new_directory(const struct cp_item *item)
{
	struct cp_dir *dir = calloc(1, sizeof(*dir));

	if (!dir)
		return NULL;
	*dir = (struct cp_dir){.refs = 1, .src = FILE_NONE, .dst = FILE_NONE, .st = item->st};
	dir->src_tree = item->dir->src_tree;
	dir->dst_tree = item->dir->dst_tree;
	dir->src_shown = strdup(cp_src_shown(item));
	dir->dst_shown = strdup(cp_dst_shown(item));
	dir->dst_path = path_below(item->dir->dst_path, item->dst_name);
	dir->up = cp_dir_get(item->dir);
	dir->depth = item->dir->depth + 1;
	if (dir->src_shown && dir->dst_shown && dir->dst_path)
		return dir;
	cp_dir_put(dir);
	return NULL;
}

static void complain_entry(const struct cp_dir *dir, int err)
{
	cp_failed();
	complain(dir->src_tree->fs, err, "%s", dir->src_shown);
}

static void copy_found(struct cp_dir *dir, const struct file_entry *found)
{
	struct cp_item item = {.dir = dir};
	struct stat st;

	if (!strcmp(found->name, ".") || !strcmp(found->name, ".."))
		return;
	item.src_name = strdup(found->name);
	item.dst_name = strdup(found->name);
	if (found->st)
		st = *found->st;
	if (!item.src_name || !item.dst_name)
		complain_entry(dir, -ENOMEM);
	else if (strchr(item.src_name, '/'))
		cp_refuse(&item, "a name with a slash in it: '%s'");
	else
		copy_entry(&item, found->st ? &st : NULL);
	free(item.src_name);
	free(item.dst_name);
}

static void copy_entries(struct cp_dir *dir)
{
	struct file_entry found;
	int got = 0;

	while (!interrupted() && (got = file_readdir(&dir->src, &found)) > 0)
		copy_found(dir, &found);
	if (got < 0)
		complain_entry(dir, got);
}

static void copy_directory(const struct cp_item *item)
{
	struct cp_dir *dir;

	if (item->dir->frame && is_above(item)) {
		cp_refuse(item, "cannot copy a directory, '%s', into itself, '%s'");
		return;
	}
	if (loops(item)) {
		cp_refuse(item, "the directory '%s' is inside itself");
		return;
	}
	if (item->dir->depth >= CP_DEPTH_MAX) { /* a server can go on for ever, our stack cannot */
		cp_refuse(item, "the directory '%s' is too deep");
		return;
	}
	dir = new_directory(item);
	if (!dir) {
		cp_complain_src(item, -ENOMEM, NULL);
		return;
	}
	if (!open_directory(item, dir)) {
		if (dir->created)
			cp_say_copied(item);
		copy_entries(dir);
	}
	cp_dir_put(dir);
}

/* ---- one entry -------------------------------------------------------------------------- */

static bool follows(const struct cp_item *item)
{
	return cp_options.follow == CP_FOLLOW_ALWAYS ||
	       (cp_options.follow == CP_FOLLOW_WORDS && item->dir->frame);
}

static bool target_exists(const struct cp_item *item)
{
	struct stat st;

	return !file_fstatat(&item->dir->dst, item->dst_name, &st, AT_SYMLINK_NOFOLLOW);
}

static void copy_by_type(struct cp_item *item)
{
	mode_t type = item->st.st_mode & S_IFMT;

	if (type == S_IFDIR && !cp_options.recursive)
		cp_refuse(item, "-r not specified; omitting directory '%s'");
	else if (type == S_IFDIR)
		copy_directory(item);
	else if (cp_options.no_clobber && target_exists(item))
		return;
	else if (type == S_IFLNK)
		copy_symlink(item);
	else if (type == S_IFREG)
		copy_regular(item);
	else if (cp_options.recursive)
		finish_name(item, make_name(item, make_special, NULL));
	else
		copy_now(item);
}

/* Takes the item's strings where it needs them longer. known: from the directory, may be NULL. */
static void copy_entry(struct cp_item *item, const struct stat *known)
{
	int err = 0;

	if (known && !(follows(item) && S_ISLNK(known->st_mode)))
		item->st = *known;
	else
		err = file_fstatat(&item->dir->src, item->src_name, &item->st,
				   follows(item) ? 0 : AT_SYMLINK_NOFOLLOW);
	if (err)
		cp_complain_src(item, err, NULL);
	else
		copy_by_type(item);
}

void cp_walk_word(struct cp_dir *frame, const char *src_name, const char *dst_name)
{
	struct cp_item item = {frame, strdup(src_name), strdup(dst_name)};

	if (item.src_name && item.dst_name)
		copy_entry(&item, NULL);
	else
		cp_complain_src(&item, -ENOMEM, NULL);
	free(item.src_name);
	free(item.dst_name);
}
