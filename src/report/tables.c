/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/tables.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "analysis/measures.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/datadir.h"
#include "core/metric.h"
#include "core/model-share.h"
#include "report/number.h"

#define DECIMALS 3
#define CENT 4	/* decimals of money */
#define MICRO 6 /* of one trial's */

static void add_count(struct table *t, int64_t n)
{
	if (n < 0)
		table_missing(t, NULL);
	else
		table_int(t, n);
}

static void add_name(struct table *t, const char *name)
{
	if (name && name[0])
		table_text(t, name);
	else
		table_missing(t, NULL);
}

static void name_columns(struct table *t, const struct summary *s, bool full)
{
	if (full || s->models_n > 1)
		table_column(t, "model", TABLE_LEFT);
	if (full || s->labels_n > 1)
		table_column(t, "label", TABLE_LEFT);
	if (full || s->agents_n > 1)
		table_column(t, "agent", TABLE_LEFT);
}

static void add_names(struct table *t, const struct summary *s, int condition, bool full)
{
	const struct summary_condition *c = &s->conditions[condition];

	if (full || s->models_n > 1)
		add_name(t, c->model);
	if (full || s->labels_n > 1)
		add_name(t, c->label);
	if (full || s->agents_n > 1)
		add_name(t, c->agent);
}

static void add_score(struct table *t, const struct summary_row *row)
{
	if (row->standing == STANDING_SCORED)
		table_score(t, row->status->result.total_score);
	else
		table_missing(t, row->standing == STANDING_MISSING ? "missing" : NULL);
}

static void add_trial(struct table *t, const struct summary *s, const struct summary_row *row)
{
	const struct trial_result *r = &row->status->result;

	table_text(t, summary_task_name(s, row));
	table_text(t, RUN_ID(row->status));
	add_score(t, row);
	if (row->status->has_result && r->more->judge_score >= 0)
		table_score(t, r->more->judge_score);
	else
		table_missing(t, NULL);
	add_count(t, row->status->has_result ? r->tokens : -1);
	add_count(t, row->status->has_result ? r->tool_calls : -1);
}

/* What has a column of its own elsewhere in the table of trials. */
static bool has_column(const char *name)
{
	static const char *const names[] = {"agent_seconds", "cost_usd", "tool_calls"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void add_measure(struct table *t, double value)
{
	if (isnan(value))
		table_missing(t, NULL);
	else if (value == floor(value) && fabs(value) < 1e15)
		table_int(t, (int64_t)value);
	else
		table_real(t, value, MICRO);
}

/* A name that a column of ours has already. */
static bool is_taken(const struct table *t, const char *name)
{
	for (size_t i = 0; i < t->columns_n; i++)
		if (strcmp(t->columns[i].name, name) == 0)
			return true;
	return false;
}

struct measures {
	const char **names;
	size_t n;
};

static void measure_columns(struct table *t, const struct measures *custom)
{
	for (size_t i = 0; i < METRIC_COUNT; i++)
		if (!has_column(metric_name(i)))
			table_column(t, metric_name(i), TABLE_RIGHT);
	for (size_t i = 0; i < custom->n; i++) {
		AUTO(free) char *name = is_taken(t, custom->names[i])
						? xasprintf("custom_%s", custom->names[i])
						: xstrdup(custom->names[i]);
		table_column(t, name, TABLE_RIGHT);
	}
	table_column(t, "self_reported", TABLE_LEFT);
}

static void add_measures(struct table *t, const struct trial_status *trial,
			 const struct measures *custom)
{
	AUTO(buf) struct buf names = BUF_INIT;

	for (size_t i = 0; i < METRIC_COUNT; i++)
		if (!has_column(metric_name(i)))
			add_measure(t, measure_builtin(trial, i));
	for (size_t i = 0; i < custom->n; i++) {
		add_measure(t, measure_custom(trial, custom->names[i]));
		if (measure_is_self_reported(trial, custom->names[i]))
			buf_addf(&names, "%s%s", names.len ? " " : "", custom->names[i]);
	}
	add_name(t, names.data);
}

static void add_details(struct table *t, const struct summary *s, const struct summary_row *row)
{
	const struct trial_result *r = &row->status->result;
	const struct rollout *rollout = s->conditions[row->condition].rollout;
	const char *run = RUN_ID(row->status);
	AUTO(free) char *dir = xasprintf("%s/" DATA_RUNS "/%s", rollout->root, run);

	table_int(t, row->status->rollout);
	table_int(t, row->status->attempts);
	table_text(t, summary_state_name(row->state));
	add_name(t, row->status->has_result ? row->status->result.reason : NULL);
	if (r->replaced && r->first_scored)
		table_score(t, r->more->first_score);
	else
		table_missing(t, r->replaced ? "not scored" : NULL);
	if (row->status->has_result && r->money_usd >= 0)
		table_real(t, r->money_usd, MICRO);
	else
		table_missing(t, NULL);
	if (row->status->has_result && r->wall_ms >= 0)
		table_real(t, (double)r->wall_ms / 1000, DECIMALS);
	else
		table_missing(t, NULL);
	add_name(t, summary_answer(row));
	table_text(t, dir);
	table_int(t, r->suspect);
	add_name(t, row->status->has_result && r->origin ? r->origin->agent_version : NULL);
}

static bool all_completed(const struct summary *s)
{
	for (size_t i = 0; i < s->rows_n; i++)
		if (s->rows[i].standing == STANDING_MISSING ||
		    s->rows[i].status->result.outcome != OUTCOME_COMPLETED)
			return false;
	return true;
}

static void add_row(struct table *t, const struct summary *s, const struct summary_row *row,
		    bool full, bool outcomes, const struct measures *custom)
{
	add_trial(t, s, row);
	add_names(t, s, row->condition, full);
	if (full) {
		add_details(t, s, row);
		add_measures(t, row->status, custom);
	} else if (outcomes) {
		table_text(t, summary_state_name(row->state));
	}
}

void tables_trials(struct table *out, const struct summary *s, bool full)
{
	bool outcomes = !full && !all_completed(s);
	struct measures custom = {0};

	table_column(out, "task", TABLE_LEFT);
	table_column(out, "run", TABLE_WHOLE);
	table_column(out, "unit", TABLE_RIGHT);
	table_column(out, "lm", TABLE_RIGHT);
	table_column(out, "tokens", TABLE_RIGHT);
	table_column(out, "tools", TABLE_RIGHT);
	name_columns(out, s, full);
	if (full) {
		table_column(out, "rollout", TABLE_RIGHT);
		table_column(out, "attempts", TABLE_RIGHT);
	}
	if (full || outcomes)
		table_column(out, "outcome", TABLE_WHOLE);
	if (full) {
		table_column(out, "reason", TABLE_LEFT);
		table_column(out, "first_try", TABLE_RIGHT);
		table_column(out, "cost_usd", TABLE_RIGHT);
		table_column(out, "time_s", TABLE_RIGHT);
		table_column(out, "answered_by", TABLE_LEFT);
		table_column(out, "run_dir", TABLE_WHOLE);
		table_column(out, "suspect", TABLE_RIGHT);
		table_column(out, "agent_version", TABLE_LEFT);
		measures_custom(s, &custom.names, &custom.n);
		measure_columns(out, &custom);
	}
	for (size_t i = 0; i < s->shown_n; i++) {
		const struct summary_cell *cell = &s->cells[s->shown[i]];
		for (size_t k = 0; k < cell->tally.planned; k++) {
			const struct summary_row *row = &s->rows[cell->first + k];
			if (summary_shows(s, row))
				add_row(out, s, row, full, outcomes, &custom);
		}
	}
	free(custom.names);
}

void tables_range(struct table *t, double low, double high)
{
	char a[NUMBER_TEXT], b[NUMBER_TEXT];

	table_textf(t, "%s–%s", number_score(a, low), number_score(b, high));
}

static void add_mean(struct table *t, const struct stats_mean *m)
{
	if (m->n)
		table_score(t, m->mean);
	else
		table_missing(t, NULL);
}

static void add_interval(struct table *t, const struct stats_mean *m)
{
	if (m->method == STATS_NONE)
		table_missing(t, NULL);
	else
		tables_range(t, m->low, m->high);
}

void tables_basis(struct buf *out, const struct summary_group *g)
{
	buf_addf(out, "%zu task%s × %zu", g->tasks, g->tasks == 1 ? "" : "s", g->rollouts_min);
	if (g->rollouts_max != g->rollouts_min)
		buf_addf(out, "–%zu", g->rollouts_max);
	buf_addf(out, " rollout%s", g->rollouts_max == 1 ? "" : "s");
}

static void add_basis(struct table *t, const struct summary_group *g)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (!g->tasks) {
		table_missing(t, NULL);
		return;
	}
	tables_basis(&text, g);
	table_text(t, text.data);
}

static void add_bounds(struct table *t, const struct summary_group *g)
{
	if (!g->tally.missing || isnan(g->worst))
		table_missing(t, NULL);
	else
		tables_range(t, g->worst, g->best);
}

/* "95 % interval". */
static void level_column(struct table *t, const struct summary *s, const char *what)
{
	AUTO(free) char *name = xasprintf("%g %% %s", 100 * s->options.level, what);
	table_column(t, name, TABLE_WHOLE);
}

void tables_group_columns(struct table *t, const struct summary *s)
{
	for (size_t i = 0; i < s->options.by_n; i++)
		table_column(t, summary_by_name(s->options.by[i]), TABLE_LEFT);
	if (s->options.by_n)
		return;
	table_column(t, "model", TABLE_LEFT);
	if (s->labels_n > 1)
		table_column(t, "label", TABLE_LEFT);
	if (s->agents_n > 1)
		table_column(t, "agent", TABLE_LEFT);
}

static void group_columns(struct table *t, const struct summary *s)
{
	const struct summary_group *all = summary_all(s);

	tables_group_columns(t, s);
	if (tables_tell_answers(s))
		table_column(t, "answered by", TABLE_LEFT);
	table_column(t, "mean", TABLE_RIGHT);
	if (all->tally.replaced) {
		table_column(t, "first tries", TABLE_RIGHT);
		table_column(t, "replaced", TABLE_RIGHT);
	}
	if (all->tally.suspect) {
		table_column(t, "without suspects", TABLE_RIGHT);
		table_column(t, "suspect", TABLE_RIGHT);
	}
	level_column(t, s, "interval");
	table_column(t, "over", TABLE_WHOLE);
	table_column(t, "scored", TABLE_RIGHT);
	if (all->tally.missing)
		table_column(t, "if missing 0–1", TABLE_WHOLE);
	if (all->tokens >= 0)
		table_column(t, "tokens", TABLE_RIGHT);
	if (all->money_usd >= 0 || all->unpriced)
		table_column(t, "cost USD", TABLE_RIGHT);
	if (all->machine_sec >= 0)
		table_column(t, "machine h", TABLE_RIGHT);
	if (all->machine_usd >= 0)
		table_column(t, "machine USD", TABLE_RIGHT);
}

static void add_first_tries(struct table *t, const struct summary_group *g)
{
	if (isnan(g->first_tries))
		table_missing(t, NULL);
	else
		table_score(t, g->first_tries);
	table_textf(t, "%zu/%zu", g->tally.replaced, g->tally.scored);
}

static void add_suspects(struct table *t, const struct summary_group *g)
{
	if (isnan(g->without_suspects))
		table_missing(t, NULL);
	else
		table_score(t, g->without_suspects);
	table_textf(t, "%zu/%zu", g->tally.suspect, g->tally.scored);
}

bool tables_has_group(const struct summary *s, const struct summary_group *g)
{
	return g->level != GROUP_ALL || (s->options.by_n ? s->groups_n != 2 : s->models_n != 1);
}

void tables_group_name(struct table *t, const struct summary *s, const struct summary_group *g)
{
	for (size_t i = 0; i < s->options.by_n; i++)
		if (g->level == GROUP_BY)
			table_text(t, g->by[i]);
		else
			table_text(t, i ? "all" : "overall");
	if (s->options.by_n)
		return;
	bool nameless = s->models_n == 1 && !s->conditions[0].model[0];

	if (g->level == GROUP_ALL || (nameless && g->level == GROUP_MODEL))
		table_text(t, "overall");
	else
		table_text(t, g->of.model[0] ? g->of.model : "(no model)");
	if (s->labels_n > 1)
		add_name(t, g->level == GROUP_CONDITION ? g->of.label : "all");
	if (s->agents_n > 1)
		add_name(t, g->level == GROUP_CONDITION ? g->of.agent : "all");
}

bool tables_tell_answers(const struct summary *s)
{
	if (s->options.by_n)
		return false;
	for (size_t i = 0; i < s->conditions_n; i++) {
		const char *model;
		json_t *n;
		json_object_foreach (s->answered[i], model, n)
			if (strcmp(model, s->conditions[i].model) != 0)
				return true;
	}
	return false;
}

void tables_answers(struct buf *out, const json_t *answered)
{
	const char *model, *sep = "";
	json_t *n;

	json_object_foreach ((json_t *)answered, model, n) {
		buf_addf(out, "%s%s", sep, model);
		if (json_object_size(answered) > 1)
			buf_addf(out, " ×%lld", (long long)json_integer_value(n));
		sep = "; ";
	}
}

static void add_answers(struct table *t, const struct summary *s, const struct summary_group *g)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *answered = summary_answered_by(s, g);

	if (g->level != GROUP_ALL)
		tables_answers(&text, answered);
	add_name(t, text.data);
}

void tables_replaced(struct buf *out, const struct summary_group *g)
{
	if (!g->tally.replaced)
		return;
	buf_addf(out,
		 "%zu of %zu score%s replace%s an earlier one; first tries: ", g->tally.replaced,
		 g->tally.scored, g->tally.scored == 1 ? "" : "s",
		 g->tally.replaced == 1 ? "s" : "");
	if (isnan(g->first_tries))
		buf_adds(out, "none scored");
	else
		buf_adds(out, number_score((char[NUMBER_TEXT]){0}, g->first_tries));
}

static void add_measure_row(struct table *t, const struct summary *s, const struct summary_group *g,
			    const char *name)
{
	struct measure_mean m = measure_group(s, g, name);

	if (!m.trials)
		return;
	table_text(t, name);
	tables_group_name(t, s, g);
	table_textf(t, "%.6g", m.mean);
	if (isnan(m.low))
		table_missing(t, NULL);
	else
		table_textf(t, "%.6g–%.6g", m.low, m.high);
	table_int(t, (int64_t)m.trials);
	table_text(t, m.self_reported ? "self-reported" : "tests alone");
}

static void add_machines(struct table *t, const struct summary_group *all,
			 const struct summary_group *g)
{
	if (g->machine_sec >= 0)
		table_real(t, g->machine_sec / 3600, CENT);
	else if (all->machine_sec >= 0)
		table_missing(t, NULL);
	if (g->machine_usd >= 0)
		table_real(t, g->machine_usd, CENT);
	else if (all->machine_usd >= 0)
		table_missing(t, NULL);
}

void tables_groups(struct table *out, const struct summary *s)
{
	const struct summary_group *all = summary_all(s);

	group_columns(out, s);
	for (size_t i = 0; i < s->groups_n; i++) {
		const struct summary_group *g = &s->groups[i];
		if (!tables_has_group(s, g))
			continue;
		tables_group_name(out, s, g);
		if (tables_tell_answers(s))
			add_answers(out, s, g);
		add_mean(out, &g->mean);
		if (all->tally.replaced)
			add_first_tries(out, g);
		if (all->tally.suspect)
			add_suspects(out, g);
		add_interval(out, &g->mean);
		add_basis(out, g);
		table_textf(out, "%zu/%zu", g->tally.scored, g->tally.planned);
		if (all->tally.missing)
			add_bounds(out, g);
		if (all->tokens >= 0)
			add_count(out, g->tokens);
		if (g->unpriced)
			table_missing(out, "N/A");
		else if (g->money_usd >= 0)
			table_real(out, g->money_usd, CENT);
		else if (all->money_usd >= 0 || all->unpriced)
			table_missing(out, NULL);
		add_machines(out, all, g);
	}
}

/* The model that NAME is the share of, or NULL. */
static const char *of_model(const char *name, const char *prefix)
{
	const size_t n = strlen(prefix);

	return strncmp(name, prefix, n) == 0 ? name + n : NULL;
}

/* What NAME comes to over all trials that have it. */
static double share_sum(const struct summary *s, const char *prefix, const char *model,
			size_t *trials)
{
	AUTO(free) char *name = xasprintf("%s%s", prefix, model);
	double sum = 0;

	*trials = 0;
	for (size_t i = 0; i < s->rows_n; i++) {
		double v = measure_custom(s->rows[i].status, name);
		if (isnan(v))
			continue;
		sum += v;
		(*trials)++;
	}
	return sum;
}

void tables_models(struct table *out, const struct summary *s)
{
	struct measures custom = {0};
	size_t trials, priced;

	measures_custom(s, &custom.names, &custom.n);
	table_column(out, "model", TABLE_LEFT);
	table_column(out, "trials", TABLE_RIGHT);
	table_column(out, "tokens", TABLE_RIGHT);
	table_column(out, "USD", TABLE_RIGHT);
	table_column(out, "USD/trial", TABLE_RIGHT);
	for (size_t i = 0; i < custom.n; i++) {
		const char *model = of_model(custom.names[i], SHARE_TOKENS);
		if (!model)
			continue;
		double tokens = share_sum(s, SHARE_TOKENS, model, &trials);
		double usd = share_sum(s, SHARE_USD, model, &priced);
		table_text(out, model);
		table_int(out, (int64_t)trials);
		table_int(out, (int64_t)tokens);
		if (priced == trials) {
			table_real(out, usd, CENT);
			table_real(out, usd / (double)trials, CENT);
		} else {
			table_missing(out, "N/A");
			table_missing(out, "N/A");
		}
	}
	free(custom.names);
}

/* Told as a sum where the costs are. */
static bool is_cost(const char *name)
{
	return of_model(name, SHARE_USD) || of_model(name, SHARE_TOKENS) ||
	       !strcmp(name, METRIC_MACHINE_SEC) || !strcmp(name, METRIC_MACHINE_USD);
}

void tables_measures(struct table *out, const struct summary *s)
{
	struct measures custom = {0};

	measures_custom(s, &custom.names, &custom.n);
	table_column(out, "metric", TABLE_LEFT);
	tables_group_columns(out, s);
	table_column(out, "mean", TABLE_RIGHT);
	level_column(out, s, "interval");
	table_column(out, "trials", TABLE_RIGHT);
	table_column(out, "from", TABLE_WHOLE);
	for (size_t i = 0; i < custom.n; i++)
		for (size_t k = 0; k < s->groups_n && !is_cost(custom.names[i]); k++)
			if (tables_has_group(s, &s->groups[k]))
				add_measure_row(out, s, &s->groups[k], custom.names[i]);
	free(custom.names);
}

/* A glyph for each rollout. */
static const char *glyph(const struct summary_row *row)
{
	static const char *const heights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇"};
	double score = row->status->result.total_score;

	if (row->standing == STANDING_MISSING)
		return "?";
	if (row->standing == STANDING_UNSCORED)
		return "–";
	if (score >= 1)
		return "█";
	if (score <= 0)
		return "·";
	const size_t most = ARRAY_SIZE(heights);
	size_t at = (size_t)(score * (double)most);
	return heights[at < most ? at : most - 1];
}

static void add_strip(struct table *t, const struct summary_row *rows, size_t n)
{
	enum { LONGEST = 20 };
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < n && i < LONGEST; i++)
		buf_adds(&text, glyph(&rows[i]));
	if (n > LONGEST)
		buf_adds(&text, "…");
	table_text(t, text.data);
}

void tables_tasks(struct table *out, const struct summary *s)
{
	table_column(out, "task", TABLE_LEFT);
	name_columns(out, s, false);
	table_column(out, "mean", TABLE_RIGHT);
	table_column(out, "max", TABLE_RIGHT);
	level_column(out, s, "over rollouts");
	table_column(out, "scored", TABLE_RIGHT);
	table_column(out, "rollouts", TABLE_WHOLE);
	for (size_t i = 0; i < s->shown_n; i++) {
		const struct summary_cell *cell = &s->cells[s->shown[i]];
		const struct stats_mean mean = summary_cell_mean(s, cell);
		table_text(out, summary_task_name(s, &s->rows[cell->first]));
		add_names(out, s, cell->condition, false);
		add_mean(out, &mean);
		if (cell->tally.scored)
			table_score(out, cell->max);
		else
			table_missing(out, NULL);
		add_interval(out, &mean);
		table_textf(out, "%zu/%zu", cell->tally.scored, cell->tally.planned);
		add_strip(out, &s->rows[cell->first], cell->tally.planned);
	}
}

void tables_failures(struct table *out, const struct summary *s)
{
	table_column(out, "count", TABLE_RIGHT);
	table_column(out, "outcome", TABLE_WHOLE);
	table_column(out, "first run", TABLE_WHOLE);
	table_column(out, "reason", TABLE_LEFT);
	for (size_t i = 0; i < s->failures_n; i++) {
		table_int(out, (int64_t)s->failures[i].n);
		table_text(out, s->failures[i].outcome);
		table_text(out, RUN_ID(s->rows[s->failures[i].place].status));
		table_text(out, s->failures[i].reason);
	}
}
