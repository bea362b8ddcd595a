/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats/stats.h"
#include <math.h>
#include <stdbool.h>

#define Z 1.959963984540054
#define ROUNDING 1e-12 /* what summing in another order may change */

static const double t_table[] = {
	0,	  12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624,
	2.306004, 2.262157,  2.228139, 2.200985, 2.178813, 2.160369, 2.144787, 2.131450,
	2.119905, 2.109816,  2.100922, 2.093024, 2.085963, 2.079614, 2.073873, 2.068658,
	2.063899, 2.059539,  2.055529, 2.051831, 2.048407, 2.045230, 2.042272,
};

const char *stats_method_name(enum stats_method m)
{
	static const char *const names[] = {"none", "t", "wilson"};
	return names[m];
}

double stats_t_quantile(size_t df)
{
	if (df < sizeof t_table / sizeof t_table[0])
		return t_table[df];
	/* Fisher's expansion around the normal quantile. */
	double v = (double)df, z3 = Z * Z * Z, z5 = z3 * Z * Z;
	return Z + (z3 + Z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * Z) / (96 * v * v);
}

void stats_wilson(double x, size_t n, double *low, double *high)
{
	double m = (double)n, p = x / m, z2 = Z * Z, scale = 1 + z2 / m;
	double centre = (p + z2 / (2 * m)) / scale;
	double half = Z / scale * sqrt(p * (1 - p) / m + z2 / (4 * m * m));

	*low = x <= 0 ? 0 : fmax(0, centre - half);
	*high = x >= m ? 1 : fmin(1, centre + half);
}

void stats_mean_of(struct stats_mean *out, const double *scores, size_t n)
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
		stats_wilson(sum, n, &out->low, &out->high);
		out->method = STATS_WILSON;
		return;
	}
	for (size_t i = 0; i < n; i++)
		squares += (scores[i] - out->mean) * (scores[i] - out->mean);
	if (n < 2 || squares < ROUNDING)
		return;
	double half = stats_t_quantile(n - 1) * sqrt(squares / (double)(n - 1) / (double)n);
	out->low = fmax(0, out->mean - half);
	out->high = fmin(1, out->mean + half);
	out->method = STATS_T;
}
