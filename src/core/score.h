/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * score.h -- what a trial was given, by whom and with which weight, and the total that comes of it.
 * Pure data and arithmetic; graders (src/eval) fill it in, result.json carries it.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

struct score {
	char *id; /* of the rubric, or the grader's own name for what it scored */
	char *kind; /* the grader that gave it, "tests"; NULL: none did, or an older program's result */
	/* In the total; a negative one is for what should not be there. 0 in an older program's result, which does not
	 * tell it. */
	double weight;
	bool known;   /* value is one; otherwise it is unscored, which is never a 0 */
	double value; /* 0..1 */
	char *reason; /* one line: why it is not known; NULL where it is */
};

/* In the order of the task's rubrics; each id once. */
struct scores {
	struct score *v;
	size_t n, cap;
};

enum scoring {
	SCORING_SCORED, /* the total is over what was scored */
	SCORING_STRICT, /* what was not scored counts as 0 */
};

struct total_score {
	bool known; /* some known score has a positive weight */
	/* sum(value * weight) / sum(positive weights), over known scores, or with SCORING_STRICT over all; 0 where
	 * negative weights would carry it below. */
	double value;
	double coverage; /* |weight| of known scores / all |weight|; -1 without any weight */
	/* The total if all that is unknown were at its worst, or its best; -1 without any weight. */
	double low, high;
};

/* Append an unscored one; the pointer holds until the next is added. Copies. */
struct score *scores_add(struct scores *s, const char *id, double weight);
/* NULL: there is none of that id. */
struct score *scores_find(const struct scores *s, const char *id);
void scores_release(struct scores *s);
/* KIND, a grader's name, has found VALUE. Copies. */
void score_set(struct score *s, const char *kind, double value);
struct total_score scores_total(const struct scores *s, enum scoring how);

/* [LOW, HIGH]; null where LOW is negative: not known. A new reference. */
json_t *score_bounds_to_json(double low, double high);
/* All of them, scored or not, as an array: a new reference; and back, into an empty S. S is to be released
 * even after an error. */
json_t *scores_to_json(const struct scores *s);
int scores_from_json(struct scores *s, const json_t *array, const char *where,
		     struct err *err) MUST_CHECK;
/* Only the known ones, id -> value: add them to OBJ; and back, without kind and weight. */
void scores_values_to_json(const struct scores *s, json_t *obj);
int scores_values_from_json(struct scores *s, const json_t *obj, const char *where,
			    struct err *err) MUST_CHECK;
