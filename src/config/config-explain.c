/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "config/agent-file.h"
#include "config/config-steps.h"
#include "core/roles.h"

#define COMMENT_COLUMN 40

static void add_quoted(struct buf *out, const char *text)
{
	buf_addc(out, '"');
	for (const char *c = text; *c; c++) {
		if (*c == '"' || *c == '\\')
			buf_addf(out, "\\%c", *c);
		else if ((unsigned char)*c < ' ' || *c == 0x7f)
			buf_addf(out, "\\u%04X", (unsigned char)*c);
		else
			buf_addc(out, *c);
	}
	buf_addc(out, '"');
}

static void add_list(struct buf *out, const struct strv *list)
{
	buf_addc(out, '[');
	for (size_t i = 0; i < list->n; i++) {
		buf_adds(out, i ? ", " : "");
		add_quoted(out, list->v[i]);
	}
	buf_addc(out, ']');
}

static void add_number(struct buf *out, enum key_type type, const void *at)
{
	switch (type) {
	case TYPE_INT:
		buf_addf(out, "%d", *(const int *)at);
		break;
	case TYPE_BIG:
		buf_addf(out, "%lld", (long long)*(const int64_t *)at);
		break;
	case TYPE_REAL:
		buf_addf(out, "%.15g", *(const double *)at);
		break;
	case TYPE_MS:
		buf_addf(out, "%.15g", (double)*(const int64_t *)at / 1000);
		break;
	default:
		buf_adds(out, *(const bool *)at ? "true" : "false");
	}
}

static void add_roles(struct buf *out, const json_t *roles)
{
	const char *name;
	json_t *role;
	const char *before = "{ ";

	json_object_foreach ((json_t *)roles, name, role) {
		buf_addf(out, "%s%s = ", before, name);
		add_quoted(out, role_get(roles, name, "model"));
		before = ", ";
	}
	buf_adds(out, json_object_size(roles) ? " }" : "{}");
}

static void add_landed(struct buf *out, const struct key *k, const void *base)
{
	const void *at = (const char *)base + k->offset;
	if (k->type == TYPE_CHOICE)
		add_quoted(out, k->choices[*(const int *)at]);
	else if (k->type == TYPE_TEXT)
		add_quoted(out, *(char *const *)at);
	else if (k->type == TYPE_WORD)
		add_quoted(out, at);
	else if (k->type == TYPE_LIST)
		add_list(out, at);
	else if (k->type == TYPE_ROLES)
		add_roles(out, *(json_t *const *)at);
	else
		add_number(out, k->type, at);
}

/* A value that is off until somebody sets it cannot be written as TOML. */
static bool is_unset(const struct key *k, const struct value *v, const void *base)
{
	const void *at = (const char *)base + k->offset;
	if (v)
		return false;
	if (k->type == TYPE_TEXT)
		return !*(char *const *)at;
	if (k->type == TYPE_WORD)
		return !*(const char *)at;
	if (k->type == TYPE_LIST)
		return !((const struct strv *)at)->n;
	if (k->type == TYPE_ROLES)
		return !*(json_t *const *)at;
	if (k->type == TYPE_BIG || k->type == TYPE_MS)
		return *(const int64_t *)at <= 0;
	return k->type == TYPE_REAL && *(const double *)at <= 0;
}

static void add_origin(struct buf *out, size_t start, const struct config *c, const char *flag,
		       const struct value *v)
{
	size_t width = out->len - start;
	buf_addf(out, "%*s  # ", width < COMMENT_COLUMN ? (int)(COMMENT_COLUMN - width) : 0, "");
	if (!v)
		buf_adds(out, "default");
	else if (v->origin == ORIGIN_FLAG)
		buf_addf(out, "--%s", flag);
	else if (v->origin == ORIGIN_ENVIRONMENT)
		buf_adds(out, "SANDBOX_BACKEND in the environment");
	else
		buf_addf(out, "%s:%d:%d", c->req->path, v->line, v->col);
	buf_addc(out, '\n');
}

static void explain_landed(struct buf *out, const struct config *c, const struct layer *task,
			   enum key_id id, const void *base)
{
	const struct key *k = &config_keys[id];
	const struct value *v = config_effective(c, task, id);
	if (!v && id == KEY_AGENT)
		v = config_effective(c, task, KEY_AGENTS);
	size_t start = out->len;
	const char *table = k->scopes == SCOPE_OPTIONS ? "model_options." : "";
	if (is_unset(k, v, base)) {
		buf_addf(out, "# %s%s", table, k->name);
	} else {
		buf_addf(out, "%s%s = ", table, k->name);
		add_landed(out, k, base);
	}
	add_origin(out, start, c, k->flag, v);
}

static void explain_paths(struct buf *out, const struct config *c, const struct layer *task,
			  const struct bench_entry *e)
{
	const struct value *v = config_effective(c, task, KEY_OVERRIDES);
	size_t start = out->len;
	buf_adds(out, "prepared_dir = ");
	/* Where it was fetched to is of this machine alone. */
	add_quoted(out, strncmp(e->prepared_dir, "git+", 4) ? e->task_path : e->prepared_dir);
	add_origin(out, start, c, NULL, &task->values[KEY_PREPARED_DIR]);
	start = out->len;
	if (e->overrides) {
		buf_adds(out, "overrides = ");
		add_quoted(out, e->overrides);
		add_origin(out, start, c, NULL, v);
	}
}

static void explain_models(struct buf *out, const struct config *c, const struct layer *task,
			   const struct bench_entry *e)
{
	const struct layer *layers[LAYERS];
	const struct value *v = NULL;
	size_t start = out->len;
	config_layers(c, task, layers);
	for (size_t i = 0; i < LAYERS && !v; i++)
		if (layers[i]->values[KEY_MODEL].origin)
			v = &layers[i]->values[KEY_MODEL];
		else if (layers[i]->values[KEY_MODELS].origin)
			v = &layers[i]->values[KEY_MODELS];
	buf_adds(out, v ? "models = " : "# models");
	if (v)
		add_list(out, &e->models);
	add_origin(out, start, c, "model", v);
}

static const struct variable *find_variable(const struct config *c, const struct layer *task,
					    const char *key)
{
	const struct layer *layers[LAYERS];
	config_layers(c, task, layers);
	for (size_t i = 0; i < LAYERS; i++)
		for (size_t j = layers[i]->env_n; j-- > 0;)
			if (strcmp(layers[i]->env[j].key, key) == 0)
				return &layers[i]->env[j];
	return NULL;
}

static void explain_env(struct buf *out, const struct config *c, const struct layer *task,
			const struct bench_entry *e)
{
	for (size_t i = 0; i < e->env.n; i++) {
		const struct variable *var = find_variable(c, task, e->env.v[i].key);
		struct value at = {.origin = var->origin, .line = var->line, .col = var->col};
		/* Its text is the timeout that counts, whoever set that. */
		bool timeout = strcmp(var->key, "TIMEOUT_SEC") == 0 && var->origin != ORIGIN_FLAG;
		if (timeout)
			at = *config_effective(c, task, KEY_TIMEOUT);
		size_t start = out->len;
		buf_adds(out, "environment_variables.");
		add_quoted(out, e->env.v[i].key);
		buf_adds(out, " = ");
		add_quoted(out, e->env.v[i].value);
		add_origin(out, start, c, timeout ? "timeout" : "env", &at);
	}
}

static void explain_entry(struct buf *out, const struct config *c, const struct bench_entry *e)
{
	const struct layer *task = &c->tasks[e->table];
	buf_adds(out, "\n[[tasks]]\n");
	explain_paths(out, c, task, e);
	explain_models(out, c, task, e);
	for (int i = 0; i < KEY_COUNT_; i++)
		if (config_keys[i].lands && !config_keys[i].in_bench)
			explain_landed(out, c, task, (enum key_id)i, e);
	explain_env(out, c, task, e);
}

static void explain_table(struct buf *out, const struct config *c, const struct bench *b,
			  const struct key_table *table)
{
	if (table->name)
		buf_addf(out, "\n%s\n", table->title);
	for (int i = 0; i < KEY_COUNT_; i++)
		if (config_keys[i].in_bench && (config_keys[i].scopes & table->scope))
			explain_landed(out, c, NULL, (enum key_id)i, b);
}

/* N on one line. */
static void add_node(struct buf *out, const struct toml_node *n)
{
	switch (n->kind) {
	case TOML_INT:
		buf_addf(out, "%lld", (long long)n->integer);
		return;
	case TOML_REAL:
		buf_addf(out, "%.17g", n->real);
		return;
	case TOML_BOOL:
		buf_adds(out, n->boolean ? "true" : "false");
		return;
	case TOML_ARRAY:
	case TOML_TABLE:
		break;
	default:
		add_quoted(out, n->text ? n->text : "");
		return;
	}
	const bool table = n->kind == TOML_TABLE;
	buf_adds(out, table ? "{ " : "[");
	for (size_t i = 0; i < n->n; i++) {
		buf_adds(out, i ? ", " : "");
		if (table) {
			add_quoted(out, n->items[i].key);
			buf_adds(out, " = ");
		}
		add_node(out, &n->items[i]);
	}
	buf_adds(out, table ? " }" : "]");
}

/* What agents there are beside those of files, and what each has around it, as the file says it. */
static void explain_agents(struct buf *out, const struct config *c)
{
	for (size_t i = 0; i < c->root->n; i++) {
		const struct toml_node *n = &c->root->items[i];
		const struct value at = {
			.origin = ORIGIN_FILE, .line = n->key_line, .col = n->key_col};
		const size_t start = out->len;
		if (!agent_is_around(n->key) &&
		    (strcmp(n->key, config_keys[KEY_AGENTS].name) != 0 || n->kind != TOML_TABLE))
			continue;
		buf_addf(out, "%s = ", n->key);
		add_node(out, n);
		add_origin(out, start, c, NULL, &at);
	}
}

void config_write(struct buf *out, const struct config *c, const struct bench *b)
{
	for (int i = 0; i < TABLE_COUNT_; i++) {
		if (config_tables[i].whole)
			explain_table(out, c, b, &config_tables[i]);
		if (i == TABLE_TOP)
			explain_agents(out, c);
	}
	for (size_t i = 0; i < b->entries_n; i++)
		explain_entry(out, c, &b->entries[i]);
}
