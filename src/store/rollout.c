// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "store/owner.h"
#include "store/progress.h"
#include "store/planfile.h"
#include "store/store.h"

/* Where to find what is counted of a result: in the line, or where an older program left it. */
struct finished {
	const json_t *line, *result, *metrics;
};

static const json_t *member(const struct finished *f, const char *name)
{
	const json_t *v = json_object_get(f->line, name);

	return v ? v : json_object_get(f->result, name);
}

static int64_t count(const struct finished *f, const char *name, const char *metric)
{
	const json_t *v = json_object_get(f->line, name);

	v = v ? v : json_object_get(f->metrics, metric);
	return json_is_integer(v) ? json_integer_value(v) : -1;
}

static const char *text(const json_t *v)
{
	return json_is_string(v) ? json_string_value(v) : "";
}

/* The first of A and B that says something, kept once however many results say the same; borrowed. */
static const char *word(struct rollout *r, const json_t *a, const json_t *b)
{
	const char *found = *text(a) ? text(a) : text(b);

	if (!*found)
		return NULL;
	void *known = json_object_iter_at(r->words, found);
	if (!known) {
		json_object_set_new(r->words, found, json_null());
		known = json_object_iter_at(r->words, found);
	}
	return json_object_iter_key(known);
}

static void keep_metrics(struct rollout *r, struct trial_result *to, const json_t *line,
			 const json_t *whole)
{
	const json_t *measured = json_object_get(line, "measured");
	const json_t *custom = json_object_get(line, "custom");
	struct metrics m = {0};

	if (whole)
		metric_values(to->measured, whole);
	for (size_t i = 0; !whole && i < METRIC_COUNT; i++) {
		const json_t *v = json_array_get(measured, i);
		to->measured[i] = json_is_number(v) ? json_number_value(v) : NAN;
	}
	metrics_from_json(&m, custom ? custom : json_object_get(whole, "metrics"),
			  json_object_get(custom ? line : whole, "self_reported"));
	to->custom = m.n ? xcalloc(m.n, sizeof *to->custom) : NULL;
	for (size_t i = 0; i < m.n; i++) {
		AUTO(json) json_t *name = json_string(m.v[i].name);
		to->custom[to->custom_n++] = (struct trial_metric){
			word(r, name, NULL), m.v[i].value, m.v[i].self_reported};
	}
	metrics_release(&m);
}

static void keep_result(void *arg, size_t i, const json_t *line)
{
	struct rollout *r = arg;
	struct trial_status *t = &r->trials[i];
	const json_t *whole = json_object_get(line, "result");
	const json_t *agent = json_object_get(whole, "agent");
	const json_t *metrics = json_object_get(agent, "metrics");
	const struct finished f = {line, whole, metrics};
	const json_t *judged = member(&f, "judge_score");
	const json_t *score = member(&f, "total_score"), *usd = json_object_get(line, "usd");
	struct trial_result result = {
		.attempt = (int)json_get_int(line, "attempt", 0),
		.scored = json_is_number(score),
		.total_score = json_number_value(score),
		.judge_score = json_is_number(judged) ? json_number_value(judged) : -1,
		.tokens = count(&f, "tokens", "tokens_total"),
		.tool_calls = count(&f, "tool_calls", "tool_calls"),
		.calls = count(&f, "calls", "calls"),
		.wall_ms = count(&f, "wall_ms", "wall_ms"),
		.skipped = json_get_int(line, "skipped", json_get_int(agent, "skipped_paths", 0)),
		.ignored = json_get_int(line, "ignored", json_get_int(agent, "ignored_paths", 0)),
		.money_usd = usd ? (json_is_number(usd) ? json_number_value(usd) : -1)
				 : json_get_real(metrics, "money_usd", -1),
	};

	if (!outcome_parse(text(member(&f, "outcome")), &result.outcome))
		return;
	snprintf(result.task_hash, sizeof result.task_hash, "%s", text(member(&f, "task_hash")));
	result.reason = xstrdup(text(member(&f, "reason")));
	result.served =
		word(r, json_object_get(line, "served"), json_object_get(metrics, "model_served"));
	result.agent_version =
		word(r, json_object_get(line, "agent_version"), json_object_get(agent, "version"));
	result.judge_served =
		word(r, json_object_get(line, "judge_served"),
		     json_object_get(json_object_get(whole, "judge"), "model_served"));
	result.image_id = word(r, member(&f, "image_id"), NULL);
	result.program = word(r, member(&f, "program"), NULL);
	result.judge_model = word(r, member(&f, "judge_model"), NULL);
	result.judge_votes = json_incref((json_t *)member(&f, "judge_votes"));
	result.judge_prompt = word(r, member(&f, "judge_prompt"), NULL);
	result.suspect = (int)json_get_int(
		line, "suspect", (int64_t)json_array_size(json_object_get(whole, "suspect")));
	keep_metrics(r, &result, line, whole);
	free(t->result.reason);
	json_decref(t->result.judge_votes);
	free(t->result.custom);
	t->result = result;
	t->has_result = true;
}

static void take_trials(struct rollout *r, struct planfile *plan)
{
	r->trials = xcalloc(plan->n ? plan->n : 1, sizeof *r->trials);
	r->trials_n = plan->n;
	for (size_t i = 0; i < plan->n; i++)
		r->trials[i].trial = plan->trials[i];
	plan->n = 0;
	r->config = STEAL(&plan->config);
	r->config_hash = STEAL(&plan->config_hash);
	r->program = STEAL(&plan->program);
	r->agents = json_incref(plan->agents);
	r->words = json_object();
}

static void end_trial(struct trial_status *t, bool has_result)
{
	if (t->state == TRIAL_RUNNING)
		t->state = TRIAL_INTERRUPTED;
	/* Grading it again was cut short: what was there still counts. */
	if (t->state == TRIAL_INTERRUPTED && has_result)
		t->state = TRIAL_FINISHED;
}

static void take_progress(struct rollout *r, size_t i, const struct trial_progress *m)
{
	struct trial_status *t = &r->trials[i];

	t->state = m->state;
	t->attempts = m->attempts;
	memcpy(t->phase, m->phase, sizeof t->phase);
	t->result.replaced = m->replaced;
	t->result.first_scored = m->first_scored;
	t->result.first_score = m->first_score;
	if (r->live)
		return;
	end_trial(t, progress_has_result(m));
}

void rollout_ended(struct rollout *r)
{
	r->live = false;
	for (size_t i = 0; i < r->trials_n; i++)
		end_trial(&r->trials[i], r->trials[i].has_result &&
						 !outcome_is_missing(r->trials[i].result.outcome));
}

/* The trials are borrowed out of R while the journal is read. */
static int read_progress(struct rollout *r, const struct planfile *plan, int dir_fd,
			 struct err *err)
{
	struct trial *trials = xcalloc(r->trials_n ? r->trials_n : 1, sizeof *trials);
	struct trial_progress *progress = xcalloc(r->trials_n ? r->trials_n : 1, sizeof *progress);
	struct journal_stats stats;

	for (size_t i = 0; i < r->trials_n; i++)
		trials[i] = r->trials[i].trial;
	/* Which phase a trial is in is asked only while it runs. */
	int status =
		progress_read(progress, trials, r->trials_n, dir_fd,
			      r->live ? JOURNAL_ALL : JOURNAL_RESULTS, keep_result, r, &stats, err);
	if (!status)
		status = owner_check_journal(plan, stats.rollout_id, r->ref.path, err);
	for (size_t i = 0; i < r->trials_n; i++) {
		if (!status)
			take_progress(r, i, &progress[i]);
		progress_release(&progress[i]);
	}
	r->damaged_lines = status ? 0 : stats.damaged;
	if (!status)
		r->cost = stats.cost;
	free(progress);
	free(trials);
	return status;
}

static void find_strangers(struct rollout *r, const struct store *s, const struct planfile *plan)
{
	for (size_t i = 0; i < r->trials_n; i++) {
		const struct trial_status *t = &r->trials[i];
		if (!owner_is_stranger(s->root_fd, plan, t->trial.run_id, t->attempts))
			continue;
		if (!r->strangers++)
			r->stranger = xstrdup(t->trial.run_id);
	}
}

int rollout_load(struct rollout *out, const struct store *s, const struct rollout_ref *ref,
		 struct err *err)
{
	AUTO(planfile) struct planfile plan = {0};
	AUTO(fd) int fd = openat(s->root_fd, ref->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct rollout r = {.tags = STRV_INIT};

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s/%s", s->root, ref->path);
	if (planfile_read(&plan, fd, ref->path, err))
		return -1;
	r.ref = (struct rollout_ref){xstrdup(ref->name), xstrdup(ref->stamp), xstrdup(ref->path)};
	r.root = xstrdup(s->root);
	/* Asked before the journal is read: what ends meanwhile must not look interrupted. */
	r.live = journal_is_live(fd);
	take_trials(&r, &plan);
	if (store_tags_read(s, ref, &r.tags, err) || store_notes_read(s, ref, &r.notes, err) ||
	    read_progress(&r, &plan, fd, err) ||
	    exclusions_read(&r.exclusions, fd, ref->path, err)) {
		rollout_release(&r);
		return -1;
	}
	for (size_t i = 0; r.exclusions.n && i < r.trials_n; i++)
		r.trials[i].excluded = exclusions_find(&r.exclusions, r.trials[i].trial.run_id);
	find_strangers(&r, s, &plan);
	*out = r;
	return 0;
}

void rollout_release(struct rollout *r)
{
	for (size_t i = 0; i < r->trials_n; i++) {
		trial_release(&r->trials[i].trial);
		free(r->trials[i].result.reason);
		json_decref(r->trials[i].result.judge_votes);
		free(r->trials[i].result.custom);
	}
	free(r->trials);
	free(r->config);
	free(r->config_hash);
	free(r->program);
	free(r->root);
	json_decref(r->words);
	json_decref(r->agents);
	exclusions_release(&r->exclusions);
	for (size_t i = 0; i < r->parts_n; i++) {
		rollout_ref_release(&r->parts[i].ref);
		free(r->parts[i].program);
		free(r->parts[i].config_hash);
	}
	free(r->parts);
	free(r->stranger);
	strv_release(&r->tags);
	json_decref(r->notes);
	rollout_ref_release(&r->ref);
	*r = (struct rollout){0};
}

bool rollout_is_complete(const struct rollout *r)
{
	for (size_t i = 0; i < r->trials_n; i++)
		if (!r->trials[i].has_result || outcome_is_missing(r->trials[i].result.outcome))
			return false;
	return true;
}

bool rollout_is_live(const struct store *s, const struct rollout_ref *ref)
{
	AUTO(fd) int fd = openat(s->root_fd, ref->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && journal_is_live(fd);
}

const char *rollout_state(const struct rollout *r)
{
	if (r->live)
		return "running";
	if (rollout_is_complete(r))
		return "complete";
	for (size_t i = 0; i < r->trials_n; i++) {
		const struct trial_status *t = &r->trials[i];
		if (t->state == TRIAL_INTERRUPTED ||
		    (t->has_result && t->result.outcome == OUTCOME_CANCELLED))
			return "interrupted";
	}
	return "incomplete";
}
