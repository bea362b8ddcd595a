/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>
#include "base/json.h"
#include "config/config-steps.h"
#include "core/launcher.h"

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
			json_put(c->launchers, t->key, toml_to_json(t));
	}
}
