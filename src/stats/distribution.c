/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats/distribution.h"
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_sf_gamma.h>
#include <math.h>

/* GSL ends the program at an underflow; a number that is 0 or NaN is what a caller can act on. */
static void __attribute__((constructor)) errors_are_values(void)
{
	gsl_set_error_handler_off();
}

double stats_normal_quantile(double p)
{
	return p > 0 && p < 1 ? gsl_cdf_ugaussian_Pinv(p) : NAN;
}

/* With less than one degree of freedom tails are too heavy for the library's inverse: where its upper tail is TAIL. */
static double t_by_bisection(double tail, double df)
{
	double low = 0, high = 1;

	while (gsl_cdf_tdist_Q(high, df) > tail && high < HUGE_VAL)
		high *= 2;
	for (;;) {
		double mid = low + (high - low) / 2;
		if (mid <= low || mid >= high)
			return mid;
		if (gsl_cdf_tdist_Q(mid, df) > tail)
			low = mid;
		else
			high = mid;
	}
}

/* The library's inverse stops at about eight digits; Newton's step doubles them. */
double stats_t_quantile(double p, double df)
{
	if (!(p > 0 && p < 1 && df > 0))
		return NAN;
	if (p == 0.5)
		return 0;
	if (df < 1)
		return p < 0.5 ? -t_by_bisection(p, df) : t_by_bisection(1 - p, df);
	double q = gsl_cdf_tdist_Pinv(p, df);
	for (int i = 0; i < 4; i++) {
		double log_density = lgamma((df + 1) / 2) - lgamma(df / 2) - 0.5 * log(df * M_PI) -
				     (df + 1) / 2 * log1p(q * q / df);
		double miss =
			p < 0.5 ? gsl_cdf_tdist_P(q, df) - p : (1 - p) - gsl_cdf_tdist_Q(q, df);
		double step = miss / exp(log_density);
		if (!isfinite(step))
			break;
		q -= step;
		if (fabs(step) <= 1e-15 * fabs(q))
			break;
	}
	return q;
}

double stats_t_two_sided(double t, double df)
{
	return df > 0 && !isnan(t) ? fmin(1, 2 * gsl_cdf_tdist_Q(fabs(t), df)) : NAN;
}

double stats_t_lower(double t, double df)
{
	return df > 0 && !isnan(t) ? gsl_cdf_tdist_P(t, df) : NAN;
}

double stats_t_upper(double t, double df)
{
	return df > 0 && !isnan(t) ? gsl_cdf_tdist_Q(t, df) : NAN;
}

double stats_chi2_quantile(double p, double df)
{
	return p > 0 && p < 1 && df > 0 ? gsl_cdf_chisq_Pinv(p, df) : NAN;
}

/* Bisection: the library's inverse fails to converge for some shapes, and this one cannot. */
double stats_beta_quantile(double p, double a, double b)
{
	double low = 0, high = 1;

	if (!(p >= 0 && p <= 1 && a > 0 && b > 0))
		return NAN;
	while (high - low > 1e-16) {
		double mid = low + (high - low) / 2;
		if (mid <= low || mid >= high)
			break;
		if (gsl_cdf_beta_P(mid, a, b) < p)
			low = mid;
		else
			high = mid;
	}
	return low + (high - low) / 2;
}

double stats_noncentral_t(double t, double df, double delta)
{
	if (!(df > 0) || isnan(t) || isnan(delta))
		return NAN;
	if (t < 0)
		return 1 - stats_noncentral_t(-t, df, -delta);
	const double x = t * t / (df + t * t), half = delta * delta / 2;
	double sum = gsl_cdf_ugaussian_P(-delta);
	double p = 0.5 * exp(-half);
	double q = 0.5 * delta * M_SQRT2 / sqrt(M_PI) * exp(-half);

	for (int j = 0; x > 0 && j < 10000; j++) {
		double more = p * gsl_sf_beta_inc(j + 0.5, df / 2, x) +
			      q * gsl_sf_beta_inc(j + 1, df / 2, x);
		sum += more;
		if (j > half && fabs(more) < 1e-15)
			break;
		p *= half / (j + 1);
		q *= half / (j + 1.5);
	}
	return fmin(1, fmax(0, sum));
}
