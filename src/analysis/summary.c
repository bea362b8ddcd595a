/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/summary.h"
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "analysis/answers.h"
#include "analysis/summary-groups.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"

/* The number of KEY in NAMES, an object: keys are numbered from 0 in order of appearance. */
static int name_number(json_t *names, const char *key)
{
	const json_t *known = json_object_get(names, key);

	if (known)
		return (int)json_integer_value(known);
	int n = (int)json_object_size(names);
	json_object_set_new_nocheck(names, key, json_integer(n));
	return n;
}

static enum standing standing_of(const struct trial_status *t)
{
	if (trial_excluded(t) || !t->has_result ||
	    outcome_is_missing((enum outcome)t->result.outcome))
		return STANDING_MISSING;
	return t->result.scored ? STANDING_SCORED : STANDING_UNSCORED;
}

static int state_of(const struct trial_status *t)
{
	if (trial_excluded(t))
		return STATE_EXCLUDED;
	if (t->has_result && !outcome_is_missing((enum outcome)t->result.outcome))
		return (int)t->result.outcome;
	if (t->state == TRIAL_RUNNING)
		return STATE_RUNNING;
	if (t->has_result)
		return (int)t->result.outcome;
	return t->state == TRIAL_INTERRUPTED ? STATE_INTERRUPTED : STATE_NOT_RUN;
}

const char *summary_state_name(int state)
{
	static const char *const names[] = {"running", "interrupted", "not run", "excluded"};

	return state < OUTCOME_COUNT_ ? outcome_name((enum outcome)state)
				      : names[state - OUTCOME_COUNT_];
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static const char *own_name(const struct summary_row *row)
{
	const struct trial_shared *t = row->status->shared;

	return t->task_id[0] ? t->task_id : path_base(t->task_dir);
}

/* What has been met so far: key -> number, as of name_number(). */
struct names {
	json_t *tasks, *conditions, *models;
	struct buf key; /* being put together */
};

/* Its name, however its path is written. The caller frees. */
static char *folder_of(const struct summary_row *row)
{
	const char *dir = row->status->shared->task_dir;
	size_t n = strlen(dir);

	while (n && dir[n - 1] == '/')
		n--;
	AUTO(free) char *whole = xstrndup(dir, n);
	return xstrdup(path_base(whole));
}

/* Two folders may hold tasks of one id, and one folder may be written in two ways. */
static int task_number(struct names *names, const struct summary_row *row)
{
	AUTO(free) char *base = folder_of(row);

	buf_reset(&names->key);
	buf_addf(&names->key, "%s\n%s", own_name(row), base);
	return name_number(names->tasks, names->key.data);
}

/* Two tasks of one id have their folders in their names. */
static void name_tasks(struct summary *s)
{
	AUTO(json) json_t *ids = json_object();
	AUTO(free) const struct summary_row **of = xcalloc(s->tasks_n + 1, sizeof *of);
	AUTO(free) int *first = xcalloc(s->tasks_n + 1, sizeof *first); /* task of its id */
	AUTO(free) bool *shared = xcalloc(s->tasks_n + 1, sizeof *shared);

	s->task_names = xcalloc(s->tasks_n + 1, sizeof *s->task_names);
	for (size_t i = 0; i < s->rows_n; i++)
		of[s->rows[i].task] = &s->rows[i];
	for (size_t i = 0; i < s->tasks_n; i++) {
		size_t known = json_object_size(ids);
		int n = name_number(ids, own_name(of[i]));
		if ((size_t)n == known)
			first[n] = (int)i;
		else
			shared[i] = shared[first[n]] = true;
	}
	for (size_t i = 0; i < s->tasks_n; i++) {
		AUTO(free) char *folder = folder_of(of[i]);
		s->task_names[i] = shared[i] ? xasprintf("%s (%s)", own_name(of[i]), folder)
					     : xstrdup(own_name(of[i]));
	}
}

static int condition_number(struct summary *s, struct names *names, const struct rollout *r,
			    size_t rollout, const struct trial *t)
{
	struct summary_condition c = {.rollout = r,
				      .model = or_empty(t->model),
				      .label = or_empty(t->variant),
				      .agent = or_empty(t->agent),
				      .group = -1};

	buf_reset(&names->key);
	buf_addf(&names->key, "%zu\n%s\n%s\n%s", rollout, c.model, c.label, c.agent);
	int n = name_number(names->conditions, names->key.data);
	if ((size_t)n < s->conditions_n)
		return n;
	buf_reset(&names->key);
	buf_addf(&names->key, "%zu\n%s", rollout, c.model);
	c.model_group = name_number(names->models, names->key.data);
	s->conditions = xreallocarray(s->conditions, s->conditions_n + 1, sizeof c);
	s->conditions[s->conditions_n++] = c;
	return n;
}

static bool same_cell(const struct summary_row *a, const struct summary_row *b)
{
	return a->task == b->task && a->condition == b->condition;
}

/* Sort N rows by a number below LIMIT, those of the same number in the order they have. */
static void sort_by(struct summary_row *to, const struct summary_row *from, size_t n, bool by_task,
		    size_t limit)
{
	AUTO(free) size_t *place = xcalloc(limit + 1, sizeof *place);

	for (size_t i = 0; i < n; i++)
		place[(by_task ? from[i].task : from[i].condition) + 1]++;
	for (size_t i = 1; i < limit; i++)
		place[i] += place[i - 1];
	for (size_t i = 0; i < n; i++)
		to[place[by_task ? from[i].task : from[i].condition]++] = from[i];
}

/* By task, condition and number of the rollout; rows come in the order of their plan, which has nearly always the last. */
static void sort_rows(struct summary *s)
{
	AUTO(free) struct summary_row *other = xcalloc(s->rows_n + 1, sizeof *other);

	sort_by(other, s->rows, s->rows_n, false, s->conditions_n);
	sort_by(s->rows, other, s->rows_n, true, s->tasks_n);
	for (size_t i = 1; i < s->rows_n; i++) {
		const struct summary_row row = s->rows[i];
		size_t k = i;
		for (; k && same_cell(&s->rows[k - 1], &row) &&
		       s->rows[k - 1].status->rollout > row.status->rollout;
		     k--)
			s->rows[k] = s->rows[k - 1];
		s->rows[k] = row;
	}
}

/* What trials share says which task and condition they are of; open addressing. */
struct shared {
	struct one_shared {
		const struct trial_shared *trial;
		int task, condition;
	} * v;
	size_t n, cap;
};

static struct one_shared *find_shared(const struct shared *s, const struct trial_shared *t)
{
	size_t i = ((uintptr_t)t >> 4) * 0x9e3779b97f4a7c15 >> 16 & (s->cap - 1);

	while (s->v[i].trial && s->v[i].trial != t)
		i = (i + 1) & (s->cap - 1);
	return &s->v[i];
}

static void make_room(struct shared *s)
{
	struct shared larger = {.n = s->n, .cap = s->cap ? 2 * s->cap : 256};

	if (2 * s->n < s->cap)
		return;
	larger.v = xcalloc(larger.cap, sizeof *larger.v);
	for (size_t i = 0; i < s->cap; i++)
		if (s->v[i].trial)
			*find_shared(&larger, s->v[i].trial) = s->v[i];
	free(s->v);
	*s = larger;
}

static void add_rows(struct summary *s, struct names *names, const struct rollout *r,
		     size_t rollout)
{
	struct shared shared = {0};

	for (size_t i = 0; i < r->trials_n; i++) {
		struct summary_row *row = &s->rows[s->rows_n++];
		row->status = &r->trials[i];
		row->standing = standing_of(row->status);
		row->state = (unsigned)state_of(row->status);
		make_room(&shared);
		struct one_shared *one = find_shared(&shared, row->status->shared);
		if (!one->trial) {
			*one = (struct one_shared){row->status->shared, task_number(names, row),
						   condition_number(s, names, r, rollout,
								    row->status->shared->setting)};
			shared.n++;
		}
		row->task = one->task;
		row->condition = one->condition;
	}
	free(shared.v);
}

/* How many groups of models there are: each model of each rollout. */
static size_t make_rows(struct summary *s, const struct rollout *const *rollouts, size_t n)
{
	AUTO(json) json_t *tasks = json_object(), *conditions = json_object(),
			  *models = json_object();
	struct names names = {tasks, conditions, models, BUF_INIT};
	size_t rows = 0;

	for (size_t i = 0; i < n; i++)
		rows += rollouts[i]->trials_n;
	s->rows = xcalloc(rows + 1, sizeof *s->rows);
	for (size_t i = 0; i < n; i++)
		add_rows(s, &names, rollouts[i], i);
	s->tasks_n = json_object_size(tasks);
	name_tasks(s);
	buf_release(&names.key);
	sort_rows(s);
	return json_object_size(models);
}

static size_t count_distinct(const struct summary *s, size_t offset)
{
	AUTO(json) json_t *names = json_object();

	for (size_t i = 0; i < s->conditions_n; i++) {
		const char *name;
		memcpy(&name, (const char *)&s->conditions[i] + offset, sizeof name);
		(void)name_number(names, name);
	}
	return json_object_size(names);
}

static void fill_cell(struct summary_cell *cell, const struct summary_row *rows, size_t n)
{
	cell->tally.planned = n;
	cell->max = -INFINITY;
	for (size_t i = 0; i < n; i++) {
		cell->tally.unscored += rows[i].standing == STANDING_UNSCORED;
		cell->tally.missing += rows[i].standing == STANDING_MISSING;
		cell->tally.replaced +=
			rows[i].standing == STANDING_SCORED && rows[i].status->result.replaced;
		if (rows[i].standing != STANDING_SCORED)
			continue;
		double score = rows[i].status->result.total_score;
		cell->tally.scored++;
		cell->sum += score;
		cell->tally.suspect += rows[i].status->result.suspect > 0;
		cell->max = fmax(cell->max, score);
	}
}

struct stats_mean summary_cell_mean(const struct summary *s, const struct summary_cell *c)
{
	AUTO(free) double *scores = xcalloc(c->tally.scored + 1, sizeof *scores);
	struct stats_mean out;
	size_t n = 0;

	for (size_t i = 0; i < c->tally.planned; i++)
		if (s->rows[c->first + i].standing == STANDING_SCORED)
			scores[n++] = s->rows[c->first + i].status->result.total_score;
	stats_mean_fixed_tasks(&out, scores, &n, n > 0, s->options.level);
	return out;
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

static void count_missing(struct summary *s)
{
	struct summary_missing *m = &s->missing;

	for (size_t i = 0; i < s->rows_n; i++) {
		size_t k = 0;
		if (s->rows[i].standing != STANDING_MISSING)
			continue;
		const char *outcome = summary_state_name(s->rows[i].state);
		while (k < m->n && strcmp(m->outcome[k], outcome) != 0)
			k++;
		if (k == m->n)
			m->outcome[m->n++] = outcome;
		m->count[k]++;
	}
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

/* What the agent did is fine, and its verifier gave no score for it: said as such, and no way in which a trial ended. */
static const char *failure_of(const struct trial_result *r)
{
	static const char unscored[] = "unscored";

	if (r->outcome != OUTCOME_COMPLETED)
		return outcome_name((enum outcome)r->outcome);
	return !r->scored && !strncmp(r->reason, "unscored: ", strlen("unscored: ")) ? unscored
										     : NULL;
}

static void make_failures(struct summary *s)
{
	s->failures = xcalloc(s->rows_n + 1, sizeof *s->failures);
	for (size_t i = 0; i < s->rows_n; i++) {
		const struct trial_status *t = s->rows[i].status;
		const char *how = t->has_result ? failure_of(&t->result) : NULL;
		if (trial_excluded(t) || !how)
			continue;
		const char *reason = t->result.reason[0] ? t->result.reason : "no reason given";
		if (t->result.outcome == OUTCOME_COMPLETED)
			reason += strlen("unscored: ");
		s->failures[s->failures_n++] = (struct summary_failure){how, reason, 1, i};
	}
	merge_failures(s);
}

static void show_all(struct summary *s)
{
	s->shown = xcalloc(s->cells_n + 1, sizeof *s->shown);
	for (size_t i = 0; i < s->cells_n; i++)
		s->shown[i] = i;
	s->shown_n = s->cells_n;
}

static void make_clusters(struct summary *s)
{
	AUTO(free) const struct trial_shared **tasks = xcalloc(s->tasks_n + 1, sizeof *tasks);

	for (size_t i = 0; i < s->rows_n; i++)
		tasks[s->rows[i].task] = s->rows[i].status->shared;
	clusters_make(&s->clusters, tasks, s->tasks_n, s->options.cluster);
}

void summary_make(struct summary *out, const struct rollout *const *rollouts, size_t n,
		  const struct summary_options *options)
{
	*out = (struct summary){.options = *options};
	size_t model_groups = make_rows(out, rollouts, n);
	out->models_n = count_distinct(out, offsetof(struct summary_condition, model));
	out->labels_n = count_distinct(out, offsetof(struct summary_condition, label));
	out->agents_n = count_distinct(out, offsetof(struct summary_condition, agent));
	make_clusters(out);
	make_cells(out);
	show_all(out);
	summary_groups_make(out, model_groups);
	answers_make(out);
	count_missing(out);
	make_failures(out);
}

void summary_release(struct summary *s)
{
	clusters_release(&s->clusters);
	free(s->rows);
	free(s->cells);
	free(s->shown);
	answers_release(s);
	for (size_t i = 0; s->task_names && i < s->tasks_n; i++)
		free(s->task_names[i]);
	free(s->task_names);
	free(s->conditions);
	free(s->groups);
	free(s->failures);
}

const struct summary_group *summary_all(const struct summary *s)
{
	return &s->groups[s->groups_n - 1];
}
