/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * judge-doc.h -- private to eval: what a judge said, in the documents of a graded trial. docs/formats.md describes them.
 */
#pragma once
#include "eval/grader.h"
#include "eval/judge-ask.h"

/* One rubric and all its votes. */
struct judged {
	const struct task_rubric *rubric;
	struct judge_prompt prompt;
	struct judge_vote *votes; /* borrowed: as many as the judge has */
	size_t known;		  /* of them with a score */
	bool scored;
	double score, spread; /* the mean; the highest less the lowest, -1 below two votes */
	char *reason;	      /* one line: why it is not scored; NULL where it is */
	size_t control_wrong;
};

/* Rubric -> what each vote on it said; a new reference. */
json_t *judge_votes_doc(const struct judge *j, const struct judged *list, size_t n);
/* Add `lm_evaluation` and `judge` to the document of G. */
void judge_doc_put(struct grading *g, const struct judged *list, size_t n, int64_t wall_ms);
/* The weighted score of what was judged; false: nothing was, or nothing has weight. */
bool judge_total(const struct judged *list, size_t n, double *out);
/* Write ATTEMPT_VERDICTS: the code of the fences, then each prompt and each vote, one a line. */
int judge_doc_write(const struct grading *g, const char *code, const struct judged *list, size_t n,
		    struct err *err) MUST_CHECK;
