/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats/exact.h"
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/mem.h"

#define ROUNDING 1e-9 /* relative: sums in another order are the same sum */

struct stats_mcnemar stats_mcnemar(size_t b, size_t c)
{
	const unsigned k = (unsigned)(b < c ? b : c), n = (unsigned)(b + c);
	const double at = gsl_ran_binomial_pdf(k, 0.5, n), below = gsl_cdf_binomial_P(k, 0.5, n);

	return (struct stats_mcnemar){.exact = fmin(1, 2 * below),
				      .mid = b == c ? 1 : 2 * below - at};
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Subset I of the differences: its sum and, when its members are told, how many they are. Going through subsets in
 * Gray's order would save additions; a million of them take 20 ms as it is. */
static double subset_sum(const double *d, size_t n, uint64_t subset, size_t *members)
{
	double sum = 0;

	*members = 0;
	for (size_t i = 0; i < n; i++)
		if (subset >> i & 1) {
			sum += d[i];
			++*members;
		}
	return sum;
}

static struct stats_interval inverted(double *means, size_t n, double all, double level)
{
	/* All nonempty subsets and the empty one, whose mean is nowhere. */
	const size_t k = (size_t)((1 - level) / 2 * all);

	if (k < 1 || k > n)
		return (struct stats_interval){NAN, NAN};
	qsort(means, n, sizeof *means, by_value);
	return (struct stats_interval){.low = means[k - 1], .high = means[n - k]};
}

static struct stats_sign_flip flip_all(const double *d, size_t n, double total, double size,
				       double level)
{
	const uint64_t all = UINT64_C(1) << n;
	AUTO(free) double *means = xcalloc(all, sizeof *means);
	struct stats_sign_flip out;
	size_t extreme = 0, members;

	/* With the members of a subset turned round the sum is total - 2 * theirs. */
	for (uint64_t subset = 0; subset < all; subset++) {
		const double sum = subset_sum(d, n, subset, &members);
		extreme += fabs(total - 2 * sum) >= fabs(total) - ROUNDING * size;
		if (subset)
			means[subset - 1] = sum / (double)members;
	}
	out.p = (double)extreme / (double)all;
	out.interval = inverted(means, all - 1, (double)all, level);
	return out;
}

static struct stats_sign_flip flip_some(const double *d, size_t n, double total, double size,
					size_t samples, uint64_t seed, double level)
{
	gsl_rng *random = gsl_rng_alloc(gsl_rng_mt19937);
	AUTO(free) double *means = xcalloc(samples + 1, sizeof *means);
	struct stats_sign_flip out;
	size_t extreme = 1, kept = 0;

	gsl_rng_set(random, (unsigned long)seed);
	for (size_t s = 0; s < samples; s++) {
		double sum = 0;
		size_t members = 0;
		for (size_t i = 0; i < n; i += 32) {
			const unsigned long bits = gsl_rng_get(random);
			for (size_t j = i; j < n && j < i + 32; j++)
				if (bits >> (j - i) & 1) {
					sum += d[j];
					members++;
				}
		}
		extreme += fabs(total - 2 * sum) >= fabs(total) - ROUNDING * size;
		if (members)
			means[kept++] = sum / (double)members;
	}
	gsl_rng_free(random);
	out.p = (double)extreme / (double)(samples + 1);
	out.interval = inverted(means, kept, (double)samples + 1, level);
	return out;
}

struct stats_sign_flip stats_sign_flip(const double *d, size_t n, size_t samples, uint64_t seed,
				       double level)
{
	double total = 0, size = 0;

	for (size_t i = 0; i < n; i++) {
		total += d[i];
		size += fabs(d[i]);
	}
	if (n == 0)
		return (struct stats_sign_flip){.p = 1, .interval = {NAN, NAN}};
	return n <= STATS_FLIP_EXACT ? flip_all(d, n, total, size, level)
				     : flip_some(d, n, total, size, samples, seed, level);
}
