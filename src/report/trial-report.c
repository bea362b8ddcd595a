/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/trial-report.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "report/trial-report-judge.h"
#include "report/number.h"

/* The `output` of a test that printed nothing. */
#define NO_OUTPUT "STDOUT:\n\n\nSTDERR:\n"

/* A report while it is put together. */
struct writing {
	struct doc *doc;
	const struct trial_report *r;
	const json_t *evaluation;
};

static const json_t *member(const struct writing *w, const char *a, const char *b)
{
	return json_object_get(json_object_get(w->evaluation, a), b);
}

static void put_heading(struct writing *w, int level, const char *words)
{
	doc_heading(w->doc, level);
	doc_words(w->doc, "%s", words);
}

static void put_paragraph(struct writing *w, const char *words)
{
	doc_paragraph(w->doc);
	doc_words(w->doc, "%s", words);
}

/* "50.0%"; the caller frees. */
static char *percent(const json_t *v)
{
	return xstrdup(json_is_number(v)
			       ? number_percent((char[NUMBER_TEXT]){0}, json_number_value(v))
			       : "not scored");
}

static const char *score_icon(const json_t *v)
{
	double score = json_number_value(v);

	if (!json_is_number(v))
		return "➖";
	return score >= 1 ? "🏆" : score >= 0.8 ? "✅" : score >= 0.5 ? "⚠️" : "❌";
}

static void put_fact(struct writing *w, const char *name, const char *text)
{
	doc_item(w->doc);
	doc_strong(w->doc, name);
	doc_words(w->doc, " ");
	doc_text(w->doc, text ? text : "");
}

static void put_title(struct writing *w)
{
	const struct trial *t = &w->r->attempt->trial;
	const char *reason = w->r->result->reason;
	char now[CLOCK_STAMP + 8];

	clock_iso(clock_wall_ms(), now);
	put_heading(w, 1, "📊 Scoring Results");
	put_fact(w, "Run ID:", t->run_id);
	put_fact(w, "Task:", t->task_id);
	put_fact(w, "Title:", w->r->task->title);
	put_fact(w, "Agent:", t->agent);
	put_fact(w, "Model:", t->model);
	put_fact(w, "Outcome:", outcome_name(w->r->result->outcome));
	doc_words(w->doc, "%s", *reason ? ": " : "");
	doc_text(w->doc, reason);
	put_fact(w, "Generated:", now);
}

static void put_overall(struct writing *w)
{
	const json_t *total = json_object_get(w->evaluation, "total_score");
	int full = (int)(20 * json_number_value(total) + 0.5);
	AUTO(free) char *text = percent(total);
	AUTO(buf) struct buf bar = BUF_INIT;

	doc_heading(w->doc, 2);
	doc_words(w->doc, "%s Overall Score: ", score_icon(total));
	doc_strong(w->doc, text);
	for (int i = 0; i < 20; i++)
		buf_adds(&bar, i < full ? "█" : "░");
	doc_paragraph(w->doc);
	doc_code(w->doc, bar.data);
}

static void columns(struct table *t, const char *const *names)
{
	for (; *names; names++)
		table_column(t, *names, TABLE_LEFT);
}

static void put_rubrics(struct writing *w)
{
	json_t *rubrics = json_object_get(json_object_get(w->evaluation, "evaluation"), "rubrics");
	struct table t = {0};
	const char *id;
	json_t *rubric;

	put_heading(w, 3, "Rubric Scores (Tests)");
	if (!json_object_size(rubrics)) {
		put_paragraph(w, "Not evaluated.");
		return;
	}
	columns(&t,
		(const char *const[]){"Rubric", "Weight", "Score", "Status", "Criterion", NULL});
	json_object_foreach (rubrics, id, rubric) {
		const json_t *score = json_object_get(rubric, "score");
		AUTO(free) char *text = percent(score);
		table_text(&t, id);
		table_textf(&t, "%g", json_get_real(rubric, "weight", 0));
		table_text(&t, text);
		table_text(&t, json_is_number(score) ? score_icon(score) : "no score");
		table_text(&t, json_get_str(rubric, "criterion", ""));
	}
	doc_table(w->doc, &t);
}

static void add_metric(struct table *t, const char *name, const json_t *v, const char *unit)
{
	table_text(t, name);
	if (json_is_number(v))
		table_textf(t, "%.10g%s", json_number_value(v), unit);
	else
		table_missing(t, "N/A");
}

/* Under the name that these documents always had. */
static bool is_told(const char *metric)
{
	static const char *const names[] = {"agent_seconds", "cost_usd", "tool_calls"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], metric) == 0)
			return true;
	return false;
}

static void put_custom(struct writing *w)
{
	json_t *custom = json_object_get(w->evaluation, "custom_metrics"), *v;
	const struct metrics *known = &w->r->result->metrics;
	struct table t = {0};
	const char *name;

	if (!json_object_size(custom))
		return;
	put_heading(w, 3, "Custom Metrics");
	columns(&t, (const char *const[]){"Metric", "Value", "From", NULL});
	json_object_foreach (custom, name, v) {
		const struct metric *m = metrics_find(known, name);
		add_metric(&t, name, v, "");
		table_text(&t, m && m->self_reported ? "self-reported: code under test could have "
						       "written it"
						     : "the tests");
	}
	doc_table(w->doc, &t);
}

static void put_breakdown(struct writing *w)
{
	static const struct {
		const char *name, *key, *unit;
	} metrics[] = {
		{"Time Taken", "time_taken_seconds", " s"},
		{"Tokens Spent", "tokens_total", ""},
		{"Money Spent", "money_spent_usd", " USD"},
		{"Tool Calls", "tool_calls_total", ""},
		{"Score Delta", "", ""},
	};
	struct table t = {0};

	put_heading(w, 2, "📊 Scoring Breakdown");
	put_rubrics(w);
	put_heading(w, 3, "Qualitative Scoring (LLM-Based Rubrics)");
	trial_report_judge_table(w->doc, w->evaluation);
	put_heading(w, 3, "Quantitative Metrics");
	columns(&t, (const char *const[]){"Metric", "Value", NULL});
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++)
		add_metric(&t, metrics[i].name, member(w, "agent_metrics", metrics[i].key),
			   metrics[i].unit);
	for (size_t i = 0; i < METRIC_COUNT; i++)
		if (!is_told(metric_name(i)))
			add_metric(&t, metric_name(i),
				   member(w, "standard_metrics", metric_name(i)), "");
	doc_table(w->doc, &t);
	put_custom(w);
	put_heading(w, 2, "🤖 LLM Rubric Details");
	trial_report_judge_details(w->doc, w->evaluation);
}

static const char *mark(const json_t *test)
{
	return json_get_bool(test, "success", false) ? "✅" : "❌";
}

/* What pytest says of those of its tests that did not pass. */
static void put_cases(struct writing *w, const json_t *cases)
{
	enum { CASES = 50 };
	size_t i, shown = 0;
	json_t *one;

	json_array_foreach ((json_t *)cases, i, one) {
		const char *outcome = json_get_str(one, "outcome", "");
		const char *message = json_get_str(one, "message", "");
		if (!strcmp(outcome, "passed") || shown++ == CASES)
			return;
		doc_item(w->doc);
		doc_words(w->doc, "%s ", !strcmp(outcome, "skipped") ? "➖" : "❌");
		doc_text(w->doc, json_get_str(one, "name", ""));
		doc_words(w->doc, " (");
		doc_text(w->doc, outcome);
		doc_words(w->doc, ")%s", *message ? ": " : "");
		doc_text(w->doc, message);
	}
}

static void put_test(struct writing *w, const char *path, const json_t *t)
{
	const char *output = json_get_str(t, "output", ""), *reason = json_get_str(t, "reason", "");
	const json_t *duration = json_object_get(t, "duration_sec");
	const char *name;
	json_t *detail;

	doc_heading(w->doc, 3);
	doc_words(w->doc, "%s ", mark(t));
	doc_text(w->doc, path);
	if (json_is_number(duration))
		doc_words(w->doc, " (%.2f s)", json_number_value(duration));
	if (*reason) {
		doc_paragraph(w->doc);
		doc_text(w->doc, reason);
	}
	put_cases(w, json_object_get(t, "cases"));
	json_object_foreach (json_object_get(t, "details"), name, detail) {
		const char *message = json_get_str(detail, "message", "");
		doc_item(w->doc);
		doc_words(w->doc, "%s ", mark(detail));
		doc_text(w->doc, name);
		doc_words(w->doc, "%s", *message ? ": " : "");
		doc_text(w->doc, message);
	}
	if (json_is_number(duration) && strcmp(output, NO_OUTPUT) != 0)
		doc_code_block(w->doc, "", output, strlen(output));
}

static void put_suspect(struct writing *w)
{
	const json_t *lines = json_object_get(w->evaluation, "suspect");
	size_t i;
	json_t *line;

	if (!json_array_size(lines))
		return;
	put_paragraph(
		w,
		"⚠️ Suspect: part of this work was meant for the tests. What changes how they "
		"are run was left out of the tree that was graded.");
	json_array_foreach (lines, i, line) {
		doc_item(w->doc);
		doc_text(w->doc, json_string_value(line) ? json_string_value(line) : "");
	}
}

static void put_tests(struct writing *w)
{
	json_t *tests = json_object_get(w->evaluation, "test_results");
	const char *path, *refused = json_get_str(w->evaluation, "patch_reason", "");
	json_t *t;

	put_heading(w, 2, "🧪 Test Results");
	if (*refused) {
		put_paragraph(w, "The diff does not apply, so that no test was run:");
		doc_code_block(w->doc, "", refused, strlen(refused));
	}
	put_suspect(w);
	if (!json_object_size(tests))
		put_paragraph(w, "No tests.");
	json_object_foreach (tests, path, t)
		put_test(w, path, t);
}

static void put_definitions(struct writing *w)
{
	const struct task *task = w->r->task;

	put_heading(w, 2, "📝 Test Definitions");
	for (size_t s = 0; s < task->steps_n; s++)
		for (size_t i = 0; i < task->steps[s].tests_n; i++) {
			const struct task_test *t = &task->steps[s].tests[i];
			doc_details(w->doc, t->path);
			doc_code_block(w->doc, "", t->content ? t->content : "", t->content_len);
			doc_details_end(w->doc);
		}
}

/* Lines added (+) or removed (-) in what we have of the diff, its headers aside. */
static int count_lines(const struct trial_report *r, char sign)
{
	const char *s = r->diff, *end = r->diff + r->diff_len;
	int n = 0;

	while (s < end) {
		const char *nl = memchr(s, '\n', (size_t)(end - s));

		n += *s == sign && !(end - s > 3 && s[1] == sign && s[2] == sign && s[3] == ' ');
		s = nl ? nl + 1 : end;
	}
	return n;
}

static void put_changes(struct writing *w)
{
	const struct trial_report *r = w->r;

	put_heading(w, 2, "🔧 Agent's Changes");
	if (!r->diff_len) {
		put_paragraph(w, "No changes.");
		return;
	}
	doc_paragraph(w->doc);
	doc_words(w->doc, "+%d / -%d lines%s", count_lines(r, '+'), count_lines(r, '-'),
		  r->diff_cut ? " in its first 200 KB; the whole is artifacts/diff.patch" : "");
	doc_code_block(w->doc, "diff", r->diff, r->diff_len);
}

static void put_instructions(struct writing *w)
{
	const struct task *task = w->r->task;

	put_heading(w, 2, "📄 Task Instructions");
	for (size_t s = 0; s < task->steps_n; s++) {
		const char *text = task->steps[s].instruction;
		doc_code_block(w->doc, "", text, strlen(text));
	}
}

static void add_count(struct table *t, const char *name, const json_t *v)
{
	table_text(t, name);
	if (json_is_integer(v))
		table_int(t, json_integer_value(v));
	else
		table_missing(t, "N/A");
}

static void put_summary(struct writing *w)
{
	const json_t *total = member(w, "standard_metrics", "tests_total");
	AUTO(free) char *score = percent(json_object_get(w->evaluation, "total_score"));
	AUTO(free) char *lm = percent(member(w, "lm_evaluation", "weighted_score"));
	struct table t = {0};

	put_heading(w, 2, "✅ Final Summary");
	columns(&t, (const char *const[]){"Metric", "Value", NULL});
	table_text(&t, "Unit Test Score");
	table_text(&t, score);
	table_text(&t, "Tests Passed");
	if (json_is_integer(total))
		table_textf(&t, "%lld of %lld",
			    (long long)json_integer_value(
				    member(w, "standard_metrics", "tests_passed")),
			    (long long)json_integer_value(total));
	else
		table_missing(&t, "N/A");
	table_text(&t, "LM Rubric Score");
	table_text(&t, json_is_object(json_object_get(w->evaluation, "lm_evaluation"))
			       ? lm
			       : "not judged");
	add_count(&t, "Diff Lines", json_object_get(w->evaluation, "diff_lines"));
	add_count(&t, "Agent Tokens", member(w, "agent_metrics", "tokens_total"));
	add_count(&t, "Tool Calls", member(w, "agent_metrics", "tool_calls_total"));
	doc_table(w->doc, &t);
	doc_footer(w->doc);
	doc_words(w->doc, "Made by rollouts " ROLLOUTS_VERSION " from evaluation_results.json.");
}

void trial_report_make(struct doc *d, const struct trial_report *r)
{
	struct writing w = {.doc = d, .r = r, .evaluation = r->evaluation};

	put_title(&w);
	put_overall(&w);
	put_breakdown(&w);
	put_tests(&w);
	put_definitions(&w);
	put_changes(&w);
	put_instructions(&w);
	put_summary(&w);
}
