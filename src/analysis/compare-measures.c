/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/compare-measures.h"
#include <math.h>
#include <stdlib.h>
#include "analysis/compare-cells.h"
#include "analysis/measures.h"
#include "base/cleanup.h"
#include "base/mem.h"

enum { CANDIDATE, BASELINE, SIDES };

/* One number of each task. */
struct task_values {
	double sum[SIDES];
	size_t k[SIDES];
};

struct values {
	struct task_values *tasks;
	double low, high; /* of all trials */
	bool self_reported;
};

static bool holds(const struct comparison *c, size_t side, const struct summary_row *row)
{
	const struct summary_condition *x = &c->summary.conditions[row->condition];

	return compare_side_holds(&c->sides->v[side], x->rollout, x->model, x->label, x->agent);
}

static void take_row(struct values *to, const struct summary_row *row, const char *name, int side)
{
	double v = measure_custom(row->status, name);
	struct task_values *t = &to->tasks[row->task];

	if (isnan(v))
		return;
	t->sum[side] += v;
	t->k[side]++;
	to->low = fmin(to->low, v);
	to->high = fmax(to->high, v);
	to->self_reported |= measure_is_self_reported(row->status, name);
}

static void take_values(struct values *to, const struct comparison *c, const struct compare_pair *p,
			const char *name)
{
	const struct summary *s = &c->summary;

	for (size_t i = 0; i < s->rows_n; i++) {
		const struct summary_row *row = &s->rows[i];
		if (compare_standing_of(row) == STANDING_MISSING)
			continue;
		if (holds(c, p->candidate, row))
			take_row(to, row, name, CANDIDATE);
		if (holds(c, p->baseline, row))
			take_row(to, row, name, BASELINE);
	}
}

static void scale_back(struct stats_difference *d, double unit)
{
	d->mean *= unit;
	d->se *= unit;
	d->low *= unit;
	d->high *= unit;
	d->mde *= unit;
}

/* The arithmetic is of scores, from 0 to 1: a number is put into what was seen of it. */
static void compare_values(struct compare_measure *m, const struct values *v,
			   const struct comparison *c)
{
	const struct clusters *clusters = &c->summary.clusters;
	const double range = v->high > v->low ? v->high - v->low : 1;
	AUTO(free) double *d = xcalloc(c->summary.tasks_n + 1, sizeof *d);
	AUTO(free) size_t *cluster = xcalloc(c->summary.tasks_n + 1, sizeof *cluster);
	struct stats_pairs pairs = {.d = d};
	double sums[SIDES] = {0};

	for (size_t i = 0; i < c->summary.tasks_n; i++) {
		const struct task_values *t = &v->tasks[i];
		if (!t->k[CANDIDATE] || !t->k[BASELINE])
			continue;
		const double a = t->sum[CANDIDATE] / (double)t->k[CANDIDATE],
			     b = t->sum[BASELINE] / (double)t->k[BASELINE];
		sums[CANDIDATE] += a;
		sums[BASELINE] += b;
		if (clusters->of)
			cluster[pairs.n] = clusters->of[i];
		d[pairs.n++] = (a - b) / range;
		pairs.inverse_k += (1 / (double)t->k[CANDIDATE] + 1 / (double)t->k[BASELINE]) / 2;
	}
	m->difference.n = pairs.n;
	if (!pairs.n)
		return;
	pairs.inverse_k /= (double)pairs.n;
	if (clusters->of) {
		pairs.cluster = cluster;
		pairs.clusters = clusters->n;
	}
	m->candidate = sums[CANDIDATE] / (double)pairs.n;
	m->baseline = sums[BASELINE] / (double)pairs.n;
	m->self_reported = v->self_reported;
	stats_paired_default(&m->difference, &pairs, c->options.level);
	scale_back(&m->difference, range);
}

void compare_measures_make(struct compare_measures *out, const struct comparison *c,
			   const struct compare_pair *p)
{
	const char **names = NULL;
	size_t n = 0;

	*out = (struct compare_measures){0};
	measures_custom(&c->summary, &names, &n);
	for (size_t i = 0; i < n; i++) {
		struct values v = {.low = INFINITY, .high = -INFINITY};
		struct compare_measure m = {.name = names[i]};

		v.tasks = xcalloc(c->summary.tasks_n + 1, sizeof *v.tasks);
		take_values(&v, c, p, names[i]);
		compare_values(&m, &v, c);
		free(v.tasks);
		if (!m.difference.n)
			continue;
		GROW(out->v, out->n, out->cap);
		out->v[out->n++] = m;
	}
	free(names);
}

void compare_measures_release(struct compare_measures *m)
{
	free(m->v);
	*m = (struct compare_measures){0};
}
