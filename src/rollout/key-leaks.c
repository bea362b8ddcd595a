/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/key-leaks.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"

enum {
	KEY_MIN = 8, /* what is shorter, as a self-hosted server's "none", is no secret */
	DEPTH = 32,  /* of an agent's tables */
};

static void add_keys(struct strv *keys, const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach ((json_t *)list, i, item) {
		const char *key = json_get_str(item, "key", "");
		if (strlen(key) >= KEY_MIN)
			strv_push(keys, key);
	}
}

static void find_keys(struct strv *keys, const json_t *document)
{
	json_t *provider, *of_task;
	const char *name;

	json_object_foreach (json_object_get(document, "providers"), name, provider) {
		add_keys(keys, json_object_get(provider, "keys"));
		json_object_foreach (json_object_get(provider, "task_keys"), name, of_task)
			add_keys(keys, of_task);
	}
}

static bool holds_key(const struct strv *keys, const char *text)
{
	for (size_t i = 0; i < keys->n; i++)
		if (strstr(text, keys->v[i]))
			return true;
	return false;
}

static void check_env(const struct strv *keys, const struct kvs *env, const char *where,
		      struct strv *problems)
{
	for (size_t i = 0; i < env->n; i++)
		if (!kv_is_secret(env->v[i].key) && holds_key(keys, env->v[i].value))
			strv_pushf(problems,
				   "%s: %s holds the key of a provider, which no agent is to see: "
				   "take it out, or give it a name that says so (%s_API_KEY)",
				   where, env->v[i].key, env->v[i].key);
}

static bool spec_holds_key(const struct strv *keys, json_t *j, int depth)
{
	const char *name;
	json_t *item;
	size_t i;

	if (json_is_string(j))
		return holds_key(keys, json_string_value(j));
	if (depth > DEPTH)
		return false;
	json_array_foreach (j, i, item)
		if (spec_holds_key(keys, item, depth + 1))
			return true;
	json_object_foreach (j, name, item)
		if (spec_holds_key(keys, item, depth + 1))
			return true;
	return false;
}

int key_leaks_check(const struct inputs *in, const json_t *document, struct strv *problems,
		    struct err *err)
{
	AUTO(strv) struct strv keys = STRV_INIT;
	const size_t before = problems->n;
	const char *name;
	json_t *spec;

	find_keys(&keys, document);
	if (!keys.n)
		return 0;
	for (size_t i = 0; i < in->bench.entries_n; i++)
		if (!i || in->bench.entries[i].table != in->bench.entries[i - 1].table)
			check_env(&keys, &in->bench.entries[i].env, "environment_variables",
				  problems);
	for (size_t i = 0; i < in->tasks_n; i++)
		check_env(&keys, &in->tasks[i].task.env, in->tasks[i].source.dir, problems);
	json_object_foreach (in->agents, name, spec)
		if (spec_holds_key(&keys, spec, 0))
			strv_pushf(problems,
				   "agent \"%s\": its file holds the key of a provider; it gets "
				   "one from the "
				   "gateway, as {token}",
				   name);
	return problems->n > before
		       ? err_set(err, ERR_USAGE, 0, "%zu values would show a key to agents",
				 problems->n - before)
		       : 0;
}
