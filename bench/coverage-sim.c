// SPDX-License-Identifier: GPL-3.0-or-later
// How often an interval of 95 % holds the truth, by simulation: ours beside the plain CLT (1.96 standard errors), Student's
// t and BCa, which are what others print. Rates of tasks come from four mixes (most tasks easy, most hard, either or, anything); a score is 0 or 1, or the
// sum of two rubrics of 0.45 and 0.55. A row is the mean over the mixes and kinds and the worst of them.
//
//     coverage-sim [REPLICATIONS]      2000 take about half a minute; the error of a cell is then half a point
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "stats/bootstrap.h"
#include "stats/distribution.h"
#include "stats/mean.h"
#include "stats/paired.h"

#define LEVEL 0.95
#define MOST 300
#define RESAMPLES 400
#define METHODS 4 /* CLT, t, BCa, ours */

struct mix {
	const char *name;
	double a, b; /* rates of tasks: Beta(a, b) */
};
static const struct mix mixes[] = {
	{"easy", 5, 1}, {"hard", 1, 5}, {"either", .5, .5}, {"any", 1, 1}};

static gsl_rng *rng;
static int replications = 2000;

static double score(double rate, bool rubrics)
{
	if (!rubrics)
		return gsl_rng_uniform(rng) < rate;
	return (gsl_rng_uniform(rng) < rate ? .45 : 0) + (gsl_rng_uniform(rng) < rate ? .55 : 0);
}

static double task_mean(double rate, bool rubrics, int k)
{
	double sum = 0;

	for (int i = 0; i < k; i++)
		sum += score(rate, rubrics);
	return sum / k;
}

struct tally {
	double covered[METHODS], width[METHODS];
};

static void count(struct tally *t, int method, struct stats_interval i, double truth)
{
	t->covered[method] += truth >= i.low - 1e-9 && truth <= i.high + 1e-9;
	t->width[method] += i.high - i.low;
}

// What others print for the mean of X.
static void count_others(struct tally *t, const double *x, size_t n, int seed, double truth)
{
	const struct stats_cluster_mean m = stats_cluster_mean(x, NULL, n, 0);
	const double se = sqrt(m.variance);
	const double halves[] = {stats_normal_quantile(0.5 + LEVEL / 2) * se,
				 stats_t_quantile(0.5 + LEVEL / 2, m.df) * se};

	for (int i = 0; i < 2; i++)
		count(t, i, (struct stats_interval){m.mean - halves[i], m.mean + halves[i]}, truth);
	count(t, 2, stats_bca(x, n, RESAMPLES, (uint64_t)seed + 1, LEVEL).interval, truth);
}

static struct tally one_model(const struct mix *mix, bool rubrics, size_t n, int k)
{
	struct tally t = {0};
	double x[MOST];
	struct stats_mean ours;

	for (int r = 0; r < replications; r++) {
		const double truth = mix->a / (mix->a + mix->b);
		for (size_t i = 0; i < n; i++)
			x[i] = task_mean(gsl_ran_beta(rng, mix->a, mix->b), rubrics, k);
		stats_mean_random_tasks(&ours, x, NULL, n, 0, LEVEL);
		count_others(&t, x, n, r, truth);
		count(&t, 3, (struct stats_interval){ours.low, ours.high}, truth);
	}
	return t;
}

// The candidate breaks a share BREAK of the tasks for good, or is as good everywhere (0).
static struct tally two_models(const struct mix *mix, bool rubrics, size_t n, int k, double broken)
{
	struct tally t = {0};
	double d[MOST];
	struct stats_difference ours;

	for (int r = 0; r < replications; r++) {
		const double truth = -broken * mix->a / (mix->a + mix->b);
		for (size_t i = 0; i < n; i++) {
			const double rate = gsl_ran_beta(rng, mix->a, mix->b);
			const bool breaks = gsl_rng_uniform(rng) < broken;
			d[i] = (breaks ? 0 : task_mean(rate, rubrics, k)) -
			       task_mean(rate, rubrics, k);
		}
		const struct stats_pairs pairs = {.d = d, .n = n, .inverse_k = 1.0 / k};
		stats_paired_default(&ours, &pairs, LEVEL);
		count_others(&t, d, n, r, truth);
		count(&t, 3, (struct stats_interval){ours.low, ours.high}, truth);
	}
	return t;
}

static void row(const char *what, size_t n, int k, double broken, bool pairs)
{
	double sum[METHODS] = {0}, worst[METHODS] = {1, 1, 1, 1}, width[METHODS] = {0};
	const size_t cells = 2 * sizeof mixes / sizeof *mixes;

	for (size_t c = 0; c < cells; c++) {
		const struct mix *mix = &mixes[c / 2];
		struct tally t =
			pairs ? two_models(mix, c % 2, n, k, broken) : one_model(mix, c % 2, n, k);
		for (int m = 0; m < METHODS; m++) {
			const double share = t.covered[m] / replications;
			sum[m] += share / (double)cells;
			worst[m] = fmin(worst[m], share);
			width[m] += t.width[m] / replications / (double)cells;
		}
	}
	printf("%-34s %5zu %3d ", what, n, k);
	for (int m = 0; m < METHODS; m++)
		printf("   %.3f %.3f %.2f", sum[m], worst[m], width[m]);
	printf("\n");
	fflush(stdout);
}

static void time_resamples(void)
{
	enum { TASKS = 1000, MANY = 10000 };
	double x[TASKS];

	for (size_t i = 0; i < TASKS; i++)
		x[i] = gsl_rng_uniform(rng);
	const clock_t begin = clock();
	const struct stats_interval i = stats_bca(x, TASKS, MANY, 1, LEVEL).interval;
	printf("%d resamples of %d tasks: %.2f s (%.3f to %.3f)\n", MANY, TASKS,
	       (double)(clock() - begin) / CLOCKS_PER_SEC, i.low, i.high);
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {5, 10, 20, 50, 100};
	static const int rollouts[] = {1, 3};

	if (argc > 1)
		replications = (int)strtol(argv[1], NULL, 10);
	if (argc > 2 || replications < 1) {
		fprintf(stderr, "usage: coverage-sim [REPLICATIONS]\n");
		return 2;
	}
	rng = gsl_rng_alloc(gsl_rng_mt19937);
	printf("%-34s %5s %3s    %-17s   %-17s   %-17s   %s\n", "intervals of 95 %", "tasks", "K",
	       "CLT", "t", "BCa", "ours");
	printf("%-44s", "");
	for (int m = 0; m < METHODS; m++)
		printf("   mean  worst wide");
	printf("\n");
	for (size_t k = 0; k < 2; k++)
		for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
			row("one model", sizes[n], rollouts[k], 0, false);
	for (size_t k = 0; k < 2; k++)
		for (size_t n = 1; n < sizeof sizes / sizeof *sizes; n++)
			row("two models that are equal", sizes[n], rollouts[k], 0, true);
	for (size_t n = 1; n < sizeof sizes / sizeof *sizes; n++)
		row("one breaks 5 % of the tasks", sizes[n], 3, 0.05, true);
	time_resamples();
	gsl_rng_free(rng);
	return 0;
}
