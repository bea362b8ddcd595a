/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "analysis/summary.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "report/report.h"
#include "report/table.h"

#define near(a, b) assert_true(fabs((a) - (b)) < 1e-9)

/* One trial in words; score < 0: none. */
struct made {
	const char *task, *model, *label;
	int rollout;
	enum trial_state state;
	bool has_result;
	enum outcome outcome;
	double score;
	const char *reason;
};

#define SCORED(task, model, rollout, score)                                                        \
	{                                                                                          \
		task, model, "", rollout, TRIAL_FINISHED, true, OUTCOME_COMPLETED, score, ""       \
	}

static void make(struct rollout *r, const struct made *m, size_t n)
{
	*r = (struct rollout){.root = (char *)"data",
			      .ref = {(char *)"bench", (char *)"20250824__12-34-56",
				      (char *)"rollouts/bench/20250824__12-34-56"},
			      .config = (char *)"b.toml",
			      .trials = xcalloc(n, sizeof *r->trials),
			      .trials_n = n};
	for (size_t i = 0; i < n; i++) {
		struct trial_status *t = &r->trials[i];
		struct trial_shared *shared = xcalloc(1, sizeof *shared);
		struct trial *of = xcalloc(1, sizeof *of);
		*shared = (struct trial_shared){.setting = of,
						.stem = "20250824__12-34-56",
						.seed = TRIAL_NO_SEED,
						.task_dir = m[i].task,
						.task_id = m[i].task,
						.task_hash = "",
						.planned_hash = "",
						.task_snapshot = "",
						.repository = "",
						.cluster = "",
						.image = "",
						.image_id = ""};
		of->model = (char *)m[i].model;
		of->variant = (char *)m[i].label;
		of->agent = (char *)"bash";
		t->shared = shared;
		t->number = (uint32_t)i;
		t->rollout = m[i].rollout;
		t->state = m[i].state;
		t->has_result = m[i].has_result;
		t->result = (struct trial_result){.origin = &result_no_origin,
						  .more = &result_no_more,
						  .tokens = -1,
						  .tool_calls = -1,
						  .calls = -1,
						  .money_usd = -1};
		t->result.outcome = m[i].outcome;
		t->result.scored = m[i].score >= 0;
		t->result.total_score = m[i].score >= 0 ? m[i].score : 0;
		t->result.reason = m[i].reason;
	}
}

static void sum_up(struct summary *s, const struct rollout *r)
{
	summary_make(s, &r, 1, &SUMMARY_DEFAULT);
}

static void drop(struct rollout *r)
{
	for (size_t i = 0; i < r->trials_n; i++) {
		free((void *)r->trials[i].shared->setting);
		free((void *)r->trials[i].shared);
	}
	free(r->trials);
}

static void means_are_over_task_means(void **state)
{
	/* Task a has more rollouts than b: rows are not independent. */
	const struct made m[] = {
		SCORED("a", "m", 0, 1),	 SCORED("a", "m", 1, 1),   SCORED("a", "m", 2, .5),
		SCORED("a", "m", 3, .5), SCORED("b", "m", 0, .25),
	};
	struct rollout r;
	struct summary s;

	make(&r, m, ARRAY_SIZE(m));
	sum_up(&s, &r);
	const struct summary_group *g = summary_all(&s);
	near(g->mean.mean, .5);
	assert_int_equal(g->mean.n, 2);
	assert_int_equal(g->mean.method, STATS_WILSON);
	assert_false(g->over_rollouts);
	assert_int_equal(g->rollouts_min, 1);
	assert_int_equal(g->rollouts_max, 4);
	assert_int_equal(s.cells_n, 2);
	near(summary_cell_mean(&s, &s.cells[0]).mean, .75);
	near(s.cells[0].max, 1);
	summary_release(&s);
	drop(&r);
}

static void render(struct buf *out, const struct rollout *r, const struct report_form *form)
{
	AUTO(summary) struct summary s;

	summary_make(&s, &r, 1, &SUMMARY_DEFAULT);
	report_summary(out, &s, r, form);
}

static void headline(struct buf *out, const struct rollout *r)
{
	AUTO(summary) struct summary s;
	AUTO(strv) struct strv lines = STRV_INIT;

	summary_make(&s, &r, 1, &SUMMARY_DEFAULT);
	report_headlines(&lines, &s);
	assert_int_equal(lines.n, 1);
	buf_adds(out, lines.v[0]);
}

static void missing_is_no_zero(void **state)
{
	const struct made m[] = {
		SCORED("a", "m", 0, .75),
		{"a", "m", "", 1, TRIAL_FINISHED, true, OUTCOME_INFRA_ERROR, -1, "no space"},
		SCORED("b", "m", 0, .25),
		{"b", "m", "", 1, TRIAL_PLANNED, false, 0, -1, ""},
		{"c", "m", "", 0, TRIAL_FINISHED, true, OUTCOME_INFRA_ERROR, -1, "no space"},
		{"c", "m", "", 1, TRIAL_INTERRUPTED, false, 0, -1, ""},
	};
	struct rollout r;
	struct summary s;

	make(&r, m, ARRAY_SIZE(m));
	sum_up(&s, &r);
	const struct summary_group *g = summary_all(&s);
	near(g->mean.mean, .5);
	assert_int_equal(g->tasks, 2);
	assert_int_equal(g->tally.planned, 6);
	assert_int_equal(g->tally.scored, 2);
	assert_int_equal(g->tally.missing, 4);
	near(g->worst, (.375 + .125 + 0) / 3);
	near(g->best, (.875 + .625 + 1) / 3);
	assert_int_equal(s.failures_n, 1);
	assert_int_equal(s.failures[0].n, 2);
	assert_string_equal(RUN_ID(s.rows[s.failures[0].place].status), "20250824__12-34-56-1");
	summary_release(&s);

	AUTO(buf) struct buf out = BUF_INIT;
	render(&out, &r, &(struct report_form){.format = REPORT_TERMINAL, .width = 0});
	assert_non_null(
		strstr(out.data,
		       "6 planned: 2 scored, 4 missing (2 infra_error, 1 not run, 1 interrupted)"));
	assert_non_null(strstr(out.data, "0.167–0.833"));
	assert_non_null(strstr(out.data, "rollouts resume bench"));
	assert_string_equal(rollout_state(&r), "interrupted");
	drop(&r);
}

static void ungraded_is_neither_missing_nor_scored(void **state)
{
	const struct made m[] = {
		SCORED("a", "m", 0, 1),
		{"b", "m", "", 0, TRIAL_FINISHED, true, OUTCOME_COMPLETED, -1, ""},
	};
	struct rollout r;
	struct summary s;

	make(&r, m, ARRAY_SIZE(m));
	sum_up(&s, &r);
	assert_int_equal(summary_all(&s)->tally.unscored, 1);
	assert_int_equal(summary_all(&s)->tally.missing, 0);
	near(summary_all(&s)->mean.mean, 1);
	near(summary_all(&s)->worst, 1);
	assert_string_equal(rollout_state(&r), "complete");
	summary_release(&s);
	drop(&r);
}

static void one_task_falls_back_to_rollouts(void **state)
{
	const struct made one[] = {SCORED("a", "m", 0, .25), SCORED("a", "m", 1, .75)};
	const struct made two[] = {SCORED("a", "m", 0, .25), SCORED("a", "n", 0, .75)};
	struct rollout r;
	struct summary s;

	make(&r, one, 2);
	sum_up(&s, &r);
	assert_true(summary_all(&s)->over_rollouts);
	assert_int_equal(summary_all(&s)->mean.method, STATS_WILSON);
	summary_release(&s);
	drop(&r);

	make(&r, two, 2);
	sum_up(&s, &r);
	near(summary_all(&s)->mean.mean, .5);
	assert_int_equal(summary_all(&s)->mean.method, STATS_NONE);
	assert_int_equal(s.groups_n, 3);
	summary_release(&s);
	drop(&r);
}

/* The same task is one task, the same model two conditions: nothing is pooled across rollouts. */
static void rollouts_stay_apart_and_share_tasks(void **state)
{
	const struct made before[] = {SCORED("a", "m", 0, .25), SCORED("b", "m", 0, .75)};
	const struct made after[] = {SCORED("b", "m", 0, 1), SCORED("a", "m", 0, .5),
				     SCORED("c", "n", 0, 0)};
	struct rollout r[2];
	struct summary s;

	make(&r[0], before, 2);
	make(&r[1], after, 3);
	summary_make(&s, (const struct rollout *const[]){&r[0], &r[1]}, 2,
		     &(struct summary_options){.level = .9});
	assert_int_equal(s.tasks_n, 3);
	assert_int_equal(s.models_n, 2);
	assert_int_equal(s.conditions_n, 3);
	assert_int_equal(s.cells_n, 5);
	assert_int_equal(s.groups_n, 4);
	assert_ptr_equal(s.groups[0].of.rollout, &r[0]);
	near(s.groups[0].mean.mean, .5);
	assert_ptr_equal(s.groups[1].of.rollout, &r[1]);
	near(s.groups[1].mean.mean, .75);
	/* Wilson's interval of 90 %, each on two tasks. */
	near(s.groups[1].mean.high, 0.964682851348);
	near(s.groups[0].mean.low, 0.120866319422);
	assert_string_equal(s.groups[2].of.model, "n");
	assert_int_equal(summary_all(&s)->tasks, 3);
	assert_ptr_equal(s.conditions[s.cells[0].condition].rollout, &r[0]);
	assert_ptr_equal(s.conditions[s.cells[1].condition].rollout, &r[1]);
	summary_release(&s);
	drop(&r[0]);
	drop(&r[1]);
}

static void a_sweep_shows_its_labels(void **state)
{
	const struct made m[] = {
		{"a", "m", "TIMEOUT_SEC=1800", 0, TRIAL_FINISHED, true, OUTCOME_COMPLETED, .5, ""},
		{"a", "m", "TIMEOUT_SEC=3600", 0, TRIAL_FINISHED, true, OUTCOME_TIMEOUT, 1, "over"},
	};
	struct rollout r;
	AUTO(buf) struct buf out = BUF_INIT;

	make(&r, m, 2);
	render(&out, &r, &(struct report_form){.format = REPORT_MARKDOWN, .all_trials = true});
	assert_non_null(strstr(out.data,
			       "| task | run | unit | lm | tokens | tools | label | outcome |\n"));
	assert_non_null(strstr(out.data, "TIMEOUT\\_SEC=3600 | timeout |"));
	assert_non_null(strstr(out.data, "| m | TIMEOUT\\_SEC=1800 | 0.500 |"));
	drop(&r);
}

static void json_keeps_everything(void **state)
{
	const struct made m[] = {
		SCORED("a", "m", 0, .5),
		{"b", "m", "", 0, TRIAL_FINISHED, true, OUTCOME_CANCELLED, -1, "stopped"},
	};
	struct rollout r;
	struct err err;
	AUTO(buf) struct buf out = BUF_INIT;
	AUTO(json) json_t *j = NULL;

	make(&r, m, 2);
	render(&out, &r, &(struct report_form){.format = REPORT_JSON, .width = 0});
	assert_int_equal(json_parse(&j, out.data, out.len, "summary", &err), 0);
	assert_int_equal(json_get_int(j, "scored", -1), 1);
	assert_int_equal(json_get_int(json_object_get(j, "missing_by_outcome"), "cancelled", -1),
			 1);
	const json_t *lost = json_array_get(json_object_get(j, "trials"), 1);
	assert_true(json_is_null(json_object_get(lost, "unit")));
	assert_string_equal(json_get_str(lost, "outcome", ""), "cancelled");
	assert_string_equal(json_get_str(lost, "reason", ""), "stopped");
	assert_int_equal(json_array_size(json_object_get(j, "aggregates")), 2);
	drop(&r);
}

static void text_of_others_is_harmless(void **state)
{
	const struct made m[] = {
		{"a\x1b[2J|x", "m", "", 0, TRIAL_FINISHED, true, OUTCOME_AGENT_ERROR, 0,
		 "<b>\x1b[31m\nred"},
	};
	const enum report_format formats[] = {REPORT_TERMINAL, REPORT_MARKDOWN, REPORT_HTML,
					      REPORT_CSV, REPORT_JSON};
	struct rollout r;

	make(&r, m, 1);
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		AUTO(buf) struct buf out = BUF_INIT;
		render(&out, &r, &(struct report_form){.format = formats[i], .width = 80});
		assert_null(strchr(out.data, '\x1b'));
		if (formats[i] != REPORT_CSV)
			assert_null(strstr(out.data, "\nred"));
		if (formats[i] == REPORT_MARKDOWN) {
			assert_null(strstr(out.data, "<b>"));
			assert_null(strstr(out.data, "J|x"));
		}
	}
	drop(&r);
}

static void nothing_planned_is_shown_as_such(void **state)
{
	struct rollout r;
	AUTO(buf) struct buf out = BUF_INIT, line = BUF_INIT;

	make(&r, NULL, 0);
	render(&out, &r, &(struct report_form){.format = REPORT_TERMINAL, .width = 80});
	assert_non_null(strstr(out.data, "0 planned: 0 scored, 0 missing"));
	headline(&line, &r);
	assert_string_equal(line.data, "score none, 0 of 0 missing");
	drop(&r);
}

static void a_headline_says_what_it_is_over(void **state)
{
	const struct made m[] = {
		SCORED("a", "m", 0, 1),
		SCORED("a", "m", 1, 0),
		SCORED("b", "m", 0, 1),
		{"b", "m", "", 1, TRIAL_PLANNED, false, 0, -1, ""},
	};
	struct rollout r;
	AUTO(buf) struct buf line = BUF_INIT;

	make(&r, m, ARRAY_SIZE(m));
	headline(&line, &r);
	assert_string_equal(line.data,
			    "score 0.750 [0.198, 0.973], 2 tasks × 1–2 rollouts, 1 of 4 missing");
	drop(&r);
}

static void a_table_fits_the_terminal(void **state)
{
	AUTO(table) struct table t = {0};
	AUTO(buf) struct buf out = BUF_INIT;

	table_column(&t, "task", TABLE_LEFT);
	table_column(&t, "run", TABLE_WHOLE);
	table_column(&t, "n", TABLE_RIGHT);
	table_text(&t, "päärynäpuutarha-日本語-and-more");
	table_text(&t, "20250824__12-34-56-0");
	table_int(&t, 7);
	table_terminal(&t, 40, &out);
	assert_string_equal(out.data, "task          | run                  | n\n"
				      "--------------+----------------------+--\n"
				      "päärynäpuuta… | 20250824__12-34-56-0 | 7\n");
}

static void wide_characters_count_twice(void **state)
{
	AUTO(table) struct table t = {0};
	AUTO(buf) struct buf out = BUF_INIT;

	assert_int_equal(table_text_width("日本", strlen("日本")), 4);
	assert_int_equal(table_text_width("ä–x", strlen("ä–x")), 3);
	table_column(&t, "a", TABLE_LEFT);
	table_column(&t, "b", TABLE_LEFT);
	table_text(&t, "日本");
	table_text(&t, "x");
	table_terminal(&t, 0, &out);
	assert_string_equal(out.data, "a    | b\n-----+--\n日本 | x\n");
}

static void csv_and_json_tell_missing_from_text(void **state)
{
	AUTO(table) struct table t = {0};
	AUTO(buf) struct buf out = BUF_INIT;

	table_column(&t, "a", TABLE_LEFT);
	table_column(&t, "b", TABLE_RIGHT);
	table_text(&t, "=1+1");
	table_missing(&t, "missing");
	table_text(&t, "");
	table_real(&t, .5, 3);
	table_csv(&t, false, &out);
	assert_string_equal(out.data, "\"a\",\"b\"\n\"=1+1\",\n\"\",0.5\n");
	AUTO(json) json_t *j = table_json(&t);
	assert_true(json_is_null(json_object_get(json_array_get(j, 0), "b")));
	near(json_get_real(json_array_get(j, 1), "b", 0), .5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(means_are_over_task_means),
		cmocka_unit_test(missing_is_no_zero),
		cmocka_unit_test(ungraded_is_neither_missing_nor_scored),
		cmocka_unit_test(one_task_falls_back_to_rollouts),
		cmocka_unit_test(rollouts_stay_apart_and_share_tasks),
		cmocka_unit_test(a_sweep_shows_its_labels),
		cmocka_unit_test(json_keeps_everything),
		cmocka_unit_test(text_of_others_is_harmless),
		cmocka_unit_test(nothing_planned_is_shown_as_such),
		cmocka_unit_test(a_headline_says_what_it_is_over),
		cmocka_unit_test(a_table_fits_the_terminal),
		cmocka_unit_test(wide_characters_count_twice),
		cmocka_unit_test(csv_and_json_tell_missing_from_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
