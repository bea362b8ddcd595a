/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/toml.h"
#include <math.h>
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

json_t *toml_to_json(const struct toml_node *n)
{
	json_t *j;

	switch (n->kind) {
	case TOML_INT:
		return json_integer(n->integer);
	case TOML_REAL:
		if (isfinite(n->real))
			return json_real(n->real);
		return json_string(isnan(n->real) ? "nan" : n->real < 0 ? "-inf" : "inf");
	case TOML_BOOL:
		return json_boolean(n->boolean);
	case TOML_ARRAY:
		j = json_array();
		for (size_t i = 0; i < n->n; i++)
			json_array_append_new(j, toml_to_json(&n->items[i]));
		return j;
	case TOML_TABLE:
		j = json_object();
		for (size_t i = 0; i < n->n; i++)
			json_object_set_new(j, n->items[i].key, toml_to_json(&n->items[i]));
		return j;
	case TOML_STRING:
	case TOML_TIME:
		break;
	}
	return json_string(n->text ? n->text : "");
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
