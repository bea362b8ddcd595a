/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats/plan.h"
#include <math.h>
#include "stats/distribution.h"

double stats_power_t(double effect, size_t n, double level)
{
	if (n < 2)
		return NAN;
	const double df = (double)n - 1, t = stats_t_quantile(0.5 + level / 2, df);
	const double delta = fabs(effect) * sqrt((double)n);

	return 1 - stats_noncentral_t(t, df, delta) + stats_noncentral_t(-t, df, delta);
}

struct stats_mde stats_mde(size_t n, double sd, double power, double level)
{
	struct stats_mde out = {NAN, NAN, NAN};

	if (n < 2)
		return out;
	const double df = (double)n - 1, scale = sd / sqrt((double)n);
	out.normal =
		(stats_normal_quantile(0.5 + level / 2) + stats_normal_quantile(power)) * scale;
	out.approximate =
		(stats_t_quantile(0.5 + level / 2, df) + stats_t_quantile(power, df)) * scale;
	double low = 0, high = 1;
	while (stats_power_t(high, n, level) < power)
		high *= 2;
	while (high - low > 1e-13 * high) {
		const double mid = (low + high) / 2;
		if (stats_power_t(mid, n, level) < power)
			low = mid;
		else
			high = mid;
	}
	out.exact = (low + high) / 2 * sd;
	return out;
}

double stats_tasks_needed(double delta, double w2, double within, double k, double power,
			  double level)
{
	const double z = stats_normal_quantile(0.5 + level / 2) + stats_normal_quantile(power);

	return z * z * (w2 + within / k) / (delta * delta);
}

double stats_variance_factor(size_t n, double level)
{
	return n < 2 ? NAN : (double)(n - 1) / stats_chi2_quantile(1 - level, (double)(n - 1));
}

static double mean_of(const double *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i];
	return sum / (double)n;
}

static double variance_of(const double *x, size_t n, double mean)
{
	double squares = 0;

	for (size_t i = 0; i < n; i++)
		squares += (x[i] - mean) * (x[i] - mean);
	return squares / (double)(n - 1);
}

struct stats_variance_split stats_variance_split(const double *a, const double *b, size_t n,
						 size_t k)
{
	struct stats_variance_split out = {NAN, NAN, NAN, NAN};
	double sum = 0, squares = 0, within = 0;

	if (n < 2 || k < 2)
		return out;
	for (size_t i = 0; i < n; i++) {
		const double x = mean_of(a + i * k, k), y = mean_of(b + i * k, k);
		sum += x - y;
		within += variance_of(a + i * k, k, x) + variance_of(b + i * k, k, y);
	}
	const double mean = sum / (double)n;
	for (size_t i = 0; i < n; i++) {
		const double off = mean_of(a + i * k, k) - mean_of(b + i * k, k) - mean;
		squares += off * off;
	}
	out.s2_d = squares / (double)(n - 1);
	out.within = within / (double)n;
	out.w2_raw = out.s2_d - out.within / (double)k;
	out.w2 = fmax(0, out.w2_raw);
	return out;
}
