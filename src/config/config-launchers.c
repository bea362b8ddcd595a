/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>
#include "base/json.h"
#include "config/config-steps.h"
#include "core/launcher.h"

static json_t *to_json(const struct toml_node *node)
{
	json_t *j = node->kind == TOML_TABLE ? json_object() : json_array();

	switch (node->kind) {
	case TOML_STRING:
	case TOML_TIME:
		json_decref(j);
		return json_string(node->text ? node->text : "");
	case TOML_INT:
		json_decref(j);
		return json_integer(node->integer);
	case TOML_REAL:
		json_decref(j);
		return json_real(node->real);
	case TOML_BOOL:
		json_decref(j);
		return json_boolean(node->boolean);
	case TOML_ARRAY:
	case TOML_TABLE:
		break;
	}
	for (size_t i = 0; i < node->n; i++)
		if (node->kind == TOML_TABLE)
			json_put(j, node->items[i].key, to_json(&node->items[i]));
		else
			json_array_append_new(j, to_json(&node->items[i]));
	return j;
}

/* What a launcher may be told is for its program to say. */
void config_launchers(struct config *c, const struct toml_node *tables)
{
	c->launchers = json_object();
	for (size_t i = 0; i < tables->n; i++) {
		const struct toml_node *t = &tables->items[i];
		if (t->kind != TOML_TABLE || !launcher_is_name(t->key) ||
		    strcmp(t->key, LAUNCHER_LOCAL) == 0)
			config_issue(c, t->key_line, t->key_col,
				     "launcher.%s: settings stand in a table [launcher.NAME], NAME "
				     "being a program's; which launcher is used says launcher = "
				     "\"NAME\" in [defaults] or [[tasks]], or --launcher",
				     t->key);
		else
			json_put(c->launchers, t->key, to_json(t));
	}
}
