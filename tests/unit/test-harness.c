/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include "base/cleanup.h"

static void steal_leaves_nothing(void **state)
{
	(void)state;
	int fd = 7;
	assert_int_equal(fd_steal(&fd), 7);
	assert_int_equal(fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steal_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
