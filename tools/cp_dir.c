/* SPDX-License-Identifier: BSD-2-Clause */
#include "cp.h"
#include "interrupt.h"
#include "report.h"
#include "text.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_bool failed;

void cp_failed(void)
{
	atomic_store(&failed, true);
}

bool cp_has_failed(void)
{
	return atomic_load(&failed);
}

/* ---- what is said ----------------------------------------------------------------------- */

static const char *join(char buf[static PATH_MAX], const struct cp_dir *dir, const char *shown,
			const char *name)
{
	if (dir->frame)
		return shown;
	snprintf(buf, PATH_MAX, "%s/%s", shown, name);
	return buf;
}

const char *cp_src_shown(const struct cp_item *item)
{
	static _Thread_local char buf[PATH_MAX];

	return join(buf, item->dir, item->dir->src_shown, item->src_name);
}

const char *cp_dst_shown(const struct cp_item *item)
{
	static _Thread_local char buf[PATH_MAX];

	return join(buf, item->dir, item->dir->dst_shown, item->dst_name);
}

void cp_complain_src(const struct cp_item *item, int err, const char *what)
{
	cp_failed();
	complain(item->dir->src_tree->fs, err, "%s%s%s", cp_src_shown(item), what ? ": " : "",
		 what ? what : "");
}

void cp_complain_dst(const struct cp_item *item, int err, const char *what)
{
	cp_failed();
	complain(item->dir->dst_tree->fs, err, "%s%s%s", cp_dst_shown(item), what ? ": " : "",
		 what ? what : "");
}

void cp_refuse(const struct cp_item *item, const char *format)
{
	char *text;

	cp_failed();
	if (asprintf(&text, format, cp_src_shown(item), cp_dst_shown(item)) < 0)
		return;
	complain_plain("%s", text);
	free(text);
}

void cp_say_copied(const struct cp_item *item)
{
	char *src, *dst;

	if (!cp_options.verbose)
		return;
	src = text_escape(cp_src_shown(item), false);
	dst = text_escape(cp_dst_shown(item), false);
	terminal_take();
	printf("'%s' -> '%s'\n", src ? src : "", dst ? dst : "");
	if (isatty(STDOUT_FILENO))
		fflush(stdout);
	terminal_give();
	free(src);
	free(dst);
}

/* ---- life ------------------------------------------------------------------------------- */

struct cp_dir *cp_dir_new_frame(const struct tree *src_tree, const struct file *src,
				const char *src_shown, const struct tree *dst_tree,
				const struct file *dst, const char *dst_shown)
{
	struct cp_dir *dir = calloc(1, sizeof(*dir));

	if (!dir)
		return NULL;
	*dir = (struct cp_dir){.refs = 1, .src = *src, .dst = *dst, .frame = true};
	dir->src_tree = src_tree;
	dir->dst_tree = dst_tree;
	dir->src_shown = strdup(src_shown);
	dir->dst_shown = strdup(dst_shown);
	dir->dst_path = strdup("");
	if (dir->src_shown && dir->dst_shown && dir->dst_path)
		return dir;
	cp_dir_put(dir);
	return NULL;
}

struct cp_dir *cp_dir_get(struct cp_dir *dir)
{
	atomic_fetch_add(&dir->refs, 1);
	return dir;
}

/* A new directory got all rights for its owner until it was filled: take back what it lacks. */
static int settle_mode(struct cp_dir *dir)
{
	mode_t owner = dir->st.st_mode & 0700 & ~cp_options.umask;
	struct stat now;
	int err;

	if (!dir->created || owner == 0700)
		return 0;
	err = file_fstat(&dir->dst, &now);
	return err ? err : file_fchmod(&dir->dst, (now.st_mode & 07077) | owner);
}

static void settle(struct cp_dir *dir)
{
	int err = cp_options.preserve ? cp_preserve_open(&dir->src, &dir->dst, &dir->st)
				      : settle_mode(dir);

	if (!err)
		return;
	cp_failed();
	complain(dir->dst_tree->fs, err, "%s: cannot keep attributes", dir->dst_shown);
}

void cp_dir_put(struct cp_dir *dir)
{
	while (dir && atomic_fetch_sub(&dir->refs, 1) == 1) {
		struct cp_dir *up = dir->up;

		if (dir->open && !interrupted())
			settle(dir);
		if (!dir->frame) {
			file_close(&dir->src);
			file_close(&dir->dst);
		}
		free(dir->src_shown);
		free(dir->dst_shown);
		free(dir->dst_path);
		free(dir);
		dir = up;
	}
}
