/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/summary-json.h"
#include <math.h>
#include <string.h>
#include "analysis/measures.h"
#include "base/cleanup.h"
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

static void put_tally(json_t *j, const struct tally *t)
{
	json_put_int(j, "planned", (int64_t)t->planned);
	json_put_int(j, "scored", (int64_t)t->scored);
	json_put_int(j, "unscored", (int64_t)t->unscored);
	json_put_int(j, "missing", (int64_t)t->missing);
	json_put_int(j, "replaced", (int64_t)t->replaced);
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

static json_t *group_json(const struct summary *s, const struct summary_group *g)
{
	static const char *const levels[] = {"model", "condition", "overall"};
	json_t *j = json_object();

	json_put_str(j, "level", levels[g->level]);
	json_put_str(j, "model", g->of.model);
	json_put_str(j, "label", g->of.label);
	json_put_str(j, "agent", g->of.agent);
	json_put(j, "answered_by", summary_answered_by(s, g));
	json_put_real(j, "mean", g->mean.mean);
	json_put(j, "interval",
		 interval_json(&g->mean, s->level, g->over_rollouts ? "rollouts" : "tasks"));
	json_put_int(j, "tasks", (int64_t)g->tasks);
	json_put_int(j, "rollouts_min", (int64_t)g->rollouts_min);
	json_put_int(j, "rollouts_max", (int64_t)g->rollouts_max);
	put_tally(j, &g->tally);
	json_put_real(j, "first_tries", g->first_tries);
	json_put_real(j, "if_missing_0", g->worst);
	json_put_real(j, "if_missing_1", g->best);
	put_known(j, "tokens", g->tokens);
	put_known(j, "tool_calls", g->tools);
	json_put(j, "metrics", measures_json(s, g, NULL));
	json_put_real(j, "money_usd", g->money_usd < 0 || g->unpriced ? NAN : g->money_usd);
	return j;
}

static json_t *cell_json(const struct summary *s, const struct summary_cell *cell)
{
	const struct summary_condition *c = &s->conditions[cell->condition];
	json_t *j = json_object();

	json_put_str(j, "task", summary_task_name(s, &s->rows[cell->first]));
	json_put_str(j, "model", c->model);
	json_put_str(j, "label", c->label);
	json_put_str(j, "agent", c->agent);
	json_put_real(j, "mean", cell->over_rollouts.mean);
	json_put_real(j, "max", cell->tally.scored ? cell->max : NAN);
	json_put(j, "interval", interval_json(&cell->over_rollouts, s->level, "rollouts"));
	put_tally(j, &cell->tally);
	json_put(j, "metrics", measures_json(s, NULL, cell));
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

void summary_json(struct buf *out, const struct summary *s, const struct rollout *r)
{
	AUTO(json) json_t *j = json_object();
	json_t *groups = json_array(), *tasks = json_array();
	AUTO(table) struct table failures = {0};

	json_put_str(j, "name", r->ref.name);
	json_put_str(j, "stamp", r->ref.stamp);
	json_put_str(j, "config", r->config);
	json_put_str(j, "state", rollout_state(r));
	json_put_strv(j, "tags", &r->tags);
	put_tally(j, &summary_all(s)->tally);
	json_put(j, "missing_by_outcome", missing_json(s));
	for (size_t i = 0; i < s->groups_n; i++)
		json_array_append_new(groups, group_json(s, &s->groups[i]));
	json_put(j, "aggregates", groups);
	for (size_t i = 0; i < s->cells_n; i++)
		json_array_append_new(tasks, cell_json(s, &s->cells[i]));
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
