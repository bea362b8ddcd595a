/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/compare-cells.h"
#include <math.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/mem.h"

void compare_cells_init(struct compare_cells *c, size_t sides, const struct summary *s)
{
	*c = (struct compare_cells){.sides = sides, .tasks = s->tasks_n, .clusters = &s->clusters};
	c->v = xcalloc(sides * c->tasks + 1, sizeof *c->v);
	c->d = xcalloc(c->tasks + 1, sizeof *c->d);
	c->cluster = xcalloc(c->tasks + 1, sizeof *c->cluster);
}

void compare_cells_release(struct compare_cells *c)
{
	for (size_t i = 0; i < c->sides * c->tasks; i++)
		free(c->v[i].scores);
	free(c->v);
	free(c->d);
	free(c->cluster);
}

double compare_score_of(const struct summary_row *row)
{
	const struct trial_result *r = &row->status->result;
	return r->replaced ? r->more->first_score : r->total_score;
}

enum standing compare_standing_of(const struct summary_row *row)
{
	const struct trial_result *r = &row->status->result;
	if (!r->replaced || trial_excluded(row->status))
		return (enum standing)row->standing;
	return r->first_scored ? STANDING_SCORED : STANDING_UNSCORED;
}

static void add_excluded(struct compare_cell *c, const struct summary_row *row)
{
	const struct trial_result *r = &row->status->result;

	c->excluded++;
	if (!row->status->has_result || outcome_is_missing((enum outcome)r->outcome) ||
	    !(r->replaced ? r->first_scored : r->scored))
		return;
	c->excluded_scored++;
	c->excluded_sum += compare_score_of(row);
}

void compare_cells_add(struct compare_cells *cells, size_t side, const struct summary_row *row)
{
	struct compare_cell *c = &cells->v[side * cells->tasks + (size_t)row->task];
	double score = compare_score_of(row);

	c->planned++;
	c->missing += compare_standing_of(row) == STANDING_MISSING;
	if (!c->any)
		c->any = row;
	if (trial_excluded(row->status))
		add_excluded(c, row);
	if (!c->missed && compare_standing_of(row) == STANDING_MISSING)
		c->missed = row;
	if (compare_standing_of(row) != STANDING_SCORED)
		return;
	/* What was graded says with which tests. */
	if (!c->scored)
		c->any = row;
	GROW(c->scores, c->scored, c->scores_cap);
	c->scores[c->scored++] = score;
	c->sum += score;
	if (!c->lowest || score < compare_score_of(c->lowest))
		c->lowest = row;
	if (!c->highest || score > compare_score_of(c->highest))
		c->highest = row;
}

double compare_cell_mean(const struct compare_cell *c)
{
	return c->sum / (double)c->scored;
}

/* A cell as it counts for one question. */
struct filled {
	double sum, k;
};

static struct filled fill_in(const struct compare_cell *c, enum compare_fill fill,
			     bool with_excluded)
{
	struct filled f = {c->sum, (double)c->scored};

	if (with_excluded) {
		f.sum += c->excluded_sum;
		f.k += (double)c->excluded_scored;
	} else if (fill != FILL_DROP) {
		f.sum += fill == FILL_ONE ? (double)c->missing : 0;
		f.k += (double)c->missing;
	}
	return f;
}

double compare_cell_mean_with(const struct compare_cell *c, enum compare_fill fill)
{
	struct filled f = fill_in(c, fill, false);

	return f.k > 0 ? f.sum / f.k : NAN;
}

void compare_pairs_of(struct stats_pairs *out, const struct compare_pairing *p,
		      enum compare_fill candidate, enum compare_fill baseline)
{
	const struct compare_cells *cells = p->cells;
	const struct clusters *clusters = cells->clusters;

	*out = (struct stats_pairs){.d = cells->d};
	for (size_t i = 0; i < cells->tasks; i++) {
		struct filled a = fill_in(compare_cell_of(cells, p->candidate, i), candidate,
					  p->with_excluded);
		struct filled b =
			fill_in(compare_cell_of(cells, p->baseline, i), baseline, p->with_excluded);
		if (a.k == 0 || b.k == 0)
			continue;
		if (clusters->of)
			cells->cluster[out->n] = clusters->of[i];
		cells->d[out->n++] = a.sum / a.k - b.sum / b.k;
		out->inverse_k += (1 / a.k + 1 / b.k) / 2;
	}
	if (out->n)
		out->inverse_k /= (double)out->n;
	if (!clusters->of)
		return;
	out->cluster = cells->cluster;
	out->clusters = clusters->n;
}

/* The scores of a cell, and what the missing count for, after each other; how many. */
static size_t list_scores(double *to, const struct compare_cell *c, enum compare_fill fill)
{
	size_t n = 0;

	for (; n < c->scored; n++)
		to[n] = c->scores[n];
	for (size_t i = 0; fill != FILL_DROP && i < c->missing; i++)
		to[n++] = fill == FILL_ONE;
	return n;
}

static size_t all_scores(const struct compare_cells *cells, size_t side)
{
	size_t n = 0;

	for (size_t i = 0; i < cells->tasks; i++)
		n += compare_cell_of(cells, side, i)->planned;
	return n;
}

void compare_these_tasks(struct stats_difference *out, const struct compare_pairing *p,
			 enum compare_fill candidate, enum compare_fill baseline, double level)
{
	const struct compare_cells *cells = p->cells;
	AUTO(free) double *a = xcalloc(all_scores(cells, p->candidate) + 1, sizeof *a);
	AUTO(free) double *b = xcalloc(all_scores(cells, p->baseline) + 1, sizeof *b);
	AUTO(free) size_t *ka = xcalloc(cells->tasks + 1, sizeof *ka);
	AUTO(free) size_t *kb = xcalloc(cells->tasks + 1, sizeof *kb);
	size_t n = 0, at = 0, bt = 0, differing = 0;
	double sum = 0;

	for (size_t i = 0; i < cells->tasks; i++) {
		const struct compare_cell *x = compare_cell_of(cells, p->candidate, i),
					  *y = compare_cell_of(cells, p->baseline, i);
		struct filled fx = fill_in(x, candidate, false), fy = fill_in(y, baseline, false);
		if (fx.k == 0 || fy.k == 0)
			continue;
		at += ka[n] = list_scores(a + at, x, candidate);
		bt += kb[n] = list_scores(b + bt, y, baseline);
		double d = fx.sum / fx.k - fy.sum / fy.k;
		differing += d > 1e-12 || d < -1e-12;
		sum += d;
		n++;
	}
	stats_paired_fixed_tasks(out, a, ka, b, kb, n, level);
	/* With one rollout of a task there is no interval, but a difference all the same. */
	out->mean = n ? sum / (double)n : out->mean;
	out->n = out->units = n;
	out->differing = differing;
}
