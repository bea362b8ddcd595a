/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats/multiple.h"
#include <math.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/mem.h"

struct ranked {
	double p;
	size_t at;
};

static int by_p(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return (x->p > y->p) - (x->p < y->p);
}

static struct ranked *sorted(const double *p, size_t n)
{
	struct ranked *r = xcalloc(n + 1, sizeof *r);

	for (size_t i = 0; i < n; i++)
		r[i] = (struct ranked){.p = p[i], .at = i};
	qsort(r, n, sizeof *r, by_p);
	return r;
}

void stats_holm(const double *p, size_t n, double *adjusted)
{
	AUTO(free) struct ranked *r = sorted(p, n);
	double most = 0;

	for (size_t i = 0; i < n; i++) {
		most = fmax(most, fmin(1, (double)(n - i) * r[i].p));
		adjusted[r[i].at] = most;
	}
}

void stats_benjamini_hochberg(const double *p, size_t n, double *adjusted)
{
	AUTO(free) struct ranked *r = sorted(p, n);
	double least = 1;

	for (size_t i = n; i-- > 0;) {
		least = fmin(least, (double)n / (double)(i + 1) * r[i].p);
		adjusted[r[i].at] = least;
	}
}

void stats_rank_interval(const double *mean, const double *p, size_t m, double alpha, size_t *best,
			 size_t *worst)
{
	for (size_t i = 0; i < m; i++) {
		best[i] = 1;
		worst[i] = m;
		for (size_t j = 0; j < m; j++) {
			if (j == i || !(p[i * m + j] <= alpha))
				continue;
			best[i] += mean[j] > mean[i];
			worst[i] -= mean[j] < mean[i];
		}
	}
}
