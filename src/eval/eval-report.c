/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "eval/eval-doc.h"

/* A report of one trial while it is written. Everything from a task, a model or a test is
 * untrusted: add_inline() and add_fenced() are the only ways it gets in. */
struct report {
	struct buf *out;
	const struct eval_job *job;
	const json_t *doc;
	const struct result *result;
	const char *diff;
	size_t diff_len;
	bool diff_cut;
};

static void add_inline(struct report *p, const char *s)
{
	text_markdown(p->out, s ? s : "");
}

static void add_fenced(struct report *p, const char *language, const char *s, size_t len)
{
	AUTO(free) char *fence = text_fence(s, len);

	buf_addf(p->out, "%s%s\n", fence, language);
	text_render(p->out, s, len, TEXT_MARKDOWN_CODE);
	if (len && s[len - 1] != '\n')
		buf_addc(p->out, '\n');
	buf_addf(p->out, "%s\n\n", fence);
}

static const json_t *member(const json_t *doc, const char *a, const char *b)
{
	return json_object_get(json_object_get(doc, a), b);
}

static void add_percent(struct report *p, const json_t *v)
{
	if (json_is_number(v))
		buf_addf(p->out, "%.1f%%", 100 * json_number_value(v));
	else
		buf_adds(p->out, "not scored");
}

static const char *score_icon(const json_t *v)
{
	double score = json_number_value(v);

	if (!json_is_number(v))
		return "➖";
	return score >= 1 ? "🏆" : score >= 0.8 ? "✅" : score >= 0.5 ? "⚠️" : "❌";
}

static void add_title(struct report *p)
{
	char now[CLOCK_STAMP + 8];

	clock_iso(clock_wall_ms(), now);
	buf_adds(p->out, "# 📊 Scoring Results\n\n- **Run ID:** ");
	add_inline(p, p->job->attempt->trial.run_id);
	buf_adds(p->out, "\n- **Task:** ");
	add_inline(p, p->job->attempt->trial.task_id);
	buf_adds(p->out, "\n- **Title:** ");
	add_inline(p, p->job->task->title);
	buf_adds(p->out, "\n- **Agent:** ");
	add_inline(p, p->job->attempt->trial.agent);
	buf_adds(p->out, "\n- **Model:** ");
	add_inline(p, p->job->attempt->trial.model);
	buf_addf(p->out, "\n- **Outcome:** %s", outcome_name(p->result->outcome));
	buf_adds(p->out, *p->result->reason ? ": " : "");
	add_inline(p, p->result->reason);
	buf_addf(p->out, "\n- **Generated:** %s\n\n", now);
}

static void add_overall(struct report *p)
{
	const json_t *total = json_object_get(p->doc, "total_score");
	int full = (int)(20 * json_number_value(total) + 0.5);

	buf_addf(p->out, "## %s Overall Score: **", score_icon(total));
	add_percent(p, total);
	buf_adds(p->out, "**\n\n`");
	for (int i = 0; i < 20; i++)
		buf_adds(p->out, i < full ? "█" : "░");
	buf_adds(p->out, "`\n\n");
}

static void add_rubric_row(struct report *p, const char *id, const json_t *rubric)
{
	const json_t *score = json_object_get(rubric, "score");

	buf_adds(p->out, "| ");
	add_inline(p, id);
	buf_addf(p->out, " | %g | ", json_get_real(rubric, "weight", 0));
	add_percent(p, score);
	buf_addf(p->out, " | %s | ", json_is_number(score) ? score_icon(score) : "no tests");
	add_inline(p, json_get_str(rubric, "criterion", ""));
	buf_adds(p->out, " |\n");
}

static void add_rubrics(struct report *p)
{
	json_t *rubrics = json_object_get(json_object_get(p->doc, "evaluation"), "rubrics");
	const char *id;
	json_t *rubric;

	buf_adds(p->out, "### Rubric Scores (Tests)\n\n");
	if (!json_object_size(rubrics)) {
		buf_adds(p->out, "Not evaluated.\n\n");
		return;
	}
	buf_adds(p->out,
		 "| Rubric | Weight | Score | Status | Criterion |\n|---|---|---|---|---|\n");
	json_object_foreach (rubrics, id, rubric)
		add_rubric_row(p, id, rubric);
	buf_addc(p->out, '\n');
}

static void add_metric(struct report *p, const char *name, const char *key, const char *unit)
{
	const json_t *v = member(p->doc, "agent_metrics", key);

	buf_addf(p->out, "| %s | ", name);
	if (json_is_number(v))
		buf_addf(p->out, "%.10g%s |\n", json_number_value(v), unit);
	else
		buf_adds(p->out, "N/A |\n");
}

static void add_breakdown(struct report *p)
{
	buf_adds(p->out, "## 📊 Scoring Breakdown\n\n");
	add_rubrics(p);
	buf_adds(p->out, "### Qualitative Scoring (LLM-Based Rubrics)\n\nNot judged.\n\n"
			 "### Quantitative Metrics\n\n| Metric | Value |\n|---|---|\n");
	add_metric(p, "Time Taken", "time_taken_seconds", " s");
	add_metric(p, "Tokens Spent", "tokens_total", "");
	add_metric(p, "Money Spent", "money_spent_usd", " USD");
	add_metric(p, "Tool Calls", "tool_calls_total", "");
	buf_adds(p->out, "| Score Delta | N/A |\n\n## 🤖 LLM Rubric Details\n\nNot judged.\n\n");
}

static void add_details(struct report *p, json_t *details)
{
	const char *name;
	json_t *d;

	json_object_foreach (details, name, d) {
		buf_addf(p->out, "- %s ", json_get_bool(d, "success", false) ? "✅" : "❌");
		add_inline(p, name);
		buf_adds(p->out, *json_get_str(d, "message", "") ? ": " : "");
		add_inline(p, json_get_str(d, "message", ""));
		buf_addc(p->out, '\n');
	}
	if (json_object_size(details))
		buf_addc(p->out, '\n');
}

static void add_test(struct report *p, const char *path, const json_t *t)
{
	const char *output = json_get_str(t, "output", ""), *reason = json_get_str(t, "reason", "");

	buf_addf(p->out, "### %s ", json_get_bool(t, "success", false) ? "✅" : "❌");
	add_inline(p, path);
	if (json_is_number(json_object_get(t, "duration_sec")))
		buf_addf(p->out, " (%.2f s)", json_get_real(t, "duration_sec", 0));
	buf_adds(p->out, "\n\n");
	if (*reason) {
		add_inline(p, reason);
		buf_adds(p->out, "\n\n");
	}
	add_details(p, json_object_get(t, "details"));
	if (json_is_number(json_object_get(t, "duration_sec")) &&
	    strcmp(output, EVAL_NO_OUTPUT) != 0)
		add_fenced(p, "", output, strlen(output));
}

static void add_tests(struct report *p)
{
	json_t *tests = json_object_get(p->doc, "test_results");
	const char *path, *refused = json_get_str(p->doc, "patch_reason", "");
	json_t *t;

	buf_adds(p->out, "## 🧪 Test Results\n\n");
	if (*refused) {
		buf_adds(p->out, "The diff does not apply, so that no test was run:\n\n");
		add_fenced(p, "", refused, strlen(refused));
	}
	if (!json_object_size(tests))
		buf_adds(p->out, "No tests.\n\n");
	json_object_foreach (tests, path, t)
		add_test(p, path, t);
}

static void add_definitions(struct report *p)
{
	const struct task *task = p->job->task;

	buf_adds(p->out, "## 📝 Test Definitions\n\n");
	for (size_t i = 0; i < task->tests_n; i++) {
		const struct task_test *t = &task->tests[i];

		buf_adds(p->out, "<details><summary>");
		text_renders(p->out, t->path, TEXT_HTML);
		buf_adds(p->out, "</summary>\n\n");
		add_fenced(p, "", t->content ? t->content : "", t->content_len);
		buf_adds(p->out, "</details>\n\n");
	}
}

/* Lines added (+) or removed (-) in what we have of the diff, its headers aside. */
static int count_lines(const struct report *p, char sign)
{
	const char *s = p->diff, *end = p->diff + p->diff_len;
	int n = 0;

	while (s < end) {
		const char *nl = memchr(s, '\n', (size_t)(end - s));

		n += *s == sign && !(end - s > 3 && s[1] == sign && s[2] == sign && s[3] == ' ');
		s = nl ? nl + 1 : end;
	}
	return n;
}

static void add_changes(struct report *p)
{
	buf_adds(p->out, "## 🔧 Agent's Changes\n\n");
	if (!p->diff_len) {
		buf_adds(p->out, "No changes.\n\n");
		return;
	}
	buf_addf(p->out, "+%d / -%d lines%s\n\n", count_lines(p, '+'), count_lines(p, '-'),
		 p->diff_cut ? " in its first 200 KB; the whole is artifacts/diff.patch" : "");
	add_fenced(p, "diff", p->diff, p->diff_len);
}

static void add_instructions(struct report *p)
{
	const char *text = p->job->task->instruction ? p->job->task->instruction : "";

	buf_adds(p->out, "## 📄 Task Instructions\n\n");
	add_fenced(p, "", text, strlen(text));
}

static void add_count(struct report *p, const char *name, const json_t *v)
{
	buf_addf(p->out, "| %s | ", name);
	if (json_is_integer(v))
		buf_addf(p->out, "%lld |\n", (long long)json_integer_value(v));
	else
		buf_adds(p->out, "N/A |\n");
}

static void add_summary(struct report *p)
{
	const json_t *total = member(p->doc, "standard_metrics", "tests_total");

	buf_adds(p->out,
		 "## ✅ Final Summary\n\n| Metric | Value |\n|---|---|\n| Unit Test Score | ");
	add_percent(p, json_object_get(p->doc, "total_score"));
	buf_adds(p->out, " |\n| Tests Passed | ");
	if (json_is_integer(total))
		buf_addf(p->out, "%lld of %lld |\n",
			 (long long)json_integer_value(
				 member(p->doc, "standard_metrics", "tests_passed")),
			 (long long)json_integer_value(total));
	else
		buf_adds(p->out, "N/A |\n");
	buf_adds(p->out, "| LM Rubric Score | not judged |\n");
	add_count(p, "Diff Lines", json_object_get(p->doc, "diff_lines"));
	add_count(p, "Agent Tokens", member(p->doc, "agent_metrics", "tokens_total"));
	add_count(p, "Tool Calls", member(p->doc, "agent_metrics", "tool_calls_total"));
	buf_adds(p->out,
		 "\n---\n*Made by rollouts " ROLLOUTS_VERSION " from evaluation_results.json.*\n");
}

void eval_report(struct buf *out, const struct eval_job *job, const json_t *doc,
		 const struct result *r, const char *diff, size_t diff_len, bool diff_cut)
{
	struct report p = {.out = out,
			   .job = job,
			   .doc = doc,
			   .result = r,
			   .diff = diff,
			   .diff_len = diff_len,
			   .diff_cut = diff_cut};

	add_title(&p);
	add_overall(&p);
	add_breakdown(&p);
	add_tests(&p);
	add_definitions(&p);
	add_changes(&p);
	add_instructions(&p);
	add_summary(&p);
}
