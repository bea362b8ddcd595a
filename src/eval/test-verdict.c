/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/test-verdict.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "eval/pytest-words.h"
#include "os/spawn.h"

#define SCORE "score" /* the metric that is partial credit */

static const char *const pytest_codes[] = {
	[1] = "tests failed",
	[2] = "pytest could not collect the tests, or was interrupted",
	[3] = "pytest had an internal error",
	[4] = "pytest was called in a wrong way",
	[5] = "pytest found no tests",
};

void test_outcome_init(struct test_outcome *t)
{
	*t = (struct test_outcome){.exit_code = -1,
				   .cpu_pressure = -1,
				   .cpu_steal = -1,
				   .out = EXCERPT_INIT,
				   .err = EXCERPT_INIT,
				   .problems = STRV_INIT};
}

void test_outcome_release(struct test_outcome *t)
{
	excerpt_release(&t->out);
	excerpt_release(&t->err);
	junit_release(&t->report);
	json_decref(t->details);
	strv_release(&t->problems);
	test_outcome_init(t);
}

const char *test_verdict_name(enum test_verdict v)
{
	static const char *const names[] = {
		[TEST_FAILED] = "failed",
		[TEST_PASSED] = "passed",
		[TEST_ERROR] = "error",
		[TEST_SKIPPED] = "skipped",
	};
	return names[v];
}

void test_broke(struct test_outcome *o)
{
	o->verdict = TEST_ERROR;
}

void test_ended(struct test_outcome *o, bool pytest, int status)
{
	char how[48];
	unsigned code = WIFEXITED(status) ? (unsigned)WEXITSTATUS(status) : UINT_MAX;
	const char *known = pytest && code < ARRAY_SIZE(pytest_codes) ? pytest_codes[code] : NULL;

	o->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	o->clean = code == 0;
	/* A shell says so of the command that it waited for. */
	o->killed = code == 128 + SIGKILL || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	o->verdict = code == 0					? TEST_PASSED
		     : code == UINT_MAX || (pytest && code > 1) ? TEST_ERROR
								: TEST_FAILED;
	if (code != 0)
		snprintf(o->reason, sizeof o->reason, "%s",
			 known ? known : spawn_status_text(status, how));
}

static void fail(struct test_outcome *o, enum test_verdict verdict, const char *why)
{
	o->verdict = verdict;
	snprintf(o->reason, sizeof o->reason, "%s", why);
}

void test_said(struct test_outcome *o)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (o->verdict != TEST_PASSED)
		return;
	buf_add(&text, o->out.head.data ? o->out.head.data : "", o->out.head.len);
	buf_addc(&text, '\n');
	buf_add(&text, o->out.tail.data ? o->out.tail.data : "", o->out.tail.len);
	if (pytest_words_say_nothing_ran(&text))
		fail(o, TEST_SKIPPED,
		     "no test passed: the pytest in it skipped all, or found none");
}

/* A pytest that ends well has passed something: not when all was skipped, when the code under test ended the process
 * before pytest could tell, or when it made a failing run end with 0. */
static void check_pass(struct test_outcome *o)
{
	const struct junit *j = &o->report;

	if (!o->has_report)
		fail(o, TEST_FAILED, "ended with 0, but before pytest could report");
	else if (j->failed + j->errors)
		fail(o, TEST_FAILED, "ended with 0, but its report tells of failed tests");
	else if (!j->passed && !j->skipped)
		fail(o, TEST_ERROR, pytest_codes[5]);
	else if (!j->passed)
		fail(o, TEST_SKIPPED, "no test passed: all were skipped");
}

void test_reported(struct test_outcome *o, const char *text, size_t n)
{
	o->has_report = text && junit_parse(&o->report, text, n);
	if (o->verdict == TEST_PASSED)
		check_pass(o);
	else if (o->exit_code == 1 && o->has_report && !o->report.failed && o->report.errors)
		fail(o, TEST_ERROR, "tests could not be set up");
	o->clean = o->has_report && (o->exit_code == 0 || o->exit_code == 1);
}

void test_skipped_by_work(struct test_outcome *o)
{
	fail(o, TEST_FAILED, "a test was skipped by the code under test");
}

static double reported_share(const struct junit *j)
{
	int all = j->passed + j->failed + j->errors + j->skipped;

	return all ? (double)j->passed / all : 0;
}

static double detailed_share(const json_t *details)
{
	const char *name;
	json_t *one;
	size_t good = 0;

	json_object_foreach ((json_t *)details, name, one)
		good += json_get_bool(one, "success", false);
	return (double)good / (double)json_object_size(details);
}

static void take_share(struct test_outcome *o, double share)
{
	if (share < 0 || share > 1) {
		strv_pushf(&o->problems, "metrics: \"" SCORE "\" is not from 0 to 1: %g", share);
		return;
	}
	o->credit = share;
	if (share < 1 && o->verdict == TEST_PASSED)
		fail(o, TEST_FAILED, "passed in part");
}

void test_give_credit(struct test_outcome *o, bool partial, const struct metrics *wrote)
{
	const struct metric *score = partial ? metrics_find(wrote, SCORE) : NULL;

	o->credit = o->verdict == TEST_PASSED;
	if (!partial || !o->ran || (o->exit_code != 0 && o->exit_code != 1))
		return;
	/* What pytest calls a success is one: tests that do not apply here are skipped in it. */
	if (o->has_report && o->verdict == TEST_FAILED)
		o->credit = reported_share(&o->report);
	else if (!o->has_report && json_object_size(o->details))
		take_share(o, detailed_share(o->details));
	else if (!o->has_report && score)
		take_share(o, score->value);
}
