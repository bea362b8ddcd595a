/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/compare.h"
#include <math.h>
#include <stdlib.h>
#include "analysis/compare-cells.h"
#include "analysis/compare-differences.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "stats/exact.h"
#include "stats/multiple.h"
#include "stats/plan.h"

#define ROUNDING 1e-12
#define POWER 0.8

static void count_tasks(struct compare_pair *out, const struct compare_pairing *p)
{
	for (size_t i = 0; i < p->cells->tasks; i++) {
		const struct compare_cell *a = compare_cell_of(p->cells, p->candidate, i),
					  *b = compare_cell_of(p->cells, p->baseline, i);
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

/* The run that shows best what became of a cell: its lowest or its highest score, or a missing one that counts as 0. */
static const struct summary_row *shows(const struct compare_cell *c, bool low,
				       enum compare_fill fill)
{
	if (!c->scored || (low && fill == FILL_ZERO && c->missing))
		return c->missed ? c->missed : c->any;
	return low ? c->lowest : c->highest;
}

static void find_flips(struct compare_pair *out, const struct compare_pairing *p,
		       const struct summary *s, enum compare_fill fill)
{
	out->flips = xcalloc(p->cells->tasks + 1, sizeof *out->flips);
	for (size_t i = 0; i < p->cells->tasks; i++) {
		const struct compare_cell *a = compare_cell_of(p->cells, p->candidate, i),
					  *b = compare_cell_of(p->cells, p->baseline, i);
		double x = compare_cell_mean_with(a, fill), y = compare_cell_mean_with(b, fill);
		if (isnan(x) || isnan(y) || fabs(x - y) < ROUNDING)
			continue;
		out->flips[out->flips_n++] =
			(struct compare_flip){.task = summary_task_name(s, a->any),
					      .candidate = x,
					      .baseline = y,
					      .candidate_run = shows(a, x < y, fill)->status,
					      .baseline_run = shows(b, y < x, fill)->status};
		out->regressions += x < y;
	}
	qsort(out->flips, out->flips_n, sizeof *out->flips, by_change);
}

static void find_differences(struct compare_pair *out, const struct compare_pairing *p,
			     const struct compare_sides *sides)
{
	struct compare_differences found = {0};
	bool looked = false;

	compare_differences_rollouts(&found, sides->v[p->candidate].rollout,
				     sides->v[p->baseline].rollout);
	for (size_t i = 0; i < p->cells->tasks; i++) {
		const struct compare_cell *a = compare_cell_of(p->cells, p->candidate, i),
					  *b = compare_cell_of(p->cells, p->baseline, i);
		if (!a->planned || !b->planned)
			continue;
		if (!looked)
			compare_differences_agents(&found, sides->v[p->candidate].rollout,
						   a->any->status->shared->setting->agent,
						   sides->v[p->baseline].rollout,
						   b->any->status->shared->setting->agent);
		looked = true;
		compare_differences_trials(&found, a->any->status, b->any->status);
	}
	out->differences = found.v;
	out->differences_n = found.n;
}

/* While too few tasks differ the variance of the differences says little: then with what the interval adds. */
static double tasks_needed(const struct stats_difference *d, const struct compare_pairing *p,
			   const struct compare_options *o)
{
	enum compare_fill fill = o->missing == COMPARE_ZERO ? FILL_ZERO : FILL_DROP;
	double unseen = d->se * d->se * (double)d->n;
	struct stats_pairs pairs;

	if (o->question == SUMMARY_THESE_TASKS)
		return NAN;
	compare_pairs_of(&pairs, p, fill, fill);
	const struct stats_cluster_mean m =
		stats_cluster_mean(pairs.d, pairs.cluster, pairs.n, pairs.clusters);
	double variance = d->differing >= STATS_INFORMATIVE ? m.variance * (double)pairs.n : unseen;

	return stats_tasks_needed(COMPARE_EFFECT, variance, 0, 1, POWER, o->level);
}

static void paired_t(struct compare_pair *out, const struct stats_pairs *pairs, double level)
{
	struct stats_difference t;

	stats_paired_t(&t, pairs, level);
	out->test_p = t.p;
	out->test_low = t.low;
	out->test_high = t.high;
}

/* Of clusters the sums are flipped: their interval would be one of sums. */
static void sign_flip(struct compare_pair *out, const struct stats_pairs *pairs, double level)
{
	enum { SAMPLES = 10000, SEED = 1 };
	const size_t n = pairs->cluster ? pairs->clusters : pairs->n;
	AUTO(free) double *sums = xcalloc(n + 1, sizeof *sums);

	for (size_t i = 0; i < pairs->n; i++)
		sums[pairs->cluster ? pairs->cluster[i] : i] += pairs->d[i];
	const struct stats_sign_flip f = stats_sign_flip(sums, n, SAMPLES, SEED, level);
	out->test_p = f.p;
	if (pairs->cluster)
		return;
	out->test_low = f.interval.low;
	out->test_high = f.interval.high;
}

/* It counts solved and unsolved: a task mean in between is neither. */
static void mcnemar(struct compare_pair *out, const struct compare_pairing *p)
{
	size_t won = 0, lost = 0;

	for (size_t i = 0; i < p->cells->tasks; i++) {
		const struct compare_cell *a = compare_cell_of(p->cells, p->candidate, i),
					  *b = compare_cell_of(p->cells, p->baseline, i);
		if (!a->scored || !b->scored)
			continue;
		double x = compare_cell_mean(a), y = compare_cell_mean(b);
		if ((x != 0 && x != 1) || (y != 0 && y != 1))
			return;
		won += x > y;
		lost += x < y;
	}
	out->test_p = stats_mcnemar(won, lost).exact;
}

static void test(struct compare_pair *out, const struct compare_pairing *p,
		 const struct compare_options *options)
{
	enum compare_fill fill = options->missing == COMPARE_ZERO ? FILL_ZERO : FILL_DROP;
	struct stats_pairs pairs;

	compare_pairs_of(&pairs, p, fill, fill);
	out->test_p = out->test_low = out->test_high = NAN;
	if (pairs.n < 2 || options->test == COMPARE_NO_TEST)
		return;
	if (options->test == COMPARE_T)
		paired_t(out, &pairs, options->level);
	else if (options->test == COMPARE_SIGN_FLIP)
		sign_flip(out, &pairs, options->level);
	else if (!pairs.cluster)
		mcnemar(out, p);
}

static struct stats_difference difference_of(const struct compare_pairing *p,
					     const struct compare_options *o,
					     enum compare_fill candidate,
					     enum compare_fill baseline)
{
	struct stats_difference out;
	struct stats_pairs pairs;

	if (o->question == SUMMARY_THESE_TASKS) {
		compare_these_tasks(&out, p, candidate, baseline, o->level);
		return out;
	}
	compare_pairs_of(&pairs, p, candidate, baseline);
	stats_paired_default(&out, &pairs, o->level);
	return out;
}

/* What is excluded counts as missing; this is what would be without that. */
static void add_excluded(struct compare_pair *out, const struct compare_pairing *p,
			 const struct compare_options *o)
{
	for (size_t i = 0; i < p->cells->tasks; i++)
		out->excluded += compare_cell_of(p->cells, p->candidate, i)->excluded +
				 compare_cell_of(p->cells, p->baseline, i)->excluded;
	if (!out->excluded)
		return;
	struct compare_pairing with = *p;
	with.with_excluded = true;
	out->with_excluded = difference_of(&with, o, FILL_DROP, FILL_DROP);
}

static void compare_two(struct comparison *c, struct compare_pair *out,
			const struct compare_pairing *p)
{
	const struct compare_options *o = &c->options;
	enum compare_fill fill = o->missing == COMPARE_ZERO ? FILL_ZERO : FILL_DROP;

	out->candidate = p->candidate;
	out->baseline = p->baseline;
	count_tasks(out, p);
	find_flips(out, p, &c->summary, fill);
	find_differences(out, p, c->sides);
	out->difference = difference_of(p, o, fill, fill);
	out->tasks_needed = tasks_needed(&out->difference, p, o);
	out->worst = out->best = out->difference;
	if (o->missing == COMPARE_BOUNDS && out->missing) {
		out->worst = difference_of(p, o, FILL_ZERO, FILL_ONE);
		out->best = difference_of(p, o, FILL_ONE, FILL_ZERO);
	}
	test(out, p, o);
	add_excluded(out, p, o);
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
	else if (o->question == SUMMARY_THESE_TASKS && p->difference.n && isnan(p->difference.low))
		not_decided(p, COMPARE_ONE_ROLLOUT);
	else if (p->difference.units < 2 && o->question == SUMMARY_TASKS_LIKE_THESE)
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
	s->tally.scored += compare_standing_of(row) == STANDING_SCORED;
	s->tally.unscored += compare_standing_of(row) == STANDING_UNSCORED;
	s->tally.missing += compare_standing_of(row) == STANDING_MISSING;
	s->tally.replaced += r->replaced;
	s->solved +=
		compare_standing_of(row) == STANDING_SCORED && compare_score_of(row) > 1 - ROUNDING;
	if (!row->status->has_result)
		return;
	if (r->tokens >= 0) {
		s->tokens += (double)r->tokens;
		s->tokens_n++;
	}
	if (r->wall_ms >= 0) {
		s->wall_ms += (double)r->wall_ms;
		s->wall_n++;
	}
	if (r->money_usd >= 0)
		s->money_usd += r->money_usd;
	else if (r->calls > 0)
		s->money_usd = NAN;
}

static void fill_cells(struct comparison *c, struct compare_cells *cells)
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
		compare_cells_add(cells, (size_t)at, row);
		add_standing(&c->standings[at], row);
	}
}

static void end_standings(struct comparison *c, const struct compare_cells *cells)
{
	for (size_t i = 0; i < c->sides->n; i++) {
		struct compare_standing *s = &c->standings[i];
		double sum = 0;
		for (size_t k = 0; k < cells->tasks; k++) {
			const struct compare_cell *cell = compare_cell_of(cells, i, k);
			if (!cell->scored)
				continue;
			s->tasks++;
			sum += compare_cell_mean(cell);
		}
		s->mean = s->tasks ? sum / (double)s->tasks : NAN;
		s->tokens = s->tokens_n ? s->tokens / (double)s->tokens_n : NAN;
		s->wall_ms = s->wall_n ? s->wall_ms / (double)s->wall_n : NAN;
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
	const struct summary_options how = {.level = options->level, .cluster = options->cluster};
	summary_make(&out->summary, all, n, &how);
	out->standings = xcalloc(sides->n + 1, sizeof *out->standings);
	out->pairs = xcalloc(sides->matches_n + 1, sizeof *out->pairs);

	struct compare_cells cells;
	compare_cells_init(&cells, sides->n, &out->summary);
	fill_cells(out, &cells);
	end_standings(out, &cells);
	for (size_t i = 0; i < out->pairs_n; i++)
		compare_two(out, &out->pairs[i],
			    &(struct compare_pairing){.cells = &cells,
						      .candidate = sides->matches[i].candidate,
						      .baseline = sides->matches[i].baseline});
	compare_cells_release(&cells);
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
