// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/progress.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/event.h"
#include "core/metric.h"
#include "core/model-share.h"

void progress_release(struct trial_progress *p)
{
	free(p->reason);
	free(p->graded);
	free(p->served);
	free(p->judge);
	free(p->job);
	p->reason = p->graded = p->served = p->judge = p->job = NULL;
}

/* What its machine and each of several models cost, beside the numbers that tests wrote. */
static json_t *with_costs(const json_t *custom, const json_t *result)
{
	const json_t *agent = json_object_get(result, "agent");
	const json_t *shares = json_object_get(json_object_get(agent, "metrics"), "by_model"), *one;
	json_t *all = custom ? json_copy((json_t *)custom) : json_object();
	size_t i;

	json_array_foreach (shares, i, one) {
		const char *model = json_get_str(one, "model", "");
		AUTO(free) char *usd = xasprintf(SHARE_USD "%s", model);
		AUTO(free) char *tokens = xasprintf(SHARE_TOKENS "%s", model);
		if (json_get_real(one, "usd", -1) >= 0)
			json_put_real(all, usd, json_get_real(one, "usd", -1));
		json_put_int(all, tokens, json_get_int(one, "tokens", 0));
	}
	const json_t *machine = json_object_get(result, "machine");
	if (json_get_real(machine, "seconds", -1) >= 0)
		json_put_real(all, METRIC_MACHINE_SEC, json_get_real(machine, "seconds", -1));
	if (json_get_real(machine, "usd", -1) >= 0)
		json_put_real(all, METRIC_MACHINE_USD, json_get_real(machine, "usd", -1));
	return all;
}

/* The last members before the result tell a reader that it needs none of that: see journal-read.c. */
static void put_measured(json_t *fields, const json_t *result)
{
	double values[METRIC_COUNT];
	json_t *list = json_array(), *custom = json_object_get(result, "metrics"),
	       *self_reported = json_object_get(result, "self_reported");

	metric_values(values, result);
	for (size_t i = 0; i < METRIC_COUNT; i++)
		json_array_append_new(list, isnan(values[i]) ? json_null() : json_real(values[i]));
	const json_t *tests = json_object_get(result, "evaluation");
	if (json_get_bool(tests, "timed_out_under_load", false) ||
	    json_get_bool(tests, "killed", false))
		json_put_bool(fields, "late", true);
	if (json_array_size(json_object_get(result, "suspect")))
		json_put_int(fields, "suspect",
			     (int64_t)json_array_size(json_object_get(result, "suspect")));
	AUTO(json) json_t *named = with_costs(custom, result);
	if (json_object_size(named))
		json_put(fields, "custom", json_incref(named));
	if (json_array_size(self_reported))
		json_put(fields, "self_reported", json_incref(self_reported));
	json_put(fields, "measured", list);
}

json_t *progress_finished(enum outcome outcome, const json_t *result)
{
	static const char *const copied[] = {
		"reason",  "total_score", "regrade",	 "task_hash",	 "image_id",
		"program", "judge_score", "judge_model", "judge_prompt", "judge_votes"};
	static const char *const metered[][2] = {
		{"tokens_total", "tokens"},   {"money_usd", "usd"}, {"model_served", "served"},
		{"tool_calls", "tool_calls"}, {"calls", "calls"},   {"wall_ms", "wall_ms"},
	};
	static const char *const left_out[][2] = {
		{"skipped_paths", "skipped"},
		{"ignored_paths", "ignored"},
	};
	json_t *fields = json_object(), *value;

	json_put_str(fields, "outcome", outcome_name(outcome));
	json_put_str(fields, "digest",
		     json_get_str(json_object_get(result, "agent"), "digest", ""));
	const json_t *agent = json_object_get(result, "agent");
	const json_t *metrics = json_object_get(agent, "metrics");
	for (size_t i = 0; i < ARRAY_SIZE(metered); i++)
		if ((value = json_object_get(metrics, metered[i][0])))
			json_put(fields, metered[i][1], json_incref(value));
	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		if ((value = json_object_get(agent, left_out[i][0])))
			json_put(fields, left_out[i][1], json_incref(value));
	for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
		if ((value = json_object_get(result, copied[i])))
			json_put(fields, copied[i], json_incref(value));
	/* Only what is known: a line that says nothing costs as much as one that does. */
	const char *version = json_get_str(json_object_get(result, "agent"), "version", "");
	const char *judge = json_get_str(json_object_get(result, "judge"), "model_served", "");
	if (*version)
		json_put_str(fields, "agent_version", version);
	if (*judge)
		json_put_str(fields, "judge_served", judge);
	if ((value = json_object_get(json_object_get(result, "judge"), "money_usd")))
		json_put(fields, "judge_usd", json_incref(value));
	put_measured(fields, result);
	json_put(fields, "result", json_incref((json_t *)result));
	return fields;
}

bool progress_has_result(const struct trial_progress *p)
{
	return p->result_attempt && !outcome_is_missing(p->outcome);
}

static void forget_job(struct trial_progress *p)
{
	free(p->job);
	p->job = NULL;
}

static bool on_started(struct trial_progress *p, int attempt, const json_t *fields)
{
	p->state = TRIAL_RUNNING;
	forget_job(p);
	if (attempt > p->attempts)
		p->attempts = attempt;
	p->whole = json_get_bool(fields, "whole", false);
	p->phase[0] = '\0';
	if (!json_get_int(fields, "agent_from", 0) && attempt > p->agent_started) {
		p->agent_started = attempt;
		p->agent_committed = 0;
	}
	return false;
}

static bool on_submitted(struct trial_progress *p, int attempt, const json_t *fields)
{
	forget_job(p);
	if (attempt == p->attempts)
		p->job = xstrdup(json_get_str(fields, "job", ""));
	return false;
}

static bool on_phase(struct trial_progress *p, int attempt, const json_t *fields)
{
	snprintf(p->phase, sizeof p->phase, "%s", json_get_str(fields, "phase", ""));
	return false;
}

static bool on_agent_done(struct trial_progress *p, int attempt, const json_t *fields)
{
	if (attempt > p->agent_committed && attempt >= p->agent_started)
		p->agent_committed = attempt;
	return false;
}

static bool on_interrupted(struct trial_progress *p, int attempt, const json_t *fields)
{
	if (attempt == p->attempts && p->state == TRIAL_RUNNING)
		p->state = TRIAL_INTERRUPTED;
	forget_job(p);
	return false;
}

static void take_result(struct trial_progress *p, enum outcome outcome, int attempt,
			const json_t *fields)
{
	const json_t *score = json_object_get(fields, "total_score");
	const char *reason = json_get_str(fields, "reason", "");
	const char *served = json_get_str(fields, "served", "");
	const char *judge = json_get_str(fields, "judge_model", "");
	bool regrade = json_get_bool(fields, "regrade", false);

	if (p->whole && !regrade) {
		p->replaced = false;
	} else if (progress_has_result(p) && !regrade && !p->replaced) {
		p->replaced = true;
		p->first_scored = p->scored;
		p->first_score = p->total_score;
	}
	p->outcome = outcome;
	p->result_attempt = attempt;
	p->scored = json_is_number(score);
	p->total_score = p->scored ? json_number_value(score) : 0;
	p->late = json_get_bool(fields, "late", false);
	p->tokens = json_get_int(fields, "tokens", -1);
	p->usd = json_get_real(fields, "usd", -1);
	p->judge_usd = json_get_real(fields, "judge_usd", -1);
	free(p->served);
	p->served = *served ? xstrdup(served) : NULL;
	free(p->judge);
	p->judge = *judge ? xstrdup(judge) : NULL;
	free(p->reason);
	p->reason = *reason ? xstrdup(reason) : NULL;
	free(p->graded);
	p->graded = xstrdup(json_get_str(fields, "task_hash", NULL));
}

static bool on_finished(struct trial_progress *p, int attempt, const json_t *fields)
{
	enum outcome outcome;

	if (attempt <= p->last_finished ||
	    !outcome_parse(json_get_str(fields, "outcome", ""), &outcome))
		return false;
	p->last_finished = attempt;
	p->state = TRIAL_FINISHED;
	forget_job(p);
	/* Grading again can only add: when it fails, the result there was still counts. */
	if (json_get_bool(fields, "regrade", false) && outcome_is_missing(outcome) &&
	    progress_has_result(p))
		return false;
	take_result(p, outcome, attempt, fields);
	return true;
}

bool progress_apply(struct trial_progress *p, const char *event, int attempt, const json_t *fields)
{
	static const struct {
		const char *event;
		bool (*apply)(struct trial_progress *p, int attempt, const json_t *fields);
	} table[] = {
		{EVENT_STARTED, on_started},   {EVENT_SUBMITTED, on_submitted},
		{EVENT_PHASE, on_phase},       {EVENT_AGENT_DONE, on_agent_done},
		{EVENT_FINISHED, on_finished}, {EVENT_INTERRUPTED, on_interrupted},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(event, table[i].event))
			return table[i].apply(p, attempt, fields);
	return false;
}

struct reading {
	struct trial_progress *progress;
	const struct trial *trials;
	const struct progress_keeper *keeper; /* where there are no trials */
	size_t n;
	struct journal_cost *cost;
	char *rollout_id; /* as in journal_stats, or NULL */
	progress_result_fn *on_result;
	void *arg;
};

/* The trial a line is about: RUN_ID ends in its index. N when there is none. KEPT: how far it is, of a keeper's. */
static size_t find(const struct reading *m, const json_t *line, struct trial_progress *kept)
{
	const char *run = json_get_str(line, "run", "");
	const char *key = json_get_str(line, "trial", "");
	const char *dash = strrchr(run, '-');
	size_t index = dash ? strtoul(dash + 1, NULL, 10) : m->n;

	if (index >= m->n)
		return m->n;
	bool found = m->keeper ? m->keeper->get(m->keeper->arg, index, run, key, kept)
			       : !strcmp(m->trials[index].run_id, run) &&
					 !strcmp(m->trials[index].key, key);
	return found ? index : m->n;
}

static void on_cost(struct journal_cost *to, const json_t *line)
{
	*to = (struct journal_cost){.calls = json_get_int(line, "calls", 0),
				    .tokens = json_get_int(line, "tokens", 0),
				    .unpriced_calls = json_get_int(line, "unpriced_calls", 0),
				    .usd = json_get_real(line, "usd", 0)};
}

static void on_line(void *arg, const json_t *line)
{
	struct reading *m = arg;

	const char *event = json_get_str(line, "event", "");

	if (!strcmp(event, EVENT_SPENT))
		on_cost(m->cost, line);
	if (!strcmp(event, EVENT_PLANNED) && m->rollout_id && !*m->rollout_id)
		snprintf(m->rollout_id, sizeof(struct journal_stats){0}.rollout_id, "%s",
			 json_get_str(line, "rollout_id", ""));
	struct trial_progress kept = {0};
	size_t i = find(m, line, &kept);
	int64_t attempt = json_get_int(line, "attempt", 0);

	if (i == m->n || attempt < 1 || attempt > TRIAL_ATTEMPT_MAX)
		return;
	bool result =
		progress_apply(m->keeper ? &kept : &m->progress[i], event, (int)attempt, line);
	if (m->keeper)
		m->keeper->put(m->keeper->arg, i, &kept, line, result);
	else if (result && m->on_result)
		m->on_result(m->arg, i, line);
	progress_release(&kept);
}

static int read_all(struct reading *m, int dir_fd, enum journal_depth depth,
		    struct journal_stats *stats, struct err *err)
{
	struct journal_cost cost = {0};
	struct journal_stats found = {0};

	m->cost = &cost;
	m->rollout_id = found.rollout_id;
	int status = journal_read(dir_fd, depth, on_line, m, stats, err);
	stats->cost = cost;
	memcpy(stats->rollout_id, found.rollout_id, sizeof stats->rollout_id);
	return status;
}

int progress_read(struct trial_progress *progress, const struct trial *trials, size_t n, int dir_fd,
		  enum journal_depth depth, progress_result_fn *on_result, void *arg,
		  struct journal_stats *stats, struct err *err)
{
	struct reading m = {
		.progress = progress, .trials = trials, .n = n, .on_result = on_result, .arg = arg};

	return read_all(&m, dir_fd, depth, stats, err);
}

int progress_read_kept(const struct progress_keeper *keeper, size_t n, int dir_fd,
		       enum journal_depth depth, struct journal_stats *stats, struct err *err)
{
	struct reading m = {.keeper = keeper, .n = n};

	return read_all(&m, dir_fd, depth, stats, err);
}

int progress_follow(struct trial_progress *progress, const struct trial *trials, size_t n,
		    struct journal_reader *reader, progress_result_fn *on_result, void *arg,
		    struct err *err)
{
	struct reading m = {.progress = progress,
			    .trials = trials,
			    .n = n,
			    .cost = &journal_reader_stats(reader)->cost,
			    .on_result = on_result,
			    .arg = arg};

	return journal_reader_next(reader, on_line, &m, err);
}
