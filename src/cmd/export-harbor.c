/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A rollout as a folder of a Harbor job: config.json, result.json, and a folder for each trial, as Harbor's own readers and its
 * viewer take them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/export-work.h"
#include "core/datadir.h"
#include "core/event.h"
#include "harbor/job.h"

enum { RESULT_MAX = 16 << 20, NAME_MAX_ = 32 };

struct job {
	const struct export_work *w;
	int to;	       /* the job's folder */
	json_t *evals; /* {key: {n_trials, n_errors, metrics, pass_at_k, reward_stats, exception_stats}} */
	json_t *sums; /* {key: {reward key: sum}} */
	int64_t done, errored, input, cached, output;
	double usd;
	time_t first, last;
};

/* The same for the same text, in the form of a random one. */
static char *uuid_of(const char *text)
{
	char h[HASH_HEX];

	hash_once(text, strlen(text), h);
	return xasprintf("%.8s-%.4s-4%.3s-a%.3s-%.12s", h, h + 8, h + 12, h + 15, h + 18);
}

static json_t *time_of(time_t t)
{
	struct tm tm;
	char text[40];

	gmtime_r(&t, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

/* "TASK__1234567", of the task's last part. */
static char *trial_name(const struct export_work *w, const struct summary_row *row)
{
	const char *task = path_base(summary_task_name(w->summary, row));
	char h[HASH_HEX];
	size_t n = strlen(task) < NAME_MAX_ ? strlen(task) : NAME_MAX_;

	hash_once(RUN_ID(row->status), strlen(RUN_ID(row->status)), h);
	while (n && strchr("_-", task[n - 1]))
		n--;
	return xasprintf("%.*s__%.7s", (int)n, task, h);
}

static json_t *model_of(const char *model)
{
	const char *slash = strchr(model, '/');
	json_t *j = json_object();

	if (!*model) {
		json_decref(j);
		return json_null();
	}
	AUTO(free) char *provider = slash ? xstrndup(model, (size_t)(slash - model)) : NULL;
	json_put_str(j, "name", slash ? slash + 1 : model);
	json_put(j, "provider", provider ? json_string(provider) : json_null());
	return j;
}

/* By Harbor's names. NULL: nothing went wrong. */
static const char *exception_of(const json_t *result, enum outcome outcome)
{
	const json_t *steps = json_object_get(json_object_get(result, "harbor"), "steps"), *s;
	size_t i;

	const char *own = json_get_str(json_object_get(result, "harbor"), "exception", NULL);

	if (own)
		return own;
	if (outcome == OUTCOME_TIMEOUT)
		return "AgentTimeoutError";
	if (outcome == OUTCOME_AGENT_ERROR)
		return "NonZeroAgentExitCodeError";
	if (outcome == OUTCOME_BUDGET)
		return "BudgetExceededError";
	if (outcome == OUTCOME_CANCELLED)
		return "CancelledError";
	if (outcome != OUTCOME_COMPLETED)
		return "RuntimeError";
	json_array_foreach (steps, i, s)
		if (json_get_str(s, "error", NULL))
			return json_get_str(s, "error", NULL);
	return NULL;
}

static json_t *exception_info(const char *type, const json_t *result, time_t at)
{
	const struct harbor_policy policy = harbor_policy_of(type);
	const char *why = json_get_str(result, "reason", "");
	const size_t n = strlen(type);
	json_t *j = json_object();

	json_put_str(j, "exception_type", type);
	if (!strncmp(why, "unscored: ", strlen("unscored: ")))
		why += strlen("unscored: ");
	if (!strncmp(why, type, n) && !strncmp(why + n, ": ", 2))
		why += n + 2;
	json_put_str(j, "exception_message", why);
	json_put_str(j, "exception_traceback", "");
	json_put(j, "occurred_at", time_of(at));
	json_put(j, "policy",
		 json_pack("{s:b, s:b, s:b}", "should_retry", policy.retry, "should_grade",
			   strcmp(type, "CancelledError") != 0, "has_valid_reward", policy.counts));
	return j;
}

/* {key: number}; NULL: there is none. */
static json_t *rewards_of(const json_t *result, const struct trial_result *r)
{
	json_t *own = json_object_get(json_object_get(result, "harbor"), "rewards");

	if (json_is_object(own))
		return json_incref(own);
	return r->scored ? json_pack("{s:f}", "reward", r->total_score) : NULL;
}

static json_t *known(const json_t *metrics, const char *key)
{
	json_t *v = json_object_get(metrics, key);

	return json_is_number(v) && json_number_value(v) >= 0 ? json_incref(v) : json_null();
}

static json_t *agent_result(const json_t *result)
{
	const json_t *m = json_object_get(json_object_get(result, "agent"), "metrics");
	json_t *j = json_object();

	json_put(j, "n_input_tokens", known(m, "tokens_input"));
	json_put(j, "n_cache_tokens", known(m, "tokens_cached"));
	json_put(j, "n_output_tokens", known(m, "tokens_output"));
	json_put(j, "cost_usd", known(m, "money_usd"));
	return j;
}

static json_t *config_of(const struct job *job, const struct summary_row *row, const char *name)
{
	const struct trial_shared *t = row->status->shared;
	json_t *j = json_object(), *agent = json_object();

	json_put_int(j, "schema_version", 1);
	json_put(j, "task", json_pack("{s:s}", "path", *t->task_dir ? t->task_dir : t->task_id));
	json_put_str(j, "trial_name", name);
	json_put_str(j, "trials_dir", job->w->output);
	json_put_str(agent, "name", t->setting->agent);
	json_put(agent, "model_name",
		 *t->setting->model ? json_string(t->setting->model) : json_null());
	json_put(j, "agent", agent);
	AUTO(free) char *id = uuid_of(job->w->rollout->ref.stamp);
	json_put_str(j, "job_id", id);
	return j;
}

static time_t modified(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) ? time(NULL) : st.st_mtim.tv_sec;
}

static json_t *spell(const json_t *phases, const char *key, double *at)
{
	const int64_t ms = json_get_int(phases, key, -1);

	if (ms < 0)
		return json_null();
	json_t *j = json_object();
	json_put(j, "started_at", time_of((time_t)*at));
	*at += (double)ms / 1000;
	json_put(j, "finished_at", time_of((time_t)*at));
	return j;
}

static void put_times(json_t *j, const json_t *result, time_t from)
{
	const json_t *phases = json_object_get(result, "phases_ms");
	double at = (double)from;

	json_put(j, "environment_setup", spell(phases, PHASE_SANDBOX, &at));
	json_put(j, "agent_setup", json_null());
	json_put(j, "agent_execution", spell(phases, PHASE_AGENT, &at));
	json_put(j, "verifier", spell(phases, PHASE_EVALUATE, &at));
}

/* Of a task with steps each, of others how the only one was verified. */
static void put_steps(json_t *j, const json_t *result, time_t ended)
{
	const json_t *steps = json_object_get(json_object_get(result, "harbor"), "steps"), *s;
	json_t *out = json_array();
	size_t i;

	json_array_foreach (steps, i, s) {
		const char *name = json_get_str(s, "name", ""),
			   *error = json_get_str(s, "error", NULL);
		json_t *rewards = json_object_get(s, "rewards"), *step;
		if (!*name) {
			const char *mode = json_get_str(s, "verifier", NULL);
			json_put(j, "verifier_environment_mode",
				 mode ? json_string(mode) : json_null());
			continue;
		}
		step = json_object();
		json_put_str(step, "step_name", name);
		json_put(step, "verifier_result",
			 json_is_object(rewards) ? json_pack("{s:O}", "rewards", rewards)
						 : json_null());
		json_put(step, "exception_info",
			 error ? exception_info(error, result, ended) : json_null());
		json_array_append_new(out, step);
	}
	json_put(j, "step_results", json_array_size(out) ? json_incref(out) : json_null());
	json_decref(out);
}

static json_t *trial_result(struct job *job, const struct summary_row *row, const char *name,
			    const json_t *result, int from)
{
	const struct trial_status *t = row->status;
	const time_t began = modified(from, ATTEMPT_TRIAL), ended = modified(from, ATTEMPT_RESULT);
	const char *error = exception_of(result, t->result.outcome);
	AUTO(json) json_t *rewards = rewards_of(result, &t->result);
	AUTO(free) char *id = uuid_of(RUN_ID(t));
	AUTO(free) char *uri = xasprintf("file://%s/%s", job->w->output, name);
	json_t *j = json_object(), *info = json_object();

	json_put_int(j, "schema_version", 1);
	json_put_str(j, "id", id);
	json_put_str(j, "task_name", summary_task_name(job->w->summary, row));
	json_put_str(j, "trial_name", name);
	json_put_str(j, "trial_uri", uri);
	json_put(j, "task_id",
		 json_pack("{s:s}", "path",
			   *t->shared->task_dir ? t->shared->task_dir : t->shared->task_id));
	json_put_str(j, "source", job->w->rollout->ref.name);
	json_put_str(j, "task_checksum", t->shared->task_hash);
	json_put(j, "config", config_of(job, row, name));
	json_put_str(info, "name", t->shared->setting->agent);
	const char *version = json_get_str(json_object_get(result, "agent"), "version", "");
	json_put_str(info, "version", *version ? version : "unknown");
	json_put(info, "model_info", model_of(t->shared->setting->model));
	json_put(j, "agent_info", info);
	json_put(j, "agent_result", agent_result(result));
	json_put(j, "verifier_result",
		 rewards ? json_pack("{s:O}", "rewards", rewards) : json_null());
	json_put(j, "exception_info", error ? exception_info(error, result, ended) : json_null());
	json_put_bool(j, "reward_valid", rewards && (!error || harbor_policy_of(error).counts));
	put_steps(j, result, ended);
	json_put(j, "started_at", time_of(began));
	json_put(j, "finished_at", time_of(ended));
	put_times(j, result, began);
	if (!job->first || began < job->first)
		job->first = began;
	if (ended > job->last)
		job->last = ended;
	return j;
}

static json_t *member(json_t *j, const char *key, json_t *fresh_take)
{
	json_t *v = json_object_get(j, key);

	if (v) {
		json_decref(fresh_take);
		return v;
	}
	json_put(j, key, fresh_take);
	return fresh_take;
}

static void add_name(json_t *stats, const char *key, const char *name)
{
	json_array_append_new(member(stats, key, json_array()), json_string(name));
}

/* What the trial adds to the job's numbers. */
static void count(struct job *job, const struct summary_row *row, const char *name,
		  const json_t *trial)
{
	const struct trial_shared *t = row->status->shared;
	const json_t *rewards =
		json_object_get(json_object_get(trial, "verifier_result"), "rewards");
	const json_t *error = json_object_get(trial, "exception_info"), *v;
	const json_t *used = json_object_get(trial, "agent_result");
	const char *set = job->w->rollout->ref.name, *key;
	AUTO(free)
	char *of = *t->setting->model
			   ? xasprintf("%s__%s__%s", t->setting->agent, t->setting->model, set)
			   : xasprintf("%s__%s", t->setting->agent, set);
	json_t *eval =
		member(job->evals, of,
		       json_pack("{s:i, s:i, s:[], s:{}, s:{}, s:{}}", "n_trials", 0, "n_errors", 0,
				 "metrics", "pass_at_k", "reward_stats", "exception_stats"));
	json_t *sums = member(job->sums, of, json_object());

	job->done++;
	job->errored += json_is_object(error);
	job->input += json_integer_value(json_object_get(used, "n_input_tokens"));
	job->cached += json_integer_value(json_object_get(used, "n_cache_tokens"));
	job->output += json_integer_value(json_object_get(used, "n_output_tokens"));
	job->usd += json_number_value(json_object_get(used, "cost_usd"));
	if (json_is_object(error)) {
		json_put_int(eval, "n_errors", json_get_int(eval, "n_errors", 0) + 1);
		add_name(json_object_get(eval, "exception_stats"),
			 json_get_str(error, "exception_type", "Error"), name);
	}
	if (!json_is_object(rewards))
		return;
	json_put_int(eval, "n_trials", json_get_int(eval, "n_trials", 0) + 1);
	json_object_foreach ((json_t *)rewards, key, v) {
		char number[40];
		snprintf(number, sizeof number, "%.15g", json_number_value(v));
		add_name(member(json_object_get(eval, "reward_stats"), key, json_object()), number,
			 name);
		json_put_real(sums, key, json_get_real(sums, key, 0) + json_number_value(v));
	}
}

static int copy_trees(int from, int to, struct err *err)
{
	static const char *const names[] = {"agent", "verifier", ATTEMPT_ARTIFACTS, "steps"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (path_is_dir(from, names[i]) &&
		    path_copy_tree(from, names[i], to, names[i], err))
			return -1;
	return 0;
}

static int write_trial(struct job *job, const struct summary_row *row, struct err *err)
{
	const struct trial_status *t = row->status;
	AUTO(free) char *dir = datadir_attempt(RUN_ID(t), t->result.attempt);
	AUTO(free) char *name = trial_name(job->w, row);
	AUTO(json) json_t *result = NULL;
	AUTO(json) json_t *trajectory = NULL;

	AUTO(fd)
	int from = path_open_beneath(job->w->root_fd, dir, O_RDONLY | O_DIRECTORY, 0, err);
	if (from < 0 || json_read(&result, from, ATTEMPT_RESULT, RESULT_MAX, err) ||
	    path_make_dirs(job->to, name, 0755, err))
		return -1;
	AUTO(fd) int to = path_open_beneath(job->to, name, O_RDONLY | O_DIRECTORY, 0, err);
	if (to < 0 || copy_trees(from, to, err) || export_trajectory(&trajectory, job->w, row, err))
		return -1;
	AUTO(json) json_t *trial = trial_result(job, row, name, result, from);
	count(job, row, name, trial);
	if (trajectory && (path_make_dirs(to, "agent", 0755, err) ||
			   json_write(to, "agent/trajectory.json", trajectory, false, err)))
		return -1;
	return json_write(to, "config.json", json_object_get(trial, "config"), false, err) ||
			       json_write(to, "result.json", trial, false, err)
		       ? -1
		       : 0;
}

static json_t *job_config(const struct job *job)
{
	const struct export_work *w = job->w;
	json_t *agents = json_array(), *seen = json_object(), *j = json_object();
	const struct summary *s = w->summary;

	for (size_t i = 0; i < s->conditions_n; i++) {
		const struct summary_condition *c = &s->conditions[i];
		AUTO(free) char *key = xasprintf("%s %s", c->agent, c->model);
		if (json_object_get(seen, key))
			continue;
		json_put_bool(seen, key, true);
		json_array_append_new(agents, json_pack("{s:s, s:s*}", "name", c->agent,
							"model_name", *c->model ? c->model : NULL));
	}
	json_put_int(j, "schema_version", 1);
	json_put_str(j, "job_name", w->rollout->ref.stamp);
	json_put_str(j, "jobs_dir", "jobs");
	json_put(j, "agents", agents);
	json_decref(seen);
	return j;
}

static json_t *job_result(struct job *job)
{
	AUTO(free) char *id = uuid_of(job->w->rollout->ref.stamp);
	const int64_t all = (int64_t)job->w->rollout->trials_n;
	json_t *j = json_object(), *stats = json_object(), *eval, *v;
	const char *key, *reward;

	json_object_foreach (job->evals, key, eval) {
		const double n = json_get_real(eval, "n_trials", 0);
		json_t *means = json_object();
		json_object_foreach (json_object_get(job->sums, key), reward, v)
			json_put_real(means,
				      json_object_size(json_object_get(job->sums, key)) == 1
					      ? "mean"
					      : reward,
				      json_number_value(v) / (n > 0 ? n : 1));
		json_array_append_new(json_object_get(eval, "metrics"), means);
	}
	json_put_int(j, "schema_version", 1);
	json_put_str(j, "id", id);
	json_put(j, "started_at", time_of(job->first));
	json_put(j, "updated_at", time_of(job->last));
	json_put(j, "finished_at", time_of(job->last));
	json_put_int(j, "n_total_trials", all);
	json_put_int(stats, "n_completed_trials", job->done);
	json_put_int(stats, "n_errored_trials", job->errored);
	json_put_int(stats, "n_pending_trials", all - job->done);
	json_put_int(stats, "n_input_tokens", job->input);
	json_put_int(stats, "n_cache_tokens", job->cached);
	json_put_int(stats, "n_output_tokens", job->output);
	json_put_real(stats, "cost_usd", job->usd);
	json_put(stats, "evals", json_incref(job->evals));
	json_put(j, "stats", stats);
	return j;
}

static int write_job(struct job *job, struct err *err)
{
	const struct summary *s = job->w->summary;
	size_t without = 0;

	for (size_t i = 0; i < s->rows_n; i++) {
		const struct trial_status *t = s->rows[i].status;
		if (!t->has_result || trial_excluded(t))
			without++;
		else if (write_trial(job, &s->rows[i], err))
			return -1;
	}
	if (without) {
		AUTO(free)
		char *line = xasprintf("%zu trial%s left out: no result", without,
				       without == 1 ? "" : "s");
		cmd_warn(line);
	}
	AUTO(json) json_t *config = job_config(job);
	AUTO(json) json_t *result = job_result(job);
	return json_write(job->to, "config.json", config, false, err) ||
			       json_write(job->to, "result.json", result, false, err)
		       ? -1
		       : 0;
}

int export_harbor(const struct export_work *w, struct err *err)
{
	struct job job = {.w = w};

	if (!w->output)
		return err_set(err, ERR_USAGE, 0,
			       "--format harbor writes a folder: name one that is not there yet");
	if (mkdir(w->output, 0755))
		return err_set(err, ERR_USAGE, errno, "make the folder %s", w->output);
	AUTO(fd) int to = open(w->output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", w->output);
	job.to = to;
	job.evals = json_object();
	job.sums = json_object();
	int status = write_job(&job, err);
	json_decref(job.evals);
	json_decref(job.sums);
	return status;
}
