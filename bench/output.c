/* SPDX-License-Identifier: BSD-2-Clause */
/* The table, and the same as JSON. */
#include "bench.h"
#include "json.h"
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

static bool first_row;

static double load_average(void)
{
	FILE *f = fopen("/proc/loadavg", "re");
	double load = 0;

	if (f && fscanf(f, "%lf", &load) != 1)
		load = 0;
	if (f)
		fclose(f);
	return load;
}

/* ---- text ---------------------------------------------------------------------------------- */

static void print_side(const struct summary *s, const char *unit)
{
	char median[16], low[16], high[16], all[64];

	if (!s->n)
		snprintf(all, sizeof(all), "-");
	else if (s->n == 1)
		snprintf(all, sizeof(all), "%s %s", stats_number(s->median, median), unit);
	else
		snprintf(all, sizeof(all), "%s %s (%s..%s)", stats_number(s->median, median), unit,
			 stats_number(s->low, low), stats_number(s->high, high));
	printf(" %-23s", all);
}

static void print_ratio(const struct summary *s)
{
	char text[64];

	if (s->n)
		snprintf(text, sizeof(text), "%.2f (%.2f..%.2f)", s->median, s->min, s->max);
	else
		snprintf(text, sizeof(text), "-");
	printf(" %-19s", text);
}

/* By how much more. */
static void print_more(const struct summary *s, const char *unit)
{
	char text[64];

	if (s->n)
		snprintf(text, sizeof(text), "%+.2f (%+.2f..%+.2f)", s->median, s->min, s->max);
	else
		snprintf(text, sizeof(text), "-");
	printf(" %-19s", text);
}

/* 1.05, but 1.0. */
static int digits(double aim)
{
	return (int)(aim * 100 + 0.5) % 10 ? 2 : 1;
}

static void print_verdict(const char *aim, const struct verdict *verdict)
{
	printf(" %-9s %s\n", aim, !verdict->judged ? "" : verdict->met ? "met" : "MISSED");
}

static void print_aim(const struct row *row, const struct verdict *verdict)
{
	char text[32] = "";

	if (row->aim_kind == AIM_RATIO)
		snprintf(text, sizeof(text), "<= %.*f x", digits(row->aim), row->aim);
	else if (row->aim_kind == AIM_MORE_AT_MOST)
		snprintf(text, sizeof(text), "<= +%.0f %s", row->aim, row->unit);
	else if (row->aim_kind == AIM_RATIO_AT_LEAST)
		snprintf(text, sizeof(text), ">= %.1f x", row->aim);
	else if (row->aim_kind == AIM_AT_MOST)
		snprintf(text, sizeof(text), "<= %.*f %s", row->aim < 10, row->aim, row->unit);
	else if (row->aim_kind == AIM_AT_LEAST)
		snprintf(text, sizeof(text), ">= %.1f %s", row->aim, row->unit);
	print_verdict(text, verdict);
}

/* The third client stands in the column of the one that it is the floor of; the ratio is to it. */
static void print_floor(const struct result *r)
{
	char text[64];

	snprintf(text, sizeof(text), "  %s", r->row->floor);
	printf("%-36s %-23s", text, "");
	print_side(&r->sides[FLOOR], r->row->unit);
	if (!r->row->floor_aim) {
		printf("\n");
		return;
	}
	print_ratio(&r->floor_ratio);
	snprintf(text, sizeof(text), "<= %.*f x", digits(r->row->floor_aim), r->row->floor_aim);
	print_verdict(text, &r->floor_aim);
}

/* Another way of ours: its ratios are to what ours are to. */
static void print_trapped(const struct result *r)
{
	bool floor = r->row->floor_aim > 0;
	char aim[32];

	printf("%-36s %-23s", "  with --no-preload", "");
	print_side(&r->sides[TRAPPED], r->row->unit);
	if (floor)
		print_ratio(&r->trapped_floor_ratio);
	else if (r->row->aim_kind == AIM_MORE_AT_MOST)
		print_more(&r->trapped_more, r->row->unit);
	else
		print_ratio(&r->trapped_ratio);
	snprintf(aim, sizeof(aim), "<= %.*f x", digits(r->row->floor_aim), r->row->floor_aim);
	if (floor)
		print_verdict(aim, &r->trapped_floor_aim);
	else
		print_aim(r->row, &r->trapped_aim);
}

static bool floor_missing(const struct row *row)
{
	const struct client *client = row->clients[FLOOR];

	return client && client->program && !program_exists(client->program);
}

static void text_begin(const struct options *options)
{
	struct utsname u;

	uname(&u);
	printf(
	    "%s %s, %d cores, load %.1f. Median (quartiles) of samples taken in turns;\n"
	    "ratio = portfire / kernel, sample by sample: median (least..most); in indented lines\n"
	    "portfire / what stands there. Where the aim is <= +N, the ratio's place has the "
	    "difference.\n",
	    u.sysname, u.release, usable_cpus(), load_average());
	if (options->no_kernel)
		printf("No kernel FUSE here, so there is nothing to compare with (%s).\n",
		       options->no_kernel);
	printf("\n%-36s %-23s %-23s %-19s %-9s %-7s\n", "work",
	       options->no_kernel ? "kernel: not available" : "kernel", "portfire", "ratio", "aim",
	       "");
}

static void text_row(const struct result *r)
{
	printf("%-36s", r->row->title);
	if (*r->failure) {
		printf(" %s: %s\n", r->refused ? "not measured" : "FAILED", r->failure);
		return;
	}
	print_side(&r->sides[KERNEL], r->row->unit);
	print_side(&r->sides[PORTFIRE], r->row->unit);
	if (r->row->aim_kind == AIM_MORE_AT_MOST)
		print_more(&r->more, r->row->unit);
	else
		print_ratio(&r->ratio);
	print_aim(r->row, &r->aim);
	if (r->sides[FLOOR].n)
		print_floor(r);
	else if (floor_missing(r->row))
		printf("  %s: not installed\n", r->row->floor);
	if (r->sides[TRAPPED].n)
		print_trapped(r);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void json_begin(const struct options *options)
{
	struct utsname u;

	uname(&u);
	printf("{\"system\": ");
	json_string(u.release);
	printf(", \"cores\": %d, \"load\": %.2f, \"time\": %ld, \"quick\": %s, \"kernel\": ",
	       usable_cpus(), load_average(), (long)time(NULL), options->quick ? "true" : "false");
	json_string(options->no_kernel ? options->no_kernel : "available");
	printf(", \"rows\": [");
}

static void json_verdict(const char *name, const struct verdict *verdict)
{
	printf(", \"%s\": %s", name, !verdict->judged ? "null" : verdict->met ? "true" : "false");
}

static void json_row(const struct result *r)
{
	static const char *const kinds[] = {[AIM_RATIO] = "ratio at most",
					    [AIM_RATIO_AT_LEAST] = "ratio at least",
					    [AIM_AT_MOST] = "at most",
					    [AIM_AT_LEAST] = "at least",
					    [AIM_MORE_AT_MOST] = "more at most"};
	const struct row *row = r->row;

	printf("%s\n {\"name\": \"%s\", \"title\": ", first_row ? "" : ",", row->name);
	json_string(row->title);
	printf(", \"unit\": \"%s\"", row->unit);
	if (*r->failure) {
		printf(", \"%s\": ", r->refused ? "not_measured" : "failure");
		json_string(r->failure);
	}
	json_summary("kernel", &r->sides[KERNEL]);
	json_summary("portfire", &r->sides[PORTFIRE]);
	json_summary("floor", &r->sides[FLOOR]);
	json_summary("ratio", &r->ratio);
	if (row->aim_kind == AIM_MORE_AT_MOST)
		json_summary("more", &r->more);
	if (row->aim_kind != AIM_NONE)
		printf(", \"aim\": {\"kind\": \"%s\", \"value\": %g}", kinds[row->aim_kind],
		       row->aim);
	json_verdict("met", &r->aim);
	if (row->floor_aim) {
		json_summary("floor_ratio", &r->floor_ratio);
		printf(", \"floor_aim\": {\"kind\": \"ratio at most\", \"value\": %g}",
		       row->floor_aim);
		json_verdict("floor_met", &r->floor_aim);
	}
	if (row->clients[TRAPPED]) {
		json_summary("trapped", &r->sides[TRAPPED]);
		json_summary("trapped_ratio", &r->trapped_ratio);
		json_verdict("trapped_met", &r->trapped_aim);
	}
	printf("}");
}

/* ---- both ---------------------------------------------------------------------------------- */

void output_begin(const struct options *options)
{
	first_row = true;
	if (options->json)
		json_begin(options);
	else
		text_begin(options);
}

void output_row(const struct options *options, const struct result *result)
{
	if (options->json)
		json_row(result);
	else
		text_row(result);
	first_row = false;
	fflush(stdout);
}

void output_end(const struct options *options, unsigned met, unsigned judged, unsigned refused)
{
	if (options->json) {
		printf("\n]}\n");
		return;
	}
	if (judged)
		printf("\n%u of %u aims met, load now %.1f\n", met, judged, load_average());
	if (refused)
		printf("%s%u rows not measured\n", judged ? "" : "\n", refused);
}
