/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats/stats.h"
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdbool.h>

#define ROUNDING 1e-12 /* what summing in another order may change */

const char *stats_method_name(enum stats_method m)
{
	static const char *const names[] = {"none", "t", "wilson"};
	return names[m];
}

/* The quantile that leaves half of what LEVEL does not cover above it. */
static double upper(double level)
{
	return (1 + level) / 2;
}

double stats_t(double level, size_t df)
{
	return gsl_cdf_tdist_Pinv(upper(level), (double)df);
}

void stats_wilson(double x, size_t n, double level, double *low, double *high)
{
	double m = (double)n, p = x / m, z = gsl_cdf_ugaussian_Pinv(upper(level)), z2 = z * z;
	double scale = 1 + z2 / m, centre = (p + z2 / (2 * m)) / scale;
	double half = z / scale * sqrt(p * (1 - p) / m + z2 / (4 * m * m));

	*low = x <= 0 ? 0 : fmax(0, centre - half);
	*high = x >= m ? 1 : fmin(1, centre + half);
}

void stats_mean_of(struct stats_mean *out, const double *scores, size_t n, double level)
{
	double sum = 0, squares = 0;
	bool bits = true;

	*out = (struct stats_mean){.mean = NAN, .n = n};
	if (!n)
		return;
	for (size_t i = 0; i < n; i++) {
		sum += scores[i];
		bits = bits && (scores[i] == 0 || scores[i] == 1);
	}
	out->mean = sum / (double)n;
	if (bits) {
		stats_wilson(sum, n, level, &out->low, &out->high);
		out->method = STATS_WILSON;
		return;
	}
	for (size_t i = 0; i < n; i++)
		squares += (scores[i] - out->mean) * (scores[i] - out->mean);
	if (n < 2 || squares < ROUNDING)
		return;
	double half = stats_t(level, n - 1) * sqrt(squares / (double)(n - 1) / (double)n);
	out->low = fmax(0, out->mean - half);
	out->high = fmin(1, out->mean + half);
	out->method = STATS_T;
}
