/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/agent-mcp.h"
#include <stdlib.h>
#include <string.h>
#include "agent/agent-kind.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"

static void add_toml(struct buf *out, const json_t *v)
{
	const char *key;
	json_t *inner;
	size_t i;
	bool first = true;

	if (json_is_array(v)) {
		buf_addc(out, '[');
		json_array_foreach (v, i, inner) {
			buf_adds(out, i ? ", " : "");
			add_toml(out, inner);
		}
		buf_addc(out, ']');
	} else if (json_is_object(v)) {
		buf_addc(out, '{');
		json_object_foreach ((json_t *)v, key, inner) {
			AUTO(json) json_t *name = json_string(key);
			buf_adds(out, first ? "" : ", ");
			add_toml(out, name);
			buf_adds(out, " = ");
			add_toml(out, inner);
			first = false;
		}
		buf_addc(out, '}');
	} else {
		/* A basic string of TOML is one of JSON. */
		AUTO(free) char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
		buf_adds(out, text ? text : "\"\"");
	}
}

/* A server as FORMAT has it; a new reference. */
static json_t *server_as(const char *format, const json_t *server)
{
	json_t *command = json_object_get(server, "command"), *env = json_object_get(server, "env"),
	       *url = json_object_get(server, "url");
	json_t *j = json_object();

	if (!strcmp(format, "opencode")) {
		json_put_str(j, "type", url ? "remote" : "local");
		json_put_bool(j, "enabled", true);
		json_object_set(j, url ? "url" : "command", url ? url : command);
		if (env)
			json_object_set(j, url ? "headers" : "environment", env);
		return j;
	}
	if (url) {
		json_object_set(j, "url", url);
		if (strcmp(format, "toml") != 0)
			json_put_str(j, "type", "http");
	} else {
		AUTO(json) json_t *args = json_array();
		json_array_extend(args, command);
		json_object_set(j, "command", json_array_get(args, 0));
		json_array_remove(args, 0);
		json_object_set(j, "args", args);
	}
	if (env)
		json_object_set(j, "env", env);
	return j;
}

void agent_mcp_lay(json_t *spec, const struct task *task)
{
	const json_t *how = json_object_get(spec, "mcp_config");
	const char *format = json_get_str(how, "format", "json"), *name;
	AUTO(json) json_t *all = json_object();
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *server;

	agent_lay(spec, "mcp", json_object_get(task->around, "mcp"));
	agent_lay(spec, "services", json_object_get(task->around, "services"));
	json_object_foreach (json_object_get(spec, "mcp"), name, server) {
		json_t *told = server_as(format, server);
		json_object_update(told, json_object_get(how, "server"));
		json_put(all, name, told);
	}
	if (!json_object_size(all) || !how)
		return;
	agent_lay(spec, "argv", json_object_get(how, "args"));
	agent_lay(spec, "env", json_object_get(how, "env"));
	agent_lay(spec, "files", json_object_get(how, "files"));
	if (!strcmp(format, "toml"))
		add_toml(&text, all);
	else
		json_format(&text, all, false);
	json_put_str(spec, "mcp_text", text.data);
}
