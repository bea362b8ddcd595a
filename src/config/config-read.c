/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "config/agent-file.h"
#include "config/config-steps.h"
#include "core/roles.h"

#define CONFIG_MAX_BYTES (16u << 20)

/* Where a value stands and what it is called there. */
struct spot {
	struct config *config;
	struct layer *layer;
	enum key_id id;
};

static void complain(const struct spot *s, const struct value *v, const char *what)
{
	config_value_issue(s->config, s->id, v, "%s", what);
}

static void set_number(const struct spot *s, struct value *v, double number)
{
	const struct key *k = &config_keys[s->id];
	v->number = number;
	if (!(number >= k->min && number <= k->max))
		config_value_issue(s->config, s->id, v, "%.16g is out of range (%.16g to %.16g)",
				   number, k->min, k->max);
}

static bool is_choice(const struct key *k, const char *text)
{
	for (const char *const *c = k->choices; *c; c++)
		if (strcmp(*c, text) == 0)
			return true;
	return false;
}

static void check_choice(const struct spot *s, const struct value *v)
{
	const struct key *k = &config_keys[s->id];
	AUTO(buf) struct buf all = BUF_INIT;
	if (is_choice(k, v->text))
		return;
	for (const char *const *c = k->choices; *c; c++)
		buf_addf(&all, "%s%s", all.len ? ", " : "", *c);
	config_value_issue(s->config, s->id, v, "\"%s\" is not one of: %s", v->text, all.data);
}

static void set_text(const struct spot *s, struct value *v, const char *text)
{
	const struct key *k = &config_keys[s->id];
	v->text = xstrdup(text);
	const char *why = k->complain ? k->complain(text) : NULL;
	if (why)
		config_value_issue(s->config, s->id, v, "\"%s\" %s", text, why);
	else if (k->choices)
		check_choice(s, v);
}

static void add_item(const struct spot *s, struct value *v, const char *text)
{
	const char *why = config_keys[s->id].complain(text);
	if (!why && strv_has(&v->list, text))
		why = "is listed twice; raise rollouts instead";
	if (why)
		config_value_issue(s->config, s->id, v, "\"%s\" %s", text, why);
	strv_push(&v->list, text);
}

static void set_list(const struct spot *s, struct value *v, const struct toml_node *n)
{
	if (!n->n)
		complain(s, v, "must not be an empty list");
	for (size_t i = 0; i < n->n; i++) {
		v->line = n->items[i].line;
		v->col = n->items[i].col;
		if (n->items[i].kind == TOML_STRING)
			add_item(s, v, n->items[i].text);
		else
			complain(s, v, "must be a list of strings");
	}
	v->line = n->line;
	v->col = n->col;
}

static void wrong_kind(const struct spot *s, const struct value *v, const struct toml_node *n)
{
	static const char *const wanted[] = {
		[TYPE_TEXT] = "a string",
		[TYPE_CHOICE] = "a string",
		[TYPE_LIST] = "a list of strings",
		[TYPE_INT] = "a whole number",
		[TYPE_BIG] = "a whole number",
		[TYPE_REAL] = "a number",
		[TYPE_MS] = "a number of seconds",
		[TYPE_BOOL] = "true or false",
		[TYPE_WORD] = "a string",
		[TYPE_ENV] = "a table of names and strings",
		[TYPE_ROLES] = "a table of names and models",
	};
	config_value_issue(s->config, s->id, v, "must be %s, not %s",
			   wanted[config_keys[s->id].type], toml_kind_name(n->kind));
}

static void set_roles(const struct spot *s, struct value *v, const struct toml_node *n)
{
	if (n->n > ROLES_MAX)
		config_value_issue(s->config, s->id, v, "at most %d roles", ROLES_MAX);
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *role = &n->items[i];
		const struct value at = {
			.origin = ORIGIN_FILE, .line = role->line, .col = role->col};
		const char *why = role->kind == TOML_STRING
					  ? config_keys[s->id].complain(role->text)
					  : "must be the name of a model";
		if (!role_is_name(role->key))
			why = "is no name of a role: small letters, digits, \"_\" and \"-\"";
		if (why) {
			config_value_issue(s->config, s->id, &at, "\"%s\" %s", role->key, why);
			continue;
		}
		strv_push(&v->list, role->key);
		strv_push(&v->list, role->text);
	}
}

static void set_from_node(const struct spot *s, struct value *v, const struct toml_node *n)
{
	enum key_type type = config_keys[s->id].type;
	bool whole = type == TYPE_INT || type == TYPE_BIG;
	*v = (struct value){.origin = ORIGIN_FILE, .line = n->line, .col = n->col};
	AUTO(free)
	char *number = type == TYPE_WORD && n->kind == TOML_INT
			       ? xasprintf("%lld", (long long)n->integer)
			       : NULL;
	const bool is_text = type == TYPE_TEXT || type == TYPE_CHOICE || type == TYPE_WORD;
	if (is_text && n->kind == TOML_STRING)
		set_text(s, v, n->text);
	else if (number)
		set_text(s, v, number);
	else if (type == TYPE_WORD && n->kind == TOML_BOOL)
		set_text(s, v, n->boolean ? "true" : "false");
	else if (type == TYPE_CHOICE && n->kind == TOML_BOOL &&
		 is_choice(&config_keys[s->id], n->boolean ? "true" : "false"))
		set_text(s, v, n->boolean ? "true" : "false");
	else if (type == TYPE_LIST && n->kind == TOML_ARRAY)
		set_list(s, v, n);
	else if (type == TYPE_ROLES && n->kind == TOML_TABLE)
		set_roles(s, v, n);
	else if (type == TYPE_BOOL && n->kind == TOML_BOOL)
		v->boolean = n->boolean;
	else if ((whole || type == TYPE_REAL || type == TYPE_MS) && n->kind == TOML_INT)
		set_number(s, v, n->real);
	else if ((type == TYPE_REAL || type == TYPE_MS) && n->kind == TOML_REAL)
		set_number(s, v, n->real);
	else
		wrong_kind(s, v, n);
}

static void set_from_text(const struct spot *s, struct value *v, const char *text)
{
	enum key_type type = config_keys[s->id].type;
	char *end;
	if (type == TYPE_TEXT || type == TYPE_CHOICE) {
		set_text(s, v, text);
		return;
	}
	if (type == TYPE_BOOL) {
		v->boolean = strcmp(text, "true") == 0;
		if (!v->boolean && strcmp(text, "false") != 0)
			complain(s, v, "must be true or false");
		return;
	}
	double number = strtod(text, &end);
	if (end == text || *end ||
	    ((type == TYPE_INT || type == TYPE_BIG) && number != floor(number)))
		config_value_issue(s->config, s->id, v, "\"%s\" is not %s", text,
				   type == TYPE_INT || type == TYPE_BIG ? "a whole number"
									: "a number");
	else
		set_number(s, v, number);
}

static void add_variable(const struct spot *s, const char *key, const char *text,
			 const struct value *at)
{
	struct layer *l = s->layer;
	if (!*key || strchr(key, '='))
		config_value_issue(s->config, s->id, at, "\"%s\" is not a name", key);
	else if (kv_is_secret(key))
		config_value_issue(
			s->config, s->id, at,
			"%s names a credential, which never enters a sandbox; take it out", key);
	else if (!strcmp(key, "HOME"))
		config_value_issue(s->config, s->id, at,
				   "HOME is /home/agent in every sandbox, for agent and tests; "
				   "take it out");
	GROW(l->env, l->env_n, l->env_cap);
	l->env[l->env_n++] =
		(struct variable){xstrdup(key), xstrdup(text), at->origin, at->line, at->col};
}

/* TIMEOUT_SEC is the timeout_sec of the place it stands in; both must not differ. */
static void take_timeout(const struct spot *s, const char *text, const struct value *at)
{
	struct value *v = &s->layer->values[KEY_TIMEOUT];
	char *end;
	double number = strtod(text, &end);
	if (end == text || *end) {
		config_value_issue(s->config, s->id, at,
				   "TIMEOUT_SEC = \"%s\" is not a number of seconds", text);
	} else if (v->origin == ORIGIN_NONE) {
		*v = *at;
		set_number(&(struct spot){s->config, s->layer, KEY_TIMEOUT}, v, number);
	} else if (v->number != number) {
		config_value_issue(
			s->config, s->id, at,
			"TIMEOUT_SEC = \"%s\" contradicts timeout_sec = %.15g; give one of them",
			text, v->number);
	}
}

static void set_variable(const struct spot *s, const struct toml_node *n)
{
	struct value at = {.origin = ORIGIN_FILE, .line = n->key_line, .col = n->key_col};
	AUTO(free)
	char *number = n->kind == TOML_INT ? xasprintf("%lld", (long long)n->integer) : NULL;
	const char *text = number ? number : n->text;
	if (!text) {
		config_value_issue(s->config, s->id, &at, "%s must be a string, not %s", n->key,
				   toml_kind_name(n->kind));
		return;
	}
	add_variable(s, n->key, text, &at);
	if (strcmp(n->key, "TIMEOUT_SEC") == 0)
		take_timeout(s, text, &at);
}

static void set_env(const struct spot *s, const struct toml_node *n)
{
	struct value *v = &s->layer->values[KEY_ENV];
	*v = (struct value){.origin = ORIGIN_FILE, .line = n->line, .col = n->col};
	if (n->kind != TOML_TABLE) {
		wrong_kind(s, v, n);
		return;
	}
	for (size_t i = 0; i < n->n; i++)
		set_variable(s, &n->items[i]);
}

static const struct key_table *find_table(const char *name)
{
	for (int i = 0; i < TABLE_COUNT_; i++)
		if (config_tables[i].name && strcmp(config_tables[i].name, name) == 0)
			return &config_tables[i];
	return NULL;
}

static bool refused_key(struct config *c, const struct toml_node *n)
{
	for (const struct refusal *r = config_refusals; r->key; r++)
		if (strcmp(r->key, n->key) == 0) {
			config_issue(c, n->key_line, n->key_col, "\"%s\" is refused: %s", n->key,
				     r->why);
			return true;
		}
	return false;
}

static void unknown_key(struct config *c, const struct key_table *table, const struct toml_node *n)
{
	AUTO(strv) struct strv names = STRV_INIT;
	for (int i = 0; i < KEY_COUNT_; i++)
		if (config_keys[i].scopes & table->scope)
			strv_push(&names, config_keys[i].name);
	for (int i = 0; i < TABLE_COUNT_; i++)
		if (table->scope == SCOPE_TOP && config_tables[i].name)
			strv_push(&names, config_tables[i].name);
	const char *near = text_nearest(n->key, strv_items(&names));
	config_issue(c, n->key_line, n->key_col, "unknown key \"%s\" %s %s%s%s%s", n->key,
		     table->scope == SCOPE_TOP ? "at" : "in", table->title,
		     near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "");
}

/* A key of other tables than this one. */
static void misplaced_key(struct config *c, const struct key_table *table, const struct key *k,
			  const struct toml_node *n)
{
	int home = 0;
	while (!(k->scopes & config_tables[home].scope))
		home++;
	if (home == TABLE_TOP)
		config_issue(
			c, n->key_line, n->key_col,
			"\"%s\" belongs at the top of the file, before [defaults] and [[tasks]]; "
			"here it is in %s",
			k->name, table->title);
	else
		config_issue(c, n->key_line, n->key_col, "\"%s\" belongs in %s", k->name,
			     config_tables[home].title);
}

static void read_key(struct config *c, struct layer *l, const struct key_table *table,
		     const struct toml_node *n);

/* It stands inside of another table, whose layer its keys are in. */
static void read_options(struct config *c, struct layer *l, const struct toml_node *n)
{
	const struct key_table *table = &config_tables[TABLE_OPTIONS];
	if (n->kind != TOML_TABLE)
		config_issue(c, n->line, n->col, "\"%s\" must be a table, not %s", table->name,
			     toml_kind_name(n->kind));
	for (size_t i = 0; n->kind == TOML_TABLE && i < n->n; i++)
		read_key(c, l, table, &n->items[i]);
}

static void read_key(struct config *c, struct layer *l, const struct key_table *table,
		     const struct toml_node *n)
{
	/* Its shorter name. */
	const bool path = table->scope == SCOPE_TASKS && !strcmp(n->key, "path");
	enum key_id id = path ? KEY_PREPARED_DIR : config_key_find(table->scope, n->key);
	enum key_id elsewhere = config_key_find(SCOPE_FILE, n->key);
	if ((table->scope & SCOPE_ENTRY) && !strcmp(n->key, config_tables[TABLE_OPTIONS].name)) {
		read_options(c, l, n);
		return;
	}
	if (id == KEY_ENV)
		return; /* read when all others are */
	if (id != KEY_COUNT_)
		set_from_node(&(struct spot){c, l, id}, &l->values[id], n);
	else if (elsewhere != KEY_COUNT_)
		misplaced_key(c, table, &config_keys[elsewhere], n);
	else if (!refused_key(c, n))
		unknown_key(c, table, n);
}

static bool is_of_launchers(const struct key_table *table, const struct toml_node *n)
{
	return table->scope == SCOPE_TOP && n->kind == TOML_TABLE &&
	       strcmp(n->key, config_keys[KEY_LAUNCHER].name) == 0;
}

/* A list says which agents run, a table what they are. */
static bool is_of_agents(const struct key_table *table, const struct toml_node *n)
{
	return table->scope == SCOPE_TOP && n->kind == TOML_TABLE &&
	       strcmp(n->key, config_keys[KEY_AGENTS].name) == 0;
}

static void check_either(struct config *c, const struct layer *l, const struct key_table *table,
			 enum key_id one, enum key_id many)
{
	const struct value *list = &l->values[many];
	if (config_key_find(table->scope, config_keys[many].name) == many &&
	    l->values[one].origin && list->origin)
		config_issue(c, list->line, list->col, "give either \"%s\" or \"%s\" in %s",
			     config_keys[one].name, config_keys[many].name, table->title);
}

static void read_table(struct config *c, struct layer *l, const struct key_table *table,
		       const struct toml_node *node)
{
	for (size_t i = 0; i < node->n; i++)
		if (is_of_launchers(table, &node->items[i]))
			config_launchers(c, &node->items[i]);
		else if (is_of_agents(table, &node->items[i]))
			config_agents(c, &node->items[i]);
		else if (table->scope == SCOPE_TOP && agent_is_around(node->items[i].key))
			continue; /* read by config_around */
		else if (table->scope != SCOPE_TOP || !find_table(node->items[i].key) ||
			 find_table(node->items[i].key)->scope == SCOPE_OPTIONS)
			read_key(c, l, table, &node->items[i]);
	/* Last, since TIMEOUT_SEC is compared with timeout_sec wherever that stands. */
	const struct toml_node *env = toml_get(node, config_keys[KEY_ENV].name);
	if (env && (config_keys[KEY_ENV].scopes & table->scope))
		set_env(&(struct spot){c, l, KEY_ENV}, env);
	check_either(c, l, table, KEY_MODEL, KEY_MODELS);
	check_either(c, l, table, KEY_AGENT, KEY_AGENTS);
}

/* A table that may stand once. Those of the whole benchmark land as the top level does. */
static void read_single(struct config *c, int which, struct layer *l)
{
	const struct key_table *table = &config_tables[which];
	const struct toml_node *n = toml_get(c->root, table->name);
	if (n && n->kind == TOML_TABLE)
		read_table(c, l, table, n);
	else if (n)
		config_issue(c, n->line, n->col, "\"%s\" must be written %s", table->name,
			     table->title);
}

static void read_tasks(struct config *c, const struct toml_node *tasks)
{
	if (tasks && tasks->kind != TOML_ARRAY) {
		config_issue(c, tasks->line, tasks->col, "\"tasks\" must be written [[tasks]]");
		return;
	}
	size_t n = tasks ? tasks->n : 0;
	if (!n)
		config_issue(c, 1, 1,
			     "no [[tasks]]: add at least one, with prepared_dir and model");
	c->tasks = xcalloc(n ? n : 1, sizeof *c->tasks);
	for (size_t i = 0; i < n; i++) {
		const struct toml_node *t = &tasks->items[i];
		struct layer *l = &c->tasks[c->tasks_n];
		if (t->kind != TOML_TABLE) {
			config_issue(c, t->line, t->col, "\"tasks\" must be written [[tasks]]");
			continue;
		}
		*l = (struct layer){.line = t->line, .col = t->col};
		c->tasks_n++;
		read_table(c, l, &config_tables[TABLE_TASKS], t);
	}
}

static void read_flags(struct config *c)
{
	const struct config_request *req = c->req;
	struct layer *l = &c->flags;
	for (size_t i = 0; i < req->settings.n; i++) {
		enum key_id id = config_key_find(SCOPE_FLAG, req->settings.v[i].key);
		if (id == KEY_COUNT_)
			bug("no key \"%s\"", req->settings.v[i].key);
		struct spot s = {c, l, id};
		l->values[id] = (struct value){.origin = ORIGIN_FLAG};
		set_from_text(&s, &l->values[id], req->settings.v[i].value);
	}
	/* Whoever names a judge wants one. */
	if (req->no_judge || l->values[KEY_JUDGE_MODEL].origin) {
		struct spot s = {c, l, KEY_JUDGE_ENABLED};
		l->values[KEY_JUDGE_ENABLED] = (struct value){.origin = ORIGIN_FLAG};
		set_text(&s, &l->values[KEY_JUDGE_ENABLED], req->no_judge ? "false" : "true");
	}
	if (req->models.n)
		l->values[KEY_MODELS].origin = ORIGIN_FLAG;
	for (size_t i = 0; i < req->models.n; i++)
		add_item(&(struct spot){c, l, KEY_MODELS}, &l->values[KEY_MODELS],
			 req->models.v[i]);
	struct value at = {.origin = ORIGIN_FLAG};
	for (size_t i = 0; i < req->env.n; i++) {
		const struct kv *kv = &req->env.v[i];
		add_variable(&(struct spot){c, l, KEY_ENV}, kv->key, kv->value, &at);
		if (strcmp(kv->key, "TIMEOUT_SEC") == 0)
			take_timeout(&(struct spot){c, l, KEY_ENV}, kv->value, &at);
	}
}

static void read_environment(struct config *c)
{
	const char *backend = getenv("SANDBOX_BACKEND");
	if (!backend || !*backend)
		return;
	/* There a launcher decides where sandboxes are, and which kind of them is for auto. */
	struct value *v =
		&c->environment.values[strcmp(backend, "modal") ? KEY_SANDBOX : KEY_LAUNCHER];
	*v = (struct value){.origin = ORIGIN_ENVIRONMENT, .text = xstrdup(backend)};
}

static void add_quoted(struct buf *out, const char *text)
{
	buf_addc(out, '"');
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f) {
			buf_addf(out, "\\u%04x", (unsigned char)*text);
			continue;
		}
		if (*text == '"' || *text == '\\')
			buf_addc(out, '\\');
		buf_addc(out, *text);
	}
	buf_addc(out, '"');
}

/* What a benchmark of the tasks SPEC is called: a repository without its commit, a data set of a registry, else a folder. */
static char *name_of_tasks(const char *spec)
{
	const char *json = strstr(spec, ".json:"), *hash = strchr(spec, '#');
	char *name;

	if (json)
		return xstrndup(json + 6, strcspn(json + 6, "@"));
	if (strncmp(spec, "git+", 4) != 0)
		return xstrdup(spec);
	name = xstrndup(spec, hash ? (size_t)(hash - spec) : strlen(spec));
	char *path = strstr(name, "://");
	char *at = path && strchr(path + 3, '/') ? strrchr(strchr(path + 3, '/'), '@') : NULL;
	if (at)
		*at = '\0';
	for (size_t n = strlen(name); n && name[n - 1] == '/'; n--)
		name[n - 1] = '\0';
	if (text_ends_with(name, ".git"))
		name[strlen(name) - 4] = '\0';
	return name;
}

/* Folders of tasks alone make a benchmark, named after the first. */
static void write_own(struct config *c)
{
	AUTO(free) char *folder = name_of_tasks(c->req->tasks.v[0]);

	for (size_t n = strlen(folder); n > 1 && folder[n - 1] == '/'; n--)
		folder[n - 1] = '\0';
	AUTO(free) char *real = realpath(folder, NULL);
	const char *name = path_base(real ? real : folder);
	buf_adds(&c->text, "name = ");
	add_quoted(&c->text, *name && !strpbrk(name, "*?[") ? name : "tasks");
	for (size_t i = 0; i < c->req->tasks.n; i++) {
		buf_adds(&c->text, "\n[[tasks]]\nprepared_dir = ");
		add_quoted(&c->text, c->req->tasks.v[i]);
	}
	buf_addc(&c->text, '\n');
}

static int parse(struct config *c, struct err *err)
{
	struct toml_error where;

	if (c->req->tasks.n) {
		write_own(c);
		c->root = toml_parse(c->text.data, c->text.len, &where);
		return c->root ? 0 : err_set(err, ERR_USAGE, 0, "--tasks: %s", where.msg);
	}
	/* The name is the user's: links are followed, and every way it cannot be read is theirs to
	 * mend. */
	AUTO(fd) int fd = strcmp(c->req->path, "-") == 0
				  ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
				  : open(c->req->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (!*c->req->path)
		return err_set(err, ERR_USAGE, 0, "the name of the benchmark file is empty");
	if (fd < 0 && errno == ENOENT)
		return err_set(err, ERR_USAGE, 0,
			       "%s: no such file; `rollouts init` writes one to start from",
			       c->req->path);
	if (fd < 0)
		return err_set(err, ERR_USAGE, errno, "%s: cannot be read", c->req->path);
	if (path_read_fd(fd, CONFIG_MAX_BYTES, &c->text, err) < 0) {
		err->kind = ERR_USAGE;
		return err_wrap(err, "%s: cannot be read", c->req->path);
	}
	c->root = toml_parse(c->text.data, c->text.len, &where);
	if (!c->root)
		return err_set(err, ERR_USAGE, 0, "%s:%d:%d: %s", c->req->path, where.line,
			       where.col, where.msg);
	return 0;
}

int config_read(struct config *c, const struct config_request *req, struct err *err)
{
	*c = (struct config){.req = req, .text = BUF_INIT};
	if (parse(c, err) < 0)
		return -1;
	read_flags(c);
	read_environment(c);
	read_table(c, &c->top, &config_tables[TABLE_TOP], c->root);
	config_around(c);
	for (int i = 0; i < TABLE_COUNT_; i++)
		if (config_tables[i].whole && config_tables[i].name)
			read_single(c, i, &c->top);
	read_single(c, TABLE_DEFAULTS, &c->defaults);
	read_tasks(c, toml_get(c->root, config_tables[TABLE_TASKS].name));
	return 0;
}
