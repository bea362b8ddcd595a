/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <math.h>
#include "stats/stats.h"

#define near(a, b, eps) assert_true(fabs((a) - (b)) < (eps))

static void wilson_matches_published_values(void **state)
{
	double low, high;

	stats_wilson(8, 10, .95, &low, &high);
	near(low, .49016, 1e-5);
	near(high, .94332, 1e-5);
	stats_wilson(0, 10, .95, &low, &high);
	near(low, 0, 1e-12);
	near(high, .27753, 1e-5);
	stats_wilson(10, 10, .95, &low, &high);
	near(low, 1 - .27753, 1e-5);
	near(high, 1, 1e-12);
}

static void t_quantiles(void **state)
{
	near(stats_t(.95, 1), 12.7062, 1e-4);
	near(stats_t(.95, 9), 2.26216, 1e-4);
	near(stats_t(.95, 30), 2.04227, 1e-4);
	near(stats_t(.95, 31), 2.03951, 1e-4);
	near(stats_t(.95, 60), 2.00030, 1e-4);
	near(stats_t(.95, 1000000), 1.95997, 1e-4);
	for (size_t df = 1; df < 200; df++)
		assert_true(stats_t(.95, df) > stats_t(.95, df + 1));
}

static void fractions_take_t(void **state)
{
	const double scores[] = {.5, .25, .75, 1, 0, .75};
	struct stats_mean m;

	stats_mean_of(&m, scores, 6, .95);
	assert_int_equal(m.method, STATS_T);
	near(m.mean, .5416667, 1e-6);
	/* sd 0.3679900, se 0.1502313, t(5) 2.5705818 */
	near(m.low, .5416667 - .386182, 1e-4);
	near(m.high, .5416667 + .386182, 1e-4);
}

static void bits_take_wilson(void **state)
{
	const double scores[] = {1, 1, 0, 1, 1, 1, 1, 1, 0, 1};
	struct stats_mean m;

	stats_mean_of(&m, scores, 10, .95);
	assert_int_equal(m.method, STATS_WILSON);
	near(m.low, .49016, 1e-5);
	near(m.high, .94332, 1e-5);
}

static void too_little_claims_nothing(void **state)
{
	const double one[] = {.4}, same[] = {.1 + .2, .3, .3};
	struct stats_mean m;

	stats_mean_of(&m, one, 1, .95);
	assert_int_equal(m.method, STATS_NONE);
	near(m.mean, .4, 1e-12);
	stats_mean_of(&m, same, 3, .95);
	assert_int_equal(m.method, STATS_NONE);
	stats_mean_of(&m, one, 0, .95);
	assert_int_equal(m.method, STATS_NONE);
	assert_true(isnan(m.mean));
}

static void an_interval_stays_a_score(void **state)
{
	const double scores[] = {.9, 1, 1};
	struct stats_mean m;

	stats_mean_of(&m, scores, 3, .95);
	assert_int_equal(m.method, STATS_T);
	near(m.high, 1, 1e-12);
	assert_true(m.low < .9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wilson_matches_published_values),
		cmocka_unit_test(t_quantiles),
		cmocka_unit_test(fractions_take_t),
		cmocka_unit_test(bits_take_wilson),
		cmocka_unit_test(too_little_claims_nothing),
		cmocka_unit_test(an_interval_stays_a_score),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
