/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/eval.h"
#include <stdlib.h>
#include "base/json.h"
#include "base/mem.h"
#include "eval/eval-doc.h"
#include "eval/grader.h"
#include "eval/judge-prompt.h"
#include "eval/test-scripts.h"

static const struct grader *const graders[] = {&grader_tests, &grader_judge, &grader_ratings};

static bool is_kept(const struct attempt *a, const struct grader *grader)
{
	return (grader == &grader_tests && a->keep_tests) ||
	       (grader == &grader_judge && a->keep_judge) ||
	       (grader == &grader_ratings && a->grades_from && !a->ratings);
}

static int ask_graders(struct grading *g, struct err *err)
{
	const struct attempt *a = g->job->attempt;
	struct kept kept = {0};
	int failed = a->grades_from && kept_read(&kept, g->job, err);

	for (size_t i = 0; i < ARRAY_SIZE(graders) && !failed; i++)
		failed = graders[i]->prepare && !is_kept(a, graders[i]) &&
			 graders[i]->prepare(g, err);
	for (size_t i = 0; i < ARRAY_SIZE(graders) && !failed; i++)
		failed = is_kept(a, graders[i]) ? kept_take(g, &kept, graders[i], err)
						: graders[i]->run(g, err);
	kept_release(&kept);
	return failed;
}

int eval_run(const struct eval_job *job, struct sandbox *s, struct evaluation *out, struct err *err)
{
	struct evaluation e = {.doc = eval_doc_begin(job),
			       .judge_score = -1,
			       .usage = {.cpu_pressure = -1, .cpu_steal = -1}};
	struct judge_files files = {0};
	struct grading g = {.job = job, .sandbox = s, .out = &e, .files = &files};

	for (size_t i = 0; i < job->step->rubrics_n; i++)
		scores_add(&e.scores, job->step->rubrics[i].id, job->step->rubrics[i].weight);
	int failed = ask_graders(&g, err);
	judge_files_release(&files);
	if (failed) {
		evaluation_release(&e);
		return -1;
	}
	for (size_t i = 0; i < e.scores.n; i++)
		if (!e.scores.v[i].known && !e.scores.v[i].reason)
			e.scores.v[i].reason = xstrdup("nothing scores it");
	e.total = scores_total(&e.scores,
			       job->attempt->trial.strict ? SCORING_STRICT : SCORING_SCORED);
	eval_doc_end(e.doc, &e);
	*out = e;
	return 0;
}

int eval_lay_out(const struct eval_job *job, struct sandbox *s, const char *test, struct strv *argv,
		 struct strv *env, struct err *err)
{
	return test_scripts_lay_out(job, s, test, argv, env, err);
}

void evaluation_release(struct evaluation *e)
{
	json_decref(e->doc);
	scores_release(&e->scores);
	metrics_release(&e->metrics);
	json_decref(e->judge_votes);
	strv_release(&e->suspect);
	strv_release(&e->conflicts);
	*e = (struct evaluation){.total.coverage = -1, .judge_score = -1};
}
