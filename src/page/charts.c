/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "page/charts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "page/svg.h"
#include "report/number.h"

/* As wide as half a screen and a whole phone, so that its letters stay legible on both. */
#define WIDTH 400.0
#define LEFT 34.0
#define DECIMALS 3
#define CENT 4 /* decimals of money */
#define LEGEND_ROW 17.0
#define NAMED_MAX 3 /* points that have their names beside them */

static const char *const quarters[] = {"0", "0.25", "0.5", "0.75", "1"};

void figure_begin(struct buf *out, const char *id, const char *title)
{
	buf_addf(out,
		 "<figure id=\"%s\" aria-labelledby=\"%s-title\">\n<h2 id=\"%s-title\">%s</h2>\n",
		 id, id, id, title);
}

void figure_end(struct buf *out, const char *words, struct table *take)
{
	buf_addf(out, "<figcaption>%s</figcaption>\n", words);
	if (table_rows(take)) {
		buf_adds(out, "<details class=\"numbers\"><summary>Numbers</summary>\n");
		table_html(take, out);
		buf_adds(out, "</details>\n");
	}
	buf_adds(out, "</figure>\n");
	table_release(take);
}

const char *chart_class(char out[8], size_t i)
{
	snprintf(out, 8, "c%zu", i % 8);
	return out;
}

static void put_score(struct buf *out, const struct stats_mean *m)
{
	char mean[NUMBER_TEXT], low[NUMBER_TEXT], high[NUMBER_TEXT];

	buf_adds(out, number_score(mean, m->mean));
	if (m->method != STATS_NONE)
		buf_addf(out, " [%s–%s]", number_score(low, m->low), number_score(high, m->high));
}

static void add_score(struct table *t, double value, bool known)
{
	if (known && !isnan(value))
		table_score(t, value);
	else
		table_missing(t, NULL);
}

/* Scores from 0 to 1 along the bottom, with lines through the picture. */
static void score_axis(struct buf *out, const struct svg_scale *x, double top, double bottom)
{
	for (size_t i = 0; i < ARRAY_SIZE(quarters); i++) {
		double at = svg_at(x, (double)i / 4);
		svg_line(out, "grid", at, top, at, bottom);
		svg_text(out, "axis", at, bottom + 14, SVG_MIDDLE, 0, quarters[i]);
	}
}

/* The same along the side. */
static void score_lines(struct buf *out, const struct svg_scale *x, const struct svg_scale *y)
{
	for (size_t i = 0; i < ARRAY_SIZE(quarters); i++) {
		double at = svg_at(y, (double)i / 4);
		svg_line(out, "grid", x->from, at, x->to, at);
		svg_text(out, "axis", x->from - 5, at + 4, SVG_END, 0, quarters[i]);
	}
}

static void scores_table(struct table *t, const struct series_list *l)
{
	table_column(t, "of", TABLE_LEFT);
	table_column(t, "mean", TABLE_RIGHT);
	table_column(t, "95 % from", TABLE_RIGHT);
	table_column(t, "to", TABLE_RIGHT);
	table_column(t, "tasks", TABLE_RIGHT);
	table_column(t, "scored", TABLE_RIGHT);
	table_column(t, "if missing 0", TABLE_RIGHT);
	table_column(t, "if missing 1", TABLE_RIGHT);
	for (size_t i = 0; i < l->n; i++) {
		const struct summary_group *g = l->v[i].group;
		bool known = g->tally.scored > 0, interval = g->mean.method != STATS_NONE;
		table_text(t, l->v[i].name);
		add_score(t, g->mean.mean, known);
		add_score(t, g->mean.low, known && interval);
		add_score(t, g->mean.high, known && interval);
		table_int(t, (int64_t)g->tasks);
		table_textf(t, "%zu/%zu", g->tally.scored, g->tally.planned);
		add_score(t, g->worst, g->tally.missing > 0);
		add_score(t, g->best, g->tally.missing > 0);
	}
}

void chart_scores(struct buf *out, const struct series_list *l)
{
	const double row = 40, bottom = 6 + row * (double)l->n;
	const struct svg_scale x = {0, 1, 10, WIDTH - 14};
	AUTO(buf) struct buf label = BUF_INIT;
	struct table t = {0};

	buf_adds(&label, "Mean scores from 0 to 1.");
	for (size_t i = 0; i < l->n; i++) {
		buf_addf(&label, " %s: ", l->v[i].name);
		if (l->v[i].group->tally.scored)
			put_score(&label, &l->v[i].group->mean);
		else
			buf_adds(&label, "nothing scored");
		buf_addc(&label, '.');
	}
	figure_begin(out, "scores", "Scores");
	svg_begin(out, WIDTH, bottom + 20, 0, label.data);
	score_axis(out, &x, 4, bottom);
	for (size_t i = 0; i < l->n; i++) {
		const struct summary_group *g = l->v[i].group;
		double y = 6 + row * (double)i;
		AUTO(buf) struct buf score = BUF_INIT;
		if (g->tally.scored)
			put_score(&score, &g->mean);
		else
			buf_adds(&score, "nothing scored");
		svg_text(out, "name", x.from, y + 14, SVG_START, 220, l->v[i].name);
		svg_text(out, "value", x.to, y + 14, SVG_END, 0, score.data);
		if (!g->tally.scored)
			continue;
		if (g->tally.missing)
			svg_line(out, "bounds", svg_at(&x, g->worst), y + 27, svg_at(&x, g->best),
				 y + 27);
		if (g->mean.method != STATS_NONE) {
			double low = svg_at(&x, g->mean.low), high = svg_at(&x, g->mean.high);
			svg_line(out, "whisker", low, y + 27, high, y + 27);
			svg_line(out, "whisker", low, y + 22, low, y + 32);
			svg_line(out, "whisker", high, y + 22, high, y + 32);
		}
		svg_circle(out, "mean", svg_at(&x, g->mean.mean), y + 27, 5, score.data);
	}
	svg_end(out);
	scores_table(&t, l);
	figure_end(out,
		   "Means over task means with their 95 % intervals, for tasks like these. A broad "
		   "pale "
		   "line: where missing trials could still put the mean. That two intervals "
		   "overlap does "
		   "not show that two are equal.",
		   &t);
}

/* What a trial of G took on average; NAN: not known. */
static double price(const struct summary_group *g, bool money)
{
	if (!g->tally.scored)
		return NAN;
	if (money)
		return g->money_usd < 0 || g->unpriced ? NAN
						       : g->money_usd / (double)g->tally.scored;
	return g->tokens < 0 ? NAN : (double)g->tokens / (double)g->tally.scored;
}

/* No other is as good for less, or better for as much. */
static bool on_front(const struct series_list *l, size_t i, bool money)
{
	const struct summary_group *g = l->v[i].group;

	if (isnan(price(g, money)))
		return false;
	for (size_t k = 0; k < l->n; k++) {
		const struct summary_group *o = l->v[k].group;
		double cost = price(o, money);
		if (k == i || isnan(cost))
			continue;
		bool as_good = cost <= price(g, money) && o->mean.mean >= g->mean.mean;
		bool better = cost < price(g, money) || o->mean.mean > g->mean.mean;
		if (as_good && better)
			return false;
	}
	return true;
}

struct front_point {
	double x, y;
};

static int by_x(const void *a, const void *b)
{
	const struct front_point *p = a, *q = b;

	return (p->x > q->x) - (p->x < q->x);
}

static void draw_front(struct buf *out, const struct series_list *l, const struct svg_scale *x,
		       const struct svg_scale *y, bool money)
{
	AUTO(free) struct front_point *points = xcalloc(l->n + 1, sizeof *points);
	AUTO(free) double *steps = xcalloc(4 * l->n + 4, sizeof *steps);
	size_t n = 0, at = 0;

	for (size_t i = 0; i < l->n; i++)
		if (on_front(l, i, money))
			points[n++] = (struct front_point){svg_at(x, price(l->v[i].group, money)),
							   svg_at(y, l->v[i].group->mean.mean)};
	qsort(points, n, sizeof *points, by_x);
	/* Steps: between two of them nothing was measured. */
	for (size_t i = 0; i < n; i++) {
		if (i) {
			steps[at++] = points[i].x;
			steps[at++] = points[i - 1].y;
		}
		steps[at++] = points[i].x;
		steps[at++] = points[i].y;
	}
	if (n > 1)
		svg_polyline(out, "front", steps, at / 2);
}

static void cost_table(struct table *t, const struct series_list *l, bool money)
{
	table_column(t, "of", TABLE_LEFT);
	table_column(t, money ? "USD per trial" : "tokens per trial", TABLE_RIGHT);
	table_column(t, "mean", TABLE_RIGHT);
	table_column(t, "USD per solved", TABLE_RIGHT);
	table_column(t, "on the front", TABLE_LEFT);
	for (size_t i = 0; i < l->n; i++) {
		const struct summary_group *g = l->v[i].group;
		double cost = price(g, money);
		table_text(t, l->v[i].name);
		if (isnan(cost))
			table_missing(t, g->unpriced ? "N/A" : NULL);
		else
			table_real(t, cost, money ? CENT : 0);
		add_score(t, g->mean.mean, g->tally.scored > 0);
		if (money && !isnan(cost) && g->solved)
			table_real(t, g->money_usd / (double)g->solved, CENT);
		else
			table_missing(t, NULL);
		table_text(t, on_front(l, i, money) ? "yes" : "");
	}
}

static void cost_axes(struct buf *out, const struct svg_scale *x, const struct svg_scale *y,
		      bool money)
{
	double ticks[SVG_TICKS];
	size_t n = svg_ticks(x, 4, ticks);

	for (size_t i = 0; i < n; i++) {
		char text[32];
		snprintf(text, sizeof text, money ? "$%.3g" : "%.3g", ticks[i]);
		if (!money && ticks[i] >= 1e6)
			snprintf(text, sizeof text, "%.3gM", ticks[i] / 1e6);
		else if (!money && ticks[i] >= 1000)
			snprintf(text, sizeof text, "%.3gk", ticks[i] / 1000);
		svg_line(out, "grid", svg_at(x, ticks[i]), y->to, svg_at(x, ticks[i]), y->from);
		svg_text(out, "axis", svg_at(x, ticks[i]), y->from + 14, SVG_MIDDLE, 0, text);
	}
	score_lines(out, x, y);
	svg_text(out, "axis", (x->from + x->to) / 2, y->from + 29, SVG_MIDDLE, 0,
		 money ? "USD per trial" : "tokens per trial");
}

/* The names beneath, each with a mark of its colour and the number that stands for it in the picture. */
static void legend(struct buf *out, const struct series_list *l, double top)
{
	for (size_t i = 0; i < l->n; i++) {
		char class[8];
		double y = top + LEGEND_ROW * (double)i;
		AUTO(free) char *name = xasprintf("%zu. %s", i + 1, l->v[i].name);
		svg_circle(out, chart_class(class, i), 16, y - 4, 5, NULL);
		svg_text(out, "name", 28, y, SVG_START, WIDTH - 40, name);
	}
}

/* With its name where there are few, which have room for it. */
static void draw_point(struct buf *out, const struct series_list *l, size_t i, double x, double y)
{
	bool named = l->n <= NAMED_MAX, right = x > WIDTH * (named ? 0.6 : 0.95);
	char class[8], number[24];

	snprintf(number, sizeof number, "%zu", i + 1);
	svg_circle(out, chart_class(class, i), x, y, 5, l->v[i].name);
	svg_text(out, "name", x + (right ? -9 : 9), y < 24 ? y + 14 : y - 4,
		 right ? SVG_END : SVG_START, 190, named ? l->v[i].name : number);
}

void chart_cost(struct buf *out, const struct series_list *l)
{
	struct svg_scale x = {0, 0, LEFT, WIDTH - 14}, y = {0, 1, 210, 10};
	AUTO(buf) struct buf label = BUF_INIT;
	struct table t = {0};
	bool money = true;
	size_t priced = 0;

	for (int pass = 0; pass < 2 && !priced; pass++) {
		money = pass == 0;
		for (size_t i = 0; i < l->n; i++) {
			double cost = price(l->v[i].group, money);
			priced += !isnan(cost) && cost > 0;
			x.high = fmax(x.high, isnan(cost) ? 0 : cost * 1.08);
		}
	}
	figure_begin(out, "cost", "Cost against score");
	if (!priced) {
		figure_end(out, "Neither the cost nor the tokens of any trial are known.", &t);
		return;
	}
	buf_addf(&label, "Mean score against %s per trial.", money ? "USD" : "tokens");
	for (size_t i = 0; i < l->n; i++)
		if (on_front(l, i, money))
			buf_addf(&label, " On the front: %s.", l->v[i].name);
	svg_begin(out, WIDTH, l->n > NAMED_MAX ? 256 + LEGEND_ROW * (double)l->n : 244, 0,
		  label.data);
	cost_axes(out, &x, &y, money);
	draw_front(out, l, &x, &y, money);
	for (size_t i = 0; i < l->n; i++) {
		double cost = price(l->v[i].group, money);
		if (!isnan(cost))
			draw_point(out, l, i, svg_at(&x, cost),
				   svg_at(&y, l->v[i].group->mean.mean));
	}
	if (l->n > NAMED_MAX)
		legend(out, l, 262);
	svg_end(out);
	cost_table(&t, l, money);
	figure_end(
		out,
		money ? "Mean score against the money of the agent's model calls per scored trial. "
			"The stepped line joins those that nothing beats in both."
		      : "Mean score against tokens per scored trial, as no cost is known. The "
			"stepped line joins those that nothing beats in both.",
		&t);
}

static void rollouts_table(struct table *t, const struct series_list *l)
{
	table_column(t, "of", TABLE_LEFT);
	table_column(t, "k", TABLE_RIGHT);
	table_column(t, "pass@k", TABLE_RIGHT);
	table_column(t, "95 % from", TABLE_RIGHT);
	table_column(t, "to", TABLE_RIGHT);
	table_column(t, "pass^k", TABLE_RIGHT);
	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < l->v[i].group->passes_n; k++) {
			const struct summary_pass *p = &l->v[i].group->passes[k];
			bool interval = p->at.method != STATS_NONE;
			table_text(t, l->v[i].name);
			table_int(t, (int64_t)p->k);
			add_score(t, p->at.mean, true);
			add_score(t, p->at.low, interval);
			add_score(t, p->at.high, interval);
			add_score(t, p->hat.mean, true);
		}
}

static void draw_passes(struct buf *out, const struct summary_group *g, const char *class,
			const struct svg_scale *x, const struct svg_scale *y)
{
	double at[2 * SUMMARY_PASSES], hat[2 * SUMMARY_PASSES];
	char line[24], dashed[24];

	for (size_t k = 0; k < g->passes_n; k++) {
		at[2 * k] = hat[2 * k] = svg_at(x, log2((double)g->passes[k].k));
		at[2 * k + 1] = svg_at(y, g->passes[k].at.mean);
		hat[2 * k + 1] = svg_at(y, g->passes[k].hat.mean);
	}
	snprintf(line, sizeof line, "line %s", class);
	snprintf(dashed, sizeof dashed, "line dashed %s", class);
	svg_polyline(out, line, at, g->passes_n);
	svg_polyline(out, dashed, hat, g->passes_n);
	for (size_t k = 0; k < g->passes_n; k++)
		svg_circle(out, class, at[2 * k], at[2 * k + 1], 3.5, NULL);
}

void chart_rollouts(struct buf *out, const struct series_list *l)
{
	struct svg_scale x = {0, 0, LEFT, WIDTH - 14};
	const struct svg_scale y = {0, 1, 210, 10};
	AUTO(buf) struct buf label = BUF_INIT;
	const struct summary_group *widest = NULL;
	struct table t = {0};

	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].group->passes_n > (widest ? widest->passes_n : 0))
			widest = l->v[i].group;
	figure_begin(out, "rollouts", "Score by rollouts");
	if (!widest || widest->passes_n < 2) {
		figure_end(out, "No task was tried more than once under one condition.", &t);
		return;
	}
	x.high = log2((double)widest->passes[widest->passes_n - 1].k);
	buf_addf(&label,
		 "The share of tasks that one of k rollouts solves, and that all k solve, for k "
		 "from 1 to %zu.",
		 widest->passes[widest->passes_n - 1].k);
	svg_begin(out, WIDTH, 240 + LEGEND_ROW * (double)l->n, 0, label.data);
	for (size_t k = 0; k < widest->passes_n; k++) {
		char text[16];
		double px = svg_at(&x, log2((double)widest->passes[k].k));
		snprintf(text, sizeof text, "%s%zu", k ? "" : "k = ", widest->passes[k].k);
		svg_line(out, "grid", px, y.to, px, y.from);
		svg_text(out, "axis", px, y.from + 17, SVG_MIDDLE, 0, text);
	}
	score_lines(out, &x, &y);
	for (size_t i = 0; i < l->n; i++) {
		char class[8];
		draw_passes(out, l->v[i].group, chart_class(class, i), &x, &y);
	}
	legend(out, l, 246);
	svg_end(out);
	rollouts_table(&t, l);
	figure_end(out,
		   "The chance that at least one of k rollouts solves a task (pass@k, whole line), "
		   "and "
		   "that all k do (pass^k, dashed); unbiased, over tasks.",
		   &t);
}

/* As a class: "o-infra_error", spaces as dashes. */
static const char *state_class(char out[32], int state)
{
	snprintf(out, 32, "o-%s", summary_state_name(state));
	for (char *p = out; *p; p++)
		if (*p == ' ')
			*p = '-';
	return out;
}

static void outcomes_table(struct table *t, const struct series_list *l,
			   const size_t all[STATE_COUNT_])
{
	table_column(t, "of", TABLE_LEFT);
	for (int k = 0; k < STATE_COUNT_; k++)
		if (all[k])
			table_column(t, summary_state_name(k), TABLE_RIGHT);
	table_column(t, "planned", TABLE_RIGHT);
	for (size_t i = 0; i < l->n; i++) {
		table_text(t, l->v[i].name);
		for (int k = 0; k < STATE_COUNT_; k++)
			if (all[k])
				table_int(t, (int64_t)l->v[i].group->states[k]);
		table_int(t, (int64_t)l->v[i].group->tally.planned);
	}
}

static void draw_outcomes(struct buf *out, const struct series *one, double y, double widest)
{
	double x = 10;

	svg_text(out, "name", 10, y + 14, SVG_START, WIDTH - 24, one->name);
	for (int k = 0; k < STATE_COUNT_; k++) {
		size_t n = one->group->states[k];
		double w = (WIDTH - 24) * (double)n / widest;
		char class[32], title[64];
		if (!n)
			continue;
		snprintf(title, sizeof title, "%zu %s", n, summary_state_name(k));
		svg_rect(out, state_class(class, k), x, y + 20, w, 14, title);
		x += w;
	}
}

void chart_outcomes(struct buf *out, const struct series_list *l)
{
	size_t all[STATE_COUNT_] = {0}, widest = 1, kinds = 0;
	const double row = 42, bottom = row * (double)l->n;
	AUTO(buf) struct buf label = BUF_INIT;
	struct table t = {0};

	for (size_t i = 0; i < l->n; i++) {
		widest = l->v[i].group->tally.planned > widest ? l->v[i].group->tally.planned
							       : widest;
		for (int k = 0; k < STATE_COUNT_; k++)
			all[k] += l->v[i].group->states[k];
	}
	buf_adds(&label, "How the planned trials ended:");
	for (int k = 0; k < STATE_COUNT_; k++)
		if (all[k]) {
			buf_addf(&label, "%s %zu %s", kinds ? "," : "", all[k],
				 summary_state_name(k));
			kinds++;
		}
	figure_begin(out, "outcomes", "Outcomes");
	svg_begin(out, WIDTH, bottom + 10 + 18 * (double)kinds, 0, label.data);
	for (size_t i = 0; i < l->n; i++)
		draw_outcomes(out, &l->v[i], row * (double)i, (double)widest);
	double y = bottom + 16;
	for (int k = 0; k < STATE_COUNT_; k++) {
		char class[32], text[64];
		if (!all[k])
			continue;
		snprintf(text, sizeof text, "%zu %s", all[k], summary_state_name(k));
		svg_rect(out, state_class(class, k), 10, y - 10, 12, 12, NULL);
		svg_text(out, "name", 28, y, SVG_START, 0, text);
		y += 18;
	}
	svg_end(out);
	outcomes_table(&t, l, all);
	figure_end(out,
		   "How the planned trials ended. What the infrastructure failed, was cancelled or "
		   "was never "
		   "run is missing: no score, and no zero.",
		   &t);
}
