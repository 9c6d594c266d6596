/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"
#include "command.h"
#include "interrupt.h"
#include "report.h"
#include "scatter.h"
#include "text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

enum { OPTION_FILE = 256, OPTION_SIZE, OPTION_SECONDS, OPTION_ROW, OPTION_JSON, OPTION_SVG };
enum { ROUNDS = 5, QUICK_ROUNDS = 3, SECONDS = 20, QUICK_SECONDS = 5 };
enum { SIZE = 64, QUICK_SIZE = 16 }; /* MiB of a scratch file */
enum { START_MS = 30000 };           /* as pf_options.start_timeout_ms where it is 0 */

static struct bench_options options;

static const struct option long_options[] = {
    {"file", required_argument, NULL, OPTION_FILE},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"row", required_argument, NULL, OPTION_ROW},
    {"json", no_argument, NULL, OPTION_JSON},
    {"svg", required_argument, NULL, OPTION_SVG},
    {"write", no_argument, NULL, 'w'},
    {"quick", no_argument, NULL, 'q'},
    {0},
};

/* ---- options ---------------------------------------------------------------------------- */

static bool chosen(const struct bench_row *row)
{
	return !options.row || !strncmp(row->name, options.row, strlen(options.row));
}

static int set_row(const char *name)
{
	options.row = name;
	for (const struct bench_row *row = bench_rows; row->name; row++)
		if (chosen(row))
			return 0;
	return complain_usage("--row: no row is called '%s'; see --help", name);
}

static int set_size(const char *text)
{
	if (!text_bytes(text, &options.size))
		return complain_usage("--size wants bytes, as in 64M, not '%s'", text);
	options.size -= options.size % BENCH_PAGE;
	if (options.size < MIB)
		return complain_usage("--size: %s is less than 1M", text);
	return 0;
}

static int set_seconds(const char *text)
{
	char *end;

	options.seconds = strtod(text, &end);
	if (end == text || *end || !(options.seconds > 0) || options.seconds > 86400)
		return complain_usage("--seconds wants a number above 0, not '%s'", text);
	return 0;
}

static int set_option(int opt, const char *arg)
{
	switch (opt) {
	case OPTION_FILE:
		options.file = arg;
		return 0;
	case OPTION_SIZE:
		return set_size(arg);
	case OPTION_SECONDS:
		return set_seconds(arg);
	case OPTION_ROW:
		return set_row(arg);
	case OPTION_JSON:
		options.json = true;
		return 0;
	case OPTION_SVG:
		options.svg = arg;
		return 0;
	case 'w':
		options.write = true;
		return 0;
	case 'q':
		options.quick = true;
		return 0;
	default:
		return hint_usage();
	}
}

/* ---- progress --------------------------------------------------------------------------- */

static bool shown;

static void erase_progress(void)
{
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}

static void show_progress(const struct bench *bench, const struct bench_side *side,
			  const struct bench_result *result)
{
	if (!isatty(STDERR_FILENO))
		return;
	terminal_take();
	fprintf(stderr, "round %u of %u, %s: %s", bench->round + 1, bench->rounds,
		side->which == BENCH_KERNEL ? "kernel" : "portfire", result->title);
	fflush(stderr);
	shown = true;
	terminal_give();
}

static void hide_progress(void)
{
	terminal_take();
	terminal_give();
}

/* ---- a client's turn -------------------------------------------------------------------- */

enum { CANNOT = 2 };

/* 0; CANNOT: the kernel is to have no turns; -1 after it was said why. */
static int begin_kernel(struct bench *bench, struct bench_side *side)
{
	const struct pf_options *o = &bench->session->options;
	char why[BENCH_SENTENCE];

	if (kernel_mount_start(&bench->mount, bench->server->argv, bench->mountpoint,
			       o->start_timeout_ms ? o->start_timeout_ms : START_MS, why,
			       sizeof(why))) {
		if (bench->round) {
			complain_plain("mounting again failed: %s", why);
			return -1;
		}
		snprintf(bench->no_kernel, sizeof(bench->no_kernel), "%s", why);
		return CANNOT;
	}
	side->kernel_tree = (struct tree){.root = FILE_NONE};
	side->kernel_tree.root.fd = bench->mount.root;
	side->tree = &side->kernel_tree;
	return 0;
}

static int begin_portfire(struct bench *bench, struct bench_side *side)
{
	side->tree = &bench->server->tree;
	return bench->server->tree.fs || !session_server_start(bench->server) ? 0 : -1;
}

static int begin_turn(struct bench *bench, struct bench_side *side)
{
	int ret =
	    side->which == BENCH_KERNEL ? begin_kernel(bench, side) : begin_portfire(bench, side);

	if (ret || !bench->scratch)
		return ret;
	ret = bench_make_scratch(side);
	if (ret)
		complain(side->which == BENCH_PORTFIRE, ret, "the scratch file of %ju bytes",
			 (uintmax_t)bench->file_size);
	return ret ? -1 : 0;
}

/* May be called when the turn did not begin well. */
static int end_turn(struct bench *bench, struct bench_side *side, bool stop)
{
	if (!side->tree)
		return 0;
	if (options.write && (side->which == BENCH_KERNEL || side->tree->fs))
		bench_remove_scratch(side);
	side->tree = NULL;
	if (side->which == BENCH_KERNEL) {
		if (!kernel_mount_stop(&bench->mount))
			return 0;
		complain_plain("the server does not end after it was unmounted");
		return -1;
	}
	return stop ? session_server_stop(bench->server) : 0;
}

static int do_rows(struct bench *bench, struct bench_side *side)
{
	int status = 0;

	for (size_t i = 0; i < bench->n_results && !status; i++) {
		show_progress(bench, side, &bench->results[i]);
		status = bench_run_row(side, &bench->results[i]);
		if (interrupted())
			status = STATUS_FAILED;
	}
	return status;
}

/* A whole turn; then the server ends, for another client's comes next and one runs at a time. */
static int take_turn(struct bench *bench, int which, char *buffer)
{
	struct bench_side side = {
	    .bench = bench, .which = which, .file = FILE_NONE, .buffer = buffer};
	int ret = begin_turn(bench, &side), ended;

	if (!ret)
		ret = do_rows(bench, &side);
	else if (ret == CANNOT)
		return 0;
	ended = end_turn(bench, &side, !ret && !*bench->no_kernel);
	return ret || ended ? STATUS_FAILED : 0;
}

static int measure(struct bench *bench, char *buffer)
{
	int status = 0;

	for (bench->round = 0; bench->round < bench->rounds && !status; bench->round++) {
		for (int turn = 0; turn < BENCH_SIDES && !status; turn++) {
			/* Ours runs already when it begins. */
			int which =
			    (bench->round + (unsigned)turn) % 2 ? BENCH_KERNEL : BENCH_PORTFIRE;

			if (which != BENCH_KERNEL || !*bench->no_kernel)
				status = take_turn(bench, which, buffer);
		}
	}
	return status;
}

/* ---- the whole -------------------------------------------------------------------------- */

/* As a shell would read it back, or nearly. */
static char *join_words(char *const argv[])
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (size_t i = 0; f && argv[i]; i++) {
		bool quoted = !*argv[i] || strpbrk(argv[i], " \t\n'\"\\$&;|<>*?()`#~");

		fprintf(f, "%s%s%s%s", i ? " " : "", quoted ? "'" : "", argv[i], quoted ? "'" : "");
	}
	return f && !fclose(f) ? text : NULL;
}

static int set_up(struct bench *bench)
{
	const char *missing = kernel_mount_missing();

	if (missing)
		snprintf(bench->no_kernel, sizeof(bench->no_kernel), "%s", missing);
	bench->mount = (struct kernel_mount){.root = -1, .guard_pipe = -1, .lifeline = -1};
	bench->command_line = join_words(bench->server->argv);
	if (!bench->server->placeholder)
		bench->mountpoint = strdup(bench->server->mountpoint);
	for (const struct bench_row *row = bench_rows; row->name; row++)
		bench->n_results += chosen(row) && (options.write || !row->writes);
	bench->results = calloc(bench->n_results + 1, sizeof(*bench->results));
	if (!bench->results || !bench->command_line ||
	    !(bench->mountpoint || bench->server->placeholder)) {
		complain_plain("%s", strerror(ENOMEM));
		return STATUS_FAILED;
	}
	if (!bench->n_results)
		return complain_usage("--row: '%s' writes, which needs --write", options.row);
	bench->session->abort_more = kernel_mount_abort;
	report_set_eraser(erase_progress);
	return 0;
}

static void look_at_flags(void *ctx, const char *key, const char *value)
{
	struct bench *bench = ctx;

	if (!strcmp(key, "flags"))
		bench->write_back = strstr(value, "WRITEBACK_CACHE") != NULL;
}

static void divide_time(struct bench *bench)
{
	double seconds = options.seconds > 0 ? options.seconds
			 : options.quick     ? QUICK_SECONDS
					     : SECONDS;
	struct bench_result *result = bench->results;

	pf_info(bench->server->tree.fs, look_at_flags, bench);
	bench->rounds = options.quick ? QUICK_ROUNDS : ROUNDS;
	bench->slot_ns = seconds * 1e9 / bench->rounds / BENCH_SIDES / (double)bench->n_results;
	for (const struct bench_row *row = bench_rows; row->name; row++) {
		if (!chosen(row) || (row->writes && !options.write))
			continue;
		result->row = row;
		row->title(bench, result->title, sizeof(result->title));
		result++;
	}
}

/* Nothing that a server could shrink by compressing it, or find to be zeros. */
static char *make_buffer(void)
{
	uint64_t *words = aligned_alloc(BENCH_PAGE, BENCH_BUFFER);

	for (size_t i = 0; words && i < BENCH_BUFFER / sizeof(*words); i++)
		words[i] = (i + 1) * 0x9e3779b97f4a7c15u ^ (i * 0xd1342543de82ef95u) >> 29;
	return (char *)words;
}

static void tear_down(struct bench *bench)
{
	hide_progress();
	report_set_eraser(NULL);
	free(bench->command_line);
	free(bench->mountpoint);
	free(bench->results);
	free(bench->file);
	free(bench->directory);
	free(bench->scratch_read);
	free(bench->scratch_write);
	free(bench->scratch_small);
}

static int bench_all(struct bench *bench)
{
	char *buffer = make_buffer();
	int status = buffer ? bench_find(bench) : STATUS_FAILED;

	if (!status) {
		divide_time(bench);
		status = measure(bench, buffer);
	}
	free(buffer);
	if (!status)
		bench_conclude(bench);
	hide_progress();
	/* Its end knows more than a call that failed. */
	if (bench->gone && !session_server_stop(bench->server))
		complain_plain("%s: the server is gone", bench->server->argv[0]);
	return status;
}

static int print(const struct bench *bench, FILE *svg)
{
	hide_progress();
	if (options.json)
		bench_print_json(bench);
	else
		bench_print_table(bench);
	if (!svg)
		return 0;
	bench_write_svg(bench, svg);
	if (!fflush(svg) && !ferror(svg) && !ftruncate(fileno(svg), ftello(svg)))
		return 0;
	complain(false, -errno, "%s", options.svg);
	return STATUS_FAILED;
}

/* Before minutes of work, and without touching what is there until there is something better. */
static int open_svg(FILE **svg, bool *created)
{
	int fd = open(options.svg, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	*created = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		fd = open(options.svg, O_WRONLY | O_CLOEXEC);
	*svg = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (*svg)
		return 0;
	complain(false, -errno, "%s", options.svg);
	return STATUS_FAILED;
}

static int run(struct session *session, char **words, size_t n)
{
	struct bench bench = {
	    .options = &options, .session = session, .server = &session->servers[0]};
	bool created = false;
	FILE *svg = NULL;
	int status;

	if (!options.size)
		options.size = (options.quick ? QUICK_SIZE : SIZE) * MIB;
	status = options.svg ? open_svg(&svg, &created) : 0;
	if (!status)
		status = set_up(&bench);
	if (!status)
		status = bench_all(&bench);
	if (!status)
		status = print(&bench, svg);
	if (svg)
		fclose(svg);
	if (status && created)
		unlink(options.svg);
	tear_down(&bench);
	return status;
}

const struct command command_bench = {
    .name = "bench",
    .summary = "Measure a server by portfire and by the kernel, side by side",
    .usage = "[OPTION]... [ SERVER ARG... ]",
    .help =
	"      --file PATH            the file to read; otherwise the largest there is\n"
	"      --write                measure writing too, in scratch files of its own\n"
	"      --size SIZE            of a scratch file, as in 64M\n"
	"      --quick                about five seconds instead of twenty\n"
	"      --seconds N            about so long\n"
	"      --row NAME             only rows whose names begin so: stat, getattr, list, hot,\n"
	"                             random, seq4k, seq1m, rand4k, write, create\n"
	"      --json                 the table as JSON\n"
	"      --svg FILE             a chart as well\n",
    .short_options = "",
    .long_options = long_options,
    .min_servers = 1,
    .max_servers = 1,
    .option = set_option,
    .run = run,
};
