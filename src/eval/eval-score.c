/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/eval-score.h"

double rubric_score_value(const struct rubric_score *r)
{
	return r->tests > 0 ? (double)r->passed / r->tests : -1;
}

struct total_score total_score_of(const struct rubric_score *rubrics, size_t n)
{
	double weight = 0, tested = 0, sum = 0;

	for (size_t i = 0; i < n; i++) {
		double score = rubric_score_value(&rubrics[i]);

		weight += rubrics[i].weight;
		if (score < 0)
			continue;
		tested += rubrics[i].weight;
		sum += rubrics[i].weight * score;
	}
	return (struct total_score){
		.scored = tested > 0,
		/* Rounding must not carry a perfect score past 1. */
		.score = tested > 0 && sum < tested ? sum / tested : tested > 0,
		.coverage = weight > 0 ? tested / weight : -1,
	};
}
