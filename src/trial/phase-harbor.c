/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trial/phase-harbor.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "harbor/contract.h"
#include "trial/boxes.h"
#include "trial/harbor-files.h"
#include "trial/harbor-step.h"
#include "trial/metered.h"

enum {
	SANDBOX_MS = 10 * 60 * 1000,
	COLLECT_MS = 10 * 60 * 1000,
	AGENT_EXTRA_MS = 60 * 1000,
	VERIFY_EXTRA_MS = 10 * 60 * 1000,
	SETUP_MS = 10 * 60 * 1000,
	CHECK_MS = 60 * 1000,
	ENTRY_LOG_MAX = 16 << 20,
	PAUSE_MS = 50,
};

static void auto_sandbox(struct sandbox **s)
{
	sandbox_close(*s);
}

/* The first thing every command needs; Harbor's own need it as well. */
static int check_bash(struct harbor_trial *h, struct err *err)
{
	const char *const workdir[] = {h->workdir, NULL};
	struct sandbox_exit end = {0};

	if (harbor_bash(h, h->box, "true", "", NULL, CHECK_MS, &end, err))
		return -1;
	/* As for a container's own WORKDIR: what is missing is made. */
	if (end.end == SANDBOX_NOT_FOUND && end.no_folder &&
	    (harbor_folders(h->box, false, "755", workdir, err) ||
	     harbor_bash(h, h->box, "true", "", NULL, CHECK_MS, &end, err)))
		return -1;
	if (end.end == SANDBOX_NOT_FOUND && end.no_folder)
		return err_set(err, ERR_INFRA, 0, "the task's working directory: %s", end.text);
	if (end.end == SANDBOX_NOT_FOUND)
		return err_set(err, ERR_INFRA, 0,
			       "the image has no bash, by which every command of a Harbor task is "
			       "run (%s)",
			       end.text);
	return 0;
}

/* The image's ENTRYPOINT with the keep-alive as its arguments, as a child of PID 1. */
static int start_entry(struct harbor_trial *h, struct err *err)
{
	AUTO(strv) struct strv argv = STRV_INIT;
	AUTO(strv) struct strv env = STRV_INIT;
	struct work *w = h->w;

	if (!h->image->entry.n)
		return 0;
	AUTO(fd)
	int log = path_open_beneath(w->run_fd, ATTEMPT_ENTRY_LOG, O_WRONLY | O_CREAT | O_APPEND,
				    0644, err);
	if (log < 0)
		return -1;
	strv_pushv(&argv, strv_items(&h->image->entry));
	strv_pushv(&argv, (const char *const[]){"sh", "-c", "sleep infinity", NULL});
	harbor_command_env(h, h->box, "", NULL, &env);
	const struct sandbox_exec x = {
		.argv = strv_items(&argv), .env = strv_items(&env), .cwd = w->task.layout.repo};
	return sandbox_serve(h->box, &x, log, err);
}

/* Until it passes once. Failures of the start period do not count; afterwards so many in a row end the trial. */
static int await_health(struct harbor_trial *h, const json_t *check, struct err *err)
{
	const char *command = json_get_str(check, "command", NULL);
	const int64_t began = clock_mono_ms();
	const int64_t start_ms = json_get_int(check, "start_period_ms", 0);
	const int64_t timeout_ms = json_get_int(check, "timeout_ms", 30000);
	int64_t failures = 0, retries = json_get_int(check, "retries", 3);

	while (command) {
		struct sandbox_exit end = {0};
		if (harbor_bash(h, h->box, command, "", NULL, timeout_ms, &end, err))
			return -1;
		if (end.end == SANDBOX_EXITED && !end.status)
			return 0;
		const bool starting = clock_mono_ms() - began < start_ms;
		if (!starting && ++failures >= retries)
			return err_set(err, ERR_INFRA, 0,
				       "HealthcheckError: the task's health check failed %lld "
				       "times in a row: %s",
				       (long long)failures,
				       end.end == SANDBOX_TIMED_OUT ? "it took too long" : command);
		int64_t until =
			clock_mono_ms() +
			json_get_int(check, starting ? "start_interval_ms" : "interval_ms", 5000);
		struct pollfd asked[] = {{.fd = h->w->signal_fd, .events = POLLIN},
					 {.fd = h->w->event_fd}};
		while (clock_mono_ms() < until)
			if (poll(asked, ARRAY_SIZE(asked), PAUSE_MS) > 0)
				return err_set(err, ERR_CANCELLED, 0, "stopped on request");
	}
	return 0;
}

/* What the task wants in PHASE, as far as the user grants it. S is NULL before its first step. */
static int set_network(struct harbor_trial *h, const struct harbor_step *s, const char *phase,
		       struct err *err)
{
	const struct trial *t = &h->w->attempt.trial;
	const bool granted = strcmp(phase, "verifier") ? t->network : t->eval_network;
	const json_t *wanted = harbor_network(h->contract, s ? s->own : NULL, phase);
	const bool on = granted && !strcmp(json_get_str(wanted, "mode", ""), "public");

	if (!h->has_network || on == h->online)
		return 0;
	if (sandbox_network(h->box, on, err))
		return -1;
	h->online = on;
	return 0;
}

static int64_t health_ms(const json_t *check)
{
	return json_is_object(check) ? json_get_int(check, "start_period_ms", 0) +
					       (json_get_int(check, "retries", 3) + 1) *
						       (json_get_int(check, "interval_ms", 0) +
							json_get_int(check, "timeout_ms", 0))
				     : 0;
}

/* From an open box on: its entry point, what is to lie in it, its health. */
static int begin_container(struct harbor_trial *h, const json_t *environment, struct err *err)
{
	static const char *const logs[] = {"/logs/agent", "/logs/verifier", "/logs/artifacts",
					   NULL};

	return start_entry(h, err) ||
			       harbor_put(h->box, h->app_fd, "environment", h->workdir, NULL,
					  err) ||
			       harbor_folders(h->box, false, "777", logs, err) ||
			       check_bash(h, err) ||
			       await_health(h, json_object_get(environment, "healthcheck"), err)
		       ? -1
		       : 0;
}

static int open_container(struct harbor_trial *h, struct err *err)
{
	struct work *w = h->w;
	const json_t *environment = json_object_get(h->contract, "environment");

	work_phase(w, PHASE_SANDBOX,
		   SANDBOX_MS + health_ms(json_object_get(environment, "healthcheck")));
	if (work_sandbox(w, &h->box, BOX_AGENT, err))
		return -1;
	h->has_network = h->online = sandbox_has_network(h->box);
	if (set_network(h, NULL, "environment", err))
		return -1;
	w->result.workspace = xstrdup(sandbox_workspace(h->box));
	w->result.limits_held = xstrdup(sandbox_limits_held(h->box));
	return begin_container(h, environment, err) || harbor_processes(h->box, &h->at_start, err)
		       ? -1
		       : 0;
}

/* The agent's container goes, and the verifier's comes, which only artifacts reach. */
static int change_container(struct harbor_trial *h, const struct harbor_step *s, struct err *err)
{
	struct work *w = h->w;
	const json_t *own = harbor_said(h, s, "verifier", "environment");
	const json_t *environment =
		json_is_object(own) ? own : json_object_get(h->contract, "environment");
	const char *workdir = json_get_str(environment, "workdir", w->verifier_image.workdir);

	sandbox_close(STEAL(&h->box));
	if (work_sandbox(w, &h->box, BOX_EVALUATE, err))
		return err_wrap(err, "the verifier's container");
	h->has_network = h->online = sandbox_has_network(h->box);
	if (set_network(h, s, "verifier", err))
		return -1;
	h->image = &w->verifier_image;
	snprintf(h->workdir, sizeof h->workdir, "%s", workdir && *workdir ? workdir : "/");
	kvs_release(&w->task.env);
	harbor_env(w, json_object_get(environment, "env"), &w->task.env);
	return begin_container(h, environment, err) || harbor_restore(h, s, err)
		       ? err_wrap(err, "the verifier's container")
		       : 0;
}

/* What a step's agent must not find there. */
static int begin_step(struct harbor_trial *h, const struct harbor_step *s, struct err *err)
{
	static const char *const logs[] = {"/logs/agent", "/logs/verifier", NULL};
	static const char *const tests[] = {"/tests", NULL};
	const char *user = h->w->task.layout.agent_user;
	struct sandbox_exit end = {0};

	if (!s->own)
		return 0;
	AUTO(free) char *from = xasprintf("steps/%s/workdir", s->name);
	AUTO(free) char *setup = path_join(from, "setup.sh");
	if (harbor_folders(h->box, true, "777", logs, err) ||
	    (h->n && harbor_folders(h->box, true, "755", tests, err)) ||
	    harbor_put(h->box, h->app_fd, from, h->w->task.layout.repo, NULL, err))
		return -1;
	if (path_exists(h->app_fd, setup)) {
		AUTO(free)
		char *command = xasprintf("bash \"%s/setup.sh\"", h->w->task.layout.repo);
		if (harbor_bash(h, h->box, command, user, NULL, SETUP_MS, &end, err))
			return -1;
		if (end.end != SANDBOX_EXITED || end.status)
			return err_set(err, ERR_INFRA, 0, "setup.sh of step %s failed", s->name);
	}
	return await_health(h, json_object_get(s->own, "healthcheck"), err);
}

static int put_solution(struct harbor_trial *h, const struct harbor_step *s, struct err *err)
{
	AUTO(free) char *own = xasprintf("steps/%s/solution", s->name);
	const char *from = s->own && path_exists(h->app_fd, own) ? own : "solution";
	static const char *const paths[] = {"/solution", NULL};

	if (strcmp(h->w->attempt.trial.agent, "oracle") != 0)
		return 0;
	if (h->n && harbor_folders(h->box, true, "755", paths, err))
		return -1;
	return harbor_put(h->box, h->app_fd, from, "/solution", "solve.sh", err);
}

/* How long the agent has: what the user said, else the step, else the task. */
static int64_t agent_ms(const struct harbor_trial *h, const struct harbor_step *s)
{
	const int64_t trial_ms = h->w->attempt.trial.limits.timeout_ms;
	const json_t *own = json_object_get(json_object_get(s->own, "agent"), "timeout_ms");
	const int64_t task_ms =
		json_get_int(json_object_get(h->contract, "agent"), "timeout_ms", 0);

	return json_is_integer(own) && trial_ms == task_ms ? json_integer_value(own) : trial_ms;
}

static void set_home(struct work *w, const char *user)
{
	AUTO(free) char *home = sandbox_home(&w->image, user);
	const char *own = NULL;

	for (size_t i = 0; i < w->image.env.n; i++)
		if (!strncmp(w->image.env.v[i], "HOME=", 5))
			own = w->image.env.v[i] + 5;
	snprintf(w->task.layout.home, sizeof w->task.layout.home, "%s", own ? own : home);
}

static int run_agent(struct harbor_trial *h, const struct harbor_step *s, struct err *err)
{
	struct work *w = h->w;
	const bool asks = attempt_agent_asks(&w->attempt);
	AUTO(kvs) struct kvs solution = KVS_INIT;
	const int64_t given_ms = w->attempt.trial.limits.timeout_ms;
	const char *text = w->step->instruction;

	harbor_env(w, json_object_get(json_object_get(h->contract, "solution"), "env"), &solution);
	set_home(w, w->task.layout.agent_user);
	w->attempt.trial.limits.timeout_ms = agent_ms(h, s);
	const int64_t wall_ms = work_agent_ms(w), timeout_ms = w->attempt.trial.limits.timeout_ms;
	if (sandbox_put(h->box, w->task.layout.instructions, text, strlen(text), 0644, err))
		return -1;
	work_phase(w, PHASE_AGENT, wall_ms ? wall_ms + AGENT_EXTRA_MS : 0);
	const bool watched = clock_watch(true);
	struct agent_job job = {
		.attempt = &w->attempt,
		.task = &w->task,
		.step = w->step,
		.run_fd = w->run_fd,
		.solution_env = &solution,
		.token = asks ? w->token : "",
		.gateway_fd = asks ? w->gateway_fd : -1,
		.gateway_port = sandbox_gateway_port(h->box),
		.watch = work_watch(w),
		.deadline_ms = timeout_ms ? clock_mono_ms() + timeout_ms : 0,
		.cancel_fds = {w->signal_fd, w->event_fd},
		.on_output = w->attempt.stream_output ? work_output : NULL,
		.on_output_arg = w,
	};
	int failed = agent_run(&job, h->box, &w->result.agent, err);
	clock_watch(watched);
	w->attempt.trial.limits.timeout_ms = given_ms;
	w->result.agent.oom_killed = w->result.oom_killed = sandbox_oom_killed(h->box);
	if (!failed)
		failed = work_metered(w, err);
	if (failed)
		return -1;
	work_phase(w, PHASE_COLLECT, COLLECT_MS);
	AUTO(strv) struct strv left_out = STRV_INIT;
	return agent_collect(&job, h->box, &w->result.agent, &left_out, err);
}

/* Daemons of the agent, which the tests may need and which may do anything to the reward. */
static int find_survivors(struct harbor_trial *h, struct err *err)
{
	AUTO(strv) struct strv now = STRV_INIT;

	if (harbor_processes(h->box, &now, err))
		return -1;
	for (size_t i = 0; i < now.n; i++) {
		const char *name = strchr(now.v[i], ' ');
		if (!strv_has(&h->at_start, now.v[i]) && name) {
			json_t *safe = json_string(name + 1);
			json_array_append_new(h->survivors, safe ? safe : json_string("?"));
		}
	}
	return 0;
}

static int take_logs(struct harbor_trial *h, const struct harbor_step *s, struct err *err)
{
	AUTO(free) char *to = xasprintf("%s" HARBOR_AGENT, s->dir);
	const struct harbor_take take = {.box_path = "/logs/agent", .to = to};
	const json_t *hook, *hooks = harbor_said(h, s, "verifier", "collect");
	size_t i;

	if (harbor_take(h->w, h->box, &take, err) < 0)
		return -1;
	/* Best effort: how they end counts for nothing. */
	json_array_foreach ((json_t *)hooks, i, hook) {
		struct sandbox_exit end = {0};
		if (harbor_bash(h, h->box, json_get_str(hook, "command", "true"),
				json_get_str(hook, "user", ""), NULL,
				json_get_int(hook, "timeout_ms", 60000), &end, err))
			return -1;
	}
	return harbor_artifacts(h, s, err);
}

/* *GO_ON: the next step is to be run. */
static int run_step(struct harbor_trial *h, const struct harbor_step *s, bool *go_on,
		    struct err *err)
{
	struct work *w = h->w;
	struct reward reward = {0};

	*go_on = false;
	if (set_network(h, s, "environment", err) || begin_step(h, s, err) ||
	    put_solution(h, s, err) || set_network(h, s, "agent", err) || run_agent(h, s, err) ||
	    find_survivors(h, err) || take_logs(h, s, err))
		return -1;
	json_put_str(s->told, "agent", outcome_name(w->result.agent.outcome));
	h->n++;
	if (!w->attempt.trial.evaluate) {
		*go_on = true;
		return 0;
	}
	const json_t *limit = harbor_said(h, s, "verifier", "timeout_ms");
	work_phase(w, PHASE_EVALUATE, json_integer_value(limit) + VERIFY_EXTRA_MS);
	char key[HASH_HEX];
	trial_verifier_image(&w->attempt.trial, h->n - 1, key);
	const bool separate = strcmp(key, "-") != 0;
	h->brings_tests = separate && strcmp(key, "+") != 0;
	json_put_str(s->told, "verifier", separate ? "separate" : "shared");
	h->shared |= !separate;
	if ((separate && change_container(h, s, err)) || set_network(h, s, "verifier", err) ||
	    harbor_verify(h, s, &reward, err))
		return -1;
	h->values[h->n - 1] = STEAL(&reward.values);
	json_put(s->told, "rewards",
		 h->values[h->n - 1] ? json_incref(h->values[h->n - 1]) : json_null());
	if (reward.error) {
		json_put_str(s->told, "error", reward.error);
		json_put_str(s->told, "why", reward.why);
		if (!*w->result.reason)
			snprintf(w->result.reason, sizeof w->result.reason, "unscored: %s: %s",
				 reward.error, reward.why);
		return 0;
	}
	*go_on = reward_passes(h->values[h->n - 1], json_object_get(s->own, "min_reward"));
	return 0;
}

static int run_steps(struct harbor_trial *h, struct err *err)
{
	struct work *w = h->w;
	const json_t *steps = json_object_get(h->contract, "steps");
	bool go_on = true;

	for (size_t i = 0; go_on && i < w->task.steps_n && i < ARRAY_SIZE(h->values); i++) {
		const json_t *own = json_array_get(steps, i);
		AUTO(free) char *dir =
			own ? xasprintf("steps/%s/", w->task.steps[i].name) : xstrdup("");
		json_t *told = json_object();
		struct harbor_step s = {
			.own = own, .name = w->task.steps[i].name, .dir = dir, .told = told};
		json_array_append_new(h->steps, told);
		json_put_str(told, "name", s.name);
		w->step = &w->task.steps[i];
		const json_t *user = harbor_said(h, &s, "agent", "user");
		snprintf(w->task.layout.agent_user, sizeof w->task.layout.agent_user, "%s",
			 json_is_string(user) ? json_string_value(user) : "");
		if (run_step(h, &s, &go_on, err))
			return -1;
	}
	return 0;
}

/* VALUES become the scores of a step without a name. */
static void take_scores(struct harbor_trial *h, const json_t *values)
{
	struct result *r = &h->w->result;
	struct reward_score got = {0};

	r->evaluated = true;
	r->coverage = 0;
	reward_grade(&result_add_step(r, "")->scores, values, h->w->attempt.trial.reward, &got);
	if (got.mean && !h->w->attempt.trial.rollout) {
		json_t *e = work_event(EVENT_NOTE);
		json_put_str(e, "text",
			     "its rewards have no key \"reward\": the score is their mean "
			     "(score = \"KEY\" takes one)");
		work_say(h->w, e);
	}
	if (got.scored) {
		r->scored = true;
		r->total_score = r->score_low = r->score_high = got.total;
		r->coverage = 1;
	} else if (!*r->reason) {
		snprintf(r->reason, sizeof r->reason, "%s", got.why);
	}
}

/* What its container was: not that of a prepared task. */
static json_t *contract_told(const struct harbor_trial *h)
{
	static const char *const capabilities[] = {SANDBOX_CAPABILITIES};
	json_t *j = json_object(), *list = json_array();
	const struct trial *t = &h->w->attempt.trial;

	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
		json_array_append_new(list, json_string(capabilities[i]));
	json_put_bool(j, "writable_root", true);
	json_put(j, "capabilities", list);
	json_put_bool(j, "no_new_privileges", !h->w->privileges);
	json_put_str(j, "user", h->w->image.user && *h->w->image.user ? h->w->image.user : "root");
	json_put_bool(j, "agent_network", t->network);
	json_put_bool(j, "verifier_network", t->eval_network);
	if (*t->verifier_tools)
		json_put_str(j, "verifier_tools", t->verifier_tools);
	return j;
}

static void tell_result(struct harbor_trial *h)
{
	struct result *r = &h->w->result;
	const char *strategy = json_get_str(h->contract, "strategy", "mean");
	json_t *values = json_array_size(json_object_get(h->contract, "steps"))
				 ? reward_of_steps(h->values, h->n, strategy)
			 : h->n && h->values[0] ? json_incref(h->values[0])
						: NULL;

	r->harbor = json_object();
	json_put(r->harbor, "rewards", values ? json_incref(values) : json_null());
	json_put(r->harbor, "steps", json_incref(h->steps));
	json_put(r->harbor, "container", contract_told(h));
	json_put(r->harbor, "survivors", json_incref(h->survivors));
	/* What lives on beside the tests, with their rights, may write the reward itself. */
	json_put_bool(r->harbor, "forgeable", h->shared);
	if (h->w->separate)
		json_put_str(r->harbor, "verifier_image", h->w->verifier_image.digest);
	if (h->w->attempt.trial.evaluate)
		take_scores(h, values);
	json_decref(values);
}

/* Readers of an attempt find what they find in every other: a diff, which is empty, since the work is the container. */
static int write_common(struct work *w, struct err *err)
{
	struct hash h;

	hash_init(&h);
	hash_hex(&h, w->result.agent.digest);
	return path_write(w->run_fd, ATTEMPT_DIFF, "", 0, 0644, w->attempt.sync, err);
}

static void prepare(struct work *w)
{
	struct task_layout *l = &w->task.layout;
	const json_t *env = json_object_get(w->task.harbor, "environment");

	if (!json_is_string(json_object_get(env, "workdir")))
		snprintf(l->repo, sizeof l->repo, "%s", *w->image.workdir ? w->image.workdir : "/");
	harbor_env(w, json_object_get(env, "env"), &w->task.env);
	set_home(w, l->agent_user);
}

int work_harbor_prepare(struct work *w, struct err *err)
{
	const struct trial *t = &w->attempt.trial;
	char key[HASH_HEX];

	trial_verifier_image(t, w->task.steps_n - 1, key);
	w->separate = strcmp(key, "-") != 0;
	if (!w->separate)
		return 0;
	const bool own = strcmp(key, "+") != 0;
	if (image_read(&w->verifier_image, w->root_fd, own ? key : t->image,
		       own ? NULL : t->image_id, err))
		return err_wrap(err, "the image of this task's verifier");
	if (*w->verifier_image.error)
		return err_set(err, ERR_USAGE, 0, "no image for this task's verifier: %s",
			       w->verifier_image.error);
	return 0;
}

int work_harbor(struct work *w, struct err *err)
{
	AUTO(sandbox) struct sandbox *box = NULL;
	struct harbor_trial h = {.w = w,
				 .image = &w->image,
				 .contract = w->task.harbor,
				 .app_fd = -1,
				 .at_start = STRV_INIT,
				 .survivors = json_array(),
				 .steps = json_array()};

	if (w->attempt.regrade || w->attempt.agent_from)
		return err_set(err, ERR_USAGE, 0,
			       "a Harbor task is verified in the container that its agent left, "
			       "which is gone: run the trial again");
	w->result.agent.metrics = agent_metrics_unknown;
	prepare(w);
	snprintf(h.workdir, sizeof h.workdir, "%s", w->task.layout.repo);
	h.app_fd = path_open_beneath(w->root_fd, w->app, O_RDONLY | O_DIRECTORY, 0, err);
	int rc = h.app_fd < 0 || open_container(&h, err) || run_steps(&h, err) ? -1 : 0;
	box = h.box;
	if (!rc) {
		tell_result(&h);
		rc = write_common(w, err);
	}
	if (h.app_fd >= 0)
		close(h.app_fd);
	for (size_t i = 0; i < h.n; i++)
		json_decref(h.values[i]);
	json_decref(h.survivors);
	json_decref(h.steps);
	strv_release(&h.at_start);
	return rc;
}
