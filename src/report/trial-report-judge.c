/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/trial-report-judge.h"
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "report/number.h"

enum { TEXT_BYTES = 4000 };

static const json_t *rubric_scores(const json_t *evaluation)
{
	return json_object_get(json_object_get(evaluation, "lm_evaluation"), "rubric_scores");
}

static const json_t *judged(const json_t *evaluation, const char *id)
{
	const json_t *judge = json_object_get(evaluation, "judge");

	return json_object_get(json_object_get(judge, "rubrics"), id);
}

static const char *status_of(const json_t *score)
{
	double v = json_number_value(score);

	if (!json_is_number(score))
		return "➖ unscored";
	return v >= 1 ? "🏆" : v >= 0.8 ? "✅" : v >= 0.5 ? "⚠️" : "❌";
}

static void add_rubric(struct table *t, const json_t *evaluation, const json_t *one)
{
	const json_t *score = json_object_get(one, "score");
	const char *id = json_get_str(one, "rubric_id", "");
	const json_t *all = json_object_get(json_object_get(evaluation, "evaluation"), "rubrics");
	const json_t *rubric = json_object_get(all, id);

	table_text(t, id);
	table_textf(t, "%g", json_get_real(rubric, "weight", 0));
	if (json_is_number(score))
		table_text(t, number_percent((char[NUMBER_TEXT]){0}, json_number_value(score)));
	else
		table_missing(t, "not scored");
	table_text(t, status_of(score));
	table_text(t, json_get_str(rubric, "criterion", ""));
}

void trial_report_judge_table(struct doc *d, const json_t *evaluation)
{
	static const char *const names[] = {"Rubric", "Weight", "Score", "Status", "Criterion"};
	const json_t *list = rubric_scores(evaluation), *one;
	struct table t = {0};
	size_t i;

	if (!json_array_size(list)) {
		doc_paragraph(d);
		doc_words(d, "Not judged.");
		return;
	}
	for (i = 0; i < ARRAY_SIZE(names); i++)
		table_column(&t, names[i], TABLE_LEFT);
	json_array_foreach (list, i, one)
		add_rubric(&t, evaluation, one);
	doc_table(d, &t);
}

static void put_text(struct doc *d, const char *name, const char *text)
{
	size_t len = strlen(text);
	AUTO(free) char *kept = xstrndup(text, len > TEXT_BYTES ? text_cut(text, TEXT_BYTES) : len);

	if (!len)
		return;
	doc_item(d);
	doc_strong(d, name);
	doc_words(d, " ");
	doc_text(d, kept);
	if (len > TEXT_BYTES)
		doc_words(d, " ... (the whole is in evaluation_results.json)");
}

static void put_votes(struct doc *d, const json_t *rubric)
{
	const json_t *votes = json_object_get(rubric, "votes"), *v;
	AUTO(buf) struct buf text = BUF_INIT;
	int64_t wrong = json_get_int(rubric, "canary_wrong", 0);
	size_t i;

	json_array_foreach (votes, i, v) {
		buf_adds(&text, i ? ", " : "");
		if (json_is_number(v))
			buf_addf(&text, "%.3g", json_number_value(v));
		else
			buf_adds(&text, "none");
	}
	if (json_array_size(votes) > 1)
		put_text(d, "Votes:", text.data);
	if (wrong)
		put_text(d, "Doubtful:",
			 wrong == 1 ? "the control statement was judged wrongly once"
				    : "the control statement was judged wrongly more than once");
}

static void put_rubric(struct doc *d, const json_t *one, const json_t *rubric)
{
	const json_t *cut = json_object_get(rubric, "cut"), *line;
	size_t i;

	doc_heading(d, 3);
	doc_text(d, json_get_str(one, "rubric_id", ""));
	doc_words(d, " %s", status_of(json_object_get(one, "score")));
	put_text(d, "Reasoning:", json_get_str(one, "reasoning", ""));
	put_text(d, "Evidence:", json_get_str(one, "evidence", ""));
	put_text(d, "Suggestions:", json_get_str(one, "suggestions", ""));
	put_votes(d, rubric);
	json_array_foreach (cut, i, line)
		put_text(d,
			 "Not shown whole:", json_is_string(line) ? json_string_value(line) : "");
}

void trial_report_judge_details(struct doc *d, const json_t *evaluation)
{
	const json_t *list = rubric_scores(evaluation),
		     *judge = json_object_get(evaluation, "judge");
	const json_t *one;
	size_t i;

	doc_paragraph(d);
	if (!json_array_size(list)) {
		doc_words(d, "Not judged.");
		return;
	}
	doc_words(d, "Judged by ");
	doc_text(d, json_get_str(judge, "model", ""));
	doc_words(d, ", prompt %.8s.", json_get_str(judge, "prompt", ""));
	json_array_foreach (list, i, one)
		put_rubric(d, one, judged(evaluation, json_get_str(one, "rubric_id", "")));
}
