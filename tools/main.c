/* SPDX-License-Identifier: BSD-2-Clause */
/* portfire: finds the subcommand and does for all of them what they have in common. */
#include "command.h"
#include "interrupt.h"
#include "orphans.h"
#include "report.h"
#include "text.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct command *const commands[] = {
    &command_ls, &command_cat, &command_cp, &command_run, &command_info, &command_bench,
};
enum { N_COMMANDS = sizeof(commands) / sizeof(*commands) };

/* ---- options that every command has ----------------------------------------------------- */

enum {
	OPTION_HELP = COMMON_OPTION,
	OPTION_VERSION,
	OPTION_TRACE,
	OPTION_STATS,
	OPTION_TIMEOUT,
	OPTION_REQUEST_TIMEOUT,
	OPTION_CACHE,
	OPTION_NO_WRITEBACK,
	OPTION_CACHE_SIZE,
	OPTION_DIRTY_SIZE,
	OPTION_FAULTS,
	OPTION_MINOR,
};

/* faults and minor are for tests: they work, help does not name them. */
static const struct option common_options[] = {
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"trace", optional_argument, NULL, OPTION_TRACE},
    {"stats", optional_argument, NULL, OPTION_STATS},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"request-timeout", required_argument, NULL, OPTION_REQUEST_TIMEOUT},
    {"cache", required_argument, NULL, OPTION_CACHE},
    {"no-writeback", no_argument, NULL, OPTION_NO_WRITEBACK},
    {"cache-size", required_argument, NULL, OPTION_CACHE_SIZE},
    {"dirty-size", required_argument, NULL, OPTION_DIRTY_SIZE},
    {"faults", required_argument, NULL, OPTION_FAULTS},
    {"minor", required_argument, NULL, OPTION_MINOR},
};
enum { N_COMMON = sizeof(common_options) / sizeof(*common_options), MAX_OPTIONS = 48 };

static const char common_help[] =
    "Servers:\n"
    "  [ SERVER ARG... ]          start a FUSE server, as its command line is typed today, with\n"
    "                             its mountpoint; paths at or below that are the server's\n"
    "  {}                         stands for a private mountpoint where there is none to name;\n"
    "                             {2} is the mountpoint of the second server\n"
    "\n"
    "Options of every command:\n"
    "      --trace[=FILE]         one line a message, to stderr or to FILE\n"
    "      --stats[=FILE]         what info prints, at the end, to stderr or to FILE\n"
    "      --timeout SECONDS      how long a server may take to mount (30)\n"
    "      --request-timeout SECONDS\n"
    "                             how long a server may take to answer (no limit)\n"
    "      --cache=MODE           file data in memory: auto (as the server says), always (kept\n"
    "                             from one open to the next), none (each read is a request)\n"
    "      --no-writeback         each write is at the server before the next one\n"
    "      --cache-size=SIZE      memory for file data, as in 1G (64M for cat and cp, else a\n"
    "                             quarter of all there is)\n"
    "      --dirty-size=SIZE      of that, for data the server has not got yet (an eighth)\n"
    "      --help                 print this help\n"
    "      --version              print the version\n";

/* ---- help ------------------------------------------------------------------------------- */

static int print_version(void)
{
	printf("portfire %s\n", pf_version());
	return STATUS_OK;
}

static int print_help(void)
{
	printf("Usage: portfire COMMAND [OPTION]... [ SERVER ARG... ] [PATH]...\n"
	       "Use the files of a FUSE server without mounting it.\n\nCommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-25s  %s\n", commands[i]->name, commands[i]->summary);
	printf("  %-25s  %s\n\n%s", "help [COMMAND]", "print help", common_help);
	printf("\nExamples:\n"
	       "  portfire ls [ squashfuse image.sqfs /mnt ] -lR /mnt/usr\n"
	       "  portfire cat [ sshfs host:dir {} ] {}/file\n"
	       "  portfire cp [ fuse2fs disk.img {} ] -r {}/etc ./etc\n"
	       "  portfire run [ sshfs host:dir {} ] -- grep -r word {}\n");
	return STATUS_OK;
}

static int print_command_help(const struct command *command)
{
	printf("Usage: portfire %s %s\n%s.\n\n", command->name, command->usage, command->summary);
	if (command->help)
		printf("Options:\n%s\n", command->help);
	fputs(common_help, stdout);
	return STATUS_OK;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int run_help(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2)
		return print_help();
	command = find_command(argv[1]);
	return command ? print_command_help(command)
		       : complain_usage("there is no command '%s'", argv[1]);
}

/* ---- parsing ---------------------------------------------------------------------------- */

static int parse_number(const char *what, const char *text, double factor, uint32_t *value)
{
	char *end;
	double number;

	errno = 0;
	number = strtod(text, &end);
	if (errno || end == text || *end || !(number > 0) || number * factor > UINT32_MAX)
		return complain_usage("%s wants a number above 0, not '%s'", what, text);
	*value = number * factor < 1 ? 1 : (uint32_t)(number * factor);
	return 0;
}

static int set_cache(const char *text, int *mode)
{
	if (!strcmp(text, "auto"))
		*mode = PF_CACHE_AUTO;
	else if (!strcmp(text, "none"))
		*mode = PF_CACHE_NONE;
	else if (!strcmp(text, "always"))
		*mode = PF_CACHE_ALWAYS;
	else
		return complain_usage("--cache wants none, auto or always, not '%s'", text);
	return 0;
}

/* The library would take less as the least it can do with; who asks for less should know. */
static int parse_size(const char *what, const char *text, uint64_t least, uint64_t *size)
{
	char number[TEXT_SIZE];

	if (!text_bytes(text, size))
		return complain_usage("%s wants bytes, as in 64M, not '%s'", what, text);
	if (*size < least)
		return complain_usage("%s: %s is less than %s", what, text,
				      text_human(least, number));
	return 0;
}

static int cache_option(struct pf_options *options, int opt, const char *arg)
{
	enum { LEAST_CACHE = 1 << 20, LEAST_DIRTY = 1 << 18 };

	switch (opt) {
	case OPTION_CACHE:
		return set_cache(arg, &options->cache);
	case OPTION_NO_WRITEBACK:
		options->no_writeback = true;
		return 0;
	case OPTION_CACHE_SIZE:
		return parse_size("--cache-size", arg, LEAST_CACHE, &options->cache_bytes);
	default:
		return parse_size("--dirty-size", arg, LEAST_DIRTY, &options->dirty_bytes);
	}
}

static int common_option(struct session *session, int opt, char *arg)
{
	int err;

	switch (opt) {
	case OPTION_TRACE:
	case OPTION_STATS:
		err = opt == OPTION_TRACE ? session_trace_to(session, arg)
					  : session_stats_to(session, arg);
		if (err)
			complain(false, err, "%s", arg);
		return err ? STATUS_FAILED : 0;
	case OPTION_TIMEOUT:
		return parse_number("--timeout", arg, 1000, &session->options.start_timeout_ms);
	case OPTION_REQUEST_TIMEOUT:
		return parse_number("--request-timeout", arg, 1000,
				    &session->options.request_timeout_ms);
	case OPTION_MINOR:
		return parse_number("--minor", arg, 1, &session->options.minor);
	case OPTION_FAULTS:
		session->options.faults = arg;
		return 0;
	case OPTION_CACHE:
	case OPTION_NO_WRITEBACK:
	case OPTION_CACHE_SIZE:
	case OPTION_DIRTY_SIZE:
		return cache_option(&session->options, opt, arg);
	default:
		return complain_usage("unknown option");
	}
}

static void join_options(const struct command *command, struct option all[static MAX_OPTIONS])
{
	size_t n = N_COMMON;

	memcpy(all, common_options, sizeof(common_options));
	for (const struct option *o = command->long_options; o && o->name && n < MAX_OPTIONS - 1;
	     o++)
		all[n++] = *o;
	all[n] = (struct option){0};
}

/* -1: go on; else the exit status. */
static int parse_options(const struct command *command, struct session *session, int argc,
			 char **argv)
{
	struct option all[MAX_OPTIONS];
	int opt, status;

	join_options(command, all);
	while ((opt = getopt_long(argc, argv, command->short_options, all, NULL)) != -1) {
		if (opt == '?')
			return hint_usage(); /* getopt has said what is wrong */
		if (opt == OPTION_HELP)
			return print_command_help(command);
		if (opt == OPTION_VERSION)
			return print_version();
		status = opt >= COMMON_OPTION ? common_option(session, opt, optarg)
					      : command->option(opt, optarg);
		if (status)
			return status;
	}
	return -1;
}

static int check_words(const struct command *command, const struct session *session, char **words,
		       size_t n)
{
	if (session->n_servers < command->min_servers)
		return complain_usage("which server? Put its command line between '[' and ']'");
	if (command->max_servers && session->n_servers > command->max_servers)
		return complain_usage("'[ %s' is one server too many",
				      session->servers[command->max_servers].argv[0]);
	if (n < command->min_words)
		return complain_usage("%s", n ? "a path is missing" : "which path?");
	if (n > command->max_words)
		return complain_usage("'%s' is one word too many", words[command->max_words]);
	return 0;
}

/* ---- running ---------------------------------------------------------------------------- */

/* What ends the command wins over what failed because of it. */
static int final_status(int status, int end_status)
{
	int err = stdout_finish();

	if (interrupted())
		return 128 + interrupted();
	if (err == -EPIPE)
		return 128 + SIGPIPE;
	if (err) {
		complain(false, err, "standard output");
		return STATUS_FAILED;
	}
	return status ? status : end_status;
}

static int run_session(const struct command *command, struct session *session, char **words,
		       size_t n)
{
	int status, end_status, err;

	status = command->before ? command->before(session, words, n) : -1;
	if (status >= 0)
		return status;
	err = interrupt_watch(session);
	if (err) {
		complain(false, err, "signals");
		return STATUS_FAILED;
	}
	orphans_adopt();
	status = session_start(session);
	if (!status && !interrupted())
		status = command->run(session, words, n);
	end_status = session_end(session);
	orphans_end();
	return final_status(status, end_status);
}

static int run_command(const struct command *command, int argc, char **argv)
{
	/* The signal watcher looks at it until the process ends. */
	static struct session session;
	char self[64];
	int status;

	report_set_command(command->name);
	/* getopt begins its messages with argv[0] */
	snprintf(self, sizeof(self), "portfire: %s", command->name);
	argv[0] = self;
	status = session_parse(&session, &argc, argv);
	session.options.cache_bytes = command->cache_bytes;
	if (!status)
		status = parse_options(command, &session, argc, argv);
	if (status < 0) {
		status = check_words(command, &session, argv + optind, argc - optind);
		if (!status)
			return run_session(command, &session, argv + optind, argc - optind);
	}
	session_end(&session);
	return final_status(status, 0);
}

/*
 * Where a standard descriptor is closed, files of ours would get its number, and messages would go
 * into them. Opened the wrong way round, it fails with EBADF as before. What we execute finds it
 * closed.
 */
static void occupy_stdio(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", (fd ? O_RDONLY : O_WRONLY) | O_CLOEXEC) != fd)
			return;
}

int main(int argc, char **argv)
{
	const struct command *command;

	occupy_stdio();
	setlocale(LC_ALL, "");
	setlocale(LC_NUMERIC, "C");
	if (argc < 2)
		return complain_usage("which command?");
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return final_status(print_version(), 0);
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return final_status(run_help(argc - 1, argv + 1), 0);
	command = find_command(argv[1]);
	if (!command && (argv[1][0] == '-' || argv[1][0] == '['))
		return complain_usage("'%s' stands before the command, which comes first, as in "
				      "'portfire ls'",
				      argv[1]);
	if (!command)
		return complain_usage("there is no command '%s'", argv[1]);
	return run_command(command, argc - 1, argv + 1);
}
