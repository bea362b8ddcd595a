/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/gateway-document.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "core/roles.h"
#include "rollout/keys.h"

enum { LINES_MAX = 20 };

/* Where the key is what a command prints, the gateway may have to run it again. */
static void put_keys(json_t *entry, const struct provider *v, json_t *keys_take)
{
	AUTO(strv) struct strv env = STRV_INIT;
	const char *id = json_get_str(json_array_get(keys_take, 0), "id", "");

	if (v->key_command && strcmp(id, KEY_COMMAND_ID) == 0) {
		json_t *j = json_object();
		for (char **e = environ; *e; e++)
			strv_push(&env, *e);
		json_put_str(j, "command", v->key_command);
		json_put_strv(j, "env", &env);
		json_put_int(j, "ttl_ms", v->key_ttl_sec * 1000);
		json_put_int(j, "got_ms", clock_wall_ms());
		json_put(entry, "key_command", j);
	}
	json_put(entry, "keys", keys_take);
}

json_t *gateway_document_provider(const struct provider *v, json_t *keys_take)
{
	json_t *j = json_object(), *headers = json_object(), *paths = json_object();

	for (size_t i = 0; i < v->headers.n; i++)
		json_put_str(headers, v->headers.v[i].key, v->headers.v[i].value);
	json_put_str(j, "base_url", v->base_url);
	json_put_strv(j, "apis", &v->apis);
	if (keys_take)
		put_keys(j, v, keys_take);
	json_put(j, "task_keys", json_object());
	for (size_t i = 0; i < v->paths.n; i++)
		json_put_str(paths, v->paths.v[i].key, v->paths.v[i].value);
	json_put(j, "headers", headers);
	json_put(j, "paths", paths);
	json_put_str(j, "key_header", v->key_header);
	json_put_str(j, "anthropic_version", v->anthropic_version);
	if (v->max_in_flight)
		json_put_int(j, "max_in_flight", v->max_in_flight);
	return j;
}

json_t *gateway_document_models(const struct providers *p, const json_t *providers)
{
	json_t *list = json_array();
	char today[PRICE_DATE];

	price_today(today);
	for (size_t i = 0; i < p->rules_n; i++) {
		const struct model_rule *m = &p->rules[i];
		if (!json_object_get(providers, m->provider) || !price_holds(&m->price, today))
			continue;
		json_t *j = json_object();
		json_put_str(j, "match", m->match);
		json_put_str(j, "provider", m->provider);
		json_put(j, "price", price_to_json(&m->price));
		json_array_append_new(list, j);
	}
	return list;
}

/* The document's providers while trials are looked through. */
struct search {
	const struct providers *p;
	const char *config_path;
	const struct strv *files; /* everybody's */
	bool with_keys;
	json_t *list; /* the providers; null: something is wrong with one, and told */
	json_t *seen; /* provider name -> {task folder: true} */
	struct strv *problems;
};

/* Whose trials have no key of their own needs everybody's; looked for once. */
static void need_keys(struct search *s, const struct trial *t, const struct provider *v)
{
	json_t *entry = json_object_get(s->list, v->name), *keys;
	struct err err;

	if (!json_is_object(entry) || json_object_get(entry, "keys"))
		return;
	keys = s->with_keys ? keys_of_provider(v, s->files, &err) : json_array();
	if (keys) {
		put_keys(entry, v, keys);
		return;
	}
	strv_pushf(s->problems, "model \"%s\", %s%s: %s", t->model,
		   *t->task_dir ? "task " : "the judge", t->task_dir, err.msg);
	json_put(s->list, v->name, json_null());
}

/* A key in the .env of a task's folder is spent for that task alone. True: T has such keys, or what is wrong
 * with them is told. */
static bool add_task_keys(struct search *s, const struct trial *t, const struct provider *v)
{
	json_t *entry = json_object_get(s->list, v->name), *keys = NULL;
	struct err err;

	if (!s->with_keys || !json_is_object(entry))
		return false;
	if (keys_of_task(&keys, v, s->config_path, t->task_dir, s->files, &err)) {
		strv_pushf(s->problems, "model \"%s\", task %s: %s", t->model, t->task_dir,
			   err.msg);
		return true;
	}
	if (keys)
		json_put(json_object_get(entry, "task_keys"), t->task_dir, keys);
	return keys;
}

static const struct provider *add_provider(struct search *s, const struct trial *t)
{
	const struct provider *v = providers_find(s->p, t->provider);

	json_put(s->list, t->provider, v ? gateway_document_provider(v, NULL) : json_null());
	if (!v)
		strv_pushf(s->problems,
			   "model \"%s\" was planned with the provider \"%s\", which no "
			   "providers.toml names any more",
			   t->model, t->provider);
	return v;
}

/* A judge that was not recorded is asked even where agents are replayed, if there is a key. */
static void want_keys(struct search *s, const struct provider *v)
{
	json_t *entry = json_object_get(s->list, v->name);
	struct err ignored;

	json_t *keys = keys_of_provider(v, s->files, &ignored);
	put_keys(entry, v, keys ? keys : json_array());
}

/* It is the benchmark's: no task's key is spent for it. */
static void add_judge(struct search *s, const struct judge *judge)
{
	const struct trial t = {
		.model = judge->model, .provider = judge->provider, .task_dir = (char *)""};
	const struct provider *v = json_object_get(s->list, t.provider)
					   ? providers_find(s->p, t.provider)
					   : add_provider(s, &t);

	if (v && s->with_keys)
		need_keys(s, &t, v);
	else if (v)
		want_keys(s, v);
}

/* By way of whom T's own model is asked, or one of its roles. */
static void add_asked(struct search *s, const struct trial *t)
{
	const struct provider *v = providers_find(s->p, t->provider);
	json_t *tasks = json_object_get(s->seen, t->provider);

	if (!tasks) {
		tasks = json_object();
		json_put(s->seen, t->provider, tasks);
		v = add_provider(s, t);
	}
	if (!v || json_object_get(tasks, t->task_dir))
		return;
	json_put_bool(tasks, t->task_dir, true);
	if (!add_task_keys(s, t, v))
		need_keys(s, t, v);
}

static void add_trial(struct search *s, const struct trial *t)
{
	const char *name;
	json_t *role;

	add_asked(s, t);
	json_object_foreach (t->roles, name, role) {
		const struct trial asked = {
			.model = (char *)role_get(t->roles, name, "model"),
			.provider = (char *)role_get(t->roles, name, "provider"),
			.task_dir = t->task_dir,
		};
		if (*asked.provider)
			add_asked(s, &asked);
	}
}

static int check_program(struct err *err)
{
	AUTO(free) char *program = install_libexec("rollouts-gateway");

	if (access(program, X_OK))
		return err_set(err, ERR_INFRA, errno, "%s (is the installation complete?)",
			       program);
	return 0;
}

int gateway_document_make(json_t **out, const struct providers *p, const char *config_path,
			  const struct trial *trials, size_t n, const struct judge *judge,
			  bool with_keys, struct strv *problems, struct err *err)
{
	AUTO(strv) struct strv files = STRV_INIT;
	AUTO(json) json_t *list = json_object();
	AUTO(json) json_t *seen = json_object();
	struct search s = {p, config_path, &files, with_keys, list, seen, problems};
	size_t before = problems->n;

	*out = NULL;
	keys_env_files(&files, config_path);
	for (size_t i = 0; i < n; i++)
		if (*trials[i].provider)
			add_trial(&s, &trials[i]);
	if (judge)
		add_judge(&s, judge);
	if (!json_object_size(list))
		return 0;
	if (problems->n > before)
		return err_set(err, ERR_USAGE, 0, "%zu models cannot be asked",
			       problems->n - before);
	if (check_program(err))
		return -1;
	*out = json_object();
	json_put_int(*out, "v", 1);
	json_put_bool(*out, "control", true);
	json_put_bool(*out, "record", true);
	json_put(*out, "models", gateway_document_models(p, list));
	json_put(*out, "providers", json_incref(list));
	return 0;
}

void gateway_document_roles(struct buf *line, const json_t *roles)
{
	const char *name;
	json_t *role;

	json_object_foreach ((json_t *)roles, name, role) {
		const char *model = json_get_str(role, "model", ""),
			   *id = json_get_str(role, "model_id", "");
		buf_addf(line, "; %s: %s", name, model);
		if (strcmp(model, id))
			buf_addf(line, ", %s,", id);
		buf_addf(line, " at %s by %s", json_get_str(role, "provider", ""),
			 json_get_str(role, "api", ""));
	}
}

void gateway_document_agent(struct buf *line, const json_t *agents, const char *name)
{
	const json_t *spec = json_object_get(agents, name);
	const char *version = json_get_str(spec, "version", "");

	buf_addf(line, "agent %s", name);
	if (!strcmp(json_get_str(spec, "kind", ""), "cli") && *version && !strchr(name, '@'))
		buf_addf(line, " %s", version);
}

void model_lines(struct strv *out, const struct trial *trials, size_t n, const json_t *agents)
{
	size_t more = 0;

	for (size_t i = 0; i < n; i++) {
		const struct trial *t = &trials[i];
		AUTO(buf) struct buf line = BUF_INIT;

		if (!*t->provider)
			continue;
		buf_addf(&line, "model %s: ", t->model);
		if (strcmp(t->model, t->model_id))
			buf_addf(&line, "%s ", t->model_id);
		buf_addf(&line, "at %s%s%s, ", t->provider, *t->api ? " by " : "", t->api);
		gateway_document_agent(&line, agents, t->agent);
		gateway_document_roles(&line, t->roles);
		if (strv_has(out, line.data))
			continue;
		if (out->n < LINES_MAX)
			strv_push(out, line.data);
		else
			more = 1;
	}
	if (more)
		strv_push(out, "and more models");
}
