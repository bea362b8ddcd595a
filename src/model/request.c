/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/request.h"
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"

struct span {
	const char *at;
	size_t len;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static bool is_alnum(char c)
{
	return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static size_t space(const char *s, size_t len, size_t i)
{
	while (i < len && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r'))
		i++;
	return i;
}

/* Just behind the string that starts at I, or LEN. */
static size_t string_end(const char *s, size_t len, size_t i)
{
	const size_t start = i + 1;
	const char *end;

	for (i = start; i < len && (end = memchr(s + i, '"', len - i)); i++) {
		size_t at = i = (size_t)(end - s);
		while (at > start && s[at - 1] == '\\')
			at--;
		if ((i - at) % 2 == 0)
			return i + 1;
	}
	return len;
}

static size_t value_end(const char *s, size_t len, size_t i)
{
	size_t depth = 0;

	for (; i < len; i++) {
		if (s[i] == '"') {
			i = string_end(s, len, i) - 1;
		} else if (s[i] == '{' || s[i] == '[') {
			depth++;
			continue;
		} else if (s[i] == '}' || s[i] == ']') {
			if (!depth)
				return i;
			depth--;
		} else if (s[i] == ',' && !depth) {
			return i;
		}
		if (!depth && (s[i] == '"' || s[i] == '}' || s[i] == ']'))
			return i + 1;
	}
	return len;
}

/* The next member of an object; *I starts behind its brace. False: no more, or no object. */
static bool next_member(const char *s, size_t len, size_t *i, struct span *key, struct span *value)
{
	size_t at = space(s, len, *i);

	if (at < len && s[at] == ',')
		at = space(s, len, at + 1);
	if (at >= len || s[at] != '"')
		return false;
	size_t end = string_end(s, len, at);
	*key = (struct span){s + at + 1, end > at + 1 ? end - at - 2 : 0};
	at = space(s, len, end);
	if (at >= len || s[at] != ':')
		return false;
	at = space(s, len, at + 1);
	end = value_end(s, len, at);
	*value = (struct span){s + at, end - at};
	*i = end;
	return at < len;
}

static bool span_is(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static bool starts(struct span s, const char *text)
{
	size_t n = strlen(text);

	return s.len >= n && memcmp(s.at, text, n) == 0;
}

/* As the provider reads it, escapes resolved. */
static void take_model(struct model_request *out, struct span v)
{
	enum { LONGEST = 1024 };
	size_t n = 0;

	if (v.len < 2 || *v.at != '"' || v.at[v.len - 1] != '"' || v.len > LONGEST)
		return;
	while (n < v.len - 2 && n < sizeof out->model - 1 && v.at[n + 1] >= 32 &&
	       v.at[n + 1] < 127 && v.at[n + 1] != '\\')
		n++;
	if (n == v.len - 2) { /* as nearly all are: nothing to resolve */
		memcpy(out->model, v.at + 1, n);
		return;
	}
	AUTO(json) json_t *j = json_loadb(v.at, v.len, JSON_DECODE_ANY, NULL);
	const char *name = json_string_value(j);
	for (n = 0; name && name[n] && n < sizeof out->model - 1; n++)
		out->model[n] = name[n] >= 32 && name[n] < 127 ? name[n] : '?';
}

static void replace_usage(struct model_request *out, const char *body, struct span v,
			  const char *words)
{
	out->usage_at = (size_t)(v.at - body);
	out->usage_drop = v.len < sizeof out->usage_had ? v.len : 0;
	memcpy(out->usage_had, v.at, out->usage_drop);
	out->usage_words = words;
}

/* stream_options as the client sent them: do they ask for usage, and if not, where would it stand? */
static void look_at_options(struct model_request *out, const char *body, struct span v)
{
	struct span key, value;
	size_t i = 1;
	bool any = false;

	if (starts(v, "null")) {
		replace_usage(out, body, v, "{\"include_usage\":true}");
		return;
	}
	out->wants_usage = v.len && *v.at == '{';
	if (!out->wants_usage)
		return;
	out->usage_at = (size_t)(v.at - body) + 1;
	while (next_member(v.at, v.len, &i, &key, &value)) {
		any = true;
		if (!span_is(key, "include_usage"))
			continue;
		out->wants_usage = !starts(value, "true");
		replace_usage(out, body, value, "true");
		return;
	}
	out->usage_words = any ? "\"include_usage\":true," : "\"include_usage\":true";
}

/* A picture or a file, as all dialects send them: what it costs has nothing to do with its length as text. */
static bool is_base64(const char *s, size_t len)
{
	enum { SHORTEST = 2048, LOOK = 512 };

	if (len < SHORTEST)
		return false;
	if (memcmp(s, "data:", 5) == 0)
		return true;
	for (size_t i = 0; i < LOOK; i++)
		if (!is_alnum(s[i]) && !strchr("+/-_=", s[i]))
			return false;
	return true;
}

static int64_t estimate_tokens(const char *body, size_t len)
{
	enum { BYTES = 4, PICTURE = 1000 };
	size_t text = len, pictures = 0;

	for (const char *at = body; (at = memchr(at, '"', len - (size_t)(at - body)));) {
		size_t i = (size_t)(at - body), end = string_end(body, len, i);
		if (is_base64(at + 1, end - i - 1)) {
			text -= end - i;
			pictures++;
		}
		at = body + end;
	}
	return (int64_t)(text / BYTES + pictures * PICTURE);
}

/* Keys that decide what is asked and what it costs: a second one, or one in another spelling, would be read in one way
 * here and in another there. */
static void look_at_key(struct model_request *out, struct span key, unsigned *seen)
{
	static const char *const names[] = {"model", "stream", "stream_options", "background"};

	if (memchr(key.at, '\\', key.len))
		snprintf(out->odd, sizeof out->odd, "a key of the body is written with an escape");
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (!span_is(key, names[i]))
			continue;
		if (*seen >> i & 1)
			snprintf(out->odd, sizeof out->odd, "the body has \"%s\" twice", names[i]);
		*seen |= 1u << i;
	}
}

void model_request_read(struct model_request *out, enum api api, const char *body, size_t len)
{
	struct span key, value;
	size_t start = space(body, len, 0), i = start + 1;
	unsigned seen = 0;

	*out = (struct model_request){0};
	if (start >= len || body[start] != '{') {
		snprintf(out->odd, sizeof out->odd, "the body is not a JSON object");
		return;
	}
	out->wants_usage = api == API_CHAT;
	out->usage_at = start + 1;
	out->usage_words = "\"stream_options\":{\"include_usage\":true},";
	while (next_member(body, len, &i, &key, &value)) {
		look_at_key(out, key, &seen);
		if (span_is(key, "model")) {
			take_model(out, value);
			out->model_at = (size_t)(key.at - body) - 1; /* with its quotation mark */
			out->model_drop = (size_t)(value.at + value.len - key.at) + 1;
		}
		if (span_is(key, "stream"))
			out->stream = starts(value, "true");
		else if (span_is(key, "background"))
			out->background = api == API_RESPONSES && starts(value, "true");
		else if (api == API_CHAT && span_is(key, "stream_options"))
			look_at_options(out, body, value);
	}
	out->wants_usage &= out->stream;
	out->tokens = estimate_tokens(body, len);
}

static void splice(struct buf *b, size_t at, size_t drop, const char *words, size_t n)
{
	buf_grow(b, n);
	memmove(b->data + at + n, b->data + at + drop, b->len - at - drop + 1);
	memcpy(b->data + at, words, n);
	b->len += n - drop;
}

void model_request_patch(const struct model_request *r, struct buf *body)
{
	if (r->wants_usage)
		splice(body, r->usage_at, r->usage_drop, r->usage_words, strlen(r->usage_words));
}

void model_request_put_version(struct model_request *r, struct buf *body, const char *version)
{
	AUTO(buf) struct buf member = BUF_INIT;

	if (!r->model_drop)
		return;
	buf_addf(&member, "\"anthropic_version\":\"%s\"", version);
	splice(body, r->model_at, r->model_drop, member.data, member.len);
	r->model_drop = 0;
}

void model_request_unpatch(const struct model_request *r, struct buf *body)
{
	splice(body, r->usage_at, strlen(r->usage_words), r->usage_had, r->usage_drop);
}

bool model_request_is_volatile(const char *name, size_t len)
{
	static const char *const names[] = {
		"prompt_cache_key", "user",	    "metadata",	       "client_metadata",
		"session_id",	    "conversation", "conversation_id", "safety_identifier"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (span_is((struct span){name, len}, names[i]))
			return true;
	return false;
}

/* How much of TEXT fits PATTERN: 9 a digit, x a hexadecimal digit, other characters themselves; 0: none. */
static size_t fits(const char *pattern, const char *text, size_t len)
{
	size_t i = 0;

	for (; pattern[i]; i++) {
		if (i >= len)
			return 0;
		bool ok = pattern[i] == '9'   ? is_digit(text[i])
			  : pattern[i] == 'x' ? is_hex(text[i])
					      : text[i] == pattern[i];
		if (!ok)
			return 0;
	}
	return i;
}

static size_t digits(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && is_digit(text[i]))
		i++;
	return i;
}

/* "12:34:56", with a fraction and a zone. */
static size_t time_of_day(const char *text, size_t len)
{
	size_t n = fits("99:99:99", text, len);

	if (!n)
		return 0;
	if (n < len && (text[n] == '.' || text[n] == ',')) {
		size_t f = digits(text + n + 1, len - n - 1);
		n += f ? f + 1 : 0;
	}
	if (n < len && text[n] == 'Z')
		return n + 1;
	if (fits("+99:99", text + n, len - n) || fits("-99:99", text + n, len - n))
		return n + 6;
	return n;
}

static size_t date(const char *text, size_t len)
{
	size_t n = fits("9999-99-99", text, len);

	if (!n || (n < len && is_digit(text[n])))
		return 0;
	if (n + 1 < len && (text[n] == 'T' || text[n] == ' ')) {
		size_t t = time_of_day(text + n + 1, len - n - 1);
		if (!t && fits("99:99", text + n + 1, len - n - 1))
			t = 5;
		n += t ? t + 1 : 0;
	}
	return n;
}

/* "0.03s", "12ms", "1.5 seconds": how long something took. */
static size_t seconds(const char *text, size_t len)
{
	size_t n = digits(text, len), f;

	if (!n)
		return 0;
	if (n < len && text[n] == '.') {
		f = digits(text + n + 1, len - n - 1);
		n += f ? f + 1 : 0;
	}
	size_t gap = n < len && text[n] == ' ';
	static const char *const units[] = {"seconds", "second", "secs", "sec", "ms", "s"};
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		size_t u = fits(units[i], text + n + gap, len - n - gap);
		/* "5 s" may be the start of another word. */
		if (u && (n + gap + u == len || !is_alnum(text[n + gap + u])) && (u > 1 || !gap))
			return n + gap + u;
	}
	return 0;
}

static size_t volatile_text(const char *text, size_t len, char *mark)
{
	size_t n;

	*mark = 'U';
	if ((n = fits("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", text, len)))
		return n;
	if (!is_digit(*text))
		return 0;
	*mark = 'T';
	if ((n = date(text, len)) || (n = time_of_day(text, len)))
		return n;
	*mark = 'D';
	return seconds(text, len);
}

static const bool in_word[256] = {
	['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['.'] = true};

void model_request_normal_text(struct buf *out, const char *text, size_t len)
{
	size_t from = 0;

	for (size_t i = 0; i < len;) {
		char mark;
		size_t n = is_hex(text[i]) ? volatile_text(text + i, len - i, &mark) : 0;
		if (!n) {
			while (i < len &&
			       in_word[(unsigned char)text[i]]) /* inside of one, nothing begins */
				i++;
			i++;
			continue;
		}
		buf_add(out, text + from, i - from);
		buf_add(out, (char[]){1, mark}, 2); /* no byte of a JSON string is 1 */
		i += n;
		from = i;
	}
	buf_add(out, text + from, len - from);
}

/* One object's or list's worth of tokens: separators do not count, what stands between them does. */
static void normal_body(struct buf *out, const char *s, size_t len)
{
	size_t depth = 0;

	for (size_t i = 0; i < len;) {
		char c = s[i];
		if (c == '"') {
			size_t end = string_end(s, len, i);
			size_t after = space(s, len, end);
			bool is_key = after < len && s[after] == ':';
			if (depth == 1 && is_key &&
			    model_request_is_volatile(s + i + 1, end - i - 2)) {
				i = value_end(s, len, space(s, len, after + 1));
				continue;
			}
			buf_addc(out, '"');
			model_request_normal_text(out, s + i + 1, end - i - 1);
			buf_addc(out, is_key ? ':' : '\n');
			i = end;
		} else if (c == '{' || c == '[' || c == '}' || c == ']') {
			depth += c == '{' || c == '[';
			depth -= depth && (c == '}' || c == ']');
			buf_addc(out, c);
			i++;
		} else if (c == ',' || c == ':' || space(s, len, i) > i) {
			i++;
		} else {
			size_t from = i;
			while (i < len && !strchr(",:{}[]\" \n\t\r", s[i]))
				i++;
			i += i == from; /* a NUL byte: no JSON, and no end of the loop */
			buf_add(out, s + from, i - from);
			buf_addc(out, '\n');
		}
	}
}

void model_request_hash(const char *method, const char *path, const char *body, size_t len,
			char out[HASH_HEX])
{
	AUTO(buf) struct buf normal = BUF_INIT;
	struct hash h;

	buf_grow(&normal, len + 64);
	normal_body(&normal, body, len);
	hash_init(&h);
	hash_str(&h, method);
	hash_str(&h, path);
	hash_bytes(&h, normal.data, normal.len);
	hash_hex(&h, out);
}
