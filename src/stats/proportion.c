/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats/proportion.h"
#include <math.h>
#include "stats/distribution.h"

struct stats_interval stats_wilson(double p, double n, double level)
{
	const double z = stats_normal_quantile(0.5 + level / 2), z2 = z * z, scale = 1 + z2 / n;
	const double centre = (p + z2 / (2 * n)) / scale;
	const double half = z / scale * sqrt(p * (1 - p) / n + z2 / (4 * n * n));

	/* At the ends the formula gives 0 and 1, but for rounding. */
	return (struct stats_interval){.low = p <= 0 ? 0 : fmax(0, centre - half),
				       .high = p >= 1 ? 1 : fmin(1, centre + half)};
}

struct stats_interval stats_clopper_pearson(double x, double n, double level)
{
	const double tail = (1 - level) / 2;

	return (struct stats_interval){
		.low = x <= 0 ? 0 : stats_beta_quantile(tail, x, n - x + 1),
		.high = x >= n ? 1 : stats_beta_quantile(1 - tail, x + 1, n - x),
	};
}

struct stats_interval stats_beta_interval(double x, double n, double level)
{
	const double tail = (1 - level) / 2;

	return (struct stats_interval){.low = stats_beta_quantile(tail, 1 + x, 1 + n - x),
				       .high = stats_beta_quantile(1 - tail, 1 + x, 1 + n - x)};
}

struct stats_interval stats_newcombe(double x1, double n1, double x2, double n2, double level)
{
	const double p1 = x1 / n1, p2 = x2 / n2;
	const struct stats_interval a = stats_wilson(p1, n1, level),
				    b = stats_wilson(p2, n2, level);

	return (struct stats_interval){.low = p1 - p2 - hypot(p1 - a.low, b.high - p2),
				       .high = p1 - p2 + hypot(a.high - p1, p2 - b.low)};
}

double stats_pass_at(size_t n, size_t c, size_t k)
{
	double none = 1;

	if (k > n || c > n)
		return NAN;
	if (k > n - c)
		return 1;
	for (size_t i = n - c + 1; i <= n; i++)
		none *= 1 - (double)k / (double)i;
	return 1 - none;
}

double stats_pass_hat(size_t n, size_t c, size_t k)
{
	double all = 1;

	if (k > n || c > n)
		return NAN;
	for (size_t i = 0; i < k; i++)
		all *= i < c ? (double)(c - i) / (double)(n - i) : 0;
	return all;
}
