/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rating.h -- how far raters agree, and what the mean of a fallible judge tells about the truth.
 */
#pragma once
#include <stddef.h>
#include "stats/proportion.h"

enum stats_metric { STATS_NOMINAL, STATS_INTERVAL };
/* Krippendorff's alpha (Computing Krippendorff's Alpha-Reliability, 2011) of RATERS times UNITS values, rater by rater;
 * NaN: not rated. NaN when nothing varies. */
double stats_krippendorff(const double *values, size_t raters, size_t units,
			  enum stats_metric metric);

/* The share of passes that a judge saw, corrected by how it did on examples that people had rated: Lee et al., arXiv
 * 2511.21140. Q0: specificity on M0 bad ones, Q1: sensitivity on M1 good ones. */
struct stats_judge {
	double p, n;
	double q0, m0, q1, m1;
};
struct stats_corrected {
	double theta;
	struct stats_interval interval;
};
struct stats_corrected stats_judge_correction(const struct stats_judge *j, double level);

/* The mean of labels Y, of which N are known, helped by predictions F of the same and MORE predictions of others:
 * Angelopoulos et al., Science 382 (2023). LAMBDA in [0, 1] weighs the predictions; NaN: the best. */
struct stats_powered {
	double theta, se, lambda;
	struct stats_interval interval;
};
struct stats_powered stats_prediction_powered(const double *y, const double *f, size_t n,
					      const double *more, size_t more_n, double lambda,
					      double level);

/* The posterior mean and deviation of a weighted score of categories: Bayes@N, Hariri et al., arXiv 2510.04265. R: N
 * rollouts of each of M tasks, each a category below C; W: the score of each category. Biased towards the middle: no
 * interval for our purposes is made of it. */
struct stats_bayes {
	double mu, sigma;
};
struct stats_bayes stats_bayes_at_n(const double *r, size_t m, size_t n, const double *w, size_t c);
