/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include "fake-sandbox.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "eval/eval-files.h"
#include "eval/junit.h"
#include "eval/tamper.h"
#include "eval/eval.h"
#include "eval/excerpt.h"

static void an_excerpt_keeps_both_ends(void **state)
{
	struct excerpt e = EXCERPT_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	char piece[100];

	for (int i = 0; i < 1000; i++) {
		int n = snprintf(piece, sizeof piece, "line %d of the output\n", i);

		excerpt_add(&e, piece, (size_t)n);
	}
	excerpt_text(&e, &text);
	assert_non_null(strstr(text.data, "line 0 of"));
	assert_non_null(strstr(text.data, "line 999 of"));
	assert_non_null(strstr(text.data, "bytes left out"));
	assert_null(strstr(text.data, "line 500 of"));
	assert_in_range(text.len, 2 * EXCERPT_BYTES, 2 * EXCERPT_BYTES + 100);
	excerpt_release(&e);
	buf_reset(&text);
	excerpt_add(&e, "short", 5);
	excerpt_text(&e, &text);
	assert_string_equal(text.data, "short");
	excerpt_release(&e);
}

static json_t *metrics_of(const char *text, struct strv *problems)
{
	struct metrics metrics = {0};

	eval_take_metrics(&metrics, text, strlen(text), false, problems);
	json_t *j = metrics_to_json(&metrics);
	metrics_release(&metrics);
	return j;
}

static void only_numbers_are_metrics(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json)
	json_t *m = metrics_of(
		"{\"a\":1,\"b\":2.5,\"c\":\"high\",\"d\":null,\"e\":{},\"\\u001b[2J\":true}",
		&problems);

	assert_int_equal(json_object_size(m), 2);
	assert_float_equal(json_get_real(m, "b", 0), 2.5, 1e-12);
	assert_int_equal(problems.n, 4);
	assert_null(strchr(problems.v[3], '\x1b'));
}

static void metrics_may_stand_as_the_guide_writes_them(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json)
	json_t *m =
		metrics_of("{\"standard_metrics\":{},\"custom_metrics\":{\"cc\":7}}", &problems);

	assert_int_equal(json_get_int(m, "cc", 0), 7);
	assert_int_equal(problems.n, 0);
}

static void hostile_files_are_bounded(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *m = NULL;
	static const char *const bad[] = {"[1]", "{", "{\"a\":1,\"a\":2}", "\xff", "7"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		AUTO(json) json_t *none = metrics_of(bad[i], &problems);

		assert_int_equal(json_object_size(none), 0);
		assert_null(eval_take_details(bad[i], strlen(bad[i]), &problems));
	}
	assert_int_equal(problems.n, 2 * ARRAY_SIZE(bad));
	buf_addc(&text, '{');
	for (int i = 0; i < 1000; i++)
		buf_addf(&text, "%s\"k%d\":%d", i ? "," : "", i, i);
	buf_addc(&text, '}');
	m = metrics_of(text.data, &problems);
	assert_int_equal(json_object_size(m), 200);
	assert_in_range(problems.n, 11, 20);
}

static void details_are_checked(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	const char *text =
		"{\"one\":{\"success\":true},\"two\":{\"success\":false,\"message\":\"no\"},"
		"\"three\":{\"success\":1},\"four\":7,\"five\":{\"success\":true,\"message\":[]}}";
	AUTO(json) json_t *d = eval_take_details(text, strlen(text), &problems);

	assert_int_equal(json_object_size(d), 3);
	assert_string_equal(json_get_str(json_object_get(d, "two"), "message", ""), "no");
	assert_int_equal(problems.n, 2);
}

#define SUITE(cases)                                                                               \
	"<?xml version=\"1.0\"?><testsuites><testsuite>" cases "</testsuite></testsuites>"

static void a_report_tells_its_cases_apart(void **state)
{
	const char *text = SUITE(
		"<testcase classname=\"t.A\" name=\"ok\" time=\"0.25\"/>"
		"<testcase name='b'><failure message=\"assert 1 &lt; "
		"0&#10;x&#27;[31m\">E</failure></testcase>"
		"<testcase name=\"c\"><error message=\"setup\"/></testcase>"
		"<testcase name=\"d\"><skipped message=\"no gpu\"/></testcase>"
		"<!-- <testcase/> --><system-out><![CDATA[</testsuite><testcase/>]]></system-out>");
	struct junit j;

	assert_true(junit_parse(&j, text, strlen(text)));
	assert_int_equal(j.passed, 1);
	assert_int_equal(j.failed, 1);
	assert_int_equal(j.errors, 1);
	assert_int_equal(j.skipped, 1);
	const json_t *failed = json_array_get(j.cases, 0), *ok = json_array_get(j.cases, 3);
	assert_string_equal(json_get_str(failed, "outcome", ""), "failed");
	assert_string_equal(json_get_str(failed, "message", ""), "assert 1 < 0 x\\x1b[31m");
	assert_string_equal(json_get_str(ok, "name", ""), "t.A::ok");
	assert_float_equal(json_get_real(ok, "duration_sec", 0), 0.25, 1e-9);
	junit_release(&j);
}

static void what_is_no_whole_report_is_none(void **state)
{
	static const char *const bad[] = {
		"",
		"<",
		"<testsuites>",
		"<testsuite><testcase name=\"a\"/>",
		"<html></html>",
		"<testsuite></testsuites>",
		"<testsuite><testcase></testsuite>",
		"<testsuite><testcase><testcase/></testcase></testsuite>",
		"<!DOCTYPE x [<!ENTITY a \"aaaa\">]><testsuite><testcase "
		"name=\"&a;\"/></testsuite>",
		"<testsuite><testcase name=\"a></testsuite>",
		"<testsuite><testcase name=a/></testsuite>",
		"<testsuite></testcase></testsuite>",
		"<testsuite><![CDATA[</testsuite>",
		"</testsuite>",
	};
	AUTO(buf) struct buf deep = BUF_INIT;
	struct junit j;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(junit_parse(&j, bad[i], strlen(bad[i])));
	buf_adds(&deep, "<testsuite>");
	for (int i = 0; i < 100000; i++)
		buf_adds(&deep, "<a>");
	assert_false(junit_parse(&j, deep.data, deep.len));
}

#define NEW(path, mode, text)                                                                      \
	"diff --git a/" path " b/" path "\nnew file mode " mode                                    \
	"\nindex 0..1\n--- /dev/null\n+++ b/" path "\n@@ -0,0 +1 @@\n+" text "\n"
#define CHANGED(path, text)                                                                        \
	"diff --git a/" path " b/" path "\nindex 0..1 100644\n--- a/" path "\n+++ b/" path         \
	"\n@@ -1 +1 @@\n-old\n+" text "\n"

static void what_is_meant_for_the_tests_is_told(void **state)
{
	struct task_test test = {.path = (char *)"tests/test_it.py",
				 .content = (char *)"from helpers import same\nimport work\n"};
	test.content_len = strlen(test.content);
	const struct task_step step = {.tests = &test, .tests_n = 1};
	static const struct {
		const char *diff;
		bool left_out, told;
	} cases[] = {
		{NEW("src/a.py", "100644", "x"), false, false},
		{NEW("conftest.py", "100644", "x"), true, true},
		{CHANGED("deep/down/conftest.py", "x"), true, true},
		{NEW("pytest.ini", "100644", "[pytest]"), true, true},
		{CHANGED("setup.cfg", "[tool:pytest]"), true, true},
		{CHANGED("setup.cfg", "version = 2"), false, false},
		{CHANGED("pyproject.toml", "[tool.pytest.ini_options]"), true, true},
		{CHANGED("pyproject.toml", "dependencies = []"), false, false},
		{NEW("sitecustomize.py", "100644", "x"), true, true},
		{NEW("lib/x.pth", "100644", "import os"), true, true},
		{CHANGED("tests/test_it.py", "pass"), true, true},
		{NEW("tests/test_it/__init__.py", "100644", "x"), true, true},
		{CHANGED("tests/test_other.py", "pass"), false, false},
		{CHANGED("tests/helpers.py", "same = max"), true, true},
		{CHANGED("tests/other.py", "pass"), false, false},
		{CHANGED("work.py", "pass"), false, false},
		{NEW("pytest.py", "100644", "x"), true, true},
		{NEW("_pytest/__init__.py", "100644", "x"), true, true},
		{CHANGED("src/subprocess.py", "x"), false, false},
		{NEW("bin/python3", "100755", "#!/bin/sh"), true, true},
		{NEW("bin/python3", "120000", "/bin/true"), true, true},
		{NEW("bin/mine", "100755", "#!/bin/sh"), false, false},
		{NEW("src/make", "100644", "x"), false, false},
		{NEW(".githooks/pre-commit", "100755", "x"), true, true},
		{NEW("hooks/readme", "100644", "x"), false, false},
		{CHANGED("src/a.py", "open(os.environ['ROLLOUTS_RESULTS'], 'w')"), false, true},
		{"diff --git \"a/caf\\303\\251/conftest.py\" \"b/caf\\303\\251/conftest.py\"\nnew "
		 "file mode "
		 "100644\n",
		 true, true},
		{"diff --git a/x b/x\nnew file mode 100644\n+++ b/x\n@@ -0,0 +1 @@\n+diff --git "
		 "a/conftest.py b/conftest.py\n",
		 false, false},
		{"diff --git", false, false},
		{"diff --git a b", false, false},
		{"", false, false},
	};
	const struct strv none = STRV_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tamper t = {0};
		tamper_look(&t, &step, &none, cases[i].diff, strlen(cases[i].diff));
		if ((t.left_out > 0) != cases[i].left_out || (t.evidence.n > 0) != cases[i].told)
			fail_msg("%s", cases[i].diff);
		tamper_release(&t);
	}
}

static void only_what_is_meant_for_the_tests_is_left_out(void **state)
{
	static const char diff[] =
		CHANGED("a", "1") NEW("conftest.py", "100644", "x") CHANGED("b", "2");
	const struct task_step step = {0};
	AUTO(strv) struct strv exempt = STRV_INIT;
	const struct strv none = STRV_INIT;
	struct tamper t = {0};

	tamper_look(&t, &step, &none, diff, strlen(diff));
	assert_string_equal(t.clean.data, CHANGED("a", "1") CHANGED("b", "2"));
	assert_int_equal(t.evidence.n, 1);
	assert_string_equal(t.evidence.v[0], "conftest.py: changes how pytest runs");
	tamper_release(&t);
	/* What the task's own solution changes is the task's. */
	tamper_paths(&exempt, diff, strlen(diff));
	assert_int_equal(exempt.n, 3);
	tamper_look(&t, &step, &exempt, diff, strlen(diff));
	assert_int_equal(t.evidence.n + t.left_out, 0);
	tamper_release(&t);
}

struct world {
	struct attempt attempt;
	struct task task;
	struct task_step step;
	struct task_rubric rubrics[3];
	struct task_test tests[4];
	struct agent_record agent;
	struct eval_job job;
	struct sandbox box;
	struct run_dir dir;
	struct evaluation e;
};

static int set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct err err;

	w->dir = run_dir_open();
	w->attempt.trial = (struct trial){.run_id = xstrdup("S-0"),
					  .task_id = xstrdup("greet"),
					  .agent = xstrdup("tool"),
					  .model = xstrdup("m-1"),
					  .limits = limits_default};
	w->attempt.trial.limits.eval_timeout_ms = 60000;
	kvs_set(&w->attempt.trial.env, "TIMEOUT_SEC", "5");
	kvs_set(&w->task.env, "FROM_TASK", "1");
	w->rubrics[0] = (struct task_rubric){
		.id = (char *)"works", .criterion = (char *)"It works", .weight = 0.6};
	w->rubrics[1] = (struct task_rubric){
		.id = (char *)"kept", .criterion = (char *)"Kept", .weight = 0.2};
	w->rubrics[2] = (struct task_rubric){
		.id = (char *)"clear", .criterion = (char *)"Clear", .weight = 0.2};
	w->tests[0] = (struct task_test){
		.path = (char *)"test_a.py", .rubric_id = (char *)"works", .content = (char *)"A"};
	w->tests[1] = (struct task_test){
		.path = (char *)"t/b.sh", .rubric_id = (char *)"works", .content = (char *)"B"};
	w->tests[2] = (struct task_test){.path = (char *)"t/c",
					 .rubric_id = (char *)"kept",
					 .content = (char *)"#!/usr/bin/env ruby\n"};
	w->tests[3] = (struct task_test){.path = (char *)"t/d.rb",
					 .rubric_id = (char *)"kept",
					 .content = (char *)"D",
					 .command = (char *)"make check",
					 .timeout_ms = 1500};
	for (size_t i = 0; i < 4; i++)
		w->tests[i].content_len = strlen(w->tests[i].content);
	w->task.id = (char *)"greet";
	w->task.title = (char *)"Greet";
	w->task.layout = task_layout_prepared;
	w->task.steps = &w->step;
	w->task.steps_n = 1;
	w->step.instruction = (char *)"Do it.\n";
	w->step.rubrics = w->rubrics;
	w->step.rubrics_n = 3;
	w->step.tests = w->tests;
	w->step.tests_n = 4;
	w->agent = (struct agent_record){.metrics = agent_metrics_unknown, .diff_lines = 2};
	w->job = (struct eval_job){.attempt = &w->attempt,
				   .task = &w->task,
				   .step = &w->step,
				   .run_fd = w->dir.fd,
				   .agent = &w->agent};
	assert_int_equal(path_write(w->dir.fd, "artifacts/diff.patch", "-old\n+new\n", 10, 0600,
				    false, &err),
			 0);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	evaluation_release(&w->e);
	attempt_release(&w->attempt);
	kvs_release(&w->task.env);
	fake_release(&w->box);
	run_dir_close(&w->dir);
	free(w);
	return 0;
}

static void grade(struct world *w)
{
	struct err err = {0};

	if (eval_run(&w->job, &w->box, &w->e, &err))
		fail_msg("%s", err.msg);
}

static const json_t *test_result(const struct world *w, const char *path)
{
	return json_object_get(json_object_get(w->e.doc, "test_results"), path);
}

static const char *env_of(const struct sandbox *box, int exec, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < box->env[exec].n; i++)
		if (strncmp(box->env[exec].v[i], key, n) == 0 && box->env[exec].v[i][n] == '=')
			return box->env[exec].v[i] + n + 1;
	return NULL;
}

static void expect_argv(const struct sandbox *box, int exec, const char *expected)
{
	AUTO(buf) struct buf line = BUF_INIT;

	for (size_t i = 0; i < box->argv[exec].n; i++)
		buf_addf(&line, "%s%s", i ? " " : "", box->argv[exec].v[i]);
	assert_string_equal(line.data, expected);
}

static void each_script_has_its_runner(void **state)
{
	struct world *w = *state;
	AUTO(free) char *log = NULL;

	w->box.exec[0].out = "1 passed\n";
	grade(w);
	assert_int_equal(w->box.execs, 4);
	expect_argv(&w->box, 0,
		    "python3 -m pytest -q --junitxml=/app/results/1/junit.xml -- test_a.py");
	expect_argv(&w->box, 1, "bash -- t/b.sh");
	expect_argv(&w->box, 2, "/app/repo/t/c");
	expect_argv(&w->box, 3, "sh -c make check");
	assert_string_equal(w->box.cwd[1], "/app/repo");
	assert_string_equal(kvs_get(&w->box.files, "/app/repo/t/b.sh"), "B");
	assert_string_equal(kvs_get(&w->box.files, env_of(&w->box, 0, "ROLLOUTS_DIFF")),
			    "-old\n+new\n");
	assert_string_equal(env_of(&w->box, 0, "FROM_TASK"), "1");
	assert_null(env_of(&w->box, 0, "TIMEOUT_SEC"));
	assert_string_not_equal(env_of(&w->box, 0, "ROLLOUTS_RESULTS"),
				env_of(&w->box, 1, "ROLLOUTS_RESULTS"));
	assert_true(w->e.total.known);
	assert_float_equal(w->e.total.value, 1, 0);
	assert_float_equal(w->e.total.coverage, 0.8, 1e-12);
	assert_int_equal(w->e.tests_passed, 4);
	assert_string_equal(scores_find(&w->e.scores, "works")->kind, "tests");
	assert_false(scores_find(&w->e.scores, "clear")->known);
	assert_string_equal(scores_find(&w->e.scores, "clear")->reason, "nothing scores it");
	log = run_dir_text(&w->dir, "logs/eval.log");
	assert_non_null(
		strstr(log, "=== test_a.py (pytest) ===\n1 passed\n=== passed in 0.00 s ===\n"));
}

static void failures_have_reasons(void **state)
{
	struct world *w = *state;

	w->box.exec[0].end.status = 5 << 8;
	w->box.exec[1].end.status = 3 << 8;
	w->box.exec[2].end.status = 9;
	w->box.exec[3].end.end = SANDBOX_TIMED_OUT;
	grade(w);
	assert_string_equal(json_get_str(test_result(w, "test_a.py"), "reason", ""),
			    "pytest found no tests");
	assert_string_equal(json_get_str(test_result(w, "t/b.sh"), "reason", ""), "exit status 3");
	assert_int_equal(json_get_int(test_result(w, "t/b.sh"), "exit_code", -1), 3);
	assert_string_equal(json_get_str(test_result(w, "t/c"), "reason", ""), "killed by SIGKILL");
	assert_true(json_is_null(json_object_get(test_result(w, "t/c"), "exit_code")));
	assert_string_equal(json_get_str(test_result(w, "t/d.rb"), "reason", ""),
			    "timed out after 1.5 s");
	assert_true(w->e.total.known);
	assert_float_equal(w->e.total.value, 0, 0);
}

static void a_broken_import_is_the_agents_failure(void **state)
{
	struct world *w = *state;

	w->step.tests_n = 1;
	w->box.exec[0].end.status = 2 << 8;
	grade(w);
	assert_int_equal(w->box.execs, 1);
	assert_int_equal(w->e.tests_passed, 0);
}

static void expect_missing_tool(struct world *w, const char *says)
{
	struct err err = {0};

	assert_int_equal(eval_run(&w->job, &w->box, &w->e, &err), -1);
	assert_int_equal(err.kind, ERR_INFRA);
	assert_false(err.retry); /* somebody has to install it */
	if (!strstr(err.msg, says))
		fail_msg("%s", err.msg);
}

static void missing_pytest_is_our_fault(void **state)
{
	struct world *w = *state;

	w->box.exec[0].end.status = 1 << 8;
	w->box.exec[1].end.status = 1 << 8; /* the probe */
	expect_missing_tool(w, "apt install python3-pytest");
	expect_argv(&w->box, 1, "python3 -I -c import pytest");
	assert_string_equal(w->box.cwd[1], "/");
}

static void a_command_may_miss_pytest_too(void **state)
{
	struct world *w = *state;

	w->step.tests = &w->tests[3];
	w->step.tests_n = 1;
	w->tests[3].command = (char *)"python3 -m pytest -q tests";
	w->box.exec[0].end.status = 1 << 8;
	w->box.exec[1].end.status = 1 << 8;
	expect_missing_tool(w, "apt install python3-pytest");
}

static void a_failed_test_with_pytest_there_is_a_failed_test(void **state)
{
	struct world *w = *state;

	w->step.tests_n = 1;
	w->box.exec[0].end.status = 1 << 8;
	w->box.exec[0].err = "/usr/bin/python3: No module named pytest\n";
	grade(w);
	assert_int_equal(w->box.execs, 2);
	assert_string_equal(json_get_str(test_result(w, "test_a.py"), "reason", ""),
			    "tests failed");
}

static void missing_programs_are_our_fault(void **state)
{
	struct world *w = *state;

	w->step.tests = &w->tests[1];
	w->step.tests_n = 1;
	w->box.exec[0].end =
		(struct sandbox_exit){.end = SANDBOX_NOT_FOUND, .text = "bash: no such file"};
	expect_missing_tool(w, "apt install bash");
	w->step.tests = &w->tests[2];
	w->box.exec[1].end.status = 127 << 8;
	w->box.exec[2].end.status = 127 << 8;
	expect_missing_tool(w, "ruby");
	w->step.tests = &w->tests[3];
	w->box.exec[3].end.status = 127 << 8;
	w->box.exec[4].end.status = 1 << 8;
	expect_missing_tool(w, "make");
	expect_argv(&w->box, 4, "sh -c command -v \"$1\" sh make");
}

static void an_interpreter_of_the_agents_is_its_own_fault(void **state)
{
	struct world *w = *state;

	w->step.tests = &w->tests[2];
	w->step.tests_n = 1;
	w->tests[2].content = (char *)"#!/app/repo/bin/run\n";
	w->tests[2].content_len = strlen(w->tests[2].content);
	w->box.exec[0].end =
		(struct sandbox_exit){.end = SANDBOX_NOT_FOUND, .text = "no such file"};
	grade(w);
	assert_string_equal(json_get_str(test_result(w, "t/c"), "reason", ""),
			    "cannot be executed: no such file");
}

static void what_tests_write_is_taken(void **state)
{
	struct world *w = *state;

	w->box.exec[0].writes_path = "/app/results/1/metrics.json";
	w->box.exec[0].writes = "{\"complexity\": 12}";
	w->box.exec[1].writes_path = "/app/results/2/results.json";
	w->box.exec[1].writes = "{\"case\": {\"success\": true}}";
	w->box.exec[2].writes_path = "/app/results/3/metrics.json";
	w->box.exec[2].writes = "not json";
	grade(w);
	assert_int_equal((int)metrics_find(&w->e.metrics, "complexity")->value, 12);
	assert_non_null(
		json_object_get(json_object_get(test_result(w, "t/b.sh"), "details"), "case"));
	assert_null(json_object_get(test_result(w, "test_a.py"), "problems"));
	assert_int_equal(json_array_size(json_object_get(test_result(w, "t/c"), "problems")), 1);
	assert_int_equal(w->e.tests_passed, 4);
}

static void a_refused_patch_fails_every_test(void **state)
{
	struct world *w = *state;

	w->job.patch_refused = "error: patch failed: a.c:1";
	assert_int_equal(eval_run(&w->job, NULL, &w->e, &(struct err){0}), 0);
	assert_true(w->e.total.known);
	assert_float_equal(w->e.total.value, 0, 0);
	assert_int_equal(w->e.tests, 4);
	assert_true(json_is_false(json_object_get(w->e.doc, "patch_applied")));
	assert_string_equal(json_get_str(test_result(w, "t/c"), "reason", ""),
			    "not run: the diff does not apply");
}

static json_t *write_documents(struct world *w)
{
	struct result r;
	json_t *doc = NULL;
	struct err err = {0};

	result_init(&r);
	r.outcome = OUTCOME_TIMEOUT;
	snprintf(r.reason, sizeof r.reason, "timed out after 30 s");
	if (eval_write(&w->job, &w->e, &r, &err) ||
	    json_read(&doc, w->dir.fd, "evaluation_results.json", 1 << 20, &err))
		fail_msg("%s", err.msg);
	result_release(&r);
	return doc;
}

static void the_document_has_the_members_promised(void **state)
{
	struct world *w = *state;
	AUTO(json) json_t *doc = NULL;
	const json_t *rubrics;

	w->box.exec[1].end.status = 1 << 8;
	w->agent.metrics.tokens_total = 99;
	w->agent.metrics.wall_ms = 1500;
	grade(w);
	doc = write_documents(w);
	rubrics = json_object_get(json_object_get(doc, "evaluation"), "rubrics");
	/* works: 1 of 2, kept: 2 of 2, clear: none: (0.6 * 0.5 + 0.2) / 0.8 */
	assert_float_equal(json_get_real(doc, "total_score", -1), 0.625, 1e-9);
	assert_float_equal(json_get_real(doc, "coverage", -1), 0.8, 1e-9);
	assert_string_equal(json_get_str(doc, "outcome", ""), "timeout");
	assert_string_equal(json_get_str(doc, "run_id", ""), "S-0");
	assert_int_equal(json_get_int(doc, "diff_lines", -1), 2);
	assert_true(json_is_null(json_object_get(json_object_get(rubrics, "clear"), "score")));
	assert_true(
		json_is_null(json_object_get(json_object_get(rubrics, "clear"), "weighted_score")));
	assert_float_equal(json_get_real(json_object_get(rubrics, "works"), "weighted_score", 0),
			   0.3, 1e-9);
	assert_int_equal(json_get_int(json_object_get(doc, "agent_metrics"), "tokens_total", -1),
			 99);
	assert_float_equal(
		json_get_real(json_object_get(doc, "agent_metrics"), "time_taken_seconds", 0), 1.5,
		1e-9);
	assert_true(json_is_null(
		json_object_get(json_object_get(doc, "agent_metrics"), "money_spent_usd")));
	assert_int_equal(json_get_int(json_object_get(doc, "standard_metrics"), "tests_passed", -1),
			 3);
}

static void hostile_text_is_harmless_in_the_report(void **state)
{
	struct world *w = *state;
	AUTO(json) json_t *doc = NULL;
	AUTO(free) char *report = NULL;
	static const char evil[] =
		"</details><script>alert(1)</script>\n````\n# Owned\x1b[2J | x | [l](javascript:x)";
	struct err err;

	w->task.title = (char *)evil;
	w->tests[0].path = (char *)"<img src=x>.sh";
	w->tests[1].content = (char *)evil;
	w->tests[1].content_len = sizeof evil - 1;
	w->rubrics[0].criterion = (char *)evil;
	w->box.exec[0].out = evil;
	assert_int_equal(path_write(w->dir.fd, "artifacts/diff.patch", evil, sizeof evil - 1, 0600,
				    false, &err),
			 0);
	grade(w);
	doc = write_documents(w);
	report = run_dir_text(&w->dir, "scoring_results.md");
	assert_null(strchr(report, '\x1b'));
	assert_null(strstr(report, " <img"));
	assert_null(strstr(report, "><img"));
	assert_non_null(strstr(report, "\\<img src=x\\>"));
	assert_non_null(strstr(report, "&lt;img"));
	/* Raw only between fences longer than its own, and never at the start of a line outside of
	 * them. */
	assert_non_null(strstr(report, "`````\n</details><script>"));
	assert_null(strstr(report, "Title:** </details>"));
	assert_null(strstr(report, "| </details>"));
	assert_non_null(strstr(report, "Not judged."));
}

static void the_report_has_its_sections_in_order(void **state)
{
	static const char *const sections[] = {
		"# 📊 Scoring Results",	    "## 🏆 Overall Score: **100.0%**",
		"## 📊 Scoring Breakdown",   "### Qualitative Scoring (LLM-Based Rubrics)",
		"### Quantitative Metrics", "## 🤖 LLM Rubric Details",
		"## 🧪 Test Results",	    "## 📝 Test Definitions",
		"## 🔧 Agent's Changes",	    "## 📄 Task Instructions",
		"## ✅ Final Summary",
	};
	struct world *w = *state;
	AUTO(json) json_t *doc = NULL;
	AUTO(free) char *report = NULL;
	const char *at;

	grade(w);
	doc = write_documents(w);
	report = run_dir_text(&w->dir, "scoring_results.md");
	at = report;
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		at = strstr(at, sections[i]);
		if (!at)
			fail_msg("%s", sections[i]);
	}
	assert_non_null(strstr(report, "+1 / -1 lines"));
}

int main(void)
{
#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_excerpt_keeps_both_ends),
		cmocka_unit_test(only_numbers_are_metrics),
		cmocka_unit_test(metrics_may_stand_as_the_guide_writes_them),
		cmocka_unit_test(hostile_files_are_bounded),
		cmocka_unit_test(a_report_tells_its_cases_apart),
		cmocka_unit_test(what_is_no_whole_report_is_none),
		cmocka_unit_test(what_is_meant_for_the_tests_is_told),
		cmocka_unit_test(only_what_is_meant_for_the_tests_is_left_out),
		cmocka_unit_test(details_are_checked),
		WITH_WORLD(each_script_has_its_runner),
		WITH_WORLD(failures_have_reasons),
		WITH_WORLD(a_broken_import_is_the_agents_failure),
		WITH_WORLD(missing_pytest_is_our_fault),
		WITH_WORLD(a_command_may_miss_pytest_too),
		WITH_WORLD(a_failed_test_with_pytest_there_is_a_failed_test),
		WITH_WORLD(missing_programs_are_our_fault),
		WITH_WORLD(an_interpreter_of_the_agents_is_its_own_fault),
		WITH_WORLD(what_tests_write_is_taken),
		WITH_WORLD(a_refused_patch_fails_every_test),
		WITH_WORLD(the_document_has_the_members_promised),
		WITH_WORLD(hostile_text_is_harmless_in_the_report),
		WITH_WORLD(the_report_has_its_sections_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
