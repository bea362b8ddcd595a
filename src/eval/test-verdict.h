/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * test-verdict.h -- private to eval: what the end of a test script says of it, and how much of it was passed.
 */
#pragma once
#include "base/strv.h"
#include "core/metric.h"
#include "eval/excerpt.h"
#include "eval/junit.h"

enum test_verdict {
	TEST_FAILED,
	TEST_PASSED,
	TEST_ERROR, /* it could not tell: not run, killed, its time was up, it could not set itself up */
	TEST_SKIPPED, /* all of it was left out, which proves nothing and is worth nothing */
};

/* How one test script ended. */
struct test_outcome {
	enum test_verdict verdict;
	double credit; /* 0..1, what it adds to its rubric: 1 or 0, but where a script declares partial credit */
	bool ran;
	bool clean;    /* it came to its own end: what it wrote may be believed to be whole */
	int exit_code; /* -1: none (killed, not run) */
	int64_t wall_ms;
	double cpu_pressure; /* of the machine meanwhile, as os/pressure.h; -1 unknown */
	double cpu_steal;    /* the same */
	bool under_load;     /* its time was up, and the machine was busy */
	bool killed; /* by a signal that nobody can refuse, and that was none of ours: by the machine, a person, or the code under test */
	char reason[256]; /* one line; "" when passed */
	struct excerpt out, err;
	bool has_report;
	struct junit report; /* of pytest */
	json_t *details; /* what it wrote to ROLLOUTS_RESULTS: {NAME: {success, message}}, or NULL */
	struct strv problems; /* what was wrong with the files it wrote */
};

void test_outcome_init(struct test_outcome *t);
void test_outcome_release(struct test_outcome *t);
/* "passed", "failed", "error", "skipped" */
const char *test_verdict_name(enum test_verdict v);

/* It ended by itself with STATUS, as wait(2) has it. */
void test_ended(struct test_outcome *o, bool pytest, int status);
/* It never came to its end, for the reason that O tells. */
void test_broke(struct test_outcome *o);
/* After test_ended of a script that is no pytest: what a pytest that it called said. */
void test_said(struct test_outcome *o);
/* After test_ended of a pytest: its report, all of it. TEXT NULL: it left none. */
void test_reported(struct test_outcome *o, const char *text, size_t n);
/* The code under test chose which tests are not run: no success. */
void test_skipped_by_work(struct test_outcome *o);
/* Last: a script that declares partial credit is worth the share of what passed, by pytest's report, by what it wrote to
 * ROLLOUTS_RESULTS, or by its metric "score" among WROTE. */
void test_give_credit(struct test_outcome *o, bool partial, const struct metrics *wrote);
