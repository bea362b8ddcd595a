/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/inputs.h"
#include "rollout/caches.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "rollout/datasets.h"
#include "rollout/inputs-internal.h"
#include "rollout/judge.h"
#include "rollout/tools.h"
#include "rollout/versions.h"

/* What is installed beside an agent's program is shown to the agent. WHAT must not lie there. */
static void check_hidden(const struct inputs *in, const char *config, const char *what,
			 const char *path, struct strv *problems)
{
	AUTO(free) char *real = path ? realpath(path, NULL) : NULL;
	const char *name;
	json_t *spec, *m;
	size_t i;

	json_object_foreach (in->agents, name, spec)
		json_array_foreach (json_object_get(spec, "mounts"), i, m)
			if (real && path_is_within(real, json_get_str(m, "host", "/-")))
				strv_pushf(problems,
					   "%s: agent \"%s\" would see %s, %s: its program lies in "
					   "%s, which is "
					   "shown to it as a whole; move the program to a folder "
					   "of its own",
					   config, name, what, real, json_get_str(m, "host", ""));
}

static void check_all_hidden(const struct inputs *in, const struct config_request *req,
			     struct strv *problems)
{
	check_hidden(in, req->path, "the data folder", req->data_dir ? req->data_dir : "data",
		     problems);
	for (size_t i = 0; i < in->tasks_n; i++) {
		const char *url = in->tasks[i].task.repo.git_url;
		check_hidden(in, req->path, "a task folder", in->tasks[i].source.dir, problems);
		check_hidden(in, req->path, "a task's repository", url && *url == '/' ? url : NULL,
			     problems);
	}
}

/* A gateway of the user's own has no account for it. */
static void find_judge(struct inputs *in, const struct config_request *req, struct strv *problems)
{
	struct judge *j = &in->bench.judge;
	struct err err;

	if (j->enabled == JUDGE_OFF || (j->enabled == JUDGE_AUTO && !j->model))
		return;
	if (req->gateway) {
		strv_push(problems,
			  "[judge] needs the gateway of rollouts: leave --gateway out, or "
			  "give --no-judge");
		return;
	}
	if (!in->providers.n && providers_load(&in->providers, req->path, problems, &err))
		return;
	if (judge_settle(j, &in->providers, &err))
		strv_pushf(problems, "%s: %s", req->path, err.msg);
}

static void check_gateway(const char *path, struct strv *problems)
{
	struct stat st;

	if (path && (stat(path, &st) < 0 || !S_ISSOCK(st.st_mode)))
		strv_pushf(problems, "--gateway: %s is not a socket", path);
}

static int count_mistakes(const char *path, const struct strv *problems, size_t before,
			  struct err *err)
{
	size_t n = problems->n - before;
	return n ? err_set(err, ERR_USAGE, 0, "%s: %zu mistakes", path, n) : 0;
}

int inputs_load_tasks(struct inputs *out, const struct config_request *req, struct strv *problems,
		      struct err *err)
{
	struct config_request grading = *req;
	size_t before = problems->n;

	grading.grading_only = true;
	grading.datasets = datasets_find;
	*out = (struct inputs){.agents = json_object()};
	bench_init(&out->bench);
	struct err more;
	int rc = config_load(&out->bench, &grading, problems, err);
	if (inputs_read_tasks(out, req, problems, rc ? &more : err))
		rc = -1;
	AUTO(strv) struct strv told = STRV_INIT;
	inputs_blank_logins(out, &told);
	return rc ? rc : count_mistakes(req->path, problems, before, err);
}

int inputs_check_name(const struct inputs *in, const char *name, struct err *err)
{
	if (!strcmp(in->bench.name, name))
		return 0;
	return err_set(err, ERR_USAGE, 0, "--config %s is the benchmark \"%s\", not \"%s\"",
		       in->bench.config_path, in->bench.name, name);
}

static bool is_task_tag(const struct inputs *in, const char *name)
{
	for (size_t i = 0; i < in->tasks_n; i++) {
		const json_t *tags = in->tasks[i].task.tags, *tag;
		size_t n;
		json_array_foreach (tags, n, tag)
			if (strcmp(json_string_value(tag) ? json_string_value(tag) : "", name) == 0)
				return true;
	}
	return false;
}

static bool tests_name(const struct task *t, const char *name)
{
	for (size_t i = 0; i < t->steps_n; i++)
		for (size_t k = 0; k < t->steps[i].tests_n; k++) {
			const struct task_test *test = &t->steps[i].tests[k];
			if (test->content &&
			    memmem(test->content, test->content_len, name, strlen(name)))
				return true;
		}
	return false;
}

/* Tests that count on a credential fail for every agent, and nothing else would say why. */
static void note_withheld(struct inputs *in)
{
	for (size_t i = 0; i < in->tasks_n; i++) {
		const struct task *t = &in->tasks[i].task;
		for (size_t k = 0; k < t->withheld.n; k++)
			if (tests_name(t, t->withheld.v[k]))
				strv_pushf(&in->plan.notes,
					   "task \"%s\": its tests name %s, a credential of its "
					   ".env that no sandbox is "
					   "given; where a dummy will do, set one in the test "
					   "script: export %s=dummy",
					   t->id, t->withheld.v[k], t->withheld.v[k]);
	}
}

/* The agents of a task miss it, and nobody would guess why they fail. Many tasks are of one repository. */
static void note_hollow(struct inputs *in)
{
	for (size_t i = 0; i < in->tasks_n; i++) {
		const struct task *t = &in->tasks[i].task;
		size_t same = 0;
		bool told = false;
		for (size_t k = 0; t->hollow.n && k < in->tasks_n; k++) {
			bool like = in->tasks[k].task.hollow.n == t->hollow.n &&
				    !strcmp(in->tasks[k].task.repo.git_url, t->repo.git_url);
			told |= like && k < i;
			same += like && k > i;
		}
		for (size_t k = 0; k < t->hollow.n && !told; k++) {
			AUTO(free) char *more =
				same ? xasprintf(" (and %zu more)", same) : xstrdup("");
			strv_pushf(&in->plan.notes, "task \"%s\"%s: %s", t->id, more,
				   t->hollow.v[k]);
		}
	}
}

/* Of tasks that have trials in a local sandbox. */
static void note_versions(struct inputs *in)
{
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(json) json_t *local = json_object();

	for (size_t i = 0; i < in->plan.n; i++)
		if (in->plan.trials[i].sandbox == SANDBOX_LOCAL && in->plan.trials[i].evaluate)
			json_object_set_new(local, in->plan.trials[i].task_hash, json_true());
	for (size_t i = 0; i < in->tasks_n; i++)
		if (json_object_get(local, in->tasks[i].task.hash))
			versions_used(&names, &in->tasks[i].task);
	versions_note(&in->plan.notes, &names, in->tools);
}

/* One world for agent and tests in any case, but perhaps not the one that was asked for. */
static void note_containers(struct inputs *in)
{
	const json_t *name, *names = json_object_get(in->tools, "not_in_containers");
	bool any = false;
	size_t i;

	for (size_t k = 0; k < in->plan.n && !any; k++)
		any = in->plan.trials[k].sandbox == SANDBOX_DOCKER;
	json_array_foreach (any ? names : NULL, i, name)
		strv_pushf(
			&in->plan.notes,
			"tools: %s is a part of this machine's system (%s) and cannot be shown in "
			"containers, which have their image's",
			json_string_value(name),
			json_get_str(json_object_get(in->tools, "programs"),
				     json_string_value(name), "?"));
}

static int make_plan(struct inputs *in, const struct config_request *req,
		     const struct inputs_choice *choice, const struct planfile *old,
		     struct strv *problems, struct err *err)
{
	size_t n = in->bench.entries_n;
	AUTO(free) const struct task **tasks = xcalloc(n + 1, sizeof *tasks);

	for (size_t i = 0; i < n; i++)
		tasks[i] = &in->tasks[in->entry_task[i]].task;
	const struct plan_input input = {
		.bench = &in->bench,
		.tasks = tasks,
		.agents = (const char *const *const *)choice->agents,
		.routes = (const struct plan_route *const *)choice->routes,
		.tools = json_get_str(in->tools, "id", NULL),
		.only = &req->only,
		.exclude = &req->exclude,
		.sample = req->sample,
		.sample_seed = req->sample_seed,
		.limit = req->limit,
		.old = old ? old->trials : NULL,
		.old_n = old ? old->n : 0,
	};
	if (plan_make(&in->plan, &input, problems, err))
		return -1;
	for (size_t i = 0; i < req->tags.n; i++)
		if (is_task_tag(in, req->tags.v[i]))
			strv_pushf(&in->plan.notes,
				   "--tag %s names this run and chooses nothing; the tasks with "
				   "that tag: --only tag:%s",
				   req->tags.v[i], req->tags.v[i]);
	note_withheld(in);
	note_hollow(in);
	note_versions(in);
	note_containers(in);
	inputs_note_harbor(in);
	inputs_note_refused(in);
	judge_advise(&in->bench.judge, in->plan.trials, in->plan.n, &in->plan.notes);
	return 0;
}

int inputs_load(struct inputs *out, const struct config_request *req, const struct planfile *old,
		struct strv *problems, struct err *err)
{
	struct inputs_choice choice;
	struct err more;
	AUTO(strv) struct strv notes = STRV_INIT;
	size_t before = problems->n;

	*out = (struct inputs){.agents = json_object()};
	bench_init(&out->bench);
	struct config_request known = *req;
	known.datasets = datasets_find;
	known.notes = &out->harbor_notes;
	int rc = config_load(&out->bench, &known, problems, err);
	check_gateway(req->gateway, problems);
	if (inputs_read_tasks(out, req, problems, rc ? &more : err))
		rc = -1;
	inputs_find_agents(out, &choice, req, problems);
	find_judge(out, req, problems);
	tools_find(&out->tools, &out->bench.tools, req->path, problems);
	if (problems->n == before)
		versions_ask(out->tools);
	caches_find(&out->tools, &out->bench.caches, req->path, problems);
	check_all_hidden(out, req, problems);
	if (rc == 0)
		inputs_check_asks(out, &choice, problems);
	if (rc == 0)
		inputs_settle_harbor(out, req, problems);
	if (rc == 0)
		rc = count_mistakes(req->path, problems, before, err);
	if (rc == 0 && (rc = inputs_settle_sandboxes(out, problems, err)) == 0) {
		inputs_settle_refused(out, problems);
		rc = count_mistakes(req->path, problems, before, err);
	}
	if (rc == 0) {
		inputs_blank_logins(out, &notes);
		if (old)
			inputs_rename_agents(out, &choice, old->agents, &notes);
		rc = make_plan(out, req, &choice, old, problems, err);
	}
	if (rc == 0) {
		inputs_check_variables(out, req->path, problems);
		rc = count_mistakes(req->path, problems, before, err);
	}
	if (rc == 0)
		strv_pushv(&out->plan.notes, strv_items(&notes));
	if (rc == 0 && out->weaker)
		strv_pushf(&out->plan.notes,
			   "sandbox = \"landlock\", weaker than local, which does not start here "
			   "(docs/sandbox.md): %s",
			   out->weaker);
	inputs_choice_release(&choice);
	return rc;
}

/* Only tasks that a planned trial is of: --only must not cost the others' snapshots. */
int inputs_commit(struct inputs *in, const struct store *s, const char *stamp, struct err *err)
{
	for (size_t i = 0; i < in->plan.n; i++) {
		struct trial *t = &in->plan.trials[i];
		struct inputs_task *task = inputs_task_of(in, t);
		if (inputs_snapshot(task, s, err) < 0)
			return -1;
		t->task_snapshot = xstrdup(task->snapshot);
		if (*t->image && task->context &&
		    task_context_write(task->context, s->root_fd, err))
			return err_wrap(err, "%s", task->source.dir);
		for (size_t k = 0; k < task->verifiers.n; k++)
			if (task_context_write(task->verifiers.v[k], s->root_fd, err))
				return err_wrap(err, "%s", task->source.dir);
	}
	plan_stamp(&in->plan, stamp);
	return 0;
}

void inputs_release(struct inputs *in)
{
	for (size_t i = 0; i < in->tasks_n; i++) {
		task_release(&in->tasks[i].task);
		free(in->tasks[i].snapshot);
		task_context_free(in->tasks[i].context);
		for (size_t k = 0; k < in->tasks[i].verifiers.n; k++)
			task_context_free(in->tasks[i].verifiers.v[k]);
		free(in->tasks[i].verifiers.v);
		free(in->tasks[i].verifier_keys);
	}
	plan_release(&in->plan);
	providers_release(&in->providers);
	bench_release(&in->bench);
	json_decref(in->agents);
	json_decref(in->tools);
	free(in->tasks);
	free(in->entry_task);
	free(in->engine);
	free(in->weaker);
	strv_release(&in->harbor_notes);
	*in = (struct inputs){0};
}
