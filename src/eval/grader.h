/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * grader.h -- private to eval: one way to score what an agent did. eval_run asks every grader of its
 * table, in that order.
 */
#pragma once
#include "eval/eval.h"

struct grading {
	const struct eval_job *job;
	struct sandbox *sandbox; /* as in eval_run */
	/* scores begin with one per rubric of the task, unscored; doc with the members that every
	 * evaluation has (eval_doc_begin). The total is made when all graders have been asked. */
	struct evaluation *out;
	struct judge_files
		*files; /* those that rubrics to be judged name, as the agent left them */
};

struct grader {
	const char *name; /* the `kind` of its scores */
	/* Look at the workspace before anything ran in the sandbox; may be NULL. Blocks. */
	int (*prepare)(struct grading *g, struct err *err);
	/* Give the scores that are its to give (score_set; further ones may be added) and say in the
	 * document how they came about. Blocks. -1: our side failed, nothing of this evaluation counts. */
	int (*run)(struct grading *g, struct err *err);
};

extern const struct grader grader_tests, grader_judge, grader_ratings;

/* The evaluation of an earlier attempt, of which some is kept. */
struct kept {
	struct result result;
	json_t *doc; /* its evaluation_results.json */
};
/* Read that of the attempt that the job's names. OUT must be released in any case. */
int kept_read(struct kept *out, const struct eval_job *job, struct err *err) MUST_CHECK;
void kept_release(struct kept *k);
/* Give the scores that GRADER gave then, and the members of the document that tell of it. */
int kept_take(struct grading *g, struct kept *k, const struct grader *grader,
	      struct err *err) MUST_CHECK;
