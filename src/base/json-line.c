/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A line of a file that we wrote ourselves. Of those there are hundreds of thousands, and nearly all are made of nothing but short
 * ASCII strings without escapes and small numbers: that much is read here, several times as fast as the library reads it.
 * At anything else the library starts anew, so that what is JSON, and what it means, has one judge.
 */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"

enum { DEPTH_MAX = 16, DIGITS_MAX = 18, NUMBER_MAX = 40 };

struct scan {
	const char *p, *end;
};

static json_t *scan_value(struct scan *s, int depth);

/* The string behind the opening quote, up to its closing one, which is passed; NULL for one that is not plain. */
static const char *scan_string(struct scan *s, size_t *n)
{
	const char *start = s->p;

	for (; s->p < s->end && *s->p != '"'; s->p++)
		if (*s->p < ' ' || *s->p > '~' || *s->p == '\\')
			return NULL;
	*n = (size_t)(s->p - start);
	return s->p++ < s->end ? start : NULL;
}

static bool scan_char(struct scan *s, char c)
{
	const bool found = s->p < s->end && *s->p == c;

	s->p += found;
	return found;
}

static json_t *scan_word(struct scan *s, const char *word, json_t *value)
{
	size_t n = strlen(word);

	if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n))
		return NULL;
	s->p += n;
	return value;
}

static json_t *scan_number(struct scan *s)
{
	char text[NUMBER_MAX], *rest;
	const char *start = s->p;
	bool real = false;

	while (s->p < s->end && *s->p && strchr("+-.0123456789eE", *s->p))
		real |= !(*s->p >= '0' && *s->p <= '9') && s->p != start, s->p++;
	size_t n = (size_t)(s->p - start), sign = n && *start == '-';
	/* "-", "01" and "1." are no numbers, long ones need care. */
	if (n == sign || n >= sizeof text || start[sign] < '0' || start[sign] > '9' ||
	    (start[sign] == '0' && n > sign + 1 && start[sign + 1] != '.') ||
	    (!real && n > DIGITS_MAX) || start[n - 1] < '0' || start[n - 1] > '9')
		return NULL;
	memcpy(text, start, n);
	text[n] = '\0';
	if (!real)
		return json_integer(strtoll(text, NULL, 10));
	double value = strtod(text, &rest);
	/* A point without a digit behind it ("1.e5") is one for the library. */
	return *rest || !strchr(text, '.') || strchr("eE", strchr(text, '.')[1]) ? NULL
										 : json_real(value);
}

static json_t *scan_array(struct scan *s, int depth)
{
	json_t *out = json_array(), *value;

	if (scan_char(s, ']'))
		return out;
	do {
		value = scan_value(s, depth);
	} while (value && !json_array_append_new(out, value) && scan_char(s, ','));
	if (value && scan_char(s, ']'))
		return out;
	json_decref(out);
	return NULL;
}

/* "KEY":VALUE. A key that is there twice is not taken. */
static bool scan_member(struct scan *s, json_t *out, int depth)
{
	char key[NUMBER_MAX];
	const char *name;
	json_t *value;
	size_t n;

	if (!scan_char(s, '"') || !(name = scan_string(s, &n)) || n >= sizeof key)
		return false;
	memcpy(key, name, n);
	key[n] = '\0';
	if (!scan_char(s, ':') || !(value = scan_value(s, depth)))
		return false;
	size_t before = json_object_size(out);
	return !json_object_set_new_nocheck(out, key, value) && json_object_size(out) > before;
}

static json_t *scan_object(struct scan *s, int depth)
{
	json_t *out = json_object();
	bool good;

	if (scan_char(s, '}'))
		return out;
	do {
		good = scan_member(s, out, depth);
	} while (good && scan_char(s, ','));
	if (good && scan_char(s, '}'))
		return out;
	json_decref(out);
	return NULL;
}

static json_t *scan_value(struct scan *s, int depth)
{
	const char *text;
	size_t n;

	if (s->p == s->end || depth == DEPTH_MAX)
		return NULL;
	switch (*s->p) {
	case '"':
		s->p++;
		text = scan_string(s, &n);
		return text ? json_stringn_nocheck(text, n) : NULL;
	case '{':
		s->p++;
		return scan_object(s, depth + 1);
	case '[':
		s->p++;
		return scan_array(s, depth + 1);
	case 't':
		return scan_word(s, "true", json_true());
	case 'f':
		return scan_word(s, "false", json_false());
	case 'n':
		return scan_word(s, "null", json_null());
	default:
		return scan_number(s);
	}
}

json_t *json_line(const char *text, size_t len, size_t flags)
{
	struct scan s = {text, text + len};
	json_t *j = len && *text == '{' ? scan_value(&s, 0) : NULL;

	while (s.p < s.end && (*s.p == ' ' || *s.p == '\n'))
		s.p++;
	if (j && s.p < s.end && (*s.p != ',' || !(flags & JSON_DISABLE_EOF_CHECK))) {
		json_decref(j);
		j = NULL;
	}
	return j ? j : json_loadb(text, len, flags, NULL);
}
