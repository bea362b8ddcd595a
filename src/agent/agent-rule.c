/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/agent-rule.h"
#include "agent/json-pointer.h"
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"

static const char *const format_names[] = {"text", "jsonl", "json"};
static const char *const how_names[] = {"last", "add", "max", "count"};
static const char *const field_names[] = {
	"tokens_input", "tokens_cached", "tokens_output", "tokens_total", "tool_calls",	 "turns",
	"money_usd",	"final_message", "version",	  "error",	  "setup_error", "limit",
};
static const char metric_prefix[] = "metrics.";

static bool find_name(const char *name, const char *const *names, size_t n, unsigned *out)
{
	for (size_t i = 0; name && i < n; i++)
		if (strcmp(name, names[i]) == 0) {
			*out = (unsigned)i;
			return true;
		}
	return false;
}

static bool is_pointer(const json_t *v)
{
	size_t i;
	json_t *p;

	json_array_foreach (v, i, p)
		if (!json_is_string(p))
			return false;
	return json_is_string(v) || json_array_size(v) > 0;
}

bool agent_format_parse(const char *name, enum agent_format *out)
{
	unsigned found;

	if (!find_name(name, format_names, ARRAY_SIZE(format_names), &found))
		return false;
	*out = (enum agent_format)found;
	return true;
}

const char *agent_rule_compile(struct agent_rule *r, const json_t *j, enum agent_format format)
{
	const char *on_stderr = json_get_str(j, "stderr", NULL),
		   *regex = on_stderr ? on_stderr : json_get_str(j, "regex", NULL);
	unsigned field = 0, how = HOW_LAST;

	*r = (struct agent_rule){.of_stderr = on_stderr};
	if (on_stderr)
		format = FORMAT_TEXT;
	r->match = json_object_get(j, "match");
	r->pointer = json_object_get(j, "pointer");
	const char *name = json_get_str(j, "field", "");
	if (!strncmp(name, metric_prefix, sizeof metric_prefix - 1) &&
	    name[sizeof metric_prefix - 1]) {
		field = F_METRIC;
		r->metric = name + sizeof metric_prefix - 1;
	} else if (!find_name(name, field_names, ARRAY_SIZE(field_names), &field)) {
		return "field is not one that can be read";
	}
	if (!find_name(json_get_str(j, "how", "last"), how_names, ARRAY_SIZE(how_names), &how))
		return "how is none of last, add, max, count";
	r->field = (enum agent_field)field;
	r->how = (enum agent_how)how;
	if (agent_field_is_text(r->field) && r->how != HOW_LAST && r->how != HOW_ADD)
		return "a text can only be read with how = \"last\" or \"add\"";
	if (format == FORMAT_TEXT ? !regex || r->match || r->pointer : regex != NULL)
		return "text is read by regex, jsonl and json by match and pointer";
	if (format != FORMAT_TEXT &&
	    (r->how == HOW_COUNT ? r->pointer != NULL && !r->metric : !is_pointer(r->pointer)))
		return "needs a pointer (or how = \"count\" and none)";
	if (r->match && !json_is_object(r->match))
		return "match is not a table";
	if (regex) {
		if (regcomp(&r->regex, regex, REG_EXTENDED) != 0)
			return "regex is no POSIX extended regular expression";
		r->has_regex = true;
	}
	return NULL;
}

void agent_rule_release(struct agent_rule *r)
{
	if (r->has_regex)
		regfree(&r->regex);
	r->has_regex = false;
}

/* "12,345" and "0.25" from "$0.25": people's numbers. */
static bool parse_number(const char *s, size_t len, double *out)
{
	char plain[64], *end;
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < sizeof plain; i++)
		if (s[i] != ',' && s[i] != '_' && s[i] != '$' && s[i] != ' ')
			plain[n++] = s[i];
	plain[n] = '\0';
	*out = strtod(plain, &end);
	return n > 0 && end == plain + n;
}

static void take_text(struct agent_value *v, const char *s, size_t len)
{
	double number;

	v->found = true;
	v->text = s;
	v->text_len = len;
	if (parse_number(s, len, &number))
		v->number += number;
}

static void count_json(void *arg, const json_t *j)
{
	struct agent_value *v = arg;

	v->found = true;
	v->number++;
}

static void take_json(void *arg, const json_t *j)
{
	struct agent_value *v = arg;

	if (json_is_string(j)) {
		take_text(v, json_string_value(j), json_string_length(j));
	} else if (json_is_number(j)) {
		v->found = true;
		v->number += json_number_value(j);
	}
}

struct hits {
	const json_t *wanted;
	size_t n;
};

static void count_hit(void *arg, const json_t *j)
{
	struct hits *h = arg;
	size_t i;
	json_t *w;

	if (!json_is_array(h->wanted)) {
		h->n += json_equal(h->wanted, j);
		return;
	}
	json_array_foreach (h->wanted, i, w)
		if (json_equal(w, j)) {
			h->n++;
			return;
		}
}

/* How often the rule holds: 0 when some pointer finds none of its values; with a "*" it may be
 * many. */
static size_t match_count(const struct agent_rule *r, const json_t *doc)
{
	size_t most = 1;
	const char *pointer;
	json_t *wanted;

	json_object_foreach ((json_t *)r->match, pointer, wanted) {
		struct hits h = {.wanted = wanted};

		json_pointer_walk(doc, pointer, count_hit, &h);
		if (!h.n)
			return 0;
		if (h.n > most)
			most = h.n;
	}
	return most;
}

/* A walk in which only those elements count that the match names as well. */
struct chosen {
	const struct agent_rule *rule;
	const char *pointer;
	size_t prefix; /* bytes up to its first "*", that included */
	void (*take)(void *arg, const json_t *j);
	void *arg;
};

/* The bytes of POINTER up to its first "*", that included; 0: it has none. */
static size_t star_prefix(const char *pointer)
{
	const char *at = pointer;

	while ((at = strstr(at, "/*")) && at[2] && at[2] != '/')
		at++;
	return at ? (size_t)(at - pointer) + 2 : 0;
}

static bool is_shared(const struct chosen *c, const char *pointer)
{
	return star_prefix(pointer) == c->prefix && !strncmp(pointer, c->pointer, c->prefix);
}

static void take_chosen(void *arg, const json_t *element)
{
	const struct chosen *c = arg;
	const char *pointer;
	json_t *wanted;

	json_object_foreach ((json_t *)c->rule->match, pointer, wanted) {
		struct hits h = {.wanted = wanted};
		if (!is_shared(c, pointer))
			continue;
		json_pointer_walk(element, pointer + c->prefix, count_hit, &h);
		if (!h.n)
			return;
	}
	json_pointer_walk(element, c->pointer + c->prefix, c->take, c->arg);
}

/* Where the match says something of the elements of a list, a value is looked for in those of which it holds. */
static void walk(const struct agent_rule *r, const json_t *doc, const char *pointer,
		 void (*take)(void *arg, const json_t *j), void *arg)
{
	struct chosen c = {r, pointer, star_prefix(pointer), take, arg};
	const char *key;
	json_t *wanted;
	bool shared = false;

	json_object_foreach ((json_t *)r->match, key, wanted)
		shared = shared || (c.prefix && is_shared(&c, key));
	if (!shared) {
		json_pointer_walk(doc, pointer, take, arg);
		return;
	}
	char *prefix = xstrndup(pointer, c.prefix);
	json_pointer_walk(doc, prefix, take_chosen, &c);
	free(prefix);
}

bool agent_rule_json(const struct agent_rule *r, const json_t *doc, struct agent_value *out)
{
	struct agent_value v = {0};
	size_t n = match_count(r, doc), i;
	json_t *p;

	if (!n)
		return false;
	/* With a pointer it counts what is there, else how often it holds. */
	void (*take)(void *, const json_t *) = r->how == HOW_COUNT ? count_json : take_json;
	if (r->how == HOW_COUNT && !r->pointer)
		v = (struct agent_value){.found = true, .number = (double)n};
	else if (json_is_string(r->pointer))
		walk(r, doc, json_string_value(r->pointer), take, &v);
	json_array_foreach (r->pointer, i, p)
		walk(r, doc, json_string_value(p), take, &v);
	v.found = v.found || r->how == HOW_COUNT;
	*out = v;
	return true;
}

bool agent_rule_text(const struct agent_rule *r, const char *line, struct agent_value *out)
{
	struct agent_value v = {0};
	regmatch_t m[2];
	const regmatch_t *use;

	if (!r->has_regex || regexec(&r->regex, line, 2, m, 0) != 0)
		return false;
	use = m[1].rm_so >= 0 ? &m[1] : &m[0];
	if (r->how == HOW_COUNT)
		v = (struct agent_value){.found = true, .number = 1};
	else
		take_text(&v, line + use->rm_so, (size_t)(use->rm_eo - use->rm_so));
	if (!agent_field_is_text(r->field) && r->how != HOW_COUNT)
		v.found = parse_number(v.text, v.text_len, &v.number);
	*out = v;
	return true;
}

/* Plain ASCII words look the same in any JSON text that a program would write. */
static bool is_mark(const json_t *v)
{
	const char *s = json_string_value(v);

	return s && *s &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
		       strlen(s);
}

static bool are_marks(const json_t *v)
{
	size_t i;
	json_t *item;

	json_array_foreach (v, i, item)
		if (!is_mark(item))
			return false;
	return is_mark(v) || json_array_size(v) > 0;
}

bool agent_rule_marks(const struct agent_rule *r, struct strv *marks)
{
	const char *pointer;
	json_t *wanted, *item;
	size_t i;

	json_object_foreach ((json_t *)r->match, pointer, wanted) {
		if (!are_marks(wanted))
			continue;
		if (json_is_string(wanted))
			strv_push(marks, json_string_value(wanted));
		json_array_foreach (wanted, i, item)
			strv_push(marks, json_string_value(item));
		return true;
	}
	return false;
}
