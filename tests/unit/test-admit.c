/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include "base/mem.h"
#include "launch/admit.h"

static void begin(struct admit *a, int cpus)
{
	*a = (struct admit){.cpus = cpus, .memory_mb = 1000};
	for (int i = 0; i < cpus; i++)
		CPU_SET(i, &a->processors);
}

static void test_trials_get_processors_of_their_own(void **state)
{
	struct limits one = {.cpus = 1}, two = {.cpus = 1.5};
	cpu_set_t a, b, c, both;
	struct admit m;

	begin(&m, 4);
	admit_take(&m, &one, &a);
	admit_take(&m, &two, &b);
	admit_take(&m, &one, &c);
	assert_int_equal(CPU_COUNT(&a), 1);
	assert_int_equal(CPU_COUNT(&b), 2);
	assert_int_equal(CPU_COUNT(&c), 1);
	CPU_OR(&both, &a, &b);
	CPU_OR(&both, &both, &c);
	assert_int_equal(CPU_COUNT(&both), 4);
	assert_false(admit_fits(&m, &one, false));

	/* What was given back is the next one's. */
	admit_return(&m, &one, &a);
	admit_take(&m, &one, &c);
	assert_true(CPU_EQUAL(&a, &c));
}

static void test_shares_of_one_processor(void **state)
{
	struct limits half = {.cpus = 0.5};
	int used[CPU_SETSIZE] = {0};
	struct admit m;

	begin(&m, 2);
	for (int i = 0; i < 4; i++) {
		cpu_set_t set;
		assert_true(admit_fits(&m, &half, false));
		admit_take(&m, &half, &set);
		assert_int_equal(CPU_COUNT(&set), 1);
		used[0] += CPU_ISSET(0, &set);
		used[1] += CPU_ISSET(1, &set);
	}
	assert_int_equal(used[0], 2);
	assert_int_equal(used[1], 2);
}

static void test_what_reserves_none_or_more_has_all(void **state)
{
	const double cpus[] = {0, 2, 1.5, 64};

	for (size_t i = 0; i < ARRAY_SIZE(cpus); i++) {
		struct limits l = {.cpus = cpus[i]};
		cpu_set_t set;
		struct admit m;
		begin(&m, 2);
		admit_take(&m, &l, &set);
		assert_true(CPU_EQUAL(&set, &m.processors));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trials_get_processors_of_their_own),
		cmocka_unit_test(test_shares_of_one_processor),
		cmocka_unit_test(test_what_reserves_none_or_more_has_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
