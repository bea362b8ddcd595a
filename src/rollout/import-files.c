/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "core/run-links.h"
#include "harbor/reward.h"
#include "rollout/import-internal.h"
#include "store/rundir.h"

enum { LOG_MAX = 64 << 20 };
#define KEPT_MAX (INT64_C(1) << 30) /* bytes of a trial's files */

/* As far as we have words for it. */
static enum outcome outcome_of(const struct harbor_job_trial *t)
{
	const char *type = t->exception;

	if (!*type)
		return OUTCOME_COMPLETED;
	if (!strcmp(type, "CancelledError"))
		return OUTCOME_CANCELLED;
	if (!strcmp(type, "AgentTimeoutError"))
		return OUTCOME_TIMEOUT;
	/* The agent did its work, and its tests did not say what it is worth. */
	if (!strcmp(type, "VerifierTimeoutError") || !strncmp(type, "RewardFile", 10) ||
	    !strcmp(type, "VerifierOutputParseError"))
		return OUTCOME_COMPLETED;
	if (t->policy.counts && (t->is_valid || !t->policy.retry))
		return OUTCOME_AGENT_ERROR;
	return OUTCOME_INFRA_ERROR;
}

static int64_t sum(int64_t a, int64_t b)
{
	return a < 0 && b < 0 ? -1 : (a < 0 ? 0 : a) + (b < 0 ? 0 : b);
}

static void take_agent(struct result *r, const struct harbor_job_trial *t)
{
	struct agent_record *a = &r->agent;
	struct hash h;

	r->has_agent = true;
	*a = (struct agent_record){
		.exit_status = -1, .diff_files = -1, .metrics = agent_metrics_unknown};
	a->outcome = r->outcome;
	snprintf(a->reason, sizeof a->reason, "%s", r->reason);
	snprintf(a->version, sizeof a->version, "%s",
		 strcmp(t->agent_version, "unknown") ? t->agent_version : "");
	a->metrics.tokens_input = t->tokens_input;
	a->metrics.tokens_cached = t->tokens_cached;
	a->metrics.tokens_output = t->tokens_output;
	a->metrics.tokens_total = sum(t->tokens_input, t->tokens_output);
	a->metrics.money_usd = t->usd;
	a->metrics.wall_ms = t->agent_ms;
	hash_init(&h);
	hash_hex(&h, a->digest);
}

static void add_phase(struct result *r, const char *name, int64_t ms)
{
	if (ms >= 0)
		result_add_phase(r, name, ms);
}

static void take_rewards(struct import *m, const struct harbor_job_trial *t, struct result *r)
{
	struct reward_score got = {0};

	r->evaluated = true;
	r->coverage = 0;
	reward_grade(&result_add_step(r, "")->scores, t->rewards, m->q->reward, &got);
	m->means += got.mean;
	m->outside += *got.why != '\0';
	if (!t->is_valid || !got.scored) {
		if (!*r->reason)
			snprintf(r->reason, sizeof r->reason, "%s",
				 *got.why ? got.why : "unscored: Harbor counts no reward of it");
		return;
	}
	r->scored = true;
	r->total_score = r->score_low = r->score_high = got.total;
	r->coverage = 1;
}

/* What result.json of a Harbor task has of it, and what only Harbor knows. */
static json_t *told_of(const struct import *m, const struct harbor_job_trial *t)
{
	json_t *j = json_object(), *steps = json_incref(t->steps);

	if (!json_array_size(steps)) {
		json_t *only = json_object();
		json_put_str(only, "name", "");
		json_put_str(only, "verifier", t->separate ? "separate" : "shared");
		json_put(only, "rewards", t->rewards ? json_incref(t->rewards) : json_null());
		if (*t->exception) {
			json_put_str(only, "error", t->exception);
			json_put_str(only, "why", t->message);
		}
		json_array_append_new(steps, only);
	}
	json_put(j, "rewards", t->rewards ? json_incref(t->rewards) : json_null());
	json_put(j, "steps", steps);
	json_put_str(j, "job", m->job.name);
	json_put_str(j, "trial", t->folder);
	if (*t->exception)
		json_put_str(j, "exception", t->exception);
	return j;
}

void import_result(struct import *m, size_t i, struct result *r)
{
	const struct harbor_job_trial *t = &m->job.v[i];
	const struct trial *trial = &m->plan.trials[i];

	result_init(r);
	r->run_id = xstrdup(trial->run_id);
	r->rollout_id = xstrdup(m->plan.id);
	snprintf(r->key, sizeof r->key, "%s", trial->key);
	r->attempt = 1;
	snprintf(r->task_hash, sizeof r->task_hash, "%s", trial->task_hash);
	r->sandbox = xstrdup(t->environment);
	r->workspace = xstrdup("none");
	r->limits_held = xstrdup("engine");
	r->outcome = outcome_of(t);
	r->retry = r->outcome == OUTCOME_INFRA_ERROR && t->policy.retry;
	if (*t->exception)
		snprintf(r->reason, sizeof r->reason, "%s%s%s%s",
			 r->outcome == OUTCOME_COMPLETED ? "unscored: " : "", t->exception,
			 *t->message ? ": " : "", t->message);
	if (t->agent_ms >= 0)
		take_agent(r, t);
	if (!outcome_is_missing(r->outcome) && (t->rewards || t->verifier_ms >= 0))
		take_rewards(m, t, r);
	add_phase(r, PHASE_SANDBOX, t->environment_ms);
	add_phase(r, PHASE_PREPARE, t->setup_ms);
	add_phase(r, PHASE_AGENT, t->agent_ms);
	add_phase(r, PHASE_EVALUATE, t->verifier_ms);
	r->usage.wall_ms = t->verifier_ms < 0 ? 0 : t->verifier_ms;
	r->harbor = told_of(m, t);
}

/* The first of NAMES that is there becomes TO, of which `show` knows. */
static int keep_log(int from, const char *const *names, int to, const char *as, struct err *err)
{
	struct err ignored;

	for (; *names; names++) {
		AUTO(buf) struct buf text = BUF_INIT;
		if (!path_exists(from, *names) ||
		    path_read_beneath(from, *names, LOG_MAX, &text, &ignored))
			continue;
		return path_write(to, as, text.data, text.len, 0644, false, err);
	}
	return 0;
}

static int keep_files(struct import *m, int from, int to, struct err *err)
{
	static const char *const trees[] = {"agent", "verifier", ATTEMPT_ARTIFACTS, "steps"};
	static const char *const agent[] = {"agent/oracle.txt", "agent/claude-code.txt",
					    "agent/codex.txt",	"agent/terminus_2.pane",
					    "agent/stdout.txt", NULL};
	static const char *const tests[] = {"verifier/test-stdout.txt", NULL};
	static const char *const worker[] = {"exception.txt", "trial.log", NULL};
	struct path_copied told = {.left = KEPT_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(trees); i++)
		if (path_exists(from, trees[i]) &&
		    path_copy_files(from, trees[i], to, trees[i], &told, err))
			return -1;
	m->left_out += told.left_out;
	return keep_log(to, agent, to, ATTEMPT_AGENT_LOG, err) ||
			       keep_log(to, tests, to, ATTEMPT_EVAL_LOG, err) ||
			       keep_log(from, worker, to, ATTEMPT_WORKER_LOG, err)
		       ? -1
		       : 0;
}

/* When a trial began and ended is read from these files. */
static void date(int dir, const char *name, int64_t ms)
{
	const struct timespec at = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	if (ms >= 0)
		utimensat(dir, name, (const struct timespec[2]){at, at}, AT_SYMLINK_NOFOLLOW);
}

static int fill(struct import *m, size_t i, int to, const struct result *r, struct err *err)
{
	const struct harbor_job_trial *t = &m->job.v[i];
	AUTO(json) json_t *result = result_to_json(r);
	AUTO(fd)
	int from = path_open_beneath(m->job_fd, t->folder, O_RDONLY | O_DIRECTORY, 0, err);

	if (from < 0 || keep_files(m, from, to, err) ||
	    path_write(to, ATTEMPT_DIFF, "", 0, 0644, false, err))
		return -1;
	if (r->has_agent) {
		AUTO(json) json_t *agent = agent_record_to_json(&r->agent);
		if (json_write(to, ATTEMPT_AGENT, agent, false, err))
			return -1;
	}
	if (json_write(to, ATTEMPT_RESULT, result, false, err))
		return -1;
	date(to, ATTEMPT_TRIAL, t->began_ms);
	date(to, ATTEMPT_RESULT, t->ended_ms);
	return 0;
}

int import_folder(struct import *m, size_t i, const struct result *r, struct err *err)
{
	const struct trial *t = &m->plan.trials[i];
	const struct attempt a = {.trial = *t,
				  .rollout_id = m->plan.id,
				  .number = 1,
				  .agent_spec = json_object_get(m->plan.agents, t->agent),
				  .bench = m->plan.name};
	AUTO(free) char *run = path_join(DATA_RUNS, t->run_id);
	AUTO(free) char *dir = datadir_attempt(t->run_id, 1);

	if (rundir_make(m->store.root_fd, &a, err))
		return -1;
	AUTO(fd)
	int run_fd = path_open_beneath(m->store.root_fd, run, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(fd)
	int to = run_fd < 0
			 ? -1
			 : path_open_beneath(m->store.root_fd, dir, O_RDONLY | O_DIRECTORY, 0, err);
	return to < 0 || fill(m, i, to, r, err) || run_links_make(run_fd, 1, err) ? -1 : 0;
}
