/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/export.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/datadir.h"
#include "report/doc.h"
#include "report/number.h"

int export_format_parse(const char *word, enum export_format *out, struct err *err)
{
	static const char *const names[] = {"csv", "jsonl", "parquet-jsonl", "junit"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!word || strcmp(word, names[i]) != 0)
			continue;
		*out = (enum export_format)i;
		return 0;
	}
	return err_set(err, ERR_USAGE, 0,
		       "--format %s: one of csv, jsonl, parquet-jsonl, junit, predictions, "
		       "leaderboard, messages",
		       word ? word : "is needed");
}

static void put_text(json_t *j, const char *key, const char *value)
{
	json_put_str(j, key, value && *value ? value : NULL);
}

static void put_count(json_t *j, const char *key, bool known, int64_t value)
{
	if (known && value >= 0)
		json_put_int(j, key, value);
	else
		json_put_str(j, key, NULL);
}

static void put_trial(json_t *j, const struct rollout *r, const struct trial_status *status)
{
	const struct trial *t = status->shared->setting;
	const struct trial_shared *of = status->shared;
	const char *run_id = RUN_ID(status);
	AUTO(free) char *dir = xasprintf("%s/" DATA_RUNS "/%s", r->root, run_id);
	/* Of several rollouts read as one, each trial's own is in its id. */
	const char *dash = strrchr(run_id, '-');
	AUTO(free)
	char *stamp = xstrndup(run_id, dash ? (size_t)(dash - run_id) : strlen(run_id));

	json_put_str(j, "benchmark", r->ref.name);
	json_put_str(j, "stamp", r->parts_n ? stamp : r->ref.stamp);
	json_put_str(j, "run_id", run_id);
	json_put_str(j, "run_dir", dir);
	json_put_str(j, "task", of->task_id);
	json_put_str(j, "task_dir", of->task_dir);
	put_text(j, "task_hash", of->task_hash);
	put_text(j, "repository", of->repository);
	put_text(j, "cluster", of->cluster);
	put_text(j, "model", t->model);
	put_text(j, "model_id", t->model_id);
	put_text(j, "provider", t->provider);
	put_text(j, "agent", t->agent);
	put_text(j, "label", t->variant);
	json_put_int(j, "rollout", status->rollout);
	put_count(j, "seed", true, trial_seed(status));
	json_put_str(j, "sandbox", sandbox_kind_name(t->sandbox));
}

static void put_result(json_t *j, const struct trial_status *t)
{
	const struct trial_result *x = &t->result;
	bool has = t->has_result;

	put_text(j, "graded_hash", trial_graded_hash(t));
	put_text(j, "model_served", has ? x->origin->served : NULL);
	put_text(j, "agent_version", has ? x->origin->agent_version : NULL);
	put_text(j, "judge_model", has ? x->origin->judge_model : NULL);
	put_text(j, "image_id", has ? x->origin->image_id : NULL);
	put_text(j, "program", has ? x->origin->program : NULL);
	put_text(j, "reason", has ? x->reason : NULL);
	json_put_real(j, "score", has && x->scored ? x->total_score : NAN);
	json_put_real(j, "judge_score",
		      has && x->more->judge_score >= 0 ? x->more->judge_score : NAN);
	json_put_bool(j, "replaced", has && x->replaced);
	json_put_real(j, "first_score",
		      has && x->replaced && x->first_scored ? x->more->first_score : NAN);
	put_count(j, "tokens", has, x->tokens);
	put_count(j, "tool_calls", has, x->tool_calls);
	put_count(j, "calls", has, x->calls);
	json_put_real(j, "cost_usd", has && x->money_usd >= 0 ? x->money_usd : NAN);
	json_put_real(j, "time_s", has && x->wall_ms >= 0 ? (double)x->wall_ms / 1000 : NAN);
}

static json_t *metrics_of(const struct trial_result *x)
{
	json_t *j = json_object();

	for (size_t i = 0; i < x->more->custom_n; i++)
		json_put_real(j, x->more->custom[i].name, x->more->custom[i].value);
	return j;
}

static const char *standing_name(enum standing s)
{
	static const char *const names[] = {"scored", "unscored", "missing"};

	return names[s];
}

static json_t *row_json(const struct rollout *r, const struct summary_row *row)
{
	const struct trial_status *t = row->status;
	json_t *j = json_object();

	put_trial(j, r, t);
	json_put_int(j, "attempts", t->attempts);
	json_put_str(j, "standing", standing_name(row->standing));
	json_put_str(j, "outcome", summary_state_name(row->state));
	put_text(j, "excluded", trial_excluded(t) ? trial_excluded(t)->reason : NULL);
	put_result(j, t);
	json_put_strv(j, "tags", &t->shared->tags);
	json_put(j, "metrics", metrics_of(&t->result));
	return j;
}

static void put_json(struct buf *out, const json_t *value)
{
	const char *key, *sep = "";
	json_t *item;
	size_t i;

	if (json_is_real(value)) {
		number_exact(out, json_real_value(value));
		return;
	}
	if (!json_is_object(value) && !json_is_array(value)) {
		AUTO(json) json_t *alone = json_pack("[O]", value);
		AUTO(buf) struct buf text = BUF_INIT;
		json_format(&text, alone, false);
		buf_add(out, text.data + 1, text.len - 2);
		return;
	}
	buf_addc(out, json_is_object(value) ? '{' : '[');
	json_object_foreach ((json_t *)value, key, item) {
		AUTO(json) json_t *name = json_string(key);
		buf_adds(out, sep);
		put_json(out, name);
		buf_addc(out, ':');
		put_json(out, item);
		sep = ",";
	}
	json_array_foreach (value, i, item) {
		buf_adds(out, i ? "," : "");
		put_json(out, item);
	}
	buf_addc(out, json_is_object(value) ? '}' : ']');
}

/* Lists and objects as their JSON, so that a column has one plain type. */
static void flatten(json_t *row)
{
	static const char *const nested[] = {"tags", "metrics"};

	for (size_t i = 0; i < ARRAY_SIZE(nested); i++) {
		AUTO(buf) struct buf text = BUF_INIT;
		put_json(&text, json_object_get(row, nested[i]));
		json_put_str(row, nested[i], text.data);
	}
}

static void csv_text(struct buf *out, const char *text)
{
	if (!text[strcspn(text, ",\"\r\n")]) {
		buf_adds(out, text);
		return;
	}
	buf_addc(out, '"');
	for (; *text; text++) {
		if (*text == '"')
			buf_addc(out, '"');
		buf_addc(out, *text);
	}
	buf_addc(out, '"');
}

static void csv_value(struct buf *out, const json_t *value)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (json_is_null(value))
		return;
	if (!json_is_string(value))
		put_json(&text, value);
	csv_text(out, json_is_string(value) ? json_string_value(value) : text.data);
}

static void csv_line(struct buf *out, json_t *row, bool names)
{
	const char *key, *sep = "";
	json_t *value;

	json_object_foreach (row, key, value) {
		buf_adds(out, sep);
		sep = ",";
		if (names)
			buf_adds(out, key);
		else
			csv_value(out, value);
	}
	buf_adds(out, "\r\n");
}

static void attribute(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, " %s=\"", name);
	doc_html_text(out, value);
	buf_addc(out, '"');
}

static void junit_case(struct buf *out, const struct summary *s, const struct summary_row *row)
{
	const struct trial_result *x = &row->status->result;
	const char *reason =
		row->status->has_result && *x->reason ? x->reason : summary_state_name(row->state);
	char score[32];

	buf_adds(out, "    <testcase");
	attribute(out, "classname", summary_task_name(s, row));
	attribute(out, "name", RUN_ID(row->status));
	if (row->status->has_result && x->wall_ms >= 0)
		buf_addf(out, " time=\"%.3f\"", (double)x->wall_ms / 1000);
	buf_adds(out, ">");
	if (row->standing == STANDING_SCORED && x->total_score < 1) {
		snprintf(score, sizeof score, "score %.15g", x->total_score);
		buf_adds(out, "<failure");
		attribute(out, "message", score);
		buf_adds(out, ">");
		doc_html_text(out, reason);
		buf_adds(out, "</failure>");
	} else if (row->standing != STANDING_SCORED) {
		bool error = row->state == OUTCOME_INFRA_ERROR;
		buf_adds(out, error ? "<error" : "<skipped");
		attribute(out, "message", reason);
		buf_adds(out, "/>");
	}
	if (x->replaced && row->standing == STANDING_SCORED) {
		buf_adds(out, "<system-out>rerun because of its outcome; first try: ");
		buf_adds(out, x->first_scored
				      ? number_score((char[NUMBER_TEXT]){0}, x->more->first_score)
				      : "not scored");
		buf_adds(out, "</system-out>");
	}
	buf_adds(out, "</testcase>\n");
}

static void junit_suite(struct buf *out, const struct summary *s, size_t group)
{
	const struct summary_group *g = &s->groups[group];
	size_t failures = g->tally.scored, errors = g->states[OUTCOME_INFRA_ERROR];

	for (size_t i = 0; i < s->rows_n; i++)
		failures -= summary_group_holds(s, g, &s->rows[i]) &&
			    s->rows[i].standing == STANDING_SCORED &&
			    s->rows[i].status->result.total_score >= 1;
	buf_adds(out, "  <testsuite");
	attribute(out, "name", *g->of.model ? g->of.model : "(no model)");
	buf_addf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\">\n",
		 g->tally.planned, failures, errors, g->tally.planned - g->tally.scored - errors);
	for (size_t i = 0; i < s->rows_n; i++)
		if (summary_group_holds(s, g, &s->rows[i]))
			junit_case(out, s, &s->rows[i]);
	buf_adds(out, "  </testsuite>\n");
}

static void junit(struct buf *out, const struct summary *s, const struct rollout *r)
{
	buf_adds(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
	attribute(out, "name", r->ref.name);
	buf_adds(out, ">\n");
	for (size_t i = 0; i < s->groups_n; i++)
		if (s->groups[i].level == GROUP_MODEL)
			junit_suite(out, s, i);
	buf_adds(out, "</testsuites>\n");
}

void export_trials(struct buf *out, const struct summary *s, const struct rollout *r,
		   enum export_format format)
{
	if (format == EXPORT_JUNIT) {
		junit(out, s, r);
		return;
	}
	for (size_t i = 0; i < s->rows_n; i++) {
		AUTO(json) json_t *row = row_json(r, &s->rows[i]);
		if (format != EXPORT_JSONL)
			flatten(row);
		if (format == EXPORT_CSV && !i)
			csv_line(out, row, true);
		if (format == EXPORT_CSV) {
			csv_line(out, row, false);
			continue;
		}
		put_json(out, row);
		buf_addc(out, '\n');
	}
}
