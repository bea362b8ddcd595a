/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * svg.h -- drawing a chart as SVG that stands in a page. Colours are classes of page.css, never attributes of
 * their own: the page's policy allows no inline style, and both themes have theirs. Text is escaped here, whoever wrote it.
 */
#pragma once
#include <stddef.h>
#include "base/buf.h"

enum svg_anchor { SVG_START, SVG_MIDDLE, SVG_END };

/* From the values LOW to HIGH to the places FROM to TO. */
struct svg_scale {
	double low, high, from, to;
};
double svg_at(const struct svg_scale *s, double value);
/* Round numbers in the scale, about WANTED of them, ascending; returns how many, 16 at most. */
#define SVG_TICKS 16
size_t svg_ticks(const struct svg_scale *s, int wanted, double out[SVG_TICKS]);

/* WIDTH x HEIGHT units. LABEL: what a screen reader says in place of the picture. FIXED: shown in that size, to be
 * scrolled; else it is as wide as there is room. */
void svg_begin(struct buf *out, double width, double height, int fixed, const char *label);
void svg_end(struct buf *out);
/* TITLE, shown by a mouse that rests there, may be NULL. */
void svg_rect(struct buf *out, const char *class, double x, double y, double w, double h,
	      const char *title);
void svg_line(struct buf *out, const char *class, double x1, double y1, double x2, double y2);
void svg_circle(struct buf *out, const char *class, double x, double y, double r,
		const char *title);
/* N points: x, y, x, y ... */
void svg_polyline(struct buf *out, const char *class, const double *points, size_t n);
/* Of TEXT what fits into ROOM units (0: all of it); what was cut is its title. */
void svg_text(struct buf *out, const char *class, double x, double y, enum svg_anchor anchor,
	      double room, const char *text);
/* Any number of rectangles of one class, in little space: begin, add, end. */
void svg_bars_begin(struct buf *out, const char *class);
void svg_bar(struct buf *out, double x, double y, double w, double h);
void svg_bars_end(struct buf *out);
/* Append a number with at most one decimal. */
void svg_number(struct buf *out, double value);
