/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * compare-cells.h -- the scores of each task on each side, and the paired differences that they give. Private to this
 * room.
 */
#pragma once
#include "analysis/summary.h"
#include "stats/paired.h"

/* One task on one side. */
struct compare_cell {
	size_t planned, scored, missing; /* excluded ones are missing */
	double sum;
	double *scores;
	size_t scores_cap;
	/* Scores of excluded trials. */
	double excluded_sum;
	size_t excluded; /* trials, with a score or not */
	size_t excluded_scored;
	/* Its trials: any, those with the lowest and the highest score, and one that is missing; NULL: none. */
	const struct summary_row *any, *lowest, *highest, *missed;
};

struct compare_cells {
	struct compare_cell *v; /* side after side, each with all tasks */
	size_t sides, tasks;
	const struct clusters *clusters;
	/* Room for all tasks. */
	double *d;
	size_t *cluster;
};

void compare_cells_init(struct compare_cells *c, size_t sides, const struct summary *s);
void compare_cells_release(struct compare_cells *c);
void compare_cells_add(struct compare_cells *c, size_t side, const struct summary_row *row);

static inline const struct compare_cell *compare_cell_of(const struct compare_cells *c, size_t side,
							 size_t task)
{
	return &c->v[side * c->tasks + task];
}

double compare_cell_mean(const struct compare_cell *c); /* of a scored one */
/* First tries are compared: what was run again because of its outcome is a selection. */
double compare_score_of(const struct summary_row *row);
enum standing compare_standing_of(const struct summary_row *row);

/* What the missing trials of a side count for. */
enum compare_fill { FILL_DROP, FILL_ZERO, FILL_ONE };
/* The mean with them; NAN: it has no score then. */
double compare_cell_mean_with(const struct compare_cell *c, enum compare_fill fill);

struct compare_pairing {
	const struct compare_cells *cells;
	size_t candidate, baseline; /* sides */
	bool with_excluded;	    /* they count after all */
};

/* The differences of the tasks that both sides have a mean for; valid until the next call. */
void compare_pairs_of(struct stats_pairs *out, const struct compare_pairing *p,
		      enum compare_fill candidate, enum compare_fill baseline);
/* The same for the question about these tasks, which takes every score. */
void compare_these_tasks(struct stats_difference *out, const struct compare_pairing *p,
			 enum compare_fill candidate, enum compare_fill baseline, double level);
