/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agent-layers.h"
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/strv.h"
#include "base/text.h"
#include "config/agent-copies.h"

static char *scalar_text(const json_t *v)
{
	if (json_is_integer(v))
		return xasprintf("%lld", (long long)json_integer_value(v));
	if (json_is_real(v))
		return xasprintf("%.15g", json_real_value(v));
	if (json_is_boolean(v))
		return xstrdup(json_is_true(v) ? "true" : "false");
	return xstrdup(json_is_string(v) ? json_string_value(v) : "");
}

/* TEXT with what stands for WHAT in it; the caller frees. */
static char *replaced(const char *text, const char *what, const char *with)
{
	AUTO(buf) struct buf out = BUF_INIT;
	const char *hit;

	for (; (hit = strstr(text, what)); text = hit + strlen(what)) {
		buf_add(&out, text, (size_t)(hit - text));
		buf_adds(&out, with);
	}
	buf_adds(&out, text);
	return buf_detach(&out);
}

/* A value as LAYER wants it: each item of a list in the words of `each`, between them `join`, a comma. The caller frees. */
static char *value_text(const json_t *v, const json_t *layer)
{
	const char *each = json_get_str(layer, "each", "{}"),
		   *join = json_get_str(layer, "join", each[0] == '{' ? "," : "");
	AUTO(buf) struct buf out = BUF_INIT;
	const size_t n = json_is_array(v) ? json_array_size(v) : 1;

	for (size_t i = 0; i < n; i++) {
		AUTO(free) char *item = scalar_text(json_is_array(v) ? json_array_get(v, i) : v);
		AUTO(free) char *text = replaced(each, "{}", item);
		buf_addf(&out, "%s%s", i ? join : "", text);
	}
	return buf_detach(&out);
}

static json_t *member(json_t *spec, const char *key)
{
	json_t *j = json_object_get(spec, key);

	if (!j) {
		j = json_object();
		json_put(spec, key, j);
	}
	return j;
}

static int put_prompt(json_t *spec, const char *key, const char *how, const char *folder,
		      struct err *err)
{
	const json_t *v = json_object_get(spec, key);
	AUTO(free) char *text = NULL;

	if (!json_is_string(v))
		return 0;
	if (agent_text_read(&text, json_string_value(v), folder, err))
		return err_wrap(err, "%s", key);
	json_object_del(spec, key);
	json_put(spec, "system_prompt", json_pack("{s:s, s:s}", "how", how, "text", text));
	return 0;
}

int agent_put_apart(json_t *spec, const char *folder, struct err *err)
{
	AUTO(json) json_t *options = json_incref(json_object_get(spec, "options"));
	json_t *prompt = json_object_get(spec, "system_prompt"), *v;
	const char *name;

	json_object_del(spec, "options");
	json_object_foreach (options, name, v)
		json_object_set(member(spec, json_is_object(v) ? "option_layers" : "options"), name,
				v);
	if (json_is_object(prompt)) {
		json_object_set(spec, "prompt_layers", prompt);
		json_object_del(spec, "system_prompt");
	}
	return put_prompt(spec, "system_prompt", "replace", folder, err) ||
			       put_prompt(spec, "append_system_prompt", "append", folder, err)
		       ? -1
		       : 0;
}

static void extend(json_t *spec, const char *key, const json_t *more)
{
	json_t *mine = json_object_get(spec, key);

	if (!more)
		return;
	if (!mine) {
		json_object_set_new(spec, key, json_deep_copy(more));
		return;
	}
	if (json_is_array(mine))
		json_array_extend(mine, (json_t *)more);
	else
		json_object_update(mine, (json_t *)more);
}

void agent_lay_over(json_t *spec, const json_t *over)
{
	static const char *const added[] = {"env",   "files",	      "copies",	 "collect",
					    "shows", "requires",      "options", "option_layers",
					    "api",   "prompt_layers", "mcp",	 "services",
					    "before"};
	static const char *const instead[] = {"argv",	       "stdin",	     "output",	  "install",
					      "version",       "summary",    "apis",	  "needs",
					      "system_prompt", "mcp_config", "follow_up", "images"};

	for (size_t i = 0; i < ARRAY_SIZE(instead); i++)
		if (json_object_get(over, instead[i]))
			json_object_set(spec, instead[i], json_object_get(over, instead[i]));
	for (size_t i = 0; i < ARRAY_SIZE(added); i++)
		extend(spec, added[i], json_object_get(over, added[i]));
	extend(spec, "argv", json_object_get(over, "args"));
}

static void lay(json_t *spec, const json_t *layer)
{
	extend(spec, "argv", json_object_get(layer, "args"));
	extend(spec, "env", json_object_get(layer, "env"));
	extend(spec, "files", json_object_get(layer, "files"));
}

/* The arguments once for each item of a list. */
static void lay_each(json_t *spec, const json_t *layer, const char *name, const json_t *items)
{
	AUTO(free) char *place = xasprintf("{option:%s}", name);
	json_t *arg;
	size_t i, k;

	for (i = 0; i < json_array_size(items); i++) {
		AUTO(free) char *item = scalar_text(json_array_get(items, i));
		json_array_foreach (json_object_get(layer, "args"), k, arg) {
			AUTO(free) char *text = replaced(json_string_value(arg), place, item);
			json_array_append_new(json_object_get(spec, "argv"), json_string(text));
		}
	}
}

static int unknown_option(const json_t *spec, const char *name, struct err *err)
{
	AUTO(buf) struct buf all = BUF_INIT;
	AUTO(strv) struct strv names = STRV_INIT;
	json_t *v;
	const char *key;

	json_object_foreach (json_object_get(spec, "option_layers"), key, v) {
		strv_push(&names, key);
		buf_addf(&all, "%s%s", all.len ? ", " : "", key);
	}
	const char *near = text_nearest(name, strv_items(&names));
	return err_set(err, ERR_USAGE, 0, "it has no option \"%s\"%s%s%s; it has: %s", name,
		       near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "",
		       all.len ? all.data : "none");
}

static int check_value(const json_t *layer, const char *name, const char *text, struct err *err)
{
	const json_t *choices = json_object_get(layer, "choices");
	AUTO(buf) struct buf all = BUF_INIT;
	size_t i;
	json_t *choice;

	json_array_foreach (choices, i, choice) {
		if (!strcmp(json_string_value(choice), text))
			return 0;
		buf_addf(&all, "%s%s", i ? ", " : "", json_string_value(choice));
	}
	return json_array_size(choices)
		       ? err_set(err, ERR_USAGE, 0, "options.%s = \"%s\" is not one of: %s", name,
				 text, all.data)
		       : 0;
}

static int settle_option(json_t *spec, const char *name, const json_t *value, struct err *err)
{
	const json_t *layer = json_object_get(json_object_get(spec, "option_layers"), name);
	AUTO(free) char *text = value_text(value, layer);

	if (!layer)
		return unknown_option(spec, name, err);
	if (!json_is_array(value) && check_value(layer, name, text, err))
		return -1;
	if (json_get_bool(layer, "model", false))
		json_object_set(member(spec, "model_options"), name, (json_t *)value);
	if (json_get_bool(layer, "repeat", false) && json_is_array(value))
		lay_each(spec, layer, name, value);
	else
		lay(spec, layer);
	json_put_str(json_object_get(spec, "options"), name, text);
	return 0;
}

static int settle_prompt(json_t *spec, struct err *err)
{
	const json_t *prompt = json_object_get(spec, "system_prompt"),
		     *layers = json_object_get(spec, "prompt_layers");
	const char *how = json_get_str(prompt, "how", "");

	if (!prompt)
		return 0;
	if (!json_object_get(layers, how))
		return err_set(err, ERR_USAGE, 0, "it has no way to %s its system prompt%s", how,
			       json_object_size(layers)
				       ? !strcmp(how, "replace")
						 ? ": append_system_prompt adds to it"
						 : ": system_prompt replaces it"
				       : "");
	lay(spec, json_object_get(layers, how));
	return 0;
}

/* Every {option:NAME} in J is declared. */
static int check_places(const json_t *spec, const json_t *j, struct err *err)
{
	static const char place[] = "{option:";
	const char *key, *at = json_is_string(j) ? json_string_value(j) : "";
	json_t *v;
	size_t i;

	for (; (at = strstr(at, place)); at += sizeof place - 1) {
		const char *from = at + sizeof place - 1;
		AUTO(free) char *name = xstrndup(from, strcspn(from, "}"));
		if (!json_object_get(json_object_get(spec, "option_layers"), name))
			return unknown_option(spec, name, err);
	}
	if (json_is_array(j))
		json_array_foreach (j, i, v)
			if (check_places(spec, v, err))
				return -1;
	if (json_is_object(j))
		json_object_foreach ((json_t *)j, key, v)
			if (check_places(spec, v, err))
				return -1;
	return 0;
}

int agent_settle(json_t *spec, struct err *err)
{
	static const char *const texts[] = {
		"argv",		 "env",		  "files", "stdin",    "api",
		"option_layers", "prompt_layers", "mcp",   "services", "before",
		"mcp_config",	 "follow_up",	  "images"};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (check_places(spec, json_object_get(spec, texts[i]), err))
			return -1;
	AUTO(json) json_t *options = json_deep_copy(json_object_get(spec, "options"));
	const char *name;
	json_t *v;

	json_object_foreach (options, name, v)
		if (settle_option(spec, name, v, err))
			return -1;
	json_object_foreach (json_object_get(spec, "option_layers"), name, v) {
		const char *usual = json_get_str(v, "default", NULL);
		if (usual && !json_object_get(options, name))
			json_put_str(member(spec, "options"), name, usual);
	}
	if (settle_prompt(spec, err))
		return -1;
	if (json_object_size(json_object_get(spec, "mcp")) && !json_object_get(spec, "mcp_config"))
		return err_set(err, ERR_USAGE, 0,
			       "it takes no MCP servers: its file has no [mcp_config]");
	json_object_del(spec, "option_layers");
	json_object_del(spec, "prompt_layers");
	return 0;
}
