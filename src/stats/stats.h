/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * stats.h -- pure arithmetic on scores in [0, 1]: no I/O, no allocation, no knowledge of
 * benchmarks.
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
/* The 97.5 % quantile of Student's t with DF >= 1 degrees of freedom; error below 1e-4. */
double stats_t_quantile(size_t df);
/* 95 % Wilson interval of X successes in N >= 1. */
void stats_wilson(double x, size_t n, double *low, double *high);
/* The mean of N independent scores with its 95 % interval: Wilson when all are 0 or 1, else t.
 * Equal fractions give STATS_NONE: no spread was seen, so none can be claimed. N = 0 gives mean
 * NaN. */
void stats_mean_of(struct stats_mean *out, const double *scores, size_t n);
