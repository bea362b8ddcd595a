/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * distribution.h -- quantiles and tail probabilities, by the GNU Scientific Library. Degrees of freedom
 * need not be whole. Nothing here allocates. Impossible arguments give NaN.
 */
#pragma once

double stats_normal_quantile(double p);
double stats_t_quantile(double p, double df);
/* P(|T| >= |t|) for Student's T. */
double stats_t_two_sided(double t, double df);
/* P(T <= t) and P(T > t). */
double stats_t_lower(double t, double df);
double stats_t_upper(double t, double df);
double stats_chi2_quantile(double p, double df);
double stats_beta_quantile(double p, double a, double b);
/* P(T <= t) for Student's T with noncentrality DELTA >= 0.
 * Lenth, Algorithm AS 243, Applied Statistics 38 (1989). */
double stats_noncentral_t(double t, double df, double delta);
