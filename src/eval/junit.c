/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/junit.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

enum {
	DEPTH_MAX = 32,
	ATTRIBUTES_MAX = 32,
	PASSED_MAX = 200, /* cases that are listed */
	OTHERS_MAX = 500,
	NAME_BYTES = 300,
	MESSAGE_BYTES = 1000,
};

struct span {
	const char *at;
	size_t n;
};

struct attribute {
	struct span name, value;
};

struct tag {
	struct span name;
	bool opens, closes; /* both: <name/> */
	struct attribute attributes[ATTRIBUTES_MAX];
	size_t attributes_n;
};

/* The test case that is open, as far as it is told. */
struct open_case {
	bool open;
	struct buf name, message;
	double seconds;
	enum { PASSED, SKIPPED, FAILED, BROKEN } outcome;
};

struct parser {
	const char *p, *end;
	struct span open[DEPTH_MAX]; /* elements */
	size_t depth;
	bool began, ended; /* the root element */
	struct open_case now;
	struct junit *out;
	json_t *passed; /* the cases that go last */
};

static bool span_is(struct span s, const char *word)
{
	return s.n == strlen(word) && memcmp(s.at, word, s.n) == 0;
}

static bool same_span(struct span a, struct span b)
{
	return a.n == b.n && memcmp(a.at, b.at, a.n) == 0;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || strchr("_-.:", c) || (unsigned char)c >= 0x80;
}

static void skip_space(struct parser *p)
{
	while (p->p < p->end && isspace((unsigned char)*p->p))
		p->p++;
}

static bool starts_with(const struct parser *p, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(p->end - p->p) >= n && memcmp(p->p, word, n) == 0;
}

/* Go behind the next WORD. */
static bool skip_past(struct parser *p, const char *word)
{
	const char *at = memmem(p->p, (size_t)(p->end - p->p), word, strlen(word));

	if (at)
		p->p = at + strlen(word);
	return at;
}

static bool take_name(struct parser *p, struct span *out)
{
	out->at = p->p;
	while (p->p < p->end && *p->p && is_name(*p->p))
		p->p++;
	out->n = (size_t)(p->p - out->at);
	return out->n > 0;
}

static bool take_attribute(struct parser *p, struct tag *t)
{
	struct attribute a;

	if (!take_name(p, &a.name))
		return false;
	skip_space(p);
	if (p->p == p->end || *p->p++ != '=')
		return false;
	skip_space(p);
	if (p->p == p->end || (*p->p != '"' && *p->p != '\''))
		return false;
	char quote = *p->p++;
	const char *close = memchr(p->p, quote, (size_t)(p->end - p->p));
	if (!close)
		return false;
	a.value = (struct span){p->p, (size_t)(close - p->p)};
	p->p = close + 1;
	if (t->attributes_n < ATTRIBUTES_MAX)
		t->attributes[t->attributes_n++] = a;
	return true;
}

/* Behind "<". */
static bool take_tag(struct parser *p, struct tag *t)
{
	*t = (struct tag){.opens = true};
	if (p->p < p->end && *p->p == '/') {
		p->p++;
		t->opens = false;
		t->closes = true;
	}
	if (!take_name(p, &t->name))
		return false;
	for (skip_space(p); p->p < p->end; skip_space(p)) {
		if (*p->p == '>') {
			p->p++;
			return true;
		}
		if (t->opens && starts_with(p, "/>")) {
			p->p += 2;
			t->closes = true;
			return true;
		}
		if (!t->opens || !take_attribute(p, t))
			return false;
	}
	return false;
}

/* One entity behind "&", whose end is at SEMICOLON: 0 for an unknown one. */
static unsigned entity(const char *at, const char *semicolon)
{
	static const struct {
		const char *name;
		char c;
	} named[] = {{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}};
	struct span s = {at, (size_t)(semicolon - at)};
	char digits[9] = "";

	for (size_t i = 0; i < ARRAY_SIZE(named); i++)
		if (span_is(s, named[i].name))
			return (unsigned char)named[i].c;
	bool hex = s.n > 2 && (at[1] == 'x' || at[1] == 'X');
	size_t skip = hex ? 2 : 1;
	if (s.n <= skip || *at != '#' || s.n - skip >= sizeof digits)
		return 0;
	memcpy(digits, at + skip, s.n - skip);
	return (unsigned)strtoul(digits, NULL, hex ? 16 : 10);
}

static void add_character(struct buf *out, unsigned c)
{
	if (c < 0x80) {
		buf_addc(out, (char)c);
	} else if (c < 0x800) {
		buf_addc(out, (char)(0xc0 | c >> 6));
		buf_addc(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_addc(out, (char)(0xe0 | c >> 12));
		buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_addc(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x110000) {
		buf_addc(out, (char)(0xf0 | c >> 18));
		buf_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_addc(out, (char)(0x80 | (c & 0x3f)));
	}
}

/* Append what S says, at most MAX bytes of it, harmless and on one line. */
static void add_value(struct buf *out, struct span s, size_t max)
{
	AUTO(buf) struct buf plain = BUF_INIT;

	for (size_t i = 0; i < s.n && plain.len < max; i++) {
		const char *semicolon =
			s.at[i] == '&' ? memchr(s.at + i, ';', s.n - i < 12 ? s.n - i : 12) : NULL;
		unsigned c = semicolon ? entity(s.at + i + 1, semicolon) : 0;
		if (!c) {
			buf_addc(&plain, s.at[i]);
			continue;
		}
		add_character(&plain, c);
		i = (size_t)(semicolon - s.at);
	}
	if (plain.len)
		text_render(out, plain.data,
			    text_cut(plain.data, plain.len < max ? plain.len : max),
			    TEXT_TERMINAL_LINE);
}

static struct span attribute(const struct tag *t, const char *name)
{
	for (size_t i = 0; i < t->attributes_n; i++)
		if (span_is(t->attributes[i].name, name))
			return t->attributes[i].value;
	return (struct span){0};
}

static double seconds(struct span s)
{
	char text[32] = "";

	if (s.n && s.n < sizeof text)
		memcpy(text, s.at, s.n);
	char *end;
	double n = strtod(text, &end);
	return end > text && !*end && n >= 0 && isfinite(n) ? n : -1;
}

static void begin_case(struct parser *p, const struct tag *t)
{
	struct span class = attribute(t, "classname");

	buf_reset(&p->now.name);
	buf_reset(&p->now.message);
	if (class.n) {
		add_value(&p->now.name, class, NAME_BYTES);
		buf_adds(&p->now.name, "::");
	}
	add_value(&p->now.name, attribute(t, "name"), NAME_BYTES);
	p->now.seconds = seconds(attribute(t, "time"));
	p->now.outcome = PASSED;
	p->now.open = true;
}

/* Of several, the worst is the case's. */
static void take_outcome(struct parser *p, const struct tag *t)
{
	int outcome = span_is(t->name, "error")	    ? BROKEN
		      : span_is(t->name, "failure") ? FAILED
		      : span_is(t->name, "skipped") ? SKIPPED
						    : PASSED;

	if (!p->now.open || outcome <= (int)p->now.outcome)
		return;
	p->now.outcome = outcome;
	p->out->xfailed += outcome == SKIPPED && span_is(attribute(t, "type"), "pytest.xfail");
	buf_reset(&p->now.message);
	add_value(&p->now.message, attribute(t, "message"), MESSAGE_BYTES);
}

static void list_case(struct parser *p, const char *outcome)
{
	bool passed = p->now.outcome == PASSED;
	json_t *list = passed ? p->passed : p->out->cases;

	if (json_array_size(list) >= (passed ? PASSED_MAX : OTHERS_MAX)) {
		p->out->left_out++;
		return;
	}
	json_t *j = json_object();
	json_put_strn(j, "name", p->now.name.data ? p->now.name.data : "", p->now.name.len);
	json_put_str(j, "outcome", outcome);
	json_put_strn(j, "message", p->now.message.data ? p->now.message.data : "",
		      p->now.message.len);
	json_put(j, "duration_sec", p->now.seconds < 0 ? json_null() : json_real(p->now.seconds));
	json_array_append_new(list, j);
}

static void end_case(struct parser *p)
{
	static const char *const names[] = {"passed", "skipped", "failed", "error"};
	struct junit *out = p->out;
	int *const counts[] = {&out->passed, &out->skipped, &out->failed, &out->errors};

	++*counts[p->now.outcome];
	list_case(p, names[p->now.outcome]);
	p->now.open = false;
}

/* "FILE:LINE: REASON" is what pytest writes inside of <skipped>. */
static void take_place(struct parser *p)
{
	enum { PLACES = 50, PATH_BYTES = 500 };
	AUTO(buf) struct buf text = BUF_INIT;
	const char *end = memchr(p->p, '<', (size_t)(p->end - p->p));

	if (!end || p->out->skipped_in.n == PLACES)
		return;
	add_value(&text, (struct span){p->p, (size_t)(end - p->p)}, PATH_BYTES);
	char *colon = text.len ? strchr(text.data, ':') : NULL;
	if (!colon || !isdigit((unsigned char)colon[1]))
		return;
	*colon = '\0';
	if (!strv_has(&p->out->skipped_in, text.data))
		strv_push(&p->out->skipped_in, text.data);
}

static bool open_element(struct parser *p, const struct tag *t)
{
	if (p->ended || p->depth == DEPTH_MAX)
		return false;
	if (!p->began && !span_is(t->name, "testsuites") && !span_is(t->name, "testsuite"))
		return false;
	p->began = true;
	p->open[p->depth++] = t->name;
	if (span_is(t->name, "testcase")) {
		if (p->now.open)
			return false;
		begin_case(p, t);
	} else {
		take_outcome(p, t);
		if (p->now.open && !t->closes && span_is(t->name, "skipped"))
			take_place(p);
	}
	return true;
}

static bool close_element(struct parser *p, const struct tag *t)
{
	if (!p->depth || !same_span(p->open[p->depth - 1], t->name))
		return false;
	p->depth--;
	p->ended = !p->depth;
	if (span_is(t->name, "testcase"))
		end_case(p);
	return true;
}

/* Behind "<": a tag, or what holds none. */
static bool take_markup(struct parser *p)
{
	struct tag t;

	if (starts_with(p, "?"))
		return skip_past(p, "?>");
	if (starts_with(p, "!--"))
		return skip_past(p, "-->");
	if (starts_with(p, "![CDATA["))
		return skip_past(p, "]]>");
	if (starts_with(p, "!")) /* a document type may define entities */
		return false;
	return take_tag(p, &t) && (!t.opens || open_element(p, &t)) &&
	       (!t.closes || close_element(p, &t));
}

static bool parse(struct parser *p)
{
	while (!p->ended && p->p < p->end) {
		const char *markup = memchr(p->p, '<', (size_t)(p->end - p->p));
		if (!markup)
			return false;
		p->p = markup + 1;
		if (!take_markup(p))
			return false;
	}
	return p->ended;
}

bool junit_parse(struct junit *out, const char *text, size_t n)
{
	struct junit read = {.cases = json_array()};
	AUTO(json) json_t *passed = json_array();
	struct parser p = {.p = text, .end = text + n, .out = &read, .passed = passed};
	bool whole = parse(&p);

	buf_release(&p.now.name);
	buf_release(&p.now.message);
	json_array_extend(read.cases, passed);
	if (whole)
		*out = read;
	else
		junit_release(&read);
	return whole;
}

void junit_release(struct junit *j)
{
	json_decref(j->cases);
	strv_release(&j->skipped_in);
	*j = (struct junit){0};
}
