/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * metric.h -- what was measured of a trial beside its score: numbers with names. Some are the same for every trial
 * (metric_name: time, tokens, what the machine was used for); others a task's tests have written.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

struct metric {
	char *name;
	double value;
	bool self_reported; /* code under test ran where it was written, and could have written it */
};

/* Those of the tests, in the order in which they came; each name once. */
struct metrics {
	struct metric *v;
	size_t n, cap;
};

/* NULL: there is none of that name. */
struct metric *metrics_find(const struct metrics *m, const char *name);
/* Append one whose name is new. Copies. */
void metrics_add(struct metrics *m, const char *name, double value, bool self_reported);
void metrics_remove(struct metrics *m, const char *name);
void metrics_release(struct metrics *m);
/* {name: value}, and the names of those that are self-reported as a list: new references; and back, into an empty M:
 * what is no number is left out. */
json_t *metrics_to_json(const struct metrics *m);
json_t *metrics_self_reported(const struct metrics *m);
void metrics_from_json(struct metrics *m, const json_t *values, const json_t *self_reported);

/* Of a trial in a cloud, as result.machine has them; tests may name nothing so. */
#define METRIC_MACHINE_SEC "machine_seconds"
#define METRIC_MACHINE_USD "machine_cost_usd"

/* What is known of every trial: metric I's name, which says its unit. */
enum { METRIC_COUNT = 27 };
const char *metric_name(size_t i);
/* From result.json: NAN where it is not known. Flags are 0 or 1. */
void metric_values(double out[METRIC_COUNT], const json_t *result);
