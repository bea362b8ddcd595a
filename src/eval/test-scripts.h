/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * test-scripts.h -- private to eval: running a task's test scripts in a sandbox.
 */
#pragma once
#include "eval/eval.h"
#include "eval/test-verdict.h"

/* Run all tests of the job's task in S, one after the other; OUT has room for each. What they write to ROLLOUTS_METRICS,
 * and what they use, goes to E. Where the diff was refused none is run, and all have failed. OUT is
 * to be released even after an error. */
int test_scripts_run(const struct eval_job *job, struct sandbox *s, struct test_outcome *out,
		     struct evaluation *e, struct err *err) MUST_CHECK;
/* As eval_lay_out. */
int test_scripts_lay_out(const struct eval_job *job, struct sandbox *s, const char *test,
			 struct strv *argv, struct strv *env, struct err *err) MUST_CHECK;
/* "pytest", "bash", "command" or "file": how a script is run. */
const char *test_runner_name(const struct task_test *t);
