/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/agent-output.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "agent/agent-rule.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/strv.h"
#include "base/text.h"

enum { TEXT_LINE_BYTES = 64 << 10, TEXT_VALUE_BYTES = 1024 };

struct agent_output {
	enum agent_format format;
	struct agent_rule *rules;
	size_t rules_n;
	struct strv marks; /* a line that holds none of these words concerns no rule */
	bool read_all;	   /* some rule has no such word */
	struct buf line;
	int64_t lines; /* so far */
	bool overflow; /* the current line is too long: wait for its end */
	double number[F_FIRST_TEXT];
	bool known[F_FIRST_TEXT];
	struct buf text[F_COUNT_ - F_FIRST_TEXT];
	struct agent_counted counted[AGENT_COUNTED_MAX]; /* of F_METRIC */
	size_t counted_n;
};

/* With "add", lines that follow each other hold pieces of one text. */
static bool goes_on(const struct agent_output *o, const struct agent_rule *r)
{
	return r->how == HOW_ADD && r->line && r->line == o->lines - 1;
}

static void set_text(struct agent_output *o, const struct agent_rule *r,
		     const struct agent_value *v)
{
	struct buf *b = &o->text[r->field - F_FIRST_TEXT];
	size_t n = v->text_len;

	if (r->field == F_SETUP_ERROR && b->len)
		return;
	if (!v->found) {
		if (r->field == F_ERROR)
			buf_reset(b);
		return;
	}
	if (!goes_on(o, r))
		buf_reset(b);
	if (b->len + n >= TEXT_VALUE_BYTES)
		n = v->text ? text_cut(v->text, TEXT_VALUE_BYTES - 1 - b->len) : 0;
	if (v->text)
		buf_add(b, v->text, n);
	else
		buf_addf(b, "%.15g", v->number);
}

/* Where the number of a rule's field is kept; NULL: there is no room for one more name. */
static double *place_of(struct agent_output *o, const struct agent_rule *r, bool **known)
{
	size_t i = 0;

	if (r->field != F_METRIC) {
		*known = &o->known[r->field];
		return &o->number[r->field];
	}
	while (i < o->counted_n && strcmp(o->counted[i].name, r->metric) != 0)
		i++;
	if (i == AGENT_COUNTED_MAX)
		return NULL;
	if (i == o->counted_n)
		snprintf(o->counted[o->counted_n++].name, sizeof o->counted[i].name, "%s",
			 r->metric);
	*known = &o->counted[i].known;
	return &o->counted[i].value;
}

static void set_number(struct agent_output *o, const struct agent_rule *r, double n)
{
	bool *known = NULL;
	double *now = place_of(o, r, &known);

	/* A wild number is no measurement; nor may it spoil the sum of the true ones. */
	if (!now || !isfinite(n) || n < 0 || n > 1e15)
		return;
	if (!*known || r->how == HOW_LAST)
		*now = n;
	else if (r->how == HOW_MAX)
		*now = n > *now ? n : *now;
	else if (*now + n <= 1e15)
		*now += n;
	*known = true;
}

static void apply(struct agent_output *o, struct agent_rule *r, const struct agent_value *v)
{
	if (agent_field_is_text(r->field))
		set_text(o, r, v);
	else if (v->found)
		set_number(o, r, v->number);
	r->line = o->lines;
}

static void read_json(struct agent_output *o, const char *text, size_t len)
{
	AUTO(json) json_t *doc = json_foreign(text, len);

	for (size_t i = 0; doc && i < o->rules_n; i++) {
		struct agent_value v;

		if (!o->rules[i].of_stderr && agent_rule_json(&o->rules[i], doc, &v))
			apply(o, &o->rules[i], &v);
	}
}

static void read_text(struct agent_output *o, const char *line, bool of_stderr)
{
	for (size_t i = 0; i < o->rules_n; i++) {
		struct agent_value v;

		if (o->rules[i].of_stderr == of_stderr && agent_rule_text(&o->rules[i], line, &v))
			apply(o, &o->rules[i], &v);
	}
}

void agent_output_stderr(struct agent_output *o, const char *text)
{
	for (const char *end; *text; text = end + (*end == '\n')) {
		end = strchrnul(text, '\n');
		AUTO(free) char *line = xstrndup(text, (size_t)(end - text));
		read_text(o, line, true);
	}
}

/* Some agents repeat a growing message with every word of it: looking for a word is thirty times
 * faster than parsing. */
static bool concerns_rules(const struct agent_output *o)
{
	for (size_t i = 0; i < o->marks.n; i++)
		if (memmem(o->line.data, o->line.len, o->marks.v[i], strlen(o->marks.v[i])))
			return true;
	return o->read_all;
}

static void end_line(struct agent_output *o)
{
	o->lines++;
	if (!o->overflow && o->format == FORMAT_TEXT)
		read_text(o, o->line.data, false);
	else if (!o->overflow && o->line.data[0] == '{' && concerns_rules(o))
		read_json(o, o->line.data, o->line.len);
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

static int64_t whole(const struct agent_output *o, enum agent_field f)
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

/* What is counted is 0 until something is; what was never seen otherwise is not known. */
static void finish_counted(const struct agent_output *o, struct agent_record *out)
{
	for (size_t i = 0; i < o->counted_n; i++)
		if (o->counted[i].known)
			out->counted[out->counted_n++] = o->counted[i];
}

const char *agent_output_text(const struct agent_output *o, enum agent_said what)
{
	static const enum agent_field fields[] = {F_ERROR, F_SETUP_ERROR, F_LIMIT};
	const struct buf *b = &o->text[fields[what] - F_FIRST_TEXT];

	return b->len ? b->data : NULL;
}

void agent_output_finish(struct agent_output *o, struct agent_record *out)
{
	struct agent_metrics *m = &out->metrics;

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
	copy_field(out->version, sizeof out->version, &o->text[F_VERSION - F_FIRST_TEXT]);
	finish_counted(o, out);
}

static int add_rule(struct agent_output *o, const json_t *j, struct err *err)
{
	struct agent_rule *r = &o->rules[o->rules_n];
	const char *wrong = agent_rule_compile(r, j, o->format);

	if (wrong)
		return err_set(err, ERR_USAGE, 0, "output.rules[%zu]: %s", o->rules_n, wrong);
	o->rules_n++;
	bool *known;
	if (r->field == F_METRIC && r->how == HOW_COUNT && place_of(o, r, &known))
		*known = true;
	if (!r->of_stderr && !agent_rule_marks(r, &o->marks))
		o->read_all = true;
	return 0;
}

int agent_output_new(struct agent_output **out, const json_t *spec, struct err *err)
{
	const json_t *rules = json_object_get(spec, "rules");
	const char *name = json_get_str(spec, "format", "text");
	enum agent_format format;
	struct agent_output *o;
	size_t i;
	json_t *j;

	if (!agent_format_parse(name, &format))
		return err_set(err, ERR_USAGE, 0,
			       "output.format \"%.40s\" is none of text, jsonl, json", name);
	o = xcalloc(1, sizeof *o);
	*o = (struct agent_output){.format = format, .marks = STRV_INIT, .line = BUF_INIT};
	for (i = 0; i < ARRAY_SIZE(o->text); i++)
		o->text[i] = (struct buf)BUF_INIT;
	o->rules = xcalloc(json_array_size(rules) + 1, sizeof *o->rules);
	json_array_foreach (rules, i, j)
		if (add_rule(o, j, err)) {
			agent_output_free(o);
			return -1;
		}
	*out = o;
	return 0;
}

void agent_output_free(struct agent_output *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->rules_n; i++)
		agent_rule_release(&o->rules[i]);
	for (size_t i = 0; i < ARRAY_SIZE(o->text); i++)
		buf_release(&o->text[i]);
	buf_release(&o->line);
	strv_release(&o->marks);
	free(o->rules);
	free(o);
}
