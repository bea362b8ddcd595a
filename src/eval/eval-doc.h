/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * eval-doc.h -- private to eval: the documents of a graded trial. docs/formats.md describes them.
 */
#pragma once
#include "eval/eval-score.h"
#include "eval/eval-tests.h"

/* The `output` of a test that printed nothing. */
#define EVAL_NO_OUTPUT "STDOUT:\n\n\nSTDERR:\n"

/* The members that grading alone knows; a new reference. SCORES has one item per rubric of the
 * task. */
json_t *eval_doc_new(const struct eval_job *job, const struct test_outcome *tests,
		     const struct rubric_score *scores, const struct evaluation *e,
		     const json_t *metrics);
/* The whole of evaluation_results.json; a new reference. */
json_t *eval_doc_whole(const struct eval_job *job, const struct evaluation *e,
		       const struct result *r);
/* Append scoring_results.md, made from DOC (eval_doc_whole) and the first bytes of the diff. */
void eval_report(struct buf *out, const struct eval_job *job, const json_t *doc,
		 const struct result *r, const char *diff, size_t diff_len, bool diff_cut);
