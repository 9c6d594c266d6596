/* SPDX-License-Identifier: BSD-2-Clause */
#include "command.h"
#include "json.h"
#include "report.h"
#include <errno.h>
#include <string.h>

enum { OPTION_JSON = 256 };

static bool as_json;

static const struct option long_options[] = {
    {"json", no_argument, NULL, OPTION_JSON},
    {0},
};

static int set_option(int opt, const char *arg)
{
	as_json |= opt == OPTION_JSON;
	return 0;
}

static void print_pair(void *ctx, const char *key, const char *value)
{
	printf("%s: %s\n", key, value);
}

/* ---- JSON ------------------------------------------------------------------------------- */

/* A whole number that every JSON reader holds exactly; others stay strings. */
static bool is_number(const char *text)
{
	enum { EXACT_DIGITS = 15 };
	size_t digits;

	text += *text == '-';
	digits = strspn(text, "0123456789");
	return digits && digits <= EXACT_DIGITS && !text[digits] && (digits == 1 || *text != '0');
}

static void print_member(void *ctx, const char *key, const char *value)
{
	bool *first = ctx;

	printf("%s", *first ? "" : ", ");
	*first = false;
	json_string(key);
	printf(": ");
	if (is_number(value))
		printf("%s", value);
	else
		json_string(value);
}

static int print_object(struct pf_fs *fs)
{
	bool first = true;
	int err;

	putchar('{');
	err = pf_info(fs, print_member, &first);
	printf("}\n");
	return err;
}

/* One server, one object on a line; several servers, several lines. */
static int run(struct session *session, char **words, size_t n)
{
	for (size_t i = 0; i < session->n_servers; i++) {
		struct pf_fs *fs = session->servers[i].tree.fs;
		int err;

		if (i && !as_json)
			putchar('\n');
		err = as_json ? print_object(fs) : pf_info(fs, print_pair, NULL);
		if (err) {
			complain(true, err, "%s", session->servers[i].argv[0]);
			return STATUS_FAILED;
		}
	}
	return STATUS_OK;
}

const struct command command_info = {
    .name = "info",
    .summary = "Print what was negotiated with a server",
    .usage = "[OPTION]... [ SERVER ARG... ]...",
    .help = "      --json                 as JSON: an object a server, each on a line\n",
    .short_options = "",
    .long_options = long_options,
    .min_servers = 1,
    .option = set_option,
    .run = run,
};
