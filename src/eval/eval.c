/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/eval.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "eval/eval-doc.h"
#include "eval/eval-score.h"
#include "eval/eval-tests.h"

static void count_tests(struct rubric_score *scores, const struct task *task,
			const struct test_outcome *tests)
{
	for (size_t i = 0; i < task->rubrics_n; i++) {
		scores[i].weight = task->rubrics[i].weight;
		for (size_t t = 0; t < task->tests_n; t++) {
			if (!task->tests[t].rubric_id ||
			    strcmp(task->tests[t].rubric_id, task->rubrics[i].id) != 0)
				continue;
			scores[i].tests++;
			scores[i].passed += tests[t].passed;
		}
	}
}

static void set_scores(struct evaluation *out, const struct task *task,
		       const struct rubric_score *scores, const struct test_outcome *tests)
{
	struct total_score total = total_score_of(scores, task->rubrics_n);

	out->scored = total.scored;
	out->total_score = total.score;
	out->coverage = total.coverage;
	out->tests = (int)task->tests_n;
	for (size_t i = 0; i < task->tests_n; i++)
		out->tests_passed += tests[i].passed;
	for (size_t i = 0; i < task->rubrics_n; i++) {
		char text[32];

		snprintf(text, sizeof text, "%.17g", rubric_score_value(&scores[i]));
		if (scores[i].tests)
			kvs_set(&out->scores, task->rubrics[i].id, text);
	}
}

int eval_run(const struct eval_job *job, struct sandbox *s, struct evaluation *out, struct err *err)
{
	const struct task *task = job->task;
	struct test_outcome *tests = xcalloc(task->tests_n + 1, sizeof *tests);
	AUTO(free) struct rubric_score *scores = xcalloc(task->rubrics_n + 1, sizeof *scores);
	AUTO(json) json_t *metrics = json_object();
	int rc;

	for (size_t i = 0; i < task->tests_n; i++)
		test_outcome_init(&tests[i]);
	rc = eval_tests_run(job, s, tests, metrics, err);
	if (rc == 0) {
		*out = (struct evaluation){.coverage = -1, .scores = KVS_INIT};
		count_tests(scores, task, tests);
		set_scores(out, task, scores, tests);
		out->doc = eval_doc_new(job, tests, scores, out, metrics);
	}
	for (size_t i = 0; i < task->tests_n; i++)
		test_outcome_release(&tests[i]);
	free(tests);
	return rc;
}

void evaluation_release(struct evaluation *e)
{
	json_decref(e->doc);
	kvs_release(&e->scores);
	*e = (struct evaluation){.coverage = -1, .scores = KVS_INIT};
}
