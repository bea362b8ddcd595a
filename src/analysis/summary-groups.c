/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/summary-groups.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/metric.h"

#define ROUNDING 1e-12

static const char *const by_names[] = {"model", "label", "task", "tag", "agent", "served"};

const char *summary_by_name(enum summary_by by)
{
	return by_names[by];
}

const char *summary_question_name(enum summary_question q)
{
	return q == SUMMARY_THESE_TASKS ? "these tasks" : "tasks like these";
}

int summary_question_parse(const char *word, enum summary_question *out, struct err *err)
{
	*out = word && strcmp(word, "these-tasks") == 0 ? SUMMARY_THESE_TASKS
							: SUMMARY_TASKS_LIKE_THESE;
	if (!word || *out == SUMMARY_THESE_TASKS || strcmp(word, "tasks-like-these") == 0)
		return 0;
	return err_set(err, ERR_USAGE, 0, "--question %s: one of tasks-like-these, these-tasks",
		       word);
}

static int by_parse(const char *word, enum summary_by *out, struct err *err)
{
	for (int i = 0; i < BY_COUNT_; i++) {
		if (strcmp(word, by_names[i]) != 0)
			continue;
		*out = (enum summary_by)i;
		return 0;
	}
	return err_set(err, ERR_USAGE, 0,
		       "--by %s: of model, label, task, tag, agent, served, one or several: "
		       "model,tag",
		       word);
}

int summary_by_parse(struct summary_options *out, const char *words, struct err *err)
{
	AUTO(free) char *copy = xstrdup(words);

	for (char *rest = copy, *word; (word = strsep(&rest, ","));) {
		enum summary_by by = BY_MODEL;
		if (by_parse(word, &by, err))
			return -1;
		for (size_t i = 0; i < out->by_n; i++)
			if (out->by[i] == by)
				return err_set(err, ERR_USAGE, 0, "--by %s names %s twice", words,
					       word);
		out->by[out->by_n++] = by;
	}
	return 0;
}

/* A group while its rows are added, task by task and condition by condition. */
struct gathering {
	struct summary_group group;
	/* Of the task at hand, over the group's conditions, and of the condition at hand. */
	int task, condition; /* -1: none yet */
	struct tally tally;
	double sum, first_sum, clean_sum; /* clean: of those that are not suspect */
	size_t solved, cell_scored;
	/* The same as if nothing were excluded. */
	double all_sum;
	size_t all_scored;
	/* Of the tasks before it. */
	double first_means, all_means, clean_means;
	size_t first_tasks, all_tasks, clean_tasks,
		bounded; /* bounded: tasks that could have a score */
	struct task_numbers {
		double mean;
		size_t task, k, solved;
	} * tasks;
	size_t tasks_cap; /* group.tasks of them */
	/* Scores in the order they came and how many each cell has: all where these tasks are asked about, else of the
	 * first task. */
	double *scores;
	size_t scores_n, scores_cap;
	size_t *cell_k;
	size_t cell_k_n, cell_k_cap;
	uint32_t *walls; /* ms; 49 days at most */
	size_t walls_n, walls_cap;
};

struct gatherings {
	struct summary *s;
	struct gathering *v;
	size_t n, cap;
	json_t *by; /* name -> number, of groups made on the way */
};

static struct gathering *add_group(struct gatherings *all)
{
	GROW(all->v, all->n, all->cap);
	struct gathering *a = &all->v[all->n++];
	*a = (struct gathering){.task = -1, .condition = -1};
	a->group.tokens = a->group.tools = -1;
	a->group.money_usd = a->group.machine_sec = a->group.machine_usd = -1;
	return a;
}

static void add_machine(double *sum, const struct trial_status *t, const char *name)
{
	const struct trial_metric *m = trial_metric_of(t, name);

	if (m)
		*sum = (*sum < 0 ? 0 : *sum) + m->value;
}

static void add_usage(struct gathering *a, const struct summary_row *row)
{
	const struct trial_result *r = &row->status->result;
	struct summary_group *g = &a->group;

	if (!row->status->has_result)
		return;
	if (r->tokens >= 0)
		g->tokens = (g->tokens < 0 ? 0 : g->tokens) + r->tokens;
	if (r->tool_calls >= 0)
		g->tools = (g->tools < 0 ? 0 : g->tools) + r->tool_calls;
	if (r->money_usd >= 0)
		g->money_usd = (g->money_usd < 0 ? 0 : g->money_usd) + r->money_usd;
	else if (r->calls > 0)
		g->unpriced = true;
	add_machine(&g->machine_sec, row->status, METRIC_MACHINE_SEC);
	add_machine(&g->machine_usd, row->status, METRIC_MACHINE_USD);
	if (r->wall_ms < 0 || row->standing == STANDING_MISSING)
		return;
	GROW(a->walls, a->walls_n, a->walls_cap);
	a->walls[a->walls_n++] = r->wall_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)r->wall_ms;
}

static void end_cell(struct gathering *a)
{
	if (!a->cell_scored)
		return;
	a->group.cells++;
	GROW(a->cell_k, a->cell_k_n, a->cell_k_cap);
	a->cell_k[a->cell_k_n++] = a->cell_scored;
	a->cell_scored = 0;
}

static void keep_task(struct gathering *a)
{
	struct summary_group *g = &a->group;
	size_t scored = a->tally.scored;

	if (!g->tasks || scored < g->rollouts_min)
		g->rollouts_min = scored;
	if (scored > g->rollouts_max)
		g->rollouts_max = scored;
	GROW(a->tasks, g->tasks, a->tasks_cap);
	a->tasks[g->tasks++] = (struct task_numbers){.mean = a->sum / (double)scored,
						     .task = (size_t)a->task,
						     .k = scored,
						     .solved = a->solved};
	g->solved += a->solved;
	g->never += a->solved == 0;
	g->always += a->solved == scored;
	g->sometimes += a->solved && a->solved < scored;
}

static void end_task(struct gathering *a)
{
	size_t scored = a->tally.scored, could = scored + a->tally.missing;

	end_cell(a);
	if (could) {
		a->group.worst += a->sum / (double)could;
		a->group.best += (a->sum + (double)a->tally.missing) / (double)could;
		a->bounded++;
	}
	if (scored)
		keep_task(a);
	if (a->tally.first_tries) {
		a->first_means += a->first_sum / (double)a->tally.first_tries;
		a->first_tasks++;
	}
	if (a->all_scored) {
		a->all_means += a->all_sum / (double)a->all_scored;
		a->all_tasks++;
	}
	if (scored > a->tally.suspect) {
		a->clean_means += a->clean_sum / (double)(scored - a->tally.suspect);
		a->clean_tasks++;
	}
	a->tally = (struct tally){0};
	a->sum = a->first_sum = a->all_sum = a->clean_sum = 0;
	a->solved = a->all_scored = 0;
}

/* A selection by outcome is no sample: what the first tries came to is summed beside it. */
static void add_first_try(struct gathering *a, const struct summary_row *row)
{
	const struct trial_result *r = &row->status->result;
	bool scored = row->standing == STANDING_SCORED;

	a->tally.replaced += scored && r->replaced;
	a->group.tally.replaced += scored && r->replaced;
	if (r->replaced ? !r->first_scored : !scored)
		return;
	a->tally.first_tries++;
	a->group.tally.first_tries++;
	a->first_sum += r->replaced ? r->more->first_score : r->total_score;
}

static void keep_score(const struct summary *s, struct gathering *a, double score)
{
	if (s->options.question == SUMMARY_TASKS_LIKE_THESE && a->group.tasks)
		return;
	GROW(a->scores, a->scores_n, a->scores_cap);
	a->scores[a->scores_n++] = score;
}

static void count_standing(struct tally *t, enum standing standing)
{
	t->planned++;
	t->scored += standing == STANDING_SCORED;
	t->unscored += standing == STANDING_UNSCORED;
	t->missing += standing == STANDING_MISSING;
}

static void add_row(const struct summary *s, struct gathering *a, const struct summary_row *row)
{
	const struct trial_result *r = &row->status->result;
	bool scored = row->standing == STANDING_SCORED;

	if (a->task != row->task)
		end_task(a);
	else if (a->condition != row->condition)
		end_cell(a);
	a->task = row->task;
	a->condition = row->condition;
	count_standing(&a->tally, row->standing);
	count_standing(&a->group.tally, row->standing);
	a->group.states[row->state]++;
	add_first_try(a, row);
	add_usage(a, row);
	if (scored) {
		a->sum += r->total_score;
		a->clean_sum += r->suspect ? 0 : r->total_score;
		a->tally.suspect += r->suspect > 0;
		a->group.tally.suspect += r->suspect > 0;
		a->solved += r->total_score > 1 - ROUNDING;
		a->cell_scored++;
		keep_score(s, a, r->total_score);
	}
	if (row->status->has_result && r->scored && !outcome_is_missing((enum outcome)r->outcome)) {
		a->all_sum += r->total_score;
		a->all_scored++;
	}
}

/* Hoare's selection: V[k] is then what it would be sorted, nothing before it is larger and nothing behind it smaller. */
static void select_at(uint32_t *v, size_t n, size_t k)
{
	for (size_t low = 0, high = n; high - low > 1;) {
		/* The lower one of two in the middle: so J ends below HIGH - 1. */
		uint32_t pivot = v[low + (high - 1 - low) / 2];
		size_t i = low, j = high - 1;
		for (;; i++, j--) {
			while (v[i] < pivot)
				i++;
			while (v[j] > pivot)
				j--;
			if (i >= j)
				break;
			uint32_t swapped = v[i];
			v[i] = v[j];
			v[j] = swapped;
		}
		/* Up to J nothing is larger than the pivot, behind it nothing smaller. */
		if (k <= j)
			high = j + 1;
		else
			low = j + 1;
	}
}

/* Linear between the two that are next to it. */
static int64_t quantile(uint32_t *v, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t low = (size_t)at;

	select_at(v, n, low);
	uint32_t next = low + 1 < n ? v[low + 1] : v[low];
	for (size_t i = low + 2; i < n; i++)
		next = v[i] < next ? v[i] : next;
	return (int64_t)v[low] +
	       (int64_t)llround((at - (double)low) * ((double)next - (double)v[low]));
}

static void end_walls(struct gathering *a)
{
	a->group.wall_median_ms = a->group.wall_p90_ms = -1;
	if (!a->walls_n)
		return;
	a->group.wall_median_ms = quantile(a->walls, a->walls_n, 0.5);
	a->group.wall_p90_ms = quantile(a->walls, a->walls_n, 0.9);
}

static void random_tasks(const struct summary *s, struct stats_mean *out, const double *x,
			 const struct gathering *a)
{
	AUTO(free) size_t *cluster = NULL;

	if (s->clusters.of) {
		cluster = xcalloc(a->group.tasks + 1, sizeof *cluster);
		for (size_t i = 0; i < a->group.tasks; i++)
			cluster[i] = s->clusters.of[a->tasks[i].task];
	}
	stats_mean_random_tasks(out, x, cluster, a->group.tasks, s->clusters.n, s->options.level);
}

static void end_passes(const struct summary *s, struct gathering *a)
{
	static const size_t ks[SUMMARY_PASSES] = {1, 2, 3, 4, 5, 10, 20, 50};
	struct summary_group *g = &a->group;
	AUTO(free) double *at = xcalloc(g->tasks + 1, sizeof *at);
	AUTO(free) double *hat = xcalloc(g->tasks + 1, sizeof *hat);

	if (g->tasks < 2 || g->cells != g->tasks || g->rollouts_min < 2)
		return;
	for (size_t i = 0; i < SUMMARY_PASSES && ks[i] <= g->rollouts_min; i++) {
		struct summary_pass *p = &g->passes[g->passes_n++];
		for (size_t t = 0; t < g->tasks; t++) {
			at[t] = stats_pass_at(a->tasks[t].k, a->tasks[t].solved, ks[i]);
			hat[t] = stats_pass_hat(a->tasks[t].k, a->tasks[t].solved, ks[i]);
		}
		p->k = ks[i];
		random_tasks(s, &p->at, at, a);
		random_tasks(s, &p->hat, hat, a);
	}
}

static double mean_of_tasks(const struct gathering *a)
{
	double sum = 0;

	for (size_t i = 0; i < a->group.tasks; i++)
		sum += a->tasks[i].mean;
	return a->group.tasks ? sum / (double)a->group.tasks : NAN;
}

/* Cells are what is run again; where tasks have different numbers of them, a mean over cells is another one. */
static void these_tasks(const struct summary *s, struct gathering *a)
{
	double mean = mean_of_tasks(a);

	stats_mean_fixed_tasks(&a->group.mean, a->scores, a->cell_k, a->cell_k_n, s->options.level);
	if (fabs(a->group.mean.mean - mean) < ROUNDING)
		return;
	a->group.mean.mean = mean;
	a->group.mean.method = STATS_NONE;
}

static void end_mean(const struct summary *s, struct gathering *a)
{
	struct summary_group *g = &a->group;
	AUTO(free) double *means = xcalloc(g->tasks + 1, sizeof *means);

	for (size_t i = 0; i < g->tasks; i++)
		means[i] = a->tasks[i].mean;
	random_tasks(s, &g->mean, means, a);
	if (s->options.question == SUMMARY_THESE_TASKS && g->tasks > 1) {
		these_tasks(s, a);
		return;
	}
	if (g->tasks != 1)
		return;
	/* With one task the interval is over its rollouts, unless they are of several conditions:
	 * then they are no sample of anything. */
	g->over_rollouts = g->cells == 1;
	if (g->over_rollouts)
		stats_mean_fixed_tasks(&g->mean, a->scores, a->cell_k, 1, s->options.level);
	else
		g->mean.method = STATS_NONE;
}

static void end_group(const struct summary *s, struct gathering *a)
{
	struct summary_group *g = &a->group;

	end_task(a);
	g->worst = a->bounded ? g->worst / (double)a->bounded : NAN;
	g->best = a->bounded ? g->best / (double)a->bounded : NAN;
	g->without_suspects = a->clean_tasks ? a->clean_means / (double)a->clean_tasks : NAN;
	g->first_tries = a->first_tasks ? a->first_means / (double)a->first_tasks : NAN;
	g->with_excluded = g->states[STATE_EXCLUDED] && a->all_tasks
				   ? a->all_means / (double)a->all_tasks
				   : NAN;
	end_mean(s, a);
	end_passes(s, a);
	end_walls(a);
	free(a->tasks);
	free(a->scores);
	free(a->cell_k);
	free(a->walls);
}

static void init_conditions(struct gatherings *all, size_t models)
{
	struct summary *s = all->s;
	bool several = s->conditions_n > models;

	for (size_t i = 0; i < models; i++)
		add_group(all);
	for (size_t i = 0; i < s->conditions_n; i++) {
		struct summary_condition *c = &s->conditions[i];
		all->v[c->model_group].group.of =
			(struct summary_condition){.rollout = c->rollout, .model = c->model};
		if (!several)
			continue;
		c->group = (int)all->n;
		struct gathering *a = add_group(all);
		a->group.level = GROUP_CONDITION;
		a->group.of = *c;
	}
}

static const char *or_none(const char *text)
{
	return text && *text ? text : "(none)";
}

static const char *value_of(const struct summary *s, const struct summary_row *row,
			    enum summary_by by, size_t tag)
{
	const struct summary_condition *c = &s->conditions[row->condition];
	const struct strv *tags = &row->status->shared->tags;

	switch (by) {
	case BY_MODEL:
		return or_none(c->model);
	case BY_LABEL:
		return or_none(c->label);
	case BY_AGENT:
		return or_none(c->agent);
	case BY_TASK:
		return summary_task_name(s, row);
	case BY_SERVED:
		return or_none(summary_answer(row));
	case BY_TAG:
	case BY_COUNT_:
		break;
	}
	return tag < tags->n ? tags->v[tag] : "(none)";
}

/* The group of ROW, by its TAG-th tag. */
static struct gathering *group_by(struct gatherings *all, const struct summary_row *row, size_t tag)
{
	const struct summary_options *o = &all->s->options;
	AUTO(buf) struct buf key = BUF_INIT;

	for (size_t i = 0; i < o->by_n; i++)
		if (o->by[i] == BY_TASK)
			buf_addf(&key, "%d\n", row->task);
		else
			buf_addf(&key, "%s\n", value_of(all->s, row, o->by[i], tag));
	const json_t *known = json_object_get(all->by, key.data);
	if (known)
		return &all->v[json_integer_value(known)];
	json_object_set_new_nocheck(all->by, key.data, json_integer((json_int_t)all->n));
	struct gathering *a = add_group(all);
	a->group.level = GROUP_BY;
	for (size_t i = 0; i < o->by_n; i++)
		a->group.by[i] = value_of(all->s, row, o->by[i], tag);
	return a;
}

static bool by_tag(const struct summary_options *o)
{
	for (size_t i = 0; i < o->by_n; i++)
		if (o->by[i] == BY_TAG)
			return true;
	return false;
}

static bool is_repeated(const struct strv *tags, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (strcmp(tags->v[i], tags->v[at]) == 0)
			return true;
	return false;
}

/* A task with several tags is in a group of each. */
static void add_by(struct gatherings *all, const struct summary_row *row)
{
	const struct strv *tags = &row->status->shared->tags;

	add_row(all->s, group_by(all, row, 0), row);
	for (size_t i = 1; by_tag(&all->s->options) && i < tags->n; i++)
		if (!is_repeated(tags, i))
			add_row(all->s, group_by(all, row, i), row);
}

static bool has_tag(const struct summary_row *row, const char *tag)
{
	const struct strv *tags = &row->status->shared->tags;

	return tags->n ? strv_has(tags, tag) : strcmp(tag, "(none)") == 0;
}

bool summary_group_holds(const struct summary *s, const struct summary_group *g,
			 const struct summary_row *row)
{
	const struct summary_condition *c = &s->conditions[row->condition];
	const struct summary_options *o = &s->options;
	int number = (int)(g - s->groups);

	if (g->level != GROUP_BY)
		return g->level == GROUP_ALL || number == c->model_group || number == c->group;
	for (size_t i = 0; i < o->by_n; i++)
		if (o->by[i] == BY_TAG ? !has_tag(row, g->by[i])
				       : strcmp(g->by[i], value_of(s, row, o->by[i], 0)) != 0)
			return false;
	return true;
}

void summary_groups_make(struct summary *s, size_t models)
{
	AUTO(json) json_t *by = json_object();
	struct gatherings all = {.s = s, .by = by};
	struct gathering everything;

	everything = *add_group(&all);
	all.n = 0;
	everything.group.level = GROUP_ALL;
	if (!s->options.by_n)
		init_conditions(&all, models);
	for (size_t i = 0; i < s->rows_n; i++) {
		const struct summary_row *row = &s->rows[i];
		const struct summary_condition *c = &s->conditions[row->condition];
		if (s->options.by_n)
			add_by(&all, row);
		else
			add_row(s, &all.v[c->model_group], row);
		if (!s->options.by_n && c->group >= 0)
			add_row(s, &all.v[c->group], row);
		add_row(s, &everything, row);
	}
	s->groups = xcalloc(all.n + 1, sizeof *s->groups);
	for (size_t i = 0; i < all.n; i++) {
		end_group(s, &all.v[i]);
		s->groups[s->groups_n++] = all.v[i].group;
	}
	end_group(s, &everything);
	s->groups[s->groups_n++] = everything.group;
	free(all.v);
}
