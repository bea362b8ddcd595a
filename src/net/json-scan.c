/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/json-scan.h"
#include <string.h>

enum state {
	VALUE,
	KEY_OR_END,
	KEY,
	KEY_ESCAPE,
	COLON,
	AFTER,
	STRING,
	STRING_ESCAPE,
	PLAIN,
	BROKEN
};

void json_scan_init(struct json_scan *s,
		    void (*on)(void *ctx, const char *path, enum json_scan_kind kind,
			       const char *text),
		    void *ctx)
{
	s->on = on;
	s->ctx = ctx;
	json_scan_reset(s);
}

void json_scan_reset(struct json_scan *s)
{
	s->state = VALUE;
	s->fresh = false;
	s->depth = s->path_len = s->text_len = 0;
	s->mark[0] = 0;
}

static bool in_list(const struct json_scan *s)
{
	return s->depth && (s->lists[(s->depth - 1) / 8] >> ((s->depth - 1) % 8) & 1);
}

static bool is_near(const struct json_scan *s)
{
	return s->depth <= JSON_SCAN_LEVELS;
}

static void keep(struct json_scan *s, const char *data, size_t n)
{
	size_t room = sizeof s->text - 1 - s->text_len;

	if (n > room)
		n = room;
	memcpy(s->text + s->text_len, data, n);
	s->text_len = (uint16_t)(s->text_len + n);
}

static void report(struct json_scan *s, enum json_scan_kind kind)
{
	if (is_near(s)) {
		s->text[s->text_len] = '\0';
		s->path[s->path_len] = '\0';
		s->on(s->ctx, s->path, kind, s->text);
	}
	s->text_len = 0;
	s->state = AFTER;
}

/* The path of the container at hand and NAME. */
static void name(struct json_scan *s, const char *text, size_t n)
{
	size_t at;

	if (!is_near(s))
		return;
	at = s->mark[s->depth - 1];
	if (at && at < sizeof s->path - 1)
		s->path[at++] = '.';
	if (n > sizeof s->path - 1 - at)
		n = sizeof s->path - 1 - at;
	memcpy(s->path + at, text, n);
	s->path_len = (uint16_t)(at + n);
}

static void open_container(struct json_scan *s, bool list)
{
	if (s->depth == JSON_SCAN_DEPTH) {
		s->state = BROKEN;
		return;
	}
	uint8_t bit = (uint8_t)(1u << (s->depth % 8));
	s->lists[s->depth / 8] =
		(uint8_t)(list ? s->lists[s->depth / 8] | bit : s->lists[s->depth / 8] & ~bit);
	if (s->depth <= JSON_SCAN_LEVELS)
		s->mark[s->depth] = s->path_len;
	s->depth++;
	s->fresh = true;
	s->state = list ? VALUE : KEY_OR_END;
	if (list)
		name(s, "[]", 2);
}

static void close_container(struct json_scan *s)
{
	if (!s->depth) {
		s->state = BROKEN;
		return;
	}
	bool empty_list = s->fresh && in_list(s);
	s->depth--;
	s->fresh = false;
	s->state = AFTER;
	if (!is_near(s))
		return;
	s->path_len = s->mark[s->depth];
	if (empty_list)
		report(s, JSON_SCAN_EMPTY);
}

static void value_begins(struct json_scan *s, char c)
{
	if (c == ']' && in_list(s)) {
		close_container(s);
		return;
	}
	if (c == '{' || c == '[') {
		open_container(s, c == '[');
		return;
	}
	s->fresh = false;
	if (c == '"') {
		s->string_bytes = 0;
		s->state = STRING;
	} else {
		s->state = PLAIN;
		keep(s, &c, 1);
	}
}

static void after_value(struct json_scan *s, char c)
{
	s->fresh = false;
	if (c == '}' || c == ']')
		close_container(s);
	else if (c == ',' && s->depth)
		s->state = in_list(s) ? VALUE : KEY_OR_END;
	else
		s->state = BROKEN;
}

/* Bytes of a string up to its end or an escape; how many were taken. */
static size_t string_bytes(struct json_scan *s, const char *data, size_t n)
{
	size_t i = 0;

	while (i < n && data[i] != '"' && data[i] != '\\')
		i++;
	s->string_bytes += i;
	if (is_near(s))
		keep(s, data, i);
	if (i == n)
		return i;
	if (data[i] == '\\') {
		keep(s, data + i, 1);
		s->state = s->state == KEY ? KEY_ESCAPE : STRING_ESCAPE;
	} else if (s->state == KEY) {
		name(s, s->text, s->text_len);
		s->text_len = 0;
		s->state = COLON;
	} else {
		report(s, JSON_SCAN_STRING);
	}
	return i + 1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static size_t plain_bytes(struct json_scan *s, const char *data, size_t n)
{
	size_t i = 0;

	while (i < n && data[i] != ',' && data[i] != '}' && data[i] != ']' && !is_space(data[i]))
		i++;
	keep(s, data, i);
	if (i < n)
		report(s, JSON_SCAN_PLAIN);
	return i;
}

static void one(struct json_scan *s, char c)
{
	switch (s->state) {
	case VALUE:
		value_begins(s, c);
		break;
	case KEY_OR_END:
		if (c == '}')
			close_container(s);
		else
			s->state = c == '"' ? KEY : BROKEN;
		break;
	case COLON:
		s->state = c == ':' ? VALUE : BROKEN;
		break;
	default:
		after_value(s, c);
	}
}

void json_scan_feed(struct json_scan *s, const char *data, size_t n)
{
	for (size_t i = 0; i < n && s->state != BROKEN;) {
		if (s->state == STRING || s->state == KEY) {
			i += string_bytes(s, data + i, n - i);
		} else if (s->state == STRING_ESCAPE || s->state == KEY_ESCAPE) {
			keep(s, data + i++, 1);
			s->state = s->state == KEY_ESCAPE ? KEY : STRING;
		} else if (s->state == PLAIN) {
			i += plain_bytes(s, data + i, n - i);
		} else {
			if (!is_space(data[i]))
				one(s, data[i]);
			i++;
		}
	}
}

void json_scan_end(struct json_scan *s)
{
	if (s->state == PLAIN)
		report(s, JSON_SCAN_PLAIN);
}
