/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table [output] of an agent's file: how what it prints is read.
 */
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include "config/agent-file-checks.h"

enum { REGEX_MAX = 1000, REPEATS_MAX = 10000 };

static void check_pointer_text(const struct reader *r, int line, int col, const char *text)
{
	if (*text && *text != '/')
		file_complain(r, line, col,
			      "\"%s\" is not a JSON pointer: it must begin with a slash", text);
}

static void check_pointer(const struct reader *r, const struct toml_node *n, const char *name)
{
	const struct toml_node *items = n->kind == TOML_ARRAY ? n->items : n;
	size_t count = n->kind == TOML_ARRAY ? n->n : 1;
	for (size_t i = 0; i < count; i++)
		if (file_expect(r, &items[i], TOML_STRING, name))
			check_pointer_text(r, items[i].line, items[i].col, items[i].text);
}

static void check_match(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!file_expect(r, n, TOML_TABLE, name))
		return;
	for (size_t i = 0; i < n->n; i++) {
		const struct toml_node *v = &n->items[i];
		bool ok = file_is_scalar(v);
		for (size_t j = 0; v->kind == TOML_ARRAY && j < v->n; j++)
			ok = j == 0 ? file_is_scalar(&v->items[0])
				    : ok && file_is_scalar(&v->items[j]);
		if (!ok)
			file_complain(
				r, v->line, v->col,
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
	if (!file_expect(r, n, TOML_STRING, name))
		return;
	if (strlen(n->text) > REGEX_MAX || repetitions(n->text) > REPEATS_MAX) {
		file_complain(r, n->line, n->col,
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
	file_complain(r, n->line, n->col, "regex \"%s\": %s", n->text, why);
}

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
		file_choice(r, n, name, fields);
}

/* clang-format off */
static const struct member rule_members[] = {
	{ .name = "match", .check = check_match },
	{ .name = "regex", .check = check_regex },
	{ .name = "stderr", .check = check_regex },
	{ .name = "field", .check = check_field, .required = true },
	{ .name = "pointer", .check = check_pointer },
	{ .name = "how", .choices = hows },
	{ .name = NULL },
};
/* clang-format on */

static void check_rule(const struct reader *r, const struct toml_node *n)
{
	if (!file_expect(r, n, TOML_TABLE, "a rule"))
		return;
	file_members(r, n, rule_members, "a rule");
	const struct toml_node *how = toml_get(n, "how");
	bool counts = how && how->text && strcmp(how->text, "count") == 0;
	bool on_stderr = toml_get(n, "stderr"), regex = on_stderr || toml_get(n, "regex"),
	     pointer = toml_get(n, "pointer");
	if (on_stderr && toml_get(n, "regex"))
		file_complain(r, n->line, n->col, "a rule has either regex or stderr");
	else if (regex && (pointer || toml_get(n, "match")))
		file_complain(r, n->line, n->col, "a rule with %s has neither match nor pointer",
			      on_stderr ? "stderr" : "regex");
	else if (counts && pointer && !is_metric(toml_get(n, "field")))
		file_complain(r, n->line, n->col, "how = \"count\" has no pointer");
	else if (!counts && !regex && !pointer)
		file_complain(r, n->line, n->col,
			      "a rule needs pointer or regex, or how = \"count\"");
}

static void check_rules(const struct reader *r, const struct toml_node *n, const char *name)
{
	if (!file_expect(r, n, TOML_ARRAY, name))
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
	bool on_stderr = toml_get(rule, "stderr"); /* in any format */
	if (is_text && !regex && !on_stderr)
		file_complain(r, rule->line, rule->col,
			      "a rule for format = \"text\" needs a regex");
	else if (!is_text && regex)
		file_complain(r, rule->line, rule->col, "regex is for format = \"text\" only");
	if (has_text(rule, "field", words) && has_text(rule, "how", sums))
		file_complain(r, rule->line, rule->col,
			      "field = \"%s\" is a text: only how = \"last\" or \"add\" will do",
			      toml_get(rule, "field")->text);
}

void file_output(const struct reader *r, const struct toml_node *n, const char *name)
{
	static const char *const structured[] = {"json", "jsonl", NULL};
	if (!file_expect(r, n, TOML_TABLE, name))
		return;
	file_members(r, n, output_members, "[output]");
	const struct toml_node *rules = toml_get(n, "rules");
	for (size_t i = 0; rules && rules->kind == TOML_ARRAY && i < rules->n; i++)
		if (rules->items[i].kind == TOML_TABLE)
			check_fit(r, &rules->items[i], !has_text(n, "format", structured));
}
