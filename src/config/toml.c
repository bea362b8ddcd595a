/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/toml.h"
#include <stdlib.h>
#include <string.h>

static void release(struct toml_node *t)
{
	for (size_t i = 0; i < t->n; i++)
		release(&t->items[i]);
	free(t->items);
	free(t->key);
	free(t->text);
}

void toml_free(struct toml_node *root)
{
	if (!root)
		return;
	release(root);
	free(root);
}

const struct toml_node *toml_get(const struct toml_node *table, const char *key)
{
	for (size_t i = 0; i < table->n; i++)
		if (table->items[i].key && strcmp(table->items[i].key, key) == 0)
			return &table->items[i];
	return NULL;
}

const char *toml_kind_name(enum toml_kind k)
{
	static const char *const names[] = {
		[TOML_STRING] = "a string",	[TOML_INT] = "a whole number",
		[TOML_REAL] = "a fraction",	[TOML_BOOL] = "true or false",
		[TOML_TIME] = "a date or time", [TOML_ARRAY] = "a list",
		[TOML_TABLE] = "a table",
	};
	return names[k];
}
