/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/frontend.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/images.h"
#include "config/agents.h"

/* A front end while it is being filled. */
struct loader {
	struct frontend *out;
	const struct config_request *req;
	struct strv *problems;
	size_t tasks_cap;
	char ***agents;		    /* agents[entry][model] */
	struct plan_route **routes; /* routes[entry][model] */
	bool providers_read;
	struct strv unrouted; /* models that were complained of */
	struct unusable *unusable;
	size_t unusable_n, unusable_cap;
};

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_source(const struct task_source *a, const struct task_source *b)
{
	return strcmp(a->dir, b->dir) == 0 && same_text(a->overrides, b->overrides) &&
	       a->apply_overrides == b->apply_overrides;
}

static bool begins(const char *line, const char *name)
{
	size_t n = name ? strlen(name) : 0;
	return n && strncmp(line, name, n) == 0 && line[n] == ':';
}

/* A task names its files as seen from its folder; people need them as seen from here. */
void frontend_task_problems(const struct task_source *source, const struct strv *lines,
			    struct strv *out)
{
	for (size_t i = 0; i < lines->n; i++)
		if (begins(lines->v[i], source->overrides) || begins(lines->v[i], source->dir))
			strv_push(out, lines->v[i]);
		else
			strv_take(out, path_join(source->dir, lines->v[i]));
}

static void read_task(struct loader *l, const struct task_source *source)
{
	struct frontend *f = l->out;
	AUTO(strv) struct strv lines = STRV_INIT;
	struct err err;
	GROW(f->tasks, f->tasks_n, l->tasks_cap);
	struct frontend_task *t = &f->tasks[f->tasks_n++];
	*t = (struct frontend_task){.source = *source};
	if (task_read(&t->task, source, &lines, &err) == 0)
		return;
	if (!lines.n)
		strv_push(&lines, err.msg);
	frontend_task_problems(source, &lines, l->problems);
}

/* Each distinct task once: a benchmark of 10,000 rollouts may name its folder in many entries. */
static size_t find_task(struct loader *l, const struct bench_entry *e)
{
	const struct task_source source = {e->task_path, e->overrides, e->apply_overrides};
	for (size_t i = 0; i < l->out->tasks_n; i++)
		if (same_source(&l->out->tasks[i].source, &source))
			return i;
	read_task(l, &source);
	return l->out->tasks_n - 1;
}

static void read_tasks(struct loader *l)
{
	const struct bench *b = &l->out->bench;
	l->out->entry_task = xcalloc(b->entries_n + 1, sizeof *l->out->entry_task);
	for (size_t i = 0; i < b->entries_n; i++)
		l->out->entry_task[i] = find_task(l, &b->entries[i]);
}

/* An agent that cannot be used, told once with all models that led to it. */
struct unusable {
	const char *agent, *place; /* of the bench and of the agents' table */
	bool chosen;		   /* by "auto" */
	struct strv models;
	char *why;
};

static struct unusable *find_unusable(struct loader *l, const char *name)
{
	for (size_t i = 0; i < l->unusable_n; i++)
		if (strcmp(l->unusable[i].agent, name) == 0)
			return &l->unusable[i];
	return NULL;
}

static void add_unusable(struct loader *l, const char *name, const struct bench_entry *e,
			 const char *why)
{
	GROW(l->unusable, l->unusable_n, l->unusable_cap);
	l->unusable[l->unusable_n++] = (struct unusable){.agent = name,
							 .place = e->agent_place,
							 .chosen = strcmp(e->agent, "auto") == 0,
							 .models = STRV_INIT,
							 .why = xstrdup(why)};
}

static void tell_unusable(struct loader *l)
{
	for (size_t i = 0; i < l->unusable_n; i++) {
		struct unusable *u = &l->unusable[i];
		AUTO(buf) struct buf models = BUF_INIT;
		for (size_t m = 0; m < u->models.n; m++)
			buf_addf(&models, "%s\"%s\"", m ? ", " : "", u->models.v[m]);
		if (u->chosen)
			strv_pushf(l->problems,
				   "%s: agent = \"auto\" means \"%s\" for model%s %s: %s", u->place,
				   u->agent, u->models.n == 1 ? "" : "s", models.data, u->why);
		else
			strv_pushf(l->problems, "%s: %s", u->place, u->why);
		strv_release(&u->models);
		free(u->why);
	}
	free(l->unusable);
}

static void find_agent(struct loader *l, const char *name, const struct bench_entry *e,
		       const char *model)
{
	AUTO(strv) struct strv lines = STRV_INIT;
	AUTO(json) json_t *spec = NULL;
	struct err err;
	const struct agent_query q = {.name = name, .config_path = l->req->path};
	if (!json_object_get(l->out->agents, name)) {
		int rc = agent_find(&spec, &q, &lines, &err);
		for (size_t i = 0; i < lines.n; i++)
			strv_push(l->problems, lines.v[i]);
		if (rc < 0 && !lines.n)
			add_unusable(l, name, e, err.msg);
		/* Kept even when it failed, so that each agent's mistakes are told once. */
		json_object_set_new(l->out->agents, name, spec ? json_incref(spec) : json_null());
	}
	struct unusable *u = find_unusable(l, name);
	if (u && !strv_has(&u->models, model))
		strv_push(&u->models, model);
}

/* The first dialect that both speak, in the agent's order; NULL: none. */
static const char *common_api(const json_t *spec, const struct provider *v)
{
	const json_t *apis = json_object_get(spec, "apis");
	size_t i;
	json_t *api;
	if (!json_array_size(apis))
		return v ? v->apis.v[0] : "";
	json_array_foreach (apis, i, api)
		if (!v || strv_has(&v->apis, json_string_value(api)))
			return json_string_value(api);
	return NULL;
}

static void complain_of_model(struct loader *l, const struct bench_entry *e, const char *model,
			      const char *why)
{
	if (strv_has(&l->unrouted, model))
		return;
	strv_push(&l->unrouted, model);
	strv_pushf(l->problems, "%s: %s", e->model_place, why);
}

static void explain_apis(struct buf *out, const struct provider *v, const char *agent)
{
	buf_addf(out, "agent \"%s\" speaks no dialect that the provider \"%s\" answers (", agent,
		 v->name);
	for (size_t i = 0; i < v->apis.n; i++)
		buf_addf(out, "%s%s", i ? ", " : "", v->apis.v[i]);
	buf_adds(out, "): choose another agent, or a provider that does");
}

/* What nobody would keep is refused. */
static void check_limits(struct loader *l, const struct bench_entry *e, const char *model,
			 const struct route *route)
{
	const struct limits *m = &e->limits;
	const struct budget *b = &l->out->bench.budget;
	const char *what = m->tokens ? "token_limit" : m->usd > 0 ? "cost_limit_usd" : "call_limit";
	bool unpriced = route->price && !route->price->known;
	AUTO(free) char *why = NULL;
	if (l->req->gateway && (m->tokens || m->usd > 0 || m->calls))
		why = xasprintf(
			"%s needs the gateway of rollouts, which counts: leave --gateway out",
			what);
	else if (l->req->gateway && (b->usd > 0 || b->tokens || b->max_forecast_usd > 0))
		why = xstrdup("[budget] needs the gateway of rollouts, which counts: leave "
			      "--gateway out");
	else if (unpriced && (m->usd > 0 || b->usd > 0))
		why = xasprintf(
			"%s cannot be kept: no price is known of the model \"%s\"; give one in "
			"[[models]] of providers.toml",
			m->usd > 0 ? "cost_limit_usd" : "[budget] usd", model);
	if (why)
		complain_of_model(l, e, model, why);
}

static void read_providers(struct loader *l)
{
	struct err err;
	if (!l->providers_read &&
	    providers_load(&l->out->providers, l->req->path, l->problems, &err))
		strv_push(&l->unrouted, ""); /* its lines are there */
	l->providers_read = true;
}

/* Who answers, for an agent that asks. A gateway of the user's own may know models that we do not. */
static void find_route(struct loader *l, const struct bench_entry *e, const char *agent,
		       const char *model, struct plan_route *out)
{
	const json_t *spec = json_object_get(l->out->agents, agent);
	const bool own = l->req->gateway != NULL;
	struct route route = {.model_id = model};
	struct err err = {0};
	if (!*json_get_str(spec, "needs", ""))
		return;
	read_providers(l);
	if (providers_route(&l->out->providers, model, &route, &err)) {
		if (!own && !strv_has(&l->unrouted, ""))
			complain_of_model(l, e, model, err.msg);
		if (!own)
			return;
		route = (struct route){.model_id = model};
	}
	const char *api = common_api(spec, route.provider);
	if (!api) {
		AUTO(buf) struct buf why = BUF_INIT;
		explain_apis(&why, route.provider, agent);
		complain_of_model(l, e, model, why.data);
		return;
	}
	check_limits(l, e, model, &route);
	*out = (struct plan_route){route.provider && !own ? route.provider->name : "", api,
				   route.model_id};
}

/* "auto" goes by the model's name, but a server of one's own may answer it in a dialect of its own: then the
 * built-in agent, which speaks all of them. */
static char *choose_agent(struct loader *l, const char *model)
{
	AUTO(free) char *usual = agent_for_model(model, l->req->path);
	const struct agent_query q = {.name = usual, .config_path = l->req->path};
	AUTO(strv) struct strv ignored_lines = STRV_INIT;
	AUTO(json) json_t *file = NULL;
	AUTO(free) char *path = NULL;
	struct route route;
	struct err ignored;
	if (agent_read(&file, &path, &q, &ignored_lines, &ignored) ||
	    !*json_get_str(file, "needs", ""))
		return STEAL(&usual); /* what is wrong is told by find_agent */
	read_providers(l);
	if (providers_route(&l->out->providers, model, &route, &ignored) ||
	    common_api(file, route.provider))
		return STEAL(&usual);
	return xstrdup("bash");
}

static void find_agents(struct loader *l)
{
	const struct bench *b = &l->out->bench;
	l->agents = xcalloc(b->entries_n + 1, sizeof *l->agents);
	l->routes = xcalloc(b->entries_n + 1, sizeof *l->routes);
	for (size_t i = 0; i < b->entries_n; i++) {
		const struct bench_entry *e = &b->entries[i];
		bool chosen = strcmp(e->agent, "auto") == 0;
		l->agents[i] = xcalloc(e->models.n + 1, sizeof **l->agents);
		l->routes[i] = xcalloc(e->models.n + 1, sizeof **l->routes);
		for (size_t m = 0; m < e->models.n; m++) {
			const char *model = e->models.v[m];
			l->agents[i][m] = chosen ? choose_agent(l, model) : xstrdup(e->agent);
			find_agent(l, l->agents[i][m], e, model);
			find_route(l, e, l->agents[i][m], model, &l->routes[i][m]);
		}
	}
	tell_unusable(l);
}

static bool is_beneath(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	return strncmp(path, dir, n) == 0 && (path[n] == '/' || !path[n]);
}

/* What is installed beside an agent's program is shown to the agent. WHAT must not lie there. */
static void check_hidden(struct loader *l, const char *what, const char *path)
{
	AUTO(free) char *real = path ? realpath(path, NULL) : NULL;
	const char *name;
	json_t *spec, *m;
	size_t i;
	json_object_foreach (l->out->agents, name, spec)
		json_array_foreach (json_object_get(spec, "mounts"), i, m)
			if (real && is_beneath(real, json_get_str(m, "host", "/-")))
				strv_pushf(l->problems,
					   "%s: agent \"%s\" would see %s, %s: its program lies in "
					   "%s, which is "
					   "shown to it as a whole; move the program to a folder "
					   "of its own",
					   l->req->path, name, what, real,
					   json_get_str(m, "host", ""));
}

static void check_all_hidden(struct loader *l)
{
	struct frontend *f = l->out;
	check_hidden(l, "the data folder", l->req->data_dir ? l->req->data_dir : "data");
	for (size_t i = 0; i < f->tasks_n; i++) {
		const char *url = f->tasks[i].task.repo.git_url;
		check_hidden(l, "a task folder", f->tasks[i].source.dir);
		check_hidden(l, "a task's repository", url && *url == '/' ? url : NULL);
	}
}

static void check_gateway(struct loader *l)
{
	struct stat st;
	const char *path = l->req->gateway;
	if (path && (stat(path, &st) < 0 || !S_ISSOCK(st.st_mode)))
		strv_pushf(l->problems, "--gateway: %s is not a socket", path);
}

static int make_plan(struct loader *l, const struct trial *old, size_t old_n, struct err *err)
{
	struct frontend *f = l->out;
	size_t n = f->bench.entries_n;
	AUTO(free) const struct task **tasks = xcalloc(n + 1, sizeof *tasks);
	for (size_t i = 0; i < n; i++)
		tasks[i] = &f->tasks[f->entry_task[i]].task;
	const struct plan_input in = {
		.bench = &f->bench,
		.tasks = tasks,
		.agents = (const char *const *const *)l->agents,
		.routes = (const struct plan_route *const *)l->routes,
		.only = l->req->only,
		.limit = l->req->limit,
		.old = old,
		.old_n = old_n,
	};
	return plan_make(&f->plan, &in, l->problems, err);
}

static void release_agents(struct loader *l)
{
	const struct bench *b = &l->out->bench;
	for (size_t i = 0; l->agents && i < b->entries_n; i++) {
		for (size_t m = 0; m < b->entries[i].models.n; m++)
			free(l->agents[i][m]);
		free(l->agents[i]);
		free(l->routes[i]);
	}
	free(l->agents);
	free(l->routes);
	strv_release(&l->unrouted);
}

static int count_mistakes(const struct loader *l, size_t before, struct err *err)
{
	size_t n = l->problems->n - before;
	return n ? err_set(err, ERR_USAGE, 0, "%s: %zu mistakes", l->req->path, n) : 0;
}

int frontend_load_tasks(struct frontend *out, const struct config_request *req,
			struct strv *problems, struct err *err)
{
	struct config_request grading = *req;
	struct loader l = {.out = out, .req = req, .problems = problems};
	size_t before = problems->n;
	grading.grading_only = true;
	*out = (struct frontend){.agents = json_object()};
	bench_init(&out->bench);
	int rc = config_load(&out->bench, &grading, problems, err);
	read_tasks(&l);
	return rc ? rc : count_mistakes(&l, before, err);
}

int frontend_check_name(const struct frontend *f, const char *name, struct err *err)
{
	if (!strcmp(f->bench.name, name))
		return 0;
	return err_set(err, ERR_USAGE, 0, "--config %s is the benchmark \"%s\", not \"%s\"",
		       f->bench.config_path, f->bench.name, name);
}

int frontend_load(struct frontend *out, const struct config_request *req, const struct trial *old,
		  size_t old_n, struct strv *problems, struct err *err)
{
	struct loader l = {.out = out, .req = req, .problems = problems};
	size_t before = problems->n;
	*out = (struct frontend){.agents = json_object()};
	bench_init(&out->bench);
	int rc = config_load(&out->bench, req, problems, err);
	check_gateway(&l);
	read_tasks(&l);
	find_agents(&l);
	check_all_hidden(&l);
	if (rc == 0)
		rc = count_mistakes(&l, before, err);
	if (rc == 0 && (rc = images_resolve(out, problems, err)) == 0)
		rc = count_mistakes(&l, before, err);
	if (rc == 0)
		rc = make_plan(&l, old, old_n, err);
	release_agents(&l);
	return rc;
}

/* Only tasks that a planned trial is of: --only must not cost the others' snapshots. */
static struct frontend_task *task_of(struct frontend *f, const struct trial *t)
{
	for (size_t i = 0; i < f->tasks_n; i++)
		if (strcmp(f->tasks[i].task.hash, t->task_hash) == 0)
			return &f->tasks[i];
	bug("trial %d has no task", t->index);
}

int frontend_snapshot(struct frontend_task *t, const struct store *s, struct err *err)
{
	if (t->snapshot || !task_snapshot(&t->task, &t->source, s->root_fd, &t->snapshot, err))
		return 0;
	return err_wrap(err, "%s", t->source.dir);
}

int frontend_commit(struct frontend *f, const struct store *s, const char *stamp, struct err *err)
{
	for (size_t i = 0; i < f->plan.n; i++) {
		struct trial *t = &f->plan.trials[i];
		struct frontend_task *task = task_of(f, t);
		if (frontend_snapshot(task, s, err) < 0)
			return -1;
		t->task_snapshot = xstrdup(task->snapshot);
		if (*t->image && task->context &&
		    task_context_write(task->context, s->root_fd, err))
			return err_wrap(err, "%s", task->source.dir);
	}
	plan_stamp(&f->plan, stamp);
	return 0;
}

void frontend_release(struct frontend *f)
{
	for (size_t i = 0; i < f->tasks_n; i++) {
		task_release(&f->tasks[i].task);
		free(f->tasks[i].snapshot);
		task_context_free(f->tasks[i].context);
	}
	plan_release(&f->plan);
	providers_release(&f->providers);
	bench_release(&f->bench);
	json_decref(f->agents);
	free(f->tasks);
	free(f->entry_task);
	free(f->engine);
	*f = (struct frontend){0};
}
