/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/json.h"
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"

int json_parse(json_t **out, const char *text, size_t len, const char *where, struct err *err)
{
	json_error_t je;
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &je);

	if (!j) {
		AUTO(buf) struct buf why = BUF_INIT;
		text_renders(&why, je.text, TEXT_TERMINAL_LINE);
		return err_set(err, ERR_USAGE, 0, "%s:%d:%d: not valid JSON: %s", where, je.line,
			       je.column, why.data);
	}
	*out = j;
	return 0;
}

int json_read(json_t **out, int dir_fd, const char *path, size_t max, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (path_read(dir_fd, path, max, &text, err))
		return -1;
	return json_parse(out, text.data, text.len, path, err);
}

int json_need_str(const json_t *obj, const char *key, const char *where, const char **out,
		  struct err *err)
{
	const json_t *v = json_object_get(obj, key);

	if (!json_is_string(v))
		return err_set(err, ERR_USAGE, 0, "%s: \"%s\" %s", where, key,
			       v ? "must be a string" : "is missing");
	if (strlen(json_string_value(v)) != json_string_length(v))
		return err_set(err, ERR_USAGE, 0, "%s: \"%s\" holds a NUL character", where, key);
	*out = json_string_value(v);
	return 0;
}

int json_need_int(const json_t *obj, const char *key, const char *where, int64_t *out,
		  struct err *err)
{
	const json_t *v = json_object_get(obj, key);

	if (!json_is_integer(v))
		return err_set(err, ERR_USAGE, 0, "%s: \"%s\" %s", where, key,
			       v ? "must be a whole number" : "is missing");
	*out = json_integer_value(v);
	return 0;
}

const char *json_get_str(const json_t *obj, const char *key, const char *fallback)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_string(v) ? json_string_value(v) : fallback;
}

int64_t json_get_int(const json_t *obj, const char *key, int64_t fallback)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_integer(v) ? json_integer_value(v) : fallback;
}

double json_get_real(const json_t *obj, const char *key, double fallback)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_number(v) ? json_number_value(v) : fallback;
}

bool json_get_bool(const json_t *obj, const char *key, bool fallback)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_boolean(v) ? json_is_true(v) : fallback;
}

void json_put(json_t *obj, const char *key, json_t *value_take)
{
	if (!value_take || json_object_set_new(obj, key, value_take))
		bug("json_put: cannot set \"%s\"", key);
}

static json_t *clean_string(const char *value, size_t len)
{
	if (text_is_utf8(value, len))
		return json_stringn_nocheck(value, len);
	AUTO(buf) struct buf clean = BUF_INIT;
	text_render(&clean, value, len, TEXT_TERMINAL);
	return json_stringn_nocheck(clean.data, clean.len);
}

void json_put_strn(json_t *obj, const char *key, const char *value, size_t len)
{
	json_put(obj, key, clean_string(value, len));
}

void json_put_str(json_t *obj, const char *key, const char *value)
{
	if (value)
		json_put_strn(obj, key, value, strlen(value));
	else
		json_put(obj, key, json_null());
}

void json_put_strv(json_t *obj, const char *key, const struct strv *values)
{
	json_t *list = json_array();

	for (size_t i = 0; i < values->n; i++)
		json_array_append_new(list, clean_string(values->v[i], strlen(values->v[i])));
	json_put(obj, key, list);
}

void json_get_strv(const json_t *obj, const char *key, struct strv *out)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(obj, key), i, item)
		if (json_is_string(item))
			strv_push(out, json_string_value(item));
}

void json_put_int(json_t *obj, const char *key, int64_t value)
{
	json_put(obj, key, json_integer(value));
}

void json_put_real(json_t *obj, const char *key, double value)
{
	json_put(obj, key, isfinite(value) ? json_real(value) : json_null());
}

void json_put_bool(json_t *obj, const char *key, bool value)
{
	json_put(obj, key, json_boolean(value));
}

/* The code point of what stands at S, and must not be seen by a person as it is: another control character, or one that turns
 * the direction of text or has no width; 0: nothing such. *LEN: its bytes. */
static unsigned unseen(const char *s, size_t room, size_t *len)
{
	const unsigned char *u = (const unsigned char *)s;

	*len = *u == 0x7f ? 1 : *u == 0xc2 ? 2 : 3;
	if (*u == 0x7f)
		return 0x7f;
	if (*len > room)
		return 0;
	if (*u == 0xc2)
		return u[1] < 0xa0 ? u[1] : 0;
	const unsigned c = (*u & 0xfu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
	const bool such = (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
			  (c >= 0x2060 && c <= 0x2069) || c == 0xfeff;
	return such ? c : 0;
}

/* From FROM on, as \uXXXX: the same JSON, and nothing that a terminal or a reader is misled by. */
static void escape_unseen(struct buf *out, size_t from)
{
	static const char begin[] = "\x7f\xc2\xe2\xef";
	size_t len;

	if (!out->data[from + strcspn(out->data + from, begin)])
		return;
	AUTO(buf) struct buf old = BUF_INIT;
	buf_add(&old, out->data + from, out->len - from);
	out->len = from;
	for (const char *s = old.data, *end = old.data + old.len; s < end;) {
		const size_t plain = strcspn(s, begin);
		buf_add(out, s, plain);
		s += plain;
		if (s == end)
			break;
		const unsigned c = unseen(s, (size_t)(end - s), &len);
		if (c)
			buf_addf(out, "\\u%04X", c);
		else
			buf_add(out, s, len = 1);
		s += len;
	}
}

void json_format(struct buf *out, const json_t *j, bool pretty)
{
	enum { USUAL_BYTES = 2048 };
	size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(15) |
		       (pretty ? JSON_INDENT(2) : JSON_COMPACT);
	size_t room = USUAL_BYTES, need;

	/* Mostly one pass, and then a second with the room it asked for: a callback for every few bytes costs more. */
	for (;;) {
		buf_grow(out, room);
		need = json_dumpb(j, out->data + out->len, room, flags);
		if (!need)
			bug("json_format: cannot encode");
		if (need <= room)
			break;
		room = need;
	}
	const size_t from = out->len;
	out->len += need;
	out->data[out->len] = '\0';
	escape_unseen(out, from);
}

int json_write(int dir_fd, const char *path, const json_t *j, bool sync, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	json_format(&text, j, true);
	buf_addc(&text, '\n');
	return path_write(dir_fd, path, text.data, text.len, 0644, sync, err);
}
