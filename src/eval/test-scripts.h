/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * test-scripts.h -- private to eval: running a task's test scripts in a sandbox.
 */
#pragma once
#include "base/strv.h"
#include "eval/eval.h"
#include "eval/excerpt.h"

/* How one test script ended. */
struct test_outcome {
	bool passed;
	bool ran;
	int exit_code; /* -1: none (killed, not run) */
	int64_t wall_ms;
	char reason[256]; /* one line; "" when passed */
	struct excerpt out, err;
	json_t *details; /* what it wrote to ROLLOUTS_RESULTS: {NAME: {success, message}}, or NULL */
	struct strv problems; /* what was wrong with the files it wrote */
};

/* Run all tests of the job's task in S, one after the other; OUT has room for each. METRICS gathers what
 * they write to ROLLOUTS_METRICS. Where the diff was refused none is run, and all have failed. OUT is
 * to be released even after an error. */
int test_scripts_run(const struct eval_job *job, struct sandbox *s, struct test_outcome *out,
		     json_t *metrics, struct err *err) MUST_CHECK;
void test_outcome_init(struct test_outcome *t);
void test_outcome_release(struct test_outcome *t);
/* "pytest", "bash", "command" or "file": how a script is run. */
const char *test_runner_name(const struct task_test *t);
