/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "page/svg.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/text.h"
#include "report/doc.h"
#include "report/table.h"

/* Of a letter in an average sans-serif font of 12 units. */
#define LETTER 6.6

double svg_at(const struct svg_scale *s, double value)
{
	double span = s->high - s->low;

	return span == 0 ? (s->from + s->to) / 2
			 : s->from + (value - s->low) / span * (s->to - s->from);
}

size_t svg_ticks(const struct svg_scale *s, int wanted, double out[SVG_TICKS])
{
	double span = s->high - s->low, step;
	size_t n = 0;

	if (!(span > 0) || wanted < 1)
		return 0;
	step = pow(10, floor(log10(span / wanted)));
	if (span / step > wanted * 5)
		step *= 10;
	else if (span / step > wanted * 2.5)
		step *= 5;
	else if (span / step > wanted * 1.25)
		step *= 2;
	double first = ceil(s->low / step - 1e-9);
	for (int i = 0; n < SVG_TICKS && (first + i) * step <= s->high + step * 1e-9; i++)
		out[n++] = first + i == 0 ? 0 : (first + i) * step;
	return n;
}

void svg_number(struct buf *out, double value)
{
	char text[32];

	snprintf(text, sizeof text, "%.1f", value);
	size_t len = strlen(text);
	if (len > 2 && text[len - 1] == '0')
		text[len - 2] = '\0';
	buf_adds(out, strcmp(text, "-0") == 0 ? "0" : text);
}

static void attribute(struct buf *out, const char *name, double value)
{
	buf_addf(out, " %s=\"", name);
	svg_number(out, value);
	buf_addc(out, '"');
}

static void open_tag(struct buf *out, const char *tag, const char *class)
{
	buf_addf(out, "<%s class=\"%s\"", tag, class);
}

/* Close the tag that is open; with a title where there is one. */
static void close_tag(struct buf *out, const char *tag, const char *title)
{
	if (!title) {
		buf_adds(out, "/>\n");
		return;
	}
	buf_adds(out, "><title>");
	doc_html_text(out, title);
	buf_addf(out, "</title></%s>\n", tag);
}

void svg_begin(struct buf *out, double width, double height, int fixed, const char *label)
{
	/* Where a server forbids every style, outlines are still to be told apart. */
	buf_adds(out, "<svg role=\"img\" fill=\"none\" stroke=\"currentColor\" viewBox=\"0 0 ");
	svg_number(out, width);
	buf_addc(out, ' ');
	svg_number(out, height);
	buf_addc(out, '"');
	if (fixed) {
		attribute(out, "width", width);
		attribute(out, "height", height);
	}
	buf_adds(out, " aria-label=\"");
	doc_html_text(out, label);
	buf_adds(out, "\">\n");
}

void svg_end(struct buf *out)
{
	buf_adds(out, "</svg>\n");
}

void svg_rect(struct buf *out, const char *class, double x, double y, double w, double h,
	      const char *title)
{
	open_tag(out, "rect", class);
	attribute(out, "x", x);
	attribute(out, "y", y);
	attribute(out, "width", w);
	attribute(out, "height", h);
	close_tag(out, "rect", title);
}

void svg_line(struct buf *out, const char *class, double x1, double y1, double x2, double y2)
{
	open_tag(out, "line", class);
	attribute(out, "x1", x1);
	attribute(out, "y1", y1);
	attribute(out, "x2", x2);
	attribute(out, "y2", y2);
	close_tag(out, "line", NULL);
}

void svg_circle(struct buf *out, const char *class, double x, double y, double r, const char *title)
{
	open_tag(out, "circle", class);
	attribute(out, "cx", x);
	attribute(out, "cy", y);
	attribute(out, "r", r);
	close_tag(out, "circle", title);
}

void svg_polyline(struct buf *out, const char *class, const double *points, size_t n)
{
	open_tag(out, "polyline", class);
	buf_adds(out, " points=\"");
	for (size_t i = 0; i < 2 * n; i++) {
		buf_adds(out, i ? " " : "");
		svg_number(out, points[i]);
	}
	buf_addc(out, '"');
	close_tag(out, "polyline", NULL);
}

void svg_text(struct buf *out, const char *class, double x, double y, enum svg_anchor anchor,
	      double room, const char *text)
{
	static const char *const anchors[] = {"", " text-anchor=\"middle\"",
					      " text-anchor=\"end\""};
	size_t len = strlen(text), keep = len;
	int most = (int)(room / LETTER);

	if (room > 0 && keep > 4 * (size_t)most)
		keep = text_cut(text, 4 * (size_t)most);

	open_tag(out, "text", class);
	attribute(out, "x", x);
	attribute(out, "y", y);
	buf_addf(out, "%s>", anchors[anchor]);
	while (room > 0 && keep > 1 && table_text_width(text, keep) > most - (keep < len))
		keep = text_cut(text, keep - 1);
	AUTO(buf) struct buf part = BUF_INIT;
	buf_add(&part, text, keep);
	doc_html_text(out, part.data);
	if (keep < len) {
		buf_adds(out, "…<title>");
		doc_html_text(out, text);
		buf_adds(out, "</title>");
	}
	buf_adds(out, "</text>\n");
}

void svg_bars_begin(struct buf *out, const char *class)
{
	buf_addf(out, "<path class=\"%s\" d=\"", class);
}

void svg_bar(struct buf *out, double x, double y, double w, double h)
{
	buf_addc(out, 'M');
	svg_number(out, x);
	buf_addc(out, ' ');
	svg_number(out, y);
	buf_addc(out, 'h');
	svg_number(out, w);
	buf_addc(out, 'v');
	svg_number(out, h);
	buf_addc(out, 'h');
	svg_number(out, -w);
	buf_addc(out, 'z');
}

void svg_bars_end(struct buf *out)
{
	buf_adds(out, "\"/>\n");
}
