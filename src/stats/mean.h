/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * mean.h -- the mean score of one model with an interval for the question that is asked. Scores lie in [0, 1].
 *
 * Two questions, never mixed: what would the mean be over other tasks like these, and what would it be over these
 * same tasks if they were run again. Which interval each takes was decided by simulation (bench/coverage). The
 * principle: most intervals fail where a sample has not shown its spread yet, so below six informative units Wilson's
 * interval on the number of units stands in.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "stats/proportion.h"

/* As many units must tell something before a spread is believed: 2 * 2^-5 > 0.05 >= 2 * 2^-6. */
#define STATS_INFORMATIVE 6

enum stats_method {
	STATS_NONE,    /* too little to say: no interval */
	STATS_LOGIT_T, /* Student's t on the logit scale */
	STATS_WILSON,
};

struct stats_mean {
	double mean, se, df; /* se and df: NaN where they were not needed or are not defined */
	double low, high;    /* NaN with STATS_NONE */
	double n_effective;  /* of rollouts; only of stats_mean_fixed_tasks */
	size_t n, units, informative;
	enum stats_method method;
};

const char *stats_method_name(enum stats_method m); /* "none", "logit-t", "wilson" */

/* The mean of X and the variance of it, when values of one cluster depend on each other: the bias-reduced
 * linearisation CR2 with Satterthwaite's degrees of freedom (Bell and McCaffrey, Survey Methodology 28, 2002), in closed
 * form for a mean. CLUSTER: a number below CLUSTERS for each value; NULL: each value is a cluster of its own, which gives
 * s^2/n and n - 1. */
struct stats_cluster_mean {
	double mean, variance, df; /* the last two: NaN with fewer than two clusters */
	size_t units;		   /* clusters that hold a value */
};
struct stats_cluster_mean stats_cluster_mean(const double *x, const size_t *cluster, size_t n,
					     size_t clusters);

/* expit(logit(mean) +- t * SE / (mean (1 - mean))). */
struct stats_interval stats_logit_t(double mean, double se, double df, double level);

/* Tasks like these: X holds the mean of each task. Logit-t on CR2, or Wilson on the number of clusters. */
void stats_mean_random_tasks(struct stats_mean *out, const double *x, const size_t *cluster,
			     size_t n, size_t clusters, double level);
/* These tasks: SCORES holds the rollouts of N tasks one after the other, K[i] >= 1 of the i-th. */
void stats_mean_fixed_tasks(struct stats_mean *out, const double *scores, const size_t *k, size_t n,
			    double level);

/* Degrees of freedom of a sum of independent variances V with DF[i] each: Satterthwaite, Biometrics 2 (1946). */
double stats_satterthwaite(const double *v, const double *df, size_t n);

/* What trials without a score may still do to the mean. SCORES: PLANNED[i] rollouts of the i-th of N tasks, NaN where
 * there is no score. MEAN is over the tasks that have one. */
struct stats_bounds {
	double mean, worst, best; /* worst: all that are missing are 0; best: all are 1 */
	size_t scored, planned;
};
struct stats_bounds stats_missing_bounds(const double *scores, const size_t *planned, size_t n);
