/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/summary.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"

/* Names numbered in order of appearance. */
struct names {
	json_t *map;
};

static int name_number(struct names *names, const char *key)
{
	const json_t *known = json_object_get(names->map, key);
	if (known)
		return (int)json_integer_value(known);
	int n = (int)json_object_size(names->map);
	json_object_set_new_nocheck(names->map, key, json_integer(n));
	return n;
}

static enum standing standing_of(const struct trial_status *t)
{
	if (!t->has_result || outcome_is_missing(t->result.outcome))
		return STANDING_MISSING;
	return t->result.scored ? STANDING_SCORED : STANDING_UNSCORED;
}

static const char *outcome_of(const struct trial_status *t)
{
	if (t->has_result && !outcome_is_missing(t->result.outcome))
		return outcome_name(t->result.outcome);
	if (t->state == TRIAL_RUNNING)
		return "running";
	if (t->has_result)
		return outcome_name(t->result.outcome);
	return t->state == TRIAL_INTERRUPTED ? "interrupted" : "not run";
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

const char *summary_task_name(const struct summary_row *row)
{
	const struct trial *t = &row->status->trial;
	if (t->task_id && t->task_id[0])
		return t->task_id;
	return t->task_dir ? path_base(t->task_dir) : "";
}

/* Two folders may hold tasks of one id, and one folder may be written in two ways. */
static int task_number(struct names *names, const struct summary_row *row)
{
	AUTO(buf) struct buf key = BUF_INIT;
	const char *dir = or_empty(row->status->trial.task_dir);
	buf_addf(&key, "%s\n%s", summary_task_name(row), path_base(dir));
	return name_number(names, key.data);
}

static int condition_number(struct summary *s, struct names *names, const struct trial *t)
{
	struct summary_condition c = {or_empty(t->model), or_empty(t->variant), or_empty(t->agent)};
	AUTO(buf) struct buf key = BUF_INIT;

	buf_addf(&key, "%s\n%s\n%s", c.model, c.label, c.agent);
	int n = name_number(names, key.data);
	if ((size_t)n == s->conditions_n) {
		s->conditions = xreallocarray(s->conditions, s->conditions_n + 1, sizeof c);
		s->conditions[s->conditions_n++] = c;
	}
	return n;
}

static int by_place(const void *a, const void *b)
{
	const struct summary_row *x = a, *y = b;
	const struct trial *t = &x->status->trial, *u = &y->status->trial;

	if (x->task != y->task)
		return x->task < y->task ? -1 : 1;
	if (x->condition != y->condition)
		return x->condition < y->condition ? -1 : 1;
	if (t->rollout != u->rollout)
		return t->rollout < u->rollout ? -1 : 1;
	return (t->index > u->index) - (t->index < u->index);
}

static void make_rows(struct summary *s)
{
	const struct rollout *r = s->rollout;
	AUTO(json) json_t *tasks = json_object(), *conditions = json_object();
	struct names task_names = {tasks}, condition_names = {conditions};

	s->rows = xcalloc(r->trials_n + 1, sizeof *s->rows);
	s->rows_n = r->trials_n;
	for (size_t i = 0; i < r->trials_n; i++) {
		struct summary_row *row = &s->rows[i];
		row->status = &r->trials[i];
		row->standing = standing_of(row->status);
		row->outcome = outcome_of(row->status);
		row->task = task_number(&task_names, row);
		row->condition = condition_number(s, &condition_names, &row->status->trial);
	}
	s->tasks_n = json_object_size(tasks);
	qsort(s->rows, s->rows_n, sizeof *s->rows, by_place);
}

static size_t count_distinct(const struct summary *s, size_t offset)
{
	AUTO(json) json_t *map = json_object();
	struct names names = {map};

	for (size_t i = 0; i < s->conditions_n; i++) {
		const char *name;
		memcpy(&name, (const char *)&s->conditions[i] + offset, sizeof name);
		(void)name_number(&names, name);
	}
	return json_object_size(map);
}

static void tally_add(struct tally *to, const struct tally *from)
{
	to->planned += from->planned;
	to->scored += from->scored;
	to->unscored += from->unscored;
	to->missing += from->missing;
}

static void fill_cell(struct summary_cell *cell, const struct summary_row *rows, size_t n)
{
	AUTO(free) double *scores = xcalloc(n + 1, sizeof *scores);

	cell->tally.planned = n;
	cell->max = -INFINITY;
	for (size_t i = 0; i < n; i++) {
		cell->tally.unscored += rows[i].standing == STANDING_UNSCORED;
		cell->tally.missing += rows[i].standing == STANDING_MISSING;
		if (rows[i].standing != STANDING_SCORED)
			continue;
		double score = rows[i].status->result.total_score;
		scores[cell->tally.scored++] = score;
		cell->sum += score;
		cell->max = fmax(cell->max, score);
	}
	stats_mean_of(&cell->over_rollouts, scores, cell->tally.scored);
}

static bool same_cell(const struct summary_row *a, const struct summary_row *b)
{
	return a->task == b->task && a->condition == b->condition;
}

static void make_cells(struct summary *s)
{
	s->cells = xcalloc(s->rows_n + 1, sizeof *s->cells);
	for (size_t from = 0, to; from < s->rows_n; from = to) {
		for (to = from + 1; to < s->rows_n && same_cell(&s->rows[from], &s->rows[to]);)
			to++;
		struct summary_cell *cell = &s->cells[s->cells_n++];
		cell->task = s->rows[from].task;
		cell->condition = s->rows[from].condition;
		cell->first = from;
		fill_cell(cell, &s->rows[from], to - from);
	}
}

static bool same(const char *wanted, const char *found)
{
	return !wanted || (found && strcmp(wanted, found) == 0);
}

static bool in_group(const struct summary_group *g, const struct summary_condition *c)
{
	return same(g->of.model, c->model) && same(g->of.label, c->label) &&
	       same(g->of.agent, c->agent);
}

static void add_usage(struct summary_group *g, const struct summary_row *row)
{
	const struct result *r = &row->status->result;

	if (!row->status->has_result || !r->has_agent)
		return;
	if (r->agent.metrics.tokens_total >= 0)
		g->tokens = (g->tokens < 0 ? 0 : g->tokens) + r->agent.metrics.tokens_total;
	if (r->agent.metrics.tool_calls >= 0)
		g->tools = (g->tools < 0 ? 0 : g->tools) + r->agent.metrics.tool_calls;
	if (r->agent.metrics.money_usd >= 0)
		g->money_usd = (g->money_usd < 0 ? 0 : g->money_usd) + r->agent.metrics.money_usd;
	else if (r->agent.metrics.calls > 0)
		g->unpriced = true;
}

/* What a group gathers of one task, over its conditions. */
struct task_sum {
	struct tally tally;
	double sum;
};

static void gather(const struct summary *s, struct summary_group *g, struct task_sum *tasks)
{
	for (size_t i = 0; i < s->cells_n; i++) {
		const struct summary_cell *cell = &s->cells[i];
		if (!in_group(g, &s->conditions[cell->condition]))
			continue;
		struct task_sum *t = &tasks[cell->task];
		tally_add(&t->tally, &cell->tally);
		t->sum += cell->sum;
		g->cells += cell->tally.scored > 0;
		tally_add(&g->tally, &cell->tally);
		for (size_t k = 0; k < cell->tally.planned; k++)
			add_usage(g, &s->rows[cell->first + k]);
	}
}

/* With one task the interval is over its rollouts, unless they are of several conditions: then they
 * are no sample of anything. */
static void mean_of_rollouts(const struct summary *s, struct summary_group *g)
{
	if (g->cells != 1) {
		g->mean.method = STATS_NONE;
		return;
	}
	AUTO(free) double *scores = xcalloc(g->tally.scored + 1, sizeof *scores);
	size_t n = 0;

	for (size_t i = 0; i < s->rows_n; i++)
		if (s->rows[i].standing == STANDING_SCORED &&
		    in_group(g, &s->conditions[s->rows[i].condition]))
			scores[n++] = s->rows[i].status->result.total_score;
	stats_mean_of(&g->mean, scores, n);
	g->over_rollouts = true;
}

static void fill_group(const struct summary *s, struct summary_group *g)
{
	AUTO(free) struct task_sum *tasks = xcalloc(s->tasks_n + 1, sizeof *tasks);
	AUTO(free) double *means = xcalloc(s->tasks_n + 1, sizeof *means);
	size_t bounded = 0;

	g->tokens = g->tools = -1;
	g->money_usd = -1;
	gather(s, g, tasks);
	for (size_t i = 0; i < s->tasks_n; i++) {
		const struct task_sum *t = &tasks[i];
		double could = (double)(t->tally.scored + t->tally.missing);
		if (could > 0) {
			g->worst += t->sum / could;
			g->best += (t->sum + (double)t->tally.missing) / could;
			bounded++;
		}
		if (!t->tally.scored)
			continue;
		if (!g->tasks || t->tally.scored < g->rollouts_min)
			g->rollouts_min = t->tally.scored;
		if (t->tally.scored > g->rollouts_max)
			g->rollouts_max = t->tally.scored;
		means[g->tasks++] = t->sum / (double)t->tally.scored;
	}
	g->worst = bounded ? g->worst / (double)bounded : NAN;
	g->best = bounded ? g->best / (double)bounded : NAN;
	stats_mean_of(&g->mean, means, g->tasks);
	if (g->tasks == 1)
		mean_of_rollouts(s, g);
}

static void add_group(struct summary *s, enum group_level level, struct summary_condition of)
{
	for (size_t i = 0; i < s->groups_n; i++)
		if (s->groups[i].level == level && in_group(&s->groups[i], &of))
			return;
	struct summary_group *g = &s->groups[s->groups_n++];
	g->level = level;
	g->of = of;
	fill_group(s, g);
}

static void make_groups(struct summary *s)
{
	bool several = s->conditions_n > s->models_n;

	s->groups = xcalloc(2 * s->conditions_n + 1, sizeof *s->groups);
	for (size_t i = 0; i < s->conditions_n; i++)
		add_group(s, GROUP_MODEL,
			  (struct summary_condition){.model = s->conditions[i].model});
	for (size_t i = 0; several && i < s->conditions_n; i++)
		add_group(s, GROUP_CONDITION, s->conditions[i]);
	add_group(s, GROUP_ALL, (struct summary_condition){0});
}

static int by_cause(const void *a, const void *b)
{
	const struct summary_failure *x = a, *y = b;
	int order = strcmp(x->outcome, y->outcome);
	return order ? order : strcmp(x->reason, y->reason);
}

static int by_cause_and_place(const void *a, const void *b)
{
	const struct summary_failure *x = a, *y = b;
	int order = by_cause(a, b);
	return order ? order : (x->place > y->place) - (x->place < y->place);
}

static int by_count(const void *a, const void *b)
{
	const struct summary_failure *x = a, *y = b;
	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	return by_cause(a, b);
}

static void merge_failures(struct summary *s)
{
	size_t kept = 0;

	qsort(s->failures, s->failures_n, sizeof *s->failures, by_cause_and_place);
	for (size_t i = 0; i < s->failures_n; i++) {
		struct summary_failure *f = &s->failures[i];
		if (kept && by_cause(&s->failures[kept - 1], f) == 0)
			s->failures[kept - 1].n++;
		else
			s->failures[kept++] = *f;
	}
	s->failures_n = kept;
	qsort(s->failures, s->failures_n, sizeof *s->failures, by_count);
}

static void make_failures(struct summary *s)
{
	s->failures = xcalloc(s->rows_n + 1, sizeof *s->failures);
	for (size_t i = 0; i < s->rows_n; i++) {
		const struct trial_status *t = s->rows[i].status;
		if (!t->has_result || t->result.outcome == OUTCOME_COMPLETED)
			continue;
		const char *reason = t->result.reason[0] ? t->result.reason : "no reason given";
		s->failures[s->failures_n++] = (struct summary_failure){
			outcome_name(t->result.outcome), reason, 1, or_empty(t->trial.run_id), i};
	}
	merge_failures(s);
}

void summary_make(struct summary *out, const struct rollout *r)
{
	*out = (struct summary){.rollout = r};
	make_rows(out);
	out->models_n = count_distinct(out, offsetof(struct summary_condition, model));
	out->labels_n = count_distinct(out, offsetof(struct summary_condition, label));
	out->agents_n = count_distinct(out, offsetof(struct summary_condition, agent));
	make_cells(out);
	make_groups(out);
	make_failures(out);
}

void summary_release(struct summary *s)
{
	free(s->rows);
	free(s->cells);
	free(s->conditions);
	free(s->groups);
	free(s->failures);
}

const struct summary_group *summary_all(const struct summary *s)
{
	return &s->groups[s->groups_n - 1];
}
