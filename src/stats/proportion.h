/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * proportion.h -- counts of independent outcomes that are 0 or 1. LEVEL is a confidence level, such as 0.95.
 */
#pragma once
#include <stddef.h>

struct stats_interval {
	double low, high; /* NaN: there is none */
};

/* Wilson's score interval (JASA 22, 1927) of the share P of N > 0 trials. N need not be whole: an effective number of
 * trials will do, and so will a share that is no count. */
struct stats_interval stats_wilson(double p, double n, double level);
/* The exact interval of X successes in N trials: Clopper and Pearson, Biometrika 26 (1934). */
struct stats_interval stats_clopper_pearson(double x, double n, double level);
/* Equal tails of the posterior Beta(1 + X, 1 + N - X), from a uniform prior. */
struct stats_interval stats_beta_interval(double x, double n, double level);
/* P1 - P2 of two independent samples: Newcombe's method 10, Statistics in Medicine 17 (1998). */
struct stats_interval stats_newcombe(double x1, double n1, double x2, double n2, double level);

/* The chance that at least one of K of the N rollouts of a task succeeds, C of which did; unbiased: Chen et al.,
 * arXiv 2107.03374. NaN when K > N. */
double stats_pass_at(size_t n, size_t c, size_t k);
/* The chance that all of K succeed; unbiased: Yao et al., arXiv 2406.12045. NaN when K > N. */
double stats_pass_hat(size_t n, size_t c, size_t k);
