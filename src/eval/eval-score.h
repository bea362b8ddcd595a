/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * eval-score.h -- private to eval: from passed tests to rubric scores and a total. Pure arithmetic.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct rubric_score {
	double weight;
	int tests, passed;
};

struct total_score {
	bool scored;	 /* some rubric of positive weight has a test */
	double score;	 /* 0..1 */
	double coverage; /* weight of the rubrics with tests / all weight; -1 without any weight */
};

/* passed / tests; -1 without tests. */
double rubric_score_value(const struct rubric_score *r);
struct total_score total_score_of(const struct rubric_score *rubrics, size_t n);
