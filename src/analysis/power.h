/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * power.h -- how large a benchmark must be to show a difference, from a pilot or, without one, from what tasks of
 * coding benchmarks tend to be like. The arithmetic is stats/plan.h.
 */
#pragma once
#include "analysis/summary.h"
#include "stats/plan.h"

#define POWER_WANTED 0.8

enum power_source {
	POWER_PRIOR,	 /* no pilot: tasks that most models either solve or do not */
	POWER_ONE_MODEL, /* a pilot of one model; what two would differ by is guessed from its tasks */
	POWER_TWO_MODELS,
};

struct power {
	enum power_source source;
	const char *candidate, *baseline; /* models of the pilot; borrowed */
	size_t tasks;			  /* of the pilot */
	double rollouts;		  /* of a task and model there; the harmonic mean */
	double w2;			  /* variance of the true difference between tasks */
	double within; /* both sides' variances between rollouts; NaN: every task has one rollout */
	double s2; /* variance of the differences of task means, as seen; NaN without two models */
	double factor;	      /* what small pilots need on top: the 80 % bound of a variance */
	double usd_per_trial; /* NaN: not known */
};

void power_prior(struct power *out);
/* From the first two models of S, else from its only one. ERR_USAGE when fewer than two tasks have scores. */
int power_pilot(struct power *out, const struct summary *s, struct err *err) MUST_CHECK;
/* The smallest difference that TASKS tasks of K rollouts show in four of five cases; NaN: the pilot does not say. */
double power_mde(const struct power *p, size_t tasks, size_t k, double level);
/* Tasks needed for a difference of DELTA; NaN as above. */
double power_tasks(const struct power *p, double delta, size_t k, double level);
