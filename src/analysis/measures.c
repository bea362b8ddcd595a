/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/measures.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "stats/distribution.h"

void measures_custom(const struct summary *s, const char ***names, size_t *n)
{
	AUTO(json) json_t *seen = json_object();

	for (size_t i = 0; i < s->rows_n; i++) {
		const struct trial_result *r = &s->rows[i].status->result;
		for (size_t k = 0; k < r->more->custom_n; k++) {
			if (json_object_get(seen, r->more->custom[k].name))
				continue;
			json_object_set_new(seen, r->more->custom[k].name, json_true());
			*names = xreallocarray(*names, *n + 1, sizeof **names);
			(*names)[(*n)++] = r->more->custom[k].name;
		}
	}
}

static int builtin(const char *name)
{
	for (int i = 0; i < METRIC_COUNT; i++)
		if (strcmp(metric_name((size_t)i), name) == 0)
			return i;
	return -1;
}

bool measures_has(const struct summary *s, const char *name)
{
	if (strcmp(name, "score") == 0 || builtin(name) >= 0)
		return true;
	for (size_t i = 0; i < s->rows_n; i++)
		if (trial_metric_of(s->rows[i].status, name))
			return true;
	return false;
}

double measure_builtin(const struct trial_status *t, size_t i)
{
	return t->has_result && t->result.more->measured ? t->result.more->measured[i] : NAN;
}

double measure_of(const struct trial_status *t, const char *name)
{
	const struct trial_metric *custom = trial_metric_of(t, name);
	int i = builtin(name);

	if (!t->has_result)
		return NAN;
	if (strcmp(name, "score") == 0)
		return t->result.scored ? t->result.total_score : NAN;
	if (i >= 0 && t->result.more->measured)
		return measure_builtin(t, (size_t)i);
	return custom ? custom->value : NAN;
}

double measure_custom(const struct trial_status *t, const char *name)
{
	const struct trial_metric *custom = trial_metric_of(t, name);

	return custom ? custom->value : NAN;
}

bool measure_is_self_reported(const struct trial_status *t, const char *name)
{
	const struct trial_metric *custom = trial_metric_of(t, name);

	return custom && custom->self_reported;
}

/* Task means while they are put together, task by task. */
struct adding {
	struct measure_mean out;
	int task; /* -1: none yet */
	double sum;
	size_t n;
	double *means;
	size_t means_n, cap;
};

static void end_task(struct adding *a)
{
	if (!a->n)
		return;
	GROW(a->means, a->means_n, a->cap);
	a->means[a->means_n++] = a->sum / (double)a->n;
	a->sum = 0;
	a->n = 0;
}

static void add_row(struct adding *a, const struct summary_row *row, const char *name)
{
	double value = row->standing == STANDING_MISSING ? NAN : measure_of(row->status, name);

	if (row->task != a->task)
		end_task(a);
	a->task = row->task;
	if (isnan(value))
		return;
	a->sum += value;
	a->n++;
	a->out.trials++;
	a->out.self_reported |= measure_is_self_reported(row->status, name);
}

static struct measure_mean finish(struct adding *a, double level)
{
	double sum = 0, squares = 0;

	end_task(a);
	double n = (double)a->means_n;
	for (size_t i = 0; i < a->means_n; i++)
		sum += a->means[i];
	a->out.tasks = a->means_n;
	a->out.mean = a->means_n ? sum / n : NAN;
	for (size_t i = 0; i < a->means_n; i++)
		squares += (a->means[i] - a->out.mean) * (a->means[i] - a->out.mean);
	free(a->means);
	a->out.low = a->out.high = NAN;
	if (a->means_n > 1) {
		double half =
			stats_t_quantile(0.5 + level / 2, n - 1) * sqrt(squares / (n - 1) / n);
		a->out.low = a->out.mean - half;
		a->out.high = a->out.mean + half;
	}
	return a->out;
}

struct measure_mean measure_group(const struct summary *s, const struct summary_group *g,
				  const char *name)
{
	struct adding a = {.task = -1};

	for (size_t i = 0; i < s->rows_n; i++)
		if (summary_group_holds(s, g, &s->rows[i]))
			add_row(&a, &s->rows[i], name);
	return finish(&a, s->options.level);
}

struct measure_mean measure_cell(const struct summary *s, const struct summary_cell *cell,
				 const char *name)
{
	struct adding a = {.task = -1};

	for (size_t i = 0; i < cell->tally.planned; i++)
		add_row(&a, &s->rows[cell->first + i], name);
	return finish(&a, s->options.level);
}
