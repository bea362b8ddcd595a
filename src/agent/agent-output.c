/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/agent-output.h"
#include <math.h>
#include <regex.h>
#include "agent/json-pointer.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

enum { TEXT_LINE_BYTES = 64 << 10, TEXT_VALUE_BYTES = 1024 };

enum how { HOW_LAST, HOW_ADD, HOW_MAX, HOW_COUNT };
static const char *const how_names[] = {"last", "add", "max", "count"};

enum format { FORMAT_TEXT, FORMAT_JSONL, FORMAT_JSON };
static const char *const format_names[] = {"text", "jsonl", "json"};

/* Numbers first, then texts. */
enum field {
	F_TOKENS_INPUT,
	F_TOKENS_CACHED,
	F_TOKENS_OUTPUT,
	F_TOKENS_TOTAL,
	F_TOOL_CALLS,
	F_TURNS,
	F_MONEY_USD,
	F_FINAL_MESSAGE,
	F_VERSION,
	F_ERROR,
	F_COUNT_
};
static const char *const field_names[] = {
	"tokens_input", "tokens_cached", "tokens_output", "tokens_total", "tool_calls",
	"turns",	"money_usd",	 "final_message", "version",	  "error",
};

struct rule {
	const json_t *match;   /* object or NULL */
	const json_t *pointer; /* string, array of strings, or NULL */
	regex_t regex;
	bool has_regex;
	enum field field;
	enum how how;
};

struct agent_output {
	enum format format;
	struct rule *rules;
	size_t rules_n;
	struct buf line;
	bool overflow; /* the current line is too long: wait for its end */
	double number[F_FINAL_MESSAGE];
	bool known[F_FINAL_MESSAGE];
	struct buf text[F_COUNT_ - F_FINAL_MESSAGE];
};

static bool is_text(enum field f)
{
	return f >= F_FINAL_MESSAGE;
}

/* --- what one match tells
 * -------------------------------------------------------------------------- */

struct value {
	bool found;
	double number;
	const char *text; /* borrowed */
	size_t text_len;
};

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

static void take_text(struct value *v, const char *s, size_t len)
{
	double number;

	v->found = true;
	v->text = s;
	v->text_len = len;
	if (parse_number(s, len, &number))
		v->number += number;
}

static void take_json(void *arg, const json_t *j)
{
	struct value *v = arg;

	if (json_is_string(j)) {
		take_text(v, json_string_value(j), json_string_length(j));
	} else if (json_is_number(j)) {
		v->found = true;
		v->number += json_number_value(j);
	}
}

static void set_text(struct agent_output *o, enum field f, const struct value *v)
{
	struct buf *b = &o->text[f - F_FINAL_MESSAGE];
	size_t n = v->text_len;

	if (!v->found) {
		if (f == F_ERROR)
			buf_reset(b);
		return;
	}
	if (n >= TEXT_VALUE_BYTES)
		n = text_cut(v->text, TEXT_VALUE_BYTES - 1);
	buf_reset(b);
	if (v->text)
		buf_add(b, v->text, n);
	else
		buf_addf(b, "%.15g", v->number);
}

static void set_number(struct agent_output *o, const struct rule *r, double n)
{
	double *now = &o->number[r->field];

	/* A wild number is no measurement; nor may it spoil the sum of the true ones. */
	if (!isfinite(n) || n < 0 || n > 1e15)
		return;
	if (!o->known[r->field] || r->how == HOW_LAST)
		*now = n;
	else if (r->how == HOW_MAX)
		*now = n > *now ? n : *now;
	else if (*now + n <= 1e15)
		*now += n;
	o->known[r->field] = true;
}

static void apply(struct agent_output *o, const struct rule *r, const struct value *v)
{
	if (is_text(r->field))
		set_text(o, r->field, v);
	else if (v->found)
		set_number(o, r, v->number);
}

/* --- rules on JSON
 * --------------------------------------------------------------------------------- */

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
static size_t match_count(const struct rule *r, const json_t *doc)
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

static void try_json_rule(struct agent_output *o, const struct rule *r, const json_t *doc)
{
	struct value v = {0};
	size_t n = match_count(r, doc), i;
	json_t *p;

	if (!n)
		return;
	if (r->how == HOW_COUNT)
		v = (struct value){.found = true, .number = (double)n};
	else if (json_is_string(r->pointer))
		json_pointer_walk(doc, json_string_value(r->pointer), take_json, &v);
	json_array_foreach (r->pointer, i, p)
		json_pointer_walk(doc, json_string_value(p), take_json, &v);
	apply(o, r, &v);
}

static void read_json(struct agent_output *o, const char *text, size_t len)
{
	AUTO(json) json_t *doc = json_loadb(text, len, JSON_ALLOW_NUL, NULL);

	for (size_t i = 0; doc && i < o->rules_n; i++)
		try_json_rule(o, &o->rules[i], doc);
}

/* --- rules on text
 * --------------------------------------------------------------------------------- */

static void try_text_rule(struct agent_output *o, const struct rule *r, const char *line)
{
	struct value v = {0};
	regmatch_t m[2];
	const regmatch_t *use;

	if (!r->has_regex || regexec(&r->regex, line, 2, m, 0) != 0)
		return;
	use = m[1].rm_so >= 0 ? &m[1] : &m[0];
	if (r->how == HOW_COUNT)
		v = (struct value){.found = true, .number = 1};
	else
		take_text(&v, line + use->rm_so, (size_t)(use->rm_eo - use->rm_so));
	if (!is_text(r->field) && r->how != HOW_COUNT && v.found)
		v.found = parse_number(v.text, v.text_len, &v.number);
	apply(o, r, &v);
}

/* --- lines
 * ----------------------------------------------------------------------------------------- */

static void end_line(struct agent_output *o)
{
	bool whole = !o->overflow;

	if (whole && o->format == FORMAT_JSONL && o->line.len && o->line.data[0] == '{')
		read_json(o, o->line.data, o->line.len);
	for (size_t i = 0; whole && o->format == FORMAT_TEXT && i < o->rules_n; i++)
		try_text_rule(o, &o->rules[i], o->line.data);
	o->overflow = false;
	if (o->line.cap > TEXT_LINE_BYTES)
		buf_release(&o->line);
	else
		buf_reset(&o->line);
}

static void add_bytes(struct agent_output *o, const char *data, size_t n)
{
	size_t max = o->format == FORMAT_TEXT ? TEXT_LINE_BYTES : AGENT_LINE_BYTES;

	if (o->overflow || o->line.len + n > max) {
		o->overflow = true;
		return;
	}
	buf_add(&o->line, data, n);
}

void agent_output_add(struct agent_output *o, const char *data, size_t n)
{
	if (!o->rules_n)
		return;
	if (o->format == FORMAT_JSON) {
		add_bytes(o, data, n);
		return;
	}
	while (n) {
		const char *nl = memchr(data, '\n', n);
		size_t part = nl ? (size_t)(nl - data) : n;

		add_bytes(o, data, part);
		if (!nl)
			return;
		end_line(o);
		data += part + 1;
		n -= part + 1;
	}
}

/* A tool may greet before its document: it starts at the first line that begins with a brace. */
static void read_document(struct agent_output *o)
{
	const char *p = o->line.data;

	if (o->overflow)
		return;
	if (*p != '{') {
		p = strstr(p, "\n{");
		p = p ? p + 1 : NULL;
	}
	if (p)
		read_json(o, p, o->line.len - (size_t)(p - o->line.data));
}

/* --- results
 * --------------------------------------------------------------------------------------- */

static int64_t whole(const struct agent_output *o, enum field f)
{
	return o->known[f] ? (int64_t)o->number[f] : -1;
}

static void copy_field(char *to, size_t size, const struct buf *from)
{
	size_t n = from->len < size ? from->len : text_cut(from->data, size - 1);

	if (!from->len)
		return;
	memcpy(to, from->data, n);
	to[n] = '\0';
}

const char *agent_output_finish(struct agent_output *o, struct agent_record *out)
{
	struct agent_metrics *m = &out->metrics;
	const struct buf *error = &o->text[F_ERROR - F_FINAL_MESSAGE];

	if (o->format == FORMAT_JSON)
		read_document(o);
	else if (o->line.len)
		end_line(o);
	m->tokens_input = whole(o, F_TOKENS_INPUT);
	m->tokens_cached = whole(o, F_TOKENS_CACHED);
	m->tokens_output = whole(o, F_TOKENS_OUTPUT);
	m->tokens_total = whole(o, F_TOKENS_TOTAL);
	if (m->tokens_total < 0 && m->tokens_input >= 0 && m->tokens_output >= 0)
		m->tokens_total = m->tokens_input + m->tokens_output;
	m->tool_calls = whole(o, F_TOOL_CALLS);
	m->turns = whole(o, F_TURNS);
	m->money_usd = o->known[F_MONEY_USD] ? o->number[F_MONEY_USD] : -1;
	copy_field(out->final_message, sizeof out->final_message, &o->text[0]);
	copy_field(out->version, sizeof out->version, &o->text[F_VERSION - F_FINAL_MESSAGE]);
	return error->len ? error->data : NULL;
}

/* --- the rules of a file
 * --------------------------------------------------------------------------- */

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

/* What a rule says, as a complaint or NULL. */
static const char *compile_rule(struct rule *r, const json_t *j, enum format format)
{
	const char *regex = json_get_str(j, "regex", NULL);
	unsigned field = 0, how = HOW_LAST;

	r->match = json_object_get(j, "match");
	r->pointer = json_object_get(j, "pointer");
	if (!find_name(json_get_str(j, "field", NULL), field_names, ARRAY_SIZE(field_names),
		       &field))
		return "field is not one that can be read";
	if (!find_name(json_get_str(j, "how", "last"), how_names, ARRAY_SIZE(how_names), &how))
		return "how is none of last, add, max, count";
	r->field = (enum field)field;
	r->how = (enum how)how;
	if (is_text(r->field) && r->how != HOW_LAST)
		return "a text can only be read with how = \"last\"";
	if (format == FORMAT_TEXT ? !regex || r->match || r->pointer : regex != NULL)
		return "text is read by regex, jsonl and json by match and pointer";
	if (format != FORMAT_TEXT &&
	    (r->how == HOW_COUNT ? r->pointer != NULL : !is_pointer(r->pointer)))
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

int agent_output_new(struct agent_output **out, const json_t *spec, struct err *err)
{
	const json_t *rules = json_object_get(spec, "rules");
	const char *name = json_get_str(spec, "format", "text");
	struct agent_output *o;
	unsigned format;
	size_t i;
	json_t *j;

	if (!find_name(name, format_names, ARRAY_SIZE(format_names), &format))
		return err_set(err, ERR_USAGE, 0,
			       "output.format \"%.40s\" is none of text, jsonl, json", name);
	o = xcalloc(1, sizeof *o);
	*o = (struct agent_output){.format = (enum format)format, .line = BUF_INIT};
	for (i = 0; i < ARRAY_SIZE(o->text); i++)
		o->text[i] = (struct buf)BUF_INIT;
	o->rules = xcalloc(json_array_size(rules) + 1, sizeof *o->rules);
	json_array_foreach (rules, i, j) {
		const char *wrong = compile_rule(&o->rules[i], j, o->format);

		if (wrong) {
			agent_output_free(o);
			return err_set(err, ERR_USAGE, 0, "output.rules[%zu]: %s", i, wrong);
		}
		o->rules_n++;
	}
	*out = o;
	return 0;
}

void agent_output_free(struct agent_output *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->rules_n; i++)
		if (o->rules[i].has_regex)
			regfree(&o->rules[i].regex);
	for (size_t i = 0; i < ARRAY_SIZE(o->text); i++)
		buf_release(&o->text[i]);
	buf_release(&o->line);
	free(o->rules);
	free(o);
}
