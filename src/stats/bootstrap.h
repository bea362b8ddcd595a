/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * bootstrap.h -- the BCa interval of a mean (Efron, JASA 82, 1987). Offered by name: in the simulations of
 * bench/coverage it covers less than the intervals of mean.h.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "stats/proportion.h"

struct stats_bca {
	double z0, acceleration;
	double alpha_low, alpha_high; /* the quantiles that were taken */
	struct stats_interval interval;
};

/* From B means of resamples that the caller drew; they are sorted in place. Ties count half in z0; quantiles are
 * interpolated as type 7 of Hyndman and Fan. */
struct stats_bca stats_bca_from(const double *x, size_t n, double *means, size_t b, double level);
/* B resamples of X from SEED: the same seed gives the same interval. */
struct stats_bca stats_bca(const double *x, size_t n, size_t b, uint64_t seed, double level);
