/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * measures.h -- what was measured of trials beside their scores (core/metric.h), by name: the same numbers for every trial,
 * and those that tests wrote. A comparison may take any of them in place of the score.
 */
#pragma once
#include "analysis/summary.h"

/* The names of what the tests wrote anywhere in S, in order of appearance: append them, borrowed from its rollouts. */
void measures_custom(const struct summary *s, const char ***names, size_t *n);
/* Whether NAME is measured of every trial, or was written by some test in S. */
bool measures_has(const struct summary *s, const char *name);
/* NAN: not known of that trial, or it has no result. NAME: "score" is its score. */
double measure_of(const struct trial_status *t, const char *name);
/* metric_name(I); NAN as well where the rollout was read without. */
double measure_builtin(const struct trial_status *t, size_t i);
/* The same of what tests wrote alone, whatever name it has. */
double measure_custom(const struct trial_status *t, const char *name);
/* Whether code under test could have written it. */
bool measure_is_self_reported(const struct trial_status *t, const char *name);

struct measure_mean {
	size_t trials, tasks; /* of which it is known */
	double mean;	      /* over task means; NAN without any */
	double low, high;     /* Student's t over the task means; NAN with fewer than two */
	bool self_reported;   /* of some trial */
};
/* NAME over the trials of G, a group of S, or over one CELL of it. */
struct measure_mean measure_group(const struct summary *s, const struct summary_group *g,
				  const char *name);
struct measure_mean measure_cell(const struct summary *s, const struct summary_cell *cell,
				 const char *name);
