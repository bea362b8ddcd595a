/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/summary-json.h"
#include <math.h>
#include <string.h>
#include "analysis/measures.h"
#include "base/cleanup.h"
#include "analysis/judges.h"
#include "base/json.h"
#include "report/tables.h"

static json_t *interval_json(const struct stats_mean *m, double level, const char *over)
{
	if (m->method == STATS_NONE)
		return json_null();
	json_t *j = json_object();
	json_put_real(j, "low", m->low);
	json_put_real(j, "high", m->high);
	json_put_real(j, "level", level);
	json_put_str(j, "method", stats_method_name(m->method));
	json_put_str(j, "over", over);
	return j;
}

static json_t *pass_json(const struct stats_mean *m, double level)
{
	json_t *j = json_object();

	json_put_real(j, "mean", m->mean);
	json_put(j, "interval", interval_json(m, level, "tasks"));
	return j;
}

static void put_tally(json_t *j, const struct tally *t)
{
	json_put_int(j, "planned", (int64_t)t->planned);
	json_put_int(j, "scored", (int64_t)t->scored);
	json_put_int(j, "unscored", (int64_t)t->unscored);
	json_put_int(j, "missing", (int64_t)t->missing);
	json_put_int(j, "replaced", (int64_t)t->replaced);
	json_put_int(j, "suspect", (int64_t)t->suspect);
}

static void put_known(json_t *j, const char *key, int64_t value)
{
	if (value < 0)
		json_put_str(j, key, NULL);
	else
		json_put_int(j, key, value);
}

static json_t *measure_json(const struct measure_mean *m)
{
	json_t *j = json_object();

	json_put_real(j, "mean", m->mean);
	json_put_real(j, "low", m->low);
	json_put_real(j, "high", m->high);
	json_put_int(j, "trials", (int64_t)m->trials);
	json_put_bool(j, "self_reported", m->self_reported);
	return j;
}

/* What the tests wrote: name -> mean, of G or else of CELL. */
static json_t *measures_json(const struct summary *s, const struct summary_group *g,
			     const struct summary_cell *cell)
{
	AUTO(free) const char **names = NULL;
	size_t n = 0;
	json_t *j = json_object();

	measures_custom(s, &names, &n);
	for (size_t i = 0; i < n; i++) {
		struct measure_mean m =
			g ? measure_group(s, g, names[i]) : measure_cell(s, cell, names[i]);
		if (m.trials)
			json_put(j, names[i], measure_json(&m));
	}
	return j;
}

static void put_solved(json_t *j, const struct summary *s, const struct summary_group *g)
{
	json_t *at = json_object(), *hat = json_object();
	double level = s->options.level;

	json_put_int(j, "solved", (int64_t)g->solved);
	json_put_int(j, "tasks_never_solved", (int64_t)g->never);
	json_put_int(j, "tasks_sometimes_solved", (int64_t)g->sometimes);
	json_put_int(j, "tasks_always_solved", (int64_t)g->always);
	for (size_t i = 0; i < g->passes_n; i++) {
		const struct summary_pass *p = &g->passes[i];
		char k[24];
		snprintf(k, sizeof k, "%zu", p->k);
		json_put(at, k, pass_json(&p->at, level));
		json_put(hat, k, pass_json(&p->hat, level));
	}
	json_put(j, "pass_at", at);
	json_put(j, "pass_hat", hat);
	json_put_real(j, "usd_per_solved",
		      g->money_usd < 0 || g->unpriced || !g->solved
			      ? NAN
			      : g->money_usd / (double)g->solved);
}

static json_t *states_json(const struct summary_group *g)
{
	json_t *j = json_object();

	for (int i = 0; i < STATE_COUNT_; i++)
		if (g->states[i])
			json_put_int(j, summary_state_name(i), (int64_t)g->states[i]);
	return j;
}

static json_t *group_json(const struct summary *s, const struct summary_group *g)
{
	static const char *const levels[] = {"model", "condition", "overall", "by"};
	json_t *j = json_object();

	json_put_str(j, "level", levels[g->level]);
	for (size_t i = 0; i < s->options.by_n; i++)
		json_put_str(j, summary_by_name(s->options.by[i]), g->by[i]);
	if (g->level != GROUP_BY) {
		json_put_str(j, "model", g->of.model);
		json_put_str(j, "label", g->of.label);
		json_put_str(j, "agent", g->of.agent);
	}
	json_put(j, "answered_by", summary_answered_by(s, g));
	json_put_real(j, "mean", g->mean.mean);
	json_put(
		j, "interval",
		interval_json(&g->mean, s->options.level, g->over_rollouts ? "rollouts" : "tasks"));
	json_put_int(j, "tasks", (int64_t)g->tasks);
	json_put_int(j, "rollouts_min", (int64_t)g->rollouts_min);
	json_put_int(j, "rollouts_max", (int64_t)g->rollouts_max);
	put_tally(j, &g->tally);
	json_put_real(j, "first_tries", g->first_tries);
	json_put_real(j, "mean_without_suspects", g->without_suspects);
	json_put_real(j, "if_missing_0", g->worst);
	json_put_real(j, "if_missing_1", g->best);
	put_known(j, "tokens", g->tokens);
	put_known(j, "tool_calls", g->tools);
	json_put(j, "metrics", measures_json(s, g, NULL));
	json_put_real(j, "money_usd", g->money_usd < 0 || g->unpriced ? NAN : g->money_usd);
	json_put_real(j, "machine_seconds", g->machine_sec < 0 ? NAN : g->machine_sec);
	json_put_real(j, "machine_usd", g->machine_usd < 0 ? NAN : g->machine_usd);
	put_solved(j, s, g);
	put_known(j, "time_median_ms", g->wall_median_ms);
	put_known(j, "time_p90_ms", g->wall_p90_ms);
	json_put(j, "outcomes", states_json(g));
	json_put_real(j, "with_excluded", g->with_excluded);
	return j;
}

static json_t *cell_json(const struct summary *s, const struct summary_cell *cell)
{
	const struct summary_condition *c = &s->conditions[cell->condition];
	const struct stats_mean mean = summary_cell_mean(s, cell);
	json_t *j = json_object();

	json_put_str(j, "task", summary_task_name(s, &s->rows[cell->first]));
	json_put_str(j, "model", c->model);
	json_put_str(j, "label", c->label);
	json_put_str(j, "agent", c->agent);
	json_put_real(j, "mean", mean.mean);
	json_put_real(j, "max", cell->tally.scored ? cell->max : NAN);
	json_put(j, "interval", interval_json(&mean, s->options.level, "rollouts"));
	put_tally(j, &cell->tally);
	json_put(j, "metrics", measures_json(s, NULL, cell));
	json_t *scores = json_array();
	for (size_t i = 0; i < cell->tally.planned; i++) {
		const struct summary_row *row = &s->rows[cell->first + i];
		json_array_append_new(scores, row->standing == STANDING_SCORED
						      ? json_real(row->status->result.total_score)
						      : json_null());
	}
	json_put(j, "scores", scores);
	return j;
}

static json_t *missing_json(const struct summary *s)
{
	json_t *j = json_object();

	for (size_t i = 0; i < s->missing.n; i++)
		json_put_int(j, s->missing.outcome[i], (int64_t)s->missing.count[i]);
	return j;
}

/* A tree of 50,000 trials would take 100 MB: their lines are written one by one. */
static void add_trials(struct buf *out, const struct summary *s)
{
	AUTO(table) struct table trials = {0};

	tables_trials(&trials, s, true);
	for (size_t i = 0; i < table_rows(&trials); i++) {
		AUTO(json) json_t *row = table_row_json(&trials, i);
		buf_adds(out, i ? ",\n    " : "\n    ");
		json_format(out, row, false);
	}
	buf_adds(out, table_rows(&trials) ? "\n  " : "");
}

static json_t *parts_json(const struct rollout *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->parts_n; i++)
		json_array_append_new(all, json_string(r->parts[i].ref.stamp));
	return all;
}

static json_t *corrected_json(const struct judges *all, const struct rollout *r)
{
	const struct judges_corrected c = judges_correct(all, r, SUMMARY_LEVEL);
	json_t *j = c.known ? json_object() : json_null();

	if (!c.known)
		return j;
	json_put_real(j, "sensitivity", c.sensitivity);
	json_put_real(j, "specificity", c.specificity);
	json_put_real(j, "examples", c.examples);
	json_put_real(j, "met", c.theta);
	json_put_real(j, "low", c.low);
	json_put_real(j, "high", c.high);
	return j;
}

static json_t *judges_json(const struct rollout *r)
{
	AUTO(judges) struct judges all = {0};
	json_t *list = json_array(), *rubrics = json_object(), *j = json_object();

	judges_make(&all, r);
	for (size_t i = 0; i < all.ways_n; i++) {
		json_t *way = json_object();
		json_put_str(way, "model", all.ways[i].model);
		json_put_str(way, "prompt", all.ways[i].prompt);
		json_put_int(way, "trials", (int64_t)all.ways[i].trials);
		json_array_append_new(list, way);
	}
	for (size_t i = 0; i < all.rubrics_n; i++) {
		json_t *one = json_object();
		json_put_int(one, "trials", (int64_t)all.rubrics[i].trials);
		json_put_real(one, "alpha", all.rubrics[i].alpha);
		json_put_real(one, "spread", all.rubrics[i].spread);
		json_put(rubrics, all.rubrics[i].id, one);
	}
	json_put(j, "ways", list);
	json_put_real(j, "alpha", all.alpha);
	json_put_real(j, "se", all.se);
	json_put(j, "rubrics", rubrics);
	json_put_int(j, "judged", (int64_t)all.judged);
	json_put_int(j, "met", (int64_t)all.met);
	json_put(j, "corrected", corrected_json(&all, r));
	return j;
}

static json_t *excluded_json(const struct summary *s)
{
	json_t *all = json_array();

	for (size_t i = 0; i < s->rows_n; i++) {
		const struct exclusion *e = trial_excluded(s->rows[i].status);
		if (!e)
			continue;
		json_t *j = json_object();
		json_put_str(j, "run", e->run_id);
		json_put_str(j, "reason", e->reason);
		json_put_str(j, "by", e->by);
		json_put_str(j, "time", e->time);
		json_array_append_new(all, j);
	}
	return all;
}

/* How many trials ran in which. */
static json_t *sandboxes_json(const struct rollout *r)
{
	json_t *j = json_object();

	for (size_t i = 0; i < r->trials_n; i++) {
		const char *kind = sandbox_kind_name(r->trials[i].shared->setting->sandbox);
		json_put_int(j, kind, json_get_int(j, kind, 0) + 1);
	}
	return j;
}

void summary_json(struct buf *out, const struct summary *s, const struct rollout *r)
{
	AUTO(json) json_t *j = json_object();
	json_t *groups = json_array(), *tasks = json_array();
	AUTO(table) struct table failures = {0};

	json_put_int(j, "v", 1);
	json_put_str(j, "name", r->ref.name);
	json_put_str(j, "stamp", r->ref.stamp);
	json_put_str(j, "config", r->config);
	json_put_str(j, "state", rollout_state(r));
	json_put_strv(j, "tags", &r->tags);
	json_put_str(j, "title", json_get_str(r->notes, "title", NULL));
	json_t *notes = json_object_get(r->notes, "tags");
	json_put(j, "notes", notes ? json_incref(notes) : json_object());
	json_put_bool(j, "so_far", r->live);
	json_put_str(j, "question", summary_question_name(s->options.question));
	json_put_int(j, "clusters", (int64_t)(s->clusters.of ? s->clusters.n : 0));
	json_put(j, "pooled", r->parts_n ? parts_json(r) : json_null());
	json_put_real(j, "spent_usd", r->cost.calls && !r->cost.unpriced_calls ? r->cost.usd : NAN);
	json_put(j, "judges", judges_json(r));
	json_put(j, "excluded", excluded_json(s));
	json_put_int(j, "disturbed", (int64_t)rollout_count_disturbed(r));
	json_put(j, "sandboxes", sandboxes_json(r));
	put_tally(j, &summary_all(s)->tally);
	json_put(j, "missing_by_outcome", missing_json(s));
	for (size_t i = 0; i < s->groups_n; i++)
		json_array_append_new(groups, group_json(s, &s->groups[i]));
	json_put(j, "aggregates", groups);
	for (size_t i = 0; i < s->shown_n; i++)
		json_array_append_new(tasks, cell_json(s, &s->cells[s->shown[i]]));
	json_put(j, "tasks", tasks);
	tables_failures(&failures, s);
	json_put(j, "failures", table_json(&failures));
	json_put_int(j, "damaged_lines", r->damaged_lines);
	json_put_int(j, "stranger_runs", (int64_t)r->strangers);
	json_format(out, j, true);
	out->len -= strlen("\n}");
	buf_adds(out, ",\n  \"trials\": [");
	add_trials(out, s);
	buf_adds(out, "]\n}\n");
}
