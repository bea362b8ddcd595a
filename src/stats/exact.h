/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * exact.h -- tests that count: offered by name, not used for a verdict.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "stats/proportion.h"

/* McNemar's test on discordant pairs: B tasks only the one solved, C only the other. Exact is the binomial test, mid-p
 * takes half of the observed point away (Fagerland et al., BMC Medical Research Methodology 13, 2013). */
struct stats_mcnemar {
	double exact, mid;
};
struct stats_mcnemar stats_mcnemar(size_t b, size_t c);

/* Flipping the signs of N differences (of clusters: of their sums): p two-sided. With at most STATS_FLIP_EXACT of them
 * all 2^N are counted, beyond that SAMPLES random ones, with the one that was seen among them. The interval inverts the
 * test by means of subsets; NaN: unbounded. LEVEL is that of the interval. */
#define STATS_FLIP_EXACT 20
struct stats_sign_flip {
	double p;
	struct stats_interval interval;
};
struct stats_sign_flip stats_sign_flip(const double *d, size_t n, size_t samples, uint64_t seed,
				       double level);
