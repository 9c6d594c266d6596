/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A subcommand of portfire is one constant descriptor; main.c does for all of them what they have
 * in common: brackets, options that every command has, help, the servers' start and end.
 */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

#include "session.h"
#include <getopt.h>

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

/* Values of long options from here on belong to main.c. */
enum { COMMON_OPTION = 0x1000 };

/*
 * The data cache of who reads or writes each byte once: enough to read ahead and to write behind.
 * More would only cost the pages, which is dear: memory that is new costs more than the copy.
 */
#define ONE_PASS_CACHE (64ull << 20)

struct command {
	const char *name;
	const char *summary; /* one line, for the list of commands */
	const char *usage;   /* what follows "portfire NAME" in the first line of help */
	const char *help;    /* the lines on its own options; NULL: it has none */

	const char *short_options;         /* as getopt(3); "" for none */
	const struct option *long_options; /* ends with a zero entry; NULL: none */
	uint64_t cache_bytes;              /* without --cache-size; 0: as the library has it */
	size_t min_servers;                /* fewer is a usage error */
	size_t max_servers;                /* more is one; 0: there may be any number */
	size_t min_words, max_words;       /* words beside options and servers */

	/* One of its options. 0, or STATUS_USAGE after it has said why. NULL when it has none. */
	int (*option)(int opt, const char *arg);
	/*
	 * Called before any thread or process is there. -1: go on; else this process has nothing
	 * more to do and ends with that status. NULL: go on.
	 */
	int (*before)(struct session *session, char **words, size_t n_words);
	/* Called with the servers running; returns the exit status. words[n_words] is NULL. */
	int (*run)(struct session *session, char **words, size_t n_words);
};

extern const struct command command_ls;
extern const struct command command_cat;
extern const struct command command_cp;
extern const struct command command_run;
extern const struct command command_info;
extern const struct command command_bench;

#endif
