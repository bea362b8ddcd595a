/* SPDX-License-Identifier: GPL-3.0-or-later
 * Each task under each condition. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "page/charts.h"
#include "page/svg.h"
#include "report/doc.h"
#include "report/number.h"

enum { TASKS_MAX = 2000, LETTERED_MAX = 3000 /* cells that have their number in them */ };

#define NAME_ROOM 150.0
#define CELL 48.0

struct heat {
	const struct series_list *l;
	const struct summary_cell *
		*cells;	  /* task after task, one per condition; NULL: not planned */
	size_t *order, n; /* tasks, as they are shown */
	double *change;	  /* by task: of the largest difference from the first condition; 0: none */
	double *mean;	  /* by task, over its conditions; NAN */
	size_t flips;	  /* tasks that differ */
};

static const struct summary_cell *cell_of(const struct heat *h, size_t task, size_t condition)
{
	return h->cells[task * h->l->n + condition];
}

static double mean_of(const struct summary_cell *c)
{
	return c && c->tally.scored ? c->sum / (double)c->tally.scored : NAN;
}

/* How CONDITION differs from the first on TASK; 0 where either is not known. */
static double change_of(const struct heat *h, size_t task, size_t condition)
{
	double x = mean_of(cell_of(h, task, condition)) - mean_of(cell_of(h, task, 0));

	return isnan(x) || fabs(x) < 1e-9 ? 0 : x;
}

struct heat_key {
	size_t task;
	double change, mean;
	const char *name;
};

/* Those that differ first, the greatest loss before the greatest gain; then the hardest; then by name. */
static int by_key(const void *a, const void *b)
{
	const struct heat_key *p = a, *q = b;

	if ((p->change != 0) != (q->change != 0))
		return p->change != 0 ? -1 : 1;
	if (p->change != q->change)
		return p->change < q->change ? -1 : 1;
	double x = isnan(p->mean) ? -1 : p->mean, y = isnan(q->mean) ? -1 : q->mean;
	if (x != y)
		return x < y ? -1 : 1;
	return strcmp(p->name, q->name);
}

static void weigh(struct heat *h, size_t task)
{
	double sum = 0;
	size_t n = 0;

	for (size_t c = 0; c < h->l->n; c++) {
		double change = change_of(h, task, c), mean = mean_of(cell_of(h, task, c));
		if (fabs(change) > fabs(h->change[task]))
			h->change[task] = change;
		if (!isnan(mean)) {
			sum += mean;
			n++;
		}
	}
	h->mean[task] = n ? sum / (double)n : NAN;
	h->flips += h->change[task] != 0;
}

static void heat_make(struct heat *h, const struct series_list *l)
{
	const struct summary *s = l->summary;
	AUTO(free) struct heat_key *keys = xcalloc(s->tasks_n + 1, sizeof *keys);

	*h = (struct heat){.l = l, .n = s->tasks_n};
	h->cells = xcalloc(s->tasks_n * l->n + 1, sizeof *h->cells);
	h->order = xcalloc(s->tasks_n + 1, sizeof *h->order);
	h->change = xcalloc(s->tasks_n + 1, sizeof *h->change);
	h->mean = xcalloc(s->tasks_n + 1, sizeof *h->mean);
	for (size_t i = 0; i < s->cells_n; i++)
		h->cells[(size_t)s->cells[i].task * l->n + (size_t)s->cells[i].condition] =
			&s->cells[i];
	for (size_t i = 0; i < h->n; i++) {
		weigh(h, i);
		keys[i] = (struct heat_key){i, h->change[i], h->mean[i], s->task_names[i]};
	}
	qsort(keys, h->n, sizeof *keys, by_key);
	for (size_t i = 0; i < h->n; i++)
		h->order[i] = keys[i].task;
	h->n = h->n < TASKS_MAX ? h->n : TASKS_MAX;
}

static void heat_release(struct heat *h)
{
	free(h->cells);
	free(h->order);
	free(h->change);
	free(h->mean);
}

/* Eleven colours: 0 and 1 have one of their own, nothing between them has. */
static void cell_class(char out[24], const struct summary_cell *c)
{
	double mean = mean_of(c);
	int i = mean >= 1 ? 10 : mean <= 0 ? 0 : 1 + (int)fmin(8, floor(mean * 9));

	if (!isnan(mean))
		snprintf(out, 24, "h%d", i);
	else
		snprintf(out, 24, "%s", c && c->tally.unscored ? "hu" : "hm");
}

static const char *mark(double change)
{
	return change > 0 ? "▲" : change < 0 ? "▼" : "";
}

static void draw_cell(struct buf *out, const struct heat *h, size_t task, size_t c, double x,
		      double y, bool lettered)
{
	const struct summary_cell *cell = cell_of(h, task, c);
	char class[24], text_class[32], text[NUMBER_TEXT + 8], number[NUMBER_TEXT];
	double mean = mean_of(cell);

	if (!cell)
		return;
	cell_class(class, cell);
	svg_rect(out, class, x, y, CELL - 2, lettered ? 18 : 8, NULL);
	if (!lettered)
		return;
	snprintf(text, sizeof text, "%s%s", mark(change_of(h, task, c)),
		 !isnan(mean)		? number_score(number, mean)
		 : cell->tally.unscored ? "–"
					: "?");
	snprintf(text_class, sizeof text_class, "t%s", class);
	svg_text(out, text_class, x + (CELL - 2) / 2, y + 13, SVG_MIDDLE, 0, text);
}

static void draw(struct buf *out, const struct heat *h)
{
	const struct series_list *l = h->l;
	const bool lettered = h->n * l->n <= LETTERED_MAX;
	const double row = lettered ? 20 : 10, top = l->n > 1 ? 20 : 2;
	AUTO(buf) struct buf label = BUF_INIT;

	buf_addf(&label,
		 "Mean score of %zu task%s under %zu condition%s; %zu differ. All numbers are in "
		 "the table below.",
		 h->n, h->n == 1 ? "" : "s", l->n, l->n == 1 ? "" : "s", h->flips);
	if (l->n > 1) {
		buf_adds(out, "<ol class=\"columns\">");
		for (size_t c = 0; c < l->n; c++) {
			buf_adds(out, "<li>");
			doc_html_text(out, l->v[c].name);
			buf_adds(out, "</li>");
		}
		buf_adds(out, "</ol>\n");
	}
	buf_adds(out,
		 "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Heat map\">\n");
	svg_begin(out, NAME_ROOM + CELL * (double)l->n, top + row * (double)h->n, 1, label.data);
	for (size_t c = 0; c < l->n && l->n > 1; c++) {
		char number[24];
		snprintf(number, sizeof number, "%zu", c + 1);
		svg_text(out, "axis", NAME_ROOM + CELL * ((double)c + 0.5), 13, SVG_MIDDLE, 0,
			 number);
	}
	for (size_t i = 0; i < h->n; i++) {
		double y = top + row * (double)i;
		if (lettered || row >= 10)
			svg_text(out, lettered ? "name" : "small", 0, y + (lettered ? 13 : 8),
				 SVG_START, lettered ? NAME_ROOM - 8 : NAME_ROOM * 1.3,
				 l->summary->task_names[h->order[i]]);
		for (size_t c = 0; c < l->n; c++)
			draw_cell(out, h, h->order[i], c, NAME_ROOM + CELL * (double)c, y,
				  lettered);
	}
	svg_end(out);
	buf_adds(out, "</div>\n");
}

static void fill_table(struct table *t, const struct heat *h)
{
	const struct series_list *l = h->l;

	table_column(t, "task", TABLE_LEFT);
	for (size_t c = 0; c < l->n; c++)
		table_column(t, l->v[c].name, TABLE_RIGHT);
	if (l->n > 1)
		table_column(t, "differs", TABLE_LEFT);
	for (size_t i = 0; i < h->n; i++) {
		size_t task = h->order[i];
		table_text(t, l->summary->task_names[task]);
		for (size_t c = 0; c < l->n; c++) {
			const struct summary_cell *cell = cell_of(h, task, c);
			if (!isnan(mean_of(cell)))
				table_score(t, mean_of(cell));
			else
				table_missing(t, !cell			? NULL
						 : cell->tally.unscored ? "not graded"
									: "missing");
		}
		if (l->n > 1)
			table_text(t, h->change[task] > 0   ? "better than the first"
				      : h->change[task] < 0 ? "worse than the first"
							    : "");
	}
}

void chart_tasks(struct buf *out, const struct series_list *l)
{
	AUTO(buf) struct buf words = BUF_INIT;
	struct table t = {0};
	struct heat h;

	heat_make(&h, l);
	figure_begin(out, "tasks", "Tasks");
	draw(out, &h);
	buf_adds(&words, "The mean over the rollouts of each task; ? is missing.");
	if (l->n > 1)
		buf_addf(&words,
			 " %zu of %zu tasks flip: ▲ better, ▼ worse than under the first "
			 "condition. They come first, "
			 "then the hardest.",
			 h.flips, l->summary->tasks_n);
	else
		buf_adds(&words, " The hardest come first.");
	if (h.n < l->summary->tasks_n)
		buf_addf(&words, " %zu of %zu tasks are shown.", h.n, l->summary->tasks_n);
	fill_table(&t, &h);
	figure_end(out, words.data, &t);
	heat_release(&h);
}
