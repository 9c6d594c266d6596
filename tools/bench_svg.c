/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The chart: times above, throughput below, for shorter is better there and longer here. Each
 * client's bar is as long as its figure against the kernel's, which is the line at 1; without the
 * kernel's figures, as long as the figure itself. Plain SVG 1.1 that needs nothing from outside.
 */
#include "bench.h"
#include "text.h"
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

enum {
	WIDTH = 960,
	MARGIN = 32,
	LABELS = 296, /* where the bars begin */
	BARS = 430,   /* their greatest length */
	TOP = 132,    /* of the first panel */
	BAR = 15,     /* its height */
	ROW = 50,     /* from row to row */
	PANEL = 58,   /* what a panel takes beside its rows */
	FOOT = 56,
	LINE_CHARS = 104, /* of the server's command line that fit */
};
#define RATIO_MAX 3.0 /* longer bars are cut */
#define INK       "#1f2933"
#define FAINT     "#616e7c"
#define GRID      "#d9dee5"
#define KERNEL    "#9fb3c8"
#define OURS      "#d9480f"

struct panel {
	const struct bench *bench;
	enum bench_unit unit;
	double scale; /* pixels for a ratio of 1, or for 1 of the unit */
	int y;
	unsigned rows;
	bool ratios; /* the kernel's figures are there */
};

/* Characters that XML cannot hold, and bytes that are no character, stand as "?". */
static void put_text(FILE *out, const char *text, size_t limit)
{
	for (size_t chars = 0; *text; chars++) {
		size_t n = text_utf8(text);
		unsigned char c = (unsigned char)*text;

		if (chars == limit && text[n ? n : 1]) {
			fputs("…", out);
			return;
		}
		if (!n || c < ' ' || c == 0x7f)
			fputc('?', out);
		else if (c == '&')
			fputs("&amp;", out);
		else if (c == '<')
			fputs("&lt;", out);
		else if (c == '>')
			fputs("&gt;", out);
		else if (n == 3 && c == 0xef && (unsigned char)text[1] == 0xbf &&
			 (unsigned char)text[2] >= 0xbe) /* U+FFFE, U+FFFF */
			fputc('?', out);
		else
			fwrite(text, 1, n, out);
		text += n ? n : 1;
	}
}

static void put_line(FILE *out, int x, int y, const char *attributes, const char *text)
{
	fprintf(out, "<text x=\"%d\" y=\"%d\" %s>", x, y, attributes);
	put_text(out, text, LINE_CHARS);
	fputs("</text>\n", out);
}

/* ---- bars ------------------------------------------------------------------------------- */

static double length_of(const struct panel *p, const struct bench_result *r, int side)
{
	if (!p->ratios)
		return r->sides[side].median;
	return side == BENCH_KERNEL ? 1 : r->ratio.median;
}

static void put_bar(FILE *out, const struct panel *p, const struct bench_result *r, int side, int y)
{
	double length = length_of(p, r, side) * p->scale, limit = BARS;
	bool cut = length > limit;
	char value[16], text[64];
	int end;

	if (cut)
		length = limit;
	if (length < 1)
		length = 1;
	fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", LABELS,
		y, length, BAR, side == BENCH_KERNEL ? KERNEL : OURS);
	if (cut) /* a gap shows that it goes on */
		fprintf(out, "<path d=\"M%d %d l6 -%d h5 l-6 %d z\" fill=\"#fff\"/>\n",
			LABELS + BARS - 24, y + BAR + 1, BAR + 2, BAR + 2);
	snprintf(text, sizeof(text), "%s %s", stats_number(r->sides[side].median, value),
		 r->row->unit == BENCH_US ? "µs" : "MB/s");
	if (side == BENCH_PORTFIRE && p->ratios)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "  (%s ×)",
			 stats_number(r->ratio.median, value));
	end = LABELS + (int)length + 7;
	fprintf(out,
		"<text x=\"%d\" y=\"%d\" font-size=\"12\" fill=\"%s\"%s stroke=\"#fff\" "
		"stroke-width=\"3\" paint-order=\"stroke\">%s</text>\n",
		end, y + 12, INK, side == BENCH_PORTFIRE ? " font-weight=\"bold\"" : "", text);
}

static void put_row(FILE *out, const struct panel *p, const struct bench_result *r, int y)
{
	bool kernel = r->sides[BENCH_KERNEL].n > 0, ours = r->sides[BENCH_PORTFIRE].n > 0;

	fprintf(out, "<text x=\"%d\" y=\"%d\" font-size=\"13\" text-anchor=\"end\" fill=\"%s\">",
		LABELS - 12, y + BAR + (*r->note ? -1 : 5), INK);
	put_text(out, r->title, 60);
	fputs("</text>\n", out);
	if (*r->note || *r->refused) {
		fprintf(out,
			"<text x=\"%d\" y=\"%d\" font-size=\"11\" text-anchor=\"%s\" fill=\"%s\">",
			*r->refused ? LABELS + 7 : LABELS - 12, y + BAR + (*r->refused ? 5 : 14),
			*r->refused ? "start" : "end", FAINT);
		fputs(*r->refused ? "not measured: " : "", out);
		put_text(out, *r->refused ? r->refused : r->note, 80);
		fputs("</text>\n", out);
	}
	if (kernel && p->ratios)
		put_bar(out, p, r, BENCH_KERNEL, y);
	if (ours)
		put_bar(out, p, r, BENCH_PORTFIRE, kernel && p->ratios ? y + BAR + 2 : y + BAR / 2);
}

/* ---- panels ----------------------------------------------------------------------------- */

static void measure_panel(struct panel *p)
{
	double most = 0;

	for (size_t i = 0; i < p->bench->n_results; i++) {
		const struct bench_result *r = &p->bench->results[i];

		if (r->row->unit != p->unit)
			continue;
		p->rows++;
		if (length_of(p, r, BENCH_PORTFIRE) > most)
			most = length_of(p, r, BENCH_PORTFIRE);
	}
	if (p->ratios) {
		most = most < 1.5 ? 1.5 : most > RATIO_MAX ? RATIO_MAX : most;
		p->scale = (BARS - 1) / most;
	} else {
		p->scale = most > 0 ? (BARS - 1) / most : 1;
	}
}

static void put_axis(FILE *out, const struct panel *p, int bottom)
{
	int top = p->y + 32;

	fprintf(out, "<path d=\"M%d %d V%d\" stroke=\"%s\"/>\n", LABELS, top, bottom, FAINT);
	if (!p->ratios)
		return;
	for (double at = 0.5; at * p->scale <= BARS; at += 0.5) {
		double x = LABELS + at * p->scale;

		fprintf(out, "<path d=\"M%.1f %d V%d\" stroke=\"%s\"%s/>\n", x, top, bottom,
			at == 1 ? FAINT : GRID, at == 1 ? " stroke-dasharray=\"4 3\"" : "");
		fprintf(out,
			"<text x=\"%.1f\" y=\"%d\" font-size=\"11\" text-anchor=\"middle\" "
			"fill=\"%s\">%g</text>\n",
			x, bottom + 14, FAINT, at);
	}
}

/* The y below it. */
static int put_panel(FILE *out, const struct bench *bench, enum bench_unit unit, int y)
{
	struct panel p = {.bench = bench, .unit = unit, .y = y, .ratios = !*bench->no_kernel};
	const char *title =
	    unit == BENCH_US ? "Time: shorter is better" : "Throughput: longer is better";
	int at;

	measure_panel(&p);
	if (!p.rows)
		return y;
	at = y + 40;
	put_line(out, MARGIN, y + 14, "font-size=\"15\" font-weight=\"bold\" fill=\"" INK "\"",
		 title);
	put_axis(out, &p, at + (int)p.rows * ROW - 12);
	for (size_t i = 0; i < bench->n_results; i++) {
		if (bench->results[i].row->unit != unit)
			continue;
		put_row(out, &p, &bench->results[i], at);
		at += ROW;
	}
	return at + PANEL - 40;
}

static unsigned rows_of(const struct bench *bench, enum bench_unit unit)
{
	unsigned n = 0;

	for (size_t i = 0; i < bench->n_results; i++)
		n += bench->results[i].row->unit == unit;
	return n;
}

static void put_head(FILE *out, const struct bench *bench)
{
	int x = WIDTH - MARGIN - 190;
	char line[BENCH_SENTENCE + 64];

	put_line(out, MARGIN, 44, "font-size=\"22\" font-weight=\"bold\" fill=\"" INK "\"",
		 *bench->no_kernel ? "A FUSE server by Portfire"
				   : "A FUSE server by Portfire and by the kernel");
	put_line(out, MARGIN, 70, "font-size=\"13\" font-family=\"monospace\" fill=\"" INK "\"",
		 bench->command_line);
	if (*bench->no_kernel) {
		snprintf(line, sizeof(line), "Not measured by the kernel: %s", bench->no_kernel);
		put_line(out, MARGIN, 92, "font-size=\"12\" fill=\"" FAINT "\"", line);
		return;
	}
	put_line(out, MARGIN, 92, "font-size=\"12\" fill=\"" FAINT "\"",
		 "Bars are relative to the kernel's figure, which is 1; the figures are medians");
	fprintf(out,
		"<rect x=\"%d\" y=\"81\" width=\"13\" height=\"13\" fill=\"" KERNEL "\"/>\n"
		"<text x=\"%d\" y=\"92\" font-size=\"13\" fill=\"" INK "\">kernel</text>\n"
		"<rect x=\"%d\" y=\"81\" width=\"13\" height=\"13\" fill=\"" OURS "\"/>\n"
		"<text x=\"%d\" y=\"92\" font-size=\"13\" fill=\"" INK "\">portfire</text>\n",
		x, x + 19, x + 90, x + 109);
}

static void put_foot(FILE *out, const struct bench *bench, int y)
{
	char line[256], day[16] = "", size[TEXT_SIZE];
	time_t now = time(NULL);
	struct utsname u;
	struct tm tm;

	if (localtime_r(&now, &tm))
		strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	uname(&u);
	snprintf(line, sizeof(line), "portfire %s, %s %s, file of %s, %u rounds, %s", pf_version(),
		 u.sysname, u.release, text_human(bench->file_size, size), bench->rounds, day);
	put_line(out, MARGIN, y, "font-size=\"11\" fill=\"" FAINT "\"", line);
}

void bench_write_svg(const struct bench *bench, FILE *out)
{
	unsigned times = rows_of(bench, BENCH_US), rates = rows_of(bench, BENCH_MB_S);
	int height = TOP + (int)(times + rates) * ROW + (!!times + !!rates) * PANEL + FOOT - 20;
	int y;

	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"viewBox=\"0 0 %d %d\" font-family=\"sans-serif\">\n<title>portfire bench: ",
		WIDTH, height, WIDTH, height);
	put_text(out, bench->command_line, LINE_CHARS);
	fprintf(out, "</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", WIDTH, height);
	put_head(out, bench);
	y = put_panel(out, bench, BENCH_US, TOP);
	y = put_panel(out, bench, BENCH_MB_S, y);
	put_foot(out, bench, height - 18);
	fputs("</svg>\n", out);
}
