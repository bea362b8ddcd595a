/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "simulate/history.h"
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/event.h"
#include "core/outcome.h"
#include "stats/distribution.h"
#include "store/journal.h"

enum { SEC_MAX = 30 * 24 * 3600 };

static int parse_numbers(struct durations *d, const char *text, const char *name, int wanted)
{
	const size_t n = strlen(name);
	char *end;

	if (strncmp(text, name, n) != 0 || text[n] != '(')
		return -1;
	d->median_sec = strtod(text + n + 1, &end);
	if (wanted == 2) {
		if (*end != ',')
			return -1;
		d->sigma = strtod(end + 1, &end);
	}
	return strcmp(end, ")") == 0 && d->median_sec > 0 && d->median_sec <= SEC_MAX &&
			       d->sigma >= 0 && d->sigma <= 5
		       ? 0
		       : -1;
}

int durations_parse(struct durations *out, const char *text, struct err *err)
{
	*out = (struct durations){.kind = DURATIONS_HISTORY};
	if (strcmp(text, "history") == 0)
		return 0;
	if (!parse_numbers(out, text, "lognormal", 2))
		out->kind = DURATIONS_LOGNORMAL;
	else if (!parse_numbers(out, text, "exponential", 1))
		out->kind = DURATIONS_EXPONENTIAL;
	else if (!parse_numbers(out, text, "fixed", 1))
		out->kind = DURATIONS_FIXED;
	else
		return err_set(err, ERR_USAGE, 0,
			       "--durations %s: give history, lognormal(MEDIAN_SEC,SIGMA), "
			       "exponential(MEAN_SEC) or fixed(SEC)",
			       text);
	return 0;
}

static void add(struct task_times *t, double sec)
{
	GROW(t->sec, t->n, t->cap);
	t->sec[t->n++] = sec;
}

static struct task_times *of_task(const struct durations *d, const char *task_id)
{
	for (size_t i = 0; i < d->tasks_n; i++)
		if (!strcmp(d->tasks[i].task_id, task_id))
			return &d->tasks[i];
	return NULL;
}

struct reading {
	struct durations *d;
	const struct planfile *plan;
	json_t *started; /* run id -> when its attempt began to work */
	size_t attempts, failed, priced, counted;
	double usd, calls;
};

static const char *task_of(const struct planfile *plan, const char *run_id)
{
	for (size_t i = 0; i < plan->n; i++)
		if (!strcmp(plan->trials[i].run_id, run_id))
			return plan->trials[i].task_id;
	return "";
}

static void on_line(void *arg, const json_t *line)
{
	struct reading *r = arg;
	const char *event = json_get_str(line, "event", "");
	const char *run = json_get_str(line, "run", "");
	const int64_t wall = json_get_int(line, "wall", 0);

	if (!strcmp(event, EVENT_STARTED)) {
		json_put_int(r->started, run, wall);
		return;
	}
	if (strcmp(event, EVENT_FINISHED) != 0 || json_get_bool(line, "regrade", false))
		return;
	const int64_t began = json_get_int(r->started, run, 0);
	const char *outcome = json_get_str(line, "outcome", "");
	const json_t *usd = json_object_get(line, "usd"), *calls = json_object_get(line, "calls");
	if (!began || !strcmp(outcome, outcome_name(OUTCOME_CANCELLED)))
		return;
	r->attempts++;
	if (!strcmp(outcome, outcome_name(OUTCOME_INFRA_ERROR))) {
		r->failed++;
		return;
	}
	const char *task = task_of(r->plan, run);
	struct task_times *t = of_task(r->d, task);
	if (!t) {
		GROW(r->d->tasks, r->d->tasks_n, r->d->tasks_cap);
		t = &r->d->tasks[r->d->tasks_n++];
		*t = (struct task_times){.task_id = xstrdup(task)};
	}
	const double sec = (double)(wall - began) / 1000;
	add(t, sec > 0.001 ? sec : 0.001);
	add(&r->d->all, sec > 0.001 ? sec : 0.001);
	if (json_is_number(usd)) {
		r->usd += json_number_value(usd);
		r->priced++;
	}
	if (json_is_number(calls)) {
		r->calls += json_number_value(calls);
		r->counted++;
	}
}

int durations_read(struct durations *d, const struct store *s, const struct rollout_ref *ref,
		   struct err *err)
{
	AUTO(fd)
	int dir = path_open_beneath(s->root_fd, ref->path, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(json) json_t *started = json_object();
	struct planfile plan;
	struct journal_stats stats;

	if (dir < 0 || planfile_read(&plan, dir, ref->path, err))
		return -1;
	struct reading r = {.d = d, .plan = &plan, .started = started};
	int rc = journal_read(dir, JOURNAL_RESULTS, on_line, &r, &stats, err);
	planfile_release(&plan);
	if (rc)
		return -1;
	if (!d->all.n)
		return err_set(err, ERR_USAGE, 0,
			       "%s/%s: no trial of it has finished: give --durations "
			       "lognormal(MEDIAN_SEC,SIGMA)",
			       ref->name, ref->stamp);
	d->failures = (double)r.failed / (double)r.attempts;
	d->usd = r.priced ? r.usd / (double)r.priced : 0;
	d->calls = r.counted ? r.calls / (double)r.counted : 0;
	return 0;
}

/* splitmix64, of what makes one draw another than the next. */
double durations_chance(uint64_t seed, uint64_t index, uint64_t which)
{
	uint64_t x = seed + index * 0x9e3779b97f4a7c15U + which * 0xd1b54a32d192ed03U;

	for (int i = 0; i < 2; i++) {
		x += 0x9e3779b97f4a7c15U;
		x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
		x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
		x ^= x >> 31;
	}
	return ((double)(x >> 11) + 0.5) / (double)(1ULL << 53);
}

double durations_draw(const struct durations *d, const char *task_id, uint64_t seed, size_t index,
		      int try)
{
	const double u = durations_chance(seed, index, (uint64_t)try * 2);
	const struct task_times *t = d->kind == DURATIONS_HISTORY ? of_task(d, task_id) : NULL;

	switch (d->kind) {
	case DURATIONS_LOGNORMAL:
		return d->median_sec * exp(d->sigma * stats_normal_quantile(u));
	case DURATIONS_EXPONENTIAL:
		return -d->median_sec * log(u);
	case DURATIONS_FIXED:
		return d->median_sec;
	case DURATIONS_HISTORY:
		break;
	}
	/* A task that never ran is like any. */
	if (!t)
		t = &d->all;
	return t->sec[(size_t)(u * (double)t->n)];
}

double durations_expect(const struct durations *d, const char *task_id)
{
	const struct task_times *t = d->kind == DURATIONS_HISTORY ? of_task(d, task_id) : NULL;
	double sum = 0;

	if (!t)
		t = &d->all;
	for (size_t i = 0; i < t->n; i++)
		sum += t->sec[i];
	return t->n ? sum / (double)t->n : d->median_sec;
}

void durations_release(struct durations *d)
{
	for (size_t i = 0; i < d->tasks_n; i++) {
		free(d->tasks[i].task_id);
		free(d->tasks[i].sec);
	}
	free(d->tasks);
	free(d->all.sec);
	*d = (struct durations){0};
}
