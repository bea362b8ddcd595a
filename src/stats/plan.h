/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * plan.h -- how many tasks and rollouts an effect takes. An effect is a difference of mean scores; SD is the standard
 * deviation of the differences of task means. Formulas: Miller, arXiv 2411.00640; the variance split is theirs too.
 */
#pragma once
#include <stddef.h>

/* The power of a two-sided paired t-test of N tasks for an effect of EFFECT standard deviations. */
double stats_power_t(double effect, size_t n, double level);

/* The smallest difference that N tasks show with POWER: by the normal distribution, by the noncentral t, and by two
 * quantiles of t, which is what a comparison prints. */
struct stats_mde {
	double normal, exact, approximate;
};
struct stats_mde stats_mde(size_t n, double sd, double power, double level);

/* Tasks needed to see DELTA: (z + z_power)^2 (W2 + WITHIN / K) / DELTA^2, with W2 the variance of the true
 * difference between tasks and WITHIN the sum of both sides' variances between rollouts. Not rounded. */
double stats_tasks_needed(double delta, double w2, double within, double k, double power,
			  double level);
/* What a variance from N values may be larger by, with confidence LEVEL: (n - 1) / chi2 quantile of 1 - level. */
double stats_variance_factor(size_t n, double level);

/* Where the variance of a paired difference comes from. A and B hold K rollouts of each of N tasks, task by task. */
struct stats_variance_split {
	double s2_d;   /* variance of the differences of task means */
	double within; /* mean over tasks of both sides' variances between rollouts */
	double w2_raw; /* s2_d - within / K, which chance may make negative */
	double w2;     /* not below 0 */
};
struct stats_variance_split stats_variance_split(const double *a, const double *b, size_t n,
						 size_t k);
