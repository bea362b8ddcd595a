/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats/rating.h"
#include <math.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "stats/distribution.h"

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The sum of distances over all ordered pairs of N sorted values. */
static double disagreement(double *values, size_t n, enum stats_metric metric)
{
	double sum = 0, squares = 0, same = 0;

	if (metric == STATS_INTERVAL) {
		/* Around the first value: digits are not lost to a large offset. */
		for (size_t i = 0; i < n; i++) {
			sum += values[i] - values[0];
			squares += (values[i] - values[0]) * (values[i] - values[0]);
		}
		return 2 * ((double)n * squares - sum * sum);
	}
	qsort(values, n, sizeof *values, by_value);
	for (size_t i = 0, from = 0; i < n; i++)
		if (i + 1 == n || values[i + 1] != values[i]) {
			const double run = (double)(i + 1 - from);
			same += run * (run - 1);
			from = i + 1;
		}
	return (double)n * (double)(n - 1) - same;
}

double stats_krippendorff(const double *values, size_t raters, size_t units,
			  enum stats_metric metric)
{
	AUTO(free) double *all = xcalloc(raters * units + 1, sizeof *all);
	AUTO(free) double *own = xcalloc(raters + 1, sizeof *own);
	double observed = 0;
	size_t n = 0;

	for (size_t u = 0; u < units; u++) {
		size_t m = 0;
		for (size_t r = 0; r < raters; r++)
			if (!isnan(values[r * units + u]))
				own[m++] = values[r * units + u];
		if (m < 2)
			continue;
		for (size_t i = 0; i < m; i++)
			all[n++] = own[i];
		observed += disagreement(own, m, metric) / (double)(m - 1);
	}
	if (n < 2)
		return NAN;
	const double expected = disagreement(all, n, metric) / (double)(n - 1);
	return expected > 0 ? 1 - observed / expected : NAN;
}

struct stats_corrected stats_judge_correction(const struct stats_judge *j, double level)
{
	const double z = stats_normal_quantile(0.5 + level / 2), z2 = z * z,
		     youden = j->q0 + j->q1 - 1;
	const double p = (j->n * j->p + z2 / 2) / (j->n + z2), n = j->n + z2;
	const double q0 = (j->m0 * j->q0 + 1) / (j->m0 + 2), m0 = j->m0 + 2;
	const double q1 = (j->m1 * j->q1 + 1) / (j->m1 + 2), m1 = j->m1 + 2;
	const double slope = q0 + q1 - 1;

	/* A judge that does no better than chance tells nothing. */
	if (!(youden > 0) || !(slope > 0))
		return (struct stats_corrected){NAN, {NAN, NAN}};
	const double theta = fmin(1, fmax(0, (p + q0 - 1) / slope));
	const double v0 = q0 * (1 - q0) / m0, v1 = q1 * (1 - q1) / m1;
	const double shift = 2 * z2 * (-(1 - theta) * v0 + theta * v1);
	const double se =
		sqrt(p * (1 - p) / n + (1 - theta) * (1 - theta) * v0 + theta * theta * v1) / slope;
	return (struct stats_corrected){
		.theta = fmin(1, fmax(0, (j->p + j->q0 - 1) / youden)),
		.interval = {.low = fmax(0, theta + shift - z * se),
			     .high = fmin(1, theta + shift + z * se)},
	};
}

static double mean_of(const double *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i];
	return sum / (double)n;
}

/* Cov(Y, F) / ((1 + n/N) Var(F of both)), within [0, 1]. */
static double best_lambda(const double *y, const double *f, size_t n, const double *more,
			  size_t more_n)
{
	const double my = mean_of(y, n), mf = mean_of(f, n);
	const double pooled =
		((double)n * mf + (double)more_n * mean_of(more, more_n)) / (double)(n + more_n);
	double cov = 0, var = 0;

	for (size_t i = 0; i < n; i++) {
		cov += (y[i] - my) * (f[i] - mf) / (double)n;
		var += (f[i] - pooled) * (f[i] - pooled);
	}
	for (size_t i = 0; i < more_n; i++)
		var += (more[i] - pooled) * (more[i] - pooled);
	var /= (double)(n + more_n);
	return var > 0 ? fmin(1, fmax(0, cov / ((1 + (double)n / (double)more_n) * var))) : 0;
}

struct stats_powered stats_prediction_powered(const double *y, const double *f, size_t n,
					      const double *more, size_t more_n, double lambda,
					      double level)
{
	struct stats_powered out = {NAN, NAN, lambda, {NAN, NAN}};
	double rest = 0, squares = 0, others = 0;

	if (!n || !more_n)
		return out;
	if (isnan(lambda))
		out.lambda = lambda = best_lambda(y, f, n, more, more_n);
	const double guessed = mean_of(more, more_n);
	for (size_t i = 0; i < n; i++)
		rest += (y[i] - lambda * f[i]) / (double)n;
	for (size_t i = 0; i < n; i++)
		squares +=
			(y[i] - lambda * f[i] - rest) * (y[i] - lambda * f[i] - rest) / (double)n;
	for (size_t i = 0; i < more_n; i++)
		others += lambda * lambda * (more[i] - guessed) * (more[i] - guessed) /
			  (double)more_n;
	out.theta = lambda * guessed + rest;
	out.se = sqrt(others / (double)more_n + squares / (double)n);
	const double half = stats_normal_quantile(0.5 + level / 2) * out.se;
	out.interval = (struct stats_interval){out.theta - half, out.theta + half};
	return out;
}

struct stats_bayes stats_bayes_at_n(const double *r, size_t m, size_t n, const double *w, size_t c)
{
	const double total = (double)(c + n);
	double mu = 0, variance = 0;

	for (size_t i = 0; i < m; i++) {
		double first = 0, second = 0;
		for (size_t k = 0; k < c; k++) {
			double nu = 1;
			for (size_t j = 0; j < n; j++)
				nu += r[i * n + j] == (double)k;
			first += nu / total * (w[k] - w[0]);
			second += nu / total * (w[k] - w[0]) * (w[k] - w[0]);
		}
		mu += first / (double)m;
		variance += second - first * first;
	}
	return (struct stats_bayes){
		.mu = w[0] + mu, .sigma = sqrt(variance / ((double)m * (double)m * (total + 1)))};
}
