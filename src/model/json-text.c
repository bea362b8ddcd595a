/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/json-text.h"
#include "base/json.h"

void json_text_string(struct buf *out, const char *key, const char *text)
{
	static const char hex[] = "0123456789abcdef";

	buf_adds(out, key);
	buf_addc(out, '"');
	for (const char *from = text;; text++) {
		unsigned char ch = (unsigned char)*text;
		if (ch >= 32 && ch != '"' && ch != '\\' && ch < 127)
			continue;
		buf_add(out, from, (size_t)(text - from));
		if (!ch)
			break;
		if (ch == '"' || ch == '\\') {
			buf_addc(out, '\\');
			buf_addc(out, (char)ch);
		} else if (ch < 127) {
			buf_add(out, (char[]){'\\', 'u', '0', '0', hex[ch >> 4], hex[ch & 15]}, 6);
		} else {
			/* Paths and names: what is not plain is not worth a decoder. */
			buf_addc(out, '?');
		}
		from = text + 1;
	}
	buf_addc(out, '"');
}

void json_text_number(struct buf *out, const char *key, int64_t v)
{
	char digits[24], *p = digits + sizeof digits;
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do
		*--p = (char)('0' + u % 10);
	while (u /= 10);
	if (v < 0)
		*--p = '-';
	buf_adds(out, key);
	buf_add(out, p, (size_t)(digits + sizeof digits - p));
}

void json_text_bool(struct buf *out, const char *key, bool v)
{
	buf_adds(out, key);
	buf_adds(out, v ? "true" : "false");
}

void json_text_usage(struct buf *out, const char *key, const struct token_usage *u)
{
	buf_adds(out, key);
	json_text_number(out, "{\"input\":", u->input);
	json_text_number(out, ",\"cached\":", u->cached);
	json_text_number(out, ",\"cache_write\":", u->cache_write);
	json_text_number(out, ",\"output\":", u->output);
	json_text_number(out, ",\"reasoning\":", u->reasoning);
	if (u->cache_write_1h)
		json_text_number(out, ",\"cache_write_1h\":", u->cache_write_1h);
	if (u->searches)
		json_text_number(out, ",\"web_searches\":", u->searches);
	buf_addc(out, '}');
}

struct token_usage json_text_usage_read(const json_t *tokens)
{
	return (struct token_usage){
		.input = json_get_int(tokens, "input", 0),
		.cached = json_get_int(tokens, "cached", 0),
		.cache_write = json_get_int(tokens, "cache_write", 0),
		.output = json_get_int(tokens, "output", 0),
		.reasoning = json_get_int(tokens, "reasoning", 0),
		.cache_write_1h = json_get_int(tokens, "cache_write_1h", 0),
		.searches = json_get_int(tokens, "web_searches", 0),
	};
}
