/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which agent asks which model by way of whom, for every entry of a benchmark.
 */
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "config/agents.h"
#include "core/roles.h"
#include "model/options.h"
#include "rollout/inputs-internal.h"

/* An agent that cannot be used, told once with all models that led to it. */
struct unusable {
	const char *agent, *place; /* of the bench and of the agents' table */
	bool chosen;		   /* by "auto" */
	struct strv models;
	char *why;
};

/* While the entries are looked through. */
struct search {
	struct inputs *in;
	const struct config_request *req;
	struct strv *problems;
	bool providers_read;
	struct strv unrouted; /* models that were complained of */
	struct unusable *unusable;
	size_t unusable_n, unusable_cap;
};

static struct unusable *find_unusable(struct search *s, const char *name)
{
	for (size_t i = 0; i < s->unusable_n; i++)
		if (strcmp(s->unusable[i].agent, name) == 0)
			return &s->unusable[i];
	return NULL;
}

static void add_unusable(struct search *s, const char *name, const struct bench_entry *e,
			 const char *why)
{
	GROW(s->unusable, s->unusable_n, s->unusable_cap);
	s->unusable[s->unusable_n++] = (struct unusable){.agent = name,
							 .place = e->agent_place,
							 .chosen = strcmp(e->agent, "auto") == 0,
							 .models = STRV_INIT,
							 .why = xstrdup(why)};
}

static void tell_unusable(struct search *s)
{
	for (size_t i = 0; i < s->unusable_n; i++) {
		struct unusable *u = &s->unusable[i];
		AUTO(buf) struct buf models = BUF_INIT;
		for (size_t m = 0; m < u->models.n; m++)
			buf_addf(&models, "%s\"%s\"", m ? ", " : "", u->models.v[m]);
		if (u->chosen)
			strv_pushf(s->problems,
				   "%s: agent = \"auto\" means \"%s\" for model%s %s: %s", u->place,
				   u->agent, u->models.n == 1 ? "" : "s", models.data, u->why);
		else
			strv_pushf(s->problems, "%s: %s", u->place, u->why);
		strv_release(&u->models);
		free(u->why);
	}
	free(s->unusable);
}

static void find_agent(struct search *s, const char *name, const struct bench_entry *e,
		       const char *model)
{
	AUTO(strv) struct strv lines = STRV_INIT;
	AUTO(json) json_t *spec = NULL;
	struct err err;
	const struct agent_query q = {
		.name = name, .config_path = s->req->path, .variants = s->in->bench.agents};
	if (!json_object_get(s->in->agents, name)) {
		int rc = agent_find(&spec, &q, &lines, &err);
		for (size_t i = 0; i < lines.n; i++)
			strv_push(s->problems, lines.v[i]);
		if (rc < 0 && !lines.n)
			add_unusable(s, name, e, err.msg);
		/* Kept even when it failed, so that each agent's mistakes are told once. */
		json_object_set_new(s->in->agents, name, spec ? json_incref(spec) : json_null());
	}
	struct unusable *u = find_unusable(s, name);
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

static void complain_of_model(struct search *s, const struct bench_entry *e, const char *model,
			      const char *why)
{
	if (strv_has(&s->unrouted, model))
		return;
	strv_push(&s->unrouted, model);
	strv_pushf(s->problems, "%s: %s", e->model_place, why);
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
static void check_limits(struct search *s, const struct bench_entry *e, const char *model,
			 const struct route *route)
{
	const struct limits *m = &e->limits;
	const struct budget *b = &s->in->bench.budget;
	const char *what = m->tokens ? "token_limit" : m->usd > 0 ? "cost_limit_usd" : "call_limit";
	bool unpriced = route->price && !route->price->known;
	AUTO(free) char *why = NULL;
	if (s->req->gateway && (m->tokens || m->usd > 0 || m->calls))
		why = xasprintf(
			"%s needs the gateway of rollouts, which counts: leave --gateway out",
			what);
	else if (s->req->gateway && (b->usd > 0 || b->tokens || b->max_forecast_usd > 0))
		why = xstrdup("[budget] needs the gateway of rollouts, which counts: leave "
			      "--gateway out");
	else if (unpriced && (m->usd > 0 || b->usd > 0))
		why = xasprintf(
			"%s cannot be kept: no price is known of the model \"%s\"; add to "
			"providers.toml beside the benchmark: [[models]] match = \"%s\", provider "
			"= \"%s\", price = { input = USD, output = USD } (per million tokens)",
			m->usd > 0 ? "cost_limit_usd" : "[budget] usd", model, route->model_id,
			route->provider->name);
	if (why)
		complain_of_model(s, e, model, why);
}

/* What is given is sent, or nothing starts. */
static void check_options(struct search *s, const struct bench_entry *e, const char *agent,
			  const char *model, const char *model_id, const char *api)
{
	const int found = api_find(api);
	char why[256];

	if (!model_options_any(&e->options))
		return;
	AUTO(free) char *text = NULL;
	if (strcmp(json_get_str(json_object_get(s->in->agents, agent), "kind", ""), "bash") != 0)
		text = xasprintf("model_options are for the built-in agent, \"bash\": \"%s\" asks "
				 "its model by settings of its own",
				 agent);
	else if (found >= 0 &&
		 model_options_refused(&e->options, (enum api)found, model_id, why, sizeof why))
		text = xasprintf("model_options, %s by %s: %s", model, api, why);
	if (text)
		complain_of_model(s, e, model, text);
}

/* What a variant of our own agent says of its model, for its trials. */
static void take_options(struct search *s, struct bench_entry *e, const char *agent,
			 const char *model)
{
	const json_t *given =
		json_object_get(json_object_get(s->in->agents, agent), "model_options");
	struct model_options o = model_options_default;
	AUTO(json) json_t *mine = NULL;
	const char *key;
	json_t *v;

	if (!given)
		return;
	mine = model_options_to_json(&e->options);
	json_object_foreach ((json_t *)given, key, v) {
		const json_t *other = json_object_get(mine, key);
		if (other && !json_equal(other, v)) {
			AUTO(free) char *why = xasprintf(
				"agent \"%s\" and model_options say two things of %s", agent, key);
			complain_of_model(s, e, model, why);
		}
		json_object_set(mine, key, v);
	}
	model_options_from_json(&o, mine);
	e->options = o;
}

static void read_providers(struct search *s)
{
	struct err err;
	if (!s->providers_read &&
	    providers_load(&s->in->providers, s->req->path, s->problems, &err))
		strv_push(&s->unrouted, ""); /* its lines are there */
	s->providers_read = true;
}

/* Who answers, for an agent that asks. A gateway of the user's own may know models that we do not. */
static void find_route(struct search *s, const struct bench_entry *e, const char *agent,
		       const char *model, struct plan_route *out)
{
	const json_t *spec = json_object_get(s->in->agents, agent);
	const bool own = s->req->gateway != NULL;
	struct route route = {.model_id = model};
	struct err err = {0};
	if (!*json_get_str(spec, "needs", ""))
		return;
	read_providers(s);
	if (providers_route(&s->in->providers, model, &route, &err)) {
		if (!own && !strv_has(&s->unrouted, ""))
			complain_of_model(s, e, model, err.msg);
		if (!own)
			return;
		route = (struct route){.model_id = model};
	}
	const char *api = common_api(spec, route.provider);
	if (!api) {
		AUTO(buf) struct buf why = BUF_INIT;
		explain_apis(&why, route.provider, agent);
		complain_of_model(s, e, model, why.data);
		return;
	}
	check_limits(s, e, model, &route);
	check_options(s, e, agent, model, route.model_id, api);
	*out = (struct plan_route){route.provider && !own ? route.provider->name : "", api,
				   route.model_id, NULL};
}

/* Who answers one role: a row beside those of the trial's own model. */
static json_t *role_route(struct search *s, const struct bench_entry *e, const char *agent,
			  const char *model)
{
	struct plan_route route = {"", "", model, NULL};

	find_route(s, e, agent, model, &route);
	return json_pack("{s:s,s:s,s:s,s:s}", "model", model, "model_id", route.model_id,
			 "provider", route.provider, "api", route.api);
}

static bool has_string(const json_t *list, const char *text)
{
	size_t i;
	json_t *item;

	json_array_foreach ((json_t *)list, i, item)
		if (json_is_string(item) && strcmp(json_string_value(item), text) == 0)
			return true;
	return false;
}

/* A name that stands in a text of an agent's file as {model:NAME} and is no role: the first, or NULL. The caller frees. */
static char *unknown_role(const json_t *j, const json_t *roles, const json_t *optional)
{
	static const char *const marks[] = {"{model:", "{api:", "{context:", "{max_output:"};
	const char *text = json_string_value(j), *key;
	char *found = NULL;
	json_t *item;
	size_t i;

	json_array_foreach ((json_t *)j, i, item)
		found = found ? found : unknown_role(item, roles, optional);
	json_object_foreach ((json_t *)j, key, item)
		found = found ? found : unknown_role(item, roles, optional);
	for (i = 0; text && !found && i < ARRAY_SIZE(marks); i++)
		for (const char *at = text; !found && (at = strstr(at, marks[i]));) {
			at += strlen(marks[i]);
			AUTO(free) char *name = xstrndup(at, strcspn(at, "}"));
			if (role_is_name(name) && !json_object_get(roles, name) &&
			    !has_string(optional, name))
				found = STEAL(&name);
		}
	return found;
}

/* The models that the entry's agent asks beside its own. */
static json_t *find_roles(struct search *s, const struct bench_entry *e, const char *agent)
{
	const json_t *spec = json_object_get(s->in->agents, agent);
	json_t *found = json_object(), *role;
	const char *name;
	AUTO(free) char *why = NULL;
	const bool is_bash = strcmp(agent, "bash") == 0;

	json_object_foreach (e->roles, name, role)
		json_put(found, name, role_route(s, e, agent, role_get(e->roles, name, "model")));
	AUTO(free)
	char *unknown = unknown_role(spec, e->roles, json_object_get(spec, "optional_roles"));
	if (unknown)
		why = xasprintf("agent \"%s\" asks a model as its \"%s\": add roles = { %s = "
				"\"MODEL\" } to the [[tasks]]",
				agent, unknown, unknown);
	else if (e->roles && (is_bash || !*json_get_str(spec, "needs", "")))
		why = xasprintf("roles are for agents that ask several models: \"%s\" asks %s",
				agent, is_bash ? "one" : "none");
	if (why && !strv_has(&s->unrouted, why)) {
		strv_push(&s->unrouted, why);
		strv_pushf(s->problems, "%s: %s", e->agent_place, why);
	}
	if (json_object_size(found))
		return found;
	json_decref(found);
	return NULL;
}

/* "auto" goes by the model's name, but a server of one's own may answer it in a dialect of its own: then the
 * built-in agent, which speaks all of them. */
static char *choose_agent(struct search *s, const char *model)
{
	AUTO(free) char *usual = agent_for_model(model, s->req->path);
	const struct agent_query q = {
		.name = usual, .config_path = s->req->path, .variants = s->in->bench.agents};
	AUTO(strv) struct strv ignored_lines = STRV_INIT;
	AUTO(json) json_t *file = NULL;
	AUTO(free) char *path = NULL;
	struct route route;
	struct err ignored;
	if (agent_read(&file, &path, &q, &ignored_lines, &ignored) ||
	    !*json_get_str(file, "needs", ""))
		return STEAL(&usual); /* what is wrong is told by find_agent */
	read_providers(s);
	if (providers_route(&s->in->providers, model, &route, &ignored) ||
	    common_api(file, route.provider))
		return STEAL(&usual);
	return xstrdup("bash");
}

void inputs_find_agents(struct inputs *in, struct inputs_choice *out,
			const struct config_request *req, struct strv *problems)
{
	struct search s = {.in = in, .req = req, .problems = problems};
	const struct bench *b = &in->bench;

	out->entries_n = b->entries_n;
	out->agents = xcalloc(b->entries_n + 1, sizeof *out->agents);
	out->routes = xcalloc(b->entries_n + 1, sizeof *out->routes);
	for (size_t i = 0; i < b->entries_n; i++) {
		struct bench_entry *e = &b->entries[i];
		bool chosen = strcmp(e->agent, "auto") == 0;
		char **agents = xcalloc(e->models.n + 1, sizeof *agents);
		out->agents[i] = agents;
		out->routes[i] = xcalloc(e->models.n + 1, sizeof **out->routes);
		for (size_t m = 0; m < e->models.n; m++) {
			const char *model = e->models.v[m];
			agents[m] = chosen ? choose_agent(&s, model) : xstrdup(e->agent);
			find_agent(&s, agents[m], e, model);
			take_options(&s, e, agents[m], model);
			find_route(&s, e, agents[m], model, &out->routes[i][m]);
			out->routes[i][m].roles = find_roles(&s, e, agents[m]);
		}
	}
	tell_unusable(&s);
	strv_release(&s.unrouted);
}

void inputs_choice_release(struct inputs_choice *c)
{
	for (size_t i = 0; i < c->entries_n; i++) {
		for (size_t m = 0; c->agents[i][m]; m++) {
			free(c->agents[i][m]);
			json_decref(c->routes[i][m].roles);
		}
		free(c->agents[i]);
		free(c->routes[i]);
	}
	free(c->agents);
	free(c->routes);
	*c = (struct inputs_choice){0};
}
