/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/login.h"
#include "base/mem.h"
#include "rollout/inputs-internal.h"

static void note(struct strv *notes, const char *what)
{
	AUTO(free)
	char *line = xasprintf(
		"%s holds a password in a URL: it is stored, and given to agents and tests, with "
		"*** in its place",
		what);

	if (!strv_has(notes, line))
		strv_push(notes, line);
}

static bool blank(char **text)
{
	AUTO(buf) struct buf b = BUF_INIT;

	if (!*text || !login_is_in(*text, LOGIN_SECRET))
		return false;
	buf_adds(&b, *text);
	login_blank(&b, LOGIN_SECRET);
	free(*text);
	*text = buf_detach(&b);
	return true;
}

static bool blank_env(struct strv *notes, struct kvs *env, const char *where)
{
	bool found = false;

	for (size_t i = 0; i < env->n; i++) {
		AUTO(free) char *what = xasprintf("%s %s", where, env->v[i].key);
		if (!blank(&env->v[i].value))
			continue;
		note(notes, what);
		found = true;
	}
	return found;
}

static bool blank_json(json_t *j)
{
	bool found = false;
	const char *key;
	json_t *v;
	size_t i;

	if (json_is_string(j) && login_is_in(json_string_value(j), LOGIN_SECRET)) {
		char *text = xstrdup(json_string_value(j));
		found = blank(&text);
		json_string_set(j, text);
		free(text);
	}
	json_array_foreach (j, i, v)
		found |= blank_json(v);
	json_object_foreach (j, key, v)
		found |= blank_json(v);
	return found;
}

void inputs_blank_logins(struct inputs *in, struct strv *notes)
{
	bool told = false;
	const char *name;
	json_t *spec;

	for (size_t i = 0; i < in->bench.entries_n; i++)
		told |= blank_env(notes, &in->bench.entries[i].env, "environment variable");
	for (size_t i = 0; i < in->tasks_n; i++) {
		AUTO(free) char *where =
			xasprintf("task \"%s\": environment variable", in->tasks[i].task.id);
		blank_env(notes, &in->tasks[i].task.env, where);
	}
	json_object_foreach (in->agents, name, spec) {
		AUTO(free) char *what = xasprintf("agent \"%s\"", name);
		if (blank_json(spec))
			note(notes, what);
	}
	if (blank(&in->bench.config_text) && !told)
		note(notes, in->bench.config_path);
}
