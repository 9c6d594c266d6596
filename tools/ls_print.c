/* SPDX-License-Identifier: BSD-2-Clause */
/* Long lines, plain lines and columns, byte for byte as coreutils' ls prints them. */
#include "ls.h"
#include "text.h"
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

enum { ID_SIZE = 64 };

struct widths {
	int links, owner, group, major, minor, size;
};

/* ---- owners ----------------------------------------------------------------------------- */

/* The last answer is remembered: most entries of a tree have one owner. */
struct id_name {
	bool known, named;
	unsigned long id;
	char name[ID_SIZE];
};
static struct id_name last_user, last_group;

static const struct id_name *look_up(struct id_name *last, unsigned long id, bool group)
{
	const char *name = NULL;

	if (last->known && last->id == id)
		return last;
	if (group) {
		struct group *g = getgrgid((gid_t)id);

		name = g ? g->gr_name : NULL;
	} else {
		struct passwd *p = getpwuid((uid_t)id);

		name = p ? p->pw_name : NULL;
	}
	last->known = true;
	last->named = name != NULL;
	last->id = id;
	if (name)
		snprintf(last->name, sizeof(last->name), "%s", name);
	else
		snprintf(last->name, sizeof(last->name), "%lu", id);
	return last;
}

static int id_width(const struct ls_options *o, struct id_name *last, unsigned long id, bool group)
{
	return o->numeric ? snprintf(NULL, 0, "%lu", id)
			  : (int)text_width(look_up(last, id, group)->name);
}

/* Names stand left, numbers right. */
static void print_id(const struct ls_options *o, struct id_name *last, unsigned long id, bool group,
		     int width)
{
	const struct id_name *found = o->numeric ? NULL : look_up(last, id, group);

	if (found && found->named)
		printf("%s%*s", found->name, width - (int)text_width(found->name) + 1, "");
	else
		printf("%*lu ", width, id);
}

/* ---- long lines ------------------------------------------------------------------------- */

static char type_letter(unsigned char type)
{
	switch (type) {
	case DT_REG:
		return '-';
	case DT_DIR:
		return 'd';
	case DT_LNK:
		return 'l';
	case DT_CHR:
		return 'c';
	case DT_BLK:
		return 'b';
	case DT_FIFO:
		return 'p';
	case DT_SOCK:
		return 's';
	default:
		return '?';
	}
}

static void mode_string(mode_t m, char s[static 11])
{
	s[0] = type_letter(IFTODT(m));
	for (int i = 0; i < 9; i++)
		s[1 + i] = m & (0400 >> i) ? "rwxrwxrwx"[i] : '-';
	if (m & S_ISUID)
		s[3] = m & S_IXUSR ? 's' : 'S';
	if (m & S_ISGID)
		s[6] = m & S_IXGRP ? 's' : 'S';
	if (m & S_ISVTX)
		s[9] = m & S_IXOTH ? 't' : 'T';
	s[10] = '\0';
}

static bool before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* The hour for the last half year, the year for what is older or lies ahead. */
static void print_time(const struct ls_options *o, const struct timespec *when)
{
	enum { HALF_A_YEAR = 31556952 / 2 };
	struct timespec half_a_year_ago = {o->now.tv_sec - HALF_A_YEAR, o->now.tv_nsec};
	bool recent = before(&half_a_year_ago, when) && !before(&o->now, when);
	char text[64];
	struct tm tm;

	if (localtime_r(&when->tv_sec, &tm) &&
	    strftime(text, sizeof(text), recent ? "%b %e %H:%M" : "%b %e  %Y", &tm))
		printf("%s ", text);
	else
		printf("%*jd ", 12, (intmax_t)when->tv_sec);
}

static bool is_device(const struct ls_entry *e)
{
	return S_ISCHR(e->st.st_mode) || S_ISBLK(e->st.st_mode);
}

static const char *size_text(const struct ls_options *o, uint64_t size, char buf[static TEXT_SIZE])
{
	if (o->human)
		return text_human(size, buf);
	snprintf(buf, TEXT_SIZE, "%ju", (uintmax_t)size);
	return buf;
}

static void widen(int *width, int needed)
{
	if (needed > *width)
		*width = needed;
}

static void measure(const struct ls_options *o, const struct ls_entry *e, struct widths *w)
{
	char buf[TEXT_SIZE];

	if (!e->has_stat) {
		widen(&w->links, 1);
		widen(&w->owner, 1);
		widen(&w->group, 1);
		widen(&w->size, 1);
		return;
	}
	widen(&w->links, snprintf(NULL, 0, "%ju", (uintmax_t)e->st.st_nlink));
	widen(&w->owner, id_width(o, &last_user, e->st.st_uid, false));
	widen(&w->group, id_width(o, &last_group, e->st.st_gid, true));
	if (is_device(e)) {
		widen(&w->major, snprintf(NULL, 0, "%u", major(e->st.st_rdev)));
		widen(&w->minor, snprintf(NULL, 0, "%u", minor(e->st.st_rdev)));
		widen(&w->size, w->major + 2 + w->minor);
	} else {
		widen(&w->size, (int)strlen(size_text(o, (uint64_t)e->st.st_size, buf)));
	}
}

static void print_size(const struct ls_options *o, const struct ls_entry *e, const struct widths *w)
{
	char buf[TEXT_SIZE];
	int spare = w->size - (w->major + 2 + w->minor);

	if (is_device(e))
		printf("%*u, %*u ", w->major + (spare > 0 ? spare : 0), major(e->st.st_rdev),
		       w->minor, minor(e->st.st_rdev));
	else
		printf("%*s ", w->size, size_text(o, (uint64_t)e->st.st_size, buf));
}

static void print_name(const struct ls_options *o, const struct ls_entry *e)
{
	if (o->color)
		ls_color_print(e, e->shown);
	else
		fputs(e->shown, stdout);
}

static void print_long(const struct ls_options *o, const struct ls_entry *e, const struct widths *w,
		       bool any_acl)
{
	char mode[11];

	if (!e->has_stat) {
		printf("%c?????????%s %*s %-*s %-*s %*s            ? ", type_letter(e->type),
		       any_acl ? " " : "", w->links, "?", w->owner, "?", w->group, "?", w->size,
		       "?");
		print_name(o, e);
		putchar('\n');
		return;
	}
	mode_string(e->st.st_mode, mode);
	printf("%s%s %*ju ", mode,
	       !any_acl     ? ""
	       : e->has_acl ? "+"
			    : " ",
	       w->links, (uintmax_t)e->st.st_nlink);
	print_id(o, &last_user, e->st.st_uid, false, w->owner);
	print_id(o, &last_group, e->st.st_gid, true, w->group);
	print_size(o, e, w);
	print_time(o, &e->st.st_mtim);
	print_name(o, e);
	if (e->target_shown) {
		fputs(" -> ", stdout);
		if (o->color)
			ls_color_print_target(e, e->target_shown);
		else
			fputs(e->target_shown, stdout);
	}
	putchar('\n');
}

static void print_long_lines(const struct ls_options *o, const struct listing *list,
			     const struct listing *measured)
{
	struct widths w = {0};

	for (size_t i = 0; i < list->n; i++)
		measure(o, &list->entries[i], &w);
	for (size_t i = 0; measured && i < measured->n; i++)
		measure(o, &measured->entries[i], &w);
	for (size_t i = 0; i < list->n; i++)
		print_long(o, &list->entries[i], &w, list->any_acl);
}

/* ---- columns ---------------------------------------------------------------------------- */

enum { GAP = 2 };

/* Does the list fit in that many columns? widths: of each, with the gap behind it. */
static bool columns_fit(const struct listing *list, const size_t *names, size_t columns,
			size_t limit, size_t *widths)
{
	size_t rows = (list->n + columns - 1) / columns, total = 0;

	for (size_t c = 0; c < columns; c++) {
		size_t widest = 0;

		for (size_t i = c * rows; i < (c + 1) * rows && i < list->n; i++) {
			size_t width = names[i] + (c == columns - 1 ? 0 : GAP);

			widest = width > widest ? width : widest;
		}
		widths[c] = widest;
		total += widest;
		if (total >= limit)
			return false;
	}
	return true;
}

/* The most columns that fit; each takes at least one character and the gap. */
static size_t choose_columns(const struct ls_options *o, const struct listing *list,
			     const size_t *names, size_t *widths)
{
	size_t columns = o->width / (1 + GAP);

	if (columns > list->n)
		columns = list->n;
	while (columns > 1 && !columns_fit(list, names, columns, o->width, widths))
		columns--;
	return columns ? columns : 1;
}

static void print_columns(const struct ls_options *o, const struct listing *list)
{
	size_t *names = calloc(list->n * 2 + 1, sizeof(*names)), *widths = names + list->n;
	size_t columns, rows;

	if (!names || !list->n) {
		free(names);
		return;
	}
	for (size_t i = 0; i < list->n; i++)
		names[i] = text_width(list->entries[i].shown);
	columns = choose_columns(o, list, names, widths);
	rows = (list->n + columns - 1) / columns;
	for (size_t row = 0; row < rows; row++) {
		for (size_t i = row, c = 0; i < list->n; i += rows, c++) {
			print_name(o, &list->entries[i]);
			if (i + rows < list->n)
				printf("%*s", (int)(widths[c] - names[i]), "");
		}
		putchar('\n');
	}
	free(names);
}

/* ---- the calls -------------------------------------------------------------------------- */

void ls_print_header(const struct ls_options *o, const char *shown)
{
	char *escaped = o->escape ? text_escape(shown, false) : NULL;

	printf("%s:\n", escaped ? escaped : shown);
	free(escaped);
}

void ls_print_total(const struct ls_options *o, const struct listing *list)
{
	uint64_t blocks = 0;
	char buf[TEXT_SIZE];

	for (size_t i = 0; i < list->n; i++)
		if (list->entries[i].has_stat)
			blocks += (uint64_t)list->entries[i].st.st_blocks;
	printf("total %s\n", size_text(o, o->human ? blocks * 512 : (blocks + 1) / 2, buf));
}

void ls_print(const struct ls_options *o, const struct listing *list,
	      const struct listing *measured)
{
	if (o->format == LS_LONG) {
		print_long_lines(o, list, measured);
	} else if (o->format == LS_COLUMNS) {
		print_columns(o, list);
	} else {
		for (size_t i = 0; i < list->n; i++) {
			print_name(o, &list->entries[i]);
			putchar('\n');
		}
	}
}
