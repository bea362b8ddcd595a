/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * eval-doc.h -- private to eval: the documents of a graded trial. docs/formats.md describes them.
 */
#pragma once
#include "eval/eval.h"

/* What an evaluation always has, nothing scored yet; a new reference. */
json_t *eval_doc_begin(const struct eval_job *job);
/* A rubric's members, for a grader to add to; borrowed. NULL: the task has no such rubric. */
json_t *eval_doc_rubric(json_t *doc, const char *id);
/* The scores and the total of E, in all places that show them. */
void eval_doc_end(json_t *doc, const struct evaluation *e);
/* The whole of evaluation_results.json; a new reference. */
json_t *eval_doc_whole(const struct eval_job *job, const struct evaluation *e,
		       const struct result *r);
