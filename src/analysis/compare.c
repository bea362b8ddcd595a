/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/compare.h"
#include <math.h>
#include <stdlib.h>
#include "analysis/compare-differences.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "stats/exact.h"
#include "stats/multiple.h"
#include "stats/plan.h"

#define ROUNDING 1e-12
#define POWER 0.8

/* One task on one side. */
struct cell {
	size_t planned, scored, missing;
	double sum;
	/* Its trials: any, and those with the lowest and the highest score; NULL: none. */
	const struct summary_row *any, *lowest, *highest;
};

struct table_of_cells {
	struct cell *v; /* side after side, each with all tasks */
	size_t tasks;
};

static const struct cell *cell_of(const struct table_of_cells *t, size_t side, size_t task)
{
	return &t->v[side * t->tasks + task];
}

/* First tries are compared: what was run again because of its outcome is a selection. */
static double score_of(const struct summary_row *row)
{
	const struct trial_result *r = &row->status->result;
	return r->replaced ? r->first_score : r->total_score;
}

static enum standing standing_of(const struct summary_row *row)
{
	const struct trial_result *r = &row->status->result;
	if (!r->replaced)
		return row->standing;
	return r->first_scored ? STANDING_SCORED : STANDING_UNSCORED;
}

static void add_row(struct cell *c, const struct summary_row *row)
{
	c->planned++;
	c->missing += standing_of(row) == STANDING_MISSING;
	if (!c->any)
		c->any = row;
	if (standing_of(row) != STANDING_SCORED)
		return;
	/* What was graded says with which tests. */
	if (!c->scored++)
		c->any = row;
	c->sum += score_of(row);
	if (!c->lowest || score_of(row) < score_of(c->lowest))
		c->lowest = row;
	if (!c->highest || score_of(row) > score_of(c->highest))
		c->highest = row;
}

static double mean_of(const struct cell *c)
{
	return c->sum / (double)c->scored;
}

/* What the missing trials of a side count for. */
enum fill { FILL_DROP, FILL_ZERO, FILL_ONE };

static double filled_k(const struct cell *c, enum fill fill)
{
	return (double)(c->scored + (fill == FILL_DROP ? 0 : c->missing));
}

static double filled_mean(const struct cell *c, enum fill fill)
{
	return (c->sum + (fill == FILL_ONE ? (double)c->missing : 0)) / filled_k(c, fill);
}

/* The tasks of a pair of sides. */
struct pairing {
	const struct table_of_cells *cells;
	size_t candidate, baseline;
	double *d; /* room for all tasks */
};

/* The differences of the tasks that both sides have a mean for; how many. */
static size_t differences(const struct pairing *p, enum fill candidate, enum fill baseline,
			  double *inverse_k)
{
	size_t n = 0;

	*inverse_k = 0;
	for (size_t i = 0; i < p->cells->tasks; i++) {
		const struct cell *a = cell_of(p->cells, p->candidate, i),
				  *b = cell_of(p->cells, p->baseline, i);
		double ka = filled_k(a, candidate), kb = filled_k(b, baseline);
		if (ka == 0 || kb == 0)
			continue;
		p->d[n++] = filled_mean(a, candidate) - filled_mean(b, baseline);
		*inverse_k += (1 / ka + 1 / kb) / 2;
	}
	if (n)
		*inverse_k /= (double)n;
	return n;
}

static struct stats_difference difference_of(const struct pairing *p, enum fill candidate,
					     enum fill baseline, double level)
{
	struct stats_pairs pairs = {.d = p->d};
	struct stats_difference out;

	pairs.n = differences(p, candidate, baseline, &pairs.inverse_k);
	stats_paired_default(&out, &pairs, level);
	return out;
}

static void count_tasks(struct compare_pair *out, const struct pairing *p)
{
	for (size_t i = 0; i < p->cells->tasks; i++) {
		const struct cell *a = cell_of(p->cells, p->candidate, i),
				  *b = cell_of(p->cells, p->baseline, i);
		out->only_candidate += a->planned && !b->planned;
		out->only_baseline += b->planned && !a->planned;
		if (!a->planned || !b->planned)
			continue;
		out->missing += a->missing + b->missing;
		out->unpaired += !a->scored || !b->scored;
	}
}

static int by_change(const void *x, const void *y)
{
	const struct compare_flip *a = x, *b = y;
	double da = a->candidate - a->baseline, db = b->candidate - b->baseline;

	if ((da < 0) != (db < 0))
		return da < 0 ? -1 : 1;
	if (fabs(da) != fabs(db))
		return fabs(da) > fabs(db) ? -1 : 1;
	return strcmp(a->task, b->task);
}

static const char *run_of(const struct summary_row *row)
{
	return row->status->trial.run_id ? row->status->trial.run_id : "";
}

static void find_flips(struct compare_pair *out, const struct pairing *p, const struct summary *s)
{
	out->flips = xcalloc(p->cells->tasks + 1, sizeof *out->flips);
	for (size_t i = 0; i < p->cells->tasks; i++) {
		const struct cell *a = cell_of(p->cells, p->candidate, i),
				  *b = cell_of(p->cells, p->baseline, i);
		if (!a->scored || !b->scored || fabs(mean_of(a) - mean_of(b)) < ROUNDING)
			continue;
		bool worse = mean_of(a) < mean_of(b);
		out->flips[out->flips_n++] = (struct compare_flip){
			.task = summary_task_name(s, a->any),
			.candidate = mean_of(a),
			.baseline = mean_of(b),
			.candidate_run = run_of(worse ? a->lowest : a->highest),
			.baseline_run = run_of(worse ? b->highest : b->lowest)};
		out->regressions += worse;
	}
	qsort(out->flips, out->flips_n, sizeof *out->flips, by_change);
}

static void find_differences(struct compare_pair *out, const struct pairing *p,
			     const struct compare_sides *sides)
{
	struct compare_differences found = {0};

	compare_differences_rollouts(&found, sides->v[p->candidate].rollout,
				     sides->v[p->baseline].rollout);
	for (size_t i = 0; i < p->cells->tasks; i++) {
		const struct cell *a = cell_of(p->cells, p->candidate, i),
				  *b = cell_of(p->cells, p->baseline, i);
		if (a->planned && b->planned)
			compare_differences_trials(&found, a->any->status, b->any->status);
	}
	out->differences = found.v;
	out->differences_n = found.n;
}

/* While too few tasks differ the variance of the differences says little: then with what the interval adds. */
static double tasks_needed(const struct stats_difference *d, const struct pairing *p,
			   const struct compare_options *o)
{
	enum fill fill = o->missing == COMPARE_ZERO ? FILL_ZERO : FILL_DROP;
	double inverse_k, unseen = d->se * d->se * (double)d->n;
	size_t n = differences(p, fill, fill, &inverse_k);
	const struct stats_cluster_mean m = stats_cluster_mean(p->d, NULL, n, 0);
	double variance = d->differing >= STATS_INFORMATIVE ? m.variance * (double)n : unseen;

	return stats_tasks_needed(COMPARE_EFFECT, variance, 0, 1, POWER, o->level);
}

static void paired_t(struct compare_pair *out, const double *d, size_t n, double level)
{
	struct stats_difference t;

	stats_paired_t(&t, &(struct stats_pairs){.d = d, .n = n}, level);
	out->test_p = t.p;
	out->test_low = t.low;
	out->test_high = t.high;
}

static void sign_flip(struct compare_pair *out, const double *d, size_t n, double level)
{
	enum { SAMPLES = 10000, SEED = 1 };
	const struct stats_sign_flip f = stats_sign_flip(d, n, SAMPLES, SEED, level);

	out->test_p = f.p;
	out->test_low = f.interval.low;
	out->test_high = f.interval.high;
}

/* It counts solved and unsolved: a task mean in between is neither. */
static void mcnemar(struct compare_pair *out, const struct pairing *p)
{
	size_t won = 0, lost = 0;

	for (size_t i = 0; i < p->cells->tasks; i++) {
		const struct cell *a = cell_of(p->cells, p->candidate, i),
				  *b = cell_of(p->cells, p->baseline, i);
		if (!a->scored || !b->scored)
			continue;
		double x = mean_of(a), y = mean_of(b);
		if ((x != 0 && x != 1) || (y != 0 && y != 1))
			return;
		won += x > y;
		lost += x < y;
	}
	out->test_p = stats_mcnemar(won, lost).exact;
}

static void test(struct compare_pair *out, const struct pairing *p,
		 const struct compare_options *options)
{
	enum fill fill = options->missing == COMPARE_ZERO ? FILL_ZERO : FILL_DROP;
	double inverse_k;
	size_t n = differences(p, fill, fill, &inverse_k);

	out->test_p = out->test_low = out->test_high = NAN;
	if (n < 2 || options->test == COMPARE_NO_TEST)
		return;
	if (options->test == COMPARE_T)
		paired_t(out, p->d, n, options->level);
	else if (options->test == COMPARE_SIGN_FLIP)
		sign_flip(out, p->d, n, options->level);
	else
		mcnemar(out, p);
}

static void compare_two(struct comparison *c, struct compare_pair *out, const struct pairing *p)
{
	const struct compare_options *o = &c->options;
	enum fill fill = o->missing == COMPARE_ZERO ? FILL_ZERO : FILL_DROP;

	out->candidate = p->candidate;
	out->baseline = p->baseline;
	count_tasks(out, p);
	find_flips(out, p, &c->summary);
	find_differences(out, p, c->sides);
	out->difference = difference_of(p, fill, fill, o->level);
	out->tasks_needed = tasks_needed(&out->difference, p, o);
	out->worst = out->best = out->difference;
	if (o->missing == COMPARE_BOUNDS && out->missing) {
		out->worst = difference_of(p, FILL_ZERO, FILL_ONE, o->level);
		out->best = difference_of(p, FILL_ONE, FILL_ZERO, o->level);
	}
	test(out, p, o);
}

static bool has_direction(enum stats_verdict v)
{
	return v == STATS_BETTER || v == STATS_WORSE;
}

static void not_decided(struct compare_pair *p, enum compare_reason reason)
{
	p->verdict = STATS_NOT_DECIDED;
	p->reason = reason;
}

static void decide(struct compare_pair *p, const struct compare_options *o, bool live)
{
	enum stats_verdict worst = stats_verdict(&p->worst, o->margin),
			   best = stats_verdict(&p->best, o->margin);

	p->verdict = stats_verdict(&p->difference, o->margin);
	p->reason = COMPARE_DECIDED;
	if (live)
		not_decided(p, COMPARE_STILL_RUNS);
	else if (worst != best || worst != p->verdict)
		not_decided(p, COMPARE_MISSING);
	else if (p->difference.units < 2)
		not_decided(p, COMPARE_TOO_FEW);
	else if (p->verdict == STATS_NOT_DECIDED)
		not_decided(p, COMPARE_UNCERTAIN);
	else if (has_direction(p->verdict) && p->p_holm >= 1 - o->level)
		not_decided(p, COMPARE_CORRECTED);
}

static void decide_gate(struct compare_pair *p, const struct compare_options *o, bool live)
{
	p->gate = STATS_INCONCLUSIVE;
	p->gate_chance = NAN;
	if (o->margin <= 0)
		return;
	p->gate_chance = stats_gate_chance(&p->difference, o->margin, o->level);
	enum stats_gate gate = stats_gate(&p->difference, o->margin);
	if (!live && gate == stats_gate(&p->worst, o->margin) &&
	    gate == stats_gate(&p->best, o->margin))
		p->gate = gate;
}

static void adjust(struct comparison *c)
{
	AUTO(free) double *p = xcalloc(c->pairs_n + 1, sizeof *p);
	AUTO(free) double *adjusted = xcalloc(c->pairs_n + 1, sizeof *adjusted);

	for (size_t i = 0; i < c->pairs_n; i++) {
		const struct compare_pair *pair = &c->pairs[i];
		double largest = fmax(pair->difference.p, fmax(pair->worst.p, pair->best.p));
		/* A comparison that could not be made claims nothing. */
		p[i] = isnan(largest) ? 1 : largest;
	}
	stats_holm(p, c->pairs_n, adjusted);
	for (size_t i = 0; i < c->pairs_n; i++)
		c->pairs[i].p_holm = adjusted[i];
}

/* By verdicts, which already are corrected for the number of comparisons and for what is missing. */
static void rank(struct comparison *c)
{
	for (size_t i = 0; i < c->sides->n; i++) {
		c->standings[i].rank_best = 1;
		c->standings[i].rank_worst = c->sides->n;
	}
	for (size_t i = 0; i < c->pairs_n; i++) {
		const struct compare_pair *p = &c->pairs[i];
		if (!has_direction(p->verdict))
			continue;
		bool better = p->verdict == STATS_BETTER;
		c->standings[better ? p->candidate : p->baseline].rank_worst--;
		c->standings[better ? p->baseline : p->candidate].rank_best++;
	}
}

static ptrdiff_t side_of(const struct compare_sides *sides, const struct summary_condition *c)
{
	for (size_t i = 0; i < sides->n; i++)
		if (compare_side_holds(&sides->v[i], c->rollout, c->model, c->label, c->agent))
			return (ptrdiff_t)i;
	return -1;
}

static void add_standing(struct compare_standing *s, const struct summary_row *row)
{
	const struct trial_result *r = &row->status->result;

	s->tally.planned++;
	s->tally.scored += standing_of(row) == STANDING_SCORED;
	s->tally.unscored += standing_of(row) == STANDING_UNSCORED;
	s->tally.missing += standing_of(row) == STANDING_MISSING;
	s->tally.replaced += r->replaced;
	s->solved += standing_of(row) == STANDING_SCORED && score_of(row) > 1 - ROUNDING;
	if (!row->status->has_result)
		return;
	if (r->money_usd >= 0)
		s->money_usd += r->money_usd;
	else if (r->calls > 0)
		s->money_usd = NAN;
}

static void fill_cells(struct comparison *c, struct table_of_cells *cells)
{
	const struct summary *s = &c->summary;
	AUTO(free) ptrdiff_t *side = xcalloc(s->conditions_n + 1, sizeof *side);

	for (size_t i = 0; i < s->conditions_n; i++)
		side[i] = side_of(c->sides, &s->conditions[i]);
	for (size_t i = 0; i < s->rows_n; i++) {
		const struct summary_row *row = &s->rows[i];
		ptrdiff_t at = side[row->condition];
		if (at < 0)
			continue;
		add_row(&cells->v[(size_t)at * cells->tasks + (size_t)row->task], row);
		add_standing(&c->standings[at], row);
	}
}

static void end_standings(struct comparison *c, const struct table_of_cells *cells)
{
	for (size_t i = 0; i < c->sides->n; i++) {
		struct compare_standing *s = &c->standings[i];
		double sum = 0;
		for (size_t k = 0; k < cells->tasks; k++) {
			const struct cell *cell = cell_of(cells, i, k);
			if (!cell->scored)
				continue;
			s->tasks++;
			sum += mean_of(cell);
		}
		s->mean = s->tasks ? sum / (double)s->tasks : NAN;
		/* Where nothing was paid for, no model was asked. */
		if (isnan(s->money_usd) || s->money_usd <= 0)
			s->money_usd = -1;
	}
}

void compare_make(struct comparison *out, const struct compare_sides *sides,
		  const struct rollout *rollouts, size_t n, const struct compare_options *options)
{
	AUTO(free) const struct rollout **all = xcalloc(n + 1, sizeof *all);

	*out = (struct comparison){
		.options = *options, .sides = sides, .pairs_n = sides->matches_n};
	for (size_t i = 0; i < n; i++) {
		all[i] = &rollouts[i];
		out->live |= rollouts[i].live;
	}
	summary_make(&out->summary, all, n, options->level);
	out->standings = xcalloc(sides->n + 1, sizeof *out->standings);
	out->pairs = xcalloc(sides->matches_n + 1, sizeof *out->pairs);

	struct table_of_cells cells = {.tasks = out->summary.tasks_n};
	cells.v = xcalloc(sides->n * cells.tasks + 1, sizeof *cells.v);
	AUTO(free) double *d = xcalloc(cells.tasks + 1, sizeof *d);
	fill_cells(out, &cells);
	end_standings(out, &cells);
	for (size_t i = 0; i < out->pairs_n; i++)
		compare_two(out, &out->pairs[i],
			    &(struct pairing){&cells, sides->matches[i].candidate,
					      sides->matches[i].baseline, d});
	free(cells.v);
	adjust(out);
	for (size_t i = 0; i < out->pairs_n; i++) {
		decide(&out->pairs[i], options, out->live);
		decide_gate(&out->pairs[i], options, out->live);
	}
	if (sides->all_pairs && sides->n > 2)
		rank(out);
}

void compare_release(struct comparison *c)
{
	for (size_t i = 0; i < c->pairs_n; i++) {
		struct compare_pair *p = &c->pairs[i];
		for (size_t k = 0; k < p->differences_n; k++) {
			free(p->differences[k].candidate);
			free(p->differences[k].baseline);
		}
		free(p->differences);
		free(p->flips);
	}
	free(c->pairs);
	free(c->standings);
	summary_release(&c->summary);
}

enum stats_gate compare_gate(const struct comparison *c)
{
	enum stats_gate gate = c->pairs_n ? STATS_PASS : STATS_INCONCLUSIVE;

	for (size_t i = 0; i < c->pairs_n; i++) {
		if (c->pairs[i].gate == STATS_FAIL)
			return STATS_FAIL;
		if (c->pairs[i].gate == STATS_INCONCLUSIVE)
			gate = STATS_INCONCLUSIVE;
	}
	return gate;
}
