/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats/sequential.h"
#include <gsl/gsl_sf_gamma.h>
#include <math.h>

double stats_log_e_value(size_t wins, size_t losses, double a)
{
	return gsl_sf_lnbeta(a + (double)wins, a + (double)losses) - gsl_sf_lnbeta(a, a) +
	       (double)(wins + losses) * M_LN2;
}

double stats_sequence_halfwidth(double t, double t_opt, double alpha, double sigma, double *rho2)
{
	const double l = -2 * log(alpha), r = (l + log(l + 1)) / t_opt;

	if (rho2)
		*rho2 = r;
	return sigma * sqrt(2 * (t * r + 1) / (t * t * r) * log(sqrt(t * r + 1) / alpha));
}
