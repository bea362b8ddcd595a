/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * stats.h -- pure arithmetic on scores in [0, 1]: no I/O, no allocation, no knowledge of
 * benchmarks. A LEVEL is what an interval is to cover, 0.95 say.
 */
#pragma once
#include <stddef.h>

enum stats_method {
	STATS_NONE,   /* too little to say: low and high are not set */
	STATS_T,      /* mean +- t * standard error, within [0, 1] */
	STATS_WILSON, /* every value is 0 or 1 */
};

struct stats_mean {
	double mean, low, high;
	size_t n;
	enum stats_method method;
};

const char *stats_method_name(enum stats_method m); /* "none", "t", "wilson" */
/* How many standard errors an interval of LEVEL reaches to each side, by Student's t with DF >= 1
 * degrees of freedom. */
double stats_t(double level, size_t df);
/* The Wilson interval of X successes in N >= 1. */
void stats_wilson(double x, size_t n, double level, double *low, double *high);
/* The mean of N independent scores with its interval: Wilson when all are 0 or 1, else t. Equal
 * fractions give STATS_NONE: no spread was seen, so none can be claimed. N = 0 gives mean NaN. */
void stats_mean_of(struct stats_mean *out, const double *scores, size_t n, double level);
