/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/agents.h"
#include "config/config-steps.h"
#include "core/tag.h"

static int choice_index(const struct key *k, const char *text)
{
	for (int i = 0; k->choices[i]; i++)
		if (strcmp(k->choices[i], text) == 0)
			return i;
	return 0;
}

static void land_text(char **at, const char *text)
{
	free(*at);
	*at = xstrdup(text);
}

static void land(void *base, const struct key *k, const struct value *v)
{
	void *at = (char *)base + k->offset;
	switch (k->type) {
	case TYPE_TEXT:
		land_text(at, v->text);
		break;
	case TYPE_CHOICE:
		*(int *)at = v->text ? choice_index(k, v->text) : 0;
		break;
	case TYPE_INT:
		*(int *)at = (int)v->number;
		break;
	case TYPE_BIG:
		*(int64_t *)at = (int64_t)v->number;
		break;
	case TYPE_REAL:
		*(double *)at = v->number;
		break;
	case TYPE_MS:
		*(int64_t *)at = (int64_t)(v->number * 1000 + 0.5);
		break;
	case TYPE_BOOL:
		*(bool *)at = v->boolean;
		break;
	case TYPE_LIST:
		for (size_t i = 0; i < v->list.n; i++)
			strv_push((struct strv *)at, v->list.v[i]);
		break;
	case TYPE_WORD:
		snprintf(at, MODEL_WORD, "%s", v->text);
		break;
	case TYPE_ROLES:
		*(json_t **)at = json_object();
		for (size_t i = 0; i + 1 < v->list.n; i += 2)
			json_object_set_new(*(json_t **)at, v->list.v[i],
					    json_pack("{s:s}", "model", v->list.v[i + 1]));
		break;
	case TYPE_ENV:
		bug("%s does not land by itself", k->name);
	}
}

/* A value that was complained of already must not be cast: its number may be anything. */
static void land_all(const struct config *c, const struct layer *task, void *base, bool bench)
{
	for (int i = 0; i < KEY_COUNT_; i++) {
		const struct key *k = &config_keys[i];
		const struct value *v = config_effective(c, task, (enum key_id)i);
		bool number = k->min < k->max;
		if (!v || !k->lands || k->in_bench != bench)
			continue;
		if (((k->type == TYPE_TEXT || k->type == TYPE_WORD) && !v->text) ||
		    (number && !(v->number >= k->min && v->number <= k->max)))
			continue;
		land(base, k, v);
	}
}

static void land_options(struct bench_entry *e)
{
	char *thinking = e->options.thinking;
	if (strcmp(thinking, "true") == 0)
		snprintf(thinking, MODEL_WORD, "enabled");
	else if (strcmp(thinking, "false") == 0)
		snprintf(thinking, MODEL_WORD, "disabled");
}

static void land_env(const struct config *c, const struct layer *task, struct bench_entry *e)
{
	const struct layer *layers[LAYERS];
	config_layers(c, task, layers);
	for (size_t i = LAYERS; i-- > 0;)
		for (size_t j = 0; j < layers[i]->env_n; j++)
			kvs_set(&e->env, layers[i]->env[j].key, layers[i]->env[j].text);
	/* The agent is told the time it really has. */
	if (kvs_get(&e->env, "TIMEOUT_SEC")) {
		char text[32];
		snprintf(text, sizeof text, "%.15g", (double)e->limits.timeout_ms / 1000);
		kvs_set(&e->env, "TIMEOUT_SEC", text);
	}
}

/* The strongest place that names a model or models. */
static void land_models(struct config *c, const struct layer *task, struct bench_entry *e)
{
	const struct layer *layers[LAYERS];
	config_layers(c, task, layers);
	for (size_t i = 0; i < LAYERS && !e->models.n; i++) {
		const struct value *one = &layers[i]->values[KEY_MODEL];
		const struct value *many = &layers[i]->values[KEY_MODELS];
		if (one->text)
			strv_push(&e->models, one->text);
		else if (many->list.n)
			strv_pushv(&e->models, strv_items(&many->list));
		else if (one->origin || many->origin)
			return; /* complained of already */
	}
	if (!e->models.n && agent_is_builtin(e->agent))
		strv_push(&e->models, "");
	if (!e->models.n)
		config_issue(
			c, task->line, task->col,
			"no model in this [[tasks]]: add model = \"...\" (only the agents nop and "
			"oracle need none)");
}

/* What the strongest place says of agents; NULL: nothing. One agent is a list of one. */
static const struct value *find_agents(const struct config *c, const struct layer *task,
				       enum key_id *key, struct strv *names)
{
	const struct layer *layers[LAYERS];
	config_layers(c, task, layers);
	for (size_t i = 0; i < LAYERS; i++) {
		const struct value *one = &layers[i]->values[KEY_AGENT];
		const struct value *many = &layers[i]->values[KEY_AGENTS];
		if (!one->origin && !many->origin)
			continue;
		*key = one->origin ? KEY_AGENT : KEY_AGENTS;
		if (one->origin && one->text)
			strv_push(names, one->text);
		else
			strv_pushv(names, strv_items(&many->list));
		return one->origin ? one : many;
	}
	return NULL;
}

/* One that is nowhere has been told where it is named, and stops further complaints. */
static void check_agent(struct config *c, const struct layer *task, struct bench_entry *e)
{
	AUTO(strv) struct strv names = STRV_INIT;
	enum key_id key = KEY_AGENT;
	const struct value *v = find_agents(c, task, &key, &names);
	const struct agent_query q = {
		.name = e->agent, .config_path = c->req->path, .variants = c->agents};
	struct err err;
	if (!v || c->req->grading_only || strcmp(e->agent, "auto") == 0 ||
	    agent_exists(&q, &err) == 0)
		return;
	if (!config_keys[KEY_AGENT].complain(e->agent))
		config_value_issue(c, key, v, "%s", err.msg);
	land_text(&e->agent, "nop");
}

/* Where the strongest of KEYS is said. */
static char *place_of(const struct config *c, const struct layer *task, const enum key_id *keys,
		      size_t n)
{
	const struct layer *layers[LAYERS];
	config_layers(c, task, layers);
	for (size_t i = 0; i < LAYERS; i++)
		for (size_t k = 0; k < n; k++) {
			const struct value *v = &layers[i]->values[keys[k]];
			if (v->origin == ORIGIN_FLAG)
				return xasprintf("--%s", config_keys[keys[0]].name);
			if (v->origin == ORIGIN_FILE)
				return xasprintf("%s:%d:%d", c->req->path, v->line, v->col);
		}
	return xasprintf("%s:%d:%d", c->req->path, task->line, task->col);
}

/* Of "auto" it is the model that decides. */
static void land_places(const struct config *c, const struct layer *task, struct bench_entry *e)
{
	const enum key_id agent[] = {KEY_AGENT, KEY_AGENTS}, model[] = {KEY_MODEL, KEY_MODELS};
	e->model_place = place_of(c, task, model, ARRAY_SIZE(model));
	e->agent_place = strcmp(e->agent, "auto") == 0
				 ? xstrdup(e->model_place)
				 : place_of(c, task, agent, ARRAY_SIZE(agent));
}

static void land_overrides(struct config *c, const struct layer *task, struct bench_entry *e)
{
	const struct value *v = config_effective(c, task, KEY_OVERRIDES);
	AUTO(buf) struct buf tried = BUF_INIT;
	if (!v || !v->text || !*v->text || !e->apply_overrides)
		return;
	AUTO(free) char *path = config_locate(c, v->text, &tried);
	if (!path)
		config_value_issue(c, KEY_OVERRIDES, v, "no file \"%s\": %s", v->text, tried.data);
	else if (path_is_dir(AT_FDCWD, path))
		config_value_issue(c, KEY_OVERRIDES, v, "\"%s\" is a folder, not a file", path);
	else
		e->overrides = STEAL(&path);
}

static void land_tools(struct config *c, const struct layer *task, struct bench_entry *e)
{
	const struct value *v = config_effective(c, task, KEY_VERIFIER_TOOLS);
	AUTO(buf) struct buf tried = BUF_INIT;

	if (!e->verifier_tools)
		return;
	AUTO(free) char *path = config_locate(c, e->verifier_tools, &tried);
	AUTO(free) char *real = path ? realpath(path, NULL) : NULL;
	if (!real)
		config_value_issue(c, KEY_VERIFIER_TOOLS, v, "no folder \"%s\": %s",
				   e->verifier_tools, tried.data ? tried.data : "");
	else if (!path_is_dir(AT_FDCWD, real))
		config_value_issue(c, KEY_VERIFIER_TOOLS, v, "\"%s\" is not a folder", real);
	else
		land_text(&e->verifier_tools, real);
}

static void check_bare(struct config *c, const struct value *v, const struct bench_entry *e)
{
	if (!agent_is_builtin(e->agent))
		config_value_issue(c, KEY_SANDBOX, v,
				   "\"none\" is for the agents nop and oracle only, not \"%s\"",
				   e->agent);
	if (e->evaluate)
		config_value_issue(c, KEY_SANDBOX, v,
				   "\"none\" needs evaluate = false: tests run in a sandbox only");
}

static void check_sandbox(struct config *c, const struct layer *task, const struct bench_entry *e)
{
	const struct value *v = config_effective(c, task, KEY_SANDBOX);
	if (!v || !v->text)
		return;
	if (v->origin == ORIGIN_ENVIRONMENT) {
		if (strcmp(v->text, "auto") && strcmp(v->text, "local") &&
		    strcmp(v->text, "docker") && strcmp(v->text, "landlock"))
			config_value_issue(c, KEY_SANDBOX, v,
					   "\"%s\" is not built yet; unset it or set it to "
					   "\"local\", \"docker\", \"landlock\" or \"modal\"",
					   v->text);
	} else if (e->sandbox == SANDBOX_NONE) {
		check_bare(c, v, e);
	}
}

/* All but the folder, which differs in the entries of one table. AGENT NULL: nobody names one. */
static void fill(struct config *c, const struct layer *task, const char *agent,
		 struct bench_entry *e)
{
	land_all(c, task, e, false);
	land_text(&e->agent, agent ? agent : "auto");
	e->timeout_given = config_effective(c, task, KEY_TIMEOUT) != NULL;
	e->memory_given = config_effective(c, task, KEY_MEMORY) != NULL;
	e->cpus_given = config_effective(c, task, KEY_CPUS) != NULL;
	land_options(e);
	check_agent(c, task, e);
	land_env(c, task, e);
	land_models(c, task, e);
	land_places(c, task, e);
	land_overrides(c, task, e);
	land_tools(c, task, e);
	check_sandbox(c, task, e);
}

static void read_table(struct config *c, int table, struct bench *out)
{
	const struct layer *task = &c->tasks[table];
	const struct value *dir = &task->values[KEY_PREPARED_DIR];
	AUTO(strv) struct strv paths = STRV_INIT;
	AUTO(strv) struct strv shown = STRV_INIT;
	AUTO(strv) struct strv agents = STRV_INIT;
	enum key_id key;
	(void)find_agents(c, task, &key, &agents);
	if (!dir->origin)
		config_issue(c, task->line, task->col,
			     "no prepared_dir in this [[tasks]]: add prepared_dir = \"...\", a "
			     "task folder");
	else if (dir->text && *dir->text)
		config_folders(c, dir, &paths, &shown);
	/* The other issues of a table without a folder are worth knowing too. */
	struct bench aside;
	bench_init(&aside);
	for (size_t i = 0; i < (paths.n ? paths.n : 1); i++)
		for (size_t a = 0; a < (agents.n ? agents.n : 1); a++) {
			struct bench_entry *e = bench_add_entry(paths.n ? out : &aside);
			e->table = table;
			e->line = dir->line;
			e->col = dir->col;
			e->task_path = paths.n ? xstrdup(paths.v[i]) : NULL;
			e->prepared_dir = paths.n ? xstrdup(shown.v[i]) : NULL;
			e->found = paths.n && strcmp(shown.v[i], dir->text) != 0;
			fill(c, task, agents.n ? agents.v[a] : NULL, e);
		}
	bench_release(&aside);
}

static char *stem(const char *path)
{
	const char *base = path_base(path);
	const char *dot = strrchr(base, '.');
	return dot && dot > base ? xstrndup(base, (size_t)(dot - base)) : xstrdup(base);
}

int config_name(char **out, const char *path, struct err *err)
{
	const struct config_request request = {.path = path};
	struct config c;
	int status = config_read(&c, &request, err);

	if (!status) {
		const struct toml_node *name = toml_get(c.root, config_keys[KEY_NAME].name);
		*out = name && name->kind == TOML_STRING ? xstrdup(name->text) : stem(path);
	}
	config_release(&c);
	return status;
}

static void name_bench(struct config *c, struct bench *out)
{
	if (c->top.values[KEY_NAME].origin)
		return;
	if (strcmp(c->req->path, "-") == 0) {
		config_issue(c, 1, 1,
			     "a benchmark that is read from standard input needs a name of its "
			     "own: add name = \"...\"");
		return;
	}
	free(out->name);
	out->name = stem(c->req->path);
	const char *why = config_keys[KEY_NAME].complain(out->name);
	if (why)
		config_issue(c, 1, 1, "the file's name \"%s\" %s; add name = \"...\"", out->name,
			     why);
}

static void land_tags(struct config *c, struct bench *out)
{
	for (size_t i = 0; i < c->req->tags.n; i++) {
		const char *tag = c->req->tags.v[i];
		struct err err;
		if (tag_check(tag, &err) < 0)
			config_issue(c, 0, 0, "--tag: %s", err.msg);
		else if (!strv_has(&out->tags, tag))
			strv_push(&out->tags, tag);
	}
}

void config_entries(struct config *c, struct bench *out)
{
	out->config_path = xstrdup(c->req->path);
	out->config_text = xstrdup(c->text.data);
	out->launchers = json_incref(c->launchers);
	out->agents = json_incref(c->agents);
	land_all(c, NULL, out, true);
	name_bench(c, out);
	land_tags(c, out);
	for (size_t i = 0; i < c->tasks_n; i++)
		read_table(c, (int)i, out);
}
