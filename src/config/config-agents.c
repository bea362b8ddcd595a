/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "config/agent-file.h"
#include "config/agents.h"
#include "config/config-steps.h"

/* One that is built in, or "auto", cannot be another. */
static const char *complain_name(const char *name)
{
	if (strcmp(name, "auto") == 0 || agent_is_builtin(name))
		return "is built in: give the variant a name of its own, with base";
	if (!*name || strpbrk(name, "/@ ") || *name == '.' || *name == '-')
		return "is no name of an agent: it has no slash, @ or blank, and begins with no "
		       "dot "
		       "or dash";
	return config_keys[KEY_AGENT].complain(name);
}

void config_agents(struct config *c, const struct toml_node *tables)
{
	if (!c->agents)
		c->agents = json_object();
	for (size_t i = 0; i < tables->n; i++) {
		const struct toml_node *t = &tables->items[i];
		AUTO(strv) struct strv lines = STRV_INIT;
		json_t *spec = NULL;
		struct err err;
		const char *why = complain_name(t->key);
		if (why) {
			config_issue(c, t->key_line, t->key_col, "[agents.%s]: \"%s\" %s", t->key,
				     t->key, why);
			continue;
		}
		if (t->kind != TOML_TABLE) {
			config_issue(
				c, t->key_line, t->key_col,
				"agents.%s must be a table, [agents.%s], with base = \"AGENT\" "
				"or argv = [...]; which agents run says agents = [...] in "
				"[[tasks]] or [defaults]",
				t->key, t->key);
			continue;
		}
		if (agent_table_read(&spec, c->req->path, t, &lines, &err) < 0) {
			for (size_t k = 0; k < lines.n; k++)
				config_whole_issue(c, t->line, t->col, lines.v[k]);
			spec = json_null(); /* told: nobody asks for it in vain */
		}
		json_put(c->agents, t->key, spec);
	}
}

void config_around(struct config *c)
{
	AUTO(strv) struct strv lines = STRV_INIT;
	AUTO(json) json_t *around = agent_around_read(c->req->path, c->root, &lines);
	for (size_t i = 0; i < lines.n; i++)
		config_whole_issue(c, 1, 1, lines.v[i]);
	if (!json_object_size(around))
		return;
	if (!c->agents)
		c->agents = json_object();
	json_object_set(c->agents, AGENT_AROUND, around);
}
