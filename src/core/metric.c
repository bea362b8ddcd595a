/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/metric.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"

struct metric *metrics_find(const struct metrics *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->v[i].name, name) == 0)
			return &m->v[i];
	return NULL;
}

void metrics_add(struct metrics *m, const char *name, double value, bool self_reported)
{
	GROW(m->v, m->n, m->cap);
	m->v[m->n++] = (struct metric){xstrdup(name), value, self_reported};
}

void metrics_remove(struct metrics *m, const char *name)
{
	struct metric *one = metrics_find(m, name);

	if (!one)
		return;
	free(one->name);
	m->n--;
	memmove(one, one + 1, (size_t)(m->v + m->n - one) * sizeof *one);
}

void metrics_release(struct metrics *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->v[i].name);
	free(m->v);
	*m = (struct metrics){0};
}

/* What was written as a whole number reads as one. The worker links no libm. */
static json_t *number(double v)
{
	const bool is_small = v > -1e15 && v < 1e15;

	return is_small && (double)(json_int_t)v == v ? json_integer((json_int_t)v) : json_real(v);
}

json_t *metrics_to_json(const struct metrics *m)
{
	json_t *j = json_object();

	for (size_t i = 0; i < m->n; i++)
		json_put(j, m->v[i].name, number(m->v[i].value));
	return j;
}

json_t *metrics_self_reported(const struct metrics *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].self_reported)
			json_array_append_new(list, json_string(m->v[i].name));
	return list;
}

static bool is_listed(const json_t *list, const char *name)
{
	size_t i;
	json_t *item;

	json_array_foreach ((json_t *)list, i, item)
		if (json_is_string(item) && strcmp(json_string_value(item), name) == 0)
			return true;
	return false;
}

void metrics_from_json(struct metrics *m, const json_t *values, const json_t *self_reported)
{
	const char *name;
	json_t *v;

	json_object_foreach ((json_t *)values, name, v)
		if (json_is_number(v))
			metrics_add(m, name, json_number_value(v), is_listed(self_reported, name));
}

/* Where each is in result.json, and what its value there is to be divided by. Journals hold them in this order: it only
 * grows, at its end. */
static const struct {
	const char *name, *path[3];
	double unit;
} known[] = {
	{"wall_seconds", {"phases_ms", "", NULL}, 1000},
	{"agent_seconds", {"agent", "metrics", "wall_ms"}, 1000},
	{"evaluation_seconds", {"evaluation", "wall_ms", NULL}, 1000},
	{"waiting_seconds", {"agent", "metrics", "waited_ms"}, 1000},
	{"tokens_input", {"agent", "metrics", "tokens_input"}, 1},
	{"tokens_cached", {"agent", "metrics", "tokens_cached"}, 1},
	{"tokens_cache_write", {"agent", "metrics", "tokens_cache_write"}, 1},
	{"tokens_output", {"agent", "metrics", "tokens_output"}, 1},
	{"tokens_reasoning", {"agent", "metrics", "tokens_reasoning"}, 1},
	{"cost_usd", {"agent", "metrics", "money_usd"}, 1},
	{"model_calls", {"agent", "metrics", "calls"}, 1},
	{"tool_calls", {"agent", "metrics", "tool_calls"}, 1},
	{"files_changed", {"agent", "diff_files", NULL}, 1},
	{"lines_changed", {"agent", "diff_lines", NULL}, 1},
	{"memory_max_mb", {"agent", "metrics", "memory_max"}, 1 << 20},
	{"cpu_seconds", {"agent", "metrics", "cpu_ms"}, 1000},
	{"disk_mb", {"agent", "metrics", "disk_bytes"}, 1 << 20},
	{"evaluation_memory_max_mb", {"evaluation", "memory_max", NULL}, 1 << 20},
	{"evaluation_cpu_seconds", {"evaluation", "cpu_ms", NULL}, 1000},
	{"tests_passed", {"tests_passed", NULL, NULL}, 1},
	{"oom_killed", {"oom_killed", NULL, NULL}, 1},
	{"cpu_pressure", {"evaluation", "cpu_pressure", NULL}, 1},
	{"timed_out_under_load", {"evaluation", "timed_out_under_load", NULL}, 1},
	{"judge_calls", {"judge", "calls", NULL}, 1},
	{"judge_tokens_input", {"judge", "tokens_input", NULL}, 1},
	{"judge_tokens_output", {"judge", "tokens_output", NULL}, 1},
	{"judge_cost_usd", {"judge", "money_usd", NULL}, 1},
};

static double sum_of(const json_t *numbers)
{
	const char *name;
	json_t *v;
	double sum = 0;

	json_object_foreach ((json_t *)numbers, name, v)
		sum += json_number_value(v);
	return json_object_size(numbers) ? sum : NAN;
}

static double find_value(const json_t *j, const char *const path[3])
{
	for (size_t i = 0; i < 3 && path[i]; i++) {
		if (!*path[i])
			return sum_of(j);
		j = json_object_get(j, path[i]);
	}
	if (json_is_boolean(j))
		return json_is_true(j);
	return json_is_number(j) ? json_number_value(j) : NAN;
}

const char *metric_name(size_t i)
{
	return known[i].name;
}

void metric_values(double out[METRIC_COUNT], const json_t *result)
{
	_Static_assert(ARRAY_SIZE(known) == METRIC_COUNT, "METRIC_COUNT is their number");

	for (size_t i = 0; i < METRIC_COUNT; i++)
		out[i] = find_value(result, known[i].path) / known[i].unit;
}
