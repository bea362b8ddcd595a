/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats/bootstrap.h"
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_rng.h>
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

static double quantile(const double *sorted, size_t n, double p)
{
	const double at = p * (double)(n - 1);
	const size_t below = (size_t)at;

	if (!(p > 0))
		return sorted[0];
	if (below + 1 >= n)
		return sorted[n - 1];
	return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

/* From the means with one value left out each. */
static double acceleration(const double *x, size_t n, double mean)
{
	double squares = 0, cubes = 0;

	/* The mean of those means is the mean, and each lies (x_i - mean)/(n-1) below it. */
	for (size_t i = 0; i < n; i++) {
		const double off = (x[i] - mean) / (double)(n - 1);
		squares += off * off;
		cubes += off * off * off;
	}
	return squares > 0 ? cubes / (6 * pow(squares, 1.5)) : 0;
}

struct stats_bca stats_bca_from(const double *x, size_t n, double *means, size_t b, double level)
{
	struct stats_bca out = {.interval = {NAN, NAN}};
	double sum = 0, below = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i];
	if (n < 2 || b < 2)
		return out;
	const double mean = sum / (double)n;
	for (size_t i = 0; i < b; i++)
		below += fabs(means[i] - mean) < 1e-12 ? 0.5 : means[i] < mean;
	out.acceleration = acceleration(x, n, mean);
	if (below == 0 || below == (double)b) {
		/* All equal: there is nothing to correct. */
		out.interval = (struct stats_interval){mean, mean};
		return out;
	}
	out.z0 = stats_normal_quantile(below / (double)b);
	const double z = stats_normal_quantile(0.5 + level / 2);
	out.alpha_low =
		gsl_cdf_ugaussian_P(out.z0 + (out.z0 - z) / (1 - out.acceleration * (out.z0 - z)));
	out.alpha_high =
		gsl_cdf_ugaussian_P(out.z0 + (out.z0 + z) / (1 - out.acceleration * (out.z0 + z)));
	qsort(means, b, sizeof *means, by_value);
	out.interval = (struct stats_interval){.low = quantile(means, b, out.alpha_low),
					       .high = quantile(means, b, out.alpha_high)};
	return out;
}

struct stats_bca stats_bca(const double *x, size_t n, size_t b, uint64_t seed, double level)
{
	AUTO(free) double *means = xcalloc(b + 1, sizeof *means);
	gsl_rng *random = gsl_rng_alloc(gsl_rng_mt19937);

	gsl_rng_set(random, (unsigned long)seed);
	for (size_t i = 0; i < b && n; i++) {
		double sum = 0;
		/* A product of 32 bits instead of a remainder: as even, and without a division. */
		for (size_t j = 0; j < n; j++)
			sum += x[(uint64_t)gsl_rng_get(random) * n >> 32];
		means[i] = sum / (double)n;
	}
	gsl_rng_free(random);
	return stats_bca_from(x, n, means, b, level);
}
