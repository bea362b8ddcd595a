/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * failed-test.h -- the first test that a run failed and the line of its output that says why. Private to this room.
 */
#pragma once
#include <stdbool.h>

struct failed_test {
	char *path;   /* of the test, as its task names it */
	char *reason; /* "tests failed", "exit status 3" */
	char *line; /* of its output, as it is: an agent may have written it; "" where it said nothing */
};

/* Read evaluation_results.json of an attempt below the data folder ROOT; false when there is none, or no test failed. */
bool failed_test_find(struct failed_test *out, const char *root, const char *run_id, int attempt);
void failed_test_release(struct failed_test *t);
