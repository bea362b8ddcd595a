/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * eval-ratings.c -- what people say of an agent's work, as a grader: the mean of their ratings of a rubric is its score, in
 * place of a judge's. Tests are stronger: of a rubric that has some the ratings stand in the document alone.
 */
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "eval/eval-doc.h"
#include "eval/grader.h"

static int run_ratings(struct grading *g, struct err *err)
{
	const json_t *ratings = g->job->attempt->ratings, *one;

	for (size_t r = 0; r < g->out->scores.n; r++) {
		struct score *s = &g->out->scores.v[r];
		double sum = 0;
		size_t i, n = 0;

		json_array_foreach (ratings, i, one)
			if (strcmp(json_get_str(one, "rubric_id", ""), s->id) == 0) {
				sum += json_get_real(one, "score", 0);
				n++;
			}
		if (n && !(s->kind && strcmp(s->kind, grader_tests.name) == 0))
			score_set(s, grader_ratings.name, sum / (double)n);
	}
	if (json_array_size(ratings))
		json_put(g->out->doc, "ratings", json_incref((json_t *)ratings));
	return 0;
}

const struct grader grader_ratings = {.name = "human", .run = run_ratings};
