/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether the variables that agents' files ask for, {env:NAME}, are set in each trial: one that is not would be found by the agent, after money
 * was spent.
 */
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "config/agents.h"
#include "rollout/inputs-internal.h"

#define MARK "{env:"

/* One place of an agent that asks. */
struct asked {
	char *name, *key;
};

struct asked_list {
	struct asked *v;
	size_t n, cap;
};

static void asked_release(struct asked_list *a)
{
	for (size_t i = 0; i < a->n; i++) {
		free(a->v[i].name);
		free(a->v[i].key);
	}
	free(a->v);
}

/* What an agent is told as it lies, and what is not told to it at all. */
static bool is_no_template(const char *key)
{
	static const char *const keys[] = {"copies",  "system_prompt", "options", "output",
					   "summary", "mounts",	       "sources"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

/* The names in TEXT that have no default ({env:NAME:-text}). */
static void find_in_text(struct asked_list *out, const char *text, const char *key)
{
	for (const char *at = text; (at = strstr(at, MARK));) {
		const bool is_shell = at > text && at[-1] == '$';
		at += strlen(MARK);
		const size_t n = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
					    "0123456789");
		if (is_shell || !n || at[n] != '}')
			continue;
		GROW(out->v, out->n, out->cap);
		out->v[out->n++] = (struct asked){xstrndup(at, n), xstrdup(key)};
	}
}

static void find_asked(struct asked_list *out, const json_t *j, const char *place, int depth)
{
	const char *key;
	json_t *item;
	size_t i;

	if (json_is_string(j))
		find_in_text(out, json_string_value(j), place);
	json_array_foreach ((json_t *)j, i, item) {
		AUTO(free) char *at = xasprintf("%s[%zu]", place, i);
		find_asked(out, item, at, depth + 1);
	}
	json_object_foreach ((json_t *)j, key, item) {
		AUTO(free) char *at = depth ? xasprintf("%s.%s", place, key) : xstrdup(key);
		if (depth || !is_no_template(key)) {
			find_in_text(out, key, at);
			find_asked(out, item, at, depth + 1);
		}
	}
}

/* As agent/agent-template.c has it. */
static bool is_set(const char *name, const json_t *spec, const struct trial *t,
		   const struct task *task)
{
	const char *own = json_get_str(json_object_get(spec, "env"), name, NULL);

	if (own && !strstr(own, MARK))
		return true;
	return strcmp(name, "HOME") == 0 ||
	       (!kv_is_secret(name) && (kvs_get(&t->env, name) || kvs_get(&task->env, name)));
}

static void complain(struct strv *problems, const struct inputs *in, const char *config,
		     const struct trial *t, const struct asked *a)
{
	const struct agent_query q = {
		.name = t->agent, .config_path = config, .variants = in->bench.agents};
	AUTO(strv) struct strv ignored_lines = STRV_INIT;
	AUTO(json) json_t *file = NULL;
	AUTO(free) char *path = NULL;
	struct err ignored;

	(void)!agent_read(&file, &path, &q, &ignored_lines, &ignored);
	AUTO(free)
	char *remedy =
		kv_is_secret(a->name)
			? xstrdup("it names a credential, which never enters a sandbox ({token} is "
				  "what the agent sends as its key)")
			: xasprintf("nobody sets %s for the task \"%s\": add environment_variables "
				    "= { "
				    "%s = \"...\" } to the [[tasks]], or write {env:%s:-DEFAULT}",
				    a->name, t->task_id, a->name, a->name);
	AUTO(free)
	char *line = xasprintf("%s: agent \"%s\": %s holds {env:%s}: %s", path ? path : config,
			       t->agent, a->key, a->name, remedy);
	if (!strv_has(problems, line))
		strv_push(problems, line);
}

void inputs_check_variables(const struct inputs *in, const char *config, struct strv *problems)
{
	const char *name;
	json_t *spec;

	json_object_foreach (in->agents, name, spec) {
		struct asked_list asked = {0};
		AUTO(strv) struct strv told = STRV_INIT;
		find_asked(&asked, spec, "", 0);
		for (size_t i = 0; asked.n && i < in->plan.n; i++) {
			const struct trial *t = &in->plan.trials[i];
			if (strcmp(t->agent, name) != 0)
				continue;
			const struct task *task = &inputs_task_of(in, t)->task;
			for (size_t k = 0; k < asked.n; k++) {
				AUTO(free)
				char *once = xasprintf("%s %s", asked.v[k].key, asked.v[k].name);
				if (is_set(asked.v[k].name, spec, t, task) || strv_has(&told, once))
					continue;
				strv_push(&told, once);
				complain(problems, in, config, t, &asked.v[k]);
			}
		}
		asked_release(&asked);
	}
}
