/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stats/mean.h"
#include <math.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "stats/distribution.h"

#define ROUNDING 1e-12 /* what summing in another order may change */

const char *stats_method_name(enum stats_method m)
{
	static const char *const names[] = {"none", "logit-t", "wilson"};
	return names[m];
}

/* The size and the sum of each cluster. */
struct clusters {
	double *size, *sum;
	size_t n;
};

static struct clusters add_up(const double *x, const size_t *cluster, size_t n, size_t clusters)
{
	struct clusters c = {.n = cluster ? clusters : n};

	c.size = xcalloc(c.n + 1, sizeof *c.size);
	c.sum = xcalloc(c.n + 1, sizeof *c.sum);
	for (size_t i = 0; i < n; i++) {
		c.size[cluster ? cluster[i] : i]++;
		c.sum[cluster ? cluster[i] : i] += x[i];
	}
	return c;
}

static void free_clusters(struct clusters *c)
{
	free(c->size);
	free(c->sum);
}

static double mean_of(const double *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i];
	return n ? sum / (double)n : NAN;
}

/* With m the size of a cluster, a = 1/(n sqrt(1 - m/n)) and P_gh = a_g a_h (m_g [g = h] - m_g m_h / n):
 * df = (tr P)^2 / tr P^2. The sum over pairs in tr P^2 is a product of sums less its diagonal. */
static struct stats_cluster_mean cluster_mean(const struct clusters *c, double mean, size_t n)
{
	struct stats_cluster_mean out = {.mean = mean, .variance = NAN, .df = NAN};
	const double all = (double)n;
	double variance = 0, trace = 0, diagonal = 0, squares = 0, fourth = 0;

	for (size_t g = 0; g < c->n; g++)
		out.units += c->size[g] > 0;
	if (out.units < 2)
		return out;
	for (size_t g = 0; g < c->n; g++) {
		const double m = c->size[g], left = 1 - m / all;
		if (m == 0)
			continue;
		const double s = c->sum[g] - m * mean, a2 = 1 / (all * all * left);
		const double own = a2 * (m - m * m / all), pair = a2 * m * m / all;
		variance += s * s / left / (all * all);
		trace += own;
		diagonal += own * own;
		squares += pair;
		fourth += pair * pair;
	}
	out.variance = variance;
	out.df = trace * trace / (diagonal + squares * squares - fourth);
	return out;
}

struct stats_cluster_mean stats_cluster_mean(const double *x, const size_t *cluster, size_t n,
					     size_t clusters)
{
	struct clusters c = add_up(x, cluster, n, clusters);
	struct stats_cluster_mean out = cluster_mean(&c, mean_of(x, n), n);

	free_clusters(&c);
	return out;
}

struct stats_interval stats_logit_t(double mean, double se, double df, double level)
{
	const double half = stats_t_quantile(0.5 + level / 2, df) * se / (mean * (1 - mean));
	const double centre = log(mean / (1 - mean));

	return (struct stats_interval){.low = 1 / (1 + exp(half - centre)),
				       .high = 1 / (1 + exp(-half - centre))};
}

static void take(struct stats_mean *out, struct stats_interval i, enum stats_method method)
{
	out->low = i.low;
	out->high = i.high;
	out->method = method;
}

static struct stats_mean no_interval(double mean, size_t n)
{
	return (struct stats_mean){.mean = mean,
				   .se = NAN,
				   .df = NAN,
				   .low = NAN,
				   .high = NAN,
				   .n_effective = NAN,
				   .n = n};
}

/* Whether the clusters' means have shown a spread, and how many could have fallen and could have risen. */
static bool shows_spread(const struct clusters *c, size_t *informative)
{
	size_t below = 0, above = 0;
	double first = NAN;
	bool bits = true, equal = true;

	for (size_t g = 0; g < c->n; g++) {
		if (c->size[g] == 0)
			continue;
		const double m = c->sum[g] / c->size[g];
		below += m < 1 - ROUNDING;
		above += m > ROUNDING;
		bits = bits && (m <= ROUNDING || m >= 1 - ROUNDING);
		first = isnan(first) ? m : first;
		equal = equal && fabs(m - first) < ROUNDING;
	}
	*informative = below < above ? below : above;
	return !bits && !equal && *informative >= STATS_INFORMATIVE;
}

void stats_mean_random_tasks(struct stats_mean *out, const double *x, const size_t *cluster,
			     size_t n, size_t clusters, double level)
{
	*out = no_interval(mean_of(x, n), n);
	if (!n)
		return;
	struct clusters c = add_up(x, cluster, n, clusters);
	const struct stats_cluster_mean m = cluster_mean(&c, out->mean, n);
	const bool spread = shows_spread(&c, &out->informative);

	free_clusters(&c);
	out->units = m.units;
	out->se = sqrt(m.variance);
	out->df = m.df;
	if (m.units < 2)
		return;
	if (spread)
		take(out, stats_logit_t(out->mean, out->se, m.df, level), STATS_LOGIT_T);
	else
		take(out, stats_wilson(out->mean, (double)m.units, level), STATS_WILSON);
}

double stats_satterthwaite(const double *v, const double *df, size_t n)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++) {
		sum += v[i];
		if (v[i] > 0)
			squares += v[i] * v[i] / df[i];
	}
	return squares > 0 ? sum * sum / squares : NAN;
}

void stats_mean_fixed_tasks(struct stats_mean *out, const double *scores, const size_t *k, size_t n,
			    double level)
{
	AUTO(free) double *v = xcalloc(n + 1, sizeof *v);
	AUTO(free) double *df = xcalloc(n + 1, sizeof *df);
	double means = 0, variance = 0, inverse = 0;
	bool single = false;

	for (size_t i = 0; i < n; scores += k[i++]) {
		const double mean = mean_of(scores, k[i]), rollouts = (double)k[i];
		double squares = 0;
		for (size_t j = 0; j < k[i]; j++)
			squares += (scores[j] - mean) * (scores[j] - mean);
		single = single || k[i] < 2;
		df[i] = rollouts - 1;
		v[i] = k[i] < 2 || squares < ROUNDING ? 0 : squares / df[i] / rollouts;
		means += mean;
		variance += v[i];
		inverse += 1 / rollouts;
	}
	*out = no_interval(n ? means / (double)n : NAN, n);
	if (!n)
		return;
	out->units = n;
	out->n_effective = (double)n * (double)n / inverse;
	const struct stats_interval wilson =
		stats_wilson(fmin(1, out->mean), out->n_effective, level);
	take(out, wilson, STATS_WILSON);
	if (single)
		return;
	out->se = sqrt(variance) / (double)n;
	out->df = stats_satterthwaite(v, df, n);
	if (n < 2 || !(variance > 0))
		return;
	const struct stats_interval t = stats_logit_t(out->mean, out->se, out->df, level);
	if (t.high - t.low < wilson.high - wilson.low)
		take(out, t, STATS_LOGIT_T);
}

struct stats_bounds stats_missing_bounds(const double *scores, const size_t *planned, size_t n)
{
	struct stats_bounds out = {.mean = 0};
	size_t known = 0;

	for (size_t i = 0; i < n; scores += planned[i++]) {
		double sum = 0;
		size_t scored = 0;
		for (size_t j = 0; j < planned[i]; j++)
			if (!isnan(scores[j])) {
				sum += scores[j];
				scored++;
			}
		out.scored += scored;
		out.planned += planned[i];
		known += scored > 0;
		out.mean += scored ? sum / (double)scored : 0;
		out.worst += sum / (double)planned[i] / (double)n;
		out.best += (sum + (double)(planned[i] - scored)) / (double)planned[i] / (double)n;
	}
	out.mean = known ? out.mean / (double)known : NAN;
	return out;
}
