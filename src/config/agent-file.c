/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agent-file.h"
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "config/agent-copies.h"
#include "config/agent-layers.h"
#include "config/toml.h"
#include "core/api.h"
#include "core/kv.h"

#define FILE_MAX_BYTES (4u << 20)

enum { REGEX_MAX = 1000, REPEATS_MAX = 10000 };

struct reader {
	const char *path;
	struct strv *issues;
};

struct member {
	const char *name;
	/* Check N, which is called NAME. */
	void (*check)(const struct reader *r, const struct toml_node *n, const char *name);
	const char *const *choices; /* of check_choice */
	bool required;
};

static void complain(const struct reader *r, int line, int col, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void complain(const struct reader *r, int line, int col, const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	strv_pushf(r->issues, "%s:%d:%d: %s", r->path, line, col, text);
}

static bool expect(const struct reader *r, const struct toml_node *n, enum toml_kind kind,
		   const char *name)
{
	if (n->kind == kind)
		return true;
	complain(r, n->line, n->col, "%s must be %s, not %s", name, toml_kind_name(kind),
		 toml_kind_name(n->kind));
	return false;
}

/* What an agent file's texts may hold (agent/agent-template.c fills it in). */
static const char *const placeholders[] = {
	"model", "api",		  "instruction", "instruction_file",
	"seed",	 "rollout",	  "task_id",	 "gateway_url",
	"token", "context",	  "max_output",	 "home",
	"repo",	 "system_prompt", "folder",	 "mcp",
	NULL};

/* A word in braces that is nearly one of them was meant to be it. In the text of a program, braces are its own. */
static void check_placeholders(const struct reader *r, const struct toml_node *n)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
	const char *text = n->text ? n->text : "";
	for (const char *at = text; (at = strchr(at, '{')); at++) {
		const size_t len = strspn(at + 1, letters);
		AUTO(free) char *name = xstrndup(at + 1, len);
		if (at[len + 1] != '}' || !len || (at > text && at[-1] == '$'))
			continue;
		const char *near = text_nearest(name, placeholders);
		if (near && strcmp(near, name) != 0)
			complain(r, n->line, n->col, "{%s} is no placeholder (did you mean {%s}?)",
				 name, near);
	}
}

static void check_string(const struct reader *r, const struct toml_node *n, const char *name)
{
	(void)expect(r, n, TOML_STRING, name);
}

static void check_template(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (expect(r, n, TOML_STRING, name))
		check_placeholders(r, n);
}

static void check_bool(const struct reader *r, const struct toml_node *n, const char *name)
{
	(void)expect(r, n, TOML_BOOL, name);
}

static void check_day(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (expect(r, n, TOML_STRING, name) &&
	    !text_glob("[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]", n->text))
		complain(r, n->line, n->col, "\"%s\" is no day as \"2026-01-31\" is", n->text);
}

static void check_strings(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!expect(r, n, TOML_ARRAY, name))
		return;
	for (size_t i = 0; i < n->n; i++)
		check_template(r, &n->items[i], name);
}

static void check_argv(const struct reader *r, const struct toml_node *n, const char *name)
{
	check_strings(r, n, name);
	if (n->kind == TOML_ARRAY && (!n->n || (n->items[0].text && !*n->items[0].text)))
		complain(r, n->line, n->col, "argv must begin with a program");
}

static void check_map(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!expect(r, n, TOML_TABLE, name))
		return;
	for (size_t i = 0; i < n->n; i++)
		check_template(r, &n->items[i], n->items[i].key);
}

/* Names are templates, and so are contents unless they are a program, by their first line or their name. */
static void check_files(const struct reader *r, const struct toml_node *n, const char *name)
{
	static const char *const ends[] = {".sh", ".py", ".js", ".mjs", ".ts", ".rb", ".pl"};
	if (!expect(r, n, TOML_TABLE, name))
		return;
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *v = &n->items[i], key = {.line = v->key_line,
								 .col = v->key_col,
								 .text = v->key};
		const size_t len = strlen(v->key);
		bool program = v->text && strncmp(v->text, "#!", 2) == 0;
		for (size_t e = 0; e < ARRAY_SIZE(ends); e++)
			program = program || (len > strlen(ends[e]) &&
					      strcmp(v->key + len - strlen(ends[e]), ends[e]) == 0);
		check_placeholders(r, &key);
		if (program)
			check_string(r, v, v->key);
		else
			check_template(r, v, v->key);
	}
}

/* A placeholder stands for the per-trial token, which is worth nothing outside. */
static void check_env(const struct reader *r, const struct toml_node *n, const char *name)
{
	check_map(r, n, name);
	for (size_t i = 0; n->kind == TOML_TABLE && i < n->n; i++) {
		const struct toml_node *v = &n->items[i];
		if (v->text && kv_is_secret(v->key) && !strstr(v->text, "{token}"))
			complain(r, v->line, v->col,
				 "env.%s names a credential, which never enters a sandbox; write "
				 "\"{token}\"",
				 v->key);
	}
}

static void check_choice(const struct reader *r, const struct toml_node *n, const char *name,
			 const char *const *choices)
{
	AUTO(buf) struct buf all = BUF_INIT;
	if (!expect(r, n, TOML_STRING, name))
		return;
	for (const char *const *c = choices; *c; c++) {
		if (strcmp(*c, n->text) == 0)
			return;
		buf_addf(&all, "%s\"%s\"", all.len ? ", " : "", *c);
	}
	complain(r, n->line, n->col, "%s = \"%s\" is not one of: %s", name, n->text, all.data);
}

static bool is_scalar(const struct toml_node *n)
{
	return n->kind == TOML_STRING || n->kind == TOML_INT || n->kind == TOML_REAL ||
	       n->kind == TOML_BOOL;
}

static void check_pointer_text(const struct reader *r, int line, int col, const char *text)
{
	if (*text && *text != '/')
		complain(r, line, col, "\"%s\" is not a JSON pointer: it must begin with a slash",
			 text);
}

static void check_pointer(const struct reader *r, const struct toml_node *n, const char *name)
{
	const struct toml_node *items = n->kind == TOML_ARRAY ? n->items : n;
	size_t count = n->kind == TOML_ARRAY ? n->n : 1;
	for (size_t i = 0; i < count; i++)
		if (expect(r, &items[i], TOML_STRING, name))
			check_pointer_text(r, items[i].line, items[i].col, items[i].text);
}

static void check_match(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!expect(r, n, TOML_TABLE, name))
		return;
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *v = &n->items[i];
		bool ok = is_scalar(v);
		for (size_t j = 0; v->kind == TOML_ARRAY && j < v->n; j++)
			ok = j == 0 ? is_scalar(&v->items[0]) : ok && is_scalar(&v->items[j]);
		if (!ok)
			complain(r, v->line, v->col,
				 "match values are strings, numbers, booleans or lists of them");
		check_pointer_text(r, v->key_line, v->key_col, v->key);
	}
}

/* How often the parts of an expression are repeated at most, {M,N} in {M,N} multiplied: regcomp copies a part as often, so
 * that a short one can take all memory. */
static double repetitions(const char *regex)
{
	double all = 1;

	for (const char *p = regex; *p; p += 1 + (*p == '\\' && p[1])) {
		if (*p != '{')
			continue;
		const char *comma = p + strcspn(p, ",}");
		double low = strtod(p + 1, NULL),
		       high = *comma == ',' ? strtod(comma + 1, NULL) : 0;
		all *= high > low ? high : low > 1 ? low : 1;
	}
	return all;
}

static void check_regex(const struct reader *r, const struct toml_node *n, const char *name)
{
	regex_t regex;
	char why[200];
	if (!expect(r, n, TOML_STRING, name))
		return;
	if (strlen(n->text) > REGEX_MAX || repetitions(n->text) > REPEATS_MAX) {
		complain(r, n->line, n->col,
			 "the regex is too large: %d characters at most, and %d repetitions",
			 REGEX_MAX, REPEATS_MAX);
		return;
	}
	int rc = regcomp(&regex, n->text, REG_EXTENDED);
	if (rc == 0) {
		regfree(&regex);
		return;
	}
	regerror(rc, &regex, why, sizeof why);
	complain(r, n->line, n->col, "regex \"%s\": %s", n->text, why);
}

static const char *const kinds[] = {"cli", NULL};
static const char *const needs[] = {"", "model", NULL};
static const char *const formats[] = {"text", "jsonl", "json", NULL};
static const char *const hows[] = {"last", "add", "max", "count", NULL};
static const char *const fields[] = {
	"tokens_input", "tokens_cached", "tokens_output", "tokens_total", "tool_calls",	 "turns",
	"money_usd",	"final_message", "version",	  "error",	  "setup_error", "limit",
	NULL,
};

static bool is_metric(const struct toml_node *n)
{
	static const char prefix[] = "metrics.";
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	const char *name = n && n->text ? n->text : "";
	if (strncmp(name, prefix, sizeof prefix - 1) != 0)
		return false;
	name += sizeof prefix - 1;
	return *name && strlen(name) < 40 && !name[strspn(name, allowed)];
}

static void check_field(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!is_metric(n))
		check_choice(r, n, name, fields);
}

/* clang-format off */
static const struct member rule_members[] = {
	{ .name = "match", .check = check_match },
	{ .name = "regex", .check = check_regex },
	{ .name = "field", .check = check_field, .required = true },
	{ .name = "pointer", .check = check_pointer },
	{ .name = "how", .choices = hows },
	{ .name = NULL },
};
/* clang-format on */

static void check_members(const struct reader *r, const struct toml_node *table,
			  const struct member *members, const char *what);

static void check_rule(const struct reader *r, const struct toml_node *n)
{
	if (!expect(r, n, TOML_TABLE, "a rule"))
		return;
	check_members(r, n, rule_members, "a rule");
	const struct toml_node *how = toml_get(n, "how");
	bool counts = how && how->text && strcmp(how->text, "count") == 0;
	bool regex = toml_get(n, "regex"), pointer = toml_get(n, "pointer");
	if (regex && (pointer || toml_get(n, "match")))
		complain(r, n->line, n->col, "a rule with regex has neither match nor pointer");
	else if (counts && pointer && !is_metric(toml_get(n, "field")))
		complain(r, n->line, n->col, "how = \"count\" has no pointer");
	else if (!counts && !regex && !pointer)
		complain(r, n->line, n->col, "a rule needs pointer or regex, or how = \"count\"");
}

static void check_rules(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!expect(r, n, TOML_ARRAY, name))
		return;
	for (size_t i = 0; i < n->n; i++)
		check_rule(r, &n->items[i]);
}

/* clang-format off */
static const struct member output_members[] = {
	{ .name = "format", .choices = formats },
	{ .name = "rules", .check = check_rules },
	{ .name = NULL },
};
/* clang-format on */

static bool has_text(const struct toml_node *table, const char *key, const char *const *texts)
{
	const struct toml_node *n = toml_get(table, key);
	for (; n && n->text && *texts; texts++)
		if (strcmp(n->text, *texts) == 0)
			return true;
	return false;
}

/* What the worker would refuse in every trial. */
static void check_fit(const struct reader *r, const struct toml_node *rule, bool is_text)
{
	static const char *const words[] = {"final_message", "version", "error",
					    "setup_error",   "limit",	NULL};
	static const char *const sums[] = {"max", "count", NULL};
	bool regex = toml_get(rule, "regex");
	if (is_text && !regex)
		complain(r, rule->line, rule->col, "a rule for format = \"text\" needs a regex");
	else if (!is_text && regex)
		complain(r, rule->line, rule->col, "regex is for format = \"text\" only");
	if (has_text(rule, "field", words) && has_text(rule, "how", sums))
		complain(r, rule->line, rule->col,
			 "field = \"%s\" is a text: only how = \"last\" or \"add\" will do",
			 toml_get(rule, "field")->text);
}

static void check_output(const struct reader *r, const struct toml_node *n, const char *name)
{
	static const char *const structured[] = {"json", "jsonl", NULL};
	if (!expect(r, n, TOML_TABLE, name))
		return;
	check_members(r, n, output_members, "[output]");
	const struct toml_node *rules = toml_get(n, "rules");
	for (size_t i = 0; rules && rules->kind == TOML_ARRAY && i < rules->n; i++)
		if (rules->items[i].kind == TOML_TABLE)
			check_fit(r, &rules->items[i], !has_text(n, "format", structured));
}

static void check_layer(const struct reader *r, const struct toml_node *n, const char *name);

static void check_apis(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!expect(r, n, TOML_ARRAY, name))
		return;
	if (!n->n)
		complain(r, n->line, n->col, "apis must name one API at least");
	for (size_t i = 0; i < n->n; i++)
		check_choice(r, &n->items[i], name, api_names);
}

/* clang-format off */
static const struct member dialect_members[] = {
	{ .name = "args", .check = check_strings },
	{ .name = "env", .check = check_env },
	{ .name = "files", .check = check_files },
	{ .name = NULL },
};
/* clang-format on */

static void check_dialects(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!expect(r, n, TOML_TABLE, name))
		return;
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *d = &n->items[i];
		const struct toml_node key = {.kind = TOML_STRING,
					      .line = d->key_line,
					      .col = d->key_col,
					      .text = d->key};
		AUTO(free) char *what = xasprintf("[api.%s]", d->key);
		check_choice(r, &key, "an API", api_names);
		if (expect(r, d, TOML_TABLE, what))
			check_members(r, d, dialect_members, what);
	}
}

static void check_program(const struct reader *r, const struct toml_node *n, const char *name)
{
	check_strings(r, n, name);
	for (size_t i = 0; n->kind == TOML_ARRAY && i < n->n; i++)
		if (n->items[i].text && !path_is_inside(n->items[i].text))
			complain(r, n->items[i].line, n->items[i].col,
				 "\"%s\" is not a path inside the installation", n->items[i].text);
	if (n->kind == TOML_ARRAY && !n->n)
		complain(r, n->line, n->col, "%s must begin with a program", name);
}

/* clang-format off */
static const struct member layer_members[] = {
	{ .name = "args", .check = check_strings },
	{ .name = "env", .check = check_env },
	{ .name = "files", .check = check_files },
	{ .name = NULL },
};
static const struct member option_members[] = {
	{ .name = "args", .check = check_strings },
	{ .name = "env", .check = check_env },
	{ .name = "files", .check = check_files },
	{ .name = "choices", .check = check_strings },
	{ .name = "default", .check = check_string },
	{ .name = "join", .check = check_string },
	{ .name = "each", .check = check_string },
	{ .name = "repeat", .check = check_bool },
	{ .name = NULL },
};
static const struct member prompt_members[] = {
	{ .name = "replace", .check = check_layer },
	{ .name = "append", .check = check_layer },
	{ .name = NULL },
};
/* clang-format on */

static void check_layer(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (expect(r, n, TOML_TABLE, name))
		check_members(r, n, layer_members, name);
}

/* The values of a variant, and the declarations of those who have options, which are tables. */
static void check_options(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!expect(r, n, TOML_TABLE, name))
		return;
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *v = &n->items[i];
		AUTO(free) char *what = xasprintf("[options.%s]", v->key);
		bool ok = is_scalar(v);
		for (size_t k = 0; v->kind == TOML_ARRAY && k < v->n; k++)
			ok = (k == 0 || ok) && is_scalar(&v->items[k]);
		if (v->kind == TOML_TABLE)
			check_members(r, v, option_members, what);
		else if (!ok)
			complain(r, v->line, v->col,
				 "options.%s must be a string, a number, true, false or a list of "
				 "them",
				 v->key);
	}
}

static void check_prompt(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (n->kind == TOML_TABLE)
		check_members(r, n, prompt_members, "[system_prompt]");
	else
		check_string(r, n, name);
}

/* clang-format off */
static const struct member install_members[] = {
	{ .name = "version", .check = check_string, .required = true },
	{ .name = "before", .check = check_day },
	{ .name = "npm", .check = check_strings, .required = true },
	{ .name = "program", .check = check_program, .required = true },
	{ .name = NULL },
};
/* clang-format on */

static void check_install(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (expect(r, n, TOML_TABLE, name))
		check_members(r, n, install_members, "[install]");
}

/* What can only be seen with the whole file in view. */
static void check_whole(const struct reader *r, const struct toml_node *root)
{
	const struct toml_node *apis = toml_get(root, "apis"), *api = toml_get(root, "api");
	const struct toml_node *prompt = toml_get(root, "system_prompt"),
			       *more = toml_get(root, "append_system_prompt");
	if (!toml_get(root, "argv") && !toml_get(root, "base"))
		complain(r, root->line, root->col,
			 "an agent has \"argv\", or \"base\", the agent that it is a variant of");
	if (more && prompt && prompt->kind == TOML_STRING)
		complain(r, more->line, more->col,
			 "give either system_prompt or append_system_prompt");
	for (size_t i = 0; api && api->kind == TOML_TABLE && i < api->n; i++) {
		const struct toml_node *d = &api->items[i];
		bool listed = false;
		for (size_t j = 0; apis && apis->kind == TOML_ARRAY && j < apis->n; j++)
			listed = listed ||
				 (apis->items[j].text && strcmp(apis->items[j].text, d->key) == 0);
		if (!listed && !toml_get(root, "base"))
			complain(r, d->key_line, d->key_col,
				 "[api.%s] is never used: apis does not name it", d->key);
	}
}

/* clang-format off */
static const struct member agent_members[] = {
	{ .name = "kind", .choices = kinds },
	{ .name = "summary", .check = check_string },
	{ .name = "needs", .choices = needs },
	{ .name = "models", .check = check_strings },
	{ .name = "requires", .check = check_strings },
	{ .name = "shows", .check = check_strings },
	{ .name = "optional_roles", .check = check_strings },
	{ .name = "version", .check = check_string },
	{ .name = "base", .check = check_string },
	{ .name = "argv", .check = check_argv },
	{ .name = "args", .check = check_strings },
	{ .name = "options", .check = check_options },
	{ .name = "system_prompt", .check = check_prompt },
	{ .name = "append_system_prompt", .check = check_string },
	{ .name = "stdin", .check = check_template },
	{ .name = "env", .check = check_env },
	{ .name = "files", .check = check_files },
	{ .name = "collect", .check = check_strings },
	{ .name = "output", .check = check_output },
	{ .name = "apis", .check = check_apis },
	{ .name = "api", .check = check_dialects },
	{ .name = "install", .check = check_install },
	{ .name = NULL },
};
/* clang-format on */

static void unknown(const struct reader *r, const struct toml_node *n, const struct member *members,
		    const char *what)
{
	AUTO(strv) struct strv names = STRV_INIT;
	for (; members->name; members++)
		strv_push(&names, members->name);
	const char *near = text_nearest(n->key, strv_items(&names));
	complain(r, n->key_line, n->key_col, "unknown key \"%s\" in %s%s%s%s", n->key, what,
		 near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "");
}

static void check_members(const struct reader *r, const struct toml_node *table,
			  const struct member *members, const char *what)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct toml_node *n = &table->items[i];
		const struct member *m = members;
		while (m->name && strcmp(m->name, n->key) != 0)
			m++;
		if (!m->name)
			unknown(r, n, members, what);
		else if (m->choices)
			check_choice(r, n, m->name, m->choices);
		else
			m->check(r, n, m->name);
	}
	for (const struct member *m = members; m->name; m++)
		if (m->required && !toml_get(table, m->name))
			complain(r, table->line, table->col, "%s has no \"%s\"", what, m->name);
}

static json_t *to_json(const struct toml_node *n)
{
	json_t *j;
	switch (n->kind) {
	case TOML_INT:
		return json_integer(n->integer);
	case TOML_REAL:
		return json_real(n->real);
	case TOML_BOOL:
		return json_boolean(n->boolean);
	case TOML_ARRAY:
		j = json_array();
		for (size_t i = 0; i < n->n; i++)
			json_array_append_new(j, to_json(&n->items[i]));
		return j;
	case TOML_TABLE:
		j = json_object();
		for (size_t i = 0; i < n->n; i++)
			json_put(j, n->items[i].key, to_json(&n->items[i]));
		return j;
	default:
		return json_string(n->text ? n->text : "");
	}
}

static int read_text(const char *path, struct buf *text, struct err *err)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, ERR_USAGE, errno, "open %s", path);
	if (path_read_fd(fd, FILE_MAX_BYTES, text, err) < 0) {
		err->kind = ERR_USAGE;
		return err_wrap(err, "%s", path);
	}
	return 0;
}

static int take(json_t **out, const struct reader *r, const struct toml_node *root,
		const char *folder, struct err *err)
{
	size_t before = r->issues->n;
	check_members(r, root, agent_members, "an agent file");
	check_whole(r, root);
	if (r->issues->n > before)
		return err_set(err, ERR_USAGE, 0, "%s: mistakes", r->path);
	AUTO(json) json_t *spec = to_json(root);
	if (agent_put_apart(spec, folder, err) || agent_copies_take(spec, folder, err)) {
		complain(r, root->line, root->col, "%s", err->msg);
		return -1;
	}
	*out = json_incref(spec);
	return 0;
}

int agent_file_read(json_t **out, const char *path, struct strv *issues, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(free) char *folder = path_folder(path);
	const struct reader r = {path, issues};
	struct toml_error where;
	if (read_text(path, &text, err) < 0)
		return -1;
	struct toml_node *root = toml_parse(text.data, text.len, &where);
	if (!root) {
		complain(&r, where.line, where.col, "%s", where.msg);
		return err_set(err, ERR_USAGE, 0, "%s: not TOML", path);
	}
	int rc = take(out, &r, root, folder, err);
	toml_free(root);
	return rc;
}

int agent_table_read(json_t **out, const char *path, const struct toml_node *table,
		     struct strv *issues, struct err *err)
{
	AUTO(free) char *folder = path_folder(path);
	const struct reader r = {path, issues};
	return take(out, &r, table, folder, err);
}
