/* SPDX-License-Identifier: BSD-2-Clause */
/* Which colour a name has: the defaults of coreutils' ls, changed by $LS_COLORS. */
#include "ls.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum kind {
	FILE_,
	DIR_,
	LINK,
	FIFO,
	SOCK,
	BLK,
	CHR,
	ORPHAN,
	MISSING,
	EXEC,
	SUID,
	SGID,
	OW,
	TW,
	STICKY,
	N_KINDS
};

static struct {
	const char name[3];
	const char *code;
} kinds[N_KINDS] = {
    [FILE_] = {"fi", ""},     [DIR_] = {"di", "01;34"}, [LINK] = {"ln", "01;36"},
    [FIFO] = {"pi", "33"},    [SOCK] = {"so", "01;35"}, [BLK] = {"bd", "01;33"},
    [CHR] = {"cd", "01;33"},  [ORPHAN] = {"or", ""},    [MISSING] = {"mi", ""},
    [EXEC] = {"ex", "01;32"}, [SUID] = {"su", "37;41"}, [SGID] = {"sg", "30;43"},
    [OW] = {"ow", "34;42"},   [TW] = {"tw", "30;42"},   [STICKY] = {"st", "37;44"},
};

struct suffix {
	char *ending; /* without the star */
	char *code;
};
static struct suffix *suffixes;
static size_t n_suffixes;
static bool begun;

static void set_kind(const char *key, char *code)
{
	for (size_t i = 0; i < N_KINDS; i++)
		if (!strcmp(kinds[i].name, key))
			kinds[i].code = code;
}

static void set_color(char *pair)
{
	char *code = strchr(pair, '=');
	struct suffix *more;

	if (!code)
		return;
	*code++ = '\0';
	/* A code is written to the terminal: only what colours are made of. */
	if (code[strspn(code, "0123456789;")])
		return;
	if (pair[0] != '*') {
		set_kind(pair, code);
		return;
	}
	more = reallocarray(suffixes, n_suffixes + 1, sizeof(*suffixes));
	if (!more)
		return;
	suffixes = more;
	suffixes[n_suffixes++] = (struct suffix){pair + 1, code};
}

void ls_color_init(void)
{
	const char *env = getenv("LS_COLORS");
	char *text = env ? strdup(env) : NULL; /* kept: the tables point into it */

	for (char *pair = text ? strtok(text, ":") : NULL; pair; pair = strtok(NULL, ":"))
		set_color(pair);
}

/* "0" and "00" say no colour, as nothing does. */
static bool has_color(enum kind kind)
{
	const char *code = kinds[kind].code;

	return *code && strcmp(code, "0") && strcmp(code, "00");
}

bool ls_color_wants_targets(void)
{
	return has_color(ORPHAN) || has_color(MISSING);
}

static enum kind directory_kind(mode_t mode)
{
	if ((mode & S_ISVTX) && (mode & S_IWOTH) && has_color(TW))
		return TW;
	if ((mode & S_IWOTH) && has_color(OW))
		return OW;
	return (mode & S_ISVTX) && has_color(STICKY) ? STICKY : DIR_;
}

static enum kind mode_kind(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return directory_kind(mode);
	case S_IFLNK:
		return LINK;
	case S_IFIFO:
		return FIFO;
	case S_IFSOCK:
		return SOCK;
	case S_IFBLK:
		return BLK;
	case S_IFCHR:
		return CHR;
	}
	if ((mode & S_ISUID) && has_color(SUID))
		return SUID;
	if ((mode & S_ISGID) && has_color(SGID))
		return SGID;
	return (mode & 0111) && has_color(EXEC) ? EXEC : FILE_;
}

static const char *suffix_code(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = n_suffixes; i-- > 0;) {
		size_t tail = strlen(suffixes[i].ending);

		if (tail <= length && !strcasecmp(name + length - tail, suffixes[i].ending))
			return suffixes[i].code;
	}
	return kinds[FILE_].code;
}

static void print(const char *code, const char *text)
{
	if (!*code) {
		fputs(text, stdout);
		return;
	}
	if (!begun)
		fputs("\033[0m", stdout);
	begun = true;
	printf("\033[%sm%s\033[0m", code, text);
}

static const char *code_of(mode_t mode, const char *name)
{
	enum kind kind = mode_kind(mode);

	return kind == FILE_ ? suffix_code(name) : kinds[kind].code;
}

void ls_color_print(const struct ls_entry *e, const char *text)
{
	mode_t mode = e->has_stat ? e->st.st_mode : DTTOIF(e->type);

	if (S_ISLNK(mode) && !e->target_mode && has_color(ORPHAN))
		print(kinds[ORPHAN].code, text);
	else
		print(code_of(mode, e->name), text);
}

void ls_color_print_target(const struct ls_entry *e, const char *text)
{
	if (e->target_mode)
		print(code_of(e->target_mode, e->target), text);
	else
		print(kinds[has_color(MISSING) ? MISSING : ORPHAN].code, text);
}
