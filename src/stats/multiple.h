/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * multiple.h -- several comparisons at once.
 */
#pragma once
#include <stddef.h>

/* P values adjusted in place of ADJUSTED, in the order they came. Holm, Scandinavian Journal of Statistics 6 (1979): the
 * chance of any false claim. Benjamini and Hochberg, JRSS B 57 (1995): the share of false claims. */
void stats_holm(const double *p, size_t n, double *adjusted);
void stats_benjamini_hochberg(const double *p, size_t n, double *adjusted);

/* The ranks that each of M models may have: 1 + those significantly better, M - those significantly worse, by the
 * adjusted p values P[i * M + j] of all pairs at ALPHA. */
void stats_rank_interval(const double *mean, const double *p, size_t m, double alpha, size_t *best,
			 size_t *worst);
