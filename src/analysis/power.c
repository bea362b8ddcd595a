/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/power.h"
#include <math.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"

/* Of the bimodal mix of bench/coverage: half of all tasks nearly always or nearly never solved. */
#define PRIOR_W2 0.031
#define PRIOR_WITHIN 0.25
#define PRIOR_TRUE_VARIANCE 0.125 /* of the tasks' own rates there */

void power_prior(struct power *out)
{
	*out = (struct power){.source = POWER_PRIOR,
			      .w2 = PRIOR_W2,
			      .within = PRIOR_WITHIN,
			      .s2 = NAN,
			      .rollouts = NAN,
			      .factor = 1,
			      .usd_per_trial = NAN};
}

/* One task of one model. */
struct cell {
	double n, sum, squares;
};

static double mean_of(const struct cell *c)
{
	return c->sum / c->n;
}

static double variance_of(const struct cell *c)
{
	return fmax(0, (c->squares - c->sum * c->sum / c->n) / (c->n - 1));
}

static double sample_variance(const double *x, size_t n)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i];
	for (size_t i = 0; i < n; i++)
		squares += (x[i] - sum / (double)n) * (x[i] - sum / (double)n);
	return squares / (double)(n - 1);
}

static void fill(struct cell *cells, const struct summary *s, const char *model)
{
	for (size_t i = 0; i < s->rows_n; i++) {
		const struct summary_row *row = &s->rows[i];
		double score = row->status->result.total_score;
		if (row->standing != STANDING_SCORED ||
		    strcmp(s->conditions[row->condition].model, model) != 0)
			continue;
		struct cell *c = &cells[row->task];
		c->n++;
		c->sum += score;
		c->squares += score * score;
	}
}

static const char *other_model(const struct summary *s, const char *first)
{
	for (size_t i = 0; i < s->conditions_n; i++)
		if (strcmp(s->conditions[i].model, first) != 0)
			return s->conditions[i].model;
	return NULL;
}

/* What the tasks that count say, added up. */
struct sums {
	double *x; /* means, or differences of means */
	size_t n;
	double within;	 /* variances between rollouts, where there is more than one */
	double repeated; /* of how many */
	double inverse_k, sides;
};

static void add_side(struct sums *sums, const struct cell *c)
{
	if (c->n > 1) {
		sums->within += variance_of(c);
		sums->repeated++;
	}
	sums->inverse_k += 1 / c->n;
	sums->sides++;
}

static void add_up(struct sums *sums, const struct cell *a, const struct cell *b, size_t tasks)
{
	for (size_t i = 0; i < tasks; i++) {
		if (a[i].n == 0 || (b && b[i].n == 0))
			continue;
		sums->x[sums->n++] = mean_of(&a[i]) - (b ? mean_of(&b[i]) : 0);
		add_side(sums, &a[i]);
		if (b)
			add_side(sums, &b[i]);
	}
}

static void conclude(struct power *out, const struct sums *sums, bool two)
{
	const double spread = sample_variance(sums->x, sums->n);

	out->tasks = sums->n;
	out->rollouts = sums->sides / sums->inverse_k;
	out->factor = stats_variance_factor(sums->n, POWER_WANTED);
	out->within = sums->repeated > 0 ? (two ? 2 : 1) * sums->within / sums->repeated : NAN;
	out->s2 = two ? spread : NAN;
	if (two) {
		out->w2 = isnan(out->within) ? NAN : fmax(0, spread - out->within / out->rollouts);
		return;
	}
	/* How far apart the rates of two models lie is taken from how far apart the tasks are, as in the prior. */
	double between =
		isnan(out->within) ? spread : fmax(0, spread - out->within / out->rollouts);
	out->w2 = between * PRIOR_W2 / PRIOR_TRUE_VARIANCE;
	out->within = isnan(out->within) ? PRIOR_WITHIN : 2 * out->within;
}

int power_pilot(struct power *out, const struct summary *s, struct err *err)
{
	AUTO(free) struct cell *a = xcalloc(s->tasks_n + 1, sizeof *a);
	AUTO(free) struct cell *b = xcalloc(s->tasks_n + 1, sizeof *b);
	AUTO(free) double *x = xcalloc(s->tasks_n + 1, sizeof *x);
	const struct summary_group *all = summary_all(s);
	struct sums sums = {.x = x};

	power_prior(out);
	out->candidate = s->conditions_n ? s->conditions[0].model : "";
	out->baseline = s->conditions_n ? other_model(s, out->candidate) : NULL;
	out->source = out->baseline ? POWER_TWO_MODELS : POWER_ONE_MODEL;
	fill(a, s, out->candidate);
	if (out->baseline)
		fill(b, s, out->baseline);
	add_up(&sums, a, out->baseline ? b : NULL, s->tasks_n);
	if (sums.n < 2)
		return err_set(err, ERR_USAGE, 0,
			       "%zu task%s with scores%s: a pilot needs two, better twenty", sums.n,
			       sums.n == 1 ? "" : "s", out->baseline ? " of both models" : "");
	conclude(out, &sums, out->baseline);
	if (all->money_usd > 0 && !all->unpriced && all->tally.planned > all->tally.missing)
		out->usd_per_trial =
			all->money_usd / (double)(all->tally.planned - all->tally.missing);
	return 0;
}

/* Of the difference of one task's means. */
static double task_variance(const struct power *p, size_t k)
{
	/* What was seen needs no model of where it came from. */
	if (!isnan(p->s2) && fabs((double)k - p->rollouts) < 1e-9)
		return p->factor * p->s2;
	return p->factor * (p->w2 + p->within / (double)k);
}

double power_mde(const struct power *p, size_t tasks, size_t k, double level)
{
	return stats_mde(tasks, sqrt(task_variance(p, k)), POWER_WANTED, level).approximate;
}

double power_tasks(const struct power *p, double delta, size_t k, double level)
{
	return stats_tasks_needed(delta, task_variance(p, k), 0, 1, POWER_WANTED, level);
}
