/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Every reference value of stats-vectors.json: an object with a method, its input, what R or SciPy give for it, and
 * how near we must come. A method that is not in the table below fails.
 */
#include "test.h"
#include <jansson.h>
#include <math.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "stats/bootstrap.h"
#include "stats/distribution.h"
#include "stats/exact.h"
#include "stats/mean.h"
#include "stats/multiple.h"
#include "stats/paired.h"
#include "stats/plan.h"
#include "stats/proportion.h"
#include "stats/rating.h"
#include "stats/sequential.h"

#define LEVEL 0.95

static const json_t *vector; /* the one under test, for the message of a failure */

static void close_to(double value, const json_t *expected)
{
	const double tol = json_number_value(json_object_get(vector, "tol"));
	const double e = json_is_number(expected) ? json_number_value(expected) : NAN;

	if (isnan(e) ? isnan(value) : fabs(value - e) <= tol * fmax(1, fabs(e)))
		return;
	fail_msg("%s: %.15g instead of %.15g", json_string_value(json_object_get(vector, "id")),
		 value, e);
}

/* Compare what EXPECTED has under NAME; a vector need not name everything. */
static void same(const json_t *expected, const char *name, double value)
{
	const json_t *e = json_object_get(expected, name);

	if (e)
		close_to(value, e);
}

static void same_text(const json_t *expected, const char *name, const char *value)
{
	const char *e = json_string_value(json_object_get(expected, name));

	if (e && strcmp(e, value))
		fail_msg("%s: %s %s instead of %s",
			 json_string_value(json_object_get(vector, "id")), name, value, e);
}

static double number(const json_t *in, const char *name)
{
	const json_t *v = json_object_get(in, name);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

static size_t count(const json_t *in, const char *name)
{
	return (size_t)number(in, name);
}

/* A list of numbers, or of lists of numbers laid one after the other; null is NaN. K gets the lengths of the lists. */
struct list {
	double v[2048];
	size_t k[64], n, rows;
};

static void add(struct list *l, const json_t *item)
{
	assert_true(l->n < ARRAY_SIZE(l->v));
	l->v[l->n++] = json_is_number(item) ? json_number_value(item) : NAN;
}

static struct list list(const json_t *in, const char *name)
{
	struct list l = {.n = 0};
	const json_t *rows = json_object_get(in, name);
	size_t i, j;
	const json_t *row, *item;

	json_array_foreach (rows, i, row) {
		if (!json_is_array(row)) {
			add(&l, row);
			continue;
		}
		json_array_foreach (row, j, item)
			add(&l, item);
		assert_true(l.rows < ARRAY_SIZE(l.k));
		l.k[l.rows++] = json_array_size(row);
	}
	return l;
}

/* The clusters of IN as numbers from 0; NULL when it has none. */
static size_t *clusters(const json_t *in, size_t *out, size_t *n)
{
	struct list l = list(in, "cluster");

	*n = 0;
	for (size_t i = 0; i < l.n; i++) {
		out[i] = (size_t)l.v[i];
		*n = out[i] + 1 > *n ? out[i] + 1 : *n;
	}
	return l.n ? out : NULL;
}

static void interval(const json_t *e, struct stats_interval i)
{
	same(e, "low", i.low);
	same(e, "high", i.high);
}

static void distributions(const json_t *in, const json_t *e)
{
	same(e, "z", stats_normal_quantile(number(in, "p")));
	same(e, "q", stats_t_quantile(number(in, "p"), number(in, "df")));
}

static void t_tail(const json_t *in, const json_t *e)
{
	const double p = json_number_value(json_object_get(e, "p"));
	const double got = stats_t_two_sided(number(in, "t"), number(in, "df"));

	/* A small probability must be right in its leading digits, too. */
	assert_true(fabs(got - p) <= 1e-9 * p);
}

static void wilson(const json_t *in, const json_t *e)
{
	const double n = number(in, "n");
	interval(e, stats_wilson(number(in, "x") / n, n, number(in, "level")));
}

static void clopper_pearson(const json_t *in, const json_t *e)
{
	interval(e, stats_clopper_pearson(number(in, "x"), number(in, "n"), number(in, "level")));
}

static void beta_uniform(const json_t *in, const json_t *e)
{
	interval(e, stats_beta_interval(number(in, "x"), number(in, "n"), LEVEL));
}

static void newcombe(const json_t *in, const json_t *e)
{
	interval(e, stats_newcombe(number(in, "x1"), number(in, "n1"), number(in, "x2"),
				   number(in, "n2"), LEVEL));
}

static void pass_k(const json_t *in, const json_t *e)
{
	same(e, "pass_at", stats_pass_at(count(in, "n"), count(in, "c"), count(in, "k")));
	same(e, "pass_hat", stats_pass_hat(count(in, "n"), count(in, "c"), count(in, "k")));
}

static void mean_fields(const json_t *e, const struct stats_mean *m)
{
	same(e, "mean", m->mean);
	same(e, "se", m->se);
	same(e, "df", m->df);
	same(e, "n_effective", m->n_effective);
	same(e, "low", m->low);
	same(e, "high", m->high);
	same_text(e, "method", stats_method_name(m->method));
	if (json_object_get(e, "informative"))
		same(e, "informative", (double)m->informative);
	if (m->se > 0) {
		struct stats_interval logit = stats_logit_t(m->mean, m->se, m->df, LEVEL);
		same(e, "logit_low", logit.low);
		same(e, "logit_high", logit.high);
	}
}

static void random_tasks(const json_t *in, const json_t *e)
{
	struct list x = list(in, "task_means");
	struct stats_mean m;

	stats_mean_random_tasks(&m, x.v, NULL, x.n, 0, LEVEL);
	mean_fields(e, &m);
}

static void pass_k_interval(const json_t *in, const json_t *e)
{
	struct list c = list(in, "c");
	struct stats_mean m;

	for (size_t i = 0; i < c.n; i++)
		c.v[i] = stats_pass_at(count(in, "n"), (size_t)c.v[i], count(in, "k"));
	stats_mean_random_tasks(&m, c.v, NULL, c.n, 0, LEVEL);
	mean_fields(e, &m);
}

static void fixed_tasks(const json_t *in, const json_t *e)
{
	struct list x = list(in, "rollouts");
	struct stats_mean m;

	stats_mean_fixed_tasks(&m, x.v, x.k, x.rows, LEVEL);
	mean_fields(e, &m);
}

static void logit_t(const json_t *in, const json_t *e)
{
	interval(e, stats_logit_t(number(in, "mean"), number(in, "se"), number(in, "df"), LEVEL));
}

static void clustered(const json_t *in, const json_t *e)
{
	struct list x = list(in, "x");
	size_t ids[64], n;
	size_t *cluster = clusters(in, ids, &n);
	struct stats_cluster_mean m = stats_cluster_mean(x.v, cluster, x.n, n);
	struct stats_interval logit = stats_logit_t(m.mean, sqrt(m.variance), m.df, LEVEL);

	same(e, "mean", m.mean);
	same(e, "se_cr2", sqrt(m.variance));
	same(e, "df_cr2", m.df);
	same(e, "p", stats_t_two_sided(m.mean / sqrt(m.variance), m.df));
	same(e, "logit_low", logit.low);
	same(e, "logit_high", logit.high);
}

static void difference(const json_t *e, const struct stats_difference *d)
{
	same(e, "n", (double)d->n);
	same(e, "mean", d->mean);
	same(e, "se", d->se);
	same(e, "df", d->df);
	same(e, "p", d->p);
	same(e, "low", d->low);
	same(e, "high", d->high);
	if (json_object_get(e, "differing"))
		same(e, "differing", (double)d->differing);
}

static void paired_default(const json_t *in, const json_t *e)
{
	struct list d = list(in, "d");
	size_t ids[128];
	struct stats_pairs pairs = {.d = d.v, .n = d.n, .inverse_k = 1 / number(in, "K")};
	struct stats_difference out;
	static const char *const gates[] = {"inconclusive", "pass", "fail"};

	pairs.cluster = clusters(in, ids, &pairs.clusters);
	stats_paired_default(&out, &pairs, LEVEL);
	difference(e, &out);
	same_text(e, "verdict", gates[stats_gate(&out, number(in, "margin"))]);
}

static void paired_t(const json_t *in, const json_t *e)
{
	struct list a = list(in, "A"), b = list(in, "B");
	double d[64];
	struct stats_pairs pairs = {.d = d};
	struct stats_difference out;

	for (size_t i = 0; i < a.n; i++)
		if (!isnan(a.v[i] - b.v[i]))
			d[pairs.n++] = a.v[i] - b.v[i];
	stats_paired_t(&out, &pairs, LEVEL);
	difference(e, &out);
}

static void paired_fixed(const json_t *in, const json_t *e)
{
	struct list a = list(in, "A"), b = list(in, "B");
	struct stats_difference out;

	stats_paired_fixed_tasks(&out, a.v, a.k, b.v, b.k, a.rows, LEVEL);
	difference(e, &out);
}

static void tost(const json_t *in, const json_t *e)
{
	struct list d = list(in, "d");
	struct stats_pairs pairs = {.d = d.v, .n = d.n};
	struct stats_difference out;
	double lower, upper;

	stats_paired_t(&out, &pairs, 0.90);
	stats_tost(&out, number(in, "margin"), &lower, &upper);
	same(e, "p_lower", lower);
	same(e, "p_upper", upper);
	close_to(out.low, json_array_get(json_object_get(e, "ci90"), 0));
	close_to(out.high, json_array_get(json_object_get(e, "ci90"), 1));
}

static void mcnemar(const json_t *in, const json_t *e)
{
	struct stats_mcnemar m = stats_mcnemar(count(in, "b"), count(in, "c"));

	same(e, "exact", m.exact);
	same(e, "mid", m.mid);
}

static void sign_flip(const json_t *in, const json_t *e)
{
	struct list d = list(in, "d");
	size_t ids[64], n;
	size_t *cluster = clusters(in, ids, &n);
	double sums[64] = {0};

	for (size_t i = 0; cluster && i < d.n; i++)
		sums[cluster[i]] += d.v[i];
	/* Clusters are numbered from 1 there. */
	struct stats_sign_flip f = cluster ? stats_sign_flip(sums + 1, n - 1, 0, 0, LEVEL)
					   : stats_sign_flip(d.v, d.n, 0, 0, LEVEL);
	same(e, "p", f.p);
	interval(e, f.interval);
}

static void bca(const json_t *in, const json_t *e)
{
	struct list x = list(in, "x"), at = list(in, "indices_from_1");
	double means[64] = {0};

	for (size_t i = 0; i < at.n; i++)
		means[i / x.n] += x.v[(size_t)at.v[i] - 1] / (double)x.n;
	struct stats_bca b = stats_bca_from(x.v, x.n, means, at.rows, LEVEL);
	same(e, "z0", b.z0);
	same(e, "a", b.acceleration);
	same(e, "alpha_low", b.alpha_low);
	same(e, "alpha_high", b.alpha_high);
	interval(e, b.interval);
}

static void adjusted(const json_t *e, const char *name, const double *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close_to(p[i], json_array_get(json_object_get(e, name), i));
}

static void adjust(const json_t *in, const json_t *e)
{
	struct list p = list(in, "p");
	double out[64];

	stats_holm(p.v, p.n, out);
	adjusted(e, "holm", out, p.n);
	stats_benjamini_hochberg(p.v, p.n, out);
	adjusted(e, "bh", out, p.n);
}

static void rank_interval(const json_t *in, const json_t *e)
{
	struct list mean = list(in, "mean"), p = list(in, "holm_p");
	size_t best[16], worst[16];

	stats_rank_interval(mean.v, p.v, mean.n, 0.05, best, worst);
	for (size_t i = 0; i < mean.n; i++) {
		close_to((double)best[i], json_array_get(json_object_get(e, "best"), i));
		close_to((double)worst[i], json_array_get(json_object_get(e, "worst"), i));
	}
}

static void mde(const json_t *in, const json_t *e)
{
	struct stats_mde m =
		stats_mde(count(in, "n"), number(in, "sd"), number(in, "power"), LEVEL);

	same(e, "normal", m.normal);
	same(e, "t_exact", m.exact);
	same(e, "t_approx", m.approximate);
}

static void power_n(const json_t *in, const json_t *e)
{
	same(e, "n",
	     stats_tasks_needed(number(in, "delta"), number(in, "w2"), number(in, "within_sum"),
				number(in, "K"), 0.8, LEVEL));
}

static void power_n_upper(const json_t *in, const json_t *e)
{
	const double n =
		stats_tasks_needed(number(in, "delta"), number(in, "s2_d"), 0, 1, 0.8, LEVEL);

	same(e, "n", n);
	same(e, "n_upper", n * stats_variance_factor(count(in, "n_pilot"), 0.8));
}

static void power_t(const json_t *in, const json_t *e)
{
	same(e, "power", stats_power_t(number(in, "effect"), count(in, "n"), LEVEL));
}

static void variance_factor(const json_t *in, const json_t *e)
{
	const double df = number(in, "df"), level = number(in, "level");

	same(e, "quantile", stats_chi2_quantile(1 - level, df));
	same(e, "factor", stats_variance_factor((size_t)df + 1, level));
}

static void variance_split(const json_t *in, const json_t *e)
{
	struct list a = list(in, "A"), b = list(in, "B");
	struct stats_variance_split s = stats_variance_split(a.v, b.v, a.rows, a.k[0]);

	same(e, "s2_d", s.s2_d);
	same(e, "within_sum", s.within);
	same(e, "w2_raw", s.w2_raw);
	same(e, "w2", s.w2);
}

static void satterthwaite(const json_t *in, const json_t *e)
{
	struct list v = list(in, "v"), df = list(in, "df");

	same(e, "df", stats_satterthwaite(v.v, df.v, v.n));
}

static void krippendorff(const json_t *in, const json_t *e)
{
	struct list x = list(in, "raters_by_units");

	same(e, "nominal", stats_krippendorff(x.v, x.rows, x.k[0], STATS_NOMINAL));
	same(e, "interval", stats_krippendorff(x.v, x.rows, x.k[0], STATS_INTERVAL));
}

static void judge_correction(const json_t *in, const json_t *e)
{
	struct stats_judge j = {.p = number(in, "p"),
				.n = number(in, "n"),
				.q0 = number(in, "q0"),
				.m0 = number(in, "m0"),
				.q1 = number(in, "q1"),
				.m1 = number(in, "m1")};
	struct stats_corrected c = stats_judge_correction(&j, LEVEL);

	same(e, "theta", c.theta);
	interval(e, c.interval);
}

static void prediction_powered(const json_t *in, const json_t *e)
{
	struct list y = list(in, "Y"), f = list(in, "f"), more = list(in, "F");
	struct stats_powered p = stats_prediction_powered(y.v, f.v, y.n, more.v, more.n,
							  number(in, "lambda"), LEVEL);

	same(e, "theta", p.theta);
	same(e, "se", p.se);
	interval(e, p.interval);
}

static void bayes(const json_t *in, const json_t *e)
{
	struct list r = list(in, "R"), w = list(in, "w");
	struct stats_bayes b = stats_bayes_at_n(r.v, r.rows, r.k[0], w.v, w.n);

	same(e, "mu", b.mu);
	same(e, "sigma", b.sigma);
}

static void e_value(const json_t *in, const json_t *e)
{
	const double log_e =
		stats_log_e_value(count(in, "wins"), count(in, "losses"), number(in, "a"));

	same(e, "log_e", log_e);
	same(e, "e", exp(log_e));
}

static void sequence(const json_t *in, const json_t *e)
{
	double rho2;
	const double half =
		stats_sequence_halfwidth(number(in, "t"), number(in, "t_opt"), number(in, "alpha"),
					 number(in, "sigma"), &rho2);

	same(e, "half", half);
	same(e, "rho2", rho2);
}

static void bounds(const json_t *in, const json_t *e)
{
	struct list x = list(in, "rollouts");
	struct stats_bounds b = stats_missing_bounds(x.v, x.k, x.rows);

	same(e, "mean", b.mean);
	same(e, "worst", b.worst);
	same(e, "best", b.best);
	same(e, "scored", (double)b.scored);
	same(e, "planned", (double)b.planned);
}

static const struct {
	const char *method;
	void (*check)(const json_t *in, const json_t *expected);
} methods[] = {
	{"adjust", adjust},
	{"asymptotic_cs_halfwidth", sequence},
	{"bayes_at_n", bayes},
	{"bca", bca},
	{"beta_uniform_interval", beta_uniform},
	{"clopper_pearson", clopper_pearson},
	{"clustered_mean", clustered},
	{"e_value_discordant", e_value},
	{"gate", paired_default},
	{"judge_correction", judge_correction},
	{"krippendorff_alpha", krippendorff},
	{"logit_t", logit_t},
	{"mcnemar", mcnemar},
	{"mde", mde},
	{"mean_fixed_tasks", fixed_tasks},
	{"mean_random_tasks", random_tasks},
	{"newcombe", newcombe},
	{"normal_quantile", distributions},
	{"paired_default", paired_default},
	{"paired_fixed_tasks", paired_fixed},
	{"paired_t", paired_t},
	{"pass_k", pass_k},
	{"pass_k_interval", pass_k_interval},
	{"power_n", power_n},
	{"power_n_upper", power_n_upper},
	{"power_t", power_t},
	{"prediction_powered_mean", prediction_powered},
	{"rank_interval", rank_interval},
	{"satterthwaite_df", satterthwaite},
	{"sign_flip_clustered", sign_flip},
	{"sign_flip_exact", sign_flip},
	{"t_quantile", distributions},
	{"t_two_sided_p", t_tail},
	{"tost", tost},
	{"variance_split", variance_split},
	{"variance_upper_factor", variance_factor},
	{"wilson", wilson},
	{"worst_best", bounds},
};

static void vectors_hold(void **state)
{
	char *path = xasprintf("%s/tests/unit/stats-vectors.json", getenv("SOURCE"));
	json_error_t where;
	json_t *all = json_load_file(path, 0, &where);
	size_t i, m;

	free(path);
	assert_non_null(all);
	assert_true(json_array_size(all) > 90);
	json_array_foreach (all, i, vector) {
		const char *name = json_string_value(json_object_get(vector, "method"));
		for (m = 0; m < ARRAY_SIZE(methods) && strcmp(methods[m].method, name);)
			m++;
		if (m == ARRAY_SIZE(methods))
			fail_msg("nothing computes %s", name);
		methods[m].check(json_object_get(vector, "input"),
				 json_object_get(vector, "expected"));
	}
	json_decref(all);
}

/* The first value is SciPy's; the density's tails are heavier than Cauchy's. */
static void less_than_one_degree_of_freedom(void **state)
{
	assert_float_equal(stats_t_quantile(.6, .7), 0.35603136523468, 1e-12);
	assert_float_equal(stats_t_quantile(.4, .7), -0.35603136523468, 1e-12);
	for (double df = .2; df < 1; df += .2)
		for (double p = .55; p < 1; p += .1)
			assert_float_equal(stats_t_lower(stats_t_quantile(p, df), df), p, 1e-12);
}

static void few_units_have_no_interval(void **state)
{
	const double one[] = {0.5}, two[] = {0.25, 0.75};
	const size_t same_cluster[] = {0, 0};
	struct stats_mean m;
	struct stats_difference d;
	struct stats_pairs pairs = {
		.d = two, .cluster = same_cluster, .n = 2, .clusters = 1, .inverse_k = 1};

	stats_mean_random_tasks(&m, one, NULL, 1, 0, LEVEL);
	assert_int_equal(m.method, STATS_NONE);
	stats_mean_random_tasks(&m, two, same_cluster, 2, 1, LEVEL);
	assert_int_equal(m.method, STATS_NONE);
	assert_true(isnan(m.low) && m.mean == 0.5);
	stats_mean_random_tasks(&m, NULL, NULL, 0, 0, LEVEL);
	assert_true(isnan(m.mean));
	stats_paired_default(&d, &pairs, LEVEL);
	assert_true(isnan(d.low) && isnan(d.p) && d.mean == 0.5 && d.units == 1);
	/* One task asked about itself: its rollouts count. */
	stats_mean_fixed_tasks(&m, two, (const size_t[]){2}, 1, LEVEL);
	assert_int_equal(m.method, STATS_WILSON);
	assert_true(m.n_effective == 2);
}

static void clusters_of_one_are_no_clusters(void **state)
{
	const double x[] = {.5, .25, .75, 1, 0, .75, .5, .1};
	const size_t own[] = {7, 1, 3, 2, 0, 6, 5, 4};
	struct stats_cluster_mean with = stats_cluster_mean(x, own, 8, 8),
				  without = stats_cluster_mean(x, NULL, 8, 0);

	assert_true(fabs(with.variance - without.variance) < 1e-15);
	assert_true(fabs(with.df - 7) < 1e-12 && fabs(without.df - 7) < 1e-12);
}

static void a_higher_level_is_wider(void **state)
{
	const double x[] = {.2, .4, .6, .8, 1, 1, .6, .4, .2, 0, .8, .6};
	struct stats_mean narrow, wide;

	stats_mean_random_tasks(&narrow, x, NULL, 12, 0, 0.90);
	stats_mean_random_tasks(&wide, x, NULL, 12, 0, 0.99);
	assert_true(wide.low < narrow.low && wide.high > narrow.high);
	assert_true(wide.low > 0 && wide.high < 1);
}

static void sampled_flips_agree_with_all(void **state)
{
	double d[21] = {.5, .25, -.25, 0, .75, .25, -.5, .25, .25, 0, .5, .25};
	struct stats_sign_flip all = stats_sign_flip(d, 12, 0, 0, LEVEL);
	/* Zeros change nothing about p, but are too many to enumerate. */
	struct stats_sign_flip some = stats_sign_flip(d, 21, 200000, 1, LEVEL);
	struct stats_sign_flip again = stats_sign_flip(d, 21, 200000, 1, LEVEL);

	assert_true(fabs(all.p - some.p) < 0.01);
	assert_true(some.p == again.p && some.p > 0);
}

static void bootstrap_repeats_itself(void **state)
{
	double x[1000];

	for (size_t i = 0; i < 1000; i++)
		x[i] = (double)(i % 10) / 9;
	struct stats_bca a = stats_bca(x, 1000, 10000, 7, LEVEL),
			 b = stats_bca(x, 1000, 10000, 7, LEVEL);
	assert_true(a.interval.low == b.interval.low && a.interval.high == b.interval.high);
	/* Of so many values the mean is normal: 0.5 +- 1.96 * 0.3192 / sqrt(1000). */
	assert_true(fabs(a.interval.low - (0.5 - 0.01978)) < 0.001);
	assert_true(fabs(a.interval.high - (0.5 + 0.01978)) < 0.001);
}

static void verdicts(void **state)
{
	const struct stats_difference better = {.low = .01, .high = .2},
				      worse = {.low = -.2, .high = -.01},
				      even = {.low = -.03, .high = .02},
				      open = {.low = -.1, .high = .02};

	assert_int_equal(stats_verdict(&better, 0.05), STATS_BETTER);
	assert_int_equal(stats_verdict(&worse, 0.05), STATS_WORSE);
	assert_int_equal(stats_verdict(&even, 0.05), STATS_EQUIVALENT);
	assert_int_equal(stats_verdict(&even, 0), STATS_NOT_DECIDED);
	assert_int_equal(stats_verdict(&open, 0.05), STATS_NOT_DECIDED);
	assert_int_equal(stats_gate(&even, 0.05), STATS_PASS);
	assert_int_equal(stats_gate(&open, 0.05), STATS_INCONCLUSIVE);
	assert_int_equal(stats_gate(&worse, 0.005), STATS_FAIL);
	/* Nothing known is nothing decided. */
	const struct stats_difference nothing = {.low = NAN, .high = NAN};
	assert_int_equal(stats_verdict(&nothing, 0.05), STATS_NOT_DECIDED);
	assert_int_equal(stats_gate(&nothing, 0.05), STATS_INCONCLUSIVE);
}

static void a_judge_like_chance_tells_nothing(void **state)
{
	const struct stats_judge j = {.p = 0.5, .n = 100, .q0 = 0.5, .q1 = 0.5, .m0 = 20, .m1 = 20};

	assert_true(isnan(stats_judge_correction(&j, LEVEL).theta));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_hold),
		cmocka_unit_test(less_than_one_degree_of_freedom),
		cmocka_unit_test(few_units_have_no_interval),
		cmocka_unit_test(clusters_of_one_are_no_clusters),
		cmocka_unit_test(a_higher_level_is_wider),
		cmocka_unit_test(sampled_flips_agree_with_all),
		cmocka_unit_test(bootstrap_repeats_itself),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(a_judge_like_chance_tells_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
