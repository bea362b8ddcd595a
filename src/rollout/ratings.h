/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ratings.h -- what people say of agents' work: a file of JSON lines, or of comma-separated values with a header, whose
 * members or columns are run_id, rubric_id, score (0 to 1) and, if they like, rater.
 */
#pragma once
#include <jansson.h>
#include "rollout/session.h"

/* *OUT: run id -> [{rubric_id, score, rater}]; the caller owns it. Each line that is wrong, of another rollout, or of a rubric
 * that its task does not have is a line in PROBLEMS, and then -1 with ERR_USAGE. */
int ratings_read(json_t **out, const char *path, const struct session *s, struct strv *problems,
		 struct err *err) MUST_CHECK;
