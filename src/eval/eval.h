/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * eval.h -- grading: the graders (grader.h) are asked what the agent's work is worth. The task's test
 * scripts run in a fresh sandbox that already holds the agent's diff, and a rubric's score is the share of
 * its tests that passed. A rubric without tests is judged by a model, where the attempt has a judge. One that
 * nothing scores is unscored and outside the total. What keeps a grader from working (a test tool that is not
 * installed, a judge that does not answer) is our fault, ERR_INFRA, and never a failed test.
 */
#pragma once
#include <jansson.h>
#include "core/result.h"
#include "core/score.h"
#include "core/trial.h"
#include "model/http.h"
#include "sandbox/sandbox.h"
#include "task/task.h"

struct eval_job {
	const struct attempt *attempt;
	const struct task *task;
	const struct task_step *step; /* of the task: what is graded now */
	int run_fd;	    /* the attempt's directory: artifacts/diff.patch, logs/eval.log */
	int64_t started_ms; /* clock_mono_ms of the phase; 0: nothing is graded */
	const struct agent_record *agent;
	bool has_work; /* the diff changes something: code of the agent's runs with the tests' rights */
	const char *
		patch_refused; /* why the diff did not apply, or NULL: then no test is run and all fail */
	const struct model_client
		*client;	/* to ask the attempt's judge by; NULL: nobody is asked */
	const char *fence_code; /* of a judging that is replayed; NULL or "": a new one is drawn */
	void (*on_output)(void *arg, int stream, const char *data, size_t n);
	void *on_output_arg;
};

struct evaluation {
	json_t *doc; /* evaluation_results.json without the parts of struct result */
	struct scores scores;
	struct total_score total;
	int tests, tests_passed;
	struct metrics metrics;	  /* what the tests wrote */
	int64_t network_attempts; /* as attempt.watch_network asks */
	struct strv suspect;	  /* evidence, as result.suspect, found while the tests ran */
	struct strv conflicts;	  /* names that two tests wrote, each a line for people */
	struct test_usage usage;
	char judge_model[128]; /* who judged, as its provider names it; "": nobody was asked */
	json_t *judge_votes;   /* as struct result has it; owned */
	double judge_score;    /* weighted, of the rubrics that a judge scored; -1: there is none */
	char judge_prompt[HASH_HEX]; /* which way of asking it was asked in; "": nobody was */
};

/* Whether grading STEP takes a sandbox: it has tests, or the judge of A will want to see files. */
bool eval_needs_sandbox(const struct attempt *a, const struct task_step *step);
/* Grade; blocks until every grader is done. S may be NULL when patch_refused or when none is
 * needed. OUT is set on success, and the caller releases it. */
int eval_run(const struct eval_job *job, struct sandbox *s, struct evaluation *out,
	     struct err *err) MUST_CHECK;
/* Put into S what its tests find there, and run none. ARGV and ENV become what TEST, by its path or name, is run with; NULL: ENV
 * alone is set, and only where there are tests. ERR_USAGE when there is no such test. */
int eval_lay_out(const struct eval_job *job, struct sandbox *s, const char *test, struct strv *argv,
		 struct strv *env, struct err *err) MUST_CHECK;
void evaluation_release(struct evaluation *e);
/* Write evaluation_results.json and scoring_results.md into the attempt's directory. */
int eval_write(const struct eval_job *job, const struct evaluation *e, const struct result *r,
	       struct err *err) MUST_CHECK;
