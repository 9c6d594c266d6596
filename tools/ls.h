/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of "portfire ls": ls_scan.c fills a listing, ls_print.c writes it, ls_color.c knows
 * LS_COLORS. Output follows coreutils' ls.
 */
#ifndef TOOLS_LS_H
#define TOOLS_LS_H

#include "session.h"
#include <time.h>

enum ls_format { LS_UNSET, LS_LINES, LS_COLUMNS, LS_LONG };
enum ls_sort { LS_BY_NAME, LS_BY_TIME, LS_BY_SIZE };

struct ls_options {
	enum ls_format format;
	enum ls_sort sort;
	bool all, almost_all; /* -a, -A */
	bool recursive, human, directory_itself, reverse, numeric;
	bool color, color_targets;
	bool escape;  /* names go to a terminal */
	size_t width; /* columns of it */
	struct timespec now;
};

struct ls_entry {
	char *name;   /* as it is */
	char *shown;  /* as it is printed */
	char *target; /* of a symbolic link, NULL: not asked for */
	char *target_shown;
	mode_t target_mode; /* 0: a link to nothing, or not asked for */
	bool has_stat;
	bool has_acl;
	unsigned char type; /* DT_* */
	struct stat st;
};

struct listing {
	struct ls_entry *entries;
	size_t n, allocated;
	bool any_acl;
};

/* ---- ls_scan.c: all say what goes wrong themselves -------------------------------------- */

/*
 * Add one name to the listing, with the attributes that the options need.
 * dir and name for *at calls, path (whole, in the tree) for the ACL, shown for messages and lists.
 */
struct ls_source {
	struct tree *tree;
	const struct file *dir;
	const char *dir_path;  /* in the tree */
	const char *dir_shown; /* in messages */
};
/* All entries of an open directory. STATUS_OK or STATUS_FAILED. */
int ls_scan_directory(const struct ls_options *o, const struct ls_source *source, struct file *dir,
		      struct listing *list);
/* One word of the command line; st is known. */
int ls_add_word(const struct ls_options *o, const struct place *place, const struct stat *st,
		struct listing *list);
void ls_sort(const struct ls_options *o, struct listing *list);
void listing_free(struct listing *list);

/* ---- ls_print.c ------------------------------------------------------------------------- */

/* measured: further entries that the columns of long lines are as wide as, NULL: none. */
void ls_print(const struct ls_options *o, const struct listing *list,
	      const struct listing *measured);
void ls_print_total(const struct ls_options *o, const struct listing *list);
void ls_print_header(const struct ls_options *o, const char *shown);

/* ---- ls_color.c ------------------------------------------------------------------------- */

void ls_color_init(void);
/* Are links told apart by whether they lead anywhere? That costs a stat a link. */
bool ls_color_wants_targets(void);
/* Print text in the colour of an entry, or of what its link points to. */
void ls_color_print(const struct ls_entry *e, const char *text);
void ls_color_print_target(const struct ls_entry *e, const char *text);

#endif
