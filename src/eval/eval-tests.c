/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * eval-tests.c -- the task's test scripts as a grader: a rubric's score is the mean of what its tests were worth: 1 or 0, or
 * what a script with partial credit says.
 */
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "eval/eval-doc.h"
#include "eval/grader.h"
#include "eval/test-scripts.h"

static void put_output(json_t *j, const struct test_outcome *t)
{
	AUTO(buf) struct buf text = BUF_INIT;

	buf_adds(&text, "STDOUT:\n");
	excerpt_text(&t->out, &text);
	buf_adds(&text, "\n\nSTDERR:\n");
	excerpt_text(&t->err, &text);
	json_put_strn(j, "output", text.data, text.len);
}

static void put_report(json_t *j, const struct junit *report)
{
	json_put_int(j, "passed", report->passed);
	json_put_int(j, "failed", report->failed);
	json_put_int(j, "errors", report->errors);
	json_put_int(j, "skipped", report->skipped);
	json_put(j, "cases", json_incref(report->cases));
	if (report->left_out)
		json_put_int(j, "cases_left_out", report->left_out);
}

static json_t *test_doc(const struct task_test *t, const struct test_outcome *o)
{
	json_t *j = json_object();

	json_put_bool(j, "success", o->verdict == TEST_PASSED);
	json_put_str(j, "outcome", test_verdict_name(o->verdict));
	json_put_real(j, "credit", o->credit);
	put_output(j, o);
	json_put(j, "duration_sec", o->ran ? json_real((double)o->wall_ms / 1000) : json_null());
	json_put(j, "exit_code", o->exit_code >= 0 ? json_integer(o->exit_code) : json_null());
	json_put_str(j, "reason", o->reason);
	json_put_str(j, "rubric_id", t->rubric_id);
	json_put_str(j, "runner", test_runner_name(t));
	json_put(j, "cpu_pressure", o->cpu_pressure < 0 ? json_null() : json_real(o->cpu_pressure));
	json_put(j, "cpu_steal", o->cpu_steal < 0 ? json_null() : json_real(o->cpu_steal));
	if (o->under_load)
		json_put_bool(j, "under_load", true);
	if (o->killed)
		json_put_bool(j, "killed", true);
	if (o->has_report)
		put_report(j, &o->report);
	if (o->details)
		json_put(j, "details", json_incref(o->details));
	if (o->problems.n)
		json_put_strv(j, "problems", &o->problems);
	return j;
}

/* One script may stand for several rubrics: the later ones get a number. */
static void put_test(json_t *all, const struct task_test *t, json_t *doc_take)
{
	AUTO(free) char *key = xstrdup(t->path);

	for (int n = 2; json_object_get(all, key); n++) {
		free(key);
		key = xasprintf("%s#%d", t->path, n);
	}
	json_put(all, key, doc_take);
}

static void score_rubric(struct grading *g, const struct task_rubric *rubric,
			 const struct test_outcome *tests)
{
	const struct task_step *step = g->job->step;
	json_t *doc = eval_doc_rubric(g->out->doc, rubric->id);
	int count = 0, passed = 0;
	double credit = 0;

	for (size_t i = 0; i < step->tests_n; i++) {
		const char *id = step->tests[i].rubric_id;

		if (!id || strcmp(id, rubric->id) != 0)
			continue;
		count++;
		passed += tests[i].verdict == TEST_PASSED;
		credit += tests[i].credit;
	}
	if (count)
		score_set(scores_find(&g->out->scores, rubric->id), grader_tests.name,
			  credit / count);
	json_put_int(doc, "test_count", count);
	json_put_int(doc, "tests_passed", passed);
}

static int run_tests(struct grading *g, struct err *err)
{
	const struct task_step *step = g->job->step;
	struct test_outcome *tests = xcalloc(step->tests_n + 1, sizeof *tests);
	json_t *results = json_object_get(g->out->doc, "test_results");
	int rc;

	for (size_t i = 0; i < step->tests_n; i++)
		test_outcome_init(&tests[i]);
	rc = test_scripts_run(g->job, g->sandbox, tests, g->out, err);
	g->out->tests = (int)step->tests_n;
	for (size_t i = 0; i < step->tests_n; i++) {
		g->out->tests_passed += tests[i].verdict == TEST_PASSED;
		g->out->usage.timed_out_under_load |= tests[i].under_load;
		g->out->usage.killed |= tests[i].killed;
		put_test(results, &step->tests[i], test_doc(&step->tests[i], &tests[i]));
	}
	for (size_t i = 0; i < step->rubrics_n; i++)
		score_rubric(g, &step->rubrics[i], tests);
	for (size_t i = 0; i < step->tests_n; i++)
		test_outcome_release(&tests[i]);
	free(tests);
	return rc;
}

const struct grader grader_tests = {.name = "tests", .run = run_tests};
