/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * eval.h -- grading: the task's test scripts run in a fresh sandbox that already holds the agent's diff.
 * A missing test tool is our fault (ERR_INFRA), never a failed test. A rubric without tests is unscored
 * and outside the total.
 *
 * A rubric's score = tests passed / tests; total_score = sum(score*weight)/sum(weight) over scored rubrics;
 * coverage = scored weight / all weight.
 */
#pragma once
#include <jansson.h>
#include "core/result.h"
#include "core/trial.h"
#include "sandbox/sandbox.h"
#include "task/task.h"

struct eval_job {
	const struct attempt *attempt;
	const struct task *task;
	int run_fd; /* the attempt's directory: artifacts/diff.patch, logs/eval.log */
	const struct agent_record *agent;
	const char *
		patch_refused; /* why the diff did not apply, or NULL: then no test is run and all fail */
	void (*on_output)(void *arg, int stream, const char *data, size_t n);
	void *on_output_arg;
};

struct evaluation {
	json_t *doc; /* evaluation_results.json without the parts of struct result */
	bool scored;
	double total_score, coverage;
	struct kvs scores; /* rubric id -> score */
	int tests, tests_passed;
};

/* Grade. S may be NULL only when patch_refused. */
int eval_run(const struct eval_job *job, struct sandbox *s, struct evaluation *out,
	     struct err *err) MUST_CHECK;
void evaluation_release(struct evaluation *e);
/* Write evaluation_results.json and scoring_results.md into the attempt's directory. */
int eval_write(const struct eval_job *job, const struct evaluation *e, const struct result *r,
	       struct err *err) MUST_CHECK;
