/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * paired.h -- two models, or two versions of anything, on the same tasks. Differences are candidate minus baseline;
 * scores lie in [0, 1]. How the default came about and how often it errs: bench/coverage.
 */
#pragma once
#include <stddef.h>
#include "stats/mean.h"

struct stats_difference {
	double mean, se, df;
	double p; /* two-sided */
	double low,
		high; /* within [-1, 1]; NaN like se, df and p where fewer than two units were compared */
	double mde;	  /* the smallest difference that would be seen with 80 % power */
	size_t n;	  /* paired tasks */
	size_t units;	  /* independent ones: clusters, else tasks */
	size_t differing; /* units with a difference */
};

struct stats_pairs {
	const double *d;       /* N differences of task means */
	const size_t *cluster; /* as in mean.h; NULL: tasks are independent */
	size_t n, clusters;
	double inverse_k; /* mean over tasks of (1/K_A + 1/K_B) / 2, with K the rollouts of a task */
};

/* Tasks like these; the verdict rests on it. With V and df by CR2 and D units that differ:
 * SE^2 = V + inverse_k / (2 n (n - 1)) if D >= 6, else V + 3 / (G (G - 1)), the rule of three for changes that were not
 * seen among G units. The interval reaches 0 and p is at least 2^(1-D) while the sign test could not reject. */
void stats_paired_default(struct stats_difference *out, const struct stats_pairs *pairs,
			  double level);
/* Student's paired t-test as textbooks have it. */
void stats_paired_t(struct stats_difference *out, const struct stats_pairs *pairs, double level);
/* These tasks, run again. A and B hold the rollouts of N tasks one after the other, KA[i] >= 2 and KB[i] >= 2 of the i-th. */
void stats_paired_fixed_tasks(struct stats_difference *out, const double *a, const size_t *ka,
			      const double *b, const size_t *kb, size_t n, double level);
/* Two one-sided t-tests of |difference| < MARGIN: the p of each side. Equivalent when both are below 1 - level. */
void stats_tost(const struct stats_difference *t, double margin, double *p_lower, double *p_upper);

enum stats_verdict { STATS_NOT_DECIDED, STATS_BETTER, STATS_WORSE, STATS_EQUIVALENT };
/* From the one interval. MARGIN = 0: never equivalent. */
enum stats_verdict stats_verdict(const struct stats_difference *d, double margin);

enum stats_gate { STATS_INCONCLUSIVE, STATS_PASS, STATS_FAIL };
/* Pass: the candidate is not worse by MARGIN or more. Fail: it is worse by more. */
enum stats_gate stats_gate(const struct stats_difference *d, double margin);
/* The chance that a candidate that is equal passes, from the standard error that was seen. */
double stats_gate_chance(const struct stats_difference *d, double margin, double level);
