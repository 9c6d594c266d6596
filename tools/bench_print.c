/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"
#include "json.h"
#include "text.h"
#include <stdlib.h>
#include <sys/utsname.h>

/* ---- table ------------------------------------------------------------------------------ */

static void print_side(const struct summary *s, const char *unit)
{
	char median[16], low[16], high[16], all[64];

	if (s->n)
		snprintf(all, sizeof(all), "%s %s (%s..%s)", stats_number(s->median, median), unit,
			 stats_number(s->low, low), stats_number(s->high, high));
	else
		snprintf(all, sizeof(all), "-");
	printf(" %-25s", all);
}

static void print_ratio(const struct summary *s)
{
	if (s->n)
		printf(" %.2f (%.2f..%.2f)", s->median, s->min, s->max);
	putchar('\n');
}

static void print_row(const struct bench_result *r)
{
	const char *unit = bench_unit_name(r->row->unit);

	printf("%-36s", r->title);
	if (*r->refused) {
		printf(" not measured: %s\n", r->refused);
		return;
	}
	print_side(&r->sides[BENCH_KERNEL], unit);
	print_side(&r->sides[BENCH_PORTFIRE], unit);
	print_ratio(&r->ratio);
	if (*r->note)
		printf("  (%s)\n", r->note);
}

static void print_escaped(const char *text)
{
	char *escaped = text_escape(text, false);

	fputs(escaped ? escaped : text, stdout);
	free(escaped);
}

void bench_print_table(const struct bench *bench)
{
	char size[TEXT_SIZE];
	struct utsname u;

	uname(&u);
	printf("portfire %s beside %s %s, with the server: ", pf_version(), u.sysname, u.release);
	print_escaped(bench->command_line);
	printf("\nFile: ");
	print_escaped(bench->scratch ? "a scratch file" : bench->file);
	printf(", %s. Median (quartiles) of samples of %u rounds;\n"
	       "ratio = portfire / kernel, round by round: median (least..most).\n",
	       text_human(bench->file_size, size), bench->rounds);
	if (*bench->no_kernel)
		printf("Not measured by the kernel: %s.\n", bench->no_kernel);
	printf("\n%-36s %-25s %-25s %s\n", "work", "kernel", "portfire", "ratio");
	for (size_t i = 0; i < bench->n_results; i++)
		print_row(&bench->results[i]);
}

/* ---- JSON ------------------------------------------------------------------------------- */

static void json_text(const char *name, const char *text)
{
	printf(", \"%s\": ", name);
	json_string(text);
}

static void json_row(const struct bench_result *r)
{
	printf("{\"name\": \"%s\"", r->row->name);
	json_text("title", r->title);
	json_text("unit", bench_unit_name(r->row->unit));
	json_text("better", r->row->unit == BENCH_US ? "lower" : "higher");
	json_summary("kernel", &r->sides[BENCH_KERNEL]);
	json_summary("portfire", &r->sides[BENCH_PORTFIRE]);
	json_summary("ratio", &r->ratio);
	if (*r->note)
		json_text("note", r->note);
	if (*r->refused)
		json_text("not_measured", r->refused);
	putchar('}');
}

void bench_print_json(const struct bench *bench)
{
	struct utsname u;

	uname(&u);
	printf("{\"server\": [");
	for (char *const *word = bench->server->argv; *word; word++) {
		if (word != bench->server->argv)
			printf(", ");
		json_string(*word);
	}
	printf("]");
	json_text("portfire", pf_version());
	json_text("system", u.release);
	json_text("kernel", *bench->no_kernel ? bench->no_kernel : "available");
	json_text("file", bench->scratch ? "" : bench->file);
	printf(", \"scratch\": %s, \"file_size\": %ju, \"rounds\": %u, \"rows\": [",
	       bench->scratch ? "true" : "false", (uintmax_t)bench->file_size, bench->rounds);
	for (size_t i = 0; i < bench->n_results; i++) {
		printf("%s\n ", i ? "," : "");
		json_row(&bench->results[i]);
	}
	printf("\n]}\n");
}
