/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats/paired.h"
#include <math.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "stats/distribution.h"

#define ROUNDING 1e-12
#define POWER 0.8

static void unknown(struct stats_difference *out, const struct stats_cluster_mean *m, size_t n)
{
	*out = (struct stats_difference){.mean = m->mean,
					 .se = NAN,
					 .df = NAN,
					 .p = NAN,
					 .low = NAN,
					 .high = NAN,
					 .mde = NAN,
					 .n = n,
					 .units = m->units};
}

/* Interval, p and MDE from mean, se and df. */
static void conclude(struct stats_difference *out, double level)
{
	const double t = stats_t_quantile(0.5 + level / 2, out->df);

	out->low = fmax(-1, out->mean - t * out->se);
	out->high = fmin(1, out->mean + t * out->se);
	if (out->se > 0)
		out->p = stats_t_two_sided(out->mean / out->se, out->df);
	else
		out->p = out->mean == 0 ? 1 : 0;
	out->mde = (t + stats_t_quantile(POWER, out->df)) * out->se;
}

static size_t count_differing(const struct stats_pairs *pairs)
{
	size_t units = pairs->cluster ? pairs->clusters : pairs->n, differing = 0;
	AUTO(free) double *sum = xcalloc(units + 1, sizeof *sum);

	for (size_t i = 0; i < pairs->n; i++)
		sum[pairs->cluster ? pairs->cluster[i] : i] += pairs->d[i];
	for (size_t g = 0; g < units; g++)
		differing += fabs(sum[g]) > ROUNDING;
	return differing;
}

void stats_paired_default(struct stats_difference *out, const struct stats_pairs *pairs,
			  double level)
{
	const size_t n = pairs->n;
	const struct stats_cluster_mean m =
		stats_cluster_mean(pairs->d, pairs->cluster, n, pairs->clusters);

	unknown(out, &m, n);
	if (m.units < 2)
		return;
	const double units = (double)m.units, tasks = (double)n;
	out->differing = count_differing(pairs);
	const double unseen = out->differing >= STATS_INFORMATIVE
				      ? pairs->inverse_k / 2 / (tasks * (tasks - 1))
				      : 3 / (units * (units - 1));
	out->se = sqrt(m.variance + unseen);
	out->df = m.df;
	conclude(out, level);

	const double sign_test = fmin(1, exp2(1 - (double)out->differing));
	out->p = fmax(out->p, sign_test);
	if (sign_test > 1 - level) {
		out->low = fmin(out->low, 0);
		out->high = fmax(out->high, 0);
	}
}

void stats_paired_t(struct stats_difference *out, const struct stats_pairs *pairs, double level)
{
	const struct stats_cluster_mean m =
		stats_cluster_mean(pairs->d, pairs->cluster, pairs->n, pairs->clusters);

	unknown(out, &m, pairs->n);
	if (m.units < 2)
		return;
	out->differing = count_differing(pairs);
	out->se = m.variance > ROUNDING * ROUNDING ? sqrt(m.variance) : 0;
	out->df = m.df;
	conclude(out, level);
}

/* What one side brings along: the mean, the variance of its task means, and Laplace's estimate of the spread of one
 * rollout, which stands for what was not seen. */
struct side {
	double mean, variance, harmonic_k, laplace;
};

static struct side look_at(const double *scores, const size_t *k, size_t n, double *v, double *df)
{
	struct side s = {0};
	double sum = 0, rollouts = 0, inverse = 0;

	for (size_t i = 0; i < n; scores += k[i++]) {
		double own = 0, squares = 0;
		for (size_t j = 0; j < k[i]; j++)
			own += scores[j];
		sum += own;
		own /= (double)k[i];
		for (size_t j = 0; j < k[i]; j++)
			squares += (scores[j] - own) * (scores[j] - own);
		df[i] = (double)k[i] - 1;
		v[i] = squares < ROUNDING ? 0 : squares / df[i] / (double)k[i];
		s.mean += own / (double)n;
		s.variance += v[i];
		inverse += 1 / (double)k[i];
		rollouts += (double)k[i];
	}
	const double p = (sum + 1) / (rollouts + 2);
	s.harmonic_k = (double)n / inverse;
	s.laplace = p * (1 - p) / s.harmonic_k;
	return s;
}

void stats_paired_fixed_tasks(struct stats_difference *out, const double *a, const size_t *ka,
			      const double *b, const size_t *kb, size_t n, double level)
{
	AUTO(free) double *v = xcalloc(2 * n + 1, sizeof *v);
	AUTO(free) double *df = xcalloc(2 * n + 1, sizeof *df);
	struct stats_cluster_mean none = {.mean = NAN, .units = n};

	unknown(out, &none, n);
	for (size_t i = 0; i < n; i++)
		if (ka[i] < 2 || kb[i] < 2)
			return;
	if (!n)
		return;
	const struct side x = look_at(a, ka, n, v, df), y = look_at(b, kb, n, v + n, df + n);
	const double tasks = (double)n, k = 2 / (1 / x.harmonic_k + 1 / y.harmonic_k);
	const double own = stats_satterthwaite(v, df, 2 * n);

	out->mean = x.mean - y.mean;
	out->se = sqrt((x.variance + y.variance + x.laplace + y.laplace) / (tasks * (tasks + 1)));
	out->df = (isnan(own) ? 0 : own) + 2 * (k - 1);
	conclude(out, level);
}

void stats_tost(const struct stats_difference *t, double margin, double *p_lower, double *p_upper)
{
	*p_lower = stats_t_upper((t->mean + margin) / t->se, t->df);
	*p_upper = stats_t_lower((t->mean - margin) / t->se, t->df);
}

enum stats_verdict stats_verdict(const struct stats_difference *d, double margin)
{
	if (d->low > 0)
		return STATS_BETTER;
	if (d->high < 0)
		return STATS_WORSE;
	return d->low > -margin && d->high < margin ? STATS_EQUIVALENT : STATS_NOT_DECIDED;
}

enum stats_gate stats_gate(const struct stats_difference *d, double margin)
{
	if (d->low > -margin)
		return STATS_PASS;
	return d->high < -margin ? STATS_FAIL : STATS_INCONCLUSIVE;
}

double stats_gate_chance(const struct stats_difference *d, double margin, double level)
{
	/* low > -margin, with the difference spread around 0 as the standard error says. */
	return stats_t_upper(stats_t_quantile(0.5 + level / 2, d->df) - margin / d->se, d->df);
}
